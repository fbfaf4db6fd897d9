"""Register values as JSON: ``{bank: {index: hex}}``, the form of the cases and of ``tpm2``'s ``pcrs`` part. Untrusted until hashed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from verifier.formats import strict_json
from verifier.formats.errors import MalformedEvidence
from verifier.tee.tcg.layout import HASHES_BY_NAME

MAX_BYTES = 64 * 1024

_INDEX = re.compile(r"0|[1-9]|1[0-9]|2[0-3]", re.ASCII)
_HEX = re.compile(r"[0-9a-f]+", re.ASCII)

Banks = Mapping[str, Mapping[int, bytes]]


def decode_banks(data: bytes, check_id: str, what: str) -> Banks:
    """Read it strictly: known banks, indexes 0 to 23, each key once, lower-case hex of the bank's size, nothing empty."""
    if len(data) > MAX_BYTES:
        raise MalformedEvidence(check_id, f"{what}: got {len(data)} bytes, want at most {MAX_BYTES}")
    try:
        document = strict_json.read(data)
    except ValueError:
        raise MalformedEvidence(check_id, f"{what}: not JSON, or a key stands twice") from None
    if not isinstance(document, dict) or not document:
        raise MalformedEvidence(check_id, f"{what}: want an object of banks, not empty")
    return MappingProxyType({bank: _bank(bank, values, check_id, what) for bank, values in document.items()})


def as_written_strictly(data: bytes) -> bytes:
    """Write a published case's register values in the strict form: for files whose authors had other habits.

    Letters of banks and hex become small, ``0x`` and a byte order mark go, a list counts from 0, banks of a hash that is not known
    go too. What cannot be read stays as it is, for ``decode_banks`` to refuse.
    """
    if len(data) > MAX_BYTES:
        return data
    try:
        document = strict_json.read(data.decode("utf-8-sig"))
        banks = {bank.lower().replace("-", ""): _entries(values) for bank, values in document.items()}
        known = {bank: values for bank, values in banks.items() if bank in HASHES_BY_NAME and values}
        return json.dumps(known).encode() if known and len(banks) == len(document) else data
    except (ValueError, AttributeError):
        return data


def _entries(values: Any) -> dict[str, str]:
    listed = {str(index): value for index, value in enumerate(values)} if isinstance(values, list) else values
    return {index: value.lower().removeprefix("0x") for index, value in listed.items()}


def _bank(bank: str, values: Any, check_id: str, what: str) -> Mapping[int, bytes]:
    algorithm = HASHES_BY_NAME.get(bank)
    if algorithm is None or not isinstance(values, dict) or not values:
        raise MalformedEvidence(check_id, f"{what}.{bank[:16]}: want a known bank with at least one register")
    for index, value in values.items():
        if _INDEX.fullmatch(index) is None:
            raise MalformedEvidence(check_id, f"{what}.{bank}: got index {index[:16]!r}, want 0 to 23")
        if not isinstance(value, str) or len(value) != 2 * algorithm.size or _HEX.fullmatch(value) is None:
            raise MalformedEvidence(check_id, f"{what}.{bank}.{index}: want {algorithm.size} bytes in lower-case hex")
    return MappingProxyType({int(index): bytes.fromhex(value) for index, value in values.items()})
