"""Rotation: open links learn the key that takes the place of theirs.  Floor: FAÇADES.

Law: a key is told only to a link whose peer proved a key of the same user.

A server's key ring says when a key is added (keyring.py).  Each open link of that user that was opened with another key
is told the newest one, inside the sealed session, and so is each that opens with an older one later.  The client uses
it when it next connects (`Credentials.learn`); from then on `KeyRing.uses` counts the link with its new key.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from netstructer.keyring import KeyRing
from netstructer.keys import Key, fingerprint_of

if TYPE_CHECKING:
    from netstructer.link import Link
    from netstructer.protocol.handshake import Agreement

__all__ = ["Rotation"]


class Rotation:
    """Tells the links of one server, found in `live`, which key is the newest of `ring`."""

    def __init__(self, ring: KeyRing, live: weakref.WeakValueDictionary[str, Link]) -> None:
        self._ring, self._live = ring, live
        ring.subscribe(_telling(weakref.ref(self)))

    def opened(self, link: Link, agreement: Agreement) -> None:
        """Take in which key has opened a link, or a new transport of it; the link is in `live`."""
        link.fingerprint = fingerprint_of(agreement.key_id)
        self._ring.opened(link.id, agreement.key_id)
        self._tell(link)
        if link._exchange.ended:
            self._ring.closed(link.id)  # It ended meanwhile, and may have said so before it was counted.

    def added(self, user: str | None) -> None:
        """Tell the links of a user that there is another key."""
        for reference in self._live.valuerefs():
            link = reference()
            if link is not None and link.user == user:
                self._tell(link)

    def _tell(self, link: Link) -> None:
        newest = self._ring.newest(link.user)
        if newest is not None and newest.fingerprint != link.fingerprint:
            link._exchange.give_key(newest)


def _telling(reference: weakref.ref[Rotation]) -> Callable[[Key, str | None], None]:
    """Return what a ring calls; a ring that outlives the server does not keep it alive."""

    def tell(key: Key, user: str | None) -> None:
        rotation = reference()
        if rotation is not None:
            rotation.added(user)

    return tell
