"""Layouts: one table for both directions, without gap or overlap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifier.formats.errors import MalformedEvidence
from verifier.formats.layout import Field, Layout

TABLE = Layout(
    "thing",
    16,
    (
        Field("little", 0, 4, "le"),
        Field("big", 4, 2, "be"),
        Field("raw", 6, 3),
        Field("reserved", 9, 5, "zero"),
        Field("last", 14, 2, "le"),
    ),
    check_id="t.decode",
)
GOOD = bytes.fromhex("010000000102aabbcc00000000000100")


def test_fields_are_read_as_the_table_says() -> None:
    assert TABLE.decode(GOOD) == {"little": 1, "big": 0x102, "raw": b"\xaa\xbb\xcc", "last": 1}
    assert TABLE.names == ("little", "big", "raw", "reserved", "last")


@given(st.binary(min_size=16, max_size=16))
def test_what_decodes_encodes_to_the_same_bytes(data: bytes) -> None:
    try:
        values = TABLE.decode(data)
    except MalformedEvidence:
        assert any(data[9:14])
    else:
        assert TABLE.encode(values) == data


@pytest.mark.parametrize("bad", [b"", GOOD[:-1], GOOD + b"\x00", GOOD[:9] + b"\x01" + GOOD[10:]])
def test_another_length_or_a_reserved_byte_is_malformed(bad: bytes) -> None:
    with pytest.raises(MalformedEvidence) as caught:
        TABLE.decode(bad)
    assert caught.value.check_id == "t.decode"


@pytest.mark.parametrize(
    "fields",
    [
        (Field("a", 0, 4), Field("b", 5, 3)),
        (Field("a", 0, 4), Field("b", 3, 5)),
        (Field("a", 0, 4),),
        (Field("a", 0, 9),),
    ],
)
def test_a_table_with_a_gap_or_an_overlap_cannot_be_made(fields: tuple[Field, ...]) -> None:
    with pytest.raises(ValueError, match="thing"):
        Layout("thing", 8, fields, check_id="t.decode")


def test_a_value_that_does_not_fit_is_a_programmers_error() -> None:
    with pytest.raises(ValueError, match="raw"):
        TABLE.encode({**TABLE.decode(GOOD), "raw": b"\x00"})
    with pytest.raises(OverflowError):
        TABLE.encode({**TABLE.decode(GOOD), "big": 1 << 16})
