"""What the service is made of: records of ports, handed in by ``compose``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from verifier.appraise.compiled import CompiledPolicy
from verifier.appraise.result import Workload
from verifier.core.ports import (
    Clock,
    CollateralSource,
    Fact,
    Lease,
    RandomSource,
    ServiceStore,
    SharedDocument,
    SigningKey,
)
from verifier.core.settings import Settings
from verifier.formats.x509chain import Anchor, ChainCache
from verifier.tee.scheme import Scheme


class Trust(Protocol):
    """Where workloads and their compiled policies come from."""

    def workload(self, tenant: str, name: str) -> tuple[Workload, CompiledPolicy] | None:
        """Return the workload of that name with the policy it names; ``None`` where there is none."""
        ...


class Keys(Protocol):
    """The keys of this process; times are Unix seconds. ``CannotDecide('service.keys')`` where none may sign now."""

    def signing_key(self, tenant: str, now: int) -> SigningKey:
        """Return the key that signs the tenant's tokens now."""
        ...

    def answer_key(self, tenant: str, now: int) -> tuple[SigningKey, str]:
        """Return the key that signs answers and the root-signed set that names it."""
        ...

    def jwks(self, tenant: str, now: int) -> tuple[bytes, str]:
        """Return the tenant's published keys as static bytes, and their entity tag."""
        ...

    def discovery(self, tenant: str, now: int) -> tuple[bytes, str]:
        """Return the tenant's OIDC discovery document as static bytes, and its entity tag."""
        ...

    def enrolment_key(self) -> bytes:
        """Return the HMAC key of the enrolment's stateless proof."""
        ...


class RotatingKeys(Protocol):
    """The part of the keys that the worker's clock drives."""

    def rotate_due(self, now: int) -> Sequence[str]:
        """Make, activate and retire what is due; returns what changed, in words without key material."""
        ...


class ChallengeKeySource(Protocol):
    """The daily MAC keys of nonces."""

    def current(self, now_ms: int) -> tuple[int, bytes]:
        """Return the key id and key that new nonces carry."""
        ...

    def find(self, key_id: int, now_ms: int) -> bytes | None:
        """Return the key of that id if it is today's or yesterday's."""
        ...


class Overview(Protocol):
    """What is at hand, for readiness and for the metrics. Every method may raise ``CannotDecide`` as the store and the keys do."""

    def workloads(self) -> Mapping[str, Sequence[str]]:
        """Return the enabled workloads that are compiled, by tenant."""
        ...

    def schemes(self) -> Sequence[str]:
        """Return the schemes that compiled policies name."""
        ...

    def documents(self, scheme: str, now: int) -> Sequence[tuple[str, SharedDocument]]:
        """Return what a scheme needs of many machines' documents, each with the id that a login would fail with."""
        ...

    def missing(self, scheme: str, now: int) -> Sequence[tuple[str, str]]:
        """Return id and kind of documents that a scheme cannot do without, of which there is none and none is fetched."""
        ...

    def lease(self, name: str) -> Lease | None:
        """Return a lease as the store has it."""
        ...

    def log_trouble(self) -> str:
        """Tell why log lines do not leave; "" while they do."""
        ...

    def facts(self, now: int) -> Iterable[Fact]:
        """Return what the metrics show beside counts."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The object graph of one verifier process."""

    settings: Settings
    clock: Clock
    random: RandomSource
    store: ServiceStore
    trust: Trust
    keys: Keys
    challenge_keys: ChallengeKeySource
    collateral: CollateralSource
    schemes: Mapping[str, Scheme[Any, Any]]
    anchors: Mapping[str, tuple[Anchor, ...]]
    chains: ChainCache
    overview: Overview | None = None  # a part of tests may do without
