"""What is particular to SEV-SNP: pinned roots, TCB layouts, needs, identities, and who an instance is."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from pydantic import ValidationError

from forge.sev_snp import ForgedAmd, tcb_version
from tests.support.vectors import verify_vector
from tests.vectors.sev_snp.forging import CSP, DATA, GENOA, MILAN, NOW, TURIN, VLEK, everything, vector
from verifier.formats.x509 import common_name, parse_certificate
from verifier.tee.scheme import Verified
from verifier.tee.sev_snp.decode import Report, decode, tcb_parts
from verifier.tee.sev_snp.identity import PlatformValues
from verifier.tee.sev_snp.layout import LAYOUTS, SIZE, product_of
from verifier.tee.sev_snp.scheme import SCHEME
from verifier.tee.sev_snp.verify import SnpCollateral

# SHA-256 of certificate (DER) and of SubjectPublicKeyInfo, as AMD's key server has given them since each product came out.
PINNED = {
    "ARK-Milan": (
        "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd",
        "9f056bee44377e29308cb5ffa895bdfb62d18881fa6bed8d6f075b0204089cb9",
    ),
    "ARK-Genoa": (
        "4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1",
        "429a69c9422aa258ee4d8db5fcda9c6470ef15f8cd5a9cebd6cbc7d90b863831",
    ),
    "ARK-Turin": (
        "1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a",
        "4f125410563a2ab9a50356f9243f6fe0b6f73de98603f53f90339c70e9d7ad08",
    ),
}


def _verified(amd: ForgedAmd, **fields: bytes | int) -> Verified[Report, SnpCollateral]:
    return verify_vector(vector("one", amd=amd, fields=fields), SCHEME)


def test_the_built_in_roots_are_amds() -> None:
    seen = {}
    for anchor in SCHEME.verification.anchors:
        certificate = anchor.certificate
        assert common_name(certificate.subject) == anchor.name
        assert anchor.root == "vendor"
        seen[anchor.name] = (certificate.digest.hex(), hashlib.sha256(certificate.spki).hexdigest())
    assert seen == PINNED


def test_text_around_a_pem_block_is_not_kept() -> None:
    """Endorsements come from anybody: a cache keyed by them as they came would be filled with 128 KiB an entry."""
    report = decode({"report": MILAN.report(report_data=DATA)})
    pem = {
        name: b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"
        for name, der in MILAN.endorsements().items()
    }

    first = SCHEME.collateral.collate(report, pem)
    again = SCHEME.collateral.collate(report, {name: b"x" * 100_000 + b"\n" + text for name, text in pem.items()})
    assert again is first
    assert SCHEME.collateral.collate(report, MILAN.endorsements()) is first


def test_no_forged_key_is_among_the_roots() -> None:
    pinned = {anchor.certificate.spki for anchor in SCHEME.verification.anchors}
    assert not pinned & {amd.anchor().certificate.spki for amd in (MILAN, GENOA, TURIN)}


def test_the_forged_certificates_are_what_another_library_reads() -> None:
    """The forger writes DER by hand: ``cryptography.x509`` agrees on the CAs, and warns of the VCEK's serial number 0."""
    for amd in (MILAN, TURIN, VLEK):
        root, ask = x509.load_der_x509_certificate(amd.ark()), x509.load_der_x509_certificate(amd.ask())
        ask.verify_directly_issued_by(root)
        root.verify_directly_issued_by(root)
        assert ask.serial_number == parse_certificate(amd.ask(), "t.parse").serial
        crl = x509.load_der_x509_crl(amd.crl(revoked=(5,)))
        assert crl.is_signature_valid(root.public_key())  # type: ignore[arg-type]
        assert [entry.serial_number for entry in crl] == [5]
    with pytest.warns(Warning, match="serial number"):
        assert x509.load_der_x509_certificate(MILAN.vek()).serial_number == 0


def test_a_whole_verification_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _verified(ForgedAmd("Genoa", now=NOW, seed=b"unseen chip")).root == "simulated"


