"""Google's vTPM: the pinned roots, the instance identity both ways, what only a case can bring."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.gcp_vtpm import ForgedGcp
from tests.support.vectors import base_vector, verify_vector
from tests.vectors.gcp_vtpm.recipes import base, ecc
from tests.vectors.vtpm.forging import NONCE
from verifier.cases.form import CaseFiles
from verifier.cases.platforms import gcp_vtpm
from verifier.formats.encoding import sha256
from verifier.formats.errors import CannotDecide, EvidenceRejected
from verifier.formats.x509chain import Anchor
from verifier.tee.gcp_vtpm.layout import Instance, decode_instance, encode_instance
from verifier.tee.gcp_vtpm.scheme import SCHEME
from verifier.tee.gcp_vtpm.verify import ANCHORS
from verifier.tee.tpm2.keys import spki

# SHA-256 of certificate and of public key of the roots that Google publishes (docs/tee/gcp-vtpm.md).
PINNED = {
    (
        "594759594b9b61524f6c8ef668f7177f7b9066bc0674f2f49fe9e052be78beb2",
        "56a613f57126a385dd6949294e93b0b566f96ab0573be0c2368e6f5ca779831f",
    ),
    (
        "9bd5285f8fb18502a7947e621ffd470266f49fcd3b73e19a190f690ad32a7caf",
        "f23057f4f97d1d90e4cae0ce91d5a0fc99069f0a1bc147021dca33b1e9c4d0d9",
    ),
}
_TEXT = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=40)
_NUMBER = st.integers(0, 2**64 - 1)


def test_the_roots_are_googles() -> None:
    assert {(a.certificate.digest.hex(), sha256(a.certificate.spki).hex()) for a in ANCHORS} == PINNED
    assert {a.root for a in ANCHORS} == {"vendor"}


@given(
    st.builds(
        Instance,
        zone=_TEXT,
        project_number=_NUMBER,
        project_id=_TEXT,
        instance_id=_NUMBER,
        instance_name=_TEXT,
        security_version=st.none() | _NUMBER,
        is_production=st.none() | st.booleans(),
        further=st.sampled_from(((), ((0xA2, b"\x01\x01\x00"), (0xA5, b"\x01\x01\xff")))),
    )
)
def test_an_instance_identity_is_read_as_it_was_written(instance: Instance) -> None:
    assert decode_instance(encode_instance(instance), "x.y") == instance


def test_the_hypervisor_stays_in_the_trusted_base_whatever_stands_beside() -> None:
    assert not SCHEME.host_excluded
    verified = verify_vector(base_vector("gcp-vtpm"), SCHEME)
    assert (verified.root, SCHEME.token.tcb_status(verified)) == ("simulated", "NotApplicable")


def _files(machine: ForgedGcp, **evidence: bytes) -> CaseFiles:
    parts = machine.quote_parts(NONCE)
    own = {"quote.msg": parts["quote"], "quote.sig.tpmt": parts["quote_sig"], "ak_cert.der": machine.ak_certificate()}
    given = {name.replace("__", "."): data for name, data in evidence.items()}
    collateral = {"forged_root.der": machine.ca.root(), "forged_intermediate.der": machine.ca.intermediate()}
    named = {name: data for name, data in {**own, **given}.items() if data}
    return CaseFiles("gcp-vtpm", named, collateral, {"nonce": NONCE.hex()}, machine.now)


@pytest.fixture
def _trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let cases trust the forged Google: what is judged here comes after the chain."""
    anchors: tuple[Anchor, ...] = (base().ca.anchor(),)
    monkeypatch.setattr(gcp_vtpm, "ANCHORS", anchors)


def test_a_root_that_the_case_brings_is_no_anchor() -> None:
    with pytest.raises(EvidenceRejected) as caught:
        gcp_vtpm.CASE.judge(_files(base()))
    assert caught.value.check_id == "gcp-vtpm.ak-cert.root"


@pytest.mark.usefixtures("_trusted")
def test_a_stated_key_has_to_be_the_certificates() -> None:
    import base64

    def pem(machine: ForgedGcp) -> bytes:
        body = base64.encodebytes(spki(machine.tpm.ak.public_key()))
        return b"-----BEGIN PUBLIC KEY-----\n" + body + b"-----END PUBLIC KEY-----\n"

    assert gcp_vtpm.CASE.judge(_files(base(), ak_pub__pem=pem(base()))).root == "simulated"
    with pytest.raises(EvidenceRejected) as caught:
        gcp_vtpm.CASE.judge(_files(base(), ak_pub__pem=pem(ecc())))
    assert caught.value.check_id == "gcp-vtpm.ak-cert.ak-pub"


def test_a_case_without_the_certificate_cannot_be_decided() -> None:
    with pytest.raises(CannotDecide) as caught:
        gcp_vtpm.CASE.judge(_files(base(), ak_cert__der=b""))
    assert caught.value.check_id == "gcp-vtpm.endorsement.ak_cert"


@pytest.mark.usefixtures("_trusted")
def test_a_nonce_without_a_quote_is_refused() -> None:
    with pytest.raises(EvidenceRejected) as caught:
        gcp_vtpm.CASE.judge(_files(base(), quote__msg=b"", quote__sig__tpmt=b""))
    assert caught.value.check_id == "binding.user-data"
