"""``verifier enrolment``: which TPMs may enrol: by EK on a list, or by a single-use ticket."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

import click

from verifier.adapters.clock import SystemClock
from verifier.adapters.settings_source import load_settings
from verifier.compose import compose_store
from verifier.core.console import FORMAT_OPTION, Answer, run
from verifier.core.encoding import is_name, sha256
from verifier.core.errors import ConfigError, MalformedEvidence
from verifier.core.x509 import parse_certificate, pem_blocks

_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_CONFIG = click.option("--config", type=click.Path(dir_okay=False), envvar="VAB_CONFIG", help="Settings (TOML).")


@click.group("enrolment")
def command() -> None:
    """Say which TPMs may enrol their attestation keys."""


def _tenant(name: str) -> str:
    if not is_name(name):
        raise ConfigError("--tenant", "tenant", name, "a name of a-z, 0-9 and inner hyphens")
    return name


@command.command("allow")
@_CONFIG
@click.option("--tenant", default="default", show_default=True)
@click.option("--ek-sha256", multiple=True, help="SHA-256 of the EK's SubjectPublicKeyInfo, hex.")
@click.option(
    "--ek-certificate", multiple=True, type=click.Path(exists=True, dir_okay=False), help="EK certificate (PEM or DER)."
)
@FORMAT_OPTION
def allow(
    config: str | None, tenant: str, ek_sha256: tuple[str, ...], ek_certificate: tuple[str, ...], output_format: str
) -> None:
    """Put EKs on the tenant's list."""

    def body() -> Answer:
        digests = [_digest(text) for text in ek_sha256]
        digests += [_digest_of_certificate(path) for path in ek_certificate]
        if not digests:
            raise ConfigError("enrolment allow", "--ek-sha256", None, "at least one EK")
        store = compose_store(load_settings(config))
        store.add_eks(_tenant(tenant), digests)
        store.close()
        listed = [digest.hex() for digest in digests]
        return Answer(
            {"outcome": "allowed", "tenant": tenant, "ek_sha256": listed},
            "\n".join(f"allowed {text}" for text in listed),
        )

    run(output_format, body)


def _digest(text: str) -> bytes:
    if not _DIGEST.fullmatch(text):
        raise ConfigError("--ek-sha256", "digest", text, "64 lower-case hex digits")
    return bytes.fromhex(text)


def _digest_of_certificate(path: str) -> bytes:
    try:
        data = Path(path).read_bytes()
        der = (pem_blocks(data, "CERTIFICATE") or (data,))[0]
        return sha256(parse_certificate(der, "tpm2.enrolment.ek-chain").spki)
    except (MalformedEvidence, ValueError) as error:
        raise ConfigError(path, "certificate", str(error), "an EK certificate") from None


@command.command("ticket")
@_CONFIG
@click.option("--tenant", default="default", show_default=True)
@click.option("--life-s", default=3600, show_default=True, type=click.IntRange(60, 30 * 24 * 3600))
@FORMAT_OPTION
def ticket(config: str | None, tenant: str, life_s: int, output_format: str) -> None:
    """Open a single-use ticket: whoever holds it may enrol one TPM of a trusted vendor. Only its hash is kept."""

    def body() -> Answer:
        store = compose_store(load_settings(config))
        made = secrets.token_urlsafe(32)
        store.add_ticket(_tenant(tenant), sha256(made.encode()), SystemClock().now_ms() + life_s * 1000)
        store.close()
        # The ticket itself is this command's answer and is printed nowhere else.
        return Answer({"outcome": "opened", "tenant": tenant, "ticket": made, "expires_in": life_s}, made)

    run(output_format, body)
