"""JSON that two readers cannot read in two ways."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifier.formats import strict_json

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=20,
)
_OBJECTS = st.dictionaries(_TEXT, _JSON, min_size=1, max_size=4)


def twice(table: dict[str, Any]) -> str:
    """Write an object whose first name stands at its end once more, with the value that it has already."""
    first = next(iter(table))
    return f"{json.dumps(table)[:-1]}, {json.dumps(first)}: {json.dumps(table[first])}}}"


@given(_JSON)
def test_what_has_each_name_once_is_read_as_json_reads_it(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False)
    assert strict_json.read(text) == strict_json.read(text.encode()) == value
    assert strict_json.read_value(f"[{text}]", 1) == (value, 1 + len(text))


@given(_OBJECTS, st.sampled_from(["{}", "[{}]", '{{"a": {}}}', '[[1], {{"b": [{}]}}]']))
def test_a_name_that_stands_twice_is_refused_at_any_depth_and_named(table: dict[str, Any], around: str) -> None:
    text = around.format(twice(table))
    with pytest.raises(strict_json.NameTwice, match=r"^a key stands twice$") as caught:
        strict_json.read(text)
    assert caught.value.name == next(iter(table))
    with pytest.raises(strict_json.NameTwice):
        strict_json.read_value(text, 0)


def test_two_spellings_of_one_name_are_one_name() -> None:
    with pytest.raises(strict_json.NameTwice):
        strict_json.read(r'{"a": 1, "\u0061": 2}')


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_words_that_python_takes_for_numbers_are_no_json(word: str) -> None:
    for text in (word, f"[{word}]", f'{{"a": {word}}}'):
        with pytest.raises(ValueError, match=f"^got {word}, want a number$"):
            strict_json.read(text)


@pytest.mark.parametrize(
    "data",
    ["", "{", "[1,]", "{'a': 1}", "01", "1 2", "{} {}", "﻿{}", b"\xef\xbb\xbf{}", b"\xff", '{"a": 1}'.encode("utf-16")],
)
def test_what_is_no_json_in_utf_8_is_a_value_error(data: bytes | str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        strict_json.read(data)


@pytest.mark.parametrize("unit", ["[", '{"a":'])
def test_nesting_that_the_stack_does_not_allow_is_a_value_error(unit: str) -> None:
    with pytest.raises(strict_json.TooDeep):
        strict_json.read(unit * 100_000)
    with pytest.raises(strict_json.TooDeep):
        strict_json.read_value(unit * 100_000, 0)


def test_a_caller_reads_numbers_in_its_own_way() -> None:
    read = strict_json.read('[1, 1.5, 2e3, NaN, {"a": -7}]', parse_int=lambda text: f"i{text}", parse_float=str.lower)
    assert read == ["i1", "1.5", "2e3", "nan", {"a": "i-7"}]


def test_a_caller_that_reads_integers_alone_in_its_own_way_is_given_no_nan() -> None:
    with pytest.raises(ValueError, match=r"^got NaN"):
        strict_json.read("NaN", parse_int=int)
