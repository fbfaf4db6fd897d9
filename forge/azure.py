"""A forged Azure: paravisor, vTPM and CA. The CPU's report comes from a forged AMD, or, for TDX, from the one who signs the bytes.

``ForgedAzure(amd, now=…)`` is one confidential VM: its AK is an RSA key derived from a label, its runtime claims can say anything, and
its HCL report holds whatever hardware report it is given. ``parts`` makes the envelope's parts for a binding digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import rsa

from forge.intel import ForgedIntel
from forge.intel_quote import Shape
from forge.sev_snp import ForgedAmd
from forge.tpm2 import PrivateKey, SimulatedTpm, make_tpm
from forge.vtpm_ca import VtpmCa
from verifier.core.binding import BindingDigest
from verifier.formats.encoding import b64url, sha256
from verifier.tee.azure.layout import (
    REPORT_SNP,
    REPORT_TDX,
    TDINFO,
    TDREPORT_SIZE,
    TEE_TCB_INFO,
    make_hcl,
    tdreport_layout,
)

CA_NAME: Final = "Azure"
ORGANIZATION: Final = "Forged Cloud Corporation (simulated)"
QUOTED: Final = tuple(range(24))
_FIRMWARE_VERSION: Final = 0x2020_0312_0012_0003


def azure_ca(now: int, generation: str = "") -> VtpmCa:
    """Return the forged CA of Azure's vTPMs."""
    return VtpmCa(CA_NAME, ORGANIZATION, now, generation)


