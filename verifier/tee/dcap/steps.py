"""Steps of verification, one method each: of the quote (``QuoteSteps``), of Intel's signed documents (``DocumentSteps``).

``verify.checks_of`` puts them in order. Every step takes a ``Subject`` and raises or returns nothing; where a document is at
fault, ``verify`` turns the refusal into ``CannotDecide``.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec

from verifier.formats import ecdsa
from verifier.formats.errors import CannotDecide, Failed, mismatch
from verifier.formats.x509 import USAGE_DIGITAL_SIGNATURE, Certificate, SignatureAlgorithm, common_name
from verifier.formats.x509chain import Path, Profile, check_revocation, check_signatures, require_usage
from verifier.tee.chain import Chain, ChainSteps
from verifier.tee.dcap import layout
from verifier.tee.dcap.collateral import QeIdentity, TcbInfo
from verifier.tee.dcap.decode import Quote
from verifier.tee.dcap.endorse import DcapCollateral, endorsement_id
from verifier.tee.dcap.pck import PLATFORM_CA, PROCESSOR_CA, Pck
from verifier.tee.scheme import Check, Subject

Dcap: TypeAlias = Subject[Any, DcapCollateral]  # ``evidence.quote`` is the quote
DcapCheck: TypeAlias = Check[Any, DcapCollateral]

TCB_SIGNING: Final = "Intel SGX TCB Signing"
PROFILE: Final = Profile(algorithms=frozenset({SignatureAlgorithm("ecdsa", "sha256")}), max_length=3)
_PCK_LENGTH: Final = 3  # root, Platform or Processor CA, PCK
_SIGNER_LENGTH: Final = 2  # root, TCB Signing
_QE_IDS: Final = {layout.TEE_SGX: "QE", layout.TEE_TDX: "TD_QE"}
_INFO_IDS: Final = {layout.TEE_SGX: "SGX", layout.TEE_TDX: "TDX"}


def quote_of(subject: Dcap) -> Quote:
    """Return the quote of the evidence; both schemes' records have it."""
    quote: Quote = subject.evidence.quote
    return quote


@lru_cache(maxsize=1024)
def own_root(chain: Chain, path: Path) -> Path | None:
    """Return the path to a root that the chain brings and that is not, byte for byte, the pinned one.

    Intel's root exists twice with one key (valid to 2033 and to 2049); what is dropped in favour of the pinned one has to be
    signed by its key all the same, so that no byte of a chain is without meaning.
    """
    rest = chain[len(path.certificates) - 1 :]
    if not rest or rest[0].der == path.anchor.certificate_der:
        return None
    brought = rest[0]
    certificates = (path.anchor.certificate, brought)
    return Path(path.anchor, certificates, tuple(c.digest for c in certificates))


def shaped(path: Path, *, length: int, names: tuple[str, ...]) -> None:
    """Refuse a path that is not ``length`` certificates long, has another name below the root, or ends in a CA."""
    if len(path.certificates) != length:
        raise Failed(f"chain: got {len(path.certificates)} certificates, want {length}, the root counted")
    # Intel's root signs CAs and the TCB signer alike: the name says which of them a certificate is.
    name = common_name(path.certificates[1].subject) or ""
    if not name.startswith(names):
        raise Failed(mismatch("chain below the root", repr(name), " or ".join(names)))
    if path.leaf.is_ca:
        raise Failed("chain[0]: got a CA, want a certificate that signs no others")
    require_usage(path.leaf, USAGE_DIGITAL_SIGNATURE)


class IntelChain(ChainSteps):
    """A chain of Intel's: a root that it brings has to be signed by the pinned key too."""

    def signature(self, subject: Dcap) -> None:
        """Refuse a chain of which a certificate is not signed by the one above it, from the pinned root downward."""
        path = self.path(subject)
        check_signatures(path, subject.chains, subject.now)
        brought = own_root(self.chain_of(subject) or (), path)
        if brought is not None:
            check_signatures(brought, subject.chains, subject.now)


@lru_cache(maxsize=4096)
def _point(key: bytes) -> ec.EllipticCurvePublicKey | None:
    """Load an attestation key. Only after the PCK's key has vouched for it."""
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + key)
    except ValueError:
        return None


def is_signed(key: object, signature: bytes, data: bytes) -> bool:
    """Tell whether ``signature`` (r and s, big-endian) is ECDSA P-256 with SHA-256 over ``data``. The key is trusted already."""
    return ecdsa.is_signed(key, ecdsa.ES256, signature, data)


