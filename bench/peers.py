"""The peers: what sends an object from one process to another, each behind the same small interface.

A peer can serve (in a process of its own, until stdin closes) and connect.  A connection sends and receives whole
objects; `Conversation` is the server's side of it.  To add a peer, write a `Peer` and put it in `PEERS`.
"""

from __future__ import annotations

import json
import os
import pickle
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from bench.inputs import FAN

__all__ = ["HOST", "PEERS", "REFERENCE", "Connection", "Peer"]

HOST = "127.0.0.1"
REFERENCE = "ssl+pickle"
BACKLOG = 4096
LENGTH = struct.Struct("!Q")
NO_REPLY = object()


class Conversation:
    """One connection, seen from the server: an object in, the reply (or NO_REPLY) out.

    Text that begins with "!" is an order: !echo !measure !sink say what becomes of the objects that follow, !total
    reports (count, length) of what was sunk, !join enters the group that !fan:N sends `FAN` to, N times."""

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

    send: Callable[[Any], Any]
    recv: Callable[[], Any]
    close: Callable[[], Any]
    _mode = "echo"

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


class Peer:
    """What is measured: how it serves, how it connects, and what it protects."""

    name: ClassVar[str]
    wire: ClassVar[str]
    """What protects the bytes on the wire."""
    trust: ClassVar[str]
    """Who knows whom."""
    packages: ClassVar[tuple[str, ...]] = ()
    only: ClassVar[tuple[str, ...]] = ()
    """When set: the only workloads it takes part in."""

    def serve(self, config: dict[str, Any], ready: Callable[[int], None]) -> None:
        """Serve for ever; call `ready(port)` once connections are accepted."""
        raise NotImplementedError

    def connect(self, config: dict[str, Any], port: int) -> Connection:
        """Return a new connection to the server."""
        raise NotImplementedError


# --- a length, then the pickle, over TLS ------------------------------------------------------------------------------


class FramedConnection(Connection):
    """Eight bytes of length, then the pickle: how most people write it by hand.  Both ends use it."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = sock
        self._file = sock.makefile("rb", 1 << 16)

    def send(self, value: Any) -> None:
        self.send_bytes(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))

    def recv(self) -> Any:
        head = self._file.read(LENGTH.size)
        if len(head) < LENGTH.size:
            raise EOFError
        (length,) = LENGTH.unpack(head)
        body = self._file.read(length)
        if len(body) < length:
            raise EOFError
        return pickle.loads(body)

    def send_bytes(self, body: bytes) -> None:
        """Send what is pickled already."""
        if len(body) < 1 << 16:
            self._socket.sendall(LENGTH.pack(len(body)) + body)
        else:
            self._socket.sendall(LENGTH.pack(len(body)))
            self._socket.sendall(body)

    def close(self) -> None:
        self._file.close()
        self._socket.close()


class SslPickle(Peer):
    """The reference: the standard library and nothing else, a thread for each client."""

    name = REFERENCE
    wire = "TLS 1.3"
    trust = "the server by certificate; any client is served, and can run code in the server"

    def serve(self, config: dict[str, Any], ready: Callable[[int], None]) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(config["certificate"], config["private_key"])
        members: list[FramedConnection] = []

        def fan(rounds: int) -> None:
            body = pickle.dumps(FAN, pickle.HIGHEST_PROTOCOL)
            for _ in range(rounds):
                for member in members:
                    member.send_bytes(body)

        def talk(sock: socket.socket) -> None:
            try:
                with context.wrap_socket(sock, server_side=True) as secured:
                    connection = FramedConnection(secured)
                    conversation = Conversation(lambda: members.append(connection), fan)
                    while connection not in members:
                        _answer(connection, conversation)
                    # From now on `fan` writes to it, in another thread; a TLS socket that one thread reads while
                    # another writes fails now and then with a bad record MAC.
                    threading.Event().wait()
            except (EOFError, OSError):
                pass

        with socket.create_server((HOST, 0), backlog=BACKLOG) as listener:
            ready(listener.getsockname()[1])
            while True:
                accepted, _ = listener.accept()
                threading.Thread(target=talk, args=(accepted,), daemon=True).start()

    def connect(self, config: dict[str, Any], port: int) -> Connection:
        context = self._contexts.get(config["authority"])
        if context is None:
            context = ssl.create_default_context(cafile=config["authority"])
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            self._contexts[config["authority"]] = context
        plain = socket.create_connection((HOST, port))
        return FramedConnection(context.wrap_socket(plain, server_hostname="localhost"))

    _contexts: ClassVar[dict[str, ssl.SSLContext]] = {}


# --- multiprocessing.connection ---------------------------------------------------------------------------------------


class ListenerConnection(Connection):
    """`multiprocessing.connection` as it is."""

    def __init__(self, connection: Any) -> None:
        self.send, self.recv, self.close = connection.send, connection.recv, connection.close


class Multiprocessing(Peer):
    """The standard library's own object transport."""

    name = "mp.connection"
    wire = "nothing"
    trust = "both ends by a shared password (HMAC)"

    def serve(self, config: dict[str, Any], ready: Callable[[int], None]) -> None:
        from multiprocessing import AuthenticationError
        from multiprocessing.connection import Listener

        members: list[Any] = []

        def fan(rounds: int) -> None:
            body = pickle.dumps(FAN, pickle.HIGHEST_PROTOCOL)
            for _ in range(rounds):
                for member in members:
                    member.send_bytes(body)

        def talk(connection: Any) -> None:
            try:
                end = ListenerConnection(connection)
                conversation = Conversation(lambda: members.append(connection), fan)
                while True:
                    _answer(end, conversation)
            except (EOFError, OSError):
                connection.close()

        listener = Listener((HOST, 0), backlog=BACKLOG, authkey=config["password"].encode())
        ready(listener.address[1])
        while True:
            try:
                accepted = listener.accept()
            except (AuthenticationError, EOFError, OSError):
                continue
            threading.Thread(target=talk, args=(accepted,), daemon=True).start()

    def connect(self, config: dict[str, Any], port: int) -> Connection:
        from multiprocessing.connection import Client

        return ListenerConnection(Client((HOST, port), authkey=config["password"].encode()))


