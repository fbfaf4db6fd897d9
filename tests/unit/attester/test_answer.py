"""The attester believes exactly one answer: its own. Every other one is refused under the id that says why."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from jwcrypto import jwe as jwcrypto_jwe
from jwcrypto import jwk as jwcrypto_jwk

from attester.answer import Expected, Opened, Pin, open_answer
from tests.support.signing import ISSUER, NONCE, NOW, AnswerMaker, compact, new_key
from verifier.formats.encoding import b64url, canonical, jwk_thumbprint, unb64url
from verifier.formats.errors import BridgeError, ConfigError, EvidenceRejected, MalformedEvidence
from verifier.token.answer import encrypt_answer, sign_answer
from verifier.token.jwks import public_jwk

MAKER = AnswerMaker()
OTHER = AnswerMaker(nonce=bytes(64))
SIGNED = MAKER.sign()


def expected_by(maker: AnswerMaker, **given: Any) -> Expected:
    """Return what the attester of ``maker`` compares with."""
    arguments: dict[str, Any] = {
        "issuer": ISSUER,
        "tenant": "default",
        "workload": "cat",
        "nonce": maker.nonce,
        "sig_thumbprint": maker.sig_thumbprint,
        "enc_thumbprint": jwk_thumbprint(maker.enc_jwk),
        **given,
    }
    return Expected(**arguments)


def opened(answer: str, *, maker: AnswerMaker = MAKER, lowest_seq: int = 7, now: int = NOW, **given: Any) -> Opened:
    """Open an answer as the attester of ``maker`` does."""
    pin = Pin(maker.root.public_jwk, lowest_seq)
    return open_answer(answer, enc_key=maker.enc, expected=expected_by(maker, **given), pin=pin, now=now)


def no(kind: type[BridgeError], check_id: str, answer: str, **given: Any) -> None:
    """Expect exactly this no."""
    with pytest.raises(kind) as caught:
        opened(answer, **given)
    assert (type(caught.value), caught.value.check_id) == (kind, check_id)


def test_its_own_answer_is_believed() -> None:
    token = MAKER.token()
    result = opened(MAKER.answer(token=token))
    assert result.token == token
    assert (result.vault.address, result.vault.mount, result.vault.role) == (
        "https://vault.example:8200",
        "jwt-default",
        "workload",
    )
    assert result.seq == 7


def test_the_token_is_not_shown() -> None:
    result = opened(MAKER.answer())
    assert result.token not in repr(result)


def test_an_answer_that_jwcrypto_sealed_is_believed() -> None:
    sealed = jwcrypto_jwe.JWE(MAKER.sign(), protected={"alg": "ECDH-ES", "enc": "A256GCM"})
    sealed.add_recipient(jwcrypto_jwk.JWK(**MAKER.enc_jwk))
    assert opened(sealed.serialize(compact=True)).seq == 7


# -- the way from the pinned root to the answer -----------------------------------------------------------------------


def test_an_answer_of_a_false_verifier_is_refused() -> None:
    """A root of its own, everything else right."""
    no(EvidenceRejected, "answer.root", MAKER.changed(root=new_key()).answer())


def test_a_false_verifier_that_borrows_the_roots_name_is_refused() -> None:
    false_root = new_key()
    payload = unb64url(MAKER.key_set().split(".")[1])
    header = {"alg": "ES256", "kid": MAKER.root.kid, "typ": "vab-answer-keys+jws"}
    borrowed = compact(header, payload, false_root.sign).decode()
    no(EvidenceRejected, "answer.root", MAKER.seal(MAKER.sign(key_set=borrowed)))


def test_a_set_under_another_kid_is_refused_whoever_signed_it() -> None:
    header = {"alg": "ES256", "kid": new_key().kid, "typ": "vab-answer-keys+jws"}
    payload = unb64url(MAKER.key_set().split(".")[1])
    misnamed = compact(header, payload, MAKER.root.sign).decode()
    no(EvidenceRejected, "answer.root", MAKER.seal(MAKER.sign(key_set=misnamed)))


def test_a_false_verifier_that_carries_the_genuine_set_is_refused() -> None:
    """It has no key of the set: under its own kid, or under one of the set's."""
    false = MAKER.changed(answer_key=new_key())
    no(EvidenceRejected, "answer.kid", MAKER.seal(sign_answer(MAKER.members(), false.answer_key, MAKER.key_set())))
    header = {"alg": "ES256", "kid": MAKER.answer_key.kid, "typ": "vab-answer+jws", "keys": MAKER.key_set()}
    forged = compact(header, canonical(MAKER.members()), false.answer_key.sign)
    no(EvidenceRejected, "answer.signature", MAKER.seal(forged))


