"""Two sessions of netstructer's, joined by wires: its protocol, without one socket and by a clock of the test's.

Floor: FAÇADES.  Law: what happens is what the calls of the test made happen, the same every time.

    pair = session_pair([[Cut(at=500)]])        # the first transport ends after 500 bytes; the ones after it are good
    pair.client.send(["hi", {1, 2}])
    pair.settle()                               # dials again, and lets time pass, until both ends have everything
    assert pair.server.received == [["hi", {1, 2}]]

Each end is the real protocol: a handshake under the pair's own key, records, acknowledgements, credit, resumption.  A
*dial* is a fresh `Wire`, to which the plan has said what happens.  Nothing moves by itself: `run` moves bytes until
nothing moves any more, `run(seconds)` lets time pass as well, `settle` does so until all is delivered.

Not here: `Blob`s, files, conversations and durable links, which need the threads of a real link (`link_pair`), and
strangers, budgets and handlers, which are a server's.  Lengths and places are the same in each run; of the sealed bytes
themselves the ivs are fresh.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Literal

from netstructer.codec.ciphers import CipherName, cipher_named
from netstructer.errors import LinkTimeout, Misuse, NetstructerError
from netstructer.keys import Key
from netstructer.limits import Limits
from netstructer.testing.clock import FakeClock
from netstructer.testing.faults import Plan, faults_for
from netstructer.testing.joining import Arriving, Dialling, Shape
from netstructer.testing.session_end import SessionEnd
from netstructer.testing.wire import Wire

__all__ = ["SessionPair", "session_pair"]

_AGAIN_SECONDS = 0.1
"""After what time it is tried again to do what is overdue."""


def session_pair(
    plan: Plan = (),
    *,
    seed: int = 0,
    key: Key | None = None,
    limits: Limits | None = None,
    server_limits: Limits | None = None,
    resume: bool = True,
    padding: Literal["bucket", "full"] | None = None,
    cipher: CipherName = "fernet",
    clock: FakeClock | None = None,
    buffer_bytes: int = 64 << 10,
) -> SessionPair:
    """Return two sessions that have dialled once, and run until nothing moved any more.

    They are open then, unless the plan ended or held up their first wire in the handshake: `settle` goes on from
    there.  `plan` and `seed` say what happens to which wire, as with `ChaosProxy`; `limits` are the client's, and the
    server's where it has none of its own.
    """
    pair = SessionPair(
        plan,
        seed=seed,
        key=key,
        limits=limits,
        server_limits=server_limits,
        resume=resume,
        padding=padding,
        cipher=cipher,
        clock=clock,
        buffer_bytes=buffer_bytes,
    )
    pair.dial()
    pair.run()
    return pair


class SessionPair:
    """A client and a server, the wires between them, and their clock.  `session_pair` makes it.  Single owner."""

    def __init__(
        self,
        plan: Plan = (),
        *,
        seed: int = 0,
        key: Key | None = None,
        limits: Limits | None = None,
        server_limits: Limits | None = None,
        resume: bool = True,
        padding: Literal["bucket", "full"] | None = None,
        cipher: CipherName = "fernet",
        clock: FakeClock | None = None,
        buffer_bytes: int = 64 << 10,
    ) -> None:
        self.clock = FakeClock() if clock is None else clock
        self.key = Key.generate() if key is None else key
        self.client, self.server = SessionEnd("client"), SessionEnd("server")
        self.wires: list[Wire] = []
        """One for each dial."""
        self._plan, self._seed, self._buffer_bytes = plan, seed, buffer_bytes
        own = limits or Limits.DEFAULT
        shape: dict[str, Any] = {"resume": resume, "padding": padding, "clock": self.clock, "draw": _Draw(seed)}
        shape["cipher"] = cipher_named(cipher)
        self._client_shape = Shape(limits=own, **shape)
        self._server_shape = Shape(limits=server_limits or own, **shape)
        self._dialling: Dialling | None = None
        self._arriving: list[Arriving] = []

    @property
    def ends(self) -> tuple[SessionEnd, SessionEnd]:
        """The client, the server."""
        return self.client, self.server

    @property
    def wire(self) -> Wire | None:
        """The wire of the last dial."""
        return self.wires[-1] if self.wires else None

    @property
    def settled(self) -> bool:
        """Whether both ends are open on one wire, and have everything of each other; or one of them is over."""
        if any(end.ended for end in self.ends):
            return True
        if self.client.wire is None or self.server.wire is None or self._dialling is not None:
            return False
        joined = self.client.wire.wire is self.server.wire.wire and not any(end.suspended for end in self.ends)
        return joined and not any(end.unacknowledged or end.unsent or (end.reading and end._inbox) for end in self.ends)

    # --- what a test does ---------------------------------------------------------------------------------------------

    def dial(self) -> Wire:
        """Begin on a fresh wire: the client's hello is written, and nothing moved yet.

        Raises `Misuse` where the client is on a wire, or its session is over.
        """
        if self.client.ended:
            raise Misuse("the client's session is over")
        if self.client.wire is not None or self._dialling is not None:
            raise Misuse("the client is on a wire: cut() it first")
        wire = self._fresh_wire()
        self.wires.append(wire)
        self._arriving.append(Arriving(wire.far, self.key, self._server_shape))
        self._dialling = Dialling(wire.near, self.key, self._client_shape, self.client.session)
        return wire

    def cut(self) -> None:
        """End the wire of now: both ends find out when they run."""
        if self.wire is not None:
            self.wire.cut()

    def run(self, seconds: float = 0.0) -> None:
        """Move bytes until nothing moves any more, and let so much time pass, each thing that is due at its time."""
        end = self.clock() + seconds
        self._tick()
        while True:
            while self._turn():
                pass
            due = self._due()
            if due is None or due > end:
                break
            self._let_pass(due)
        if end > self.clock():
            self._let_pass(end)
            while self._turn():
                pass

    def tick(self, seconds: float) -> None:
        """Let time pass at once, as for a process that was stopped, and then do what is due; no byte is moved."""
        self.clock.advance(seconds)
        self._tick()

    def settle(self, *, most_dials: int = 1000, seconds: float = 86_400.0) -> None:
        """Run, dial again where the client has no wire, and let time pass, until the pair is `settled`.

        Raises `LinkTimeout` after so many dials, or so much time by the clock.
        """
        deadline, last = self.clock() + seconds, len(self.wires) + most_dials
        while True:
            self.run()
            if self.settled:
                return
            if self.client.wire is None and self._dialling is None:
                if len(self.wires) >= last:
                    raise LinkTimeout(f"the pair did not settle in {most_dials} dials")
                self.dial()
                continue
            due = self._due()
            if due is None or due > deadline:
                raise LinkTimeout(f"the pair did not settle in {seconds:g} seconds")
            self._let_pass(due)

    # --- how it goes on -----------------------------------------------------------------------------------------------

    def _fresh_wire(self) -> Wire:
        faults = faults_for(self._plan, len(self.wires), self._seed)
        return Wire(faults, clock=self.clock, buffer_bytes=self._buffer_bytes)

    def _step_wires(self) -> None:
        for wire in self.wires:
            wire.step()

    def _turn(self) -> bool:
        """Let each end read and write once; say whether anything moved."""
        moved = self._dial_on()
        for arriving in tuple(self._arriving):
            moved = self._arrive(arriving) or moved
        for end in self.ends:
            moved = self._read(end) or moved
            moved = self._write(end) or moved
        return moved

    def _dial_on(self) -> bool:
        """Let the client's handshake go on; then its session is on the wire."""
        dialling, client = self._dialling, self.client
        if dialling is None:
            return False
        try:
            moved, session, events = dialling.go_on()
        except NetstructerError as error:
            self._dialling, client.failure = None, error
            dialling.wire.close()
            return True
        if session is not None:
            self._dialling = None
            if client.session is None:
                client.session = session
            client.wire = dialling.wire
            client._hear(events)
        return moved

    def _arrive(self, arriving: Arriving) -> bool:
        """Let a newcomer at the server go on, until it is the server's transport, or is gone."""
        server = self.server
        try:
            moved, happened = arriving.go_on(server.session)
        except NetstructerError as error:
            self._arriving.remove(arriving)
            server.failure = error
            return True
        if happened is not None:
            self._arriving.remove(arriving)
            session, events = happened
            server._leave()
            server.session, server.wire = session, arriving.wire
            server._hear(events)
        return moved

    def _read(self, end: SessionEnd) -> bool:
        session = end.session
        if end.wire is None or session is None:
            return False
        try:
            data = end.wire.read()
        except ConnectionError:
            data = b""
        if data is None:
            return False
        now = self.clock()
        if data:
            end._hear(session.receive_data(data, now))
        else:
            end._hear(session.end(now))
            end._leave()
        return True

    def _write(self, end: SessionEnd) -> bool:
        session = end.session
        if end.wire is None or session is None:
            return False
        if not end.unsent:
            end.unsent = b"".join(session.frames_to_send(max(1, end.wire.room_bytes), self.clock()))
        try:
            taken = end.wire.write(end.unsent)
        except ConnectionError:
            end.unsent = b""
            return False
        end.unsent = end.unsent[taken:]
        if end.ended and not end.unsent:
            end._leave()
        return taken > 0

    def _due(self) -> float | None:
        now = self.clock()
        dues = [wire.due for wire in self.wires]
        for end in self.ends:
            deadline = None if end.session is None else end.session.deadline()
            # What is overdue could not be done: an acknowledgement for which the wire has no room.  Look again.
            dues.append(deadline if deadline is None or deadline > now else now + _AGAIN_SECONDS)
        if self._dialling is not None:
            dues.append(self._dialling.deadline)
        return min((due for due in dues if due is not None and due > now), default=None)

    def _let_pass(self, due: float) -> None:
        self.clock.advance(due - self.clock())
        self._tick()

    def _tick(self) -> None:
        now = self.clock()
        self._step_wires()
        for end in self.ends:
            if end.session is not None:
                end._hear(end.session.tick(now))


class _Draw:
    """Chance that falls the same way for the same seed."""

    def __init__(self, seed: int) -> None:
        self._seed, self._count = seed, 0

    def __call__(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            self._count += 1
            found += sha256(f"{self._seed} {self._count}".encode()).digest()
        return found[:size]
