"""What the image lets an outside configuration choose; without an image file, nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attester.image import Allowed, parse_image, require_allowed
from attester.settings import Trust, trust_from
from tests.support.false_servers import Stage
from tests.support.signing import new_key
from tests.unit.attester.conftest import Run
from tests.unit.attester.test_settings import ROOT, document
from tools.demo.trust import image_file
from verifier.formats.errors import ConfigError, EvidenceRejected

ANOTHER = dict(new_key().public_jwk)


def allowed(**lists: Any) -> Allowed:
    """Return what an image allows that names this configuration's root and tenant."""
    return parse_image(image_file(ROOT, **lists), "image")


def trusting(**changes: Any) -> Trust:
    """Return what a configuration says."""
    return trust_from(document(**changes), "file")


def test_what_the_image_lists_or_leaves_open_may_be_chosen() -> None:
    require_allowed(trusting(), allowed(), "file")
    require_allowed(trusting(workload__name="api", verifier__url="https://elsewhere.example"), allowed(), "file")
    require_allowed(
        trusting(), allowed(workload=["api", "web"], issuer=["https://verifier.example:8443/t/default"]), "file"
    )


@pytest.mark.parametrize(
    ("lists", "change", "field"),
    [
        ({}, {"verifier__root": ANOTHER}, "verifier.root"),
        ({}, {"workload__tenant": "rival"}, "workload.tenant"),
        ({"url": ["https://verifier.example:8443"]}, {"verifier__url": "https://false.example"}, "verifier.url"),
        ({"ca": ["PEM"]}, {"verifier__ca": "another"}, "verifier.ca"),
        ({"issuer": ["https://a.example/t/default"]}, {}, "verifier.issuer"),
        ({"workload": ["web"]}, {"workload__name": "api"}, "workload.name"),
        ({"audience": ["vault/other"]}, {}, "workload.audience"),
        ({"lowest_seq": 2}, {}, "verifier.root_lowest_seq"),
    ],
)
def test_what_the_image_does_not_allow_is_refused(lists: Any, change: dict[str, Any], field: str) -> None:
    with pytest.raises(EvidenceRejected) as caught:
        require_allowed(trusting(**change), allowed(**lists), "file")
    assert caught.value.check_id == "attester.config.allowed"
    assert f"{field}: got" in caught.value.detail


def test_a_root_may_be_a_file_of_the_image(tmp_path: Path) -> None:
    (tmp_path / "root.jwk").write_text(json.dumps(ROOT))
    text = image_file(ROOT).decode()
    line = next(line for line in text.splitlines() if line.startswith("root ="))
    named = text.replace(line, f'root = ["{tmp_path}/root.jwk"]').encode()

    require_allowed(trusting(), parse_image(named, "image"), "file")
    with pytest.raises(ConfigError):
        parse_image(named.replace(b"root.jwk", b"absent.jwk"), "image")


def _without(name: str) -> Callable[[str], str]:
    return lambda text: "\n".join(line for line in text.splitlines() if not line.startswith(f"{name} ="))


@pytest.mark.parametrize(
    "spoil",
    [
        *map(_without, ("version", "root", "root_lowest_seq", "tenant", "url", "ca", "issuer", "workload", "audience")),
        lambda text: text.replace('tenant = ["default"]', 'tenant = "any"'),
        lambda text: text.replace('tenant = ["default"]', 'tenant = ["Default"]'),
        lambda text: text.replace('url = "any"', "url = []"),
        lambda text: text.replace('url = "any"', 'url = "all"'),
        lambda text: text.replace('url = "any"', "url = [1]"),
        lambda text: text.replace("root_lowest_seq = 1", "root_lowest_seq = true"),
        lambda text: text + "more = 1\n",
        lambda text: text.replace("[allow]", "[allowed]"),
        lambda text: text + "[more]\n",
        lambda text: text.replace("root = [", 'root = "any" # ['),
        lambda text: text.replace('kty = "EC"', 'kty = "RSA"'),
    ],
)
def test_an_image_file_says_everything_and_nothing_unknown(spoil: Callable[[str], str]) -> None:
    text = image_file(ROOT).decode()
    assert spoil(text) != text
    with pytest.raises(ConfigError):
        parse_image(spoil(text).encode(), "image")


def test_without_an_image_file_an_outside_configuration_is_not_obeyed(
    attester: Run, servers: Stage, memory: Path, tmp_path: Path
) -> None:
    absent = ("--image-file", str(tmp_path / "absent.toml"))
    ran = attester("token", "--out", str(memory / "t"), "--format", "json", *absent)

    said = json.loads(ran.out)
    assert (ran.code, said["check_id"]) == (1, "attester.config.image")
    assert "--config-in-image" in said["hint"]
    assert servers.verifier.seen == []


@pytest.mark.parametrize("command", ["token", "login", "get", "evidence"])
def test_a_configuration_that_names_another_root_is_refused_before_anything_is_sent(
    attester: Run, servers: Stage, memory: Path, config: Path, command: str
) -> None:
    """It was measured, and the host fixed its digest at launch: the machine still does not obey it."""
    config.with_name("image.toml").write_bytes(image_file(ANOTHER))
    rest = {"get": ["secret/data/default/web/db#password"], "evidence": ["--nonce", "A" * 86]}.get(command, [])
    place = [] if command == "evidence" else ["--out", str(memory / "t")]
    ran = attester(command, *rest, *place, "--format", "json")

    assert (ran.code, json.loads(ran.out)["check_id"]) == (1, "attester.config.allowed")
    assert servers.verifier.seen == []
    assert list(memory.iterdir()) == []


def test_a_configuration_of_the_image_needs_no_image_file(attester: Run, memory: Path, tmp_path: Path) -> None:
    words = ("--config-in-image", "--image-file", str(tmp_path / "absent.toml"))
    assert attester("token", "--out", str(memory / "t"), *words).code == 0
