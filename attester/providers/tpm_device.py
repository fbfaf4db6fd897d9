"""A TPM 2.0 through the TSS: what this program asks of it, each call one step, nothing left loaded behind.

There may be no resource manager below (a software TPM's socket has none), so every transient object and session is flushed.
Source: TCG, TPM 2.0 Library, Parts 1 to 3; TCG EK Credential Profile for TPM Family 2.0, version 2.5.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from attester.ids import AttesterId
from attester.providers import AkKind
from verifier.formats.errors import CannotDecide

# The TSS writes warnings of its own to stderr, for an NV index that is not there among others; ours say it better.
os.environ.setdefault("TSS2_LOG", "all+none")

from tpm2_pytss import ESAPI, TSS2_Exception
from tpm2_pytss.constants import (
    ESYS_TR,
    TPM2_ALG,
    TPM2_CAP,
    TPM2_ECC,
    TPM2_SE,
    TPMA_OBJECT,
    TPMA_SESSION,
)
from tpm2_pytss.types import (
    TPM2B_ECC_PARAMETER,
    TPM2B_ENCRYPTED_SECRET,
    TPM2B_ID_OBJECT,
    TPM2B_PUBLIC,
    TPM2B_PUBLIC_KEY_RSA,
    TPML_DIGEST_VALUES,
    TPML_PCR_SELECTION,
    TPMS_ATTEST,
    TPMS_ECC_PARMS,
    TPMS_ECC_POINT,
    TPMS_RSA_PARMS,
    TPMS_SCHEME_HASH,
    TPMT_ECC_SCHEME,
    TPMT_HA,
    TPMT_PUBLIC,
    TPMT_RSA_SCHEME,
    TPMT_SYM_DEF,
    TPMT_SYM_DEF_OBJECT,
    TPMU_ASYM_SCHEME,
    TPMU_HA,
    TPMU_PUBLIC_ID,
    TPMU_PUBLIC_PARMS,
)
from tpm2_pytss.utils import NoSuchIndex, NVReadEK, create_ek_template

P = ParamSpec("P")
R = TypeVar("R")

_BANKS = {"sha1": TPM2_ALG.SHA1, "sha256": TPM2_ALG.SHA256, "sha384": TPM2_ALG.SHA384, "sha512": TPM2_ALG.SHA512}
# What makes our primary another key than every other program's in the same hierarchy (Part 1, "Primary Seed").
_AK_UNIQUE = hashlib.sha256(b"vault-attestation-bridge/v1 attestation key").digest()
_AK_ATTRIBUTES = (
    TPMA_OBJECT.FIXEDTPM
    | TPMA_OBJECT.FIXEDPARENT
    | TPMA_OBJECT.SENSITIVEDATAORIGIN
    | TPMA_OBJECT.USERWITHAUTH
    | TPMA_OBJECT.NODA  # its authorization is empty, so a lockout that others caused must not stop quotes
    | TPMA_OBJECT.RESTRICTED
    | TPMA_OBJECT.SIGN_ENCRYPT
)
# EK Credential Profile 2.2.1.4 and 2.2.1.5.1, Provisioning Guidance 7.8: (template, NV index of the certificate, persistent handle).
EK_KINDS: tuple[tuple[str, int, int], ...] = (
    ("EK-RSA2048", 0x01C00002, 0x81010001),
    ("EK-ECC256", 0x01C0000A, 0x81010002),
    ("EK-HIGH-ECC384", 0x01C00016, 0x81010016),
)
_HANDLE_MISSING = 0x18B  # TPM_RC_HANDLE, first handle


@dataclass(frozen=True, slots=True)
class Key:
    """A key that is loaded: its handle in the TSS, TPMT_PUBLIC and Name."""

    handle: Any
    public: bytes
    name: bytes
    area: Any  # the TSS's own record of the public area


@dataclass(frozen=True, slots=True)
class Quote:
    """TPMS_ATTEST, TPMT_SIGNATURE and the digest of PCRs that the first one states."""

    attest: bytes
    signature: bytes
    pcr_digest: bytes
    signature_hash: str  # the name of the hash that made the digest


def tpm_call(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call the TSS; whatever it refuses is ``CannotDecide('attester.tpm2.device')``."""
    try:
        return function(*args, **kwargs)
    except TSS2_Exception as error:
        name = getattr(function, "__name__", "TPM")
        raise CannotDecide(AttesterId.TPM2_DEVICE, f"TPM: {name}: {error}") from None


