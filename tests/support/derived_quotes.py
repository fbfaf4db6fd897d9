"""Derived cases of TDX and SGX quotes with Intel's collateral."""

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
from tests.support.derived_snp import crl_bounds


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
    changed.rename("quote.bin", "quote.dat")
    yield valid(changed, "as quote.dat")
    changed = base(platform, case.name)
    changed.drop("quote.bin")
    yield invalid(changed, "no quote", f"{platform}.decode.quote")
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


RECIPES: tuple[Recipe, ...] = (quote_forms, quote_faults)
