"""A proxy that breaks what goes through it, as told.  Floor: FAÇADES.

Law: it never holds more than its bounds of anybody's bytes, and does nothing that its plan or its owner did not say.

One thread with one selector serves all connections.  What the owner asks for (`strike`, `release`, `down`) is done in
that thread, and is done when the call returns.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeVar

from netstructer import sockets
from netstructer.address import Address, parse_address
from netstructer.errors import LinkTimeout, Misuse
from netstructer.testing.connection import RESET_ON_CLOSE, Connection, Side
from netstructer.testing.faults import Cut, Duplicate, Fault, Hold, Plan, Reset, faults_for

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["ChaosProxy", "Counters", "Happening"]

CLOSE_SECONDS = 10.0
"""How long the proxy's thread may take to do what it was asked: it never waits, so only a machine that is very busy."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What a proxy has done so far."""

    connections: int
    """How many were begun."""
    open: int
    """How many are open now, those not counted that were cut and only wait for their peers to notice."""
    unreachable: int
    """How many found nobody at the target."""
    cuts: int
    """How many were ended by a fault: `Cut`, `Reset`, and `Hold` with a count."""
    faults: dict[str, int]
    """How many of each fault have happened, by its name."""
    bytes_out: int
    """Bytes that the target was given, all in all."""
    bytes_in: int
    """Bytes that the connecting ends were given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """Something that a proxy did or saw, for `on_event`."""

    what: Literal["opened", "fault", "refused", "unreachable", "closed"]
    """A connection was begun; a fault took place in it; it was refused, because the proxy is `down`; nobody was at the
    target; it is over."""
    connection: int
    """Its number, from 0."""
    fault: Fault | None = None
    """Which one took place."""
    peer: Address | None = None
    """Who connected: with `"opened"` and `"refused"`."""
    bytes_out: int = 0
    """What the target had been given by then."""
    bytes_in: int = 0
    """What the connecting end had been given by then."""


class ChaosProxy:
    """A TCP proxy on a port of its own of this host, with faults on the way to `target`.

        with ChaosProxy(server.address, [[Cut(at=5000)]]) as proxy:
            link = Link(proxy.address, key=key)

    `plan` says what happens to which connection; see `netstructer.testing.faults`.  `seed` is where its chance comes
    from.  `buffer_bytes` are what one direction of one connection may hold, `hold_bytes` what it may while a `Hold`
    keeps it back; then its sender waits.  `listen` is where it listens instead.  `on_event(happening)` is called for
    each `Happening`, in the proxy's thread: it must not wait, and what it raises ends the proxy, and is raised by
    `close`.  Raises `Misuse`, `InvalidAddress` and `CannotListen`.
    """

    def __init__(
        self,
        target: tuple[str, int] | str,
        plan: Plan = (),
        *,
        seed: int = 0,
        buffer_bytes: int = 64 << 10,
        hold_bytes: int = 1 << 20,
        listen: tuple[str, int] | str = ("127.0.0.1", 0),
        on_event: Callable[[Happening], object] | None = None,
    ) -> None:
        if buffer_bytes < 1 or hold_bytes < 1:
            raise Misuse("expected buffer_bytes and hold_bytes of at least 1")
        self._target = parse_address(target)
        self._plan, self._seed, self._on_event = plan, seed, on_event
        self._bounds = {"buffer_bytes": buffer_bytes, "hold_bytes": hold_bytes}
        self._connections: list[Connection] = []
        self._count = self._unreachable = 0
        self._faults: Counter[str] = Counter()
        self._cuts = 0
        self._gone = {"out": 0, "in": 0}
        """Bytes that were passed on by connections that are no more."""
        self._is_down = self._closing = False
        self._asked: deque[Callable[[], None]] = deque()
        self._failure: BaseException | None = None
        self._listener = sockets.listening_socket(parse_address(listen))
        self._selector = selectors.DefaultSelector()
        self._bell, self._ear = socket.socketpair()
        self.address = Address(*self._listener.getsockname()[:2])
        """Where to connect instead of to the target."""
        for each in (self._bell, self._ear, self._listener):
            each.setblocking(False)
        self._selector.register(self._ear, selectors.EVENT_READ)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="netstructer-chaos-proxy", daemon=True)
        self._thread.start()

    # --- by hand ------------------------------------------------------------------------------------------------------

    def strike(self, fault: Fault, *, connection: int | None = None) -> int:
        """Let a fault happen now, to one connection or to all that are open; return to how many.

        Its `at` counts for nothing.  It goes before what the proxy still holds of that direction, which a `Cut` thus
        loses.  Raises `Misuse` for a `Duplicate`, which has to be planned, and once the proxy is closed.
        """
        if isinstance(fault, Duplicate):
            raise Misuse("a Duplicate has to be planned")

        def act() -> int:
            struck = [one for one in self._live() if connection is None or one.number == connection]
            now = time.monotonic()
            for one in struck:
                one.strike(fault, now)
            return len(struck)

        return self._do(act)

    def cut(self, *, connection: int | None = None) -> int:
        """Cut one connection, or all that are open; return how many."""
        return self.strike(Cut(), connection=connection)

    def reset(self, *, connection: int | None = None) -> int:
        """Reset one connection, or all that are open; return how many."""
        return self.strike(Reset(), connection=connection)

    def release(self, *, connection: int | None = None) -> int:
        """Let go what is stalled or held back, of one connection or of all; return how many bytes that is."""

        def act() -> int:
            now = time.monotonic()
            held = [one for one in self._connections if connection is None or one.number == connection]
            return sum(one.release(now) for one in held)

        return self._do(act)

    def down(self) -> int:
        """Cut every connection, and reset each new one, until `up`; return how many were cut."""

        def act() -> int:
            self._is_down = True
            struck = self._live()
            for one in struck:
                one.strike(Cut(), time.monotonic())
            return len(struck)

        return self._do(act)

    def up(self) -> None:
        """Let connections through again."""
        self._is_down = False

    @property
    def target(self) -> Address:
        """Where connections go; setting it counts from the next one on.  Raises `InvalidAddress`."""
        return self._target

    @target.setter
    def target(self, target: tuple[str, int] | str) -> None:
        self._target = parse_address(target)

    # --- facts --------------------------------------------------------------------------------------------------------

    @property
    def counters(self) -> Counters:
        """What has happened so far."""
        return self._do(self._counters) if self._thread.is_alive() else self._counters()

    @property
    def held_bytes(self) -> int:
        """How many bytes are kept back by `Hold`, all in all."""
        return self._do(lambda: sum(pipe.held_bytes for one in self._connections for pipe in one.pipes.values()))

    def _counters(self) -> Counters:
        passed = dict(self._gone)
        for one in self._connections:
            for direction, pipe in one.pipes.items():
                passed[direction] += pipe.passed_bytes
        return Counters(
            connections=self._count,
            open=len(self._live()),
            unreachable=self._unreachable + sum(one.unreachable for one in self._connections),
            cuts=self._cuts,
            faults=dict(self._faults),
            bytes_out=passed["out"],
            bytes_in=passed["in"],
        )

    def __repr__(self) -> str:
        return f"<ChaosProxy at {self.address} to {self.target}, seed {self._seed}>"

    # --- the end ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End every connection and the proxy's thread.  May be called twice.  Raises what went wrong in the thread."""
        self._closing = True
        self._ring()
        self._thread.join(CLOSE_SECONDS)
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def __enter__(self) -> ChaosProxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _do(self, act: Callable[[], T]) -> T:
        """Have something done in the proxy's thread; return what it returns."""
        found: list[T] = []
        done = threading.Event()

        def carry_out() -> None:
            found.append(act())
            done.set()

        self._asked.append(carry_out)
        self._ring()
        deadline = time.monotonic() + CLOSE_SECONDS
        while not done.wait(0.05):
            if not self._thread.is_alive():
                raise Misuse("the proxy is closed")
            if time.monotonic() > deadline:
                raise LinkTimeout("the proxy's thread did not answer in time")
        return found[0]

    def _ring(self) -> None:
        with contextlib.suppress(OSError):  # full of earlier rings, or closed
            self._bell.send(b"\0")

    def _run(self) -> None:
        try:
            while not self._closing:
                self._turn()
        except BaseException as error:  # Raised again by close(): a test must not pass over it.
            self._failure, self._on_event = error, None
        finally:
            for one in self._connections:
                one.abandon(reset=True)
            try:
                self._drop_closed()
            except BaseException as error:  # what `on_event` raised at the last
                self._failure = error
            self._selector.close()
            for each in (self._listener, self._bell, self._ear):
                each.close()

    def _turn(self) -> None:
        now = time.monotonic()
        dues = [one.due for one in self._connections if one.due is not None]
        for key, mask in self._selector.select(max(0.0, min(dues) - now) if dues else None):
            now = time.monotonic()
            if key.fileobj is self._listener:
                self._accept(now)
            elif key.fileobj is self._ear:
                self._ear.recv(4096)
            else:
                side: Side = key.data
                side.connection.ready(side, mask, now)
        now = time.monotonic()
        for one in self._connections:
            if one.due is not None and one.due <= now:
                one.step(now)
        while self._asked:
            self._asked.popleft()()
        self._drop_closed()

    def _accept(self, now: float) -> None:
        try:
            near, peer = self._listener.accept()
        except OSError:  # it was given up while it waited
            return
        number = self._count
        self._count += 1
        if self._is_down:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            near.close()
            self._report(Happening(what="refused", connection=number, peer=Address(*peer[:2])))
            return
        try:
            faults = faults_for(self._plan, number, self._seed)
            self._report(Happening(what="opened", connection=number, peer=Address(*peer[:2])))
        except BaseException:
            near.close()
            raise
        far = socket.socket(socket.AF_INET6 if ":" in self._target.host else socket.AF_INET)
        for each in (near, far):
            each.setblocking(False)
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        far.connect_ex(self._target)
        tell = partial(self._tell, number)
        one = Connection(number, near, far, faults, selector=self._selector, tell=tell, **self._bounds)
        self._connections.append(one)
        one.step(now)

    def _tell(self, number: int, fault: Fault) -> None:
        self._faults[type(fault).__name__] += 1
        if isinstance(fault, (Cut, Reset)) or (isinstance(fault, Hold) and fault.count is not None):
            self._cuts += 1
        if self._on_event is not None:
            out, back = next((_passed(one) for one in self._connections if one.number == number), (0, 0))
            self._report(Happening(what="fault", connection=number, fault=fault, bytes_out=out, bytes_in=back))

    def _report(self, happening: Happening) -> None:
        if self._on_event is not None:
            self._on_event(happening)

    def _live(self) -> list[Connection]:
        return [one for one in self._connections if not one.cut]

    def _drop_closed(self) -> None:
        closed = [one for one in self._connections if not one.open]
        if closed:
            self._connections = [one for one in self._connections if one.open]
            for one in closed:
                self._unreachable += one.unreachable
                for direction, pipe in one.pipes.items():
                    self._gone[direction] += pipe.passed_bytes
                what: Literal["unreachable", "closed"] = "unreachable" if one.unreachable else "closed"
                out, back = _passed(one)
                self._report(Happening(what=what, connection=one.number, bytes_out=out, bytes_in=back))


def _passed(one: Connection) -> tuple[int, int]:
    return one.pipes["out"].passed_bytes, one.pipes["in"].passed_bytes
