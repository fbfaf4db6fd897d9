"""Terraform for tests: a copy of `vault-config/` and `policies/`, so that nothing is left in the checkout."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.vault import ROOT, VaultServer, part

_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Terraform:
    """One root module with its variables, against one Vault."""

    binary: str
    folder: Path
    environment: Mapping[str, str] = field(repr=False)  # holds the root token

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command and return what it said, whatever its status."""
        return subprocess.run(
            [self.binary, *arguments],
            cwd=self.folder,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_SECONDS,
            check=False,
        )

    def must(self, *arguments: str) -> str:
        """Run a command that has to succeed."""
        answer = self.run(*arguments)
        assert answer.returncode == 0, f"terraform {' '.join(arguments)}: {answer.returncode}\n{answer.stdout}"
        return answer.stdout

    def init(self) -> None:
        """Install modules and the provider, from this machine's own mirror."""
        self.must("init", "-input=false", "-no-color")

    def apply(self) -> None:
        """Apply without asking."""
        self.must("apply", "-input=false", "-no-color", "-auto-approve")

    def outputs(self) -> dict[str, Any]:
        """Return the outputs' values."""
        raw: dict[str, Any] = json.loads(self.must("output", "-json", "-no-color"))
        return {name: value["value"] for name, value in raw.items()}

    def has_no_drift(self) -> subprocess.CompletedProcess[str]:
        """Plan again: status 0 means no changes, 2 that there are some."""
        return self.run("plan", "-input=false", "-no-color", "-detailed-exitcode")


def copy_modules(folder: Path) -> Path:
    """Copy what Terraform reads into ``folder``; returns the copy of ``vault-config``."""
    for name in ("vault-config", "policies"):
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns(".terraform*", "terraform.tfstate*", "trust")
        )
    return folder / "vault-config"


def terraform(server: VaultServer, folder: Path, variables: Mapping[str, Any]) -> Terraform:
    """Prepare Terraform in ``folder`` (a copy); variables that are not strings go as JSON."""
    given = {
        f"TF_VAR_{name}": value if isinstance(value, str) else json.dumps(value) for name, value in variables.items()
    }
    environment = (
        server.environment() | given | {"TF_CLI_CONFIG_FILE": part("terraform-config"), "TF_IN_AUTOMATION": "1"}
    )
    return Terraform(part("terraform"), folder, environment)
