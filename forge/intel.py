"""A forged Intel: one platform with its PCK certificate, quoting enclave, TDX module, and the collateral that judges it.

``ForgedIntel(now=…)`` makes quotes of versions 3 (SGX), 4 and 5 (SGX and TDX) with any field set and any one fault, TCB info,
QE identity, CRLs and chains. Its keys follow from labels, its signatures are deterministic: the same in every process.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec

from forge.bootlog import BootLog
from forge.intel_cclog import log_area, measured_cc_boot, rtmrs_of
from forge.intel_documents import (
    OLD_DATE,
    Tee,
    module_identity,
    qe_identity_of,
    sign_document,
    svn_level,
    tcb_info_of,
    tcb_level,
)
from forge.intel_pki import DAY, Ca, IntelPki, PlatformTcb, authority_key, forged_p256
from forge.intel_quote import Quoting, Shape, Values, write_quote, zeros_of
from verifier.core.binding import BindingDigest
from verifier.core.envelope import Envelope
from verifier.formats.x509chain import Anchor
from verifier.tee.dcap import layout

FMSPC: Final = bytes.fromhex("f0c0de6a0000")
OLD_ADVISORY: Final = "INTEL-SA-00001"
PCESVN: Final = 13
QE_SVN: Final[Mapping[Tee, int]] = {"sgx": 8, "tdx": 4}
QE_PRODUCT: Final[Mapping[Tee, int]] = {"sgx": 1, "tdx": 2}
MODULE_MAJOR, MODULE_SVN = 1, 5
_COMPS: Final = (5, 5, 2, 2, 4, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0)
_TEE_TCB_SVN: Final = bytes((MODULE_SVN, MODULE_MAJOR, 3)) + bytes(13)
_TDX_COMPS: Final = (MODULE_SVN, 0, 3, *(0,) * 13)
_QE_ID: Final = hashlib.sha256(b"forged QE identifier").digest()[:16]
_SGX_FLAGS: Final = 1 << layout.SGX_INIT | 1 << layout.SGX_MODE64BIT
_QE_FLAGS: Final = _SGX_FLAGS | 1 << layout.SGX_PROVISION_KEY
_TD_ATTRIBUTES: Final = 1 << layout.TD_SEPT_VE_DISABLE
_SAME: Final = Shape()


def _measured(what: str, size: int = 32) -> bytes:
    return hashlib.shake_256(b"forged " + what.encode("ascii")).digest(size)


def platform_tcb(seed: bytes = b"platform 0", ca: Ca = "platform", **changes: Any) -> PlatformTcb:
    """Return what a PCK certificate of that CA says; ``changes`` are fields of ``PlatformTcb``."""
    instance = hashlib.sha256(b"forged platform instance\x00" + seed).digest()[:16]
    made = PlatformTcb(
        ppid=hashlib.sha256(b"forged PPID\x00" + seed).digest()[:16],
        comps=_COMPS,
        pcesvn=PCESVN,
        cpusvn=bytes(_COMPS),
        fmspc=FMSPC,
        sgx_type=1 if ca == "platform" else 0,
        instance_id=instance if ca == "platform" else None,
        configuration=(True, True, True) if ca == "platform" else None,
    )
    return replace(made, **changes)


# A document to sign: fields, or bytes as they stand.
Inner = Mapping[str, Any] | bytes | None


class ForgedIntel(IntelPki):
    """One platform. ``now`` places the validity of all that is made for it (TCB info issued five days before)."""

    def __init__(
        self,
        *,
        now: int,
        seed: bytes = b"platform 0",
        ca: Ca = "platform",
        like_intel: bool = False,
        event_log: BootLog | None = None,
        **platform: Any,
    ) -> None:
        """``like_intel`` writes Intel's own names over the forged keys; ``platform`` are fields of the PCK's SGX extension."""
        super().__init__(now=now, platform=platform_tcb(seed, ca, **platform), ca=ca, like_intel=like_intel)
        self.attestation_key = forged_p256(b"attestation key\x00" + seed)
        self.event_log = measured_cc_boot() if event_log is None else event_log
        self.issued = now - 5 * DAY

    # Documents

    @property
    def fmspc(self) -> str:
        """FMSPC as Intel's documents write it: upper-case hex."""
        return (self.platform.fmspc or FMSPC).hex().upper()

    def levels(
        self, tee: Tee, status: str = "UpToDate", *, version: int = 3, advisories: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        """Return two TCB levels: this platform's own with ``status``, and an older one that is OutOfDate."""
        tdx = _TDX_COMPS if tee == "tdx" else None
        old_tdx = (0, 0, 2, *(0,) * 13) if tee == "tdx" else None
        old = tcb_level(
            "OutOfDate",
            (4, 4, *_COMPS[2:]),
            PCESVN - 2,
            tdx=old_tdx,
            version=version,
            date_text=OLD_DATE,
            advisories=(OLD_ADVISORY,),
        )
        return [tcb_level(status, _COMPS, PCESVN, tdx=tdx, version=version, advisories=advisories), old]

    def module_levels(self, status: str = "UpToDate") -> list[dict[str, Any]]:
        """Return the levels of the TDX module: the current SVN with ``status``, the one below OutOfDate."""
        old = svn_level(MODULE_SVN - 1, "OutOfDate", date_text=OLD_DATE, advisories=("INTEL-SA-00002",))
        return [svn_level(MODULE_SVN, status), old]

    def tcb_info(self, tee: Tee, *, status: str = "UpToDate", version: int = 3, **changes: Any) -> dict[str, Any]:
        """Return this platform's TCB info, unsigned; ``status`` is that of its own level, ``changes`` replace fields."""
        settings: dict[str, Any] = {
            "issued": self.issued,
            "fmspc": self.fmspc,
            "levels": self.levels(tee, status, version=version),
            "modules": (module_identity(3, [svn_level(3, "UpToDate")]), module_identity(1, self.module_levels())),
        }
        return tcb_info_of(tee, version=version, **{**settings, **changes})

    def qe_identity(self, tee: Tee, *, status: str = "UpToDate", **changes: Any) -> dict[str, Any]:
        """Return the identity of this platform's quoting enclave, unsigned; ``status`` is that of its own level."""
        svn = QE_SVN[tee]
        old = svn_level(svn - 2, "OutOfDate", date_text=OLD_DATE, advisories=("INTEL-SA-00003",))
        settings: dict[str, Any] = {
            "issued": self.issued,
            "mrsigner": _measured(f"QE signer {tee}").hex().upper(),
            "isvprodid": QE_PRODUCT[tee],
            "levels": [svn_level(svn, status), old],
        }
        return qe_identity_of(tee, **{**settings, **changes})

    def signed_tcb_info(
        self, tee: Tee, inner: Inner = None, /, *, signature: str | None = None, **changes: Any
    ) -> bytes:
        """Return a signed TCB info: of ``inner`` as it stands, or of ``tcb_info(tee, **changes)``."""
        body = self.tcb_info(tee, **changes) if inner is None else inner
        return sign_document("tcbInfo", body, authority_key("tcb-signing"), signature=signature)

    def signed_qe_identity(
        self, tee: Tee, inner: Inner = None, /, *, signature: str | None = None, **changes: Any
    ) -> bytes:
        """Return a signed QE identity: of ``inner`` as it stands, or of ``qe_identity(tee, **changes)``."""
        body = self.qe_identity(tee, **changes) if inner is None else inner
        return sign_document("enclaveIdentity", body, authority_key("tcb-signing"), signature=signature)

    def collateral(self, tee: Tee, **changes: bytes) -> dict[str, bytes]:
        """Return what a verifier asks its own sources for, by need name; ``changes`` replace, an empty one takes out."""
        found = {
            "tcb_info": self.signed_tcb_info(tee),
            "tcb_info_chain": self.signing_chain(),
            "qe_identity": self.signed_qe_identity(tee),
            "qe_identity_chain": self.signing_chain(),
            "pck_crl": self.pck_crl(),
            "root_crl": self.root_crl(),
            **changes,
        }
        return {name: data for name, data in found.items() if data}

    def answers(self, tee: Tee) -> dict[tuple[str, str], bytes]:
        """Return the same by need kind and key, as a verifier's sources are asked: ``("intel.tcb-info", "tdx-F0C0DE6A0000")``."""
        found, info = self.collateral(tee), f"{tee}-{self.fmspc}"
        return {
            ("intel.tcb-info", info): found["tcb_info"],
            ("intel.tcb-info-chain", info): found["tcb_info_chain"],
            ("intel.qe-identity", tee): found["qe_identity"],
            ("intel.qe-identity-chain", tee): found["qe_identity_chain"],
            ("intel.pck-crl", self.ca): found["pck_crl"],
            ("intel.root-crl", "sgx-root"): found["root_crl"],
        }

    def endorsements(self, certification: int = layout.CERT_PCK_CHAIN) -> dict[str, bytes]:
        """Return what comes beside a quote with that certification data: its PCK chain where it carries none."""
        return {} if certification == layout.CERT_PCK_CHAIN else {"pck_chain": self.pck_chain()}

    # Quotes

    def certification_data(self) -> dict[int, bytes]:
        """Return certification data by type, as this platform's quoting enclave would write them."""
        tail = (self.platform.cpusvn or bytes(16)) + struct.pack(
            "<H2s", (self.platform.pcesvn or 0) & 0xFFFF, (self.platform.pceid or bytes(2))[::-1]
        )
        encrypted = {kind: _measured("encrypted PPID", size) for kind, size in layout.PPID_SIZES.items()}
        encrypted[layout.CERT_PPID] = self.platform.ppid or bytes(16)
        return {
            **{kind: ppid + tail for kind, ppid in encrypted.items()},
            layout.CERT_PCK_LEAF: self.pck(),
            layout.CERT_PCK_CHAIN: self.pck_chain(),
            layout.CERT_QE_REPORT: b"",
            layout.CERT_PLATFORM_MANIFEST: _measured("platform manifest", 512),
        }

    def header(self, tee: Tee, version: int) -> dict[str, bytes | int]:
        """Return the fields of a quote's header."""
        first = version == 3  # noqa: PLR2004 - the version that names the SVNs
        return {
            "version": version,
            "att_key_type": layout.ATTESTATION_KEY_P256,
            "tee_type": layout.TEE_SGX if tee == "sgx" else layout.TEE_TDX,
            "qe_svn": QE_SVN[tee] if first else 0,
            "pce_svn": PCESVN if first else 0,
            "qe_vendor_id": layout.QE_VENDOR_INTEL,
            "user_data": _QE_ID + bytes(4),
        }

    def enclave(self) -> dict[str, bytes | int]:
        """Return the fields of a wholesome enclave's report."""
        return {
            **zeros_of(layout.SGX_REPORT),
            "cpusvn": self.platform.cpusvn or bytes(16),
            "attributes": struct.pack("<QQ", _SGX_FLAGS, 0xE7),
            "mrenclave": _measured("enclave"),
            "mrsigner": _measured("enclave signer"),
            "isvprodid": 7,
            "isvsvn": 3,
        }

    def quoting_enclave(self, tee: Tee) -> dict[str, bytes | int]:
        """Return the fields of the quoting enclave's report, but the report data."""
        return {
            **self.enclave(),
            "attributes": struct.pack("<QQ", _QE_FLAGS, 0xE7),
            "mrenclave": _measured(f"QE {tee}"),
            "mrsigner": _measured(f"QE signer {tee}"),
            "isvprodid": QE_PRODUCT[tee],
            "isvsvn": QE_SVN[tee],
        }

    def trust_domain(self, body_type: int = layout.BODY_TD_10) -> dict[str, bytes | int]:
        """Return the fields of a wholesome TD report; RTMR 0 to 2 are those of ``event_log``."""
        later = {"tee_tcb_svn2": _TEE_TCB_SVN} if body_type != layout.BODY_TD_10 else {}
        return {
            **zeros_of(layout.BODIES[body_type]),
            "tee_tcb_svn": _TEE_TCB_SVN,
            "mrseam": _measured("TDX module", 48),
            "tdattributes": struct.pack("<Q", _TD_ATTRIBUTES),
            "xfam": bytes.fromhex("e702060000000000"),
            "mrtd": _measured("trust domain", 48),
            **rtmrs_of(self.event_log),
            **later,
        }

    def body(self, body_type: int) -> dict[str, bytes | int]:
        """Return the fields of a wholesome body."""
        return self.enclave() if body_type == layout.BODY_SGX else self.trust_domain(body_type)

    def quote(self, tee: Tee, *, report_data: bytes, shape: Shape = _SAME, **fields: bytes | int) -> bytes:
        """Make and sign a quote. ``report_data`` is 64 bytes; any field of the body may be set, all else by ``shape``."""
        version = shape.version if shape.version is not None else (3 if tee == "sgx" else 4)
        natural = layout.BODY_SGX if tee == "sgx" else layout.BODY_TD_10
        body_type = shape.body_type if shape.body_type is not None else natural
        body: Values = {**self.body(body_type), "report_data": report_data, **fields}
        who = Quoting(
            version=version,
            body_type=body_type,
            header=self.header(tee, version),
            body=body,
            qe=self.quoting_enclave(tee),
            attestation_key=self.attestation_key,
            pck_key=self.pck_key,
            certification=self.certification_data(),
        )
        return write_quote(who, shape)

    def envelope(self, tee: Tee, digest: BindingDigest, **fields: bytes | int) -> Envelope:
        """Return evidence that carries the digest whole: a quote, for ``tdx`` with the CCEL log; ``fields`` are of the body."""
        parts = {"quote": self.quote(tee, report_data=digest.whole, shape=_SAME, **fields)}
        if tee == "tdx":
            parts["eventlog"] = log_area(self.event_log)
        return Envelope(tee, parts, self.endorsements())


def envelope_maker(
    tee: Tee, *, now: int, **fields: bytes | int
) -> tuple[Callable[[BindingDigest], Envelope], tuple[Anchor, ...]]:
    """Return what the attester's ``simulated`` provider needs of this vendor: a maker of envelopes, and its anchor."""
    intel = ForgedIntel(now=now)
    return (lambda digest: intel.envelope(tee, digest, **fields)), (intel.anchor(),)


AUTHORITIES: Final[Mapping[str, ec.EllipticCurvePrivateKey]] = {
    "Intel root": authority_key("root"),
    "Intel Platform CA": authority_key("platform"),
    "Intel Processor CA": authority_key("processor"),
    "Intel TCB signing": authority_key("tcb-signing"),
}
