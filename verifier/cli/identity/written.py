"""What commands that write identities share: whose they are, how they are called, where they go."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from verifier.appraise.documents import parse_document
from verifier.appraise.plain import PlainDocument
from verifier.cli.evidence import read_bytes
from verifier.core import product
from verifier.core.console import Answer, options
from verifier.core.rules import Scope
from verifier.formats.encoding import utc_time
from verifier.formats.errors import ConfigError
from verifier.reference.draft import as_yaml, draft_identity, draft_policy
from verifier.tee.registry import SCHEMES

_LONGEST_ORIGIN: Final = 4096
_WRITTEN: Final = (
    click.option(
        "--name", required=True, help="Name of the identity. With several classes, each name ends with its class."
    ),
    click.option("--tenant", default="default", show_default=True, help="The tenant."),
    click.option(
        "--version",
        "number",
        type=click.IntRange(1, 2**31 - 1),
        default=1,
        show_default=True,
        help="Version of the identity.",
    ),
    click.option(
        "--policy",
        "policy",
        metavar="NAME",
        help="Write a policy of this name too. It pins the identities that are written.",
    ),
    click.option(
        "--without",
        multiple=True,
        metavar="CLASS.FIELD",
        help="Leave this value out, such as platform.chip_allow. Repeat the option for each.",
    ),
    click.option(
        "--output",
        type=click.Path(dir_okay=False),
        metavar="FILE",
        help="Write to FILE (.yaml or .json) instead of standard output.",
    ),
)


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file that values are computed from, or evidence that they are read off."""

    label: str
    path: str
    data: bytes

    def __str__(self) -> str:
        return f"{self.label} {Path(self.path).name} (sha256 {hashlib.sha256(self.data).hexdigest()})"


@dataclass(frozen=True, slots=True)
class Written:
    """One class's values with the origin of each."""

    kind: Scope
    values: Mapping[str, Any]
    origin: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Whose documents are written, under which names."""

    name: str
    tenant: str
    number: int
    policy: str | None
    without: tuple[str, ...]
    output: str | None


written_options = options("place", Place, *_WRITTEN)


def artifact(label: str, path: str) -> Artifact:
    """Read a file once: what is hashed for the origin is what is measured."""
    return Artifact(label, path, read_bytes(path))


def said_at(moment: int) -> str:
    """Say which program wrote a value, and when."""
    return f"{product.BUILD} at {utc_time(moment)}"


def origin(text: str) -> str:
    """Cut an origin to what a document holds."""
    return text if len(text) <= _LONGEST_ORIGIN else text[: _LONGEST_ORIGIN - 1] + "…"


def answer(scheme: str, written: Sequence[Written], place: Place, *hinted: str) -> Answer:
    """Put documents together, hold them to their scheme's models as a load does, and print or write them."""
    kept = [one for one in (_without(one, place.without) for one in written) if one.values]
    _require_known(written, place.without)
    if not kept:
        raise ConfigError("identity", "values", "none", "at least one value to write")
    documents = [
        draft_identity(
            scheme=scheme,
            kind=one.kind,
            name=place.name if len(kept) == 1 else f"{place.name}-{one.kind}",
            tenant=place.tenant,
            version=place.number,
            values=one.values,
            origin=_shortest(one.origin),
        )
        for one in kept
    ]
    open_fields = _left_out(scheme, kept)
    if place.policy is not None:
        drafted = draft_policy(
            SCHEMES[scheme], name=place.policy, tenant=place.tenant, version=place.number, identities=documents
        )
        documents.append(drafted)
        open_fields = []
    for index, document in enumerate(documents, start=1):
        parse_document(PlainDocument(f"draft#{index}", document), SCHEMES)
    hints = list(hinted)
    if open_fields:
        hints.append(f"add values for these, or list them in the policy's unchecked: {', '.join(open_fields)}")
    text = as_yaml(documents)
    if place.output is not None:
        text = _write(place.output, documents, text)
    return Answer({"documents": documents, "left_out": open_fields}, text.rstrip("\n"), hints=tuple(hints))


def _shortest(origins: Mapping[str, str]) -> str | Mapping[str, str]:
    """One text where every value has the same."""
    texts = set(origins.values())
    return texts.pop() if len(texts) == 1 else origins


def _without(one: Written, left: tuple[str, ...]) -> Written:
    values = {name: value for name, value in one.values.items() if f"{one.kind}.{name}" not in left}
    return Written(one.kind, values, {name: text for name, text in one.origin.items() if name in values})


def _require_known(written: Sequence[Written], left: tuple[str, ...]) -> None:
    known = {f"{one.kind}.{name}" for one in written for name in one.values}
    for path in left:
        if path not in known:
            raise ConfigError("identity", "--without", path, f"one of {', '.join(sorted(known))}")


def _left_out(scheme: str, written: Sequence[Written]) -> list[str]:
    """Name the fields of the written classes that have no value."""
    models = SCHEMES[scheme].appraisal.models
    return [f"{one.kind}.{name}" for one in written for name in models[one.kind].model_fields if name not in one.values]


def _write(path: str, documents: Sequence[Mapping[str, Any]], text: str) -> str:
    suffix = Path(path).suffix
    if suffix not in (".yaml", ".json"):
        raise ConfigError("--output", "file", path, "the extension .yaml or .json")
    data = text if suffix == ".yaml" else json.dumps(documents, indent=2, ensure_ascii=False) + "\n"
    try:
        Path(path).write_text(data, encoding="utf-8")
    except OSError as error:
        raise ConfigError(path, "file", error.strerror, "a file that can be written") from None
    return f"{len(documents)} documents written to {path}"
