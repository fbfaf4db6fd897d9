"""Derived cases with a TPM's quote: what all of them share, and other TPMs than the clouds'."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from tests.support.derived_cases import Case, Derived, Recipe, base, invalid, pem, pem_forms, published, valid
from tests.support.derived_devices import nonce_policies, pcr_forms, tpmt_of
from tests.support.derived_snp import bounds, der_of

SNP, TDX, GCP, TPM2 = "azure-snp-vtpm", "azure-tdx-vtpm", "gcp-vtpm", "tpm2"
BINDING = "binding.user-data"
PLATFORMS = (SNP, TDX, GCP, TPM2)


def quotes_of(case: Case) -> list[tuple[str, str]]:
    """Return (quote, signature) file names."""
    found = []
    for name in case.evidence:
        if name.endswith(".msg"):
            stem = name.removesuffix(".msg")
            found.append((name, next(n for n in case.evidence if n.startswith(f"{stem}.sig"))))
    return found


def _signature_forms(signature: bytes) -> Iterator[tuple[str, str, bytes]]:
    """Yield suffix and bytes of the same signature in its other forms."""
    if signature[:2] == b"\0\x14":
        yield "bare RSA", ".sig", signature[6:]
        yield "TPMT_SIGNATURE as .sig", ".sig", signature
        yield "TPMT_SIGNATURE", ".sig.tpmt", signature
    elif len(signature) == 256:
        yield "TPMT_SIGNATURE of RSASSA", ".sig.tpmt", b"\0\x14\0\x0b\1\0" + signature
        yield "TPMT_SIGNATURE as .sig", ".sig", b"\0\x14\0\x0b\1\0" + signature
    elif signature[:1] == b"\x30":
        yield "TPMT_SIGNATURE of ECDSA", ".sig.tpmt", tpmt_of(signature)
        yield "DER as .sig", ".sig", signature


def forms() -> Iterator[Derived]:
    """Forms of quotes, values, keys and certificates."""
    for platform in PLATFORMS:
        for case in published(platform):
            for quote, signature in quotes_of(case):
                for what, suffix, data in _signature_forms(case.part(signature)):
                    changed = case.copy()
                    changed.rename(signature, quote.removesuffix(".msg") + suffix, data)
                    # A case's files are in its order, and so are the claims.
                    yield valid(changed, f"{quote}: {what}")
            yield from _value_forms(case)
            yield from _certificate_forms(case)
            yield from _nonces(case)
            changed = case.copy()
            changed.evidence["notes.md"] = b"nothing"
            changed.evidence["secrets.json"] = b"{"
            changed.collateral["unrelated.crl"] = b"nothing"
            yield valid(changed, "with files besides")


def _value_forms(case: Case) -> Iterator[Derived]:
    if "pcrs.json" not in case.evidence:
        return
    banks: dict[str, dict[str, str]] = json.loads(case.part("pcrs.json"))
    for what, written in pcr_forms(banks):
        yield valid(case.copy().put("pcrs.json", written), f"pcrs.json: {what}")
    for what, other in (
        ("a bank besides", {"sha512": {"0": "00" * 64}}),
        ("an unknown bank besides", {"sha3_999": {"0": "00"}}),
        ("a short bank besides", {"sm3_256": {"0": "00" * 32}}),
    ):
        yield valid(case.copy().put("pcrs.json", json.dumps({**banks, **other}).encode()), f"pcrs.json: {what}")
    yield valid(case.copy().drop("pcrs.json"), "without pcrs.json")


def _certificate_forms(case: Case) -> Iterator[Derived]:
    for name in [n for n in (*case.evidence, *case.collateral) if n.startswith("ak_cert.")]:
        der = der_of(case.part(name))
        for what, new, data in (
            ("DER", "ak_cert.der", der),
            ("PEM", "ak_cert.pem", pem(der)),
            ("DER with padding", "ak_cert.der", der + bytes(512)),
            *((f"PEM, {what}", "ak_cert.pem", text) for what, text in pem_forms(pem(der))),
        ):
            yield valid(case.copy().rename(name, new, data), f"AK certificate as {what}")
        changed = case.copy()
        changed.collateral[name] = changed.evidence.pop(name)
        yield valid(changed, "AK certificate as collateral")
        changed = case.copy()
        between = [n for n in case.collateral if "root" not in n and n.startswith(("gce_", "gcp_", "azure_"))]
        chain = b"".join(pem(der_of(case.part(n))) for n in (name, *between))
        changed.drop(*between)
        changed.rename(name, "ak_cert.pem", chain)
        yield valid(changed, "AK certificate with its chain in one file")
    for name in [n for n in case.collateral if "root" not in n and n.startswith(("gce_", "gcp_", "azure_"))]:
        der, stem = der_of(case.part(name)), name.rpartition(".")[0]
        for what, new, data in (
            ("DER", f"{stem}.der", der),
            ("PEM", f"{stem}.pem", pem(der)),
            ("PEM, CRLF", f"{stem}.pem", pem(der, end=b"\r\n")),
            ("another name", "ak_intermediate.pem", pem(der)),
        ):
            yield valid(case.copy().rename(name, new, data), f"intermediate as {what}")
        changed = case.copy()
        changed.evidence[name] = changed.collateral.pop(name)
        yield valid(changed, "intermediate in the evidence")
    if "ak_pub.pem" in case.evidence:
        for what, data in pem_forms(case.part("ak_pub.pem")):
            yield valid(case.copy().put("ak_pub.pem", data), f"AK: {what}")
        if case.platform == GCP or "ak_cert.pem" in case.evidence:
            yield valid(case.copy().drop("ak_pub.pem"), "without ak_pub.pem")
    if case.platform == GCP:
        yield valid(case.copy().drop("gce_tpm_ek_root_1.der", "gcp_ek_ak_ca_root.pem"), "without its root")
        changed = case.copy()
        changed.collateral = dict(reversed(case.collateral.items()))
        donor = base(GCP, "gce-ecc-ak-amd" if case.name != "gce-ecc-ak-amd" else "gce-cos85-three-banks")
        changed.collateral |= donor.collateral
        yield valid(changed, "with the other hierarchy's certificates")


def _nonces(case: Case) -> Iterator[Derived]:
    claims = case.document["claims"]
    quotes = claims.get("quotes") or ([claims["tpm"]] if "tpm" in claims else [])
    if quotes:
        yield from nonce_policies(case, quotes[0]["extra_data"])
    else:
        changed = case.copy()
        changed.policy["nonce"] = "00"
        yield invalid(changed, "a nonce and no quote", BINDING, same_claims=True)
    changed = case.copy()
    changed.policy.pop("nonce", None)
    changed.policy["allow_sha1_signature"] = True
    yield valid(changed, "no nonce")


def faults() -> Iterator[Derived]:
    """Faults of quotes, signatures, values."""
    for platform in PLATFORMS:
        for case in published(platform):
            for quote, signature in quotes_of(case):
                yield from _quote_faults(case, quote, signature)
            if "pcrs.json" in case.evidence:
                yield from _wrong_values(case)


def _quote_faults(case: Case, quote: str, signature: str) -> Iterator[Derived]:
    platform, data = case.platform, case.part(quote)
    wrong = f"{platform}.quote.signature"
    for offset, what in ((10, "qualifiedSigner"), (-1, "pcrDigest"), (-60, "the middle")):
        yield invalid(case.copy().flip(quote, offset), f"{quote}: {what} flipped", wrong, f"{platform}.decode.quote")
    yield invalid(case.copy().flip(signature, -1), f"{signature} flipped", wrong)
    for size in (0, 3, 6, 20, len(data) - 1):
        yield invalid(case.copy().put(quote, data[:size]), f"{quote} cut to {size}", f"{platform}.decode.quote")
    for what, junk in (("empty", b""), ("cut", case.part(signature)[:-1]), ("junk", b"signature")):
        yield invalid(case.copy().put(signature, junk), f"{signature} {what}", f"{platform}.decode.quote_sig")
    yield invalid(case.copy().drop(signature), f"without {signature}", f"{platform}.decode.quote_sig")
    yield invalid(case.copy().flip(quote, 0), f"{quote}: another magic", f"{platform}.quote.magic")
    yield invalid(
        case.copy().put(quote, data[:4] + b"\x80\x17" + data[6:]),
        f"{quote}: certifies something else",
        f"{platform}.quote.type",
    )


def _wrong_values(case: Case) -> Iterator[Derived]:
    platform = case.platform
    banks: dict[str, dict[str, str]] = json.loads(case.part("pcrs.json"))
    bank = max(banks)
    index = max(banks[bank], key=int)
    digest = f"{platform}.pcrs.digest"

    def written(values: Any) -> Case:
        changed = case.copy()
        changed.put("pcrs.json", json.dumps(values).encode())
        return changed

    flipped = {**banks[bank], index: f"{int(banks[bank][index][:2], 16) ^ 1:02x}" + banks[bank][index][2:]}
    yield invalid(written({**banks, bank: flipped}), f"PCR {index} changed", digest)
    lacking = {i: v for i, v in banks[bank].items() if i != index}
    if lacking:
        yield invalid(written({**banks, bank: lacking}), f"PCR {index} missing", digest)
    if len(banks) == 1:
        yield invalid(written({"sha1": {i: v[:40] for i, v in banks[bank].items()}}), "values of another bank", digest)
    elif "sha1" in banks:
        swapped = {**banks, "sha256": {i: (banks["sha1"][i] + "00" * 12) for i in banks["sha256"]}}
        yield invalid(written(swapped), "padded SHA-1 values as SHA-256", digest)
    for what, junk in (("empty", b""), ("a list", b"[]"), ("no object", b"{}"), ("nested", b"[" * 5000)):
        yield invalid(case.copy().put("pcrs.json", junk), f"pcrs.json {what}", f"{platform}.decode.pcrs")


def tpm2() -> Iterator[Derived]:
    """Keys and roots that only the case can give."""
    for case in published(TPM2):
        yield invalid(case.copy().drop("ak_pub.pem", "ak_cert.pem"), "no AK", "tpm2.endorsement.ak-cert")
        yield invalid(
            case.copy().put("ak_pub.pem", base(GCP, "gce-ecc-ak-amd").part("ak_pub.pem")),
            "AK of another machine",
            "tpm2.quote.signature",
            "tpm2.ak-cert.key",
        )
        yield invalid(case.copy().drop("quote.msg", "quote.sig.tpmt"), "no quote", "tpm2.decode.quote")
    case = base(TPM2, "hardware-pcr1-pcr4-cmc")
    yield invalid(case.copy().drop("test_root_ca.pem"), "no root", "tpm2.endorsement.ak-cert", same_claims=True)
    yield invalid(
        case.copy().put("test_root_ca.pem", base(TDX, "tdx-ak-certificate-cmc").part("azure_vtpm_root_2023.pem")),
        "another root",
        "tpm2.ak-cert.root",
        "tpm2.ak-cert.signature",
        same_claims=True,
    )
    first, last = bounds(case.part("ak_cert.pem"))
    for moment in (first - 1, last + 1):
        yield invalid(case.copy().at(moment), f"at {moment}", "tpm2.ak-cert.validity", same_claims=True)
    der = der_of(case.part("test_root_ca.pem"))
    yield valid(case.copy().rename("test_root_ca.pem", "test_root_ca.der", der), "root as DER")
    changed = case.copy()
    changed.collateral["ak_pub.pem"] = changed.evidence.pop("ak_pub.pem")
    changed.collateral["azure_vtpm_ca_03.pem"] = base(TDX, "tdx-ak-certificate-cmc").part("azure_vtpm_ca_03.pem")
    yield valid(changed, "AK as collateral, and somebody's intermediate")
    yield valid(
        case.copy().put("test_root_ca.pem", b"text\r\n" + base64.b64encode(b"") + pem(der, end=b"\r\n")),
        "root with text before",
    )


RECIPES: tuple[Recipe, ...] = (forms, faults, tpm2)
