"""Intel's Provisioning Certification Service, version 4, or a PCCS in its place (Intel, PCS API v4): what is at which address.

``/{sgx|tdx}/certification/v4/tcb?fmspc=…`` and ``…/qe/identity`` (JSON; the bytes are kept as they came, their signature is over a
part of them), ``/sgx/certification/v4/pckcrl?ca=…&encoding=der``; issuer chains come in headers, as URL-encoded PEM. The root CRL is
a file of its own at Intel's, ``/sgx/certification/v4/rootcacrl`` (hex) at a PCCS. A PCK certificate by QE id is a PCCS's alone:
Intel's own service wants the encrypted PPID.
"""

from __future__ import annotations

import base64
import re
from typing import Final, Literal
from urllib.parse import unquote

from verifier.adapters.collateral import items
from verifier.adapters.collateral.http import Absent, Answer, Failed, Get
from verifier.adapters.collateral.items import Item
from verifier.formats.x509 import pem_blocks

NAME: Final = "intel"
Update = Literal["early", "standard"]
_TCB_CHAIN: Final = ("tcb-info-issuer-chain", "sgx-tcb-info-issuer-chain")
_QE_CHAIN: Final = ("sgx-enclave-identity-issuer-chain",)
_CRL_CHAIN: Final = ("sgx-pck-crl-issuer-chain",)
_PCK_CHAIN: Final = ("sgx-pck-certificate-issuer-chain",)
_HEX: Final = re.compile(rb"(?:[0-9a-fA-F]{2})+")


class Pcs:
    """Reads from a PCS (``https://api.trustedservices.intel.com``) or a PCCS at ``base``.

    ``evaluation``: the TCB evaluation data number to ask for; 0 for the newest of the ``update`` set.
    """

    name = NAME

    def __init__(
        self, base: str, root_crl_url: str, *, is_pccs: bool = False, update: Update = "standard", evaluation: int = 0
    ) -> None:
        self._base = base.rstrip("/")
        self._root_crl_url = root_crl_url
        self._is_pccs = is_pccs
        self._set = f"tcbEvaluationDataNumber={evaluation}" if evaluation else f"update={update}"

    def fetch(self, item: Item, get: Get) -> tuple[bytes, bytes]:
        """Return document and issuer chain (PEM); raises what ``get`` raises, and ``Failed`` for what cannot be read."""
        if item.kind == items.TCB_INFO:
            tee, _, fmspc = item.key.partition("-")
            answer = get(f"{self._base}/{tee}/certification/v4/tcb?fmspc={fmspc}&{self._set}")
            return answer.body, _chain(answer, _TCB_CHAIN)
        if item.kind == items.QE_IDENTITY:
            answer = get(f"{self._base}/{item.key}/certification/v4/qe/identity?{self._set}")
            return answer.body, _chain(answer, _QE_CHAIN)
        if item.kind == items.PCK_CRL:
            answer = get(f"{self._base}/sgx/certification/v4/pckcrl?ca={item.key}&encoding=der")
            # One document: the list, and the certificates by which a scheme can tell whose it is.
            return _pem(_crl(answer.body)) + _chain(answer, _CRL_CHAIN), b""
        if item.kind == items.ROOT_CRL:
            own = f"{self._base}/sgx/certification/v4/rootcacrl"
            return _crl(get(own if self._is_pccs else self._root_crl_url).body), b""
        if item.kind == items.PCK_CHAIN and self._is_pccs:
            return self._pck_chain(item, get), b""
        raise Absent(f"{item.kind}: not to be had there")

    def _pck_chain(self, item: Item, get: Get) -> bytes:
        qe_id, cpu_svn, pce_svn, pce_id = item.key.split("-")
        query = f"qeid={qe_id}&cpusvn={cpu_svn}&pcesvn={pce_svn}&pceid={pce_id}&encrypted_ppid="
        answer = get(f"{self._base}/sgx/certification/v4/pckcert?{query}")
        return answer.body.rstrip() + b"\n" + _chain(answer, _PCK_CHAIN)


def _chain(answer: Answer, names: tuple[str, ...]) -> bytes:
    text = next((answer.headers[name] for name in names if name in answer.headers), None)
    if text is None:
        raise Failed("garbage", f"no header {names[0]}", passing=True)
    # Base64 has a plus sign of its own: only percent signs are undone.
    pem = unquote(text, errors="replace").encode("utf-8", errors="replace")
    try:
        if not pem_blocks(pem, "CERTIFICATE"):
            raise Failed("garbage", f"header {names[0]} holds no certificate", passing=True)
    except ValueError:
        raise Failed("garbage", f"header {names[0]} is no PEM", passing=True) from None
    return pem


def _pem(der: bytes) -> bytes:
    text = base64.encodebytes(der)
    return b"-----BEGIN X509 CRL-----\n" + text + b"-----END X509 CRL-----\n"


def _crl(data: bytes) -> bytes:
    """Return DER, whichever form it came in: DER, hex of it (a PCCS), PEM."""
    if b"-----BEGIN" in data:
        try:
            blocks = pem_blocks(data, "X509 CRL")
        except ValueError:
            blocks = ()
        if blocks:
            return blocks[0]
        raise Failed("garbage", "no PEM block X509 CRL", passing=True)
    text = data.strip()
    return bytes.fromhex(text.decode("ascii")) if _HEX.fullmatch(text) else data
