"""The answer: who it is for, the token and where Vault is, signed under an answer key and encrypted to the attested key.

A JWS that can never log in (its type, its key and its lack of registered claims say so), inside a JWE of exactly
ECDH-ES + A256GCM. The protected header of the JWS carries the set of answer keys that the offline root signed; the
attester pins the root (``attester/answer.py``). Pure: randomness is an argument.
Sources: docs/adr/0004-keys-and-answers.md; RFC 7515, RFC 7516 section 7.1, RFC 7518 section 4.6.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from verifier.core.ports import RandomSource, SigningKey
from verifier.formats.encoding import b64url, canonical
from verifier.formats.jose import (
    ANSWER_KEYS_TYPE,
    ANSWER_TYPE,
    JWE_ALG,
    JWE_ENC,
    JWE_IV_SIZE,
    JWE_TAG_SIZE,
    p256_public_key,
)
from verifier.token.mint import sign_compact

ANSWER_ALG: Final = "ES256"
# The protected-header member that carries the root-signed set.
KEY_SET_MEMBER: Final = "keys"

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
# 128 bits more than the order has: taken modulo it, the bias is below 2^-128 (FIPS 186-5 appendix A.2.1 asks for 64).
_SCALAR_RANDOM = 48
_CONTENT_KEY_SIZE = 32
# OtherInfo of the Concat KDF (RFC 7518 section 4.6.2): AlgorithmID, empty PartyUInfo and PartyVInfo, the key's length in bits.
_AGREED_ON = len(JWE_ENC).to_bytes(4, "big") + JWE_ENC.encode() + bytes(8) + (8 * _CONTENT_KEY_SIZE).to_bytes(4, "big")


@dataclass(frozen=True, slots=True)
class VaultHint:
    """Where the workload's Vault is: from the workload record, which its owner signs."""

    address: str
    ca_pem: str
    mount: str
    role: str


def build_answer(
    *,
    issuer: str,
    nonce: bytes,
    tenant: str,
    workload: str,
    sig_thumbprint: bytes,
    enc_thumbprint: bytes,
    token: str,
    vault: VaultHint,
    key: SigningKey,
    key_set: str,
    enc: Mapping[str, str],
    random: RandomSource,
) -> str:
    """Return the answer for one request: sign what the recipient compares, then encrypt it to ``enc``."""
    members = {
        "issuer": issuer,
        "nonce": b64url(nonce),
        "tenant": tenant,
        "workload": workload,
        "sig": b64url(sig_thumbprint),
        "enc": b64url(enc_thumbprint),
        "token": token,
        "vault": {"address": vault.address, "ca_pem": vault.ca_pem, "mount": vault.mount, "role": vault.role},
    }
    return encrypt_answer(sign_answer(members, key, key_set), enc, random)


def sign_answer(members: Mapping[str, Any], key: SigningKey, key_set: str) -> bytes:
    """Sign the members under an answer key; the set that names it travels in the protected header."""
    if key.alg != ANSWER_ALG:
        raise ValueError(f"answer key: got {key.alg}, want {ANSWER_ALG}")
    return sign_compact(members, key, typ=ANSWER_TYPE, more=(KEY_SET_MEMBER, key_set)).encode("ascii")


def encrypt_answer(plaintext: bytes, enc: Mapping[str, str], random: RandomSource) -> str:
    """Encrypt to the public P-256 JWK ``enc``: compact JWE of five fields, the encrypted key empty (direct agreement).

    The protected header is exactly ``alg``, ``enc`` and ``epk``; ``apu`` and ``apv`` are absent, so empty in the KDF. By hand, since
    jwcrypto takes three times as long and draws its randomness itself (docs/adr/0011-libraries.md).
    """
    recipient = p256_public_key(enc)
    scalar = 1 + int.from_bytes(random(_SCALAR_RANDOM), "big") % (_ORDER - 1)
    ephemeral = ec.derive_private_key(scalar, ec.SECP256R1())
    point = ephemeral.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    epk = {"kty": "EC", "crv": "P-256", "x": b64url(point[1:33]), "y": b64url(point[33:])}
    head = b64url(canonical({"alg": JWE_ALG, "enc": JWE_ENC, "epk": epk}))
    agreement = ConcatKDFHash(hashes.SHA256(), _CONTENT_KEY_SIZE, _AGREED_ON)
    content_key = agreement.derive(ephemeral.exchange(ec.ECDH(), recipient))
    iv = random(JWE_IV_SIZE)
    sealed = AESGCM(content_key).encrypt(iv, plaintext, head.encode("ascii"))
    return f"{head}..{b64url(iv)}.{b64url(sealed[:-JWE_TAG_SIZE])}.{b64url(sealed[-JWE_TAG_SIZE:])}"


def sign_key_set(
    root: SigningKey, *, issuer: str, seq: int, issued_at: int, expires_at: int, keys: Iterable[Mapping[str, str]]
) -> str:
    """Sign a set of answer keys under the offline root: ``{issuer, seq, iat, exp, keys}``, compact, times in Unix seconds.

    ``seq`` only rises: it is what an image pins, since a host that sets the clock is not bound by ``exp``.
    """
    listed = [dict(key) for key in keys]
    if root.alg != ANSWER_ALG or not listed or seq < 1 or not issued_at < expires_at:
        raise ValueError("key set: want an ES256 root, at least one key, seq from 1, exp after iat")
    for jwk in listed:
        p256_public_key(jwk)
    members = {"issuer": issuer, "seq": seq, "iat": issued_at, "exp": expires_at, "keys": listed}
    return sign_compact(members, root, typ=ANSWER_KEYS_TYPE)
