"""pyzmq with CURVE: DEALER to ROUTER, PUB to SUB for the fan-out; its own thread encrypts beside Python."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from typing import Any

from bench.inputs import FAN
from bench.peers.peer import BACKLOG, HOST, NO_REPLY, Connection, Conversation, Peer, check_fan
from bench.peers.secured import dumps

__all__ = ["ZmqCurve"]

JOIN_SECONDS = 30.0
SOCKETS = 16_000


class ZmqConnection(Connection):
    """A DEALER socket."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket

    def send(self, value: Any) -> None:
        self._socket.send(dumps(value), copy=False)

    def recv(self) -> Any:
        return pickle.loads(self._socket.recv())

    def close(self) -> None:
        self._socket.close(linger=0)


class ZmqCurve(Peer):
    """What many reach for: sockets that encrypt, and pickles through them."""

    name = "pyzmq CURVE + pickle"
    wire = "CurveZMQ (XSalsa20-Poly1305)"
    trust = "the server by key; any client is served, and can run code in the server"
    packages = ("zmq",)

    def serve(self, config: dict[str, Any], ready: Callable[[int], None]) -> None:
        import zmq

        context = self._context()
        router, publisher = context.socket(zmq.ROUTER), context.socket(zmq.XPUB)
        for socket in (router, publisher):
            socket.curve_server = True
            socket.curve_secretkey, socket.curve_publickey = self._keys(config)
            socket.backlog = BACKLOG
        publisher.sndhwm = 0
        publisher.xpub_verbose = 1
        port = router.bind_to_random_port(f"tcp://{HOST}")
        published = publisher.bind_to_random_port(f"tcp://{HOST}")
        conversations: dict[bytes, Conversation] = {}
        joined = 0

        def fan(rounds: int) -> None:
            body = dumps(FAN)
            for _ in range(rounds):
                publisher.send(body)

        poller = zmq.Poller()
        poller.register(router, zmq.POLLIN)
        poller.register(publisher, zmq.POLLIN)
        ready(port)
        while True:
            for socket, _ in poller.poll():
                if socket is publisher:
                    joined += publisher.recv()[:1] == b"\1"
                    continue
                while True:
                    try:
                        who, body = router.recv_multipart(zmq.NOBLOCK)
                    except zmq.Again:
                        break
                    value = pickle.loads(body)
                    if value == "?":
                        reply: Any = [published, joined]
                    else:
                        conversation = conversations.setdefault(who, Conversation(lambda: None, fan))
                        reply = conversation.reply_to(value)
                    if reply is not NO_REPLY:
                        router.send_multipart([who, dumps(reply)], copy=False)

    def connect(self, config: dict[str, Any], port: int) -> Connection:
        import zmq

        return ZmqConnection(self._connected(zmq.DEALER, config, port))

    def hold(self, config: dict[str, Any], port: int, count: int) -> list[Any]:
        held = super().hold(config, port, count)
        for connection in held:  # They connect in the background: make sure that they did.
            connection.order("echo")
        return held

    def fan_out(self, config: dict[str, Any], port: int, count: int, rounds: int) -> float:
        import zmq

        boss = self.connect(config, port)
        boss.send("?")
        published, _ = boss.recv()
        poller = zmq.Poller()
        for _ in range(count):
            member = self._connected(zmq.SUB, config, published)
            member.rcvhwm = 0
            member.subscribe(b"")
            poller.register(member, zmq.POLLIN)
        deadline = time.monotonic() + JOIN_SECONDS
        while boss.send("?") or boss.recv()[1] < count:
            if time.monotonic() > deadline:
                raise TimeoutError("not all of them could subscribe")
            time.sleep(0.02)
        began = time.perf_counter()
        boss.send(f"!fan:{rounds}")
        left = count * rounds
        while left:
            for member, _ in poller.poll(JOIN_SECONDS * 1e3):
                while True:
                    try:
                        check_fan(pickle.loads(member.recv(zmq.NOBLOCK)))
                    except zmq.Again:
                        break
                    left -= 1
        took = time.perf_counter() - began
        boss.recv()
        return took

    _shared: Any = None

    def _connected(self, kind: int, config: dict[str, Any], port: int) -> Any:
        if self._shared is None:
            self._shared = self._context()
        socket = self._shared.socket(kind)
        socket.curve_serverkey = self._keys(config)[1]
        socket.curve_secretkey, socket.curve_publickey = self._keys(config)
        socket.connect(f"tcp://{HOST}:{port}")
        return socket

    def _context(self) -> Any:
        import zmq

        context = zmq.Context()
        context.max_sockets = SOCKETS
        return context

    @staticmethod
    def _keys(config: dict[str, Any]) -> tuple[bytes, bytes]:
        """Return a secret and its public key: the same at both ends, for none of it is a trial of trust."""
        import zmq
        from zmq.utils import z85

        secret = z85.encode(bytes.fromhex(config["password"] * 2)[:32])
        return secret, zmq.curve_public(secret)
