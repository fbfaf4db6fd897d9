"""What a quote needs beside itself, and how it is read: PCK chain, TCB info, QE identity, CRLs. Verifies nothing."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from verifier.formats.errors import MalformedEvidence
from verifier.formats.pem import is_pem, pem_or_der
from verifier.formats.x509 import MAX_CRL, Certificate, Crl, parse_crl
from verifier.tee.dcap import layout
from verifier.tee.dcap.collateral import QeIdentity, TcbInfo, parse_qe_identity, parse_tcb_info
from verifier.tee.dcap.decode import Quote, platform_id
from verifier.tee.dcap.pck import Pck, ca_of, ordered, pck_chain, read_chain, read_pck
from verifier.tee.scheme import Need

ENDORSEMENTS: Final = frozenset({"pck_chain"})
# Names under which answers arrive in ``collate``, in this order.
NAMES: Final = (
    "pck_chain",
    "tcb_info",
    "tcb_info_chain",
    "qe_identity",
    "qe_identity_chain",
    "pck_crl",
    "root_crl",
)
_ASCII_DER = re.compile(rb"[0-9A-Za-z+/=\s]+")
_MAX_TEXT: Final = 2 * MAX_CRL + 4096


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DcapCollateral:
    """Endorsements and collateral, all of it unverified; ``None`` and ``()`` for what is not there.

    Chains are leaf first. ``crls_required`` is false only where a published case says ``crl_required: false``.
    """

    pck_chain: tuple[Certificate, ...]
    pck: Pck | None
    tcb_info: TcbInfo | None
    tcb_chain: tuple[Certificate, ...]
    qe_identity: QeIdentity | None
    qe_chain: tuple[Certificate, ...]
    pck_crl: Crl | None
    root_crl: Crl | None
    crls_required: bool = True


def endorsement_id(scheme: str, name: str) -> str:
    """Return the check id of a missing or unreadable endorsement."""
    return f"{scheme}.endorsement.{name}"


def _embedded(quote: Quote) -> bytes:
    kinds = (layout.CERT_PCK_LEAF, layout.CERT_PCK_CHAIN)
    return quote.certification_data if quote.certification_type in kinds else b""


def embedded_pck(scheme: str, quote: Quote) -> Pck | None:
    """Read the PCK certificate that the quote carries; ``None`` where it carries none."""
    data = _embedded(quote)
    return _pck_of(endorsement_id(scheme, "pck_chain"), data, b"")[1] if data else None


def _known_pck(scheme: str, quote: Quote, have: Mapping[str, bytes]) -> Pck | None:
    """Read the PCK certificate that the quote carries, or that stands beside it; ``None`` where there is none yet."""
    data, along = _embedded(quote), _beside(quote, have)
    return _pck_of(endorsement_id(scheme, "pck_chain"), data, along)[1] if data or along else None


def _beside(quote: Quote, have: Mapping[str, bytes]) -> bytes:
    # A chain beside a quote that carries a whole one is not asked for and not read.
    return b"" if quote.certification_type == layout.CERT_PCK_CHAIN else have.get("pck_chain") or b""


def needs(scheme: str, quote: Quote, have: Mapping[str, bytes]) -> tuple[Need, ...]:
    """Ask for what the verifier's own sources have to answer (docs/collateral.md).

    A quote without a PCK chain (certification data of types 1 to 3) names neither FMSPC nor CA: what they are the keys of is
    asked for once the chain is there, which ``opens`` it.
    """
    tee = "tdx" if quote.tee_type == layout.TEE_TDX else "sgx"
    pck = _known_pck(scheme, quote, have)
    asked: list[Need] = []
    if quote.certification_type != layout.CERT_PCK_CHAIN and "pck_chain" not in have:
        asked.append(Need("pck_chain", "intel.pck-chain", pck_key(quote, pck), opens=pck is None))
    if pck is not None:
        asked += [
            Need("tcb_info", "intel.tcb-info", f"{tee}-{pck.fmspc}"),
            Need("tcb_info_chain", "intel.tcb-info-chain", f"{tee}-{pck.fmspc}"),
        ]
    asked += [
        Need("qe_identity", "intel.qe-identity", tee),
        Need("qe_identity_chain", "intel.qe-identity-chain", tee),
    ]
    if pck is not None:
        asked.append(Need("pck_crl", "intel.pck-crl", str(ca_of(pck.certificate))))
    return (*asked, Need("root_crl", "intel.root-crl", "sgx-root"))


def pck_key(quote: Quote, pck: Pck | None = None) -> str:
    """Name the PCK certificate of a platform: QE identifier, CPUSVN, PCESVN as in the quote, PCEID, all hex.

    ``pck``: the certificate that a quote of type 4 carries alone; it says itself what it was issued for.
    """
    qe_id, named = quote.user_data[:16].hex(), platform_id(quote)
    if named is not None:
        return f"{qe_id}-{named.cpusvn.hex()}-{named.pcesvn.hex()}-{named.pceid.hex()}"
    if pck is not None:
        # Numbers are little-endian in a quote, and the certificate writes PCEID the other way round.
        return f"{qe_id}-{pck.cpusvn.hex()}-{pck.pcesvn.to_bytes(2, 'little').hex()}-{pck.pceid[::-1].hex()}"
    return f"{qe_id}-unknown"


def crl_der(data: bytes, check_id: str, what: str) -> bytes:
    """Return the DER of a CRL that comes as DER, PEM, hex or base64: all four are met in the wild."""
    if data[:1] == b"\x30":
        return data
    if len(data) > _MAX_TEXT:
        raise MalformedEvidence(check_id, f"{what}: got {len(data)} bytes, want at most {_MAX_TEXT}")
    try:
        return pem_or_der(data, "X509 CRL", check_id, what) if is_pem(data) else _from_text(data)
    except ValueError as error:
        raise MalformedEvidence(check_id, f"{what}: {error}") from None


def _from_text(data: bytes) -> bytes:
    text = b"".join(data.split())
    if not text or not _ASCII_DER.fullmatch(text):
        raise ValueError("want DER, PEM, hex or base64")
    if text[:2] == b"30" and len(text) % 2 == 0:  # hex of a SEQUENCE; in base64 that would be no DER of a CRL
        return bytes.fromhex(text.decode("ascii"))
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"base64: {error}") from None


@lru_cache(maxsize=256)
def _pck_of(check_id: str, embedded: bytes, given: bytes) -> tuple[tuple[Certificate, ...], Pck]:
    """Put the chain together: the quote's own leaf if it carries one, and whatever stands above it."""
    own = read_chain(embedded, check_id, "PCK chain of the quote") if embedded else ()
    along = read_chain(given, check_id, "pck_chain") if given else ()
    leaf = next((c for c in own if layout.OID_SGX in c.extensions), None)
    if leaf is not None:
        # Another machine's leaf beside the quote's own means nothing.
        along = tuple(c for c in along if layout.OID_SGX not in c.extensions)
    chain = pck_chain((*own, *along), check_id)
    return chain, read_pck(chain[0], check_id)


