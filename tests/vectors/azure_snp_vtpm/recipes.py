"""Vectors of ``azure-snp-vtpm``, forged by ``forge.azure`` on ``forge.sev_snp``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any, Final

from forge.azure import ForgedAzure
from forge.sev_snp import ForgedAmd
from tests.support.vectors import Outcome, PartForm, Vector, forging
from tests.vectors.sev_snp import forging as snp
from tests.vectors.sev_snp.unwanted import lifted
from tests.vectors.vtpm import forging as vtpm
from tests.vectors.vtpm.forging import NONCE, PCRS, QuoteVectors
from verifier.core.binding import BindingDigest
from verifier.formats.encoding import b64url, sha256
from verifier.tee.azure.layout import REPORT_SNP, REPORT_TDX, make_hcl
from verifier.tee.azure_snp_vtpm.scheme import SCHEME
from verifier.tee.sev_snp.layout import SIGNED

NAME: Final = "azure-snp-vtpm"
NOW: Final = snp.NOW


@lru_cache(maxsize=8)
def machine(amd: ForgedAmd) -> ForgedAzure:
    """Return the machine of the base vector on a chip: it booted, and its attester measured its configuration."""
    made = ForgedAzure(amd, now=NOW)
    made.configured(vtpm.CONFIG)
    return made


def base() -> ForgedAzure:
    """Return the machine of the base vector."""
    return machine(snp.MILAN)


@forging
def vector(
    *,
    hcl: bytes | None = None,
    quote: Mapping[str, bytes] | None = None,
    on: ForgedAzure | None = None,
    fields: Mapping[str, Any] | None = None,
) -> Vector:
    """Make a wholesome machine, with other fields in its SNP report where told."""
    on = on or base()
    report = on.hcl_report(**(fields or {})) if hcl is None else hcl
    return Vector(
        scheme=NAME,
        parts={"hcl_report": report, **(answer(vtpm.DIGEST, on) if quote is None else quote)},
        endorsements=on.endorsements(),
        collateral={"crl": on.amd.crl()},
        anchors=(on.amd.anchor(), on.ca.anchor()),
        now=NOW,
        expected=vtpm.BOUND,
    )


def answer(digest: BindingDigest, on: ForgedAzure | None = None) -> dict[str, bytes]:
    """Return the parts with which the machine answers a challenge."""
    return (on or base()).quote_parts(digest.short, PCRS)


def quotes() -> QuoteVectors:
    """Return how a vector of the quote part is made."""
    return QuoteVectors(NAME, base().tpm, vector)


_LIFTED: Final = {rule.id for rule in SCHEME.appraisal.rules if rule.id.startswith("sev-snp.")}
_SIGNED_BY: Final = "cd" * 48


def everything(amd: ForgedAmd) -> dict[str, Any]:
    """Return values of every identity rule that the machine on this chip satisfies."""
    on = machine(amd)
    measured = bytes(base().amd.fields()["measurement"]).hex()  # type: ignore[arg-type]
    own = {rule: value for rule, value in snp.everything(amd).items() if rule in _LIFTED}
    return {
        **own,
        f"{NAME}.paravisor": {"kind": "measurement", "digests": ["11" * 48, measured]},
        **vtpm.azure_values(NAME, on),
    }


def along(**changes: bytes) -> dict[str, bytes]:
    """Return the base machine's endorsements, some changed or added."""
    return {**base().endorsements(), **changes}


def without(*names: str) -> dict[str, bytes]:
    """Return the base machine's endorsements, some left out."""
    return {name: data for name, data in base().endorsements().items() if name not in names}


def _accepted() -> list[Vector]:
    signer = {"kind": "id-key", "digests": [_SIGNED_BY]}
    author = {"kind": "author-key", "digests": [_SIGNED_BY]}
    claims = base().claims()
    whole = answer(vtpm.DIGEST)
    return [
        vector("milan-everything", values=everything(snp.MILAN)),
        vector("turin-everything", on=machine(snp.TURIN), values=everything(snp.TURIN)),
        vector("hcl-version-1", hcl=make_hcl(_snp_report(claims), claims, report_type=REPORT_SNP, version=1)),
        vector("without-ak-certificate", endorsements=without("ak_cert", "ak_chain")),
        vector("without-event-log", quote=vtpm.without_log(whole)),
        vector("signature-as-bare-bytes", quote=vtpm.bare_signature(whole)),
        vector("paravisor-by-signer", fields={"id_key_digest": bytes.fromhex(_SIGNED_BY)},
               values={f"{NAME}.paravisor": signer}),
        vector("paravisor-by-author", fields={"author_key_digest": bytes.fromhex(_SIGNED_BY)},
               values={f"{NAME}.paravisor": author}),
        *(vector(f"claims-hashed-by-sha{bits}", hcl=_hashed(kind, bits)) for kind, bits in ((2, 384), (3, 512))),
        vector("claims-without-endorsement-key", hcl=_hcl(keys=_keys())),
        vector("claims-without-user-data", hcl=_hcl(user_data=None)),
    ]  # fmt: skip


