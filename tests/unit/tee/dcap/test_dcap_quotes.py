"""Quotes in every version, body and certification data: what decodes encodes to the same bytes; what needs what."""

from __future__ import annotations

from typing import Final, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.intel import ForgedIntel
from forge.intel_quote import Shape
from verifier.formats.errors import CannotDecide, MalformedEvidence
from verifier.formats.x509chain import ChainCache
from verifier.tee.dcap import layout
from verifier.tee.dcap.decode import Quote, decode_quote, encode_quote, platform_id
from verifier.tee.dcap.endorse import needs, pck_key
from verifier.tee.registry import SCHEMES
from verifier.tee.scheme import Subject
from verifier.tee.verified import UnsafeUnbound, run_checks

NOW: Final = 1_800_000_000
INTEL: Final = ForgedIntel(now=NOW)
PROCESSOR: Final = ForgedIntel(now=NOW, ca="processor")
DATA: Final = bytes(64)
BOTH: Final = frozenset({layout.TEE_SGX, layout.TEE_TDX})
Tee = Literal["sgx", "tdx"]
BODIES: Final[tuple[tuple[Tee, int, int], ...]] = (
    ("sgx", 3, layout.BODY_SGX),
    ("sgx", 4, layout.BODY_SGX),
    ("sgx", 5, layout.BODY_SGX),
    ("tdx", 4, layout.BODY_TD_10),
    ("tdx", 5, layout.BODY_TD_10),
    ("tdx", 5, layout.BODY_TD_15),
    ("tdx", 5, layout.BODY_TD_15_EXTENDED),
)
PLAIN: Final = (1, 2, 3, 4, 5, 7)


def _decode(data: bytes) -> Quote:
    return decode_quote(data, "tdx.decode.quote", BOTH)


# Every body with one kind of certification data, and every kind beside one body: neither is read by the other's form.
_FORMS: Final = (*((*body, 5) for body in BODIES), *((*BODIES[-1], kind) for kind in PLAIN if kind != 5))


@pytest.mark.parametrize(("tee", "version", "body", "certification"), _FORMS)
def test_every_form_of_a_quote_is_read_and_written_back(tee: Tee, version: int, body: int, certification: int) -> None:
    shape = Shape(version=version, body_type=body, certification=certification, padding=bytes(70))
    data = INTEL.quote(tee, report_data=DATA, shape=shape)
    quote = _decode(data)
    assert encode_quote(quote) == data
    assert (quote.version, quote.body_type, quote.certification_type, quote.padding) == (
        version,
        body,
        certification,
        70,
    )
    assert len(quote.signed) == 48 + layout.BODIES[body].size + (6 if version == 5 else 0)


@settings(max_examples=300, derandomize=True)
@given(at=st.integers(0, 5000), piece=st.binary(min_size=1, max_size=8), cut=st.booleans())
def test_any_bytes_are_read_or_malformed(at: int, piece: bytes, cut: bool) -> None:  # noqa: FBT001 - drawn
    good = INTEL.quote("tdx", report_data=DATA)
    at %= len(good)
    spoiled = good[:at] if cut else good[:at] + piece + good[at + len(piece) :]
    try:
        quote = _decode(spoiled)
    except MalformedEvidence:
        return
    assert encode_quote(quote) == spoiled


@pytest.mark.parametrize(("tee", "scheme"), [("sgx", "tdx"), ("tdx", "sgx")])
def test_a_quote_of_the_other_tee_is_malformed(tee: Tee, scheme: str) -> None:
    with pytest.raises(MalformedEvidence) as caught:
        SCHEMES[scheme].form.decode({"quote": INTEL.quote(tee, report_data=DATA)})
    assert caught.value.check_id == f"{scheme}.decode.quote"


@pytest.mark.parametrize("name", ["signature", "outer", "auth", "certification"])
@pytest.mark.parametrize("by", [-1, 1])
def test_an_inner_length_fits_its_outer_one(name: str, by: int) -> None:
    sizes = {"signature": 0, "outer": 0, "auth": 32, "certification": len(INTEL.pck_chain())}
    whole = _decode(INTEL.quote("tdx", report_data=DATA))
    inner = 384 + 64 + 2 + 32 + 6 + len(whole.certification_data)
    sizes |= {"outer": inner, "signature": 128 + 6 + inner}
    with pytest.raises(MalformedEvidence):
        _decode(INTEL.quote("tdx", report_data=DATA, shape=Shape(sizes={name: sizes[name] + by})))


