"""Vectors of ``azure-tdx-vtpm``, forged by ``forge.azure`` on ``forge.intel``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from forge.azure import ForgedAzureTdx, azure_ca
from forge.intel_quote import Shape
from tests.support.vectors import PartForm, Vector
from tests.vectors.dcap import tcb, wanted
from tests.vectors.dcap.forging import INTEL, NOW
from tests.vectors.tdx import wanted as tdx
from tests.vectors.vtpm.forging import (
    BOUND,
    CONFIG,
    NONCE,
    PCRS,
    QuoteVectors,
    chain_vectors,
    good_values,
    quote_parts_form,
    quote_vectors,
    scheme_vectors,
    without_log,
)
from verifier.formats.encoding import sha256
from verifier.formats.x509chain import Anchor
from verifier.tee.azure.layout import REPORT_SNP, TDREPORT_FIELDS, make_hcl
from verifier.tee.azure_tdx_vtpm.scheme import SCHEME
from verifier.tee.dcap import layout as dcap
from verifier.tee.dcap.layout import BODIES
from verifier.tee.tdx.decode import decode
from verifier.tee.tpm2.keys import spki_digest
from verifier.tee.verified import Expected

NAME: Final = "azure-tdx-vtpm"
SOURCES: Final = ("verifier/tee/azure_tdx_vtpm", "verifier/tee/azure", "verifier/tee/vtpm")
# Only a case can come without a TD quote; tests/unit/tee/azure has it.
NOT_IDS: Final = frozenset({"azure-tdx-vtpm.endorsement.td_quote"})

_LIFTED: Final = {rule.id for rule in SCHEME.appraisal.rules if rule.id.startswith("tdx.")}


@cache
def base() -> ForgedAzureTdx:
    """Return the machine of the base vector: it booted, and its attester measured its configuration."""
    made = ForgedAzureTdx(INTEL, now=NOW)
    made.configured(CONFIG)
    return made


@cache
def _collateral() -> Mapping[str, bytes]:
    return INTEL.collateral("tdx")


def vector(
    name: str,
    outcome: Any = "accepted",
    check_id: str = "",
    *,
    hcl: bytes | None = None,
    td_quote: bytes | None = None,
    quote: Mapping[str, bytes] | None = None,
    endorsements: Mapping[str, bytes] | None = None,
    collateral: Mapping[str, bytes] | None = None,
    values: Mapping[str, Any] | None = None,
    anchors: tuple[Anchor, ...] | None = None,
    expected: Expected = BOUND,
) -> Vector:
    """Forge one vector: the wholesome machine, changed where told."""
    return Vector(
        name=name,
        scheme=NAME,
        parts={
            "hcl_report": base().hcl_report() if hcl is None else hcl,
            "td_quote": base().td_quote() if td_quote is None else td_quote,
            **(base().quote_parts(NONCE, PCRS) if quote is None else quote),
        },
        outcome=outcome,
        check_id=check_id,
        endorsements=base().endorsements() if endorsements is None else endorsements,
        collateral=_collateral() if collateral is None else collateral,
        anchors=(INTEL.anchor(), base().ca.anchor()) if anchors is None else anchors,
        now=NOW,
        expected=expected,
        rule_values={} if values is None else values,
    )


def quotes() -> QuoteVectors:
    """Return how a vector of the quote part is made."""
    return QuoteVectors(NAME, base().tpm, vector)


def everything() -> dict[str, Any]:
    """Return values of every identity rule that the machine satisfies."""
    lifted = {f"tdx.{rule}": value for rule, value in tdx.everything().items() if f"tdx.{rule}" in _LIFTED}
    return {
        **lifted,
        f"{NAME}.paravisor": {"mrtd": ["11" * 48, bytes(base().td["mrtd"]).hex()]},
        f"{NAME}.ak": [spki_digest(base().public()).hex()],
        f"{NAME}.vm-configuration": {"secure_boot": True, "tpm_enabled": True, "console_enabled": True},
        **good_values(NAME, base().tpm),
    }


def along(**changes: bytes) -> dict[str, bytes]:
    """Return the machine's endorsements, some changed or added."""
    return {**base().endorsements(), **changes}


