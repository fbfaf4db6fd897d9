"""One signed bundle: what was exported is imported, what was tampered with is not, and never an older one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from forge.intel import ForgedIntel
from forge.sev_snp import ForgedAmd
from tests.support.keyfiles import make_key_folder
from tests.support.signing import BASE_URL
from tests.support.vendor_servers import vendor_server
from verifier.adapters.collateral.bundle import (
    TYPE,
    import_bundle,
    load_bundle_keys,
    make_bundle,
    read_bundle,
)
from verifier.adapters.collateral.cache import Cache, Entry
from verifier.adapters.collateral.documents import inspect
from verifier.adapters.collateral.items import item
from verifier.adapters.sql.store import SqlStore
from verifier.appraise.signatures import public_key
from verifier.cli.__main__ import cli
from verifier.formats.encoding import b64url, unb64url
from verifier.formats.errors import BridgeError, ConfigError, EvidenceRejected, MalformedEvidence
from verifier.formats.jwk import public_jwk
from verifier.formats.jws import PrivateKey

NOW = int(time.time())
DAY = 86_400
CHIP = ForgedAmd(now=NOW)
INTEL = ForgedIntel(now=NOW)
KEYS: dict[str, PrivateKey] = {
    "es": ec.generate_private_key(ec.SECP256R1()),
    "ed": ed25519.Ed25519PrivateKey.generate(),
}
TRUSTED = {name: public_key(public_jwk(key)) for name, key in KEYS.items()}


def entry(kind: str, key: str, body: bytes, chain: bytes = b"") -> Entry:
    of = item(kind, key)
    assert of is not None
    return Entry(of, body, chain, "amd", NOW, inspect(of, body, chain))


@cache
def entries() -> tuple[Entry, ...]:
    return (
        entry("sev-snp.crl", "Milan", CHIP.crl(number=3)),
        entry("sev-snp.ask", "Milan-vcek", CHIP.ask()),
        entry("sev-snp.vcek", f"Milan-{CHIP.hwid.hex()}-{CHIP.tcb.hex()}", CHIP.vek()),
        entry("intel.tcb-info", f"tdx-{INTEL.fmspc}", INTEL.signed_tcb_info("tdx"), INTEL.signing_chain()),
    )


@pytest.mark.parametrize("signer", KEYS)
def test_what_was_exported_is_imported_whole(tmp_path: Path, store: SqlStore, signer: str) -> None:
    data = make_bundle(entries(), issued=NOW, signer=signer, key=KEYS[signer])
    bundle, cache = read_bundle(data, TRUSTED, NOW), Cache(tmp_path / "cache")

    assert import_bundle(bundle, cache, store, NOW) == {"stored": 4, "same": 0, "older": 0, "expired": 0}
    assert sorted(one.item for one in cache.entries()) == sorted(one.item for one in entries())
    assert import_bundle(bundle, cache, store, NOW)["same"] == 4


def test_an_older_bundle_than_was_ever_imported_is_refused(tmp_path: Path, store: SqlStore) -> None:
    cache = Cache(tmp_path / "cache")
    for issued in (NOW - 10, NOW):
        import_bundle(
            read_bundle(make_bundle(entries(), issued=issued, signer="es", key=KEYS["es"]), TRUSTED, NOW),
            cache,
            store,
            NOW,
        )
    older = read_bundle(make_bundle(entries(), issued=NOW - 1, signer="ed", key=KEYS["ed"]), TRUSTED, NOW)

    # Another folder, another key: the mark is the store's.
    with pytest.raises(EvidenceRejected, match="imported before"):
        import_bundle(older, Cache(tmp_path / "other"), store, NOW)
    assert list(Cache(tmp_path / "other").entries()) == []


def test_a_newer_document_that_is_there_stays(tmp_path: Path, store: SqlStore) -> None:
    cache = Cache(tmp_path / "cache")
    cache.put(entry("sev-snp.crl", "Milan", CHIP.crl(number=4)), NOW)
    bundle = read_bundle(make_bundle(entries(), issued=NOW, signer="es", key=KEYS["es"]), TRUSTED, NOW)

    assert import_bundle(bundle, cache, store, NOW)["older"] == 1


def test_what_expired_on_the_way_is_left_out(tmp_path: Path, store: SqlStore) -> None:
    data = make_bundle(entries(), issued=NOW, signer="es", key=KEYS["es"])
    later = NOW + 40 * DAY

    kept = [str(one.item.kind) for one in read_bundle(data, TRUSTED, later).entries]
    assert kept == ["sev-snp.ask", "sev-snp.vcek"]
    assert store.head().seq == 0
    assert tmp_path.exists()


def resigned(change: Callable[[dict[str, Any]], None], **header: Any) -> bytes:
    """Change the payload and sign it again, as the holder of the key can."""
    head, payload, _ = make_bundle(entries(), issued=NOW, signer="ed", key=KEYS["ed"]).decode().split(".")
    form = json.loads(unb64url(payload))
    change(form)
    if header:
        head = b64url(json.dumps({"alg": "EdDSA", "kid": "ed", "typ": TYPE, **header}, sort_keys=True).encode())
    message = f"{head}.{b64url(json.dumps(form).encode())}".encode()
    key = KEYS["ed"]
    assert isinstance(key, ed25519.Ed25519PrivateKey)
    return message + b"." + b64url(key.sign(message)).encode()


def nothing(_form: dict[str, Any]) -> None:
    """Change nothing."""


WRONG: dict[str, tuple[Callable[[], bytes], type[BridgeError]]] = {
    "date in the future": (lambda: resigned(lambda form: form.update(issued=NOW + 60)), EvidenceRejected),
    "another version": (lambda: resigned(lambda form: form.update(version=2)), MalformedEvidence),
    "another member": (lambda: resigned(lambda form: form.update(more=1)), MalformedEvidence),
    "a truth for a date": (lambda: resigned(lambda form: form.update(issued=True)), MalformedEvidence),
    "another digest": (lambda: resigned(lambda form: form["items"][0].update(sha256="00" * 32)), MalformedEvidence),
    "another key": (lambda: resigned(lambda form: form["items"][0].update(key="Genoa")), MalformedEvidence),
    "a path for a key": (lambda: resigned(lambda form: form["items"][0].update(key="../../x")), MalformedEvidence),
    "an unknown kind": (lambda: resigned(lambda form: form["items"][0].update(kind="tpm2.ak")), MalformedEvidence),
    "no list": (lambda: resigned(lambda form: form.update(items={})), MalformedEvidence),
    "another type": (lambda: resigned(nothing, typ="vab-trust+jws"), EvidenceRejected),
    "no algorithm": (lambda: resigned(nothing, alg="none"), EvidenceRejected),
    "another algorithm": (lambda: resigned(nothing, alg="ES256"), EvidenceRejected),
    "an unknown signer": (lambda: resigned(nothing, kid="somebody"), EvidenceRejected),
    "another's name": (lambda: resigned(nothing, kid="es", alg="ES256"), EvidenceRejected),
    "a critical header": (lambda: resigned(nothing, crit=["x"]), EvidenceRejected),
    "no JWS": (lambda: b"{}", MalformedEvidence),
    "nothing": (lambda: b"", MalformedEvidence),
    "not ASCII": ("ü.ü.ü".encode, MalformedEvidence),
    "cut": (lambda: resigned(nothing)[:-10], EvidenceRejected),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_bundle_that_is_wrong_is_refused(name: str) -> None:
    made, kind = WRONG[name]
    data = made()
    with pytest.raises(kind) as caught:
        read_bundle(data, TRUSTED, NOW)

    assert caught.value.check_id == "service.collateral.bundle"


def test_every_flipped_character_of_a_bundle_is_noticed() -> None:
    data = make_bundle(entries()[1:2], issued=NOW, signer="es", key=KEYS["es"]).strip()
    for place in range(0, len(data), 7):
        changed = data[:place] + (b"A" if data[place : place + 1] != b"A" else b"B") + data[place + 1 :]
        with pytest.raises(BridgeError):
            read_bundle(changed, TRUSTED, NOW)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"a": {}}', '{"A": {"kty": "OKP"}}', '{"a": {"kty": "oct", "k": "AA"}}']
)
def test_a_file_of_keys_that_is_none_stops_the_import(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys.json").write_text(text)

    with pytest.raises(ConfigError):
        load_bundle_keys(str(tmp_path / "keys.json"))


# -- the command ------------------------------------------------------------------------------------------------------------


class Place:
    """A verifier's settings in a folder, and its commands."""

    def __init__(self, path: Path, **settings: Any) -> None:
        path.mkdir(exist_ok=True)
        self.path = path
        self.cache = Cache(path / "collateral")
        keys = make_key_folder(path / "keys", simulated=True).keys
        values = {
            "base_url": BASE_URL,
            "behind_tls_proxy": True,
            "simulated": True,
            "database_url": f"sqlite:///{path / 'verifier.db'}",
            "key_file": str(keys.file),
            "key_passphrase_file": str(keys.passphrase_file),
            "collateral_dir": str(path / "collateral"),
            **settings,
        }
        self.config = path / "verifier.toml"
        self.config.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()))

    def run(self, command: str, *arguments: str) -> tuple[int, dict[str, Any]]:
        """Run ``verifier collateral COMMAND``."""
        words = ["collateral", command, "--config", str(self.config), "--format", "json", *arguments]
        done = CliRunner().invoke(cli, words)
        return done.exit_code, json.loads(done.stdout)