def test_a_changed_answer_is_refused() -> None:
    head, _, signature = MAKER.sign().split(b".")
    changed = b64url(canonical(MAKER.members(tenant="other"))).encode()
    no(EvidenceRejected, "answer.signature", MAKER.seal(b".".join((head, changed, signature))))


def test_a_token_signed_by_the_jwks_never_passes_for_an_answer() -> None:
    """Whoever holds a token key, or a token, has no answer: neither by its type nor, with the type forged, by its key."""
    no(MalformedEvidence, "answer.jws.header", MAKER.seal(MAKER.token().encode()))
    header = {"alg": "ES256", "kid": MAKER.token_key.kid, "typ": "vab-answer+jws", "keys": MAKER.key_set()}
    posing = compact(header, canonical(MAKER.members()), MAKER.token_key.sign)
    no(EvidenceRejected, "answer.kid", MAKER.seal(posing))


def test_a_set_below_the_pinned_seq_is_refused_and_later_ones_are_taken() -> None:
    no(EvidenceRejected, "answer.seq", MAKER.answer(), lowest_seq=8)
    assert opened(MAKER.changed(seq=9).answer()).seq == 9


def test_an_expired_set_is_refused() -> None:
    assert opened(MAKER.answer(), now=NOW + 999).seq == 7
    no(EvidenceRejected, "answer.expired", MAKER.answer(), now=NOW + 1000)


def test_a_set_of_the_future_is_refused() -> None:
    assert opened(MAKER.answer(), now=NOW - 105).seq == 7
    no(EvidenceRejected, "answer.early", MAKER.answer(), now=NOW - 106)


def test_a_set_for_another_issuer_is_refused() -> None:
    key_set = MAKER.key_set(issuer="https://verifier.example/t/other")
    no(EvidenceRejected, "answer.keys.issuer", MAKER.seal(MAKER.sign(key_set=key_set)))


def test_every_key_of_the_set_may_sign() -> None:
    key_set = MAKER.key_set(keys=[new_key().public_jwk, MAKER.answer_key.public_jwk])
    assert opened(MAKER.seal(MAKER.sign(key_set=key_set))).seq == 7


# -- the answer is for this request and nobody else's -----------------------------------------------------------------


def test_an_answer_re_encrypted_to_a_victim_is_refused() -> None:
    """The attacker decrypts the answer to its own request and seals it to the victim: all signatures hold."""
    attacker = MAKER.changed(enc=ec.generate_private_key(ec.SECP256R1()), sig=ec.generate_private_key(ec.SECP256R1()))
    no(EvidenceRejected, "answer.recipient", MAKER.seal(attacker.sign()))


def test_an_answer_re_encrypted_from_another_workload_is_refused() -> None:
    other = attacker_members(workload="dog", nonce=b64url(bytes(64)))
    no(EvidenceRejected, "answer.nonce", MAKER.seal(MAKER.sign(other)))


def attacker_members(**given: Any) -> dict[str, Any]:
    """Return the members of an answer to somebody else."""
    return {**OTHER.members(), **given}


@pytest.mark.parametrize(
    ("change", "check_id"),
    [
        ({"issuer": "https://verifier.example/t/defaul"}, "answer.issuer"),
        ({"nonce": b64url(bytes(64))}, "answer.nonce"),
        ({"nonce": b64url(NONCE[:63])}, "answer.nonce"),
        ({"tenant": "other"}, "answer.tenant"),
        ({"workload": "dog"}, "answer.workload"),
        ({"workload": "Cat"}, "answer.workload"),
        ({"workload": "\ud800"}, "answer.workload"),
        ({"sig": b64url(bytes(32))}, "answer.recipient"),
        ({"enc": b64url(bytes(32))}, "answer.recipient"),
        ({"enc": ""}, "answer.recipient"),
    ],
)
def test_an_answer_to_another_request_is_refused(change: dict[str, Any], check_id: str) -> None:
    signed = json.dumps({**MAKER.members(), **change}).encode()
    header = {"alg": "ES256", "kid": MAKER.answer_key.kid, "typ": "vab-answer+jws", "keys": MAKER.key_set()}
    no(EvidenceRejected, check_id, MAKER.seal(compact(header, signed, MAKER.answer_key.sign)))


