"""Is the document wanted? One id each; docs/tee/aws-nitro.md says what each means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from verifier.core.rules import Judgement, Rule, Scope
from verifier.tee.aws_nitro import layout
from verifier.tee.aws_nitro.decode import Document
from verifier.tee.aws_nitro.verify import Collateral
from verifier.tee.judges import Rows, extended_once, one_of, registers, same, say
from verifier.tee.scheme import Bin, Verified

NitroVerified: TypeAlias = Verified[Document, Collateral]
DocumentOf: TypeAlias = Callable[[Verified[Any, Any]], Document]
_MS: Final = 1000
MAX_SKEW: Final = 5  # seconds: clocks of AWS and of this verifier


def instance_of(document: Document) -> str:
    """Return the parent's EC2 instance id: module_id up to its enclave or TPM (``i-0123-enc0456``)."""
    return document.module_id.rpartition("-")[0]


Judge: TypeAlias = Callable[[Document, Verified[Any, Any], Any], Judgement]


def _future(document: Document, verified: Verified[Any, Any], skew: Any) -> Judgement:
    seen, latest = document.timestamp, (verified.now + skew) * _MS
    return say(seen <= latest, seen, f"timestamp: got {seen - latest} ms beyond, want at most {skew} s in the future")


def _max_age(document: Document, verified: Verified[Any, Any], expected: Any) -> Judgement:
    age = verified.now - document.timestamp // _MS
    return say(age <= expected, age, f"age: got {age} s, want at most {expected} s")


def document_rules(row: Rows, document_of: DocumentOf, *, prefix: str = "") -> tuple[Rule[Any], ...]:
    """Return the rules that documents of enclaves and of NitroTPMs share. ``prefix``: of the composite's layout fields."""

    def over(judge: Judge) -> Callable[[Verified[Any, Any], Any], Judgement]:
        return lambda verified, expected: judge(document_of(verified), verified, expected)

    root = same(lambda verified: verified.root)
    instance = one_of("EC2 instance", lambda verified: instance_of(document_of(verified)))
    time = f"{prefix}{layout.TIMESTAMP}"
    return (
        row("timestamp.future", "service.max_skew", over(_future), "hardware", time, default=MAX_SKEW),
        row("platform.root", "platform.root", root, "instance-identity", f"{prefix}{layout.CABUNDLE}"),
        row("platform.instances", "platform.instances", instance, "instance-identity", f"{prefix}{layout.MODULE_ID}"),
        row("platform.max-age", "platform.max_age", over(_max_age), "hardware", time, fails_as=32),
    )


def _debug(verified: NitroVerified, allowed: Any) -> Judgement:
    zero = verified.evidence.unmeasured
    named = ", ".join(f"PCR{index}" for index in zero)
    detail = f"{named}: got all zero or nothing, want a measured image"
    return say(not zero or allowed is True, {"debug": bool(zero)}, detail)


def _measures_image(expected: Any) -> bool:
    """PCR0 is the image, PCR1 and PCR2 are its halves, PCR8 is who signed it; role, instance and users' PCRs say nothing of it."""
    return "0" in expected or "8" in expected or ("1" in expected and "2" in expected)


def _pcrs(verified: NitroVerified) -> Mapping[int, bytes]:
    return verified.evidence.pcrs


_ROW: Final = Rows(layout.NAME)
# Absent and zero both mean never extended.
_EXTENDED: Final = extended_once("PCR", _pcrs, layout.extended_once, absent=bytes(layout.PCR_SIZE))
# fmt: off
RULES: Final[tuple[Rule[NitroVerified], ...]] = (
    _ROW("pcrs.debug", "service.allow_debug", _debug, "runtime-opaque", layout.PCRS, default=False),
    *document_rules(_ROW, lambda verified: verified.evidence),
    _ROW("workload.pcrs", "workload.pcrs", registers("PCR", _pcrs), "executables", layout.PCRS, measures=_measures_image),
    _ROW("config.extended", "config.extended", _EXTENDED, "configuration", layout.PCRS, mandatory=True),
)
# fmt: on

_BINS: Final[Mapping[str, Bin]] = {
    "protected": "bound",  # with the payload under the signature
    "unprotected": "ignored",  # it is not signed and not read
    "signature": "bound",
    layout.MODULE_ID: "rules",
    layout.DIGEST: "ignored",  # has one value only
    layout.TIMESTAMP: "rules",
    layout.PCRS: "rules",
    layout.CERTIFICATE: "bound",
    layout.CABUNDLE: "rules",
    layout.PUBLIC_KEY: "bound",
    layout.USER_DATA: "bound",
    layout.NONCE: "bound",
}
BINS: Final[Mapping[str, Bin]] = MappingProxyType({name: _BINS[name] for name in layout.FIELDS})


def observe(verified: NitroVerified) -> Mapping[Scope, Mapping[str, Any]]:
    """Say what an identity of this enclave says: its image's PCRs, its root and its instance."""
    document = verified.evidence
    used = {str(i): v.hex() for i, v in document.pcrs.items() if i in layout.IMAGE_PCRS}
    return {
        "platform": {"root": verified.root, "instances": [instance_of(document)], "max_age": None},
        "workload": {"pcrs": used},
    }
