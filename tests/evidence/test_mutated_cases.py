"""Published cases with bytes changed at random (seeded): a verdict or a usage error comes out, never a traceback, never too much."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.parts import evidence_root
from verifier.cases.folder import read_case
from verifier.cases.form import CaseError, CaseFiles
from verifier.cases.judge import OfflineVerdict, judge_case
from verifier.cases.registry import CASES

_FLIPS = 12
# What of a file something signs, from its beginning on: one bit changed there is always too much.
_SIGNED = {
    "report.bin": 0x2A0,
    "quote.bin": 48 + 384,
    "attestation.cbor": 1 << 20,
    "tpm_quote.msg": 1 << 20,
    "quote.msg": 1 << 20,
    "spdm_report.bin": 1 << 20,
    "hcl_report.bin": 1236,
    "cca_token.cbor": 1 << 20,
}


def _folders() -> list[Any]:
    root = evidence_root()
    found = [] if root is None else sorted(p.parent for p in root.glob("*/*/case.json"))
    return [pytest.param(p, id=f"{p.parent.name}/{p.name}") for p in found if p.parent.name in CASES]


def _with(files: CaseFiles, name: str, data: bytes) -> CaseFiles:
    if name in files.collateral:
        return replace(files, collateral={**files.collateral, name: data})
    return replace(files, evidence={**files.evidence, name: data})


def _flipped(data: bytes, place: int, bit: int) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 1 << bit
    return bytes(changed)


def _otherwise(data: bytes, rng: random.Random) -> Iterator[bytes]:
    place, size = rng.randrange(len(data) + 1), rng.choice((1, 2, 4, 64, 4096))
    yield data[:place]
    yield data[:place] + data[place + size :]
    yield data[:place] + rng.randbytes(size) + data[place:]
    yield data[:place] + b"\xff" * size + data[place + size :]
    yield data[:place] + data
    yield rng.choice((b"", b"\0", b"{}", b"[]", b"[" * 9999, b"\x30\x80", b"-----BEGIN CERTIFICATE-----", b"\xff" * 99))


def _judge(files: CaseFiles) -> OfflineVerdict | None:
    """Judge; ``None`` for a usage error. Anything else that is raised fails the test."""
    try:
        return judge_case(CASES[files.platform], files)
    except CaseError:
        return None


@pytest.mark.parametrize("folder", _folders())
def test_whatever_the_bytes_a_verdict_comes_out(folder: Path) -> None:
    files = read_case(folder, CASES)
    original = judge_case(CASES[files.platform], files)
    rng = random.Random(f"{folder.parent.name}/{folder.name}")  # noqa: S311 - the same bytes at every run
    names = [*files.evidence, *files.collateral]
    for _ in range(_FLIPS):
        name = rng.choice(names)
        data = files.evidence[name] if name in files.evidence else files.collateral[name]
        verdict = _judge(_with(files, name, _flipped(data, rng.randrange(len(data)), rng.randrange(8))))
        if original.verdict == "invalid" and verdict is not None:
            assert verdict.verdict == "invalid", f"{name}: a flipped bit made it valid"
    for name in rng.sample(names, min(len(names), 2)):
        data = files.evidence[name] if name in files.evidence else files.collateral[name]
        for changed in _otherwise(data, rng):
            verdict = _judge(_with(files, name, changed))
            assert verdict is None or verdict.verdict == "valid" or verdict.check_id, name


@pytest.mark.parametrize("folder", _folders())
def test_no_signed_bit_may_change(folder: Path) -> None:
    files = read_case(folder, CASES)
    rng = random.Random(folder.name)  # noqa: S311 - the same bytes at every run
    signed = dict(_SIGNED)
    if files.platform == "azure-tdx-vtpm":
        signed["td_quote.bin"] = 48 + 584
        del signed["hcl_report.bin"]  # a TDREPORT's MAC can be checked on its machine alone
    for name in sorted(signed.keys() & files.evidence.keys()):
        data = files.evidence[name]
        for _ in range(_FLIPS):
            place = rng.randrange(min(len(data), signed[name]))
            if name == "hcl_report.bin" and not 32 <= place < 32 + 0x2A0:
                continue  # the paravisor's own header, and what of an SNP report is not signed
            bit = rng.randrange(8)
            verdict = judge_case(CASES[files.platform], _with(files, name, _flipped(data, place, bit)))
            assert verdict.verdict == "invalid", f"{name}: bit {bit} of byte {place:#x}"
            assert verdict.check_id
