"""Case folders in the forms that their sources have them: encodings, names, orders, things that are missing."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote as percent

import pytest

from forge.intel import ForgedIntel
from forge.intel_quote import Shape
from tests.support.schemes import altered
from verifier.cases.form import CaseError, CaseFiles
from verifier.cases.platforms.dcap import expected_of, given_of, judge_quote, quote_bytes, quote_claims
from verifier.cases.registry import CASES
from verifier.formats.errors import BridgeError, CannotDecide, MalformedEvidence
from verifier.tee.dcap import layout
from verifier.tee.registry import SCHEMES
from verifier.tee.scheme import Scheme

NOW: Final = 1_800_000_000
INTEL: Final = ForgedIntel(now=NOW)
QUOTE: Final = INTEL.quote("tdx", report_data=bytes(64))
COLLATERAL: Final = {
    "tcb_info.json": INTEL.signed_tcb_info("tdx"),
    "tcb_signing_chain.pem": INTEL.signing_chain(),
    "qe_identity.json": INTEL.signed_qe_identity("tdx"),
    "qe_identity_signing_chain.pem": INTEL.signing_chain(),
    "root_ca.crl.der": INTEL.root_crl(),
    "pck.crl.der": INTEL.pck_crl(),
    "pck_crl_issuer_chain.pem": INTEL.pck_chain()[INTEL.pck_chain().index(b"-----BEGIN", 5) :],
    "intel_sgx_root_ca.pem": b"never read",
}
# The forged root in the place of Intel's: a case never brings an anchor.
TDX: Final[Scheme[Any, Any]] = altered(SCHEMES["tdx"], anchors=(INTEL.anchor(),))


def _files(quote: bytes = QUOTE, *, crl_required: bool | None = True, **changes: Any) -> CaseFiles:
    given = {**COLLATERAL, **{name.replace("__", "."): data for name, data in changes.items()}}
    collateral = {name: data for name, data in given.items() if data is not None}
    return CaseFiles("tdx", {"quote.bin": quote}, collateral, {}, NOW, crl_required)


def _judge(files: CaseFiles, **policy: Any) -> list[str]:
    _verified, findings = judge_quote(TDX, files.evidence["quote.bin"], files, policy)
    return [finding.rule for finding in findings if not finding.ok]


def test_a_whole_case_is_valid() -> None:
    assert _judge(_files()) == []
    assert quote_claims(TDX, QUOTE, _files())["tcb_status"] == "UpToDate"


def _open_enclave(quote: bytes) -> bytes:
    return bytes((1, 0, 0, 0, 2, 0, 0, 0)) + len(quote).to_bytes(8, "little") + quote


@pytest.mark.parametrize(
    "encode",
    [
        _open_enclave,
        lambda quote: quote.hex().encode(),
        lambda quote: b"0x" + quote.hex().encode() + b"\n",
        base64.b64encode,
        lambda quote: quote + bytes(3000),
    ],
)
def test_a_quote_is_read_as_its_source_had_it(encode: Any) -> None:
    assert _judge(_files(encode(QUOTE))) == []


def test_bytes_that_are_a_quote_already_are_left_alone() -> None:
    assert quote_bytes(QUOTE) is QUOTE
    assert quote_bytes(b"") == b""
    assert quote_bytes(_open_enclave(QUOTE) + b"\0") != QUOTE


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("pck__crl__pem", base64.b64encode(INTEL.pck_crl())),
        ("pck__crl", INTEL.pck_crl().hex().encode()),
        ("pck_crl__der", INTEL.pck_crl()),
        ("pck__crl__b64", base64.encodebytes(INTEL.pck_crl())),
    ],
)
def test_a_crl_is_found_by_name_and_read_in_any_encoding(name: str, data: bytes) -> None:
    changes: dict[str, Any] = {"pck__crl__der": None, name: data}
    assert _judge(_files(**changes)) == []


def test_a_chain_may_stand_as_in_the_http_header() -> None:
    header = percent(INTEL.signing_chain().decode()).encode()
    assert _judge(_files(tcb_signing_chain__pem=header)) == []


@pytest.mark.parametrize(
    ("name", "check_id"),
    [
        ("tcb_info__json", "tdx.endorsement.tcb_info"),
        ("tcb_signing_chain__pem", "tdx.endorsement.tcb_info_chain"),
        ("qe_identity__json", "tdx.endorsement.qe_identity"),
        ("qe_identity_signing_chain__pem", "tdx.endorsement.qe_identity_chain"),
        ("root_ca__crl__der", "tdx.endorsement.root_crl"),
        ("pck__crl__der", "tdx.endorsement.pck_crl"),
    ],
)
def test_what_is_missing_is_named(name: str, check_id: str) -> None:
    changes: dict[str, Any] = {name: None}
    with pytest.raises(CannotDecide) as caught:
        _judge(_files(**changes))
    assert caught.value.check_id == check_id


def test_a_case_may_go_without_crls_where_it_says_so_and_one_that_is_there_counts() -> None:
    none: dict[str, Any] = {"root_ca__crl__der": None, "pck__crl__der": None}
    assert _judge(_files(crl_required=False, **none)) == []
    with pytest.raises(CannotDecide):
        _judge(_files(crl_required=None, **none))
    with pytest.raises(BridgeError) as caught:
        _judge(_files(crl_required=False, pck__crl__der=INTEL.pck_crl(revoked=(INTEL.pck_serial,))))
    assert caught.value.check_id == "tdx.chain.revoked"


@pytest.mark.parametrize("kind", [layout.CERT_PPID, layout.CERT_PPID_RSA_2048, layout.CERT_PPID_RSA_3072])
def test_a_quote_without_a_chain_takes_it_from_the_case(kind: int) -> None:
    quote = INTEL.quote("tdx", report_data=bytes(64), shape=Shape(certification=kind))
    with pytest.raises(CannotDecide) as caught:
        _judge(_files(quote))
    assert caught.value.check_id == "tdx.endorsement.pck_chain"
    assert _judge(_files(quote, pck_chain__pem=INTEL.pck_chain())) == []
    assert _judge(_files(quote, pck__der=INTEL.pck())) == []


def test_a_quote_with_a_leaf_alone_takes_what_stands_above_from_the_crls_issuers() -> None:
    quote = INTEL.quote("tdx", report_data=bytes(64), shape=Shape(certification=layout.CERT_PCK_LEAF))
    assert _judge(_files(quote)) == []


def test_policy_keys_have_the_readmes_defaults() -> None:
    assert expected_of("tdx", {}) == {"tdx.debug": False, "tdx.tcb.status": ["UpToDate", "SWHardeningNeeded"]}
    debug = INTEL.quote("tdx", report_data=bytes(64), tdattributes=bytes((1, 0, 0, 0x10, 0, 0, 0, 0)))
    assert _judge(_files(debug)) == ["tdx.debug"]
    assert _judge(_files(debug), allow_debug=True) == []
    assert _judge(_files(), accept_tcb_status=["OutOfDate"]) == ["tdx.tcb.status"]


@pytest.mark.parametrize(
    "policy", [{"allow_debug": 1}, {"accept_tcb_status": "UpToDate"}, {"accept_tcb_status": ["Fine"]}, {"other": 1}]
)
def test_a_policy_that_cannot_be_meant_is_a_usage_error(policy: dict[str, Any]) -> None:
    with pytest.raises(CaseError):
        expected_of("tdx", policy)


@pytest.mark.parametrize("name", ["sgx", "tdx"])
def test_a_case_without_a_quote_is_a_usage_error(name: str) -> None:
    with pytest.raises(CaseError):
        CASES[name].judge(CaseFiles(name, {}, {}, {}, NOW))


def test_files_are_found_whatever_else_lies_there() -> None:
    found = given_of(replace(_files(), evidence={"quote.bin": QUOTE, "notes.txt": b""}))
    assert set(found) == {
        *("tcb_info", "tcb_info_chain", "qe_identity", "qe_identity_chain", "root_crl", "pck_crl", "pck_chain")
    }


@pytest.mark.parametrize("cut", [1, 400, 4000])
def test_a_cut_quote_still_says_what_stands_in_front(cut: int) -> None:
    files = _files(QUOTE[:-cut])
    with pytest.raises(MalformedEvidence):
        CASES["tdx"].claims(files)
    said = CASES["tdx"].fallback_claims(files)
    whole = CASES["tdx"].claims(_files())
    assert said["mrtd"] == whole["mrtd"]
    assert said == {name: whole[name] for name in said}
    assert CASES["tdx"].fallback_claims(_files(QUOTE[:100])) == {}
