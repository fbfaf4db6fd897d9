"""What a real TPM says of us: it opens our credentials, and its quotes pass our checks."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.parts import missing
from tests.support.swtpm import EkCa, make_ek_ca, manufacture, require_swtpm, running_swtpm
from verifier.core.binding import BindingDigest
from verifier.formats.encoding import canonical, sha256
from verifier.formats.errors import BridgeError, EvidenceRejected
from verifier.formats.pem import pem_blocks
from verifier.formats.x509chain import Anchor, ChainCache
from verifier.tee.scheme import Subject
from verifier.tee.tpm2.collateral import encode_enrolled_ak
from verifier.tee.tpm2.enrolment import check_ak, check_ek, make_credential
from verifier.tee.tpm2.layout import decode_public, encode_public, name_of
from verifier.tee.tpm2.scheme import SCHEME
from verifier.tee.verified import Bound, run_checks

RSA_EK, ECC_EK = 0x81010001, 0x81010016
EK_CERTIFICATES = {RSA_EK: "0x01c00002", ECC_EK: "0x01c00016"}
SECRET = bytes(range(32))
NONCE = sha256(b"a challenge")
TOOLS = ("tpm2_createak", "tpm2_createprimary", "tpm2_activatecredential", "tpm2_quote", "tpm2_nvread")
AK_ATTRIBUTES = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign"
EXTENDED = {pcr: sha256(bytes((pcr,))) for pcr in (*range(10), 15)}


@dataclass(frozen=True)
class Tpm:
    """A running software TPM, driven by the tpm2 tools; transient objects are flushed after each of them."""

    folder: Path
    tcti: str
    ca: EkCa

    def run(self, *command: str) -> bytes:
        """Run one tool."""
        env = {**os.environ, "TPM2TOOLS_TCTI": self.tcti, "TSS2_LOG": "all+none"}
        done = subprocess.run(command, capture_output=True, cwd=self.folder, env=env, timeout=60, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout!r} {done.stderr!r}"
        if command[0] != "tpm2_flushcontext":
            self.run("tpm2_flushcontext", "-t")
        return done.stdout

    def read(self, name: str) -> bytes:
        """Read a file that a tool wrote."""
        return (self.folder / name).read_bytes()

    def write(self, name: str, data: bytes) -> str:
        """Write a file for a tool."""
        (self.folder / name).write_bytes(data)
        return name

    def ek(self, handle: int) -> tuple[tuple[bytes, ...], bytes]:
        """Return the chain of an EK, leaf first, and its TPMT_PUBLIC."""
        raw = self.run("tpm2_nvread", EK_CERTIFICATES[handle])
        leaf = raw[: 4 + int.from_bytes(raw[2:4], "big")]
        self.run("tpm2_readpublic", "-c", hex(handle), "-f", "tpmt", "-o", "ek.pub")
        return (leaf, *pem_blocks(self.ca.issuer_pem, "CERTIFICATE")), self.read("ek.pub")

    def ak_under_ek(self, kind: str, scheme: str, handle: int = RSA_EK) -> bytes:
        """Make an AK below an EK as ``ak.ctx``; return its TPMT_PUBLIC."""
        command = ("tpm2_createak", "-C", hex(handle), "-c", "ak.ctx", "-G", kind, "-g", "sha256", "-s", scheme)
        self.run(*command, "-u", "ak.pub", "-f", "tpmt", "-n", "ak.name")
        return self.read("ak.pub")

    def ak_as_primary(self, template: str, hierarchy: str = "e") -> bytes:
        """Make an AK as a primary key; return its TPMT_PUBLIC."""
        self.run("tpm2_createprimary", "-C", hierarchy, "-G", template, "-a", AK_ATTRIBUTES, "-c", "ak.ctx")
        self.run("tpm2_readpublic", "-c", "ak.ctx", "-f", "tpmt", "-o", "ak.pub")
        return self.read("ak.pub")

    def activate(self, handle: int, blob: bytes, secret: bytes) -> bytes:
        """TPM2_ActivateCredential by the tool's file: magic, version, TPM2B_ID_OBJECT, TPM2B_ENCRYPTED_SECRET."""
        file = b"\xba\xdc\xc0\xde\x00\x00\x00\x01"
        file += b"".join(len(part).to_bytes(2, "big") + part for part in (blob, secret))
        command = ["tpm2_activatecredential", "-c", "ak.ctx", "-C", hex(handle)]
        command += ["-i", self.write("credential", file), "-o", "opened"]
        if (
            handle == RSA_EK
        ):  # the low range is used under PolicySecret(endorsement), the high one by its empty password
            self.run("tpm2_startauthsession", "--policy-session", "-S", "session.ctx")
            self.run("tpm2_policysecret", "-S", "session.ctx", "-c", "e")
            command += ["-P", "session:session.ctx"]
        try:
            self.run(*command)
        finally:
            if handle == RSA_EK:
                self.run("tpm2_flushcontext", "session.ctx")
        return self.read("opened")

    def parts(self, ak_public: bytes, scheme: str = "ecdsa") -> dict[str, bytes]:
        """Quote as an attester does."""
        pcrs = tuple(EXTENDED)
        command = ("tpm2_quote", "-c", "ak.ctx", "-l", f"sha256:{','.join(map(str, pcrs))}", "-q", NONCE.hex())
        self.run(*command, "-g", "sha256", "--scheme", scheme, "-m", "quote", "-s", "signature", "-f", "tss")
        values = {str(p): sha256(bytes(32) + EXTENDED[p]).hex() for p in pcrs}
        name = name_of(decode_public(ak_public, check_id="test"))
        pcr_part = canonical({"sha256": values})
        return {
            "quote": self.read("quote"),
            "quote_sig": self.read("signature"),
            "pcrs": pcr_part,
            "ak_name": name,
        }


