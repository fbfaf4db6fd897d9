"""Bytes to records: the collection, both COSE_Sign1, their claims, and the realm's public key. Proves nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec

from verifier.formats import cbor
from verifier.formats.cose import Sign1, decode_sign1
from verifier.formats.errors import MalformedEvidence
from verifier.tee.arm_cca import layout
from verifier.tee.arm_cca.layout import DECODE_ID

_CURVES: Final[Mapping[str, ec.EllipticCurve]] = MappingProxyType(
    {"secp256r1": ec.SECP256R1(), "secp384r1": ec.SECP384R1(), "secp521r1": ec.SECP521R1()}
)
_KTY, _EC2, _CRV, _X, _Y = 1, 2, -1, -2, -3


@dataclass(frozen=True, slots=True)
class Component:
    """One piece of platform software. ``kind``, ``version`` and ``hash`` are "" where the token leaves them out."""

    kind: str
    measurement: bytes
    version: str
    signer_id: bytes
    hash: str
    claims: Mapping[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Claims of the platform token, unverified. ``other``: what the table does not know."""

    challenge: bytes
    instance_id: bytes
    profile: str
    lifecycle: int
    implementation_id: bytes
    software: tuple[Component, ...]
    verification_service: str
    config: bytes
    hash_algorithm: str
    other: Mapping[Any, Any]
    sign1: Sign1

    @property
    def is_secured(self) -> bool:
        """The lifecycle state is secured: no debug, no provisioning."""
        return self.lifecycle in layout.SECURED


@dataclass(frozen=True, slots=True, kw_only=True)
class Realm:
    """Claims of the realm token, unverified. ``public_key`` as it stands in the token: a raw point or a COSE_Key."""

    challenge: bytes
    profile: str
    personalization_value: bytes
    hash_algorithm: str
    public_key: bytes
    curve: str
    point: bytes  # uncompressed
    initial_measurement: bytes
    extensible_measurements: tuple[bytes, ...]
    public_key_hash_algorithm: str
    other: Mapping[Any, Any]
    sign1: Sign1


@dataclass(frozen=True, slots=True)
class CcaToken:
    """Both tokens, unverified, and the tag of the collection that held them."""

    tag: int
    platform: Platform
    realm: Realm


def _fail(detail: str) -> MalformedEvidence:
    return MalformedEvidence(DECODE_ID, f"cca_token: {detail}")


def decode(parts: Mapping[str, bytes]) -> CcaToken:
    """Decode ``cca_token``; ``MalformedEvidence`` for anything but the two tokens in their collection, each claim of its kind."""
    data = parts["cca_token"]
    read = cbor.decode(data, DECODE_ID, "cca_token", max_size=layout.MAX_TOKEN)
    if not isinstance(read, cbor2.CBORTag) or read.tag not in (layout.TAG_TOKEN, layout.TAG_COLLECTION):
        raise _fail(f"got no tag {layout.TAG_TOKEN} or {layout.TAG_COLLECTION}, want one")
    tokens = read.value
    if not isinstance(tokens, dict) or tokens.keys() != {layout.PLATFORM_TOKEN, layout.REALM_TOKEN}:
        raise _fail(f"want a map of exactly {layout.PLATFORM_TOKEN} (platform) and {layout.REALM_TOKEN} (realm)")
    platform, realm = (
        _token(tokens[number], read.tag, what)
        for number, what in ((layout.PLATFORM_TOKEN, "platform"), (layout.REALM_TOKEN, "realm"))
    )
    token = CcaToken(read.tag, _platform(platform), _realm(realm))
    # The collection is not signed: one form only, so that evidence has one set of bytes.
    if encode(token)["cca_token"] != data:
        raise _fail("want shortest lengths, the platform token first")
    return token


def encode(token: CcaToken) -> dict[str, bytes]:
    """Write the token back, the inverse of ``decode``: both COSE_Sign1 as they were received."""
    return {"cca_token": layout.encode_token(token.platform.sign1.raw, token.realm.sign1.raw, token.tag)}


def _token(value: Any, tag: int, what: str) -> Sign1:
    if tag == layout.TAG_COLLECTION:
        if not isinstance(value, list) or len(value) != 2 or value[0] != layout.CONTENT_EAT_CWT:  # noqa: PLR2004
            raise _fail(f"{what}: want [{layout.CONTENT_EAT_CWT}, token]")
        value = value[1]
    if not isinstance(value, bytes):
        raise _fail(f"{what}: got {type(value).__name__}, want a byte string")
    sign1 = decode_sign1(value, DECODE_ID, f"cca_token.{what}")
    if not sign1.tagged:
        raise _fail(f"{what}: got no tag 18, want COSE_Sign1 with its tag")
    return sign1


