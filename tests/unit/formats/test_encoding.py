"""The RFC 8785 form, as Trail of Bits' library writes it, and what has none."""

from __future__ import annotations

from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from verifier.formats.encoding import canonical

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_ASCII = st.text(st.characters(max_codepoint=127), max_size=12)
_LEAVES = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | _TEXT | _ASCII


def _json(names: st.SearchStrategy[str], leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=6), max_leaves=20
    )


@given(_json(_ASCII, _LEAVES) | _json(_TEXT, _LEAVES | st.floats(allow_nan=False, allow_infinity=False)))
@settings(max_examples=300, deadline=None)
def test_the_form_is_that_of_another_implementation(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


def test_names_are_in_the_order_of_utf_16_units_which_python_does_not_sort_by() -> None:
    assert canonical({"￿": 1, "\U00010000": 2}) == '{"\U00010000":2,"￿":1}'.encode()


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), 1 << 53, -(1 << 53), "\ud800", {1: 2}, {None: 2}, b"", {1}, frozenset({2})],
    ids=repr,
)
def test_what_is_no_json_data_is_refused_at_any_depth(value: Any) -> None:
    for data in (value, [value], {"a": value}, [{"a": ["b", value]}]):
        with pytest.raises(ValueError, match=r".+"):
            canonical(data)
