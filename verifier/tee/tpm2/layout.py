"""TPM 2.0 structures on the wire: quote, signature, public area; both directions from one place.

Source: TCG TPM 2.0 Library Part 2: Structures, revision 1.59: TPMS_ATTEST 10.12.12, TPMS_QUOTE_INFO 10.12.4,
TPML_PCR_SELECTION 10.9.7, TPMT_SIGNATURE 11.3.4, TPMT_PUBLIC 12.2.4, TPMA_OBJECT 8.3; Part 1, sections 16 (Names) and
26.3 (Qualified Names). All integers are big-endian. Decoders raise ``MalformedEvidence`` and nothing else; what they read
encodes back to the same bytes.
"""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass

from verifier.formats.errors import MalformedEvidence
from verifier.formats.reader import Reader
from verifier.tee.tcg.layout import HASHES, SHA1, SHA256, SHA384, SHA512, SM3_256, HashAlgorithm

TPM_GENERATED = 0xFF544347
ST_ATTEST_QUOTE = 0x8018
RH_ENDORSEMENT = 0x4000000B

ALG_RSA, ALG_ECC, ALG_NULL, ALG_AES, ALG_CFB = 0x0001, 0x0023, 0x0010, 0x0006, 0x0043
ALG_RSASSA, ALG_RSAES, ALG_RSAPSS, ALG_OAEP, ALG_ECDSA = 0x0014, 0x0015, 0x0016, 0x0017, 0x0018
CURVE_P256, CURVE_P384, CURVE_P521 = 3, 4, 5

# TPMA_OBJECT
FIXED_TPM, FIXED_PARENT, SENSITIVE_DATA_ORIGIN = 1 << 1, 1 << 4, 1 << 5
USER_WITH_AUTH, ADMIN_WITH_POLICY = 1 << 6, 1 << 7
RESTRICTED, DECRYPT, SIGN = 1 << 16, 1 << 17, 1 << 18

# Every field of the evidence, for the bins of ``rules``.
FIELDS = (
    "ak_name", "magic", "type", "qualified_signer", "extra_data", "clock", "reset_count", "restart_count", "safe",
    "firmware_version", "pcr_select", "pcr_digest", "signature", "pcrs", "eventlog",
    "ascii_runtime_measurements",
)  # fmt: skip

MAGIC_ID = "tpm2.quote.magic"
TYPE_ID = "tpm2.quote.type"
_NAME_HASHES = HASHES.keys() - {SM3_256.id}  # SM3 counts for a log's bank alone
_MAX_SELECTIONS = 8
_MAX_SELECT = 4  # bytes of a PCR bitmap
_MAX_NAME = 2 + 64
_MAX_DATA = 2 + 64  # TPM2B_DATA: sizeof(TPMT_HA)
_BARE_RSA_SIZES = (256, 384, 512)
_DER_SEQUENCE, _DER_INTEGER = 0x30, 0x02
_SCHEMES_WITH_HASH = frozenset((ALG_RSASSA, ALG_RSAPSS, ALG_OAEP, ALG_ECDSA))


@dataclass(frozen=True, slots=True)
class Selection:
    """TPMS_PCR_SELECTION: a bank and a bitmap, bit i of byte j meaning PCR 8j+i."""

    algorithm: int
    bitmap: bytes

    @property
    def pcrs(self) -> tuple[int, ...]:
        """The selected PCRs, ascending."""
        return tuple(8 * j + i for j, byte in enumerate(self.bitmap) for i in range(8) if byte >> i & 1)

    @classmethod
    def of(cls, algorithm: int, pcrs: tuple[int, ...], size: int = 3) -> Selection:
        """Make a selection of these PCRs."""
        bits = sum(1 << p for p in set(pcrs))
        return cls(algorithm, bits.to_bytes(size, "little"))


@dataclass(frozen=True, slots=True)
class Quote:
    """TPMS_ATTEST of type quote. ``clock`` is in milliseconds; ``safe`` tells whether it cannot have gone back."""

    qualified_signer: bytes
    extra_data: bytes
    clock: int
    reset_count: int
    restart_count: int
    safe: int
    firmware_version: int
    selections: tuple[Selection, ...]
    pcr_digest: bytes
    magic: int = TPM_GENERATED
    type: int = ST_ATTEST_QUOTE


