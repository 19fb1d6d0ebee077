"""The ceremony: from a short code to a long key, as two machines.  Floor: COMMONS.  Law: one guess, and no I/O.

Spec: protocol.md, "Pairing".  A code has 22 bits, so nothing may leave this process on which somebody could try all the
codes at leisure.  SPAKE2 gives that: each end sends one element of a group, blinded by the code, and both arrive at the
same secret if, and only if, they had the same code.  Whoever listens cannot tell one code from another by the elements;
whoever takes part has settled on one code before he can know whether it is the right one.  That is his one guess.

    client (`Visitor`)                              server (`Host`)
      CLIENT_SHARE     one element            ->
                                              <-    SERVER_SHARE     one element
      CLIENT_CONFIRM   a MAC                  ->                     the guess: wrong, and the code is dead
                                              <-    SERVER_CONFIRM   a MAC: the server, too, had the code
      WISH             the user name it wants ->                     from here on all is sealed
                                              <-    GRANT            key, user name, identity, place of the server
      HAVE             all of it is here      ->
                                              <-    INSTALLED        it is in the server's file
      DONE             it is in place here    ->

The client confirms first.  A server that went first would hand a MAC to whoever asks, and a stranger could try a code
on it and leave without a word; as it is, a stranger who leaves before his own MAC has learned nothing, and costs
nothing but time.  The MACs, and the keys that seal the rest, hang on both elements (the transcript), so a recording
fits no other ceremony.

The last three frames are two ends agreeing that both have it.  No order of words makes that certain over a line that
can break (somebody always speaks last): the client installs after the server has, and the server takes the key back
unless it hears DONE.  What is left is the loss of that last frame alone; then the client holds a key that the server
does not accept, and the server has said so on its screen.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from netstructer.codec.tokens import Opener, Sealer
from netstructer.errors import BadSeal, IllegalFrame, Misuse, PairingRefused, WrongCode
from netstructer.pairing.codes import read_code
from netstructer.pairing.frames import (
    HEAD_BYTES,
    Grant,
    Kind,
    Refusal,
    body_bytes,
    pack_grant,
    pack_head,
    pack_wish,
    read_grant,
    read_head,
    read_wish,
)
from netstructer.pairing.secret import Draw, Keys, derive, half

__all__ = [
    "Asked",
    "Confirmed",
    "Event",
    "Finished",
    "Granted",
    "Host",
    "Installed",
    "Taken",
    "Visitor",
    "Wished",
]

NO_TIME = 0
"""What the clear clock of the tokens says: nothing."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Server: the client's element is here; `answer` is due, which costs some milliseconds."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """Server: the client has the code; `confirm` is due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wished:
    """Server: the client would like this user name, or has no wish; `grant` is due."""

    user: str | None


@dataclass(frozen=True, slots=True)
class Taken:
    """Server: the client has all of it; once it is in the server's file, `installed` is due."""


