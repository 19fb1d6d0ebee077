"""A second reader of sessions, made from docs/protocol.md alone: what two ends say goes in, in order; values come out.

Law: nothing of netstructer is imported here, nor in the modules that this one stands on (`reader_*.py`, a noun each, at
most 300 lines), so that what it shares with the package is the specification alone.  Each record is held against all
that both ends have said before.  One that breaks a rule is `Refused`, under the name that the page has for it.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from hashlib import sha256
from struct import unpack

from reader_direction import Direction
from reader_parts import LENGTHS, Kind, Limits, Stated, legal
from reader_records import Records
from reader_structs import expect


class Session:
    """What two ends say, on one transport after the other.  `client` and `server` are the limits of each."""

    def __init__(self, client: Limits, server: Limits, *, instance: bytes, binding: bytes = b"") -> None:
        self.client, self.server = Direction(Kind.OPEN, server), Direction(Kind.ACCEPT, client)
        self.client.other, self.server.other = self.server, self.client
        self.instance, self.binding = instance, binding
        self.id, self.secret, self.mode, self.lives = b"", b"", 0, False

    def begin(self) -> None:
        """Take in that another transport begins; the one before is over."""
        self.client.begin()
        self.server.begin()

    def cut(self, own: Direction) -> None:
        """Take in that a transport has ended: the end of all, where the peer has left and this end owes it nothing."""
        owed = own.next_number - (own.farewell is not None)
        self.lives = self.lives and not (own.other.farewell and own.other.stated.expected >= owed)

    def take(self, speaker: Direction, kind: int, flags: int, stream: int, body: bytes) -> None:
        """Hear what one of them says."""
        if speaker.begun or (kind == Kind.ALERT and speaker is self.server):
            return speaker.take(kind, flags, stream, body)
        legal(kind == speaker.first and not (flags or stream), "OPEN or ACCEPT is the first record")
        legal(len(body) == LENGTHS[kind][0], "the length of a body")
        (self._open if kind == Kind.OPEN else self._accept)(body)
        speaker.begun = True
        speaker.kinds.append(kind)
        return None

    def _proof(self, label: bytes) -> bytes:
        return hmac.digest(self.secret, label + self.binding, sha256)

    def _open(self, body: bytes) -> None:
        mode, zero, session, secret, expected, following, limit, instance = unpack(">B3s16s32sQQQ16s", body)
        legal(mode in (1, 2) and zero == bytes(3), "a known mode, and zeros")
        if mode == 1:
            legal((expected, following, instance) == (1, 1, bytes(16)), "a new session begins at its beginning")
            self.id, self.secret, self.client.stated = session, secret, Stated(limit=limit)
        else:
            fits = (
                self.lives and session == self.id and secret == self._proof(b"ns1 open") and instance == self.instance
            )
            expect(fits, "there is that session, and both have its secret", "SessionLost")
            self._goes_on(self.client, expected, following, limit, "SessionLost")
        self.mode = mode

    def _accept(self, body: bytes) -> None:
        status, zero, session, instance, expected, following, limit, _ = unpack(">B3s16s16sQQQI", body)
        legal(status < 4 and zero == bytes(3), "a known status, and zeros")
        expect(status != 2, "the session is known", "SessionLost")
        expect(status != 3, "there is a place", "Busy")
        legal(status == self.mode - 1, "what was asked for is answered")
        legal(session == (self._proof(b"ns1 accept")[:16] if status else self.id), "the name, or the proof")
        legal(instance == self.instance, "the instance of the server")
        if status:
            return self._goes_on(self.server, expected, following, limit, "IllegalFrame")
        legal((expected, following) == (1, 1), "a new session begins at its beginning")
        self.lives, self.server.stated = True, Stated(limit=limit)
        return None

    def _goes_on(self, end: Direction, expected: int, following: int, limit: int, name: str) -> None:
        expect(end.stated.expected <= expected <= end.other.next_number, "what it has was sent", name)
        expect(following >= end.next_number, "a number is given once", name)
        expect(limit >= end.stated.limit, "credit is not taken back", name)
        end.stated, end.other.again = end.stated._replace(limit=limit), expected


def read_session(
    session: Session, c2s: bytes, s2c: bytes, said: Iterable[tuple[bool, bytes]], *, suite: int = 1
) -> None:
    """Read one transport: what was sealed by the client (True) and the server, in the order in which it was."""
    wires = {}
    for speaker, secret in ((session.client, c2s), (session.server, s2c)):
        before_open = speaker.first == Kind.OPEN
        wires[speaker.first] = Records(secret, speaker.limits.body_bytes, suite=suite, before_open=before_open)
    for by_client, sealed in said:
        speaker = session.client if by_client else session.server
        wire = wires[speaker.first]
        wire.feed(sealed)
        while (record := wire.next()) is not None:
            session.take(speaker, *record)
            if record.kind == Kind.REKEY:
                wire.rekey()
