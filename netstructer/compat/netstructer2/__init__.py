"""The names of NetStructer 2.x over netstructer's links.  Floor: ROOF.  Law: a thin front for `Link` and `Server`.

    from netstructer.compat.netstructer2 import Bridge, Server          # was: from NetStructer import Bridge, Server

The wire is netstructer's, so both ends change at once; a peer that uses `Link` or `Server` itself understands all but
`end=False`.  There is no default key: without `enckey` it is found as `Link` finds it.  What differs stands in
docs/compat.md.
"""

from __future__ import annotations

from netstructer.compat.netstructer2.bridge import Bridge, Reader
from netstructer.compat.netstructer2.error import Error
from netstructer.compat.netstructer2.listening import Accepted, Listening
from netstructer.compat.netstructer2.server import Container, Server
from netstructer.compat.netstructer2.tools import DetailsIp, GenerateKey, InvalidIP, LocalIP, PublicIP, isTCP

__all__ = [
    "Accepted",
    "Bridge",
    "Container",
    "DetailsIp",
    "Error",
    "GenerateKey",
    "InvalidIP",
    "Listening",
    "LocalIP",
    "PublicIP",
    "Reader",
    "Server",
    "isTCP",
]
