"""Vectors of ``aws-nitrotpm``, forged by ``forge.aws_nitrotpm``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from forge.aws_nitro import ABSENT, INSTANCE, ForgedNitro, nitro_key
from forge.aws_nitrotpm import EVERY_PCR, ForgedNitroTpm, point
from forge.bootlog import measured_boot
from forge.certificates import basic_constraints, ecdsa_sha384, key_usage, spki
from forge.tpm2 import SimulatedTpm, make_tpm, new_key, pcr_digest, sign
from tests.support.vectors import PartForm, Vector, forging
from tests.vectors.aws_nitro.recipes import signed_ranges
from verifier.core.binding import BindingDigest
from verifier.core.ids import BindingId
from verifier.formats import cbor
from verifier.formats.cose import ES256
from verifier.formats.encoding import canonical, sha256
from verifier.tee.aws_nitro import layout as nitro
from verifier.tee.aws_nitrotpm.scheme import SCHEME
from verifier.tee.tcg.layout import SHA1, SHA256, SHA384
from verifier.tee.tpm2.layout import ALG_ECDSA, Selection, decode_signature, encode_signature
from verifier.tee.verified import Bound, UnsafeUnbound

NOW: Final = 1_800_000_000
HOUR: Final = 3600
DIGEST: Final = BindingDigest(whole=bytes(range(64)), short=bytes(range(64, 96)), nonce=bytes(range(64, 128)))
BOUND: Final = Bound(DIGEST)
CONFIG: Final = hashlib.sha384(b"the attester's configuration").digest()
MACHINE: Final = ForgedNitroTpm(now=NOW).extended(15, CONFIG)


@cache
def good() -> Mapping[str, bytes]:
    """Return the base vector's parts."""
    return MACHINE.parts(DIGEST)


def part_forms() -> Mapping[str, PartForm]:
    """Return what each part of the evidence is."""
    return {
        "attestation": PartForm("kept", signed_ranges(good()["attestation"], 160)),
        "quote": PartForm("fixed", ((0, len(good()["quote"])),)),
        "quote_sig": PartForm("fixed"),
        "pcrs": PartForm("kept", ((0, 120),)),
        "eventlog": PartForm("log"),
    }


_BANK: Final = {str(i): v.hex() for i, v in MACHINE.pcrs.items()}
EVERYTHING: Final[Mapping[str, Any]] = {
    "aws-nitrotpm.platform.root": "simulated",
    "aws-nitrotpm.platform.instances": [INSTANCE],
    "aws-nitrotpm.platform.max-age": 60,
    "aws-nitrotpm.firmware.pcrs": {str(i): _BANK[str(i)] for i in range(8)},
    "aws-nitrotpm.firmware.secure-boot": True,
    "aws-nitrotpm.workload.pcrs": {"8": _BANK["8"], "9": _BANK["9"]},
    "aws-nitrotpm.config.extended": {"digest": CONFIG.hex(), "pcr": 15},
}


@forging
def vector(
    *, parts: Mapping[str, bytes | None] | None = None, machine: ForgedNitroTpm = MACHINE, **fields: Any
) -> Vector:
    """Make wholesome parts, the document's payload changed where told, or whole ``parts`` (``None``: left out)."""
    made = {**(good() if machine is MACHINE and not fields else machine.parts(DIGEST, **fields)), **(parts or {})}
    return Vector(
        scheme="aws-nitrotpm",
        parts={part: data for part, data in made.items() if data is not None},
        anchors=(machine.anchor(),),
        now=NOW,
        expected=BOUND,
    )


def quoted(machine: ForgedNitroTpm = MACHINE, **fields: Any) -> dict[str, bytes]:
    """Return another quote by the machine's AK."""
    message, signature = machine.quote(DIGEST.short, **fields)
    return {"quote": message, "quote_sig": signature}


def signed(alg: int, **options: Any) -> dict[str, bytes]:
    """Return the base document signed otherwise."""
    fields = {nitro.PCRS: ABSENT, nitro.NITROTPM_PCRS: MACHINE.pcrs, nitro.PUBLIC_KEY: point(MACHINE.tpm.ak)}
    fields |= {"user_data": DIGEST.whole, "nonce": DIGEST.nonce} | options.pop("fields", {})
    payload = cbor.encode(MACHINE.nitro.payload(**fields))
    return {"attestation": MACHINE.nitro.sign(payload, alg=alg, **options)}


def x962() -> bytes:
    """Return the base quote's signature as X9.62 DER, the form in which published evidence has it."""
    message = good()["quote"]
    key = MACHINE.tpm.ak
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("the base AK is on P-256")
    return key.sign(message, ec.ECDSA(hashes.SHA256()))


