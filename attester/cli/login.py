"""``attester login``: attest and log in to Vault, and leave the Vault token where only this user can read it."""

from __future__ import annotations

from typing import Any

import click

from attester.cli.shared import OUT_OPTION, answers, deliver, output_path, session
from verifier.core.console import Answer


@click.command()
@answers
@OUT_OPTION
def command(options: dict[str, Any], out: str) -> Answer:
    """Attest and log in to Vault.

    The Vault token goes to a memory-backed file with mode 0600. It is printed only with --out -.
    """
    from attester.vault import log_in

    path = None if out == "-" else output_path(out, "vault-token")
    with session(options) as here:
        vault, token = log_in(here.attest_once, here.patience)
    facts = {"vault": vault.address, "lease_s": token.lease_s}
    return deliver(token.value.encode(), path, "Vault token", facts)
