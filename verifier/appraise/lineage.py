"""Which set of trust documents comes after which: what a folder may change in the set in force, and what it may not. Pure.

Several verifiers share one store and each has a folder of its own, which may be of yesterday. A folder's version is that of its
manifest (``trust-manifest.json``). Without one, the store's memory decides: what was in force and was replaced does not come back
by itself (docs/adr/0020-trust-sets.md).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from verifier.core.ids import TrustId
from verifier.core.ports import TrustRow
from verifier.formats.encoding import canonical, sha256
from verifier.formats.errors import ConfigError, TrustRefused
from verifier.formats.strict_json import read

MANIFEST = "trust-manifest.json"
# What a machine must not lose by a file that is cut or gone, and what must not come back once it was withdrawn.
_GRANTING = frozenset(("policy", "workload"))
_NOTHING: Mapping[str, int] = MappingProxyType({})

DocumentKey = str


class Manifest(BaseModel):
    """What a folder says about itself: a version that only rises, and what has to be in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: int = Field(ge=1, le=2**53 - 1)
    identities: int = Field(ge=0)
    policies: int = Field(ge=0)
    workloads: int = Field(ge=0)
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")


def read_manifest(where: str, data: bytes) -> Manifest:
    """Read a manifest's bytes; ``ConfigError`` for anything but its five members."""
    try:
        return Manifest.model_validate(read(data))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ConfigError(where, ".".join(map(str, first["loc"])), first.get("input"), first["msg"]) from None
    except ValueError as error:
        raise ConfigError(where, "manifest", str(error), "one JSON object") from None


def manifest_of(rows: Iterable[TrustRow], version: int) -> Manifest:
    """Return the manifest that these documents have under a version."""
    listed = tuple(rows)
    return Manifest(version=version, digest=set_digest(listed), **counts_of(listed))


def check_manifest(where: str, manifest: Manifest, rows: Iterable[TrustRow]) -> None:
    """Refuse documents that are not those that the manifest tells of: a file that was cut, left out or not yet copied."""
    found = manifest_of(rows, manifest.version)
    for name in ("identities", "policies", "workloads", "digest"):
        got, want = getattr(found, name), getattr(manifest, name)
        if got != want:
            raise ConfigError(where, name, got, f"{want}, as the manifest has it: the folder is not whole, or not yet")


def counts_of(rows: Iterable[TrustRow]) -> dict[str, int]:
    """Count documents by kind, under the manifest's names."""
    kinds = [str(row.kind) for row in rows]
    names = (("identities", "identity"), ("policies", "policy"), ("workloads", "workload"))
    return {name: kinds.count(kind) for name, kind in names}


def set_digest(rows: Iterable[TrustRow]) -> str:
    """Return the digest of a set of documents: their content, whatever files they stand in and in whatever order."""
    return sha256(canonical(sorted(row_digest(row) for row in rows))).hex()


def row_digest(row: TrustRow) -> str:
    """Return the digest of one document under its place."""
    return sha256(canonical([row.kind, row.tenant, row.name, row.version, row.body])).hex()


def key_of(row: TrustRow) -> DocumentKey:
    """Return a document's place, as people read it. Policies and workloads exist in one version at a time, identities in many."""
    place = f"{row.kind}/{row.tenant}/{row.name}"
    return f"{place}@{row.version}" if row.kind == "identity" else place


