"""Frames to draw: what a stream of them holds, and what may become of it on the way.  Floor: FAÇADES.

Law: what is drawn is sealed by the package's own writer; chance is an argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netstructer.codec import frames
from netstructer.codec.ciphers import CipherName, cipher_named
from netstructer.errors import Misuse
from netstructer.limits import Limits
from netstructer.protocol.records import RecordWriter
from netstructer.protocol.states import Kind

__all__ = ["Drawn", "FrameStream", "Mutation", "mutate", "sealed"]

SECONDS = 1_700_000_000
"""The clock that the tokens state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One record before it is sealed."""

    kind: int
    flags: int = 0
    stream: int = 0
    body: bytes = b""
    pad_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameStream:
    """A stream of whole frames, and the records in them."""

    records: tuple[Drawn, ...]
    frames: tuple[bytes, ...]

    @property
    def wire(self) -> bytes:
        """The frames one behind the other."""
        return b"".join(self.frames)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """A stream, what became of it, and how many of its frames stand unchanged at the start."""

    stream: FrameStream
    wire: bytes
    unchanged: int


def sealed(records: Sequence[Drawn], secret: bytes, cipher: CipherName = "fernet") -> FrameStream:
    """Return the frames of records, under a first traffic secret of 32 bytes; a REKEY steps its key.

    Raises `Misuse` for a secret of another length, and for a cipher that is none.
    """
    if len(secret) != 32:
        raise Misuse("expected a traffic secret of 32 bytes")
    writer = RecordWriter(secret, Limits.DEFAULT, 0.0, cipher_named(cipher))
    tokens = []
    for record in records:
        if record.kind == Kind.REKEY:
            tokens.append(writer.rekey(seconds=SECONDS, now=0.0, pad_bytes=record.pad_bytes))
        else:
            tokens.append(
                writer.write(
                    record.kind, record.flags, record.stream, record.body, seconds=SECONDS, pad_bytes=record.pad_bytes
                )
            )
    return FrameStream(records=tuple(records), frames=tuple(b"".join(frames.pack(token)) for token in tokens))


def mutate(stream: FrameStream, how: str, place: int, extra: int) -> Mutation:
    """Return a stream changed in one way: `"flip"`, `"cut"`, `"insert"` at a byte, `"drop"`, `"double"`, `"swap"` at a
    frame; `place` and `extra` are taken modulo what there is.
    """
    whole, parts = stream.wire, list(stream.frames)
    if how in ("flip", "cut", "insert"):
        at = place % len(whole)
        if how == "flip":
            wire = whole[:at] + bytes([whole[at] ^ (1 << extra % 8)]) + whole[at + 1 :]
        elif how == "cut":
            wire = whole[:at]
        else:
            wire = whole[:at] + bytes([extra % 256]) + whole[at:]
    else:
        at = place % len(parts)
        if how == "drop":
            del parts[at]
        elif how == "double":
            parts.insert(at, parts[at])
        else:
            other = (at + 1 + extra % max(1, len(parts) - 1)) % len(parts)
            parts[at], parts[other] = parts[other], parts[at]
        wire = b"".join(parts)
    return Mutation(stream=stream, wire=wire, unchanged=_unchanged(stream, wire))


def _unchanged(stream: FrameStream, wire: bytes) -> int:
    count = end = 0
    for frame in stream.frames:
        end += len(frame)
        if wire[:end] != stream.wire[:end]:
            break
        count += 1
    return count
