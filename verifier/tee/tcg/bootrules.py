"""Rules with names over a boot's event log: who signed the boot, and which unified kernel image it ended in. Pure and total.

Each is written out as closed register rules (``closed``), so that every event of a register is explained by a constant of the trust
owner's, in order; nothing in the log is believed. Source: TCG PC Client Platform Firmware Profile 1.06, sections 2.3.4.5 (PCR 4),
2.3.4.8 (PCR 7) and 10.4.1 (separators); UEFI 2.10, section 32.3; systemd-stub(7), "TPM PCR Notes".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from verifier.tee.tcg.closed import judge_rules
from verifier.tee.tcg.identity import Applications, SecureBootKeys, Uki
from verifier.tee.tcg.layout import EFI_GLOBAL_VARIABLE_TEXT, SHA256, EventLog
from verifier.tee.tcg.uki import PCR_APPLICATION, PCR_COMMAND_LINE, PCR_UKI, predict_pcr12

PCR_SECURE_BOOT = 7
_NOT_QUOTED = "it not in the quote's sha256 selection"
_MOST = 64  # authorities and further variables in a row
_SEPARATOR = {"type": "EV_SEPARATOR", "data": ["00000000", "ffffffff"]}
_SECURE_BOOT_ON = {
    "type": "EV_EFI_VARIABLE_DRIVER_CONFIG",
    "variable": {"vendor": EFI_GLOBAL_VARIABLE_TEXT, "name": "SecureBoot", "values": ["01"]},
}
# What firmware says before it starts a boot option (PFP 10.4.4); some do not.
_CALLING = {"type": "EV_EFI_ACTION", "texts": ["Calling EFI Application from Boot Option"], "at_least": 0, "at_most": 1}

Registers = Mapping[int, bytes]


def _faults(model: type[BaseModel], expected: Any) -> str:
    try:
        model.model_validate(expected)
    except ValidationError as error:
        return f"rules: {error.error_count()} errors"
    return ""


def _variable(digests: Iterable[str]) -> dict[str, Any]:
    return {"type": "EV_EFI_VARIABLE_DRIVER_CONFIG", "digests": list(digests)}


def _authorities(digests: Iterable[str], at_least: int) -> dict[str, Any]:
    return {"type": "EV_EFI_VARIABLE_AUTHORITY", "digests": list(digests), "at_least": at_least, "at_most": _MOST}


def secure_boot_rule(keys: SecureBootKeys) -> dict[str, Any]:
    """Write out PCR 7: Secure Boot on, its key databases, the separator, and these authorities alone behind it.

    Firmware measures the authority of an image before it starts it: what stands first behind the separator cannot be the image's
    own doing, and nothing can take back what an unwanted authority left there.
    """
    events = [_SECURE_BOOT_ON, _variable(keys.pk), _variable(keys.kek), _variable(keys.db), _variable(keys.dbx)]
    events += [_variable(choices) for choices in keys.further]
    if keys.driver_authorities:
        events.append(_authorities(keys.driver_authorities, 0))
    events += [_SEPARATOR, _authorities(keys.authorities, 1)]
    return {"index": PCR_SECURE_BOOT, "until": "end", "events": events}


def application_rule(applications: Applications) -> dict[str, Any]:
    """Write out PCR 4: the separator, then exactly these images, each by its Authenticode digest, in order."""
    images = [{"type": "EV_EFI_BOOT_SERVICES_APPLICATION", "digests": list(choices)} for choices in applications]
    return {"index": PCR_APPLICATION, "until": "end", "events": [_CALLING, _SEPARATOR, *images]}


def judge_secure_boot_keys(expected: Any, log: EventLog | None, quoted: Registers, replayed: Registers) -> str:
    """Judge ``SecureBootKeys`` in JSON form; returns what is wrong, "" where everything is explained."""
    if faults := _faults(SecureBootKeys, expected):
        return faults
    rule = secure_boot_rule(SecureBootKeys.model_validate(expected))
    return judge_rules([rule], log, quoted, replayed)


def judge_uki(
    expected: Any, log: EventLog | None, quoted: Registers, replayed: Registers
) -> tuple[str, dict[str, str | None]]:
    """Judge ``Uki`` in JSON form, as far as it is given; returns what is wrong and what was seen: PCRs, and the phase of PCR 11."""
    judged = (PCR_APPLICATION, PCR_UKI, PCR_COMMAND_LINE)
    seen = {str(pcr): quoted[pcr].hex() if pcr in quoted else None for pcr in judged}
    if faults := _faults(Uki, expected):
        return faults, seen
    uki = Uki.model_validate(expected)
    if uki.applications is None and uki.pcr11 is None and uki.command_lines is None:
        return "rules: got nothing to compare", seen
    value = seen[str(PCR_UKI)]
    seen["phase"] = next((path for path, values in (uki.pcr11 or {}).items() if value in values), None)
    if uki.pcr11 is not None and seen["phase"] is None:
        want = f"one of {sum(map(len, uki.pcr11.values()))} values"
        return f"PCR {PCR_UKI}: got {value or _NOT_QUOTED}, want {want}", seen
    if detail := _judge_command_line(uki, quoted):
        return detail, seen
    if uki.applications is None:
        return "", seen
    return judge_rules([application_rule(uki.applications)], log, quoted, replayed), seen


def _judge_command_line(uki: Uki, quoted: Registers) -> str:
    if uki.command_lines is None:
        return ""
    if uki.command_lines == "image":
        wanted, want = [bytes(SHA256.size)], "zeros: no command line from outside the image"
    else:
        wanted, want = [predict_pcr12([line], bank=SHA256) for line in uki.command_lines], "a listed command line"
    value = quoted.get(PCR_COMMAND_LINE)
    if value in wanted:
        return ""
    return f"PCR {PCR_COMMAND_LINE}: got {_NOT_QUOTED if value is None else value.hex()}, want {want}"
