"""What a trust owner writes of SGX: fields of the identity classes, and exceptions that a policy may name. Hex is lower case.

An enclave is one thing: its code is ``workload``, there is no ``firmware`` class.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from verifier.formats.fields import Hex16, Hex32, Hex64
from verifier.tee.dcap.identity import PlatformValues
from verifier.tee.values import Values

__all__ = ["ConfigValues", "Exceptions", "PlatformValues", "WorkloadValues"]

Word = Annotated[int, Field(ge=0, le=0xFFFF)]
Bits32 = Annotated[str, Field(pattern=r"^0x[0-9a-f]{8}$")]


class Signed(Values):
    """Who signed the enclave, which product it is, and its lowest version: every later one is accepted with it."""

    mrsigner: Hex32
    isvprodid: Word
    minimum_isvsvn: Word


class MaskedAttributes(Values):
    """ATTRIBUTES, 16 bytes as they stand (flags, XFRM): ``value`` in the places where ``mask`` has ones."""

    value: Hex16
    mask: Hex16 = "f" * 32

    @model_validator(mode="after")
    def _fits(self) -> MaskedAttributes:
        if int(self.value, 16) & ~int(self.mask, 16):
            raise ValueError("attributes: value has ones where mask has none")
        return self


class MaskedMiscselect(Values):
    """MISCSELECT as a number: ``value`` in the places where ``mask`` has ones."""

    value: Bits32
    mask: Bits32 = "0xffffffff"

    @model_validator(mode="after")
    def _fits(self) -> MaskedMiscselect:
        if int(self.value, 16) & ~int(self.mask, 16):
            raise ValueError("miscselect: value has ones where mask has none")
        return self


class WorkloadValues(Values):
    """Class ``workload``: what runs in the enclave, by its measurement or by its signer, or both."""

    mrenclave: Annotated[tuple[Hex32, ...], Field(min_length=1, max_length=256, strict=False)] | None = None
    signed: Signed | None = None
    attributes: MaskedAttributes | None = None
    miscselect: MaskedMiscselect | None = None
    isvextprodid: Hex16 | None = None
    isvfamilyid: Hex16 | None = None


class Configured(Values):
    """CONFIGID holds the digest of the attester's configuration; ``minimum_configsvn`` its lowest version.

    ``configid`` is the SHA-512 of the configuration, or whatever 64 bytes the loader was made to write. All zeros:
    the enclave takes no configuration from outside.
    """

    configid: Hex64
    minimum_configsvn: Word = 0


class ConfigValues(Values):
    """Class ``config``: given to the enclave at launch (needs the attribute KSS)."""

    configuration: Configured | None = None


class Exceptions(Values):
    """What an appraisal policy may except from the service's rules."""

    allow_debug: bool | None = None
    allow_provision_key: bool | None = None
    allow_einittoken_key: bool | None = None
    allow_unknown_attributes: bool | None = None
    allow_unknown_miscselect: bool | None = None
