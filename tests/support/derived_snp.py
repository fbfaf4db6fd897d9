"""Derived cases of SEV-SNP reports."""

from __future__ import annotations

from collections.abc import Iterator

from tests.support.derived_cases import Case, Derived, Recipe, base, invalid, pem, pem_forms, published, valid
from verifier.formats.pem import pem_blocks
from verifier.formats.x509 import parse_certificate, parse_crl

SNP = "sev-snp"
MILAN, GENOA, TURIN, VLEK = (
    "milan-v3-vcek-oak-containers",
    "genoa-v3-vcek-veraison",
    "turin-v5-vcek-azure-aci",
    "milan-v3-vlek-aws",
)
SNP_SIGNATURE = "sev-snp.report.signature"


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
        chain = case.part("ask.pem") + case.part("ark.pem")
        for name in ("ask.pem", "ark.pem"):
            changed.put(name, chain)
        changed.rename(vek, f"{stem}.pem", as_pem + chain)
        yield valid(changed, "whole chains in each file")
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


RECIPES: tuple[Recipe, ...] = (snp_forms, snp_faults)
