"""A builder of event logs: whatever is added is logged and extended, so the log replays to ``registers``.

Every fault is possible: digests of one's own, types that lie, data without a hash.
"""

from __future__ import annotations

from collections.abc import Mapping

from forge.uki import SimulatedUki
from verifier.tee.tcg.layout import (
    EFI_GLOBAL_VARIABLE,
    EFI_IMAGE_SECURITY_DATABASE,
    EV_EFI_ACTION,
    EV_EFI_BOOT_SERVICES_APPLICATION,
    EV_EFI_VARIABLE_AUTHORITY,
    EV_EFI_VARIABLE_BOOT2,
    EV_EFI_VARIABLE_DRIVER_CONFIG,
    EV_IPL,
    EV_NO_ACTION,
    EV_S_CRTM_VERSION,
    EV_SEPARATOR,
    SHA1,
    SHA256,
    HashAlgorithm,
    UefiVariable,
    encode_event2,
    encode_sha1_event,
    encode_spec_id,
    encode_startup_locality,
    encode_uefi_variable,
    extend,
    initial_register,
)


class BootLog:
    """A log under construction. ``algorithms`` are its banks; a log of the TCG 1.2 format has SHA-1 alone."""

    def __init__(
        self, algorithms: tuple[HashAlgorithm, ...] = (SHA256,), *, crypto_agile: bool = True, locality: int = 0
    ) -> None:
        if not crypto_agile and algorithms != (SHA1,):
            raise ValueError("a TCG 1.2 log has SHA-1 alone")
        self._algorithms = algorithms
        self._crypto_agile = crypto_agile
        self._locality = locality
        self._events: list[bytes] = [encode_spec_id(algorithms)] if crypto_agile else []
        self._values: dict[str, dict[int, bytes]] = {a.name: {} for a in algorithms}
        if locality:
            self._events.append(encode_startup_locality(locality, algorithms))

    def add(
        self,
        register: int,
        event_type: int,
        data: bytes,
        *,
        hashed: bytes | None = None,
        digests: Mapping[int, bytes] | None = None,
    ) -> BootLog:
        """Log an event and extend its digests: of ``hashed``, by default of ``data``; ``digests`` overrides what is extended."""
        own = {a.id: a.digest(data if hashed is None else hashed) for a in self._algorithms} | dict(digests or {})
        if event_type != EV_NO_ACTION:
            for algorithm in self._algorithms:
                bank = self._values[algorithm.name]
                value = bank.get(register, initial_register(register, algorithm.size, self._locality))
                bank[register] = extend(algorithm, value, own[algorithm.id])
        if self._crypto_agile:
            listed = [(a.id, own[a.id]) for a in self._algorithms]
            self._events.append(encode_event2(register, event_type, listed, data))
        else:
            self._events.append(encode_sha1_event(register, event_type, own[SHA1.id], data))
        return self

    @property
    def events(self) -> tuple[bytes, ...]:
        """The events as written, the Spec ID header first."""
        return tuple(self._events)

    def to_bytes(self) -> bytes:
        """Return the log."""
        return b"".join(self._events)

    def registers(self, algorithm: HashAlgorithm = SHA256) -> dict[int, bytes]:
        """Return the registers that were extended."""
        return dict(self._values[algorithm.name])


def secure_boot_variable(value: bytes = b"\x01") -> bytes:
    """Return the data of the event that says whether Secure Boot is on."""
    return encode_uefi_variable(UefiVariable(EFI_GLOBAL_VARIABLE, "SecureBoot", value))


COMMAND_LINE = b"console=ttyS0 ro"
KERNEL, INITRD = b"a kernel", b"an initial RAM disk"


def measured_boot(
    algorithms: tuple[HashAlgorithm, ...] = (SHA256,),
    *,
    secure_boot: bytes = b"\x01",
    kernel: bytes = KERNEL,
    command_line: bytes = COMMAND_LINE,
    locality: int = 0,
) -> BootLog:
    """Build the log of a small machine: firmware, Secure Boot variables, a boot loader that measures what it starts.

    PCRs 0 to 7 all hold something, as on every machine whose firmware measures.
    """
    log = BootLog(algorithms, locality=locality)
    log.add(0, EV_S_CRTM_VERSION, "simulated 1.0".encode("utf-16-le"))
    add_secure_boot(log, 7, secure_boot, order=1)
    return add_start(log, 4, tuple(range(8)), (command_line, kernel), (8, 9), end=5)


