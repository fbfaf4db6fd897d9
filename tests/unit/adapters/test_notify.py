"""What systemd is told, and the unit that asks for it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import pytest

from verifier.adapters.notify import Notifier

UNIT = Path(__file__).parents[3] / "deploy" / "systemd" / "verifier.service"


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(10)
        yield listening


def _said(manager: socket.socket) -> dict[str, str]:
    return dict(line.split("=", 1) for line in manager.recv(4096).decode().splitlines())


def test_ready_reload_and_stop_are_told(manager: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname()})
    notifier.ready("serves")
    assert _said(manager) == {"READY": "1", "STATUS": "serves", "MAINPID": str(os.getpid())}
    notifier.reloading()
    said = _said(manager)
    assert said["RELOADING"] == "1"
    assert int(said["MONOTONIC_USEC"]) > 0
    notifier.stopping()
    assert _said(manager) == {"STOPPING": "1"}


def test_the_watchdog_is_fed_where_there_is_one_and_no_oftener_than_it_asks(manager: socket.socket) -> None:
    place = manager.getsockname()
    Notifier({"NOTIFY_SOCKET": place}).alive()
    Notifier({"NOTIFY_SOCKET": place, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}).alive()
    fed = Notifier({"NOTIFY_SOCKET": place, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())})
    fed.alive()
    fed.alive()
    fed.stopping()
    assert [_said(manager), _said(manager)] == [{"WATCHDOG": "1"}, {"STOPPING": "1"}]


@pytest.mark.parametrize(
    "environment", [{}, {"NOTIFY_SOCKET": "/nowhere/notify"}, {"NOTIFY_SOCKET": "@nobody-listens"}]
)
def test_a_manager_that_is_not_there_stops_nothing(environment: dict[str, str]) -> None:
    Notifier(environment).ready("serves")


def test_an_abstract_name_is_reached() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0vab-notify-{os.getpid()}")
        Notifier({"NOTIFY_SOCKET": f"@vab-notify-{os.getpid()}"}).stopping()
        assert _said(listening) == {"STOPPING": "1"}


def test_the_unit_asks_for_what_is_told_and_is_hardened() -> None:
    unit = ConfigParser(strict=False, interpolation=None, comment_prefixes=("#",))
    unit.optionxform = str  # type: ignore[assignment,method-assign] # names of systemd are of mixed case
    unit.read_string(UNIT.read_text(encoding="ascii"))
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) >= 2
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert service["ExecStart"].split()[1:3] == ["serve", "--config"]
    assert service["CapabilityBoundingSet"] == ""
    assert service["LimitCORE"] == "0"
    for name, value in {"NoNewPrivileges": "yes", "ProtectSystem": "strict", "PrivateTmp": "yes"}.items():
        assert service[name] == value
