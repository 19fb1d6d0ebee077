# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: auto_pickle=False, binding=False
"""The two loops of encoder.py and decoder.py, compiled.  Floor: CODEC.  Never needed: acceleration.py says which runs.

The common nodes (scalars, small containers, small sets) are read and written here; for the rarer ones the same Python
functions are called that the two loops in Python call.  Law: the bytes are the same, and so are the errors, their texts
and their figures: every budget is counted and asked for in the order in which encoder.py and decoder.py do it.

Nothing recurses: open containers are levels in an array, and what they hold stands on a stack of references.  Whatever
another thread may change (lists, dicts, sets) is copied there in one go before any other code can run.  Every
`BREATH` nodes a function in Python is called, in which the interpreter does what it does between two lines of Python:
signals, other threads, collections.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_CheckExact
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.list cimport PyList_CheckExact, PyList_GET_SIZE
from cpython.long cimport PyLong_CheckExact
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.set cimport PyAnySet_CheckExact
from cpython.tuple cimport PyTuple_CheckExact, PyTuple_GET_SIZE
from cpython.unicode cimport PyUnicode_CheckExact
from libc.string cimport memcmp, memcpy

from netstructer.codec import tags
from netstructer.codec.arrays import RawBytes
from netstructer.codec.blob import Blob
from netstructer.codec.breath import breathe
from netstructer.codec.bulk import classify, is_set_run, pack_run, unpack_run
from netstructer.codec.closing import CLOSE_LONG_LIST, CLOSE_TABLE, close, make_set
from netstructer.codec.collisions import ATOMS, Weights, check_collisions, look_again
from netstructer.codec.decoder import TAKE_BYTES, bad_value
from netstructer.codec.encoder import REFERENCE_BYTES, Encoded, blob_reference
from netstructer.codec.heads import Short, big_int, is_weighty, open_container, read_blob, read_length, run_head
from netstructer.codec.opening import open_entry, open_form
from netstructer.codec.refusals import Malformed, OverBudget, Unsendable
from netstructer.codec.source import Source
from netstructer.codec.spans import SHORT_BYTES
from netstructer.codec.structs import FRACTION, SURROGATES, struct_of_class
from netstructer.codec.text import widening_of
from netstructer.codec.walk import type_name

__all__ = ["SOURCES", "decode_value", "encode_value"]

include "_fast_c.pxi"

SOURCES = NS_SOURCES.decode("ascii")
"""The digest of the sources that this was built from, by which acceleration.py knows a build that is out of date."""

for _name, _value in (
    ("BULK_FROM", BULK_FROM), ("FIX_DICT", FIX_DICT), ("FIX_LIST", FIX_LIST), ("FIX_STR", FIX_STR),
    ("FIX_TUPLE", FIX_TUPLE), ("NEGATIVE", NEGATIVE), ("INT", INT), ("INT_BIG", INT_BIG), ("FLOAT", FLOAT),
    ("NONE", NONE), ("FALSE", FALSE), ("TRUE", TRUE), ("STR", STR), ("BYTES", BYTES), ("LIST", LIST), ("TUPLE", TUPLE),
    ("SET", SET), ("SET_RUN", SET_RUN), ("FROZENSET", FROZENSET), ("FROZENSET_RUN", FROZENSET_RUN), ("DICT", DICT),
    ("RUN", RUN), ("TABLE", TABLE), ("BLOB", BLOB), ("BYTEARRAY", BYTEARRAY), ("RUN_FLOATS", RUN_FLOATS),
    ("RUN_BOOLS", RUN_BOOLS), ("RUN_TEXTS", RUN_TEXTS), ("ROWS_LIST", ROWS_LIST), ("ROWS_TUPLE", ROWS_TUPLE),
    ("ROWS_DICT", ROWS_DICT), ("WIDE_ROW", WIDE_ROW),
    ("LENGTH_WIDE", LENGTH_WIDE), ("DICT_COST", DICT_COST), ("SET_COST", SET_COST), ("BLOB_COST", BLOB_COST),
):
    if getattr(tags, _name) != _value:
        raise ImportError(f"built for another alphabet: {_name} is {_value}")

if ATOMS != {str, bytes, int, float, bool, type(None)}:
    raise ImportError("built for other atoms")

cdef object _ATOMS = ATOMS
cdef long long _REFERENCE_BYTES = REFERENCE_BYTES
cdef long long _TAKE_BYTES = TAKE_BYTES
cdef long long _SHORT_BYTES = SHORT_BYTES

include "_fast_bulk.pxi"
include "_fast_encoder.pxi"
include "_fast_decoder.pxi"
