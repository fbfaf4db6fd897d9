"""Open an answer and believe it, or not. Pure: the answer, our keys, what we expected, what the image pins, and now.

What is checked: the JWE is exactly the one that verifiers make; the pinned offline root signed the set of answer keys,
with a ``seq`` not below the pinned one; a key of that set signed the answer; the answer and the token in it are for this
attester's own request. What is not: the token's signature, which Vault checks; and that Vault's address is a good
one, which is the verified answer's to say. ``exp`` of the set does not bind a host that sets the clock; ``seq`` does.
Source: docs/adr/0004-keys-and-answers.md, "The answer"; RFC 7515, RFC 7516, RFC 7518.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from cryptography.hazmat.primitives.asymmetric import ec

from attester.ids import AnswerId
from verifier.formats import jose, jws, strict_json
from verifier.formats.encoding import b64url, unb64url
from verifier.formats.errors import ConfigError, EvidenceRejected, MalformedEvidence, mismatch
from verifier.formats.jwk import thumbprint

ANSWER_MAX: Final = 256 * 1024
SKEW_S: Final = 5
_SIGNATURE_SIZE = 64
_KEYS_MAX = 16
_MEMBERS = frozenset({"issuer", "nonce", "tenant", "workload", "sig", "enc", "token", "vault"})
_VAULT_MEMBERS = frozenset({"address", "ca_pem", "mount", "role"})
_SET_MEMBERS = frozenset({"issuer", "seq", "iat", "exp", "keys"})


@dataclass(frozen=True, slots=True)
class Pin:
    """What the measured image holds: the offline root's public P-256 JWK and the lowest ``seq`` that it takes.

    A root that is none is the image's own fault: ``ConfigError``. ``alg``, ``use`` and ``kid`` may stand beside the key.
    """

    root: Mapping[str, str]
    lowest_seq: int

    def __post_init__(self) -> None:
        key = {name: value for name, value in self.root.items() if name not in ("alg", "use", "kid")}
        try:
            jose.p256_public_key(key)
        except ValueError as error:
            raise ConfigError("verifier", "root", str(error), "the public P-256 JWK of the offline root") from None
        object.__setattr__(self, "root", key)


@dataclass(frozen=True, slots=True)
class Expected:
    """This attester's own request, to compare with: nonce of 64 bytes, thumbprints of 32."""

    issuer: str
    tenant: str
    workload: str
    nonce: bytes
    sig_thumbprint: bytes
    enc_thumbprint: bytes


@dataclass(frozen=True, slots=True)
class VaultPlace:
    """Where to log in, in the workload owner's words."""

    address: str
    ca_pem: str
    mount: str
    role: str


@dataclass(frozen=True, slots=True, repr=False)
class Opened:
    """A verified answer. The token is a bearer secret: it is not shown by ``repr``."""

    token: str
    vault: VaultPlace
    seq: int

    def __repr__(self) -> str:
        return f"Opened(token=<{len(self.token)} characters>, vault={self.vault.address!r}, seq={self.seq})"


def open_answer(
    unverified_answer: str, *, enc_key: ec.EllipticCurvePrivateKey, expected: Expected, pin: Pin, now: int
) -> Opened:
    """Decrypt, verify and compare an answer; ``now`` is Unix seconds.

    Raises ``MalformedEvidence`` where it cannot be read and ``EvidenceRejected`` where it is not to be believed, under
    ``answer.*``; docs/attester.md lists every id.
    """
    unverified_jws = _decrypt(unverified_answer, enc_key)
    signing_input, header, payload, signature = _split(unverified_jws, AnswerId.JWS)
    if header.keys() != {"alg", "kid", "typ", "keys"} or header["alg"] != "ES256" or header["typ"] != jose.ANSWER_TYPE:
        _malformed(AnswerId.JWS_HEADER, "header", sorted(header), f"alg ES256, typ {jose.ANSWER_TYPE}, kid and keys")
    keys, seq = _verify_key_set(header["keys"], expected, pin, now)
    kid = header["kid"]
    if not isinstance(kid, str) or kid not in keys:
        raise EvidenceRejected(AnswerId.KID, mismatch("kid", repr(kid), "a key of the root-signed set"))
    _verify(keys[kid], signing_input, signature, AnswerId.SIGNATURE, "an answer key of the set")
    members = _object(payload, AnswerId.BODY)
    _compare(members, expected)
    token = _text(members, "token", AnswerId.BODY)
    _compare_token(token, expected)
    return Opened(token, _vault_place(members["vault"]), seq)


