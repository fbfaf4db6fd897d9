"""Vectors of ``sev-snp``, forged by ``forge.sev_snp``."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from forge.certificates import Extra, basic_constraints, key_usage, pkcs1_sha384, spki
from forge.sev_snp import ForgedAmd, authority_key, tcb_version
from tests.support.vectors import PartForm, Vector
from tests.vectors.sev_snp.forging import (
    DATA,
    GENOA,
    LIKE_AMD,
    MILAN,
    NOW,
    OTHER_CHIP,
    TURIN,
    VLEK,
    YEAR,
    along,
    everything,
    forged_ask,
    forged_vek,
    patched,
    spl,
    vector,
)
from tests.vectors.sev_snp.unwanted import unwanted
from verifier.core.binding import BindingDigest
from verifier.formats.x509 import USAGE_CRL_SIGN, der_tlv
from verifier.tee.sev_snp import layout
from verifier.tee.sev_snp.scheme import SCHEME
from verifier.tee.verified import MAX_ENDORSEMENT, Bound, UnsafeUnbound


def part_forms() -> Mapping[str, PartForm]:
    """Return what each part of the evidence is."""
    return {"report": PartForm("fixed", signed=((0, 0x2A0),))}


# Kinds of needs and of instances, not checks.


def _accepted() -> list[Vector]:
    both = {"crl": MILAN.crl(), "genoa_crl": GENOA.crl()}
    return [
        vector("milan-v3-everything", values=everything(MILAN)),
        vector("milan-v2", version=2, values=everything(MILAN, 2), collateral=both),
        vector("milan-v4", version=4),
        vector("milan-v5", version=5, values=everything(MILAN, 5)),
        vector("genoa-v2", amd=GENOA, version=2, collateral=both),
        vector("genoa-v3", amd=GENOA, values=everything(GENOA)),
        vector("genoa-v5-bergamo", amd=GENOA, version=5, fields={"cpuid_model": 0xA0}),
        vector("turin-v5", amd=TURIN, values=everything(TURIN)),
        vector("turin-v3", amd=TURIN, version=3),
        vector("milan-vlek", amd=VLEK, values=everything(VLEK)),
        vector("milan-vlek-v2", amd=VLEK, version=2),
        vector("root-comes-along", endorsements=along(MILAN, ark=MILAN.ark())),
        vector(
            "anchors-of-every-product",
            anchors=(*SCHEME.verification.anchors, GENOA.anchor(), TURIN.anchor(), MILAN.anchor()),
        ),
        vector("hwid-in-octet-string", endorsements=along(MILAN, vcek=_wrapped_hwid())),
        vector("endorsements-as-pem", endorsements={k: _pem(v) for k, v in MILAN.endorsements().items()}),
        vector("crl-lists-another", collateral={"crl": MILAN.crl(revoked=(0x10002, 0x20001))}),
        vector(
            "reported-below-current", fields={"current_tcb": tcb_version("Milan", {"bl": 9, "snp": 25, "ucode": 250})}
        ),
        vector("unknown-platform-bits", amd=TURIN, fields={"platform_info": 0xFFFF_FFFF_FFFF_FF65}),
        vector("other-vlek-beside", endorsements=along(MILAN, vlek=VLEK.vek())),
        vector("unbound", expected=UnsafeUnbound()),
        vector("debug-allowed", fields={"policy": 0xB001F}, values={"sev-snp.policy.debug": True}),
        vector("chip-id-masked-allowed", fields={"chip_id": bytes(64)}, values={"sev-snp.chip-id.masked": True}),
    ]


def _pem(der: bytes) -> bytes:
    body = base64.encodebytes(der)
    return b"-----BEGIN CERTIFICATE-----\n" + body + b"-----END CERTIFICATE-----\n"


def _wrapped_hwid() -> bytes:
    return MILAN.vek(extensions=MILAN.vek_extensions(hwid=der_tlv(4, MILAN.hwid)))


def _malformed() -> list[Vector]:
    good = MILAN.report(report_data=DATA)
    report, bad = "sev-snp.decode.report", "malformed"
    vcek = "sev-snp.endorsement.vcek"

    def vek(name: str, **changes: Any) -> Vector:
        return vector(name, bad, vcek, endorsements=along(MILAN, vcek=forged_vek(MILAN, **changes)))

    hwid = Extra(layout.OID_HWID, MILAN.hwid)
    csp = Extra(layout.OID_CSP_ID, der_tlv(0x16, b"CN=x"))
    return [
        vector("short", bad, report, report=good[:-1]),
        vector("no-report", bad, report, report=b""),
        vector("version-1", bad, "sev-snp.decode.version", report=MILAN.sign(patched(good, 0, b"\x01"))),
        vector("version-6", bad, "sev-snp.decode.version", report=MILAN.sign(patched(good, 0, b"\x06"))),
        *(
            vector(f"reserved-{at:03x}", bad, report, report=MILAN.sign(patched(good, at, b"\x01")))
            for at in (0x04C, 0x18B, 0x1EB, 0x1EF, 0x1F8, 0x200, 0x208, 0x29F)
        ),
        *(
            vector(f"unsigned-{at:03x}", bad, report, report=patched(good, at, b"\x01"))
            for at in (0x2D0, 0x2E7, 0x318, 0x330, 0x49F)
        ),
        vector("v2-with-cpuid", bad, report, report=MILAN.sign(patched(good, 0, b"\x02"))),
        vector("key-info-bit-5", bad, report, fields={"key_info": 0x20}),
        vector("milan-tcb-byte-2", bad, report, fields={"launch_tcb": bytes.fromhex("04000100000018db")}),
        vector("turin-tcb-byte-6", bad, report, amd=TURIN, fields={"committed_tcb": bytes.fromhex("0101010400000151")}),
        vector("vcek-garbage", bad, vcek, endorsements=along(MILAN, vcek=b"\x30\x03\x02\x01\x00")),
        vector(
            "vcek-pem-too-long",
            bad,
            vcek,
            endorsements={},
            collateral={"vcek": b" " * 130_000 + _pem(MILAN.vek()), "ask": MILAN.ask(), "crl": MILAN.crl()},
        ),
        vector(
            "vcek-longer-than-any-certificate",
            bad,
            "wire.evidence.endorsements",
            endorsements=along(MILAN, vcek=_pem(MILAN.vek()).rjust(MAX_ENDORSEMENT + 1)),
        ),
        vector("vcek-pem-twice", bad, vcek, endorsements=along(MILAN, vcek=_pem(MILAN.vek()) * 2)),
        vector("vcek-pem-open", bad, vcek, endorsements=along(MILAN, vcek=_pem(MILAN.vek())[:-30])),
        vector("vcek-trailing", bad, vcek, endorsements=along(MILAN, vcek=MILAN.vek() + b"\x00")),
        vek("vcek-without-hwid", without=("4",)),
        vek("vcek-with-cspid", extra=(csp,)),
        vek("vcek-short-hwid", without=("4",), extra=(replace(hwid, value=MILAN.hwid[:63]),)),
        vek("vcek-without-ucode", without=("3.8",)),
        vek("vcek-spl-256", without=("3.3",), extra=(spl("3.3", 256),)),
        vek("vcek-spl-negative", without=("3.3",), extra=(spl("3.3", -1),)),
        vek("vcek-without-product", without=("2",)),
        vek("vcek-of-naples", without=("2",), extra=(Extra(layout.OID_PRODUCT_NAME, der_tlv(0x16, b"Naples")),)),
        vek("vcek-extension-twice", extra=(hwid,)),
        vector("vlek-garbage", bad, "sev-snp.endorsement.vlek", amd=VLEK, endorsements=along(VLEK, vlek=b"0")),
        vector("ask-garbage", bad, "sev-snp.endorsement.ask", endorsements=along(MILAN, ask=b"\xff" * 100)),
        vector("ark-garbage", bad, "sev-snp.endorsement.ark", endorsements=along(MILAN, ark=b"")),
        vector("crl-garbage", bad, "sev-snp.endorsement.crl", collateral={"crl": MILAN.ark()}),
        vector("crl-from-attester", bad, "wire.evidence.endorsements", endorsements=along(MILAN, crl=MILAN.crl())),
        replace(vector("second-part", bad, "wire.evidence.parts"), parts={"report": good, "log": b""}),
    ]


def _chain() -> list[Vector]:
    no = "rejected"
    root, constraints = "sev-snp.chain.root", "sev-snp.chain.constraints"
    signature, validity = "sev-snp.chain.signature", "sev-snp.chain.validity"
    ca = basic_constraints(ca=True, path_length=0)
    pkcs1 = pkcs1_sha384(authority_key("Milan", "ask"))

    def ask(name: str, *extras: Extra) -> Vector:
        return vector(name, no, constraints, endorsements=along(MILAN, ask=forged_ask(MILAN, *extras)))

    critical = Extra("1.2.3.4", b"\x05\x00", critical=True)
    return [
        vector("amds-names-own-root", no, root, amd=LIKE_AMD, anchors=SCHEME.verification.anchors),
        vector(
            "amds-names-own-root-brought",
            no,
            root,
            amd=LIKE_AMD,
            anchors=SCHEME.verification.anchors,
            endorsements=along(LIKE_AMD, ark=LIKE_AMD.ark()),
        ),
        vector("root-of-another-product", no, root, anchors=(GENOA.anchor(), TURIN.anchor())),
        vector("no-anchors", no, root, anchors=()),
        ask("ask-no-ca", key_usage(5)),
        ask("ask-ca-false", basic_constraints(ca=False)),
        ask("ask-may-not-sign-certificates", ca, key_usage(USAGE_CRL_SIGN)),
        ask("ask-unknown-critical", ca, critical),
        vector(
            "vcek-unknown-critical",
            no,
            constraints,
            endorsements=along(MILAN, vcek=forged_vek(MILAN, extra=(critical,))),
        ),
        vector("vcek-signed-pkcs1", no, constraints, endorsements=along(MILAN, vcek=MILAN.vek(signer=pkcs1))),
        vector(
            "vcek-signed-by-asvk", no, signature, endorsements=along(MILAN, vcek=MILAN.vek(signer=MILAN.signer("asvk")))
        ),
        vector("vcek-self-signed", no, signature, endorsements=along(MILAN, vcek=_signed_by_stranger())),
        vector("ask-signed-by-itself", no, signature, endorsements=along(MILAN, ask=forged_ask(MILAN, ca, role="ask"))),
        vector("vlek-under-ask", no, signature, amd=VLEK, endorsements={"vlek": VLEK.vek(), "ask": MILAN.ask()}),
        vector("vcek-expired", no, validity, now=NOW + 7 * YEAR + 1, collateral={"crl": _crl_at(NOW + 7 * YEAR)}),
        vector("vcek-not-yet-valid", no, validity, now=NOW - 86_401, collateral={"crl": _crl_at(NOW - 86_401)}),
        vector("vlek-expired", no, validity, amd=VLEK, now=NOW + YEAR + 1, collateral={"crl": _crl_at(NOW + YEAR)}),
        vector("ask-revoked", no, "sev-snp.chain.revoked", collateral={"crl": MILAN.crl(revoked=(0x10001,))}),
        vector("asvk-revoked", no, "sev-snp.chain.revoked", amd=VLEK, collateral={"crl": VLEK.crl(revoked=(0x10101,))}),
    ]


def _signed_by_stranger() -> bytes:
    return MILAN.vek(signer=GENOA.signer("ask"))


def _crl_at(now: int) -> bytes:
    return MILAN.crl(validity=(now - 3600, now + YEAR))


def _undecided() -> list[Vector]:
    cannot, crl = "cannot-decide", "sev-snp.endorsement.crl"
    stale = MILAN.crl(validity=(NOW - YEAR, NOW - 1))
    early = MILAN.crl(validity=(NOW + 1, NOW + YEAR))
    return [
        vector("vcek-missing", cannot, "sev-snp.endorsement.vcek", endorsements={"ask": MILAN.ask()}),
        vector(
            "vlek-missing",
            cannot,
            "sev-snp.endorsement.vlek",
            amd=VLEK,
            endorsements={"vcek": MILAN.vek(), "ask": VLEK.ask()},
        ),
        vector("ask-missing", cannot, "sev-snp.endorsement.ask", endorsements={"vcek": MILAN.vek()}),
        vector("crl-missing", cannot, crl, collateral={}),
        vector("crl-missing-v2", cannot, crl, version=2, collateral={}),
        vector("crl-of-genoa-alone-v2", cannot, crl, version=2, collateral={"genoa_crl": GENOA.crl()}),
        vector("crl-of-genoa", cannot, crl, collateral={"crl": GENOA.crl()}),
        vector("crl-stale", cannot, crl, collateral={"crl": stale}),
        vector("crl-not-yet", cannot, crl, collateral={"crl": early}),
        vector("crl-signed-by-ask", cannot, crl, collateral={"crl": MILAN.crl(signer=MILAN.signer("ask"))}),
    ]


def _report() -> list[Vector]:
    no, signature = "rejected", "sev-snp.report.signature"
    good = MILAN.report(report_data=DATA)
    stranger = ec.derive_private_key(7, ec.SECP256R1())
    weak = MILAN.vek(public_key=spki(stranger.public_key()))
    turin_as_v2 = ForgedAmd("Turin", now=NOW, tcb={"fmc": 1, "bl": 1, "ucode": 81})
    genoa_named = MILAN.vek(extensions=MILAN.vek_extensions(product_name="Genoa"))
    product, chip, tcb = "sev-snp.product", "sev-snp.chip-id", "sev-snp.tcb.reported"
    longer = TURIN.hwid + bytes(12) + b"\x01" + bytes(43)
    wrong_kind = {"vcek": VLEK.vek(), "ask": VLEK.ask()}
    return [
        vector("algorithm-none", no, "sev-snp.report.signature-algo", fields={"signature_algo": 0}),
        vector("algorithm-unknown", no, "sev-snp.report.signature-algo", fields={"signature_algo": 2}),
        vector("signing-key-none", no, "sev-snp.signing-key", fields={"key_info": 7 << 2}),
        vector(
            "vlek-as-vcek",
            no,
            "sev-snp.signing-key",
            amd=VLEK,
            fields={"key_info": 0, "chip_id": b"\x01" * 64},
            endorsements=wrong_kind,
        ),
        vector(
            "vcek-as-vlek",
            no,
            "sev-snp.signing-key",
            fields={"key_info": 1 << 2},
            endorsements={"vlek": MILAN.vek(), "ask": MILAN.ask()},
        ),
        vector("signature-flipped", no, signature, report=patched(good, 0x2AA, bytes((good[0x2AA] ^ 1,)))),
        vector("signature-zero", no, signature, report=patched(good, 0x2A0, bytes(144))),
        vector("signature-beyond-order", no, signature, report=patched(good, 0x2A0, b"\xff" * 48)),
        vector("measurement-flipped", no, signature, report=patched(good, 0x90, bytes((good[0x90] ^ 1,)))),
        vector("vcek-of-other-chip", no, signature, endorsements=OTHER_CHIP.endorsements()),
        vector("key-not-p384", no, signature, endorsements=along(MILAN, vcek=weak)),
        vector("asked-for-by-host", no, "sev-snp.report.vmpl", fields={"vmpl": 0xFFFFFFFF}),
        vector("vmpl-4", no, "sev-snp.report.vmpl", fields={"vmpl": 4}),
        vector("genoa-report-milan-chain", no, product, fields={"cpuid_model": 0x11}),
        vector("cpuid-unknown", no, product, fields={"cpuid_family": 0x1B}),
        vector("vcek-names-genoa", no, product, endorsements=along(MILAN, vcek=genoa_named)),
        vector("turin-v2", no, product, amd=turin_as_v2, version=2),
        vector("chip-key-masked", no, "sev-snp.mask-chip-key", fields={"key_info": 0b10}),
        vector("chip-id-of-another", no, chip, fields={"chip_id": OTHER_CHIP.hwid}),
        vector("turin-hwid-longer", no, chip, amd=TURIN, fields={"chip_id": longer}),
        *(
            vector(f"tcb-{name}", no, tcb, fields={"reported_tcb": _raised(MILAN, name)})
            for name in ("bl", "tee", "snp", "ucode")
        ),
        *(
            vector(f"turin-tcb-{name}", no, tcb, amd=TURIN, fields={"reported_tcb": _raised(TURIN, name)})
            for name in ("fmc", "bl", "tee", "snp", "ucode")
        ),
        vector(
            "tcb-lower-than-certificate", no, tcb, fields={"reported_tcb": tcb_version("Milan", {"bl": 3, "snp": 8})}
        ),
        vector("committed-above-current", no, "sev-snp.tcb.committed", fields={"committed_tcb": _raised(MILAN, "snp")}),
        vector("committed-version-above-current", no, "sev-snp.tcb.committed", fields={"committed_build": 41}),
        vector("other-user-data", no, "binding.user-data", expected=Bound(BindingDigest(DATA[::-1], bytes(32)))),
        vector("half-user-data", no, "binding.user-data", expected=UnsafeUnbound(DATA[:32])),
    ]


def _raised(amd: ForgedAmd, name: str) -> bytes:
    place = layout.tcb_places(amd.product)[name]
    return patched(amd.tcb, place, bytes((amd.tcb[place] + 1,)))


@cache
def vectors() -> tuple[Vector, ...]:
    """Forge the vectors, once a process."""
    return (
        *_accepted(),
        *_malformed(),
        *_chain(),
        *_undecided(),
        *_report(),
        *unwanted(),
    )
