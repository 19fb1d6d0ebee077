"""A conversation beside the user's values, and what is expected in it.  Floor: COMMONS.  Law: no answer is believed.

Spec: files.md, "The conversation".  What the other end says is checked before it means anything; a refusal may come
instead of every answer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

from netstructer.errors import BadValue, LimitReached, LinkClosed, LinkLost, LinkTimeout
from netstructer.transfer.wording import Refused, check_refusal, refusal_of

__all__ = ["Channel", "Clock", "expect", "look", "telling"]

TELL_SECONDS = 1.0
"""How long an end that has failed tries to say so: it is a courtesy, and the error is on its way to the caller."""

Clock = Callable[[], float]
"""Seconds that only grow, as `time.monotonic`; given by who calls, because this floor has no clock."""

T = TypeVar("T")


class Channel(Protocol):
    """One conversation on a link; values are any that netstructer sends, blobs included.

    `timeout` is in seconds, None waits as long as the link lives; of a value with blobs it is the longest time in which
    not one byte moves, not the time for all of them.  All three may raise `LinkTimeout`, `LinkLost` and `LinkClosed`;
    `send` raises `MessageCancelled` when the other end gives up a blob, and what the blob's source raises.
    """

    def send(self, value: object, *, timeout: float | None = None) -> object: ...  # when it, blobs included, is sent
    def recv(self, *, timeout: float | None = None) -> Any: ...  # the next value; its blobs are still arriving
    def wire_bytes(self) -> int: ...  # moved on this link so far, both ways, as on the wire


def expect(channel: Channel, read: Callable[[object], T], *, timeout: float | None) -> T:
    """Return the next value of the other end, as `read` takes it.

    Raises `TransferRefused` where the other end refuses, and `BadValue` or what `read` raises for any other value.
    """
    value = channel.recv(timeout=timeout)
    check_refusal(value)
    return read(value)


def look(channel: Channel) -> None:
    """Raise what has become of the other end, if it is gone or has refused; while it has nothing to say, do nothing.

    For what takes long and needs nothing of it: an end that has left is no longer worked for.
    """
    with contextlib.suppress(LinkTimeout):
        check_refusal(channel.recv(timeout=0))
        raise BadValue("a value where nothing was to be said")


@contextlib.contextmanager
def telling(channel: Channel, *, timeout: float | None) -> Iterator[None]:
    """Tell the other end of whatever is raised in the block, by kind and name, so that it need not wait for more.

    Not of what it has refused itself.  What the link says against that is not raised: the first error is.
    """
    try:
        yield
    except BaseException as error:
        if not (isinstance(error, Refused) and error.told):
            seconds = TELL_SECONDS if timeout is None else min(timeout, TELL_SECONDS)
            with contextlib.suppress(LinkClosed, LinkLost, LinkTimeout, LimitReached):
                channel.send(refusal_of(error), timeout=seconds)
        raise
