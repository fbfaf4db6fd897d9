"""``attester get``: attest, log in, read one secret, log out."""

from __future__ import annotations

from typing import Any

import click

from attester.cli.shared import OUT_OPTION, answers, deliver, output_path, session
from verifier.core.console import Answer


@click.command()
@answers
@OUT_OPTION
@click.argument("reference", metavar="PATH#KEY")
def command(options: dict[str, Any], out: str, reference: str) -> Answer:
    """Read one secret from Vault.

    Example of PATH#KEY: secret/data/default/web/db#password. The secret goes to a memory-backed file with mode 0600. It is
    printed only with --out -. The Vault token is revoked at the end.
    """
    from attester.vault import fetch, parse_reference, require_one_segment

    wanted = parse_reference(reference)
    name = f"{wanted.path}.{wanted.key}".replace("/", ".")
    path = None if out == "-" else output_path(out, name)
    with session(options) as here:
        require_one_segment((wanted,), here.trust.tenant)
        done = fetch(here.attest_once, (wanted,), here.patience)
    facts = {"reference": str(wanted), "vault_token_revoked": done.revoked}
    return deliver(done.values[wanted], path, "secret", facts)
