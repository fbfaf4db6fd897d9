"""The two fresh keys of one attestation, and the request that they sign. They live in memory and die with the request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from verifier.formats import jws
from verifier.formats.encoding import b64url, unb64url
from verifier.formats.jwk import public_jwk, thumbprint

# verifier.core.wire.REQUEST_TYPE, without its import of pydantic; a test holds the two together.
REQUEST_TYPE = "vab-request+jws"
REQUEST_MEDIA_TYPE = "application/jose"


@dataclass(frozen=True, slots=True)
class RequestKeys:
    """``sig`` signs the request, the answer is encrypted to ``enc``. Never reused, never written."""

    sig: ec.EllipticCurvePrivateKey = field(repr=False)
    enc: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def fresh(cls) -> RequestKeys:
        """Make both keys."""
        return cls(ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1()))

    def public(self) -> dict[str, dict[str, str]]:
        """Return both public JWKs as the request names them."""
        return {"sig": public_jwk(self.sig), "enc": public_jwk(self.enc)}

    @property
    def sig_thumbprint(self) -> bytes:
        """RFC 7638 thumbprint of ``sig``, 32 bytes."""
        return unb64url(thumbprint(public_jwk(self.sig)))

    @property
    def enc_thumbprint(self) -> bytes:
        """RFC 7638 thumbprint of ``enc``, 32 bytes."""
        return unb64url(thumbprint(public_jwk(self.enc)))


def sign_request(claims: Mapping[str, Any], key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the compact JWS over the claims: ES256, header of exactly ``alg`` and ``typ``."""
    header = b64url(json.dumps({"alg": "ES256", "typ": REQUEST_TYPE}, separators=(",", ":")).encode())
    payload = b64url(json.dumps(dict(claims), separators=(",", ":")).encode())
    signing_input = f"{header}.{payload}".encode("ascii")
    return signing_input + b"." + b64url(jws.sign(key, signing_input)).encode("ascii")
