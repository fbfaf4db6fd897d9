"""Can a login of each tenant and of each scheme succeed now? A walk along what steps 4 to 8 need, which changes nothing.

``Walk`` asks ports and decides; it is asked at most once a second (``web.limits.Readiness``). A report names every trouble. Its
``failure`` is set only where nobody can log in: store, clock, all tenants, or all schemes in use. docs/adr/0019-logs-and-readiness.md
says why a partial outage is no failure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from verifier.core.binding import NONCE_LIFE_MS, NONCE_SIZE
from verifier.core.ids import ServiceId
from verifier.core.ports import NO_ATTESTATION, VerdictRecord
from verifier.formats.errors import CannotDecide
from verifier.service.parts import Overview, Parts

LEASE: Final = "worker"
LEASE_MS: Final = 15_000  # three rounds: a leader that was killed is missed for as long
LATE_MS: Final = 20_000  # four rounds of the worker
_TRIED: Final = 4  # workloads of a tenant that one walk reads
_KEPT: Final = 16

Part = Literal["store", "worker", "log", "tenant", "scheme"]


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is not as it should be. ``stops``: nobody of ``name`` (a tenant, a scheme; "" for all) can log in.

    ``detail`` is the operator's: it goes to the log, not into the answer.
    """

    part: Part
    name: str
    check_id: str
    detail: str
    stops: bool
    retry_after: int = 5

    def as_json(self) -> dict[str, str | bool]:
        """Return what the answer says of it."""
        return {"part": self.part, "name": self.name, "check_id": self.check_id, "stops": self.stops}


@dataclass(frozen=True, slots=True)
class Report:
    """What a walk found. ``failure``: why nobody can log in; ``None`` where somebody can."""

    troubles: tuple[Trouble, ...] = ()
    failure: Trouble | None = None

    @property
    def status(self) -> Literal["ready", "degraded", "not-ready"]:
        """The whole in a word."""
        if self.failure is not None:
            return "not-ready"
        return "degraded" if self.troubles else "ready"


class Walk:
    """Walks what a login needs. Keeps what it must see twice: when the worker last led, which workloads could not be read."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._overview = parts.overview
        self._led_ms = 0  # by the store's clock
        self._turn = 0
        self._unreadable: list[tuple[str, str]] = []

    def __call__(self) -> Report:
        """Walk once."""
        now_ms = self._parts.clock.now_ms()
        try:
            self._parts.store.ping()
            self._parts.store.rehearse(rehearsal(now_ms, self._parts.random(NONCE_SIZE)))
            found = [*self._tenants(now_ms // 1000)]
            if self._overview is not None:
                found += [*self._schemes(self._overview, now_ms // 1000), *self._beside(self._overview)]
        except CannotDecide as error:
            stopped = Trouble("store", "", error.check_id, error.detail, stops=True, retry_after=error.retry_after)
            return Report((stopped,), stopped)
        return Report(tuple(found), self._failure(found))

    def _failure(self, found: Sequence[Trouble]) -> Trouble | None:
        """Return why nobody can log in: each tenant has a trouble that stops it, or each scheme in use."""
        schemes = () if self._overview is None else self._overview.schemes()
        wholes: tuple[tuple[Part, Sequence[str]], ...] = (
            ("tenant", self._parts.settings.tenants),
            ("scheme", schemes),
        )
        for part, names in wholes:
            stopping = {one.name: one for one in reversed(found) if one.part == part and one.stops}
            if names and stopping.keys() >= set(names):
                return stopping[names[0]]
        return None

    def _tenants(self, now: int) -> Iterator[Trouble]:
        """Look at each tenant's keys, and at some of its workloads, in turn."""
        workloads = {} if self._overview is None else self._overview.workloads()
        self._turn += _TRIED
        for tenant in self._parts.settings.tenants:
            try:
                self._parts.keys.signing_key(tenant, now)
                self._parts.keys.answer_key(tenant, now)
            except CannotDecide as error:
                yield Trouble("tenant", tenant, error.check_id, error.detail, stops=True)
                continue
            yield from self._readable(tenant, workloads.get(tenant, ()))

    def _readable(self, tenant: str, names: Sequence[str]) -> Iterator[Trouble]:
        known = [name for of, name in self._unreadable if of == tenant and name in names]
        turn = [names[(self._turn + step) % len(names)] for step in range(min(_TRIED, len(names)))]
        tried = dict.fromkeys((*known, *turn))
        failed: dict[str, CannotDecide] = {}
        for name in tried:
            try:
                self._parts.trust.workload(tenant, name)
            except CannotDecide as error:
                if error.check_id == ServiceId.STORE:
                    raise
                failed[name] = error
        others = [one for one in self._unreadable if one[0] != tenant]
        self._unreadable = [*others, *((tenant, name) for name in failed)][-_KEPT:]
        for name, first in list(failed.items())[:1]:
            detail = f"{len(failed)} of {len(tried)} workloads looked at cannot be read; {name}: {first.detail}"
            yield Trouble("tenant", tenant, first.check_id, detail, stops=len(failed) == len(tried))

    def _schemes(self, overview: Overview, now: int) -> Iterator[Trouble]:
        """Look at what each scheme in use needs of the documents of many machines."""
        for scheme in overview.schemes():
            for check_id, kind in overview.missing(scheme, now):
                yield Trouble("scheme", scheme, check_id, f"{kind}: none at hand, and nothing is fetched", stops=True)
            documents = overview.documents(scheme, now)
            good = {one.kind for _id, one in documents if now <= one.expires}
            for check_id, one in documents:
                if now > one.expires:
                    stops = one.is_numbered and one.kind not in good
                    detail = f"{one.kind} {one.key}: expired at {one.expires}"
                    yield Trouble("scheme", scheme, check_id, detail, stops=stops)

    def _beside(self, overview: Overview) -> Iterator[Trouble]:
        """Look at what logins do without for a while: the worker, and the log."""
        lease = overview.lease(LEASE)
        renewed_ms = lease.expires_ms - LEASE_MS if lease is not None else 0
        read_ms = lease.read_ms if lease is not None else self._parts.clock.now_ms()
        self._led_ms = max(self._led_ms or read_ms, min(renewed_ms, read_ms))
        if read_ms - self._led_ms > LATE_MS:
            detail = f"no worker has finished a round for {(read_ms - self._led_ms) // 1000} s"
            yield Trouble("worker", "", ServiceId.WORKER, detail, stops=False)
        trouble = overview.log_trouble()
        if trouble:
            yield Trouble("log", "", ServiceId.LOG, trouble, stops=False)


def rehearsal(now_ms: int, nonce: bytes) -> VerdictRecord:
    """Return a record that is written and taken back; its nonce and evidence are random, so that each walk meets other pages."""
    return replace(
        NO_ATTESTATION,
        tenant="default",
        workload="readiness",
        check_id=ServiceId.STORE,
        nonce=nonce,
        nonce_expires_ms=now_ms + NONCE_LIFE_MS,
        now_ms=now_ms,
        findings="[]",
        evidence=hashlib.sha256(nonce).digest(),
    )
