"""Challenge keys: the daily MAC keys of nonces, derived from the key file's master secret. See docs/adr/0004.

Key of day ``d`` (Unix days, UTC) = HKDF-SHA-256(master, info = ``vab-challenge-mac/v1`` 00 ``d`` in 8 bytes, big-endian);
its id in the nonce is ``d mod 256``. Every process that holds the master derives the same keys; nothing is handed around.
"""

from __future__ import annotations

from collections.abc import Callable

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from verifier.core.settings import SKEW_MS

MASTER_SIZE = 32
_DAY_MS = 86_400_000
_KEY_IDS = 256
_CHALLENGE_INFO = b"vab-challenge-mac/v1\x00"
_ENROLMENT_INFO = b"vab-tpm2-enrolment/v1\x00"


def _derive(master: bytes, info: bytes) -> bytes:
    if len(master) != MASTER_SIZE:
        raise ValueError(f"master: got {len(master)} bytes, want {MASTER_SIZE}")
    return HKDF(hashes.SHA256(), length=32, salt=None, info=info).derive(master)


def enrolment_key(master: bytes) -> bytes:
    """Derive the HMAC key of the TPM enrolment's state (docs/tee/tpm2.md); its states live two minutes."""
    return _derive(master, _ENROLMENT_INFO)


class ChallengeKeys:
    """The MAC keys by day. ``master`` is asked each time, so that a key file that changes is followed.

    Accepted are today's and yesterday's key, and tomorrow's in the last seconds of a day, because another process whose
    clock runs ahead by the allowed skew may have begun it. How old a nonce may be is ``core.binding.check_nonce``'s.
    """

    def __init__(self, master: Callable[[], bytes]) -> None:
        self._master = master
        self._derived: dict[tuple[bytes, int], bytes] = {}

    def current(self, now_ms: int) -> tuple[int, bytes]:
        """Return the key id and the key that new nonces carry."""
        day = now_ms // _DAY_MS
        return day % _KEY_IDS, self._key(day)

    def find(self, key_id: int, now_ms: int) -> bytes | None:
        """Return the key of that id where it is accepted now, else ``None``."""
        today = now_ms // _DAY_MS
        for day in (today, today - 1, (now_ms + SKEW_MS) // _DAY_MS):
            if day >= 0 and day % _KEY_IDS == key_id:
                return self._key(day)
        return None

    def _key(self, day: int) -> bytes:
        master = self._master()
        known = self._derived.get((master, day))
        if known is None:
            known = _derive(master, _CHALLENGE_INFO + day.to_bytes(8, "big"))
            # A new dict instead of a change in place: other threads may be reading. Days before yesterday are let go.
            kept = {(m, d): key for (m, d), key in self._derived.items() if m == master and d >= day - 1}
            self._derived = {**kept, (master, day): known}
        return known
