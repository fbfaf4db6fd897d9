"""What the verifier's own enrolment published, in the place of a vendor: attestation keys of TPMs."""

from __future__ import annotations

from verifier.core.ports import CollateralStore
from verifier.tee.tpm2.collateral import encode_enrolled_ak, encode_not_enrolled


def enrolled_ak(store: CollateralStore, tenant: str, key: str) -> bytes:
    """Return the store's answer about an AK (``key``: its Name, hex). "Not enrolled" is an answer too; the scheme refuses it."""
    ak = store.find_ak(tenant, bytes.fromhex(key))
    if ak is None:
        return encode_not_enrolled()
    return encode_enrolled_ak(
        ak_name=ak.ak_name, ak_public=ak.ak_public, ek_name=ak.ek_name, ek_digest=ak.ek_public_digest, root=ak.root
    )
