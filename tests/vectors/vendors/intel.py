"""Documents of Intel's."""

from __future__ import annotations

from functools import partial

from forge.intel import ForgedIntel
from forge.intel_pki import pem
from tests.support.documents import Example

NOW = 1_795_000_000


def examples() -> tuple[Example, ...]:
    """Forge them."""
    intel = ForgedIntel(now=NOW)
    example = partial(Example, anchors=(intel.anchor(),), now=NOW)
    pck_crl = pem(intel.pck_crl("platform")).replace(b"CERTIFICATE", b"X509 CRL")
    return (
        example("intel.tcb-info", f"tdx-{intel.fmspc}", intel.signed_tcb_info("tdx"), intel.signing_chain()),
        example("intel.qe-identity", "sgx", intel.signed_qe_identity("sgx"), intel.signing_chain()),
        example("intel.pck-crl", "platform", pck_crl + pem(intel.authority("platform"), intel.root())),
        example("intel.root-crl", "sgx-root", intel.root_crl()),
        example("intel.pck-chain", f"{'0a' * 16}-{'05' * 16}-0d00-0000", intel.pck_chain()),
    )
