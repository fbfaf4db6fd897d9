"""The encrypted key file: one state for all processes, nothing without its passphrase, and no way across the sim line."""

from __future__ import annotations

import json
import multiprocessing
import os
import stat
import threading
import time
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.support.keyfiles import RULES, FakeMonotonic, KeyFolder, make_key_folder
from tests.support.signing import APPRAISAL, BASE_URL, NOW, claims_of
from verifier.adapters.files import replace_durably
from verifier.adapters.keys.ceremony import SealedPaths
from verifier.adapters.keys.sealed_file import SealedFile
from verifier.adapters.keys.signer_file import KeyFile
from verifier.core.settings import ALGORITHMS, Settings, SigningAlgorithm
from verifier.formats.encoding import b64url, jwk_thumbprint, unb64url
from verifier.formats.errors import CannotDecide, ConfigError
from verifier.token.keyring import SERVED_AFTER_S, RotationRules
from verifier.token.mint import mint, mintable

pytestmark = pytest.mark.slow


def refuse(key_folder: KeyFolder, key: str, **given: Any) -> ConfigError:
    """Expect a start to be refused, by the name of what is wrong."""
    with pytest.raises(ConfigError) as caught:
        key_folder.open(**given)
    assert caught.value.key == key
    return caught.value


# -- what the service gets -------------------------------------------------------------------------------------------------


def test_a_new_key_file_signs_tokens_and_answers_at_once(key_folder: KeyFolder) -> None:
    keys = key_folder.open()
    signer = keys.signing_key("default", NOW)
    published = json.loads(keys.jwks("default", NOW)[0])["keys"]
    assert [entry["kid"] for entry in published] == [signer.kid]
    token = mint(mintable(claims_of(), APPRAISAL, simulated=False), signer)
    options: Any = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
    assert jwt.decode(token, jwt.PyJWK(published[0]), audience="vault/jwt-default", options=options)
    answer_key, key_set = keys.answer_key("default", NOW)
    members = jwt.decode(
        key_set, jwt.PyJWK({**keys.root_jwk(), "alg": "ES256"}), options={"verify_exp": False, "verify_iat": False}
    )
    assert members["issuer"] == f"{BASE_URL}/t/default"
    assert [b64url(jwk_thumbprint(jwk)) for jwk in members["keys"]] == [answer_key.kid]
    assert (members["seq"], keys.answer_seq("default")) == (1, 1)


def test_tenants_share_no_key_and_no_document(key_folder: KeyFolder) -> None:
    keys = key_folder.open()
    assert keys.tenants() == ("acme", "default")
    assert keys.signing_key("acme", NOW).kid != keys.signing_key("default", NOW).kid
    assert keys.answer_key("acme", NOW)[0].kid != keys.answer_key("default", NOW)[0].kid
    assert keys.jwks("acme", NOW) != keys.jwks("default", NOW)
    assert json.loads(keys.discovery("acme", NOW)[0])["issuer"] == f"{BASE_URL}/t/acme"


def test_no_answer_key_is_ever_in_a_jwks(key_folder: KeyFolder) -> None:
    keys = key_folder.open()
    for tenant in keys.tenants():
        published = {entry["kid"] for entry in json.loads(keys.jwks(tenant, NOW)[0])["keys"]}
        assert keys.answer_key(tenant, NOW)[0].kid not in published
        assert b64url(jwk_thumbprint(keys.root_jwk())) not in published


def test_an_unknown_tenant_has_no_keys(key_folder: KeyFolder) -> None:
    keys = key_folder.open()
    for ask in (keys.signing_key, keys.answer_key, keys.jwks, keys.discovery):
        with pytest.raises(CannotDecide) as caught:
            ask("other", NOW)
        assert caught.value.check_id == "service.keys"


def test_the_secrets_of_a_process_come_from_the_master(key_folder: KeyFolder) -> None:
    keys = key_folder.open()
    assert len(keys.master()) == len(keys.enrolment_key()) == 32
    assert keys.master() != keys.enrolment_key()


def test_documents_are_the_same_bytes_until_the_keys_change(key_folder: KeyFolder) -> None:
    keys = key_folder.open()
    assert keys.jwks("default", NOW)[0] is keys.jwks("default", NOW + 1)[0]


