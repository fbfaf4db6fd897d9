"""Endorsements and collateral from what is at hand: a folder, and the store's enrolled attestation keys.

``{endorsement_dir}/{scheme}/{kind}/{key}.{der,pem}`` holds one thing each (``sev-snp/crl/Milan.pem``). CRLs that an
anchor signed are held to a never-falling high-water mark per issuer: an older one than was ever seen is not used. Fetching from
vendors is not here.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from verifier.core.encoding import sha256
from verifier.core.errors import CannotDecide, MalformedEvidence
from verifier.core.ports import Store
from verifier.core.x509 import parse_crl, pem_blocks
from verifier.core.x509chain import Anchor, is_crl_of
from verifier.tee.base import Need
from verifier.tee.tpm2.collateral import encode_enrolled_ak, encode_not_enrolled

_SAFE = re.compile(r"[A-Za-z0-9._-]{1,200}", re.ASCII)
_SUFFIXES = ("der", "pem", "json")
_MAX_BYTES = 1024 * 1024
_CRL_NUMBERS = 1 << 160  # RFC 5280, section 5.2.3: at most 20 octets
AK_KIND = "tpm2.ak"
_TRIES = 10  # a reader that lost the processor meets a newer list at each of them, on a busy machine
_Stamp = tuple[int, int, int]  # time of the last change in ns, size in bytes, inode


def _stamp(path: Path) -> _Stamp | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _subfolder(need: Need) -> str:
    return need.kind.rpartition(".")[2]


class FolderCollateral:
    """Answers needs from the folder and the store. Files are re-read when they change; safe for threads and forks.

    ``anchors`` by scheme: whose CRLs count for the high-water marks.
    """

    def __init__(self, store: Store, folder: str, anchors: Mapping[str, tuple[Anchor, ...]]) -> None:
        self._store = store
        self._anchors = anchors
        self._folder = Path(folder) if folder else None
        self._seen: dict[Path, tuple[_Stamp, bytes]] = {}
        self._lock = threading.Lock()

    def get(self, scheme: str, tenant: str, needs: Sequence[Need]) -> Mapping[str, bytes]:
        """Answer by name; a required need that is nowhere is ``CannotDecide('<scheme>.endorsement.<name>')``."""
        found: dict[str, bytes] = {}
        for need in needs:
            data = self._enrolled(tenant, need.key) if need.kind == AK_KIND else self._file(scheme, need)
            if data is not None:
                found[need.name] = data
            elif need.required:
                raise CannotDecide(
                    f"{scheme}.endorsement.{_subfolder(need)}",
                    f"{need.kind} {need.key}: not at hand, want it at {scheme}/{_subfolder(need)}/{need.key}.der in endorsement_dir",
                    retry_after=60,
                )
        return found

    def _enrolled(self, tenant: str, key: str) -> bytes:
        """The store's answer about an AK; "not enrolled" is an answer too, and the scheme's to refuse."""
        ak = self._store.find_ak(tenant, bytes.fromhex(key))
        if ak is None:
            return encode_not_enrolled()
        return encode_enrolled_ak(
            ak_name=ak.ak_name, ak_public=ak.ak_public, ek_name=ak.ek_name, ek_digest=ak.ek_public_digest, root=ak.root
        )

    def _file(self, scheme: str, need: Need) -> bytes | None:
        # Keys come from evidence: one that could leave the folder is never looked for.
        if self._folder is None or not _SAFE.fullmatch(need.key) or need.key.startswith("."):
            return None
        for suffix in _SUFFIXES:
            # "sev-snp.crl" lies in sev-snp/crl/: the kind says what it is, the name only where the scheme wants it.
            path = self._folder / scheme / _subfolder(need) / f"{need.key}.{suffix}"
            data = self._read(path, scheme, need)
            if data is not None:
                return data
        return None

    def _read(self, path: Path, scheme: str, need: Need) -> bytes | None:
        for _try in range(_TRIES):
            stamp = _stamp(path)
            if stamp is None:
                return None
            with self._lock:
                cached = self._seen.get(path)
            if cached is not None and cached[0] == stamp:
                return cached[1]
            try:
                return self._read_anew(path, stamp, scheme, need)
            except CannotDecide:
                # Replaced while we were reading, and somebody else has used the newer list already: look again.
                if _stamp(path) == stamp:
                    raise
        raise CannotDecide(
            f"{scheme}.endorsement.{_subfolder(need)}", f"{path}: replaced again and again", retry_after=1
        )

    def _read_anew(self, path: Path, stamp: _Stamp, scheme: str, need: Need) -> bytes:
        where, size = f"{scheme}.endorsement.{_subfolder(need)}", stamp[1]
        if size > _MAX_BYTES:
            raise CannotDecide(where, f"{path}: got {size} bytes, want at most {_MAX_BYTES}")
        try:
            data = path.read_bytes()
        except OSError as error:
            # Gone since, a folder, or not ours to read: something of ours is missing, which is no fault of the evidence.
            raise CannotDecide(where, f"{path}: {error.strerror}", retry_after=60) from None
        if _subfolder(need) == "crl":
            self._hold_to_mark(path, data, scheme, need)
        with self._lock:
            self._seen[path] = (stamp, data)
        return data

    def _hold_to_mark(self, path: Path, data: bytes, scheme: str, need: Need) -> None:
        where = f"{scheme}.endorsement.{_subfolder(need)}"
        try:
            blocks = pem_blocks(data, "X509 CRL") or (data,)
            crl = parse_crl(blocks[0], where)
        except (MalformedEvidence, ValueError) as error:
            # Our own file is broken: that is no fault of the evidence, so nothing can be decided.
            raise CannotDecide(where, f"{path}: {error}", retry_after=60) from None
        issuers = (anchor.certificate for anchor in self._anchors.get(scheme, ()))
        issuer = next((one for one in issuers if is_crl_of(crl, one)), None)
        if issuer is None:
            return  # Anybody can write any number: no mark moves. The scheme verifies the signature, and refuses.
        if crl.number is None or not 0 <= crl.number < _CRL_NUMBERS:
            raise CannotDecide(where, f"{path}: CRL number got {crl.number}, want 0 to 20 octets", retry_after=60)
        mark = f"crl:{scheme}:{sha256(issuer.subject + issuer.spki).hex()}"
        if not self._store.raise_high_water(mark, crl.number):
            want = "none below the highest ever used"
            raise CannotDecide(where, f"{path}: CRL number got {crl.number}, want {want}", retry_after=60)
