"""Is it wanted? TDX's rules under their own ids, the paravisor, the virtual machine's setup, PCRs and event log.

The paravisor's rule nothing can switch off: without it any TD could write runtime claims of its own and vouch for a key in
software (design.md section 4). TDX has no VMPL: a guest above the paravisor cannot ask the TDX module for a TDREPORT at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from verifier.core.rules import Judgement, Rule
from verifier.tee.azure import rules as azure
from verifier.tee.azure.identity import VmConfiguration
from verifier.tee.azure.layout import TDREPORT_NAMES
from verifier.tee.azure.verify import ak_digest
from verifier.tee.azure_tdx_vtpm.decode import NAME
from verifier.tee.azure_tdx_vtpm.verify import TIED
from verifier.tee.composite import lift_all, lifted_bins, lifted_fields
from verifier.tee.scheme import Bin, Verified
from verifier.tee.tdx.scheme import SCHEME as TDX
from verifier.tee.vtpm import rules as vtpm
from verifier.tee.vtpm.quote import FIELDS as TPM_FIELDS

AnyVerified = Verified[Any, Any]

PARAVISOR: Final = "azure-tdx-vtpm.paravisor"
# MRTD is the paravisor's, a mandatory rule. The RTMRs stay zero under it: the guest's firmware measures into the vTPM, and so does
# the attester its configuration.
_INSTEAD: Final = frozenset(
    f"tdx.{name}"
    for name in (
        "mrtd", "rtmr0", "firmware.event-log", "firmware.secure-boot", "rtmrs", "workload.event-log", "config",
    )
)  # fmt: skip
_LIFTED: Final = lift_all(TDX, wanted=lambda rule: rule.id not in _INSTEAD)


def _judge_paravisor(verified: AnyVerified, expected: Any) -> Judgement:
    seen = verified.evidence.td.report.mrtd.hex()
    digests = expected.get("mrtd") if isinstance(expected, Mapping) else None
    if not digests:
        return Judgement(ok=False, seen=seen, detail="paravisor: got nothing to compare, want its MRTD")
    ok = seen in digests
    return Judgement(ok, seen, "" if ok else f"MRTD: got {seen}, want one of {', '.join(digests)}")


RULES: Final[tuple[Rule[AnyVerified], ...]] = (
    *_LIFTED,
    Rule(
        id=PARAVISOR,
        scope="firmware",
        field="paravisor",
        judge=_judge_paravisor,
        layout_fields=("tdx.mrtd",),
        remedy="name the paravisor's MRTD in the firmware identity, from a machine of Azure's that you trust",
        mandatory=True,
    ),
    *azure.azure_rules(NAME),
    *vtpm.vtpm_rules(NAME),
)
MANDATORY: Final = (TDX.mandatory_rules - _INSTEAD) | {PARAVISOR, f"{NAME}.config.extended"}
FIELDS: Final = (*azure.FIELDS, *TDREPORT_NAMES, *lifted_fields(TDX), *TPM_FIELDS)


def _tdreport_bin(name: str) -> Bin:
    own = name.removeprefix("tdreport.")
    if own == "report_data":
        return "bound"
    return "ignored" if own in TIED or own.endswith("_hash") else "reported"


_TDREPORT_BINS: Final[Mapping[str, Bin]] = {name: _tdreport_bin(name) for name in TDREPORT_NAMES}
BINS: Final[Mapping[str, Bin]] = MappingProxyType(
    {**azure.BINS, **_TDREPORT_BINS, **lifted_bins(TDX, RULES), **vtpm.BINS}
)


def instance(verified: AnyVerified) -> tuple[str, str]:
    """Name the machine by its AK, which the paravisor made for it and keeps with its vTPM."""
    return "azure-vtpm.ak", ak_digest(verified.evidence.claims)


def tcb_status(verified: AnyVerified) -> str:
    """Return Intel's word on the platform."""
    return TDX.tcb_status(verified.inner[TDX.name])


def observe(verified: AnyVerified) -> Mapping[Any, Mapping[str, Any]]:
    """Return what an identity of this machine says where that is not what a rule saw."""
    below = TDX.observe(verified.inner[TDX.name])
    kept = ("mrseam", "tdattributes", "xfam", "mrowner", "mrownerconfig")
    firmware = {name: value for name, value in below.get("firmware", {}).items() if name in kept}
    report = verified.evidence.td.report
    switches = azure.observed_configuration(verified, frozenset(VmConfiguration.model_fields))
    return {
        "platform": {**below.get("platform", {}), "ak_digests": [ak_digest(verified.evidence.claims)]},
        "firmware": {
            "mrseam": [report.mrseam.hex()],
            **firmware,
            "paravisor": {"mrtd": [report.mrtd.hex()]},
            "vm_configuration": switches or None,
            **vtpm.observed_pcrs(verified),
        },
        "workload": {"pcrs": vtpm.observed_software(verified), "event_log": None},
    }
