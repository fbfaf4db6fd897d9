"""Is it wanted? PCR values are the document's, of the PCRs that the quote selects; the quote's digest over them was verified."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from verifier.core.rules import Judgement, Rule
from verifier.formats.encoding import sha256
from verifier.tee.aws_nitro import layout as nitro
from verifier.tee.aws_nitro.rules import BINS as NITRO_BINS
from verifier.tee.aws_nitro.rules import compare_extended, compare_pcrs, document_rules
from verifier.tee.aws_nitrotpm import layout
from verifier.tee.aws_nitrotpm.decode import Evidence
from verifier.tee.aws_nitrotpm.verify import Collateral
from verifier.tee.scheme import Bin, Matched, Verified
from verifier.tee.tcg.data import proven_secure_boot
from verifier.tee.tcg.layout import SHA384

NitroTpmVerified: TypeAlias = Verified[Evidence, Collateral]
_SECURE_BOOT_PCR: Final = 7


def _pcrs(verified: NitroTpmVerified, expected: Any) -> Judgement:
    return compare_pcrs(verified.evidence.quoted, expected)


def _extended(verified: NitroTpmVerified, expected: Any) -> Judgement:
    pcr, quoted = expected.get("pcr"), verified.evidence.quoted
    if pcr not in quoted:
        detail = f"PCR{pcr}: got none in the quote's selection, want it"
        return Judgement(ok=False, seen={"pcr": pcr, "value": None}, detail=detail)
    return compare_extended(quoted, expected)


def _secure_boot(verified: NitroTpmVerified, expected: Any) -> Judgement:
    evidence = verified.evidence
    value = evidence.replayed.get(_SECURE_BOOT_PCR)
    # A log proves nothing about a register that it does not give.
    proves = value is not None and value == evidence.quoted.get(_SECURE_BOOT_PCR)
    seen = proven_secure_boot(evidence.log, SHA384) if proves and evidence.log is not None else None
    ok = seen is not None and (seen == "on") is expected
    want = "on" if expected else "off"
    return Judgement(ok, seen, "" if ok else f"Secure Boot: got {seen or 'nothing proven'}, want {want}")


_REMEDY_PCRS: Final = "compare the instance's PCRs with the identity; after an update, publish a new version of it"
_DOCUMENT_PCRS: Final = f"{layout.DOCUMENT}{nitro.NITROTPM_PCRS}"

RULES: Final[tuple[Rule[NitroTpmVerified], ...]] = (
    *document_rules(layout.NAME, lambda verified: verified.evidence.document, prefix=layout.DOCUMENT),
    Rule(
        id="aws-nitrotpm.firmware.pcrs",
        scope="firmware",
        field="pcrs",
        judge=_pcrs,
        layout_fields=(_DOCUMENT_PCRS,),
        remedy=_REMEDY_PCRS,
    ),
    Rule(
        id="aws-nitrotpm.firmware.secure-boot",
        scope="firmware",
        field="secure_boot",
        judge=_secure_boot,
        layout_fields=("tpm.eventlog",),
        trust_claim="configuration",
        remedy="turn Secure Boot on, and have the attester send the boot's event log",
    ),
    Rule(
        id="aws-nitrotpm.workload.pcrs",
        scope="workload",
        field="pcrs",
        judge=_pcrs,
        layout_fields=(_DOCUMENT_PCRS,),
        remedy=_REMEDY_PCRS,
    ),
    Rule(
        id="aws-nitrotpm.config.extended",
        scope="config",
        field="extended",
        judge=_extended,
        layout_fields=(_DOCUMENT_PCRS,),
        trust_claim="configuration",
        remedy="reboot and let the attester measure the configuration that the identity names",
        mandatory=True,
    ),
)

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
    """SHA-256 over the raw values of all PCRs that matched firmware and workload identities select, each once, ascending.

    "" where they select none that is quoted.
    """
    values = verified.evidence.quoted
    indexes = {
        int(index)
        for identity in matched
        if identity.scope in ("firmware", "workload")
        for index in identity.values.get("pcrs") or {}
    }
    if not indexes or not indexes <= values.keys():
        return ""
    return sha256(b"".join(values[index] for index in sorted(indexes))).hex()
