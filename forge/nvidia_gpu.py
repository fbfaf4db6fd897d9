"""A forged NVIDIA: a root, a product line, devices, and firmware that measures whatever it is told.

``ForgedNvidia()`` is one GH100 with a chain of five certificates as NVIDIA makes them (valid to the year 9999), and reports with any
block and any opaque field set. Keys follow from what makes each unique, so the same device signs with the same key in every process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from forge.certificates import (
    Extra,
    Signer,
    authority_key_id,
    basic_constraints,
    der_integer,
    der_name,
    der_oid,
    forge_certificate,
    key_usage,
    spki,
    subject_key_id,
)
from verifier.core.binding import BindingDigest, evidence_component
from verifier.core.envelope import Envelope
from verifier.formats.x509 import USAGE_CERT_SIGN, USAGE_CRL_SIGN, USAGE_DIGITAL_SIGNATURE, der_tlv
from verifier.formats.x509chain import Anchor
from verifier.tee.nvidia_gpu import layout

ORGANIZATION: Final = "Forged Graphics (simulated)"
_NVIDIA: Final = "NVIDIA"
END_OF_TIME: Final = 253_402_300_799  # 9999-12-31T23:59:59Z
_VALIDITY: Final = (1_602_892_800, END_OF_TIME)
_ORDER_P384: Final = int(
    "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16
)
_SHA384: Final = "2.16.840.1.101.3.4.2.2"
# From the root down: role, and the keyUsage that the certificate has.
_CA_ROLES: Final = ("root", "product", "provisioner", "device")


def derived_key(what: str, secret: bytes = b"") -> ec.EllipticCurvePrivateKey:
    """Derive a P-384 key; the CAs' have no secret at all."""
    seed = hashlib.sha512(b"forged NVIDIA\x00" + what.encode("ascii") + b"\x00" + secret).digest()
    return ec.derive_private_key(int.from_bytes(seed, "big") % (_ORDER_P384 - 1) + 1, ec.SECP384R1())


def authority_key(role: str) -> ec.EllipticCurvePrivateKey:
    """Return the key of a CA that devices share: ``root``, ``product``, ``provisioner``."""
    return derived_key(role)


def ecdsa_sha384(key: ec.EllipticCurvePrivateKey) -> Signer:
    """ECDSA with SHA-384, deterministic."""
    algorithm = der_tlv(0x30, der_oid("1.2.840.10045.4.3.3"))
    return Signer(algorithm, lambda data: key.sign(data, ec.ECDSA(hashes.SHA384(), deterministic_signing=True)))


def ecdsa_sha256(key: ec.EllipticCurvePrivateKey) -> Signer:
    """ECDSA with SHA-256: what NVIDIA never uses."""
    algorithm = der_tlv(0x30, der_oid("1.2.840.10045.4.3.2"))
    return Signer(algorithm, lambda data: key.sign(data, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)))


def _key_id(key: ec.EllipticCurvePrivateKey) -> bytes:
    return hashlib.sha1(spki(key.public_key())).digest()  # noqa: S324 - a key identifier, not a signature


def composite_device_id(public_key: bytes, fwid: bytes) -> Extra:
    """Hopper's FWID extension: version, the device's key, digest."""
    inner = der_integer(1) + public_key + _fwid(fwid)
    return Extra(layout.OID_FWID_HOPPER, der_tlv(0x30, inner))


def tcb_info(fwid: bytes) -> Extra:
    """Blackwell's FWID extension: DiceTcbInfo, with a second, empty digest as NVIDIA writes it."""
    inner = (
        der_tlv(0x80, b"NVIDIA")
        + der_tlv(0x81, b"GB100 A01 FSP")
        + der_tlv(0x82, b"03")
        + b"".join(der_tlv(tag, bytes((value,))) for tag, value in ((0x83, 3), (0x84, 0), (0x85, 0)))
        + der_tlv(0xA6, _fwid(fwid) + _fwid(bytes(48)))
        + der_tlv(0x87, bytes.fromhex("0090000001"))
        + der_tlv(0x88, b"\xc0")
        + der_tlv(0x89, b"\x00")
    )
    return Extra(layout.OID_TCB_INFO, der_tlv(0x30, inner))


def _fwid(digest: bytes) -> bytes:
    return der_tlv(0x30, der_oid(_SHA384) + der_tlv(4, digest))