@dataclass(frozen=True, slots=True)
class Signature:
    """TPMT_SIGNATURE: ``values`` is (signature,) for RSASSA and RSAPSS, (r, s) for ECDSA, as they stood in their TPM2Bs."""

    scheme: int
    hash: int
    values: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Public:
    """TPMT_PUBLIC of an RSA or ECC key. ``symmetric`` is (algorithm, bits, mode), ``scheme`` (algorithm, hash), or ``None`` for null.

    RSA: ``bits``, ``exponent`` (0 means 65537) and ``unique`` = (modulus,); ECC: ``curve`` and ``unique`` = (x, y).
    """

    type: int
    name_algorithm: int
    attributes: int
    auth_policy: bytes
    symmetric: tuple[int, int, int] | None
    scheme: tuple[int, int] | None
    unique: tuple[bytes, ...]
    bits: int = 0
    exponent: int = 0
    curve: int = 0


def tpm2b(data: bytes) -> bytes:
    """Write a TPM2B."""
    return len(data).to_bytes(2, "big") + data


def encode_quote(quote: Quote) -> bytes:
    """Write TPMS_ATTEST; magic and type as the record says, so that a forged one can lie."""
    selections = b"".join(struct.pack(">HB", s.algorithm, len(s.bitmap)) + s.bitmap for s in quote.selections)
    return b"".join(
        (
            struct.pack(">IH", quote.magic, quote.type),
            tpm2b(quote.qualified_signer),
            tpm2b(quote.extra_data),
            struct.pack(
                ">QIIBQ", quote.clock, quote.reset_count, quote.restart_count, quote.safe, quote.firmware_version
            ),
            struct.pack(">I", len(quote.selections)),
            selections,
            tpm2b(quote.pcr_digest),
        )
    )


def decode_quote(data: bytes, *, check_id: str = "tpm2.decode.quote") -> Quote:
    """Read TPMS_ATTEST. Another magic or type is malformed under an id of its own: a restricted key signs neither."""
    reader = Reader(data, check_id, "TPMS_ATTEST")
    magic = reader.u32be("magic")
    if magic != TPM_GENERATED:
        raise MalformedEvidence(MAGIC_ID, f"magic: got {magic:08x}, want {TPM_GENERATED:08x}")
    kind = reader.u16be("type")
    if kind != ST_ATTEST_QUOTE:
        raise MalformedEvidence(TYPE_ID, f"type: got {kind:#06x}, want {ST_ATTEST_QUOTE:#06x}")
    signer = _bounded(reader, "qualifiedSigner", _MAX_NAME)
    extra_data = _bounded(reader, "extraData", _MAX_DATA)
    clock, resets, restarts = reader.u64be("clock"), reader.u32be("resetCount"), reader.u32be("restartCount")
    safe = reader.u8("safe")
    if safe > 1:
        raise reader.fail(f"safe: got {safe}, want 0 or 1")
    firmware = reader.u64be("firmwareVersion")
    count = reader.u32be("pcrSelect.count")
    if count > _MAX_SELECTIONS:
        raise reader.fail(f"pcrSelect.count: got {count}, want at most {_MAX_SELECTIONS}")
    selections = tuple(_selection(reader) for _ in range(count))
    digest = reader.tpm2b("pcrDigest")
    if len(digest) not in {a.size for a in HASHES.values()}:
        raise reader.fail(f"pcrDigest: got {len(digest)} bytes, want the size of a hash")
    reader.end()
    return Quote(signer, extra_data, clock, resets, restarts, safe, firmware, selections, digest)


def _bounded(reader: Reader, field: str, most: int) -> bytes:
    data = reader.tpm2b(field)
    if len(data) > most:
        raise reader.fail(f"{field}: got {len(data)} bytes, want at most {most}")
    return data


def _selection(reader: Reader) -> Selection:
    algorithm = reader.u16be("pcrSelect.hash")
    if algorithm not in HASHES:
        raise reader.fail(f"pcrSelect.hash: got {algorithm:#06x}, want a hash")
    size = reader.u8("pcrSelect.sizeofSelect")
    if not 1 <= size <= _MAX_SELECT:
        raise reader.fail(f"pcrSelect.sizeofSelect: got {size}, want 1 to {_MAX_SELECT}")
    bitmap = reader.take(size, "pcrSelect.bitmap")
    if any(bitmap[3:]):
        raise reader.fail("pcrSelect.bitmap: got a PCR above 23")
    return Selection(algorithm, bitmap)


def encode_signature(signature: Signature) -> bytes:
    """Write TPMT_SIGNATURE."""
    return struct.pack(">HH", signature.scheme, signature.hash) + b"".join(map(tpm2b, signature.values))


