"""The rate limit stands before everything else on every route that does work for a caller."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.support.keyfiles import make_key_folder
from tests.support.service import House, house
from verifier.web.app import create_app

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    path = tmp_path_factory.mktemp("house")
    keys = make_key_folder(path / "k", simulated=True, now=int(time.time()) - 3600)
    with house(path, key_folder=keys) as made:
        yield made


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/challenges"),
        ("POST", "/v1/attestations"),
        ("POST", "/v1/tpm2/enrolments"),
        ("PUT", "/v1/tpm2/enrolments/000b"),
    ],
)
def test_the_second_of_one_a_minute_is_told_when_to_come_back_and_nothing_is_done_for_it(
    home: House, method: str, path: str
) -> None:
    app = create_app(replace(home.parts, settings=home.parts.settings.model_copy(update={"rate_per_minute": 1})))
    client = app.test_client()
    assert client.open(path, method=method, data=b"{}", content_type="text/plain").status_code == 415
    home.seen.clear()

    # Neither the media type nor the size of the body is looked at any more.
    second = client.open(path, method=method, data=bytes(5 * 1024 * 1024), content_type="text/plain")
    assert (second.status_code, second.get_json()["check_id"]) == (429, "service.rate")
    assert 1 <= int(second.headers["Retry-After"]) <= 61
    assert home.seen == []
