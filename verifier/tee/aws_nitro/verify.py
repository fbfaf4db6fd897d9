"""Is the document genuine? Chain from AWS's pinned root, the leaf's signature over the payload as received, the document's time.

Shared with ``aws-nitrotpm``, whose documents come in the same envelope: ``document_checks`` makes the checks under a scheme's name.
Not checked: revocation. Leaves live three hours, instance certificates a day, and AWS's own procedure has no CRLs
(AWS, "Verifying the root of trust", section on revocation), so Nitro declares none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec

from verifier.formats.cose import ALGORITHMS, ES384, verify_sign1
from verifier.formats.errors import Failed, mismatch
from verifier.formats.x509 import USAGE_DIGITAL_SIGNATURE, SignatureAlgorithm
from verifier.formats.x509chain import Path, Profile
from verifier.tee.aws_nitro import layout
from verifier.tee.aws_nitro.decode import Document
from verifier.tee.chain import ChainSteps
from verifier.tee.scheme import Check, Subject

# Root, region, zone, instance, leaf: all P-384, signed with SHA-384 (section 3.2.3).
PROFILE: Final = Profile(algorithms=frozenset({SignatureAlgorithm("ecdsa", "sha384")}))
_MS: Final = 1000


@dataclass(frozen=True, slots=True)
class Collateral:
    """Nothing: a document brings its chain, and AWS publishes no CRL that has to be asked."""


AnySubject: TypeAlias = Subject[Any, Any]


def _root(document: Document, path: Path) -> None:
    top, pinned = document.cabundle[0], path.certificates[0]
    if top.spki != pinned.spki or top.subject != pinned.subject:
        raise Failed(mismatch("cabundle[0]", "another certificate", f"the root, {path.anchor.name}"))


def _leaf_usage(document: Document) -> None:
    leaf = document.certificate
    if leaf.is_ca:
        raise Failed(mismatch("certificate", "a CA", "an end-entity certificate"))
    if leaf.key_usage is None or USAGE_DIGITAL_SIGNATURE not in leaf.key_usage:
        got = "none" if leaf.key_usage is None else f"bits {sorted(leaf.key_usage)}"
        raise Failed(mismatch("certificate.keyUsage", got, "digitalSignature"))


def _algorithm(document: Document) -> None:
    alg = document.sign1.alg
    if alg != ES384:
        known = ALGORITHMS.get(alg)
        raise Failed(mismatch("protected.alg", known.name if known else alg, "ES384"))


def _signature(document: Document, path: Path) -> None:
    key = path.leaf_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise Failed(mismatch("certificate key", type(key).__name__, "P-384"))
    verify_sign1(document.sign1, key)


def _timestamp(document: Document) -> None:
    leaf, seen = document.certificate, document.timestamp
    if not leaf.not_before * _MS <= seen <= leaf.not_after * _MS:
        want = f"{leaf.not_before * _MS} to {leaf.not_after * _MS}, the leaf's validity"
        raise Failed(mismatch("timestamp", f"{seen} ms", want))


def document_chain(document_of: Callable[[Any], Document]) -> ChainSteps:
    """Return the steps over a document's chain. Without CRLs nothing is ever refused as revoked."""
    return ChainSteps(lambda subject: document_of(subject.evidence).chain, PROFILE)


def document_checks(scheme: str, document_of: Callable[[Any], Document]) -> tuple[Check[Any, Any], ...]:
    """Return the checks of a document, in order, under the ids of ``scheme``."""
    chain = document_chain(document_of)

    def over(step: Callable[[Document], None]) -> Callable[[AnySubject], None]:
        return lambda subject: step(document_of(subject.evidence))

    def with_path(step: Callable[[Document, Path], None]) -> Callable[[AnySubject], None]:
        return lambda subject: step(document_of(subject.evidence), chain.path(subject))

    return (
        *chain.checks(f"{scheme}.chain", root=Check(f"{scheme}.chain.root", with_path(_root))),
        Check(f"{scheme}.leaf.usage", over(_leaf_usage)),
        Check(f"{scheme}.document.algorithm", over(_algorithm)),
        Check(f"{scheme}.document.signature", with_path(_signature)),
        Check(f"{scheme}.document.timestamp", over(_timestamp)),
    )


CHECKS: Final[tuple[Check[Document, Collateral], ...]] = document_checks(layout.NAME, lambda document: document)
