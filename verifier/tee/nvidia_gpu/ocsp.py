"""What NVIDIA's OCSP service says of a device's certificates: reading its answers, and telling whether they are genuine.

RFC 6960. One answer for each certificate between leaf and root; the leaf was made by the device itself, and only the device
could revoke it. Requests carry no nonce, so that an answer serves until its nextUpdate; NVIDIA's own tools send one.

Checked: the answer is about this certificate (issuer's name and key by hash, serial number), signed by the issuer or by a
responder that the issuer or a CA above it certified for it (id-kp-OCSPSigning), with ECDSA, and in force. Not checked: whether the
responder's own certificate was revoked, and whether a newer answer exists. Nothing here was tried against NVIDIA's service.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ObjectIdentifier, ocsp

from verifier.formats.ecdsa import verifies
from verifier.formats.errors import Failed, MalformedEvidence, Undecided
from verifier.formats.x509 import (
    OID_EXTENDED_KEY_USAGE,
    USAGE_DIGITAL_SIGNATURE,
    Certificate,
    SignatureAlgorithm,
    der_tlv,
    parse_certificate,
)
from verifier.formats.x509chain import (
    ChainCache,
    Path,
    Profile,
    check_constraints,
    check_signatures,
    check_validity,
    require_usage,
)

ENDORSEMENT: Final = "nvidia-gpu.endorsement.ocsp"
KIND: Final = "nvidia.ocsp"
MAX_ANSWER: Final = 32 * 1024
_MAX_RESPONDERS: Final = 4
_OCSP_SIGNING: Final = "1.3.6.1.5.5.7.3.9"
_PROFILE: Final = Profile(
    algorithms=frozenset({SignatureAlgorithm("ecdsa", "sha384"), SignatureAlgorithm("ecdsa", "sha256")}),
    tolerated=frozenset({OID_EXTENDED_KEY_USAGE}),
)
_SIGNATURES: Final[Mapping[str, hashes.HashAlgorithm]] = MappingProxyType(
    {"1.2.840.10045.4.3.3": hashes.SHA384(), "1.2.840.10045.4.3.2": hashes.SHA256()}
)
# By which a certificate is named. SHA-1 names it only: what counts is whose key signed.
_HASHES: Final = frozenset({"sha1", "sha256", "sha384", "sha512"})

Status = Literal["good", "revoked", "unknown"]


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """One answer about one certificate, unverified. Times are Unix seconds; hashes as the responder chose them."""

    digest: bytes  # SHA-256 of the whole
    signed: bytes
    signature: bytes
    algorithm: str  # OID
    hash_name: str
    issuer_name_hash: bytes
    issuer_key_hash: bytes
    serial: int
    status: Status
    reason: str
    this_update: int
    next_update: int
    responder: bytes  # a Name in DER, or the SHA-1 of a public key
    certificates: tuple[Certificate, ...]  # that came along


@asn1.sequence
class _Spki:
    algorithm: asn1.TLV
    key: asn1.BitString


@asn1.sequence
class _Usages:
    usages: list[ObjectIdentifier]


def _hashed_key(spki: bytes, hash_name: str) -> bytes:
    """Hash a public key as RFC 6960 section 4.1.1 does: the BIT STRING's content alone."""
    return hashlib.new(hash_name, asn1.decode_der(_Spki, spki).key.as_bytes(), usedforsecurity=False).digest()


def _hashed(data: bytes, hash_name: str) -> bytes:
    return hashlib.new(hash_name, data, usedforsecurity=False).digest()


@lru_cache(maxsize=1024)
def key_of(certificate: Certificate, issuer: Certificate) -> str:
    """Name a certificate as a request does, in hex: SHA-1 of its issuer's name and key, serial number. "" for an unreadable key."""
    try:
        key = _hashed_key(issuer.spki, "sha1")
    except ValueError:
        return ""
    return f"{_hashed(certificate.issuer, 'sha1').hex()}-{key.hex()}-{certificate.serial:x}"


