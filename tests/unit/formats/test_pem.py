"""PEM around DER: the one block of a label, or what is no PEM as it is."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifier.formats.errors import MalformedEvidence
from verifier.formats.pem import is_pem, pem_blocks, pem_or_der

LABELS = ("CERTIFICATE", "X509 CRL", "PUBLIC KEY")
_DER = st.binary(min_size=1, max_size=300).map(lambda data: b"\x30" + data)


def block(der: bytes, label: str = "CERTIFICATE") -> bytes:
    return b"-----BEGIN %b-----\n%b-----END %b-----\n" % (label.encode(), base64.encodebytes(der), label.encode())


def read(data: bytes, label: str = "CERTIFICATE", **options: int) -> bytes:
    return pem_or_der(data, label, "t.decode", "thing", **options)


def refused(data: bytes, label: str = "CERTIFICATE", **options: int) -> str:
    with pytest.raises(MalformedEvidence) as caught:
        read(data, label, **options)
    assert caught.value.check_id == "t.decode"
    assert caught.value.detail.startswith("thing: ")
    return caught.value.detail.removeprefix("thing: ")


@given(
    _DER,
    st.sampled_from(LABELS),
    st.sampled_from([b"", b"text\n", b"\xff\n"]),
    st.sampled_from([b"", b"\nmore", b"\0"]),
)
def test_one_block_gives_its_der_whatever_stands_around_it(der: bytes, label: str, before: bytes, after: bytes) -> None:
    pem = before + block(der, label) + after
    assert read(pem, label) == der
    assert pem_blocks(pem, label) == (der,)


@given(st.lists(_DER, max_size=4))
def test_blocks_come_in_their_order(ders: list[bytes]) -> None:
    mixed = b"".join(block(der) + block(b"\x30other", "X509 CRL") for der in ders)
    assert pem_blocks(mixed, "CERTIFICATE") == tuple(ders)


@given(_DER)
def test_der_stays_as_it_is_even_with_pem_inside(der: bytes) -> None:
    for data in (der, der + block(b"\x30\x00")):
        assert not is_pem(data)
        assert read(data, limit=1) == data


@given(st.binary(max_size=100).filter(lambda data: b"-----BEGIN" not in data))
def test_what_is_neither_is_left_to_the_parser_of_der(data: bytes) -> None:
    assert read(data) == data


@pytest.mark.parametrize("count", [0, 2, 3])
def test_none_and_several_are_refused_and_counted(count: int) -> None:
    assert (
        refused(block(b"\x30\x00") * count or block(b"\x30\x00", "X509 CRL"))
        == f"got {count} PEM blocks CERTIFICATE, want 1"
    )


def test_a_block_without_end_is_refused() -> None:
    whole = block(b"\x30\x00")
    for cut in (whole.index(b"-----END"), len(whole) - 7):
        assert refused(whole[:cut]) == "PEM CERTIFICATE: a block has no end"
    assert refused(whole + whole[:30]) == "PEM CERTIFICATE: a block has no end"


@pytest.mark.parametrize("inside", [b"A", b"AA", b"AA=A", b"A?AA", b"MAA", b"MA==MA==", b"-----BEGIN X-----"])
def test_what_is_no_base64_is_refused(inside: bytes) -> None:
    assert refused(b"-----BEGIN CERTIFICATE-----\n" + inside + b"\n-----END CERTIFICATE-----").startswith(
        "PEM CERTIFICATE: "
    )


def test_more_text_than_the_limit_is_refused_before_it_is_searched() -> None:
    pem = block(b"\x30\x00")
    assert read(pem, limit=len(pem)) == b"\x30\x00"
    assert refused(b" " + pem, limit=len(pem)) == f"got {len(pem) + 1} bytes of PEM, want at most {len(pem)}"
