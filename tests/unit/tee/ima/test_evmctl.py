"""Signatures as evmctl makes them are read and verified as ours are."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from forge.ima import MeasurementList, spki
from forge.tpm2 import new_key
from tests.support.parts import missing
from verifier.formats.encoding import sha256
from verifier.tee.ima.decode import decode_file_signature
from verifier.tee.ima.explain import explain, key_id, load_key


def _signed_by_evmctl(folder: Path, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, content: bytes) -> bytes:
    if shutil.which("evmctl") is None:
        missing("evmctl is not installed: apt-get install ima-evm-utils")
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    (folder / "key.pem").write_bytes(pem)
    (folder / "file").write_bytes(content)
    command = ["evmctl", "ima_sign", "--sigfile", "-a", "sha256", "--key", "key.pem", "file"]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    return (folder / "file.sig").read_bytes()


@pytest.mark.parametrize("kind", ["rsa", "ecc"])
def test_a_file_that_evmctl_signed_is_explained_by_its_key(kind: str, tmp_path: Path) -> None:
    key, content = new_key("rsa" if kind == "rsa" else "ecc", "evmctl"), b"a program"
    raw = _signed_by_evmctl(tmp_path, key, content)
    public = load_key(spki(key))
    assert public is not None
    assert decode_file_signature(raw).key_id == key_id(public)
    found = MeasurementList("ima-sig").measure(b"/opt/program", sha256(content), fields=(raw,))
    rules = {"keys": [{"spki": spki(key).hex()}]}
    assert explain(found.entries, rules).counts["signed"] == 1
    other = MeasurementList("ima-sig").measure(b"/opt/program", sha256(b"another"), fields=(raw,))
    assert explain(other.entries, rules).counts["unexplained"] == 1
