"""Never-falling marks: of what an issuer numbers (CRLs, evaluation data), nothing below the highest ever used is used again.

Which documents are genuine, and their numbers, their rows say (``Kind.marks``); here they are held to the store's marks. Without
them the same quote would be accepted on one day with one genuine TCB info and refused with another.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from verifier.adapters.collateral.folder import check_of
from verifier.adapters.collateral.items import Item, Part
from verifier.adapters.vendors.kind import Document
from verifier.core.ports import MarkStore
from verifier.formats.errors import CannotDecide, MalformedEvidence
from verifier.formats.x509chain import Anchor
from verifier.tee.scheme import Mark

_REMEMBERED: Final = 512
_TRUSTED_S: Final = 5.0  # how long this process believes that no other process raised a mark that it met itself

Found = tuple[tuple[Item, Part, bytes], ...]


class MarkKeeper:
    """Holds documents to their marks. Verified signatures are remembered by what was verified; safe for threads."""

    def __init__(
        self,
        store: MarkStore,
        anchors: Mapping[str, tuple[Anchor, ...]],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._anchors = anchors
        self._now = monotonic
        self._marks = lru_cache(_REMEMBERED)(self._read_marks)
        self._met: dict[str, tuple[int, float]] = {}  # issuer -> highest number, when the store last agreed
        self._lock = threading.Lock()

    def hold(self, scheme: str, found: Found) -> None:
        """Raise the marks of genuine documents; ``CannotDecide('<scheme>.endorsement.<noun>')`` for one below its mark.

        Genuine: by the anchors of the scheme that asked for them.
        """
        for of, mark in self._marks(scheme, found):
            if not self._raise(mark):
                what = f"{of}: number got {mark.number}, want none below the highest ever used"
                raise CannotDecide(check_of(scheme, of.kind), what, retry_after=60)

    def _read_marks(self, scheme: str, found: Found) -> tuple[tuple[Item, Mark], ...]:
        chains = {of: data for of, part, data in found if part == "chain"}
        bodies = {of: data for of, part, data in found if part == "body"}
        beside = {of.kind: data for of, data in bodies.items()}
        anchors = self._anchors.get(scheme, ())
        marks: list[tuple[Item, Mark]] = []
        try:
            for of, data in bodies.items():
                if of.row.marks is not None:
                    document = Document(of.key, data, chains.get(of, b""))
                    marks += [(of, mark) for mark in of.row.marks(document, beside, anchors)]
        except MalformedEvidence as error:
            # Our own document is broken: that is no fault of the evidence, so nothing can be decided.
            raise CannotDecide(error.check_id, error.detail, retry_after=60) from None
        return tuple(marks)

    def _raise(self, mark: Mark) -> bool:
        now = self._now()
        with self._lock:
            highest, agreed = self._met.get(mark.issuer, (-1, 0.0))
        if mark.number < highest:
            return False
        if mark.number == highest and now - agreed < _TRUSTED_S:
            return True
        if not self._store.raise_high_water(mark.issuer, mark.number):
            return False
        with self._lock:
            if mark.number >= self._met.get(mark.issuer, (-1, 0.0))[0]:
                self._met[mark.issuer] = (mark.number, now)
        return True
