"""Is the document genuine? Chain from AWS's pinned root, the leaf's signature over the payload as received, the document's time.

Shared with ``aws-nitrotpm``, whose documents come in the same envelope: ``document_checks`` makes the checks under a scheme's name.
Not checked: revocation. Leaves live three hours, instance certificates a day, and AWS's own procedure has no CRLs
(attestation_process.md section 3.2.3.4), so Nitro declares none (design.md section 5).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec

from verifier.formats.cose import ALGORITHMS, ES384, verify_sign1
from verifier.formats.errors import EvidenceRejected, mismatch
from verifier.formats.x509 import USAGE_DIGITAL_SIGNATURE, SignatureAlgorithm
from verifier.formats.x509chain import (
    ChainIds,
    Path,
    Profile,
    Root,
    check_constraints,
    check_signatures,
    check_validity,
    find_path,
    require_path,
)
from verifier.tee.aws_nitro import layout
from verifier.tee.aws_nitro.decode import Document
from verifier.tee.scheme import Check, Subject

# Root, region, zone, instance, leaf: all P-384, signed with SHA-384 (section 3.2.3).
PROFILE: Final = Profile(algorithms=frozenset({SignatureAlgorithm("ecdsa", "sha384")}))
_MS: Final = 1000


@dataclass(frozen=True, slots=True)
class Collateral:
    """Nothing: a document brings its chain, and AWS publishes no CRL that has to be asked."""


NitroSubject: TypeAlias = Subject[Document, Collateral]
AnySubject: TypeAlias = Subject[Any, Any]
Run: TypeAlias = Callable[[Document, AnySubject], None]


def chain_ids(scheme: str) -> ChainIds:
    """Return the ids of a scheme's chain. Without CRLs nothing is ever refused as revoked."""
    return ChainIds(
        root=f"{scheme}.chain.root",
        signature=f"{scheme}.chain.signature",
        validity=f"{scheme}.chain.validity",
        constraints=f"{scheme}.chain.constraints",
        revoked="",
        crl="",
    )


def _path(document: Document, subject: AnySubject, ids: ChainIds) -> Path:
    # Steps after the first name a missing anchor by what they could not do: there is no key to start the walk from.
    return require_path(document.chain, subject.anchors, replace(ids, root=ids.signature))


def document_root(document: Document, subject: AnySubject) -> Root:
    """Return whose anchor the chain ended in. Only after the checks."""
    path = find_path(document.chain, subject.anchors)
    if path is None:
        raise TypeError("document_root before the checks")
    return path.anchor.root


def _root(document: Document, subject: AnySubject, ids: ChainIds) -> None:
    path = require_path(document.chain, subject.anchors, ids)
    top, pinned = document.cabundle[0], path.certificates[0]
    if top.spki != pinned.spki or top.subject != pinned.subject:
        raise EvidenceRejected(
            ids.root, mismatch("cabundle[0]", "another certificate", f"the root, {path.anchor.name}")
        )


def _leaf_usage(document: Document, check_id: str) -> None:
    leaf = document.certificate
    if leaf.is_ca:
        raise EvidenceRejected(check_id, mismatch("certificate", "a CA", "an end-entity certificate"))
    if leaf.key_usage is None or USAGE_DIGITAL_SIGNATURE not in leaf.key_usage:
        got = "none" if leaf.key_usage is None else f"bits {sorted(leaf.key_usage)}"
        raise EvidenceRejected(check_id, mismatch("certificate.keyUsage", got, "digitalSignature"))


def _algorithm(document: Document, check_id: str) -> None:
    alg = document.sign1.alg
    if alg != ES384:
        known = ALGORITHMS.get(alg)
        raise EvidenceRejected(check_id, mismatch("protected.alg", known.name if known else alg, "ES384"))


def _signature(document: Document, subject: AnySubject, ids: ChainIds, check_id: str) -> None:
    key = _path(document, subject, ids).leaf_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise EvidenceRejected(check_id, mismatch("certificate key", type(key).__name__, "P-384"))
    verify_sign1(document.sign1, key, check_id)


def _timestamp(document: Document, check_id: str) -> None:
    leaf, seen = document.certificate, document.timestamp
    if not leaf.not_before * _MS <= seen <= leaf.not_after * _MS:
        want = f"{leaf.not_before * _MS} to {leaf.not_after * _MS}, the leaf's validity"
        raise EvidenceRejected(check_id, mismatch("timestamp", f"{seen} ms", want))


_ASK_AWS: Final = "ask for a document of a genuine Nitro, or add the root that was used to private_anchor_dir"
_AGAIN: Final = "have the attester ask the Nitro Secure Module for a new document, and pass its bytes on unchanged"


def document_checks(scheme: str, document_of: Callable[[Any], Document]) -> tuple[Check[Any, Any], ...]:
    """Return the checks of a document, in order, under the ids of ``scheme``."""
    ids = chain_ids(scheme)
    usage, algorithm = f"{scheme}.leaf.usage", f"{scheme}.document.algorithm"
    signature, timestamp = f"{scheme}.document.signature", f"{scheme}.document.timestamp"

    def over(run: Run) -> Callable[[AnySubject], None]:
        return lambda subject: run(document_of(subject.evidence), subject)

    return (
        Check(ids.root, over(lambda d, s: _root(d, s, ids)), remedy=_ASK_AWS),
        Check(ids.constraints, over(lambda d, s: check_constraints(_path(d, s, ids), ids, PROFILE)), remedy=_ASK_AWS),
        Check(
            ids.signature,
            over(lambda d, s: check_signatures(_path(d, s, ids), ids, s.chains, s.now)),
            remedy=_ASK_AWS,
        ),
        Check(
            ids.validity,
            over(lambda d, s: check_validity(_path(d, s, ids), ids, s.now)),
            remedy="ask for a new document: the certificate of one lives three hours; check the verifier's clock",
        ),
        Check(usage, over(lambda d, _s: _leaf_usage(d, usage)), remedy=_AGAIN),
        Check(algorithm, over(lambda d, _s: _algorithm(d, algorithm)), remedy=_AGAIN),
        Check(signature, over(lambda d, s: _signature(d, s, ids, signature)), remedy=_AGAIN),
        Check(timestamp, over(lambda d, _s: _timestamp(d, timestamp)), remedy=_AGAIN),
    )


CHECKS: Final[tuple[Check[Document, Collateral], ...]] = document_checks(layout.NAME, lambda document: document)