@dataclass(frozen=True, slots=True)
class Memory:
    """What the store knows: the set in force, the folder's set that led to it, and what was replaced.

    ``kept``: when each document that its folder no longer has leaves the set (Unix milliseconds). ``manifest``: the highest version
    that was in force, 0 for none. ``replaced``: of documents that were in force and are not, digest and (key, version).
    """

    number: int = 0
    digest: str = ""
    folder: str = ""
    rows: tuple[TrustRow, ...] = ()
    manifest: int = 0
    kept: Mapping[DocumentKey, int] = field(default_factory=lambda: _NOTHING)
    replaced: Mapping[str, tuple[DocumentKey, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """What a folder has: documents, their digest, its manifest if it has one, whether its set was in force before."""

    where: str
    digest: str
    rows: tuple[TrustRow, ...]
    manifest: Manifest | None = None
    was_in_force: bool = False


@dataclass(frozen=True, slots=True)
class Successor:
    """The set that follows: the folder's documents and those that are kept for a while though it does not have them."""

    rows: tuple[TrustRow, ...]
    kept: Mapping[DocumentKey, int]
    added: tuple[DocumentKey, ...]
    removed: tuple[DocumentKey, ...]
    changed: tuple[DocumentKey, ...]
    replaced: tuple[TrustRow, ...]

    @property
    def is_change(self) -> bool:
        """Tell whether any document differs."""
        return bool(self.added or self.removed or self.changed)


def is_meant(found: Found, memory: Memory, *, accepted: bool) -> bool:
    """Tell whether the owner said that this set follows, whatever it changes; raises ``TrustRefused`` where it may not follow."""
    manifest = found.manifest
    is_other = found.digest not in (memory.folder, memory.digest)
    if manifest is None:
        if accepted:
            return True
        if memory.manifest:
            raise _refused(TrustId.MANIFEST, found, memory, f"a manifest of a version above {memory.manifest}")
    elif manifest.version > memory.manifest:
        return True
    elif manifest.version < memory.manifest:
        want = f"a manifest of at least version {memory.manifest}, not {manifest.version} (rollback)"
        raise _refused(TrustId.OLDER, found, memory, want)
    elif is_other:
        want = f"the same documents under the manifest's version {manifest.version}, or a higher version"
        raise _refused(TrustId.DIVERGING, found, memory, want)
    if manifest is None and found.was_in_force and is_other:
        want = "documents that were not in force before and replaced (rollback)"
        raise _refused(TrustId.OLDER, found, memory, want)
    return False


def follow(
    found: Found,
    memory: Memory,
    *,
    meant: bool,
    now_ms: int | None,
    grace_ms: int,
    may_keep: Callable[[TrustRow], bool] = lambda _row: True,
) -> Successor:
    """Return the set that follows when a folder is taken; raises ``TrustRefused`` for a step back that nobody meant.

    Documents that the folder no longer has are kept for ``grace_ms``, unless the owner meant it or ``may_keep`` says no. ``now_ms``
    is ``None`` where no clock can be trusted now: then nothing that is kept leaves.
    """
    before = {key_of(row): row for row in memory.rows}
    after = {key_of(row): row for row in found.rows}
    if not meant:
        _refuse_steps_back(found, memory, before)
    kept: dict[DocumentKey, int] = {}
    if not meant and grace_ms > 0:
        for key, row in before.items():
            if key in after or not may_keep(row):
                continue
            # Without a clock the time begins at the first look with one: 0 is "not begun".
            ends = memory.kept.get(key, 0) or (0 if now_ms is None else now_ms + grace_ms)
            if now_ms is None or now_ms < ends:
                kept[key] = ends
                after[key] = row
    changed = tuple(sorted(key for key in after.keys() & before.keys() if after[key] != before[key]))
    removed = tuple(sorted(before.keys() - after.keys()))
    replaced = [before[key] for key in changed]
    replaced += [before[key] for key in removed if before[key].kind in _GRANTING]
    added = tuple(sorted(after.keys() - before.keys()))
    return Successor(tuple(after.values()), kept, added, removed, changed, tuple(replaced))


def _refuse_steps_back(found: Found, memory: Memory, before: Mapping[DocumentKey, TrustRow]) -> None:
    """Refuse a document that undoes what came later: of a lower version, once replaced or withdrawn, or enabled again unversioned."""
    highest: dict[DocumentKey, int] = {key: row.version for key, row in before.items()}
    for key, version in memory.replaced.values():
        highest[key] = max(version, highest.get(key, 0))
    for row in found.rows:
        key = key_of(row)
        now = before.get(key)
        mark = highest.get(key)
        if row == now or mark is None:
            continue
        if row.kind in _GRANTING and row.version < mark:
            want = f"{key} of a version of at least {mark}, not {row.version} (rollback)"
            raise _refused(TrustId.OLDER, found, memory, want)
        if row_digest(row) in memory.replaced:
            want = f"{key} not as it was before it was replaced or withdrawn, or a version above {mark} (rollback)"
            raise _refused(TrustId.OLDER, found, memory, want)
        if row.version == mark and now is not None and _is_disabled(now) and not _is_disabled(row):
            raise _refused(TrustId.DIVERGING, found, memory, f"{key} disabled, or of a version above {mark}")


def _is_disabled(row: TrustRow) -> bool:
    return row.kind == "workload" and json.loads(row.body).get("state") != "enabled"


def _refused(check_id: TrustId, found: Found, memory: Memory, want: str) -> TrustRefused:
    return TrustRefused(check_id, found.where, found.digest, memory.folder or memory.digest, want)
