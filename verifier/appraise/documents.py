"""The trust owner's documents: identities, appraisal policies, workloads, in their final schema. Pure.

``parse_document`` takes one plain document (``text.read_documents``) and checks its shape, its names and, where a scheme is
named, its values against that scheme's own model. What a document refers to is looked at by ``policy.compile_policy``.
Everything wrong is ``ConfigError`` with place, key, got, want. Source: docs/trust-documents.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from cryptography import x509
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from verifier.appraise.plain import PlainDocument, shorten
from verifier.formats.encoding import canonical
from verifier.formats.errors import ConfigError
from verifier.formats.fields import NAME_PATTERN, SchemeName
from verifier.tee.scheme import Scheme

Schemes = Mapping[str, Scheme[Any, Any]]
IdentityKind = Literal["platform", "firmware", "workload", "config", "metadata"]
M = TypeVar("M", bound=BaseModel)

Name = Annotated[str, Field(pattern=NAME_PATTERN, description="a-z, 0-9 and inner hyphens, at most 63 characters")]
Version = Annotated[int, Field(ge=1, le=2**31 - 1)]
Instant = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$",
        description="RFC 3339, UTC, whole seconds: 2026-01-31T00:00:00Z",
    ),
]
Uuid = Annotated[
    str,
    Field(
        pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
        description="RFC 9562, lower case",
    ),
]
HttpsUrl = Annotated[str, Field(pattern=r"^https://[!-~]{1,500}$")]
Label = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9._/-]{0,61}[a-z0-9])?$")]
LabelText = Annotated[str, Field(max_length=253, pattern=r"^[ -~]*$")]
FreeText = Annotated[str, Field(min_length=1, max_length=4096)]
DottedPath = Annotated[str, Field(pattern=r"^[a-z]+(\.[A-Za-z0-9_-]+){0,8}$")]


class Closed(BaseModel):
    """Base of every document model: strict, closed, frozen."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Window(Closed):
    """When a version may be used: ``from`` inclusive, ``until`` exclusive; a side left out is open."""

    from_: Annotated[Instant | None, Field(alias="from")] = None
    until: Instant | None = None


class Document(Closed):
    """What every document has. ``signature`` is a detached JWS over the RFC 8785 form of the document without it."""

    name: Name
    tenant: Name
    version: Version
    signed_by: Annotated[str, Field(pattern=NAME_PATTERN, description="name of the signing key")] | None = None
    signature: (
        Annotated[
            str, Field(pattern=r"^[A-Za-z0-9_-]+\.\.[A-Za-z0-9_-]+$", max_length=2048, description="detached JWS")
        ]
        | None
    ) = None


class Identity(Document):
    """A reference value with an origin: what a platform, firmware, workload or attester configuration must look like."""

    document: Literal["identity"]
    kind: IdentityKind
    scheme: SchemeName
    window: Window | None = None
    origin: Annotated[
        FreeText | dict[str, FreeText],
        Field(description="where the values come from: one text for all, or one for each value"),
    ]
    values: dict[str, Any]


class MetadataValues(Closed):
    """What a ``metadata`` identity holds: labels for people, compared with nothing."""

    labels: Annotated[dict[Label, LabelText], Field(min_length=1)]


class IdentityReference(Closed):
    """An identity by name and pinned version; the highest version there is must be asked for as ``newest``."""

    name: Name
    version: Version | Literal["newest"]


References = Annotated[tuple[IdentityReference, ...], Field(min_length=1, max_length=64)]


class AppraisalPolicy(Document):
    """What a workload must satisfy: any of ``platform``, any of ``firmware``, all of ``workload``, any of ``config``."""

    document: Literal["policy"]
    scheme: SchemeName
    platform: References | None = None
    firmware: References | None = None
    workload: References | None = None
    config: References | None = None
    unchecked: Annotated[tuple[DottedPath, ...], Field(max_length=256)] = ()
    exceptions: dict[str, Any] = Field(default_factory=dict)


class VaultPlace(Closed):
    """Where the workload redeems its token; part of the signed answer, so that the host cannot choose another Vault."""

    address: HttpsUrl
    ca_pem: Annotated[
        str, Field(min_length=1, max_length=65536, description="PEM certificates that Vault's TLS must chain to")
    ]
    mount: Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9_./-]{0,125}[A-Za-z0-9])?$")]
    role: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,125}[A-Za-z0-9_])?$")]


class WorkloadDocument(Document):
    """What an attester names: which policy it must satisfy and where its token may be redeemed."""

    document: Literal["workload"]
    uuid: Uuid
    policy: Name
    audience: Annotated[str, Field(pattern=r"^[!-~]{1,512}$", description="names exactly one Vault mount")]
    vault: VaultPlace
    labels: dict[Label, LabelText] = Field(default_factory=dict)
    state: Literal["enabled", "disabled"]


AnyDocument = Identity | AppraisalPolicy | WorkloadDocument
MODELS: Mapping[str, type[Identity | AppraisalPolicy | WorkloadDocument]] = {
    "identity": Identity,
    "policy": AppraisalPolicy,
    "workload": WorkloadDocument,
}


@dataclass(frozen=True, slots=True)
class Parsed:
    """One validated document: ``body`` is its RFC 8785 form, signature and all; ``where`` is for messages."""

    where: str
    kind: Literal["identity", "policy", "workload"]
    model: AnyDocument
    body: str


def instant(text: str) -> int:
    """Unix seconds of an ``Instant``. Raises ``ValueError`` for a day or hour that does not exist."""
    return int(datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp())


