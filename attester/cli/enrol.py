"""``attester enrol``: make this machine's TPM known to the verifier."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attester.cli.shared import answers, machine_of, session
from verifier.core.console import Answer
from verifier.formats.errors import ConfigError

if TYPE_CHECKING:
    from attester.providers import EnrollableProvider, EnrolmentIdentity, Provider

_TICKET_MAX = 128


@click.command()
@answers
@click.option("--ticket-file", metavar="FILE", help="File with a single-use ticket; - for standard input.")
@click.option(
    "--ek-chain", metavar="FILE", default="", help="File with EK certificates that the TPM does not hold (PEM)."
)
@click.option("--show-identity", is_flag=True, help="Print the names of this TPM for the tenant's list, and stop.")
def command(options: dict[str, Any], ticket_file: str | None, ek_chain: str, *, show_identity: bool) -> Answer:
    """Enrol this machine's TPM with the verifier.

    The TPM proves that it holds both the attestation key and the endorsement key. The verifier accepts it if the operator
    listed the endorsement key, or with a single-use ticket.
    """
    from attester.enrol import enrol
    from attester.flow import verifier_client
    from attester.providers import opened

    if show_identity:
        with opened(machine_of(options)) as provider:
            return _answer(_tpm(provider).enrolment_identity(ek_chain), "identity")
    ticket = _ticket(ticket_file)
    with session(options) as here:
        client = verifier_client(here.trust, here.patience.left)
        done = enrol(
            client, here.trust, _tpm(here.provider), ticket=ticket, chain_file=ek_chain, patience=here.patience
        )
    return _answer(done, "enrolled")


def _tpm(provider: Provider) -> EnrollableProvider:
    from attester.providers import EnrollableProvider

    if not isinstance(provider, EnrollableProvider):
        raise ConfigError("settings", "provider", provider.scheme, "tpm2: only a TPM is enrolled")
    return provider


def _ticket(name: str | None) -> str:
    """Read the ticket from a file or a pipe: a command line can be read by every process of the machine."""
    if name is None:
        return ""
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("command line", "--ticket-file", name, f"a readable file: {type(error).__name__}") from None
    ticket = text.strip()
    if not 0 < len(ticket) <= _TICKET_MAX:
        raise ConfigError("command line", "--ticket-file", f"{len(ticket)} characters", f"1 to {_TICKET_MAX}")
    return ticket


def _answer(identity: EnrolmentIdentity, outcome: str) -> Answer:
    facts = {"ak_name": identity.ak_name.hex(), "ek_digest": identity.ek_digest.hex()}
    text = f"{outcome}: AK {facts['ak_name']} of EK {facts['ek_digest']}"
    return Answer({**facts, "outcome": outcome, "ek_certificates": len(identity.ek_chain)}, text)
