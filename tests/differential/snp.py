"""``sev-snp`` beside go-sev-guest: forged reports of every product, with single fields changed and signed again, and mutated bytes."""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from forge.sev_snp import ForgedAmd
from tests.differential.comparing import Known, Tally, compare, our_verdict, ours_alone, theirs_alone
from tests.differential.mutation import mutate_one
from tests.support.oracles import Oracles
from tests.support.vectors import Vector
from verifier.formats.x509chain import Anchor, ChainCache
from verifier.tee.scheme import Subject, Verified
from verifier.tee.sev_snp import layout
from verifier.tee.sev_snp.scheme import SCHEME
from verifier.tee.verified import UnsafeUnbound, run_checks

NOW: Final = 1_780_000_000
_NAME: Final = "Advanced Micro Devices"
_WORDS: Final = (0, 1, 2, 3, 4, 5, 6, 0x1F, 0x40, 0x7F, 0xFF, 0x100, 0x30000, 0xB0000, 0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class Machine:
    """A forged chip with AMD's own names over its keys, so that a verifier that reads names is content."""

    amd: ForgedAmd
    version: int

    def blobs(self, **fields: Any) -> dict[str, bytes]:
        """Return a report with these fields, signed, and its certificates."""
        report = self.amd.report(**{"report_data": bytes(range(64)), "version": self.version, **fields})
        return {"report": report, **self.amd.endorsements(), "ark": self.amd.ark()}


def machines() -> tuple[Machine, ...]:
    """Return one of every kind: product, kind of key, report version."""
    made = [
        Machine(ForgedAmd(product, now=NOW, like_amd=True), version)
        for product in layout.PRODUCTS
        for version in (2, 3, 5)
        if not (product == "Turin" and version == 2)
    ]
    vlek = ForgedAmd("Milan", now=NOW, like_amd=True, csp_id="CN=cc-us-east-2.amazonaws.com")
    return (*made, Machine(vlek, 3))


def judge(machine: Machine, blobs: Mapping[str, bytes]) -> Verified[Any, Any]:
    """Judge as a case without a CRL is: chain, signature, every tie; nothing of what a policy wants."""
    amd = machine.amd
    report = SCHEME.form.decode({"report": blobs["report"]})
    collateral = SCHEME.collateral.collate(report, {name: blobs[name] for name in (amd.kind, "ask")})
    collateral = replace(collateral, crl_required=False)
    anchor = Anchor("forged", amd.ark(), "simulated")
    return run_checks(SCHEME, Subject(report, collateral, (anchor,), NOW, ChainCache()), UnsafeUnbound())


def _changed_fields(machine: Machine, dice: random.Random) -> dict[str, Any]:
    """Set one or two fields to something, as AMD's firmware could have signed it."""
    table = layout.LAYOUTS[machine.version]
    fields = [f for f in table.fields if f.kind != "zero" and f.name not in ("version", "signature_r", "signature_s")]
    changes: dict[str, Any] = {}
    for field in dice.sample(fields, dice.choice((1, 1, 2))):
        if field.kind == "le":
            changes[field.name] = dice.choice((*_WORDS, dice.getrandbits(8 * field.size))) % (1 << (8 * field.size))
        else:
            value = bytearray(machine.amd.fields(machine.version).get(field.name, bytes(field.size)))
            value[dice.randrange(len(value))] = dice.choice((0, 1, 255, dice.randrange(256)))
            changes[field.name] = bytes(value)
    return changes


def inputs(seed: int, count: int) -> Iterator[tuple[str, Machine, dict[str, bytes]]]:
    """Yield named inputs: each machine as it is, then changed fields and mutated bytes in turn."""
    dice = random.Random(seed)  # noqa: S311 - a seed, so that a finding can be had again
    all_machines = machines()
    for machine in all_machines:
        yield f"{machine.amd.product} v{machine.version} whole", machine, machine.blobs()
    for number in range(count):
        machine = dice.choice(all_machines)
        what = f"{machine.amd.product} {machine.amd.kind} v{machine.version} #{number}"
        if number % 2:
            fields = _changed_fields(machine, dice)
            yield f"{what} {fields}", machine, machine.blobs(**fields)
        else:
            blobs = machine.blobs()
            fixed = {"ark": blobs.pop("ark")}
            yield f"{what} mutated", machine, {**mutate_one(blobs, dice, "report"), **fixed}


# Each with its clause in docs/adr/0008-differential-tests.md.
KNOWN: Final[tuple[Known, ...]] = (
    theirs_alone("snp-1 fmc", "not an AMD KDS OID: 1.3.6.1.4.1.3704.1.3.9"),
    theirs_alone("snp-2 product name without stepping", 'unknown product name (new stepping published?): "Genoa"'),
    theirs_alone("snp-3 stepping above 15", "report signature verification error"),
    theirs_alone("snp-4 models of Milan", "could not be verified by any trusted roots. Last error: <nil>"),
    theirs_alone("snp-5 guest policy", "malformed guest policy"),
    ours_alone("snp-6 committed TCB", "sev-snp.tcb.committed"),
    ours_alone("snp-7 VMPL", "sev-snp.report.vmpl"),
    ours_alone("snp-8 reserved bytes of a TCB", "sev-snp.decode.report"),
    ours_alone("snp-9 chip", "sev-snp.chip-id"),
    ours_alone("snp-10 reported TCB", "sev-snp.tcb.reported"),
    ours_alone("snp-11 masked chip key", "sev-snp.mask-chip-key"),
    ours_alone("snp-12 product of the certificate", "sev-snp.product"),
    Known(
        "snp-12 product of the certificate",
        lambda ours, theirs: ours.startswith("sev-snp.endorsement.") and "productName" in ours and not theirs,
    ),
)


def vectors() -> tuple[Vector, ...]:
    """Return the scheme's own vectors, forged anew under AMD's own names: go-sev-guest reads those."""
    names = ("tests.vectors.sev_snp.forging", "tests.vectors.sev_snp.unwanted", "tests.vectors.sev_snp.recipes")
    defaults: Any = ForgedAmd.__init__.__kwdefaults__
    kept = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    defaults["like_amd"] = True
    try:
        made: tuple[Vector, ...] = importlib.import_module(names[-1]).vectors()
    finally:
        defaults["like_amd"] = False
        for name in names:
            sys.modules.pop(name, None)
        sys.modules |= kept
    return made


def _judge_vector(vector: Vector) -> Verified[Any, Any]:
    """Run a vector's checks alone, without CRL: what go-sev-guest answers for offline."""
    report = SCHEME.form.decode(vector.parts)
    collateral = SCHEME.collateral.collate(report, vector.endorsements)
    collateral = replace(collateral, crl_required=False)
    return run_checks(SCHEME, Subject(report, collateral, vector.anchors, vector.now, ChainCache()), UnsafeUnbound())


def run_vectors(oracles: Oracles) -> Tally:
    """Compare over every vector that has what go-sev-guest asks for: report, VCEK or VLEK, ASK and one root."""
    tally = Tally()
    for vector in vectors():
        given = dict(vector.endorsements)
        roots = [anchor for anchor in vector.anchors if anchor.root == "simulated"]
        if "report" not in vector.parts or "ask" not in given or len(given.keys() & {"vcek", "vlek"}) != 1:
            continue
        if len(roots) != 1 or any(not data.startswith(b"\x30") for data in given.values()):
            continue  # PEM, or no certificate at all: a question of containers, which is each one's own
        blobs = {"ark": roots[0].certificate_der, **given, "report": vector.parts["report"]}
        product = roots[0].name.removeprefix("simulated ARK-")
        said = oracles.ask("snp", vector.now, blobs=blobs, texts={"product": product})
        ours = our_verdict(lambda vector=vector: _judge_vector(vector))  # type: ignore[misc]
        compare(tally, vector.name, ours, "" if said.ok else said.error or "panic", KNOWN)
    return tally


def run(oracles: Oracles, *, seed: int, count: int) -> Tally:
    """Compare over ``count`` inputs and one of each kind."""
    tally = Tally()
    for name, machine, blobs in inputs(seed, count):
        ours = our_verdict(lambda machine=machine, blobs=blobs: judge(machine, blobs))  # type: ignore[misc]
        said = oracles.ask("snp", NOW, blobs=blobs, texts={"product": machine.amd.product})
        compare(tally, name, ours, "" if said.ok else said.error or "panic", KNOWN)
    return tally
