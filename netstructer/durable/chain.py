"""The chain: each row's tag is made over the one before.  Floor: COMMONS.  Law: no row can go, come or move unseen.

    tag(n) = HMAC-SHA256(chain key, tag(n - 1) ‖ n u64 ‖ sealed row), the first 16 bytes;  tag(0) is zeros

A row that rotted has another tag; one that is missing, doubled or in another place gives the next one another tag; and
rows missing at the end are missed by the state, which holds the tag of the last.
"""

from __future__ import annotations

import hmac

__all__ = ["NO_TAG", "TAG_BYTES", "matches", "next_tag"]

TAG_BYTES = 16
NO_TAG = bytes(TAG_BYTES)
"""What the first row follows."""


def next_tag(key: bytes, before: bytes, row: int, sealed: bytes) -> bytes:
    """Return the tag of a row, `before` being that of the row before it."""
    mac = hmac.new(key, before, "sha256")
    mac.update(row.to_bytes(8, "big"))
    mac.update(sealed)
    return mac.digest()[:TAG_BYTES]


def matches(key: bytes, before: bytes, row: int, sealed: bytes, tag: bytes) -> bool:
    """Say whether a row is the one that was chained here."""
    return hmac.compare_digest(next_tag(key, before, row, sealed), tag)
