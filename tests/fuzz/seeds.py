"""Well-formed inputs of every target, made by the forged vendors: what a corpus begins with, and what surrounds a fuzzed part."""

from __future__ import annotations

from functools import cache

from forge.bootlog import measured_boot
from forge.sev_snp import ForgedAmd
from forge.tpm2 import make_tpm
from tests.fuzz import artifacts, aws, boot, clouds, devices, intel

NOW = 1_790_000_000


@cache
def parts(scheme: str) -> dict[str, bytes]:
    """Return the parts of one wholesome evidence."""
    if scheme == "sev-snp":
        return {"report": ForgedAmd("Milan", now=NOW).report(report_data=bytes(64))}
    if scheme in ("aws-nitro", "aws-nitrotpm"):
        return aws.parts("aws-nitro" if scheme == "aws-nitro" else "aws-nitrotpm")
    if scheme in ("nvidia-gpu", "arm-cca"):
        return devices.parts("nvidia-gpu" if scheme == "nvidia-gpu" else "arm-cca")
    if scheme in clouds.CLOUDS:
        return clouds.parts(next(cloud for cloud in clouds.CLOUDS if cloud == scheme))
    if scheme in ("sgx", "tdx"):
        return intel.parts("sgx" if scheme == "sgx" else "tdx")
    machine = make_tpm("rsa", label="fuzz").booted(measured_boot()).measured(boot.small_list())
    return dict(machine.parts(bytes(32), tuple(range(11))))


@cache
def seeds() -> dict[str, bytes]:
    """Return one input per target."""
    chip, tpm = ForgedAmd("Milan", now=NOW), parts("tpm2")
    return {
        "certificate": chip.vek(),
        "crl": chip.crl(revoked=(7,)),
        "sev-snp-report": parts("sev-snp")["report"],
        "tpm2-quote": tpm["quote"],
        "tpm2-quote-sig": tpm["quote_sig"],
        "tpm2-pcrs": tpm["pcrs"],
        "tpm2-public": make_tpm("rsa", label="fuzz").ak_public,
        "event-log": tpm["eventlog"],
        "tpm2-ima": tpm["ascii_runtime_measurements"],
        **boot.seeds(),
        **intel.seeds(),
        **devices.seeds(),
        **aws.seeds(),
        **clouds.seeds(),
        **artifacts.seeds(),
        "documents-yaml": b'document: identity\nname: "a"\n---\nx: [1, true, null]\n',
        "documents-json": b'{"document": "identity", "values": {"a": [1, true]}}',
        "wire-challenge": b'{"tenant":"default","workload":"web"}',
        "wire-request": b"eyJhbGciOiJFUzI1NiIsInR5cCI6InZhYi1yZXF1ZXN0K2p3cyJ9.e30.AA",
        "answer": b"eyJhbGciOiJFQ0RILUVTIn0..AA.AA.AA",
    }
