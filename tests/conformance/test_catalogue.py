"""The catalogue has every id that the program can say, and no other; each with what it means and what to change."""

from __future__ import annotations

import ast
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import astuple
from enum import StrEnum
from functools import cache

import pytest

import attester.ids
import verifier.cases.ids
import verifier.core.ids
import verifier.tee.tpm2.ids
from attester.cli.checks import listed as listed_by_attester
from tests.support.sources import modules
from tests.support.vectors import base_vector, case_vectors_of, run_vector, vectors_of
from verifier.adapters.collateral.folder import check_of
from verifier.cases.registry import CASES
from verifier.core.catalogue import Listed
from verifier.core.ids import PolicyId, ServiceId
from verifier.formats.encoding import canonical
from verifier.formats.errors import BridgeError, CannotDecide, EvidenceRejected, MalformedEvidence
from verifier.formats.x509chain import ChainIds
from verifier.tee.catalogue import listed, remedy_of
from verifier.tee.registry import SCHEMES
from verifier.tee.scheme import Need
from verifier.tee.verified import gather, require_parts

ENUMERATIONS: Mapping[str, type[StrEnum]] = {
    name: found
    for module in (verifier.core.ids, verifier.tee.tpm2.ids, verifier.cases.ids, attester.ids)
    for name, found in vars(module).items()
    if isinstance(found, type) and issubclass(found, StrEnum) and found is not StrEnum
}
MEMBERS = [member for one in ENUMERATIONS.values() for member in one]
# What has the form of an id and is none: kinds of needs and of instances.
KINDS = {
    *("arm-cca.cpak", "sev-snp.ask", "sev-snp.crl", "tpm2.ak"),
    *("arm-cca.chip", "aws-nitro.module", "aws-nitrotpm.module", "gcp-vtpm.ak", "nvidia-gpu.device"),
    *("sev-snp.chip", "sev-snp.report-id"),
}
NOES: Mapping[str, type[BridgeError]] = {
    one.__name__: one for one in (MalformedEvidence, EvidenceRejected, CannotDecide)
}


@cache
def _listed() -> Mapping[str, Listed]:
    known = [*listed(), *listed_by_attester()]
    by_id = {one.id: one for one in known}
    assert len(by_id) == len(known)
    return by_id


def _needs(name: str) -> Iterator[Need]:
    """Go through what a scheme asks of the verifier's own sources for its vectors, one after the other withheld."""
    scheme = SCHEMES[name]
    for vector in vectors_of(name):
        asked: list[Need] = []

        def ask(
            needs: tuple[Need, ...], asked: list[Need] = asked, have: Mapping[str, bytes] = vector.collateral
        ) -> dict[str, bytes]:
            asked += needs
            return {need.name: have[need.name] for need in needs if need.name in have}

        try:
            require_parts(scheme, vector.parts, vector.endorsements)
            gather(scheme, scheme.form.decode(vector.parts), vector.endorsements, ask)
        except BridgeError:
            continue
        finally:
            yield from asked


def _said() -> set[str]:
    """Collect every id that the program can say: where it is raised by name, where a table has it, where evidence fails with it."""
    said: set[str] = set(MEMBERS)
    for name, scheme in SCHEMES.items():
        said |= {check.id for check in scheme.verification.checks} | {rule.id for rule in scheme.appraisal.rules}
        said |= {vector.check_id for vector in vectors_of(name)}
        said |= {f"{name}.decode.{part}" for part in scheme.form.required}
        said |= {check_of(name, need.kind) for need in _needs(name)}
    for name in CASES.keys() - SCHEMES.keys():
        said |= {vector.check_id for vector in case_vectors_of(name)}
    return said - {""}


@pytest.mark.slow
def test_the_catalogue_has_what_the_program_says_and_nothing_else() -> None:
    said, known = _said(), _listed().keys()
    assert not sorted(said - known)
    assert not sorted(known - said)


