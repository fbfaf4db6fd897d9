"""A hand in the database, a broken page, a full disk, a restored backup, a store of the first schema."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.faults.conftest import Seen
from tests.support.live import LiveVerifier, live_verifier, problem
from tests.support.live_tpm import TPM_WORKLOAD, ForgedTpmProvider, TpmVerifier, fresh_tpm, tpm_verifier
from tests.support.old_store import make_old_store
from tests.support.parts import missing
from tests.support.postgresql import PostgresServer, postgres_server
from tests.support.proc import replace_web_processes
from tests.support.waiting import wait_for
from tools.demo.adversaries import prepare
from tools.demo.forged import FORGED_WORKLOAD
from verifier.adapters.sql.engine import Database, read_url

DATABASES = ("sqlite", "postgresql")
NewUrl = Callable[[], str]


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=DATABASES)
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> NewUrl:
    """Return what names a new database."""
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        return server.new_database
    numbers = iter(range(100))
    return lambda: f"sqlite:///{tmp_path}/db{next(numbers)}.sqlite"


def _by_hand(url: str, *statements: str, **values: Any) -> None:
    database = Database(read_url(url))
    with database.write() as connection:
        for statement in statements:
            assert connection.execute(text(statement), values).rowcount == 1
    database.close()


def _command(live: LiveVerifier, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "verifier.cli", *words, "--config", str(live.folder.settings_file)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def _refusal(live: LiveVerifier, workload: str = FORGED_WORKLOAD) -> tuple[int, str]:
    reply = live.send(live.prepare(live.trust(workload)).body)
    return reply.status, problem(reply)["check_id"]


def _tpm_answer(verifier: TpmVerifier, tpm: Any) -> tuple[int, str]:
    live = verifier.live
    reply = live.send(prepare(live.trust(TPM_WORKLOAD), ForgedTpmProvider(tpm)).body)
    return reply.status, "" if reply.status == 200 else problem(reply)["check_id"]


@pytest.mark.fault(
    "a software TPM's key is put into the database, an enrolled one is changed there",
    "503 service.store.seal for these two, a token for every other, the rows are listed",
)
def test_a_key_that_a_hand_enrolled_gets_no_token(tmp_path: Path, new_url: NewUrl, seen: Seen) -> None:
    url = new_url()
    with tpm_verifier(tmp_path / "v", {"database_url": url}) as verifier:
        honest, changed, forged = (fresh_tpm(f"seals {name}") for name in ("honest", "changed", "forged"))
        for tpm in (honest, changed):
            verifier.allow(tpm)
            assert verifier.enrol(tpm).ok
            assert _tpm_answer(verifier, tpm) == (200, "")
        assert _tpm_answer(verifier, forged)[1] == "tpm2.ak.enrolled"
        columns = "ek_public_digest, ek_name, root, enrolled_at_ms, seal"
        _by_hand(
            url,
            f"INSERT INTO tpm_aks (tenant, ak_name, ak_public, {columns})"  # noqa: S608 - constants
            f" SELECT tenant, :forged, :public, {columns} FROM tpm_aks WHERE ak_name = :honest",
            "UPDATE tpm_aks SET root = 'private' WHERE ak_name = :changed",
            forged=forged.ak_name, public=forged.ak_public, honest=honest.ak_name, changed=changed.ak_name,
        )  # fmt: skip
        answers = [_tpm_answer(verifier, tpm) for tpm in (forged, changed, honest)]
        assert answers == [(503, "service.store.seal"), (503, "service.store.seal"), (200, "")]
        listed = _command(verifier.live, "store", "seals")
        assert listed.returncode == 1
        assert forged.ak_name.hex() in listed.stdout
        assert changed.ak_name.hex() in listed.stdout
        mended = _command(verifier.live, "store", "seals", "--remove", "--reason", "not ours")
        assert mended.returncode == 0, mended.stdout + mended.stderr
        assert _tpm_answer(verifier, forged)[1] == "tpm2.ak.enrolled"
        assert _tpm_answer(verifier, honest) == (200, "")
        seen("503 service.store.seal twice, 200 for the other")


@pytest.mark.fault(
    "a workload's document is changed in the database",
    "503 service.store.seal for it, tokens for the others, compiled anew at the next start",
)
def test_a_workload_that_a_hand_changed_is_refused_alone(tmp_path: Path, new_url: NewUrl, seen: Seen) -> None:
    url = new_url()
    with live_verifier(tmp_path / "v", {"database_url": url}, "pay", "ship") as live:
        live.attest(live.trust("pay"))
        change = "UPDATE trust_documents SET body = body || ' ' WHERE kind = 'workload' AND name = 'ship'"
        _by_hand(url, change)
        # A process that read the document before has it in memory, as it was compiled.
        replace_web_processes(live)
        assert _refusal(live, "ship") == (503, "service.store.seal")
        live.attest(live.trust("pay"))
        live.stop()
        live.start()
        live.attest(live.trust("ship"))
        assert "store-row-removed" in live.log()
        seen("503 service.store.seal for one, tokens for the other; both after a restart")


@pytest.mark.fault(
    "the root page of the records' table is overwritten under the running service",
    "503 service.store, nothing lost once the page is back",
)
def test_a_broken_page_decides_nothing(tmp_path: Path, seen: Seen) -> None:
    with live_verifier(tmp_path) as live:
        live.attest()
        file = live.folder.path / "verifier.db"
        page = _RecordsPage(file)
        # What a connection has read may serve it once more, and is then in the write-ahead log: break the page again.
        wait_for(lambda: page.overwrite() and live.send(live.prepare().body).status != 200)
        assert _refusal(live) == (503, "service.store")
        live.kill()
        page.put_back()
        live.start()
        live.attest()
        with live.folder.store() as store:
            last = store.verify_chain()
        assert [record.seq for record in live.records()] == list(range(1, last.seq + 1))
        seen(f"503 service.store; {last.seq} records after the page came back, chain unbroken")


class _RecordsPage:
    """The root page of the records' table in a SQLite file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        with sqlite3.connect(file) as connection:
            (self._size,) = connection.execute("PRAGMA page_size").fetchone()
            (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'records'").fetchone()
        connection.close()
        self._at = (page - 1) * self._size
        self._whole = b""

    def overwrite(self) -> bool:
        """Move all of the log into the file, keep the page, overwrite it."""
        connection = sqlite3.connect(self._file, timeout=30)
        busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        connection.close()
        if busy:
            return False
        with self._file.open("r+b") as opened:
            opened.seek(self._at)
            self._whole = opened.read(self._size)
            opened.seek(self._at)
            opened.write(b"\xff" * self._size)
        return True

    def put_back(self) -> None:
        """Write the page as it was."""
        with self._file.open("r+b") as opened:
            opened.seek(self._at)
            opened.write(self._whole)


def _serve(live: LiveVerifier) -> list[str]:
    return [sys.executable, "-m", "verifier.cli", "serve", "--config", str(live.folder.settings_file)]


@contextmanager
def _tiny_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount a small file system in memory, where this user may."""
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(words, capture_output=True, check=False).returncode != 0:
        missing("a user that may mount a tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.fault("the store's disk is full", "503 service.store, nothing lost, tokens again once there is room")
def test_a_full_disk_decides_nothing_and_loses_nothing(tmp_path: Path, seen: Seen) -> None:
    with _tiny_disk(tmp_path / "disk", "8m") as disk:
        settings = {"database_url": f"sqlite:///{disk}/verifier.db"}
        with live_verifier(tmp_path / "v", settings) as live:
            live.attest()
            filler = disk / "filler"
            with filler.open("wb", buffering=0) as file:
                try:
                    while file.write(bytes(4096)):
                        pass
                except OSError:
                    pass
            refused = 0
            for _ in range(40):  # what the write-ahead log has room for is still taken
                reply = live.send(live.prepare().body)
                if reply.status != 200:
                    assert (reply.status, problem(reply)["check_id"]) == (503, "service.store")
                    refused += 1
            assert refused > 0
            filler.unlink()
            wait_for(lambda: live.send(live.prepare().body).status == 200)
            with live.folder.store() as store:
                store.verify_chain()
            made = 1 + (40 - refused)
            assert len(live.records()) >= made + 1
            live.stop()
        seen(f"{refused} of 40 refused with service.store, a token afterwards, chain unbroken")


@dataclass(frozen=True)
class _Restored:
    """What a start said of a store that lies behind its mark."""

    status: int
    words: str


def _start_of(live: LiveVerifier) -> _Restored:
    done = subprocess.run(_serve(live), capture_output=True, text=True, check=False, timeout=60)
    return _Restored(done.returncode, done.stdout + done.stderr)


@pytest.mark.fault(
    "an older backup is restored",
    "serve refuses to start (64) and names raise-epoch --reason; tokens after that",
)
def test_a_restored_backup_does_not_serve_until_the_epoch_is_raised(
    tmp_path: Path, new_url: NewUrl, seen: Seen
) -> None:
    url = new_url()
    with live_verifier(tmp_path / "v", {"database_url": url}) as live:
        live.attest()
        backup = tmp_path / "backup"
        written = _command(live, "store", "backup", str(backup))
        assert written.returncode == 0, written.stderr
        live.attest()
        live.stop()
        end = live.records()[-1]
        settings = live.folder.settings_file
        fresh = new_url()
        settings.write_text(settings.read_text().replace(url, fresh))
        refused_new = _start_of(live)
        assert (refused_new.status, "raise-epoch --reason" in refused_new.words) == (64, True), refused_new.words
        settings.write_text(settings.read_text().replace(fresh, later := new_url()))
        restored = _command(live, "store", "restore", str(backup))
        assert restored.returncode == 0, restored.stdout + restored.stderr
        refused = _start_of(live)
        assert (refused.status, "raise-epoch --reason" in refused.words) == (64, True), refused.words
        assert _command(live, "store", "raise-epoch").returncode == 64
        expected = f"{end.seq},{end.digest.hex()}"
        assert _command(live, "store", "verify", "--expect-at-least", expected).returncode == 1
        raised = _command(live, "store", "raise-epoch", "--reason", "the disk broke")
        assert raised.returncode == 0, raised.stdout + raised.stderr
        live.start()
        live.attest()
        assert "the disk broke" in _command(live, "store", "events").stdout
        assert later in settings.read_text()
        seen("64, raise-epoch --reason named, for an empty and for a restored store; a token after it")


@pytest.mark.fault("the SQLite file of an hour ago is copied back", "serve refuses to start (64)")
def test_a_copied_file_does_not_serve(tmp_path: Path, seen: Seen) -> None:
    with live_verifier(tmp_path) as live:
        live.attest()
        live.stop()
        file = live.folder.path / "verifier.db"
        shutil.copy(file, tmp_path / "copy")
        live.start()
        live.attest()
        mark = live.folder.path / "keys.json.mark"
        wait_for(
            lambda: b'"seq":2' in mark.read_bytes()
        )  # the worker's next round; a kill leaves no time for a last one
        live.kill()
        for left in ("", "-wal", "-shm"):
            Path(f"{file}{left}").unlink(missing_ok=True)
        shutil.copy(tmp_path / "copy", file)
        refused = _start_of(live)
        assert (refused.status, "restored store" in refused.words) == (64, True), refused.words
        seen("64: seq 1, want at least 2")


@pytest.mark.fault("a store of 596a58d is opened", "migrated, sealed once, told; its rows count; tokens")
def test_a_store_of_the_first_schema_is_taken_over(tmp_path: Path, new_url: NewUrl, seen: Seen) -> None:
    url = new_url()
    records = make_old_store(url, "simulated")
    # Its trust document is none that could be read, and not in the folder: it is not to stay in force for a while.
    with live_verifier(tmp_path / "v", {"database_url": url, "trust_removal_grace_s": 0}) as live:
        live.attest()
        assert len(live.records()) == len(records) + 1
        assert "store-sealed" in live.log()
        _by_hand(url, "INSERT INTO tpm_eks (tenant, ek_digest) VALUES ('default', :ek)", ek=bytes(32))
        listed = _command(live, "store", "seals")
        assert (listed.returncode, listed.stdout.split()[:2]) == (1, ["tpm_eks", "default"])
        live.stop()
        live.start()
        assert _command(live, "store", "seals").returncode == 1
        live.attest()
        verified = _command(live, "store", "verify")
        assert verified.returncode == 0, verified.stdout
        seen(f"{len(records)} records and every row taken over; a row put in later is refused")
