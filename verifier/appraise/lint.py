"""The linter of trust documents: what is allowed and all the same worth a second look. Pure; a warning each, with an id (``LintId``).

What each warning means: ``verifier/core/checks.toml``, docs/trust-documents.md.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from verifier.appraise.bundle import Documents, Key
from verifier.appraise.compiled import FOREVER, Candidate, CompiledClass, CompiledPolicy
from verifier.appraise.documents import WorkloadDocument
from verifier.core.ids import LintId

WINDOW_NOTICE_S = 14 * 24 * 3600
MAX_COMPARED = 1_000
_SHOWN = 5
_DIGEST = re.compile(r"[0-9a-f]{8,}", re.ASCII)
# Keys under which two different values can hold at once.
_NOT_EXCLUSIVE = re.compile(r"deny|denied|min|max|least|most", re.ASCII)


@dataclass(frozen=True, slots=True)
class Warned:
    """One warning: ``id`` never changes, ``where`` is a file or the policy's name."""

    id: LintId
    where: str
    detail: str


def lint(documents: Documents, compiled: Mapping[Key, CompiledPolicy], now: int) -> list[Warned]:
    """Return every warning about documents that compiled; ``now`` is Unix seconds."""
    warned = []
    for key, policy in compiled.items():
        where = documents.policies[key].where
        warned += [
            Warned(warning, where, f"{policy.tenant}/{policy.name}: {text}") for warning, text in _of(policy, now)
        ]
    return [*warned, *_indistinct(documents, compiled)]


def _of(policy: CompiledPolicy, now: int) -> Iterator[tuple[LintId, str]]:
    bare = sorted(policy.unchecked_classes & policy.scheme.appraisal.software)
    if bare:
        yield (
            LintId.UNMEASURED,
            f"leaves guest software unmeasured: nothing about executables is compared in {', '.join(bare)}",
        )
    if policy.allows_debug:
        yield LintId.DEBUG, "lets debug pass: no process with production keys mints for it"
    for reference in policy.newest:
        yield LintId.NEWEST, f"takes whichever version is highest (now {reference})"
    for one in policy.classes:
        for candidate in one.candidates:
            if text := _window(candidate, now):
                yield LintId.WINDOW, f"{one.scope} {candidate.reference} {text}"
            for text in _loose(candidate):
                yield LintId.LOOSE, f"{one.scope} {candidate.reference} {text}"


def _loose(candidate: Candidate) -> Iterator[str]:
    """Name what an allow-list lets pass unseen (``verifier.tee.ima.identity``)."""
    for prepared in candidate.rules:
        expected = prepared.expected if isinstance(prepared.expected, Mapping) else {}
        if paths := [str(one["path"]) for one in expected.get("may_be_anything") or ()]:
            yield f"does not look at the content of {_listed(paths)}"
        if expected.get("max_violations"):
            yield f"tolerates {expected['max_violations']} violations, of files that nothing proves"


def _window(candidate: Candidate, now: int) -> str:
    if now < candidate.valid_from:
        return "may not be used yet"
    if now >= candidate.valid_until:
        return "may not be used any more"
    if candidate.valid_until < FOREVER and candidate.valid_until - now <= WINDOW_NOTICE_S:
        return f"may be used for {(candidate.valid_until - now) // 3600} more hours"
    return ""


def _indistinct(documents: Documents, compiled: Mapping[Key, CompiledPolicy]) -> Iterator[Warned]:
    users: defaultdict[Key, list[str]] = defaultdict(list)
    for (tenant, name), parsed in sorted(documents.workloads.items()):
        if isinstance(parsed.model, WorkloadDocument):
            users[(tenant, parsed.model.policy)].append(f"{tenant}/{name}")
    for key, names in users.items():
        if len(names) > 1:
            text = f"{_listed(names)} share policy {key[1]}: one evidence satisfies each of them"
            yield Warned(LintId.INDISTINCT, documents.policies[key].where, text)
    by_scheme: defaultdict[str, list[Key]] = defaultdict(list)
    for key in users:
        by_scheme[compiled[key].scheme.name].append(key)
    for scheme, keys in by_scheme.items():
        if len(keys) > MAX_COMPARED:
            text = (
                f"{len(keys)} policies for {scheme} are in use, more than the {MAX_COMPARED} that are compared in pairs"
            )
            yield Warned(LintId.INDISTINCT, scheme, text)
            continue
        for one, other in itertools.combinations(keys, 2):
            if _both_can_hold(compiled[one], compiled[other]):
                text = (
                    f"{_listed(users[one])} and {_listed(users[other])}: no value seen here tells their policies apart"
                )
                yield Warned(LintId.INDISTINCT, documents.policies[one].where, text)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _both_can_hold(one: CompiledPolicy, other: CompiledPolicy) -> bool:
    """Tell whether one evidence may satisfy both, as far as digests and lists of digests say."""
    others = {two.scope: two for two in other.classes}
    return all(_class_can_hold(mine, others[mine.scope]) for mine in one.classes if mine.scope in others)


def _class_can_hold(mine: CompiledClass, other: CompiledClass) -> bool:
    pairs = [not _conflict(a.matched.values, b.matched.values) for a in mine.candidates for b in other.candidates]
    return all(pairs) if mine.all_of else any(pairs)


def _conflict(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        shared = [key for key in one if key in other and not _NOT_EXCLUSIVE.search(str(key))]
        return any(_conflict(one[key], other[key]) for key in shared)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return all(map(_is_digest, [*one, *other])) and bool(one) and bool(other) and not set(one) & set(other)
    return _is_digest(one) and _is_digest(other) and one != other


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None
