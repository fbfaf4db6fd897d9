"""Vectors of ``tpm2``, forged by a TPM vendor without any TPM. Each has one fault, and is named after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from attester.simulated.bootlog import COMMAND_LINE, INITRD, KERNEL, BootLog, measured_boot, secure_boot_variable
from attester.simulated.tpm2 import SimulatedTpm, ak_public, make_tpm, new_key, pcr_digest, sign
from tests.support.sources import constants_like_ids
from tests.support.vectors import Outcome, PartForm, Vector
from verifier.core.binding import BINDING_CHECK, BindingDigest
from verifier.core.encoding import canonical, sha256
from verifier.tee.base import Bound, UnsafeUnbound
from verifier.tee.tcg.layout import SHA1, SHA256, SHA384, encode_event2, encode_spec_id
from verifier.tee.tcg.reference import RegisterRule
from verifier.tee.tpm2.collateral import encode_enrolled_ak, encode_not_enrolled
from verifier.tee.tpm2.layout import (
    ALG_RSAPSS,
    FIXED_TPM,
    RESTRICTED,
    Selection,
    decode_quote,
    encode_public,
    encode_quote,
    encode_signature,
    name_of,
    qualified_name,
)

NOW = 1_767_225_600  # 2026-01-01
PCRS = (*range(10), 11, 12, 13, 14, 15)
NONCE = bytes(range(32))
CONFIG = b"the attester's configuration\n"
RH_OWNER = 0x40000001


@lru_cache(maxsize=1)
def tpm() -> SimulatedTpm:
    """Return the machine of the base vector: it booted, and its attester measured its configuration."""
    return make_tpm("ecc").extended(15, sha256(CONFIG))


@lru_cache(maxsize=1)
def rsa_tpm() -> SimulatedTpm:
    """Return the same machine with an RSA AK."""
    return make_tpm("rsa").extended(15, sha256(CONFIG))


def enrolled(machine: SimulatedTpm, **fields: Any) -> bytes:
    document: dict[str, Any] = {
        "ak_name": machine.ak_name,
        "ak_public": machine.ak_public,
        "ek_name": name_of(machine.ek_area),
        "ek_digest": machine.ek_digest,
        "root": "simulated",
    }
    return encode_enrolled_ak(**(document | fields))


def rule(index: int, until: str, *events: Mapping[str, Any]) -> dict[str, Any]:
    """Return a register rule in JSON form, as the engine hands it to a judge."""
    return RegisterRule.model_validate({"index": index, "until": until, "events": list(events)}).model_dump(mode="json")


GLOBAL_GUID = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
SECURE_BOOT_ON = {
    "type": "EV_EFI_VARIABLE_DRIVER_CONFIG",
    "variable": {"vendor": GLOBAL_GUID, "name": "SecureBoot", "values": ["01"]},
}
PK = {
    "type": "EV_EFI_VARIABLE_DRIVER_CONFIG",
    "variable": {"vendor": GLOBAL_GUID, "name": "PK", "values": [b"simulated PK".hex()]},
}
DB = {
    "type": "EV_EFI_VARIABLE_DRIVER_CONFIG",
    "variable": {
        "vendor": "d719b2cb-3d3a-4596-a3bc-dad00e67656f",
        "name": "db",
        "values": [b"simulated db".hex()],
    },
}
CMDLINE = {"type": "EV_IPL", "texts": [COMMAND_LINE.decode()]}
KERNEL_EVENT = {"type": "EV_IPL", "digests": [sha256(KERNEL).hex(), sha256(b"the next kernel").hex()]}
INITRD_EVENT = {"type": "EV_IPL", "data": [INITRD.hex()]}


def good_values(machine: SimulatedTpm) -> dict[str, Any]:
    """Return reference values that the machine satisfies, one for every rule."""
    bank = machine.values["sha256"]
    return {
        "tpm2.platform.root": "simulated",
        "tpm2.platform.ek": [machine.ek_digest.hex()],
        "tpm2.platform.firmware-version": "0x0001000200030004",
        "tpm2.platform.clock-safe": True,
        "tpm2.firmware.pcrs": {str(i): bank[i].hex() for i in range(8)},
        "tpm2.firmware.event-log": [rule(7, "separator", SECURE_BOOT_ON, PK, DB), rule(2, "separator")],
        "tpm2.firmware.secure-boot": True,
        "tpm2.workload.pcrs": {"8": bank[8].hex(), "9": bank[9].hex()},
        "tpm2.workload.event-log": [rule(8, "end", CMDLINE), rule(9, "end", KERNEL_EVENT, INITRD_EVENT)],
        "tpm2.config.extended": {"digest": sha256(CONFIG).hex(), "pcr": 15},
    }


def vector(
    name: str,
    outcome: Outcome = "rejected",
    check_id: str = "",
    *,
    machine: SimulatedTpm | None = None,
    parts: Mapping[str, bytes] | None = None,
    ak: bytes | None = None,
    **fields: Any,
) -> Vector:
    """Make a vector of the base machine unless told otherwise."""
    machine = machine or tpm()
    return Vector(
        name=name,
        scheme="tpm2",
        outcome=outcome,
        check_id=check_id,
        parts=machine.parts(NONCE, PCRS) if parts is None else parts,
        collateral=fields.pop("collateral", {"ak": enrolled(machine) if ak is None else ak}),
        now=NOW,
        **fields,
    )


def judged(name: str, rule_id: str, value: Any, *, machine: SimulatedTpm | None = None, **fields: Any) -> Vector:
    """Make a vector whose only fault is one rule's expected value."""
    return vector(name, "rejected", rule_id, machine=machine, rule_values={rule_id: value}, **fields)