@pytest.mark.parametrize(
    ("family", "model", "product"),
    [
        (0x19, 0x00, "Milan"),
        (0x19, 0x0F, "Milan"),
        (0x19, 0x10, "Genoa"),
        (0x19, 0x1F, "Genoa"),
        (0x19, 0xA0, "Genoa"),
        (0x19, 0xAF, "Genoa"),
        (0x19, 0x20, None),
        (0x1A, 0x02, "Turin"),
        (0x1A, 0x20, None),
        (0x17, 0x01, None),
    ],
)
def test_cpuid_names_the_product(family: int, model: int, product: str | None) -> None:
    assert product_of(family, model) == product


def test_turin_orders_its_tcb_differently() -> None:
    raw = bytes.fromhex("0102030400000051")
    assert tcb_parts(raw, "Turin") == {"fmc": 1, "bl": 2, "tee": 3, "snp": 4, "ucode": 0x51}
    assert tcb_parts(bytes.fromhex("04000000000018db"), "Milan") == {"bl": 4, "tee": 0, "snp": 24, "ucode": 219}
    # A version 2 report names no product and is never read as Turin.
    assert "fmc" not in tcb_parts(bytes(8), None)


def test_the_layouts_differ_only_where_versions_do() -> None:
    assert {layout.size for layout in LAYOUTS.values()} == {SIZE} == {1184}
    names = {version: set(layout.names) for version, layout in LAYOUTS.items()}
    assert names[3] == names[4]
    assert {n for n in names[3] - names[2] if "reserved" not in n} == {"cpuid_family", "cpuid_model", "cpuid_stepping"}
    assert {n for n in names[5] - names[4] if "reserved" not in n} == {"launch_mit_vector", "current_mit_vector"}


def _needs(amd: ForgedAmd, have: Mapping[str, bytes], version: int | None = None) -> list[tuple[str, str, bool]]:
    report = decode({"report": amd.report(report_data=DATA, version=version)})
    return [(need.name, need.key, need.required) for need in SCHEME.collateral.needs(report, have)]


def test_what_did_not_come_along_is_asked_for_and_the_crl_always() -> None:
    tcb = MILAN.tcb.hex()
    assert _needs(MILAN, {"vcek": b"", "ask": b""}) == [("crl", "Milan", True)]
    assert _needs(MILAN, {}) == [
        ("vcek", f"Milan-{MILAN.hwid.hex()}-{tcb}", True),
        ("ask", "Milan-vcek", True),
        ("crl", "Milan", True),
    ]
    assert [need[0] for need in _needs(VLEK, {"vcek": b"", "ask": b""})] == ["vlek", "crl"]


def test_a_version_2_report_gets_its_intermediates_name_from_its_certificate() -> None:
    lists = [("crl", "Milan", False), ("genoa_crl", "Genoa", False)]
    assert _needs(MILAN, {"vcek": b"", "ask": b""}, 2) == lists
    assert _needs(MILAN, {}, 2) == [("vcek", f"unknown-{MILAN.hwid.hex()}-{MILAN.tcb.hex()}", True), *lists]
    assert _needs(MILAN, {"vcek": MILAN.vek()}, 2) == [("ask", "Milan-vcek", True), *lists]
    report = decode({"report": MILAN.report(report_data=DATA, version=2)})
    assert [need.name for need in SCHEME.collateral.needs(report, {}) if need.opens] == ["vcek"]


def test_an_instance_is_its_chip_and_under_a_vlek_its_launch() -> None:
    kind, chip = SCHEME.token.instance(_verified(MILAN))
    assert (kind, chip) == ("sev-snp.chip", MILAN.hwid.hex())
    # A masked CHIP_ID does not make all masked chips one: the certificate names the chip.
    assert SCHEME.token.instance(_verified(MILAN, chip_id=bytes(64))) == (kind, chip)
    assert SCHEME.token.instance(_verified(TURIN)) == ("sev-snp.chip", TURIN.hwid.hex() + "00" * 56)
    assert SCHEME.token.instance(_verified(VLEK, report_id=b"\x07" * 32)) == ("sev-snp.report-id", "07" * 32)


