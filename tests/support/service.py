"""The service in this process, on real parts: SQLite, a key file, a folder of collateral, trust documents, a forged chip.

The clock can be moved against the store's, and every use of store and keys is written down in the order it was made.
"""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from attester.answer import Expected, Opened, Pin, open_answer
from attester.flow import bind, request_body
from attester.keys import RequestKeys
from attester.settings import Trust
from forge.sev_snp import ForgedAmd
from forge.tpm2 import make_ca
from tests.support.keyfiles import KeyFolder, make_key_folder
from tests.support.signing import BASE_URL
from tests.support.stores import SEALER
from tools.demo.forged import FORGED_WORKLOAD, forged_chip, forged_documents
from tools.demo.trust import VaultPlace, write_documents
from verifier.adapters.challenges import ChallengeKeys
from verifier.adapters.clock import SystemClock
from verifier.adapters.collateral.sources import Collateral
from verifier.adapters.sql.store import SqlStore, open_store
from verifier.adapters.trust.compiling import compile_into
from verifier.adapters.trust.documents import TrustCatalogue
from verifier.core.envelope import Envelope
from verifier.core.ports import CommittedRecord, SigningKey, StoredRecord, VerdictRecord
from verifier.core.settings import Settings
from verifier.formats.errors import CannotDecide
from verifier.formats.x509chain import Anchor, ChainCache, Root
from verifier.service.attest import Service
from verifier.service.parts import Parts
from verifier.tee.registry import SCHEMES

TENANTS = ("default", "acme")
PLACE = VaultPlace(
    "https://vault.example:8200", ssl.DER_cert_to_PEM_cert(make_ca().root_der), "attestation-default", "demo"
)


@dataclass
class MovedClock(SystemClock):
    """The machine's clock, moved by so many milliseconds."""

    offset_ms: int = 0

    def now_ms(self) -> int:
        """Return the moved time."""
        return super().now_ms() + self.offset_ms


class WatchedStore:
    """A real store that writes down which of its methods were used. Everything else is the store's own."""

    def __init__(self, store: SqlStore, seen: list[str]) -> None:
        self._store = store
        self._seen = seen

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if callable(found):
            self._seen.append(f"store.{name}")
        return found

    def commit_verdict(self, record: VerdictRecord) -> CommittedRecord:
        """Commit, and write down of what kind the verdict was."""
        self._seen.append(f"store.commit_verdict:{record.outcome}")
        return self._store.commit_verdict(record)


@dataclass
class WatchedKeys:
    """A real key file that writes down what is asked of it; keys named in ``missing`` are not there."""

    keys: Any
    seen: list[str]
    missing: frozenset[str] = frozenset()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.keys, name)

    def signing_key(self, tenant: str, now: int) -> SigningKey:
        """Hand out a key whose signatures are written down."""
        self._take("signing_key", "service.keys")
        return self._watched(self.keys.signing_key(tenant, now), "token")

    def answer_key(self, tenant: str, now: int) -> tuple[SigningKey, str]:
        """Hand out a key whose signatures are written down."""
        self._take("answer_key", "service.keys.answer")
        key, key_set = self.keys.answer_key(tenant, now)
        return self._watched(key, "answer"), key_set

    def _take(self, name: str, check_id: str) -> None:
        self.seen.append(f"keys.{name}")
        if name in self.missing:
            raise CannotDecide(check_id, "taken away by the test")

    def _watched(self, key: SigningKey, what: str) -> SigningKey:
        def sign(message: bytes) -> bytes:
            self.seen.append(f"sign:{what}")
            return key.sign(message)

        return replace(key, sign=sign)