def _decrypt(unverified_answer: str, enc_key: ec.EllipticCurvePrivateKey) -> bytes:
    """Open a compact JWE of exactly ECDH-ES + A256GCM; any other header member or value is refused, not ignored.

    jwcrypto, which decrypts, sees nothing that is not of this form.
    """
    from jwcrypto.jwe import JWE, InvalidJWEData
    from jwcrypto.jwk import JWK

    fields = unverified_answer.split(".") if len(unverified_answer) <= ANSWER_MAX else []
    if len(fields) != 5 or fields[1]:  # noqa: PLR2004 - RFC 7516 section 7.1; direct agreement has no encrypted key
        _malformed(AnswerId.JWE, "answer", f"{len(fields)} fields", "a compact JWE of five, the second empty")
    head, iv, _, tag = (_unb64(fields[i], AnswerId.JWE) for i in (0, 2, 3, 4))
    header = _object(head, AnswerId.JWE)
    if header.keys() != {"alg", "enc", "epk"} or header["alg"] != jose.JWE_ALG or header["enc"] != jose.JWE_ENC:
        _malformed(
            AnswerId.JWE_HEADER, "header", sorted(header), f"exactly alg {jose.JWE_ALG}, enc {jose.JWE_ENC} and epk"
        )
    if len(iv) != jose.JWE_IV_SIZE or len(tag) != jose.JWE_TAG_SIZE:
        _malformed(AnswerId.JWE, "iv and tag", f"{len(iv)} and {len(tag)} bytes", "12 and 16")
    _public_key(header["epk"], AnswerId.JWE_HEADER)
    jwe = JWE(algs=[jose.JWE_ALG, jose.JWE_ENC])
    with suppress(InvalidJWEData):  # raised for an empty plaintext too, which is set nevertheless
        jwe.deserialize(unverified_answer, JWK.from_pyca(enc_key))
    plaintext: bytes | None = jwe.plaintext
    if plaintext is None:
        raise EvidenceRejected(AnswerId.DECRYPT, "answer: not encrypted to this attester's key, or changed")
    return plaintext


def _verify_key_set(
    unverified_set: object, expected: Expected, pin: Pin, now: int
) -> tuple[dict[str, ec.EllipticCurvePublicKey], int]:
    """From the pinned root down: signature, issuer, ``seq``, times, keys. Returns the keys by kid, and ``seq``."""
    if not isinstance(unverified_set, str):
        _malformed(AnswerId.KEYS, "keys", type(unverified_set).__name__, "a compact JWS")
    signing_input, header, payload, signature = _split(unverified_set.encode("utf-8", "surrogatepass"), AnswerId.KEYS)
    want_header = {"alg": "ES256", "kid": thumbprint(pin.root), "typ": jose.ANSWER_KEYS_TYPE}
    if header.keys() != want_header.keys() or header["alg"] != "ES256" or header["typ"] != jose.ANSWER_KEYS_TYPE:
        _malformed(
            AnswerId.KEYS_HEADER, "header", sorted(header), f"exactly alg ES256, typ {jose.ANSWER_KEYS_TYPE} and kid"
        )
    if header["kid"] != want_header["kid"]:
        raise EvidenceRejected(AnswerId.ROOT, mismatch("keys.kid", repr(header["kid"]), want_header["kid"]))
    _verify(jose.p256_public_key(pin.root), signing_input, signature, AnswerId.ROOT, "the pinned root")
    members = _object(payload, AnswerId.KEYS)
    if members.keys() != _SET_MEMBERS:
        _malformed(AnswerId.KEYS, "members", sorted(members), ", ".join(sorted(_SET_MEMBERS)))
    if members["issuer"] != expected.issuer:
        raise EvidenceRejected(AnswerId.KEYS_ISSUER, mismatch("keys.issuer", repr(members["issuer"]), expected.issuer))
    seq, issued_at, expires_at = (_number(members, name) for name in ("seq", "iat", "exp"))
    if seq < pin.lowest_seq:
        raise EvidenceRejected(AnswerId.SEQ, mismatch("keys.seq", seq, f"at least {pin.lowest_seq}"))
    if now >= expires_at:
        raise EvidenceRejected(AnswerId.EXPIRED, mismatch("keys.exp", expires_at, f"after {now}"))
    if now < issued_at - SKEW_S:
        raise EvidenceRejected(AnswerId.EARLY, mismatch("keys.iat", issued_at, f"not after {now}"))
    return _listed_keys(members["keys"]), seq


def _listed_keys(listed: object) -> dict[str, ec.EllipticCurvePublicKey]:
    if not isinstance(listed, list) or not 1 <= len(listed) <= _KEYS_MAX:
        _malformed(AnswerId.KEYS, "keys.keys", type(listed).__name__, f"an array of 1 to {_KEYS_MAX} keys")
    keys = {}
    for jwk in listed:
        key = _public_key(jwk, AnswerId.KEYS)
        keys[thumbprint(jwk)] = key
    return keys


