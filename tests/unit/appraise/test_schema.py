"""The published JSON Schema: what regenerating writes, valid, and of one mind with the parser where a schema can be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.support import trust
from verifier.adapters.trust.documents import load_documents
from verifier.appraise.schema import schema_text, schemas
from verifier.tee.registry import SCHEMES

ROOT = Path(__file__).resolve().parents[3]
PUBLISHED = ROOT / "docs" / "schema"


@pytest.mark.parametrize("name", ["identity", "policy", "workload"])
def test_committed_schema_is_what_the_registry_makes(name: str) -> None:
    text = (PUBLISHED / f"{name}.json").read_text(encoding="utf-8")
    assert text == schema_text(schemas(SCHEMES)[name]), "run `verifier policy schema --write docs/schema` and commit"


def test_no_other_schema_is_published() -> None:
    assert sorted(path.name for path in PUBLISHED.iterdir()) == ["identity.json", "policy.json", "workload.json"]


@pytest.mark.slow
@pytest.mark.parametrize("schemes", [SCHEMES, trust.SCHEMES], ids=["registry", "toy"])
def test_schemas_are_valid_and_every_reference_leads_somewhere(schemes: Any) -> None:
    for schema in schemas(schemes).values():
        Draft202012Validator.check_schema(schema)
        text = json.dumps(schema)
        for reference in text.split('"$ref": "#/$defs/')[1:]:
            assert reference.split('"')[0] in schema["$defs"]


def _errors(document: dict[str, Any], schemes: Any = trust.SCHEMES) -> list[str]:
    return [
        error.message for error in Draft202012Validator(schemas(schemes)[document["document"]]).iter_errors(document)
    ]


@pytest.mark.parametrize(
    "document", [*trust.identities(), trust.policy(), trust.workload()], ids=lambda one: str(one["name"])
)
def test_documents_that_are_taken_satisfy_the_schema(document: dict[str, Any]) -> None:
    assert _errors(document) == []
    assert _errors({**document, "colour": "red"})
    assert _errors({**document, "name": "+"})
    assert _errors({key: value for key, value in document.items() if key != "version"})


@pytest.mark.parametrize(
    "document",
    [
        trust.identity("firmware", "boot", {"min_svn": 1}),
        trust.identity("firmware", "boot", {"boot": "xyz"}),
        trust.identity("config", "none", {}),
        trust.identity("platform", "chips", {"min_svn": 1}, scheme="tdx"),
        trust.identity("platform", "chips", {"min_svn": 1}, window={"since": "x"}),
        trust.policy(exceptions={"allow_everything": True}),
        trust.policy(platform=[]),
        trust.workload(state="on"),
    ],
)
def test_documents_that_are_refused_fail_the_schema(document: dict[str, Any]) -> None:
    assert _errors(document)


def test_examples_satisfy_the_published_schema() -> None:
    for parsed in load_documents(ROOT / "policies" / "trust").all():
        schema = json.loads((PUBLISHED / f"{parsed.kind}.json").read_text(encoding="utf-8"))
        assert [error.message for error in Draft202012Validator(schema).iter_errors(json.loads(parsed.body))] == []
