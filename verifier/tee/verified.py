"""Evidence becomes ``Verified`` here and nowhere else: collateral is gathered, checks run in order, user data is compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

from verifier.core.binding import BindingDigest, require_bound
from verifier.core.ids import WireId
from verifier.formats.errors import CannotDecide, Failed, MalformedEvidence, as_no
from verifier.formats.x509 import MAX_CERTIFICATE
from verifier.formats.x509chain import Root
from verifier.tee.scheme import TOKEN, Carried, Inner, Need, Scheme, Subject, Verified

# A certificate in PEM: 4/3 of the largest that is read, with its lines. What stands around a block is not read, but it is kept.
MAX_ENDORSEMENT = MAX_CERTIFICATE * 3 // 2

E = TypeVar("E")
C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Bound:
    """The digest that the evidence must carry (``binding.binding_digest``)."""

    digest: BindingDigest


@dataclass(frozen=True, slots=True)
class UnsafeUnbound:
    """Offline judgement only: no challenge exists. ``user_data`` is compared if given; such a verdict never mints."""

    user_data: bytes | None = None


Expected = Bound | UnsafeUnbound


def require_parts(scheme: Scheme[Any, Any], parts: Mapping[str, bytes], endorsements: Mapping[str, bytes]) -> None:
    """Refuse an envelope that lacks a part, carries one that the scheme does not know, or an endorsement beyond 24 KiB."""
    known = scheme.form.required | scheme.form.optional
    for name in sorted(name for name in parts.keys() - known if "." in name):
        raise MalformedEvidence(
            WireId.COMPONENTS, f"components: got {name!r}, want {sorted(n for n in known if '.' in n)}"
        )
    for name in sorted(scheme.form.required - parts.keys()):
        raise MalformedEvidence(f"{scheme.name}.decode.{name}", f"parts.{name}: got nothing, want it")
    for name in sorted(parts.keys() - known):
        raise MalformedEvidence(WireId.PARTS, f"parts: got {name!r}, want {sorted(known)}")
    for name in sorted(endorsements.keys() - scheme.form.endorsements):
        raise MalformedEvidence(
            WireId.ENDORSEMENTS, f"endorsements: got {name!r}, want {sorted(scheme.form.endorsements)}"
        )
    for name in sorted(name for name, data in endorsements.items() if len(data) > MAX_ENDORSEMENT):
        raise MalformedEvidence(
            WireId.ENDORSEMENTS,
            f"endorsements.{name}: got {len(endorsements[name])} bytes, want at most {MAX_ENDORSEMENT}",
        )


def check_user_data(scheme: Scheme[E, C], evidence: E, expected: Expected) -> bool:
    """Compare the evidence's user data centrally, for every scheme. Returns whether it was bound to a challenge."""
    if isinstance(expected, UnsafeUnbound):
        if expected.user_data is not None:
            require_bound(scheme.binding.value(evidence), expected.user_data)
        return False
    digest = expected.digest
    binder = digest.over(scheme.binding.components(evidence))
    require_bound(scheme.binding.value(evidence), binder.whole if scheme.binding.size == "whole" else binder.short)
    for carried in scheme.binding.also(evidence):
        require_bound(carried.value, _expected_of(carried, digest))
    return True


def _expected_of(carried: Carried, digest: BindingDigest) -> bytes:
    if carried.place == "nonce":
        return digest.nonce
    if carried.place == "enc":
        return digest.enc_spki
    own = digest.over(carried.components)
    return own.whole if carried.place == "whole" else own.short


# Who watches a verification, for ``verifier explain``: (check id, whether it held), in the order in which they ran.
_WATCHER: ContextVar[list[tuple[str, bool]] | None] = ContextVar("watcher", default=None)


@contextmanager
def watched_checks() -> Iterator[list[tuple[str, bool]]]:
    """Collect which checks ran, and which one said no. Decides nothing; the service never watches."""
    seen: list[tuple[str, bool]] = []
    token = _WATCHER.set(seen)
    try:
        yield seen
    finally:
        _WATCHER.reset(token)


def gather(
    scheme: Scheme[E, C],
    evidence: E,
    carried: Mapping[str, bytes],
    ask: Callable[[tuple[Need, ...]], Mapping[str, bytes]],
) -> dict[str, bytes]:
    """Return what ``collate`` is given: what the evidence carried, and what ``ask`` has for the scheme's needs.

    Where one that ``opens`` was found, the scheme is asked once more, for what it could not name before; never a third time.
    """
    needs = scheme.collateral.needs(evidence, carried)
    found = ask(needs)
    have = {**carried, **found}
    if not any(need.opens and need.name in found for need in needs):
        return have
    known = {need.name for need in needs}
    try:
        more = tuple(need for need in scheme.collateral.needs(evidence, have) if need.name not in known)
    except MalformedEvidence as error:
        # The evidence's own endorsements were read before: it is ours that is broken.
        raise CannotDecide(error.check_id, error.detail, retry_after=60) from None
    return {**have, **ask(more)}


def run_checks(scheme: Scheme[E, C], subject: Subject[E, C], expected: Expected) -> Verified[E, C]:
    """Run a composite's inner parts, then every check in order, then the binding. The first no is raised.

    Nothing to check at all, in no part either, is a programmer's error.
    """
    inner = {part.scheme.name: _run_inner(part) for part in scheme.verification.inner(subject)}
    if not scheme.verification.checks and not inner:
        raise TypeError(f"{scheme.name}: nothing to check")
    watcher = _WATCHER.get()
    for check in scheme.verification.checks:
        if watcher is not None:
            watcher.append((check.id, False))
        try:
            check.run(subject)
        except Failed as failure:
            raise as_no(check.id, failure) from None
        if watcher is not None:
            watcher[-1] = (check.id, True)
    bound = check_user_data(scheme, subject.evidence, expected)
    return Verified(TOKEN, scheme, subject, MappingProxyType(inner), bound=bound)


def _run_inner(part: Inner) -> Verified[Any, Any]:
    """Verify an inner part; what it has to carry is compared after its own checks, when a difference means something."""
    verified = run_checks(part.scheme, part.subject, UnsafeUnbound())
    if part.user_data is not None:
        require_bound(part.scheme.binding.value(part.subject.evidence), part.user_data, part.check_id)
    return verified


_ROOT_RANK: Mapping[Root, int] = MappingProxyType({"vendor": 0, "private": 1, "case-given": 2, "simulated": 3})


def weakest_root(*roots: Root) -> Root:
    """Return whose word a composite is: the least trusted of its parts' anchors."""
    return max(roots, key=lambda root: _ROOT_RANK[root])
