"""Remote calls over TLS: Pyro5 and RPyC."""

from __future__ import annotations

import logging
import pickle
import selectors
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from bench.inputs import FAN
from bench.peers.peer import BACKLOG, HOST, MSGPACK_SMALL, Connection, Peer, check_fan
from bench.peers.secured import dumps

__all__ = ["PyroMsgpack", "PyroSerpent", "RpycSsl"]

SYNC_SECONDS = 60.0
NO_PUSH = "no push: a client would have to listen itself"
POLL_EVERY = 64


class PyroConnection(Connection):
    """A proxy; one-way calls run in threads of the server, so they are waited for until all are there."""

    def __init__(self, proxy: Any) -> None:
        self._proxy = proxy
        self.echo, self.measure = proxy.echo, proxy.measure  # type: ignore[method-assign]

    def push(self, values: Iterable[Any]) -> tuple[int, int]:
        push, sent = self._proxy.push, 0
        for value in values:
            push(value)
            sent += 1
        deadline = time.monotonic() + SYNC_SECONDS
        while (total := self._proxy.total())[0] < sent and time.monotonic() < deadline:
            time.sleep(0.005)
        self._proxy.reset()
        return total[0], total[1]

    def time_echoes(self, value: Any, count: int) -> list[int]:
        return timed_calls(self.echo, value, count)

    def close(self) -> None:
        self._proxy._pyroRelease()


class PyroMsgpack(Peer):
    """Pyro5 with msgpack: sets and tuples become lists."""

    name = "Pyro5 msgpack"
    wire = "TLS"
    trust = "the server by certificate; any client is served"
    packages = ("Pyro5", "msgpack")
    without: ClassVar[dict[str, str]] = {
        "fanout": NO_PUSH,
        "single": "its longest message is shorter",
        "idle": "its server with threads refuses the 81st client",
        "idle5000": "its server with threads refuses the 81st client",
    }
    small = MSGPACK_SMALL
    serializer = "msgpack"

    def serve(self, config: dict[str, Any], ready: Callable[[int], None]) -> None:
        api = self._prepare(config)
        lock = threading.Lock()

        @api.expose
        @api.behavior(instance_mode="session")
        class Target:
            def __init__(self) -> None:
                self._count = self._length = 0

            def echo(self, value: Any) -> Any:
                return value

            def measure(self, value: Any) -> int:
                return len(value)

            @api.oneway
            def push(self, value: Any) -> None:
                with lock:
                    self._count += 1
                    self._length += len(value)

            def total(self) -> list[int]:
                with lock:
                    return [self._count, self._length]

            def reset(self) -> None:
                self._count = self._length = 0

        daemon = api.Daemon(host="localhost")
        daemon.register(Target, "target")
        ready(int(daemon.locationStr.rpartition(":")[2]))
        daemon.requestLoop()

    def connect(self, config: dict[str, Any], port: int) -> Connection:
        proxy = self._prepare(config).Proxy(f"PYRO:target@localhost:{port}")
        proxy._pyroBind()
        return PyroConnection(proxy)

    def _prepare(self, config: dict[str, Any]) -> Any:
        import Pyro5.api

        settings = Pyro5.api.config
        settings.SSL = settings.SOCK_NODELAY = True
        settings.SSL_SERVERCERT, settings.SSL_SERVERKEY = config["certificate"], config["private_key"]
        settings.SSL_CACERTS = config["authority"]
        settings.SERIALIZER = self.serializer
        return Pyro5.api


class PyroSerpent(PyroMsgpack):
    """Pyro5 as it comes: no bytes as keys."""

    name = "Pyro5 serpent"
    packages = ("Pyro5", "serpent")
    small: ClassVar[Any] = ["hi", 128, {"gg": "gg"}, {1, 2, 6, 4}, (False, True)]
    serializer = "serpent"
    without: ClassVar[dict[str, str]] = {**PyroMsgpack.without, "bulk": "sends bytes as base64 in a dict"}


