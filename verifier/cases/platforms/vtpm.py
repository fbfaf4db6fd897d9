"""Cases with a vTPM: quotes under a key that something else vouches for, judged offline (docs/cases.md).

Checked: every quote's signature, PCR values against its digest, the nonce, the log against the quoted PCRs. The service's demands
that a case does not make (one strong bank, PCR 0 to 7 not zero, exactly the quoted values) are not checked here.
"""

from __future__ import annotations

from typing import Any, Final

from verifier.cases.form import CaseFiles
from verifier.cases.platforms.tpm2 import SignedQuote, require_log, require_quote, signed_quotes
from verifier.cases.reading import hex_value, switch
from verifier.core.binding import require_bound
from verifier.core.ids import BindingId
from verifier.formats.errors import EvidenceRejected, MalformedEvidence, named
from verifier.formats.x509 import Certificate
from verifier.formats.x509chain import Anchor, ChainCache, ChainIds, Path, verify_chain
from verifier.tee.tcg.banks import as_written_strictly, decode_banks
from verifier.tee.tcg.data import require_data
from verifier.tee.tcg.decode import decode_log
from verifier.tee.tcg.layout import EventLog
from verifier.tee.tcg.replay import require_replay
from verifier.tee.tpm2.keys import Key
from verifier.tee.tpm2.quote import require_digest
from verifier.tee.vtpm.akcert import PROFILE, AkChain, ordered, read_certificates, subject_text

POLICY_KEYS: Final = frozenset(("nonce", "allow_sha1_signature", "check_event_data"))
_CERTIFICATES: Final = (".pem", ".der", ".crt", ".cer")
_MOST: Final = 8


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def ak_certificate(files: CaseFiles, scheme: str) -> Certificate | None:
    """Return the AK's certificate of a case, from evidence or collateral; PEM, or DER with or without padding."""
    for name, data in {**files.collateral, **files.evidence}.items():
        if _stem(name) == "ak_cert" and name.endswith(_CERTIFICATES):
            return read_certificates(data, f"{scheme}.endorsement.ak_cert", name, most=_MOST)[0]
    return None


def ak_chain(files: CaseFiles, scheme: str, leaf: Certificate) -> AkChain:
    """Order the certificates of a case above the AK's. A file that holds none (a CRL, a key) is not one of them."""
    between: list[Certificate] = []
    for name, data in {**files.evidence, **files.collateral}.items():
        if not name.endswith(_CERTIFICATES) or "crl" in name or "_pub" in name:
            continue
        try:
            read = read_certificates(data, f"{scheme}.endorsement.ak_chain", name, most=_MOST)
            # Some sources keep the whole chain in the leaf's file.
            between += read[1:] if _stem(name) == "ak_cert" else read
        except MalformedEvidence:
            # Certificates of the CPU's own chain lie in the same folder; if this one was needed, the chain ends before it.
            continue
    return ordered(leaf, tuple(between))


def verified_ak_path(files: CaseFiles, chain: AkChain, scheme: str, anchors: tuple[Anchor, ...]) -> Path:
    """Verify the AK's chain at the time of the case, under the pinned anchors alone."""
    return verify_chain(
        chain.certificates,
        anchors,
        now=files.now,
        ids=ChainIds.below(f"{scheme}.ak-cert"),
        cache=ChainCache(),
        profile=PROFILE,
    )


def quotes_of(files: CaseFiles, scheme: str) -> tuple[SignedQuote, ...]:
    """Return every quote of a case; none where it has none."""
    if not any(name.endswith(".msg") for name in files.evidence):
        return ()
    return signed_quotes(files.evidence, prefix=scheme)


def log_of(files: CaseFiles, scheme: str) -> EventLog | None:
    """Return the event log of a case."""
    data = files.evidence.get("eventlog.bin")
    return None if data is None else decode_log(data, check_id=f"{scheme}.decode.eventlog")


def certificate_claims(files: CaseFiles, scheme: str) -> dict[str, Any]:
    """Say whose name the AK's certificate carries."""
    certificate = ak_certificate(files, scheme)
    if certificate is None:
        return {}
    return {"ak_cert_subject": subject_text(certificate, f"{scheme}.endorsement.ak_cert")}


def judge_quotes(files: CaseFiles, key: Key, scheme: str, *, schemes: frozenset[int]) -> None:
    """Refuse a case whose quotes, nonce, PCR values or log are not what they should be under this key."""
    nonce = hex_value(files.policy, "nonce")
    allow_sha1, check_data = switch(files.policy, "allow_sha1_signature"), switch(files.policy, "check_event_data")
    quotes = quotes_of(files, scheme)
    if nonce is not None and not quotes:
        raise EvidenceRejected(BindingId.USER_DATA, f"nonce: got no quote to carry it, want {nonce.hex()}")
    raw_banks, where = files.evidence.get("pcrs.json"), f"{scheme}.decode.pcrs"
    banks = None if raw_banks is None else decode_banks(as_written_strictly(raw_banks), where, "pcrs.json")
    log = log_of(files, scheme)
    for signed in quotes:
        require_quote(signed, key, None, allow_sha1=allow_sha1, platform=scheme, schemes=schemes)
        if nonce is not None:
            require_bound(signed.quote.extra_data, nonce)
        if banks is not None:
            with named(f"{scheme}.pcrs.digest"):
                require_digest(signed.quote, signed.signature, banks)
    if log is None:
        return
    if banks is not None and quotes:
        require_log(log, quotes, banks, platform=scheme, replayed=require_replay)
    if check_data:
        with named(f"{scheme}.eventlog.data"):
            require_data(log)
