"""Attestation: challenge → evidence → decode → verify → appraise → one transaction → token → answer.

The steps are numbered as in docs/architecture.md. The caller has proved nothing until step 5, so nothing before it writes,
queues or fetches for free. One nonce yields at most one token: refusals up to step 5 spend nothing, from step 6 on they do.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cachetools import LRUCache

from verifier.appraise.engine import NOTHING_KNOWN, Known, appraise, known_from
from verifier.appraise.result import Appraisal, Workload
from verifier.core import wire
from verifier.core.binding import (
    NONCE_LIFE_MS,
    BindingDigest,
    Context,
    binding_digest,
    check_nonce,
    make_nonce,
    read_nonce,
)
from verifier.core.ids import PolicyId, ServiceId, WireId
from verifier.core.ports import CommittedRecord, SigningKey, VerdictRecord, VerdictStore
from verifier.core.rules import Finding
from verifier.core.settings import SKEW_MS
from verifier.formats.encoding import canonical, p256_spki
from verifier.formats.errors import EvidenceRejected, MalformedEvidence
from verifier.service.kept import kept_evidence
from verifier.service.parts import Parts
from verifier.service.refused import Refused
from verifier.tee.scheme import Scheme, Subject, Verified
from verifier.tee.verified import Bound, check_user_data, gather, require_parts, run_checks
from verifier.token.answer import VaultHint, build_answer
from verifier.token.claims import build_claims, instance_name, require_mintable
from verifier.token.mint import Mintable, mint, mintable

EPOCH_READ_MS = 1_000
MAX_POLICIES = 4_096


@dataclass(frozen=True, slots=True)
class Judged:
    """A request after step 6: the record that step 7 writes, and, where it is granted, what step 8 makes of it.

    Between the two the caller commits the record; nothing is signed before.
    """

    record: VerdictRecord
    grant: _Grant | None


@dataclass(frozen=True, slots=True)
class _Grant:
    """What step 8 needs: made before the nonce is spent, so that nothing that is missing costs a nonce."""

    request: wire.AttestationRequest
    workload: Workload
    ready: Mintable
    signing: SigningKey
    answering: tuple[SigningKey, str]


@dataclass(frozen=True, slots=True)
class _Hearing:
    """A request whose evidence is genuine, on its way through steps 6 to 8."""

    request: wire.AttestationRequest
    verified: Verified[Any, Any]
    now_ms: int
    nonce_expires_ms: int
    source: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What step 8 hands to the web layer, and what the log may say about it."""

    answer: str
    tenant: str
    workload_uuid: str
    scheme: str
    jti: str
    seq: int


class _EpochWatch:
    """The store's challenge epoch, read at most once a second: raising it takes effect within that."""

    def __init__(self, store: VerdictStore) -> None:
        self._store = store
        self._read: tuple[int, int] | None = None  # replaced whole, so threads need no lock

    def at(self, now_ms: int) -> int:
        read = self._read
        if read is None or not 0 <= now_ms - read[0] < EPOCH_READ_MS:
            read = self._read = (now_ms, self._store.epoch())
        return read[1]


@dataclass(frozen=True, slots=True)
class _Last:
    """The last accepted appraisal by a policy: its findings, for comparison, for use again, and as the record keeps them."""

    findings: tuple[Finding, ...]
    known: Known
    text: str


class _LastFindings:
    """The last findings by policy: machines of one kind give the same ones. Bounded; safe for threads."""

    def __init__(self) -> None:
        self._kept: LRUCache[bytes, _Last] = LRUCache(MAX_POLICIES)
        self._lock = threading.Lock()

    def known(self, policy_digest: bytes) -> Known:
        last = self._find(policy_digest)
        return NOTHING_KNOWN if last is None else last.known

    def text(self, appraisal: Appraisal) -> str:
        last = self._find(appraisal.policy_digest)
        if last is None or last.findings != appraisal.findings:
            last = _Last(appraisal.findings, known_from(appraisal), findings_text(appraisal.findings))
            with self._lock:
                self._kept[appraisal.policy_digest] = last
        return last.text

    def _find(self, policy_digest: bytes) -> _Last | None:
        with self._lock:
            return self._kept.get(policy_digest)


