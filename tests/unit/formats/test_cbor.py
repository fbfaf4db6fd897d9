"""CBOR is read strictly: one item, one exception, caps on everything."""

from __future__ import annotations

import contextlib
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifier.formats import cbor
from verifier.formats.errors import MalformedEvidence

WHERE = ("t.decode", "thing")

_LEAVES = st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=40) | st.booleans() | st.none()
_KEYS = st.integers(-(2**64), 2**64 - 1) | st.text(max_size=8) | st.binary(max_size=8)
VALUES = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(_KEYS, inner, max_size=5), max_leaves=30
)


def read(data: bytes, **options: Any) -> Any:
    return cbor.decode(data, *WHERE, **options)


@pytest.mark.slow
@given(VALUES, st.booleans())
def test_what_is_written_reads_the_same(value: Any, indefinite: bool) -> None:  # noqa: FBT001
    assert read(cbor.encode(value, indefinite=indefinite), indefinite=True, max_depth=64) == value


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_malformed_and_agree_with_cbor2(data: bytes) -> None:
    with contextlib.suppress(MalformedEvidence):
        value = read(data, indefinite=True)
        if "CBORTag" not in repr(value):  # cbor2 computes with tags
            assert value == cbor2.loads(data)


@given(VALUES, st.binary(min_size=1, max_size=3))
def test_trailing_bytes_are_refused(value: Any, more: bytes) -> None:
    with pytest.raises(MalformedEvidence, match=r"t\.decode"):
        read(cbor.encode(value) + more, max_depth=64)


@given(VALUES, st.data())
def test_every_truncation_is_refused(value: Any, data: st.DataObject) -> None:
    whole = cbor.encode(value)
    with pytest.raises(MalformedEvidence):
        read(whole[: data.draw(st.integers(0, len(whole) - 1))], max_depth=64)


@pytest.mark.parametrize(
    "data",
    [
        "",
        "a2010101" + "02",  # a key twice
        "a2010118" + "0102",  # the same key in a longer encoding
        "a1f501",  # a boolean key would equal 1
        "a1810102",  # an array as key
        "a1f601",
        "a1c10102",  # a tag as key
        "f7",  # undefined
        "f0",
        "f820",
        "f93c00",  # floats
        "fb3ff0000000000000",
        "ff",  # break outside
        "1c",  # reserved
        "3e",
        "5f4101ff",  # chunks
        "7f6161ff",
        "df01",
        "1f",
        "61ff",  # not UTF-8
        "62c328",
        "5bffffffffffffffff",
        "9bffffffffffffffff",
        "bbffffffffffffffff",
        "9a00010000" + "00" * 20,
        "8201",
        "c1",
    ],
)
def test_what_is_no_evidence_is_refused(data: str) -> None:
    with pytest.raises(MalformedEvidence):
        read(bytes.fromhex(data), indefinite=True)


@pytest.mark.parametrize("data", ["9f01ff", "bf0102ff", "819fff", "a101bfff"])
def test_indefinite_lengths_are_read_only_where_asked(data: str) -> None:
    raw = bytes.fromhex(data)
    assert read(raw, indefinite=True) == cbor2.loads(raw)
    with pytest.raises(MalformedEvidence):
        read(raw)


@pytest.mark.parametrize("data", ["9f01", "bf01ff", "bf0102", "bf", "9f"])
def test_an_indefinite_container_ends(data: str) -> None:
    with pytest.raises(MalformedEvidence):
        read(bytes.fromhex(data), indefinite=True)


@pytest.mark.parametrize("step", [b"\x81", b"\x9f", b"\xc6", b"\xa1\x01", b"\xbf\x01", b"\xd9\xff\x00"])
def test_depth_is_capped_before_the_stack_is(step: bytes) -> None:
    for depth in (16, 64):
        good = step * depth + b"\x00" + b"\xff" * (depth if step[0] in (0x9F, 0xBF) else 0)
        read(good, max_depth=depth, indefinite=True)
        with pytest.raises(MalformedEvidence, match="levels"):
            read(step + good, max_depth=depth, indefinite=True)
    with pytest.raises(MalformedEvidence, match="levels"):
        read(step * 100_000, indefinite=True)


def test_a_cap_beyond_the_stack_is_a_programmers_error() -> None:
    with pytest.raises(ValueError, match="max_depth"):
        read(b"\x00", max_depth=65)


def test_items_and_size_are_capped() -> None:
    assert read(cbor.encode([0] * 9), max_items=10) == [0] * 9
    with pytest.raises(MalformedEvidence, match="items"):
        read(cbor.encode([0] * 10), max_items=10)
    with pytest.raises(MalformedEvidence, match="items"):
        read(b"\x9f" + b"\x00" * 10_000 + b"\xff", indefinite=True)
    assert read(b"\x42ab", max_size=3) == b"ab"
    with pytest.raises(MalformedEvidence, match="bytes"):
        read(b"\x43abc", max_size=3)


def test_tags_are_shown_and_not_computed_with() -> None:
    assert read(bytes.fromhex("d82363286129")) == cbor2.CBORTag(35, "(a)")  # a regular expression
    assert read(b"\xc2\x5a\x00\x00\x10\x00" + b"\xff" * 4096) == cbor2.CBORTag(
        2, b"\xff" * 4096
    )  # leaks ValueError in cbor2
    assert read(bytes.fromhex("d9018fa0")) == cbor2.CBORTag(399, {})


@given(VALUES, st.binary(max_size=5))
def test_the_first_item_is_found_whatever_follows(value: Any, more: bytes) -> None:
    data = cbor.encode(value, indefinite=True)
    assert cbor.first(data + more, *WHERE) == data
    with pytest.raises(MalformedEvidence):
        cbor.first(data[:-1], *WHERE)


@given(st.integers(0, 2**64 - 1), st.integers(0, 6))
def test_heads_are_what_cbor2_writes(argument: int, major: int) -> None:
    assert cbor.head(0, argument) == cbor2.dumps(argument)
    assert cbor.head(major, argument)[0] >> 5 == major
    with pytest.raises(ValueError, match="2\\^64"):
        cbor.head(0, 2**64 + argument)


@given(st.binary(max_size=300))
def test_byte_strings_are_what_cbor2_writes(data: bytes) -> None:
    assert cbor.byte_string(data) == cbor2.dumps(data)
