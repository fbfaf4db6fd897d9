"""Settings → object graph. The only module that names concrete adapters.

What fetches is imported when it is built: a process that serves never fetches, and does not load an HTTP client.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verifier.adapters.challenges import ChallengeKeys
from verifier.adapters.clock import SystemClock
from verifier.adapters.collateral.cache import Cache
from verifier.adapters.collateral.fetch_queue import Limits
from verifier.adapters.collateral.fetcher_socket import FetcherClient
from verifier.adapters.collateral.listed import ListedChips
from verifier.adapters.collateral.sources import Collateral
from verifier.adapters.keys.signer_file import KeyFile
from verifier.adapters.sql.store import SqlStore, open_store
from verifier.adapters.trust.anchors import load_anchors
from verifier.adapters.trust.documents import TrustCatalogue, compile_into, load_demands
from verifier.adapters.vendors.kind import Vendor
from verifier.adapters.vendors.registry import VENDORS
from verifier.core.ports import Clock, CollateralStore
from verifier.core.settings import SKEW_MS, Settings
from verifier.formats.x509chain import Anchor, ChainCache
from verifier.service.parts import Parts
from verifier.tee.registry import SCHEMES

if TYPE_CHECKING:
    from verifier.adapters.collateral.fetcher import Endpoint, Fetcher, Observer


def prepare(settings: Settings) -> None:
    """Bring the store to this program's schema and compile the trust documents. Done once, before workers are forked."""
    store = compose_store(settings)
    try:
        if settings.trust_dir:
            compile_into(store, settings.trust_dir, demands=load_demands(settings.trust_keys_file))
    finally:
        store.close()


def open_keys(settings: Settings) -> KeyFile:
    """Open the key file; refuses one of the other kind (simulated or not) or of another base URL."""
    return KeyFile.from_settings(settings)


def compose_store(settings: Settings) -> SqlStore:
    """Open the store alone (migrated first where needed); refuses one of the other kind (simulated or not)."""
    store = open_store(settings.database_url, skew_ms=SKEW_MS, keep_evidence=settings.evidence_retention_days > 0)
    store.reserve(simulated=settings.simulated)
    return store


def compose(settings: Settings) -> Parts:
    """Build the object graph, with the schemes that policies name loaded. Connections open in the process that uses them."""
    store = compose_store(settings)
    keys = open_keys(settings)
    clock = SystemClock()
    anchors = load_anchors(settings.private_anchor_dir, SCHEMES, simulated=settings.simulated)
    trust = TrustCatalogue(store, demands=load_demands(settings.trust_keys_file))
    for name in trust.schemes():
        _loaded = (
            SCHEMES[name],
            anchors[name],
        )  # now, once: gunicorn's workers would each load them at their first request
    return Parts(
        settings=settings,
        clock=clock,
        random=os.urandom,
        store=store,
        trust=trust,
        keys=keys,
        challenge_keys=ChallengeKeys(keys.master),
        collateral=compose_collateral(settings, store, clock, anchors),
        schemes=SCHEMES,
        anchors=anchors,
        chains=ChainCache(),
    )


def open_cache(settings: Settings) -> Cache | None:
    """Return the cache that the settings name; nothing is opened or made yet."""
    if not settings.collateral_dir:
        return None
    # Absolute: the same folder, also after a change of the working folder.
    return Cache(Path(settings.collateral_dir).absolute(), limit=settings.collateral_cache_mib * 1024 * 1024)


def compose_collateral(
    settings: Settings, store: CollateralStore, clock: Clock, anchors: Mapping[str, tuple[Anchor, ...]]
) -> Collateral:
    """Wire step 4: the operator's folder, the cache, and the fetcher where there is an endpoint to fetch from."""
    cache = open_cache(settings)
    asker = FetcherClient(cache.folder) if cache is not None and has_endpoints(settings) else None
    return Collateral(store, anchors, clock, folder=settings.endorsement_dir, cache=cache, asker=asker)


def _asked(settings: Settings) -> list[Vendor[Any]]:
    """Return the vendors that have an address. A process for forged TEEs never asks a real vendor."""
    return [
        vendor
        for vendor in VENDORS.values()
        if (url := vendor.service(settings).url) and not (settings.simulated and url == vendor.own_url)
    ]


def has_endpoints(settings: Settings) -> bool:
    """Tell whether anything may be fetched."""
    return bool(_asked(settings))


def endpoints_of(settings: Settings) -> list[Endpoint]:
    """Return where things are fetched from; ``ConfigError`` for a key file that cannot be read."""
    from verifier.adapters.collateral.fetcher import Endpoint
    from verifier.adapters.collateral.http import Client

    ca_file = settings.collateral_ca_file
    return [
        Endpoint(
            vendor,
            vendor.service(settings),
            Client(ca_file, headers=vendor.headers(settings)),
            vendor.interval_s(settings),
        )
        for vendor in _asked(settings)
    ]


def compose_fetcher(settings: Settings, store: CollateralStore, observer: Observer) -> Fetcher | None:
    """Build the fetcher, not started; ``None`` without a cache or an endpoint."""
    from verifier.adapters.collateral.fetcher import Fetcher

    cache, endpoints = open_cache(settings), endpoints_of(settings)
    if cache is None or not endpoints:
        return None
    anchors = load_anchors(settings.private_anchor_dir, SCHEMES, simulated=settings.simulated)
    return Fetcher(
        cache=cache,
        endpoints=endpoints,
        limits=Limits(
            places=settings.collateral_queue,
            per_source=settings.collateral_quota_per_source,
            per_tenant=settings.collateral_quota_per_tenant,
        ),
        clock=SystemClock(),
        observer=observer,
        anchors=tuple(dict.fromkeys(anchor for name in anchors for anchor in anchors[name])),
        listed=ListedChips(store),
    )