def _accepted() -> list[Vector]:
    rsa = ForgedNitroTpm(now=NOW, tpm=_with_bank(make_tpm("rsa", label="nitrotpm")))
    p384 = ForgedNitroTpm(now=NOW, tpm=_with_bank(make_tpm("ecc-p384", label="nitrotpm")))
    bare = {"pcrs": None, "eventlog": None}
    few = Selection.of(SHA384.id, tuple(range(10)))
    plain = ForgedNitroTpm(now=NOW)
    return [
        vector("everything", values=EVERYTHING),
        vector("document-and-quote-alone", parts=bare),
        vector("nonce-in-the-quote-alone", nonce=None),
        vector("signature-in-der", parts={"quote_sig": x962()}),
        vector("ak-as-spki", public_key=spki(MACHINE.tpm.ak.public_key())),
        vector("ak-rsa", machine=rsa, parts=bare),
        vector("ak-p384", machine=p384, parts=bare),
        vector("ten-pcrs-quoted", parts=quoted(selections=(few,), pcr_digest=_digest(few))),
        vector("never-extended", machine=plain, values={"aws-nitrotpm.config.extended": {"digest": "none", "pcr": 15}}),
        vector("beside-the-vendors-root", anchors=(*SCHEME.verification.anchors, MACHINE.anchor())),
        vector("unknown-payload-key", later=1),
        vector("unbound", expected=UnsafeUnbound()),
    ]


def _with_bank(tpm: SimulatedTpm) -> SimulatedTpm:
    """Return a TPM with the base machine's PCRs."""
    return replace(tpm, values=MACHINE.tpm.values, event_log=b"")


def _digest(*selections: Selection, algorithm: int = SHA256.id, machine: ForgedNitroTpm = MACHINE) -> bytes:
    return pcr_digest(machine.tpm.values, selections, algorithm)


def _malformed() -> list[Vector]:
    def bad(name: str, part: str, data: bytes, check_id: str = "") -> Vector:
        return vector(name, "malformed", check_id or f"aws-nitrotpm.decode.{part}", parts={part: data})

    def document(name: str, **fields: Any) -> Vector:
        return vector(name, "malformed", "aws-nitrotpm.decode.attestation", **fields)

    quote = good()["quote"]
    return [
        bad("document-trailing", "attestation", good()["attestation"] + b"\x00"),
        bad("document-garbage", "attestation", b"\xff"),
        document("enclave", **{nitro.PCRS: {0: bytes(48)}}),
        document("no-pcrs", nitrotpm_pcrs=ABSENT),
        document("23-pcrs", nitrotpm_pcrs={i: v for i, v in MACHINE.pcrs.items() if i != 23}),
        document("25-pcrs", nitrotpm_pcrs={**MACHINE.pcrs, 24: bytes(48)}),
        document("pcr-of-sha256", nitrotpm_pcrs={**MACHINE.pcrs, 3: bytes(32)}),
        bad("quote-trailing", "quote", quote + b"\x00"),
        bad("quote-magic", "quote", b"\x00" + quote[1:], "aws-nitrotpm.quote.magic"),
        bad("quote-of-a-key", "quote", quote[:4] + b"\x80\x17" + quote[6:], "aws-nitrotpm.quote.type"),
        bad("signature-garbage", "quote_sig", b"\x00\x18"),
        bad("pcrs-garbage", "pcrs", b"{}"),
        bad("pcrs-twice", "pcrs", b'{"sha384": {"0": "%s", "0": "%s"}}' % ((b"00" * 48,) * 2)),
        bad("eventlog-garbage", "eventlog", b"\x00" * 40),
        vector("second-part", "malformed", "wire.evidence.parts", parts={"ak": b""}),
    ]


def _document() -> list[Vector]:
    no, name = "rejected", "aws-nitrotpm."
    bundle = MACHINE.nitro.cabundle()
    like_aws = ForgedNitroTpm(now=NOW, tpm=MACHINE.tpm, like_aws=True)
    stranger = nitro_key("nobody")
    p256 = nitro_key("tpm leaf on P-256", ec.SECP256R1())
    small = {"certificate": MACHINE.nitro.leaf(public_key=spki(p256.public_key()))}
    leaf = MACHINE.nitro.leaf(extensions=(basic_constraints(ca=False), key_usage(4)))
    forged = bytearray(good()["attestation"])
    forged[good()["attestation"].index(MACHINE.pcrs[8])] ^= 1
    region = MACHINE.nitro.authority("region", extensions=(basic_constraints(ca=False),))
    enclave = ForgedNitro(now=NOW)
    return [
        vector("awss-names-own-root", no, f"{name}chain.root", machine=like_aws, anchors=SCHEME.verification.anchors),
        vector("root-left-out", no, f"{name}chain.root", cabundle=bundle[1:]),
        vector("region-is-no-ca", no, f"{name}chain.constraints", cabundle=[bundle[0], region, *bundle[2:]]),
        vector(
            "leaf-by-a-stranger",
            no,
            f"{name}chain.signature",
            certificate=MACHINE.nitro.leaf(signer=ecdsa_sha384(stranger)),
        ),
        vector("leaf-expired", no, f"{name}chain.validity", now=NOW - 300 + 3 * HOUR + 1),
        vector("leaf-for-key-agreement", no, f"{name}leaf.usage", certificate=leaf),
        vector("es256", no, f"{name}document.algorithm", parts=signed(ES256, key=p256, fields=small)),
        vector("pcr-flipped", no, f"{name}document.signature", parts={"attestation": bytes(forged)}),
        vector("leaf-of-an-enclave", no, f"{name}document.signature", certificate=enclave.leaf()),
        vector("timestamp-in-seconds", no, f"{name}document.timestamp", timestamp=NOW),
    ]


