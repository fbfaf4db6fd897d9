"""Intel's signed documents: TCB info (versions 2 and 3) and QE identity (version 2). Reading proves nothing.

The signature is over the exact bytes of the inner object as received, which are cut out and never rebuilt. Refused: duplicate
keys, anything beside the inner object and its signature, numbers and lists beyond their caps.
Source: Intel *Provisioning Certification Service API*, "Get TCB info", "Get QE identity", versions 3 and 4.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal, get_args

from verifier.formats import strict_json
from verifier.formats.errors import MalformedEvidence
from verifier.tee.dcap.layout import COMPONENTS

MAX_DOCUMENT: Final = 256 * 1024
MAX_LEVELS: Final = 256
MAX_IDENTITIES: Final = 64
MAX_ADVISORIES: Final = 256
TCB_INFO_VERSIONS: Final = (2, 3)

# What Intel calls the state of one level. Convergence adds two for a TD that has to be launched anew.
LevelStatus = Literal[
    "UpToDate",
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "OutOfDate",
    "OutOfDateConfigurationNeeded",
]
RelaunchStatus = Literal["TDRelaunchAdvised", "TDRelaunchAdvisedConfigurationNeeded"]
REVOKED: Final = "Revoked"
LEVEL_STATUSES: Final = frozenset({*get_args(LevelStatus), REVOKED})
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z", re.ASCII)
_ADVISORY = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_MODULE = re.compile(r"TDX_[0-9A-F]{2}", re.ASCII | re.IGNORECASE)
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})*", re.ASCII)
_SPACE = " \t\r\n"


@dataclass(frozen=True, slots=True, eq=False)
class Signed:
    """A document's signed bytes and its signature (r and s, big-endian). ``digest`` is of both."""

    body: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    digest: bytes


@dataclass(frozen=True, slots=True)
class Date:
    """A time as Intel wrote it, and in Unix seconds."""

    text: str
    seconds: int


