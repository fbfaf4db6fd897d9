"""How the vectors of ``tpm2`` are forged: machines, quotes with one fault, and values that a wholesome machine satisfies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from forge.bootlog import (
    BOOT_MANAGER,
    COMMAND_LINE,
    INITRD,
    KERNEL,
    BootLog,
    authority,
    key_variable,
    secure_boot_variable,
    uki_boot,
)
from forge.ima import MeasurementList, small_system
from forge.tpm2 import Kind, SimulatedTpm, ak_public, make_tpm, new_key, pcr_digest, sign
from forge.uki import SimulatedUki, make_uki
from tests.support.vectors import Vector, forging
from verifier.core.binding import BindingDigest
from verifier.formats.encoding import canonical, sha256
from verifier.tee.ima.identity import ImaRules
from verifier.tee.tcg.identity import RegisterRule, SecureBootKeys, Uki
from verifier.tee.tcg.layout import EV_IPL, SHA1, SHA256, SHA384, encode_event2, encode_spec_id
from verifier.tee.tpm2.collateral import encode_enrolled_ak
from verifier.tee.tpm2.layout import (
    ALG_RSAPSS,
    Selection,
    decode_quote,
    encode_quote,
    encode_signature,
    name_of,
)
from verifier.tee.verified import Bound

NOW = 1_767_225_600  # 2026-01-01
PCRS = tuple(range(16))
NONCE = bytes(range(32))
CONFIG = b"the attester's configuration\n"
RH_OWNER = 0x40000001
WORDS = ("enter-initrd", "leave-initrd", "sysinit", "ready")
READY = ":".join(WORDS)
IMAGE, OTHER_IMAGE = make_uki(), make_uki(initrd=b"another initial RAM disk")


def with_files(machine: SimulatedTpm, found: MeasurementList | None = None, **fields: bytes) -> SimulatedTpm:
    """Return a machine that measured these files, and its configuration."""
    chosen = small_system(machine.values["sha256"]) if found is None else found
    return machine.measured(chosen, **fields).extended(15, sha256(CONFIG))


def base_boot(initrd: bytes = INITRD) -> BootLog:
    """Return the log of the base machine: firmware, keys, boot loader, image; and in PCR 8 and 9 what GRUB would log."""
    log = uki_boot(IMAGE)
    log.add(8, EV_IPL, b"kernel_cmdline: " + COMMAND_LINE + b"\x00", hashed=COMMAND_LINE)
    return log.add(9, EV_IPL, b"/vmlinuz\x00", hashed=KERNEL).add(9, EV_IPL, b"/initrd\x00", hashed=initrd)


@lru_cache(maxsize=2)
def bare(kind: Kind = "ecc") -> SimulatedTpm:
    """Return a machine that booted an image up to ``ready`` and used some files; it satisfies every rule but the configuration's."""
    machine = make_tpm(kind).booted(base_boot())
    for word in WORDS:
        machine = machine.extended(11, sha256(word.encode()))
    return machine.measured(small_system(machine.values["sha256"]))


@lru_cache(maxsize=1)
def tpm() -> SimulatedTpm:
    """Return the machine of the base vector: the bare one, whose attester measured its configuration."""
    return bare("ecc").extended(15, sha256(CONFIG))


@lru_cache(maxsize=1)
def rsa_tpm() -> SimulatedTpm:
    """Return the same machine with an RSA AK."""
    return bare("rsa").extended(15, sha256(CONFIG))


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


KEK = {
    "type": "EV_EFI_VARIABLE_DRIVER_CONFIG",
    "variable": {"vendor": GLOBAL_GUID, "name": "KEK", "values": [b"simulated KEK".hex()]},
}
DBX = {"type": "EV_EFI_VARIABLE_DRIVER_CONFIG", "digests": [sha256(key_variable("dbx")).hex()]}


def uki_rules(image: SimulatedUki = IMAGE, **changes: Any) -> dict[str, Any]:
    """Return what an identity says of an image, in JSON form."""
    usual = {
        "applications": [[sha256(BOOT_MANAGER).hex()], [image.authenticode(SHA256).hex()]],
        "pcr11": {READY: [image.pcr11(SHA256, *WORDS).hex()], WORDS[0]: [image.pcr11(SHA256, WORDS[0]).hex()]},
        "command_lines": "image",
    }
    return Uki.model_validate(usual | changes).model_dump(mode="json", exclude_unset=True)


