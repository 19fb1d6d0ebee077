"""The limits: what the system and the libraries can do with nothing of netstructer's around it, in the same run.

"Two processes" is one that makes tokens into a socket and one that takes them out of it: nobody can do better over one
connection with one core at each end.  The tokens are those of records of 64 KiB, sealed and opened by the package's own
`tokens`, which beat what one builds from the library's parts (`bench.seal`, "raw"), so that the bound is a strict one.
"""

from __future__ import annotations

import json
import os
import pickle
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bench import inputs
from bench.cells import spawned
from bench.certificates import write_config
from bench.inputs import MIB, SMALL
from bench.measure import interleave
from bench.peers import HOST
from bench.seal import Raw
from netstructer.cli.contest import client_context, server_context
from netstructer.codec import tokens

__all__ = ["measure"]

SCALES = {"smoke": (2, 20, 0.01), "short": (96, 1500, 0.15), "full": (512, 5000, 0.6)}
"""MiB through each pair of processes, round trips, seconds for each computation."""
RECORD_BYTES = 1 << 16
KEY = bytes(range(32))
"""Of both ends, for a measure: nothing is kept secret here."""


def measure(scale: str) -> dict[str, dict[str, float]]:
    """Return figures by "group / what"."""
    mebibytes, trips, seconds = SCALES[scale]
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="netstructer-bench-") as folder:
        config = write_config(Path(folder))
        for kind in CHANNELS:
            figures[f"two processes / {kind}"] = {"mib_s": _stream(kind, config, mebibytes)}
        figures["two processes / TCP, 64 B there and back"] = {"us": _round_trips(trips)}
    figures.update(_computed(seconds))
    return figures


# --- what passes from one process to another --------------------------------------------------------------------------


class Plain:
    """Bytes as they are."""

    def __init__(self, transport: socket.socket, config: dict[str, str], server: bool) -> None:
        transport.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.transport = transport
        self._room = bytearray(1 << 20)

    def send(self, block: bytes) -> None:
        """Send one block of 64 KiB."""
        self.transport.sendall(block)

    def take(self, count: int) -> None:
        """Receive so many blocks."""
        left, room = count * RECORD_BYTES, memoryview(self._room)
        while left:
            left -= self.transport.recv_into(room[: min(left, len(room))])


class Secured(Plain):
    """Through the standard library's TLS."""

    def __init__(self, transport: socket.socket, config: dict[str, str], server: bool) -> None:
        super().__init__(transport, config, server)
        if server:
            self.transport = server_context(config).wrap_socket(transport, server_side=True)
        else:
            self.transport = client_context(config).wrap_socket(transport, server_hostname="localhost")


class Tokens(Plain):
    """A token for each block, one length for all of them."""

    def __init__(self, transport: socket.socket, config: dict[str, str], server: bool) -> None:
        super().__init__(transport, config, server)
        self._sealer, self._opener = tokens.Sealer(KEY), tokens.Opener(KEY)
        self._length = tokens.sealed_bytes(RECORD_BYTES)

    def send(self, block: bytes) -> None:
        self.transport.sendall(self._sealer.seal(block, 0))

    def take(self, count: int) -> None:
        room = memoryview(self._room)[: self._length]
        for _ in range(count):
            fill(self.transport, room)
            self.opened(room)

    def opened(self, token: memoryview) -> None:
        """Open one token."""
        self._opener.open(token)


class Gcm(Tokens):
    """The same with AES-256-GCM, as the library gives it."""

    def __init__(self, transport: socket.socket, config: dict[str, str], server: bool) -> None:
        super().__init__(transport, config, server)
        self._aead, self._nonce = AESGCM(KEY), bytes(12)
        self._length = RECORD_BYTES + 16

    def send(self, block: bytes) -> None:
        self.transport.sendall(self._aead.encrypt(self._nonce, block, None))

    def opened(self, token: memoryview) -> None:
        self._aead.decrypt(self._nonce, token, None)


CHANNELS: dict[str, type[Plain]] = {"TCP": Plain, "TLS 1.3": Secured, "Fernet tokens": Tokens, "AES-256-GCM": Gcm}


def fill(transport: socket.socket, room: memoryview) -> None:
    """Receive until `room` is full.  Raises `EOFError`."""
    done = 0
    while done < len(room):
        count = transport.recv_into(room[done:])
        if not count:
            raise EOFError
        done += count


