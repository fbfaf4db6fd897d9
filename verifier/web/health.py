"""What ``/readyz`` and ``/metrics`` answer with: one report a second, logged when it changes, and the facts that go with it."""

from __future__ import annotations

from collections.abc import Iterator

import structlog

from verifier.core.ports import Fact
from verifier.formats.errors import CannotDecide
from verifier.service.parts import Parts
from verifier.service.readiness import Report, Trouble, Walk
from verifier.web.limits import Readiness
from verifier.web.metrics import Exposition

_log = structlog.get_logger("verifier.web")


class Health:
    """One process's view of itself. Safe for threads; nothing is asked before the first caller, so it may be made before a fork."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._readiness = Readiness(Walk(parts))
        self._said: tuple[Trouble, ...] = ()
        self.exposition = Exposition(self._facts)

    def report(self) -> Report:
        """Return what the last walk found; a change is logged with what the answer leaves out."""
        report = self._readiness.report(self._parts.clock.now_ms())
        said, self._said = self._said, report.troubles
        before, now = ({(one.part, one.name, one.check_id) for one in found} for found in (said, report.troubles))
        for one in report.troubles:
            if (one.part, one.name, one.check_id) not in before:
                _log.warning("trouble", status=report.status, **one.as_json(), detail=one.detail[:500])
        for part, name, check_id in before - now:
            _log.info("trouble-over", status=report.status, part=part, name=name, check_id=check_id)
        return report

    def _facts(self) -> Iterator[Fact]:
        report = self.report()
        yield Fact("vab_ready", {}, float(report.failure is None))
        for key in sorted({(one.part, one.name, one.check_id, str(one.stops).lower()) for one in report.troubles}):
            yield Fact("vab_degraded", dict(zip(("part", "name", "check_id", "stops"), key, strict=True)), 1)
        if self._parts.overview is None:
            return
        try:
            yield from self._parts.overview.facts(self._parts.clock.now_ms() // 1000)
        except CannotDecide as error:
            # The report says so too; a scrape gets what there is.
            _log.debug("no-facts", check_id=error.check_id, detail=error.detail)