@pytest.mark.parametrize("name", sorted(SCHEMES))
def test_a_part_that_is_missing_is_refused_under_its_id(name: str) -> None:
    base = base_vector(name)
    for part in SCHEMES[name].form.required:
        parts = {one: data for one, data in base.parts.items() if one != part}
        vector = type(base)(name="x", scheme=name, parts=parts, outcome="malformed")
        assert run_vector(vector, SCHEMES[name]) == ("malformed", f"{name}.decode.{part}")


def test_every_id_says_what_it_means_and_what_to_change_in_one_clause() -> None:
    for one in _listed().values():
        for clause in (one.meaning, one.remedy):
            assert clause, one.id
            assert clause == clause.strip(), one.id
            assert not clause.endswith("."), one.id


def test_no_meaning_leans_on_another_line() -> None:
    """A list of one id has to do: nothing is "the same", and there is no line above."""
    leaning = re.compile(
        r"^(?:it|its|they|these|this|so|nor|as|that)\b|\b(?:as told|the same (?:for|as)|(?:JSON|forms) above)\b|\]\("
    )
    pointing = {one.id for one in _listed().values() if leaning.search(one.meaning)}
    assert not sorted(pointing)


def test_every_constant_of_the_form_of_a_schemes_id_is_one() -> None:
    form = re.compile(rf"(?:{'|'.join((*SCHEMES, *CASES))})(?:\.[a-z0-9][a-z0-9_-]*)+", re.ASCII)
    found = {
        node.value
        for module in modules("verifier/tee", "verifier/cases", "verifier/service", "verifier/cli")
        for node in ast.walk(module)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and form.fullmatch(node.value)
    }
    assert not sorted(found - _listed().keys() - KINDS)
    assert found >= KINDS


def _steps(node: ast.AST) -> set[str]:
    """Return the members that ``ChainIds.named(enumeration, prefix)`` takes."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "named"):
        return set()
    match node.args:
        case [ast.Name(id=name), ast.Constant(value=prefix)] if name in ENUMERATIONS:
            return set(astuple(ChainIds.named(ENUMERATIONS[name], str(prefix))))
    return set()


def test_every_member_is_said_somewhere_and_as_the_no_that_the_catalogue_names() -> None:
    used: set[str] = set()
    raised: defaultdict[str, set[str]] = defaultdict(set)
    for node in (node for module in modules("verifier", "attester") for node in ast.walk(module)):
        if (member := _member(node)) is not None:
            used.add(member)
        used |= _steps(node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in NOES and node.args:
            raised[_member(node.args[0]) or ""].add(NOES[node.func.id].outcome)
    made = {member for member in MEMBERS if re.fullmatch(r"attester\.(?:verifier|vault)\.[a-z]+", member)}
    assert not sorted(set(MEMBERS) - used - made)  # attester.https makes those from the server's name
    del raised[""]
    assert not sorted(i for i, outcomes in raised.items() if _listed()[i].kind not in outcomes | {"check"})


def _member(node: ast.AST) -> str | None:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ENUMERATIONS:
        return str(ENUMERATIONS[node.value.id][node.attr])
    return None


def test_a_member_is_a_plain_string_wherever_it_goes() -> None:
    member = ServiceId.STORE
    assert (f"{member}", str(member), json.dumps({"a": member}), f"{member:>14}") == (
        "service.store", "service.store", '{"a": "service.store"}', " service.store",
    )  # fmt: skip
    assert canonical({"rule": PolicyId.NOTHING}) == b'{"rule":"policy.nothing"}'
    error = CannotDecide(member, "gone")
    assert type(error.check_id) is str
    assert str(error) == "service.store: gone"


def test_what_is_not_there_has_no_remedy_but_for_parts_and_endorsements() -> None:
    assert remedy_of("") == remedy_of("service.nothing-like-it") == ""
    assert remedy_of("sev-snp.decode.nothing-like-it") == remedy_of("tdx.decode.nothing-like-it") != ""
