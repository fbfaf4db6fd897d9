"""Published cases of Google's vTPM, judged offline. Nothing judged here can mint.

Checked: the AK's chain to a pinned root (intermediates in any order), its use, every quote (one a bank) under it, PCR values, nonce,
event log. ``ak_pub.pem`` counts only as far as it is the certificate's key. The instance identity is told, not demanded.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from cryptography import x509

from verifier.cases.form import CaseFiles, CaseForm, CaseVerdict, IncompleteCase
from verifier.cases.ids import CaseId
from verifier.cases.platforms.sev_snp import CASE as SNP_CASE
from verifier.cases.platforms.tdx import CASE as TDX_CASE
from verifier.cases.platforms.tpm2 import listed_quotes
from verifier.cases.platforms.vtpm import (
    POLICY_KEYS,
    ak_certificate,
    ak_chain,
    certificate_claims,
    judge_quotes,
    log_of,
    quotes_of,
    verified_ak_path,
)
from verifier.cases.reading import claims_of, file_of, readable_claims_of
from verifier.cases.words import words_of
from verifier.formats.errors import CannotDecide, EvidenceRejected, MalformedEvidence, named
from verifier.tee.gcp_vtpm.decode import NAME
from verifier.tee.gcp_vtpm.verify import AK_CERT, ANCHORS, SCHEMES, instance_of, require_usage
from verifier.tee.tcg.claims import log_claims
from verifier.tee.tpm2.keys import checked_key, describe, load_pem_key, spki
from verifier.tee.vtpm.akcert import AkChain


def _ak_claims(files: CaseFiles) -> dict[str, Any]:
    certificate = ak_certificate(files, NAME)
    if certificate is None:
        return {}
    try:
        key = checked_key(x509.load_der_x509_certificate(certificate.der).public_key(), AK_CERT)
    except ValueError:
        raise MalformedEvidence(AK_CERT, "ak_cert: the key cannot be read") from None
    claims: dict[str, Any] = {"ak_type": describe(key), **certificate_claims(files, NAME)}
    instance = instance_of(AkChain((certificate,)))
    if instance is not None:
        claims["instance"] = {
            "zone": instance.zone,
            "project_number": instance.project_number,
            "project_id": instance.project_id,
            "instance_id": str(instance.instance_id),
            "instance_name": instance.instance_name,
            "is_production": instance.is_production,
        }
    return claims


def _quote_claims(files: CaseFiles) -> dict[str, Any]:
    listed = listed_quotes(quotes_of(files, NAME))
    return {"quotes": listed} if listed else {}


def _log_claims(files: CaseFiles) -> dict[str, Any]:
    log = log_of(files, NAME)
    return {} if log is None else {"log": log_claims(log)}


def _judge(files: CaseFiles) -> CaseVerdict:
    if not quotes_of(files, NAME) and "nonce" not in files.policy:
        raise IncompleteCase("gcp-vtpm.decode.quote", "evidence: got no quote (*.msg), want at least one")
    leaf = ak_certificate(files, NAME)
    stated = file_of(files, "ak_pub.pem")
    if leaf is None:
        if stated is not None:
            # No certificate vouches for the key, so the case is refused. What else is wrong is said first.
            judge_quotes(files, load_pem_key(stated, CaseId.GCP_AK_PUB), NAME, schemes=SCHEMES)
        raise CannotDecide(AK_CERT, "ak_cert: got nothing, want the certificate of this vTPM's AK")
    path = verified_ak_path(files, ak_chain(files, NAME, leaf), NAME, ANCHORS)
    with named("gcp-vtpm.ak-cert.usage"):
        require_usage(AkChain((leaf,)))
    key = checked_key(path.leaf_key(), AK_CERT)
    if stated is not None and spki(load_pem_key(stated, CaseId.GCP_AK_PUB)) != spki(key):
        raise EvidenceRejected(CaseId.GCP_AK_PUB, "ak_pub.pem: got another key, want the AK certificate's")
    judge_quotes(files, key, NAME, schemes=SCHEMES)
    return CaseVerdict(root=path.anchor.root)


_CLAIMS = (_quote_claims, _ak_claims, _log_claims)
CASE: Final = CaseForm(
    platform=NAME,
    policy_keys=POLICY_KEYS,
    claims=partial(claims_of, _CLAIMS),
    judge=_judge,
    fallback_claims=partial(readable_claims_of, _CLAIMS),
    words=words_of("gcp_vtpm"),
    bits={
        **{f"sev_snp.{name}": bits for name, bits in SNP_CASE.bits.items()},
        **{f"tdx.{name}": bits for name, bits in TDX_CASE.bits.items()},
    },
)
