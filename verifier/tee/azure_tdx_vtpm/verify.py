"""Is it genuine? TD quote -> runtime claims -> AK -> vTPM quote -> PCRs and nonce; the TDREPORT of the boot is the TD quote's.

The TD quote is verified by its own scheme, with the hash of the runtime claims as its user data. The TDREPORT's MAC can only be
checked on the machine; so it proves nothing by itself, and has to say in every field what the quote says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from verifier.formats.errors import Failed, mismatch
from verifier.tee.azure.layout import TDINFO, TEE_TCB_INFO
from verifier.tee.azure.verify import azure_checks
from verifier.tee.azure_tdx_vtpm.decode import NAME, Evidence
from verifier.tee.dcap.decode import TdReport
from verifier.tee.scheme import Check, Subject

# TDREPORT field -> field of the TD report in the quote. What the TDREPORT has beyond them the quote does not carry.
TIED: Final[Mapping[str, str]] = {
    "report_data": "report_data",
    "tee_tcb_svn": "tee_tcb_svn",
    "mrseam": "mrseam",
    "mrsignerseam": "mrsignerseam",
    "seam_attributes": "seamattributes",
    "attributes": "tdattributes",
    "xfam": "xfam",
    "mrtd": "mrtd",
    "mrconfigid": "mrconfigid",
    "mrowner": "mrowner",
    "mrownerconfig": "mrownerconfig",
    "rtmr0": "rtmr0",
    "rtmr1": "rtmr1",
    "rtmr2": "rtmr2",
    "rtmr3": "rtmr3",
}


def require_hashes(raw: bytes, tdreport: Mapping[str, bytes]) -> None:
    """Refuse a TDREPORT whose hashes are not those of its own parts (SHA-384 of TEE_TCB_INFO and of TDINFO)."""
    for name, part in (("tee_tcb_info_hash", TEE_TCB_INFO), ("tee_info_hash", TDINFO)):
        want = hashlib.sha384(raw[slice(*part)]).hexdigest()
        if tdreport[name].hex() != want:
            raise Failed(mismatch(f"tdreport.{name}", tdreport[name].hex(), want))


def require_same(tdreport: Mapping[str, bytes], report: TdReport) -> None:
    """Refuse a TDREPORT that says anything else than the TD quote."""
    for name, quoted in TIED.items():
        want: bytes = getattr(report, quoted)
        if tdreport[name] != want:
            raise Failed(mismatch(f"tdreport.{name}", tdreport[name].hex(), f"the quote's {want.hex()}"))


def _check_hashes(subject: Subject[Evidence, Any]) -> None:
    require_hashes(subject.evidence.hcl.hardware, subject.evidence.tdreport)


def _check_same(subject: Subject[Evidence, Any]) -> None:
    require_same(subject.evidence.tdreport, subject.evidence.td.report)


CHECKS: Final[tuple[Check[Any, Any], ...]] = (
    Check("azure-tdx-vtpm.tdreport.hashes", _check_hashes),
    Check("azure-tdx-vtpm.tdreport.quote", _check_same),
    *azure_checks(NAME),
)