def _snp_report(claims: bytes, **fields: Any) -> bytes:
    return base().amd.report(**{"report_data": sha256(claims) + bytes(32), **fields})


def _hashed(kind: int, bits: int) -> bytes:
    import hashlib

    claims = base().claims()
    data = hashlib.new(f"sha{bits}", claims).digest().ljust(64, b"\0")
    report = bytearray(make_hcl(_snp_report(claims, report_data=data), claims, report_type=REPORT_SNP))
    report[1228] = kind
    return bytes(report)


def _hcl(**changes: Any) -> bytes:
    claims = base().claims(**changes)
    return make_hcl(_snp_report(claims), claims, report_type=REPORT_SNP)


def _raw(claims: bytes) -> bytes:
    return make_hcl(_snp_report(claims), claims, report_type=REPORT_SNP)


def _keys(**changes: Any) -> list[dict[str, Any]]:
    import json

    key: dict[str, Any] = json.loads(base().claims())["keys"][0]
    return [{name: value for name, value in {**key, **changes}.items() if value is not None}]


def _malformed() -> list[Vector]:
    good = base().hcl_report()
    report, claims = f"{NAME}.decode.hcl_report", f"{NAME}.decode.runtime-claims"

    def at(name: str, place: int, value: int) -> Vector:
        return vector(name, "malformed", report, hcl=snp.patched(good, place, bytes((value,))))

    def said(name: str, **changes: Any) -> Vector:
        return vector(name, "malformed", claims, hcl=_hcl(**changes))

    small = b64url((1 << 1023 | 1).to_bytes(128, "big"))
    return [
        vector("hcl-empty", "malformed", report, hcl=b""),
        vector("hcl-unpadded", "malformed", report, hcl=good.rstrip(b"\0")),
        vector("hcl-of-tdx", "malformed", report, hcl=make_hcl(bytes(1024), base().claims(), report_type=REPORT_TDX)),
        at("hcl-magic", 0, 0x49),
        at("hcl-version-3", 4, 3),
        at("hcl-size-off", 8, good[8] ^ 1),
        at("hcl-request-type", 12, 1),
        at("hcl-status", 16, 1),
        at("hcl-reserved", 20, 1),
        at("hcl-data-size-off", 1216, good[1216] ^ 1),
        at("hcl-data-version", 1220, 2),
        at("hcl-hash-type-0", 1228, 0),
        at("hcl-hash-type-4", 1228, 4),
        at("hcl-json-size-off", 1232, good[1232] ^ 1),
        at("hcl-padding-used", 2599, 1),
        vector(
            "hcl-json-beyond-its-end",
            "malformed",
            report,
            hcl=snp.patched(snp.patched(good, 1216, (5020).to_bytes(4, "little")), 1232, (5000).to_bytes(4, "little")),
        ),
        vector("claims-not-json", "malformed", claims, hcl=_raw(b"{")),
        vector("claims-not-utf8", "malformed", claims, hcl=_raw(b'{"keys":"\xff"}')),
        vector("claims-a-list", "malformed", claims, hcl=_raw(b"[]")),
        vector("claims-key-twice", "malformed", claims, hcl=_raw(b'{"keys":[],' + base().claims()[1:])),
        vector("claims-deep", "malformed", claims, hcl=_raw(b"[" * 1300)),
        said("claims-without-keys", keys=None),
        said("claims-without-ak", keys=_keys(kid="HCLEkPub")),
        said("claims-with-two-aks", keys=_keys() * 2),
        said("claims-with-key-of-no-kid", keys=_keys(kid=None)),
        said("ak-not-rsa", keys=_keys(kty="EC")),
        said("ak-for-encryption", keys=_keys(key_ops=["encrypt"])),
        said("ak-for-both", keys=_keys(key_ops=["sign", "decrypt"])),
        said("ak-of-1024-bits", keys=_keys(n=small)),
        said("ak-without-modulus", keys=_keys(n=None)),
        said("ak-modulus-not-base64url", keys=_keys(n="+/" * 171)),
        said("ak-exponent-1", keys=_keys(e="AQ")),
        said("vm-configuration-nested", vm_configuration={"a": {}}),
        said("user-data-short", user_data="00" * 63),
        said("number-with-a-fraction", vm_configuration={"a": 1.5}),
        vector("snp-report-of-version-9", "malformed", "sev-snp.decode.version",
               hcl=snp.patched(good, 32, b"\x09")),
        vector("vcek-garbage", "malformed", "sev-snp.endorsement.vcek", endorsements=along(vcek=b"0")),
        vector("ak-certificate-garbage", "malformed", f"{NAME}.endorsement.ak_cert", endorsements=along(ak_cert=b"0")),
        vector("ak-certificate-with-more-than-padding", "malformed", f"{NAME}.endorsement.ak_cert",
               endorsements=along(ak_cert=base().ak_certificate() + b"\x01")),
        vector("ak-chain-garbage", "malformed", f"{NAME}.endorsement.ak_chain",
               endorsements=along(ak_chain=b"\x30\x03\x02\x01\x00")),
        vector("ark-from-attester", "malformed", "wire.evidence.endorsements", endorsements=along(ark=base().amd.ark())),
    ]  # fmt: skip


