"""Visiting: the client's end of pairing, with a socket.  Floor: FAÇADES.  Law: one deadline covers all of it."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass

from netstructer import sockets
from netstructer.address import Address, parse_address
from netstructer.credentials import default_key_path
from netstructer.errors import ConnectionCut, LinkTimeout, Misuse
from netstructer.known_servers import KnownServers, default_known_servers_path
from netstructer.pairing.ceremony import Granted, Visitor
from netstructer.pairing.frames import Grant
from netstructer.pairing.keeping import Keeping
from netstructer.private_files import Path
from netstructer.protocol.handshake import identity_fingerprint

__all__ = ["Paired", "pair"]

PAIR_SECONDS = 30.0
"""For connecting and all of the ceremony; the other end waits for fifteen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """What the client has now."""

    user: str
    """What the server calls it."""
    server: Address
    """Where the server is, pinned in the file of known servers."""
    identity: str
    """The server's fingerprint."""
    key_path: str
    fingerprint: str
    """That of the new key."""


def pair(
    address: tuple[str, int] | str,
    code: str,
    *,
    user: str | None = None,
    key_path: Path | None = None,
    known: KnownServers | None = None,
    timeout: float | None = PAIR_SECONDS,
) -> Paired:
    """Get a key from the server that shows this code, keep it in a file, and pin the server's identity.

    `address` is where `netstructer pair --listen` waits.  `key_path` is the user's default key file unless given, and
    `known` the user's file of known servers.  The key is kept beside a key file that is there already.

    Raises `InvalidCode`; `WrongCode`, and then the code is dead; `PairingRefused`; `IdentityChanged` where the server
    is known by another identity; what dialling raises (`Unreachable`, `PortClosed`, `LinkTimeout`); `ConnectionCut`,
    `NotNetstructer` and the rest of `PeerFault`; `OSError` where the files cannot be written; `MissingDependency`.
    Whatever is raised, no key is left behind here, and the server takes its half back; where the key file cannot be
    written at the very last, the pin stays, which the code has vouched for.
    """
    place = parse_address(address)
    deadline = sockets.deadline_after(timeout)
    visitor = Visitor(code, os.urandom, user=user)
    keeping = Keeping(os.fspath(key_path) if key_path is not None else default_key_path(), known or _known_servers())
    transport = sockets.dial_socket(place, deadline)
    readiness = sockets.Readiness(transport)

    def send() -> None:
        with suppress(OSError):  # who has ended the connection may have said why, and that is read next
            transport.sendall(visitor.take())

    def receive() -> bytes:
        while True:
            left = sockets.remaining(deadline)
            if not readiness.wait(read=True, write=False, seconds=left)[0]:
                raise LinkTimeout(f"{place} did not finish the pairing in time")
            try:
                data = transport.recv(visitor.wanted)
            except (BlockingIOError, InterruptedError):
                continue
            except OSError as error:
                raise _cut(place) from error
            if not data:
                raise _cut(place)
            return data

    try:
        granted: Grant | None = None
        server, fingerprint = place, ""
        while True:
            send()
            event = visitor.receive(receive())
            if isinstance(event, Granted):
                granted = event.grant
                server = parse_address((granted.host or place.host, granted.port))
                fingerprint = identity_fingerprint(granted.identity)
                keeping.prepare(granted.key, server, fingerprint)
                visitor.have()
            elif event is not None:
                break
        assert granted is not None
        key_path = keeping.commit(now=time.time())
        visitor.done()
        send()
    finally:
        keeping.drop()
        transport.close()
    return Paired(
        user=granted.user,
        server=server,
        identity=fingerprint,
        key_path=key_path,
        fingerprint=granted.key.fingerprint,
    )


def _known_servers() -> KnownServers:
    place = default_known_servers_path()
    if place is None:
        raise Misuse("no home directory to keep known servers in")
    return KnownServers(place)


def _cut(place: Address) -> ConnectionCut:
    return ConnectionCut(f"{place} ended the connection in the pairing; nothing was installed here")