def ak_template(kind: AkKind) -> Any:
    """Return the template of the attestation key: restricted signing, P-256 ECDSA or RSA-2048 RSASSA, SHA-256.

    The ``unique`` field is ours, so that no other program's primary is the same key.
    """
    hash_scheme = TPMS_SCHEME_HASH(hashAlg=TPM2_ALG.SHA256)
    none = TPMT_SYM_DEF_OBJECT(algorithm=TPM2_ALG.NULL)
    if kind == "ecc":
        scheme = TPMT_ECC_SCHEME(scheme=TPM2_ALG.ECDSA, details=TPMU_ASYM_SCHEME(ecdsa=hash_scheme))
        detail = TPMS_ECC_PARMS(symmetric=none, scheme=scheme, curveID=TPM2_ECC.NIST_P256)
        detail.kdf.scheme = TPM2_ALG.NULL
        parameters = TPMU_PUBLIC_PARMS(eccDetail=detail)
        x, y = TPM2B_ECC_PARAMETER(buffer=_AK_UNIQUE), TPM2B_ECC_PARAMETER(buffer=bytes(32))
        unique = TPMU_PUBLIC_ID(ecc=TPMS_ECC_POINT(x=x, y=y))
    else:
        scheme = TPMT_RSA_SCHEME(scheme=TPM2_ALG.RSASSA, details=TPMU_ASYM_SCHEME(rsassa=hash_scheme))
        parameters = TPMU_PUBLIC_PARMS(
            rsaDetail=TPMS_RSA_PARMS(symmetric=none, scheme=scheme, keyBits=2048, exponent=0)
        )
        unique = TPMU_PUBLIC_ID(rsa=TPM2B_PUBLIC_KEY_RSA(buffer=_AK_UNIQUE + bytes(224)))
    algorithm = TPM2_ALG.ECC if kind == "ecc" else TPM2_ALG.RSA
    return TPM2B_PUBLIC(
        publicArea=TPMT_PUBLIC(
            type=algorithm,
            nameAlg=TPM2_ALG.SHA256,
            objectAttributes=_AK_ATTRIBUTES,
            parameters=parameters,
            unique=unique,
        )
    )


