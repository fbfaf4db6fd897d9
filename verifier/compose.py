"""Settings → object graph. The only module that names concrete adapters."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from verifier.adapters.challenges import ChallengeKeys
from verifier.adapters.clock import SystemClock
from verifier.adapters.collateral import Cache, Collateral
from verifier.adapters.collateral.door import Door
from verifier.adapters.collateral.fetcher import Endpoint, Fetcher, Observer
from verifier.adapters.collateral.http import Client
from verifier.adapters.collateral.listed import ListedChips
from verifier.adapters.collateral.wants import Limits
from verifier.adapters.keys.signer_file import KeyFile
from verifier.adapters.sql.store import SqlStore, open_store
from verifier.adapters.trust.anchors import load_anchors
from verifier.adapters.trust.documents import TrustCatalogue, compile_into, load_demands
from verifier.adapters.vendors.amd import Kds
from verifier.adapters.vendors.intel import Pcs
from verifier.adapters.vendors.nvidia import NvidiaOcsp
from verifier.core.ports import Clock, CollateralStore
from verifier.core.settings import AMD_KDS, INTEL_PCS, NVIDIA_OCSP, SKEW_MS, Settings
from verifier.formats.errors import ConfigError
from verifier.formats.x509chain import Anchor, ChainCache
from verifier.service.parts import Parts
from verifier.tee.registry import SCHEMES


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
    """Build the object graph. Connections open lazily, in the process that uses them."""
    store = compose_store(settings)
    keys = open_keys(settings)
    clock = SystemClock()
    anchors = load_anchors(settings.private_anchor_dir, SCHEMES, simulated=settings.simulated)
    return Parts(
        settings=settings,
        clock=clock,
        random=os.urandom,
        store=store,
        trust=TrustCatalogue(store, demands=load_demands(settings.trust_keys_file)),
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
    # Absolute: whoever changes the working folder later still means the same one.
    return Cache(Path(settings.collateral_dir).absolute(), limit=settings.collateral_cache_mib * 1024 * 1024)


def compose_collateral(
    settings: Settings, store: CollateralStore, clock: Clock, anchors: Mapping[str, tuple[Anchor, ...]]
) -> Collateral:
    """Wire step 4: the operator's folder, the cache, and the fetcher where there is an endpoint to fetch from."""
    cache = open_cache(settings)
    asker = Door(cache.folder) if cache is not None and has_endpoints(settings) else None
    return Collateral(store, anchors, clock, folder=settings.endorsement_dir, cache=cache, asker=asker)


def endpoints_of(settings: Settings) -> list[Endpoint]:
    """Return where things are fetched from. Forged TEEs are nothing to ask the real vendors about."""
    kds, pcs = _url(settings, settings.kds_url, AMD_KDS), _url(settings, settings.pcs_url, INTEL_PCS)
    ocsp, ca_file = _url(settings, settings.nvidia_ocsp_url, NVIDIA_OCSP), settings.collateral_ca_file
    found: list[Endpoint] = []
    if kds:
        found.append(Endpoint(Kds(kds), Client(ca_file), settings.kds_interval_s))
    if pcs:
        intel = Pcs(
            pcs,
            settings.intel_root_crl_url,
            is_pccs=settings.pcs_is_pccs,
            update=settings.intel_tcb_update,
            evaluation=settings.intel_tcb_evaluation_number,
        )
        found.append(Endpoint(intel, Client(ca_file, headers=_api_key(settings)), settings.pcs_interval_s))
    if ocsp:
        found.append(Endpoint(NvidiaOcsp(ocsp), Client(ca_file), settings.nvidia_ocsp_interval_s))
    return found


def has_endpoints(settings: Settings) -> bool:
    """Tell whether anything may be fetched."""
    urls = (settings.kds_url, AMD_KDS), (settings.pcs_url, INTEL_PCS), (settings.nvidia_ocsp_url, NVIDIA_OCSP)
    return any(_url(settings, url, vendors_own) for url, vendors_own in urls)


def _url(settings: Settings, url: str, vendors_own: str) -> str:
    return "" if settings.simulated and url == vendors_own else url


def _api_key(settings: Settings) -> dict[str, str]:
    if not settings.pcs_api_key_file:
        return {}
    try:
        key = Path(settings.pcs_api_key_file).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise ConfigError("settings", "pcs_api_key_file", settings.pcs_api_key_file, "a readable file") from None
    return {"Ocp-Apim-Subscription-Key": key}


def compose_fetcher(settings: Settings, store: CollateralStore, observer: Observer) -> Fetcher | None:
    """Build the fetcher, not started; ``None`` without a cache or an endpoint."""
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
