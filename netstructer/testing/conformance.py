"""What netstructer needs of a transport, as tests for anything that wants to be one.  Floor: FAÇADES.

Law: every test ends, whatever the transport does, and says in one sentence what it did wrong.

    class TestMyTunnel(TransportConformance):
        def connect(self):
            return tunnel.open_both_ends()      # two connected transports; each test gets pairs of its own

`SocketLike` says what a transport has: what a `socket.socket` has, in its manner.  What a transport cannot do is said
by an attribute of the class, and its tests are skipped, not passed.  Each test looks from both ends.  Whatever may wait
does so in a thread, for which the test waits `patience_seconds` at most: one that does not come back is the failure.

How bytes go is here; how transports end, in `endings`.
"""

from __future__ import annotations

from netstructer.testing.endings import EndingConformance
from netstructer.testing.workbench import (
    SLICE_BYTES,
    SocketLike,
    converse,
    hold,
    pattern,
    read_exactly,
    ready,
)

__all__ = ["SocketLike", "TransportConformance"]

LARGE_BYTES = 4 << 20
MOST_TAKEN_BYTES = 64 << 20
"""A transport that takes so much from a writer while nobody reads has no bound."""


class TransportConformance(EndingConformance):
    """Inherit from it, under a name that pytest collects, and say how a connected pair is made: `connect`.

    `patience_seconds` is how long anything may take; `half_closes` and `resets` say what the transport can do, and
    `reset` how it does that.
    """

    # --- bytes --------------------------------------------------------------------------------------------------------

    def test_bytes_arrive_in_order(self) -> None:
        """What is written in pieces is read as one stream, in order."""
        for bench in self.benches():
            body = pattern(200_000)
            pieces = [body[at : at + 777] for at in range(0, len(body), 777)]
            writing = bench.task(_write_each, bench.one, pieces)
            found = bench.do("to read what was written", read_exactly, bench.other, len(body))
            writing.result("to write")
            hold(found == body, "what was read is not what was written, in that order")

    def test_every_byte_arrives_as_it_was(self) -> None:
        """No value of a byte means anything to the transport: line ends, zeros and ends of files are bytes."""
        for bench in self.benches():
            body = bytes(range(256)) + b"\r\n\n\r\0\x04\x1a\xff\xf4" * 10
            bench.do("to write", bench.one.sendall, body)
            found = bench.do("to read what was written", read_exactly, bench.other, len(body))
            hold(found == body, "bytes were changed on the way")

    def test_single_bytes_arrive(self) -> None:
        """A byte is not kept back until there are more."""
        for bench in self.benches():
            for value in range(20):
                bench.do("to write one byte", bench.one.sendall, bytes([value]))
                found = bench.do("to read one byte that was written", bench.other.recv, 10)
                hold(found == bytes([value]), f"expected the one byte {value}, found {found!r}")

    def test_a_large_write_arrives_whole(self) -> None:
        """What is more than any buffer arrives, with its reader as slow as it likes."""
        for bench in self.benches():
            body = pattern(LARGE_BYTES)
            writing = bench.task(bench.one.sendall, body)
            found = bench.do("to read a large write", read_exactly, bench.other, len(body))
            writing.result("to write it")
            hold(found == body, "a large write did not arrive as it was")

    def test_both_ends_write_and_read_at_once(self) -> None:
        """Two threads at each end, one that writes and one that reads, do not get into each other's way."""
        for bench in self.benches():
            there, back = pattern(LARGE_BYTES // 4), pattern(LARGE_BYTES // 4, seed=2)
            count = len(there)
            writing = [
                bench.task(bench.one.sendall, there),
                bench.task(bench.other.sendall, back),
            ]
            reading = bench.task(read_exactly, bench.one, count)
            found = bench.do("to read while both ends write", read_exactly, bench.other, count)
            hold(found == there, "bytes were changed while both ends wrote")
            hold(reading.result("to read the other way") == back, "bytes were changed while both ends wrote")
            for task in writing:
                task.result("to write")

    def test_two_pairs_are_apart(self) -> None:
        """What is written to one pair is not read from another."""
        for bench, other in zip(self.benches(), self.benches(), strict=True):
            for each, text in ((bench, b"first"), (other, b"other")):
                each.do("to write", each.one.sendall, text)
            for each, text in ((bench, b"first"), (other, b"other")):
                found = each.do("to read", read_exactly, each.other, 5)
                hold(found == text, "the bytes of another pair were read")

    def test_recv_into_fills_no_more_than_it_says(self) -> None:
        """The rest of the buffer is left alone."""
        for bench in self.benches():
            space = bytearray(b"?" * 64)
            bench.do("to write", bench.one.sendall, b"12345")
            count = bench.do("to read into a buffer", bench.other.recv_into, memoryview(space))
            hold(0 < count <= 5, f"recv_into said {count} for 5 bytes")
            hold(bytes(space) == b"12345"[:count] + b"?" * (64 - count), "recv_into wrote beyond what it said")

    def test_recv_gives_no_more_than_was_asked_for(self) -> None:
        """The rest stays, and is read next."""
        for bench in self.benches():
            bench.do("to write", bench.one.sendall, b"abcdef")
            found = [bench.do("to read two bytes", bench.other.recv, 2) for _ in range(2)]
            hold(all(len(part) <= 2 for part in found), "recv gave more than it was asked for")
            left = 6 - len(b"".join(found))
            rest = bench.do("to read the rest", read_exactly, bench.other, left)
            hold(b"".join(found) + rest == b"abcdef", "bytes were lost between two short reads")

    def test_buffers_are_gathered_in_order(self) -> None:
        """Where there is a `sendmsg`, it takes several buffers, and says how many bytes that were."""
        for bench in self.benches():
            gather = getattr(bench.one, "sendmsg", None)
            if gather is None:
                continue
            error = bench.error("to gather no buffers", gather, [])
            hold(error is None, f"sendmsg is there, where netstructer takes it, and does not work: {error!r}")
            taken = bench.do("to gather buffers", gather, [b"ab", bytearray(b"cd"), memoryview(b"ef")])
            found = bench.do("to read", read_exactly, bench.other, taken)
            hold(taken > 0, "sendmsg took nothing")
            hold(found == b"abcdef"[:taken], "sendmsg did not take its buffers in order")

    # --- who may not go on --------------------------------------------------------------------------------------------

    def test_an_empty_reader_is_told(self) -> None:
        """With no time to wait, a read of nothing is a `BlockingIOError`."""
        for bench in self.benches():
            bench.other.settimeout(0.0)
            error = bench.error("to find that nothing is there", bench.other.recv, 1)
            hold(isinstance(error, BlockingIOError), f"a read of nothing raised {error!r}, not BlockingIOError")

    def test_a_full_writer_is_told(self) -> None:
        """With no time to wait, a write to where nobody reads is a `BlockingIOError`, sooner or later."""
        for bench in self.benches():
            taken, error = bench.do("to fill the transport", _fill, bench.one)
            hold(error is not None, f"{taken:,} bytes were taken with nobody reading, and there is no end to it")
            hold(isinstance(error, BlockingIOError), f"a full transport raised {error!r}, not BlockingIOError")

    def test_send_says_how_much_it_took(self) -> None:
        """Not a byte more or less than that arrives, be it a part of what was given."""
        for bench in self.benches():
            taken, _ = bench.do("to fill the transport", _fill, bench.one)
            found = bench.do("to read all that was taken", read_exactly, bench.other, taken)
            hold(found == pattern(taken), "send took other bytes than it said")
            bench.other.settimeout(0.02)
            error = bench.error("to find that no more came", bench.other.recv, 1)
            hold(isinstance(error, TimeoutError), "more arrived than send said that it took")

    def test_a_full_writer_can_go_on_once_somebody_reads(self) -> None:
        """`poll` says when there is room again."""
        for bench in self.benches():
            taken, _ = bench.do("to fill the transport", _fill, bench.one)
            reading = bench.task(read_exactly, bench.other, taken)
            wait = self.patience_seconds
            can = bench.do("to become writable", ready, bench.one, write=True, seconds=wait)
            hold(can, "a transport that was read empty never became writable")
            reading.result("to read what was taken")
            bench.one.settimeout(wait)
            bench.do("to write again", bench.one.sendall, b"on")
            hold(bench.do("to read again", read_exactly, bench.other, 2) == b"on", "bytes were lost")

    def test_a_reader_gives_up_in_time(self) -> None:
        """A read of nothing is a `TimeoutError` when the time is over, and no end of the transport."""
        for bench in self.benches():
            bench.other.settimeout(0.02)
            error = bench.error("to give up reading in time", bench.other.recv, 1)
            hold(isinstance(error, TimeoutError), f"a read that was too long raised {error!r}, not TimeoutError")

    def test_a_writer_gives_up_in_time(self) -> None:
        """A write with nobody reading is a `TimeoutError` when the time is over."""
        for bench in self.benches():
            bench.do("to fill the transport", _fill, bench.one)
            bench.one.settimeout(0.02)
            error = bench.error("to give up writing in time", bench.one.sendall, bytes(MOST_TAKEN_BYTES))
            hold(isinstance(error, TimeoutError), f"a write that was too long raised {error!r}, not TimeoutError")

    def test_what_comes_after_a_timeout_is_all_there(self) -> None:
        """A read that gave up has taken nothing."""
        for bench in self.benches():
            bench.other.settimeout(0.02)
            bench.error("to give up reading in time", bench.other.recv, 100)
            bench.do("to write", bench.one.sendall, b"afterwards")
            bench.other.settimeout(self.patience_seconds)
            found = bench.do("to read after a timeout", read_exactly, bench.other, 10)
            hold(found == b"afterwards", "a read that gave up took bytes with it")

    # --- poll ---------------------------------------------------------------------------------------------------------

    def test_poll_says_when_there_is_something_to_read(self) -> None:
        """Not before, and soon after."""
        for bench in self.benches():
            hold(not ready(bench.other, read=True, seconds=0.01), "poll says that bytes are there, and there are none")
            bench.do("to write", bench.one.sendall, b"x")
            wait = self.patience_seconds
            can = bench.do("to become readable", ready, bench.other, read=True, seconds=wait)
            hold(can, "bytes are there, and poll never says so")

    def test_poll_says_so_as_long_as_bytes_are_left(self) -> None:
        """What was not read yet is not hidden behind the descriptor, in a buffer of the transport's own."""
        for bench in self.benches():
            bench.do("to write", bench.one.sendall, b"ab")
            bench.do("to read one of two bytes", read_exactly, bench.other, 1)
            wait = self.patience_seconds / 2
            can = bench.do("to poll", ready, bench.other, read=True, seconds=wait)
            hold(can, "a byte is left, and poll does not say so: netstructer would wait for more for ever")

    def test_an_empty_transport_is_writable(self) -> None:
        """A fresh transport takes what comes first."""
        for bench in self.benches():
            wait = self.patience_seconds
            can = bench.do("to poll", ready, bench.one, write=True, seconds=wait)
            hold(can, "a fresh transport is not writable")

    # --- the whole ----------------------------------------------------------------------------------------------------

    def test_a_conversation_crosses_it(self) -> None:
        """Two sessions of netstructer's find each other over it, and what one sends the other gets."""
        for bench in self.benches():
            values: list[object] = ["hi", {1, 2, (3, None)}, "x" * 100_000]
            found = bench.do("to hold a conversation", converse, bench, values)
            hold(found == values, "a conversation did not arrive as it was sent")


def _write_each(transport: SocketLike, pieces: list[bytes]) -> None:
    for piece in pieces:
        transport.sendall(piece)


def _fill(transport: SocketLike) -> tuple[int, OSError | None]:
    """Write the pattern until the transport takes no more; return how many bytes it took, and what it raised."""
    transport.settimeout(0.0)
    taken = 0
    body = pattern(SLICE_BYTES)
    while taken < MOST_TAKEN_BYTES:
        try:
            taken += transport.send(body[taken % SLICE_BYTES :])
        except OSError as error:
            return taken, error
    return taken, None