def validate(model: type[M], where: str, value: Any, prefix: str = "") -> M:
    """Validate plain values against a model, strictly and in JSON's terms; ``ConfigError`` names the first wrong key."""
    try:
        # Not the RFC 8785 form, which writes 1.0 as 1: what is no whole number is refused here.
        return model.model_validate_json(json.dumps(value))
    except ValidationError as error:
        raise _worded(model, where, prefix, error) from None


def _worded(model: type[BaseModel], where: str, prefix: str, error: ValidationError) -> ConfigError:
    first = error.errors(include_url=False, include_context=False)[0]
    key = ".".join([prefix, *map(str, first["loc"])] if prefix else map(str, first["loc"]))
    if first["type"] == "missing":
        return ConfigError(where, key, "nothing", "a value")
    if first["type"] == "extra_forbidden":
        known = sorted(field.alias or name for name, field in model.model_fields.items())
        want = f"a known key (here: {', '.join(known)})" if len(first["loc"]) == 1 else "a known key"
        return ConfigError(where, key, "an unknown key", want)
    return ConfigError(where, key or "document", shorten(first["input"]), first["msg"])


def parse_document(plain: PlainDocument, schemes: Schemes) -> Parsed:
    """Validate one document, the values of its scheme's models too."""
    kind = plain.value.get("document")
    if not isinstance(kind, str) or kind not in MODELS:
        got = "nothing" if kind is None else shorten(kind)
        raise ConfigError(plain.where, "document", got, f"one of {', '.join(MODELS)}")
    if kind == "workload" and "events" in plain.value:
        # Its URL may hold a secret, so the message does not show it.
        want = "no events: this version sends none. Remove `events` from the document"
        raise ConfigError(plain.where, "events.webhook", "a place for events", want)
    model = validate(MODELS[kind], plain.where, plain.value)
    if isinstance(model, Identity):
        _check_identity(model, plain.where, schemes)
    elif isinstance(model, AppraisalPolicy):
        scheme = scheme_named(model.scheme, plain.where, schemes)
        validate(scheme.appraisal.exceptions, plain.where, model.exceptions, "exceptions")
    else:
        _check_workload(model, plain.where)
    return Parsed(plain.where, model.document, model, canonical(plain.value).decode())


def scheme_named(name: str, where: str, schemes: Schemes) -> Scheme[Any, Any]:
    """Find a scheme; ``ConfigError`` lists those there are."""
    if name not in schemes:
        raise ConfigError(where, "scheme", name, f"one of {', '.join(sorted(schemes)) or '(none is registered)'}")
    return schemes[name]


def identity_model(scheme: Scheme[Any, Any], kind: IdentityKind, where: str) -> type[BaseModel]:
    """Return the model of an identity's values."""
    if kind == "metadata":
        return MetadataValues
    if kind not in scheme.appraisal.models:
        classes = ", ".join((*scheme.appraisal.models, "metadata"))
        raise ConfigError(where, "kind", kind, f"a class that {scheme.name} has: {classes}")
    return scheme.appraisal.models[kind]


def _check_identity(model: Identity, where: str, schemes: Schemes) -> None:
    scheme = scheme_named(model.scheme, where, schemes)
    values = validate(identity_model(scheme, model.kind, where), where, model.values, "values")
    given = {name for name, value in values.model_dump(mode="json").items() if value is not None}
    if not given:
        raise ConfigError(where, "values", "nothing", "at least one value: nothing to check is a failure")
    if isinstance(model.origin, dict):
        for name in sorted(given - model.origin.keys()):
            raise ConfigError(where, f"origin.{name}", "nothing", "where this value comes from")
        for name in sorted(model.origin.keys() - given):
            raise ConfigError(
                where, f"origin.{name}", "an unknown key", f"one of the values given: {', '.join(sorted(given))}"
            )
    if model.window is not None:
        _check_window(model.window, where)


def _check_window(window: Window, where: str) -> None:
    if window.from_ is None and window.until is None:
        raise ConfigError(where, "window", "nothing", "from, until, or both")
    ends = {}
    for key, text in (("from", window.from_), ("until", window.until)):
        if text is not None:
            try:
                ends[key] = instant(text)
            except (ValueError, OverflowError):
                raise ConfigError(
                    where, f"window.{key}", text, "a moment that exists, such as 2026-01-31T00:00:00Z"
                ) from None
    if len(ends) > 1 and ends["from"] >= ends["until"]:
        raise ConfigError(where, "window.until", window.until, f"a moment after {window.from_}")


def _check_workload(model: WorkloadDocument, where: str) -> None:
    address = model.vault.address
    if not _is_plain_https(address):
        raise ConfigError(
            where, "vault.address", shorten(address), "https://host[:port] without user, query or fragment"
        )
    if ".." in model.vault.mount or "//" in model.vault.mount:
        raise ConfigError(where, "vault.mount", model.vault.mount, "a path of plain segments")
    if not _holds_certificates(model.vault.ca_pem):
        raise ConfigError(where, "vault.ca_pem", shorten(model.vault.ca_pem), "at least one PEM certificate")


@lru_cache(maxsize=256)
def _holds_certificates(pem: str) -> bool:
    """Tell whether the text is PEM certificates; thousands of workloads share one."""
    try:
        return bool(x509.load_pem_x509_certificates(pem.encode()))
    except ValueError:
        return False


def _is_plain_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return (
        bool(parts.hostname)
        and port != 0
        and parts.path == ""
        and "@" not in parts.netloc
        and not parts.query
        and not parts.fragment
    )
