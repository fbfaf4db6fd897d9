"""``attester get``: attest, log in, read one secret, log out."""

from __future__ import annotations

from typing import Any

import click

from attester.cli.shared import attester_options, deliver, output_path, run_command, session
from verifier.core.console import Answer


@click.command()
@attester_options
@click.option("--out", default="", help="Memory-backed file; - for standard output.  [default: a folder of our own]")
@click.argument("reference", metavar="PATH#KEY")
def command(options: dict[str, Any], out: str, reference: str, output_format: str) -> None:
    """Read one secret, such as secret/data/default/web/db#password, into a memory-backed file, 0600.

    The Vault token is handed back at the end. The secret is printed only with --out -.
    """

    def body() -> Answer:
        from attester.vault import fetch, parse_reference

        wanted = parse_reference(reference)
        name = f"{wanted.path}.{wanted.key}".replace("/", ".")
        path = None if out == "-" else output_path(out, name)
        with session(options) as here:
            opened = here.attest()
        done = fetch(opened.vault, opened.token, (wanted,), wait_s=options["wait"])
        facts = {"reference": str(wanted), "vault_token_revoked": done.revoked}
        return deliver(done.values[wanted], path, "secret", facts)

    run_command(output_format, body)
