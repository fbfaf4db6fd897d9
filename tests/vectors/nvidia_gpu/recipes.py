"""Vectors of ``nvidia-gpu``, forged by ``forge.nvidia_gpu``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec

from forge.certificates import Extra, basic_constraints, der_oid, key_usage, spki
from forge.nvidia_gpu import END_OF_TIME, ForgedNvidia, ecdsa_sha256, ecdsa_sha384, without
from forge.nvidia_ocsp import ForgedAnswer, ocsp_answers, ocsp_signing, responder_certificate
from tests.support.vectors import Outcome, PartForm, Vector, forging
from verifier.core.binding import BindingDigest
from verifier.formats.x509 import der_tlv
from verifier.tee.nvidia_gpu import layout
from verifier.tee.nvidia_gpu.scheme import SCHEME
from verifier.tee.verified import Bound, UnsafeUnbound

NOW: Final = 1_800_000_000
NONCE: Final = bytes(range(32))
BOUND: Final = Bound(BindingDigest(whole=bytes(64), short=NONCE))
HOPPER: Final = ForgedNvidia()
OTHER: Final = ForgedNvidia(seed=b"device 1")
BLACKWELL: Final = ForgedNvidia("GB100")
SWITCH: Final = ForgedNvidia("LS_10")
LIKE_NVIDIA: Final = ForgedNvidia(like_nvidia=True)
# The kind of an instance, not a check.
REVOCATION: Final = "nvidia-gpu.revocation"


@cache
def _report_of_base() -> bytes:
    return HOPPER.report(nonce=NONCE)


def part_forms() -> Mapping[str, PartForm]:
    """Return what each part of the evidence is."""
    return {
        "spdm_report": PartForm("fixed", signed=((0, len(_report_of_base()) - layout.SIGNATURE_SIZE),)),
        "cert_chain": PartForm("kept"),
    }


@forging
def _report_of(
    *, gpu: ForgedNvidia = HOPPER, report: bytes | None = None, chain: bytes | None = None, **fields: Any
) -> Vector:
    return Vector(
        scheme="nvidia-gpu",
        parts={
            "spdm_report": gpu.report(nonce=NONCE, **fields) if report is None else report,
            "cert_chain": gpu.chain_pem() if chain is None else chain,
        },
        anchors=(gpu.anchor(),),
        now=NOW,
        expected=BOUND,
    )


def vector(name: str, outcome: Outcome = "accepted", check_id: str = "", **told: Any) -> Vector:
    """Forge one vector: a wholesome report of ``gpu``, changed where told; with NVIDIA's answers where a rule wants them."""
    answers = told.pop("answers", None)
    if answers is None and REVOCATION in told.get("values", {}):
        answers = ocsp_answers(told.get("gpu", HOPPER), told.get("now", NOW))
    return _report_of(name, outcome, check_id, collateral=answers, **told)


def golden(gpu: ForgedNvidia, **changes: Any) -> dict[str, Any]:
    """Return golden measurements that the device's blocks satisfy, some changed or (``None``) left out."""
    named: dict[str, Any] = {str(i): [value.hex()] for i, _, value in gpu.blocks() if any(value)}
    changed = {**named, **{name.removeprefix("b"): value for name, value in changes.items()}}
    return {name: value for name, value in changed.items() if value is not None}


def everything(gpu: ForgedNvidia = HOPPER) -> dict[str, Any]:
    """Return values of every identity rule that the device's report satisfies."""
    return {
        "nvidia-gpu.chip": ["GB100", gpu.chip],
        "nvidia-gpu.product": ["1010_0205_862"],
        "nvidia-gpu.feature": ["SPT", "MPT"],
        "nvidia-gpu.protected-pcie": False,
        "nvidia-gpu.nvdec0": False,
        "nvidia-gpu.device.allow": [f"{gpu.serial:x}"],
        "nvidia-gpu.device.deny": [f"{OTHER.serial:x}"],
        REVOCATION: "required",
        "nvidia-gpu.driver": ["550.90.07", "580.159.03"],
        "nvidia-gpu.vbios": ["96.00.74.00.20"],
        "nvidia-gpu.measurements": golden(gpu),
    }


def changed(gpu: ForgedNvidia, number: int, value: bytes | None) -> Sequence[tuple[int, bytes]]:
    """Return the opaque fields with one changed, added, or (``None``) left out."""
    kept = [(kind, data) for kind, data in gpu.opaque() if kind != number]
    return kept if value is None else [*kept, (number, value)]


def patched(data: bytes, at: int, change: bytes) -> bytes:
    """Return data with some bytes written over."""
    return data[:at] + change + data[at + len(change) :]


