"""What a unified kernel image (UKI) will leave in the TPM: PCR 11 by boot phase, PCR 4's digest, PCR 12 by command line. Pure.

For reference values from artifacts; no evidence is judged here, and what another boot chain adds (firmware, a boot loader before it,
add-ons, credentials beside it) is not predicted. Raises ``MalformedEvidence("uki.decode.image")`` for an image whose measurement
cannot be said, and ``ValueError`` for a programmer's fault.

systemd-stub extends PCR 11 twice for each of its sections that the image has, in one fixed order: with its name and a NUL, and with
its VirtualSize bytes as loaded. Userspace then extends the words of the boot phases, without a NUL. PCR 12 takes a command line that
comes from outside the image (UTF-16 with its NUL); one that is the image's own ``.cmdline`` stands in PCR 11 alone.
Source: UAPI.5 Unified Kernel Image; systemd-stub(7), "TPM PCR Notes"; systemd-pcrphase.service(8); systemd-measure(1); TCG registry
of Linux PCR usage (UAPI.7).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from verifier.core.ids import ArtifactId
from verifier.formats.errors import MalformedEvidence
from verifier.tee.tcg.layout import SHA256, HashAlgorithm, extend
from verifier.tee.tcg.pe import Image, Section, authenticode, decode_image, is_image, section_content, section_in_memory

PCR_UKI, PCR_COMMAND_LINE, PCR_APPLICATION = 11, 12, 4

# The phase paths that systemd-measure computes: how far a regular boot got. "" is the moment before any of them.
PHASES: tuple[str, ...] = (
    "enter-initrd",
    "enter-initrd:leave-initrd",
    "enter-initrd:leave-initrd:sysinit",
    "enter-initrd:leave-initrd:sysinit:ready",
)
MAX_WORDS = 16
_WORD = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)

# In the order in which they are measured, with the first version of systemd-stub that does so. ``.pcrsig`` signs the result and is
# left out of it.
_MEASURED: tuple[tuple[str, int], ...] = (
    (".linux", 252),
    (".osrel", 252),
    (".cmdline", 252),
    (".initrd", 252),
    (".ucode", 256),
    (".splash", 252),
    (".dtb", 252),
    (".uname", 254),
    (".sbat", 254),
    (".pcrpkey", 252),
    (".profile", 257),
    (".hwids", 257),
)
_OLDEST, _NEWEST = 252, 1_000_000
# 253 measured something in between; what, was not seen. Nothing is guessed.
_UNKNOWN_STUBS = frozenset((253,))
# Which of them is measured depends on the machine.
_UNPREDICTABLE = frozenset((".dtbauto", ".efifw"))
_MAGIC = re.compile(rb"#### LoaderInfo: systemd-stub (\d{3,6})[^#\x00]{0,64} ####", re.ASCII)


@dataclass(frozen=True, slots=True)
class UkiPrediction:
    """What to expect of one image in one bank.

    ``authenticode``: what PCR 4 is extended with (EV_EFI_BOOT_SERVICES_APPLICATION). ``kernel``: the same of ``.linux``, which
    stubs that start it through LoadImage add to PCR 4; ``None`` where that is no PE image. ``pcr11``: values by phase path.
    ``sections``: (offset in the file, bytes there, SHA-256 of what is measured), measured or not. ``stub_version`` is 0 where the
    image does not say.
    """

    bank: HashAlgorithm
    authenticode: bytes
    kernel: bytes | None
    pcr11: Mapping[str, bytes]
    sections: Mapping[str, tuple[int, int, bytes]]
    measured: tuple[str, ...]
    command_line: str | None
    stub_version: int


def predict_uki(
    data: bytes, *, bank: HashAlgorithm, phases: tuple[str, ...] = PHASES, stub_version: int | None = None
) -> UkiPrediction:
    """Predict an image's measurements. ``phases`` are phase paths, words joined by ``:``.

    ``stub_version``: the major version of systemd-stub, by default as the image's ``.sdmagic`` says; without that, as the newest.
    """
    paths = [(path, _words(path)) for path in phases]
    image = decode_image(data)
    sections = _once_each(image)
    if ".linux" not in sections:
        raise MalformedEvidence(ArtifactId.UKI, "UKI: got no .linux section, want a kernel")
    said = _stub_version(image, sections)
    measured = tuple(name for name in measured_sections(stub_version or said or _NEWEST) if name in sections)
    start = bytes(bank.size)
    for name in measured:
        start = extend(bank, start, bank.digest(name.encode("ascii") + b"\x00"))
        start = extend(bank, start, section_in_memory(image, sections[name], bank))
    kernel = section_content(image, sections[".linux"])
    return UkiPrediction(
        bank=bank,
        authenticode=authenticode(image, bank),
        kernel=authenticode(decode_image(kernel), bank) if is_image(kernel) else None,
        pcr11=MappingProxyType({path: _extended(bank, start, words) for path, words in paths}),
        sections=MappingProxyType(
            {n: (s.raw_offset, s.file_size, section_in_memory(image, s, SHA256)) for n, s in sections.items()}
        ),
        measured=measured,
        command_line=_text(image, sections.get(".cmdline")),
        stub_version=said,
    )


def measured_sections(stub_version: int) -> tuple[str, ...]:
    """Return the sections that a version of systemd-stub measures, in order; refuses a version whose list is not known."""
    if stub_version < _OLDEST or stub_version in _UNKNOWN_STUBS:
        raise MalformedEvidence(ArtifactId.UKI, f"systemd-stub: got version {stub_version}, want 252, or 254 or later")
    return tuple(name for name, since in _MEASURED if since <= stub_version)


def predict_pcr12(command_lines: Sequence[str], *, bank: HashAlgorithm) -> bytes:
    """Return PCR 12 after these command lines from outside the image, in order; zeros after none of them.

    The strings are what systemd-stub made of them (it trims white space at both ends and turns control characters into spaces).
    Credentials and add-ons are measured there too, and not predicted.
    """
    return predict_register([bank.digest(command_line_data(line)) for line in command_lines], bank=bank)


def command_line_data(command_line: str) -> bytes:
    """Return what is hashed of a command line: UTF-16, little-endian, with its NUL."""
    return command_line.encode("utf-16-le") + b"\x00\x00"


def predict_register(digests: Iterable[bytes], *, bank: HashAlgorithm) -> bytes:
    """Return a register that starts at zero after these digests."""
    value = bytes(bank.size)
    for digest in digests:
        if len(digest) != bank.size:
            raise ValueError(f"digest: got {len(digest)} bytes, want {bank.size}")
        value = extend(bank, value, digest)
    return value


def _words(path: str) -> tuple[str, ...]:
    words = tuple(path.split(":")) if path else ()
    if len(words) > MAX_WORDS or not all(_WORD.fullmatch(word) for word in words):
        raise ValueError(f"phase path: got {path!r}, want words of a-z, 0-9 and - joined by :")
    return words


def _extended(bank: HashAlgorithm, value: bytes, words: tuple[str, ...]) -> bytes:
    for word in words:
        value = extend(bank, value, bank.digest(word.encode("ascii")))
    return value


def _once_each(image: Image) -> dict[str, Section]:
    """Return the sections by name. A name twice is a multi-profile image or a trap: the stub takes the first, readers may not."""
    sections: dict[str, Section] = {}
    for section in image.sections:
        if section.name in _UNPREDICTABLE:
            raise MalformedEvidence(
                ArtifactId.UKI, f"UKI: got {section.name}, whose measurement depends on the machine"
            )
        if section.name in sections:
            raise MalformedEvidence(
                ArtifactId.UKI, f"UKI: got section {section.name} twice, want each once (one profile)"
            )
        sections[section.name] = section
    return sections


def _stub_version(image: Image, sections: Mapping[str, Section]) -> int:
    magic = sections.get(".sdmagic")
    found = None if magic is None else _MAGIC.search(section_content(image, magic))
    return 0 if found is None else int(found[1])


def _text(image: Image, section: Section | None) -> str | None:
    if section is None:
        return None
    return section_content(image, section).split(b"\x00", 1)[0].decode("utf-8", "replace")
