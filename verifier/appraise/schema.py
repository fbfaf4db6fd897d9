"""The published JSON Schema of trust documents, composed from the registry. Pure.

Three schemas (``identity``, ``policy``, ``workload``), each closed; ``values`` and ``exceptions`` are those of the scheme's own
models, picked by ``scheme`` and ``kind``. What a schema cannot say (what refers to what, fail closed, signatures) is said in
docs/trust-documents.md and checked by ``verifier policy check``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from verifier.appraise.documents import MODELS, MetadataValues, Schemes

DIALECT = "https://json-schema.org/draft/2020-12/schema"
BASE = "https://vault-attestation-bridge.example/schema"


def schemas(schemes: Schemes) -> dict[str, dict[str, Any]]:
    """Return the schemas by the word in ``document``."""
    return {name: _schema(name, schemes) for name in MODELS}


def schema_text(schema: Mapping[str, Any]) -> str:
    """Return a schema as it is published."""
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


def _schema(name: str, schemes: Schemes) -> dict[str, Any]:
    schema = MODELS[name].model_json_schema(by_alias=True)
    definitions: dict[str, Any] = schema.setdefault("$defs", {})
    branches: list[dict[str, Any]] = []
    if name == "identity":
        for scheme in schemes.values():
            models: list[tuple[str, type[BaseModel]]] = [*scheme.appraisal.models.items(), ("metadata", MetadataValues)]
            for kind, model in models:
                picked = {"scheme": scheme.name, "kind": kind}
                branches.append(_branch(picked, "values", model, f"{scheme.name}.{kind}", definitions))
    elif name == "policy":
        for scheme in schemes.values():
            label = f"{scheme.name}.exceptions"
            branches.append(
                _branch({"scheme": scheme.name}, "exceptions", scheme.appraisal.exceptions, label, definitions)
            )
    if name != "workload":
        schema["properties"]["scheme"] = {"enum": sorted(schemes), "title": "Scheme"}
    if branches:
        schema["allOf"] = branches
    return {**schema, "$schema": DIALECT, "$id": f"{BASE}/{name}.json"}


def _branch(
    picked: Mapping[str, str], key: str, model: type[BaseModel], label: str, definitions: dict[str, Any]
) -> dict[str, Any]:
    """Return ``if these constants then this model``; the model's own definitions get the label before their names."""
    own = model.model_json_schema(by_alias=True, ref_template="#/$defs/" + label + ".{model}")
    for name, definition in own.pop("$defs", {}).items():
        definitions[f"{label}.{name}"] = definition
    definitions[label] = own
    constants = {name: {"const": value} for name, value in picked.items()}
    return {
        "if": {"properties": constants, "required": sorted(constants)},
        "then": {"properties": {key: {"$ref": f"#/$defs/{label}"}}},
    }
