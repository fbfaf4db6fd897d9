"""Is the token genuine? Platform key from the operator's root, platform signature, and the chain from there to the realm.

Arm publishes no root: the maker of the chip endorses its platform keys (CPAK). Here such an endorsement is a certificate of the
CPAK under an anchor of the operator's, whose subjectAltName names implementation and instance (docs/tee/arm-cca.md).
Nothing that a token says is compared before a key that is trusted has vouched for it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from verifier.formats.cose import verify_sign1
from verifier.formats.encoding import sha256
from verifier.formats.errors import CannotDecide, Failed, MalformedEvidence, mismatch
from verifier.formats.pem import pem_blocks
from verifier.formats.x509 import OID_SUBJECT_ALT_NAME, USAGE_DIGITAL_SIGNATURE, Certificate, der_tlv, parse_certificate
from verifier.formats.x509chain import Path, Root, require_usage
from verifier.tee.arm_cca import layout
from verifier.tee.arm_cca.decode import CcaToken, load_point
from verifier.tee.chain import ChainSteps
from verifier.tee.scheme import Check, Need, Subject

NAME: Final = "arm-cca"
CPAK: Final = "arm-cca.endorsement.cpak"
_URI_NAME: Final = 0x86  # GeneralName [6], RFC 5280 section 4.2.1.6

# SHA-256 of the SubjectPublicKeyInfo of keys whose private half is public. Every public CCA token is signed by the first.
TEST_CPAKS: Final = frozenset(
    bytes.fromhex(digest)
    for digest in (
        "0928f896cb02326566530a62a1e36329a12d0a4a308f4fc81e8ff5560bca6bca",  # TF-RMM, RSE and TF-A: the published test CPAK
        "bbf91acf00f6ad3c4715cab2d15059328b657aa2a992ce20da3ae5e6f10677bc",  # the forged vendor's key of the same kind
    )
)
TEST_RAKS: Final = frozenset(
    bytes.fromhex(digest)
    for digest in (
        "8b0867300bcb379925c4fd106ebaad43f174f96749ee328ea1185adf2b664ebf",  # TF-RMM: the published test RAK
        "efb5b863c065120a60ff31c84ad7f3b5baec2d2e2db58d221c58461390e4cebd",  # the forged vendor's key of the same kind
    )
)


@dataclass(frozen=True, slots=True, eq=False)
class CcaCollateral:
    """The platform key's certificates, leaf first; or, in a published case alone, the key itself as SubjectPublicKeyInfo."""

    chain: tuple[Certificate, ...] = ()
    case_key: bytes = b""


Cca: TypeAlias = Subject[CcaToken, CcaCollateral]


def needs(token: CcaToken, have: Mapping[str, bytes]) -> tuple[Need, ...]:
    """Ask for the platform key's certificate, by implementation and instance, where none came along."""
    if "cpak" in have:
        return ()
    platform = token.platform
    return (Need("cpak", "arm-cca.cpak", f"{platform.implementation_id.hex()}-{platform.instance_id.hex()}"),)


def collate(_token: CcaToken, given: Mapping[str, bytes]) -> CcaCollateral:
    """Read the CPAK's certificate, DER, or PEM with the intermediates after it; ``MalformedEvidence`` for anything else."""
    data = given.get("cpak")
    return CcaCollateral() if data is None else _collate(data)


@lru_cache(maxsize=256)
def _collate(data: bytes) -> CcaCollateral:
    blocks: tuple[bytes, ...] = (data,)
    if b"-----BEGIN" in data:
        try:
            blocks = pem_blocks(data, "CERTIFICATE")
        except ValueError as error:
            raise MalformedEvidence(CPAK, f"cpak: {error}") from None
        if not blocks:
            raise MalformedEvidence(CPAK, "cpak: got no PEM block CERTIFICATE, want one")
    return CcaCollateral(tuple(parse_certificate(der, CPAK, f"cpak[{i}]") for i, der in enumerate(blocks)))


def _is_case(subject: Cca) -> bool:
    """A published case gives the platform's key itself: there is no certificate to look at."""
    return bool(subject.collateral.case_key)


def _chain(subject: Cca) -> tuple[Certificate, ...] | None:
    """Return the CPAK's chain; ``None`` in a case. An operator withdraws a platform by taking its certificate away."""
    if _is_case(subject):
        return None
    if not subject.collateral.chain:
        raise CannotDecide(CPAK, "cpak: got nothing, want the certificate of this platform's key")
    return subject.collateral.chain


def _shape(path: Path) -> None:
    if path.leaf.is_ca:
        raise Failed("cpak: got a CA, want the key of a platform")
    require_usage(path.leaf, USAGE_DIGITAL_SIGNATURE)


CHAIN: Final = ChainSteps(_chain, shape=_shape)


