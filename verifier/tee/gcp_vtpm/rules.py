"""Is it wanted? Where the machine is, PCRs and event log; of the CPU beside it every rule of its own scheme, under its own id.

Which CPU has to be there is a mandatory rule: evidence that leaves its CPU report out is not the evidence that was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from verifier.core.rules import Judgement, Rule, TrustClaim
from verifier.formats.encoding import sha256
from verifier.tee.composite import lift, lifted_bins, lifted_fields
from verifier.tee.gcp_vtpm.decode import CPUS, NAME
from verifier.tee.gcp_vtpm.layout import FIELDS as AK_FIELDS
from verifier.tee.gcp_vtpm.layout import Instance
from verifier.tee.scheme import Bin, Scheme, Verified
from verifier.tee.vtpm import rules as vtpm
from verifier.tee.vtpm.quote import FIELDS as TPM_FIELDS

AnyVerified = Verified[Any, Any]

CPU: Final = "gcp-vtpm.cpu"
# The vTPM's PCR 15 holds the attester's configuration here; HOST_DATA, MRCONFIGID and RTMR3 are reported.
_INSTEAD: Final = frozenset({"sev-snp.host-data", "tdx.config"})


def _instance(verified: AnyVerified) -> Instance:
    found: Instance = verified.collateral.instance
    return found


def _judge_cpu(verified: AnyVerified, expected: Any) -> Judgement:
    cpu = verified.evidence.cpu
    seen = "none" if cpu is None else cpu.scheme.name
    ok = seen == expected
    return Judgement(ok, seen, "" if ok else f"CPU report: got {seen}, want {expected}")


def _listed(what: str, names_of: Callable[[Instance], tuple[str, ...]]) -> Callable[[AnyVerified, Any], Judgement]:
    def judge(verified: AnyVerified, expected: Any) -> Judgement:
        seen = names_of(_instance(verified))
        ok = any(name in expected for name in seen)
        return Judgement(
            ok, list(seen), "" if ok else f"{what}: got {' / '.join(seen)}, want one of {', '.join(expected)}"
        )

    return judge


def _judge_production(verified: AnyVerified, expected: Any) -> Judgement:
    seen = _instance(verified).is_production
    return Judgement(seen is expected, seen, "" if seen is expected else f"is production: got {seen}, want {expected}")


def ak_digest(verified: AnyVerified) -> str:
    """SHA-256 of the AK's SubjectPublicKeyInfo, hex: what names a machine. Of verified evidence alone."""
    return sha256(verified.collateral.ak_chain.leaf.spki).hex()


def _judge_ak(verified: AnyVerified, expected: Any) -> Judgement:
    seen = ak_digest(verified)
    ok = seen in expected
    return Judgement(ok, seen, "" if ok else f"AK: got {seen}, want one of {len(expected)} listed")


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
    wanted = [rule for rule in scheme.rules if rule.id not in _INSTEAD]
    return tuple((_if_there if rule.scope == "service" else _in_table)(rule, scheme) for rule in wanted)


def _of_instance(
    name: str, field: str, judge: Callable[[AnyVerified, Any], Judgement], fields: tuple[str, ...], remedy: str
) -> Rule[AnyVerified]:
    claim: TrustClaim = "instance-identity"
    return Rule(
        id=f"{NAME}.{name}",
        scope="platform",
        field=field,
        judge=judge,
        layout_fields=fields,
        trust_claim=claim,
        remedy=remedy,
    )


_LIST: Final = "run the workload where the platform identity says, or list this place in it"
_OWN: Final[tuple[Rule[AnyVerified], ...]] = (
    Rule(
        id=CPU,
        scope="platform",
        field="cpu",
        judge=_judge_cpu,
        trust_claim="hardware",
        remedy="have the attester send the CPU's report as a component, or say cpu: none in the platform identity",
        mandatory=True,
    ),
    _of_instance(
        "project",
        "projects",
        _listed("project", lambda i: (i.project_id, str(i.project_number))),
        ("ak.project_id", "ak.project_number"),
        _LIST,
    ),
    _of_instance("zone", "zones", _listed("zone", lambda i: (i.zone,)), ("ak.zone",), _LIST),
    _of_instance(
        "instance", "instances", _listed("instance", lambda i: (str(i.instance_id),)), ("ak.instance_id",), _LIST
    ),
    _of_instance(
        "production",
        "production",
        _judge_production,
        ("ak.is_production",),
        "use a machine whose AK certificate says that its hypervisor is in production",
    ),
    _of_instance("ak", "ak_digests", _judge_ak, ("ak.public",), "put the AK's digest into the platform identity"),
)
RULES: Final[tuple[Rule[AnyVerified], ...]] = (
    *_OWN,
    *(rule for cpu in CPUS for rule in _lifted(cpu)),
    *vtpm.vtpm_rules(NAME),
)
MANDATORY: Final = frozenset({CPU, f"{NAME}.config.extended"})
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
    return "NotApplicable" if cpu is None else str(cpu.scheme.tcb_status(verified.inner[cpu.scheme.name]))


def observe(verified: AnyVerified) -> Mapping[Any, Mapping[str, Any]]:
    """Return what an identity of this machine says where that is not what a rule saw. A CPU's tables are not worked out here."""
    cpu, said = verified.evidence.cpu, _instance(verified)
    tables = {scheme.name.replace("-", "_"): None for scheme in CPUS}
    return {
        "platform": {
            "cpu": "none" if cpu is None else cpu.scheme.name,
            "projects": [str(said.project_number)],
            "zones": [said.zone],
            "instances": [str(said.instance_id)],
            "production": True if said.is_production else None,
            "ak_digests": [ak_digest(verified)],
            **tables,
        },
        "firmware": {**vtpm.observed_pcrs(verified), **tables},
        "workload": {"pcrs": vtpm.observed_software(verified), "event_log": None, "tdx": None},
    }
