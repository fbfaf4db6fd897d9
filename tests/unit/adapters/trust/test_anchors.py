"""Anchors from a folder: whose word they are, and that no forged vendor's root gets into a process for real hardware."""

from __future__ import annotations

import datetime as dt
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from forge import arm_cca, nvidia_gpu
from forge.aws_nitro import AUTHORITIES as NITRO
from forge.aws_nitro import nitro_key
from forge.intel import AUTHORITIES as INTEL
from forge.intel import ForgedIntel
from forge.sev_snp import ForgedAmd, Role, authority_key
from forge.tpm2 import make_ca
from forge.vtpm_ca import ca_key
from verifier.adapters.trust.anchors import FORGED_KEYS, load_anchors
from verifier.formats.encoding import sha256
from verifier.formats.errors import ConfigError
from verifier.tee.registry import SCHEMES
from verifier.tee.sev_snp.layout import Product

NOW = 1_795_000_000
PRODUCTS: tuple[Product, ...] = ("Milan", "Genoa", "Turin")
VTPM_ROLES = ("root", "intermediate")
ROLES: tuple[Role, ...] = ("ark", "ask", "asvk")
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@cache
def forged_keys() -> dict[str, Key]:
    """Return every CA key of the forged vendors."""
    found: dict[str, Key] = {f"{p} {role}": authority_key(p, role) for p in PRODUCTS for role in ROLES}
    found.update(INTEL)
    found["CCA endorser"] = arm_cca.root_key()
    found.update({f"{who} {role}": ca_key(f"{who} {role}") for who in ("Azure", "Google") for role in VTPM_ROLES})
    found.update({f"NVIDIA {role}": nvidia_gpu.authority_key(role) for role in ("root", "product", "provisioner")})
    found.update({f"Nitro {who}": nitro_key(who) for who in NITRO})
    return {**found, "TPM root": make_ca().key, "TPM issuing CA": make_ca(intermediate=True).key}


def spki_digest(key: Key) -> bytes:
    return sha256(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def self_signed(key: Key, name: str) -> bytes:
    """Make a root of any name, PEM."""
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(2049, 1, 1, tzinfo=dt.UTC))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def place(folder: Path, name: str, data: bytes) -> str:
    (folder / Path(name).parent).mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    return str(folder)


def test_the_known_keys_are_those_of_the_forged_vendors() -> None:
    assert {spki_digest(key) for key in forged_keys().values()} == FORGED_KEYS


# Every key in one folder, and one key in every folder: a key is known by its digest, whatever scheme it is to vouch for.
_PLACES = [
    *(("tpm2", name) for name in forged_keys()),
    *((scheme, "TPM root") for scheme in SCHEMES if scheme != "tpm2"),
]


@pytest.mark.parametrize(("scheme", "name"), _PLACES)
def test_a_forged_vendors_key_stops_a_real_process_whatever_its_name(tmp_path: Path, scheme: str, name: str) -> None:
    folder = place(tmp_path, f"{scheme}/root.pem", self_signed(forged_keys()[name], "Honest TPMs Ltd, root CA"))

    with pytest.raises(ConfigError, match="forged vendor") as caught:
        load_anchors(folder, SCHEMES, simulated=False)
    assert caught.value.where.endswith("root.pem")
    assert load_anchors(folder, SCHEMES, simulated=True)[scheme][0].root == "simulated"


@pytest.mark.parametrize(
    "data",
    [
        *(ForgedAmd(now=NOW).ark(), ForgedAmd(now=NOW, like_amd=True).ark(), make_ca().root_der),
        *(ForgedIntel(now=NOW).root(), ForgedIntel(now=NOW, like_intel=True).root()),
    ],
)
def test_the_forged_vendors_own_roots_stop_a_real_process(tmp_path: Path, data: bytes) -> None:
    folder = place(tmp_path, "tpm2/root.der", data)

    with pytest.raises(ConfigError, match="forged vendor"):
        load_anchors(folder, SCHEMES, simulated=False)