def _check_subject(subject: Cca) -> None:
    """The certificate is of this platform's key: nothing else ties the key to the ids, which the key itself may say at will."""
    if _is_case(subject):
        return
    platform = subject.evidence.platform
    uri = layout.cpak_uri(platform.implementation_id, platform.instance_id)
    extension = CHAIN.path(subject).leaf.extensions.get(OID_SUBJECT_ALT_NAME)
    if extension is None or extension.value != der_tlv(0x30, der_tlv(_URI_NAME, uri.encode("ascii"))):
        got = "nothing" if extension is None else extension.value.hex()
        raise Failed(mismatch("cpak.subjectAltName", got, f"one URI {uri}"))


def _platform_spki(subject: Cca) -> bytes:
    return subject.collateral.case_key or CHAIN.path(subject).leaf.spki


def _check_test_cpak(subject: Cca) -> None:
    """Refuse a published test key. A case may give one (docs/cases.md); a service never takes it."""
    if not _is_case(subject) and sha256(_platform_spki(subject)) in TEST_CPAKS:
        raise Failed(
            "cpak: got a published test key, want the key of a chip: its private half is public",
        )


def _platform_key(subject: Cca) -> PublicKeyTypes:
    if not _is_case(subject):
        return CHAIN.path(subject).leaf_key()
    try:
        return load_der_public_key(subject.collateral.case_key)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise MalformedEvidence(CPAK, f"cpak: {error}") from None


def _check_platform_signature(subject: Cca) -> None:
    verify_sign1(subject.evidence.platform.sign1, _platform_key(subject))


def _check_profile(subject: Cca) -> None:
    platform, realm = subject.evidence.platform, subject.evidence.realm
    for field, got, known in (
        ("platform profile", platform.profile, layout.PLATFORM_PROFILES),
        ("realm profile", realm.profile, layout.REALM_PROFILES),
    ):
        if got not in known:
            raise Failed(mismatch(field, got, f"one of {sorted(known - {''})}"))


def _check_hash_algorithms(subject: Cca) -> None:
    """Every digest is of a known function, and as long as that function's."""
    platform, realm = subject.evidence.platform, subject.evidence.realm
    sizes = [
        ("platform hash algorithm (2402)", platform.hash_algorithm, None),
        ("realm hash algorithm (44236)", realm.hash_algorithm, len(realm.initial_measurement)),
        ("RAK hash algorithm (44240)", realm.public_key_hash_algorithm, len(platform.challenge)),
    ]
    for component in platform.software:
        name = component.hash or platform.hash_algorithm
        sizes.append((f"software component {component.kind or '?'}", name, len(component.measurement)))
    for field, name, size in sizes:
        want = layout.HASHES.get(name)
        if want is None:
            raise Failed(mismatch(field, name, f"one of {sorted(layout.HASHES)}"))
        if size not in (None, want):
            got = f"{size} bytes"
            raise Failed(mismatch(field, got, f"the {want} bytes of {name}"))


def _check_binding(subject: Cca) -> None:
    """The platform vouches for the realm's key: its challenge is the hash of the key's bytes as they stand."""
    platform, realm = subject.evidence.platform, subject.evidence.realm
    name = realm.public_key_hash_algorithm
    if name not in layout.HASHES:
        raise Failed(mismatch("RAK hash algorithm (44240)", name, sorted(layout.HASHES)))
    want = hashlib.new(name.replace("-", ""), realm.public_key).digest()
    if not hmac.compare_digest(platform.challenge, want):
        detail = mismatch("platform challenge (10)", platform.challenge.hex(), f"the RAK's {name}, {want.hex()}")
        raise Failed(detail)


def _check_test_rak(subject: Cca) -> None:
    key = load_point(subject.evidence.realm.curve, subject.evidence.realm.point)
    if key is None or _is_case(subject):
        return  # a point off its curve signs nothing: the next check says so
    if sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)) in TEST_RAKS:
        raise Failed(
            "RAK: got a published test key, want one made at boot: its private half is public",
        )


def _check_realm_signature(subject: Cca) -> None:
    realm = subject.evidence.realm
    key = load_point(realm.curve, realm.point)
    if key is None:
        raise Failed(mismatch("RAK", "a point off the curve", realm.curve))
    verify_sign1(realm.sign1, key)


CHECKS: Final[tuple[Check[CcaToken, CcaCollateral], ...]] = (
    *CHAIN.checks(f"{NAME}.cpak"),
    Check("arm-cca.cpak.subject", _check_subject),
    Check("arm-cca.platform.test-key", _check_test_cpak),
    Check("arm-cca.platform.signature", _check_platform_signature),
    Check("arm-cca.profile", _check_profile),
    Check("arm-cca.hash-algorithm", _check_hash_algorithms),
    Check("arm-cca.binding", _check_binding),
    Check("arm-cca.realm.test-key", _check_test_rak),
    Check("arm-cca.realm.signature", _check_realm_signature),
)


def root_of(subject: Cca) -> Root:
    """Return whose anchor endorsed the platform's key; a published case gives the key itself."""
    return "case-given" if _is_case(subject) else CHAIN.path(subject).anchor.root
