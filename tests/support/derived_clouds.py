"""Derived cases of Azure's and Google's confidential VMs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.support.derived_cases import Case, Derived, Recipe, base, invalid, published, valid
from tests.support.derived_snp import bounds, der_of
from tests.support.derived_vtpm import BINDING, GCP, SNP, TDX, quotes_of


def azure() -> Iterator[Derived]:
    """The paravisor's report around the CPU's."""
    for platform in (SNP, TDX):
        for case in published(platform):
            if "hcl_report.bin" in case.evidence:
                yield from _hcl(case)
            name = "hcl_report.bin" if "hcl_report.bin" in case.evidence else "runtime_data.bin"
            data = case.part(name)
            start = data.index(b'{"keys"')
            for what, offset in (
                ("first byte", start),
                ("key id", data.index(b"HCLAkPub")),
                ("modulus", data.index(b'"n":"') + 40),
            ):
                yield invalid(
                    case.copy().flip(name, offset),
                    f"runtime claims: {what} changed",
                    f"{platform}.runtime-claims.digest",
                )
            yield invalid(case.copy().drop(name), f"without {name}", f"{platform}.decode.hcl_report")
            for size in (0, 4, 19, 31, start + 1):
                yield invalid(
                    case.copy().put(name, data[:size]), f"{name} cut to {size}", f"{platform}.decode.hcl_report"
                )
    yield from _azure_mixed()


def _hcl(case: Case) -> Iterator[Derived]:
    platform, data = case.platform, case.part("hcl_report.bin")
    end = 1236 + int.from_bytes(data[1232:1236], "little")
    for what, written in (
        ("bare", data[:end]),
        ("2600 bytes", data[:end].ljust(2600, b"\0")),
        ("a zero", data[:end] + b"\0"),
        ("3000 bytes", data[:end].ljust(3000, b"\0")),
    ):
        yield valid(case.copy().put("hcl_report.bin", written), f"HCL report: {what}")
    for version in (1, 2):
        yield valid(
            case.copy().put("hcl_report.bin", data[:4] + version.to_bytes(4, "little") + data[8:]),
            f"HCL report of version {version}",
            same_claims=False,
        )
    changed = case.copy()
    if platform == SNP:
        changed.drop("hcl_report.bin")
        changed.evidence |= {"report.bin": data[32:1216], "runtime_data.bin": data[1216:end]}
        yield valid(changed, "SNP report and request data instead", same_claims=False)
    else:
        changed.rename("hcl_report.bin", "runtime_data.bin", data[1216:end])
        yield valid(changed, "request data instead", same_claims=False)
    yield invalid(
        case.copy().put("hcl_report.bin", b"HCLB" + data[4:]), "another magic", f"{platform}.decode.hcl_report"
    )
    changed = case.copy()
    changed.flip("hcl_report.bin", 32 + (0x90 if platform == SNP else 528))
    fits = ("sev-snp.report.signature",) if platform == SNP else (f"{TDX}.tdreport.hashes", f"{TDX}.tdreport.quote")
    yield invalid(changed, "measurement in the hardware report flipped", *fits)


def _azure_mixed() -> Iterator[Derived]:
    mine, other = base(SNP, "milan-v3-challenge-trustee"), base(SNP, "genoa-v3-trustee")
    changed = mine.copy()
    for name in ("tpm_quote.msg", "tpm_quote.sig", "pcrs.json"):
        changed.put(name, other.part(name))
    yield invalid(changed, "genuine quote of another VM", f"{SNP}.quote.signature", BINDING)
    changed = mine.copy()
    data, theirs = mine.part("hcl_report.bin"), other.part("hcl_report.bin")
    changed.put("hcl_report.bin", theirs[:32] + data[32:1216] + theirs[1216:])
    yield invalid(changed, "runtime claims of another VM", f"{SNP}.runtime-claims.digest")
    yield invalid(mine.copy().drop("vcek.pem", "vcek.der"), "no VCEK", "sev-snp.endorsement.vcek", same_claims=False)
    certified = base(TDX, "tdx-ak-certificate-cmc")
    for case in (mine, base(TDX, "tdx-outofdate-accepted-trustee")):
        changed = case.copy()
        changed.evidence["ak_cert.der"] = certified.part("ak_cert.der")
        changed.collateral["azure_vtpm_ca_03.pem"] = certified.part("azure_vtpm_ca_03.pem")
        first, _last = bounds(certified.part("ak_cert.der"))
        fits = (f"{case.platform}.ak-cert.key", f"{case.platform}.ak-cert.validity")
        yield invalid(changed, f"AK certificate of another VM (from {first})", *fits)
    changed = certified.copy()
    changed.drop("azure_vtpm_ca_03.pem")
    fits = (f"{TDX}.ak-cert.root", f"{TDX}.ak-cert.signature")
    yield invalid(changed, "intermediate missing", *fits, same_claims=True)
    yield from _azure_tdx(certified)


def _azure_tdx(certified: Case) -> Iterator[Derived]:
    accepted = base(TDX, "tdx-outofdate-accepted-trustee")
    yield invalid(
        accepted.copy().put("td_quote.bin", base(TDX, "tdx-hcl-and-quote-intel").part("td_quote.bin")),
        "TD quote of another VM",
        f"{TDX}.runtime-claims.digest",
        "tdx.tcb-info.fmspc",
        "tdx.tcb.status",
    )
    yield invalid(accepted.copy().drop("td_quote.bin"), "no TD quote", f"{TDX}.endorsement.td_quote")
    for name, need in (("tcb_info.json", "tcb_info"), ("pck.crl.der", "pck_crl"), ("root_ca.crl.der", "root_crl")):
        yield invalid(accepted.copy().drop(name), f"without {name}", f"tdx.endorsement.{need}")
    fitting: dict[str, dict[str, Any]] = {
        "statuses beside": {"accept_tcb_status": ["OutOfDate"]},
        "debug allowed too": {"tdx": {"accept_tcb_status": ["OutOfDate"], "allow_debug": True}},
    }
    for what, policy in fitting.items():
        changed = accepted.copy()
        changed.document["policy"] = policy
        yield valid(changed, what)
    others: dict[str, dict[str, Any]] = {
        "no policy": {},
        "an empty tdx policy": {"tdx": {}},
        "another status": {"tdx": {"accept_tcb_status": ["UpToDate"]}},
    }
    for what, policy in others.items():
        changed = accepted.copy()
        changed.document["policy"] = policy
        yield invalid(changed, what, "tdx.tcb.status", same_claims=True)
    changed = certified.copy()
    changed.flip("ak_cert.der", len(der_of(certified.part("ak_cert.der"))) - 1)
    if not any(certified.part("ak_cert.der")[-1:]):
        return
    yield invalid(changed, "AK certificate's signature flipped", f"{TDX}.ak-cert.signature")


def gcp() -> Iterator[Derived]:
    """AK certificates and event logs of Google's vTPMs."""
    for case in published(GCP):
        name = next(n for n in case.evidence if n.startswith("ak_cert."))
        first, last = bounds(case.part(name))
        for moment in (first - 1, last + 1):
            yield invalid(case.copy().at(moment), f"at {moment}", f"{GCP}.ak-cert.validity", same_claims=True)
        changed = case.copy()
        changed.drop(name)
        yield invalid(changed, "no AK certificate", f"{GCP}.endorsement.ak_cert")
        changed.policy["nonce"] = "00"
        yield invalid(changed, "no AK certificate, and another nonce", BINDING)
        changed.drop("ak_pub.pem")
        yield invalid(changed, "no AK at all", f"{GCP}.endorsement.ak_cert")
        between = next(n for n in case.collateral if "intermediate" in n)
        changed = case.copy()
        changed.drop(between)
        fits = (f"{GCP}.ak-cert.root", f"{GCP}.ak-cert.signature")
        yield invalid(changed, "no intermediate", *fits, same_claims=True)
        other = base(GCP, "gce-ecc-ak-amd" if case.name != "gce-ecc-ak-amd" else "gce-cos85-three-banks")
        changed = case.copy()
        changed.drop(name)
        theirs = next(n for n in other.evidence if n.startswith("ak_cert."))
        changed.evidence["ak_cert.der"] = der_of(other.part(theirs))
        changed.collateral |= other.collateral
        wrong = (f"{GCP}.ak-cert.ak-pub", f"{GCP}.quote.signature", f"{GCP}.quote.scheme", f"{GCP}.ak-cert.validity")
        yield invalid(changed, "AK certificate of another VM", *wrong)
        yield invalid(
            case.copy().put("ak_pub.pem", other.part("ak_pub.pem")),
            "AK of another VM beside",
            f"{GCP}.ak-cert.ak-pub",
            same_claims=True,
        )
        changed = case.copy()
        changed.drop(*(n for pair in quotes_of(case) for n in pair))
        yield invalid(changed, "no quote", BINDING)
        changed.document["policy"] = {}
        yield invalid(changed, "no quote, no policy", f"{GCP}.decode.quote")


