"""The mate: one more thread, which seals long records beside whoever seals.  Floor: FAÇADES.

Law: order is the session's; the mate only does the work.  What he does: protocol/records.py, `Draft`.

A Fernet record is sealed at the speed of one core: CBC is serial.  Two records, though, have nothing to do with each
other, and while OpenSSL computes, `cryptography` (50 and later) does not hold the interpreter.  So the long records of
a round, which have their numbers already, lie on a table: the caller takes one after the other, and so does the mate.
Whoever is late finds nothing left.  The caller goes on when all are sealed; he waits for the mate only where the mate
is in the middle of one.

One mate for all links of a process.  He serves one round at a time: a link that finds him busy seals alone, and so does
every link where he is of no use: with one processor, or with an older `cryptography`.  He is started by the first round
that has work for him, and lasts as the keeper does; he needs no link's lock, and knows nothing of sockets.

On a busy machine he does harm: he waits for a processor with a record in his hands, and the caller for him.  So every
round that he takes part in is judged.  Where it took more than `WORTH` of what the caller would have needed alone, by
the time that the caller needed for each of his own, the next rounds go without him: `LEAST_REST`, twice as many after
each further failure, up to `MOST_REST`; after a round that was worth it, `LEAST_REST` again.

Interrupted (Ctrl-C), the caller leaves at once, and the mate drops what he is in the middle of.  Nobody else uses the
sealers in his hands then: an interrupted round is the end of its session (pump.py).
"""

from __future__ import annotations

import itertools
import os
import queue
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from netstructer.codec import tokens
from netstructer.protocol.rounds import DRAFT_BYTES

if TYPE_CHECKING:
    from netstructer.protocol.records import Draft
    from netstructer.protocol.session import Session

__all__ = ["Mate", "current_mate", "engage", "useful"]

Buffer = bytes | bytearray | memoryview

WORTH = 0.9
LEAST_REST, MOST_REST = 16, 4096


class _Table:
    """The records of one round, and who seals which."""

    def __init__(self, drafts: Sequence[Draft]) -> None:
        self._drafts = drafts
        self._turn = itertools.count()
        """Whose `next` no other thread comes between."""
        self.tokens: list[Buffer | None] = [None] * len(drafts)
        self.error: BaseException | None = None
        """What the mate has come to grief on."""
        self.left = threading.Event()
        """Set when the mate has left the table."""

    def work(self, hand: int) -> int:
        """Seal what nobody has taken, until nothing is left; return how many."""
        drafts, tokens, turn = self._drafts, self.tokens, self._turn
        count = 0
        while (place := next(turn)) < len(drafts):
            tokens[place] = drafts[place].seal(hand)
            count += 1
        return count


class Mate:
    """The thread, and the way to it.  Thread-safe."""

    def __init__(self) -> None:
        self._busy = threading.Lock()
        """Held by the caller whose round it is."""
        self._tables: queue.SimpleQueue[_Table] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._rest, self._next_rest = 0, LEAST_REST
        """How many rounds go without him, and how many after the next failure."""

    def seal(self, drafts: Sequence[Draft]) -> list[Buffer]:
        """Return the tokens of the records, in their order.  Raises what sealing raises."""
        if len(drafts) > 1 and self._busy.acquire(blocking=False):
            try:
                if not self._rest:
                    return self._share(drafts)
                self._rest -= 1
            finally:
                self._busy.release()
        return [draft.seal(0) for draft in drafts]

    def _share(self, drafts: Sequence[Draft]) -> list[Buffer]:
        table = _Table(drafts)
        began = time.perf_counter()
        self._call(table)
        own = table.work(0)
        worked = time.perf_counter() - began
        if None in table.tokens:
            table.left.wait()
        if table.error is not None:
            raise table.error
        self.judge(time.perf_counter() - began, worked * len(drafts) / own if own else worked)
        return [token for token in table.tokens if token is not None]

    def judge(self, took_seconds: float, alone_seconds: float) -> None:
        """Decide, after a round, whether the next ones go without him."""
        if took_seconds <= alone_seconds * WORTH:
            self._next_rest = LEAST_REST
        else:
            self._rest, self._next_rest = self._next_rest, min(2 * self._next_rest, MOST_REST)

    def _call(self, table: _Table) -> None:
        self._tables.put(table)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="netstructer-mate", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            table = self._tables.get()
            try:
                table.work(1)
            except BaseException as error:
                table.error = error
            table.left.set()
            del table  # He holds nothing while he waits.


def useful() -> bool:
    """Say whether a second thread can seal while the first one does."""
    return tokens.SIDE_BY_SIDE and processors() > 1


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def engage(session: Session) -> int:
    """Let the mate help a session that has long records; return how much is sealed in one round: two of them."""
    unsent_bytes = session.limits.unsent_bytes
    if session.chunk_bytes < DRAFT_BYTES or not session.cipher.side_by_side or not useful():
        return unsent_bytes
    session.outflow.together = _seal_together
    return 2 * unsent_bytes


def _seal_together(drafts: Sequence[Draft]) -> list[Buffer]:
    return _mate.seal(drafts)


_mate = Mate()


def current_mate() -> Mate:
    """Return this process's mate, who may have no thread."""
    return _mate


def _after_fork() -> None:
    global _mate
    _mate = Mate()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
