"""A forged Arm CCA platform: an operator's root that endorses it, its firmware, and realms of any measurement.

``ForgedArm(now=…)`` is one chip with a platform key (CPAK), the certificate of that key under a forged root, a realm manager with
its own key (RAK), and tokens with any claim set. Keys follow from what makes each unique.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final, Literal

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from forge.certificates import (
    Extra,
    Signer,
    basic_constraints,
    common_name_of,
    der_oid,
    forge_certificate,
    key_usage,
    spki,
)
from verifier.core.binding import BindingDigest
from verifier.core.envelope import Envelope
from verifier.formats import cbor, cose
from verifier.formats.x509 import OID_SUBJECT_ALT_NAME, USAGE_CERT_SIGN, USAGE_DIGITAL_SIGNATURE, der_tlv
from verifier.formats.x509chain import Anchor
from verifier.tee.arm_cca import layout

ORGANIZATION: Final = "Forged Arm platforms (simulated)"
_DAY: Final = 86_400
_ROOT_VALIDITY: Final = (1_577_836_800, 2_366_841_600)  # 2020-01-01 to 2045-01-01
Curve = Literal["secp256r1", "secp384r1"]
_CURVES: Final[Mapping[Curve, tuple[int, ec.EllipticCurve]]] = {
    "secp256r1": (int("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16), ec.SECP256R1()),
    "secp384r1": (
        int("ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16),
        ec.SECP384R1(),
    ),
}
_ALGORITHMS: Final = {"secp256r1": cose.ES256, "secp384r1": cose.ES384}
_CURVE_LABELS: Final = {name: label for label, (name, _) in layout.CURVES.items()}


def derived_key(what: str, secret: bytes = b"", curve: Curve = "secp384r1") -> ec.EllipticCurvePrivateKey:
    """Derive a key; without a secret it is public."""
    seed = hashlib.sha512(b"forged Arm\x00" + what.encode("ascii") + b"\x00" + secret).digest()
    order, made = _CURVES[curve]
    return ec.derive_private_key(int.from_bytes(seed, "big") % (order - 1) + 1, made)


def root_key() -> ec.EllipticCurvePrivateKey:
    """Return the forged root's key."""
    return derived_key("root")


def published_cpak() -> ec.EllipticCurvePrivateKey:
    """Return what stands in for the test CPAK that reference firmware publishes: verifiers refuse it by name."""
    return derived_key("published test CPAK")


def published_rak() -> ec.EllipticCurvePrivateKey:
    """Return what stands in for the test RAK that reference firmware publishes."""
    return derived_key("published test RAK")


def ecdsa_sha384(key: ec.EllipticCurvePrivateKey) -> Signer:
    """ECDSA with SHA-384, deterministic."""
    algorithm = der_tlv(0x30, der_oid("1.2.840.10045.4.3.3"))
    return Signer(algorithm, lambda data: key.sign(data, ec.ECDSA(hashes.SHA384(), deterministic_signing=True)))


