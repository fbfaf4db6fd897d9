"""``tdx`` and ``sgx`` beside dcap-qvl and go-tdx-guest: forged platforms, single fields changed and signed again, mutated bytes.

dcap-qvl is given the same quote, collateral, root and time; beside yes and no, its TCB status and advisories are compared.
go-tdx-guest reads TDX quotes of version 4 and is asked for what it does by default: quote and PCK chain, no collateral.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

import dcap_qvl

from forge.intel import ForgedIntel
from forge.intel_documents import Tee
from forge.intel_quote import Shape
from tests.differential.comparing import Known, Tally, compare, our_verdict, theirs_alone
from tests.differential.mutation import mutate
from tests.support.oracles import Oracles
from tests.support.vectors import Vector, vectors_of, verify_vector
from tests.vectors.dcap.tcb import WORDS
from verifier.formats.errors import BridgeError, named
from verifier.formats.x509chain import ChainCache
from verifier.tee.dcap import layout
from verifier.tee.dcap.verify import evaluation_of
from verifier.tee.registry import SCHEMES
from verifier.tee.scheme import Subject, Verified
from verifier.tee.verified import UnsafeUnbound, run_checks

NOW: Final = 1_780_000_000
_STATUSES: Final = (*WORDS[:6], "Revoked")  # of a platform's level: convergence adds the other words
_QE_STATUSES: Final = ("UpToDate", "OutOfDate", "Revoked")  # what Intel gives a quoting enclave
_SHAPES: Final[Mapping[Tee, tuple[Shape, ...]]] = {
    "sgx": (Shape(version=3),),
    "tdx": (
        Shape(version=4),
        Shape(version=5, body_type=layout.BODY_TD_10),
        Shape(version=5, body_type=layout.BODY_TD_15),
    ),
}
_CHAINS: Final = ChainCache()  # signatures over the same bytes; every question has its own quote
_NEEDS: Final = frozenset(("tcb_info", "tcb_info_chain", "qe_identity", "qe_identity_chain", "pck_crl", "root_crl"))
_QUOTE_CHECKS: Final = ("tdx.chain.", "tdx.qe.", "tdx.quote.")


@dataclass(frozen=True, slots=True)
class Question:
    """One quote with the collateral that it is judged with."""

    name: str
    tee: Tee
    intel: ForgedIntel
    quote: bytes
    collateral: Mapping[str, bytes]


def judge(question: Question) -> Verified[Any, Any]:
    """Judge as the service does up to step 5, unbound."""
    scheme = SCHEMES[question.tee]
    evidence = scheme.form.decode({"quote": question.quote})
    collateral = scheme.collateral.collate(evidence, question.collateral)
    subject = Subject(evidence, collateral, (question.intel.anchor(),), NOW, _CHAINS)
    return run_checks(scheme, subject, UnsafeUnbound())


def _signed_parts(document: bytes, key: str) -> tuple[str, bytes]:
    """Cut inner object and signature out of a signed document, as dcap-qvl wants them."""
    text = document.decode()
    inner = text[text.index(f'"{key}":') + len(key) + 3 : text.rindex(',"signature"')]
    return inner, bytes.fromhex(json.loads(text)["signature"])


def _issuers(chain: bytes) -> bytes:
    """Return a PCK chain without its leaf, PEM."""
    return b"".join(re.findall(rb"-----BEGIN CERT.*?-----END CERTIFICATE-----\n?", chain, re.DOTALL)[1:])


def ask_qvl(
    quote: bytes, given: Mapping[str, bytes], issuers: bytes, root: bytes, now: int
) -> tuple[str, str, tuple[str, ...]]:
    """Return ``(reason of a no, status, advisories)``; ``issuers`` is the PCK chain without its leaf, PEM."""
    tcb_info, tcb_signature = _signed_parts(given["tcb_info"], "tcbInfo")
    qe_identity, qe_signature = _signed_parts(given["qe_identity"], "enclaveIdentity")
    collateral = dcap_qvl.QuoteCollateralV3(
        issuers.decode(),
        given["root_crl"],
        given["pck_crl"],
        given["tcb_info_chain"].decode(),
        tcb_info,
        tcb_signature,
        given["qe_identity_chain"].decode(),
        qe_identity,
        qe_signature,
    )
    try:
        report = dcap_qvl.verify_with_root_ca(quote, collateral, root, now)
    except ValueError as error:
        return str(error) or "no", "", ()
    return "", report.status, tuple(report.advisory_ids)


@lru_cache(maxsize=8)
def _intel(ca: Any) -> ForgedIntel:
    return ForgedIntel(now=NOW, like_intel=True, ca=ca, event_log=None)


def _changed(intel: ForgedIntel, tee: Tee, shape: Shape, dice: random.Random) -> dict[str, Any]:
    """Set one field of the body to something, as a TDX module or an enclave could have reported it."""
    body_type = shape.body_type or (layout.BODY_SGX if tee == "sgx" else layout.BODY_TD_10)
    fields = [f for f in layout.BODIES[body_type].fields if f.kind != "zero" and f.name != "report_data"]
    field = dice.choice(fields)
    values = intel.body(body_type)
    if field.kind == "le":
        return {field.name: dice.choice((0, 1, 2, 0xFF, dice.getrandbits(8 * field.size))) % (1 << (8 * field.size))}
    value = bytearray(values[field.name])  # type: ignore[arg-type]
    value[dice.randrange(len(value))] = dice.choice((0, 1, 2, 3, 255, dice.randrange(256)))
    return {field.name: bytes(value)}


def _collateral(intel: ForgedIntel, tee: Tee, dice: random.Random) -> dict[str, bytes]:
    """Make collateral, mostly wholesome, else with another status, other levels, or of another time."""
    kind = dice.randrange(8)
    if kind == 0:
        return intel.collateral(tee, tcb_info=intel.signed_tcb_info(tee, status=dice.choice(_STATUSES)))
    if kind == 1:
        return intel.collateral(tee, qe_identity=intel.signed_qe_identity(tee, status=dice.choice(_QE_STATUSES)))
    if kind == 2:
        return intel.collateral(tee, tcb_info=intel.signed_tcb_info(tee, fmspc="00606A000000"))
    if kind == 3:
        return intel.collateral(
            tee, tcb_info=intel.signed_tcb_info(tee, issued=NOW + dice.choice((-90, -10, 1)) * 86_400)
        )
    return intel.collateral(tee)


def questions(tee: Tee, seed: int, count: int, shapes: tuple[Shape, ...] = ()) -> Iterator[Question]:
    """Yield wholesome quotes of every shape, then changed fields, other collateral and mutated bytes."""
    dice = random.Random(f"{tee} {seed}")  # noqa: S311 - a seed, so that a finding can be had again
    data = bytes(range(64))
    shapes = shapes or _SHAPES[tee]
    for shape in shapes:
        intel = _intel("platform")
        yield Question(f"{shape}", tee, intel, intel.quote(tee, report_data=data, shape=shape), intel.collateral(tee))
    for number in range(count):
        intel, shape = _intel(dice.choice(("platform", "processor"))), dice.choice(shapes)
        what = f"{tee} v{shape.version} #{number}"
        if number % 3 == 0:
            fields = _changed(intel, tee, shape, dice)
            quote = intel.quote(tee, report_data=data, shape=shape, **fields)
            yield Question(f"{what} {fields}", tee, intel, quote, _collateral(intel, tee, dice))
        elif number % 3 == 1:
            quote = intel.quote(tee, report_data=data, shape=shape)
            yield Question(f"{what} collateral", tee, intel, quote, _collateral(intel, tee, dice))
        else:
            quote = mutate(intel.quote(tee, report_data=data, shape=shape), dice)
            yield Question(f"{what} mutated", tee, intel, quote, intel.collateral(tee))


def _ours_says(name: str, *texts: str) -> Known:
    """Name a refusal of ours alone, by what stands in its reason."""
    return Known(name, lambda ours, theirs: not theirs and any(text in ours for text in texts))


# Each with its clause in docs/adr/0008-differential-tests.md.
_CHAIN: Final = (".chain.root:", ".chain.signature:", ".chain.constraints:", ".endorsement.pck_chain:")
QVL_KNOWN: Final = (
    _ours_says(
        "qvl-1 bytes after the quote or after its certification data", "after the quote:", "more than its parts"
    ),
    _ours_says("qvl-2 what a chain brings beside PCK and CA", *_CHAIN),
    _ours_says("qvl-3 bits that nobody has defined", ".unknown: "),
)
VECTORS_KNOWN: Final = (
    *QVL_KNOWN,
    theirs_alone("qvl-4 containers and order of certificates", "TrailingData", "CaUsedAsEndEntity"),
    theirs_alone("qvl-5 length of the QE auth data", "Invalid QE auth data length"),
    theirs_alone(
        "qvl-6 older and newer forms", "SGX TEE quote must have version 3", "missing field `sgxtcbcomponents`"
    ),
    theirs_alone("qvl-7 components, not CPUSVN", "No matching TCB level found"),
    _ours_says("qvl-7 components, not CPUSVN", "status: NotSupported"),
    theirs_alone("qvl-8 byte order of MISCSELECT", "QE MISCSELECT mismatch"),
    _ours_says("qvl-8 byte order of MISCSELECT", ".qe-identity.miscselect:"),
    _ours_says("qvl-9 documents that Intel does not write", ".endorsement.tcb_info:", ".endorsement.qe_identity:"),
    _ours_says("qvl-10 who may sign documents", ".tcb-info.chain:", ".qe-identity.chain:"),
    _ours_says("qvl-11 pceId", ".tcb-info.pceid:"),
    _ours_says("qvl-12 lists of tomorrow", "_crl: CRL: got time"),
    _ours_says("qvl-13 default rules", ".provision-key:", ".einittoken-key:", ".mrsignerseam:", ".seamattributes:"),
    _ours_says("qvl-14 form of the quote", ".decode.quote:"),
    _ours_says("qvl-15 second half of the QE report data", ".qe.binding:"),
)
GO_KNOWN: Final = (
    theirs_alone("tdx-1 Processor CA", '"Intel SGX PCK Processor CA" is not expected'),
    theirs_alone("tdx-3 root in the chain", "incomplete PCK Certificate chain found"),
    _ours_says(
        "tdx-2 bytes after the quote or after its certification data", "after the quote:", "more than its parts"
    ),
)


# With us these are statuses that no policy can accept; dcap-qvl refuses them outright.
_NEVER: Final = frozenset({"Revoked", "NotSupported"})


def _ours(run: Callable[[], Verified[Any, Any]]) -> tuple[str, str, set[str]]:
    """Return ``(reason of a no, TCB status, advisories)``; the service's default rules count, as dcap-qvl has them built in."""
    try:
        verified = run()
    except BridgeError as error:
        return f"{error.check_id}: {error.detail}", "", set()
    status = verified.scheme.token.tcb_status(verified)
    if status in _NEVER:
        return f"status: {status}", status, set()
    for rule in verified.scheme.appraisal.rules:
        if rule.scope == "service" and not rule.judge(verified, rule.default).ok:
            return f"{rule.id}: {rule.field}", status, set()
    return "", status, set(evaluation_of(verified.evidence.quote, verified.collateral).advisories)


