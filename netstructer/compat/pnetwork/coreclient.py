"""`Client`: looks for its server until it is there, and again when it is gone.  Floor: ROOF.

Law: who was told to leave does not come back by itself.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

import netstructer
from netstructer.compat.pnetwork.binding import Bind
from netstructer.compat.pnetwork.connection import Connection
from netstructer.compat.pnetwork.core import HAND_SHAKE_SECONDS, Core
from netstructer.compat.pnetwork.packets import DISCONNECT, HAND_SHAKE, check_name, make_packet, read_packet
from netstructer.errors import (
    BadValue,
    Busy,
    LinkClosed,
    LinkLost,
    LinkTimeout,
    LoginFailed,
    Misuse,
    NetstructerError,
)

__all__ = ["Bind", "Client"]

logger = logging.getLogger("netstructer")

OPEN_SECONDS = 10.0
"""How long one try to connect may take."""
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 5.0
"""Between two tries: twice as long each time, up to this, so that a server that starts anew is found soon."""
MOST_REASON_CHARACTERS = 256


class Client(Core):
    """A client of packets, of the server at 127.0.0.1:25565 where nothing else is said.

    `username` and `credentials` go into the handshake, sealed; what becomes of them is the server's `checkCredentials`.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 25565,
        bufferSize: int = 1024,
        *,
        key: Any = None,
        username: str | None = None,
        credentials: Any = None,
    ) -> None:
        super().__init__(host, port, bufferSize, key=key)
        self.username, self._credentials = username, credentials
        self.disconnected: str | None = None
        """The reason that the server gave when it disconnected this client."""
        self.error: NetstructerError | None = None
        """Why it looks for its server no more, where that is an error."""
        self._stopping, self._idle = threading.Event(), threading.Event()
        self._idle.set()
        self._stayer: int | None = None
        """The thread that deals with what arrives."""

    def start(self, useThreading: bool = True) -> None:
        """Connect, and deal with what arrives in the background; with `useThreading=False` in this thread, until the
        end.  The thread in the background keeps the process alive until `stop`, as it did.

        Where nobody is there, it tries again and again, at least every 5 seconds, and so it does when the server is
        gone.  Raises at the first try what no other would mend: `MissingKey`, `InvalidKey`, `KeyRefused`, `LoginFailed`
        and the like; later such an error is in `error`.
        """
        self._begin()
        try:
            connection = self._connect()
        except BaseException:
            self._idle.set()
            raise
        if useThreading:
            threading.Thread(target=self._stay, args=(connection,), name="netstructer-compat-client").start()
        else:
            self._stay(connection)

    def stop(self, reason: str = "connection disconnected") -> None:
        """Disconnect, and look for the server no more.  May be called twice; `start` starts it again."""
        self._stopping.set()
        for connection in self.GetAllConnections().values():
            connection.disconnect(reason)
        if self._stayer != threading.get_ident():
            self._idle.wait(OPEN_SECONDS + HAND_SHAKE_SECONDS)

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return bool(self.clients)

    # --- one connection after the other -----------------------------------------------------------------------------

    def _begin(self) -> None:
        """Take the place of who deals with what arrives.  Raises `Misuse` where somebody has it."""
        if self._stopping.is_set() and self._stayer != threading.get_ident():
            self._idle.wait(OPEN_SECONDS + HAND_SHAKE_SECONDS)  # It was told to end, and does.
        with self._lock:
            if not self._idle.is_set():
                raise Misuse("the client was started before")
            self._idle.clear()
            self._stopping.clear()
            self.disconnected = self.error = None

    def _stay(self, connection: Connection | None) -> None:
        self._stayer = threading.get_ident()
        try:
            self._stay_with(connection)
        finally:
            self._stayer = None
            self._idle.set()

    def _stay_with(self, connection: Connection | None) -> None:
        pause = FIRST_PAUSE_SECONDS
        while connection is not None or not self._stopping.wait(pause):
            if connection is not None:
                self._listen(connection, connection.as_link())
                connection, pause = None, FIRST_PAUSE_SECONDS
                continue
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            try:
                connection = self._connect()
            except NetstructerError as error:
                self.error = error
                logger.error("the client of %s:%s gave up: %s", self.host, self.port, type(error).__name__)
                return

    def _connect(self) -> Connection | None:
        """Return a connection whose handshake is done; None where nobody is there now."""
        try:
            link = netstructer.Link((self.host, self.port), key=self._key, timeout=OPEN_SECONDS, resume=False)
        except (LinkLost, LinkTimeout, Busy) as error:
            logger.debug("= no connection to %s:%s: %s", self.host, self.port, type(error).__name__)
            return None
        try:
            connection = self._registered(link)
        except (LinkClosed, LinkLost, LinkTimeout):
            link.abort()
            return None
        except BaseException:
            link.abort()
            raise
        if self._stopping.is_set():
            connection.disconnect()
        return connection

    def _registered(self, link: netstructer.Link) -> Connection:
        hello = {"username": self.username, "credentials": self._credentials}
        link.send(make_packet(HAND_SHAKE, hello, None), timeout=HAND_SHAKE_SECONDS)
        answer = read_packet(link.recv(timeout=HAND_SHAKE_SECONDS))
        data = answer["data"] if type(answer["data"]) is dict else {}
        if answer["action"] == DISCONNECT:
            self.disconnected = _reason_in(data)
            raise LoginFailed(f"the server refused the handshake: {self.disconnected!r}")
        try:
            token = check_name(data.get("uuid") if answer["action"] == HAND_SHAKE else None)
        except Misuse:
            raise BadValue("expected the answer to a handshake, with a token") from None
        self.token = token
        connection = Connection(link, token, owner_token=token, forget=self._forget, username=self.username)
        self._store(connection)
        return connection

    def _check_token(self, connection: Connection, token: str | None) -> None:
        if token not in (None, connection.token):
            raise BadValue("the token is that of somebody else")

    def _core_action(self, connection: Connection, action: str, data: object) -> None:
        if action == DISCONNECT:
            self.disconnected = _reason_in(data if type(data) is dict else {})
            self._stopping.set()
            self._forget(connection)
            connection.as_link().close()


def _reason_in(data: dict[Any, Any]) -> str:
    reason = data.get("reason")
    return reason[:MOST_REASON_CHARACTERS] if type(reason) is str else "no reason was given"
