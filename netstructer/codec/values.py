"""Python values <-> bytes, losing nothing and executing nothing.  Floor: CODEC.  Spec: docs/values.md.

This is the top step of the street: `encode` turns a value into buffers, `decode` turns bytes into the same value,
equal, with equal types, in the same order.  Law: one value has one encoding.  `encode(decode(data))` is `data` for
every `data` that `decode` accepts, and whatever it does not accept is `BadValue`.

The work is in encoder.py and decoder.py, or in their compiled twin (acceleration.py); here a refusal of the encoder's
is given its path and its documented type.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netstructer.codec import decoder, encoder
from netstructer.codec.acceleration import CHOICE
from netstructer.codec.blob import Blob
from netstructer.codec.collector import LARGE_BYTES, hurry, slow_down
from netstructer.codec.encoder import Encoded
from netstructer.codec.refusals import OverBudget, SourceFailed, Unsendable
from netstructer.codec.types import REGISTRY, Types
from netstructer.codec.walk import find_fault
from netstructer.errors import Misuse, UnsendableValue
from netstructer.limits import Limits

__all__ = ["Encoded", "decode", "encode"]

encode_value = encoder.encode_value if CHOICE.compiled is None else CHOICE.compiled.encode_value
decode_value = decoder.decode_value if CHOICE.compiled is None else CHOICE.compiled.decode_value


def encode(value: object, *, limits: Limits = Limits.DEFAULT, types: Types = REGISTRY) -> Encoded:
    """Encode a value for a peer that receives within `limits`.

    Large `bytes`, `bytearray` and arrays are handed out by reference: do not change them until the buffers are written.
    Raises `UnsendableValue` for what does not travel and `MessageTooBig` for what the peer would refuse, with the path,
    before anything is handed out.
    """
    try:
        return encode_value(value, limits, types)
    except (Unsendable, OverBudget) as error:
        raise find_fault(value, error, limits, types) from error.__cause__
    except (RuntimeError, LookupError, ValueError, BufferError) as error:
        raise UnsendableValue("value: it changed while it was encoded, or cannot be read", path="value") from error


def decode(
    source: bytes | bytearray | memoryview | Iterable[bytes | bytearray | memoryview],
    *,
    limits: Limits = Limits.DEFAULT,
    types: Types = REGISTRY,
    blobs: Sequence[Blob] = (),
) -> object:
    """Decode one value from its bytes, whole or as an iterable of chunks cut anywhere.

    `blobs` are those that the value refers to, in the order of its references.  Raises `BadValue` for anything that is
    no value in its one encoding, is of a type that is not registered, or is over a budget, and nothing else; what the
    iterable itself raises passes through unchanged.
    """
    if type(source) is not bytes and (isinstance(source, str) or not isinstance(source, Iterable)):
        raise Misuse(f"decode: expected bytes or an iterable of them, found a {type(source).__name__}")
    before = None if type(source) is bytes and len(source) < LARGE_BYTES else slow_down()
    try:
        return decode_value(source, limits, types, blobs)
    except SourceFailed as failed:
        raise failed.error from failed.error.__cause__
    finally:
        if before is not None:
            hurry(before)
