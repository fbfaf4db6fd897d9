"""TPM structures: what decodes encodes to the same bytes, whatever else is malformed and nothing else."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.tpm2 import make_tpm
from tests.vectors.tpm2.forging import NONCE, PCRS, enrolled
from verifier.formats.errors import MalformedEvidence
from verifier.tee.tcg.banks import decode_banks
from verifier.tee.tcg.layout import HASHES, SHA1, SHA256, SHA384
from verifier.tee.tpm2.collateral import decode_enrolled_ak, encode_not_enrolled
from verifier.tee.tpm2.layout import (
    ALG_ECDSA,
    ALG_RSASSA,
    FIELDS,
    Quote,
    Selection,
    Signature,
    decode_any_signature,
    decode_public,
    decode_quote,
    decode_signature,
    encode_public,
    encode_quote,
    encode_signature,
    is_name,
    kdfa,
    kdfe,
    name_of,
    qualified_name,
)
from verifier.tee.tpm2.rules import BINS
from verifier.tee.tpm2.scheme import SCHEME

TPM = make_tpm()
GOOD = TPM.parts(NONCE, PCRS)

selections = st.builds(
    Selection, st.sampled_from(sorted(HASHES)), st.binary(min_size=1, max_size=3).map(lambda b: b.ljust(3, b"\0"))
)
quotes = st.builds(
    Quote,
    qualified_signer=st.binary(max_size=66),
    extra_data=st.binary(max_size=66),
    clock=st.integers(0, 2**64 - 1),
    reset_count=st.integers(0, 2**32 - 1),
    restart_count=st.integers(0, 2**32 - 1),
    safe=st.integers(0, 1),
    firmware_version=st.integers(0, 2**64 - 1),
    selections=st.lists(selections, max_size=8).map(tuple),
    pcr_digest=st.sampled_from([20, 32, 48, 64]).map(bytes),
)
signatures = st.one_of(
    st.builds(
        Signature,
        st.just(ALG_RSASSA),
        st.sampled_from(sorted(HASHES)),
        st.tuples(st.binary(min_size=1, max_size=512)),
    ),
    st.builds(
        Signature,
        st.just(ALG_ECDSA),
        st.sampled_from(sorted(HASHES)),
        st.tuples(st.binary(min_size=1, max_size=66), st.binary(min_size=1, max_size=66)),
    ),
)


@given(quotes)
def test_a_quote_survives_the_wire(quote: Quote) -> None:
    assert decode_quote(encode_quote(quote)) == quote


@given(signatures)
def test_a_signature_survives_the_wire(signature: Signature) -> None:
    assert decode_signature(encode_signature(signature)) == signature


def mutated(base: bytes) -> st.SearchStrategy[bytes]:
    """Bytes near the good ones: cut, with a run replaced, or anything at all."""
    cuts = st.integers(0, len(base)).map(lambda n: base[:n])
    patches = st.tuples(st.integers(0, len(base)), st.binary(min_size=1, max_size=8)).map(
        lambda p: base[: p[0]] + p[1] + base[p[0] + len(p[1]) :]
    )
    return st.one_of(cuts, patches, st.binary(max_size=300))


@pytest.mark.parametrize("part", sorted(GOOD))
def test_a_part_of_any_bytes_is_malformed_or_encodes_to_itself(part: str) -> None:
    @given(mutated(GOOD[part]))
    def check(data: bytes) -> None:
        parts = {**GOOD, part: data}
        with contextlib.suppress(MalformedEvidence):
            assert SCHEME.form.encode(SCHEME.form.decode(parts)) == parts

    check()


@settings(max_examples=200)
@given(mutated(TPM.ek_public))
def test_a_public_area_of_any_bytes_is_malformed_or_encodes_to_itself(data: bytes) -> None:
    with contextlib.suppress(MalformedEvidence):
        assert encode_public(decode_public(data, check_id="test")) == data


@settings(max_examples=200)
@given(mutated(enrolled(TPM)))
def test_a_store_that_answers_anything_is_malformed_or_understood(data: bytes) -> None:
    with contextlib.suppress(MalformedEvidence):
        decode_enrolled_ak(data)


def test_the_store_may_say_that_it_knows_no_such_key() -> None:
    assert decode_enrolled_ak(encode_not_enrolled()) is None
    known = decode_enrolled_ak(enrolled(TPM))
    assert known is not None
    assert (known.ak_name, known.ek_name) == (TPM.ak_name, name_of(TPM.ek_area))


DER = bytes.fromhex("3006020101020102")


def test_the_three_forms_of_a_signature_are_told_apart() -> None:
    read = lambda data, size=32: decode_any_signature(data, digest_size=size, check_id="test")  # noqa: E731
    assert read(GOOD["quote_sig"]) == decode_signature(GOOD["quote_sig"])
    assert read(b"\x30" + bytes(255)) == Signature(ALG_RSASSA, SHA256.id, (b"\x30" + bytes(255),))
    assert read(DER) == Signature(ALG_ECDSA, SHA256.id, (b"\x01", b"\x02"))
    assert read(DER, 48).hash == SHA384.id
    assert read(DER, 20).hash == SHA1.id


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(255),
        DER[:-1],
        DER + b"\0",
        bytes.fromhex("3006020101030102"),  # not an INTEGER
        bytes.fromhex("3006020181020102"),  # negative
        bytes.fromhex("300702020001020102"),  # padded
        bytes.fromhex("3006020100020102"),  # zero
        bytes.fromhex("30050200020102"),  # empty
        GOOD["quote_sig"][:-1],
    ],
)
def test_anything_else_is_no_signature(data: bytes) -> None:
    with pytest.raises(MalformedEvidence):
        decode_any_signature(data, digest_size=32, check_id="test")


def test_names_and_qualified_names_nest() -> None:
    name, parent = TPM.ak_name, name_of(TPM.ek_area)
    assert is_name(name)
    assert not is_name(name[:-1])
    assert not is_name(b"")
    top = b"\x00\x0b" + SHA256.digest(bytes.fromhex("4000000b") + parent)
    assert qualified_name(name, parent) == b"\x00\x0b" + SHA256.digest(top + name)
    assert qualified_name(name) != qualified_name(name, hierarchy=0x40000001)


def test_key_derivation_gives_as_many_bits_as_asked() -> None:
    long = kdfa(SHA256, b"k", b"STORAGE", b"u", b"v", 512)
    assert len(long) == 64
    assert long[:16] != kdfa(SHA256, b"k", b"STORAGE", b"u", b"v", 128)  # the size is hashed in
    assert len(kdfe(SHA384, b"z", b"IDENTITY", b"u", b"v", 384)) == 48
    assert kdfe(SHA256, b"z", b"IDENTITY", b"u", b"v", 512)[:32] == kdfe(SHA256, b"z", b"IDENTITY", b"u", b"v", 256)


def test_a_selection_names_its_pcrs() -> None:
    assert Selection(SHA256.id, b"\x81\x00\x80").pcrs == (0, 7, 23)
    assert Selection.of(SHA256.id, (23, 7, 0)).bitmap == b"\x81\x00\x80"


def test_every_field_has_a_bin() -> None:
    assert set(BINS) == set(FIELDS)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b'{"sha256":{}}',
        b'{"sha256":{"24":"' + b"00" * 32 + b'"}}',
        b'{"sha256":{"00":"' + b"00" * 32,
    ],
)
def test_register_values_are_read_strictly(text: bytes) -> None:
    with pytest.raises(MalformedEvidence):
        decode_banks(text, "test", "pcrs")
