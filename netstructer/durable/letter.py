"""Letters: what a row of an outbox holds.  Floor: COMMONS.  Law: how a value may travel is kept with it.

    row = flags u8 ‖ encoded value          flag 1: it may be compressed

Whether a value may be compressed was decided by whoever sent it: its length may tell a secret (protocol.md, "What
compression tells").  It is as true after a restart.
"""

from __future__ import annotations

from typing import NamedTuple

from netstructer.errors import OutboxDamaged

__all__ = ["Letter"]

COMPRESSIBLE = 1


class Letter(NamedTuple):
    """One message as it waits: its encoded value, and whether it may be compressed."""

    encoded: bytes
    compress: bool

    def pack(self) -> bytes:
        """Return it as a row."""
        return bytes((COMPRESSIBLE if self.compress else 0,)) + self.encoded

    @classmethod
    def unpack(cls, row: bytes) -> Letter:
        """Return what a row holds.  Raises `OutboxDamaged` for a row that no letter was packed into."""
        if not row or row[0] not in (0, COMPRESSIBLE):
            raise OutboxDamaged("a row of the outbox holds no message")
        return cls(row[1:], bool(row[0]))
