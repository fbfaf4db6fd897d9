"""What a trust owner writes of NVIDIA devices: fields of the identity classes, and exceptions that a policy may name.

Golden measurements are the trust owner's own, taken from NVIDIA's reference measurements or from a device already trusted:
NVIDIA's signed RIM documents are not read here. Hex is lower case.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from verifier.tee.values import Values

ValueHex = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{2}){1,1024}$")]
BlockIndex = Annotated[str, StringConstraints(pattern=r"^([1-9]|[1-9][0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5])$")]
Text = Annotated[str, StringConstraints(pattern=r"^[ -~]{1,64}$")]
Serial = Annotated[str, StringConstraints(pattern=r"^[1-9a-f][0-9a-f]{0,39}$")]
Golden = Literal["any"] | Annotated[tuple[ValueHex, ...], Field(min_length=1, max_length=64, strict=False)]


Texts = Annotated[tuple[Text, ...], Field(min_length=1, strict=False)]
Features = Annotated[tuple[Literal["SPT", "MPT", "PPCIE"], ...], Field(min_length=1, strict=False)]
Allowed = Annotated[tuple[Serial, ...], Field(min_length=1, strict=False)]
Revocation = Literal["required"]
Denied = Annotated[tuple[Serial, ...], Field(strict=False)]


def _judges_something(measurements: dict[str, Any] | None) -> dict[str, Any] | None:
    if measurements is not None and all(golden == "any" for golden in measurements.values()):
        raise ValueError(
            "measurements: every block is any, so nothing is measured; list the field in unchecked instead"
        )
    return measurements


Measurements = Annotated[
    dict[BlockIndex, Golden], Field(min_length=1, max_length=255), AfterValidator(_judges_something)
]


class PlatformValues(Values):
    """Class ``platform``: which devices, in which mode."""

    # As the leaf names the chip: GH100, GB100, LS_10.
    chips: Texts | None = None
    # PROJECT_SKU_CHIPSKU, upper case: 1010_0205_862.
    products: Texts | None = None
    features: Features | None = None
    protected_pcie: bool | None = None
    nvdec0_enabled: bool | None = None
    # Serial numbers, in hex, of the certificates of the devices themselves (the second of the chain).
    device_allow: Allowed | None = None
    device_deny: Denied | None = None
    # NVIDIA's OCSP service has to have called every certificate good. A site that cannot ask lists the field in unchecked.
    revocation: Revocation | None = None


class FirmwareValues(Values):
    """Class ``firmware``: what runs on the device.

    ``measurements`` answers for every block that is not all zero: a list of the values that are right, or ``any`` for one that is
    not judged. A block that it does not name is a finding.
    """

    driver_versions: Texts | None = None
    vbios_versions: Texts | None = None
    measurements: Measurements | None = None


class GpuPlatformValues(Values):
    """Class ``platform`` of a machine with a GPU: the fields of ``PlatformValues``, told apart from the CPU's."""

    gpu_chips: Texts | None = None
    gpu_products: Texts | None = None
    gpu_features: Features | None = None
    gpu_protected_pcie: bool | None = None
    gpu_nvdec0_enabled: bool | None = None
    gpu_device_allow: Allowed | None = None
    gpu_device_deny: Denied | None = None
    gpu_revocation: Revocation | None = None


class GpuFirmwareValues(Values):
    """Class ``firmware`` of a machine with a GPU: the fields of ``FirmwareValues``, told apart from the CPU's."""

    gpu_driver_versions: Texts | None = None
    gpu_vbios_versions: Texts | None = None
    gpu_measurements: Measurements | None = None


class Exceptions(Values):
    """What an appraisal policy may except from the service's rules: there are none."""
