"""Addresses: one way to read them, one way to write them.  Floor: GROUND.  Law: no name is looked up here.

The registry, the budgets for strangers and the logs all key on the text that `normalise_ip` returns, so an IPv4 peer
that a dual-stack listener reports as `::ffff:192.0.2.7` is `192.0.2.7` everywhere (protocol.md, "Registry and
addresses").
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NamedTuple

from netstructer.errors import InvalidAddress

__all__ = ["LOOPBACK", "Address", "Network", "Sources", "normalise_ip", "parse_address", "parse_network"]

LOOPBACK = ("127.0.0.0/8", "::1/128")
"""This machine's own networks."""

Network = IPv4Network | IPv6Network


class Address(NamedTuple):
    """A host (name or normalised IP text) and a TCP port; prints as `host:port` or `[v6]:port`."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: tuple[str, int] | str, *, default_port: int | None = None) -> Address:
    """Read `(host, port)`, `"host:port"`, `"[v6]:port"` (or without the port, where there is a default).

    Raises `InvalidAddress` for anything else: no port, a port outside 0…65535, an IPv6 address without brackets.
    """
    if isinstance(text, str):
        host, port = _split(text, default_port)
    elif isinstance(text, tuple) and len(text) >= 2 and isinstance(text[0], str):
        host, port = text[0], text[1]
    else:
        raise InvalidAddress(f"expected (host, port) or 'host:port', found a {type(text).__name__}")
    if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port <= 65535:
        raise InvalidAddress("expected a port from 0 to 65535")
    if any(character.isspace() or character == "\0" for character in host):
        raise InvalidAddress("expected a host without spaces")
    return Address(_tidy(host), port)


def _split(text: str, default_port: int | None) -> tuple[str, int]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or not (rest == "" or rest.startswith(":")):
            raise InvalidAddress("expected '[v6]:port'")
        digits = rest[1:]
        given = rest != ""
    else:
        host, colon, digits = text.rpartition(":")
        given = bool(colon)
        if not given:
            host = text
        if ":" in host:
            raise InvalidAddress("expected an IPv6 address in brackets, as in '[::1]:5000'")
    if not given:
        if default_port is None:
            raise InvalidAddress("expected a port, as in 'host:5000'")
        return host, default_port
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 5:
        raise InvalidAddress("expected a port from 0 to 65535")
    return host, int(digits)


def _tidy(host: str) -> str:
    try:
        return normalise_ip(host)
    except ValueError:
        return host


def normalise_ip(text: str) -> str:
    """Return the one spelling of an IP address: IPv4-mapped IPv6 as IPv4, IPv6 compressed, a link-local zone kept.

    Raises `InvalidAddress` (a `ValueError`) for text that is no IP address.
    """
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        raise InvalidAddress("expected an IP address") from None
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return str(parsed)


def parse_network(text: str) -> Network:
    """Read `"192.0.2.0/24"`, `"2001:db8::/32"`, or one address; an IPv4-mapped IPv6 network is an IPv4 network.

    Raises `InvalidAddress` for anything else: bits behind the prefix, a netmask in dots, a zone.
    """
    address, slash, bits = text.partition("/") if isinstance(text, str) else ("%", "", "")
    if "%" in address or (slash and not (bits.isascii() and bits.isdigit() and bits == str(int(bits)))):
        raise InvalidAddress("expected a network, as in '192.0.2.0/24' or '2001:db8::/32'")
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        raise InvalidAddress("expected a network, as in '192.0.2.0/24', with no bit set behind its prefix") from None
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is not None and network.prefixlen >= 96:
        return IPv4Network((mapped, network.prefixlen - 96))
    return network


class Sources:
    """What counts as one stranger, and who is not counted.

    One source is an IPv4 address, or an IPv6 network of 64 bits, which is what one subscriber is given; or what
    `ipv4_bits` and `ipv6_bits` say.  `exempt` are the networks that budgets by source do not count.
    """

    def __init__(self, exempt: Iterable[str] = LOOPBACK, *, ipv4_bits: int = 32, ipv6_bits: int = 64) -> None:
        self._exempt = [parse_network(text) for text in exempt]
        self._spare = {4: 32 - ipv4_bits, 6: 128 - ipv6_bits}

    def name(self, ip: str) -> str:
        """Return what a normalised IP is counted as: an address, or a network."""
        parsed = ipaddress.ip_address(ip)
        spare = self._spare[parsed.version]
        if not spare and isinstance(parsed, IPv4Address):
            return ip
        kind = IPv4Network if isinstance(parsed, IPv4Address) else IPv6Network
        return str(kind((int(parsed) >> spare << spare, parsed.max_prefixlen - spare)))

    def exempts(self, ip: str) -> bool:
        """Say whether a normalised IP is not counted by source."""
        parsed = ipaddress.ip_address(ip)
        return any(parsed in network for network in self._exempt)
