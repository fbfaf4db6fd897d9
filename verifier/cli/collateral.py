"""``verifier collateral``: what is kept and when it ends; fetch, and carry it where there is no network."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import click

from verifier.adapters.collateral.bundle import import_bundle, load_bundle_keys, make_bundle, read_bundle
from verifier.adapters.collateral.cache import Cache, Entry, refresh_at
from verifier.adapters.collateral.fetcher import Observer
from verifier.adapters.collateral.fetcher_socket import FetcherClient
from verifier.adapters.collateral.folder import Folder
from verifier.adapters.collateral.items import Item, item
from verifier.adapters.files import replace_durably
from verifier.adapters.settings_source import load_settings
from verifier.adapters.vendors.registry import KINDS
from verifier.cli.opened import CONFIG_OPTION, now_s, opened_store, read_private_key
from verifier.compose import compose_fetcher, compose_store, has_endpoints, open_cache, open_keys
from verifier.core.console import Answer, answers
from verifier.core.exits import Exit
from verifier.core.settings import Settings
from verifier.formats.encoding import utc_time
from verifier.formats.errors import ConfigError
from verifier.formats.jwk import public_jwk

_PATH = click.Path(dir_okay=False, path_type=Path)
_SPAN = re.compile(r"(\d{1,5})([dhm])", re.ASCII)
_UNITS: Final = {"d": 86_400, "h": 3_600, "m": 60}
_POLL_S: Final = 0.2


@click.group("collateral")
def command() -> None:
    """Show, fetch, export and import what vendors publish.

    These are certificates, CRLs, TCB information and QE identities. A signed bundle carries them to a verifier without a
    network.
    """


def _cache(settings: Settings) -> Cache:
    cache = open_cache(settings)
    if cache is None:
        raise ConfigError("settings", "collateral_dir", "", "a folder: without one no document is kept")
    return cache


def _entries(settings: Settings, now: int) -> list[Entry]:
    """Return what is at hand: the cache's documents and the folder's, each once, the newer of two."""
    found: dict[Item, Entry] = {}
    cache = open_cache(settings)
    for entry in [*([] if cache is None else cache.entries()), *Folder(settings.endorsement_dir).entries(now)]:
        before = found.get(entry.item)
        if before is None or before.facts.rank < entry.facts.rank:
            found[entry.item] = entry
    return sorted(found.values(), key=lambda one: (one.facts.expires, one.item))


class _Span(click.ParamType[int]):
    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = _SPAN.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            self.fail(f"got {value!r}, want a number of days, hours or minutes: 7d, 12h, 30m", param, ctx)
        return int(found[1]) * _UNITS[found[2]]


@command.command("show")
@CONFIG_OPTION
@click.option(
    "--within",
    type=_Span(),
    default="0m",
    help="Count a document as expired when it expires within this time: 7d, 12h.",
)
@answers
def show(config: str | None, within: int) -> Answer:
    """List the documents at hand, the first to expire first.

    A line has kind, key, date of issue, age, expiry, source and next refresh.

    Exit code 1: a document that several chips need (CRL, intermediate, TCB information, QE identity) is expired, or expires
    within --within.
    """
    now = now_s()
    rows = [_row(entry, now, within) for entry in _entries(load_settings(config), now)]
    ending = [row for row in rows if row["state"] != "ok" and row["required"]]
    data = {"outcome": "expiring" if ending else "ok", "now": utc_time(now), "items": rows}
    lines = [_line(row) for row in rows] or ["no document is at hand"]
    return Answer(data, "\n".join(lines), Exit.NO if ending else Exit.DONE)


def _row(entry: Entry, now: int, within: int) -> dict[str, Any]:
    facts = entry.facts
    left = facts.expires - now
    return {
        "kind": entry.item.kind,
        "key": entry.item.key,
        "source": entry.source,
        "issued": utc_time(facts.issued),
        "expires": utc_time(facts.expires),
        "fetched": utc_time(entry.fetched),
        "age_s": now - facts.issued,
        "expires_in_s": left,
        "next_refresh": utc_time(refresh_at(entry)),
        "required": entry.item.row.required,
        "state": "expired" if left < 0 else "expiring" if left < within else "ok",
    }


def _line(row: dict[str, Any]) -> str:
    days = row["age_s"] // 86_400
    return (
        f"{row['state']:<8} {row['kind']} {row['key']}: issued {row['issued']} ({days} days ago), expires {row['expires']}, "
        f"from {row['source']}, refresh {row['next_refresh']}"
    )


@command.command("export")
@CONFIG_OPTION
@click.option("--key", "key_file", type=_PATH, required=True, help="Private key, PEM (PKCS #8): P-256 or Ed25519.")
@click.option("--signer", required=True, help="Name of the key in the collateral_keys_file of the importing side.")
@click.option("--out", type=_PATH, required=True, help="File of the bundle. An older file is replaced.")
@answers
def export(config: str | None, key_file: Path, signer: str, out: Path) -> Answer:
    """Write all documents into one signed bundle.

    Expired documents are left out. The bundle has a date. It is for verifiers without a network, which name the printed
    public key in collateral_keys_file.
    """
    now, key = now_s(), read_private_key(key_file)
    entries = [entry for entry in _entries(load_settings(config), now) if now <= entry.facts.expires]
    if not entries:
        raise ConfigError("settings", "collateral_dir", "expired documents only", "a document that is not expired")
    data = make_bundle(entries, issued=now, signer=signer, key=key)
    try:
        replace_durably(out, data)
    except OSError as error:
        raise ConfigError(str(out), "--out", error.strerror, "a place that can be written") from None
    ends = utc_time(min(entry.facts.expires for entry in entries))
    keys = {signer: public_jwk(key)}
    text = f"{out}: {len(entries)} documents, {len(data)} bytes, the first expires {ends}"
    form = {"outcome": "exported", "items": len(entries), "bytes": len(data), "first_expires": ends, "keys": keys}
    return Answer(form, text, hints=(f"public key for collateral_keys_file: {keys}".replace("'", '"'),))


@command.command("import")
@CONFIG_OPTION
@click.argument("file", type=_PATH)
@answers
def import_(config: str | None, file: Path) -> Answer:
    """Import a signed bundle.

    Signature, date and digests are checked. A document that is newer in the cache stays there.

    Refused: a signer that collateral_keys_file does not name, and a bundle older than the one imported last.
    """
    settings, now = load_settings(config), now_s()
    keys = load_bundle_keys(settings.collateral_keys_file)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ConfigError(str(file), "file", error.strerror, "a readable bundle") from None
    bundle = read_bundle(data, keys, now)
    with opened_store(config) as store:
        counts = import_bundle(bundle, _cache(settings), store, now)
    words = ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "nothing in it"
    form = {"outcome": "imported", "signer": bundle.signer, "issued": utc_time(bundle.issued), **counts}
    return Answer(form, f"{file}: by {bundle.signer}, of {utc_time(bundle.issued)}: {words}")


@command.command("fetch")
@CONFIG_OPTION
@click.option(
    "--wait",
    "wait_s",
    default=120,
    show_default=True,
    type=click.IntRange(1, 86_400),
    help="Wait at most this many seconds.",
)
@click.argument("wanted", nargs=-1, required=True, metavar="KIND=KEY...")
@answers
def fetch(config: str | None, wait_s: int, wanted: tuple[str, ...]) -> Answer:
    """Fetch documents into the cache ahead of time.

    Example: sev-snp.crl=Milan intel.qe-identity=tdx. docs/collateral.md lists the keys. The fetcher of a running verifier
    does the work, and otherwise this command. Both keep to the pace of the settings.

    Exit code 3: a document did not arrive.
    """
    settings = load_settings(config)
    items = [_wanted(text) for text in wanted]
    if not has_endpoints(settings):
        raise ConfigError("settings", "kds_url", "", "an endpoint to fetch from")
    missing, why = _fetch(settings, items, wait_s)
    form = {"outcome": "fetched" if not missing else "missing", "missing": [str(one) for one in missing]}
    text = "\n".join(f"{one}: {why.get(one, 'not there yet')}" for one in missing) or f"{len(items)} documents at hand"
    return Answer(form, text, Exit.UNDECIDED if missing else Exit.DONE)


def _wanted(text: str) -> Item:
    kind, _, key = text.partition("=")
    found = item(kind, key)
    if found is None:
        raise ConfigError(
            "command line", "KIND=KEY", text, f"a kind ({', '.join(sorted(KINDS))}) and a key of its form"
        )
    return found


def _fetch(settings: Settings, items: Iterable[Item], wait_s: int) -> tuple[list[Item], dict[Item, str]]:
    cache, why = _cache(settings), dict[Item, str]()
    store = compose_store(settings, open_keys(settings))
    fetcher = compose_fetcher(settings, store, Observer())
    try:
        if fetcher is not None:
            fetcher.try_start()  # false: a running verifier fetches for this folder, and its socket is asked
        end, missing = time.monotonic() + wait_s, list(items)
        while missing and time.monotonic() < end:
            for one, reply in zip(missing, FetcherClient(cache.folder).ask("operator", "", missing), strict=True):
                why[one] = reply.detail
            time.sleep(_POLL_S)
            missing = [one for one in missing if cache.get(one, now_s()) is None]
        return missing, why
    finally:
        if fetcher is not None:
            fetcher.close()
        store.close()
