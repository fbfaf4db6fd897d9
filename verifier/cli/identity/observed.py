"""``verifier identity from-evidence``: the identity of a machine that is already trusted (docs/reference-values.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import click

from verifier.cases.form import CaseFiles, CaseForm
from verifier.cases.judge import Given, gather_subject, verify_parts
from verifier.cli.evidence import Source, moment, read_bytes, source_options
from verifier.cli.identity.written import Place, Written, answer, origin, said_at, written_options
from verifier.core.console import Answer, answers
from verifier.core.rules import IDENTITY_CLASSES
from verifier.formats.encoding import utc_time
from verifier.formats.errors import CannotDecide, ConfigError, EvidenceRejected
from verifier.reference.observe import Observation, observe
from verifier.reference.unverified import stand_in
from verifier.tee.catalogue import remedy_of
from verifier.tee.scheme import Scheme
from verifier.tee.verified import require_parts


@dataclass(frozen=True, slots=True)
class _Machine:
    """A machine as its evidence shows it, with the words for the origin."""

    scheme: Scheme[Any, Any]
    seen: Any
    words: str


def _from_case(folder: str | None, form: CaseForm, files: CaseFiles) -> _Machine:
    verdict = form.judge(files)
    for finding in verdict.findings:
        if not finding.ok:
            detail = finding.detail or f"{finding.field}: got {finding.seen}, want {finding.expected}"
            raise EvidenceRejected(finding.rule, detail)
    # A composite's case may hand on what it verified of its CPU: that is another scheme's machine.
    if verdict.verified is None or verdict.verified.scheme.name != files.platform:
        want = "a platform whose cases its scheme verifies; otherwise --scheme with --evidence and --endorsements"
        raise ConfigError(folder or "", "platform", files.platform, want)
    words = _trusted(verdict.verified.root, files.now, {**files.evidence, **files.collateral})
    return _Machine(verdict.verified.scheme, verdict.verified, words)


def _from_parts(given: Given) -> _Machine:
    require_parts(given.scheme, given.parts, {})
    verified = verify_parts(given, given.scheme.form.decode(given.parts))
    return _Machine(given.scheme, verified, _trusted(verified.root, given.now, {**given.parts, **given.endorsements}))


def _unverified(given: Given) -> _Machine:
    scheme = given.scheme
    require_parts(scheme, given.parts, {})
    try:
        subject = gather_subject(given, scheme.form.decode(given.parts), all_required=False)
    except LookupError as error:
        needed = error.args[0]
        raise CannotDecide(f"{scheme.name}.endorsement.{needed}", f"{needed}: got nothing, want it") from None
    files = _digests({**given.parts, **given.endorsements})
    return _Machine(
        scheme, stand_in(scheme, subject), f"NOT VERIFIED: read off evidence that no check has passed: {files}"
    )


def _trusted(root: str, now: int, files: Mapping[str, bytes]) -> str:
    judged = f"genuine at {utc_time(now)} under a root of kind {root}"
    return f"observed on a machine already trusted ({judged}): {_digests(files)}"


def _digests(files: Mapping[str, bytes]) -> str:
    return ", ".join(f"{name} (sha256 {hashlib.sha256(data).hexdigest()})" for name, data in files.items())


def _warnings(machine: _Machine) -> tuple[str, ...]:
    """Say which default rules this machine breaks: a policy for it has to name the exceptions."""
    service = [rule for rule in machine.scheme.appraisal.rules if rule.scope == "service"]
    broken = [rule for rule in service if not rule.judge(machine.seen, rule.default).ok]
    return tuple(
        f"this machine breaks the default rule {rule.id}: {remedy_of(rule.id) or rule.field}" for rule in broken
    )


def _written(observation: Observation, classes: tuple[str, ...], text: str) -> list[Written]:
    wanted = [scope for scope in observation.values if not classes or scope in classes]
    return [Written(one, observation.values[one], dict.fromkeys(observation.values[one], text)) for one in wanted]


def _require_classes(scheme: Scheme[Any, Any], classes: tuple[str, ...]) -> None:
    for name in classes:
        if name not in scheme.appraisal.models:
            raise ConfigError(
                "--class", "class", name, f"one that {scheme.name} has: {', '.join(scheme.appraisal.models)}"
            )


@click.command("from-evidence")
@source_options
@click.option(
    "--class",
    "classes",
    multiple=True,
    type=click.Choice(IDENTITY_CLASSES),
    help="Write this class alone. Repeat the option for each.",
)
@click.option("--config-file", type=click.Path(), metavar="FILE", help="Configuration of the attester on that machine.")
@click.option(
    "--unverified", is_flag=True, help="Take values from evidence that no check has passed. The origin says so."
)
@written_options
@answers
def command(
    source: Source, classes: tuple[str, ...], config_file: str | None, unverified: bool, place: Place
) -> Answer:
    """Write the identity of a trusted machine.

    The values come from its evidence, which has to be genuine. Such a value says what ran, not what should run. Compute values
    from artifacts where you can.

    Exit codes are those of appraise.
    """
    if unverified and source.case is not None:
        raise ConfigError("identity from-evidence", "--unverified", "with --case", "--scheme with --evidence")
    of_case, of_parts = partial(_from_case, source.case), _unverified if unverified else _from_parts
    machine = source.judged("identity from-evidence", of_case, of_parts)
    _require_classes(machine.scheme, classes)
    text = origin(f"{machine.words}; written by {said_at(moment(source.at))}")
    found = observe(machine.scheme, machine.seen, _digests_of(config_file))
    return answer(machine.scheme.name, _written(found, classes, text), place, *_warnings(machine))


def _digests_of(config_file: str | None) -> tuple[str, ...]:
    if config_file is None:
        return ()
    data = read_bytes(config_file)
    return hashlib.sha256(data).hexdigest(), hashlib.sha384(data).hexdigest()
