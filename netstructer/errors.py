"""Every error that netstructer raises.  Floor: GROUND.

One root, `NetstructerError`.  Below it the *type* says who is to blame:

    Misuse          the caller, here
    PeerFault       the peer broke the protocol, or the bytes were changed on the way
    Mismatch        both ends are sound but do not agree (key, version, identity, login)
    LinkLost        the world: a cut, a stall, a host that is not there
    LinkClosed      nobody: the peer said farewell, or this end was closed
    LimitReached    a stated limit, named with its figure
    LinkTimeout     the time that the caller allowed has passed
    RemoteError     an action failed at the peer

Each type also inherits the builtin that an ordinary `except` clause would name.  Facts are attributes, keyword-only at
birth, and travel through pickle (only `multiprocessing` of a user's own does that; netstructer never unpickles).
No error text holds a key, a password or a payload.
"""

from __future__ import annotations

from typing import Any, Self

__all__ = [
    "AnswerRefused",
    "BacklogFull",
    "BadCompression",
    "BadFrame",
    "BadSeal",
    "BadValue",
    "Banned",
    "Busy",
    "BytesGone",
    "CannotListen",
    "ConnectionCut",
    "CreditExceeded",
    "DigestMismatch",
    "Downgrade",
    "FileChanged",
    "FrameTooBig",
    "Gap",
    "IdentityChanged",
    "IllegalFrame",
    "InboxGap",
    "InvalidAddress",
    "InvalidBan",
    "InvalidCode",
    "InvalidIdentity",
    "InvalidKey",
    "InvalidKnownServers",
    "KeyRefused",
    "LimitReached",
    "LinkClosed",
    "LinkLost",
    "LinkTimeout",
    "LoginFailed",
    "MessageCancelled",
    "MessageTooBig",
    "Mismatch",
    "MissingDependency",
    "MissingKey",
    "Misuse",
    "NetstructerError",
    "NotNetstructer",
    "OutOfOrder",
    "OutboxDamaged",
    "OutboxFull",
    "PairingRefused",
    "PairingStopped",
    "PeerFault",
    "PortClosed",
    "RekeyOverdue",
    "RemoteError",
    "SessionLost",
    "SourceFailed",
    "SpoolFull",
    "Stalled",
    "TransferRefused",
    "UnknownServer",
    "Unreachable",
    "UnsafeName",
    "UnsendableValue",
    "VersionMismatch",
    "WrongCode",
]


class NetstructerError(Exception):
    """The root: catch this to catch all that netstructer raises."""

    def __init__(self, text: str = "", **facts: Any) -> None:
        super().__init__(text)
        for name, fact in facts.items():
            if not hasattr(type(self), name):
                raise TypeError(f"{type(self).__name__} has no fact named {name!r}")
            setattr(self, name, fact)

    def again(self) -> Self:
        """Return a fresh error that says the same: what is kept is raised in many threads, and tracebacks pile up."""
        fresh = type(self)(*self.args)
        fresh.__dict__.update(self.__dict__)
        fresh.__cause__ = self.__cause__
        return fresh


# --- the caller -------------------------------------------------------------------------------------------------------


class Misuse(NetstructerError):
    """The call cannot be right, whatever the peer does."""


class UnsendableValue(Misuse, TypeError):
    """The value holds something that does not travel; `path` says where, as in `value["jobs"][3].owner`."""

    path: str = ""


class MissingKey(Misuse, LookupError):
    """No key was given and none was found in the environment or the default key file."""


class InvalidKey(Misuse, ValueError):
    """The key is malformed, constant, or published; or it is not the one that an outbox was sealed under."""


class InvalidIdentity(Misuse, ValueError):
    """A server's identity, or the file that should hold it, is none."""


class InvalidKnownServers(Misuse, ValueError):
    """The file of known servers is not as it should be; `line` is the first that is not, counted from 1."""

    line: int = 0


class UnknownServer(Misuse, LookupError):
    """The server had to be a known one, and is not in the file of known servers."""


class InvalidAddress(Misuse, ValueError):
    """The address is not `(host, port)`, `"host:port"` or `"[v6]:port"`."""


class InvalidBan(Misuse, ValueError):
    """A ban names nobody, or the file that keeps bans holds something else."""


class InvalidCode(Misuse, ValueError):
    """What was typed is no pairing code; the text never holds what it was."""


class CannotListen(Misuse, OSError):
    """The server could not bind or listen; `stage` names the step that failed."""

    stage: str = ""


class MissingDependency(Misuse, ImportError):
    """An optional part was used without its extra; the text names the install command."""


# --- the peer ---------------------------------------------------------------------------------------------------------


class PeerFault(NetstructerError, ConnectionError):
    """The peer broke the protocol, or the bytes were changed on the way."""


class NotNetstructer(PeerFault):
    """What answered does not speak this protocol."""


class BadSeal(PeerFault):
    """A record did not verify.  Wrong tag and wrong padding are the same error, on purpose."""


class OutOfOrder(BadSeal):
    """A sealed record came twice, came late, or one before it is missing."""


class IllegalFrame(PeerFault):
    """A verified record is not legal here: kind, flags, stream, length or order."""


class BadFrame(IllegalFrame):
    """A frame's length cannot be the length of a token."""


