"""A forged NVIDIA's OCSP responder: answers about a forged device's certificates, right or wrong in any way (RFC 6960)."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from cryptography.hazmat.primitives.asymmetric import ec

from forge.certificates import Extra, der_integer, der_name, der_oid, forge_certificate, key_usage, spki
from forge.nvidia_gpu import ORGANIZATION, ForgedNvidia, derived_key, ecdsa_sha384
from verifier.formats.x509 import OID_EXTENDED_KEY_USAGE, USAGE_DIGITAL_SIGNATURE, der_tlv

Status = Literal["good", "revoked", "unknown"]
ROLES: Final = ("device", "provisioner", "product")  # whose certificates NVIDIA answers for, from the leaf up
_ISSUERS: Final = {"device": "provisioner", "provisioner": "product", "product": "root"}
_BASIC: Final = "1.3.6.1.5.5.7.48.1.1"
OCSP_SIGNING: Final = "1.3.6.1.5.5.7.3.9"
_OIDS: Final = {"sha1": "1.3.14.3.2.26", "sha256": "2.16.840.1.101.3.4.2.1", "sha384": "2.16.840.1.101.3.4.2.2"}
LIFE_S: Final = 2 * 86_400
_HOUR_S: Final = 3600


def _time(seconds: int) -> bytes:
    return der_tlv(0x18, dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y%m%d%H%M%SZ").encode("ascii"))


def _bits(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the public point: what is hashed of a key, without the element around it."""
    return spki(key.public_key())[-97:]


def _sha1(data: bytes) -> bytes:
    return hashlib.sha1(data).digest()  # noqa: S324 - names a certificate, as RFC 6960 does


def responder_certificate(gpu: ForgedNvidia, issuer: str, now: int, /, **changes: Any) -> bytes:
    """Return the certificate of the responder that a CA of the chain certified; ``changes`` are arguments of ``forge_certificate``."""
    return forge_certificate(
        **{
            "serial": 0x0C5F,
            "issuer": gpu.name_of(issuer),
            "subject": responder_name(issuer),
            "validity": (now - _HOUR_S, now + 30 * 86_400),
            "public_key": spki(responder_key(issuer).public_key()),
            "signer": ecdsa_sha384(gpu.key_of(issuer)),
            "extensions": (key_usage(USAGE_DIGITAL_SIGNATURE), ocsp_signing()),
            **changes,
        }
    )


def ocsp_signing(oid: str = OCSP_SIGNING) -> Extra:
    """Return the extended key usage of a responder, or another one."""
    return Extra(OID_EXTENDED_KEY_USAGE, der_tlv(0x30, der_oid(oid)))


def responder_name(issuer: str) -> bytes:
    """Return the subject of a responder's certificate."""
    return der_name(("2.5.4.10", ORGANIZATION), ("2.5.4.3", f"OCSP responder of {issuer} (simulated)"))


def responder_key(issuer: str) -> ec.EllipticCurvePrivateKey:
    """Return the responder's key."""
    return derived_key(f"OCSP responder of {issuer}")


