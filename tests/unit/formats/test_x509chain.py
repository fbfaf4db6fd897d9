"""Chains: what must stand above a leaf, and what must not."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from forge.certificates import (
    Extra,
    Signer,
    basic_constraints,
    common_name_of,
    forge_certificate,
    forge_crl,
    key_usage,
    pkcs1_sha384,
    pss_sha384,
    spki,
)
from forge.sev_snp import ForgedAmd, authority_key
from tests.support.threads import in_threads
from tests.support.waiting import assert_linear
from verifier.formats.errors import CannotDecide, EvidenceRejected, Failed, MalformedEvidence
from verifier.formats.pem import pem_blocks
from verifier.formats.x509 import (
    USAGE_CERT_SIGN,
    USAGE_CRL_SIGN,
    USAGE_DIGITAL_SIGNATURE,
    USAGE_KEY_ENCIPHERMENT,
    Certificate,
    Crl,
    common_name,
    parse_certificate,
    parse_crl,
)
from verifier.formats.x509chain import (
    ANY_PROFILE,
    MAX_CHAIN,
    Anchor,
    ChainCache,
    ChainIds,
    Path,
    Profile,
    find_path,
    require_usage,
    verify_chain,
)

NOW = 1_800_000_000
DAY = 86_400
IDS = ChainIds.below("t")
KEYS = [authority_key(product, role) for product in ("Milan", "Genoa", "Turin") for role in ("ark", "ask", "asvk")]
LEAF_KEY = spki(ec.derive_private_key(11, ec.SECP384R1()).public_key())


def _name(text: str) -> bytes:
    return common_name_of(text, "Test")


def _forge(
    subject: str,
    issuer: str,
    signer: Signer,
    public_key: bytes,
    *,
    extensions: Sequence[Extra] = (),
    validity: tuple[int, int] = (NOW - DAY, NOW + DAY),
    serial: int = 7,
) -> Certificate:
    der = forge_certificate(
        serial=serial,
        issuer=_name(issuer),
        subject=_name(subject),
        validity=validity,
        public_key=public_key,
        signer=signer,
        extensions=extensions,
    )
    return parse_certificate(der, "t.parse")


CA = (basic_constraints(ca=True), key_usage(USAGE_CERT_SIGN, USAGE_CRL_SIGN))


def _ca(depth: int, *, extensions: Sequence[Extra] = CA, issuer_depth: int | None = None) -> Certificate:
    """Return the CA of that depth: 0 is the root, each has its own key and is signed by the one above."""
    above = max(depth - 1, 0) if issuer_depth is None else issuer_depth
    return _forge(
        f"CA {depth}", f"CA {above}", pkcs1_sha384(KEYS[above]), spki(KEYS[depth].public_key()), extensions=extensions
    )


def _leaf(depth: int, **changes: object) -> Certificate:
    return _forge("leaf", f"CA {depth}", pkcs1_sha384(KEYS[depth]), LEAF_KEY, **changes)  # type: ignore[arg-type]


ROOT = _ca(0)
ANCHOR = Anchor("test root", ROOT.der, "private")


def _verify(
    chain: Sequence[Certificate],
    *,
    now: int = NOW,
    crls: Sequence[Crl] = (),
    required: Sequence[int] = (),
    profile: Profile = ANY_PROFILE,
    cache: ChainCache | None = None,
    anchors: Sequence[Anchor] = (ANCHOR,),
) -> Path:
    return verify_chain(
        chain,
        anchors,
        now=now,
        ids=IDS,
        cache=ChainCache() if cache is None else cache,
        crls=crls,
        required_crls=required,
        profile=profile,
    )


def _refused(chain: Sequence[Certificate], **how: object) -> str:
    with pytest.raises(EvidenceRejected) as caught:
        _verify(chain, **how)  # type: ignore[arg-type]
    return caught.value.check_id


def test_a_chain_ends_in_its_anchor_with_or_without_the_root_along() -> None:
    for chain in ((_leaf(0),), (_leaf(1), _ca(1)), (_leaf(1), _ca(1), ROOT), (_leaf(2), _ca(2), _ca(1))):
        path = _verify(chain)
        assert path.anchor is ANCHOR
        assert path.leaf.subject == _name("leaf")
        assert isinstance(path.leaf_key(), ec.EllipticCurvePublicKey)


def test_the_anchor_is_the_pinned_certificate_and_not_the_one_that_came_along() -> None:
    """The same key and name with longer validity and more rights is dropped for what was pinned."""
    other = _forge(
        "CA 0", "CA 0", pkcs1_sha384(KEYS[0]), spki(KEYS[0].public_key()), extensions=CA, validity=(0, NOW * 2)
    )
    leaf = _leaf(0, validity=(0, NOW * 2))
    assert _verify((leaf, other)).certificates[0].der == ROOT.der != other.der
    assert _refused((leaf, other), now=NOW + 2 * DAY) == "t.validity"


def test_a_root_with_the_right_name_and_another_key_is_untrusted() -> None:
    forged_root = _forge("CA 0", "CA 0", pkcs1_sha384(KEYS[5]), spki(KEYS[5].public_key()), extensions=CA)
    leaf = _forge("leaf", "CA 0", pkcs1_sha384(KEYS[5]), LEAF_KEY)
    assert _refused((leaf, forged_root)) == "t.root"
    assert _refused((leaf,)) == "t.signature"  # by name it could be the anchor's; by key it is not


def test_nothing_stands_above_an_empty_or_a_strangers_chain() -> None:
    stranger = _forge("leaf", "CA 9", pkcs1_sha384(KEYS[3]), LEAF_KEY)
    assert _refused((stranger,)) == "t.root"
    assert find_path((), (ANCHOR,)) is None
    assert find_path((_leaf(0),), ()) is None
    assert find_path((_leaf(0),) * (MAX_CHAIN + 1), (ANCHOR,)) is None


def test_a_pinned_leaf_is_no_chain() -> None:
    """An anchor vouches for what is below it; a chain of the anchor's certificate alone proves nothing."""
    assert _refused((ROOT,)) == "t.root"


