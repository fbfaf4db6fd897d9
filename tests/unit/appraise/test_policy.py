"""Compiling policies: fail closed, field by field, and one digest over all that decides."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import trust
from verifier.appraise.bundle import compile_all, gather
from verifier.appraise.compiled import CompiledPolicy
from verifier.formats.errors import ConfigError


def _compile(
    *,
    policy: dict[str, Any] | None = None,
    identities: list[dict[str, Any]] | None = None,
    schemes: Any = trust.SCHEMES,
) -> CompiledPolicy:
    documents = [*(trust.identities() if identities is None else identities), policy or trust.policy()]
    parsed = [trust.parse(document, f"t.yaml#{index}") for index, document in enumerate(documents, start=1)]
    (compiled,) = compile_all(gather(parsed, {}), schemes).values()
    return compiled


def _refused(**how: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        _compile(**how)
    return caught.value


def _with(kind: str, name: str, values: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    others = [one for one in trust.identities() if one["name"] != name]
    return [*others, trust.identity(kind, name, values, **more)]


def test_what_is_left_out_is_what_is_listed() -> None:
    compiled = _compile()
    assert [one.scope for one in compiled.classes] == ["platform", "firmware", "workload", "config"]
    assert compiled.unchecked_classes == frozenset()
    assert not compiled.allows_debug


@pytest.mark.parametrize("scope", ["platform", "workload"])
def test_class_left_out_is_an_error_unless_listed(scope: str) -> None:
    more = {"workload": ["workload"], "platform": ["workload.extra", "platform"]}[scope]
    assert _refused(policy=trust.policy(**{scope: None}, unchecked=[one for one in more if one != scope])).key == scope
    assert _compile(policy=trust.policy(**{scope: None}, unchecked=more)).unchecked_classes == {scope}


def test_config_left_out_is_an_error_and_cannot_be_unchecked() -> None:
    assert _refused(policy=trust.policy(config=None)).key == "config"
    for path in ("config", "config.digest"):
        error = _refused(policy=trust.policy(config=None, unchecked=["workload.extra", path]))
        assert (error.key, error.got) == (f"unchecked.{path}", "config")


def test_field_left_out_is_an_error_unless_listed() -> None:
    error = _refused(policy=trust.policy(unchecked=[]))
    assert (error.key, error.where) == ("workload.extra", "t.yaml#5")
    assert "'workload.extra' in unchecked" in error.want


def test_key_below_a_field_is_taken_out() -> None:
    compiled = _compile(policy=trust.policy(unchecked=["workload.extra", "workload.pcrs.8"]))
    (workload,) = (one for one in compiled.classes if one.scope == "workload")
    assert workload.candidates[0].rules[0].expected == {"9": "00000009"}
    assert workload.candidates[0].matched.values == {"pcrs": {"9": "00000009"}}


@pytest.mark.parametrize(
    ("unchecked", "key"),
    [
        (["workload.extra", "workload.pcrs.8", "workload.pcrs.9"], "workload.pcrs"),
        (["workload.extra", "workload.pcrs"], "workload"),
        (["workload.extra", "workload.extra"], "unchecked.workload.extra"),
        (["workload.extra", "workload"], "unchecked.workload.extra"),
        (["workload.extra", "workload.pcr"], "unchecked.workload.pcr"),
        (["workload.extra", "kernel"], "unchecked.kernel"),
        (["workload.extra", "workload.pcrs.8.x"], "unchecked.workload.pcrs.8.x"),
        (["workload.extra", "platform.min_svn.x"], "unchecked.platform.min_svn.x"),
        (["workload.extra", "firmware.level"], "unchecked.firmware.level"),
        (["workload.extra", "firmware"], "unchecked.firmware.level"),
        (["workload.extra", "platform"], "unchecked.platform"),
    ],
)
def test_unchecked_that_contradicts_or_excuses_nothing_is_refused(unchecked: list[str], key: str) -> None:
    assert _refused(policy=trust.policy(unchecked=unchecked)).key == key


def test_mandatory_rule_can_be_neither_unchecked_nor_excepted() -> None:
    assert "toy.level" in str(_refused(policy=trust.policy(firmware=None, unchecked=["workload.extra", "firmware"])))
    assert "toy.migration" in str(_refused(policy=trust.policy(exceptions={"allow_migration": True})))


@pytest.mark.parametrize(
    ("reference", "key"),
    [
        ({"name": "chips", "version": 2}, "platform.chips"),
        ({"name": "boot", "version": 1}, "platform.boot"),
        ({"name": "nothing", "version": "newest"}, "platform.nothing"),
    ],
)
def test_reference_leads_to_an_identity_of_that_class(reference: dict[str, Any], key: str) -> None:
    assert _refused(policy=trust.policy(platform=[reference])).key == key


def test_identities_of_another_tenant_are_not_found() -> None:
    others = [{**one, "tenant": "other"} if one["name"] == "chips" else one for one in trust.identities()]
    assert _refused(identities=others).key == "platform.chips"


def test_one_identity_twice_is_refused() -> None:
    twice = [{"name": "chips", "version": 1}, {"name": "chips", "version": "newest"}]
    assert _refused(policy=trust.policy(platform=twice)).got == "one identity twice"
    versions = [*trust.identities(), trust.identity("workload", "app", {"pcrs": {"8": "00000007"}}, version=2)]
    both = [{"name": "app", "version": 1}, {"name": "app", "version": 2}]
    assert _refused(policy=trust.policy(workload=both), identities=versions).got == "one identity twice"


def test_newest_is_the_highest_version() -> None:
    versions = [*trust.identities(), trust.identity("firmware", "boot", {"boot": "b0000010", "level": 1}, version=10)]
    compiled = _compile(policy=trust.policy(firmware=[{"name": "boot", "version": "newest"}]), identities=versions)
    assert compiled.newest == ("boot@10",)
    assert compiled.classes[1].candidates[0].matched.values["boot"] == "b0000010"


def test_value_that_one_candidate_gives_is_not_ignored_for_another() -> None:
    more = [*trust.identities(), trust.identity("platform", "any-chip", {"min_svn": 7})]
    both = [{"name": "chips", "version": 1}, {"name": "any-chip", "version": 1}]
    assert _refused(policy=trust.policy(platform=both), identities=more).key == "platform.chips"
    listed = ["workload.extra", "platform.chips"]
    assert (
        _refused(policy=trust.policy(platform=both, unchecked=listed), identities=more).key
        == "unchecked.platform.chips"
    )


def test_all_of_workload_counts_a_field_that_one_of_them_gives() -> None:
    more = [*trust.identities(), trust.identity("workload", "extra", {"extra": "c0000001"})]
    both = [{"name": "app", "version": 1}, {"name": "extra", "version": 1}]
    compiled = _compile(policy=trust.policy(workload=both, unchecked=[]), identities=more)
    assert [len(one.rules) for one in compiled.classes[2].candidates] == [1, 1]


def test_class_that_the_scheme_does_not_have_is_refused() -> None:
    scheme = trust.toy_scheme()
    models = {scope: model for scope, model in scheme.appraisal.models.items() if scope != "config"}
    schemes = {"toy": trust.replace_models(scheme, models)}
    identities = [one for one in trust.identities() if one["kind"] != "config"]
    assert _refused(identities=identities, schemes=schemes).key == "config"
    _compile(identities=identities, policy=trust.policy(config=None), schemes=schemes)


def test_value_that_no_rule_judges_is_refused() -> None:
    schemes = {"toy": trust.toy_scheme(rules=tuple(rule for rule in trust.RULES if rule.id != "toy.chip"))}
    assert _refused(schemes=schemes).key == "values.chips"


def test_exception_that_no_rule_knows_is_refused() -> None:
    schemes = {"toy": trust.toy_scheme(rules=tuple(rule for rule in trust.RULES if rule.id != "toy.debug"))}
    assert (
        _refused(policy=trust.policy(exceptions={"allow_debug": True}), schemes=schemes).key == "exceptions.allow_debug"
    )


def test_debug_that_is_let_pass_is_said() -> None:
    assert _compile(policy=trust.policy(exceptions={"allow_debug": True})).allows_debug
    assert not _compile(policy=trust.policy(exceptions={"allow_debug": False})).allows_debug


def test_software_class_of_which_no_rule_about_executables_is_left_counts_as_unchecked() -> None:
    compiled = _compile(
        policy=trust.policy(unchecked=["workload.extra", "firmware.boot"]),
        identities=_with("firmware", "boot", {"level": 0}),
    )
    assert compiled.unchecked_classes == {"firmware"}
    assert "executables" in compiled.unclaimed


def test_digest_covers_policy_and_every_identity_but_no_signature() -> None:
    base = _compile().digest
    assert _compile(policy=trust.policy(version=2)).digest != base
    assert _compile(identities=_with("firmware", "boot", {"boot": "b0000002", "level": 0})).digest != base
    assert (
        _compile(identities=_with("platform", "chips", {"min_svn": 5, "chips": ["c0000001"]}, origin="other")).digest
        != base
    )
    assert _compile(policy=trust.policy(signature="e30..AAAA")).digest == base
    unrelated = [*trust.identities(), trust.identity("firmware", "boot", {"boot": "b0000009"}, version=9)]
    assert _compile(identities=unrelated).digest == base