def key_rules(**changes: Any) -> dict[str, Any]:
    """Return what an identity says of Secure Boot's keys, in JSON form."""
    usual = {name.lower(): [sha256(key_variable(name)).hex()] for name in ("PK", "KEK", "db", "dbx")}
    wanted = {**usual, "authorities": [sha256(authority()).hex()], **changes}
    return SecureBootKeys.model_validate(wanted).model_dump(mode="json", exclude_unset=True)


def file_rules(**fields: Any) -> dict[str, Any]:
    """Return an IMA allow-list in JSON form, as the engine hands it to a judge."""
    return ImaRules.model_validate(fields).model_dump(mode="json", exclude_unset=True)


def listed(*paths: str) -> list[dict[str, Any]]:
    """List files of ``small_system``, each of which holds its own path."""
    return [{"path": path, "digests": [f"sha256:{sha256(path.encode()).hex()}"]} for path in paths]


PATHS = ("/usr/lib/systemd/systemd", "/usr/lib/ld-linux.so.2", "/usr/bin/vault-attester", "/usr/bin/my program")
FILES = file_rules(files=listed(*PATHS))


def good_values(machine: SimulatedTpm) -> dict[str, Any]:
    """Return reference values that the machine satisfies, one for every rule."""
    bank = machine.values["sha256"]
    return {
        "tpm2.platform.root": "simulated",
        "tpm2.platform.ek": [machine.ek_digest.hex()],
        "tpm2.platform.firmware-version": "0x0001000200030004",
        "tpm2.platform.clock-safe": True,
        "tpm2.firmware.pcrs": {str(i): bank[i].hex() for i in range(8)},
        "tpm2.firmware.event-log": [rule(7, "separator", SECURE_BOOT_ON, PK, KEK, DB, DBX), rule(2, "separator")],
        "tpm2.firmware.secure-boot": True,
        "tpm2.firmware.secure-boot-keys": key_rules(),
        "tpm2.workload.uki": uki_rules(),
        "tpm2.workload.pcrs": {"8": bank[8].hex(), "9": bank[9].hex()},
        "tpm2.workload.event-log": [rule(8, "end", CMDLINE), rule(9, "end", KERNEL_EVENT, INITRD_EVENT)],
        "tpm2.workload.ima": FILES,
        "tpm2.config.extended": {"digest": sha256(CONFIG).hex(), "pcr": 15},
    }


@forging
def vector(
    *, machine: SimulatedTpm | None = None, parts: Mapping[str, bytes] | None = None, ak: bytes | None = None
) -> Vector:
    """Make the base machine's parts, or another machine's, with the enrolment that the store has of it."""
    machine = machine or tpm()
    return Vector(
        scheme="tpm2",
        parts=machine.parts(NONCE, PCRS) if parts is None else parts,
        collateral={"ak": enrolled(machine) if ak is None else ak},
        now=NOW,
    )


def judged(name: str, rule_id: str, value: Any, *, machine: SimulatedTpm | None = None, **fields: Any) -> Vector:
    """Make a vector whose only fault is one rule's expected value."""
    return vector(name, "rejected", rule_id, machine=machine, values={rule_id: value}, **fields)


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
    return replace(tpm(), values={"sha256": {**bank, 3: bytes(32)}}, event_log=b"", ima_list=b"")


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
    data[data.index(SHA256.digest(BOOT_MANAGER))] ^= 1
    return bytes(data)


def log_data_changed() -> bytes:
    """Return the log with the Secure Boot variable's value changed, digests untouched."""
    variable, changed_variable = secure_boot_variable(), secure_boot_variable(b"\x00")
    return tpm().event_log.replace(variable, changed_variable)


def log_cut_between_events() -> bytes:
    """Return the log without its last event."""
    return b"".join(base_boot().events[:-1])


def quote_with(**fields: int) -> bytes:
    """Return the base quote under another TPM_ST or magic."""
    return encode_quote(replace(decode_quote(tpm().parts(NONCE, PCRS)["quote"]), **fields))  # type: ignore[arg-type]


def with_boot(log: BootLog) -> SimulatedTpm:
    """Return the base machine after another boot, its configuration measured; its kernel has no IMA."""
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
