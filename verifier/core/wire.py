"""The wire: requests and answers of the public API, validated once at the edge (docs/api.md).

Everything here is unverified until the service says otherwise. Malformed input is ``MalformedEvidence('wire.…')``.

Any client may send any body, so the work before proof is bounded by bytes (``BODY_CAPS``) and by values (``MAX_VALUES``), never by
the number of faults: a text with more values is refused before it is parsed, and the first fault is told.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Final, TypeVar

from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from verifier.core.ids import WireId
from verifier.core.settings import MAX_REQUEST_BYTES
from verifier.formats import jws, strict_json
from verifier.formats.encoding import jwk_thumbprint, unb64url
from verifier.formats.errors import EvidenceRejected, MalformedEvidence
from verifier.formats.fields import Base64Url, Name, SchemeName
from verifier.formats.jose import p256_point

REQUEST_TYPE = "vab-request+jws"

# Bytes of a body by route, as the web layer names it. A challenge names two names of at most 63 characters. An enrolment has six
# certificates of an EK's chain at most, each mostly below 2 KiB. An attestation has logs of 1 MiB, twice in base64.
BODY_CAPS: Final[Mapping[str, int]] = MappingProxyType(
    {"challenges": 1024, "attestations": MAX_REQUEST_BYTES, "enrolments": 64 * 1024, "enrolment": 64 * 1024}
)
# Commas and opening brackets of a body's JSON. The largest request that a scheme knows (a machine with vTPM, report and GPU) has 60.
MAX_VALUES: Final = 256
_SHOWN: Final = 128  # characters of a field's place that a message shows

M = TypeVar("M", bound=BaseModel)

NameStr = Annotated[Name, Field(max_length=63)]
B64Str = Base64Url
PartName = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")]


class Wire(BaseModel):
    """Base of all wire models: strict, closed, frozen."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class EcJwk(Wire):
    """A public P-256 key (RFC 7518 section 6.2): coordinates of exactly 32 bytes."""

    kty: Annotated[str, Field(pattern="^EC$")]
    crv: Annotated[str, Field(pattern="^P-256$")]
    x: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]
    y: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]


class ChallengeRequest(Wire):
    """``POST /v1/challenges``."""

    tenant: NameStr
    workload: NameStr


class ChallengeAnswer(Wire):
    """A nonce of 64 bytes, base64url, and its life in seconds."""

    nonce: B64Str
    expires_in: int


class RequestKeys(Wire):
    """The two fresh keys of the attester: ``sig`` signs the request, the answer is encrypted to ``enc``."""

    sig: EcJwk
    enc: EcJwk


class EnvelopeModel(Wire):
    """Evidence of one scheme, or of a composite whose parts are envelopes themselves."""

    version: Annotated[int, Field(ge=1, le=1)]
    scheme: SchemeName
    parts: dict[PartName, B64Str] = Field(default_factory=dict)
    endorsements: dict[PartName, B64Str] = Field(default_factory=dict)
    components: Annotated[tuple[EnvelopeModel, ...], Field(max_length=4, strict=False)] = ()


class AttestationClaims(Wire):
    """The payload of the request's JWS (``POST /v1/attestations``)."""

    tenant: NameStr
    workload: NameStr
    audience: Annotated[str, Field(min_length=1, max_length=512)]
    nonce: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{86}$")]
    keys: RequestKeys
    user_data: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{0,86}$")] = ""
    evidence: EnvelopeModel


class AttestationAnswer(Wire):
    """The answer: a compact JWE to ``enc``."""

    answer: str


class EnrolmentRequest(Wire):
    """``POST /v1/tpm2/enrolments``: ``ek_chain`` is DER certificates, leaf first; publics are TPMT_PUBLIC; all base64url."""

    tenant: NameStr
    ek_chain: Annotated[tuple[B64Str, ...], Field(min_length=1, max_length=6, strict=False)]
    ek_public: B64Str
    ak_public: B64Str
    ticket: Annotated[str, Field(max_length=128)] | None = None


class EnrolmentChallenge(Wire):
    """What TPM2_ActivateCredential needs, and the state to send back. Nothing is stored for it."""

    credential_blob: B64Str
    encrypted_secret: B64Str
    state: B64Str
    expires_in: int


class EnrolmentProof(Wire):
    """``PUT /v1/tpm2/enrolments/{ak_name}``."""

    state: B64Str
    secret: B64Str


@dataclass(frozen=True, slots=True)
class EvidenceEnvelope:
    """Raw bytes, unverified, by part name."""

    scheme: str
    unverified_parts: Mapping[str, bytes]
    unverified_endorsements: Mapping[str, bytes]
    components: tuple[EvidenceEnvelope, ...] = ()


@dataclass(frozen=True, slots=True)
class AttestationRequest:
    """A request whose signature by its own ``sig`` was checked: integrity, not identity."""

    tenant: str
    workload: str
    audience: str
    nonce: bytes
    sig: Mapping[str, str]
    enc: Mapping[str, str]
    sig_thumbprint: bytes
    enc_thumbprint: bytes
    user_data: bytes
    evidence: EvidenceEnvelope


