"""Vectors of ``tpm2`` on who signed the boot, and which unified kernel image it ended in."""

from __future__ import annotations

from typing import Any

from forge.bootlog import BOOT_MANAGER, BootLog, authority, key_variable, secure_boot_variable, uki_boot
from forge.tpm2 import SimulatedTpm, make_tpm
from forge.uki import SimulatedUki
from tests.support.vectors import Vector
from tests.vectors.tpm2.forging import (
    CONFIG,
    IMAGE,
    NONCE,
    OTHER_IMAGE,
    PCRS,
    READY,
    WORDS,
    judged,
    key_rules,
    uki_rules,
    vector,
    without_log,
)
from verifier.formats.encoding import sha256
from verifier.tee.tcg.layout import (
    EV_EFI_BOOT_SERVICES_APPLICATION,
    EV_EFI_VARIABLE_AUTHORITY,
    EV_EFI_VARIABLE_DRIVER_CONFIG,
    EV_SEPARATOR,
    SHA256,
)

_UKI, _KEYS = "tpm2.workload.uki", "tpm2.firmware.secure-boot-keys"
_REPLAY = "tpm2.eventlog.replay"
COMMAND_LINE = "quiet rd.luks=1"


def after(log: BootLog, *words: str) -> SimulatedTpm:
    """Return a machine that booted so far: userspace extends the words of the phases behind the log."""
    machine = make_tpm("ecc").booted(log)
    for word in words:
        machine = machine.extended(11, sha256(word.encode()))
    return machine.extended(15, sha256(CONFIG))


def booted(image: SimulatedUki = IMAGE, *words: str, **fields: Any) -> SimulatedTpm:
    """Return a machine that booted an image, as far as ``ready`` unless told otherwise."""
    return after(uki_boot(image, **fields), *(words or WORDS))


def _hex(data: bytes) -> str:
    return sha256(data).hex()


def values() -> dict[str, Any]:
    """Return reference values that the base machine of this file satisfies."""
    return {_UKI: uki_rules(), _KEYS: key_rules(), "tpm2.firmware.secure-boot": True}


def _with_driver_authority() -> BootLog:
    """Return a log whose firmware verified an option ROM before the separator."""
    log = BootLog()
    log.add(7, EV_EFI_VARIABLE_DRIVER_CONFIG, secure_boot_variable())
    for name in ("PK", "KEK", "db", "dbx"):
        log.add(7, EV_EFI_VARIABLE_DRIVER_CONFIG, key_variable(name))
    log.add(7, EV_EFI_VARIABLE_AUTHORITY, authority("an option ROM's signer"))
    for register in range(8):
        log.add(register, EV_SEPARATOR, bytes(4))
    return log.add(7, EV_EFI_VARIABLE_AUTHORITY, authority())


def _second_application() -> SimulatedTpm:
    """Return a machine whose firmware started another image behind the wanted ones."""
    log = uki_boot(IMAGE)
    return after(log.add(4, EV_EFI_BOOT_SERVICES_APPLICATION, b"x", hashed=b"a shell's image"), *WORDS)


def _authority_behind() -> SimulatedTpm:
    """Return a machine on which something that nobody wanted was verified as well."""
    return booted(authorities=(authority(), authority("somebody else's key")))


def _twice_separated() -> SimulatedTpm:
    """Return a machine with a second separator in PCR 7."""
    return after(uki_boot(IMAGE).add(7, EV_SEPARATOR, bytes(4)), *WORDS)


def _accepted() -> tuple[Vector, ...]:
    """Return boots that are wanted."""
    return (
        vector("uki-ready", "accepted", machine=booted(), values=values()),
        vector("uki-in-the-initrd", "accepted", machine=booted(IMAGE, "enter-initrd"), values=values()),
        vector("uki-before-any-phase", "accepted", machine=after(uki_boot(IMAGE)),
               values={_UKI: uki_rules(pcr11={"": [IMAGE.pcr11(SHA256).hex()]})}),
        vector("uki-without-an-initrd", "accepted", machine=booted(IMAGE, "sysinit", "ready")),
        vector("uki-or-its-next-version", "accepted", machine=booted(OTHER_IMAGE),
               values={_UKI: uki_rules(applications=[[_hex(BOOT_MANAGER)],
                                                    [i.authenticode(SHA256).hex() for i in (IMAGE, OTHER_IMAGE)]],
                                      pcr11={READY: [i.pcr11(SHA256, *WORDS).hex() for i in (IMAGE, OTHER_IMAGE)]})}),
        vector("uki-with-a-listed-command-line", "accepted", machine=booted(command_line=COMMAND_LINE),
               values={_UKI: uki_rules(command_lines=["other", COMMAND_LINE])}),
        vector("option-rom-signed-by-a-listed-key", "accepted", machine=after(_with_driver_authority()),
               values={_KEYS: key_rules(driver_authorities=[_hex(authority("an option ROM's signer"))])}),
        vector("two-wanted-authorities", "accepted", machine=_authority_behind(),
               values={_KEYS: key_rules(authorities=[_hex(authority()), _hex(authority("somebody else's key"))])}),
    )  # fmt: skip


