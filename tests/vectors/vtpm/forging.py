"""Vectors that every composite with a vTPM has: one fault of the quote part each, under the composite's own ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from forge.azure import ForgedVm, azure_ca
from forge.bootlog import BootLog, measured_boot, secure_boot_variable
from forge.tpm2 import SimulatedTpm, new_key, pcr_digest, sign
from forge.vtpm_ca import VtpmCa
from tests.support.vectors import Outcome, PartForm, Vector
from tests.vectors.tpm2.forging import CMDLINE, DB, INITRD_EVENT, KERNEL_EVENT, PK, SECURE_BOOT_ON, rule
from verifier.core.binding import BindingDigest
from verifier.core.ids import BindingId
from verifier.formats.encoding import canonical, sha256
from verifier.formats.x509chain import Anchor
from verifier.tee.tcg.layout import SHA1, SHA256, SHA384, encode_event2, encode_spec_id
from verifier.tee.tpm2.keys import spki_digest
from verifier.tee.tpm2.layout import ALG_RSAPSS, Selection, decode_quote, encode_quote, encode_signature
from verifier.tee.verified import Bound, UnsafeUnbound

PCRS: Final = (*range(10), 11, 12, 13, 14, 15)
NONCE: Final = bytes(range(32))
DIGEST: Final = BindingDigest(whole=NONCE * 2, short=NONCE)
BOUND: Final = Bound(DIGEST)
CONFIG: Final = b"the attester's configuration\n"
OTHER: Final = "ab" * 32

Parts = dict[str, bytes]
Make = Callable[..., Vector]


@dataclass(frozen=True, slots=True)
class QuoteVectors:
    """How a composite makes a vector of a quote part; ``make(name, outcome, check_id, quote=…, **fields)`` does the rest."""

    scheme: str
    tpm: SimulatedTpm
    make: Make

    def quote(self, tpm: SimulatedTpm | None = None, **fields: Any) -> Parts:
        """Return a wholesome quote part, or one with other fields of TPMS_ATTEST."""
        pcrs = fields.pop("pcrs", PCRS)
        parts = (tpm or self.tpm).parts(fields.pop("extra_data", NONCE), pcrs, **fields)
        return {name: data for name, data in parts.items() if name != "ak_name"}

    def changed(self, **parts: bytes) -> Parts:
        """Return the base parts with some replaced."""
        return {**self.quote(), **parts}

    def no(self, name: str, what: str, quote: Parts, outcome: Outcome = "rejected", **fields: Any) -> Vector:
        """Return a vector that fails under one of the composite's ids."""
        return self.make(name, outcome, f"{self.scheme}.{what}", quote=quote, **fields)

    def judged(self, name: str, what: str, value: Any, quote: Parts | None = None) -> Vector:
        """Return a vector whose only fault is one rule's expected value."""
        rule_id = f"{self.scheme}.{what}"
        parts = self.quote() if quote is None else quote
        return self.make(name, "rejected", rule_id, quote=parts, values={rule_id: value})


def without_log(parts: Parts) -> Parts:
    """Return the parts without the event log."""
    return {name: data for name, data in parts.items() if name != "eventlog"}


def good_values(scheme: str, tpm: SimulatedTpm) -> dict[str, Any]:
    """Return reference values that the vTPM satisfies, one for every rule of the quote part."""
    bank = tpm.values["sha256"]
    values: dict[str, Any] = {
        "firmware.pcrs": {str(i): bank[i].hex() for i in range(8)},
        "firmware.event-log": [rule(7, "separator", SECURE_BOOT_ON, PK, DB), rule(2, "separator")],
        "firmware.secure-boot": True,
        "workload.pcrs": {"8": bank[8].hex(), "9": bank[9].hex()},
        "workload.event-log": [rule(8, "end", CMDLINE), rule(9, "end", KERNEL_EVENT, INITRD_EVENT)],
        "config.extended": {"digest": sha256(CONFIG).hex(), "pcr": 15},
    }
    return {f"{scheme}.{name}": value for name, value in values.items()}


