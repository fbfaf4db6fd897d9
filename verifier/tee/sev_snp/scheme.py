"""The scheme's record: what ``sev_snp`` hands to the registry."""

from __future__ import annotations

from importlib.resources import files
from types import MappingProxyType
from typing import Final

from verifier.formats.x509chain import Anchor
from verifier.tee.scheme import Scheme
from verifier.tee.sev_snp import identity, layout, rules, verify
from verifier.tee.sev_snp.decode import Report, decode, encode, evidence_claims
from verifier.tee.sev_snp.layout import PRODUCTS
from verifier.tee.sev_snp.observe import observe
from verifier.tee.sev_snp.verify import SnpCollateral


def _pinned(product: str) -> Anchor:
    """Read an ARK of this package; its digests are pinned by a test."""
    der = files("verifier.tee.sev_snp").joinpath("anchors", f"ark_{product.lower()}.der").read_bytes()
    return Anchor(f"ARK-{product}", der, "vendor")


ANCHORS: Final = tuple(_pinned(product) for product in PRODUCTS)


def _debug_status(report: Report) -> str:
    """EAT dbgstat (RFC 9711 section 4.2.9): the guest policy is fixed at launch."""
    return "enabled" if report.is_debug else "disabled-since-boot"


SCHEME: Final[Scheme[Report, SnpCollateral]] = Scheme(
    name=verify.NAME,
    host_excluded=True,
    required_parts=frozenset({"report"}),
    endorsement_names=verify.ENDORSEMENTS,
    binding_size="whole",
    decode=decode,
    encode=encode,
    bound_value=lambda report: report.report_data,
    needs=verify.needs,
    collate=verify.collate,
    checks=verify.CHECKS,
    anchors=ANCHORS,
    rules=rules.RULES,
    identity_models=MappingProxyType(
        {
            "platform": identity.PlatformValues,
            "firmware": identity.FirmwareValues,
            "config": identity.ConfigValues,
        }
    ),
    exceptions_model=identity.Exceptions,
    layout_fields=layout.FIELDS,
    bins=rules.BINS,
    evidence_claims=evidence_claims,
    root=verify.root_of,
    measurement=lambda verified, _matched: verified.evidence.measurement.hex(),
    instance=rules.instance,
    debug_status=_debug_status,
    mandatory_rules=frozenset({"sev-snp.signing-key.kind"}),
    marks=verify.marks,
    software_classes=frozenset({"firmware"}),
    observe=observe,
)
