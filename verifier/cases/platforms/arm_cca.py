"""Published cases of Arm CCA, judged offline (docs/cases.md). Nothing judged here can mint.

``cpak_pub.pem`` is the platform's key, and in a case alone it is the anchor: no vendor stands behind any public token. All of
them are signed by the published test key, so the checks for test keys do not apply here.
"""

from __future__ import annotations

from typing import Final

from verifier.cases.form import CaseFiles, CaseForm, CaseVerdict
from verifier.cases.reading import by_stem, findings_of, hex_value, require_known, required
from verifier.cases.words import words_of
from verifier.formats import cbor
from verifier.formats.errors import CannotDecide
from verifier.formats.pem import pem_or_der
from verifier.formats.x509chain import ChainCache
from verifier.tee.arm_cca.decode import CcaToken, decode, evidence_claims
from verifier.tee.arm_cca.layout import DECODE_ID, TAG_TOKEN
from verifier.tee.arm_cca.scheme import SCHEME
from verifier.tee.arm_cca.verify import CPAK, CcaCollateral
from verifier.tee.scheme import Subject
from verifier.tee.verified import UnsafeUnbound, run_checks


def _token(files: CaseFiles) -> CcaToken:
    data = required(by_stem(files, "cca_token"), "cca_token.cbor", DECODE_ID)
    # Some tools take the outer tag off; nothing in it is signed.
    is_bare = data[:1] == bytes((cbor.head(cbor.MAP, 2)[0],))
    return decode({"cca_token": cbor.head(cbor.TAG, TAG_TOKEN) + data if is_bare else data})


def _key(files: CaseFiles) -> bytes:
    """Return the platform's key as SubjectPublicKeyInfo, from PEM or DER."""
    data = by_stem(files, "cpak_pub")
    if data is None:
        raise CannotDecide(CPAK, "cpak_pub.pem: got nothing, want it in the case")
    return pem_or_der(data, "PUBLIC KEY", CPAK, "cpak_pub.pem")


def _judge(files: CaseFiles) -> CaseVerdict:
    require_known(files.policy, CASE.policy_keys)
    expected = UnsafeUnbound(hex_value(files.policy, "nonce"))
    collateral = CcaCollateral(case_key=_key(files))
    verified = run_checks(SCHEME, Subject(_token(files), collateral, (), files.now, ChainCache()), expected)
    findings = findings_of(SCHEME, verified, {"arm-cca.platform.lifecycle": False})
    return CaseVerdict(findings=findings, root=verified.root, anchor="case-given", verified=verified)


CASE: Final = CaseForm(
    platform="arm-cca",
    policy_keys=frozenset({"nonce"}),
    claims=lambda files: evidence_claims(_token(files)),
    judge=_judge,
    words=words_of("arm_cca"),
)
