"""What the drop-in names share: what is refused, and a look at what comes next.  Floor: ROOF.

Law: public names only.
"""

from __future__ import annotations

from netstructer import Link
from netstructer.errors import MessageTooBig, Misuse

__all__ = ["NotCarriedOver", "size_of_next"]


class NotCarriedOver(Misuse, NotImplementedError):
    """A name of a predecessor that does here what it did there in no form; the text says what to use instead."""


def size_of_next(link: Link, timeout: float | None) -> int:
    """Return the encoded bytes of the next value, without its blobs, and leave the value where it is.

    Waits and raises as `Link.recv` does, apart from `BadValue`: nothing is decoded.
    """
    try:
        link.recv(timeout=timeout, max_bytes=0)
    except MessageTooBig as error:
        return error.found
    raise AssertionError("a value of no bytes")  # None, the shortest, has one
