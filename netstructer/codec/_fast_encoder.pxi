# The loop of encoder.py.

cdef struct Level:
    Py_ssize_t next  # which of the references on the stack comes next
    Py_ssize_t start
    Py_ssize_t end
    Py_ssize_t places  # of a set: where the places of its members begin among `places`; else -1


cdef enum:
    NO_FORM = 1  # a list goes item by item
    ASK = 2  # bulk.py is to be asked
    IS_WRITTEN = 3
    IS_OPEN = 4  # its children are on the stack
    ROWS = 5  # and what the rows may make, ROWS_LIST and so on
    BULK_MOST = 32  # fewer members of a set than this are sorted here, one by one into their place


@cython.final
@cython.no_gc
@cython.freelist(4)
cdef class _Encoder:
    """One value being encoded."""

    cdef unsigned char *out
    cdef Py_ssize_t length
    cdef Py_ssize_t room
    cdef PyObject **work
    cdef Py_ssize_t top
    cdef Py_ssize_t work_room
    cdef Level *levels
    cdef Py_ssize_t depth
    cdef Py_ssize_t level_room
    cdef Py_ssize_t *places
    cdef Py_ssize_t placed
    cdef Py_ssize_t place_room
    cdef Py_ssize_t open_sets
    cdef Py_ssize_t skipped  # how many references below the children of what is opened next are none of them
    cdef long long items
    cdef long long wide
    cdef long long most_items
    cdef long long most_depth
    cdef long long most_alike
    cdef bint weighty
    cdef object limits
    cdef object types
    cdef list buffers
    cdef list blobs
    cdef list unweighed
    cdef object weights
    cdef bint fractions

    def __cinit__(self, object limits, object types):
        self.limits = limits
        self.types = types
        self.most_items = limits.value_items
        self.most_depth = limits.value_depth
        self.most_alike = limits.unseeded_members
        self.items = 1
        self.buffers = []
        self.room = 512
        self.work_room = 64
        self.level_room = 16
        self.out = <unsigned char *>PyMem_Malloc(self.room)
        self.work = <PyObject **>PyMem_Malloc(self.work_room * sizeof(PyObject *))
        self.levels = <Level *>PyMem_Malloc(self.level_room * sizeof(Level))
        if self.out == NULL or self.work == NULL or self.levels == NULL:
            raise MemoryError()

    def __dealloc__(self):
        if self.work != NULL:
            self._release(0)
        PyMem_Free(self.out)
        PyMem_Free(self.work)
        PyMem_Free(self.levels)
        PyMem_Free(self.places)

    cdef void _release(self, Py_ssize_t start) noexcept:
        while self.top > start:
            self.top -= 1
            Py_DECREF(<object>self.work[self.top])

    # --- room ---------------------------------------------------------------------------------------------------------

    cdef int _need(self, Py_ssize_t more) except -1:
        """Make sure that so many bytes can be written."""
        cdef Py_ssize_t room
        cdef void *moved
        if self.length + more > self.room:
            room = max(2 * self.room, self.length + more)
            moved = PyMem_Realloc(self.out, room)
            if moved == NULL:
                raise MemoryError()
            self.out = <unsigned char *>moved
            self.room = room
        return 0

    cdef int _need_work(self, Py_ssize_t more) except -1:
        cdef Py_ssize_t room
        cdef void *moved
        if self.top + more > self.work_room:
            room = max(2 * self.work_room, self.top + more)
            moved = PyMem_Realloc(self.work, room * sizeof(PyObject *))
            if moved == NULL:
                raise MemoryError()
            self.work = <PyObject **>moved
            self.work_room = room
        return 0

    cdef int _mark(self) except -1:
        """Note the place at which a member of the innermost set begins, or its last one ends."""
        cdef Py_ssize_t room
        cdef void *moved
        if self.placed == self.place_room:
            room = max(32, 2 * self.place_room)
            moved = PyMem_Realloc(self.places, room * sizeof(Py_ssize_t))
            if moved == NULL:
                raise MemoryError()
            self.places = <Py_ssize_t *>moved
            self.place_room = room
        self.places[self.placed] = self.length
        self.placed += 1
        return 0

    # --- bytes --------------------------------------------------------------------------------------------------------

    cdef int _put(self, const void *data, Py_ssize_t size) except -1:
        self._need(size)
        memcpy(self.out + self.length, data, size)
        self.length += size
        return 0

    cdef int _put_bytes(self, bytes raw) except -1:
        return self._put(PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))

    cdef int _put_head(self, int tag, Py_ssize_t length) except -1:
        """Write a tag and a length."""
        self._need(24)
        self.out[self.length] = <unsigned char>tag
        self.length += 1 + ns_put_length(self.out + self.length + 1, length)
        return 0

    cdef int _attach(self, int tag, object raw) except -1:
        """Write a tag, a length and its bytes: by reference if they are many, unless a set is open."""
        self._put_head(tag, len(raw))
        return self._put_or_refer(raw)

    cdef int _put_or_refer(self, object raw) except -1:
        if len(raw) < _REFERENCE_BYTES or self.open_sets:
            return self._put_bytes(raw if PyBytes_CheckExact(raw) else bytes(raw))
        self.buffers.append(bytes_of(<const char *>self.out, self.length))
        self.length = 0
        self.buffers.append(raw)
        return 0

    cdef int _put_text(self, object text) except -1:
        """Write a text; 1 if it holds a lone surrogate and its child is on the stack."""
        cdef const char *data
        cdef Py_ssize_t size
        cdef PyObject *made
        cdef object raw
        if ns_ascii(text, &data, &size):
            if size < 32:
                self._need(32)
                self.out[self.length] = <unsigned char>(FIX_STR + size)
                memcpy(self.out + self.length + 1, data, size)
                self.length += 1 + size
            elif size < _REFERENCE_BYTES or self.open_sets:
                self._put_head(STR, size)
                self._put(data, size)
            else:
                self._attach(STR, text.encode())
            return 0
        made = ns_utf8(text)
        if made == NULL:
            if PyErr_Occurred() != NULL:
                raised()
            self._put_bytes(SURROGATES.head)
            children = SURROGATES.take(text)
            self.items += 1 + SURROGATES.worth_of(children)
            self._push(children)
            return 1
        raw = <object>made
        Py_DECREF(raw)
        size = PyBytes_GET_SIZE(raw)
        if size < 32:
            self._need(1)
            self.out[self.length] = <unsigned char>(FIX_STR + size)
            self.length += 1
            self._put_bytes(raw)
        else:
            self._attach(STR, raw)
        self.wide += ns_widening(text, size)
        return 0

    cdef int _put_big_int(self, object number) except -1:
        bits = number.bit_length()
        if bits > self.limits.int_bits:
            raise OverBudget("int_bits", "bits in an int", self.limits.int_bits, bits)
        size = (number if number > 0 else ~number).bit_length() // 8 + 1
        self._put_head(INT_BIG, size)
        return self._put_bytes(number.to_bytes(size, "big", signed=True))

    # --- containers ---------------------------------------------------------------------------------------------------

    cdef int _push_one(self, object item) except -1:
        self._need_work(1)
        Py_INCREF(item)
        self.work[self.top] = <PyObject *>item
        self.top += 1
        return 0

    cdef int _push(self, object children) except -1:
        """Put what an iterable yields on the stack."""
        cdef Py_ssize_t place, size
        cdef PyObject *item
        if PyList_CheckExact(children):
            size = PyList_GET_SIZE(children)
            self._need_work(size)
            for place in range(size):
                item = PyList_GET_ITEM(children, place)
                Py_INCREF(<object>item)
                self.work[self.top + place] = item
            self.top += size
        elif PyTuple_CheckExact(children):
            size = PyTuple_GET_SIZE(children)
            self._need_work(size)
            for place in range(size):
                item = PyTuple_GET_ITEM(children, place)
                Py_INCREF(<object>item)
                self.work[self.top + place] = item
            self.top += size
        else:
            for child in children:
                self._push_one(child)
        return 0

    cdef int _open(self, Py_ssize_t start, bint is_set) except -1:
        """Go on with the children that stand on the stack from `start` on."""
        cdef void *moved
        cdef Level *level
        if self.items > self.most_items:
            raise OverBudget("value_items", "items", self.most_items, self.items)
        if self.depth + 1 > self.most_depth:
            raise OverBudget("value_depth", "levels", self.most_depth, self.depth + 1)
        self.depth += 1
        if self.depth == self.level_room:
            moved = PyMem_Realloc(self.levels, 2 * self.level_room * sizeof(Level))
            if moved == NULL:
                raise MemoryError()
            self.levels = <Level *>moved
            self.level_room *= 2
        level = &self.levels[self.depth]
        level.next = start + self.skipped
        level.start = start
        self.skipped = 0
        level.end = self.top
        level.places = -1
        if is_set:
            level.places = self.placed
            self.open_sets += 1
        return 0

    cdef int _put_list(self, object item) except -1:
        """Write the head of a list, or all of it; 1 if its children are on the stack."""
        cdef Py_ssize_t size = PyList_GET_SIZE(item)
        cdef list children
        if size < BULK_FROM:
            self._need(1)
            self.out[self.length] = <unsigned char>(FIX_LIST + size)
            self.length += 1
            if size == 0:
                return 0
            self.items += size
            self._push(item)
            return 1
        self.items += size
        if self.items > self.most_items:
            raise OverBudget("value_items", "items", self.most_items, self.items)
        form = self._form(ns_items_of(<PyObject *>item), size)
        if form == IS_WRITTEN:
            return 0
        if form >= ROWS:
            form = self._put_table(item, form - ROWS)
            if form == IS_OPEN:
                return 1
        if form == NO_FORM:
            self._put_head(LIST, size)
            self._push(item)
            return 1
        children = PySequence_List(item)
        if len(children) != size:
            raise RuntimeError("a list changed while it was read")
        found = classify(children, self.types)
        if found is None:
            self._put_head(LIST, size)
            self._push(children)
            return 1
        tag, detail = found
        if tag == RUN:
            head, packed = pack_run(children, detail)
            self._put_bytes(head)
            if type(detail) is str and len(detail) != len(packed):
                self.wide += ns_widening(detail, len(packed))
            self._put_or_refer(packed)
            return 0
        if tag == TABLE:
            self.weighty = True
            if detail[1] is FRACTION:
                self._see_fraction()
        head, rows, added = open_form(found, children, self.most_items - self.items, self.limits)
        self._put_bytes(head)
        self.items += added
        self._push(rows)
        return 1

    cdef int _form(self, PyObject **items, Py_ssize_t size) except -1:
        """Write a list of 16 items or more as a run, or say what is to be done with it.

        No other code runs here, so what the list holds stays as it is.
        """
        cdef PyTypeObject *other = NULL
        cdef PyTypeObject *kind = ns_one_kind(items, size, &other)
        cdef Py_ssize_t taken
        cdef int run
        if kind == NULL:
            return ASK if Py_TYPE(items[0]) == NONE_TYPE or other == NONE_TYPE else NO_FORM
        if kind == TEXT_TYPE:
            taken = ns_joined_size(items, size)
            if taken < 0:
                return NO_FORM if taken == -1 else ASK
            ns_join(items, size, self._run(RUN_TEXTS, size, taken))
        elif kind == INT_TYPE:
            run = ns_int_kind(items, size)
            if run < 0:
                return NO_FORM
            taken = 1 << (run & 3)
            ns_pack_ints(items, size, taken, self._run(run, size, size * taken))
        elif kind == FLOAT_TYPE:
            ns_pack_floats(items, size, self._run(RUN_FLOATS, size, 8 * size))
        elif kind == BOOL_TYPE:
            ns_pack_bools(items, size, self._run(RUN_BOOLS, size, (size + 7) // 8))
        elif kind == DICT_TYPE:
            return ROWS + ROWS_DICT
        elif kind == TUPLE_TYPE:
            return ROWS + ROWS_TUPLE
        elif kind == LIST_TYPE:
            return ROWS + ROWS_LIST
        elif kind == BYTES_TYPE or kind == SET_TYPE or kind == FROZENSET_TYPE:
            return NO_FORM
        else:
            return ASK
        return IS_WRITTEN

    cdef unsigned char *_run(self, int run, Py_ssize_t count, Py_ssize_t size) except NULL:
        """Write the head of a run; return where its items are to be packed, `size` bytes."""
        cdef unsigned char *at
        cdef bytes packed
        self._need(20)
        at = self.out + self.length
        at[0] = RUN
        at[1] = <unsigned char>run
        self.length += 2
        self.length += ns_put_length(self.out + self.length, count)
        if run == RUN_TEXTS:
            self.length += ns_put_length(self.out + self.length, size)
        if size < _REFERENCE_BYTES or self.open_sets:
            self._need(size)
            self.length += size
            return self.out + self.length - size
        packed = bytes_of(NULL, size)
        self._put_or_refer(packed)
        return <unsigned char *>PyBytes_AS_STRING(packed)

    cdef int _put_table(self, object item, int kind) except -1:
        """Write the head of a table of these rows and put its columns on the stack, or say what is to be done."""
        cdef Py_ssize_t start = self.top
        cdef Py_ssize_t count, width, names, column
        cdef PyObject *made
        self._push(item)  # a copy that nobody else can change
        count = self.top - start
        width = PyDict_Size(self.work[start]) if kind == ROWS_DICT else Py_SIZE(self.work[start])
        if width == 0 or (kind != ROWS_DICT and width > WIDE_ROW) or width > (self.most_items - self.items) // count:
            self._release(start)
            return ASK
        self._need_work(2 * width)
        names = 0
        if kind == ROWS_DICT:
            if not ns_text_keys(self.work[start], self.work + self.top):
                self._release(start)
                return NO_FORM
            names = width
            self.top += width
        for column in range(width):
            made = new_list(count)
            if made == NULL:
                raised()
            ns_hide(made)
            self.work[self.top] = made
            self.top += 1
        column = self.top - width
        if not ns_fill_columns(self.work + start, count, self.work + column - names, self.work + column, width, kind):
            self._release(start)
            return NO_FORM if kind == ROWS_DICT else ASK
        for column in range(column, self.top):
            ns_show(self.work[column])
        self.weighty = True
        self._put_head(TABLE, kind)
        self.length += ns_put_length(self.out + self.length, width)
        self.items += names + width + (DICT_COST * count if kind == ROWS_DICT else 0)
        self.skipped = count
        return IS_OPEN

    cdef int _put_dict(self, object item) except -1:
        """Write the head of a dict; 1 if its children are on the stack."""
        cdef Py_ssize_t size = PyDict_GET_SIZE(item)
        cdef Py_ssize_t count
        cdef bint atoms
        if size < BULK_FROM:
            self._need_work(2 * BULK_FROM)
            count = ns_dict_items(item, self.work + self.top, 2 * BULK_FROM - 2)
            self.top += count
            if size > 0:
                atoms = ns_are_atoms(self.work + self.top - count, count, 2)
                if size > self.most_alike or (self.weighty and (size > 1 or self.fractions) and not atoms):
                    check_collisions(item, self.most_alike, self.types, self.weights_())
                elif not atoms and (size == 1 or not self.weighty):
                    self._weigh_later(item)
            self._need(1)
            self.out[self.length] = <unsigned char>(FIX_DICT + count // 2)
            self.length += 1
            self.items += DICT_COST + count
            return count != 0
        if size > self.most_alike or (self.weighty and not _ATOMS.issuperset(map(type, item))):
            check_collisions(item, self.most_alike, self.types, self.weights_())
        elif not self.weighty:
            self._weigh_later(item)
        self._need(1)
        self.out[self.length] = DICT
        self.length += 1
        self.items += DICT_COST + 2
        item = item.copy()
        self._push_one(list(item))
        self._push_one(list(item.values()))
        return 1

    cdef object weights_(self):
        if self.weights is None:
            self.weights = Weights(fractions=False, later=True)
        return self.weights

    cdef int _see_fraction(self) except -1:
        if not self.fractions:
            self.fractions = True
            self.weights_().fractions = True
        return 0

    cdef int _weigh_later(self, object item) except -1:
        if self.unweighed is None:
            self.unweighed = []
        self.unweighed.append(item)
        return 0

    cdef int _put_tuple(self, object item) except -1:
        cdef Py_ssize_t size = PyTuple_GET_SIZE(item)
        self._need(1)
        if size < BULK_FROM:
            self.out[self.length] = <unsigned char>(FIX_TUPLE + size)
            self.length += 1
            if size == 0:
                return 0
            self.items += size
            self._push(item)
            return 1
        self.out[self.length] = TUPLE
        self.length += 1
        self.items += 1
        self._push_one(list(item))
        return 1

    cdef int _put_set(self, object item) except -1:
        """Write the head of a set, or all of it; 1 if its children are on the stack, 2 if they are to be sorted."""
        cdef list members = PySequence_List(item)
        cdef Py_ssize_t size = len(members)
        cdef Py_ssize_t start = self.top
        cdef Py_ssize_t place, other
        cdef int overflow = 0
        cdef long long number
        cdef bint ints = True
        cdef bint small = True
        cdef bint is_set = type(item) is set
        cdef unsigned char *at
        self.items += SET_COST
        if not is_set:
            self.weighty = True
        if size >= BULK_FROM:
            check_collisions(members, self.most_alike, self.types, self.weights_())
            if is_set_run(members):
                self._need(1)
                self.out[self.length] = <unsigned char>(SET_RUN if is_set else FROZENSET_RUN)
                self.length += 1
                self.items += 1
                members.sort()
                self._push_one(members)
                return 1
            self._put_head(SET if is_set else FROZENSET, size)
            self.items += size
            self._push(members)
            return 2
        self._put_head(SET if is_set else FROZENSET, size)
        if size == 0:
            return 0
        self.items += size
        self._push(members)
        self._need(size)
        at = self.out + self.length
        for place in range(size):
            member = <object>self.work[start + place]
            if not PyLong_CheckExact(member):
                ints = False
                break
            if small:
                number = PyLong_AsLongLongAndOverflow(member, &overflow)
                small = overflow == 0 and 0 <= number < 128
                if small:
                    other = place
                    while other > 0 and at[other - 1] > number:
                        at[other] = at[other - 1]
                        other -= 1
                    at[other] = <unsigned char>number
        if size > self.most_alike or (not ints and not ns_are_atoms(self.work + start, size, 1)):
            check_collisions(members, self.most_alike, self.types, self.weights_())
        if ints and small:
            if self.depth >= self.most_depth:
                raise OverBudget("value_depth", "levels", self.most_depth, self.depth + 1)
            self.length += size
            self._release(start)
            return 0
        return 2

    cdef int _sort_members(self, Py_ssize_t first) except -1:
        """Put the members of a set, which stand between the places from `first` on, into the order of their bytes."""
        cdef Py_ssize_t count = self.placed - first - 1
        cdef Py_ssize_t *places = self.places + first
        cdef Py_ssize_t[BULK_MOST] order
        cdef Py_ssize_t place, other, size, another, least
        cdef unsigned char *sorted_bytes
        cdef unsigned char *at
        cdef bint moved = False
        cdef int found
        self.placed = first
        self.open_sets -= 1
        if count >= BULK_MOST:
            pieces = []  # in no comprehension: of one that fails, Cython lets the last piece go twice
            for place in range(count):
                piece = bytes_of(<const char *>self.out + places[place], places[place + 1] - places[place])
                pieces.append(piece)
            pieces.sort()
            self.length = places[0]
            return self._put_bytes(b"".join(pieces))
        for place in range(count):
            size = places[place + 1] - places[place]
            other = place
            while other > 0:
                another = places[order[other - 1] + 1] - places[order[other - 1]]
                least = size if size < another else another
                found = memcmp(self.out + places[place], self.out + places[order[other - 1]], least)
                if found > 0 or (found == 0 and size >= another):
                    break
                order[other] = order[other - 1]
                other -= 1
                moved = True
            order[other] = place
        if not moved:
            return 0
        size = self.length - places[0]
        sorted_bytes = <unsigned char *>PyMem_Malloc(size)
        if sorted_bytes == NULL:
            raise MemoryError()
        at = sorted_bytes
        for place in range(count):
            another = places[order[place] + 1] - places[order[place]]
            memcpy(at, self.out + places[order[place]], another)
            at += another
        memcpy(self.out + places[0], sorted_bytes, size)
        PyMem_Free(sorted_bytes)
        return 0

    cdef int _put_other(self, object item) except -1:
        """Write what is rarer, or its head; 1 if its children are on the stack."""
        cdef object kind = type(item)
        if (row := struct_of_class(kind)) is not None:
            self.weighty = True
            if row is FRACTION:
                self._see_fraction()
            if row.check is not None:
                row.check(item, self.limits)
            self._put_bytes(row.head)
            children = row.take(item)
            self.items += row.cost + len(children) + row.worth_of(children)
            self._push(children)
            return 1
        if (entry := self.types.of_class(kind)) is not None:
            self.weighty = True
            head = bytearray()
            children, added = open_entry(entry, item, head)
            self._put_bytes(bytes(head))
            self.items += added
            self._push(children)
            return 1
        if issubclass(kind, Blob):
            if self.open_sets:
                raise Unsendable("a Blob cannot be a member of a set")
            if not item.reusable and id(item) in set(map(id, self.blobs_())):
                raise Unsendable("this Blob's source can be read once, and it is in the value twice")
            self.blobs_().append(item)
            self.items += BLOB_COST
            self._put_bytes(blob_reference(item))
        elif kind is bytearray or kind is RawBytes:
            self._attach(BYTEARRAY, memoryview(item) if kind is bytearray else item.view)
        elif kind is memoryview:
            self._attach(BYTES, item.cast("B") if item.c_contiguous and item.nbytes else item.tobytes())
        else:
            raise Unsendable(f"{type_name(kind)} is not registered")
        return 0

    cdef list blobs_(self):
        if self.blobs is None:
            self.blobs = []
        return self.blobs

    # --- the loop -----------------------------------------------------------------------------------------------------

    cdef int run(self, object value) except -1:
        cdef Level *level = self.levels
        cdef object item = None
        cdef Py_ssize_t start
        cdef long long number
        cdef int overflow = 0
        cdef int opened
        cdef int nodes = 0
        self._push_one(value)
        level.next = level.start = 0
        level.end = 1
        level.places = -1
        while True:
            level = &self.levels[self.depth]
            if level.next == level.end:
                if level.places >= 0:
                    self._mark()
                    self._sort_members(level.places)
                    level = &self.levels[self.depth]
                self._release(level.start)
                if self.depth == 0:
                    return 0
                self.depth -= 1
                continue
            if level.places >= 0:
                self._mark()
            item = <object>self.work[level.next]
            level.next += 1
            nodes += 1
            if nodes == BREATH:
                nodes = 0
                breathe()
            start = self.top
            if PyUnicode_CheckExact(item):
                opened = self._put_text(item)
            elif PyLong_CheckExact(item):
                number = PyLong_AsLongLongAndOverflow(item, &overflow)
                if overflow:
                    self._put_big_int(item)
                else:
                    self._need(9)
                    self.length += ns_put_int(self.out + self.length, number)
                continue
            elif PyList_CheckExact(item):
                opened = self._put_list(item)
            elif PyDict_CheckExact(item):
                opened = self._put_dict(item)
            elif PyFloat_CheckExact(item):
                self._need(9)
                ns_put_float(self.out + self.length, PyFloat_AS_DOUBLE(item))
                self.length += 9
                continue
            elif item is None or item is True or item is False:
                self._need(1)
                self.out[self.length] = <unsigned char>(NONE if item is None else TRUE if item is True else FALSE)
                self.length += 1
                continue
            elif PyTuple_CheckExact(item):
                opened = self._put_tuple(item)
            elif PyBytes_CheckExact(item):
                self._attach(BYTES, item)
                continue
            elif PyAnySet_CheckExact(item):
                opened = self._put_set(item)
            else:
                opened = self._put_other(item)
            if opened:
                self._open(start, opened == 2)

    cdef object finish(self):
        cdef Py_ssize_t plain_bytes = 0
        if self.items > self.most_items:
            raise OverBudget("value_items", "items", self.most_items, self.items)
        if self.weighty and self.unweighed is not None:
            for item in self.unweighed:
                if self.fractions or len(item) > 1:
                    check_collisions(item, self.most_alike, self.types, self.weights_())
        if self.weighty and self.weights is not None:
            look_again(self.most_alike, self.types, self.weights)
        if self.length:
            self.buffers.append(bytes_of(<const char *>self.out, self.length))
        for buffer in self.buffers:
            plain_bytes += len(buffer)
        most_bytes = self.limits.value_bytes
        if plain_bytes + self.wide > most_bytes:
            raise OverBudget("value_bytes", "bytes in memory", most_bytes, plain_bytes + self.wide)
        return Encoded(self.buffers, plain_bytes, [] if self.blobs is None else self.blobs)


def encode_value(value, limits, types):
    """Encode as encoder.encode_value does."""
    cdef _Encoder encoder = _Encoder(limits, types)
    encoder.run(value)
    return encoder.finish()