def _accepted() -> list[Vector]:
    some = {name: value for name, value in everything().items() if name != "nvidia-gpu.product"}
    protected = [(kind, {21: b"\xaa", 11: b"\xaa", 36: b"\x02\x00"}.get(kind, v)) for kind, v in HOPPER.opaque()]
    return [
        vector("hopper-everything", values=everything()),
        vector("blackwell", gpu=BLACKWELL, values=everything(BLACKWELL)),
        vector("switch", gpu=SWITCH, values={"nvidia-gpu.vbios": ["96.10.55.00.01"], "nvidia-gpu.chip": ["LS_10"]}),
        vector("unbound", expected=UnsafeUnbound()),
        vector("last-second-of-9999", now=END_OF_TIME),
        vector("vendors-root-beside", anchors=(*SCHEME.verification.anchors, HOPPER.anchor())),
        vector("unknown-opaque-field", opaque=[*HOPPER.opaque(), (77, b"new")], values=some),
        vector("no-opaque-fields", opaque=[]),
        vector("any-of-several", values={"nvidia-gpu.measurements": golden(HOPPER, b1=["00" * 48, _hex(1)], b2="any")}),
        vector(
            "protected-pcie",
            opaque=protected,
            values={
                "nvidia-gpu.feature": ["PPCIE"],
                "nvidia-gpu.protected-pcie": True,
                "nvidia-gpu.nvdec0": True,
            },
        ),
    ]


def _hex(index: int) -> str:
    return next(value.hex() for i, _, value in HOPPER.blocks() if i == index)


def _malformed() -> list[Vector]:
    bad, report, chain = "malformed", layout.DECODE_REPORT, layout.DECODE_CHAIN
    pem = HOPPER.chain_pem()
    certificates = HOPPER.chain()
    twice = [*HOPPER.opaque(), (3, b"580.159.03\x00")]
    blocks = HOPPER.blocks()
    broken_fwid = Extra(layout.OID_FWID_HOPPER, b"\x30\x03\x02\x01\x01")
    broken_tcb = Extra(layout.OID_TCB_INFO, b"\x30\x03\x86\x01\x01")

    def spoiled(name: str, at: int, change: bytes) -> Vector:
        return vector(name, bad, report, report=HOPPER.sign(patched(HOPPER.unsigned(nonce=NONCE), at, change)))

    def leaf(name: str, extra: Extra) -> Vector:
        kept = without(HOPPER.extensions("leaf"), layout.OID_FWID_HOPPER)
        made = HOPPER.certificate("leaf", extensions=(*kept, extra))
        return vector(name, bad, chain, chain=HOPPER.chain_pem(leaf=made))

    return [
        vector("no-report", bad, report, report=b""),
        vector("response-alone", bad, report, report=_report_of_base()[37:]),
        vector("too-long", bad, report, report=_report_of_base() + bytes(layout.MAX_REPORT)),
        spoiled("request-spdm-1.2", 0, b"\x12"),
        spoiled("request-of-another-kind", 1, b"\xe1"),
        spoiled("response-spdm-1.2", 37, b"\x12"),
        spoiled("response-is-an-error", 38, b"\x7f"),
        spoiled("one-block-less-counted", 41, b"\x03"),
        spoiled("record-longer", 42, b"\xff"),
        spoiled("record-shorter", 42, b"\x01"),
        spoiled("block-not-dmtf", 46, b"\x02"),
        spoiled("block-size-beside-value-size", 47, b"\x34"),
        vector("block-twice", bad, report, blocks=[*blocks, blocks[-1]]),
        vector("blocks-out-of-order", bad, report, blocks=[blocks[1], blocks[0]]),
        vector("block-zero", bad, report, blocks=[(0, 1, bytes(48)), *blocks]),
        vector("opaque-field-twice", bad, report, opaque=twice),
        vector("opaque-cut", bad, report, report=HOPPER.sign(_opaque_cut())),
        vector("no-chain", bad, chain, chain=b""),
        vector("chain-of-two", bad, chain, chain=layout.encode_chain(certificates[-2:])),
        vector("chain-of-seven", bad, chain, chain=layout.encode_chain([*certificates, *certificates[-2:]])),
        vector("chain-without-root", bad, chain, chain=layout.encode_chain(certificates[:-1])),
        vector("chain-with-text", bad, chain, chain=b"device\n" + pem),
        vector("chain-with-crlf", bad, chain, chain=pem.replace(b"\n", b"\r\n")),
        vector("chain-too-long", bad, chain, chain=pem + b" " * layout.MAX_CHAIN_PEM),
        vector("chain-open", bad, chain, chain=pem[:-30]),
        vector("chain-of-garbage", bad, chain, chain=layout.encode_chain([*certificates[:-1], b"\x30\x00"])),
        leaf("fwid-broken", broken_fwid),
        leaf("tcb-info-broken", broken_tcb),
        replace(vector("endorsement", bad, "wire.evidence.endorsements"), endorsements={"rim": b"<x/>"}),
    ]


