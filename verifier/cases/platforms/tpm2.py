"""Cases of platform ``tpm2``: quotes judged offline, without enrolment. Nothing judged here ever mints.

Checked: every quote's signature by the AK, PCR values against its digest, the nonce, the log against the quoted PCRs, the AK's
chain where there is one. Not checked: Name, attributes and home of the AK, which a case does not give.
The AK counts as it is given (``anchor: case-given``): ``ak_pub.pem`` by itself, or a certificate under ``test_root_ca.pem``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from cryptography import x509

from verifier.cases.form import CaseFiles, CaseForm, CaseVerdict, IncompleteCase
from verifier.cases.ids import CaseId
from verifier.cases.reading import claims_of, file_of, hex_value, readable_claims_of, switch
from verifier.cases.words import words_of
from verifier.core.binding import require_bound
from verifier.formats.errors import CannotDecide, EvidenceRejected, Failed, MalformedEvidence, named
from verifier.formats.x509 import Certificate
from verifier.formats.x509chain import Anchor, ChainCache, ChainIds, Path, verify_chain
from verifier.tee.ima.decode import decode_list
from verifier.tee.ima.layout import PCR_IMA
from verifier.tee.ima.replay import first_inconsistent
from verifier.tee.tcg.banks import Banks, as_written_strictly, decode_banks
from verifier.tee.tcg.boot import require_boot_replay
from verifier.tee.tcg.claims import log_claims
from verifier.tee.tcg.data import require_data
from verifier.tee.tcg.decode import decode_log
from verifier.tee.tcg.layout import HASHES, EventLog
from verifier.tee.tpm2 import quote as steps
from verifier.tee.tpm2.decode import quoted_entries
from verifier.tee.tpm2.keys import Key, checked_key, describe, load_pem_key, spki
from verifier.tee.tpm2.layout import Quote, Signature, decode_any_signature, decode_quote
from verifier.tee.tpm2.quote import ALL_SCHEMES, quote_claims
from verifier.tee.vtpm.akcert import PROFILE, ordered, read_certificates

PCRS_DECODE = "tpm2.decode.pcrs"
LOG_DECODE = "tpm2.decode.eventlog"
IMA_DECODE = "tpm2.decode.ascii_runtime_measurements"

IDS = ChainIds.named(CaseId, "AK")
_SIGNATURE_SUFFIXES = (".sig.tpmt", ".sig.der", ".sig")
_ROOT_STEM = "test_root_ca"
_CERTIFICATES = (".pem", ".der", ".crt", ".cer")
_MOST = 16  # certificates in a file


@dataclass(frozen=True, slots=True)
class SignedQuote:
    """One ``.msg`` with its signature; ``raw`` is what was signed."""

    raw: bytes
    quote: Quote
    signature: Signature


def _quote(raw: bytes, prefix: str) -> Quote:
    try:
        return decode_quote(raw, check_id=f"{prefix}.decode.quote")
    except MalformedEvidence as error:  # magic and type have ids of their own, under the platform's name
        raise MalformedEvidence(error.check_id.replace("tpm2.", f"{prefix}.", 1), error.detail) from None


def signed_quotes(evidence: Mapping[str, bytes], *, prefix: str = "tpm2") -> tuple[SignedQuote, ...]:
    """Read every quote of a case, in the order of its files. ``prefix`` names the platform in the check ids."""
    found: list[SignedQuote] = []
    for name, raw in evidence.items():
        if not name.endswith(".msg"):
            continue
        stem = name.removesuffix(".msg")
        signature = next((evidence[stem + s] for s in _SIGNATURE_SUFFIXES if stem + s in evidence), None)
        if signature is None:
            raise IncompleteCase(
                f"{prefix}.decode.quote_sig",
                f"{name}: got no signature file beside it, want {stem}.sig.tpmt, .sig.der or .sig",
            )
        quote = _quote(raw, prefix)
        size, where = len(quote.pcr_digest), f"{prefix}.decode.quote_sig"
        found.append(SignedQuote(raw, quote, decode_any_signature(signature, digest_size=size, check_id=where)))
    if not found:
        raise IncompleteCase(f"{prefix}.decode.quote", "evidence: got no quote (*.msg), want at least one")
    return tuple(found)


def _certificates(name: str, data: bytes) -> tuple[Certificate, ...]:
    return read_certificates(data, CaseId.AK_CERT, name, most=_MOST)


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def _ak_certificate(files: CaseFiles) -> Certificate | None:
    given = {**files.collateral, **files.evidence}
    return next((_certificates(n, d)[0] for n, d in given.items() if _stem(n) == "ak_cert"), None)


def _ak_chain(files: CaseFiles, leaf: Certificate) -> Path:
    """Verify the AK's certificate under the root that only the case can give."""
    anchors: list[Anchor] = []
    between: list[Certificate] = []
    for name, data in {**files.evidence, **files.collateral}.items():
        stem = _stem(name)
        # Keys, lists and the leaf itself end like certificates do.
        if not name.endswith(_CERTIFICATES) or stem == "ak_cert" or "_pub" in stem or "crl" in name:
            continue
        if stem == _ROOT_STEM:
            anchors.append(Anchor(name, _certificates(name, data)[0].der, "case-given"))
        else:
            between += _certificates(name, data)
    if not anchors:
        raise CannotDecide(CaseId.AK_MISSING, f"AK certificate: got no {_ROOT_STEM}.pem, want the root of its chain")
    chain = ordered(leaf, tuple(between)).certificates
    return verify_chain(chain, anchors, now=files.now, ids=IDS, cache=ChainCache(), profile=PROFILE)


