"""What fails at the peer, in its actions.  Floor: GROUND."""

from __future__ import annotations

from netstructer.errors.root import NetstructerError

__all__ = ["RemoteError"]


class RemoteError(NetstructerError):
    """An action failed at the peer; `name` is its error's type there.  Never a traceback."""

    name: str = ""
