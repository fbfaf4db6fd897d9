"""What a trust owner writes about an event log: closed rules, one a register (docs/tee/tcg-eventlog.md).

Every entry names constants: a digest, or bytes whose digest is computed here. So no byte of the log's own data is ever
believed: the digest decides, and what the log calls the event is compared on top of it.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from verifier.tee.tcg.boot import WORDS
from verifier.tee.tcg.layout import EVENT_TYPES_BY_NAME
from verifier.tee.values import Values

MAX_ENTRIES = 512
MAX_CHOICES = 64
MAX_REPEAT = 1024
MAX_STEPS = 16

# SHA-256, or SHA-384 in rules over a CCEL log; a digest of the other size matches nothing.
DigestHex = Annotated[str, Field(pattern=r"^(?:[0-9a-f]{64}|[0-9a-f]{96})$")]
DataHex = Annotated[str, Field(pattern=r"^(?:[0-9a-f]{2}){0,4096}$")]
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


class VariableEntry(Values):
    """A UEFI variable, hashed whole (PFP 10.2.6): vendor GUID in text order, name, and its accepted values in hex."""

    vendor: str
    name: Annotated[str, Field(min_length=1, max_length=256)]
    values: Annotated[tuple[DataHex, ...], Field(min_length=1, max_length=MAX_CHOICES, strict=False)]

    @field_validator("vendor")
    @classmethod
    def _vendor_is_a_guid(cls, value: str) -> str:
        if _GUID.fullmatch(value) is None:
            raise ValueError(f"vendor: got {value!r}, want a GUID in lower case")
        return value


class EventEntry(Values):
    """One entry: ``at_least`` to ``at_most`` events in a row, each of them one of the accepted ones.

    Exactly one of ``digests`` (hex), ``data`` (hex of what was hashed), ``texts`` (UTF-8 of what was hashed, with
    its NUL where one was hashed) and ``variable``. ``type`` is the log's name for it; it proves nothing and is compared all the same.
    """

    type: str
    digests: Annotated[tuple[DigestHex, ...], Field(min_length=1, max_length=MAX_CHOICES, strict=False)] | None = None
    data: Annotated[tuple[DataHex, ...], Field(min_length=1, max_length=MAX_CHOICES, strict=False)] | None = None
    texts: (
        Annotated[
            tuple[Annotated[str, Field(min_length=1, max_length=4096)], ...],
            Field(min_length=1, max_length=MAX_CHOICES, strict=False),
        ]
        | None
    ) = None
    variable: VariableEntry | None = None
    at_least: Annotated[int, Field(ge=0, le=MAX_REPEAT)] = 1
    at_most: Annotated[int, Field(ge=1, le=MAX_REPEAT)] = 1

    @field_validator("type")
    @classmethod
    def _type_is_known(cls, value: str) -> str:
        if value not in EVENT_TYPES_BY_NAME or value == "EV_NO_ACTION":
            raise ValueError(f"type: got {value!r}, want the name of an event type that is extended")
        return value

    @model_validator(mode="after")
    def _says_one_thing(self) -> EventEntry:
        said = [n for n in ("digests", "data", "texts", "variable") if getattr(self, n) is not None]
        if len(said) != 1:
            raise ValueError(f"event: got {said or 'nothing'}, want exactly one of digests, data, texts, variable")
        if self.at_least > self.at_most:
            raise ValueError(f"at_least: got {self.at_least}, want at most at_most = {self.at_most}")
        return self


class RegisterRule(Values):
    """All events of one register, in order, up to the boundary: its first separator, or the end of the log.

    The separator is found by what was extended (00000000 or ffffffff), not by its type; with ``until: separator`` the
    events behind it are not judged, with ``until: end`` it has to be listed like any other.
    """

    index: Annotated[int, Field(ge=0, le=15)]  # the PCR; in a CCEL log the CC measurement register
    until: Literal["separator", "end"]
    events: Annotated[tuple[EventEntry, ...], Field(max_length=MAX_ENTRIES, strict=False)]


Choices = Annotated[tuple[DigestHex, ...], Field(min_length=1, max_length=MAX_CHOICES, strict=False)]
# In order, each with the digests that are accepted at its place.
Applications = Annotated[tuple[Choices, ...], Field(min_length=1, max_length=MAX_STEPS, strict=False)]


class SecureBootKeys(Values):
    """Secure Boot, on, by these keys: SHA-256 digests of PCR 7's events, any of them at each place.

    The variables are hashed whole (UEFI_VARIABLE_DATA). ``further``: other variables that the firmware measures behind ``dbx``, in
    order (``dbt``, ``dbr``, ``DeployedMode`` …). ``authorities``: all that may follow the separator, at least one: the ``db`` entry
    that verified the boot loader, and what shim measures. ``driver_authorities``: those before the separator (option ROMs).
    """

    pk: Choices
    kek: Choices
    db: Choices
    dbx: Choices
    authorities: Choices
    driver_authorities: Annotated[tuple[DigestHex, ...], Field(max_length=MAX_CHOICES, strict=False)] = ()
    further: Annotated[tuple[Choices, ...], Field(max_length=MAX_STEPS, strict=False)] = ()


def _phase_path(path: str) -> str:
    if path and not all(word in WORDS for word in path.split(":")):
        raise ValueError(f"pcr11: got phase path {path!r}, want words of {', '.join(WORDS)} joined by :")
    return path


class Uki(Values):
    """A unified kernel image, started by what it names: PCRs 4, 11 and 12, all three of the quote.

    ``applications``: Authenticode digests of every image that firmware started after PCR 4's separator, in order: boot loader, image,
    and the kernel in it where its stub starts that through firmware. ``pcr11``: accepted values by boot phase path. ``command_lines``:
    ``image`` where none may come from outside the image (PCR 12 is zero), or those that may, one at a time. One of the three that is
    left out has to stand in the policy's ``unchecked`` (``workload.uki.command_lines``). ``verifier identity compute`` predicts them.
    """

    applications: Applications | None = None
    pcr11: (
        Annotated[dict[Annotated[str, AfterValidator(_phase_path)], Choices], Field(min_length=1, max_length=MAX_STEPS)]
        | None
    ) = None
    command_lines: (
        Literal["image"]
        | Annotated[
            tuple[Annotated[str, Field(min_length=1, max_length=4096)], ...],
            Field(min_length=1, max_length=MAX_CHOICES, strict=False),
        ]
        | None
    ) = None
