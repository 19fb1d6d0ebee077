"""Rotation: open links learn the key that takes the place of theirs.  Floor: FAÇADES.

Law: a key is told only to a link whose peer proved a key of the same user, and of that one none that is revoked.

A server's key ring says when a key is added (keyring.py).  Each open link of that user that was opened with another key
is told the newest one, inside the sealed session, and so is each that opens with an older one later.  The client uses
it when it next connects (`Credentials.learn`); from then on `KeyRing.uses` counts the link with its new key.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from netstructer.keyring import KeyRing
from netstructer.keys import Key, fingerprint_of

if TYPE_CHECKING:
    from netstructer.protocol.handshake import Agreement

__all__ = ["Rotation"]


class _Giving(Protocol):
    @property
    def ended(self) -> bool: ...
    def give_key(self, key: Key) -> None: ...


class _Link(Protocol):
    """What a server's link shows, of either façade."""

    id: str
    user: str | None
    fingerprint: str

    @property
    def _exchange(self) -> _Giving: ...
    def abort(self) -> object: ...


L = TypeVar("L", bound=_Link)


class Rotation(Generic[L]):
    """Tells the links of one server, found in `live`, which key is the newest of `ring`."""

    def __init__(self, ring: KeyRing, live: weakref.WeakValueDictionary[str, L]) -> None:
        self._ring, self._live = ring, live
        ring.subscribe(_telling(weakref.ref(self)))

    def opened(self, link: L, agreement: Agreement) -> None:
        """Take in which key has opened a link, or a new transport of it; the link is in `live`, and can be found.

        It is aborted where the key has ended since its hello: whoever ends a key looks for open links only after that.
        """
        link.fingerprint = fingerprint_of(agreement.key_id)
        self._ring.opened(link.id, agreement.key_id)
        if self._ring.lookup(agreement.key_id) is None:
            link.abort()
        else:
            self._tell(link)
        if link._exchange.ended:
            self._ring.closed(link.id)  # It ended meanwhile, and may have said so before it was counted.

    def added(self, user: str | None) -> None:
        """Tell the links of a user that there is another key."""
        for reference in self._live.valuerefs():
            link = reference()
            if link is not None and link.user == user:
                self._tell(link)

    def _tell(self, link: L) -> None:
        newest = self._ring.newest(link.user)
        if (
            newest is not None
            and newest.fingerprint != link.fingerprint
            and not self._ring.is_revoked(link.fingerprint)
        ):
            link._exchange.give_key(newest)


def _telling(reference: weakref.ref[Rotation[L]]) -> Callable[[Key, str | None], None]:
    """Return what a ring calls; a ring that outlives the server does not keep it alive."""

    def tell(key: Key, user: str | None) -> None:
        rotation = reference()
        if rotation is not None:
            rotation.added(user)

    return tell
