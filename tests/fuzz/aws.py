"""Fuzz targets of AWS's documents and of what they are written in: CBOR, COSE, the payload under a signature, a quote's parts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import cache
from typing import Literal

import cbor2

from forge.aws_nitro import ForgedNitro
from forge.aws_nitrotpm import ForgedNitroTpm
from verifier.core.binding import BindingDigest
from verifier.formats import cbor
from verifier.formats.cose import ES384, decode_sign1, encode_sign1
from verifier.formats.errors import MalformedEvidence
from verifier.tee.aws_nitro.decode import decode_document

NOW = 1_790_000_000
_DIGEST = BindingDigest(bytes(64), bytes(32), bytes(64), bytes(91))
_PROTECTED = cbor.encode({1: ES384})


@cache
def parts(scheme: Literal["aws-nitro", "aws-nitrotpm"]) -> dict[str, bytes]:
    """Return the parts of one wholesome evidence."""
    if scheme == "aws-nitro":
        return ForgedNitro(now=NOW).parts(_DIGEST)
    return ForgedNitroTpm(now=NOW).parts(_DIGEST)


def seeds() -> dict[str, bytes]:
    """Return one input per target."""
    tpm = parts("aws-nitrotpm")
    document = parts("aws-nitro")["attestation"]
    return {
        "cbor": cbor.encode({1: [True, None, b"a", "b"], "c": {-1: cbor2.CBORTag(18, b"")}}, indefinite=True),
        "cose-sign1": document,
        "aws-nitro-payload": decode_sign1(document, "fuzz", "seed").payload,
        "aws-nitro-attestation": document,
        "aws-nitrotpm-attestation": tpm["attestation"],
        "aws-nitrotpm-quote": tpm["quote"],
        "aws-nitrotpm-quote-sig": tpm["quote_sig"],
        "aws-nitrotpm-pcrs": tpm["pcrs"],
    }


def _cbor(data: bytes) -> None:
    """What is read here is what ``cbor2`` reads, wherever nothing has to be computed with a tag."""
    with contextlib.suppress(MalformedEvidence):
        value = cbor.decode(data, "fuzz", "fuzz", indefinite=True)
        if "CBORTag" not in repr(value) and value != cbor2.loads(data):
            raise AssertionError("cbor: read otherwise than by cbor2")


def _sign1(data: bytes) -> None:
    with contextlib.suppress(MalformedEvidence):
        if decode_sign1(data, "fuzz", "fuzz").raw != data:
            raise AssertionError("cose: other bytes were kept")


def _payload(data: bytes) -> None:
    with contextlib.suppress(MalformedEvidence):
        decode_document(encode_sign1(_PROTECTED, {}, data, bytes(96)))


TARGETS: dict[str, Callable[[bytes], None]] = {"cbor": _cbor, "cose-sign1": _sign1, "aws-nitro-payload": _payload}