def decode_signature(data: bytes, *, check_id: str = "tpm2.decode.quote_sig") -> Signature:
    """Read TPMT_SIGNATURE of scheme RSASSA, RSAPSS or ECDSA."""
    reader = Reader(data, check_id, "TPMT_SIGNATURE")
    scheme = reader.u16be("sigAlg")
    if scheme not in (ALG_RSASSA, ALG_RSAPSS, ALG_ECDSA):
        raise reader.fail(f"sigAlg: got {scheme:#06x}, want RSASSA, RSAPSS or ECDSA")
    algorithm = reader.u16be("hash")
    if algorithm not in HASHES:
        raise reader.fail(f"hash: got {algorithm:#06x}, want a hash")
    count = 2 if scheme == ALG_ECDSA else 1
    most = 66 if scheme == ALG_ECDSA else 512
    values = tuple(_bounded(reader, "signature", most) for _ in range(count))
    if not all(values):
        raise reader.fail("signature: got nothing")
    reader.end()
    return Signature(scheme, algorithm, values)


def encode_public(public: Public) -> bytes:
    """Write TPMT_PUBLIC."""
    parts = [
        struct.pack(">HHI", public.type, public.name_algorithm, public.attributes),
        tpm2b(public.auth_policy),
        struct.pack(">HHH", *public.symmetric) if public.symmetric else struct.pack(">H", ALG_NULL),
    ]
    if public.scheme is None:
        parts.append(struct.pack(">H", ALG_NULL))
    elif public.scheme[0] in _SCHEMES_WITH_HASH:
        parts.append(struct.pack(">HH", *public.scheme))
    else:
        parts.append(struct.pack(">H", public.scheme[0]))
    if public.type == ALG_RSA:
        parts.append(struct.pack(">HI", public.bits, public.exponent))
    else:
        parts.append(struct.pack(">HH", public.curve, ALG_NULL))
    return b"".join(parts) + b"".join(map(tpm2b, public.unique))


def decode_public(data: bytes, *, check_id: str) -> Public:
    """Read TPMT_PUBLIC of an RSA or ECC key; no outer TPM2B size."""
    reader = Reader(data, check_id, "TPMT_PUBLIC")
    kind = reader.u16be("type")
    if kind not in (ALG_RSA, ALG_ECC):
        raise reader.fail(f"type: got {kind:#06x}, want RSA or ECC")
    name_algorithm = reader.u16be("nameAlg")
    if name_algorithm not in _NAME_HASHES:
        raise reader.fail(f"nameAlg: got {name_algorithm:#06x}, want a hash")
    attributes = reader.u32be("objectAttributes")
    policy = _bounded(reader, "authPolicy", 64)
    symmetric = _symmetric(reader)
    scheme = _scheme(reader)
    if kind == ALG_RSA:
        bits, exponent = reader.u16be("keyBits"), reader.u32be("exponent")
        modulus = _bounded(reader, "modulus", 512)
        if not modulus or len(modulus) * 8 != bits or not modulus[0] & 0x80:
            raise reader.fail(f"modulus: got {len(modulus)} bytes, want {bits} bits with the first one set")
        reader.end()
        return Public(
            kind, name_algorithm, attributes, policy, symmetric, scheme, (modulus,), bits=bits, exponent=exponent
        )
    curve, kdf = reader.u16be("curveID"), reader.u16be("kdf")
    if kdf != ALG_NULL:
        raise reader.fail(f"kdf: got {kdf:#06x}, want null")
    x, y = _bounded(reader, "x", 66), _bounded(reader, "y", 66)
    reader.end()
    return Public(kind, name_algorithm, attributes, policy, symmetric, scheme, (x, y), curve=curve)


def _symmetric(reader: Reader) -> tuple[int, int, int] | None:
    algorithm = reader.u16be("symmetric")
    if algorithm == ALG_NULL:
        return None
    return algorithm, reader.u16be("symmetric.keyBits"), reader.u16be("symmetric.mode")


def _scheme(reader: Reader) -> tuple[int, int] | None:
    algorithm = reader.u16be("scheme")
    if algorithm == ALG_NULL:
        return None
    if algorithm == ALG_RSAES:
        return algorithm, ALG_NULL
    if algorithm not in _SCHEMES_WITH_HASH:
        raise reader.fail(f"scheme: got {algorithm:#06x}, want RSASSA, RSAES, RSAPSS, OAEP, ECDSA or null")
    return algorithm, reader.u16be("scheme.hash")


