"""What is compiled, in short: names, counts and windows, read anew when the trust documents change."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from verifier.appraise.documents import instant
from verifier.core.ports import TrustStore


@dataclass(frozen=True, slots=True)
class TrustOverview:
    """The documents under one digest. ``window_ends``: by tenant, when windows of its identities end, soonest first (Unix seconds)."""

    digest: str
    counts: Mapping[str, int]
    workloads: Mapping[str, Sequence[str]] = field(default_factory=dict)
    schemes: Sequence[str] = ()
    window_ends: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def next_window_end(self, tenant: str, now: int) -> int | None:
        """Return when the next window of a tenant's identities ends; ``None`` where none does."""
        return next((end for end in self.window_ends.get(tenant, ()) if end > now), None)


class TrustSummary:
    """Gives the overview of what the store holds. Threads may race to read it: each reads the same."""

    def __init__(self, store: TrustStore) -> None:
        self._store = store
        self._read: TrustOverview | None = None

    def now(self) -> TrustOverview:
        """Return the overview; ``CannotDecide`` as the store."""
        digest = self._store.trust_digest()
        if self._read is None or self._read.digest != digest:
            self._read = _overview(digest, {kind: self._store.trust_documents(kind) for kind in _KINDS})
        return self._read


_KINDS = ("identity", "policy", "workload")


def _overview(digest: str, bodies: Mapping[str, Sequence[str]]) -> TrustOverview:
    workloads: dict[str, list[str]] = {}
    ends: dict[str, list[int]] = {}
    schemes: set[str] = set()
    for kind, listed in bodies.items():
        for body in listed:
            form = _form(body)
            if kind == "workload" and form.get("state") == "enabled":
                workloads.setdefault(str(form.get("tenant")), []).append(str(form.get("name")))
            if kind == "policy" and form.get("scheme"):
                schemes.add(str(form["scheme"]))
            until = (form.get("window") or {}).get("until") if kind == "identity" else None
            if until:
                with suppress(ValueError, OverflowError):  # a login by it says so (service.trust)
                    ends.setdefault(str(form.get("tenant")), []).append(instant(str(until)))
    return TrustOverview(
        digest=digest,
        counts={kind: len(listed) for kind, listed in bodies.items()},
        workloads={tenant: sorted(names) for tenant, names in workloads.items()},
        schemes=tuple(sorted(schemes)),
        window_ends={tenant: sorted(times) for tenant, times in ends.items()},
    )


def _form(body: str) -> dict[str, Any]:
    try:
        form = json.loads(body)
    except ValueError:
        return {}  # a login by it says so (service.trust)
    return form if isinstance(form, dict) else {}
