"""What of Intel's is fuzzed, beside the parts of quotes: signed documents, the PCK extension, CCEL logs and what lies beside them."""

from __future__ import annotations

from functools import cache
from typing import Any

from forge.intel import ForgedIntel
from forge.intel_cclog import ccel_acpi_table
from forge.intel_documents import Tee
from verifier.formats.errors import MalformedEvidence
from verifier.formats.x509 import Certificate, Extension, parse_certificate
from verifier.tee.ccel.decode import decode_acpi_table, decode_cc_log, decode_ima, rtmrs_of_quote, template_holds
from verifier.tee.dcap.collateral import parse_qe_identity, parse_tcb_info
from verifier.tee.dcap.layout import OID_SGX
from verifier.tee.dcap.pck import read_chain, read_pck

NOW = 1_790_000_000
INTEL = ForgedIntel(now=NOW)
IMA = b"2 " + b"00" * 48 + b" ima-ng sha384:" + b"11" * 48 + b" /usr/bin/a\n"


def parts(tee: Tee) -> dict[str, bytes]:
    """Return the parts of one wholesome evidence of that TEE."""
    quote = {"quote": INTEL.quote(tee, report_data=bytes(64))}
    return quote if tee == "sgx" else {**quote, "eventlog": INTEL.event_log.to_bytes()}


def seeds() -> dict[str, bytes]:
    """Return one input per target."""
    return {
        "sgx-quote": parts("sgx")["quote"],
        "tdx-quote": parts("tdx")["quote"],
        "tdx-eventlog": parts("tdx")["eventlog"],
        "intel-tcb-info": INTEL.signed_tcb_info("tdx"),
        "intel-tcb-info-v2": INTEL.signed_tcb_info("sgx", version=2),
        "intel-qe-identity": INTEL.signed_qe_identity("tdx"),
        "intel-pck-extension": INTEL.platform.extension().value,
        "intel-chain": INTEL.pck_chain(),
        "ccel-log": INTEL.event_log.to_bytes(),
        "ccel-acpi-table": ccel_acpi_table(),
        "ccel-quote": parts("tdx")["quote"],
        "ccel-ima": IMA,
    }


@cache
def _bare() -> Certificate:
    return parse_certificate(INTEL.pck(), "fuzz")


def pck_extension(data: bytes) -> None:
    """Read bytes as the extension of an otherwise wholesome certificate."""
    bare = _bare()
    kept: dict[str, Any] = {name: getattr(bare, name) for name in Certificate.__dataclass_fields__}
    kept["extensions"] = {**bare.extensions, OID_SGX: Extension(critical=False, value=data)}
    read_pck(Certificate(**kept), "fuzz")


def tcb_info(data: bytes) -> None:
    """Read TCB info; what was signed has to be a part of what came."""
    if parse_tcb_info(data, "fuzz").signed.body not in data:
        raise AssertionError("TCB info: the signed bytes are not in the document")


def qe_identity(data: bytes) -> None:
    """Read a QE identity; what was signed has to be a part of what came."""
    if parse_qe_identity(data, "fuzz").signed.body not in data:
        raise AssertionError("QE identity: the signed bytes are not in the document")


def ima(data: bytes) -> None:
    """Read an IMA list and check every entry's hash."""
    for entry in decode_ima(data):
        template_holds(entry)


def _only_malformed(reader: Any) -> Any:
    def target(data: bytes) -> None:
        try:
            reader(data)
        except MalformedEvidence:
            return

    return target


TARGETS = {
    name: _only_malformed(reader)
    for name, reader in {
        "intel-tcb-info": tcb_info,
        "intel-tcb-info-v2": tcb_info,
        "intel-qe-identity": qe_identity,
        "intel-pck-extension": pck_extension,
        "intel-chain": lambda data: read_chain(data, "fuzz", "chain"),
        "ccel-log": decode_cc_log,
        "ccel-acpi-table": decode_acpi_table,
        "ccel-quote": rtmrs_of_quote,
        "ccel-ima": ima,
    }.items()
}
