"""Courtesies: the actions that every link has.  Floor: COMMONS.  Law: they tell nothing that the caller may not know.

    link.call("netstructer.actions")        the names that this caller may call
    link.call("netstructer.ping", 1)        1

They stand behind all other tables, so an application's own of the same name comes first; that is warned of.
"""

from __future__ import annotations

from netstructer.actions import Actions, Context
from netstructer.errors import BadArguments

__all__ = ["COURTESIES"]

PING_BYTES = 1024
"""What `netstructer.ping` sends back at most: enough to see whether a value arrives as it was, too little to be of use
to anybody else."""

COURTESIES = Actions(shown=False)
"""The table behind those of all servers, and of all links of clients."""


@COURTESIES.on("netstructer.actions")
def names(context: Context) -> list[str]:
    """Return the names of the actions that the caller may call, in order."""
    return context.names()


@COURTESIES.on("netstructer.ping")
def ping(value: object = None, /) -> object:
    """Return what was given: None, a number, a text or bytes, all of them short."""
    if value is None or type(value) in (bool, float):
        return value
    if type(value) is int and value.bit_length() <= PING_BYTES * 8:
        return value
    if type(value) in (str, bytes) and len(value) <= PING_BYTES:  # type: ignore[arg-type]  # a str, or bytes
        return value
    raise BadArguments(f"expected None, a number, or a text or bytes of at most {PING_BYTES}", name="TypeError")