def changed(**parts: bytes) -> dict[str, bytes]:
    """Return the base parts with some of them replaced."""
    return {**tpm().parts(NONCE, PCRS), **parts}


def requoted(machine: SimulatedTpm, **fields: Any) -> dict[str, bytes]:
    """Return parts whose quote has these fields instead, signed by the machine's AK."""
    return machine.parts(NONCE, PCRS, **fields)


def two_banks() -> dict[str, bytes]:
    """Return a quote over two banks: genuine, and still no single measurement."""
    machine = tpm()
    values = {"sha256": machine.values["sha256"], "sha384": {i: bytes([i]) * 48 for i in range(8)}}
    selections = (Selection.of(SHA256.id, PCRS), Selection.of(SHA384.id, tuple(range(8))))
    digest = pcr_digest(values, selections, SHA256.id)
    quote, signature = machine.quote(NONCE, PCRS, selections=selections, pcr_digest=digest)
    listed = {"sha256": {str(i): values["sha256"][i].hex() for i in PCRS}}
    listed["sha384"] = {str(i): value.hex() for i, value in values["sha384"].items()}
    return {"quote": quote, "quote_sig": signature, "pcrs": canonical(listed), "ak_name": machine.ak_name}


def sha1_bank() -> dict[str, bytes]:
    """Return a quote over the SHA-1 bank, by a signature that is strong."""
    machine = tpm()
    values = {"sha1": {i: bytes([i + 1]) * 20 for i in range(8)}}
    selections = (Selection.of(SHA1.id, tuple(range(8))),)
    digest = pcr_digest(values, selections, SHA256.id)
    quote, signature = machine.quote(NONCE, PCRS, selections=selections, pcr_digest=digest)
    listed = {"sha1": {str(i): value.hex() for i, value in values["sha1"].items()}}
    return {"quote": quote, "quote_sig": signature, "pcrs": canonical(listed), "ak_name": machine.ak_name}


def empty_selection() -> dict[str, bytes]:
    """Return a quote over no PCR at all."""
    return requoted(tpm(), selections=(Selection.of(SHA256.id, ()),), pcr_digest=SHA256.digest(b""))


def with_pcr(index: int, value: bytes) -> dict[str, bytes]:
    """Return the base parts with one listed PCR value changed or added, the quote untouched."""
    bank = {i: tpm().values["sha256"][i] for i in PCRS} | {index: value}
    return changed(pcrs=canonical({"sha256": {str(i): v.hex() for i, v in bank.items()}}))


def without_log(parts: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in parts.items() if name != "eventlog"}


def zero_pcr() -> SimulatedTpm:
    """Return a machine on which no firmware measured anything into PCR 3."""
    bank = tpm().values["sha256"]
    return replace(tpm(), values={"sha256": {**bank, 3: bytes(32)}}, event_log=b"")


def signed_by_another() -> dict[str, bytes]:
    """Return the base quote signed by a key that is not the AK."""
    quote = tpm().parts(NONCE, PCRS)["quote"]
    return changed(quote_sig=encode_signature(sign(new_key("ecc", "another"), quote)))


