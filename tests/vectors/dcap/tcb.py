"""Vectors of the TCB: genuine platforms in every state, each judged by exactly that word.

A state that can be accepted has two vectors: accepted where only that word is allowed, refused where all others are. One that
never can (Revoked, NotSupported) is refused where all are allowed. So a wrong word fails whichever way it is wrong. The word
stands in ``comment`` too, where tests/unit/tee/dcap reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from forge.intel import MODULE_SVN, ForgedIntel
from forge.intel_documents import module_identity, svn_level, tcb_level
from forge.intel_quote import Shape
from tests.support.vectors import Vector
from tests.vectors.dcap.forging import INTEL, NOW, PROCESSOR, Forge
from verifier.tee.dcap import layout

STATUS_RULE: Final = "tcb.status"
SUPPORTED_RULE: Final = "tcb.supported"
WORDS: Final = (
    "UpToDate",
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "OutOfDate",
    "OutOfDateConfigurationNeeded",
    "TDRelaunchAdvised",
    "TDRelaunchAdvisedConfigurationNeeded",
)
_COMPS: Final = tuple(svn or 0 for svn in INTEL.platform.comps)


def state(forge: Forge, name: str, word: str, **told: Any) -> list[Vector]:
    """Return the vectors that pin a platform's state to one word."""
    if word not in WORDS:
        values = {STATUS_RULE: list(WORDS)}
        return [forge.vector(name, "rejected", SUPPORTED_RULE, values=values, comment=word, **told)]
    others = [w for w in WORDS if w != word]
    return [
        forge.vector(name, values={STATUS_RULE: [word]}, comment=word, **told),
        forge.vector(f"{name}-refused", "rejected", STATUS_RULE, values={STATUS_RULE: others}, comment=word, **told),
    ]


def levels(forge: Forge, **changes: Any) -> dict[str, bytes]:
    """Return collateral with another TCB info; ``changes`` as in ``ForgedIntel.tcb_info``."""
    return forge.collateral(tcb_info=INTEL.signed_tcb_info(forge.tee, **changes))


def with_qe(forge: Forge, status: str, qe: str) -> dict[str, bytes]:
    """Return collateral in which the platform's level and the QE's have these states."""
    identity = INTEL.signed_qe_identity(forge.tee, status=qe)
    return forge.collateral(tcb_info=INTEL.signed_tcb_info(forge.tee, status=status), qe_identity=identity)


def _of(platform: Mapping[str, Any]) -> ForgedIntel:
    return ForgedIntel(now=NOW, **platform)


def platform_states(forge: Forge) -> list[Vector]:
    """States of the platform and its quoting enclave: the same for enclaves and trust domains."""
    found: list[Vector] = []
    for word in (*WORDS[:6], "Revoked"):
        found += state(forge, f"platform-{word.lower()}", word, collateral=levels(forge, status=word))
    both = {
        ("UpToDate", "OutOfDate"): "OutOfDate",
        ("SWHardeningNeeded", "OutOfDate"): "OutOfDate",
        ("ConfigurationNeeded", "OutOfDate"): "OutOfDateConfigurationNeeded",
        ("ConfigurationAndSWHardeningNeeded", "OutOfDate"): "OutOfDateConfigurationNeeded",
        ("OutOfDate", "OutOfDate"): "OutOfDate",
        ("OutOfDateConfigurationNeeded", "OutOfDate"): "OutOfDateConfigurationNeeded",
        ("UpToDate", "Revoked"): "Revoked",
        ("OutOfDate", "Revoked"): "Revoked",
        ("Revoked", "OutOfDate"): "Revoked",
    }
    for (own, qe), word in both.items():
        name = f"platform-{own.lower()}-qe-{qe.lower()}"
        found += state(forge, name, word, collateral=with_qe(forge, own, qe))
    tdx = (MODULE_SVN, 0, 3, *(0,) * 13) if forge.tee == "tdx" else None
    twice = [tcb_level(word, _COMPS, 13, tdx=tdx) for word in ("OutOfDate", "UpToDate")]
    lower = (*_COMPS[:7], _COMPS[7] - 1, *_COMPS[8:])
    matches: dict[str, tuple[str, dict[str, Any]]] = {
        "component-8-below-every-level": ("NotSupported", {"comps": lower}),
        "component-16-above": ("UpToDate", {"comps": (*_COMPS[:15], 1)}),
        "components-of-the-older-level": ("OutOfDate", {"comps": (4, *_COMPS[1:])}),
        "components-between": ("OutOfDate", {"comps": (4, 255, *_COMPS[2:])}),
        "pcesvn-of-the-older-level": ("OutOfDate", {"pcesvn": 12}),
        "pcesvn-below-every-level": ("NotSupported", {"pcesvn": 10}),
        # The component SVNs of the certificate count, not its raw CPUSVN.
        "cpusvn-high-components-low": ("OutOfDate", {"comps": (4, *_COMPS[1:]), "cpusvn": b"\xff" * 16}),
        "cpusvn-zero": ("UpToDate", {"cpusvn": bytes(16)}),
    }
    for name, (word, platform) in matches.items():
        intel = _of(platform)
        found += state(forge, name, word, intel=intel, collateral=forge.collateral(intel))
    return [
        *found,
        # Nor does the CPUSVN of the report: the QE quotes under the certificate's TCB.
        *_reported_cpusvn(forge),
        *state(forge, "first-match-in-file-order", "OutOfDate", collateral=levels(forge, levels=twice)),
        *state(forge, "no-level-at-all", "NotSupported", collateral=levels(forge, levels=[])),
        *state(forge, "qe-isvsvn-of-the-older-level", "OutOfDate", shape=Shape(qe={"isvsvn": _qe_svn(forge) - 1})),
        *state(forge, "qe-isvsvn-below-every-level", "NotSupported", shape=Shape(qe={"isvsvn": 0})),
        *state(forge, "qe-isvsvn-above", "UpToDate", shape=Shape(qe={"isvsvn": 65535})),
        *state(forge, "processor-ca-up-to-date", "UpToDate", intel=PROCESSOR),
    ]


