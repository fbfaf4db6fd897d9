"""Decode a TCG event log: crypto-agile (TCG2) or SHA-1 (TCG 1.2). Raises ``MalformedEvidence`` and nothing else.

Proves nothing: digests are proved by ``replay`` against quoted registers, data by ``data`` against digests.
Source: TCG PC Client Platform Firmware Profile 1.05/1.06, section 10.2; the padding: docs/tee/tcg-eventlog.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from verifier.formats.errors import MalformedEvidence
from verifier.formats.reader import Reader
from verifier.tee.tcg.layout import (
    EV_EFI_HCRTM_EVENT,
    EV_NO_ACTION,
    HASHES,
    SHA1,
    SPEC_ID_SIGNATURE,
    STARTUP_LOCALITY_SIGNATURE,
    Event,
    EventLog,
    UefiVariable,
)

MAX_LOG_BYTES = 1024 * 1024
MAX_EVENTS = 16_384
MAX_ALGORITHMS = 8
MAX_DIGEST_SIZE = 64
MAX_REGISTER = 23
SHA1_LOG = "TCG_PCClientPCREvent (SHA-1)"
_LOCALITIES = frozenset((0, 3, 4))  # TPM2_Startup comes from 0 or 3; an H-CRTM counts as 4 (PFP 2.3.4)
_UNUSED_REGISTER = 0xFFFFFFFF
# A shorter tail is no padding. Four zero bytes are how an event of PCR 0 begins, so they are an event that was cut; four ones
# name no register, which is how some writers end a log.
_MIN_ZEROS, _MIN_ONES = 8, 4
_UEFI_NAME_MAX = 1024


@dataclass(frozen=True, slots=True)
class _Padding:
    start: int
    least: int  # a shorter one is an event that was cut


def decode_log(
    data: bytes,
    *,
    check_id: str = "tcg-eventlog.decode.eventlog",
    max_bytes: int = MAX_LOG_BYTES,
    max_register: int = MAX_REGISTER,
) -> EventLog:
    """Read a whole log. ``check_id`` is raised for every fault; a log without a single event is one."""
    require_size(data, check_id, max_bytes=max_bytes)
    reader = Reader(data, check_id, "event log")
    padding = _padding_starts(data)
    if not padding.start:
        raise reader.fail("events: got none")
    register, event_type, digest, body = _sha1_event(reader)
    if event_type == EV_NO_ACTION and body.startswith(SPEC_ID_SIGNATURE):
        spec_id, algorithms = _spec_id(body, check_id)
        events = _events(reader, algorithms, [], padding, max_register)
    else:
        spec_id, algorithms = SHA1_LOG, ()
        _check_register(reader, register, event_type, max_register)
        first = Event(0, register, event_type, MappingProxyType({SHA1.id: digest}), body)
        events = _events(reader, algorithms, [first], padding, max_register)
    table = algorithms or ((SHA1.id, SHA1.size),)
    return EventLog(
        raw=data,
        bytes_used=reader.position,
        spec_id=spec_id,
        algorithms=table,
        banks=_whole_banks(events, table),
        startup_locality=_startup_locality(events, reader),
        events=tuple(events),
    )


def require_size(data: bytes, check_id: str, *, max_bytes: int = MAX_LOG_BYTES) -> None:
    """Refuse more bytes than a log may have, and none."""
    if not data:
        raise MalformedEvidence(check_id, "event log: got nothing, want at least one event")
    if len(data) > max_bytes:
        raise MalformedEvidence(check_id, f"event log: got {len(data)} bytes, want at most {max_bytes}")


def _sha1_event(reader: Reader) -> tuple[int, int, bytes, bytes]:
    """Read one TCG_PCClientPCREvent."""
    register = reader.u32le("register")
    event_type = reader.u32le("type")
    digest = reader.take(SHA1.size, "digest")
    return register, event_type, digest, reader.take(reader.u32le("size"), "data")


def _spec_id(body: bytes, check_id: str) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Read TCG_EfiSpecIDEvent; its table gives the digest sizes of all that follows."""
    reader = Reader(body, check_id, "Spec ID event")
    reader.take(len(SPEC_ID_SIGNATURE), "signature")
    reader.u32le("platform class")
    minor, major, errata = reader.u8("minor"), reader.u8("major"), reader.u8("errata")
    reader.u8("uintn size")
    count = reader.u32le("number of algorithms")
    if not 1 <= count <= MAX_ALGORITHMS:
        raise reader.fail(f"number of algorithms: got {count}, want 1 to {MAX_ALGORITHMS}")
    table: dict[int, int] = {}
    for _ in range(count):
        algorithm, size = reader.u16le("algorithm"), reader.u16le("digest size")
        known = HASHES.get(algorithm)
        if algorithm in table:
            raise reader.fail(f"algorithm 0x{algorithm:04x}: listed twice")
        if not 0 < size <= MAX_DIGEST_SIZE or (known is not None and known.size != size):
            raise reader.fail(f"algorithm 0x{algorithm:04x}: got digest size {size}")
        table[algorithm] = size
    reader.take(reader.u8("vendor info size"), "vendor info")
    reader.end()
    return f"{major}.{minor:02d}.{errata:02d}", tuple(table.items())