class Service:
    """The staircase. Stateless but for its parts; safe for threads."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._epoch = _EpochWatch(parts.store)
        self._findings = _LastFindings()

    # -- step 1 ---------------------------------------------------------------------------------------------------------

    def challenge(self, tenant: str, workload: str) -> tuple[bytes, int]:
        """Return a nonce of 64 bytes and its life in seconds. Nothing is stored, and an unknown workload gets one too."""
        parts = self._parts
        self._require_tenant(tenant)
        now_ms = parts.clock.now_ms()
        key_id, key = parts.challenge_keys.current(now_ms)
        nonce = make_nonce(
            key,
            key_id=key_id,
            epoch=self._epoch.at(now_ms),
            now_ms=now_ms,
            random=parts.random(28),
            issuer=parts.settings.issuer(tenant),
            tenant=tenant,
            workload=workload,
        )
        return nonce, NONCE_LIFE_MS // 1000

    def _require_tenant(self, tenant: str) -> None:
        if tenant not in self._parts.settings.tenants:
            raise EvidenceRejected(ServiceId.TENANT, f"tenant: got {tenant!r}, want one that is served here")

    # -- steps 2 to 8 ---------------------------------------------------------------------------------------------------

    def attest(self, body: bytes, source: str = "") -> Outcome:
        """Judge one signed request, record the verdict and answer it; ``source`` is the caller's address, for the record only."""
        judged = self.judge(body, source)
        return self.answer(judged, self._parts.store.commit_verdict(judged.record))

    def judge(self, body: bytes, source: str = "") -> Judged:
        """Do steps 2 to 6 and make step 7's record. Nothing is written, and a no before step 6 is raised."""
        now_ms = self._parts.clock.now_ms()
        request = wire.parse(body)  # step 2
        nonce_expires_ms = self._receive(request, now_ms)
        scheme, evidence, carried = self._decode(request)  # step 3
        digest = self._digest(request)
        check_user_data(scheme, evidence, Bound(digest))
        caller = (request.tenant, source)
        verified = self._verify(scheme, evidence, carried, caller, digest, now_ms)  # steps 4 and 5
        hearing = _Hearing(request, verified, now_ms, nonce_expires_ms, source)
        workload, appraisal, reason = self._appraise(request, verified, now_ms // 1000)  # step 6
        if workload is None or appraisal is None or reason is not None or not appraisal.accepted:
            return Judged(self._refusal(hearing, workload, appraisal, reason), None)
        return self._granted(hearing, workload, appraisal)

    def answer(self, judged: Judged, committed: CommittedRecord) -> Outcome:
        """Do step 8 for a record that is durable: the nonce is spent, whichever way it went. A refusal is raised."""
        grant, record = judged.grant, judged.record
        if grant is None:
            raise Refused(
                seq=committed.seq,
                tenant=record.tenant,
                workload=record.workload,
                scheme=record.scheme,
                reason=record.check_id,
            )
        token = mint(grant.ready, grant.signing)
        answer = self._answer(grant.request, grant.workload, token, grant.answering)
        return Outcome(answer, record.tenant, record.workload_uuid, record.scheme, record.jti, committed.seq)

    def _receive(self, request: wire.AttestationRequest, now_ms: int) -> int:
        """Step 2: tenant, and the nonce's MAC, epoch and age. Returns when the nonce dies (Unix ms)."""
        parts = self._parts
        self._require_tenant(request.tenant)
        nonce = check_nonce(
            request.nonce,
            parts.challenge_keys.find(read_nonce(request.nonce).key_id, now_ms),
            epoch=self._epoch.at(now_ms),
            now_ms=now_ms,
            skew_ms=SKEW_MS,
            issuer=parts.settings.issuer(request.tenant),
            tenant=request.tenant,
            workload=request.workload,
        )
        return nonce.issued_at_ms + NONCE_LIFE_MS

    def _decode(self, request: wire.AttestationRequest) -> tuple[Scheme[Any, Any], Any, Mapping[str, bytes]]:
        """Step 3: bytes to a record, and the endorsements that came along; knows nothing about trust."""
        envelope = request.evidence
        scheme = self._parts.schemes.get(envelope.scheme)
        if scheme is None:
            raise MalformedEvidence(
                WireId.SCHEME, f"scheme: got {envelope.scheme!r}, want {sorted(self._parts.schemes)}"
            )
        parts, endorsements = wire.flatten(envelope)
        require_parts(scheme, parts, endorsements)
        return scheme, scheme.form.decode(parts), endorsements

    def _digest(self, request: wire.AttestationRequest) -> BindingDigest:
        issuer = self._parts.settings.issuer(request.tenant)
        context = Context(issuer, request.tenant, request.workload, request.audience, request.user_data)
        enc_spki = p256_spki(request.enc)
        return binding_digest(request.nonce, request.sig_thumbprint, request.enc_thumbprint, context, enc_spki=enc_spki)

    def _verify(
        self,
        scheme: Scheme[Any, Any],
        evidence: Any,
        carried: Mapping[str, bytes],
        caller: tuple[str, str],
        digest: BindingDigest,
        now_ms: int,
    ) -> Verified[Any, Any]:
        """Do steps 4 and 5: endorsements from the evidence or our own sources, then every check. ``caller``: tenant, address."""
        parts = self._parts
        tenant, source = caller
        given = gather(
            scheme, evidence, carried, lambda needs: parts.collateral.get(scheme.name, tenant, needs, source=source)
        )
        collateral = scheme.collateral.collate(evidence, given)
        subject = Subject(evidence, collateral, parts.anchors.get(scheme.name, ()), now_ms // 1000, parts.chains)
        return run_checks(scheme, subject, Bound(digest))

    def _appraise(
        self, request: wire.AttestationRequest, verified: Verified[Any, Any], now: int
    ) -> tuple[Workload | None, Appraisal | None, EvidenceRejected | None]:
        """Step 6. An unknown or disabled workload, or a foreign audience, is refused as any other, spent and recorded: not raised."""
        found = self._parts.trust.workload(request.tenant, request.workload)
        if found is None:
            return (
                None,
                None,
                EvidenceRejected(PolicyId.WORKLOAD, f"workload: got {request.workload!r}, want a registered one"),
            )
        workload, policy = found
        reason = None
        if not workload.enabled:
            reason = EvidenceRejected(PolicyId.WORKLOAD_STATE, "workload: disabled")
        elif request.audience != workload.audience:
            reason = EvidenceRejected(
                PolicyId.AUDIENCE, f"audience: got {request.audience!r}, want {workload.audience!r}"
            )
        appraisal = appraise(verified, policy, now, self._findings.known(policy.digest))
        if reason is None and appraisal.accepted:
            reason = self._gate(appraisal)
        return workload, appraisal, reason

    def _gate(self, appraisal: Appraisal) -> EvidenceRejected | None:
        """Refuse here what mint would refuse, so that it is recorded with its reason."""
        try:
            require_mintable(appraisal, simulated=self._parts.settings.simulated)
        except EvidenceRejected as error:
            return error
        return None

    # -- steps 7 and 8 --------------------------------------------------------------------------------------------------

    def _refusal(
        self, hearing: _Hearing, workload: Workload | None, appraisal: Appraisal | None, reason: EvidenceRejected | None
    ) -> VerdictRecord:
        """Make step 7's record of a no, with every finding."""
        check_id = appraisal.check_id if appraisal is not None else PolicyId.REFUSED
        more: dict[str, Any] | None = None
        if reason is not None:
            more = {"rule": reason.check_id, "ok": False, "detail": reason.detail}
            check_id = reason.check_id
        return VerdictRecord(
            **_common(hearing, workload, appraisal),
            outcome="refused",
            check_id=check_id,
            jti="",
            claims_digest=b"",
            token_expires_ms=0,
            instance=_instance(workload, appraisal),
            findings=findings_text(() if appraisal is None else appraisal.findings, more),
        )

    def _granted(self, hearing: _Hearing, workload: Workload, appraisal: Appraisal) -> Judged:
        """Make step 7's record of a yes: claims are built and keys are at hand before the nonce is spent, signed after."""
        parts, now, request = self._parts, hearing.now_ms // 1000, hearing.request
        signing = parts.keys.signing_key(request.tenant, now)
        answering = parts.keys.answer_key(request.tenant, now)
        claims = self._claims(request, workload, appraisal, now)
        ready = mintable(claims, appraisal, simulated=parts.settings.simulated)
        record = VerdictRecord(
            **_common(hearing, workload, appraisal),
            outcome="accepted",
            check_id="",
            jti=str(claims["jti"]),
            claims_digest=ready.digest,
            token_expires_ms=int(claims["exp"]) * 1000,
            instance=str(claims["instance"]),
            findings=self._findings.text(appraisal),
        )
        return Judged(record, _Grant(request, workload, ready, signing, answering))

    def _claims(
        self, request: wire.AttestationRequest, workload: Workload, appraisal: Appraisal, now: int
    ) -> dict[str, Any]:
        parts = self._parts
        return build_claims(
            appraisal,
            workload,
            issuer=parts.settings.issuer(request.tenant),
            nonce=request.nonce,
            sig_thumbprint=request.sig_thumbprint,
            now=now,
            life_s=parts.settings.token_life_s,
            jti=str(uuid.UUID(bytes=parts.random(16), version=4)),
            simulated=parts.settings.simulated,
        )

    def _answer(
        self, request: wire.AttestationRequest, workload: Workload, token: str, answering: tuple[SigningKey, str]
    ) -> str:
        """Step 8: signed under a key that is not in the JWKS, then encrypted to the attested ``enc``."""
        key, key_set = answering
        return build_answer(
            issuer=self._parts.settings.issuer(request.tenant),
            nonce=request.nonce,
            tenant=request.tenant,
            workload=request.workload,
            sig_thumbprint=request.sig_thumbprint,
            enc_thumbprint=request.enc_thumbprint,
            token=token,
            vault=VaultHint(
                address=workload.vault_address,
                ca_pem=workload.vault_ca_pem,
                mount=workload.vault_mount,
                role=workload.vault_role,
            ),
            key=key,
            key_set=key_set,
            enc=request.enc,
            random=self._parts.random,
        )


def findings_text(findings: tuple[Finding, ...], more: Mapping[str, Any] | None = None) -> str:
    """Return the RFC 8785 form of findings, and of a reason that no rule gave."""
    listed: list[Mapping[str, Any]] = [finding.as_json() for finding in findings]
    return canonical([*listed, *([more] if more else [])]).decode()


def _instance(workload: Workload | None, appraisal: Appraisal | None) -> str:
    if workload is None or appraisal is None:
        return ""
    return instance_name(workload.uuid, appraisal.instance_kind, appraisal.instance_id)


def _common(hearing: _Hearing, workload: Workload | None, appraisal: Appraisal | None) -> dict[str, Any]:
    """Return the fields that a record has whichever way the verdict went."""
    request = hearing.request
    return {
        "tenant": request.tenant,
        "workload_uuid": workload.uuid if workload is not None else "",
        "workload": request.workload,
        "scheme": hearing.verified.scheme.name,
        "nonce": request.nonce,
        "nonce_expires_ms": hearing.nonce_expires_ms,
        "now_ms": hearing.now_ms,
        "policy": appraisal.policy if appraisal is not None else "",
        "policy_digest": appraisal.policy_digest if appraisal is not None else b"",
        "measurement": appraisal.measurement if appraisal is not None else "",
        "evidence": kept_evidence(request.evidence),
        "source": hearing.source,
    }
