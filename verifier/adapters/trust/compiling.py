"""Trust documents from a folder into the store: once, by digest, and only where they follow what is in force.

``TrustFolder.take`` runs at start, before workers are forked, and then in every replica's worker every few seconds. Nothing is parsed
when files, program and keys are those looked at before. What may follow is decided by ``appraise.lineage``.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from verifier.adapters.trust.documents import NO_DEMANDS, TrustFile, files_digest, parse_files, read_folder
from verifier.appraise.bundle import Documents, compile_all, gather
from verifier.appraise.documents import Parsed, Schemes, WorkloadDocument, parse_document
from verifier.appraise.lineage import (
    MANIFEST,
    DocumentKey,
    Found,
    Manifest,
    Memory,
    Successor,
    check_manifest,
    counts_of,
    follow,
    is_meant,
    key_of,
    read_manifest,
    row_digest,
    set_digest,
)
from verifier.appraise.plain import PlainDocument
from verifier.appraise.signatures import Demands, check_signature
from verifier.core.ids import ServiceId, TrustId
from verifier.core.ports import TrustRow, TrustStore
from verifier.formats.encoding import canonical, sha256
from verifier.formats.errors import CannotDecide, ConfigError, TrustRefused
from verifier.tee.registry import SCHEMES

# Rows of this tenant ("" is no name) are history; the store keeps them (``core.ports.TrustRow``).
HISTORY = ""
TAKEN = "taken"
MANIFEST_MARK = "trust:manifest"
_MOST_NAMES = 1_000  # of a change, in its row and in the log
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Standing:
    """How a folder stands to the set in force. ``change``: what was taken just now, ``None`` for nothing."""

    number: int
    digest: str
    folder: str
    counts: Mapping[str, int]
    kept: Mapping[DocumentKey, int] = field(default_factory=dict)
    change: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class _Generation:
    """The row of the set in force. ``is_whole``: the store has that very set, nothing was taken out of it."""

    number: int
    digest: str
    folder: str
    manifest: int
    kept: Mapping[DocumentKey, int]
    counts: Mapping[str, int]
    is_whole: bool


class TrustFolder:
    """One replica's folder, and the store that it compiles into. It remembers a refusal, so as not to parse the same files again."""

    def __init__(
        self,
        store: TrustStore,
        folder: str | Path,
        *,
        schemes: Schemes = SCHEMES,
        demands: Demands = NO_DEMANDS,
        grace_ms: int = 0,
        by: str = "",
    ) -> None:
        self._store = store
        self._folder = folder
        self._schemes = schemes
        self._demands = demands
        self._grace_ms = grace_ms
        self._by = by or socket.gethostname()
        self._refused: tuple[tuple[str, int], ConfigError] | None = None

    def take(self, now_ms: int | None, *, accepted: bool = False) -> Standing:
        """Bring the folder's documents into force, all or none, where they follow; returns how the folder stands.

        Raises ``TrustRefused`` for a folder that does not follow (older, diverging, without its manifest), ``ConfigError`` for
        anything wrong with it. Both leave the store as it was. ``accepted``: the owner says that this folder follows, whatever
        it takes away.
        """
        files = read_folder(self._folder)
        manifest_data = _read_manifest_file(Path(self._folder))
        inputs = files_digest(files, self._schemes, self._demands)
        memo = sha256(canonical([inputs, manifest_data.hex() if manifest_data is not None else ""])).hex()
        for _try in range(_TRIES):
            number = self._store.trust_number()
            if self._refused is not None and self._refused[0] == (memo, number) and not accepted:
                raise self._refused[1].with_traceback(None)
            try:
                taken = self._take_once(number, files, manifest_data, inputs, now_ms, accepted=accepted)
            except ConfigError as error:
                self._refused = ((memo, number), error)
                raise
            if taken is not None:
                return taken
        raise CannotDecide(ServiceId.TRUST, "trust documents: another process replaced them at each try", retry_after=1)

    def _take_once(
        self,
        number: int,
        files: tuple[TrustFile, ...],
        manifest_data: bytes | None,
        inputs: str,
        now_ms: int | None,
        *,
        accepted: bool,
    ) -> Standing | None:
        """Look once; ``None`` where another process replaced the set meanwhile."""
        force = self._in_force(number)
        where = str(self._folder)
        manifest = None if manifest_data is None else read_manifest(MANIFEST, manifest_data)
        known = self._store.trust_document("inputs", HISTORY, inputs)
        documents = None if known is not None else self._parse(files)
        rows = () if documents is None else tuple(documents_as_rows(documents))
        digest = known if known is not None else set_digest(rows)
        if manifest is not None and digest != manifest.digest:
            rows = rows or tuple(documents_as_rows(self._parse(files)))
            check_manifest(MANIFEST, manifest, rows)
        found = Found(where, digest, rows, manifest, self._store.trust_document("folder", HISTORY, digest) is not None)
        meant = is_meant(found, Memory(number, force.digest, force.folder, manifest=force.manifest), accepted=accepted)
        if not meant and self._stands(found, force, now_ms):
            if documents is not None:  # looked at by a program or under keys that had not seen them yet
                self._raise_marks(documents, found, force)
                self._store.keep_trust_history([TrustRow("inputs", HISTORY, inputs, 1, digest)])
            # What is kept is the alarm of the folders that do not have it.
            kept = force.kept if digest == force.folder != force.digest else {}
            return Standing(number, force.digest, digest, force.counts, kept)
        documents = documents if documents is not None else self._parse(files)
        found = Found(where, digest, rows or tuple(documents_as_rows(documents)), manifest, found.was_in_force)
        return self._replace(force, found, documents, inputs, meant=meant, now_ms=now_ms)

    @staticmethod
    def _stands(found: Found, force: _Generation, now_ms: int | None) -> bool:
        """Tell whether nothing is to be done: the folder is the one in force, and nothing that is kept has come to its end."""
        if not force.is_whole:
            return False  # it is put there again, or has no row yet
        if found.digest != force.folder:
            return found.digest == force.digest
        return now_ms is None or all(ends > 0 and now_ms < ends for ends in force.kept.values())

    def _parse(self, files: Iterable[TrustFile]) -> Documents:
        documents = gather(parse_files(files, self._schemes), self._demands)
        compile_all(documents, self._schemes)
        return documents

    def _in_force(self, number: int) -> _Generation:
        body = self._store.trust_document("set", HISTORY, TAKEN, number) if number else None
        if body is None:
            # Of a store from before sets had numbers, or changed by hand: what is there counts, without a history.
            rows = tuple(self._store.trust_rows())
            digest = set_digest(rows) if rows else ""
            return _Generation(number, digest, digest, self._mark(), {}, counts_of(rows), is_whole=False)
        form = json.loads(body)
        manifest = max(form["manifest"], self._mark())
        is_whole = form["digest"] == self._store.trust_digest()
        return _Generation(number, form["digest"], form["folder"], manifest, form["kept"], form["counts"], is_whole)

    def _mark(self) -> int:
        return self._store.high_water(MANIFEST_MARK) or 0

    def _replace(
        self,
        force: _Generation,
        found: Found,
        documents: Documents,
        inputs: str,
        *,
        meant: bool,
        now_ms: int | None,
    ) -> Standing | None:
        replaced = {
            digest: (form["key"], form["version"])
            for digest, form in (
                (name, json.loads(text)) for name, text in self._store.trust_history("replaced").items()
            )
        }
        memory = Memory(
            force.number,
            force.digest,
            force.folder,
            tuple(self._store.trust_rows()),
            force.manifest,
            force.kept,
            replaced,
        )
        after = follow(
            found,
            memory,
            meant=meant,
            now_ms=now_ms,
            grace_ms=self._grace_ms,
            may_keep=self._is_signed_still,
        )
        self._raise_marks(self._with_kept(documents, found, after), found, force)
        manifest = max(force.manifest, found.manifest.version if found.manifest else 0)
        digest = set_digest(after.rows)
        form = {
            "number": force.number + 1,
            "digest": digest,
            "folder": found.digest,
            "before": force.digest,
            "manifest": manifest,
            "meant": meant,
            "at_ms": time.time_ns() // 1_000_000,
            "by": self._by,
            "counts": counts_of(after.rows),
            "kept": dict(after.kept),
            **_change_of(after),
        }
        rows = [*after.rows, *self._history(form, after, found, inputs)]
        if not self._store.replace_trust(digest, rows, after=force.number):
            return None
        if found.manifest is not None:
            self._store.raise_high_water(MANIFEST_MARK, manifest)
        return Standing(force.number + 1, digest, found.digest, form["counts"], after.kept, form)

    def _raise_marks(self, documents: Documents, found: Found, force: _Generation) -> None:
        newest = _check_history(self._store, documents, self._demands, found, force)
        # Only now: a mark that rose for documents which are then refused would forbid what is in force.
        for issuer, parsed in newest.items():
            if not self._store.raise_high_water(issuer, parsed.model.version):
                raise _rollback(parsed, found, force)  # another process has compiled a newer one in between

    def _is_signed_still(self, row: TrustRow) -> bool:
        """Tell whether a document that its folder no longer has may be kept: a key that was taken away takes its documents along."""
        if row.tenant not in self._demands:
            return True
        try:
            check_signature(_parsed(row, self._schemes), self._demands[row.tenant])
        except ConfigError:
            return False
        return True

    def _with_kept(self, documents: Documents, found: Found, after: Successor) -> Documents:
        """Return the folder's documents and the kept ones together; ``TrustRefused`` where they do not go together."""
        if not after.kept:
            return documents
        try:
            kept = [_parsed(row, self._schemes) for row in after.rows if key_of(row) in after.kept]
            together = gather([*documents.all(), *kept], self._demands)
            compile_all(together, self._schemes)
        except ConfigError as error:
            want = (
                f"a set that goes together with what was removed from it and stays in force ({', '.join(after.kept)}): {error}; "
                "`verifier policy accept` or a higher version of the manifest says that the removal is meant"
            )
            raise TrustRefused(TrustId.REMOVAL, found.where, found.digest, set_digest(after.rows), want) from None
        return together

    def _history(self, form: Mapping[str, Any], after: Successor, found: Found, inputs: str) -> Iterator[TrustRow]:
        yield TrustRow("set", HISTORY, TAKEN, form["number"], canonical(form).decode())
        yield TrustRow("folder", HISTORY, found.digest, 1, str(form["number"]))
        yield TrustRow("inputs", HISTORY, inputs, 1, found.digest)
        for row in after.replaced:
            body = canonical({"key": key_of(row), "version": row.version, "number": form["number"]}).decode()
            yield TrustRow("replaced", HISTORY, row_digest(row), 1, body)
        for row in after.rows:
            if row.kind == "workload":
                document = json.loads(row.body)
                owner = canonical({"tenant": row.tenant, "name": row.name}).decode()
                yield TrustRow("workload", HISTORY, document["uuid"], 1, owner)