def _checked() -> tuple[Vector, ...]:
    """Return boots that do not replay."""
    return (
        vector("phases-in-another-order", "rejected", _REPLAY, machine=booted(IMAGE, "leave-initrd", "enter-initrd")),
        vector("phase-that-nobody-knows", "rejected", _REPLAY, machine=booted(IMAGE, "enter-initrd", "owned")),
        vector("uki-log-of-another-image", "rejected", _REPLAY,
               parts={**booted().parts(NONCE, PCRS), "eventlog": uki_boot(OTHER_IMAGE).to_bytes()}),
    )  # fmt: skip


def _judged() -> tuple[Vector, ...]:
    """Return boots that are not wanted."""
    return (
        judged("uki-of-another-initrd", _UKI, uki_rules(), machine=booted(OTHER_IMAGE)),
        judged("uki-in-a-phase-that-is-not-wanted", _UKI, uki_rules(), machine=booted(IMAGE, *WORDS, "shutdown")),
        judged("uki-started-by-another-boot-loader", _UKI, uki_rules(), machine=booted(boot_manager=b"another boot loader")),
        judged("uki-with-its-own-kernel-but-another-wrapper", _UKI,
               uki_rules(applications=[[_hex(BOOT_MANAGER)], [OTHER_IMAGE.authenticode(SHA256).hex()]]), machine=booted()),
        judged("uki-started-directly", _UKI, uki_rules(applications=[[IMAGE.authenticode(SHA256).hex()]]), machine=booted()),
        judged("another-image-started-behind", _UKI, uki_rules(), machine=_second_application()),
        judged("command-line-from-outside", _UKI, uki_rules(), machine=booted(command_line="init=/bin/sh")),
        judged("command-line-that-is-not-listed", _UKI, uki_rules(command_lines=[COMMAND_LINE]),
               machine=booted(command_line="init=/bin/sh")),
        judged("command-line-missing", _UKI, uki_rules(command_lines=[COMMAND_LINE]), machine=booted()),
        judged("uki-pcr-11-not-quoted", _UKI, uki_rules(), machine=booted(),
               parts=booted().parts(NONCE, tuple(p for p in PCRS if p != 11))),
        judged("uki-pcr-12-not-quoted", _UKI, uki_rules(), machine=booted(),
               parts=booted().parts(NONCE, tuple(p for p in PCRS if p != 12))),
        judged("uki-without-a-log", _UKI, uki_rules(), machine=booted(), parts=without_log(booted().parts(NONCE, PCRS))),
        judged("secure-boot-off-with-the-right-keys", _KEYS, key_rules(), machine=booted(secure_boot=b"\x00")),
        judged("another-db", _KEYS, key_rules(db=["ab" * 32]), machine=booted()),
        judged("another-dbx", _KEYS, key_rules(dbx=["ab" * 32]), machine=booted()),
        judged("boot-loader-signed-by-another-key", _KEYS, key_rules(),
               machine=booted(authorities=(authority("another db entry"),))),
        judged("boot-loader-that-nobody-verified", _KEYS, key_rules(), machine=booted(authorities=())),
        judged("authority-that-nobody-wants-behind", _KEYS, key_rules(), machine=_authority_behind()),
        judged("second-separator-in-pcr-7", _KEYS, key_rules(), machine=_twice_separated()),
        judged("option-rom-that-nobody-listed", _KEYS, key_rules(), machine=after(_with_driver_authority())),
        judged("keys-without-a-log", _KEYS, key_rules(), machine=booted(), parts=without_log(booted().parts(NONCE, PCRS))),
    )  # fmt: skip


def vectors() -> tuple[Vector, ...]:
    """Return the vectors."""
    return (*_accepted(), *_checked(), *_judged())
