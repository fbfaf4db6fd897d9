"""``verifier keys`` as it is typed: exit codes, JSON for programs, and nothing private in what it prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.support.keyfiles import KeyFolder
from verifier.adapters.keys.signer_file import KeyFile
from verifier.cli.keys import command
from verifier.formats.encoding import b64url, jwk_thumbprint

pytestmark = pytest.mark.slow


def with_keys(key_folder: KeyFolder) -> list[str]:
    return ["--key-file", str(key_folder.keys.file), "--passphrase-file", str(key_folder.keys.passphrase_file)]


def with_root(key_folder: KeyFolder) -> list[str]:
    return ["--root-file", str(key_folder.root.file), "--root-passphrase-file", str(key_folder.root.passphrase_file)]


def typed(*arguments: str) -> Result:
    return CliRunner().invoke(command, list(arguments))


def done(*arguments: str) -> dict[str, Any]:
    result = typed(*arguments, "--format", "json")
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def test_init_prints_what_images_pin(tmp_path: Path) -> None:
    key_folder = KeyFolder(tmp_path)
    for name, paths in (("k", key_folder.keys), ("r", key_folder.root)):
        paths.passphrase_file.write_text(name * 32)
    arguments = [
        "init",
        "--base-url",
        "https://v.example",
        "--tenants",
        "default,acme",
        *with_keys(key_folder),
        *with_root(key_folder),
    ]
    answer = done(*arguments)
    assert answer["root"].keys() == {"kty", "crv", "x", "y"}
    assert answer["root_thumbprint"] == b64url(jwk_thumbprint(answer["root"]))
    assert (answer["lowest_seq"], answer["tenants"], answer["simulated"]) == (1, ["default", "acme"], False)
    assert KeyFile.for_operator(key_folder.keys.file, key_folder.keys.passphrase_file).root_jwk() == answer["root"]
    assert typed(*arguments).exit_code == 64


@pytest.mark.parametrize(
    "wrong",
    [
        ["--base-url", "http://v.example"],
        ["--base-url", "https://v.example/"],
        ["--tenants", "+"],
        ["--tenants", ""],
        ["--algorithm", "HS256"],
    ],
)
def test_init_refuses_senseless_options(tmp_path: Path, wrong: list[str]) -> None:
    key_folder = KeyFolder(tmp_path)
    for name, paths in (("k", key_folder.keys), ("r", key_folder.root)):
        paths.passphrase_file.write_text(name * 32)
    result = typed("init", "--base-url", "https://v.example", *with_keys(key_folder), *with_root(key_folder), *wrong)
    assert result.exit_code == 64
    assert not key_folder.keys.file.exists()
    assert not key_folder.root.file.exists()


def test_list_shows_states_and_nothing_private(key_folder: KeyFolder) -> None:
    keys = KeyFile.for_operator(key_folder.keys.file, key_folder.keys.passphrase_file)
    shown = typed("list", *with_keys(key_folder))
    assert shown.exit_code == 0
    assert b64url(keys.master()) not in shown.output
    listed = done("list", *with_keys(key_folder))["keys"]
    assert [(key["tenant"], key["use"]) for key in listed] == [
        ("acme", "token"),
        ("acme", "answer"),
        ("default", "token"),
        ("default", "answer"),
    ]
    assert all(
        key.keys() == {"tenant", "use", "kid", "alg", "state", "published_at", "signs_from", "until"} for key in listed
    )


def test_rotate_publishes_a_successor_once(key_folder: KeyFolder) -> None:
    published = done("rotate", *with_keys(key_folder), "--tenant", "acme")["published"]
    assert [(key["tenant"], key["state"]) for key in published] == [("acme", "next")]
    assert done("rotate", *with_keys(key_folder), "--tenant", "acme")["published"] == []
    assert {key["tenant"] for key in done("rotate", *with_keys(key_folder), "--algorithm", "EdDSA")["published"]} == {
        "default"
    }


def test_rotate_of_a_tenant_without_keys_is_refused(key_folder: KeyFolder) -> None:
    result = typed("rotate", *with_keys(key_folder), "--tenant", "other")
    assert result.exit_code == 64
    assert "acme, default" in result.output


def test_sign_answer_keys_raises_what_show_root_shows(key_folder: KeyFolder) -> None:
    assert done("show-root", *with_keys(key_folder))["lowest_seq"] == 1
    assert done("sign-answer-keys", *with_keys(key_folder), *with_root(key_folder), "--life-days", "30")["seq"] == 2
    assert done("show-root", *with_keys(key_folder))["lowest_seq"] == 2


def test_add_tenant_makes_an_issuer(key_folder: KeyFolder) -> None:
    answer = done("add-tenant", "new", *with_keys(key_folder), *with_root(key_folder))
    assert answer["issuer"] == "https://verifier.example/t/new"


def test_a_wrong_passphrase_is_a_usage_error_and_is_not_repeated(key_folder: KeyFolder) -> None:
    key_folder.keys.passphrase_file.write_text("wrong-wrong-wrong-wrong")
    result = typed("list", *with_keys(key_folder))
    assert result.exit_code == 64
    assert "wrong-wrong" not in result.output


def settings_of(key_folder: KeyFolder, **changes: object) -> Path:
    """Write settings that name the folder's key file."""
    values = {
        "base_url": "https://verifier.example",
        "behind_tls_proxy": True,
        "key_file": str(key_folder.keys.file),
        "key_passphrase_file": str(key_folder.keys.passphrase_file),
        **changes,
    }
    path = key_folder.path / "verifier.toml"
    path.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items()))
    return path


def test_settings_name_the_key_file_and_the_lead(key_folder: KeyFolder) -> None:
    config = str(settings_of(key_folder, key_publish_lead_s=1234))
    assert done("list", "--config", config)["keys"] == done("list", *with_keys(key_folder))["keys"]

    (published,) = done("rotate", "--config", config, "--tenant", "acme")["published"]
    assert published["signs_from"] - published["published_at"] == 1234
    (published,) = done("rotate", "--config", config, "--tenant", "default", "--lead", "99")["published"]
    assert published["signs_from"] - published["published_at"] == 99
    assert done("show-root", "--config", config)["lowest_seq"] == 1
    assert done("sign-answer-keys", "--config", config, *with_root(key_folder))["seq"] == 2
    assert done("add-tenant", "new", "--config", config, *with_root(key_folder))["tenant"] == "new"


def test_options_beat_the_settings(key_folder: KeyFolder, tmp_path: Path) -> None:
    config = str(settings_of(key_folder, key_file=str(tmp_path / "nowhere.json")))

    assert typed("list", "--config", config).exit_code == 64
    assert typed("list", "--config", config, "--key-file", str(key_folder.keys.file)).exit_code == 0


def test_without_options_and_settings_the_passphrase_file_is_asked_for(key_folder: KeyFolder) -> None:
    result = typed("list", "--key-file", str(key_folder.keys.file))

    assert result.exit_code == 64
    assert "--passphrase-file" in result.output
    assert "--config" in result.output


def test_settings_that_are_wrong_are_usage_errors(key_folder: KeyFolder) -> None:
    assert typed("list", "--config", str(settings_of(key_folder, colour="red"))).exit_code == 64
