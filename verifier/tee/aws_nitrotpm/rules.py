"""Is it wanted? PCR values are the document's, of the PCRs that the quote selects; the quote's digest over them was verified."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from verifier.core.rules import Rule, Scope
from verifier.tee.aws_nitro import layout as nitro
from verifier.tee.aws_nitro.rules import BINS as NITRO_BINS
from verifier.tee.aws_nitro.rules import document_rules, instance_of
from verifier.tee.aws_nitrotpm import layout
from verifier.tee.aws_nitrotpm.decode import Evidence
from verifier.tee.aws_nitrotpm.verify import Collateral
from verifier.tee.judges import Rows, extended_once, observed_software, over_registers, registers
from verifier.tee.scheme import Bin, Matched, Verified
from verifier.tee.tcg.judges import secure_boot
from verifier.tee.tcg.layout import SHA384

NitroTpmVerified: TypeAlias = Verified[Evidence, Collateral]


def _quoted(verified: NitroTpmVerified) -> Mapping[int, bytes]:
    return verified.evidence.quoted


_ROW: Final = Rows(layout.NAME)
_PCRS: Final = registers("PCR", _quoted)
_EXTENDED: Final = extended_once("PCR", _quoted, nitro.extended_once)
_OF_DOCUMENT: Final = f"{layout.DOCUMENT}{nitro.NITROTPM_PCRS}"
# fmt: off
RULES: Final[tuple[Rule[NitroTpmVerified], ...]] = (
    *document_rules(_ROW, lambda verified: verified.evidence.document, prefix=layout.DOCUMENT),
    _ROW("firmware.pcrs", "firmware.pcrs", _PCRS, "executables", _OF_DOCUMENT),
    _ROW("firmware.secure-boot", "firmware.secure_boot", secure_boot(_quoted, SHA384), "configuration", "tpm.eventlog"),
    _ROW("workload.pcrs", "workload.pcrs", _PCRS, "executables", _OF_DOCUMENT),
    _ROW("config.extended", "config.extended", _EXTENDED, "configuration", _OF_DOCUMENT, mandatory=True),
)
# fmt: on

_QUOTE_BINS: Final[Mapping[str, Bin]] = {
    "tpm.magic": "ignored",
    "tpm.type": "ignored",
    "tpm.qualified_signer": "reported",  # the AK's public area, which its Name is made of, is not evidence
    "tpm.extra_data": "bound",
    "tpm.clock": "reported",
    "tpm.reset_count": "reported",
    "tpm.restart_count": "reported",
    "tpm.safe": "reported",
    "tpm.firmware_version": "reported",
    "tpm.pcr_select": "reported",
    "tpm.pcr_digest": "bound",  # to the document's PCRs
    "tpm.signature": "bound",  # to the document's public_key
    "tpm.pcrs": "bound",  # to the document's PCRs
    "tpm.eventlog": "rules",
}
BINS: Final[Mapping[str, Bin]] = MappingProxyType(
    {
        **{name: NITRO_BINS[own] for name, own in zip(layout.DOCUMENT_FIELDS, nitro.FIELDS, strict=True)},
        **_QUOTE_BINS,
    }
)


def measurement(verified: NitroTpmVerified, matched: tuple[Matched, ...]) -> str:
    """SHA-256 over the PCRs that matched identities select; "" where they select none that is quoted."""
    return over_registers(_quoted(verified), matched)


def observe(verified: NitroTpmVerified) -> Mapping[Scope, Mapping[str, Any]]:
    """Say what an identity of this instance says: PCRs of firmware and software, root and instance."""
    evidence = verified.evidence
    firmware = {str(i): v.hex() for i, v in evidence.quoted.items() if i <= layout.FIRMWARE_LAST}
    return {
        "platform": {"root": verified.root, "instances": [instance_of(evidence.document)], "max_age": None},
        "firmware": {"pcrs": firmware or None},
        "workload": {"pcrs": observed_software(evidence.quoted)},
    }
