"""Fuzz targets of what boots and runs: IMA lists, file signatures, unified kernel images."""

from __future__ import annotations

from collections.abc import Callable

from forge.ima import MeasurementList, sign_file, small_system
from forge.tpm2 import new_key
from forge.uki import make_uki
from verifier.formats.encoding import sha256
from verifier.formats.errors import MalformedEvidence
from verifier.tee.ima.decode import decode_file_signature, decode_list
from verifier.tee.ima.explain import explain
from verifier.tee.ima.layout import encode_entry, encode_file_signature
from verifier.tee.ima.replay import first_inconsistent, is_padded_sha1, replay_prefix
from verifier.tee.tcg.layout import SHA256
from verifier.tee.tcg.uki import predict_uki


def small_list() -> MeasurementList:
    """Return a list with a signed file in it."""
    found = small_system({i: bytes((i,)) * 32 for i in range(10)}, template="ima-sig")
    digest = sha256(b"a program")
    return found.measure(b"/opt/a program", digest, fields=(sign_file(new_key("ecc", "fuzz"), digest),))


def _list(data: bytes) -> None:
    """Read, write back, and judge: whatever is read, nothing that follows may stumble over it."""
    try:
        found = decode_list(data)
    except MalformedEvidence:
        return
    if b"".join(map(encode_entry, found.entries)) != data:
        raise AssertionError("IMA list: decodes, and encodes to other bytes")
    first_inconsistent(found.entries)
    replay_prefix(found.entries, SHA256, bytes(32))
    is_padded_sha1(found.entries, SHA256, bytes(32))
    explain(found.entries, {"digests": ["sha256:" + "00" * 32], "may_be_anything": [{"path": "/opt/", "why": "x"}]})


def _signature(data: bytes) -> None:
    try:
        found = decode_file_signature(data)
    except MalformedEvidence:
        return
    if encode_file_signature(found) != data:
        raise AssertionError("IMA signature: decodes, and encodes to other bytes")


def _image(data: bytes) -> None:
    try:
        predict_uki(data, bank=SHA256)
    except MalformedEvidence:
        return


TARGETS: dict[str, Callable[[bytes], None]] = {"ima-list": _list, "ima-signature": _signature, "uki": _image}


def seeds() -> dict[str, bytes]:
    """Return one input per target."""
    signature = sign_file(new_key("ecc", "fuzz"), sha256(b"a program"))
    image = make_uki(linux=make_uki(linux=b"x", initrd=None).data, initrd=b"y").data
    return {"ima-list": small_list().to_bytes(), "ima-signature": signature, "uki": image}
