"""The socket that one gunicorn takes over from another."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tools.demo.processes import hold_port
from verifier.adapters.listener import Listener
from verifier.formats.errors import ConfigError


def _connects(family: socket.AddressFamily, address: object) -> bool:
    with socket.socket(family) as client:
        client.settimeout(5)
        return client.connect_ex(address) == 0  # type: ignore[arg-type] # of either family


def test_a_lent_socket_is_the_borrowers() -> None:
    port = hold_port()
    listener = Listener(f"127.0.0.1:{port}")
    address = listener.lend()
    assert address.startswith("fd://")
    with socket.socket(fileno=int(address.removeprefix("fd://"))) as borrowed:
        listener.close()
        borrowed.listen()
        assert _connects(socket.AF_INET, ("127.0.0.1", port))


def test_a_unix_sockets_file_goes_with_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    left = Listener(f"unix:{path}")
    listener = Listener(f"unix:{path}")  # what a run before left behind is taken over
    left.close(is_owner=False)
    assert path.is_socket()
    child = os.fork()
    if child == 0:
        listener.close(is_owner=False)
        os._exit(0)
    os.waitpid(child, 0)
    assert path.is_socket()
    listener.close()
    assert not path.exists()


@pytest.mark.parametrize("bind", ["127.0.0.1", "127.0.0.1:x", "192.0.2.1:8443", "no.such.host.invalid:8443"])
def test_an_address_that_will_not_do_is_refused_by_name(bind: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Listener(bind)
    assert (caught.value.key, caught.value.got) == ("bind", bind)


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("kept")
    with pytest.raises(ConfigError):
        Listener(f"unix:{path}")
    assert path.read_text() == "kept"
