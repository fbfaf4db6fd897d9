"""Closed event-log rules: a rule consumes every event of its register up to its boundary, in order (docs/tee/tcg-eventlog.md).

Greedy and without backtracking: an entry takes as many events as it may, what is left over fails. Judged over the SHA-256
digests (SHA-384 in a CCEL log: ``algorithm``) of a log whose replay of that register was compared with the quote by the caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from verifier.tee.tcg.data import before_separator
from verifier.tee.tcg.identity import EventEntry, RegisterRule
from verifier.tee.tcg.layout import (
    SHA256,
    Event,
    EventLog,
    HashAlgorithm,
    UefiVariable,
    encode_uefi_variable,
    type_name,
)
from verifier.tee.tcg.replay import extended


@dataclass(frozen=True, slots=True)
class Consumed:
    """What became of one rule: ``detail`` is empty when every event was explained."""

    register: int
    detail: str


def accepted_digests(entry: EventEntry, algorithm: HashAlgorithm = SHA256) -> frozenset[bytes]:
    """Return the digests that an entry accepts; each alternative is a constant of the trust owner's."""
    if entry.digests is not None:
        return frozenset(bytes.fromhex(d) for d in entry.digests)
    if entry.data is not None:
        return frozenset(algorithm.digest(bytes.fromhex(d)) for d in entry.data)
    if entry.texts is not None:
        return frozenset(algorithm.digest(t.encode()) for t in entry.texts)
    if entry.variable is None:
        return frozenset()
    vendor, name = UUID(entry.variable.vendor).bytes_le, entry.variable.name
    return frozenset(
        algorithm.digest(encode_uefi_variable(UefiVariable(vendor, name, bytes.fromhex(v))))
        for v in entry.variable.values
    )


def _takes(entry: EventEntry, digests: frozenset[bytes], event: Event, algorithm: HashAlgorithm) -> bool:
    return event.digests[algorithm.id] in digests and type_name(event.type) == entry.type


def consume(rule: RegisterRule, log: EventLog, algorithm: HashAlgorithm = SHA256) -> Consumed:
    """Match one register; the caller has compared its replay with the quoted value."""
    register = rule.index
    if rule.until == "separator":
        events, closed = before_separator(log, register, algorithm)
        if not closed:
            return Consumed(register, f"register {register}: got no separator, want one")
    else:
        events = tuple(extended(log, register))
    position = 0
    for number, entry in enumerate(rule.events):
        digests = accepted_digests(entry, algorithm)
        taken = 0
        while taken < entry.at_most and position < len(events) and _takes(entry, digests, events[position], algorithm):
            position += 1
            taken += 1
        if taken < entry.at_least:
            return Consumed(
                register, f"register {register}, entry {number}: {_at(events, position, algorithm)}, want {entry.type}"
            )
    if position < len(events):
        return Consumed(register, f"register {register}: unexplained {_at(events, position, algorithm)}")
    return Consumed(register, "")


def _at(events: tuple[Event, ...], position: int, algorithm: HashAlgorithm) -> str:
    if position >= len(events):
        return "got the boundary"
    event = events[position]
    return f"got event {event.ordinal} ({type_name(event.type)}, {algorithm.name} {event.digests[algorithm.id].hex()})"


def judge_rules(
    expected: Any,
    log: EventLog | None,
    quoted: Mapping[int, bytes],
    replayed: Mapping[int, bytes],
    algorithm: HashAlgorithm = SHA256,
) -> str:
    """Judge a list of register rules in JSON form; returns what is wrong, "" when everything is explained.

    ``quoted`` and ``replayed`` are register values of ``algorithm``'s bank. Total: whatever it is given, it answers.
    """
    if log is None:
        return "event log: got none, want one"
    if not isinstance(expected, list | tuple) or not expected:
        return "event-log rules: got none to check"
    if algorithm.id not in log.banks:
        return f"event log: got no {algorithm.name} digests, want them"
    try:
        rules = [RegisterRule.model_validate(item) for item in expected]
    except ValidationError as error:
        return f"event-log rules: {error.error_count()} errors"
    for rule in rules:
        register = rule.index
        if register not in quoted:
            return f"register {register}: not in the quote's {algorithm.name} selection"
        value = replayed.get(register, bytes(algorithm.size))
        if value != quoted[register]:
            return f"register {register}: replay gives {value.hex()}, quote says {quoted[register].hex()}"
        consumed = consume(rule, log, algorithm)
        if consumed.detail:
            return consumed.detail
    return ""
