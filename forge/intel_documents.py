"""A forged Intel's documents: TCB info (version 2 and 3) and QE identity, signed over the exact bytes of the inner object.

A document is a ``dict`` until it is signed, so that every field can be set, left out or spelt wrongly.
Source: Intel PCS API version 4, ``TcbInfoV3`` and ``EnclaveIdentityV2``.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

Tee = Literal["sgx", "tdx"]
Inner = Literal["tcbInfo", "enclaveIdentity"]

_ZERO48: Final = "0" * 96
NEW_DATE: Final = "2024-11-13T00:00:00Z"
OLD_DATE: Final = "2023-08-09T00:00:00Z"
# What the first components are, as Intel words it; verifiers must not depend on it.
_KINDS: Final = (
    {"category": "BIOS", "type": "Early Microcode Update"},
    {"category": "OS/VMM", "type": "SGX Late Microcode Update"},
    {"category": "OS/VMM", "type": "TXT SINIT"},
    {"category": "BIOS"},
)


def date(seconds: int) -> str:
    """Write a time as Intel does."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def raw_signature(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    """Sign with ECDSA P-256 and SHA-256, deterministic; 64 bytes: r and s, big-endian."""
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def inner_bytes(inner: Mapping[str, Any] | bytes) -> bytes:
    """Write an inner object as PCS does: no spaces, keys in their order; bytes are taken as they are."""
    return inner if isinstance(inner, bytes) else json.dumps(inner, separators=(",", ":")).encode("utf-8")


def sign_document(
    name: Inner, inner: Mapping[str, Any] | bytes, key: ec.EllipticCurvePrivateKey, *, signature: str | None = None
) -> bytes:
    """Return ``{"<name>":<inner>,"signature":"<hex>"}``; ``signature`` overrides what would be signed."""
    body = inner_bytes(inner)
    made = raw_signature(key, body).hex() if signature is None else signature
    return b'{"%s":%s,"signature":"%s"}' % (name.encode("ascii"), body, made.encode("ascii"))


def tcb_level(
    status: str,
    comps: Sequence[int],
    pcesvn: int,
    *,
    tdx: Sequence[int] | None = None,
    version: int = 3,
    date_text: str = NEW_DATE,
    advisories: Sequence[str] = (),
) -> dict[str, Any]:
    """Return one TCB level; ``tdx`` are the TDX components of a version 3 level."""
    if version == 2:  # noqa: PLR2004 - the version
        tcb: dict[str, Any] = {f"sgxtcbcomp{n:02d}svn": svn for n, svn in enumerate(comps, start=1)}
        tcb["pcesvn"] = pcesvn
    else:
        tcb = {
            "sgxtcbcomponents": [{"svn": svn, **(_KINDS[n] if n < len(_KINDS) else {})} for n, svn in enumerate(comps)],
            "pcesvn": pcesvn,
        }
        if tdx is not None:
            tcb["tdxtcbcomponents"] = [{"svn": svn} for svn in tdx]
    level: dict[str, Any] = {"tcb": tcb, "tcbDate": date_text, "tcbStatus": status}
    if advisories:
        level["advisoryIDs"] = list(advisories)
    return level


def svn_level(isvsvn: int, status: str, *, date_text: str = NEW_DATE, advisories: Sequence[str] = ()) -> dict[str, Any]:
    """Return a level of one enclave or module: QE, QVE, TDX module."""
    level: dict[str, Any] = {"tcb": {"isvsvn": isvsvn}, "tcbDate": date_text, "tcbStatus": status}
    if advisories:
        level["advisoryIDs"] = list(advisories)
    return level


def module_identity(version: int, levels: Sequence[Mapping[str, Any]], **changes: Any) -> dict[str, Any]:
    """Return the identity of one major version of the TDX module."""
    return {
        "id": f"TDX_{version:02X}",
        "mrsigner": _ZERO48,
        "attributes": "0" * 16,
        "attributesMask": "F" * 16,
        "tcbLevels": list(levels),
        **changes,
    }


def tcb_info_of(
    tee: Tee,
    *,
    issued: int,
    fmspc: str,
    levels: Sequence[Mapping[str, Any]],
    modules: Sequence[Mapping[str, Any]] = (),
    version: int = 3,
    evaluation: int = 20,
    **changes: Any,
) -> dict[str, Any]:
    """Return a TCB info, good for 30 days from ``issued``. ``changes`` replace fields; ``None`` takes one out."""
    named = {"id": tee.upper()} if version == 3 else {}  # noqa: PLR2004 - the version
    module = {"mrsigner": _ZERO48, "attributes": "0" * 16, "attributesMask": "F" * 16}
    of_tdx = {"tdxModule": module, "tdxModuleIdentities": list(modules)} if tee == "tdx" else {}
    document = {
        **named,
        "version": version,
        "issueDate": date(issued),
        "nextUpdate": date(issued + 30 * 86_400),
        "fmspc": fmspc,
        "pceId": "0000",
        "tcbType": 0,
        "tcbEvaluationDataNumber": evaluation,
        **of_tdx,
        "tcbLevels": list(levels),
        **changes,
    }
    return {key: value for key, value in document.items() if value is not None}


def qe_identity_of(
    tee: Tee,
    *,
    issued: int,
    mrsigner: str,
    isvprodid: int,
    levels: Sequence[Mapping[str, Any]],
    evaluation: int = 20,
    **changes: Any,
) -> dict[str, Any]:
    """Return a QE identity, good for 30 days from ``issued``. ``changes`` replace fields; ``None`` takes one out."""
    document = {
        "id": "QE" if tee == "sgx" else "TD_QE",
        "version": 2,
        "issueDate": date(issued),
        "nextUpdate": date(issued + 30 * 86_400),
        "tcbEvaluationDataNumber": evaluation,
        "miscselect": "00000000",
        "miscselectMask": "FFFFFFFF",
        "attributes": "11000000000000000000000000000000",
        "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
        "mrsigner": mrsigner,
        "isvprodid": isvprodid,
        "tcbLevels": list(levels),
        **changes,
    }
    return {key: value for key, value in document.items() if value is not None}