def gcp_logs() -> Iterator[Derived]:
    """Event log and quotes of three banks."""
    case = base(GCP, "gce-cos85-three-banks")
    data = case.part("eventlog.bin")
    for size in (0, 10, 40, len(data) // 2):
        changed = case.copy()
        changed.put("eventlog.bin", data[:size])
        fits = (f"{GCP}.decode.eventlog", f"{GCP}.eventlog.replay")
        yield invalid(changed, f"log cut to {size}", *fits, kept=("quotes", "ak_type", "instance"))
    yield invalid(
        case.copy().put("eventlog.bin", base("tcg-eventlog", "cos101-gce-sev").part("eventlog.bin")),
        "log of another boot",
        f"{GCP}.eventlog.replay",
    )
    for what, tail in (("FF", b"\xff" * 4096), ("zeros", bytes(4096)), ("64 KiB of FF", b"\xff" * (65536 - len(data)))):
        yield valid(
            case.copy().put("eventlog.bin", data.rstrip(b"\xff") + tail), f"log padded with {what}", same_claims=False
        )
    yield valid(case.copy().drop("eventlog.bin"), "without a log", same_claims=False)
    for bank in ("sha1", "sha384"):
        yield valid(
            case.copy().drop(f"quote_{bank}.msg", f"quote_{bank}.sig.tpmt"),
            f"without the {bank} quote",
            same_claims=False,
        )
    changed = case.copy()
    changed.rename("quote_sha256.msg", "quote_swapped.msg")
    changed.rename("quote_sha256.sig.tpmt", "quote_sha256.sig.tpmt", case.part("quote_sha384.sig.tpmt"))
    changed.rename("quote_swapped.msg", "quote_sha256.msg")
    yield invalid(changed, "signature of the other bank's quote", f"{GCP}.quote.signature")


RECIPES: tuple[Recipe, ...] = (azure, gcp, gcp_logs)
