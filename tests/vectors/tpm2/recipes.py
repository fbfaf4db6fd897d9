"""Vectors of ``tpm2``, forged by a TPM vendor without any TPM. Each has one fault, and is named after it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from forge.bootlog import INITRD, measured_boot
from tests.support.vectors import PartForm, Vector
from tests.vectors.tpm2 import boot, measured
from tests.vectors.tpm2.forging import (
    CMDLINE,
    CONFIG,
    DB,
    INITRD_EVENT,
    KERNEL_EVENT,
    NONCE,
    PCRS,
    PK,
    RH_OWNER,
    SECURE_BOOT_ON,
    base_boot,
    bound,
    changed,
    empty_selection,
    enrolled,
    good_values,
    judged,
    log_cut_between_events,
    log_data_changed,
    log_event_changed,
    other_ak,
    quote_with,
    relabelled,
    requoted,
    rsa_tpm,
    rule,
    sha1_bank,
    sha384_log,
    signed_by_another,
    signed_with_pss,
    signed_with_sha1,
    tpm,
    two_banks,
    vector,
    with_ak_attributes,
    with_boot,
    with_pcr,
    without_log,
    zero_pcr,
)
from verifier.core.ids import BindingId
from verifier.formats.encoding import canonical, sha256
from verifier.tee.tcg.layout import EV_IPL
from verifier.tee.tpm2.collateral import encode_not_enrolled
from verifier.tee.tpm2.layout import FIXED_TPM, RESTRICTED, encode_public, name_of, qualified_name
from verifier.tee.verified import UnsafeUnbound

_OTHER = "ab" * 32
_EVENTS = "tpm2.workload.event-log"
_FIRMWARE_EVENTS = "tpm2.firmware.event-log"


def _accepted() -> tuple[Vector, ...]:
    """Return wholesome quotes; the first is the base."""
    return (
        vector("ecc-ak", "accepted", values=good_values(tpm())),
        vector("rsa-ak", "accepted", machine=rsa_tpm(), values=good_values(rsa_tpm())),
        vector("bound-to-the-challenge", "accepted", expected=bound(NONCE)),
        vector("no-event-log", "accepted", parts=without_log(tpm().parts(NONCE, PCRS))),
        vector(
            "ak-under-the-ek",
            "accepted",
            parts=requoted(tpm(), qualified_signer=qualified_name(tpm().ak_name, name_of(tpm().ek_area))),
        ),
        vector("secure-boot-off-and-so-wanted", "accepted", machine=with_boot(measured_boot(secure_boot=b"\x00")),
               values={"tpm2.firmware.secure-boot": False}),
        vector("clock-not-safe-and-nobody-minds", "accepted", parts=requoted(tpm(), safe=0)),
        vector("platform-initialised-from-locality-3", "accepted", machine=with_boot(measured_boot(locality=3))),
    )  # fmt: skip


def _decoded() -> tuple[Vector, ...]:
    """Return quotes that cannot be read."""
    return (
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
        vector("store-names-an-ek-of-no-algorithm", "malformed", "tpm2.endorsement.ak",
               ak=enrolled(tpm(), ek_name=b"\x00\x00" + bytes(32))),
    )  # fmt: skip


def _checked() -> tuple[Vector, ...]:
    """Return quotes that are read and not believed."""
    return (
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
               parts=changed(eventlog=base_boot(b"another initrd").to_bytes())),
        vector("event-log-of-another-bank", "rejected", "tpm2.eventlog.replay", parts=changed(eventlog=sha384_log())),
        vector("event-data-changed", "rejected", "tpm2.eventlog.data", parts=changed(eventlog=log_data_changed())),
        vector("another-nonce", "rejected", BindingId.USER_DATA, expected=bound(bytes(32))),
        vector("no-nonce", "rejected", BindingId.USER_DATA, parts=requoted(tpm(), extra_data=b""), expected=bound(NONCE)),
        vector("no-nonce-and-none-wanted", "rejected", BindingId.USER_DATA, parts=requoted(tpm(), extra_data=b""),
               expected=UnsafeUnbound(b"")),
    )  # fmt: skip


def _judged() -> tuple[Vector, ...]:
    """Return genuine machines that are not wanted."""
    return (
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
        judged("secure-boot-not-quoted", "tpm2.firmware.secure-boot", True,  # noqa: FBT003
               parts=tpm().parts(NONCE, (0, 1, 8, 9, 15))),
        judged("workload-pcr-differs", "tpm2.workload.pcrs", {"9": _OTHER}),
        judged("workload-event-unexplained", _EVENTS, [rule(9, "end", KERNEL_EVENT)]),
        judged("workload-event-of-another-type", _EVENTS, [rule(8, "end", {**CMDLINE, "type": "EV_ACTION"})]),
        judged("workload-event-again-after-it-was-explained", _EVENTS, [rule(9, "end", KERNEL_EVENT, INITRD_EVENT)],
               machine=with_boot(base_boot().add(9, EV_IPL, b"/initrd\x00", hashed=INITRD))),
        judged("workload-event-too-often", _EVENTS, [rule(9, "end", KERNEL_EVENT, {**INITRD_EVENT, "at_least": 2,
                                                                                  "at_most": 2})]),
        judged("workload-register-not-quoted", _EVENTS, [rule(9, "end", KERNEL_EVENT, INITRD_EVENT)],
               parts=tpm().parts(NONCE, tuple(p for p in PCRS if p != 9))),
        judged("config-differs", "tpm2.config.extended", {"digest": _OTHER, "pcr": 15}),
        judged("config-in-another-pcr", "tpm2.config.extended", {"digest": sha256(CONFIG).hex(), "pcr": 14}),
        judged("config-extended-twice", "tpm2.config.extended", {"digest": sha256(CONFIG).hex(), "pcr": 15},
               machine=tpm().extended(15, sha256(CONFIG))),
    )  # fmt: skip


@cache
def vectors() -> tuple[Vector, ...]:
    """Forge the vectors, once a process."""
    return (*_accepted(), *_decoded(), *_checked(), *_judged(), *measured.vectors(), *boot.vectors())


def part_forms() -> Mapping[str, PartForm]:
    """Return what each part of the evidence is."""
    parts = vectors()[0].parts
    return {
        "quote": PartForm("fixed", ((0, len(parts["quote"])),)),
        "quote_sig": PartForm("fixed"),
        "pcrs": PartForm("kept", ((0, len(parts["pcrs"])),)),
        "ak_name": PartForm("fixed", ((0, 34),)),
        "eventlog": PartForm("log"),
        "ascii_runtime_measurements": PartForm("log"),
    }
