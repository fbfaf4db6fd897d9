"""What a trust owner writes of Arm CCA: fields of the identity classes, and exceptions that a policy may name. Hex is lower case."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from verifier.formats.fields import Hex32, Hex64
from verifier.tee.values import Values

Hex33 = Annotated[str, StringConstraints(pattern=r"^01[0-9a-f]{64}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$")]
AnyHex = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{2}){1,4096}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=512)]
RegisterName = Annotated[str, StringConstraints(pattern=r"^[0-3]$")]


class SoftwareComponent(Values):
    """One piece of platform software: who signed it, and the measurements that are right. ``type`` where the token names it."""

    type: Text | None = None
    signer_id: Digest
    measurements: Annotated[tuple[Digest, ...], Field(min_length=1, max_length=64, strict=False)]


class PlatformValues(Values):
    """Class ``platform``: which chips, with which firmware below the realm."""

    implementation_ids: Annotated[tuple[Hex32, ...], Field(min_length=1, strict=False)] | None = None
    # Closed: every component of the token is one of these, and each of these is there.
    software: Annotated[tuple[SoftwareComponent, ...], Field(min_length=1, max_length=64, strict=False)] | None = None
    configurations: Annotated[tuple[AnyHex, ...], Field(min_length=1, strict=False)] | None = None
    instance_allow: Annotated[tuple[Hex33, ...], Field(min_length=1, strict=False)] | None = None
    instance_deny: Annotated[tuple[Hex33, ...], Field(strict=False)] | None = None


class FirmwareValues(Values):
    """Class ``firmware``: what was loaded into the realm before it was started, as RIM."""

    initial_measurement: Digest | None = None


class WorkloadValues(Values):
    """Class ``workload``: what the realm extended since, by register."""

    extensible_measurements: dict[RegisterName, Digest] | None = None
    key_space: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {"extensible_measurements": ("0", "1", "2", "3")}
    )


class ConfigValues(Values):
    """Class ``config``: SHA-512 of the attester's configuration, given to the realm at its creation as personalisation value."""

    personalization_value: Hex64 | None = None


class Exceptions(Values):
    """What an appraisal policy may except from the service's rules."""

    allow_unsecured_lifecycle: bool | None = None
