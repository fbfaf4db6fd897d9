"""Is the report genuine? Chain from AMD's pinned root, signature, and every tie between report and certificate.

What each check means, and what is not checked, stands in docs/tee/sev-snp.md. The signature comes right after the chain:
nothing that the report says is compared before AMD's key has vouched for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

from verifier.formats import ecdsa
from verifier.formats.encoding import sha256
from verifier.formats.errors import CannotDecide, Failed, mismatch
from verifier.formats.pem import pem_or_der
from verifier.formats.x509 import (
    Certificate,
    Crl,
    SignatureAlgorithm,
    common_name,
    parse_certificate,
    parse_crl,
)
from verifier.formats.x509chain import Anchor, Path, Profile, check_crls, check_revocation, is_crl_of
from verifier.tee.chain import WHY_ROOT, ChainSteps
from verifier.tee.scheme import Check, Mark, Need, Subject
from verifier.tee.sev_snp import layout
from verifier.tee.sev_snp.decode import Report, Vek, read_vek, tcb_parts
from verifier.tee.sev_snp.layout import Product

NAME: Final = "sev-snp"
ENDORSEMENTS: Final = frozenset({"vcek", "vlek", "ask", "ark"})
CRL: Final = "sev-snp.endorsement.crl"
# VCEK, ASK or ASVK, ARK: each signed by RSASSA-PSS with SHA-384 and a salt of 48 bytes (57230).
PROFILE: Final = Profile(algorithms=frozenset({SignatureAlgorithm("rsa-pss", "sha384")}), max_length=3)


_MAX_PEM: Final = 128 * 1024
_CRLS: Final = ("crl", "genoa_crl")
_NAMES: Final = ("vcek", "vlek", "ask", "ark", *_CRLS)
_CRL_NUMBERS: Final = 1 << 159


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SnpCollateral:
    """Certificates as they came, leaf first, and CRLs from the verifier's own source; all unverified.

    ``crl_required`` is false only where a published case brings no CRL (``case.py``); the service always requires it.
    """

    vek: Vek | None
    chain: tuple[Certificate, ...]
    crls: tuple[Crl, ...] = ()
    crl_required: bool = True


Snp: TypeAlias = Subject[Report, SnpCollateral]


def vek_name(report: Report) -> str:
    """Return which endorsement the report's SIGNING_KEY names: ``vlek``, or ``vcek`` for all else."""
    return "vlek" if report.signing_key == layout.SIGNING_VLEK else "vcek"


def needs(report: Report, have: Mapping[str, bytes]) -> tuple[Need, ...]:
    """Ask for what did not come with the evidence, and for the ARK's CRL, which never may.

    A version 2 report does not name its product: its certificate does, and so ``opens`` the intermediate's name. Both CRLs that
    it could fall under are asked for, and the check demands the right one.
    """
    kind = vek_name(report)
    product = report.product
    asked: list[Need] = []
    if kind not in have:
        chip = report.chip_id.hex() if kind == "vcek" else "vlek"
        key = f"{product or 'unknown'}-{chip}-{report.reported_tcb.hex()}"
        asked.append(Need(kind, f"sev-snp.{kind}", key, opens=product is None))
    elif product is None and "ask" not in have:
        vek = collate(report, {kind: have[kind]}).vek
        product = None if vek is None else vek.product
    if "ask" not in have and product is not None:
        asked.append(Need("ask", "sev-snp.ask", f"{product}-{kind}"))
    if report.product is not None:
        asked.append(Need("crl", "sev-snp.crl", report.product))
    else:
        asked.append(Need("crl", "sev-snp.crl", "Milan", required=False))
        asked.append(Need("genoa_crl", "sev-snp.crl", "Genoa", required=False))
    return tuple(asked)


def collate(report: Report, given: Mapping[str, bytes]) -> SnpCollateral:
    """Read certificates and CRLs, DER or PEM; ``MalformedEvidence('sev-snp.endorsement.<name>')``. Cached by their DER."""
    # Any client may write text around a PEM block. It is not kept.
    return _collate(vek_name(report), *(_given_der(name, given.get(name)) for name in _NAMES))


def _given_der(name: str, raw: bytes | None) -> bytes | None:
    if raw is None:
        return None
    if name in _CRLS:
        return pem_or_der(raw, "X509 CRL", CRL, name, limit=_MAX_PEM)
    return pem_or_der(raw, "CERTIFICATE", f"{NAME}.endorsement.{name}", name, limit=_MAX_PEM)


