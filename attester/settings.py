"""What the attester is told: whom to ask, as what workload. Read from the exact bytes that were measured before.

Two kinds of settings that must not be mixed: *trust* (verifier, its CA, its offline root, workload) may come from outside,
if the bytes are measured first; *machine* (which TPM, which PCR) may not, or a host could name a TPM of its own and never be
seen. Files named by a configuration are not covered by its digest, so an outside one holds everything inline.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

from attester.providers import SIMULATED_FIXED, AkKind, Machine, SimulatedScheme
from verifier.formats.encoding import is_name
from verifier.formats.errors import ConfigError

_PCRS = range(24)
_RESETTABLE = range(
    16, 24
)  # PC Client Platform TPM Profile, "PCR attributes": 16 and 23 by anyone, 17-22 by localities
_CONFIG_MAX = 256 * 1024
_AUDIENCE_MAX = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Whom this workload believes and what it is. ``root`` is the public JWK of the offline root of answer keys."""

    url: str
    ca: str
    issuer: str
    root: Mapping[str, str]
    root_lowest_seq: int
    tenant: str
    workload: str
    audience: str


@dataclass(frozen=True, slots=True)
class _Key:
    section: str
    name: str
    want: str
    check: Callable[[Any], bool]

    @property
    def path(self) -> str:
        return f"{self.section}.{self.name}"


def _is_https(value: Any) -> bool:
    if not isinstance(value, str) or not value.isprintable() or value.endswith("/"):
        return False
    url = urlsplit(value)
    return url.scheme == "https" and bool(url.netloc) and not url.query and not url.fragment


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def is_named(value: Any) -> bool:
    """Tell whether a value is a name as tenants and workloads have it."""
    return isinstance(value, str) and is_name(value)


def is_count(value: Any) -> bool:
    """Tell whether a value is a whole number from 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_jwk(value: Any) -> bool:
    """Tell whether a value is a public P-256 JWK and nothing besides."""
    from verifier.formats.jose import p256_public_key

    try:
        p256_public_key(value if isinstance(value, dict) else {})
    except ValueError:
        return False
    return True


_URL_WANT = "https://host[:port][/path] without query, fragment or trailing slash"
_NAME_WANT = "a name of a-z, 0-9 and inner hyphens, at most 63"
_TRUST = (
    _Key("verifier", "url", _URL_WANT, _is_https),
    _Key("verifier", "ca", "certificates in PEM", _is_text),
    _Key("verifier", "issuer", _URL_WANT, _is_https),
    _Key("verifier", "root", "a public P-256 JWK of exactly kty, crv, x and y", is_jwk),
    _Key("verifier", "root_lowest_seq", "a whole number from 0", is_count),
    _Key("workload", "tenant", _NAME_WANT, is_named),
    _Key("workload", "name", _NAME_WANT, is_named),
    _Key("workload", "audience", "text of at most 512 characters", lambda v: _is_text(v) and len(v) <= _AUDIENCE_MAX),
)
# Keys that name a file; their content is not under the configuration's digest.
_FILES = {"ca_file": "ca", "root_file": "root"}


def read_config(path: Path) -> bytes:
    """Read the configuration once: what is measured and what is obeyed are the same bytes."""
    try:
        with path.open("rb") as file:
            content = file.read(_CONFIG_MAX + 1)
    except OSError as error:
        raise ConfigError(str(path), "file", error.strerror, "a readable file") from None
    if len(content) > _CONFIG_MAX:
        raise ConfigError(str(path), "file", f"more than {_CONFIG_MAX} bytes", "a configuration")
    return content


def toml_of(content: bytes, where: str) -> dict[str, Any]:
    """Read TOML of version 1; returns what is in it besides the version."""
    import tomllib

    try:
        document = tomllib.loads(content.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(where, "document", str(error), "TOML in UTF-8") from None
    version = document.pop("version", None)
    if version != 1:
        raise ConfigError(where, "version", version, "1")
    return document


def parse_config(content: bytes, where: str, *, in_image: bool) -> dict[str, dict[str, Any]]:
    """Read TOML into sections. Outside the image, files and machine settings are refused by name."""
    document = toml_of(content, where)
    for name, section in document.items():
        if name not in ("verifier", "workload", "machine"):
            raise ConfigError(where, name, "unknown", "verifier, workload or machine")
        if not isinstance(section, dict):
            raise ConfigError(where, name, section, "a table")
    if "machine" in document and not in_image:
        raise ConfigError(where, "machine", "set", "no table: the measured image says where evidence comes from")
    for key, inline in _FILES.items():
        if key in document.get("verifier", {}) and not in_image:
            want = f"verifier.{inline} inline: a file's content is not covered by the configuration's digest"
            raise ConfigError(where, f"verifier.{key}", document["verifier"][key], want)
    return document


def _read_text(path: str, where: str, key: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(where, key, path, f"a readable file: {type(error).__name__}") from None


def _with_files(section: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Put the content of named files in the place of their names."""
    values = dict(section)
    for key, inline in _FILES.items():
        if key not in values:
            continue
        name = values.pop(key)
        if inline in values or not isinstance(name, str):
            raise ConfigError(where, f"verifier.{key}", name, f"a file name, and no verifier.{inline} beside it")
        values[inline] = _read_text(name, where, f"verifier.{key}")
    if isinstance(values.get("root"), str):
        try:
            values["root"] = json.loads(values["root"])
        except ValueError:
            raise ConfigError(where, "verifier.root", "no JSON", "a public JWK") from None
    return values


