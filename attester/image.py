"""What the measured image lets a configuration from outside choose. Pure, but for reading the file.

A configuration that is measured is not one that is believed: HOST_DATA, MRCONFIGID and CONFIGID are chosen by the host, and what is
extended into a PCR after a boot is too. The verifier sees what was chosen and keeps the owner's secrets from a wrong choice. It cannot
keep this machine from obeying one, and a machine that obeys another root runs on false secrets. So the image names the roots and the
tenants, and says of every other setting which values it takes. Source: docs/adr/0023-what-an-outside-configuration-may-choose.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attester.ids import AttesterId
from attester.settings import Trust, is_count, is_jwk, is_named, read_config, toml_of
from verifier.formats.errors import ConfigError, EvidenceRejected

IMAGE_FILE = Path("/etc/vault-attestation-bridge/image.toml")
ANY = "any"  # the word for: the outside may choose
_SECTION = "allow"
# setting -> its place in a configuration, as messages name it
_PLACES = {
    "root": "verifier.root",
    "tenant": "workload.tenant",
    "url": "verifier.url",
    "ca": "verifier.ca",
    "issuer": "verifier.issuer",
    "workload": "workload.name",
    "audience": "workload.audience",
}
# Of these the outside never has the choice: whoever has the root's key makes the secrets.
_NAMED = frozenset({"root", "tenant"})
_LOWEST = "root_lowest_seq"


@dataclass(frozen=True, slots=True)
class Allowed:
    """Values by setting (``Trust``), ``None`` where the outside may choose; and the least ``root_lowest_seq``."""

    values: Mapping[str, tuple[Any, ...] | None]
    root_lowest_seq: int


def read_image(path: Path) -> Allowed:
    """Read the image file. Without one nothing from outside is obeyed: ``EvidenceRejected('attester.config.image')``."""
    if not path.exists():
        detail = (
            f"image file: got none at {path}, want one: it names the roots and tenants that a configuration may choose"
        )
        raise EvidenceRejected(AttesterId.CONFIG_IMAGE, detail)
    return parse_image(read_config(path), str(path))


def parse_image(content: bytes, where: str) -> Allowed:
    """Read the image file's text; every setting has to be there, none may be unknown."""
    document = toml_of(content, where)
    allow = document.get(_SECTION)
    for name in document:
        if name != _SECTION:
            raise ConfigError(where, name, "unknown", _SECTION)
    if not isinstance(allow, dict):
        raise ConfigError(where, _SECTION, allow, "a table")
    for name in allow:
        if name not in _PLACES and name != _LOWEST:
            raise ConfigError(where, f"{_SECTION}.{name}", "unknown", f"one of {', '.join((*_PLACES, _LOWEST))}")
    lowest: Any = allow.get(_LOWEST)
    if not is_count(lowest):
        raise ConfigError(where, f"{_SECTION}.{_LOWEST}", lowest, "a whole number from 0")
    return Allowed({name: _listed(allow.get(name), name, where) for name in _PLACES}, lowest)


def _listed(given: Any, name: str, where: str) -> tuple[Any, ...] | None:
    if given == ANY and name not in _NAMED:
        return None
    key = f"{_SECTION}.{name}"
    want = "a list of one or more" + ("" if name in _NAMED else f', or "{ANY}"')
    if not isinstance(given, list) or not given:
        raise ConfigError(where, key, given, want)
    if name == "root":
        return tuple(_root(item, where, key) for item in given)
    if not all(isinstance(item, str) and item for item in given) or (
        name == "tenant" and not all(map(is_named, given))
    ):
        raise ConfigError(where, key, given, f"{want}: names or texts")
    return tuple(item.strip() if name == "ca" else item for item in given)


def _root(item: Any, where: str, key: str) -> Mapping[str, str]:
    """Take a public JWK, or the name of a file of the image with one."""
    if isinstance(item, str):
        try:
            item = json.loads(Path(item).read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise ConfigError(where, key, item, f"a file with a public JWK: {type(error).__name__}") from None
    if not is_jwk(item):
        raise ConfigError(where, key, type(item).__name__, "public P-256 JWKs of exactly kty, crv, x and y")
    root: Mapping[str, str] = item
    return root


def require_allowed(trust: Trust, allowed: Allowed, where: str) -> None:
    """Refuse a configuration that names what the image does not allow: ``EvidenceRejected('attester.config.allowed')``."""
    for name, values in allowed.values.items():
        got = getattr(trust, name)
        got = got.strip() if name == "ca" else got
        if values is not None and got not in values:
            shown = "another" if name in ("root", "ca") else repr(got)
            _refuse(where, _PLACES[name], shown, "one that the image file lists")
    if trust.root_lowest_seq < allowed.root_lowest_seq:
        _refuse(
            where,
            f"verifier.{_LOWEST}",
            trust.root_lowest_seq,
            f"at least {allowed.root_lowest_seq}, as the image says",
        )


def _refuse(where: str, field: str, got: object, want: str) -> None:
    raise EvidenceRejected(AttesterId.CONFIG_ALLOWED, f"{where}: {field}: got {got}, want {want}")
