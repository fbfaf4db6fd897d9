"""Ceremonies: what needs the offline root. Its counter only rises, whatever becomes of the key file."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.support.keyfiles import KeyFolder, make_key_folder
from tests.support.signing import BASE_URL, NOW
from verifier.adapters.keys.ceremony import SealedPaths, add_tenant, create_key_file, renew_answer_keys
from verifier.adapters.keys.signer_file import KeyFile
from verifier.formats.errors import ConfigError

pytestmark = pytest.mark.slow


def seq_of(keys: KeyFile, tenant: str = "default", now: int = NOW) -> int:
    """Return the seq that the root really signed."""
    root = jwt.PyJWK({**keys.root_jwk(), "alg": "ES256"})
    members = jwt.decode(keys.answer_key(tenant, now)[1], root, options={"verify_exp": False, "verify_iat": False})
    return int(members["seq"])


def test_a_renewal_raises_the_seq_and_makes_fresh_keys_for_every_tenant(key_folder: KeyFolder) -> None:
    keys = key_folder.open()
    before = {tenant: keys.answer_key(tenant, NOW)[0].kid for tenant in keys.tenants()}
    assert renew_answer_keys(keys, key_folder.root, now=NOW, life_s=100) == 2
    for tenant, kid in before.items():
        assert keys.answer_key(tenant, NOW)[0].kid != kid
        assert seq_of(keys, tenant) == 2
    assert key_folder.open().answer_key("acme", NOW + 99)


def test_a_renewal_leaves_the_token_keys_and_the_master_alone(key_folder: KeyFolder) -> None:
    keys = key_folder.open()
    before = (keys.signing_key("default", NOW).kid, keys.master(), keys.jwks("acme", NOW))
    renew_answer_keys(keys, key_folder.root, now=NOW)
    assert (keys.signing_key("default", NOW).kid, keys.master(), keys.jwks("acme", NOW)) == before


@pytest.mark.parametrize("restored", ["keys", "root"])
def test_a_restored_file_cannot_make_the_root_sign_a_seq_twice(key_folder: KeyFolder, restored: str) -> None:
    backup, file = key_folder.path / "backup", getattr(key_folder, restored).file
    shutil.copy2(file, backup)
    assert renew_answer_keys(key_folder.open(), key_folder.root, now=NOW) == 2
    backup.replace(file)
    assert renew_answer_keys(key_folder.open(), key_folder.root, now=NOW) == 3


def test_another_root_signs_nothing_here(key_folder: KeyFolder, tmp_path: Path) -> None:
    stranger = make_key_folder(tmp_path / "stranger", tenants=("default",))
    keys = key_folder.open()
    with pytest.raises(ConfigError) as caught:
        renew_answer_keys(keys, stranger.root, now=NOW)
    assert caught.value.key == "root"
    assert seq_of(keys) == 1


def test_a_new_tenant_has_keys_of_its_own_under_a_higher_seq(key_folder: KeyFolder) -> None:
    keys = key_folder.open()
    add_tenant(keys, key_folder.root, "new", algorithm="EdDSA", now=NOW)
    assert keys.tenants() == ("acme", "default", "new")
    assert (keys.signing_key("new", NOW).alg, seq_of(keys, "new"), seq_of(keys)) == ("EdDSA", 2, 1)


@pytest.mark.parametrize("tenant", ["default", "+", "New", ""])
def test_a_tenant_with_keys_or_without_a_name_is_refused(key_folder: KeyFolder, tenant: str) -> None:
    with pytest.raises(ConfigError):
        add_tenant(key_folder.open(), key_folder.root, tenant, algorithm="ES256", now=NOW)


def test_existing_files_are_never_overwritten(key_folder: KeyFolder, tmp_path: Path) -> None:
    fresh_keys = SealedPaths(tmp_path / "fresh.json", key_folder.keys.passphrase_file)
    fresh_root = SealedPaths(tmp_path / "fresh-root.json", key_folder.root.passphrase_file)
    before = {path: path.read_bytes() for path in (key_folder.keys.file, key_folder.root.file)}
    for keys, root in ((key_folder.keys, fresh_root), (fresh_keys, key_folder.root)):
        with pytest.raises(ConfigError) as caught:
            create(keys, root)
        assert "never overwritten" in str(caught.value)
    assert {path: path.read_bytes() for path in before} == before
    assert not fresh_keys.file.exists()


def test_a_lost_key_file_is_made_anew_under_the_root_that_images_pin(key_folder: KeyFolder) -> None:
    before = key_folder.open()
    master = before.master()  # asked again after a second, it would be read from the new file
    key_folder.keys.file.unlink()
    again: Any = {"base_url": BASE_URL, "tenants": ["default"], "algorithm": "ES256", "now": NOW, "is_new_root": False}
    with pytest.raises(ConfigError) as caught:
        create_key_file(key_folder.keys, key_folder.root, simulated=True, **again)
    assert caught.value.key == "about"
    assert not key_folder.keys.file.exists()
    assert create_key_file(key_folder.keys, key_folder.root, simulated=False, **again) == before.root_jwk()
    after = key_folder.open()
    assert seq_of(after) == 2
    assert after.master() != master


def create(keys: SealedPaths, root: SealedPaths, *tenants: str) -> None:
    names = tenants or ("default",)
    create_key_file(keys, root, base_url=BASE_URL, tenants=names, simulated=False, algorithm="ES256", now=NOW)


def test_the_root_has_a_passphrase_and_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("x" * 32)
    (tmp_path / "q").write_text("x" * 32 + "\n")
    keys = SealedPaths(tmp_path / "keys.json", tmp_path / "p")
    with pytest.raises(ConfigError) as caught:
        create(keys, SealedPaths(tmp_path / "root.json", tmp_path / "q"))
    assert caught.value.key == "root passphrase"
    with pytest.raises(ConfigError) as caught:
        create(keys, SealedPaths(tmp_path / "keys.json", tmp_path / "q"))
    assert caught.value.key == "root file"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p", "q"]


@pytest.mark.parametrize("tenants", [("+",), ("a", "B")])
def test_a_tenant_that_vault_would_expand_or_fold_gets_no_keys(tmp_path: Path, tenants: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError):
        make_key_folder(tmp_path / "keys", tenants=tenants)


def test_the_folder_of_new_keys_is_for_their_owner(tmp_path: Path) -> None:
    for name in ("p", "q"):
        (tmp_path / name).write_text(name * 32)
    create(
        SealedPaths(tmp_path / "var" / "keys.json", tmp_path / "p"),
        SealedPaths(tmp_path / "off" / "root.json", tmp_path / "q"),
    )
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("var", "off")] == [0o700, 0o700]
    assert json.loads((tmp_path / "off" / "root.json").read_text())["about"]["kind"] == "vab-root"
