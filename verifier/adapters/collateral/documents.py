"""Is a document what was asked for? Looked at before it is kept, and whenever it is read back.

A document that passes is one of its kind and key, and carries its dates. That it is *genuine* (signed, by whom) is the scheme's
to say at each use; what an anchor itself signs is looked at here too (``is_of_anchor``), so that a false mirror cannot stop logins.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from verifier.adapters.collateral import items
from verifier.adapters.collateral.items import Item
from verifier.formats.errors import Failed, MalformedEvidence
from verifier.formats.x509 import Certificate, common_name, parse_certificate, parse_crl, pem_blocks
from verifier.formats.x509chain import Anchor, ChainCache, check_signatures, find_path, is_crl_of
from verifier.tee.dcap.marks import marks_of
from verifier.tee.dcap.pck import read_pck
from verifier.tee.nvidia_gpu.ocsp import read_answer
from verifier.tee.sev_snp.decode import read_vek

MAX_DOCUMENT: Final = 1024 * 1024
_WHAT: Final = "collateral"
_MOST_ANSWER_S: Final = 31 * 86_400
_SIGNATURE = re.compile(r"[0-9a-fA-F]{128}", re.ASCII)
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
_INTEL_IDS: Final[Mapping[str, str]] = MappingProxyType({"sgx": "QE", "tdx": "TD_QE"})


class BadDocument(Exception):
    """Not the document that was asked for; the text says how."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Dates of a document, Unix seconds, and its place among its like: a higher ``rank`` is newer."""

    issued: int
    expires: int
    rank: tuple[int, ...]


def inspect(item: Item, body: bytes, chain: bytes = b"") -> Facts:
    """Return the document's facts; ``BadDocument`` for one of another kind, chip, product or platform, or that cannot be read."""
    if not body or len(body) > MAX_DOCUMENT or len(chain) > MAX_DOCUMENT:
        raise BadDocument(f"{item}: got {len(body)} and {len(chain)} bytes, want 1 to {MAX_DOCUMENT}")
    try:
        facts = _READERS[item.kind](item, body, chain)
    except (MalformedEvidence, ValueError, OverflowError, RecursionError) as error:
        raise BadDocument(f"{item}: {error}") from None
    if facts.expires <= facts.issued:
        raise BadDocument(f"{item}: got an end at {facts.expires}, want one after {facts.issued}")
    return facts


def _require(what: str, got: object, want: object) -> None:
    if got != want:
        raise ValueError(f"{what}: got {got}, want {want}")


def _certificates(pem: bytes, least: int) -> tuple[Certificate, ...]:
    found = tuple(parse_certificate(der, _WHAT) for der in pem_blocks(pem, "CERTIFICATE"))
    if not least <= len(found) <= 4:  # noqa: PLR2004 - leaf, two intermediates, root
        raise ValueError(f"chain: got {len(found)} certificates, want {least} to 4")
    return found


def _vcek(item: Item, body: bytes, _chain: bytes) -> Facts:
    product, chip, tcb = item.key.split("-")
    certificate = parse_certificate(body, _WHAT)
    vek = read_vek(certificate, _WHAT)
    if vek.hwid is None:
        raise ValueError("certificate: got a VLEK, want a VCEK")
    if product != "unknown":
        _require("productName", vek.product, product)
    _require("hwID", vek.hwid.hex(), chip)
    _require("TCB", vek.tcb.hex(), tcb)
    return Facts(certificate.not_before, certificate.not_after, (certificate.not_before,))


def _ask(item: Item, body: bytes, _chain: bytes) -> Facts:
    product, _, kind = item.key.partition("-")
    certificate = parse_certificate(body, _WHAT)
    want = f"SEV-{product}" if kind == "vcek" else f"SEV-VLEK-{product}"
    _require("subject", common_name(certificate.subject), want)
    # Serials are in no order: of two of one day the one that came last counts.
    return Facts(certificate.not_before, certificate.not_after, (certificate.not_before,))


def _crl(body: bytes, suits: Callable[[str], bool], want: str) -> Facts:
    crl = parse_crl(body, _WHAT)
    issuer = common_name(crl.issuer) or ""
    if not suits(issuer):
        raise ValueError(f"CRL.issuer: got {issuer!r}, want {want}")
    number = -1 if crl.number is None else crl.number
    return Facts(crl.this_update, crl.next_update, (number, crl.this_update))


