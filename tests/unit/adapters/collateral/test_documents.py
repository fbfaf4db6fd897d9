"""Documents come from a network: whatever the bytes, the answer is facts or ``BadDocument``, and doors stay open."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.intel import ForgedIntel
from forge.nvidia_gpu import ForgedNvidia
from forge.nvidia_ocsp import ocsp_documents
from forge.sev_snp import ForgedAmd
from verifier.adapters.collateral.documents import BadDocument, inspect, is_of_anchor, issuer_of
from verifier.adapters.collateral.fetch_queue import Reply
from verifier.adapters.collateral.fetcher_socket import FetcherClient, FetcherServer, _short
from verifier.adapters.collateral.items import Item, item
from verifier.adapters.vendors.kind import Facts
from verifier.adapters.vendors.registry import KINDS
from verifier.formats.errors import CannotDecide

NOW = 1_795_000_000
CHIP = ForgedAmd(now=NOW)
INTEL = ForgedIntel(now=NOW)
ANCHORS = (CHIP.anchor(), INTEL.anchor())


def made(kind: str, key: str) -> Item:
    found = item(kind, key)
    assert found is not None
    return found


GOOD: dict[Item, tuple[bytes, bytes]] = {
    made("sev-snp.vcek", f"Milan-{CHIP.hwid.hex()}-{CHIP.tcb.hex()}"): (CHIP.vek(), b""),
    made("sev-snp.ask", "Milan-vcek"): (CHIP.ask(), b""),
    made("sev-snp.crl", "Milan"): (CHIP.crl(), b""),
    made("intel.tcb-info", f"tdx-{INTEL.fmspc}"): (INTEL.signed_tcb_info("tdx"), INTEL.signing_chain()),
    made("intel.qe-identity", "sgx"): (INTEL.signed_qe_identity("sgx"), INTEL.signing_chain()),
    made("intel.pck-crl", "platform"): (INTEL.pck_crl("platform"), b""),
    made("intel.root-crl", "sgx-root"): (INTEL.root_crl(), b""),
    made("intel.pck-chain", f"{'0a' * 16}-{'05' * 16}-0d00-0000"): (INTEL.pck_chain(), b""),
    **{made(*of): (answer, b"") for of, answer in ocsp_documents(ForgedNvidia(), NOW).items()},
}


def test_every_kind_has_a_wholesome_example_here() -> None:
    assert {of.kind for of in GOOD} == KINDS.keys()
    for of, (body, chain) in GOOD.items():
        facts = inspect(of, body, chain)
        assert facts.issued <= NOW <= facts.expires
        issuer = CHIP.ask() if of.kind == "sev-snp.vcek" else chain
        # A bare PCK CRL comes without the certificates that say whose it is: nobody vouches for it yet.
        assert is_of_anchor(of, body, ANCHORS, issuer) == (of.kind != "intel.pck-crl")
        # Who issued the certificate that an OCSP answer is about, only the evidence says.
        assert is_of_anchor(of, body, (), issuer) is (of.kind == "nvidia.ocsp")


@pytest.mark.parametrize("of", [of for of in GOOD if of.kind in ("intel.tcb-info", "intel.qe-identity")], ids=str)
def test_a_genuine_chain_does_not_vouch_for_a_document_that_its_signer_did_not_sign(of: Item) -> None:
    """What a mirror could serve for ever: of the right form, under Intel's own certificates, and signed by nobody."""
    body, chain = GOOD[of]
    raised = re.sub(rb'("tcbEvaluationDataNumber": ?)\d+', rb"\g<1>99", body)
    assert raised != body
    assert inspect(of, raised, chain).rank[0] == 99
    assert not is_of_anchor(of, raised, ANCHORS, chain)


def test_a_chips_certificate_stands_under_the_intermediate_of_its_product_or_is_none() -> None:
    of, (body, _chain) = next((of, good) for of, good in GOOD.items() if of.kind == "sev-snp.vcek")
    other = ForgedAmd("Turin", now=NOW)
    assert not is_of_anchor(of, body, ANCHORS)
    assert not is_of_anchor(of, body, (*ANCHORS, other.anchor()), other.ask())
    assert issuer_of(of, body) == made("sev-snp.ask", "Milan-vcek")


@settings(max_examples=400)
@given(st.sampled_from(sorted(GOOD)), st.integers(0, 10_000), st.binary(min_size=1, max_size=8), st.integers(0, 40))
def test_a_changed_document_is_read_or_refused_and_nothing_else(of: Item, place: int, new: bytes, cut: int) -> None:
    body, chain = GOOD[of]
    place %= len(body)
    changed = body[:place] + new + body[place + len(new) - min(cut, len(new)) :]
    try:
        assert isinstance(inspect(of, changed, chain), Facts)
        is_of_anchor(of, changed, ANCHORS, chain)
    except BadDocument:
        return


