"""Trust documents: read from files, and from the store to the service on demand (``compiling`` is the way from one to the other).

``TrustCatalogue`` finds a workload and its compiled policy; what it costs does not depend on how many there are.
"""

from __future__ import annotations

import functools
import json
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cachetools import LRUCache

import verifier
from verifier.appraise.bundle import Documents, Key, gather, workload_of
from verifier.appraise.compiled import CompiledPolicy
from verifier.appraise.documents import Parsed, Schemes, parse_document
from verifier.appraise.lineage import MANIFEST
from verifier.appraise.plain import PlainDocument
from verifier.appraise.policy import compile_policy
from verifier.appraise.result import Workload
from verifier.appraise.schema import schemas
from verifier.appraise.signatures import Demands, check_signature, read_demands
from verifier.appraise.text import read_documents
from verifier.core.ids import ServiceId
from verifier.core.ports import TrustStore
from verifier.formats.encoding import sha256
from verifier.formats.errors import CannotDecide, ConfigError
from verifier.tee.registry import SCHEMES

NO_DEMANDS: Demands = MappingProxyType({})
_SUFFIXES = {".yaml": False, ".json": True}
_NOT_DOCUMENTS = frozenset((".md", ".txt"))
_TRIES = 3


@dataclass(frozen=True, slots=True)
class TrustFile:
    """A file of the folder: its path below it, and its bytes."""

    path: str
    data: bytes
    json_form: bool


def read_folder(folder: str | Path) -> tuple[TrustFile, ...]:
    """Read every document file below a folder, in the order of their paths.

    Hidden names, ``.md`` and ``.txt`` are no documents; any other extension than ``.yaml`` and ``.json`` is refused, so that
    nothing the owner takes for a document is left out unsaid.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ConfigError(str(folder), "folder", "nothing", "a folder of trust documents")
    files = []
    for directory, subfolders, names in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in names:
            path = Path(directory, name)
            below = path.relative_to(root).as_posix()
            if name.startswith(".") or path.suffix in _NOT_DOCUMENTS or below == MANIFEST:
                continue
            if path.suffix not in _SUFFIXES:
                raise ConfigError(below, "file", path.suffix or name, "the extension .yaml or .json")
            files.append(read_file(path, below))
    if not files:
        raise ConfigError(str(folder), "folder", "no document", "at least one .yaml or .json file")
    return tuple(sorted(files, key=lambda file: file.path))


def read_file(path: Path, shown: str) -> TrustFile:
    """Read one document file."""
    if path.suffix not in _SUFFIXES:
        raise ConfigError(shown, "file", path.suffix or path.name, "the extension .yaml or .json")
    try:
        return TrustFile(shown, path.read_bytes(), _SUFFIXES[path.suffix])
    except OSError as error:
        raise ConfigError(shown, "file", error.strerror, "a readable file") from None


def parse_files(files: Iterable[TrustFile], schemes: Schemes) -> Iterator[Parsed]:
    """Parse and validate every document; raises ``ConfigError``."""
    for file in files:
        for plain in read_documents(file.path, file.data, json_form=file.json_form):
            yield parse_document(plain, schemes)


def load_demands(path: str) -> Demands:
    """Read the file that says which tenants demand signatures; "" for none that does."""
    if not path:
        return NO_DEMANDS
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(path, "file", str(error), "a readable JSON file") from None
    return read_demands(path, text)


def load_documents(folder: str | Path, *, schemes: Schemes = SCHEMES, demands: Demands = NO_DEMANDS) -> Documents:
    """Read, validate and gather a folder's documents. What they refer to is looked at by ``bundle.compile_all``."""
    return gather(parse_files(read_folder(folder), schemes), demands)


def load_single_policy(path: Path, scheme: str, *, schemes: Schemes = SCHEMES) -> CompiledPolicy:
    """Compile the one policy for ``scheme`` in a file or folder that holds it with its identities (``verifier appraise``)."""
    files = read_folder(path) if path.is_dir() else (read_file(path, path.name),)
    documents = gather(parse_files(files, schemes), NO_DEMANDS)
    policies = [parsed for parsed in documents.policies.values() if getattr(parsed.model, "scheme", None) == scheme]
    if len(policies) != 1:
        raise ConfigError(str(path), "document", f"{len(policies)} policies for {scheme}", "exactly one")
    return compile_policy(policies[0], documents.resolver(policies[0].model.tenant), schemes)


def files_digest(files: Iterable[TrustFile], schemes: Schemes, demands: Demands) -> str:
    """Return the digest of everything that decides what these files compile to: bytes, keys, this program, its schemes."""
    listed = [[file.path, sha256(file.data).hex()] for file in files]
    keys = {tenant: {name: _key_form(key) for name, key in named.items()} for tenant, named in demands.items()}
    # The registry's schemes are part of the program; to compose their schemas would load all of them.
    models = "" if schemes is SCHEMES else _digest_of(schemas(schemes))
    return _digest_of({"files": listed, "keys": keys, "program": _program_digest(), "schemas": models})


@functools.cache
def _program_digest() -> str:
    """Return the digest of this package's source: a program that may take documents differently looks at them again."""
    root = Path(verifier.__file__).parent
    return _digest_of(
        [[path.relative_to(root).as_posix(), sha256(path.read_bytes()).hex()] for path in sorted(root.rglob("*.py"))]
    )


def _digest_of(value: Any) -> str:
    return sha256(json.dumps(value, sort_keys=True).encode()).hex()


def _key_form(key: Any) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return str(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo).hex())


