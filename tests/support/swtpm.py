"""A real software TPM for tests: manufactured by swtpm_setup with EK certificates of a CA of the test's own."""

from __future__ import annotations

import contextlib
import datetime as dt
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tests.support.parts import missing
from tools.demo.processes import hold_port_pair

_START_S = 20.0


def require_swtpm() -> None:
    """Skip, or fail where parts are required, when a program that this needs is missing."""
    for program in ("swtpm", "swtpm_setup", "swtpm_localca", "swtpm_cert"):
        if shutil.which(program) is None:
            missing(f"{program} is not installed: apt-get install swtpm swtpm-tools")
    try:
        import tpm2_pytss  # noqa: F401
    except ImportError:
        missing("tpm2-pytss is not installed: uv sync --all-extras")


@dataclass(frozen=True)
class EkCa:
    """A root and an issuing CA, as a TPM's manufacturer has them."""

    folder: Path
    root_pem: bytes
    issuer_pem: bytes

    @property
    def config(self) -> Path:
        """The configuration that swtpm_setup is given."""
        return self.folder / "swtpm_setup.conf"


def _certificate(
    subject: str, key: rsa.RSAPrivateKey, issuer: str, signer: rsa.RSAPrivateKey, *, path_length: int
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )


def make_ek_ca(folder: Path) -> EkCa:
    """Make a root and an issuing CA, and the files that swtpm_localca reads."""
    folder.mkdir(parents=True, exist_ok=True)
    root_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    root = _certificate("Test EK Root", root_key, "Test EK Root", root_key, path_length=1)
    issuer = _certificate("Test EK CA", key, "Test EK Root", root_key, path_length=0)
    pem = serialization.Encoding.PEM
    root_pem, issuer_pem = root.public_bytes(pem), issuer.public_bytes(pem)
    (folder / "signkey.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    )
    (folder / "issuercert.pem").write_bytes(issuer_pem)
    (folder / "root.pem").write_bytes(root_pem)
    # swtpm_localca wants the root under this name, in its state folder.
    (folder / "swtpm-localca-rootca-cert.pem").write_bytes(root_pem)
    (folder / "localca.conf").write_text(
        f"statedir = {folder}\nsigningkey = {folder}/signkey.pem\n"
        f"issuercert = {folder}/issuercert.pem\ncertserial = {folder}/serial\n"
    )
    (folder / "localca.options").write_text(
        "--tpm-manufacturer id:00001014\n--tpm-model swtpm\n--tpm-version id:20191023\n"
        "--platform-manufacturer Tests\n--platform-version 1\n--platform-model software\n"
    )
    (folder / "swtpm_setup.conf").write_text(
        f"create_certs_tool={shutil.which('swtpm_localca')}\n"
        f"create_certs_tool_config={folder}/localca.conf\n"
        f"create_certs_tool_options={folder}/localca.options\n"
    )
    return EkCa(folder, root_pem, issuer_pem)


def manufacture(state: Path, ca: EkCa, *, banks: Sequence[str] = ("sha256",)) -> None:
    """Make a TPM's state: EKs (RSA-2048, P-384) at their persistent handles, their certificates in NV."""
    state.mkdir(parents=True, exist_ok=True)
    command = ["swtpm_setup", "--tpm2", "--tpmstate", str(state), "--create-ek-cert", "--overwrite"]
    command += ["--pcr-banks", ",".join(banks), "--config", str(ca.config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"swtpm_setup: {done.stdout}{done.stderr}"


@dataclass(frozen=True)
class RunningTpm:
    """A TPM that answers at ``tcti``."""

    tcti: str
    port: int
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def running_swtpm(state: Path) -> Iterator[RunningTpm]:
    """Run the TPM whose state is in ``state``; power it off at the end."""
    port = hold_port_pair()
    process = _start(state, port)
    try:
        assert _answers(process, port + 1), "swtpm did not start"
        yield RunningTpm(f"swtpm:host=127.0.0.1,port={port}", port, process)
    finally:
        process.terminate()
        process.wait(10)


def _start(state: Path, port: int) -> subprocess.Popen[bytes]:
    command = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}"]
    command += ["--server", f"type=tcp,port={port},bindaddr=127.0.0.1"]
    command += ["--ctrl", f"type=tcp,port={port + 1},bindaddr=127.0.0.1"]
    command += ["--flags", "not-need-init,startup-clear"]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        # CMD_GET_CAPABILITY (1) of swtpm's control protocol, big-endian; 12 bytes come back.
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall((1).to_bytes(4, "big"))
            if connection.recv(12):
                return True
        time.sleep(0.02)
    return False