def key_file(path: Path) -> Path:
    key = KEYS["es"]
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


def test_from_a_connected_place_to_one_without_a_network(tmp_path: Path) -> None:
    """Fetch, export, import, show: the second place has no endpoint at all."""
    with vendor_server(tmp_path / "vendor", CHIP) as vendor:
        anchors = tmp_path / "anchors" / "sev-snp"
        anchors.mkdir(parents=True)
        (anchors / "milan.der").write_bytes(CHIP.ark())
        here = Place(
            tmp_path / "here", kds_url=vendor.url, collateral_ca_file=str(vendor.ca_file), kds_interval_s=0,
            private_anchor_dir=str(tmp_path / "anchors"),
        )  # fmt: skip
        vcek = f"sev-snp.vcek=Milan-{CHIP.hwid.hex()}-{CHIP.tcb.hex()}"
        assert here.run("fetch", "sev-snp.crl=Milan", "sev-snp.ask=Milan-vcek", vcek)[0] == 0
        code, answer = here.run("fetch", "--wait", "1", "sev-snp.crl=Turin")
        assert (code, answer["missing"]) == (3, ["sev-snp.crl Turin"])
    bundle = tmp_path / "bundle.jws"
    code, made = here.run(
        "export", "--key", str(key_file(tmp_path / "key.pem")), "--signer", "es", "--out", str(bundle)
    )
    assert (code, made["items"]) == (0, 3)
    assert b"PRIVATE" not in bundle.read_bytes()

    (tmp_path / "keys.json").write_text(json.dumps(made["keys"]))
    there = Place(tmp_path / "there", collateral_keys_file=str(tmp_path / "keys.json"))
    code, answer = there.run("import", str(bundle))
    assert (code, answer["stored"]) == (0, 3)
    code, shown = there.run("show")
    assert code == 0
    assert {row["kind"] for row in shown["items"]} == {"sev-snp.vcek", "sev-snp.ask", "sev-snp.crl"}
    first = shown["items"][0]
    assert (first["kind"], first["key"], first["required"], first["source"]) == ("sev-snp.crl", "Milan", True, "amd")
    assert {"issued", "expires", "fetched", "age_s", "expires_in_s", "next_refresh", "state"} <= first.keys()

    untrusting = Place(tmp_path / "untrusting")
    assert untrusting.run("import", str(bundle))[0] == 64


