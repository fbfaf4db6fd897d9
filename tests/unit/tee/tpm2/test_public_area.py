"""TPMT_PUBLIC: what fuzzing found stays found."""

from __future__ import annotations

import pytest

from verifier.formats.errors import MalformedEvidence
from verifier.tee.tpm2.layout import decode_public


@pytest.mark.parametrize(
    "area",
    [
        # An RSA key of no bits: reading its first one raised IndexError. What follows it does not matter.
        "0001000b00050072000000100014000b000000000000000000000000100000000114000b08000000",
        "0001000b00050072000000100014000b0000000000000000",
    ],
)
def test_an_rsa_key_of_no_bits_is_malformed(area: str) -> None:
    with pytest.raises(MalformedEvidence):
        decode_public(bytes.fromhex(area), check_id="tpm2.enrolment.ak-public")
