"""RSA keys derived from a label: the same in every process, and public. For forged TPMs only.

Primes are searched for from a hash of the label (FIPS 186-5, A.1.3, without its claim to randomness).
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric import rsa

_EXPONENT = 65537
_SMALL = tuple(p for p in range(3, 2000) if all(p % d for d in range(2, math.isqrt(p) + 1)))
_ROUNDS = 8


def _stream(label: str, size: int) -> int:
    return int.from_bytes(hashlib.shake_256(label.encode()).digest(size), "big")


def _is_probable_prime(number: int) -> bool:
    if any(number % p == 0 for p in _SMALL):
        return False
    power = ((number - 1) & -(number - 1)).bit_length() - 1
    odd = (number - 1) >> power
    return all(_passes(number, base, odd, power) for base in _SMALL[:_ROUNDS])


def _passes(number: int, base: int, odd: int, power: int) -> bool:
    """One round of Miller and Rabin."""
    value = pow(base, odd, number)
    if value in (1, number - 1):
        return True
    return any((value := value * value % number) == number - 1 for _ in range(power - 1))


def _prime(label: str, bits: int) -> int:
    # The two highest bits are set, so that the product of two has its full size.
    candidate = _stream(label, bits // 8) | 3 << (bits - 2) | 1
    while math.gcd(candidate - 1, _EXPONENT) != 1 or not _is_probable_prime(candidate):
        candidate += 2
    return candidate


@lru_cache(maxsize=64)
def derived_rsa_key(label: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return the key of a label."""
    p, q = (_prime(f"vault-attestation-bridge simulated rsa {name} {label}", bits // 2) for name in "pq")
    d = pow(_EXPONENT, -1, math.lcm(p - 1, q - 1))
    public = rsa.RSAPublicNumbers(_EXPONENT, p * q)
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q), public
    )
    return numbers.private_key()
