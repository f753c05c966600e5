# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Compiled patterns: deterministic automata, run in a time that is the name's length. Knows no names' table.

The specification is the Python twin.
"""
from libc.stdint cimport uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy


cdef class Pattern:
    """A compiled pattern: a deterministic automaton, and what its names must begin with and contain.

    classes: 256 bytes, the class of each byte. moves: little-endian 16-bit states, a row of classes for each
    state; state 0 fails, 1 accepts whatever follows, 2 is the first. accepts: a byte for each state. ValueError when that does not fit.
    """
    def __cinit__(self, bytes classes not None, bytes moves not None, bytes accepts not None, bytes prefix=b"",
                  literals=()):
        cdef Py_ssize_t states = len(accepts)
        cdef Py_ssize_t i
        if len(classes) != 256 or states < 3:
            raise ValueError("a pattern has 256 classes and at least 3 states")
        self.width = max(classes) + 1
        if len(moves) != 2 * states * self.width:
            raise ValueError(f"{states} states of {self.width} classes are not {len(moves)} bytes")
        self.moves = <uint16_t *> malloc(len(moves))
        self.accepts = <uint8_t *> malloc(states)
        if self.moves == NULL or self.accepts == NULL:
            raise MemoryError()
        memcpy(self.classes, <const char *> classes, 256)
        memcpy(self.accepts, <const char *> accepts, states)
        for i in range(states * self.width):
            self.moves[i] = <uint16_t> (<uint8_t> moves[2 * i] | <uint16_t> <uint8_t> moves[2 * i + 1] << 8)
            if self.moves[i] >= states:
                raise ValueError(f"there is no state {self.moves[i]}")
        self.prefix = prefix
        self.literals = tuple(literals)

    def __dealloc__(self):
        free(self.moves)
        free(self.accepts)

    def fits(self, bytes name not None):
        """Whether the whole name fits."""
        return self.run(name, len(name))

    cdef bint run(self, const char *name, Py_ssize_t size) noexcept nogil:
        cdef uint32_t state = 2
        cdef Py_ssize_t i
        for i in range(size):
            state = self.moves[state * self.width + self.classes[<uint8_t> name[i]]]
            if state < 2:
                return state
        return self.accepts[state]
