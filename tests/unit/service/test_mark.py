"""A start looks at the store's mark, and keeps it where it can."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.keyfiles import make_key_folder
from tests.support.signing import BASE_URL
from tests.support.stores import SEALER
from tests.support.verdicts import make_verdict
from verifier.adapters.keys.mark_file import MarkFile
from verifier.adapters.sql.store import open_store
from verifier.compose import compose_store, keep_mark, mark_file, open_keys, prepare
from verifier.core.settings import Settings
from verifier.formats.errors import ConfigError


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    keys = make_key_folder(tmp_path / "keys", now=int(time.time()) - 3600).keys
    return Settings(
        base_url=BASE_URL,
        behind_tls_proxy=True,
        database_url=f"sqlite:///{tmp_path}/verifier.db",
        key_file=str(keys.file),
        key_passphrase_file=str(keys.passphrase_file),
    )


def _told(settings: Settings) -> list[str]:
    told: list[str] = []
    prepare(settings, lambda event, _fields: told.append(event))
    return told


def test_the_first_start_seals_and_marks_and_the_next_one_says_nothing(settings: Settings) -> None:
    assert _told(settings) == ["store-sealed", "store-mark-made"]
    assert _told(settings) == []


def test_a_start_behind_the_mark_is_refused_and_changes_neither(settings: Settings, tmp_path: Path) -> None:
    _told(settings)
    keys = open_keys(settings)
    store = compose_store(settings, keys)
    store.commit_verdict(make_verdict())
    file = mark_file(settings, keys)
    keep_mark(file, store, lambda _event, _fields: None)
    store.close()
    ahead = file.path.read_bytes()
    for left in ("", "-wal", "-shm"):
        (tmp_path / f"verifier.db{left}").unlink(missing_ok=True)
    with pytest.raises(ConfigError, match="never sealed"):
        prepare(settings)
    compose_store(settings, keys, is_new=True).close()  # as `raise-epoch --reason` opens it
    with pytest.raises(ConfigError, match=r"restored store: got 'seq 0', want at least 1"):
        prepare(settings)
    assert file.path.read_bytes() == ahead


def test_a_folder_that_cannot_be_written_costs_the_mark_alone(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/verifier.db", SEALER)
    told: list[tuple[str, Mapping[str, Any]]] = []
    file = MarkFile(tmp_path / "nowhere" / "keys.json", lambda: bytes(32))
    keep_mark(file, store, lambda event, fields: told.append((event, fields)))
    assert told == [("store-mark-not-kept", {"file": str(file.path), "error": "No such file or directory"})]
    store.close()
