"""Replay: do the log's digests give the registers? Proves the digests and their order per register, never the data.

Source: TCG PC Client Platform Firmware Profile 1.05/1.06, section 2.3.4. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from verifier.formats.errors import Failed
from verifier.tee.tcg.layout import EV_NO_ACTION, Event, EventLog, HashAlgorithm, initial_register

InitialValue = Callable[[int, int, int], bytes]  # (register, digest size, startup locality) -> value


def zero_register(_register: int, size: int, _locality: int) -> bytes:
    """Return the start value of registers that know no locality: RTMRs and the CC registers of a CCEL log."""
    return bytes(size)


def extended(log: EventLog, register: int | None = None) -> Iterable[Event]:
    """Yield the events that were extended, in log order; EV_NO_ACTION never is."""
    return (e for e in log.events if e.type != EV_NO_ACTION and register in (None, e.register))


def replay(log: EventLog, algorithm: HashAlgorithm, *, initial: InitialValue = initial_register) -> Mapping[int, bytes]:
    """Compute the registers that the log has events for. ``ValueError`` for a hash that the log does not carry."""
    if algorithm.id not in log.banks:
        raise ValueError(f"{algorithm.name}: not a whole bank of the log, or not computable")
    values: dict[int, bytes] = {}
    for event in extended(log):
        value = values.get(event.register)
        if value is None:
            value = initial(event.register, algorithm.size, log.startup_locality)
        values[event.register] = algorithm.digest(value + event.digests[algorithm.id])
    return values


def require_replay(
    log: EventLog,
    algorithm: HashAlgorithm,
    want: Mapping[int, bytes],
    *,
    must_explain: frozenset[int],
    initial: InitialValue = initial_register,
) -> None:
    """Refuse a log that does not give the wanted registers.

    Compared are the wanted registers that the log has events for and those in ``must_explain``, which without any event
    have to hold their start value: so a log cut between events fails. Comparing nothing is a failure too.
    """
    if algorithm.id not in log.banks:
        raise Failed(f"event log: got no {algorithm.name} digests of every event, want them")
    values = replay(log, algorithm, initial=initial)
    compared = sorted(r for r in want if r in values or r in must_explain)
    if not compared:
        raise Failed(f"event log: explains none of the {algorithm.name} registers {sorted(want)}")
    for register in compared:
        got = values.get(register)
        if got is None:
            got = initial(register, algorithm.size, log.startup_locality)
        if got != want[register]:
            raise Failed(f"{algorithm.name} register {register}: replay gives {got.hex()}, want {want[register].hex()}")
