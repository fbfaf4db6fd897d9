"""Documents come from a network: whatever the bytes, the answer is facts or ``BadDocument``, and the fetcher's socket stays open."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.intel import ForgedIntel
from forge.sev_snp import ForgedAmd
from tests.support.documents import Example, all_examples, example_of, made
from verifier.adapters.collateral.documents import BadDocument, inspect, is_of_anchor, issuer_of
from verifier.adapters.collateral.fetch_queue import Reply
from verifier.adapters.collateral.fetcher_socket import FetcherClient, FetcherServer, _short
from verifier.adapters.collateral.items import Item
from verifier.adapters.vendors.kind import Facts
from verifier.formats.errors import CannotDecide
from verifier.formats.pem import pem_blocks

NOW = 1_795_000_000
SIGNED_JSON = ("intel.tcb-info", "intel.qe-identity")


def test_a_bare_pck_crl_is_nobodys() -> None:
    """It comes without the certificates that say whose it is: nobody vouches for it yet."""
    example = example_of("intel.pck-crl")
    bare = pem_blocks(example.body, "X509 CRL")[0]
    assert inspect(example.item, bare).issued <= example.now
    assert not is_of_anchor(example.item, bare, example.anchors)


@pytest.mark.parametrize("kind", SIGNED_JSON)
def test_a_genuine_chain_does_not_vouch_for_a_document_that_its_signer_did_not_sign(kind: str) -> None:
    """What a mirror could serve for ever: of the right form, under Intel's own certificates, and signed by nobody."""
    example = example_of(kind)
    of, body, chain = example.item, example.body, example.chain
    raised = re.sub(rb'("tcbEvaluationDataNumber": ?)\d+', rb"\g<1>99", body)
    assert raised != body
    assert inspect(of, raised, chain).rank[0] == 99
    assert not is_of_anchor(of, raised, example.anchors, chain)


def test_a_chips_certificate_stands_under_the_intermediate_of_its_product_or_is_none() -> None:
    example = example_of("sev-snp.vcek")
    of, body, other = example.item, example.body, ForgedAmd("Turin", now=example.now)
    assert not is_of_anchor(of, body, example.anchors)
    assert not is_of_anchor(of, body, (*example.anchors, other.anchor()), other.ask())
    assert issuer_of(of, body) == made("sev-snp.ask", "Milan-vcek")


EXAMPLES = st.deferred(lambda: st.sampled_from(sorted(all_examples().values(), key=lambda one: one.item)))


@settings(max_examples=400)
@given(EXAMPLES, st.integers(0, 10_000), st.binary(min_size=1, max_size=8), st.integers(0, 40))
def test_a_changed_document_is_read_or_refused_and_nothing_else(
    example: Example, place: int, new: bytes, cut: int
) -> None:
    of, body, chain = example.item, example.body, example.chain
    place %= len(body)
    changed = body[:place] + new + body[place + len(new) - min(cut, len(new)) :]
    try:
        assert isinstance(inspect(of, changed, chain), Facts)
        is_of_anchor(of, changed, example.anchors, chain)
    except BadDocument:
        return


@settings(max_examples=200)
@given(EXAMPLES, st.binary(max_size=300), st.binary(max_size=300))
def test_arbitrary_bytes_are_refused(example: Example, body: bytes, chain: bytes) -> None:
    with pytest.raises(BadDocument):
        inspect(example.item, body, chain)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=200)
@given(
    st.sampled_from(SIGNED_JSON),
    st.sampled_from(["id", "fmspc", "issueDate", "nextUpdate", "tcbEvaluationDataNumber"]),
    _JSON,
)
def test_whatever_stands_in_a_member_of_intels_json_is_read_or_refused(kind: str, name: str, value: object) -> None:
    example = example_of(kind)
    form = json.loads(example.body)
    inner = form["tcbInfo" if kind == "intel.tcb-info" else "enclaveIdentity"]
    inner[name] = value
    try:
        inspect(example.item, json.dumps(form).encode(), example.chain)
    except BadDocument:
        return


def test_a_key_twice_is_refused() -> None:
    example = example_of("intel.qe-identity")
    of, body, chain = example.item, example.body, example.chain
    twice = body.replace(b'"version":', b'"version":1,"version":', 1)
    assert twice != body

    with pytest.raises(BadDocument, match="twice"):
        inspect(of, twice, chain)


def test_a_list_of_the_other_ca_or_product_is_refused() -> None:
    amd, intel = ForgedAmd(now=NOW), ForgedIntel(now=NOW)
    for of, body in (
        (made("intel.pck-crl", "processor"), intel.pck_crl("platform")),
        (made("intel.root-crl", "sgx-root"), intel.pck_crl("platform")),
        (made("sev-snp.crl", "Genoa"), amd.crl()),
        (made("sev-snp.ask", "Milan-vlek"), amd.ask()),
        (made("intel.tcb-info", f"sgx-{intel.fmspc}"), intel.signed_tcb_info("tdx")),
        (made("intel.tcb-info", "tdx-00806F050000"), intel.signed_tcb_info("tdx")),
    ):
        with pytest.raises(BadDocument):
            inspect(of, body, intel.signing_chain())


# -- the socket ---------------------------------------------------------------------------------------------------------------


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
