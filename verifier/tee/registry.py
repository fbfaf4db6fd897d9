"""SCHEMES and CASES: one line a scheme, the name of its folder. A duplicate name fails at import.

A folder's ``scheme`` module has its ``SCHEME``; its ``case`` module, where there is one, the ``CASE`` by which published
evidence of it is judged offline. What has no ``scheme`` stands among the platforms and can never mint.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, Final

from verifier.tee.base import Scheme
from verifier.tee.case import CaseForm

_FOLDERS: Final = (
    "arm_cca",
    "aws_nitro",
    "aws_nitrotpm",
    "azure_snp_vtpm",
    "azure_snp_vtpm_gpu",
    "azure_tdx_vtpm",
    "azure_tdx_vtpm_gpu",
    "gcp_vtpm",
    "nvidia_gpu",
    "sev_snp",
    "sev_snp_gpu",
    "sgx",
    "tdx",
    "tdx_gpu",
    "tpm2",
)
_PLATFORMS: Final = ("tcg", "ccel", "ima")


def _schemes(folders: Iterable[str]) -> Mapping[str, Scheme[Any, Any]]:
    table: dict[str, Scheme[Any, Any]] = {}
    for folder in folders:
        scheme: Scheme[Any, Any] = import_module(f"{__package__}.{folder}.scheme").SCHEME
        if scheme.name in table:
            raise TypeError(f"scheme {scheme.name!r} is registered twice")
        if scheme.name.replace("-", "_") != folder:
            raise TypeError(f"scheme {scheme.name!r}: its folder is {folder!r}")
        table[scheme.name] = scheme
    return MappingProxyType(table)


def _cases(folders: Iterable[str], platforms: Iterable[str]) -> Mapping[str, CaseForm]:
    judged = [folder for folder in folders if find_spec(f"{__package__}.{folder}.case") is not None]
    table: dict[str, CaseForm] = {}
    for folder in (*judged, *platforms):
        form: CaseForm = import_module(f"{__package__}.{folder}.case").CASE
        if form.platform in table:
            raise TypeError(f"case form {form.platform!r} is registered twice")
        table[form.platform] = form
    return MappingProxyType(table)


SCHEMES: Final = _schemes(_FOLDERS)
CASES: Final = _cases(_FOLDERS, _PLATFORMS)