def compile_into(
    store: TrustStore,
    folder: str | Path,
    *,
    schemes: Schemes = SCHEMES,
    demands: Demands = NO_DEMANDS,
    now_ms: int | None = None,
    grace_ms: int = 0,
    accepted: bool = False,
) -> Standing:
    """Compile a folder's documents into the store once; ``TrustFolder.take`` says how."""
    return TrustFolder(store, folder, schemes=schemes, demands=demands, grace_ms=grace_ms).take(
        now_ms, accepted=accepted
    )


def folder_rows(folder: str | Path, *, schemes: Schemes = SCHEMES, demands: Demands = NO_DEMANDS) -> list[TrustRow]:
    """Return a folder's documents as rows, validated and compiled (``verifier policy manifest``)."""
    documents = gather(parse_files(read_folder(folder), schemes), demands)
    compile_all(documents, schemes)
    return list(documents_as_rows(documents))


def folder_manifest(folder: str | Path) -> Manifest | None:
    """Return a folder's manifest, read and not compared with the documents; ``None`` without one."""
    data = _read_manifest_file(Path(folder))
    return None if data is None else read_manifest(MANIFEST, data)


def _read_manifest_file(folder: Path) -> bytes | None:
    try:
        return (folder / MANIFEST).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(MANIFEST, "file", error.strerror, "a readable file") from None


