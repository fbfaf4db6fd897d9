"""What the vectors of ``sgx`` and ``tdx`` are made of: platforms, changes, and one way of forging a vector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from forge.intel import ForgedIntel
from forge.intel_documents import Tee
from forge.intel_quote import Shape
from tests.support.vectors import Outcome, Vector, forging
from verifier.core.binding import BindingDigest
from verifier.tee.verified import Bound

NOW: Final = 1_800_000_000
DAY: Final = 86_400
YEAR: Final = 365 * DAY
DATA: Final = bytes(range(64))
BOUND: Final = Bound(BindingDigest(whole=DATA, short=bytes(32)))

INTEL: Final = ForgedIntel(now=NOW)
PROCESSOR: Final = ForgedIntel(now=NOW, ca="processor", seed=b"platform of one socket")
LIKE_INTEL: Final = ForgedIntel(now=NOW, like_intel=True)
OTHER: Final = ForgedIntel(now=NOW, seed=b"platform 1", fmspc=bytes.fromhex("00906ed50000"))


@lru_cache(maxsize=8)
def _collateral(intel: ForgedIntel, tee: Tee) -> Mapping[str, bytes]:
    return intel.collateral(tee)


@dataclass(frozen=True, slots=True)
class Forge:
    """Makes the vectors of one scheme; ``parts`` are what stands beside every quote that is not told otherwise."""

    tee: Tee
    parts: Mapping[str, bytes] = field(default_factory=dict)

    def collateral(self, intel: ForgedIntel = INTEL, /, **changes: bytes) -> dict[str, bytes]:
        """Return an honest source's answers; ``changes`` replace, an empty one takes out."""
        found = {**_collateral(intel, self.tee), **changes}
        return {name: data for name, data in found.items() if data}

    def quote(self, intel: ForgedIntel = INTEL, /, shape: Shape | None = None, **fields: bytes | int) -> bytes:
        """Make a quote that carries the expected user data unless told otherwise."""
        made: dict[str, Any] = {"report_data": DATA, **fields}
        return intel.quote(self.tee, shape=shape or Shape(), **made)

    def wholesome(
        self,
        intel: ForgedIntel = INTEL,
        shape: Shape | None = None,
        fields: Mapping[str, bytes | int] | None = None,
        quote: bytes | None = None,
        parts: Mapping[str, bytes] | None = None,
    ) -> Vector:
        """Make a wholesome quote with honest collateral, with other fields where told."""
        made = self.quote(intel, shape, **(fields or {})) if quote is None else quote
        return Vector(
            scheme=self.tee,
            parts={"quote": made, **(self.parts if parts is None else parts)},
            collateral=self.collateral(intel),
            anchors=(intel.anchor(),),
            now=NOW,
            expected=BOUND,
        )

    def vector(self, name: str, outcome: Outcome = "accepted", check_id: str = "", **told: Any) -> Vector:
        """Forge one vector, changed where told; ids of checks and rules without the scheme's name."""
        whole = check_id if check_id.startswith(("wire.", "binding.")) or not check_id else f"{self.tee}.{check_id}"
        values = {f"{self.tee}.{rule}": value for rule, value in told.pop("values", {}).items()}
        return forging(self.wholesome)(name, outcome, whole, values=values, **told)

    def undecided(self, name: str, check_id: str, **changes: bytes) -> Vector:
        """Forge a vector in which the verifier's own collateral is at fault."""
        return self.vector(name, "cannot-decide", check_id, collateral=self.collateral(**changes))
