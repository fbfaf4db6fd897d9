"""Event logs in words: what each claim of a log or its registers means, and what to change when one is refused."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

# Under ``log`` wherever a log comes with other evidence.
LOG_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "events": "how many events the log has",
        "algorithms": "hash algorithms in which each event's digest is given",
        "spec_id": "format that the log's first event names",
        "event_types": "how many events there are of each type, by the log's own words",
        "secure_boot": "whether the log says that Secure Boot was on; proven only where the log replays",
        "indexes": "registers that the log's events extend",
        "bytes_used": "length of the log without its padding",
    }
)

WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "registers": "values that the log has to replay to, by bank and register",
        "log": "the event log",
        **{f"log.{name}": text for name, text in LOG_WORDS.items()},
    }
)