@lru_cache(maxsize=1024)
def _collate(kind: str, *data: bytes | None) -> SnpCollateral:
    read: dict[str, Certificate] = {}
    veks: dict[str, Vek] = {}
    crls: list[Crl] = []
    for name, raw in zip(_NAMES, data, strict=True):
        if raw is None:
            continue
        if name in _CRLS:
            crls.append(parse_crl(raw, CRL, name))
            continue
        check_id = f"{NAME}.endorsement.{name}"
        read[name] = parse_certificate(raw, check_id, name)
        if name in ("vcek", "vlek"):
            veks[name] = read_vek(read[name], check_id)
    chain = tuple(read[name] for name in (kind, "ask", "ark") if name in read)
    return SnpCollateral(vek=veks.get(kind), chain=chain if kind in read else (), crls=tuple(crls))


def crl_marks(data: bytes, anchors: tuple[Anchor, ...]) -> tuple[Mark, ...]:
    """Number a CRL that an anchor signed, by its name and key. Any client can write any number: no other list counts.

    ``CannotDecide('sev-snp.endorsement.crl')`` for a signed one without a number of at most 20 octets (RFC 5280, section 5.2.3).
    """
    crl = parse_crl(pem_or_der(data, "X509 CRL", CRL, "crl", limit=_MAX_PEM), CRL, "crl")
    issuer = next((anchor.certificate for anchor in anchors if is_crl_of(crl, anchor.certificate)), None)
    if issuer is None:
        return ()  # The check of the CRL verifies its signature, and refuses.
    if crl.number is None or not 0 <= crl.number < _CRL_NUMBERS:
        raise CannotDecide(CRL, mismatch("CRL number", crl.number, "0 to 20 octets"), retry_after=60)
    return (Mark(f"crl:{NAME}:{sha256(issuer.subject + issuer.spki).hex()}", crl.number),)


def _vek(subject: Snp) -> Vek:
    vek = subject.collateral.vek
    if vek is None:
        name = vek_name(subject.evidence)
        raise CannotDecide(
            f"{NAME}.endorsement.{name}", f"{name}: got nothing, want the certificate of this report's key"
        )
    return vek


CHAIN: Final = ChainSteps(lambda subject: subject.collateral.chain, PROFILE)


def _crls(subject: Snp, path: Path) -> tuple[Crl, ...]:
    """Pick the anchor's own list; a list of another product's root says nothing of this chain."""
    name = path.certificates[0].subject
    return tuple(crl for crl in subject.collateral.crls if crl.issuer == name)


def _check_signature_algo(subject: Snp) -> None:
    got = subject.evidence.signature_algo
    if got != layout.SIGNATURE_ECDSA_P384:
        raise Failed(mismatch("report.signature_algo", got, "1 (ECDSA P-384 with SHA-384)"))


def _check_signing_key(subject: Snp) -> None:
    got = subject.evidence.signing_key
    if got not in (layout.SIGNING_VCEK, layout.SIGNING_VLEK):
        raise Failed(mismatch("report.signing_key", got, "0 (VCEK) or 1 (VLEK)"))
    vek = _vek(subject)
    want_vlek = got == layout.SIGNING_VLEK
    if (vek.csp_id is not None) != want_vlek:
        seen = "VCEK" if vek.csp_id is None else "VLEK"
        raise Failed(mismatch("certificate", seen, "VLEK" if want_vlek else "VCEK"))


def _check_root(subject: Snp) -> None:
    _vek(subject)
    CHAIN.root(subject)


def _check_crl(subject: Snp) -> None:
    path = CHAIN.path(subject)
    required = (0,) if subject.collateral.crl_required else ()
    check_crls(path, _crls(subject, path), subject.chains, subject.now, required=required)


def _check_revoked(subject: Snp) -> None:
    path = CHAIN.path(subject)
    check_revocation(path, _crls(subject, path))


def _check_report_signature(subject: Snp) -> None:
    report = subject.evidence
    key = CHAIN.path(subject).leaf_key()
    if not ecdsa.is_key_of(key, ecdsa.ES384):
        raise Failed(mismatch("certificate key", type(key).__name__, "P-384"))
    if not ecdsa.is_signed_by_numbers(key, ecdsa.ES384, report.signature_r, report.signature_s, report.signed):
        raise Failed(f"report.signature: does not verify with the {vek_name(report).upper()}'s key")


