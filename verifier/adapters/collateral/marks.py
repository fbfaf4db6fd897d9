"""Never-falling marks: of what an issuer numbers (CRLs, evaluation data), nothing below the highest ever used is used again.

Which documents are genuine, and their numbers, the scheme says (``Scheme.marks``); here they are held to the store's marks
(docs/collateral.md, "Marks": the same quote on the same day is accepted with one genuine TCB info and OutOfDate with another).
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

from verifier.adapters.collateral.folder import check_of
from verifier.core.ports import Store
from verifier.formats.errors import CannotDecide, MalformedEvidence
from verifier.formats.x509chain import Anchor
from verifier.tee.scheme import Mark, Need, Scheme

_REMEMBERED: Final = 512
_TRUSTED_S: Final = 5.0  # how long this process believes that no other process raised a mark that it met itself

_Key = tuple[str, tuple[tuple[str, bytes], ...]]


class MarkKeeper:
    """Holds documents to their marks. Verified signatures are remembered by what was verified; safe for threads."""

    def __init__(
        self,
        store: Store,
        schemes: Mapping[str, Scheme[Any, Any]],
        anchors: Mapping[str, tuple[Anchor, ...]],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._schemes = schemes
        self._anchors = anchors
        self._now = monotonic
        self._read: OrderedDict[_Key, tuple[Mark, ...]] = OrderedDict()
        self._met: dict[str, tuple[int, float]] = {}  # issuer -> highest number, when the store last agreed
        self._lock = threading.Lock()

    def hold(self, scheme: str, found: Mapping[str, bytes], needs: Mapping[str, Need]) -> None:
        """Raise the marks of genuine documents; ``CannotDecide('<scheme>.endorsement.<noun>')`` for one below its mark."""
        for mark in self._marks(scheme, found):
            if not self._raise(mark):
                need = needs.get(mark.need)
                check_id = f"{scheme}.endorsement.{mark.need}" if need is None else check_of(scheme, need)
                which = mark.need if need is None else f"{need.kind} {need.key}"
                what = f"{which}: number got {mark.number}, want none below the highest ever used"
                raise CannotDecide(check_id, what, retry_after=60)

    def _marks(self, scheme: str, found: Mapping[str, bytes]) -> tuple[Mark, ...]:
        known = self._schemes.get(scheme)
        if known is None or not found:
            return ()
        key = (scheme, tuple(sorted(found.items())))
        with self._lock:
            marks = self._read.get(key)
            if marks is not None:
                self._read.move_to_end(key)
                return marks
        try:
            marks = known.collateral.marks(found, self._anchors.get(scheme, ()))
        except MalformedEvidence as error:
            # Our own document is broken: that is no fault of the evidence, so nothing can be decided.
            raise CannotDecide(error.check_id, error.detail, retry_after=60) from None
        with self._lock:
            self._read[key] = marks
            while len(self._read) > _REMEMBERED:
                self._read.popitem(last=False)
        return marks

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
