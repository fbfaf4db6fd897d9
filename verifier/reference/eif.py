"""Enclave image files (EIF) and the PCRs that the Nitro hypervisor gives their enclave. Pure.

Checked: header, section table against the sections as they stand, CRC-32, one kernel, one command line, one ramdisk or more, in the
order in which AWS's tools write them; of a signed image the signature over PCR 0 by the certificate that PCR 8 is made of. Not
checked: who issued that certificate, and what the kernel does. PCR 3 and 4 (role, instance) are no property of the image.

Shape, big-endian throughout: header of 548 bytes (magic ".eif", version, flags, default memory, default CPUs, reserved, number of
sections, 32 offsets, 32 sizes, unused, CRC-32 over all but itself), then sections of a 12-byte header (type, flags, size) and data.
A PCR is SHA-384(48 zero bytes ‖ SHA-384(data)); data are of PCR 0 kernel, command line and all ramdisks, of PCR 1 kernel, command
line and the first ramdisk, of PCR 2 the other ramdisks, of PCR 8 the signing certificate (DER).
Source: crate aws-nitro-enclaves-image-format (defs, eif_reader); AWS Nitro Enclaves user guide, "Where to get an enclave's
measurements". Raises ``MalformedEvidence("identity.artifact.eif")``, ``EvidenceRejected("identity.artifact.eif.signature")``.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass
from typing import Any, Final

import cbor2
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from verifier.core.ids import ArtifactId
from verifier.formats import cbor, ecdsa
from verifier.formats.cose import ALGORITHMS, to_be_signed
from verifier.formats.errors import EvidenceRejected, MalformedEvidence
from verifier.formats.pem import pem_or_der

MAX_IMAGE: Final = 4 * 1024**3
_MAX_CBOR: Final = 32 * 1024  # the signature section: one certificate and one signature, as arrays of small numbers
_HEADER: Final = struct.Struct(">4sHHQQHH32Q32QII")
_SECTION: Final = struct.Struct(">HHQ")
_CRC_AT: Final = _HEADER.size - 4
_VERSIONS: Final = range(2, 5)  # version 1 has no CRC
_KNOWN_FLAGS: Final = 1  # bit 0: aarch64
_MAX_SECTIONS: Final = 32
_KERNEL, _COMMAND_LINE, _RAMDISK, _SIGNATURE, _METADATA = 1, 2, 3, 4, 5
_NAMES: Final = {
    _KERNEL: "kernel",
    _COMMAND_LINE: "cmdline",
    _RAMDISK: "ramdisk",
    _SIGNATURE: "signature",
    _METADATA: "metadata",
}
_ONCE: Final = (_KERNEL, _COMMAND_LINE, _SIGNATURE, _METADATA)


@dataclass(frozen=True, slots=True)
class Eif:
    """An image's sections. ``signature`` is the section's CBOR, unread; no PCR measures metadata."""

    version: int
    architecture: str
    kernel: bytes
    command_line: bytes
    ramdisks: tuple[bytes, ...]
    signature: bytes | None
    metadata: bytes | None


def decode_eif(data: bytes) -> Eif:
    """Read an image strictly."""
    if len(data) > MAX_IMAGE or len(data) < _HEADER.size:
        raise _bad("size", f"{len(data)} bytes", f"{_HEADER.size} to {MAX_IMAGE}")
    magic, version, flags, _memory, _cpus, reserved, count, *tables, unused, crc = _HEADER.unpack_from(data)
    if magic != b".eif":
        raise _bad("magic", magic.hex(), "2e656966 (.eif)")
    if version not in _VERSIONS:
        raise _bad("version", version, "2 to 4")
    if flags & ~_KNOWN_FLAGS or reserved or unused:
        raise _bad("flags, reserved, unused", f"{flags:#x}, {reserved}, {unused}", "no bit but 0 (aarch64), and zero")
    if not 1 <= count <= _MAX_SECTIONS:
        raise _bad("number of sections", count, f"1 to {_MAX_SECTIONS}")
    got = zlib.crc32(memoryview(data)[_HEADER.size :], zlib.crc32(data[:_CRC_AT]))
    if got != crc:
        raise _bad("CRC-32", f"{got:08x}", f"{crc:08x}, as the header says")
    sections = _sections(data, tables[:_MAX_SECTIONS], tables[_MAX_SECTIONS:], count)
    return _image(version, "aarch64" if flags & 1 else "x86_64", sections)


def _sections(data: bytes, offsets: list[int], sizes: list[int], count: int) -> list[tuple[int, bytes]]:
    """Walk the sections one behind the other; the header's table has to say the same."""
    found: list[tuple[int, bytes]] = []
    position = _HEADER.size
    for index in range(count):
        if len(data) - position < _SECTION.size:
            raise _bad(f"section {index}", f"{len(data) - position} bytes", f"a header of {_SECTION.size}")
        kind, flags, size = _SECTION.unpack_from(data, position)
        if (offsets[index], sizes[index]) != (position, size):
            raise _bad(
                f"section {index}", f"{size} bytes at {position}", f"{sizes[index]} at {offsets[index]}, as listed"
            )
        if kind not in _NAMES or flags:
            raise _bad(f"section {index}", f"type {kind}, flags {flags:#x}", "type 1 to 5, flags 0")
        start = position + _SECTION.size
        if size > len(data) - start:
            raise _bad(f"section {index}", f"{size} bytes", f"at most the {len(data) - start} that are left")
        found.append((kind, data[start : start + size]))
        position = start + size
    if position != len(data):
        raise _bad("end of the file", f"{len(data) - position} bytes behind the last section", "none")
    if any(offsets[count:]) or any(sizes[count:]):
        raise _bad("section table", "entries behind the last section", "zero")
    return found


