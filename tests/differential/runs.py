"""The comparisons by name, each over inputs of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cryptography

from tests.differential import chains, intel, snp, tpm
from tests.differential.comparing import Tally
from tests.support.oracles import Oracles, oracles


@dataclass(frozen=True, slots=True)
class Run:
    """One comparison: beside whom, and what runs it with a seed and a count."""

    peer: str
    start: Callable[[Oracles, int, int], Tally]


RUNS: Final[Mapping[str, Run]] = {
    "sev-snp vectors": Run("go-sev-guest 0.15.0", lambda o, _seed, _count: snp.run_vectors(o)),
    "sev-snp": Run("go-sev-guest 0.15.0", lambda o, seed, count: snp.run(o, seed=seed, count=count)),
    "tdx vectors": Run("dcap-qvl 0.7.0", lambda _o, _seed, _count: intel.run_vectors("tdx")),
    "sgx vectors": Run("dcap-qvl 0.7.0", lambda _o, _seed, _count: intel.run_vectors("sgx")),
    "tdx": Run("dcap-qvl 0.7.0", lambda _o, seed, count: intel.run_qvl("tdx", seed=seed, count=count)),
    "sgx": Run("dcap-qvl 0.7.0", lambda _o, seed, count: intel.run_qvl("sgx", seed=seed, count=count)),
    "tdx v4": Run("go-tdx-guest 0.3.2", lambda o, seed, count: intel.run_go(o, seed=seed, count=count)),
    "x509 chains": Run(
        f"cryptography {cryptography.__version__}", lambda _o, seed, count: chains.run(seed=seed, count=count)
    ),
    "tpm2 quotes": Run("go-tpm-tools 0.4.11", lambda o, seed, count: tpm.run_quotes(o, seed=seed, count=count)),
    "event logs": Run("go-eventlog 0.0.2", lambda o, seed, count: tpm.run_logs(o, seed=seed, count=count)),
}


def run_all(binary: Path, *, seed: int, count: int) -> dict[str, Tally]:
    """Run every comparison, one after the other, beside one process of oracles."""
    with oracles(binary) as process:
        return {name: run.start(process, seed, count) for name, run in RUNS.items()}
