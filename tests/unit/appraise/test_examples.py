"""``policies/trust``: the examples compile without a warning, and accept the evidence that their values come from."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from verifier.adapters.trust.documents import load_documents, load_single_policy
from verifier.appraise.bundle import compile_all
from verifier.appraise.lint import lint
from verifier.cases.judge import Given, OfflineVerdict, judge_parts
from verifier.tee.registry import SCHEMES

EXAMPLES = Path(__file__).resolve().parents[3] / "policies" / "trust"
NOW = 1_782_864_000  # 2026-07-01
CASE, CASE_AT = "genoa-v5-vcek-oak-containers", 1_754_784_000  # 2025-08-10


def test_examples_compile_without_a_warning() -> None:
    documents = load_documents(EXAMPLES)
    assert lint(documents, compile_all(documents, SCHEMES), NOW) == []
    assert {key[1] for key in documents.policies} == {"oak-containers", "dstack", "cos-85"}


def test_examples_name_an_origin_for_each_value() -> None:
    for versions in load_documents(EXAMPLES).identities.values():
        for parsed in versions.values():
            assert getattr(parsed.model, "origin", "")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_each_example_file_stands_alone(path: Path) -> None:
    load_single_policy(path, "tpm2" if path.name.startswith("tpm2") else "sev-snp")


def _judge(evidence_cases: Path, policy: str) -> OfflineVerdict:
    folder = evidence_cases / "sev-snp" / CASE
    endorsements = {
        "vcek": (folder / "vcek.der").read_bytes(),
        "ask": x509.load_pem_x509_certificate((folder / "ask.pem").read_bytes()).public_bytes(Encoding.DER),
        "crl": x509.load_pem_x509_crl((folder / "crl.pem").read_bytes()).public_bytes(Encoding.DER),
    }
    return judge_parts(
        Given(
            scheme=SCHEMES["sev-snp"],
            parts={"report": (folder / "report.bin").read_bytes()},
            endorsements=endorsements,
            now=CASE_AT,
            policy=load_single_policy(EXAMPLES / policy, "sev-snp"),
        )
    )


def test_real_evidence_is_accepted_by_the_example_made_from_it(evidence_cases: Path) -> None:
    verdict = _judge(evidence_cases, "sev-snp-oak.yaml")
    assert (verdict.outcome, verdict.check_id, verdict.root) == ("accepted", "", "vendor")
    assert all(finding.ok for finding in verdict.findings)


def test_real_evidence_is_rejected_by_another_workloads_policy(evidence_cases: Path) -> None:
    verdict = _judge(evidence_cases, "sev-snp-dstack.yaml")
    assert (verdict.outcome, verdict.check_id) == ("rejected", "sev-snp.tcb.minimum.reported")
    failed = {finding.rule for finding in verdict.findings if not finding.ok}
    assert {"sev-snp.chip.allow", "policy.identity.window", "sev-snp.measurement", "sev-snp.host-data"} <= failed


@pytest.mark.parametrize("field", ["vmpl: 0", "minimum_guest_svn: 0", f'id_key_digest: "{"0" * 96}"'])
def test_launch_of_anything_at_all_is_called_unmeasured(tmp_path: Path, field: str) -> None:
    """A level, a number, or the digest of no key: none of them says what was launched."""
    text = (EXAMPLES / "sev-snp-dstack.yaml").read_text(encoding="utf-8")
    head, rest = text.split('  measurement: "MEASUREMENT', 1)
    origin, rest = rest.split("values:\n", 1)
    values, rest = rest.split("---", 1)
    name = field.split(":", maxsplit=1)[0]
    given = {"measurement", "vmpl", "minimum_guest_svn", "id_key_digest"} - {name}
    rest = rest.replace("  - firmware.id_key_digest\n", "")
    rest = rest.replace("unchecked:\n", "unchecked:\n" + "".join(f"  - firmware.{one}\n" for one in sorted(given)))
    assert origin
    assert values
    (tmp_path / "bare.yaml").write_text(f"{head}  {name}: test\nvalues:\n  {field}\n---{rest}", encoding="utf-8")
    documents = load_documents(tmp_path)
    warned = lint(documents, compile_all(documents, SCHEMES), NOW)
    assert [one.id for one in warned] == ["lint.unmeasured"]
