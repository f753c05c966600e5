# Text that grows, and numbers as JSON has them: for other kernels that write text.

cdef enum:
    # No number is longer: a sign, 16 digits, a point and some 40 digits of a fraction.
    NUMBER_ROOM = 80

cdef struct Text:
    char *data
    Py_ssize_t used
    Py_ssize_t room

cdef int make_room(Text *text, Py_ssize_t more) noexcept nogil          # for more bytes; -1 without memory
cdef void put_number(Text *text, double value) noexcept nogil           # there is NUMBER_ROOM
