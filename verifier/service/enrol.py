"""TPM enrolment by credential activation: a quote proves a *known* TPM, or nothing (docs/tee/tpm2.md, "Enrolment").

Nothing is stored until the proof comes back: the challenge's secret is an HMAC over ``state``, which the caller carries.
An AK is enrolled only for an EK on the tenant's list or with a single-use ticket; a vendor chain alone is never enough.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from verifier.core.ids import ServiceId
from verifier.core.ports import EnrolledAk
from verifier.core.wire import EnrolmentProof, EnrolmentRequest, NameStr, Wire, parse_model, unb64_field
from verifier.formats.encoding import b64url, canonical, sha256
from verifier.formats.errors import EvidenceRejected
from verifier.service.parts import Parts
from verifier.tee.tpm2.enrolment import check_ak, check_ek, describe_ek, make_credential
from verifier.tee.tpm2.ids import EnrolmentId

SCHEME = "tpm2"
LIFE_MS = 120_000
_LABEL = b"vab-tpm2-enrol/v1"


class _State(Wire):
    """What the caller carries between POST and PUT; believed only under the HMAC."""

    expires_at: str  # Unix milliseconds in decimal: RFC 8785 numbers are doubles, strings are exact
    tenant: NameStr
    ek_public: str
    ak_public: str
    ticket_hash: str


@dataclass(frozen=True, slots=True)
class CredentialChallenge:
    """What TPM2_ActivateCredential needs, and the state to send back."""

    credential_blob: bytes
    encrypted_secret: bytes
    state: bytes
    expires_in: int


class Enrolments:
    """Enrolment beside the staircase. Stateless but for its parts; safe for threads."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def challenge(self, request: EnrolmentRequest) -> CredentialChallenge:
        """Judge EK and AK, and make a credential that only that TPM can open, and only for that AK."""
        parts = self._parts
        if request.tenant not in parts.settings.tenants:
            raise EvidenceRejected(ServiceId.TENANT, f"tenant: got {request.tenant!r}, want one that is served here")
        now_ms = parts.clock.now_ms()
        chain = tuple(
            unb64_field(text, f"ek_chain.{i}", check_id=EnrolmentId.EK_CHAIN) for i, text in enumerate(request.ek_chain)
        )
        ek_public = unb64_field(request.ek_public, "ek_public", check_id=EnrolmentId.EK_PUBLIC)
        ak_public = unb64_field(request.ak_public, "ak_public", check_id=EnrolmentId.AK_PUBLIC)
        ek = check_ek(chain, ek_public, parts.anchors.get(SCHEME, ()), now_ms // 1000, parts.chains)
        ak = check_ak(ak_public)
        ticket_hash = sha256(request.ticket.encode()) if request.ticket else b""
        self._require_admission(request.tenant, ek.digest, ticket_hash)
        state = canonical(
            {
                "expires_at": str(now_ms + LIFE_MS),
                "tenant": request.tenant,
                "ek_public": b64url(ek_public),
                "ak_public": b64url(ak_public),
                "ticket_hash": ticket_hash.hex(),
            }
        )
        blob, secret = make_credential(ek_public, ak.name, self._secret(state), parts.random)
        return CredentialChallenge(blob, secret, state, LIFE_MS // 1000)

    def enrol(self, ak_name: bytes, proof: EnrolmentProof) -> str:
        """Accept the activated secret and write the AK, spending the ticket in the same transaction. Returns the tenant."""
        parts = self._parts
        raw = unb64_field(proof.state, "state", check_id=EnrolmentId.STATE)
        secret = unb64_field(proof.secret, "secret", check_id=EnrolmentId.SECRET)
        # The MAC comes first: before it, any caller can have made `state`.
        if not hmac.compare_digest(secret, self._secret(raw)):
            raise EvidenceRejected(
                EnrolmentId.SECRET, "secret: got another one than the credential of this state holds"
            )
        state = parse_model(_State, raw, check_id=EnrolmentId.STATE)
        now_ms = parts.clock.now_ms()
        if now_ms > int(state.expires_at):
            raise EvidenceRejected(
                EnrolmentId.EXPIRED, f"state: expired {now_ms - int(state.expires_at)} ms ago, want a fresh one"
            )
        ek_public = unb64_field(state.ek_public, "ek_public", check_id=EnrolmentId.STATE)
        ak_public = unb64_field(state.ak_public, "ak_public", check_id=EnrolmentId.STATE)
        ak = check_ak(ak_public)
        if not hmac.compare_digest(ak.name, ak_name):
            raise EvidenceRejected(EnrolmentId.AK_NAME, f"ak_name: got {ak_name.hex()}, want {ak.name.hex()}")
        ek = describe_ek(ek_public)
        ticket_hash = bytes.fromhex(state.ticket_hash)
        # Asked once: an EK that is taken off the list between two questions must not get in without a ticket.
        is_listed = self._require_admission(state.tenant, ek.digest, ticket_hash)
        parts.store.enrol_ak(
            EnrolledAk(
                tenant=state.tenant,
                ak_name=ak.name,
                ak_public=ak_public,
                ek_public_digest=ek.digest,
                ek_name=ek.name,
                root="simulated" if parts.settings.simulated else "private",
                enrolled_at_ms=now_ms,
            ),
            ticket_hash=None if is_listed else ticket_hash,
            must_be_listed=is_listed,
        )
        return state.tenant

    def _secret(self, state: bytes) -> bytes:
        return hmac.digest(self._parts.keys.enrolment_key(), _LABEL + b"\x00" + state, "sha256")

    def _require_admission(self, tenant: str, ek_digest: bytes, ticket_hash: bytes) -> bool:
        """Return whether the EK is listed; otherwise it is the ticket that lets it in."""
        store = self._parts.store
        if store.is_ek_listed(tenant, ek_digest):
            return True
        if ticket_hash and store.ticket_is_open(tenant, ticket_hash):
            return False
        raise EvidenceRejected(
            EnrolmentId.ADMISSION,
            f"EK {ek_digest.hex()}: not on the tenant's list, and no open ticket came with it",
        )
