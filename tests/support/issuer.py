"""An issuer for tests of the Vault side: HTTPS under a CA of its own, discovery and JWKS per tenant, tokens by hand.

Not the verifier: it signs whatever it is told, which the verifier's mint would refuse. The claims are design.md section 4's.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import json
import ssl
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from verifier.core.encoding import b64url, canonical, jwk_thumbprint

DISCOVERY = "/.well-known/openid-configuration"
JWKS = "/.well-known/jwks.json"


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


_CURVES = {"secp256r1": ("P-256", "ES256", 32), "secp384r1": ("P-384", "ES384", 48)}


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A signing key (P-256, or P-384 if made so) and its public JWK; ``kid`` is the thumbprint."""

    private: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def jwk(self) -> dict[str, str]:
        """The public key as it stands in a JWKS."""
        curve, algorithm, size = _CURVES[self.private.curve.name]
        numbers = self.private.public_key().public_numbers()
        jwk = {
            "kty": "EC",
            "crv": curve,
            "x": b64url(numbers.x.to_bytes(size)),
            "y": b64url(numbers.y.to_bytes(size)),
        }
        return jwk | {"kid": b64url(jwk_thumbprint(jwk)), "alg": algorithm, "use": "sig"}

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Sign whatever it is given."""
        jwk = self.jwk
        return jwt.encode(dict(claims), self.private, algorithm=jwk["alg"], headers={"kid": jwk["kid"]})


@dataclass(frozen=True, slots=True)
class Issuer:
    """A running issuer. Tenants share the server, never a key."""

    base_url: str
    ca_file: Path
    keys: Mapping[str, TokenKey]
    # In every tenant's JWKS as well: a genuine key of an algorithm that the mounts do not accept.
    p384: TokenKey = field(default_factory=lambda: TokenKey(ec.generate_private_key(ec.SECP384R1())))

    def issuer(self, tenant: str) -> str:
        """Return the tenant's issuer URL."""
        return f"{self.base_url}/t/{tenant}"

    def jwks_url(self, tenant: str) -> str:
        """Return where the tenant's keys are."""
        return self.issuer(tenant) + JWKS

    def mint(self, tenant: str, claims: Mapping[str, Any]) -> str:
        """Sign with the tenant's key; nothing is refused here."""
        return self.keys[tenant].sign(claims)


def workload_uuid(tenant: str, name: str) -> str:
    """Return the same UUID for the same workload in every run."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"vab-test:{tenant}/{name}"))


def claims_for(
    issuer: Issuer, tenant: str, workload: str, audience: str, *, machine: str = "01", policy: str = "web"
) -> dict[str, Any]:
    """Return the claims of an honest token as design.md section 4 lists them; tests change what they are about."""
    now = int(time.time())
    identity = workload_uuid(tenant, workload)
    measured = {"tenant": tenant, "tee": "sev-snp", "policy": policy, "matched": [["firmware", "1"]]}
    machine_form = {"workload": identity, "kind": "chip", "id": machine}
    return {
        "iss": issuer.issuer(tenant),
        "sub": f"w:{identity}",
        "aud": audience,
        "iat": now,
        "nbf": now,
        "exp": now + 60,
        "jti": str(uuid.uuid4()),
        "eat_profile": "https://example.test/eat/v1",
        "eat_nonce": "A" * 86,
        "cnf": {"jkt": "B" * 43},
        "submods": {"sev-snp": {"dbgstat": "disabled-permanently", "ear_status": "affirming"}},
        "dbgstat": "disabled-permanently",
        "tenant": tenant,
        "workload": workload,
        "policy": policy,
        "policy_digest": hashlib.sha256(policy.encode()).hexdigest(),
        "measurement": "ab" * 48,
        "measurement_id": f"m:{hashlib.sha256(canonical(measured)).hexdigest()}",
        "instance": f"i:{hashlib.sha256(canonical(machine_form)).hexdigest()}",
        "tee": "sev-snp",
        "tcb_status": "NotApplicable",
        "ear_status": "affirming",
        "root": "vendor",
        "host_excluded": "true",
        "simulated": "false",
    }


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
        discovery = {"issuer": issuer.issuer(tenant), "jwks_uri": issuer.jwks_url(tenant)}
        documents[f"/t/{tenant}{DISCOVERY}"] = json.dumps(discovery).encode()
        documents[f"/t/{tenant}{JWKS}"] = json.dumps({"keys": [key.jwk, issuer.p384.jwk]}).encode()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
