"""What a quote says, under the names of published cases. Unverified until ``run_checks`` has passed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from verifier.formats.errors import MalformedEvidence
from verifier.tee.dcap import layout
from verifier.tee.dcap.decode import Body, Quote, SgxReport, TdReport, decode_front
from verifier.tee.dcap.endorse import embedded_pck
from verifier.tee.dcap.evaluate import Evaluation
from verifier.tee.dcap.pck import Pck


def _sgx(report: SgxReport) -> dict[str, Any]:
    claims: dict[str, Any] = {
        name: getattr(report, name) for name in ("miscselect", "isvprodid", "isvsvn", "configsvn", "cet_attributes")
    }
    for name in (
        "cpusvn",
        "attributes",
        "mrenclave",
        "mrsigner",
        "report_data",
        "isvextprodid",
        "configid",
        "isvfamilyid",
    ):
        claims[name] = getattr(report, name).hex()
    return {**claims, "attr_flags": report.flags, "debug": report.is_debug}


def _td(report: TdReport) -> dict[str, Any]:
    claims: dict[str, Any] = {}
    for field in layout.TD_REPORT_15_EXTENDED.fields:
        value = getattr(report, field.name)
        if value is not None:
            claims[field.name] = value.hex()
    # Bit 0 alone is DEBUG; the group TUD (bits 0 to 7) is what the rule refuses.
    return {**claims, "debug": report.attribute(layout.TD_DEBUG)}


def pck_claims(pck: Pck) -> dict[str, Any]:
    """Say what Intel wrote into a PCK certificate."""
    claims: dict[str, Any] = {
        "ppid": pck.ppid.hex(),
        "pcesvn": pck.pcesvn,
        "cpusvn": pck.cpusvn.hex(),
        "comps": list(pck.components),
        "pceid": pck.pceid.hex(),
        "fmspc": pck.fmspc,
        "sgxtype": pck.sgx_type,
    }
    if pck.platform_instance_id is not None:
        claims["platform_instance_id"] = pck.platform_instance_id.hex()
    if pck.configuration is not None:
        claims["config"] = dict(pck.configuration)
    return claims


def _front(header: Mapping[str, Any], body_type: int, body: Body) -> dict[str, Any]:
    claims: dict[str, Any] = {
        "quote_version": header["version"],
        "tee_type": hex(header["tee_type"]),
        "att_key_type": header["att_key_type"],
        "body_type": body_type,
        "user_data": header["user_data"].hex(),
    }
    if header["version"] == 3:  # noqa: PLR2004 - later versions reserve the places
        claims |= {"qe_svn": header["qe_svn"], "pce_svn": header["pce_svn"]}
    return {**claims, **(_sgx(body) if isinstance(body, SgxReport) else _td(body))}


def front_claims(unverified_quote: bytes) -> dict[str, Any]:
    """What header and body of a broken quote say; nothing where those cannot be read either."""
    try:
        return _front(*decode_front(unverified_quote, "quote"))
    except MalformedEvidence:
        return {}


def evidence_claims(quote: Quote) -> dict[str, Any]:
    """What the quote says; hex lower case, byte order as stored, numbers as numbers."""
    qe = quote.qe_report
    header = {field.name: getattr(quote, field.name) for field in layout.HEADER.fields}
    claims = {
        **_front(header, quote.body_type, quote.body),
        "trailing_bytes": quote.padding,
        "certification_data_type": quote.certification_type,
    }
    claims["qe"] = {
        "mrenclave": qe.mrenclave.hex(),
        "mrsigner": qe.mrsigner.hex(),
        "isvprodid": qe.isvprodid,
        "isvsvn": qe.isvsvn,
        "cpusvn": qe.cpusvn.hex(),
    }
    try:
        pck = embedded_pck("quote", quote)
    except MalformedEvidence:
        return claims  # ``collate`` says what is wrong with it
    return claims if pck is None else {**claims, "pck": pck_claims(pck)}


def evaluation_claims(got: Evaluation) -> dict[str, Any]:
    """Say what the evaluation found. Of verified quotes only."""
    claims: dict[str, Any] = {
        "tcb_status": got.status,
        "tcb_date": None if got.date is None else got.date.text,
        "tcb_level_status": got.level_status,
        "tcb_level_index": got.level_index,
        "qe_tcb_status": got.qe_status,
        "advisory_ids": list(got.advisories),
        "tcb_evaluation_data_number": got.evaluation_number,
        "qe_evaluation_data_number": got.qe_evaluation_number,
    }
    if got.module is not None:
        module = got.module
        claims["tdx_module"] = {"id": module.id, "isvsvn": module.isvsvn, "status": module.status}
    if got.current_status is not None and got.level_index is not None:
        claims["current_tcb_status"] = got.current_status
    return claims