@dataclass
class House:
    """The service, what it is made of, and what it did."""

    service: Service
    parts: Parts
    store: SqlStore
    keys: WatchedKeys
    clock: MovedClock
    endorsements: Path
    seen: list[str]
    chip: ForgedAmd = field(default_factory=forged_chip)

    def trust(self, **changes: Any) -> Trust:
        """What an attester is told."""
        values: dict[str, Any] = {
            "url": BASE_URL,
            "ca": "",
            "issuer": f"{BASE_URL}/t/{changes.get('tenant', 'default')}",
            "root": self.keys.root_jwk(),
            "root_lowest_seq": 1,
            "tenant": "default",
            "workload": FORGED_WORKLOAD,
            "audience": PLACE.audience,
        }
        return Trust(**{**values, **changes})

    def request(self, trust: Trust | None = None, *, nonce: bytes = b"", **fields: Any) -> Asked:
        """Make a signed request with a report of these fields; its nonce is a fresh one unless given."""
        trust = trust or self.trust()
        nonce = nonce or self.service.challenge(trust.tenant, trust.workload)[0]
        keys = RequestKeys.fresh()
        report = self.chip.report(report_data=bind(trust, keys, nonce).whole, **fields)
        envelope = Envelope("sev-snp", {"report": report}, self.chip.endorsements())
        return Asked(trust, keys, nonce, request_body(trust, keys, nonce, envelope))

    def did(self, asked: Asked) -> list[str]:
        """Attest, and return what was done to store and keys on the way."""
        self.seen.clear()
        try:
            self.service.attest(asked.body)
        finally:
            done = list(self.seen)
        return done

    def records(self) -> Sequence[StoredRecord]:
        """Return all records."""
        return self.store.records_after(0, 1_000)

    def put_crl(self, **changes: Any) -> None:
        """Put the forged vendor's CRL where it belongs."""
        path = self.endorsements / "sev-snp" / "crl" / "Milan.der"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.chip.crl(**changes))


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, and what is needed to open its answer."""

    trust: Trust
    keys: RequestKeys
    nonce: bytes
    body: bytes

    def open(self, answer: str) -> Opened:
        """Open the answer as the attester does."""
        expected = Expected(
            issuer=self.trust.issuer,
            tenant=self.trust.tenant,
            workload=self.trust.workload,
            nonce=self.nonce,
            sig_thumbprint=self.keys.sig_thumbprint,
            enc_thumbprint=self.keys.enc_thumbprint,
        )
        pin = Pin(self.trust.root, self.trust.root_lowest_seq)
        return open_answer(answer, enc_key=self.keys.enc, expected=expected, pin=pin, now=int(time.time()) - 3600)


@contextmanager
def house(
    path: Path,
    *,
    simulated: bool = True,
    root: Root = "simulated",
    documents: Sequence[Mapping[str, Any]] = (),
    key_folder: KeyFolder | None = None,
) -> Iterator[House]:
    """Build the service in a folder. ``root`` is whose word the forged vendor's root counts as, whatever the process."""
    folder = key_folder or make_key_folder(path / "keys", simulated=simulated, now=int(time.time()) - 3600)
    settings = Settings(
        base_url=BASE_URL,
        tenants=TENANTS,
        behind_tls_proxy=True,
        simulated=simulated,
        key_passphrase_file=str(folder.keys.passphrase_file),
    )
    seen: list[str] = []
    clock = MovedClock()
    store = open_store(f"sqlite:///{path}/verifier.db", SEALER, clock=clock)
    write_documents(path / "trust" / "forged.yaml", [dict(one) for one in documents] or forged_documents(PLACE))
    compile_into(store, path / "trust")
    keys = WatchedKeys(folder.open(simulated=simulated), seen)
    watched: Any = WatchedStore(store, seen)
    chip = forged_chip()
    anchors = {"sev-snp": (Anchor("forged", chip.ark(), root),)}
    parts = Parts(
        settings=settings,
        clock=clock,
        random=os.urandom,
        store=watched,
        trust=TrustCatalogue(store),
        keys=keys,
        challenge_keys=ChallengeKeys(keys.master),
        collateral=Collateral(watched, anchors, clock, folder=str(path / "endorsements")),
        schemes=SCHEMES,
        anchors=anchors,
        chains=ChainCache(),
    )
    made = House(Service(parts), parts, store, keys, clock, path / "endorsements", seen, chip)
    made.put_crl()
    try:
        yield made
    finally:
        store.close()
