"""What composites share: an inner scheme's rules, identity fields and bins, lifted into the scheme that contains it.

A composite (docs/adr/0007-composites.md) is a scheme whose evidence holds evidence of others. Its inner parts are verified by their
own schemes (``Verification.inner``); their rules keep their ids, so that ``sev-snp.policy.debug`` means the same wherever it fails.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from verifier.core.binding import Component, evidence_component
from verifier.core.rules import Judgement, Rule, Scope
from verifier.formats.x509chain import Root
from verifier.tee.chain import own_anchors
from verifier.tee.scheme import (
    AppraisalOf,
    Bin,
    Binding,
    Carried,
    Check,
    CollateralOf,
    Form,
    IdentityModels,
    Inner,
    Need,
    Scheme,
    Subject,
    TokenOf,
    Verification,
    Verified,
)
from verifier.tee.verified import gather, weakest_root

# Evidence or collateral of a joint composite: one entry an inner scheme, by its name.
JointRecord: TypeAlias = Mapping[str, Any]


def lift(rule: Rule[Any], part: str, *, scope: Scope | None = None, field: str | None = None) -> Rule[Any]:
    """Return the rule of an inner scheme as a composite's: judged over ``verified.inner[part]``.

    ``part`` is the inner scheme's name. Scope and field may move, because the composite's identities are its own; layout fields
    become ``<part>.<field>``. Where the composite has no such part, the rule fails.
    """

    def judge(verified: Verified[Any, Any], expected: Any) -> Judgement:
        inner = verified.inner.get(part)
        if inner is None:
            return Judgement(ok=False, seen=None, detail=f"{part}: got no evidence of it, want it")
        return rule.judge(inner, expected)

    return replace(
        rule,
        judge=judge,
        scope=scope or rule.scope,
        field=field or rule.field,
        layout_fields=tuple(f"{part}.{name}" for name in rule.layout_fields),
    )


def lift_all(
    scheme: Scheme[Any, Any], *, wanted: Callable[[Rule[Any]], bool] = lambda _rule: True
) -> tuple[Rule[Any], ...]:
    """Lift every rule of an inner scheme that is wanted, in its order."""
    return tuple(lift(rule, scheme.name) for rule in scheme.appraisal.rules if wanted(rule))


def lift_beside(scheme: Scheme[Any, Any], prefix: str) -> tuple[Rule[Any], ...]:
    """Lift the rules of a device beside the guest; their fields get a prefix.

    What runs on the device is the guest's hardware: measured, it says nothing of the guest's own software, and a policy that
    compares no more than that leaves the software unmeasured.
    """
    lifted = (lift(rule, scheme.name, field=f"{prefix}{rule.field}") for rule in scheme.appraisal.rules)
    return tuple(replace(r, trust_claim="hardware") if r.trust_claim == "executables" else r for r in lifted)


def lifted_fields(scheme: Scheme[Any, Any]) -> tuple[str, ...]:
    """Return the layout fields of an inner scheme under their names in the composite."""
    return tuple(f"{scheme.name}.{name}" for name in scheme.appraisal.fields)


def lifted_bins(
    scheme: Scheme[Any, Any], rules: Collection[Rule[Any]], bound: Collection[str] = ()
) -> Mapping[str, Bin]:
    """Return the bins of an inner scheme's fields: "rules" where a rule of the composite judges one, else what they were.

    A field that only a rule judged which the composite left out is "reported". ``bound``: fields that the composite ties instead.
    """
    judged = {name for rule in rules for name in rule.layout_fields}
    bins: dict[str, Bin] = {}
    for name, where in scheme.appraisal.bins.items():
        lifted = f"{scheme.name}.{name}"
        if lifted in judged:
            bins[lifted] = "rules"
        elif name in bound:
            bins[lifted] = "bound"
        else:
            bins[lifted] = "reported" if where == "rules" else where
    return bins


@dataclass(frozen=True, slots=True, eq=False)
class Joint:
    """A composite of whole envelopes: a binder, made last, and those whose evidence it vouches for by its hash.

    Evidence and collateral are one entry a scheme, by its name. Parts and endorsements are named ``<scheme>.<name>``, as
    ``core.wire.flatten`` names those of components; needs keep the names that their schemes give them.
    """

    binder: Scheme[Any, Any]
    others: tuple[Scheme[Any, Any], ...]

    @property
    def schemes(self) -> tuple[Scheme[Any, Any], ...]:
        """All of them, those that were made first ahead."""
        return (*self.others, self.binder)

    def names(self, read: Callable[[Scheme[Any, Any]], Collection[str]]) -> frozenset[str]:
        """Return every scheme's names (parts, endorsements) as the composite's."""
        return frozenset(f"{_prefix(scheme)}{name}" for scheme in self.schemes for name in read(scheme))

    def decode(self, parts: Mapping[str, bytes]) -> JointRecord:
        """Decode each scheme's parts by itself; ``MalformedEvidence`` under its own ids."""
        return {scheme.name: scheme.form.decode(_own(scheme, parts)) for scheme in self.schemes}

    def encode(self, evidence: JointRecord) -> dict[str, bytes]:
        """Write all parts back."""
        return {
            f"{_prefix(scheme)}{name}": data
            for scheme in self.schemes
            for name, data in scheme.form.encode(evidence[scheme.name]).items()
        }

    def needs(self, evidence: JointRecord, have: Mapping[str, bytes]) -> tuple[Need, ...]:
        """Ask for what each scheme asks for. Two that use one name are a programmer's error."""
        asked = [
            need
            for scheme in self.schemes
            for need in scheme.collateral.needs(evidence[scheme.name], self._with(scheme, have))
        ]
        if len({need.name for need in asked}) != len(asked):
            raise TypeError(f"needs: got a name twice in {[need.name for need in asked]}")
        return tuple(asked)

    def _with(self, scheme: Scheme[Any, Any], have: Mapping[str, bytes]) -> dict[str, bytes]:
        """Return a scheme's own endorsements, and what was asked for so far: that goes by the names of needs, without a prefix."""
        prefixes = tuple(_prefix(one) for one in self.schemes)
        return {**{name: data for name, data in have.items() if not name.startswith(prefixes)}, **_own(scheme, have)}

    def collate(self, evidence: JointRecord, given: Mapping[str, bytes]) -> JointRecord:
        """Hand each scheme its own endorsements, and what it had asked for."""
        collected: dict[str, Any] = {}
        for scheme in self.schemes:
            part = evidence[scheme.name]
            # Of what is there, only what this scheme asked for is its own.
            own = gather(scheme, part, _own(scheme, given), lambda needs: _answers(needs, given))
            collected[scheme.name] = scheme.collateral.collate(part, own)
        return collected

    def subject_of(self, scheme: Scheme[Any, Any], subject: Subject[JointRecord, JointRecord]) -> Subject[Any, Any]:
        """Return what an inner scheme's checks are given."""
        anchors = own_anchors(subject.anchors, scheme.verification.anchors)
        evidence, collateral = subject.evidence[scheme.name], subject.collateral[scheme.name]
        return Subject(evidence, collateral, anchors, subject.now, subject.chains)

    def inner(self, subject: Subject[JointRecord, JointRecord]) -> tuple[Inner, ...]:
        """Have every part verified. What they carry is compared with the challenge through ``also_bound`` and the binder."""
        return tuple(Inner(scheme, self.subject_of(scheme, subject)) for scheme in self.schemes)

    def components(self, evidence: JointRecord) -> tuple[Component, ...]:
        """List what the binder vouches for: the hash of each other's parts."""
        return tuple(evidence_component(s.name, s.form.encode(evidence[s.name])) for s in self.others)

    def also_bound(self, evidence: JointRecord) -> tuple[Carried, ...]:
        """Return the others' own fields: made first, each carries the digest over no components."""
        own = (Carried(s.binding.value(evidence[s.name]), s.binding.size) for s in self.others)
        return (*own, *(more for s in self.others for more in s.binding.also(evidence[s.name])))

    def root(self, subject: Subject[JointRecord, JointRecord]) -> Root:
        """Return the least trusted of the anchors."""
        return weakest_root(*(scheme.verification.root(self.subject_of(scheme, subject)) for scheme in self.schemes))

    def bins(self, rules: Collection[Rule[Any]]) -> Mapping[str, Bin]:
        """Return every scheme's bins, lifted."""
        return {name: where for scheme in self.schemes for name, where in lifted_bins(scheme, rules).items()}

    def evidence_claims(self, evidence: JointRecord) -> dict[str, Any]:
        """Say what each part says, under its scheme's name."""
        return {s.name.replace("-", "_"): s.form.claims(evidence[s.name]) for s in self.schemes}