class _Claims:
    """A claims map, read claim by claim; what was not asked for is left in ``other``."""

    def __init__(self, payload: bytes, what: str, names: Mapping[int, str]) -> None:
        read = cbor.decode(payload, DECODE_ID, f"cca_token.{what}", max_size=layout.MAX_TOKEN, indefinite=True)
        if not isinstance(read, dict):
            raise _fail(f"{what}: got {type(read).__name__}, want a map of claims")
        self._numbers = {name: number for number, name in names.items()}
        self._claims = read
        self.other = {number: value for number, value in read.items() if number not in names}

    def take(self, name: str, kind: type, fits: Callable[[Any], bool], want: str) -> Any:
        """Return a claim of this type that fits, or refuse; ``None`` for an optional one that is not there."""
        number = self._numbers[name]
        if number not in self._claims:
            if name in layout.OPTIONAL:
                return None
            raise _fail(f"{name}: got no claim {number}, want it")
        value = self._claims[number]
        if isinstance(value, bool) or not isinstance(value, kind) or not fits(value):
            shown = f"{len(value)} bytes" if isinstance(value, bytes) else f"{value!r:.80}"
            raise _fail(f"{name} (claim {number}): got {shown}, want {want}")
        return value

    def octets(self, name: str, *sizes: int) -> bytes:
        """Return a byte string of one of these sizes."""
        value: bytes = self.take(name, bytes, lambda v: len(v) in sizes, f"{' or '.join(map(str, sizes))} bytes")
        return value

    def text(self, name: str) -> str:
        """Return a text; "" for an optional one that is not there."""
        return self.take(name, str, _is_text, f"printable text of at most {layout.MAX_TEXT} characters") or ""


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= layout.MAX_TEXT and value.isprintable()


def _platform(sign1: Sign1) -> Platform:
    claims = _Claims(sign1.payload, "platform", layout.PLATFORM)
    instance_id = claims.octets("platform_instance_id", layout.INSTANCE_ID_SIZE)
    if instance_id[0] != layout.UEID_RAND:
        raise _fail(f"platform_instance_id: got first byte {instance_id[0]:#x}, want {layout.UEID_RAND:#x}")
    listed = claims.take(
        "platform_software",
        list,
        lambda v: 0 < len(v) <= layout.MAX_COMPONENTS,
        f"1 to {layout.MAX_COMPONENTS} components",
    )
    return Platform(
        challenge=claims.octets("platform_challenge", *layout.MEASUREMENT_SIZES),
        instance_id=instance_id,
        profile=claims.text("platform_profile"),
        lifecycle=claims.take("platform_lifecycle", int, lambda v: 0 <= v <= 0xFFFF, "0 to 0xffff"),  # noqa: PLR2004
        implementation_id=claims.octets("platform_implementation_id", layout.IMPLEMENTATION_ID_SIZE),
        software=tuple(_component(value, place) for place, value in enumerate(listed)),
        verification_service=claims.text("platform_verification_service"),
        config=claims.take(
            "platform_config",
            bytes,
            lambda v: 0 < len(v) <= layout.MAX_CONFIG,
            f"1 to {layout.MAX_CONFIG} bytes",
        ),
        hash_algorithm=claims.text("platform_hash_algorithm"),
        other=MappingProxyType(claims.other),
        sign1=sign1,
    )


def _component(value: Any, place: int) -> Component:
    where = f"platform_software[{place}]"
    if not isinstance(value, dict):
        raise _fail(f"{where}: got {type(value).__name__}, want a map")
    hashes = {}
    for name, label in (("measurement", layout.COMPONENT_MEASUREMENT), ("signer id", layout.COMPONENT_SIGNER)):
        digest = value.get(label)
        if not isinstance(digest, bytes) or len(digest) not in layout.MEASUREMENT_SIZES:
            raise _fail(f"{where}: got no {name} of 32, 48 or 64 bytes, want it")
        hashes[label] = digest
    texts = {}
    for label in (layout.COMPONENT_TYPE, layout.COMPONENT_VERSION, layout.COMPONENT_HASH):
        text = value.get(label, "")
        if text != "" and not _is_text(text):
            raise _fail(f"{where}: got {text!r:.80} under {label}, want printable text")
        texts[label] = text
    return Component(
        kind=texts[layout.COMPONENT_TYPE],
        measurement=hashes[layout.COMPONENT_MEASUREMENT],
        version=texts[layout.COMPONENT_VERSION],
        signer_id=hashes[layout.COMPONENT_SIGNER],
        hash=texts[layout.COMPONENT_HASH],
        claims=MappingProxyType(value),
    )


