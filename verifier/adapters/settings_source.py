"""Where settings come from: a TOML file and ``VAB_…`` environment variables; the environment beats the file.

``VAB_DATABASE_URL_FILE`` names a file that holds the database URL, since a URL may hold a password. Unknown keys are refused.
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass

from verifier.core.settings import Settings, check_settings
from verifier.formats.errors import ConfigError

PREFIX = "VAB_"
_FILE_SUFFIXED = ("database_url",)
# Variables with our prefix that are no settings: where the settings file is, and what the test-suite is told.
_OTHER = frozenset({"VAB_CONFIG"})
_TEST_PREFIX = "VAB_TEST_"
# Shown in the place of its value, which may be a secret: a passphrase given where only the name of its file is taken.
_UNKNOWN = "an unknown setting"
_FIELDS = {field.name: field for field in dataclasses.fields(Settings)}
# Values from the environment are text: lax mode turns "8" and "true" into what the record says, and refuses the rest.
_ADAPTER: TypeAdapter[Any] = TypeAdapter(
    pydantic_dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))(Settings)
)


def _from_file(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(str(path), "file", None, "a readable TOML file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(str(path), "file", str(error), "a readable TOML file") from None
    for key in values:
        if key not in _FIELDS:
            raise ConfigError(str(path), key, _UNKNOWN, f"one of {', '.join(sorted(_FIELDS))}")
    return values


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, text in environment.items():
        if not name.startswith(PREFIX):
            continue
        key = name[len(PREFIX) :].lower()
        if key in _FIELDS:
            values[key] = text.split(",") if key == "tenants" else text
        elif key.endswith("_file") and key.removesuffix("_file") in _FILE_SUFFIXED:
            values[key.removesuffix("_file")] = _read_secret(name, Path(text))
        elif name not in _OTHER and not name.startswith(_TEST_PREFIX):
            # A setting that is misspelt would otherwise be one that is not in force.
            raise ConfigError(
                "environment", name, _UNKNOWN, f"{PREFIX} and one of {', '.join(sorted(_FIELDS)).upper()}"
            )
    return values


def _read_secret(name: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError("environment", name, str(path), f"a readable file ({error.strerror})") from None


def load_settings(path: str | None, environment: Mapping[str, str] | None = None) -> Settings:
    """Read, validate and check the settings. Raises ``ConfigError`` that names file, key, got and want."""
    env = os.environ if environment is None else environment
    values = _from_file(Path(path)) if path else {}
    values.update(_from_environment(env))
    try:
        settings: Settings = Settings(**dataclasses.asdict(_ADAPTER.validate_python(values)))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(step) for step in first["loc"]) or "settings"
        # Of a setting that is missing, what was "got" is all the others, the database's password among them.
        got = None if first["type"] == "missing" else first.get("input")
        raise ConfigError(path or "environment", key, got, first["msg"]) from None
    return check_settings(settings)