def _requoted(tpm: SimulatedTpm, values: Mapping[str, Mapping[int, bytes]], selections: tuple[Selection, ...]) -> Parts:
    quote, signature = tpm.quote(
        NONCE, PCRS, selections=selections, pcr_digest=pcr_digest(values, selections, SHA256.id)
    )
    listed = {bank: {str(i): value.hex() for i, value in bank_values.items()} for bank, bank_values in values.items()}
    return {"quote": quote, "quote_sig": signature, "pcrs": canonical(listed)}


def _two_banks(tpm: SimulatedTpm) -> Parts:
    own = tpm.values["sha256"]
    values = {"sha256": {i: own[i] for i in PCRS}, "sha384": {i: bytes([i + 1]) * 48 for i in range(8)}}
    return _requoted(tpm, values, (Selection.of(SHA256.id, PCRS), Selection.of(SHA384.id, tuple(range(8)))))


def _sha1_bank(tpm: SimulatedTpm) -> Parts:
    values = {"sha1": {i: bytes([i + 1]) * 20 for i in range(8)}}
    return _requoted(tpm, values, (Selection.of(SHA1.id, tuple(range(8))),))


def _with_pcr(forge: QuoteVectors, index: int, value: bytes) -> Parts:
    bank = {i: forge.tpm.values["sha256"][i] for i in PCRS} | {index: value}
    return forge.changed(pcrs=canonical({"sha256": {str(i): v.hex() for i, v in bank.items()}}))


def _booted(forge: QuoteVectors, log: BootLog) -> Parts:
    return forge.quote(forge.tpm.booted(log).extended(15, sha256(CONFIG)))


def _with_field(forge: QuoteVectors, **fields: int) -> bytes:
    return encode_quote(replace(decode_quote(forge.quote()["quote"]), **fields))  # type: ignore[arg-type]


def _resigned(forge: QuoteVectors, parts: Parts, **how: Any) -> Parts:
    return {**parts, "quote_sig": encode_signature(sign(forge.tpm.ak, parts["quote"], **how))}


def read_vectors(forge: QuoteVectors) -> list[Vector]:
    """Return vectors that cannot be read."""
    bad: Outcome = "malformed"
    log = forge.tpm.event_log
    return [
        forge.no("quote-empty", "decode.quote", forge.changed(quote=b""), bad),
        forge.no("not-made-by-a-tpm", "quote.magic", forge.changed(quote=_with_field(forge, magic=0xFF544346)), bad),
        forge.no("quote-of-another-type", "quote.type", forge.changed(quote=_with_field(forge, type=0x8017)), bad),
        forge.no("signature-of-no-form", "decode.quote_sig", forge.changed(quote_sig=b"\0" * 70), bad),
        forge.no("pcrs-with-a-bank-twice", "decode.pcrs", forge.changed(pcrs=b'{"sha256":{},"sha256":{}}'), bad),
        forge.no("event-log-cut-in-an-event", "decode.eventlog", forge.changed(eventlog=log[:-3]), bad),
        forge.no("event-log-empty", "decode.eventlog", forge.changed(eventlog=b""), bad),
    ]


