"""Nitro documents: the pinned root, both map forms, and round trips of whatever AWS's limits allow."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from forge.aws_nitro import ForgedNitro, image_pcrs
from tests.support.vectors import base_vector, run_vector
from tests.vectors.aws_nitro.recipes import BOUND, DIGEST, NITRO, NOW, good, vector
from verifier.cases.form import CaseError, CaseFiles
from verifier.cases.platforms.aws_nitro import CASE
from verifier.formats.errors import EvidenceRejected, MalformedEvidence
from verifier.formats.x509chain import ChainCache
from verifier.tee.aws_nitro import layout
from verifier.tee.aws_nitro.decode import decode_document
from verifier.tee.aws_nitro.identity import ConfigValues, PlatformValues, WorkloadValues
from verifier.tee.aws_nitro.scheme import SCHEME
from verifier.tee.aws_nitro.verify import Collateral
from verifier.tee.catalogue import remedy_of
from verifier.tee.scheme import Subject
from verifier.tee.verified import UnsafeUnbound, run_checks


def test_the_pinned_root_is_the_one_that_aws_publishes() -> None:
    (anchor,) = SCHEME.verification.anchors
    assert anchor.root == "vendor"
    digest = hashlib.sha256(anchor.certificate_der).hexdigest()
    assert digest == "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"
    key = hashlib.sha256(anchor.certificate.spki).hexdigest()
    assert key == "f2caf5ecc6190b4a8399b78bc58a2bbcd0382375db8a1bfd78a82743874fd225"


def test_both_forms_of_the_payloads_map_are_read_and_differ() -> None:
    definite, indefinite = NITRO.document(), NITRO.document(indefinite=True)
    one, other = decode_document(definite), decode_document(indefinite)
    assert (one.sign1.payload[:1], other.sign1.payload[:1]) == (b"\xa9", b"\xbf")
    assert (one.module_id, one.pcrs, one.cabundle) == (other.module_id, other.pcrs, other.cabundle)


PAYLOADS = st.fixed_dictionaries(
    {
        "module_id": st.text(min_size=1, max_size=256),
        "timestamp": st.integers(1, 2**53 - 1),
        "pcrs": st.dictionaries(st.integers(0, 31), st.binary(min_size=48, max_size=48), min_size=1, max_size=32),
        "public_key": st.none() | st.binary(min_size=1, max_size=1024),
        "user_data": st.none() | st.binary(max_size=512),
        "nonce": st.none() | st.binary(max_size=512),
    }
)


@settings(max_examples=40)
@given(PAYLOADS, st.booleans())
def test_whatever_the_limits_allow_is_read_as_it_was_written(fields: dict[str, Any], indefinite: bool) -> None:  # noqa: FBT001
    data = NITRO.document(indefinite=indefinite, **fields)
    document = SCHEME.form.decode({layout.PART: data})
    assert {name: getattr(document, name) for name in fields} == fields
    assert SCHEME.form.encode(document) == {layout.PART: data}
    json.dumps(SCHEME.form.claims(document))


@pytest.mark.slow
@settings(max_examples=300)
@given(st.data())
def test_any_byte_changed_anywhere_is_refused(drawn: st.DataObject) -> None:
    data = bytearray(good())
    data[drawn.draw(st.integers(0, len(data) - 1))] ^= drawn.draw(st.integers(1, 255))
    with pytest.raises((MalformedEvidence, EvidenceRejected)):
        run_checks(
            SCHEME,
            Subject(SCHEME.form.decode({layout.PART: bytes(data)}), Collateral(), (NITRO.anchor(),), NOW, ChainCache()),
            BOUND,
        )


def test_claims_are_those_of_the_cases() -> None:
    claims = SCHEME.form.claims(SCHEME.form.decode({layout.PART: good()}))
    assert claims["user_data"] == DIGEST.whole.hex()
    assert claims["nonce"] == DIGEST.nonce.hex()
    assert claims["cabundle_length"] == 4
    assert claims["chain_not_before"] == "2027-01-15T07:55:00+00:00"
    assert claims["chain_not_after"] == "2027-01-15T10:55:00+00:00"
    assert claims["leaf_subject"].startswith(f"CN={NITRO.module}.us-east-1.aws,")
    assert "unknown_keys" not in claims
    more = SCHEME.form.claims(SCHEME.form.decode(vector("x", later=1).parts))
    assert more["unknown_keys"] == ["later"]
    known = set(CASE.words)
    assert {name for name in more if name != "pcrs"} <= known
    assert {f"pcrs.{index}" for index in range(32)} <= known


def test_the_token_names_image_and_module() -> None:
    verified = run_checks(
        SCHEME,
        Subject(SCHEME.form.decode({layout.PART: good()}), Collateral(), (NITRO.anchor(),), NOW, ChainCache()),
        BOUND,
    )
    assert verified.bound
    assert SCHEME.token.measurement(verified, ()) == image_pcrs()[0].hex()
    assert SCHEME.token.instance(verified) == ("aws-nitro.module", NITRO.module)
    assert SCHEME.token.debug_status(verified.evidence) == "disabled-since-boot"
    assert verified.root == "simulated"
    assert not SCHEME.host_excluded
    observed = SCHEME.appraisal.observe(verified)
    assert observed["workload"]["pcrs"] == {str(i): image_pcrs()[i].hex() for i in range(3)}
    WorkloadValues.model_validate(observed["workload"])
    PlatformValues.model_validate({**observed["platform"], "max_age": 60}, strict=False)


def test_a_document_of_another_module_verifies_with_its_own_leaf() -> None:
    other = ForgedNitro(now=NOW, module="i-0fedcba9876543210-enc0")
    base = base_vector("aws-nitro")
    swapped = dataclasses.replace(base, parts=other.parts(DIGEST, certificate=NITRO.leaf()), rule_values={})
    assert run_vector(swapped, SCHEME) == ("rejected", "aws-nitro.document.signature")
    own = dataclasses.replace(base, parts=other.parts(DIGEST), rule_values={})
    assert run_vector(own, SCHEME) == ("accepted", "")


def test_an_empty_field_never_satisfies_a_challenge() -> None:
    document = SCHEME.form.decode({layout.PART: NITRO.document(user_data=b"", nonce=b"")})
    subject = Subject(document, Collateral(), (NITRO.anchor(),), NOW, ChainCache())
    with pytest.raises(EvidenceRejected, match=r"binding\.user-data"):
        run_checks(SCHEME, subject, BOUND)
    with pytest.raises(EvidenceRejected, match=r"binding\.user-data"):
        run_checks(SCHEME, subject, UnsafeUnbound(b""))


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (WorkloadValues, {"pcrs": {"0": "0" * 96}}),
        (WorkloadValues, {"pcrs": {"2": "0" * 96, "0": "1" * 96}}),
        (WorkloadValues, {"pcrs": {"32": "1" * 96}}),
        (WorkloadValues, {"pcrs": {"00": "1" * 96}}),
        (WorkloadValues, {"pcrs": {}}),
        (WorkloadValues, {"pcrs": {"0": "A" * 96}}),
        (WorkloadValues, {"pcrs": {"0": "1" * 64}}),
        (ConfigValues, {"extended": {"digest": "1" * 96, "pcr": 15}}),
        (ConfigValues, {"extended": {"digest": "1" * 96, "pcr": 32}}),
        (ConfigValues, {"extended": {"digest": "1" * 64}}),
        (ConfigValues, {"extended": {"pcr": 16}}),
        (PlatformValues, {"root": "anybody"}),
        (PlatformValues, {"instances": []}),
        (PlatformValues, {"instances": ["enc01"]}),
        (PlatformValues, {"max_age": 0}),
    ],
)
def test_identities_that_would_check_nothing_are_refused(model: type[Any], values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(values, strict=False)


def _case(**policy: Any) -> CaseFiles:
    return CaseFiles("aws-nitro", {"attestation.cbor": good()}, {}, policy, NOW)


@pytest.mark.parametrize("policy", [{"allow_debug": "no"}, {"allow_debug": None}, {"nonce": "xyz"}, {"nonce": 7}])
def test_a_policy_of_the_wrong_type_is_a_usage_error(policy: dict[str, Any]) -> None:
    with pytest.raises(CaseError):
        CASE.judge(_case(**policy))


def test_a_case_under_a_forged_root_is_refused_and_its_claims_are_shown() -> None:
    with pytest.raises(EvidenceRejected, match=r"aws-nitro\.chain\.root"):
        CASE.judge(_case())
    files = dataclasses.replace(_case(), evidence={"attestation.cbor": good() + b"\x00"})
    with pytest.raises(MalformedEvidence):
        CASE.claims(files)
    assert CASE.fallback_claims(files)["module_id"] == NITRO.module
    with contextlib.suppress(MalformedEvidence):
        assert CASE.fallback_claims(dataclasses.replace(files, evidence={"attestation.cbor": b"\xff"})) == {}


def test_every_remedy_and_word_is_there() -> None:
    for each in (*SCHEME.verification.checks, *SCHEME.appraisal.rules):
        assert remedy_of(each.id), each.id
