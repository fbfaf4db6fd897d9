"""Encodings that the wire and the tokens share: base64url without padding (RFC 4648 section 5), RFC 8785, RFC 7638; times as text."""

from __future__ import annotations

import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import rfc8785

# Names of tenants, workloads, identities and policies. Vault folds case and expands `+` and `*` in templated paths
# (docs/claims.md), so this pattern is a security check wherever a name enters: load, API, mint.
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)

# binascii is called directly: a request has some thirty such fields, and the standard module's wrappers cost more than the work.
_TO_URL = bytes.maketrans(b"+/", b"-_")
# "+", "/" and "=" are no base64url: they become a byte that no base64 has.
_FROM_URL = bytes.maketrans(b"-_+/=", b"+/!!!")
_PADDING = (b"", b"!", b"==", b"=")
# By length modulo 4: the last characters that set no spare bit (RFC 4648 section 3.5). Two characters have four such bits, three two.
_LAST = ("", "", "AQgw", "AEIMQUYcgkosw048")


def is_name(text: str) -> bool:
    """Tell whether ``text`` may name a tenant, workload, identity or policy."""
    return NAME.fullmatch(text) is not None


def b64url(data: bytes) -> str:
    """Encode as base64url without padding."""
    return binascii.b2a_base64(data, newline=False).translate(_TO_URL, b"=").decode("ascii")


def unb64url(text: str) -> bytes:
    """Decode canonical base64url without padding; raises ``ValueError`` for anything else, non-zero spare bits too."""
    try:
        data = binascii.a2b_base64(
            text.encode("ascii").translate(_FROM_URL) + _PADDING[len(text) % 4], strict_mode=True
        )
    except ValueError:  # not ASCII, or binascii's own word for what is no base64
        raise ValueError("not base64url without padding") from None
    tail = len(text) % 4
    if tail and text[-1] not in _LAST[tail]:
        raise ValueError("not canonical base64url: spare bits set")
    return data


# Built once: json.dumps with options builds an encoder per call. Data that contains itself is a RecursionError in ``_is_plain``.
_ENCODE = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False
).encode
_INTEGER_MAX = (1 << 53) - 1


def canonical(value: Any) -> bytes:
    """Return the RFC 8785 form of JSON data; ``ValueError`` for what has none.

    ``json`` in C writes plain ASCII data as RFC 8785 says (section 3.2), at a quarter of the cost of the library in Python.
    """
    if _is_plain(value):
        text = _ENCODE(value)
        if text.isascii():  # beyond ASCII ``json`` may sort names in another order
            return text.encode("ascii")
    return rfc8785.dumps(value)


def _is_plain(value: Any) -> bool:
    """Tell whether a value holds exact JSON types only: no float, no integer beyond 2^53 - 1, no name that is no string.

    Loops and not ``all``: every request comes here a dozen times, and generators cost as much again.
    """
    kind = type(value)
    if kind is dict:
        for name, item in value.items():
            if type(name) is not str or (type(item) is not str and type(item) is not bool and not _is_plain(item)):
                return False
        return True
    if kind is list or kind is tuple:
        for item in value:  # noqa: SIM110 - see above
            if type(item) is not str and not _is_plain(item):
                return False
        return True
    return (
        kind is str or kind is bool or value is None or (kind is int and bool(-_INTEGER_MAX <= value <= _INTEGER_MAX))
    )


def sha256(data: bytes) -> bytes:
    """SHA-256."""
    return hashlib.sha256(data).digest()


def jwk_thumbprint(jwk: Mapping[str, str]) -> bytes:
    """RFC 7638 thumbprint (SHA-256) of an EC, OKP or RSA public JWK. Raises ``ValueError`` for another ``kty``."""
    members = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}.get(
        jwk.get("kty", "")
    )
    if members is None:
        raise ValueError(f"kty: got {jwk.get('kty')!r}, want EC, OKP or RSA")
    x, y = jwk.get("x", ""), jwk.get("y", "")
    if jwk.get("crv") == "P-256" and jwk.get("kty") == "EC" and _COORDINATES.fullmatch(x + y):
        # Two of these a request, so the form is written out: values of base64url need no escapes.
        return sha256(b'{"crv":"P-256","kty":"EC","x":"%b","y":"%b"}' % (x.encode(), y.encode()))
    return sha256(canonical({name: jwk[name] for name in members}))


_COORDINATES = re.compile(r"[A-Za-z0-9_-]{86}", re.ASCII)
# SubjectPublicKeyInfo of an uncompressed P-256 point (RFC 5480) up to the point's coordinates.
_P256_SPKI = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")


def p256_spki(jwk: Mapping[str, str]) -> bytes:
    """Return a public P-256 key as DER SubjectPublicKeyInfo; ``ValueError`` for coordinates of another size."""
    x, y = unb64url(jwk["x"]), unb64url(jwk["y"])
    if len(x) != 32 or len(y) != 32:  # noqa: PLR2004 - coordinates of P-256
        raise ValueError(f"coordinates: got {len(x)} and {len(y)} bytes, want 32 each")
    return _P256_SPKI + x + y


def utc_time(moment: int) -> str:
    """Write Unix seconds as people read them, in UTC (RFC 3339)."""
    return datetime.fromtimestamp(moment, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
