#!/opt/vab/bin/python
"""The trust owner and operator: keys, trust documents, the TPM on the list, and the attester's configuration.

The offline root stays in this container's own memory; the verifier never sees it.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

from stopped import wait_until_stopped

from tools.demo.trust import (
    VaultPlace,
    attester_config,
    image_file,
    tpm_identities,
    tpm_policy,
    workload,
    write_documents,
)

BASE_URL = "https://verifier:8443"
WORKLOAD = "web"
_CA, _MACHINE = Path("/run/ca"), Path("/run/machine")
_VERIFIER, _TRUST, _IMAGE = Path("/run/verifier"), Path("/run/trust"), Path("/run/workload-config")
_OFFLINE = Path("/run/offline")
_VAULT = VaultPlace("https://vault:8200", (_CA / "vault.pem").read_text("ascii"), "attestation-default", "demo")


def _say(text: str) -> None:
    sys.stdout.write(f"owner: {text}\n")
    sys.stdout.flush()


def _verifier(*words: str) -> dict[str, Any]:
    """Run one of the verifier's own commands; a failure ends this program with its words on stderr."""
    done = subprocess.run(  # noqa: S603 - our own program
        ["/opt/vab/bin/verifier", *words, "--format", "json"], stdout=subprocess.PIPE, text=True, check=True
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _secret(path: Path) -> Path:
    path.touch(mode=0o600)
    path.write_text(secrets.token_urlsafe(32), encoding="ascii")
    return path


def _keys() -> dict[str, str]:
    """Make the verifier's keys and the offline root; returns the root's public part."""
    answer = _verifier(
        "keys", "init", "--base-url", BASE_URL,
        "--key-file", str(_VERIFIER / "keys.json"), "--passphrase-file", str(_secret(_VERIFIER / "keys.passphrase")),
        "--root-file", str(_OFFLINE / "root.json"), "--root-passphrase-file", str(_secret(_OFFLINE / "passphrase")),
    )  # fmt: skip
    root: dict[str, str] = answer["root"]
    return root


def _settings() -> Path:
    values = {
        "base_url": BASE_URL,
        "bind": "0.0.0.0:8443",
        "tls_certificate": "/run/tls/certificate.pem",
        "tls_key": "/run/tls/key.pem",
        "database_url": f"sqlite:///{_VERIFIER}/verifier.db",
        "key_file": str(_VERIFIER / "keys.json"),
        "key_passphrase_file": str(_VERIFIER / "keys.passphrase"),
        "trust_dir": str(_TRUST),
        "private_anchor_dir": str(_VERIFIER / "anchors"),
        # Root file systems are read-only: the default, a folder below the working one, could not be written. The volume has 16 MiB.
        "collateral_dir": str(_VERIFIER / "collateral"),
        "collateral_cache_mib": 4,
        # This network has no way out, and a TPM needs none.
        "kds_url": "",
        "pcs_url": "",
    }
    path = _VERIFIER / "verifier.toml"
    # JSON's strings are TOML's as well.
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()), encoding="utf-8")
    return path


def _pin_the_tpm_maker() -> None:
    anchors = _VERIFIER / "anchors" / "tpm2"
    anchors.mkdir(parents=True)
    for certificate in _MACHINE.glob("ek-ca-*.pem"):
        (anchors / certificate.name).write_bytes(certificate.read_bytes())


def main() -> None:
    """Do what people do before a workload starts, then wait: the volumes in memory last while this runs."""
    root = _keys()
    config = attester_config(
        url=BASE_URL,
        ca_pem=(_CA / "verifier.pem").read_text("ascii"),
        issuer=f"{BASE_URL}/t/default",
        root_jwk=root,
        lowest_seq=1,
        workload_name=WORKLOAD,
        audience=_VAULT.audience,
    )
    _say("the verifier's keys are made; the offline root stays here")
    (_IMAGE / "attester.toml").write_bytes(config)
    # What a configuration may choose in this image: no other root, tenant or verifier.
    (_IMAGE / "image.toml").write_bytes(
        image_file(root, url=[BASE_URL], issuer=[f"{BASE_URL}/t/default"], workload=[WORKLOAD])
    )
    documents = [*tpm_identities(sha256(config).hexdigest()), tpm_policy(), workload(WORKLOAD, "demo", _VAULT)]
    write_documents(_TRUST / "demo.yaml", documents)
    _say("trust documents: whose TPM, what booted, what runs, what the attester obeys")
    _pin_the_tpm_maker()
    settings = _settings()
    ek = (_MACHINE / "ek-sha256").read_text("ascii")
    _verifier("enrolment", "allow", "--config", str(settings), "--ek-sha256", ek)
    _say("the TPM's endorsement key is on the tenant's list")
    (_VERIFIER / "ready").touch()
    wait_until_stopped()


if __name__ == "__main__":
    main()
