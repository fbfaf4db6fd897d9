"""What a trust owner writes: fields of the identity classes, and exceptions that a policy may name.

A CPU's fields stand in a table of their own, ``sev_snp`` or ``tdx``; the one that ``cpu`` does not name is listed in ``unchecked``.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from verifier.tee.sev_snp import identity as snp
from verifier.tee.tdx import identity as td
from verifier.tee.tpm2 import identity as tpm2
from verifier.tee.values import Values

Name = Annotated[str, Field(min_length=1, max_length=256)]
Names = Annotated[tuple[Name, ...], Field(min_length=1, max_length=10_000, strict=False)]
Number = Annotated[str, Field(pattern=r"^(?:0|[1-9][0-9]{0,19})$")]


class SnpPlatform(snp.PlatformValues):
    """The chip beside the vTPM. Whose key signs has to be said."""

    signing_key: Annotated[snp.ChipKey | snp.ProviderKey, Field(discriminator="kind")]


class Platform(Values):
    """Class ``platform``: whose machine, where, which CPU stands beside the vTPM."""

    cpu: Literal["none", "sev-snp", "tdx"] | None = None
    # Project ids (which may be used again) or project numbers (which are not), in decimal.
    projects: Names | None = None
    zones: Names | None = None
    instances: Annotated[tuple[Number, ...], Field(min_length=1, max_length=10_000, strict=False)] | None = None
    production: Literal[True] | None = None  # Google's own word on its hypervisor
    ak_digests: tpm2.KeyDigests | None = None
    sev_snp: SnpPlatform | None = None
    tdx: td.PlatformValues | None = None


class Firmware(tpm2.PcrFirmware):
    """Class ``firmware``: PCR 0 to 7, and what the CPU measured at launch."""

    sev_snp: snp.FirmwareValues | None = None
    tdx: td.FirmwareValues | None = None


class Workload(tpm2.PcrWorkload):
    """Class ``workload``: boot loader, kernel, applications, by PCRs, the event log, or RTMRs."""

    tdx: td.WorkloadValues | None = None


class Config(tpm2.Config):
    """Class ``config``: digest of the attester's configuration in a PCR."""


class Exceptions(snp.Exceptions, td.Exceptions):
    """What an appraisal policy may except from the CPUs' service rules; ``allow_debug`` means the same of both."""