def _jwk(kid: str, use: str, numbers: rsa.RSAPublicNumbers) -> dict[str, Any]:
    modulus = numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")
    exponent = numbers.e.to_bytes((numbers.e.bit_length() + 7) // 8, "big")
    return {"kid": kid, "key_ops": [use], "kty": "RSA", "e": b64url(exponent), "n": b64url(modulus)}


def _rsa(key: PrivateKey) -> rsa.RSAPublicNumbers:
    numbers = key.public_key().public_numbers()
    if not isinstance(numbers, rsa.RSAPublicNumbers):
        raise TypeError("keys of Azure's vTPMs are RSA keys")
    return numbers


class ForgedVm:
    """What both kinds of Azure VM have: a vTPM with an RSA AK, runtime claims, a CA that certifies the AK."""

    def __init__(self, *, now: int, label: str = "azure vm 0") -> None:
        """``label`` tells machines apart: those of one label have the same AK in every process."""
        self.now = now
        self.ca = azure_ca(now)
        self.tpm: SimulatedTpm = make_tpm("rsa", ek_kind="rsa", label=label)

    def public(self) -> rsa.RSAPublicKey:
        """Return the AK's public key."""
        return _rsa(self.tpm.ak).public_key()

    def configuration(self) -> dict[str, Any]:
        """Return how this machine was set up."""
        return {
            "console-enabled": True,
            "secure-boot": True,
            "tpm-enabled": True,
            "tpm-persisted": True,
            "vmUniqueId": "00000000-0000-4000-8000-000000000000",
        }

    def claims(self, **changes: Any) -> bytes:
        """Return runtime claims as the paravisor writes them; ``changes`` replace members (``vm_configuration``, ``user_data``…)."""
        document: dict[str, Any] = {
            "keys": [_jwk("HCLAkPub", "sign", _rsa(self.tpm.ak)), _jwk("HCLEkPub", "encrypt", _rsa(self.tpm.ek))],
            "vm-configuration": self.configuration(),
            "user-data": "00" * 64,
        }
        document |= {name.replace("_", "-"): value for name, value in changes.items()}
        return json.dumps({k: v for k, v in document.items() if v is not None}, separators=(",", ":")).encode()

    def ak_certificate(self, **changes: Any) -> bytes:
        """Return the AK's certificate as an NV index holds it: DER with zeros after it. ``changes`` as of ``VtpmCa.certify``."""
        return self.ca.certify(self.public(), **changes) + bytes(16)

    def quote_parts(self, extra_data: bytes, pcrs: Sequence[int] = QUOTED, **fields: Any) -> dict[str, bytes]:
        """Return quote, signature, PCR values and event log; ``fields`` replace those of ``Quote``."""
        parts = self.tpm.parts(extra_data, pcrs, **{"firmware_version": _FIRMWARE_VERSION, **fields})
        return {name: data for name, data in parts.items() if name != "ak_name"}

    def configured(self, configuration: bytes, pcr: int = 15) -> None:
        """Extend the digest of the attester's configuration, as its boot does."""
        self.tpm = self.tpm.extended(pcr, sha256(configuration))


class ForgedAzure(ForgedVm):
    """An Azure VM on SNP."""

    def __init__(self, amd: ForgedAmd, *, now: int, label: str = "azure vm 0") -> None:
        """``amd`` is the chip that it runs on."""
        super().__init__(now=now, label=label)
        self.amd = amd

    def hcl_report(self, claims: bytes | None = None, *, report_data: bytes | None = None, **fields: Any) -> bytes:
        """Return the HCL report of the boot: the SNP report over the runtime claims' hash. ``fields`` are the report's."""
        said = self.claims() if claims is None else claims
        bound = sha256(said) + bytes(32) if report_data is None else report_data
        return make_hcl(self.amd.report(report_data=bound, **fields), said, report_type=REPORT_SNP)

    def parts(self, digest: BindingDigest) -> dict[str, bytes]:
        """Return the parts of an envelope that answers a challenge."""
        return {"hcl_report": self.hcl_report(), **self.quote_parts(digest.short)}

    def endorsements(self) -> Mapping[str, bytes]:
        """Return what comes with the evidence."""
        return {**self.amd.endorsements(), "ak_cert": self.ak_certificate(), "ak_chain": self.ca.intermediate()}


# TDREPORT field -> field of the TD report that the host makes a quote of.
_OF_QUOTE: Final[Mapping[str, str]] = {
    "tee_tcb_svn": "tee_tcb_svn",
    "mrseam": "mrseam",
    "mrsignerseam": "mrsignerseam",
    "seam_attributes": "seamattributes",
    "attributes": "tdattributes",
    **{name: name for name in ("xfam", "mrtd", "mrconfigid", "mrowner", "mrownerconfig")},
    **{f"rtmr{n}": f"rtmr{n}" for n in range(4)},
}


def make_tdreport(bound: bytes, td: Mapping[str, bytes | int], **changes: bytes) -> bytes:
    """Write the TDREPORT of a TD whose report has these fields, its hashes right; no machine made the MAC. ``changes`` come last."""
    table = tdreport_layout("azure.decode")
    values: dict[str, bytes | int] = {f.name: bytes(f.size) for f in table.fields if f.kind != "zero"}
    values |= {own: td[quoted] for own, quoted in _OF_QUOTE.items()}
    values |= {
        "report_type": bytes.fromhex("81000000"),
        "report_data": bound,
        "mac": hashlib.sha256(b"forged TDREPORT MAC").digest(),
        "valid": bytes.fromhex("ff01030000000000"),
    }
    raw = table.encode(values)
    values["tee_tcb_info_hash"] = hashlib.sha384(raw[slice(*TEE_TCB_INFO)]).digest()
    values["tee_info_hash"] = hashlib.sha384(raw[slice(*TDINFO)]).digest()
    made = table.encode({**values, **changes})
    if len(made) != TDREPORT_SIZE:
        raise ValueError(f"TDREPORT: got {len(made)} bytes, want {TDREPORT_SIZE}")
    return made


class ForgedAzureTdx(ForgedVm):
    """An Azure VM on TDX. ``td`` are fields of its TD report; the RTMRs are zero, as under the paravisor."""

    def __init__(self, intel: ForgedIntel, *, now: int, label: str = "azure vm 0") -> None:
        """``intel`` is the platform that it runs on."""
        super().__init__(now=now, label=label)
        self.intel = intel
        self.td = {**intel.trust_domain(), **{f"rtmr{n}": bytes(48) for n in range(4)}}

    def bound(self, claims: bytes | None = None) -> bytes:
        """Return what REPORTDATA is for runtime claims."""
        return sha256(self.claims() if claims is None else claims) + bytes(32)

    def hcl_report(
        self, claims: bytes | None = None, td: Mapping[str, bytes | int] | None = None, **changes: bytes
    ) -> bytes:
        """Return the HCL report of the boot; ``changes`` are fields of its TDREPORT."""
        said = self.claims() if claims is None else claims
        tdreport = make_tdreport(self.bound(said), self.td if td is None else td, **changes)
        return make_hcl(tdreport, said, report_type=REPORT_TDX)

    def td_quote(self, *, report_data: bytes | None = None, shape: Shape | None = None, **fields: bytes | int) -> bytes:
        """Return the quote that the host made of the TDREPORT; ``fields`` replace those of the TD."""
        data = self.bound() if report_data is None else report_data
        wanted = {name: value for name, value in {**self.td, **fields}.items() if name != "report_data"}
        return self.intel.quote("tdx", report_data=data, shape=shape or Shape(), **wanted)

    def parts(self, digest: BindingDigest) -> dict[str, bytes]:
        """Return the parts of an envelope that answers a challenge."""
        return {"hcl_report": self.hcl_report(), "td_quote": self.td_quote(), **self.quote_parts(digest.short)}

    def endorsements(self) -> Mapping[str, bytes]:
        """Return what comes with the evidence; the PCK chain is in the quote."""
        return {"ak_cert": self.ak_certificate(), "ak_chain": self.ca.intermediate()}
