"""PCRs of enclave images: those that AWS's crate printed for images that it wrote, and every way in which an image can be wrong."""

from __future__ import annotations

import contextlib
import hashlib
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from verifier.core.ids import ArtifactId
from verifier.formats.errors import BridgeError, EvidenceRejected, MalformedEvidence
from verifier.reference.eif import decode_eif, pcrs_of

FOLDER = Path(__file__).parent / "eif"
SIGNED, PLAIN, ONE = ((FOLDER / f"{name}.eif").read_bytes() for name in ("signed", "plain", "one"))
SIGNER = (FOLDER / "signer.pem").read_bytes()
# As printed by the crate (eif/README.md).
BOOTSTRAP = "21c0dae934fe727dbd1df3632df31ede5258335b3484a120cd9de33999067372e384099b23403e7b51756bca385948ad"
PRINTED = {
    "signed": {
        "0": "82c6ad14173bd4ac6e49f92b383c1e4128c5bce74e74bb244d658cb5003cb9f6f9ea05e99892f4c995d60d10382c036b",
        "1": BOOTSTRAP,
        "2": "ae391906df12b64626669a37290a26eb620cddd76af5dd093f35f559655f9fa1f28d483275a06a7c3a44e786b0ced49f",
        "8": "5410e19d675a5509b304507410137f178a1ad8f3ce580fa63422d5d498a280e309e10d18d25ed202ad40f7d2ccd4594b",
    },
    "plain": {
        "0": "5524da67646a6593a1c9cf3efb7b0cfa84e82dff89d3629ddef605ed7a1e83adea14a43ffba86c1847dc40863710e8c6",
        "1": BOOTSTRAP,
        "2": "79d871e19aaeb542eb16b86e1b8695986921aaa66b4527e9e5cacd7d5fd132d066549157b3babd88daa8c96ccb3a003b",
    },
    "one": {
        "0": BOOTSTRAP,
        "1": BOOTSTRAP,
        "2": "21b9efbc184807662e966d34f390821309eeac6802309798826296bf3e8bec7c10edb30948c90ba67310f7b964fc500a",
    },
}
KERNEL, COMMAND_LINE, RAMDISK, SIGNATURE_SECTION, METADATA = 1, 2, 3, 4, 5


def forge(sections: Iterable[tuple[int, bytes]], *, version: int = 4, flags: int = 0) -> bytes:
    """Write an image as its format says."""
    body, offsets, sizes = b"", [], []
    for kind, data in sections:
        offsets.append(548 + len(body))
        sizes.append(len(data))
        body += struct.pack(">HHQ", kind, 0, len(data)) + data
    count = len(offsets)
    tables = [*offsets, *[0] * (32 - count), *sizes, *[0] * (32 - count)]
    return sealed(struct.pack(">4sHHQQHH64QII", b".eif", version, flags, 1 << 30, 2, 0, count, *tables, 0, 0) + body)


def sealed(image: bytes) -> bytes:
    crc = zlib.crc32(image[548:], zlib.crc32(image[:544]))
    return image[:544] + struct.pack(">I", crc) + image[548:]


def patched(image: bytes, at: int, data: bytes) -> bytes:
    return sealed(image[:at] + data + image[at + len(data) :])


WHOLE = ((KERNEL, b"kernel"), (COMMAND_LINE, b"quiet"), (METADATA, b"{}"), (RAMDISK, b"init"), (RAMDISK, b"app"))


@pytest.mark.parametrize(("name", "image"), [("signed", SIGNED), ("plain", PLAIN), ("one", ONE)])
def test_pcrs_are_those_that_the_vendors_own_tool_printed(name: str, image: bytes) -> None:
    assert pcrs_of(decode_eif(image)) == PRINTED[name]


def test_pcrs_are_the_hashes_that_the_format_names() -> None:
    def pcr(data: bytes) -> str:
        return hashlib.sha384(bytes(48) + hashlib.sha384(data).digest()).hexdigest()

    got = pcrs_of(decode_eif(forge(WHOLE)))
    assert got == {"0": pcr(b"kernelquietinitapp"), "1": pcr(b"kernelquietinit"), "2": pcr(b"app")}


