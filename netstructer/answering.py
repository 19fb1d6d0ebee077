"""Answering: what the peer of a link has called is run, and told of.  Floor: FAÇADES.  Law: each call gets one answer.

A call that comes is run by a thread of the crew (`crew.py`).  A thread that has answered stays with the link for
`STAY_SECONDS`: it is then the one that works for the link while it waits (`pump.py`), so the next call is read, run and
answered without a hand-over between threads.  A link that nobody calls has no thread.

At most `Limits.calls` of one link are under way at once.  Further ones wait unread, and the peer's credit with them.
While a call runs, nobody may be reading: before one that is not known to return at once, the keeper is asked to watch.
"""

from __future__ import annotations

import contextlib
import logging
import time
import traceback
import weakref
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from netstructer import talking
from netstructer.actions import Actions
from netstructer.crew import crew
from netstructer.errors import (
    BadValue,
    CallCancelled,
    LinkClosed,
    LinkLost,
    LinkTimeout,
    MessageCancelled,
    MessageTooBig,
    Misuse,
    NetstructerError,
    PeerFault,
    UnsendableValue,
)
from netstructer.protocol.calls import STREAM_ITEMS, Asked, Word, asked_in, fault, more_in

if TYPE_CHECKING:
    from netstructer.address import Address
    from netstructer.exchange import Exchange
    from netstructer.link import Link
    from netstructer.protocol.assembly import Message, Whole

__all__ = ["Answering", "note"]

logger = logging.getLogger("netstructer")

STAY_SECONDS = 0.25
"""How long a thread stays with a link that it has answered."""
ANSWER_SECONDS = 30.0
"""How long not one record of an answer may go before the call is given up: a peer that reads takes some in less."""
QUICK_SECONDS = 0.001
"""An action that has returned in less is taken for one that does."""


class Answering:
    """The calls of one link's peer.  `actions` is the link's own table."""

    def __init__(self, link: Link, exchange: Exchange, actions: Actions) -> None:
        self.reference = weakref.ref(link)
        self.exchange = exchange
        self.actions = actions
        self.most = exchange.session.limits.calls
        self.running = 0
        """Calls under way, under the link's lock, as are the next two."""
        self.waiting = 0
        """Threads that stay here for the next call."""
        self.handed = 0
        """Jobs that no thread of the crew has begun."""

    def came(self) -> None:
        """See to it that somebody takes what has come.  Under the link's lock; waits for nothing."""
        if not (self.handed or self.waiting) and self.running < self.most:
            self.handed += 1
            crew().hand(self._work)

    def _work(self) -> None:
        taken = talking.take_call(self.exchange, self)
        while taken is not None:
            number, message = taken
            try:
                self._answer(number, message)
            finally:
                talking.leave_call(self.exchange, self, number)
            stay_seconds = 0.0 if crew().scarce else STAY_SECONDS
            taken = talking.take_call(self.exchange, self, time.monotonic() + stay_seconds)

    def _answer(self, number: int, message: Message | Whole) -> None:
        call = _Call(self, number)
        try:
            asked = asked_in(call.read(message))
        except BadValue as error:
            logger.info("= link %s: a call that is none", self.exchange.session.id)
            call.say(fault(error))
            return
        except NetstructerError:
            return  # It ended the link, and there is nobody to tell.
        if asked.seconds is not None:
            call.deadline = time.monotonic() + asked.seconds
        try:
            self._run(asked, call)
        except BaseException as error:
            note(self.exchange.session.id, asked.name, error)
            if asked.wants_answer:
                call.say(fault(error))

    def _run(self, asked: Asked, call: _Call) -> None:
        """Run one call and send what comes of it.  Raises what the action raises."""
        action, run = self.actions.prepare(asked, call)
        if action.awaited:
            raise Misuse("a coroutine function runs on servers and links of netstructer.aio")
        if call.cancelled:
            raise CallCancelled("the caller waits no more")
        if not action.is_quick:
            talking.let_keeper_watch(self.exchange)
        began = time.monotonic()
        found = run()
        action.is_quick = time.monotonic() - began < QUICK_SECONDS
        if action.streams:
            self._stream(asked, call, found)
        elif asked.wants_answer:
            call.say((Word.RESULT.value, found))

    def _stream(self, asked: Asked, call: _Call, items: Iterator[Any]) -> None:
        """Send what a generator yields, as far as the caller takes it; close the generator where it wants no more."""
        with contextlib.closing(items):  # type: ignore[type-var]  # a generator's
            if not asked.wants_answer:
                for _ in items:
                    call.check()
                return
            call.deadline = None  # What the caller allows is for each item.
            call.say((Word.STREAM.value,))
            for item in items:
                if call.room == 0 and not call.await_room():
                    return
                call.check()
                call.room -= 1
                call.say((Word.ITEM.value, item))
            call.say((Word.END.value,))


