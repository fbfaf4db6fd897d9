"""A boot's event log against quoted PCRs, where userspace goes on extending PCR 11 behind what firmware logged. Pure.

systemd-stub logs what it measures of a unified kernel image through firmware; systemd then extends the words of the boot phases
into the same PCR and logs them elsewhere. The words are public and few, so the verifier goes on with them itself.
Source: systemd-pcrphase.service(8), systemd-stub(7); TCG PC Client Platform Firmware Profile 1.06, section 2.3.4.
"""

from __future__ import annotations

from collections.abc import Mapping

from verifier.formats.errors import Failed
from verifier.tee.tcg.layout import EventLog, HashAlgorithm, extend
from verifier.tee.tcg.replay import extended, replay, require_replay
from verifier.tee.tcg.uki import PCR_UKI

# In the order in which a machine comes up and goes down again. One without an initial RAM disk begins with the third.
WORDS = ("enter-initrd", "leave-initrd", "sysinit", "ready", "shutdown", "final")
_WITHOUT_INITRD = 2


def phase_path(algorithm: HashAlgorithm, start: bytes, value: bytes) -> str | None:
    """Return by which phase words a register went from ``start`` to ``value``: "" for none, ``None`` where by no such words."""
    for first in (0, _WITHOUT_INITRD):
        reached = start
        if reached == value:
            return ""
        for number, word in enumerate(WORDS[first:], first + 1):
            reached = extend(algorithm, reached, algorithm.digest(word.encode("ascii")))
            if reached == value:
                return ":".join(WORDS[first:number])
    return None


def require_boot_replay(
    log: EventLog, algorithm: HashAlgorithm, want: Mapping[int, bytes], *, must_explain: frozenset[int]
) -> None:
    """Refuse a log that does not give the wanted registers, as ``require_replay``; PCR 11 may be some boot phases further on."""
    others = {register: value for register, value in want.items() if register != PCR_UKI}
    if PCR_UKI not in want or algorithm.id not in log.banks:
        require_replay(log, algorithm, want, must_explain=must_explain)
        return
    logged = replay(log, algorithm).get(PCR_UKI)
    start = bytes(algorithm.size) if logged is None else logged
    compares = logged is not None or PCR_UKI in must_explain
    if compares and phase_path(algorithm, start, want[PCR_UKI]) is None:
        detail = (
            f"replay gives {start.hex()}, want {want[PCR_UKI].hex()}, with or without words of boot phases behind it"
        )
        raise Failed(f"{algorithm.name} register {PCR_UKI}: {detail}")
    if not compares or any(register in must_explain or any(extended(log, register)) for register in others):
        require_replay(log, algorithm, others or want, must_explain=must_explain)