def checked_vectors(forge: QuoteVectors) -> list[Vector]:
    """Return vectors that are read and not believed."""
    tpm, log = forge.tpm, bytearray(forge.tpm.event_log)
    log[log.index(SHA256.digest(b"the boot loader's image"))] ^= 1
    kind: Any = "rsa" if forge.tpm.ak_area.scheme and forge.tpm.ak_area.bits else "ecc"
    stranger = replace(tpm, ak=new_key(kind, "a stranger's ak"))
    zero = replace(tpm, values={"sha256": {**tpm.values["sha256"], 3: bytes(32)}}, event_log=b"")
    data_changed = tpm.event_log.replace(secure_boot_variable(), secure_boot_variable(b"\x00"))
    other_bank = encode_spec_id((SHA384,)) + encode_event2(0, 0x4, [(SHA384.id, SHA384.digest(bytes(4)))], bytes(4))
    empty = {"selections": (Selection.of(SHA256.id, ()),), "pcr_digest": SHA256.digest(b"")}
    return [
        forge.no("signed-by-another-key", "quote.signature", forge.quote(stranger)),
        forge.no("two-banks", "quote.selection", _two_banks(tpm)),
        forge.no("sha1-bank", "quote.selection", _sha1_bank(tpm)),
        forge.no("no-pcr-selected", "quote.selection", forge.quote(**empty)),
        forge.no("pcr-listed-that-was-not-quoted", "pcrs.selection", _with_pcr(forge, 16, NONCE)),
        forge.no("pcr-value-changed", "pcrs.digest", _with_pcr(forge, 15, NONCE)),
        forge.no("pcr-3-zero", "pcrs.zero", forge.quote(zero)),
        forge.no("event-digest-changed", "eventlog.replay", forge.changed(eventlog=bytes(log))),
        forge.no("event-log-cut-between-events", "eventlog.replay",
                 forge.changed(eventlog=b"".join(measured_boot().events[:-1]))),
        forge.no("event-log-of-another-boot", "eventlog.replay",
                 forge.changed(eventlog=measured_boot(kernel=b"another kernel").to_bytes())),
        forge.no("event-log-of-another-bank", "eventlog.replay", forge.changed(eventlog=other_bank)),
        forge.no("event-data-changed", "eventlog.data", forge.changed(eventlog=data_changed)),
        forge.make("another-nonce", "rejected", BindingId.USER_DATA, quote=forge.quote(extra_data=NONCE[::-1])),
        forge.make("no-nonce", "rejected", BindingId.USER_DATA, quote=forge.quote(extra_data=b"")),
        forge.make("no-nonce-and-none-wanted", "rejected", BindingId.USER_DATA, quote=forge.quote(extra_data=b""),
                   expected=UnsafeUnbound(b"")),
        forge.make("half-a-nonce", "rejected", BindingId.USER_DATA, quote=forge.quote(extra_data=NONCE[:16])),
    ]  # fmt: skip


def scheme_vectors(forge: QuoteVectors) -> list[Vector]:
    """Return vectors signed in a way that the composite's AKs do not have (RSA)."""
    selections = (Selection.of(SHA256.id, PCRS),)
    weak = forge.quote(pcr_digest=pcr_digest(forge.tpm.values, selections, SHA1.id))
    return [
        forge.no("signed-with-sha1", "quote.scheme", _resigned(forge, weak, algorithm=SHA1.id)),
        forge.no("signed-with-pss", "quote.scheme", _resigned(forge, forge.quote(), scheme=ALG_RSAPSS)),
    ]


def judged_vectors(forge: QuoteVectors) -> list[Vector]:
    """Return vectors that are genuine and not wanted."""
    off = _booted(forge, measured_boot(secure_boot=b"\x00"))
    bare = without_log(forge.quote())
    value = forge.tpm.values["sha256"][7].hex()
    yes = True
    return [
        forge.judged("firmware-pcr-differs", "firmware.pcrs", {"0": OTHER}),
        forge.judged("firmware-pcr-not-quoted", "firmware.pcrs", {"7": value}, without_log(forge.quote(pcrs=(0, 1)))),
        forge.judged("firmware-event-unexplained", "firmware.event-log", [rule(7, "separator", SECURE_BOOT_ON, PK)]),
        forge.judged("firmware-without-log", "firmware.event-log", [rule(7, "separator", SECURE_BOOT_ON)], bare),
        forge.judged("secure-boot-off", "firmware.secure-boot", yes, off),
        forge.judged("secure-boot-not-proven", "firmware.secure-boot", yes, bare),
        # The log says it of a register that nobody signed.
        forge.judged("secure-boot-not-quoted", "firmware.secure-boot", yes, forge.quote(pcrs=(0, 1, 8, 9, 15))),
        forge.judged("workload-pcr-differs", "workload.pcrs", {"9": OTHER}),
        forge.judged("workload-event-unexplained", "workload.event-log", [rule(9, "end", KERNEL_EVENT)]),
        forge.judged("config-differs", "config.extended", {"digest": OTHER, "pcr": 15}),
        forge.judged("config-not-quoted", "config.extended", {"digest": "none", "pcr": 15},
                     without_log(forge.quote(pcrs=(0, 1)))),
        forge.judged("config-extended-twice", "config.extended", {"digest": sha256(CONFIG).hex(), "pcr": 15},
                     forge.quote(forge.tpm.extended(15, sha256(CONFIG)))),
    ]  # fmt: skip


