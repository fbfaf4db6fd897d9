"""Step 4 of an attestation: what a scheme needs, from what is at hand; a miss is told to the fetcher, and never waited for.

Sources: the operator's folder, the on-disk cache (what the fetcher brought and what bundles held), the store's enrolled keys. Of a
document that both have, the newer counts. Nothing is written here but marks, and those of genuine documents only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from verifier.adapters.collateral import items
from verifier.adapters.collateral.cache import Cache, Entry
from verifier.adapters.collateral.documents import BadDocument, inspect
from verifier.adapters.collateral.fetcher import is_due
from verifier.adapters.collateral.folder import Folder, check_of, looked_at_again, noun_of, plain
from verifier.adapters.collateral.items import Item, Part, item_of
from verifier.adapters.collateral.marks import MarkKeeper
from verifier.adapters.collateral.replies import Reply
from verifier.core.ports import Clock, Store
from verifier.formats.errors import CannotDecide
from verifier.formats.x509chain import Anchor
from verifier.tee.registry import SCHEMES
from verifier.tee.scheme import Need, Scheme
from verifier.tee.tpm2.collateral import encode_enrolled_ak, encode_not_enrolled

AK_KIND: Final = "tpm2.ak"


class Asker(Protocol):
    """Is told of a miss."""

    def ask(self, tenant: str, source: str, wanted: Sequence[Item], *, anew: bool = False) -> Sequence[Reply]:
        """Ask for items; one reply each, at once. ``anew``: what is kept will not do (it is below its mark)."""
        ...


class Collateral:
    """Answers needs. Safe for threads and forks: connections and files are opened in the process that uses them."""

    def __init__(
        self,
        store: Store,
        anchors: Mapping[str, tuple[Anchor, ...]],
        clock: Clock,
        *,
        folder: str = "",
        cache: Cache | None = None,
        asker: Asker | None = None,
        schemes: Mapping[str, Scheme[Any, Any]] = SCHEMES,
    ) -> None:
        self._store = store
        self._clock = clock
        self._folder = Folder(folder)
        self._cache = cache
        self._asker = asker
        self._marks = MarkKeeper(store, schemes, anchors)

    def get(self, scheme: str, tenant: str, needs: Sequence[Need], *, source: str = "") -> Mapping[str, bytes]:
        """Answer by name; a required need that is nowhere is ``CannotDecide('<scheme>.endorsement.<noun>')``.

        ``tenant`` and ``source`` (the caller's address) are whom a fetch is counted for.
        """
        now = self._clock.now_ms() // 1000
        by_name = {need.name: need for need in needs}
        try:
            found = looked_at_again(
                lambda: self._look(scheme, tenant, needs, now), lambda some: self._marks.hold(scheme, some, by_name)
            )
        except CannotDecide:
            # Below its mark, or broken: if its vendor can be asked, the next one to come finds a newer one.
            self._ask(tenant, source, [need for need in needs if need.kind in items.NUMBERED], anew=True)
            raise
        missing = [need for need in needs if need.name not in found]
        if missing:
            self._miss(scheme, tenant, source, missing)
        self._renew(tenant, source, [need for need in needs if need.kind == items.NVIDIA_OCSP], now)
        return found

    # -- what is at hand ------------------------------------------------------------------------------------------------

    def _look(self, scheme: str, tenant: str, needs: Sequence[Need], now: int) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        entries: dict[
            Item, Entry | None
        ] = {}  # one reading of each document a request: a chain belongs to its document
        for need in needs:
            data = (
                self._enrolled(tenant, need.key)
                if need.kind == AK_KIND
                else self._find(scheme, need, item_of(need), entries, now)
            )
            if data is not None:
                found[need.name] = data
        return found

    def _enrolled(self, tenant: str, key: str) -> bytes:
        """The store's answer about an AK; "not enrolled" is an answer too, and the scheme's to refuse."""
        ak = self._store.find_ak(tenant, bytes.fromhex(key))
        if ak is None:
            return encode_not_enrolled()
        return encode_enrolled_ak(
            ak_name=ak.ak_name, ak_public=ak.ak_public, ek_name=ak.ek_name, ek_digest=ak.ek_public_digest, root=ak.root
        )

    def _find(
        self, scheme: str, need: Need, place: tuple[Item, Part] | None, entries: dict[Item, Entry | None], now: int
    ) -> bytes | None:
        own = self._folder.find(need, check_of(scheme, need))
        if place is None or self._cache is None:
            return own
        of, part = place
        if of not in entries:
            entries[of] = self._cache.get(of, now)
        entry = entries[of]
        if entry is None or (own is not None and not _is_older(own, entry)):
            return own
        return entry.body if part == "body" else entry.chain

    def _renew(self, tenant: str, source: str, needs: Sequence[Need], now: int) -> None:
        """Have what only its users keep alive renewed ahead of its end; what is kept serves meanwhile."""
        if self._cache is None:
            return
        kept = {need: self._cache.get(place[0], now) for need in needs if (place := item_of(need)) is not None}
        due = [need for need, entry in kept.items() if entry is not None and is_due(entry, now)]
        if due:
            self._ask(tenant, source, due, anew=True)

    # -- what is not ----------------------------------------------------------------------------------------------------

    def _miss(self, scheme: str, tenant: str, source: str, missing: Sequence[Need]) -> None:
        replies = self._ask(tenant, source, missing)
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
            file = f"{first.kind.rpartition('.')[0]}/{noun_of(first)}/{first.key}.der"
            raise CannotDecide(
                check_of(scheme, first),
                f"{where}, want it at {file} in endorsement_dir",
                retry_after=60,
            )
        wait = max(one.retry_after for one in told)
        raise CannotDecide(check_of(scheme, first), f"{where}: {reply.detail}", retry_after=wait)

    def _ask(self, tenant: str, source: str, needs: Sequence[Need], *, anew: bool = False) -> dict[str, Reply]:
        places = {need.name: place for need in needs if (place := item_of(need)) is not None}
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


class _SystemTime:
    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.now_ms = now_ms


class FolderCollateral(Collateral):
    """A folder and the store's enrolled keys, nothing else: no cache, no network."""

    def __init__(self, store: Store, folder: str, anchors: Mapping[str, tuple[Anchor, ...]]) -> None:
        super().__init__(store, anchors, _SystemTime(lambda: 0), folder=folder)
