"""A live verifier that trusts the forged TPM vendor, with two tenants, and how forged TPMs enrol and quote there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import requests

from forge.bootlog import measured_boot
from forge.tpm2 import SimulatedTpm, make_ca, make_tpm
from tests.support.live import FAST, LiveVerifier
from tools.demo.processes import Processes
from tools.demo.stack import lay_verifier
from tools.demo.trust import VaultPlace, workload, write_documents
from verifier.adapters.keys.signer_file import KeyFile
from verifier.adapters.settings_source import load_settings
from verifier.core.binding import BindingDigest
from verifier.core.envelope import Envelope
from verifier.formats.encoding import b64url, sha256, unb64url

TENANTS = ("default", "acme")
TPM_WORKLOAD = "tpm-machine"
CONFIG = b"the attester's configuration\n"
PCRS = (*range(10), 11, 12, 13, 14, 15)
ENROLMENTS = "/v1/tpm2/enrolments"


class ForgedTpmProvider:
    """An attester's provider over a forged TPM that booted and measured its configuration."""

    scheme = "tpm2"
    size: Literal["whole", "short"] = "short"

    def __init__(self, tpm: SimulatedTpm) -> None:
        self._tpm = tpm.extended(15, sha256(CONFIG))

    def collect(self, digest: BindingDigest) -> Envelope:
        """Forge a quote that carries the digest."""
        return Envelope(self.scheme, self._tpm.parts(digest.short, PCRS))

    def measure_config(self, config: bytes) -> None:
        """Nothing is configured from outside."""

    def close(self) -> None:
        """Nothing is open."""


def tpm_documents(place: VaultPlace, tenant: str) -> list[dict[str, Any]]:
    """Return what a wholesome forged machine must look like, for one tenant."""
    pcrs = {str(pcr): value.hex() for pcr, value in measured_boot().registers().items()}
    values: dict[str, dict[str, Any]] = {
        "platform": {"root": "simulated"},
        "firmware": {"pcrs": {pcr: pcrs[pcr] for pcr in map(str, range(8))}, "secure_boot": True},
        "workload": {"pcrs": {"8": pcrs["8"], "9": pcrs["9"]}},
        "config": {"extended": {"digest": sha256(CONFIG).hex(), "pcr": 15}},
    }
    shared = {"tenant": tenant, "version": 1, "scheme": "tpm2"}
    identities = [
        {"document": "identity", "kind": kind, "name": f"{kind}-one", "origin": "forged", "values": one, **shared}
        for kind, one in values.items()
    ]
    named = {kind: [{"name": f"{kind}-one", "version": 1}] for kind in values}
    unchecked = ["platform.ek_digests", "platform.min_firmware_version", "platform.clock_safe", "firmware.event_log",
                 "workload.event_log", "firmware.secure_boot_keys", "workload.uki", "workload.ima"]  # fmt: skip
    policy = {"document": "policy", "name": "tpm", "unchecked": unchecked, **shared, **named}
    return [*identities, policy, {**workload(TPM_WORKLOAD, "tpm", place), "tenant": tenant}]


@dataclass
class TpmVerifier:
    """A live verifier for forged TPMs."""

    live: LiveVerifier
    session: requests.Session

    def enrolment_key(self) -> bytes:
        """The service's own HMAC key, out of its key file: for states that no honest service would make."""
        return KeyFile.from_settings(load_settings(str(self.live.folder.settings_file), {})).enrolment_key()

    def call(
        self, method: str, path: str, body: Mapping[str, Any] | bytes, media: str = "application/json"
    ) -> requests.Response:
        """Send a JSON object, or bytes as they stand."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        url = f"{self.live.folder.base_url}{path}"
        return self.session.request(method, url, data=data, headers={"Content-Type": media}, timeout=30)

    def ask(self, tpm: SimulatedTpm, **changes: Any) -> requests.Response:
        """POST an enrolment; ``changes`` replace members of the request, ``None`` leaves them out."""
        request: dict[str, Any] = {
            "tenant": "default",
            "ek_chain": [b64url(der) for der in tpm.ek_chain],
            "ek_public": b64url(tpm.ek_public),
            "ak_public": b64url(tpm.ak_public),
            **changes,
        }
        return self.call("POST", ENROLMENTS, {name: value for name, value in request.items() if value is not None})

    def prove(self, tpm: SimulatedTpm, proof: Mapping[str, Any]) -> requests.Response:
        """PUT a proof under the AK's Name."""
        return self.call("PUT", f"{ENROLMENTS}/{tpm.ak_name.hex()}", proof)

    def enrol(self, tpm: SimulatedTpm, **changes: Any) -> requests.Response:
        """Walk the whole way; returns the first answer that is no, or the last one."""
        asked = self.ask(tpm, **changes)
        return self.prove(tpm, activated(tpm, asked.json())) if asked.ok else asked

    def allow(self, tpm: SimulatedTpm, tenant: str = "default") -> None:
        """Put the TPM's EK on the tenant's list."""
        with self.live.folder.store() as store:
            store.add_eks(tenant, [tpm.ek_digest])

    def is_enrolled(self, tpm: SimulatedTpm, tenant: str = "default") -> bool:
        """Ask the store."""
        with self.live.folder.store() as store:
            return store.find_ak(tenant, tpm.ak_name) is not None


def activated(tpm: SimulatedTpm, challenge: Mapping[str, Any]) -> dict[str, str]:
    """Let the TPM open the credential; returns the proof."""
    secret = tpm.activate(unb64url(challenge["credential_blob"]), unb64url(challenge["encrypted_secret"]))
    return {"state": challenge["state"], "secret": b64url(secret)}


def refusal(reply: requests.Response) -> tuple[int, str]:
    """Return status and check id of a problem document, having checked that it is one."""
    document = reply.json()
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert document["status"] == reply.status_code
    assert {"type", "title", "detail", "code"} <= document.keys()
    return reply.status_code, str(document["check_id"])


@contextmanager
def tpm_verifier(path: Path, changes: Mapping[str, Any] | None = None) -> Iterator[TpmVerifier]:
    """Lay out a verifier for forged TPMs with two tenants and serve it until the block ends. ``changes``: of the settings."""
    path.mkdir(parents=True, exist_ok=True)
    with Processes(path) as processes:
        settings = {**FAST, "workers": 2, "tenants": list(TENANTS), **(changes or {})}
        folder = lay_verifier(path / "verifier", simulated=True, settings=settings)
        anchor = folder.path / "anchors" / "tpm2" / "root.der"
        anchor.parent.mkdir(parents=True)
        anchor.write_bytes(make_ca().root_der)
        ca_pem = folder.ca_file.read_text(encoding="ascii")
        place = VaultPlace("https://127.0.0.1:1", ca_pem, "attestation-default", "demo")
        for tenant in TENANTS:
            write_documents(folder.path / "trust" / f"{tenant}.yaml", tpm_documents(place, tenant))
        live = LiveVerifier(folder, processes, place)
        live.start()
        with folder.session() as session:
            yield TpmVerifier(live, session)


def fresh_tpm(label: str, kind: Literal["ecc", "rsa"] = "ecc") -> SimulatedTpm:
    """Return a forged TPM that no other test of a module uses."""
    return make_tpm(kind, ek_kind=kind, label=label)
