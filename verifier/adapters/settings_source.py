"""Where settings come from: a TOML file and ``VAB_…`` environment variables; the environment beats the file.

``VAB_DATABASE_URL_FILE`` names a file that holds the database URL, since a URL may hold a password. Unknown keys are refused.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource

from verifier.core.settings import Settings, check_settings
from verifier.formats.errors import ConfigError

PREFIX = "VAB_"
_FILE_SUFFIXED = ("database_url",)
# Variables with our prefix that are no settings: where the settings file is, and what the test-suite is told.
_OTHER = frozenset({"VAB_CONFIG"})
_TEST_PREFIX = "VAB_TEST_"
# Shown in the place of its value, which may be a secret: a passphrase given where only the name of its file is taken.
_UNKNOWN = "an unknown setting"
_NAMES = ", ".join(sorted(Settings.model_fields))


def _from_file(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(str(path), "file", None, "a readable TOML file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(str(path), "file", str(error), "a readable TOML file") from None
    for key in values:
        if key not in Settings.model_fields:
            raise ConfigError(str(path), key, _UNKNOWN, f"one of {_NAMES}")
    return values


class _Environment(EnvSettingsSource):
    """The variables with our prefix, from an environment that is handed in. An unknown one is ``ConfigError``."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        # Of the class it reads fields and configuration alone; a record that reads the environment when it is made is no record.
        super().__init__(cast("type[BaseSettings]", Settings), env_prefix=PREFIX)
        self.env_vars = dict(_own(environment))

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """Split a list: names have no commas in them."""
        del field_name, field
        return value.split(",")


def _own(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the variables that are settings, in lower case, as pydantic-settings looks them up."""
    for name, text in environment.items():
        if not name.startswith(PREFIX):
            continue
        key = name[len(PREFIX) :].lower()
        if key in Settings.model_fields:
            yield name.lower(), text
        elif key.endswith("_file") and key.removesuffix("_file") in _FILE_SUFFIXED:
            yield name.lower().removesuffix("_file"), _read_secret(name, Path(text))
        elif name not in _OTHER and not name.startswith(_TEST_PREFIX):
            # A setting that is misspelt would otherwise be one that is not in force.
            raise ConfigError("environment", name, _UNKNOWN, f"{PREFIX} and one of {_NAMES.upper()}")


def _read_secret(name: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError("environment", name, str(path), f"a readable file ({error.strerror})") from None


def load_settings(path: str | None, environment: Mapping[str, str] | None = None) -> Settings:
    """Read, validate and check the settings. Raises ``ConfigError`` that names file, key, got and want."""
    values = _from_file(Path(path)) if path else {}
    values.update(_Environment(os.environ if environment is None else environment)())
    try:
        settings = Settings(**values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(step) for step in first["loc"]) or "settings"
        # Of a setting that is missing, what was "got" is all the others, the database's password among them.
        got = None if first["type"] == "missing" else first.get("input")
        raise ConfigError(path or "environment", key, got, first["msg"]) from None
    return check_settings(settings)
