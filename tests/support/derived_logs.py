"""Derived cases of logs: TCG event logs, CCEL, IMA lists."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator

from cryptography.hazmat.primitives import hashes

from tests.support.derived_cases import Case, Derived, Recipe, base, invalid, published, valid
from tests.support.derived_devices import pcr_forms

TCG, CCEL, IMA = "tcg-eventlog", "ccel", "ima"
LOG, REGISTERS = "eventlog.bin", "expected_registers.json"
LIST, PCR10 = "ascii_runtime_measurements", "expected_pcr10.json"
SIZES = (65536, 262144, 1048576)


def _used(case: Case) -> int:
    used: int = case.document["claims"]["log"]["bytes_used"]
    return used


def log_forms() -> Iterator[Derived]:
    """Padding, registers, policies that change nothing."""
    for platform in (TCG, CCEL):
        for case in published(platform):
            data, used = case.part(LOG), _used(case)
            yield from _paddings(case, data[:used])
            banks: dict[str, dict[str, str]] = json.loads(case.part(REGISTERS))
            for what, written in pcr_forms(banks):
                yield valid(case.copy().put(REGISTERS, written), f"registers: {what}")
            changed = case.copy()
            changed.evidence[REGISTERS] = changed.collateral.pop(REGISTERS)
            changed.evidence["cmdline.txt"] = b"root=/dev/vda"
            yield valid(changed, "registers in the evidence, a file besides")
            changed = case.copy()
            changed.document["policy"] = {}
            yield valid(changed, "no policy")
            yield valid(
                case.copy().drop("td_quote.bin", "ccel_acpi_table.bin", "ima_log.txt", "expected_parse.json"),
                "log and registers alone",
                same_claims=platform == TCG,
            )
            if any(indexes.keys() - {"0"} for indexes in banks.values()):
                one = {bank: dict(list(values.items())[1:2]) for bank, values in banks.items() if len(values) > 1}
                yield valid(
                    case.copy().put(REGISTERS, json.dumps(one).encode()), "one register a bank", same_claims=False
                )


def _paddings(case: Case, log: bytes) -> Iterator[Derived]:
    yield valid(case.copy().put(LOG, log), "no padding")
    table = case.evidence.get("ccel_acpi_table.bin")
    room = int.from_bytes(table[40:48], "little") if table else max(SIZES)
    for size in SIZES:
        if len(log) < size <= room:
            for byte in (b"\xff", b"\0"):
                yield valid(case.copy().put(LOG, log.ljust(size, byte)), f"padded with {byte.hex()} to {size}")


def log_faults() -> Iterator[Derived]:
    """Flips, cuts, other boots, other registers."""
    for platform in (TCG, CCEL):
        cases = published(platform)
        for case, other in zip(cases, (*cases[1:], cases[0]), strict=True):
            replay, decode = f"{platform}.replay", f"{platform}.decode.eventlog"
            data, used = case.part(LOG), _used(case)
            for size in (0, 7, 20, 31, used // 2, used - 1):
                yield invalid(case.copy().put(LOG, data[:size]), f"cut to {size}", decode, replay)
            yield invalid(case.copy().put(LOG, b"\xff" * 65536), "padding alone", decode)
            yield invalid(
                case.copy().put(LOG, data[:used] + b"trailing bytes that are no event"),
                "no padding but bytes behind it",
                decode,
            )
            banks: dict[str, dict[str, str]] = json.loads(case.part(REGISTERS))
            for bank, values in banks.items():
                digest_size = len(next(iter(values.values()))) // 2
                for index in (min(values, key=int), max(values, key=int)):
                    yield invalid(
                        case.copy().put(
                            REGISTERS, json.dumps({**banks, bank: {**values, index: "5a" * digest_size}}).encode()
                        ),
                        f"another {bank} register {index}",
                        replay,
                    )
            changed = case.copy()
            changed.put(LOG, other.part(LOG))
            fits = (replay, f"{platform}.acpi-table", decode)
            yield invalid(changed, f"log of {other.name}", *fits)
            for name, check_id in ((LOG, decode), (REGISTERS, f"{platform}.decode.registers")):
                yield invalid(case.copy().drop(name, "td_quote.bin", "ima_log.txt"), f"without {name}", check_id)
            for what, junk in (("empty", b""), ("a list", b"[]"), ("no bank", b"{}"), ("nested", b"[" * 5000)):
                yield invalid(case.copy().put(REGISTERS, junk), f"registers {what}", f"{platform}.decode.registers")
            yield from _changed_events(case)
    yield from _ccel_faults()


def _events(data: bytes, used: int) -> Iterator[tuple[int, int, dict[int, int], int, int]]:
    """Yield (start, type, digest offset by algorithm, data offset, data size) of a crypto-agile log's events."""
    at = 32 + int.from_bytes(data[28:32], "little")
    sizes = {4: 20, 11: 32, 12: 48, 13: 64, 18: 32}
    while at < used:
        start, kind, count = at, *struct.unpack_from("<II", data, at + 4)
        at += 12
        digests = {}
        for _ in range(count):
            algorithm = int.from_bytes(data[at : at + 2], "little")
            digests[algorithm] = at + 2
            at += 2 + sizes[algorithm]
        size = int.from_bytes(data[at : at + 4], "little")
        yield start, kind, digests, at + 4, size
        at += 4 + size


