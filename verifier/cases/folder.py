"""Reads a case folder as ``docs/cases.md`` lays it out, holding every file to the ``sha256`` that ``case.json`` states."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from verifier.cases.form import CaseError, CaseFiles, CaseForm

_MAX_BYTES = 8 * 1024 * 1024


def _load(folder: Path) -> dict[str, Any]:
    path = folder / "case.json"
    try:
        case = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CaseError(f"{path}: cannot be read ({error})") from None
    if not isinstance(case, dict):
        raise CaseError(f"{path}: got {type(case).__name__}, want an object")
    return case


def _names(case: Mapping[str, Any], key: str) -> list[str]:
    names = case.get(key, [])
    if not isinstance(names, list) or not all(isinstance(name, str) and Path(name).name == name for name in names):
        raise CaseError(f"{key}: got {names!r}, want a list of plain file names")
    return names


def _read(folder: Path, name: str, digests: Mapping[str, Any]) -> bytes:
    try:
        data = (folder / name).read_bytes()
    except OSError as error:
        raise CaseError(f"{name}: cannot be read ({error.strerror})") from None
    if len(data) > _MAX_BYTES:
        raise CaseError(f"{name}: got {len(data)} bytes, want at most {_MAX_BYTES}")
    digest = hashlib.sha256(data).hexdigest()
    if digests.get(name, digest) != digest:
        raise CaseError(f"{name}: sha256 got {digest}, want {digests[name]}")
    return data


def read_case(folder: Path, forms: Mapping[str, CaseForm]) -> CaseFiles:
    """Read a case; ``CaseError`` for an unknown platform or policy key, a missing file or a wrong digest."""
    case = _load(folder)
    platform = case.get("platform")
    if not isinstance(platform, str) or platform not in forms:
        raise CaseError(f"platform: got {platform!r}, want one of {', '.join(sorted(forms))}")
    policy = case.get("policy", {})
    if not isinstance(policy, dict):
        raise CaseError(f"policy: got {policy!r}, want an object")
    for key in policy:
        if key not in forms[platform].policy_keys:
            raise CaseError(f"policy.{key}: unknown, want one of {', '.join(sorted(forms[platform].policy_keys))}")
    digests = case.get("sha256", {})
    if not isinstance(digests, dict):
        raise CaseError(f"sha256: got {digests!r}, want an object")
    try:
        moment = dt.datetime.fromisoformat(str(case["verify_at"]))
        now = int(moment.timestamp())
    except (KeyError, ValueError):
        raise CaseError(f"verify_at: got {case.get('verify_at')!r}, want an RFC 3339 time") from None
    if moment.tzinfo is None:
        raise CaseError("verify_at: got a time without a zone, want RFC 3339")
    crl_required = case.get("crl_required")
    if crl_required is not None and not isinstance(crl_required, bool):
        raise CaseError(f"crl_required: got {crl_required!r}, want true or false")
    return CaseFiles(
        platform=platform,
        evidence={name: _read(folder, name, digests) for name in _names(case, "evidence")},
        collateral={name: _read(folder, name, digests) for name in _names(case, "collateral")},
        policy=policy,
        now=now,
        crl_required=crl_required,
    )
