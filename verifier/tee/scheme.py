"""What a scheme is: a record of functions and tables, in six parts along the way of the data.

``form``: how evidence is read. ``binding``: where it carries the challenge. ``collateral``: which endorsements and collateral it asks
for. ``verification``: the checks in order. ``appraisal``: rules and identity models. ``token``: what a token says of it.
A scheme is handed what it asked for and fetches nothing. ``tee.verified`` runs it (docs/architecture.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

from verifier.core.binding import Component
from verifier.core.ids import BindingId
from verifier.core.rules import IDENTITY_CLASSES, Rule, Scope
from verifier.formats.x509chain import Anchor, ChainCache, Root

if TYPE_CHECKING:
    from verifier.tee.values import Values

E = TypeVar("E")
C = TypeVar("C")

BindingSize = Literal["whole", "short"]
Bin = Literal["rules", "bound", "reported", "ignored"]


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that a scheme asks of the verifier's own sources (never of the attester): a CRL, TCB info, an enrolled AK.

    ``kind`` and ``key`` say which (``("sev-snp.crl", "Milan")``); the answer arrives in ``collate`` under ``name``.
    A required one that no source has is ``CannotDecide`` under ``<scheme>.endorsement.<name>``. ``opens``: what it says, unverified,
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
    """One check: ``run`` raises ``Failed``, ``Undecided`` or nothing; ``run_checks`` gives the no this id. Ids are never renamed.

    What an id means and what to change when it says no stands in the folder's ``checks.toml``.
    ``redundant_with`` names the check that would also catch this one's vector, ``why`` says why both stay.
    """

    id: str
    run: Callable[[Subject[E, C]], None]
    redundant_with: str = ""
    why: str = ""


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
    """A number that never falls: of a CRL, of a TCB info.

    ``issuer`` names what the numbers are counted of (key and kind, never a name alone); ``number`` is 0 to 2^159.
    """

    issuer: str
    number: int


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
    check_id: str = BindingId.USER_DATA


@dataclass(frozen=True, slots=True, kw_only=True)
class Form(Generic[E]):
    """How evidence comes, is read and is told.

    Parts of a composite that came as components of the envelope are named ``<scheme>.<part>`` (``sev_snp.report``).
    ``endorsements``: identity-bound ones that may come with the evidence; anything else in the envelope is refused.
    ``claims``: what the bytes say, under the names of published cases.
    """

    required: frozenset[str]
    optional: frozenset[str] = frozenset()
    endorsements: frozenset[str] = frozenset()
    decode: Callable[[Mapping[str, bytes]], E]
    encode: Callable[[E], dict[str, bytes]]
    claims: Callable[[E], dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding(Generic[E]):
    """Where the evidence carries the challenge.

    ``value`` reads the binder's field, which holds the digest whole (64 bytes) or short (32). ``also``: what else of the challenge
    the evidence carries (Nitro: nonce and key; a composite: its parts' own digests). ``components``: what the binder vouches for,
    in order.
    """

    size: BindingSize
    value: Callable[[E], bytes]
    also: Callable[[E], tuple[Carried, ...]] = field(default=lambda _evidence: ())
    components: Callable[[E], tuple[Component, ...]] = field(default=lambda _evidence: ())


@dataclass(frozen=True, slots=True, kw_only=True)
class CollateralOf(Generic[E, C]):
    """What is needed beside the evidence.

    ``needs``: what to ask the verifier's own sources for, given the evidence and what is there: endorsements that came with it, and
    what a need that ``opens`` brought. ``collate`` parses endorsements and collateral once, together. Both raise
    ``MalformedEvidence`` under ``<scheme>.endorsement.<name>`` for what cannot be read.
    """

    needs: Callable[[E, Mapping[str, bytes]], tuple[Need, ...]] = field(default=lambda _evidence, _have: ())
    collate: Callable[[E, Mapping[str, bytes]], C]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification(Generic[E, C]):
    """What decides whether the evidence is genuine.

    ``anchors``: built-in vendor anchors; private and simulated ones are added by ``compose``. ``anchors_of``: whose anchors count
    beside the scheme's own: private and simulated ones are looked for under those names too. ``inner``: a composite's parts, each
    verified by its own scheme before the checks run. ``root``: which anchor the checks ended in.
    """

    checks: tuple[Check[E, C], ...]
    anchors: tuple[Anchor, ...] = ()
    anchors_of: tuple[str, ...] = ()
    inner: Callable[[Subject[E, C]], tuple[Inner, ...]] = field(default=lambda _subject: ())
    root: Callable[[Subject[E, C]], Root]


@dataclass(frozen=True, slots=True)
class IdentityModels:
    """What a trust owner may write of a scheme: its identity classes, and what a policy may except from the service rules."""

    models: Mapping[Scope, type[Values]]
    exceptions: type[Values]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppraisalOf(Generic[E, C]):
    """What decides whether the evidence is wanted.

    ``identity`` loads the identity models: evidence is decoded and verified without them. ``debug_exceptions``: those under which
    evidence that may be debugged is let in; a policy that names one mints in simulated processes only. ``software``: classes
    without which guest software is not measured at all (lint).
    ``bins``: every field of ``fields`` in exactly one; "rules" must agree with the rules' ``layout_fields``.
    ``observe``: what an identity of this very machine says, by class and field, in JSON form, where that is not simply what the rule
    saw (a floor, a list of one); ``None`` for a field that evidence cannot give. Fields left out are worked out from the rules.
    """

    rules: tuple[Rule[Verified[E, C]], ...]
    identity: Callable[[], IdentityModels]
    debug_exceptions: frozenset[str] = frozenset({"allow_debug"})
    software: frozenset[Scope] = frozenset()
    fields: tuple[str, ...]
    bins: Mapping[str, Bin]
    observe: Callable[[Verified[E, C]], Mapping[Scope, Mapping[str, Any]]] = field(default=lambda _verified: {})

    @property
    def models(self) -> Mapping[Scope, type[Values]]:
        """The identity classes that the scheme has, with their fields."""
        return self.identity().models

    @property
    def exceptions(self) -> type[Values]:
        """What an appraisal policy may except from the service rules."""
        return self.identity().exceptions


class RulesModule(Protocol):
    """What a scheme's ``rules`` module has."""

    @property
    def RULES(self) -> tuple[Rule[Any], ...]:  # noqa: N802 - a module's constant
        """The table of rules, in the order in which they are judged."""

    @property
    def BINS(self) -> Mapping[str, Bin]:  # noqa: N802 - a module's constant
        """Every layout field in exactly one bin."""

    @property
    def observe(self) -> Callable[[Any], Mapping[Scope, Mapping[str, Any]]]:
        """What says what an identity of this very machine says; see ``AppraisalOf``."""


def appraisal_of(
    identity: str, rules: RulesModule, fields: tuple[str, ...], *software: Scope, **more: Any
) -> AppraisalOf[Any, Any]:
    """Put a scheme's ``identity`` and ``rules`` modules together.

    ``identity``: the name of the module, which is loaded when its models are asked for. An identity class is the model of its name
    (``PlatformValues`` or ``Platform``); the module has ``Exceptions`` too. ``software`` and ``more`` as in ``AppraisalOf``.
    """
    return AppraisalOf(
        rules=rules.RULES,
        identity=cache(lambda: _models_of(import_module(identity))),
        software=frozenset(software),
        fields=fields,
        bins=rules.BINS,
        observe=rules.observe,
        **more,
    )


def _models_of(module: ModuleType) -> IdentityModels:
    names = {scope: (f"{scope.title()}Values", scope.title()) for scope in IDENTITY_CLASSES}
    models = {s: getattr(module, n) for s, both in names.items() for n in both if hasattr(module, n)}
    return IdentityModels(MappingProxyType(models), module.Exceptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenOf(Generic[E, C]):
    """What a token says: ``measurement`` of what matched, ``instance`` (kind, id), EAT's dbgstat, the vendor's word for the TCB."""

    measurement: Callable[[Verified[E, C], tuple[Matched, ...]], str]
    instance: Callable[[Verified[E, C]], tuple[str, str]]
    debug_status: Callable[[E], str]
    tcb_status: Callable[[Verified[E, C]], str] = field(default=lambda _verified: "NotApplicable")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme(Generic[E, C]):
    """A format of evidence with its verifier. ``name`` is the folder's with hyphens.

    ``host_excluded``: whether the hardware keeps the host out; tokens say it.
    """

    name: str
    host_excluded: bool
    form: Form[E]
    binding: Binding[E]
    collateral: CollateralOf[E, C]
    verification: Verification[E, C]
    appraisal: AppraisalOf[E, C]
    token: TokenOf[E, C]


TOKEN = object()


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
        if token is not TOKEN:
            raise TypeError("Verified is built by run_checks only")
        self.scheme = scheme
        self.evidence = subject.evidence
        self.collateral = subject.collateral
        self.inner = inner  # a composite's parts by scheme name
        self.anchors = subject.anchors
        self.now = subject.now
        self.root: Root = scheme.verification.root(subject)
        self.bound = bound