def test_metadata_and_defaults_are_measured_by_nobody() -> None:
    other = [(kind, b'{"a":1}' if kind == METADATA else data) for kind, data in WHOLE]
    assert pcrs_of(decode_eif(forge(other, version=3, flags=1))) == pcrs_of(decode_eif(forge(WHOLE)))


@pytest.mark.parametrize("certificate", [SIGNER, x509.load_pem_x509_certificate(SIGNER).public_bytes(Encoding.DER)])
def test_a_certificate_gives_the_pcr_of_what_will_be_signed(certificate: bytes) -> None:
    assert pcrs_of(decode_eif(PLAIN), certificate)["8"] == PRINTED["signed"]["8"]
    assert pcrs_of(decode_eif(SIGNED), certificate) == PRINTED["signed"]


@pytest.mark.parametrize(
    "image",
    [
        b"",
        SIGNED[:547],
        SIGNED[:-1],
        SIGNED + b"\x00",
        patched(PLAIN, 0, b".elf"),
        patched(PLAIN, 4, b"\x00\x01"),
        patched(PLAIN, 4, b"\x00\x05"),
        patched(PLAIN, 6, b"\x00\x02"),
        patched(PLAIN, 24, b"\x00\x01"),
        patched(PLAIN, 26, b"\x00\x00"),
        patched(PLAIN, 26, b"\x00\x21"),
        patched(PLAIN, 26, b"\x00\x04"),
        patched(PLAIN, 28, struct.pack(">Q", 549)),
        patched(PLAIN, 284, struct.pack(">Q", 1499)),
        patched(PLAIN, 284 + 8 * 31, struct.pack(">Q", 1)),
        patched(PLAIN, 540, b"\x00\x00\x00\x01"),
        patched(PLAIN, 548, b"\x00\x06"),
        patched(PLAIN, 548, b"\x00\x00"),
        patched(PLAIN, 550, b"\x00\x01"),
        PLAIN[:600] + bytes((PLAIN[600] ^ 1,)) + PLAIN[601:],
        forge(WHOLE[1:]),
        forge(WHOLE[:3]),
        forge((WHOLE[1], WHOLE[0], *WHOLE[2:])),
        forge((*WHOLE, (KERNEL, b"second"))),
        forge((*WHOLE, (COMMAND_LINE, b"second"))),
        forge((*WHOLE, (METADATA, b"{}"))),
        forge(()),
    ],
)
def test_an_image_that_is_not_as_the_format_says_is_refused(image: bytes) -> None:
    with pytest.raises(MalformedEvidence) as caught:
        decode_eif(image)
    assert caught.value.check_id == ArtifactId.EIF
    assert "got" in caught.value.detail
    assert "want" in caught.value.detail


def _resigned(section: bytes) -> bytes:
    image = decode_eif(SIGNED)
    parts = [(KERNEL, image.kernel), (COMMAND_LINE, image.command_line)]
    parts += [(RAMDISK, data) for data in image.ramdisks]
    return forge([*parts, (SIGNATURE_SECTION, section)])


def _entry() -> dict[str, bytes]:
    (entry,) = cbor2.loads(decode_eif(SIGNED).signature or b"")
    return {name: bytes(value) for name, value in entry.items()}


def test_a_signed_image_is_read_whichever_way_its_bytes_are_written() -> None:
    assert pcrs_of(decode_eif(_resigned(cbor2.dumps([_entry()])))) == PRINTED["signed"]


def test_a_signature_over_another_image_is_refused() -> None:
    image = decode_eif(SIGNED)
    section = image.signature or b""
    other = forge([(KERNEL, b"other"), (COMMAND_LINE, b""), (RAMDISK, b"x"), (SIGNATURE_SECTION, section)])
    with pytest.raises(EvidenceRejected) as caught:
        pcrs_of(decode_eif(other))
    assert caught.value.check_id == ArtifactId.EIF_SIGNATURE


