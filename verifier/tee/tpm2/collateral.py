"""The enrolled attestation key as a document: what the verifier's own store answers to the need ``tpm2.ak``.

RFC 8785 JSON. ``{"enrolled": false}`` is the store's word that it knows no such key, which is a refusal (403); no answer at
all is ``CannotDecide`` (503). Written by the collateral adapter, read by ``collate``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from verifier.formats.encoding import b64url, canonical, unb64url
from verifier.formats.errors import MalformedEvidence
from verifier.tee.tpm2.layout import Public, decode_public, is_name

AK_NEED = "ak"
AK_KIND = "tpm2.ak"
AK_ID = "tpm2.endorsement.ak"

Root = Literal["private", "simulated"]


class _Document(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    ak_name: str
    ak_public: str
    ek_name: str
    ek_digest: str
    root: Root


@dataclass(frozen=True, slots=True)
class EnrolledKey:
    """An enrolled AK: its public area, its TPM's EK, and whose CA vouched for that."""

    ak_name: bytes
    ak_public: bytes
    public: Public
    ek_name: bytes
    ek_digest: bytes  # SHA-256 of the EK's SubjectPublicKeyInfo
    root: Root


def encode_enrolled_ak(*, ak_name: bytes, ak_public: bytes, ek_name: bytes, ek_digest: bytes, root: str) -> bytes:
    """Write the document of a key that is enrolled."""
    return canonical(
        {
            "ak_name": ak_name.hex(),
            "ak_public": b64url(ak_public),
            "ek_name": ek_name.hex(),
            "ek_digest": ek_digest.hex(),
            "root": root,
        }
    )


def encode_not_enrolled() -> bytes:
    """Write the store's word that no such key is enrolled for the tenant."""
    return canonical({"enrolled": False})


def decode_enrolled_ak(data: bytes) -> EnrolledKey | None:
    """Read the document; ``None`` where the store said that the key is not enrolled. Raises ``MalformedEvidence(AK_ID)``."""
    if data == encode_not_enrolled():
        return None
    try:
        document = _Document.model_validate(json.loads(data))
        ak_public = unb64url(document.ak_public)
        names = [bytes.fromhex(text) for text in (document.ak_name, document.ek_name, document.ek_digest)]
    except (ValueError, ValidationError, RecursionError):
        raise MalformedEvidence(AK_ID, "enrolled AK: not the document that the store writes") from None
    if not is_name(names[0]) or not is_name(names[1]):
        raise MalformedEvidence(
            AK_ID, "enrolled AK: ak_name or ek_name is no Name, want nameAlg and a digest of its size"
        )
    return EnrolledKey(
        ak_name=names[0],
        ak_public=ak_public,
        public=decode_public(ak_public, check_id=AK_ID),
        ek_name=names[1],
        ek_digest=names[2],
        root=document.root,
    )


@dataclass(frozen=True, slots=True)
class Collateral:
    """The enrolled AK, ``None`` where the store says that there is none of that Name."""

    ak: EnrolledKey | None