def collate(scheme: str, quote: Quote, given: Mapping[str, bytes]) -> DcapCollateral:
    """Read endorsements and collateral; ``MalformedEvidence('<scheme>.endorsement.<name>')``. Cached by their bytes."""
    return _collate(scheme, _embedded(quote), _beside(quote, given), *(given.get(name) for name in NAMES[1:]))


def read_documents(scheme: str, given: Mapping[str, bytes]) -> DcapCollateral:
    """Read collateral that stands beside no quote; ``MalformedEvidence('<scheme>.endorsement.<name>')``."""
    return _collate(scheme, b"", b"", *(given.get(name) for name in NAMES[1:]))


def _signers(data: bytes | None, scheme: str, name: str) -> tuple[Certificate, ...]:
    if data is None:
        return ()
    certificates = read_chain(data, endorsement_id(scheme, name), name)
    leaf = next((c for c in certificates if not c.is_ca), certificates[0])
    return ordered(certificates, leaf)


def _crl(data: bytes | None, scheme: str, name: str) -> Crl | None:
    if data is None:
        return None
    check_id = endorsement_id(scheme, name)
    return parse_crl(crl_der(data, check_id, name), check_id, name)


@lru_cache(maxsize=1024)
def _collate(scheme: str, embedded: bytes, along: bytes, *data: bytes | None) -> DcapCollateral:
    tcb_info, tcb_chain, qe_identity, qe_chain, pck_crl, root_crl = data
    chain, pck = _pck_of(endorsement_id(scheme, "pck_chain"), embedded, along) if embedded or along else ((), None)
    return DcapCollateral(
        pck_chain=chain,
        pck=pck,
        tcb_info=None if tcb_info is None else parse_tcb_info(tcb_info, endorsement_id(scheme, "tcb_info")),
        tcb_chain=_signers(tcb_chain, scheme, "tcb_info_chain"),
        qe_identity=(
            None if qe_identity is None else parse_qe_identity(qe_identity, endorsement_id(scheme, "qe_identity"))
        ),
        qe_chain=_signers(qe_chain, scheme, "qe_identity_chain"),
        pck_crl=_crl(pck_crl, scheme, "pck_crl"),
        root_crl=_crl(root_crl, scheme, "root_crl"),
    )
