"""What a chat does not let happen.  Floor: GROUND."""

from __future__ import annotations

from netstructer.errors.limits import LimitReached
from netstructer.errors.mismatch import Mismatch
from netstructer.errors.misuse import Misuse

__all__ = ["ChatRefused", "InvalidText", "Muted", "NameTaken", "NotHere", "TooFast"]


class ChatRefused(Mismatch, PermissionError):
    """The chat does not let this happen, to this one or now."""


class NameTaken(ChatRefused):
    """Somebody else has the name, or it is that of an account or a key and cannot be changed."""


class NotHere(ChatRefused, LookupError):
    """Who or what was named is not here: a room that one is not in, somebody who is not connected, or the caller, who
    has not entered."""


class Muted(ChatRefused):
    """A moderator has taken the word from this one; `seconds` is for how much longer."""

    seconds: float = 0.0


class InvalidText(Misuse, ValueError):
    """What was given is no message: no text, nothing in it, too long, or not Unicode."""


class TooFast(LimitReached):
    """One link asks for more in a second than is served; `seconds` is when the next may come."""

    seconds: float = 0.0