class Device:
    """An open TPM. Every method raises ``CannotDecide('attester.tpm2.…')`` and nothing else for what a TPM may refuse."""

    def __init__(self, tcti: str) -> None:
        try:
            self._esapi = ESAPI(tcti)
        except (TSS2_Exception, OSError, RuntimeError) as error:
            raise CannotDecide(AttesterId.TPM2_DEVICE, f"TPM at {tcti!r}: {error}") from None

    def close(self) -> None:
        """Close the connection."""
        self._esapi.close()

    def banks(self) -> tuple[str, ...]:
        """Return the names of the active PCR banks that this program knows."""
        _, data = tpm_call(self._esapi.get_capability, TPM2_CAP.PCRS, 0, 16)
        selections = data.data.assignedPCR
        active = {int(selections[i].hash) for i in range(selections.count) if any(bytes(selections[i].pcrSelect))}
        return tuple(name for name, algorithm in _BANKS.items() if int(algorithm) in active)

    def read_pcrs(self, bank: str, pcrs: Sequence[int]) -> dict[int, bytes]:
        """Read PCRs of a bank. The TPM answers with as many as it likes (eight, mostly): ask until all are there."""
        values: dict[int, bytes] = {}
        while len(values) < len(pcrs):
            left = ",".join(str(pcr) for pcr in pcrs if pcr not in values)
            _, selected, digests = tpm_call(self._esapi.pcr_read, TPML_PCR_SELECTION.parse(f"{bank}:{left}"))
            numbers = _selected(selected)
            got = [bytes(digests[i]) for i in range(digests.count)]
            if not got or len(numbers) != len(got):
                raise CannotDecide(AttesterId.TPM2_BANK, f"PCR bank: got {bank} without {left}, want an active bank")
            values.update(zip(numbers, got, strict=True))
        return values

    def extend(self, pcr: int, digests: dict[str, bytes]) -> None:
        """Extend one PCR in several banks at once."""
        values = [TPMT_HA(hashAlg=_BANKS[bank], digest=TPMU_HA(**{bank: digest})) for bank, digest in digests.items()]
        tpm_call(self._esapi.pcr_extend, ESYS_TR(pcr), TPML_DIGEST_VALUES(digests=values))

    @contextlib.contextmanager
    def primary(self, template: Any) -> Iterator[Key]:
        """Make a primary of the endorsement hierarchy, and flush it."""
        handle, public, *_ = tpm_call(self._esapi.create_primary, None, template, ESYS_TR.ENDORSEMENT)
        try:
            yield _key(handle, public)
        finally:
            with contextlib.suppress(TSS2_Exception):
                self._esapi.flush_context(handle)

    @contextlib.contextmanager
    def persistent(self, number: int) -> Iterator[Key]:
        """Use a key at a persistent handle; its Name is computed here, not taken from the TPM's answer."""
        handle = tpm_call(self._esapi.tr_from_tpmpublic, number)
        try:
            public, _, _ = tpm_call(self._esapi.read_public, handle)
            yield _key(handle, public)
        finally:
            with contextlib.suppress(TSS2_Exception):
                self._esapi.tr_close(handle)

    def has_handle(self, number: int) -> bool:
        """Tell whether a persistent handle is in use."""
        try:
            handle = self._esapi.tr_from_tpmpublic(number)
        except TSS2_Exception as error:
            if error.rc == _HANDLE_MISSING:
                return False
            raise CannotDecide(AttesterId.TPM2_DEVICE, f"TPM: handle {number:#x}: {error}") from None
        self._esapi.tr_close(handle)
        return True

    def quote(self, key: Key, bank: str, pcrs: Sequence[int], qualifying: bytes) -> Quote:
        """Quote PCRs of one bank with the key's own scheme."""
        selection = TPML_PCR_SELECTION.parse(f"{bank}:{','.join(str(pcr) for pcr in pcrs)}")
        attest, signature = tpm_call(self._esapi.quote, key.handle, selection, qualifying)
        raw = bytes(attest)
        stated, _ = TPMS_ATTEST.unmarshal(raw)
        hash_name = next((n for n, a in _BANKS.items() if int(a) == _signature_hash(signature)), "")
        return Quote(raw, signature.marshal(), bytes(stated.attested.quote.pcrDigest), hash_name)

    def ek_certificate(self, index: int) -> bytes | None:
        """Read an EK certificate from NV, ``None`` where the index is not defined; padding behind it is cut off."""
        try:
            return _one_certificate(NVReadEK(self._esapi)(index))
        except NoSuchIndex:
            return None
        except TSS2_Exception as error:
            raise CannotDecide(AttesterId.TPM2_NV, f"NV index {index:#x}: {error}") from None

    def ek_template(self, kind: str) -> Any:
        """Return the EK template of a kind, with the nonce or template from NV where the vendor left one."""
        try:
            _, template = create_ek_template(kind, NVReadEK(self._esapi))
        except TSS2_Exception as error:
            raise CannotDecide(AttesterId.TPM2_NV, f"EK template {kind}: {error}") from None
        return template

    def activate(self, ak: Key, ek: Key, blob: bytes, secret: bytes) -> bytes:
        """TPM2_ActivateCredential: ``blob`` and ``secret`` are the contents of TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET."""
        attributes = ek.area.publicArea.objectAttributes
        with self._ek_session(with_policy=not attributes & TPMA_OBJECT.USERWITHAUTH) as session:
            answer = tpm_call(
                self._esapi.activate_credential,
                ak.handle,
                ek.handle,
                TPM2B_ID_OBJECT(credential=blob),
                TPM2B_ENCRYPTED_SECRET(secret=secret),
                session1=ESYS_TR.PASSWORD,
                session2=session,
            )
        return bytes(answer)

    @contextlib.contextmanager
    def _ek_session(self, *, with_policy: bool) -> Iterator[Any]:
        """Low-range EKs are used under PolicySecret(endorsement); high-range ones also by their (empty) authorization."""
        if not with_policy:
            yield ESYS_TR.PASSWORD
            return
        session = tpm_call(
            self._esapi.start_auth_session,
            ESYS_TR.NONE,
            ESYS_TR.NONE,
            TPM2_SE.POLICY,
            TPMT_SYM_DEF(algorithm=TPM2_ALG.NULL),
            TPM2_ALG.SHA256,
        )
        try:
            tpm_call(self._esapi.trsess_set_attributes, session, TPMA_SESSION.CONTINUESESSION)
            tpm_call(self._esapi.policy_secret, ESYS_TR.ENDORSEMENT, session)
            yield session
        finally:
            with contextlib.suppress(TSS2_Exception):
                self._esapi.flush_context(session)


def _key(handle: Any, public: Any) -> Key:
    return Key(handle, public.publicArea.marshal(), bytes(public.get_name()), public)


def _selected(selection: Any) -> list[int]:
    numbers: list[int] = []
    for i in range(selection.count):
        bitmap = bytes(selection[i].pcrSelect)[: selection[i].sizeofSelect]
        numbers += [8 * j + bit for j, byte in enumerate(bitmap) for bit in range(8) if byte >> bit & 1]
    return numbers


def _signature_hash(signature: Any) -> int:
    return int(signature.signature.any.hashAlg)


def _one_certificate(data: bytes) -> bytes | None:
    """Cut the padding behind a DER certificate (the NV area may be larger); an empty area holds none."""
    if len(data) < 4 or data[0] != 0x30 or data[1] != 0x82:  # noqa: PLR2004 - SEQUENCE with a length of two bytes
        return None
    size = 4 + int.from_bytes(data[2:4], "big")
    return data[:size] if size <= len(data) else None
