"""A stand-in for AMD's KDS and Intel's PCS (or a PCCS), over TLS under a CA of its own: forged answers, recorded ones, faults.

What it serves: ``chips`` (forged AMDs: their VCEKs, chains, CRLs), and ``pages``: whatever a test or a recorded case puts at a path.
What it does wrong: ``faults``, taken one a request in order, then ``always``. It writes down every call, and how many ran at once.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from forge.intel import ForgedIntel
from forge.intel_documents import Tee
from forge.intel_pki import Ca, pem
from forge.sev_snp import ForgedAmd
from tests.support.https import QuietHandler, https_server
from tests.support.waiting import wait_for
from verifier.formats.x509 import parse_certificate
from verifier.tee.sev_snp.decode import read_vek
from verifier.tee.sev_snp.layout import tcb_places

_VCEK = re.compile(r"/vcek/v1/(Milan|Genoa|Turin)/([0-9a-f]{16,128})")
_TEES: tuple[Tee, ...] = ("sgx", "tdx")
_CAS: tuple[Ca, ...] = ("platform", "processor")
_END = "-----END CERTIFICATE-----\n"
_SPL = {"fmc": "fmcSPL", "bl": "blSPL", "tee": "teeSPL", "snp": "snpSPL", "ucode": "ucodeSPL"}


@dataclass(frozen=True, slots=True)
class Page:
    """What is served at a path."""

    body: bytes
    content_type: str = "application/octet-stream"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong. ``kind``: status, slow, hang, garbage, truncate, drip, huge, type, reset, redirect."""

    kind: str
    status: int = 0
    seconds: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)


def throttled(retry_after: str = "", status: int = 429) -> Fault:
    """Refuse, and say when to come again: seconds or a date."""
    return Fault("status", status=status, headers={"Retry-After": retry_after} if retry_after else {})


@dataclass(frozen=True, slots=True)
class Call:
    """One request: its path with the query, and when it began and ended (monotonic seconds)."""

    path: str
    begun: float
    ended: float


