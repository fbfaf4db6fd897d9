"""Mint: the only place where a token is signed. Pure; the private key comes as ``SigningKey``.

The header is exactly ``alg``, ``kid`` and ``typ``: ``eat+jwt`` (RFC 9782) for a token about a workload, ``JWT`` for the
verifier's own login, so that neither is ever taken for the other or for an answer by software that looks (RFC 8725
section 3.11). Vault ignores ``typ``. The payload is the claims' RFC 8785 form, so its SHA-256 is the record's digest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from jwt.algorithms import Algorithm
from jwt.api_jws import PyJWS

from verifier.appraise.result import Appraisal
from verifier.core.ports import SigningKey
from verifier.core.settings import ALGORITHMS, TOKEN_LIFE_MAX_S
from verifier.formats.encoding import canonical, sha256
from verifier.token.claims import require_mintable, require_names

WORKLOAD_TYPE: Final = "eat+jwt"
SELF_TYPE: Final = "JWT"
SELF_LIFE_S: Final = 60
_SUBJECT = re.compile(r"v:[a-z0-9-]{1,62}", re.ASCII)


_TOKEN = object()


class Mintable:
    """Claims that may be signed, in their RFC 8785 form. Made by ``mintable`` alone; ``mint`` signs nothing else."""

    __slots__ = ("payload",)

    def __init__(self, token: object, payload: bytes) -> None:
        if token is not _TOKEN:
            raise TypeError("Mintable is made by mintable only")
        self.payload = payload

    @property
    def digest(self) -> bytes:
        """SHA-256 of the token's payload: what the record holds, so that a record and its token can be compared."""
        return sha256(self.payload)


def mintable(claims: Mapping[str, Any], appraisal: Appraisal, *, simulated: bool) -> Mintable:
    """Ask whether ``claims`` (of ``build_claims``) may be signed for an appraisal; before the nonce is spent.

    Every gate is asked again here: ``EvidenceRejected`` under ``policy.accepted``, ``policy.bound``, ``policy.root``,
    ``policy.debug``, ``policy.name``. Claims that are not this appraisal's are a programmer's error (``ValueError``).
    """
    require_mintable(appraisal, simulated=simulated)
    require_names((claims["tenant"], claims["workload"], claims["policy"]))
    _require_life_and_audience(claims)
    said = (
        ("policy", appraisal.policy),
        ("policy_digest", appraisal.policy_digest.hex()),
        ("tee", appraisal.scheme),
        ("root", appraisal.root),
        ("simulated", "true" if simulated else "false"),
        ("host_excluded", "true" if appraisal.host_excluded else "false"),
        ("dbgstat", appraisal.debug_status),
        ("ear_status", appraisal.ear_status),
    )
    for name, want in said:
        if claims[name] != want:
            raise ValueError(f"{name}: got {claims[name]!r}, want {want!r} as appraised")
    return Mintable(_TOKEN, canonical(claims))


def mint(ready: Mintable, key: SigningKey) -> str:
    """Sign what may be signed; returns a compact JWS."""
    return sign_payload(ready.payload, key, typ=WORKLOAD_TYPE)


def mint_self(*, issuer: str, audience: str, subject: str, key: SigningKey, now: int, jti: str, simulated: bool) -> str:
    """Sign the verifier's own login (the revoker's): ``sub`` ``v:<name>``, 60 s, none of a workload's claims.

    A role of a workload never takes it: it has no ``tenant``, ``workload``, ``root``, ``host_excluded`` or ``dbgstat``.
    """
    if _SUBJECT.fullmatch(subject) is None:
        raise ValueError(f"subject: got {subject!r}, want v:<name>")
    claims = {
        "iss": issuer,
        "sub": subject,
        "aud": audience,
        "iat": now,
        "nbf": now,
        "exp": now + SELF_LIFE_S,
        "jti": jti,
        "simulated": "true" if simulated else "false",
    }
    _require_life_and_audience(claims)
    return sign_compact(claims, key, typ=SELF_TYPE)


def _require_life_and_audience(claims: Mapping[str, Any]) -> None:
    if not isinstance(claims["aud"], str) or not claims["aud"]:
        raise ValueError(f"aud: got {claims['aud']!r}, want exactly one string")
    issued, not_before, expires = claims["iat"], claims["nbf"], claims["exp"]
    if not all(type(moment) is int for moment in (issued, not_before, expires)):
        raise ValueError("iat, nbf, exp: want integers")
    if not_before != issued or not 0 < expires - issued <= TOKEN_LIFE_MAX_S:
        raise ValueError(f"exp: got {expires - issued} s after iat, want 1 to {TOKEN_LIFE_MAX_S}")


class _SigningKeys(Algorithm):
    """Signs by ``SigningKey.sign``, wherever its private half is, and does nothing else that PyJWT may ask an algorithm for."""

    def prepare_key(self, key: SigningKey) -> SigningKey:
        return key

    def sign(self, msg: bytes, key: SigningKey) -> bytes:
        return key.sign(msg)

    def verify(self, msg: bytes, key: SigningKey, sig: bytes) -> bool:
        raise NotImplementedError

    @staticmethod
    def to_jwk(*_: Any, **__: Any) -> NoReturn:
        raise NotImplementedError

    @staticmethod
    def from_jwk(*_: Any) -> NoReturn:
        raise NotImplementedError


def _signer() -> PyJWS:
    """Return a PyJWS that signs with these algorithms and no other: PyJWT's own take local keys alone."""
    jws = PyJWS(algorithms=[])
    for name in ALGORITHMS:
        jws.register_algorithm(name, _SigningKeys())
    return jws


_JWS: Final = _signer()


def sign_compact(members: Mapping[str, Any], key: SigningKey, *, typ: str, more: tuple[str, str] | None = None) -> str:
    """Sign the RFC 8785 form of ``members``; as ``sign_payload``."""
    return sign_payload(canonical(members), key, typ=typ, more=more)


def sign_payload(payload: bytes, key: SigningKey, *, typ: str, more: tuple[str, str] | None = None) -> str:
    """Sign bytes as a compact JWS (RFC 7515 section 7.1); ``more`` is one more protected header member."""
    if key.alg not in ALGORITHMS:
        raise ValueError(f"alg: got {key.alg!r}, want one of {ALGORITHMS}")
    headers = {**dict([more] if more else []), "kid": key.kid, "typ": typ}
    # PyJWT hands the key to the algorithm as it is.
    return _JWS.encode(payload, key, algorithm=key.alg, headers=headers)  # type: ignore[arg-type]
