"""Azure: the pinned root, what the layouts read back, every tie between TDREPORT and quote, what cannot be switched off."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.support.vectors import base_vector, run_vector, verify_vector
from tests.vectors.azure_snp_vtpm.recipes import NOW as SNP_NOW
from tests.vectors.azure_snp_vtpm.recipes import base as snp_vm
from tests.vectors.azure_tdx_vtpm.recipes import base as tdx_vm
from tests.vectors.vtpm.forging import NONCE
from verifier.cases.form import CaseFiles
from verifier.cases.platforms.azure_tdx_vtpm import CASE as TDX_CASE
from verifier.formats.encoding import sha256
from verifier.formats.errors import CannotDecide, MalformedEvidence
from verifier.tee.azure.layout import (
    REPORT_SNP,
    TDREPORT_FIELDS,
    HclReport,
    RuntimeData,
    decode_hcl,
    decode_tdreport,
    encode_hcl,
)
from verifier.tee.azure.verify import ANCHORS
from verifier.tee.azure_snp_vtpm.identity import Paravisor
from verifier.tee.azure_snp_vtpm.scheme import SCHEME as SNP
from verifier.tee.azure_tdx_vtpm.scheme import SCHEME as TDX
from verifier.tee.azure_tdx_vtpm.verify import TIED
from verifier.tee.chain import own_anchors

SCHEMES = {"azure-snp-vtpm": SNP, "azure-tdx-vtpm": TDX}


def test_the_root_is_the_one_that_microsoft_published() -> None:
    (anchor,) = ANCHORS
    assert anchor.root == "vendor"
    assert anchor.certificate.digest.hex() == "e6c596b17f8ffefba5c300f714cfb1260c6028704ecf7becc4ab5018efb00e95"
    assert sha256(anchor.certificate.spki).hex() == "5cbc52672ae101263c2976736044a964c1182ce9412c39937183baddcccb8cdf"


@given(
    version=st.sampled_from((1, 2)),
    hash_type=st.integers(1, 3),
    text=st.binary(min_size=1, max_size=1364),
    hardware=st.binary(min_size=1184, max_size=1184),
)
def test_a_report_is_read_as_it_was_written(version: int, hash_type: int, text: bytes, hardware: bytes) -> None:
    padding = 2600 - 1236 - len(text)
    report = HclReport(version, 2, 0, hardware, RuntimeData(REPORT_SNP, hash_type, text.rstrip(b"\0") or b"{"), padding)
    report = dataclasses.replace(report, padding=2600 - report.report_size)
    raw = encode_hcl(report)
    assert decode_hcl(raw, report_type=REPORT_SNP, check_id="x.y") == report
    assert len(raw) == 2600


def test_an_older_dump_of_2048_bytes_is_read() -> None:
    claims = snp_vm().claims(keys=[__import__("json").loads(snp_vm().claims())["keys"][0]])
    raw = snp_vm().hcl_report(claims)[:2048]
    assert encode_hcl(decode_hcl(raw, report_type=REPORT_SNP, check_id="x.y")) == raw


@pytest.mark.parametrize("name", sorted(TIED))
def test_every_field_that_the_quote_has_too_is_tied_to_it(name: str) -> None:
    base = base_vector("azure-tdx-vtpm")
    field = next(f for f in TDREPORT_FIELDS if f.name == name)
    if name == "report_data":
        hcl = tdx_vm().hcl_report(report_data=NONCE * 2)
    else:
        td = {**tdx_vm().td, TIED[name]: b"\x5a" * field.size}
        hcl = tdx_vm().hcl_report(td=td)
    changed = dataclasses.replace(base, parts={**base.parts, "hcl_report": hcl})
    assert run_vector(changed, TDX) == ("rejected", "azure-tdx-vtpm.tdreport.quote")


def test_a_tdreport_of_another_size_is_malformed() -> None:
    with pytest.raises(MalformedEvidence):
        decode_tdreport(bytes(1023), check_id="x.y")


@pytest.mark.parametrize("name", sorted(SCHEMES))
def test_the_quote_is_the_binder_and_the_cpu_report_is_not_asked_for_the_challenge(name: str) -> None:
    base = base_vector(name)
    verified = verify_vector(base, SCHEMES[name])
    assert verified.bound
    assert SCHEMES[name].binding.components(verified.evidence) == ()
    assert SCHEMES[name].binding.also(verified.evidence) == ()
    assert SCHEMES[name].host_excluded


@pytest.mark.parametrize("name", sorted(SCHEMES))
def test_what_makes_the_claims_worth_anything_is_mandatory(name: str) -> None:
    scheme = SCHEMES[name]
    wanted = {f"{name}.paravisor", f"{name}.config.extended"} | ({f"{name}.vmpl"} if scheme is SNP else set())
    assert wanted <= {rule.id for rule in scheme.appraisal.rules if rule.mandatory}
    assert all(rule.mandatory for rule in scheme.appraisal.rules if rule.id in wanted)
    assert "vmpl" not in scheme.appraisal.exceptions.model_fields


@pytest.mark.parametrize("digests", [[], ["0" * 96], ["ab" * 48, "0" * 96]])
def test_no_signer_is_no_paravisor(digests: list[str]) -> None:
    with pytest.raises(ValidationError):
        Paravisor.model_validate({"kind": "id-key", "digests": digests}, strict=False)


@pytest.mark.parametrize("name", sorted(SCHEMES))
def test_an_identity_that_a_machine_says_of_itself_is_one_that_its_models_let_through(name: str) -> None:
    scheme = SCHEMES[name]
    verified = verify_vector(base_vector(name), scheme)
    for scope, values in scheme.appraisal.observe(verified).items():
        told = {field: value for field, value in values.items() if value is not None}
        scheme.appraisal.models[scope].model_validate(told, strict=False)


def _tdx_case(**changes: Any) -> CaseFiles:
    quote = tdx_vm().quote_parts(NONCE)
    evidence = {
        "runtime_data.bin": tdx_vm().hcl_report()[1216:],
        "tpm_quote.msg": quote["quote"],
        "tpm_quote.sig": quote["quote_sig"],
        **changes.pop("evidence", {}),
    }
    return CaseFiles("azure-tdx-vtpm", evidence, {}, {"nonce": NONCE.hex()}, SNP_NOW, **changes)


def test_a_case_without_a_td_quote_cannot_be_decided() -> None:
    with pytest.raises(CannotDecide) as caught:
        TDX_CASE.judge(_tdx_case())
    assert caught.value.check_id == "azure-tdx-vtpm.endorsement.td_quote"


def test_a_case_with_a_forged_intel_is_refused_by_the_quotes_own_checks() -> None:
    from verifier.formats.errors import EvidenceRejected

    with pytest.raises(EvidenceRejected) as caught:
        TDX_CASE.judge(_tdx_case(evidence={"td_quote.bin": tdx_vm().td_quote()}))
    assert caught.value.check_id == "tdx.chain.root"


@pytest.mark.parametrize("name", sorted(SCHEMES))
def test_no_other_vendors_root_vouches_for_an_ak(name: str) -> None:
    """A composite is handed the anchors of all its parts: a vendor's root that is not the cloud's own counts for no AK."""
    base = base_vector(name)
    theirs = [a for a in base.anchors if a.certificate_der == snp_vm().ca.anchor().certificate_der]
    assert theirs
    as_a_vendors = tuple(dataclasses.replace(a, root="vendor") if a in theirs else a for a in base.anchors)
    refused = dataclasses.replace(base, anchors=as_a_vendors)
    assert run_vector(refused, SCHEMES[name]) == ("rejected", f"{name}.ak-cert.root")


def test_the_clouds_own_root_and_an_operators_vouch_for_an_ak() -> None:
    private = dataclasses.replace(snp_vm().ca.anchor(), root="private")
    assert own_anchors((*SNP.verification.anchors, private), ANCHORS) == (*ANCHORS, private)


def test_a_paravisor_of_nothing_or_of_all_zero_is_never_right() -> None:
    """The model refuses both; so does the rule, which nothing can switch off."""
    base = base_vector("azure-snp-vtpm")
    verified = verify_vector(base, SNP)
    (rule,) = (rule for rule in SNP.appraisal.rules if rule.id == "azure-snp-vtpm.paravisor")
    assert verified.evidence.report.id_key_digest == bytes(48)
    wrong: tuple[Any, ...] = (
        None,
        [],
        {},
        {"kind": "measurement", "digests": []},
        {"kind": "id-key", "digests": ["00" * 48]},
        {"kind": "vmpl", "digests": ["00" * 48]},
    )
    assert not any(rule.judge(verified, expected).ok for expected in wrong)
