"""Vectors of ``ccel``: forged CCEL logs with the RTMRs that they should replay to. Judged offline, never minted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from forge.bootlog import BootLog, secure_boot_variable
from forge.intel import ForgedIntel
from forge.intel_cclog import ccel_acpi_table, log_area, measured_cc_boot
from forge.intel_quote import Shape
from tests.support.vectors import CaseVector, Outcome
from verifier.cases.form import CaseFiles
from verifier.tee.dcap.layout import BODY_SGX, BODY_TD_15
from verifier.tee.tcg.layout import (
    EV_NO_ACTION,
    EV_SEPARATOR,
    SHA256,
    SHA384,
    encode_event2,
    encode_spec_id,
    extend,
)

NOW: Final = 1_800_000_000
LOG: Final = measured_cc_boot()
AREA: Final = log_area(LOG)
_REGISTERS: Final = LOG.registers(SHA384)
AAEL: Final = measured_cc_boot().add(4, 0x6, b"LEAA\x12\x00\x00\x00coco.com load model")
WANT: Final = {"sha384": {str(i): v.hex() for i, v in _REGISTERS.items()}}


def ima_line(path: str, *, template: str = "ima-ng", signature: str = "", register: int = 2) -> str:
    """Return a line of an IMA list whose template hash holds."""
    digest = SHA384.digest(path.encode())
    fields = [b"sha384:\x00" + digest, path.encode() + b"\x00"]
    text = f"sha384:{digest.hex()} {path}"
    if template == "ima-sig":
        fields.append(bytes.fromhex(signature))
        text += f" {signature}"
    data = b"".join(len(f).to_bytes(4, "little") + f for f in fields)
    return f"{register} {SHA384.digest(data).hex()} {template} {text}\n"


IMA: Final = ima_line("boot_aggregate") + ima_line("/usr/bin/a file with spaces", template="ima-sig", signature="0302")


def rtmr2_after(lines: str, entries: int) -> bytes:
    """Return RTMR2 after the boot log and so many entries of a list."""
    value = _REGISTERS[3]
    for line in lines.splitlines()[:entries]:
        value = extend(SHA384, value, bytes.fromhex(line.split()[1]))
    return value


def quote(shape: Shape | None = None, **fields: bytes | int) -> bytes:
    """Return a TD quote of the log's boot."""
    intel = ForgedIntel(now=NOW, event_log=LOG)
    return intel.quote("tdx", report_data=bytes(64), shape=shape or Shape(), **fields)


def vector(
    name: str,
    outcome: Outcome = "accepted",
    check_id: str = "",
    *,
    log: bytes | BootLog = AREA,
    want: Mapping[str, Mapping[str, str]] | bytes | None = WANT,
    check_data: bool = True,
    policy: Mapping[str, Any] | None = None,
    **beside: bytes | str,
) -> CaseVector:
    """Make a case of a log, the registers wanted of it, and files beside: ``quote``, ``table``, ``ima``."""
    names = {"quote": "td_quote.bin", "table": "ccel_acpi_table.bin", "ima": "ima_log.txt"}
    evidence = {"eventlog.bin": log.to_bytes() if isinstance(log, BootLog) else log}
    evidence |= {names[k]: v.encode() if isinstance(v, str) else v for k, v in beside.items()}
    expected = want if isinstance(want, bytes) else json.dumps(want).encode()
    files = CaseFiles(
        platform="ccel",
        evidence=evidence,
        collateral={} if want is None else {"expected_registers.json": expected},
        policy={"check_event_data": check_data} if policy is None else policy,
        now=NOW,
    )
    return CaseVector(name=name, files=files, outcome=outcome, check_id=check_id)


def _digest_flipped() -> bytes:
    data = bytearray(AREA)
    data[data.index(SHA384.digest(b"the boot loader's image"))] ^= 1
    return bytes(data)


def _with_event(register: int, event_type: int = EV_SEPARATOR) -> bytes:
    return LOG.to_bytes() + encode_event2(register, event_type, [(SHA384.id, SHA384.digest(bytes(4)))], bytes(4))


def _only(**registers: bytes) -> dict[str, dict[str, str]]:
    return {"sha384": {name.removeprefix("r"): value.hex() for name, value in registers.items()}}


