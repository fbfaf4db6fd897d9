"""The parts that a distribution packages: software TPM, TSS, FUSE, Docker, debootstrap, wrk."""

from __future__ import annotations

import ctypes.util
import os
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tools.realparts.errors import MissingToolError
from tools.realparts.places import command
from tools.realparts.running import ask, run_long, say


@dataclass(frozen=True)
class Package:
    """A Debian package, what it is for, and a look whether the machine has what it brings, from wherever."""

    name: str
    purpose: str
    present: Callable[[], bool]


def _has_command(name: str) -> bool:
    return command(name) is not None


def _has_library(*names: str) -> bool:
    return any(ctypes.util.find_library(name) for name in names)


def _has_development(name: str) -> bool:
    pkg_config = command("pkg-config")
    return pkg_config is not None and ask([pkg_config, "--exists", name]) is not None


def _has_python_header() -> bool:
    return Path(sysconfig.get_path("include"), "Python.h").exists()


def _has_docker_engine() -> bool:
    docker = command("docker")
    if _has_command("dockerd"):
        return True
    return docker is not None and ask([docker, "version", "--format", "{{.Server.Version}}"]) is not None


def _has_postgresql() -> bool:
    # Debian keeps the server's programs off the PATH.
    return _has_command("initdb") or any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


def efi_stubs() -> list[Path]:
    """Return the stubs of systemd-stub that are installed."""
    return sorted(Path("/usr/lib/systemd/boot/efi").glob("linux*.efi.stub"))


def _tool(name: str, purpose: str, program: str = "") -> Package:
    return Package(name, purpose, partial(_has_command, program or name))


# tpm2-pytss comes as source and is built against the machine's TSS.
_PYTHON = (
    _tool("gcc", "builds tpm2-pytss", "cc"),
    _tool("pkg-config", "builds tpm2-pytss"),
    Package("libtss2-dev", "the TPM software stack, with its swtpm transport", partial(_has_development, "tss2-esys")),
    Package("python3-dev", "builds tpm2-pytss", _has_python_header),
)
_TEST = (
    _tool("swtpm", "the software TPM"),
    _tool("swtpm-tools", "its manufacture: EK and its certificate", "swtpm_setup"),
    _tool("tpm2-tools", "asks a TPM from the command line", "tpm2_getcap"),
    Package("libtss2-tcti-swtpm0", "how the TSS talks to swtpm", partial(_has_library, "tss2-tcti-swtpm")),
    _tool("fuse3", "mounts the stand-in for configfs-tsm", "fusermount3"),
    Package("libfuse3-3", "the library behind it", partial(_has_library, "fuse3", "fuse")),
    _tool("openssl", "looks at certificates from outside"),
    Package("systemd", "computes PCR 11 of an image", Path("/usr/lib/systemd/systemd-measure").exists),
    Package("systemd-boot-efi", "the stub of unified kernel images", lambda: bool(efi_stubs())),
    _tool("binutils", "puts a unified kernel image together", "objcopy"),
    _tool("pesign", "computes Authenticode digests"),
    _tool("sbsigntool", "signs an image for Secure Boot", "sbsign"),
    _tool("ima-evm-utils", "signs files for IMA", "evmctl"),
    Package("postgresql", "the store's other database", _has_postgresql),
)
_COMPOSE = (
    Package("docker.io", "the Docker engine", _has_docker_engine),
    _tool("iptables", "the engine's networks"),
    _tool("debootstrap", "makes the stand-in base images"),
)
_BENCH = (_tool("wrk", "puts load on HTTP"),)

GROUPS: dict[str, tuple[Package, ...]] = {
    "venv": _PYTHON,
    "test": (*_PYTHON, *_TEST),
    "compose": (*_PYTHON, *_COMPOSE),
    "bench": (*_PYTHON, *_TEST, *_BENCH),
    "all": (*_PYTHON, *_TEST, *_COMPOSE, *_BENCH),
}


def debian(group: str) -> list[str]:
    """Install what a group lacks and return the names of what was installed."""
    missing = [package for package in GROUPS[group] if not package.present()]
    if not missing:
        say(f"Debian packages ({group}): all there")
        return []
    _may_install(missing)
    names = [package.name for package in missing]
    say("Debian packages to install: " + ", ".join(f"{package.name} ({package.purpose})" for package in missing))
    _apt("apt-update", ["update"])
    _apt("apt-install", ["install", "--yes", "--no-install-recommends", *names])
    left = [package.name for package in missing if not package.present()]
    if left:
        lost = ", ".join(left)
        raise MissingToolError(f"apt-get installed {lost}, but what they bring cannot be found afterwards.")
    return names


def _may_install(missing: list[Package]) -> None:
    """Refuse with a sentence where installing is not ours to do."""
    names = [package.name for package in missing]
    if not {"debian", "ubuntu"} & _families() or not _has_command("apt-get"):
        purposes = "; ".join(f"{package.name}: {package.purpose}" for package in missing)
        raise MissingToolError(
            "This is no Debian or Ubuntu: install from your own distribution "
            f"what these Debian packages bring ({purposes})."
        )
    if os.geteuid() != 0:
        raise MissingToolError(f"Debian packages are missing: run `sudo apt-get install {' '.join(names)}`.")


def _families() -> set[str]:
    """Return what this system says that it is, or is like."""
    release = os_release()
    return set(f"{release.get('ID', '')} {release.get('ID_LIKE', '')}".split())


def os_release() -> dict[str, str]:
    """Read os-release; empty where a system has none."""
    try:
        lines = Path(os.environ.get("VAB_OS_RELEASE", "/etc/os-release")).read_text().splitlines()
    except OSError:
        return {}
    return {key: value.strip("\"'") for key, _, value in (line.partition("=") for line in lines)}


def _apt(name: str, words: list[str]) -> None:
    # Another apt-get may hold the lock for a while, on a machine that is just starting above all.
    run_long(
        name, ["apt-get", "-o", "DPkg::Lock::Timeout=300", "--quiet", *words], env={"DEBIAN_FRONTEND": "noninteractive"}
    )
