"""After the commit: a token counts once its answer has left. Nothing here can fail the answer.

The contract for whatever serves: build the answer, hand all of it to the connection, and call ``left`` after that, once. A server
that gives up in between calls nothing: the token is recorded, and no counter says that it left.
"""

from __future__ import annotations

import structlog

from verifier.service.attest import Outcome
from verifier.web import metrics

_log = structlog.get_logger("verifier.web")


def left(outcome: Outcome) -> None:
    """Count and log a token that has left."""
    metrics.ATTESTATIONS.labels(outcome.tenant, outcome.scheme).inc()
    _log.info("attested", seq=outcome.seq, workload=outcome.workload_uuid, scheme=outcome.scheme, jti=outcome.jti)