def _quote() -> list[Vector]:
    no, name = "rejected", "aws-nitrotpm."
    other = ForgedNitroTpm(now=NOW, label="another").extended(15, CONFIG)
    every = Selection.of(SHA384.id, EVERY_PCR)
    sha1 = MACHINE.quote(DIGEST.short, pcr_digest=_digest(every, algorithm=SHA1.id))[0]
    sha1_sig = encode_signature(sign(MACHINE.tpm.ak, sha1, scheme=ALG_ECDSA, algorithm=SHA1.id))
    zero = {**MACHINE.pcrs, 2: bytes(48)}
    zeroed = ForgedNitroTpm(now=NOW, tpm=_changed(zero))
    nothing = quoted(selections=(Selection.of(SHA384.id, ()),), pcr_digest=sha256(b""))
    bank256 = Selection.of(SHA256.id, tuple(range(10)))
    bare: dict[str, bytes | None] = {"pcrs": None, "eventlog": None}
    extended = MACHINE.extended(10, bytes(48))
    wrong = decode_signature(good()["quote_sig"])
    flipped = encode_signature(type(wrong)(wrong.scheme, wrong.hash, (wrong.values[0], wrong.values[0])))
    off_curve = b"\x04" + bytes(63) + b"\x01"
    return [
        vector("ak-missing", no, f"{name}ak.key", public_key=None),
        vector("ak-off-the-curve", no, f"{name}ak.key", public_key=off_curve),
        vector("ak-compressed", no, f"{name}ak.key", public_key=b"\x02" + bytes(31) + b"\x05"),
        vector("ak-no-key", no, f"{name}ak.key", public_key=b"an attestation key"),
        vector(
            "ak-on-another-curve",
            no,
            f"{name}ak.key",
            public_key=spki(ec.derive_private_key(5, ec.SECP256K1()).public_key()),
        ),
        vector("quote-with-sha1", no, f"{name}quote.scheme", parts={"quote": sha1, "quote_sig": sha1_sig}),
        vector("quote-of-another-tpm", no, f"{name}quote.signature", parts=quoted(other)),
        vector("ak-of-another-tpm", no, f"{name}quote.signature", public_key=point(other.tpm.ak)),
        vector("ak-of-another-kind", no, f"{name}quote.signature", public_key=point(new_key("rsa", "nitrotpm ak"))),
        vector("signature-of-nothing", no, f"{name}quote.signature", parts={"quote_sig": flipped}),
        vector("nothing-selected", no, f"{name}quote.selection", parts=bare | nothing),
        vector(
            "two-banks",
            no,
            f"{name}quote.selection",
            parts=bare | quoted(selections=(every, bank256), pcr_digest=_digest(every, bank256)),
        ),
        vector(
            "bank-of-sha256",
            no,
            f"{name}quote.selection",
            parts=bare | quoted(selections=(bank256,), pcr_digest=_digest(bank256)),
        ),
        vector(
            "bank-twice",
            no,
            f"{name}quote.selection",
            parts=bare | quoted(selections=(every, every), pcr_digest=_digest(every, every)),
        ),
        vector("extended-in-between", no, f"{name}pcrs.digest", parts=bare | quoted(extended)),
        vector(
            "digest-by-the-banks-hash",
            no,
            f"{name}pcrs.digest",
            parts=bare | quoted(pcr_digest=_digest(every, algorithm=SHA384.id)),
        ),
        vector("pcrs-of-another-time", no, f"{name}pcrs.document", parts={"pcrs": extended.parts(DIGEST)["pcrs"]}),
        vector(
            "pcrs-of-another-bank",
            no,
            f"{name}pcrs.document",
            parts={"pcrs": canonical({"sha384": _BANK, "sha256": {"0": "00" * 32}})},
        ),
        vector("firmware-measured-nothing", no, f"{name}pcrs.zero", machine=zeroed, parts={"eventlog": None}),
        vector(
            "log-of-another-boot",
            no,
            f"{name}eventlog.replay",
            parts={"eventlog": measured_boot((SHA256, SHA384), kernel=b"another kernel").to_bytes()},
        ),
        vector("log-without-sha384", no, f"{name}eventlog.replay", parts={"eventlog": measured_boot().to_bytes()}),
        vector("log-data-changed", no, f"{name}eventlog.data", parts={"eventlog": _log_data_changed()}),
        vector("quote-of-another-challenge", no, BindingId.USER_DATA, parts=_quote_of(bytes(32))),
        vector("quote-without-challenge", no, BindingId.USER_DATA, parts=_quote_of(b"")),
        vector("quote-with-the-whole-digest", no, BindingId.USER_DATA, parts=_quote_of(DIGEST.whole)),
        vector("document-of-another-challenge", no, BindingId.USER_DATA, user_data=bytes(64)),
        vector("document-without-challenge", no, BindingId.USER_DATA, user_data=None),
        vector("document-with-the-short-digest", no, BindingId.USER_DATA, user_data=DIGEST.short),
        vector("document-of-another-nonce", no, BindingId.USER_DATA, nonce=bytes(64)),
        vector("document-with-an-empty-nonce", no, BindingId.USER_DATA, nonce=b""),
    ]


