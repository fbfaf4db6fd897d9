"""The three kinds of no, and the one that stops a start.

``MalformedEvidence``: cannot be read (400). ``EvidenceRejected``: read, not believed or not wanted (403).
``CannotDecide``: an endorsement, the store or the clock is missing (503, may be retried). None of them mints.
``ConfigError``: the operator's own documents or settings are wrong; start-up only.

Every no carries a ``check_id``: a scheme's (``<scheme>.<noun>[.<noun>]``, its folder's ``checks.toml``) or a member of an enumeration
(``core.ids``, ``attester.ids``). Ids are never renamed. What each means: ``verifier checks``, ``attester checks``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class BridgeError(Exception):
    """A no with a ``check_id``; ``detail`` is safe to show to the operator and never holds a secret or a token."""

    outcome = "bug"

    def __init__(self, check_id: str, detail: str) -> None:
        super().__init__(f"{check_id}: {detail}")
        self.check_id = str(check_id)  # of an enumeration's member the plain string
        self.detail = detail


class MalformedEvidence(BridgeError):
    """The bytes cannot be read as what they claim to be. Parsers raise this and nothing else."""

    outcome = "malformed"


class EvidenceRejected(BridgeError):
    """The bytes were read and are not believed, or not wanted."""

    outcome = "rejected"


class CannotDecide(BridgeError):
    """Something that is needed for a verdict is not there. Only this may be retried; it never spends a nonce."""

    outcome = "cannot-decide"

    def __init__(self, check_id: str, detail: str, *, retry_after: int = 5) -> None:
        super().__init__(check_id, detail)
        self.retry_after = retry_after


class Failed(Exception):
    """A step of verification says no. It has no id: what runs the step names it (``named``, ``tee.scheme.run_checks``)."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Undecided(Failed):
    """A step cannot be taken: what it needs of the verifier's own is missing, stale or wrong."""

    def __init__(self, detail: str, *, retry_after: int = 5) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


def as_no(check_id: str, failure: Failed) -> EvidenceRejected | CannotDecide:
    """Return the kind of no that a failed step is, under an id."""
    if isinstance(failure, Undecided):
        return CannotDecide(check_id, failure.detail, retry_after=failure.retry_after)
    return EvidenceRejected(check_id, failure.detail)


@contextmanager
def named(check_id: str) -> Iterator[None]:
    """Give the steps inside this id: a step that fails is ``EvidenceRejected`` or ``CannotDecide`` under it."""
    try:
        yield
    except Failed as failure:
        raise as_no(check_id, failure) from None


class ConfigError(Exception):
    """The operator's own input is wrong: names where (file), which key, what was got, what is wanted."""

    def __init__(self, where: str, key: str, got: object, want: str) -> None:
        super().__init__(f"{where}: {key}: got {got!r}, want {want}")
        self.where = where
        self.key = key
        self.got = got
        self.want = want


class TrustRefused(ConfigError):
    """A set of trust documents that is not taken: ``digest`` is its own, ``in_force`` that of the set which stays."""

    def __init__(self, check_id: str, where: str, digest: str, in_force: str, want: str) -> None:
        super().__init__(where, "documents", f"the set {digest} while {in_force or 'none'} is in force", want)
        self.check_id = str(check_id)
        self.digest = digest
        self.in_force = in_force


def mismatch(field: str, got: object, want: object) -> str:
    """Word a difference the same way everywhere: field, got, want."""
    return f"{field}: got {got}, want {want}"