def _undecided() -> list[Vector]:
    cannot: Outcome = "cannot-decide"
    return [
        vector("vcek-missing", cannot, f"{NAME}.endorsement.vcek", endorsements=without("vcek")),
        vector("ask-missing", cannot, f"{NAME}.endorsement.ask", endorsements=without("ask")),
        vector("crl-missing", cannot, f"{NAME}.endorsement.crl", collateral={}),
    ]


def _rejected() -> list[Vector]:
    good, claims = base().hcl_report(), base().claims()
    flipped = snp.patched(good, 32 + 0x90, bytes((good[32 + 0x90] ^ 1,)))
    digest = f"{NAME}.runtime-claims.digest"
    changed = make_hcl(_snp_report(claims), claims.replace(b"0000", b"0001", 1), report_type=REPORT_SNP)
    of_guest = make_hcl(_snp_report(claims, report_data=NONCE + bytes(32)), claims, report_type=REPORT_SNP)
    untrimmed = make_hcl(_snp_report(claims, report_data=sha256(claims) * 2), claims, report_type=REPORT_SNP)
    other = ForgedAzure(snp.MILAN, now=NOW, label="azure vm 1")

    return [
        vector("snp-report-flipped", "rejected", "sev-snp.report.signature", hcl=flipped),
        vector("no-amd-root", "rejected", "sev-snp.chain.root", anchors=(base().ca.anchor(),)),
        vector("runtime-claims-changed", "rejected", digest, hcl=changed),
        vector("report-asked-for-by-the-guest", "rejected", digest, hcl=of_guest),
        vector("report-data-goes-on", "rejected", digest, hcl=untrimmed),
        *vtpm.azure_chain_vectors(quotes(), base(), other, (base().amd.anchor(),), without("ak_cert", "ak_chain")),
        vector("hcl-of-another-vm", "rejected", f"{NAME}.quote.signature", hcl=other.hcl_report(),
               endorsements=without("ak_cert", "ak_chain")),
    ]  # fmt: skip


def _unwanted() -> list[Vector]:
    """Return SNP's own unwanted reports, made the reports of an Azure VM, and what Azure's rules add."""
    found: list[Vector] = []
    for bare, amd, report in lifted(_LIFTED, lambda amd: sha256(machine(amd).claims()) + bytes(32)):
        on = machine(amd)
        hcl = make_hcl(report, on.claims(), report_type=REPORT_SNP)
        found.append(vector(f"snp-{bare.name}", "rejected", bare.check_id, hcl=hcl, on=on, values=bare.rule_values))

    def no(name: str, rule: str, value: Any, **fields: Any) -> Vector:
        rule_id = f"{NAME}.{rule}"
        return vector(name, "rejected", rule_id, fields=fields, values={} if value is None else {rule_id: value})

    measured, signed = "measurement", "id-key"
    return [
        *found,
        no("guest-below-the-paravisor", "vmpl", None, vmpl=2),
        no("paravisor-unknown", "paravisor", {"kind": measured, "digests": ["11" * 48]}),
        no("paravisor-of-another-signer", "paravisor", {"kind": signed, "digests": [_SIGNED_BY]},
           id_key_digest=bytes.fromhex("ce" * 48)),
        no("paravisor-without-signer", "paravisor", {"kind": signed, "digests": [_SIGNED_BY]}),
        no("paravisor-of-another-author", "paravisor", {"kind": "author-key", "digests": [_SIGNED_BY]}),
        no("ak-not-listed", "ak", ["ab" * 32]),
        no("secure-boot-switched-on", "vm-configuration", {"secure_boot": False}),
        no("switch-that-is-not-said", "vm-configuration", {"filtered_vpci_devices_allowed": False}),
    ]  # fmt: skip


@cache
def vectors() -> tuple[Vector, ...]:
    """Forge the vectors, once a process."""
    own = (*_accepted(), *_malformed(), *_undecided(), *_rejected())
    return (*own, *vtpm.rsa_vectors(quotes()), *_unwanted())


def part_forms() -> Mapping[str, PartForm]:
    """Return what each part of the evidence is."""
    return {
        "hcl_report": PartForm("fixed", ((0, 32 + SIGNED[1]), (1216, 1236 + len(base().claims())))),
        **vtpm.quote_parts_form(vectors()[0]),
    }
