"""Two sessions that lose their transport again and again: the bytes of each transport, and who knows that it is gone.

A `Line` is one transport: a queue of bytes each way, under secrets of its own.  The client is on one line or on none;
the server may still be on an older one, of which it does not know yet that it is dead.  What is left of a line when the
client has left it may come to the server late: before the takeover, when it is read like any other byte, or after it,
when the old frame reader gets it, as from a thread that was in the middle of a read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from netstructer.codec.frames import FrameReader
from netstructer.errors import SessionLost
from netstructer.limits import Limits
from netstructer.protocol.events import Event, ResumeAsked, Suspended
from netstructer.protocol.parameters import RESUME
from netstructer.protocol.session import Session
from netstructer.protocol.states import ENDED_STATES, Role, State
from pair import ALL_FEATURES, WALL, End, Pair, agreement, messages_in, session_of


@dataclass
class Line:
    """One transport."""

    frames: FrameReader
    """Where the server's end of it takes in bytes, now or late."""
    up: bytearray = field(default_factory=bytearray)
    """From the client to the server, under way."""
    down: bytearray = field(default_factory=bytearray)
    fresh: Session | None = None
    """The server's session there, while it is not known which one is meant."""
    closed: bool = False
    """Whether the server has seen it end: nothing more comes to it there."""


class RoamingPair(Pair):
    """A pair whose transport can be cut at any byte, and renewed."""

    def __init__(
        self,
        *,
        limits: Limits = Limits.DEFAULT,
        features: int = ALL_FEATURES | RESUME,
        padding: str | None = None,
        suite: int = 1,
    ) -> None:
        super().__init__(limits=limits, features=features, padding=padding, opened=False, suite=suite)
        self._limits, self._features, self._suite = limits, features, suite
        self.lines = self.cuts = self.resumes = self.declined = 0
        first = Line(self.server.session.frames, self.client.wire, self.server.wire)
        self.client_line: Line | None = first
        self.server_line: Line | None = first
        self.old: list[Line] = []
        """Lines that the client has left, and that still hold bytes for the server."""
        self.pump()
        assert {end.state for end in self.ends} == {State.READY}

    # --- bytes --------------------------------------------------------------------------------------------------------

    def carry(self, end: End, count: int | None = None) -> list[Event]:
        """Move bytes of one end to the other, if that is on the same line; a dead line swallows them."""
        line = self.client_line if end is self.client else self.server_line
        if line is None:
            return []
        if end is self.server:
            if self.client_line is not line:
                line.down.clear()
                return []
            return super().carry(end, count)
        return self._take_up(line, len(line.up) if count is None else min(count, len(line.up)))

    def late(self, pick: int, count: int) -> None:
        """Let bytes of a line that the client has left come to the server."""
        self.old = [line for line in self.old if line.up]
        if self.old:
            line = self.old[pick % len(self.old)]
            self._take_up(line, min(count, len(line.up)))

    def _take_up(self, line: Line, count: int) -> list[Event]:
        """Move bytes of a line to the server, as whoever reads that line there would."""
        piece = bytes(line.up[:count])
        del line.up[:count]
        if line.closed:
            return []
        line.frames.feed(piece)
        if line.fresh is not None and not self._knock(line):
            return []
        return self._happened(self.server.session.receive(self.now))

    def _knock(self, line: Line) -> bool:
        """Let the server's fresh session of a line hear what it can; say whether the line is the session's now."""
        fresh = line.fresh
        assert fresh is not None
        events = fresh.receive(self.now)
        if not any(isinstance(event, ResumeAsked) for event in events):
            assert events == []
            return False
        line.fresh = None
        session = self.server.session
        try:
            self._happened(session.adopt(fresh, self.now))
        except SessionLost:
            self.declined += 1
            # A claim that comes late, on a line that the client has left, may not fit any more.
            assert session.state in ENDED_STATES or self.client_line is not line, "a session that is here was declined"
            fresh.decline()
            line.down += b"".join(fresh.frames_to_send(1 << 20, self.now))
            if self.client_line is line:
                self._heard_at_client(self.client.session.receive_data(bytes(line.down), self.now))
            return False
        if self.server_line is not None and self.server_line is not line:
            self.server_line.down.clear()
        self.server_line, self.server.wire = line, line.down
        self.resumes += 1
        return True

    def _happened(self, events: list[Event]) -> list[Event]:
        self.server.events += events
        self.server.inbox += messages_in(events)
        return events

    def _heard_at_client(self, events: list[Event]) -> None:
        self.client.events += events
        self.client.inbox += messages_in(events)

    # --- transports ---------------------------------------------------------------------------------------------------

    def cut(self, up: int, down: int, *, client: bool = True, server: bool = True) -> None:
        """End the client's line after so many more bytes each way; say who notices now."""
        line = self.client_line
        if line is None:
            return
        self.cuts += 1
        self.carry(self.client, up)
        if self.server_line is line:
            self.carry(self.server, down)
        if server:
            self.notice_at_server()
        if client:
            self.notice_at_client()

    def notice_at_client(self) -> None:
        """Let the client take in that its line is gone."""
        if self.client_line is not None:
            self._leave_line(self.client.session.end(self.now))

    def tick(self) -> None:
        """Let both ends do what is due."""
        events = self.client.session.tick(self.now)
        if any(isinstance(event, Suspended) for event in events):
            self._leave_line(events)  # it was not taken up in time
        else:
            assert events == []
        assert self.server.session.tick(self.now) == []

    def _leave_line(self, events: list[Event]) -> None:
        line = self.client_line
        assert line is not None
        self.client_line, self.client.wire = None, bytearray()
        self._heard_at_client(events)
        if line.fresh is not None or self.server_line is line:
            self.old.append(line)

    def notice_at_server(self) -> None:
        """Let the server take in that its line is gone; what the client still sends there is lost."""
        line = self.server_line
        if line is None:
            return
        line.closed = True
        line.up.clear()
        self.server_line, self.server.wire = None, bytearray()
        self._happened(self.server.session.end(self.now))

    def redial(self) -> bool:
        """Begin on a new line, at a client that has none; say whether it did."""
        session = self.client.session
        if self.client_line is not None or session.state is not State.SUSPENDED:
            return False
        self.lines += 1
        secrets = tuple(sha256(f"{self.lines} {way}".encode()).digest() for way in ("up", "down"))
        shape: dict[str, Any] = {"features": self._features, "secrets": secrets, "suite": self._suite}
        fresh = session_of(Role.SERVER, limits=self._limits, peer_limits=self._limits, now=self.now, wall=WALL, **shape)
        line = Line(fresh.frames, fresh=fresh)
        session.rejoin(agreement(Role.CLIENT, self._limits, **shape), self.now)
        self.client_line, self.client.wire = line, line.up
        return True

    def mend(self) -> None:
        """Renew the transport where there is none that both ends are on."""
        while self.client.session.suspended or self.client_line is not self.server_line:
            if any(end.state in ENDED_STATES for end in self.ends):
                return
            if self.client_line is None or self.client_line.fresh is None:
                self.notice_at_client()
                assert self.redial()
            self.seal(self.client)
            self.carry(self.client)
            self.seal(self.server)
            self.carry(self.server)

    @property
    def over(self) -> bool:
        """Whether an end has closed properly while the other one could not be told any more."""
        states = {end.state for end in self.ends}
        return State.CLOSED in states and states != {State.CLOSED}
