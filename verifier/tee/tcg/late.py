"""An event log that is read when a check asks for it: after binding, enrolment and signature, never before.

Any client may send a log of 1 MiB, whose events cost a hundred times what the small parts cost. So ``decode`` of a scheme keeps the
bytes, and the checks of log and replay, which come last, read them. A log that cannot be read is malformed under the same id as ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from verifier.tee.tcg.decode import MAX_REGISTER, decode_log, require_size
from verifier.tee.tcg.layout import EventLog, HashAlgorithm, initial_register
from verifier.tee.tcg.replay import InitialValue, replay

_NOTHING: Mapping[int, bytes] = MappingProxyType({})


class LateLog:
    """The bytes of a log, unverified. ``read`` and ``replayed`` work once and remember; a request belongs to one thread."""

    __slots__ = ("_algorithm", "_check_id", "_initial", "_log", "_max_register", "_replayed", "raw")

    def __init__(
        self,
        raw: bytes,
        check_id: str,
        algorithm: HashAlgorithm,
        *,
        max_register: int = MAX_REGISTER,
        initial: InitialValue = initial_register,
    ) -> None:
        """Keep the bytes; none, or more than a log may have, are ``MalformedEvidence(check_id)`` at once."""
        require_size(raw, check_id)
        self.raw = raw
        self._check_id = check_id
        self._algorithm = algorithm
        self._max_register = max_register
        self._initial = initial
        self._log: EventLog | None = None
        self._replayed: Mapping[int, bytes] | None = None

    def read(self) -> EventLog:
        """Return the log; ``MalformedEvidence`` where it cannot be read."""
        if self._log is None:
            self._log = decode_log(self.raw, check_id=self._check_id, max_register=self._max_register)
        return self._log

    def replayed(self) -> Mapping[int, bytes]:
        """Return the registers that the log gives for the scheme's bank, empty where the log has no such bank."""
        if self._replayed is None:
            log = self.read()
            has_bank = self._algorithm.id in log.banks
            values = replay(log, self._algorithm, initial=self._initial) if has_bank else _NOTHING
            self._replayed = MappingProxyType(dict(values))
        return self._replayed


class WithLog:
    """What a record of evidence with a late log has. Both may be ``MalformedEvidence`` when they are first asked for."""

    __slots__ = ()
    late_log: LateLog | None

    @property
    def log(self) -> EventLog | None:
        """The event log, where one came."""
        return None if self.late_log is None else self.late_log.read()

    @property
    def replayed(self) -> Mapping[int, bytes]:
        """What the log gives for the scheme's bank; empty without a log, or where it has no such bank."""
        return _NOTHING if self.late_log is None else self.late_log.replayed()
