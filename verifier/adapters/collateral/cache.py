"""The on-disk cache: one file per document, written whole or not at all, read by every worker process.

``{folder}/{kind}/{key}.json``, 0600 in folders of 0700: ``{version, kind, key, source, fetched, sha256, body, chain}``. What is
read back is digested and inspected again; a file that is broken counts as none. Writers hold a lock beside it; readers need none.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from cachetools import LRUCache

from verifier.adapters.collateral.documents import inspect
from verifier.adapters.collateral.items import Item, item
from verifier.adapters.files import replace_durably
from verifier.adapters.vendors.kind import Facts
from verifier.adapters.vendors.registry import KINDS
from verifier.core.ids import ServiceId
from verifier.formats.encoding import b64url, sha256, unb64url
from verifier.formats.errors import CannotDecide

VERSION: Final = 1
MAX_FILE: Final = 4 * 1024 * 1024
_REMEMBERED: Final = 4096
_LOCK: Final = "write.lock"
_FIELDS: Final = frozenset({"kind", "key", "source", "fetched", "sha256", "body", "chain"})
FRESH_S: Final = 60
# However long an issuer lets it live, what says who is revoked or out of date is looked at again after so many seconds.
_MOST_AGE_S: Final = 12 * 3600
_Stamp = tuple[int, int, int]
Kept = Literal["stored", "same", "older", "expired"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A kept document: where it came from, when (Unix seconds), and its facts."""

    item: Item
    body: bytes
    chain: bytes
    source: str
    fetched: int
    facts: Facts

    @property
    def digest(self) -> bytes:
        """SHA-256 over both parts, each of known length: what says that a document is whole."""
        return sha256(len(self.body).to_bytes(8, "big") + self.body + self.chain)

    def as_json(self) -> dict[str, Any]:
        """Return its form in the cache and in a bundle, which ``entry_of`` reads."""
        return {
            "kind": self.item.kind, "key": self.item.key, "source": self.source, "fetched": self.fetched,
            "sha256": self.digest.hex(), "body": b64url(self.body), "chain": b64url(self.chain),
        }  # fmt: skip


def entry_of(form: Mapping[str, Any]) -> Entry:
    """Read an entry and inspect its document anew; ``ValueError`` or ``TypeError`` for anything else than the form of one."""
    if form.keys() != _FIELDS:
        raise ValueError(f"item: got {sorted(form)}, want {sorted(_FIELDS)}")
    of = item(str(form["kind"]), str(form["key"]))
    if of is None:
        raise ValueError(f"item: got {form['kind']} {str(form['key'])[:80]}, want a kind and a key of its form")
    body, chain = unb64url(form["body"]), unb64url(form["chain"])
    entry = Entry(of, body, chain, str(form["source"])[:200], int(form["fetched"]), inspect(of, body, chain))
    if entry.digest.hex() != form["sha256"]:
        raise ValueError(f"{of}: another digest")
    return entry


