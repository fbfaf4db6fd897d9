"""With one imported bundle and no endpoint a verifier works, and nothing is asked of anybody."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.first_contacts import attest, without_crl
from tests.support.live import live_verifier
from tools.demo.forged import forged_chip
from verifier.adapters.collateral.bundle import make_bundle
from verifier.adapters.collateral.cache import Entry
from verifier.adapters.collateral.documents import inspect
from verifier.adapters.collateral.items import item
from verifier.formats.errors import CannotDecide
from verifier.formats.jwk import public_jwk


def kept(kind: str, key: str, body: bytes, now: int) -> Entry:
    of = item(kind, key)
    assert of is not None
    return Entry(of, body, b"", "amd", now, inspect(of, body))


def command(config: Path, *words: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "verifier.cli", "collateral", *words, "--config", str(config), "--format", "json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout)


def test_a_verifier_without_a_network_lives_from_one_bundle(tmp_path: Path) -> None:
    chip, now, key = forged_chip(b"far away"), int(time.time()), ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "keys.json").write_text(json.dumps({"ops": public_jwk(key)}))
    entries = [
        kept("sev-snp.vcek", f"Milan-{chip.hwid.hex()}-{chip.tcb.hex()}", chip.vek(), now),
        kept("sev-snp.ask", "Milan-vcek", chip.ask(), now),
        kept("sev-snp.crl", "Milan", chip.crl(), now),
    ]
    bundle = tmp_path / "bundle.jws"
    bundle.write_bytes(make_bundle(entries, issued=now, signer="ops", key=key))
    settings = {"kds_url": "", "pcs_url": "", "collateral_keys_file": str(tmp_path / "keys.json")}
    with live_verifier(tmp_path, settings) as live:
        without_crl(live)
        with pytest.raises(CannotDecide) as caught:
            attest(live, chip, wait_s=0)
        assert caught.value.check_id == "sev-snp.endorsement.vcek"

        assert command(live.folder.settings_file, "import", str(bundle))[0] == 0
        attest(live, chip, wait_s=0)
        code, shown = command(live.folder.settings_file, "show", "--within", "1d")
        assert (code, len(shown["items"])) == (0, 3)
        assert [record.outcome for record in live.records()] == ["accepted"]
