"""Debian packages are installed where they are missing and where that is ours to do; else a sentence says what to do."""

from __future__ import annotations

import os

import pytest

from tests.unit.tools.conftest import Machine, Parts
from tools.realparts import debian
from tools.realparts.debian import GROUPS, Package


@pytest.fixture
def packages(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three packages, each with one command of the same name."""

    def package(name: str) -> Package:
        return Package(f"{name}-package", f"makes {name}", (machine.bin / name).exists)

    monkeypatch.setitem(GROUPS, "test", (package("swtpm"), package("fuse"), package("tss")))
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def apt(machine: Machine, installs: str) -> None:
    machine.fake("apt-get", f'case "$*" in *install*) touch {installs} ;; esac')


@pytest.mark.usefixtures("packages")
def test_only_what_is_missing_is_installed_after_one_update(machine: Machine, parts: Parts) -> None:
    machine.fake("fuse")
    apt(machine, f"{machine.bin}/swtpm {machine.bin}/tss")
    result = parts("debian", "--for", "test")
    assert (result.status, result.out) == (0, "swtpm-package\ntss-package\n")
    update, install = machine.calls("apt-get")
    assert update.endswith(" update")
    assert install.endswith(" install --yes --no-install-recommends swtpm-package tss-package")
    assert "swtpm-package (makes swtpm)" in result.err
    again = parts("debian", "--for", "test")
    assert (again.status, again.out) == (0, "")
    assert len(machine.calls("apt-get")) == 2


@pytest.mark.usefixtures("packages")
def test_a_failing_update_ends_it(machine: Machine, parts: Parts) -> None:
    machine.fake("apt-get", "echo no route; exit 100")
    result = parts("debian", "--for", "test")
    assert result.status == 1
    assert "no route" in result.err
    assert len(machine.calls("apt-get")) == 1


@pytest.mark.usefixtures("packages")
def test_a_package_that_does_not_bring_what_it_should_is_told(machine: Machine, parts: Parts) -> None:
    apt(machine, f"{machine.bin}/swtpm {machine.bin}/tss")
    result = parts("debian", "--for", "test")
    assert result.status == 3
    assert "fuse-package" in result.err
    assert "cannot be found afterwards" in result.err


@pytest.mark.usefixtures("packages")
def test_an_ordinary_user_is_told_the_command(machine: Machine, parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.fake("apt-get")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    result = parts("debian", "--for", "test")
    assert result.status == 3
    assert "sudo apt-get install swtpm-package fuse-package tss-package" in result.err
    assert machine.calls() == []


@pytest.mark.usefixtures("packages")
def test_another_distribution_is_told_what_for_and_left_alone(machine: Machine, parts: Parts) -> None:
    machine.fake("apt-get")
    (machine.root / "os-release").write_text('ID="fedora"\n')
    result = parts("debian", "--for", "test")
    assert result.status == 3
    assert "swtpm-package: makes swtpm" in result.err
    assert machine.calls() == []
    for name in ("swtpm", "fuse", "tss"):
        machine.fake(name)
    assert parts("debian", "--for", "test").status == 0


def test_a_relative_of_debian_counts_as_one(machine: Machine) -> None:
    (machine.root / "os-release").write_text('ID=linuxmint\nID_LIKE="ubuntu debian"\n\n# no more\n')
    assert debian._families() == {"linuxmint", "ubuntu", "debian"}
    (machine.root / "os-release").unlink()
    assert debian._families() == set()


def test_what_is_looked_for_is_found_where_it_is(machine: Machine) -> None:
    probes = {package.name: package.present for package in GROUPS["all"]}
    assert not probes["swtpm-tools"]()
    machine.fake("swtpm_setup")
    assert probes["swtpm-tools"]()
    assert not probes["libtss2-dev"]()
    machine.fake("pkg-config", '[ "$*" = "--exists tss2-esys" ]')
    assert probes["libtss2-dev"]()
    assert not probes["docker.io"]()
    # A client alone, as this very machine has one, is no engine.
    machine.fake("docker", "exit 1")
    assert not probes["docker.io"]()
    machine.fake("docker", "echo 20.10.24")
    assert probes["docker.io"]()
    machine.fake("docker", "exit 1")
    machine.fake("dockerd")
    assert probes["docker.io"]()


def test_every_group_is_part_of_all() -> None:
    names = {group: {package.name for package in packages} for group, packages in GROUPS.items()}
    assert all(group <= names["all"] for group in names.values())
