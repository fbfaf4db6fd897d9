"""Is the document wanted? Rules of design.md section 5, one id each; docs/tee/aws-nitro.md says what each means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from verifier.core.rules import Judgement, Rule
from verifier.tee.aws_nitro import layout
from verifier.tee.aws_nitro.decode import Document
from verifier.tee.aws_nitro.verify import Collateral
from verifier.tee.scheme import Bin, Verified

NitroVerified: TypeAlias = Verified[Document, Collateral]
DocumentOf: TypeAlias = Callable[[Verified[Any, Any]], Document]
_MS: Final = 1000
MAX_SKEW: Final = 5  # seconds: clocks of AWS and of this verifier (design.md section 5, "Collateral")


def instance_of(document: Document) -> str:
    """Return the parent's EC2 instance id: module_id up to its enclave or TPM (``i-0123-enc0456``)."""
    return document.module_id.rpartition("-")[0]


Judge: TypeAlias = Callable[[Document, Verified[Any, Any], Any], Judgement]


def _future(document: Document, verified: Verified[Any, Any], skew: Any) -> Judgement:
    seen, latest = document.timestamp, (verified.now + skew) * _MS
    detail = "" if seen <= latest else f"timestamp: got {seen - latest} ms beyond, want at most {skew} s in the future"
    return Judgement(seen <= latest, seen, detail)


def _root(_document: Document, verified: Verified[Any, Any], expected: Any) -> Judgement:
    return Judgement(verified.root == expected, verified.root)


def _instances(document: Document, _verified: Verified[Any, Any], expected: Any) -> Judgement:
    seen = instance_of(document)
    ok = bool(seen) and seen in expected
    return Judgement(ok, seen, "" if ok else f"EC2 instance: got {seen or 'none'}, want one of {len(expected)} listed")


def _max_age(document: Document, verified: Verified[Any, Any], expected: Any) -> Judgement:
    age = verified.now - document.timestamp // _MS
    return Judgement(age <= expected, age, "" if age <= expected else f"age: got {age} s, want at most {expected} s")


def document_rules(scheme: str, document_of: DocumentOf, *, prefix: str = "") -> tuple[Rule[Any], ...]:
    """Return the rules that documents of enclaves and of NitroTPMs share. ``prefix``: of the composite's layout fields."""

    def over(judge: Judge) -> Callable[[Verified[Any, Any], Any], Judgement]:
        return lambda verified, expected: judge(document_of(verified), verified, expected)

    timestamp = (f"{prefix}{layout.TIMESTAMP}",)
    return (
        Rule(
            id=f"{scheme}.timestamp.future",
            scope="service",
            field="max_skew",
            judge=over(_future),
            layout_fields=timestamp,
            default=MAX_SKEW,
            trust_claim="hardware",
            remedy="set the verifier's clock",
        ),
        Rule(
            id=f"{scheme}.platform.root",
            scope="platform",
            field="root",
            judge=over(_root),
            layout_fields=(f"{prefix}{layout.CABUNDLE}",),
            trust_claim="instance-identity",
            remedy="name the root that this machine's documents end in as the platform identity's root",
        ),
        Rule(
            id=f"{scheme}.platform.instances",
            scope="platform",
            field="instances",
            judge=over(_instances),
            layout_fields=(f"{prefix}{layout.MODULE_ID}",),
            trust_claim="instance-identity",
            remedy="add the EC2 instance to the platform identity's instances",
        ),
        Rule(
            id=f"{scheme}.platform.max-age",
            scope="platform",
            field="max_age",
            judge=over(_max_age),
            layout_fields=timestamp,
            trust_claim="hardware",
            fails_as=32,
            remedy="have the attester ask for a new document for each request, or raise the platform identity's max_age",
        ),
    )


def compare_pcrs(values: Mapping[int, bytes], expected: Any) -> Judgement:
    """Compare PCR values by index; one that is not there differs, none named is a failure."""
    if not expected:
        return Judgement(ok=False, seen=None, detail="pcrs: got nothing to compare, want at least one PCR")
    seen = {index: values[int(index)].hex() if int(index) in values else None for index in expected}
    wrong = sorted((index for index in expected if seen[index] != expected[index]), key=int)
    detail = "; ".join(f"PCR{index}: got {seen[index] or 'nothing'}, want {expected[index]}" for index in wrong)
    return Judgement(not wrong, seen, detail)


def compare_extended(values: Mapping[int, bytes], expected: Any) -> Judgement:
    """Compare a PCR with what one extend with the configuration's digest gives; absent and zero both mean never extended."""
    pcr, digest = expected.get("pcr"), expected.get("digest")
    value = values.get(pcr, bytes(layout.PCR_SIZE))
    want = bytes(layout.PCR_SIZE) if digest == "none" else layout.extended_once(bytes.fromhex(digest))
    detail = "" if value == want else f"PCR{pcr}: got {value.hex()}, want {want.hex()} ({digest} extended once)"
    return Judgement(value == want, {"pcr": pcr, "value": value.hex()}, detail)


def _debug(verified: NitroVerified, allowed: Any) -> Judgement:
    zero = verified.evidence.unmeasured
    ok = not zero or allowed is True
    named = ", ".join(f"PCR{index}" for index in zero)
    return Judgement(
        ok, {"debug": bool(zero)}, "" if ok else f"{named}: got all zero or nothing, want a measured image"
    )


def _pcrs(verified: NitroVerified, expected: Any) -> Judgement:
    return compare_pcrs(verified.evidence.pcrs, expected)


def _measures_image(expected: Any) -> bool:
    """PCR0 is the image, PCR1 and PCR2 are its halves, PCR8 is who signed it; role, instance and users' PCRs say nothing of it."""
    return "0" in expected or "8" in expected or ("1" in expected and "2" in expected)


def _extended(verified: NitroVerified, expected: Any) -> Judgement:
    return compare_extended(verified.evidence.pcrs, expected)


RULES: Final[tuple[Rule[NitroVerified], ...]] = (
    Rule(
        id="aws-nitro.pcrs.debug",
        scope="service",
        field="allow_debug",
        judge=_debug,
        layout_fields=(layout.PCRS,),
        default=False,
        trust_claim="runtime-opaque",
        remedy="run the enclave without --debug-mode, or, in a simulated process, name allow_debug in the policy",
    ),
    *document_rules(layout.NAME, lambda verified: verified.evidence),
    Rule(
        id="aws-nitro.workload.pcrs",
        scope="workload",
        field="pcrs",
        judge=_pcrs,
        measures=_measures_image,
        layout_fields=(layout.PCRS,),
        remedy="compare with what nitro-cli build-enclave printed for this image; after an update, publish a new version",
    ),
    Rule(
        id="aws-nitro.config.extended",
        scope="config",
        field="extended",
        judge=_extended,
        layout_fields=(layout.PCRS,),
        trust_claim="configuration",
        remedy="restart the enclave and let the attester extend and lock the PCR that the identity names",
        mandatory=True,
    ),
)

_BINS: Final[Mapping[str, Bin]] = {
    "protected": "bound",  # with the payload under the signature
    "unprotected": "ignored",  # nobody signs it, nobody reads it
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