def refresh_at(entry: Entry) -> int:
    """Return when a document is to be renewed: at two thirds of its life; what tells of revocation twice a day at least."""
    facts, row = entry.facts, entry.item.row
    due = facts.issued + (facts.expires - facts.issued) * 2 // 3
    # What was issued long before it was fetched is past that already: then half of what is left.
    due = max(due, entry.fetched + (facts.expires - entry.fetched) // 2) if due < entry.fetched else due
    return min(due, entry.fetched + _MOST_AGE_S) if row.required or row.watched else due


def is_due(entry: Entry, now: int) -> bool:
    """Tell whether a document is to be renewed now: also one of a time that is yet to come, since the clock was put back."""
    return now >= refresh_at(entry) or now < entry.fetched - FRESH_S


def stamp_of(path: Path | str) -> _Stamp | None:
    """Return what changes when a file is replaced: time of the last change in ns, size, inode."""
    try:
        stat = os.stat(path)  # noqa: PTH116 - of a string, it is a quarter of Path's
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


class Cache:
    """Documents by item. Safe for threads, forks and several processes; ``limit`` bytes, kept to by ``trim``."""

    def __init__(self, folder: Path, *, limit: int = 64 * 1024 * 1024) -> None:
        self.folder = folder
        self._limit = limit
        self._seen: LRUCache[str, tuple[_Stamp, Entry | None]] = LRUCache(_REMEMBERED)
        self._lock = threading.Lock()

    def path(self, of: Item) -> Path:
        """Return where an item's document lies."""
        return self.folder / of.kind / f"{of.key}.json"

    def get(self, of: Item, now: int) -> Entry | None:
        """Return the document while it is good: never an expired one."""
        entry = self.read(of)
        return entry if entry is not None and now <= entry.facts.expires else None

    def read(self, of: Item) -> Entry | None:
        """Return what is kept, expired or not; one ``stat`` where it has not changed since it was read."""
        place = f"{self.folder}/{of.kind}/{of.key}.json"  # a request reads several; ``path`` costs four times as much
        stamp = stamp_of(place)
        if stamp is None:
            return None
        with self._lock:
            seen = self._seen.get(place)
            if seen is not None and seen[0] == stamp:
                return seen[1]
        entry = self._load(of, stamp[1])
        with self._lock:
            # The file may have been replaced since its stamp was taken: what was read is then newer, and read once more.
            self._seen[place] = (stamp, entry)
        return entry

    def _load(self, of: Item, size: int) -> Entry | None:
        if size > MAX_FILE:
            return None
        try:
            form = json.loads(self.path(of).read_bytes())
            entry = entry_of(form) if form.pop("version") == VERSION else None
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None
        return entry if entry is not None and entry.item == of else None

    def put(self, entry: Entry, now: int) -> Kept:
        """Keep a document unless a newer one is there: the newest wins, and an expired one never gets in.

        ``CannotDecide('service.collateral.cache')`` where the folder cannot be written.
        """
        if now > entry.facts.expires:
            return "expired"
        with self._writing():
            before = self.read(entry.item)
            if before is not None and before.facts.expires >= now and before.facts.rank > entry.facts.rank:
                return "older"
            self._write(entry)
            return "same" if before is not None and before.digest == entry.digest else "stored"

    def _write(self, entry: Entry) -> None:
        path = self.path(entry.item)
        make_folder(path.parent)
        replace_durably(path, json.dumps({"version": VERSION, **entry.as_json()}).encode("ascii"))

    def entries(self, *, shared_only: bool = False) -> Iterator[Entry]:
        """Yield every readable document, expired ones too; ``shared_only``: of those that more than one machine needs."""
        for kind in sorted(name for name, row in KINDS.items() if row.required or not shared_only):
            for path in sorted((self.folder / kind).glob("*.json")):
                of = item(kind, path.name.removesuffix(".json"))
                entry = None if of is None else self.read(of)
                if entry is not None:
                    yield entry

    def trim(self, now: int | None, spared: frozenset[str] = frozenset()) -> int:
        """Remove what is broken or left by a writer that died, expired chips, and, over the limit, what the fewest need.

        Order over the limit: certificates of chips that are on no list, the oldest fetch first, then of listed ones (``spared``).
        What many chips need (``Kind.required``) stays, expired too: it is not used, and ``show`` says so. Without a ``now`` that is
        believed, nothing goes because it has expired. Returns how many went.
        """
        gone, sizes = 0, []
        with self._writing():
            for path in self.folder.glob("*/*"):
                of = item(path.parent.name, path.name.removesuffix(".json")) if path.suffix == ".json" else None
                entry = None if of is None else self.read(of)
                is_over = now is not None and entry is not None and now > entry.facts.expires
                if entry is None or (is_over and not entry.item.row.required):
                    gone += _unlink(path)
                else:
                    stamp = stamp_of(path)
                    sizes.append((entry, 0 if stamp is None else stamp[1]))
            total = sum(size for _entry, size in sizes)
            for entry, size in sorted(sizes, key=lambda one: (one[0].item.chip in spared, one[0].fetched)):
                if total <= self._limit:
                    break
                if not entry.item.row.required:
                    gone += _unlink(self.path(entry.item))
                    total -= size
        return gone

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            make_folder(self.folder)
            lock = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
            finally:
                os.close(lock)
        except OSError as error:
            raise CannotDecide(ServiceId.CACHE, f"{self.folder}: {error.strerror}") from None


def make_folder(path: Path) -> None:
    """Make a folder for this user only, its parents as usual."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def _unlink(path: Path) -> int:
    try:
        path.unlink()
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        return 0
    return 1