def trust_from(document: Mapping[str, Mapping[str, Any]], where: str) -> Trust:
    """Check every trust setting; none has a default, none may be left out, none may be unknown."""
    sections = {"verifier": _with_files(document.get("verifier", {}), where), "workload": document.get("workload", {})}
    for section, values in sections.items():
        known = {key.name for key in _TRUST if key.section == section}
        for name in values:
            if name not in known:
                raise ConfigError(where, f"{section}.{name}", "unknown", f"one of {', '.join(sorted(known))}")
    checked: dict[str, Any] = {}
    for key in _TRUST:
        value = sections[key.section].get(key.name)
        if not key.check(value):
            got = value if value is None or isinstance(value, str | int) else type(value).__name__
            raise ConfigError(where, key.path, got, key.want)
        checked["workload" if key.name == "name" else key.name] = value
    return Trust(**checked)


def parse_pcrs(text: str) -> tuple[int, ...]:
    """Read "0-9,11" into PCR numbers, ascending, each once."""
    chosen: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ConfigError("settings", "pcrs", text, "numbers and ranges such as 0-9,11")
        chosen |= set(range(int(first), int(last or first) + 1)) if int(last or first) < len(_PCRS) else {len(_PCRS)}
    if not chosen or max(chosen) not in _PCRS:
        raise ConfigError("settings", "pcrs", text, "PCRs 0 to 23")
    return tuple(sorted(chosen))


_MACHINE_TYPES: dict[str, type] = {
    "provider": str,
    "tcti": str,
    "ak_kind": str,
    "ak_handle": int,
    "ek_handle": int,
    "pcrs": str,
    "event_log": str,
    "ima_list": str,
    "config_pcr": int,
    "configfs": str,
    "cc_event_log": str,
    "privlevel": int,
    "simulated_scheme": str,
    "simulated_host_data": str,
}


def machine_from(values: Mapping[str, Any], where: str) -> Machine:
    """Check the machine settings; unknown ones are refused."""
    checked: dict[str, Any] = {}
    for name, value in values.items():
        if name not in _MACHINE_TYPES:
            raise ConfigError(where, f"machine.{name}", "unknown", f"one of {', '.join(sorted(_MACHINE_TYPES))}")
        if not isinstance(value, _MACHINE_TYPES[name]) or isinstance(value, bool):
            raise ConfigError(where, f"machine.{name}", value, _MACHINE_TYPES[name].__name__)
        checked[name] = value
    if "pcrs" in checked:
        checked["pcrs"] = parse_pcrs(checked["pcrs"])
    if "simulated_host_data" in checked:
        scheme = checked.get("simulated_scheme", Machine().simulated_scheme)
        checked["simulated_host_data"] = _fixed(checked["simulated_host_data"], scheme, where)
    machine = replace(Machine(), **checked)
    if machine.ak_kind not in get_args(AkKind):
        raise ConfigError(where, "machine.ak_kind", machine.ak_kind, " or ".join(get_args(AkKind)))
    if machine.simulated_scheme not in get_args(SimulatedScheme):
        raise ConfigError(
            where, "machine.simulated_scheme", machine.simulated_scheme, " or ".join(get_args(SimulatedScheme))
        )
    if machine.config_pcr not in _PCRS or machine.config_pcr in _RESETTABLE:
        raise ConfigError(where, "machine.config_pcr", machine.config_pcr, "0 to 15: PCRs 16 to 23 can be reset")
    return machine


def _fixed(text: str, scheme: str, where: str) -> bytes:
    """Read what a forged host fixed at launch: exactly the digest that the scheme has a place for."""
    if scheme not in SIMULATED_FIXED:
        raise ConfigError(where, "machine.simulated_host_data", text, f"none: {scheme} has no such place")
    place, algorithm = SIMULATED_FIXED[scheme]
    size = hashlib.new(algorithm).digest_size
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != size:
        raise ConfigError(where, "machine.simulated_host_data", text, f"{2 * size} hex digits, {place}")
    return value
