"""The attacks: each one is made for real, and has to be refused by the check that is meant for it."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from attester.answer import Opened
from attester.flow import attest_once, verifier_client
from attester.https import Reply
from attester.keys import RequestKeys
from attester.providers import opened
from attester.settings import Trust
from tools.demo.adversaries import Handler, false_verifier, flipped, open_jwe, prepare, re_encrypt, send, with_part
from tools.demo.forged import FORGED_WORKLOAD, ForgedProvider
from tools.demo.machine import BootEvent, boot_events, event_log, extend_pcrs
from tools.demo.scene import PRODUCTION_ROLE, ROLE, SIMULATED_MOUNT, Scene
from tools.demo.stack import run_program
from tools.demo.trust import TENANT, VaultPlace
from verifier.adapters.keys.signer_file import KeyFile
from verifier.formats.encoding import b64url, jwk_thumbprint, unb64url
from verifier.formats.errors import BridgeError
from verifier.tee.tcg.layout import EV_IPL
from verifier.tee.tpm2.layout import RESTRICTED, decode_public, encode_public
from verifier.token.answer import VaultHint, build_answer
from verifier.token.keyring import RotationRules


@dataclass(frozen=True, slots=True)
class Refusal:
    """Who said no, and under which check."""

    by: str
    check: str


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack: what is tried, who has to refuse it and how, and the doing."""

    title: str
    by: str
    check: str
    run: Callable[[Scene], Refusal]


def _problem(reply: Reply) -> Refusal:
    document = json.loads(reply.body)
    return Refusal("verifier", str(document.get("check_id", f"no refusal: {reply.status}")))


def _recorded(scene: Scene) -> str:
    """Return the check of the newest record: what the operator sees where a caller hears only ``policy.refused``."""
    with scene.verifier.store() as store:
        records = store.records_after(0, 10_000)
    return records[-1].check_id if records else "no record"


def replayed_nonce(scene: Scene) -> Refusal:
    """Send the very same request twice."""
    with opened(scene.web.attester_machine()) as provider:
        request = prepare(scene.web.trust, provider)
    client = verifier_client(scene.web.trust)
    first = send(client, request.body)
    if first.status != 200:  # noqa: PLR2004 - HTTP OK
        return Refusal("verifier", f"the first one already: {first.status}")
    return _problem(send(client, request.body))


def tampered_quote(scene: Scene) -> Refusal:
    """Flip one bit of the quote's clock and sign the request anew."""
    with opened(scene.web.attester_machine()) as provider:
        request = prepare(scene.web.trust, provider)
    quote = request.envelope.parts["quote"]
    clock = 6 + 2 + int.from_bytes(quote[6:8], "big") + 2 + 32 + 7
    changed = with_part(scene.web.trust, request, "quote", flipped(clock))
    return _problem(send(verifier_client(scene.web.trust), changed.body))


def wrong_pcr(scene: Scene) -> Refusal:
    """Boot something more: extend PCR 9 of a machine, log it honestly, and attest honestly."""
    more = BootEvent(9, EV_IPL, hashlib.sha256(b"another initrd").digest(), b"another initrd")
    extend_pcrs(scene.db.machine.tcti, ((more.pcr, more.digest),))
    scene.db.machine.log_file.write_bytes(event_log((*boot_events(), more)))
    with opened(scene.db.attester_machine()) as provider:
        request = prepare(scene.db.trust, provider)
    told = _problem(send(verifier_client(scene.db.trust), request.body))
    # The caller hears only that it is not wanted; which reference value it missed stands in the record.
    return Refusal("verifier", _recorded(scene)) if told.check == "policy.refused" else told


def foreign_key(scene: Scene) -> Refusal:
    """Log in with a token that has every claim right, signed by a key that is not in the JWKS."""
    token = _token(scene)
    claims = jwt.decode(token.token, options={"verify_signature": False})
    forged = jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), algorithm="ES256")
    answer = scene.vault.login(token.vault.mount, token.vault.role, forged)
    return Refusal("vault", _vault_words(answer.status_code, answer.text))


