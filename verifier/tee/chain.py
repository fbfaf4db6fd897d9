"""Chain steps as checks: what every scheme asks of the certificates that its evidence ends in.

Checked, one check each: a pinned anchor stands above the chain; constraints and the shape that the scheme wants; signatures from the
anchor down; validity. CRLs are the scheme's own, because each vendor publishes them another way. The steps are
``formats.x509chain``'s; what is remembered here depends on certificates alone, which are known by identity.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, TypeAlias

from verifier.core.packaged import packaged
from verifier.formats.x509 import Certificate
from verifier.formats.x509chain import (
    ANY_PROFILE,
    Anchor,
    Path,
    Profile,
    Root,
    check_constraints,
    check_signatures,
    check_validity,
    find_path,
    require_path,
)
from verifier.tee.scheme import Check, Subject

AnySubject: TypeAlias = Subject[Any, Any]
Chain: TypeAlias = tuple[Certificate, ...]

WHY_ROOT: Final = (
    "the walk starts from the pinned anchor and has none to start with; this one says first which root was wrong"
)


def pinned(package: str, name: str, file: str) -> Anchor:
    """Read a vendor's root from a package's ``anchors`` folder; a test pins its digests."""
    return Anchor(name, packaged(package, f"anchors/{file}"), "vendor")


def own_anchors(anchors: tuple[Anchor, ...], own: tuple[Anchor, ...]) -> tuple[Anchor, ...]:
    """Keep the vendor anchors that are this part's own, and all that an operator or a simulation named.

    A composite's anchors are those of all its parts: one vendor never vouches for another's.
    """
    return tuple(anchor for anchor in anchors if anchor.root != "vendor" or anchor in own)


@lru_cache(maxsize=1024)
def find(chain: Chain, anchors: tuple[Anchor, ...]) -> Path | None:
    """Find the pinned anchor above a chain, leaf first; remembered."""
    return find_path(chain, anchors)


@lru_cache(maxsize=1024)
def _constrained(path: Path, steps: ChainSteps) -> None:
    """Refuse a path of another shape. One that passed once passes always; a refusal is not remembered."""
    check_constraints(path, steps.profile)
    steps.shape(path)


@dataclass(frozen=True, slots=True, eq=False)
class ChainSteps:
    """The steps over one chain of the evidence.

    ``chain_of``: the certificates, leaf first; ``None`` where none came and none is demanded, then every step holds.
    ``shape``: what the scheme wants of a path beyond ``profile``; raises ``Failed``; looks at the certificates alone.
    ``own``: the vendor anchors that may stand above it, where the scheme has those of other parts too.
    """

    chain_of: Callable[[AnySubject], Chain | None]
    profile: Profile = ANY_PROFILE
    shape: Callable[[Path], None] = field(default=lambda _path: None)
    own: tuple[Anchor, ...] | None = None

    def found(self, subject: AnySubject) -> Path | None:
        """Return the path from the anchor down to the leaf; ``None`` without a chain; ``Failed`` without an anchor."""
        chain = self.chain_of(subject)
        if chain is None:
            return None
        anchors = subject.anchors if self.own is None else own_anchors(subject.anchors, self.own)
        path = find(chain, anchors)
        return require_path(chain, anchors) if path is None else path

    def path(self, subject: AnySubject) -> Path:
        """Return the path of a chain that is there."""
        path = self.found(subject)
        if path is None:
            raise TypeError("path of a chain that did not come")
        return path

    def root_of(self, subject: AnySubject) -> Root:
        """Return whose anchor the chain ends in."""
        return self.path(subject).anchor.root

    def root(self, subject: AnySubject) -> None:
        """Refuse a chain without a pinned anchor above it."""
        self.found(subject)

    def constraints(self, subject: AnySubject) -> None:
        """Refuse certificates that may not do what they are used for, and chains of another shape."""
        path = self.found(subject)
        if path is not None:
            _constrained(path, self)

    def signature(self, subject: AnySubject) -> None:
        """Refuse a chain of which a signature does not verify; keys are loaded from the anchor down."""
        path = self.found(subject)
        if path is not None:
            check_signatures(path, subject.chains, subject.now)

    def validity(self, subject: AnySubject) -> None:
        """Refuse a chain of which a certificate is not valid now."""
        path = self.found(subject)
        if path is not None:
            check_validity(path, subject.now)

    def checks(self, prefix: str, *, root: Check[Any, Any] | None = None) -> tuple[Check[Any, Any], ...]:
        """Return the steps as checks ``<prefix>.root``, ``.constraints``, ``.signature``, ``.validity``.

        ``root``: the scheme's own first check, where it asks more of the anchor.
        """
        first = root or Check(f"{prefix}.root", self.root, redundant_with=f"{prefix}.constraints", why=WHY_ROOT)
        return (
            first,
            Check(f"{prefix}.constraints", self.constraints),
            Check(f"{prefix}.signature", self.signature),
            Check(f"{prefix}.validity", self.validity),
        )
