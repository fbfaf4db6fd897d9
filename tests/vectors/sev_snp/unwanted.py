"""Vectors of genuine reports that nobody wants: one a rule at least."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from forge.sev_snp import ForgedAmd, tcb_version
from tests.support.vectors import Vector
from tests.vectors.sev_snp.forging import CSP, MILAN, TURIN, VLEK, patched, vector
from verifier.tee.sev_snp.layout import SIGNED


def unwanted() -> list[Vector]:
    """One failing vector a rule: the field the guest was launched with, or the value that the trust owner wrote."""

    def no(name: str, rule: str, value: Any = None, amd: ForgedAmd = MILAN, **fields: bytes | int) -> Vector:
        rule_id = f"sev-snp.{rule}"
        values = {} if value is None else {rule_id: value}
        return vector(name, "rejected", rule_id, amd=amd, fields=fields, values=values)

    floor = {"bl": 4, "tee": 0, "snp": 24, "ucode": 219}
    low = tcb_version("Milan", {"bl": 4, "snp": 23, "ucode": 219})
    turin = {"fmc": 1, "bl": 1, "tee": 1, "snp": 4, "ucode": 81}
    named = {"kind": "VLEK", "csp_id": CSP}
    return [
        no("debug", "policy.debug", policy=0xB001F),
        no("migrate-ma", "policy.migrate-ma", policy=0x7001F),
        no("policy-bit-17-clear", "policy.unknown-bits", policy=0x1001F),
        no("policy-bit-26", "policy.unknown-bits", policy=0x403001F),
        no("migration-agent", "migration-agent", report_id_ma=b"\x01" * 32),
        no("chip-id-masked", "chip-id.masked", chip_id=bytes(64)),
        no("vlek-where-vcek", "signing-key.kind", {"kind": "VCEK"}, VLEK),
        no("vcek-where-vlek", "signing-key.kind", named),
        no("vlek-of-other-provider", "signing-key.kind", {"kind": "VLEK", "csp_id": "CN=other"}, VLEK),
        *(no(f"reported-{n}-low", "tcb.minimum.reported", {"Milan": {**floor, n: floor[n] + 1}}) for n in floor),
        *(no(f"turin-{n}-low", "tcb.minimum.reported", {"Turin": {**turin, n: turin[n] + 1}}, TURIN) for n in turin),
        no("product-not-listed", "tcb.minimum.reported", {"Genoa": floor}),
        no("launch-low", "tcb.minimum.launch", {"Milan": floor}, launch_tcb=low),
        no("committed-low", "tcb.minimum.committed", {"Milan": floor}, committed_tcb=low),
        no("firmware-old", "firmware-version", "1.55.41"),
        no("firmware-major-old", "firmware-version", "2.0.0"),
        no("smt-on", "platform-info", {"smt_enabled": False, "ecc_enabled": True}),
        no("tio-off", "platform-info", {"tio_enabled": True}),
        no("launch-unmitigated", "mitigations.launch", "0x40", TURIN),
        no("mitigations-before-v5", "mitigations.launch", "0x1"),
        no("current-unmitigated", "mitigations.current", "0x3f", TURIN, current_mit_vector=0x1F),
        no("chip-not-listed", "chip.allow", ["22" * 64]),
        no("chip-list-with-vlek", "chip.allow", ["00" * 64], VLEK),
        no("chip-denied", "chip.deny", [MILAN.hwid.hex()]),
        no("chip-denied-with-vlek", "chip.deny", ["22" * 64], VLEK),
        no("measurement-other", "measurement", "11" * 48),
        no("vmpl-1", "vmpl", 0, vmpl=1),
        no("smt-allowed", "guest-policy", {"smt_allowed": False}),
        no("many-sockets", "guest-policy", {"single_socket": True}),
        no("cxl-allowed", "guest-policy", {"cxl_allowed": False}, policy=0x23001F),
        no("abi-old", "guest-policy.abi", "1.51"),
        no("svn-old", "guest-svn", 3),
        no("family-other", "family-id", "01" * 16),
        no("image-other", "image-id", "01" * 16),
        no("id-key-other", "id-key-digest", "01" * 48),
        no("author-key-other", "author-key-digest", "01" * 48),
        no("configuration-other", "host-data", "01" * 32),
    ]


def lifted(
    rules: Collection[str], report_data: Callable[[ForgedAmd], bytes]
) -> Iterator[tuple[Vector, ForgedAmd, bytes]]:
    """Yield what a composite inherits: each unwanted report of a VCEK that one of ``rules`` refuses, its chip, its report bound."""
    for bare in unwanted():
        amd = next((a for a in (MILAN, TURIN) if a.endorsements() == bare.endorsements), None)
        if amd is not None and bare.check_id in rules:
            bound = patched(bare.parts["report"], 0x50, report_data(amd))
            yield bare, amd, amd.sign(bound[: SIGNED[1]] + bytes(1184 - SIGNED[1]))