def test_an_expired_answer_set_signs_nothing(key_folder: KeyFolder) -> None:
    keys = key_folder.open()
    until = NOW + 180 * 86_400
    assert keys.answer_key("default", until - 1)
    for moment in (until, NOW - 1):
        with pytest.raises(CannotDecide) as caught:
            keys.answer_key("default", moment)
        assert caught.value.check_id == "service.keys.answer"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_is_kept_and_found_again(tmp_path: Path, algorithm: SigningAlgorithm) -> None:
    key_folder = make_key_folder(tmp_path / "keys", tenants=("default",), algorithm=algorithm)
    signer = key_folder.open().signing_key("default", NOW)
    assert (
        jwt.get_unverified_header(mint(mintable(claims_of(), APPRAISAL, simulated=False), signer))["alg"] == algorithm
    )


# -- rotation ----------------------------------------------------------------------------------------------------------------


def test_a_rotation_publishes_first_signs_later_and_buries_last(key_folder: KeyFolder) -> None:
    keys = key_folder.open()
    old = keys.signing_key("default", NOW).kid
    assert keys.rotate_now(NOW + 10, "default") == ("default",)

    def published(moment: int) -> list[str]:
        return [entry["kid"] for entry in json.loads(keys.jwks("default", moment)[0])["keys"]]

    new = published(NOW + 10)[-1]
    assert (published(NOW + 10), keys.signing_key("default", NOW + 609).kid) == ([old, new], old)
    assert keys.signing_key("default", NOW + 610).kid == new
    switch = NOW + 610
    assert published(switch + SERVED_AFTER_S - 1) == [old, new]
    assert published(switch + SERVED_AFTER_S) == [new]
    assert [key.state for key in keys.describe(NOW + 10) if key.use == "token" and key.tenant == "default"] == [
        "active",
        "next",
    ]


def test_a_rotation_under_way_is_left_as_it_is(key_folder: KeyFolder) -> None:
    keys = key_folder.open()
    assert keys.rotate_now(NOW) == ("acme", "default")
    assert keys.rotate_now(NOW + 1) == ()
    assert keys.rotate_due(NOW + 2) == ()


def test_what_is_due_by_the_clock_is_done_once(key_folder: KeyFolder) -> None:
    keys = key_folder.open()
    due = NOW + RULES.life_s - RULES.lead_s
    assert keys.rotate_due(due - 1) == ()
    assert keys.rotate_due(due) == ("acme", "default")
    assert keys.rotate_due(due + 1) == ()


