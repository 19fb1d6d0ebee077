"""How transports end, as tests for anything that wants to be one.  Floor: FAÇADES.

Law: as in `conformance`, which inherits from here.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
import unittest
from collections.abc import Iterator
from typing import Any

from netstructer.testing.workbench import SLICE_BYTES, Bench, SocketLike, hold, pattern, read_exactly, ready

__all__ = ["EndingConformance"]

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class EndingConformance:
    """The tests of ends.  `TransportConformance` has them too; inherit from that one."""

    patience_seconds = 10.0
    """How long anything may take that the transport is asked for."""
    half_closes = True
    """Whether one direction can end alone, by `shutdown(SHUT_WR)`.  netstructer does without."""
    resets = True
    """Whether an end can break off, by `reset`."""

    def connect(self) -> tuple[SocketLike, SocketLike]:
        """Return two connected transports.  Say here how yours are made."""
        raise NotImplementedError("say how a connected pair is made: def connect(self)")

    def reset(self, transport: SocketLike) -> None:
        """Break off: by default as a TCP socket does, which sends a reset where it is closed so."""
        with contextlib.suppress(OSError, AttributeError):
            option: Any = transport
            option.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.close()

    def benches(self) -> Iterator[Bench]:
        """Give a fresh pair, and then another one the other way round."""
        for turned in (False, True):
            one, other = self.connect()
            bench = Bench(other, one, self.patience_seconds) if turned else Bench(one, other, self.patience_seconds)
            self._open().append(bench)
            yield bench
            bench.close()

    def teardown_method(self) -> None:
        """Close what a test that failed has left open."""
        while self._open():
            self._open().pop().close()

    def _open(self) -> list[Bench]:
        found: list[Bench] = self.__dict__.setdefault("_benches", [])
        return found

    def _need(self, able: str) -> None:
        if not getattr(self, able):
            raise unittest.SkipTest(f"{able} = False")

    # --- in order -----------------------------------------------------------------------------------------------------

    def test_a_close_is_the_end_behind_the_last_byte(self) -> None:
        """What was written before a close is read, and then the end."""
        for bench in self.benches():
            bench.do("to write", bench.one.sendall, b"last words")
            bench.one.close()
            found = bench.do("to read to the end", read_exactly, bench.other, 99)
            hold(found == b"last words", f"expected the last words and the end, found {found!r}")

    def test_the_end_stays_the_end(self) -> None:
        """Who reads again finds the end again."""
        for bench in self.benches():
            bench.one.close()
            found = [bench.do("to read at the end", bench.other.recv, 9) for _ in range(3)]
            hold(found == [b"", b"", b""], f"expected the end three times, found {found}")

    def test_poll_says_that_the_end_is_there(self) -> None:
        """An end is something to read."""
        for bench in self.benches():
            bench.one.close()
            seconds = self.patience_seconds
            can = bench.do("to poll at the end", ready, bench.other, read=True, seconds=seconds)
            hold(can, "the other end is closed, and poll never says so")

    def test_a_half_close_leaves_the_other_direction(self) -> None:
        """Who has said all can still be answered."""
        self._need("half_closes")
        for bench in self.benches():
            bench.do("to write", bench.one.sendall, b"question")
            bench.one.shutdown(socket.SHUT_WR)
            asked = bench.do("to read to a half close", read_exactly, bench.other, 99)
            hold(asked == b"question", "a half close is not the end behind the last byte")
            error = bench.error("to answer after a half close", bench.other.sendall, b"answer")
            hold(error is None, f"after a half close the other direction is gone, too: {error!r}")
            bench.other.close()
            answer = bench.do("to read the answer", read_exactly, bench.one, 99)
            hold(answer == b"answer", "after a half close no answer came back")

    def test_a_half_close_loses_nothing_before_it(self) -> None:
        """However much was under way."""
        self._need("half_closes")
        for bench in self.benches():
            body = pattern(SLICE_BYTES * 20)

            def say_all(bench: Bench = bench, body: bytes = body) -> None:
                bench.one.sendall(body)
                bench.one.shutdown(socket.SHUT_WR)

            saying = bench.task(say_all)
            found = bench.do("to read to a half close", read_exactly, bench.other, len(body) + 1)
            saying.result("to write")
            hold(found == body, "bytes before a half close were lost")

    def test_nothing_is_written_after_a_half_close(self) -> None:
        """Who has said that it was all cannot say more."""
        self._need("half_closes")
        for bench in self.benches():
            bench.one.shutdown(socket.SHUT_WR)
            error = bench.error("to write after a half close", bench.one.sendall, b"more")
            hold(isinstance(error, OSError), f"a write after a half close raised {error!r}, no OSError")

    # --- out of order -------------------------------------------------------------------------------------------------

    def test_writing_to_who_has_closed_fails_soon(self) -> None:
        """A few writes may be taken before the news is here; not more and more of them."""
        for bench in self.benches():
            bench.other.close()
            error = bench.error("to write to nobody", _write_on, bench.one, self.patience_seconds / 2)
            hold(isinstance(error, OSError), "writes to an end that is closed were taken for ever")
            hold(not isinstance(error, TimeoutError), "a write to an end that is closed was never refused")

    def test_a_reset_is_noticed(self) -> None:
        """Who reads while the other end breaks off is told, by an error or by the end."""
        self._need("resets")
        for bench in self.benches():
            reading = bench.task(bench.other.recv, 9)
            self.reset(bench.one)
            error = reading.error("to read while the other end breaks off")
            told = isinstance(error, ConnectionError) or (error is None and reading.result("to read") == b"")
            hold(told, f"after a reset the other end got {error!r} instead of an end")

    def test_a_shutdown_wakes_who_reads(self) -> None:
        """A thread that waits here comes back when another one ends the transport: so links are ended."""
        for bench in self.benches():
            reading = bench.task(bench.one.recv, 9)
            time.sleep(0.01)  # so that it waits: before it does, it is as good
            bench.one.shutdown(socket.SHUT_RDWR)
            error = reading.error("to wake who reads, by a shutdown")
            hold(error is None or isinstance(error, OSError), f"a reader that was woken got {error!r}")
            hold(error is not None or reading.result("to read") == b"", "a reader that was woken got bytes")

    def test_a_shutdown_wakes_who_polls(self) -> None:
        """The same for a thread that waits in poll, as netstructer's do."""
        for bench in self.benches():
            seconds = self.patience_seconds * 2
            polling = bench.task(ready, bench.one, read=True, seconds=seconds)
            time.sleep(0.01)  # as above
            bench.one.shutdown(socket.SHUT_RDWR)
            hold(polling.result("to wake who polls, by a shutdown"), "a shutdown does not wake who polls")

    def test_a_shutdown_is_the_end_for_the_other_end(self) -> None:
        """It need not wait for the close."""
        for bench in self.benches():
            bench.one.shutdown(socket.SHUT_RDWR)
            error = bench.error("to read after a shutdown", hold, bench.other.recv(9) == b"", "bytes")
            hold(error is None or isinstance(error, ConnectionError), "a shutdown did not end the other end")

    # --- twice --------------------------------------------------------------------------------------------------------

    def test_it_may_be_closed_twice(self) -> None:
        """The second time nothing happens."""
        for bench in self.benches():
            bench.one.close()
            error = bench.error("to close twice", bench.one.close)
            hold(error is None, f"a second close raised {error!r}")

    def test_what_is_closed_is_of_no_more_use(self) -> None:
        """Reading and writing here are an `OSError`, and no wait."""
        for bench in self.benches():
            bench.one.close()
            for what, error in (
                ("read", bench.error("to read after a close", bench.one.recv, 1)),
                ("write", bench.error("to write after a close", bench.one.send, b"x")),
            ):
                hold(isinstance(error, OSError), f"a {what} after a close raised {error!r}, no OSError")


def _write_on(transport: SocketLike, seconds: float) -> None:
    """Write until that is an error, for so long at most."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        transport.send(b"is anybody there")
        time.sleep(0.001)