# --- netstructer ------------------------------------------------------------------------------------------------------


class LinkConnection(Connection):
    """A `Link` as it is."""

    def __init__(self, link: Any) -> None:
        self.send, self.recv, self.close = link.send, link.recv, link.close


class BatchingConnection(LinkConnection):
    """A `Link` whose user has many values at hand and says so."""

    def __init__(self, link: Any) -> None:
        super().__init__(link)
        self._link = link

    def push_all(self, values: Iterable[Any]) -> None:
        self._link.send_many(values)


class Netstructer(Peer):
    """This package, as the README shows it: a handler thread for each link."""

    name = "netstructer"
    wire = "Fernet records under Noise NNpsk0 keys"
    trust = "both ends by a shared key; nothing is executed"
    packages = ("netstructer", "cryptography", "zstandard")
    connection: ClassVar[type[LinkConnection]] = LinkConnection

    def serve(self, config: dict[str, Any], ready: Callable[[int], None]) -> None:
        from netstructer import Server

        members: list[Any] = []
        server = Server((HOST, 0), key=config["fernet_key"], max_links=10_000)

        def fan(rounds: int) -> None:
            for _ in range(rounds):
                server.broadcast(FAN, to=members)

        @server.handler
        def talk(link: Any) -> None:
            conversation = Conversation(lambda: members.append(link), fan)
            for value in link:
                reply = conversation.reply_to(value)
                if reply is not NO_REPLY:
                    link.send(reply)

        server.start()
        ready(server.address[1])
        threading.Event().wait()

    def connect(self, config: dict[str, Any], port: int) -> Connection:
        from netstructer import Link

        return self.connection(Link((HOST, port), key=config["fernet_key"]))


class NetstructerMany(Netstructer):
    """The same, with `send_many` where there are many."""

    name = "netstructer send_many"
    connection = BatchingConnection
    only = ("oneway",)


PEERS: dict[str, Peer] = {
    peer.name: peer for peer in (SslPickle(), Multiprocessing(), Netstructer(), NetstructerMany())
}


def _answer(connection: Connection, conversation: Conversation) -> None:
    reply = conversation.reply_to(connection.recv())
    if reply is not NO_REPLY:
        connection.send(reply)


def _serve_until_stdin_closes(name: str, config_path: str) -> None:
    def leave() -> None:
        while os.read(0, 1 << 10):  # not through sys.stdin, whose lock a failing main thread would wait for
            pass
        os._exit(0)

    threading.Thread(target=leave, daemon=True).start()
    with open(config_path) as file:
        config = json.load(file)
    PEERS[name].serve(config, lambda port: print("READY " + json.dumps(port), flush=True))


if __name__ == "__main__":
    _serve_until_stdin_closes(*sys.argv[1:])
