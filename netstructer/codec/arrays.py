"""array.array and numpy: data as one run of bytes.  Floor: CODEC.  Spec: docs/values.md, "Arrays".

Law: numpy is never imported to send.  At the sender it is looked at only if the program has imported it; at the
receiver it is imported, by this fixed name, when an array arrives.  The dtype comes from a closed list, never `object`:
numpy is given bytes and a layout, nothing that it would run.
"""

from __future__ import annotations

import math
import re
import sys
from array import array
from typing import Any

from netstructer.codec.refusals import Malformed, Unsendable

__all__ = ["RawBytes", "array"]


class RawBytes:
    """Bytes to be sent by reference and to arrive as a bytearray, which numpy can then write into."""

    __slots__ = ("view",)

    def __init__(self, view: memoryview) -> None:
        self.view = view


# --- array.array ------------------------------------------------------------------------------------------------------

_ARRAY_CODES = frozenset("bBhHiIlLqQfd")
"""Not `u` and `w`: text travels as text."""


def take_array(item: array[Any]) -> tuple[Any, ...]:
    """Return (type code, bytes an item, the data little-endian)."""
    if item.typecode not in _ARRAY_CODES:
        raise Unsendable(f"an array of type code {item.typecode!r} does not travel; send its text")
    if sys.byteorder == "big" and item.itemsize > 1:
        item = array(item.typecode, item)
        item.byteswap()
    return item.typecode, item.itemsize, memoryview(item).cast("B") if item else b""


def make_array(code: str, itemsize: int, raw: bytes) -> array[Any]:
    """Make an array again; raises `Malformed` where this machine's type code has another width."""
    if code not in _ARRAY_CODES:
        raise Malformed("an array's type code is not on the list")
    made = array(code)
    if made.itemsize != itemsize:
        raise Malformed(f"an array of {code!r} has {itemsize} bytes an item there and {made.itemsize} here")
    made.frombytes(raw)
    if sys.byteorder == "big" and itemsize > 1:
        made.byteswap()
    return made


# --- numpy ------------------------------------------------------------------------------------------------------------

_UNIT = r"(\[([1-9][0-9]{0,8})?(Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?"
_DTYPE = re.compile(
    rf"\|b1|\|[iu]1|[<>][iu][248]|[<>]f[248]|[<>]c(8|16)|[<>][mM]8{_UNIT}|\|S[1-9][0-9]{{0,7}}|[<>]U[1-9][0-9]{{0,7}}"
)
"""Every dtype that travels, as numpy's own `dtype.str` spells it.  Not: object, void and records, long double (its
width is the platform's), and texts of no length."""

_MOST_DIMENSIONS = 32


def numpy_kind(cls: type) -> str | None:
    """Return "array" or "scalar" if the class is numpy's own, else `None`; does not import numpy."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(getattr(numpy, "ndarray", None), type):
        return None
    if cls is numpy.ndarray:
        return "array"
    return "scalar" if issubclass(cls, numpy.generic) and cls.__module__ == "numpy" else None


def take_ndarray(item: Any) -> tuple[Any, ...]:
    """Return (dtype, shape, whether in Fortran order, the data): by reference if it is contiguous, else a copy."""
    text = _dtype_text(item.dtype)
    numpy = sys.modules["numpy"]
    fortran = item.flags.f_contiguous and not item.flags.c_contiguous
    flat = numpy.ascontiguousarray(item.T if fortran else item).reshape(-1)
    raw = flat.view("u1")
    if item.dtype.kind == "b" and item.size and raw.max() > 1:
        raw = (raw != 0).view("u1")
    _check_text(item.dtype, flat, Unsendable)
    return text, item.shape, fortran, RawBytes(memoryview(raw))


def make_ndarray(text: str, shape: tuple[Any, ...], fortran: bool, raw: bytearray) -> Any:
    """Make an array over `raw`, without a copy; raises `Malformed`."""
    dtype = _dtype(text)
    if len(shape) > _MOST_DIMENSIONS or any(type(length) is not int or length < 0 for length in shape):
        raise Malformed("an array's shape is not a tuple of lengths")
    if math.prod(shape) * dtype.itemsize != len(raw):
        raise Malformed(f"an array of shape {shape} and dtype {text} comes with {len(raw)} bytes")
    numpy = sys.modules["numpy"]
    if dtype.kind == "b" and raw and numpy.frombuffer(raw, "u1").max() > 1:
        raise Malformed("an array of bool holds a byte that is neither 0 nor 1")
    flat = numpy.frombuffer(raw, dtype)
    _check_text(dtype, flat, Malformed)
    made = flat.reshape(shape, order="F" if fortran else "C")
    if fortran and made.flags.c_contiguous:
        raise Malformed("an array that is in both orders says Fortran")
    return made


def take_numpy_scalar(item: Any) -> tuple[Any, ...]:
    """Return (dtype, bytes)."""
    dtype = item.dtype
    # Fixed-width text cannot hold a trailing NUL, and text of no length has no dtype of its own.
    if dtype.kind in "SU" and (not item or item[-1:] in ("\0", b"\0")):
        raise Unsendable("a numpy text that is empty or ends in NUL does not travel; send a str or bytes")
    dtype = dtype.newbyteorder("<")
    text = _dtype_text(dtype)
    array = sys.modules["numpy"].array(item, dtype)
    _check_text(dtype, array, Unsendable)
    return text, array.tobytes()


def make_numpy_scalar(text: str, raw: bytes) -> Any:
    """Make a scalar of this dtype; raises `Malformed`."""
    dtype = _dtype(text)
    if text[0] == ">" or len(raw) != dtype.itemsize:
        raise Malformed("a numpy scalar is not in its one form")
    if dtype.kind == "b" and raw[0] > 1:
        raise Malformed("a numpy bool is neither 0 nor 1")
    flat = sys.modules["numpy"].frombuffer(raw, dtype)
    _check_text(dtype, flat, Malformed)
    made = flat[0]
    if dtype.kind in "SU" and made.dtype != dtype:
        raise Malformed("a numpy text ends in NUL")
    return made


def _dtype_text(dtype: Any) -> str:
    text: str = dtype.str
    if dtype.names is not None or dtype.subdtype is not None or not _DTYPE.fullmatch(text):
        raise Unsendable(f"a numpy dtype {dtype!r} does not travel")
    return text


def _dtype(text: str) -> Any:
    if not _DTYPE.fullmatch(text):
        raise Malformed("a numpy dtype is not on the list")
    try:
        import numpy
    except ImportError:
        raise Malformed("the value holds a numpy array and numpy is not installed here: pip install numpy") from None
    dtype = numpy.dtype(text)
    if dtype.str != text:
        raise Malformed("a numpy dtype is not spelled in its one way")
    return dtype


def _check_text(dtype: Any, flat: Any, refusal: type[Exception]) -> None:
    """Refuse what is no code point: numpy itself finds out only when the item is read, with an error of its own."""
    if dtype.kind == "U" and flat.size:
        points = flat.reshape(-1).view(dtype.str[0] + "u4")
        if points.max() > 0x10FFFF:
            raise refusal("a numpy text holds a number that is no character")
