"""Settings → object graph. The only module that names concrete adapters."""

from __future__ import annotations

import os

from verifier.adapters.anchors import load_anchors
from verifier.adapters.challenges import ChallengeKeys
from verifier.adapters.clock import SystemClock
from verifier.adapters.collateral import FolderCollateral
from verifier.adapters.signer_file import KeyFile
from verifier.adapters.sql.store import SqlStore, open_store
from verifier.adapters.trust import TrustCatalogue, compile_into, load_demands
from verifier.core.settings import SKEW_MS, Settings
from verifier.core.x509chain import ChainCache
from verifier.service import Parts
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
    anchors = load_anchors(settings.private_anchor_dir, SCHEMES, simulated=settings.simulated)
    return Parts(
        settings=settings,
        clock=SystemClock(),
        random=os.urandom,
        store=store,
        trust=TrustCatalogue(store, demands=load_demands(settings.trust_keys_file)),
        keys=keys,
        challenge_keys=ChallengeKeys(keys.master),
        collateral=FolderCollateral(store, settings.endorsement_dir, anchors),
        schemes=SCHEMES,
        anchors=anchors,
        chains=ChainCache(),
    )
