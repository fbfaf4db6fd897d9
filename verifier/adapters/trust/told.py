"""What the log says of trust documents: each change of the set in force, each folder that is refused, each removal that waits."""

from __future__ import annotations

from typing import Any

from verifier.adapters.trust.compiling import Standing
from verifier.core.ids import TrustId
from verifier.formats.errors import ConfigError, TrustRefused

_MOST_NAMES = 20


def tell_change(log: Any, standing: Standing) -> None:
    """Say what was taken just now; nothing where nothing was."""
    if standing.change is None:
        return
    change = standing.change
    names = {kind: change[kind][:_MOST_NAMES] for kind in ("added", "removed", "changed")}
    log.info(
        "trust-compiled",
        number=standing.number,
        digest=standing.digest,
        folder=standing.folder,
        before=change["before"],
        manifest=change["manifest"],
        meant=change["meant"],
        counts=dict(standing.counts),
        **names,
        count=change["count"],
    )


def tell_removal(log: Any, standing: Standing) -> None:
    """Say which documents are gone from the folder and stay in force for a while."""
    if standing.kept:
        log.warning(
            "trust-removal-waits",
            check_id=str(TrustId.REMOVAL),
            folder=standing.folder,
            digest=standing.digest,
            documents=sorted(standing.kept)[:_MOST_NAMES],
            count=len(standing.kept),
            until_ms=min(standing.kept.values()),
        )


def tell_refused(log: Any, error: ConfigError, in_force: str = "") -> None:
    """Say that a folder is not taken, why, and which set stays in force. ``in_force``: its digest, where the error does not know."""
    log.error(
        "trust-refused",
        check_id=refusal_id(error),
        where=error.where,
        key=error.key,
        got=str(error.got),
        want=error.want,
        folder=error.digest if isinstance(error, TrustRefused) else "",
        in_force=error.in_force if isinstance(error, TrustRefused) else in_force,
    )


def refusal_id(error: ConfigError) -> str:
    """Return the check id of a folder that is not taken."""
    return error.check_id if isinstance(error, TrustRefused) else str(TrustId.BROKEN)
