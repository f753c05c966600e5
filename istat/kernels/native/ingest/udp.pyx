# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Draining a UDP socket with recvmmsg(2): the fast build of `python/udp.py`, which is its specification.

The wait for the kernel's copy runs without the GIL; moving the datagrams together (some 40 ns each)
does not.
"""
import mmap
import os
import socket

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memmove

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <netinet/in.h>
    #include <stdint.h>
    #include <string.h>
    #include <sys/socket.h>

    #ifndef SO_RXQ_OVFL
    #define SO_RXQ_OVFL 40
    #endif

    typedef union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage room;
    } istat_address;

    /* Port (2 bytes) and address (4 or 16), both in network order, into out (18 bytes); the length. */
    static int istat_sender(const istat_address *from, uint8_t *out) {
        if (from->any.sa_family == AF_INET6) {
            memcpy(out, &from->v6.sin6_port, 2);
            memcpy(out + 2, &from->v6.sin6_addr, 16);
            return 18;
        }
        memcpy(out, &from->v4.sin_port, 2);
        memcpy(out + 2, &from->v4.sin_addr, 4);
        return 6;
    }

    /* The kernel's drop counter of a received message into *count; 0 when the message carries none. */
    static int istat_drops(struct msghdr *message, uint32_t *count) {
        struct cmsghdr *c;
        for (c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
            if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL
                && c->cmsg_len >= CMSG_LEN(sizeof *count)) {
                memcpy(count, CMSG_DATA(c), sizeof *count);
                return 1;
            }
        }
        return 0;
    }

    #define ISTAT_CONTROL 64    /* bytes for control messages: one drop counter needs 24 */
    """
    ctypedef struct istat_address:
        pass
    struct iovec:
        void *iov_base
        size_t iov_len
    struct msghdr:
        void *msg_name
        unsigned int msg_namelen
        iovec *msg_iov
        size_t msg_iovlen
        void *msg_control
        size_t msg_controllen
        int msg_flags
    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    int recvmmsg(int fd, mmsghdr *messages, unsigned int count, int flags, void *timeout) nogil
    int istat_sender(const istat_address *source, uint8_t *out) nogil
    int istat_drops(msghdr *message, uint32_t *count) nogil
    int MSG_DONTWAIT
    int MSG_TRUNC
    int ISTAT_CONTROL
    int RXQ_OVFL "SO_RXQ_OVFL"

SO_RXQ_OVFL = RXQ_OVFL
SLOT_SPREAD = 64 * 23       # why: see the twin
SHOWN_REFUSALS = 4
SHOWN_BYTES = 200