def _realm(sign1: Sign1) -> Realm:
    claims = _Claims(sign1.payload, "realm", layout.REALM)
    measurements = claims.take(
        "realm_extensible_measurements",
        list,
        lambda v: len(v) == layout.EXTENSIBLE_MEASUREMENTS,
        f"{layout.EXTENSIBLE_MEASUREMENTS} measurements",
    )
    initial = claims.octets("realm_initial_measurement", *layout.MEASUREMENT_SIZES)
    if not all(isinstance(one, bytes) and len(one) == len(initial) for one in measurements):
        raise _fail(f"realm_extensible_measurements: want each of {len(initial)} bytes, as the initial one has")
    public_key = claims.take("realm_public_key", bytes, lambda v: 0 < len(v) <= layout.MAX_TEXT, "a public key")
    curve, point = _read_point(public_key)
    return Realm(
        challenge=claims.octets("realm_challenge", layout.CHALLENGE_SIZE),
        profile=claims.text("realm_profile"),
        personalization_value=claims.octets("realm_personalization_value", layout.PERSONALIZATION_SIZE),
        hash_algorithm=claims.text("realm_hash_algorithm"),
        public_key=public_key,
        curve=curve,
        point=point,
        initial_measurement=initial,
        extensible_measurements=tuple(measurements),
        public_key_hash_algorithm=claims.text("realm_public_key_hash_algorithm"),
        other=MappingProxyType(claims.other),
        sign1=sign1,
    )


def _read_point(key: bytes) -> tuple[str, bytes]:
    """Return curve and uncompressed point of a RAK: a raw point (the older profile) or a COSE_Key. Nothing is computed yet.

    Raises ``MalformedEvidence`` for anything else.
    """
    for name, size in layout.CURVES.values():
        if key[:1] == b"\x04" and len(key) == 1 + 2 * size:
            return name, key
    read = cbor.decode(key, DECODE_ID, "cca_token.realm_public_key", max_depth=2, max_items=32)
    if not isinstance(read, dict) or read.get(_KTY) != _EC2 or isinstance(read.get(_CRV), bool):
        raise _fail("realm_public_key: want a raw point of P-256, P-384 or P-521, or a COSE_Key of type EC2")
    curve = layout.CURVES.get(read.get(_CRV, 0)) if isinstance(read.get(_CRV), int) else None
    x, y = read.get(_X), read.get(_Y)
    if curve is None or not isinstance(x, bytes) or not isinstance(y, bytes) or {len(x), len(y)} != {curve[1]}:
        raise _fail("realm_public_key: want both coordinates of P-256, P-384 or P-521, uncompressed")
    return curve[0], b"\x04" + x + y


def load_point(curve: str, point: bytes) -> ec.EllipticCurvePublicKey | None:
    """Load a public key that a trusted key has vouched for; ``None`` for a point off its curve."""
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[curve], point)
    except ValueError:
        return None


def _shown(value: Any) -> Any:
    """Print a CBOR value as JSON: bytes as hex, keys as text."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return [_shown(one) for one in value]
    if isinstance(value, Mapping):
        return {_shown(key) if isinstance(key, bytes) else str(key): _shown(one) for key, one in value.items()}
    if isinstance(value, cbor2.CBORTag):
        return {"tag": value.tag, "value": _shown(value.value)}
    return value


def evidence_claims(token: CcaToken) -> dict[str, Any]:
    """What the tokens say, under the names of published cases: claims by number, bytes as lower-case hex."""
    platform, realm = token.platform, token.realm
    said: dict[int, Any] = {
        10: platform.challenge,
        256: platform.instance_id,
        265: platform.profile,
        2395: platform.lifecycle,
        2396: platform.implementation_id,
        2401: platform.config,
        2402: platform.hash_algorithm,
    }
    if platform.verification_service:
        said[2400] = platform.verification_service
    realm_said: dict[int, Any] = {
        10: realm.challenge,
        44235: realm.personalization_value,
        44236: realm.hash_algorithm,
        44237: realm.public_key,
        44238: realm.initial_measurement,
        44239: list(realm.extensible_measurements),
        44240: realm.public_key_hash_algorithm,
    }
    if realm.profile:
        realm_said[265] = realm.profile
    return {
        "platform": _shown({**said, **platform.other}),
        "platform_alg": platform.sign1.alg,
        "sw_components": [_shown(component.claims) for component in platform.software],
        "realm": _shown({**realm_said, **realm.other}),
        "realm_alg": realm.sign1.alg,
    }
