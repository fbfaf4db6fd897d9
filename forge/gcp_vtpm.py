"""A forged Google: a machine with a vTPM whose AK a forged CA certified, and the CPU report that may stand beside it.

``ForgedGcp(now=…)`` is one machine; its AK is RSA or ECC, derived from a label. ``parts`` makes the vTPM's parts for a binding digest,
``component`` names them, so that a CPU's report can be made over ``digest.over((component,))``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from forge.certificates import Extra, der_name
from forge.tpm2 import Kind, SimulatedTpm, make_tpm
from forge.vtpm_ca import VtpmCa
from verifier.core.binding import BindingDigest, Component, evidence_component
from verifier.formats.encoding import sha256
from verifier.formats.x509 import OID_COMMON_NAME
from verifier.tee.gcp_vtpm.layout import OID_INSTANCE, Instance, encode_instance

SCHEME: Final = "gcp-vtpm"
CA_NAME: Final = "Google"
ORGANIZATION: Final = "Forged Search LLC (simulated)"
QUOTED: Final = tuple(range(24))
_FIRMWARE_VERSION: Final = 0x2016_0511_0016_2800
INSTANCE: Final = Instance(
    zone="forged-central1-a",
    project_number=117_499_992_169,
    project_id="forged-project",
    instance_id=6_797_134_567_890_123_456,
    instance_name="forged-instance",
    security_version=0,
    is_production=True,
    # As Google writes the properties that no document names.
    further=tuple((0xA2 + n, b"\x01\x01\x00") for n in range(4)),
)


def gcp_ca(now: int, generation: str = "") -> VtpmCa:
    """Return the forged CA of Google's vTPMs."""
    return VtpmCa(CA_NAME, ORGANIZATION, now, generation)


class ForgedGcp:
    """One machine."""

    def __init__(self, *, now: int, kind: Kind = "rsa", label: str = "gce vm 0", instance: Instance = INSTANCE) -> None:
        """``label`` tells machines apart: those of one label have the same AK in every process."""
        self.now = now
        self.ca = gcp_ca(now)
        self.instance = instance
        self.tpm: SimulatedTpm = make_tpm(kind, label=label)

    def configured(self, configuration: bytes, pcr: int = 15) -> None:
        """Extend the digest of the attester's configuration, as its boot does."""
        self.tpm = self.tpm.extended(pcr, sha256(configuration))

    def subject(self) -> bytes:
        """Return the subject as the newer hierarchy writes it."""
        return der_name(
            ("2.5.4.7", self.instance.zone),
            ("2.5.4.10", ORGANIZATION),
            ("2.5.4.11", self.instance.project_id),
            (OID_COMMON_NAME, str(self.instance.instance_id)),
        )

    def extensions(self, identity: bytes | None = None) -> tuple[Extra, ...]:
        """Return the instance identity as an extension."""
        return (Extra(OID_INSTANCE, encode_instance(self.instance) if identity is None else identity),)

    def ak_certificate(self, **changes: Any) -> bytes:
        """Return the AK's certificate, DER. ``changes`` as of ``VtpmCa.certify``."""
        settings: dict[str, Any] = {"subject": self.subject(), "extensions": self.extensions(), **changes}
        return self.ca.certify(self.tpm.ak.public_key(), **settings)

    def quote_parts(self, extra_data: bytes, pcrs: Sequence[int] = QUOTED, **fields: Any) -> dict[str, bytes]:
        """Return quote, signature, PCR values and event log; ``fields`` replace those of ``Quote``."""
        parts = self.tpm.parts(extra_data, pcrs, **{"firmware_version": _FIRMWARE_VERSION, **fields})
        return {name: data for name, data in parts.items() if name != "ak_name"}

    def parts(self, digest: BindingDigest) -> dict[str, bytes]:
        """Return the vTPM's parts of an envelope that answers a challenge; made first, with an empty list."""
        return self.quote_parts(digest.short)

    def endorsements(self) -> Mapping[str, bytes]:
        """Return what comes with the evidence."""
        return {"ak_cert": self.ak_certificate(), "ak_chain": self.ca.intermediate()}


def component(parts: Mapping[str, bytes]) -> Component:
    """Name the vTPM's parts, for the CPU report that is made after them."""
    return evidence_component(SCHEME, parts)
