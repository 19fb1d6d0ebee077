"""Answering: what the peer of a link has called is run, and told of.  Floor: FAÇADES.  Law: each call gets one answer.

A call that comes is run by a thread of the crew (`crew.py`).  A thread that has answered stays with the link for
`STAY_SECONDS`: it is then the one that works for the link while it waits (`pump.py`), so the next call is read, run and
answered without a hand-over between threads.  A link that nobody calls has no thread.

At most `Limits.calls` of one link are under way at once.  Further ones wait unread, and the peer's credit with them.
While a call runs, nobody may be reading: before one that is not known to return at once, the keeper is asked to watch.

A notice, which wants no answer, is run whatever becomes of the link behind it.
"""

from __future__ import annotations

import contextlib
import contextvars
import inspect
import time
import weakref
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from netstructer import talking
from netstructer.actions import Actions
from netstructer.crew import crew
from netstructer.errors import (
    CallCancelled,
    LinkClosed,
    MessageTooBig,
    Misuse,
    NetstructerError,
    UnsendableValue,
)
from netstructer.noting import note
from netstructer.protocol.calls import STREAM_ITEMS, WORD_BYTES, Asked, Word, asked_in, fault, more_in

if TYPE_CHECKING:
    from netstructer.address import Address
    from netstructer.exchange import Exchange
    from netstructer.link import Link
    from netstructer.protocol.assembly import Message, Whole

__all__ = ["ANSWER_SECONDS", "STALL_SECONDS", "Answering", "Served", "patient"]

STAY_SECONDS = 0.25
"""How long a thread stays with a link that it has answered."""
ANSWER_SECONDS = 60.0
"""How long not one record of an answer may go before the call is given up: a peer that reads takes some in less, and
one that is dead is found out before."""
LOOK_SECONDS = 10.0
"""How often it is asked whether a stream that nobody takes may go on to wait."""
STALL_SECONDS = 3600.0
"""How long a stream waits at most for a caller that takes nothing of it: an hour, as for a person who was called away.
Where more than half of the threads are in use, `LOOK_SECONDS` is all that it may hold one."""
QUICK_SECONDS = 0.001
"""An action that has returned in less is taken for one that does."""


class Answering:
    """The calls of one session's peer.  `actions` is the link's own table."""

    def __init__(self, link: Link, exchange: Exchange, actions: Actions) -> None:
        self.reference = weakref.ref(link)
        self.exchange = exchange
        self.actions = actions
        self.most = exchange.session.limits.calls
        self.running: dict[int, int] = {}
        """The calls under way, and the thread of each; under the link's lock, as are the next two."""
        self.waiting = 0
        """Threads that stay here for the next call."""
        self.handed = 0
        """Jobs that no thread of the crew has begun."""
        self.kept: Link | None = None
        """The link, while calls wait: its holder may have heard the farewell behind them, and let go of it."""

    def came(self, number: int = 0) -> None:
        """See to it that somebody takes what has come, whichever it is.  Under the link's lock; waits for nothing."""
        if self.kept is None:
            self.kept = self.reference()
        if not (self.handed or self.waiting) and len(self.running) < self.most:
            if crew().hand(self._work):
                self.handed += 1
            elif not self.running:
                talking.turn_away(self.exchange)
                self.kept = None

    def _work(self) -> None:
        taken = talking.take_call(self.exchange, self)
        while taken is not None:
            number, message, link = taken
            call = _Call(self, number, link)
            del taken, link
            try:
                # What an action sets in its context is not the next one's: that may be another user's.
                contextvars.copy_context().run(self._answer, call, message)
            finally:
                talking.leave_call(self.exchange, self, number)
            del message, call
            stay_seconds = 0.0 if crew().scarce else STAY_SECONDS
            taken = talking.take_call(self.exchange, self, time.monotonic() + stay_seconds)

    def _answer(self, call: _Call, message: Message | Whole) -> None:
        name = "a call that is none"
        try:
            asked = asked_in(call.read(message))
            if asked is None:
                return
            name = asked.name
            call.is_asked(asked)
            self._run(asked, call)
        except BaseException as error:
            note(self.exchange.session.id, call.peer.host, name, error)
            call.tell(error)
        finally:
            call.kept = None

    def _run(self, asked: Asked, call: _Call) -> None:
        """Run one call and send what comes of it.  Raises what the action raises."""
        action, run = self.actions.prepare(asked, call)
        if action.awaited:
            raise Misuse("a coroutine function runs on servers and links of netstructer.aio")
        if asked.wants_answer:
            call.check()
        if not action.is_quick:
            talking.let_keeper_watch(self.exchange)
        began = time.monotonic()
        found = run()
        if inspect.isgenerator(found):
            self._stream(call, found)
            return
        action.is_quick = time.monotonic() - began < QUICK_SECONDS
        if inspect.iscoroutine(found):
            found.close()
            raise Misuse("a coroutine function runs on servers and links of netstructer.aio")
        call.say((Word.RESULT.value, found))

    def _stream(self, call: _Call, items: Iterator[Any]) -> None:
        """Send what a generator yields, as far as the caller takes it; close the generator where it wants no more."""
        with contextlib.closing(items):  # type: ignore[type-var]  # a generator's
            call.deadline = None  # What the caller allows is for each item.
            call.say((Word.STREAM.value,))
            for item in items:
                call.check()
                if call.wants_answer:
                    call.await_room()
                    call.room -= 1
                    call.say((Word.ITEM.value, item))
            call.say((Word.END.value,))