@pytest.fixture(scope="module")
def tpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tpm]:
    require_swtpm()
    for tool in TOOLS:
        if shutil.which(tool) is None:
            missing(f"{tool} is not installed: apt-get install tpm2-tools")
    folder = tmp_path_factory.mktemp("swtpm")
    ca = make_ek_ca(folder / "ca")
    manufacture(folder / "state", ca)
    with running_swtpm(folder / "state") as running:
        machine = Tpm(folder, running.tcti, ca)
        machine.run("tpm2_pcrextend", *(f"{pcr}:sha256={digest.hex()}" for pcr, digest in EXTENDED.items()))
        yield machine


def anchors(tpm: Tpm) -> tuple[Anchor, ...]:
    (root,) = pem_blocks(tpm.ca.root_pem, "CERTIFICATE")
    return (Anchor("test", root, "private"),)


def enrol(tpm: Tpm, handle: int, ak_public: bytes) -> bytes:
    """Enrol by activation; returns what the store would answer at a quote."""
    chain, ek_public = tpm.ek(handle)
    ek = check_ek(chain, ek_public, anchors(tpm), int(time.time()), ChainCache())
    ak = check_ak(ak_public)
    blob, encrypted = make_credential(ek_public, ak.name, SECRET, os.urandom)
    assert tpm.activate(handle, blob, encrypted) == SECRET
    return encode_enrolled_ak(
        ak_name=ak.name, ak_public=ak_public, ek_name=ek.name, ek_digest=ek.digest, root="private"
    )


def verify(parts: dict[str, bytes], ak: bytes) -> Any:
    evidence = SCHEME.form.decode(parts)
    collateral = SCHEME.collateral.collate(evidence, {"ak": ak})
    subject = Subject(evidence, collateral, (), int(time.time()), ChainCache())
    return run_checks(SCHEME, subject, Bound(BindingDigest(whole=bytes(64), short=NONCE)))


@pytest.mark.parametrize("handle", [RSA_EK, ECC_EK], ids=["rsa-ek", "ecc-ek"])
@pytest.mark.parametrize(("kind", "scheme"), [("rsa", "rsassa"), ("rsa", "rsapss"), ("ecc", "ecdsa")])
def test_a_tpm_opens_our_credential_and_its_quote_verifies(tpm: Tpm, handle: int, kind: str, scheme: str) -> None:
    ak_public = tpm.ak_under_ek(kind, scheme) if handle == RSA_EK else tpm.ak_as_primary(_template(kind, scheme))
    ak = enrol(tpm, handle, ak_public)
    parts = tpm.parts(ak_public, scheme)
    verified = verify(parts, ak)
    assert verified.bound
    assert SCHEME.form.encode(verified.evidence) == parts


def _template(kind: str, scheme: str) -> str:
    return "ecc256:ecdsa-sha256:null" if kind == "ecc" else f"rsa2048:{scheme}-sha256:null"


def test_our_reading_of_a_public_area_is_the_tpms(tpm: Tpm) -> None:
    for handle in (RSA_EK, ECC_EK):
        _, ek_public = tpm.ek(handle)
        assert encode_public(decode_public(ek_public, check_id="test")) == ek_public
    ak_public = tpm.ak_under_ek("ecc", "ecdsa")
    assert name_of(decode_public(ak_public, check_id="test")) == tpm.read("ak.name")


def test_a_tpm_refuses_a_credential_for_another_ak(tpm: Tpm) -> None:
    _, ek_public = tpm.ek(RSA_EK)
    other = check_ak(tpm.ak_under_ek("ecc", "ecdsa"))
    tpm.ak_as_primary("ecc256:ecdsa-sha256:null")
    blob, encrypted = make_credential(ek_public, other.name, SECRET, os.urandom)
    with pytest.raises(AssertionError, match="integrity check failed"):
        tpm.activate(RSA_EK, blob, encrypted)


def test_a_quote_of_the_owner_hierarchy_is_refused(tpm: Tpm) -> None:
    ak_public = tpm.ak_as_primary("ecc256:ecdsa-sha256:null", "o")
    ak = enrol(tpm, RSA_EK, ak_public)
    with pytest.raises(EvidenceRejected) as error:
        verify(tpm.parts(ak_public), ak)
    assert error.value.check_id == "tpm2.quote.qualified-signer"


def test_an_unrestricted_key_of_a_real_tpm_is_not_enrolled(tpm: Tpm) -> None:
    attributes = AK_ATTRIBUTES.replace("restricted|", "")
    template = "ecc256:ecdsa-sha256:null"
    tpm.run("tpm2_createprimary", "-C", "e", "-G", template, "-a", attributes, "-c", "key.ctx")
    tpm.run("tpm2_readpublic", "-c", "key.ctx", "-f", "tpmt", "-o", "key.pub")
    with pytest.raises(EvidenceRejected) as error:
        check_ak(tpm.read("key.pub"))
    assert error.value.check_id == "tpm2.enrolment.ak-attributes"


def test_an_ek_of_another_ca_is_not_enrolled(tpm: Tpm, tmp_path: Path) -> None:
    chain, ek_public = tpm.ek(RSA_EK)
    # Same names, other keys: only the key tells them apart.
    other = dataclasses.replace(tpm, ca=make_ek_ca(tmp_path / "ca"))
    with pytest.raises(BridgeError) as error:
        check_ek(chain, ek_public, anchors(other), int(time.time()), ChainCache())
    assert error.value.check_id in {"tpm2.enrolment.ek-root", "tpm2.enrolment.ek-signature"}
