"""The demo's trust documents: what its trust owner writes. JSON is YAML, so Terraform reads the same files."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attester.answer
from tools.demo.machine import (
    BOOT_ACTION,
    FIRMWARE_VERSION,
    KERNEL,
    SECURE_BOOT,
    boot_events,
    expected_pcrs,
)

TENANT = "default"
ORIGIN = "made by `make demo` for the measured boot that it forges itself"
_GLOBAL_VARIABLE = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
_SEPARATOR = {"type": "EV_SEPARATOR", "data": ["00000000"]}


class VaultPlace(attester.answer.VaultPlace):
    """Where the workloads redeem their tokens."""

    __slots__ = ()

    @property
    def audience(self) -> str:
        """The one audience of that mount."""
        return f"vault/{self.mount}"


def _identity(kind: str, name: str, scheme: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "document": "identity", "kind": kind, "scheme": scheme, "name": name, "tenant": TENANT, "version": 1,
        "origin": ORIGIN, "values": dict(values),
    }  # fmt: skip


def _event_rules() -> list[dict[str, Any]]:
    """Closed rules for the firmware's registers: every event is named, in order; anything else fails."""
    variable = {"vendor": _GLOBAL_VARIABLE, "name": SECURE_BOOT.name, "values": [SECURE_BOOT.value.hex()]}
    first: dict[int, list[dict[str, Any]]] = {
        0: [{"type": "EV_S_CRTM_VERSION", "data": [FIRMWARE_VERSION.hex()]}],
        4: [{"type": "EV_EFI_ACTION", "data": [BOOT_ACTION.hex()]}],
        7: [{"type": "EV_EFI_VARIABLE_DRIVER_CONFIG", "variable": variable}],
    }
    last = {4: [{"type": "EV_EFI_BOOT_SERVICES_APPLICATION", "digests": [KERNEL.hex()]}]}
    return [
        {"index": pcr, "until": "end", "events": [*first.get(pcr, []), _SEPARATOR, *last.get(pcr, [])]}
        for pcr in range(8)
    ]


def tpm_identities(config_digest: str, root: str = "private") -> list[dict[str, Any]]:
    """Return what the demo's machine must look like: whose TPM, what booted, what runs, what the attester obeys."""
    pcrs = expected_pcrs(boot_events())
    return [
        _identity("platform", "demo-tpms", "tpm2", {"root": root}),
        _identity("firmware", "demo-boot", "tpm2", {"event_log": _event_rules(), "secure_boot": True}),
        _identity("workload", "demo-system", "tpm2", {"pcrs": {"8": pcrs[8], "9": pcrs[9]}}),
        _identity("config", "demo-attester", "tpm2", {"extended": {"digest": config_digest, "pcr": 15}}),
    ]


def _named(name: str) -> list[dict[str, Any]]:
    return [{"name": name, "version": 1}]


def tpm_policy(name: str = "demo") -> dict[str, Any]:
    """Return the appraisal policy over those identities."""
    return {
        "document": "policy", "name": name, "tenant": TENANT, "version": 1, "scheme": "tpm2",
        "platform": _named("demo-tpms"), "firmware": _named("demo-boot"), "workload": _named("demo-system"),
        "config": _named("demo-attester"),
        "unchecked": ["platform.ek_digests", "platform.min_firmware_version", "platform.clock_safe", "firmware.pcrs",
                      "workload.event_log", "firmware.secure_boot_keys", "workload.uki", "workload.ima"],
    }  # fmt: skip


def workload(name: str, policy: str, place: VaultPlace) -> dict[str, Any]:
    """Return a workload document with a uuid of its own."""
    return {
        "document": "workload", "name": name, "tenant": TENANT, "version": 1, "uuid": str(uuid.uuid4()),
        "policy": policy, "audience": place.audience, "labels": {}, "state": "enabled",
        "vault": {"address": place.address, "ca_pem": place.ca_pem, "mount": place.mount, "role": place.role},
    }  # fmt: skip


def write_documents(path: Path, documents: list[dict[str, Any]]) -> None:
    """Write documents as YAML: JSON's own form, one after the other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n---\n".join(json.dumps(document, indent=2) for document in documents) + "\n", encoding="utf-8")


def _toml_jwk(jwk: Mapping[str, str]) -> str:
    return "{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in sorted(jwk.items())) + " }"


def image_file(root_jwk: Mapping[str, str], *, lowest_seq: int = 1, **lists: Iterable[str]) -> bytes:
    """Return an image file: what the measured image lets a configuration choose. ``lists``: values of settings that are not "any"."""
    settings = {
        "url": None,
        "ca": None,
        "issuer": None,
        "workload": None,
        "audience": None,
        "tenant": [TENANT],
        **lists,
    }
    lines = [f"{name} = {json.dumps('any' if values is None else list(values))}" for name, values in settings.items()]
    text = "\n".join(
        ["version = 1", "", "[allow]", f"root = [{_toml_jwk(root_jwk)}]", f"root_lowest_seq = {lowest_seq}", *lines]
    )
    return f"{text}\n".encode()


def attester_config(
    *,
    url: str,
    ca_pem: str,
    issuer: str,
    root_jwk: Mapping[str, str],
    lowest_seq: int,
    workload_name: str,
    audience: str,
) -> bytes:
    """Return the attester's configuration: TOML, everything inline, because its digest covers these bytes alone."""
    root = _toml_jwk(root_jwk)
    text = (
        "version = 1\n\n[verifier]\n"
        f"url = {json.dumps(url)}\nca = {json.dumps(ca_pem)}\nissuer = {json.dumps(issuer)}\n"
        f"root = {root}\nroot_lowest_seq = {lowest_seq}\n\n"
        f"[workload]\ntenant = {json.dumps(TENANT)}\nname = {json.dumps(workload_name)}\naudience = {json.dumps(audience)}\n"
    )
    return text.encode()
