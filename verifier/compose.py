"""Settings → object graph. The only module that names concrete adapters.

What fetches is imported when it is built: a process that serves never fetches, and does not load an HTTP client.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verifier.adapters.challenges import ChallengeKeys
from verifier.adapters.clock import SystemClock
from verifier.adapters.collateral.cache import Cache
from verifier.adapters.collateral.fetch_queue import Limits
from verifier.adapters.collateral.fetcher_socket import FetcherClient
from verifier.adapters.collateral.listed import ListedChips
from verifier.adapters.collateral.sources import Collateral
from verifier.adapters.keys.mark_file import MarkFile
from verifier.adapters.keys.signer_file import KeyFile
from verifier.adapters.overview import ProcessOverview
from verifier.adapters.sql.engine import SERVER_POOL
from verifier.adapters.sql.seals import Sealer
from verifier.adapters.sql.store import SqlStore, open_store
from verifier.adapters.trust.anchors import load_anchors
from verifier.adapters.trust.compiling import TrustFolder
from verifier.adapters.trust.documents import TrustCatalogue, load_demands
from verifier.adapters.trust.told import tell_change, tell_refused
from verifier.adapters.vendors.kind import Vendor
from verifier.adapters.vendors.registry import VENDORS
from verifier.core.ids import ServiceId
from verifier.core.ports import Clock, CollateralStore, TrustStore
from verifier.core.settings import SKEW_MS, Settings
from verifier.formats.errors import ConfigError
from verifier.formats.x509chain import Anchor, ChainCache
from verifier.service.parts import Parts
from verifier.tee.registry import SCHEMES

if TYPE_CHECKING:
    from verifier.adapters.collateral.fetcher import Endpoint, Fetcher, Observer


Tell = Callable[[str, Mapping[str, Any]], None]


def _tell_nobody(_event: str, _fields: Mapping[str, Any]) -> None:
    """Stand for a log."""


def prepare(settings: Settings, tell: Tell = _tell_nobody, log: Any = None) -> None:
    """Bring the store to this program's schema, look that it is the one that was served, compile the trust documents.

    Done once, before workers are forked. ``tell`` hears what an operator has to know. Raises ``ConfigError`` for a restored store
    (docs/backup.md), and for a trust folder that is broken or does not follow what is in force. With a ``log`` the folder's trouble is
    told there instead, where the store has a set to go on with.
    """
    keys = open_keys(settings)
    store, file = compose_store(settings, keys), mark_file(settings, keys)
    try:
        if store.first_sealed:
            tell("store-sealed", {"rows": dict(store.first_sealed)})
        mark = file.read()
        store.check_mark(mark)
        for row in store.mend_trust() if settings.trust_dir else ():
            tell("store-row-removed", {"table": row.table, "row": row.key, "check_id": ServiceId.SEAL})
        if settings.trust_dir:
            _take_trust(settings, store, log)
        if mark is None:
            tell("store-mark-made", {"file": str(file.path)})
        keep_mark(file, store, tell)
    finally:
        store.close()


def _take_trust(settings: Settings, store: SqlStore, log: Any) -> None:
    try:
        standing = open_trust_folder(settings, store).take(
            None
        )  # what is kept for a while leaves by the worker's clock
    except ConfigError as error:
        in_force = store.trust_digest()
        if log is None or not in_force:
            raise
        tell_refused(log, error, in_force)
    else:
        if log is not None:
            tell_change(log, standing)


def open_trust_folder(settings: Settings, store: TrustStore) -> TrustFolder:
    """Return the folder of trust documents with the keys that it is judged by; ``ConfigError`` for keys that cannot be read."""
    return TrustFolder(
        store,
        settings.trust_dir,
        demands=load_demands(settings.trust_keys_file),
        grace_ms=settings.trust_removal_grace_s * 1000,
    )


def connection_budget(settings: Settings) -> dict[str, int]:
    """Return how many connections to a database server these processes open at most; a reload doubles those of gunicorn."""
    workers = settings.workers or os.cpu_count() or 1
    return {
        "workers": workers,
        "each": SERVER_POOL,
        "at_most": (workers + int(settings.run_worker)) * SERVER_POOL,
        "while_reloading": (2 * workers + 1 + 2 * int(settings.run_worker)) * SERVER_POOL,
    }


def open_keys(settings: Settings) -> KeyFile:
    """Open the key file; refuses one of the other kind (simulated or not) or of another base URL."""
    return KeyFile.from_settings(settings)


def mark_file(settings: Settings, keys: KeyFile) -> MarkFile:
    """Return the mark that lies beside the key file."""
    return MarkFile(Path(settings.key_file).absolute(), keys.master)


def keep_mark(file: MarkFile, store: SqlStore, tell: Tell) -> None:
    """Raise the mark to where the store is. A folder that cannot be written costs the mark and nothing else."""
    try:
        file.raise_to(store.mark())
    except OSError as error:
        tell("store-mark-not-kept", {"file": str(file.path), "error": error.strerror})


def compose_store(
    settings: Settings, keys: KeyFile | None, *, is_new: bool = False, check_seals: bool = True
) -> SqlStore:
    """Open the store alone (migrated first where needed); refuses one of the other kind (simulated or not).

    Without ``keys`` records and evidence can be read, nothing else. ``is_new``: an operator says that this store may be one that was
    never sealed, whatever the mark beside the key file says. Without ``check_seals`` one that is sealed under another key file is
    opened too, to be looked at and mended.
    """
    store = open_store(
        settings.database_url,
        None if keys is None else Sealer(keys.master),
        skew_ms=SKEW_MS,
        keep_evidence=settings.evidence_retention_days > 0,
        check_seals=check_seals,
        was_sealed=keys is not None and not is_new and mark_file(settings, keys).path.exists(),
    )
    if keys is not None and check_seals:
        store.reserve(simulated=settings.simulated)
    return store


def compose(settings: Settings) -> Parts:
    """Build the object graph, with the schemes that policies name loaded. Connections open in the process that uses them."""
    keys = open_keys(settings)
    store = compose_store(settings, keys)
    clock = SystemClock()
    anchors = load_anchors(settings.private_anchor_dir, SCHEMES, simulated=settings.simulated)
    trust = TrustCatalogue(store, demands=load_demands(settings.trust_keys_file))
    collateral = compose_collateral(settings, store, clock, anchors)
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
        collateral=collateral,
        schemes=SCHEMES,
        anchors=anchors,
        chains=ChainCache(),
        overview=ProcessOverview(
            settings, store=store, keys=keys, collateral=collateral, schemes=SCHEMES, anchors=anchors
        ),
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


def compose_fetcher(
    settings: Settings, store: CollateralStore, observer: Observer, believes: Callable[[], bool] = lambda: False
) -> Fetcher | None:
    """Build the fetcher, not started; ``None`` without a cache or an endpoint. ``believes``: whether to drop by the clock now."""
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
        believes=believes,
    )
