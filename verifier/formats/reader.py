"""A bounds-checked cursor over untrusted bytes. Every overrun is ``MalformedEvidence`` under the caller's check id."""

from __future__ import annotations

from verifier.formats.errors import MalformedEvidence


class Reader:
    """Reads forward only; nothing is read past the end, and ``end`` refuses what is left over."""

    __slots__ = ("_check_id", "_data", "_what", "position")

    def __init__(self, data: bytes, check_id: str, what: str) -> None:
        self._data = data
        self._check_id = check_id
        self._what = what
        self.position = 0

    @property
    def remaining(self) -> int:
        """Bytes not yet read."""
        return len(self._data) - self.position

    def fail(self, detail: str) -> MalformedEvidence:
        """Make the one exception this reader knows, saying where it stands."""
        return MalformedEvidence(self._check_id, f"{self._what} at byte {self.position}: {detail}")

    def take(self, count: int, field: str) -> bytes:
        """Return the next ``count`` bytes; a count beyond the end is malformed."""
        if count < 0 or count > self.remaining:
            raise self.fail(f"{field}: got {self.remaining} bytes, want {count}")
        start = self.position
        self.position = start + count
        return self._data[start : self.position]

    def rest(self) -> bytes:
        """Return all that is left."""
        return self.take(self.remaining, "rest")

    def u8(self, field: str) -> int:
        """Read one byte."""
        return self.take(1, field)[0]

    def u16be(self, field: str) -> int:
        """Read a big-endian 16-bit integer."""
        return int.from_bytes(self.take(2, field), "big")

    def u32be(self, field: str) -> int:
        """Read a big-endian 32-bit integer."""
        return int.from_bytes(self.take(4, field), "big")

    def u64be(self, field: str) -> int:
        """Read a big-endian 64-bit integer."""
        return int.from_bytes(self.take(8, field), "big")

    def u16le(self, field: str) -> int:
        """Read a little-endian 16-bit integer."""
        return int.from_bytes(self.take(2, field), "little")

    def u32le(self, field: str) -> int:
        """Read a little-endian 32-bit integer."""
        return int.from_bytes(self.take(4, field), "little")

    def u64le(self, field: str) -> int:
        """Read a little-endian 64-bit integer."""
        return int.from_bytes(self.take(8, field), "little")

    def tpm2b(self, field: str) -> bytes:
        """Read a TPM2B: a big-endian 16-bit length, then that many bytes (TPM 2.0 Part 2, section 10.4)."""
        return self.take(self.u16be(f"{field}.size"), field)

    def end(self) -> None:
        """Refuse trailing bytes."""
        if self.remaining:
            raise self.fail(f"trailing bytes: got {self.remaining}, want 0")