def test_another_attesters_token_inside_ones_own_answer_is_refused() -> None:
    other = MAKER.changed(sig=ec.generate_private_key(ec.SECP256R1()))
    no(EvidenceRejected, "answer.token.cnf", MAKER.answer(token=other.token()))


def test_a_token_for_another_challenge_is_refused() -> None:
    no(EvidenceRejected, "answer.token.nonce", MAKER.answer(token=MAKER.changed(nonce=bytes(64)).token()))


def token_of(claims: Any) -> str:
    """Return a compact JWS with any payload at all."""
    return compact({"alg": "ES256"}, json.dumps(claims).encode(), MAKER.token_key.sign).decode()


@pytest.mark.parametrize(
    "confirmation",
    [None, {}, "text", {"jkt": 5}, {"jkt": None}, {"jkt": ""}, {"jkt": b64url(MAKER.sig_thumbprint), "kid": "x"}],
)
def test_a_token_without_exactly_ones_own_confirmation_is_refused(confirmation: Any) -> None:
    token = token_of({"cnf": confirmation, "eat_nonce": b64url(NONCE)})
    no(EvidenceRejected, "answer.token.cnf", MAKER.answer(token=token))


@pytest.mark.parametrize("nonce", [None, "", [b64url(NONCE)], b64url(NONCE) + "="])
def test_a_token_without_exactly_ones_own_nonce_is_refused(nonce: Any) -> None:
    token = token_of({"cnf": {"jkt": b64url(MAKER.sig_thumbprint)}, "eat_nonce": nonce})
    no(EvidenceRejected, "answer.token.nonce", MAKER.answer(token=token))


@pytest.mark.parametrize(
    "token", [token_of({"x": float("nan")}), "", "a.b", "a.b.c.d", "a.!.c", token_of([]), token_of("x")]
)
def test_what_is_no_token_is_malformed(token: str) -> None:
    no(MalformedEvidence, "answer.token", MAKER.answer(token=token))


# -- the envelope ------------------------------------------------------------------------------------------------------


def sealed_with(change: Callable[[dict[str, Any]], Any]) -> str:
    """Seal properly, then change the protected header: refused before anything is decrypted."""
    fields = MAKER.seal(MAKER.sign()).split(".")
    header = json.loads(unb64url(fields[0]))
    change(header)
    return ".".join((b64url(canonical(header)), *fields[1:]))


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h.update(zip="DEF"),
        lambda h: h.update(crit=["exp"]),
        lambda h: h.update(apu="QQ"),
        lambda h: h.update(apv="QQ"),
        lambda h: h.update(kid="x"),
        lambda h: h.update(typ="JWE"),
        lambda h: h.update(cty="JWT"),
        lambda h: h.update(alg="ECDH-ES+A256KW"),
        lambda h: h.update(alg="dir"),
        lambda h: h.update(alg="none"),
        lambda h: h.update(alg=None),
        lambda h: h.update(enc="A128GCM"),
        lambda h: h.update(enc="A256CBC-HS512"),
        lambda h: h.update(epk=None),
        lambda h: h["epk"].update(crv="P-384"),
        lambda h: h["epk"].update(d="AA"),
        lambda h: h["epk"].update(x=b64url(bytes(32))),
        lambda h: h["epk"].update(x=b64url(bytes(31))),
        lambda h: h["epk"].update(x=5),
        lambda h: h.pop("epk"),
        lambda h: h.pop("enc"),
    ],
)
def test_any_other_header_is_refused(change: Callable[[dict[str, Any]], Any]) -> None:
    no(MalformedEvidence, "answer.jwe.header", sealed_with(change))


def test_jwcrypto_with_other_algorithms_is_refused() -> None:
    for alg, enc in (("ECDH-ES", "A128GCM"), ("ECDH-ES+A256KW", "A256GCM"), ("ECDH-ES", "A256CBC-HS512")):
        sealed = jwcrypto_jwe.JWE(MAKER.sign(), protected={"alg": alg, "enc": enc})
        sealed.add_recipient(jwcrypto_jwk.JWK(**MAKER.enc_jwk))
        answer = sealed.serialize(compact=True)
        is_wrapped = bool(answer.split(".")[1])  # an encrypted key is refused before any header is looked at
        no(MalformedEvidence, "answer.jwe" if is_wrapped else "answer.jwe.header", answer)