def anchor_product(path: Path) -> str:
    """Return the product that the root stands for (``ARK-Milan``), "" for a root of another form."""
    name = common_name(path.certificates[0].subject) or ""
    return name.removeprefix("ARK-") if name.startswith("ARK-") else ""


def _check_product(subject: Snp) -> None:
    report, vek = subject.evidence, _vek(subject)
    if report.version > 2 and report.product is None:  # noqa: PLR2004 - version 2 has no CPUID
        got = f"family {report.cpuid_family:#x}, model {report.cpuid_model:#x}"
        raise Failed(mismatch("report.cpuid", got, "Milan, Genoa or Turin"))
    # Turin never made version 2; its TCB would be read wrongly.
    want = report.product or (vek.product if vek.product != "Turin" else "Milan or Genoa")
    root = anchor_product(CHAIN.path(subject))
    if vek.product != want or root != want:
        raise Failed(mismatch("product", f"certificate {vek.product}, root {root or 'unnamed'}", want))


def _check_mask(subject: Snp) -> None:
    report = subject.evidence
    if report.signing_key == layout.SIGNING_VCEK and report.key_info >> layout.KEY_MASK_CHIP_KEY & 1:
        raise Failed(mismatch("report.mask_chip_key", 1, "0: a masked chip key cannot have signed"))


def _check_chip(subject: Snp) -> None:
    chip, hwid = subject.evidence.chip_id, _vek(subject).hwid
    # All zero is a masked CHIP_ID: genuine, judged by the rule ``sev-snp.chip-id.masked``. A VLEK names no chip.
    if hwid is None or not any(chip):
        return
    if chip != hwid + bytes(len(chip) - len(hwid)):
        raise Failed(mismatch("report.chip_id", chip.hex(), f"the certificate's {hwid.hex()}"))


def _check_tcb(subject: Snp) -> None:
    report, vek = subject.evidence, _vek(subject)
    if report.reported_tcb != vek.tcb:
        got, want = tcb_parts(report.reported_tcb, vek.product), tcb_parts(vek.tcb, vek.product)
        raise Failed(mismatch("report.reported_tcb", got, f"the certificate's {want}"))


def _check_committed(subject: Snp) -> None:
    """CURRENT is never below COMMITTED (56860, "Firmware Updates"); all places count, so the layout does not matter."""
    report = subject.evidence
    current = (report.current_major, report.current_minor, report.current_build)
    committed = (report.committed_major, report.committed_minor, report.committed_build)
    if current < committed or any(c < m for c, m in zip(report.current_tcb, report.committed_tcb, strict=True)):
        got = f"{report.current_tcb.hex()} version {current}"
        want = f"at least committed {report.committed_tcb.hex()} version {committed}"
        raise Failed(mismatch("report.current_tcb", got, want))


def _check_vmpl(subject: Snp) -> None:
    got = subject.evidence.vmpl
    if got > layout.HIGHEST_VMPL:
        raise Failed(mismatch("report.vmpl", f"{got:#x}", "0 to 3: asked for by the guest"))


CHECKS: Final[tuple[Check[Report, SnpCollateral], ...]] = (
    Check("sev-snp.report.signature-algo", _check_signature_algo),
    Check("sev-snp.signing-key", _check_signing_key),
    *CHAIN.checks(
        f"{NAME}.chain",
        root=Check("sev-snp.chain.root", _check_root, redundant_with="sev-snp.chain.constraints", why=WHY_ROOT),
    ),
    Check(CRL, _check_crl),
    Check("sev-snp.chain.revoked", _check_revoked),
    Check("sev-snp.report.signature", _check_report_signature),
    Check("sev-snp.report.vmpl", _check_vmpl),
    Check("sev-snp.product", _check_product),
    Check("sev-snp.mask-chip-key", _check_mask),
    Check("sev-snp.chip-id", _check_chip),
    Check("sev-snp.tcb.reported", _check_tcb),
    Check("sev-snp.tcb.committed", _check_committed),
)


def product_of(report: Report, collateral: SnpCollateral) -> Product | None:
    """Return the verified report's product: CPUID's, or the certificate's for version 2."""
    if report.product is not None:
        return report.product
    return collateral.vek.product if collateral.vek is not None else None
