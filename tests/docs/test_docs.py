"""The documents agree with the program: reference pages are up to date, links lead somewhere, commands in the README exist."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from openapi_spec_validator import validate

from verifier.web.openapi import document

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "vault-config").rglob("*.md")])


def test_reference_pages_are_what_make_docs_would_write() -> None:
    """In a process of its own: what other tests import or change must not show in a page."""
    done = subprocess.run(
        [sys.executable, "-m", "tools.docs", "--check"], capture_output=True, text=True, check=False, cwd=ROOT
    )

    assert done.returncode == 0, f"{done.stdout}{done.stderr}: run `make docs` and commit"


def test_openapi_document_is_valid_3_1() -> None:
    assert document()["openapi"] == "3.1.0"
    validate(document())


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


def _commands() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8").replace("\\\n", " ")
    return [
        line[2:].split("#  ")[0].strip()
        for line in text.splitlines()
        if line.startswith(("$ verifier ", "$ attester "))
    ]


@pytest.mark.parametrize("line", _commands())
def test_commands_of_the_readme_are_understood(line: str) -> None:
    """Every option that the README shows is one that the command's ``--help`` lists."""
    words = shlex.split(re.sub(r"\s+#.*", "", line))
    program, rest = words[0], words[1:]
    own = rest[: rest.index("--")] if "--" in rest else rest
    verbs = [word for word in own if re.fullmatch(r"[a-z-]+", word) and not word.startswith("-")]
    path: list[str] = []
    for verb in verbs[:2]:
        done = subprocess.run(
            [sys.executable, "-m", f"{program}.cli", *path, verb, "--help"], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            break
        path.append(verb)
    assert path, f"{line}: no such command"
    shown = subprocess.run(
        [sys.executable, "-m", f"{program}.cli", *path, "--help"], capture_output=True, text=True, check=True
    ).stdout
    for option in (word for word in own if word.startswith("--")):
        assert option in shown, f"{' '.join([program, *path])} has no {option}"


def _groups(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[str, click.Group]]:
    if isinstance(command, click.Group):
        yield " ".join(words), command
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from _groups(child, (*words, name))


@pytest.mark.parametrize("program", ["verifier", "attester"])
def test_no_line_of_a_groups_help_is_cut_on_a_terminal_of_80_columns(program: str) -> None:
    """Click cuts the first sentence of a command's help where it does not fit beside the command's name."""
    program_group = importlib.import_module(f"{program}.cli.__main__").cli
    for words, group in _groups(program_group, (program,)):
        text = group.get_help(click.Context(group, info_name=words, terminal_width=80))
        assert not [line for line in text.partition("\nCommands:\n")[2].splitlines() if line.endswith("...")], words


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"`?make ([a-z-]+)", (ROOT / "README.md").read_text(encoding="utf-8"))):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"no make target {target}"