@lru_cache(maxsize=1024)
def read_answer(data: bytes) -> Answer:
    """Read one DER answer about one certificate; ``MalformedEvidence('nvidia-gpu.endorsement.ocsp')`` for anything else."""
    if len(data) > MAX_ANSWER:
        raise MalformedEvidence(ENDORSEMENT, f"OCSP: got {len(data)} bytes, want at most {MAX_ANSWER}")
    try:
        return _read(ocsp.load_der_ocsp_response(data), data)
    except (ValueError, OverflowError, TypeError, UnsupportedAlgorithm) as error:
        raise MalformedEvidence(ENDORSEMENT, f"OCSP: not an answer: {error}") from None


def _read(response: ocsp.OCSPResponse, data: bytes) -> Answer:
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise ValueError(f"responseStatus: got {response.response_status.name}, want SUCCESSFUL")
    singles = list(response.responses)
    if len(singles) != 1:
        raise ValueError(f"responses: got {len(singles)}, want 1")
    for extension in (*response.extensions, *response.single_extensions):
        if extension.critical:
            raise ValueError(f"extensions: got critical {extension.oid.dotted_string}, want none")
    if singles[0].next_update_utc is None:
        raise ValueError("nextUpdate: got nothing, want it: an answer without an end is good for no time at all")
    reason = singles[0].revocation_reason
    return Answer(
        digest=hashlib.sha256(data).digest(),
        signed=response.tbs_response_bytes,
        signature=response.signature,
        algorithm=response.signature_algorithm_oid.dotted_string,
        hash_name=singles[0].hash_algorithm.name,
        issuer_name_hash=singles[0].issuer_name_hash,
        issuer_key_hash=singles[0].issuer_key_hash,
        serial=singles[0].serial_number,
        status=_STATUS[singles[0].certificate_status],
        reason="" if reason is None else reason.value,
        this_update=int(singles[0].this_update_utc.timestamp()),
        next_update=int(singles[0].next_update_utc.timestamp()),
        responder=_responder(response),
        certificates=_certificates(response),
    )


_STATUS: Final[Mapping[ocsp.OCSPCertStatus, Status]] = MappingProxyType(
    {
        ocsp.OCSPCertStatus.GOOD: "good",
        ocsp.OCSPCertStatus.REVOKED: "revoked",
        ocsp.OCSPCertStatus.UNKNOWN: "unknown",
    }
)


def _responder(response: ocsp.OCSPResponse) -> bytes:
    key, name = response.responder_key_hash, response.responder_name
    if key is not None:
        return key
    if name is None:
        raise ValueError("responderID: got neither a name nor a key")
    return name.public_bytes()


def _certificates(response: ocsp.OCSPResponse) -> tuple[Certificate, ...]:
    came = response.certificates
    if len(came) > _MAX_RESPONDERS:
        raise ValueError(f"certs: got {len(came)}, want at most {_MAX_RESPONDERS}")
    return tuple(parse_certificate(one.public_bytes(Encoding.DER), ENDORSEMENT, "OCSP.certs") for one in came)


def is_about(answer: Answer, certificate: Certificate, issuer: Certificate) -> bool:
    """Tell whether the answer names this certificate."""
    if answer.hash_name not in _HASHES:
        return False
    try:
        key = _hashed_key(issuer.spki, answer.hash_name)
    except ValueError:
        return False
    wanted = (_hashed(certificate.issuer, answer.hash_name), key, certificate.serial)
    return (answer.issuer_name_hash, answer.issuer_key_hash, answer.serial) == wanted


