"""The demo's scene: Vault, two verifiers (a real one and one for forged TEEs), two machines with software TPMs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from attester.providers import Machine as AttesterMachine
from attester.settings import Trust, parse_config, trust_from
from tools.demo.machine import Machine, make_machine
from tools.demo.processes import DemoError, Processes
from tools.demo.stack import VerifierFolder, lay_verifier, run_program, serve
from tools.demo.trust import (
    VaultPlace,
    attester_config,
    image_file,
    tpm_identities,
    tpm_policy,
    workload,
    write_documents,
)
from tools.demo.vault import Vault, apply_terraform, start_vault

MOUNT = "attestation-default"
SIMULATED_MOUNT = "attestation-simulated"
ROLE = "demo"
PRODUCTION_ROLE = "production"


@dataclass(frozen=True, slots=True)
class Host:
    """A machine, the attester's configuration on it, and what the configuration says."""

    machine: Machine
    config_file: Path
    trust: Trust

    def attester_machine(self) -> AttesterMachine:
        """What the attester's library is told about the machine."""
        return AttesterMachine(provider="tpm2", tcti=self.machine.tcti, event_log=str(self.machine.log_file))

    def options(self) -> list[str]:
        """What the attester's command line is told about the machine."""
        return [
            "--config", str(self.config_file), "--image-file", str(self.config_file.with_suffix(".image.toml")),
            "--provider", "tpm2", "--tcti", self.machine.tcti, "--event-log", str(self.machine.log_file),
        ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that runs."""

    folder: Path
    memory: Path
    processes: Processes
    vault: Vault
    verifier: VerifierFolder
    simulated: VerifierFolder
    web: Host
    db: Host
    terraform: str

    def attester(self, host: Host, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run the ``attester`` command on a host. Its arguments stand before ``--``, if there is one."""
        words = list(arguments)
        cut = words.index("--") if "--" in words else len(words)
        command = [sys.executable, "-m", "attester.cli", *words[:cut], *host.options(), *words[cut:]]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, input=stdin,
            env={**os.environ, "XDG_RUNTIME_DIR": str(self.memory)},
        )  # fmt: skip


def _host(folder: Path, machine: Machine, verifier: VerifierFolder, name: str, place: VaultPlace, seq: int) -> Host:
    config = attester_config(
        url=verifier.base_url,
        ca_pem=verifier.ca_file.read_text(encoding="ascii"),
        issuer=verifier.issuer(),
        root_jwk=verifier.root_jwk,
        lowest_seq=seq,
        workload_name=name,
        audience=place.audience,
    )
    path = folder / f"{name}.toml"
    path.write_bytes(config)
    path.with_suffix(".image.toml").write_bytes(image_file(verifier.root_jwk, lowest_seq=seq, url=[verifier.base_url]))
    trust = trust_from(parse_config(config, str(path), in_image=False), str(path))
    return Host(machine, path, trust)


def _pin_ek_ca(verifier: VerifierFolder, machine: Machine, name: str) -> None:
    anchors = verifier.path / "anchors" / "tpm2"
    anchors.mkdir(parents=True, exist_ok=True)
    for index, path in enumerate(machine.ca_files):
        (anchors / f"{name}-{index}.pem").write_bytes(path.read_bytes())


def _documents(hosts: dict[str, Host], place: VaultPlace) -> list[dict[str, Any]]:
    documents: list[dict[str, Any]] = []
    for index, (name, host) in enumerate(hosts.items()):
        identities = tpm_identities(sha256(host.config_file.read_bytes()).hexdigest())
        config = identities.pop()
        config["name"] = f"attester-of-{name}"
        documents += [*(identities if index == 0 else []), config]
        policy = tpm_policy(f"demo-{name}")
        policy["config"] = [{"name": config["name"], "version": 1}]
        documents += [policy, workload(name, policy["name"], place)]
    return documents


def _simulated_documents(place: VaultPlace) -> list[dict[str, Any]]:
    from tools.demo.forged import forged_documents

    return forged_documents(place)


def _serve_both(folder: Path, processes: Processes, vault: Vault, say: Any) -> Scene:
    ca_pem = vault.ca_file.read_text(encoding="ascii")
    place = VaultPlace(vault.address, ca_pem, MOUNT, ROLE)
    trust = folder / "trust"
    verifier = lay_verifier(folder / "verifier", trust_dir=trust / "production")
    simulated = lay_verifier(folder / "simulated", trust_dir=trust / "simulated", simulated=True)
    machines = {name: make_machine(folder / f"machine-{name}", processes, f"swtpm-{name}") for name in ("web", "db")}
    say("two machines with a software TPM each, booted: firmware, kernel, command line and initrd measured")
    hosts = {name: _host(folder, machine, verifier, name, place, 1) for name, machine in machines.items()}
    for name, machine in machines.items():
        _pin_ek_ca(verifier, machine, name)
    write_documents(trust / "production" / "demo.yaml", _documents(hosts, place))
    from tools.demo.forged import lay_forged

    lay_forged(simulated)
    write_documents(
        trust / "simulated" / "demo.yaml",
        _simulated_documents(replace(place, mount=SIMULATED_MOUNT, role=PRODUCTION_ROLE)),
    )
    serve(processes, "verifier", verifier)
    serve(processes, "verifier-simulated", simulated)
    say(
        f"verifier under gunicorn at {verifier.base_url}; one for forged TEEs, with keys of its own, at {simulated.base_url}"
    )
    mounts = {
        MOUNT: _mount(verifier, place.audience, None),
        SIMULATED_MOUNT: _mount(
            simulated,
            f"vault/{SIMULATED_MOUNT}",
            {PRODUCTION_ROLE: {"kind": "workload", "root": "private", "host_excluded": True}},
        ),
    }
    summary = apply_terraform(vault, folder / "terraform", trust, mounts)
    return Scene(folder, folder / "memory", processes, vault, verifier, simulated, hosts["web"], hosts["db"], summary)


def _mount(verifier: VerifierFolder, audience: str, roles: Any) -> dict[str, Any]:
    mount = {
        "tenant": "default",
        "verifier_url": verifier.base_url,
        "verifier_ca_file": str(verifier.ca_file),
        "audience": audience,
    }
    return mount if roles is None else {**mount, "roles": roles}


def raise_scene(folder: Path, memory: Path, processes: Processes, say: Any) -> Scene:
    """Start everything; ``memory`` is a folder that no disk backs."""
    vault = start_vault(folder / "vault", processes)
    say(f"Vault at {vault.address} (dev server, TLS with a CA of its own)")
    scene = replace(_serve_both(folder, processes, vault, say), memory=memory)
    vault.put_secret("default/web/db", {"password": "correct horse battery staple"})
    vault.put_secret("default/db/admin", {"password": "only the database knows"})
    say(f"Terraform: {scene.terraform} A second plan finds nothing to do")
    for host in (scene.web, scene.db):
        ek = json.loads(must(scene.attester(host, "enrol", "--show-identity", "--format", "json")))["ek_digest"]
        run_program(
            "verifier.cli", "enrolment", "allow", "--config", str(scene.verifier.settings_file), "--ek-sha256", ek
        )
    say("both endorsement keys put on the tenant's list by the operator")
    return scene


def must(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a command printed; anything but success is a ``DemoError``."""
    if done.returncode != 0:
        raise DemoError(f"{' '.join(done.args[:5])} left with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout
