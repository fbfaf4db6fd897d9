"""Is it wanted? TDX's rules under their own ids, the paravisor, the virtual machine's setup, PCRs and event log.

The paravisor's rule nothing can switch off: without it any TD could write runtime claims of its own and vouch for a key in
software (docs/threat-model.md). TDX has no VMPL: a guest above the paravisor cannot ask the TDX module for a TDREPORT at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from verifier.core.rules import Judgement, Rule, Scope
from verifier.tee.azure import rules as azure
from verifier.tee.azure.layout import TDREPORT_NAMES
from verifier.tee.azure_tdx_vtpm.decode import NAME
from verifier.tee.azure_tdx_vtpm.verify import TIED
from verifier.tee.composite import lift_all, lifted_bins, lifted_fields
from verifier.tee.judges import AnyVerified, Rows, nothing, say
from verifier.tee.scheme import Bin
from verifier.tee.tdx.scheme import SCHEME as TDX
from verifier.tee.vtpm import rules as vtpm
from verifier.tee.vtpm.quote import FIELDS as TPM_FIELDS

_ROW: Final = Rows(NAME)
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
        return nothing(seen, "paravisor", "its MRTD")
    ok = seen in digests
    return say(ok, seen, f"MRTD: got {seen}, want one of {', '.join(digests)}")


RULES: Final[tuple[Rule[AnyVerified], ...]] = (
    *_LIFTED,
    _ROW("paravisor", "firmware.paravisor", _judge_paravisor, "executables", "tdx.mrtd", mandatory=True),
    *azure.azure_rules(_ROW),
    *vtpm.vtpm_rules(_ROW),
)
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


instance = azure.instance


def observe(verified: AnyVerified) -> Mapping[Scope, Mapping[str, Any]]:
    """Return what an identity of this machine says where that is not what a rule saw."""
    below = TDX.appraisal.observe(verified.inner[TDX.name]).get("firmware", {})
    kept = ("mrseam", "tdattributes", "xfam", "mrowner", "mrownerconfig")
    firmware = {name: value for name, value in below.items() if name in kept}
    report = verified.evidence.td.report
    own = {"mrseam": [report.mrseam.hex()], **firmware, "paravisor": {"mrtd": [report.mrtd.hex()]}}
    return azure.observed(verified, TDX, own)
