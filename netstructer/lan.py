"""By which addresses this machine can be reached.  Floor: FAÇADES.  Law: nobody is asked; not one packet leaves.

A UDP socket that is connected sends nothing: the system looks up which way it would be, and gives the socket the
address that it would come from.  Asked about an address that is kept for documentation, and so is nobody's, it answers
with that of the network which leads outside: what others on that network reach this machine by.  Where no way leads
outside, as in a workshop without a router, the addresses of the machine's own interfaces are looked through, where the
system lists them.  A name service is never asked: it may be a stranger's.
"""

from __future__ import annotations

import contextlib
import ipaddress
import platform
import socket
import sys
from collections.abc import Iterator

from netstructer.address import Address, normalise_ip
from netstructer.errors import CannotListen

__all__ = ["ANYWHERE", "addresses_for_clients", "lan_address", "lan_addresses"]

ANYWHERE = ("", "0.0.0.0", "::")
"""Hosts that stand for all addresses of a machine, of one family or of both."""
_NOBODY: tuple[tuple[socket.AddressFamily, str], ...] = (
    (socket.AF_INET, "192.0.2.1"),
    (socket.AF_INET, "198.51.100.1"),
    (socket.AF_INET, "203.0.113.1"),
    (socket.AF_INET6, "2001:db8::1"),
)
"""Addresses for documentation, of each such network: somebody may have routed one of them into nowhere."""
_DISCARD_PORT = 9
_SIOCGIFADDR = 0x8915
"""Linux: which IPv4 address an interface has."""
_NAME_BYTES = 16
"""Linux: the length of an interface's name in that request; the address is in bytes 20 to 24 of the answer."""


def lan_address() -> str:
    """Return the address by which others in the local network most likely reach this machine, IPv4 if it has one.

    Raises `CannotListen` where it has none that is not its own.
    """
    for found in lan_addresses():
        return found
    raise CannotListen(
        "this machine has no address in any network: name one of its own, or 0.0.0.0 for whatever comes", stage="name"
    )


def lan_addresses() -> tuple[str, ...]:
    """Return the addresses by which others most likely reach this machine, IPv4 first; none where it is alone."""
    outward = tuple(dict.fromkeys(_on_the_way_out()))
    return outward or tuple(dict.fromkeys(filter(_is_reachable, _of_interfaces())))


def addresses_for_clients(bound: Address) -> tuple[Address, ...]:
    """Return what clients dial to reach a server that listens at `bound`: that, or where it listens at all addresses
    the ones that others reach; the machine's name where there are none.
    """
    if bound.host not in ANYWHERE:
        return (bound,)
    hosts = [host for host in lan_addresses() if ":" not in host or bound.host != "0.0.0.0"]
    return tuple(Address(host, bound.port) for host in hosts or [platform.node() or "localhost"])


def _on_the_way_out() -> Iterator[str]:
    for family, nobody in _NOBODY:
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((nobody, _DISCARD_PORT))
            found = normalise_ip(probe.getsockname()[0])
            if _is_reachable(found):
                yield found


def _is_reachable(ip: str) -> bool:
    """Say whether others can reach an address of this machine as it stands: one of a link alone wants a zone, too."""
    parsed = ipaddress.ip_address(ip)
    alone = parsed.is_loopback or parsed.is_unspecified or parsed.is_multicast
    return not alone and not (parsed.version == 6 and parsed.is_link_local)


def _of_interfaces() -> Iterator[str]:
    """Give the addresses that the system lists without asking anybody: none on systems that have no such list."""
    if sys.platform == "linux":
        yield from _ipv4_of_linux()
        yield from _ipv6_of_linux()
    elif sys.platform == "win32":  # which answers for the machine's own name from its own table
        with contextlib.suppress(OSError):
            found = sorted(socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_DGRAM))
            yield from (normalise_ip(str(place[0])) for *_, place in found)


def _ipv4_of_linux() -> Iterator[str]:
    import fcntl

    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):  # an interface without an address
                request = name.encode()[: _NAME_BYTES - 1].ljust(256, b"\0")
                yield socket.inet_ntoa(fcntl.ioctl(probe, _SIOCGIFADDR, request)[20:24])


def _ipv6_of_linux() -> Iterator[str]:
    with contextlib.suppress(OSError), open("/proc/net/if_inet6", encoding="ascii") as listed:
        for line in listed:
            yield str(ipaddress.IPv6Address(bytes.fromhex(line.partition(" ")[0])))
