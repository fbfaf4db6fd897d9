"""What several vendors' tables read alike: certificates and CRLs, their dates, and whether a pinned key stands behind them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from verifier.adapters.vendors.kind import Anchors, Document, Facts
from verifier.formats.errors import Failed
from verifier.formats.pem import pem_blocks
from verifier.formats.x509 import Certificate, common_name, parse_certificate, parse_crl
from verifier.formats.x509chain import ChainCache, check_signatures, find_path, is_crl_of

WHAT: Final = "collateral"  # stands for a check id: nothing here reaches a caller
_MOST: Final = 4  # leaf, two intermediates, root


def require(what: str, got: object, want: object) -> None:
    """Raise ``ValueError`` for a difference."""
    if got != want:
        raise ValueError(f"{what}: got {got}, want {want}")


def certificate(der: bytes) -> Certificate:
    """Read one certificate; ``MalformedEvidence`` for anything else."""
    return parse_certificate(der, WHAT)


def certificates(pem: bytes, least: int) -> tuple[Certificate, ...]:
    """Read PEM blocks, whatever stands beside them; ``ValueError`` for fewer than ``least`` or more than 4."""
    found = tuple(certificate(der) for der in pem_blocks(pem, "CERTIFICATE"))
    if not least <= len(found) <= _MOST:
        raise ValueError(f"chain: got {len(found)} certificates, want {least} to {_MOST}")
    return found


def certificate_facts(leaf: Certificate, *above: Certificate) -> Facts:
    """Date a certificate: it ends with the first of its chain. Serials are in no order: of two of one day the later fetch counts."""
    return Facts(leaf.not_before, min(one.not_after for one in (leaf, *above)), (leaf.not_before,))


def crl_facts(der: bytes, issuer: str) -> Facts:
    """Date a CRL; ``ValueError`` unless the common name of its issuer is of the pattern ``issuer``, as a whole."""
    crl = parse_crl(der, WHAT)
    name = common_name(crl.issuer) or ""
    if not re.fullmatch(issuer, name):
        raise ValueError(f"CRL.issuer: got {name!r}, want {issuer}")
    number = -1 if crl.number is None else crl.number
    return Facts(crl.this_update, crl.next_update, (number, crl.this_update))


def is_crl_under(der: bytes, issuers: Iterable[Certificate]) -> bool:
    """Tell whether one of the trusted issuers signed the CRL."""
    crl = parse_crl(der, WHAT)
    return any(is_crl_of(crl, issuer) for issuer in issuers)


def is_crl_of_anchor(document: Document, anchors: Anchors) -> bool:
    """Tell whether an anchor itself signed the CRL."""
    return is_crl_under(document.body, (anchor.certificate for anchor in anchors))


def signed_by_anchor(chain: Sequence[Certificate], anchors: Anchors) -> tuple[Certificate, ...]:
    """Return the chain, leaf first and its anchor last, if every signature verifies, and nothing otherwise.

    Not checked: whether it is in force and whether it is revoked.
    """
    path = find_path(chain, anchors)
    if path is None:
        return ()
    try:
        check_signatures(path, ChainCache(), 0)
    except Failed:
        return ()
    return tuple(reversed(path.certificates))


def is_under_anchor(ders: Iterable[bytes], anchors: Anchors) -> bool:
    """Tell whether an anchor stands above a chain of certificates in DER, leaf first, and every signature verifies."""
    return bool(signed_by_anchor([certificate(der) for der in ders], anchors))
