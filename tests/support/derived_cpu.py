"""Derived cases of what a CPU signs: SEV-SNP reports, TDX and SGX quotes."""

from __future__ import annotations

import base64
import datetime as dt
import json
import struct
from collections.abc import Iterator
from typing import Any

from tests.support.derived_cases import (
    Case,
    Derived,
    Recipe,
    base,
    invalid,
    pem,
    pem_forms,
    published,
    upside_down,
    valid,
)
from verifier.core.x509 import parse_certificate, parse_crl, pem_blocks

SNP = "sev-snp"
MILAN, GENOA, TURIN, VLEK = (
    "milan-v3-vcek-oak-containers",
    "genoa-v3-vcek-veraison",
    "turin-v5-vcek-azure-aci",
    "milan-v3-vlek-aws",
)
SNP_SIGNATURE = "sev-snp.report.signature"
OUT_OF_DATE = ("UpToDate", "SWHardeningNeeded", "OutOfDate")


def der_of(data: bytes) -> bytes:
    """Return the DER of a certificate or CRL that comes either way."""
    for label in ("CERTIFICATE", "X509 CRL"):
        if blocks := pem_blocks(data, label):
            return blocks[0]
    return data


def bounds(data: bytes) -> tuple[int, int]:
    """Return a certificate's validity in Unix seconds."""
    read = parse_certificate(der_of(data), "test")
    return read.not_before, read.not_after


def crl_bounds(data: bytes) -> tuple[int, int]:
    """Return a CRL's thisUpdate and nextUpdate in Unix seconds."""
    read = parse_crl(der_of(data), "test")
    return read.this_update, read.next_update


def _vek(case: Case) -> str:
    return next(name for name in case.collateral if name.startswith(("vcek.", "vlek.")))


def snp_forms() -> Iterator[Derived]:
    """Forms of files and policies that change nothing, over every valid case."""
    for case in published(SNP):
        vek = _vek(case)
        stem, as_pem = vek.partition(".")[0], pem(der_of(case.part(vek)))
        for suffix, data in (("der", der_of(case.part(vek))), ("pem", as_pem), ("crt", as_pem), ("cer", as_pem)):
            changed = base(SNP, case.name)
            changed.rename(vek, f"{stem}.{suffix}", data)
            yield valid(changed, f"{stem} as .{suffix}")
        for name in ("ask.pem", "ark.pem", "crl.pem"):
            if name not in case.collateral:
                continue
            changed = base(SNP, case.name)
            changed.rename(name, name.replace(".pem", ".der"), der_of(case.part(name)))
            yield valid(changed, f"{name} as DER")
            for what, data in pem_forms(case.part(name)):
                changed = base(SNP, case.name)
                changed.put(name, data)
                yield valid(changed, f"{name}: {what}")
        changed = base(SNP, case.name)
        changed.drop("ark.pem")
        changed.evidence["README.txt"] = b"nothing of this is read"
        changed.document["policy"] = {}
        changed.document["unheard_of"] = True
        yield valid(changed, "no ARK, a file besides, no policy")
        changed = base(SNP, case.name)
        for name in (vek, "ask.pem"):
            changed.evidence[name] = changed.collateral.pop(name)
        yield valid(changed, "certificates come with the evidence")
        changed = base(SNP, case.name)
        changed.drop("crl.pem")
        yield valid(changed, "without a CRL")
        changed.document["crl_required"] = True
        yield invalid(changed, "without the CRL that it requires", "sev-snp.endorsement.crl")
        yield from snp_policies(case)


def snp_policies(case: Case) -> Iterator[Derived]:
    """Every key of the README with a value that fits and with one that does not."""
    claims = case.document["claims"]
    committed = [int(part) for part in claims["committed_version"].split(".")]
    higher = f"{committed[0]}.{committed[1]}.{committed[2] + 1}"
    for policy in (
        {"measurement": claims["measurement"]},
        {"measurement": claims["measurement"].upper(), "report_data": claims["report_data"].upper()},
        {"report_data": claims["report_data"], "allow_debug": True},
        {"min_committed_version": claims["committed_version"]},
        {"min_committed_version": f"{committed[0]}.{committed[1]}"},
        {"min_committed_version": "0.0.0"},
    ):
        changed = base(SNP, case.name)
        changed.document["policy"] = policy
        yield valid(changed, f"policy {sorted(policy)}")
    other = ("00" if claims["measurement"][:2] != "00" else "01") + claims["measurement"][2:]
    for policy, check_id in (
        ({"measurement": other}, "sev-snp.measurement"),
        ({"report_data": "ab" * 64}, "binding.user-data"),
        ({"min_committed_version": higher}, "sev-snp.firmware-version"),
        ({"min_committed_version": "99.0"}, "sev-snp.firmware-version"),
    ):
        changed = base(SNP, case.name)
        changed.document["policy"] = policy
        yield invalid(changed, f"policy {sorted(policy)} that does not fit", check_id, same_claims=True)


