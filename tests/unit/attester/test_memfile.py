"""Secrets stand in memory, for one user, whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from attester import memfile
from verifier.formats.errors import ConfigError


def test_a_file_is_ours_alone_whatever_the_umask(memory: Path) -> None:
    before = os.umask(0)
    try:
        memfile.write(memory / "secret", b"value")
    finally:
        os.umask(before)
    assert stat.S_IMODE((memory / "secret").stat().st_mode) == 0o600
    assert (memory / "secret").read_bytes() == b"value"


def test_a_disk_is_refused_and_nothing_is_left_on_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        memfile.write(tmp_path / "secret", b"value")
    assert caught.value.key == "file system"
    assert list(tmp_path.iterdir()) == []


def test_a_link_to_a_disk_does_not_lead_there(memory: Path, tmp_path: Path) -> None:
    (memory / "link").symlink_to(tmp_path / "stolen")
    (memory / "folder").symlink_to(tmp_path)
    memfile.write(memory / "link", b"value")
    assert not (memory / "link").is_symlink()
    with pytest.raises(ConfigError):
        memfile.write(memory / "folder" / "secret", b"value")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_where_others_may_rename_is_refused(memory: Path) -> None:
    memory.chmod(0o777)
    with pytest.raises(ConfigError) as caught:
        memfile.write(memory / "secret", b"value")
    assert caught.value.key == "mode"
    memory.chmod(0o1777)
    memfile.write(memory / "secret", b"value")


def test_a_folder_of_another_user_is_refused(memory: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    os.chown(memory, 12345, 12345)
    with pytest.raises(ConfigError) as caught:
        memfile.write(memory / "secret", b"value")
    assert caught.value.key == "owner"


def test_a_name_that_is_taken_is_refused_where_the_file_will_be_removed_later(memory: Path) -> None:
    (memory / "taken").write_text("theirs")
    with pytest.raises(ConfigError):
        memfile.write(memory / "taken", b"ours", replace=False)
    assert (memory / "taken").read_text() == "theirs"
    assert [p.name for p in memory.iterdir()] == ["taken"]


def test_remove_takes_only_what_was_written_here(memory: Path) -> None:
    ours = memfile.write(memory / "secret", b"ours")
    memfile.write(memory / "secret", b"newer")
    ours.remove()
    assert (memory / "secret").read_bytes() == b"newer"
    memfile.write(memory / "other", b"x").remove()
    assert not (memory / "other").exists()


def test_an_interrupt_leaves_nothing_behind(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        memfile.write(memory / "secret", b"value")
    assert list(memory.iterdir()) == []


def test_a_file_system_that_nobody_names_is_refused(
    memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mount that this process cannot see in its table could be anything."""
    empty = tmp_path / "mountinfo"
    empty.write_text("22 27 0:9999 / /proc rw - proc proc rw\n")
    monkeypatch.setattr(memfile, "_MOUNTINFO", str(empty))
    with pytest.raises(ConfigError) as caught:
        memfile.require_memory_folder(memory)
    assert caught.value.got == "unknown"


def test_the_folder_of_our_own_is_on_memory_and_closed_to_others(memory: Path) -> None:
    folder = memfile.default_folder({"XDG_RUNTIME_DIR": str(memory)})
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    memfile.require_memory_folder(folder)


def test_a_planted_folder_of_our_name_is_not_used(memory: Path, tmp_path: Path) -> None:
    (memory / memfile.FOLDER_NAME).symlink_to(tmp_path)
    assert memfile.default_folder({"XDG_RUNTIME_DIR": str(memory)}).parent != memory
    (memory / memfile.FOLDER_NAME).unlink()
    (memory / memfile.FOLDER_NAME).mkdir(mode=0o755)
    (memory / memfile.FOLDER_NAME).chmod(0o755)
    assert memfile.default_folder({"XDG_RUNTIME_DIR": str(memory)}).parent != memory
