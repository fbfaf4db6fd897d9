"""The TCB evaluation against a second reading of the same algorithm (Intel's Quote Verification Library), written the slow way."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.intel_documents import module_identity, svn_level, tcb_level
from tests.vectors.dcap.forging import INTEL
from tests.vectors.dcap.tcb import WORDS
from verifier.formats.x509 import parse_certificate
from verifier.tee.dcap.collateral import parse_qe_identity, parse_tcb_info
from verifier.tee.dcap.evaluate import evaluate
from verifier.tee.dcap.pck import Pck, read_pck

pytestmark = pytest.mark.slow

LEVELS = (*WORDS[:6], "Revoked")
OLD = ("OutOfDate", "OutOfDateConfigurationNeeded")
PCK = read_pck(parse_certificate(INTEL.pck(), "test"), "test")


def slow_converge(platform: str, others: list[str]) -> str:
    """Join as the text says, with Revoked first."""
    if "Revoked" in [platform, *others]:
        return "Revoked"
    if any(word in OLD for word in others):
        if platform in ("UpToDate", "SWHardeningNeeded"):
            return "OutOfDate"
        if platform in ("ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded"):
            return "OutOfDateConfigurationNeeded"
    return platform


def slow_status(info: dict[str, Any], qe: dict[str, Any], pck: dict[str, Any], qe_svn: int, tee: bytes | None) -> str:
    """Evaluate once, over the documents' own JSON."""
    level = None
    for one in info["tcbLevels"]:
        tcb = one["tcb"]
        fits = all(pck["comps"][i] >= tcb["sgxtcbcomponents"][i]["svn"] for i in range(16))
        fits = fits and pck["pcesvn"] >= tcb["pcesvn"]
        if tee is not None:
            first = 2 if tee[1] > 0 else 0
            fits = fits and all(tee[i] >= tcb["tdxtcbcomponents"][i]["svn"] for i in range(first, 16))
        if fits:
            level = one["tcbStatus"]
            break
    if level is None:
        return "NotSupported"
    others = []
    if tee is not None and tee[1] > 0:
        own = [m for m in info["tdxModuleIdentities"] if m["id"].upper() == f"TDX_{tee[1]:02X}"]
        matched = [one["tcbStatus"] for one in own[0]["tcbLevels"] if tee[0] >= one["tcb"]["isvsvn"]] if own else []
        if not matched:
            return "NotSupported"
        others.append(matched[0])
    matched = [one["tcbStatus"] for one in qe["tcbLevels"] if qe_svn >= one["tcb"]["isvsvn"]]
    if not matched:
        return "NotSupported"
    return slow_converge(level, [*others, matched[0]])


def slow_relaunch(launch: str, current: str) -> str:
    """Join the two evaluations of a TD report 1.5. Revoked wins, where the text leaves the launch's word: the stricter reading."""
    if "NotSupported" in (launch, current):
        return "NotSupported"
    if "Revoked" in (launch, current):
        return "Revoked"
    if launch in OLD and current not in OLD:
        return "TDRelaunchAdvised" + ("ConfigurationNeeded" if "Configuration" in launch + current else "")
    return launch


# Few values, so that levels match about as often as not.
few = st.integers(0, 2)
words = st.sampled_from(LEVELS)


def components() -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(few, min_size=3, max_size=3).map(lambda head: (*head, *(0,) * 12, head[0]))


def levels(*, tdx: bool) -> st.SearchStrategy[list[dict[str, Any]]]:
    one = st.builds(lambda word, comps, pce, more: tcb_level(word, comps, pce, tdx=more if tdx else None),
                    words, components(), few, components())  # fmt: skip
    return st.lists(one, max_size=5)


svn_levels = st.lists(st.builds(svn_level, few, words), max_size=3)
modules = st.lists(st.tuples(st.integers(1, 3), svn_levels), max_size=3, unique_by=lambda m: m[0]).map(
    lambda found: [module_identity(version, own) for version, own in found]
)
svn16 = st.tuples(few, st.integers(0, 3), components()).map(lambda p: bytes((p[0], p[1], *p[2][2:])))


def _pck(comps: tuple[int, ...], pcesvn: int) -> Pck:
    return Pck(**{**{n: getattr(PCK, n) for n in Pck.__dataclass_fields__}, "components": comps, "pcesvn": pcesvn})


@settings(max_examples=600)
@given(levels(tdx=False), svn_levels, components(), few, few)
def test_an_enclaves_platform(
    found: list[dict[str, Any]], of_qe: list[dict[str, Any]], comps: tuple[int, ...], pcesvn: int, qe_svn: int
) -> None:
    info, qe = INTEL.tcb_info("sgx", levels=found), INTEL.qe_identity("sgx", levels=of_qe)
    got = evaluate(
        parse_tcb_info(INTEL.signed_tcb_info("sgx", info), "test"),
        parse_qe_identity(INTEL.signed_qe_identity("sgx", qe), "test"),
        _pck(comps, pcesvn), qe_svn, None, None,
    )  # fmt: skip
    assert got.status == slow_status(info, qe, {"comps": comps, "pcesvn": pcesvn}, qe_svn, None)


@settings(max_examples=600)
@given(levels(tdx=True), modules, svn_levels, components(), st.tuples(few, few), svn16, st.none() | svn16)
def test_a_trust_domains_platform(
    found: list[dict[str, Any]],
    identities: list[dict[str, Any]],
    of_qe: list[dict[str, Any]],
    comps: tuple[int, ...],
    svns: tuple[int, int],
    launch: bytes,
    current: bytes | None,
) -> None:
    pcesvn, qe_svn = svns
    info = INTEL.tcb_info("tdx", levels=found, modules=identities)
    qe = INTEL.qe_identity("tdx", levels=of_qe)
    got = evaluate(
        parse_tcb_info(INTEL.signed_tcb_info("tdx", info), "test"),
        parse_qe_identity(INTEL.signed_qe_identity("tdx", qe), "test"),
        _pck(comps, pcesvn), qe_svn, launch, current,
    )  # fmt: skip
    pck = {"comps": comps, "pcesvn": pcesvn}
    want = slow_status(info, qe, pck, qe_svn, launch)
    if current is not None:
        want = slow_relaunch(want, slow_status(info, qe, pck, qe_svn, current))
    assert got.status == want
