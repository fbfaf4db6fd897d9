"""A forged Nitro: root, region, zone, instance, enclaves and TPMs that sign whatever document they are told.

``ForgedNitro(now=…)`` is one module of one instance: its chain has AWS's shape (P-384 throughout, path lengths 2, 1, 0, a leaf of
three hours), its keys follow from labels, so they are the same in every process, and public. Any key of the payload can
be set or left out, the maps written with definite or indefinite lengths.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Literal

from cryptography.hazmat.primitives.asymmetric import ec

from forge.certificates import (
    Extra,
    authority_key_id,
    basic_constraints,
    ecdsa_sha384,
    forge_certificate,
    key_usage,
    spki,
    subject_key_id,
)
from forge.certificates import der_name as _der_name
from forge.cose import sign1
from verifier.core.binding import BindingDigest
from verifier.formats import cbor
from verifier.formats.cose import ES384
from verifier.formats.x509 import USAGE_CERT_SIGN, USAGE_CRL_SIGN, USAGE_DIGITAL_SIGNATURE
from verifier.formats.x509chain import Anchor
from verifier.tee.aws_nitro import layout

Authority = Literal["root", "region", "zone", "instance"]
AUTHORITIES: Final[tuple[Authority, ...]] = ("root", "region", "zone", "instance")

ABSENT: Final = object()  # as a payload value: leave the key out
INSTANCE: Final = "i-0123456789abcdef0"
ORGANIZATION: Final = "Forged Web Services (simulated)"
_CONTENT_COMMITMENT: Final = 1
_HOUR: Final = 3600
_LIVES: Final[Mapping[str, int]] = {"region": 20 * 24, "zone": 6 * 24, "instance": 24, "leaf": 3}
_ROOT_VALIDITY: Final = (1_572_269_285, 2_519_044_085)  # the real root's
_PATH_LENGTHS: Final[Mapping[str, int | None]] = {"root": None, "region": 2, "zone": 1, "instance": 0}


@lru_cache(maxsize=64)
def nitro_key(label: str, curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    """Derive a key from a label; P-384 unless told."""
    where = curve or ec.SECP384R1()
    wide = hashlib.shake_256(b"vault-attestation-bridge simulated nitro\x00" + label.encode()).digest(96)
    return ec.derive_private_key(int.from_bytes(wide, "big") % (where.group_order - 1) + 1, where)


def _key_id(public_key: bytes) -> bytes:
    return hashlib.sha256(public_key).digest()[:20]


def image_pcrs(image: bytes = b"forged enclave image") -> dict[int, bytes]:
    """Return the 16 PCRs of an unsigned image on a parent without a role."""
    pcrs = {index: bytes(layout.PCR_SIZE) for index in range(16)}
    for index in layout.IMAGE_PCRS:
        pcrs[index] = hashlib.sha384(bytes((index,)) + image).digest()
    pcrs[layout.INSTANCE_PCR] = layout.extended_once(hashlib.sha384(INSTANCE.encode()).digest())
    return pcrs


class ForgedNitro:
    """One module. ``now`` places the validities: the leaf's began five minutes ago. ``like_aws`` writes AWS's own names."""

    def __init__(self, *, now: int, module: str = f"{INSTANCE}-enc0123456789abcdef", like_aws: bool = False) -> None:
        self.now = now
        self.module = module
        self._like_aws = like_aws
        self.leaf_key = nitro_key(f"leaf {module}")
        self._made: dict[str, bytes] = {}

    def name(self, who: Authority | Literal["leaf"]) -> bytes:
        """Return the DER Name of an authority or of the leaf."""
        common = {
            "root": "aws.nitro-enclaves",
            "region": "0123456789abcdef.us-east-1.aws.nitro-enclaves",
            "zone": "fedcba9876543210.zonal.us-east-1.aws.nitro-enclaves",
            "instance": f"{INSTANCE}.us-east-1.aws.nitro-enclaves",
            "leaf": f"{self.module}.us-east-1.aws",
        }[who]
        organization = "Amazon" if self._like_aws else ORGANIZATION
        return _der_name(("2.5.4.6", "US"), ("2.5.4.10", organization), ("2.5.4.11", "AWS"), ("2.5.4.3", common))

    def validity(self, who: str) -> tuple[int, int]:
        """Return notBefore and notAfter of a certificate."""
        if who == "root":
            return _ROOT_VALIDITY
        start = self.now - 300
        return start, start + _LIVES[who] * _HOUR

    def authority(self, who: Authority, **fields: Any) -> bytes:
        """Return the certificate of an authority; ``fields`` replace those of ``forge_certificate``."""
        place = AUTHORITIES.index(who)
        return self._certificate(who, AUTHORITIES[max(place - 1, 0)], nitro_key(who), self._extras(who), fields)

    def leaf(self, **fields: Any) -> bytes:
        """Return the certificate that documents are signed with."""
        extras = (basic_constraints(ca=False), key_usage(USAGE_DIGITAL_SIGNATURE, _CONTENT_COMMITMENT))
        return self._certificate("leaf", "instance", self.leaf_key, extras, fields)

    def _extras(self, who: Authority) -> tuple[Extra, ...]:
        issuer = AUTHORITIES[max(AUTHORITIES.index(who) - 1, 0)]
        own, above = (_key_id(spki(nitro_key(role).public_key())) for role in (who, issuer))
        ids = (subject_key_id(own),) if who == "root" else (subject_key_id(own), authority_key_id(above))
        usage = key_usage(USAGE_DIGITAL_SIGNATURE, USAGE_CERT_SIGN, USAGE_CRL_SIGN)
        return (basic_constraints(ca=True, path_length=_PATH_LENGTHS[who]), *ids, usage)

    def _certificate(
        self,
        who: Any,
        issuer: Authority,
        key: ec.EllipticCurvePrivateKey,
        extras: Sequence[Extra],
        fields: Mapping[str, Any],
    ) -> bytes:
        if not fields and who in self._made:
            return self._made[who]
        usual: dict[str, Any] = {
            "serial": int.from_bytes(hashlib.sha256(who.encode() + self.module.encode()).digest()[:12], "big") | 1,
            "issuer": self.name(issuer),
            "subject": self.name(who),
            "validity": self.validity(who),
            "public_key": spki(key.public_key()),
            "signer": ecdsa_sha384(nitro_key(issuer)),
            "extensions": extras,
        }
        certificate = forge_certificate(**(usual | dict(fields)))
        if not fields:
            self._made[who] = certificate
        return certificate

    def cabundle(self) -> list[bytes]:
        """Return the CA certificates, root first."""
        return [self.authority(who) for who in AUTHORITIES]

    def anchor(self) -> Anchor:
        """Return the forged root as a trust anchor; its word counts as ``simulated``."""
        return Anchor("simulated Nitro root", self.authority("root"), "simulated")

    def payload(self, **fields: Any) -> dict[str, Any]:
        """Return the payload as a dict in AWS's order; ``fields`` replace, add or (``ABSENT``) leave out keys."""
        usual: dict[str, Any] = {
            layout.MODULE_ID: self.module,
            layout.DIGEST: layout.DIGEST_NAME,
            layout.TIMESTAMP: self.now * 1000 - 250,
            layout.PCRS: image_pcrs(),
            layout.NITROTPM_PCRS: ABSENT,
            layout.CERTIFICATE: self.leaf(),
            layout.CABUNDLE: self.cabundle(),
            layout.PUBLIC_KEY: None,
            layout.USER_DATA: None,
            layout.NONCE: None,
        }
        return {key: value for key, value in (usual | fields).items() if value is not ABSENT}

    def sign(self, payload: bytes, *, key: ec.EllipticCurvePrivateKey | None = None, **options: Any) -> bytes:
        """Sign a payload of any bytes; ``options`` are those of ``cose.sign1``."""
        return sign1(payload, key or self.leaf_key, **({"alg": ES384} | options))

    def document(self, *, indefinite: bool = False, **fields: Any) -> bytes:
        """Return a signed document. ``indefinite``: the payload's maps and arrays have no length, as newer Nitros write them."""
        return self.sign(cbor.encode(self.payload(**fields), indefinite=indefinite))

    def parts(self, digest: BindingDigest, /, **fields: Any) -> dict[str, bytes]:
        """Return the parts of an envelope that carries a challenge: digest, nonce and ``enc``, each in its own field."""
        bound = {layout.USER_DATA: digest.whole, layout.NONCE: digest.nonce, layout.PUBLIC_KEY: digest.enc_spki}
        return {layout.PART: self.document(**(bound | fields))}
