"""The mark beside the key file: how far the store was when this machine last looked. A restored store lies behind it.

``KEYFILE.mark`` is JSON: the members of ``StoreMark`` and ``mac``, HMAC-SHA-256 over their RFC 8785 form under a key of its own, which
is derived from the key file's master secret (``vab-store-mark/v1``). It is replaced as a whole, and only by a higher one, except
when an operator has raised the epoch of a restored store.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from verifier.adapters.files import replace_durably
from verifier.core.ports import StoreMark
from verifier.formats.encoding import canonical
from verifier.formats.errors import ConfigError

_INFO: Final = b"vab-store-mark/v1\x00"
_Number = Annotated[int, Field(ge=0, lt=2**63)]
_Hex = Annotated[str, Field(pattern="^([0-9a-f]{64})$")]


class _Form(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    seq: _Number
    digest: _Hex
    epoch: _Number
    changes: _Number
    mac: _Hex


class MarkFile:
    """The mark of one key file. ``master`` is the key file's."""

    def __init__(self, key_file: Path, master: Callable[[], bytes]) -> None:
        self.path = key_file.with_name(f"{key_file.name}.mark")
        self._master = master

    def read(self) -> StoreMark | None:
        """Return the mark; ``None`` where there is none yet. ``ConfigError`` for one that this key file did not make."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._wrong("file", error.strerror) from None
        try:
            form = _Form.model_validate_json(data)
        except ValidationError as error:
            raise self._wrong("file", error.errors(include_url=False, include_input=False)[0]["msg"]) from None
        mark = StoreMark(seq=form.seq, digest=bytes.fromhex(form.digest), epoch=form.epoch, changes=form.changes)
        if not hmac.compare_digest(form.mac, self._mac(mark)):
            raise self._wrong("mac", "one that does not fit")
        return mark

    def raise_to(self, mark: StoreMark) -> bool:
        """Replace the mark by one that is ahead of it and behind it in nothing; tells whether it was.

        Raises ``OSError`` where the file cannot be written.
        """
        seen = self.read()
        if seen is not None:
            pairs = ((seen.seq, mark.seq), (seen.epoch, mark.epoch), (seen.changes, mark.changes))
            if any(old > new for old, new in pairs) or all(old == new for old, new in pairs):
                return False
        self.set(mark)
        return True

    def set(self, mark: StoreMark) -> None:
        """Replace the mark by any other: the operator has said that the store is as it should be."""
        form = {**_members(mark), "mac": self._mac(mark)}
        replace_durably(self.path, canonical(form) + b"\n")

    def _mac(self, mark: StoreMark) -> str:
        key = HKDF(hashes.SHA256(), length=32, salt=None, info=_INFO).derive(self._master())
        return hmac.digest(key, canonical(_members(mark)), "sha256").hex()

    def _wrong(self, key: str, got: object) -> ConfigError:
        want = "the mark that a verifier with this key file wrote; `verifier store raise-epoch --reason TEXT` writes a new one"
        return ConfigError(str(self.path), key, got, want)


def _members(mark: StoreMark) -> dict[str, str | int]:
    return {"seq": mark.seq, "digest": mark.digest.hex(), "epoch": mark.epoch, "changes": mark.changes}
