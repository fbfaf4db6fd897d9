"""docker-compose.yml itself is run: up, login, secret, one refusal, down; and no secret touches a disk meanwhile."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.parts import missing

ROOT = Path(__file__).resolve().parents[2]
PROJECT = "vab-test-compose"
UP_SECONDS = 900
RUN_SECONDS = 180


def docker(*words: str, seconds: float = 60, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", *words],
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def listed(words: Sequence[str]) -> list[str]:
    done = docker(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@dataclass(frozen=True)
class Stack:
    """The services of one run, up until the test is over."""

    settings: str

    def compose(self, *words: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run `docker compose` on this project."""
        return docker("compose", "--project-name", PROJECT, "--env-file", self.settings, *words, seconds=seconds)

    def logs(self, *services: str) -> str:
        """Return what services said, each line with its service's name left out where there is one service."""
        prefix = ["--no-log-prefix"] if len(services) == 1 else []
        return self.compose("logs", "--no-color", *prefix, *services).stdout

    def down(self) -> None:
        """Stop and remove everything, whatever state it is in."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "10", seconds=120)


def settings_file() -> str:
    name = os.environ.get("VAB_COMPOSE_SETTINGS", "")
    if not name or not Path(name).is_file():
        missing(
            "docker-compose.yml is run by `make test-compose`, which says in VAB_COMPOSE_SETTINGS with which images"
        )
    return name


def require_nothing_left() -> None:
    """Ask the engine for what ``down`` should have removed."""
    label = f"label=com.docker.compose.project={PROJECT}"
    assert listed(["ps", "--all", "--quiet", "--filter", label]) == []
    assert listed(["volume", "ls", "--quiet", "--filter", label]) == []
    assert listed(["network", "ls", "--quiet", "--filter", label]) == []


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Bring everything up and wait until the workload has ended; take everything down whatever happens."""
    running = Stack(settings_file())
    # What a killed run left behind.
    running.down()
    try:
        up = running.compose("up", "--build", "--detach", seconds=UP_SECONDS)
        assert up.returncode == 0, f"{up.stderr[-3000:]}\n{running.logs()[-5000:]}"
        running.compose("wait", "workload", seconds=RUN_SECONDS)
        yield running
    finally:
        running.down()
    # Here and not in a test, since tests run in any order and each of them needs the stack.
    require_nothing_left()


def containers(stack: Stack) -> list[dict[str, Any]]:
    ids = stack.compose("ps", "--all", "--quiet").stdout.split()
    found: list[dict[str, Any]] = json.loads(docker("inspect", *ids).stdout)
    return found


def test_the_workload_walks_the_whole_way(stack: Stack) -> None:
    said = stack.logs("workload")
    assert [int(number) for number in re.findall(r"^step (\d)  ", said, re.MULTILINE)] == [1, 2, 3, 4, 5], said
    (workload,) = [
        one for one in containers(stack) if one["Config"]["Labels"]["com.docker.compose.service"] == "workload"
    ]
    assert workload["State"]["ExitCode"] == 0, said


def test_the_secret_that_arrived_is_the_one_that_was_stored(stack: Stack) -> None:
    stored = re.search(r"default/web/db stored, SHA-256 ([0-9a-f]{64})", stack.logs("vault-setup"))
    arrived = re.search(r"^step 5 .* SHA-256 ([0-9a-f]{64})$", stack.logs("workload"), re.MULTILINE)
    assert stored
    assert arrived
    assert arrived.group(1) == stored.group(1)


def test_another_workload_s_secret_is_refused_by_vault(stack: Stack) -> None:
    assert "refused: another workload's secret, by Vault's policy (attester.vault.denied)" in stack.logs("workload")


def test_a_second_terraform_plan_finds_nothing_to_do(stack: Stack) -> None:
    said = stack.logs("terraform")
    assert "Apply complete!" in said
    assert "a second plan finds nothing to do" in said


def test_no_secret_can_reach_a_disk(stack: Stack) -> None:
    for container in containers(stack):
        name = container["Name"]
        assert container["HostConfig"]["ReadonlyRootfs"], name
        for mount in container["Mounts"]:
            if mount["Type"] == "bind":
                assert not mount["RW"], (name, mount["Destination"])
            else:
                (volume,) = json.loads(docker("volume", "inspect", mount["Name"]).stdout)
                assert volume["Options"]["type"] == "tmpfs", (name, mount["Name"])


def test_no_secret_is_logged_or_named_in_a_container_s_settings(stack: Stack) -> None:
    # A Vault token, a JWT, a private key.
    secret = re.compile(r"hv[sbr]\.[A-Za-z0-9_-]{20}|eyJ[A-Za-z0-9_-]{20,}\.|PRIVATE KEY")
    assert not secret.search(stack.logs())
    for container in containers(stack):
        assert not secret.search(json.dumps(container["Config"])), container["Name"]


def test_the_images_are_public_ones_unless_told_otherwise() -> None:
    unset = dict.fromkeys(("VAB_VAULT_IMAGE", "VAB_TERRAFORM_IMAGE", "VAB_PYTHON_IMAGE"), "")
    done = docker("compose", "--env-file", "/dev/null", "config", "--format", "json", env=unset)
    if "unknown" in done.stderr:
        missing("there is no `docker compose`")
    services = json.loads(done.stdout)["services"]
    assert services["vault"]["image"] == "hashicorp/vault:1.21"
    assert services["terraform"]["image"] == "hashicorp/terraform:1.11"
    bases = {one["build"]["args"]["VAB_PYTHON_IMAGE"] for one in services.values() if "build" in one}
    assert bases == {"python:3.11-slim-bookworm"}
