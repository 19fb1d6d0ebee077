"""A contest: what a server makes of what it gets, and how a client asks it; and the plainest of all secured transports.

Floor: ROOF.  Law: everything that is sent is counted on arrival.

`Conversation` is the server's side of one connection, `Connection` the client's, whatever is between them.  `Framed` is
what most people write by hand: TLS, a length, a value in some encoding.  Which one is said by who uses it: `netstructer
bench` uses JSON, the bench of the project pickle too, which has no place in this package.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

__all__ = [
    "BACKLOG",
    "HOST",
    "NO_REPLY",
    "Connection",
    "Conversation",
    "Framed",
    "answer",
    "client_context",
    "serve_secured",
    "server_context",
]

HOST = "127.0.0.1"
BACKLOG = 4096
LENGTH = struct.Struct("!Q")
JOINED_BYTES = 1 << 16
NO_REPLY = object()


class Conversation:
    """One connection, seen from the server: an object in, the reply (or NO_REPLY) out.

    Text that begins with "!" is an order: !echo !measure !sink say what becomes of the objects that follow, !total
    reports (count, length) of what was sunk, !join enters the group that !fan:N sends to, N times."""

    def __init__(self, on_join: Callable[[], None], on_fan: Callable[[int], None]) -> None:
        self._mode = "echo"
        self._count = self._length = 0
        self._on_join, self._on_fan = on_join, on_fan

    def reply_to(self, value: Any) -> Any:
        """Return what is sent back for one received object."""
        if type(value) is str and value[:1] == "!":
            return self._obey(value[1:])
        if self._mode == "echo":
            return value
        if self._mode == "measure":
            return len(value)
        self._count += 1
        self._length += len(value)
        return NO_REPLY

    def _obey(self, order: str) -> Any:
        if order == "total":
            total, self._count, self._length = [self._count, self._length], 0, 0
            return total
        if order == "join":
            self._on_join()
        elif order.startswith("fan:"):
            self._on_fan(int(order[4:]))
        else:
            self._mode = order
        return True


class Connection:
    """The client's side: subclasses give `send`, `recv` and `close`."""

    _mode = "echo"

    def send(self, value: Any) -> Any:
        """Send one object."""
        raise NotImplementedError

    def recv(self) -> Any:
        """Return the next object."""
        raise NotImplementedError

    def close(self) -> Any:
        """End the connection."""
        raise NotImplementedError

    def order(self, order: str) -> Any:
        """Give the server an order and return its answer."""
        self.send("!" + order)
        return self.recv()

    def echo(self, value: Any) -> Any:
        """Send an object and return what came back of it."""
        self._enter("echo")
        self.send(value)
        return self.recv()

    def measure(self, value: Any) -> int:
        """Send an object and return its length as the server decoded it."""
        self._enter("measure")
        self.send(value)
        length: int = self.recv()
        return length

    def push(self, values: Iterable[Any]) -> tuple[int, int]:
        """Send objects one way and return how many arrived, and their length together."""
        self._enter("sink")
        self.push_all(values)
        count, length = self.order("total")
        return count, length

    def push_all(self, values: Iterable[Any]) -> None:
        """Send objects one way, as a user of this peer would."""
        send = self.send
        for value in values:
            send(value)

    def time_echoes(self, value: Any, count: int) -> list[int]:
        """Return the nanoseconds of each of `count` round trips."""
        now, send, recv, taken = time.perf_counter_ns, self.send, self.recv, []
        self._enter("echo")
        for _ in range(count):
            began = now()
            send(value)
            recv()
            taken.append(now() - began)
        return taken

    def _enter(self, mode: str) -> None:
        if self._mode != mode:
            self.order(mode)
            self._mode = mode


class Framed(Connection):
    """Eight bytes of length, then the value as `dumps` writes it.  Both ends use it."""

    def __init__(self, transport: socket.socket, dumps: Callable[[Any], bytes], loads: Callable[[bytes], Any]) -> None:
        transport.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = transport
        self._file = transport.makefile("rb", 1 << 16)
        self._dumps, self._loads = dumps, loads

    def send(self, value: Any) -> None:
        """Write one value."""
        self.send_bytes(self._dumps(value))

    def recv(self) -> Any:
        """Read one value.  Raises `EOFError`."""
        head = self._file.read(LENGTH.size)
        if len(head) < LENGTH.size:
            raise EOFError
        (length,) = LENGTH.unpack(head)
        body = self._file.read(length)
        if len(body) < length:
            raise EOFError
        return self._loads(body)

    def send_bytes(self, body: bytes) -> None:
        """Write what is encoded already."""
        if len(body) < JOINED_BYTES:
            self._socket.sendall(LENGTH.pack(len(body)) + body)
        else:
            self._socket.sendall(LENGTH.pack(len(body)))
            self._socket.sendall(body)

    def close(self) -> None:
        """End it."""
        self._file.close()
        self._socket.close()


def server_context(paths: Mapping[str, str], *, mutual: bool = False) -> ssl.SSLContext:
    """Return what a server secures its connections with; `mutual` asks clients for their certificate.

    `paths` are those of certificates.py.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(paths["certificate"], paths["private_key"])
    if mutual:
        context.load_verify_locations(paths["authority"])
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(paths: Mapping[str, str], *, mutual: bool = False) -> ssl.SSLContext:
    """Return what a client secures its connections with."""
    context = ssl.create_default_context(cafile=paths["authority"])
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if mutual:
        context.load_cert_chain(paths["client_certificate"], paths["client_key"])
    return context


def answer(connection: Any, conversation: Conversation) -> None:
    """Receive one value and send what is to be sent back."""
    reply = conversation.reply_to(connection.recv())
    if reply is not NO_REPLY:
        connection.send(reply)


def serve_secured(
    context: ssl.SSLContext, framed: Callable[[socket.socket], Framed], fan: bytes, ready: Callable[[int], None]
) -> None:
    """Serve for ever over TLS, a thread for each client; call `ready(port)` once connections are accepted.

    `fan` is the encoded value that is fanned out to the group.
    """
    joined: list[Framed] = []
    members: list[Framed] = []

    def fan_out(rounds: int) -> None:
        while len(members) < len(joined):
            time.sleep(0.001)
        for _ in range(rounds):
            for member in members:
                member.send_bytes(fan)

    def talk(transport: socket.socket) -> None:
        try:
            with context.wrap_socket(transport, server_side=True) as secured:
                connection = framed(secured)
                conversation = Conversation(lambda: joined.append(connection), fan_out)
                while connection not in joined:
                    answer(connection, conversation)
                # From now on `fan_out` writes to it, in another thread, and this one no longer: a TLS socket that two
                # threads use at once fails now and then with a bad record MAC.
                members.append(connection)
                threading.Event().wait()
        except (EOFError, OSError):
            pass

    with socket.create_server((HOST, 0), backlog=BACKLOG) as listener:
        ready(listener.getsockname()[1])
        while True:
            accepted, _ = listener.accept()
            threading.Thread(target=talk, args=(accepted,), daemon=True).start()
