"""Is it wanted? SNP's rules under their own ids, the paravisor, the virtual machine's setup, PCRs and event log.

Two rules nothing can switch off: without the paravisor's identity and VMPL 0 any guest could write runtime claims of its own
and vouch for a key in software (design.md section 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from verifier.core.rules import Judgement, Rule
from verifier.tee.azure import rules as azure
from verifier.tee.azure.identity import VmConfiguration
from verifier.tee.azure.verify import ak_digest
from verifier.tee.azure_snp_vtpm.decode import NAME
from verifier.tee.composite import lift_all, lifted_bins, lifted_fields
from verifier.tee.scheme import Bin, Verified
from verifier.tee.sev_snp.scheme import SCHEME as SNP
from verifier.tee.vtpm import rules as vtpm
from verifier.tee.vtpm.quote import FIELDS as TPM_FIELDS

AnyVerified = Verified[Any, Any]

PARAVISOR: Final = "azure-snp-vtpm.paravisor"
VMPL: Final = "azure-snp-vtpm.vmpl"
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
        return Judgement(
            ok=False, seen=seen, detail="paravisor: got nothing to compare, want its measurement or signer"
        )
    got = seen[kind]
    ok = got in digests and any(bytes.fromhex(got))
    return Judgement(ok, seen, "" if ok else f"paravisor {kind}: got {got}, want one of {', '.join(digests)}")


def _judge_vmpl(verified: AnyVerified, expected: Any) -> Judgement:
    seen = verified.evidence.report.vmpl
    ok = seen == expected
    return Judgement(ok, seen, "" if ok else f"VMPL: got {seen}, want {expected}: the paravisor's own level")


_LIFTED: Final = lift_all(SNP, wanted=lambda rule: rule.id not in _INSTEAD)
_OWN: Final[tuple[Rule[AnyVerified], ...]] = (
    Rule(
        id=VMPL,
        scope="service",
        field="vmpl",
        judge=_judge_vmpl,
        layout_fields=("sev-snp.vmpl",),
        default=0,
        trust_claim="configuration",
        remedy="use a confidential VM whose HCL report the paravisor asked for; a guest's own report does not count",
        mandatory=True,
    ),
    Rule(
        id=PARAVISOR,
        scope="firmware",
        field="paravisor",
        judge=_judge_paravisor,
        layout_fields=("sev-snp.measurement", "sev-snp.id_key_digest", "sev-snp.author_key_digest"),
        remedy="name the paravisor's measurement or signer in the firmware identity, from a machine of Azure's that you trust",
        mandatory=True,
    ),
)
RULES: Final[tuple[Rule[AnyVerified], ...]] = (
    *(rule for rule in _LIFTED if rule.scope == "service"),
    *_OWN,
    *(rule for rule in _LIFTED if rule.scope != "service"),
    *azure.azure_rules(NAME),
    *vtpm.vtpm_rules(NAME),
)
MANDATORY: Final = frozenset({PARAVISOR, VMPL, "sev-snp.signing-key.kind", f"{NAME}.config.extended"})
FIELDS: Final = (*azure.FIELDS, *lifted_fields(SNP), *TPM_FIELDS)
BINS: Final[Mapping[str, Bin]] = MappingProxyType({**azure.BINS, **lifted_bins(SNP, RULES), **vtpm.BINS})


def instance(verified: AnyVerified) -> tuple[str, str]:
    """Name the machine by its AK, which the paravisor made for it and keeps with its vTPM."""
    return "azure-vtpm.ak", ak_digest(verified.evidence.claims)


def observe(verified: AnyVerified) -> Mapping[Any, Mapping[str, Any]]:
    """Return what an identity of this machine says where that is not what a rule saw."""
    below = SNP.observe(verified.inner[SNP.name])
    measured = verified.evidence.report.measurement.hex()
    firmware = {name: value for name, value in below.get("firmware", {}).items() if name not in _DIGESTS.values()}
    switches = azure.observed_configuration(verified, frozenset(VmConfiguration.model_fields))
    return {
        "platform": {**below.get("platform", {}), "ak_digests": [ak_digest(verified.evidence.claims)]},
        "firmware": {
            **firmware,
            "paravisor": {"kind": "measurement", "digests": [measured]},
            "vm_configuration": switches or None,
            **vtpm.observed_pcrs(verified),
        },
        "workload": {"pcrs": vtpm.observed_software(verified), "event_log": None},
    }
