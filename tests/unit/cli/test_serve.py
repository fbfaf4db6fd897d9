"""``verifier serve --check`` as it is typed: everything that stops a start, by name, before anything is served."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from forge.sev_snp import ForgedAmd
from forge.tpm2 import make_ca
from tests.support.keyfiles import KeyFolder, make_key_folder
from tests.support.service import PLACE
from tests.support.signing import BASE_URL
from tools.demo.forged import forged_documents
from tools.demo.trust import write_documents
from verifier.cli.serve import command


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyFolder:
    return make_key_folder(tmp_path_factory.mktemp("keys") / "k", tenants=("default",), now=int(time.time()) - 3600)


@dataclass(frozen=True, slots=True)
class Place:
    """A folder with everything that a production verifier needs."""

    path: Path
    keys: KeyFolder

    def put(self, name: str, data: bytes) -> None:
        """Put a file below the folder."""
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_bytes(data)

    def check(self, **changes: Any) -> Result:
        """Write settings and type the command."""
        values = {
            "base_url": BASE_URL,
            "behind_tls_proxy": True,
            "database_url": f"sqlite:///{self.path}/verifier.db",
            "key_file": str(self.keys.keys.file),
            "key_passphrase_file": str(self.keys.keys.passphrase_file),
            "trust_dir": str(self.path / "trust"),
            "private_anchor_dir": str(self.path / "anchors"),
            **changes,
        }
        config = self.path / "verifier.toml"
        config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items()))
        return CliRunner().invoke(command, ["--config", str(config), "--check", "--format", "json"])


@pytest.fixture
def place(tmp_path: Path, keys: KeyFolder) -> Place:
    made = Place(tmp_path, keys.copy(tmp_path / "keys"))  # the mark beside it is of this test's store
    write_documents(tmp_path / "trust" / "forged.yaml", forged_documents(PLACE))
    (tmp_path / "anchors").mkdir()
    return made


def refused(result: Result) -> tuple[str, str]:
    """Return where and which key; a ``ConfigError`` leaves with 64."""
    assert result.exit_code == 64, result.output
    answer = json.loads(result.stdout)
    assert answer["outcome"] == "config-error"
    return answer["where"], answer["key"]


def test_what_is_fit_to_serve_is_said_to_be(place: Place) -> None:
    result = place.check()

    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"outcome": "ok", "base_url": BASE_URL}


FORGED: dict[str, Callable[[], bytes]] = {
    "sev-snp": lambda: ForgedAmd(now=int(time.time())).ark(),
    "tpm2": lambda: make_ca().root_der,
}


@pytest.mark.parametrize("scheme", FORGED)
def test_a_forged_vendors_root_stops_a_production_process(place: Place, scheme: str) -> None:
    place.put(f"anchors/{scheme}/root.der", FORGED[scheme]())

    assert refused(place.check()) == (str(place.path / "anchors" / scheme / "root.der"), "certificate")


def test_keys_of_the_other_kind_stop_the_start(place: Place) -> None:
    """A simulated process has keys of its own: tokens of forged TEEs never come from a production key."""
    assert refused(place.check(simulated=True))


def test_a_store_of_the_other_kind_stops_the_start(place: Place, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert place.check().exit_code == 0
    folder = tmp_path_factory.mktemp("keys") / "s"
    simulated = make_key_folder(folder, tenants=("default",), simulated=True, now=int(time.time()) - 3600)

    assert refused(Place(place.path, simulated).check(simulated=True))


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"tenants": ["default", "acme"]}, "tenants"),
        ({"base_url": "https://another.example"}, "base_url"),
        ({"private_anchor_dir": "/nowhere"}, "private_anchor_dir"),
        ({"trust_dir": "/nowhere"}, "folder"),
        ({"trust_keys_file": "/nowhere"}, "file"),
        ({"behind_tls_proxy": False}, "tls_certificate"),
        ({"token_life_s": 301}, "token_life_s"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_settings_that_do_not_hold_stop_the_start_by_name(place: Place, changes: dict[str, Any], key: str) -> None:
    assert refused(place.check(**changes))[1] == key


def test_a_broken_document_stops_the_start(place: Place) -> None:
    place.put("trust/broken.yaml", b"document: identity\ncolour: red\n")

    assert refused(place.check())[0].startswith("broken.yaml")
