"""Endorsements and collateral from a folder that the operator fills.

``{endorsement_dir}/{scheme}/{kind}/{key}.{der,pem,json}`` holds one thing each (``sev-snp/crl/Milan.pem``). Files are re-read when
they change. What lies there is answered as it stands; whether it is genuine is the scheme's to say.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from verifier.adapters.collateral.cache import Entry, stamp_of
from verifier.adapters.collateral.documents import BadDocument, inspect, plain
from verifier.adapters.collateral.items import CHAIN_SUFFIX, item_of
from verifier.formats.errors import CannotDecide
from verifier.tee.scheme import Need

_SAFE = re.compile(r"[A-Za-z0-9._-]{1,200}", re.ASCII)
_SUFFIXES = ("der", "pem", "json")
_MAX_BYTES = 1024 * 1024
_REMEMBERED = 4096
_SETTLED_NS = 2_000_000_000  # a directory that changed later than this may change again under the same time
TRIES: Final = 10  # a reader that lost the processor meets a newer list at each of them, on a busy machine
_Stamp = tuple[int, int, int]


def check_of(scheme: str, kind: str) -> str:
    """Return the id of what is not there or will not do: the same that the scheme gives what it cannot read."""
    return f"{scheme}.endorsement.{kind.rpartition('.')[2].replace('-', '_')}"


class Folder:
    """Files by need; ``None`` for a folder that is not set. Safe for threads and forks."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder) if folder else None
        self._seen: dict[str, tuple[_Stamp, bytes]] = {}
        self._missed: dict[tuple[str, str], int] = {}  # what was not there, while its directory had that time
        self._lock = threading.Lock()

    def find(self, need: Need, check_id: str) -> bytes | None:
        """Return the file that answers a need; ``CannotDecide(check_id)`` for one that is there and cannot be read."""
        # Keys come from evidence: one that could leave the folder is never looked for.
        if self._folder is None or not _SAFE.fullmatch(need.key) or need.key.startswith("."):
            return None
        owner, _, noun = need.kind.rpartition(".")
        # "sev-snp.crl" lies in sev-snp/crl/: the kind says what it is, the name only where the scheme wants it.
        directory = f"{self._folder}/{owner}/{noun}"
        try:
            changed = os.stat(directory).st_mtime_ns  # noqa: PTH116 - a request asks for several; Path costs four times as much
        except OSError:
            return None
        missed = (directory, need.key)
        if self._missed.get(missed) == changed:
            return None  # no file came or went since it was not there
        for suffix in _SUFFIXES:
            data = self._read(f"{directory}/{need.key}.{suffix}", check_id)
            if data is not None:
                return data
        if time.time_ns() - changed > _SETTLED_NS:
            with self._lock:
                if len(self._missed) >= _REMEMBERED:
                    self._missed.clear()
                self._missed[missed] = changed
        return None

    def _read(self, path: str, check_id: str) -> bytes | None:
        stamp = stamp_of(path)
        if stamp is None:
            return None
        with self._lock:
            seen = self._seen.get(path)
        if seen is not None and seen[0] == stamp:
            return seen[1]
        if stamp[1] > _MAX_BYTES:
            raise CannotDecide(check_id, f"{path}: got {stamp[1]} bytes, want at most {_MAX_BYTES}", retry_after=60)
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            # Gone since, a folder, or not ours to read: something of ours is missing, which is no fault of the evidence.
            raise CannotDecide(check_id, f"{path}: {error.strerror}", retry_after=60) from None
        with self._lock:
            self._seen[path] = (stamp, data)
        return data

    def entries(self, now: int, *, shared_only: bool = False) -> Iterator[Entry]:
        """Yield the documents that a fetcher could have brought too; whatever cannot be read as one is left out.

        ``shared_only``: those that more than one machine needs, which are few.
        """
        if self._folder is None:
            return
        for path in sorted(self._folder.glob("*/*/*")):
            need = Need("", f"{path.parts[-3]}.{path.parts[-2]}", path.stem)
            place = item_of(need)
            if path.suffix.lstrip(".") not in _SUFFIXES or place is None or place[1] == "chain":
                continue
            if shared_only and not place[0].row.required:
                continue
            chain_need = Need("", f"{need.kind}{CHAIN_SUFFIX}", need.key)
            try:
                body, chain = self.find(need, "collateral"), self.find(chain_need, "collateral") or b""
                if body is not None:
                    body = plain(place[0], body)
                    yield Entry(place[0], body, chain, "folder", now, inspect(place[0], body, chain))
            except (BadDocument, CannotDecide):
                continue


def looked_at_again(look: Callable[[], dict[str, bytes]], use: Callable[[dict[str, bytes]], None]) -> dict[str, bytes]:
    """Find and use; where using fails and what is there has changed meanwhile, once more with the newer one."""
    found = look()
    for _try in range(TRIES):
        try:
            use(found)
        except CannotDecide:
            # Replaced while we were reading, and somebody else has used the newer list already: look again.
            again = look()
            if again == found:
                raise
            found = again
        else:
            return found
    use(found)
    return found