class FrameTooBig(BadFrame):
    """A frame is longer than the state it came in allows."""

    limit: int = 0
    found: int = 0


class RekeyOverdue(IllegalFrame):
    """The peer kept one record key for longer than the protocol allows, or changed it too often."""


class Gap(IllegalFrame):
    """A reliable record is missing: a delivery number was skipped."""


class InboxGap(PeerFault):
    """A durable message does not follow the last one whose effects are in this database: rows between are not here."""

    expected: int = 0
    found: int = 0


class CreditExceeded(IllegalFrame):
    """The peer sent more than it had credit for."""


class BadValue(PeerFault, ValueError):
    """The bytes of a message are no value: not canonical, unknown, or over a budget."""


class BadCompression(PeerFault, ValueError):
    """The compressed payload is broken, incomplete, or not what was declared."""


# --- both -------------------------------------------------------------------------------------------------------------


class Mismatch(NetstructerError, ConnectionError):
    """Both ends are sound and do not agree."""


class KeyRefused(Mismatch, PermissionError):
    """The two ends do not hold the same key."""


class VersionMismatch(Mismatch):
    """The two ends have no protocol version, or no suite, in common."""


class Downgrade(VersionMismatch):
    """Somebody between the ends lowered the version."""


class IdentityChanged(Mismatch):
    """The server is not the one that was pinned."""

    expected: str = ""
    found: str = ""


class LoginFailed(Mismatch, PermissionError):
    """The user name or the password was not accepted."""


class WrongCode(Mismatch, PermissionError):
    """The two ends of a pairing had different codes, or somebody was between them.  The code is dead."""


class PairingRefused(Mismatch):
    """The other end of a pairing does not go on: the code was used, is dead, or something failed there."""


# --- the world --------------------------------------------------------------------------------------------------------


class LinkLost(NetstructerError, ConnectionError):
    """The link broke without a farewell: what was under way may or may not have arrived."""


class Unreachable(LinkLost):
    """No transport could be opened; `stage` is `"name"`, `"route"` or `"port"`."""

    stage: str = ""


class PortClosed(Unreachable, ConnectionRefusedError):
    """The host answered that nothing listens on that port."""


class ConnectionCut(LinkLost, ConnectionResetError):
    """The transport ended without the authenticated farewell."""


class AnswerRefused(ConnectionCut):
    """At a server: the client took the answer and left before it proved its key.  It may expect another identity; a
    hello that is played back ends so, too."""


class Stalled(LinkLost):
    """The peer has sent nothing, not even an answer to a ping, for as long as a live peer may be silent."""


class SessionLost(LinkLost):
    """The session cannot go on; `unacknowledged` lists the messages of unknown fate."""

    unacknowledged: tuple[Any, ...] = ()


class LinkClosed(NetstructerError, ConnectionError, EOFError):
    """The conversation is over: the peer said farewell, or this end was closed."""


# --- limits and time --------------------------------------------------------------------------------------------------


class LimitReached(NetstructerError):
    """A stated limit was reached; `limit` and `found` are in the unit that the text names."""

    limit: int = 0
    found: int = 0


class MessageTooBig(LimitReached, ValueError):
    """A message is over a budget of this end or of the peer."""

    path: str = ""


class MessageCancelled(NetstructerError):
    """One message was given up by the end that sent it or the end that received it; the link lives."""

    code: int = 0


class SourceFailed(MessageCancelled, OSError):
    """The bytes of a blob broke off: its source failed at the sender, or the disk on which they waited here gave back
    others.  What was read is not the whole."""


class SpoolFull(LimitReached, OSError):
    """The bytes of a message found no room; the link lives."""


class BytesGone(LimitReached, OSError):
    """Bytes of a blob that were read once are not kept any more: they made room for others."""


class BacklogFull(LimitReached):
    """Too much is waiting for the peer."""


class OutboxFull(BacklogFull, OSError):
    """The disk takes no more of an outbox; nothing of the message was kept."""


class Busy(LimitReached, ConnectionRefusedError):
    """The server takes no more links now."""


class Banned(LimitReached, PermissionError):
    """The server does not talk to this source or this account."""


class PairingStopped(LimitReached):
    """So many codes were tried in vain that no further one is shown."""


class LinkTimeout(NetstructerError, TimeoutError):
    """The time that the caller allowed has passed."""


# --- files ------------------------------------------------------------------------------------------------------------


class UnsafeName(NetstructerError, ValueError):
    """A name that is not taken from a peer, nor offered to one: somewhere it could mean another place or file."""

    name: str = ""


class FileChanged(NetstructerError, OSError):
    """A file changed while it was read; what arrived of it was dropped."""

    name: str = ""


class DigestMismatch(NetstructerError, OSError):
    """A file arrived with other bytes than its sender read; it was dropped."""

    name: str = ""


class TransferRefused(NetstructerError, PermissionError):
    """The other end does not take, or does not give, what was asked for."""

    name: str = ""


class OutboxDamaged(NetstructerError, OSError):
    """An outbox file is not what was written: `row` is the first row that is missing or has rotted, 0 where it is all
    of them.  Nothing of it is sent until somebody has decided what becomes of it (`netstructer.durable.salvage`)."""

    row: int = 0


class RemoteError(NetstructerError):
    """An action failed at the peer; `name` is its error's type there.  Never a traceback."""

    name: str = ""
