"""Vectors of ``azure-tdx-vtpm``, forged by ``forge.azure`` on ``forge.intel``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from forge.azure import ForgedAzureTdx
from forge.intel_quote import Shape
from tests.support.vectors import PartForm, Vector, forging
from tests.vectors.dcap.forging import INTEL, NOW
from tests.vectors.tdx import wanted as tdx
from tests.vectors.vtpm import forging as vtpm
from tests.vectors.vtpm.forging import NONCE, PCRS, QuoteVectors
from verifier.core.binding import BindingDigest
from verifier.formats.encoding import sha256
from verifier.tee.azure.layout import REPORT_SNP, TDREPORT_FIELDS, make_hcl
from verifier.tee.azure_tdx_vtpm.scheme import SCHEME
from verifier.tee.dcap import layout as dcap

NAME: Final = "azure-tdx-vtpm"
# Only a case can come without a TD quote; tests/unit/tee/azure has it.

_LIFTED: Final = {rule.id for rule in SCHEME.appraisal.rules if rule.id.startswith("tdx.")}


@cache
def base() -> ForgedAzureTdx:
    """Return the machine of the base vector: it booted, and its attester measured its configuration."""
    made = ForgedAzureTdx(INTEL, now=NOW)
    made.configured(vtpm.CONFIG)
    return made


@cache
def _collateral() -> Mapping[str, bytes]:
    return INTEL.collateral("tdx")


@forging
def vector(
    *, hcl: bytes | None = None, td_quote: bytes | None = None, quote: Mapping[str, bytes] | None = None
) -> Vector:
    """Make a wholesome machine."""
    return Vector(
        scheme=NAME,
        parts={
            "hcl_report": base().hcl_report() if hcl is None else hcl,
            "td_quote": base().td_quote() if td_quote is None else td_quote,
            **(answer(vtpm.DIGEST) if quote is None else quote),
        },
        endorsements=base().endorsements(),
        collateral=_collateral(),
        anchors=(INTEL.anchor(), base().ca.anchor()),
        now=NOW,
        expected=vtpm.BOUND,
    )


def answer(digest: BindingDigest) -> dict[str, bytes]:
    """Return the parts with which the machine answers a challenge."""
    return base().quote_parts(digest.short, PCRS)


def quotes() -> QuoteVectors:
    """Return how a vector of the quote part is made."""
    return QuoteVectors(NAME, base().tpm, vector)


def everything() -> dict[str, Any]:
    """Return values of every identity rule that the machine satisfies."""
    own = {f"tdx.{rule}": value for rule, value in tdx.everything().items() if f"tdx.{rule}" in _LIFTED}
    return {
        **own,
        f"{NAME}.paravisor": {"mrtd": ["11" * 48, bytes(base().td["mrtd"]).hex()]},
        **vtpm.azure_values(NAME, base()),
    }


def along(**changes: bytes) -> dict[str, bytes]:
    """Return the machine's endorsements, some changed or added."""
    return {**base().endorsements(), **changes}


def _accepted() -> list[Vector]:
    whole = answer(vtpm.DIGEST)
    return [
        vector("everything", values=everything()),
        vector("quote-v5", td_quote=base().td_quote(shape=Shape(version=5)), values=everything()),
        vector("without-ak-certificate", endorsements={}),
        vector("without-event-log", quote=vtpm.without_log(whole)),
        vector("signature-as-bare-bytes", quote=vtpm.bare_signature(whole)),
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
        *vtpm.azure_chain_vectors(quotes(), base(), other, (INTEL.anchor(),), {}),
    ]  # fmt: skip


def _unwanted() -> list[Vector]:
    """Return trust domains of ``tdx``'s vectors as the one under the paravisor, and what Azure's rules add."""
    found = [
        vector(f"tdx-{bare.name}", "rejected", bare.check_id,
               hcl=base().hcl_report(td={n: data for n, data in domain.fields.items() if n != "report_data"}),
               td_quote=domain.quote(base().bound()), collateral=bare.collateral, values=bare.rule_values)
        for bare, domain in tdx.lifted(_LIFTED)
    ]  # fmt: skip

    def no(name: str, rule: str, value: Any) -> Vector:
        return vector(name, "rejected", f"{NAME}.{rule}", values={f"{NAME}.{rule}": value})

    return [
        *found,
        no("paravisor-unknown", "paravisor", {"mrtd": ["11" * 48]}),
        no("ak-not-listed", "ak", ["ab" * 32]),
        no("secure-boot-switched-on", "vm-configuration", {"secure_boot": False}),
    ]


@cache
def vectors() -> tuple[Vector, ...]:
    """Forge the vectors, once a process."""
    own = (*_accepted(), *_malformed(), *_undecided(), *_rejected())
    return (*own, *vtpm.rsa_vectors(quotes()), *_unwanted())


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
        **vtpm.quote_parts_form(vectors()[0]),
        "pcrs": PartForm("kept"),
    }