def name_of(public: Public) -> bytes:
    """Return the Name: nameAlg and H(TPMT_PUBLIC) (Part 1, section 16)."""
    return public.name_algorithm.to_bytes(2, "big") + HASHES[public.name_algorithm].digest(encode_public(public))


def qualified_name(name: bytes, *parents: bytes, hierarchy: int = RH_ENDORSEMENT) -> bytes:
    """Return the Qualified Name of the object ``name`` under ``parents`` (Names, topmost first) in a hierarchy.

    QN = nameAlg of the object and H(QN of the parent, Name); a hierarchy's QN is its handle (Part 1, section 26.3).
    """
    qualified = hierarchy.to_bytes(4, "big")
    for part in (*parents, name):
        algorithm = HASHES[int.from_bytes(part[:2], "big")]
        qualified = part[:2] + algorithm.digest(qualified + part)
    return qualified


def is_name(data: bytes) -> bool:
    """Tell whether the bytes can be the Name of an object: a known nameAlg and a digest of its size."""
    algorithm = HASHES.get(int.from_bytes(data[:2], "big"))
    return algorithm is not None and algorithm.id in _NAME_HASHES and len(data) == 2 + algorithm.size


def kdfa(algorithm: HashAlgorithm, key: bytes, label: bytes, context_u: bytes, context_v: bytes, bits: int) -> bytes:
    """KDFa: SP 800-108 in counter mode with HMAC (Part 1, section 11.4.10.2). ``label`` without its terminating zero."""
    fixed = label + b"\x00" + context_u + context_v + bits.to_bytes(4, "big")
    blocks = -(-bits // (8 * algorithm.size))
    stream = b"".join(hmac.digest(key, i.to_bytes(4, "big") + fixed, algorithm.name) for i in range(1, blocks + 1))
    return stream[: bits // 8]


def kdfe(algorithm: HashAlgorithm, z: bytes, label: bytes, party_u: bytes, party_v: bytes, bits: int) -> bytes:
    """KDFe: SP 800-56A concatenation (Part 1, section 11.4.10.3). ``label`` without its terminating zero."""
    fixed = z + label + b"\x00" + party_u + party_v
    blocks = -(-bits // (8 * algorithm.size))
    return b"".join(algorithm.digest(i.to_bytes(4, "big") + fixed) for i in range(1, blocks + 1))[: bits // 8]


def decode_any_signature(data: bytes, *, digest_size: int, check_id: str) -> Signature:
    """Read the three forms in which sources keep a quote's signature: TPMT_SIGNATURE, bare RSA bytes, X9.62 DER ECDSA.

    The last two name no hash; ``digest_size``, that of the quote's pcrDigest, does: a TPM hashes both with the key's hash.
    For cases; the wire takes TPMT_SIGNATURE alone.
    """
    scheme, named = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big")
    if scheme in (ALG_RSASSA, ALG_RSAPSS, ALG_ECDSA) and named in HASHES:
        return decode_signature(data, check_id=check_id)
    algorithm = next((a.id for a in (SHA1, SHA256, SHA384, SHA512) if a.size == digest_size), SHA256.id)
    if len(data) in _BARE_RSA_SIZES:
        return Signature(ALG_RSASSA, algorithm, (data,))
    if data[:1] == bytes((_DER_SEQUENCE,)):
        return Signature(ALG_ECDSA, algorithm, _der_integers(Reader(data, check_id, "ECDSA signature")))
    raise MalformedEvidence(check_id, f"signature: got {len(data)} bytes, want TPMT_SIGNATURE, DER or bare RSA")


def _der_integers(reader: Reader) -> tuple[bytes, bytes]:
    """Read SEQUENCE {INTEGER r, INTEGER s} in DER, short form (signatures of curves up to P-384)."""
    if reader.u8("tag") != _DER_SEQUENCE or reader.u8("length") != reader.remaining:
        raise reader.fail("want a DER SEQUENCE of all that follows")
    values: list[bytes] = []
    for name in ("r", "s"):
        if reader.u8(f"{name}.tag") != _DER_INTEGER:
            raise reader.fail(f"{name}: want a DER INTEGER")
        value = reader.take(reader.u8(f"{name}.length"), name)
        is_padded = len(value) > 1 and value[0] == 0 and not value[1] & 0x80
        if not value or value[0] & 0x80 or is_padded or not any(value):
            raise reader.fail(f"{name}: want a positive DER INTEGER")
        values.append(value.lstrip(b"\x00"))
    reader.end()
    return values[0], values[1]
