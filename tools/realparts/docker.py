"""The Docker engine and the Compose plugin."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from tools.realparts.cache import build_once, locked
from tools.realparts.errors import FailedPartError, MissingToolError
from tools.realparts.golang import GoPart, build_go
from tools.realparts.places import cache_root, command, log_file
from tools.realparts.running import ask, say, tail
from tools.realparts.versions import Version, dotted, find_version

COMPOSE = GoPart("compose", "Docker Compose", "2.40.3", "github.com/docker/compose/v2/cmd", "2 min")
# The first in which `up` waits for one-shot services and the file may name secrets of an environment.
OLDEST_COMPOSE: Version = (2, 24)
_SOCKET = Path("/var/run/docker.sock")
_START_SECONDS = 60
_STOP_SECONDS = 30


def docker() -> Path:
    """Return the docker command line."""
    found = command("docker")
    if found is None:
        raise MissingToolError(
            "There is no `docker` on PATH: install Docker (docs.docker.com/engine/install; Debian: docker.io)."
        )
    return found


def compose() -> Path:
    """Return the Compose plugin that `docker compose` runs, installed for this user where none works."""
    client = docker()
    version = find_version(ask([client, "compose", "version", "--short"]))
    if version is not None and version >= OLDEST_COMPOSE:
        say(f"Docker Compose: {dotted(version)} is there")
        return _plugin_path(client)
    program = build_once(
        COMPOSE.name, COMPOSE.version, "docker-compose", lambda new, _final: build_go(COMPOSE, new / "docker-compose")
    )
    plugin = _user_plugin()
    plugin.parent.mkdir(parents=True, exist_ok=True)
    fresh = plugin.with_name(f".{plugin.name}.new")
    shutil.copy2(program, fresh)
    fresh.replace(plugin)
    if ask([client, "compose", "version", "--short"]) is None:
        raise FailedPartError(f"{plugin} was installed, but `docker compose version` does not run it.")
    return plugin


def _user_plugin() -> Path:
    folder = os.environ.get("DOCKER_CONFIG", "")
    return (Path(folder) if folder else Path.home() / ".docker").absolute() / "cli-plugins" / "docker-compose"


def _plugin_path(client: Path) -> Path:
    """Return where a working plugin lies, as the client itself tells."""
    answer = ask([client, "info", "--format", "{{json .ClientInfo}}"]) or "{}"
    for plugin in json.loads(answer).get("Plugins") or []:
        if plugin.get("Name") == "compose" and plugin.get("Path"):
            return Path(plugin["Path"])
    return _user_plugin()


def engine_answers(client: Path) -> bool:
    """Tell whether an engine, here or wherever DOCKER_HOST points, answers the client."""
    return bool(ask([client, "version", "--format", "{{.Server.Version}}"]))


def dockerd() -> Path:
    """Return the engine's socket, after starting an engine by hand where none answers."""
    client = docker()
    with locked(_pid_file().with_suffix(".lock")):
        if engine_answers(client):
            say("Docker engine: one answers already")
        else:
            _start(client)
    host = os.environ.get("DOCKER_HOST", "")
    return Path(host.removeprefix("unix://")) if host.startswith("unix://") else _SOCKET


def _start(client: Path) -> None:
    daemon = command("dockerd")
    if daemon is None:
        raise MissingToolError("No Docker engine answers: install one (Debian: docker.io) or start yours.")
    if os.geteuid() != 0:
        raise MissingToolError("No Docker engine answers, and only root can start one: start the service `docker`.")
    log = log_file("dockerd")
    say(f"Docker engine: starting {daemon}, log in {log}")
    with log.open("wb") as output:
        # A session of its own: the engine outlives this program and is not hit by its Ctrl-C.
        child = subprocess.Popen(
            [str(daemon)], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    _pid_file().write_text(f"{child.pid}\n")
    give_up = time.monotonic() + _START_SECONDS
    while not engine_answers(client):
        if child.poll() is not None or time.monotonic() > give_up:
            say(tail(log))
            raise FailedPartError(f"The Docker engine did not come up; its whole log is {log}.")
        time.sleep(0.5)
    # Else Python complains at its end of a child that it leaves running, which is what is meant here.
    child.returncode = 0


def stop_dockerd() -> None:
    """Stop the engine that `dockerd` started; one that was there before is left alone."""
    pid = _own_engine()
    if pid is None:
        say("Docker engine: none of ours runs")
        return
    os.kill(pid, signal.SIGTERM)
    give_up = time.monotonic() + _STOP_SECONDS
    while _own_engine() is not None:
        if time.monotonic() > give_up:
            raise FailedPartError(f"The Docker engine (process {pid}) does not stop.")
        time.sleep(0.2)
    _pid_file().unlink(missing_ok=True)
    say("Docker engine: stopped")


def _own_engine() -> int | None:
    """Return the process id of our engine, while it is really that: numbers are used again."""
    try:
        pid = int(_pid_file().read_text())
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(") ")
    except (OSError, ValueError):
        return None
    return pid if name == "dockerd" and not rest.startswith("Z") else None


def _pid_file() -> Path:
    return cache_root() / "dockerd" / "pid"
