"""``verifier identity from-evidence``: the identity of a machine that is already trusted (docs/reference-values.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from verifier.cases.form import CaseError
from verifier.cases.judge import gather_subject, verify_parts
from verifier.cases.registry import CASES
from verifier.cli.evidence import (
    AT_OPTION,
    CASE_OPTION,
    ENDORSEMENTS_OPTION,
    EVIDENCE_OPTION,
    REPORT_DATA_OPTION,
    SCHEME_OPTION,
    moment,
    read_bytes,
    read_endorsements,
    read_folder_case,
    read_hex,
    read_parts,
    require_one_source,
    wrong_case,
)
from verifier.cli.identity.written import Place, Written, answer, origin, said_at, utc_time, written_options
from verifier.core.console import FORMAT_OPTION, Answer, run
from verifier.core.rules import IDENTITY_CLASSES
from verifier.formats.errors import CannotDecide, ConfigError, EvidenceRejected
from verifier.reference.observe import Observation, observe
from verifier.reference.unverified import stand_in
from verifier.tee.catalogue import remedy_of
from verifier.tee.registry import SCHEMES
from verifier.tee.scheme import Scheme
from verifier.tee.verified import require_parts


@dataclass(frozen=True, slots=True)
class _Machine:
    """A machine as its evidence shows it, with the words for the origin."""

    scheme: Scheme[Any, Any]
    seen: Any
    words: str


def _from_case(folder: str) -> _Machine:
    files = read_folder_case(folder)
    try:
        verdict = CASES[files.platform].judge(files)
    except CaseError as error:
        raise wrong_case(folder, error) from None
    for finding in verdict.findings:
        if not finding.ok:
            detail = finding.detail or f"{finding.field}: got {finding.seen}, want {finding.expected}"
            raise EvidenceRejected(finding.rule, detail)
    # A composite's case may hand on what it verified of its CPU: that is another scheme's machine.
    if verdict.verified is None or verdict.verified.scheme.name != files.platform:
        want = "a platform whose cases its scheme verifies; otherwise --scheme with --evidence and --endorsements"
        raise ConfigError(folder, "platform", files.platform, want)
    words = _trusted(verdict.verified.root, files.now, {**files.evidence, **files.collateral})
    return _Machine(verdict.verified.scheme, verdict.verified, words)


def _from_parts(
    name: str, parts: Mapping[str, bytes], endorsements: Mapping[str, bytes], now: int, user_data: bytes | None
) -> _Machine:
    scheme = SCHEMES[name]
    require_parts(scheme, parts, {})
    verified = verify_parts(scheme, scheme.form.decode(parts), endorsements, now=now, user_data=user_data)
    return _Machine(scheme, verified, _trusted(verified.root, now, {**parts, **endorsements}))


def _unverified(name: str, parts: Mapping[str, bytes], endorsements: Mapping[str, bytes], now: int) -> _Machine:
    scheme = SCHEMES[name]
    require_parts(scheme, parts, {})
    try:
        subject = gather_subject(scheme, scheme.form.decode(parts), endorsements, now=now, all_required=False)
    except LookupError as error:
        raise CannotDecide(f"{name}.endorsement.{error.args[0]}", f"{error.args[0]}: got nothing, want it") from None
    words = f"NOT VERIFIED: read off evidence that no check has passed: {_digests({**parts, **endorsements})}"
    return _Machine(scheme, stand_in(scheme, subject), words)


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
@CASE_OPTION
@SCHEME_OPTION
@EVIDENCE_OPTION
@ENDORSEMENTS_OPTION
@AT_OPTION
@REPORT_DATA_OPTION
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
@FORMAT_OPTION
def command(
    case: str | None,
    scheme: str | None,
    evidence: tuple[str, ...],
    endorsements: str | None,
    at: str | None,
    report_data: str | None,
    classes: tuple[str, ...],
    config_file: str | None,
    unverified: bool,
    name: str,
    tenant: str,
    number: int,
    policy: str | None,
    without: tuple[str, ...],
    output: str | None,
    output_format: str,
) -> None:
    """Write the identity of a trusted machine.

    The values come from its evidence, which has to be genuine. Such a value says what ran, not what should run. Compute values
    from artifacts where you can.

    Exit codes are those of appraise.
    """

    def body() -> Answer:
        require_one_source("identity from-evidence", case, scheme)
        now = moment(at)
        if case is not None:
            if unverified:
                raise ConfigError("identity from-evidence", "--unverified", "with --case", "--scheme with --evidence")
            machine = _from_case(case)
        else:
            assert scheme is not None  # noqa: S101 - narrowed above
            parts, given = read_parts(scheme, evidence), read_endorsements(endorsements)
            if unverified:
                machine = _unverified(scheme, parts, given, now)
            else:
                machine = _from_parts(scheme, parts, given, now, read_hex(report_data))
        _require_classes(machine.scheme, classes)
        text = origin(f"{machine.words}; written by {said_at(now)}")
        found = observe(machine.scheme, machine.seen, _digests_of(config_file))
        place = Place(
            name=name,
            tenant=tenant,
            number=number,
            policy=policy,
            without=without,
            output=output,
            hints=_warnings(machine),
        )
        return answer(machine.scheme.name, _written(found, classes, text), place)

    run(output_format, body)


def _digests_of(config_file: str | None) -> tuple[str, ...]:
    if config_file is None:
        return ()
    data = read_bytes(config_file)
    return hashlib.sha256(data).hexdigest(), hashlib.sha384(data).hexdigest()
