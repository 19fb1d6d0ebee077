"""The peers: what sends an object from one process to another, each behind the same small interface.

    peer            the interface
    ours            netstructer in its forms
    secured         TLS, a length, a pickle: the reference, with client certificates, with zstd
    standard        multiprocessing.connection; asyncio's streams over TLS
    curve           pyzmq with CURVE
    calls           Pyro5, RPyC
    websocket grpc_pickle    websockets with msgpack, gRPC with pickle

To add a peer, write a `Peer` and put it in `PEERS`.  One whose package is missing is skipped, with a note.
"""

from __future__ import annotations

from bench.peers.calls import PyroMsgpack, PyroSerpent, RpycSsl
from bench.peers.curve import ZmqCurve
from bench.peers.grpc_pickle import GrpcPickle
from bench.peers.ours import Aio, AioGcm, AioMany, Blocking, BlockingGcm, BlockingMany
from bench.peers.peer import HOST, Connection, Conversation, Peer
from bench.peers.secured import SslPickle, SslPickleMutual, SslZstdPickle
from bench.peers.standard import AsyncioTls, Multiprocessing
from bench.peers.websocket import WebsocketsMsgpack

__all__ = ["HOST", "PEERS", "REFERENCE", "Connection", "Conversation", "Peer"]

REFERENCE = SslPickle.name
PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        SslPickle(),
        Blocking(),
        BlockingMany(),
        BlockingGcm(),
        Aio(),
        AioMany(),
        AioGcm(),
        SslPickleMutual(),
        SslZstdPickle(),
        Multiprocessing(),
        AsyncioTls(),
        ZmqCurve(),
        PyroMsgpack(),
        PyroSerpent(),
        RpycSsl(),
        WebsocketsMsgpack(),
        GrpcPickle(),
    )
}
