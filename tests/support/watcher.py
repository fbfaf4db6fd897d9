"""What a fetcher tells its observer, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from verifier.adapters.collateral.cache import Entry
from verifier.adapters.collateral.fetch_queue import Lane
from verifier.adapters.collateral.fetcher import Observer


@dataclass
class Watcher(Observer):
    """Counts what the fetcher says of itself."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)

    def fetched(self, vendor: str, kind: str, outcome: str) -> None:
        """Count an outcome."""
        assert vendor
        self.outcomes[kind, outcome] += 1

    def refused(self, check_id: str) -> None:
        """Count a refusal."""
        self.refusals[check_id] += 1

    def note(self, level: str, event: str, **fields: Any) -> None:
        """Nothing."""

    def waiting(self, counts: Mapping[tuple[str, Lane], int]) -> None:
        """Nothing."""

    def kept(self, entries: Iterable[Entry]) -> None:
        """Nothing."""
