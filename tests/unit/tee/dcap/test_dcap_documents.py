"""Intel's signed documents, PCK chains and CRLs as they are read: nothing rebuilt, nothing twice, nothing beside."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.resources import files
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.intel import ForgedIntel
from verifier.formats.errors import MalformedEvidence
from verifier.formats.pem import pem_blocks
from verifier.formats.x509 import parse_certificate
from verifier.tee.dcap.collateral import parse_qe_identity, parse_tcb_info
from verifier.tee.dcap.endorse import crl_der
from verifier.tee.dcap.pck import ca_of, ordered, pck_chain, read_chain, read_pck
from verifier.tee.dcap.verify import ANCHORS

NOW: Final = 1_800_000_000
INTEL: Final = ForgedIntel(now=NOW)
INFO: Final = INTEL.signed_tcb_info("tdx")
IDENTITY: Final = INTEL.signed_qe_identity("sgx")


def _changed(**changes: Any) -> bytes:
    return INTEL.signed_tcb_info("tdx", **changes)


def _inner(data: bytes) -> bytes:
    return data[data.index(b":") + 1 : data.index(b',"signature"')]


def test_the_pinned_root_is_intels() -> None:
    der = files("verifier.tee.dcap").joinpath("anchors", "intel_sgx_root_ca.der").read_bytes()
    assert hashlib.sha256(der).hexdigest() == "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3"
    spki = hashlib.sha256(parse_certificate(der, "test").spki).hexdigest()
    assert spki == "a0af031289f5d5d4132f9186068a7fc13628633ba235777472e29b6b6c67a49e"
    assert [(anchor.certificate_der, anchor.root) for anchor in ANCHORS] == [(der, "vendor")]


def test_what_is_signed_is_cut_out_and_not_rebuilt() -> None:
    odd = b' { "id" : "TDX",' + json.dumps(INTEL.tcb_info("tdx"), indent=3).encode()[1:].replace(
        b'"id": "TDX",', b"", 1
    )
    document = b' \n{ "signature"\t:"%s" , "tcbInfo" :%s} ' % (b"0a" * 64, odd)
    read = parse_tcb_info(document, "test")
    assert read.signed.body == odd.strip()
    assert read.signed.signature == b"\x0a" * 64


def test_bytes_beyond_ascii_are_cut_at_the_right_place() -> None:
    inner = _inner(INFO).replace(b'"id":"TDX"', '"note":"é𝄞\\u00e9","id":"TDX"'.encode())
    assert parse_tcb_info(b'{"tcbInfo":%s,"signature":"%s"}' % (inner, b"00" * 64), "test").signed.body == inner


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"tcbInfo":{}}',
        INFO[:-1],
        INFO + b"x",
        INFO.replace(b'"signature":', b'"more":1,"signature":'),
        INFO.replace(b'"tcbInfo":', b'"tcbInfo":{},"tcbInfo":'),
        INFO.replace(b'"fmspc":', b'"fmspc":"00A067110000","fmspc":'),
        INFO.replace(b'"svn":3', b'"svn":3,"svn":3', 1),
        INFO.replace(b'"tcbEvaluationDataNumber":20', b'"tcbEvaluationDataNumber":NaN'),
        INFO.replace(b'"tcbEvaluationDataNumber":20', b'"tcbEvaluationDataNumber":20.0'),
        INFO.replace(b'"tcbEvaluationDataNumber":20', b'"tcbEvaluationDataNumber":true'),
        INFO.replace(b'"tcbEvaluationDataNumber":20', b'"tcbEvaluationDataNumber":-1'),
        INFO.replace(b'"tcbEvaluationDataNumber":20', b'"tcbEvaluationDataNumber":' + b"9" * 5000),
        b'{"tcbInfo":' + b"[" * 100_000,
        b'{"tcbInfo":' + b'{"a":' * 50_000,
        INFO.replace(b"TDX", b"T\xff\xffX", 1),
        b" " * (256 * 1024) + INFO,
        _changed(tcbType=1),
        _changed(version=4),
        _changed(id="QE"),
        _changed(fmspc="B0C06F00000"),
        _changed(pceId="00zz"),
        _changed(issueDate="2027-01-10"),
        _changed(issueDate="2027-13-10T00:00:00Z"),
        _changed(nextUpdate="2027-01-10T00:00:00+01:00"),
        _changed(tcbLevels={}),
        _changed(tcbLevels=[{}] * 257),
        _changed(tcbLevels=[[]]),
        _changed(tdxModule=None),
        INFO.replace(b'"UpToDate"', b'"Fine"'),
        INFO.replace(b'"TDX_01"', b'"TDX_03"'),
        INFO.replace(b'"TDX_01"', b'"TDX_1"'),
        INFO.replace(b'{"svn":0},{"svn":0}]', b'{"svn":0}]'),
        INFO.replace(b'"svn":3', b'"svn":256', 1),
        IDENTITY,
    ],
)
def test_what_is_no_tcb_info_is_malformed(data: bytes) -> None:
    assert data != INFO
    with pytest.raises(MalformedEvidence) as caught:
        parse_tcb_info(data, "tdx.endorsement.tcb_info")
    assert caught.value.check_id == "tdx.endorsement.tcb_info"


@pytest.mark.parametrize(
    "data",
    [
        INFO,
        IDENTITY.replace(b'"version":2', b'"version":1'),
        IDENTITY.replace(b'"id":"QE"', b'"id":"PCE"'),
        IDENTITY.replace(b'"isvsvn"', b'"svn"'),
        IDENTITY.replace(b'"miscselect":"', b'"miscselect":"00'),
    ],
)
def test_what_is_no_qe_identity_is_malformed(data: bytes) -> None:
    assert data != IDENTITY
    with pytest.raises(MalformedEvidence):
        parse_qe_identity(data, "test")


def test_version_2_of_tcb_info_is_of_sgx_alone() -> None:
    read = parse_tcb_info(INTEL.signed_tcb_info("sgx", version=2), "test")
    assert (read.id, read.levels[0].components) == ("SGX", INTEL.platform.comps)
    with pytest.raises(MalformedEvidence):
        parse_tcb_info(INTEL.signed_tcb_info("sgx", version=2, id="TDX"), "test")


def test_an_fmspc_is_compared_without_case() -> None:
    info = INTEL.tcb_info("tdx")
    lower = INTEL.signed_tcb_info("tdx", {**info, "fmspc": info["fmspc"].lower()})
    assert parse_tcb_info(lower, "test").fmspc == parse_tcb_info(INFO, "test").fmspc


@settings(max_examples=300, derandomize=True)
@given(st.data())
def test_any_bytes_are_read_or_malformed(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(INFO) - 1))
    piece = data.draw(st.binary(max_size=6))
    for parse, good in ((parse_tcb_info, INFO), (parse_qe_identity, IDENTITY)):
        spoiled = good[:at] + piece + good[at + 1 :]
        try:
            read = parse(spoiled, "test")
        except MalformedEvidence:
            continue
        assert read.signed.body in spoiled


@pytest.mark.parametrize(
    "encode",
    [
        lambda der: der,
        lambda der: der.hex().encode(),
        lambda der: der.hex().upper().encode() + b"\n",
        base64.b64encode,
        base64.encodebytes,
        lambda der: b"-----BEGIN X509 CRL-----\n" + base64.encodebytes(der) + b"-----END X509 CRL-----\n",
    ],
)
def test_a_crl_is_read_in_every_form_that_is_met(encode: Any) -> None:
    der = INTEL.pck_crl()
    assert crl_der(encode(der), "test", "CRL") == der


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"zz-zz", b"-----BEGIN X509 CRL-----", b"====", b"A" * 3_000_000])
def test_what_is_no_crl_in_any_form_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedEvidence):
        crl_der(data, "test", "CRL")


def test_a_chain_is_put_in_order() -> None:
    certificates = read_chain(INTEL.pck_chain(), "test", "chain")
    for turned in (certificates, certificates[::-1], (certificates[1], certificates[0], certificates[2])):
        assert pck_chain(turned, "test") == certificates
    assert ca_of(certificates[0]) == "platform"
    assert ca_of(parse_certificate(ForgedIntel(now=NOW, ca="processor").pck(), "test")) == "processor"


def test_what_does_not_fit_by_name_stays_for_the_signatures_check() -> None:
    leaf, _ca, root = read_chain(INTEL.pck_chain(), "test", "chain")
    assert ordered((leaf, root), leaf) == (leaf, root)


def test_a_chain_may_end_with_nul_or_without_newline() -> None:
    chain = INTEL.pck_chain()
    # By digest: certificates compare by identity, and what is remembered of earlier tests may be forgotten between two readings.
    whole = [one.digest for one in read_chain(chain, "test", "chain")]
    for other in (chain + b"\0", chain.rstrip(b"\n")):
        assert [one.digest for one in read_chain(other, "test", "chain")] == whole


@pytest.mark.parametrize("beside", [b"x", b"\0\0", b"-----BEGIN PRIVATE KEY-----\n", b"-----BEGIN CERTIFICATE-----\n"])
def test_nothing_stands_beside_certificates(beside: bytes) -> None:
    for data in (beside + INTEL.pck_chain(), INTEL.pck_chain() + beside):
        with pytest.raises(MalformedEvidence):
            read_chain(data, "test", "chain")


def test_a_chain_has_one_pck_certificate() -> None:
    leaf, ca, root = read_chain(INTEL.pck_chain(), "test", "chain")
    other = parse_certificate(ForgedIntel(now=NOW, seed=b"another").pck(), "test")
    for chain in ((ca, root), (leaf, other, ca, root)):
        with pytest.raises(MalformedEvidence):
            pck_chain(chain, "test")
    with pytest.raises(MalformedEvidence):
        read_pck(ca, "test")


def test_the_pck_extension_says_what_the_platform_is() -> None:
    pck = read_pck(parse_certificate(pem_blocks(INTEL.pck_chain(), "CERTIFICATE")[0], "test"), "test")
    platform = INTEL.platform
    assert (pck.ppid, pck.components, pck.pcesvn) == (platform.ppid, platform.comps, platform.pcesvn)
    assert (pck.cpusvn, pck.fmspc) == (platform.cpusvn, INTEL.fmspc)
    assert pck.platform_instance_id == platform.instance_id
    assert pck.configuration == {"1": True, "2": True, "3": True}