def test_a_header_with_a_name_twice_is_refused() -> None:
    fields = MAKER.seal(MAKER.sign()).split(".")
    header = unb64url(fields[0]).replace(b'{"alg"', b'{"alg":"dir","alg"')
    no(MalformedEvidence, "answer.jwe", ".".join((b64url(header), *fields[1:])))


@pytest.mark.parametrize(
    "answer",
    [
        "",
        ".",
        "....",
        "a.b.c.d",
        "a..b.c.d.e",
        "{}..AA.AA.AA",
        "é" * 40,
        "A" * 262_145,
        "W10..AAAAAAAAAAAAAAAA..AAAAAAAAAAAAAAAAAAAAAA",
    ],
)
def test_what_is_no_envelope_is_malformed(answer: str) -> None:
    no(MalformedEvidence, "answer.jwe", answer)


def test_an_answer_over_256_kib_is_malformed_however_well_signed() -> None:
    vault = {**MAKER.members()["vault"], "ca_pem": "x" * 150_000}
    no(MalformedEvidence, "answer.jwe", MAKER.answer(vault=vault))


def test_iv_and_tag_have_exactly_their_lengths() -> None:
    fields = MAKER.seal(MAKER.sign()).split(".")
    for position, size in ((2, 11), (2, 16), (4, 15), (4, 12)):
        changed = [*fields[:position], b64url(bytes(size)), *fields[position + 1 :]]
        no(MalformedEvidence, "answer.jwe", ".".join(changed))


def test_an_answer_sealed_to_another_key_is_refused() -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    no(EvidenceRejected, "answer.decrypt", encrypt_answer(MAKER.sign(), public_jwk(other, "ES256"), bytes_of_ones))


def bytes_of_ones(size: int) -> bytes:
    """Return a random source that is none."""
    return b"\x01" * size


@pytest.mark.parametrize("position", [0, 2, 3, 4])
def test_a_changed_bit_anywhere_is_refused(position: int) -> None:
    fields = MAKER.seal(MAKER.sign()).split(".")
    data = bytearray(unb64url(fields[position]))
    data[-3] ^= 1
    changed = ".".join((*fields[:position], b64url(bytes(data)), *fields[position + 1 :]))
    with pytest.raises((MalformedEvidence, EvidenceRejected)) as caught:
        opened(changed)
    assert caught.value.check_id in ("answer.decrypt", "answer.jwe", "answer.jwe.header")


# -- what is inside is read as strictly --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plaintext", "check_id"),
    [
        (b"", "answer.jws"),
        (b"a.b", "answer.jws"),
        (b"\xff.\xff.\xff", "answer.jws"),
        (b"e30.e30." + b"A" * 84, "answer.jws"),
        (b"e30.e30." + b"A" * 86, "answer.jws.header"),
        (b"W10.e30." + b"A" * 86, "answer.jws"),
    ],
)
def test_what_is_no_signed_answer_is_malformed(plaintext: bytes, check_id: str) -> None:
    no(MalformedEvidence, check_id, MAKER.seal(plaintext))


@pytest.mark.parametrize(
    "change",
    [
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "ES384"},
        {"typ": "JWT"},
        {"typ": "vab-answer-keys+jws"},
        {"crit": ["b64"]},
        {"jwk": dict(MAKER.answer_key.public_jwk)},
        {"jku": "https://evil.example"},
    ],
)
def test_any_other_header_of_the_answer_is_refused(change: dict[str, Any]) -> None:
    header = {"alg": "ES256", "kid": MAKER.answer_key.kid, "typ": "vab-answer+jws", "keys": MAKER.key_set(), **change}
    answer = compact(header, canonical(MAKER.members()), MAKER.answer_key.sign)
    no(MalformedEvidence, "answer.jws.header", MAKER.seal(answer))


def with_key_set(key_set: Any, **header: Any) -> str:
    """Return an answer whose header carries any key set at all."""
    head = {"alg": "ES256", "kid": MAKER.answer_key.kid, "typ": "vab-answer+jws", "keys": key_set, **header}
    return MAKER.seal(compact(head, canonical(MAKER.members()), MAKER.answer_key.sign))


@pytest.mark.parametrize("key_set", [None, 5, {}, "", "a.b", "\ud800.a.b", "é.é.é"])
def test_what_is_no_key_set_is_malformed(key_set: Any) -> None:
    head = {"alg": "ES256", "kid": MAKER.answer_key.kid, "typ": "vab-answer+jws", "keys": key_set}
    signing_input = f"{b64url(json.dumps(head).encode())}.{b64url(canonical(MAKER.members()))}".encode()
    answer = signing_input + b"." + b64url(MAKER.answer_key.sign(signing_input)).encode()
    no(MalformedEvidence, "answer.keys", MAKER.seal(answer))


