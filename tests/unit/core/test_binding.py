"""Binding: the digest's input byte by byte, and the nonce (docs/what-a-token-means.md, docs/adr/0004-keys-and-answers.md)."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest

from verifier.core.binding import Component, Context, binding_digest, check_nonce, make_nonce, read_nonce, require_bound
from verifier.core.ids import BindingId
from verifier.formats.errors import EvidenceRejected, MalformedEvidence

NONCE, SIG, ENC = bytes(range(64)), b"s" * 32, b"e" * 32
CONTEXT = Context(
    issuer="https://v.example/t/default", tenant="default", workload="cat", audience="vault", user_data=b"\xff\x00"
)
SCOPE = {"issuer": "https://v.example/t/default", "tenant": "default", "workload": "cat"}


def _canonical(value: object) -> bytes:
    """RFC 8785 for plain ASCII strings: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def _source(components: bytes) -> bytes:
    context = {
        "audience": "vault",
        "issuer": "https://v.example/t/default",
        "tenant": "default",
        "user_data": "_wA",
        "workload": "cat",
    }
    head = b"vault-attestation-bridge/v1" + b"\x00" + NONCE + SIG + ENC
    return head + components + hashlib.sha256(_canonical(context)).digest()


def test_the_digest_is_over_exactly_what_the_design_says() -> None:
    digest = binding_digest(NONCE, SIG, ENC, CONTEXT)
    assert digest.whole == hashlib.sha512(_source(bytes(32))).digest()
    assert digest.short == hashlib.sha256(_source(bytes(32))).digest()


def test_components_come_in_the_given_order() -> None:
    parts = (Component("tpm2", "name", b"\x00\x0b"), Component("sev-snp", "evidence", b"\x01"))
    listed = [
        {"kind": "name", "scheme": "tpm2", "value": "000b"},
        {"kind": "evidence", "scheme": "sev-snp", "value": "01"},
    ]
    want = hashlib.sha512(_source(hashlib.sha256(_canonical(listed)).digest())).digest()
    assert binding_digest(NONCE, SIG, ENC, CONTEXT, parts).whole == want
    assert binding_digest(NONCE, SIG, ENC, CONTEXT, parts[::-1]).whole != want


@pytest.mark.parametrize(("nonce", "sig", "enc"), [(NONCE[:-1], SIG, ENC), (NONCE, b"", ENC), (NONCE, SIG, ENC + b"x")])
def test_lengths_are_never_made_to_fit(nonce: bytes, sig: bytes, enc: bytes) -> None:
    with pytest.raises(ValueError, match="want"):
        binding_digest(nonce, sig, enc, CONTEXT)


def test_user_data_has_a_limit() -> None:
    binding_digest(NONCE, SIG, ENC, Context("i", "t", "w", "a", bytes(64)))
    with pytest.raises(ValueError, match="user_data"):
        binding_digest(NONCE, SIG, ENC, Context("i", "t", "w", "a", bytes(65)))


@pytest.mark.parametrize("seen", [b"", b"x" * 63, b"x" * 65, b"y" * 64, b"x" * 32])
def test_only_the_exact_digest_binds(seen: bytes) -> None:
    require_bound(b"x" * 64, b"x" * 64)
    with pytest.raises(EvidenceRejected) as caught:
        require_bound(seen, b"x" * 64)
    assert caught.value.check_id == BindingId.USER_DATA


def test_nothing_expected_binds_nothing() -> None:
    with pytest.raises(EvidenceRejected):
        require_bound(b"", b"")


KEY = b"k" * 32
NOW = 1_800_000_000_000


def _nonce(**changes: object) -> bytes:
    fields = {"key_id": 3, "epoch": 9, "now_ms": NOW, "random": bytes(28), **SCOPE, **changes}
    return make_nonce(KEY, **fields)  # type: ignore[arg-type]


def _check(nonce: bytes, *, key: bytes | None = KEY, now_ms: int = NOW, epoch: int = 9, **scope: str) -> str:
    try:
        check_nonce(nonce, key, epoch=epoch, now_ms=now_ms, skew_ms=5_000, **{**SCOPE, **scope})
    except EvidenceRejected as error:
        return error.check_id
    return ""


def test_the_nonce_is_laid_out_as_the_design_says() -> None:
    nonce = _nonce(random=b"r" * 28)
    head = b"\x01\x03" + (9).to_bytes(2, "big") + NOW.to_bytes(8, "big") + b"r" * 28
    mac = hmac.digest(KEY, head + hashlib.sha256(_canonical(SCOPE)).digest(), "sha256")[:24]
    assert nonce == head + mac
    assert len(nonce) == 64
    read = read_nonce(nonce)
    assert (read.version, read.key_id, read.epoch, read.issued_at_ms) == (1, 3, 9, NOW)


def test_every_bit_of_a_nonce_counts() -> None:
    nonce = _nonce()
    assert _check(nonce) == ""
    for place in range(len(nonce) * 8):
        flipped = bytearray(nonce)
        flipped[place // 8] ^= 1 << place % 8
        if place < 8:
            with pytest.raises(MalformedEvidence):
                read_nonce(bytes(flipped))
        else:
            assert _check(bytes(flipped)) == "service.nonce.mac"


@pytest.mark.parametrize("scope", [{"issuer": "https://other"}, {"tenant": "acme"}, {"workload": "dog"}])
def test_a_nonce_is_for_one_issuer_tenant_and_workload(scope: dict[str, str]) -> None:
    assert _check(_nonce(), **scope) == "service.nonce.mac"


def test_a_nonce_lives_two_minutes_and_dies_with_its_epoch_or_key() -> None:
    nonce = _nonce()
    assert _check(nonce, now_ms=NOW + 120_000) == ""
    assert _check(nonce, now_ms=NOW + 120_001) == "service.nonce.expired"
    assert _check(nonce, now_ms=NOW - 5_000) == ""
    assert _check(nonce, now_ms=NOW - 5_001) == "service.nonce.expired"
    assert _check(nonce, epoch=10) == "service.nonce.epoch"
    assert _check(nonce, key=None) == "service.nonce.mac"
    assert _check(nonce, key=b"j" * 32) == "service.nonce.mac"


@pytest.mark.parametrize("bad", [b"", bytes(63), bytes(65), b"\x02" + bytes(63)])
def test_what_is_no_nonce_is_malformed(bad: bytes) -> None:
    with pytest.raises(MalformedEvidence) as caught:
        read_nonce(bad)
    assert caught.value.check_id == "wire.nonce"