def _prefix(scheme: Scheme[Any, Any]) -> str:
    return f"{scheme.name.replace('-', '_')}."


def _answers(needs: tuple[Need, ...], given: Mapping[str, bytes]) -> dict[str, bytes]:
    return {need.name: given[need.name] for need in needs if need.name in given}


def _own(scheme: Scheme[Any, Any], named: Mapping[str, bytes]) -> dict[str, bytes]:
    """Pick what is a scheme's own, under the names that it knows."""
    prefix = _prefix(scheme)
    return {name.removeprefix(prefix): data for name, data in named.items() if name.startswith(prefix)}


def joined(
    name: str,
    joint: Joint,
    *,
    checks: tuple[Check[JointRecord, JointRecord], ...],
    rules: tuple[Rule[Any], ...],
    identity: Callable[[], IdentityModels],
    observe: Callable[[Verified[Any, Any]], Mapping[Scope, Mapping[str, Any]]],
) -> Scheme[JointRecord, JointRecord]:
    """Make the scheme of a joint composite. What the token says of the machine is what the binder says."""
    binder, schemes = joint.binder, joint.schemes
    return Scheme(
        name=name,
        host_excluded=binder.host_excluded,
        form=Form(
            required=joint.names(lambda scheme: scheme.form.required),
            optional=joint.names(lambda scheme: scheme.form.optional),
            endorsements=joint.names(lambda scheme: scheme.form.endorsements),
            decode=joint.decode,
            encode=joint.encode,
            claims=joint.evidence_claims,
        ),
        binding=Binding(
            size=binder.binding.size,
            value=lambda evidence: binder.binding.value(evidence[binder.name]),
            also=joint.also_bound,
            components=joint.components,
        ),
        collateral=CollateralOf(needs=joint.needs, collate=joint.collate),
        verification=Verification(
            checks=checks,
            anchors=tuple(anchor for scheme in schemes for anchor in scheme.verification.anchors),
            # Of a binder that is a composite itself, its inner schemes' too.
            anchors_of=tuple(dict.fromkeys(one for s in schemes for one in (s.name, *s.verification.anchors_of))),
            inner=joint.inner,
            root=joint.root,
        ),
        appraisal=AppraisalOf(
            rules=rules,
            identity=identity,
            software=frozenset(one for scheme in schemes for one in scheme.appraisal.software),
            fields=tuple(field for scheme in schemes for field in lifted_fields(scheme)),
            bins=joint.bins(rules),
            observe=observe,
        ),
        token=TokenOf(
            measurement=lambda verified, matched: binder.token.measurement(verified.inner[binder.name], matched),
            instance=lambda verified: binder.token.instance(verified.inner[binder.name]),
            debug_status=lambda evidence: binder.token.debug_status(evidence[binder.name]),
            tcb_status=lambda verified: binder.token.tcb_status(verified.inner[binder.name]),
        ),
    )
