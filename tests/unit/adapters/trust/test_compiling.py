"""A folder's documents into the store: where they follow, once, and with a history."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, update

from tests.support import trust
from tests.support.stores import SEALER
from verifier.adapters.sql.models import trust_documents
from verifier.adapters.sql.store import SqlStore, open_store
from verifier.adapters.trust.compiling import HISTORY, TAKEN, Standing, TrustFolder
from verifier.appraise.lineage import MANIFEST
from verifier.core.ports import TrustRow
from verifier.formats.errors import CannotDecide, ConfigError, TrustRefused

BASE = [*trust.identities(), trust.policy()]
ON, OFF = trust.workload(), trust.workload(state="disabled")
SECOND = trust.workload(name="second", uuid=str(uuid.uuid4()))
HOUR = 3_600_000
NOW = 1_780_000_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    opened = open_store(f"sqlite:///{tmp_path}/store.sqlite3", SEALER)
    yield opened
    opened.close()


class Replica:
    """A folder of its own, and how it looks at the store."""

    def __init__(self, path: Path, store: Any, **more: Any) -> None:
        path.mkdir()
        self.path = path
        self.folder = TrustFolder(store, path, schemes=trust.SCHEMES, grace_ms=HOUR, by=path.name, **more)

    def write(self, *documents: dict[str, Any]) -> None:
        """Put documents into the folder."""
        (self.path / "all.json").write_text(json.dumps([*BASE, *documents]))

    def take(self, now_ms: int | None = NOW, **more: Any) -> Standing:
        """Look once."""
        return self.folder.take(now_ms, **more)

    def refused(self) -> str:
        """Look once, and return the id of the refusal."""
        with pytest.raises(TrustRefused) as caught:
            self.take()
        return caught.value.check_id


@pytest.fixture
def pair(tmp_path: Path, store: SqlStore) -> tuple[Replica, Replica]:
    return Replica(tmp_path / "a", store), Replica(tmp_path / "b", store)


def _state(store: SqlStore, name: str) -> str | None:
    body = store.trust_document("workload", "acme", name)
    return None if body is None else str(json.loads(body)["state"])


def test_an_older_folder_undoes_nothing(store: SqlStore, pair: tuple[Replica, Replica]) -> None:
    new, old = pair
    for one in pair:
        one.write(ON)
        one.take()
    new.write(OFF, SECOND)
    assert new.take().change is not None
    number = store.trust_number()
    for _round in range(3):
        assert old.refused() == "trust.set.older"
        assert new.take().change is None
    assert (_state(store, "payments"), _state(store, "second"), store.trust_number()) == ("disabled", "enabled", number)
    old.write(OFF, SECOND)
    assert old.take().digest == new.take().digest == store.trust_digest()


def test_a_change_leaves_a_row_that_stays(store: SqlStore, pair: tuple[Replica, Replica]) -> None:
    new, _old = pair
    new.write(ON)
    new.take()
    new.write(OFF, SECOND)
    new.take()
    first, second = (json.loads(store.trust_document("set", HISTORY, TAKEN, number) or "") for number in (1, 2))
    assert (first["by"], first["count"]["added"], first["before"]) == ("a", len(BASE) + 1, "")
    assert (second["added"], second["changed"]) == (["workload/acme/second"], ["workload/acme/payments"])
    assert second["before"] == first["digest"]


def test_a_removal_waits_and_then_is_done(store: SqlStore, pair: tuple[Replica, Replica]) -> None:
    only, _other = pair
    only.write(ON, SECOND)
    only.take()
    only.write(ON)
    assert only.take().kept == {"workload/acme/second": NOW + HOUR}
    assert only.take(NOW + HOUR - 1).kept
    assert only.take(None).kept
    assert _state(store, "second") == "enabled"
    done = only.take(NOW + HOUR)
    assert (done.kept, _state(store, "second")) == ({}, None)
    only.write(ON, SECOND)
    assert only.refused() == "trust.set.older"
    assert only.take(accepted=True).change is not None
    assert _state(store, "second") == "enabled"


def test_a_document_put_back_in_time_was_never_gone(store: SqlStore, pair: tuple[Replica, Replica]) -> None:
    only, _other = pair
    only.write(ON, SECOND)
    only.take()
    only.write(ON)
    only.take()
    only.write(ON, SECOND)
    standing = only.take(NOW + 2 * HOUR)
    assert (standing.kept, standing.change, _state(store, "second")) == ({}, None, "enabled")


def test_a_removal_that_does_not_go_together_with_the_rest_is_refused(pair: tuple[Replica, Replica]) -> None:
    only, _other = pair
    only.write(ON)
    only.take()
    moved = {**trust.workload()["vault"], "mount": "another"}
    only.write(trust.workload(name="heir", uuid=str(uuid.uuid4()), vault=moved))
    assert only.refused() == "trust.set.removal"


def test_a_manifest_brings_a_folder_into_force_whole(store: SqlStore, pair: tuple[Replica, Replica]) -> None:
    from verifier.adapters.trust.compiling import folder_rows
    from verifier.appraise.lineage import manifest_of

    new, old = pair

    def sign_off(one: Replica, version: int) -> None:
        rows = folder_rows(one.path, schemes=trust.SCHEMES)
        (one.path / MANIFEST).write_text(manifest_of(rows, version).model_dump_json())

    for one in pair:
        one.write(ON, SECOND)
        sign_off(one, 1)
        one.take()
    new.write(OFF)
    with pytest.raises(ConfigError) as caught:
        new.take()
    assert (caught.value.where, caught.value.key) == (MANIFEST, "workloads")
    assert _state(store, "payments") == "enabled"
    sign_off(new, 2)
    assert new.take().kept == {}
    assert (_state(store, "payments"), _state(store, "second")) == ("disabled", None)
    assert old.refused() == "trust.set.older"
    sign_off(old, 2)
    assert old.refused() == "trust.set.diverging"
    (old.path / MANIFEST).unlink()
    assert old.refused() == "trust.set.manifest"
    sign_off(old, 3)
    assert old.take().change is not None
    assert new.refused() == "trust.set.older"


def test_a_store_from_before_goes_on_without_a_change(store: SqlStore, pair: tuple[Replica, Replica]) -> None:
    """Its digest was of the files, and no set had a row."""
    only, _other = pair
    only.write(ON)
    only.take()
    rows = [*store.trust_rows()]
    store.replace_trust("of the files", rows)
    with store._database.write() as connection:
        connection.execute(delete(trust_documents).where(trust_documents.c.tenant == ""))
        store._write_state(connection, "trust", 0, "of the files")
    adopted = only.take()
    assert adopted.change is not None
    assert adopted.change["count"] == {"added": 0, "removed": 0, "changed": 0}
    assert sorted(store.trust_rows(), key=str) == sorted(rows, key=str)
    assert only.take().change is None


def test_a_set_that_was_taken_out_of_the_store_is_put_there_again_by_its_folder_alone(
    store: SqlStore, pair: tuple[Replica, Replica]
) -> None:
    """As a store does that finds a row of it changed: it forgets the set's digest, and keeps number and history."""
    new, old = pair
    for one in pair:
        one.write(ON, SECOND)
        one.take()
    new.write(OFF, SECOND)
    number = new.take().number
    with store._database.write() as connection:
        connection.execute(update(trust_documents).where(trust_documents.c.name == "second").values(body="{}"))
    assert store.mend_trust()
    assert (store.trust_digest(), store.trust_number()) == ("", number)
    assert old.refused() == "trust.set.older"
    assert new.take().number == number + 1
    assert (_state(store, "payments"), _state(store, "second")) == ("disabled", "enabled")