def signed_with_sha1() -> dict[str, bytes]:
    """Return an RSA quote signed with SHA-1, its digest made to fit."""
    machine = rsa_tpm()
    selections = (Selection.of(SHA256.id, PCRS),)
    quote, _ = machine.quote(NONCE, PCRS, pcr_digest=pcr_digest(machine.values, selections, SHA1.id))
    signature = encode_signature(sign(machine.ak, quote, algorithm=SHA1.id))
    return {**machine.parts(NONCE, PCRS), "quote": quote, "quote_sig": signature}


def signed_with_pss() -> dict[str, bytes]:
    """Return an RSA quote signed with RSAPSS by a key whose own scheme is RSASSA."""
    machine = rsa_tpm()
    parts = machine.parts(NONCE, PCRS)
    return {**parts, "quote_sig": encode_signature(sign(machine.ak, parts["quote"], scheme=ALG_RSAPSS))}


def with_ak_attributes(attributes: int) -> SimulatedTpm:
    """Return the base machine with an AK of other attributes, enrolled as it is."""
    base = tpm()
    return replace(base, ak_area=ak_public(base.ak, attributes=attributes))


def other_ak() -> SimulatedTpm:
    """Return the base machine quoting with a key of its own making."""
    key = new_key("ecc", "another")
    return replace(tpm(), ak=key, ak_area=ak_public(key))


def log_event_changed() -> bytes:
    """Return the log with one bit of the digest of the boot loader changed."""
    data = bytearray(tpm().event_log)
    data[data.index(SHA256.digest(b"the boot loader's image"))] ^= 1
    return bytes(data)


def log_data_changed() -> bytes:
    """Return the log with the Secure Boot variable's value changed, digests untouched."""
    variable, changed_variable = secure_boot_variable(), secure_boot_variable(b"\x00")
    return tpm().event_log.replace(variable, changed_variable)


def log_cut_between_events() -> bytes:
    """Return the log without its last event."""
    return b"".join(measured_boot().events[:-1])


def quote_with(**fields: int) -> bytes:
    """Return the base quote under another TPM_ST or magic."""
    return encode_quote(replace(decode_quote(tpm().parts(NONCE, PCRS)["quote"]), **fields))  # type: ignore[arg-type]


def with_boot(log: BootLog) -> SimulatedTpm:
    """Return the base machine after another boot, its configuration measured."""
    return tpm().booted(log).extended(15, sha256(CONFIG))


def relabelled() -> SimulatedTpm:
    """Return a machine whose log calls PCR 7's separator by another name, with an unwanted event before the next one."""
    log = BootLog()
    log.add(7, 0x80000001, secure_boot_variable())
    log.add(7, 0x5, bytes(4))  # the genuine separator, called EV_ACTION
    for register in range(8):
        log.add(register, 0x4, bytes(4))
    return with_boot(log)


def sha384_log() -> bytes:
    """Return a log that carries SHA-384 digests alone."""
    event = encode_event2(0, 0x4, [(SHA384.id, SHA384.digest(bytes(4)))], bytes(4))
    return encode_spec_id((SHA384,)) + event


def bound(short: bytes) -> Bound:
    return Bound(BindingDigest(whole=short * 2, short=short))


_OTHER = "ab" * 32
_EVENTS = "tpm2.workload.event-log"
_FIRMWARE_EVENTS = "tpm2.firmware.event-log"

ACCEPTED: tuple[Vector, ...] = (
    vector("ecc-ak", "accepted", rule_values=good_values(tpm())),
    vector("rsa-ak", "accepted", machine=rsa_tpm(), rule_values=good_values(rsa_tpm())),
    vector("bound-to-the-challenge", "accepted", expected=bound(NONCE)),
    vector("no-event-log", "accepted", parts=without_log(tpm().parts(NONCE, PCRS))),
    vector(
        "ak-under-the-ek",
        "accepted",
        parts=requoted(tpm(), qualified_signer=qualified_name(tpm().ak_name, name_of(tpm().ek_area))),
    ),
    vector("secure-boot-off-and-so-wanted", "accepted", machine=with_boot(measured_boot(secure_boot=b"\x00")),
           rule_values={"tpm2.firmware.secure-boot": False}),
    vector("clock-not-safe-and-nobody-minds", "accepted", parts=requoted(tpm(), safe=0)),
    vector("platform-initialised-from-locality-3", "accepted", machine=with_boot(measured_boot(locality=3))),
)  # fmt: skip

