"""`Server`: registers clients, and gives each a token.  Floor: ROOF.

Law: a client is its link; its token only names it.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import uuid
from collections.abc import Callable
from typing import Any

import netstructer
from netstructer.compat.pnetwork.binding import Bind
from netstructer.compat.pnetwork.connection import Connection
from netstructer.compat.pnetwork.core import HAND_SHAKE_SECONDS, Core
from netstructer.compat.pnetwork.packets import (
    DISCONNECT,
    HAND_SHAKE,
    MOST_CHARACTERS,
    check_name,
    make_packet,
    read_packet,
)
from netstructer.errors import BadValue, LinkClosed, LinkLost, LinkTimeout, Misuse

__all__ = ["Bind", "Server"]

logger = logging.getLogger("netstructer")

TOKEN_TRIES = 3
"""How often a token is made that somebody has already, before the client is turned away."""


class Server(Core):
    """A server of packets, at 127.0.0.1:25565 where nothing else is said.

    `tokenGenerator()` makes the tokens: texts of at most 256 characters that nobody guesses; a random UUID without one.
    `key` may be a mapping of user names to keys, as for `netstructer.Server`.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 25565,
        bufferSize: int = 1024,
        *,
        key: Any = None,
        tokenGenerator: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        super().__init__(host, port, bufferSize, key=key)
        self.createToken = tokenGenerator
        self._server: netstructer.Server | None = None
        self._stopped = threading.Event()

    def start(self, useThreading: bool = True) -> None:
        """Listen, and return; with `useThreading=False` stay until `stop`, Ctrl-C or SIGTERM.

        Each client has a thread of its own, and one more keeps the process alive until `stop`, as it did.  With port 0
        `port` is the free one that was found.  Raises `CannotListen`, `InvalidKey`, and `Misuse` where it runs already.
        """
        with self._lock:
            if self._server is not None:
                raise Misuse("the server was started before")
            server = netstructer.Server((self.host, self.port), key=self._key, handler=self._serve)
            self._server = server
        try:
            server.start()
        except BaseException:
            self._server = None
            raise
        self.host, self.port = server.address
        if useThreading:
            self._stopped.clear()
            threading.Thread(target=self._stopped.wait, name="netstructer-compat-server").start()
            return
        try:
            server.serve_forever()
        finally:
            self.stop()

    def stop(self) -> None:
        """Say farewell to all clients, which look for the server until it is there again, and listen no more.

        May be called twice; `start` starts it again.
        """
        with self._lock:
            server, self._server = self._server, None
        if server is not None:
            server.close()
        self._stopped.set()

    @property
    def connected(self) -> bool:
        """Whether the server runs."""
        return self._server is not None

    def checkCredentials(self, credentials: Any, connection: Connection) -> bool:
        """Decide whether a client is registered, by the credentials of its handshake; override it where it matters.

        Here everybody is who has the key.
        """
        return True

    def SendPacketForAll(self, packet: dict[str, Any]) -> int:
        """Send a packet to all clients that are not suspended, encoded once; return how many have it on its way.

        Nobody is waited for; who has too much waiting already is passed over.  No token goes out.
        """
        connections = [found for found in self.GetAllConnections().values() if not found.suspended]
        server = self._server
        if server is None or not connections:
            return 0
        outgoing = connections[0].addressed(packet)
        return len(server.broadcast(outgoing, to=[found.as_link() for found in connections]).sent)

    def as_server(self) -> netstructer.Server | None:
        """Return the server itself, for all that this front does not have; None where it does not run."""
        return self._server

    # --- one client -------------------------------------------------------------------------------------------------

    def _serve(self, link: netstructer.Link) -> None:
        """Register a client by its handshake, and deal with what it sends, in a thread of its own."""
        try:
            connection = self._registered(link)
        except (BadValue, LinkClosed, LinkLost, LinkTimeout, Misuse) as error:
            logger.info("= no handshake from %s: %s", link.peer, type(error).__name__)
            return
        if connection is not None:
            self._listen(connection, link)

    def _registered(self, link: netstructer.Link) -> Connection | None:
        packet = read_packet(link.recv(timeout=HAND_SHAKE_SECONDS))
        data = packet["data"] if type(packet["data"]) is dict else {}
        if packet["action"] != HAND_SHAKE:
            self._refuse(link, "expected a handshake first")
            return None
        username = data.get("username")
        named = username if type(username) is str and len(username) <= MOST_CHARACTERS else None
        connection = Connection(link, self._fresh_token(), owner_token=None, forget=self._forget, username=named)
        if not self.checkCredentials(data.get("credentials"), connection):
            self._refuse(link, "the credentials were not accepted")
            return None
        self._store(connection)
        try:
            connection.handShake()
        except BaseException:
            self._forget(connection)
            raise
        return connection

    def _fresh_token(self) -> str:
        for _ in range(TOKEN_TRIES):
            token = check_name(self.createToken())
            if self.GetConnection(token) is None:
                return token
        raise Misuse("the generator of tokens makes the same one again and again")

    def _refuse(self, link: netstructer.Link, reason: str) -> None:
        with contextlib.suppress(LinkClosed, LinkLost, LinkTimeout):
            link.send(make_packet(DISCONNECT, {"reason": reason}, None), timeout=HAND_SHAKE_SECONDS)
        logger.info("= refused %s: %s", link.peer, reason)

    def _check_token(self, connection: Connection, token: str | None) -> None:
        if token != connection.token:
            raise BadValue("the token is not that of this client")

    def _core_action(self, connection: Connection, action: str, data: object) -> None:
        if action == DISCONNECT:
            self._forget(connection)
            connection.as_link().close()
