"""MakeCredential in software: a secret that only the TPM holding an EK can open, and only for the object of a given Name.

Source: TCG TPM 2.0 Library Part 1, revision 1.59: sections 24 (credential protection), 11.4.10 (KDFa, KDFe), B.10.4 and C.6.4 (seeds).
Randomness is an argument; only the padding of RSA-OAEP is drawn by the library.
"""

from __future__ import annotations

import hmac

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from verifier.core.ports import RandomSource
from verifier.formats.errors import EvidenceRejected
from verifier.tee.tcg.layout import HASHES, STRONG_HASHES, HashAlgorithm
from verifier.tee.tpm2.ids import EnrolmentId
from verifier.tee.tpm2.keys import HASH_CLASSES, load_public
from verifier.tee.tpm2.layout import ALG_AES, ALG_CFB, Public, kdfa, kdfe, tpm2b

_IDENTITY = b"IDENTITY"
_SYMMETRIC = ((ALG_AES, 128, ALG_CFB), (ALG_AES, 256, ALG_CFB))


def protect(ek: Public, ak_name: bytes, secret: bytes, random: RandomSource) -> tuple[bytes, bytes]:
    """Return the contents of TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET, as TPM2_ActivateCredential takes them.

    ``secret`` may be as long as the EK's nameAlg. Raises ``EvidenceRejected`` for an EK that cannot protect a credential.
    """
    if ek.symmetric is None or ek.symmetric not in _SYMMETRIC or ek.name_algorithm not in STRONG_HASHES:
        got = f"{ek.symmetric}, nameAlg {ek.name_algorithm:#06x}"
        raise EvidenceRejected(
            EnrolmentId.EK_PUBLIC, f"EK: got symmetric {got}, want AES-128 or -256 in CFB mode, SHA-256 or stronger"
        )
    name_hash = HASHES[ek.name_algorithm]
    if len(secret) > name_hash.size:
        raise ValueError(f"secret: got {len(secret)} bytes, want at most {name_hash.size}")
    seed, encrypted_seed = _share_seed(ek, name_hash, random)
    key = kdfa(name_hash, seed, b"STORAGE", ak_name, b"", ek.symmetric[1])
    # The IV is zero: the key is used once (Part 1, section 24.4).
    encryptor = Cipher(algorithms.AES(key), CFB(bytes(16))).encryptor()
    identity = encryptor.update(tpm2b(secret)) + encryptor.finalize()
    integrity_key = kdfa(name_hash, seed, b"INTEGRITY", b"", b"", 8 * name_hash.size)
    integrity = hmac.digest(integrity_key, identity + ak_name, name_hash.name)
    return tpm2b(integrity) + identity, encrypted_seed


def _share_seed(ek: Public, name_hash: HashAlgorithm, random: RandomSource) -> tuple[bytes, bytes]:
    """Choose a seed that the EK's holder can recover: RSA-OAEP (B.10.4), or one-pass ECDH (C.6.4)."""
    key = load_public(ek, EnrolmentId.EK_PUBLIC)
    if not isinstance(key, ec.EllipticCurvePublicKey):
        seed = random(name_hash.size)
        algorithm = HASH_CLASSES[ek.name_algorithm]
        oaep = padding.OAEP(padding.MGF1(algorithm), algorithm, _IDENTITY + b"\x00")
        return seed, key.encrypt(seed, oaep)
    size = (key.curve.key_size + 7) // 8
    # 64 bits more than the order, so that the remainder is as good as uniform (FIPS 186-5, A.2.1).
    scalar = int.from_bytes(random(size + 8), "big") % (key.curve.group_order - 1) + 1
    ephemeral = ec.derive_private_key(scalar, key.curve)
    own = ephemeral.public_key().public_numbers()
    peer = key.public_numbers()
    x, y, peer_x = (number.to_bytes(size, "big") for number in (own.x, own.y, peer.x))
    z = ephemeral.exchange(ec.ECDH(), key)
    return kdfe(name_hash, z, _IDENTITY, x, peer_x, 8 * name_hash.size), tpm2b(x) + tpm2b(y)