DECODED: tuple[Vector, ...] = (
    vector("quote-empty", "malformed", "tpm2.decode.quote", parts=changed(quote=b"")),
    vector("quote-not-made-by-a-tpm", "malformed", "tpm2.quote.magic", parts=changed(quote=quote_with(magic=0xFF544346))),
    vector("quote-of-another-type", "malformed", "tpm2.quote.type", parts=changed(quote=quote_with(type=0x8017))),
    vector("signature-of-an-unknown-scheme", "malformed", "tpm2.decode.quote_sig", parts=changed(quote_sig=b"\0" * 70)),
    vector("pcrs-with-a-key-twice", "malformed", "tpm2.decode.pcrs", parts=changed(pcrs=b'{"sha256":{},"sha256":{}}')),
    vector("pcrs-in-upper-case", "malformed", "tpm2.decode.pcrs",
           parts=changed(pcrs=canonical({"sha256": {"0": "AB" * 32}}))),
    vector("ak-name-of-no-algorithm", "malformed", "tpm2.decode.ak_name", parts=changed(ak_name=b"\0" * 34)),
    vector("event-log-cut-in-an-event", "malformed", "tpm2.decode.eventlog",
           parts=changed(eventlog=tpm().event_log[:-3])),
    vector("event-log-empty", "malformed", "tpm2.decode.eventlog", parts=changed(eventlog=b"")),
    vector("store-says-nothing", "cannot-decide", "tpm2.endorsement.ak", collateral={}),
    vector("store-says-something-else", "malformed", "tpm2.endorsement.ak", ak=b"{}"),
)  # fmt: skip

CHECKED: tuple[Vector, ...] = (
    vector("ak-never-enrolled", "rejected", "tpm2.ak.enrolled", ak=encode_not_enrolled()),
    vector(
        "ak-enrolled-is-another-key",
        "rejected",
        "tpm2.ak.name",
        parts={**other_ak().parts(NONCE, PCRS), "ak_name": tpm().ak_name},
        ak=enrolled(tpm(), ak_public=encode_public(other_ak().ak_area)),
    ),
    *(
        vector(name, "rejected", "tpm2.ak.attributes", machine=with_ak_attributes(tpm().ak_area.attributes & ~bit))
        for name, bit in (("ak-not-restricted", RESTRICTED), ("ak-may-leave-its-tpm", FIXED_TPM))
    ),
    vector("signed-with-sha1", "rejected", "tpm2.quote.scheme", machine=rsa_tpm(), parts=signed_with_sha1()),
    vector("signed-with-another-scheme", "rejected", "tpm2.quote.scheme", machine=rsa_tpm(), parts=signed_with_pss()),
    vector("signed-by-another-key", "rejected", "tpm2.quote.signature", parts=signed_by_another()),
    vector(
        "ak-of-the-owner-hierarchy",
        "rejected",
        "tpm2.quote.qualified-signer",
        parts=requoted(tpm(), qualified_signer=qualified_name(tpm().ak_name, hierarchy=RH_OWNER)),
    ),
    vector("qualified-signer-empty", "rejected", "tpm2.quote.qualified-signer",
           parts=requoted(tpm(), qualified_signer=b"")),
    vector("two-banks", "rejected", "tpm2.quote.selection", parts=two_banks()),
    vector("sha1-bank", "rejected", "tpm2.quote.selection", parts=sha1_bank()),
    vector("no-pcr-selected", "rejected", "tpm2.quote.selection", parts=empty_selection()),
    vector("pcr-listed-that-was-not-quoted", "rejected", "tpm2.pcrs.selection", parts=with_pcr(16, NONCE)),
    vector("pcr-value-changed", "rejected", "tpm2.pcrs.digest", parts=with_pcr(15, NONCE)),
    vector("pcr-3-zero", "rejected", "tpm2.pcrs.zero", machine=zero_pcr()),
    vector("event-digest-changed", "rejected", "tpm2.eventlog.replay", parts=changed(eventlog=log_event_changed())),
    vector("event-log-cut-between-events", "rejected", "tpm2.eventlog.replay",
           parts=changed(eventlog=log_cut_between_events())),
    vector("event-log-of-another-boot", "rejected", "tpm2.eventlog.replay",
           parts=changed(eventlog=measured_boot(kernel=b"another kernel").to_bytes())),
    vector("event-log-of-another-bank", "rejected", "tpm2.eventlog.replay", parts=changed(eventlog=sha384_log())),
    vector("event-data-changed", "rejected", "tpm2.eventlog.data", parts=changed(eventlog=log_data_changed())),
    vector("another-nonce", "rejected", BINDING_CHECK, expected=bound(bytes(32))),
    vector("no-nonce", "rejected", BINDING_CHECK, parts=requoted(tpm(), extra_data=b""), expected=bound(NONCE)),
    vector("no-nonce-and-none-wanted", "rejected", BINDING_CHECK, parts=requoted(tpm(), extra_data=b""),
           expected=UnsafeUnbound(b"")),
)  # fmt: skip

