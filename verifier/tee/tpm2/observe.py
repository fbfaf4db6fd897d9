"""What an identity of this very machine says where that is more than what a rule saw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from verifier.core.rules import Scope
from verifier.tee.tpm2.reference import CONFIG_PCR
from verifier.tee.tpm2.rules import Tpm2Verified, quoted

_FIRST_OF_SOFTWARE = 8


def observe(verified: Tpm2Verified) -> Mapping[Scope, Mapping[str, Any]]:
    """Give the PCRs of what runs: 8 to 14 where something was measured; 0 to 7 are the firmware's, 15 the configuration's."""
    software = {
        str(index): value.hex()
        for index, value in sorted(quoted(verified).items())
        if _FIRST_OF_SOFTWARE <= index < CONFIG_PCR and any(value)
    }
    return {"workload": {"pcrs": software or None}}
