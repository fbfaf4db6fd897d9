"""Google's vTPM in words, and what to change where reading says no."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from verifier.cases.platforms.sev_snp import CASE as SNP_CASE
from verifier.cases.platforms.tdx import CASE as TDX_CASE
from verifier.cases.words.vtpm import QUOTE_WORDS

WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "quotes": "quotes of the vTPM, one a bank, each signed by itself",
        **{f"quotes.{name}": text for name, text in QUOTE_WORDS.items()},
        **{name: text for name, text in QUOTE_WORDS.items() if name.startswith("log")},
        "tpm": "quote of the vTPM",
        **{f"tpm.{name}": text for name, text in QUOTE_WORDS.items()},
        "sev_snp": "SNP report beside the vTPM",
        **{f"sev_snp.{name}": text for name, text in SNP_CASE.words.items()},
        "tdx": "TD quote beside the vTPM",
        **{f"tdx.{name}": text for name, text in TDX_CASE.words.items()},
        "ak_type": "kind and size of the attestation key",
        "ak_cert_subject": "name in the certificate that Google gave the attestation key (empty in the old hierarchy)",
        "instance": "which machine Google says it is",
        "instance.zone": "zone that the machine runs in",
        "instance.project_number": "number of the project, never used again",
        "instance.project_id": "name of the project",
        "instance.instance_id": "number of the machine, never used again",
        "instance.instance_name": "name of the machine",
        "instance.is_production": "whether Google's hypervisor is one in production",
    }
)
BITS: Final[Mapping[str, Mapping[str, int]]] = MappingProxyType(
    {
        **{f"sev_snp.{name}": bits for name, bits in SNP_CASE.bits.items()},
        **{f"tdx.{name}": bits for name, bits in TDX_CASE.bits.items()},
    }
)
