"""The scheme's record: what ``aws_nitro`` hands to the registry. AWS is trusted here: the host is *not* excluded."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from cryptography import x509

from verifier.formats.x509 import Certificate
from verifier.tee.aws_nitro import layout, rules, verify
from verifier.tee.aws_nitro.decode import Document, decode, encode
from verifier.tee.aws_nitro.rules import NitroVerified
from verifier.tee.aws_nitro.verify import Collateral
from verifier.tee.chain import pinned
from verifier.tee.scheme import Binding, Carried, CollateralOf, Form, Scheme, TokenOf, Verification, appraisal_of

ANCHORS: Final = (pinned(__package__, "AWS Nitro Enclaves root G1", "root_g1.der"),)


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()


def _when(seconds: int) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat()


def _subject(certificate: Certificate) -> str | None:
    """Return the subject as RFC 4514 has it; ``None`` for a certificate that another reader refuses."""
    try:
        return x509.load_der_x509_certificate(certificate.der).subject.rfc4514_string()
    except ValueError:
        return None


def document_claims(document: Document, pcrs: str) -> dict[str, Any]:
    """Say what a document holds, under the names of published cases; ``pcrs``: the name of its PCRs."""
    # A document is valid while all of its certificates are.
    chain = document.chain
    claims: dict[str, Any] = {
        "module_id": document.module_id,
        "digest": document.digest,
        "timestamp_ms": document.timestamp,
        pcrs: {str(index): value.hex() for index, value in document.pcrs.items()},
        "public_key": _hex(document.public_key),
        "user_data": _hex(document.user_data),
        "nonce": _hex(document.nonce),
        "cabundle_length": len(document.cabundle),
        "chain_not_before": _when(max(c.not_before for c in chain)),
        "chain_not_after": _when(min(c.not_after for c in chain)),
        "leaf_subject": _subject(document.certificate),
    }
    return claims if not document.unknown else {**claims, "unknown_keys": list(document.unknown)}


def evidence_claims(document: Document) -> dict[str, Any]:
    """Say what an enclave's document holds."""
    return {**document_claims(document, layout.PCRS), "debug": document.is_debug}


def carried_beside(document: Document) -> tuple[Carried, ...]:
    """Return what else of the challenge the document has to carry: the nonce itself and ``enc`` (docs/tee/aws-nitro.md)."""
    return Carried(document.nonce or b"", "nonce"), Carried(document.public_key or b"", "enc")


def _measurement(verified: NitroVerified, _matched: object) -> str:
    return verified.evidence.pcrs.get(0, b"").hex()


SCHEME: Final[Scheme[Document, Collateral]] = Scheme(
    name=layout.NAME,
    host_excluded=False,
    form=Form(required=frozenset({layout.PART}), decode=decode, encode=encode, claims=evidence_claims),
    binding=Binding(size="whole", value=lambda document: document.user_data or b"", also=carried_beside),
    collateral=CollateralOf(collate=lambda _document, _given: Collateral()),
    verification=Verification(
        checks=verify.CHECKS, anchors=ANCHORS, root=verify.document_chain(lambda document: document).root_of
    ),
    appraisal=appraisal_of(f"{__package__}.identity", rules, layout.FIELDS, "workload"),
    token=TokenOf(
        measurement=_measurement,
        instance=lambda verified: ("aws-nitro.module", verified.evidence.module_id),
        # Debug mode is chosen when the enclave is started (RFC 9711 section 4.2.9).
        debug_status=lambda document: "enabled" if document.is_debug else "disabled-since-boot",
    ),
)