def rsa_vectors(forge: QuoteVectors) -> list[Vector]:
    """Return every failing vector of a quote part that an RSA key signs."""
    return [*read_vectors(forge), *checked_vectors(forge), *judged_vectors(forge), *scheme_vectors(forge)]


def quote_parts_form(base: Vector, *, fixed_signature: bool = True) -> dict[str, PartForm]:
    """Return what the quote part's parts are."""
    return {
        "quote": PartForm("fixed", ((0, len(base.parts["quote"])),)),
        "quote_sig": PartForm("fixed" if fixed_signature else "kept"),
        "pcrs": PartForm("kept", ((0, len(base.parts["pcrs"])),)),
        "eventlog": PartForm("log"),
    }


@dataclass(frozen=True, slots=True)
class AkChain:
    """How a composite makes a vector of its AK's certificate chain.

    ``stranger`` has the CA's names and other keys. ``anchors``: every root but the CA's. ``beside``: the other endorsements.
    """

    forge: QuoteVectors
    ca: VtpmCa
    stranger: VtpmCa
    anchors: tuple[Anchor, ...]
    beside: Mapping[str, bytes] = field(default_factory=dict)

    def no(self, name: str, what: str, ak_cert: bytes, ak_chain: bytes | None, **fields: Any) -> Vector:
        """Return a vector whose chain is refused under one of the composite's ids."""
        given = {**self.beside, "ak_cert": ak_cert, **({} if ak_chain is None else {"ak_chain": ak_chain})}
        return self.forge.make(name, "rejected", f"{self.forge.scheme}.{what}", endorsements=given, **fields)

    def vectors(self, public: Any, now: int, **certify: Any) -> list[Vector]:
        """Return vectors of a broken chain; ``certify`` says what else stands in the AK's certificate."""
        year = 365 * 86_400
        ca, stranger, no = self.ca, self.stranger, self.no
        good = ca.certify(public, **certify)
        early, late = (now + 60, now + year), (now - year, now - 60)
        return [
            no("ak-chain-of-an-unknown-root", "ak-cert.root", stranger.certify(public, **certify),
               stranger.intermediate(), anchors=self.anchors),
            no("ak-chain-missing", "ak-cert.root", good, None),
            no("ak-intermediate-is-no-ca", "ak-cert.constraints", good, ca.intermediate(is_ca=False)),
            no("ak-certificate-by-another-key", "ak-cert.signature",
               ca.certify(public, signer=stranger.signer(), **certify), ca.intermediate()),
            no("ak-intermediate-by-another-key", "ak-cert.signature", good,
               ca.intermediate(signer=stranger.signer("root"))),
            no("ak-certificate-expired", "ak-cert.validity", ca.certify(public, validity=late, **certify),
               ca.intermediate()),
            no("ak-certificate-not-yet-valid", "ak-cert.validity", ca.certify(public, validity=early, **certify),
               ca.intermediate()),
        ]  # fmt: skip


def azure_chain_vectors(
    forge: QuoteVectors, vm: ForgedVm, other: ForgedVm, anchors: tuple[Anchor, ...], beside: Mapping[str, bytes]
) -> list[Vector]:
    """Return vectors of an Azure VM's broken AK chain, and of another VM's parts. ``anchors``, ``beside`` as in ``AkChain``."""
    chain = AkChain(forge, vm.ca, azure_ca(vm.now, "stranger"), anchors, beside)
    return [
        *chain.vectors(vm.public(), vm.now),
        chain.no("ak-certificate-of-another-vm", "ak-cert.key", other.ak_certificate(), vm.ca.intermediate()),
        forge.no("quote-of-another-vm", "quote.signature", other.quote_parts(NONCE, PCRS)),
    ]


def azure_values(scheme: str, vm: ForgedVm) -> dict[str, Any]:
    """Return values that an Azure VM satisfies: of its AK, its configuration and its vTPM."""
    return {
        f"{scheme}.ak": [spki_digest(vm.public()).hex()],
        f"{scheme}.vm-configuration": {"secure_boot": True, "tpm_enabled": True, "console_enabled": True},
        **good_values(scheme, vm.tpm),
    }


def bare_signature(parts: Parts) -> Parts:
    """Return the parts with the RSA signature alone, without TPMT_SIGNATURE around it."""
    return {**parts, "quote_sig": parts["quote_sig"][6:]}
