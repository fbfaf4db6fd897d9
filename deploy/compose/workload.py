#!/opt/vab/bin/python
"""The workload: five steps from evidence to a secret in a program's environment, and one thing that it must not get.

Leaves with 0 only if every step was done and the refusal came from where it has to come. No secret is printed: what
arrived is shown by its SHA-256, which `vault-setup` has printed of what it stored.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_MEMORY = Path("/run/workload")
_MACHINE = Path("/run/machine")
_ATTESTER = "/opt/vab/bin/attester"
_OWN = "secret/data/default/web/db#password"
_ANOTHERS = "secret/data/default/db/admin#password"
_SHOW_DIGEST = "import hashlib, os; print(hashlib.sha256(os.environ['DB_PASSWORD'].encode()).hexdigest())"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _attester(name: str, *words: str, behind: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    machine = [
        "--config", "/etc/attester/attester.toml", "--image-file", "/etc/attester/image.toml", "--provider", "tpm2",
        "--tcti", (_MACHINE / "tcti").read_text("ascii"), "--event-log", str(_MACHINE / "binary_bios_measurements"),
    ]  # fmt: skip
    command = [_ATTESTER, name, *machine, "--format", "json", *words, *behind]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603 - our own program


def _must(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode != 0:
        _say(f"FAILED: attester {done.args[1]} left with {done.returncode}: {done.stdout}")
        sys.exit(1)
    return done.stdout


def _done(name: str, *words: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(_must(_attester(name, *words)))
    return answer


def _claims(token: Path) -> dict[str, Any]:
    payload = token.read_text("ascii").split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


def five_steps() -> None:
    """Attestation, token, injection, request of a secret, delivery."""
    enrolled = _done("enrol")
    _say(f"workload: the TPM's attestation key is enrolled, {enrolled['ak_name'][:20]}…")
    token = Path(_done("token", "--out", str(_MEMORY / "token.jwt"))["file"])
    claims = _claims(token)
    _say(
        f"step 1  attestation: {claims['tee']} quote of a known TPM (root {claims['root']}) met policy {claims['policy']}"
    )
    _say(f"step 2  token: {claims['jti']}, good for {claims['exp'] - claims['iat']} s at {claims['aud']} alone")
    _say(f"step 3  injection: {token}, in memory, mode {token.stat().st_mode & 0o777:o}")
    token.unlink()
    login = _done("login", "--out", str(_MEMORY / "vault-token"))
    Path(login["file"]).unlink()
    _say(f"step 4  request: Vault at {login['vault']} checked token and role, and opens for {login['lease_s']} s")
    child = ("--", sys.executable, "-c", _SHOW_DIGEST)
    digest = _must(_attester("exec", "--env", f"DB_PASSWORD={_OWN}", behind=child)).strip()
    _say(f"step 5  delivery: over TLS into a program's environment, SHA-256 {digest}")


def refusal() -> None:
    """Ask for another workload's secret: the token is good and Vault's policy still says no."""
    done = _attester("get", "--out", str(_MEMORY / "not-ours"), _ANOTHERS)
    answer = json.loads(done.stdout)
    if done.returncode != 1 or answer.get("check_id") != "attester.vault.denied":
        _say(f"FAILED: another workload's secret was not refused by Vault: status {done.returncode}, {answer}")
        sys.exit(1)
    _say(f"refused: another workload's secret, by Vault's policy ({answer['check_id']})")


if __name__ == "__main__":
    five_steps()
    refusal()
    _say("workload: five steps done, one refusal")
