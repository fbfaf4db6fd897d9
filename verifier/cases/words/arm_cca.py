"""What each claim of the evidence means, in plain words, and what to do where it cannot be read."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "platform": "what the platform's token says, claim by claim",
        "platform.10": "challenge of the platform token: the hash of the realm's key",
        "platform.256": "instance id: this one chip",
        "platform.265": "profile: which claims there are and what they mean",
        "platform.2394": "client that asked for the platform token",
        "platform.2395": "lifecycle state of the chip; 0x30.. is secured",
        "platform.2396": "implementation id: which kind of chip",
        "platform.2400": "where the maker verifies such tokens; a hint, never followed",
        "platform.2401": "configuration of the platform, in the maker's own form",
        "platform.2402": "hash function of the platform's measurements",
        "platform_alg": "signature algorithm of the platform token (COSE number)",
        "sw_components": "firmware below the realm: 1 type, 2 measurement, 4 version, 5 who signed it, 6 hash function",
        "realm": "what the realm's token says, claim by claim",
        "realm.10": "challenge: what the verifier asked the realm to repeat",
        "realm.265": "profile of the realm token",
        "realm.44235": "personalisation value: 64 bytes that the host gave when it created the realm",
        "realm.44236": "hash function of the realm's measurements",
        "realm.44237": "public key with which the realm manager signed",
        "realm.44238": "initial measurement: all that was loaded into the realm before it started",
        "realm.44239": "extensible measurements: four registers that the realm extends itself",
        "realm.44240": "hash function by which the platform token names the realm's key",
        "realm.44243": "memory encryption: 0 shared with other realms, 1 the realm's own",
        "realm_alg": "signature algorithm of the realm token (COSE number)",
    }
)
