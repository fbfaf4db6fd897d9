"""Decode the ASCII measurement list (``ascii_runtime_measurements``). Raises ``MalformedEvidence`` and nothing else.

A line is ``PCR template-hash template-name template-data``. Paths may hold spaces and any byte but NUL and line feed, so a line is
split from both ends: what stands before the path has no spaces, and neither has what stands behind it. A path with a line feed in it
breaks its own line, which is refused. Proves nothing: ``replay`` does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from verifier.formats.errors import MalformedEvidence
from verifier.formats.reader import Reader
from verifier.tee.ima.layout import (
    DIGEST_SIZES,
    DIGEST_TYPES,
    OLD_TEMPLATE,
    PCR_IMA,
    SIG_HEADER,
    TEMPLATE_HASHES,
    TEMPLATES,
    TYPED_TEMPLATES,
    VIOLATION_DIGEST,
    Entry,
    FieldKind,
    FileSignature,
)

LIST_ID = "ima.decode.ascii_runtime_measurements"
MAX_LIST_BYTES = 1024 * 1024
MAX_ENTRIES = 16_384
MAX_LINE_BYTES = 64 * 1024
MAX_PATH_BYTES = 4096 + 16  # PATH_MAX and " (deleted)"
_OLD_PATH_BYTES = 255

_HEX = re.compile(rb"(?:[0-9a-f]{2})*")
_SEEN = 24  # bytes of a wrong value that a message shows


@dataclass(frozen=True, slots=True)
class MeasurementList:
    """A decoded list: ``raw`` is what was handed in."""

    raw: bytes
    entries: tuple[Entry, ...]

    @property
    def templates(self) -> tuple[str, ...]:
        """The templates in use, each once, sorted."""
        return tuple(sorted({entry.template for entry in self.entries}))


class _Line:
    """One line under inspection; knows how to complain."""

    __slots__ = ("check_id", "number")

    def __init__(self, number: int, check_id: str) -> None:
        self.number = number
        self.check_id = check_id

    def fail(self, detail: str) -> MalformedEvidence:
        return MalformedEvidence(self.check_id, f"IMA list, entry {self.number}: {detail}")

    def unhex(self, text: bytes, field: str) -> bytes:
        if _HEX.fullmatch(text) is None:
            raise self.fail(f"{field}: got {text[:_SEEN]!r}, want lower-case hex")
        return bytes.fromhex(text.decode("ascii"))


def decode_list(
    data: bytes, *, check_id: str = LIST_ID, max_bytes: int = MAX_LIST_BYTES, max_entries: int = MAX_ENTRIES
) -> MeasurementList:
    """Read a whole list; every line ends with a line feed, and a list without any entry is refused."""
    require_size(data, check_id, max_bytes=max_bytes)
    if not data.endswith(b"\n"):
        raise MalformedEvidence(check_id, "IMA list: got no line feed at the end, want whole lines, at least one")
    if data.count(b"\n") > max_entries:
        raise MalformedEvidence(check_id, f"IMA list: got more than {max_entries} entries")
    lines = data[:-1].split(b"\n")
    return MeasurementList(data, tuple(_entry(_Line(i, check_id), line) for i, line in enumerate(lines)))


def require_size(data: bytes, check_id: str, *, max_bytes: int = MAX_LIST_BYTES) -> None:
    """Refuse more bytes than a list may have."""
    if len(data) > max_bytes:
        raise MalformedEvidence(check_id, f"IMA list: got {len(data)} bytes, want at most {max_bytes}")


def _entry(line: _Line, text: bytes) -> Entry:
    if len(text) > MAX_LINE_BYTES:
        raise line.fail(f"got {len(text)} bytes, want at most {MAX_LINE_BYTES}")
    parts = text.split(b" ", 4)
    if len(parts) != 5:  # noqa: PLR2004 - PCR, template hash, template, digest, the rest
        raise line.fail(f"got {len(parts)} fields, want PCR, template hash, template, digest and path")
    pcr, template_hash, raw_template, digest, rest = parts
    if pcr != b"%d" % PCR_IMA:
        raise line.fail(f"PCR: got {pcr[:_SEEN]!r}, want {PCR_IMA}")
    hash_bytes = line.unhex(template_hash, "template hash")
    if len(hash_bytes) not in TEMPLATE_HASHES:
        raise line.fail(f"template hash: got {len(hash_bytes)} bytes, want {sorted(TEMPLATE_HASHES)}")
    template = raw_template.decode("ascii", "replace")
    kinds = TEMPLATES.get(template)
    if kinds is None:
        raise line.fail(f"template: got {raw_template[:_SEEN]!r}, want one of {', '.join(TEMPLATES)}")
    kind, algorithm, value = _digest(line, template, digest, is_violation=not any(hash_bytes))
    path, *fields = _split_right(line, rest, len(kinds))
    most = _OLD_PATH_BYTES if template == OLD_TEMPLATE else MAX_PATH_BYTES
    if not path or len(path) > most or b"\x00" in path:
        raise line.fail(f"path: got {len(path)} bytes, want 1 to {most} without NUL")
    read = tuple(_field(line, kind_, field) for kind_, field in zip(kinds, fields, strict=True))
    return Entry(hash_bytes, template, algorithm, value, path, kind, read)


def _digest(line: _Line, template: str, text: bytes, *, is_violation: bool) -> tuple[str, str, bytes]:
    """Read ``[type:]algorithm:hex``; the old template's is bare SHA-1."""
    names = text.split(b":")
    expected = 1 if template == OLD_TEMPLATE else 3 if template in TYPED_TEMPLATES else 2
    if len(names) != expected:
        raise line.fail(f"digest: got {len(names)} parts, want {expected}")
    *prefix, raw = names
    algorithm = prefix[-1].decode("ascii", "replace") if prefix else "sha1"
    kind = prefix[0].decode("ascii", "replace") if len(prefix) > 1 else ""
    size = DIGEST_SIZES.get(algorithm)
    if size is None or (kind and kind not in DIGEST_TYPES):
        raise line.fail(f"digest: got {text[:_SEEN]!r}, want a known algorithm")
    value = line.unhex(raw, "digest")
    if is_violation and not any(value) and len(value) in (len(VIOLATION_DIGEST), size):
        return kind, algorithm, value
    if is_violation or len(value) != size:
        raise line.fail(f"digest: got {len(value)} bytes of {algorithm}, want {size}, or zeros for a violation")
    return kind, algorithm, value


