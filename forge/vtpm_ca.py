"""A forged cloud CA for the attestation keys of vTPMs: root, intermediate, AK certificates, of any subject and extensions.

Its keys are public test keys, derived from a label, and "(simulated)" stands in every name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from forge.certificates import (
    Extra,
    Signer,
    authority_key_id,
    basic_constraints,
    common_name_of,
    ecdsa_sha256,
    forge_certificate,
    key_usage,
    spki,
    subject_key_id,
)
from verifier.formats.x509 import USAGE_CERT_SIGN, USAGE_CRL_SIGN, USAGE_DIGITAL_SIGNATURE
from verifier.formats.x509chain import Anchor

_ROOT_VALIDITY = (1_577_836_800, 2_366_841_600)  # 2020-01-01 to 2045-01-01
_DAY = 86_400


@lru_cache(maxsize=32)
def ca_key(label: str) -> ec.EllipticCurvePrivateKey:
    """Derive a CA's key from its label: the same in every process, and public."""
    curve = ec.SECP256R1()
    wide = hashlib.sha512(b"vault-attestation-bridge simulated cloud ca\x00" + label.encode()).digest()
    return ec.derive_private_key(int.from_bytes(wide, "big") % (curve.group_order - 1) + 1, curve)


def key_id(public: bytes) -> bytes:
    """Return the key identifier of a SubjectPublicKeyInfo."""
    return hashlib.sha256(public).digest()[:20]


@dataclass(frozen=True, slots=True)
class VtpmCa:
    """A root and one intermediate of a cloud. ``now`` places the validity of what they certify."""

    cloud: str
    organization: str
    now: int
    generation: str = ""  # another root and intermediate under the same names

    def _key(self, role: str) -> ec.EllipticCurvePrivateKey:
        return ca_key(f"{self.cloud} {role}{self.generation}")

    def _name(self, role: str) -> bytes:
        return common_name_of(f"{self.cloud} vTPM {role} (simulated)", self.organization)

    @property
    def issuer(self) -> bytes:
        """Name of the intermediate."""
        return self._name("intermediate CA")

    def signer(self, role: str = "intermediate") -> Signer:
        """Return how root or intermediate sign."""
        return ecdsa_sha256(self._key(role))

    def _certificate(
        self, role: str, name: bytes, issuer: bytes, *extras: Extra, signer: Signer | None = None
    ) -> bytes:
        public = spki(self._key(role).public_key())
        return forge_certificate(
            serial=1 if role == "root" else 2,
            issuer=issuer,
            subject=name,
            validity=_ROOT_VALIDITY,
            public_key=public,
            signer=signer or self.signer("root"),
            extensions=(
                subject_key_id(key_id(public)),
                authority_key_id(key_id(spki(self._key("root").public_key()))),
                *extras,
            ),
        )

    def root(self) -> bytes:
        """Return the root's certificate, DER."""
        name = self._name("root CA")
        return self._certificate(
            "root", name, name, basic_constraints(ca=True), key_usage(USAGE_CERT_SIGN, USAGE_CRL_SIGN)
        )

    def intermediate(self, *, is_ca: bool = True, signer: Signer | None = None) -> bytes:
        """Return the intermediate's certificate, DER."""
        extras = (basic_constraints(ca=is_ca, path_length=0 if is_ca else None), key_usage(USAGE_CERT_SIGN))
        return self._certificate("intermediate", self.issuer, self._name("root CA"), *extras, signer=signer)

    def anchor(self) -> Anchor:
        """Return the root as an anchor; its word counts as ``simulated``."""
        return Anchor(f"simulated {self.cloud} vTPM root", self.root(), "simulated")

    def certify(
        self,
        public: PublicKeyTypes,
        *,
        subject: bytes | None = None,
        extensions: Sequence[Extra] = (),
        usage: Sequence[int] = (USAGE_DIGITAL_SIGNATURE,),
        validity: tuple[int, int] | None = None,
        signer: Signer | None = None,
    ) -> bytes:
        """Certify an attestation key, DER."""
        der = spki(public)
        return forge_certificate(
            serial=int.from_bytes(key_id(der)[:8], "big") >> 1,
            issuer=self.issuer,
            subject=common_name_of("vTPM attestation key (simulated)", self.organization)
            if subject is None
            else subject,
            validity=validity or (self.now - _DAY, self.now + 365 * _DAY),
            public_key=der,
            signer=signer or self.signer(),
            extensions=(
                key_usage(*usage),
                authority_key_id(key_id(spki(self._key("intermediate").public_key()))),
                *extensions,
            ),
        )