def _compare(members: Mapping[str, Any], expected: Expected) -> None:
    """Compare what the answer says of its recipient with our own request: it may be genuine and someone else's."""
    if members.keys() != _MEMBERS:
        _malformed(AnswerId.BODY, "members", sorted(members), ", ".join(sorted(_MEMBERS)))
    for check_id, name, want in (
        (AnswerId.ISSUER, "issuer", expected.issuer),
        (AnswerId.NONCE, "nonce", b64url(expected.nonce)),
        (AnswerId.TENANT, "tenant", expected.tenant),
        (AnswerId.WORKLOAD, "workload", expected.workload),
    ):
        _equal(_text(members, name, AnswerId.BODY), want, check_id, name)
    for name, key in (("sig", expected.sig_thumbprint), ("enc", expected.enc_thumbprint)):
        _equal(_text(members, name, AnswerId.BODY), b64url(key), AnswerId.RECIPIENT, name)


def _compare_token(token: str, expected: Expected) -> None:
    """Compare ``cnf.jkt`` and ``eat_nonce`` inside the token; its signature is Vault's to check."""
    fields = token.split(".")
    if len(fields) != 3:  # noqa: PLR2004 - RFC 7515 section 7.1
        _malformed(AnswerId.TOKEN, "token", f"{len(fields)} fields", "a compact JWS")
    claims = _object(_unb64(fields[1], AnswerId.TOKEN), AnswerId.TOKEN)
    confirmation = claims.get("cnf")
    thumbprint = confirmation.get("jkt") if isinstance(confirmation, dict) and len(confirmation) == 1 else None
    _equal(thumbprint, b64url(expected.sig_thumbprint), AnswerId.TOKEN_CNF, "token.cnf.jkt")
    _equal(claims.get("eat_nonce"), b64url(expected.nonce), AnswerId.TOKEN_NONCE, "token.eat_nonce")


def _vault_place(vault: object) -> VaultPlace:
    if not isinstance(vault, dict) or vault.keys() != _VAULT_MEMBERS:
        _malformed(AnswerId.BODY, "vault", type(vault).__name__, ", ".join(sorted(_VAULT_MEMBERS)))
    address, ca_pem, mount, role = (
        _text(vault, name, AnswerId.BODY) for name in ("address", "ca_pem", "mount", "role")
    )
    if not address.startswith("https://"):
        _malformed(AnswerId.BODY, "vault.address", address, "https://…: a token never travels in clear")
    return VaultPlace(address, ca_pem, mount, role)


def _split(unverified_jws: bytes, check_id: str) -> tuple[bytes, dict[str, Any], bytes, bytes]:
    """Split a compact JWS into signing input, header, payload, and a signature of 64 bytes; verifies nothing."""
    try:
        read = jws.split(unverified_jws)
    except ValueError:
        want = "three fields of base64url without padding, the first JSON with each name once"
        raise MalformedEvidence(check_id, f"jws: got other text, want {want}") from None
    if not isinstance(read.header, dict):
        _malformed(check_id, "header", type(read.header).__name__, "an object")
    if len(read.signature) != _SIGNATURE_SIZE:
        _malformed(check_id, "signature", f"{len(read.signature)} bytes", f"{_SIGNATURE_SIZE}")
    return read.signing_input, read.header, read.payload, read.signature


def _verify(key: ec.EllipticCurvePublicKey, signing_input: bytes, signature: bytes, check_id: str, whose: str) -> None:
    if not jws.is_signed(key, signature, signing_input):
        raise EvidenceRejected(check_id, f"signature: not by {whose}")


def _public_key(jwk: object, check_id: str) -> ec.EllipticCurvePublicKey:
    try:
        return jose.p256_public_key(jwk if isinstance(jwk, dict) else {})
    except ValueError as error:
        raise MalformedEvidence(check_id, f"key: {error}") from None


def _object(data: bytes, check_id: str) -> dict[str, Any]:
    """Read a JSON object; a name twice is refused, since two readers could take two values."""
    try:
        read = strict_json.read(data)
    except ValueError:
        raise MalformedEvidence(check_id, "got no JSON object, want one with each name once") from None
    if not isinstance(read, dict):
        _malformed(check_id, "json", type(read).__name__, "an object")
    return read


def _unb64(text: str, check_id: str) -> bytes:
    try:
        return unb64url(text)
    except ValueError:
        raise MalformedEvidence(check_id, "got other text, want base64url without padding") from None


def _text(members: Mapping[str, Any], name: str, check_id: str) -> str:
    value = members[name]
    if not isinstance(value, str):
        _malformed(check_id, name, type(value).__name__, "a string")
    return value


def _number(members: Mapping[str, Any], name: str) -> int:
    value = members[name]
    if type(value) is not int or not 0 <= value < 2**53:
        _malformed(AnswerId.KEYS, name, value, "an integer from 0")
    return value


def _equal(got: object, want: str, check_id: str, field: str) -> None:
    """Compare in constant time; what is missing or no string is never equal."""
    if not isinstance(got, str) or not hmac.compare_digest(got.encode("utf-8", "surrogatepass"), want.encode()):
        raise EvidenceRejected(check_id, mismatch(field, repr(got), want))


def _malformed(check_id: str, field: str, got: object, want: str) -> NoReturn:
    raise MalformedEvidence(check_id, mismatch(field, ascii(got), want))
