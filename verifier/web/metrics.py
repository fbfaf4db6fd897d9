"""Prometheus metrics, right with many workers and after restarts.

Values live in files of ``PROMETHEUS_MULTIPROC_DIR``, which ``serve`` sets and empties before this module is first imported
(prometheus_client reads the variable at import).
"""

from __future__ import annotations

import os

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

_BUCKETS = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.0, 5.0)

CHALLENGES = Counter("vab_challenges_total", "Nonces issued", ["tenant"])
ATTESTATIONS = Counter("vab_attestations_total", "Tokens issued", ["tenant", "scheme"])
ENROLMENTS = Counter("vab_tpm2_enrolments_total", "Attestation keys enrolled", ["tenant"])
REFUSALS = Counter("vab_refusals_total", "Every no, by its check", ["outcome", "check_id", "endpoint"])
LEFT = Counter("vab_clients_left_total", "Requests whose client closed the connection before they were judged")
SECONDS = Histogram("vab_request_seconds", "Time in the application", ["endpoint"], buckets=_BUCKETS)
READY = Gauge("vab_ready", "1 where the last readiness probe held", multiprocess_mode="livemin")

# Written by the worker process, which fetches; "mostrecent" because a worker that died leaves its numbers behind.
FETCHES = Counter("vab_collateral_fetches_total", "Documents asked of vendors", ["vendor", "kind", "outcome"])
WANTS_REFUSED = Counter("vab_collateral_refused_total", "Misses that were not queued, by why", ["check_id"])
WANTS = Gauge("vab_collateral_waiting", "Fetches that wait", ["vendor", "lane"], multiprocess_mode="mostrecent")
KEPT = Gauge("vab_collateral_kept", "Documents in the cache", ["kind"], multiprocess_mode="mostrecent")
ISSUED = Gauge(
    "vab_collateral_issued_timestamp_seconds",
    "When a document was issued: its age is time() minus this",
    ["kind", "key"],
    multiprocess_mode="mostrecent",
)
FETCHED = Gauge(
    "vab_collateral_fetched_timestamp_seconds", "When it was fetched", ["kind", "key"], multiprocess_mode="mostrecent"
)
EXPIRES = Gauge(
    "vab_collateral_expires_timestamp_seconds", "When it expires", ["kind", "key"], multiprocess_mode="mostrecent"
)

# Written by each replica's worker process, after each look at its folder of trust documents.
TRUST_NUMBER = Gauge(
    "vab_trust_set_number", "Number of the set of trust documents in force", multiprocess_mode="mostrecent"
)
TRUST_DOCUMENTS = Gauge("vab_trust_documents", "Documents in force, by kind", ["kind"], multiprocess_mode="mostrecent")
TRUST_WAITING = Gauge(
    "vab_trust_removals_waiting",
    "Documents that are gone from this replica's folder and stay in force for a while",
    multiprocess_mode="mostrecent",
)
TRUST_FOLLOWS = Gauge(
    "vab_trust_folder_follows",
    "1 where this replica's folder of trust documents is the set in force, 0 where it is refused",
    multiprocess_mode="mostrecent",
)
TRUST_REFUSED = Counter(
    "vab_trust_refused_total", "Looks at a folder of trust documents that was refused", ["check_id"]
)
TRUST_CHANGES = Counter("vab_trust_changes_total", "Sets of trust documents that this replica brought into force")
LEADS = Gauge("vab_worker_leads", "1 where this replica's worker leads", multiprocess_mode="mostrecent")


def count_refusal(outcome: str, check_id: str, endpoint: str) -> None:
    """Count a no under its check id. Ids are a closed set of ours, so the label cannot grow by what callers send."""
    REFUSALS.labels(outcome, check_id, endpoint).inc()


def render() -> tuple[bytes, str]:
    """Return the exposition of all workers, dead ones included: counters must not fall when a worker is replaced."""
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # prometheus_client leaves it bare
        return generate_latest(registry), CONTENT_TYPE_LATEST
    return generate_latest(), CONTENT_TYPE_LATEST
