"""Is it wanted? Where the machine is, PCRs and event log; of the CPU beside it every rule of its own scheme, under its own id.

Which CPU has to be there is a mandatory rule: evidence that leaves its CPU report out is not the evidence that was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from verifier.core.rules import Judgement, Rule, TrustClaim
from verifier.formats.encoding import sha256
from verifier.tee.composite import lift, lifted_bins, lifted_fields
from verifier.tee.gcp_vtpm.decode import CPUS, NAME
from verifier.tee.gcp_vtpm.layout import FIELDS as AK_FIELDS
from verifier.tee.gcp_vtpm.layout import Instance
from verifier.tee.judges import AnyVerified, Rows, observed_software, one_of, same
from verifier.tee.scheme import Bin, Scheme
from verifier.tee.vtpm import rules as vtpm
from verifier.tee.vtpm.quote import FIELDS as TPM_FIELDS

# The vTPM's PCR 15 holds the attester's configuration here; HOST_DATA, MRCONFIGID and RTMR3 are reported.
_INSTEAD: Final = frozenset({"sev-snp.host-data", "tdx.config"})


def _instance(verified: AnyVerified) -> Instance:
    found: Instance = verified.collateral.instance
    return found


def _cpu(verified: AnyVerified) -> str:
    cpu = verified.evidence.cpu
    return "none" if cpu is None else cpu.scheme.name


def _project(verified: AnyVerified) -> tuple[str, str]:
    said = _instance(verified)
    return said.project_id, str(said.project_number)


def ak_digest(verified: AnyVerified) -> str:
    """SHA-256 of the AK's SubjectPublicKeyInfo, hex: what names a machine. Of verified evidence alone."""
    return sha256(verified.collateral.ak_chain.leaf.spki).hex()


def _if_there(rule: Rule[Any], scheme: Scheme[Any, Any]) -> Rule[AnyVerified]:
    """Lift a service rule: it holds of every CPU report; whether there has to be one is ``gcp-vtpm.cpu``'s."""
    lifted = lift(rule, scheme.name)

    def judge(verified: AnyVerified, expected: Any) -> Judgement:
        if scheme.name not in verified.inner:
            return Judgement(ok=True, seen=None, detail=f"no {scheme.name} report", value=0)
        return lifted.judge(verified, expected)

    return replace(lifted, judge=judge, mandatory=False)


def _in_table(rule: Rule[Any], scheme: Scheme[Any, Any]) -> Rule[AnyVerified]:
    """Lift an identity's rule: its field stands in the CPU's table. One that is listed in ``unchecked`` is taken out of the table."""
    lifted = lift(rule, scheme.name, field=scheme.name.replace("-", "_"))

    def judge(verified: AnyVerified, expected: Any) -> Judgement:
        value = expected.get(rule.field) if isinstance(expected, Mapping) else None
        if value is None and scheme.name in verified.inner:
            return Judgement(ok=True, seen=None, detail=f"{rule.field}: not asked for", value=0)
        return lifted.judge(verified, value)

    def measures(expected: Any) -> bool:
        value = expected.get(rule.field) if isinstance(expected, Mapping) else None
        return value is not None and rule.measures(value)

    return replace(lifted, judge=judge, measures=measures, mandatory=False)


def _lifted(scheme: Scheme[Any, Any]) -> tuple[Rule[AnyVerified], ...]:
    wanted = [rule for rule in scheme.appraisal.rules if rule.id not in _INSTEAD]
    return tuple((_if_there if rule.scope == "service" else _in_table)(rule, scheme) for rule in wanted)


_ROW: Final = Rows(NAME)
_PLACE: Final[TrustClaim] = "instance-identity"
# fmt: off
_OWN: Final[tuple[Rule[AnyVerified], ...]] = (
    _ROW("cpu", "platform.cpu", same(_cpu, "CPU report"), "hardware", mandatory=True),
    _ROW("project", "platform.projects", one_of("project", _project), _PLACE, "ak.project_id", "ak.project_number"),
    _ROW("zone", "platform.zones", one_of("zone", lambda verified: _instance(verified).zone), _PLACE, "ak.zone"),
    _ROW("instance", "platform.instances", one_of("instance", lambda verified: str(_instance(verified).instance_id)),
         _PLACE, "ak.instance_id"),
    _ROW("production", "platform.production",
         same(lambda verified: _instance(verified).is_production, "is production"), _PLACE, "ak.is_production"),
    _ROW("ak", "platform.ak_digests", one_of("AK", ak_digest), _PLACE, "ak.public"),
)
# fmt: on
RULES: Final[tuple[Rule[AnyVerified], ...]] = (
    *_OWN,
    *(rule for cpu in CPUS for rule in _lifted(cpu)),
    *vtpm.vtpm_rules(_ROW),
)
FIELDS: Final = (*AK_FIELDS, *(name for cpu in CPUS for name in lifted_fields(cpu)), *TPM_FIELDS)
_AK_RULED: Final = frozenset(name for rule in _OWN for name in rule.layout_fields)
_AK_BINS: Final[Mapping[str, Bin]] = {name: "rules" if name in _AK_RULED else "reported" for name in AK_FIELDS}
BINS: Final[Mapping[str, Bin]] = MappingProxyType(
    {
        **_AK_BINS,
        **{name: where for cpu in CPUS for name, where in lifted_bins(cpu, RULES).items()},
        **vtpm.BINS,
    }
)


def instance(verified: AnyVerified) -> tuple[str, str]:
    """Name the machine by its AK, which Google certified for one instance."""
    return "gcp-vtpm.ak", ak_digest(verified)


def tcb_status(verified: AnyVerified) -> str:
    """Return the CPU vendor's word, where there is one."""
    cpu = verified.evidence.cpu
    return "NotApplicable" if cpu is None else str(cpu.scheme.token.tcb_status(verified.inner[cpu.scheme.name]))


def observe(verified: AnyVerified) -> Mapping[Any, Mapping[str, Any]]:
    """Return what an identity of this machine says where that is not what a rule saw. A CPU's tables are not worked out here."""
    said = _instance(verified)
    tables = {scheme.name.replace("-", "_"): None for scheme in CPUS}
    return {
        "platform": {
            "cpu": _cpu(verified),
            "projects": [str(said.project_number)],
            "zones": [said.zone],
            "instances": [str(said.instance_id)],
            "production": True if said.is_production else None,
            "ak_digests": [ak_digest(verified)],
            **tables,
        },
        "firmware": {**vtpm.observed_pcrs(verified), **tables},
        "workload": {"pcrs": observed_software(vtpm.quoted(verified)), "event_log": None, "tdx": None},
    }
