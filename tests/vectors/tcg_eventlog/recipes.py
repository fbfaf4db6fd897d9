"""Vectors of ``tcg-eventlog``: forged logs with the registers that they should replay to. Judged offline, never minted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from forge.bootlog import BootLog, measured_boot, secure_boot_variable
from tests.support.vectors import CaseVector, Outcome
from verifier.cases.form import CaseFiles
from verifier.tee.tcg.layout import (
    EV_EFI_VARIABLE_DRIVER_CONFIG,
    EV_NO_ACTION,
    EV_S_CRTM_VERSION,
    EV_SEPARATOR,
    SHA1,
    SHA256,
    SHA384,
    SM3_256,
    HashAlgorithm,
    encode_event2,
    encode_sha1_event,
    encode_spec_id,
)

NOW = 1_767_225_600
AGILE = (SHA1, SHA256, SHA384)


def registers(log: BootLog, *algorithms: HashAlgorithm) -> dict[str, dict[str, str]]:
    """Return expected registers in the notation of the cases."""
    return {a.name: {str(i): v.hex() for i, v in log.registers(a).items()} for a in algorithms}


def vector(
    name: str,
    outcome: Outcome,
    check_id: str = "",
    *,
    log: bytes,
    want: Mapping[str, Mapping[str, str]] | bytes,
    check_data: bool = True,
    **policy: Any,
) -> CaseVector:
    """Make a case of a log and the registers wanted of it."""
    expected = want if isinstance(want, bytes) else json.dumps(want).encode()
    files = CaseFiles(
        platform="tcg-eventlog",
        evidence={"eventlog.bin": log},
        collateral={"expected_registers.json": expected},
        policy={"check_event_data": check_data, **policy},
        now=NOW,
    )
    return CaseVector(name=name, files=files, outcome=outcome, check_id=check_id)


def agile() -> BootLog:
    """Return the log of a small machine with three banks; PCR 4 and 9 hold events whose data are not what was hashed."""
    return measured_boot(AGILE)


def tcg12() -> BootLog:
    """Return a log of the TCG 1.2 format."""
    log = BootLog((SHA1,), crypto_agile=False)
    log.add(0, EV_S_CRTM_VERSION, b"v1")
    log.add(7, EV_EFI_VARIABLE_DRIVER_CONFIG, secure_boot_variable())
    return log.add(7, EV_SEPARATOR, bytes(4))


_LOG = agile().to_bytes()
_WANT = registers(agile(), *AGILE)
_DECODE = "tcg-eventlog.decode.eventlog"
_REGISTERS = "tcg-eventlog.decode.registers"
_REPLAY = "tcg-eventlog.replay"
_DATA = "tcg-eventlog.data"
_ZERO_DIGESTS = [(a.id, bytes(a.size)) for a in AGILE]


def _spec_id_with(old: bytes, new: bytes) -> bytes:
    header = agile().events[0]
    return header.replace(old, new, 1) + _LOG[len(header) :]


def _digest_flipped() -> bytes:
    data = bytearray(_LOG)
    data[data.index(SHA256.digest(b"the boot loader's image"))] ^= 1
    return bytes(data)


def _twice_separated() -> BootLog:
    """Return a log with a second separator in PCR 7, as genuine ones have."""
    return agile().add(7, EV_SEPARATOR, bytes(4))


def _locality(log_locality: int) -> BootLog:
    return BootLog((SHA256,), locality=log_locality).add(0, EV_S_CRTM_VERSION, b"v1")


def _accepted() -> tuple[CaseVector, ...]:
    return (
        vector("crypto-agile", "accepted", log=_LOG, want=_WANT),
        vector("tcg-1-2", "accepted", log=tcg12().to_bytes(), want=registers(tcg12(), SHA1)),
        vector("padded-with-ones", "accepted", log=_LOG + b"\xff" * 64, want=_WANT),
        vector("ended-by-a-register-of-ones", "accepted", log=_LOG + b"\xff" * 4, want=_WANT),
        vector(
            "event-that-lacks-a-bank-nobody-asked-for",
            "accepted",
            log=encode_spec_id((SHA1, SHA256))
            + encode_event2(0, EV_SEPARATOR, [(SHA256.id, SHA256.digest(bytes(4)))], bytes(4)),
            want={"sha256": {"0": SHA256.digest(bytes(32) + SHA256.digest(bytes(4))).hex()}},
        ),
        vector(
            "second-separator",
            "accepted",
            log=_twice_separated().to_bytes(),
            want=registers(_twice_separated(), *AGILE),
        ),
        vector("padded-with-zeros", "accepted", log=_LOG + bytes(64), want=_WANT),
        vector("one-bank-asked-for", "accepted", log=_LOG, want=registers(agile(), SHA256)),
        vector(
            "started-from-locality-3", "accepted", log=_locality(3).to_bytes(), want=registers(_locality(3), SHA256)
        ),
        vector(
            "untouched-register-asked-for", "accepted", log=_LOG, want={"sha256": {"16": "00" * 32, "17": "ff" * 32}}
        ),
        vector(
            "no-action-is-not-extended",
            "accepted",
            log=_LOG + encode_event2(0xFFFFFFFF, EV_NO_ACTION, _ZERO_DIGESTS, b"a reference manifest"),
            want=_WANT,
        ),
        vector(
            "data-changed-and-nobody-asked",
            "accepted",
            log=_LOG.replace(secure_boot_variable(), secure_boot_variable(b"\x00")),
            want=_WANT,
            check_data=False,
        ),
    )


def _malformed() -> tuple[CaseVector, ...]:
    return (
        vector("empty", "malformed", _DECODE, log=b"", want=_WANT),
        vector("zeros", "malformed", _DECODE, log=bytes(4096), want=_WANT),
        vector(
            "event-without-any-digest",
            "malformed",
            _DECODE,
            log=encode_spec_id(AGILE) + encode_event2(0, EV_SEPARATOR, [], bytes(4)),
            want=_WANT,
        ),
        vector("second-log-behind-the-first", "malformed", _DECODE, log=_LOG + _LOG, want=_WANT),
        vector("three-ones", "malformed", _DECODE, log=_LOG + b"\xff" * 3, want=_WANT),
        vector("cut-in-an-event", "malformed", _DECODE, log=_LOG[:-1], want=_WANT),
        vector("too-short-to-be-padding", "malformed", _DECODE, log=_LOG + bytes(4), want=_WANT),
        vector("trailing-byte", "malformed", _DECODE, log=_LOG + b"\x01", want=_WANT),
        vector("larger-than-a-mebibyte", "malformed", _DECODE, log=_LOG + bytes(1024 * 1024), want=_WANT),
        vector(
            "event-with-unknown-digest",
            "malformed",
            _DECODE,
            log=encode_spec_id((SHA256,)) + encode_event2(0, EV_SEPARATOR, [(SHA384.id, bytes(48))], bytes(4)),
            want=_WANT,
        ),
        vector(
            "event-of-register-24",
            "malformed",
            _DECODE,
            log=encode_spec_id(AGILE) + encode_event2(24, EV_SEPARATOR, _ZERO_DIGESTS, bytes(4)),
            want=_WANT,
        ),
        vector(
            "tcg-1-2-event-of-register-24",
            "malformed",
            _DECODE,
            log=encode_sha1_event(24, EV_SEPARATOR, bytes(20), bytes(4)),
            want=_WANT,
        ),
        vector(
            "spec-id-lies-about-a-size",
            "malformed",
            _DECODE,
            log=_spec_id_with(b"\x0b\x00\x20\x00", b"\x0b\x00\x30\x00"),
            want=_WANT,
        ),
        vector(
            "spec-id-lists-a-hash-twice",
            "malformed",
            _DECODE,
            log=_spec_id_with(b"\x0c\x00\x30\x00", b"\x0b\x00\x20\x00"),
            want=_WANT,
        ),
        vector(
            "locality-said-twice",
            "malformed",
            _DECODE,
            log=_locality(3).to_bytes() + _locality(3).events[1],
            want=_WANT,
        ),
        vector("locality-that-no-start-has", "malformed", _DECODE, log=_locality(9).to_bytes(), want=_WANT),
        vector("registers-not-json", "malformed", _REGISTERS, log=_LOG, want=b"{"),
        vector("registers-empty", "malformed", _REGISTERS, log=_LOG, want={}),
        vector("bank-empty", "malformed", _REGISTERS, log=_LOG, want={"sha256": {}}),
        vector("register-too-short", "malformed", _REGISTERS, log=_LOG, want={"sha256": {"0": "00"}}),
    )


def _rejected() -> tuple[CaseVector, ...]:
    return (
        vector("digest-changed", "rejected", _REPLAY, log=_digest_flipped(), want=_WANT),
        vector("cut-between-events", "rejected", _REPLAY, log=b"".join(agile().events[:-1]), want=_WANT),
        vector("no-event-at-all", "rejected", _REPLAY, log=agile().events[0], want=_WANT),
        vector(
            "second-log-without-its-header", "rejected", _REPLAY, log=_LOG + _LOG[len(agile().events[0]) :], want=_WANT
        ),
        vector("second-separator-left-out", "rejected", _REPLAY, log=_LOG, want=registers(_twice_separated(), *AGILE)),
        vector("another-boot", "rejected", _REPLAY, log=measured_boot(AGILE, kernel=b"x").to_bytes(), want=_WANT),
        vector("bank-that-the-log-lacks", "rejected", _REPLAY, log=tcg12().to_bytes(), want=_WANT),
        vector(
            "bank-of-sm3-not-replayed",
            "rejected",
            _REPLAY,
            log=encode_spec_id((SM3_256,)) + encode_event2(0, EV_SEPARATOR, [(SM3_256.id, bytes(32))], bytes(4)),
            want={"sm3_256": {"0": "00" * 32}},
        ),
        vector(
            "event-with-a-digest-missing",
            "rejected",
            _REPLAY,
            log=encode_spec_id((SHA1, SHA256)) + encode_event2(0, EV_SEPARATOR, [(SHA1.id, bytes(20))], bytes(4)),
            want={"sha256": {"0": "00" * 32}},
        ),
        vector(
            "locality-not-said",
            "rejected",
            _REPLAY,
            log=_locality(0).to_bytes(),
            want=registers(_locality(3), SHA256),
        ),
        vector(
            "event-relabelled-as-no-action",
            "rejected",
            _REPLAY,
            log=_LOG.replace(b"\x04\x00\x00\x00\x04\x00\x00\x00", b"\x04\x00\x00\x00\x03\x00\x00\x00", 1),
            want=_WANT,
        ),
        vector(
            "data-changed",
            "rejected",
            _DATA,
            log=_LOG.replace(secure_boot_variable(), secure_boot_variable(b"\x00")),
            want=_WANT,
        ),
    )


@cache
def vectors() -> tuple[CaseVector, ...]:
    """Forge the vectors, once a process."""
    return (*_accepted(), *_malformed(), *_rejected())


# Raised inside and never seen outside: a variable that cannot be read counts as none.
