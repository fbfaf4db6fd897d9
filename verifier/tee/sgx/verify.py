"""Is the quote genuine? The checks of ``dcap.verify`` under the name of ``sgx``."""

from __future__ import annotations

from typing import Final

from verifier.tee.dcap.endorse import DcapCollateral
from verifier.tee.dcap.verify import checks_of
from verifier.tee.scheme import Check
from verifier.tee.sgx.decode import Evidence
from verifier.tee.sgx.layout import NAME

CHECKS: Final[tuple[Check[Evidence, DcapCollateral], ...]] = checks_of(NAME, has_module=False)
