"""What a trust owner writes of NVIDIA devices: fields of the identity classes, and exceptions that a policy may name.

Golden measurements are the trust owner's own, taken from NVIDIA's reference measurements or from a device already trusted:
NVIDIA's signed RIM documents are not read here. Hex is lower case.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from verifier.tee.base import Values

ValueHex = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{2}){1,1024}$")]
BlockIndex = Annotated[str, StringConstraints(pattern=r"^([1-9]|[1-9][0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5])$")]
Text = Annotated[str, StringConstraints(pattern=r"^[ -~]{1,64}$")]
Serial = Annotated[str, StringConstraints(pattern=r"^[1-9a-f][0-9a-f]{0,39}$")]
Golden = Literal["any"] | Annotated[tuple[ValueHex, ...], Field(min_length=1, max_length=64, strict=False)]


class PlatformValues(Values):
    """Class ``platform``: which devices, in which mode."""

    # As the leaf names the chip: GH100, GB100, LS_10.
    chips: Annotated[tuple[Text, ...], Field(min_length=1, strict=False)] | None = None
    # PROJECT_SKU_CHIPSKU, upper case: 1010_0205_862.
    products: Annotated[tuple[Text, ...], Field(min_length=1, strict=False)] | None = None
    features: Annotated[tuple[Literal["SPT", "MPT", "PPCIE"], ...], Field(min_length=1, strict=False)] | None = None
    protected_pcie: bool | None = None
    nvdec0_enabled: bool | None = None
    # Serial numbers, in hex, of the certificates of the devices themselves (the second of the chain).
    device_allow: Annotated[tuple[Serial, ...], Field(min_length=1, strict=False)] | None = None
    device_deny: Annotated[tuple[Serial, ...], Field(strict=False)] | None = None


class FirmwareValues(Values):
    """Class ``firmware``: what runs on the device.

    ``measurements`` answers for every block that is not all zero: a list of the values that are right, or ``any`` for one that is
    not judged. A block that it does not name is a finding.
    """

    driver_versions: Annotated[tuple[Text, ...], Field(min_length=1, strict=False)] | None = None
    vbios_versions: Annotated[tuple[Text, ...], Field(min_length=1, strict=False)] | None = None
    measurements: Annotated[dict[BlockIndex, Golden], Field(min_length=1, max_length=255)] | None = None

    @model_validator(mode="after")
    def _judges_something(self) -> FirmwareValues:
        if self.measurements is not None and all(golden == "any" for golden in self.measurements.values()):
            raise ValueError("measurements: every block is any, so nothing is measured; list it in unchecked instead")
        return self


class Exceptions(Values):
    """What an appraisal policy may except from the service's rules: there are none."""