def _stated_key(files: CaseFiles) -> Key | None:
    pem = file_of(files, "ak_pub.pem")
    return None if pem is None else load_pem_key(pem, CaseId.AK_PUB)


def _key_claims(files: CaseFiles) -> dict[str, Any]:
    claims: dict[str, Any] = {}
    key, certificate = _stated_key(files), _ak_certificate(files)
    if certificate is not None:
        try:
            read = x509.load_der_x509_certificate(certificate.der)
            key = key or checked_key(read.public_key(), CaseId.AK_CERT)
            claims["ak_cert_subject"] = read.subject.rfc4514_string()
        except ValueError:
            raise MalformedEvidence(CaseId.AK_CERT, "ak_cert: subject or key cannot be read") from None
    return claims if key is None else {"ak_type": describe(key), **claims}


def listed_quotes(signed: tuple[SignedQuote, ...]) -> list[dict[str, Any]]:
    """Return the claims of each quote, with the name of its first bank."""
    quotes = [one.quote for one in signed]
    banks = [HASHES[quote.selections[0].algorithm].name if quote.selections else "" for quote in quotes]
    return [{"bank": bank, **quote_claims(quote)} for bank, quote in zip(banks, quotes, strict=True)]


def _quote_claims(files: CaseFiles) -> dict[str, Any]:
    listed = listed_quotes(signed_quotes(files.evidence))
    return {"quotes": listed, **{key: listed[0][key] for key in ("pcr_select", "pcr_digest", "extra_data")}}


def _log_claims(files: CaseFiles) -> dict[str, Any]:
    log = _log(files)
    return {} if log is None else {"log": log_claims(log)}


def _log(files: CaseFiles) -> EventLog | None:
    data = files.evidence.get("eventlog.bin")
    return None if data is None else decode_log(data, check_id=LOG_DECODE)


def require_quote(
    signed: SignedQuote,
    key: Key,
    banks: Banks | None,
    *,
    allow_sha1: bool,
    platform: str = "tpm2",
    schemes: frozenset[int] = ALL_SCHEMES,
) -> None:
    """Refuse a quote whose selection, signature or PCR values are wrong; values that are not there are not compared."""
    with named(f"{platform}.quote.selection"):
        steps.require_some_selection(signed.quote)
    with named(f"{platform}.quote.scheme"):
        steps.require_scheme(signed.signature, schemes=schemes, allow_sha1=allow_sha1)
    with named(f"{platform}.quote.signature"):
        steps.require_signature(key, signed.signature, signed.raw)
    if banks is not None:
        with named(f"{platform}.pcrs.digest"):
            steps.require_digest(signed.quote, signed.signature, banks)


