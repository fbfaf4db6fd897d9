"""Seals: rows that decide carry an HMAC, so that a hand in the database changes no decision (docs/adr/0021-sealed-rows.md).

Seal = HMAC-SHA-256 over the row's form, keyed for its table: HKDF-SHA-256(master, info = ``vab-store-seal/v1`` 00 table). The form has
every column of the row in the order of the table, primary key included; each value is its kind (``n`` none, ``i`` integer in
decimal, ``t`` text in UTF-8, ``b`` bytes), its length in 4 bytes, big-endian, and its bytes. ``master`` is the key file's.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from verifier.core.ids import ServiceId
from verifier.formats.errors import CannotDecide, ConfigError

SEAL_SIZE: Final = 32
_INFO: Final = b"vab-store-seal/v1\x00"

Value = str | int | bytes | memoryview | None


class TableSealer:
    """Makes and checks the seals of one table's rows, with the key that was there when it was asked for."""

    __slots__ = ("_key", "_table")

    def __init__(self, table: str, key: bytes) -> None:
        self._table, self._key = table, key

    def seal(self, *values: Value) -> bytes:
        """Return the seal of a row."""
        return hmac.digest(self._key, _form(values), "sha256")

    def fits(self, seal: bytes | memoryview | None, *values: Value) -> bool:
        """Tell whether this is the row's seal."""
        return seal is not None and hmac.compare_digest(bytes(seal), self.seal(*values))

    def check(self, seal: bytes | memoryview | None, row: str, *values: Value) -> None:
        """Raise ``CannotDecide('service.store.seal')`` unless this is the row's seal. ``row`` names it, for the operator."""
        if not self.fits(seal, *values):
            raise self.broken(row, is_sealed=seal is not None)

    def broken(self, row: str, *, is_sealed: bool) -> CannotDecide:
        """Word a row whose seal does not fit."""
        got = "a seal that does not fit" if is_sealed else "no seal"
        return CannotDecide(
            ServiceId.SEAL,
            f"{self._table} {row}: got {got}, want the key file's: it was changed by hand, see `verifier store seals`",
            retry_after=60,
        )


class Sealer:
    """Gives the sealers of one key file. ``master`` is asked each time, so that a key file that goes away is noticed."""

    def __init__(self, master: Callable[[], bytes]) -> None:
        self._master = master
        self._known: dict[tuple[bytes, str], TableSealer] = {}

    def of(self, table: str) -> TableSealer:
        """Return the sealer of a table; raises what ``master`` raises."""
        master = self._master()
        known = self._known.get((master, table))
        if known is None:
            key = HKDF(hashes.SHA256(), length=32, salt=None, info=_INFO + table.encode()).derive(master)
            known = TableSealer(table, key)
            # A new dict instead of a change in place: other threads may be reading. An older master's keys are let go.
            self._known = {**{of: one for of, one in self._known.items() if of[0] == master}, (master, table): known}
        return known


def no_key() -> bytes:
    """Stand for the master secret where no key file was opened: what is sealed can be neither read nor written."""
    raise ConfigError(
        "store", "key file", None, "--config with settings that name the key file: it seals the rows that decide"
    )


def _form(values: tuple[Value, ...]) -> bytes:
    parts: list[bytes] = []
    for value in values:
        if isinstance(value, str):
            kind, data = b"t", value.encode()
        elif isinstance(value, int):
            kind, data = b"i", b"%d" % value
        elif value is None:
            kind, data = b"n", b""
        else:
            kind, data = b"b", bytes(value)
        parts += (kind, len(data).to_bytes(4, "big"), data)
    return b"".join(parts)
