"""`Error`: the errors of NetStructer 2.x under their names, and those of netstructer behind them.  Floor: ROOF.

Law: a program that catches what it caught before goes on doing so.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from netstructer.compat.shared import NotCarriedOver
from netstructer.errors import InvalidKey, KeyRefused, LimitReached, LinkClosed, LinkLost, Misuse

__all__ = ["Error", "bad_key", "peer_loss"]


class Error:
    """The namespace of the errors: `Error.BufferDataError`, `Error.ServerInitializeError`, `Error.NotCarriedOver`."""

    class ServerInitializeError(Misuse):
        """`listen` or `listen_on` came before `init`, or `init` came twice."""

        @property
        def er(self) -> str:
            """The text."""
            return str(self)

    class BufferDataError(LimitReached):
        """A message is longer than `buffer_size` allows; it waits, and can be received with a larger one."""

        @property
        def er(self) -> str:
            """The text."""
            return str(self)

    NotCarriedOver = NotCarriedOver


@contextmanager
def bad_key() -> Iterator[None]:
    """Raise what is wrong with a key, or that the peer has another, as the `KeyError` that it was."""
    try:
        yield
    except (InvalidKey, KeyRefused) as error:
        raise KeyError(f"bad key: {error}") from error


@contextmanager
def peer_loss() -> Iterator[None]:
    """Raise the end of a link as `ConnectionAbortedError`, and its loss as `ConnectionResetError`."""
    try:
        yield
    except LinkClosed as error:
        raise ConnectionAbortedError(f"the session has closed: {error}") from error
    except LinkLost as error:
        raise ConnectionResetError(f"the session has closed: {error}") from error
