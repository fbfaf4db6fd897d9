"""The claims of a token: what an appraisal says, in the words of EAT and EAR and in flat strings for Vault. Pure.

Source: docs/claims.md; RFC 9711 (EAT); draft-ietf-rats-ear-03; RFC 7800 and RFC 9449 (``cnf.jkt``).
What each claim means and what it does not is in docs/what-a-token-means.md, the page of ``EAT_PROFILE``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

from verifier.appraise.result import Appraisal, Workload
from verifier.core import product
from verifier.core.binding import NONCE_SIZE
from verifier.core.ids import PolicyId
from verifier.core.settings import TOKEN_LIFE_MAX_S
from verifier.formats.encoding import b64url, canonical, is_name, sha256
from verifier.formats.errors import EvidenceRejected
from verifier.tee.scheme import Matched

EAT_PROFILE: Final = "tag:github.com,2026:vault-attestation-bridge/token/v1"

# EAT dbgstat (RFC 9711 section 4.2.9). Anything but "enabled" says that debugging is off.
DEBUG_STATUSES: Final = frozenset(
    {"enabled", "disabled", "disabled-since-boot", "disabled-permanently", "disabled-fully-and-permanently"}
)
# What a token may say of its anchor; "case-given" is a word of offline judgement and never reaches one.
ROOTS: Final = frozenset({"vendor", "private", "simulated"})

# Every claim that a token may carry, in the order of docs/claims.md; the discovery document lists them.
CLAIM_NAMES: Final = (
    *("iss", "sub", "aud", "iat", "nbf", "exp", "jti"),
    *("eat_profile", "eat_nonce", "cnf", "submods", "ear_verifier_id", "dbgstat"),
    *("tenant", "workload", "policy", "policy_digest", "measurement", "measurement_id", "instance"),
    *("tee", "tcb_status", "ear_status", "root", "host_excluded", "simulated"),
)

_THUMBPRINT_SIZE = 32
_DIGEST_SIZE = 32
_JTI = re.compile(r"[A-Za-z0-9_-]{16,64}", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_HEX = re.compile(r"(?:[0-9a-f]{2}){32,64}", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_STATUS_RANK = {"none": 0, "affirming": 1, "warning": 2, "contraindicated": 3}
# The tiers of draft-ietf-rats-ar4si that forbid a better status: outside these ranges a value is a warning, or worse.
_AFFIRMING, _WARNING = range(-32, 32), range(-96, 96)


def require_mintable(appraisal: Appraisal, *, simulated: bool) -> None:
    """Refuse an appraisal that no token may be made of; called before the nonce is spent and again by ``mint``.

    Raises ``EvidenceRejected`` under ``policy.accepted``, ``policy.bound``, ``policy.root`` or ``policy.debug``.
    """
    if not appraisal.accepted:
        raise EvidenceRejected(
            PolicyId.ACCEPTED, f"appraisal: refused by {appraisal.check_id or 'a rule without an id'}"
        )
    if not appraisal.bound:
        raise EvidenceRejected(PolicyId.BOUND, "appraisal: evidence was not bound to a challenge, want it bound")
    want = "simulated" if simulated else "vendor or private"
    if appraisal.root not in ROOTS or (appraisal.root == "simulated") != simulated:
        raise EvidenceRejected(PolicyId.ROOT, f"root: got {appraisal.root}, want {want}")
    if appraisal.debug_status not in DEBUG_STATUSES:
        raise ValueError(f"debug_status: got {appraisal.debug_status!r}, want one of {sorted(DEBUG_STATUSES)}")
    if appraisal.debug_status == "enabled" and not simulated:
        raise EvidenceRejected(PolicyId.DEBUG, "dbgstat: got enabled, want a simulated process for it")
    # Evidence without debugging does not help here: the same policy would accept the guest under debug the next time.
    if appraisal.debug_allowed and not simulated:
        raise EvidenceRejected(
            PolicyId.DEBUG, f"policy {appraisal.policy}: got an exception for debug, want a simulated process for it"
        )


def require_names(names: Iterable[str]) -> None:
    """Refuse what Vault would expand or fold in a templated path, here too: ``EvidenceRejected('policy.name')``."""
    for name in names:
        if not is_name(name):
            raise EvidenceRejected(PolicyId.NAME, f"name: got {name!r}, want a-z, 0-9 and inner hyphens, at most 63")


def instance_name(workload_uuid: str, kind: str, identifier: str) -> str:
    """Return ``i:<hex SHA-256>`` over the RFC 8785 form of ``{"id", "kind", "workload_uuid"}``."""
    form = {"id": identifier, "kind": kind, "workload_uuid": workload_uuid}
    return f"i:{sha256(canonical(form)).hex()}"


def measurement_name(tenant: str, tee: str, policy: str, matched: Iterable[Matched]) -> str:
    """Return ``m:<hex SHA-256>`` over the RFC 8785 form of ``{"matched", "policy", "tee", "tenant"}``.

    ``matched`` is the array of ``[identity, version]`` pairs, each once, ascending by name and then by number; the
    version is its decimal string, since only strings are used as values in RFC 8785 forms here.
    """
    return _measurement_name(tenant, tee, policy, tuple(sorted({(one.name, one.version) for one in matched})))


# Machines of one kind have one name, and there are few kinds beside machines.
@lru_cache(maxsize=1024)
def _measurement_name(tenant: str, tee: str, policy: str, pairs: tuple[tuple[str, int], ...]) -> str:
    form = {
        "matched": [[name, str(version)] for name, version in pairs],
        "policy": policy,
        "tee": tee,
        "tenant": tenant,
    }
    return f"m:{sha256(canonical(form)).hex()}"


def build_claims(
    appraisal: Appraisal,
    workload: Workload,
    *,
    issuer: str,
    nonce: bytes,
    sig_thumbprint: bytes,
    now: int,
    life_s: int,
    jti: str,
    simulated: bool,
) -> dict[str, Any]:
    """Build the claims of a token for ``workload``, from an appraisal that may be minted.

    ``now`` is Unix seconds, ``life_s`` at most 300; ``jti`` is the caller's, at least 16 characters and never used twice;
    ``simulated`` is the process's setting. Raises as ``require_mintable`` and ``require_names`` do; ``ValueError`` is
    a programmer's error. Nothing is signed here.
    """
    require_mintable(appraisal, simulated=simulated)
    require_names((workload.tenant, workload.name, appraisal.policy, *(m.name for m in appraisal.matched)))
    _require_form(
        appraisal, workload, issuer=issuer, nonce=nonce, sig_thumbprint=sig_thumbprint, life_s=life_s, jti=jti
    )
    return {
        "iss": issuer,
        "sub": f"w:{workload.uuid}",
        "aud": workload.audience,
        "iat": now,
        "nbf": now,
        "exp": now + life_s,
        "jti": jti,
        "eat_profile": EAT_PROFILE,
        "eat_nonce": b64url(nonce),
        "cnf": {"jkt": b64url(sig_thumbprint)},
        "submods": {appraisal.scheme: _submodule(appraisal)},
        "ear_verifier_id": {"build": product.BUILD, "developer": product.NAME},
        "dbgstat": appraisal.debug_status,
        **_flat(appraisal, workload, simulated=simulated),
    }


def _submodule(appraisal: Appraisal) -> dict[str, Any]:
    """One attester's appraisal (draft-ietf-rats-ear-03 section 3.2); ``dbgstat`` is not inherited, so it stands here."""
    return {
        "ear_status": appraisal.ear_status,
        "ear_trustworthiness_vector": dict(appraisal.vector),
        "ear_appraisal_policy_ids": [appraisal.policy],
        "dbgstat": appraisal.debug_status,
    }


