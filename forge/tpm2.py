"""A TPM vendor without any TPM: its root, EK certificates, keys, quotes and ActivateCredential, all in software.

Its root key is a public test key: every reader of this file can forge what it vouches for. That is its purpose.
Every field of every structure can be set, so that a forged quote can have any one fault.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal

from cryptography import x509
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID, ObjectIdentifier

from forge.bootlog import BootLog, measured_boot
from forge.ima import MeasurementList
from forge.rsakey import derived_rsa_key
from verifier.formats.encoding import canonical
from verifier.tee.ima.layout import PCR_IMA
from verifier.tee.tcg.layout import HASHES, SHA1, SHA256, SHA384, SHA512, extend, initial_register
from verifier.tee.tpm2 import layout

Kind = Literal["ecc", "rsa", "ecc-p384"]
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

_HASH = {SHA1.id: hashes.SHA1(), SHA256.id: hashes.SHA256(), SHA384.id: hashes.SHA384(), SHA512.id: hashes.SHA512()}  # noqa: S303
_CURVES: dict[str, tuple[int, ec.EllipticCurve]] = {
    "ecc": (layout.CURVE_P256, ec.SECP256R1()),
    "ecc-p384": (layout.CURVE_P384, ec.SECP384R1()),
}
_HOME = layout.FIXED_TPM | layout.FIXED_PARENT | layout.SENSITIVE_DATA_ORIGIN
AK_ATTRIBUTES = _HOME | layout.USER_WITH_AUTH | layout.RESTRICTED | layout.SIGN
EK_ATTRIBUTES = _HOME | layout.ADMIN_WITH_POLICY | layout.RESTRICTED | layout.DECRYPT
# PolicySecret(TPM_RH_ENDORSEMENT) in SHA-256: "policy A" of the EK Credential Profile.
_EK_POLICY = bytes.fromhex("837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa")

NOT_BEFORE = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
NOT_AFTER = dt.datetime(2049, 1, 1, tzinfo=dt.UTC)
ROOT_NAME = "SIMULATED TPM vendor root (public test key)"
_OID_EK_CERTIFICATE = ObjectIdentifier("2.23.133.8.1")


def _derived(label: str, curve: ec.EllipticCurve) -> ec.EllipticCurvePrivateKey:
    """Derive a key from a label: the same in every process, and public."""
    wide = hashlib.sha512(b"vault-attestation-bridge simulated tpm2\x00" + label.encode()).digest()
    return ec.derive_private_key(int.from_bytes(wide, "big") % (curve.group_order - 1) + 1, curve)


def new_key(kind: Kind, label: str = "") -> PrivateKey:
    """Make a key: derived from the label, the same in every process, or without one a fresh one. RSA has 2048 bits."""
    if kind == "rsa":
        return derived_rsa_key(label) if label else rsa.generate_private_key(public_exponent=65537, key_size=2048)
    curve = _CURVES[kind][1]
    return _derived(label, curve) if label else ec.generate_private_key(curve)


def _unique(key: PrivateKey) -> tuple[bytes, ...]:
    if isinstance(key, rsa.RSAPrivateKey):
        return (key.public_key().public_numbers().n.to_bytes(key.key_size // 8, "big"),)
    numbers, size = key.public_key().public_numbers(), (key.curve.key_size + 7) // 8
    return numbers.x.to_bytes(size, "big"), numbers.y.to_bytes(size, "big")


def _area(key: PrivateKey, **fields: object) -> layout.Public:
    base: dict[str, object] = {"name_algorithm": SHA256.id, "auth_policy": b"", "symmetric": None, "scheme": None}
    base |= {"unique": _unique(key)}
    if isinstance(key, rsa.RSAPrivateKey):
        base |= {"type": layout.ALG_RSA, "bits": key.key_size}
    else:
        curve = next(number for number, known in _CURVES.values() if known.name == key.curve.name)
        base |= {"type": layout.ALG_ECC, "curve": curve}
    return layout.Public(**(base | fields))  # type: ignore[arg-type]


def ak_public(
    key: PrivateKey, *, scheme: tuple[int, int] | None = None, attributes: int = AK_ATTRIBUTES
) -> layout.Public:
    """Return the public area of an attestation key; RSASSA or ECDSA with SHA-256 unless told otherwise."""
    usual = (layout.ALG_RSASSA if isinstance(key, rsa.RSAPrivateKey) else layout.ALG_ECDSA, SHA256.id)
    return _area(key, attributes=attributes, scheme=scheme or usual)


def ek_public(key: PrivateKey, *, attributes: int = EK_ATTRIBUTES, name_algorithm: int = SHA256.id) -> layout.Public:
    """Return the public area of an endorsement key as its templates have it; AES-256 with SHA-384, else AES-128."""
    bits = 256 if name_algorithm == SHA384.id else 128
    return _area(
        key,
        attributes=attributes,
        auth_policy=_EK_POLICY,
        symmetric=(layout.ALG_AES, bits, layout.ALG_CFB),
        name_algorithm=name_algorithm,
    )


def sign(key: PrivateKey, message: bytes, *, scheme: int | None = None, algorithm: int = SHA256.id) -> layout.Signature:
    """Sign as a TPM would, by any scheme that fits the key."""
    digest = _HASH[algorithm]
    if isinstance(key, ec.EllipticCurvePrivateKey):
        size = (key.curve.key_size + 7) // 8
        r, s = decode_dss_signature(key.sign(message, ec.ECDSA(digest)))
        return layout.Signature(layout.ALG_ECDSA, algorithm, (r.to_bytes(size, "big"), s.to_bytes(size, "big")))
    if scheme == layout.ALG_RSAPSS:
        pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
        return layout.Signature(layout.ALG_RSAPSS, algorithm, (key.sign(message, pss, digest),))
    return layout.Signature(layout.ALG_RSASSA, algorithm, (key.sign(message, padding.PKCS1v15(), digest),))


def pcr_digest(
    values: Mapping[str, Mapping[int, bytes]], selections: Sequence[layout.Selection], algorithm: int
) -> bytes:
    """Hash PCR values as a quote does: banks in the order of selection, PCRs ascending."""
    joined = b"".join(values[HASHES[s.algorithm].name][pcr] for s in selections for pcr in s.pcrs)
    return HASHES[algorithm].digest(joined)


@dataclass(frozen=True, slots=True)
class EkCa:
    """A CA for EK certificates. ``intermediate`` is an issuing CA between root and EK, as vendors have them."""

    key: ec.EllipticCurvePrivateKey
    root_der: bytes
    chain: tuple[bytes, ...] = ()  # below the root, issuer of the EK certificate first
    name: str = ROOT_NAME

    def certify(
        self,
        public: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
        *,
        change: Callable[[x509.CertificateBuilder], x509.CertificateBuilder] = lambda builder: builder,
        not_after: dt.datetime = NOT_AFTER,
        purpose: ObjectIdentifier = _OID_EK_CERTIFICATE,
        is_ca: bool = False,
    ) -> bytes:
        """Certify an EK as manufacturers do: empty subject, TPM named in a critical subjectAltName (EK Profile 3.2)."""
        tpm = x509.Name(
            [
                x509.NameAttribute(ObjectIdentifier("2.23.133.2.1"), "id:53494D00"),
                x509.NameAttribute(ObjectIdentifier("2.23.133.2.2"), "simulated"),
                x509.NameAttribute(ObjectIdentifier("2.23.133.2.3"), "id:00010000"),
            ]
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(_name(self.name))
            .public_key(public)
            .serial_number(int.from_bytes(hashlib.sha256(_spki(public)).digest()[:16], "big") | 1)
            .not_valid_before(NOT_BEFORE)
            .not_valid_after(not_after)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DirectoryName(tpm)]), critical=True)
            .add_extension(_usage(public), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        )
        return change(builder).sign(self.key, hashes.SHA256(), ecdsa_deterministic=True).public_bytes(Encoding.DER)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _spki(public: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> bytes:
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _usage(public: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> x509.KeyUsage:
    is_rsa = isinstance(public, rsa.RSAPublicKey)
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=is_rsa,
        data_encipherment=False,
        key_agreement=not is_rsa,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _ca_certificate(
    key: ec.EllipticCurvePrivateKey, name: str, signer: ec.EllipticCurvePrivateKey, issuer: str
) -> bytes:
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(1 if name == issuer else 2)
        .not_valid_before(NOT_BEFORE)
        .not_valid_after(NOT_AFTER)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    return builder.sign(signer, hashes.SHA256(), ecdsa_deterministic=True).public_bytes(Encoding.DER)


@lru_cache(maxsize=16)
def make_ca(label: str = "root", *, name: str = ROOT_NAME, intermediate: bool = False) -> EkCa:
    """Make the CA of a label, the same in every process."""
    key = _derived(f"ca {label}", ec.SECP256R1())
    root = _ca_certificate(key, name, key, name)
    if not intermediate:
        return EkCa(key, root, (), name)
    issuing, issuing_name = _derived(f"ca {label} issuing", ec.SECP256R1()), f"{name}, issuing CA"
    return EkCa(issuing, root, (_ca_certificate(issuing, issuing_name, key, name),), issuing_name)


@dataclass(frozen=True, slots=True)
class SimulatedTpm:
    """One forged TPM with an EK, an AK that is a primary of the endorsement hierarchy, and PCR values.

    ``values`` are the PCRs by bank. Frozen: what a real TPM would change comes back as a new one.
    """

    ek: PrivateKey
    ek_area: layout.Public
    ek_chain: tuple[bytes, ...]
    ak: PrivateKey
    ak_area: layout.Public
    values: Mapping[str, Mapping[int, bytes]] = field(default_factory=dict)
    event_log: bytes = b""
    ima_list: bytes = b""

    @property
    def ek_public(self) -> bytes:
        """TPMT_PUBLIC of the EK."""
        return layout.encode_public(self.ek_area)

    @property
    def ak_public(self) -> bytes:
        """TPMT_PUBLIC of the AK."""
        return layout.encode_public(self.ak_area)

    @property
    def ak_name(self) -> bytes:
        """The AK's Name."""
        return layout.name_of(self.ak_area)

    @property
    def ek_digest(self) -> bytes:
        """SHA-256 of the EK's SubjectPublicKeyInfo: what an operator puts on the tenant's list."""
        return hashlib.sha256(_spki(self.ek.public_key())).digest()

    def booted(self, log: BootLog, pcrs: Sequence[int] = range(24)) -> SimulatedTpm:
        """Return the TPM after a boot with this log; PCRs that it does not name hold their start values."""
        start = {pcr: initial_register(pcr, SHA256.size) for pcr in pcrs}
        values = {SHA256.name: start | log.registers(SHA256)}
        return replace(self, values=values, event_log=log.to_bytes(), ima_list=b"")

    def measured(self, found: MeasurementList, *, printed: bytes | None = None) -> SimulatedTpm:
        """Return the TPM after its kernel measured these files into PCR 10; ``printed`` is what the list says instead."""
        bank = {**self.values[SHA256.name], PCR_IMA: found.register(SHA256)}
        return replace(
            self, values={**self.values, SHA256.name: bank}, ima_list=found.to_bytes() if printed is None else printed
        )

    def extended(self, pcr: int, digest: bytes) -> SimulatedTpm:
        """Return the TPM after a SHA-256 extend."""
        bank = self.values[SHA256.name]
        return replace(self, values={**self.values, SHA256.name: {**bank, pcr: extend(SHA256, bank[pcr], digest)}})

    def quote(self, extra_data: bytes, pcrs: Sequence[int], /, **fields: object) -> tuple[bytes, bytes]:
        """Quote PCRs of the SHA-256 bank: TPMS_ATTEST and TPMT_SIGNATURE. ``fields`` replace those of ``Quote``."""
        selections = (layout.Selection.of(SHA256.id, tuple(pcrs)),)
        scheme, algorithm = self.ak_area.scheme or (layout.ALG_RSASSA, SHA256.id)
        quote = layout.Quote(
            qualified_signer=layout.qualified_name(self.ak_name),
            extra_data=extra_data,
            clock=1_000_000,
            reset_count=3,
            restart_count=0,
            safe=1,
            firmware_version=0x0001_0002_0003_0004,
            selections=selections,
            pcr_digest=pcr_digest(self.values, selections, algorithm),
        )
        message = layout.encode_quote(replace(quote, **fields))  # type: ignore[arg-type]
        return message, layout.encode_signature(sign(self.ak, message, scheme=scheme, algorithm=algorithm))

    def parts(self, extra_data: bytes, pcrs: Sequence[int], /, **fields: object) -> dict[str, bytes]:
        """Return the parts of an envelope of scheme ``tpm2``."""
        message, signature = self.quote(extra_data, pcrs, **fields)
        bank = self.values[SHA256.name]
        listed = {SHA256.name: {str(pcr): bank[pcr].hex() for pcr in sorted(pcrs)}}
        parts = {"quote": message, "quote_sig": signature, "pcrs": canonical(listed), "ak_name": self.ak_name}
        if self.event_log:
            parts["eventlog"] = self.event_log
        if self.ima_list and PCR_IMA in pcrs:
            parts["ascii_runtime_measurements"] = self.ima_list
        return parts

    def activate(self, credential_blob: bytes, encrypted_secret: bytes) -> bytes:
        """TPM2_ActivateCredential for EK and AK; ``ValueError`` where the integrity check of a TPM would fail."""
        return activate_credential(self.ek, self.ek_area, self.ak_name, credential_blob, encrypted_secret)


