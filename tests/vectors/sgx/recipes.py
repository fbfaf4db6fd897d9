"""Vectors of ``sgx``, forged by ``forge.intel``. What ``tdx`` has too stands in ``dcap``."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from forge.intel_documents import tcb_level
from forge.intel_quote import Shape
from tests.support.vectors import PartForm, Vector
from tests.vectors.dcap.forging import DATA, INTEL, Forge
from tests.vectors.dcap.wanted import every, everything
from verifier.tee.dcap import layout

FORGE: Final = Forge("sgx")


def part_forms() -> Mapping[str, PartForm]:
    """Return what each part of the evidence is."""
    return {"quote": PartForm("fixed", signed=((0, 48 + 384),), trailing=(0,))}


# Kinds of needs and of instances, not checks.

_ENCLAVE: Final = INTEL.enclave()
_SIGNER: Final = bytes(_ENCLAVE["mrsigner"]).hex()
_FLAGS: Final = struct.unpack("<Q", bytes(_ENCLAVE["attributes"])[:8])[0]


def attributes(flags: int, xfrm: int = 0xE7) -> bytes:
    """Write ATTRIBUTES."""
    return struct.pack("<QQ", flags, xfrm)


def _everything() -> dict[str, Any]:
    """Return values of every identity rule that the wholesome enclave satisfies."""
    return {
        **everything(INTEL),
        "mrenclave": ["11" * 32, bytes(_ENCLAVE["mrenclave"]).hex()],
        "signed": {"mrsigner": _SIGNER, "isvprodid": 7, "minimum_isvsvn": 2},
        "attributes": {"value": attributes(_FLAGS).hex(), "mask": "f" * 32},
        "miscselect": {"value": "0x00000000", "mask": "0xffffffff"},
        "isvextprodid": "0" * 32,
        "isvfamilyid": "0" * 32,
        "configid": {"configid": "0" * 128, "minimum_configsvn": 0},
    }


def _v2(status: str) -> dict[str, bytes]:
    return FORGE.collateral(tcb_info=INTEL.signed_tcb_info("sgx", version=2, status=status))


def _accepted() -> list[Vector]:
    vector = FORGE.vector
    return [
        vector("v3-everything", values=_everything()),
        vector("v4", shape=Shape(version=4), values=_everything()),
        vector("v5", shape=Shape(version=5)),
        vector("tcb-info-version-2", collateral=_v2("UpToDate"), values={"tcb.status": ["UpToDate"]}),
        vector("debug-allowed", fields={"attributes": attributes(_FLAGS | 2)}, values={"debug": True}),
        vector("every-known-attribute-but-the-keys", fields={"attributes": attributes(_FLAGS | 0x4C0)}),
        vector("miscselect-known", fields={"miscselect": 3}),
        vector(
            "attributes-under-mask",
            fields={"attributes": attributes(_FLAGS | 0x80, 0xFF)},
            values={"attributes": {"value": "05" + "0" * 30, "mask": "07" + "0" * 30}},
        ),
        vector(
            "configuration-given",
            fields={"configid": b"\x07" * 32 + bytes(32), "configsvn": 3},
            values={"configid": {"configid": "07" * 32 + "0" * 64, "minimum_configsvn": 3}},
        ),
    ]


def _malformed() -> list[Vector]:
    body = layout.SGX_REPORT.encode({**_ENCLAVE, "report_data": DATA})

    def bad(name: str, shape: Shape) -> Vector:
        return FORGE.vector(name, "malformed", "decode.quote", shape=shape)

    wrong = INTEL.tcb_info("sgx", version=2)
    named = {**wrong, "id": "TDX"}
    lacking = {**wrong, "tcbLevels": [tcb_level("UpToDate", range(15), 1, version=2)]}
    return [
        *(
            bad(f"reserved-{at:03x}", Shape(body=body[:at] + b"\x01" + body[at + 1 :]))
            for at in (21, 31, 96, 127, 160, 191, 262, 303)
        ),
        bad("v3-with-tee-type", Shape(header={"tee_type": 0x81})),
        bad("v5-body-type-2", Shape(version=5, written_body_type=2)),
        bad("v5-body-type-0", Shape(version=5, written_body_type=0)),
        bad("v5-body-size", Shape(version=5, sizes={"body": 383})),
        bad("v4-outer-type-5", Shape(version=4, outer_type=5)),
        bad("v4-outer-size", Shape(version=4, sizes={"outer": 1})),
        FORGE.vector(
            "tcb-info-version-2-of-tdx",
            "malformed",
            "endorsement.tcb_info",
            collateral=FORGE.collateral(tcb_info=INTEL.signed_tcb_info("sgx", named)),
        ),
        FORGE.vector(
            "tcb-info-version-2-lacks-a-component",
            "malformed",
            "endorsement.tcb_info",
            collateral=FORGE.collateral(tcb_info=INTEL.signed_tcb_info("sgx", lacking)),
        ),
    ]


def _unwanted() -> list[Vector]:
    """Genuine enclaves that nobody wants: one a rule at least."""

    def no(name: str, rule: str, value: Any = None, **fields: bytes | int) -> Vector:
        values = {} if value is None else {rule: value}
        return FORGE.vector(name, "rejected", rule, fields=fields, values=values)

    def signed(**changes: Any) -> dict[str, Any]:
        return {"mrsigner": _SIGNER, "isvprodid": 7, "minimum_isvsvn": 3, **changes}

    exact = {"value": attributes(_FLAGS).hex(), "mask": "f" * 32}
    return [
        no("debug", "debug", attributes=attributes(_FLAGS | 2)),
        no("provision-key", "provision-key", attributes=attributes(_FLAGS | 0x10)),
        no("einittoken-key", "einittoken-key", attributes=attributes(_FLAGS | 0x20)),
        no("attribute-bit-8", "attributes.unknown", attributes=attributes(_FLAGS | 0x100)),
        no("attribute-bit-63", "attributes.unknown", attributes=attributes(_FLAGS | 1 << 63)),
        no("not-initialised", "attributes.unknown", attributes=attributes(_FLAGS & ~1)),
        no("miscselect-bit-2", "miscselect.unknown", miscselect=4),
        no("miscselect-bit-31", "miscselect.unknown", miscselect=1 << 31),
        no("enclave-of-another-build", "mrenclave", ["11" * 32]),
        no("signer-other", "signed", signed(mrsigner="11" * 32)),
        no("product-other", "signed", signed(isvprodid=8)),
        no("isvsvn-low", "signed", signed(minimum_isvsvn=4)),
        no("attributes-other", "attributes", exact, attributes=attributes(_FLAGS, 0x3)),
        no("attributes-other-flag", "attributes", exact, attributes=attributes(_FLAGS | 0x80)),
        no("miscselect-other", "miscselect", {"value": "0x00000000", "mask": "0x00000001"}, miscselect=1),
        no("isvextprodid-other", "isvextprodid", "0" * 32, isvextprodid=b"\x01" * 16),
        no("isvfamilyid-other", "isvfamilyid", "0" * 32, isvfamilyid=b"\x01" * 16),
        no("configid-other", "configid", {"configid": "0" * 128, "minimum_configsvn": 0}, configid=b"\x01" * 64),
        no("configid-cut", "configid", {"configid": "07" * 64, "minimum_configsvn": 0}, configid=b"\x07" * 63 + b"\0"),
        no("configsvn-low", "configid", {"configid": "0" * 128, "minimum_configsvn": 2}, configsvn=1),
        FORGE.vector(
            "tcb-info-version-2-out-of-date",
            "rejected",
            "tcb.status",
            collateral=_v2("OutOfDate"),
            values={"tcb.status": ["UpToDate"]},
        ),
    ]


@cache
def vectors() -> tuple[Vector, ...]:
    """Forge the vectors, once a process."""
    return (*_accepted(), *_malformed(), *_unwanted(), *every(FORGE))
