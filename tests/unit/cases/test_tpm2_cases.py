"""Offline cases of ``tpm2``: the forms that sources keep quotes in, the case's own anchors, and what its policy asks."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from forge.bootlog import measured_boot
from forge.tpm2 import PrivateKey, SimulatedTpm, make_tpm, new_key, pcr_digest, sign
from tests.vectors.tpm2.forging import NONCE, PCRS, rsa_tpm, tpm
from verifier.cases.form import CaseError, CaseFiles
from verifier.cases.registry import CASES
from verifier.formats.errors import BridgeError
from verifier.tee.tcg.layout import SHA1, SHA256
from verifier.tee.tpm2.layout import Selection, encode_signature

FORM = CASES["tpm2"]
NOW = int(dt.datetime(2026, 1, 1, tzinfo=dt.UTC).timestamp())
ROOT_KEY, MIDDLE_KEY = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
ROOT, MIDDLE, LEAF = "Test Root CA", "Test AK CA", "de.test.ak.device0"


def pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def certificate(
    subject: str,
    key: PrivateKey,
    issuer: str,
    signer: ec.EllipticCurvePrivateKey,
    *,
    days: int = 3650,
    ca: bool = False,
) -> bytes:
    start = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in (subject, issuer)]
    builder = (
        x509.CertificateBuilder()
        .subject_name(names[0])
        .issuer_name(names[1])
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    return builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM)


ROOT_PEM = certificate(ROOT, ROOT_KEY, ROOT, ROOT_KEY, ca=True)
MIDDLE_PEM = certificate(MIDDLE, MIDDLE_KEY, ROOT, ROOT_KEY, ca=True)


def files(
    machine: SimulatedTpm,
    *,
    collateral: dict[str, bytes] | None = None,
    nonce: str | None = NONCE.hex(),
    **evidence: Any,
) -> CaseFiles:
    """Return a case of the machine; keyword arguments replace its files (``None`` leaves one out), dots as two underscores."""
    parts = machine.parts(NONCE, PCRS)
    listed: dict[str, bytes | None] = {
        "quote.msg": parts["quote"],
        "quote.sig.tpmt": parts["quote_sig"],
        "pcrs.json": parts["pcrs"],
        "ak_pub.pem": pem(machine.ak),
    }
    listed |= {name.replace("__", "."): data for name, data in evidence.items()}
    policy = {} if nonce is None else {"nonce": nonce}
    kept = {name: data for name, data in listed.items() if data is not None}
    return CaseFiles("tpm2", kept, collateral or {}, policy, NOW)


def outcome(case: CaseFiles) -> tuple[str, str]:
    try:
        verdict = FORM.judge(case)
    except BridgeError as error:
        return error.outcome, error.check_id
    assert (verdict.root, verdict.anchor) == ("case-given", "case-given")
    assert all(finding.ok for finding in verdict.findings)
    return "accepted", ""


ACCEPTED = ("accepted", "")
BASE = files(tpm())


def test_a_quote_by_the_given_key_is_accepted_and_reported_as_case_given() -> None:
    assert outcome(BASE) == ACCEPTED
    assert outcome(files(rsa_tpm())) == ACCEPTED


def test_the_claims_stand_under_the_cases_names() -> None:
    claims = FORM.claims(BASE)
    (quote,) = claims["quotes"]
    assert quote["bank"] == "sha256"
    assert claims["pcr_select"] == quote["pcr_select"] == [["sha256", list(PCRS)]]
    assert claims["extra_data"] == NONCE.hex()
    assert claims["ak_type"] == "ECC P-256"
    assert FORM.claims(files(rsa_tpm()))["ak_type"] == "RSA 2048"


def test_bare_rsa_bytes_and_der_ecdsa_are_signatures_too() -> None:
    message = BASE.evidence["quote.msg"]
    ecc, other = tpm().ak, rsa_tpm()
    assert isinstance(ecc, ec.EllipticCurvePrivateKey)
    der = ecc.sign(message, ec.ECDSA(hashes.SHA256()))
    assert outcome(files(tpm(), quote__sig__tpmt=None, quote__sig__der=der)) == ACCEPTED
    assert isinstance(other.ak, rsa.RSAPrivateKey)
    quote = other.parts(NONCE, PCRS)["quote"]
    bare = other.ak.sign(quote, padding.PKCS1v15(), hashes.SHA256())
    renamed = {"quote__msg": None, "quote__sig__tpmt": None, "tpm_quote__msg": quote, "tpm_quote__sig": bare}
    assert outcome(files(other, **renamed)) == ACCEPTED


def test_every_quote_of_a_case_counts() -> None:
    parts = tpm().parts(NONCE, (0, 1))
    second = {"quote_two__msg": parts["quote"], "quote_two__sig__tpmt": parts["quote_sig"]}
    case = files(tpm(), **second)
    assert outcome(case) == ACCEPTED
    assert len(FORM.claims(case)["quotes"]) == 2
    forged = encode_signature(sign(new_key("ecc"), parts["quote"]))
    assert outcome(files(tpm(), **{**second, "quote_two__sig__tpmt": forged})) == ("rejected", "tpm2.quote.signature")


@pytest.mark.parametrize(
    ("nonce", "want"),
    [
        (None, ACCEPTED),
        ("", ("rejected", "binding.user-data")),
        ("00" * 32, ("rejected", "binding.user-data")),
        (NONCE.hex()[:-2], ("rejected", "binding.user-data")),
    ],
)
def test_a_nonce_is_compared_where_the_case_asks_for_one(nonce: str | None, want: tuple[str, str]) -> None:
    assert outcome(files(tpm(), nonce=nonce)) == want


def test_a_quote_without_a_nonce_never_satisfies_one() -> None:
    parts = tpm().parts(b"", PCRS)
    changed = {"quote__msg": parts["quote"], "quote__sig__tpmt": parts["quote_sig"]}
    for nonce in ("", "00"):
        assert outcome(files(tpm(), nonce=nonce, **changed)) == ("rejected", "binding.user-data")


def test_sha1_counts_only_where_the_case_allows_it() -> None:
    machine = rsa_tpm()
    selections = (Selection.of(SHA256.id, PCRS),)
    quote, _ = machine.quote(NONCE, PCRS, pcr_digest=pcr_digest(machine.values, selections, SHA1.id))
    signature = encode_signature(sign(machine.ak, quote, algorithm=SHA1.id))
    case = files(machine, quote__msg=quote, quote__sig__tpmt=signature)
    assert outcome(case) == ("rejected", "tpm2.quote.scheme")
    assert outcome(replace(case, policy={**case.policy, "allow_sha1_signature": True})) == ACCEPTED


def test_pcr_values_and_selection_are_checked_where_they_are_given() -> None:
    values = json.loads(BASE.evidence["pcrs.json"])
    changed = {"sha256": {**values["sha256"], "0": "00" * 32}}
    assert outcome(files(tpm(), pcrs__json=json.dumps(changed).encode())) == ("rejected", "tpm2.pcrs.digest")
    assert outcome(files(tpm(), pcrs__json=b'{"sha384":{"0":"' + b"00" * 48 + b'"}}')) == (
        "rejected",
        "tpm2.pcrs.digest",
    )
    assert outcome(files(tpm(), pcrs__json=None)) == ACCEPTED
    nothing = tpm().parts(NONCE, PCRS, selections=())
    changed_quote = {"quote__msg": nothing["quote"], "quote__sig__tpmt": nothing["quote_sig"]}
    assert outcome(files(tpm(), **changed_quote)) == ("rejected", "tpm2.quote.selection")


def test_the_log_has_to_give_the_quoted_registers() -> None:
    assert outcome(files(tpm(), eventlog__bin=tpm().event_log)) == ACCEPTED
    other = measured_boot(kernel=b"another").to_bytes()
    assert outcome(files(tpm(), eventlog__bin=other)) == ("rejected", "tpm2.eventlog.replay")
    assert outcome(files(tpm(), eventlog__bin=measured_boot((SHA1,)).to_bytes())) == (
        "rejected",
        "tpm2.eventlog.replay",
    )
    assert outcome(files(tpm(), eventlog__bin=other[:-1])) == ("malformed", "tpm2.decode.eventlog")


def certified(machine: SimulatedTpm, leaf: bytes, **collateral: bytes) -> CaseFiles:
    given = {f"{name}.pem": data for name, data in collateral.items()}
    return files(machine, ak_cert__pem=leaf, collateral=given)


LEAF_PEM = certificate(LEAF, tpm().ak, ROOT, ROOT_KEY)
LOWER_LEAF_PEM = certificate(LEAF, tpm().ak, MIDDLE, MIDDLE_KEY)
NO_CA_PEM = certificate(MIDDLE, MIDDLE_KEY, ROOT, ROOT_KEY)
OTHER_ROOT_PEM = certificate(ROOT, MIDDLE_KEY, ROOT, MIDDLE_KEY, ca=True)


def test_a_certified_ak_counts_under_the_root_that_only_the_case_can_give() -> None:
    assert outcome(certified(tpm(), LEAF_PEM, test_root_ca=ROOT_PEM)) == ACCEPTED
    assert outcome(certified(tpm(), LOWER_LEAF_PEM, middle=MIDDLE_PEM, test_root_ca=ROOT_PEM)) == ACCEPTED
    assert FORM.claims(certified(tpm(), LEAF_PEM))["ak_cert_subject"] == f"CN={LEAF}"


@pytest.mark.parametrize(
    ("case", "want"),
    [
        (certified(tpm(), LEAF_PEM), ("cannot-decide", "tpm2.endorsement.ak-cert")),
        (files(tpm(), ak_pub__pem=None), ("cannot-decide", "tpm2.endorsement.ak-cert")),
        (certified(tpm(), LOWER_LEAF_PEM, test_root_ca=ROOT_PEM), ("rejected", "tpm2.ak-cert.root")),
        (certified(tpm(), LEAF_PEM, test_root_ca=OTHER_ROOT_PEM), ("rejected", "tpm2.ak-cert.signature")),
        (
            certified(tpm(), certificate(LEAF, tpm().ak, ROOT, ROOT_KEY, days=30), test_root_ca=ROOT_PEM),
            ("rejected", "tpm2.ak-cert.validity"),
        ),
        (
            certified(tpm(), LOWER_LEAF_PEM, middle=NO_CA_PEM, test_root_ca=ROOT_PEM),
            ("rejected", "tpm2.ak-cert.constraints"),
        ),
        (
            certified(tpm(), certificate(LEAF, new_key("ecc"), ROOT, ROOT_KEY), test_root_ca=ROOT_PEM),
            ("rejected", "tpm2.ak-cert.key"),
        ),
        (certified(tpm(), b"x", test_root_ca=ROOT_PEM), ("malformed", "tpm2.decode.ak_cert")),
        (files(tpm(), ak_pub__pem=b"x"), ("malformed", "tpm2.decode.ak_pub")),
        (files(make_tpm(label="other"), ak_pub__pem=pem(tpm().ak)), ("rejected", "tpm2.quote.signature")),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_an_ak_that_nobody_vouches_for_is_refused(case: CaseFiles, want: tuple[str, str]) -> None:
    assert outcome(case) == want


@pytest.mark.parametrize(
    "case",
    [
        replace(BASE, policy={"nonce": "xyz"}),
        replace(BASE, policy={"nonce": 5}),
        replace(BASE, policy={"allow_sha1_signature": "yes"}),
        replace(BASE, evidence={"pcrs.json": b"{}"}),
        files(tpm(), quote__sig__tpmt=None),
    ],
    ids=["nonce-no-hex", "nonce-no-text", "switch-no-boolean", "no-quote", "no-signature"],
)
def test_a_case_that_is_wrong_itself_is_a_usage_error(case: CaseFiles) -> None:
    with pytest.raises(CaseError):
        FORM.judge(case)


def test_a_case_can_ask_for_the_data_of_events() -> None:
    case = files(tpm(), eventlog__bin=tpm().event_log)
    assert outcome(replace(case, policy={**case.policy, "check_event_data": True})) == ACCEPTED


def test_a_list_of_measured_files_has_to_give_the_quoted_register() -> None:
    lines = tpm().ima_list.splitlines(keepends=True)
    assert outcome(files(tpm(), ascii_runtime_measurements=tpm().ima_list + lines[-1])) == ACCEPTED
    shorter = files(tpm(), ascii_runtime_measurements=b"".join(lines[:-1]))
    assert outcome(shorter) == ("rejected", "tpm2.ima.replay")
    changed = files(tpm(), ascii_runtime_measurements=tpm().ima_list.replace(b"my program", b"no program"))
    assert outcome(changed) == ("rejected", "tpm2.ima.template")
    assert outcome(files(tpm(), ascii_runtime_measurements=b"x")) == (
        "malformed",
        "tpm2.decode.ascii_runtime_measurements",
    )
