"""What the records of all composites with a vTPM share: the quote is the binder, and a CPU's scheme may stand inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from verifier.formats.x509chain import Anchor, Root
from verifier.tee.scheme import (
    Binding,
    Carried,
    CollateralOf,
    Form,
    Inner,
    Scheme,
    Subject,
    TokenOf,
    Verification,
    Verified,
    appraisal_of,
)
from verifier.tee.vtpm.quote import OPTIONAL_PARTS, REQUIRED_PARTS
from verifier.tee.vtpm.rules import measurement


def vtpm_form(
    decode: Any,
    *,
    required: frozenset[str] = frozenset(),
    optional: frozenset[str] = frozenset(),
    endorsements: frozenset[str],
) -> Form[Any]:
    """Return the form of evidence with a vTPM's parts; ``required`` and ``optional`` are the composite's own beside them.

    ``decode``: the module that has ``decode``, ``encode`` and ``evidence_claims``.
    """
    return Form(
        required=REQUIRED_PARTS | required,
        optional=OPTIONAL_PARTS | optional,
        endorsements=endorsements,
        decode=decode.decode,
        encode=decode.encode,
        claims=decode.evidence_claims,
    )


def vtpm_scheme(
    name: str,
    *,
    host_excluded: bool,
    form: Form[Any],
    cpus: tuple[Scheme[Any, Any], ...],
    own: tuple[Anchor, ...],
    collateral: CollateralOf[Any, Any],
    inner: Callable[[Subject[Any, Any]], tuple[Inner, ...]],
    root: Callable[[Subject[Any, Any]], Root],
    verify: Any,
    rules: Any,
    identity: str,
    debug_status: Callable[[Any], str],
    tcb_status: Callable[[Verified[Any, Any]], str] = lambda _verified: "NotApplicable",
    also: Callable[[Any], tuple[Carried, ...]] = lambda _evidence: (),
) -> Scheme[Any, Any]:
    """Make the scheme of a composite with a vTPM.

    The binder is the quote: extraData carries the digest short, also where a CPU's report vouches for the vTPM (``also``).
    ``cpus``: the schemes that may stand inside; ``own``: the anchors of AK certificates. ``verify`` has CHECKS; ``rules`` has RULES,
    FIELDS, BINS, ``instance`` and ``observe``; ``identity`` names the module of the models of all four classes and the exceptions.
    """
    return Scheme(
        name=name,
        host_excluded=host_excluded,
        form=form,
        binding=Binding(size="short", value=lambda evidence: evidence.tpm.quote.extra_data, also=also),
        collateral=collateral,
        verification=Verification(
            checks=verify.CHECKS,
            anchors=(*(anchor for cpu in cpus for anchor in cpu.verification.anchors), *own),
            anchors_of=tuple(cpu.name for cpu in cpus),
            inner=inner,
            root=root,
        ),
        appraisal=appraisal_of(identity, rules, rules.FIELDS, "firmware", "workload"),
        token=TokenOf(
            measurement=measurement, instance=rules.instance, debug_status=debug_status, tcb_status=tcb_status
        ),
    )
