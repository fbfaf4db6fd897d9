"""What a trust owner writes of SEV-SNP: fields of the identity classes, and exceptions that a policy may name.

A bare SNP guest has no ``workload`` class: one launch measurement covers all that was loaded, so it is ``firmware``'s.
Hex is lower case. A table that is given has all its keys given, or the policy lists the rest in ``unchecked``.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from verifier.formats.fields import Hex16, Hex32, Hex48, Hex64
from verifier.tee.values import Values

Byte = Annotated[int, Field(ge=0, le=0xFF)]
Bits64 = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-f]{1,16}$")]
AbiVersion = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})$")]
FirmwareVersion = Annotated[
    str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})$")
]


class ClassicTcb(Values):
    """Lowest security version numbers of a Milan or Genoa: boot loader, TEE, SNP firmware, microcode."""

    bl: Byte
    tee: Byte
    snp: Byte
    ucode: Byte


class TurinTcb(ClassicTcb):
    """Lowest security version numbers of a Turin, which has an FMC too."""

    fmc: Byte


class ChipKey(Values):
    """The chip's own key signs: the report names its chip."""

    kind: Literal["VCEK"]


class ProviderKey(Values):
    """A key that AMD loaded for a provider signs: the report names no chip, so the provider is named."""

    kind: Literal["VLEK"]
    csp_id: Annotated[str, StringConstraints(min_length=1, max_length=256)]


class PlatformBits(Values):
    """PLATFORM_INFO as it has to be, bit by bit."""

    smt_enabled: bool | None = None
    tsme_enabled: bool | None = None
    ecc_enabled: bool | None = None
    rapl_disabled: bool | None = None
    ciphertext_hiding_enabled: bool | None = None
    alias_check_complete: bool | None = None
    tio_enabled: bool | None = None


class PlatformValues(Values):
    """Class ``platform``: which hardware, how new, whose."""

    # By product; a product that is not listed is refused.
    minimum_tcb: (
        Annotated[dict[Literal["Milan", "Genoa", "Turin"], ClassicTcb | TurinTcb], Field(min_length=1)] | None
    ) = None
    minimum_committed_version: FirmwareVersion | None = None
    signing_key: Annotated[ChipKey | ProviderKey, Field(discriminator="kind")] | None = None
    platform_info: PlatformBits | None = None
    # Mitigation bits that must be set (report version 5).
    launch_mitigations: Bits64 | None = None
    current_mitigations: Bits64 | None = None
    chip_allow: Annotated[tuple[Hex64, ...], Field(min_length=1, strict=False)] | None = None
    chip_deny: Annotated[tuple[Hex64, ...], Field(strict=False)] | None = None

    @model_validator(mode="after")
    def _fits(self) -> PlatformValues:
        for product, floor in (self.minimum_tcb or {}).items():
            if isinstance(floor, TurinTcb) != (product == "Turin"):
                raise ValueError(f"minimum_tcb.{product}: fmc is Turin's, and Turin's alone")
        if isinstance(self.signing_key, ProviderKey) and (self.chip_allow is not None or self.chip_deny is not None):
            raise ValueError("chip_allow, chip_deny: a VLEK names no chip, so a list of chips would check nothing")
        return self


class GuestPolicyBits(Values):
    """POLICY as the guest was launched with it, bit by bit. DEBUG and MIGRATE_MA are the service's rules."""

    smt_allowed: bool | None = None
    single_socket: bool | None = None
    cxl_allowed: bool | None = None
    mem_aes_256_xts: bool | None = None
    rapl_disabled: bool | None = None
    ciphertext_hiding: bool | None = None
    page_swap_disabled: bool | None = None


class FirmwareValues(Values):
    """Class ``firmware``: what was launched, and how."""

    measurement: Hex48 | None = None
    vmpl: Annotated[int, Field(ge=0, le=3)] | None = None
    guest_policy: GuestPolicyBits | None = None
    minimum_abi: AbiVersion | None = None
    minimum_guest_svn: Annotated[int, Field(ge=0, le=0xFFFFFFFF)] | None = None
    family_id: Hex16 | None = None
    image_id: Hex16 | None = None
    id_key_digest: Hex48 | None = None
    author_key_digest: Hex48 | None = None


class ConfigValues(Values):
    """Class ``config``: SHA-256 of the attester's configuration, given to the guest at launch as HOST_DATA."""

    host_data: Hex32 | None = None


class Exceptions(Values):
    """What an appraisal policy may except from the service's rules."""

    allow_debug: bool | None = None
    allow_migrate_ma: bool | None = None
    allow_migration_agent: bool | None = None
    allow_masked_chip_id: bool | None = None
    allow_unknown_policy_bits: bool | None = None
