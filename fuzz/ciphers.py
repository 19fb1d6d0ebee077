"""Ciphers of one key for all inputs: to derive a key and to build its ciphers takes longer than to read a record.

A `Sealer` and an `Opener` carry nothing from one token to the next (netstructer/codec/tokens.py, "The theory of the
long-lived cipher"), and the keys of a target's sessions are the same for each of its inputs.  So within `kept` a key is
derived once in the life of the process, and its ciphers are built once.  They draw no chance either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

from netstructer.codec import tokens
from netstructer.codec.tokens import Opener, Sealer
from netstructer.protocol import ratchet

__all__ = ["kept", "opener", "sealer"]

MOST = 1024
"""Keys of each kind: who moves on forty times a session comes to eighty."""


@contextmanager
def kept() -> Iterator[None]:
    """Let records be sealed and opened by ciphers that are there already; those of AES-256-GCM count, and are new."""
    before = ratchet.expand, tokens.Sealer, tokens.Opener
    ratchet.expand, tokens.Sealer, tokens.Opener = _expand, sealer, opener  # type: ignore[assignment,misc]
    try:
        yield
    finally:
        ratchet.expand, tokens.Sealer, tokens.Opener = before  # type: ignore[assignment,misc]


@lru_cache(MOST)
def sealer(key: bytes) -> Sealer:
    """Return what seals under a key, always with the same block of chance."""
    made = Sealer(key)
    made._draw = bytes
    return made


@lru_cache(MOST)
def opener(key: bytes) -> Opener:
    """Return what opens what was sealed under a key."""
    return Opener(key)


_derive: Callable[[bytes, bytes, int], bytes] = ratchet.expand
_expand = lru_cache(MOST)(_derive)
