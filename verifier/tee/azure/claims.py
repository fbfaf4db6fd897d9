"""Runtime claims: the JSON that Azure's paravisor writes, and whose hash stands in the CPU report.

Strict: UTF-8 JSON, each key once, exactly one ``HCLAkPub``, RSA, for signing alone. What the paravisor may add later (other keys,
other members) is kept and reported: the hash covers it. That the AK is a *restricted* TPM key is not said here: it follows from
who wrote the claims, which is why the paravisor's identity is a mandatory rule.
Source: Microsoft, *Azure confidential VM guest attestation design detail*, "Runtime claims".
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import rsa

from verifier.formats import strict_json
from verifier.formats.encoding import unb64url
from verifier.formats.errors import MalformedEvidence
from verifier.tee.azure.layout import HASH_SHA256, HASH_SHA384, RuntimeData

AK_ID: Final = "HCLAkPub"
REPORT_DATA_SIZE: Final = 64
CLAIM_FIELDS: Final = ("claims.ak", "claims.other_keys", "claims.vm_configuration", "claims.user_data")
_MIN_BITS, _MAX_BITS = 2048, 4096
_MAX_EXPONENT_BITS: Final = 32
_MAX_KEYS: Final = 8
_USER_DATA = re.compile(r"[0-9A-Fa-f]{128}", re.ASCII)


@dataclass(frozen=True, slots=True)
class RuntimeClaims:
    """What the paravisor says, unverified. ``modulus`` and ``exponent`` are the AK's; other keys by name only."""

    modulus: int
    exponent: int
    kids: tuple[str, ...]
    vm_configuration: Mapping[str, Any]
    user_data: str | None  # as written: hex of 64 bytes that the guest may set

    def ak(self) -> rsa.RSAPublicKey:
        """Make the attestation key. Only once the CPU report vouches for the claims."""
        return rsa.RSAPublicNumbers(self.exponent, self.modulus).public_key()


def report_data_of(runtime: RuntimeData) -> bytes:
    """Return what REPORT_DATA has to be: the hash that the report names, over the JSON's exact bytes, then zeros."""
    name = {HASH_SHA256: "sha256", HASH_SHA384: "sha384"}.get(runtime.hash_type, "sha512")
    return hashlib.new(name, runtime.json).digest().ljust(REPORT_DATA_SIZE, b"\0")


def decode_claims(data: bytes, check_id: str) -> RuntimeClaims:
    """Read runtime claims; ``MalformedEvidence(check_id)`` for anything that could be read in two ways, or lacks an AK."""
    try:
        return _read(strict_json.read(data, parse_float=_refuse_number))
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise MalformedEvidence(check_id, "runtime claims: not JSON") from None
    except ValueError as error:
        raise MalformedEvidence(check_id, f"runtime claims: {error}") from None


def _refuse_number(text: str) -> Any:
    raise ValueError(f"got the number {text[:16]}, want none")


def _read(document: Any) -> RuntimeClaims:
    if not isinstance(document, dict):
        raise ValueError("want an object")  # noqa: TRY004 - one exception leaves this module
    keys = document.get("keys")
    if not isinstance(keys, list) or not 1 <= len(keys) <= _MAX_KEYS:
        raise ValueError(f"keys: want a list of 1 to {_MAX_KEYS}")
    kids = tuple(_kid(key) for key in keys)
    if kids.count(AK_ID) != 1:
        raise ValueError(f"keys: got {kids.count(AK_ID)} named {AK_ID}, want exactly one")
    configuration = document.get("vm-configuration", {})
    if not isinstance(configuration, dict) or any(isinstance(v, dict | list) for v in configuration.values()):
        raise ValueError("vm-configuration: want an object of plain values")
    user_data = document.get("user-data")
    if user_data is not None and (not isinstance(user_data, str) or _USER_DATA.fullmatch(user_data) is None):
        raise ValueError("user-data: want 64 bytes in hex")
    modulus, exponent = _ak(keys[kids.index(AK_ID)])
    return RuntimeClaims(modulus, exponent, kids, MappingProxyType(configuration), user_data)


def _kid(key: Any) -> str:
    kid = key.get("kid") if isinstance(key, dict) else None
    if not isinstance(kid, str):
        raise ValueError("keys: want objects with a kid")  # noqa: TRY004
    return kid


def _ak(key: Mapping[str, Any]) -> tuple[int, int]:
    if key.get("kty") != "RSA" or key.get("key_ops") != ["sign"]:
        raise ValueError(f'{AK_ID}: got {key.get("kty")!r} for {key.get("key_ops")!r}, want "RSA" for ["sign"]')
    modulus, exponent = (_unsigned(key, name) for name in ("n", "e"))
    if not _MIN_BITS <= modulus.bit_length() <= _MAX_BITS or not modulus & 1:
        raise ValueError(f"{AK_ID}.n: got {modulus.bit_length()} bits, want {_MIN_BITS} to {_MAX_BITS}, odd")
    if exponent.bit_length() > _MAX_EXPONENT_BITS or exponent < 3 or not exponent & 1:  # noqa: PLR2004 - RFC 8017, 3.1
        raise ValueError(
            f"{AK_ID}.e: got {exponent.bit_length()} bits, want an odd exponent of at most {_MAX_EXPONENT_BITS}"
        )
    return modulus, exponent


def _unsigned(key: Mapping[str, Any], name: str) -> int:
    """Read a Base64urlUInt (RFC 7518 section 2): big-endian, nothing inside it is defined."""
    text = key.get(name)
    if not isinstance(text, str):
        raise ValueError(f"{AK_ID}.{name}: want base64url")  # noqa: TRY004
    return int.from_bytes(unb64url(text), "big")
