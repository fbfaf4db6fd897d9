"""Vectors of trust domains that nobody wants, and the values that a wholesome one satisfies."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from forge.bootlog import COMMAND_LINE, INITRD, KERNEL, BootLog
from forge.intel import MODULE_SVN
from forge.intel_cclog import EV_EFI_PLATFORM_FIRMWARE_BLOB2, measured_cc_boot, rtmrs_of
from forge.intel_documents import module_identity, svn_level
from forge.intel_quote import Shape
from tests.support.vectors import Vector
from tests.vectors.dcap import wanted
from tests.vectors.dcap.forging import INTEL, Forge
from tests.vectors.dcap.tcb import levels, platform_states
from verifier.tee.dcap import layout
from verifier.tee.tcg.layout import EV_SEPARATOR, SHA384
from verifier.tee.tdx.decode import decode

LOG: Final = measured_cc_boot()
FORGE: Final = Forge("tdx", {"eventlog": LOG.to_bytes()})
V5: Final = Shape(version=5, body_type=layout.BODY_TD_15)
_TD: Final = INTEL.trust_domain()
_GLOBAL, _DATABASE = "8be4df61-93ca-11d2-aa0d-00e098032b8c", "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
CONFIGURATION: Final = hashlib.sha384(b"a configuration from outside").digest()


def hexed(name: str) -> str:
    """Return a field of the wholesome TD report, hex."""
    return bytes(_TD[name]).hex()


def attributes(*bits: int) -> bytes:
    """Write TDATTRIBUTES."""
    return sum(1 << bit for bit in bits).to_bytes(8, "little")


def _variable(name: str, value: bytes, vendor: str = _GLOBAL) -> dict[str, Any]:
    return {
        "type": "EV_EFI_VARIABLE_DRIVER_CONFIG",
        "variable": {"vendor": vendor, "name": name, "values": [value.hex()]},
    }


def _digest(event_type: str, hashed: bytes) -> dict[str, Any]:
    return {"type": event_type, "digests": [SHA384.digest(hashed).hex()]}


FIRMWARE_RULES: Final = [
    {
        "index": 1,
        "until": "separator",
        "events": [
            _digest("EV_EFI_PLATFORM_FIRMWARE_BLOB2", b"the hand-off block of the virtual firmware"),
            _variable("SecureBoot", b"\x01"),
            _variable("PK", b"simulated PK"),
            _variable("db", b"simulated db", _DATABASE),
            {
                "type": "EV_EFI_VARIABLE_BOOT2",
                "variable": {"vendor": _GLOBAL, "name": "BootOrder", "values": ["0000"]},
            },
        ],
    }
]
WORKLOAD_RULES: Final = [
    {
        "index": 2,
        "until": "end",
        "events": [
            {"type": "EV_EFI_ACTION", "texts": ["Calling EFI Application from Boot Option"]},
            {"type": "EV_SEPARATOR", "data": ["00000000"]},
            _digest("EV_EFI_BOOT_SERVICES_APPLICATION", b"the boot loader's image"),
            {"type": "EV_EFI_ACTION", "texts": ["Exit Boot Services Returned with Success"]},
        ],
    },
    {
        "index": 3,
        "until": "end",
        "events": [{"type": "EV_IPL", "texts": [text.decode()]} for text in (COMMAND_LINE, KERNEL, INITRD)],
    },
]


def everything(**changes: Any) -> dict[str, Any]:
    """Return values of every identity rule that the wholesome trust domain satisfies."""
    return {
        **wanted.everything(INTEL),
        "mrseam": ["11" * 48, hexed("mrseam")],
        "mrtd": [hexed("mrtd")],
        "tdattributes": {"pks": False, "key_locker": False, "perfmon": False},
        "xfam": hexed("xfam"),
        "mrowner": "0" * 96,
        "mrownerconfig": "0" * 96,
        "rtmr0": hexed("rtmr0"),
        "firmware.event-log": FIRMWARE_RULES,
        "firmware.secure-boot": True,
        "rtmrs": {"1": hexed("rtmr1"), "2": hexed("rtmr2"), "3": "0" * 96},
        "workload.event-log": WORKLOAD_RULES,
        "config": {"place": "mrconfigid", "digest": "none"},
        **changes,
    }


def booted(log: BootLog, name: str, rule: str = "", **told: Any) -> Vector:
    """Forge a vector of a domain that booted otherwise: its log and the RTMRs that it leads to."""
    fields: dict[str, bytes | int] = {**rtmrs_of(log), **told.pop("fields", {})}
    outcome: dict[str, Any] = {"outcome": "rejected", "check_id": rule} if rule else {}
    return FORGE.vector(name, fields=fields, parts={"eventlog": log.to_bytes()}, **outcome, **told)


def modules(mrsigner: bytes = bytes(48), attributes_hex: str = "0" * 16) -> dict[str, bytes]:
    """Return collateral whose identity of module version 1 has another signer or attributes."""
    identity = module_identity(
        1, [svn_level(MODULE_SVN, "UpToDate")], mrsigner=mrsigner.hex(), attributes=attributes_hex
    )
    return levels(FORGE, modules=[identity])


def unwanted() -> list[Vector]:
    """Genuine trust domains that nobody wants: one a rule at least."""

    def no(name: str, rule: str, value: Any = None, **told: Any) -> Vector:
        values = {} if value is None else {rule: value}
        fields = {key: told.pop(key) for key in (*told,) if key in layout.TDX_FIELDS}
        return FORGE.vector(name, "rejected", rule, fields=fields, values=values, **told)

    def attribute(name: str, rule: str, *bits: int) -> Vector:
        return no(name, rule, tdattributes=attributes(*bits))

    ve, signer = layout.TD_SEPT_VE_DISABLE, b"\x01" * 48
    bits = {"pks": layout.TD_PKS, "key_locker": layout.TD_KL, "perfmon": layout.TD_PERFMON}
    once = SHA384.digest(bytes(48) + CONFIGURATION)
    return [
        *(attribute(f"debug-bit-{bit}", "debug", bit, ve) for bit in range(8)),
        attribute("sept-ve", "sept-ve-disable"),
        attribute("migratable", "migratable", ve, layout.TD_MIGRATABLE),
        *(attribute(f"attribute-bit-{bit}", "tdattributes.unknown", ve, bit) for bit in (8, 27, 32, 62)),
        no("service-td", "mrservicetd", shape=V5, mrservicetd=signer),
        no("service-td-of-another", "mrservicetd", "02" * 48, shape=V5, mrservicetd=signer),
        no("service-td-wanted-and-none", "mrservicetd", "01" * 48),
        no("module-of-another-signer", "mrsignerseam", mrsignerseam=signer, collateral=modules(signer)),
        no("module-with-attributes", "seamattributes", seamattributes=b"\x01" + bytes(7),
           collateral=modules(attributes_hex="01" + "0" * 14)),
        no("mrseam-other", "mrseam", ["11" * 48]),
        no("mrtd-other", "mrtd", ["11" * 48]),
        *(no(f"{name}-set", "tdattributes", {name: False}, tdattributes=attributes(ve, bit)) for name, bit in bits.items()),
        no("pks-wanted", "tdattributes", {"pks": True, "perfmon": False}),
        no("xfam-other", "xfam", "e7" + "0" * 14),
        no("mrowner-other", "mrowner", "0" * 96, mrowner=signer),
        no("mrownerconfig-other", "mrownerconfig", "0" * 96, mrownerconfig=signer),
        no("rtmr0-other", "rtmr0", "11" * 48),
        *(no(f"rtmr{n}-other", "rtmrs", {str(n): "11" * 48}) for n in (1, 2, 3)),
        no("rtmr3-extended", "rtmrs", {"3": "0" * 96}, rtmr3=once),
        no("mrconfigid-other", "config", {"place": "mrconfigid", "digest": "11" * 48}, mrconfigid=CONFIGURATION),
        no("mrconfigid-set-where-none", "config", {"place": "mrconfigid", "digest": "none"}, mrconfigid=CONFIGURATION),
        no("mrconfigid-never-given", "config", {"place": "mrconfigid", "digest": CONFIGURATION.hex()}),
        no("rtmr3-another-configuration", "config", {"place": "rtmr3", "digest": "11" * 48}, rtmr3=once),
        no("rtmr3-not-extended", "config", {"place": "rtmr3", "digest": CONFIGURATION.hex()}),
        no("rtmr3-extended-where-none", "config", {"place": "rtmr3", "digest": "none"}, rtmr3=once),
        no("rtmr3-extended-twice", "config", {"place": "rtmr3", "digest": CONFIGURATION.hex()},
           rtmr3=SHA384.digest(once + CONFIGURATION)),
        *_logs(),
    ]  # fmt: skip


def _logs() -> list[Vector]:
    """Logs that replay and say what nobody wants."""
    secure, firmware, workload = "firmware.secure-boot", "firmware.event-log", "workload.event-log"

    def no(name: str, log: BootLog, rule: str, value: Any) -> Vector:
        return booted(log, name, rule, values={rule: value})

    def without(name: str, rule: str, value: Any) -> Vector:
        return FORGE.vector(name, "rejected", rule, parts={}, values={rule: value})

    late = measured_cc_boot(secure_boot=b"")
    return [
        no("secure-boot-off", measured_cc_boot(secure_boot=b"\x00"), secure, value=True),
        no("secure-boot-empty", late, secure, value=True),
        no("secure-boot-on-where-off", LOG, secure, value=False),
        no("no-separator", BootLog((SHA384,)).add(1, EV_EFI_PLATFORM_FIRMWARE_BLOB2, b"x"), secure, value=True),
        no("firmware-of-another-build", _other_firmware(), firmware, FIRMWARE_RULES),
        no("secure-boot-off-in-the-rules", measured_cc_boot(secure_boot=b"\x00"), firmware, FIRMWARE_RULES),
        no("kernel-other", measured_cc_boot(kernel=b"another"), workload, WORKLOAD_RULES),
        no("command-line-other", measured_cc_boot(command_line=b"init=/bin/sh"), workload, WORKLOAD_RULES),
        no("one-event-more", measured_cc_boot().add(3, EV_SEPARATOR, bytes(4)), workload, WORKLOAD_RULES),
        # A rule's digests are SHA-384 here; the SHA-256 of the same bytes means nothing.
        no("sha256-of-it", LOG, workload, _with_sha256()),
        without("no-log-and-secure-boot-wanted", secure, value=True),
        without("no-log-and-firmware-wanted", firmware, FIRMWARE_RULES),
        without("no-log-and-workload-wanted", workload, WORKLOAD_RULES),
    ]


def _other_firmware() -> BootLog:
    log = BootLog((SHA384,))
    log.add(1, EV_EFI_PLATFORM_FIRMWARE_BLOB2, b"\x09TDX table", hashed=b"another hand-off block")
    return log.add(1, EV_SEPARATOR, bytes(4))


def _with_sha256() -> list[dict[str, Any]]:
    digests = [hashlib.sha256(text).hexdigest() for text in (COMMAND_LINE, KERNEL, INITRD)]
    return [{"index": 3, "until": "end", "events": [{"type": "EV_IPL", "digests": [d]} for d in digests]}]


@dataclass(frozen=True, slots=True)
class Domain:
    """A trust domain of a vector, as far as a quote can be asked for again."""

    shape: Shape
    fields: Mapping[str, Any]

    def quote(self, report_data: bytes) -> bytes:
        """Return the domain's quote with other user data."""
        return INTEL.quote("tdx", shape=self.shape, **{**self.fields, "report_data": report_data})


def lifted(rules: Collection[str]) -> Iterator[tuple[Vector, Domain]]:
    """Yield what a composite inherits: each vector of a genuine domain that one of ``rules`` refuses.

    One whose fault is another platform's or its quoting enclave's is left out.
    """
    for bare in (*unwanted(), *wanted.unwanted(FORGE), *platform_states(FORGE)):
        if bare.check_id not in rules or bare.outcome != "rejected":
            continue
        read = decode({"quote": bare.parts["quote"]})
        names = (f.name for f in layout.BODIES[read.quote.body_type].fields if f.kind != "zero")
        shape = Shape(version=read.quote.version, body_type=read.quote.body_type)
        domain = Domain(shape, {name: getattr(read.report, name) for name in names})
        if domain.quote(read.report.report_data) == bare.parts["quote"]:
            yield bare, domain
