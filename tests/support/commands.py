"""A settings file with a store, and a command group of ``verifier`` typed at them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner, Result

from tests.support.keyfiles import make_key_folder
from tests.support.signing import BASE_URL
from verifier.adapters.sql.seals import Sealer
from verifier.adapters.sql.store import SqlStore, open_store


@dataclass(frozen=True, slots=True)
class CommandPlace:
    """A command group, and the settings and the store that it works on."""

    command: click.Command
    config: Path
    database: Path
    store: SqlStore

    def typed(self, *arguments: str) -> Result:
        """Type a command; nothing is expected of how it ends."""
        return CliRunner().invoke(self.command, [*arguments, "--config", str(self.config)])

    def done(self, *arguments: str) -> dict[str, Any]:
        """Type a command that has to succeed, and return its JSON."""
        result = self.typed(*arguments, "--format", "json")
        assert result.exit_code == 0, result.output
        answer: dict[str, Any] = json.loads(result.stdout)
        return answer


@contextmanager
def command_place(folder: Path, command: click.Command) -> Iterator[CommandPlace]:
    """Lay out settings, keys and an empty store in a folder."""
    database, config, keys = folder / "verifier.db", folder / "verifier.toml", make_key_folder(folder / "keys")
    config.write_text(
        f'base_url = "{BASE_URL}"\nbehind_tls_proxy = true\n'
        f'key_file = "{keys.keys.file}"\nkey_passphrase_file = "{keys.keys.passphrase_file}"\n'
        f'database_url = "sqlite:///{database}"\n'
    )
    store = open_store(f"sqlite:///{database}", Sealer(keys.open().master))
    try:
        yield CommandPlace(command, config, database, store)
    finally:
        store.close()
