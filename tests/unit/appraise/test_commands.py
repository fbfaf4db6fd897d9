"""``verifier policy | identity | workload``: what they say, and with which exit code they leave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.support import trust
from tests.support.commands import command_place
from verifier.cli import identity, policy, workload
from verifier.formats.encoding import b64url
from verifier.tee.registry import SCHEMES

EXAMPLES = Path(__file__).resolve().parents[3] / "policies" / "trust"


def _run(command: Any, *arguments: str | Path) -> Result:
    result = CliRunner().invoke(command, [str(one) for one in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def test_check_counts_and_warns() -> None:
    result = _run(policy.command, "check", EXAMPLES, "--at", "2026-07-01T00:00:00Z", "--strict", "--format", "json")
    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["outcome"], answer["policies"], answer["warnings"]) == (0, "ok", 3, [])


def _spoil(tmp_path: Path, old: str, new: str) -> Path:
    text = (EXAMPLES / "sev-snp-dstack.yaml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "spoilt.yaml").write_text(text.replace(old, new), encoding="utf-8")
    return tmp_path


def test_warning_leaves_with_1_only_where_strict(tmp_path: Path) -> None:
    folder = _spoil(tmp_path, "{name: milan-2026, version: 1}", "{name: milan-2026, version: newest}")
    result = _run(policy.command, "check", folder)
    assert (result.exit_code, result.stdout.split(":")[0]) == (0, "lint.newest")
    assert _run(policy.command, "check", folder, "--strict").exit_code == 1


def test_wrong_document_leaves_with_64_and_names_place_key_got_want(tmp_path: Path) -> None:
    folder = _spoil(tmp_path, "unchecked:\n", "unchecked:\n  - config\n")
    result = _run(policy.command, "check", folder, "--format", "json")
    answer = json.loads(result.stdout)
    assert result.exit_code == 64
    assert (answer["outcome"], answer["where"], answer["key"]) == ("config-error", "spoilt.yaml#4", "unchecked.config")
    text = _run(policy.command, "check", folder)
    assert "spoilt.yaml#4: unchecked.config: got 'config', want another class" in text.stderr


def test_show_prints_what_a_policy_compiles_to() -> None:
    result = _run(policy.command, "show", EXAMPLES, "dstack", "--format", "json")
    (shown,) = json.loads(result.stdout)["policies"]
    assert (shown["tenant"], shown["name"], len(shown["digest"])) == ("example", "dstack", 64)
    assert "sev-snp.measurement" in _run(policy.command, "show", EXAMPLES, "dstack").stdout
    assert _run(policy.command, "show", EXAMPLES, "nothing").exit_code == 64


def test_schema_is_printed_and_written(tmp_path: Path) -> None:
    printed = json.loads(_run(policy.command, "schema").stdout)
    assert sorted(printed) == ["identity", "policy", "workload"]
    assert json.loads(_run(policy.command, "schema", "--document", "policy").stdout) == printed["policy"]
    assert _run(policy.command, "schema", "--write", tmp_path / "out").exit_code == 0
    assert json.loads((tmp_path / "out" / "workload.json").read_text(encoding="utf-8")) == printed["workload"]


def test_signed_documents_are_what_a_tenant_that_demands_signatures_takes(tmp_path: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    pem = tmp_path / "key.pem"
    pem.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = b64url(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"example": {"owner": {"kty": "OKP", "crv": "Ed25519", "x": public}}}), encoding="utf-8")
    assert _run(policy.command, "check", EXAMPLES, "--keys", keys).exit_code == 64
    folder = tmp_path / "signed"
    folder.mkdir()
    for path in EXAMPLES.glob("*.yaml"):
        result = _run(policy.command, "sign", path, "--key", pem, "--signer", "owner")
        assert result.exit_code == 0
        (folder / f"{path.stem}.json").write_text(result.stdout, encoding="utf-8")
    assert _run(policy.command, "check", folder, "--keys", keys).exit_code == 0


@pytest.mark.parametrize("content", ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_key_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "key.pem").write_text(content, encoding="utf-8")
    path = EXAMPLES / "tpm2-cos.yaml"
    assert _run(policy.command, "sign", path, "--key", tmp_path / "key.pem", "--signer", "owner").exit_code == 64


def test_lists() -> None:
    identities = _run(identity.command, "list", EXAMPLES)
    assert "example/dstack@1  sev-snp firmware  from 2026-01-01T00:00:00Z until ever" in identities.stdout
    rows = json.loads(_run(identity.command, "list", EXAMPLES, "--format", "json").stdout)["identities"]
    assert len(rows) == 10
    assert all(row["origin"] for row in rows)
    workloads = _run(workload.command, "list", EXAMPLES)
    assert workloads.stdout.splitlines()[0].startswith("example/cos-85@1  2f0f7d0e-5a53-4c59-8d0a-5f1d2a6b7c03")
    assert _run(workload.command, "list", EXAMPLES, "--tenant", "other").stdout == "no workloads\n"


def test_new_workload_is_a_document_with_a_fresh_uuid(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(trust.ca_pem(), encoding="ascii")
    arguments = [
        *("new", "payments", "--tenant", "example", "--policy", "dstack", "--role", "workload", "--mount", "attested")
    ]
    arguments += ["--audience", "a", "--vault", "https://vault.example", "--vault-ca", str(tmp_path / "ca.pem")]
    texts = [_run(workload.command, *arguments).stdout for _ in range(2)]
    assert texts[0] != texts[1]
    folder = tmp_path / "trust"
    folder.mkdir()
    (folder / "new.yaml").write_text(texts[0], encoding="utf-8")
    (folder / "old.yaml").write_text((EXAMPLES / "sev-snp-dstack.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    result = _run(policy.command, "check", folder, "--format", "json")
    assert (result.exit_code, json.loads(result.stdout)["workloads"]) == (0, 2)
    assert json.loads(result.stdout)["warnings"][0]["id"] == "lint.indistinct"
    assert _run(workload.command, "new", "+", *arguments[2:]).exit_code == 64


def test_registry_has_the_schemes_of_the_examples() -> None:
    assert {"sev-snp", "tpm2"} <= SCHEMES.keys()


def test_a_manifest_is_written_compared_and_accepted(tmp_path: Path) -> None:
    folder = tmp_path / "trust"
    folder.mkdir()
    (folder / "all.yaml").write_text((EXAMPLES / "sev-snp-dstack.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    with command_place(tmp_path, policy.command) as place:
        for version in (1, 2):
            answer = json.loads(_run(policy.command, "manifest", folder, "--write", "--format", "json").stdout)
            assert answer["manifest"]["version"] == version
            assert json.loads((folder / "trust-manifest.json").read_text()) == answer["manifest"]
        assert _run(policy.command, "check", folder).exit_code == 0
        assert place.done("accept", str(folder))["number"] == 1
        (one,) = place.done("sets")["sets"]
        assert (one["manifest"], one["count"]["removed"]) == (2, 0)
        assert place.done("accept", str(folder))["number"] == 1  # it is in force
    (folder / "more.yaml").write_text(json.dumps(trust.workload(policy="dstack", tenant="example")))
    result = _run(policy.command, "check", folder, "--format", "json")
    assert result.exit_code == 64