cdef class Receiver:
    """As the twin's `Receiver`: the same arguments, attributes and errors."""

    cdef readonly object buffer
    cdef readonly list runs
    cdef readonly list refused
    cdef readonly uint64_t datagrams, received, truncated, unterminated, drops
    cdef object _memory
    cdef int _fd
    cdef unsigned int _batch
    cdef size_t _size, _stride
    cdef uint8_t *_data
    cdef mmsghdr *_messages
    cdef iovec *_vectors
    cdef istat_address *_addresses
    cdef char *_controls

    def __cinit__(self):
        self._fd = -1

    def __init__(self, int fd, unsigned int batch=256, size_t size=65536):
        if batch < 1 or size < 1:
            raise ValueError("batch and size must be at least 1")
        if self._messages != NULL:
            raise RuntimeError("a receiver is made once")
        self._batch = batch
        self._size = size
        self._stride = size + SLOT_SPREAD
        self._messages = <mmsghdr *>calloc(batch, sizeof(mmsghdr))
        self._vectors = <iovec *>calloc(batch, sizeof(iovec))
        self._addresses = <istat_address *>calloc(batch, sizeof(istat_address))
        self._controls = <char *>calloc(batch, ISTAT_CONTROL)
        if (self._messages == NULL or self._vectors == NULL or self._addresses == NULL
                or self._controls == NULL):
            raise MemoryError()
        self._memory = mmap.mmap(-1, batch * self._stride)
        self._memory.madvise(mmap.MADV_NOHUGEPAGE)
        self.buffer = memoryview(self._memory)
        cdef uint8_t[::1] view = self.buffer
        self._data = &view[0]
        self._prepare()
        self._fd = os.dup(fd)
        with socket.socket(fileno=os.dup(fd)) as own:
            own.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
        self.runs = []
        self.refused = []

    def __dealloc__(self):
        free(self._messages)
        free(self._vectors)
        free(self._addresses)
        free(self._controls)
        if self._fd >= 0:
            os.close(self._fd)

    cdef void _prepare(self):
        cdef unsigned int i
        for i in range(self._batch):
            self._vectors[i].iov_base = self._data + i * self._stride
            self._vectors[i].iov_len = self._size
            self._messages[i].msg_hdr.msg_iov = &self._vectors[i]
            self._messages[i].msg_hdr.msg_iovlen = 1
            self._messages[i].msg_hdr.msg_name = &self._addresses[i]
            self._messages[i].msg_hdr.msg_control = self._controls + i * ISTAT_CONTROL
            self._refresh(i)

    cdef void _refresh(self, unsigned int i) noexcept:
        # What the kernel overwrites with what it used.
        self._messages[i].msg_hdr.msg_namelen = sizeof(istat_address)
        self._messages[i].msg_hdr.msg_controllen = ISTAT_CONTROL
        self._messages[i].msg_hdr.msg_flags = 0

    def drain(self):
        if self._fd < 0:
            raise ValueError("the receiver is closed")
        cdef int taken, fd = self._fd, error = 0
        self.runs = []
        self.refused = []
        with nogil:
            taken = recvmmsg(fd, self._messages, self._batch, MSG_DONTWAIT, NULL)
            if taken < 0:
                error = errno
        if taken < 0:
            if error == EAGAIN or error == EINTR:
                return 0
            raise OSError(error, os.strerror(error))
        self._collect(<unsigned int>taken)
        self.datagrams += <unsigned int>taken
        return taken

    cdef _collect(self, unsigned int taken):
        cdef uint8_t sender[18]
        cdef uint8_t last[18]
        cdef int sender_length, last_length = 0
        cdef unsigned int i, datagrams = 0
        cdef size_t length, whole, start = 0, end = 0
        cdef uint32_t dropped
        cdef uint8_t *data
        for i in range(taken):
            data = self._data + i * self._stride
            length = self._messages[i].msg_len
            self.received += length
            if istat_drops(&self._messages[i].msg_hdr, &dropped):
                self.drops += <uint32_t>(dropped - <uint32_t>self.drops)
            sender_length = istat_sender(&self._addresses[i], sender)
            if self._messages[i].msg_hdr.msg_flags & MSG_TRUNC:
                self.truncated += 1
                self._refuse("truncated", data, length, sender, sender_length)
                self._refresh(i)
                continue
            whole = length
            while whole and data[whole - 1] != 10:
                whole -= 1
            if whole < length or length == 0:
                self.unterminated += 1
                self._refuse("unterminated", data + whole, length - whole, sender, sender_length)
            if whole:
                if datagrams and (sender_length != last_length or memcmp(sender, last, sender_length)):
                    self.runs.append((start, end, last[:last_length], datagrams))
                    start = end
                    datagrams = 0
                if not datagrams:
                    memcpy(last, sender, sender_length)
                    last_length = sender_length
                # Never upwards: what came before is at most one slot each.
                memmove(self._data + end, data, whole)
                end += whole
                datagrams += 1
            self._refresh(i)
        if datagrams:
            self.runs.append((start, end, last[:last_length], datagrams))

    cdef _refuse(self, str reason, uint8_t *data, size_t length, uint8_t *sender, int sender_length):
        if len(self.refused) < SHOWN_REFUSALS:
            length = min(length, <size_t>SHOWN_BYTES)
            self.refused.append((reason, sender[:sender_length], data[:length]))

    def close(self):
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self.runs = []
            self._data = NULL
            self.buffer.release()
            self._memory.close()
