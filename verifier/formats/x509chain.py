"""Certificate chains, verified from the pinned root downward (RFC 5280 section 6.1, the parts that attestation needs).

No key is computed with before a key already trusted has signed it: the walk starts at the anchor's own pinned certificate,
found by digest or by name *and* public key, and a public key is loaded only after its certificate verified.

Use, all at once::

    path = verify_chain((leaf, intermediate), anchors, now=now, ids=IDS, cache=subject.chains, crls=(crl,))
    path.leaf_key(), path.leaf, path.anchor.root

or step by step, where a scheme makes a check of each: ``find_path``, ``check_constraints``, ``check_signatures``,
``check_validity``, ``check_crls``, ``check_revocation``. The order of the steps does not matter to the verdict; a chain is
genuine when all of them pass. A step that says no raises ``Failed``, one about the verifier's own CRLs ``Undecided``; the caller
names it. ``verify_chain`` names each by its ``ids``.

Checked: anchor, issuer names, signatures (algorithms of the profile only), every validity at ``now``, basicConstraints,
keyUsage, path length, unknown critical extensions, key sizes, chain length, CRLs of the issuers that the caller hands over.
Not checked: name constraints and certificate policies (critical ones are refused as unknown), the leaf's own purpose
(``require_usage`` helps), OCSP. Whether a CRL is *required* is the caller's to say (``required_crls``).
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import lru_cache
from typing import Final, Literal

from cachetools import LRUCache
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_der_public_key

from verifier.formats.ecdsa import verifies
from verifier.formats.errors import Failed, Undecided, named
from verifier.formats.x509 import (
    OID_AUTHORITY_KEY_ID,
    OID_BASIC_CONSTRAINTS,
    OID_KEY_USAGE,
    OID_SUBJECT_KEY_ID,
    USAGE_CERT_SIGN,
    USAGE_CRL_SIGN,
    Certificate,
    Crl,
    SignatureAlgorithm,
    parse_certificate,
)

Root = Literal["vendor", "private", "simulated", "case-given"]

MAX_CHAIN = 6  # certificates, the anchor counted
RSA_BITS: Final = (2048, 8192)
_RSA_EXPONENT_BITS = 64
_KNOWN_CRITICAL: Final = frozenset({OID_BASIC_CONSTRAINTS, OID_KEY_USAGE})
_CURVES: Final = frozenset({"secp256r1", "secp384r1", "secp521r1"})
_HASHES: Final = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}


@dataclass(frozen=True, slots=True, eq=False)
class Anchor:
    """A pinned trust anchor: the certificate, and whose word it is. Issuers are selected by key, never by name alone.

    Made once, at start; compares by identity, so that a tuple of them is a cheap key. ``crl_der``: the CRL that its owner
    requires of it, where one is named; it is the scheme's to demand and to check.
    """

    name: str
    certificate_der: bytes
    root: Root
    crl_der: bytes = b""

    @property
    def certificate(self) -> Certificate:
        """The pinned certificate, read (cached)."""
        return parse_certificate(self.certificate_der, "anchor", f"anchor {self.name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainIds:
    """Ids under which ``verify_chain`` reports the steps of a chain."""

    root: str  # no pinned anchor above the chain
    signature: str  # an issuer's name or signature does not fit
    validity: str
    constraints: str  # not a CA, path length, key usage, unknown critical extension, algorithm, key size, length
    revoked: str
    crl: str  # a CRL is missing, stale or not the issuer's: CannotDecide

    @classmethod
    def below(cls, prefix: str) -> ChainIds:
        """Return the ids that are called as the steps are, below a prefix."""
        return cls(**{step.name: f"{prefix}.{step.name}" for step in fields(cls)})

    @classmethod
    def named(cls, ids: type[StrEnum], prefix: str) -> ChainIds:
        """Return the members of an enumeration that are called as the steps are, behind a prefix: ``AK_ROOT``."""
        return cls(**{step.name: ids[f"{prefix}_{step.name.upper()}"] for step in fields(cls)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a chain may look like."""

    # Empty means every one on the allow-list of ``formats.x509``.
    algorithms: frozenset[SignatureAlgorithm] = frozenset()
    # Critical extensions that the scheme itself judges, beside basicConstraints and keyUsage.
    tolerated: frozenset[str] = frozenset()
    max_length: int = MAX_CHAIN


