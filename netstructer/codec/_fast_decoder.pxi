# The loop of decoder.py.

cdef enum:
    # What an open container becomes when it is closed; closing.py has those from 0 on.
    CLOSE_ROOT = -5
    CLOSE_LIST = -4
    CLOSE_TUPLE = -3
    CLOSE_DICT = -2
    CLOSE_SET = -1
    KEPT_KEYS = 64  # how many keys of dicts are kept, so that those of many dicts are one object


cdef int CLOSE_TABLE_ = CLOSE_TABLE
cdef int CLOSE_LONG_LIST_ = CLOSE_LONG_LIST
cdef Py_ssize_t FAR = <Py_ssize_t>1 << (8 * sizeof(Py_ssize_t) - 2)
"""Lengths of this and more count as this: so many bytes are never there, and sums with it do not run over."""


cdef struct Open:
    int kind
    int tag  # of a set
    Py_ssize_t left  # children to come; of a set, of its present member
    Py_ssize_t base  # where its children begin on the stack
    PyObject *extra  # what close() needs to know
    long long members  # of a set: to come, the present one among them
    long long start  # where in the whole value the present one began
    long long previous  # and the one before it; -1 for none


@cython.final
@cython.no_gc
@cython.freelist(4)
cdef class _Decoder:
    """One value being decoded."""

    cdef bytes data
    cdef const unsigned char *raw
    cdef Py_ssize_t end
    cdef Py_ssize_t position
    cdef object feed
    cdef PyObject **work
    cdef Py_ssize_t top
    cdef Py_ssize_t work_room
    cdef Open *opens
    cdef Py_ssize_t depth
    cdef Py_ssize_t open_room
    cdef Py_ssize_t open_sets
    cdef long long items
    cdef long long wide
    cdef long long most_items
    cdef long long most_depth
    cdef long long most_alike
    cdef long long most_bytes
    cdef bint weighty
    cdef object limits
    cdef object types
    cdef object blobs
    cdef Py_ssize_t used_blobs
    cdef object weights
    cdef PyObject *keys[KEPT_KEYS]

    def __cinit__(self, bytes data, object feed, object limits, object types, object blobs):
        self.feed = feed
        self.limits = limits
        self.types = types
        self.blobs = blobs
        self.most_items = limits.value_items
        self.most_depth = limits.value_depth
        self.most_alike = limits.unseeded_members
        self.most_bytes = limits.value_bytes
        self.items = 1
        self._set_data(data)
        self.work_room = 64
        self.open_room = 8
        self.work = <PyObject **>PyMem_Malloc(self.work_room * sizeof(PyObject *))
        self.opens = <Open *>PyMem_Malloc(self.open_room * sizeof(Open))
        if self.opens != NULL:  # before anything is raised: what is let go of looks at it
            self.opens[0].kind = CLOSE_ROOT
            self.opens[0].left = 1
            self.opens[0].base = 0
            self.opens[0].extra = NULL
        if self.work == NULL or self.opens == NULL:
            raise MemoryError()

    def __dealloc__(self):
        cdef Py_ssize_t place
        if self.work != NULL:
            self._release(0)
        if self.opens != NULL:
            for place in range(self.depth + 1):
                if self.opens[place].extra != NULL:
                    Py_DECREF(<object>self.opens[place].extra)
        for place in range(KEPT_KEYS):
            if self.keys[place] != NULL:
                Py_DECREF(<object>self.keys[place])
        PyMem_Free(self.work)
        PyMem_Free(self.opens)

    cdef void _release(self, Py_ssize_t base) noexcept:
        while self.top > base:
            self.top -= 1
            Py_DECREF(<object>self.work[self.top])

    cdef void _set_data(self, bytes data) noexcept:
        self.data = data
        self.raw = <const unsigned char *>PyBytes_AS_STRING(data)
        self.end = PyBytes_GET_SIZE(data)

    cdef long long dropped(self) except -1:
        return 0 if self.feed is None else self.feed.dropped

    # --- bytes --------------------------------------------------------------------------------------------------------

    cdef int _more(self, need) except -1:
        """Gather the bytes that are missing up to index `need`."""
        cdef Py_ssize_t keep = self.position
        cdef Py_ssize_t place
        cdef Open *opened
        if self.feed is None:
            raise Malformed("the value ends too soon")
        if self.open_sets:
            for place in range(self.depth + 1):
                opened = &self.opens[place]
                if opened.kind == CLOSE_SET:
                    keep = (opened.start if opened.previous < 0 else opened.previous) - self.dropped()
                    break
        self._set_data(self.feed.more(self.data, keep, need))
        self.position -= keep
        return 0

    cdef int _short(self, Py_ssize_t need) except -1:
        raise Short(need)

    cdef Py_ssize_t _length(self, Py_ssize_t *at) except -1:
        """Read the length that stands there, and move on to behind it."""
        cdef Py_ssize_t place = at[0]
        cdef Py_ssize_t stop
        cdef unsigned long long length = 0
        cdef int width
        if place >= self.end:
            self._short(self.end + 1)
        if self.raw[place] < LENGTH_WIDE:
            at[0] = place + 1
            return self.raw[place]
        width = self.raw[place] - (LENGTH_WIDE - 1)
        stop = place + 1 + width
        if stop > self.end:
            self._short(stop)
        for place in range(place + 1, stop):
            length = length << 8 | self.raw[place]
        if length < LENGTH_WIDE or length >> 8 * (width - 1) == 0:
            raise Malformed("a length is longer than it need be")
        at[0] = stop
        # What is as long as this is not there: no matter by how much.
        return <Py_ssize_t>length if length < <unsigned long long>FAR else FAR

    cdef object _payload(self, Py_ssize_t start, Py_ssize_t size, bint mutable):
        """Return so many bytes from there, and go on behind them."""
        cdef object raw
        if size <= self.end - start:
            raw = bytes_of(<const char *>self.raw + start, size)
            self.position = start + size
            return raw
        if size < _TAKE_BYTES or self.open_sets or self.feed is None:
            self._short(start + size)
        raw, data = self.feed.take(self.data, start, size, mutable=mutable)
        self._set_data(data)
        self.position = 0
        return raw

    cdef int _widen(self, long long more) except -1:
        """Count the memory that a text takes beyond its bytes."""
        self.wide += more
        total = self.wide + self.position + self.dropped()
        if total > self.most_bytes:
            raise OverBudget("value_bytes", "bytes in memory", self.most_bytes, total)
        return 0

    # --- room ---------------------------------------------------------------------------------------------------------

    cdef int _grow(self) except -1:
        cdef void *moved = PyMem_Realloc(self.work, 2 * self.work_room * sizeof(PyObject *))
        if moved == NULL:
            raise MemoryError()
        self.work = <PyObject **>moved
        self.work_room *= 2
        return 0

    cdef int _append(self, object item) except -1:
        """Put a child on the stack, for which the loop has made room."""
        Py_INCREF(item)
        self.work[self.top] = <PyObject *>item
        self.top += 1
        self.opens[self.depth].left -= 1
        return 0

    cdef int _open(self, int kind, Py_ssize_t count) except -1:
        cdef void *moved
        cdef Open *opened
        if self.items > self.most_items:
            raise OverBudget("value_items", "items", self.most_items, self.items)
        if self.depth + 1 > self.most_depth:
            raise OverBudget("value_depth", "levels", self.most_depth, self.depth + 1)
        if self.depth + 1 == self.open_room:
            moved = PyMem_Realloc(self.opens, 2 * self.open_room * sizeof(Open))
            if moved == NULL:
                raise MemoryError()
            self.opens = <Open *>moved
            self.open_room *= 2
        self.opens[self.depth].left -= 1
        self.depth += 1
        opened = &self.opens[self.depth]
        opened.kind = kind
        opened.left = count
        opened.base = self.top
        opened.extra = NULL
        return 0

    # --- nodes --------------------------------------------------------------------------------------------------------

    cdef PyObject *_text(self, Py_ssize_t size) except NULL:
        """Read a short text, of which the bytes are there."""
        cdef const unsigned char *at = self.raw + self.position + 1
        cdef Open *opened = &self.opens[self.depth]
        cdef PyObject *text
        cdef PyObject **kept = NULL
        if opened.kind == CLOSE_DICT and not opened.left & 1:
            kept = &self.keys[ns_slot(at, size, KEPT_KEYS)]
            text = kept[0]
            if text != NULL and ns_is_text(text, at, size):
                Py_INCREF(<object>text)
                return text
        text = new_text(<const char *>at, size, NULL)
        if text == NULL:
            raised()
        if text_length(text) != size:
            self.wide += kind_width(text, size)
        elif kept != NULL:
            if kept[0] != NULL:
                Py_DECREF(<object>kept[0])
            kept[0] = text
            Py_INCREF(<object>text)
        return text

    cdef int _read_payload(self, int tag) except -1:
        """Read bytes, a bytearray, a longer text, or an int of more than 8 bytes."""
        cdef Py_ssize_t start = self.position + 1
        cdef Py_ssize_t size = self._length(&start)
        cdef object raw
        if tag == INT_BIG and size > self.limits.int_bits // 8 + 1:
            raise OverBudget("int_bits", "bits in an int", self.limits.int_bits, self._claimed() * 8)
        raw = self._payload(start, size, tag == BYTEARRAY)
        if tag == BYTES:
            return self._append(raw)
        if tag == BYTEARRAY:
            return self._append(raw if isinstance(raw, bytearray) else bytearray(raw))
        if tag == INT_BIG:
            return self._append(big_int(raw, self.limits.int_bits))
        if size < 32:
            raise Malformed("a short text has a long tag")
        if size < _SHORT_BYTES:
            text = raw.decode()
            if len(text) != size:
                self._widen(ns_widening(text, size))
            return self._append(text)
        if not raw.isascii():
            self._widen(widening_of(raw))
        return self._append(raw.decode())

    cdef object _claimed(self):
        """Return the length that stands behind the tag, however large."""
        return read_length(self.data, self.position + 1, self.end)[0]

    cdef int _read_set(self, int tag) except -1:
        """Read a set of ints of one byte, or open another one."""
        cdef Py_ssize_t start = self.position + 1
        cdef Py_ssize_t count = self._length(&start)
        cdef Py_ssize_t place
        cdef const unsigned char *at
        cdef PyObject *made
        cdef bint small
        cdef Open *opened
        if self.items + count + SET_COST > self.most_items:
            found = self.items + self._claimed() + SET_COST
            raise OverBudget("value_items", "items", self.most_items, found)
        if count > self.end - start:
            self._short(start + count)
        self.items += count + SET_COST
        at = self.raw + start
        if count < BULK_FROM:
            small = True
            for place in range(count):
                small = small and at[place] < 0x80
            if small:
                if count and self.depth >= self.most_depth:
                    raise OverBudget("value_depth", "levels", self.most_depth, self.depth + 1)
                for place in range(1, count):
                    if at[place - 1] >= at[place]:
                        raise Malformed("the members of a set are not in their order")
                made = ns_set_of_bytes(at, count, tag == SET)
                if made == NULL:
                    raised()
                self.work[self.top] = made
                self.top += 1
                self.opens[self.depth].left -= 1
                self.position = start + count
                return 0
        self.position = start
        if tag == FROZENSET:
            self.weighty = True
        self._open(CLOSE_SET, 1)
        self.open_sets += 1
        opened = &self.opens[self.depth]
        opened.tag = tag
        opened.members = count
        opened.start = self.position + self.dropped()
        opened.previous = -1
        return 0

    cdef int _read_run(self) except -1:
        cdef Py_ssize_t start, size
        cdef object raw = None
        cdef const unsigned char *at
        cdef PyObject *made = NULL
        cdef int run
        cdef long long count
        run, count, found, start = run_head(
            self.data, self.position, self.end, self.most_items - self.items, self.most_items
        )
        size = found if found < FAR else FAR
        if size <= self.end - start:
            at = self.raw + start
            self.position = start + size
        else:
            raw = self._payload(start, size, False)
            at = <const unsigned char *>PyBytes_AS_STRING(raw)
        if run < 4 or run == RUN_FLOATS or run == RUN_BOOLS:
            made = ns_unpack(run, count, at)
        elif run == RUN_TEXTS:
            made = ns_split(at, size, count)
        self.items += count
        if made != NULL:
            self.work[self.top] = made
            self.top += 1
            self.opens[self.depth].left -= 1
            return 0
        PyErr_Clear()
        if raw is None:
            raw = bytes_of(<const char *>at, size)
        if run == RUN_TEXTS and not raw.isascii():
            self._widen(widening_of(raw))
        return self._append(unpack_run(run, count, raw))

    cdef int _read_other(self, int tag) except -1:
        """Read a reference to a blob, or open a rarer container."""
        if tag == BLOB:
            if self.open_sets:
                raise Malformed("a Blob is a member of a set")
            blob, self.position = read_blob(self.data, self.position, self.end, self.blobs, self.used_blobs)
            self.used_blobs += 1
            self.items += BLOB_COST
            return self._append(blob)
        kind, detail, count, added, start = open_container(
            tag, self.data, self.position, self.end, self.types, self.most_items - self.items, self.most_items
        )
        if self.items + added > self.most_items:
            raise OverBudget("value_items", "items", self.most_items, self.items + added)
        self.weighty = self.weighty or is_weighty(tag, detail)
        self.items += added
        self.position = start
        self._open(kind, count)
        Py_INCREF(detail)
        self.opens[self.depth].extra = <PyObject *>detail
        return 0

    # --- closing ------------------------------------------------------------------------------------------------------

    cdef list _children(self, Py_ssize_t base, Py_ssize_t step):
        """Return what stands on the stack from there on, each or each second."""
        cdef Py_ssize_t place
        found = []
        for place in range(base, self.top, step):
            found.append(<object>self.work[place])
        return found

    cdef int _put(self, PyObject *made) except -1:
        """Close the innermost container: it has become this, a reference of the caller's own.  There is room for it."""
        self._release(self.opens[self.depth].base)
        self.depth -= 1
        self.work[self.top] = made
        self.top += 1
        return 0

    cdef int _close_dict(self, Py_ssize_t base, Py_ssize_t count) except -1:
        cdef PyObject *made
        try:
            if count > 2 * self.most_alike or (self.weighty and not ns_are_atoms(self.work + base, count, 2)):
                check_collisions(self._children(base, 2), self.most_alike, self.types, self.weights_())
            made = ns_dict_of(self.work + base, count)
            if made == NULL:
                raised()
        except OverBudget:
            raise
        except Exception as error:
            raise Malformed("the keys of a dict cannot be its keys") from error
        if 2 * PyDict_SizeOf(made) != count:
            Py_DECREF(<object>made)
            raise Malformed("a key is in a dict twice")
        return self._put(made)

    cdef object weights_(self):
        if self.weights is None:
            self.weights = Weights(fractions=False, later=False)
        return self.weights

    cdef int _close_member(self) except -1:
        """Close a member of a set, and with the last one the set."""
        cdef Open *opened = &self.opens[self.depth]
        cdef long long dropped = self.dropped()
        cdef Py_ssize_t start = opened.start - dropped
        cdef Py_ssize_t before = opened.previous - dropped
        cdef Py_ssize_t base = opened.base
        cdef Py_ssize_t count = self.top - base
        cdef Py_ssize_t size, another
        cdef PyObject *made
        cdef int found
        if opened.previous >= 0:
            size, another = self.position - start, start - before
            found = memcmp(self.raw + start, self.raw + before, size if size < another else another)
            if found < 0 or (found == 0 and size < another):
                raise Malformed("the members of a set are not in their order")
        opened.members -= 1
        if opened.members:
            opened.previous = opened.start
            opened.start = self.position + dropped
            opened.left = 1
            return 0
        self.open_sets -= 1
        if count < BULK_FROM and count <= self.most_alike and ns_are_atoms(self.work + base, count, 1):
            made = ns_set_of(self.work + base, count, opened.tag == SET)
            if made == NULL:
                raised()
            if set_size(made) != count:
                Py_DECREF(<object>made)
                raise Malformed("a member is in a set twice")
            return self._put(made)
        members = make_set(self._children(base, 1), opened.tag == SET, self.most_alike, self.types, self.weights_())
        Py_INCREF(members)
        return self._put(<PyObject *>members)

    cdef int _close_table(self, object extra) except -1:
        """Make the rows of a table from its columns; 0 where closing.py is to do it."""
        cdef Open *opened = &self.opens[self.depth]
        cdef Py_ssize_t base = opened.base
        cdef Py_ssize_t count, width, place
        cdef PyObject **columns
        cdef PyObject **keys = self.work + base
        cdef PyObject *like = NULL
        cdef PyObject *row
        cdef int kind = extra[0]
        if kind > ROWS_DICT:
            return 0
        width = extra[1]
        columns = self.work + self.top - width
        for place in range(width):
            if Py_TYPE(columns[place]) != LIST_TYPE or list_size(columns[place]) != list_size(columns[0]):
                return 0
        count = list_size(columns[0])
        if count < BULK_FROM or count * (1 + DICT_COST) > self.most_items - self.items:
            return 0
        if kind == ROWS_DICT:
            for place in range(width):
                if Py_TYPE(keys[place]) != TEXT_TYPE:
                    return 0
            like = new_dict()
            if like == NULL:
                raised()
            shape = <object>like
            Py_DECREF(shape)
            for place in range(width):
                shape[<object>keys[place]] = None
            if len(shape) != width:
                return 0
        made = []
        for place in range(count):
            row = ns_row(kind, like, keys, columns, width, place)
            one = <object>row
            Py_DECREF(one)
            made.append(one)
            if place % BREATH == BREATH - 1:
                breathe()
        self.items += count * (1 + DICT_COST) if kind == ROWS_DICT else count
        Py_INCREF(made)
        self._put(<PyObject *>made)
        return 1

    cdef int _close_list(self) except -1:
        """Make a long list that came item by item; 0 where closing.py is to look at it."""
        cdef Open *opened = &self.opens[self.depth]
        cdef Py_ssize_t base = opened.base
        cdef PyObject *made
        if ns_may_have_form(self.work + base, self.top - base):
            return 0
        made = ns_list_of(self.work + base, self.top - base)
        if made == NULL:
            raised()
        self.top = base
        self._put(made)
        return 1

    cdef int _close_other(self) except -1:
        cdef Open *opened = &self.opens[self.depth]
        cdef object extra = <object>opened.extra
        if opened.kind == CLOSE_TABLE_ and self._close_table(extra):
            opened = &self.opens[self.depth + 1]
            opened.extra = NULL
            Py_DECREF(extra)
            return 0
        if opened.kind == CLOSE_LONG_LIST_ and self._close_list():
            opened = &self.opens[self.depth + 1]
            opened.extra = NULL
            Py_DECREF(extra)
            return 0
        children = self._children(opened.base, 1)
        self._release(opened.base)
        value, added = close(
            opened.kind, extra, children, self.limits, self.types, self.most_items - self.items, self.weights_()
        )
        self.items += added
        opened = &self.opens[self.depth]
        opened.extra = NULL
        Py_DECREF(extra)
        Py_INCREF(value)
        return self._put(<PyObject *>value)

    cdef int _close(self) except -1:
        """Close the innermost container, whose children are all there."""
        cdef Open *opened = &self.opens[self.depth]
        cdef Py_ssize_t base = opened.base
        cdef Py_ssize_t count = self.top - base
        cdef PyObject *made
        if opened.kind == CLOSE_DICT:
            return self._close_dict(base, count)
        if opened.kind == CLOSE_SET:
            return self._close_member()
        if opened.kind != CLOSE_LIST and opened.kind != CLOSE_TUPLE:
            return self._close_other()
        made = ns_list_of(self.work + base, count) if opened.kind == CLOSE_LIST else ns_tuple_of(self.work + base, count)
        if made == NULL:
            raised()
        self.depth -= 1
        self.top = base
        self.work[self.top] = made
        self.top += 1
        return 0

    # --- the loop -----------------------------------------------------------------------------------------------------

    cdef int _read(self) except? -1:
        """Read on until the value is whole; raises `Short`, or `IndexError`, where bytes are missing."""
        cdef int tag
        cdef int width
        cdef int nodes = 0
        cdef long long number
        cdef double real
        cdef Py_ssize_t count
        cdef PyObject *made
        cdef Open *opened
        while True:
            if self.top == self.work_room:  # for what is read, and for what a container without children becomes
                self._grow()
            opened = &self.opens[self.depth]
            if opened.left == 0:
                if opened.kind == CLOSE_ROOT:
                    return 0
                self._close()
                continue
            nodes += 1
            if nodes == BREATH:
                nodes = 0
                breathe()
            if self.position >= self.end:
                self._short(self.end + 1)
            tag = self.raw[self.position]
            # What makes a scalar goes on behind the chain; what does not, goes on with the loop.
            if tag < 0x80:
                made = new_int(tag)
                width = 1
            elif tag < FIX_LIST:
                count = tag - FIX_DICT
                self.items += DICT_COST + 2 * count
                if count:
                    self.position += 1
                    self._open(CLOSE_DICT, 2 * count)
                    continue
                made = new_dict()
                width = 1
            elif tag < FIX_STR:
                count = tag - FIX_LIST
                if count:
                    self.items += count
                    self.position += 1
                    self._open(CLOSE_LIST, count)
                    continue
                made = new_list(0)
                width = 1
            elif tag < FIX_TUPLE:
                width = tag - FIX_STR + 1
                if width > self.end - self.position:
                    self._short(self.position + width)
                made = self._text(width - 1)
            elif tag < 0xD0:
                count = tag - FIX_TUPLE
                self.position += 1
                if count:
                    self.items += count
                    self._open(CLOSE_TUPLE, count)
                    continue
                made = new_tuple(0)
                width = 0
            elif tag < NEGATIVE:
                made = new_int(tag - NEGATIVE)
                width = 1
            elif tag < INT_BIG:
                width = tag - INT
                if width >= self.end - self.position:
                    self._short(self.position + width + 1)
                if ns_get_int(self.raw + self.position + 1, width, &number) < 0:
                    raise Malformed("an int is longer than it need be")
                made = new_int(number)
                width += 1
            elif tag == FLOAT:
                width = 9
                if width > self.end - self.position:
                    self._short(self.position + width)
                if ns_get_float(self.raw + self.position + 1, &real) < 0:
                    raise Malformed("a nan is not the one nan")
                made = new_float(real)
            elif NONE <= tag <= TRUE:
                self._append(None if tag == NONE else tag == TRUE)
                self.position += 1
                continue
            else:
                if tag == BYTES or tag == STR or tag == BYTEARRAY or tag == INT_BIG:
                    self._read_payload(tag)
                elif tag == SET or tag == FROZENSET:
                    self._read_set(tag)
                elif tag == RUN:
                    self._read_run()
                else:
                    self._read_other(tag)
                continue
            if made == NULL:
                raised()
            self.work[self.top] = made
            self.top += 1
            self.opens[self.depth].left -= 1
            self.position += width

    cdef object run(self):
        if self.end > self.most_bytes:
            raise OverBudget("value_bytes", "bytes in memory", self.most_bytes, self.end)
        while True:
            try:
                if self._read() < 0:  # CPython can lose what was raised where there is no memory for a traceback
                    raise SystemError("nothing was read, and no error says why")
                break
            except (IndexError, Short) as short:
                need = short.need if type(short) is Short else self.end + 1
            self._more(need)
        if self.position != self.end or (self.feed is not None and self.feed.pull() is not None):
            raise Malformed("bytes follow the value")
        if self.items > self.most_items:
            raise OverBudget("value_items", "items", self.most_items, self.items)
        total = self.position + self.wide + self.dropped()
        if total > self.most_bytes:
            raise OverBudget("value_bytes", "bytes in memory", self.most_bytes, total)
        if self.used_blobs != len(self.blobs):
            raise Malformed(f"the value refers to {self.used_blobs} blobs, and {len(self.blobs)} came with it")
        return <object>self.work[0]


def decode_value(source, limits, types, blobs):
    """Decode as decoder.decode_value does."""
    cdef object feed = None if isinstance(source, bytes) else Source(source, limits.value_bytes)
    cdef _Decoder decoder
    if feed is not None:
        source = b""
    elif not PyBytes_CheckExact(source):
        source = bytes_of(PyBytes_AS_STRING(source), PyBytes_GET_SIZE(source))
    decoder = _Decoder(source, feed, limits, types, blobs)
    try:
        return decoder.run()
    except Malformed as error:
        raise bad_value(f"{error}", decoder.position, feed) from error.__cause__
    except OverBudget as error:
        raise bad_value(f"the value has {error}", decoder.position, feed) from None
    except UnicodeDecodeError:
        raise bad_value("a text is not UTF-8", decoder.position, feed) from None
