#!/opt/vab/bin/python
"""Make a CA and a certificate for each server, onto memory-backed volumes, and stay: they last while this runs.

A volume in memory is emptied when the last container that uses it ends; so this one waits until everything is stopped.
"""

from __future__ import annotations

import datetime as dt
import os
import signal
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFE = dt.timedelta(days=7)
_CLOCKS_DIFFER = dt.timedelta(minutes=5)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(subject: str, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name("vault-attestation-bridge compose CA"))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER)
        .not_valid_after(now + _LIFE)
    )


def _authority() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Make the CA; its key never leaves this process."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder("vault-attestation-bridge compose CA", key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _server(name: str, folder: Path, authority: tuple[x509.Certificate, ec.EllipticCurvePrivateKey]) -> None:
    """Make a key and a certificate for one server, which answers to its service's name and to localhost."""
    issuer_key = authority[1]
    key = ec.generate_private_key(ec.SECP256R1())
    identifier = x509.SubjectKeyIdentifier.from_public_key(issuer_key.public_key())
    certificate = (
        _builder(name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name), x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    _write(folder / "certificate.pem", certificate.public_bytes(serialization.Encoding.PEM), mode=0o444)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write(folder / "key.pem", pem, mode=0o400)
    sys.stdout.write(f"pki: certificate for {name}\n")
    sys.stdout.flush()


def _write(path: Path, data: bytes, *, mode: int) -> None:
    """Write a file for the folder's owner that nobody sees before it is whole, nor with a wider mode."""
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(data)
    owner = path.parent.stat()
    os.chown(fresh, owner.st_uid, owner.st_gid)
    fresh.replace(path)


def main(folders: list[str]) -> None:
    """Write the CA's certificate into the first folder, then for each `name=folder` a key and a certificate."""
    authority = _authority()
    for server in folders[1:]:
        name, _, folder = server.partition("=")
        _server(name, Path(folder), authority)
    # Last: its presence says that everything else is there.
    _write(Path(folders[0], "ca.pem"), authority[0].public_bytes(serialization.Encoding.PEM), mode=0o444)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main(sys.argv[1:])