@pytest.mark.parametrize(
    "extensions",
    [
        (),
        (basic_constraints(ca=False),),
        (basic_constraints(ca=True), key_usage(USAGE_DIGITAL_SIGNATURE)),
        (*CA, Extra("1.2.3.4", b"\x05\x00", critical=True)),
    ],
)
def test_an_issuer_has_to_be_a_ca(extensions: Sequence[Extra]) -> None:
    assert _refused((_leaf(1), _ca(1, extensions=extensions))) == "t.constraints"


def test_path_length_counts_the_cas_below() -> None:
    narrow = (basic_constraints(ca=True, path_length=0), key_usage(USAGE_CERT_SIGN))
    _verify((_leaf(1), _ca(1, extensions=narrow)))
    assert _refused((_leaf(2), _ca(2), _ca(1, extensions=narrow))) == "t.constraints"


def test_a_tolerated_critical_extension_is_the_schemes_to_judge() -> None:
    leaf = _leaf(0, extensions=(Extra("2.5.29.17", b"\x30\x00", critical=True),))
    assert _refused((leaf,)) == "t.constraints"
    _verify((leaf,), profile=Profile(tolerated=frozenset({"2.5.29.17"})))


def test_chains_are_no_longer_than_the_profile_says() -> None:
    chain = (_leaf(3), _ca(3), _ca(2), _ca(1))
    _verify(chain)
    assert _refused(chain, profile=Profile(max_length=4)) == "t.constraints"


def test_algorithms_outside_the_profile_are_refused() -> None:
    pss = frozenset(a for a in [_pss_leaf().algorithm] if a is not None)
    _verify((_pss_leaf(),), profile=Profile(algorithms=pss))
    assert _refused((_leaf(0),), profile=Profile(algorithms=pss)) == "t.constraints"


def _pss_leaf() -> Certificate:
    return _forge("leaf", "CA 0", pss_sha384(KEYS[0]), LEAF_KEY)


def test_an_algorithm_that_is_not_on_the_list_verifies_nothing() -> None:
    sha1 = Signer(bytes.fromhex("300d06092a864886f70d0101050500"), pkcs1_sha384(KEYS[0]).sign)
    assert _refused((_forge("leaf", "CA 0", sha1, LEAF_KEY),)) == "t.signature"


