"""What step 6 refuses: the caller hears ``policy.refused`` and nothing more, the operator hears which record has the reason."""

from __future__ import annotations

from verifier.core.ids import PolicyId
from verifier.formats.errors import EvidenceRejected


class Refused(EvidenceRejected):
    """Genuine evidence that is not wanted. ``reason`` is the check id that the record has; log and metrics show it, no answer does."""

    def __init__(self, *, seq: int, tenant: str, workload: str, scheme: str, reason: str) -> None:
        super().__init__(PolicyId.REFUSED, "the evidence is genuine and not wanted; the verifier's record says why")
        self.seq = seq
        self.tenant = tenant
        self.workload = workload
        self.scheme = scheme
        self.reason = str(reason)
