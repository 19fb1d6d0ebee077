"""Reception: where new links wait to be accepted, or are given to their handlers.  Floor: FAÇADES.

Law: nothing that one link or its handler does stops the server.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from netstructer import sockets
from netstructer.errors import LinkClosed, LinkLost, LinkTimeout, Misuse

if TYPE_CHECKING:
    from netstructer.link import Link

__all__ = ["Handler", "Reception"]

logger = logging.getLogger("netstructer")

Handler = Callable[["Link"], object]
MOST_ENDED = 64
"""Links that ended before anybody accepted them: so many are kept for `accept`, with the messages that they brought."""


class Reception:
    """The new links of one server.  Thread-safe.  Without a handler they wait for `accept`."""

    def __init__(self, handler: Handler | None) -> None:
        self._handler = handler
        self._waiting: deque[Link] = deque()
        self._changed = threading.Condition()
        self._handled = 0
        self._until = 0.0
        """When the server is closed: how long what its links have called may take."""
        self.closed = False
        """Whether the server takes no more links."""

    def close(self, until: float) -> None:
        """Let nobody wait any more; what is under way ends until then."""
        with self._changed:
            self.closed, self._until = True, until
            self._changed.notify_all()

    def renew(self) -> None:
        """Be closed and empty: in a forked child, where whoever held the lock is not."""
        self._changed = threading.Condition()
        self.closed = True
        self._waiting.clear()

    def stay(self) -> None:
        """Return when the server was closed."""
        with self._changed:
            while not self.closed:
                self._changed.wait(1.0)  # A bounded wait lets Ctrl-C through on Windows.

    def accept(self, timeout: float | None) -> Link:
        """Return the next new link.  Raises `LinkTimeout`, and `Misuse` once the server is closed."""
        deadline = sockets.deadline_after(timeout)
        with self._changed:
            while True:
                if self.closed:
                    raise Misuse("the server is closed")
                while self._waiting:
                    link = self._waiting.popleft()
                    if not link.closed or link._exchange.unread:
                        return link
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise LinkTimeout("no new link came in time")
                self._changed.wait(left)

    def welcome(self, link: Link) -> None:
        """Take in a new link."""
        with self._changed:
            handler = self._handler
            if handler is None:
                self._waiting.append(link)
                self._changed.notify_all()  # `stay` waits for the same condition.
                ended = [found for found in self._waiting if found._exchange.ended]
                for forgotten in ended[:-MOST_ENDED]:
                    self._waiting.remove(forgotten)
        if handler is not None:
            self._start(handler, link)

    def handle_with(self, handler: Handler) -> None:
        """Give new links to a handler from here on, and those that wait for `accept`."""
        with self._changed:
            self._handler = handler
            waiting = tuple(self._waiting)
            self._waiting.clear()
        for link in waiting:
            self._start(handler, link)

    def await_handlers(self, deadline: float) -> bool:
        """Wait until no handler runs any more; say whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._handled, max(0.0, deadline - time.monotonic()))

    def _start(self, handler: Handler, link: Link) -> None:
        name = f"netstructer-handler-{link.id}"
        with self._changed:
            self._handled += 1
        try:
            threading.Thread(target=self._handle, args=(handler, link), name=name, daemon=True).start()
        except RuntimeError:
            logger.error("no thread is left for the handler of link %s", link.id)
            link.abort()
            self._leave()

    def _handle(self, handler: Handler, link: Link) -> None:
        try:
            handler(link)
        except LinkClosed:
            logger.debug("= the handler of link %s ended with it", link.id)
        except LinkLost as error:
            logger.info("= link %s lost in its handler: %s", link.id, type(error).__name__)
        except Exception as error:
            # The text of the error may hold what the peer sent, so the log gets its type and where it was raised.
            where = "".join(traceback.format_tb(error.__traceback__))
            logger.error("the handler of link %s raised %s\n%s", link.id, type(error).__name__, where)
        finally:
            if link._exchange.draining:
                link._await_answers(self._until)  # The handler ends because the server leaves, and not so they.
            link.close()
            self._leave()

    def _leave(self) -> None:
        with self._changed:
            self._handled -= 1
            self._changed.notify_all()
