"""A stranger's body is bounded before it is parsed: by values, by levels, by names that stand twice; the first fault is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.waiting import assert_linear
from verifier.core.wire import MAX_VALUES, ChallengeRequest, EnrolmentRequest, parse_model
from verifier.formats import jws
from verifier.formats.encoding import b64url
from verifier.formats.errors import MalformedEvidence
from verifier.formats.strict_json import TooMany, read, require_few

GOOD = b'{"tenant":"default","workload":"web"}'


def refusal(body: bytes, model: Any = ChallengeRequest) -> str:
    with pytest.raises(MalformedEvidence) as caught:
        parse_model(model, body)
    assert caught.value.check_id == "wire.body"
    assert len(caught.value.detail) < 500
    return caught.value.detail


def test_a_good_body_is_read() -> None:
    assert parse_model(ChallengeRequest, GOOD).workload == "web"


@pytest.mark.parametrize("most", [0, 1, 5, 300])
@pytest.mark.parametrize("padding", [0, 70_000], ids=["short", "long"])
def test_as_many_values_as_are_allowed_and_no_more(most: int, padding: int) -> None:
    """A long text is counted another way; what counts is the same."""
    text = b" " * padding + b'"' + b",[{"[: most % 3] + b",[{" * (most // 3) + b'"'
    require_few(text, most)
    with pytest.raises(TooMany):
        require_few(text + b",", most)


@pytest.mark.parametrize(
    "body",
    [
        b"{" + b'"":0,' * MAX_VALUES + b'"a":1}',
        b"[" + b"0," * MAX_VALUES + b"0]",
        b"[" * (MAX_VALUES + 1),
        b'{"tenant":"' + b"," * (MAX_VALUES + 1) + b'"}',
    ],
    ids=["members", "items", "levels", "inside a string"],
)
def test_a_body_of_too_many_values_is_refused_by_their_number(body: bytes) -> None:
    assert f"more than {MAX_VALUES}" in refusal(body)


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (GOOD[:-1] + b',"tenant":"other"}', "tenant"),
        (b'{"a":{"b":1,"b":2}}', "b"),
        (b'{"' + b"n" * 400 + b'":1,"' + b"n" * 400 + b'":2}', "n"),
    ],
    ids=["on top", "inside", "long"],
)
def test_a_name_that_stands_twice_is_refused(body: bytes, name: str) -> None:
    assert refusal(body).startswith(name)
    assert "stands twice" in refusal(body)


@pytest.mark.parametrize("body", [b"", b"\xff", b"NaN", b"[" * 200, b"{", b'"x"', b"null"])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    refusal(body)


def test_the_first_fault_is_told_and_no_other() -> None:
    detail = refusal(
        json.dumps({"tenant": "Not A Name", "ek_chain": ["!"] * 5, "ek_public": 1}).encode(), EnrolmentRequest
    )
    assert detail.startswith("tenant: ")


def test_reading_costs_no_more_than_its_bytes() -> None:
    def run(size: int) -> None:
        with pytest.raises(TooMany):
            read(b"[" + b"0," * size + b"0]", most=MAX_VALUES)

    assert_linear(run, 20_000)


def test_a_wrong_header_is_refused_before_the_payload_is_decoded() -> None:
    head = b64url(b'{"alg":"none"}')
    with pytest.raises(jws.WrongHeader):
        jws.split(f"{head}.!!!.!!!".encode(), header={"alg": "ES256"})


@pytest.mark.parametrize("data", [b"", b"a.b", b"a.b.c.d", b".." + b"." * 100_000, b"a" * 100_000])
def test_what_has_not_three_fields_is_no_jws(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        jws.split(data)


def test_a_header_has_a_bound() -> None:
    with pytest.raises(ValueError, match="header: got"):
        jws.split(b"a" * (jws.MAX_HEADER + 1) + b".e30.e30")
