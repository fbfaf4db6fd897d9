"""Vectors of ``tdx``, forged by ``forge.intel``. What ``sgx`` has too stands in ``dcap``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from forge.bootlog import secure_boot_variable
from forge.intel_cclog import log_area, measured_cc_boot
from forge.intel_documents import module_identity, svn_level
from forge.intel_quote import Shape
from tests.support.vectors import PartForm, Vector
from tests.vectors.dcap import tcb
from tests.vectors.dcap.forging import INTEL
from tests.vectors.dcap.wanted import every
from tests.vectors.tdx.wanted import (
    CONFIGURATION,
    FORGE,
    LOG,
    V5,
    attributes,
    booted,
    everything,
    modules,
    unwanted,
)
from verifier.tee.dcap import layout
from verifier.tee.tcg.layout import EV_SEPARATOR, SHA384, encode_event2


def part_forms() -> Mapping[str, PartForm]:
    """Return what each part of the evidence is."""
    return {
        "quote": PartForm("fixed", signed=((0, 48 + 584),), trailing=(0,)),
        "eventlog": PartForm("log"),
    }


# Kinds of needs and of instances, not checks.

_SIGNER: Final = b"\x01" * 48
_VE: Final = layout.TD_SEPT_VE_DISABLE


def _accepted() -> list[Vector]:
    vector = FORGE.vector
    extended = SHA384.digest(bytes(48) + CONFIGURATION)
    seam = b"\x01" + bytes(7)
    grown = measured_cc_boot().add(4, 0x6, b"AAEL")
    return [
        vector("v4-everything", values=everything()),
        vector("v5-td10", shape=Shape(version=5), values=everything()),
        vector("v5-td15", shape=V5, values=everything()),
        vector("v5-td15-extended", shape=Shape(version=5, body_type=layout.BODY_TD_15_EXTENDED), values=everything()),
        vector("no-log", parts={}),
        vector("log-area-of-ones", parts={"eventlog": log_area(LOG)}, values=everything()),
        vector("log-area-of-zeros", parts={"eventlog": log_area(LOG, fill=b"\x00")}),
        booted(
            measured_cc_boot(secure_boot=b"\x00"), "secure-boot-off-and-wanted", values={"firmware.secure-boot": False}
        ),
        booted(grown, "application-in-the-log"),
        # What extends RTMR3 writes no line into the boot's log.
        vector("rtmr3-extended-beside-the-log", fields={"rtmr3": _SIGNER}),
        vector(
            "configuration-in-mrconfigid",
            fields={"mrconfigid": CONFIGURATION},
            values={"config": {"place": "mrconfigid", "digest": CONFIGURATION.hex()}},
        ),
        vector(
            "configuration-in-rtmr3",
            fields={"rtmr3": extended},
            values={"config": {"place": "rtmr3", "digest": CONFIGURATION.hex()}},
        ),
        vector("rtmr3-of-no-configuration", values={"config": {"place": "rtmr3", "digest": "none"}}),
        vector("debug-allowed", fields={"tdattributes": attributes(0, _VE)}, values={"debug": True}),
        vector("sept-ve-allowed", fields={"tdattributes": bytes(8)}, values={"sept-ve-disable": True}),
        vector("migratable-allowed", fields={"tdattributes": attributes(_VE, 29)}, values={"migratable": True}),
        vector("service-td-named", shape=V5, fields={"mrservicetd": _SIGNER}, values={"mrservicetd": _SIGNER.hex()}),
        vector(
            "module-of-a-signer-that-is-named",
            fields={"mrsignerseam": _SIGNER},
            collateral=modules(_SIGNER),
            values={"mrsignerseam": _SIGNER.hex()},
        ),
        vector(
            "module-with-attributes-that-are-named",
            fields={"seamattributes": seam},
            collateral=modules(attributes_hex=seam.hex()),
            values={"seamattributes": seam.hex()},
        ),
        vector("every-known-attribute", fields={"tdattributes": attributes(_VE, 30, 31, 63)}),
    ]


def _malformed() -> list[Vector]:
    def bad(name: str, shape: Shape) -> Vector:
        return FORGE.vector(name, "malformed", "decode.quote", shape=shape)

    def log(name: str, data: bytes) -> Vector:
        return FORGE.vector(name, "malformed", "decode.eventlog", parts={"eventlog": data})

    def info(name: str, **changes: Any) -> Vector:
        return FORGE.vector(name, "malformed", "endorsement.tcb_info", collateral=tcb.levels(FORGE, **changes))

    one = module_identity(1, INTEL.module_levels())
    sgx_levels = INTEL.levels("sgx")
    return [
        bad("version-3", Shape(header={"version": 3})),
        bad("v5-body-type-1", Shape(version=5, written_body_type=1)),
        bad("v5-body-type-5", Shape(version=5, written_body_type=5)),
        bad("v5-body-type-of-another-size", Shape(version=5, written_body_type=3)),
        bad("v5-body-size", Shape(version=5, sizes={"body": 583})),
        bad("v5-td15-body-cut", Shape(version=5, body_type=3, body=bytes(584))),
        bad("outer-type-5", Shape(outer_type=5)),
        bad("v5-outer-type-1", Shape(version=5, outer_type=1)),
        log("log-empty", b""),
        log("log-of-padding", b"\xff" * 4096),
        log("log-cut-in-an-event", LOG.to_bytes()[:-1]),
        log("log-of-register-5", LOG.to_bytes() + encode_event2(5, EV_SEPARATOR, [(SHA384.id, bytes(48))], b"")),
        log("log-too-long", log_area(LOG, size=1024 * 1024 + 1)),
        info("tcb-info-module-twice", modules=[one, {**one, "id": "tdx_01"}]),
        info("tcb-info-module-without-name", modules=[{**one, "id": "QE"}]),
        info("tcb-info-module-short-signer", modules=[{**one, "mrsigner": "00"}]),
        info("tcb-info-module-svn-256", modules=[module_identity(1, [svn_level(256, "UpToDate")])]),
        info("tcb-info-without-module", tdxModule=None),
        info("tcb-info-without-tdx-components", levels=sgx_levels),
        info("tcb-info-version-2", version=2, id="TDX"),
    ]


def _module() -> list[Vector]:
    """TDX modules that are not the ones of their identities. The rules would refuse them too, so they are told otherwise."""

    def no(name: str, check: str, value: bytes, *, version: int = 1, **told: Any) -> Vector:
        field = {"mrsigner": "mrsignerseam", "attributes": "seamattributes"}[check]
        fields = {field: value, "tee_tcb_svn": bytes((5, version, 3)) + bytes(13)}
        return FORGE.vector(name, "rejected", f"module.{check}", fields=fields, values={field: value.hex()}, **told)

    seam = b"\x00" * 7 + b"\x80"
    return [
        no("module-1-of-another-signer", "mrsigner", _SIGNER),
        no("module-0-of-another-signer", "mrsigner", _SIGNER, version=0),
        no("module-1-signer-of-its-identity-lacking", "mrsigner", bytes(48), collateral=modules(_SIGNER)),
        no("module-1-with-attributes", "attributes", seam),
        no("module-0-with-attributes", "attributes", seam, version=0),
        no(
            "module-1-attributes-of-its-identity-lacking",
            "attributes",
            bytes(8),
            collateral=modules(attributes_hex=seam.hex()),
        ),
    ]


def _event_log() -> list[Vector]:
    """Logs that are not this boot's, or say what was not measured."""
    no: Final = "rejected"
    replay, data = "eventlog.replay", "eventlog.data"

    def log(name: str, check: str, content: bytes, **fields: bytes) -> Vector:
        return FORGE.vector(name, no, check, parts={"eventlog": content}, fields=fields)

    whole = LOG.to_bytes()
    flipped = whole.replace(SHA384.digest(b"the boot loader's image"), SHA384.digest(b"another image"))
    grown = measured_cc_boot().add(4, 0x6, b"AAEL").to_bytes()
    return [
        log("log-of-another-boot", replay, measured_cc_boot(kernel=b"another").to_bytes()),
        log("log-digest-changed", replay, flipped),
        log("log-cut-between-events", replay, b"".join(LOG.events[:-1])),
        log("log-without-events", replay, LOG.events[0]),
        log("log-and-rtmr0-of-others", replay, whole, rtmr0=bytes(48)),
        log("log-and-rtmr2-grown", replay, whole, rtmr2=_SIGNER),
        log("log-with-application-and-quote-without", replay, grown),
        log("log-data-changed", data, whole.replace(secure_boot_variable(), secure_boot_variable(b"\x00"))),
        log("log-event-relabelled", replay, whole.replace(b"\x01\0\0\0\x04\0\0\0", b"\x01\0\0\0\x03\0\0\0", 1)),
    ]


@cache
def vectors() -> tuple[Vector, ...]:
    """Forge the vectors, once a process."""
    return (
        *_accepted(),
        *_malformed(),
        *_module(),
        *_event_log(),
        *unwanted(),
        *tcb.module_states(FORGE),
        *every(FORGE),
    )
