"""The mark beside the key file: only this key file's, only upwards, whole or as it was."""

from __future__ import annotations

import dataclasses
import json
import stat
from pathlib import Path

import pytest

from verifier.adapters.keys.mark_file import MarkFile
from verifier.core.ports import StoreMark
from verifier.formats.errors import ConfigError

MARK = StoreMark(seq=7, digest=b"\x07" * 32, epoch=90_000_000_000, changes=3)


@pytest.fixture
def file(tmp_path: Path) -> MarkFile:
    return MarkFile(tmp_path / "keys.json", lambda: bytes(32))


def test_it_is_written_and_read(file: MarkFile) -> None:
    assert file.read() is None
    assert file.raise_to(MARK)
    assert file.read() == MARK
    assert file.path.name == "keys.json.mark"
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["seq", "epoch", "changes"])
def test_it_rises_with_any_of_its_members_and_with_none_it_falls(file: MarkFile, name: str) -> None:
    file.set(MARK)
    assert not file.raise_to(MARK)
    assert file.raise_to(dataclasses.replace(MARK, **{name: getattr(MARK, name) + 1}))
    file.set(MARK)
    lower = dataclasses.replace(MARK, **{name: getattr(MARK, name) - 1}, digest=bytes(32))
    assert not file.raise_to(dataclasses.replace(lower, **{"seq" if name != "seq" else "epoch": 2**40}))
    assert file.read() == MARK


def test_another_key_files_mark_is_refused_by_name(file: MarkFile, tmp_path: Path) -> None:
    file.set(MARK)
    with pytest.raises(ConfigError, match=r"keys\.json\.mark: mac.*raise-epoch --reason"):
        MarkFile(tmp_path / "keys.json", lambda: b"\x01" * 32).read()


@pytest.mark.parametrize("change", [{"seq": 8}, {"digest": "00" * 32}, {"mac": "00" * 32}, {"more": 1}, {"seq": -1}])
def test_a_mark_changed_by_hand_is_refused(file: MarkFile, change: dict[str, object]) -> None:
    file.set(MARK)
    file.path.write_text(json.dumps({**json.loads(file.path.read_text()), **change}))
    with pytest.raises(ConfigError, match=r"keys\.json\.mark"):
        file.read()


def test_a_file_that_is_no_mark_is_refused(file: MarkFile) -> None:
    file.path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"keys\.json\.mark: file"):
        file.read()
