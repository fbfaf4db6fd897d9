"""NVIDIA's OCSP answers, from a stand-in over TLS to a verdict: asked, kept, used, and refused when they are none."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509 import ocsp

from forge.nvidia_gpu import ForgedNvidia
from forge.nvidia_ocsp import ForgedAnswer, ocsp_documents
from tests.support.ocsp_responder import OcspResponder, ocsp_responder
from tests.support.service import MovedClock
from tests.support.stores import SEALER
from tests.support.waiting import wait_for
from verifier.adapters.clock import SystemClock
from verifier.adapters.collateral.cache import Cache, Entry
from verifier.adapters.collateral.documents import BadDocument, inspect
from verifier.adapters.collateral.fetch_queue import Limits, Reply
from verifier.adapters.collateral.fetcher import Endpoint, Fetcher, Observer
from verifier.adapters.collateral.fetcher_socket import FetcherClient
from verifier.adapters.collateral.http import Client, Throttled
from verifier.adapters.collateral.items import Item, item, item_of
from verifier.adapters.collateral.sources import Collateral
from verifier.adapters.sql.store import open_store
from verifier.adapters.vendors import nvidia
from verifier.adapters.vendors.kind import CallFailed
from verifier.adapters.vendors.nvidia import NvidiaOcsp, request_of
from verifier.formats.x509chain import ChainCache
from verifier.tee.nvidia_gpu.scheme import SCHEME
from verifier.tee.nvidia_gpu.verify import needs, revocation
from verifier.tee.scheme import Need, Subject, Verified
from verifier.tee.verified import UnsafeUnbound, run_checks

NOW = int(time.time())
GPU = ForgedNvidia(seed=b"an OCSP device")
DOCUMENTS = ocsp_documents(GPU, NOW)


def wanted() -> list[Item]:
    places = [item_of(need) for need in needs(SCHEME.form.decode(GPU.parts(bytes(32))), {})]
    return [place[0] for place in places if place is not None]


@pytest.fixture(name="responder", scope="module")
def _responder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OcspResponder]:
    with ocsp_responder(tmp_path_factory.mktemp("ocsp"), DOCUMENTS) as running:
        yield running


def test_the_scheme_asks_for_what_the_responder_knows() -> None:
    assert [(one.kind, one.key) for one in wanted()] == list(DOCUMENTS)
    assert {one.vendor for one in wanted()} == {"nvidia"}


def test_keys_of_another_form_are_never_asked_for() -> None:
    good = wanted()[0].key
    for bad in (good.upper(), good[1:], f"{good}-00", good.rpartition("-")[0] + "-", f"{good[:82]}{'a' * 41}", "../x"):
        assert item("nvidia.ocsp", bad) is None
        assert item_of(Need("x", "nvidia.ocsp", bad)) is None


def test_a_request_names_the_certificate_and_has_no_nonce() -> None:
    read = ocsp.load_der_ocsp_request(request_of(wanted()[0].key))
    assert read.serial_number == GPU.serial
    assert not list(read.extensions)


def test_it_is_posted_as_the_rfc_says(responder: OcspResponder) -> None:
    of = wanted()[0]
    body, chain = NvidiaOcsp(f"{responder.url}/ocsp").answer(of.key, Client(str(responder.ca_file)).get)
    path, headers, request = responder.asked[-1]
    assert (body, chain) == (DOCUMENTS[of.kind, of.key], b"")
    assert (path, headers["content-type"]) == ("/ocsp", "application/ocsp-request")
    assert request == request_of(of.key)


@pytest.mark.parametrize(("status", "error"), [(503, Throttled), (500, CallFailed)])
def test_an_ill_service_brings_nothing(responder: OcspResponder, status: int, error: type[Exception]) -> None:
    responder.status = status
    try:
        with pytest.raises(error):
            NvidiaOcsp(responder.url).answer(wanted()[0].key, Client(str(responder.ca_file)).get)
    finally:
        responder.status = 200


@contextmanager
def fetching(path: Path, responder: OcspResponder) -> Iterator[tuple[Cache, Callable[[Item], Any]]]:
    cache = Cache(path / "cache")
    fetcher = Fetcher(
        cache=cache,
        endpoints=[Endpoint(nvidia.VENDOR, NvidiaOcsp(responder.url), Client(str(responder.ca_file)), 0.0)],
        limits=Limits(),
        clock=SystemClock(),
        observer=Observer(),
        anchors=(),
    )
    assert fetcher.try_start()
    try:
        yield cache, lambda of: FetcherClient(cache.folder).ask("default", "192.0.2.1", [of])
    finally:
        fetcher.close()


def test_answers_are_fetched_kept_and_used(tmp_path: Path, responder: OcspResponder) -> None:
    with fetching(tmp_path, responder) as (cache, ask):
        for of in wanted():
            entry = wait_for(lambda of=of: cache.get(of, NOW) or (ask(of) and None))
            assert entry is not None
            assert entry.body == DOCUMENTS[of.kind, of.key]
            assert cache.get(of, entry.facts.expires + 1) is None


def _changed(**changes: Any) -> Mapping[tuple[str, str], bytes]:
    return {next(iter(DOCUMENTS)): ForgedAnswer(gpu=GPU, now=NOW, **changes).der()}


@pytest.mark.parametrize(
    "documents",
    [
        _changed(status="unknown"),
        _changed(serial=GPU.serial + 1),
        _changed(life=(86_400, 3 * 86_400)),  # of the day after: the suite may run for long after this line was read
        _changed(life=(-60, 40 * 86_400)),
        _changed(hash_name="sha384"),
        {},
    ],
    ids=["unknown", "another", "of-a-time-to-come", "for-too-long", "named-otherwise", "unauthorized"],
)
def test_what_is_no_answer_is_not_kept(tmp_path: Path, documents: Mapping[tuple[str, str], bytes]) -> None:
    of = wanted()[0]
    with ocsp_responder(tmp_path / "tls", documents) as false, fetching(tmp_path, false) as (cache, ask):
        wait_for(lambda: "failed" in ask(of)[0].detail)
        assert cache.get(of, NOW) is None


def test_a_revoked_one_is_kept_too() -> None:
    of = wanted()[0]
    assert inspect(of, ForgedAnswer(gpu=GPU, now=NOW, status="revoked", reason=1).der()).expires > NOW
    with pytest.raises(BadDocument):
        inspect(of, b"<html>")


class Asker:
    """Writes down what is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[Item, bool]] = []

    def ask(self, tenant: str, source: str, wanted: Sequence[Item], *, anew: bool = False) -> Sequence[Reply]:
        """Answer."""
        assert (tenant, source) == ("acme", "192.0.2.9")
        self.asked += [(of, anew) for of in wanted]
        return [Reply("", "it will be fetched", 7) for _ in wanted]