def raw_point(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a public key as an uncompressed point: the older profile's form of a RAK."""
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def cose_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a public key as a COSE_Key: the newer profiles' form."""
    point = raw_point(key)
    half = len(point) // 2
    return cbor.encode({1: 2, -1: _CURVE_LABELS[key.curve.name], -2: point[1 : 1 + half], -3: point[1 + half :]})


def sign1(key: ec.EllipticCurvePrivateKey, payload: bytes, *, alg: int | None = None) -> bytes:
    """Sign a payload as tagged COSE_Sign1, with the algorithm of the key's curve."""
    algorithm = cose.ALGORITHMS[_ALGORITHMS[key.curve.name]]
    protected = cbor.encode({cose.HEADER_ALG: _ALGORITHMS[key.curve.name] if alg is None else alg})
    to_sign = cose.to_be_signed(protected, payload)
    r, s = decode_dss_signature(key.sign(to_sign, ec.ECDSA(algorithm.hash, deterministic_signing=True)))
    signature = r.to_bytes(algorithm.size, "big") + s.to_bytes(algorithm.size, "big")
    return cose.encode_sign1(protected, {}, payload, signature, tagged=True)


class ForgedArm:
    """One chip. ``now`` places the validity of its certificate; ``newer`` writes the profiles and key form of RMM 1.0."""

    def __init__(
        self,
        *,
        now: int,
        seed: bytes = b"chip 0",
        newer: bool = False,
        cpak: ec.EllipticCurvePrivateKey | None = None,
        rak: ec.EllipticCurvePrivateKey | None = None,
    ) -> None:
        self.now = now
        self.newer = newer
        self.implementation_id = hashlib.sha256(b"forged implementation").digest()
        self.instance_id = b"\x01" + hashlib.sha256(b"forged instance " + seed).digest()
        self.cpak = derived_key("CPAK", seed) if cpak is None else cpak
        self.rak = derived_key("RAK", seed) if rak is None else rak

    @property
    def root_name(self) -> bytes:
        """Name of the root, DER."""
        return common_name_of("Forged CCA endorser (simulated)", ORGANIZATION)

    def root(self) -> bytes:
        """Return the root's certificate, DER."""
        return forge_certificate(
            serial=1,
            issuer=self.root_name,
            subject=self.root_name,
            validity=_ROOT_VALIDITY,
            public_key=spki(root_key().public_key()),
            signer=ecdsa_sha384(root_key()),
            extensions=(basic_constraints(ca=True, path_length=0), key_usage(USAGE_CERT_SIGN)),
        )

    def anchor(self) -> Anchor:
        """Return the forged root as a trust anchor; its word counts as ``simulated``."""
        return Anchor("simulated CCA endorser", self.root(), "simulated")

    def subject_alt_name(self, uri: str | None = None) -> Extra:
        """Return the extension that names implementation and instance."""
        text = layout.cpak_uri(self.implementation_id, self.instance_id) if uri is None else uri
        return Extra(OID_SUBJECT_ALT_NAME, der_tlv(0x30, der_tlv(0x86, text.encode("ascii"))))

    def certificate(self, **changes: Any) -> bytes:
        """Return the platform key's certificate, DER; ``changes`` are arguments of ``forge_certificate``."""
        return forge_certificate(
            **{
                "serial": 2,
                "issuer": self.root_name,
                "subject": common_name_of("CPAK", ORGANIZATION),
                "validity": (self.now - _DAY, self.now + 365 * _DAY),
                "public_key": spki(self.cpak.public_key()),
                "signer": ecdsa_sha384(root_key()),
                "extensions": (key_usage(USAGE_DIGITAL_SIGNATURE), self.subject_alt_name()),
                **changes,
            }
        )

    def endorsements(self) -> dict[str, bytes]:
        """Return what comes with the evidence: the platform key's certificate, DER."""
        return {"cpak": self.certificate()}

    def public_key(self) -> bytes:
        """Return the RAK as the profile writes it."""
        return cose_key(self.rak) if self.newer else raw_point(self.rak)

    def platform_claims(self) -> dict[int, Any]:
        """Return the claims of a wholesome platform token."""
        signer = hashlib.sha256(b"forged firmware signer").digest()
        return {
            265: "tag:arm.com,2023:cca_platform#1.0.0" if self.newer else "http://arm.com/CCA-SSD/1.0.0",
            10: hashlib.sha256(self.public_key()).digest(),
            2396: self.implementation_id,
            256: self.instance_id,
            2401: b"\xcf\xcf\xcf\xcf",
            2395: 0x3003,
            2402: "sha-256",
            2399: [
                {1: "BL", 5: signer, 4: "3.4.2", 2: hashlib.sha256(b"forged BL").digest(), 6: "sha-256"},
                {1: "RMM", 5: signer, 2: hashlib.sha256(b"forged RMM").digest()},
            ],
            2400: "https://verifier.example",
        }

    def realm_claims(self, challenge: bytes) -> dict[int, Any]:
        """Return the claims of a wholesome realm token."""
        claims: dict[int, Any] = {265: "tag:arm.com,2023:realm#1.0.0"} if self.newer else {}
        return {
            **claims,
            10: challenge,
            44236: "sha-256",
            44240: "sha-256",
            44235: bytes(64),
            44237: self.public_key(),
            44238: hashlib.sha256(b"forged realm image").digest(),
            44239: [hashlib.sha256(b"forged boot").digest(), *[bytes(32)] * 3],
        }

    def token(
        self,
        *,
        challenge: bytes,
        platform: Mapping[int, Any] | None = None,
        realm: Mapping[int, Any] | None = None,
        tag: int = layout.TAG_TOKEN,
    ) -> bytes:
        """Make and sign the part ``cca_token``; claims set to ``None`` are left out."""
        said = {**self.platform_claims(), **(platform or {})}
        realm_said = {**self.realm_claims(challenge), **(realm or {})}
        tokens = [
            sign1(key, cbor.encode({number: value for number, value in claims.items() if value is not None}))
            for key, claims in ((self.cpak, said), (self.rak, realm_said))
        ]
        return layout.encode_token(tokens[0], tokens[1], tag)

    def parts(self, challenge: bytes, personalization_value: bytes = bytes(64)) -> dict[str, bytes]:
        """Return evidence that carries this challenge of 64 bytes, of a realm that was created with this value."""
        return {"cca_token": self.token(challenge=challenge, realm={44235: personalization_value})}


def realm_envelope(arm: ForgedArm, digest: BindingDigest, personalization_value: bytes = bytes(64)) -> Envelope:
    """Return a realm's evidence for a challenge, with the endorsement of its platform."""
    return Envelope("arm-cca", arm.parts(digest.whole, personalization_value), arm.endorsements())
