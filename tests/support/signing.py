"""What tests of signed things share: a workload, an appraisal, signing keys, answers as a verifier would make them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from verifier.appraise.result import Appraisal, Workload
from verifier.core.ports import SigningKey
from verifier.formats.encoding import b64url, canonical, jwk_thumbprint
from verifier.tee.scheme import Matched
from verifier.token.answer import encrypt_answer, sign_answer, sign_key_set
from verifier.token.claims import build_claims
from verifier.token.jwks import generate_key, public_jwk, signing_key
from verifier.token.mint import mint, mintable

NOW = 1_795_000_000
BASE_URL = "https://verifier.example"
ISSUER = f"{BASE_URL}/t/default"
UUID = "7f1d3f0e-8a51-4c59-9a63-0b7a6d9c2d11"
NONCE = bytes(range(64))
JTI = "jti-of-a-test-0001"

WORKLOAD = Workload(
    uuid=UUID,
    name="cat",
    tenant="default",
    policy="web",
    audience="vault/jwt-default",
    vault_address="https://vault.example:8200",
    vault_ca_pem="-----BEGIN CERTIFICATE-----\n…\n-----END CERTIFICATE-----\n",
    vault_mount="jwt-default",
    vault_role="workload",
    labels={},
    enabled=True,
)

APPRAISAL = Appraisal(
    accepted=True,
    check_id="",
    findings=(),
    matched=(Matched("firmware", "ovmf", 3, {}), Matched("platform", "milan", 12, {}), Matched("config", "cfg", 1, {})),
    vector={"hardware": 2, "executables": 2, "configuration": 2},
    ear_status="affirming",
    scheme="sev-snp",
    policy="web",
    policy_digest=hashlib.sha256(b"policy").digest(),
    root="vendor",
    host_excluded=True,
    bound=True,
    measurement="ab" * 48,
    instance_kind="chip",
    instance_id="c0ffee" * 4,
    debug_status="disabled",
    debug_allowed=False,
    tcb_status="NotApplicable",
    unchecked_classes=frozenset(),
    evidence_claims={},
)


def random_from(seed: str) -> Callable[[int], bytes]:
    """Return a random source that gives the same bytes in every run."""
    counter = iter(range(1_000_000))
    return lambda size: hashlib.shake_256(f"{seed}/{next(counter)}".encode()).digest(size)


def claims_of(
    appraisal: Appraisal = APPRAISAL, workload: Workload = WORKLOAD, *, simulated: bool = False, **given: Any
) -> dict[str, Any]:
    """Build claims as the service does; ``given`` changes single arguments."""
    arguments: dict[str, Any] = {
        "issuer": f"{BASE_URL}/t/{workload.tenant}",
        "nonce": NONCE,
        "sig_thumbprint": hashlib.sha256(b"sig").digest(),
        "now": NOW,
        "life_s": 60,
        "jti": JTI,
        **given,
    }
    return build_claims(appraisal, workload, simulated=simulated, **arguments)


def new_key(alg: str = "ES256") -> SigningKey:
    """Make a signing key."""
    return signing_key(generate_key(alg), alg)


@dataclass(frozen=True, slots=True)
class AnswerMaker:
    """A verifier's signing side and one attester's keys; every part can be replaced by another's."""

    root: SigningKey = field(default_factory=new_key)
    answer_key: SigningKey = field(default_factory=new_key)
    token_key: SigningKey = field(default_factory=new_key)
    sig: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    enc: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    nonce: bytes = NONCE
    seq: int = 7

    def changed(self, **parts: Any) -> AnswerMaker:
        """Return the same with some parts replaced."""
        return replace(self, **parts)

    @property
    def sig_thumbprint(self) -> bytes:
        """Thumbprint of the attester's ``sig``."""
        return jwk_thumbprint(public_jwk(self.sig, "ES256"))

    @property
    def enc_jwk(self) -> dict[str, str]:
        """Public JWK of the attester's ``enc``."""
        return public_jwk(self.enc, "ES256")

    def token(self) -> str:
        """Mint the token for this attester."""
        claims = claims_of(nonce=self.nonce, sig_thumbprint=self.sig_thumbprint)
        return mint(mintable(claims, APPRAISAL, simulated=False), self.token_key)

    def key_set(self, **given: Any) -> str:
        """Sign the answer-key set under the root."""
        arguments: dict[str, Any] = {
            "issuer": ISSUER,
            "seq": self.seq,
            "issued_at": NOW - 100,
            "expires_at": NOW + 1000,
            "keys": [self.answer_key.public_jwk],
            **given,
        }
        return sign_key_set(self.root, **arguments)

    def members(self, **given: Any) -> dict[str, Any]:
        """Return what the answer says."""
        vault = {
            "address": WORKLOAD.vault_address,
            "ca_pem": WORKLOAD.vault_ca_pem,
            "mount": WORKLOAD.vault_mount,
            "role": WORKLOAD.vault_role,
        }
        return {
            "issuer": ISSUER,
            "nonce": b64url(self.nonce),
            "tenant": "default",
            "workload": "cat",
            "sig": b64url(self.sig_thumbprint),
            "enc": b64url(jwk_thumbprint(self.enc_jwk)),
            "token": self.token(),
            "vault": vault,
            **given,
        }

    def sign(self, members: Mapping[str, Any] | None = None, *, key_set: str | None = None) -> bytes:
        """Sign an answer; by default the right one."""
        return sign_answer(self.members() if members is None else members, self.answer_key, key_set or self.key_set())

    def seal(self, plaintext: bytes) -> str:
        """Encrypt to this attester."""
        return encrypt_answer(plaintext, self.enc_jwk, random_from("seal"))

    def answer(self, **given: Any) -> str:
        """Return the whole answer, with some members replaced."""
        return self.seal(self.sign(self.members(**given)))


def compact(header: Mapping[str, Any], payload: bytes, sign: Callable[[bytes], bytes]) -> bytes:
    """Make a compact JWS with any header at all."""
    signing_input = f"{b64url(canonical(header))}.{b64url(payload)}".encode()
    return signing_input + b"." + b64url(sign(signing_input)).encode()
