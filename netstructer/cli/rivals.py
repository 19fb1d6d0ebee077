"""Rivals: who takes part in `netstructer bench`, each with a server in a process of its own.  Floor: ROOF.

    netstructer                 a blocking link, Fernet records
    netstructer send_many       the same, with send_many where there are many
    netstructer aes-256-gcm     the same with the other record cipher, where this version has it
    ssl+json                    TLS 1.3 by the standard library, a length, JSON: what is written by hand

JSON carries neither sets nor tuples nor bytes, so it is sent what comes nearest, and bytes as they are.  Pickle would
carry all of it, and run what it receives: it has no place in this package, not even here.  The bench of the project
has it (docs/performance.md).

A server is started as `python -m netstructer.cli.rivals NAME`; key and paths come by stdin, its port goes to stdout.
It ends when its stdin does.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from netstructer import Key, Link
from netstructer.cli.certificates import write_certificates
from netstructer.cli.contest import HOST, Connection, Framed, client_context, serve_secured, server_context
from netstructer.cli.linking import GCM, BatchingConnection, LinkConnection, serve_links
from netstructer.cli.samples import SMALL
from netstructer.errors import LinkLost

__all__ = ["RIVALS", "Contestant", "contestants", "write_config"]

END_SECONDS = 5.0
JSON_SMALL = ["hi", 128, {"gg": "gg"}, [1, 2, 6, 4], [False, True]]


def json_bytes(value: Any) -> bytes:
    """Return a value as JSON, or bytes as they are, behind a byte that says which."""
    if isinstance(value, bytes):
        return b"b" + value
    return b"j" + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def json_value(body: bytes) -> Any:
    """Return what `json_bytes` has written."""
    return body[1:] if body[:1] == b"b" else json.loads(body[1:])


class Rival:
    """Who takes part: how it serves, how it connects, and what it sends as the small structure."""

    small: Any = SMALL

    def __init__(self, connection: type[LinkConnection] = LinkConnection, **options: Any) -> None:
        self._connection, self._options = connection, options

    def serve(self, config: dict[str, str], ready: Callable[[int], None]) -> None:
        """Serve for ever."""
        serve_links(config, ready, **self._options)

    def connect(self, config: dict[str, str], port: int) -> Connection:
        """Return a new connection."""
        return self._connection(Link((HOST, port), key=config["fernet_key"], **self._options))


class SecuredJson(Rival):
    """TLS, and JSON in it."""

    small = JSON_SMALL

    def serve(self, config: dict[str, str], ready: Callable[[int], None]) -> None:
        serve_secured(server_context(config), _framed, b"", ready)

    def connect(self, config: dict[str, str], port: int) -> Connection:
        transport = socket.create_connection((HOST, port))
        return _framed(_context(config["authority"]).wrap_socket(transport, server_hostname="localhost"))


RIVALS: dict[str, Rival] = {
    "netstructer": Rival(),
    "netstructer send_many": Rival(BatchingConnection),
    f"netstructer {GCM}": Rival(cipher=GCM),
    "ssl+json": SecuredJson(),
}


class Contestant:
    """A rival whose server is running."""

    def __init__(self, name: str, config: dict[str, str], port: int) -> None:
        self.name, self.rival = name, RIVALS[name]
        self._config, self._port = config, port

    def connect(self) -> Connection:
        """Return a new connection to it."""
        return self.rival.connect(self._config, self._port)


@contextmanager
def contestants(names: Iterable[str], folder: Path) -> Iterator[list[Contestant]]:
    """Start a server for each name, and end them.  Raises `LinkLost` where one does not start."""
    config = write_config(folder)
    with contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(_server(name, config)) for name in names}
        yield [Contestant(name, config, _port_of(name, server)) for name, server in servers.items()]


def write_config(folder: Path) -> dict[str, str]:
    """Return what both ends need to know each other by: a key, and the paths of certificates in `folder`."""
    return {"fernet_key": Key.generate().reveal(), **write_certificates(folder)}


@contextmanager
def _server(name: str, config: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "netstructer.cli.rivals", name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        try:
            with contextlib.suppress(BrokenPipeError):  # then it says no port either
                process.stdin.write(json.dumps(config).encode() + b"\n")
                process.stdin.flush()
            yield process
        finally:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _port_of(name: str, process: subprocess.Popen[bytes]) -> int:
    """Return the port that a server says, once it does."""
    assert process.stdout is not None
    port = process.stdout.readline().strip()
    if not port.isdigit():
        raise LinkLost(f"the server of {name} did not start")
    return int(port)


def main() -> None:
    """Serve until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all processes; who started this one ends it
    config: dict[str, str] = json.loads(sys.stdin.buffer.readline())

    def leave() -> None:
        while os.read(0, 1 << 10):  # not through sys.stdin, whose lock the main thread would wait for
            pass
        os._exit(0)

    threading.Thread(target=leave, daemon=True).start()
    RIVALS[sys.argv[1]].serve(config, _announce)


def _announce(port: int) -> None:
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()


def _framed(transport: socket.socket) -> Framed:
    return Framed(transport, json_bytes, json_value)


@functools.cache
def _context(authority: str) -> Any:
    return client_context({"authority": authority})


if __name__ == "__main__":
    main()
