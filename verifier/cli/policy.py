"""``verifier policy``: check, show and sign trust documents, and print their JSON Schema."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from verifier.adapters.settings_source import load_settings
from verifier.adapters.trust.compiling import (
    HISTORY,
    TAKEN,
    compile_into,
    documents_as_rows,
    folder_manifest,
    folder_rows,
)
from verifier.adapters.trust.documents import load_demands, load_documents, read_file
from verifier.appraise.bundle import compile_all
from verifier.appraise.compiled import CompiledPolicy
from verifier.appraise.documents import instant, parse_document
from verifier.appraise.lineage import MANIFEST, check_manifest, manifest_of
from verifier.appraise.lint import lint
from verifier.appraise.schema import schema_text, schemas
from verifier.appraise.signatures import sign_document
from verifier.appraise.text import read_documents
from verifier.cli.opened import CONFIG_OPTION, opened_store, read_private_key
from verifier.core.console import Answer, answers, prints
from verifier.core.exits import Exit
from verifier.formats.encoding import utc_time
from verifier.formats.errors import ConfigError
from verifier.tee.registry import SCHEMES

FOLDER = click.argument("folder", type=click.Path())
KEYS_OPTION = click.option(
    "--keys",
    type=click.Path(),
    help="JSON file of the tenants that demand signatures: {tenant: {key name: public JWK}}.",
)


@click.group("policy")
def command() -> None:
    """Check, show and sign trust documents.

    Trust documents are identities, appraisal policies and workloads.
    """


@command.command("check")
@FOLDER
@KEYS_OPTION
@click.option("--at", help="Judge windows at this moment (2026-01-31T00:00:00Z). Without it: now.")
@click.option("--strict", is_flag=True, help="Exit code 1 when there is a warning.")
@answers
def check(folder: str, keys: str | None, at: str | None, strict: bool) -> Answer:
    """Check the documents of FOLDER.

    Validate every document, compile every policy, compare the manifest where there is one, and print the linter's warnings.
    """
    now = int(time.time()) if at is None else _moment(at)
    documents = load_documents(folder, demands=load_demands(keys or ""))
    written = folder_manifest(folder)
    if written is not None:
        check_manifest(MANIFEST, written, documents_as_rows(documents))
    warned = lint(documents, compile_all(documents, SCHEMES), now)
    counts = {
        "identities": sum(map(len, documents.identities.values())),
        "policies": len(documents.policies),
        "workloads": len(documents.workloads),
    }
    warnings = [{"id": one.id, "where": one.where, "detail": one.detail} for one in warned]
    lines = [f"{one.id}: {one.where}: {one.detail}" for one in warned]
    lines.append(", ".join(f"{count} {name}" for name, count in counts.items()) + f", {len(warned)} warnings")
    code = Exit.NO if strict and warned else Exit.DONE
    return Answer({"outcome": "ok", **counts, "warnings": warnings}, "\n".join(lines), code)


def _moment(text: str) -> int:
    try:
        return instant(text)
    except ValueError:
        raise ConfigError("command line", "--at", text, "a moment such as 2026-01-31T00:00:00Z") from None


@command.command("manifest")
@FOLDER
@KEYS_OPTION
@click.option(
    "--version", type=click.IntRange(1), help="Version of the set. Without it: one more than the manifest has now."
)
@click.option("--write", is_flag=True, help="Write the manifest into FOLDER.")
@answers
def manifest(folder: str, keys: str | None, version: int | None, write: bool) -> Answer:
    """Make the manifest of FOLDER.

    A manifest says which version of the trust documents the folder is, how many documents it has, and their digest. Verifiers that
    share a store take the highest version, and refuse a folder that is not whole. Removals are meant where the version rises.
    """
    rows = folder_rows(folder, demands=load_demands(keys or ""))
    before = folder_manifest(folder) if version is None else None
    made = manifest_of(rows, version if version is not None else (before.version if before is not None else 0) + 1)
    text = json.dumps(made.model_dump(), indent=2)
    if write:
        try:
            Path(folder, MANIFEST).write_text(f"{text}\n", encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                str(Path(folder, MANIFEST)), "file", error.strerror, "a file that can be written"
            ) from None
    return Answer({"outcome": "written" if write else "made", "manifest": made.model_dump()}, text)


@command.command("accept")
@FOLDER
@CONFIG_OPTION
@answers
def accept(folder: str, config: str | None) -> Answer:
    """Bring FOLDER into force, whatever it takes back or removes.

    Use it to go back to documents that were replaced before, and to confirm that documents were removed on purpose. Give every
    verifier that shares the store the same folder: another one is refused from then on. A manifest in FOLDER needs a higher version
    than the one in force.
    """
    settings = load_settings(config)
    with opened_store(config) as store:
        standing = compile_into(store, folder, demands=load_demands(settings.trust_keys_file), accepted=True)
    change = standing.change or {"added": [], "removed": [], "changed": []}
    lines = [f"{kind} {name}" for kind in ("added", "removed", "changed") for name in change[kind]]
    lines.append(f"set {standing.number} is in force: {standing.digest}")
    data = {"outcome": "accepted", "number": standing.number, "digest": standing.digest}
    return Answer({**data, **{kind: change[kind] for kind in ("added", "removed", "changed")}}, "\n".join(lines))


@command.command("sets")
@CONFIG_OPTION
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100_000), help="List at most this many.")
@answers
def sets(config: str | None, limit: int) -> Answer:
    """List the sets that were in force.

    They are sets of trust documents, the newest last. A line has number, time, who took it, the manifest's version (0: none), how
    many documents were added, removed and changed, and the digest. With --format json, the names are there too.
    """
    with opened_store(config) as store:
        last = store.trust_number()
        found = [
            json.loads(body)
            for number in range(max(1, last - limit + 1), last + 1)
            if (body := store.trust_document("set", HISTORY, TAKEN, number)) is not None
        ]
    lines = [
        f"{one['number']} {utc_time(one['at_ms'] // 1000)} {one['by']} manifest {one['manifest']} +{one['count']['added']}"
        f" -{one['count']['removed']} ~{one['count']['changed']} {one['digest']}"
        for one in found
    ]
    return Answer({"outcome": "listed", "sets": found}, "\n".join(lines) or "no set was in force")


@command.command("schema")
@click.option(
    "--document",
    type=click.Choice(["identity", "policy", "workload"]),
    help="Print this schema alone. Without it: all.",
)
@click.option("--write", type=click.Path(), help="Write files {document}.json into this folder. Print nothing else.")
@prints
def schema(document: str | None, write: str | None) -> Answer:
    """Print the JSON Schema of the documents.

    It is made from the registered schemes.
    """
    chosen = {name: one for name, one in schemas(SCHEMES).items() if document in (None, name)}
    if write is None:
        printed: Any = chosen[document] if document is not None else chosen
        return Answer(printed, schema_text(printed).rstrip("\n"))
    try:
        Path(write).mkdir(parents=True, exist_ok=True)
        for name, one in chosen.items():
            Path(write, f"{name}.json").write_text(schema_text(one), encoding="utf-8")
    except OSError as error:
        raise ConfigError(write, "folder", error.strerror, "a folder that can be written") from None
    return Answer({"outcome": "ok"}, "\n".join(str(Path(write, f"{name}.json")) for name in chosen))


@command.command("show")
@FOLDER
@click.argument("name", required=False)
@click.option("--tenant", help="Show policies of this tenant alone.")
@answers
def show(folder: str, name: str | None, tenant: str | None) -> Answer:
    """Show compiled policies.

    Print every rule with the value that it expects, and the policy's digest, which tokens name.
    """
    documents = load_documents(folder)
    compiled = compile_all(documents, SCHEMES)
    chosen = [policy for key, policy in sorted(compiled.items()) if name in (None, key[1]) and tenant in (None, key[0])]
    if not chosen:
        raise ConfigError(folder, "policy", name or tenant, f"one of {', '.join(key[1] for key in sorted(compiled))}")
    return Answer({"policies": [_shown(one) for one in chosen]}, "\n\n".join(map(_worded, chosen)))


def _shown(policy: CompiledPolicy) -> dict[str, Any]:
    return {
        "tenant": policy.tenant,
        "name": policy.name,
        "version": policy.version,
        "scheme": policy.scheme.name,
        "digest": policy.digest.hex(),
        "unchecked": sorted(policy.unchecked),
        "unchecked_classes": sorted(policy.unchecked_classes),
        "service": [
            {"rule": one.rule.id, "expected": one.expected, "excepted": one.excepted} for one in policy.service
        ],
        "classes": [
            {
                "class": one.scope,
                "of": "all" if one.all_of else "any",
                "identities": [
                    {
                        "identity": candidate.reference,
                        "rules": [{"rule": rule.rule.id, "expected": rule.expected} for rule in candidate.rules],
                    }
                    for candidate in one.candidates
                ],
            }
            for one in policy.classes
        ],
    }


def _worded(policy: CompiledPolicy) -> str:
    lines = [f"{policy.tenant}/{policy.name}@{policy.version} ({policy.scheme.name}), digest {policy.digest.hex()}"]
    lines += [
        f"  {rule.rule.id}: {_json(rule.expected)}{' (exception)' if rule.excepted else ''}" for rule in policy.service
    ]
    for one in policy.classes:
        lines.append(f"  {'all' if one.all_of else 'any'} of {one.scope}:")
        for candidate in one.candidates:
            lines.append(f"    {candidate.reference}")
            lines += [f"      {rule.rule.id}: {_json(rule.expected)}" for rule in candidate.rules]
    if policy.unchecked:
        lines.append(f"  unchecked: {', '.join(sorted(policy.unchecked))}")
    return "\n".join(lines)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


@command.command("sign")
@click.argument("file", type=click.Path())
@click.option(
    "--key", "key_file", type=click.Path(), required=True, help="Private key, PEM (PKCS #8): Ed25519 or P-256."
)
@click.option("--signer", required=True, help="Name of the key in the verifier's keys file.")
@prints
def sign(file: str, key_file: str, signer: str) -> Answer:
    """Sign the documents of FILE.

    Print them as one JSON array, which is the content of a .json file of trust documents.
    """
    key = read_private_key(key_file)
    source = read_file(Path(file), file)
    signed = []
    for plain in read_documents(file, source.data, json_form=source.json_form):
        one = sign_document(plain.value, signer, key)
        parse_document(type(plain)(plain.where, one), SCHEMES)
        signed.append(one)
    return Answer({"documents": signed}, json.dumps(signed, indent=2, ensure_ascii=False))
