"""TPM quotes beside go-tpm-tools, and event logs beside go-eventlog: forged ones, fields changed and signed again, mutated bytes."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from forge.bootlog import measured_boot
from forge.tpm2 import SimulatedTpm, make_tpm
from tests.differential.comparing import Known, Tally, compare, our_verdict, ours_alone, theirs_alone
from tests.differential.mutation import mutate, mutate_one
from tests.support.oracles import Oracles
from verifier.cases.platforms.tpm2 import SignedQuote, require_quote
from verifier.core.binding import require_bound
from verifier.formats.errors import named
from verifier.tee.tcg.decode import decode_log
from verifier.tee.tcg.layout import SHA1, SHA256, SHA384, HashAlgorithm
from verifier.tee.tcg.replay import require_replay
from verifier.tee.tpm2.keys import load_public, spki
from verifier.tee.tpm2.layout import Selection, decode_quote, decode_signature

NONCE: Final = bytes(range(32))
_PADDING: Final = (b"", b"", bytes(16), b"\xff" * 16, b"\xff" * 4096)


@dataclass(frozen=True, slots=True)
class Quoted:
    """A quote as it is handed over: what was signed, the signature, register values of one bank."""

    tpm: SimulatedTpm
    quote: bytes
    signature: bytes
    values: Mapping[int, bytes]


def _quoted(tpm: SimulatedTpm, dice: random.Random) -> Quoted:
    """Quote a few registers, now and then with a field set to something that no TPM writes."""
    pcrs = tuple(sorted(dice.sample(range(24), dice.choice((1, 3, 8, 24)))))
    values = {pcr: tpm.values[SHA256.name][pcr] for pcr in pcrs}
    fields: dict[str, Any] = {}
    kind = dice.randrange(10)
    if kind == 0:
        fields["pcr_digest"] = dice.randbytes(32)
    elif kind == 1:
        fields["selections"] = ()
    elif kind == 2:
        fields["selections"] = (Selection.of(SHA256.id, pcrs[1:]),)
    elif kind == 3:
        values[pcrs[0]] = dice.randbytes(32)
    elif kind == 4:
        fields["clock"] = dice.getrandbits(64)
        fields["firmware_version"] = dice.getrandbits(64)
    nonce = dice.choice((NONCE, NONCE, NONCE, NONCE, b"", NONCE[:31], NONCE + b"\x00"))
    message, signature = tpm.quote(nonce, pcrs, **fields)
    return Quoted(tpm, message, signature, values)


def _judge_quote(quoted: Quoted) -> None:
    """What this verifier asks of any quote: form, selection, signature, nonce, PCR values."""
    signed = SignedQuote(quoted.quote, decode_quote(quoted.quote), decode_signature(quoted.signature))
    banks = {SHA256.name: dict(quoted.values)}
    require_quote(signed, load_public(quoted.tpm.ak_area, "tpm2.decode.ak_pub"), banks, allow_sha1=False)
    require_bound(signed.quote.extra_data, NONCE)


# Each with its clause in docs/adr/0008-differential-tests.md.
QUOTE_KNOWN: Final[tuple[Known, ...]] = ()


def _log_known(data: bytes, locality: int) -> tuple[Known, ...]:
    """Name what may differ over this log."""
    register = ours_alone("log-2 register that no TPM has", "tcg-eventlog.decode.eventlog")
    known = [
        Known(register.name, lambda ours, theirs: register.covers(ours, theirs) and "register: got" in ours),
        theirs_alone("log-3 version of the specification", "failed to parse spec ID event: invalid spec"),
    ]
    if data.endswith(bytes(8)):
        known.append(theirs_alone("log-1 padding of zeros", "following registers failed to replay: [0]"))
    if locality:
        name = ours_alone("log-4 signature of StartupLocality", "tcg-eventlog.replay")
        known.append(Known(name.name, lambda ours, theirs: name.covers(ours, theirs) and "register 0:" in ours))
    return tuple(known)


def run_quotes(oracles: Oracles, *, seed: int, count: int) -> Tally:
    """Compare ``count`` quotes of an RSA and an ECC key."""
    dice = random.Random(seed)  # noqa: S311 - a seed, so that a finding can be had again
    tpms = (make_tpm("ecc"), make_tpm("rsa"))
    tally = Tally()
    for number in range(count):
        quoted = _quoted(dice.choice(tpms), dice)
        if number % 2:
            blobs = mutate_one({"quote": quoted.quote, "signature": quoted.signature}, dice, "quote")
            quoted = Quoted(quoted.tpm, blobs["quote"], blobs["signature"], quoted.values)
        said = oracles.ask(
            "tpm",
            blobs={
                "ak": spki(quoted.tpm.ak.public_key()),
                "quote": quoted.quote,
                "signature": quoted.signature,
                "nonce": NONCE,
            },
            registers=quoted.values,
            texts={"bank": SHA256.name},
        )
        ours = our_verdict(lambda quoted=quoted: _judge_quote(quoted))  # type: ignore[misc]
        compare(tally, f"quote #{number}", ours, "" if said.ok else said.error or "panic", QUOTE_KNOWN)
    return tally


def _judge_log(data: bytes, values: Mapping[int, bytes], algorithm: HashAlgorithm) -> None:
    log = decode_log(data)
    with named("tcg-eventlog.replay"):
        require_replay(log, algorithm, values, must_explain=frozenset())


def run_logs(oracles: Oracles, *, seed: int, count: int) -> Tally:
    """Compare ``count`` event logs of one bank or several, with and without a startup locality."""
    dice = random.Random(seed)  # noqa: S311 - a seed, so that a finding can be had again
    shapes: tuple[tuple[HashAlgorithm, ...], ...] = ((SHA256,), (SHA1, SHA256), (SHA1, SHA256, SHA384))
    tally = Tally()
    for number in range(count):
        locality = dice.choice((0, 0, 3, 4))
        log = measured_boot(dice.choice(shapes), locality=locality)
        values = {pcr: value for pcr, value in log.registers(SHA256).items() if dice.random() < 0.9}
        if dice.random() < 0.2 and values:
            values[dice.choice(sorted(values))] = dice.randbytes(32)
        data = (
            mutate(log.to_bytes(), dice)
            if number % 2
            else log.to_bytes() + dice.choice((b"", b"", bytes(16), b"\xff" * 16, b"\xff" * 4096))
        )
        if not values:
            continue
        said = oracles.ask("eventlog", blobs={"log": data}, registers=values, texts={"bank": SHA256.name})
        ours = our_verdict(lambda data=data, values=values: _judge_log(data, values, SHA256))  # type: ignore[misc]
        compare(tally, f"log #{number}", ours, "" if said.ok else said.error or "panic", _log_known(data, locality))
    return tally