def _vault_words(status: int, text: str) -> str:
    if status < 400:  # noqa: PLR2004 - a yes
        return f"no refusal: {status}"
    return "; ".join(json.loads(text).get("errors") or [f"status {status}"])


def _token(scene: Scene) -> Opened:
    with opened(scene.web.attester_machine()) as provider:
        return attest_once(verifier_client(scene.web.trust), scene.web.trust, provider, lambda: int(time.time()))


def other_path(scene: Scene) -> Refusal:
    """Read the database's secret with the web server's Vault token."""
    token = _token(scene)
    login = scene.vault.login(token.vault.mount, token.vault.role, token.token).json()["auth"]["client_token"]
    own = scene.vault.call("GET", "secret/data/default/web/db", token=login)
    other = scene.vault.call("GET", "secret/data/default/db/admin", token=login)
    if not own.ok:
        return Refusal("vault", f"its own path already: {own.status_code}")
    return Refusal("vault", _vault_words(other.status_code, other.text).strip())


def simulated_token(scene: Scene) -> Refusal:
    """Get a token for a forged chip, from the verifier that serves forged chips, and take it to a production role."""
    base = scene.web.trust
    place = VaultPlace(scene.vault.address, "", SIMULATED_MOUNT, PRODUCTION_ROLE)
    trust = Trust(
        url=scene.simulated.base_url, ca=scene.simulated.ca_file.read_text(encoding="ascii"), issuer=scene.simulated.issuer(),
        root=scene.simulated.root_jwk, root_lowest_seq=1, tenant=base.tenant, workload=FORGED_WORKLOAD, audience=place.audience,
    )  # fmt: skip
    token = attest_once(verifier_client(trust), trust, ForgedProvider(), lambda: int(time.time()))
    answer = scene.vault.login(SIMULATED_MOUNT, PRODUCTION_ROLE, token.token)
    words = _vault_words(answer.status_code, answer.text)
    at_home = scene.vault.login("attestation-default", ROLE, token.token)
    if at_home.ok:
        return Refusal("vault", "no refusal on the production mount")
    return Refusal("vault", words)


def answer_of_false_verifier(scene: Scene) -> Refusal:
    """Lead the attester to a verifier with the right names and keys of its own: it would hand out false secrets."""
    folder = scene.folder / "imposter"
    keys = _imposter_keys(folder, scene.verifier.base_url)
    trust = scene.web.trust

    def imposter(path: str, body: bytes) -> tuple[int, bytes]:
        if path == "/v1/challenges":
            return 200, json.dumps({"nonce": b64url(b"\x01" + os.urandom(63)), "expires_in": 120}).encode()
        claims = json.loads(_payload(body))
        sig, enc = (jwk_thumbprint(claims["keys"][name]) for name in ("sig", "enc"))
        key, key_set = keys.answer_key(TENANT, int(time.time()))
        token = jwt.encode(
            {"cnf": {"jkt": b64url(sig)}, "eat_nonce": claims["nonce"]},
            ec.generate_private_key(ec.SECP256R1()),
            "ES256",
        )
        answer = build_answer(
            issuer=trust.issuer, nonce=unb64url(claims["nonce"]), tenant=TENANT, workload=trust.workload, sig_thumbprint=sig,
            enc_thumbprint=enc, token=token, vault=VaultHint("https://127.0.0.1:1", "no CA", "m", "r"), key=key,
            key_set=key_set, enc=claims["keys"]["enc"], random=os.urandom,
        )  # fmt: skip
        return 200, json.dumps({"answer": answer}).encode()

    return _refused_by_attester(scene, folder, imposter)


def _imposter_keys(folder: Path, base_url: str) -> KeyFile:
    """Make keys for the genuine issuer's name; only the offline root differs."""
    folder.mkdir(mode=0o700)
    passphrases = (folder / "keys.passphrase", folder / "root.passphrase")
    for path in passphrases:
        path.write_text(os.urandom(16).hex(), encoding="ascii")
        path.chmod(0o600)
    run_program(
        "verifier.cli", "keys", "init", "--base-url", base_url, "--key-file", str(folder / "keys.json"),
        "--passphrase-file", str(passphrases[0]), "--root-file", str(folder / "root.json"),
        "--root-passphrase-file", str(passphrases[1]),
    )  # fmt: skip
    rules = RotationRules("ES256", 600, 86_400)
    return KeyFile(folder / "keys.json", passphrases[0], base_url=base_url, simulated=False, rules=rules)


