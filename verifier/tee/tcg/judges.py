"""Judges over a boot's event log: closed rules, and Secure Boot as the log proves it. ``evidence`` has ``log`` and ``replayed``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from verifier.core.rules import Judgement
from verifier.tee.judges import AnyVerified, Judge, on_off, say
from verifier.tee.tcg.closed import judge_rules
from verifier.tee.tcg.data import proven_secure_boot
from verifier.tee.tcg.layout import HashAlgorithm

Registers = Callable[[AnyVerified], Mapping[int, bytes]]


def _log_of(evidence: Any) -> Any:
    """Return what holds log and replayed values: the evidence, or the TPM part of it."""
    return getattr(evidence, "tpm", evidence)


def event_log(registers: Registers, algorithm: HashAlgorithm) -> Judge:
    """Judge the log by closed rules: every event of the named registers is explained, up to the boundary that a rule names."""

    def judge(verified: AnyVerified, expected: Any) -> Judgement:
        part = _log_of(verified.evidence)
        detail = judge_rules(expected, part.log, registers(verified), part.replayed, algorithm)
        return say(not detail, None if part.log is None else len(part.log.events), detail)

    return judge


def secure_boot(registers: Registers, algorithm: HashAlgorithm, register: int = 7) -> Judge:
    """Judge Secure Boot as the replayed log proves it. A log proves nothing about a register that it does not give."""

    def judge(verified: AnyVerified, expected: Any) -> Judgement:
        part = _log_of(verified.evidence)
        value = part.replayed.get(register)
        proves = part.log is not None and value is not None and value == registers(verified).get(register)
        seen = proven_secure_boot(part.log, algorithm, register) if proves else None
        ok = seen is not None and (seen == "on") is expected
        return say(ok, seen, f"Secure Boot: got {seen or 'nothing proven'}, want {on_off(expected)}")

    return judge
