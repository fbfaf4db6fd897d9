"""Vectors of ``aws-nitro``, forged by ``forge.aws_nitro``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec

from forge.aws_nitro import ABSENT, INSTANCE, ForgedNitro, image_pcrs, nitro_key
from forge.certificates import (
    Extra,
    basic_constraints,
    ecdsa_sha256,
    ecdsa_sha384,
    key_usage,
    spki,
)
from tests.support.vectors import PartForm, Vector, forging
from verifier.core.binding import BindingDigest
from verifier.core.ids import BindingId
from verifier.formats import cbor
from verifier.formats.cose import ES256, ES384
from verifier.formats.x509 import USAGE_CRL_SIGN, USAGE_DIGITAL_SIGNATURE
from verifier.tee.aws_nitro import layout
from verifier.tee.aws_nitro.scheme import SCHEME
from verifier.tee.verified import Bound, UnsafeUnbound

NOW: Final = 1_800_000_000
HOUR: Final = 3600
NITRO: Final = ForgedNitro(now=NOW)
LIKE_AWS: Final = ForgedNitro(now=NOW, like_aws=True)
ENC: Final = spki(ec.derive_private_key(11, ec.SECP256R1()).public_key())
DIGEST: Final = BindingDigest(whole=bytes(range(64)), short=bytes(32), nonce=bytes(range(64, 128)), enc_spki=ENC)
BOUND: Final = Bound(DIGEST)
CONFIG: Final = hashlib.sha384(b"the attester's configuration").digest()
EXTENDED: Final = {**image_pcrs(), 16: layout.extended_once(CONFIG)}
DEBUG: Final = {index: bytes(48) for index in range(16)}


@cache
def good() -> bytes:
    """Return the base vector's document."""
    return NITRO.parts(DIGEST, pcrs=EXTENDED)[layout.PART]


def signed_ranges(data: bytes, front: int) -> tuple[tuple[int, int], ...]:
    """Return what is signed and no certificate: the protected header, bytes at the payload's front, and around the certificates."""
    start = data.index(cbor.encode({1: ES384}))
    payload = data.index(layout.MODULE_ID.encode()) - 2
    certificate = data.index(layout.CERTIFICATE.encode())
    tail = data.index(layout.PUBLIC_KEY.encode())
    return (
        (start, start + 4),
        (payload, payload + front),
        (certificate - 52, certificate + 12),
        (tail, len(data) - 98),
    )


def part_forms() -> Mapping[str, PartForm]:
    """Return what each part of the evidence is. PCRs 5 to 15 are of one kind: the middle is left to the property tests."""
    return {layout.PART: PartForm("kept", signed=signed_ranges(good(), 320))}


EVERYTHING: Final[Mapping[str, Any]] = {
    "aws-nitro.platform.root": "simulated",
    "aws-nitro.platform.instances": ["i-00000000", INSTANCE],
    "aws-nitro.platform.max-age": 60,
    "aws-nitro.workload.pcrs": {str(i): v.hex() for i, v in EXTENDED.items() if i in (0, 1, 2, 3, 4, 8)},
    "aws-nitro.config.extended": {"digest": CONFIG.hex(), "pcr": 16},
}


@forging
def vector(*, data: bytes | None = None, nitro: ForgedNitro = NITRO, indefinite: bool = False, **fields: Any) -> Vector:
    """Make a wholesome document, its payload changed where told."""
    made = nitro.parts(DIGEST, **({"pcrs": EXTENDED} | fields)) if not indefinite else {}
    if indefinite:
        bound = {"user_data": DIGEST.whole, "nonce": DIGEST.nonce, "public_key": ENC, "pcrs": EXTENDED}
        made = {layout.PART: nitro.document(indefinite=True, **(bound | fields))}
    return Vector(
        scheme="aws-nitro",
        parts=made if data is None else {layout.PART: data},
        anchors=(nitro.anchor(),),
        now=NOW,
        expected=BOUND,
    )


def payload(**fields: Any) -> bytes:
    """Return the payload of the base vector, changed."""
    bound = {"user_data": DIGEST.whole, "nonce": DIGEST.nonce, "public_key": ENC, "pcrs": EXTENDED}
    return cbor.encode(NITRO.payload(**(bound | fields)))


