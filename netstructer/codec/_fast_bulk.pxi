# Bulk forms in C: what bulk.py says, for the kinds of items that are common.  What is refused here, or is rarer, is
# left to bulk.py, which finds the same fault again and names it.

cdef extern from *:
    """
    /* The type of all items, or NULL; `other` is then the first type that is not the first item's. */
    static inline PyTypeObject *ns_one_kind(PyObject **items, Py_ssize_t count, PyTypeObject **other) {
        PyTypeObject *kind = Py_TYPE(items[0]);
        Py_ssize_t place;
        for (place = 1; place < count; place++) if (Py_TYPE(items[place]) != kind) {
            *other = Py_TYPE(items[place]);
            return NULL;
        }
        return kind;
    }

    /* The kind of run that ints make, 0 to 7, or -1 if 64 bits do not hold them all. */
    static int ns_int_kind(PyObject **items, Py_ssize_t count) {
        long long low = 0, number, top = 0;
        unsigned long long high = 0, wide;
        Py_ssize_t place;
        int overflow, kind;
        for (place = 0; place < count; place++) {
            number = PyLong_AsLongLongAndOverflow(items[place], &overflow);
            if (overflow < 0) return -1;
            if (overflow > 0) {
                wide = PyLong_AsUnsignedLongLong(items[place]);
                if (wide == (unsigned long long)-1 && PyErr_Occurred()) {
                    PyErr_Clear();
                    return -1;
                }
                if (wide > high) high = wide;
            }
            else if (number < low) low = number;
            else if (number > top) top = number;
        }
        if ((unsigned long long)top > high) high = (unsigned long long)top;
        if (low == 0) {
            for (kind = 0; kind < 3; kind++) if (high >> (8 << kind) == 0) return kind;
            return 3;
        }
        for (kind = 0; kind < 4; kind++)
            if (~(unsigned long long)low >> ((8 << kind) - 1) == 0 && high >> ((8 << kind) - 1) == 0) return kind + 4;
        return -1;
    }

    static void ns_pack_ints(PyObject **items, Py_ssize_t count, int width, unsigned char *out) {
        Py_ssize_t place;
        int overflow, at;
        for (place = 0; place < count; place++) {
            unsigned long long bits = (unsigned long long)PyLong_AsLongLongAndOverflow(items[place], &overflow);
            if (overflow) bits = PyLong_AsUnsignedLongLong(items[place]);
            for (at = 0; at < width; at++, bits >>= 8) *out++ = (unsigned char)bits;
        }
    }

    static void ns_pack_floats(PyObject **items, Py_ssize_t count, unsigned char *out) {
        Py_ssize_t place;
        for (place = 0; place < count; place++, out += 8) {
            unsigned long long bits = 0x7FF8000000000000ULL;
            double number = PyFloat_AS_DOUBLE(items[place]);
            int at;
            if (number == number) memcpy(&bits, &number, 8);
            for (at = 0; at < 8; at++) out[at] = (unsigned char)(bits >> 8 * at);
        }
    }

    static void ns_pack_bools(PyObject **items, Py_ssize_t count, unsigned char *out) {
        Py_ssize_t place;
        memset(out, 0, (size_t)(count + 7) / 8);
        for (place = 0; place < count; place++) if (items[place] == Py_True) out[place >> 3] |= (unsigned char)(1 << (place & 7));
    }

    /* How long texts are, joined by NULs; -1 if one holds a NUL, -2 if one is not ASCII. */
    static Py_ssize_t ns_joined_size(PyObject **items, Py_ssize_t count) {
        Py_ssize_t place, size, whole = count - 1;
        const char *data;
        for (place = 0; place < count; place++) {
            if (!ns_ascii(items[place], &data, &size)) return -2;
            if (memchr(data, 0, (size_t)size) != NULL) return -1;
            whole += size;
        }
        return whole;
    }

    static void ns_join(PyObject **items, Py_ssize_t count, unsigned char *out) {
        Py_ssize_t place, size;
        for (place = 0; place < count; place++) {
            if (place) *out++ = 0;
            size = PyUnicode_GET_LENGTH(items[place]);
            memcpy(out, PyUnicode_1BYTE_DATA(items[place]), (size_t)size);
            out += size;
        }
    }

    /* Put the keys of a dict where `work` points, with references of their own; 0 if one is not exactly a str. */
    static int ns_text_keys(PyObject *dict, PyObject **work) {
        Py_ssize_t at = 0;
        PyObject *key;
        while (PyDict_Next(dict, &at, &key, NULL)) if (!PyUnicode_CheckExact(key)) return 0;
        for (at = 0; PyDict_Next(dict, &at, &key, NULL); work++) {
            Py_INCREF(key);
            *work = key;
        }
        return 1;
    }

    /* Put into each of the lists at `columns`, which are as long as there are rows, what the rows hold there.  Returns 0
       if rows are not of this width, or dicts have not these keys in this order, each exactly a str. */
    static int ns_fill_columns(
        PyObject **rows, Py_ssize_t count, PyObject **keys, PyObject **columns, Py_ssize_t width, int kind
    ) {
        Py_ssize_t place, column, at;
        PyObject *item, *key;
        for (place = 0; place < count; place++) {
            if ((kind == 2 ? PyDict_Size(rows[place]) : Py_SIZE(rows[place])) != width) return 0;
            at = 0;
            for (column = 0; column < width; column++) {
                if (kind == 2) {
                    if (!PyDict_Next(rows[place], &at, &key, &item)) return 0;
                    if (key != keys[column]) {
                        if (!PyUnicode_CheckExact(key)) return 0;
                        if (PyUnicode_GET_LENGTH(key) != PyUnicode_GET_LENGTH(keys[column])) return 0;
                        if (PyUnicode_Compare(key, keys[column]) != 0) return 0;
                    }
                }
                else item = kind == 1 ? PyTuple_GET_ITEM(rows[place], column) : PyList_GET_ITEM(rows[place], column);
                Py_INCREF(item);
                PyList_SET_ITEM(columns[column], place, item);
            }
        }
        return 1;
    }

    static inline PyObject **ns_items_of(PyObject *list) { return ((PyListObject *)list)->ob_item; }

    /* What an array of references holds is of types whose lists have a bulk form: 0 no, 1 perhaps. */
    static int ns_may_have_form(PyObject **items, Py_ssize_t count) {
        PyTypeObject *other = NULL, *kind = ns_one_kind(items, count, &other);
        Py_ssize_t at = 0;
        PyObject *key;
        if (kind == NULL) return Py_TYPE(items[0]) == Py_TYPE(Py_None) || other == Py_TYPE(Py_None);
        if (kind == &PyBytes_Type || kind == &PySet_Type || kind == &PyFrozenSet_Type) return 0;
        if (kind != &PyDict_Type) return 1;
        while (PyDict_Next(items[0], &at, &key, NULL)) if (!PyUnicode_CheckExact(key)) return 0;
        return 1;
    }

    /* Lists that are not filled yet must not be seen by the collector. */
    static inline void ns_hide(PyObject *list) { PyObject_GC_UnTrack(list); }
    static inline void ns_show(PyObject *list) { PyObject_GC_Track(list); }

    /* The list of a run of ints, floats or bools; NULL where bulk.py is to be asked, or memory is short. */
    static PyObject *ns_unpack(int kind, Py_ssize_t count, const unsigned char *raw) {
        static const double zero = 0.0;
        PyObject *made = PyList_New(count), *item = NULL;
        Py_ssize_t place;
        int width = 1 << (kind & 3), at, wide = 0;
        if (made == NULL) return NULL;
        for (place = 0; place < count; place++) {
            unsigned long long bits = 0;
            if (kind < 4) {
                for (at = 0; at < width; at++) bits |= (unsigned long long)raw[at] << 8 * at;
                if (width == 1 || bits >> 4 * width) wide = 1;
                item = width == 8 ? PyLong_FromUnsignedLongLong(bits) : PyLong_FromLongLong((long long)bits);
                raw += width;
            } else if (kind == 8) {
                double number = zero;
                for (at = 0; at < 8; at++) bits |= (unsigned long long)raw[at] << 8 * at;
                memcpy(&number, &bits, 8);
                if (number != number && bits != 0x7FF8000000000000ULL) break;
                item = PyFloat_FromDouble(number);
                raw += 8;
                wide = 1;
            } else {
                item = raw[place >> 3] >> (place & 7) & 1 ? Py_True : Py_False;
                Py_INCREF(item);
                wide = 1;
            }
            if (item == NULL) break;
            PyList_SET_ITEM(made, place, item);
        }
        if (place < count || !wide || (kind == 9 && count & 7 && raw[count >> 3] >> (count & 7))) Py_CLEAR(made);
        return made;
    }

    /* The list of a run of ASCII texts; NULL as above. */
    static PyObject *ns_split(const unsigned char *raw, Py_ssize_t size, Py_ssize_t count) {
        const unsigned char *stop = raw + size, *next;
        unsigned char all = 0;
        Py_ssize_t place, found = 1;
        PyObject *made, *text;
        for (next = raw; next < stop; next++) {
            all |= *next;
            found += *next == 0;
        }
        if (all & 0x80 || found != count || (made = PyList_New(count)) == NULL) return NULL;
        for (place = 0; place < count; place++) {
            next = place + 1 < count ? memchr(raw, 0, (size_t)(stop - raw)) : stop;
            text = PyUnicode_DecodeASCII((const char *)raw, next - raw, NULL);
            if (text == NULL) {
                Py_CLEAR(made);
                break;
            }
            PyList_SET_ITEM(made, place, text);
            raw = next + 1;
        }
        return made;
    }

    /* One row of what the columns hold at this place: a list, a tuple, or a copy of the dict `like` with it. */
    static PyObject *ns_row(int kind, PyObject *like, PyObject **keys, PyObject **columns, Py_ssize_t width, Py_ssize_t place) {
        PyObject *made = kind == 2 ? PyDict_Copy(like) : kind == 1 ? PyTuple_New(width) : PyList_New(width);
        PyObject *item;
        Py_ssize_t column;
        for (column = 0; made != NULL && column < width; column++) {
            if (PyList_GET_SIZE(columns[column]) <= place) {
                Py_CLEAR(made);
                PyErr_SetString(PyExc_RuntimeError, "a column changed while rows were made of it");
                break;
            }
            item = PyList_GET_ITEM(columns[column], place);
            if (kind == 2) {
                if (PyDict_SetItem(made, keys[column], item) < 0) Py_CLEAR(made);
            } else {
                Py_INCREF(item);
                if (kind == 1) PyTuple_SET_ITEM(made, column, item);
                else PyList_SET_ITEM(made, column, item);
            }
        }
        return made;
    }
    """
    PyTypeObject *ns_one_kind(PyObject **items, Py_ssize_t count, PyTypeObject **other)
    int ns_int_kind(PyObject **items, Py_ssize_t count)
    void ns_pack_ints(PyObject **items, Py_ssize_t count, int width, unsigned char *out)
    void ns_pack_floats(PyObject **items, Py_ssize_t count, unsigned char *out)
    void ns_pack_bools(PyObject **items, Py_ssize_t count, unsigned char *out)
    Py_ssize_t ns_joined_size(PyObject **items, Py_ssize_t count)
    void ns_join(PyObject **items, Py_ssize_t count, unsigned char *out)
    bint ns_text_keys(PyObject *items, PyObject **work)
    bint ns_fill_columns(
        PyObject **rows, Py_ssize_t count, PyObject **keys, PyObject **columns, Py_ssize_t width, int kind
    )
    PyObject **ns_items_of(PyObject *items)
    bint ns_may_have_form(PyObject **items, Py_ssize_t count)
    Py_ssize_t PyDict_Size(PyObject *items)
    Py_ssize_t Py_SIZE(PyObject *item)
    PyTypeObject *Py_TYPE(PyObject *item)
    void PyErr_Clear()
    void ns_hide(PyObject *items)
    void ns_show(PyObject *items)
    PyObject *ns_unpack(int kind, Py_ssize_t count, const unsigned char *raw)
    PyObject *ns_split(const unsigned char *raw, Py_ssize_t size, Py_ssize_t count)
    PyObject *ns_row(int kind, PyObject *like, PyObject **keys, PyObject **columns, Py_ssize_t width, Py_ssize_t place) except NULL
    PyTypeObject *NONE_TYPE "Py_TYPE(Py_None)"
    PyTypeObject *TEXT_TYPE "&PyUnicode_Type"
    PyTypeObject *INT_TYPE "&PyLong_Type"
    PyTypeObject *FLOAT_TYPE "&PyFloat_Type"
    PyTypeObject *BOOL_TYPE "&PyBool_Type"
    PyTypeObject *BYTES_TYPE "&PyBytes_Type"
    PyTypeObject *SET_TYPE "&PySet_Type"
    PyTypeObject *FROZENSET_TYPE "&PyFrozenSet_Type"
    PyTypeObject *DICT_TYPE "&PyDict_Type"
    PyTypeObject *TUPLE_TYPE "&PyTuple_Type"
    PyTypeObject *LIST_TYPE "&PyList_Type"
