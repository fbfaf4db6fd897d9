"""The certificate that a cloud gives a vTPM's attestation key, and its chain.

Checked: a pinned root above it, CA constraints, signatures, validity of every certificate. Not checked: CRLs of clouds' vTPM CAs
(no source of the verifier's own has them), extended key usage (clouds write EK's into AK certificates).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from cryptography import x509

from verifier.formats.errors import MalformedEvidence
from verifier.formats.pem import pem_blocks
from verifier.formats.reader import Reader
from verifier.formats.x509 import OID_EXTENDED_KEY_USAGE, OID_SUBJECT_ALT_NAME, Certificate, parse_certificate
from verifier.formats.x509chain import Anchor, Profile
from verifier.tee.chain import Chain, ChainSteps
from verifier.tee.scheme import Subject

MAX_INTERMEDIATES: Final = 4
# Both may be critical in AK certificates (TCG EK Credential Profile 2.5 says so of EKs); the leaf's own use is the composite's check.
PROFILE: Final = Profile(tolerated=frozenset({OID_SUBJECT_ALT_NAME, OID_EXTENDED_KEY_USAGE}), max_length=6)
_LONG_FORM: Final = 0x80


@dataclass(frozen=True, slots=True, eq=False)
class AkChain:
    """The AK's certificate and what stands between it and a root, leaf first; unverified."""

    certificates: tuple[Certificate, ...]

    @property
    def leaf(self) -> Certificate:
        """The AK's own certificate."""
        return self.certificates[0]


def without_padding(data: bytes, check_id: str) -> bytes:
    """Return the DER element at the start of what an NV index holds; only zeros may follow it."""
    reader = Reader(data, check_id, "ak_cert")
    reader.take(1, "tag")
    size = reader.u8("length")
    if size >= _LONG_FORM:
        size = int.from_bytes(reader.take(size - _LONG_FORM, "length"), "big")
    reader.take(size, "certificate")
    end = reader.position
    if any(reader.rest()):
        raise MalformedEvidence(check_id, f"ak_cert: got bytes after its {end}, want zeros or nothing")
    return data[:end]


def read_certificates(data: bytes, check_id: str, what: str, *, most: int) -> tuple[Certificate, ...]:
    """Read PEM blocks, or one DER certificate with or without the padding of an NV index."""
    try:
        blocks = pem_blocks(data, "CERTIFICATE")
    except ValueError as error:
        raise MalformedEvidence(check_id, f"{what}: {error}") from None
    if len(blocks) > most:
        raise MalformedEvidence(check_id, f"{what}: got {len(blocks)} certificates, want at most {most}")
    return tuple(parse_certificate(der, check_id, what) for der in blocks or (without_padding(data, check_id),))


def read_chain(given: Mapping[str, bytes], scheme: str) -> AkChain | None:
    """Read ``ak_cert`` and ``ak_chain``; ``None`` without an AK certificate."""
    if "ak_cert" not in given:
        return None
    leaf_id, chain_id = f"{scheme}.endorsement.ak_cert", f"{scheme}.endorsement.ak_chain"
    leaf = read_certificates(given["ak_cert"], leaf_id, "ak_cert", most=1)[0]
    between: tuple[Certificate, ...] = ()
    if "ak_chain" in given:
        between = read_certificates(given["ak_chain"], chain_id, "ak_chain", most=MAX_INTERMEDIATES)
    return ordered(leaf, between)


@lru_cache(maxsize=1024)
def ordered(leaf: Certificate, between: tuple[Certificate, ...]) -> AkChain:
    """Order a chain by its names: intermediates come in any order, some of them may be of another chain.

    Several of one name are told apart by their signatures alone: the first is taken, as the walk from the root decides.
    """
    chain, left = [leaf], list(between)
    while (
        issuer := next((c for c in left if c.subject == chain[-1].issuer and _fits(chain[-1], c)), None)
    ) is not None:
        chain.append(issuer)
        left.remove(issuer)
    return AkChain(tuple(chain))


_SUBJECT_KEY_ID: Final = "2.5.29.14"
_AUTHORITY_KEY_ID: Final = "2.5.29.35"


def _fits(certificate: Certificate, issuer: Certificate) -> bool:
    """Tell whether the issuer's key identifier stands in the certificate's authority key identifier, where both have one.

    Google has several intermediates of one name and different keys.
    """
    named = certificate.extensions.get(_AUTHORITY_KEY_ID)
    own = issuer.extensions.get(_SUBJECT_KEY_ID)
    return named is None or own is None or own.value[2:] in named.value


def subject_text(certificate: Certificate, check_id: str) -> str:
    """Return the subject as RFC 4514 writes it."""
    try:
        return x509.load_der_x509_certificate(certificate.der).subject.rfc4514_string()
    except ValueError:
        raise MalformedEvidence(check_id, "ak_cert: the subject cannot be read") from None


def chain_steps(chain_of: Callable[[Subject[Any, Any]], AkChain | None], own: tuple[Anchor, ...]) -> ChainSteps:
    """Return the steps over the AK's chain. ``chain_of`` answers ``None`` where no certificate came and none is demanded."""

    def certificates(subject: Subject[Any, Any]) -> Chain | None:
        chain = chain_of(subject)
        return None if chain is None else chain.certificates

    return ChainSteps(certificates, PROFILE, own=own)
