"""``verifier workload``: the documents that attesters name."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import click

from verifier.adapters.trust.documents import load_documents
from verifier.appraise.documents import WorkloadDocument, parse_document
from verifier.appraise.plain import PlainDocument
from verifier.core.console import Answer, answers
from verifier.formats.errors import ConfigError
from verifier.tee.registry import SCHEMES


@click.group("workload")
def command() -> None:
    """List and make workload documents.

    A workload names the policy that it must satisfy, and the Vault that takes its token.
    """


@command.command("list")
@click.argument("folder", type=click.Path())
@click.option("--tenant", help="List workloads of this tenant alone.")
@answers
def list_command(folder: str, tenant: str | None) -> Answer:
    """List the workloads of FOLDER."""
    documents = load_documents(folder)
    found = [
        parsed.model
        for _key, parsed in sorted(documents.workloads.items())
        if isinstance(parsed.model, WorkloadDocument) and tenant in (None, parsed.model.tenant)
    ]
    rows = [one.model_dump(mode="json", exclude={"signature"}, exclude_none=True) for one in found]
    lines = [f"{one.tenant}/{one.name}@{one.version}  {one.uuid}  policy {one.policy}  {one.state}" for one in found]
    return Answer({"workloads": rows}, "\n".join(lines) or "no workloads")


@command.command("new")
@click.argument("name")
@click.option("--tenant", required=True, help="The tenant.")
@click.option("--policy", required=True, help="Name of the appraisal policy.")
@click.option("--audience", required=True, help="Audience of its tokens, which names one Vault mount.")
@click.option("--vault", "address", required=True, help="Address of Vault, https://host[:port].")
@click.option("--vault-ca", type=click.Path(), required=True, help="PEM file with the CA of Vault's TLS certificate.")
@click.option("--mount", required=True, help="Path of the JWT auth mount.")
@click.option("--role", required=True, help="Role on that mount.")
@answers
def new(
    name: str, tenant: str, policy: str, audience: str, address: str, vault_ca: str, mount: str, role: str
) -> Answer:
    """Print a workload document with a new uuid.

    The uuid is the workload's subject in Vault for good.
    """
    try:
        ca_pem = Path(vault_ca).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(vault_ca, "--vault-ca", str(error), "a readable PEM file") from None
    document = {
        "document": "workload",
        "uuid": str(uuid.uuid4()),
        "name": name,
        "tenant": tenant,
        "version": 1,
        "policy": policy,
        "audience": audience,
        "vault": {"address": address, "ca_pem": ca_pem, "mount": mount, "role": role},
        "labels": {},
        "state": "enabled",
    }
    parse_document(PlainDocument("command line", document), SCHEMES)
    return Answer(document, _yaml(document))


def _yaml(document: dict[str, object]) -> str:
    """Write YAML with JSON's scalar forms: every text in quotes, certificates as a block."""
    lines = []
    for key, value in document.items():
        if key == "vault" and isinstance(value, dict):
            lines.append("vault:")
            lines += [f"  {name}: {json.dumps(item)}" for name, item in value.items() if name != "ca_pem"]
            lines += ["  ca_pem: |", *(f"    {line}" for line in value["ca_pem"].splitlines())]
        else:
            lines.append(f"{key}: {json.dumps(value)}")
    return "\n".join(lines)
