"""Vectors of ``ima``: forged measurement lists with the values that PCR 10 should have. Judged offline, never minted."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import cache
from typing import Any

from forge.ima import MeasurementList, sign_file, small_system
from forge.tpm2 import new_key
from tests.support.vectors import CaseVector, Outcome
from verifier.cases.form import CaseFiles
from verifier.tee.ima.layout import template_data
from verifier.tee.tcg.layout import SHA1, SHA256, SHA384, HashAlgorithm

NOW = 1_767_225_600
_BANKS = (SHA1, SHA256)
_DECODE = "ima.decode.ascii_runtime_measurements"
_REGISTERS = "ima.decode.expected_pcr10"
_TEMPLATE, _REPLAY = "ima.template", "ima.replay"
PCRS = {i: bytes([i + 1]) * 32 for i in range(10)}


def registers(found: MeasurementList, *banks: HashAlgorithm) -> dict[str, str]:
    """Return the expected values in the notation of the cases."""
    return {bank.name: found.register(bank).hex() for bank in banks or _BANKS}


def vector(
    name: str, outcome: Outcome, check_id: str = "", *, data: bytes | MeasurementList, want: Any = None
) -> CaseVector:
    """Make a case of a list and the values wanted of it, its own by default."""
    expected = registers(data) if want is None and isinstance(data, MeasurementList) else want
    raw = expected if isinstance(expected, bytes) else json.dumps(expected).encode()
    files = CaseFiles(
        platform="ima",
        evidence={"ascii_runtime_measurements": data if isinstance(data, bytes) else data.to_bytes()},
        collateral={"expected_pcr10.json": raw},
        policy={},
        now=NOW,
    )
    return CaseVector(name=name, files=files, outcome=outcome, check_id=check_id)


def system() -> MeasurementList:
    """Return the list of the base vector."""
    return small_system(PCRS)


def mixed() -> MeasurementList:
    """Return a list in every template, with a path of spaces and one of bytes that are no text."""
    key, content = new_key("ecc", "ima"), hashlib.sha256(b"content").digest()
    found = MeasurementList("ima-ng").boot_aggregate(PCRS)
    found.measure(b"/old", bytes(19) + b"\x01", template="ima")
    found.measure(b"/a  b c ", content).measure(b"/\xff\xfe", content)
    found.measure(b"/typed", content, template="ima-ngv2").measure(b"/v", content, template="ima-ngv2", kind="verity")
    found.measure(b"/signed file", content, template="ima-sig", fields=(sign_file(key, content),))
    found.measure(b"/not signed", content, template="ima-sig").measure(b"/s2", content, template="ima-sigv2")
    found.measure(b"kexec-cmdline", content, template="ima-buf", fields=(b"ro quiet",))
    modsig = (b"", b"sha256:\x00" + content, b"a PKCS#7 message")
    found.measure(b"/lib/m.ko", content, template="ima-modsig", fields=modsig)
    found.measure(b"/lib/n.ko", content, template="ima-modsig")
    found.measure(b"/md5", bytes(15) + b"\x01", "md5").measure(b"/sha512", hashlib.sha512().digest(), "sha512")
    return found.violation(b"/var/log/written while read")


def sha384_template() -> MeasurementList:
    """Return a list as newer kernels print it for another bank."""
    return MeasurementList(template_hash=SHA384, banks=(SHA384,)).boot_aggregate(PCRS).file(b"/a", b"a")


def padded(found: MeasurementList) -> str:
    """Return PCR 10 as kernels before 5.8 extended it."""
    value = bytes(32)
    for entry in found.entries:
        value = SHA256.digest(value + entry.template_hash.ljust(32, b"\x00"))
    return value.hex()


def _line(at: int, **changes: Any) -> bytes:
    """Return the base list with one entry's fields changed, its template hash made to fit."""
    found = MeasurementList()
    for number, entry in enumerate(system().entries):
        changed = replace(entry, **changes) if number == at else entry
        found.append(replace(changed, template_hash=SHA1.digest(template_data(changed))))
    return found.to_bytes()


def _text(at: int, old: bytes, new: bytes) -> bytes:
    lines = list(system().lines)
    if old not in lines[at]:
        raise AssertionError(f"{old!r} is not in {lines[at]!r}")
    lines[at] = lines[at].replace(old, new, 1)
    return b"".join(lines)


def _swapped() -> bytes:
    lines = list(system().lines)
    lines[2], lines[3] = lines[3], lines[2]
    return b"".join(lines)


_RAW, _WANT = system().to_bytes(), registers(system())


def _accepted() -> tuple[CaseVector, ...]:
    return (
        vector("ima-ng", "accepted", data=system()),
        vector("every-template-paths-with-spaces-and-a-violation", "accepted", data=mixed()),
        vector("one-bank-asked-for", "accepted", data=_RAW, want={"sha256": _WANT["sha256"]}),
        vector("values-by-register", "accepted", data=_RAW, want={b: {"10": v} for b, v in _WANT.items()}),
        vector(
            "template-hash-of-sha384", "accepted", data=sha384_template(), want=registers(sha384_template(), SHA384)
        ),
        vector("last-line-without-its-end", "accepted", data=_RAW[:-1], want=_WANT),
    )


