"""Provider ``tpm2``: quotes of a TPM 2.0, and what its enrolment needs.

The attestation key is a *primary* of the endorsement hierarchy, made anew from a template of ours whenever it is needed:

- nothing is kept outside the TPM, not even a wrapped blob, so a measured, read-only image needs no state of its own;
- its Qualified Name is H(TPM_RH_ENDORSEMENT || Name), which the verifier computes from the Name alone and so sees that the
  key lives in the endorsement hierarchy, where the counters in a quote are not obfuscated;
- no policy session is needed to load it, as a child of the EK would.

The price is that RSA primaries are slow to make on discrete TPMs; P-256 is the default, and ``ak_handle`` takes a key
that was made persistent.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from attester.ids import AttesterId
from attester.providers import EnrolmentIdentity, Machine
from attester.providers.log_file import LOG_MAX, read_boot_log, read_log
from attester.providers.tpm_device import EK_KINDS, Device, Key, Quote, ak_template
from verifier.core.binding import BindingDigest
from verifier.core.envelope import Envelope
from verifier.formats.encoding import canonical
from verifier.formats.errors import CannotDecide, EvidenceRejected, mismatch

BANK = "sha256"
_TRIES = 5
_IMA_PART, _IMA_PCR = "ascii_runtime_measurements", 10


class Tpm2:
    """See the module. One instance is one open TPM."""

    scheme = "tpm2"
    size: Literal["whole", "short"] = "short"

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._device = Device(machine.tcti)
        # The verifier judges the configuration by this PCR, so every quote shows it; a list of measured files means nothing
        # without PCR 10.
        measured = {_IMA_PCR} if machine.ima_list else set()
        self._pcrs = tuple(sorted({*machine.pcrs, machine.config_pcr, *measured}))

    def close(self) -> None:
        """Close the TPM."""
        self._device.close()

    @contextlib.contextmanager
    def _ak(self) -> Iterator[Key]:
        handle = self._machine.ak_handle
        source = self._device.persistent(handle) if handle else self._device.primary(ak_template(self._machine.ak_kind))
        with source as key:
            yield key

    def collect(self, digest: BindingDigest) -> Envelope:
        """Quote the PCRs with the 32-byte digest as qualifying data; PCRs that move meanwhile are read again."""
        with self._ak() as key:
            for _ in range(_TRIES):
                values = self._device.read_pcrs(BANK, self._pcrs)
                quote = self._device.quote(key, BANK, self._pcrs, digest.short)
                if _pcr_digest(values, quote) == quote.pcr_digest:
                    return self._envelope(key, quote, values)
        raise CannotDecide(AttesterId.TPM2_PCRS, f"PCRs: changed during each of {_TRIES} quotes, want them still")

    def _envelope(self, key: Key, quote: Quote, values: dict[int, bytes]) -> Envelope:
        pcrs = {BANK: {str(pcr): values[pcr].hex() for pcr in self._pcrs}}
        parts = {
            "quote": quote.attest,
            "quote_sig": quote.signature,
            "pcrs": canonical(pcrs),
            "ak_name": key.name,
        }
        log = read_boot_log(self._machine.event_log, AttesterId.TPM2_EVENTLOG)
        if log:
            parts["eventlog"] = log
        if self._machine.ima_list:
            parts[_IMA_PART] = self._ima_list()
        return Envelope(self.scheme, parts)

    def _ima_list(self) -> bytes:
        """Read the list of measured files. The quote was taken before: the list may have grown since, and never lacks what it says."""
        path = self._machine.ima_list
        found = read_log(path, AttesterId.TPM2_IMA)
        if not found:
            raise CannotDecide(AttesterId.TPM2_IMA, f"{path}: got 0 bytes, want 1 to {LOG_MAX}")
        return found

    def measure_config(self, config: bytes) -> None:
        """Extend the configuration PCR with the digest of the exact bytes, once per boot, in every active bank.

        A PCR of zeros is extended and read back; one that already holds this configuration's value is left alone; anything
        else means that another configuration was measured in this boot. The PCR itself is the memory of that: it cannot be
        reset without a reboot. The lock only keeps two attesters from extending at the same time.
        """
        pcr = self._machine.config_pcr
        banks = self._device.banks()
        if BANK not in banks:
            raise CannotDecide(AttesterId.TPM2_BANK, f"PCR banks: got {', '.join(banks) or 'none'}, want {BANK} active")
        digests = {bank: hashlib.new(bank, config).digest() for bank in banks}
        want = {bank: hashlib.new(bank, bytes(len(digest)) + digest).digest() for bank, digest in digests.items()}
        with _locked(Path(self._machine.lock_folder)):
            seen = {bank: self._device.read_pcrs(bank, (pcr,))[pcr] for bank in banks}
            if not any(any(value) for value in seen.values()):
                self._device.extend(pcr, digests)
                seen = {bank: self._device.read_pcrs(bank, (pcr,))[pcr] for bank in banks}
        for bank in banks:
            if seen[bank] != want[bank]:
                field = f"PCR {pcr} ({bank}), where this configuration is measured"
                raise EvidenceRejected(AttesterId.CONFIG_MEASURED, mismatch(field, seen[bank].hex(), want[bank].hex()))

    @contextlib.contextmanager
    def _ek(self, chain_file: str) -> Iterator[tuple[Key, tuple[bytes, ...]]]:
        """Find an EK whose certificate is at hand: at a given handle, at its usual one, or made from the template."""
        given = _certificates(chain_file) if chain_file else ()
        for kind, index, handle in EK_KINDS:
            leaf = self._device.ek_certificate(index)
            chain = given if leaf is None or leaf in given[:1] else (leaf, *given)
            if not chain:
                continue
            wanted = _public_key(chain[0])
            for source in self._ek_sources(kind, handle):
                with source as key:
                    if key.area.to_der() == wanted:
                        yield key, chain
                        return
        raise CannotDecide(
            AttesterId.TPM2_EK, "EK: no endorsement key with its certificate in NV, nor one that fits --ek-chain"
        )

    def _ek_sources(self, kind: str, handle: int) -> Iterator[contextlib.AbstractContextManager[Key]]:
        if self._machine.ek_handle is not None:
            yield self._device.persistent(self._machine.ek_handle)
            return
        if self._device.has_handle(handle):
            yield self._device.persistent(handle)
        yield self._device.primary(self._device.ek_template(kind))

    def enrolment_identity(self, chain_file: str = "") -> EnrolmentIdentity:
        """Return what names this TPM: EK with certificates, AK. ``chain_file`` holds what NV does not (PEM, leaf first)."""
        with self._ek(chain_file) as (ek, chain), self._ak() as ak:
            digest = hashlib.sha256(ek.area.to_der()).digest()
            return EnrolmentIdentity(chain, ek.public, ak.public, ak.name, digest)

    def activate(self, credential_blob: bytes, encrypted_secret: bytes, chain_file: str = "") -> bytes:
        """Open a credential made for this EK and this AK; the TPM refuses one that is made for another pair."""
        with self._ek(chain_file) as (ek, _), self._ak() as ak:
            return self._device.activate(ak, ek, credential_blob, encrypted_secret)


def _pcr_digest(values: dict[int, bytes], quote: Quote) -> bytes:
    """Hash the PCRs as the quote does: ascending, with the hash of the signature scheme, not of the bank."""
    joined = b"".join(values[pcr] for pcr in sorted(values))
    return hashlib.new(quote.signature_hash, joined).digest()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a lock among the attesters of this machine; without such a folder the PCR's value alone decides."""
    try:
        fd = os.open(
            folder / "vault-attestation-bridge.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
    except OSError:
        yield
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _certificates(chain_file: str) -> tuple[bytes, ...]:
    try:
        found = x509.load_pem_x509_certificates(Path(chain_file).read_bytes())
    except (OSError, ValueError) as error:
        raise CannotDecide(
            AttesterId.TPM2_EK, f"{chain_file}: no certificates in PEM: {type(error).__name__}"
        ) from None
    return tuple(certificate.public_bytes(Encoding.DER) for certificate in found)


def _public_key(certificate: bytes) -> bytes:
    try:
        key: Any = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CannotDecide(AttesterId.TPM2_EK, f"EK certificate: unreadable: {type(error).__name__}") from None
    der: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return der


def open_provider(machine: Machine) -> Tpm2:
    """Open the machine's TPM."""
    return Tpm2(machine)
