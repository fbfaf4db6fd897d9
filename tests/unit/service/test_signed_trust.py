"""``trust_keys_file`` from the settings to the verdict: at the start, in the worker's rounds, and when a document is read."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from structlog.testing import capture_logs

from attester.keys import public_jwk
from tests.support.keyfiles import KeyFolder, make_key_folder
from tests.support.service import PLACE
from tests.support.signing import BASE_URL
from tools.demo.forged import FORGED_WORKLOAD, forged_documents
from tools.demo.trust import write_documents
from verifier.adapters.clock import SystemClock
from verifier.adapters.sql.store import SqlStore
from verifier.appraise.signatures import sign_document
from verifier.compose import compose, compose_store, open_keys, prepare
from verifier.core.settings import Settings
from verifier.formats.encoding import b64url
from verifier.formats.errors import CannotDecide, ConfigError
from verifier.formats.jws import PrivateKey
from verifier.worker import Worker

pytestmark = pytest.mark.slow

OWNER = ec.generate_private_key(ec.SECP256R1())
STRANGER = ed25519.Ed25519PrivateKey.generate()
DOCUMENTS = forged_documents(PLACE)


def signed(key: PrivateKey = OWNER, signer: str = "owner", **changes: Any) -> list[dict[str, Any]]:
    """Sign all documents; ``changes`` are made to the workload before."""
    changed = [{**one, **changes} if one["document"] == "workload" else one for one in DOCUMENTS]
    return [sign_document(one, signer, key) for one in changed]


@dataclass(frozen=True, slots=True)
class Place:
    """Settings, and the folder that they name."""

    settings: Settings
    trust: Path
    demands: Path

    def write(self, documents: Sequence[Mapping[str, Any]]) -> None:
        """Write the documents."""
        write_documents(self.trust / "forged.yaml", [dict(one) for one in documents])

    def demand(self, table: Mapping[str, Any]) -> None:
        """Write the keys file."""
        self.demands.write_text(json.dumps(table))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyFolder:
    return make_key_folder(tmp_path_factory.mktemp("keys") / "s", simulated=True, now=int(time.time()) - 3600)


@pytest.fixture
def place(tmp_path: Path, keys: KeyFolder) -> Place:
    keys = keys.copy(tmp_path / "keys")  # the mark beside it is of this test's store
    settings = Settings(
        base_url=BASE_URL,
        behind_tls_proxy=True,
        simulated=True,
        database_url=f"sqlite:///{tmp_path}/verifier.db",
        key_file=str(keys.keys.file),
        key_passphrase_file=str(keys.keys.passphrase_file),
        trust_dir=str(tmp_path / "trust"),
        trust_keys_file=str(tmp_path / "trust-keys.json"),
    )
    made = Place(settings, tmp_path / "trust", tmp_path / "trust-keys.json")
    made.demand({"default": {"owner": public_jwk(OWNER)}})
    return made


@pytest.fixture
def store(place: Place) -> Iterator[SqlStore]:
    opened = compose_store(place.settings, open_keys(place.settings))
    yield opened
    opened.close()


def test_signed_documents_start_and_serve(place: Place) -> None:
    place.write(signed())
    prepare(place.settings)
    parts = compose(place.settings)

    assert parts.trust.workload("default", FORGED_WORKLOAD) is not None
    parts.store.close()


@pytest.mark.parametrize(
    "documents",
    [
        lambda: DOCUMENTS,
        lambda: signed(STRANGER),
        lambda: signed(OWNER, "stranger"),
        lambda: [*signed()[:-1], DOCUMENTS[-1]],
    ],
    ids=["unsigned", "by-another-key", "by-an-unknown-name", "one-unsigned"],
)
def test_documents_that_are_not_signed_by_the_owner_stop_the_start(
    place: Place, store: SqlStore, documents: Callable[[], list[dict[str, Any]]]
) -> None:
    place.write(documents())
    with pytest.raises(ConfigError):
        prepare(place.settings)

    assert store.trust_digest() == ""


def test_a_document_changed_after_it_was_signed_stops_the_start(place: Place) -> None:
    changed = [{**one, "audience": "vault/elsewhere"} if one["document"] == "workload" else one for one in signed()]
    place.write(changed)

    with pytest.raises(ConfigError, match="does not verify"):
        prepare(place.settings)


def test_an_older_version_than_was_ever_compiled_stops_the_start(place: Place) -> None:
    place.write(signed(version=2))
    prepare(place.settings)
    place.write(signed())

    with pytest.raises(ConfigError, match="rollback"):
        prepare(place.settings)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"default": {}}',
        '{"Default": {"owner": {}}}',
        '{"default": {"owner": {"kty": "EC"}}}',
        json.dumps({"default": {"owner": {**public_jwk(OWNER), "d": b64url(bytes(32))}}}),
    ],
    ids=["empty", "cut", "array", "no-key", "no-name", "half-a-key", "private-key"],
)
def test_a_keys_file_that_names_no_keys_stops_the_start(place: Place, text: str) -> None:
    place.write(signed())
    place.demands.write_text(text)

    with pytest.raises(ConfigError):
        prepare(place.settings)


def test_a_keys_file_that_is_not_there_stops_the_start(place: Place) -> None:
    place.write(signed())
    place.demands.unlink()

    with pytest.raises(ConfigError, match="readable"):
        prepare(place.settings)


def test_without_the_setting_nobody_demands_anything(place: Place) -> None:
    place.write(DOCUMENTS)

    prepare(place.settings.model_copy(update={"trust_keys_file": ""}))


def test_the_worker_leaves_in_force_what_was_compiled_last(place: Place, store: SqlStore, keys: KeyFolder) -> None:
    place.write(signed())
    prepare(place.settings)
    worker = Worker(place.settings, store, keys.open(simulated=True), SystemClock())
    before = store.trust_digest()
    for unwanted in (DOCUMENTS, signed(STRANGER)):
        place.write(unwanted)
        assert worker.round()
        assert store.trust_digest() == before

    place.write(signed(version=2))
    assert worker.round()
    assert store.trust_digest() != before


def test_a_worker_that_ends_gives_its_lease_back(place: Place, store: SqlStore, keys: KeyFolder) -> None:
    place.write(signed())
    prepare(place.settings)
    worker = Worker(place.settings, store, keys.open(simulated=True), SystemClock())
    assert worker.round()
    assert not store.acquire_lease("worker", "another", 1_000)
    assert not store.release_lease("worker", "another")
    worker.close()
    assert store.acquire_lease("worker", "another", 1_000)


def test_a_start_goes_on_with_what_the_store_has(place: Place, store: SqlStore) -> None:
    place.write(signed())
    prepare(place.settings)
    place.write(DOCUMENTS)
    before = store.trust_digest()
    with pytest.raises(ConfigError):
        prepare(place.settings)
    with capture_logs() as said:
        prepare(place.settings, log=structlog.get_logger("test"))
    (line,) = said
    assert (line["event"], line["check_id"], line["in_force"]) == ("trust-refused", "trust.set.broken", before)
    assert store.trust_digest() == before


def test_a_changed_keys_file_takes_effect_at_the_next_start(place: Place, store: SqlStore, keys: KeyFolder) -> None:
    """Serving processes know the old key alone: a worker that took documents of the new one would stop every login."""
    place.write(signed())
    prepare(place.settings)
    parts = compose(place.settings)
    worker = Worker(place.settings, store, keys.open(simulated=True), SystemClock())
    fresh = ec.generate_private_key(ec.SECP256R1())
    place.demand({"default": {"owner": public_jwk(OWNER), "fresh": public_jwk(fresh)}})
    # What was signed before stays as it is: who signed it is part of a version's content.
    place.write([*signed()[:-1], signed(fresh, "fresh", version=2)[-1]])
    assert worker.round()
    assert parts.trust.workload("default", FORGED_WORKLOAD) is not None
    parts.store.close()

    prepare(place.settings)
    again = compose(place.settings)
    assert again.trust.workload("default", FORGED_WORKLOAD) is not None
    again.store.close()


def test_a_hand_in_the_database_is_no_verdict(place: Place, store: SqlStore) -> None:
    place.write(signed())
    prepare(place.settings)
    parts = compose(place.settings)
    body = store.trust_document("workload", "default", FORGED_WORKLOAD)
    assert body is not None
    with sqlite3.connect(place.settings.database_url.removeprefix("sqlite:///")) as connection:
        connection.execute(
            "UPDATE trust_documents SET body = ? WHERE kind = 'workload' AND name = ?",
            (body.replace(PLACE.audience, "vault/elsewhere"), FORGED_WORKLOAD),
        )
    connection.close()

    with pytest.raises(CannotDecide) as caught:
        parts.trust.workload("default", FORGED_WORKLOAD)
    assert caught.value.check_id == "service.store.seal"
    # An operator who keeps the row does not sign the document with that.
    assert [row.table for row in store.mend_seals("a test", keep=True)] == ["trust_documents"]
    with pytest.raises(CannotDecide) as caught:
        parts.trust.workload("default", FORGED_WORKLOAD)
    assert caught.value.check_id == "service.trust"
    parts.store.close()
