"""Calling: what a link asks of its peer by name, and how it waits for the answer.  Floor: FAÇADES.

Law: a call that is not waited for any more is cancelled, and its number never heard of again.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from netstructer import talking
from netstructer.errors import BadValue, LinkTimeout, NetstructerError
from netstructer.protocol.calls import Window, Word, answer_in, ask, raise_fault
from netstructer.sockets import deadline_after

if TYPE_CHECKING:
    from netstructer.codec.blob import Blob
    from netstructer.exchange import Exchange
    from netstructer.protocol.assembly import Message

__all__ = ["Stream", "call", "notify"]


def call(
    exchange: Exchange,
    blob_of: Callable[[Message, int], Blob],
    name: str,
    positional: tuple[Any, ...],
    named: dict[str, Any],
    *,
    timeout: float | None,
    compress: bool,
) -> Any:
    """Ask for an action and return its result, or a `Stream`.  Raises as `Link.call` says."""
    deadline = deadline_after(timeout)
    question = ask(name, positional, named, timeout, wants_answer=True)
    packed = talking.pack(exchange.session.payloads, question, compress=compress, source_seconds=timeout)
    number = talking.open_call(exchange)
    try:
        talking.say(exchange, number, packed, unsent=lambda _: talking.close_call(exchange, number), deadline=deadline)
        answer = answer_in(exchange.read(exchange.next_aside(number, deadline), blob_of))
        if answer.word is Word.STREAM:
            return Stream(exchange, number, name, blob_of, timeout)
        if answer.word not in (Word.RESULT, Word.FAULT):
            raise BadValue("expected the first answer to a call, found a later one")
    except BaseException as error:
        _cancel(exchange, number)
        if isinstance(error, LinkTimeout):
            raise LinkTimeout(f"no answer to {name!r} came in time", action=name) from error
        raise
    talking.close_call(exchange, number)
    if answer.word is Word.FAULT:
        raise_fault(name, answer)
    return answer.value


def notify(
    exchange: Exchange,
    name: str,
    positional: tuple[Any, ...],
    named: dict[str, Any],
    *,
    timeout: float | None,
    compress: bool,
) -> None:
    """Ask for an action and want no answer."""
    deadline = deadline_after(timeout)
    question = ask(name, positional, named, None, wants_answer=False)
    packed = talking.pack(exchange.session.payloads, question, compress=compress, source_seconds=timeout)
    number = talking.open_call(exchange)
    try:
        talking.say(exchange, number, packed, unsent=lambda _: None, deadline=deadline)
    finally:
        talking.close_call(exchange, number)


def _cancel(exchange: Exchange, number: int) -> None:
    talking.say_and_leave(exchange, number, (Word.CANCEL.value,))


class Stream(Iterator[Any]):
    """What a streaming action yields, item by item, as it comes.

    The peer is a few items ahead of who takes them, and no more.  `close`, the end of a `with` block, and the collector
    tell it to stop.  One thread at a time.
    """

    def __init__(
        self,
        exchange: Exchange,
        number: int,
        name: str,
        blob_of: Callable[[Message, int], Blob],
        timeout: float | None,
    ) -> None:
        self._exchange, self._number, self._name, self._blob_of = exchange, number, name, blob_of
        self._timeout = timeout
        self._window = Window()
        self._over = False
        last_word = talking.composed(exchange.session, number, (Word.CANCEL.value,))
        self._finalizer = weakref.finalize(self, exchange.drop_aside, number, [last_word])
        self._finalizer.atexit = False

    def __next__(self) -> Any:
        """Return the next item.  Raises `LinkTimeout` where it took longer than the call's `timeout`, and what the
        action raised there.
        """
        if self._over:
            raise StopIteration
        exchange = self._exchange
        try:
            message = exchange.next_aside(self._number, deadline_after(self._timeout))
            answer = answer_in(exchange.read(message, self._blob_of))
            if answer.word is Word.ITEM:
                if more := self._window.took(message.total_charge()):
                    talking.post(exchange, self._number, (Word.MORE.value, more))
                return answer.value
            if answer.word not in (Word.END, Word.FAULT):
                raise BadValue("expected an item of a stream, or its end")
        except NetstructerError as error:
            self.close()
            if isinstance(error, LinkTimeout):
                raise LinkTimeout(f"no further item of {self._name!r} came in time", action=self._name) from error
            raise
        self._over = True
        self._finalizer.detach()
        talking.close_call(exchange, self._number)
        if answer.word is Word.FAULT:
            raise_fault(self._name, answer)
        raise StopIteration

    def close(self) -> None:
        """Want no more of it: the action is told so.  May be called twice."""
        if not self._over:
            self._over = True
            self._finalizer.detach()
            _cancel(self._exchange, self._number)

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a stream cannot be copied or pickled")

    def __repr__(self) -> str:
        return f"<Stream of {self._name!r} on link {self._exchange.session.id}{' over' if self._over else ''}>"
