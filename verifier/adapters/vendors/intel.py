"""Intel: what its Provisioning Certification Service publishes, or a PCCS in its place.

Source: Intel *Provisioning Certification Service API*, version 4; *Design Guide for Intel SGX Provisioning Certificate Caching
Service*. Issuer chains come in headers, as URL-encoded PEM. A PCK certificate by QE id is a PCCS's alone: Intel's own service wants
the encrypted PPID.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import unquote

from verifier.adapters.vendors import reading
from verifier.adapters.vendors.kind import (
    Absent,
    Anchors,
    Answer,
    Document,
    Facts,
    Fetched,
    Get,
    Kind,
    Service,
    Vendor,
)
from verifier.core.settings import INTEL_PCS, Settings
from verifier.formats.errors import ConfigError
from verifier.formats.pem import pem_blocks
from verifier.tee.dcap import marks
from verifier.tee.dcap.collateral import QeIdentity, TcbInfo, parse_qe_identity, parse_tcb_info
from verifier.tee.dcap.endorse import crl_der
from verifier.tee.dcap.pck import read_pck
from verifier.tee.scheme import Mark

_PCK_CHAIN: Final = "intel.pck-chain"
_QE_IDS: Final = {"sgx": "QE", "tdx": "TD_QE"}
_V4: Final = "certification/v4"


@dataclass(frozen=True, slots=True)
class Pcs(Service):
    """A PCS or a PCCS. ``evaluation``: the TCB evaluation data number to ask for; 0 for the newest of the ``update`` set."""

    root_crl_url: str
    is_pccs: bool = False
    update: Literal["early", "standard"] = "standard"
    evaluation: int = 0

    @property
    def _set(self) -> str:
        return f"tcbEvaluationDataNumber={self.evaluation}" if self.evaluation else f"update={self.update}"

    def tcb_info(self, key: str, get: Get) -> Fetched:
        """Ask for a platform's TCB info. The bytes are kept as they came: the signature is over a part of them."""
        tee, _, fmspc = key.partition("-")
        answer = get(self.at(f"/{tee}/{_V4}/tcb?fmspc={fmspc}&{self._set}"))
        return answer.body, _chain(answer, "tcb-info-issuer-chain", "sgx-tcb-info-issuer-chain")

    def qe_identity(self, key: str, get: Get) -> Fetched:
        """Ask for the identity of a quoting enclave."""
        answer = get(self.at(f"/{key}/{_V4}/qe/identity?{self._set}"))
        return answer.body, _chain(answer, "sgx-enclave-identity-issuer-chain")

    def pck_crl(self, key: str, get: Get) -> Fetched:
        """Ask for a PCK CA's list; its issuers go behind it, so that a scheme can tell whose it is."""
        answer = get(self.at(f"/sgx/{_V4}/pckcrl?ca={key}&encoding=der"))
        text = base64.encodebytes(crl_der(answer.body, reading.WHAT, "CRL"))
        pem = b"-----BEGIN X509 CRL-----\n" + text + b"-----END X509 CRL-----\n"
        return pem + _chain(answer, "sgx-pck-crl-issuer-chain"), b""

    def root_crl(self, _key: str, get: Get) -> Fetched:
        """Ask for the root's list: a file of its own at Intel's, hex at a PCCS."""
        url = self.at(f"/sgx/{_V4}/rootcacrl") if self.is_pccs else self.root_crl_url
        return crl_der(get(url).body, reading.WHAT, "CRL"), b""

    def pck_chain(self, key: str, get: Get) -> Fetched:
        """Ask a PCCS for the PCK certificate of a platform, with its issuers."""
        if not self.is_pccs:
            raise Absent(f"{_PCK_CHAIN}: not to be had there")
        qe_id, cpu_svn, pce_svn, pce_id = key.split("-")
        query = f"qeid={qe_id}&cpusvn={cpu_svn}&pcesvn={pce_svn}&pceid={pce_id}&encrypted_ppid="
        answer = get(self.at(f"/sgx/{_V4}/pckcert?{query}"))
        return answer.body.rstrip() + b"\n" + _chain(answer, "sgx-pck-certificate-issuer-chain"), b""


def _chain(answer: Answer, *names: str) -> bytes:
    text = next((answer.headers[name] for name in names if name in answer.headers), None)
    if text is None:
        raise ValueError(f"no header {names[0]}")
    # Base64 has a plus sign of its own: only percent signs are undone.
    pem = unquote(text, errors="replace").encode("utf-8", errors="replace")
    if not pem_blocks(pem, "CERTIFICATE"):
        raise ValueError(f"header {names[0]} holds no certificate")
    return pem


def _read_signed(document: TcbInfo | QeIdentity, chain: bytes) -> Facts:
    # An issuer that ends before its document takes it along: old bundles carry an expired TCB signing certificate.
    ends = [document.next_update, *(one.not_after for one in reading.certificates(chain, 1))]
    return Facts(document.issued, min(ends), (document.evaluation_number, document.issued))