def run_qvl(tee: Tee, *, seed: int, count: int) -> Tally:
    """Compare verdicts with dcap-qvl, and where both say yes TCB status and advisories."""
    tally = Tally()
    for question in questions(tee, seed, count):
        ours, status, mine = _ours(lambda question=question: judge(question))  # type: ignore[misc]
        root = question.intel.anchor().certificate_der
        issuers = _issuers(question.intel.pck_chain())
        theirs, their_status, advisories = ask_qvl(question.quote, question.collateral, issuers, root, NOW)
        compare(tally, question.name, ours, theirs, QVL_KNOWN)
        if not ours and not theirs and (status, mine) != (their_status, set(advisories)):
            tally.unexplained.append(
                f"{question.name}: ours {status} {sorted(mine)} | theirs {their_status} {sorted(advisories)}"
            )
    return tally


def run_vectors(tee: Tee) -> Tally:
    """Compare over every vector of the scheme that has what dcap-qvl asks for: the quote's chain and all collateral."""
    tally = Tally()
    for vector in vectors_of(tee):
        given = vector.collateral
        quote = vector.parts.get("quote", b"")
        roots = [anchor for anchor in vector.anchors if anchor.root == "simulated"]
        if not given.keys() >= _NEEDS or not _issuers(quote) or len(roots) != 1 or vector.endorsements:
            continue
        try:
            theirs = ask_qvl(quote, given, _issuers(quote), roots[0].certificate_der, vector.now)[0]
        except (ValueError, KeyError, TypeError, RecursionError):
            continue  # a document that cannot even be cut into what dcap-qvl takes
        ours = _ours(lambda vector=vector: verify_vector(_unbound(vector), SCHEMES[tee]))[0]  # type: ignore[misc]
        compare(tally, vector.name, ours, theirs, VECTORS_KNOWN)
    return tally