def test_two_processes_that_replace_at_once_do_not_undo_each_other(
    store: SqlStore, pair: tuple[Replica, Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = pair
    for replica in pair:
        replica.write(ON)
        replica.take()
    one.write(ON, SECOND)
    other.write(OFF)
    replace, before = store.replace_trust, []

    def slow(digest: str, rows: Any, *, after: int | None = None) -> bool:
        if not before:
            before.append(digest)
            other.take()  # between its look and its writing
        return replace(digest, rows, after=after)

    monkeypatch.setattr(store, "replace_trust", slow)
    assert one.refused() == "trust.set.older"  # it would have enabled what is disabled now
    assert _state(store, "payments") == "disabled"


def test_a_store_that_changes_at_each_try_is_waited_for(
    store: SqlStore, pair: tuple[Replica, Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    only, _other = pair
    only.write(ON)
    monkeypatch.setattr(store, "replace_trust", lambda *_arguments, **_more: False)
    with pytest.raises(CannotDecide) as caught:
        only.take()
    assert caught.value.check_id == "service.trust"


def test_history_rows_are_no_documents(store: SqlStore) -> None:
    store.keep_trust_history([TrustRow("folder", HISTORY, "d", 1, "1"), TrustRow("policy", "acme", "p", 1, "{}")])
    assert store.trust_history("folder") == {"d": "1"}
    assert list(store.trust_rows()) == []
    assert store.trust_number() == 0
