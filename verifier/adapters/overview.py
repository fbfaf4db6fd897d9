"""What a process knows about itself and what it has at hand: for readiness, and for the metrics that are facts and no counts.

Files are looked at once in ten seconds at most; what has expired is judged by the time that is given, not when they were read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from verifier.adapters.collateral.folder import check_of
from verifier.adapters.collateral.sources import Collateral
from verifier.adapters.logs import log_state
from verifier.adapters.trust.overview import TrustSummary
from verifier.adapters.vendors.registry import VENDORS
from verifier.core.ports import Fact, Lease, SharedDocument, TrustStore
from verifier.core.settings import Settings
from verifier.formats.errors import MalformedEvidence
from verifier.formats.pem import pem_blocks
from verifier.formats.x509 import parse_certificate, parse_crl
from verifier.formats.x509chain import Anchor
from verifier.tee.scheme import Scheme

_LOOK_S: Final = 10.0
EK_CRL: Final = "tpm2.ek-crl"


class OverviewStore(TrustStore, Protocol):
    """What is asked of the store."""

    def lease(self, name: str) -> Lease | None:
        """Return a lease as it stands."""
        ...


class KeySchedule(Protocol):
    """What is asked of the keys."""

    def next_rotation(self, tenant: str, now: int) -> int:
        """Return when the tenant's next key is to be published, or begins to sign where it is (Unix seconds)."""
        ...

    def answers_until(self, tenant: str) -> int:
        """Return when the tenant's set of answer keys ends (Unix seconds)."""
        ...


class ProcessOverview:
    """The overview of one process (``service.readiness.Overview``), and the facts of its metrics. Safe for threads and forks."""

    def __init__(
        self,
        settings: Settings,
        *,
        store: OverviewStore,
        keys: KeySchedule,
        collateral: Collateral,
        schemes: Mapping[str, Scheme[Any, Any]],
        anchors: Mapping[str, tuple[Anchor, ...]],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._store = store
        self._keys = keys
        self._collateral = collateral
        self._schemes = schemes
        self._anchors = anchors
        self._monotonic = monotonic
        self._trust = TrustSummary(store)
        self._looked: tuple[float, Sequence[SharedDocument]] | None = None  # replaced whole, so threads need no lock

    # -- readiness ------------------------------------------------------------------------------------------------------

    def workloads(self) -> Mapping[str, Sequence[str]]:
        """Return the enabled workloads, by tenant."""
        return self._trust.now().workloads

    def schemes(self) -> Sequence[str]:
        """Return the schemes that policies name."""
        return [name for name in self._trust.now().schemes if name in self._schemes]

    def documents(self, scheme: str, now: int) -> Sequence[tuple[str, SharedDocument]]:
        """Return what the scheme, or a scheme that it is made of, needs of the vendors' documents."""
        asking = self._asking(scheme)
        return [(check_of(asking[one.vendor], one.kind), one) for one in self._documents(now) if one.vendor in asking]

    def missing(self, scheme: str, now: int) -> Sequence[tuple[str, str]]:
        """Return the kinds that no login of the scheme can do without, where there is none and nobody fetches."""
        if self._collateral.is_fetched:
            return ()
        at_hand = {one.kind for one in self._documents(now)}
        return [
            (check_of(name, kind.name), kind.name)
            for vendor, name in self._asking(scheme).items()
            for kind in VENDORS[vendor].kinds
            if kind.required and kind.marks is not None and kind.name not in at_hand
        ]

    def lease(self, name: str) -> Lease | None:
        """Return a lease."""
        return self._store.lease(name)

    def log_trouble(self) -> str:
        """Tell why this process's log lines do not leave."""
        return log_state().trouble

    def _asking(self, scheme: str) -> dict[str, str]:
        """Return by vendor which scheme asks for its documents: this one, or the first that it is made of."""
        names = (scheme, *self._schemes[scheme].verification.anchors_of)
        return {
            vendor.name: next(name for name in names if name in vendor.schemes)
            for vendor in VENDORS.values()
            if any(name in vendor.schemes for name in names)
        }

    def _documents(self, now: int) -> Sequence[SharedDocument]:
        looked, at = self._looked, self._monotonic()
        if looked is None or at - looked[0] >= _LOOK_S:
            looked = self._looked = (at, self._collateral.shared(now))
        return looked[1]

    # -- metrics --------------------------------------------------------------------------------------------------------

    def facts(self, now: int) -> Iterator[Fact]:
        """Yield what the metrics show beside counts; times are Unix seconds. ``CannotDecide`` as the store and the keys."""
        for end in self._certificate_ends():
            yield Fact("vab_tls_certificate_expires_timestamp_seconds", {}, end)
        for one in self._documents(now):
            yield _document_end(one.kind, one.key, one.expires)
        for anchor in self._anchors.get("tpm2", ()):
            if anchor.crl_der:
                yield _document_end(EK_CRL, anchor.name, parse_crl(anchor.crl_der, "anchor").next_update)
        for tenant in self._settings.tenants:
            of = {"tenant": tenant}
            yield Fact("vab_next_key_rotation_timestamp_seconds", of, self._keys.next_rotation(tenant, now))
            yield Fact("vab_answer_keys_expire_timestamp_seconds", of, self._keys.answers_until(tenant))
        yield from self._trust_facts(now)

    def _trust_facts(self, now: int) -> Iterator[Fact]:
        trust = self._trust.now()
        yield Fact("vab_trust_info", {"digest": trust.digest}, 1)
        for tenant in self._settings.tenants:
            end = trust.next_window_end(tenant, now)
            if end is not None:
                yield Fact("vab_trust_window_ends_timestamp_seconds", {"tenant": tenant}, end)

    def _certificate_ends(self) -> Sequence[int]:
        """Return when the file's certificates end, soonest alone; nothing where there is no file or it cannot be read."""
        if not self._settings.tls_certificate:
            return ()
        try:
            data = Path(self._settings.tls_certificate).read_bytes()
            ends = [parse_certificate(der, "tls").not_after for der in pem_blocks(data, "CERTIFICATE")]
        except (OSError, ValueError, MalformedEvidence):
            return ()
        return [min(ends)] if ends else ()


def _document_end(kind: str, key: str, end: int) -> Fact:
    return Fact("vab_document_expires_timestamp_seconds", {"kind": kind, "key": key}, end)
