"""One subcommand a part, answers alone on stdout, and statuses that a script can tell apart."""

from __future__ import annotations

import sys

import pytest

from tests.unit.tools.conftest import Machine, Parts
from tools.realparts import cli
from tools.realparts.cli import Part
from tools.realparts.errors import FailedPartError
from tools.realparts.versions import find_version


@pytest.mark.parametrize("words", [[], ["nonsense"], ["debian", "--for", "nonsense"]])
def test_wrong_usage_is_64(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == 64
    assert capsys.readouterr().out == ""


def test_all_names_each_part_and_stops_at_the_first_that_is_not_to_be_had(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_arguments: object) -> list[str]:
        raise FailedPartError("It broke.")

    table = {"one": Part("", lambda _: ["/one"]), "two": Part("", broken), "three": Part("", lambda _: ["/three"])}
    monkeypatch.setattr(cli, "PARTS", table)
    result = parts("all")
    assert (result.status, result.out) == (1, "one /one\n")
    assert "It broke." in result.err


def test_uv_of_our_series_is_taken_from_path(machine: Machine, parts: Parts) -> None:
    uv = machine.fake("uv", 'echo "uv 0.13.12 (abc 2026-01-01)"')
    assert parts("uv").out == f"{uv}\n"


@pytest.mark.parametrize("version", ["0.12.24", "0.14.0", "0.13.8"])
def test_uv_of_another_series_is_not(
    machine: Machine, parts: Parts, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    machine.fake("uv", f"echo uv {version}")
    body = 'case "$*" in *" --target "*) while [ "$1" != --target ]; do shift; done; mkdir "$2/bin"; touch "$2/bin/uv" ;; esac'
    monkeypatch.setattr(sys, "executable", str(machine.fake("python3", body)))
    assert parts("uv").out == f"{machine.cache / 'uv' / '0.13.9' / 'bin' / 'uv'}\n"
    assert machine.calls("python3")[-1].endswith("uv==0.13.9")


def test_without_pip_a_sentence_says_what_to_install(
    machine: Machine, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(machine.fake("python3", "exit 1")))
    result = parts("uv")
    assert result.status == 3
    assert "python3-pip" in result.err


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("Vault v1.21.1, built 2025-11-23", (1, 21, 1)),
        ("go1.26.8", (1, 26, 8)),
        ("2.40.3", (2, 40, 3)),
        ("Docker Compose version v2.24", (2, 24)),
        ("no number", None),
        (None, None),
    ],
)
def test_versions_are_read_as_programs_print_them(text: str | None, version: tuple[int, ...] | None) -> None:
    assert find_version(text) == version