def _image(version: int, architecture: str, sections: list[tuple[int, bytes]]) -> Eif:
    kinds = [kind for kind, _data in sections]
    for kind in _ONCE:
        if kinds.count(kind) > 1:
            raise _bad(_NAMES[kind], f"{kinds.count(kind)} sections", "one")
    measured = [kind for kind in kinds if kind in (_KERNEL, _COMMAND_LINE, _RAMDISK)]
    if measured[:3] != [_KERNEL, _COMMAND_LINE, _RAMDISK]:
        got = ", ".join(_NAMES[kind] for kind in measured) or "none"
        raise _bad("sections", got, "kernel, cmdline, then one ramdisk or more")
    by_kind = dict(sections)
    return Eif(
        version=version,
        architecture=architecture,
        kernel=by_kind[_KERNEL],
        command_line=by_kind[_COMMAND_LINE],
        ramdisks=tuple(data for kind, data in sections if kind == _RAMDISK),
        signature=by_kind.get(_SIGNATURE),
        metadata=by_kind.get(_METADATA),
    )


def pcrs_of(image: Eif, signing_certificate: bytes | None = None) -> dict[str, str]:
    """Return PCR 0, 1, 2, and 8 where the image is signed or a certificate is given (PEM or DER), in hex.

    A certificate that is given is what the image will be signed with; of an image that is signed already it has to be the same.
    """
    values = {
        "0": _pcr(image.kernel, image.command_line, *image.ramdisks),
        "1": _pcr(image.kernel, image.command_line, image.ramdisks[0]),
        "2": _pcr(*image.ramdisks[1:]),
    }
    given = None if signing_certificate is None else _der(signing_certificate)
    if image.signature is not None:
        signed_by = _verified_signer(image.signature, bytes.fromhex(values["0"]))
        if given not in (None, signed_by):
            got, want = hashlib.sha256(signed_by).hexdigest(), hashlib.sha256(given or b"").hexdigest()
            raise EvidenceRejected(
                ArtifactId.EIF_SIGNATURE, f"signing certificate (SHA-256): got {got}, want {want}, as given"
            )
        given = signed_by
    if given is not None:
        values["8"] = _pcr(given)
    return values


def _pcr(*data: bytes) -> str:
    inner = hashlib.sha384()
    for part in data:
        inner.update(part)
    return hashlib.sha384(bytes(48) + inner.digest()).hexdigest()


