"""The linter: each warning appears where it should, and nowhere else."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.support import trust
from verifier.appraise import lint as linter
from verifier.appraise.bundle import compile_all, gather
from verifier.appraise.lint import Warned, lint

UNTIL = {"until": "2026-06-10T00:00:00Z"}
END = 1_781_049_600


def _lint(
    *documents: dict[str, Any], identities: list[dict[str, Any]] | None = None, now: int = trust.NOW
) -> list[Warned]:
    parsed = [*(trust.identities() if identities is None else identities), *documents]
    gathered = gather([trust.parse(one, f"t.yaml#{index}") for index, one in enumerate(parsed, start=1)], {})
    return lint(gathered, compile_all(gathered, trust.SCHEMES), now)


def _ids(*documents: dict[str, Any], **more: Any) -> list[str]:
    return [one.id for one in _lint(*documents, **more)]


def _workload(name: str, policy: str = "default", **more: Any) -> dict[str, Any]:
    return trust.workload(name=name, uuid=str(uuid.uuid4()), policy=policy, **more)


def test_nothing_to_warn_of() -> None:
    assert _ids(trust.policy(), trust.workload()) == []


@pytest.mark.parametrize(
    ("policy", "id_"),
    [
        ({"workload": None, "unchecked": ["workload"]}, "lint.unmeasured"),
        ({"exceptions": {"allow_debug": True}}, "lint.debug"),
        ({"firmware": [{"name": "boot", "version": "newest"}]}, "lint.newest"),
    ],
)
def test_policy_that_is_worth_a_second_look(policy: dict[str, Any], id_: str) -> None:
    (warned,) = _lint(trust.policy(**policy), trust.workload())
    assert warned.id == id_
    assert warned.where == "t.yaml#5"
    assert "acme/default" in warned.detail


def test_software_class_without_anything_about_executables_is_unmeasured() -> None:
    bare = [one for one in trust.identities() if one["name"] != "boot"] + [
        trust.identity("firmware", "boot", {"level": 0})
    ]
    (warned,) = _lint(trust.policy(unchecked=["workload.extra", "firmware.boot"]), trust.workload(), identities=bare)
    assert (warned.id, "firmware" in warned.detail) == ("lint.unmeasured", True)


@pytest.mark.parametrize(
    ("now", "warned"),
    [(END - linter.WINDOW_NOTICE_S - 1, []), (END - linter.WINDOW_NOTICE_S, ["lint.window"]), (END, ["lint.window"])],
)
def test_window_that_ends_soon_or_has_ended(now: int, warned: list[str]) -> None:
    windowed = [{**one, "window": UNTIL} if one["name"] == "boot" else one for one in trust.identities()]
    assert _ids(trust.policy(), trust.workload(), identities=windowed, now=now) == warned


def test_window_that_has_not_begun() -> None:
    windowed = [
        {**one, "window": {"from": "2026-06-10T00:00:00Z"}} if one["name"] == "boot" else one
        for one in trust.identities()
    ]
    (warned,) = _lint(trust.policy(), trust.workload(), identities=windowed, now=END - 1)
    assert "not be used yet" in warned.detail


def test_workloads_of_one_policy_are_indistinct() -> None:
    (warned,) = _lint(trust.policy(), _workload("a"), _workload("b"))
    assert warned.id == "lint.indistinct"
    assert "acme/a, acme/b share policy default" in warned.detail
    (warned,) = _lint(trust.policy(), *(_workload(f"w{index}") for index in range(9)))
    assert "and 4 more" in warned.detail


@pytest.mark.parametrize(
    ("kind", "values", "warned"),
    [
        ("config", {"digest": "00000001"}, False),
        ("firmware", {"boot": "b0000002", "level": 0}, False),
        ("workload", {"pcrs": {"8": "00000008", "9": "0000000a"}}, False),
        ("platform", {"min_svn": 5, "chips": ["c0000002"]}, False),
        ("platform", {"min_svn": 5, "chips": ["c0000002", "c0000001"]}, True),
        ("platform", {"min_svn": 6, "chips": ["c0000001"]}, True),
        ("workload", {"pcrs": {"4": "00000004"}}, True),
    ],
)
def test_policies_that_no_value_tells_apart(kind: str, values: dict[str, Any], warned: bool) -> None:  # noqa: FBT001
    second = trust.identity(kind, "second", values)
    other = trust.policy(**{"name": "other", kind: [{"name": "second", "version": 1}]})
    found = _ids(trust.policy(), other, _workload("a"), _workload("b", "other"), second)
    assert found == (["lint.indistinct"] if warned else [])


def test_other_tenants_workload_is_as_good_an_impostor() -> None:
    theirs = [{**one, "tenant": "other"} for one in (*trust.identities(), trust.policy(), _workload("a"))]
    (warned,) = _lint(trust.policy(), trust.workload(), *theirs)
    assert warned.id == "lint.indistinct"
    assert "other/a" in warned.detail


def test_too_many_to_compare_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linter, "MAX_COMPARED", 1)
    (warned,) = _lint(trust.policy(), trust.policy(name="other"), _workload("a"), _workload("b", "other"))
    assert "more than the 1 that are compared" in warned.detail