def test_needs_name_platform_ca_and_tee() -> None:
    asked = {
        need.name: (need.kind, need.key) for need in needs("tdx", _decode(INTEL.quote("tdx", report_data=DATA)), {})
    }
    assert asked == {
        "tcb_info": ("intel.tcb-info", f"tdx-{INTEL.fmspc}"),
        "tcb_info_chain": ("intel.tcb-info-chain", f"tdx-{INTEL.fmspc}"),
        "qe_identity": ("intel.qe-identity", "tdx"),
        "qe_identity_chain": ("intel.qe-identity-chain", "tdx"),
        "pck_crl": ("intel.pck-crl", "platform"),
        "root_crl": ("intel.root-crl", "sgx-root"),
    }
    processor = needs("sgx", _decode(PROCESSOR.quote("sgx", report_data=DATA)), {})
    assert {need.key for need in processor if need.kind == "intel.pck-crl"} == {"processor"}


def test_a_quote_without_a_chain_asks_for_it_by_what_the_quote_says() -> None:
    quote = _decode(INTEL.quote("sgx", report_data=DATA, shape=Shape(certification=layout.CERT_PPID_RSA_3072)))
    named = platform_id(quote)
    assert named is not None
    key = f"{quote.user_data[:16].hex()}-{named.cpusvn.hex()}-{named.pcesvn.hex()}-{named.pceid.hex()}"
    assert pck_key(quote) == key
    first = {need.kind: need for need in needs("sgx", quote, {})}
    assert first["intel.pck-chain"].key == key
    # Neither FMSPC nor CA is known before the chain is there: it opens what they are the keys of.
    assert [kind for kind, need in first.items() if need.opens] == ["intel.pck-chain"]
    assert first.keys() == {"intel.pck-chain", "intel.qe-identity", "intel.qe-identity-chain", "intel.root-crl"}
    then = {need.kind: need.key for need in needs("sgx", quote, {"pck_chain": INTEL.pck_chain()})}
    assert "intel.pck-chain" not in then
    assert (then["intel.tcb-info"], then["intel.pck-crl"]) == (f"sgx-{INTEL.fmspc}", "platform")


def test_a_quote_with_the_pck_certificate_alone_asks_for_its_chain_by_what_that_says() -> None:
    shapes = (layout.CERT_PCK_LEAF, layout.CERT_PPID_RSA_3072)
    leaf, named = (_decode(INTEL.quote("sgx", report_data=DATA, shape=Shape(certification=one))) for one in shapes)
    asked = {need.kind: need for need in needs("sgx", leaf, {})}
    assert asked["intel.pck-chain"].key == pck_key(named)
    assert asked["intel.tcb-info"].key == f"sgx-{INTEL.fmspc}"
    assert not any(need.opens for need in asked.values())


@pytest.mark.parametrize("tee", ["sgx", "tdx"])
def test_a_missing_document_is_named_by_the_check_that_needs_it(tee: Tee) -> None:
    scheme, whole = SCHEMES[tee], INTEL.collateral(tee)
    evidence = scheme.form.decode({"quote": INTEL.quote(tee, report_data=DATA)})
    for name in whole:
        collateral = scheme.collateral.collate(evidence, {k: v for k, v in whole.items() if k != name})
        subject = Subject(evidence, collateral, (INTEL.anchor(),), NOW, ChainCache())
        with pytest.raises(CannotDecide) as caught:
            run_checks(scheme, subject, UnsafeUnbound())
        assert caught.value.check_id == f"{tee}.endorsement.{name}"


def test_a_verified_quote_costs_one_signature_the_second_time() -> None:
    """The QE's report, chains, documents and CRLs are remembered; dates are judged anew."""
    scheme, chains = SCHEMES["tdx"], ChainCache()
    evidence = scheme.form.decode({"quote": INTEL.quote("tdx", report_data=DATA)})
    collateral = scheme.collateral.collate(evidence, INTEL.collateral("tdx"))
    run_checks(scheme, Subject(evidence, collateral, (INTEL.anchor(),), NOW, chains), UnsafeUnbound())
    size = len(chains)
    run_checks(scheme, Subject(evidence, collateral, (INTEL.anchor(),), NOW + 60, chains), UnsafeUnbound())
    assert len(chains) == size
    late = Subject(evidence, collateral, (INTEL.anchor(),), NOW + 40 * 86_400, chains)
    with pytest.raises(CannotDecide) as caught:
        run_checks(scheme, late, UnsafeUnbound())
    assert caught.value.check_id == "tdx.tcb-info.expired"
