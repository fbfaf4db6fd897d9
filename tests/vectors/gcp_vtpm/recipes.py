"""Vectors of ``gcp-vtpm``, forged by ``forge.gcp_vtpm``, with forged AMD and Intel beside it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Final

from forge.certificates import der_integer
from forge.gcp_vtpm import INSTANCE, ForgedGcp, component, gcp_ca
from forge.intel_quote import Shape
from forge.sev_snp import ForgedAmd
from tests.support.vectors import PartForm, Vector, forging
from tests.vectors.dcap.forging import INTEL
from tests.vectors.sev_snp import forging as snp
from tests.vectors.sev_snp.unwanted import lifted
from tests.vectors.tdx import wanted as tdx
from tests.vectors.vtpm import forging as vtpm
from tests.vectors.vtpm.forging import NONCE, PCRS, QuoteVectors
from verifier.core.binding import BindingDigest, Context, binding_digest
from verifier.core.ids import BindingId
from verifier.formats.x509 import USAGE_CERT_SIGN, USAGE_DIGITAL_SIGNATURE, USAGE_KEY_ENCIPHERMENT, der_tlv
from verifier.tee.gcp_vtpm.layout import encode_instance
from verifier.tee.gcp_vtpm.scheme import SCHEME
from verifier.tee.sev_snp.scheme import SCHEME as SNP
from verifier.tee.tdx.scheme import SCHEME as TDX
from verifier.tee.tpm2.keys import spki_digest
from verifier.tee.verified import Bound

NAME: Final = "gcp-vtpm"
NOW: Final = snp.NOW
# A kind of instance; what only a case can bring (tests/unit/tee/gcp_vtpm has it).

_CONTEXT: Final = Context("https://v/t/default", "default", "web", "web")


@cache
def base() -> ForgedGcp:
    """Return the machine of the base vector: it booted, and its attester measured its configuration."""
    made = ForgedGcp(now=NOW)
    made.configured(vtpm.CONFIG)
    return made


@cache
def ecc() -> ForgedGcp:
    """Return another machine, whose AK is on a curve."""
    made = ForgedGcp(now=NOW, kind="ecc", label="gce vm 1")
    made.configured(vtpm.CONFIG)
    return made


def _vouching(components: Any) -> BindingDigest:
    return binding_digest(bytes(64), bytes(32), b"\x01" * 32, _CONTEXT, components)


WITH_LIST: Final = replace(vtpm.DIGEST, vouching=_vouching)
BOUND: Final = Bound(WITH_LIST)


@forging
def vector(
    *,
    on: ForgedGcp | None = None,
    quote: Mapping[str, bytes] | None = None,
    beside: Mapping[str, bytes] | None = None,
    more: Mapping[str, bytes] | None = None,
) -> Vector:
    """Make a wholesome machine; ``beside`` are a CPU's parts, ``more`` its endorsements."""
    on = on or base()
    return Vector(
        scheme=NAME,
        parts={**(on.quote_parts(NONCE, PCRS) if quote is None else quote), **(beside or {})},
        endorsements={**on.endorsements(), **(more or {})},
        anchors=(on.ca.anchor(), snp.MILAN.anchor(), snp.TURIN.anchor(), INTEL.anchor()),
        now=NOW,
        expected=BOUND,
    )


_SNP_RULES: Final = {rule.id: rule for rule in SCHEME.appraisal.rules if rule.id.startswith("sev-snp.")}
_TDX_RULES: Final = {rule.id: rule for rule in SCHEME.appraisal.rules if rule.id.startswith("tdx.")}
_FIELDS: Final = {rule.id: rule.field for scheme in (SNP, TDX) for rule in scheme.appraisal.rules}


def quotes() -> QuoteVectors:
    """Return how a vector of the quote part is made."""
    return QuoteVectors(NAME, base().tpm, vector)


@cache
def _parts() -> Mapping[str, bytes]:
    return base().quote_parts(NONCE, PCRS)


@cache
def vouched() -> bytes:
    """Return what a CPU's report carries that vouches for the base quote."""
    return WITH_LIST.over((component(_parts()),)).whole


@cache
def _collateral() -> Mapping[str, bytes]:
    return INTEL.collateral("tdx")


def tabled(values: Mapping[str, Any], lifted: Mapping[str, Any], fixed: Mapping[str, Any]) -> dict[str, Any]:
    """Put a CPU's values into its tables: those of service rules stay; the platform's table always says what ``fixed`` says."""
    told: dict[str, Any] = {}
    for rule_id, value in values.items():
        rule = lifted.get(rule_id)
        if rule is None:
            continue
        if rule.scope == "service":
            told[rule_id] = value
        else:
            told[rule_id] = {**(fixed if rule.scope == "platform" else {}), _FIELDS[rule_id]: value}
    return told


