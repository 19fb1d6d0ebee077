"""Strangers: transports that have not proved a key, and what a server says to them.  Floor: COMMONS.

Law: no socket, thread, clock or chance here, and no byte is asked for that the ceremony has no use for.  Spec:
protocol.md, "Handshake", "Budgets before authentication".

A stranger is at most 128 bytes, and later a session that expects its first record.  A door puts what comes into
`space()`, says how much with `filled`, writes `take_reply()` whatever was raised, and holds to `allowed_seconds`, which
run from the moment when the transport was accepted and are never extended.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from netstructer.codec.ciphers import Cipher
from netstructer.codec.frames import LENGTH_BYTES
from netstructer.errors import AnswerRefused, Banned, ConnectionCut, NetstructerError
from netstructer.keyring import KeyRing
from netstructer.keys import fingerprint_of
from netstructer.limits import Limits
from netstructer.porter import Porter
from netstructer.protocol.events import Ended, Event, Opened, ResumeAsked
from netstructer.protocol.handshake import (
    BANNED,
    BUSY,
    HELLO_BYTES,
    MAGIC,
    SHUTTING_DOWN,
    Agreement,
    ExpectHello,
    refusal,
)
from netstructer.protocol.noise import KeyPair
from netstructer.protocol.parameters import COMPRESSION, PADDING, RESUME, Parameters
from netstructer.protocol.session import Session
from netstructer.protocol.states import Role

__all__ = ["Ceremony", "Stranger"]

FEATURES = COMPRESSION | PADDING | RESUME


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceremony:
    """What one server proves to strangers and asks of them, and where its time and chance come from.

    `porter` decides.  `admits(user, fingerprint)` is asked when a key is proved and a new link is wanted: whether it is
    let in at all.  `make_room(ip, user)` is asked where there is no room for it then; it says whether there is now.
    With `stealth` who is refused is told nothing.
    """

    ring: KeyRing
    limits: Limits
    porter: Porter
    admits: Callable[[str | None, str], bool]
    make_room: Callable[[str, str | None], bool]
    instance: bytes
    identity: KeyPair | None
    ciphers: tuple[Cipher, ...]
    stealth: bool
    padding: str | None
    clock: Callable[[], float]
    wall: Callable[[], float]
    draw: Callable[[int], bytes]

    def is_full(self, ip: str, user: str | None, key_id: bytes) -> bool:
        """Say whether there is no place for a link from there, not even one that another makes."""
        if not self.admits(user, fingerprint_of(key_id)):
            return True
        return self.porter.full(ip, user) and not self.make_room(ip, user)


class Stranger:
    """One transport that has not proved a key.  Single owner.  `unwelcome` is why its hello will be refused, whatever
    it says.
    """

    __slots__ = ("_ceremony", "_count", "_hello", "_reply", "_unwelcome", "agreement", "ip", "session")

    def __init__(self, ceremony: Ceremony, ip: str, unwelcome: NetstructerError | None) -> None:
        self._ceremony, self._unwelcome = ceremony, unwelcome
        self._hello = memoryview(bytearray(HELLO_BYTES))
        self._count = 0
        self._reply = b""
        self.ip = ip
        self.agreement: Agreement | None = None
        self.session: Session | None = None

    @property
    def allowed_seconds(self) -> float:
        """How long after it was accepted it may still be where it is."""
        limits = self._ceremony.limits
        return limits.hello_seconds if self.session is None else limits.open_seconds

    def space(self) -> memoryview:
        """Return where received bytes go: no more of them than the ceremony has use for, which after the hello is the
        frame of an OPEN.
        """
        if self.session is None:
            return self._hello[self._count :]
        frames = self.session.frames
        return frames.space()[: LENGTH_BYTES + frames.limit_bytes - frames.held_bytes]

    def filled(self, count: int) -> list[Event]:
        """Take in that so many bytes have come, none at the end of the transport.

        Return what happened once the key is proved: `Opened` or `ResumeAsked` first, and nothing before.  Raises why
        the stranger is refused.
        """
        if self.session is None:
            if not count:
                raise ConnectionCut("the transport ended in the hello")
            self._count += count
            if self._count == HELLO_BYTES:
                self._answer(bytes(self._hello))
            return []
        session, now = self.session, self._ceremony.clock()
        if not count and not session.frames.held_bytes:
            raise AnswerRefused("the client took the answer and left before it proved its key")
        session.frames.filled(count)
        events = session.receive(now) if count else session.end(now)
        for event in events:
            if isinstance(event, Ended) and event.error is not None:
                self._reply = b"".join(session.frames_to_send(1, now))
                raise event.error
        return events if any(isinstance(event, (Opened, ResumeAsked)) for event in events) else []

    def take_reply(self) -> bytes:
        """Return what is to be written now, at most 168 bytes; once."""
        reply, self._reply = self._reply, b""
        return reply

    def decline(self) -> None:
        """Tell the client that the session which it asked for is not here."""
        assert self.session is not None
        self.session.decline()
        self._reply = b"".join(self.session.frames_to_send(1, self._ceremony.clock()))

    def send_off(self) -> None:
        """Tell one who may have said hello that the server shuts down."""
        if self.session is None and bytes(self._hello[: len(MAGIC)]) == MAGIC:
            self._turn_away(refusal(SHUTTING_DOWN))

    def _answer(self, hello: bytes) -> None:
        ceremony = self._ceremony
        try:
            if hello.startswith(MAGIC):  # What does not speak the protocol is told nothing.
                ceremony.porter.check_source(self.ip, self._unwelcome)
        except NetstructerError as error:
            self._turn_away(refusal(BANNED if isinstance(error, Banned) else BUSY))
            raise
        parameters = Parameters.of(ceremony.limits, FEATURES, instance=ceremony.instance)
        expected = ExpectHello(ceremony.ring, parameters, identity=ceremony.identity, ciphers=ceremony.ciphers)
        try:
            self.agreement = agreement = expected.receive(hello)
            ceremony.porter.check_holder(agreement.key_id, agreement.user)
        except Banned:
            self._turn_away(refusal(BANNED))
            raise
        except NetstructerError:
            self._turn_away(expected.answer)
            raise
        self._reply = agreement.answer
        self.session = Session(
            Role.SERVER,
            agreement,
            limits=ceremony.limits,
            now=ceremony.clock(),
            draw=ceremony.draw,
            wall=ceremony.wall,
            instance=ceremony.instance,
            padding=ceremony.padding,
            # Not by way of `self`, which has the session.
            full=partial(ceremony.is_full, self.ip, agreement.user, agreement.key_id),
            clock=ceremony.clock,
        )

    def _turn_away(self, answer: bytes) -> None:
        """Say why there will be no link, unless this server says nothing to strangers."""
        if not self._ceremony.stealth:
            self._reply = answer