class QuoteSteps:
    """Steps over the quote itself: chain, QE, signatures."""

    def __init__(self, scheme: str) -> None:
        self.scheme = scheme
        self.chain = IntelChain(
            self.pck_chain,
            PROFILE,
            partial(shaped, length=_PCK_LENGTH, names=(PLATFORM_CA, PROCESSOR_CA)),
        )

    def pck(self, subject: Dcap) -> Pck:
        """Return the PCK certificate; without one nothing can be decided."""
        pck = subject.collateral.pck
        if pck is None:
            kind = quote_of(subject).certification_type
            raise CannotDecide(
                endorsement_id(self.scheme, "pck_chain"),
                f"PCK chain: got certification data of type {kind}, which has none, want it from elsewhere",
            )
        return pck

    def pck_chain(self, subject: Dcap) -> Chain:
        """Return the PCK certificate with what stands above it, leaf first."""
        self.pck(subject)
        return subject.collateral.pck_chain

    def qe_signature(self, subject: Dcap) -> None:
        """The PCK's key signed the QE report."""
        quote, path = quote_of(subject), self.chain.path(subject)
        # One QE report vouches for one attestation key for as long as the QE lives: remembered like a certificate's signature.
        digest = hashlib.sha256(quote.qe_report_signature + quote.qe_report_raw).digest()
        known = (b"qe-report", path.leaf.digest, digest)
        if subject.chains.has(known, subject.now):
            return
        if not is_signed(path.leaf_key(), quote.qe_report_signature, quote.qe_report_raw):
            raise Failed("QE report: does not verify with the PCK's key")
        subject.chains.put(known, path.leaf.not_after)

    def qe_binding(self, subject: Dcap) -> None:
        """The QE report vouches for this attestation key and these auth data."""
        quote = quote_of(subject)
        want = hashlib.sha256(quote.attestation_key + quote.qe_auth_data).digest() + bytes(32)
        if not hmac.compare_digest(quote.qe_report.report_data, want):
            seen = quote.qe_report.report_data.hex()
            raise Failed(mismatch("QE report data", seen, "the attestation key's digest and zeros"))

    def quote_signature(self, subject: Dcap) -> None:
        """The attestation key signed header and body."""
        quote = quote_of(subject)
        if not is_signed(_point(quote.attestation_key), quote.signature, quote.signed):
            raise Failed("quote: signature does not verify with the attestation key")

    def vendor(self, subject: Dcap) -> None:
        """The quoting enclave is Intel's."""
        got = quote_of(subject).qe_vendor_id
        if got != layout.QE_VENDOR_INTEL:
            raise Failed(mismatch("quote.qe_vendor_id", got.hex(), layout.QE_VENDOR_INTEL.hex()))


class DocumentSteps:
    """Steps over one of the two signed documents, ``tcb_info`` and ``qe_identity``; ``noun`` stands in the ids."""

    def __init__(
        self,
        scheme: str,
        name: str,
        get: Callable[[DcapCollateral], TcbInfo | QeIdentity | None],
        chain_of: Callable[[DcapCollateral], tuple[Certificate, ...]],
        wanted: Mapping[int, str],
    ) -> None:
        self.scheme = scheme
        self.name = name
        self.noun = f"{scheme}.{name.replace('_', '-')}"
        self.get = get
        self.chain_of = chain_of
        self.wanted = wanted
        self.signer = IntelChain(
            self._signer_chain, PROFILE, partial(shaped, length=_SIGNER_LENGTH, names=(TCB_SIGNING,))
        )

    def document(self, subject: Dcap) -> TcbInfo | QeIdentity:
        """Return the document; one that is missing is ``CannotDecide``."""
        document = self.get(subject.collateral)
        if document is None:
            raise CannotDecide(endorsement_id(self.scheme, self.name), f"{self.name}: got nothing, want it")
        return document

    def _signer_chain(self, subject: Dcap) -> Chain:
        """Return the signer's chain; one that is missing is ``CannotDecide``."""
        self.document(subject)
        chain = self.chain_of(subject.collateral)
        if not chain:
            name = f"{self.name}_chain"
            raise CannotDecide(endorsement_id(self.scheme, name), f"{name}: got nothing, want its signer and root")
        return chain

    def chain(self, subject: Dcap) -> None:
        """The signer is Intel's TCB Signing, under the pinned root."""
        self.signer.constraints(subject)
        self.signer.signature(subject)

    def signature(self, subject: Dcap) -> None:
        """The exact bytes of the inner object are signed."""
        signed, path = self.document(subject).signed, self.signer.path(subject)
        known = (b"intel-json", path.leaf.digest, signed.digest)
        if subject.chains.has(known, subject.now):
            return
        check_signatures(path, subject.chains, subject.now)
        if not is_signed(path.leaf_key(), signed.signature, signed.body):
            raise Failed(f"{self.name}: signature does not verify with TCB Signing's key")
        subject.chains.put(known, path.leaf.not_after)

    def identity(self, subject: Dcap) -> None:
        """The document is of this kind of TEE."""
        got, want = self.document(subject).id, self.wanted[quote_of(subject).tee_type]
        if got != want:
            raise Failed(mismatch(f"{self.name}.id", got, want))

    def issued(self, subject: Dcap) -> None:
        """``issueDate`` is not in the future."""
        got = self.document(subject).issued
        if subject.now < got:
            detail = f"{self.name}.issueDate: got {got}, want at most the time {subject.now}"
            raise Failed(detail)

    def expired(self, subject: Dcap) -> None:
        """``nextUpdate`` is not in the past."""
        got = self.document(subject).next_update
        if subject.now > got:
            detail = f"{self.name}.nextUpdate: got {got}, want at least the time {subject.now}"
            raise Failed(detail)

    def signer_revoked(self, subject: Dcap) -> None:
        """The root CRL does not list the signer."""
        crl = subject.collateral.root_crl
        if crl is not None:
            check_revocation(self.signer.path(subject), (crl,))


def tcb_info_steps(scheme: str) -> DocumentSteps:
    """Return the steps over TCB info."""
    return DocumentSteps(scheme, "tcb_info", lambda given: given.tcb_info, lambda given: given.tcb_chain, _INFO_IDS)


def qe_identity_steps(scheme: str) -> DocumentSteps:
    """Return the steps over the QE identity."""
    return DocumentSteps(scheme, "qe_identity", lambda given: given.qe_identity, lambda given: given.qe_chain, _QE_IDS)
