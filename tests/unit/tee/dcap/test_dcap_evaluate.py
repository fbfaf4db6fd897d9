"""The evaluation of a TCB: Intel's algorithm, case by case (its Quote Verification Library, ``TcbLevelCheck`` and ``EvaluateTcb``)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from forge.intel import ForgedIntel
from forge.intel_documents import module_identity, svn_level, tcb_level
from verifier.formats.x509 import parse_certificate
from verifier.tee.dcap.collateral import QeIdentity, TcbInfo, parse_qe_identity, parse_tcb_info
from verifier.tee.dcap.evaluate import Evaluation, converge, evaluate, relaunch
from verifier.tee.dcap.pck import Pck, read_pck

NOW: Final = 1_800_000_000
INTEL: Final = ForgedIntel(now=NOW)
PCK: Final = read_pck(parse_certificate(INTEL.pck(), "test"), "test")
HIGH: Final = PCK.components
TDX: Final = (0,) * 16


def _info(levels: list[dict[str, Any]] | None = None, **changes: Any) -> TcbInfo:
    given: dict[str, Any] = {} if levels is None else {"levels": levels}
    return parse_tcb_info(INTEL.signed_tcb_info("tdx", **given, **changes), "test")


def _qe(*levels: dict[str, Any]) -> QeIdentity:
    return parse_qe_identity(INTEL.signed_qe_identity("tdx", levels=list(levels)), "test")


GOOD_QE: Final = _qe(svn_level(4, "UpToDate"), svn_level(2, "OutOfDate", date_text="2020-01-01T00:00:00Z"))


def _svn(module: int = 5, version: int = 1, third: int = 3) -> bytes:
    return bytes((module, version, third, *(0,) * 13))


def _modules(status: str = "UpToDate") -> tuple[dict[str, Any], ...]:
    return (module_identity(1, [svn_level(5, status), svn_level(3, "OutOfDate", advisories=("INTEL-SA-9",))]),)


def _level(status: str, comps: tuple[int, ...] = HIGH, tdx: tuple[int, ...] = TDX, **more: Any) -> dict[str, Any]:
    return tcb_level(status, comps, PCK.pcesvn, tdx=tdx, **more)


def _judge(info: TcbInfo, svn: bytes, svn2: bytes | None = None, *, qe_svn: int = 4, pck: Pck = PCK) -> Evaluation:
    return evaluate(info, GOOD_QE, pck, qe_svn, svn, svn2)


@pytest.mark.parametrize(
    ("platform", "others", "want"),
    [
        ("UpToDate", ["UpToDate"], "UpToDate"),
        ("UpToDate", ["OutOfDate"], "OutOfDate"),
        ("SWHardeningNeeded", ["UpToDate", "OutOfDate"], "OutOfDate"),
        ("SWHardeningNeeded", ["UpToDate"], "SWHardeningNeeded"),
        ("ConfigurationNeeded", ["OutOfDate"], "OutOfDateConfigurationNeeded"),
        ("ConfigurationAndSWHardeningNeeded", ["OutOfDate"], "OutOfDateConfigurationNeeded"),
        ("ConfigurationAndSWHardeningNeeded", ["UpToDate"], "ConfigurationAndSWHardeningNeeded"),
        ("OutOfDateConfigurationNeeded", ["OutOfDate"], "OutOfDateConfigurationNeeded"),
        ("OutOfDate", ["UpToDate"], "OutOfDate"),
        ("OutOfDate", ["Revoked"], "Revoked"),
        ("Revoked", ["UpToDate"], "Revoked"),
        ("UpToDate", [], "UpToDate"),
    ],
)
def test_statuses_converge(platform: str, others: list[str], want: str) -> None:
    assert converge(platform, others) == want


@pytest.mark.parametrize(
    ("launch", "current", "want"),
    [
        ("UpToDate", "UpToDate", "UpToDate"),
        ("OutOfDate", "UpToDate", "TDRelaunchAdvised"),
        ("OutOfDate", "SWHardeningNeeded", "TDRelaunchAdvised"),
        ("OutOfDate", "ConfigurationNeeded", "TDRelaunchAdvisedConfigurationNeeded"),
        ("OutOfDateConfigurationNeeded", "UpToDate", "TDRelaunchAdvisedConfigurationNeeded"),
        ("OutOfDateConfigurationNeeded", "ConfigurationAndSWHardeningNeeded", "TDRelaunchAdvisedConfigurationNeeded"),
        ("OutOfDate", "OutOfDate", "OutOfDate"),
        ("UpToDate", "OutOfDate", "UpToDate"),
        ("NotSupported", "UpToDate", "NotSupported"),
        ("UpToDate", "NotSupported", "NotSupported"),
        ("Revoked", "UpToDate", "Revoked"),
        ("UpToDate", "Revoked", "Revoked"),
    ],
)
def test_a_relaunch_is_advised_where_the_module_was_updated_live(launch: str, current: str, want: str) -> None:
    assert relaunch(launch, current) == want


def test_the_first_level_in_file_order_counts() -> None:
    zeros = (0,) * 16
    info = _info([_level("SWHardeningNeeded", zeros), _level("UpToDate")], modules=_modules())
    got = _judge(info, _svn())
    assert (got.level_index, got.status) == (0, "SWHardeningNeeded")


@pytest.mark.parametrize("place", range(16))
def test_each_component_of_the_certificate_counts(place: int) -> None:
    wanted = tuple(min(255, have + (at == place)) for at, have in enumerate(HIGH))
    if wanted == HIGH:
        pytest.skip("component is 255 already")
    got = _judge(_info([_level("UpToDate", wanted)], modules=_modules()), _svn())
    assert (got.status, got.level_index, got.date, got.advisories) == ("NotSupported", None, None, ())


def test_the_pcesvn_counts() -> None:
    level = tcb_level("UpToDate", HIGH, PCK.pcesvn + 1, tdx=TDX)
    assert _judge(_info([level], modules=_modules()), _svn()).status == "NotSupported"


def test_a_module_with_a_version_is_not_judged_by_the_first_two_components() -> None:
    info = _info([_level("UpToDate", tdx=(255, 255, 3, *(0,) * 13))], modules=_modules())
    assert _judge(info, _svn()).status == "UpToDate"
    assert _judge(info, _svn(third=2)).status == "NotSupported"


def test_a_module_of_version_zero_is_judged_by_all_components() -> None:
    info = _info([_level("UpToDate", tdx=(5, 0, 3, *(0,) * 13))], modules=_modules())
    got = _judge(info, _svn(version=0))
    assert got.status == "UpToDate"
    assert got.module is not None
    assert (got.module.id, got.module.isvsvn, got.module.status) == ("TDX_00(tdxModule)", None, None)
    assert _judge(info, _svn(module=4, version=0)).status == "NotSupported"


def test_an_unknown_module_is_not_supported() -> None:
    got = _judge(_info([_level("UpToDate")], modules=_modules()), _svn(version=2))
    assert (got.status, got.level_status, got.module) == ("NotSupported", "UpToDate", None)


def test_a_module_below_its_lowest_level_is_not_supported() -> None:
    assert _judge(_info([_level("UpToDate")], modules=_modules()), _svn(module=2)).status == "NotSupported"


def test_an_old_module_makes_the_platform_out_of_date_and_adds_its_advisories() -> None:
    info = _info([_level("UpToDate", advisories=("INTEL-SA-1",))], modules=_modules())
    got = _judge(info, _svn(module=3))
    assert (got.status, got.level_status, got.advisories) == ("OutOfDate", "UpToDate", ("INTEL-SA-1", "INTEL-SA-9"))


def test_an_old_qe_makes_the_platform_out_of_date_and_its_date_older() -> None:
    got = _judge(_info([_level("UpToDate")], modules=_modules()), _svn(), qe_svn=3)
    assert (got.status, got.qe_status) == ("OutOfDate", "OutOfDate")
    assert got.date is not None
    assert got.date.text == "2020-01-01T00:00:00Z"


def test_a_qe_below_its_lowest_level_is_not_supported() -> None:
    got = _judge(_info([_level("UpToDate")], modules=_modules()), _svn(), qe_svn=1)
    assert (got.status, got.qe_status) == ("NotSupported", None)


def test_a_live_update_is_seen_in_both_statuses() -> None:
    got = _judge(_info([_level("UpToDate")], modules=_modules()), _svn(module=3), _svn())
    assert (got.status, got.current_status) == ("TDRelaunchAdvised", "UpToDate")


def test_evaluation_does_not_mix_certificates_up() -> None:
    info = _info([_level("UpToDate")], modules=_modules())
    assert _judge(info, _svn()).status == "UpToDate"
    lower = replace(PCK, components=tuple(0 for _ in HIGH))
    assert _judge(info, _svn(), pck=lower).status == "NotSupported"
