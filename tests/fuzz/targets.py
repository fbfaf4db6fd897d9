"""Fuzz targets: every reader of untrusted bytes. Whatever the bytes, it answers or raises its one exception.

What decodes has to encode to the very same bytes where the format has one form: a malleable reader is a finding too.
Run one: ``python -m tests.fuzz.targets NAME [libFuzzer options]``; all of them: ``python -m tests.fuzz``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import atheris

with atheris.instrument_imports():
    from attester.answer import Expected, Pin, open_answer
    from attester.keys import public_jwk
    from tests.fuzz import artifacts, aws, boot, clouds, devices, intel
    from verifier.appraise.text import read_documents
    from verifier.core import wire
    from verifier.formats.errors import BridgeError, ConfigError, EvidenceRejected, MalformedEvidence
    from verifier.formats.x509 import parse_certificate, parse_crl
    from verifier.tee.registry import SCHEMES
    from verifier.tee.tcg.decode import decode_log
    from verifier.tee.tpm2.layout import decode_public, encode_public

from cryptography.hazmat.primitives.asymmetric import ec

from tests.fuzz.seeds import parts

_KEY = ec.generate_private_key(ec.SECP256R1())
_EXPECTED = Expected("https://v/t/default", "default", "web", bytes(64), bytes(32), bytes(32))
_PIN = Pin(public_jwk(_KEY), 1)


def _scheme(name: str, part: str) -> Callable[[bytes], None]:
    def target(data: bytes) -> None:
        scheme = SCHEMES[name]
        try:
            # The other parts are well-formed, so that the fuzzed one is reached.
            evidence = scheme.form.decode({**parts(name), part: data})
        except MalformedEvidence:
            return
        encoded = scheme.form.encode(evidence)
        if encoded[part] != data:
            raise AssertionError(f"{name}.{part}: decodes, and encodes to other bytes")

    return target


def _public(data: bytes) -> None:
    try:
        public = decode_public(data, check_id="fuzz")
    except MalformedEvidence:
        return
    if encode_public(public) != data:
        raise AssertionError("TPMT_PUBLIC: decodes, and encodes to other bytes")


def _only(reader: Callable[[bytes], object], *allowed: type[BaseException]) -> Callable[[bytes], None]:
    def target(data: bytes) -> None:
        try:
            reader(data)
        except allowed:
            return

    return target


def _answer(data: bytes) -> object:
    return open_answer(data.decode("latin-1"), enc_key=_KEY, expected=_EXPECTED, pin=_PIN, now=0)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "wire-request": _only(wire.parse, MalformedEvidence, EvidenceRejected),
    "wire-challenge": _only(lambda data: wire.parse_model(wire.ChallengeRequest, data), MalformedEvidence),
    "certificate": _only(lambda data: parse_certificate(data, "fuzz"), MalformedEvidence),
    "crl": _only(lambda data: parse_crl(data, "fuzz"), MalformedEvidence),
    "sev-snp-report": _scheme("sev-snp", "report"),
    "tpm2-quote": _scheme("tpm2", "quote"),
    "tpm2-quote-sig": _scheme("tpm2", "quote_sig"),
    "tpm2-pcrs": _scheme("tpm2", "pcrs"),
    "tpm2-public": _public,
    "event-log": _only(decode_log, MalformedEvidence),
    "tpm2-ima": _scheme("tpm2", "ascii_runtime_measurements"),
    **boot.TARGETS,
    "sgx-quote": _scheme("sgx", "quote"),
    "tdx-quote": _scheme("tdx", "quote"),
    "tdx-eventlog": _scheme("tdx", "eventlog"),
    **intel.TARGETS,
    "nvidia-gpu-spdm-report": _scheme("nvidia-gpu", "spdm_report"),
    "nvidia-gpu-cert-chain": _scheme("nvidia-gpu", "cert_chain"),
    "arm-cca-token": _scheme("arm-cca", "cca_token"),
    **devices.TARGETS,
    "aws-nitro-attestation": _scheme("aws-nitro", "attestation"),
    "aws-nitrotpm-attestation": _scheme("aws-nitrotpm", "attestation"),
    "aws-nitrotpm-quote": _scheme("aws-nitrotpm", "quote"),
    "aws-nitrotpm-quote-sig": _scheme("aws-nitrotpm", "quote_sig"),
    "aws-nitrotpm-pcrs": _scheme("aws-nitrotpm", "pcrs"),
    **aws.TARGETS,
    "azure-snp-vtpm-hcl-report": _scheme("azure-snp-vtpm", "hcl_report"),
    "azure-tdx-vtpm-hcl-report": _scheme("azure-tdx-vtpm", "hcl_report"),
    **{f"{name}-quote": _scheme(name, "quote") for name in clouds.CLOUDS},
    **{f"{name}-quote-sig": _scheme(name, "quote_sig") for name in clouds.CLOUDS},
    **clouds.TARGETS,
    **artifacts.TARGETS,
    "documents-yaml": _only(lambda data: read_documents("fuzz", data, json_form=False), ConfigError),
    "documents-json": _only(lambda data: read_documents("fuzz", data, json_form=True), ConfigError),
    "answer": _only(_answer, BridgeError),
}


def main() -> None:
    """Fuzz one target until libFuzzer's options say stop."""
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