# --- from the store ---------------------------------------------------------------------------------------------------


class _Generation:
    """What was read under one trust digest, the most recently used of it. The caller holds the lock."""

    __slots__ = ("digest", "policies", "workloads")

    def __init__(self, digest: str, size: int) -> None:
        self.digest = digest
        self.workloads: LRUCache[Key, Workload] = LRUCache(size)
        self.policies: LRUCache[Key, CompiledPolicy] = LRUCache(size)


class TrustCatalogue:
    """Finds workloads and their compiled policies in the store; implements ``service.parts.Trust``.

    Bounded caches, dropped when the store's trust digest changes, which is looked at once in ``digest_life_s``. Fit for threads,
    and for processes forked after it was built. Documents of a tenant in ``demands`` have their signatures checked again when
    they are read, so that a hand in the database changes nothing.
    """

    def __init__(
        self,
        store: TrustStore,
        *,
        schemes: Schemes = SCHEMES,
        demands: Demands = NO_DEMANDS,
        size: int = 16_384,
        digest_life_s: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._schemes = schemes
        self._demands = demands
        self._size = size
        self._digest_life_s = digest_life_s
        self._monotonic = monotonic
        self._forget()
        _CATALOGUES.add(self)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._generation = _Generation("", self._size)
        self._looked_at = -float("inf")

    def workload(self, tenant: str, name: str) -> tuple[Workload, CompiledPolicy] | None:
        """Return the workload of that name with the policy it names; ``None`` where there is none.

        A disabled workload is returned too (``enabled`` says so). Raises ``CannotDecide('service.store')`` from the store, and
        ``CannotDecide('service.trust')`` where what the store holds is not what was compiled into it.
        """
        generation = self._current()
        key = (tenant, name)
        with self._lock:
            workload = generation.workloads.get(key)
            policy = generation.policies.get((tenant, workload.policy)) if workload is not None else None
        if workload is not None and policy is not None:
            return workload, policy
        return self._read(key)

    def schemes(self) -> frozenset[str]:
        """Return the schemes that the store's policies name: those that requests will be of."""
        named = (json.loads(body).get("scheme") for body in self._store.trust_documents("policy"))
        return frozenset(name for name in named if name in self._schemes)

    def _current(self) -> _Generation:
        now = self._monotonic()
        if now - self._looked_at >= self._digest_life_s:
            self._renew(now)
        return self._generation

    def _renew(self, now: float) -> None:
        digest = self._store.trust_digest()
        with self._lock:
            if digest != self._generation.digest:
                self._generation = _Generation(digest, self._size)
            self._looked_at = now

    def _read(self, key: Key) -> tuple[Workload, CompiledPolicy] | None:
        """Read from the store; all of it again when documents were replaced between two reads of it.

        A policy compiled before is used for as long as any: up to ``digest_life_s`` after it was replaced.
        """
        for _try in range(_TRIES):
            generation = self._generation
            try:
                found, reads = self._read_once(generation, key)
                failure = None
            except ConfigError as error:
                found, reads, failure = None, 0, error
            if reads != 1:
                self._renew(self._monotonic())
                if self._generation is not generation:
                    continue
            if failure is not None:
                raise CannotDecide(ServiceId.TRUST, f"trust documents in the store: {failure}") from failure
            if found is not None:
                with self._lock:
                    generation.workloads[key] = found[0]
                    generation.policies[key[0], found[0].policy] = found[1]
            return found
        raise CannotDecide(
            ServiceId.TRUST, "trust documents: they were replaced at each try to read them", retry_after=1
        )

    def _read_once(self, generation: _Generation, key: Key) -> tuple[tuple[Workload, CompiledPolicy] | None, int]:
        """Return what was found, and how many documents were read (one, or more)."""
        tenant, name = key
        parsed = self._document("workload", tenant, name, None) if tenant else None
        if parsed is None:
            return None, 1
        workload = workload_of(parsed)
        with self._lock:
            policy = generation.policies.get((tenant, workload.policy))
        if policy is not None:
            return (workload, policy), 1
        found = self._document("policy", tenant, workload.policy, None)
        if found is None:
            raise ConfigError(parsed.where, "policy", workload.policy, "a policy in the store")
        policy = compile_policy(
            found, lambda wanted, version: self._document("identity", tenant, wanted, version), self._schemes
        )
        return (workload, policy), 2

    def _document(self, kind: str, tenant: str, name: str, version: int | None) -> Parsed | None:
        body = self._store.trust_document(kind, tenant, name, version)
        if body is None:
            return None
        where = f"store:{kind}/{tenant}/{name}"
        try:
            value = json.loads(body)
        except ValueError:
            raise ConfigError(where, "document", "unreadable text", "JSON") from None
        parsed = parse_document(PlainDocument(where, value if isinstance(value, dict) else {}), self._schemes)
        model = parsed.model
        if (parsed.kind, model.tenant, model.name) != (kind, tenant, name) or version not in (None, model.version):
            raise ConfigError(where, "document", f"{parsed.kind}/{model.tenant}/{model.name}", "the document asked for")
        if tenant in self._demands:
            check_signature(parsed, self._demands[tenant])
        return parsed


_CATALOGUES: weakref.WeakSet[TrustCatalogue] = weakref.WeakSet()


def _after_fork() -> None:
    for catalogue in list(_CATALOGUES):
        catalogue._forget()  # noqa: SLF001 - this module's own; a lock that another thread held would never open again


os.register_at_fork(after_in_child=_after_fork)
