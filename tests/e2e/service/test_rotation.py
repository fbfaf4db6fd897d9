"""Key rotation under steady logins to a real Vault: no failed login, the old kid served until its tokens are dead."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import jwt

from tests.support.live import LiveVerifier, live_verifier
from tests.support.terraform import copy_modules, terraform
from tests.support.vault import VaultServer, vault_server
from tests.support.waiting import wait_for
from tools.demo.trust import VaultPlace
from verifier.adapters.keys.signer_file import KeyFile
from verifier.adapters.settings_source import load_settings
from verifier.token.keyring import SERVED_AFTER_S

MOUNT, ROLE = "attestation-default", "forged"
LIFE_S, LEAD_S = 10, 3


@dataclass
class _Logins:
    """What a steady stream of logins saw: (time, kid, status of Vault)."""

    seen: list[tuple[float, str, int]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    tokens: dict[str, str] = field(default_factory=dict)

    def last_token_of(self, kid: str) -> str:
        """The last token that a key signed."""
        return self.tokens[kid]

    def run(self, live: LiveVerifier, vault: VaultServer, stop: threading.Event) -> None:
        """Attest and log in, over and over."""
        while not stop.is_set():
            try:
                token = live.attest().token
                answer = vault.login(MOUNT, ROLE, token)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is a login that failed
                self.wrong.append(repr(error))
                continue
            kid = jwt.get_unverified_header(token)["kid"]
            self.tokens[kid] = token
            self.seen.append((time.time(), kid, answer.status))
            if answer.status != 200:
                self.wrong.append(answer.errors)


def _published(live: LiveVerifier) -> list[str]:
    return [key["kid"] for key in live.get("/t/default/.well-known/jwks.json").json()["keys"]]


def test_rotation_under_steady_logins(tmp_path: Path) -> None:
    settings = {"workers": 2, "token_life_s": LIFE_S, "jwks_max_age_s": 1, "key_publish_lead_s": LEAD_S}
    with vault_server(tmp_path / "vault") as vault:
        place = VaultPlace(vault.address, vault.ca_file.read_text(encoding="ascii"), MOUNT, ROLE)
        with live_verifier(tmp_path / "live", settings, place=place) as live:
            _apply(tmp_path / "terraform", vault, live, place)
            old = _published(live)
            assert len(old) == 1
            logins, stop = _Logins(), threading.Event()
            thread = threading.Thread(target=logins.run, args=(live, vault, stop))
            thread.start()
            try:
                _rotate(live)
                # From here it is in the file that every process reads anew each second. When we saw it says less: a busy machine
                # lets us look late.
                published_at = time.time()
                # Two workers answer, and one of them reads the file later: the key comes from the answer that has it.
                (new,) = wait_for(lambda: set(_published(live)) - set(old))
                wait_for(lambda: new in logins.tokens)
                last = logins.last_token_of(old[0])
                assert vault.login(MOUNT, ROLE, last).status == 200, (
                    "a token that lives was refused after its key retired"
                )
                time.sleep(LIFE_S)
                assert old[0] in _published(live), "the old key went while tokens of it may live"
            finally:
                stop.set()
                thread.join()

    assert logins.wrong == []
    keys = KeyFile.from_settings(load_settings(str(live.folder.settings_file), {}))
    body, _ = keys.jwks("default", int(time.time()) + SERVED_AFTER_S)
    assert old[0].encode() not in body, "the old key is served for ever"
    first_new = min(at for at, kid, _ in logins.seen if kid == new)
    last_old = max(at for at, kid, _ in logins.seen if kid == old[0])
    assert first_new - published_at > LEAD_S - 1.5, "it signed before it had been published for its time"
    assert last_old < first_new + 1.5
    assert {kid for _, kid, _ in logins.seen} == {old[0], new}


def _apply(folder: Path, vault: VaultServer, live: LiveVerifier, place: VaultPlace) -> None:
    folder.mkdir()
    modules = copy_modules(folder)
    role = {"kind": "workload", "root": "simulated", "simulated": True, "host_excluded": True}
    mount = {
        "tenant": "default",
        "verifier_url": live.folder.base_url,
        "verifier_ca_file": str(live.folder.ca_file),
        "audience": place.audience,
        "roles": {ROLE: role},
    }
    variables = {"trust_dir": str(live.folder.path / "trust"), "mounts": {MOUNT: mount}}
    run = terraform(vault, modules / "examples" / "demo", variables)
    run.init()
    run.apply()


def _rotate(live: LiveVerifier) -> None:
    # `verifier keys rotate` wants a lead of a minute at least; the settings of this test have a shorter one.
    keys = KeyFile.from_settings(load_settings(str(live.folder.settings_file), {}))
    assert keys.rotate_now(int(time.time()))
