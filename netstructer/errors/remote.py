"""What fails at the peer, in its actions.  Floor: GROUND."""

from __future__ import annotations

from netstructer.errors.root import NetstructerError

__all__ = ["BadArguments", "CallCancelled", "NotPermitted", "RemoteError", "UnknownAction"]


class RemoteError(NetstructerError):
    """An action failed at the peer; `name` is its error's type there.  Never a traceback."""

    name: str = ""


class UnknownAction(RemoteError, LookupError):
    """The peer has no action of that name."""


class BadArguments(RemoteError, TypeError):
    """The action takes other arguments than it was called with."""


class NotPermitted(RemoteError, PermissionError):
    """The caller lacks the permission that the action needs; `permission` is its name, where this end knows it."""

    permission: str = ""


class CallCancelled(NetstructerError):
    """The caller of an action wants its result no more, or its time is over; at the caller, the peer has ended the
    call."""
