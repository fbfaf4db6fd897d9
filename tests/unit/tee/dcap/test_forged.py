"""The forged Intel against the reader: whatever is written is read back, whatever is spoiled is malformed and nothing else."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.intel import ForgedIntel, envelope_maker, platform_tcb
from forge.intel_documents import Tee, inner_bytes
from forge.intel_pki import ROLES
from forge.intel_quote import Shape
from tests.support.vectors import Vector, run_vector, vectors_of, verify_vector
from tests.vectors.dcap.forging import BOUND, INTEL, LIKE_INTEL, NOW, PROCESSOR
from tests.vectors.dcap.tcb import WORDS
from verifier.core.binding import BindingDigest
from verifier.formats.errors import MalformedEvidence
from verifier.formats.x509 import Certificate, Extension, parse_certificate
from verifier.tee.dcap import layout
from verifier.tee.dcap.collateral import parse_qe_identity, parse_tcb_info
from verifier.tee.dcap.decode import decode_quote, encode_quote
from verifier.tee.dcap.pck import read_chain, read_pck
from verifier.tee.dcap.verify import ANCHORS
from verifier.tee.registry import SCHEMES
from verifier.tee.verified import require_parts

TEES: tuple[Tee, ...] = ("sgx", "tdx")
ANY_TEE = frozenset({layout.TEE_SGX, layout.TEE_TDX})
# Version, body type, TEE: every shape that exists.
SHAPES = [(3, 1), (4, 1), (4, 2), (5, 1), (5, 2), (5, 3), (5, 4)]


@pytest.mark.parametrize("tee", TEES)
def test_a_platforms_state_is_exactly_the_word_that_is_expected(tee: Tee, subtests: pytest.Subtests) -> None:
    scheme = SCHEMES[tee]
    stated = [v for v in vectors_of(tee) if v.comment in (*WORDS, "Revoked", "NotSupported")]
    assert {v.comment for v in stated} >= {"UpToDate", "Revoked", "NotSupported"}
    for vector in stated:
        with subtests.test(vector.name):
            assert scheme.token.tcb_status(verify_vector(vector, scheme)) == vector.comment


def _fingerprint() -> str:
    made = [INTEL.root(), INTEL.pck(), PROCESSOR.pck_chain(), INTEL.pck_crl(), INTEL.root_crl(revoked=(1,))]
    for tee in TEES:
        made += [*INTEL.collateral(tee).values(), INTEL.quote(tee, report_data=bytes(64))]
    return hashlib.sha256(b"".join(made)).hexdigest()


def test_it_is_the_same_in_every_process() -> None:
    code = "from tests.unit.tee.dcap.test_forged import _fingerprint; print(_fingerprint())"
    env = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == _fingerprint()


def test_names_are_intels_or_say_simulated() -> None:
    genuine = parse_certificate(ANCHORS[0].certificate_der, "test")
    assert LIKE_INTEL.name("root") == genuine.subject
    assert parse_certificate(LIKE_INTEL.root(), "test").spki != genuine.spki
    for role in ROLES:
        assert b"(simulated)" in INTEL.authority(role)
        assert b"(simulated)" not in LIKE_INTEL.authority(role)


def test_other_peoples_x509_reads_the_forged_chain_and_its_signatures() -> None:
    root = x509.load_der_x509_certificate(INTEL.root())
    for intel in (INTEL, PROCESSOR):
        leaf, ca, brought = x509.load_pem_x509_certificates(intel.pck_chain())
        leaf.verify_directly_issued_by(ca)
        ca.verify_directly_issued_by(root)
        brought.verify_directly_issued_by(root)
        crl = x509.load_der_x509_crl(intel.pck_crl(revoked=(9,)))
        assert crl.is_signature_valid(ca.public_key())  # type: ignore[arg-type]
        assert crl.get_revoked_certificate_by_serial_number(9) is not None
        key = intel.pck_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert parse_certificate(intel.pck(), "test").spki == key
    signer = x509.load_der_x509_certificate(INTEL.authority("tcb-signing"))
    signer.verify_directly_issued_by(root)


@pytest.mark.parametrize("tee", TEES)
def test_an_envelope_is_what_the_scheme_takes(tee: Tee) -> None:
    make, anchors = envelope_maker(tee, now=NOW)
    digest = BindingDigest(whole=hashlib.sha512(b"challenge").digest(), short=bytes(32))
    envelope = make(digest)
    scheme = SCHEMES[tee]
    require_parts(scheme, envelope.parts, envelope.endorsements)
    assert scheme.binding.value(scheme.form.decode(envelope.parts)) == digest.whole
    vector = Vector(
        name="envelope",
        scheme=tee,
        parts=envelope.parts,
        outcome="accepted",
        collateral=INTEL.collateral(tee),
        anchors=anchors,
        now=NOW,
        expected=type(BOUND)(digest),
    )
    assert run_vector(vector, scheme) == ("accepted", "")


@pytest.mark.parametrize("tee", TEES)
@pytest.mark.parametrize("intel", [INTEL, PROCESSOR], ids=["platform", "processor"])
def test_answers_stand_under_what_is_asked_for(tee: Tee, intel: ForgedIntel) -> None:
    scheme, answers, found = SCHEMES[tee], intel.answers(tee), intel.collateral(tee)
    needs = scheme.collateral.needs(scheme.form.decode({"quote": intel.quote(tee, report_data=bytes(64))}), {})
    assert {need.name: answers[need.kind, need.key] for need in needs} == found


# What is written is read back.


@st.composite
def bodies(draw: st.DrawFn, kind: int) -> dict[str, Any]:
    """Draw a body with some of its fields set to anything."""
    table = layout.BODIES[kind]
    free = [f for f in table.fields if f.kind != "zero"]
    chosen = draw(st.lists(st.sampled_from(free), max_size=6, unique_by=lambda f: f.name))
    return {
        f.name: draw(st.binary(min_size=f.size, max_size=f.size))
        if f.kind == "bytes"
        else draw(st.integers(0, 256**f.size - 1))
        for f in chosen
    }


@st.composite
def quotes(draw: st.DrawFn) -> bytes:
    """Draw a quote of any version, body, certification data and padding."""
    version, kind = draw(st.sampled_from(SHAPES))
    certification: Any = draw(st.sampled_from((1, 2, 3, 4, 5, 7)))
    if draw(st.booleans()) and certification in (4, 5, 7):
        certification = (certification, draw(st.binary(min_size=1, max_size=80)))
    shape = Shape(
        version=version,
        body_type=kind,
        header={"user_data": draw(st.binary(min_size=20, max_size=20)), "qe_svn": draw(st.integers(0, 65535))},
        auth_data=draw(st.binary(max_size=64)),
        certification=certification,
        padding=bytes(draw(st.integers(0, 200))),
    )
    fields = {"report_data": draw(st.binary(min_size=64, max_size=64)), **draw(bodies(kind))}
    return INTEL.quote("sgx" if kind == layout.BODY_SGX else "tdx", shape=shape, **fields)


@settings(max_examples=150)
@given(quotes())
def test_a_quote_of_any_shape_encodes_to_itself(quote: bytes) -> None:
    assert encode_quote(decode_quote(quote, "test", ANY_TEE)) == quote


@pytest.mark.slow
@settings(max_examples=200)
@given(quotes(), st.data())
def test_a_quote_of_any_bytes_is_malformed_or_encodes_to_itself(quote: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(quote)))
    how = data.draw(st.sampled_from(("patch", "cut", "insert")))
    piece = data.draw(st.binary(min_size=1, max_size=8))
    spoiled = {
        "patch": quote[:at] + piece + quote[at + len(piece) :],
        "cut": quote[:at],
        "insert": quote[:at] + piece + quote[at:],
    }[how]
    with contextlib.suppress(MalformedEvidence):
        assert encode_quote(decode_quote(spoiled, "test", ANY_TEE)) == spoiled


svns = st.integers(0, 255)
platforms = st.fixed_dictionaries(
    {
        "comps": st.tuples(*(svns,) * 16),
        "pcesvn": st.integers(0, 65535),
        "cpusvn": st.binary(min_size=16, max_size=16),
        "ppid": st.binary(min_size=16, max_size=16),
        "fmspc": st.binary(min_size=6, max_size=6),
        "pceid": st.binary(min_size=2, max_size=2),
        "sgx_type": st.integers(0, 2),
        "instance_id": st.none() | st.binary(min_size=16, max_size=16),
        "configuration": st.none() | st.tuples(st.booleans(), st.booleans(), st.booleans()),
    }
)


def _certificate(extension: bytes) -> Certificate:
    bare = parse_certificate(INTEL.pck(), "test")
    kept: dict[str, Any] = {name: getattr(bare, name) for name in Certificate.__dataclass_fields__}
    kept["extensions"] = {**bare.extensions, layout.OID_SGX: Extension(critical=False, value=extension)}
    return Certificate(**kept)


@given(platforms)
def test_a_pck_certificate_says_what_was_written(platform: dict[str, Any]) -> None:
    read = read_pck(_certificate(platform_tcb(**platform).extension().value), "test")
    assert (read.components, read.pcesvn, read.cpusvn) == (platform["comps"], platform["pcesvn"], platform["cpusvn"])
    assert (read.ppid, read.fmspc, read.pceid) == (platform["ppid"], platform["fmspc"].hex().upper(), platform["pceid"])
    assert (read.sgx_type, read.platform_instance_id) == (platform["sgx_type"], platform["instance_id"])
    flags = platform["configuration"]
    assert read.configuration == (None if flags is None else {str(n): on for n, on in enumerate(flags, start=1)})


def spoiled(good: bytes) -> st.SearchStrategy[bytes]:
    patches = st.tuples(st.integers(0, len(good)), st.binary(min_size=1, max_size=8), st.booleans()).map(
        lambda p: good[: p[0]] + p[1] + good[p[0] + (0 if p[2] else len(p[1])) :]
    )
    return st.one_of(patches, st.binary(max_size=300), st.integers(0, len(good)).map(lambda n: good[:n]))


@settings(max_examples=200)
@given(spoiled(INTEL.platform.extension().value))
def test_an_extension_of_any_bytes_is_malformed_or_read(data: bytes) -> None:
    with contextlib.suppress(MalformedEvidence):
        read_pck(_certificate(data), "test")


@settings(max_examples=200)
@given(spoiled(INTEL.pck_chain()))
def test_a_chain_of_any_bytes_is_malformed_or_read(data: bytes) -> None:
    with contextlib.suppress(MalformedEvidence):
        read_chain(data, "test", "chain")


DOCUMENTS: dict[str, tuple[Any, bytes]] = {
    "tcb-info": (parse_tcb_info, INTEL.signed_tcb_info("tdx")),
    "tcb-info-2": (parse_tcb_info, INTEL.signed_tcb_info("sgx", version=2)),
    "qe-identity": (parse_qe_identity, INTEL.signed_qe_identity("tdx")),
}


@pytest.mark.parametrize("name", DOCUMENTS)
@settings(max_examples=200)
@given(data=st.data())
def test_a_document_of_any_bytes_is_malformed_or_read(name: str, data: st.DataObject) -> None:
    reader, good = DOCUMENTS[name]
    document = data.draw(spoiled(good))
    with contextlib.suppress(MalformedEvidence):
        read = reader(document, "test")
        # What was signed is cut out of what came, never rebuilt.
        assert read.signed.body in document


@pytest.mark.parametrize("tee", TEES)
def test_what_was_signed_is_the_inner_object_to_the_byte(tee: Tee) -> None:
    info, identity = INTEL.tcb_info(tee), INTEL.qe_identity(tee)
    assert parse_tcb_info(INTEL.signed_tcb_info(tee, info), "test").signed.body == inner_bytes(info)
    assert parse_qe_identity(INTEL.signed_qe_identity(tee, identity), "test").signed.body == inner_bytes(identity)
    spaced = json.dumps(info, indent=2).encode()
    assert parse_tcb_info(INTEL.signed_tcb_info(tee, spaced), "test").signed.body == spaced


def test_another_platform_has_other_keys_and_names() -> None:
    other = ForgedIntel(now=NOW, seed=b"another")
    assert other.pck_serial != INTEL.pck_serial
    assert other.platform.ppid != INTEL.platform.ppid
    assert other.attestation_key.private_numbers() != INTEL.attestation_key.private_numbers()
