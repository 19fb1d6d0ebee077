"""Addresses: one way to read them, one way to write them.  Floor: GROUND.  Law: no name is looked up here.

The registry, the budgets for strangers and the logs all key on the text that `normalise_ip` returns, so an IPv4 peer
that a dual-stack listener reports as `::ffff:192.0.2.7` is `192.0.2.7` everywhere (protocol.md, "Registry and
addresses").
"""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

from netstructer.errors import InvalidAddress

__all__ = ["Address", "is_loopback", "normalise_ip", "parse_address", "source_of"]


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
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return str(parsed)


def is_loopback(ip: str) -> bool:
    """Say whether a normalised IP is this machine's own (`127.0.0.0/8`, `::1`)."""
    return ipaddress.ip_address(ip).is_loopback


def source_of(ip: str) -> str:
    """Return what one stranger can be taken for: the address itself for IPv4, its /64 network for IPv6."""
    parsed = ipaddress.ip_address(ip)
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))