def _opaque_cut() -> bytes:
    """Return messages whose last opaque field says that it is longer than it is."""
    unsigned = HOPPER.unsigned(nonce=NONCE)
    return unsigned[:-4] + (9).to_bytes(2, "little") + unsigned[-2:]


def _chain() -> list[Vector]:
    no, ids = "rejected", ("root", "constraints", "signature", "validity")
    root, constraints, signature, validity = (f"nvidia-gpu.chain.{name}" for name in ids)
    critical = Extra("1.2.3.4", b"\x05\x00", critical=True)
    usage = HOPPER.extensions("leaf")

    def swapped(name: str, check_id: str, role: str, **changes: Any) -> Vector:
        made = HOPPER.certificate(role, **changes)
        return vector(name, no, check_id, chain=HOPPER.chain_pem(**{role: made}))

    def device(*extras: Extra) -> dict[str, Any]:
        return {"extensions": (*extras, *HOPPER.extensions("device")[2:])}

    late, early = (1_602_892_800, NOW - 1), (NOW + 1, END_OF_TIME)
    return [
        vector("nvidias-names-own-root", no, root, gpu=LIKE_NVIDIA, anchors=SCHEME.verification.anchors),
        vector("no-anchors", no, root, anchors=()),
        swapped("device-no-ca", constraints, "device", **device(key_usage(5))),
        swapped(
            "device-may-not-sign-certificates",
            constraints,
            "device",
            **device(basic_constraints(ca=True), key_usage(0)),
        ),
        swapped(
            "provisioner-path-length",
            constraints,
            "provisioner",
            extensions=(basic_constraints(ca=True, path_length=0), *HOPPER.extensions("provisioner")[1:]),
        ),
        swapped("leaf-is-a-ca", constraints, "leaf", extensions=(basic_constraints(ca=True), *usage)),
        swapped("leaf-may-not-sign", constraints, "leaf", extensions=(key_usage(5), *usage[1:])),
        swapped("leaf-unknown-critical", constraints, "leaf", extensions=(*usage, critical)),
        swapped("leaf-signed-with-sha256", constraints, "leaf", signer=ecdsa_sha256(HOPPER.device_key)),
        swapped("leaf-of-another-device", signature, "leaf", signer=ecdsa_sha384(OTHER.device_key)),
        swapped("device-signed-by-itself", signature, "device", signer=ecdsa_sha384(HOPPER.device_key)),
        swapped("leaf-expired", validity, "leaf", validity=late),
        swapped("provisioner-not-yet", validity, "provisioner", validity=early),
    ]


def _report() -> list[Vector]:
    no, signature, fwid = "rejected", "nvidia-gpu.report.signature", "nvidia-gpu.fwid"
    weak = ec.derive_private_key(7, ec.SECP256R1())
    p256 = HOPPER.certificate("leaf", public_key=spki(weak.public_key()))
    bare = HOPPER.certificate("leaf", extensions=without(HOPPER.extensions("leaf"), layout.OID_FWID_HOPPER))
    other = HOPPER.certificate("leaf", extensions=(*HOPPER.extensions("leaf")[:-1], HOPPER.fwid_extension(bytes(48))))
    good = _report_of_base()
    beyond = good[: -layout.SIGNATURE_SIZE] + b"\xff" * layout.SIGNATURE_SIZE
    return [
        vector(
            "signature-flipped",
            no,
            signature,
            report=patched(good, len(good) - 1, bytes((good[-1] ^ 1,))),
        ),
        vector(
            "signature-zero",
            no,
            signature,
            report=good[: -layout.SIGNATURE_SIZE] + bytes(layout.SIGNATURE_SIZE),
        ),
        vector("signature-beyond-order", no, signature, report=beyond),
        vector(
            "measurement-changed",
            no,
            signature,
            report=patched(good, 52, bytes((good[52] ^ 1,))),
        ),
        vector("chain-of-another-device", no, signature, chain=OTHER.chain_pem()),
        vector("leaf-key-not-p384", no, signature, chain=HOPPER.chain_pem(leaf=p256)),
        vector("fwid-of-other-firmware", no, fwid, opaque=changed(HOPPER, 20, OTHER.fwid[::-1])),
        vector("fwid-short", no, fwid, opaque=changed(HOPPER, 20, HOPPER.fwid[:47])),
        vector("fwid-empty", no, fwid, opaque=changed(HOPPER, 20, b"")),
        vector("fwid-left-out", no, fwid, opaque=changed(HOPPER, 20, None)),
        vector("leaf-without-fwid", no, fwid, chain=HOPPER.chain_pem(leaf=bare)),
        vector("leaf-of-other-firmware", no, fwid, chain=HOPPER.chain_pem(leaf=other)),
        vector("other-nonce", no, "binding.user-data", expected=Bound(BindingDigest(bytes(64), NONCE[::-1]))),
        vector("half-nonce", no, "binding.user-data", expected=UnsafeUnbound(NONCE[:16])),
        vector("empty-nonce", no, "binding.user-data", expected=UnsafeUnbound(b"")),
    ]