def test_keys_below_the_floor_are_refused() -> None:
    small = rsa.generate_private_key(65537, 1024)  # noqa: S505 - too small on purpose
    assert _refused((_forge("leaf", "CA 0", pkcs1_sha384(KEYS[0]), spki(small.public_key())),)) == "t.signature"
    odd_curve = ec.derive_private_key(5, ec.SECP256K1())
    assert _refused((_forge("leaf", "CA 0", pkcs1_sha384(KEYS[0]), spki(odd_curve.public_key())),)) == "t.signature"


def test_validity_holds_for_every_certificate_and_both_ends_are_included() -> None:
    leaf = _leaf(0, validity=(NOW, NOW))
    _verify((leaf,))
    assert _refused((leaf,), now=NOW + 1) == "t.validity"
    assert _refused((leaf,), now=NOW - 1) == "t.validity"
    old_ca = _forge(
        "CA 1", "CA 0", pkcs1_sha384(KEYS[0]), spki(KEYS[1].public_key()), extensions=CA, validity=(1, NOW - 1)
    )
    assert _refused((_leaf(1), old_ca)) == "t.validity"


def _crl(depth: int = 0, *, signer: int | None = None, revoked: Sequence[int] = (), number: int = 1,
         validity: tuple[int, int] = (NOW - 1, NOW + 1)) -> Crl:  # fmt: skip
    key = KEYS[depth if signer is None else signer]
    der = forge_crl(
        issuer=_name(f"CA {depth}"), validity=validity, number=number, signer=pss_sha384(key), revoked=revoked
    )
    return parse_crl(der, "t.parse")


def test_a_serial_on_its_issuers_list_is_revoked() -> None:
    leaf = _leaf(0, serial=0x99)
    _verify((leaf,), crls=(_crl(revoked=(0x98,)),), required=(0,))
    assert _refused((leaf,), crls=(_crl(revoked=(0x98, 0x99)),)) == "t.revoked"
    # The same serial of another issuer is another certificate.
    _verify((_leaf(1, serial=0x99), _ca(1)), crls=(_crl(revoked=(0x99,)),))


@pytest.mark.parametrize(
    "crls",
    [
        (),
        (_crl(1),),
        (_crl(signer=4),),
        (_crl(validity=(NOW - 10, NOW - 1)),),
        (_crl(validity=(NOW + 1, NOW + 10)),),
    ],
)
def test_a_required_list_that_cannot_be_used_leaves_the_matter_undecided(crls: Sequence[Crl]) -> None:
    with pytest.raises(CannotDecide) as caught:
        _verify((_leaf(0),), crls=crls, required=(0,))
    assert caught.value.check_id == "t.crl"


def test_a_list_signed_by_a_key_that_may_not_is_not_used() -> None:
    quiet = _ca(1, extensions=(basic_constraints(ca=True), key_usage(USAGE_CERT_SIGN)))
    with pytest.raises(CannotDecide):
        _verify((_leaf(1), quiet), crls=(_crl(1),))


def test_only_cryptography_is_remembered() -> None:
    cache = ChainCache()
    leaf = _leaf(0, serial=0x99)
    _verify((leaf,), cache=cache)
    assert len(cache) == 1
    assert _refused((leaf,), cache=cache, now=NOW + 2 * DAY) == "t.validity"
    assert _refused((leaf,), cache=cache, crls=(_crl(revoked=(0x99,)),)) == "t.revoked"
    forged = parse_certificate(leaf.der[:-1] + bytes((leaf.der[-1] ^ 1,)), "t.parse")
    assert _refused((forged,), cache=cache) == "t.signature"


def test_a_newer_list_flushes_and_an_older_does_not() -> None:
    cache = ChainCache()
    leaf = _leaf(0)
    _verify((leaf,), cache=cache, crls=(_crl(number=5),))
    kept = len(cache)
    _verify((leaf,), cache=cache, crls=(_crl(number=4),))
    assert len(cache) == kept + 1
    _verify((leaf,), cache=cache, crls=(_crl(number=6),))
    assert len(cache) == 1  # the newer list itself; the chain was remembered before it came


def test_the_cache_is_bounded_and_forgets_what_ran_out() -> None:
    cache = ChainCache(size=2)
    for place in range(3):
        cache.put((bytes((place,)),), until=10)
    assert [cache.has((bytes((place,)),), 10) for place in range(3)] == [False, True, True]
    assert not cache.has((b"\x02",), 11)


