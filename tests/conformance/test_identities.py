"""``verifier identity from-evidence`` works for every scheme: what is read off a machine accepts that machine and no other."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.observed import Values, compiled, excepted, observed, verified_base, with_configuration
from tests.support.vectors import base_vector, vectors_of, verify_vector
from verifier.appraise.engine import appraise
from verifier.cases.folder import read_case
from verifier.cases.registry import CASES
from verifier.formats.errors import BridgeError, ConfigError
from verifier.reference.observe import observe
from verifier.tee.registry import SCHEMES

NAMES = sorted(SCHEMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_class_is_read_off_the_base_vectors_machine(name: str) -> None:
    """Fields may stay open. A class may where nothing of it was measured, but the platform and some software may not."""
    values = observed(name).values
    assert set(values) == set(SCHEMES[name].appraisal.models)
    assert values.get("platform", True)
    assert not SCHEMES[name].appraisal.software or any(values[scope] for scope in SCHEMES[name].appraisal.software)


@pytest.mark.parametrize("name", NAMES)
def test_a_machine_satisfies_the_identities_read_off_it(name: str) -> None:
    policy = compiled(SCHEMES[name], with_configuration(name), excepted(name))
    appraisal = appraise(verified_base(name), policy, base_vector(name).now)
    assert appraisal.accepted, [finding for finding in appraisal.findings if not finding.ok]


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves(item, (*path, index))
    else:
        yield path, value


def _changes(value: Any) -> list[Any]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1]
    text = str(value)
    digits = [char for char in "0123456789abcdef" if char != text[-1]]
    return [text[:-1] + digit for digit in digits] + [f"{text}9", "x"]


def _changed(values: Values, path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy({scope: dict(one) for scope, one in values.items()})
    place: Any = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


@pytest.mark.parametrize("name", NAMES)
def test_every_value_that_was_read_counts(name: str) -> None:
    """Some other value in its place is refused: by the model, when the policy is compiled, or by the machine's own evidence."""
    scheme, values, exceptions = SCHEMES[name], with_configuration(name), excepted(name)
    verified, now = verified_base(name), base_vector(name).now
    seen = 0
    for path, value in _leaves(values):
        if "mask" in path:
            continue  # says which bits of the value beside it count
        let_through = 0
        for other in _changes(value):
            try:
                policy = compiled(scheme, _changed(values, path, other), exceptions)
            except ConfigError:
                continue  # no value at all: the model's no
            if not appraise(verified, policy, now).accepted:
                break
            let_through += 1
        else:
            assert not let_through, f"{name}: {'.'.join(map(str, path))} = {value!r}"
        seen += 1
    assert seen


@pytest.mark.parametrize("name", NAMES)
def test_a_machine_with_another_measurement_does_not_satisfy_them(name: str) -> None:
    scheme = SCHEMES[name]
    policy = compiled(scheme, with_configuration(name), excepted(name))
    base = appraise(verified_base(name), policy, base_vector(name).now)
    for vector in vectors_of(name):
        if vector.outcome == "malformed":
            continue
        try:
            other = verify_vector(vector, scheme)
        except BridgeError:
            continue
        if scheme.token.measurement(other, base.matched) != base.measurement:
            assert not appraise(other, policy, vector.now).accepted, vector.name


# Cases of a TPM bring quotes in forms that their scheme does not take (several, SHA-1) and keys that nobody enrolled: they are
# judged by steps of their own, and no machine stands behind the verdict.
NO_MACHINE = frozenset({"tpm2", "gcp-vtpm", "azure-snp-vtpm", "azure-tdx-vtpm"})


@pytest.mark.parametrize("name", sorted((SCHEMES.keys() & CASES.keys()) - NO_MACHINE))
def test_published_machines_satisfy_the_identities_read_off_them(name: str, evidence_cases: Path) -> None:
    scheme, compared = SCHEMES[name], 0
    for path in sorted((evidence_cases / name).glob("*/case.json")):
        files = read_case(path.parent, CASES)
        try:
            verdict = CASES[name].judge(files)
        except BridgeError:
            continue
        assert verdict.verified is not None, f"{path.parent.name}: CaseVerdict.verified is not set"
        seen = observe(scheme, verdict.verified)
        try:
            policy = compiled(scheme, seen.values, {})
        except ConfigError as error:
            unexplained = not error.key.startswith("config")  # else: the operator has to say what was extended
            if unexplained:
                raise
            continue
        findings = appraise(verdict.verified, policy, files.now).findings
        assert not [one for one in findings if not one.ok and one.scope != "service"], path.parent.name
        compared += 1
    assert compared
