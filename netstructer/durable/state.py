"""The state: the one row of an outbox that says which rows there must be.  Floor: COMMONS.  Law: it is whole, or wrong.

One blob, written in every transaction that changes rows:

    version u8 · clean u8 · outbox id 16 · key id 8 · wrapped secret 60 ·
    trimmed u64 · tag of that row 16 · last u64 · tag of that row 16 · seal 16

Rows `trimmed + 1 … last` are there, neither more nor fewer.  `clean` is 1 after an orderly close, when nothing of the
outbox is anywhere but in its file.  The seal is an HMAC under a key of the file.
"""

from __future__ import annotations

import hmac
from struct import Struct
from typing import NamedTuple

from netstructer.durable.chain import NO_TAG, TAG_BYTES
from netstructer.durable.sealing import ID_BYTES, WRAPPED_BYTES

__all__ = ["State"]

VERSION = 1
_LAYOUT = Struct(f">BB{ID_BYTES}s8s{WRAPPED_BYTES}sQ{TAG_BYTES}sQ{TAG_BYTES}s")
_SEAL_BYTES = 16


class State(NamedTuple):
    """What an outbox says of itself."""

    clean: bool
    outbox: bytes
    key_id: bytes
    wrapped: bytes
    trimmed: int = 0
    trimmed_tag: bytes = NO_TAG
    last: int = 0
    last_tag: bytes = NO_TAG

    def pack(self, key: bytes) -> bytes:
        """Return it as it lies in the file, sealed with the file's key for that."""
        body = _LAYOUT.pack(VERSION, self.clean, *self[1:])
        return body + _seal(key, body)

    @classmethod
    def unpack(cls, packed: object) -> State | None:
        """Return what a blob says, before its seal is looked at: for the key id.  None for what can be no state."""
        if not isinstance(packed, bytes) or len(packed) != _LAYOUT.size + _SEAL_BYTES:
            return None
        version, clean, *rest = _LAYOUT.unpack_from(packed)
        return cls(bool(clean), *rest) if version == VERSION and clean in (0, 1) else None

    @staticmethod
    def verifies(packed: bytes, key: bytes) -> bool:
        """Say whether a state's seal is right."""
        return hmac.compare_digest(_seal(key, packed[: _LAYOUT.size]), packed[_LAYOUT.size :])


def _seal(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, body, "sha256")[:_SEAL_BYTES]
