"""Linking: a `Link` and a `Server` as a contest wants them.  Floor: ROOF."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from netstructer.cli.contest import HOST, NO_REPLY, Connection, Conversation

if TYPE_CHECKING:
    from netstructer import Link

__all__ = ["GCM", "BatchingConnection", "LinkConnection", "serve_links"]

GCM = "aes-256-gcm"


class LinkConnection(Connection):
    """A `Link` as it is."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.send, self.recv, self.close = link.send, link.recv, link.close  # type: ignore[method-assign]


class BatchingConnection(LinkConnection):
    """A `Link` whose user has many values at hand and says so."""

    def push_all(self, values: Iterable[Any]) -> None:
        """Send values one way."""
        self.link.send_many(values)


def serve_links(config: dict[str, str], ready: Callable[[int], None], fan: Any = None, **options: Any) -> None:
    """Serve for ever with a handler thread for each link; `options` are those of `Server`."""
    from netstructer import Server  # Late: who only measures others does not pay for it.

    members: list[Link] = []
    server = Server((HOST, 0), key=config["fernet_key"], max_links=10_000, **options)

    def fan_out(rounds: int) -> None:
        for _ in range(rounds):
            server.broadcast(fan, to=members)

    @server.handler
    def talk(link: Link) -> None:
        conversation = Conversation(lambda: members.append(link), fan_out)
        for value in link:
            reply = conversation.reply_to(value)
            if reply is not NO_REPLY:
                link.send(reply)

    server.start()
    ready(server.address.port)
    threading.Event().wait()
