"""Is it wanted? SNP's rules under their own ids, the paravisor, the virtual machine's setup, PCRs and event log.

Two rules nothing can switch off: without the paravisor's identity and VMPL 0 any guest could write runtime claims of its own
and vouch for a key in software (docs/threat-model.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from verifier.core.rules import Judgement, Rule, Scope
from verifier.tee.azure import rules as azure
from verifier.tee.azure_snp_vtpm.decode import NAME
from verifier.tee.composite import lift_all, lifted_bins, lifted_fields
from verifier.tee.judges import AnyVerified, Rows, nothing, same, say
from verifier.tee.scheme import Bin
from verifier.tee.sev_snp.scheme import SCHEME as SNP
from verifier.tee.vtpm import rules as vtpm
from verifier.tee.vtpm.quote import FIELDS as TPM_FIELDS

# Judged by the two mandatory rules instead; HOST_DATA is not the customer's to set on Azure, PCR 15 holds the configuration.
_INSTEAD: Final = frozenset(
    f"sev-snp.{name}" for name in ("measurement", "vmpl", "id-key-digest", "author-key-digest", "host-data")
)
_DIGESTS: Final = MappingProxyType(
    {"measurement": "measurement", "id-key": "id_key_digest", "author-key": "author_key_digest"}
)


def _judge_paravisor(verified: AnyVerified, expected: Any) -> Judgement:
    report = verified.evidence.report
    seen = {kind: getattr(report, name).hex() for kind, name in _DIGESTS.items()}
    kind = expected.get("kind") if isinstance(expected, Mapping) else None
    digests = expected.get("digests") if isinstance(expected, Mapping) else None
    if kind not in seen or not digests:
        return nothing(seen, "paravisor", "its measurement or signer")
    got = seen[kind]
    ok = got in digests and any(bytes.fromhex(got))
    return say(ok, seen, f"paravisor {kind}: got {got}, want one of {', '.join(digests)}")


_LIFTED: Final = lift_all(SNP, wanted=lambda rule: rule.id not in _INSTEAD)
_ROW: Final = Rows(NAME)
_OWN: Final[tuple[Rule[AnyVerified], ...]] = (
    _ROW(
        "vmpl",
        "service.vmpl",
        same(lambda verified: verified.evidence.report.vmpl, "VMPL"),
        "configuration",
        "sev-snp.vmpl",
        default=0,
        mandatory=True,
    ),
    _ROW(
        "paravisor",
        "firmware.paravisor",
        _judge_paravisor,
        "executables",
        *(f"sev-snp.{name}" for name in _DIGESTS.values()),
        mandatory=True,
    ),
)
RULES: Final[tuple[Rule[AnyVerified], ...]] = (
    *(rule for rule in _LIFTED if rule.scope == "service"),
    *_OWN,
    *(rule for rule in _LIFTED if rule.scope != "service"),
    *azure.azure_rules(_ROW),
    *vtpm.vtpm_rules(_ROW),
)
FIELDS: Final = (*azure.FIELDS, *lifted_fields(SNP), *TPM_FIELDS)
BINS: Final[Mapping[str, Bin]] = MappingProxyType({**azure.BINS, **lifted_bins(SNP, RULES), **vtpm.BINS})


instance = azure.instance


def observe(verified: AnyVerified) -> Mapping[Scope, Mapping[str, Any]]:
    """Return what an identity of this machine says where that is not what a rule saw."""
    below = SNP.appraisal.observe(verified.inner[SNP.name]).get("firmware", {})
    measured = verified.evidence.report.measurement.hex()
    firmware = {name: value for name, value in below.items() if name not in _DIGESTS.values()}
    paravisor = {"kind": "measurement", "digests": [measured]}
    return azure.observed(verified, SNP, {**firmware, "paravisor": paravisor})
