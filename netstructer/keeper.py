"""The keeper: one thread that serves the links nobody is waiting in.  Floor: FAÇADES.

Law: it never waits for a link, only for all of them.  The theory is in `pump.py`.

Every 50 ms, while there are loose links, it takes those over whose reading turn nobody has taken since its last round:
their sockets go into its selector.  A caller that takes the turn takes the socket out again.

Timers (pings, the end of a silent peer, acknowledgements that are due) are looked at in rounds, too, those of a link
when its time has come (timers.py).  That time comes nearer where something was received: so it is asked for when a link
was attended to here, and when it is taken over; whoever waits in a link keeps its time himself, and links that callers
come to and leave again are looked at every half second.  Ten thousand silent links cost two looks each in the time of
a ping, and nothing in between.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import selectors
import socket
import threading
import time
from collections import deque
from enum import Enum
from typing import Protocol

from netstructer.timers import Timers

__all__ = ["Keeper", "Kept", "Standing", "current_keeper"]

logger = logging.getLogger("netstructer")

ROUND_SECONDS = 0.05
LOOSE_SECONDS = 0.5
"""How often the time of links is kept that callers come to and leave again."""
LONGEST_SECONDS = 3600.0
"""The longest sleep: a selector takes no infinity."""
EXIT_SECONDS = 0.5
"""How long the end of a process may wait for room for the last words of all its links together."""
BUSY_SECONDS = 0.001
"""Pause where a link could not be served because somebody works in it at this moment."""


class Standing(Enum):
    """Who looks after a link's socket."""

    LOOSE = "loose"
    WATCHED = "watched"
    ATTENDED = "attended"
    PARKED = "parked"
    """It has none now; only its time is kept."""


class Kept(Protocol):
    """What the keeper looks after: a pump."""

    standing: Standing
    uses: int
    ended: bool

    @property
    def transport(self) -> socket.socket: ...
    @property
    def reading(self) -> bool: ...
    @property
    def wants_to_write(self) -> bool: ...
    def attend(self, *, read: bool) -> bool: ...
    def rest(self) -> None: ...
    def due(self) -> float | None: ...
    def disown(self) -> None: ...
    def give_up(self) -> None: ...
    def leave_at_exit(self, patience_seconds: float) -> None: ...


