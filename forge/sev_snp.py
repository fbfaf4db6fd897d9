"""A forged AMD: roots, intermediates, chips and firmware that sign whatever they are told.

``ForgedAmd("Milan", now=…)`` is one chip of one product with its own ARK, ASK and ASVK (public test keys of this package),
its VCEK (or, with ``csp_id``, its VLEK), CRLs, and reports of versions 2 to 5 with any field set. The chip's key follows from
product, chip and TCB, as AMD's does, so the same chip signs with the same key in every process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final, Literal

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from forge.certificates import (
    Extra,
    Signer,
    authority_key_id,
    basic_constraints,
    common_name_of,
    der_integer,
    der_name,
    forge_certificate,
    forge_crl,
    key_usage,
    pss_sha384,
    spki,
    subject_key_id,
)
from verifier.formats.x509 import USAGE_CERT_SIGN, USAGE_CRL_SIGN, der_tlv
from verifier.formats.x509chain import Anchor
from verifier.tee.sev_snp import layout
from verifier.tee.sev_snp.layout import LAYOUTS, SIGNED, Product

Role = Literal["ark", "ask", "asvk"]

ORGANIZATION: Final = "Forged Micro Devices (simulated)"
_DAY: Final = 86_400
_ROOT_VALIDITY: Final = (1_577_836_800, 2_366_841_600)  # 2020-01-01 to 2045-01-01
_SERIALS: Final[Mapping[Product, int]] = {"Milan": 0x10000, "Genoa": 0x20000, "Turin": 0x30000}
_TCB: Final[Mapping[Product, Mapping[str, int]]] = {
    "Milan": {"bl": 4, "tee": 0, "snp": 24, "ucode": 219},
    "Genoa": {"bl": 10, "tee": 0, "snp": 25, "ucode": 84},
    "Turin": {"fmc": 1, "bl": 1, "tee": 1, "snp": 4, "ucode": 81},
}
_CPUID: Final[Mapping[Product, tuple[int, int, int]]] = {
    "Milan": (0x19, 0x01, 1),
    "Genoa": (0x19, 0x11, 1),
    "Turin": (0x1A, 0x02, 1),
}
_ORDER_P384: Final = int(
    "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16
)
_AMD_NAME: Final = (
    ("2.5.4.11", "Engineering"),
    ("2.5.4.6", "US"),
    ("2.5.4.7", "Santa Clara"),
    ("2.5.4.8", "CA"),
    ("2.5.4.10", "Advanced Micro Devices"),
)


def tcb_version(product: Product, parts: Mapping[str, int]) -> bytes:
    """Write a TCB_VERSION from its components; those left out are zero."""
    places = layout.tcb_places(product)
    raw = bytearray(8)
    for name, value in parts.items():
        raw[places[name]] = value
    return bytes(raw)


@lru_cache(maxsize=16)
def authority_key(product: Product, role: Role) -> rsa.RSAPrivateKey:
    """Load one of the package's public test keys."""
    name = f"amd_{product.lower()}_{role}.pem"
    pem = files("forge").joinpath("keys", name).read_bytes()
    # Validation takes a second for a key that is ours; nothing is protected by it.
    key = load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError(f"{name}: want an RSA key")
    return key


@lru_cache(maxsize=16)
def _authority_spki(product: Product, role: Role) -> bytes:
    return spki(authority_key(product, role).public_key())


def _key_id(public_key: bytes) -> bytes:
    return hashlib.sha256(public_key).digest()[:20]


def chip_key(product: Product, secret: bytes) -> ec.EllipticCurvePrivateKey:
    """Derive a chip's signing key from what makes it unique."""
    seed = hashlib.sha512(b"forged VEK\x00" + product.encode("ascii") + b"\x00" + secret).digest()
    return ec.derive_private_key(int.from_bytes(seed, "big") % (_ORDER_P384 - 1) + 1, ec.SECP384R1())


