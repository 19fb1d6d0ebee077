"""The listener: takes transports for as long as the process has descriptors for them.  Floor: FAÇADES.

Law: the last descriptors are not for strangers.  Spec: protocol.md, "Budgets before authentication".

Who connects takes a descriptor before anybody knows who it is, and a process has a limit of them: files, logs and the
links that are open need theirs.  So what would take one beyond nine tenths of the limit is closed at once.  Systems
give out the lowest number that is free, so the number itself says how many are taken, at least.

Where other parts of the process have taken all of them, accept fails, and the transport would wait in the system's
queue and wake this thread for ever.  One descriptor is held back for that: it is let go, the transport accepted in
its place and closed, so that its client learns it now.
"""

from __future__ import annotations

import errno
import os
import socket

from netstructer import sockets

__all__ = ["DescriptorsShort", "Listener"]

DESCRIPTOR_SHARE = 0.9
"""Of the process's descriptors: what is above is for everything but strangers."""

_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class DescriptorsShort(Exception):
    """A transport came that the process has no descriptor for.  `closed` says whether it could be closed; else it
    waits, and to accept again at once would spin.
    """

    def __init__(self, text: str, *, closed: bool) -> None:
        super().__init__(text)
        self.closed = closed


class Listener:
    """A listening socket that does not block, and one descriptor in reserve."""

    def __init__(self, transport: socket.socket) -> None:
        self._transport = transport
        self._reserve = _hold_back()

    def accept(self) -> socket.socket:
        """Return the next transport.

        Raises `BlockingIOError` where none waits, `DescriptorsShort`, and any other `OSError` for a transport that
        broke before it was taken.
        """
        try:
            transport, _ = self._transport.accept()
        except OSError as error:
            if error.errno not in _SHORTAGES:
                raise
            closed = self._close_next()
            raise DescriptorsShort(f"cannot accept: {error.strerror}", closed=closed) from None
        return self.check(transport)

    def check(self, transport: socket.socket) -> socket.socket:
        """Return a transport that was accepted.  Raises `DescriptorsShort` where there is no descriptor for it: then it
        is closed.
        """
        most = sockets.descriptor_limit()
        if most is not None and transport.fileno() >= DESCRIPTOR_SHARE * most:
            transport.close()
            raise DescriptorsShort(f"cannot accept: nine tenths of {most} descriptors are taken", closed=True)
        return transport

    def fileno(self) -> int:
        """Return the number of the listening socket's descriptor, -1 once it is closed."""
        return self._transport.fileno()

    def close(self) -> None:
        """Listen no more.  May be called twice."""
        self._transport.close()
        self._let_go()

    def _close_next(self) -> bool:
        self._let_go()
        try:
            self._transport.accept()[0].close()
        except OSError:
            return False
        finally:
            self._reserve = _hold_back()
        return True

    def _let_go(self) -> None:
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None


def _hold_back() -> int | None:
    try:
        return os.open(os.devnull, os.O_RDONLY)
    except OSError:
        return None  # Another thread was faster; it is tried again at the next shortage.