def with_snp(amd: ForgedAmd = snp.MILAN, report: bytes | None = None, **fields: Any) -> dict[str, Any]:
    """Return arguments of ``vector`` for a machine with an SNP report beside its vTPM."""
    data = amd.report(**{"report_data": vouched(), **fields}) if report is None else report
    return {
        "quote": _parts(),
        "beside": {"sev_snp.report": data},
        "more": {f"sev_snp.{name}": der for name, der in amd.endorsements().items()},
        "collateral": {"sev_snp.crl": amd.crl()},
    }


def with_tdx(quote: bytes | None = None, collateral: Mapping[str, bytes] | None = None, **told: Any) -> dict[str, Any]:
    """Return arguments of ``vector`` for a machine with a TD quote beside its vTPM."""
    data = INTEL.quote("tdx", **{"report_data": vouched(), **told}) if quote is None else quote
    found = _collateral() if collateral is None else collateral
    return {
        "quote": _parts(),
        "beside": {"tdx.quote": data, "tdx.eventlog": tdx.LOG.to_bytes()},
        "collateral": {f"tdx.{name}": document for name, document in found.items()},
    }


def everything(on: ForgedGcp, cpu: str) -> dict[str, Any]:
    """Return values of every identity rule of the machine that does not concern its CPU's own report."""
    return {
        f"{NAME}.cpu": cpu,
        f"{NAME}.project": ["another", str(INSTANCE.project_number)],
        f"{NAME}.zone": [INSTANCE.zone],
        f"{NAME}.instance": [str(INSTANCE.instance_id)],
        f"{NAME}.production": True,
        f"{NAME}.ak": [spki_digest(on.tpm.ak.public_key()).hex()],
        **vtpm.good_values(NAME, on.tpm),
    }


def _snp_everything(amd: ForgedAmd) -> dict[str, Any]:
    values = snp.everything(amd)
    return tabled(values, _SNP_RULES, {"signing_key": values["sev-snp.signing-key.kind"]})


def _tdx_everything() -> dict[str, Any]:
    return tabled({f"tdx.{rule}": value for rule, value in tdx.everything().items()}, _TDX_RULES, {})


def _accepted() -> list[Vector]:
    old = ForgedGcp(now=NOW, instance=replace(INSTANCE, security_version=None, is_production=None, further=()))
    old.configured(vtpm.CONFIG)
    pem = {
        "ak_cert": snp_pem(base().ak_certificate()),
        "ak_chain": snp_pem(base().ca.root()) + snp_pem(base().ca.intermediate()),
    }
    return [
        vector("rsa-everything", values=everything(base(), "none")),
        vector("ecc-everything", on=ecc(), values=everything(ecc(), "none")),
        vector("milan-everything", **with_snp(), values={**everything(base(), "sev-snp"), **_snp_everything(snp.MILAN)}),
        vector("turin-everything", **with_snp(snp.TURIN), values={**everything(base(), "sev-snp"),
                                                                   **_snp_everything(snp.TURIN)}),
        vector("tdx-everything", **with_tdx(), values={**everything(base(), "tdx"), **_tdx_everything()}),
        vector("project-by-name", values={f"{NAME}.project": [INSTANCE.project_id]}),
        vector("without-event-log", quote=vtpm.without_log(base().quote_parts(NONCE, PCRS))),
        vector("without-security-properties", on=old),
        vector("subject-empty", endorsements=along(ak_cert=base().ak_certificate(subject=der_tlv(0x30, b"")))),
        vector("certificates-as-pem-root-first", endorsements=pem),
        vector("chip-not-asked-for", **with_snp(),
               values={"sev-snp.chip.allow": {"signing_key": {"kind": "VCEK"}}}),
    ]  # fmt: skip


def snp_pem(der: bytes) -> bytes:
    """Write a certificate in PEM."""
    return b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"


def along(**changes: bytes) -> dict[str, bytes]:
    """Return the machine's endorsements, some changed or added."""
    return {**base().endorsements(), **changes}


def _identified(data: bytes) -> dict[str, bytes]:
    return along(ak_cert=base().ak_certificate(extensions=base().extensions(data)))