class Keeper:
    """One background thread for all links of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._pumps: set[Kept] = set()
        self._loose: dict[Kept, int] = {}
        self._watched: dict[Kept, int] = {}
        self._abandoned: deque[Kept] = deque()
        self._nudged: dict[Kept, None] = {}
        self._timers: Timers[Kept] = Timers()
        self._untimed: deque[Kept] = deque()
        """Links whose time may have come nearer."""
        self._wake_reader, self._wake_writer = socket.socketpair()
        for end in (self._wake_reader, self._wake_writer):
            end.setblocking(False)
        self._selector.register(self._wake_reader, selectors.EVENT_READ, None)
        self._sleeping_long = False
        self._thread = threading.Thread(target=self._run, name="netstructer-keeper", daemon=True)
        self._thread.start()

    def add(self, pump: Kept) -> None:
        """Look after a new link."""
        with self._lock:
            self._pumps.add(pump)
            pump.standing = Standing.LOOSE
        self.loosen(pump)

    def park(self, pump: Kept) -> None:
        """Keep the time of a link that has no transport, and nothing else; `add` it when it has one."""
        with self._lock:
            self._pumps.add(pump)
            pump.standing = Standing.PARKED
            self._untimed.append(pump)
            wake = self._sleeping_long
        if wake:
            self._wake()

    def loosen(self, pump: Kept) -> None:
        """Take in that a caller has left a link: come by at the next round."""
        with self._lock:
            if not self._serves(pump):
                return
            pump.standing = Standing.LOOSE
            self._loose[pump] = pump.uses
            wake = self._sleeping_long
        if wake:
            self._wake()

    def release(self, pump: Kept) -> None:
        """Stop watching for what comes: a caller has taken the reading turn.  What waits for room stays ours."""
        with self._lock:
            if not self._serves(pump):
                return
            if pump.wants_to_write:
                self._watch(pump, selectors.EVENT_WRITE)
            else:
                self._unwatch(pump)
            pump.standing = Standing.LOOSE
            self._loose[pump] = pump.uses
            wake = self._sleeping_long
        if wake:
            self._wake()

    def watch(self, pump: Kept) -> None:
        """Look after a link at once, and not from the next round on: whoever worked in it goes to do something long."""
        with self._lock:
            if pump not in self._loose or pump.reading or not self._serves(pump):
                return
            self._take_over(pump)
            self._untimed.append(pump)
        if not _POLLS_LIVE:
            self._wake()

    def watch_writes(self, pump: Kept) -> None:
        """Go on writing what the socket did not take."""
        with self._lock:
            if not self._serves(pump):
                return
            events = selectors.EVENT_WRITE | (selectors.EVENT_READ if pump.standing is Standing.WATCHED else 0)
            if self._watched.get(pump) == events:
                return
            self._watch(pump, events)
        self._wake()

    def forget(self, pump: Kept) -> None:
        """Look after a link no more; its socket is about to be closed."""
        with self._lock:
            self._pumps.discard(pump)
            self._loose.pop(pump, None)
            self._timers.discard(pump)
            watched = pump in self._watched
            self._unwatch(pump)
        if watched and threading.current_thread() is not self._thread and not _POLLS_LIVE:
            self._wake()

    def abandon(self, pump: Kept) -> None:
        """End a link that nobody holds any more.  May be called by the collector, in the middle of anything: no
        lock."""
        self._abandoned.append(pump)
        self._wake()

    def nudge(self, pump: Kept) -> None:
        """Attend to a link soon, once for all nudges until then.  May be called by the collector: no lock."""
        if pump not in self._nudged:
            self._nudged[pump] = None
            self._wake()

    def leave(self) -> None:
        """At the end of the process: a link that nobody has closed tells its peer not to wait for it."""
        until = time.monotonic() + EXIT_SECONDS
        for pump in tuple(self._pumps):
            with contextlib.suppress(Exception):
                pump.leave_at_exit(max(0.0, until - time.monotonic()))

    def disown(self) -> None:
        """In a forked child: let go of every link and descriptor of the parent."""
        for pump in tuple(self._pumps):
            pump.disown()
        self._selector.close()
        self._wake_reader.close()
        self._wake_writer.close()

    # --- its thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        self._next_round = self._next_loose = 0.0
        while True:
            try:
                self._serve()
            except Exception as error:
                # A fault of ours must not end the pings of every link in the process.
                logger.error("the keeper: %s", type(error).__name__)
                time.sleep(ROUND_SECONDS)

    def _serve(self) -> None:
        """Wait for the sockets once, and do what is due."""
        busy = False
        for pump, events in self._ready(self._pause()):
            busy |= not _attend(pump, read=bool(events & selectors.EVENT_READ))
            self._settle(pump)
            self._untimed.append(pump)
        while self._abandoned:
            self._abandoned.popleft().give_up()
        again: list[Kept] = []
        for _ in range(len(self._nudged)):
            # Taken out first: who nudges from here on may have come too late for this time.
            pump, _ = self._nudged.popitem()
            if not (pump.ended or _attend(pump, read=False)):
                again.append(pump)
            self._untimed.append(pump)
        if again:
            self._nudged.update(dict.fromkeys(again))
            busy = True
        now = time.monotonic()
        if now >= self._next_round:
            self._next_round = now + ROUND_SECONDS
            self._round(now)
        if busy:
            time.sleep(BUSY_SECONDS)

    def _pause(self) -> float | None:
        with self._lock:
            if not self._pumps:
                # Who adds the next link wakes a sleeper, and only a sleeper.
                self._untimed.clear()
                self._sleeping_long = True
                return None
            self._ask_times()
            self._sleeping_long = not self._loose
            if self._nudged:
                return 0.0  # Who was busy is tried again.
            if self._loose:
                return ROUND_SECONDS
            first = self._timers.next()
            if first is None:
                return None
            now = time.monotonic()
            return max(0.0, self._next_round - now, min(first - now, LONGEST_SECONDS))

    def _ready(self, seconds: float | None) -> list[tuple[Kept, int]]:
        try:
            ready = self._selector.select(seconds)
        except OSError:
            # A descriptor was closed under a selector that copies its set; the next call sees the new one.
            return []
        found = []
        for key, events in ready:
            if key.data is None:
                with contextlib.suppress(OSError):
                    self._wake_reader.recv(1024)
            else:
                found.append((key.data, events))
        return found

    def _round(self, now: float) -> None:
        """Take over what has stayed loose, and do what has come due on what was busy."""
        taken: list[Kept] = []
        with self._lock:
            for pump, uses in tuple(self._loose.items()):
                if pump.uses == uses:
                    self._take_over(pump)
                    taken.append(pump)
                else:
                    self._loose[pump] = pump.uses
            self._untimed.extend(taken)
            self._ask_times()
            timed = self._timers.due(now)
            if now >= self._next_loose:
                self._next_loose = now + LOOSE_SECONDS
                timed += self._loose
        for pump in timed:
            _keep_time(pump, now)
        self._untimed.extend(timed)
        for pump in taken:
            pump.rest()

    def _take_over(self, pump: Kept) -> None:
        if pump.reading:
            pump.standing = Standing.ATTENDED
            if pump.reading:
                del self._loose[pump]
                return
            # The caller left between the two lines, and saw no need to say so.
        del self._loose[pump]
        pump.standing = Standing.WATCHED
        writes = selectors.EVENT_WRITE if pump.wants_to_write else 0
        self._watch(pump, selectors.EVENT_READ | writes)

    def _settle(self, pump: Kept) -> None:
        """Stop waiting for room where nothing waits to be written."""
        with self._lock:
            events = self._watched.get(pump, 0)
            if events & selectors.EVENT_WRITE and not pump.wants_to_write:
                if events & selectors.EVENT_READ:
                    self._watch(pump, selectors.EVENT_READ)
                else:
                    self._unwatch(pump)

    # --- under the lock ---------------------------------------------------------------------------------------------

    def _ask_times(self) -> None:
        while self._untimed:
            pump = self._untimed.popleft()
            if pump in self._pumps and pump.standing is not Standing.ATTENDED and (due := pump.due()) is not None:
                self._timers.advance(pump, due)

    def _serves(self, pump: Kept) -> bool:
        return pump in self._pumps and pump.standing is not Standing.PARKED

    def _watch(self, pump: Kept, events: int) -> None:
        try:
            if pump in self._watched:
                self._selector.modify(pump.transport, events, pump)
            else:
                self._selector.register(pump.transport, events, pump)
            self._watched[pump] = events
        except (OSError, ValueError, KeyError):
            self._watched.pop(pump, None)

    def _unwatch(self, pump: Kept) -> None:
        if self._watched.pop(pump, None) is not None:
            with contextlib.suppress(OSError, ValueError, KeyError):
                self._selector.unregister(pump.transport)

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._wake_writer.send(b"\0")


def _attend(pump: Kept, *, read: bool) -> bool:
    try:
        return pump.attend(read=read)
    except Exception as error:
        # A fault of ours in one link must not end the service of all others.
        logger.error("the keeper gave a link up: %s", type(error).__name__)
        return True


def _keep_time(pump: Kept, now: float) -> None:
    due = pump.due()
    if due is not None and now >= due and pump.standing is not Standing.ATTENDED:
        _attend(pump, read=False)


_POLLS_LIVE = selectors.DefaultSelector.__name__ != "SelectSelector"
"""Whether a change to the selector is seen by a call to it that is already waiting (epoll, kqueue)."""

_keeper: Keeper | None = None
_keeper_lock = threading.Lock()


def current_keeper() -> Keeper:
    """Return this process's keeper; the first call starts it."""
    global _keeper
    if _keeper is None:
        with _keeper_lock:
            if _keeper is None:
                _keeper = Keeper()
    return _keeper


@atexit.register
def _at_exit() -> None:
    if _keeper is not None:
        _keeper.leave()


def _after_fork() -> None:
    global _keeper, _keeper_lock
    _keeper_lock = threading.Lock()
    inherited, _keeper = _keeper, None
    if inherited is not None:
        inherited.disown()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
