"""A forged Intel's public key infrastructure: root, PCK CAs, TCB signer, PCK certificates with the SGX extension, CRLs.

Every key is derived from its label, so that any process can make it: it protects nothing.
Source: Intel *SGX PCK Certificate and CRL Profile Specification*.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, Literal

from cryptography.hazmat.primitives.asymmetric import ec

from forge.certificates import (
    Extra,
    Signer,
    authority_key_id,
    basic_constraints,
    der_integer,
    der_oid,
    ecdsa_sha256,
    forge_certificate,
    forge_crl,
    key_usage,
    spki,
    subject_key_id,
)
from verifier.formats.x509 import USAGE_CERT_SIGN, USAGE_CRL_SIGN, USAGE_DIGITAL_SIGNATURE, der_tlv
from verifier.formats.x509chain import Anchor
from verifier.tee.dcap import layout

Ca = Literal["platform", "processor"]
Role = Literal["root", "platform", "processor", "tcb-signing"]
ROLES: Final[tuple[Role, ...]] = ("root", "platform", "processor", "tcb-signing")

ORGANIZATION: Final = "Forged Intel Corporation (simulated)"
COMMON_NAMES: Final[Mapping[Role, str]] = {
    "root": "Intel SGX Root CA",
    "platform": "Intel SGX PCK Platform CA",
    "processor": "Intel SGX PCK Processor CA",
    "tcb-signing": "Intel SGX TCB Signing",
}
PCK_COMMON_NAME: Final = "Intel SGX PCK Certificate"

DAY: Final = 86_400
YEAR: Final = 365 * DAY
_ROOT_VALIDITY: Final = (1_526_899_510, 2_524_607_999)  # 2018-05-21 to 2049-12-31, as the genuine root's
_CA_VALIDITY: Final = (1_526_899_510, 2_240_000_000)
_ORDER_P256: Final = int("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16)
_SEQUENCE, _OCTETS, _ENUMERATED, _BOOLEAN = 0x30, 0x04, 0x0A, 0x01
_NON_REPUDIATION: Final = 1
# Where Intel publishes the CRLs; other people's verifiers demand the extension.
_ROOT_CRL_URL: Final = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"
_PCK_CRL_URL: Final = "https://api.trustedservices.intel.com/sgx/certification/v4/pckcrl?ca={}&encoding=der"


def forged_p256(label: bytes) -> ec.EllipticCurvePrivateKey:
    """Derive a P-256 key from a label."""
    seed = hashlib.sha512(b"forged Intel\x00" + label).digest()
    return ec.derive_private_key(int.from_bytes(seed, "big") % (_ORDER_P256 - 1) + 1, ec.SECP256R1())


@lru_cache(maxsize=16)
def authority_key(role: Role) -> ec.EllipticCurvePrivateKey:
    """Return the key of an authority; the same in every process, and public."""
    return forged_p256(b"authority " + role.encode("ascii"))


@lru_cache(maxsize=64)
def _spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    return spki(key.public_key())


def _key_id(public_key: bytes) -> bytes:
    return hashlib.sha256(public_key).digest()[:20]


def _serial(public_key: bytes) -> int:
    """Return a serial of 20 octets, as Intel's: the key's id."""
    return int.from_bytes(_key_id(public_key), "big") >> 1 | 1 << 158


def intel_name(common_name: str, *, like_intel: bool = False) -> bytes:
    """Encode a Name as Intel's tools do; ``like_intel`` writes Intel's own, byte for byte."""
    organization = "Intel Corporation" if like_intel else ORGANIZATION
    parts = (
        ("2.5.4.3", 0x0C, common_name),
        ("2.5.4.10", 0x0C, organization),
        ("2.5.4.7", 0x0C, "Santa Clara"),
        ("2.5.4.8", 0x0C, "CA"),
        ("2.5.4.6", 0x13, "US"),
    )
    return der_tlv(
        _SEQUENCE,
        b"".join(
            der_tlv(0x31, der_tlv(_SEQUENCE, der_oid(oid) + der_tlv(tag, text.encode("ascii"))))
            for oid, tag, text in parts
        ),
    )


def pem(*certificates: bytes) -> bytes:
    """Write certificates as PEM, one after another, each with its final newline."""
    blocks = []
    for der in certificates:
        text = base64.b64encode(der)
        lines = [text[i : i + 64] for i in range(0, len(text), 64)]
        blocks.append(b"\n".join((b"-----BEGIN CERTIFICATE-----", *lines, b"-----END CERTIFICATE-----", b"")))
    return b"".join(blocks)


@dataclass(frozen=True, slots=True)
class PlatformTcb:
    """What a PCK certificate says of its platform; ``None`` leaves an item out. A plain value is written as it stands."""

    ppid: bytes | None
    comps: Sequence[int | None]
    pcesvn: int | None
    cpusvn: bytes | None
    fmspc: bytes | None
    pceid: bytes | None = b"\x00\x00"
    sgx_type: int | None = 1
    instance_id: bytes | None = None
    configuration: tuple[bool, bool, bool] | None = None

    def extension(self, *further: bytes) -> Extra:
        """Return the SGX extension; ``further`` are items written after the others."""
        return Extra(layout.OID_SGX, der_tlv(_SEQUENCE, b"".join((*self.items(), *further))))

    def items(self) -> tuple[bytes, ...]:
        """Return the items of the extension in Intel's order, DER."""
        octets = (
            (layout.PCK_PCEID, self.pceid),
            (layout.PCK_FMSPC, self.fmspc),
        )
        found: list[bytes] = []
        if self.ppid is not None:
            found.append(item(layout.PCK_PPID, der_tlv(_OCTETS, self.ppid)))
        found.append(item(layout.PCK_TCB, self._tcb()))
        found.extend(item(suffix, der_tlv(_OCTETS, value)) for suffix, value in octets if value is not None)
        if self.sgx_type is not None:
            found.append(item(layout.PCK_SGX_TYPE, der_tlv(_ENUMERATED, bytes((self.sgx_type,)))))
        if self.instance_id is not None:
            found.append(item(layout.PCK_PLATFORM_INSTANCE, der_tlv(_OCTETS, self.instance_id)))
        if self.configuration is not None:
            flags = (
                item(f"{layout.PCK_CONFIGURATION}.{number}", der_tlv(_BOOLEAN, b"\xff" if on else b"\x00"))
                for number, on in enumerate(self.configuration, start=1)
            )
            found.append(item(layout.PCK_CONFIGURATION, der_tlv(_SEQUENCE, b"".join(flags))))
        return tuple(found)

    def _tcb(self) -> bytes:
        parts = [
            item(f"{layout.PCK_TCB}.{number}", der_integer(svn))
            for number, svn in enumerate(self.comps, start=1)
            if svn is not None
        ]
        if self.pcesvn is not None:
            parts.append(item(f"{layout.PCK_TCB}.17", der_integer(self.pcesvn)))
        if self.cpusvn is not None:
            parts.append(item(f"{layout.PCK_TCB}.18", der_tlv(_OCTETS, self.cpusvn)))
        return der_tlv(_SEQUENCE, b"".join(parts))


