"""What the verifier's and Vault's noes mean here: RFC 9457 problems and Vault's errors turned into the three kinds of no.

Whatever a server writes is shown to a person at most shortened, without control characters and without our secrets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import NoReturn

from attester.https import Reply
from attester.ids import AttesterId
from verifier.formats.errors import CannotDecide, EvidenceRejected, MalformedEvidence

# The form of check ids. Text of another form is not shown: a server sent it.
_CHECK_ID = re.compile(r"[a-z0-9-]{1,40}(?:\.[a-z0-9_-]{1,60}){1,5}", re.ASCII)
_DETAIL_MAX = 400
_RETRY_MAX_S = 120
_SERVER_ERROR = 500
# Said before the request was looked at: a slow or early request (RFC 9110 section 15.5.9, RFC 8470), a limit, a busy server.
_NOT_NOW = frozenset({408, 425, 429, 503})
# What stock Vault says, with 400, where it could not get the keys to check a token with, so that it did not check it. Tried on
# 1.21.1 with all three sources of keys (tests/e2e/vault/test_keys_away.py).
_NO_KEYS = ("fetching keys", "fetch keys", "get keys failed", "keyset configuration error")
_MALFORMED = frozenset({400, 411, 413, 415, 422})
_BAD_REQUEST = 400
_REFUSED = frozenset({401, 403})


def clean(text: object, secrets: Iterable[str] = ()) -> str:
    """Make a server's words fit to be shown: no secrets of ours, printable, short."""
    shown = str(text)
    for secret in secrets:
        if secret:
            shown = shown.replace(secret, "[hidden]")
    shown = "".join(c if c.isprintable() else " " for c in shown)
    return shown if len(shown) <= _DETAIL_MAX else shown[: _DETAIL_MAX - 1] + "…"


def retry_after(reply: Reply) -> int:
    """Read Retry-After in seconds (RFC 9110 section 10.2.3), within bounds; 0 where nothing is asked for.

    A date, which some proxies send, is compared with the answer's own Date: this machine's clock may be wrong.
    """
    value = reply.headers.get("retry-after", "")
    if re.fullmatch(r"[0-9]{1,6}", value, re.ASCII):
        return min(int(value), _RETRY_MAX_S)
    if not value or "date" not in reply.headers:
        return 0
    from email.utils import parsedate_to_datetime

    try:
        wait = (parsedate_to_datetime(value) - parsedate_to_datetime(reply.headers["date"])).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return 0
    return int(min(max(wait, 0), _RETRY_MAX_S))


def raise_problem(reply: Reply) -> NoReturn:
    """Raise the verifier's problem (``application/problem+json``) as the kind of no that its status says."""
    try:
        problem = json.loads(reply.body)
    except (ValueError, RecursionError):
        problem = None
    if not isinstance(problem, dict):
        problem = {}
    named = problem.get("check_id")
    check_id = named if isinstance(named, str) and _CHECK_ID.fullmatch(named) else AttesterId.VERIFIER_ANSWER
    words = problem.get("detail") or problem.get("title") or "no detail"
    detail = f"the verifier answered {reply.status}: {clean(words)}"
    if reply.status in _MALFORMED:
        raise MalformedEvidence(check_id, detail)
    if reply.status in _REFUSED:
        raise EvidenceRejected(check_id, detail)
    if reply.status in _NOT_NOW:
        raise CannotDecide(check_id, detail, retry_after=retry_after(reply))
    if reply.status >= _SERVER_ERROR:
        raise CannotDecide(AttesterId.VERIFIER_FAILED, detail, retry_after=retry_after(reply))
    # 404 or a redirect: whatever stands at this URL is not the verifier's API.
    raise MalformedEvidence(AttesterId.VERIFIER_ANSWER, detail)


def raise_vault_problem(reply: Reply, check_id: str, what: str, secrets: Iterable[str]) -> NoReturn:
    """Raise Vault's no: 400, 403 and 404 are refusals under the step's id, all else is trouble that may pass.

    But a 400 because Vault could not get the verifier's keys is no verdict: the same token logs in when it can.
    """
    try:
        errors = json.loads(reply.body).get("errors")
        listed = "; ".join(str(error) for error in errors) if isinstance(errors, list) else ""
    except (ValueError, AttributeError, RecursionError):
        listed = ""
    detail = f"{what}: Vault answered {reply.status}: {clean(listed, secrets) or 'no reason given'}"
    if reply.status == _BAD_REQUEST and any(words in listed for words in _NO_KEYS):
        raise CannotDecide(AttesterId.VAULT_KEYS, detail, retry_after=retry_after(reply))
    if reply.status in (_BAD_REQUEST, 403, 404):
        raise EvidenceRejected(check_id, detail)
    raise CannotDecide(AttesterId.VAULT_UNAVAILABLE, detail, retry_after=retry_after(reply))


# What a person at this machine can do about ids of the verifier's, or about all of a group; by prefix, the longest counts.
_HINTS = {
    "service.nonce": "the challenge was spent or too old; attest again to get a new one",
    "service.rate": "the verifier limits this address; wait and try again",
    "binding": "the evidence does not carry this request's digest; check whether another program uses the same TPM or report entry",
    "policy": "the evidence is genuine, and the workload's policy does not accept it; the verifier's record names the value",
    "wire": "verifier and attester may be of different versions",
    "tpm2.ak": "this TPM's attestation key is not enrolled with the tenant: run `attester enrol`",
    "tpm2.enrolment": "ask the operator to list this TPM (`attester enrol --show-identity`) or for a new ticket",
    "answer": "the answer is not from the verifier whose root this image pins, or it was made for another attester",
}


def hint_for(check_id: str) -> str:
    """Return what to do next for a check id, "" where nothing is known."""
    from verifier.core.catalogue import texts_in

    own = texts_in("attester").get(check_id)
    if own is not None and own.remedy:
        return own.remedy
    known = [prefix for prefix in _HINTS if check_id == prefix or check_id.startswith(f"{prefix}.")]
    return _HINTS[max(known, key=len)] if known else ""