def _accepted() -> list[Vector]:
    return [
        vector("everything", values=EVERYTHING, data=good()),
        vector("indefinite-maps", indefinite=True, values=EVERYTHING),
        vector("tagged", data=NITRO.sign(payload(), tagged=True)),
        vector("unknown-payload-key", later="AWS may add keys"),
        vector("unprotected-header", data=NITRO.sign(payload(), unprotected={4: b"key id"})),
        vector("optional-absent", public_key=ABSENT, user_data=ABSENT, nonce=ABSENT, expected=UnsafeUnbound()),
        vector("optional-null", public_key=None, user_data=None, nonce=None, expected=UnsafeUnbound()),
        vector("limits", public_key=b"k" * 1024, user_data=b"u" * 512, nonce=b"n" * 512, expected=UnsafeUnbound()),
        vector("pcrs-32", pcrs={**image_pcrs(), **{i: bytes([i]) * 48 for i in range(16, 32)}}),
        vector(
            "never-extended", pcrs=image_pcrs(), values={"aws-nitro.config.extended": {"digest": "none", "pcr": 16}}
        ),
        vector("debug-allowed", pcrs=DEBUG, values={"aws-nitro.pcrs.debug": True}),
        vector("beside-the-vendors-root", anchors=(*SCHEME.verification.anchors, NITRO.anchor())),
        vector("clock-a-little-behind", timestamp=(NOW + 5) * 1000),
        vector("in-the-leafs-last-second", now=NOW - 300 + 3 * HOUR),
    ]


def _malformed() -> list[Vector]:
    where = "aws-nitro.decode.attestation"

    def bad(name: str, data: bytes | None = None, **fields: Any) -> Vector:
        return vector(name, "malformed", where, data=data, **fields)

    leaf = NITRO.leaf()
    twice = payload()
    doubled = b"\xaa" + twice[1:] + cbor.encode("nonce") + cbor.encode(b"another")
    return [
        bad("empty", b""),
        bad("garbage", b"\x00" * 100),
        bad("trailing", good() + b"\x00" * 16),
        bad("too-long", good() + bytes(40_000)),
        bad("other-tag", b"\xd1" + good()),
        bad("no-array", b"\xa0"),
        bad("detached-payload", cbor.encode([cbor.encode({1: ES384}), {}, None, bytes(96)])),
        bad("algorithm-unprotected", NITRO.sign(payload(), protected=b"\xa0", unprotected={1: ES384})),
        bad("payload-trailing", NITRO.sign(payload() + b"\x00")),
        bad("payload-no-map", NITRO.sign(b"\x80")),
        bad("payload-key-twice", NITRO.sign(doubled)),
        bad("payload-key-no-text", NITRO.sign(cbor.encode({**NITRO.payload(), 7: 1}))),
        bad("payload-tagged", NITRO.sign(cbor.encode(cbor2.CBORTag(1, NITRO.payload())))),
        *(
            bad(f"{key}-absent", **{key: ABSENT})
            for key in ("module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle")
        ),
        *(bad(f"{key}-wrong-type", **{key: 1.5}) for key in layout.FIELDS[3:]),
        bad("module-empty", module_id=""),
        bad("module-long", module_id="i" * 257),
        bad("digest-other", digest="SHA256"),
        bad("timestamp-zero", timestamp=0),
        bad("timestamp-negative", timestamp=-1),
        bad("timestamp-true", timestamp=True),
        bad("timestamp-beyond", timestamp=2**53),
        bad("pcrs-none", pcrs={}),
        bad("pcrs-33", pcrs={i: bytes(48) for i in range(33)}),
        bad("pcr-index-32", pcrs={0: bytes(48), 32: bytes(48)}),
        bad("pcr-index-text", pcrs={"0": bytes(48)}),
        bad("pcr-of-sha256", pcrs={0: bytes(32)}),
        bad("pcr-empty", pcrs={0: b""}),
        bad("nitrotpm", nitrotpm_pcrs={i: bytes(48) for i in range(24)}),
        bad("certificate-garbage", certificate=b"\x30\x00"),
        bad("certificate-empty", certificate=b""),
        bad("certificate-trailing", certificate=leaf + b"\x00"),
        bad("certificate-long", certificate=leaf + bytes(1025 - len(leaf))),
        bad("cabundle-empty", cabundle=[]),
        bad("cabundle-long", cabundle=[leaf] * 17),
        bad("cabundle-garbage", cabundle=[*NITRO.cabundle(), b"0"]),
        bad("public-key-empty", public_key=b""),
        bad("public-key-long", public_key=b"k" * 1025),
        bad("user-data-long", user_data=b"u" * 513),
        bad("nonce-long", nonce=b"n" * 513),
    ]


