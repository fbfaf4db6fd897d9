"""Cases that nobody published: a published case with something about it changed, written to a folder at test time.

Nothing of the evidence is kept: a derived case lives in memory and in the test's own temporary folder. Each says what verdict it
has to get and, where that is ``invalid``, which check ids name its one fault.
"""

from __future__ import annotations

import base64
import copy
import datetime as dt
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.parts import evidence_root


@dataclass(slots=True)
class Case:
    """A case that may be changed: files by name, and ``case.json`` without its file lists. What changes it returns it."""

    platform: str
    name: str
    evidence: dict[str, bytes]
    collateral: dict[str, bytes]
    document: dict[str, Any]

    @property
    def policy(self) -> dict[str, Any]:
        """The case's policy, to be changed in place."""
        found: dict[str, Any] = self.document["policy"]
        return found

    @property
    def is_valid(self) -> bool:
        """Tell what the publisher of the case expects."""
        return bool(self.document["expect"] == "valid")

    def part(self, name: str) -> bytes:
        """Return a file, wherever it stands."""
        return self.evidence[name] if name in self.evidence else self.collateral[name]

    def put(self, name: str, data: bytes) -> Case:
        """Replace a file, or add one to the evidence."""
        place = self.collateral if name in self.collateral else self.evidence
        place[name] = data
        return self

    def drop(self, *names: str) -> Case:
        """Take files out."""
        for name in names:
            self.evidence.pop(name, None)
            self.collateral.pop(name, None)
        return self

    def rename(self, old: str, new: str, data: bytes | None = None) -> Case:
        """Give a file another name, and another form."""
        place = self.evidence if old in self.evidence else self.collateral
        place[new] = place.pop(old) if data is None else (place.pop(old), data)[1]
        return self

    def flip(self, name: str, offset: int, mask: int = 1) -> Case:
        """Turn bits of one byte over."""
        data = bytearray(self.part(name))
        data[offset] ^= mask
        return self.put(name, bytes(data))

    def at(self, moment: int | dt.datetime) -> Case:
        """Judge at another time."""
        when = dt.datetime.fromtimestamp(moment, dt.UTC) if isinstance(moment, int) else moment
        self.document["verify_at"] = when.isoformat().replace("+00:00", "Z")
        return self

    def copy(self) -> Case:
        """Return a copy that no later change reaches."""
        return Case(self.platform, self.name, dict(self.evidence), dict(self.collateral), copy.deepcopy(self.document))

    def write(self, folder: Path) -> Path:
        """Write it out as ``docs/cases.md`` lays it out."""
        folder.mkdir(parents=True, exist_ok=True)
        files = {**self.evidence, **self.collateral}
        for name, data in files.items():
            (folder / name).write_bytes(data)
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        stated = {**self.document, "evidence": list(self.evidence), "collateral": list(self.collateral)}
        (folder / "case.json").write_text(json.dumps({**stated, "sha256": digests}), encoding="utf-8")
        return folder


@dataclass(frozen=True, slots=True)
class Derived:
    """One derived case. ``ids``: the check ids that fit (``invalid`` alone). ``same_claims``: those of the original hold."""

    id: str
    case: Case
    ids: frozenset[str] = frozenset()
    same_claims: bool = field(default=True)
    kept: tuple[str, ...] = ()

    @property
    def expect(self) -> str:
        """``invalid`` where some check has to say no."""
        return "invalid" if self.ids else "valid"


Recipe = Callable[[], Iterator[Derived]]


@cache
def _published(platform: str, name: str) -> Case:
    root = evidence_root()
    if root is None:
        raise LookupError("EVIDENCE_CASES names no folder of published evidence")
    folder = root / platform / name
    document = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    evidence, collateral = ({n: (folder / n).read_bytes() for n in document.pop(k)} for k in ("evidence", "collateral"))
    return Case(platform, name, evidence, collateral, document)


def base(platform: str, name: str) -> Case:
    """Return a copy of a published case."""
    return _published(platform, name).copy()


def published(platform: str, *, only_valid: bool = True) -> tuple[Case, ...]:
    """Return copies of a platform's published cases."""
    root = evidence_root()
    names = [] if root is None else sorted(p.parent.name for p in root.glob(f"{platform}/*/case.json"))
    cases = [base(platform, name) for name in names]
    return tuple(case for case in cases if case.is_valid or not only_valid)


def valid(case: Case, what: str, *, same_claims: bool = True) -> Derived:
    """State that a change changes nothing."""
    return Derived(f"{case.platform}/{case.name}: {what}", case.copy(), same_claims=same_claims)


def invalid(case: Case, what: str, *ids: str, same_claims: bool = False, kept: tuple[str, ...] = ()) -> Derived:
    """State which checks name the fault; ``kept``: the claims that hold all the same."""
    name = f"{case.platform}/{case.name}: {what}"
    return Derived(name, case.copy(), frozenset(ids), same_claims=same_claims, kept=kept)


def pem(der: bytes, label: str = "CERTIFICATE", end: bytes = b"\n") -> bytes:
    """Write one PEM block."""
    text = base64.b64encode(der)
    lines = [text[i : i + 64] for i in range(0, len(text), 64)]
    name = label.encode()
    return end.join([b"-----BEGIN " + name + b"-----", *lines, b"-----END " + name + b"-----", b""])


def upside_down(chain: bytes) -> bytes:
    """Turn the order of a PEM chain's certificates over."""
    end = b"-----END CERTIFICATE-----"
    blocks = [block.strip() + b"\n" + end + b"\n" for block in chain.split(end) if b"-----BEGIN" in block]
    return b"".join(reversed(blocks))


def pem_forms(text: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the ways in which sources write one and the same PEM."""
    yield "CRLF", text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    yield "no newline at the end", text.rstrip(b"\r\n\0")
    yield "NUL at the end", text.rstrip(b"\r\n\0") + b"\n\0"
    yield "text before", b"Bag Attributes: <none>\nsubject=CN = somebody\n" + text
    yield "blank lines between", text.replace(b"-----BEGIN", b"\n\n-----BEGIN")