def _verified_signer(section: bytes, pcr0: bytes) -> bytes:
    """Return the certificate (DER) whose key signed this PCR 0."""
    entry = _cbor(section, "signature section")
    first = entry[0] if isinstance(entry, list) and len(entry) == 1 else None
    if not isinstance(first, dict) or first.keys() != {"signing_certificate", "signature"}:
        raise _bad("signature section", "another shape", "one entry with signing_certificate and signature")
    certificate = _der(_octets(first["signing_certificate"], "signing_certificate"))
    protected, payload, signature = _cose(_octets(first["signature"], "signature"))
    signed = _cbor(payload, "signature payload")
    if not isinstance(signed, dict) or signed.keys() != {"register_index", "register_value"}:
        raise _bad("signature payload", "another shape", "register_index and register_value")
    index, value = signed["register_index"], _octets(signed["register_value"], "register_value")
    if index != 0 or value != pcr0:
        raise EvidenceRejected(
            ArtifactId.EIF_SIGNATURE, f"signed register: got {index!r} {value.hex()}, want 0 {pcr0.hex()}"
        )
    _require_signed(certificate, protected, payload, signature)
    return certificate


def _require_signed(certificate: bytes, protected: bytes, payload: bytes, signature: bytes) -> None:
    header = _cbor(protected, "protected header")
    stated = header.get(1) if isinstance(header, dict) else None
    algorithm = ALGORITHMS.get(stated) if isinstance(stated, int) else None
    if algorithm is None:
        raise EvidenceRejected(ArtifactId.EIF_SIGNATURE, f"algorithm: got {stated!r}, want ES256, ES384 or ES512")
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise MalformedEvidence(
            ArtifactId.CERTIFICATE, "signing certificate: got no key that can be read, want one of ECDSA"
        ) from None
    size = 2 * algorithm.size
    if not ecdsa.is_key_of(key, algorithm) or len(signature) != size:
        raise EvidenceRejected(
            ArtifactId.EIF_SIGNATURE, f"key and signature: got others, want {algorithm.curve} and {size} bytes"
        )
    if not ecdsa.is_signed(key, algorithm, signature, to_be_signed(protected, payload)):
        raise EvidenceRejected(ArtifactId.EIF_SIGNATURE, "signature: does not verify with the certificate beside it")


def _cose(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Take a COSE_Sign1 apart, tagged or not."""
    value = _cbor(data, "signature")
    if isinstance(value, cbor2.CBORTag) and value.tag == 18:  # noqa: PLR2004 - COSE_Sign1, RFC 9052 section 2
        value = value.value
    if not isinstance(value, list | tuple) or len(value) != 4:  # noqa: PLR2004
        raise _bad("signature", "another shape", "a COSE_Sign1 of four members")
    protected, _unprotected, payload, signature = value
    if not all(isinstance(part, bytes) for part in (protected, payload, signature)):
        raise _bad("signature", "members of other types", "byte strings")
    return protected, payload, signature


def _cbor(data: bytes, what: str) -> Any:
    if len(data) > _MAX_CBOR:
        raise _bad(what, f"{len(data)} bytes", f"at most {_MAX_CBOR}")
    return cbor.decode(data, ArtifactId.EIF, what, max_items=_MAX_CBOR)


def _octets(value: Any, what: str) -> bytes:
    """Read bytes that AWS's tools write as an array of numbers; a byte string is taken too."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, list | tuple) and all(type(one) is int and 0 <= one <= 0xFF for one in value):  # noqa: PLR2004
        return bytes(value)
    raise _bad(what, type(value).__name__, "bytes")


def _der(certificate: bytes) -> bytes:
    der = pem_or_der(certificate, "CERTIFICATE", ArtifactId.CERTIFICATE, "signing certificate")
    try:
        x509.load_der_x509_certificate(der)
    except ValueError:
        raise MalformedEvidence(
            ArtifactId.CERTIFICATE, "signing certificate: got no certificate, want DER or PEM"
        ) from None
    return der


def _bad(field: str, got: object, want: str) -> MalformedEvidence:
    return MalformedEvidence(ArtifactId.EIF, f"EIF {field}: got {got}, want {want}")
