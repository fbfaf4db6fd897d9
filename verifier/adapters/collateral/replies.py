"""What the fetcher answers to a request worker that missed something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

QUEUE_FULL: Final = "service.collateral.queue"
QUOTA: Final = "service.collateral.quota"
NO_FETCHER: Final = "service.collateral.fetcher"


@dataclass(frozen=True, slots=True)
class Reply:
    """``check_id``: why it was not even taken down, "" where it is on its way or known not to exist. ``retry_after`` in seconds.

    ``known`` is false where no endpoint is set for such things: then no fetcher ever fetches it.
    """

    check_id: str
    detail: str
    retry_after: int
    known: bool = True
