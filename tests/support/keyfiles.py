"""Key files for tests: made once a session, copied for each test, opened with a clock that the test moves."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.signing import BASE_URL, NOW
from verifier.adapters.keys.ceremony import SealedPaths, create_key_file
from verifier.adapters.keys.signer_file import KeyFile
from verifier.core.settings import SigningAlgorithm
from verifier.token.keyring import RotationRules

RULES = RotationRules("ES256", lead_s=600, life_s=86_400)


@dataclass(slots=True)
class FakeMonotonic:
    """A clock for "at most once a second": moves only when it is told to."""

    seconds: float = field(default=0.0)

    def __call__(self) -> float:
        """Return the seconds."""
        return self.seconds


@dataclass(frozen=True, slots=True)
class KeyFolder:
    """A folder with a key file, its root and both passphrases."""

    path: Path

    @property
    def keys(self) -> SealedPaths:
        """The key file."""
        return SealedPaths(self.path / "keys.json", self.path / "keys.passphrase")

    @property
    def root(self) -> SealedPaths:
        """The offline root."""
        return SealedPaths(self.path / "root.json", self.path / "root.passphrase")

    def open(
        self,
        *,
        base_url: str = BASE_URL,
        simulated: bool = False,
        rules: RotationRules = RULES,
        monotonic: FakeMonotonic | None = None,
    ) -> KeyFile:
        """Open the key file as a verifier process does."""
        file, passphrase_file = self.keys.file, self.keys.passphrase_file
        clock = {} if monotonic is None else {"monotonic": monotonic}
        return KeyFile(file, passphrase_file, base_url=base_url, simulated=simulated, rules=rules, **clock)

    def copy(self, path: Path) -> KeyFolder:
        """Copy everything to another folder."""
        shutil.copytree(self.path, path)
        return KeyFolder(path)


def make_key_folder(
    path: Path,
    *,
    tenants: tuple[str, ...] = ("default", "acme"),
    simulated: bool = False,
    algorithm: SigningAlgorithm = "ES256",
    now: int = NOW,
) -> KeyFolder:
    """Make passphrases, key file and root in a new folder."""
    path.mkdir(parents=True)
    folder = KeyFolder(path)
    for paths in (folder.keys, folder.root):
        paths.passphrase_file.write_text(secrets.token_urlsafe(24) + "\n", encoding="ascii")
    create_key_file(
        folder.keys,
        folder.root,
        base_url=BASE_URL,
        tenants=tenants,
        simulated=simulated,
        algorithm=algorithm,
        now=now,
    )
    return folder
