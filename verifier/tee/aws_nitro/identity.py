"""What a trust owner writes of a Nitro enclave: fields of the identity classes, and the exception that a policy may name.

There is no ``firmware`` class: PCR0 covers the whole image, PCR1 its kernel and bootstrap, PCR2 the application, and all of it is
the workload's. PCR values are SHA-384, hex in lower case, as ``nitro-cli build-enclave`` prints them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, Field, StringConstraints

from verifier.formats.fields import Sha384Hex
from verifier.tee.aws_nitro.layout import FIRST_USER_PCR, IMAGE_PCRS
from verifier.tee.values import Values

PcrIndex = Annotated[str, StringConstraints(pattern=r"^(?:[0-9]|[12][0-9]|3[01])$")]
InstanceId = Annotated[str, StringConstraints(pattern=r"^i-[0-9a-f]{8,32}$")]
IMAGE: Final = tuple(str(index) for index in IMAGE_PCRS)
_ZERO: Final = "0" * 96
_LEAF_LIFE: Final = 3 * 3600 + 60


def _measured(values: dict[str, str]) -> dict[str, str]:
    for index in IMAGE:
        if values.get(index) == _ZERO:
            raise ValueError(f"pcrs.{index}: got all zero, want what was measured: zero is an enclave in debug mode")
    return values


class PlatformValues(Values):
    """Class ``platform``: whose root vouches for it, on which EC2 instances it may run, how old a document may be."""

    root: Literal["vendor", "private", "simulated"] | None = None
    # EC2 instance ids of the parents (``i-0123…``): the first part of module_id.
    instances: Annotated[tuple[InstanceId, ...], Field(min_length=1, max_length=100_000, strict=False)] | None = None
    max_age: Annotated[int, Field(ge=1, le=_LEAF_LIFE)] | None = None  # seconds since the document's timestamp


class WorkloadValues(Values):
    """Class ``workload``: PCR values by index. Always 0 to 2; 3 role, 4 instance, 8 signing certificate and the user's where named."""

    key_space: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType({"pcrs": IMAGE})
    pcrs: Annotated[dict[PcrIndex, Sha384Hex], Field(min_length=1), AfterValidator(_measured)] | None = None


class Extended(Values):
    """A user PCR extended once, from zero, with the SHA-384 of the attester's configuration (docs/attester.md).

    ``digest: none`` is for an attester that takes no configuration from outside its image: the PCR was never extended.
    """

    digest: Sha384Hex | Literal["none"]
    pcr: Annotated[int, Field(ge=FIRST_USER_PCR, le=31)] = FIRST_USER_PCR


class ConfigValues(Values):
    """Class ``config``: the attester's own configuration, measured before it was obeyed."""

    extended: Extended | None = None


class Exceptions(Values):
    """What an appraisal policy may except from the service's rules."""

    allow_debug: bool | None = None
