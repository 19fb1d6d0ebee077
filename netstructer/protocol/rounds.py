"""Rounds: the frames that one call seals, in order.  Floor: PROTOCOL.

Law: the place of a record is decided before it is sealed.  Long records may be left as drafts (records.py) until the
end of the round, and then be sealed all together, by whatever way the façade has to do several at the same time
(mate.py).  Here is no thread; where the façade has no such way, there is no draft.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from netstructer.codec import frames
from netstructer.protocol.records import Draft

__all__ = ["DRAFT_BYTES", "Round", "Together"]

Buffer = bytes | bytearray | memoryview
Together = Callable[[Sequence[Draft]], list[Buffer]]
"""Returns the tokens of drafts, in their order."""

DRAFT_BYTES = 32 << 10
"""From this length of its body on a record may be a draft: to give it away costs as much as to seal 8 KiB."""


class Round:
    """The buffers of one round.  Single owner."""

    __slots__ = ("_buffers", "_drafts", "_places", "byte_count")

    def __init__(self) -> None:
        self._buffers: list[Buffer] = []
        self._drafts: list[Draft] = []
        self._places: list[int] = []
        self.byte_count = 0

    def add(self, token: Buffer) -> None:
        """Take in a token."""
        self._buffers.extend(frames.pack(token))
        self.byte_count += frames.LENGTH_BYTES + len(token)

    def put(self, draft: Draft) -> None:
        """Take in a record that is sealed at the end of the round."""
        self._buffers.append(draft.token_bytes.to_bytes(frames.LENGTH_BYTES, "big"))
        self._places.append(len(self._buffers))
        self._buffers.append(b"")
        self._drafts.append(draft)
        self.byte_count += frames.LENGTH_BYTES + draft.token_bytes

    def sealed(self, together: Together | None) -> list[Buffer]:
        """Return all buffers, nothing being left to seal."""
        if together is not None and self._drafts:
            for place, token in zip(self._places, together(self._drafts), strict=True):
                self._buffers[place] = token
        return self._buffers
