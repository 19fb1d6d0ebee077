"""The partner: the server of the demonstration, in a process of its own.  Floor: ROOF.

The demonstration starts it as `python -m netstructer.cli.partner`.  The key comes by the environment, never by the
command line, which any user of the machine can read.  Its first line on stdout is its port; it ends when its stdin
does, so it cannot outlive the demonstration.

The first value on a link says what the link is for:

    "echo"      each value is answered by its outline as seen here, and by itself
    "take"      values are taken and digested until None; then the digest is the answer
    "idle"      nothing comes; it is there to be found in the registry
    "registry"  the tour of the registry, at the next value

The last two are answered at once: then the link is in the registry.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any

from netstructer import Key, Link, Server
from netstructer.address import Address
from netstructer.cli.exhibits import outline
from netstructer.credentials import FILE_VARIABLE, KEY_VARIABLE
from netstructer.errors import LinkLost, NetstructerError

__all__ = ["Partner", "digest_of", "main", "partner"]

END_SECONDS = 5.0


class Partner:
    """The running server, as the demonstration sees it."""

    def __init__(self, process: subprocess.Popen[bytes], address: Address) -> None:
        self.process_id = process.pid
        self.address = address


@contextmanager
def partner(key: Key) -> Iterator[Partner]:
    """Start the server in a process of its own, and end it.  Raises `LinkLost` where it does not start."""
    environment = {name: text for name, text in os.environ.items() if name != FILE_VARIABLE} | {
        KEY_VARIABLE: key.reveal()
    }
    command = [sys.executable, "-m", "netstructer.cli.partner"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            port = process.stdout.readline().strip()
            if not port.isdigit():
                raise LinkLost("the server of the demonstration did not start")
            yield Partner(process, Address("127.0.0.1", int(port)))
        finally:
            process.stdin.close()
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def main() -> None:
    """Serve until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to both processes; the demonstration ends this one
    logging.getLogger("netstructer").addHandler(
        logging.NullHandler()
    )  # the demonstration provokes what would be logged
    key = Key(os.environ.pop(KEY_VARIABLE))
    with Server(("127.0.0.1", 0), key=key) as server:
        server.handler(lambda link: _attend(server, link))
        sys.stdout.write(f"{server.address.port}\n")
        sys.stdout.flush()
        sys.stdin.read()


def _attend(server: Server, link: Link) -> None:
    with contextlib.suppress(NetstructerError):  # the other side shows what went wrong
        match link.recv():
            case "echo":
                for value in link:
                    link.send(outline(value))
                    link.send(value)
            case "take":
                link.send(digest_of(iter(link.recv, None)))
                link.recv()
            case "idle":
                link.send("here")
                link.recv()
            case "registry":
                link.send("here")
                link.recv()
                _tour(server, link)


def _tour(server: Server, link: Link) -> None:
    """Use the registry, and tell on the link that was popped: `clear` does not close that one."""
    ip = link.peer.host
    steps: list[tuple[str, object]] = [("server.count()", server.count())]
    newest = server.get(ip)
    steps.append((f"server.get({ip!r}).id", newest.id if newest else None))
    popped = server.pop(ip)
    if popped is None:
        return
    steps.append((f"server.pop({ip!r}).id", popped.id))
    steps.append(("server.count()", server.count()))
    popped.send(steps)
    server.clear()
    popped.send([("server.clear()", None), ("server.count()", server.count())])
    popped.recv()  # until the other side closes it


def digest_of(values: Iterator[Any]) -> dict[str, Any]:
    """Return count, bytes and SHA-256 of a run of values: bytes, or (path, bytes)."""
    digest, count, total = hashlib.sha256(), 0, 0
    for value in values:
        path, content = value if isinstance(value, tuple) else (PurePosixPath(), value)
        digest.update(str(path).encode())
        digest.update(content)
        count += 1
        total += len(content)
    return {"values": count, "bytes": total, "sha256": digest.hexdigest()}


if __name__ == "__main__":
    main()