def _split_right(line: _Line, rest: bytes, count: int) -> list[bytes]:
    parts = rest.rsplit(b" ", count) if count else [rest]
    if len(parts) != count + 1:
        raise line.fail(f"got {len(parts) - 1} fields behind the path, want {count}")
    return parts


def _field(line: _Line, kind: FieldKind, text: bytes) -> bytes:
    if kind != "d-modsig" or not text:
        return line.unhex(text, kind)
    name, colon, raw = text.partition(b":")
    size = DIGEST_SIZES.get(name.decode("ascii", "replace"))
    value = line.unhex(raw, kind)
    if not colon or len(value) != size:
        raise line.fail(f"{kind}: got {text[:_SEEN]!r}, want a known algorithm and a digest of its size")
    return name + b":\x00" + value


def decode_file_signature(data: bytes, *, check_id: str = "signature") -> FileSignature:
    """Read a ``sig`` field: type, version, hash, key id, and a signature of exactly the stated size."""
    reader = Reader(data, check_id, "IMA signature")
    kind, version, algorithm, key_id, size = SIG_HEADER.unpack(reader.take(SIG_HEADER.size, "header"))
    signature = reader.take(size, "signature")
    if not signature:
        raise reader.fail("signature: got nothing")
    reader.end()
    return FileSignature(kind, version, algorithm, key_id.to_bytes(4, "big"), signature)
