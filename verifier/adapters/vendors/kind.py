"""What a vendor module is made of: a service that can be asked, and a table with one row for each kind of document.

``verifier/adapters/collateral`` fetches, keeps, renews and bundles documents by their rows and names no kind and no vendor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Generic, Literal, Protocol, TypeVar

from verifier.core.settings import Settings
from verifier.formats.x509chain import Anchor
from verifier.tee.scheme import Mark

NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})

# A document, and the chain of its issuers where one comes along (else empty).
Fetched = tuple[bytes, bytes]
Anchors = tuple[Anchor, ...]


class CallFailed(Exception):
    """The call brought nothing. ``kind`` is a word of a closed set, for metrics; ``passing``: worth another try soon."""

    def __init__(self, kind: str, detail: str, *, passing: bool) -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind
        self.passing = passing


class Absent(Exception):
    """The vendor says that there is no such thing."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call brought: a whole body, and headers under lower-case names."""

    body: bytes
    headers: Mapping[str, str]


class Get(Protocol):
    """Makes one call: a GET, or a POST of ``request``."""

    def __call__(self, url: str, request: bytes = b"", headers: Mapping[str, str] = NO_HEADERS) -> Answer:
        """Return a whole answer of status 200; ``Absent``, ``Throttled`` or ``CallFailed``."""
        ...


@dataclass(frozen=True, slots=True)
class Document:
    """A document as it came: the key that it was asked for under, its bytes, and the chain that came with it."""

    key: str
    body: bytes
    chain: bytes = b""


@dataclass(frozen=True, slots=True)
class Facts:
    """Dates of a document, Unix seconds, and its place among its like: a higher ``rank`` is newer."""

    issued: int
    expires: int
    rank: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Service:
    """Where a vendor's documents are asked for: the vendor, a mirror, or a cache in its place. ``url`` "": it is never asked."""

    url: str

    def at(self, path: str) -> str:
        """Return the address of a path."""
        return f"{self.url.rstrip('/')}{path}"


S = TypeVar("S", bound=Service)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[S]):
    """One row of a vendor's table.

    *Named*: ``name`` is what a scheme's ``Need`` calls it (``<owner>.<noun>``); ``key`` is the pattern of its keys. Keys are
    made of evidence that is not verified yet: a key of another form is never looked for. ``key_of`` turns a need's key into the
    document's, "" where no document could have it. ``has_chain``: the chain that comes along answers needs of ``<name>-chain``.

    *Fetched*: ``fetch(service, key, get)``. It raises what ``get`` raises, ``Absent`` for what the service never has, and
    ``ValueError`` or ``MalformedEvidence`` for an answer that cannot be read.

    *Read and dated*: ``read`` returns the facts of a document that is of this kind and of this key; ``ValueError`` or
    ``MalformedEvidence`` for any other. ``pem_label``: an operator may write it as one PEM block of that label.

    *Judged*: ``is_genuine(document, anchors)`` tells whether a pinned key stands behind what ``read`` passed, every signature on
    the way included. ``None``: only the evidence can tell. ``issuer``: kind and key of the document that signed it; its bytes are
    then the ``chain`` that ``is_genuine`` is given.

    *Numbered*: ``marks(document, beside, anchors)`` returns the numbers of a genuine document that never fall. ``beside`` holds
    what was found with it, by kind. ``None``: the kind has no numbers.

    *Who needs it*: ``reach`` "all" (a handful in the world, fetched first and under no quota), "platform" (many chips), "chip".
    ``watched``: a document of one chip that says whether something is revoked; it is renewed twice a day while it is used.
    ``chip``: which chip a key is about; ``chips``: which ones an entry of an identity's ``chip_allow`` names.
    """

    name: str
    key: str
    reach: Literal["all", "platform", "chip"]
    fetch: Callable[[S, str, Get], Fetched]
    read: Callable[[Document], Facts]
    is_genuine: Callable[[Document, Anchors], bool] | None
    marks: Callable[[Document, Mapping[str, bytes], Anchors], tuple[Mark, ...]] | None = None
    key_of: Callable[[str], str] = field(default=lambda key: key)
    has_chain: bool = False
    pem_label: str = ""
    issuer: Callable[[Document], tuple[str, str]] | None = None
    watched: bool = False
    chip: Callable[[str], str] = field(default=lambda _key: "")
    chips: Callable[[str], frozenset[str]] = field(default=lambda _listed: frozenset())

    @property
    def required(self) -> bool:
        """Whether more than one machine stops when it expires."""
        return self.reach != "chip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor(Generic[S]):
    """A vendor: its table, and what the settings say about asking it. ``own_url``: a process for forged TEEs never asks there.

    ``schemes``: those that ask for its documents themselves. A composite of theirs does so by them.
    """

    name: str
    schemes: tuple[str, ...]
    own_url: str
    service: Callable[[Settings], S]
    interval_s: Callable[[Settings], float]  # the least time between the starts of two calls
    headers: Callable[[Settings], Mapping[str, str]] = field(default=lambda _settings: NO_HEADERS)
    kinds: tuple[Kind[S], ...]