def _malformed() -> list[Vector]:
    cert, good = f"{NAME}.endorsement.ak_cert", encode_instance(INSTANCE)
    both = {
        "sev_snp.report": snp.MILAN.report(report_data=vouched()),
        "tdx.quote": INTEL.quote("tdx", report_data=vouched()),
    }
    garbage = b"\x30\x03\x02\x01\x00"
    short = encode_instance(replace(INSTANCE, further=()))
    broken = {
        "empty": b"",
        "cut": good[:-1],
        "trailing": good + b"\0",
        "not-a-sequence": b"\x31" + good[1:],
        "zone-a-number": der_tlv(0x30, der_integer(1)),
        "zone-not-utf8": good.replace(b"forged-central1-a", b"forged-central1-\xff"),
        "production-of-two-bytes": short.replace(b"\xa1\x03\x01\x01\xff", b"\xa1\x04\x01\x02\xff\xff"),
        "production-neither": short.replace(b"\xa1\x03\x01\x01\xff", b"\xa1\x03\x01\x01\x01"),
        "property-twice": good.replace(b"\xa5\x03", b"\xa4\x03"),
    }
    return [
        *(vector(f"instance-{name}", "malformed", cert, endorsements=_identified(data)) for name, data in broken.items()),
        vector("ak-certificate-garbage", "malformed", cert, endorsements=along(ak_cert=garbage)),
        vector("ak-certificate-twice", "malformed", cert, endorsements=along(ak_cert=snp_pem(base().ca.root()) * 2)),
        vector("ak-chain-garbage", "malformed", f"{NAME}.endorsement.ak_chain", endorsements=along(ak_chain=garbage)),
        vector("ak-chain-too-long", "malformed", f"{NAME}.endorsement.ak_chain",
               endorsements=along(ak_chain=snp_pem(base().ca.intermediate()) * 5)),
        vector("two-cpus", "malformed", f"{NAME}.decode.cpu", beside=both),
        vector("log-of-a-cpu-alone", "malformed", f"{NAME}.decode.cpu", beside={"tdx.eventlog": tdx.LOG.to_bytes()}),
        vector("snp-report-cut", "malformed", "sev-snp.decode.report", beside={"sev_snp.report": b"\x03"}),
        vector("td-quote-empty", "malformed", "tdx.decode.quote", beside={"tdx.quote": b""}),
        vector("td-log-empty", "malformed", "tdx.decode.eventlog",
               beside={"tdx.quote": INTEL.quote("tdx", report_data=vouched()), "tdx.eventlog": b""}),
    ]  # fmt: skip


def _undecided() -> list[Vector]:
    def lacking(name: str, prefix: str, arguments: dict[str, Any]) -> Vector:
        given = {k: {n: d for n, d in arguments.get(k, {}).items() if n != f"{prefix}.{name}"}
                 for k in ("more", "collateral")}  # fmt: skip
        check_id = f"{NAME}.endorsement.{prefix}.{name}"
        return vector(f"{prefix}-{name}-missing", "cannot-decide", check_id, **{**arguments, **given})

    vlek = {**with_snp(snp.VLEK), "more": {"sev_snp.ask": snp.VLEK.ask()}}
    leaf = with_tdx(INTEL.quote("tdx", report_data=vouched(), shape=Shape(certification=4)))
    return [
        vector("ak-certificate-missing", "cannot-decide", f"{NAME}.endorsement.ak_cert",
               endorsements={"ak_chain": base().ca.intermediate()}),
        *(lacking(name, "sev_snp", with_snp()) for name in ("vcek", "ask", "crl")),
        lacking("vlek", "sev_snp", vlek),
        *(lacking(name, "tdx", with_tdx()) for name in _collateral()),
        lacking("pck_chain", "tdx", leaf),
    ]  # fmt: skip