def _changed_events(case: Case) -> Iterator[Derived]:
    data, used = case.part(LOG), _used(case)
    if b"Spec ID Event03" not in data[:64]:
        return
    events = list(_events(data, used))
    hashed = [e for e in events if e[1] in (0x4, 0x80000001, 0x80000007) and e[4]]
    for _start, kind, _digests, offset, size in (hashed[0], hashed[-1]):
        changed = case.copy()
        changed.flip(LOG, offset + size - 1)
        changed.policy["check_event_data"] = True
        yield invalid(changed, f"data of {kind:#x} at {offset} changed", f"{case.platform}.data")
        changed = case.copy()
        changed.flip(LOG, offset + size - 1)
        changed.policy["check_event_data"] = False
        yield valid(changed, f"data of {kind:#x} at {offset} changed, not asked for", same_claims=False)
    measured = [e for e in events if e[1] != 3]
    banks = json.loads(case.part(REGISTERS))
    algorithm = {"sha1": 4, "sha256": 11, "sha384": 12}.get(next(iter(banks)), 0)
    for place in (0, len(measured) // 2, -1):
        if algorithm in measured[place][2]:
            yield invalid(
                case.copy().flip(LOG, measured[place][2][algorithm]),
                f"digest at {measured[place][2][algorithm]} changed",
                f"{case.platform}.replay",
            )
    start, end = measured[-1][0], used
    yield invalid(case.copy().put(LOG, data[:start]), "last event cut off", f"{case.platform}.replay")
    yield invalid(case.copy().put(LOG, data[:end] + data[start:end]), "last event twice", f"{case.platform}.replay")
    no_action = struct.pack("<III", 1, 3, len(events[0][2])) + data[events[0][0] + 12 : events[0][3] - 4] + bytes(4)
    vendor = data[start : start + 4] + struct.pack("<I", 0x8000FFFF) + data[start + 8 : end]
    changed = case.copy()
    changed.put(LOG, data[:start] + no_action + vendor)
    changed.policy["check_event_data"] = False
    yield valid(changed, "an EV_NO_ACTION more, the last event of a vendor's type", same_claims=False)


def sm3() -> Iterator[Derived]:
    """A genuine log's events in a bank of SM3, as Hygon's firmware writes them: data hash to digests, digests to registers."""
    for name in ("ubuntu2404-gce-sev-snp", "rhel8-gce-secure-boot"):
        case = base(TCG, name)
        data, out = case.part(LOG), b""
        value: dict[int, bytes] = {}
        for start, kind, digests, offset, size in _events(data, _used(case)):
            body, register = data[offset : offset + size], data[start : start + 4]
            sha256 = data[digests[11] : digests[11] + 32]
            # Where the data were what was hashed they are so again; elsewhere any digest will do.
            digest = _sm3(body) if hashlib.sha256(body).digest() == sha256 else sha256
            out += register + struct.pack("<IIH", kind, 1, 18) + digest + struct.pack("<I", size) + body
            if kind != 3:
                value[register[0]] = _sm3(value.get(register[0], bytes(32)) + digest)
        spec = b"Spec ID Event03\0" + struct.pack("<IBBBBIHHB", 0, 0, 2, 0, 2, 1, 18, 32, 0)
        case.put(LOG, struct.pack("<II20sI", 0, 3, bytes(20), len(spec)) + spec + out)
        registers = {str(index): digest.hex() for index, digest in sorted(value.items())}
        case.put(REGISTERS, json.dumps({"sm3_256": registers}).encode())
        yield valid(case, "in SM3", same_claims=False)
        case.put(REGISTERS, json.dumps({"sm3_256": {**registers, "4": "00" * 32}}).encode())
        yield invalid(case, "in SM3, another register", "tcg-eventlog.replay")


def _sm3(data: bytes) -> bytes:
    digest = hashes.Hash(hashes.SM3())
    digest.update(data)
    return digest.finalize()


def _ccel_faults() -> Iterator[Derived]:
    case = base(CCEL, "gcp-cos-113")
    yield valid(case.copy().drop(REGISTERS), "against the quote's own registers", same_claims=False)
    for size in (0, 10, 47, 300):
        yield invalid(
            case.copy().put("td_quote.bin", case.part("td_quote.bin")[:size]).drop(REGISTERS),
            f"quote cut to {size}",
            "ccel.decode.quote",
            "ccel.decode.registers",
        )
    case = base(CCEL, "ima-in-rtmr2-cctrusted")
    yield invalid(
        case.copy().put("ima_log.txt", case.part("ima_log.txt").replace(b"boot_aggregate", b"boot_aggregatf")),
        "IMA entry's path changed",
        "ccel.ima.template",
    )
    changed = case.copy()
    line = case.part("ima_log.txt").rstrip(b"\n")
    changed.put("ima_log.txt", line[:2] + bytes((line[2] ^ 1,)) + line[3:] + b"\n")
    yield invalid(changed, "IMA entry's hash changed", "ccel.ima.replay", "ccel.decode.ima")


def _lines(case: Case) -> list[bytes]:
    return case.part(LIST).rstrip(b"\n").split(b"\n")


def _pcr10(lines: list[bytes], bank: str = "sha1") -> str:
    """Extend a list of ``ima-ng`` and ``ima-sig`` entries, as the kernel does (Linux, Documentation/security/IMA-templates.rst)."""
    value = bytes(hashlib.new(bank).digest_size)
    for line in lines:
        _pcr, template_hash, _template, digest, path = line.split(b" ", 4)
        if bank == "sha1":
            extended = bytes.fromhex(template_hash.decode())
            extended = extended if any(extended) else b"\xff" * len(extended)
        else:
            extended = hashlib.new(bank, _template_data(digest, path)).digest()
        value = hashlib.new(bank, value + extended).digest()
    return value.hex()


def _template_data(digest: bytes, path: bytes, *more: bytes) -> bytes:
    prefix, _, text = digest.rpartition(b":")
    fields = (prefix + b":\0" + bytes.fromhex(text.decode()), path + b"\0", *more)
    return b"".join(len(f).to_bytes(4, "little") + f for f in fields)


def _written(template: bytes, digest: bytes, path: bytes, *more: bytes) -> bytes:
    template_hash = hashlib.sha1(_template_data(digest, path, *more), usedforsecurity=False).hexdigest().encode()
    return b" ".join((b"10", template_hash, template, digest, path, *(m.hex().encode() for m in more)))


def ima() -> Iterator[Derived]:
    """Measurement lists."""
    case = published(IMA)[0]
    lines, values = _lines(case), json.loads(case.part(PCR10))

    def of(listed: list[bytes], *, end: bytes = b"\n", banks: tuple[str, ...] = ("sha1", "sha256")) -> Case:
        changed = case.copy()
        changed.put(LIST, b"\n".join(listed) + end)
        changed.put(PCR10, json.dumps({bank: _pcr10(listed, bank) for bank in banks}).encode())
        return changed

    assert {bank: _pcr10(lines, bank) for bank in values} == values
    yield valid(of(lines, banks=tuple(values)), "written again")
    yield valid(of(lines, end=b"", banks=tuple(values)), "no newline at the end")
    yield valid(of(lines[:1]), "one entry", same_claims=False)
    for bank in values:
        yield valid(
            case.copy().put(PCR10, json.dumps({bank: {"10": values[bank].upper()}}).encode()),
            f"{bank} alone, nested, upper case",
            same_claims=False,
        )
    changed = case.copy()
    changed.policy["check_event_data"] = True
    yield valid(changed, "event data asked for")
    spaced = _written(b"ima-ng", b"sha256:" + b"ab" * 32, b"/opt/a file with spaces")
    yield valid(of([*lines[:3], spaced]), "a path with spaces", same_claims=False)
    typed = _written(b"ima-ngv2", b"verity:sha256:" + b"ab" * 32, b"/usr/bin/true")
    yield valid(of([*lines[:3], typed], banks=("sha1", "sha256")), "ima-ngv2", same_claims=False)
    violation = b"10 " + b"00" * 20 + b" ima-ng sha1:" + b"00" * 20 + b" /var/log/x"
    yield valid(of([*lines[:3], violation], banks=("sha1",)), "a violation", same_claims=False)
    signature = bytes((3, 2, 4)) + bytes(4) + (8).to_bytes(2, "big") + bytes(range(8))
    for what, entry in (
        ("signed", _written(b"ima-sig", b"sha256:" + b"cd" * 32, b"/usr/bin/false", signature)),
        ("unsigned", _written(b"ima-sig", b"sha256:" + b"cd" * 32, b"/usr/bin/false", b"")),
        ("unsigned, space cut off", _written(b"ima-sig", b"sha256:" + b"cd" * 32, b"/usr/bin/false", b"").rstrip()),
        (
            "unsigned, spaces in its path, space cut off",
            _written(b"ima-sig", b"sha256:" + b"cd" * 32, b"/a b", b"").rstrip(),
        ),
    ):
        yield valid(of([*lines[:3], entry], banks=("sha1",)), f"ima-sig, {what}", same_claims=False)
    yield from _ima_faults(case, lines, values)


def _ima_faults(case: Case, lines: list[bytes], values: dict[str, str]) -> Iterator[Derived]:
    def with_lines(listed: list[bytes]) -> Case:
        changed = case.copy()
        changed.put(LIST, b"\n".join(listed) + b"\n")
        return changed

    yield invalid(with_lines([lines[1], lines[0], *lines[2:]]), "entries swapped", "ima.replay")
    yield invalid(with_lines(lines[:-1]), "last entry removed", "ima.replay")
    yield invalid(with_lines(lines[:400] + lines[401:]), "entry removed", "ima.replay")
    yield invalid(with_lines([*lines[:5], lines[4], *lines[5:]]), "entry twice", "ima.replay")
    new = _written(b"ima-ng", b"sha1:" + b"ab" * 20, b"/usr/bin/evil")
    yield invalid(with_lines([*lines, new]), "entry added", "ima.replay")
    yield invalid(
        with_lines([lines[0], lines[1].replace(b"sha1:", b"sha1:", 1)[:-1] + b"~", *lines[2:]]), "path", "ima.template"
    )
    middle = lines[300].split(b" ", 4)
    middle[3] = middle[3][:-1] + (b"0" if middle[3][-1:] != b"0" else b"1")
    yield invalid(with_lines([*lines[:300], b" ".join(middle), *lines[301:]]), "file digest", "ima.template")
    middle = lines[300].split(b" ", 4)
    middle[1] = b"00" * 20
    fits = ("ima.decode.ascii_runtime_measurements", "ima.template", "ima.replay")
    yield invalid(with_lines([*lines[:300], b" ".join(middle), *lines[301:]]), "made a violation", *fits)
    for bank, value in values.items():
        yield invalid(
            case.copy().put(
                PCR10, json.dumps({**values, bank: value[:-1] + ("0" if value[-1] != "0" else "1")}).encode()
            ),
            f"another {bank} value",
            "ima.replay",
        )
    for name, check_id in ((LIST, "ima.decode.ascii_runtime_measurements"), (PCR10, "ima.decode.expected_pcr10")):
        yield invalid(case.copy().drop(name), f"without {name}", check_id)
        for junk in (b"", b"\0", b"[]", b"\xff\xfe"):
            yield invalid(case.copy().put(name, junk), f"{name} is {junk!r}", check_id)
    yield invalid(case.copy().put(LIST, case.part(LIST)[:1000]), "cut within an entry", *fits)


RECIPES: tuple[Recipe, ...] = (log_forms, log_faults, sm3, ima)
