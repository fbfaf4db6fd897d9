"""The attester carries little, so that it starts fast: no pydantic, no Flask, no store; each command pays for what it uses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from attester.cli.__main__ import _COMMANDS
from attester.keys import REQUEST_TYPE, RequestKeys, sign_request
from attester.providers import PROVIDERS
from verifier.core import wire
from verifier.core.envelope import Envelope
from verifier.formats.encoding import b64url

ROOT = Path(__file__).resolve().parents[3]
HEAVY = {"pydantic", "flask", "sqlalchemy", "requests", "jwcrypto", "jwt", "structlog", "yaml", "gunicorn"}
# Everything but the parts that only a machine with that hardware (or a trial without any) imports.
MODULES = sorted(
    {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in (ROOT / "attester").rglob("*.py")}
    - {"attester.providers.tpm2", "attester.providers.tpm_device", "attester.providers.simulated"}
)


def _python(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def test_no_command_imports_what_belongs_to_the_verifier() -> None:
    modules = [module for module in MODULES if not module.startswith("forge") and "__main__" not in module]
    script = f"import importlib,sys,json\nfor m in {modules!r}: importlib.import_module(m)\nprint(json.dumps(sorted(sys.modules)))"
    loaded = {name.partition(".")[0] for name in json.loads(_python(script))}
    assert not loaded & HEAVY
    assert "tpm2_pytss" not in loaded


def test_help_imports_no_command() -> None:
    script = "import sys,attester.cli.__main__ as m\nprint([n for n in sys.modules if n.startswith('attester')])"
    assert _python(script).strip() == "['attester', 'attester.cli', 'attester.cli.__main__']"


@pytest.mark.parametrize("name", sorted(_COMMANDS))
def test_every_command_has_help_and_stands_in_the_manual(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "attester.cli.__main__", name, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Usage: attester" in done.stdout
    assert f"attester {name}" in (ROOT / "docs" / "attester.md").read_text()


def test_every_check_id_and_provider_stands_in_the_manual() -> None:
    manual = (ROOT / "docs" / "attester.md").read_text()
    found = set(PROVIDERS)
    for path in (ROOT / "attester").rglob("*.py"):
        found |= set(
            re.findall(
                r'"(attester\.(?:config|configfs|tpm2|verifier|vault|secret|provider)\.[a-z-]+)"', path.read_text()
            )
        )
    found |= {
        f"attester.{name}.{what}" for name in ("verifier", "vault") for what in ("unreachable", "untrusted", "answer")
    }
    assert len(found) > 15
    assert not {name for name in found if f"`{name}`" not in manual}


def test_the_wire_is_the_verifiers() -> None:
    """A constant that is written twice, because the verifier's own costs an import of pydantic."""
    assert REQUEST_TYPE == wire.REQUEST_TYPE


def test_a_request_is_read_back_by_the_verifier() -> None:
    keys = RequestKeys.fresh()
    envelope = Envelope("sev-snp", {"report": b"\x00\x01"}, {"vcek": b"\xff"})
    claims = {
        "tenant": "default",
        "workload": "web",
        "audience": "vault",
        "nonce": b64url(bytes(64)),
        "keys": keys.public(),
        "user_data": "",
        "evidence": envelope.as_json(),
    }
    request = wire.parse(sign_request(claims, keys.sig))
    assert request.evidence.unverified_parts == {"report": b"\x00\x01"}
    assert request.evidence.unverified_endorsements == {"vcek": b"\xff"}
    assert (request.sig_thumbprint, request.enc_thumbprint) == (keys.sig_thumbprint, keys.enc_thumbprint)


def test_keys_are_not_shown() -> None:
    assert "PrivateKey" not in repr(RequestKeys.fresh())
