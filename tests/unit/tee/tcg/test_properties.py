"""Logs of any bytes: malformed or read, never anything else, and never slowly."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.bootlog import BootLog, measured_boot, secure_boot_variable
from tests.support.waiting import assert_linear
from verifier.formats.errors import MalformedEvidence
from verifier.tee.tcg.claims import log_claims
from verifier.tee.tcg.closed import judge_rules
from verifier.tee.tcg.data import proven_secure_boot
from verifier.tee.tcg.decode import MAX_EVENTS, decode_log, decode_uefi_variable
from verifier.tee.tcg.layout import (
    EFI_GLOBAL_VARIABLE,
    EV_EFI_VARIABLE_DRIVER_CONFIG,
    EV_SEPARATOR,
    SHA1,
    SHA256,
    UefiVariable,
    encode_event2,
    encode_spec_id,
    encode_uefi_variable,
)
from verifier.tee.tcg.replay import replay, zero_register

GOOD = measured_boot((SHA1, SHA256)).to_bytes()
VARIABLE = secure_boot_variable()


def mutated(base: bytes) -> st.SearchStrategy[bytes]:
    patches = st.tuples(st.integers(0, len(base)), st.binary(min_size=1, max_size=12)).map(
        lambda p: base[: p[0]] + p[1] + base[p[0] + len(p[1]) :]
    )
    return st.one_of(patches, st.binary(max_size=400), st.integers(0, len(base)).map(lambda n: base[:n]))


@settings(max_examples=200)
@given(mutated(GOOD))
def test_a_log_of_any_bytes_is_malformed_or_read(data: bytes) -> None:
    with contextlib.suppress(MalformedEvidence):
        log = decode_log(data)
        assert log.raw == data
        assert log_claims(log)["bytes_used"] <= len(data)


@settings(max_examples=200)
@given(mutated(VARIABLE))
def test_a_variable_of_any_bytes_is_malformed_or_encodes_to_itself(data: bytes) -> None:
    with contextlib.suppress(MalformedEvidence):
        assert encode_uefi_variable(decode_uefi_variable(data)) == data


events = st.lists(
    st.tuples(st.integers(0, 23), st.sampled_from([1, 4, 8, 0xD, 0x80000003]), st.binary(max_size=40)),
    min_size=1,
    max_size=20,
)


@given(events)
def test_a_log_replays_to_what_was_extended(listed: list[tuple[int, int, bytes]]) -> None:
    builder = BootLog((SHA1, SHA256))
    for register, event_type, data in listed:
        builder.add(register, event_type, data)
    log = decode_log(builder.to_bytes())
    assert len(log.events) == len(listed)
    for algorithm in (SHA1, SHA256):
        assert replay(log, algorithm) == builder.registers(algorithm)


def test_registers_without_locality_start_from_zero() -> None:
    builder = BootLog(locality=3).add(0, EV_SEPARATOR, bytes(4))
    log = decode_log(builder.to_bytes())
    assert replay(log, SHA256, initial=zero_register)[0] == SHA256.digest(bytes(32) + SHA256.digest(bytes(4)))
    assert replay(log, SHA256)[0] != replay(log, SHA256, initial=zero_register)[0]


@pytest.mark.slow
def test_as_many_events_as_fit_are_read_in_one_pass_and_more_are_refused() -> None:
    header = encode_spec_id((SHA256,))
    event = encode_event2(0, 0, [(SHA256.id, bytes(32))], b"")
    assert_linear(lambda count: decode_log(header + event * count), MAX_EVENTS // 8)
    assert len(decode_log(header + event * MAX_EVENTS).events) == MAX_EVENTS
    with pytest.raises(MalformedEvidence):
        decode_log(header + event * (MAX_EVENTS + 1), max_bytes=1 << 24)


def _log(*entries: tuple[int, bytes]) -> BootLog:
    log = BootLog()
    for event_type, data in entries:
        log.add(7, event_type, data)
    return log


OFF = secure_boot_variable(b"\x00")
SEPARATOR = (EV_SEPARATOR, bytes(4))
ON = (EV_EFI_VARIABLE_DRIVER_CONFIG, VARIABLE)
OTHER_VENDOR = encode_uefi_variable(UefiVariable(bytes(16), "SecureBoot", b"\x01"))


@pytest.mark.parametrize(
    ("log", "state"),
    [
        (_log(ON, SEPARATOR), "on"),
        (_log((EV_EFI_VARIABLE_DRIVER_CONFIG, OFF), SEPARATOR), "off"),
        (_log((EV_EFI_VARIABLE_DRIVER_CONFIG, secure_boot_variable(b"")), SEPARATOR), "empty"),
        (_log(ON), None),  # no boundary
        (_log(SEPARATOR, ON), None),  # behind it
        (_log((0x5, bytes(4)), ON, SEPARATOR), None),  # behind it, the boundary called by another name
        (_log(ON, (EV_EFI_VARIABLE_DRIVER_CONFIG, OFF), SEPARATOR), None),  # said twice
        (_log((EV_EFI_VARIABLE_DRIVER_CONFIG, OTHER_VENDOR), SEPARATOR), None),
        (_log((0x5, VARIABLE), SEPARATOR), "on"),  # the digest decides, not the type
        (BootLog().add(7, EV_EFI_VARIABLE_DRIVER_CONFIG, VARIABLE, hashed=OFF).add(7, *SEPARATOR), None),  # a lie
    ],
)
def test_secure_boot_is_proven_or_not_said(log: BootLog, state: str | None) -> None:
    assert EFI_GLOBAL_VARIABLE in VARIABLE
    assert proven_secure_boot(decode_log(log.to_bytes()), SHA256) == state


@pytest.mark.slow
@settings(max_examples=200)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.text(), c)
    )
)
def test_rules_of_any_shape_are_answered(expected: object) -> None:
    log = decode_log(GOOD)
    assert judge_rules(expected, log, replay(log, SHA256), replay(log, SHA256))


def test_a_register_that_the_log_leaves_out_is_not_explained_by_an_empty_rule() -> None:
    """PCR 10 and 15 need no events in a log: what was extended into them behind its back must not pass for nothing."""
    log = decode_log(GOOD)
    rule = [{"index": 15, "until": "end", "events": []}]
    assert 15 not in replay(log, SHA256)

    assert not judge_rules(rule, log, {15: bytes(32)}, replay(log, SHA256))
    assert "replay gives" in judge_rules(rule, log, {15: b"\x01" * 32}, replay(log, SHA256))
