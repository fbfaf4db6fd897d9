"""The OpenAPI 3.1 document, made from the very models that validate requests."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from verifier.core import product, wire

_REF = "#/components/schemas/{model}"
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "check_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "check_id": {"type": "string", "description": "Which check said no; ids are never renamed."},
    },
}
_NO = {
    "400": "malformed: cannot be read",
    "403": "rejected: read, not believed or not wanted",
    "408": "not there in time",
    "413": "larger than the route takes",
    "415": "wrong media type",
    "429": "too many requests (Retry-After)",
    "500": "a bug",
    "503": "cannot decide now (Retry-After)",
}

# method, path, operation id, summary, request media type, request model, success status, answer model
_ROUTES: tuple[tuple[str, str, str, str, str, type[BaseModel] | None, str, type[BaseModel] | None], ...] = (
    (
        "post",
        "/v1/challenges",
        "challenge",
        "Ask for a nonce",
        "application/json",
        wire.ChallengeRequest,
        "200",
        wire.ChallengeAnswer,
    ),
    (
        "post",
        "/v1/attestations",
        "attest",
        "Evidence in, encrypted answer out",
        "application/jose",
        None,
        "200",
        wire.AttestationAnswer,
    ),
    (
        "post",
        "/v1/tpm2/enrolments",
        "enrol",
        "Ask for a credential",
        "application/json",
        wire.EnrolmentRequest,
        "200",
        wire.EnrolmentChallenge,
    ),
    (
        "put",
        "/v1/tpm2/enrolments/{ak_name}",
        "proveEnrolment",
        "Prove it was activated",
        "application/json",
        wire.EnrolmentProof,
        "204",
        None,
    ),
    (
        "get",
        "/t/{tenant}/.well-known/openid-configuration",
        "discovery",
        "OIDC discovery of a tenant",
        "",
        None,
        "200",
        None,
    ),
    ("get", "/t/{tenant}/.well-known/jwks.json", "jwks", "A tenant's public keys", "", None, "200", None),
    ("get", "/v1/openapi.json", "openapi", "This document", "", None, "200", None),
)


def _content(media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {media_type: {"schema": schema}}


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _operation(route: tuple[Any, ...]) -> dict[str, Any]:
    _, path, operation_id, summary, media_type, body, status, answer = route
    success: dict[str, Any] = {"description": "done"}
    if status != "204":
        schema = _ref(answer) if answer is not None else {"type": "object"}
        success["content"] = _content("application/json", schema)
    responses = {status: success}
    for code, meaning in _NO.items():
        if media_type or code in ("500", "503"):
            responses[code] = {
                "description": meaning,
                "content": _content("application/problem+json", {"$ref": "#/components/schemas/Problem"}),
            }
    if "{tenant}" in path:
        responses["404"] = {
            "description": "no such tenant",
            "content": _content("application/problem+json", {"$ref": "#/components/schemas/Problem"}),
        }
    operation: dict[str, Any] = {"operationId": operation_id, "summary": summary, "responses": responses}
    if body is not None:
        operation["requestBody"] = {"required": True, "content": _content(media_type, _ref(body))}
    elif media_type:
        operation["requestBody"] = {
            "required": True,
            "description": "A compact JWS by keys.sig (ES256, typ vab-request+jws) whose payload is AttestationClaims.",
            "content": _content(
                media_type, {"type": "string", "pattern": r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$"}
            ),
        }
    names = [step[1:-1] for step in path.split("/") if step.startswith("{")]
    if names:
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    return operation


def document() -> dict[str, Any]:
    """Build the document."""
    models: list[type[BaseModel]] = [wire.AttestationClaims]
    for route in _ROUTES:
        models.extend(model for model in (route[5], route[7]) if model is not None)
    _, schemas = models_json_schema([(model, "validation") for model in models], ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for route in _ROUTES:
        paths.setdefault(route[1], {})[route[0]] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "vault-attestation-bridge verifier",
            "version": product.VERSION,
            "description": "Evidence in, attestation-bound JWT out, encrypted to a key that the evidence names.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": {**schemas["$defs"], "Problem": _PROBLEM}},
    }


@lru_cache(maxsize=1)
def document_bytes() -> bytes:
    """Return the document as served."""
    return json.dumps(document(), sort_keys=True, separators=(",", ":")).encode()