def snp_faults() -> Iterator[Derived]:
    """Faults of section 13 that the published cases do not have, and cuts."""
    for case in published(SNP):
        vek = _vek(case)
        for offset in (0x10, 0x50, 0x90, 0xC0, 0xE0, 0x110, 0x140, 0x29F - 160, 0x2A0, 0x2E8):
            changed = base(SNP, case.name)
            changed.flip("report.bin", offset, 0x40)
            wanted = (SNP_SIGNATURE, "sev-snp.decode.report") if 0x1F8 <= offset < 0x2A0 else (SNP_SIGNATURE,)
            yield invalid(changed, f"bit of byte {offset:#x} flipped", *wanted)
        for size in (0, 1, 4, 0x2A0, 1183):
            changed = base(SNP, case.name)
            changed.put("report.bin", case.part("report.bin")[:size])
            yield invalid(changed, f"cut to {size} bytes", "sev-snp.decode.report")
        changed = base(SNP, case.name)
        changed.put("report.bin", case.part("report.bin") + bytes(16))
        yield invalid(changed, "16 bytes longer", "sev-snp.decode.report")
        kind = vek.partition(".")[0]
        for name, check_id in ((vek, f"sev-snp.endorsement.{kind}"), ("ask.pem", "sev-snp.endorsement.ask")):
            changed = base(SNP, case.name)
            changed.drop(name)
            yield invalid(changed, f"without {name}", check_id)
            changed = base(SNP, case.name)
            changed.put(name, case.part(name)[: len(case.part(name)) // 2])
            yield invalid(changed, f"{name} cut in half", check_id)
        yield from snp_times(case, vek)
        if "crl.pem" in case.collateral:
            changed = base(SNP, case.name)
            crl = bytearray(der_of(case.part("crl.pem")))
            crl[-1] ^= 1
            changed.put("crl.pem", pem(bytes(crl), "X509 CRL"))
            yield invalid(changed, "CRL's signature flipped", "sev-snp.endorsement.crl")
    yield from snp_mixed()


def snp_times(case: Case, vek: str) -> Iterator[Derived]:
    """One second before and after each validity."""
    begin, end = bounds(case.part(vek))
    fits = ("sev-snp.chain.validity",)
    for moment, what in ((begin - 1, "before the key's certificate"), (end + 1, "after the key's certificate")):
        changed = base(SNP, case.name)
        changed.at(moment)
        yield invalid(changed, what, *fits, same_claims=True)
    if "crl.pem" not in case.collateral:
        return
    this_update, next_update = crl_bounds(case.part("crl.pem"))
    for moment, what in ((this_update - 1, "before the CRL"), (next_update + 1, "after the CRL")):
        if begin <= moment <= end:
            changed = base(SNP, case.name)
            changed.at(moment)
            yield invalid(changed, what, "sev-snp.endorsement.crl", same_claims=True)
            changed = base(SNP, case.name)
            changed.at(moment)
            changed.drop("crl.pem")
            yield valid(changed, f"{what}, without it")
    for moment, what in ((this_update, "CRL's first second"), (next_update, "CRL's last second")):
        if begin <= moment <= end:
            changed = base(SNP, case.name)
            changed.at(moment)
            yield valid(changed, what)


def snp_mixed() -> Iterator[Derived]:
    """Genuine parts that do not belong together."""
    for name, other in ((MILAN, GENOA), (GENOA, MILAN), (TURIN, GENOA), (VLEK, GENOA)):
        case = base(SNP, name)
        case.put("ask.pem", base(SNP, other).part("ask.pem"))
        yield invalid(case, f"ask.pem of {other}", "sev-snp.chain.signature", "sev-snp.chain.root")
        case, source = base(SNP, name), base(SNP, other)
        case.put("crl.pem", source.part("crl.pem"))
        case.document["crl_required"] = True
        yield invalid(case, f"CRL of {other}, required", "sev-snp.endorsement.crl", "sev-snp.chain.validity")
    case = base(SNP, VLEK)
    case.put("ask.pem", base(SNP, MILAN).part("ask.pem"))
    yield invalid(case, "VLEK with the VCEK's CA", "sev-snp.chain.signature")
    case = base(SNP, MILAN)
    case.put("ask.pem", base(SNP, VLEK).part("ask.pem"))
    yield invalid(case, "VCEK with the VLEK's CA", "sev-snp.chain.signature")
    case = base(SNP, MILAN)
    case.put("vcek.der", base(SNP, VLEK).part("vlek.der"))
    case.put("ask.pem", base(SNP, VLEK).part("ask.pem"))
    yield invalid(case, "a VLEK where the VCEK should be", "sev-snp.signing-key")
    for name in (MILAN, GENOA, TURIN):
        case = base(SNP, name)
        donor = next(c for c in published(SNP) if c.name != name and _vek(c).startswith("vcek"))
        case.drop(_vek(case))
        case.collateral["vcek.der"] = der_of(donor.part(_vek(donor)))
        for part in ("ask.pem", "ark.pem"):
            case.put(part, donor.part(part))
        fits = (SNP_SIGNATURE, "sev-snp.chain.validity", "sev-snp.endorsement.crl")
        yield invalid(case, f"VCEK and chain of {donor.name}", *fits)
    case = base(SNP, "milan-v2-debug-policy-google")
    case.policy["allow_debug"] = True
    yield valid(case, "debug allowed")
    case = base(SNP, "milan-v2-debug-policy-google")
    case.document["policy"] = {}
    yield invalid(case, "debug, no policy", "sev-snp.policy.debug", same_claims=True)


def _statuses(case: Case) -> str | None:
    found: str | None = case.document["claims"].get("tcb_status")
    return found


def quote_forms() -> Iterator[Derived]:
    """Forms of quotes and collateral that change nothing."""
    for platform in ("tdx", "sgx"):
        for case in published(platform):
            yield from _quote_bytes(case)
            yield from _collateral_forms(case)
            yield from _quote_policies(case)


def _bare(quote: bytes) -> bytes:
    if quote[:4] == b"\x01\0\0\0":
        return quote[16 : 16 + int.from_bytes(quote[8:16], "little")]
    return quote


def _length(quote: bytes) -> int:
    """Return how long the quote is without padding."""
    version = int.from_bytes(quote[:2], "little")
    is_tdx = quote[4:8] == b"\x81\0\0\0"
    body = 54 + int.from_bytes(quote[50:54], "little") if version == 5 else 48 + (584 if is_tdx else 384)
    return body + 4 + int.from_bytes(quote[body : body + 4], "little")


def _quote_bytes(case: Case) -> Iterator[Derived]:
    platform, quote = case.platform, _bare(case.part("quote.bin"))
    exact = quote[: _length(quote)]
    for what, data in (
        ("exact", exact),
        ("one zero", exact + b"\0"),
        ("8000 bytes", exact.ljust(8000, b"\0")),
        ("Open Enclave header", struct.pack("<IIQ", 1, 2, len(exact)) + exact),
        ("Open Enclave header and zeros", struct.pack("<IIQ", 1, 2, len(exact)) + exact + bytes(32)),
        ("hex text", exact.hex().encode() + b"\n"),
        ("upper-case hex text", exact.hex().upper().encode()),
        ("base64 text", base64.encodebytes(exact)),
    ):
        changed = base(platform, case.name)
        changed.put("quote.bin", data)
        # How many zeros stand behind it is a claim of its own.
        yield valid(changed, what, same_claims=False)
    changed = base(platform, case.name)
    changed.put("quote.bin", exact + b"\0\0\1")
    yield invalid(changed, "bytes behind it that are not zero", f"{platform}.decode.quote")


def _collateral_forms(case: Case) -> Iterator[Derived]:
    platform = case.platform
    for name in ("root_ca.crl.der", "pck.crl.der"):
        if name not in case.collateral:
            continue
        der = case.part(name)
        stem = name.removesuffix(".der")
        for what, new, data in (
            ("PEM", f"{stem}.pem", pem(der, "X509 CRL")),
            ("hex", f"{stem}.hex", der.hex().encode()),
            ("hex under its old name", name, der.hex().upper().encode() + b"\n"),
            ("base64", f"{stem}.b64", base64.b64encode(der)),
            ("base64 in lines", f"{stem}.txt", base64.encodebytes(der)),
            ("PEM under its old name", name, pem(der, "X509 CRL", b"\r\n")),
        ):
            changed = base(platform, case.name)
            changed.rename(name, new, data)
            yield valid(changed, f"{stem} as {what}")
    for name in ("tcb_signing_chain.pem", "qe_identity_signing_chain.pem", "pck_crl_issuer_chain.pem"):
        changed = base(platform, case.name)
        changed.put(name, upside_down(case.part(name)))
        yield valid(changed, f"{name}: root first")
        for what, data in pem_forms(case.part(name)):
            changed = base(platform, case.name)
            changed.put(name, data)
            yield valid(changed, f"{name}: {what}")
    for name, inner in (("tcb_info.json", "tcbInfo"), ("qe_identity.json", "enclaveIdentity")):
        text = case.part(name).decode()
        start = text.index("{", text.index(f'"{inner}"'))
        _value, end = json.JSONDecoder().raw_decode(text, start)
        signed, signature = text[start:end], json.loads(text)["signature"]
        for what, written in (
            ("space around the inner object", f'\n{{\n  "{inner}" : {signed} ,\n  "signature" : "{signature}"\n}}\n'),
            ("signature first, upper case", f'{{"signature":"{signature.upper()}","{inner}":{signed}}}'),
        ):
            changed = base(platform, case.name)
            changed.put(name, written.encode())
            yield valid(changed, f"{name}: {what}")
    changed = base(platform, case.name)
    changed.drop("intel_sgx_root_ca.pem", "pck_crl_issuer_chain.pem")
    changed.evidence["quote.json"] = b"{}"
    yield valid(changed, "without root and CRL issuer chain, with a file besides")


def _quote_policies(case: Case) -> Iterator[Derived]:
    platform, status = case.platform, _statuses(case)
    changed = base(platform, case.name)
    changed.document["policy"] = {"accept_tcb_status": [status], "allow_debug": True}
    yield valid(changed, "exactly its own status")
    changed = base(platform, case.name)
    changed.document["policy"] = {"accept_tcb_status": ["Revoked", status, "TDRelaunchAdvised"]}
    yield valid(changed, "its own status among others")
    changed = base(platform, case.name)
    changed.document["policy"] = {"accept_tcb_status": [s for s in ("UpToDate", "SWHardeningNeeded") if s != status]}
    yield invalid(changed, "any status but its own", f"{platform}.tcb.status", same_claims=True)
    changed = base(platform, case.name)
    changed.document["policy"] = {"accept_tcb_status": []}
    yield invalid(changed, "no status", f"{platform}.tcb.status", same_claims=True)
    changed = base(platform, case.name)
    changed.document["policy"] = {}
    if status in ("UpToDate", "SWHardeningNeeded"):
        yield valid(changed, "no policy")
    else:
        yield invalid(changed, "no policy", f"{platform}.tcb.status", same_claims=True)


DOCUMENTS = {
    "tcb_info.json": "tcb_info",
    "qe_identity.json": "qe_identity",
    "tcb_signing_chain.pem": "tcb_info_chain",
    "qe_identity_signing_chain.pem": "qe_identity_chain",
}


def quote_faults() -> Iterator[Derived]:
    """Faults of quote, collateral, time."""
    for platform in ("tdx", "sgx"):
        for case in published(platform):
            yield from _quote_flips(case)
            yield from _collateral_faults(case)
            yield from _quote_times(case)
    yield from _other_statuses()
    yield from _mixed_quotes()


def _quote_flips(case: Case) -> Iterator[Derived]:
    platform, quote = case.platform, _bare(case.part("quote.bin"))
    size = _length(quote)
    version, is_tdx = int.from_bytes(quote[:2], "little"), quote[4:8] == b"\x81\0\0\0"
    body = 54 + int.from_bytes(quote[50:54], "little") if version == 5 else 48 + (584 if is_tdx else 384)
    signature = body + 4
    qe = signature + 128 + (6 if version > 3 else 0)
    begun = 54 if version == 5 else 48
    places = [
        (begun + (136 if is_tdx else 64), ("quote.signature",), "MRTD or MRENCLAVE"),
        (begun + (520 if is_tdx else 320), ("quote.signature",), "REPORTDATA"),
        (signature, ("quote.signature",), "the signature"),
        (signature + 63, ("quote.signature",), "the signature's end"),
        (signature + 64, ("qe.binding",), "the attestation key"),
        (qe + 320, ("qe.signature",), "the QE report's data"),
        (qe + 64, ("qe.signature",), "the QE report's MRENCLAVE"),
        (qe + 384, ("qe.signature",), "the QE report's signature"),
        (qe + 384 + 64 + 2, ("qe.binding",), "the QE's auth data"),
    ]
    for offset, nouns, what in places:
        changed = base(platform, case.name)
        data = bytearray(quote)
        data[offset] ^= 0x04
        changed.put("quote.bin", bytes(data))
        yield invalid(changed, f"{what} flipped", *(f"{platform}.{noun}" for noun in nouns))
    for cut in (0, 1, 47, 48, body, body + 3, signature + 10, qe + 1, qe + 447, qe + 460, size - 1):
        changed = base(platform, case.name)
        changed.put("quote.bin", quote[:cut])
        yield invalid(changed, f"cut to {cut} bytes", f"{platform}.decode.quote")
    changed = base(platform, case.name)
    changed.put("quote.bin", quote[: body + 100])
    yield invalid(changed, "cut within its signature", f"{platform}.decode.quote")


def _collateral_faults(case: Case) -> Iterator[Derived]:
    platform = case.platform
    for name, need in DOCUMENTS.items():
        changed = base(platform, case.name)
        changed.drop(name)
        yield invalid(changed, f"without {name}", f"{platform}.endorsement.{need}")
        changed = base(platform, case.name)
        changed.put(name, case.part(name)[: len(case.part(name)) // 3])
        yield invalid(changed, f"{name} cut", f"{platform}.endorsement.{need}")
    for name, noun in (("tcb_info.json", "tcb-info"), ("qe_identity.json", "qe-identity")):
        text = case.part(name)
        changed = base(platform, case.name)
        changed.put(name, text.replace(b'"issueDate":"20', b'"issueDate":"19', 1))
        if changed.part(name) != text:
            yield invalid(changed, f"{name}: issueDate changed", f"{platform}.{noun}.signature")
        changed = base(platform, case.name)
        written = json.dumps(json.loads(text), indent=1).encode()
        changed.put(name, written)
        yield invalid(changed, f"{name} written anew", f"{platform}.{noun}.signature")
        read: dict[str, Any] = json.loads(text)
        signature = read["signature"]
        changed = base(platform, case.name)
        other = ("0" if signature[0] != "0" else "1") + signature[1:]
        changed.put(name, text.replace(signature.encode(), other.encode()))
        yield invalid(changed, f"{name}: signature flipped", f"{platform}.{noun}.signature")
    for name, need in (("root_ca.crl.der", "root_crl"), ("pck.crl.der", "pck_crl")):
        if name not in case.collateral:
            continue
        changed = base(platform, case.name)
        changed.drop(name)
        changed.document["crl_required"] = True
        yield invalid(changed, f"without {name}, required", f"{platform}.endorsement.{need}", same_claims=False)
        changed = base(platform, case.name)
        changed.drop(name)
        changed.document["crl_required"] = False
        yield valid(changed, f"without {name}, not required")
        changed = base(platform, case.name)
        changed.flip(name, -1)
        changed.document["crl_required"] = False
        yield invalid(changed, f"{name}'s signature flipped", f"{platform}.endorsement.{need}")
    changed = base(platform, case.name)
    changed.drop("root_ca.crl.der", "pck.crl.der")
    changed.document["crl_required"] = False
    yield valid(changed, "without any CRL, none required")


def _seconds(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).timestamp())


def _quote_times(case: Case) -> Iterator[Derived]:
    platform = case.platform
    info = json.loads(case.part("tcb_info.json"))["tcbInfo"]
    identity = json.loads(case.part("qe_identity.json"))["enclaveIdentity"]
    dates = [(info, "tcb-info"), (identity, "qe-identity")]
    fits = {
        f"{platform}.{noun}.{word}" for _, noun in dates for word in ("expired", "not-yet-issued", "signer-validity")
    }
    fits |= {f"{platform}.endorsement.{name}" for name in ("pck_crl", "root_crl")}
    fits.add(f"{platform}.chain.validity")
    first = max(_seconds(one["issueDate"]) for one, _ in dates)
    last = min(_seconds(one["nextUpdate"]) for one, _ in dates)
    for moment, what in (
        (first - 1, "before the newer document's issueDate"),
        (last + 1, "after the older document's nextUpdate"),
        (last + 400 * 86400, "a year after the documents"),
        (1500000000, "before all of it"),
        (4000000000, "long after all of it"),
    ):
        changed = base(platform, case.name)
        changed.at(moment)
        yield invalid(changed, what, *fits)
    for one in ("root_ca.crl.der", "pck.crl.der"):
        if one not in case.collateral:
            continue
        begin, end = crl_bounds(case.part(one))
        for moment in (begin - 1, end + 1):
            if first <= moment <= last:
                changed = base(platform, case.name)
                changed.at(moment)
                yield invalid(changed, f"{one} at {moment}", *fits)


def _other_statuses() -> Iterator[Derived]:
    for platform in ("tdx", "sgx"):
        for case in published(platform, only_valid=False):
            reason = case.document["reason"]
            if reason.startswith("TCB status "):
                status = reason.split()[2]
                changed = base(platform, case.name)
                changed.policy["accept_tcb_status"] = [status]
                yield valid(changed, f"accepting {status}")
            if reason.startswith("debug on"):
                changed = base(platform, case.name)
                changed.policy["allow_debug"] = True
                yield valid(changed, "debug allowed")
                changed = base(platform, case.name)
                changed.policy.pop("allow_debug", None)
                yield invalid(changed, "debug, allow_debug left out", f"{platform}.debug", same_claims=True)


def _mixed_quotes() -> Iterator[Derived]:
    phala, other = "v4-uptodate-phala", base("tdx", "v4-uptodate-gcp-cos113")
    sgx = base("sgx", "configuration-and-swhardening-accepted")
    case = base("tdx", phala)
    case.put("qe_identity.json", sgx.part("qe_identity.json"))
    yield invalid(case, "QE identity of SGX", "tdx.qe-identity.id")
    case = base("tdx", phala)
    case.put("tcb_info.json", sgx.part("tcb_info.json"))
    yield invalid(case, "TCB info of SGX", "tdx.tcb-info.id", "tdx.tcb-info.fmspc")
    case = base("sgx", sgx.name)
    case.put("tcb_info.json", base("tdx", phala).part("tcb_info.json"))
    yield invalid(case, "TCB info of TDX", "sgx.tcb-info.id", "sgx.tcb-info.fmspc")
    case = base("sgx", sgx.name)
    case.put("qe_identity.json", base("tdx", phala).part("qe_identity.json"))
    yield invalid(case, "QE identity of TDX", "sgx.qe-identity.id")
    case = base("tdx", phala)
    case.put("quote.bin", other.part("quote.bin"))
    ids = ("tdx.tcb-info.fmspc", "tdx.endorsement.pck_crl")
    yield invalid(case, "quote of another platform", *ids)
    for platform, mine, theirs in (("tdx", phala, sgx), ("sgx", sgx.name, base("tdx", phala))):
        case = base(platform, mine)
        case.put("quote.bin", theirs.part("quote.bin"))
        yield invalid(case, "quote of the other TEE", f"{platform}.decode.quote")
    for name in ("tcb_signing_chain.pem", "qe_identity_signing_chain.pem"):
        case = base("tdx", phala)
        case.put(name, case.part("pck_crl_issuer_chain.pem"))
        noun = "tcb-info" if name.startswith("tcb") else "qe-identity"
        yield invalid(case, f"{name} is the CRL's issuer chain", f"tdx.{noun}.chain")
    # A type-3 quote whose PCK chain is nowhere.
    case = base("sgx", "encrypted-ppid-no-pck")
    for name, data in sgx.collateral.items():
        case.collateral[name] = data
    case.document["verify_at"] = sgx.document["verify_at"]
    yield invalid(case, "with somebody's collateral", "sgx.endorsement.pck_chain", same_claims=True)


RECIPES: tuple[Recipe, ...] = (snp_forms, snp_faults, quote_forms, quote_faults)
