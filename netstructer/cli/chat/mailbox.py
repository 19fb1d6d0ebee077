"""The mailbox: lines that were typed, for the one thread that does what they want.  Floor: ROOF."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator

__all__ = ["Mailbox"]

MOST_LINES = 64
"""Lines that wait: whoever pipes a file in waits for the answers, and memory stays put."""


class Mailbox:
    """A bounded queue of lines that anybody may close."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._lines: deque[str] = deque()
        self._ended = self._closed = False

    def put(self, line: str) -> bool:
        """Put a line in, once there is room; say whether it will be taken."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._ended or len(self._lines) < MOST_LINES)
            if self._closed or self._ended:
                return False
            self._lines.append(line)
            self._changed.notify_all()
            return True

    def offer(self, line: str) -> bool:
        """Put a line in where there is room now; say whether there was."""
        with self._changed:
            if self._closed or self._ended or len(self._lines) >= MOST_LINES:
                return False
            self._lines.append(line)
            self._changed.notify_all()
            return True

    def end(self) -> None:
        """Take in that no further line comes: those that are there are taken still."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def close(self) -> None:
        """Let nobody wait any more, and drop what is there."""
        with self._changed:
            self._closed = True
            self._lines.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[str]:
        """Give the lines as they come, until it is ended or closed."""
        while True:
            with self._changed:
                # In pieces: a wait without an end would let no Ctrl-C through on Windows.
                while not (self._lines or self._ended or self._closed):
                    self._changed.wait(0.5)
                if not self._lines:
                    return
                line = self._lines.popleft()
                self._changed.notify_all()
            yield line
