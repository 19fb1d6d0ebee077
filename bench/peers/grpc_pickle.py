"""gRPC over TLS with pickles as the raw messages: calls, and client streaming where nothing is answered."""

from __future__ import annotations

import asyncio
import pickle
import queue
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.inputs import FAN
from bench.peers.calls import timed_calls
from bench.peers.peer import HOST, Connection, Peer, check_fan
from bench.peers.secured import dumps

__all__ = ["GrpcPickle"]

OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
THREADS = 600
SERVICE = "bench.Target"


class GrpcConnection(Connection):
    """A channel."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._echo = channel.unary_unary(f"/{SERVICE}/Echo", dumps, pickle.loads)
        self._measure = channel.unary_unary(f"/{SERVICE}/Measure", dumps, pickle.loads)
        self._push = channel.stream_unary(f"/{SERVICE}/Push", dumps, pickle.loads)

    def echo(self, value: Any) -> Any:
        return self._echo(value)

    def measure(self, value: Any) -> int:
        length: int = self._measure(value)
        return length

    def push(self, values: Iterable[Any]) -> tuple[int, int]:
        count, length = self._push(iter(values))
        return count, length

    def time_echoes(self, value: Any, count: int) -> list[int]:
        return timed_calls(self._echo, value, count)

    def close(self) -> None:
        self._channel.close()


class GrpcPickle(Peer):
    """Generic handlers, no protobuf."""

    name = "gRPC + pickle"
    wire = "TLS 1.3 (BoringSSL)"
    trust = "the server by certificate; any client is served, and can run code in the server"
    packages = ("grpc",)

    def serve(self, config: dict[str, Any], ready: Callable[[int], None]) -> None:
        import grpc

        members: list[queue.SimpleQueue[Any]] = []

        def push(values: Iterator[Any], _: Any) -> list[int]:
            count = length = 0
            for value in values:
                count += 1
                length += len(value)
            return [count, length]

        def join(_: Any, __: Any) -> Iterator[Any]:
            waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
            members.append(waiting)
            yield True
            while True:
                yield waiting.get()

        def fan(rounds: int, _: Any) -> int:
            for _number in range(rounds):
                for waiting in members:
                    waiting.put(FAN)
            return len(members)

        call = grpc.unary_unary_rpc_method_handler
        handlers = {
            "Echo": call(lambda value, _: value, pickle.loads, dumps),
            "Measure": call(lambda value, _: len(value), pickle.loads, dumps),
            "Push": grpc.stream_unary_rpc_method_handler(push, pickle.loads, dumps),
            "Join": grpc.unary_stream_rpc_method_handler(join, pickle.loads, dumps),
            "Fan": call(fan, pickle.loads, dumps),
        }
        generic = grpc.method_handlers_generic_handler(SERVICE, handlers)
        server = grpc.server(ThreadPoolExecutor(THREADS), handlers=[generic], options=OPTIONS)
        pair = tuple(Path(config[name]).read_bytes() for name in ("private_key", "certificate"))
        port = server.add_secure_port(f"{HOST}:0", grpc.ssl_server_credentials([pair]))
        server.start()
        ready(port)
        server.wait_for_termination()

    def connect(self, config: dict[str, Any], port: int) -> Connection:
        import grpc

        return GrpcConnection(grpc.secure_channel(*self._target(config, port)))

    def hold(self, config: dict[str, Any], port: int, count: int) -> list[Any]:
        held = super().hold(config, port, count)
        for connection in held:
            connection.measure("x")  # a channel connects when it is used first
        return held

    def fan_out(self, config: dict[str, Any], port: int, count: int, rounds: int) -> float:
        import grpc

        async def listen(call: Any) -> None:
            for _ in range(rounds):
                check_fan(await call.read())

        async def fan() -> float:
            boss = grpc.aio.secure_channel(*self._target(config, port))
            channels, calls = [], []
            for _ in range(count):
                channel = grpc.aio.secure_channel(*self._target(config, port))
                call = channel.unary_stream(f"/{SERVICE}/Join", dumps, pickle.loads)(0)
                await call.read()
                channels.append(channel)
                calls.append(call)
            began = time.perf_counter()
            fanned = boss.unary_unary(f"/{SERVICE}/Fan", dumps, pickle.loads)(rounds)
            await asyncio.gather(*map(listen, calls))
            took = time.perf_counter() - began
            await fanned
            return took

        return asyncio.run(fan())

    def _target(self, config: dict[str, Any], port: int) -> tuple[Any, ...]:
        import grpc

        credentials = grpc.ssl_channel_credentials(Path(config["authority"]).read_bytes())
        own = [("grpc.use_local_subchannel_pool", 1), ("grpc.ssl_target_name_override", "localhost")]
        return f"{HOST}:{port}", credentials, [*OPTIONS, *own]
