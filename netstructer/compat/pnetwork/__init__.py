"""The names of pnetwork over netstructer's links: named packets, and what is run when one arrives.  Floor: ROOF.

Law: a packet is a plain value, and whoever it comes from is known by the link, never by what it says.

    from netstructer.compat.pnetwork import coreserver          # was: from pnetwork import coreserver

    s = coreserver.Server()
    s.start()

Packets are sealed from the first on, and their data is any value of netstructer's, where it was JSON in the clear.
What differs stands in docs/compat.md.
"""

from __future__ import annotations

from netstructer.compat.pnetwork.binding import Bind
from netstructer.compat.pnetwork.connection import Connection
from netstructer.compat.pnetwork.coreclient import Client
from netstructer.compat.pnetwork.coreserver import Server
from netstructer.compat.pnetwork.coretools import CLI

__all__ = ["CLI", "Bind", "Client", "Connection", "Server"]
