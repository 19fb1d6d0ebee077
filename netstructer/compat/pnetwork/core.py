"""What a server and a client of pnetwork have in common.  Floor: ROOF.

Law: nothing that a peer sends ends more than its own connection.
"""

from __future__ import annotations

import logging
import random
import threading
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

import netstructer
from netstructer.compat.pnetwork.binding import Bind, runner_of
from netstructer.compat.pnetwork.connection import Connection
from netstructer.compat.pnetwork.packets import CORE_ACTIONS, check_name, make_packet, read_packet
from netstructer.compat.shared import NotCarriedOver
from netstructer.errors import BadValue, LinkClosed, LinkLost, LinkTimeout, PeerFault

__all__ = ["HAND_SHAKE_SECONDS", "Core"]

logger = logging.getLogger("netstructer")

HAND_SHAKE_SECONDS = 10.0
"""From an open link to the handshake of its packets: a client sends it at once."""
MOST_REPORTS = 10
"""How many faults of one connection are reported; `Connection.faults` counts all of them."""


class Core:
    """Actions, connections, and what is sent to them.  `Server` and `Client` are made of it.

    `bufferSize` has no effect: records have the size that the two ends agreed on.  `key` is the link's; without one it
    is found as `netstructer.Link` and `netstructer.Server` find theirs.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 25565, bufferSize: int = 1024, *, key: Any = None) -> None:
        self.host, self.port, self.bufferSize = host, port, bufferSize
        self.token: str | None = None
        """At a client, what names it, from the handshake on; a server has none."""
        self.clients: dict[str, Connection] = {}
        """The connections by their tokens, oldest first: a server's clients, a client's server."""
        self.actions: dict[str, Any] = {}
        self._key = key
        self._runners: dict[str, Callable[[Any, Any, Any], object]] = {}
        self._lock = threading.Lock()

    # --- packets and actions ----------------------------------------------------------------------------------------

    def createPacket(self, name: str = "undefined-packet", data: Any = None) -> dict[str, Any]:
        """Return a packet: `action`, `data`, `packet-created` and `token`.  Raises `Misuse` for a name that is none."""
        return make_packet(name, data, self.token)

    def decodePacket(self, packet: object) -> dict[str, Any]:
        """Return the packet that a value is.  Raises `BadValue`."""
        return read_packet(packet)

    def bindAction(self, name: str, bind: Bind | Callable[..., object]) -> None:
        """Run `bind` for each packet of this name: a `Bind`, or a function of (data, packet, connection).

        What it raises is reported, and ends nothing.  An action of the core that is bound, too, does its own part
        first; a warning says so.  Raises `Misuse`.
        """
        runner = runner_of(bind)
        if check_name(name) in CORE_ACTIONS:
            warnings.warn(f"{name!r} is an action of the core, which still does its part first", stacklevel=2)
        with self._lock:
            self.actions[name], self._runners[name] = bind, runner

    def trigger(self, packet: dict[str, Any]) -> None:
        """Run here what is bound to the name of a packet, as if it had arrived, without a connection.

        Raises `BadValue` for what is no packet or has nothing bound to it, and what the action raises.
        """
        runner = self._runners.get(read_packet(packet)["action"])
        if runner is None:
            raise BadValue("nothing is bound to the action of this packet")
        runner(packet["data"], packet, None)

    def GetActions(self) -> dict[str, Any]:
        """Return what is bound, by name."""
        with self._lock:
            return dict(self.actions)

    def report(self, connection: Connection, text: str) -> None:
        """Take in what is wrong with what a peer sent; override it to show it elsewhere than in the log.

        `text` may hold the name of an action as its `repr`, and nothing else of what the peer said.
        """
        logger.warning("< %s: %s", connection.as_link().peer, text)

    # --- connections ------------------------------------------------------------------------------------------------

    def SendPacket(self, uuid: str, packet: dict[str, Any]) -> bool:
        """Send a packet to the connection with this token; False where there is none, or it is suspended."""
        connection = self.GetConnection(uuid)
        return connection is not None and connection.sendPacket(packet)

    def SendPacketForAll(self, packet: dict[str, Any]) -> int:
        """Send a packet to all connections that are not suspended; return how many have it on its way."""
        sent = 0
        for connection in self.GetAllConnections().values():
            with suppress(LinkClosed, LinkLost, LinkTimeout):
                sent += connection.sendPacket(packet)
        return sent

    def GetConnection(self, uuid: str) -> Connection | None:
        """Return the connection with this token, or None."""
        with self._lock:
            return self.clients.get(uuid)

    def GetAllConnections(self) -> dict[str, Connection]:
        """Return the connections by their tokens, oldest first."""
        with self._lock:
            return dict(self.clients)

    def GetRandomConnection(self) -> Connection | None:
        """Return any connection, or None where there is none."""
        connections = list(self.GetAllConnections().values())
        return random.choice(connections) if connections else None

    def GetLatestConnection(self) -> Connection | None:
        """Return the newest connection, or None where there is none."""
        return next(reversed(self.GetAllConnections().values()), None)

    def DisconnectConnection(self, uuid: str, reason: str = "connection disconnected") -> bool:
        """Disconnect the connection with this token; say whether there was one."""
        connection = self.GetConnection(uuid)
        return connection is not None and connection.disconnect(reason)

    def GetThreadInfo(self) -> dict[str, Any]:
        """Return how many threads this process has, and their names."""
        names = [thread.name for thread in threading.enumerate()]
        return {"count": len(names), "names": names}

    # --- not carried over -------------------------------------------------------------------------------------------

    def createEncryptKeys(self, *_: object) -> NoReturn:
        """Refused: `netstructer keygen` and `netstructer pair` make keys.  Raises `NotCarriedOver`."""
        raise NotCarriedOver(
            "a link has its key before its first packet: `netstructer keygen` or `netstructer pair` makes one"
        )

    def encryptPacket(self, *_: object) -> NoReturn:
        """Refused: every packet is sealed by its link.  Raises `NotCarriedOver`."""
        raise NotCarriedOver(
            "every packet is sealed by its link, of whatever size; by hand there is cryptography.fernet"
        )

    decryptPacket = encryptPacket

    # --- what arrives -----------------------------------------------------------------------------------------------

    def _store(self, connection: Connection) -> None:
        with self._lock:
            self.clients[connection.token] = connection

    def _forget(self, connection: Connection) -> None:
        with self._lock:
            if self.clients.get(connection.token) is connection:
                del self.clients[connection.token]

    def _listen(self, connection: Connection, link: netstructer.Link) -> None:
        """Deal with what a peer sends, in this thread, until its link ends; then nobody finds it any more."""
        try:
            while True:
                try:
                    self._deal_with(connection, link.recv())
                except BadValue as error:
                    self._fault(connection, str(error))
        except (LinkClosed, LinkLost, PeerFault) as error:
            logger.debug("= the connection of %s ended: %s", link.peer, type(error).__name__)
        finally:
            self._forget(connection)
            link.close()

    def _deal_with(self, connection: Connection, value: object) -> None:
        packet = read_packet(value)
        action, runner = packet["action"], self._runners.get(packet["action"])
        self._check_token(connection, packet["token"])
        if action in CORE_ACTIONS:
            self._core_action(connection, action, packet["data"])
        elif runner is None:
            self._fault(connection, f"nothing is bound to {action!r}")
        if runner is not None:
            self._run(runner, packet, connection)

    def _check_token(self, connection: Connection, token: str | None) -> None:
        """Raise `BadValue` where a packet is not from whom it says."""
        raise NotImplementedError

    def _core_action(self, connection: Connection, action: str, data: object) -> None:
        """Do what the core does for a packet of its own."""
        raise NotImplementedError

    def _run(self, runner: Callable[[Any, Any, Any], object], packet: dict[str, Any], connection: Connection) -> None:
        try:
            runner(packet["data"], packet, connection)
        except Exception as error:
            # The text of the error may hold what the peer sent, so the log gets its type and where it was raised.
            where = "".join(traceback.format_tb(error.__traceback__))
            logger.error("the action %r raised %s\n%s", packet["action"], type(error).__name__, where)

    def _fault(self, connection: Connection, text: str) -> None:
        connection.faults += 1
        if connection.faults <= MOST_REPORTS:
            self.report(connection, text)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.host}:{self.port}, {len(self.clients)} connections>"