class RpycConnection(Connection):
    """RPyC carries pickles that the application makes."""

    def __init__(self, connection: Any) -> None:
        import rpyc

        self._connection = connection
        root = connection.root
        self._echo, self._measure, self._total = root.echo, root.measure, root.total
        self._push = rpyc.async_(root.push)

    def echo(self, value: Any) -> Any:
        return pickle.loads(self._echo(dumps(value)))

    def measure(self, value: Any) -> int:
        length: int = self._measure(dumps(value))
        return length

    def push(self, values: Iterable[Any]) -> tuple[int, int]:
        last = None
        for number, value in enumerate(values):
            last = self._push(dumps(value))
            if not number % POLL_EVERY:  # take the replies in, or the buffers of both ends fill
                while self._connection.poll(0):
                    pass
        if last is not None:
            last.wait()
        count, length = self._total()
        return count, length

    def time_echoes(self, value: Any, count: int) -> list[int]:
        return timed_calls(self.echo, value, count)

    def close(self) -> None:
        self._connection.close()


class RpycSsl(Peer):
    """RPyC's threaded server over TLS; its channel compresses what is longer than 3,000 bytes."""

    name = "RPyC ssl + pickle"
    wire = "TLS"
    trust = "the server by certificate; any client is served, and can run code in the server"
    packages = ("rpyc",)
    without: ClassVar[dict[str, str]] = {"single": "its write copies the whole rest after each 64 KB: quadratic"}
    settings: ClassVar[dict[str, Any]] = {"allow_public_attrs": True, "sync_request_timeout": 120}

    def serve(self, config: dict[str, Any], ready: Callable[[int], None]) -> None:
        import rpyc
        from rpyc.utils.authenticators import SSLAuthenticator
        from rpyc.utils.server import ThreadedServer

        logging.disable(logging.CRITICAL)
        members: list[Any] = []

        class Target(rpyc.Service):  # type: ignore[misc]
            def on_connect(self, _: Any) -> None:
                self._count = self._length = 0

            def exposed_echo(self, body: bytes) -> bytes:
                return dumps(pickle.loads(body))

            def exposed_measure(self, body: bytes) -> int:
                return len(pickle.loads(body))

            def exposed_push(self, body: bytes) -> None:
                self._count += 1
                self._length += len(pickle.loads(body))

            def exposed_total(self) -> tuple[int, int]:
                total, self._count, self._length = (self._count, self._length), 0, 0
                return total

            def exposed_join(self, hear: Any) -> None:
                members.append(rpyc.async_(hear))

            def exposed_fan(self, rounds: int) -> None:
                body = dumps(FAN)
                for _ in range(rounds):
                    for hear in members:
                        hear(body)

        authenticator = SSLAuthenticator(config["private_key"], config["certificate"])
        server = ThreadedServer(
            Target, hostname=HOST, port=0, backlog=BACKLOG, authenticator=authenticator, protocol_config=self.settings
        )
        ready(server.port)
        server.start()

    def connect(self, config: dict[str, Any], port: int) -> Connection:
        return RpycConnection(self._open(config, port))

    def fan_out(self, config: dict[str, Any], port: int, count: int, rounds: int) -> float:
        import rpyc

        boss, left = self._open(config, port), count * rounds

        def hear(body: bytes) -> None:
            nonlocal left
            check_fan(pickle.loads(body))
            left -= 1

        selector = selectors.DefaultSelector()
        for _ in range(count):
            member = self._open(config, port)
            member.root.join(hear)
            selector.register(member.fileno(), selectors.EVENT_READ, member)
        began = time.perf_counter()
        result = rpyc.async_(boss.root.fan)(rounds)
        while left > 0:
            for key, _ in selector.select(SYNC_SECONDS):
                while key.data.poll(0):
                    pass
        took = time.perf_counter() - began
        result.wait()
        return took

    def _open(self, config: dict[str, Any], port: int) -> Any:
        from rpyc.utils.factory import ssl_connect

        return ssl_connect(HOST, port, ca_certs=config["authority"], cert_reqs=ssl.CERT_REQUIRED, config=self.settings)


def timed_calls(call: Callable[[Any], Any], value: Any, count: int) -> list[int]:
    """Return the nanoseconds of each of `count` calls."""
    now, taken = time.perf_counter_ns, []
    for _ in range(count):
        began = now()
        call(value)
        taken.append(now() - began)
    return taken
