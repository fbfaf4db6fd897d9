"""Is it genuine? The document as an enclave's is; then that the quote beside it is by the document's key and over its PCRs.

PCR values count because AWS signed them in the document. ``public_key`` is what the requester put there: nothing says
that it is a TPM's key, so the quote adds the challenge (extraData) and consistency, no trust of its own (docs/tee/aws-nitrotpm.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from verifier.formats.errors import Failed, MalformedEvidence, mismatch
from verifier.tee.aws_nitro.decode import Document
from verifier.tee.aws_nitro.verify import document_checks
from verifier.tee.aws_nitrotpm import layout
from verifier.tee.aws_nitrotpm.decode import Evidence
from verifier.tee.scheme import Check, Subject
from verifier.tee.tcg.data import DATA_IS_HASHED_STRICTLY, require_data
from verifier.tee.tcg.layout import HASHES, SHA384
from verifier.tee.tcg.replay import require_replay
from verifier.tee.tpm2 import quote as steps
from verifier.tee.tpm2.keys import Key, checked_key
from verifier.tee.tpm2.layout import ALG_ECDSA, ALG_RSAPSS, ALG_RSASSA

_SCHEMES: Final = frozenset((ALG_RSASSA, ALG_RSAPSS, ALG_ECDSA))
_POINTS: Final[dict[int, ec.EllipticCurve]] = {65: ec.SECP256R1(), 97: ec.SECP384R1()}  # 04, x, y


@dataclass(frozen=True, slots=True)
class Collateral:
    """Nothing: the document brings its chain."""


Subject_: TypeAlias = Subject[Evidence, Collateral]


def attestation_key(document: Document) -> Key:
    """Load the AK in the document: an uncompressed point of P-256 or P-384, or DER SubjectPublicKeyInfo.

    Only after the document was verified. Raises ``Failed``.
    """
    data = document.public_key
    if data is None:
        raise Failed(mismatch("public_key", "nothing", "the attestation key"))
    try:
        curve = _POINTS.get(len(data)) if data[:1] == b"\x04" else None
        if curve is not None:
            return checked_key(ec.EllipticCurvePublicKey.from_encoded_point(curve, data), layout.NAME)
        return checked_key(load_der_public_key(data), layout.NAME)
    except (ValueError, UnsupportedAlgorithm, MalformedEvidence):
        want = "an uncompressed P-256 or P-384 point, or a SubjectPublicKeyInfo of RSA 2048-4096 or NIST curves"
        raise Failed(mismatch("public_key", f"{len(data)} other bytes", want)) from None


def _check_ak(subject: Subject_) -> None:
    attestation_key(subject.evidence.document)


def _check_scheme(subject: Subject_) -> None:
    steps.require_scheme(subject.evidence.signature, schemes=_SCHEMES)


def _check_signature(subject: Subject_) -> None:
    evidence = subject.evidence
    steps.require_signature(attestation_key(evidence.document), evidence.signature, evidence.raw[layout.QUOTE])


def _check_selection(subject: Subject_) -> None:
    selections = subject.evidence.quote.selections
    banks = [HASHES[s.algorithm].name for s in selections]
    if banks != [SHA384.name]:
        raise Failed(mismatch("pcrSelect banks", banks, "exactly sha384, as in the document"))
    if not selections[0].pcrs:
        raise Failed(mismatch("pcrSelect", "no PCR", "at least one"))


def _check_digest(subject: Subject_) -> None:
    """The hash is the signature's, not the bank's: SHA-256 over values of the SHA-384 bank."""
    evidence = subject.evidence
    steps.require_digest(evidence.quote, evidence.signature, {SHA384.name: evidence.document.pcrs})


def _check_same(subject: Subject_) -> None:
    banks, pcrs = subject.evidence.banks, subject.evidence.document.pcrs
    if banks is None:
        return
    if set(banks) != {SHA384.name}:
        raise Failed(mismatch("pcrs banks", sorted(banks), "exactly sha384, as in the document"))
    other = [index for index, value in banks[SHA384.name].items() if pcrs.get(index) != value]
    if other:
        raise Failed(mismatch("pcrs", f"other values of PCR {sorted(other)}", "the document's"))


def _check_zero(subject: Subject_) -> None:
    steps.require_measured({SHA384.name: subject.evidence.quoted})


def _check_replay(subject: Subject_) -> None:
    evidence = subject.evidence
    if evidence.log is not None:
        require_replay(evidence.log, SHA384, evidence.quoted, must_explain=steps.LOGGED_PCRS)


def _check_event_data(subject: Subject_) -> None:
    log = subject.evidence.log
    if log is not None:
        require_data(log, algorithms=(SHA384.id,), types=DATA_IS_HASHED_STRICTLY)


CHECKS: Final[tuple[Check[Any, Any], ...]] = (
    *document_checks(layout.NAME, lambda evidence: evidence.document),
    Check(
        "aws-nitrotpm.ak.key",
        _check_ak,
        redundant_with="aws-nitrotpm.quote.signature",
        why="without a key no signature verifies either; this one says that the document's public_key is what is wrong",
    ),
    Check("aws-nitrotpm.quote.scheme", _check_scheme),
    Check("aws-nitrotpm.quote.signature", _check_signature),
    Check("aws-nitrotpm.quote.selection", _check_selection),
    Check("aws-nitrotpm.pcrs.digest", _check_digest),
    Check("aws-nitrotpm.pcrs.document", _check_same),
    Check("aws-nitrotpm.pcrs.zero", _check_zero),
    Check("aws-nitrotpm.eventlog.replay", _check_replay),
    Check("aws-nitrotpm.eventlog.data", _check_event_data),
)