def parse_model(model: type[M], body: bytes, *, check_id: str = WireId.BODY) -> M:
    """Validate JSON against a wire model; the error names the first wrong field.

    A text of more than ``MAX_VALUES`` commas and opening brackets is refused before it is parsed, a name that stands twice before
    it is validated: pydantic would take the last of them, and collects every fault of a model to show one.
    """
    try:
        return model.model_validate(strict_json.read(body, most=MAX_VALUES))
    except strict_json.NameTwice as twice:
        raise MalformedEvidence(check_id, f"{twice.name[:_SHOWN]}: stands twice, want each name once") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(step) for step in first["loc"])[:_SHOWN] or "body"
        raise MalformedEvidence(check_id, f"{where}: {first['msg']}") from None
    except json.JSONDecodeError as error:
        raise MalformedEvidence(check_id, f"body: not JSON: {error}") from None
    except ValueError as error:
        detail = "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)[:_SHOWN]
        raise MalformedEvidence(check_id, f"body: {detail}") from None


def unb64_field(text: str, field: str, *, check_id: str = WireId.BODY) -> bytes:
    """Decode a base64url field."""
    try:
        return unb64url(text)
    except ValueError as error:
        raise MalformedEvidence(check_id, f"{field}: {error}") from None


def ec_public_key(jwk: EcJwk, field: str) -> ec.EllipticCurvePublicKey:
    """Load a P-256 point; a point off the curve is malformed."""
    point = b"\x04" + unb64_field(jwk.x, f"{field}.x") + unb64_field(jwk.y, f"{field}.y")
    try:
        return p256_point(point)
    except ValueError:
        raise MalformedEvidence(WireId.KEYS, f"{field}: not a point of P-256") from None


def _envelope(model: EnvelopeModel, *, depth: int = 0) -> EvidenceEnvelope:
    if depth > 1:
        raise MalformedEvidence(WireId.COMPONENTS, "components: nested, want one level")
    if not model.parts and not model.components:
        raise MalformedEvidence(WireId.PARTS, "evidence: got neither parts nor components, want some")
    where = WireId.PARTS
    return EvidenceEnvelope(
        scheme=model.scheme,
        unverified_parts={k: unb64_field(v, f"parts.{k}", check_id=where) for k, v in model.parts.items()},
        unverified_endorsements={
            k: unb64_field(v, f"endorsements.{k}", check_id=WireId.ENDORSEMENTS) for k, v in model.endorsements.items()
        },
        components=tuple(_envelope(part, depth=depth + 1) for part in model.components),
    )


def flatten(envelope: EvidenceEnvelope) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Return parts and endorsements by name, those of components as ``<scheme>.<name>`` with underscores; all unverified.

    Two components of one scheme are malformed: their parts could not be told apart.
    """
    parts, endorsements = dict(envelope.unverified_parts), dict(envelope.unverified_endorsements)
    seen: set[str] = set()
    for component in envelope.components:
        if component.scheme in seen:
            raise MalformedEvidence(WireId.COMPONENTS, f"components: got {component.scheme!r} twice, want once")
        seen.add(component.scheme)
        prefix = component.scheme.replace("-", "_")
        parts |= {f"{prefix}.{name}": data for name, data in component.unverified_parts.items()}
        endorsements |= {f"{prefix}.{name}": data for name, data in component.unverified_endorsements.items()}
    return parts, endorsements


def split_jws(body: bytes, *, typ: str) -> jws.CompactJws:
    """Take a compact ES256 JWS of type ``typ`` apart. Nothing is verified yet."""
    try:
        unverified = jws.split(body, header={"alg": "ES256", "typ": typ})
    except jws.WrongHeader:
        raise MalformedEvidence(WireId.JWS_HEADER, f"header: want exactly alg ES256 and typ {typ}") from None
    except ValueError:
        raise MalformedEvidence(WireId.JWS, "body: not a compact JWS") from None
    if len(unverified.signature) != 64:  # noqa: PLR2004 - r and s of P-256
        raise MalformedEvidence(WireId.JWS, f"signature: got {len(unverified.signature)} bytes, want 64")
    return unverified


def parse(body: bytes) -> AttestationRequest:
    """Read a request and check its signature by ``sig``; raises ``MalformedEvidence`` or ``EvidenceRejected('wire.signature')``.

    The signature proves that the sender holds ``sig``, nothing more: who it is, the evidence has to say.
    """
    unverified = split_jws(body, typ=REQUEST_TYPE)
    claims = parse_model(AttestationClaims, unverified.payload)
    sig_key = ec_public_key(claims.keys.sig, "keys.sig")
    ec_public_key(claims.keys.enc, "keys.enc")
    sig, enc = claims.keys.sig.model_dump(), claims.keys.enc.model_dump()
    if sig == enc:
        raise MalformedEvidence(WireId.KEYS, "keys: sig and enc are the same key, want two")
    if not jws.is_signed(sig_key, unverified.signature, unverified.signing_input):
        raise EvidenceRejected(WireId.SIGNATURE, "request: signature does not verify with keys.sig")
    user_data = unb64_field(claims.user_data, "user_data")
    return AttestationRequest(
        tenant=claims.tenant,
        workload=claims.workload,
        audience=claims.audience,
        nonce=unb64_field(claims.nonce, "nonce", check_id=WireId.NONCE),
        sig=sig,
        enc=enc,
        sig_thumbprint=jwk_thumbprint(sig),
        enc_thumbprint=jwk_thumbprint(enc),
        user_data=user_data,
        evidence=_envelope(claims.evidence),
    )