def _accepted() -> tuple[CaseVector, ...]:
    return (
        vector("log-area-of-ones"),
        vector("log-area-of-zeros", log=log_area(LOG, fill=b"\x00")),
        vector("log-area-of-a-mebibyte", log=log_area(LOG, size=1024 * 1024)),
        vector("no-padding", log=LOG),
        vector("everything-beside", quote=quote(rtmr2=rtmr2_after(IMA, 2)), table=ccel_acpi_table(), ima=IMA),
        vector("quote-instead-of-registers", want=None, quote=quote()),
        vector("quote-padded", want=None, quote=quote() + bytes(3000)),
        vector("quote-of-version-5", want=None, quote=quote(Shape(version=5, body_type=BODY_TD_15))),
        # The quote is what the log leads to and not more: CoCo and IMA extend after firmware, and no list says what.
        vector("quote-of-later", quote=quote(rtmr3=b"\x01" * 48)),
        vector("ima-list-that-grew", quote=quote(rtmr2=rtmr2_after(IMA, 1)), ima=IMA),
        vector("ima-list-without-a-quote", ima=IMA),
        vector("one-register-asked-for", want=_only(r2=_REGISTERS[2])),
        vector("rtmr3-untouched", want=_only(r1=_REGISTERS[1], r4=bytes(48))),
        vector("application-extends-rtmr3", log=measured_cc_boot().add(4, 0x6, b"AAEL"), want=WANT),
        vector("application-events", log=AAEL, want=_only(r4=AAEL.registers(SHA384)[4])),
        vector(
            "tag-of-another",
            log=measured_cc_boot().add(3, 0x6, b"\xec\x22\x3b\x8finitrd", hashed=b"the file"),
            want=_only(r1=_REGISTERS[1]),
        ),
        vector("second-separator", log=_with_event(1), want=_only(r2=_REGISTERS[2])),
        vector("nothing-said-of-event-data", policy={}),
        vector(
            "data-changed-and-nobody-asked",
            log=AREA.replace(secure_boot_variable(), secure_boot_variable(b"\x00")),
            check_data=False,
        ),
        vector(
            "ima-text-changed-and-nobody-asked",
            quote=quote(rtmr2=rtmr2_after(IMA, 2)),
            ima=IMA.replace("/usr/bin/a", "/usr/bin/X"),
            check_data=False,
        ),
    )


_LOG, _TABLE = "ccel.decode.eventlog", "ccel.decode.acpi-table"
_EXPECTED, _QUOTE, _IMA = "ccel.decode.registers", "ccel.decode.quote", "ccel.decode.ima"


def _malformed() -> tuple[CaseVector, ...]:
    return (
        vector("empty", "malformed", _LOG, log=b""),
        vector("padding-alone", "malformed", _LOG, log=b"\xff" * 4096),
        vector("cut-in-an-event", "malformed", _LOG, log=LOG.to_bytes()[:-1]),
        vector("register-5", "malformed", _LOG, log=_with_event(5)),
        vector("trailing-byte", "malformed", _LOG, log=AREA + b"\x01"),
        vector("larger-than-a-mebibyte", "malformed", _LOG, log=AREA + b"\xff" * 1024 * 1024),
        vector("registers-not-json", "malformed", _EXPECTED, want=b"["),
        vector("registers-beyond-rtmr3", "malformed", _EXPECTED, want=_only(r5=bytes(48))),
        vector("register-too-short", "malformed", _EXPECTED, want=_only(r1=bytes(32))),
        vector("bank-twice", "malformed", _EXPECTED, want=b'{"sha384":{"1":"00"},"sha384":{}}'),
        vector("table-short", "malformed", _TABLE, table=ccel_acpi_table()[:-1]),
        vector("table-trailing", "malformed", _TABLE, table=ccel_acpi_table() + b"\x00"),
        vector("table-of-another-kind", "malformed", _TABLE, table=ccel_acpi_table(signature=b"TPM2")),
        vector("table-says-another-length", "malformed", _TABLE, table=ccel_acpi_table(length=52)),
        vector("table-reserved", "malformed", _TABLE, table=ccel_acpi_table(reserved=1)),
        vector("quote-cut", "malformed", _QUOTE, quote=quote()[:631]),
        vector("quote-of-version-3", "malformed", _QUOTE, quote=quote(Shape(header={"version": 3}))),
        vector("quote-of-sgx", "malformed", _QUOTE, quote=quote(Shape(header={"tee_type": 0}))),
        vector("quote-of-an-enclave", "malformed", _QUOTE, quote=quote(Shape(version=5, written_body_type=BODY_SGX))),
        vector("quote-too-long", "malformed", _QUOTE, quote=quote() + bytes(64 * 1024)),
        vector("ima-empty", "malformed", _IMA, ima=""),
        vector("ima-of-a-pcr", "malformed", _IMA, ima=ima_line("boot_aggregate", register=10)),
        vector("ima-sha256", "malformed", _IMA, ima="2 " + "00" * 32 + " ima-ng sha256:00 x\n"),
        vector("ima-not-text", "malformed", _IMA, ima=b"\xff\xfe"),
        vector("ima-blank-line", "malformed", _IMA, ima=IMA + "\n"),
        vector("ima-too-long", "malformed", _IMA, ima=IMA * 10_000),
        vector("ima-too-many", "malformed", _IMA, ima="\n" * 16_400),
    )