def test_a_rotation_that_cannot_be_written_is_tried_again(
    key_folder: KeyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, due = key_folder.open(), NOW + RULES.life_s - RULES.lead_s

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert keys.rotate_due(due - 1) == ()  # nothing due, nothing written
        with pytest.raises(CannotDecide) as caught:
            keys.rotate_due(due)
        assert caught.value.check_id == "service.keys"
    assert keys.signing_key("default", due)
    assert keys.rotate_due(due) == ("acme", "default")


def test_a_retired_key_loses_its_private_half_and_then_itself(key_folder: KeyFolder) -> None:
    keys = key_folder.open()
    keys.rotate_now(NOW, "default")
    old = keys.signing_key("default", NOW).kid
    assert keys.rotate_due(NOW + 604) == ()
    assert keys.rotate_due(NOW + 606) == ("default",)
    with pytest.raises(CannotDecide) as caught:  # the clock went back to where the old key signed
        keys.signing_key("default", NOW + 599)
    assert caught.value.check_id == "service.keys"
    assert old in {key.kid for key in keys.describe(NOW + 606)}
    assert keys.rotate_due(NOW + 600 + SERVED_AFTER_S) == ("default",)
    assert old not in {key.kid for key in keys.describe(NOW + 600 + SERVED_AFTER_S)}


def test_another_algorithm_in_the_settings_is_rotated_to(key_folder: KeyFolder) -> None:
    keys = key_folder.open(rules=RotationRules("EdDSA", 600, 86_400))
    assert keys.rotate_due(NOW) == ("acme", "default")
    assert [keys.signing_key("default", moment).alg for moment in (NOW, NOW + 600)] == ["ES256", "EdDSA"]
    assert json.loads(keys.discovery("default", NOW)[0])["id_token_signing_alg_values_supported"] == ["ES256", "EdDSA"]


# -- several threads and processes ---------------------------------------------------------------------------------------------


def test_another_processs_rotation_is_seen_within_a_second(key_folder: KeyFolder) -> None:
    monotonic = FakeMonotonic()
    reader, writer = key_folder.open(monotonic=monotonic), key_folder.open()
    writer.rotate_now(NOW)
    monotonic.seconds = 0.9
    assert len(json.loads(reader.jwks("default", NOW)[0])["keys"]) == 1
    monotonic.seconds = 1.0
    assert reader.jwks("default", NOW) == writer.jwks("default", NOW)
    assert len(json.loads(reader.jwks("default", NOW)[0])["keys"]) == 2


def test_a_re_read_costs_no_scrypt(key_folder: KeyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monotonic = FakeMonotonic()
    reader, writer = key_folder.open(monotonic=monotonic), key_folder.open()
    writer.rotate_now(NOW)

    def never(**_: Any) -> None:
        pytest.fail("derived again")

    monkeypatch.setattr("verifier.adapters.keys.sealed_file.Scrypt", never)
    monotonic.seconds = 2.0
    assert len(json.loads(reader.jwks("default", NOW)[0])["keys"]) == 2


def test_keys_that_are_taken_away_stop_the_signing_and_come_back(key_folder: KeyFolder) -> None:
    monotonic = FakeMonotonic()
    keys = key_folder.open(monotonic=monotonic)
    away = key_folder.keys.file.with_name("away")
    key_folder.keys.file.rename(away)
    monotonic.seconds = 1.0
    for _ in range(2):
        with pytest.raises(CannotDecide) as caught:
            keys.signing_key("default", NOW)
        assert caught.value.check_id == "service.keys"
    away.rename(key_folder.keys.file)
    monotonic.seconds = 2.0
    assert keys.signing_key("default", NOW)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[" * 100_000])
def test_a_file_that_does_not_open_any_more_stops_the_signing(key_folder: KeyFolder, content: bytes) -> None:
    monotonic = FakeMonotonic()
    keys = key_folder.open(monotonic=monotonic)
    replace_durably(key_folder.keys.file, content)
    monotonic.seconds = 1.0
    with pytest.raises(CannotDecide) as caught:
        keys.answer_key("default", NOW)
    assert caught.value.check_id == "service.keys"
    with pytest.raises(ConfigError):
        key_folder.open()


def test_threads_read_while_keys_rotate(key_folder: KeyFolder) -> None:
    keys = key_folder.open()
    failures: list[BaseException] = []
    stop = threading.Event()

    def read() -> None:
        try:
            while not stop.is_set():
                signer = keys.signing_key("default", NOW)
                assert signer.kid.encode() in keys.jwks("default", NOW)[0]
                keys.answer_key("default", NOW)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test shows it
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for step in range(5):
        keys.rotate_now(NOW - 10_000 + 1000 * step)
        time.sleep(0.02)
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []


def rotate_in_a_process(path: Path, start: Any, results: Any) -> None:
    keys = KeyFolder(path).open()
    start.wait()
    results.put(keys.rotate_now(NOW))


def test_processes_that_rotate_at_once_publish_one_successor(key_folder: KeyFolder) -> None:
    context = multiprocessing.get_context("spawn")
    start, results = context.Event(), context.Queue()
    workers = [context.Process(target=rotate_in_a_process, args=(key_folder.path, start, results)) for _ in range(3)]
    for worker in workers:
        worker.start()
    start.set()
    changed = [results.get(timeout=30) for _ in workers]
    for worker in workers:
        worker.join()
    assert sorted(changed) == [(), (), ("acme", "default")]
    tokens = [key for key in key_folder.open().describe(NOW) if key.use == "token"]
    assert len(tokens) == 4


def test_a_rotation_waits_for_the_files_lock(key_folder: KeyFolder) -> None:
    keys = key_folder.open()
    done = threading.Event()
    with key_folder.keys.open().lock():
        thread = threading.Thread(target=lambda: (keys.rotate_now(NOW), done.set()))
        thread.start()
        assert not done.wait(0.3)
    assert done.wait(10)
    thread.join()


def test_a_forked_process_goes_on_even_if_the_lock_was_held(key_folder: KeyFolder) -> None:
    monotonic = FakeMonotonic()
    keys = key_folder.open(monotonic=monotonic)
    key_folder.open().rotate_now(NOW)
    keys._guard.acquire()  # as if another thread were re-reading at the moment of the fork
    monotonic.seconds = 1.0
    child = os.fork()
    if child == 0:
        try:
            seen = len(json.loads(keys.jwks("default", NOW)[0])["keys"])
            os._exit(0 if seen == 2 else 1)
        finally:
            os._exit(2)  # never a second pytest
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(json.loads(keys.jwks("default", NOW)[0])["keys"]) == 1  # the holder's own process did not wait for it
    keys._guard.release()


# -- the file ----------------------------------------------------------------------------------------------------------------


def test_nothing_private_is_in_the_file_and_nobody_else_reads_it(key_folder: KeyFolder) -> None:
    keys = key_folder.open()
    for paths in (key_folder.keys, key_folder.root):
        assert stat.S_IMODE(paths.file.stat().st_mode) == 0o600
        text = paths.file.read_text()
        assert b64url(keys.master()) not in text
        # As names of members: three letters alone stand in some sealed bodies by chance.
        assert '"private"' not in text
        assert '"kid"' not in text


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_file_that_others_may_touch_is_refused(key_folder: KeyFolder, mode: int) -> None:
    key_folder.keys.file.chmod(mode)
    refuse(key_folder, "mode")


def test_a_simulated_process_never_opens_production_keys_nor_the_other_way_round(
    key_folder: KeyFolder, tmp_path: Path
) -> None:
    assert "a process of their own" in str(refuse(key_folder, "simulated", simulated=True))
    simulated = make_key_folder(tmp_path / "simulated", tenants=("default",), simulated=True)
    refuse(simulated, "simulated")
    assert simulated.open(simulated=True).simulated


def test_keys_of_another_base_url_are_refused(key_folder: KeyFolder) -> None:
    refuse(key_folder, "base_url", base_url="https://verifier.example:8443")


def changed_file(key_folder: KeyFolder, *path: str, to: Any) -> None:
    content = json.loads(key_folder.keys.file.read_text())
    target = content
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = to
    replace_durably(key_folder.keys.file, json.dumps(content).encode())


@pytest.mark.parametrize(
    ("path", "to", "given"),
    [
        (("about", "simulated"), True, {"simulated": True}),
        (("about", "base_url"), "https://evil.example", {"base_url": "https://evil.example"}),
        (("kdf", "salt"), b64url(bytes(16)), {}),
        (("kdf", "n"), 2**14, {}),
        (("kdf", "p"), 2, {}),
        (("nonce",), b64url(bytes(12)), {}),
        (("nonce",), b64url(bytes(3)), {}),
        (("nonce",), "", {}),
        (("body",), "", {}),
    ],
)
def test_no_field_in_clear_can_be_changed(
    key_folder: KeyFolder, path: tuple[str, ...], to: Any, given: dict[str, Any]
) -> None:
    changed_file(key_folder, *path, to=to)
    # Other fields of kdf make another key of the same passphrase, so that is what the file can tell.
    refuse(key_folder, "passphrase" if path[0] == "kdf" else "body", **given)


@pytest.mark.parametrize(
    ("path", "to", "key"),
    [
        (("about", "version"), 2, "about.version"),
        (("about", "kind"), "vab-root", "about.kind"),
        (("about", "more"), 1, "about.more"),
        (("kdf", "name"), "none", "kdf.name"),
        (("kdf", "n"), 2**10, "kdf.n"),
        (("kdf", "n"), 2**30, "kdf.n"),
        (("kdf", "salt"), "!", "kdf.salt"),
        (("nonce",), "!", "nonce"),
        (("body",), "!", "body"),
        (("more",), 1, "more"),
    ],
)
def test_a_file_of_another_form_is_refused_by_name(
    key_folder: KeyFolder, path: tuple[str, ...], to: Any, key: str
) -> None:
    changed_file(key_folder, *path, to=to)
    refuse(key_folder, key)


def test_a_flipped_bit_in_the_body_is_refused(key_folder: KeyFolder) -> None:
    body = bytearray(unb64url(json.loads(key_folder.keys.file.read_text())["body"]))
    body[len(body) // 2] ^= 1
    changed_file(key_folder, "body", to=b64url(bytes(body)))
    assert "damaged" in str(refuse(key_folder, "body"))


def test_a_file_of_before_cannot_tell_a_wrong_passphrase_from_damage(key_folder: KeyFolder) -> None:
    changed_file(key_folder, "check", to="")
    key_folder.open()  # nothing but the wording of a failure hangs on it
    key_folder.keys.passphrase_file.write_text("x" * 32)
    assert "the passphrase that sealed it, and an unchanged file" in str(refuse(key_folder, "body"))


def test_the_root_is_no_key_file(key_folder: KeyFolder) -> None:
    with pytest.raises(ConfigError) as caught:
        KeyFile.for_operator(key_folder.root.file, key_folder.root.passphrase_file)
    assert caught.value.key == "about.kind"


@pytest.mark.parametrize(
    ("passphrase", "key"), [("x" * 32, "passphrase"), ("x" * 15, "passphrase"), ("", "passphrase")]
)
def test_another_passphrase_opens_nothing(key_folder: KeyFolder, passphrase: str, key: str) -> None:
    key_folder.keys.passphrase_file.write_text(passphrase)
    error = refuse(key_folder, key)
    assert not passphrase or passphrase not in str(error)


def test_a_missing_file_says_what_makes_it(tmp_path: Path) -> None:
    (tmp_path / "keys.passphrase").write_text("x" * 32)
    error = refuse(KeyFolder(tmp_path), "file")
    assert "verifier keys init" in str(error)


def test_a_missing_passphrase_is_named(key_folder: KeyFolder) -> None:
    key_folder.keys.passphrase_file.unlink()
    refuse(key_folder, "passphrase")


def test_line_ends_do_not_belong_to_a_passphrase(key_folder: KeyFolder) -> None:
    text = key_folder.keys.passphrase_file.read_text().rstrip("\n")
    key_folder.keys.passphrase_file.write_text(text + "\r\n")
    assert key_folder.open()


def test_a_write_that_fails_leaves_the_old_file(key_folder: KeyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    keys, before = key_folder.open(), key_folder.keys.file.read_bytes()

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        keys.rotate_now(NOW)
    assert key_folder.keys.file.read_bytes() == before
    assert not [path for path in key_folder.path.iterdir() if path.name.startswith(".")]


def test_settings_name_the_file_and_every_tenant(key_folder: KeyFolder) -> None:
    given: dict[str, Any] = {
        "base_url": BASE_URL,
        "key_file": str(key_folder.keys.file),
        "key_passphrase_file": str(key_folder.keys.passphrase_file),
    }
    assert KeyFile.from_settings(Settings(**given, tenants=("default",))).tenants() == ("acme", "default")
    with pytest.raises(ConfigError) as caught:
        KeyFile.from_settings(Settings(**given, tenants=("default", "new")))
    assert "verifier keys add-tenant new" in str(caught.value)


def test_root_may_rotate_the_keys_of_a_service_that_runs_as_another(key_folder: KeyFolder) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(key_folder.keys.file, 12345, 12346)
    key_folder.open().rotate_now(NOW)
    for path in (key_folder.keys.file, Path(f"{key_folder.keys.file}.lock")):
        assert (path.stat().st_uid, path.stat().st_gid) == (12345, 12346)


def test_a_sealed_file_in_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    sealed: SealedFile = SealedPaths(tmp_path / "none" / "keys.json", tmp_path / "p").open()
    with pytest.raises(ConfigError) as caught, sealed.lock():
        pytest.fail("locked nothing")
    assert caught.value.key == "lock"