def test_debug_status_and_measurement_say_what_the_report_says() -> None:
    verified = _verified(MILAN, measurement=b"\x05" * 48)
    assert SCHEME.token.measurement(verified, ()) == "05" * 48
    assert SCHEME.token.debug_status(verified.evidence) == "disabled-since-boot"
    assert SCHEME.token.debug_status(_verified(MILAN, policy=0xB001F).evidence) == "enabled"
    assert SCHEME.host_excluded


FLOOR = {"bl": 4, "tee": 0, "snp": 24, "ucode": 219}


@pytest.mark.parametrize(
    "values",
    [
        {"minimum_tcb": {"Milan": FLOOR, "Turin": {**FLOOR, "fmc": 1}}},
        {"signing_key": {"kind": "VLEK", "csp_id": CSP}},
        {"signing_key": {"kind": "VCEK"}, "chip_allow": ["00" * 64], "chip_deny": []},
        {"platform_info": {"smt_enabled": False}},
    ],
)
def test_platform_identities_that_say_something(values: dict[str, Any]) -> None:
    PlatformValues.model_validate(values)


@pytest.mark.parametrize(
    "values",
    [
        {"minimum_tcb": {}},
        {"minimum_tcb": {"Naples": FLOOR}},
        {"minimum_tcb": {"Turin": FLOOR}},
        {"minimum_tcb": {"Milan": {**FLOOR, "fmc": 1}}},
        {"minimum_tcb": {"Milan": {"bl": 4}}},
        {"minimum_tcb": {"Milan": {**FLOOR, "snp": 256}}},
        {"signing_key": {"kind": "VLEK"}},
        {"signing_key": {"kind": "VCEK", "csp_id": CSP}},
        {"signing_key": {"kind": "VLEK", "csp_id": CSP}, "chip_allow": ["00" * 64]},
        {"signing_key": {"kind": "VLEK", "csp_id": CSP}, "chip_deny": []},
        {"chip_allow": []},
        {"chip_allow": ["00" * 63]},
        {"minimum_committed_version": "1.55"},
        {"platform_info": {"smt": True}},
        {"chips": []},
    ],
)
def test_platform_identities_that_would_check_nothing_or_are_mistaken(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PlatformValues.model_validate(values)


def test_a_forged_chip_signs_with_the_same_key_in_every_process() -> None:
    twin = ForgedAmd("Milan", now=NOW + 5)
    assert twin.key.public_key() == MILAN.key.public_key()
    assert twin.report(report_data=DATA) == MILAN.report(report_data=DATA)
    newer = ForgedAmd("Milan", now=NOW, tcb={"bl": 4, "snp": 25, "ucode": 219})
    assert newer.tcb == tcb_version("Milan", {"bl": 4, "snp": 25, "ucode": 219})
    assert newer.key.public_key() != MILAN.key.public_key()


def test_rules_are_total() -> None:
    """Every rule answers, whatever kind of report it is asked about."""
    odd = [_verified(MILAN), _verified(VLEK), _verified(TURIN), _verified(GENOA, chip_id=bytes(64), key_info=0)]
    values = {**everything(TURIN), **everything(MILAN)}
    for verified in odd:
        for rule in SCHEME.appraisal.rules:
            assert isinstance(rule.judge(verified, values.get(rule.id, rule.default)).ok, bool)


def test_an_attester_that_needs_the_layout_loads_no_rules() -> None:
    """The attester's distribution has no pydantic: the forged AMD and the layout must do without."""
    code = (
        "import sys; import forge.sev_snp, verifier.tee.sev_snp.layout; "
        "sys.exit(any(m.split('.')[0] in ('pydantic', 'flask') or m == 'verifier.tee.scheme' for m in sys.modules))"
    )
    root = Path(__file__).resolve().parents[4]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, check=False
    )
    assert done.returncode == 0
