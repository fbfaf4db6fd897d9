"""Vectors that ``sgx`` and ``tdx`` share, about what the verifier's own sources answer: TCB info, QE identity, CRLs.

A fault of these is "cannot decide": it says nothing of the evidence.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from forge.certificates import Extra, basic_constraints, ecdsa_sha256, key_usage
from forge.intel_documents import Tee, date, inner_bytes, sign_document
from forge.intel_pki import DAY, authority_key, forged_p256, pem
from forge.intel_quote import Shape
from tests.support.vectors import Vector
from tests.vectors.dcap.forging import INTEL, LIKE_INTEL, NOW, OTHER, PROCESSOR, YEAR, Forge
from tests.vectors.dcap.quotes import OTHER_KEY, earlier_root
from verifier.formats.x509 import USAGE_CERT_SIGN

_STRANGER: Final = forged_p256(b"stranger")
_EXPIRED: Final = (NOW - YEAR, NOW - 1)
_KINDS: Final = (("tcb-info", "tcb_info"), ("qe-identity", "qe_identity"))


def inner_of(forge: Forge, name: str, **changes: Any) -> dict[str, Any]:
    """Return the inner object of TCB info or QE identity."""
    return INTEL.tcb_info(forge.tee, **changes) if name == "tcb_info" else INTEL.qe_identity(forge.tee, **changes)


def signed(name: str, inner: Mapping[str, Any] | bytes, **options: Any) -> bytes:
    """Sign an inner object as TCB info or QE identity."""
    key = options.pop("key", authority_key("tcb-signing"))
    return sign_document("tcbInfo" if name == "tcb_info" else "enclaveIdentity", inner, key, **options)


def accepted(forge: Forge) -> list[Vector]:
    """Collateral in every form that is met."""
    tee = forge.tee

    def good(name: str, **changes: bytes) -> Vector:
        return forge.vector(name, collateral=forge.collateral(**changes))

    crl, signer = INTEL.pck_crl(), INTEL.authority("tcb-signing")
    spaced = json.dumps(INTEL.tcb_info(tee), indent=1).encode()
    escaped = inner_bytes(INTEL.qe_identity(tee)).replace(b'"isvprodid"', b'"isvprod\\u0069d"')
    later: dict[str, Any] = {"issueDate": date(NOW), "nextUpdate": date(NOW)}
    return [
        good("fmspc-in-lower-case", tcb_info=INTEL.signed_tcb_info(tee, fmspc=INTEL.fmspc.lower())),
        # The bytes that were signed count, however they are spelt.
        good("tcb-info-signed-with-spaces", tcb_info=signed("tcb_info", spaced)),
        good("qe-identity-signed-with-escapes", qe_identity=signed("qe_identity", escaped)),
        good("issued-and-due-this-second", tcb_info=INTEL.signed_tcb_info(tee, **later)),
        good("numbers-differ", qe_identity=INTEL.signed_qe_identity(tee, evaluation=19)),
        good("unknown-keys", tcb_info=signed("tcb_info", {**INTEL.tcb_info(tee), "newWord": [1, {"a": None}]})),
        good("pck-crl-pem", pck_crl=_pem_crl(crl)),
        good("pck-crl-hex", pck_crl=crl.hex().encode()),
        good("pck-crl-hex-upper-case", pck_crl=crl.hex().upper().encode() + b"\n"),
        good("root-crl-base64", root_crl=base64.encodebytes(INTEL.root_crl())),
        good("crls-list-others", pck_crl=INTEL.pck_crl(revoked=(1, 2)), root_crl=INTEL.root_crl(revoked=(3,))),
        good("crl-without-number", pck_crl=INTEL.pck_crl(number=None)),
        good("pck-serial-on-the-roots-list", root_crl=INTEL.root_crl(revoked=(INTEL.pck_serial,))),
        good("signing-chain-without-root", tcb_info_chain=pem(signer)),
        good("signing-chain-with-the-roots-earlier-issue", tcb_info_chain=pem(signer, earlier_root())),
        good("signing-chain-root-first", qe_identity_chain=pem(INTEL.root(), signer)),
    ]


def _pem_crl(der: bytes) -> bytes:
    return b"-----BEGIN X509 CRL-----\n" + base64.encodebytes(der) + b"-----END X509 CRL-----\n"


def missing(forge: Forge) -> list[Vector]:
    """Nothing to decide with."""
    names = ("tcb_info", "tcb_info_chain", "qe_identity", "qe_identity_chain", "pck_crl", "root_crl")
    found = [
        forge.undecided(f"{name.replace('_', '-')}-missing", f"endorsement.{name}", **{name: b""}) for name in names
    ]
    bare = forge.vector(
        "certification-data-3-and-no-chain",
        "cannot-decide",
        "endorsement.pck_chain",
        shape=Shape(certification=3),
        comment="a genuine quote whose PCK certificate has to come from elsewhere",
    )
    return [*found, bare]


def _texts(forge: Forge, name: str) -> dict[str, bytes]:
    """Return documents that are none, by what is wrong with them."""
    whole = signed(name, inner_of(forge, name))
    head, body = whole.split(b":", 1)
    inner = inner_bytes(inner_of(forge, name))
    first = inner[1 : inner.index(b",")]
    deep = b'{"a":' * 3000 + b"1" + b"}" * 3000
    return {
        "not-json": b"{",
        "not-text": b"\xff" + whole,
        "a-list": b"[]",
        "no-signature": whole[: whole.rindex(b',"signature"')] + b"}",
        "further-key": whole[:-1] + b',"more":1}',
        "something-after": whole + b"{}",
        "signature-twice": whole[:-1] + b',"signature":"00"}',
        "inner-twice": head + b":{}," + whole[1:],
        "key-twice": signed(name, b"{" + first + b"," + inner[1:]),
        "key-twice-by-escape": signed(name, b'{"\\u0076ersion":1,' + inner[1:]),
        "short-signature": signed(name, inner, signature="00" * 63),
        "signature-no-hex": signed(name, inner, signature="zz" * 64),
        "inner-a-list": head + b":[]" + body[body.rindex(b',"signature"') :],
        "not-a-number": signed(name, inner.replace(b'"tcbEvaluationDataNumber":20', b'"tcbEvaluationDataNumber":NaN')),
        "nested-deeply": signed(name, b'{"deep":' + deep + b"," + inner[1:]),
        "too-long": signed(name, {**inner_of(forge, name), "padding": "x" * 300_000}),
    }


def malformed(forge: Forge) -> list[Vector]:
    """Documents and lists that cannot be read."""
    found: list[Vector] = []

    def bad(name: str, where: str, data: bytes) -> None:
        collateral = forge.collateral(**{where: data})
        found.append(forge.vector(name, "malformed", f"endorsement.{where}", collateral=collateral))

    levels = INTEL.qe_identity("sgx")["tcbLevels"]
    fields: dict[str, Any] = {
        "issueDate": "2027-01-10",
        "nextUpdate": "2027-02-30T00:00:00Z",
        "tcbEvaluationDataNumber": True,
        "version": 7,
        "id": "XYZ",
        "tcbLevels": levels * 200,
    }
    for label, name in _KINDS:
        for what, text in _texts(forge, name).items():
            bad(f"{label}-{what}", name, text)
        for key, value in fields.items():
            bad(f"{label}-bad-{key.lower()}", name, signed(name, inner_of(forge, name, **{key: value})))
            bad(f"{label}-without-{key.lower()}", name, signed(name, inner_of(forge, name, **{key: None})))
        for chain in (b"", b"x", pem(b"\x30\x00"), pem(INTEL.root()) * 9):
            bad(f"{label}-chain-{len(chain)}-bytes-of-nothing", f"{name}_chain", chain or b" ")
    info: dict[str, Any] = {"fmspc": "00", "pceId": 0, "tcbType": 1}
    identity: dict[str, Any] = {"miscselect": 0, "attributesMask": "FF", "mrsigner": "AB", "isvprodid": "1"}
    for key, value in info.items():
        bad(f"tcb-info-bad-{key.lower()}", "tcb_info", INTEL.signed_tcb_info(forge.tee, **{key: value}))
    for key, value in identity.items():
        bad(f"qe-identity-bad-{key.lower()}", "qe_identity", INTEL.signed_qe_identity(forge.tee, **{key: value}))
    for label, change in _bad_levels().items():
        inner = INTEL.tcb_info(forge.tee)
        change(inner["tcbLevels"][1])
        bad(f"tcb-info-level-{label}", "tcb_info", signed("tcb_info", inner))
    for where in ("pck_crl", "root_crl"):
        for label, data in {
            "garbage": b"\x30\x01",
            "certificate": INTEL.root(),
            "text": b"no list",
            "none": b"\n",
        }.items():
            bad(f"{where.replace('_', '-')}-{label}", where, data)
        bad(f"{where.replace('_', '-')}-twice", where, _pem_crl(INTEL.pck_crl()) * 2)
        bad(f"{where.replace('_', '-')}-partial", where, INTEL.crl("platform", extensions=(_DELTA,)))
    return found


_DELTA: Final = Extra("2.5.29.27", b"\x02\x01\x01", critical=True)


def _bad_levels() -> dict[str, Callable[[dict[str, Any]], None]]:
    """Return changes of one TCB level that make it unreadable, by name. It need not be the level that matches."""
    return {
        "status-unknown": lambda level: level.update(tcbStatus="Fine"),
        "status-of-convergence": lambda level: level.update(tcbStatus="NotSupported"),
        "without-status": lambda level: level.pop("tcbStatus"),
        "without-date": lambda level: level.pop("tcbDate"),
        "without-tcb": lambda level: level.pop("tcb"),
        "component-256": lambda level: level["tcb"]["sgxtcbcomponents"][3].update(svn=256),
        "component-negative": lambda level: level["tcb"]["sgxtcbcomponents"][3].update(svn=-1),
        "component-float": lambda level: level["tcb"]["sgxtcbcomponents"][3].update(svn=1.0),
        "fifteen-components": lambda level: level["tcb"]["sgxtcbcomponents"].pop(),
        "seventeen-components": lambda level: level["tcb"]["sgxtcbcomponents"].append({"svn": 0}),
        "pcesvn-65536": lambda level: level["tcb"].update(pcesvn=65536),
        "advisory-no-name": lambda level: level.update(advisoryIDs=["a b"]),
        "advisories-no-list": lambda level: level.update(advisoryIDs="INTEL-SA-00001"),
    }


def documents(forge: Forge) -> list[Vector]:
    """Documents that can be read and are not believed."""
    found: list[Vector] = []
    for label, name in _KINDS:
        found += _document(forge, label, name)
    tee = forge.tee
    forged = INTEL.signed_tcb_info(tee, status="OutOfDate").replace(b"OutOfDate", b"UpToDate", 1)
    spaced = json.dumps(json.loads(INTEL.signed_tcb_info(tee)), indent=1).encode()
    order = json.dumps(json.loads(INTEL.signed_tcb_info(tee)), sort_keys=True, separators=(",", ":")).encode()
    return [
        *found,
        forge.undecided("tcb-info-forged-status", "tcb-info.signature", tcb_info=forged),
        forge.undecided("tcb-info-re-serialised", "tcb-info.signature", tcb_info=spaced),
        forge.undecided("tcb-info-keys-in-order", "tcb-info.signature", tcb_info=order),
        forge.undecided("tcb-info-of-other-fmspc", "tcb-info.fmspc", tcb_info=OTHER.signed_tcb_info(tee)),
        forge.undecided("tcb-info-of-other-pce", "tcb-info.pceid", tcb_info=INTEL.signed_tcb_info(tee, pceId="0100")),
        forge.undecided(
            "qe-identity-of-the-qve",
            "qe-identity.id",
            qe_identity=INTEL.signed_qe_identity(tee, id="QVE"),
        ),
    ]


def _document(forge: Forge, label: str, name: str) -> list[Vector]:
    """Return the vectors of one document: its signer, its signature, its dates, its kind."""
    whole, chain = signed(name, inner_of(forge, name)), f"{name}_chain"
    no_signer = pem(INTEL.pck(), INTEL.authority("platform"), INTEL.root())
    other: Tee = "tdx" if forge.tee == "sgx" else "sgx"
    # A TCB info of the other TEE has other fields too; a QE identity differs by its id alone.
    of_other = (
        INTEL.tcb_info(other) if name == "tcb_info" else inner_of(forge, name, id={"sgx": "QE", "tdx": "TD_QE"}[other])
    )

    def no(what: str, check: str, **changes: bytes) -> Vector:
        return forge.undecided(f"{label}-{what}", f"{label}.{check}", **changes)

    def signer(**changes: Any) -> dict[str, bytes]:
        return {chain: INTEL.signing_chain(**changes)}

    ca = (key_usage(0, USAGE_CERT_SIGN), basic_constraints(ca=True, path_length=0))
    usage = (key_usage(USAGE_CERT_SIGN), basic_constraints(ca=False))
    critical = (key_usage(0), Extra("1.2.3.4", b"\x05\x00", critical=True))
    listed = {"root_crl": INTEL.root_crl(revoked=(0x7777,))}
    dates = {"not-yet-issued": {"issueDate": date(NOW + 1)}, "expired": {"nextUpdate": date(NOW - 1)}}
    return [
        no("signed-by-a-stranger", "signature", **{name: signed(name, inner_of(forge, name), key=_STRANGER)}),
        no("signature-zero", "signature", **{name: signed(name, inner_of(forge, name), signature="00" * 64)}),
        no("space-after-signing", "signature", **{name: whole.replace(b',"nextUpdate"', b', "nextUpdate"', 1)}),
        no("signer-with-another-key", "signature", **signer(public_key=OTHER_KEY)),
        no("signer-of-intels-name", "chain", **{chain: LIKE_INTEL.signing_chain()}),
        no("signer-not-by-the-root", "chain", **signer(signer=ecdsa_sha256(_STRANGER))),
        no("signer-of-another-name", "chain", **signer(subject=INTEL.name("platform"))),
        no("signer-that-is-a-ca", "chain", **signer(extensions=ca)),
        no("signer-may-not-sign", "chain", **signer(extensions=usage)),
        no("signer-unknown-critical", "chain", **signer(extensions=critical)),
        no("signer-is-a-pck", "chain", **{chain: no_signer}),
        no("signer-root-alone", "chain", **{chain: pem(INTEL.root())}),
        no("signer-expired-same-key-and-serial", "signer-validity", **signer(validity=_EXPIRED)),
        no("signer-not-yet-valid", "signer-validity", **signer(validity=(NOW + 1, NOW + YEAR))),
        no("signer-revoked", "signer-revoked", **signer(serial=0x7777), **listed),
        *(no(f"is-{check}", check, **{name: signed(name, inner_of(forge, name, **change))})
          for check, change in dates.items()),
        no("of-the-other-tee", "id", **{name: signed(name, of_other)}),
    ]  # fmt: skip


def crls(forge: Forge) -> list[Vector]:
    """CRLs that are not the right ones, and what the right ones say."""
    no: Final = "rejected"
    pck, root = "endorsement.pck_crl", "endorsement.root_crl"
    stranger = ecdsa_sha256(_STRANGER)
    stale, early = (NOW - 40 * DAY, NOW - 1), (NOW + 1, NOW + DAY)
    listed = {"root_crl": INTEL.root_crl(revoked=(INTEL.serial("platform"),))}
    of_processor = {"root_crl": PROCESSOR.root_crl(revoked=(PROCESSOR.serial("processor"),))}
    on_list = forge.collateral(pck_crl=INTEL.pck_crl(revoked=(5, INTEL.pck_serial)))
    return [
        forge.undecided("pck-crl-of-the-other-ca", pck, pck_crl=INTEL.pck_crl("processor")),
        forge.undecided("pck-crl-of-the-root", pck, pck_crl=INTEL.root_crl()),
        forge.undecided("pck-crl-by-the-other-ca", pck, pck_crl=INTEL.pck_crl(signer=INTEL.signer("processor"))),
        forge.undecided("pck-crl-of-intels-name", pck, pck_crl=LIKE_INTEL.pck_crl()),
        forge.undecided("pck-crl-stale", pck, pck_crl=INTEL.pck_crl(validity=stale)),
        forge.undecided("pck-crl-of-tomorrow", pck, pck_crl=INTEL.pck_crl(validity=early)),
        forge.undecided("root-crl-of-a-ca", root, root_crl=INTEL.pck_crl()),
        forge.undecided("root-crl-by-a-stranger", root, root_crl=INTEL.root_crl(signer=stranger)),
        forge.undecided("root-crl-stale", root, root_crl=INTEL.root_crl(validity=stale)),
        forge.undecided("root-crl-of-tomorrow", root, root_crl=INTEL.root_crl(validity=early)),
        forge.vector("pck-revoked", no, "chain.revoked", collateral=on_list),
        forge.vector("platform-ca-revoked", no, "chain.revoked", collateral=forge.collateral(**listed)),
        forge.vector(
            "processor-ca-revoked",
            no,
            "chain.revoked",
            intel=PROCESSOR,
            collateral=forge.collateral(PROCESSOR, **of_processor),
        ),
    ]


def quoting_enclave(forge: Forge) -> list[Vector]:
    """Quoting enclaves that are not Intel's."""

    def no(name: str, check: str, **fields: bytes | int) -> Vector:
        return forge.vector(name, "rejected", f"qe-identity.{check}", shape=Shape(qe=fields))

    flags = bytes.fromhex("1700000000000000e700000000000000")
    masked = bytes.fromhex("1500000000000000ffffffffffffffff")
    misc = INTEL.signed_qe_identity(forge.tee, miscselect="00000001", miscselectMask="00000001")
    return [
        no("qe-of-another-signer", "mrsigner", mrsigner=b"\x01" * 32),
        no("qe-of-another-product", "isvprodid", isvprodid=9),
        no("qe-with-miscselect", "miscselect", miscselect=1),
        no("qe-with-high-miscselect", "miscselect", miscselect=0x0100_0000),
        no("qe-in-debug", "attributes", attributes=flags),
        no("qe-not-initialised", "attributes", attributes=bytes(16)),
        forge.vector("qe-attributes-beyond-the-mask", shape=Shape(qe={"attributes": masked})),
        # The identity's MISCSELECT is a number in big-endian hex; the report's is little-endian.
        forge.vector(
            "qe-miscselect-wanted", shape=Shape(qe={"miscselect": 1}), collateral=forge.collateral(qe_identity=misc)
        ),
        forge.vector(
            "qe-miscselect-beyond-the-mask",
            shape=Shape(qe={"miscselect": 3}),
            collateral=forge.collateral(qe_identity=misc),
        ),
        forge.vector(
            "qe-miscselect-swapped",
            "rejected",
            "qe-identity.miscselect",
            shape=Shape(qe={"miscselect": 0x0100_0000}),
            collateral=forge.collateral(qe_identity=misc),
        ),
    ]