def test_a_root_that_calls_itself_simulated_stops_a_real_process(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    folder = place(tmp_path, "tpm2/root.pem", self_signed(key, "Some vendor (simulated)"))

    with pytest.raises(ConfigError, match="forged vendor"):
        load_anchors(folder, SCHEMES, simulated=False)


def test_an_intermediate_of_a_forged_vendor_in_a_bundle_is_found_too(tmp_path: Path) -> None:
    own = self_signed(ec.generate_private_key(ec.SECP256R1()), "Our TPMs")
    folder = place(tmp_path, "tpm2/bundle.pem", own + self_signed(make_ca(intermediate=True).key, "Ours as well"))

    with pytest.raises(ConfigError, match="forged vendor"):
        load_anchors(folder, SCHEMES, simulated=False)


def test_an_operators_own_root_counts_as_private_and_stands_beside_the_vendors(tmp_path: Path) -> None:
    root = self_signed(ec.generate_private_key(ec.SECP256R1()), "Our TPMs")
    folder = place(tmp_path, "tpm2/ours.pem", root)
    place(tmp_path, "tpm2/README.md", b"where these come from")
    anchors = load_anchors(folder, SCHEMES, simulated=False)

    assert [(a.name, a.root) for a in anchors["tpm2"]] == [("ours", "private")]
    assert anchors["sev-snp"] == SCHEMES["sev-snp"].verification.anchors
    assert {a.root for a in anchors["sev-snp"]} == {"vendor"}


def test_a_simulated_process_trusts_no_vendor(tmp_path: Path) -> None:
    assert load_anchors("", SCHEMES, simulated=True) == dict.fromkeys(SCHEMES, ())
    assert load_anchors(str(tmp_path), SCHEMES, simulated=True) == dict.fromkeys(SCHEMES, ())


@pytest.mark.parametrize(
    "data", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA", make_ca().root_der[:-1]]
)
def test_a_file_that_holds_no_certificate_stops_the_start_by_name(tmp_path: Path, data: bytes) -> None:
    folder = place(tmp_path, "tpm2/root.pem", data)

    with pytest.raises(ConfigError) as caught:
        load_anchors(folder, SCHEMES, simulated=True)
    assert (caught.value.where, caught.value.key) == (str(tmp_path / "tpm2" / "root.pem"), "certificate")


def test_a_file_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "tpm2" / "root.pem").mkdir(parents=True)

    with pytest.raises(ConfigError, match="readable"):
        load_anchors(str(tmp_path), SCHEMES, simulated=False)


def test_a_folder_that_is_named_and_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="private_anchor_dir"):
        load_anchors(str(tmp_path / "anchors"), SCHEMES, simulated=False)


def crl_by(key: ec.EllipticCurvePrivateKey, name: str) -> bytes:
    """Make a CRL of that name, PEM."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .last_update(dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
        .next_update(dt.datetime(2026, 2, 1, tzinfo=dt.UTC))
        .add_extension(x509.CRLNumber(1), critical=False)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


OWN, OTHERS = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())


def test_a_crl_beside_an_anchor_is_that_anchors_and_nobody_elses(tmp_path: Path) -> None:
    folder = place(tmp_path, "tpm2/ours.pem", self_signed(OWN, "Our TPMs") + self_signed(OTHERS, "Our other TPMs"))
    place(tmp_path, "tpm2/again.pem", self_signed(OWN, "Our TPMs"))
    place(tmp_path, "tpm2/ours.crl.pem", crl_by(OWN, "Our TPMs"))

    # An anchor that is pinned twice has its list twice: whichever is found first above a chain, the list is required.
    found = [(a.name, bool(a.crl_der)) for a in load_anchors(folder, SCHEMES, simulated=False)["tpm2"]]
    assert found == [("again", True), ("ours", True), ("ours", False)]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("tpm2/ours.crl.pem", crl_by(OTHERS, "Our TPMs"), "not signed by it"),
        ("tpm2/ours.crl.pem", crl_by(OWN, "Another name"), "not signed by it"),
        ("tpm2/theirs.crl.pem", crl_by(OWN, "Our TPMs"), "not signed by it"),
        ("tpm2/ours.crl.pem", crl_by(OWN, "Our TPMs") * 2, "2 lists"),
        ("tpm2/ours.crl.der", b"no list", "a CRL in PEM or DER"),
        ("sev-snp/ours.crl.pem", crl_by(OWN, "Our TPMs"), "endorsement_dir"),
    ],
    # No id is made of a list's bytes: its signature is of another length in each process.
    ids=["another issuer", "another name", "another anchor", "two lists", "no list", "another scheme"],
)
def test_a_crl_that_no_anchor_could_use_stops_the_start(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    place(tmp_path, "tpm2/ours.pem", self_signed(OWN, "Our TPMs"))
    folder = place(tmp_path, name, data)

    with pytest.raises(ConfigError, match=message) as caught:
        load_anchors(folder, SCHEMES, simulated=False)
    assert caught.value.where.endswith(name)


def test_two_lists_of_one_issuer_stop_the_start(tmp_path: Path) -> None:
    folder = place(tmp_path, "tpm2/ours.pem", self_signed(OWN, "Our TPMs"))
    for name in ("ours.crl.pem", "ours.crl.crt"):
        place(tmp_path, f"tpm2/{name}", crl_by(OWN, "Our TPMs"))

    with pytest.raises(ConfigError, match="second list"):
        load_anchors(folder, SCHEMES, simulated=False)