_NO: Final = "rejected"
_REPLAY: Final = "ccel.replay"


def _rejected() -> tuple[CaseVector, ...]:
    return (
        vector("digest-changed", _NO, _REPLAY, log=_digest_flipped()),
        vector("cut-between-events", _NO, _REPLAY, log=b"".join(LOG.events[:-1])),
        vector("no-event-at-all", _NO, _REPLAY, log=LOG.events[0]),
        vector("another-boot", _NO, _REPLAY, log=log_area(measured_cc_boot(kernel=b"another"))),
        vector("another-boot-than-the-quote", _NO, _REPLAY, want=None, quote=quote(rtmr0=bytes(48))),
        vector("register-that-nothing-extended", _NO, _REPLAY, want=_only(r4=b"\x01" * 48)),
        vector("no-register-of-it", _NO, _REPLAY, want=_only(r0=bytes(48))),
        vector(
            "event-relabelled-as-no-action",
            _NO,
            _REPLAY,
            log=AREA.replace(b"\x01\x00\x00\x00\x04\x00\x00\x00", b"\x01\x00\x00\x00\x03\x00\x00\x00", 1),
        ),
        # A TPM starts PCR 0 from the locality; no RTMR knows any.
        vector(
            "locality-changes-nothing",
            _NO,
            _REPLAY,
            log=BootLog((SHA384,), locality=3).add(0, EV_SEPARATOR, bytes(4)),
            want=_only(r0=BootLog((SHA384,), locality=3).add(0, EV_SEPARATOR, bytes(4)).registers(SHA384)[0]),
        ),
        vector(
            "log-without-sha384",
            _NO,
            _REPLAY,
            log=encode_spec_id((SHA256,))
            + encode_event2(1, EV_SEPARATOR, [(SHA256.id, SHA256.digest(bytes(4)))], bytes(4)),
        ),
        vector("no-action-is-not-extended", _NO, _REPLAY, log=_with_event(1, EV_NO_ACTION), want=_only(r1=bytes(48))),
        vector(
            "data-changed", _NO, "ccel.data", log=AREA.replace(secure_boot_variable(), secure_boot_variable(b"\x00"))
        ),
        vector(
            "application-event-changed",
            _NO,
            "ccel.data",
            log=AAEL.to_bytes().replace(b"coco.com", b"c0co.com"),
            want=_only(r4=AAEL.registers(SHA384)[4]),
        ),
        vector("table-checksum", _NO, "ccel.acpi-table", table=ccel_acpi_table(checksum=0)),
        vector("table-of-sev", _NO, "ccel.acpi-table", table=ccel_acpi_table(cc_type=1)),
        vector("log-beyond-its-area", _NO, "ccel.acpi-table", table=ccel_acpi_table(log_size=len(AREA) - 1)),
        vector("ima-that-nobody-extended", _NO, "ccel.ima.replay", quote=quote(), ima=IMA),
        vector(
            "ima-entries-swapped",
            _NO,
            "ccel.ima.replay",
            quote=quote(rtmr2=rtmr2_after(IMA, 2)),
            ima="".join(f"{line}\n" for line in reversed(IMA.splitlines())),
        ),
        vector(
            "ima-text-changed",
            _NO,
            "ccel.ima.template",
            quote=quote(rtmr2=rtmr2_after(IMA, 2)),
            ima=IMA.replace("/usr/bin/a", "/usr/bin/X"),
        ),
        vector(
            "ima-template-unknown",
            _NO,
            "ccel.ima.template",
            quote=quote(rtmr2=rtmr2_after(IMA, 2)),
            ima=IMA.replace("ima-sig", "ima-buf"),
        ),
    )


@cache
def vectors() -> tuple[CaseVector, ...]:
    """Forge the vectors, once a process."""
    return (*_accepted(), *_malformed(), *_rejected())