class Served:
    """What an action is told of its call, at either façade."""

    _exchange: Any

    def __init__(self, exchange: Any, reference: weakref.ref[Any], link: Any) -> None:
        self._exchange, self._reference = exchange, reference
        self.kept = link
        """The link, until it is known that the call wants an answer."""
        self.deadline: float | None = None

    @property
    def link(self) -> Any:
        link = self.kept or self._reference()
        if link is None:
            raise LinkClosed("nobody holds the link any more")
        return link

    @property
    def peer(self) -> Address:
        peer: Address = self._exchange.peer
        return peer

    @property
    def seconds_left(self) -> float | None:
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())


class _Call(Served):
    """One call under way, for one thread."""

    _exchange: Exchange

    def __init__(self, answering: Answering, number: int, link: Link | None) -> None:
        super().__init__(answering.exchange, answering.reference, link)
        self._number = number
        self._over = False
        self.wants_answer = True
        self.room = STREAM_ITEMS
        """How many items the caller takes now."""

    def is_asked(self, asked: Asked) -> None:
        """Take in what it is that is called."""
        self.wants_answer = asked.wants_answer
        if asked.wants_answer:
            self.kept = None  # Where nobody holds the link any more, nobody waits either.
        if asked.seconds is not None:
            self.deadline = time.monotonic() + asked.seconds

    @property
    def cancelled(self) -> bool:
        if not self.wants_answer:
            return self._exchange.ended  # Whoever gave a notice need not stay for it.
        if not self._over:
            if self.deadline is not None and time.monotonic() >= self.deadline:
                self._over = True
            elif talking.is_unsettled(self._exchange, self._number):
                self._look(None)
        return self._over

    def check(self) -> None:
        """Raise `CallCancelled` where nobody waits any more."""
        if self.cancelled:
            raise CallCancelled("the caller waits no more")

    def await_room(self) -> None:
        """Wait until the caller wants more of a stream.  Raises `CallCancelled` where it does not."""
        began = time.monotonic()
        while not self._over and self.room == 0:
            self._look(time.monotonic() + LOOK_SECONDS)
            if not self._over and self.room == 0 and not patient(began):
                raise CallCancelled("nobody has taken anything of the stream for long")
        self.check()

    def _look(self, deadline: float | None) -> None:
        try:
            message = talking.news_of(self._exchange, self._number, deadline)
            if message is not None:
                more = self._more_in(message)
                self.room += more
                self._over = more == 0
        except NetstructerError:
            self._over = True  # What is no word of a call is as good as its end.

    def _more_in(self, message: Message | Whole) -> int:
        if message.total_plain_bytes() > WORD_BYTES:
            self._exchange.forget(message)
            return 0
        return more_in(self.read(message))

    def read(self, message: Message | Whole) -> object:
        """Return a value of this call."""
        link = self.link
        return self._exchange.read(message, partial(link._blob_of, self._exchange))

    def say(self, value: tuple[Any, ...]) -> None:
        """Say one value, where one is wanted; where it cannot be said, that is told in its place."""
        if self._over or not self.wants_answer:
            return
        exchange = self._exchange
        try:
            compress = self.link._compress
            packed = talking.pack(exchange.session.payloads, value, compress=compress, source_seconds=ANSWER_SECONDS)
        except (UnsendableValue, MessageTooBig) as error:
            note(exchange.session.id, self.peer.host, "what an action returned", error)
            self.tell(error)
            return
        try:
            talking.say(exchange, self._number, packed, unsent=self.tell, idle_seconds=ANSWER_SECONDS)
        except NetstructerError:
            self._over = True
        except BaseException:
            self._over = True  # What a source raised: whoever reads that blob is told by it.
            raise

    def tell(self, error: BaseException) -> None:
        """Say why there is no answer, or no more of it, without waiting; nothing, where nobody wants to know."""
        if not self._over and self.wants_answer:
            self._over = True
            talking.post(self._exchange, self._number, fault(error))


def patient(began: float) -> bool:
    """Say whether a stream that nobody has taken anything of since `began` may go on to wait."""
    return not crew().scarce and time.monotonic() - began < STALL_SECONDS
