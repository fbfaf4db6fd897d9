"""What an identity of this very machine says where that is more than what a rule saw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from verifier.core.rules import Scope
from verifier.tee.tpm2.rules import Tpm2Verified, quoted

# Not 10, IMA's, which every file that is opened extends: a value of it says nothing tomorrow.
_SOFTWARE = (8, 9, 11, 12, 13, 14)


def observe(verified: Tpm2Verified) -> Mapping[Scope, Mapping[str, Any]]:
    """Give the PCRs of what runs: 8 to 14 without IMA's, where something was measured; 0 to 7 are the firmware's."""
    software = {
        str(index): value.hex()
        for index, value in sorted(quoted(verified).items())
        if index in _SOFTWARE and any(value)
    }
    return {"workload": {"pcrs": software or None}}
