"""What an HCL report and its runtime claims say, in the notation of the cases."""

from __future__ import annotations

from typing import Any

from verifier.tee.azure.claims import RuntimeClaims
from verifier.tee.azure.layout import HclReport


def hcl_claims(report: HclReport) -> dict[str, Any]:
    """Say what the header and the request data hold."""
    return {
        "version": report.version,
        "report_size": report.report_size,
        "request_type": report.request_type,
        "report_type": report.runtime.report_type,
        "hash_type": report.runtime.hash_type,
        "var_size": len(report.runtime.json),
        "data_size": report.runtime.data_size,
    }


def runtime_claims(claims: RuntimeClaims) -> dict[str, Any]:
    """Say what the paravisor wrote."""
    said: dict[str, Any] = {"kids": list(claims.kids), "vm_configuration": dict(claims.vm_configuration)}
    return said if claims.user_data is None else {**said, "user_data": claims.user_data}
