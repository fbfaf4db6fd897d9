"""What a record keeps of evidence: what was decoded, and no byte that a sender added."""

from __future__ import annotations

import json
import ssl
from typing import Any

import pytest

from tests.support.verdicts import make_verdict
from tools.demo.forged import forged_chip
from verifier.adapters.sql.records import MAX_REFUSED_EVIDENCE, prepare
from verifier.core.wire import EvidenceEnvelope
from verifier.formats.encoding import unb64url
from verifier.service.kept import certificates_alone, kept_evidence

ENDORSEMENTS = forged_chip().endorsements()
VCEK, ASK = ENDORSEMENTS["vcek"], ENDORSEMENTS["ask"]
PEM = ssl.DER_cert_to_PEM_cert(VCEK).encode()
BOTH = PEM + ssl.DER_cert_to_PEM_cert(ASK).encode()
NOISE = b"what a sender would have us keep\n" * 500


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (VCEK, VCEK),
        (VCEK + bytes(5_000), VCEK),
        (PEM, VCEK),
        (NOISE + PEM + NOISE, VCEK),
        (BOTH, BOTH),
        (NOISE + PEM + NOISE + BOTH.removeprefix(PEM), BOTH),
        (VCEK + NOISE, b""),
        (NOISE, b""),
        (b"", b""),
        (b"\x30\x82\xff\xff" + bytes(100), b""),
    ],
    ids=[
        "DER",
        "zeros behind",
        "PEM",
        "text around",
        "two",
        "text between",
        "text behind",
        "text",
        "nothing",
        "a length",
    ],
)
def test_certificates_are_kept_and_nothing_around_them(sent: bytes, kept: bytes) -> None:
    assert certificates_alone(sent) == kept


def test_parts_are_kept_as_they_came_and_endorsements_without_their_padding() -> None:
    inner = EvidenceEnvelope("nvidia-gpu", {"report": b"g"}, {"chain": NOISE + BOTH})
    sent = EvidenceEnvelope("sev-snp-gpu", {"report": b"r" * 1184}, {"vcek": NOISE + PEM, "noise": NOISE}, (inner,))
    kept: dict[str, Any] = json.loads(kept_evidence(sent))

    assert unb64url(kept["parts"]["report"]) == b"r" * 1184
    assert {name: unb64url(text) for name, text in kept["endorsements"].items()} == {"vcek": VCEK}
    (component,) = kept["components"]
    assert unb64url(component["endorsements"]["chain"]) == BOTH
    assert len(kept_evidence(sent)) < len(NOISE)


@pytest.mark.parametrize(
    ("changes", "is_kept"),
    [
        ({}, True),
        ({"outcome": "refused", "jti": ""}, True),
        ({"outcome": "refused", "jti": "", "evidence": bytes(MAX_REFUSED_EVIDENCE + 1)}, False),
        ({"outcome": "refused", "jti": "", "workload_uuid": ""}, False),
    ],
    ids=["accepted", "refused", "refused and large", "of no workload"],
)
def test_what_a_stranger_chose_is_kept_as_its_digest_alone(changes: dict[str, Any], *, is_kept: bool) -> None:
    prepared = prepare(make_verdict(**changes))
    assert (prepared.packed is not None) == is_kept
    assert len(prepared.evidence_digest) == 32
