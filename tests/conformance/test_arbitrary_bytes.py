"""Parsers leak one exception, whatever the bytes (CONTRIBUTING.md, "Three kinds of no")."""

from __future__ import annotations

import contextlib
import dataclasses
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.vectors import base_vector, run_vector
from verifier.formats.errors import MalformedEvidence
from verifier.formats.pem import pem_blocks
from verifier.tee.registry import SCHEMES

NAMES = sorted(SCHEMES)
_SETTINGS = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)


@st.composite
def _spoiled(draw: st.DrawFn, good: bytes) -> bytes:
    """Draw bytes of any kind: random ones, or good ones cut, patched, repeated."""
    how = draw(st.sampled_from(("random", "patch", "cut", "insert")))
    if how == "random" or not good:
        return draw(st.binary(max_size=2048))
    at = draw(st.integers(0, len(good) - 1))
    piece = draw(st.binary(min_size=1, max_size=8))
    if how == "patch":
        return good[:at] + piece + good[at + len(piece) :]
    if how == "cut":
        return good[:at]
    return good[:at] + piece + good[at:]


@pytest.mark.parametrize("name", NAMES)
@_SETTINGS
@given(data=st.data())
def test_any_bytes_as_a_part_are_read_or_malformed(name: str, data: st.DataObject) -> None:
    scheme, base = SCHEMES[name], base_vector(name)
    part = data.draw(st.sampled_from(sorted(base.parts)))
    spoiled = data.draw(_spoiled(base.parts[part]))
    parts = {**base.parts, part: spoiled}
    with contextlib.suppress(MalformedEvidence):
        evidence = scheme.form.decode(parts)
        assert scheme.form.encode(evidence) == parts
        # What could be read is judged without a traceback.
        run_vector(dataclasses.replace(base, parts=parts), scheme)


@pytest.mark.parametrize("name", NAMES)
@_SETTINGS
@given(data=st.data())
def test_any_bytes_as_an_endorsement_are_read_or_malformed(name: str, data: st.DataObject) -> None:
    scheme, base = SCHEMES[name], base_vector(name)
    given_items = {**base.endorsements, **base.collateral}
    if not given_items:
        return  # the scheme takes none: nothing can be spoiled
    item = data.draw(st.sampled_from(sorted(given_items)))
    spoiled = data.draw(_spoiled(given_items[item]))
    evidence = scheme.form.decode(base.parts)
    with contextlib.suppress(MalformedEvidence):
        scheme.collateral.collate(evidence, {**given_items, item: spoiled})
        changed = {"endorsements": {**base.endorsements, item: spoiled}}
        if item in base.collateral:
            changed = {"collateral": {**base.collateral, item: spoiled}}
        outcome = run_vector(dataclasses.replace(base, **changed), scheme)[0]
        assert outcome != "accepted" or _says_the_same(spoiled, given_items[item])


def _says_the_same(spoiled: bytes, good: bytes) -> bool:
    """Tell whether only what no format reads was changed: space between JSON's tokens, text around PEM's blocks, padding."""
    if spoiled.rstrip(b"\0") == good.rstrip(b"\0"):
        return True
    with contextlib.suppress(ValueError):
        if (blocks := pem_blocks(good, "CERTIFICATE")) or good[:1] == b"-":
            return pem_blocks(spoiled, "CERTIFICATE") == blocks
        return bool(json.loads(spoiled) == json.loads(good))
    return False
