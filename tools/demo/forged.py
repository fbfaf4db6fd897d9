"""A forged AMD for the demo and the tests: a verifier process of its own that trusts it, and what its chips must look like."""

from __future__ import annotations

import time
from typing import Any, Literal

from forge.sev_snp import ForgedAmd
from tools.demo.stack import VerifierFolder
from tools.demo.trust import TENANT, VaultPlace, workload
from verifier.core.binding import BindingDigest
from verifier.core.envelope import Envelope

ORIGIN = "forged by forge.sev_snp; its keys are public"
FORGED_WORKLOAD = "forged"


def forged_chip(seed: bytes = b"chip 0") -> ForgedAmd:
    """Return a forged Milan of today."""
    return ForgedAmd("Milan", now=int(time.time()), seed=seed)


class ForgedProvider:
    """An attester's provider over a forged chip (``attester.providers.Provider``)."""

    scheme = "sev-snp"
    size: Literal["whole", "short"] = "whole"

    def __init__(self, chip: ForgedAmd | None = None) -> None:
        self._chip = chip or forged_chip()

    def collect(self, digest: BindingDigest) -> Envelope:
        """Forge a report that carries the digest."""
        report = self._chip.report(report_data=digest.whole)
        return Envelope(self.scheme, {"report": report}, self._chip.endorsements())

    def measure_config(self, config: bytes) -> None:
        """Nothing is configured from outside."""

    def close(self) -> None:
        """Nothing is open."""


def lay_forged(verifier: VerifierFolder) -> None:
    """Give a simulated verifier the forged root and its CRL."""
    chip = forged_chip()
    for path, data in (
        (verifier.path / "anchors" / "sev-snp" / "milan.der", chip.ark()),
        (verifier.path / "endorsements" / "sev-snp" / "crl" / "Milan.der", chip.crl()),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _identity(kind: str, name: str, values: dict[str, Any]) -> dict[str, Any]:
    return {
        "document": "identity", "kind": kind, "scheme": "sev-snp", "name": name, "tenant": TENANT, "version": 1,
        "origin": ORIGIN, "values": values,
    }  # fmt: skip


def forged_identities() -> list[dict[str, Any]]:
    """Return what a wholesome forged report says, as identities."""
    fields = forged_chip().fields()
    tcb = {"bl": 4, "tee": 0, "snp": 24, "ucode": 219}
    platform = {"minimum_tcb": {"Milan": tcb}, "signing_key": {"kind": "VCEK"}, "minimum_committed_version": "1.55.40"}
    measurement, host_data = fields["measurement"], fields["host_data"]
    assert isinstance(measurement, bytes) and isinstance(host_data, bytes)  # noqa: S101, PT018 - the forge's own types
    return [
        _identity("platform", "forged-chips", platform),
        _identity("firmware", "forged-guest", {"measurement": measurement.hex(), "vmpl": 0}),
        _identity("config", "no-config", {"host_data": host_data.hex()}),
    ]


def forged_policy(name: str = "forged") -> dict[str, Any]:
    """Return an appraisal policy over those identities; what it leaves unchecked is written out."""
    unchecked = [
        "platform.platform_info", "platform.launch_mitigations", "platform.current_mitigations", "platform.chip_allow",
        "platform.chip_deny", "firmware.guest_policy", "firmware.minimum_abi", "firmware.minimum_guest_svn",
        "firmware.family_id", "firmware.image_id", "firmware.id_key_digest", "firmware.author_key_digest",
    ]  # fmt: skip
    return {
        "document": "policy", "name": name, "tenant": TENANT, "version": 1, "scheme": "sev-snp",
        "platform": [{"name": "forged-chips", "version": 1}], "firmware": [{"name": "forged-guest", "version": 1}],
        "config": [{"name": "no-config", "version": 1}], "unchecked": unchecked,
    }  # fmt: skip


def forged_documents(place: VaultPlace, *names: str) -> list[dict[str, Any]]:
    """Return identities, policy and workloads (one named ``forged`` if no names are given)."""
    workloads = [workload(name, "forged", place) for name in names or (FORGED_WORKLOAD,)]
    return [*forged_identities(), forged_policy(), *workloads]
