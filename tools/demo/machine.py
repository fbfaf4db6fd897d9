"""The demo's workload machine: a software TPM with EK certificates of a CA of its own, and a measured boot of its own.

The boot is made here: a TCG2 event log is written, and every event of it is extended into the TPM as firmware would.
"""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tools.demo.processes import DemoError, Processes, hold_port_pair, listens
from verifier.tee.tcg.layout import (
    EFI_GLOBAL_VARIABLE,
    EV_EFI_ACTION,
    EV_EFI_BOOT_SERVICES_APPLICATION,
    EV_EFI_VARIABLE_DRIVER_CONFIG,
    EV_IPL,
    EV_S_CRTM_VERSION,
    EV_SEPARATOR,
    SHA256,
    UefiVariable,
    encode_event2,
    encode_spec_id,
    encode_uefi_variable,
)

SEPARATOR = bytes(4)
FIRMWARE_VERSION = "demo firmware 1.0\0".encode("utf-16-le")
SECURE_BOOT = UefiVariable(EFI_GLOBAL_VARIABLE, "SecureBoot", b"\x01")
BOOT_ACTION = b"Calling EFI Application from Boot Option"
KERNEL = hashlib.sha256(b"the demo's kernel image").digest()
INITRD = hashlib.sha256(b"the demo's initrd").digest()
COMMAND_LINE = b"console=ttyS0 lockdown=confidentiality\0"


@dataclass(frozen=True, slots=True)
class BootEvent:
    """One measured event: what is extended is ``digest``, what the log says of it is ``data``."""

    pcr: int
    type: int
    digest: bytes
    data: bytes


def _hashed(pcr: int, event_type: int, data: bytes) -> BootEvent:
    return BootEvent(pcr, event_type, hashlib.sha256(data).digest(), data)


def boot_events(kernel: bytes = KERNEL) -> tuple[BootEvent, ...]:
    """Return the measured boot, in order."""
    return (
        _hashed(0, EV_S_CRTM_VERSION, FIRMWARE_VERSION),
        _hashed(7, EV_EFI_VARIABLE_DRIVER_CONFIG, encode_uefi_variable(SECURE_BOOT)),
        _hashed(4, EV_EFI_ACTION, BOOT_ACTION),
        *(_hashed(pcr, EV_SEPARATOR, SEPARATOR) for pcr in range(8)),
        BootEvent(4, EV_EFI_BOOT_SERVICES_APPLICATION, kernel, b"\\vmlinuz.efi"),
        _hashed(8, EV_IPL, COMMAND_LINE),
        BootEvent(9, EV_IPL, INITRD, b"initrd"),
    )


def event_log(events: tuple[BootEvent, ...]) -> bytes:
    """Write the TCG2 (crypto agile) log of a boot, SHA-256 alone."""
    return encode_spec_id([SHA256]) + b"".join(
        encode_event2(event.pcr, event.type, [(SHA256.id, event.digest)], event.data) for event in events
    )


def expected_pcrs(events: tuple[BootEvent, ...]) -> dict[int, str]:
    """Return the SHA-256 PCR values that a boot leads to, hex."""
    values: dict[int, bytes] = {}
    for event in events:
        values[event.pcr] = hashlib.sha256(values.get(event.pcr, bytes(32)) + event.digest).digest()
    return {pcr: value.hex() for pcr, value in sorted(values.items())}


@dataclass(frozen=True, slots=True)
class Machine:
    """A running TPM, and where its log and its CA's certificates are."""

    tcti: str
    log_file: Path
    ca_files: tuple[Path, ...]


def _run(*command: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(list(command), capture_output=True, text=True, check=False, env=env, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise DemoError(f"{command[0]} left with {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}")
    return done.stdout


def _write_ca_config(folder: Path) -> Path:
    (folder / "localca.options").write_text(
        "--tpm-manufacturer id:00001014\n--tpm-model swtpm\n--tpm-version id:20191023\n"
        "--platform-manufacturer Demo\n--platform-version 1\n--platform-model software\n",
        encoding="ascii",
    )
    (folder / "localca.conf").write_text(
        f"statedir = {folder}\nsigningkey = {folder}/signkey.pem\nissuercert = {folder}/issuercert.pem\n"
        f"certserial = {folder}/serial\n",
        encoding="ascii",
    )
    config = folder / "swtpm_setup.conf"
    config.write_text(
        f"create_certs_tool=/usr/bin/swtpm_localca\ncreate_certs_tool_config={folder}/localca.conf\n"
        f"create_certs_tool_options={folder}/localca.options\n",
        encoding="ascii",
    )
    return config


def make_machine(folder: Path, processes: Processes, name: str = "swtpm", *, kernel: bytes = KERNEL) -> Machine:
    """Manufacture a TPM, start it, and boot: extend what the log says into its PCRs."""
    state, ca = folder / "tpm-state", folder / "tpm-ca"
    for path in (state, ca):
        path.mkdir(parents=True, exist_ok=True)
    config = _write_ca_config(ca)
    _run(
        "swtpm_setup", "--tpm2", "--tpmstate", str(state), "--create-ek-cert", "--overwrite",
        "--pcr-banks", "sha256", "--config", str(config),
    )  # fmt: skip
    port = hold_port_pair()
    processes.start(
        name,
        ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}", "--flags", "not-need-init,startup-clear",
         "--server", f"type=tcp,port={port},disconnect", "--ctrl", f"type=tcp,port={port + 1}"],
    )  # fmt: skip
    processes.wait_for(name, lambda: listens(port + 1))
    tcti = f"swtpm:host=127.0.0.1,port={port}"
    events = boot_events(kernel)
    extend_pcrs(tcti, tuple((event.pcr, event.digest) for event in events))
    log_file = folder / "binary_bios_measurements"
    log_file.write_bytes(event_log(events))
    return Machine(tcti, log_file, (ca / "swtpm-localca-rootca-cert.pem", ca / "issuercert.pem"))


def extend_pcrs(tcti: str, extends: tuple[tuple[int, bytes], ...]) -> None:
    """Extend SHA-256 PCRs of a TPM, in order."""
    for pcr, digest in extends:
        _run("tpm2_pcrextend", "-T", tcti, f"{pcr}:sha256={digest.hex()}")