def _flat(appraisal: Appraisal, workload: Workload, *, simulated: bool) -> dict[str, str]:
    """Return the flat strings for Vault: it maps strings only, folds case, and cannot compare numbers."""
    flat = {
        "tenant": workload.tenant,
        "workload": workload.name,
        "policy": appraisal.policy,
        "policy_digest": appraisal.policy_digest.hex(),
        "instance": instance_name(workload.uuid, appraisal.instance_kind, appraisal.instance_id),
        "tee": appraisal.scheme,
        "tcb_status": appraisal.tcb_status,
        "ear_status": appraisal.ear_status,
        "root": appraisal.root,
        "host_excluded": "true" if appraisal.host_excluded else "false",
        "simulated": "true" if simulated else "false",
    }
    if appraisal.measurement:
        flat["measurement"] = appraisal.measurement
    if _is_measured(appraisal):
        flat["measurement_id"] = measurement_name(
            workload.tenant, appraisal.scheme, appraisal.policy, appraisal.matched
        )
    return flat


def _is_measured(appraisal: Appraisal) -> bool:
    """Tell whether a measurement id would name anything: neither class unchecked, and at least one of them matched."""
    if appraisal.unchecked_classes & {"firmware", "workload"}:
        return False
    return any(identity.scope in ("firmware", "workload") for identity in appraisal.matched)


