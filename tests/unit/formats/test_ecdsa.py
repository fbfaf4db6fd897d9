"""Raw ECDSA signatures: one curve, one hash and one size each; compared with PyJWT, which writes and reads the same form."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from jwt.algorithms import ECAlgorithm

from forge.rsakey import derived_rsa_key
from verifier.formats import ecdsa
from verifier.formats.ecdsa import ES256, ES384, ES512, Algorithm

CURVES: dict[str, ec.EllipticCurve] = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
ALGORITHMS = (ES256, ES384, ES512)
OTHERS = {"ES256": ECAlgorithm.SHA256, "ES384": ECAlgorithm.SHA384, "ES512": ECAlgorithm.SHA512}
DATA = b"what was signed"


def key_of(algorithm: Algorithm, number: int = 7) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(number, CURVES[algorithm.name])


@pytest.fixture(params=ALGORITHMS, ids=lambda algorithm: algorithm.name)
def algorithm(request: pytest.FixtureRequest) -> Algorithm:
    found: Algorithm = request.param
    return found


def test_what_one_of_the_two_libraries_signs_the_other_believes(algorithm: Algorithm) -> None:
    key, other = key_of(algorithm), ECAlgorithm(OTHERS[algorithm.name])
    assert ecdsa.is_signed(key.public_key(), algorithm, other.sign(DATA, key), DATA)
    assert other.verify(DATA, key.public_key(), ecdsa.sign(key, algorithm, DATA))


def test_a_signature_counts_for_its_key_its_data_and_its_algorithm(algorithm: Algorithm) -> None:
    key = key_of(algorithm)
    signature = ecdsa.sign(key, algorithm, DATA)
    assert len(signature) == 2 * algorithm.size
    assert ecdsa.is_signed(key.public_key(), algorithm, signature, DATA)
    assert not ecdsa.is_signed(key.public_key(), algorithm, signature, DATA + b"\0")
    assert not ecdsa.is_signed(key_of(algorithm, 8).public_key(), algorithm, signature, DATA)
    for other in ALGORITHMS:
        assert ecdsa.is_signed(key.public_key(), other, signature, DATA) is (other is algorithm)


def test_r_and_s_have_exactly_their_size(algorithm: Algorithm) -> None:
    """The same two numbers with a zero more in front are another signature: it is refused, although they would verify."""
    key, size = key_of(algorithm), algorithm.size
    signature = ecdsa.sign(key, algorithm, DATA)
    r, s = signature[:size], signature[size:]
    assert not ecdsa.is_signed(key.public_key(), algorithm, r + b"\0" + s, DATA)
    assert not ecdsa.is_signed(key.public_key(), algorithm, r + b"\0" * size + s, DATA)
    assert not ecdsa.is_signed(key.public_key(), algorithm, signature[:-1], DATA)
    assert not ecdsa.is_signed(key.public_key(), algorithm, b"", DATA)


def test_any_changed_byte_of_a_signature_is_refused(algorithm: Algorithm) -> None:
    key = key_of(algorithm)
    signature = ecdsa.sign(key, algorithm, DATA)
    for place in range(len(signature)):
        changed = signature[:place] + bytes((signature[place] ^ 1,)) + signature[place + 1 :]
        assert not ecdsa.is_signed(key.public_key(), algorithm, changed, DATA), place


def test_a_signature_of_another_size_is_refused_and_never_padded_or_cut(algorithm: Algorithm) -> None:
    key = key_of(algorithm)
    size, good = algorithm.size, ecdsa.sign(key, algorithm, DATA)
    wrong = [good[:-1], good + b"\0", b"\0" + good, b"\0" + good[:size] + b"\0" + good[size:], b"", good[:size]]
    assert not any(ecdsa.is_signed(key.public_key(), algorithm, signature, DATA) for signature in wrong)


@pytest.mark.parametrize("numbers", [(0, 0), (0, 1), (1, 0), (-1, 1)], ids=str)
def test_numbers_that_no_signature_has_are_refused(numbers: tuple[int, int], algorithm: Algorithm) -> None:
    order = ec.derive_private_key(1, CURVES[algorithm.name]).curve.group_order
    r, s = (order + number if number < 0 else number for number in numbers)
    key = key_of(algorithm).public_key()
    assert not ecdsa.is_signed_by_numbers(key, algorithm, r, s, DATA)
    assert not ecdsa.is_signed_by_numbers(key, algorithm, 1 << 600, 1 << 600, DATA)


def test_a_key_of_another_kind_signs_nothing() -> None:
    others = (derived_rsa_key("ecdsa"), ed25519.Ed25519PrivateKey.generate())
    for key in (
        *(other.public_key() for other in others),
        None,
        b"",
        ec.derive_private_key(7, ec.SECP256K1()).public_key(),
    ):
        assert not ecdsa.is_key_of(key, ES256)
        assert not ecdsa.is_signed(key, ES256, bytes(64), DATA)


def test_nobody_signs_with_a_key_of_another_curve() -> None:
    with pytest.raises(ValueError, match=r"^key: got secp384r1, want secp256r1$"):
        ecdsa.sign(key_of(ES384), ES256, DATA)


def test_a_signature_is_asked_of_every_kind_of_key_in_the_keys_own_terms() -> None:
    elliptic, edwards, rsa = key_of(ES256), ed25519.Ed25519PrivateKey.generate(), derived_rsa_key("ecdsa")
    sha = hashes.SHA256()
    digest, whole, hashed = hashlib.sha256(DATA).digest(), ec.ECDSA(sha), ec.ECDSA(Prehashed(sha))
    cases = (
        (elliptic.public_key(), elliptic.sign(DATA, whole), DATA, (whole,)),
        (elliptic.public_key(), elliptic.sign(DATA, whole), digest, (hashed,)),
        (edwards.public_key(), edwards.sign(DATA), DATA, ()),
        (rsa.public_key(), rsa.sign(DATA, padding.PKCS1v15(), sha), DATA, (padding.PKCS1v15(), sha)),
    )
    for key, signature, data, how in cases:
        assert ecdsa.verifies(key, signature, data, *how)
        assert not ecdsa.verifies(key, signature, data[::-1], *how)
        assert not ecdsa.verifies(key, signature[:-1], data, *how)
        assert not ecdsa.verifies(key, b"", data, *how)