def test_what_nobody_has_is_asked_for_and_stops_nobody_and_what_grows_old_is_renewed_by_its_users(
    tmp_path: Path,
) -> None:
    evidence, cache, asker, clock = (
        SCHEME.form.decode(GPU.parts(bytes(32))),
        Cache(tmp_path / "cache"),
        Asker(),
        MovedClock(),
    )
    opened = open_store(f"sqlite:///{tmp_path}/verifier.db", SEALER)
    collateral = Collateral(opened, {"nvidia-gpu": (GPU.anchor(),)}, clock, cache=cache, asker=asker)

    def look() -> Verified[Any, Any]:
        found = collateral.get("nvidia-gpu", "acme", needs(evidence, {}), source="192.0.2.9")
        now = clock.now_ms() // 1000
        subject = Subject(evidence, SCHEME.collateral.collate(evidence, found), (GPU.anchor(),), now, ChainCache())
        return run_checks(SCHEME, subject, UnsafeUnbound())

    try:
        assert set(revocation(look()).values()) == {"not asked"}
        assert asker.asked == [(of, False) for of in wanted()]

        asker.asked.clear()
        for of in wanted():
            body = DOCUMENTS[of.kind, of.key]
            assert cache.put(Entry(of, body, b"", "test", NOW, inspect(of, body)), NOW) == "stored"
        assert set(revocation(look()).values()) == {"good"}
        assert asker.asked == []

        clock.offset_ms += 13 * 3600 * 1000
        assert set(revocation(look()).values()) == {"good"}
        assert asker.asked == [(of, True) for of in wanted()]

        clock.offset_ms += 40 * 3600 * 1000
        assert set(revocation(look()).values()) == {"not asked"}
    finally:
        opened.close()
