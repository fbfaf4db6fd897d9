"""Prometheus metrics, right with many workers and after restarts.

Values live in files of ``PROMETHEUS_MULTIPROC_DIR``, which ``serve`` sets and empties before this module is first imported
(prometheus_client reads the variable at import).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from verifier.core.ports import Fact
from verifier.web import metrics_files

_BUCKETS = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.0, 5.0)

CHALLENGES = Counter("vab_challenges_total", "Nonces issued", ["tenant"])
ATTESTATIONS = Counter("vab_attestations_total", "Tokens issued", ["tenant", "scheme"])
ENROLMENTS = Counter("vab_tpm2_enrolments_total", "Attestation keys enrolled", ["tenant"])
REFUSALS = Counter("vab_refusals_total", "Every no, by its check", ["outcome", "check_id", "endpoint"])
LEFT = Counter("vab_clients_left_total", "Requests whose client closed the connection before they were judged")
SECONDS = Histogram("vab_request_seconds", "Time in the application", ["endpoint"], buckets=_BUCKETS)
VERDICTS = Counter(
    "vab_verdicts_refused_total",
    "Genuine evidence that was not wanted, by the record's check",
    ["tenant", "scheme", "reason"],
)
LOG_LINES_LOST = Counter("vab_log_lines_lost_total", "Log lines that nobody took")

# Written by the worker process; "mostrecent" because a worker that died leaves its numbers behind.
WORKER_ROUND = Gauge(
    "vab_worker_last_round_timestamp_seconds",
    "When this machine's worker ended a round",
    multiprocess_mode="mostrecent",
)

# Written by it too: it fetches.
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
# What is no count: it is looked up when it is asked for, by the process that is asked.
FACTS: Mapping[str, str] = MappingProxyType(
    {
        "vab_ready": "1 where somebody can log in now (/readyz)",
        "vab_degraded": "1 for each trouble that /readyz names; stops: whether it stops all of its tenant or scheme",
        "vab_next_key_rotation_timestamp_seconds": "When the next token key is published, or begins to sign where it is",
        "vab_answer_keys_expire_timestamp_seconds": "When the set of answer keys ends",
        "vab_tls_certificate_expires_timestamp_seconds": "When the first certificate of tls_certificate ends",
        "vab_document_expires_timestamp_seconds": "When a document ends that many machines need; the folder's too, and EK CRLs",
        "vab_trust_window_ends_timestamp_seconds": "When the next window of a tenant's identities ends",
        "vab_trust_info": "1 for the digest of the trust documents that are in force",
    }
)


def count_refusal(outcome: str, check_id: str, endpoint: str) -> None:
    """Count a no under its check id. Ids are a closed set of ours, so the label cannot grow by what callers send."""
    REFUSALS.labels(outcome, check_id, endpoint).inc()


def count_verdict(tenant: str, scheme: str, reason: str) -> None:
    """Count a refusal under the reason that its record has: a check id of ours, of a tenant and a scheme that are served."""
    VERDICTS.labels(tenant, scheme, reason).inc()


class Exposition:
    """The numbers of all processes, dead ones included, and the facts of this one. Made at most once in ``period_s``.

    Counters must not fall when a process is replaced, and a scrape must not cost more the more were: ``metrics_files`` keeps what
    dead processes counted in one file.
    """

    def __init__(self, facts: Callable[[], Iterable[Fact]], period_s: float = 1.0) -> None:
        self._facts = facts
        self._period_s = period_s
        self._lock = threading.Lock()
        self._made: tuple[float, bytes] | None = None

    def render(self) -> tuple[bytes, str]:
        """Return the exposition and its media type."""
        with self._lock:
            made, at = self._made, time.monotonic()
            if made is None or at - made[0] >= self._period_s:
                made = self._made = (at, self._render())
            return made[1], CONTENT_TYPE_LATEST

    def _render(self) -> bytes:
        registry = CollectorRegistry()
        folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        if not folder:
            return generate_latest() + generate_latest(_with_facts(registry, self._facts))
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # prometheus_client leaves it bare
        with metrics_files.reading(folder):
            return generate_latest(_with_facts(registry, self._facts))


def _with_facts(registry: CollectorRegistry, facts: Callable[[], Iterable[Fact]]) -> CollectorRegistry:
    class Facts(Collector):
        def collect(self) -> Iterator[Metric]:
            families: dict[str, GaugeMetricFamily] = {}
            for fact in facts():
                family = families.get(fact.name)
                if family is None:
                    family = families[fact.name] = GaugeMetricFamily(
                        fact.name, FACTS[fact.name], labels=sorted(fact.labels)
                    )
                family.add_metric([fact.labels[name] for name in sorted(fact.labels)], fact.value)
            yield from families.values()

    registry.register(Facts())
    return registry
