"""Is it genuine? SNP report of the boot -> runtime claims -> AK -> quote -> PCRs and nonce (``azure.scheme``, ``azure.verify``)."""

from __future__ import annotations

from typing import Any, Final

from verifier.tee.azure.verify import azure_checks
from verifier.tee.azure_snp_vtpm.decode import NAME
from verifier.tee.scheme import Check

CHECKS: Final[tuple[Check[Any, Any], ...]] = azure_checks(NAME)
