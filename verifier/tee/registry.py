"""SCHEMES: one line per scheme. A duplicate name fails at import."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from verifier.tee import sev_snp
from verifier.tee.base import Scheme
from verifier.tee.case import CaseForm
from verifier.tee.tcg.case import CASE as TCG_EVENTLOG_CASE
from verifier.tee.tpm2.case import CASE as TPM2_CASE
from verifier.tee.tpm2.scheme import SCHEME as TPM2


def _by_name(schemes: Iterable[Scheme[Any, Any]]) -> Mapping[str, Scheme[Any, Any]]:
    table: dict[str, Scheme[Any, Any]] = {}
    for scheme in schemes:
        if scheme.name in table:
            raise TypeError(f"scheme {scheme.name!r} is registered twice")
        table[scheme.name] = scheme
    return MappingProxyType(table)


def _by_platform(forms: Iterable[CaseForm]) -> Mapping[str, CaseForm]:
    table: dict[str, CaseForm] = {}
    for form in forms:
        if form.platform in table:
            raise TypeError(f"case form {form.platform!r} is registered twice")
        table[form.platform] = form
    return MappingProxyType(table)


SCHEMES: Mapping[str, Scheme[Any, Any]] = _by_name((sev_snp.SCHEME, TPM2))
CASES: Mapping[str, CaseForm] = _by_platform((sev_snp.CASE, TPM2_CASE, TCG_EVENTLOG_CASE))
