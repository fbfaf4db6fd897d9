"""The Compose plugin is installed where none works; an engine is started where none answers, and only ours is stopped."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.tools.conftest import Machine, Parts
from tools.realparts.docker import stop_dockerd


def plugin(machine: Machine) -> Path:
    return machine.root / "docker" / "cli-plugins" / "docker-compose"


def test_a_working_plugin_is_left_where_it_is(machine: Machine, parts: Parts) -> None:
    info = '{"Plugins":[{"Name":"buildx","Path":"/x"},{"Name":"compose","Path":"/usr/libexec/docker-compose"}]}'
    machine.fake("docker", f"case \"$1\" in compose) echo 2.40.3 ;; info) echo '{info}' ;; esac")
    assert parts("compose").out == "/usr/libexec/docker-compose\n"
    assert not plugin(machine).exists()


@pytest.mark.parametrize("before", ["exit 1", "echo 2.3.3"])
@pytest.mark.usefixtures("go")
def test_a_missing_or_old_plugin_is_built_and_installed_for_this_user(
    machine: Machine, parts: Parts, before: str
) -> None:
    machine.fake("docker", f'[ -x "{plugin(machine)}" ] && echo 2.40.3 && exit 0\n{before}')
    result = parts("compose")
    assert (result.status, result.out) == (0, f"{plugin(machine)}\n")
    assert plugin(machine).read_bytes() == (machine.cache / "compose" / "2.40.3" / "docker-compose").read_bytes()
    assert [path.name for path in plugin(machine).parent.iterdir()] == ["docker-compose"]


@pytest.mark.usefixtures("go")
def test_a_client_that_does_not_take_the_plugin_is_told(machine: Machine, parts: Parts) -> None:
    machine.fake("docker", "exit 1")
    result = parts("compose")
    assert result.status == 1
    assert "does not run it" in result.err


@pytest.mark.parametrize("part", ["compose", "dockerd", "images"])
def test_without_a_client_a_sentence_says_what_to_install(parts: Parts, part: str) -> None:
    result = parts(part)
    assert (result.status, result.out) == (3, "")
    assert "install Docker" in result.err


@pytest.fixture
def up(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Put a client on the machine that answers while a file is there: the engine's sign of life."""
    sign = machine.root / "up"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    machine.fake("docker", f'[ -e "{sign}" ] && echo 20.10.24')
    yield sign
    stop_dockerd()


def engine(machine: Machine, up: Path) -> None:
    machine.fake("dockerd", f'trap "rm {up}; exit 0" TERM\necho hello from the engine\ntouch "{up}"\nsleep 30 & wait')


def test_an_engine_that_answers_is_used_and_not_stopped(machine: Machine, parts: Parts, up: Path) -> None:
    engine(machine, up)
    up.touch()
    result = parts("dockerd")
    assert (result.status, result.out) == (0, "/var/run/docker.sock\n")
    assert machine.calls("dockerd") == []
    assert "none of ours" in parts("dockerd", "--stop").err
    assert up.exists()


def test_an_engine_is_started_once_and_stopped_again(machine: Machine, parts: Parts, up: Path) -> None:
    engine(machine, up)
    assert parts("dockerd").status == 0
    assert parts("dockerd").status == 0
    assert len(machine.calls("dockerd")) == 1
    assert "hello from the engine" in (machine.cache / "log" / "dockerd.log").read_text()
    assert parts("dockerd", "--stop").status == 0
    assert not up.exists()


def test_an_engine_outlives_the_program_that_started_it(machine: Machine, up: Path) -> None:
    engine(machine, up)
    if os.getuid() == 0:
        assert machine.run("dockerd").status == 0
        time.sleep(0.2)
        assert up.exists()
        assert machine.run("dockerd", "--stop").status == 0
    assert not up.exists()


def test_an_engine_that_dies_shows_its_end(machine: Machine, parts: Parts, up: Path) -> None:
    machine.fake("dockerd", "echo no iptables here; exit 1")
    result = parts("dockerd")
    assert (result.status, result.out) == (1, "")
    assert "no iptables here" in result.err
    assert not up.exists()


def test_a_number_used_again_by_another_process_is_no_engine(machine: Machine, parts: Parts, up: Path) -> None:
    bystander = subprocess.Popen(["/bin/sleep", "30"])
    try:
        pid_file = machine.cache / "dockerd" / "pid"
        pid_file.parent.mkdir(parents=True)
        pid_file.write_text(f"{bystander.pid}\n")
        assert "none of ours" in parts("dockerd", "--stop").err
        assert bystander.poll() is None
        assert not up.exists()
    finally:
        bystander.kill()
        bystander.wait()


@pytest.mark.parametrize(("daemon", "user", "words"), [(False, 0, "install one"), (True, 1000, "only root can")])
def test_what_cannot_be_started_gets_a_sentence(
    machine: Machine, parts: Parts, up: Path, monkeypatch: pytest.MonkeyPatch, *, daemon: bool, user: int, words: str
) -> None:
    if daemon:
        engine(machine, up)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    result = parts("dockerd")
    assert result.status == 3
    assert words in result.err
    assert machine.calls("dockerd") == []
