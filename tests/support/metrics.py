"""What ``/metrics`` of a live verifier says."""

from __future__ import annotations

import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.support.live import LiveVerifier


def samples(live: LiveVerifier) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return every sample, by name and labels."""
    reply: requests.Response = live.admin("/metrics")
    assert reply.ok
    return {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in text_string_to_metric_families(reply.text)
        for one in family.samples
    }


def value_of(live: LiveVerifier, name: str, /, **labels: str) -> float:
    """Return one sample's value, 0 where there is none."""
    return samples(live).get((name, tuple(sorted(labels.items()))), 0.0)
