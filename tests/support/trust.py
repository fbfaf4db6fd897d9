"""A scheme of two dozen rules for tests of the appraisal, and documents that it accepts."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import Field

from tests.support.schemes import altered
from verifier.appraise.documents import Parsed, parse_document
from verifier.appraise.plain import PlainDocument
from verifier.core.ports import TrustRow
from verifier.core.rules import Judgement, Rule, Scope, TrustClaim
from verifier.formats.x509chain import ChainCache
from verifier.tee import scheme as tee
from verifier.tee.values import Values
from verifier.tee.verified import UnsafeUnbound, run_checks

NOW = 1_780_000_000
Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]


@dataclass(frozen=True, slots=True)
class ToyEvidence:
    """What the toy platform says about itself."""

    debug: bool = False
    migration: bool = False
    svn: int = 7
    chip: str = "c0000001"
    boot: str = "b0000001"
    level: int = 0
    pcrs: tuple[tuple[str, str], ...] = (("8", "00000008"), ("9", "00000009"))
    config: str = "00000000"


class ToyPlatform(Values):
    """Minimum number and chips."""

    min_svn: Annotated[int, Field(ge=0)] | None = None
    chips: Annotated[tuple[Hex, ...], Field(min_length=1)] | None = None


class ToyFirmware(Values):
    """Launch measurement and level."""

    boot: Hex | None = None
    level: int | None = None


class ToyWorkload(Values):
    """PCRs by index."""

    pcrs: dict[Annotated[str, Field(pattern="^[0-9]{1,2}$")], Hex] | None = None
    extra: Hex | None = None


class ToyConfig(Values):
    """Digest of the attester's configuration; all zero where it takes none."""

    digest: Hex


class ToyExceptions(Values):
    """What a policy may except."""

    allow_debug: bool | None = None
    allow_migration: bool | None = None


V = tee.Verified[ToyEvidence, None]


def _equal(field: str) -> Any:
    def judge(verified: V, expected: Any) -> Judgement:
        seen = getattr(verified.evidence, field)
        return Judgement(ok=seen == expected, seen=seen)

    return judge


def _at_least(verified: V, expected: Any) -> Judgement:
    return Judgement(ok=verified.evidence.svn >= expected, seen=verified.evidence.svn)


def _listed(verified: V, expected: Any) -> Judgement:
    return Judgement(ok=verified.evidence.chip in expected, seen=verified.evidence.chip)


def _registers(verified: V, expected: Any) -> Judgement:
    seen = dict(verified.evidence.pcrs)
    return Judgement(ok=all(seen.get(index) == value for index, value in expected.items()), seen=seen)


def _allowed(field: str) -> Any:
    def judge(verified: V, expected: Any) -> Judgement:
        seen = getattr(verified.evidence, field)
        return Judgement(ok=not seen or expected is True, seen=seen)

    return judge


def _rule(id_: str, scope: Scope, field: str, judge: Any, claim: TrustClaim, **more: Any) -> Rule[V]:
    return Rule(id=f"toy.{id_}", scope=scope, field=field, judge=judge, trust_claim=claim, **more)


RULES: tuple[Rule[V], ...] = (
    _rule("debug", "service", "allow_debug", _allowed("debug"), "hardware", default=False),
    _rule("migration", "service", "allow_migration", _allowed("migration"), "hardware", default=False, mandatory=True),
    _rule("svn", "platform", "min_svn", _at_least, "hardware", fails_as=32),
    _rule("chip", "platform", "chips", _listed, "instance-identity"),
    _rule("boot", "firmware", "boot", _equal("boot"), "executables"),
    _rule("level", "firmware", "level", _equal("level"), "configuration", mandatory=True),
    _rule("pcrs", "workload", "pcrs", _registers, "executables"),
    _rule("extra", "workload", "extra", _equal("chip"), "executables"),
    _rule("config", "config", "digest", _equal("config"), "configuration"),
)


TOY_MODELS = tee.IdentityModels(
    {"platform": ToyPlatform, "firmware": ToyFirmware, "workload": ToyWorkload, "config": ToyConfig}, ToyExceptions
)


def toy_scheme(*, rules: tuple[Rule[V], ...] = RULES, name: str = "toy") -> tee.Scheme[ToyEvidence, None]:
    """Return a scheme whose evidence is handed over as it is."""
    return tee.Scheme(
        name=name,
        host_excluded=True,
        form=tee.Form(
            required=frozenset(("report",)),
            decode=lambda _parts: ToyEvidence(),
            encode=lambda _evidence: {},
            claims=lambda evidence: {"boot": evidence.boot},
        ),
        binding=tee.Binding(size="whole", value=lambda _evidence: bytes(64)),
        collateral=tee.CollateralOf(collate=lambda _evidence, _endorsements: None),
        verification=tee.Verification(
            checks=(tee.Check("toy.nothing", lambda _subject: None),), root=lambda _subject: "vendor"
        ),
        appraisal=tee.AppraisalOf(
            rules=rules,
            identity=lambda: TOY_MODELS,
            software=frozenset(("firmware", "workload")),
            fields=(),
            bins={},
        ),
        token=tee.TokenOf(
            measurement=lambda verified, _matched: verified.evidence.boot,
            instance=lambda verified: ("chip", verified.evidence.chip),
            debug_status=lambda evidence: "enabled" if evidence.debug else "disabled",
        ),
    )


def replace_models(scheme: tee.Scheme[ToyEvidence, None], models: Mapping[Any, Any]) -> tee.Scheme[ToyEvidence, None]:
    """Return the scheme with other classes of identities."""
    return altered(scheme, models=models)


