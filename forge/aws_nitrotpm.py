"""A forged EC2 instance with NitroTPM: the forged Nitro's documents, and a forged TPM that quotes beside them."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from forge.aws_nitro import ABSENT, INSTANCE, ForgedNitro
from forge.bootlog import BootLog, measured_boot
from forge.tpm2 import PrivateKey, SimulatedTpm, make_tpm, pcr_digest
from verifier.core.binding import BindingDigest
from verifier.formats.encoding import canonical
from verifier.formats.x509chain import Anchor
from verifier.tee.aws_nitro import layout as nitro
from verifier.tee.aws_nitrotpm import layout
from verifier.tee.tcg.layout import SHA256, SHA384, extend, initial_register
from verifier.tee.tpm2.layout import ALG_ECDSA, Selection

MODULE: Final = f"{INSTANCE}-tpm0000000000000000"
EVERY_PCR: Final = tuple(range(nitro.NITROTPM_PCRS_COUNT))


def point(key: PrivateKey) -> bytes:
    """Return a public key as documents have it: an uncompressed point; RSA as SubjectPublicKeyInfo."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@lru_cache(maxsize=4)
def _booted_tpm(label: str) -> SimulatedTpm:
    log = measured_boot((SHA256, SHA384))
    start = {pcr: initial_register(pcr, SHA384.size) for pcr in EVERY_PCR}
    tpm = make_tpm(label=label)
    values = {**tpm.values, SHA384.name: start | log.registers(SHA384)}
    return replace(tpm, values=values, event_log=log.to_bytes())


class ForgedNitroTpm:
    """One instance. ``now`` places the document; its TPM booted ``measured_boot`` and has a P-256 AK."""

    def __init__(self, *, now: int, label: str = "nitrotpm", tpm: SimulatedTpm | None = None, **options: Any) -> None:
        """``options`` are those of ``ForgedNitro``."""
        self.now = now
        self.nitro = ForgedNitro(now=now, **({"module": MODULE} | options))
        self.tpm = tpm or _booted_tpm(label)
        self._options = options

    def anchor(self) -> Anchor:
        """Return the forged root as a trust anchor."""
        return self.nitro.anchor()

    @property
    def pcrs(self) -> dict[int, bytes]:
        """The SHA-384 bank."""
        return dict(self.tpm.values[SHA384.name])

    def extended(self, pcr: int, digest: bytes) -> ForgedNitroTpm:
        """Return the instance after a SHA-384 extend."""
        values = {**self.pcrs, pcr: extend(SHA384, self.pcrs[pcr], digest)}
        tpm = replace(self.tpm, values={**self.tpm.values, SHA384.name: values})
        return ForgedNitroTpm(now=self.now, tpm=tpm, **self._options)

    def booted(self, log: BootLog) -> ForgedNitroTpm:
        """Return the instance after a boot with this log, of both banks."""
        start = {pcr: initial_register(pcr, SHA384.size) for pcr in EVERY_PCR}
        values = {**self.tpm.values, SHA384.name: start | log.registers(SHA384)}
        tpm = replace(self.tpm, values=values, event_log=log.to_bytes())
        return ForgedNitroTpm(now=self.now, tpm=tpm, **self._options)

    def document(self, **fields: Any) -> bytes:
        """Return a signed document with the TPM's PCRs and AK; ``fields`` as in ``ForgedNitro.payload``."""
        own = {nitro.PCRS: ABSENT, nitro.NITROTPM_PCRS: self.pcrs, nitro.PUBLIC_KEY: point(self.tpm.ak)}
        return self.nitro.document(indefinite=True, **(own | fields))

    def quote(self, extra_data: bytes, **fields: Any) -> tuple[bytes, bytes]:
        """Quote every PCR of the SHA-384 bank: TPMS_ATTEST and TPMT_SIGNATURE; ``fields`` replace those of ``Quote``."""
        selections = fields.get("selections", (Selection.of(SHA384.id, EVERY_PCR),))
        algorithm = (self.tpm.ak_area.scheme or (ALG_ECDSA, SHA256.id))[1]
        usual = {"selections": selections, "pcr_digest": pcr_digest(self.tpm.values, selections, algorithm)}
        return self.tpm.quote(extra_data, (), **(usual | fields))

    def parts(self, digest: BindingDigest, /, **fields: Any) -> dict[str, bytes]:
        """Return the parts of an envelope that carries a challenge: short in the quote, whole and with the nonce in the document.

        ``fields`` change the document's payload.
        """
        message, signature = self.quote(digest.short)
        bank = {str(pcr): value.hex() for pcr, value in self.pcrs.items()}
        return {
            layout.ATTESTATION: self.document(**({"user_data": digest.whole, "nonce": digest.nonce} | fields)),
            layout.QUOTE: message,
            layout.QUOTE_SIG: signature,
            layout.PCRS: canonical({SHA384.name: bank}),
            layout.EVENTLOG: self.tpm.event_log,
        }
