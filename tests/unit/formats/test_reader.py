"""The reader never reads past the end, and says where it stands."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifier.formats.errors import MalformedEvidence
from verifier.formats.reader import Reader

READS = ("u8", "u16be", "u32be", "u64be", "u16le", "u32le", "u64le", "tpm2b")


def _reader(data: bytes) -> Reader:
    return Reader(data, "t.decode", "thing")


def test_numbers_are_read_in_their_order() -> None:
    reader = _reader(bytes(range(1, 16)) + bytes(20))
    assert (reader.u8("a"), reader.u16be("b"), reader.u16le("c")) == (1, 0x0203, 0x0504)
    assert (reader.u32be("d"), reader.u32le("e")) == (0x06070809, 0x0D0C0B0A)
    assert reader.position == 13
    assert reader.u64be("f") == 0x0E0F << 48
    assert reader.u64le("g") == 0
    assert reader.rest() == bytes(6)
    reader.end()


def test_a_sized_buffer_is_read_whole_or_not_at_all() -> None:
    reader = _reader(b"\x00\x03abc\x00\x02x")
    assert reader.tpm2b("a") == b"abc"
    with pytest.raises(MalformedEvidence, match="thing at byte 7"):
        reader.tpm2b("b")


@given(st.binary(max_size=24), st.lists(st.sampled_from(READS), max_size=6))
def test_whatever_is_read_of_whatever_bytes_only_one_error_comes(data: bytes, reads: list[str]) -> None:
    reader = _reader(data)
    with contextlib.suppress(MalformedEvidence):
        for read in reads:
            getattr(reader, read)("field")
        reader.end()
    assert 0 <= reader.position <= len(data)


def test_left_over_and_negative_counts_are_refused() -> None:
    reader = _reader(b"ab")
    with pytest.raises(MalformedEvidence, match="trailing"):
        reader.end()
    with pytest.raises(MalformedEvidence):
        reader.take(-1, "field")
    with pytest.raises(MalformedEvidence):
        reader.take(3, "field")
    assert reader.remaining == 2
