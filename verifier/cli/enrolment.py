"""``verifier enrolment``: which TPMs may enrol (by a list of EKs or a single-use ticket), and which are enrolled."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

import click

from verifier.adapters.clock import SystemClock
from verifier.cli.opened import CONFIG_OPTION, TENANT_OPTION, opened_store, tenant_name
from verifier.core.console import Answer, answers
from verifier.core.exits import Exit
from verifier.formats.encoding import sha256, utc_time
from verifier.formats.errors import ConfigError, MalformedEvidence
from verifier.formats.pem import pem_blocks
from verifier.formats.x509 import parse_certificate
from verifier.tee.tpm2.ids import EnrolmentId
from verifier.tee.tpm2.layout import is_name as is_tpm_name

_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_HEX = re.compile(r"([0-9a-f]{2})+", re.ASCII)
_EK_OPTION = click.option("--ek-sha256", multiple=True, help="SHA-256 of the EK's SubjectPublicKeyInfo, hex.")
_LISTED_HINT = "a TPM may enrol again while its EK is listed; --ek-sha256 takes the EK off the list too"


@click.group("enrolment")
def command() -> None:
    """Allow, list and withdraw TPMs."""


@command.command("allow")
@CONFIG_OPTION
@TENANT_OPTION
@_EK_OPTION
@click.option(
    "--ek-certificate", multiple=True, type=click.Path(exists=True, dir_okay=False), help="EK certificate (PEM or DER)."
)
@answers
def allow(config: str | None, tenant: str, ek_sha256: tuple[str, ...], ek_certificate: tuple[str, ...]) -> Answer:
    """Allow TPMs to enrol: put their EKs on the tenant's list."""
    digests = [_digest(text) for text in ek_sha256]
    digests += [_digest_of_certificate(path) for path in ek_certificate]
    if not digests:
        raise ConfigError("enrolment allow", "--ek-sha256", None, "at least one EK")
    with opened_store(config) as store:
        store.add_eks(tenant_name(tenant), digests)
    listed = [digest.hex() for digest in digests]
    return Answer(
        {"outcome": "allowed", "tenant": tenant, "ek_sha256": listed},
        "\n".join(f"allowed {text}" for text in listed),
    )


def _digest(text: str) -> bytes:
    if not _DIGEST.fullmatch(text):
        raise ConfigError("--ek-sha256", "digest", text, "64 lower-case hex digits")
    return bytes.fromhex(text)


def _ak_name(text: str) -> bytes:
    name = bytes.fromhex(text) if _HEX.fullmatch(text) else b""
    if not is_tpm_name(name):
        raise ConfigError("--ak-name", "name", text, "a Name in lower-case hex, as `attester enrol` prints it")
    return name


def _digest_of_certificate(path: str) -> bytes:
    try:
        data = Path(path).read_bytes()
        der = (pem_blocks(data, "CERTIFICATE") or (data,))[0]
        return sha256(parse_certificate(der, EnrolmentId.EK_CHAIN).spki)
    except (MalformedEvidence, ValueError) as error:
        raise ConfigError(path, "certificate", str(error), "an EK certificate") from None


@command.command("ticket")
@CONFIG_OPTION
@TENANT_OPTION
@click.option(
    "--life-s", default=3600, show_default=True, type=click.IntRange(60, 30 * 24 * 3600), help="Seconds until it ends."
)
@answers
def ticket(config: str | None, tenant: str, life_s: int) -> Answer:
    """Print a single-use ticket for one TPM.

    Its holder may enrol one TPM under a trusted root. The store keeps the ticket's hash alone.
    """
    made = secrets.token_urlsafe(32)
    with opened_store(config) as store:
        store.add_ticket(tenant_name(tenant), sha256(made.encode()), SystemClock().now_ms() + life_s * 1000)
    # The ticket itself is this command's answer and is printed nowhere else.
    return Answer({"outcome": "opened", "tenant": tenant, "ticket": made, "expires_in": life_s}, made)


@command.command("list")
@CONFIG_OPTION
@TENANT_OPTION
@answers
def list_enrolled(config: str | None, tenant: str) -> Answer:
    """List enrolled attestation keys and allowed EKs."""
    with opened_store(config) as store:
        aks, eks = store.enrolled_aks(tenant_name(tenant)), store.listed_eks(tenant)
    enrolled = [
        {
            "ak_name": ak.ak_name.hex(),
            "ek_sha256": ak.ek_public_digest.hex(),
            "root": ak.root,
            "enrolled_at": utc_time(ak.enrolled_at_ms // 1000),
        }
        for ak in aks
    ]
    listed = [ek.hex() for ek in eks]
    lines = [
        f"{one['enrolled_at']} AK {one['ak_name']} under EK {one['ek_sha256']} ({one['root']})" for one in enrolled
    ]
    lines += [f"listed EK {ek}" for ek in listed]
    data = {"outcome": "listed", "tenant": tenant, "enrolled": enrolled, "ek_sha256": listed}
    return Answer(data, "\n".join(lines) or f"{tenant}: no TPM is enrolled, and none is listed")


@command.command("withdraw")
@CONFIG_OPTION
@TENANT_OPTION
@click.option("--ak-name", multiple=True, help="Name of an enrolled key, hex.")
@_EK_OPTION
@answers
def withdraw(config: str | None, tenant: str, ak_name: tuple[str, ...], ek_sha256: tuple[str, ...]) -> Answer:
    """Withdraw enrolled keys: their next quote is refused.

    With --ek-sha256, all keys of that TPM are withdrawn and the TPM may not enrol again. Tokens that were issued before are good until
    they expire.

    Exit code 1: one of the keys is not known.
    """
    names, digests = [_ak_name(text) for text in ak_name], [_digest(text) for text in ek_sha256]
    if not names and not digests:
        raise ConfigError("enrolment withdraw", "--ak-name", None, "at least one AK, or EK (--ek-sha256)")
    with opened_store(config) as store:
        gone = {f"AK {name.hex()}": store.withdraw_ak(tenant_name(tenant), name) for name in names}
        gone |= {f"EK {digest.hex()}": store.withdraw_ek(tenant_name(tenant), digest) for digest in digests}
    unknown = [what for what, rows in gone.items() if not rows]
    lines = [f"{'withdrawn' if rows else 'not known:'} {what}" for what, rows in gone.items()]
    data = {"outcome": "unknown" if unknown else "withdrawn", "tenant": tenant, "unknown": unknown}
    hints = (_LISTED_HINT,) if names else ()
    return Answer(data, "\n".join(lines), Exit.NO if unknown else Exit.DONE, hints)