class _Call:
    """One call under way, for one thread."""

    def __init__(self, answering: Answering, number: int) -> None:
        self._answering, self._exchange = answering, answering.exchange
        self._number = number
        self._over = False
        self.deadline: float | None = None
        self.room = STREAM_ITEMS
        """How many items the caller takes now."""

    @property
    def link(self) -> Link:
        link = self._answering.reference()
        if link is None:
            raise LinkClosed("nobody holds the link any more")
        return link

    @property
    def peer(self) -> Address:
        return self._exchange.peer

    @property
    def user(self) -> str | None:
        return self.link.account or self.link.user

    @property
    def state(self) -> dict[str, Any]:
        return self.link.state

    @property
    def seconds_left(self) -> float | None:
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    @property
    def cancelled(self) -> bool:
        if not self._over:
            if self.deadline is not None and time.monotonic() >= self.deadline:
                self._over = True
            else:
                self._look(None)
        return self._over

    def check(self) -> None:
        """Raise `CallCancelled` where nobody waits any more."""
        if self.cancelled:
            raise CallCancelled("the caller waits no more")

    def await_room(self) -> bool:
        """Wait until the caller wants more of a stream; False where it never will."""
        while not self._over and self.room == 0:
            self._look(time.monotonic() + ANSWER_SECONDS)
        return not self._over

    def _look(self, deadline: float | None) -> None:
        try:
            message = talking.news_of(self._exchange, self._number, deadline)
            if message is not None:
                more = more_in(self.read(message))
                self.room += more
                self._over = more == 0
        except NetstructerError:
            self._over = True

    def read(self, message: Message | Whole) -> object:
        """Return a value of this call."""
        link = self.link
        return self._exchange.read(message, partial(link._blob_of, self._exchange))

    def say(self, value: tuple[Any, ...]) -> None:
        """Send one value; what cannot be sent is told in its place, and then nothing more is."""
        if self._over:
            return
        try:
            self._say(value)
        except (UnsendableValue, MessageTooBig) as error:
            note(self._exchange.session.id, "what an action returned", error)
            self._over = True
            self._say(fault(error))
        except (LinkClosed, LinkLost, LinkTimeout, MessageCancelled, PeerFault):
            self._over = True  # There is nobody to tell.

    def _say(self, value: tuple[Any, ...]) -> None:
        compress = self.link._compress
        talking.say(self._exchange, self._number, value, compress=compress, idle_seconds=ANSWER_SECONDS)


def note(session_id: str, name: str, error: BaseException) -> None:
    """Tell the log of an error: its type and place, and not its text, which may hold what the peer sent."""
    if isinstance(error, NetstructerError):
        logger.info("= link %s: the call of %r failed: %s", session_id, name, type(error).__name__)
    else:
        where = "".join(traceback.format_tb(error.__traceback__))
        logger.error("= link %s: the action %r raised %s\n%s", session_id, name, type(error).__name__, where)
