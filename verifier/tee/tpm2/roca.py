"""ROCA (CVE-2017-15361): whether an RSA modulus comes from the broken key generator of Infineon's RSALib.

Its primes are k*M + (65537^a mod M), M being a product of the first n primes. So is then their product: modulo each of those
primes the modulus lies in the subgroup that 65537 generates. For most primes up to 167 that subgroup is a proper one; a
modulus that lies in all of them is broken, but for a chance of about 2^-27.
Source: Nemec, Sys, Svenda, Klinec, Matyas: "The Return of Coppersmith's Attack", CCS 2017, section 3.
"""

from __future__ import annotations

from types import MappingProxyType

_GENERATOR = 65537
# M of the smallest keys (512 bits) has the primes up to 167; larger keys' M contains it.
_PRIMES = tuple(p for p in range(3, 168) if all(p % d for d in range(2, p)))


def _subgroup(prime: int) -> frozenset[int]:
    members, power = {1}, _GENERATOR % prime
    while power not in members:
        members.add(power)
        power = power * _GENERATOR % prime
    return frozenset(members)


_SUBGROUPS = MappingProxyType({p: _subgroup(p) for p in _PRIMES})


def is_roca(modulus: int) -> bool:
    """Tell whether the modulus carries the fingerprint of the broken generator."""
    return all(modulus % prime in group for prime, group in _SUBGROUPS.items())