def test_the_cache_serves_threads() -> None:
    cache, leaf = ChainCache(size=8), _leaf(0)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for number in range(50):
                _verify((leaf,), cache=cache, crls=(_crl(number=number % 3),))
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            failures.append(error)

    in_threads(4, work)
    assert not failures


def test_a_serial_of_zero_is_read_without_a_warning() -> None:
    """AMD's VCEKs carry serial 0; a library that warns of it today refuses it tomorrow."""
    amd = ForgedAmd("Milan", now=NOW)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        certificate = parse_certificate(amd.vek(), "t.parse")
    assert certificate.serial == 0
    assert common_name(certificate.subject) == "SEV-VCEK"
    assert common_name(certificate.issuer) == "SEV-Milan"


@pytest.mark.parametrize("bad", [b"", b"0", b"\x30\x00", b"\x30\x80\x00\x00", bytes(20_000)])
def test_what_is_no_certificate_is_malformed(bad: bytes) -> None:
    for parse in (parse_certificate, parse_crl):
        with pytest.raises(MalformedEvidence) as caught:
            parse(bad, "t.parse")
        assert caught.value.check_id == "t.parse"


def test_every_cut_of_a_certificate_is_malformed() -> None:
    der = ROOT.der
    for cut in range(len(der)):
        with pytest.raises(MalformedEvidence):
            parse_certificate(der[:cut], "t.parse")


def test_a_negative_or_endless_serial_is_malformed() -> None:
    for serial in (-1, 1 << 160):
        with pytest.raises(MalformedEvidence):
            _leaf(0, serial=serial)


def test_a_list_for_a_part_of_the_certificates_is_malformed() -> None:
    part = Extra("2.5.29.28", b"\x30\x00", critical=True)
    der = forge_crl(issuer=_name("CA 0"), validity=(NOW, NOW), number=1, signer=pss_sha384(KEYS[0]), extensions=(part,))
    with pytest.raises(MalformedEvidence):
        parse_crl(der, "t.parse")


def test_usage_is_asked_of_the_leaf_where_it_says_any() -> None:
    require_usage(_leaf(0), USAGE_DIGITAL_SIGNATURE)
    signing = _leaf(0, extensions=(key_usage(USAGE_DIGITAL_SIGNATURE),))
    require_usage(signing, USAGE_DIGITAL_SIGNATURE)
    with pytest.raises(Failed):
        require_usage(signing, USAGE_KEY_ENCIPHERMENT)


def test_times_past_2049_and_9999_are_read() -> None:
    far = 253_402_300_799  # 9999-12-31T23:59:59Z
    assert _leaf(0, validity=(NOW, far)).not_after == far


def test_pem_blocks_are_told_apart_by_label() -> None:
    certificate = b"-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n"
    pem = b"text\n" + certificate + b"-----BEGIN X509 CRL-----\nAw==\n-----END X509 CRL-----\n"
    assert pem_blocks(pem, "CERTIFICATE") == (b"\x00\x01\x02",)
    assert pem_blocks(pem, "X509 CRL") == (b"\x03",)
    with pytest.raises(ValueError, match="PEM"):
        pem_blocks(b"-----BEGIN CERTIFICATE-----\nAAE\n-----END CERTIFICATE-----\n", "CERTIFICATE")


def test_pem_without_end_is_refused_and_hostile_pem_in_one_pass() -> None:
    with pytest.raises(ValueError, match="no end"):
        pem_blocks(b"-----BEGIN CERTIFICATE-----\nAAEC\n", "CERTIFICATE")

    def spaces(count: int) -> None:
        with pytest.raises(ValueError, match="no end"):
            pem_blocks(b"-----BEGIN CERTIFICATE-----" + b" " * count, "CERTIFICATE")

    def heads(count: int) -> None:
        with pytest.raises(ValueError, match="PEM"):
            pem_blocks(b"-----BEGIN CERTIFICATE-----" * count + b"-----END CERTIFICATE-----", "CERTIFICATE")

    assert_linear(spaces, 200_000)
    assert_linear(heads, 10_000)
