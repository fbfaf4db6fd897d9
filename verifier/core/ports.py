"""Ports: what the program needs from the world, as protocols, one for each consumer. Adapters implement them, ``compose`` wires them.

Time, randomness and storage enter only here. Every method of a store may raise ``CannotDecide('service.store')`` when the database
does not answer. Commands that read and change the store's tables by hand work on ``adapters.sql``'s own class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from verifier.core.timekeeping import StoreTimes
from verifier.formats.errors import BridgeError, CannotDecide


class Clock(Protocol):
    """The machine's clock."""

    def now_ms(self) -> int:
        """Return Unix time in milliseconds."""
        ...


class SteadyClock(Clock, Protocol):
    """The machine's clock, and one that nobody sets beside it, which tells whether the first has jumped."""

    def steady_ms(self) -> int:
        """Return milliseconds since an unknown start that is the same for all processes of the machine."""
        ...


RandomSource = Callable[[int], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a record says of a verdict, before it is committed and after. Times are Unix milliseconds.

    ``clock-accepted`` is no verdict: an operator said that the clock is right (`verifier store accept-clock`).
    ``claims_digest`` is the SHA-256 of the RFC 8785 form of the token's claims (accepted only).
    """

    tenant: str
    workload_uuid: str
    workload: str
    scheme: str
    outcome: Literal["accepted", "refused", "clock-accepted"]
    check_id: str
    nonce_expires_ms: int
    now_ms: int
    policy: str
    policy_digest: bytes
    instance: str
    measurement: str
    jti: str
    claims_digest: bytes
    token_expires_ms: int
    source: str = ""  # network address of the caller, for the operator


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictRecord(Verdict):
    """One verdict to be committed (step 7): accepted or refused by appraisal.

    ``nonce`` is the whole 64 bytes; the store keeps its SHA-256. ``evidence`` is the envelope's bytes, kept by digest under the
    retention setting.
    """

    nonce: bytes
    findings: Sequence[Mapping[str, Any]] | str  # JSON data, or their RFC 8785 form made already
    evidence: bytes


# A record of no attestation: what it is about is filled in by ``dataclasses.replace``.
NO_ATTESTATION = VerdictRecord(
    tenant="",
    workload_uuid="",
    workload="",
    scheme="",
    outcome="refused",
    check_id="",
    nonce=b"",
    nonce_expires_ms=0,
    now_ms=0,
    policy="",
    policy_digest=b"",
    instance="",
    measurement="",
    jti="",
    claims_digest=b"",
    token_expires_ms=0,
    source="",
    findings=(),
    evidence=b"",
)


@dataclass(frozen=True, slots=True)
class CommittedRecord:
    """Where a record went: its number and its link in the hash chain."""

    seq: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class BrokenRow:
    """A row that decides and has no seal of this key file's; ``key`` as an operator reads it."""

    table: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreMark:
    """Where a store stood: end of its chain, epoch as it is kept, count of changes to rows that decide. None of them ever falls."""

    seq: int
    digest: bytes
    epoch: int
    changes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRecord(Verdict):
    """A record as kept, with digests in the place of nonce and evidence, and its place in the chain.

    ``findings`` is canonical JSON (RFC 8785); the evidence itself may be past its retention.
    """

    seq: int
    prev: bytes
    digest: bytes
    nonce_hash: bytes
    findings: str
    evidence_digest: bytes


@dataclass(frozen=True, slots=True)
class EnrolledAk:
    """An attestation key whose TPM is known (docs/tee/tpm2.md, "Enrolment"). ``public`` is TPMT_PUBLIC."""

    tenant: str
    ak_name: bytes
    ak_public: bytes
    ek_public_digest: bytes  # SHA-256 of the EK's SubjectPublicKeyInfo
    ek_name: bytes  # Name of the EK's TPMT_PUBLIC
    root: str  # "private" or "simulated": whose CA vouched for the EK
    enrolled_at_ms: int


@dataclass(frozen=True, slots=True)
class TrustRow:
    """A trust document as compiled into the store: ``body`` is canonical JSON.

    Of the tenant "", which has no documents, rows are history. Of the kind ``workload``: whose a uuid is. ``set``: a set that was
    in force. ``folder``: the digest of a folder's documents that were. ``replaced``: a document that is not in force any more.
    ``inputs``: what files, keys and program were compiled to.
    """

    kind: Literal["identity", "policy", "workload", "set", "folder", "replaced", "inputs"]
    tenant: str
    name: str
    version: int
    body: str


# What is told of a record that is to be committed: where it went, or why it did not.
Settled = Callable[[CommittedRecord | BridgeError], None]
# Gives up on a record, and returns what is told of it then.
GiveUp = Callable[[], CannotDecide]


class VerdictStore(Protocol):
    """What an attestation asks of the store."""

    def epoch(self) -> int:
        """Return the challenge epoch; raising it voids all challenges."""
        ...

    def commit_verdict(self, record: VerdictRecord) -> CommittedRecord:
        """Spend the nonce and write the record in one durable transaction.

        Raises ``EvidenceRejected('service.nonce.spent')``, ``CannotDecide('service.clock')`` when the clock is not to be believed,
        ``CannotDecide('service.store')`` when the record waited so long that its time is past.
        """
        ...

    def commit_soon(self, record: VerdictRecord, settled: Settled) -> GiveUp:
        """Keep a record for ``flush``; ``settled`` is called once, from another thread. Returns what gives up on it."""
        ...

    def flush(self) -> None:
        """Have the records of ``commit_soon`` written, in one transaction."""
        ...

    @property
    def is_local(self) -> bool:
        """Tell whether reading never waits for a network or another machine."""
        ...


class EnrolmentStore(Protocol):
    """What the enrolment of a TPM asks of the store."""

    def is_ek_listed(self, tenant: str, ek_digest: bytes) -> bool:
        """Tell whether the EK is on the tenant's list."""
        ...

    def ticket_is_open(self, tenant: str, ticket_hash: bytes) -> bool:
        """Tell whether a single-use enrolment ticket exists, is unspent and not expired."""
        ...

    def enrol_ak(self, ak: EnrolledAk, ticket_hash: bytes | None, *, must_be_listed: bool = False) -> None:
        """Write the AK, spending the ticket in the same transaction; ``EvidenceRejected('tpm2.enrolment.ticket')`` if spent.

        ``must_be_listed``: the EK has to be on the tenant's list in that transaction too (``tpm2.enrolment.admission``).
        """
        ...


class ServiceStore(VerdictStore, EnrolmentStore, Protocol):
    """What a serving process asks of the store."""

    def ping(self) -> None:
        """Raise ``CannotDecide`` unless the store can be written."""
        ...

    def rehearse(self, record: VerdictRecord) -> None:
        """Do what ``commit_verdict`` does, and take it back; raises what that would raise."""
        ...

    def close(self) -> None:
        """Stop the writer and release connections."""
        ...


class MarkStore(Protocol):
    """Marks that never fall: of an issuer's CRL numbers, of a document's versions, of bundles."""

    def high_water(self, issuer: str) -> int | None:
        """Return an issuer's mark; ``None`` where none was ever raised."""
        ...

    def raise_high_water(self, issuer: str, number: int) -> bool:
        """Raise an issuer's mark; false when ``number`` is below the mark."""
        ...


class TrustStore(MarkStore, Protocol):
    """Where trust documents are compiled to, and found again."""

    def trust_digest(self) -> str:
        """Return the digest of the trust documents compiled last, "" for none."""
        ...

    def trust_number(self) -> int:
        """Return how often a set of trust documents was taken: the number of the one in force."""
        ...

    def replace_trust(self, digest: str, rows: Iterable[TrustRow], *, after: int | None = None) -> bool:
        """Replace all trust documents in one transaction; rows of the tenant "" are history and stay as first written.

        False, and nothing is written, where the set in force does not have the number ``after`` any more.
        """
        ...

    def keep_trust_history(self, rows: Iterable[TrustRow]) -> None:
        """Add rows of the tenant "" alone; the documents stay."""
        ...

    def trust_rows(self) -> Sequence[TrustRow]:
        """Return every document of every tenant (not the history rows of the tenant "")."""
        ...

    def trust_history(self, kind: str) -> Mapping[str, str]:
        """Return the history rows of a kind: body by name, of the newest version."""
        ...

    def trust_document(self, kind: str, tenant: str, name: str, version: int | None = None) -> str | None:
        """Return a document's JSON; the newest version where none is named."""
        ...

    def trust_documents(self, kind: str) -> Sequence[str]:
        """Return the JSON of every document of a kind, of all tenants (not the history rows of the tenant "")."""
        ...


class CollateralStore(MarkStore, Protocol):
    """What the sources of collateral ask of the store."""

    def find_ak(self, tenant: str, ak_name: bytes) -> EnrolledAk | None:
        """Return the enrolled attestation key of that Name."""
        ...

    def trust_digest(self) -> str:
        """Return the digest of the trust documents compiled last, "" for none."""
        ...

    def trust_documents(self, kind: str) -> Sequence[str]:
        """Return the JSON of every document of a kind, of all tenants (not the history rows of the tenant "")."""
        ...


class WorkerStore(TrustStore, Protocol):
    """What the worker asks of the store."""

    def acquire_lease(self, name: str, holder: str, life_ms: int) -> bool:
        """Take or renew a named lease (the worker's leadership)."""
        ...

    def release_lease(self, name: str, holder: str) -> bool:
        """Give a lease back, so that another may take it at once; false where it is another's."""
        ...

    def times(self) -> StoreTimes:
        """Return the store's clock, and the times that it remembers."""
        ...

    def keep_time(self, seen_ms: int, time_ms: int) -> None:
        """Remember the time that is believed, unless another has changed what is remembered since ``seen_ms`` was read."""
        ...

    def purge(self, *, now_ms: int, evidence_before_ms: int) -> int:
        """Delete spent nonces past their life and evidence past its retention, by a believed time; returns how many rows went."""
        ...

    def broken_seals(self) -> Sequence[BrokenRow]:
        """Return the rows that decide and that were changed by hand."""
        ...


@dataclass(frozen=True, slots=True)
class SharedDocument:
    """A document at hand that more than one machine needs: until when it is good, and whether nothing else can stand in for it."""

    kind: str
    key: str
    vendor: str
    expires: int  # Unix seconds
    is_numbered: bool  # a list of what is revoked or out of date: it never comes with the evidence


@dataclass(frozen=True, slots=True)
class Fact:
    """A metric that is a fact at the moment it is read, and no count: its name, its labels, its value."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Lease:
    """A named lease as the store has it, and the store's clock when it was read. Unix milliseconds."""

    holder: str
    expires_ms: int
    read_ms: int


class CollateralSource(Protocol):
    """Where a scheme's needs come from: folder, cache, store. A miss of a required one is ``CannotDecide``."""

    def get(self, scheme: str, tenant: str, needs: Sequence[Any], *, source: str = "") -> Mapping[str, bytes]:
        """Answer ``tee.scheme.Need``s by name; absent optional ones are left out. ``source``: the caller's address, for quotas."""
        ...


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key with its public JWK; ``kid`` is the RFC 7638 thumbprint, base64url."""

    kid: str
    alg: str
    sign: Callable[[bytes], bytes]  # JWS signature over the signing input, raw (r||s for ECDSA)
    public_jwk: Mapping[str, str]
