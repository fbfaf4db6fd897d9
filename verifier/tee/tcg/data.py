"""Event data: what it may be believed for. Only where H(data), by a function declared here, equals the digest.

Source: TCG PC Client Platform Firmware Profile 1.05/1.06, section 10.4.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from verifier.formats.errors import Failed, MalformedEvidence
from verifier.tee.tcg.decode import decode_uefi_variable
from verifier.tee.tcg.layout import (
    EFI_GLOBAL_VARIABLE,
    EV_EFI_ACTION,
    EV_EFI_GPT_EVENT,
    EV_EFI_VARIABLE_AUTHORITY,
    EV_EFI_VARIABLE_BOOT2,
    EV_EFI_VARIABLE_DRIVER_CONFIG,
    EV_SEPARATOR,
    HASHES,
    Event,
    EventLog,
    HashAlgorithm,
    UefiVariable,
    type_name,
)
from verifier.tee.tcg.replay import extended

# Types whose digest is the hash of the data as logged.
DATA_IS_HASHED: frozenset[int] = frozenset(
    (
        EV_SEPARATOR,
        EV_EFI_ACTION,
        EV_EFI_GPT_EVENT,
        EV_EFI_VARIABLE_DRIVER_CONFIG,
        EV_EFI_VARIABLE_BOOT2,
        EV_EFI_VARIABLE_AUTHORITY,
    )
)
# The same without the type that genuine firmware gets wrong: the shim of COS 85 and Debian 10 logs
# EV_EFI_VARIABLE_AUTHORITY with wrong lengths. Such an event counts for nothing but its digest.
DATA_IS_HASHED_STRICTLY = DATA_IS_HASHED - {EV_EFI_VARIABLE_AUTHORITY}

# What a separator may say (PFP 10.4.1): 0 or all ones. 1 reports an error and is no boundary.
SEPARATORS = (bytes(4), b"\xff" * 4)

SecureBoot = Literal["on", "off", "empty"]


def data_is_digest(event: Event, algorithm: HashAlgorithm) -> bool:
    """Tell whether the event's data, as logged, hash to its digest."""
    return algorithm.digest(event.data) == event.digests[algorithm.id]


def require_data(log: EventLog, *, algorithms: Iterable[int] = (), types: frozenset[int] = DATA_IS_HASHED) -> None:
    """Refuse a log in which an event of ``types`` carries data that do not hash to its digest.

    ``algorithms`` are TPM_ALG_IDs, all of the log's whole banks by default; to have none to compare is a refusal too.
    """
    wanted = frozenset(algorithms) or log.banks
    hashes = [HASHES[a] for a, _ in log.algorithms if a in wanted & log.banks]
    if not hashes:
        raise Failed("event log: no digest of it can be computed here")
    for event in extended(log):
        if event.type not in types:
            continue
        for algorithm in hashes:
            if not data_is_digest(event, algorithm):
                raise Failed(
                    f"event {event.ordinal} ({type_name(event.type)}, register {event.register}, {algorithm.name}): "
                    "data do not hash to the digest",
                )


def is_separator(event: Event, algorithm: HashAlgorithm) -> bool:
    """Tell whether the event is the boundary, by what was extended: the type is not covered by any digest."""
    return event.digests[algorithm.id] in {algorithm.digest(value) for value in SEPARATORS}


def before_separator(log: EventLog, register: int, algorithm: HashAlgorithm) -> tuple[tuple[Event, ...], bool]:
    """Return the register's events before its first separator, and whether there was one."""
    events: list[Event] = []
    for event in extended(log, register):
        if is_separator(event, algorithm):
            return tuple(events), True
        events.append(event)
    return tuple(events), False


def _secure_boot_variable(event: Event) -> UefiVariable | None:
    try:
        variable = decode_uefi_variable(event.data)
    except MalformedEvidence:
        return None
    is_it = variable.name == "SecureBoot" and variable.vendor == EFI_GLOBAL_VARIABLE
    return variable if is_it else None


def secure_boot_claim(log: EventLog, register: int = 7) -> bool | str | None:
    """Return what the log *says*: true, false, "empty" (a variable of length 0), or ``None``. Unverified."""
    for event in extended(log, register):
        if event.type == EV_SEPARATOR:
            return None
        variable = _secure_boot_variable(event) if event.type == EV_EFI_VARIABLE_DRIVER_CONFIG else None
        if variable is not None:
            return variable.value == b"\x01" if variable.value else "empty"
    return None


def proven_secure_boot(log: EventLog, algorithm: HashAlgorithm, register: int = 7) -> SecureBoot | None:
    """Return the state that a *replayed* log proves: before the separator, data hashing to the digest, said once.

    ``None`` where it is not said, said twice, after the boundary, or without any boundary.
    """
    events, closed = before_separator(log, register, algorithm)
    found = [
        variable
        for event in events
        if data_is_digest(event, algorithm) and (variable := _secure_boot_variable(event)) is not None
    ]
    if not closed or len(found) != 1:
        return None
    value = found[0].value
    if not value:
        return "empty"
    return "on" if value == b"\x01" else "off"
