"""Which TCB status a platform has: Intel's algorithm over documents that were verified. Pure.

Source: Intel QVL (confidential-computing.tee.dcap.qvl), ``TcbLevelCheck``, ``EvaluateTcb``, ``TDRelaunchCheck``.
A platform that matches no level is ``NotSupported``: a verdict of its own, neither malformed nor out of date.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, get_args

from verifier.tee.dcap.collateral import (
    REVOKED,
    Date,
    EnclaveLevel,
    LevelStatus,
    Module,
    QeIdentity,
    RelaunchStatus,
    TcbInfo,
    TcbLevel,
)
from verifier.tee.dcap.decode import TdReport
from verifier.tee.dcap.pck import Pck

# Every word that an evaluation can end with. The last two can never be accepted by an identity.
ACCEPTABLE: Final[tuple[str, ...]] = (*get_args(LevelStatus), *get_args(RelaunchStatus))
NEVER: Final = (REVOKED, "NotSupported")
STATUSES: Final = (*ACCEPTABLE, *NEVER)

_OLD: Final = frozenset({"OutOfDate", "OutOfDateConfigurationNeeded"})
_FRESH: Final = frozenset({"UpToDate", "SWHardeningNeeded", "ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded"})


@dataclass(frozen=True, slots=True)
class ModuleState:
    """Which TDX module; ``isvsvn`` and ``status`` are ``None`` for version 0, which the platform's level covers."""

    id: str
    isvsvn: int | None
    status: str | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the documents say of the platform, under the names of published cases."""

    status: str
    level_status: str
    level_index: int | None
    date: Date | None
    advisories: tuple[str, ...]
    qe_status: str | None
    module: ModuleState | None
    current_status: str | None  # TD report 1.5: with TEE_TCB_SVN2
    evaluation_number: int
    qe_evaluation_number: int


@dataclass(frozen=True, slots=True)
class _Parts:
    level: TcbLevel | None
    index: int | None
    module: ModuleState | None
    module_level: EnclaveLevel | None
    qe_level: EnclaveLevel | None
    status: str


def find_module(tcb_info: TcbInfo, tee_tcb_svn: bytes) -> Module | None:
    """Return the identity of the module that a TD reports: ``tdxModule`` for version 0, ``None`` for an unknown one."""
    version = tee_tcb_svn[1]
    if version == 0:
        return tcb_info.module
    wanted = f"TDX_{version:02X}"
    return next((module for module in tcb_info.modules if module.id == wanted), None)


def _platform_level(tcb_info: TcbInfo, pck: Pck, tee_tcb_svn: bytes | None) -> tuple[int, TcbLevel] | None:
    # A module with an identity of its own (version 1 and later) is judged by that, not by the first two components.
    first = 2 if tee_tcb_svn is not None and tee_tcb_svn[1] > 0 else 0
    for index, level in enumerate(tcb_info.levels):
        if pck.pcesvn < level.pcesvn or any(
            have < want for have, want in zip(pck.components, level.components, strict=True)
        ):
            continue
        if tee_tcb_svn is not None:
            wanted = level.tdx_components or ()
            if len(wanted) != len(tee_tcb_svn) or any(
                have < want for have, want in zip(tee_tcb_svn[first:], wanted[first:], strict=True)
            ):
                continue
        return index, level
    return None


def _first(levels: Iterable[EnclaveLevel], isvsvn: int) -> EnclaveLevel | None:
    return next((level for level in levels if isvsvn >= level.isvsvn), None)


def converge(platform: str, others: Iterable[str]) -> str:
    """Join the platform's status with those of module and QE (``EvaluateTcb``)."""
    seen = {*others}
    if platform == "Revoked" or "Revoked" in seen:
        return "Revoked"
    if not seen & _OLD:
        return platform
    if platform in ("UpToDate", "SWHardeningNeeded"):
        return "OutOfDate"
    if platform in ("ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded"):
        return "OutOfDateConfigurationNeeded"
    return platform


def relaunch(launch: str, current: str) -> str:
    """Join the status at launch with the current one of a TD whose module was updated live (``TDRelaunchCheck``)."""
    if "NotSupported" in (launch, current):
        return "NotSupported"
    if "Revoked" in (launch, current):
        return "Revoked"
    if launch in _OLD and current in _FRESH:
        needs = any("Configuration" in status for status in (launch, current))
        return "TDRelaunchAdvisedConfigurationNeeded" if needs else "TDRelaunchAdvised"
    return launch


def _evaluate(tcb_info: TcbInfo, qe: QeIdentity, pck: Pck, qe_svn: int, tee_tcb_svn: bytes | None) -> _Parts:
    found = _platform_level(tcb_info, pck, tee_tcb_svn)
    if found is None:
        return _Parts(None, None, None, None, None, "NotSupported")
    index, level = found
    others: list[str] = []
    module_state, module_level = None, None
    if tee_tcb_svn is not None:
        module = find_module(tcb_info, tee_tcb_svn)
        if module is None:
            return _Parts(level, index, None, None, None, "NotSupported")
        module_state = ModuleState("TDX_00(tdxModule)", None, None)
        if tee_tcb_svn[1]:
            module_level = _first(module.levels, tee_tcb_svn[0])
            status = module_level.status if module_level is not None else "NotSupported"
            module_state = ModuleState(module.id, tee_tcb_svn[0], status)
            others.append(status)
    qe_level = _first(qe.levels, qe_svn)
    others.append(qe_level.status if qe_level is not None else "NotSupported")
    status = "NotSupported" if "NotSupported" in others else converge(level.status, others)
    return _Parts(level, index, module_state, module_level, qe_level, status)


@lru_cache(maxsize=4096)
def evaluate(
    tcb_info: TcbInfo, qe: QeIdentity, pck: Pck, qe_svn: int, tee_tcb_svn: bytes | None, tee_tcb_svn2: bytes | None
) -> Evaluation:
    """Evaluate a platform; the documents, known by identity, must have been verified. Remembered: all of it are arguments."""
    parts = _evaluate(tcb_info, qe, pck, qe_svn, tee_tcb_svn)
    status, current = parts.status, None
    if tee_tcb_svn2 is not None:
        current = _evaluate(tcb_info, qe, pck, qe_svn, tee_tcb_svn2).status
        status = relaunch(status, current)
    used = [level for level in (parts.level, parts.module_level, parts.qe_level) if level is not None]
    dates = [level.date for level in used]
    return Evaluation(
        status=status,
        level_status=parts.level.status if parts.level is not None else "NotSupported",
        level_index=parts.index,
        date=min(dates, key=lambda date: date.seconds) if dates else None,
        advisories=tuple(sorted({advisory for level in used for advisory in level.advisories})),
        qe_status=None if parts.qe_level is None else parts.qe_level.status,
        module=parts.module,
        current_status=current,
        evaluation_number=tcb_info.evaluation_number,
        qe_evaluation_number=qe.evaluation_number,
    )


def svns_of(report: object) -> tuple[bytes | None, bytes | None]:
    """Return TEE_TCB_SVN and TEE_TCB_SVN2 of a TD report, ``None`` for what the body has not."""
    return (report.tee_tcb_svn, report.tee_tcb_svn2) if isinstance(report, TdReport) else (None, None)