def add_secure_boot(log: BootLog, register: int, secure_boot: bytes, *, order: int) -> None:
    """Measure Secure Boot's variables into one register, and the boot order into another."""
    log.add(register, EV_EFI_VARIABLE_DRIVER_CONFIG, secure_boot_variable(secure_boot))
    for name, vendor in (("PK", EFI_GLOBAL_VARIABLE), ("db", EFI_IMAGE_SECURITY_DATABASE)):
        variable = encode_uefi_variable(UefiVariable(vendor, name, f"simulated {name}".encode()))
        log.add(register, EV_EFI_VARIABLE_DRIVER_CONFIG, variable)
    boot_order = encode_uefi_variable(UefiVariable(EFI_GLOBAL_VARIABLE, "BootOrder", b"\x00\x00"))
    log.add(order, EV_EFI_VARIABLE_BOOT2, boot_order)


def add_start(
    log: BootLog,
    loader: int,
    firmware: tuple[int, ...],
    started: tuple[bytes, bytes],
    system: tuple[int, int],
    *,
    end: int,
) -> BootLog:
    """Measure the end of the firmware, its boot loader, the command line and kernel that this starts, and the end of boot services.

    ``loader``, ``system``, ``end``: the registers of the loader, of command line and files, and of the last event.
    """
    command_line, kernel = started
    log.add(loader, EV_EFI_ACTION, b"Calling EFI Application from Boot Option")
    for register in firmware:
        log.add(register, EV_SEPARATOR, bytes(4))
    # The digest of an application is its Authenticode hash, its data a description: they do not match, as on real machines.
    log.add(loader, EV_EFI_BOOT_SERVICES_APPLICATION, b"boot loader", hashed=b"the boot loader's image")
    log.add(system[0], EV_IPL, b"kernel_cmdline: " + command_line + b"\x00", hashed=command_line)
    log.add(system[1], EV_IPL, b"/vmlinuz\x00", hashed=kernel)
    log.add(system[1], EV_IPL, b"/initrd\x00", hashed=INITRD)
    return log.add(end, EV_EFI_ACTION, b"Exit Boot Services Returned with Success")


BOOT_MANAGER = b"systemd-boot's image"
_KEYS = (
    ("PK", EFI_GLOBAL_VARIABLE),
    ("KEK", EFI_GLOBAL_VARIABLE),
    ("db", EFI_IMAGE_SECURITY_DATABASE),
    ("dbx", EFI_IMAGE_SECURITY_DATABASE),
)


def key_variable(name: str) -> bytes:
    """Return the event data of a Secure Boot key database: PK, KEK, db or dbx."""
    return encode_uefi_variable(UefiVariable(dict(_KEYS)[name], name, f"simulated {name}".encode()))


def authority(signer: str = "simulated db entry") -> bytes:
    """Return the event data that name which ``db`` entry verified an image."""
    return encode_uefi_variable(UefiVariable(EFI_IMAGE_SECURITY_DATABASE, "db", signer.encode()))


def uki_boot(
    image: SimulatedUki,
    algorithms: tuple[HashAlgorithm, ...] = (SHA256,),
    *,
    secure_boot: bytes = b"\x01",
    authorities: tuple[bytes, ...] | None = None,
    boot_manager: bytes = BOOT_MANAGER,
    command_line: str | None = None,
) -> BootLog:
    """Build the log of firmware that verified and started systemd-boot, which started a unified kernel image.

    ``command_line``: one that came from outside the image. The words of the boot phases are userspace's: not in this log.
    """
    log = BootLog(algorithms)
    log.add(0, EV_S_CRTM_VERSION, "simulated 1.0".encode("utf-16-le"))
    log.add(7, EV_EFI_VARIABLE_DRIVER_CONFIG, secure_boot_variable(secure_boot))
    for name, _ in _KEYS:
        log.add(7, EV_EFI_VARIABLE_DRIVER_CONFIG, key_variable(name))
    log.add(4, EV_EFI_ACTION, b"Calling EFI Application from Boot Option")
    for register in range(8):
        log.add(register, EV_SEPARATOR, bytes(4))
    for signer in (authority(),) if authorities is None else authorities:
        log.add(7, EV_EFI_VARIABLE_AUTHORITY, signer)
    log.add(4, EV_EFI_BOOT_SERVICES_APPLICATION, b"systemd-bootx64.efi", hashed=boot_manager)
    digests = {a.id: image.authenticode(a) for a in algorithms}
    log.add(4, EV_EFI_BOOT_SERVICES_APPLICATION, b"EFI/Linux/uki.efi", digests=digests)
    for name, content in image.measured:
        log.add(11, EV_IPL, name.encode("utf-16-le"), hashed=name.encode() + b"\x00")
        log.add(11, EV_IPL, name.encode("utf-16-le"), hashed=content)
    if command_line is not None:
        log.add(12, EV_IPL, command_line.encode("utf-16-le") + bytes(2))
    return log
