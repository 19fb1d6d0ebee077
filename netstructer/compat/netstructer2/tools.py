"""The helpers of NetStructer 2.x.  Floor: ROOF.  Law: nobody outside is asked for anything."""

from __future__ import annotations

import socket
from typing import NoReturn

from netstructer import Key
from netstructer.compat.shared import NotCarriedOver

__all__ = ["DetailsIp", "GenerateKey", "InvalidIP", "LocalIP", "PublicIP", "ServiceName", "isTCP"]

FAR = ("192.0.2.1", 9)
"""An address that is nobody's (RFC 5737).  A datagram socket that is connected to it sends nothing: the system only
chooses the address that it would send from."""


class InvalidIP(Exception):
    """What `DetailsIp` raised; kept for programs that catch it."""


def GenerateKey() -> bytes:
    """Return a new random key, as 44 bytes of URL-safe base64."""
    return Key.generate().reveal().encode()


def LocalIP() -> str:
    """Return this machine's IPv4 address in its network, or an empty text where it has none.

    It is the address of the way out, whatever network that is; NetStructer 2.x knew 192.168 alone.  Nothing is sent.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(FAR)
        except OSError:
            return ""  # No way out.
        found = str(probe.getsockname()[0])
    return "" if found.startswith(("127.", "0.")) else found


def ServiceName(port: int) -> str:
    """Return the name of the TCP service that a port stands for, as this system knows it, or an empty text."""
    try:
        return socket.getservbyport(port, "tcp")
    except (OSError, OverflowError):
        return ""


def PublicIP() -> NoReturn:
    """Refused: it asked a stranger on the Internet.  Raises `NotCarriedOver`."""
    raise NotCarriedOver(
        "PublicIP asked a service on the Internet for this machine's address, and netstructer asks no stranger; "
        "LocalIP() is the address in its network, and what a server sees of it is `link.peer` there"
    )


def DetailsIp(ip: str = "") -> NoReturn:
    """Refused: it told a stranger on the Internet, in the clear, whose address is of interest.  Raises
    `NotCarriedOver`.
    """
    raise NotCarriedOver(
        "DetailsIp told a service on the Internet, in the clear, which address you ask about; netstructer asks nobody: "
        "`ipaddress` tells what an address itself says, a database of yours the rest"
    )


def isTCP(ser: object) -> bool:
    """Say whether this is a TCP socket over IPv4 or IPv6, or what `accept` of a server returned."""
    family, kind = getattr(ser, "family", None), getattr(ser, "type", None)
    return family in (socket.AF_INET, socket.AF_INET6) and kind == socket.SOCK_STREAM