def check_answer(answer: Answer, path: Path, place: int, chains: ChainCache, now: int) -> None:
    """Check that the answer about ``path.certificates[place]`` is genuine and in force.

    ``Undecided`` otherwise: it is the verifier's own, not the evidence's.
    Only after the path itself was verified. Signatures are remembered until nextUpdate; everything else is judged anew.
    """
    certificate, issuer = path.certificates[place], path.certificates[place - 1]
    if not is_about(answer, certificate, issuer):
        raise _undecided(place, path, "CertID: got another certificate's")
    if not answer.this_update <= now <= answer.next_update:
        raise _undecided(place, path, f"got time {now}, want {answer.this_update} to {answer.next_update}")
    known = (b"ocsp", path.key[place - 1], answer.digest)
    signer = _signer(answer, path, place, chains, now)
    if chains.has(known, now):
        return
    key, algorithm = signer.leaf_key(), _SIGNATURES.get(answer.algorithm)
    if algorithm is None or not isinstance(key, ec.EllipticCurvePublicKey):
        raise _undecided(place, path, f"signatureAlgorithm: got {answer.algorithm}, want ECDSA with SHA-384 or SHA-256")
    if not verifies(key, answer.signature, answer.signed, ec.ECDSA(algorithm)):
        raise _undecided(place, path, "signature: does not verify with the responder's key")
    chains.put(known, answer.next_update)


def _undecided(place: int, path: Path, what: str) -> Undecided:
    return Undecided(f"OCSP of chain[{len(path.certificates) - 1 - place}]: {what}", retry_after=60)


def _signer(answer: Answer, path: Path, place: int, chains: ChainCache, now: int) -> Path:
    """Return the verified chain down to the signer: the issuer itself, or a responder that a CA of the chain certified."""
    above = Path(path.anchor, path.certificates[:place], path.key[:place])
    if _is_named(answer, above.leaf):
        check_signatures(above, chains, now)
        return above
    responder = next((one for one in answer.certificates if _is_named(answer, one)), None)
    if responder is None:
        raise _undecided(place, path, "responderID: got neither the issuer nor a certificate that came along")
    delegated = _delegated(responder, path, place)
    if delegated is None:
        raise _undecided(place, path, "responder: its issuer got another name, want a CA above the certificate")
    try:
        check_constraints(delegated, _PROFILE)
        require_usage(responder, USAGE_DIGITAL_SIGNATURE)
        check_signatures(delegated, chains, now)
        check_validity(delegated, now)
    except Failed as failure:
        # The device's own chain was checked before: it is the responder's that is wrong.
        raise _undecided(place, path, f"responder: {failure.detail}") from None
    if not _may_answer(responder):
        raise _undecided(place, path, "responder: its certificate is not for OCSP signing (1.3.6.1.5.5.7.3.9)")
    return delegated


def _delegated(responder: Certificate, path: Path, place: int) -> Path | None:
    """Return the chain down to a responder from the nearest CA above the certificate that it names as its issuer.

    RFC 6960 section 4.2.2.2 wants the direct issuer; NVIDIA's own verifier takes any CA of the chain above, each of which could have
    made the issuer itself.
    """
    for depth in range(place, 0, -1):
        if path.certificates[depth - 1].subject == responder.issuer:
            return Path(path.anchor, (*path.certificates[:depth], responder), (*path.key[:depth], responder.digest))
    return None


def _is_named(answer: Answer, certificate: Certificate) -> bool:
    if answer.responder == certificate.subject:
        return True
    try:
        return answer.responder == _hashed_key(certificate.spki, "sha1")
    except ValueError:
        return False


def _may_answer(responder: Certificate) -> bool:
    """Tell whether the certificate has id-kp-OCSPSigning (RFC 6960, section 4.2.2.2)."""
    extension = responder.extensions.get(OID_EXTENDED_KEY_USAGE)
    if extension is None:
        return False
    try:
        return _OCSP_SIGNING in _oids(extension.value)
    except ValueError:
        return False


def _oids(value: bytes) -> frozenset[str]:
    return frozenset(oid.dotted_string for oid in asn1.decode_der(_Usages, der_tlv(0x30, value)).usages)
