"""What a scheme is, and the only place where evidence becomes ``Verified``.

A scheme is a record of functions and tables: how its parts are read, which endorsements and collateral it asks for,
its checks in order, its rules, its identity models. It is handed what it asked for and fetches nothing
(design.md sections 2 and 3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from verifier.core.binding import BINDING_CHECK, BindingDigest, Component, require_bound
from verifier.core.rules import Rule, Scope
from verifier.formats.errors import CannotDecide, MalformedEvidence
from verifier.formats.x509 import MAX_CERTIFICATE
from verifier.formats.x509chain import Anchor, ChainCache, Root

# A certificate in PEM: 4/3 of the largest that is read, with its lines. What stands around a block is not read, but it is kept.
MAX_ENDORSEMENT = MAX_CERTIFICATE * 3 // 2

E = TypeVar("E")
C = TypeVar("C")

BindingSize = Literal["whole", "short"]
Bin = Literal["rules", "bound", "reported", "ignored"]


class Values(BaseModel):
    """Base of every identity model (``reference.py``): strict, closed, frozen. A field left out is ``None``.

    ``key_space``: by name of a map field, the keys that every identity answers for. One that is neither given nor listed in the
    policy's ``unchecked`` is an error. A map that is not listed has no fixed keys: what it names is what it selects.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    key_space: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that a scheme asks of the verifier's own sources (never of the attester): a CRL, TCB info, an enrolled AK.

    ``kind`` and ``key`` say which (``("sev-snp.crl", "Milan")``); the answer arrives in ``collate`` under ``name``.
    A required one that nobody has is ``CannotDecide`` under ``<scheme>.endorsement.<name>``. ``opens``: what it says, unverified,
    is the key of further needs (a PCK certificate's FMSPC), so that the scheme is asked again once it is there (``gather``).
    """

    name: str
    kind: str
    key: str
    required: bool = True
    opens: bool = False


@dataclass(frozen=True, slots=True)
class Subject(Generic[E, C]):
    """What a check is given. All of it is an argument: no clock, no files, no environment."""

    evidence: E
    collateral: C
    anchors: tuple[Anchor, ...]
    now: int  # Unix seconds, read once per request
    chains: ChainCache


@dataclass(frozen=True, slots=True)
class Check(Generic[E, C]):
    """One check: raises ``EvidenceRejected(id)``, ``CannotDecide(id)`` or nothing. Ids are never renamed.

    ``redundant_with`` names the check that would also catch this one's vector, ``why`` says why both stay.
    """

    id: str
    run: Callable[[Subject[E, C]], None]
    redundant_with: str = ""
    why: str = ""
    remedy: str = ""  # what to change when it says no, for the operator


@dataclass(frozen=True, slots=True)
class Carried:
    """A field of the evidence that has to hold something of the challenge, beside the one that ``bound_value`` names.

    ``place``: the digest whole or short, the nonce itself, or ``enc`` as DER SubjectPublicKeyInfo. ``components`` as in ``Scheme``.
    """

    value: bytes
    place: Literal["whole", "short", "nonce", "enc"]
    components: tuple[Component, ...] = ()


@dataclass(frozen=True, slots=True)
class Mark:
    """A number that never falls: of a CRL, of a TCB info. ``need`` is the name of the ``Need`` that it was read from.

    ``issuer`` names what the numbers are counted of (key and kind, never a name alone); ``number`` is 0 to 2^159.
    """

    need: str
    issuer: str
    number: int


@dataclass(frozen=True, slots=True)
class Bound:
    """The digest that the evidence must carry (``binding.binding_digest``)."""

    digest: BindingDigest


@dataclass(frozen=True, slots=True)
class UnsafeUnbound:
    """Offline judgement only: no challenge exists. ``user_data`` is compared if given; such a verdict never mints."""

    user_data: bytes | None = None


Expected = Bound | UnsafeUnbound


@dataclass(frozen=True, slots=True)
class Matched:
    """An identity that the evidence satisfied: class, name, version, and its values in JSON form."""

    scope: Scope
    name: str
    version: int
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Inner:
    """An inner part of a composite: its scheme, what its checks are given, and the user data that the composite computed for it.

    ``None``: it is compared through ``Scheme.also_bound`` or it is the binder itself. ``check_id``: what a difference is called.
    """

    scheme: Scheme[Any, Any]
    subject: Subject[Any, Any]
    user_data: bytes | None = None
    check_id: str = BINDING_CHECK


@dataclass(frozen=True, kw_only=True)
class Scheme(Generic[E, C]):
    """A format of evidence with its verifier. ``name`` is the folder's with hyphens.

    Parts of a composite that came as components of the envelope are named ``<scheme>.<part>`` (``sev_snp.report``).
    """

    name: str
    host_excluded: bool
    required_parts: frozenset[str]
    optional_parts: frozenset[str] = frozenset()
    # Identity-bound endorsements that may come with the evidence; anything else in the envelope is refused.
    endorsement_names: frozenset[str]
    binding_size: BindingSize
    decode: Callable[[Mapping[str, bytes]], E]
    encode: Callable[[E], dict[str, bytes]]
    bound_value: Callable[[E], bytes]
    # What to ask the verifier's own sources for, given the evidence and what is there: endorsements that came with it, and
    # what a need that ``opens`` brought. ``MalformedEvidence`` under ``<scheme>.endorsement.<name>`` for what cannot be read.
    needs: Callable[[E, Mapping[str, bytes]], tuple[Need, ...]]
    # Parse endorsements and collateral once, together; ``MalformedEvidence`` under ``<scheme>.endorsement.<name>``.
    collate: Callable[[E, Mapping[str, bytes]], C]
    checks: tuple[Check[E, C], ...]
    anchors: tuple[Anchor, ...]  # built-in vendor anchors; private and simulated ones are added by ``compose``
    rules: tuple[Rule[Verified[E, C]], ...]
    identity_models: Mapping[Scope, type[Values]]  # the classes that this scheme has, with their fields
    exceptions_model: type[Values]  # what an appraisal policy may except from the service rules
    layout_fields: tuple[str, ...]
    bins: Mapping[str, Bin]  # every layout field in exactly one; "rules" must agree with the rules' layout_fields
    evidence_claims: Callable[[E], dict[str, Any]]
    root: Callable[[Subject[E, C]], Root]  # which anchor the checks ended in
    measurement: Callable[[Verified[E, C], tuple[Matched, ...]], str]
    instance: Callable[[Verified[E, C]], tuple[str, str]]  # (kind, id) of design.md section 4, "instance"
    debug_status: Callable[[E], str]  # EAT dbgstat
    tcb_status: Callable[[Verified[E, C]], str] = field(default=lambda _verified: "NotApplicable")
    mandatory_rules: frozenset[str] = frozenset()
    # Exceptions under which evidence that may be debugged would be let in: a policy that names one mints in simulated processes only.
    debug_exceptions: frozenset[str] = frozenset({"allow_debug"})
    # What else of the challenge the evidence carries (Nitro: nonce and key; a composite: its parts' own digests).
    also_bound: Callable[[E], tuple[Carried, ...]] = field(default=lambda _evidence: ())
    # What the binder (the part that ``bound_value`` is read from) vouches for, in the order that the scheme declares.
    components: Callable[[E], tuple[Component, ...]] = field(default=lambda _evidence: ())
    # A composite's inner parts, each verified by its own scheme before this one's checks run.
    inner: Callable[[Subject[E, C]], tuple[Inner, ...]] = field(default=lambda _subject: ())
    # Whose anchors it uses beside its own: private and simulated ones are looked for under those names too.
    anchors_of: tuple[str, ...] = ()
    # The never-falling numbers of what was fetched, of genuine documents only: signatures up to an anchor are verified here.
    marks: Callable[[Mapping[str, bytes], tuple[Anchor, ...]], tuple[Mark, ...]] = field(
        default=lambda _found, _anchors: ()
    )
    # Lint: identity classes without which guest software is not measured at all (reported when unchecked).
    software_classes: frozenset[Scope] = frozenset()
    # What an identity of this very machine says, by class and field, in JSON form, where that is not simply what the rule saw
    # (a floor, a list of one); ``None`` for a field that evidence cannot give. Fields left out are worked out from the rules.
    observe: Callable[[Verified[E, C]], Mapping[Scope, Mapping[str, Any]]] = field(default=lambda _verified: {})


_TOKEN = object()


class Verified(Generic[E, C]):
    """Genuine evidence. Built by ``run_checks`` alone; appraisal and mint accept nothing else.

    Says: signature, chain, endorsements and (where ``bound``) user data were checked. Says nothing about being wanted.
    """

    __slots__ = ("anchors", "bound", "collateral", "evidence", "inner", "now", "root", "scheme")

    def __init__(
        self,
        token: object,
        scheme: Scheme[E, C],
        subject: Subject[E, C],
        inner: Mapping[str, Verified[Any, Any]],
        *,
        bound: bool,
    ) -> None:
        if token is not _TOKEN:
            raise TypeError("Verified is built by run_checks only")
        self.scheme = scheme
        self.evidence = subject.evidence
        self.collateral = subject.collateral
        self.inner = inner  # a composite's parts by scheme name
        self.anchors = subject.anchors
        self.now = subject.now
        self.root: Root = scheme.root(subject)
        self.bound = bound


def require_parts(scheme: Scheme[Any, Any], parts: Mapping[str, bytes], endorsements: Mapping[str, bytes]) -> None:
    """Refuse an envelope that lacks a part, carries one that the scheme does not know, or an endorsement beyond 24 KiB."""
    known = scheme.required_parts | scheme.optional_parts
    for name in sorted(name for name in parts.keys() - known if "." in name):
        raise MalformedEvidence(
            "wire.evidence.components", f"components: got {name!r}, want {sorted(n for n in known if '.' in n)}"
        )
    for name in sorted(scheme.required_parts - parts.keys()):
        raise MalformedEvidence(f"{scheme.name}.decode.{name}", f"parts.{name}: got nothing, want it")
    for name in sorted(parts.keys() - known):
        raise MalformedEvidence("wire.evidence.parts", f"parts: got {name!r}, want {sorted(known)}")
    for name in sorted(endorsements.keys() - scheme.endorsement_names):
        raise MalformedEvidence(
            "wire.evidence.endorsements", f"endorsements: got {name!r}, want {sorted(scheme.endorsement_names)}"
        )
    for name in sorted(name for name, data in endorsements.items() if len(data) > MAX_ENDORSEMENT):
        raise MalformedEvidence(
            "wire.evidence.endorsements",
            f"endorsements.{name}: got {len(endorsements[name])} bytes, want at most {MAX_ENDORSEMENT}",
        )


def check_user_data(scheme: Scheme[E, C], evidence: E, expected: Expected) -> bool:
    """Compare the evidence's user data centrally, for every scheme. Returns whether it was bound to a challenge."""
    if isinstance(expected, UnsafeUnbound):
        if expected.user_data is not None:
            require_bound(scheme.bound_value(evidence), expected.user_data)
        return False
    digest = expected.digest
    binder = digest.over(scheme.components(evidence))
    require_bound(scheme.bound_value(evidence), binder.whole if scheme.binding_size == "whole" else binder.short)
    for carried in scheme.also_bound(evidence):
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
    needs = scheme.needs(evidence, carried)
    found = ask(needs)
    have = {**carried, **found}
    if not any(need.opens and need.name in found for need in needs):
        return have
    known = {need.name for need in needs}
    try:
        more = tuple(need for need in scheme.needs(evidence, have) if need.name not in known)
    except MalformedEvidence as error:
        # The evidence's own endorsements were read before: it is ours that is broken.
        raise CannotDecide(error.check_id, error.detail, retry_after=60) from None
    return {**have, **ask(more)}


def run_checks(scheme: Scheme[E, C], subject: Subject[E, C], expected: Expected) -> Verified[E, C]:
    """Run a composite's inner parts, then every check in order, then the binding. The first no is raised.

    Nothing to check at all, in no part either, is a programmer's error.
    """
    inner = {part.scheme.name: _run_inner(part) for part in scheme.inner(subject)}
    if not scheme.checks and not inner:
        raise TypeError(f"{scheme.name}: nothing to check")
    watcher = _WATCHER.get()
    for check in scheme.checks:
        if watcher is not None:
            watcher.append((check.id, False))
        check.run(subject)
        if watcher is not None:
            watcher[-1] = (check.id, True)
    bound = check_user_data(scheme, subject.evidence, expected)
    return Verified(_TOKEN, scheme, subject, MappingProxyType(inner), bound=bound)


def _run_inner(part: Inner) -> Verified[Any, Any]:
    """Verify an inner part; what it has to carry is compared after its own checks, when a difference means something."""
    verified = run_checks(part.scheme, part.subject, UnsafeUnbound())
    if part.user_data is not None:
        require_bound(part.scheme.bound_value(part.subject.evidence), part.user_data, part.check_id)
    return verified


_ROOT_RANK: Mapping[Root, int] = MappingProxyType({"vendor": 0, "private": 1, "case-given": 2, "simulated": 3})


def weakest_root(*roots: Root) -> Root:
    """Return whose word a composite is: the least trusted of its parts' anchors."""
    return max(roots, key=lambda root: _ROOT_RANK[root])
