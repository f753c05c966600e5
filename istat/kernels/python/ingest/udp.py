"""Draining a UDP socket: many datagrams a call, laid out as few runs of whole lines.

This is the specification of `native/ingest/udp.pyx`, which does the same with one recvmmsg(2) a call.
What runs, refusals and totals say is specified; how many calls of the system it takes, and how the buffer is laid out,
is not. It knows datagrams and line feeds; what a line means, and who a sender is, it does not know.
"""
from __future__ import annotations

import mmap
import os
import socket
import sys

# Linux: a control message with the count of datagrams that the kernel dropped on this socket since
# it was opened, 32 bits wide (socket(7), include/uapi/asm-generic/socket.h). Python has no name for it.
SO_RXQ_OVFL = 40

# Slots of the buffer lie this many bytes further apart than a datagram may be long [bytes]. A stride of
# exactly 64 KiB would put the same part of every datagram into the same few cache sets.
SLOT_SPREAD = 64 * 23

# Of the datagrams refused by one drain, how many are shown to the caller, and how much of each [bytes].
SHOWN_REFUSALS = 4
SHOWN_BYTES = 200

# (start, end, sender, datagrams): bytes [start, end) of `buffer`, whole lines of one sender.
Run = tuple[int, int, bytes, int]
# (reason, sender, first bytes): reason is "truncated" or "unterminated".
Refusal = tuple[str, bytes, bytes]


class Receiver:
    """Reads what waits on one bound UDP socket.

    fd: the socket, IPv4 or IPv6; the receiver works on a duplicate and leaves the original to its owner.
    batch: datagrams a `drain` takes at most. size: longest datagram accepted [bytes]; UDP's own limit
    is 65,507.

    After a `drain`:

    * `buffer` is a writable view; `runs` says which of its bytes are lines, and whose. Datagrams of one
      sender that came one after the other are one run, without a gap. Both are good until the next drain.
    * `refused` shows the first few of what was taken out: datagrams cut by the kernel ("truncated"), and what
      follows the last line feed of others ("unterminated", an empty datagram included).
    * `datagrams`, `received` [bytes], `truncated`, `unterminated` are totals since the start, and
      `drops` is the kernel's: datagrams lost because the socket's buffer was full, as known when the last
      datagram arrived.

    A sender is its port (2 bytes, network order) and its address (4 or 16 bytes), in one bytes object.
    """

    def __init__(self, fd: int, batch: int = 256, size: int = 65536) -> None:
        if batch < 1 or size < 1:
            raise ValueError("batch and size must be at least 1")
        self._batch = batch
        self._size = size
        self._stride = size + SLOT_SPREAD
        self._memory = mmap.mmap(-1, batch * self._stride)
        # Huge pages would make every slot resident though datagrams rarely fill more than one page.
        self._memory.madvise(mmap.MADV_NOHUGEPAGE)
        self.buffer = memoryview(self._memory)
        self._socket = socket.socket(fileno=os.dup(fd))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
        self.runs: list[Run] = []
        self.refused: list[Refusal] = []
        self.datagrams = 0
        self.received = 0
        self.truncated = 0
        self.unterminated = 0
        self.drops = 0

    def drain(self) -> int:
        """Take up to `batch` waiting datagrams; how many were taken (0: nothing waits). Never blocks.

        OSError as recvmsg(2) raises it, except that an interrupted call takes nothing and returns 0.
        """
        self.runs = []
        self.refused = []
        end = 0
        taken = 0
        while taken < self._batch:
            start = taken * self._stride
            slot = self.buffer[start:start + self._size]
            try:
                length, control, flags, address = self._socket.recvmsg_into(
                    [slot], socket.CMSG_SPACE(4), socket.MSG_DONTWAIT)
            except (BlockingIOError, InterruptedError):
                break
            taken += 1
            self.received += length
            self._note_drops(control)
            sender = _sender(address)
            length = self._whole(start, length, flags, sender)
            if length:
                self.buffer[end:end + length] = self.buffer[start:start + length]
                self._add_to_runs(end, end + length, sender)
                end += length
        self.datagrams += taken
        return taken

    def close(self) -> None:
        """Give the buffer and the duplicate of the socket back. Views of `buffer` must be gone by then."""
        self.runs = []
        self._socket.close()
        self.buffer.release()
        self._memory.close()

    def _note_drops(self, control: list[tuple[int, int, bytes]]) -> None:
        for level, kind, data in control:
            if level == socket.SOL_SOCKET and kind == SO_RXQ_OVFL and len(data) >= 4:
                count = int.from_bytes(data[:4], sys.byteorder)
                self.drops += (count - self.drops) & 0xFFFFFFFF     # the kernel's counter wraps at 32 bits

    def _whole(self, start: int, length: int, flags: int, sender: bytes) -> int:
        """How many bytes of a datagram are whole lines; what is not is refused."""
        if flags & socket.MSG_TRUNC:
            self.truncated += 1
            self._refuse("truncated", start, length, sender)
            return 0
        whole = bytes(self.buffer[start:start + length]).rfind(b"\n") + 1
        if whole < length or not length:
            self.unterminated += 1
            self._refuse("unterminated", start + whole, length - whole, sender)
        return whole

    def _refuse(self, reason: str, start: int, length: int, sender: bytes) -> None:
        if len(self.refused) < SHOWN_REFUSALS:
            self.refused.append((reason, sender, bytes(self.buffer[start:start + min(length, SHOWN_BYTES)])))

    def _add_to_runs(self, start: int, end: int, sender: bytes) -> None:
        if self.runs and self.runs[-1][2] == sender:
            first, _, _, datagrams = self.runs[-1]
            self.runs[-1] = (first, end, sender, datagrams + 1)
        else:
            self.runs.append((start, end, sender, 1))




def _sender(address: tuple[str, int] | tuple[str, int, int, int]) -> bytes:
    host, port = address[0].partition("%")[0], address[1]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return port.to_bytes(2, "big") + socket.inet_pton(family, host)