def _snp_crl(item: Item, body: bytes, _chain: bytes) -> Facts:
    want = f"ARK-{item.key}"
    return _crl(body, lambda name: name == want, want)


def _pck_crl(item: Item, body: bytes, _chain: bytes) -> Facts:
    """Read a PCK CA's list: DER, or PEM with the certificates of its issuers behind it, by which it can be numbered."""
    want = f"PCK {item.key.capitalize()} CA"
    return _crl(crl_of(body), lambda name: want in name, want)


def crl_of(body: bytes) -> bytes:
    """Return the DER of the one list in PEM, whatever stands beside it; anything else as it is."""
    if b"-----BEGIN" not in body:
        return body
    blocks = pem_blocks(body, "X509 CRL")
    if len(blocks) != 1:
        raise ValueError(f"PEM: got {len(blocks)} blocks X509 CRL, want 1")
    return blocks[0]


def _root_crl(_item: Item, body: bytes, _chain: bytes) -> Facts:
    return _crl(body, lambda name: "Root CA" in name, "Intel's root CA")


def _no_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("JSON: a key twice")
    return table


def _moment(value: object, what: str) -> int:
    if not isinstance(value, str):
        raise ValueError(f"{what}: got {type(value).__name__}, want a time")  # noqa: TRY004 - a document's fault
    return int(dt.datetime.strptime(value, _TIME).replace(tzinfo=dt.UTC).timestamp())


def _signed_json(body: bytes, name: str) -> Mapping[str, Any]:
    """Read Intel's ``{"<name>": {…}, "signature": "…"}``; the bytes themselves are kept, the signature is over a part of them."""
    outer = json.loads(body, object_pairs_hook=_no_twice)
    inner = outer.get(name) if isinstance(outer, dict) else None
    if not isinstance(outer, dict) or not isinstance(inner, dict):
        raise ValueError(f"JSON: got no {name}, want it")  # noqa: TRY004 - a document's fault
    signature = outer.get("signature")
    if not isinstance(signature, str) or not _SIGNATURE.fullmatch(signature):
        raise ValueError("signature: want 128 hex digits")
    return inner


def _intel(inner: Mapping[str, Any], chain: bytes) -> Facts:
    number = inner.get("tcbEvaluationDataNumber")
    if not isinstance(number, int) or isinstance(number, bool):
        raise ValueError(f"tcbEvaluationDataNumber: got {number!r}, want a number")  # noqa: TRY004
    issued = _moment(inner.get("issueDate"), "issueDate")
    ends = [_moment(inner.get("nextUpdate"), "nextUpdate")]
    # An issuer that ends before its document takes it along: old bundles carry an expired TCB signing certificate.
    ends += [certificate.not_after for certificate in _certificates(chain, 1)]
    return Facts(issued, min(ends), (number, issued))


def _tcb_info(item: Item, body: bytes, chain: bytes) -> Facts:
    tee, _, fmspc = item.key.partition("-")
    inner = _signed_json(body, "tcbInfo")
    if tee == "tdx" or "id" in inner:
        _require("tcbInfo.id", inner.get("id"), tee.upper())
    _require("tcbInfo.fmspc", str(inner.get("fmspc")).upper(), fmspc)
    return _intel(inner, chain)


def _qe_identity(item: Item, body: bytes, chain: bytes) -> Facts:
    inner = _signed_json(body, "enclaveIdentity")
    _require("enclaveIdentity.id", inner.get("id"), _INTEL_IDS[item.key])
    return _intel(inner, chain)


def _pck_chain(item: Item, body: bytes, _chain: bytes) -> Facts:
    chain = _certificates(body, 2)
    leaf = chain[0]
    if leaf.is_ca:
        raise ValueError("chain: got a CA first, want the PCK certificate")
    # A quote writes the number the other way round. CPUSVN and PCESVN may differ: the certificate is of a level, not of a report.
    _require("PCEID", read_pck(leaf, _WHAT).pceid[::-1].hex(), item.key.rpartition("-")[2])
    return Facts(leaf.not_before, min(one.not_after for one in chain), (leaf.not_before,))