def _qe_svn(forge: Forge) -> int:
    return int(INTEL.quoting_enclave(forge.tee)["isvsvn"])


def _reported_cpusvn(forge: Forge) -> list[Vector]:
    if forge.tee == "tdx":
        return state(forge, "qe-cpusvn-zero", "UpToDate", shape=Shape(qe={"cpusvn": bytes(16)}))
    return state(forge, "report-cpusvn-zero", "UpToDate", fields={"cpusvn": bytes(16)})


def module_states(forge: Forge) -> list[Vector]:
    """States of the TDX module, and of a domain whose module was updated under it (``tdx`` alone)."""

    def svn(*first: int) -> bytes:
        return bytes(first) + bytes(16 - len(first))

    def module(name: str, word: str, *first: int, **changes: Any) -> list[Vector]:
        told: dict[str, Any] = {"collateral": levels(forge, **changes)} if changes else {}
        return state(forge, name, word, fields={"tee_tcb_svn": svn(*first)}, **told)

    current = module_identity(1, INTEL.module_levels())
    revoked = [module_identity(1, [svn_level(MODULE_SVN, "UpToDate"), svn_level(4, "Revoked")])]
    own = INTEL.levels("tdx")
    high = [tcb_level("UpToDate", _COMPS, 13, tdx=(99, 99, 3, *(0,) * 13)), own[1]]
    strict = [tcb_level("UpToDate", _COMPS, 13, tdx=(0, 1, 3, *(0,) * 13)), own[1]]
    late = [tcb_level("UpToDate", _COMPS, 13, tdx=(5, 0, 3, *(0,) * 12, 1)), own[1]]
    return [
        *module("module-current", "UpToDate", 5, 1, 3),
        *module("module-newer", "UpToDate", 200, 1, 3),
        *module("module-older", "OutOfDate", 4, 1, 3),
        *module("module-svn-below-every-level", "NotSupported", 3, 1, 3),
        *module("module-version-without-identity", "NotSupported", 5, 2, 3),
        *module("module-version-3", "UpToDate", 3, 3, 3),
        *module("module-revoked", "Revoked", 4, 1, 3, modules=revoked),
        *module("module-id-in-lower-case", "UpToDate", 5, 1, 3, modules=[{**current, "id": "tdx_01"}]),
        *module("module-identities-none", "NotSupported", 5, 1, 3, modules=[]),
        *module("module-older-configuration", "OutOfDateConfigurationNeeded", 4, 1, 3, status="ConfigurationNeeded"),
        # Version 0 is judged by the level's first two components, later ones by their identity and not by those.
        *module("module-version-0", "UpToDate", 5, 0, 3),
        *module("module-version-0-older", "OutOfDate", 4, 0, 3),
        *module("module-version-0-below-the-level", "OutOfDate", 5, 0, 3, levels=strict),
        *module("module-version-1-passes-over-components-1-and-2", "UpToDate", 5, 1, 3, levels=high),
        *module("microcode-of-the-older-level", "OutOfDate", 5, 1, 2),
        *module("microcode-below-every-level", "NotSupported", 5, 1, 1),
        *module("component-16-of-the-older-level", "OutOfDate", 5, 1, 3, levels=late),
        *_relaunch(forge),
    ]


def _relaunch(forge: Forge) -> list[Vector]:
    """TD reports 1.5: what was launched, and what runs now."""
    old, new, gone = ((n, 1, 3) for n in (4, 5, 3))
    cases: dict[str, tuple[str, tuple[int, ...], tuple[int, ...], str]] = {
        "same": ("UpToDate", new, new, "UpToDate"),
        "updated-under-it": ("TDRelaunchAdvised", old, new, "UpToDate"),
        "updated-and-hardening": ("TDRelaunchAdvised", old, new, "SWHardeningNeeded"),
        "updated-and-configuration": ("TDRelaunchAdvisedConfigurationNeeded", old, new, "ConfigurationNeeded"),
        "updated-and-both": ("TDRelaunchAdvisedConfigurationNeeded", old, new, "ConfigurationAndSWHardeningNeeded"),
        "not-updated": ("OutOfDate", old, old, "UpToDate"),
        "of-a-platform-out-of-date": ("OutOfDate", old, new, "OutOfDate"),
        "of-a-revoked-platform": ("Revoked", old, new, "Revoked"),
        "current-is-older": ("UpToDate", new, old, "UpToDate"),
        "current-not-supported": ("NotSupported", new, gone, "UpToDate"),
        "launch-not-supported": ("NotSupported", gone, new, "UpToDate"),
        "current-module-unknown": ("NotSupported", new, (5, 9, 3), "UpToDate"),
        "current-microcode-older": ("UpToDate", new, (5, 1, 2), "UpToDate"),
        "launch-microcode-older": ("TDRelaunchAdvised", (5, 1, 2), new, "UpToDate"),
    }
    found: list[Vector] = []
    for name, (word, launch, current, status) in cases.items():
        svns = {"tee_tcb_svn": bytes(launch) + bytes(13), "tee_tcb_svn2": bytes(current) + bytes(13)}
        found += state(
            forge,
            f"relaunch-{name}",
            word,
            shape=Shape(version=5, body_type=layout.BODY_TD_15),
            fields=svns,
            collateral=levels(forge, status=status),
        )
    return found