def _unwanted() -> list[Vector]:
    def no(name: str, rule: str, value: Any, gpu: ForgedNvidia = HOPPER, **fields: Any) -> Vector:
        rule_id = f"nvidia-gpu.{rule}"
        return vector(name, "rejected", rule_id, gpu=gpu, values={rule_id: value}, **fields)

    def field(name: str, rule: str, value: Any, number: int, data: bytes | None) -> Vector:
        return no(name, rule, value, opaque=changed(HOPPER, number, data))

    fifth = [*HOPPER.blocks(), (5, 1, b"\x01" * 48)]
    fifth_zero = [*HOPPER.blocks(), (5, 1, bytes(48))]
    return [
        no("chip-not-listed", "chip", ["GB100"]),
        no("product-not-listed", "product", ["1010_0205_863"]),
        field("product-not-said", "product", ["1010_0205_862"], 17, None),
        no("single-where-protected", "feature", ["PPCIE"]),
        field("feature-not-said", "feature", ["SPT"], 36, None),
        field("feature-unknown", "feature", ["SPT", "MPT", "PPCIE"], 36, b"\x03\x00"),
        no("pcie-unprotected", "protected-pcie", value=True),
        field("pcie-not-said", "protected-pcie", False, 21, None),  # noqa: FBT003 - the rule's value
        field("pcie-another-word", "protected-pcie", False, 21, b"\x00"),  # noqa: FBT003
        no("nvdec0-off", "nvdec0", value=True),
        no("device-not-listed", "device.allow", [f"{OTHER.serial:x}"]),
        no("device-denied", "device.deny", [f"{HOPPER.serial:x}"]),
        no("driver-not-listed", "driver", ["550.90.07"]),
        field("driver-not-said", "driver", ["580.159.03"], 3, None),
        field("driver-hides-text", "driver", ["580.159.03"], 3, b"580.159.03\x00evil"),
        no("vbios-not-listed", "vbios", ["96.00.A5.00.01"]),
        field("vbios-not-said", "vbios", ["96.00.74.00.20"], 6, None),
        no("measurement-other", "measurements", golden(HOPPER, b2=["11" * 48])),
        no("measurement-of-raw-bytes-other", "measurements", golden(HOPPER, b4=["07000102"])),
        no("measurement-missing", "measurements", golden(HOPPER, b9=["11" * 48])),
        no("measurement-unnamed", "measurements", golden(HOPPER), blocks=fifth),
        no("measurement-zero-where-golden", "measurements", golden(HOPPER, b5=["11" * 48]), blocks=fifth_zero),
    ]