def test_show_leaves_with_1_when_what_all_need_ends_within_the_time(tmp_path: Path) -> None:
    place = Place(tmp_path / "here")
    place.cache.put(entry("sev-snp.crl", "Milan", CHIP.crl()), NOW)
    assert place.run("show", "--within", "7d")[0] == 0

    code, shown = place.run("show", "--within", "31d")
    assert (code, shown["outcome"], shown["items"][0]["state"]) == (1, "expiring", "expiring")

    old = CHIP.crl(number=9, validity=(NOW - 100, NOW + 100))
    place.cache.put(entry("sev-snp.crl", "Milan", old), NOW)
    place.cache.trim(NOW + 200)
    assert place.run("show", "--within", "5m")[0] == 1


@pytest.mark.parametrize("within", ["7", "d", "7w", "-7d", "999999d"])
def test_a_span_that_is_none_is_a_usage_error(tmp_path: Path, within: str) -> None:
    place = Place(tmp_path / "here")
    done = CliRunner().invoke(cli, ["collateral", "show", "--config", str(place.config), "--within", within])

    assert done.exit_code == 64


def test_nothing_is_exported_from_nothing(tmp_path: Path) -> None:
    place = Place(tmp_path / "here")
    code, _ = place.run(
        "export", "--key", str(key_file(tmp_path / "k.pem")), "--signer", "es", "--out", str(tmp_path / "b")
    )

    assert code == 64
    assert not (tmp_path / "b").exists()
