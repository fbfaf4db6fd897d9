"""IP addresses as whom they stand for."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_LONGEST = 64
_V6_NETWORK = (
    64  # prefix length: what one customer of a provider has at least, so every address below it may be one machine
)


def read_address(text: str) -> IPv4Address | IPv6Address | None:
    """Read an address; one of IPv4 that is written as IPv6 is the same address. ``None`` for anything else."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def client_of(source: str) -> str:
    """Return whom something is counted for: an address, of IPv6 its /64; text that is no address is itself."""
    if ":" not in source:
        return source[:_LONGEST]
    address = read_address(source)
    if not isinstance(address, IPv6Address):
        return source[:_LONGEST] if address is None else str(address)
    return str(ip_network((int(address), _V6_NETWORK), strict=False))


def is_network(text: str) -> bool:
    """Tell whether text is an address or a network without host bits."""
    try:
        ip_network(text)
    except ValueError:
        return False
    return True