JUDGED: tuple[Vector, ...] = (
    judged("root-not-wanted", "tpm2.platform.root", "private"),
    judged("ek-not-listed", "tpm2.platform.ek", [_OTHER]),
    judged("firmware-too-old", "tpm2.platform.firmware-version", "0x0001000200030005"),
    judged("clock-not-safe", "tpm2.platform.clock-safe", True, parts=requoted(tpm(), safe=0)),  # noqa: FBT003
    judged("firmware-pcr-differs", "tpm2.firmware.pcrs", {"0": _OTHER}),
    judged("firmware-pcr-not-quoted", "tpm2.firmware.pcrs", {"7": tpm().values["sha256"][7].hex()},
           parts=without_log(tpm().parts(NONCE, (0, 1)))),
    judged("firmware-event-unexplained", _FIRMWARE_EVENTS, [rule(7, "separator", SECURE_BOOT_ON, PK)]),
    judged("firmware-events-in-another-order", _FIRMWARE_EVENTS, [rule(7, "separator", PK, SECURE_BOOT_ON, DB)]),
    judged("firmware-event-missing", _FIRMWARE_EVENTS, [rule(2, "separator", SECURE_BOOT_ON)]),
    judged("firmware-without-separator", _FIRMWARE_EVENTS, [rule(7, "separator", SECURE_BOOT_ON)],
           parts=without_log(tpm().parts(NONCE, PCRS))),
    judged("separator-called-by-another-name", _FIRMWARE_EVENTS,
           [rule(7, "separator", SECURE_BOOT_ON, {"type": "EV_ACTION", "data": ["00000000"]})], machine=relabelled()),
    judged("secure-boot-off", "tpm2.firmware.secure-boot", True,  # noqa: FBT003
           machine=with_boot(measured_boot(secure_boot=b"\x00"))),
    judged("secure-boot-not-proven", "tpm2.firmware.secure-boot", True,  # noqa: FBT003
           parts=without_log(tpm().parts(NONCE, PCRS))),
    judged("workload-pcr-differs", "tpm2.workload.pcrs", {"9": _OTHER}),
    judged("workload-event-unexplained", _EVENTS, [rule(9, "end", KERNEL_EVENT)]),
    judged("workload-event-of-another-type", _EVENTS, [rule(8, "end", {**CMDLINE, "type": "EV_ACTION"})]),
    judged("workload-event-too-often", _EVENTS, [rule(9, "end", KERNEL_EVENT, {**INITRD_EVENT, "at_least": 2,
                                                                              "at_most": 2})]),
    judged("workload-register-not-quoted", _EVENTS, [rule(9, "end", KERNEL_EVENT, INITRD_EVENT)],
           parts=tpm().parts(NONCE, tuple(p for p in PCRS if p != 9))),
    judged("config-differs", "tpm2.config.extended", {"digest": _OTHER, "pcr": 15}),
    judged("config-in-another-pcr", "tpm2.config.extended", {"digest": sha256(CONFIG).hex(), "pcr": 14}),
    judged("config-extended-twice", "tpm2.config.extended", {"digest": sha256(CONFIG).hex(), "pcr": 15},
           machine=tpm().extended(15, sha256(CONFIG))),
)  # fmt: skip

VECTORS = (*ACCEPTED, *DECODED, *CHECKED, *JUDGED)

_QUOTE_SIZE = len(VECTORS[0].parts["quote"])
PARTS: Mapping[str, PartForm] = {
    "quote": PartForm("fixed", ((0, _QUOTE_SIZE),)),
    "quote_sig": PartForm("fixed"),
    "pcrs": PartForm("kept", ((0, len(VECTORS[0].parts["pcrs"])),)),
    "ak_name": PartForm("fixed", ((0, 34),)),
    "eventlog": PartForm("log"),
}

# Enrolment and cases have ids of their own, with tests in tests/unit/tee/tpm2: no envelope can fail with them.
_ELSEWHERE = ("tpm2.enrolment.", "tpm2.ak-cert.")
NOT_IDS = frozenset(
    {"tpm2.ak", "tpm2.decode.ak_pub", "tpm2.decode.ak_cert", "tpm2.endorsement.ak-cert"}
    | {i for i in constants_like_ids("verifier/tee/tpm2", "tpm2") if i.startswith(_ELSEWHERE)}
)