def documents_as_rows(documents: Documents) -> Iterator[TrustRow]:
    """Return documents as the store has them."""
    for parsed in documents.all():
        model = parsed.model
        yield TrustRow(parsed.kind, model.tenant, model.name, model.version, parsed.body)


def _parsed(row: TrustRow, schemes: Schemes) -> Parsed:
    where = f"store:{key_of(row)}"
    try:
        value = json.loads(row.body)
    except ValueError:
        raise ConfigError(where, "document", "unreadable text", "JSON") from None
    return parse_document(PlainDocument(where, value if isinstance(value, dict) else {}), schemes)


def _change_of(after: Successor) -> dict[str, Any]:
    """Return the names of what changed, so many of them, and how many there are."""
    named = {"added": after.added, "removed": after.removed, "changed": after.changed}
    listed: dict[str, Any] = {name: list(keys[:_MOST_NAMES]) for name, keys in named.items()}
    return {**listed, "count": {name: len(keys) for name, keys in named.items()}}


# --- what was compiled before -----------------------------------------------------------------------------------------


def _check_history(
    store: TrustStore, documents: Documents, demands: Demands, found: Found, force: _Generation
) -> dict[str, Parsed]:
    """Refuse a uuid that had another tenant or name, and rollback where the tenant demands signatures.

    Reads only. Returns, by issuer, the documents to whose versions the marks are to be raised.
    """
    for parsed in documents.workloads.values():
        model = parsed.model
        if isinstance(model, WorkloadDocument):
            owner = store.trust_document("workload", HISTORY, model.uuid)
            if owner is not None and json.loads(owner) != {"tenant": model.tenant, "name": model.name}:
                raise ConfigError(parsed.where, "uuid", model.uuid, f"a new uuid: this one belongs to {owner} for good")
    newest: dict[str, Parsed] = {}
    for parsed in documents.all():
        model = parsed.model
        if model.tenant in demands:
            _refuse_second_content(store, parsed)
            issuer = f"trust:{parsed.kind}:{model.tenant}:{model.name}"
            if issuer not in newest or newest[issuer].model.version < model.version:
                newest[issuer] = parsed
    for issuer, parsed in newest.items():
        mark = store.high_water(issuer)
        if mark is not None and parsed.model.version < mark:
            raise _rollback(parsed, found, force)
    return newest


def _rollback(parsed: Parsed, found: Found, force: _Generation) -> TrustRefused:
    want = f"{parsed.where} of at least the highest version ever compiled, not {parsed.model.version} (rollback)"
    return TrustRefused(TrustId.OLDER, found.where, found.digest, force.folder or force.digest, want)


def _refuse_second_content(store: TrustStore, parsed: Parsed) -> None:
    model = parsed.model
    same = store.trust_document(parsed.kind, model.tenant, model.name, model.version)
    if same is not None and _unsigned(same) != _unsigned(parsed.body):
        want = "a higher version: this one is compiled with other content"
        raise ConfigError(parsed.where, "version", model.version, want)


def _unsigned(body: str) -> Any:
    form = json.loads(body)
    form.pop("signature", None)
    return form