def test_a_signature_that_does_not_verify_is_refused() -> None:
    entry = _entry()
    for at in (len(entry["signature"]) - 1, len(entry["signature"]) - 96):
        spoiled = bytearray(entry["signature"])
        spoiled[at] ^= 1
        with pytest.raises(EvidenceRejected) as caught:
            pcrs_of(decode_eif(_resigned(cbor2.dumps([{**entry, "signature": bytes(spoiled)}]))))
        assert caught.value.check_id == ArtifactId.EIF_SIGNATURE


def test_an_algorithm_that_is_not_the_keys_is_refused() -> None:
    entry = _entry()
    _protected, unprotected, payload, signature = cbor2.loads(entry["signature"])
    for algorithm in (-7, -36, -8, None):
        cose = cbor2.dumps([cbor2.dumps({1: algorithm}), unprotected, payload, signature])
        with pytest.raises(EvidenceRejected):
            pcrs_of(decode_eif(_resigned(cbor2.dumps([{**entry, "signature": cose}]))))


def test_another_certificate_than_the_images_own_is_refused() -> None:
    from forge.sev_snp import ForgedAmd

    with pytest.raises(EvidenceRejected):
        pcrs_of(decode_eif(SIGNED), ForgedAmd("Milan", now=1_780_000_000).ark())


@pytest.mark.parametrize(
    "section",
    [
        b"",
        b"\xff",
        cbor2.dumps([]),
        cbor2.dumps({}),
        cbor2.dumps([{}]),
        cbor2.dumps([{"signing_certificate": b"x", "signature": b"x"}]),
        cbor2.dumps([{"signing_certificate": SIGNER, "signature": b"x"}]),
        cbor2.dumps([{"signing_certificate": SIGNER, "signature": cbor2.dumps([1, 2, 3, 4])}]),
        cbor2.dumps([{"signing_certificate": SIGNER * 2, "signature": b"x"}]),
        cbor2.dumps([{"signing_certificate": [256], "signature": b"x"}]),
        cbor2.dumps([{"signing_certificate": SIGNER, "signature": cbor2.dumps([b"", {}, b"\x01", b""])}]),
        cbor2.dumps([_entry()]) + b"\x00",
        b"\x81" * 20_000,
        b"\x00" * 40_000,
    ],
)
def test_a_signature_section_of_another_shape_is_refused(section: bytes) -> None:
    with pytest.raises(MalformedEvidence):
        pcrs_of(decode_eif(_resigned(section)))


def test_a_certificate_whose_key_cannot_be_read_is_refused() -> None:
    certificate = x509.load_pem_x509_certificate(SIGNER)
    point = certificate.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    der = certificate.public_bytes(Encoding.DER)
    off_the_curve = der.replace(point, point[:-1] + bytes([point[-1] ^ 1]))
    entry = {**_entry(), "signing_certificate": off_the_curve}
    with pytest.raises(MalformedEvidence, match=r"^identity\.artifact\.certificate: signing certificate: got no key"):
        pcrs_of(decode_eif(_resigned(cbor2.dumps([entry]))))


@settings(max_examples=200, derandomize=True)
@given(at=st.integers(0, len(SIGNED) - 1), piece=st.binary(min_size=1, max_size=12), seal=st.booleans())
def test_whatever_the_bytes_only_a_no_is_raised(at: int, piece: bytes, *, seal: bool) -> None:
    image = (SIGNED[:at] + piece + SIGNED[at + len(piece) :])[: len(SIGNED)]
    with contextlib.suppress(BridgeError):
        pcrs_of(decode_eif(sealed(image) if seal else image))


@settings(max_examples=50, derandomize=True)
@given(
    kernel=st.binary(max_size=64),
    line=st.binary(max_size=32),
    disks=st.lists(st.binary(max_size=64), min_size=1, max_size=8),
)
def test_what_is_written_is_read(kernel: bytes, line: bytes, disks: list[bytes]) -> None:
    image = decode_eif(forge([(KERNEL, kernel), (COMMAND_LINE, line), *((RAMDISK, one) for one in disks)]))
    assert (image.kernel, image.command_line, image.ramdisks) == (kernel, line, tuple(disks))