def _accepted() -> list[Vector]:
    bare = base().quote_parts(NONCE, PCRS)
    bare["quote_sig"] = bare["quote_sig"][6:]
    return [
        vector("everything", values=everything()),
        vector("quote-v5", td_quote=base().td_quote(shape=Shape(version=5)), values=everything()),
        vector("without-ak-certificate", endorsements={}),
        vector("without-event-log", quote=without_log(base().quote_parts(NONCE, PCRS))),
        vector("signature-as-bare-bytes", quote=bare),
    ]


def _said(**changes: Any) -> tuple[bytes, bytes]:
    """Return HCL report and TD quote of a machine that says other things."""
    claims = base().claims(**changes)
    return base().hcl_report(claims), base().td_quote(report_data=base().bound(claims))


def _leaf_only() -> bytes:
    return base().td_quote(shape=Shape(certification=dcap.CERT_PCK_LEAF))


def _malformed() -> list[Vector]:
    good = base().hcl_report()
    report, claims = f"{NAME}.decode.hcl_report", f"{NAME}.decode.runtime-claims"
    hcl, quote = _said(keys=[])
    other_type = bytearray(good)
    other_type[32] = 0
    reserved = bytearray(good)
    reserved[32 + 4] = 1
    after = bytearray(good)
    after[32 + 1024] = 1
    return [
        vector("hcl-empty", "malformed", report, hcl=b""),
        vector("hcl-of-snp", "malformed", report, hcl=make_hcl(bytes(1184), base().claims(), report_type=REPORT_SNP)),
        vector("hcl-bytes-after-the-tdreport", "malformed", report, hcl=bytes(after)),
        vector("claims-without-keys", "malformed", claims, hcl=hcl, td_quote=quote),
        vector("tdreport-of-another-type", "malformed", f"{NAME}.decode.tdreport", hcl=bytes(other_type)),
        vector("tdreport-reserved", "malformed", f"{NAME}.decode.tdreport", hcl=bytes(reserved)),
        vector("td-quote-empty", "malformed", "tdx.decode.quote", td_quote=b""),
        vector("pck-chain-garbage", "malformed", "tdx.endorsement.pck_chain", td_quote=_leaf_only(),
               endorsements=along(pck_chain=b"\x30\x03\x02\x01\x00")),
        vector("ak-certificate-garbage", "malformed", f"{NAME}.endorsement.ak_cert", endorsements=along(ak_cert=b"0")),
        vector("ak-chain-garbage", "malformed", f"{NAME}.endorsement.ak_chain",
               endorsements=along(ak_chain=b"\x30\x03\x02\x01\x00")),
    ]  # fmt: skip


def _undecided() -> list[Vector]:
    def without(name: str) -> Vector:
        left = {key: data for key, data in _collateral().items() if key != name}
        return vector(f"{name}-missing", "cannot-decide", f"{NAME}.endorsement.{name}", collateral=left)

    return [
        *(without(name) for name in _collateral()),
        vector("pck-chain-missing", "cannot-decide", f"{NAME}.endorsement.pck_chain", td_quote=_leaf_only()),
    ]


def _rejected() -> list[Vector]:
    other = ForgedAzureTdx(INTEL, now=NOW, label="azure vm 1")
    claims = base().claims()
    digest, same = f"{NAME}.runtime-claims.digest", f"{NAME}.tdreport.quote"
    changed = base().hcl_report(claims.replace(b"0000", b"0001", 1))
    hashes = f"{NAME}.tdreport.hashes"

    def chain(name: str, what: str, ak_cert: bytes, ak_chain: bytes | None, **fields: Any) -> Vector:
        given = {"ak_cert": ak_cert, **({} if ak_chain is None else {"ak_chain": ak_chain})}
        anchors = (INTEL.anchor(),) if fields.pop("anchors_without_ca", False) else None
        return vector(name, "rejected", f"{NAME}.{what}", endorsements=given, anchors=anchors)

    td = {**base().td, "mrtd": b"\x01" * 48}
    return [
        vector("no-intel-root", "rejected", "tdx.chain.root", anchors=(base().ca.anchor(),)),
        vector("runtime-claims-changed", "rejected", digest, hcl=changed),
        vector("quote-asked-for-by-another", "rejected", digest, td_quote=base().td_quote(report_data=NONCE + bytes(32))),
        vector("report-data-goes-on", "rejected", digest, td_quote=base().td_quote(report_data=sha256(claims) * 2)),
        vector("tdreport-of-another-td", "rejected", same, hcl=base().hcl_report(td=td)),
        vector("tdreport-of-other-user-data", "rejected", same, hcl=base().hcl_report(report_data=NONCE * 2)),
        vector("tdreport-tcb-hash", "rejected", hashes, hcl=base().hcl_report(tee_tcb_info_hash=bytes(48))),
        vector("tdreport-info-hash", "rejected", hashes, hcl=base().hcl_report(tee_info_hash=bytes(48))),
        *chain_vectors(chain, base().ca, azure_ca(NOW, "stranger"), base().public(), NOW),
        chain("ak-certificate-of-another-vm", "ak-cert.key", other.ak_certificate(), base().ca.intermediate()),
        vector("quote-of-another-vm", "rejected", f"{NAME}.quote.signature", quote=other.quote_parts(NONCE, PCRS)),
    ]  # fmt: skip