@dataclass(frozen=True, slots=True)
class Finished:
    """Server: both ends have it in place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """Client: this is what it gets; `have` is due once it is sure to find room."""

    grant: Grant


@dataclass(frozen=True, slots=True)
class Installed:
    """Client: the server has it in place; once it is here, `done` is due."""


Event = Asked | Confirmed | Wished | Taken | Finished | Granted | Installed


class _End:
    """What both ends have in common: bytes in, at most one frame at a time; bytes out."""

    def __init__(self, first: Kind, *, refusable: bool) -> None:
        self._expected: Kind | None = first
        self._refusable = refusable
        self._due: type[object] | None = None
        self._held = bytearray()
        self._out = bytearray()
        self._sealer: Sealer | None = None
        self._opener: Opener | None = None

    @property
    def wanted(self) -> int:
        """How many bytes `receive` takes at most now; 0 while this end has to do something first, and in the end."""
        if self._expected is None:
            return 0
        whole = HEAD_BYTES if len(self._held) < HEAD_BYTES else HEAD_BYTES + body_bytes(self._expected)
        return whole - len(self._held)

    @property
    def over(self) -> bool:
        """Whether nothing more can come of this ceremony."""
        return self._expected is None and self._due is None

    def take(self) -> bytes:
        """Return what is to be sent now, and forget it."""
        out = bytes(self._out)
        self._out.clear()
        return out

    def receive(self, data: bytes) -> Event | None:
        """Take at most `wanted` bytes of the other end; return what came of them.

        Raises `WrongCode`; `PairingRefused`; `NotNetstructer`, `VersionMismatch`, `IllegalFrame` and `BadSeal` for
        bytes that are none of this ceremony's.  After an error the ceremony is over; what `take` gives may still go.
        """
        if len(data) > self.wanted:
            raise Misuse("expected no more bytes than are wanted")
        if not data:
            return None
        self._held += data
        try:
            if len(self._held) == HEAD_BYTES:
                self._read_head()
            if self.wanted:
                return None
            assert self._expected is not None
            kind, self._expected = self._expected, None
            frame = bytes(self._held)
            self._held.clear()
            event = self._read(kind, frame)
        except BaseException:
            self._end()
            raise
        self._due = None if event is None or isinstance(event, Finished) else type(event)
        return event

    def _read_head(self) -> None:
        assert self._expected is not None
        kinds = (self._expected, Kind.REFUSAL) if self._refusable else (self._expected,)
        kind, code = read_head(bytes(self._held), *kinds)
        if kind is Kind.REFUSAL:
            raise _refused(code)

    def _read(self, kind: Kind, frame: bytes) -> Event | None:
        raise NotImplementedError

    def _end(self) -> None:
        self._expected = self._due = None

    def _now(self, due: type[object]) -> None:
        if self._due is not due:
            raise Misuse("expected to be called when the ceremony has come so far")
        self._due = None

    def _send(self, kind: Kind, body: bytes = b"", *, code: int = 0) -> bytes:
        frame = pack_head(kind, code) + body
        self._out += frame
        return frame

    def _send_sealed(self, kind: Kind, plain: bytes = bytes(1)) -> None:
        assert self._sealer is not None
        self._send(kind, bytes(self._sealer.seal(bytes([kind]) + plain, NO_TIME)))

    def _open(self, kind: Kind, frame: bytes) -> bytes:
        assert self._opener is not None
        plain = bytes(self._opener.open(frame[HEAD_BYTES:]))
        if plain[0] != kind:
            raise BadSeal("the seal of a record does not verify")
        return plain[1:]


class Host(_End):
    """The server's end of one ceremony.

    What is due after each event is said there; `refuse` may be called at any time.
    """

    def __init__(self) -> None:
        super().__init__(Kind.CLIENT_SHARE, refusable=False)
        self._client_share = b""
        self._keys: Keys | None = None

    def answer(self, code: str, draw: Draw) -> None:
        """Answer the client's element, under the code that counts now.  Takes some milliseconds of arithmetic.

        Raises `IllegalFrame` where it is no element of the group.
        """
        self._now(Asked)
        spake = half("SPAKE2_B", code, draw)
        server_share = self._send(Kind.SERVER_SHARE, spake.start()[1:])
        try:
            self._keys = derive(spake, b"A", self._client_share, server_share, self._client_share)
        except IllegalFrame:
            self._out.clear()
            raise
        self._expected = Kind.CLIENT_CONFIRM

    def confirm(self) -> None:
        """Tell the client that this end, too, has the code."""
        self._now(Confirmed)
        assert self._keys is not None
        self._send(Kind.SERVER_CONFIRM, self._keys.server_confirm)
        self._sealer, self._opener = Sealer(self._keys.server_seal), Opener(self._keys.client_seal)
        self._expected = Kind.WISH

    def grant(self, grant: Grant) -> None:
        """Give the client what it came for.  Raises `Misuse` for what has no place in a grant."""
        plain = pack_grant(grant)
        self._now(Wished)
        self._send_sealed(Kind.GRANT, plain)
        self._expected = Kind.HAVE

    def installed(self) -> None:
        """Tell the client that its key is in place here."""
        self._now(Taken)
        self._send_sealed(Kind.INSTALLED)
        self._expected = Kind.DONE

    def refuse(self, why: Refusal) -> None:
        """End the ceremony and say why, in a hint that the client cannot verify."""
        self._end()
        self._send(Kind.REFUSAL, code=why)

    def _read(self, kind: Kind, frame: bytes) -> Event | None:
        match kind:
            case Kind.CLIENT_SHARE:
                self._client_share = frame
                return Asked()
            case Kind.CLIENT_CONFIRM:
                assert self._keys is not None
                if not hmac.compare_digest(frame[HEAD_BYTES:], self._keys.client_confirm):
                    self._send(Kind.REFUSAL, code=Refusal.WRONG_CODE)
                    raise WrongCode("a wrong code was tried: this code is dead")
                return Confirmed()
            case Kind.WISH:
                return Wished(user=read_wish(self._open(kind, frame)))
            case Kind.HAVE:
                self._word(kind, frame)
                return Taken()
            case _:
                self._word(kind, frame)
                return Finished()

    def _word(self, kind: Kind, frame: bytes) -> None:
        if self._open(kind, frame) != bytes(1):
            raise IllegalFrame("expected nothing in this frame")


class Visitor(_End):
    """The client's end of one ceremony: `take` has its element from the beginning.

    Raises `InvalidCode`, `Misuse` for a user name that is none, `MissingDependency` without `spake2`.
    """

    def __init__(self, code: str, draw: Draw, *, user: str | None = None) -> None:
        super().__init__(Kind.SERVER_SHARE, refusable=True)
        self._wish = pack_wish(user)
        self._spake = half("SPAKE2_A", read_code(code), draw)
        self._share = self._send(Kind.CLIENT_SHARE, self._spake.start()[1:])
        self._server_confirm = b""

    def have(self) -> None:
        """Tell the server that all of the grant is here and sure to find room."""
        self._now(Granted)
        self._send_sealed(Kind.HAVE)
        self._expected = Kind.INSTALLED

    def done(self) -> None:
        """Tell the server that it is in place here."""
        self._now(Installed)
        self._send_sealed(Kind.DONE)

    def _read(self, kind: Kind, frame: bytes) -> Event | None:
        match kind:
            case Kind.SERVER_SHARE:
                keys = derive(self._spake, b"B", self._share, frame, frame)
                self._server_confirm = keys.server_confirm
                self._sealer, self._opener = Sealer(keys.client_seal), Opener(keys.server_seal)
                self._send(Kind.CLIENT_CONFIRM, keys.client_confirm)
                self._expected = Kind.SERVER_CONFIRM
                return None
            case Kind.SERVER_CONFIRM:
                if not hmac.compare_digest(frame[HEAD_BYTES:], self._server_confirm):
                    raise _wrong_code()
                self._send_sealed(Kind.WISH, self._wish)
                self._expected = Kind.GRANT
                return None
            case Kind.GRANT:
                return Granted(grant=read_grant(self._open(kind, frame)))
            case _:
                if self._open(kind, frame) != bytes(1):
                    raise IllegalFrame("expected nothing in this frame")
                return Installed()


def _wrong_code() -> WrongCode:
    return WrongCode(
        "the other end has another code, or somebody is in between: this code is dead, "
        "and the other end shows the next one"
    )


def _refused(code: int) -> WrongCode | PairingRefused:
    if code == Refusal.WRONG_CODE:
        return _wrong_code()
    return PairingRefused(_REASONS.get(code, "the other end does not go on"))


_REASONS: dict[int, str] = {
    Refusal.SPENT: "this code was used before, or is dead: take the one that the other end shows now",
    Refusal.BUSY: "the other end has heard too much from this address: try again with the next code",
    Refusal.FAILED: "the other end could not finish: its screen says why",
}