def require_log(
    log: EventLog,
    quotes: tuple[SignedQuote, ...],
    banks: Banks,
    *,
    platform: str = "tpm2",
    replayed: Any = require_boot_replay,
) -> None:
    """Refuse a log that does not give the quoted PCRs that it has events for, in every quoted bank that it carries.

    Comparing nothing is a failure. ``replayed``: which registers may go on behind the log.
    """
    compared = 0
    with named(f"{platform}.eventlog.replay"):
        for signed in quotes:
            for selection in signed.quote.selections:
                if selection.algorithm not in log.banks:
                    continue
                algorithm = HASHES[selection.algorithm]
                bank = banks.get(algorithm.name, {})
                want = {pcr: bank[pcr] for pcr in selection.pcrs if pcr in bank}
                replayed(log, algorithm, want, must_explain=frozenset())
                compared += 1
        if not compared:
            raise Failed("event log: got none of the quoted banks, want at least one")


def require_files(files: CaseFiles, banks: Banks) -> None:
    """Refuse an IMA list, where the case has one, that is not the kernel's or of which no prefix gives a quoted PCR 10."""
    data = files.evidence.get("ascii_runtime_measurements")
    if data is None:
        return
    ima = decode_list(data, check_id=IMA_DECODE)
    if (wrong := first_inconsistent(ima.entries)) is not None:
        raise EvidenceRejected("tpm2.ima.template", f"IMA list, entry {wrong}: template hash is not that of its data")
    given = {bank: {bank: values} for bank, values in banks.items() if PCR_IMA in values}
    if not given:
        raise EvidenceRejected("tpm2.ima.replay", f"IMA list: got no PCR {PCR_IMA} in the quote, want it beside a list")
    for bank, values in given.items():
        if not quoted_entries(ima, values):
            raise EvidenceRejected(
                "tpm2.ima.replay", f"{bank} PCR {PCR_IMA}: got it after none of {len(ima.entries)} entries"
            )


def _judge(files: CaseFiles) -> CaseVerdict:
    quotes = signed_quotes(files.evidence)
    nonce, allow_sha1 = hex_value(files.policy, "nonce"), switch(files.policy, "allow_sha1_signature")
    raw_banks = files.evidence.get("pcrs.json")
    banks = None if raw_banks is None else decode_banks(as_written_strictly(raw_banks), PCRS_DECODE, "pcrs")
    log = _log(files)
    key = _trusted_key(files)
    for signed in quotes:
        require_quote(signed, key, banks, allow_sha1=allow_sha1)
        if nonce is not None:
            require_bound(signed.quote.extra_data, nonce)
    if banks is not None:
        require_files(files, banks)
    if log is not None and banks is not None:
        require_log(log, quotes, banks)
        if switch(files.policy, "check_event_data"):
            with named("tpm2.eventlog.data"):
                require_data(log)
    return CaseVerdict(root="case-given", anchor="case-given")


def _trusted_key(files: CaseFiles) -> Key:
    """Return the key that the case lets count: its certificate's, else ``ak_pub.pem`` as it stands."""
    stated, certificate = _stated_key(files), _ak_certificate(files)
    if certificate is None:
        if stated is None:
            raise CannotDecide(CaseId.AK_MISSING, "AK: got neither ak_cert nor ak_pub.pem, want one")
        return stated
    key = checked_key(_ak_chain(files, certificate).leaf_key(), CaseId.AK_CERT)
    if stated is not None and spki(stated) != spki(key):
        raise EvidenceRejected(CaseId.AK_KEY, "ak_pub.pem: another key than the AK certificate's")
    return key


_CLAIMS = (_quote_claims, _key_claims, _log_claims)
CASE = CaseForm(
    platform="tpm2",
    policy_keys=frozenset(("nonce", "allow_sha1_signature", "check_event_data")),
    claims=partial(claims_of, _CLAIMS),
    judge=_judge,
    fallback_claims=partial(readable_claims_of, _CLAIMS),
    words=words_of("tpm2"),
)
