"""Writes ``docs/reference/`` (settings, command lines, the API) and the tables of check ids in other pages.

With ``--check`` says what would change and leaves with 1.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import click

from tools.docs.checks import page_with_tables
from verifier.adapters.settings_source import PREFIX
from verifier.core.settings import Settings
from verifier.web.openapi import document

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
FOLDER = DOCS / "reference"
_NOTE = "<!-- Made by `make docs` from the program; do not edit. -->\n\n"


def settings_page() -> str:
    """One row a setting."""
    rows = ["| setting | environment | default | meaning |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "required" if field.is_required() else json.dumps(field.default)
        rows.append(f"| `{name}` | `{PREFIX}{name.upper()}` | `{default}` | {field.description} |")
    return (
        f"# Settings of the verifier\n\n{_NOTE}TOML file (`--config` or `VAB_CONFIG`) and environment, which wins. "
        "`VAB_DATABASE_URL_FILE` names a file that holds the database URL.\n\n" + "\n".join(rows) + "\n"
    )


def _walk(command: click.Command, words: tuple[str, ...]) -> list[str]:
    context = click.Context(command, info_name=" ".join(words), max_content_width=100, terminal_width=100)
    pages = [f"## `{' '.join(words)}`\n\n```text\n{command.get_help(context)}\n```\n"]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None:
                pages += _walk(child, (*words, name))
    return pages


def cli_page(program: str) -> str:
    """The ``--help`` of every command of a program."""
    command = importlib.import_module(f"{program}.cli.__main__").cli
    return f"# Commands of `{program}`\n\n{_NOTE}" + "\n".join(_walk(command, (program,)))


def pages() -> dict[Path, str]:
    """Make every page."""
    made = {
        "settings.md": settings_page(),
        "verifier-cli.md": cli_page("verifier"),
        "attester-cli.md": cli_page("attester"),
        "openapi.json": json.dumps(document(), indent=1, sort_keys=True) + "\n",
    }
    by_hand = (path for path in sorted(DOCS.rglob("*.md")) if path.parent != FOLDER)
    return {
        **{FOLDER / name: text for name, text in made.items()},
        **{path: page_with_tables(path) for path in by_hand},
    }


def main() -> int:
    """Write the pages, or compare them."""
    check = "--check" in sys.argv[1:]
    FOLDER.mkdir(parents=True, exist_ok=True)
    stale = []
    for path, text in pages().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(str(path.relative_to(DOCS)))
            if not check:
                path.write_text(text, encoding="utf-8")
    verb = "differ from the program" if check else "written"
    print(f"docs: {', '.join(stale) or 'nothing'} {verb}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