def _ocsp() -> list[Vector]:
    endorsement, revoked = "nvidia-gpu.endorsement.ocsp", "nvidia-gpu.chain.revoked"
    required = {REVOCATION: "required"}
    stranger = ec.derive_private_key(7, ec.SECP384R1())
    must = der_tlv(0x30, der_oid("1.2.3.4") + b"\x01\x01\xff" + der_tlv(4, b"\x05\x00"))
    good = ForgedAnswer(gpu=HOPPER, now=NOW)

    def told(name: str, outcome: Outcome, check_id: str, answer: ForgedAnswer, place: int = 1, **more: Any) -> Vector:
        answers = ocsp_answers(HOPPER, NOW, **{f"ocsp_{place}": answer.der()})
        return vector(name, outcome, check_id, answers=answers, **more)

    def stale(name: str, **changes: Any) -> Vector:
        return told(name, "cannot-decide", endorsement, replace(good, **changes))

    def unreadable(name: str, **changes: Any) -> Vector:
        return told(name, "malformed", endorsement, replace(good, **changes))

    def responder(name: str, **changes: Any) -> Vector:
        return stale(name, certificate=responder_certificate(HOPPER, "provisioner", NOW, **changes))

    higher = {"issuer": HOPPER.name_of("root"), "signer": ecdsa_sha384(HOPPER.key_of("root"))}
    above = replace(good, certificate=responder_certificate(HOPPER, "provisioner", NOW, **higher))
    others = {"ocsp_1": ForgedAnswer(gpu=OTHER, now=NOW).der()}
    no, undecided = "rejected", "cannot-decide"
    return [
        told("ocsp-by-the-issuer-itself", "accepted", "", replace(good, signed_by_issuer=True), values=required),
        told("ocsp-responder-by-name", "accepted", "", replace(good, by_key=False), values=required),
        told(
            "ocsp-issuer-by-name", "accepted", "", replace(good, signed_by_issuer=True, by_key=False), values=required
        ),
        told("ocsp-named-by-sha384", "accepted", "", replace(good, hash_name="sha384"), values=required),
        told("ocsp-responder-of-a-ca-above", "accepted", "", above, values=required),
        told("ocsp-unknown-and-nobody-asks", "accepted", "", replace(good, status="unknown")),
        vector("ocsp-one-missing-and-nobody-asks", answers={"ocsp_2": ocsp_answers(HOPPER, NOW)["ocsp_2"]}),
        told("device-revoked", no, revoked, replace(good, status="revoked")),
        told("device-on-hold", no, revoked, replace(good, status="revoked", reason=6)),
        told("product-line-revoked", no, revoked, replace(good, role="product", status="revoked"), 3),
        stale("ocsp-not-yet", life=(1, 86_400)),
        stale("ocsp-ended", life=(-86_400, -1)),
        stale("ocsp-of-another-serial", serial=HOPPER.serial + 1),
        stale("ocsp-of-the-issuer", role="provisioner"),
        vector("ocsp-of-another-device", undecided, endorsement, answers=ocsp_answers(HOPPER, NOW, **others)),
        stale("ocsp-signed-by-a-stranger", key=stranger),
        stale("ocsp-signed-by-the-device", key=HOPPER.device_key, signed_by_issuer=True),
        stale("ocsp-responder-left-out", certificate=b""),
        responder(
            "ocsp-responder-of-the-device", issuer=HOPPER.name_of("device"), signer=ecdsa_sha384(HOPPER.device_key)
        ),
        responder("ocsp-responder-of-nobody", issuer=HOPPER.name_of("leaf")),
        responder("ocsp-responder-by-a-stranger", signer=ecdsa_sha384(stranger)),
        responder("ocsp-responder-by-the-device", signer=ecdsa_sha384(HOPPER.device_key)),
        responder("ocsp-responder-for-something-else", extensions=(key_usage(0), ocsp_signing("1.3.6.1.5.5.7.3.1"))),
        responder("ocsp-responder-for-nothing", extensions=(key_usage(0),)),
        responder("ocsp-responder-may-not-sign", extensions=(key_usage(5), ocsp_signing())),
        responder("ocsp-responder-usage-broken", extensions=(key_usage(0), Extra("2.5.29.37", b"\x04\x00"))),
        responder("ocsp-responder-ended", validity=(NOW - 86_400, NOW - 1)),
        unreadable("ocsp-try-later", response_status=3),
        unreadable("ocsp-unauthorized", response_status=6),
        unreadable("ocsp-without-end", life=(-1, None)),
        unreadable("ocsp-of-two", copies=2),
        unreadable("ocsp-of-none", copies=0),
        unreadable("ocsp-unknown-critical", extensions=must),
        unreadable("ocsp-responder-garbage", certificate=b"\x30\x00"),
        vector("ocsp-garbage", "malformed", endorsement, answers=ocsp_answers(HOPPER, NOW, ocsp_1=b"<html>")),
        vector("ocsp-too-long", "malformed", endorsement, answers=ocsp_answers(HOPPER, NOW, ocsp_1=bytes(40_000))),
        vector("revocation-not-asked", no, REVOCATION, values=required, answers={}),
        vector("revocation-of-one-not-asked", no, REVOCATION, values=required, answers={"ocsp_1": good.der()}),
        told("revocation-unknown", no, REVOCATION, replace(good, status="unknown"), values=required),
    ]


@cache
def vectors() -> tuple[Vector, ...]:
    """Forge the vectors, once a process."""
    return (*_accepted(), *_malformed(), *_chain(), *_report(), *_unwanted(), *_ocsp())
