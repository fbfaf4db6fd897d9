"""Marks: genuine documents only, by root and kind, so that no forgery raises one."""

from __future__ import annotations

from typing import Final

from forge.intel import ForgedIntel
from forge.intel_pki import pem
from verifier.formats.x509 import _read_certificate
from verifier.formats.x509chain import Anchor
from verifier.tee.dcap.marks import document_marks, pck_crl_marks, root_crl_marks
from verifier.tee.dcap.verify import ANCHORS as INTEL_ANCHORS
from verifier.tee.scheme import Mark

NOW: Final = 1_800_000_000
INTEL: Final = ForgedIntel(now=NOW)
NEEDS: Final = ("tcb_info", "qe_identity", "root_crl", "pck_crl")
ANCHORS: Final = (INTEL.anchor(),)
FOUND: Final = INTEL.collateral("tdx")


def _marks(found: dict[str, bytes], need: str, anchors: tuple[Anchor, ...] = ANCHORS) -> tuple[Mark, ...]:
    """Number the document that schemes know as ``need``."""
    if need == "root_crl":
        return root_crl_marks(found[need], anchors)
    if need == "pck_crl":
        return pck_crl_marks(found[need], found.get("pck_chain", b""), anchors)
    return document_marks(need, found[need], found.get(f"{need}_chain", b""), anchors)


def _numbers(found: dict[str, bytes], need: str) -> list[int]:
    return [mark.number for mark in _marks(found, need)]


def test_a_certificate_that_was_parsed_anew_is_the_same_one() -> None:
    """A busy process parses more certificates than it remembers, and remembers a path for longer than its certificates."""
    before = _marks({**FOUND, "pck_chain": INTEL.pck_chain()}, "pck_crl")
    assert before
    _read_certificate.cache_clear()
    assert _marks({**FOUND, "pck_chain": INTEL.pck_chain().rstrip()}, "pck_crl") == before


def test_a_genuine_document_has_an_evaluation_number_and_an_issue_date() -> None:
    assert _numbers(FOUND, "tcb_info") == [20, INTEL.issued]
    assert len(_numbers(FOUND, "qe_identity")) == 2
    later = {**FOUND, "tcb_info": INTEL.signed_tcb_info("tdx", evaluation=21)}
    assert _numbers(later, "tcb_info")[0] == 21
    assert [mark.issuer for mark in _marks(later, "tcb_info")] == [mark.issuer for mark in _marks(FOUND, "tcb_info")]


def test_marks_of_another_platform_or_tee_are_others() -> None:
    other = ForgedIntel(now=NOW, fmspc=bytes.fromhex("00906ed50000")).collateral("tdx")
    sgx = [mark for need in NEEDS for mark in _marks(INTEL.collateral("sgx"), need)]
    mine = {mark.issuer for mark in _marks(FOUND, "tcb_info")}
    assert not mine & {mark.issuer for mark in _marks(other, "tcb_info")}
    assert not mine & {mark.issuer for mark in sgx}


def test_a_forgery_raises_no_mark() -> None:
    forged = INTEL.signed_tcb_info("tdx", evaluation=99, signature="00" * 64)
    assert not _numbers({**FOUND, "tcb_info": forged}, "tcb_info")
    assert not _numbers({**FOUND, "tcb_info_chain": INTEL.pck_chain()}, "tcb_info")
    assert not [mark for need in NEEDS for mark in _marks(FOUND, need, INTEL_ANCHORS)]


def test_what_is_broken_or_not_there_has_no_mark() -> None:
    assert not _numbers({**FOUND, "tcb_info": b"{"}, "tcb_info")
    assert not _numbers({k: v for k, v in FOUND.items() if k != "tcb_info_chain"}, "tcb_info")
    assert not _numbers({**FOUND, "tcb_info": b""}, "tcb_info")
    assert not _numbers({**FOUND, "root_crl": b"\x30\x00"}, "root_crl")


def test_crls_are_numbered_by_their_issuers_key() -> None:
    assert _numbers({**FOUND, "root_crl": INTEL.root_crl(number=7)}, "root_crl") == [7]
    assert not _numbers({**FOUND, "root_crl": INTEL.pck_crl(number=9)}, "root_crl")


def test_a_pck_crl_is_held_to_a_mark_where_its_issuer_is_known() -> None:
    crl = INTEL.pck_crl(number=8)
    assert not _numbers({**FOUND, "pck_crl": crl}, "pck_crl")
    assert _numbers({**FOUND, "pck_crl": crl, "pck_chain": INTEL.pck_chain()}, "pck_crl") == [8]
    bundled = _pem_crl(crl) + pem(INTEL.authority("platform"), INTEL.root())
    assert _numbers({**FOUND, "pck_crl": bundled}, "pck_crl") == [8]
    assert not _numbers(
        {**FOUND, "pck_crl": _pem_crl(crl) + pem(INTEL.authority("processor"), INTEL.root())}, "pck_crl"
    )


def _pem_crl(der: bytes) -> bytes:
    return pem(der).replace(b"CERTIFICATE", b"X509 CRL")
