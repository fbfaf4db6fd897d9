"""Who sent a request: the address that limits count by and records keep."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_network

from verifier.core.settings import UNIX_PEER
from verifier.formats.addresses import read_address


class Sources:
    """Reads the caller's address. ``trusted``: networks of the proxies in front of this service, and "unix" for a Unix socket.

    Only a trusted peer's ``X-Forwarded-For`` is read, from its end: each proxy appends the address that it saw, so the last one
    that is no trusted proxy's is the client's. What stands before it the client wrote itself.
    """

    def __init__(self, trusted: Sequence[str] = ()) -> None:
        self._networks = tuple(ip_network(text) for text in trusted if text != UNIX_PEER)
        self._trusts_unix = UNIX_PEER in trusted

    def of(self, peer: str, forwarded: Iterable[str]) -> str:
        """Return the caller's address. ``peer``: of the connection, "" for a Unix socket; ``forwarded``: the header fields' values."""
        if not (self._networks or self._trusts_unix) or not self._is_trusted(peer):
            return peer
        for text in reversed([part.strip() for value in forwarded for part in value.split(",")]):
            address = read_address(text)
            if address is None:
                break  # no proxy of ours wrote that
            peer = str(address)
            if not self._is_trusted(peer):
                break
        return peer

    def _is_trusted(self, peer: str) -> bool:
        if not peer:
            return self._trusts_unix
        address = read_address(peer)
        return address is not None and any(address in network for network in self._networks)