def crl_distribution_point(url: str) -> Extra:
    """CRLDistributionPoints with one URI (RFC 5280 section 4.2.1.13)."""
    name = der_tlv(0xA0, der_tlv(0xA0, der_tlv(0x86, url.encode("ascii"))))
    return Extra("2.5.29.31", der_tlv(_SEQUENCE, der_tlv(_SEQUENCE, name)))


def item(suffix: str, value: bytes) -> bytes:
    """Return one item of the SGX extension: an OID below Intel's, and a DER value."""
    return der_tlv(_SEQUENCE, der_oid(layout.OID_SGX + suffix) + value)


class IntelPki:
    """The authorities, and one platform's PCK certificate. ``now`` places its validity (from a day before) and that of CRLs."""

    def __init__(self, *, now: int, platform: PlatformTcb, ca: Ca, like_intel: bool = False) -> None:
        self.now = now
        self.ca: Ca = ca
        self.platform = platform
        self.like_intel = like_intel
        self._made: dict[tuple[Any, ...], bytes] = {}
        # As with Intel the key belongs to the platform in that state: another TCB, another key.
        self.pck_key = forged_p256(b"PCK " + repr(replace(platform, comps=tuple(platform.comps))).encode("ascii"))

    def name(self, role: Role) -> bytes:
        """Return an authority's Name, DER."""
        return intel_name(COMMON_NAMES[role], like_intel=self.like_intel)

    def signer(self, role: Role) -> Signer:
        """Return how an authority signs."""
        return ecdsa_sha256(authority_key(role))

    def authority(self, role: Role, **changes: Any) -> bytes:
        """Return the certificate of an authority, DER; ``changes`` are arguments of ``forge_certificate``."""
        if not changes and (role,) in self._made:
            return self._made[role,]
        public_key = _spki(authority_key(role))
        signs_certificates = role != "tcb-signing"
        extensions = (
            authority_key_id(_key_id(_spki(authority_key("root")))),
            crl_distribution_point(_ROOT_CRL_URL),
            subject_key_id(_key_id(public_key)),
            key_usage(USAGE_CERT_SIGN, USAGE_CRL_SIGN)
            if signs_certificates
            else key_usage(USAGE_DIGITAL_SIGNATURE, _NON_REPUDIATION),
            basic_constraints(ca=signs_certificates, path_length={"root": 1, "tcb-signing": None}.get(role, 0)),
        )
        made = forge_certificate(
            **{
                "serial": self.serial(role),
                "issuer": self.name("root"),
                "subject": self.name(role),
                "validity": _ROOT_VALIDITY if role == "root" else _CA_VALIDITY,
                "public_key": public_key,
                "signer": self.signer("root"),
                "extensions": extensions,
                **changes,
            }
        )
        return made if changes else self._made.setdefault((role,), made)

    def root(self) -> bytes:
        """Return the root's certificate, DER."""
        return self.authority("root")

    def anchor(self) -> Anchor:
        """Return the forged root as a trust anchor; its word counts as ``simulated``."""
        return Anchor("simulated Intel SGX Root CA", self.root(), "simulated")

    def serial(self, role: Role) -> int:
        """Return the serial number of an authority's certificate."""
        return _serial(_spki(authority_key(role)))

    @property
    def pck_serial(self) -> int:
        """Serial number of the PCK certificate."""
        return _serial(_spki(self.pck_key))

    def pck(self, **changes: Any) -> bytes:
        """Return the platform's PCK certificate, DER; ``changes`` are arguments of ``forge_certificate``."""
        if not changes and ("pck",) in self._made:
            return self._made["pck",]
        made = forge_certificate(
            **{
                "serial": self.pck_serial,
                "issuer": self.name(self.ca),
                "subject": intel_name(PCK_COMMON_NAME, like_intel=self.like_intel),
                "validity": (self.now - DAY, self.now + 7 * YEAR),
                "public_key": _spki(self.pck_key),
                "signer": self.signer(self.ca),
                "extensions": (*self.pck_extensions(), self.platform.extension()),
                **changes,
            }
        )
        return made if changes else self._made.setdefault(("pck",), made)

    def pck_extensions(self) -> tuple[Extra, ...]:
        """Return the extensions of the PCK certificate but Intel's own."""
        return (
            authority_key_id(_key_id(_spki(authority_key(self.ca)))),
            crl_distribution_point(_PCK_CRL_URL.format(self.ca)),
            subject_key_id(_key_id(_spki(self.pck_key))),
            key_usage(USAGE_DIGITAL_SIGNATURE, _NON_REPUDIATION),
            basic_constraints(ca=False),
        )

    def pck_chain(self, *, pck: bytes | None = None, ca: bytes | None = None, root: bytes | None = None) -> bytes:
        """Return PEM: leaf, intermediate, root, as a quote carries them; an empty one is left out."""
        chain = (
            self.pck() if pck is None else pck,
            self.authority(self.ca) if ca is None else ca,
            self.root() if root is None else root,
        )
        return pem(*(der for der in chain if der))

    def signing_chain(self, **changes: Any) -> bytes:
        """Return PEM as PCS's issuer-chain headers do: TCB signing certificate (changed where told), root."""
        return pem(self.authority("tcb-signing", **changes), self.root())

    def root_crl(self, **changes: Any) -> bytes:
        """Return the root's CRL, DER, good for a year; ``changes`` as in ``crl``."""
        return self.crl("root", **{"validity": (self.now - DAY, self.now + YEAR), **changes})

    def pck_crl(self, ca: Ca | None = None, **changes: Any) -> bytes:
        """Return the CRL of a PCK CA (this platform's by default), DER, good for 30 days; ``changes`` as in ``crl``."""
        return self.crl(ca or self.ca, **changes)

    def crl(self, role: Role, *, revoked: Sequence[int] = (), number: int = 1, **changes: Any) -> bytes:
        """Return an authority's CRL, DER; ``changes`` are arguments of ``forge_crl``."""
        return forge_crl(
            **{
                "issuer": self.name(role),
                "validity": (self.now - 3600, self.now + 30 * DAY),
                "number": number,
                "signer": self.signer(role),
                "revoked": revoked,
                "extensions": (authority_key_id(_key_id(_spki(authority_key(role)))),),
                **changes,
            }
        )
