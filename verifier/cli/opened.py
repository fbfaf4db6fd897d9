"""What commands of an operator share: the options that name settings and tenant, the store, the clock, a key that signs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from verifier.adapters.clock import SystemClock
from verifier.adapters.keys.mark_file import MarkFile
from verifier.adapters.settings_source import load_settings
from verifier.adapters.sql.store import SqlStore
from verifier.compose import compose_store, open_keys
from verifier.core.dumps import forbid_core_dumps
from verifier.core.ports import StoreMark
from verifier.formats.encoding import is_name
from verifier.formats.errors import ConfigError
from verifier.formats.jws import PrivateKey

CONFIG_OPTION = click.option(
    "--config", type=click.Path(dir_okay=False), envvar="VAB_CONFIG", help="File with the settings (TOML)."
)
TENANT_OPTION = click.option("--tenant", default="default", show_default=True, help="The tenant.")


@contextmanager
def opened_store(config: str | None, *, is_new: bool = False, check_seals: bool = True) -> Iterator[SqlStore]:
    """Open the store that the settings name (migrated first where needed), with their key file, and close it again.

    ``is_new``, ``check_seals``: as of ``compose_store``.
    """
    forbid_core_dumps()
    settings = load_settings(config)
    store = compose_store(settings, open_keys(settings), is_new=is_new, check_seals=check_seals)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def opened_records(config: str | None) -> Iterator[SqlStore]:
    """Open the store that the settings name for its records and evidence alone: no key file is needed."""
    store = compose_store(load_settings(config), None)
    try:
        yield store
    finally:
        store.close()


def set_mark(file: MarkFile, mark: StoreMark) -> None:
    """Write where the store stands beside the key file, whatever was there."""
    try:
        file.set(mark)
    except OSError as error:
        raise ConfigError(
            str(file.path), "mark", error.strerror, "a folder of the key file that can be written"
        ) from error


def tenant_name(name: str) -> str:
    """Refuse text that is no name of a tenant."""
    if not is_name(name):
        raise ConfigError("--tenant", "tenant", name, "a name of a-z, 0-9 and inner hyphens")
    return name


def now_s() -> int:
    """Read the clock: Unix seconds."""
    return SystemClock().now_ms() // 1000


def read_private_key(path: str | Path) -> PrivateKey:
    """Read the key that signs documents or bundles."""
    want = "an unencrypted PEM private key: Ed25519 or P-256"
    forbid_core_dumps()
    try:
        key = load_pem_private_key(Path(path).read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigError(str(path), "--key", "no such key", want) from None
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise ConfigError(str(path), "--key", "another kind of key", want)