def _rejected() -> list[Vector]:
    public = base().tpm.ak.public_key()
    like = {"subject": base().subject(), "extensions": base().extensions()}
    other = base().quote_parts(NONCE, PCRS, clock=7)

    chain = vtpm.AkChain(quotes(), base().ca, gcp_ca(NOW, "stranger"), (INTEL.anchor(), snp.MILAN.anchor()))

    def used(name: str, *usage: int) -> Vector:
        certificate = base().ak_certificate(usage=usage)
        return vector(name, "rejected", f"{NAME}.ak-cert.usage", endorsements=along(ak_cert=certificate))

    return [
        *chain.vectors(public, NOW, **like),
        used("certificate-of-an-ek", USAGE_KEY_ENCIPHERMENT),
        used("certificate-for-both", USAGE_DIGITAL_SIGNATURE, USAGE_KEY_ENCIPHERMENT),
        used("certificate-that-certifies", USAGE_DIGITAL_SIGNATURE, USAGE_CERT_SIGN),
        vector("no-instance-identity", "rejected", f"{NAME}.ak-cert.instance",
               endorsements=along(ak_cert=base().ak_certificate(extensions=()))),
        vector("certificate-of-another-machine", "rejected", f"{NAME}.quote.signature", endorsements=ecc().endorsements()),
        vector("snp-report-not-by-the-chip", "rejected", "sev-snp.report.signature",
               **with_snp(report=snp.patched(snp.MILAN.report(report_data=vouched()), 0x90, b"\0"))),
        vector("td-quote-under-no-root", "rejected", "tdx.chain.root", **with_tdx(),
               anchors=(base().ca.anchor(), snp.MILAN.anchor())),
        vector("snp-report-without-the-list", "rejected", BindingId.USER_DATA, **with_snp(report_data=WITH_LIST.whole)),
        vector("snp-report-of-another-challenge", "rejected", BindingId.USER_DATA, **with_snp(report_data=NONCE[::-1] * 2)),
        vector("td-quote-without-the-list", "rejected", BindingId.USER_DATA, **with_tdx(report_data=WITH_LIST.whole)),
        vector("snp-report-beside-another-quote", "rejected", BindingId.USER_DATA, **{**with_snp(), "quote": other}),
        vector("log-left-out-under-the-report", "rejected", BindingId.USER_DATA,
               **{**with_snp(), "quote": vtpm.without_log(_parts())}),
    ]  # fmt: skip


def _unwanted_snp() -> list[Vector]:
    found = []
    for bare, amd, report in lifted(_SNP_RULES, lambda _: vouched()):
        values = tabled(bare.rule_values, _SNP_RULES, {"signing_key": {"kind": "VCEK"}})
        found.append(vector(f"snp-{bare.name}", "rejected", bare.check_id, **with_snp(amd, report), values=values))
    return found


def _unwanted_tdx() -> list[Vector]:
    found = []
    for bare, domain in tdx.lifted(_TDX_RULES):
        quote = domain.quote(vouched())
        told = with_tdx(quote, bare.collateral)
        beside = {"tdx.quote": quote, **{f"tdx.{n}": d for n, d in bare.parts.items() if n != "quote"}}
        values = tabled(bare.rule_values, _TDX_RULES, {})
        found.append(vector(f"tdx-{bare.name}", "rejected", bare.check_id, **{**told, "beside": beside}, values=values))
    return found


def _unwanted() -> list[Vector]:
    yes = True
    test = ForgedGcp(now=NOW, instance=replace(INSTANCE, is_production=False))

    def no(name: str, rule: str, value: Any, **fields: Any) -> Vector:
        return vector(name, "rejected", f"{NAME}.{rule}", values={f"{NAME}.{rule}": value}, **fields)

    return [
        no("cpu-report-left-out", "cpu", "sev-snp"),
        no("cpu-of-the-other-kind", "cpu", "tdx", **with_snp()),
        no("cpu-that-nobody-asked-for", "cpu", "none", **with_snp()),
        no("project-other", "project", ["another", "1"]),
        no("zone-other", "zone", ["forged-central1-b"]),
        no("instance-other", "instance", ["1"]),
        no("not-in-production", "production", yes, on=test),
        no("ak-not-listed", "ak", ["ab" * 32]),
        vector("snp-wanted-and-not-there", "rejected", "sev-snp.measurement",
               values={"sev-snp.measurement": {"measurement": "11" * 48}}),
        vector("tdx-wanted-and-not-there", "rejected", "tdx.mrtd", values={"tdx.mrtd": {"mrtd": ["11" * 48]}}),
    ]  # fmt: skip


@cache
def vectors() -> tuple[Vector, ...]:
    """Forge the vectors, once a process."""
    own = (*_accepted(), *_malformed(), *_undecided(), *_rejected())
    return (*own, *vtpm.rsa_vectors(quotes()), *_unwanted_snp(), *_unwanted_tdx(), *_unwanted())


def part_forms() -> Mapping[str, PartForm]:
    """Return what each part of the evidence is."""
    return {
        **vtpm.quote_parts_form(vectors()[0]),
        "sev_snp.report": PartForm("fixed", decode_id="sev-snp.decode.report"),
        "tdx.quote": PartForm("fixed", decode_id="tdx.decode.quote", trailing=(0,)),
        "tdx.eventlog": PartForm("log", decode_id="tdx.decode.eventlog"),
    }
