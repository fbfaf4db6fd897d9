"""Measurement lists: what is written is what is read, whatever the paths; replay is linear; signatures say what they say."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from forge.ima import MeasurementList, key_id_of, sign_file, spki
from forge.tpm2 import new_key
from tests.support.waiting import assert_linear
from verifier.formats.errors import MalformedEvidence
from verifier.tee.ima.decode import MAX_ENTRIES, decode_file_signature, decode_list
from verifier.tee.ima.explain import explain, is_signed_by, key_id, load_key
from verifier.tee.ima.identity import ImaRules
from verifier.tee.ima.layout import (
    DIGEST_SIZES,
    OLD_TEMPLATE,
    TEMPLATES,
    TYPED_TEMPLATES,
    Entry,
    encode_entry,
    encode_file_signature,
    template_data,
)
from verifier.tee.ima.replay import boot_aggregates, first_inconsistent, is_padded_sha1, replay_all, replay_prefix
from verifier.tee.tcg.layout import SHA1, SHA256, SHA384, SHA512

_SETTINGS = settings(max_examples=150, derandomize=True)
_BYTE = st.integers(1, 255).filter(lambda b: b != ord("\n"))
_PATHS = st.lists(_BYTE, min_size=1, max_size=60).map(bytes)


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    """Draw an entry that a kernel could have written."""
    template = draw(st.sampled_from(sorted(TEMPLATES)))
    algorithm = "sha1" if template == OLD_TEMPLATE else draw(st.sampled_from(sorted(DIGEST_SIZES)))
    size = DIGEST_SIZES[algorithm]
    digest = draw(st.binary(min_size=size, max_size=size))
    kind = draw(st.sampled_from(("ima", "verity"))) if template in TYPED_TEMPLATES else ""
    fields = []
    for name in TEMPLATES[template]:
        raw = draw(st.binary(max_size=40))
        fields.append(b"sha256:\x00" + hashlib.sha256(raw).digest() if name == "d-modsig" and raw else raw)
    entry = Entry(b"", template, algorithm, digest, draw(_PATHS), kind, tuple(fields))
    bank = draw(st.sampled_from((SHA1, SHA256, SHA384, SHA512)))
    return replace(entry, template_hash=bank.digest(template_data(entry)))


@pytest.mark.slow
@_SETTINGS
@given(st.lists(entries(), min_size=1, max_size=8))
def test_what_a_kernel_writes_is_read_back_to_the_byte(written: list[Entry]) -> None:
    raw = b"".join(map(encode_entry, written))
    found = decode_list(raw)
    assert found.entries == tuple(written)
    assert first_inconsistent(found.entries) is None
    assert replay_prefix(found.entries, SHA256, replay_all(found.entries, SHA256)) == len(written)


@pytest.mark.slow
@_SETTINGS
@given(st.lists(entries(), min_size=2, max_size=6), st.data())
def test_any_changed_byte_is_unreadable_or_another_list(written: list[Entry], data: Any) -> None:
    raw = b"".join(map(encode_entry, written))
    want = replay_all(decode_list(raw).entries, SHA256)
    at, value = data.draw(st.integers(0, len(raw) - 1)), data.draw(st.integers(0, 255))
    changed = raw[:at] + bytes((value,)) + raw[at + 1 :]
    try:
        found = decode_list(changed)
    except MalformedEvidence:
        return
    assert changed == raw or first_inconsistent(found.entries) is not None or replay_all(found.entries, SHA256) != want


@_SETTINGS
@given(st.binary(max_size=400))
def test_any_bytes_are_a_list_or_malformed(data: bytes) -> None:
    try:
        found = decode_list(b"10 " + data)
    except MalformedEvidence:
        return
    assert b"".join(map(encode_entry, found.entries)) == b"10 " + data


def test_paths_with_spaces_and_trailing_ones_stay_whole() -> None:
    found = MeasurementList("ima-sig")
    for path in (b"/a b", b"/a ", b" /a", b"/a  ", b"/abcd 00ff", b"/\xc3\xa9 (deleted)"):
        found.measure(path, bytes(31) + b"\x01").measure(path, bytes(31) + b"\x01", fields=(b"\x03\x02",))
    assert decode_list(found.to_bytes()).entries == found.entries


def _many(count: int) -> MeasurementList:
    found = MeasurementList(banks=(SHA256,)).boot_aggregate({i: bytes(32) for i in range(10)})
    for number in range(count - 1):
        found.file(b"/f%d" % number, b"%d" % number)
    return found


@pytest.mark.slow
def test_eight_times_the_entries_cost_eight_times_as_much() -> None:
    found = {count: _many(count) for count in (1_000, 8_000)}

    def judge(count: int) -> None:
        raw, register = found[count].to_bytes(), found[count].register()
        rules = {"files": [{"path": e.path.decode(), "digests": [e.named_digest]} for e in found[count].entries]}
        read = decode_list(raw, max_bytes=4 * len(raw))
        assert replay_prefix(read.entries, SHA256, register) == count
        assert first_inconsistent(read.entries) is None
        assert explain(read.entries, rules).detail == ""

    assert_linear(judge, 1_000)


def test_more_entries_than_anybody_has_are_refused() -> None:
    line = MeasurementList().file(b"/a", b"").to_bytes()
    with pytest.raises(MalformedEvidence, match="more than"):
        decode_list(line * (MAX_ENTRIES + 1), max_bytes=1 << 30)


def test_a_prefix_has_at_least_one_entry() -> None:
    assert replay_prefix(_many(3).entries, SHA256, bytes(32)) is None
    assert replay_prefix((), SHA256, bytes(32)) is None


def test_an_old_kernels_bank_is_recognised_only_where_it_could_be_one() -> None:
    found, value = _many(3), bytes(32)
    for entry in found.entries:
        value = SHA256.digest(value + entry.template_hash.ljust(32, b"\x00"))
    assert is_padded_sha1(found.entries, SHA256, value)
    assert not is_padded_sha1(found.entries, SHA256, bytes(32))
    assert not is_padded_sha1(found.entries, SHA1, found.entries[0].template_hash)
    newer = MeasurementList(template_hash=SHA256).file(b"/a", b"a")
    assert not is_padded_sha1(newer.entries, SHA256, newer.register())


def test_boot_aggregate_covers_eight_pcrs_or_ten_and_nothing_else() -> None:
    pcrs = {i: bytes((i,)) * 32 for i in range(10)}
    joined = b"".join(pcrs.values())
    assert boot_aggregates(SHA256, pcrs) == {SHA256.digest(joined), SHA256.digest(joined[: 8 * 32])}
    assert boot_aggregates(SHA256, {i: v for i, v in pcrs.items() if i != 9}) == {SHA256.digest(joined[: 8 * 32])}
    assert boot_aggregates(SHA256, {i: v for i, v in pcrs.items() if i != 0}) == frozenset()


@pytest.mark.parametrize(
    ("kind", "algorithm", "version"),
    [
        ("ecc", "sha256", 2),
        ("ecc", "sha512", 3),
        ("ecc-p384", "sha384", 2),
        ("ecc-p384", "sha256", 3),
        ("rsa", "sha512", 2),
        ("rsa", "sha384", 3),
    ],
)
def test_a_signature_counts_for_its_digest_its_type_and_its_key(kind: Any, algorithm: str, version: int) -> None:
    key, other = new_key(kind, "signer"), new_key(kind, "other")
    digest = hashlib.new(algorithm, b"content").digest()
    template, typed = ("ima-sigv2", "verity") if version == 3 else ("ima-sig", "")
    raw = sign_file(key, digest, algorithm, version=version)
    signature = decode_file_signature(raw)
    assert encode_file_signature(signature) == raw
    entry = Entry(bytes(19) + b"\1", template, algorithm, digest, b"/f", typed, (raw,))
    public, wrong = load_key(spki(key)), load_key(spki(other))
    assert public is not None
    assert wrong is not None
    assert key_id(public) == key_id_of(key) == signature.key_id
    assert is_signed_by(public, entry, signature)
    assert not is_signed_by(wrong, entry, signature)
    changed = bytes((digest[0] ^ 1,)) + digest[1:]
    assert not is_signed_by(public, replace(entry, digest=changed), signature)
    assert not is_signed_by(public, replace(entry, kind="ima" if typed else "verity"), signature)
    assert not is_signed_by(public, entry, replace(signature, hash=2))  # SHA-1
    assert not is_signed_by(public, entry, replace(signature, type=5))


def test_a_signature_by_a_digest_too_weak_counts_for_nothing() -> None:
    key = new_key("ecc", "signer")
    digest = SHA1.digest(b"content")
    raw = sign_file(key, hashlib.sha256(digest).digest())
    entry = Entry(bytes(19) + b"\1", "ima-sig", "sha1", digest, b"/f", "", (raw,))
    assert explain((entry,), {"keys": [{"spki": spki(key).hex()}]}).detail


@pytest.mark.parametrize(
    "raw",
    [b"", b"\x03\x02\x04", b"\x03\x02\x04aaaa\x00\x02x", b"\x03\x02\x04aaaa\x00\x00", b"\x03\x02\x04aaaa\x00\x01xy"],
)
def test_a_signature_has_exactly_its_stated_size(raw: bytes) -> None:
    with pytest.raises(MalformedEvidence):
        decode_file_signature(raw)


@pytest.mark.parametrize(
    "expected", [None, {}, [], "x", {"files": []}, {"may_be_anything": [{"path": "/a", "why": "x"}]}]
)
def test_rules_that_compare_nothing_never_hold(expected: Any) -> None:
    assert explain(_many(2).entries, expected).detail


def test_no_entries_are_never_explained() -> None:
    assert explain((), {"digests": ["sha256:" + "00" * 32]}).detail


def test_the_finding_names_the_first_few_and_counts_the_rest() -> None:
    result = explain(_many(12).entries, {"digests": ["sha256:" + "00" * 32]})
    assert result.detail.count("entry ") == 5
    assert result.detail.endswith("and 7 more")
    assert result.counts["unexplained"] == 12


_ONE = {"path": "/a", "digests": ["sha256:" + "ab" * 32]}


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"files": [_ONE, _ONE]},
        {"files": [{"path": "/a", "digests": []}]},
        {"files": [{"path": "/a", "digests": ["sha1:" + "ab" * 20]}]},
        {"digests": ["ab" * 32]},
        {"digests": ["sha256:" + "AB" * 32]},
        {"may_be_anything": [{"path": "/", "why": "all"}], "files": [_ONE]},
        {"may_be_anything": [{"path": "var/", "why": "x"}], "files": [_ONE]},
        {"may_be_anything": [{"path": "/var/", "why": ""}], "files": [_ONE]},
        {"keys": [{"spki": "00" * 91}]},
        {"keys": [{"spki": spki(new_key("ecc", "k")).hex(), "key_id": "1"}]},
        {"files": [_ONE], "max_violations": -1},
        {"files": [_ONE], "violations": ["/a"]},
    ],
)
def test_rules_that_say_too_little_or_too_much_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ImaRules.model_validate(values)