def _on_azure(bare: Vector) -> Vector | None:
    """Make a trust domain of ``tdx``'s vectors the one under the paravisor: same fields, REPORTDATA the claims' hash.

    ``None`` for one whose fault is not in the domain or the collateral (another platform, another quoting enclave).
    """
    read = decode({"quote": bare.parts["quote"]})
    body_type, report = read.quote.body_type, read.report
    fields = {f.name: getattr(report, f.name) for f in BODIES[body_type].fields if f.kind != "zero"}
    bound = fields.pop("report_data")
    shape = Shape(version=read.quote.version, body_type=body_type)
    if INTEL.quote("tdx", report_data=bound, shape=shape, **fields) != bare.parts["quote"]:
        return None
    quote = INTEL.quote("tdx", report_data=base().bound(), shape=shape, **fields)
    return vector(
        f"tdx-{bare.name}",
        bare.outcome,
        bare.check_id,
        hcl=base().hcl_report(td=fields),
        td_quote=quote,
        collateral=bare.collateral,
        values=bare.rule_values,
    )


def _unwanted() -> list[Vector]:
    bare = (*tdx.unwanted(), *wanted.unwanted(tdx.FORGE), *tcb.platform_states(tdx.FORGE))
    lifted = [v for v in bare if v.check_id in _LIFTED and v.outcome == "rejected"]

    def no(name: str, rule: str, value: Any) -> Vector:
        return vector(name, "rejected", f"{NAME}.{rule}", values={f"{NAME}.{rule}": value})

    return [
        *(made for v in lifted if (made := _on_azure(v)) is not None),
        no("paravisor-unknown", "paravisor", {"mrtd": ["11" * 48]}),
        no("ak-not-listed", "ak", ["ab" * 32]),
        no("secure-boot-switched-on", "vm-configuration", {"secure_boot": False}),
    ]


@cache
def vectors() -> tuple[Vector, ...]:
    """Forge the vectors, once a process."""
    return (
        *_accepted(),
        *_malformed(),
        *_undecided(),
        *_rejected(),
        *quote_vectors(quotes()),
        *scheme_vectors(quotes()),
        *_unwanted(),
    )


# Of the TDREPORT: its hashes and REPORTDATA whole, one byte of every field that the hashes cover (a flip there is as good as any).
# CPUSVN and MAC prove nothing off the machine. Each flip costs a TD quote's verification, so PCR values are left to the SNP sibling.
_COVERED: Final = tuple(
    (32 + f.offset, 32 + f.offset + 1) for f in TDREPORT_FIELDS if f.offset >= 256 and f.kind != "zero"
)
_TDREPORT: Final = ((32 + 32, 32 + 192), *_COVERED)


def part_forms() -> Mapping[str, PartForm]:
    """Return what each part of the evidence is."""
    return {
        "hcl_report": PartForm("fixed", ((0, 32), *_TDREPORT, (1216, 1236 + len(base().claims())))),
        "td_quote": PartForm("fixed", ((0, 48 + 584),), decode_id="tdx.decode.quote", trailing=(0,)),
        **quote_parts_form(vectors()[0]),
        "pcrs": PartForm("kept"),
    }
