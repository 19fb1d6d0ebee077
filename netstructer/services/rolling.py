"""Rolling: a log file that begins anew when it is full.  Floor: SERVICES.  Law: a line is in one piece, in one file.

    server.log  server.log.1  server.log.2 …      the newest first; what would be beyond `keep` is gone

A line is one write at the end of the file, so several processes may have the same file open.  Each looks, before it
writes, whether the name still leads to the file that it has open: another may have rolled it, or `logrotate` or a
person moved it away.  Whoever rolls holds a lock on the file itself, and never waits for it: where somebody else has
it, the file is being rolled already, and one more line in the old one does no harm.

Where a file cannot be rolled (Windows, while another process has it open), it grows to twice its size; then it takes
nothing more, which is an error like a full disk.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from netstructer.errors import Misuse

__all__ = ["RollingFile"]

_FLAGS = (
    os.O_WRONLY
    | os.O_APPEND
    | os.O_CREAT
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_NONBLOCK", 0)  # a pipe that nobody reads would hold whoever opens it
)


class RollingFile:
    """The file of that path, readable by its owner alone (0600), made where it is not there.  Single owner."""

    def __init__(self, path: str, *, most_bytes: int, keep: int) -> None:
        self.path = path
        self.most_bytes = most_bytes
        self.keep = keep
        self._torn = False
        self._descriptor: int | None = None
        self._process = os.getpid()

    def open(self) -> None:
        """Open the file anew.

        Raises `Misuse` for a path that leads to something else than a file, `OSError` where it cannot be opened.
        """
        self.close()
        descriptor = os.open(self.path, _FLAGS, 0o600)
        try:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode):
                raise Misuse(f"expected a file to log to, and {self.path} is something else")
            if os.name == "posix" and stat.S_IMODE(about.st_mode) & 0o077:
                with suppress(OSError):  # another user's file may be written to, and stays as its owner wants it
                    os.fchmod(descriptor, 0o600)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        self._process = os.getpid()

    def write(self, line: bytes) -> None:
        """Add a line, which ends in a newline and has no other.  Raises as `open`, and then it is not there whole."""
        size = self._follow()
        if size and size + len(line) > self.most_bytes:
            self._roll(size + len(line))
        # Half a line is what a full disk leaves: the next one must not look like its end.
        rest = memoryview(b"\n" + line if self._torn else line)
        while rest:
            written = os.write(self._known(), rest)
            rest = rest[written:]
            self._torn = len(rest) > 0

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _known(self) -> int:
        if self._descriptor is None:
            self.open()
        assert self._descriptor is not None
        return self._descriptor

    def _follow(self) -> int:
        """See that the open file is the one that has the name now; return how long it is."""
        if self._process != os.getpid():  # a fork shares the lock of a descriptor, which then keeps nobody out
            self.open()
        mine = os.fstat(self._known())
        if not self._is_at_its_place(mine):
            self.open()
            mine = os.fstat(self._known())
        return mine.st_size

    def _is_at_its_place(self, mine: os.stat_result) -> bool:
        try:
            return os.path.samestat(os.stat(self.path), mine)
        except FileNotFoundError:
            return False

    def _roll(self, wanted_bytes: int) -> None:
        """Begin a new file, unless another process does.  Raises `OSError` where that cannot be, and is overdue."""
        descriptor = self._known()
        if not _held(descriptor):
            return
        if self._is_at_its_place(os.fstat(descriptor)):
            if os.name == "nt":
                self.close()  # an open file keeps its name there
            try:
                self._rename()
            except OSError as error:
                _let_go(self._known())
                if wanted_bytes > 2 * self.most_bytes:
                    raise OSError(errno.EFBIG, "the file is full, and cannot be rolled", self.path) from error
                return
        self.open()  # which closes the old one, and with it the lock goes

    def _rename(self) -> None:
        number = 1
        while number < self.keep and os.path.lexists(f"{self.path}.{number}"):
            number += 1
        for older in range(number, 1, -1):
            os.replace(f"{self.path}.{older - 1}", f"{self.path}.{older}")
        os.replace(self.path, f"{self.path}.1")


if os.name == "nt":  # pragma: no cover - the other system's half

    def _held(descriptor: int) -> bool:
        return True  # a file that another process has open cannot be renamed there

    def _let_go(descriptor: int) -> None:
        pass

else:

    def _held(descriptor: int) -> bool:
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks: two that roll at once cost an old file, and no new line
            return True
        return True

    def _let_go(descriptor: int) -> None:
        import fcntl

        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
