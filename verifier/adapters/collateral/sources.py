"""Step 4 of an attestation: what a scheme needs, from what is at hand; a miss is told to the fetcher, and never waited for.

Sources: the operator's folder, the on-disk cache (what the fetcher brought and what bundles held), the store's enrolled keys. Of a
document that both have, the newer counts. Nothing is written here but marks, and those of genuine documents only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from verifier.adapters.collateral.cache import Cache, Entry, is_due
from verifier.adapters.collateral.documents import BadDocument, inspect, plain
from verifier.adapters.collateral.fetch_queue import Reply
from verifier.adapters.collateral.fetcher_socket import FetcherClient
from verifier.adapters.collateral.folder import Folder, check_of, looked_at_again
from verifier.adapters.collateral.items import Item, Part, item_of
from verifier.adapters.collateral.marks import MarkKeeper
from verifier.adapters.vendors.registry import STORED
from verifier.core.ports import Clock, CollateralStore, SharedDocument
from verifier.formats.errors import CannotDecide
from verifier.formats.x509chain import Anchor
from verifier.tee.scheme import Need

# The document that answers a need, and which part of it, by the need's name; needs that no vendor could answer are left out.
_Places = Mapping[str, tuple[Item, Part]]


class Collateral:
    """Answers needs. Safe for threads and forks: connections and files are opened in the process that uses them."""

    def __init__(
        self,
        store: CollateralStore,
        anchors: Mapping[str, tuple[Anchor, ...]],
        clock: Clock,
        *,
        folder: str = "",
        cache: Cache | None = None,
        asker: FetcherClient | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._folder = Folder(folder)
        self._cache = cache
        self._asker = asker
        self._marks = MarkKeeper(store, anchors)

    def get(self, scheme: str, tenant: str, needs: Sequence[Need], *, source: str = "") -> Mapping[str, bytes]:
        """Answer by name; a required need that is nowhere is ``CannotDecide('<scheme>.endorsement.<noun>')``.

        ``tenant`` and ``source`` (the caller's address) are whom a fetch is counted for.
        """
        now = self._clock.now_ms() // 1000
        places = {need.name: place for need in needs if (place := item_of(need)) is not None}

        def hold(found: Mapping[str, bytes]) -> None:
            self._marks.hold(scheme, tuple((*place, found[name]) for name, place in places.items() if name in found))

        try:
            found = looked_at_again(lambda: self._look(scheme, tenant, needs, places, now), hold)
        except CannotDecide:
            # Below its mark, or broken: if its vendor can be asked, the next one to come finds a newer one.
            numbered = {name: place for name, place in places.items() if place[0].row.marks is not None}
            self._ask(tenant, source, numbered, anew=True)
            raise
        missing = [need for need in needs if need.name not in found]
        if missing:
            self._miss(scheme, tenant, source, missing, places)
        self._renew(tenant, source, places, now)
        return found

    def shared(self, now: int) -> list[SharedDocument]:
        """Return what is at hand of the documents that many machines need, expired ones too; of two the newer."""
        found: dict[Item, Entry] = {}
        kept = () if self._cache is None else self._cache.entries(shared_only=True)
        for entry in (*self._folder.entries(now, shared_only=True), *kept):
            seen = found.get(entry.item)
            if seen is None or seen.facts.rank < entry.facts.rank:
                found[entry.item] = entry
        return [
            SharedDocument(of.kind, of.key, of.vendor, entry.facts.expires, is_numbered=of.row.marks is not None)
            for of, entry in found.items()
        ]

    @property
    def is_fetched(self) -> bool:
        """Whether a fetcher can be asked for what is not at hand."""
        return self._asker is not None

    # -- what is at hand ------------------------------------------------------------------------------------------------

    def _look(self, scheme: str, tenant: str, needs: Sequence[Need], places: _Places, now: int) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        # One reading of each document a request: a chain belongs to its document.
        entries: dict[Item, Entry | None] = {}
        for need in needs:
            stored = STORED.get(need.kind)
            if stored is not None:
                found[need.name] = stored(self._store, tenant, need.key)
                continue
            data = self._find(scheme, need, places.get(need.name), entries, now)
            if data is not None:
                found[need.name] = data
        return found

    def _find(
        self, scheme: str, need: Need, place: tuple[Item, Part] | None, entries: dict[Item, Entry | None], now: int
    ) -> bytes | None:
        own = self._folder.find(need, check_of(scheme, need.kind))
        if place is None or self._cache is None:
            return own
        of, part = place
        if of not in entries:
            entries[of] = self._cache.get(of, now)
        entry = entries[of]
        if entry is None or (own is not None and not _is_older(own, entry)):
            return own
        return entry.body if part == "body" else entry.chain

    def _renew(self, tenant: str, source: str, places: _Places, now: int) -> None:
        """Have what only its users keep alive renewed ahead of its end; what is kept serves meanwhile."""
        if self._cache is None:
            return
        watched = {name: place for name, place in places.items() if place[0].row.watched}
        kept = {name: self._cache.get(of, now) for name, (of, _part) in watched.items()}
        due = {name: watched[name] for name, entry in kept.items() if entry is not None and is_due(entry, now)}
        self._ask(tenant, source, due, anew=True)

    # -- what is not ----------------------------------------------------------------------------------------------------

    def _miss(self, scheme: str, tenant: str, source: str, missing: Sequence[Need], places: _Places) -> None:
        replies = self._ask(tenant, source, {need.name: places[need.name] for need in missing if need.name in places})
        required = [need for need in missing if need.required]
        if not required:
            return  # what is optional was asked for, so that it is there the next time
        told = [replies[need.name] for need in required if need.name in replies]
        refused = next((reply for reply in told if reply.check_id), None)
        if refused is not None:
            raise CannotDecide(refused.check_id, refused.detail, retry_after=refused.retry_after)
        first = required[0]
        where = f"{first.kind} {first.key}: not at hand"
        reply = replies.get(first.name)
        if reply is None:
            owner, _, noun = first.kind.rpartition(".")
            file = f"{owner}/{noun}/{first.key}.der"
            raise CannotDecide(
                check_of(scheme, first.kind), f"{where}, want it at {file} in endorsement_dir", retry_after=60
            )
        wait = max(one.retry_after for one in told)
        raise CannotDecide(check_of(scheme, first.kind), f"{where}: {reply.detail}", retry_after=wait)

    def _ask(self, tenant: str, source: str, places: _Places, *, anew: bool = False) -> dict[str, Reply]:
        if self._asker is None or not places:
            return {}
        wanted = list(dict.fromkeys(of for of, _part in places.values()))
        try:
            replies = dict(zip(wanted, self._asker.ask(tenant, source, wanted, anew=anew), strict=True))
        except CannotDecide as error:
            if anew:
                return {}
            replies = {of: Reply(error.check_id, error.detail, error.retry_after) for of in wanted}
        return {name: replies[of] for name, (of, _part) in places.items() if replies[of].known}


def _is_older(own: bytes, entry: Entry) -> bool:
    """Tell whether the operator's file is older than the cache's document. One that cannot be compared is the operator's word."""
    try:
        return inspect(entry.item, plain(entry.item, own), entry.chain).rank < entry.facts.rank
    except BadDocument:
        return False
