"""Claims of a CCA token by number, and the collection around its two tokens.

Source: Arm DEN0137 *Realm Management Monitor specification* 1.0-rel0, section A7.2 (tag 399); draft-ffm-rats-cca-token-02 and
later and RMM 2.0 beta (tag 907, each token in a conceptual message of RFC 9999). Only tokens of reference firmware are public.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from verifier.formats import cbor

DECODE_ID: Final = "arm-cca.decode.cca_token"
MAX_TOKEN: Final = 64 * 1024

TAG_TOKEN: Final = 399
TAG_COLLECTION: Final = 907
CONTENT_EAT_CWT: Final = 263  # CoAP content format application/eat+cwt
PLATFORM_TOKEN: Final = 44234
REALM_TOKEN: Final = 44241

PLATFORM: Final[Mapping[int, str]] = MappingProxyType(
    {
        10: "platform_challenge",
        256: "platform_instance_id",
        265: "platform_profile",
        2395: "platform_lifecycle",
        2396: "platform_implementation_id",
        2399: "platform_software",
        2400: "platform_verification_service",
        2401: "platform_config",
        2402: "platform_hash_algorithm",
    }
)
REALM: Final[Mapping[int, str]] = MappingProxyType(
    {
        10: "realm_challenge",
        265: "realm_profile",
        44235: "realm_personalization_value",
        44236: "realm_hash_algorithm",
        44237: "realm_public_key",
        44238: "realm_initial_measurement",
        44239: "realm_extensible_measurements",
        44240: "realm_public_key_hash_algorithm",
    }
)
OPTIONAL: Final = frozenset({"platform_verification_service", "realm_profile"})
FIELDS: Final[tuple[str, ...]] = (
    *PLATFORM.values(),
    "platform_other",
    "platform_signature",
    *REALM.values(),
    "realm_other",
    "realm_signature",
)

# Of one software component (claim 2399).
COMPONENT_TYPE, COMPONENT_MEASUREMENT, COMPONENT_VERSION, COMPONENT_SIGNER, COMPONENT_HASH = 1, 2, 4, 5, 6

CHALLENGE_SIZE: Final = 64
PERSONALIZATION_SIZE: Final = 64
IMPLEMENTATION_ID_SIZE: Final = 32
INSTANCE_ID_SIZE: Final = 33
UEID_RAND: Final = 0x01  # first byte of an instance id (RFC 9711 section 4.2.1)
EXTENSIBLE_MEASUREMENTS: Final = 4
MEASUREMENT_SIZES: Final = (32, 48, 64)
MAX_COMPONENTS: Final = 64
MAX_CONFIG: Final = 4096
MAX_TEXT: Final = 512

SECURED: Final = range(0x3000, 0x3100)
LIFECYCLES: Final[Mapping[int, str]] = MappingProxyType(
    {
        0x00: "unknown",
        0x10: "assembly and test",
        0x20: "provisioning",
        0x30: "secured",
        0x40: "debug of what is no platform root of trust",
        0x50: "recoverable debug of the platform root of trust",
        0x60: "decommissioned",
    }
)
HASHES: Final[Mapping[str, int]] = MappingProxyType({"sha-256": 32, "sha-384": 48, "sha-512": 64})

PLATFORM_PROFILES: Final = frozenset(
    {
        "http://arm.com/CCA-SSD/1.0.0",
        "tag:arm.com,2023:cca_platform#1.0.0",
        "tag:arm.com,2024:cca_platform#2.0.0",
    }
)
# A realm token need not name one (RMM 1.0, section A7.2.3.1.2): the platform's profile then speaks for both.
REALM_PROFILES: Final = frozenset({"", "tag:arm.com,2023:realm#1.0.0", "tag:arm.com,2024:realm#2.0.0"})

# EC2 keys of COSE (RFC 9053 section 7.1): label of curve -> name, size of a coordinate.
CURVES: Final[Mapping[int, tuple[str, int]]] = MappingProxyType(
    {1: ("secp256r1", 32), 2: ("secp384r1", 48), 3: ("secp521r1", 66)}
)
CPAK_URI: Final = "arm-cca:"  # subjectAltName of a CPAK's certificate: arm-cca:<implementation id>/<instance id>


def encode_token(platform: bytes, realm: bytes, tag: int = TAG_TOKEN) -> bytes:
    """Write the collection of both tokens under either tag, in its one form."""
    entries = []
    for number, token in ((PLATFORM_TOKEN, platform), (REALM_TOKEN, realm)):
        value = cbor.byte_string(token)
        if tag == TAG_COLLECTION:
            value = cbor.head(cbor.ARRAY, 2) + cbor.head(cbor.UINT, CONTENT_EAT_CWT) + value
        entries.append(cbor.head(cbor.UINT, number) + value)
    return cbor.head(cbor.TAG, tag) + cbor.head(cbor.MAP, 2) + b"".join(entries)


def cpak_uri(implementation_id: bytes, instance_id: bytes) -> str:
    """Return what the subjectAltName of a platform key's certificate says."""
    return f"{CPAK_URI}{implementation_id.hex()}/{instance_id.hex()}"
