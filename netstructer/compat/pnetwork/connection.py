"""`Connection`: one peer, at either end.  Floor: ROOF.  Law: no packet goes out with a token of somebody else."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import netstructer
from netstructer.compat.pnetwork.packets import DISCONNECT, HAND_SHAKE, make_packet, read_packet
from netstructer.errors import BadValue, LinkClosed, LinkLost, LinkTimeout, Misuse

__all__ = ["Connection"]

SEND_SECONDS = 10.0
"""How long a packet may wait for a peer that takes nothing: then it is not sent."""


class Connection:
    """One peer and what is known of it.  At a server `token` is what names the client; at a client, what names itself.

    `owner_token` goes into every packet that is sent here: at a client its own, at a server none, so that no token of
    one client reaches another.  `forget` is called once when the connection is disconnected here.
    """

    def __init__(
        self,
        link: netstructer.Link,
        token: str,
        *,
        owner_token: str | None,
        forget: Callable[[Connection], object],
        username: str | None = None,
    ) -> None:
        self._link, self._owner_token, self._forget = link, owner_token, forget
        self.token = self.uuid = token
        """The key of this connection in `clients`."""
        self.ip, self.port = link.peer
        self.username = username
        """What the client calls itself, which nobody has proved; None where it did not say."""
        self.firstConnected = time.time()
        self.suspended = False
        """Whether nothing is sent to this peer."""
        self.permissions: dict[str, Any] = {}
        self.faults = 0
        """Packets of this peer that were none, or that nothing is bound to."""

    def sendPacket(self, packet: dict[str, Any]) -> bool:
        """Send a packet to this peer alone; False, and nothing sent, where the connection is suspended.

        Raises `Misuse` for what is no packet, `UnsendableValue` for data that does not travel, `LinkTimeout` where the
        peer takes nothing for 10 seconds, `LinkClosed`, `LinkLost`.
        """
        outgoing = self.addressed(packet)
        if self.suspended:
            return False
        self._link.send(outgoing, timeout=SEND_SECONDS)
        return True

    def addressed(self, packet: object) -> dict[str, Any]:
        """Return a packet as it may be sent over this connection.  Raises `Misuse` for what is none."""
        try:
            return {**read_packet(packet), "token": self._owner_token}
        except BadValue as error:
            raise Misuse(f"{error}; createPacket(name, data) makes one") from error

    def handShake(self) -> bool:
        """Tell a client that it was registered, and its token."""
        return self.sendPacket(make_packet(HAND_SHAKE, {"status": "success", "uuid": self.uuid}, None))

    def disconnect(self, reason: str = "connection disconnected") -> bool:
        """Tell the peer why, and close the connection; a client that was told does not come back by itself.

        May be called twice.
        """
        self._forget(self)
        try:
            if not self._link.closed:
                self._link.send(make_packet(DISCONNECT, {"reason": reason}, self._owner_token), timeout=SEND_SECONDS)
        except (LinkClosed, LinkLost, LinkTimeout):
            pass  # It is gone already, or takes nothing.
        self._link.close()
        return True

    def isAlive(self, timeout: float = 5.0) -> bool:
        """Say whether the peer answers in so many seconds."""
        try:
            self._link.ping(timeout=timeout)
        except (LinkClosed, LinkLost, LinkTimeout):
            return False
        return True

    def suspend(self) -> None:
        """Send nothing to this peer from now on."""
        self.suspended = True

    def resume(self) -> None:
        """Send to this peer again."""
        self.suspended = False

    def checkPermission(self, name: str) -> Any:
        """Return a permission as it was set, None where it was not."""
        return self.permissions.get(name)

    def setPermission(self, name: str, value: Any) -> None:
        """Set a permission; what it permits is for your actions to decide."""
        self.permissions[name] = value

    def GetRepersentation(self) -> dict[str, Any]:
        """Return what is known of the peer.  The token is in it, under `uuid`: not for other clients."""
        return {
            "uuid": self.uuid,
            "ip": self.ip,
            "port": self.port,
            "username": self.username,
            "connected": self.firstConnected,
        }

    def as_link(self) -> netstructer.Link:
        """Return the link itself, for all that this front does not have."""
        return self._link

    def __repr__(self) -> str:
        return f"<Connection over {self._link!r}>"