def _malformed() -> tuple[CaseVector, ...]:
    return (
        vector("empty", "malformed", _DECODE, data=b"", want=_WANT),
        vector("empty-line", "malformed", _DECODE, data=_RAW + b"\n", want=_WANT),
        vector("cut-in-a-line", "malformed", _DECODE, data=_RAW[: _RAW.rindex(b"sha256:")], want=_WANT),
        vector("another-register", "malformed", _DECODE, data=_text(1, b"10 ", b"11 "), want=_WANT),
        vector("unknown-template", "malformed", _DECODE, data=_text(1, b" ima-ng ", b" evm-sig "), want=_WANT),
        vector("unknown-digest", "malformed", _DECODE, data=_text(1, b"sha256:", b"sha257:"), want=_WANT),
        vector("digest-without-algorithm", "malformed", _DECODE, data=_text(1, b"sha256:", b""), want=_WANT),
        vector("digest-too-short", "malformed", _DECODE, data=_line(1, digest=bytes(31) + b"\x01", algorithm="sha1"), want=_WANT),
        vector("hex-in-upper-case", "malformed", _DECODE, data=_text(1, b"10 ", b"10 AA"), want=_WANT),
        vector("path-missing", "malformed", _DECODE, data=_line(1, path=b""), want=_WANT),
        vector("path-with-nul", "malformed", _DECODE, data=_line(1, path=b"/a\x00b"), want=_WANT),
        vector("path-with-line-feed", "malformed", _DECODE, data=_line(1, path=b"/a\nb"), want=_WANT),
        vector("signature-missing", "malformed", _DECODE, data=_text(1, b" ima-ng ", b" ima-modsig "), want=_WANT),
        vector("violation-with-a-digest", "malformed", _DECODE,
               data=_RAW.replace(system().entries[1].template_hash.hex().encode(), b"00" * 20), want=_WANT),
        vector("registers-not-json", "malformed", _REGISTERS, data=_RAW, want=b"{"),
        vector("registers-twice", "malformed", _REGISTERS, data=_RAW, want=b'{"sha1": "00", "sha1": "00"}'),
        vector("registers-empty", "malformed", _REGISTERS, data=_RAW, want={}),
        vector("registers-of-another-pcr", "malformed", _REGISTERS, data=_RAW, want={"sha1": {"11": "00" * 20}}),
        vector("registers-of-an-unknown-hash", "malformed", _REGISTERS, data=_RAW, want={"md5": "00" * 16}),
    )  # fmt: skip


def _rejected() -> tuple[CaseVector, ...]:
    return (
        vector("path-changed", "rejected", _TEMPLATE, data=_text(2, b"/usr/lib/ld", b"/usr/lib/xd"), want=_WANT),
        vector("digest-changed", "rejected", _TEMPLATE, data=_text(2, b"sha256:", b"sha256:") .replace(
            system().entries[2].digest.hex().encode(), bytes(32).hex().encode()), want=_WANT),
        vector("template-hash-changed", "rejected", _TEMPLATE, data=_text(2, b"10 ", b"10 ").replace(
            system().entries[2].template_hash.hex().encode(), b"ab" * 20), want=_WANT),
        vector("algorithm-renamed", "rejected", _TEMPLATE, data=_text(2, b"sha256:", b"sha3-256:"), want=_WANT),
        vector("entry-of-another-file", "rejected", _REPLAY, data=_line(2, path=b"/usr/bin/other"), want=_WANT),
        vector("entries-swapped", "rejected", _REPLAY, data=_swapped(), want=_WANT),
        vector("entry-removed", "rejected", _REPLAY, data=b"".join((*system().lines[:2], *system().lines[3:])), want=_WANT),
        vector("entry-repeated", "rejected", _REPLAY, data=_RAW + system().lines[-1], want=_WANT),
        vector("last-entry-cut-off", "rejected", _REPLAY, data=b"".join(system().lines[:-1]), want=_WANT),
        vector("one-bank-differs", "rejected", _REPLAY, data=_RAW, want={**_WANT, "sha256": "00" * 32}),
        vector("padded-by-an-old-kernel", "rejected", _REPLAY, data=_RAW, want={"sha256": padded(system())}),
        vector("violation-made-an-entry", "rejected", _REPLAY,
               data=b"".join((*system().lines, *MeasurementList().violation(b"/x").lines)), want=_WANT),
    )  # fmt: skip


@cache
def vectors() -> tuple[CaseVector, ...]:
    """Forge the vectors, once a process."""
    return (*_accepted(), *_malformed(), *_rejected())


# A signature that cannot be read explains nothing; no list is refused for it.