ANY_PROFILE: Final = Profile()


@dataclass(frozen=True, slots=True, eq=False)
class Path:
    """A chain with its anchor: ``certificates`` run from the anchor's own (pinned) certificate down to the leaf. Unverified."""

    anchor: Anchor
    certificates: tuple[Certificate, ...]
    key: tuple[bytes, ...] = field(repr=False)  # digests: what a verified chain is remembered under

    @property
    def leaf(self) -> Certificate:
        """The last certificate."""
        return self.certificates[-1]

    def leaf_key(self) -> PublicKeyTypes:
        """Load the leaf's public key. Only after ``check_signatures``."""
        key = _public_key(self.leaf.spki)
        if key is None:
            raise TypeError("leaf_key before check_signatures")
        return key


@lru_cache(maxsize=1024)
def _public_key(spki: bytes) -> PublicKeyTypes | None:
    """Load a key that a trusted key has signed; ``None`` for one that is broken, too small or too large."""
    try:
        key = load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm):
        return None
    if isinstance(key, rsa.RSAPublicKey):
        low, high = RSA_BITS
        fits = low <= key.key_size <= high and key.public_numbers().e.bit_length() <= _RSA_EXPONENT_BITS
        return key if fits else None
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return key
    return None


def _is_signed_by(key: PublicKeyTypes, algorithm: SignatureAlgorithm, signature: bytes, data: bytes) -> bool:
    digest = _HASHES[algorithm.hash]
    if isinstance(key, rsa.RSAPublicKey) and algorithm.kind == "rsa-pss":
        return verifies(key, signature, data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    if isinstance(key, rsa.RSAPublicKey) and algorithm.kind == "rsa-pkcs1":
        return verifies(key, signature, data, padding.PKCS1v15(), digest)
    if isinstance(key, ec.EllipticCurvePublicKey) and algorithm.kind == "ecdsa":
        return verifies(key, signature, data, ec.ECDSA(digest))
    return False


def _names_issuer(child: Certificate, issuer: Certificate) -> bool:
    """Tell whether the key identifiers, where both are there, fit."""
    authority = child.extensions.get(OID_AUTHORITY_KEY_ID)
    subject = issuer.extensions.get(OID_SUBJECT_KEY_ID)
    if authority is None or subject is None:
        return True
    return subject.value[2:] in authority.value


@lru_cache(maxsize=1024)
def _find(chain: tuple[bytes, ...], anchors: tuple[Anchor, ...]) -> Path | None:
    certificates = tuple(parse_certificate(der, "chain") for der in chain)
    for place, certificate in enumerate(certificates[1:], start=1):
        for anchor in anchors:
            pinned = anchor.certificate
            if certificate.spki == pinned.spki and certificate.subject == pinned.subject:
                return _path(anchor, certificates[:place])
    top = certificates[-1]
    if top.self_issued:
        return None  # a root that is not pinned, whatever its name
    for anchor in anchors:
        pinned = anchor.certificate
        if pinned.subject == top.issuer and _names_issuer(top, pinned):
            return _path(anchor, certificates)
    return None


def _path(anchor: Anchor, below: tuple[Certificate, ...]) -> Path:
    certificates = (anchor.certificate, *reversed(below))
    return Path(anchor, certificates, tuple(c.digest for c in certificates))


def find_path(unverified_chain: Sequence[Certificate], anchors: Sequence[Anchor]) -> Path | None:
    """Find the pinned anchor above a chain, leaf first; ``None`` where no anchor stands above it.

    An anchor stands there if the chain contains its key under its name, or if the topmost certificate names it as issuer
    (by name and, where given, key identifier) and is not self-issued. What a chain brings beside the pinned certificate is dropped.
    """
    if not unverified_chain or len(unverified_chain) >= MAX_CHAIN + 1:
        return None
    return _find(tuple(c.der for c in unverified_chain), tuple(anchors))


def require_path(unverified_chain: Sequence[Certificate], anchors: Sequence[Anchor]) -> Path:
    """Find the path; ``Failed`` where no anchor stands above the chain."""
    path = find_path(unverified_chain, anchors)
    if path is None:
        names = ", ".join(anchor.name for anchor in anchors) or "none pinned"
        raise Failed(f"chain: got a chain to an untrusted root, want one of: {names}")
    return path


def check_constraints(path: Path, profile: Profile = ANY_PROFILE) -> None:
    """Refuse a chain whose certificates may not do what they are used for. Nothing is computed with their keys."""
    if len(path.certificates) > profile.max_length:
        got = len(path.certificates)
        raise Failed(f"chain: got {got} certificates, want at most {profile.max_length}")
    depth = len(path.certificates) - 1
    for place, certificate in enumerate(path.certificates):
        unknown = certificate.critical - _KNOWN_CRITICAL - profile.tolerated
        if unknown:
            where = f"chain[{depth - place}]"
            raise Failed(f"{where}: got critical {sorted(unknown)}, want none unknown")
        if place < depth:
            _check_issuer(certificate, depth - place - 1)
        if place and profile.algorithms and certificate.algorithm not in profile.algorithms:
            name = certificate.algorithm.name if certificate.algorithm else "another algorithm"
            want = sorted(algorithm.name for algorithm in profile.algorithms)
            raise Failed(f"chain[{depth - place}]: got {name}, want {want}")


def _check_issuer(certificate: Certificate, below: int) -> None:
    where = f"issuer {below + 1} above the leaf"
    if not certificate.is_ca:
        raise Failed(f"{where}: got no CA, want basicConstraints CA")
    if certificate.key_usage is not None and USAGE_CERT_SIGN not in certificate.key_usage:
        raise Failed(f"{where}: got no keyCertSign, want it")
    # RFC 5280 section 4.2.1.9: the number of intermediates that may follow; self-issued ones count here too.
    if certificate.path_length is not None and below > certificate.path_length:
        raise Failed(f"{where}: got {below} CAs below, want at most {certificate.path_length}")


def check_signatures(path: Path, cache: ChainCache, now: int) -> None:
    """Verify every signature, from the anchor down; remembered until the earliest notAfter."""
    if cache.has(path.key, now):
        return
    issuer = path.certificates[0]
    key = _public_key(issuer.spki)
    for place, certificate in enumerate(path.certificates[1:], start=1):
        where = f"chain[{len(path.certificates) - 1 - place}]"
        if certificate.issuer != issuer.subject:
            raise Failed(f"{where}.issuer: got another name, want its issuer's subject")
        algorithm = certificate.algorithm
        if (
            key is None
            or algorithm is None
            or not _is_signed_by(key, algorithm, certificate.signature, certificate.tbs)
        ):
            raise Failed(f"{where}: signature does not verify with its issuer's key")
        issuer = certificate
        key = _public_key(certificate.spki)
        if key is None:
            raise Failed(f"{where}.subjectPublicKeyInfo: want RSA 2048-8192 or NIST P-256/384/521")
    cache.put(path.key, min(c.not_after for c in path.certificates))


def check_validity(path: Path, now: int) -> None:
    """Refuse a chain of which one certificate, the anchor counted, is not valid at ``now`` (both ends included)."""
    for place, certificate in enumerate(path.certificates):
        if not certificate.not_before <= now <= certificate.not_after:
            where = f"chain[{len(path.certificates) - 1 - place}]"
            bounds = f"{certificate.not_before} to {certificate.not_after}"
            raise Failed(f"{where}.validity: got time {now}, want {bounds}")


def check_crls(path: Path, crls: Sequence[Crl], cache: ChainCache, now: int, *, required: Collection[int] = ()) -> None:
    """Check that each CRL is genuine and current; ``Undecided`` otherwise: it is the verifier's own, not the evidence's.

    ``required`` lists the places in ``path.certificates`` (0: the anchor) whose CRL must be there. Only after ``check_signatures``.
    """
    covered: set[int] = set()
    for crl in crls:
        place = next((i for i, c in enumerate(path.certificates[:-1]) if c.subject == crl.issuer), None)
        if place is None:
            raise Undecided("CRL.issuer: got another name, want an issuer of the chain")
        issuer = path.certificates[place]
        if not crl.this_update <= now <= crl.next_update:
            raise Undecided(f"CRL: got time {now}, want {crl.this_update} to {crl.next_update}")
        _check_crl_signature(crl, issuer, cache, now)
        covered.add(place)
    missing = set(required) - covered
    if missing:
        raise Undecided(f"CRL: got none of certificate {min(missing)} below the root, want one")


def _check_crl_signature(crl: Crl, issuer: Certificate, cache: ChainCache, now: int) -> None:
    known = (b"crl", issuer.digest, crl.digest)
    if cache.has(known, now):
        return
    if issuer.key_usage is not None and USAGE_CRL_SIGN not in issuer.key_usage:
        raise Undecided("CRL: its issuer's key usage lacks cRLSign")
    if not is_crl_of(crl, issuer):
        raise Undecided("CRL: signature does not verify with its issuer's key")
    cache.note_crl(issuer.subject, -1 if crl.number is None else crl.number)
    cache.put(known, crl.next_update)


def is_crl_of(crl: Crl, issuer: Certificate) -> bool:
    """Tell whether the CRL names the issuer and its signature verifies with the issuer's key. The issuer is trusted already."""
    key = _public_key(issuer.spki) if crl.issuer == issuer.subject else None
    return key is not None and crl.algorithm is not None and _is_signed_by(key, crl.algorithm, crl.signature, crl.tbs)


def check_revocation(path: Path, crls: Sequence[Crl]) -> None:
    """Refuse a chain of which a certificate stands on its issuer's CRL. Only after ``check_crls``."""
    for crl in crls:
        for place, certificate in enumerate(path.certificates[1:], start=1):
            if certificate.issuer == crl.issuer and certificate.serial in crl.revoked:
                where = f"chain[{len(path.certificates) - 1 - place}]"
                raise Failed(f"{where}: serial {certificate.serial:#x} is revoked, want it not")


def require_usage(certificate: Certificate, *bits: int) -> None:
    """Refuse a certificate that has a keyUsage without all of ``bits``."""
    if certificate.key_usage is not None and not certificate.key_usage.issuperset(bits):
        raise Failed(f"keyUsage: got bits {sorted(certificate.key_usage)}, want {sorted(bits)}")


def verify_chain(
    unverified_chain: Sequence[Certificate],
    anchors: Sequence[Anchor],
    *,
    now: int,
    ids: ChainIds,
    cache: ChainCache,
    crls: Sequence[Crl] = (),
    required_crls: Collection[int] = (),
    profile: Profile = ANY_PROFILE,
) -> Path:
    """Verify a chain, leaf first, in all steps; returns the path whose ``leaf_key()`` may be used."""
    with named(ids.root):
        path = require_path(unverified_chain, anchors)
    with named(ids.constraints):
        check_constraints(path, profile)
    with named(ids.signature):
        check_signatures(path, cache, now)
    with named(ids.validity):
        check_validity(path, now)
    with named(ids.crl):
        check_crls(path, crls, cache, now, required=required_crls)
    with named(ids.revoked):
        check_revocation(path, crls)
    return path


class ChainCache:
    """Signatures already verified, under the digests of what was verified, until the earliest notAfter or nextUpdate.

    Only the cryptography is remembered: validity, constraints and revocation are judged anew at each ``now``. A CRL whose number is
    higher than any seen of its issuer flushes everything. Bounded (least recently used goes first); safe among threads.
    """

    __slots__ = ("_known", "_lock", "_newest")

    def __init__(self, size: int = 4096) -> None:
        self._known: LRUCache[tuple[bytes, ...], int] = LRUCache(size)
        self._newest: dict[bytes, int] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._known)

    def has(self, key: tuple[bytes, ...], now: int) -> bool:
        """Tell whether ``key`` was verified and is still current at ``now``."""
        with self._lock:
            until = self._known.get(key)
            return until is not None and now <= until

    def put(self, key: tuple[bytes, ...], until: int) -> None:
        """Remember ``key`` as verified until ``until`` (Unix seconds)."""
        with self._lock:
            self._known[key] = until

    def note_crl(self, issuer: bytes, number: int) -> None:
        """Flush when this CRL is newer than any before of its issuer. The first one flushes nothing."""
        with self._lock:
            before = self._newest.get(issuer)
            if before is None or number > before:
                self._newest[issuer] = number
                if before is not None:
                    self._known = LRUCache(self._known.maxsize)