def _read_tcb_info(document: Document) -> Facts:
    tee, _, fmspc = document.key.partition("-")
    info = parse_tcb_info(document.body, reading.WHAT)
    reading.require("tcbInfo.id", info.id, tee.upper())
    reading.require("tcbInfo.fmspc", info.fmspc, fmspc)
    return _read_signed(info, document.chain)


def _read_qe_identity(document: Document) -> Facts:
    identity = parse_qe_identity(document.body, reading.WHAT)
    reading.require("enclaveIdentity.id", identity.id, _QE_IDS[document.key])
    return _read_signed(identity, document.chain)


def _is_pck_crl_genuine(document: Document, anchors: Anchors) -> bool:
    """The list has to come with the certificates of its issuers: of a bare one nothing says whose it is."""
    issuers = reading.signed_by_anchor(reading.certificates(document.body, 1), anchors)
    return reading.is_crl_under(crl_der(document.body, reading.WHAT, "CRL"), issuers[:1])


def _read_pck_chain(document: Document) -> Facts:
    leaf, *above = reading.certificates(document.body, 2)
    if leaf.is_ca:
        raise ValueError("chain: got a CA first, want the PCK certificate")
    # A quote writes the number the other way round. CPUSVN and PCESVN may differ: the certificate is of a level, not of a report.
    reading.require("PCEID", read_pck(leaf, reading.WHAT).pceid[::-1].hex(), document.key.rpartition("-")[2])
    return reading.certificate_facts(leaf, *above)


def _signed(noun: marks.Document, **row: Any) -> Kind[Pcs]:
    """Return the row of a JSON document that Intel signs: only a genuine one has numbers."""

    def numbers(document: Document, anchors: Anchors) -> tuple[Mark, ...]:
        return marks.document_marks(noun, document.body, document.chain, anchors)

    return Kind(
        has_chain=True,
        is_genuine=lambda document, anchors: bool(numbers(document, anchors)),
        marks=lambda document, _beside, anchors: numbers(document, anchors),
        **row,
    )


def _api_key(settings: Settings) -> dict[str, str]:
    if not settings.pcs_api_key_file:
        return {}
    try:
        key = Path(settings.pcs_api_key_file).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise ConfigError("settings", "pcs_api_key_file", settings.pcs_api_key_file, "a readable file") from None
    return {"Ocp-Apim-Subscription-Key": key}


VENDOR: Final = Vendor(
    name="intel",
    schemes=("tdx", "sgx"),
    own_url=INTEL_PCS,
    service=lambda settings: Pcs(
        settings.pcs_url,
        settings.intel_root_crl_url,
        settings.pcs_is_pccs,
        settings.intel_tcb_update,
        settings.intel_tcb_evaluation_number,
    ),
    interval_s=lambda settings: settings.pcs_interval_s,
    headers=_api_key,
    kinds=(
        _signed(
            "tcb_info",
            name="intel.tcb-info",
            key=r"(?:sgx|tdx)-[0-9A-F]{12}",
            reach="platform",
            fetch=Pcs.tcb_info,
            read=_read_tcb_info,
        ),
        _signed(
            "qe_identity",
            name="intel.qe-identity",
            key=r"sgx|tdx",
            reach="all",
            fetch=Pcs.qe_identity,
            read=_read_qe_identity,
        ),
        Kind(
            name="intel.pck-crl",
            key=r"platform|processor",
            reach="all",
            fetch=Pcs.pck_crl,
            read=lambda document: reading.crl_facts(
                crl_der(document.body, reading.WHAT, "CRL"), f".*PCK {document.key.capitalize()} CA.*"
            ),
            is_genuine=_is_pck_crl_genuine,
            marks=lambda document, beside, anchors: marks.pck_crl_marks(
                document.body, beside.get(_PCK_CHAIN, b""), anchors
            ),
        ),
        Kind(
            name="intel.root-crl",
            key=r"sgx-root",
            reach="all",
            fetch=Pcs.root_crl,
            pem_label="X509 CRL",
            read=lambda document: reading.crl_facts(document.body, ".*Root CA.*"),
            is_genuine=reading.is_crl_of_anchor,
            marks=lambda document, _beside, anchors: marks.root_crl_marks(document.body, anchors),
        ),
        Kind(
            name=_PCK_CHAIN,
            # QE identifier, CPUSVN, PCESVN and PCEID, as they stand in a quote.
            key=r"[0-9a-f]{32}-[0-9a-f]{32}-[0-9a-f]{4}-[0-9a-f]{4}",
            reach="chip",
            fetch=Pcs.pck_chain,
            read=_read_pck_chain,
            is_genuine=lambda document, anchors: reading.is_under_anchor(
                pem_blocks(document.body, "CERTIFICATE"), anchors
            ),
        ),
    ),
)