@dataclass(frozen=True, slots=True, eq=False)
class TcbLevel:
    """One level of a platform's TCB."""

    components: tuple[int, ...]
    pcesvn: int
    tdx_components: tuple[int, ...] | None
    status: str
    date: Date
    advisories: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class EnclaveLevel:
    """One level of an enclave or a TDX module: its lowest ISVSVN."""

    isvsvn: int
    status: str
    date: Date
    advisories: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Module:
    """A TDX module's identity; ``id`` "" and no levels: ``tdxModule``, which is that of modules of version 0."""

    id: str
    mrsigner: bytes
    attributes: bytes
    attributes_mask: bytes
    levels: tuple[EnclaveLevel, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TcbInfo:
    """TCB info, unverified. ``fmspc`` and ``pceid`` are upper-case hex."""

    signed: Signed
    id: str  # "SGX" or "TDX"
    issued: int
    next_update: int
    fmspc: str
    pceid: str
    evaluation_number: int
    levels: tuple[TcbLevel, ...]
    module: Module | None
    modules: tuple[Module, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QeIdentity:
    """A quoting enclave's identity, unverified."""

    signed: Signed
    id: str  # "QE", "TD_QE" or "QVE"
    issued: int
    next_update: int
    evaluation_number: int
    miscselect: int
    miscselect_mask: int
    attributes: bytes
    attributes_mask: bytes
    mrsigner: bytes
    isvprodid: int
    levels: tuple[EnclaveLevel, ...]


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position] in _SPACE:
        position += 1
    return position


def _expect(text: str, position: int, character: str) -> int:
    position = _skip(text, position)
    if text[position : position + 1] != character:
        raise ValueError(f"at {position}: want {character!r}")
    return _skip(text, position + 1)


def _members(text: str) -> dict[str, tuple[Any, str]]:
    """Read the outer object's members with the text that each value was read from."""
    members: dict[str, tuple[Any, str]] = {}
    position = _expect(text, 0, "{")
    while True:
        key, end = strict_json.read_value(text, position)
        start = _expect(text, end, ":")
        value, end = strict_json.read_value(text, start)
        if not isinstance(key, str) or key in members:
            raise ValueError(f"key {key!r}: want a name, once")
        members[key] = (value, text[start:end])
        end = _skip(text, end)
        if text[end : end + 1] != ",":
            break
        position = _skip(text, end + 1)
    if _expect(text, end, "}") != len(text):
        raise ValueError("want nothing after the object")
    return members


def _open(data: bytes, name: str) -> tuple[dict[str, Any], Signed]:
    """Split a document into its inner object and its signature."""
    if len(data) > MAX_DOCUMENT:
        raise ValueError(f"got {len(data)} bytes, want at most {MAX_DOCUMENT}")
    members = _members(data.decode("utf-8"))
    if set(members) != {name, "signature"}:
        raise ValueError(f"got {sorted(members)}, want {name} and signature")
    inner, text = members[name]
    if not isinstance(inner, dict):
        raise ValueError(f"{name}: got {type(inner).__name__}, want an object")  # noqa: TRY004 - the edge knows one exception
    signature = _hex(members["signature"][0], 64, "signature")
    body = text.encode("utf-8")
    return inner, Signed(body, signature, hashlib.sha256(signature + body).digest())


def _get(table: Any, name: str) -> Any:
    if not isinstance(table, dict) or name not in table:
        raise ValueError(f"{name}: got nothing, want it")
    return table[name]


def _hex(value: Any, size: int, name: str) -> bytes:
    if not isinstance(value, str) or len(value) != 2 * size or not _HEX.fullmatch(value):
        raise ValueError(f"{name}: want {2 * size} hex digits")
    return bytes.fromhex(value)


def _number(value: Any, highest: int, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= highest:
        raise ValueError(f"{name}: want a number from 0 to {highest}")
    return value


def _date(value: Any, name: str) -> Date:
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise ValueError(f"{name}: want a time like 2025-06-19T10:16:03Z")
    return Date(value, int(dt.datetime.fromisoformat(value).timestamp()))


def _list(value: Any, most: int, name: str) -> Sequence[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise ValueError(f"{name}: want a list of at most {most}")
    return value


def _status(level: Any) -> tuple[str, Date, tuple[str, ...]]:
    status = _get(level, "tcbStatus")
    if not isinstance(status, str) or status not in LEVEL_STATUSES:
        raise ValueError(f"tcbStatus: got {status!r}, want one of {sorted(LEVEL_STATUSES)}")
    advisories = _list(level.get("advisoryIDs", []), MAX_ADVISORIES, "advisoryIDs")
    if not all(isinstance(one, str) and _ADVISORY.fullmatch(one) for one in advisories):
        raise ValueError("advisoryIDs: want names")
    return status, _date(_get(level, "tcbDate"), "tcbDate"), tuple(advisories)


def _components(tcb: Any, kind: str, version: int) -> tuple[int, ...]:
    if version == 2:  # noqa: PLR2004 - the version is the fact
        names = [f"{kind}tcbcomp{place:02d}svn" for place in range(1, COMPONENTS + 1)]
        return tuple(_number(_get(tcb, name), 0xFF, name) for name in names)
    name = f"{kind}tcbcomponents"
    listed = _list(_get(tcb, name), COMPONENTS, name)
    if len(listed) != COMPONENTS:
        raise ValueError(f"{name}: got {len(listed)}, want {COMPONENTS}")
    return tuple(_number(_get(one, "svn"), 0xFF, name) for one in listed)


def _tcb_level(level: Any, version: int, *, is_tdx: bool) -> TcbLevel:
    tcb = _get(level, "tcb")
    return TcbLevel(
        _components(tcb, "sgx", version),
        _number(_get(tcb, "pcesvn"), 0xFFFF, "pcesvn"),
        _components(tcb, "tdx", version) if is_tdx else None,
        *_status(level),
    )


def _enclave_levels(levels: Any, highest: int) -> tuple[EnclaveLevel, ...]:
    listed = _list(levels, MAX_LEVELS, "tcbLevels")
    return tuple(
        EnclaveLevel(_number(_get(_get(one, "tcb"), "isvsvn"), highest, "isvsvn"), *_status(one)) for one in listed
    )


def _module(table: Any, identity: str, levels: tuple[EnclaveLevel, ...]) -> Module:
    return Module(
        identity,
        _hex(_get(table, "mrsigner"), 48, "mrsigner"),
        _hex(_get(table, "attributes"), 8, "attributes"),
        _hex(_get(table, "attributesMask"), 8, "attributesMask"),
        levels,
    )


def _modules(inner: Mapping[str, Any]) -> tuple[Module, ...]:
    modules = []
    for one in _list(inner.get("tdxModuleIdentities", []), MAX_IDENTITIES, "tdxModuleIdentities"):
        identity = _get(one, "id")
        if not isinstance(identity, str) or not _MODULE.fullmatch(identity):
            raise ValueError(f"tdxModuleIdentities.id: got {identity!r}, want TDX_ and two hex digits")
        modules.append(_module(one, identity.upper(), _enclave_levels(_get(one, "tcbLevels"), 0xFF)))
    if len({module.id for module in modules}) != len(modules):
        raise ValueError("tdxModuleIdentities: one id stands twice")
    return tuple(modules)


@lru_cache(maxsize=256)
def _tcb_info(data: bytes) -> TcbInfo:
    inner, signed = _open(data, "tcbInfo")
    version = _get(inner, "version")
    if version not in TCB_INFO_VERSIONS:
        raise ValueError(f"version: got {version!r}, want one of {TCB_INFO_VERSIONS}")
    identity = inner.get("id", "SGX") if version == 2 else _get(inner, "id")  # noqa: PLR2004 - version 2 is SGX's alone
    if identity not in (("SGX", "TDX") if version > 2 else ("SGX",)):  # noqa: PLR2004
        raise ValueError(f"id: got {identity!r} in version {version}, want SGX or, from version 3 on, TDX")
    is_tdx = identity == "TDX"
    # A type other than 0 orders its components in a way that is not known here.
    _number(_get(inner, "tcbType"), 0, "tcbType")
    levels = _list(_get(inner, "tcbLevels"), MAX_LEVELS, "tcbLevels")
    return TcbInfo(
        signed=signed,
        id=identity,
        issued=_date(_get(inner, "issueDate"), "issueDate").seconds,
        next_update=_date(_get(inner, "nextUpdate"), "nextUpdate").seconds,
        fmspc=_hex(_get(inner, "fmspc"), 6, "fmspc").hex().upper(),
        pceid=_hex(_get(inner, "pceId"), 2, "pceId").hex().upper(),
        evaluation_number=_number(_get(inner, "tcbEvaluationDataNumber"), 0xFFFF_FFFF, "tcbEvaluationDataNumber"),
        levels=tuple(_tcb_level(one, version, is_tdx=is_tdx) for one in levels),
        module=_module(_get(inner, "tdxModule"), "", ()) if is_tdx else None,
        modules=_modules(inner) if is_tdx else (),
    )


@lru_cache(maxsize=64)
def _qe_identity(data: bytes) -> QeIdentity:
    inner, signed = _open(data, "enclaveIdentity")
    version = _get(inner, "version")
    if version != 2:  # noqa: PLR2004 - the version is the fact
        raise ValueError(f"version: got {version!r}, want 2")
    identity = _get(inner, "id")
    if identity not in ("QE", "TD_QE", "QVE"):
        raise ValueError(f"id: got {identity!r}, want QE, TD_QE or QVE")
    return QeIdentity(
        signed=signed,
        id=identity,
        issued=_date(_get(inner, "issueDate"), "issueDate").seconds,
        next_update=_date(_get(inner, "nextUpdate"), "nextUpdate").seconds,
        evaluation_number=_number(_get(inner, "tcbEvaluationDataNumber"), 0xFFFF_FFFF, "tcbEvaluationDataNumber"),
        # Written as the number is read, big-endian; attributes as the bytes stand in the report.
        miscselect=int.from_bytes(_hex(_get(inner, "miscselect"), 4, "miscselect"), "big"),
        miscselect_mask=int.from_bytes(_hex(_get(inner, "miscselectMask"), 4, "miscselectMask"), "big"),
        attributes=_hex(_get(inner, "attributes"), 16, "attributes"),
        attributes_mask=_hex(_get(inner, "attributesMask"), 16, "attributesMask"),
        mrsigner=_hex(_get(inner, "mrsigner"), 32, "mrsigner"),
        isvprodid=_number(_get(inner, "isvprodid"), 0xFFFF, "isvprodid"),
        levels=_enclave_levels(_get(inner, "tcbLevels"), 0xFFFF),
    )


def parse_tcb_info(data: bytes, check_id: str) -> TcbInfo:
    """Read TCB info; ``MalformedEvidence(check_id)`` for anything else. Cached by its bytes."""
    try:
        return _tcb_info(data)
    except (ValueError, OverflowError) as error:
        raise MalformedEvidence(check_id, f"TCB info: {error}") from None


def parse_qe_identity(data: bytes, check_id: str) -> QeIdentity:
    """Read a QE identity; ``MalformedEvidence(check_id)`` for anything else. Cached by its bytes."""
    try:
        return _qe_identity(data)
    except (ValueError, OverflowError) as error:
        raise MalformedEvidence(check_id, f"QE identity: {error}") from None
