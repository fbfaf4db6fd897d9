"""An issuer for tests of the Vault side: HTTPS under a CA of its own, the verifier's documents and claims, per tenant.

Not the verifier: it signs whatever it is told, which the verifier's mint would refuse.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.signing import APPRAISAL, WORKLOAD, claims_of
from verifier.core.ports import SigningKey
from verifier.token.jwks import (
    DISCOVERY_PATH,
    JWKS_PATH,
    PublicKey,
    discovery_document,
    generate_key,
    jwks_document,
    signing_key,
)
from verifier.token.mint import WORKLOAD_TYPE, sign_compact


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(
    subject: str, public: ec.EllipticCurvePublicKey, issuer: str, key: ec.EllipticCurvePrivateKey, *, ca: bool
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    if not ca:
        local = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = builder.add_extension(x509.SubjectAlternativeName([local]), critical=False)
    return builder.sign(key, hashes.SHA256())


def make_tls(folder: Path, *, label: str = "issuer") -> tuple[Path, Path, Path]:
    """Make a CA and a certificate for 127.0.0.1: files of the CA, the certificate and its key."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = _certificate(f"{label} test CA", ca_key.public_key(), f"{label} test CA", ca_key, ca=True)
    leaf = _certificate(label, key.public_key(), f"{label} test CA", ca_key, ca=False)
    ca_file, cert_file, key_file = (folder / f"{label}-{part}.pem" for part in ("ca", "cert", "key"))
    ca_file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    cert_file.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    key_file.touch(mode=0o600)
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return ca_file, cert_file, key_file


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A signing key as the verifier makes them (P-256 unless said). Other than mint, it signs whatever it is given."""

    alg: str = "ES256"
    private: Any = None

    def __post_init__(self) -> None:
        if self.private is None:
            object.__setattr__(self, "private", generate_key(self.alg))

    @property
    def key(self) -> SigningKey:
        """The key with its id and its public JWK."""
        return signing_key(self.private, self.alg)

    @property
    def public(self) -> PublicKey:
        """The key as it stands in a JWKS."""
        return PublicKey(self.key.kid, self.alg, self.key.public_jwk)

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Sign with the header of a workload's token."""
        return sign_compact(claims, self.key, typ=WORKLOAD_TYPE)


@dataclass(frozen=True, slots=True)
class Issuer:
    """A running issuer. Tenants share the server, never a key."""

    base_url: str
    ca_file: Path
    keys: Mapping[str, TokenKey]
    # In every tenant's JWKS as well: a genuine key of an algorithm that the mounts do not accept.
    p384: TokenKey = field(default_factory=lambda: TokenKey("ES384"))

    def issuer(self, tenant: str) -> str:
        """Return the tenant's issuer URL."""
        return f"{self.base_url}/t/{tenant}"

    def jwks_url(self, tenant: str) -> str:
        """Return where the tenant's keys are."""
        return self.issuer(tenant) + JWKS_PATH

    def mint(self, tenant: str, claims: Mapping[str, Any]) -> str:
        """Sign with the tenant's key; nothing is refused here."""
        return self.keys[tenant].sign(claims)


def workload_uuid(tenant: str, name: str) -> str:
    """Return the same UUID for the same workload in every run."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"vab-test:{tenant}/{name}"))


def claims_for(
    issuer: Issuer, tenant: str, workload: str, audience: str, *, machine: str = "01", policy: str = "web"
) -> dict[str, Any]:
    """Return an honest token's claims, as the verifier builds them now; tests change what they are about."""
    return claims_of(
        replace(APPRAISAL, policy=policy, instance_id=machine),
        replace(
            WORKLOAD,
            uuid=workload_uuid(tenant, workload),
            name=workload,
            tenant=tenant,
            policy=policy,
            audience=audience,
        ),
        issuer=issuer.issuer(tenant),
        now=int(time.time()),
        jti=str(uuid.uuid4()),
    )


def _handler(documents: Mapping[str, bytes]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = documents.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


@contextmanager
def running_issuer(folder: Path, tenants: tuple[str, ...], *, label: str = "issuer") -> Iterator[Issuer]:
    """Serve discovery and JWKS of ``tenants`` until the block ends."""
    ca_file, cert_file, key_file = make_tls(folder, label=label)
    documents: dict[str, bytes] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(documents))
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert_file, key_file)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    issuer = Issuer(
        f"https://127.0.0.1:{server.server_address[1]}", ca_file, {tenant: TokenKey() for tenant in tenants}
    )
    for tenant, key in issuer.keys.items():
        discovery = discovery_document(issuer.issuer(tenant), ["ES256"])
        documents[f"/t/{tenant}{DISCOVERY_PATH}"] = discovery.body
        documents[f"/t/{tenant}{JWKS_PATH}"] = jwks_document([key.public, issuer.p384.public]).body
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