def _refused_by_attester(scene: Scene, folder: Path, answer: Handler) -> Refusal:
    """Let the victim's attester talk to a false server, and return what it says of the answer."""
    with false_verifier(folder, answer) as server:
        trust = replace(scene.web.trust, url=server.url, ca=server.ca_pem)
        try:
            with opened(scene.web.attester_machine()) as provider:
                attest_once(verifier_client(trust), trust, provider, lambda: int(time.time()))
        except BridgeError as error:
            return Refusal("attester", error.check_id)
    return Refusal("attester", "no refusal")


def re_encrypted_answer(scene: Scene) -> Refusal:
    """Stand between: attest with a workload of one's own, and hand its signed answer to the victim, encrypted to it."""
    own_keys = RequestKeys.fresh()
    with opened(scene.db.attester_machine()) as provider:
        own = prepare(scene.db.trust, provider, own_keys)
    reply = send(verifier_client(scene.db.trust), own.body)
    stolen = open_jwe(json.loads(reply.body)["answer"], own_keys.enc)

    def relay(path: str, body: bytes) -> tuple[int, bytes]:
        if path == "/v1/challenges":
            return 200, json.dumps({"nonce": b64url(own.nonce), "expires_in": 120}).encode()
        payload = json.loads(_payload(body))
        return 200, re_encrypt(stolen, payload["keys"]["enc"], os.urandom)

    return _refused_by_attester(scene, scene.folder / "relay", relay)


def _payload(body: bytes) -> bytes:
    return unb64url(body.decode("ascii").split(".")[1])


def unrestricted_key(scene: Scene) -> Refusal:
    """Enrol a key that signs anything: the TPM would activate the credential, and the key then signs forged quotes."""
    from attester.providers.tpm2 import open_provider

    tpm = open_provider(scene.web.attester_machine())
    try:
        identity = tpm.enrolment_identity()
    finally:
        tpm.close()
    public = decode_public(identity.ak_public, check_id="demo")
    loose = replace(public, attributes=public.attributes & ~RESTRICTED)
    body = {
        "tenant": TENANT,
        "ek_chain": [b64url(certificate) for certificate in identity.ek_chain],
        "ek_public": b64url(identity.ek_public),
        "ak_public": b64url(encode_public(loose)),
    }
    return _problem(verifier_client(scene.web.trust).post_json("/v1/tpm2/enrolments", body))


def workload_named_plus(scene: Scene) -> Refusal:
    """Ask as a workload named ``+``: in a templated Vault path it would read every workload's secrets."""
    body = {"tenant": TENANT, "workload": "+"}
    return _problem(verifier_client(scene.web.trust).post_json("/v1/challenges", body))


ATTACKS: tuple[Attack, ...] = (
    Attack("a request replayed with its nonce", "verifier", "service.nonce.spent", replayed_nonce),
    Attack("a quote with one bit flipped", "verifier", "tpm2.quote.signature", tampered_quote),
    Attack("an answer of a false verifier", "attester", "answer.root", answer_of_false_verifier),
    Attack("another workload's answer, re-encrypted to the victim", "attester", "answer.workload", re_encrypted_answer),
    Attack("a token signed by a key that is not in the JWKS", "vault", "failed to verify id token signature", foreign_key),
    Attack("another workload's path", "vault", "permission denied", other_path),
    Attack("a simulated token on a production role", "vault", "does not match", simulated_token),
    Attack("an enrolment with an unrestricted key", "verifier", "tpm2.enrolment.ak-attributes", unrestricted_key),
    Attack("a workload named +", "verifier", "wire.body", workload_named_plus),
    Attack("a machine with another PCR 9", "verifier", "tpm2.workload.pcrs", wrong_pcr),
)  # fmt: skip
