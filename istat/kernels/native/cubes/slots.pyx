# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A slot for each thread: what its writes go to, and a standby that a collector swaps in. Knows no cubes and no metrics.

The specification is the Python twin. Here the interpreter's lock is the slot's: nothing between looking at `busy` and
setting it lets another thread run, so that finding the slot and guarding it is all that a write costs besides its call.
"""
cimport cython
from cpython.object cimport PyObject

cdef extern from "Python.h":
    PyObject *PyThreadState_GetDict() except NULL
    PyObject *PyDict_GetItemWithError(PyObject *of, PyObject *key) except? NULL
    object PyObject_Call(object call, object args, object named)


cdef class Slot:
    """One thread's. `active` and `standby` are whatever the owner of the slots made."""
    cdef readonly object active
    cdef readonly object standby
    cdef readonly bint busy         # a write of the slot's thread is under way
    cdef readonly bint ended        # its thread is no more
    cdef list calls                 # of the active side, by number
    cdef list standby_calls
    cdef list put_off
    cdef bint asked                 # for an exchange by the slot's thread,
    cdef bint done                  # which has been made

    def __init__(self, active, standby):
        self.active = active
        self.standby = standby
        self.calls = []
        self.standby_calls = []
        self.put_off = []

    @property
    def waiting(self):
        """Whether a `swap` was asked for that has not returned True yet: the sides may be exchanged at any moment."""
        return self.asked or self.done

    def swap(self):
        """Exchange the sides, for a collector. False while a write is under way: the sides are exchanged after it, and
        the next calls tell when that has happened."""
        if not self.done:
            if self.busy:
                self.asked = True
                return False
            self.exchange()
        self.asked = self.done = False
        return True

    cdef void exchange(self):
        self.active, self.standby = self.standby, self.active
        self.calls, self.standby_calls = self.standby_calls, self.calls

    def forget(self):
        """Calls may lead nowhere any more: those of both sides are looked for at their next use."""
        self.calls = []
        self.standby_calls = []

    cdef object learn(self, Slots slots, Py_ssize_t number):
        """What a number means on the active side, looked for and kept."""
        found = slots.resolve(self, number)     # which may forget
        if number >= len(self.calls):
            self.calls.extend([None] * (number + 1 - len(self.calls)))
        self.calls[number] = found
        return found


@cython.no_gc_clear             # __dealloc__ needs the slot
cdef class Owner:
    """Lies in a thread's own memory, which goes when the thread ends."""
    cdef Slot slot

    def __dealloc__(self):
        if self.slot is not None:
            self.slot.ended = True


cdef class Slots:
    """The slots of all threads that have written."""
    cdef object make, resolve, failed
    cdef object key                 # under which a thread's memory has its owner
    cdef readonly list all

    def __init__(self, make, resolve, failed):
        """See the twin."""
        self.make = make
        self.resolve = resolve
        self.failed = failed
        self.renew()

    def renew(self):
        """Begin anew without a slot, as in a process that was forked: the slots that there were."""
        before = self.all or []
        (<dict> <object> PyThreadState_GetDict()).pop(self.key, None)
        self.all = []
        self.key = object()
        return before

    cdef Slot find(self):
        cdef PyObject *own = PyThreadState_GetDict()
        cdef PyObject *found = PyDict_GetItemWithError(own, <PyObject *> self.key)
        if found != NULL:
            return (<Owner> found).slot
        return self.begin()

    cdef Slot begin(self):
        """A slot for a thread that has none."""
        cdef Owner owner = Owner.__new__(Owner)
        owner.slot = self.make()
        (<dict> <object> PyThreadState_GetDict())[self.key] = owner
        self.all.append(owner.slot)
        return owner.slot

    def mine(self):
        """The calling thread's slot."""
        return self.find()

    def remove(self, slot):
        """Of a thread that has ended."""
        self.all.remove(slot)


cdef class Write:
    """A call that goes to the slot of the thread that calls."""
    cdef Slots slots
    cdef Py_ssize_t number

    def __init__(self, Slots slots not None, Py_ssize_t number):
        if number < 0:
            raise ValueError("calls are numbered from 0 on")
        self.slots = slots
        self.number = number

    def __call__(self, *args, **named):
        """What the call returns; True for one that was put off."""
        cdef Slot slot = self.slots.find()
        cdef object call = None
        if slot.busy:
            slot.put_off.append((self, args, named))
            return True
        slot.busy = True
        try:
            if self.number < len(slot.calls):
                call = slot.calls[self.number]
            if call is None:
                call = slot.learn(self.slots, self.number)
            return PyObject_Call(call, args, named)
        finally:
            slot.busy = False
            if slot.asked:
                slot.exchange()
                slot.asked = False
                slot.done = True
            if slot.put_off:
                self.catch_up(slot)

    cdef object catch_up(self, Slot slot):
        """Do what was put off."""
        while slot.put_off:
            write, args, named = slot.put_off.pop(0)
            try:
                write(*args, **named)
            except Exception as error:
                self.slots.failed(error)