def _require_form(
    appraisal: Appraisal,
    workload: Workload,
    *,
    issuer: str,
    nonce: bytes,
    sig_thumbprint: bytes,
    life_s: int,
    jti: str,
) -> None:
    """Refuse values that no correct caller hands in; each is a ``ValueError``."""
    _require(len(nonce) == NONCE_SIZE, "nonce", len(nonce), f"{NONCE_SIZE} bytes")
    _require(len(sig_thumbprint) == _THUMBPRINT_SIZE, "sig_thumbprint", len(sig_thumbprint), "32 bytes")
    _require(0 < life_s <= TOKEN_LIFE_MAX_S, "life_s", life_s, f"1 to {TOKEN_LIFE_MAX_S}")
    _require(_JTI.fullmatch(jti) is not None, "jti", jti, "16 to 64 characters of base64url")
    _require(
        issuer.startswith("https://") and issuer.endswith(f"/t/{workload.tenant}"), "issuer", issuer, "the tenant's"
    )
    _require(bool(workload.audience), "audience", workload.audience, "the name of exactly one Vault mount")
    _require(_UUID.fullmatch(workload.uuid) is not None, "uuid", workload.uuid, "a UUID in lower case")
    _require(workload.policy == appraisal.policy, "policy", appraisal.policy, workload.policy)
    _require(len(appraisal.policy_digest) == _DIGEST_SIZE, "policy_digest", len(appraisal.policy_digest), "32 bytes")
    _require(is_name(appraisal.scheme), "scheme", appraisal.scheme, "a scheme's name")
    _require(bool(appraisal.instance_kind and appraisal.instance_id), "instance", "nothing", "a kind and an id")
    _require(_WORD.fullmatch(appraisal.tcb_status) is not None, "tcb_status", appraisal.tcb_status, "one word")
    measurement = appraisal.measurement
    _require(not measurement or _HEX.fullmatch(measurement) is not None, "measurement", measurement, "lower-case hex")
    _require_honest(appraisal)


def _require_honest(appraisal: Appraisal) -> None:
    """Refuse a status better than the worst entry of the vector (draft-ietf-rats-ear-03 section 3.1)."""
    at_least = _worst(tuple(appraisal.vector.values()))
    rank = _STATUS_RANK[appraisal.ear_status]
    _require(rank >= at_least, "ear_status", appraisal.ear_status, f"no better than {dict(appraisal.vector)}")


@lru_cache(maxsize=1024)
def _worst(values: tuple[int, ...]) -> int:
    return max(map(_tier, values), default=0)


def _tier(value: int) -> int:
    if value not in _WARNING:
        return _STATUS_RANK["contraindicated"]
    return 0 if value in _AFFIRMING else _STATUS_RANK["warning"]


def _require(holds: bool, field: str, got: object, want: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not holds:
        raise ValueError(f"{field}: got {got!r}, want {want}")
