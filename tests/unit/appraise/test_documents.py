"""Shape, names and values of single documents: each wrong one names place, key, got and want."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import trust
from verifier.appraise.documents import AppraisalPolicy, Identity, WorkloadDocument, parse_document
from verifier.appraise.plain import PlainDocument
from verifier.appraise.text import read_documents
from verifier.formats.encoding import canonical
from verifier.formats.errors import ConfigError

IDENTITY = trust.identity("platform", "chips", {"min_svn": 5})


def _refused(document: dict[str, Any]) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        trust.parse(document)
    assert caught.value.where == "test.yaml#1"
    return caught.value


def test_each_kind_is_read() -> None:
    assert isinstance(trust.parse(IDENTITY).model, Identity)
    assert isinstance(trust.parse(trust.policy()).model, AppraisalPolicy)
    parsed = trust.parse(trust.workload())
    assert isinstance(parsed.model, WorkloadDocument)
    assert parsed.body.encode() == canonical(trust.workload())


@pytest.mark.parametrize(
    "name",
    ["", "+", "*", "a/b", "Acme", "-a", "a-", "a_b", "a.b", "a" * 64, "a\n", "\u212aat", "a b", "..", None, 7, True],
)
def test_names_are_those_that_vault_cannot_mistake(name: object) -> None:
    assert _refused({**IDENTITY, "name": name}).key == "name"


@pytest.mark.parametrize("base", [IDENTITY, trust.policy(), trust.workload()], ids=["identity", "policy", "workload"])
@pytest.mark.parametrize("key", ["name", "tenant"])
def test_every_document_has_such_names(base: dict[str, Any], key: str) -> None:
    assert _refused({**base, key: "+"}).key == key


@pytest.mark.parametrize("base", [IDENTITY, trust.policy(), trust.workload()], ids=["identity", "policy", "workload"])
def test_unknown_and_missing_keys_are_refused(base: dict[str, Any]) -> None:
    error = _refused({**base, "colour": "red"})
    assert (error.key, error.got) == ("colour", "an unknown key")
    assert "version" in error.want
    error = _refused({key: value for key, value in base.items() if key != "version"})
    assert (error.key, error.got) == ("version", "nothing")


@pytest.mark.parametrize("version", [0, -1, "1", True, None, 2**31, 1.0])
def test_versions_are_whole_numbers_from_one(version: object) -> None:
    assert _refused({**IDENTITY, "version": version}).key == "version"


@pytest.mark.parametrize("document", [None, "thing", 7, ["identity"]])
def test_document_says_what_it_is(document: object) -> None:
    assert _refused({**IDENTITY, "document": document}).key == "document"


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"scheme": "tdx"}, "scheme"),
        ({"kind": "hardware"}, "kind"),
        ({"values": {}}, "values"),
        ({"values": {"min_svn": None}}, "values"),
        ({"values": {"min_svn": -1}}, "values.min_svn"),
        ({"values": {"min_svn": "5"}}, "values.min_svn"),
        ({"values": {"chips": []}}, "values.chips"),
        ({"values": {"chips": ["C0000001"]}}, "values.chips.0"),
        ({"values": {"min_svm": 5}}, "values.min_svm"),
        ({"origin": ""}, "origin.constrained-str"),
        ({"origin": {"min_svn": ""}}, "origin.constrained-str"),
        ({"origin": {"chips": "somewhere"}}, "origin.min_svn"),
        ({"origin": {"min_svn": "somewhere", "chips": "nowhere"}}, "origin.chips"),
        ({"window": {}}, "window"),
        ({"window": {"from": "2026-01-01"}}, "window.from"),
        ({"window": {"from": "2026-02-30T00:00:00Z"}}, "window.from"),
        ({"window": {"from": "2026-01-02T00:00:00Z", "until": "2026-01-02T00:00:00Z"}}, "window.until"),
        ({"window": {"since": "2026-01-02T00:00:00Z"}}, "window.since"),
        ({"signature": "abc"}, "signature"),
        ({"signed_by": "Owner"}, "signed_by"),
    ],
)
def test_identity_that_is_wrong_is_refused_by_key(change: dict[str, Any], key: str) -> None:
    assert _refused({**IDENTITY, **change}).key.startswith(key.removesuffix(".constrained-str"))


def test_origin_is_required_and_may_be_given_value_by_value() -> None:
    without = {key: value for key, value in IDENTITY.items() if key != "origin"}
    assert _refused(without).key == "origin"
    trust.parse({**IDENTITY, "origin": {"min_svn": "release notes"}})


def test_metadata_is_labels_alone() -> None:
    trust.parse(trust.identity("metadata", "about", {"labels": {"team": "pay"}}))
    assert _refused(trust.identity("metadata", "about", {"labels": {}})).key == "values.labels"
    assert _refused(trust.identity("metadata", "about", {"min_svn": 5})).got in ("nothing", "an unknown key")


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"platform": []}, "platform"),
        ({"platform": [{"name": "chips"}]}, "platform.0.version"),
        ({"platform": [{"name": "chips", "version": "latest"}]}, "platform.0.version"),
        ({"platform": [{"name": "chips", "version": 1, "policy": None}]}, "platform.0.policy"),
        ({"platform": {"name": "chips", "version": 1}}, "platform"),
        ({"unchecked": ["workload..pcrs"]}, "unchecked.0"),
        ({"unchecked": "workload"}, "unchecked"),
        ({"exceptions": {"allow_debug": "yes"}}, "exceptions.allow_debug"),
        ({"exceptions": {"allow_everything": True}}, "exceptions.allow_everything"),
        ({"scheme": "tdx"}, "scheme"),
    ],
)
def test_policy_that_is_wrong_is_refused_by_key(change: dict[str, Any], key: str) -> None:
    assert _refused(trust.policy(**change)).key.startswith(key)


def _vault(**change: Any) -> dict[str, Any]:
    return {"vault": {**trust.workload()["vault"], **change}}


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"uuid": "7D6E0F1A-3C5B-4B7E-9A51-0D7F3C2B1A90"}, "uuid"),
        ({"uuid": "7d6e0f1a3c5b4b7e9a510d7f3c2b1a90"}, "uuid"),
        ({"uuid": "00000000-0000-0000-0000-000000000000"}, "uuid"),
        ({"state": "on"}, "state"),
        ({"state": None}, "state"),
        ({"audience": ""}, "audience"),
        ({"audience": "two words"}, "audience"),
        ({"policy": "De fault"}, "policy"),
        ({"labels": {"Team": "pay"}}, "labels"),
        (_vault(address="http://vault.example:8200"), "vault.address"),
        (_vault(address="https://vault.example:8200/"), "vault.address"),
        (_vault(address="https://"), "vault.address"),
        (_vault(address="https://vault:99999"), "vault.address"),
        (_vault(address="https://a@vault"), "vault.address"),
        (_vault(ca_pem="none"), "vault.ca_pem"),
        (_vault(ca_pem=""), "vault.ca_pem"),
        (_vault(ca_pem="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "vault.ca_pem"),
        (_vault(mount="/attested"), "vault.mount"),
        (_vault(mount="a/../sys"), "vault.mount"),
        (_vault(mount="a//b"), "vault.mount"),
        (_vault(role="a/b"), "vault.role"),
        (_vault(namespace="x"), "vault.namespace"),
    ],
)
def test_workload_that_is_wrong_is_refused_by_key(change: dict[str, Any], key: str) -> None:
    assert _refused(trust.workload(**change)).key.startswith(key)


@pytest.mark.parametrize("events", [{"webhook": "https://hooks.example/T0KEN"}, {"webhook": "http://plain"}, {}, None])
def test_a_webhook_is_refused_by_name_because_no_event_is_sent(events: dict[str, Any] | None) -> None:
    error = _refused(trust.workload(events=events))
    assert (error.key, error.got) == ("events.webhook", "a place for events")
    assert "sends none. Remove `events`" in error.want
    assert "T0KEN" not in str(error), "the address of a webhook often is a secret"


def test_long_input_is_cut_in_the_error() -> None:
    assert len(str(_refused({**IDENTITY, "name": "a" * 10_000}))) < 500


_KEYS = st.sampled_from([*IDENTITY, *trust.policy(), *trust.workload(), "window", "extra"])
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.text(max_size=5)
    | st.sampled_from(["identity", "policy", "toy"])
)
_VALUES = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3), max_leaves=6
)


@given(st.sampled_from([IDENTITY, trust.policy(), trust.workload()]), st.dictionaries(_KEYS, _VALUES, max_size=3))
def test_any_change_of_a_document_gives_a_document_or_config_error(
    base: dict[str, Any], change: dict[str, Any]
) -> None:
    document = {**base, **change}
    try:
        parsed = trust.parse(document)
    except ConfigError:
        return
    assert json.loads(parsed.body) == document


def test_yaml_and_json_of_one_document_have_one_body() -> None:
    as_json = json.dumps(IDENTITY).encode()
    as_yaml = b"\n".join(f"{key}: {json.dumps(value)}".encode() for key, value in reversed(IDENTITY.items()))
    bodies = set()
    for data, json_form in ((as_json, True), (as_yaml, False)):
        (plain,) = read_documents("f", data, json_form=json_form)
        bodies.add(parse_document(PlainDocument("f", plain.value), trust.SCHEMES).body)
    assert len(bodies) == 1
