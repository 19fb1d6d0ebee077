"""Tells whoever started a server when it is one: the protocol of systemd's `Type=notify`.  Floor: ROOF.

Law: it tells only what is so; where nobody wants to know, nothing is sent.

The system puts the name of a socket into `NOTIFY_SOCKET`; a datagram `READY=1` there lets what waits for the server go
on, and `STOPPING=1` says that the end is on purpose.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from netstructer.cli.screen import stderr

__all__ = ["notify", "ready"]

VARIABLE = "NOTIFY_SOCKET"
SEND_SECONDS = 5.0
"""How long a datagram may wait for room: a service manager that takes none for longer has other troubles."""


@contextmanager
def ready(status: str) -> Iterator[None]:
    """Tell that the server serves from here on, with a line for whoever asks what it does, and in the end that it
    stops.
    """
    try:
        notify(f"READY=1\nSTATUS={status}")  # in here: whoever hears of it may have it stop before this returns
        yield
    finally:
        notify("STOPPING=1")


def notify(message: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Send a message to whoever started the process; say whether somebody wanted it and it went.

    Where it cannot be sent, a note on stderr says why: the service manager will take the server for one that hangs.
    """
    place = environ.get(VARIABLE, "")
    family = getattr(socket, "AF_UNIX", None)
    if not place.startswith(("/", "@")) or family is None:
        return False
    # A name that begins with @ stands for one of Linux's own, which begins with a zero byte.
    address = f"\0{place[1:]}" if place.startswith("@") else place
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.settimeout(SEND_SECONDS)
            sender.sendto(message.encode(), address)
    except OSError as error:
        stderr.print(f"note: {VARIABLE} takes no message: {error.strerror or error}", style="yellow")
        return False
    return True
