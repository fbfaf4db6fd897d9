"""Vectors of the rules that ``sgx`` and ``tdx`` share: whose platform, how new, which machine."""

from __future__ import annotations

from typing import Any, Final

from forge.intel import ForgedIntel
from forge.intel_documents import OLD_DATE, svn_level
from tests.support.vectors import Vector
from tests.vectors.dcap import documents, quotes, tcb
from tests.vectors.dcap.forging import INTEL, PROCESSOR, Forge
from tests.vectors.dcap.tcb import levels

ADVISORY: Final = "INTEL-SA-00615"


def chips(intel: ForgedIntel) -> list[str]:
    """Return the names of a machine."""
    platform = intel.platform
    found = [f"ppid:{(platform.ppid or b'').hex()}"]
    return found if platform.instance_id is None else [*found, f"piid:{platform.instance_id.hex()}"]


def everything(intel: ForgedIntel) -> dict[str, Any]:
    """Return values of every rule of the platform that an honest one satisfies."""
    return {
        "root": "simulated",
        "tcb.status": ["UpToDate"],
        "tcb.advisories.allowed": [],
        "tcb.advisories.refused": [ADVISORY],
        "tcb.date": "2024-11-13",
        "tcb.evaluation-number": 20,
        "chip.allow": [chips(intel)[0]],
        "chip.deny": ["piid:" + "11" * 16],
    }


def unwanted(forge: Forge) -> list[Vector]:
    """Genuine platforms that nobody wants: one a rule at least."""

    def no(name: str, rule: str, value: Any, **told: Any) -> Vector:
        return forge.vector(name, "rejected", rule, values={rule: value}, **told)

    mine, single = chips(INTEL), chips(PROCESSOR)
    tee = forge.tee
    hardening = levels(forge, levels=INTEL.levels(tee, "SWHardeningNeeded", advisories=(ADVISORY,)))
    # Both are genuine, both in force on the same day, and only the number says which is the newer one.
    in_force = {17: "SWHardeningNeeded", 19: "OutOfDate"}
    served = {n: levels(forge, status=status, evaluation=n) for n, status in in_force.items()}
    accepts = {"tcb.status": ["UpToDate", "SWHardeningNeeded"]}
    return [
        forge.vector("advisory-listed", collateral=hardening, values={"tcb.advisories.allowed": [ADVISORY, "X"]}),
        forge.vector("instance-listed", values={"chip.allow": [mine[1]]}),
        forge.vector("processor-listed", intel=PROCESSOR, values={"chip.allow": single}),
        forge.vector("evaluation-17", collateral=served[17], values=accepts),
        forge.vector("evaluation-19", "rejected", "tcb.status", collateral=served[19], values=accepts),
        no("evaluation-17-where-18-is-the-least", "tcb.evaluation-number", 18, collateral=served[17]),
        no("root-of-the-vendor-wanted", "root", "vendor"),
        no("advisory-open", "tcb.advisories.allowed", [], collateral=hardening),
        no("advisory-refused", "tcb.advisories.refused", [ADVISORY], collateral=hardening),
        no("tcb-date-old", "tcb.date", "2024-11-14"),
        # The date is the earliest of all levels that count: here the quoting enclave's.
        no("qe-date-old", "tcb.date", "2024-01-01", collateral=_old_qe(forge)),
        no("chip-not-listed", "chip.allow", ["ppid:" + "22" * 16, *single]),
        no("ppid-as-piid", "chip.allow", [f"piid:{mine[0].partition(':')[2]}"]),
        no("ppid-denied", "chip.deny", [mine[0]]),
        no("instance-denied", "chip.deny", [mine[1]]),
    ]


def _old_qe(forge: Forge) -> dict[str, bytes]:
    identity = INTEL.signed_qe_identity(forge.tee, levels=[svn_level(1, "UpToDate", date_text=OLD_DATE)])
    return forge.collateral(qe_identity=identity)


def every(forge: Forge) -> list[Vector]:
    """Return every vector that both schemes share."""
    makers = (
        quotes.accepted,
        quotes.malformed_quotes,
        quotes.malformed_chains,
        quotes.chain,
        quotes.signatures,
        documents.accepted,
        documents.missing,
        documents.malformed,
        documents.documents,
        documents.crls,
        documents.quoting_enclave,
        tcb.platform_states,
        unwanted,
    )
    return [vector for make in makers for vector in make(forge)]