def make_tpm(kind: Kind = "ecc", *, ek_kind: Kind = "ecc", label: str = "tpm", ca: EkCa | None = None) -> SimulatedTpm:
    """Make a forged TPM that booted ``measured_boot``; those of one label have the same keys in every process."""
    vendor = ca or make_ca()
    ek, ak = new_key(ek_kind, f"{label} ek"), new_key(kind, f"{label} ak")
    area = ek_public(ek, name_algorithm=SHA384.id if ek_kind == "ecc-p384" else SHA256.id)
    chain = (vendor.certify(ek.public_key()), *vendor.chain)
    return SimulatedTpm(ek, area, chain, ak, ak_public(ak)).booted(measured_boot())


def activate_credential(
    ek: PrivateKey, area: layout.Public, name: bytes, credential_blob: bytes, encrypted_secret: bytes
) -> bytes:
    """Open what MakeCredential protected (TPM 2.0 Part 1, section 24); arguments are the contents of the TPM2Bs."""
    algorithm = HASHES[area.name_algorithm]
    seed = _recover_seed(ek, area, encrypted_secret)
    size = int.from_bytes(credential_blob[:2], "big")
    integrity, identity = credential_blob[2 : 2 + size], credential_blob[2 + size :]
    key = layout.kdfa(algorithm, seed, b"INTEGRITY", b"", b"", 8 * algorithm.size)
    if not hmac.compare_digest(hmac.digest(key, identity + name, algorithm.name), integrity):
        raise ValueError("credential: integrity does not verify for this EK and this Name")
    bits = area.symmetric[1] if area.symmetric else 0
    storage = layout.kdfa(algorithm, seed, b"STORAGE", name, b"", bits)
    decryptor = Cipher(algorithms.AES(storage), CFB(bytes(16))).decryptor()
    secret = decryptor.update(identity) + decryptor.finalize()
    return secret[2 : 2 + int.from_bytes(secret[:2], "big")]


def _recover_seed(ek: PrivateKey, area: layout.Public, encrypted: bytes) -> bytes:
    algorithm = HASHES[area.name_algorithm]
    if isinstance(ek, rsa.RSAPrivateKey):
        digest = _HASH[area.name_algorithm]
        return ek.decrypt(encrypted, padding.OAEP(padding.MGF1(digest), digest, b"IDENTITY\x00"))
    size = (ek.curve.key_size + 7) // 8
    x, y = encrypted[2 : 2 + size], encrypted[4 + size :]
    point = ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), ek.curve).public_key()
    own = ek.public_key().public_numbers().x.to_bytes(size, "big")
    return layout.kdfe(algorithm, ek.exchange(ec.ECDH(), point), b"IDENTITY", x, own, 8 * algorithm.size)
