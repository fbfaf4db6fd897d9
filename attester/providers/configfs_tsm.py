"""Provider ``configfs-tsm``: CPU reports through Linux's report interface, SNP and TDX alike.

One report is one folder of our own: make it, write ``inblob``, read ``outblob`` and ``auxblob``, remove it. The kernel
counts the writes to an entry in ``generation``; a count that is not ours means that somebody else wrote, and that the
report may carry his data: it is thrown away. Errors of the write itself are lost when the file is closed, so the count is
also how we know that it was taken. Source: Linux, Documentation/ABI/testing/configfs-tsm (``-report`` since 6.16), and
drivers/virt/coco/tsm.c.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from attester.envelope import Envelope
from attester.providers import MEASURED_CHECK, Machine
from attester.providers.certificate_table import decode_certificate_table
from verifier.core.binding import BindingDigest
from verifier.core.errors import CannotDecide, EvidenceRejected, mismatch
from verifier.tee.sev_snp import layout as snp

R = TypeVar("R")

_TRIES = 6
_PAUSE_S = 0.05
_INBLOB_SIZE = 64
_BLOB_MAX = 64 * 1024  # the kernel's own cap is 32 KiB
_SCHEMES = {"sev_guest": "sev-snp", "tdx_guest": "tdx"}
# The kernel says "again": somebody else's request is under way (EBUSY), or the firmware did not answer in time.
_AGAIN = frozenset({errno.EBUSY, errno.EAGAIN, errno.ETIMEDOUT})
_SNP = {field.name: field for field in snp.LAYOUTS[2].fields}


class _RacedError(Exception):
    """The entry is not ours alone, or busy: begin again with a new one."""


@dataclass(frozen=True, slots=True)
class _Report:
    outblob: bytes
    auxblob: bytes


def _read(path: Path) -> bytes:
    """Read a whole attribute: the kernel makes it at the first read, and a short read is not its end."""
    with path.open("rb", buffering=0) as file:
        content = b""
        while chunk := file.read(_BLOB_MAX):
            content += chunk
            if len(content) > _BLOB_MAX:
                raise CannotDecide("attester.configfs.report", f"{path.name}: got more than {_BLOB_MAX} bytes")
        return content


def _write(path: Path, content: bytes) -> None:
    """Write an attribute in one call, as configfs wants it; nothing is created and nothing is truncated."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        written = os.write(fd, content)
    finally:
        os.close(fd)
    if written != len(content):
        raise CannotDecide("attester.configfs.report", f"{path.name}: wrote {written} bytes, want {len(content)}")


