"""Enrolment of this machine's TPM: prove to the verifier that AK and EK live in one TPM (docs/tee/tpm2.md).

The secret that the TPM opens is worth nothing but this enrolment and is sent back at once.
"""

from __future__ import annotations

from typing import Any

from attester.https import Client
from attester.ids import AttesterId
from attester.problems import raise_problem
from attester.providers import EnrollableProvider, EnrolmentIdentity
from attester.settings import Trust
from verifier.formats.encoding import b64url, unb64url
from verifier.formats.errors import MalformedEvidence

_OK = 200
_DONE = frozenset({200, 201, 204})


def _field(answer: dict[str, Any], name: str) -> bytes:
    text = answer.get(name)
    try:
        value = unb64url(text) if isinstance(text, str) else b""
    except ValueError:
        value = b""
    if not value:
        raise MalformedEvidence(AttesterId.VERIFIER_ANSWER, f"{name}: got none, want base64url")
    return value


def enrol(
    client: Client, trust: Trust, tpm: EnrollableProvider, *, ticket: str = "", chain_file: str = ""
) -> EnrolmentIdentity:
    """Enrol the AK for the tenant. Raises the verifier's no, or ``CannotDecide('attester.tpm2.…')``."""
    identity = tpm.enrolment_identity(chain_file)
    request: dict[str, Any] = {
        "tenant": trust.tenant,
        "ek_chain": [b64url(certificate) for certificate in identity.ek_chain],
        "ek_public": b64url(identity.ek_public),
        "ak_public": b64url(identity.ak_public),
    }
    if ticket:
        request["ticket"] = ticket
    reply = client.post_json("/v1/tpm2/enrolments", request)
    if reply.status != _OK:
        raise_problem(reply)
    answer = reply.json(AttesterId.VERIFIER_ANSWER)
    secret = tpm.activate(_field(answer, "credential_blob"), _field(answer, "encrypted_secret"), chain_file)
    proof = {"state": b64url(_field(answer, "state")), "secret": b64url(secret)}
    done = client.send_json("PUT", f"/v1/tpm2/enrolments/{identity.ak_name.hex()}", proof)
    if done.status not in _DONE:
        raise_problem(done)
    return identity
