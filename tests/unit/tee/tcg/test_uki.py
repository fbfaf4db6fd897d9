"""Unified kernel images: what is predicted is what systemd-measure, pesign and the forged stub say; anything unclear is refused."""

from __future__ import annotations

import contextlib
import shutil
import struct
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.bootlog import uki_boot
from forge.uki import make_uki
from tests.support.parts import missing
from tools.realparts.debian import efi_stubs
from verifier.formats.errors import Failed, MalformedEvidence
from verifier.tee.tcg.boot import WORDS, phase_path, require_boot_replay
from verifier.tee.tcg.decode import decode_log
from verifier.tee.tcg.layout import SHA1, SHA256, SHA384, SHA512, HashAlgorithm
from verifier.tee.tcg.pe import decode_image
from verifier.tee.tcg.uki import PHASES, measured_sections, predict_pcr12, predict_register, predict_uki

BANKS = (SHA1, SHA256, SHA384, SHA512)
MEASURE = Path("/usr/lib/systemd/systemd-measure")
_PE_AT = 0x80


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{command}: {done.stdout} {done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def real_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Put an image together from systemd's own stub; the sections' contents lie beside it."""
    for program, package in (("objcopy", "binutils"), ("pesign", "pesign"), ("sbsign", "sbsigntool")):
        if shutil.which(program) is None:
            missing(f"{program} is not installed: apt-get install {package}")
    if not efi_stubs() or not MEASURE.exists():
        missing("systemd-stub or systemd-measure is not installed: apt-get install systemd systemd-boot-efi")
    folder = tmp_path_factory.mktemp("uki")
    command: list[str | Path] = ["objcopy"]
    contents = {
        "osrel": b"ID=test\n",
        "cmdline": b"console=ttyS0 ro",
        "linux": make_uki().data,
        "initrd": b"initrd" * 9999,
    }
    for number, (name, content) in enumerate(contents.items(), 1):
        (folder / name).write_bytes(content)
        command += ["--add-section", f".{name}={name}", "--change-section-vma", f".{name}={number:#x}000000"]
    run(*command, efi_stubs()[0], "uki.efi", cwd=folder)
    return folder / "uki.efi"


@pytest.mark.parametrize("bank", BANKS, ids=[b.name for b in BANKS])
def test_pcr_11_is_what_systemd_measure_computes(real_image: Path, bank: HashAlgorithm) -> None:
    folder = real_image.parent
    options = [f"--{name}={name}" for name in ("linux", "osrel", "cmdline", "initrd")]
    said = run(MEASURE, "calculate", *options, f"--bank={bank.name}", cwd=folder)
    values = [line.partition("=")[2] for line in said.splitlines() if line.startswith("11:")]
    # Version 252 measures no .sbat, which its stub has; the tool is of the stub's version.
    predicted = predict_uki(real_image.read_bytes(), bank=bank)
    assert predicted.stub_version >= 252
    if predicted.stub_version > 252:
        missing("a stub that measures its own .sbat: give the tool that section too")
    assert [value.hex() for value in predicted.pcr11.values()] == values
    assert tuple(predicted.pcr11) == PHASES


def test_authenticode_is_what_pesign_computes_signed_or_not(real_image: Path) -> None:
    folder = real_image.parent
    request = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-days", "2")
    run(*request, "-keyout", "key.pem", "-out", "cert.pem", cwd=folder)
    run("sbsign", "--key", "key.pem", "--cert", "cert.pem", "--output", "signed.efi", "uki.efi", cwd=folder)
    for name in ("uki.efi", "signed.efi"):
        said = run("pesign", "--hash", "--digest_type=sha256", "-i", name, cwd=folder).split()[-1]
        predicted = predict_uki((folder / name).read_bytes(), bank=SHA256)
        assert predicted.authenticode.hex() == said
        assert predicted.kernel == make_uki().authenticode(SHA256)
    data = (folder / "signed.efi").read_bytes()
    flipped = data[:-9] + bytes((data[-9] ^ 1,)) + data[-8:]  # in the signature, which is not measured
    assert predict_uki(flipped, bank=SHA256).authenticode == predict_uki(data, bank=SHA256).authenticode


_NAMES = st.sampled_from(
    ("osrel", "cmdline", "initrd", "ucode", "splash", "dtb", "uname", "sbat", "pcrpkey", "pcrsig", "other")
)


@settings(derandomize=True)
@given(st.dictionaries(_NAMES, st.binary(max_size=1200)), st.binary(min_size=1, max_size=1200), st.sampled_from(BANKS))
def test_what_the_forged_stub_measures_is_predicted(
    contents: dict[str, bytes], kernel: bytes, bank: HashAlgorithm
) -> None:
    image = make_uki(**{**contents, "linux": kernel})
    predicted = predict_uki(image.data, bank=bank, phases=("", *PHASES))
    assert predicted.authenticode == image.authenticode(bank)
    for path, value in predicted.pcr11.items():
        assert value == image.pcr11(bank, *filter(None, path.split(":")))
    assert {name: digest for name, (_, _, digest) in predicted.sections.items()} == {
        name: SHA256.digest(content) for name, content in image.sections
    }


@settings(max_examples=200, derandomize=True)
@given(st.integers(0, 0x400), st.binary(min_size=1, max_size=4))
def test_a_patched_header_is_read_or_malformed(at: int, patch: bytes) -> None:
    data = make_uki().data
    with contextlib.suppress(MalformedEvidence):
        predict_uki(data[:at] + patch + data[at + len(patch) :], bank=SHA256)


def test_every_truncation_is_refused_or_another_image() -> None:
    data = make_uki().data
    whole = predict_uki(data, bank=SHA256).authenticode
    for cut in (*range(0x500), *range(len(data) - 600, len(data))):
        try:
            assert predict_uki(data[:cut], bank=SHA256).authenticode != whole
        except MalformedEvidence:
            continue


@pytest.mark.parametrize(
    ("version", "missing_sections"),
    [("252.39-1", {".uname", ".sbat"}), ("254", set()), ("257.1", set()), ("", set())],
)
def test_what_is_measured_depends_on_the_stub(version: str, missing_sections: set[str]) -> None:
    predicted = predict_uki(make_uki(version).data, bank=SHA256)
    assert predicted.stub_version == (int(version[:3]) if version else 0)
    measured = {".linux", ".osrel", ".cmdline", ".initrd", ".uname", ".sbat"} - missing_sections
    assert set(predicted.measured) == measured


def test_a_stub_version_can_be_said() -> None:
    image = make_uki("").data
    assert ".sbat" not in predict_uki(image, bank=SHA256, stub_version=252).measured
    for unknown in (251, 253):
        with pytest.raises(MalformedEvidence):
            predict_uki(image, bank=SHA256, stub_version=unknown)
    assert ".ucode" not in measured_sections(255)
    assert ".ucode" in measured_sections(256)


@pytest.mark.parametrize("bad", ["x" * 65, "enter initrd", "a:", ":a", "A"])
def test_a_phase_path_is_words(bad: str) -> None:
    with pytest.raises(ValueError, match="phase path"):
        predict_uki(make_uki().data, bank=SHA256, phases=(bad,))


@pytest.mark.parametrize(
    "changes",
    [{"linux": None}, {"dtbauto": b"x"}, {"efifw": b"x"}],
    ids=["no-kernel", "device-tree-by-machine", "firmware-by-machine"],
)
def test_an_image_whose_measurement_cannot_be_said_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedEvidence):
        predict_uki(make_uki(**changes).data, bank=SHA256)


def test_a_section_that_stands_twice_is_refused() -> None:
    data = make_uki(extra1=b"a", extra2=b"b").data
    with pytest.raises(MalformedEvidence, match="twice"):
        predict_uki(data.replace(b".extra2", b".extra1"), bank=SHA256)


def test_memory_beyond_the_file_is_zeros() -> None:
    image = make_uki()
    at = image.data.index(b".initrd\x00") + 8
    size = struct.unpack_from("<I", image.data, at)[0]
    grown = image.data[:at] + struct.pack("<I", size + 5000) + image.data[at + 4 :]
    contents = tuple((n, c.ljust(size + 5000, b"\0") if n == ".initrd" else c) for n, c in image.sections)
    assert predict_uki(grown, bank=SHA256, phases=("",)).pcr11[""] == replace(image, sections=contents).pcr11(SHA256)
    vast = image.data[:at] + b"\xff" * 4 + image.data[at + 4 :]
    with pytest.raises(MalformedEvidence, match="zeros"):
        predict_uki(vast, bank=SHA256)


def test_certificates_that_are_not_last_are_refused() -> None:
    data = bytearray(make_uki().data)
    struct.pack_into("<II", data, _PE_AT + 24 + 112 + 32, 0x400, 8)
    with pytest.raises(MalformedEvidence, match="certificate table"):
        decode_image(bytes(data))


def test_pcr_12_holds_the_command_lines_from_outside() -> None:
    assert predict_pcr12([], bank=SHA256) == bytes(32)
    line = SHA256.digest("quiet".encode("utf-16-le") + b"\0\0")
    assert predict_pcr12(["quiet"], bank=SHA256) == SHA256.digest(bytes(32) + line)
    with pytest.raises(ValueError, match="20 bytes"):
        predict_register([bytes(20)], bank=SHA256)


def test_phases_are_found_behind_what_firmware_logged() -> None:
    start = value = SHA256.digest(b"start")
    assert phase_path(SHA256, start, value) == ""
    for number, word in enumerate(WORDS, 1):
        value = SHA256.digest(value + SHA256.digest(word.encode()))
        assert phase_path(SHA256, start, value) == ":".join(WORDS[:number])
    sysinit = SHA256.digest(start + SHA256.digest(b"sysinit"))
    assert phase_path(SHA256, start, sysinit) == "sysinit"
    assert phase_path(SHA256, start, SHA256.digest(b"x")) is None


def test_only_pcr_11_may_be_further_on_than_its_log() -> None:
    log = decode_log(uki_boot(make_uki(), command_line="quiet").to_bytes())
    registers = uki_boot(make_uki(), command_line="quiet").registers()
    none: frozenset[int] = frozenset()
    require_boot_replay(log, SHA256, registers, must_explain=none)
    further = {i: SHA256.digest(v + SHA256.digest(b"enter-initrd")) for i, v in registers.items()}
    require_boot_replay(log, SHA256, {**registers, 11: further[11]}, must_explain=none)
    require_boot_replay(log, SHA256, {11: further[11], 16: bytes(32)}, must_explain=none)
    for pcr in (4, 12):
        with pytest.raises(Failed):
            require_boot_replay(log, SHA256, {**registers, pcr: further[pcr]}, must_explain=none)
    with pytest.raises(Failed):
        require_boot_replay(log, SHA256, {16: bytes(32)}, must_explain=none)
    with pytest.raises(Failed):
        require_boot_replay(log, SHA1, {11: bytes(20)}, must_explain=none)
