"""Vectors that ``sgx`` and ``tdx`` share, about the quote: its bytes, its chain, its signatures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from forge.certificates import Extra, basic_constraints, ecdsa_sha256, key_usage
from forge.intel import ForgedIntel, platform_tcb
from forge.intel_pki import authority_key, forged_p256, item, pem
from forge.intel_quote import AUTH_DATA, Shape, qe_report_data, raw_public
from tests.support.vectors import Vector
from tests.vectors.dcap.forging import DATA, INTEL, LIKE_INTEL, NOW, OTHER, PROCESSOR, YEAR, Forge
from verifier.core.binding import BindingDigest
from verifier.formats.x509 import USAGE_CRL_SIGN, der_tlv
from verifier.formats.x509chain import Anchor
from verifier.tee.dcap import layout
from verifier.tee.dcap.verify import ANCHORS
from verifier.tee.verified import Bound, UnsafeUnbound

_STRANGER: Final = forged_p256(b"stranger")
_CHAIN: Final = "endorsement.pck_chain"


def shaped(**platform: Any) -> ForgedIntel:
    """Return a platform whose PCK certificate says something else."""
    return ForgedIntel(now=NOW, **platform)


def with_chain(chain: bytes, intel: ForgedIntel = INTEL) -> dict[str, Any]:
    """Return the arguments of a vector whose quote carries that PCK chain."""
    return {"intel": intel, "shape": Shape(certification=(layout.CERT_PCK_CHAIN, chain))}


def accepted(forge: Forge) -> list[Vector]:
    """Wholesome quotes in every form that is met."""
    chain = INTEL.pck_chain()
    blocks = [INTEL.root(), INTEL.authority("platform"), INTEL.pck()]
    vector = forge.vector
    no_chain = (layout.CERT_PPID, layout.CERT_PPID_RSA_2048, layout.CERT_PPID_RSA_3072, layout.CERT_PLATFORM_MANIFEST)
    return [
        vector("processor-ca", intel=PROCESSOR),
        vector("another-platform", intel=OTHER),
        vector("padded-a-little", shape=Shape(padding=bytes(70))),
        vector("padded-to-8000", shape=Shape(padding=bytes(8000 - len(forge.quote())))),
        vector("no-auth-data", shape=Shape(auth_data=b"")),
        vector("long-auth-data", shape=Shape(auth_data=bytes(1000))),
        vector("chain-ends-with-nul", **with_chain(chain + b"\x00")),
        vector("chain-without-final-newline", **with_chain(chain.rstrip(b"\n"))),
        vector("chain-in-another-order", **with_chain(pem(*blocks))),
        vector("chain-without-root", **with_chain(INTEL.pck_chain(root=b""))),
        # Intel's root was issued twice, with one key and one serial; the pinned one is the later.
        vector("chain-with-the-roots-earlier-issue", **with_chain(INTEL.pck_chain(root=earlier_root()))),
        vector("leaf-alone", shape=Shape(certification=layout.CERT_PCK_LEAF), endorsements=_along()),
        *(
            vector(f"certification-data-{kind}", shape=Shape(certification=kind), endorsements=_along())
            for kind in no_chain
        ),
        # A PCCS answers for platforms whose quotes carry no chain.
        vector(
            "chain-from-a-source",
            shape=Shape(certification=layout.CERT_PPID_RSA_3072),
            collateral=forge.collateral(pck_chain=chain),
        ),
        # Of what comes along with a leaf only what stands above it counts: another machine's leaf does not.
        vector(
            "leaf-alone-and-another-machines-chain",
            shape=Shape(certification=layout.CERT_PCK_LEAF),
            endorsements={"pck_chain": OTHER.pck_chain()},
        ),
        vector(
            "whole-chain-and-another-machines-chain",
            endorsements={"pck_chain": OTHER.pck_chain()},
        ),
        vector("unbound", expected=UnsafeUnbound()),
        vector("anchors-of-others-too", anchors=(_impostor(), INTEL.anchor())),
    ]


def _along() -> dict[str, bytes]:
    return {"pck_chain": INTEL.pck_chain()}


def _impostor() -> Anchor:
    """Return a root of the same name and another key."""
    root = INTEL.authority("root", public_key=OTHER_KEY, signer=ecdsa_sha256(_STRANGER))
    return Anchor("a root of the same name", root, "simulated")


OTHER_KEY: Final = der_tlv(
    0x30,
    bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107")
    + der_tlv(3, b"\x00\x04" + _STRANGER.public_key().public_numbers().x.to_bytes(32, "big")
              + _STRANGER.public_key().public_numbers().y.to_bytes(32, "big")),
)  # fmt: skip


def earlier_root() -> bytes:
    """Return the root as it was issued first: the same key and serial, valid to 2033."""
    return INTEL.authority("root", validity=(1_526_899_510, 2_000_285_410))


def malformed_quotes(forge: Forge) -> list[Vector]:
    """Bytes that are no quote: lengths first, each of them checked against what is around it."""
    good = forge.quote()
    chain = len(INTEL.pck_chain())
    end = len(good) - chain

    def bad(name: str, shape: Shape | None = None, **changes: Any) -> Vector:
        return forge.vector(name, "malformed", "decode.quote", shape=shape, **changes)

    sizes: dict[str, tuple[int, ...]] = {
        "signature": (0, len(good) - end, 0xFFFF_FFFF),
        "auth": (31, 33, 0xFFFF),
        "certification": (0, chain - 1, chain + 1, 0xFFFF_FFFF),
    }
    if forge.tee == "tdx":
        sizes["outer"] = (0, 450, 0xFFFF_FFFF)
    zeros = layout.SGX_REPORT.encode({**INTEL.quoting_enclave(forge.tee), "report_data": bytes(64)})
    return [
        bad("empty", quote=b""),
        bad("header-alone", quote=good[:48]),
        bad("signature-part-cut", quote=good[:-chain]),
        bad("version-2", Shape(header={"version": 2})),
        bad("version-6", Shape(header={"version": 6})),
        bad("key-type-p384", Shape(header={"att_key_type": 3})),
        bad("tee-type-unknown", Shape(header={"tee_type": 0x82})),
        bad("body-of-the-other-tee", Shape(header={"tee_type": 0 if forge.tee == "tdx" else 0x81})),
        *(bad(f"{name}-size-{size:x}", Shape(sizes={name: size})) for name, all_of in sizes.items() for size in all_of),
        bad("padding-not-zero", Shape(padding=bytes(40) + b"\x01")),
        bad("padding-beyond-the-cap", Shape(padding=bytes(64 * 1024))),
        bad("certification-data-0", Shape(certification=(0, b""))),
        bad("certification-data-6-inside", Shape(certification=(layout.CERT_QE_REPORT, b""))),
        # Else it would count as a quote whose chain has to be asked for, under a key that names nothing.
        bad("chain-empty", Shape(certification=(layout.CERT_PCK_CHAIN, b""))),
        bad("certification-data-8", Shape(certification=(8, b""))),
        bad("encrypted-ppid-short", Shape(certification=(layout.CERT_PPID_RSA_3072, bytes(403)))),
        bad("encrypted-ppid-long", Shape(certification=(layout.CERT_PPID_RSA_3072, bytes(405)))),
        bad("auth-data-beyond-the-cap", Shape(auth_data=bytes(5000))),
        bad("qe-report-reserved", quote=good.replace(zeros[:64], zeros[:31] + b"\x01" + zeros[32:64])),
        # Open Enclave puts a header of its own in front; a quote is what stands behind it.
        bad("open-enclave-header", quote=b"\x01\0\0\0\x02\0\0\0" + len(good).to_bytes(8, "little") + good),
    ]


def malformed_chains(forge: Forge) -> list[Vector]:
    """PCK chains that cannot be read."""

    def bad(name: str, chain: bytes, intel: ForgedIntel = INTEL) -> Vector:
        return forge.vector(name, "malformed", _CHAIN, **with_chain(chain, intel))

    def pck(name: str, *further: bytes, **platform: Any) -> Vector:
        intel = shaped(**platform)
        extensions = (*intel.pck_extensions(), intel.platform.extension(*further))
        return bad(name, intel.pck_chain(pck=intel.pck(extensions=extensions)), intel)

    comps = platform_tcb().comps
    without = INTEL.pck(extensions=INTEL.pck_extensions())
    again = item(layout.PCK_FMSPC, der_tlv(4, bytes(6)))
    return [
        bad("chain-no-pem", b"no certificate"),
        bad("chain-open", INTEL.pck_chain()[:-20]),
        bad("chain-text-before", b"hello\n" + INTEL.pck_chain()),
        bad("chain-text-after", INTEL.pck_chain() + b"hello"),
        bad("chain-two-nuls", INTEL.pck_chain() + b"\x00\x00"),
        bad("chain-without-pck", pem(INTEL.authority("platform"), INTEL.root())),
        bad("chain-with-two-pcks", pem(OTHER.pck()) + INTEL.pck_chain()),
        bad("chain-too-long", INTEL.pck_chain() + pem(INTEL.root()) * 8),
        bad("pck-without-extension", INTEL.pck_chain(pck=without)),
        bad("pck-garbage", pem(INTEL.pck()[:-1] + b"\x00\x00") + pem(INTEL.authority("platform"))),
        pck("pck-item-twice", again),
        pck("pck-without-ppid", ppid=None),
        pck("pck-short-ppid", ppid=bytes(15)),
        pck("pck-without-fmspc", fmspc=None),
        pck("pck-long-fmspc", fmspc=bytes(7)),
        pck("pck-without-pceid", pceid=None),
        pck("pck-without-type", sgx_type=None),
        pck("pck-type-3", sgx_type=3),
        pck("pck-short-instance", instance_id=bytes(15)),
        pck("pck-without-pcesvn", pcesvn=None),
        pck("pck-pcesvn-65536", pcesvn=65536),
        pck("pck-without-cpusvn", cpusvn=None),
        pck("pck-component-256", comps=(256, *comps[1:])),
        pck("pck-component-negative", comps=(*comps[:15], -1)),
        pck("pck-without-component-16", comps=(*comps[:15], None)),
        forge.vector(
            "chain-along-garbage",
            "malformed",
            _CHAIN,
            shape=Shape(certification=layout.CERT_PPID_RSA_3072),
            endorsements={"pck_chain": b"\x30\x03"},
        ),
        forge.vector("tcb-info-along", "malformed", "wire.evidence.endorsements", endorsements={"tcb_info": b"{}"}),
        replace(
            forge.vector("unknown-part", "malformed", "wire.evidence.parts"),
            parts={"quote": forge.quote(), **forge.parts, "log": b""},
        ),
    ]


def chain(forge: Forge) -> list[Vector]:
    """PCK chains that can be read and are not believed."""
    no: Final = "rejected"
    usage = (key_usage(5, 6), key_usage(USAGE_CRL_SIGN))
    ca, end = basic_constraints(ca=True, path_length=0), basic_constraints(ca=False)
    critical = Extra("1.2.3.4", b"\x05\x00", critical=True)
    stranger = ecdsa_sha256(_STRANGER)
    vendor = (Anchor("Intel's name", LIKE_INTEL.authority("root", public_key=OTHER_KEY, signer=stranger), "simulated"),)

    def of(name: str, check_id: str, **parts: bytes) -> Vector:
        return forge.vector(name, no, check_id, **with_chain(INTEL.pck_chain(**parts)))

    def authority(name: str, *extensions: Extra) -> Vector:
        return of(name, "chain.constraints", ca=INTEL.authority("platform", extensions=extensions))

    own = INTEL.platform.extension()
    under_root = INTEL.pck(issuer=INTEL.name("root"), signer=INTEL.signer("root"))
    signer_as_ca = INTEL.authority("platform", subject=INTEL.name("tcb-signing"))
    under_signer = INTEL.pck(issuer=INTEL.name("tcb-signing"))
    renamed = INTEL.pck(issuer=INTEL.name("processor"))
    return [
        forge.vector("intels-names-own-root", no, "chain.root", intel=LIKE_INTEL, anchors=vendor),
        forge.vector("intels-names-and-the-genuine-root", no, "chain.root", intel=LIKE_INTEL, anchors=_genuine()),
        forge.vector("same-name-other-key", no, "chain.root", anchors=(_impostor(),)),
        forge.vector("no-anchors", no, "chain.root", anchors=()),
        # The PCK certificate of another machine vouches for nothing that this one's quoting enclave says.
        forge.vector(
            "chain-of-another-machine",
            no,
            "qe.signature",
            shape=Shape(certification=layout.CERT_PPID_RSA_3072),
            endorsements={"pck_chain": OTHER.pck_chain()},
            collateral=forge.collateral(OTHER),
        ),
        authority("ca-without-constraints", usage[0]),
        authority("ca-that-is-none", usage[0], end),
        authority("ca-may-not-sign-certificates", usage[1], ca),
        authority("ca-unknown-critical", usage[0], ca, critical),
        of("pck-unknown-critical", "chain.constraints", pck=INTEL.pck(
            extensions=(*INTEL.pck_extensions(), own, critical))),
        of("pck-that-is-a-ca", "chain.constraints", pck=INTEL.pck(extensions=(usage[0], ca, own))),
        of("pck-may-not-sign", "chain.constraints", pck=INTEL.pck(extensions=(usage[1], end, own))),
        of("pck-right-under-the-root", "chain.constraints", pck=under_root, ca=b""),
        of("pck-under-a-tcb-signer", "chain.constraints", pck=under_signer, ca=signer_as_ca),
        of("pck-signed-by-the-other-ca", "chain.signature", pck=INTEL.pck(signer=INTEL.signer("processor"))),
        of("pck-signed-by-itself", "chain.signature", pck=INTEL.pck(signer=ecdsa_sha256(INTEL.pck_key))),
        of("pck-names-the-other-ca", "chain.signature", pck=renamed, ca=_named_processor()),
        of("ca-signed-by-a-stranger", "chain.signature", ca=INTEL.authority("platform", signer=stranger)),
        of("root-brought-is-another", "chain.signature", root=INTEL.authority("root", signer=stranger)),
        of("pck-expired", "chain.validity", pck=INTEL.pck(validity=(NOW - YEAR, NOW - 1))),
        of("pck-not-yet-valid", "chain.validity", pck=INTEL.pck(validity=(NOW + 1, NOW + YEAR))),
        of("ca-expired", "chain.validity", ca=INTEL.authority("platform", validity=(NOW - YEAR, NOW - 1))),
    ]  # fmt: skip


def _named_processor() -> bytes:
    """Return a certificate that calls the Platform CA's key the Processor CA's, signed by a stranger."""
    return INTEL.authority("platform", subject=INTEL.name("processor"), signer=ecdsa_sha256(_STRANGER))


def _genuine() -> tuple[Anchor, ...]:
    return ANCHORS


def signatures(forge: Forge) -> list[Vector]:
    """Quotes that somebody else signed, or about something else."""
    no: Final = "rejected"
    good = forge.quote()
    other_key = Shape(signed_by=_STRANGER)
    return [
        forge.vector("qe-signed-by-another-platform", no, "qe.signature", shape=Shape(qe_signed_by=OTHER.pck_key)),
        forge.vector("qe-signed-by-the-root", no, "qe.signature", shape=Shape(qe_signed_by=authority_key("root"))),
        forge.vector("qe-data-zero", no, "qe.binding", shape=Shape(qe={"report_data": bytes(64)})),
        forge.vector("qe-data-tail", no, "qe.binding", shape=Shape(qe={"report_data": _tail()})),
        forge.vector("auth-data-of-another", no, "qe.binding", shape=_other_auth()),
        forge.vector("signed-by-a-stranger", no, "quote.signature", shape=other_key),
        forge.vector("signed-by-the-pck", no, "quote.signature", shape=Shape(signed_by=INTEL.pck_key)),
        forge.vector("attestation-key-no-point", no, "quote.signature", shape=Shape(attestation_public=b"\x01" * 64)),
        forge.vector("body-of-another", no, "quote.signature", quote=_patched(good, 48 + 70)),
        forge.vector("qe-of-another-vendor", no, "quote.qe-vendor", shape=Shape(header={"qe_vendor_id": b"\x01" * 16})),
        forge.vector("other-user-data", no, "binding.user-data", expected=Bound(BindingDigest(DATA[::-1], bytes(32)))),
        forge.vector("half-user-data", no, "binding.user-data", expected=UnsafeUnbound(DATA[:32])),
    ]


def _tail() -> bytes:
    good = qe_report_data(raw_public(INTEL.attestation_key), AUTH_DATA)
    return good[:-1] + b"\x01"


def _other_auth() -> Shape:
    good = qe_report_data(raw_public(INTEL.attestation_key), AUTH_DATA)
    return Shape(auth_data=AUTH_DATA[::-1], qe={"report_data": good})


def _patched(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]
