"""What an identity of this very enclave says where that is more than what a rule saw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from verifier.core.rules import Scope
from verifier.tee.scheme import Verified


def observe(verified: Verified[Any, Any]) -> Mapping[Scope, Mapping[str, Any]]:
    """Give signer and version, attributes and MISCSELECT whole, and what the enclave was configured with at launch."""
    report = verified.evidence.report
    signed = {"mrsigner": report.mrsigner.hex(), "isvprodid": report.isvprodid, "minimum_isvsvn": report.isvsvn}
    workload = {
        "signed": signed,
        "attributes": {"value": report.attributes.hex(), "mask": "f" * 32},
        "miscselect": {"value": f"0x{report.miscselect:08x}", "mask": "0xffffffff"},
    }
    configuration = {"configid": report.configid.hex(), "minimum_configsvn": report.configsvn}
    return {"workload": workload, "config": {"configuration": configuration}}