def _quote_of(extra_data: bytes) -> dict[str, bytes]:
    message, signature = MACHINE.quote(extra_data)
    return {"quote": message, "quote_sig": signature}


def _changed(pcrs: Mapping[int, bytes]) -> SimulatedTpm:
    return replace(MACHINE.tpm, values={**MACHINE.tpm.values, SHA384.name: pcrs})


def _log_data_changed() -> bytes:
    """Change what the log says of Secure Boot, and leave the digest."""
    log = good()["eventlog"]
    name = "SecureBoot".encode("utf-16-le")
    at = log.index(name) + len(name)
    return log[:at] + b"\x00" + log[at + 1 :]


def _unwanted() -> list[Vector]:
    def no(name: str, rule: str, value: Any = None, **fields: Any) -> Vector:
        rule_id = f"aws-nitrotpm.{rule}"
        return vector(name, "rejected", rule_id, values={} if value is None else {rule_id: value}, **fields)

    firmware = EVERYTHING["aws-nitrotpm.firmware.pcrs"]
    few = Selection.of(SHA384.id, tuple(range(8)))
    eight = quoted(selections=(few,), pcr_digest=_digest(few))
    but_seven = Selection.of(SHA384.id, tuple(i for i in EVERY_PCR if i != 7))
    unsaid = quoted(selections=(but_seven,), pcr_digest=_digest(but_seven))
    insecure = ForgedNitroTpm(now=NOW, tpm=MACHINE.tpm).booted(measured_boot((SHA256, SHA384), secure_boot=b"\x00"))
    config = {"digest": CONFIG.hex(), "pcr": 15}
    return [
        no("from-the-future", "timestamp.future", timestamp=(NOW + 6) * 1000),
        no("another-root", "platform.root", "vendor"),
        no("instance-not-listed", "platform.instances", ["i-00000000"]),
        no("too-old", "platform.max-age", 60, timestamp=(NOW - 62) * 1000),
        *(no(f"pcr{i}-other", "firmware.pcrs", {**firmware, str(i): "11" * 48}) for i in range(8)),
        no("secure-boot-off", "firmware.secure-boot", value=True, machine=insecure),
        no("secure-boot-on-where-off-is-wanted", "firmware.secure-boot", value=False),
        no("secure-boot-without-a-log", "firmware.secure-boot", value=True, parts={"eventlog": None}),
        no("secure-boot-not-quoted", "firmware.secure-boot", value=True, parts=unsaid),
        no("kernel-other", "workload.pcrs", {"8": _BANK["8"], "9": "11" * 48}),
        no("workload-not-quoted", "workload.pcrs", {"8": _BANK["8"]}, parts={**eight, "eventlog": None}),
        no("other-configuration", "config.extended", {"digest": "11" * 48, "pcr": 15}),
        no("configuration-in-another-pcr", "config.extended", {**config, "pcr": 14}),
        no("extended-where-nothing-is-wanted", "config.extended", {"digest": "none", "pcr": 15}),
        no("extended-twice", "config.extended", config, machine=MACHINE.extended(15, CONFIG)),
        no("configuration-not-quoted", "config.extended", config, parts={**eight, "eventlog": None}),
        no(
            "zero-but-not-quoted",
            "config.extended",
            {"digest": "none", "pcr": 14},
            parts={**eight, "eventlog": None},
        ),
    ]


@cache
def vectors() -> tuple[Vector, ...]:
    """Forge the vectors, once a process."""
    return (*_accepted(), *_malformed(), *_document(), *_quote(), *_unwanted())