@settings(max_examples=200)
@given(st.sampled_from(sorted(GOOD)), st.binary(max_size=300), st.binary(max_size=300))
def test_arbitrary_bytes_are_refused(of: Item, body: bytes, chain: bytes) -> None:
    with pytest.raises(BadDocument):
        inspect(of, body, chain)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=200)
@given(
    st.sampled_from([of for of in GOOD if of.kind in ("intel.tcb-info", "intel.qe-identity")]),
    st.sampled_from(["id", "fmspc", "issueDate", "nextUpdate", "tcbEvaluationDataNumber"]),
    _JSON,
)
def test_whatever_stands_in_a_member_of_intels_json_is_read_or_refused(of: Item, name: str, value: object) -> None:
    body, chain = GOOD[of]
    form = json.loads(body)
    inner = form["tcbInfo" if of.kind == "intel.tcb-info" else "enclaveIdentity"]
    inner[name] = value
    try:
        inspect(of, json.dumps(form).encode(), chain)
    except BadDocument:
        return


def test_a_key_twice_is_refused() -> None:
    of = made("intel.qe-identity", "sgx")
    body, chain = GOOD[of]
    twice = body.replace(b'"version":', b'"version":1,"version":', 1)
    assert twice != body

    with pytest.raises(BadDocument, match="twice"):
        inspect(of, twice, chain)


def test_a_list_of_the_other_ca_or_product_is_refused() -> None:
    for of, body in (
        (made("intel.pck-crl", "processor"), INTEL.pck_crl("platform")),
        (made("intel.root-crl", "sgx-root"), INTEL.pck_crl("platform")),
        (made("sev-snp.crl", "Genoa"), CHIP.crl()),
        (made("sev-snp.ask", "Milan-vlek"), CHIP.ask()),
        (made("intel.tcb-info", f"sgx-{INTEL.fmspc}"), INTEL.signed_tcb_info("tdx")),
        (made("intel.tcb-info", "tdx-00806F050000"), INTEL.signed_tcb_info("tdx")),
    ):
        with pytest.raises(BadDocument):
            inspect(of, body, INTEL.signing_chain())


# -- the door -----------------------------------------------------------------------------------------------------------------


def test_a_door_stays_open_whatever_knocks(tmp_path: Path) -> None:
    def answer(_tenant: str, _source: str, wanted: Sequence[Item], _anew: bool) -> Sequence[Reply]:  # noqa: FBT001
        return [Reply("", "yes", 1) for _ in wanted]

    stop = threading.Event()
    keeper = threading.Thread(target=FetcherServer(tmp_path, answer, stop).run)
    keeper.start()
    try:
        for line in (
            b"\n", b"[]\n", b"{}\n", b"\xff\n", b"[" * 9_000 + b"\n", b"x" * 20_000, b'{"items": [["a"]]}\n',
            b'{"items": [[[], {}]], "tenant": "", "source": ""}\n', b'{"items": 5}\n', b'{"items": [["sev-snp.crl", "../x"]]}\n', b"",
        ):  # fmt: skip
            with _short(tmp_path) as path, socket.socket(socket.AF_UNIX) as peer:
                peer.connect(path)
                peer.sendall(line)
                peer.shutdown(socket.SHUT_WR)
                try:
                    assert peer.recv(100) == b""
                except ConnectionResetError:
                    continue
        assert FetcherClient(tmp_path).ask("default", "", [made("sev-snp.crl", "Milan")]) == [Reply("", "yes", 1)]
        assert keeper.is_alive()
    finally:
        stop.set()
        keeper.join(5)


def test_who_says_nothing_at_the_door_does_not_keep_others_out(tmp_path: Path) -> None:
    stop = threading.Event()
    keeper = FetcherServer(tmp_path, lambda _t, _s, wanted, _a: [Reply("", "yes", 1) for _ in wanted], stop)
    thread = threading.Thread(target=keeper.run)
    thread.start()
    try:
        with _short(tmp_path) as path, socket.socket(socket.AF_UNIX) as silent:
            silent.connect(path)
            time.sleep(0.05)
            assert FetcherClient(tmp_path).ask("default", "", [made("sev-snp.crl", "Milan")])
    finally:
        stop.set()
        thread.join(5)


def test_a_keeper_that_answers_nonsense_is_no_fetcher(tmp_path: Path) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=FetcherServer(tmp_path, lambda *_all: [], stop).run)
    thread.start()
    try:
        with pytest.raises(CannotDecide) as caught:
            FetcherClient(tmp_path).ask("default", "", [made("sev-snp.crl", "Milan")])
        assert caught.value.check_id == "service.collateral.fetcher"
    finally:
        stop.set()
        thread.join(5)