class ForgedNvidia:
    """One device. ``chip`` is as the leaf names it: GH100, GB100, LS_10 (a switch)."""

    def __init__(self, chip: str = "GH100", *, seed: bytes = b"device 0", like_nvidia: bool = False) -> None:
        """``like_nvidia`` writes NVIDIA's own names over the forged keys."""
        self.chip = chip
        self._like_nvidia = like_nvidia
        self.fwid = hashlib.sha384(b"forged FMC " + chip.encode("ascii")).digest()
        self.serial = int.from_bytes(b"\x41" + hashlib.sha256(seed).digest()[:8], "big")
        self._chain: tuple[bytes, ...] = ()
        unique = chip.encode("ascii") + seed
        self.device_key = derived_key("device", unique)
        self.key = derived_key("leaf", unique + self.fwid)

    def key_of(self, role: str) -> ec.EllipticCurvePrivateKey:
        """Return the key of a certificate of the chain: ``root``, ``product``, ``provisioner``, ``device``, ``leaf``."""
        own = {"device": self.device_key, "leaf": self.key}
        return own[role] if role in own else authority_key(role)

    def name_of(self, role: str) -> bytes:
        """Return a DER Name as NVIDIA writes it, with this vendor's organization unless told otherwise."""
        maker = _NVIDIA if role == "root" else f"{_NVIDIA} Corporation"
        organization = ("2.5.4.10", maker if self._like_nvidia else ORGANIZATION)
        common = {
            "root": "NVIDIA Device Identity CA",
            "product": "NVIDIA GH100 Identity",
            "provisioner": f"NVIDIA {self.chip} Provisioner ICA 1",
            "device": f"{self.chip} A01 GSP BROM",
            "leaf": f"{self.chip} A01 GSP FMC LF",
        }[role]
        if role in ("device", "leaf"):
            serial = f"{self.serial:X}" if role == "device" else _key_id(self.key).hex().upper()
            return der_name(("2.5.4.5", serial), ("2.5.4.6", "US"), organization, ("2.5.4.3", common))
        return der_name(("2.5.4.3", common), organization)

    def certificate(self, role: str, **changes: Any) -> bytes:
        """Return one certificate of the chain, DER; ``changes`` are arguments of ``forge_certificate``."""
        roles = (*_CA_ROLES, "leaf")
        issuer = roles[max(roles.index(role) - 1, 0)]
        key = self.key_of(role)
        return forge_certificate(
            **{
                "serial": {"device": self.serial, "leaf": int.from_bytes(_key_id(key), "big") >> 1}.get(role, 0x2D36),
                "issuer": self.name_of(issuer),
                "subject": self.name_of(role),
                "validity": _VALIDITY,
                "public_key": spki(key.public_key()),
                "signer": ecdsa_sha384(self.key_of(issuer)),
                "extensions": self.extensions(role),
                **changes,
            }
        )

    def extensions(self, role: str) -> tuple[Extra, ...]:
        """Return the extensions of a certificate as NVIDIA writes them."""
        roles = (*_CA_ROLES, "leaf")
        issuer = roles[max(roles.index(role) - 1, 0)]
        ids = (subject_key_id(_key_id(self.key_of(role))), authority_key_id(_key_id(self.key_of(issuer))))
        if role == "leaf":
            return (key_usage(USAGE_DIGITAL_SIGNATURE), *ids, self.fwid_extension())
        usage = (USAGE_CERT_SIGN,) if role == "device" else (USAGE_CERT_SIGN, USAGE_CRL_SIGN)
        return (basic_constraints(ca=True), key_usage(*usage), *ids)

    def fwid_extension(self, fwid: bytes | None = None) -> Extra:
        """Return the leaf's FWID extension in the chip's own form."""
        digest = self.fwid if fwid is None else fwid
        return tcb_info(digest) if self.chip.startswith("GB") else composite_device_id(spki(self._issuer_key()), digest)

    def _issuer_key(self) -> ec.EllipticCurvePublicKey:
        return self.device_key.public_key()

    def chain(self, **changed: bytes) -> tuple[bytes, ...]:
        """Return the chain, leaf first, root last; certificates given by role stand in for the device's own."""
        if not self._chain:
            self._chain = tuple(self.certificate(role) for role in ("leaf", *reversed(_CA_ROLES)))
        made = dict(zip(("leaf", *reversed(_CA_ROLES)), self._chain, strict=True))
        return tuple({**made, **changed}.values())

    def chain_pem(self, **changed: bytes) -> bytes:
        """Return the part ``cert_chain``."""
        return layout.encode_chain(self.chain(**changed))

    def anchor(self) -> Anchor:
        """Return the forged root as a trust anchor; its word counts as ``simulated``."""
        return Anchor("simulated NVIDIA Device Identity CA", self.chain()[-1], "simulated")

    def blocks(self) -> tuple[tuple[int, int, bytes], ...]:
        """Return wholesome measurements: two digests, one that is all zero, one of raw bytes."""
        digests = tuple((i, 1, hashlib.sha384(f"forged measurement {i}".encode()).digest()) for i in (1, 2))
        return (*digests, (3, 1, bytes(48)), (4, 0x83, b"\x07\x00\x01\x01"))

    def opaque(self) -> tuple[tuple[int, bytes], ...]:
        """Return wholesome opaque fields of the chip's kind."""
        if self.chip.startswith("LS"):
            return (
                (6, b"96.10.55.00.01"),
                (22, self.serial.to_bytes(9, "big")[1:]),
                (24, b"\x02\x00"),
                (25, b"\x01\x00"),
            )
        return (
            (6, bytes.fromhex("0074009620000000")),
            (14, bytes.fromhex("a1040000")),
            (15, b"862" + bytes(6)),
            (17, b"1010\x00"),
            (18, b"0205\x00"),
            (3, b"580.159.03\x00"),
            (12, bytes(16)),
            (11, b"\x55"),
            (20, self.fwid),
            (21, b"\x55"),
            (34, b"\x01\x00"),
            (36, b"\x00\x00"),
        )

    def unsigned(
        self,
        *,
        nonce: bytes,
        blocks: Sequence[tuple[int, int, bytes]] | None = None,
        opaque: Sequence[tuple[int, bytes]] | None = None,
        request: Mapping[str, bytes | int] | None = None,
        response: Mapping[str, bytes | int] | None = None,
    ) -> bytes:
        """Return request and response up to the signature."""
        asked: dict[str, bytes | int] = {
            "version": layout.SPDM_1_1,
            "code": layout.GET_MEASUREMENTS,
            "attributes": 1,
            "operation": 0xFF,
            "nonce": nonce,
            "slot": 0,
        }
        answered: dict[str, bytes | int] = {
            "version": layout.SPDM_1_1,
            "code": layout.MEASUREMENTS,
            "param1": 0,
            "param2": 0,
        }
        return layout.encode_unsigned(
            {**asked, **(request or {})},
            {**answered, **(response or {})},
            self.blocks() if blocks is None else blocks,
            hashlib.sha256(b"forged responder nonce" + nonce).digest(),
            self.opaque() if opaque is None else opaque,
        )

    def sign(self, unsigned: bytes) -> bytes:
        """Sign the messages, whatever they say (ECDSA P-384 with SHA-384, big-endian r and s)."""
        algorithm = ec.ECDSA(hashes.SHA384(), deterministic_signing=True)
        r, s = decode_dss_signature(self.key.sign(unsigned, algorithm))
        return unsigned + r.to_bytes(48, "big") + s.to_bytes(48, "big")

    def report(self, *, nonce: bytes, **fields: Any) -> bytes:
        """Make and sign the part ``spdm_report``; ``fields`` are arguments of ``unsigned``."""
        return self.sign(self.unsigned(nonce=nonce, **fields))

    def parts(self, nonce: bytes) -> dict[str, bytes]:
        """Return both parts of evidence that carries this nonce of 32 bytes."""
        return {"spdm_report": self.report(nonce=nonce), "cert_chain": self.chain_pem()}


def without(extensions: Sequence[Extra], *oids: str) -> tuple[Extra, ...]:
    """Return extensions with some left out."""
    return tuple(replace(extension) for extension in extensions if extension.oid not in oids)


def gpu_envelope(gpu: ForgedNvidia, digest: BindingDigest) -> Envelope:
    """Return the GPU's evidence for a challenge, by itself or as the part of a composite that is made first."""
    return Envelope("nvidia-gpu", gpu.parts(digest.short))


def envelope_with_gpu(
    scheme: str, gpu: ForgedNvidia, digest: BindingDigest, cpu: Callable[[BindingDigest], Envelope]
) -> Envelope:
    """Return the evidence of a machine with a GPU (``sev-snp-gpu``, ``tdx-gpu``, ``azure-snp-vtpm-gpu``, ``azure-tdx-vtpm-gpu``).

    ``cpu`` makes the CPU's (on Azure the vTPM's), last, and is handed the digest that vouches for the GPU's.
    """
    beside = gpu_envelope(gpu, digest)
    vouching = digest.over((evidence_component(beside.scheme, beside.parts),))
    return Envelope(scheme, {}, {}, (cpu(vouching), beside))