def _renamed(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a self-signed certificate that has the root's name over another key."""
    return NITRO.authority("root", public_key=spki(key.public_key()), signer=ecdsa_sha384(key))


def _chain() -> list[Vector]:
    no = "rejected"
    root, constraints = "aws-nitro.chain.root", "aws-nitro.chain.constraints"
    signature, validity = "aws-nitro.chain.signature", "aws-nitro.chain.validity"
    bundle = NITRO.cabundle()
    usual = (basic_constraints(ca=True, path_length=0), key_usage(USAGE_DIGITAL_SIGNATURE, 5))

    def region(**fields: Any) -> list[bytes]:
        return [bundle[0], NITRO.authority("region", **fields), *bundle[2:]]

    def instance(name: str, *extras: Extra) -> Vector:
        made = NITRO.authority("instance", extensions=extras)
        return vector(f"instance-{name}", no, constraints, cabundle=[*bundle[:3], made])

    stranger = nitro_key("nobody")
    return [
        vector("awss-names-own-root", no, root, nitro=LIKE_AWS, anchors=SCHEME.verification.anchors),
        vector("no-anchors", no, root, anchors=()),
        vector("root-left-out", no, root, cabundle=bundle[1:]),
        vector("root-last", no, root, cabundle=[*bundle[1:], bundle[0]]),
        vector("something-above-the-root", no, root, cabundle=[LIKE_AWS.authority("root"), *bundle]),
        vector("another-key-under-the-roots-name-above-it", no, root, cabundle=[_renamed(stranger), *bundle]),
        instance("is-no-ca", basic_constraints(ca=False), usual[1]),
        instance("may-not-sign", basic_constraints(ca=True), key_usage(USAGE_CRL_SIGN)),
        instance("unknown-critical", *usual, Extra("1.2.3.4", b"\x05\x00", critical=True)),
        vector("path-length-0-at-the-region", no, constraints, cabundle=region(extensions=usual)),
        vector("sha256-in-the-chain", no, constraints, cabundle=region(signer=ecdsa_sha256(nitro_key("root")))),
        vector("leaf-below-a-leaf", no, constraints, cabundle=[*bundle, NITRO.leaf()]),
        vector("region-by-a-stranger", no, signature, cabundle=region(signer=ecdsa_sha384(stranger))),
        vector("leaf-by-a-stranger", no, signature, certificate=NITRO.leaf(signer=ecdsa_sha384(stranger))),
        vector("instance-left-out", no, signature, cabundle=bundle[:3]),
        vector("zone-and-instance-swapped", no, constraints, cabundle=[*bundle[:2], bundle[3], bundle[2]]),
        vector("leaf-expired", no, validity, now=NOW - 300 + 3 * HOUR + 1),
        vector("not-yet-valid", no, validity, now=NOW - 301),
        vector("region-expired", no, validity, cabundle=region(validity=(NOW - 9 * HOUR, NOW - HOUR))),
    ]


def _document() -> list[Vector]:
    no = "rejected"
    usage, signature = "aws-nitro.leaf.usage", "aws-nitro.document.signature"
    timestamp, algorithm = "aws-nitro.document.timestamp", "aws-nitro.document.algorithm"
    p256 = nitro_key("leaf on P-256", ec.SECP256R1())
    small = payload(certificate=NITRO.leaf(public_key=spki(p256.public_key())))
    flipped = bytearray(good())
    flipped[good().index(image_pcrs()[0])] ^= 1

    def leaf(*extras: Extra) -> bytes:
        return NITRO.leaf(extensions=extras)

    def swapped(**fields: Any) -> Vector:
        return vector(next(iter(fields)) + "-of-another-challenge", no, BindingId.USER_DATA, **fields)

    return [
        vector("leaf-is-a-ca", no, usage, certificate=leaf(basic_constraints(ca=True), key_usage(0, 5))),
        vector("leaf-without-usage", no, usage, certificate=leaf(basic_constraints(ca=False))),
        vector("leaf-for-key-agreement", no, usage, certificate=leaf(basic_constraints(ca=False), key_usage(4))),
        vector("es256-by-a-leaf-on-p256", no, algorithm, data=NITRO.sign(small, key=p256, alg=ES256)),
        vector("es256-named", no, algorithm, data=NITRO.sign(payload(), protected=cbor.encode({1: ES256}))),
        vector("algorithm-unknown", no, algorithm, data=NITRO.sign(payload(), protected=cbor.encode({1: -37}))),
        vector("leaf-on-p256", no, signature, data=NITRO.sign(small)),
        vector("signed-by-another", no, signature, data=NITRO.sign(payload(), key=nitro_key("instance"))),
        vector("signature-zero", no, signature, data=good()[:-96] + bytes(96)),
        vector("signature-flipped", no, signature, data=good()[:-1] + bytes((good()[-1] ^ 1,))),
        vector("pcr0-flipped", no, signature, data=bytes(flipped)),
        vector("made-before-the-leaf", no, timestamp, timestamp=(NOW - 301) * 1000),
        vector("made-after-the-leaf", no, timestamp, timestamp=(NOW - 299 + 3 * HOUR) * 1000),
        vector("timestamp-in-seconds", no, timestamp, timestamp=NOW),
        swapped(user_data=bytes(64)),
        swapped(nonce=bytes(64)),
        swapped(public_key=spki(p256.public_key())),
        vector("nonce-missing", no, BindingId.USER_DATA, nonce=None),
        vector("key-missing", no, BindingId.USER_DATA, public_key=None),
        vector("user-data-missing", no, BindingId.USER_DATA, user_data=None),
        vector("user-data-short", no, BindingId.USER_DATA, user_data=DIGEST.whole[:32]),
    ]


def _unwanted() -> list[Vector]:
    def no(name: str, rule: str, value: Any = None, **fields: Any) -> Vector:
        rule_id = f"aws-nitro.{rule}"
        return vector(name, "rejected", rule_id, values={} if value is None else {rule_id: value}, **fields)

    pcrs = image_pcrs()
    values = {str(i): pcrs[i].hex() for i in range(3)}
    digest = CONFIG.hex()
    return [
        no("debug", "pcrs.debug", pcrs=DEBUG),
        *(no(f"pcr{i}-zero", "pcrs.debug", pcrs={**pcrs, i: bytes(48)}) for i in range(3)),
        no("pcr1-absent", "pcrs.debug", pcrs={0: pcrs[0], 2: pcrs[2]}),
        no("from-the-future", "timestamp.future", timestamp=(NOW + 6) * 1000),
        no("another-root", "platform.root", "vendor"),
        no("instance-not-listed", "platform.instances", ["i-00000000"]),
        no("module-without-instance", "platform.instances", [INSTANCE], module_id="enc0123"),
        no("too-old", "platform.max-age", 60, timestamp=(NOW - 62) * 1000),
        *(no(f"pcr{i}-other", "workload.pcrs", {**values, str(i): "11" * 48}) for i in range(3)),
        no("role-other", "workload.pcrs", {**values, "3": "11" * 48}),
        no("user-pcr-absent", "workload.pcrs", {**values, "17": "11" * 48}),
        no("other-configuration", "config.extended", {"digest": "11" * 48, "pcr": 16}),
        no("configuration-in-another-pcr", "config.extended", {"digest": digest, "pcr": 17}),
        no("extended-where-nothing-is-wanted", "config.extended", {"digest": "none", "pcr": 16}),
        no(
            "extended-twice",
            "config.extended",
            {"digest": digest, "pcr": 16},
            pcrs={**pcrs, 16: hashlib.sha384(EXTENDED[16] + CONFIG).digest()},
        ),
    ]


@cache
def vectors() -> tuple[Vector, ...]:
    """Forge the vectors, once a process."""
    return (*_accepted(), *_malformed(), *_chain(), *_document(), *_unwanted())
