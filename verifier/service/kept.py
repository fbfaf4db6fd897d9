"""What a record keeps of evidence: the envelope of what was decoded, without the padding that any sender may add.

Kept are the parts as they came, because what is bound and signed is over their exact bytes. Of endorsements only the certificates
are kept, one as DER, several as PEM: never the text around PEM blocks, never zeros behind DER, never an endorsement that is no
certificate (a scheme that did not need it has not looked at it). ``verifier appraise`` reads the same from it.
"""

from __future__ import annotations

import json
from typing import Any

from verifier.core.envelope import ENVELOPE_VERSION
from verifier.core.wire import EvidenceEnvelope
from verifier.formats.encoding import b64url
from verifier.formats.errors import MalformedEvidence
from verifier.formats.pem import is_pem, pem_blocks, to_pem
from verifier.formats.x509 import der_end, parse_certificate

_LABEL = "CERTIFICATE"


def kept_evidence(envelope: EvidenceEnvelope) -> bytes:
    """Return the envelope as JSON, names in the sender's order. Call it only for evidence that was verified."""
    return _ENCODE(_form(envelope)).encode("ascii")


_ENCODE = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def _form(envelope: EvidenceEnvelope) -> dict[str, Any]:
    endorsements = {name: certificates_alone(data) for name, data in envelope.unverified_endorsements.items()}
    return {
        "version": ENVELOPE_VERSION,
        "scheme": envelope.scheme,
        "parts": {name: b64url(data) for name, data in envelope.unverified_parts.items()},
        "endorsements": {name: b64url(data) for name, data in endorsements.items() if data},
        "components": [_form(component) for component in envelope.components],
    }


def certificates_alone(data: bytes) -> bytes:
    """Return the certificates of an endorsement and nothing else: DER, or PEM where there are several; nothing where there is none."""
    try:
        ders = pem_blocks(data, _LABEL) if is_pem(data) else _one_der(data)
        for der in ders:
            parse_certificate(der, _LABEL)
    except (ValueError, MalformedEvidence):
        return b""
    return ders[0] if len(ders) == 1 else b"".join(to_pem(der, _LABEL) for der in ders)


def _one_der(data: bytes) -> tuple[bytes, ...]:
    """Return the one DER element that zeros may follow, as in a TPM's NV index; PEM blocks where the data only begin like DER."""
    end = der_end(data)
    if end is not None and not any(data[end:]):
        return (data[:end],)
    return pem_blocks(data, _LABEL)
