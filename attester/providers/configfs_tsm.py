"""Provider ``configfs-tsm``: CPU reports through Linux's report interface, SNP and TDX alike.

One report is one folder of our own: make it, write ``inblob``, read ``outblob`` and ``auxblob``, remove it. The kernel
counts the writes to an entry in ``generation``; a count that is not ours means that somebody else wrote, and that the
report may carry his data: it is thrown away. Errors of the write itself are lost when the file is closed, so the count is
also how we know that it was taken. Source: Linux, Documentation/ABI/testing/configfs-tsm (``-report`` since 6.16), and
drivers/virt/coco/tsm.c. Of a TDX quote three fields are read, by the tables of ``verifier.tee.dcap.layout``; beside it goes the log
area that the ACPI table CCEL names, where the machine has one (Linux, drivers/acpi/sysfs.c).
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

from attester.ids import AttesterId
from attester.providers import Machine
from attester.providers.certificate_table import decode_certificate_table
from attester.providers.log_file import read_boot_log
from verifier.core.binding import BindingDigest
from verifier.core.envelope import Envelope
from verifier.formats.errors import CannotDecide, EvidenceRejected, mismatch
from verifier.tee.dcap import layout as dcap
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
# Where the TD report begins, by the quote's version: 5 says type and size of the body before it.
_TD_BODY = {4: dcap.HEADER_SIZE, 5: dcap.HEADER_SIZE + dcap.BODY_HEAD_SIZE}
_TD = {field.name: field for field in dcap.TD_REPORT_10.fields}  # every later body begins with it


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
                raise CannotDecide(AttesterId.CONFIGFS_REPORT, f"{path.name}: got more than {_BLOB_MAX} bytes")
        return content


def _write(path: Path, content: bytes) -> None:
    """Write an attribute in one call, as configfs wants it; nothing is created and nothing is truncated."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        written = os.write(fd, content)
    finally:
        os.close(fd)
    if written != len(content):
        raise CannotDecide(AttesterId.CONFIGFS_REPORT, f"{path.name}: wrote {written} bytes, want {len(content)}")


class ConfigfsTsm:
    """See the module. ``scheme`` is what the kernel's provider makes."""

    size: Literal["whole", "short"] = "whole"

    def __init__(self, machine: Machine) -> None:
        self._folder = Path(machine.configfs)
        self._privlevel = machine.privlevel
        self._cc_event_log = machine.cc_event_log
        with self._entry() as entry:
            provider = _text(_attempt(lambda: _read(entry / "provider"), "provider"))
        if provider not in _SCHEMES:
            want = " or ".join(sorted(_SCHEMES))
            raise CannotDecide(AttesterId.CONFIGFS_PROVIDER, mismatch("provider", repr(provider), want))
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
            raise CannotDecide(AttesterId.CONFIGFS_ENTRY, f"{self._folder}: {reason}") from None
        try:
            yield entry
        finally:
            with contextlib.suppress(OSError):
                entry.rmdir()

    def _report(self, inblob: bytes) -> _Report:
        """Get a report over exactly these 64 bytes, made after we wrote them and touched by no other program."""
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
        raise CannotDecide(AttesterId.CONFIGFS_BUSY, f"{_TRIES} tries: {reason}")

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
        """Look into the report for our data: what somebody else asked for is thrown away."""
        if not hmac.compare_digest(self._field(outblob, "report_data"), inblob):
            name = "REPORT_DATA" if self.scheme == "sev-snp" else "REPORTDATA"
            raise _RacedError(f"{name}: got somebody else's, want ours")

    def _field(self, outblob: bytes, name: str) -> bytes:
        return _snp_field(outblob, name) if self.scheme == "sev-snp" else _td_field(outblob, name)

    def collect(self, digest: BindingDigest) -> Envelope:
        """Make a report with the 64-byte digest as its report data; certificates come as the host handed them over."""
        report = self._report(digest.whole)
        if self.scheme == "sev-snp":
            return Envelope(self.scheme, {"report": report.outblob}, decode_certificate_table(report.auxblob))
        log = read_boot_log(self._cc_event_log, AttesterId.CONFIGFS_EVENTLOG)
        return Envelope(self.scheme, {"quote": report.outblob, **({"eventlog": log} if log else {})})

    def measure_config(self, config: bytes) -> None:
        """Compare the configuration's digest with what was fixed at launch, in our own, fresh report.

        HOST_DATA is SHA-256 (SNP), MRCONFIGID SHA-384 (TDX).
        """
        report = self._report(secrets.token_bytes(_INBLOB_SIZE)).outblob
        name, algorithm = ("host_data", "sha256") if self.scheme == "sev-snp" else ("mrconfigid", "sha384")
        seen, want = self._field(report, name), hashlib.new(algorithm, config).digest()
        if not hmac.compare_digest(seen, want):
            raise EvidenceRejected(AttesterId.CONFIG_MEASURED, mismatch(name.upper(), seen.hex(), want.hex()))


def _td_field(quote: bytes, name: str) -> bytes:
    """Read a field of the TD report in a quote of version 4 or 5. All else in the quote is for the verifier."""
    version, kind = int.from_bytes(quote[:2], "little"), int.from_bytes(quote[4:8], "little")
    if version not in _TD_BODY or kind != dcap.TEE_TDX:
        raise CannotDecide(
            AttesterId.CONFIGFS_REPORT, f"outblob: got version {version}, TEE {kind:#x}, want a quote of a trust domain"
        )
    start = _TD_BODY[version]
    if len(quote) < start + dcap.TD_REPORT_10_SIZE:
        raise CannotDecide(AttesterId.CONFIGFS_REPORT, f"outblob: got {len(quote)} bytes, want a whole TD report")
    field = _TD[name]
    return quote[start + field.offset : start + field.offset + field.size]


def _snp_field(report: bytes, name: str) -> bytes:
    if len(report) != snp.SIZE:
        raise CannotDecide(AttesterId.CONFIGFS_REPORT, f"outblob: got {len(report)} bytes, want {snp.SIZE}")
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
        raise CannotDecide(AttesterId.CONFIGFS_REFUSED, f"{attribute}: {error.strerror}") from None


def open_provider(machine: Machine) -> ConfigfsTsm:
    """Open the machine's report interface."""
    return ConfigfsTsm(machine)