@lru_cache(maxsize=64)
def _ca_certificate(product: Product, role: Role, name: bytes, issuer: bytes) -> bytes:
    """Make the ARK's, ASK's or ASVK's certificate as AMD makes them; the same for the life of the process."""
    public_key = _authority_spki(product, role)
    is_root = role == "ark"
    usage = key_usage(USAGE_CERT_SIGN, USAGE_CRL_SIGN) if is_root else key_usage(USAGE_CERT_SIGN)
    return forge_certificate(
        serial=_SERIALS[product] + {"ark": 0, "ask": 1, "asvk": 0x101}[role],
        issuer=issuer,
        subject=name,
        validity=_ROOT_VALIDITY,
        public_key=public_key,
        signer=pss_sha384(authority_key(product, "ark")),
        extensions=(
            subject_key_id(_key_id(public_key)),
            authority_key_id(_key_id(_authority_spki(product, "ark"))),
            basic_constraints(ca=True, path_length=None if is_root else 0),
            usage,
        ),
    )


class ForgedAmd:
    """One chip. ``now`` places the validity of its certificate (from a day before) and of its CRLs (from an hour before)."""

    def __init__(
        self,
        product: Product = "Milan",
        *,
        now: int,
        csp_id: str | None = None,
        seed: bytes = b"chip 0",
        tcb: Mapping[str, int] | None = None,
        like_amd: bool = False,
    ) -> None:
        """``csp_id`` makes it sign with a VLEK of that provider; ``like_amd`` writes AMD's own names over the forged keys."""
        self.product: Product = product
        self.now = now
        self.csp_id = csp_id
        self.tcb = tcb_version(product, _TCB[product] if tcb is None else tcb)
        self.hwid = hashlib.sha512(seed).digest()[: layout.HWID_SIZES[product]]
        self._like_amd = like_amd
        self._vek = b""
        self.key = chip_key(product, (self.hwid if csp_id is None else csp_id.encode()) + self.tcb)

    @property
    def kind(self) -> Literal["vcek", "vlek"]:
        """Which endorsement its reports need."""
        return "vcek" if self.csp_id is None else "vlek"

    def name(self, common_name: str) -> bytes:
        """Return a DER Name of this vendor."""
        if self._like_amd:
            return der_name(*_AMD_NAME, ("2.5.4.3", common_name))
        return common_name_of(common_name, ORGANIZATION)

    @property
    def ark_name(self) -> bytes:
        """Name of the root."""
        return self.name(f"ARK-{self.product}")

    @property
    def ask_name(self) -> bytes:
        """Name of the intermediate that signs this chip's kind of certificate."""
        return self.name(f"SEV-{self.product}" if self.csp_id is None else f"SEV-VLEK-{self.product}")

    def signer(self, role: Role) -> Signer:
        """Return how the authority of that role signs."""
        return pss_sha384(authority_key(self.product, role))

    def ark(self) -> bytes:
        """Return the root's certificate, DER."""
        return _ca_certificate(self.product, "ark", self.ark_name, self.ark_name)

    def ask(self) -> bytes:
        """Return the certificate of the ASK, or of the ASVK for a VLEK, DER."""
        role: Role = "ask" if self.csp_id is None else "asvk"
        return _ca_certificate(self.product, role, self.ask_name, self.ark_name)

    def anchor(self) -> Anchor:
        """Return the forged root as a trust anchor; its word counts as ``simulated``."""
        return Anchor(f"simulated ARK-{self.product}", self.ark(), "simulated")

    def vek_extensions(self, *, product_name: str | None = None, hwid: bytes | None = None) -> tuple[Extra, ...]:
        """Return AMD's extensions of a VCEK (raw hwID) or VLEK (cspID)."""
        stepping = "-B0" if self.product == "Milan" and self.csp_id is None else ""
        shown = product_name if product_name is not None else self.product + stepping
        suffixes = layout.TCB_OIDS_TURIN if self.product == "Turin" else layout.TCB_OIDS_CLASSIC
        spls = (
            Extra(layout.OID_PREFIX + suffix, der_integer(value))
            for suffix, value in zip(suffixes, self.tcb, strict=True)
        )
        who = (
            Extra(layout.OID_HWID, self.hwid if hwid is None else hwid)
            if self.csp_id is None
            else Extra(layout.OID_CSP_ID, der_tlv(0x16, self.csp_id.encode("ascii")))
        )
        return (
            Extra(layout.OID_STRUCT_VERSION, der_integer(1 if self.product == "Turin" else 0)),
            Extra(layout.OID_PRODUCT_NAME, der_tlv(0x16, shown.encode("ascii"))),
            *spls,
            who,
        )

    def vek(self, **changes: Any) -> bytes:
        """Return this chip's certificate, DER, serial number 0 as AMD's; ``changes`` are arguments of ``forge_certificate``."""
        if self._vek and not changes:
            return self._vek
        years = 7 if self.csp_id is None else 1
        made = forge_certificate(
            **{
                "serial": 0,
                "issuer": self.ask_name,
                "subject": self.name(f"SEV-{self.kind.upper()}"),
                "validity": (self.now - _DAY, self.now + years * 365 * _DAY),
                "public_key": spki(self.key.public_key()),
                "signer": self.signer("ask" if self.csp_id is None else "asvk"),
                "extensions": self.vek_extensions(),
                **changes,
            }
        )
        if not changes:
            self._vek = made
        return made

    def endorsements(self) -> dict[str, bytes]:
        """Return what comes with the evidence: the chip's certificate and the intermediate's, DER."""
        return {self.kind: self.vek(), "ask": self.ask()}

    def crl(self, *, revoked: Sequence[int] = (), number: int = 1, **changes: Any) -> bytes:
        """Return the root's CRL, DER, good for 30 days; ``changes`` are arguments of ``forge_crl``."""
        return forge_crl(
            **{
                "issuer": self.ark_name,
                "validity": (self.now - 3600, self.now + 30 * _DAY),
                "number": number,
                "signer": self.signer("ark"),
                "revoked": revoked,
                **changes,
            }
        )

    def fields(self, version: int | None = None) -> dict[str, bytes | int]:
        """Return the fields of a wholesome report; what the version does not have is not written."""
        family, model, stepping = _CPUID[self.product]
        measured = hashlib.sha384(b"forged launch measurement").digest()
        signing_key = layout.SIGNING_VCEK if self.csp_id is None else layout.SIGNING_VLEK
        return {
            "version": version if version is not None else (5 if self.product == "Turin" else 3),
            "guest_svn": 2,
            "policy": 0x3001F,
            "family_id": bytes(16),
            "image_id": bytes(16),
            "vmpl": 0,
            "signature_algo": layout.SIGNATURE_ECDSA_P384,
            "platform_info": 0x25,
            "key_info": signing_key << layout.KEY_SIGNING_SHIFT,
            "report_data": bytes(64),
            "measurement": measured,
            "host_data": bytes(32),
            "id_key_digest": bytes(48),
            "author_key_digest": bytes(48),
            "report_id": hashlib.sha256(b"forged report id" + self.hwid).digest(),
            "report_id_ma": layout.NO_MIGRATION_AGENT,
            "cpuid_family": family,
            "cpuid_model": model,
            "cpuid_stepping": stepping,
            "chip_id": bytes(64) if self.csp_id is not None else self.hwid + bytes(64 - len(self.hwid)),
            **{f"{which}_tcb": self.tcb for which in ("current", "reported", "committed", "launch")},
            **{f"{which}_major": 1 for which in ("current", "committed")},
            **{f"{which}_minor": 55 for which in ("current", "committed")},
            **{f"{which}_build": 40 for which in ("current", "committed")},
            "launch_mit_vector": 0x3F,
            "current_mit_vector": 0x3F,
            "signature_r": 0,
            "signature_s": 0,
        }

    def report(self, *, report_data: bytes, version: int | None = None, **fields: bytes | int) -> bytes:
        """Make and sign a report of 1184 bytes; any field of the layout may be set. ``report_data`` is 64 bytes."""
        values = {**self.fields(version), "report_data": report_data, **fields}
        table = LAYOUTS[int(values["version"])]
        return self.sign(table.encode(values))

    def sign(self, unsigned: bytes) -> bytes:
        """Sign the bytes of a report, whatever they say (ECDSA P-384 with SHA-384, little-endian r and s)."""
        algorithm = ec.ECDSA(hashes.SHA384(), deterministic_signing=True)
        r, s = decode_dss_signature(self.key.sign(unsigned[slice(*SIGNED)], algorithm))
        return (
            unsigned[: SIGNED[1]]
            + r.to_bytes(72, "little")
            + s.to_bytes(72, "little")
            + bytes(len(unsigned) - SIGNED[1] - 144)
        )
