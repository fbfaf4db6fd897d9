"""Which chips some identity lists (``chip_allow``): the fetcher keeps places for them."""

from __future__ import annotations

import json

from verifier.adapters.vendors.registry import KINDS
from verifier.core.ports import CollateralStore
from verifier.formats.errors import CannotDecide


class ListedChips:
    """Reads the identities anew when the trust documents have changed. A store that is away changes nothing."""

    def __init__(self, store: CollateralStore) -> None:
        self._store = store
        self._read: tuple[str, frozenset[str]] = ("", frozenset())

    def __call__(self) -> frozenset[str]:
        """Return the chips, as the keys of documents name them."""
        try:
            digest = self._store.trust_digest()
            if digest != self._read[0]:
                self._read = (digest, self._chips())
        except CannotDecide:
            return self._read[1]
        return self._read[1]

    def _chips(self) -> frozenset[str]:
        identities = [json.loads(body).get("values", {}) for body in self._store.trust_documents("identity")]
        listed = [str(chip) for values in identities for chip in values.get("chip_allow") or ()]
        return frozenset(name for row in KINDS.values() for chip in listed for name in row.chips(chip))
