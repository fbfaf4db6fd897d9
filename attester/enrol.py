"""Enrolment of this machine's TPM: prove to the verifier that AK and EK live in one TPM (docs/tee/tpm2.md).

The secret that the TPM opens is worth nothing but this enrolment and is sent back at once.
"""

from __future__ import annotations

from typing import Any

from attester.https import Client, Reply
from attester.ids import AttesterId
from attester.patience import Patience
from attester.problems import raise_problem
from attester.providers import EnrollableProvider, EnrolmentIdentity
from attester.settings import Trust
from verifier.formats.encoding import b64url, unb64url
from verifier.formats.errors import MalformedEvidence

_OPENED = frozenset({200})
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


def _asked(client: Client, method: str, path: str, value: dict[str, Any], taken: frozenset[int]) -> Reply:
    reply = client.send_json(method, path, value)
    if reply.status not in taken:
        raise_problem(reply)
    return reply


def enrol(
    client: Client,
    trust: Trust,
    tpm: EnrollableProvider,
    *,
    ticket: str = "",
    chain_file: str = "",
    patience: Patience | None = None,
) -> EnrolmentIdentity:
    """Enrol the AK for the tenant; each of the two requests is repeated while that may help, and once without ``patience``.

    Raises the verifier's no, or ``CannotDecide('attester.tpm2.…')``.
    """
    repeat = (patience or Patience(0)).repeat
    identity = tpm.enrolment_identity(chain_file)
    request: dict[str, Any] = {
        "tenant": trust.tenant,
        "ek_chain": [b64url(certificate) for certificate in identity.ek_chain],
        "ek_public": b64url(identity.ek_public),
        "ak_public": b64url(identity.ak_public),
    }
    if ticket:
        request["ticket"] = ticket
    reply = repeat(lambda: _asked(client, "POST", "/v1/tpm2/enrolments", request, _OPENED))
    answer = reply.json(AttesterId.VERIFIER_ANSWER)
    secret = tpm.activate(_field(answer, "credential_blob"), _field(answer, "encrypted_secret"), chain_file)
    proof = {"state": b64url(_field(answer, "state")), "secret": b64url(secret)}
    repeat(lambda: _asked(client, "PUT", f"/v1/tpm2/enrolments/{identity.ak_name.hex()}", proof, _DONE))
    return identity
