# The alphabet for C, the few calls of Python's C interface that hand out their own references, and bytes in and out.

cdef extern from *:
    """
    #ifndef NETSTRUCTER_SOURCES
    #define NETSTRUCTER_SOURCES ""
    #endif
    #define NS_SOURCES NETSTRUCTER_SOURCES

    enum {
        NS_BULK_FROM = 16, NS_LENGTH_WIDE = 248,
        NS_FIX_DICT = 0x80, NS_FIX_LIST = 0x90, NS_FIX_STR = 0xA0, NS_FIX_TUPLE = 0xC0, NS_NEGATIVE = 0xE0, NS_INT = 0xDF,
        NS_INT_BIG = 0xE8, NS_FLOAT, NS_NONE, NS_FALSE, NS_TRUE, NS_STR, NS_BYTES, NS_LIST, NS_TUPLE, NS_SET, NS_SET_RUN,
        NS_FROZENSET, NS_FROZENSET_RUN, NS_DICT, NS_RUN, NS_TABLE, NS_BLOB = 0xFD, NS_BYTEARRAY = 0xFE,
        NS_RUN_FLOATS = 8, NS_RUN_BOOLS = 9, NS_RUN_TEXTS = 11, NS_ROWS_LIST = 0, NS_ROWS_TUPLE = 1, NS_ROWS_DICT = 2,
        NS_WIDE_ROW = 64, NS_DICT_COST = 2, NS_SET_COST = 3, NS_BLOB_COST = 3,
        NS_BREATH = 1024
    };

    /* Whether a text is ASCII, and then where its bytes are. */
    static inline int ns_ascii(PyObject *text, const char **bytes, Py_ssize_t *size) {
    #if PY_VERSION_HEX < 0x030C0000
        if (PyUnicode_READY(text) < 0) { PyErr_Clear(); return 0; }
    #endif
        if (!PyUnicode_IS_ASCII(text)) return 0;
        *bytes = (const char *)PyUnicode_1BYTE_DATA(text);
        *size = PyUnicode_GET_LENGTH(text);
        return 1;
    }

    /* The UTF-8 of a text; NULL with nothing raised if it holds a lone surrogate.  An `except` in Cython that goes on
       would drop a traceback that is not there, if there was no memory to make it. */
    static inline PyObject *ns_utf8(PyObject *text) {
        PyObject *raw = PyUnicode_AsUTF8String(text);
        if (raw == NULL && PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) PyErr_Clear();
        return raw;
    }

    /* By how many bytes a text that is not ASCII is larger in memory than its `size` bytes of UTF-8. */
    static inline long long ns_widening(PyObject *text, Py_ssize_t size) {
        long long bytes = (long long)PyUnicode_KIND(text) * (long long)PyUnicode_GET_LENGTH(text) - (long long)size;
        return bytes > 0 ? bytes : 0;
    }

    /* Write an int of 64 bits; the bytes that it takes, at most 9. */
    static inline Py_ssize_t ns_put_int(unsigned char *out, long long number) {
        unsigned long long rest;
        int size = 1, place;
        if (number >= -16 && number < 128) {
            out[0] = (unsigned char)(number >= 0 ? number : NS_NEGATIVE + number);
            return 1;
        }
        for (rest = (number < 0 ? ~(unsigned long long)number : (unsigned long long)number) >> 7; rest; rest >>= 8) size++;
        out[0] = (unsigned char)(NS_INT + size);
        for (place = size, rest = (unsigned long long)number; place > 0; place--, rest >>= 8)
            out[place] = (unsigned char)rest;
        return size + 1;
    }

    /* Read an int of 1 to 8 bytes; -1 if fewer would hold it. */
    static inline int ns_get_int(const unsigned char *data, int width, long long *number) {
        unsigned long long bits = data[0] & 0x80 ? ~0ULL : 0ULL;
        int place;
        for (place = 0; place < width; place++) bits = bits << 8 | data[place];
        memcpy(number, &bits, sizeof bits);
        if (width == 1) return *number >= -16 && *number <= 127 ? -1 : 0;
        return data[0] == (data[1] & 0x80 ? 0xFF : 0x00) ? -1 : 0;
    }

    static inline void ns_put_float(unsigned char *out, double number) {
        unsigned long long bits = 0x7FF8000000000000ULL;
        int place;
        if (number == number) memcpy(&bits, &number, sizeof bits);
        out[0] = NS_FLOAT;
        for (place = 8; place > 0; place--, bits >>= 8) out[place] = (unsigned char)bits;
    }

    /* Read a double; -1 if it is a nan but not the one nan. */
    static inline int ns_get_float(const unsigned char *data, double *number) {
        unsigned long long bits = 0;
        int place;
        for (place = 0; place < 8; place++) bits = bits << 8 | data[place];
        memcpy(number, &bits, sizeof bits);
        return *number != *number && bits != 0x7FF8000000000000ULL ? -1 : 0;
    }

    /* Write a length; the bytes that it takes, at most 9. */
    static inline Py_ssize_t ns_put_length(unsigned char *out, Py_ssize_t length) {
        unsigned long long rest = (unsigned long long)length;
        int width = 0, place;
        if (length < NS_LENGTH_WIDE) {
            out[0] = (unsigned char)length;
            return 1;
        }
        for (; rest; rest >>= 8) width++;
        out[0] = (unsigned char)(NS_LENGTH_WIDE - 1 + width);
        for (place = width, rest = (unsigned long long)length; place > 0; place--, rest >>= 8)
            out[place] = (unsigned char)rest;
        return width + 1;
    }

    /* What is compared in no time (collisions.ATOMS). */
    static inline int ns_is_atom(PyObject *item) {
        return PyUnicode_CheckExact(item) || PyLong_CheckExact(item) || PyBytes_CheckExact(item)
            || PyFloat_CheckExact(item) || item == Py_None || PyBool_Check(item);
    }

    static inline int ns_are_atoms(PyObject **items, Py_ssize_t count, Py_ssize_t step) {
        Py_ssize_t place;
        for (place = 0; place < count; place += step) if (!ns_is_atom(items[place])) return 0;
        return 1;
    }

    /* Put the keys and values of a dict where `work` points, with references of their own; how many they are, at most
       `most`. */
    static inline Py_ssize_t ns_dict_items(PyObject *dict, PyObject **work, Py_ssize_t most) {
        Py_ssize_t at = 0, count = 0;
        PyObject *key, *value;
        while (count < most && PyDict_Next(dict, &at, &key, &value)) {
            Py_INCREF(key);
            Py_INCREF(value);
            work[count++] = key;
            work[count++] = value;
        }
        return count;
    }

    /* A list or a tuple of the references that stand at `items`, which become its own. */
    static inline PyObject *ns_list_of(PyObject **items, Py_ssize_t count) {
        Py_ssize_t place;
        PyObject *made = PyList_New(count);
        if (made != NULL) for (place = 0; place < count; place++) PyList_SET_ITEM(made, place, items[place]);
        return made;
    }

    static inline PyObject *ns_tuple_of(PyObject **items, Py_ssize_t count) {
        Py_ssize_t place;
        PyObject *made = PyTuple_New(count);
        if (made != NULL) for (place = 0; place < count; place++) PyTuple_SET_ITEM(made, place, items[place]);
        return made;
    }

    static inline PyObject *ns_dict_of(PyObject **items, Py_ssize_t count) {
        Py_ssize_t place;
        PyObject *made = PyDict_New();
        for (place = 0; made != NULL && place < count; place += 2)
            if (PyDict_SetItem(made, items[place], items[place + 1]) < 0) Py_CLEAR(made);
        return made;
    }

    static inline PyObject *ns_set_of(PyObject **items, Py_ssize_t count, int mutable_) {
        Py_ssize_t place;
        PyObject *made = mutable_ ? PySet_New(NULL) : PyFrozenSet_New(NULL);
        for (place = 0; made != NULL && place < count; place++)
            if (PySet_Add(made, items[place]) < 0) Py_CLEAR(made);
        return made;
    }

    /* A set of ints of one byte each. */
    static inline PyObject *ns_set_of_bytes(const unsigned char *data, Py_ssize_t count, int mutable_) {
        PyObject *items[NS_BULK_FROM];
        PyObject *made;
        Py_ssize_t place, got = 0;
        for (; got < count; got++) if ((items[got] = PyLong_FromLong(data[got])) == NULL) break;
        made = got == count ? ns_set_of(items, count, mutable_) : NULL;
        for (place = 0; place < got; place++) Py_DECREF(items[place]);
        return made;
    }

    /* Whether an ASCII text has these bytes. */
    static inline int ns_is_text(PyObject *text, const unsigned char *data, Py_ssize_t size) {
        return PyUnicode_GET_LENGTH(text) == size && memcmp(PyUnicode_1BYTE_DATA(text), data, (size_t)size) == 0;
    }

    /* Where the text of these bytes stands among `count` that are kept, a power of two. */
    static inline unsigned ns_slot(const unsigned char *data, Py_ssize_t size, unsigned count) {
        unsigned found = (unsigned)size;
        while (size-- > 0) found = found * 31u + *data++;
        return (found ^ found >> 7) & (count - 1);
    }
    """
    const char *NS_SOURCES
    enum:
        BULK_FROM "NS_BULK_FROM"
        LENGTH_WIDE "NS_LENGTH_WIDE"
        FIX_DICT "NS_FIX_DICT"
        FIX_LIST "NS_FIX_LIST"
        FIX_STR "NS_FIX_STR"
        FIX_TUPLE "NS_FIX_TUPLE"
        NEGATIVE "NS_NEGATIVE"
        INT "NS_INT"
        INT_BIG "NS_INT_BIG"
        FLOAT "NS_FLOAT"
        NONE "NS_NONE"
        FALSE "NS_FALSE"
        TRUE "NS_TRUE"
        STR "NS_STR"
        BYTES "NS_BYTES"
        LIST "NS_LIST"
        TUPLE "NS_TUPLE"
        SET "NS_SET"
        SET_RUN "NS_SET_RUN"
        FROZENSET "NS_FROZENSET"
        FROZENSET_RUN "NS_FROZENSET_RUN"
        DICT "NS_DICT"
        RUN "NS_RUN"
        TABLE "NS_TABLE"
        BLOB "NS_BLOB"
        BYTEARRAY "NS_BYTEARRAY"
        RUN_FLOATS "NS_RUN_FLOATS"
        RUN_BOOLS "NS_RUN_BOOLS"
        RUN_TEXTS "NS_RUN_TEXTS"
        ROWS_LIST "NS_ROWS_LIST"
        ROWS_TUPLE "NS_ROWS_TUPLE"
        ROWS_DICT "NS_ROWS_DICT"
        WIDE_ROW "NS_WIDE_ROW"
        DICT_COST "NS_DICT_COST"
        SET_COST "NS_SET_COST"
        BLOB_COST "NS_BLOB_COST"
        BREATH "NS_BREATH"
    bint ns_ascii(object text, const char **data, Py_ssize_t *size)
    PyObject *ns_utf8(object text)
    long long ns_widening(object text, Py_ssize_t size)
    Py_ssize_t ns_put_int(unsigned char *out, long long number)
    int ns_get_int(const unsigned char *data, int width, long long *number)
    void ns_put_float(unsigned char *out, double number)
    int ns_get_float(const unsigned char *data, double *number)
    Py_ssize_t ns_put_length(unsigned char *out, Py_ssize_t length)
    bint ns_are_atoms(PyObject **items, Py_ssize_t count, Py_ssize_t step)
    Py_ssize_t ns_dict_items(object dict, PyObject **work, Py_ssize_t most)
    PyObject *ns_list_of(PyObject **items, Py_ssize_t count)
    PyObject *ns_tuple_of(PyObject **items, Py_ssize_t count)
    PyObject *ns_dict_of(PyObject **items, Py_ssize_t count)
    PyObject *ns_set_of(PyObject **items, Py_ssize_t count, bint mutable_)
    PyObject *ns_set_of_bytes(const unsigned char *data, Py_ssize_t count, bint mutable_)
    bint ns_is_text(PyObject *text, const unsigned char *data, Py_ssize_t size)
    unsigned ns_slot(const unsigned char *data, Py_ssize_t size, unsigned count)

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object number, int *overflow) except? -1
    PyObject *PyErr_Occurred()
    object PySequence_List(object items)
    Py_ssize_t PyDict_GET_SIZE "PyDict_Size"(object items)
    PyObject *PyList_GET_ITEM(object items, Py_ssize_t place)
    PyObject *PyTuple_GET_ITEM(object items, Py_ssize_t place)
    PyObject *new_int "PyLong_FromLongLong"(long long number)
    PyObject *new_float "PyFloat_FromDouble"(double number)
    PyObject *new_text "PyUnicode_DecodeUTF8"(const char *data, Py_ssize_t size, const char *errors)
    PyObject *new_bytes "PyBytes_FromStringAndSize"(const char *data, Py_ssize_t size)
    PyObject *new_list "PyList_New"(Py_ssize_t size)
    PyObject *new_tuple "PyTuple_New"(Py_ssize_t size)
    PyObject *new_dict "PyDict_New"()
    Py_ssize_t text_length "PyUnicode_GET_LENGTH"(PyObject *text)
    Py_ssize_t PyDict_SizeOf "PyDict_Size"(PyObject *items)
    Py_ssize_t list_size "PyList_GET_SIZE"(PyObject *items)
    Py_ssize_t set_size "PySet_GET_SIZE"(PyObject *items)
    object bytes_of "PyBytes_FromStringAndSize"(const char *data, Py_ssize_t size)
    long long kind_width "ns_widening"(PyObject *text, Py_ssize_t size)


cdef int raised() except -1:
    """What C has raised."""
    return -1