def _unbound(vector: Vector) -> Vector:
    """Leave the challenge out of a vector, and the log: dcap-qvl knows neither."""
    parts = {"quote": vector.parts["quote"]}
    return replace(vector, expected=UnsafeUnbound(), parts=parts)


def _bare(question: Question) -> None:
    """Judge quote and PCK chain alone, as go-tdx-guest does by default: every check of ours that needs no collateral."""
    scheme = SCHEMES["tdx"]
    evidence = scheme.form.decode({"quote": question.quote})
    collateral = scheme.collateral.collate(evidence, {})
    subject = Subject(evidence, collateral, (question.intel.anchor(),), NOW, ChainCache())
    for check in scheme.verification.checks:
        if check.id.startswith(_QUOTE_CHECKS):
            with named(check.id):
                check.run(subject)


def run_go(oracles: Oracles, *, seed: int, count: int) -> Tally:
    """Compare verdicts on quotes of version 4 with go-tdx-guest."""
    tally = Tally()
    for question in questions("tdx", seed, count, _SHAPES["tdx"][:1]):
        root = question.intel.anchor().certificate_der
        said = oracles.ask("tdx", NOW, blobs={"quote": question.quote, "root": root})
        ours = our_verdict(lambda question=question: _bare(question))  # type: ignore[misc]
        compare(tally, question.name, ours, "" if said.ok else said.error or "panic", GO_KNOWN)
    return tally
