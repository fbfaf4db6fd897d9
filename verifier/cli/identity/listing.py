"""``verifier identity list``: the reference values of a folder of trust documents."""

from __future__ import annotations

import click

from verifier.adapters.trust.documents import load_documents
from verifier.appraise.documents import Identity
from verifier.core.console import Answer, answers


@click.command("list")
@click.argument("folder", type=click.Path())
@click.option("--tenant", help="List identities of this tenant alone.")
@answers
def command(folder: str, tenant: str | None) -> Answer:
    """List the identities of FOLDER in every version."""
    documents = load_documents(folder)
    found = [
        parsed.model
        for _key, versions in sorted(documents.identities.items())
        for _version, parsed in sorted(versions.items())
        if isinstance(parsed.model, Identity) and tenant in (None, parsed.model.tenant)
    ]
    rows = [one.model_dump(mode="json", by_alias=True, exclude={"signature"}, exclude_none=True) for one in found]
    lines = [f"{one.tenant}/{one.name}@{one.version}  {one.scheme} {one.kind}{_window(one)}" for one in found]
    return Answer({"identities": rows}, "\n".join(lines) or "no identities")


def _window(identity: Identity) -> str:
    if identity.window is None:
        return ""
    return f"  from {identity.window.from_ or 'ever'} until {identity.window.until or 'ever'}"