def _nvidia_ocsp(item: Item, body: bytes, _chain: bytes) -> Facts:
    """Read an answer that says something: one that NVIDIA does not know is asked for again."""
    answer = read_answer(body)
    if answer.status == "unknown":
        raise ValueError("certStatus: got unknown, want good or revoked")
    _require("hashAlgorithm", answer.hash_name, "sha1")
    key = f"{answer.issuer_name_hash.hex()}-{answer.issuer_key_hash.hex()}-{answer.serial:x}"
    _require("certID", key, item.key)
    if answer.next_update - answer.this_update > _MOST_ANSWER_S:
        raise ValueError(f"nextUpdate: got {answer.next_update}, want at most 31 days after thisUpdate")
    return Facts(answer.this_update, answer.next_update, (answer.this_update,))


_READERS: Final[Mapping[str, Callable[[Item, bytes, bytes], Facts]]] = MappingProxyType(
    {
        items.VCEK: _vcek,
        items.ASK: _ask,
        items.SNP_CRL: _snp_crl,
        items.TCB_INFO: _tcb_info,
        items.QE_IDENTITY: _qe_identity,
        items.PCK_CRL: _pck_crl,
        items.ROOT_CRL: _root_crl,
        items.PCK_CHAIN: _pck_chain,
        items.NVIDIA_OCSP: _nvidia_ocsp,
    }
)


def is_of_anchor(item: Item, body: bytes, anchors: Sequence[Anchor], chain: bytes = b"") -> bool:
    """Tell whether an anchor's key stands behind a document that ``inspect`` passed, every signature on the way included.

    ``chain``: what came with it, or for a VCEK the intermediate (DER) of its product. Issuers first in every chain. That it is in
    force and not revoked is not looked at.
    """
    if item.kind in (items.SNP_CRL, items.ROOT_CRL):
        crl = parse_crl(body, _WHAT)
        return any(is_crl_of(crl, anchor.certificate) for anchor in anchors)
    if item.kind == items.PCK_CRL:
        issuers = _signed_by_anchor(_quietly(body), anchors)
        return bool(issuers) and is_crl_of(parse_crl(crl_of(body), _WHAT), issuers[0])
    if item.kind == items.ASK:
        return bool(_signed_by_anchor((parse_certificate(body, _WHAT),), anchors))
    if item.kind in (items.TCB_INFO, items.QE_IDENTITY):
        tee = item.key.partition("-")[0]
        name = "tcb_info" if item.kind == items.TCB_INFO else "qe_identity"
        # Only a genuine document has a number that counts.
        return bool(marks_of(tee, {name: body, f"{name}_chain": chain}, tuple(anchors)))
    if item.kind == items.PCK_CHAIN:
        return bool(_signed_by_anchor(_quietly(body), anchors))
    if item.kind == items.NVIDIA_OCSP:
        return True  # whose issuer signed it, the evidence alone can say; a false one is gone at its end (``_MOST_ANSWER_S``)
    # A VCEK: nothing else would ever take away a false one, which is answered with "not genuine" for seven years.
    return bool(chain) and bool(
        _signed_by_anchor(tuple(parse_certificate(der, _WHAT) for der in (body, chain)), anchors)
    )


def issuer_of(item: Item, body: bytes) -> Item | None:
    """Return the intermediate that has to have signed a VCEK that ``inspect`` passed; ``None`` for all else."""
    if item.kind != items.VCEK:
        return None
    return items.item(items.ASK, f"{read_vek(parse_certificate(body, _WHAT), _WHAT).product}-vcek")


def _quietly(pem: bytes) -> tuple[Certificate, ...]:
    try:
        return _certificates(pem, 1)
    except (MalformedEvidence, ValueError):
        return ()


def _signed_by_anchor(chain: Sequence[Certificate], anchors: Sequence[Anchor]) -> tuple[Certificate, ...]:
    path = find_path(chain, anchors)
    if path is None:
        return ()
    try:
        check_signatures(path, ChainCache(), 0)
    except Failed:
        return ()
    return tuple(reversed(path.certificates))