@pytest.mark.parametrize("change", [{"alg": "none"}, {"typ": "JWT"}, {"typ": "vab-answer+jws"}, {"crit": ["b64"]}])
def test_any_other_header_of_the_key_set_is_refused(change: dict[str, Any]) -> None:
    header = {"alg": "ES256", "kid": MAKER.root.kid, "typ": "vab-answer-keys+jws", **change}
    payload = unb64url(MAKER.key_set().split(".")[1])
    no(MalformedEvidence, "answer.keys.header", with_key_set(compact(header, payload, MAKER.root.sign).decode()))


def root_signed(**change: Any) -> str:
    """Return a set that the root did sign, whatever it says."""
    members = json.loads(unb64url(MAKER.key_set().split(".")[1]))
    members.update(change)
    header = {"alg": "ES256", "kid": MAKER.root.kid, "typ": "vab-answer-keys+jws"}
    return compact(header, json.dumps(members).encode(), MAKER.root.sign).decode()


@pytest.mark.parametrize(
    "change",
    [
        {"more": 1},
        {"seq": "7"},
        {"seq": 7.0},
        {"seq": True},
        {"seq": -1},
        {"exp": None},
        {"exp": 1e300},
        {"keys": []},
        {"keys": {}},
        {"keys": [{}]},
        {"keys": [5]},
        {"keys": [dict(new_key().public_jwk)] * 17},
        {"keys": [{**new_key().public_jwk, "d": "AA"}]},
        {"keys": [dict(new_key("EdDSA").public_jwk)]},
    ],
)
def test_a_senseless_key_set_is_malformed_even_if_the_root_signed_it(change: dict[str, Any]) -> None:
    no(MalformedEvidence, "answer.keys", with_key_set(root_signed(**change)))


@pytest.mark.parametrize("kid", [None, 5, "", [], "x"])
def test_a_kid_that_the_set_does_not_have_is_refused(kid: Any) -> None:
    no(EvidenceRejected, "answer.kid", with_key_set(MAKER.key_set(), kid=kid))


@pytest.mark.parametrize(
    "change",
    [
        {"more": ""},
        {"token": 5},
        {"nonce": None},
        {"vault": None},
        {"vault": {}},
        {"vault": {"address": "https://v", "ca_pem": "", "mount": "", "role": 5}},
        {"vault": {"address": "http://v", "ca_pem": "", "mount": "", "role": ""}},
        {"iss": ISSUER},
    ],
)
def test_an_answer_of_another_shape_is_malformed_even_if_signed(change: dict[str, Any]) -> None:
    no(MalformedEvidence, "answer.body", MAKER.answer(**change))


def test_an_answer_that_lacks_a_member_is_malformed() -> None:
    for name in MAKER.members():
        members = MAKER.members()
        del members[name]
        no(MalformedEvidence, "answer.body", MAKER.seal(MAKER.sign(members)))


def test_a_pinned_root_is_a_public_p_256_key_and_may_say_what_it_is_for() -> None:
    jwk = MAKER.root.public_jwk
    assert Pin({**jwk, "alg": "ES256", "use": "sig", "kid": "x"}, 1).root == jwk
    for wrong in ({**jwk, "d": "AA"}, {}, new_key("EdDSA").public_jwk, {**jwk, "x": jwk["x"][:-1]}):
        with pytest.raises(ConfigError):
            Pin(wrong, 1)


@given(st.binary(max_size=200) | st.integers(0, len(SIGNED) - 1).map(lambda size: SIGNED[:size]))
@settings(max_examples=150)
def test_no_bytes_inside_the_envelope_give_anything_but_a_no(plaintext: bytes) -> None:
    with pytest.raises((MalformedEvidence, EvidenceRejected)):
        opened(MAKER.seal(plaintext))


@given(st.text(max_size=300))
def test_no_text_for_an_answer_gives_anything_but_malformed(text: str) -> None:
    with pytest.raises(MalformedEvidence):
        opened(text)


def test_the_attesters_side_pays_for_neither_pydantic_nor_jwcrypto() -> None:
    code = (
        "import sys, attester.answer; print([m for m in ('pydantic', 'jwcrypto', 'jwt', 'flask') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert shown.stdout.strip() == "[]"