class ConfigfsTsm:
    """See the module. ``scheme`` is what the kernel's provider makes."""

    size: Literal["whole", "short"] = "whole"

    def __init__(self, machine: Machine) -> None:
        self._folder = Path(machine.configfs)
        self._privlevel = machine.privlevel
        with self._entry() as entry:
            provider = _text(_attempt(lambda: _read(entry / "provider"), "provider"))
        if provider not in _SCHEMES:
            want = " or ".join(sorted(_SCHEMES))
            raise CannotDecide("attester.configfs.provider", mismatch("provider", repr(provider), want))
        self._provider = provider
        self.scheme = _SCHEMES[provider]

    def close(self) -> None:
        """Nothing stays open between reports."""

    @contextlib.contextmanager
    def _entry(self) -> Iterator[Path]:
        """Make a report entry of our own, and remove it whatever happens."""
        entry = self._folder / f"vab-{os.getpid()}-{secrets.token_hex(8)}"
        try:
            entry.mkdir()
        except OSError as error:
            reasons = {errno.ENXIO: "no report provider is registered (load sev-guest or tdx-guest)"}
            reason = reasons.get(error.errno or 0, error.strerror)
            raise CannotDecide("attester.configfs.entry", f"{self._folder}: {reason}") from None
        try:
            yield entry
        finally:
            with contextlib.suppress(OSError):
                entry.rmdir()

    def _report(self, inblob: bytes) -> _Report:
        """Get a report over exactly these 64 bytes, made after we wrote them and touched by nobody else."""
        if len(inblob) != _INBLOB_SIZE:
            raise ValueError(f"inblob: got {len(inblob)} bytes, want {_INBLOB_SIZE}")
        reason = ""
        for attempt in range(_TRIES):
            with self._entry() as entry:
                try:
                    return self._ask(entry, inblob)
                except _RacedError as error:
                    reason = str(error)
            time.sleep(_PAUSE_S * 2**attempt)
        raise CannotDecide("attester.configfs.busy", f"{_TRIES} tries: {reason}")

    def _ask(self, entry: Path, inblob: bytes) -> _Report:
        writes = 1
        if self._privlevel is not None:
            _attempt(lambda: _write(entry / "privlevel", b"%d\n" % (self._privlevel or 0)), "privlevel")
            writes += 1
        _attempt(lambda: _write(entry / "inblob", inblob), "inblob")
        self._require_generation(entry, writes)
        outblob = _attempt(lambda: _read(entry / "outblob"), "outblob")
        auxblob = b""
        if (entry / "auxblob").exists():
            auxblob = _attempt(lambda: _read(entry / "auxblob"), "auxblob")
        # Again, after the last read: a write in between would have changed what was read.
        self._require_generation(entry, writes)
        self._require_ours(outblob, inblob)
        return _Report(outblob, auxblob)

    def _require_generation(self, entry: Path, writes: int) -> None:
        seen = _text(_attempt(lambda: _read(entry / "generation"), "generation"))
        if seen != str(writes):
            raise _RacedError(mismatch("generation", seen, f"{writes}: this program's own writes and no others"))

    def _require_ours(self, outblob: bytes, inblob: bytes) -> None:
        """Look into an SNP report for our data. A TDX quote is left to the verifier, who looks anyway."""
        if self.scheme != "sev-snp":
            return
        if len(outblob) != snp.SIZE:
            raise CannotDecide("attester.configfs.report", f"outblob: got {len(outblob)} bytes, want {snp.SIZE}")
        if not hmac.compare_digest(_snp_field(outblob, "report_data"), inblob):
            raise _RacedError("REPORT_DATA: got somebody else's, want ours")

    def collect(self, digest: BindingDigest) -> Envelope:
        """Make a report with the 64-byte digest as its report data; certificates come as the host handed them over."""
        report = self._report(digest.whole)
        if self.scheme == "sev-snp":
            return Envelope(self.scheme, {"report": report.outblob}, decode_certificate_table(report.auxblob))
        return Envelope(self.scheme, {"quote": report.outblob})

    def measure_config(self, config: bytes) -> None:
        """Compare SHA-256 of the configuration with HOST_DATA of our own, fresh report (fixed at launch)."""
        if self.scheme != "sev-snp":
            raise EvidenceRejected(
                MEASURED_CHECK,
                f"{self.scheme}: no place where an outside configuration is fixed is known here, want --config-in-image",
            )
        report = self._report(secrets.token_bytes(_INBLOB_SIZE)).outblob
        seen, want = _snp_field(report, "host_data"), hashlib.sha256(config).digest()
        if not hmac.compare_digest(seen, want):
            raise EvidenceRejected(MEASURED_CHECK, mismatch("HOST_DATA", seen.hex(), want.hex()))


def _snp_field(report: bytes, name: str) -> bytes:
    field = _SNP[name]
    return report[field.offset : field.offset + field.size]


def _text(content: bytes) -> str:
    return content.decode("ascii", "replace").strip()


def _attempt(step: Callable[[], R], attribute: str) -> R:
    """Do one thing to an attribute; "again" starts over, every other refusal of the kernel is ``CannotDecide``."""
    try:
        return step()
    except OSError as error:
        if error.errno in _AGAIN:
            raise _RacedError(f"{attribute}: {error.strerror}") from None
        raise CannotDecide("attester.configfs.refused", f"{attribute}: {error.strerror}") from None


def open_provider(machine: Machine) -> ConfigfsTsm:
    """Open the machine's report interface."""
    return ConfigfsTsm(machine)