def _stream(kind: str, config: Path, mebibytes: int) -> float:
    count = mebibytes * MIB // RECORD_BYTES
    blocks = [os.urandom(RECORD_BYTES) for _ in range(16)]
    with spawned("bench.limits", "take", kind, str(config), str(count)) as taker:
        transport = socket.create_connection((HOST, taker.wait("READY", 20)))
        channel = CHANNELS[kind](transport, json.loads(config.read_text()), False)
        channel.send(blocks[0])
        channel.transport.recv(1)
        began = time.perf_counter()
        for number in range(count):
            channel.send(blocks[number % len(blocks)])
        channel.transport.recv(1)
        took = time.perf_counter() - began
        channel.transport.close()
    return mebibytes / took


def _take(kind: str, config: str, count: str) -> None:
    with socket.create_server((HOST, 0)) as listener:
        print(f"READY {listener.getsockname()[1]}", flush=True)
        accepted, _ = listener.accept()
    channel = CHANNELS[kind](accepted, json.loads(Path(config).read_text()), True)
    for blocks in (1, int(count)):
        channel.take(blocks)
        channel.transport.sendall(b"k")
    channel.transport.recv(1)


def _round_trips(count: int) -> float:
    message, taken = os.urandom(64), []
    with spawned("bench.limits", "echo") as echo:
        transport = socket.create_connection((HOST, echo.wait("READY", 20)))
        transport.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(count):
            began = time.perf_counter_ns()
            transport.sendall(message)
            transport.recv(4096)
            taken.append(time.perf_counter_ns() - began)
        transport.close()
    return statistics.median(taken) / 1e3


def _echo() -> None:
    with socket.create_server((HOST, 0)) as listener:
        print(f"READY {listener.getsockname()[1]}", flush=True)
        transport, _ = listener.accept()
    transport.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while received := transport.recv(4096):
        transport.sendall(received)


# --- what one core computes -------------------------------------------------------------------------------------------


def _computed(seconds: float) -> dict[str, dict[str, float]]:
    record, text = os.urandom(RECORD_BYTES), inputs.make_text_mebibytes(1)[0].encode()
    rows, raw, gcm, nonce = inputs.make_rows(2000), Raw(KEY), AESGCM(KEY), bytes(12)
    small, pickled = dumps(SMALL), dumps(rows)
    token, sealed = raw.seal(record), gcm.encrypt(nonce, record, None)
    squeezed = zstandard.ZstdCompressor(level=3).compress(text)
    mebibytes = {"record": RECORD_BYTES / MIB, "text": len(text) / MIB, "rows": len(pickled) / MIB}
    tasks: dict[str, tuple[str, Callable[[], Any]]] = {
        "AES-128-CBC + HMAC-SHA256, seal": ("record", lambda: raw.seal(record)),
        "AES-128-CBC + HMAC-SHA256, open": ("record", lambda: raw.open(token)),
        "AES-256-GCM, seal": ("record", lambda: gcm.encrypt(nonce, record, None)),
        "AES-256-GCM, open": ("record", lambda: gcm.decrypt(nonce, sealed, None)),
        "zstd, compress log text": ("text", lambda: zstandard.ZstdCompressor(level=3).compress(text)),
        "zstd, expand log text": ("text", lambda: zstandard.ZstdDecompressor().decompress(squeezed)),
        "zstd, compress random": ("record", lambda: zstandard.ZstdCompressor(level=3).compress(record)),
        "pickle, dict rows to bytes": ("rows", lambda: dumps(rows)),
        "pickle, dict rows from bytes": ("rows", lambda: pickle.loads(pickled)),
        "pickle, small structure both ways": ("", lambda: [pickle.loads(dumps(SMALL)) for _ in range(100)]),
        "pickle, small structure from bytes": ("", lambda: [pickle.loads(small) for _ in range(100)]),
    }
    taken = interleave({name: task for name, (_, task) in tasks.items()}, seconds=seconds * len(tasks))
    return {
        f"one core / {name}": {"mib_s": mebibytes[of] / taken[name]} if of else {"us": taken[name] * 1e4}
        for name, (of, _) in tasks.items()
    }


def dumps(value: Any) -> bytes:
    """Return the pickle of a value, in the newest protocol."""
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


if __name__ == "__main__":
    if sys.argv[1] in SCALES:
        print("RESULT " + json.dumps(measure(sys.argv[1])), flush=True)
    else:
        {"take": _take, "echo": _echo}[sys.argv[1]](*sys.argv[2:])