@dataclass
class VendorServer:
    """State of a running stand-in; may be changed while it runs."""

    url: str = ""
    ca_file: Path = Path()
    chips: list[ForgedAmd] = field(default_factory=list)
    pages: dict[str, Page] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    always: Fault | None = None
    crl_number: int = 1
    delay_s: float = 0.0
    calls: list[Call] = field(default_factory=list)
    most_at_once: int = 0
    most_at_once_by_path: Counter[str] = field(default_factory=Counter)
    _running: list[tuple[str, socket.socket]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _made: dict[str, bytes] = field(default_factory=dict)
    closing: threading.Event = field(default_factory=threading.Event)

    def counts(self) -> Counter[str]:
        """Return how often each path was asked for, queries left out."""
        return Counter(call.path.partition("?")[0] for call in self.calls)

    def wait_for_calls(self, count: int) -> None:
        """Wait until so many calls have ended."""
        wait_for(lambda: len(self.calls) >= count)

    # -- one request ----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def counted(self, path: str, connection: socket.socket) -> Iterator[None]:
        """Count a request while it runs: until it is answered, or the caller has hung up, whatever we still do then."""
        begun, bare = time.monotonic(), path.partition("?")[0]
        with self._lock:
            alive = Counter(other for other, peer in self._running if not has_hung_up(peer))
            self._running.append((bare, connection))
            alive[bare] += 1
            self.most_at_once = max(self.most_at_once, alive.total())
            self.most_at_once_by_path[bare] = max(self.most_at_once_by_path[bare], alive[bare])
        try:
            yield
        finally:
            with self._lock:
                self._running.remove((bare, connection))
                self.calls.append(Call(path, begun, time.monotonic()))

    def fault(self) -> Fault | None:
        """Take the next fault."""
        with self._lock:
            return self.faults.pop(0) if self.faults else self.always

    def find(self, path: str) -> Page | None:
        """Return the page of a path: given, or forged."""
        given = self.pages.get(path) or self.pages.get(path.partition("?")[0])
        return given or self._amd(path)

    def _amd(self, path: str) -> Page | None:
        split = urlsplit(path)
        by_chip = _VCEK.fullmatch(split.path)
        for chip in self.chips:
            vcek = chip.csp_id is None
            kind, product = ("vcek" if vcek else "vlek"), chip.product
            if split.path == f"/{kind}/v1/{product}/cert_chain":
                pem = ssl.DER_cert_to_PEM_cert(chip.ask()) + ssl.DER_cert_to_PEM_cert(chip.ark())
                return Page(pem.encode(), "application/x-pem-file")
            if split.path == f"/{kind}/v1/{product}/crl":
                return Page(self._crl(chip), "application/pkix-crl")
            if by_chip and vcek and self._is(chip, by_chip, parse_qs(split.query)):
                # A new certificate on each request, as AMD does.
                return Page(chip.vek(validity=(chip.now - 86_400 + len(self.calls), chip.now + 7 * 365 * 86_400)))
        return None

    def _crl(self, chip: ForgedAmd) -> bytes:
        key = f"{chip.product}-{self.crl_number}"
        return self._made.setdefault(key, chip.crl(number=self.crl_number))

    @staticmethod
    def _is(chip: ForgedAmd, match: re.Match[str], query: Mapping[str, Sequence[str]]) -> bool:
        wanted = {_SPL[name]: [f"{chip.tcb[place]:02d}"] for name, place in tcb_places(chip.product).items()}
        return (match[1], match[2]) == (chip.product, chip.hwid.hex()) and dict(query) == wanted


def has_hung_up(peer: socket.socket) -> bool:
    """Tell whether the other side has closed; what lies unread before the end does not matter."""
    if peer.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(peer.fileno(), select.POLLRDHUP)
    return bool(poll.poll(0))


class _Handler(QuietHandler):
    vendor: VendorServer
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        with self.vendor.counted(self.path, self.connection), contextlib.suppress(OSError):
            self.vendor.closing.wait(self.vendor.delay_s)
            fault = self.vendor.fault()
            page = self.vendor.find(self.path)
            if fault is not None:
                self._misbehave(fault, page or Page(b"nothing"))
            elif page is None:
                self._say(404, Page(b"not found", "text/plain"))
            else:
                self._say(200, page)
        self.close_connection = True

    def _misbehave(self, fault: Fault, page: Page) -> None:
        if fault.kind == "status":
            self._say(fault.status, Page(b"no", "text/plain", fault.headers))
        elif fault.kind == "slow":
            self.vendor.closing.wait(fault.seconds)
            self._say(200, page)
        elif fault.kind == "hang":
            while not self.vendor.closing.wait(0.02) and not has_hung_up(self.connection):
                pass
        elif fault.kind == "garbage":
            self._say(200, Page(b"<html>a proxy's login page</html>", page.content_type, page.headers))
        elif fault.kind == "truncate":
            self._say(200, page, cut=len(page.body) // 2)
        elif fault.kind == "huge":
            self._say(200, Page(bytes(3 * 1024 * 1024), page.content_type), announce=False)
        elif fault.kind == "drip":
            self._drip(page)
        elif fault.kind == "type":
            self._say(200, Page(page.body, "text/html", page.headers))
        elif fault.kind == "redirect":
            self._say(302, Page(b"", headers={"Location": f"https://{self.headers['Host']}/elsewhere"}))
        elif fault.kind == "reset":
            # Unread data and no linger: the peer gets a reset in the place of an end.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            socket.socket.close(self.connection)
        else:
            raise AssertionError(fault.kind)

    def _drip(self, page: Page) -> None:
        self._head(200, page, len(page.body))
        for place in range(len(page.body)):
            if self.vendor.closing.wait(0.1):
                return
            self.wfile.write(page.body[place : place + 1])

    def _head(self, status: int, page: Page, size: int | None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", page.content_type)
        for name, value in page.headers.items():
            self.send_header(name, value)
        if size is not None:
            self.send_header("Content-Length", str(size))
        self.send_header("Connection", "close")
        self.end_headers()

    def _say(self, status: int, page: Page, *, cut: int | None = None, announce: bool = True) -> None:
        self._head(status, page, len(page.body) if announce else None)
        self.wfile.write(page.body[:cut])


@contextlib.contextmanager
def vendor_server(folder: Path, *chips: ForgedAmd) -> Iterator[VendorServer]:
    """Serve on 127.0.0.1 until the block ends."""
    vendor = VendorServer(chips=list(chips))
    handler = type("Handler", (_Handler,), {"vendor": vendor})
    with https_server(folder, "vendor", handler, handshake=False) as server:
        vendor.url, vendor.ca_file = server.url, server.ca_file
        try:
            yield vendor
        finally:
            vendor.closing.set()


# -- real recorded answers ----------------------------------------------------------------------------------------------


def _header(pem: bytes) -> str:
    return quote(pem.decode("ascii"))


def put_intel(
    vendor: VendorServer,
    *,
    tee: str,
    fmspc: str,
    read: Callable[[str], bytes],
    ca: str = "platform",
) -> None:
    """Serve a recorded case's collateral as Intel's PCS does; ``read`` returns a file of the case by its name."""
    chain = {"TCB-Info-Issuer-Chain": _header(read("tcb_signing_chain.pem"))}
    vendor.pages[f"/{tee}/certification/v4/tcb"] = Page(read("tcb_info.json"), "application/json", chain)
    chain = {"SGX-Enclave-Identity-Issuer-Chain": _header(read("qe_identity_signing_chain.pem"))}
    vendor.pages[f"/{tee}/certification/v4/qe/identity"] = Page(read("qe_identity.json"), "application/json", chain)
    chain = {"SGX-PCK-CRL-Issuer-Chain": _header(read("pck_crl_issuer_chain.pem"))}
    vendor.pages[f"/sgx/certification/v4/pckcrl?ca={ca}&encoding=der"] = Page(
        read("pck.crl.der"), "application/pkix-crl", chain
    )
    vendor.pages["/IntelSGXRootCA.der"] = Page(read("root_ca.crl.der"), "application/pkix-crl")
    assert fmspc.upper() in read("tcb_info.json").decode().upper()


def put_forged_intel(vendor: VendorServer, forged: ForgedIntel) -> None:
    """Serve a forged platform's collateral as Intel's PCS and a PCCS do."""
    chain = _header(forged.signing_chain())
    for tee in _TEES:
        vendor.pages[f"/{tee}/certification/v4/tcb?fmspc={forged.fmspc}&update=standard"] = Page(
            forged.signed_tcb_info(tee), "application/json", {"TCB-Info-Issuer-Chain": chain}
        )
        vendor.pages[f"/{tee}/certification/v4/qe/identity"] = Page(
            forged.signed_qe_identity(tee), "application/json", {"SGX-Enclave-Identity-Issuer-Chain": chain}
        )
    for ca in _CAS:
        issuer = _header(pem(forged.authority(ca), forged.root()))
        vendor.pages[f"/sgx/certification/v4/pckcrl?ca={ca}&encoding=der"] = Page(
            forged.pck_crl(ca), "application/pkix-crl", {"SGX-PCK-CRL-Issuer-Chain": issuer}
        )
    vendor.pages["/IntelSGXRootCA.der"] = Page(forged.root_crl(), "application/pkix-crl")
    vendor.pages["/sgx/certification/v4/rootcacrl"] = Page(forged.root_crl().hex().encode(), "text/plain")
    leaf, *issuers = (part + _END for part in forged.pck_chain().decode("ascii").split(_END) if part.strip("\0\n"))
    vendor.pages["/sgx/certification/v4/pckcert"] = Page(
        leaf.encode("ascii"), "application/x-pem-file", {"SGX-PCK-Certificate-Issuer-Chain": quote("".join(issuers))}
    )


def put_vcek(vendor: VendorServer, vcek_der: bytes, product: str) -> str:
    """Serve a recorded VCEK under AMD's address for it; returns the path."""
    vek = read_vek(parse_certificate(vcek_der, "case"), "case")
    assert vek.hwid is not None
    assert vek.product == product
    query = "&".join(f"{_SPL[name]}={vek.tcb[place]:02d}" for name, place in tcb_places(vek.product).items())
    path = f"/vcek/v1/{vek.product}/{vek.hwid.hex()}?{query}"
    vendor.pages[path] = Page(vcek_der)
    return path
