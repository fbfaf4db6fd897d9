"""Vault, Terraform and the Terraform provider for Vault."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tools.realparts.cache import build_once
from tools.realparts.errors import FailedPartError, MissingToolError
from tools.realparts.golang import GoPart, build_go, platform
from tools.realparts.places import command
from tools.realparts.running import ask, say
from tools.realparts.versions import Version, dotted, find_version

VAULT = GoPart("vault", "Vault", "1.21.1", "github.com/hashicorp/vault", "6 min", tags="minimal")
PROVIDER = GoPart(
    "terraform-provider-vault",
    "the Terraform provider for Vault",
    "3.3.1",
    "github.com/hashicorp/terraform-provider-vault",
    "3 min",
)
OLDEST_VAULT: Version = (1, 15)
# The first with `terraform test`.
OLDEST_TERRAFORM: Version = (1, 6)

_SOURCE = "hashicorp/vault"
_CONFIGURATION = """\
# Written by tools/parts.py: the provider comes from this machine's own build, everything else as usual.
disable_checkpoint = true

provider_installation {{
  filesystem_mirror {{
    path    = "{mirror}"
    include = ["{source}"]
  }}
  direct {{
    exclude = ["{source}"]
  }}
}}
"""


def vault() -> Path:
    """Return a Vault: the one that VAULT_BIN names, the one on PATH, or one of our own build."""
    named = os.environ.get("VAULT_BIN", "")
    if named:
        return _named_vault(Path(named).absolute())
    found = command("vault")
    if found is not None:
        version = find_version(ask([found, "version"]))
        if version is not None and version >= OLDEST_VAULT:
            say(f"Vault: {dotted(version)} on PATH")
            return found
        say(f"Vault: {found} is {dotted(version) if version else 'no Vault'}, older than {dotted(OLDEST_VAULT)}")
    return build_once(VAULT.name, VAULT.version, "vault", lambda fresh, _final: build_go(VAULT, fresh / "vault"))


def _named_vault(named: Path) -> Path:
    if find_version(ask([named, "version"])) is None:
        raise MissingToolError(f"VAULT_BIN names {named}, which does not run as a Vault: set it right or unset it.")
    return named


def terraform() -> Path:
    """Return Terraform or OpenTofu from PATH; neither is built here."""
    for name in ("terraform", "tofu"):
        found = command(name)
        version = find_version(ask([found, "version"])) if found else None
        if found and version and version >= OLDEST_TERRAFORM:
            say(f"Terraform: {name} {dotted(version)} on PATH")
            return found
    raise MissingToolError(
        f"There is no Terraform {dotted(OLDEST_TERRAFORM)} or newer on PATH: "
        "install Terraform (developer.hashicorp.com/terraform/install) or OpenTofu (opentofu.org/docs/intro/install)."
    )


def terraform_config() -> Path:
    """Return a CLI configuration for TF_CLI_CONFIG_FILE under which Terraform finds the provider."""
    program = terraform()
    # Terraform and OpenTofu look under different host names, so each has a mirror of its own.
    folder = f"{PROVIDER.version}-{program.name}"
    return build_once(PROVIDER.name, folder, "terraform.rc", lambda fresh, final: _mirror(program, fresh, final))


def _mirror(program: Path, fresh: Path, final: Path) -> None:
    """Lay the provider out as `filesystem_mirror` wants it, with a configuration that says so."""
    place = Path("mirror", provider_address(program), PROVIDER.version, platform(PROVIDER))
    (fresh / place).mkdir(parents=True)
    build_go(PROVIDER, fresh / place / f"terraform-provider-vault_v{PROVIDER.version}")
    (fresh / "terraform.rc").write_text(mirror_configuration(final / "mirror"))


def mirror_configuration(mirror: Path) -> str:
    """Write a CLI configuration that takes the provider from a mirror."""
    return _CONFIGURATION.format(mirror=mirror, source=_SOURCE)


def provider_address(program: Path) -> str:
    """Ask Terraform for the full address of the provider: the host in it differs between Terraform and OpenTofu."""
    with tempfile.TemporaryDirectory() as folder:
        module = f'terraform {{\n  required_providers {{\n    vault = {{ source = "{_SOURCE}" }}\n  }}\n}}\n'
        Path(folder, "main.tf").write_text(module)
        answer = ask([program, "providers"], cwd=Path(folder)) or ""
    for word in answer.replace("[", " ").replace("]", " ").split():
        if word.endswith("/" + _SOURCE):
            return word
    raise FailedPartError(f"`{program.name} providers` does not tell the address of {_SOURCE}.")
