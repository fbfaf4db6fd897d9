"""Vectors of ``arm-cca``, forged by ``forge.arm_cca``."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import cbor2

from forge.arm_cca import (
    ForgedArm,
    cose_key,
    derived_key,
    ecdsa_sha384,
    published_cpak,
    published_rak,
    raw_point,
    root_key,
    sign1,
)
from forge.certificates import Extra, basic_constraints, forge_certificate, key_usage, spki
from tests.support.vectors import PartForm, Vector, forging
from verifier.core.binding import BindingDigest
from verifier.formats import cbor, cose
from verifier.formats.x509 import USAGE_DIGITAL_SIGNATURE
from verifier.formats.x509chain import Anchor
from verifier.tee.arm_cca import layout
from verifier.tee.verified import Bound, UnsafeUnbound

NOW: Final = 1_800_000_000
DAY: Final = 86_400
DATA: Final = bytes(range(64))
BOUND: Final = Bound(BindingDigest(whole=DATA, short=bytes(32)))
ARM: Final = ForgedArm(now=NOW)
NEWER: Final = ForgedArm(now=NOW, newer=True)
OTHER: Final = ForgedArm(now=NOW, seed=b"chip 1")
# The curve that the base is signed on: half the time for every bit that is flipped.
P256: Final = ForgedArm(now=NOW, cpak=derived_key("CPAK", curve="secp256r1"), rak=derived_key("RAK", curve="secp256r1"))
# Kinds of a need, an instance and an URI, not checks.


@cache
def _token() -> bytes:
    return P256.token(challenge=DATA)


def part_forms() -> Mapping[str, PartForm]:
    """Return what each part of the evidence is."""
    return {"cca_token": PartForm("fixed", signed=((0, len(_token())),))}


@forging
def vector(
    *,
    arm: ForgedArm = ARM,
    token: bytes | None = None,
    platform: Mapping[int, Any] | None = None,
    realm: Mapping[int, Any] | None = None,
    tag: int = layout.TAG_TOKEN,
) -> Vector:
    """Make a wholesome token of ``arm``, with other claims where told."""
    made = arm.token(challenge=DATA, platform=platform, realm=realm, tag=tag) if token is None else token
    return Vector(
        scheme="arm-cca",
        parts={"cca_token": made},
        endorsements=arm.endorsements(),
        anchors=(arm.anchor(),),
        now=NOW,
        expected=BOUND,
    )


def software(arm: ForgedArm = ARM) -> list[dict[str, Any]]:
    """Return the platform software that the token names."""
    return [
        {"type": part[1], "signer_id": part[5].hex(), "measurements": [part[2].hex()]}
        for part in arm.platform_claims()[2399]
    ]


def everything(arm: ForgedArm = ARM) -> dict[str, Any]:
    """Return values of every identity rule that the token satisfies."""
    realm = arm.realm_claims(DATA)
    return {
        "arm-cca.platform.implementation": ["00" * 32, arm.implementation_id.hex()],
        "arm-cca.platform.software": software(arm),
        "arm-cca.platform.config": ["cfcfcfcf"],
        "arm-cca.instance.allow": [arm.instance_id.hex()],
        "arm-cca.instance.deny": [OTHER.instance_id.hex()],
        "arm-cca.realm.initial-measurement": realm[44238].hex(),
        "arm-cca.realm.extensible-measurements": {"0": realm[44239][0].hex(), "3": "00" * 32},
        "arm-cca.realm.personalization": "00" * 64,
    }


def pem(*certificates: bytes) -> bytes:
    """Write certificates as PEM."""
    return b"".join(
        b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"
        for der in certificates
    )


def _intermediate() -> dict[str, bytes]:
    """Return an endorsement under a CA below a root: a chain of PEM blocks."""
    key, name = derived_key("intermediate"), ARM.root_name.replace(b"endorser", b"middleCA")
    middle = forge_certificate(
        serial=3,
        issuer=ARM.root_name,
        subject=name,
        validity=(NOW - DAY, NOW + DAY),
        public_key=spki(key.public_key()),
        signer=ecdsa_sha384(root_key()),
        extensions=(basic_constraints(ca=True), key_usage(5)),
    )
    return {"cpak": pem(ARM.certificate(issuer=name, signer=ecdsa_sha384(key)), middle)}


def _roomy_root() -> Anchor:
    """Return the root without its path length."""
    made = forge_certificate(
        serial=1,
        issuer=ARM.root_name,
        subject=ARM.root_name,
        validity=(NOW - DAY, NOW + DAY),
        public_key=spki(root_key().public_key()),
        signer=ecdsa_sha384(root_key()),
        extensions=(basic_constraints(ca=True), key_usage(5)),
    )
    return Anchor("roomy", made, "private")


def _accepted() -> list[Vector]:
    debug = {"arm-cca.platform.lifecycle": True}
    sha512 = {10: hashlib.sha512(ARM.public_key()).digest()}
    return [
        vector("p256", arm=P256, values=everything(P256)),
        vector("older-profile-everything", values=everything()),
        vector("newer-profile", arm=NEWER, values=everything(NEWER)),
        vector("collection-907", arm=NEWER, tag=layout.TAG_COLLECTION),
        vector("older-platform-newer-realm", realm={265: "tag:arm.com,2023:realm#1.0.0"}),
        vector("claims-that-nobody-knows", platform={2404: {1: b"x"}, "vendor": [1, True]}, realm={44243: 1}),
        vector("rak-hashed-with-sha512", platform=sha512, realm={44240: "sha-512"}),
        vector("no-verification-service", platform={2400: None}),
        vector("certificate-as-pem", endorsements={"cpak": pem(ARM.certificate())}),
        vector("certificate-with-intermediate", endorsements=_intermediate(), anchors=(_roomy_root(),)),
        vector("certificate-from-the-verifiers-own", endorsements={}, collateral=ARM.endorsements()),
        vector("unbound", expected=UnsafeUnbound()),
        vector("lifecycle-excepted", platform={2395: 0x4000}, values=debug),
    ]


def _malformed() -> list[Vector]:
    bad, token = "malformed", layout.DECODE_ID
    platform_token, realm_token = (cbor2.loads(_token()).value[n] for n in (layout.PLATFORM_TOKEN, layout.REALM_TOKEN))
    untagged = realm_token[1:]
    measured = ARM.realm_claims(DATA)[44239]
    part = ARM.platform_claims()[2399][0]

    def claim(name: str, number: int, value: Any) -> Vector:
        return vector(f"platform-{name}", bad, token, platform={number: value})

    def realm(name: str, number: int, value: Any) -> Vector:
        return vector(f"realm-{name}", bad, token, realm={number: value})

    def whole(name: str, value: bytes) -> Vector:
        return vector(name, bad, token, token=value)

    def component(name: str, **changes: Any) -> Vector:
        changed = {**part, **{int(k.removeprefix("c")): v for k, v in changes.items()}}
        return claim(f"component-{name}", 2399, [{k: v for k, v in changed.items() if v is not None}])

    longer_head = b"\xda\x00\x00\x01\x8f" + _token()[3:]
    both = {layout.PLATFORM_TOKEN: platform_token, layout.REALM_TOKEN: realm_token}
    key = derived_key("RAK", b"chip 0")
    compressed = cbor.encode({1: 2, -1: 2, -2: raw_point(key)[1:49], -3: True})
    return [
        whole("empty", b""),
        whole("no-tag", _token()[3:]),
        whole("tag-398", b"\xd9\x01\x8e" + _token()[3:]),
        whole("tag-longer", longer_head),
        whole("realm-first", cbor.encode(cbor2.CBORTag(399, dict(reversed(both.items()))))),
        whole("realm-missing", cbor.encode(cbor2.CBORTag(399, {layout.PLATFORM_TOKEN: platform_token}))),
        whole("third-token", cbor.encode(cbor2.CBORTag(399, {**both, 1: b""}))),
        whole("no-map", cbor.encode(cbor2.CBORTag(399, [platform_token, realm_token]))),
        whole("realm-untagged", layout.encode_token(platform_token, untagged)),
        whole("realm-no-sign1", layout.encode_token(platform_token, b"\xa0")),
        whole("platform-no-map", layout.encode_token(sign1(P256.cpak, b"\x80"), realm_token)),
        whole("realm-payload-trailing", layout.encode_token(platform_token, sign1(P256.rak, b"\xa0\x00"))),
        whole("token-no-bytes", cbor.encode(cbor2.CBORTag(399, {**both, layout.REALM_TOKEN: "text"}))),
        whole("907-without-messages", cbor.encode(cbor2.CBORTag(907, both))),
        whole("907-of-other-content", _token().replace(b"\xd9\x01\x8f", b"\xd9\x03\x8b", 1)),
        whole("too-long", _token() + bytes(layout.MAX_TOKEN)),
        claim("without-challenge", 10, None),
        claim("challenge-short", 10, bytes(31)),
        claim("challenge-text", 10, "abab"),
        claim("implementation-long", 2396, bytes(33)),
        claim("instance-short", 256, bytes(32)),
        claim("instance-of-another-kind", 256, b"\x02" + bytes(32)),
        claim("lifecycle-negative", 2395, -1),
        claim("lifecycle-large", 2395, 0x10000),
        claim("lifecycle-true", 2395, value=True),
        claim("profile-empty", 265, ""),
        claim("profile-unprintable", 265, "a\nb"),
        claim("config-empty", 2401, b""),
        claim("software-empty", 2399, []),
        claim("software-without-end", 2399, [part] * 65),
        claim("component-no-map", 2399, [b"x"]),
        component("without-measurement", c2=None),
        component("measurement-short", c2=bytes(31)),
        component("without-signer", c5=None),
        component("version-number", c4=3),
        realm("challenge-short", 10, bytes(32)),
        realm("without-challenge", 10, None),
        realm("personalization-short", 44235, bytes(63)),
        realm("measurement-odd", 44238, bytes(33)),
        realm("three-registers", 44239, measured[:3]),
        realm("register-of-other-size", 44239, [*measured[:3], bytes(48)]),
        realm("register-text", 44239, [*measured[:3], "0" * 32]),
        realm("key-empty", 44237, b""),
        realm("key-compressed-point", 44237, b"\x02" + raw_point(key)[1:49]),
        realm("key-without-end", 44237, bytes(600)),
        realm("cose-key-compressed", 44237, compressed),
        realm("cose-key-okp", 44237, cbor.encode({1: 1, -1: 6, -2: bytes(32)})),
        realm("cose-key-of-curve-9", 44237, cbor.encode({1: 2, -1: 9, -2: bytes(48), -3: bytes(48)})),
        realm("cose-key-short-coordinate", 44237, cbor.encode({1: 2, -1: 2, -2: bytes(48), -3: bytes(47)})),
        vector("cpak-garbage", bad, "arm-cca.endorsement.cpak", endorsements={"cpak": b"\x30\x03\x02\x01\x00"}),
        vector("cpak-pem-open", bad, "arm-cca.endorsement.cpak", endorsements={"cpak": pem(ARM.certificate())[:-20]}),
        vector(
            "cpak-pem-of-a-key",
            bad,
            "arm-cca.endorsement.cpak",
            endorsements={"cpak": b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"},
        ),
        vector("endorsement-unknown", bad, "wire.evidence.endorsements", endorsements={"cpak_pub": b"x"}),
    ]


def _endorsement() -> list[Vector]:
    no = "rejected"
    ids = ("root", "constraints", "signature", "validity", "subject")
    root, constraints, signature, validity, subject = (f"arm-cca.cpak.{name}" for name in ids)
    names = (key_usage(USAGE_DIGITAL_SIGNATURE), ARM.subject_alt_name())
    stranger = derived_key("stranger")
    platform, realm = ARM.implementation_id.hex(), ARM.instance_id.hex()

    def swapped(name: str, check_id: str, **changes: Any) -> Vector:
        return vector(name, no, check_id, endorsements={"cpak": ARM.certificate(**changes)})

    def named(name: str, uri: str) -> Vector:
        return swapped(name, subject, extensions=(names[0], ARM.subject_alt_name(uri)))

    return [
        vector("cpak-missing", "cannot-decide", "arm-cca.endorsement.cpak", endorsements={}),
        vector("no-anchors", no, root, anchors=()),
        swapped("cpak-self-signed", root, issuer=ARM.root_name[:-1] + b"X", signer=ecdsa_sha384(ARM.cpak)),
        swapped("cpak-is-a-ca", constraints, extensions=(*names, basic_constraints(ca=True))),
        swapped("cpak-may-not-sign", constraints, extensions=(key_usage(5), names[1])),
        swapped(
            "cpak-unknown-critical", constraints, extensions=(*names, Extra("1.2.3.4", b"\x05\x00", critical=True))
        ),
        vector("root-with-a-ca-below", no, constraints, endorsements=_intermediate()),
        swapped("cpak-signed-by-a-stranger", signature, signer=ecdsa_sha384(stranger)),
        swapped("cpak-expired", validity, validity=(NOW - DAY, NOW - 1)),
        swapped("cpak-not-yet", validity, validity=(NOW + 1, NOW + DAY)),
        swapped("cpak-names-nothing", subject, extensions=names[:1]),
        named("cpak-of-another-instance", f"arm-cca:{platform}/{OTHER.instance_id.hex()}"),
        named("cpak-of-another-implementation", f"arm-cca:{'00' * 32}/{realm}"),
        named("cpak-in-upper-case", f"arm-cca:{platform.upper()}/{realm}"),
        vector(
            "published-cpak",
            no,
            "arm-cca.platform.test-key",
            arm=ForgedArm(now=NOW, cpak=published_cpak()),
        ),
        vector("published-rak", no, "arm-cca.realm.test-key", arm=ForgedArm(now=NOW, rak=published_rak())),
        vector(
            "published-rak-as-cose-key",
            no,
            "arm-cca.realm.test-key",
            arm=ForgedArm(now=NOW, rak=published_rak(), newer=True),
        ),
    ]


def _tokens() -> list[Vector]:
    no = "rejected"
    names = ("platform.signature", "profile", "hash-algorithm", "binding", "realm.signature")
    signature, profile, hashes, binding, realm_signature = (f"arm-cca.{name}" for name in names)
    tokens = cbor2.loads(ARM.token(challenge=DATA)).value
    platform_token, realm_token = tokens[layout.PLATFORM_TOKEN], tokens[layout.REALM_TOKEN]
    others = cbor2.loads(OTHER.token(challenge=DATA)).value[layout.REALM_TOKEN]
    realm_payload = cbor.encode(ARM.realm_claims(DATA))
    platform_payload = cbor.encode(ARM.platform_claims())
    off_curve = b"\x04" + b"\x01" * 96

    def whole(name: str, check_id: str, platform: bytes, realm: bytes) -> Vector:
        return vector(name, no, check_id, token=layout.encode_token(platform, realm))

    def flipped(data: bytes, at: int) -> bytes:
        return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]

    part = ARM.platform_claims()[2399][0]
    measured_at = realm_token.index(ARM.realm_claims(DATA)[44238])
    vouched = hashlib.sha256(off_curve).digest()
    es256 = sign1(ARM.rak, realm_payload, alg=cose.ES256)
    return [
        whole("platform-signed-by-another-chip", signature, sign1(OTHER.cpak, platform_payload), realm_token),
        whole("platform-signature-flipped", signature, flipped(platform_token, -1 % len(platform_token)), realm_token),
        whole("platform-algorithm-of-another-curve", signature, sign1(ARM.cpak, platform_payload, alg=-7), realm_token),
        whole("platform-algorithm-unknown", signature, sign1(ARM.cpak, platform_payload, alg=-8), realm_token),
        vector("platform-profile-unknown", no, profile, platform={265: "tag:arm.com,2026:cca_platform#2.0.0"}),
        vector("realm-profile-unknown", no, profile, realm={265: "tag:arm.com,2026:realm#2.0.0"}),
        vector("platform-hash-unknown", no, hashes, platform={2402: "sha-1"}),
        vector("realm-hash-unknown", no, hashes, realm={44236: "SHA-256"}),
        vector("realm-hash-of-other-size", no, hashes, realm={44236: "sha-512"}),
        vector("rak-hash-unknown", no, hashes, realm={44240: "md5"}),
        vector("rak-hash-of-other-size", no, hashes, realm={44240: "sha-384"}),
        vector("component-hash-unknown", no, hashes, platform={2399: [{**part, 6: "sha3-256"}]}),
        vector("component-of-other-size", no, hashes, platform={2399: [{**part, 2: bytes(48)}]}),
        whole("realm-of-another-chip", binding, platform_token, others),
        vector("challenge-of-another-key", no, binding, platform={10: hashlib.sha256(b"another").digest()}),
        vector(
            "key-in-the-other-form",
            no,
            binding,
            platform={10: hashlib.sha256(cose_key(ARM.rak)).digest()},
        ),
        whole("realm-signed-by-another-key", realm_signature, platform_token, sign1(OTHER.rak, realm_payload)),
        whole("realm-signature-flipped", realm_signature, platform_token, flipped(realm_token, len(realm_token) - 1)),
        whole("realm-measurement-changed", realm_signature, platform_token, flipped(realm_token, measured_at)),
        whole("realm-algorithm-of-another-curve", realm_signature, platform_token, es256),
        vector(
            "key-off-its-curve",
            no,
            realm_signature,
            platform={10: vouched},
            realm={44237: off_curve},
        ),
        vector("other-challenge", no, "binding.user-data", expected=Bound(BindingDigest(DATA[::-1], bytes(32)))),
        vector("half-challenge", no, "binding.user-data", expected=UnsafeUnbound(DATA[:32])),
    ]


def _unwanted() -> list[Vector]:
    def no(name: str, rule: str, value: Any = None, **fields: Any) -> Vector:
        rule_id = f"arm-cca.{rule}"
        return vector(name, "rejected", rule_id, values={} if value is None else {rule_id: value}, **fields)

    listed = software()
    measured = everything()["arm-cca.realm.extensible-measurements"]
    extra = {1: "X", 2: bytes(32), 5: bytes(32)}
    return [
        *(
            no(f"lifecycle-{state:04x}", "platform.lifecycle", platform={2395: state})
            for state in (0, 0x2FFF, 0x3100, 0x4000, 0x5003, 0x6000)
        ),
        no("implementation-not-listed", "platform.implementation", ["00" * 32]),
        no(
            "software-of-other-measurement",
            "platform.software",
            [listed[0], {**listed[1], "measurements": ["11" * 32]}],
        ),
        no("software-of-other-signer", "platform.software", [listed[0], {**listed[1], "signer_id": "11" * 32}]),
        no("software-of-other-type", "platform.software", [listed[0], {**listed[1], "type": "BL"}]),
        no("software-unexplained", "platform.software", listed[:1]),
        no("software-missing", "platform.software", [*listed, {**listed[0], "signer_id": "22" * 32}]),
        no(
            "software-more",
            "platform.software",
            listed,
            platform={2399: [*ARM.platform_claims()[2399], extra]},
        ),
        no("config-not-listed", "platform.config", ["00"]),
        no("instance-not-listed", "instance.allow", [OTHER.instance_id.hex()]),
        no("instance-denied", "instance.deny", [ARM.instance_id.hex()]),
        no("other-image", "realm.initial-measurement", "11" * 32),
        no("other-boot", "realm.extensible-measurements", {**measured, "0": "11" * 32}),
        no("register-not-empty", "realm.extensible-measurements", {"0": "00" * 32}),
        no("other-configuration", "realm.personalization", "11" * 64),
    ]


@cache
def vectors() -> tuple[Vector, ...]:
    """Forge the vectors, once a process."""
    return (
        *_accepted(),
        *_malformed(),
        *_endorsement(),
        *_tokens(),
        *_unwanted(),
    )
