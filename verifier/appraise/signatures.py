"""Signatures of trust documents: a detached JWS (RFC 7515 appendix F) over the RFC 8785 form without ``signature``. Pure.

Protected header: exactly ``alg`` (EdDSA with Ed25519, or ES256) and ``typ`` = ``vab-trust+jws``. The key is the tenant's key
that ``signed_by`` names; which keys a tenant has, and that it demands signatures at all, is said outside of the documents.
What is checked: that the named key signed exactly this document. Not checked here: rollback (``adapters.trust``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from verifier.appraise.documents import Parsed
from verifier.formats import jwk as jwks
from verifier.formats import jws
from verifier.formats.encoding import b64url, canonical, is_name, unb64url
from verifier.formats.errors import ConfigError
from verifier.formats.jws import PrivateKey, PublicKey

SIGNATURE_TYPE = "vab-trust+jws"
# tenant -> name of a key -> key. A tenant that is in here demands signatures of every one of its documents.
Demands = Mapping[str, Mapping[str, PublicKey]]
_SIZE = 64  # of an Ed25519 signature and of r ‖ s with P-256
_COORDINATE = 32


def _signing_input(document: Mapping[str, Any], header: str) -> bytes:
    unsigned = {name: value for name, value in document.items() if name != "signature"}
    return f"{header}.{b64url(canonical(unsigned))}".encode()


def sign_document(document: Mapping[str, Any], signer: str, key: PrivateKey) -> dict[str, Any]:
    """Return the document with ``signed_by`` and ``signature``."""
    signed = {**document, "signed_by": signer}
    header = b64url(canonical({"alg": jws.algorithm_of(key), "typ": SIGNATURE_TYPE}))
    signature = jws.sign(key, _signing_input(signed, header))
    return {**signed, "signature": f"{header}..{b64url(signature)}"}


def check_signature(parsed: Parsed, keys: Mapping[str, PublicKey]) -> None:
    """Refuse a document that is not signed by the key that it names, with one of the tenant's keys."""
    signer, signature = parsed.model.signed_by, parsed.model.signature
    if signer is None:
        raise ConfigError(parsed.where, "signed_by", "nothing", f"one of {', '.join(sorted(keys))}")
    if signature is None:
        raise ConfigError(parsed.where, "signature", "nothing", f"a signature by {signer}")
    if signer not in keys:
        raise ConfigError(parsed.where, "signed_by", signer, f"one of {', '.join(sorted(keys)) or '(no key)'}")
    key = keys[signer]
    header, _dots, text = signature.partition("..")
    wanted = {"alg": jws.algorithm_of(key), "typ": SIGNATURE_TYPE}
    try:
        if json.loads(unb64url(header)) != wanted:
            raise ConfigError(parsed.where, "signature", "another header", f"{wanted}")
        raw = unb64url(text)
        if len(raw) != _SIZE:
            raise ConfigError(parsed.where, "signature", f"{len(raw)} bytes", f"{_SIZE} bytes")
        is_signed = jws.is_signed(key, raw, _signing_input(json.loads(parsed.body), header))
    except (ValueError, RecursionError):
        raise ConfigError(parsed.where, "signature", "unreadable text", "a detached JWS, header..signature") from None
    if not is_signed:
        want = f"a signature by {signer} over this document"
        raise ConfigError(parsed.where, "signature", "one that does not verify", want)


def public_key(jwk: Mapping[str, Any]) -> PublicKey:
    """Read a public JWK: OKP Ed25519 or EC P-256. Raises ``ValueError``; private members are refused."""
    if jwk.get("crv") not in ("Ed25519", "P-256"):
        raise ValueError("want an Ed25519 or P-256 public JWK of kty, crv, x (and y) alone")
    return cast("PublicKey", jwks.public_key(jwk))


def read_demands(where: str, unverified_text: str) -> Demands:
    """Read which tenants demand signatures, and their keys: JSON, ``{tenant: {key name: public JWK}}``."""
    try:
        table = json.loads(unverified_text)
    except (ValueError, RecursionError):
        raise ConfigError(where, "document", "unreadable text", "JSON: {tenant: {key name: public JWK}}") from None
    if not isinstance(table, dict) or not all(isinstance(keys, dict) for keys in table.values()):
        raise ConfigError(where, "document", "another form", "JSON: {tenant: {key name: public JWK}}")
    demands: dict[str, dict[str, PublicKey]] = {}
    for tenant, keys in table.items():
        if not is_name(tenant):
            raise ConfigError(where, tenant, tenant, "a tenant's name")
        if not keys:
            raise ConfigError(where, tenant, "no key", "at least one: a tenant without keys could sign nothing")
        demands[tenant] = {}
        for name, jwk in keys.items():
            if (
                not is_name(name)
                or not isinstance(jwk, dict)
                or not all(isinstance(item, str) for item in jwk.values())
            ):
                raise ConfigError(where, f"{tenant}.{name}", "another form", "a key's name and its public JWK")
            try:
                demands[tenant][name] = public_key(jwk)
            except ValueError as error:
                raise ConfigError(where, f"{tenant}.{name}", "another key", str(error)) from None
    return demands
