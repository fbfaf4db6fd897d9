"""The rate limit stands before everything else on every route that does work for a caller."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.support.asgi import Answered, ask
from tests.support.keyfiles import make_key_folder
from tests.support.service import House, house
from verifier.web import gateway as gateway_module
from verifier.web.app import create_app
from verifier.web.gateway import Gateway
from verifier.web.problems import Problems

pytestmark = pytest.mark.slow

ROUTES = [
    ("POST", "/v1/challenges"),
    ("POST", "/v1/attestations"),
    ("POST", "/v1/tpm2/enrolments"),
    ("PUT", "/v1/tpm2/enrolments/000b"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    path = tmp_path_factory.mktemp("house")
    keys = make_key_folder(path / "k", simulated=True, now=int(time.time()) - 3600)
    with house(path, key_folder=keys) as made:
        yield made


def answered(home: House, settings: dict[str, Any], *requests: tuple[Any, ...], **named: Any) -> list[Answered | None]:
    """Send requests one after another to a gateway with these settings."""
    parts = replace(home.parts, settings=home.parts.settings.model_copy(update=settings))

    async def run() -> list[Answered | None]:
        problems = Problems(parts.clock)
        gateway = Gateway(parts, create_app(parts, problems), problems)
        gateway.start()
        return [await ask(gateway, *request, **named) for request in requests]

    return asyncio.run(run())


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_the_second_of_one_a_minute_is_told_when_to_come_back_and_nothing_is_done_for_it(
    home: House, method: str, path: str
) -> None:
    text = {"content-type": "text/plain"}
    home.seen.clear()
    # Neither the media type nor the size of the body is looked at any more.
    first, second = answered(
        home, {"rate_per_minute": 1}, (method, path, b"{}", text), (method, path, bytes(5 * 1024 * 1024), text)
    )
    assert first is not None
    assert first.status == 415
    assert second is not None
    assert (second.status, second.json()["check_id"]) == (429, "service.rate")
    assert 1 <= int(second.headers["retry-after"]) <= 61
    assert home.seen == []


def test_a_path_that_leads_nowhere_counts_and_the_keys_do_not(home: House) -> None:
    """Vault fetches keys whenever a client makes it do so: those are static bytes."""
    keys = ("GET", "/t/default/.well-known/jwks.json")
    answers = answered(home, {"rate_per_minute": 1}, ("GET", "/nothing"), ("GET", "/nothing"), keys, keys)
    assert [answer.status for answer in answers if answer] == [404, 429, 200, 200]


@pytest.mark.parametrize("size", [5, 100_000], ids=["small", "large"])
def test_a_client_that_has_left_is_not_judged(home: House, size: int) -> None:
    home.seen.clear()
    jose = {"content-type": "application/jose"}
    assert answered(home, {}, ("POST", "/v1/attestations", b"a" * size, jose), has_left=True) == [None]
    assert home.seen == []


def test_a_process_that_has_enough_to_do_says_so(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_module, "PENDING_MAX", 0)
    home.seen.clear()
    for (answer,) in (answered(home, {}, (method, path, b"{}")) for method, path in ROUTES):
        assert answer is not None
        assert (answer.status, answer.json()["check_id"]) == (503, "service.busy")
        assert answer.headers["retry-after"] == "2"
    assert home.seen == []


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "second"),
    [
        ((), "10.0.0.1", ("192.0.2.1", "192.0.2.2"), 429),  # no proxy: what a client says of itself is not read
        (("10.0.0.0/8",), "10.0.0.1", ("192.0.2.1", "192.0.2.2"), 400),
        (
            ("10.0.0.0/8",),
            "10.0.0.1",
            ("192.0.2.1, 198.51.100.1", "192.0.2.2, 198.51.100.1"),
            429,
        ),  # the last is the client
        (("10.0.0.0/8",), "10.0.0.1", ("2001:db8::1", "2001:db8::2"), 429),  # one /64
        (("unix",), "", ("192.0.2.1", "192.0.2.2"), 400),
    ],
)
def test_the_limit_knows_a_client_by_a_trusted_hop_alone(
    home: House, trusted: tuple[str, ...], peer: str, forwarded: tuple[str, str], second: int
) -> None:
    requests = [
        ("POST", "/v1/challenges", b"{}", {"content-type": "application/json", "x-forwarded-for": value})
        for value in forwarded
    ]
    answers = answered(home, {"rate_per_minute": 1, "trusted_proxies": trusted}, *requests, peer=peer)
    assert [answer.status for answer in answers if answer] == [400, second]