@dataclass(frozen=True, kw_only=True)
class ForgedAnswer:
    """An answer about one certificate of a device's chain, each field to be set wrong."""

    gpu: ForgedNvidia
    now: int
    role: str = "device"
    status: Status = "good"
    reason: int | None = None
    serial: int | None = None
    life: tuple[int, int | None] = (-_HOUR_S, LIFE_S)  # thisUpdate and nextUpdate, counted from now
    hash_name: str = "sha1"
    signed_by_issuer: bool = False
    by_key: bool = True
    key: ec.EllipticCurvePrivateKey | None = None  # another than the responder's own
    certificate: bytes | None = None
    responder: Mapping[str, Any] = field(default_factory=dict)  # changes of its certificate
    response_status: int = 0
    copies: int = 1
    extensions: bytes = b""

    @property
    def issuer(self) -> str:
        """Who issued the certificate that it is about."""
        return _ISSUERS[self.role]

    def cert_id(self) -> bytes:
        """Return the CertID."""
        serial = self.gpu.serial if self.role == "device" else 0x2D36
        hashed = (self.gpu.name_of(self.issuer), _bits(self.gpu.key_of(self.issuer)))
        content = b"".join(
            der_tlv(4, hashlib.new(self.hash_name, data, usedforsecurity=False).digest()) for data in hashed
        )
        algorithm = der_tlv(0x30, der_oid(_OIDS[self.hash_name]) + b"\x05\x00")
        return der_tlv(0x30, algorithm + content + der_integer(serial if self.serial is None else self.serial))

    def _single(self) -> bytes:
        why = b"" if self.reason is None else der_tlv(0xA0, der_tlv(0x0A, bytes((self.reason,))))
        status = {
            "good": b"\x80\x00",
            "revoked": der_tlv(0xA1, _time(self.now - _HOUR_S) + why),
            "unknown": b"\x82\x00",
        }[self.status]
        start, end = self.life
        until = b"" if end is None else der_tlv(0xA0, _time(self.now + end))
        return der_tlv(0x30, self.cert_id() + status + _time(self.now + start) + until)

    def signed(self) -> bytes:
        """Return what is signed."""
        own = self.gpu.key_of(self.issuer) if self.signed_by_issuer else responder_key(self.issuer)
        name = self.gpu.name_of(self.issuer) if self.signed_by_issuer else responder_name(self.issuer)
        who = der_tlv(0xA2, der_tlv(4, _sha1(_bits(own)))) if self.by_key else der_tlv(0xA1, name)
        singles = der_tlv(0x30, self._single() * self.copies)
        more = der_tlv(0xA1, der_tlv(0x30, self.extensions)) if self.extensions else b""
        return der_tlv(0x30, who + _time(self.now - _HOUR_S) + singles + more)

    def der(self) -> bytes:
        """Return the whole answer."""
        if self.response_status:
            return der_tlv(0x30, der_tlv(0x0A, bytes((self.response_status,))))
        key = self.key or (self.gpu.key_of(self.issuer) if self.signed_by_issuer else responder_key(self.issuer))
        signer, signed = ecdsa_sha384(key), self.signed()
        certificate = self.certificate
        if certificate is None and not self.signed_by_issuer:
            certificate = responder_certificate(self.gpu, self.issuer, self.now, **self.responder)
        along = der_tlv(0xA0, der_tlv(0x30, certificate)) if certificate else b""
        basic = der_tlv(0x30, signed + signer.algorithm + der_tlv(3, b"\x00" + signer.sign(signed)) + along)
        return der_tlv(0x30, der_tlv(0x0A, b"\x00") + der_tlv(0xA0, der_tlv(0x30, der_oid(_BASIC) + der_tlv(4, basic))))


def ocsp_answers(gpu: ForgedNvidia, now: int, **changed: bytes) -> dict[str, bytes]:
    """Return good answers about a device's chain by the names of needs; ``changed`` ones in their place."""
    made = {f"ocsp_{place}": ForgedAnswer(gpu=gpu, now=now, role=role).der() for place, role in enumerate(ROLES, 1)}
    return {**made, **changed}


def ocsp_documents(gpu: ForgedNvidia, now: int) -> dict[tuple[str, str], bytes]:
    """Return the same by kind and key, as sources have them."""
    documents = {}
    for role in ROLES:
        answer = ForgedAnswer(gpu=gpu, now=now, role=role)
        serial = gpu.serial if role == "device" else 0x2D36
        name, key = _sha1(gpu.name_of(answer.issuer)), _sha1(_bits(gpu.key_of(answer.issuer)))
        documents["nvidia.ocsp", f"{name.hex()}-{key.hex()}-{serial:x}"] = answer.der()
    return documents