def _events(
    reader: Reader, algorithms: tuple[tuple[int, int], ...], events: list[Event], padding: _Padding, max_register: int
) -> list[Event]:
    """Read events up to the padding; ``algorithms`` is empty for a SHA-1 log."""
    sizes = dict(algorithms)
    while reader.remaining and not _is_padding(reader, padding):
        if len(events) >= MAX_EVENTS:
            raise reader.fail(f"events: got more than {MAX_EVENTS}")
        if algorithms:
            event = _event2(reader, len(events), sizes)
        else:
            register, event_type, digest, body = _sha1_event(reader)
            event = Event(len(events), register, event_type, MappingProxyType({SHA1.id: digest}), body)
        _check_register(reader, event.register, event.type, max_register)
        events.append(event)
    return events


def _event2(reader: Reader, ordinal: int, sizes: dict[int, int]) -> Event:
    """Read one TCG_PCR_EVENT2: algorithms of the table, each at most once. Which banks are whole, ``EventLog.banks`` says."""
    register = reader.u32le("register")
    event_type = reader.u32le("type")
    count = reader.u32le("digest count")
    if not 1 <= count <= len(sizes):
        raise reader.fail(f"digest count: got {count}, want 1 to {len(sizes)}")
    digests: dict[int, bytes] = {}
    for _ in range(count):
        algorithm = reader.u16le("algorithm")
        if algorithm not in sizes or algorithm in digests:
            raise reader.fail(f"algorithm: got 0x{algorithm:04x}, want one of the Spec ID table, each once")
        digests[algorithm] = reader.take(sizes[algorithm], "digest")
    body = reader.take(reader.u32le("size"), "data")
    return Event(ordinal, register, event_type, MappingProxyType(digests), body)


def _whole_banks(events: list[Event], table: tuple[tuple[int, int], ...]) -> frozenset[int]:
    """Return the algorithms that this verifier can compute and of which no extended event lacks its digest."""
    whole = {a for a, _ in table if a in HASHES and HASHES[a].new is not None}
    for event in events:
        if event.type != EV_NO_ACTION:
            whole.intersection_update(event.digests)
    return frozenset(whole)


def _check_register(reader: Reader, register: int, event_type: int, max_register: int) -> None:
    if register <= max_register or (event_type == EV_NO_ACTION and register == _UNUSED_REGISTER):
        return
    raise reader.fail(f"register: got {register}, want 0 to {max_register}")


def _padding_starts(data: bytes) -> _Padding:
    """Find the tail of zeros or of ones (docs/tee/tcg-eventlog.md), once, so that a log costs one pass.

    An event's own last bytes may belong to such a tail: the reader may then stand past this position, never before it.
    """
    zeros, ones = len(data.rstrip(b"\x00")), len(data.rstrip(b"\xff"))
    return _Padding(zeros, _MIN_ZEROS) if zeros < ones else _Padding(ones, _MIN_ONES)


def _is_padding(reader: Reader, padding: _Padding) -> bool:
    return reader.position >= padding.start and reader.remaining >= padding.least


def _startup_locality(events: list[Event], reader: Reader) -> int:
    """Find from which locality PCR 0 started; more than one word on it is refused."""
    said = [e.data for e in events if e.type == EV_NO_ACTION and e.data.startswith(STARTUP_LOCALITY_SIGNATURE)]
    if len(said) > 1:
        raise reader.fail(f"StartupLocality: got {len(said)} events, want at most 1")
    if said:
        tail = said[0][len(STARTUP_LOCALITY_SIGNATURE) :]
        if len(tail) != 1 or tail[0] not in _LOCALITIES:
            raise reader.fail(f"StartupLocality: got {tail.hex()}, want one byte of 00, 03, 04")
        return tail[0]
    return 4 if any(e.type == EV_EFI_HCRTM_EVENT and e.register == 0 for e in events) else 0


def decode_uefi_variable(data: bytes, *, check_id: str = "variable") -> UefiVariable:
    """Read UEFI_VARIABLE_DATA (PFP 10.2.6) exactly; trailing bytes are malformed."""
    reader = Reader(data, check_id, "UEFI variable")
    vendor = reader.take(16, "vendor")
    name_units, value_size = reader.u64le("name length"), reader.u64le("data length")
    if name_units > _UEFI_NAME_MAX:
        raise reader.fail(f"name length: got {name_units}, want at most {_UEFI_NAME_MAX}")
    raw_name = reader.take(name_units * 2, "name")
    value = reader.take(value_size, "data")
    reader.end()
    try:
        name = raw_name.decode("utf-16-le")
    except UnicodeDecodeError:
        raise reader.fail("name: not UTF-16") from None
    return UefiVariable(vendor, name, value)