TOY = toy_scheme()
SCHEMES: Mapping[str, tee.Scheme[Any, Any]] = {"toy": TOY}


def verified(evidence: ToyEvidence | None = None, scheme: tee.Scheme[ToyEvidence, None] = TOY) -> V:
    """Return evidence that counts as genuine."""
    subject = tee.Subject(evidence or ToyEvidence(), None, (), NOW, ChainCache())
    return run_checks(scheme, subject, UnsafeUnbound())


def identity(kind: str, name: str, values: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Return an identity document."""
    return {
        "document": "identity",
        "scheme": "toy",
        "kind": kind,
        "name": name,
        "tenant": "acme",
        "version": 1,
        "origin": "made up for a test",
        "values": dict(values),
        **more,
    }


def policy(**more: Any) -> dict[str, Any]:
    """Return a policy that accepts ``ToyEvidence()`` with ``identities()``; a key set to ``None`` is left out."""
    document = {
        "document": "policy",
        "name": "default",
        "tenant": "acme",
        "version": 1,
        "scheme": "toy",
        "platform": [{"name": "chips", "version": 1}],
        "firmware": [{"name": "boot", "version": 1}],
        "workload": [{"name": "app", "version": 1}],
        "config": [{"name": "none", "version": 1}],
        "unchecked": ["workload.extra"],
        **more,
    }
    return {key: value for key, value in document.items() if value is not None}


def identities() -> list[dict[str, Any]]:
    """Return the identities that ``policy()`` names."""
    return [
        identity("platform", "chips", {"min_svn": 5, "chips": ["c0000001"]}),
        identity("firmware", "boot", {"boot": "b0000001", "level": 0}),
        identity("workload", "app", {"pcrs": {"8": "00000008", "9": "00000009"}}),
        identity("config", "none", {"digest": "00000000"}),
    ]


def workload(**more: Any) -> dict[str, Any]:
    """Return a workload document that names ``policy()``."""
    return {
        "document": "workload",
        "uuid": "7d6e0f1a-3c5b-4b7e-9a51-0d7f3c2b1a90",
        "name": "payments",
        "tenant": "acme",
        "version": 1,
        "policy": "default",
        "audience": "https://vault.example/v1/auth/attested",
        "vault": {
            "address": "https://vault.example:8200",
            "ca_pem": ca_pem(),
            "mount": "attested",
            "role": "workload",
        },
        "labels": {"team": "pay"},
        "state": "enabled",
        **more,
    }


@lru_cache(maxsize=1)
def ca_pem() -> str:
    """Return a certificate that is a CA's in form."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test CA")])
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    builder = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    )
    builder = builder.not_valid_before(start).not_valid_after(start + dt.timedelta(days=3650))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def parse(document: Mapping[str, Any], where: str = "test.yaml#1") -> Parsed:
    """Parse a document of the toy scheme."""
    return parse_document(PlainDocument(where, json.loads(json.dumps(document))), SCHEMES)


class MemoryTrust:
    """The part of the store that trust documents need, in memory; counts what is asked of it."""

    def __init__(self) -> None:
        self.digest = ""
        self.number = 0
        self.rows: dict[tuple[str, str, str], dict[int, str]] = {}
        self.marks: dict[str, int] = {}
        self.reads = 0

    def trust_digest(self) -> str:
        """Return the digest of what was put in last."""
        self.reads += 1
        return self.digest

    def trust_number(self) -> int:
        """Return how often the rows were replaced."""
        return self.number

    def trust_rows(self) -> list[TrustRow]:
        """Return every document."""
        return [
            TrustRow(kind, tenant, name, version, body)  # type: ignore[arg-type] # only rows were put in
            for (kind, tenant, name), versions in self.rows.items()
            for version, body in versions.items()
            if tenant
        ]

    def trust_history(self, kind: str) -> dict[str, str]:
        """Return the history rows of a kind."""
        return {
            name: versions[max(versions)]
            for (of_kind, tenant, name), versions in self.rows.items()
            if of_kind == kind and not tenant
        }

    def keep_trust_history(self, rows: Any) -> None:
        """Add history rows."""
        for row in rows:
            self.rows.setdefault((row.kind, "", row.name), {}).setdefault(row.version, row.body)

    def replace_trust(self, digest: str, rows: Any, *, after: int | None = None) -> bool:
        """Replace all rows but history (tenant ""); a key given twice fails, as in the database."""
        if after not in (None, self.number):
            return False
        table: dict[tuple[str, str, str], dict[int, str]] = {k: v for k, v in self.rows.items() if not k[1]}
        for row in rows:
            assert isinstance(row, TrustRow)
            versions = table.setdefault((row.kind, row.tenant, row.name), {})
            if not row.tenant and row.version in versions:
                continue
            assert row.version not in versions
            versions[row.version] = row.body
        self.digest, self.rows, self.number = digest, table, self.number + 1
        return True

    def trust_document(self, kind: str, tenant: str, name: str, version: int | None = None) -> str | None:
        """Return a document, the newest version where none is named."""
        self.reads += 1
        versions = self.rows.get((kind, tenant, name), {})
        return versions.get(max(versions, default=0) if version is None else version)

    def high_water(self, issuer: str) -> int | None:
        """Return a mark."""
        return self.marks.get(issuer)

    def raise_high_water(self, issuer: str, number: int) -> bool:
        """Raise a mark; false below it."""
        if number < self.marks.get(issuer, 0):
            return False
        self.marks[issuer] = number
        return True
