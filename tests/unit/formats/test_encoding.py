"""base64url in its one form; the RFC 8785 form, as Trail of Bits' library writes it, and what has none."""

from __future__ import annotations

import base64
import contextlib
import string
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from verifier.formats.encoding import b64url, canonical, unb64url

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


@given(st.binary(max_size=100))
def test_base64url_is_that_of_the_standard_library_without_padding(data: bytes) -> None:
    text = b64url(data)
    assert text == base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    assert unb64url(text) == data


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_bytes_have_one_text_in_base64url(size: int) -> None:
    """Every other last character says other bytes, or is refused: a token's text cannot be changed and say the same."""
    text = b64url(bytes(size))
    said = {}
    for last in string.ascii_letters + string.digits + "-_":
        with contextlib.suppress(ValueError):
            said[last] = unb64url(text[:-1] + last)
    assert len(set(said.values())) == len(said) == {0: 64, 1: 4, 2: 16}[size % 3]


@pytest.mark.parametrize("text", ["A", "AAAAA", "AA==", "AAA=", "AA+A", "AA/A", "AA A", "AAA\n", "\u00e4AAA"])
def test_what_is_no_base64url_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not base64url"):
        unb64url(text)
