"""Cancelling: what the code of a CANCEL says, and what it means at the other end.  Floor: PROTOCOL.

Law: every code has an error, and every error a code.  Spec: protocol.md, "Kinds and bodies" (CANCEL).
"""

from __future__ import annotations

from netstructer.errors import LinkClosed, MessageCancelled, MessageTooBig, NetstructerError, SpoolFull
from netstructer.protocol.states import CancelCode

__all__ = ["code_of", "error_of"]


def code_of(error: BaseException) -> CancelCode:
    """Return what the peer is told of an error; one that a source raised may have any code."""
    found = error.code if isinstance(error, MessageCancelled) else None
    return next((code for code in CancelCode if code == found), CancelCode.SOURCE_FAILED)


def error_of(code: int) -> NetstructerError:
    """Return what the sender of a message raises that its receiver gave up."""
    if code == CancelCode.TOO_BIG:
        return MessageTooBig("the peer takes no message of this size")
    if code == CancelCode.CLOSED:
        return LinkClosed("the peer closed the link before it had the blobs")
    if code == CancelCode.NO_ROOM:
        return SpoolFull("the peer has no room for this message")
    return MessageCancelled("the peer gave this message up", code=code)
