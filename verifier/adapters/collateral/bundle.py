"""One signed, dated bundle of collateral for all vendors: a compact JWS, made where there is a network, imported where there is none.

Header: exactly ``alg`` (ES256, or EdDSA with Ed25519), ``kid`` (the signing key's name), ``typ`` (``vab-collateral+jws``). Payload:
JSON ``{version, issued, items: [{kind, key, source, fetched, sha256, body, chain}…]}``, ``body`` and ``chain`` base64url. Checked on
import: signature by a key that the settings name, date (not in the future, not before the bundle imported last), each item's
digest and form. Not checked: that an item is genuine; the scheme does that at each use, as with everything else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from verifier.adapters.collateral.cache import Cache, Entry, entry_of
from verifier.appraise.signatures import public_key
from verifier.core.ids import ServiceId
from verifier.core.ports import MarkStore
from verifier.core.settings import SKEW_MS
from verifier.formats import jws, strict_json
from verifier.formats.encoding import b64url, canonical, is_name
from verifier.formats.errors import ConfigError, EvidenceRejected, MalformedEvidence
from verifier.formats.jws import PrivateKey, PublicKey

TYPE: Final = "vab-collateral+jws"
VERSION: Final = 1
CHECK: Final = ServiceId.BUNDLE
MARK: Final = "collateral-bundle"
MAX_BUNDLE: Final = 128 * 1024 * 1024
_MAX_ITEMS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose signature was checked. ``issued`` in Unix seconds."""

    signer: str
    issued: int
    entries: tuple[Entry, ...]


def make_bundle(entries: Iterable[Entry], *, issued: int, signer: str, key: PrivateKey) -> bytes:
    """Sign what is not expired at ``issued``."""
    if not is_name(signer):
        raise ConfigError("--signer", "signer", signer, "a name of a-z, 0-9 and inner hyphens")
    listed = [one.as_json() for one in entries if issued <= one.facts.expires]
    header = b64url(canonical({"alg": jws.algorithm_of(key), "kid": signer, "typ": TYPE}))
    message = f"{header}.{b64url(canonical({'version': VERSION, 'issued': issued, 'items': listed}))}".encode("ascii")
    return message + b"." + b64url(jws.sign(key, message)).encode("ascii") + b"\n"


def read_bundle(data: bytes, keys: Mapping[str, PublicKey], now: int) -> Bundle:
    """Read a bundle and check it; ``MalformedEvidence`` or ``EvidenceRejected`` under ``service.collateral.bundle``.

    Items that are expired by now are left out; any other fault of an item refuses the whole.
    """
    if len(data) > MAX_BUNDLE:
        raise MalformedEvidence(CHECK, f"bundle: got {len(data)} bytes, want at most {MAX_BUNDLE}")
    try:
        bundle = jws.split(data.strip())
    except ValueError:
        raise MalformedEvidence(CHECK, "bundle: want a compact JWS of three parts") from None
    header = bundle.header
    signer = header.get("kid") if isinstance(header, dict) else None
    key = keys.get(signer) if isinstance(signer, str) else None
    if key is None:
        raise EvidenceRejected(
            CHECK, f"bundle: got the signer {signer!r}, want one of {', '.join(sorted(keys)) or 'none'}"
        )
    want = {"alg": jws.algorithm_of(key), "kid": signer, "typ": TYPE}
    if header != want:
        raise EvidenceRejected(CHECK, f"bundle: got another header, want alg {want['alg']}, kid, typ {TYPE} alone")
    if not jws.is_signed(key, bundle.signature, bundle.signing_input):
        raise EvidenceRejected(CHECK, f"bundle: the signature does not verify with the key {signer}")
    issued, entries = _payload(bundle.payload, now)
    return Bundle(str(signer), issued, entries)


def _payload(text: bytes, now: int) -> tuple[int, tuple[Entry, ...]]:
    try:
        issued, listed = _outer(strict_json.read(text))
        entries = tuple(entry_of(one) for one in listed)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise MalformedEvidence(CHECK, f"bundle: {error}") from None
    if issued > now + SKEW_MS // 1000:
        raise EvidenceRejected(CHECK, f"bundle: issued: got {issued}, want none after {now}")
    return issued, tuple(entry for entry in entries if now <= entry.facts.expires)


def _outer(form: Mapping[str, Any]) -> tuple[int, list[Any]]:
    if set(form) != {"version", "issued", "items"} or form["version"] != VERSION:
        raise ValueError(f"payload: want version {VERSION}, issued, items")
    issued, listed = form["issued"], form["items"]
    if type(issued) is not int or not isinstance(listed, list) or len(listed) > _MAX_ITEMS:
        raise ValueError(f"issued, items: want a number and at most {_MAX_ITEMS} items")
    return issued, listed


def import_bundle(bundle: Bundle, cache: Cache, store: MarkStore, now: int) -> dict[str, int]:
    """Put a bundle's items into the cache, where newer ones stay; returns how many were stored, same, older.

    ``EvidenceRejected`` for a bundle older than the one imported last: the mark is the store's.
    """
    mark = store.high_water(MARK)
    if mark is not None and bundle.issued < mark:
        raise EvidenceRejected(CHECK, f"bundle: issued: got {bundle.issued}, want none before {mark}, imported before")
    counts = {"stored": 0, "same": 0, "older": 0, "expired": 0}
    for entry in bundle.entries:
        counts[cache.put(entry, now)] += 1
    if not store.raise_high_water(MARK, bundle.issued):
        raise EvidenceRejected(CHECK, f"bundle: issued: got {bundle.issued}: a newer one was imported meanwhile")
    return counts


def load_bundle_keys(path: str) -> dict[str, PublicKey]:
    """Read the file that the settings name: JSON, ``{name: public JWK}``. ``ConfigError`` for anything else, and for no key."""
    want = "JSON: {name: public JWK, Ed25519 or P-256}"
    if not path:
        raise ConfigError("settings", "collateral_keys_file", None, "the file of the keys that sign bundles")
    try:
        table = json.loads(Path(path).read_text(encoding="utf-8"))
        keys = {name: public_key(jwk) for name, jwk in table.items() if is_name(name)}
    except OSError as error:
        raise ConfigError(path, "file", error.strerror, want) from None
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(path, "keys", str(error), want) from None
    if not keys or len(keys) != len(table):
        raise ConfigError(path, "keys", sorted(table), f"names of a-z, 0-9 and inner hyphens; {want}")
    return keys
