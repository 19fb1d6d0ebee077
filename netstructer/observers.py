"""Observers: who is told what becomes of a server's links.  Floor: FAÇADES.

Law: no link waits for an observer, and what one raises stops nothing.

    server.observers.add(print)

What happens is told in the order in which it happened, by one thread of the server's, which is there while there is an
observer.  What nobody takes is bounded: of a crowd of events beyond `MOST_WAITING` the newest are dropped, and counted.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from netstructer.address import Address

__all__ = ["Happening", "Observer", "Observers"]

logger = logging.getLogger("netstructer")

MOST_WAITING = 65_536
"""Happenings that wait for slow observers: four for each link of sixteen thousand."""
STOP_SECONDS = 5.0
"""How long closing waits for the observers to hear the rest."""

What = Literal["opened", "suspended", "resumed", "ended"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """What became of a link."""

    what: What
    at: float
    """Seconds since 1970."""
    link_id: str
    peer: Address
    """Where the client is, or was last."""
    user: str | None
    """Whose key it has proved, at a server with one for each user."""
    fingerprint: str
    """Of the key that it has proved."""
    error: str = ""
    """Of a link that has ended or was suspended: the type of the error; nothing, where it ended in order."""
    bytes_sent: int = 0
    """Of a link that has ended: what the server has sent on the wire, and below what it received."""
    bytes_received: int = 0


Observer = Callable[[Happening], object]


class Observers:
    """The observers of one server.  Thread-safe; `tell` waits for nothing."""

    def __init__(self, *, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._changed = threading.Condition(threading.Lock())
        self._observers: tuple[Observer, ...] = ()
        self._waiting: deque[Happening] = deque()
        self._thread: threading.Thread | None = None
        self._closed = False
        self.dropped = 0
        """Happenings that nobody was told of, because too many waited."""

    def add(self, observer: Observer) -> Observer:
        """Have `observer(happening)` called from now on, in a thread of the server's."""
        with self._changed:
            self._observers = (*self._observers, observer)
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="netstructer-observers", daemon=True)
                self._thread.start()
        return observer

    def remove(self, observer: Observer) -> None:
        """Call an observer no more; nothing, where it is none."""
        with self._changed:
            self._observers = tuple(found for found in self._observers if found is not observer)

    def tell(self, what: What, link_id: str, peer: Address, **facts: object) -> None:
        """Take in that something has happened."""
        if not self._observers:
            return
        happening = Happening(what=what, at=self._wall(), link_id=link_id, peer=peer, **facts)  # type: ignore[arg-type]
        with self._changed:
            if len(self._waiting) >= MOST_WAITING or self._closed:
                self.dropped += 1
                return
            self._waiting.append(happening)
            self._changed.notify_all()

    def close(self) -> None:
        """Tell the rest, and nothing after it.  May be called twice, and by an observer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(STOP_SECONDS)

    def renew(self) -> None:
        """Be closed: in a forked child, where the thread is not."""
        self._changed = threading.Condition(threading.Lock())
        self._closed, self._thread, self._observers = True, None, ()
        self._waiting.clear()

    def _run(self) -> None:
        while (happening := self._next()) is not None:
            for observer in self._observers:
                try:
                    observer(happening)
                except Exception as error:
                    # Its text may hold what a peer has said, so the log gets its type and where it was raised.
                    where = "".join(traceback.format_tb(error.__traceback__))
                    logger.error("an observer raised %s\n%s", type(error).__name__, where)

    def _next(self) -> Happening | None:
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            return self._waiting.popleft() if self._waiting else None
