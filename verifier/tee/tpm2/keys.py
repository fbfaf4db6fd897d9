"""Public keys of TPM objects, and signatures by them. Raises for a broken key; a signature that fails is ``False``."""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from verifier.formats.ecdsa import verifies
from verifier.formats.encoding import sha256
from verifier.formats.errors import MalformedEvidence
from verifier.tee.tcg.layout import SHA1, SHA256, SHA384, SHA512
from verifier.tee.tpm2.layout import (
    ALG_ECDSA,
    ALG_RSA,
    ALG_RSAPSS,
    ALG_RSASSA,
    CURVE_P256,
    CURVE_P384,
    CURVE_P521,
    Public,
    Signature,
)

Key = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

RSA_BITS = (2048, 4096)
CURVES: dict[int, ec.EllipticCurve] = {
    CURVE_P256: ec.SECP256R1(),
    CURVE_P384: ec.SECP384R1(),
    CURVE_P521: ec.SECP521R1(),
}
_CURVE_LABELS = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
HASH_CLASSES: dict[int, hashes.HashAlgorithm] = {
    SHA1.id: hashes.SHA1(),  # noqa: S303 - only where a case's policy allows it
    SHA256.id: hashes.SHA256(),
    SHA384.id: hashes.SHA384(),
    SHA512.id: hashes.SHA512(),
}


def checked_key(key: PublicKeyTypes, check_id: str) -> Key:
    """Refuse a key that is neither RSA of 2048 to 4096 bits nor on P-256, P-384 or P-521."""
    if isinstance(key, rsa.RSAPublicKey):
        low, high = RSA_BITS
        if low <= key.key_size <= high and key.public_numbers().e.bit_length() <= 32:  # noqa: PLR2004 - TPM's own field
            return key
    elif isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVE_LABELS:
        return key
    raise MalformedEvidence(check_id, "key: want RSA of 2048 to 4096 bits or ECC on P-256, P-384, P-521")


def load_public(public: Public, check_id: str) -> Key:
    """Make a key of a public area; ``MalformedEvidence(check_id)`` for a point off its curve, a wrong size."""
    try:
        if public.type == ALG_RSA:
            numbers = rsa.RSAPublicNumbers(public.exponent or 65537, int.from_bytes(public.unique[0], "big"))
            return checked_key(numbers.public_key(), check_id)
        curve = CURVES[public.curve]
        x, y = (int.from_bytes(part, "big") for part in public.unique)
        return checked_key(ec.EllipticCurvePublicNumbers(x, y, curve).public_key(), check_id)
    except KeyError:
        raise MalformedEvidence(check_id, f"curveID: got {public.curve:#06x}, want P-256, P-384 or P-521") from None
    except (ValueError, UnsupportedAlgorithm) as error:
        raise MalformedEvidence(check_id, f"public area: no usable key ({type(error).__name__})") from None


def load_pem_key(data: bytes, check_id: str) -> Key:
    """Read a PEM SubjectPublicKeyInfo."""
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        raise MalformedEvidence(check_id, "public key: not a PEM SubjectPublicKeyInfo") from None
    return checked_key(key, check_id)


def spki(key: Key) -> bytes:
    """Return the DER SubjectPublicKeyInfo."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def spki_digest(key: Key) -> bytes:
    """SHA-256 of the SubjectPublicKeyInfo: how lists name an endorsement key."""
    return sha256(spki(key))


def describe(key: Key) -> str:
    """Name kind and size: ``RSA 2048``, ``ECC P-256``."""
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    return f"ECC {_CURVE_LABELS[key.curve.name]}"


def is_signed_by(key: Key, signature: Signature, message: bytes) -> bool:
    """Tell whether ``signature`` is the key's over ``message``. Whether scheme and hash may be used is the caller's."""
    algorithm = HASH_CLASSES.get(signature.hash)
    if algorithm is None:
        return False
    if isinstance(key, ec.EllipticCurvePublicKey):
        if signature.scheme != ALG_ECDSA:
            return False
        r, s = (int.from_bytes(value, "big") for value in signature.values)
        return verifies(key, encode_dss_signature(r, s), message, ec.ECDSA(algorithm))
    if signature.scheme == ALG_RSASSA:
        return verifies(key, signature.values[0], message, padding.PKCS1v15(), algorithm)
    # Part 1, B.7: the salt is as long as the key allows, or as the hash (FIPS mode); the verifier takes either.
    pss = padding.PSS(padding.MGF1(algorithm), padding.PSS.AUTO)
    return signature.scheme == ALG_RSAPSS and verifies(key, signature.values[0], message, pss, algorithm)
