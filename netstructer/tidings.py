"""Tidings: what becomes of a link, told to whom it concerns.  Floor: FAÇADES.  Law: under the link's lock nobody waits.

The log hears of everything, by kind and never by content.  A client's link has a redialler, which begins to look for a
transport; a server's link has its house, which keeps it in the registry, or apart from it while it has no transport.
"""

from __future__ import annotations

import logging
import time
import weakref
from typing import TYPE_CHECKING, Any, Protocol

from netstructer.actions import Actions
from netstructer.errors import NetstructerError, Stalled
from netstructer.keys import Key
from netstructer.redial import Redialler

if TYPE_CHECKING:
    from netstructer.link import Link

__all__ = ["House", "Tidings"]

logger = logging.getLogger("netstructer")


class House(Protocol):
    """What a server does when something becomes of one of its links."""

    actions: Actions

    def link_ended(self, link: Link) -> None: ...
    def link_suspended(self, link: Link) -> None: ...
    def link_resumed(self, link: Link) -> None: ...


class Tidings:
    """Hears, under its lock, what becomes of a link, without keeping it alive."""

    def __init__(self, reference: weakref.ref[Link]) -> None:
        self._reference = reference
        self.since = time.time()
        """When the link was opened."""
        self.house: House | None = None
        self.redialler: Redialler | None = None
        self.answering: Any = None
        """What answers the calls of the peer, once there was one: `came()`, in the manner of the façade."""

    def ended(self) -> None:
        if (link := self._reference()) is not None:
            error = link._session.error
            logger.debug("= link %s to %s over%s", link.id, link.peer, f": {type(error).__name__}" if error else "")
            if self.house is not None:
                self.house.link_ended(link)
        # They hold the exchange, whose pump holds this: only the collector would find them.
        self.redialler = self.answering = None

    def suspended(self, error: NetstructerError) -> None:
        if (link := self._reference()) is not None:
            level = logging.WARNING if isinstance(error, Stalled) else logging.INFO
            logger.log(level, "= link %s to %s has lost its transport: %s", link.id, link.peer, type(error).__name__)
            if self.house is not None:
                self.house.link_suspended(link)
        if self.redialler is not None:
            self.redialler.suspended()

    def resumed(self) -> None:
        if (link := self._reference()) is not None:
            if self.redialler is not None:
                link.fingerprint = self.redialler.fingerprint
            logger.info("= link %s goes on with %s", link.id, link.peer)
            if self.house is not None:
                self.house.link_resumed(link)
        if self.redialler is not None:
            self.redialler.resumed()

    def new_key(self, key: Key) -> None:
        if (link := self._reference()) is not None:
            logger.info("= link %s: the server gives a new key, %s", link.id, key.fingerprint)
        if self.redialler is not None:
            self.redialler.new_key(key)

    def called(self, number: int) -> None:
        if self.answering is None:
            link = self._reference()
            if link is None or link._told is not self:  # dropped, or gone on to another session
                return
            self.answering = link._answers()
        self.answering.came(number)

    def draining(self, seconds: float) -> None:
        if (link := self._reference()) is not None:
            logger.info("= link %s: the server leaves within %.0f seconds", link.id, seconds)
