"""What commands that work on the store share: the options that name settings and tenant, the store, and how times are written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import click

from verifier.adapters.settings_source import load_settings
from verifier.adapters.sql.store import SqlStore
from verifier.compose import compose_store
from verifier.formats.encoding import is_name
from verifier.formats.errors import ConfigError

CONFIG_OPTION = click.option(
    "--config", type=click.Path(dir_okay=False), envvar="VAB_CONFIG", help="File with the settings (TOML)."
)
TENANT_OPTION = click.option("--tenant", default="default", show_default=True, help="The tenant.")


@contextmanager
def opened_store(config: str | None) -> Iterator[SqlStore]:
    """Open the store that the settings name (migrated first where needed) and close it again."""
    store = compose_store(load_settings(config))
    try:
        yield store
    finally:
        store.close()


def tenant_name(name: str) -> str:
    """Refuse text that is no name of a tenant."""
    if not is_name(name):
        raise ConfigError("--tenant", "tenant", name, "a name of a-z, 0-9 and inner hyphens")
    return name


def utc_time(moment_ms: int) -> str:
    """Write Unix milliseconds as people read them, to the second, UTC."""
    return datetime.fromtimestamp(moment_ms // 1000, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
