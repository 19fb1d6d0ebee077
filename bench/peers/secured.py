"""A length, then the pickle, over TLS: what most people write by hand.  The first is the reference."""

from __future__ import annotations

import functools
import pickle
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any, ClassVar

from bench.inputs import FAN
from bench.peers.peer import HOST, Connection, Peer
from netstructer.cli.contest import Framed, client_context, serve_secured, server_context

__all__ = ["SslPickle", "SslPickleMutual", "SslZstdPickle", "dumps"]

LEAST_BYTES = 512
LEVEL = 3


def dumps(value: Any) -> bytes:
    """Return the pickle of a value, in the newest protocol."""
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


class SslPickle(Peer):
    """The reference: the standard library and nothing else, a thread for each client."""

    name = "ssl+pickle"
    wire = "TLS 1.3"
    trust = "the server by certificate; any client is served, and can run code in the server"
    mutual: ClassVar[bool] = False

    def framed(self, transport: socket.socket) -> Framed:
        """Return either end of a connection."""
        return Framed(transport, dumps, pickle.loads)

    def encoded_fan(self) -> bytes:
        """Return what is fanned out, as it goes onto the wire."""
        return dumps(FAN)

    def serve(self, config: dict[str, Any], ready: Callable[[int], None]) -> None:
        context = server_context(config, mutual=self.mutual)
        serve_secured(context, self.framed, self.encoded_fan(), ready)

    def connect(self, config: dict[str, Any], port: int) -> Connection:
        context = _context(self.mutual, *(config[name] for name in ("authority", "client_certificate", "client_key")))
        plain = socket.create_connection((HOST, port))
        return self.framed(context.wrap_socket(plain, server_hostname="localhost"))


class SslPickleMutual(SslPickle):
    """The same, the client showing a certificate too: ECDSA on P-256 at both ends."""

    name = "ssl+pickle mTLS"
    trust = "both ends by certificates; a client can run code in the server"
    mutual = True


class SslZstdPickle(SslPickle):
    """The reference with zstd for each message above 512 bytes."""

    name = "ssl+zstd+pickle"
    packages = ("zstandard",)

    def framed(self, transport: socket.socket) -> Framed:
        squeezing = _Squeezing()
        return Framed(transport, squeezing.dumps, squeezing.loads)

    def encoded_fan(self) -> bytes:
        return _Squeezing().dumps(FAN)


class _Squeezing:
    """Pickles, compressed.  A compressor for each thread: the server writes from two."""

    def __init__(self) -> None:
        import zstandard

        self._local = threading.local()
        self._compressor = functools.partial(zstandard.ZstdCompressor, level=LEVEL)
        self._decompressor = zstandard.ZstdDecompressor()

    def dumps(self, value: Any) -> bytes:
        """Return a byte that says whether it is compressed, and the pickle."""
        body = dumps(value)
        if len(body) <= LEAST_BYTES:
            return b"\0" + body
        if not hasattr(self._local, "compressor"):
            self._local.compressor = self._compressor()
        return b"\1" + self._local.compressor.compress(body)  # type: ignore[no-any-return]

    def loads(self, body: bytes) -> Any:
        """Return the value."""
        rest = memoryview(body)[1:]
        return pickle.loads(self._decompressor.decompress(rest) if body[0] else rest)


@functools.cache
def _context(mutual: bool, authority: str, certificate: str, key: str) -> ssl.SSLContext:
    paths = {"authority": authority, "client_certificate": certificate, "client_key": key}
    return client_context(paths, mutual=mutual)
