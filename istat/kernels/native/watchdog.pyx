# cython: language_level=3
"""Executes this process anew when its event loop stands still while something of others runs. The specification is
istat/kernels/python/watchdog.py.

A thread of the system that never takes the interpreter's lock: so it goes on whoever holds that. Between `start` and
`stop` it touches plain memory only, and calls what signal-safety(7) allows.
"""

from libc.stdlib cimport calloc, free

cdef extern from *:
    """
    #include <errno.h>
    #include <fcntl.h>
    #include <poll.h>
    #include <pthread.h>
    #include <signal.h>
    #include <stdint.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/eventfd.h>
    #include <unistd.h>

    #define WD_HEADER 32
    #define WD_SLOT 256
    #define WD_ANEW 16
    #define WD_STILL 20
    #define WD_TICKS 5              /* looks in the time that the loop may stand still */
    #define WD_STACK (256 * 1024)   /* bytes: the handler that tells where all threads are runs here */

    typedef struct {
        unsigned char *marks;
        size_t bytes;
        char *program;
        char **arguments, **environment;
        int *keep;
        int kept, folder, told, wake, tick;
        volatile unsigned long beats;
        volatile int watches;
        pthread_t thread;
        sigset_t mask;
    } Watched;

    /* A word to end that came while the loop stood still would be lost with the handlers: it is remembered. */
    static const int wd_ends[] = {SIGTERM, SIGINT};
    static struct sigaction wd_before[2];
    static volatile sig_atomic_t wd_ending;

    static void wd_end(int number, siginfo_t *info, void *context) {
        const struct sigaction *before = &wd_before[number == SIGINT];
        wd_ending = 1;
        if (before->sa_flags & SA_SIGINFO) before->sa_sigaction(number, info, context);
        else if (before->sa_handler != SIG_DFL && before->sa_handler != SIG_IGN) before->sa_handler(number);
        else if (before->sa_handler == SIG_DFL) _exit(128 + number);
    }

    static void wd_hear(void) {
        for (int i = 0; i < 2; i++) {
            struct sigaction now;
            if (sigaction(wd_ends[i], NULL, &wd_before[i]) || wd_before[i].sa_handler == SIG_IGN) continue;
            if ((wd_before[i].sa_flags & SA_SIGINFO) && wd_before[i].sa_sigaction == wd_end) continue;
            now = wd_before[i];
            now.sa_flags |= SA_SIGINFO;
            now.sa_sigaction = wd_end;
            sigaction(wd_ends[i], &now, NULL);
        }
    }

    static void wd_deafen(void) {
        for (int i = 0; i < 2; i++) {
            struct sigaction now;
            if (!sigaction(wd_ends[i], NULL, &now) && (now.sa_flags & SA_SIGINFO) && now.sa_sigaction == wd_end)
                sigaction(wd_ends[i], &wd_before[i], NULL);
        }
        wd_ending = 0;
    }

    static void wd_add(unsigned char *at, uint32_t value) {
        uint32_t before;
        memcpy(&before, at, 4);
        before += value;
        memcpy(at, &before, 4);
    }

    static void wd_anew(Watched *w) {
        static const char failed[] = "istat: the program cannot be executed anew, and ends\\n";
        if (wd_ending) _exit(0);
        wd_add(w->marks + WD_ANEW, 1);
        w->marks[WD_STILL] = 1;
        if (w->told) pthread_kill(pthread_self(), w->told);
        for (int i = 0; i < w->kept; i++) fcntl(w->keep[i], F_SETFD, 0);
        if (w->folder >= 0 && fchdir(w->folder)) { /* what is named in full is found all the same */ }
        pthread_sigmask(SIG_SETMASK, &w->mask, NULL);
        execve(w->program, w->arguments, w->environment);
        if (write(2, failed, sizeof failed - 1) < 0) { /* nobody can be told */ }
        abort();
    }

    static void *wd_watch(void *given) {
        Watched *w = given;
        unsigned long last = w->beats;
        int still = 0;
        struct pollfd wake = {w->wake, POLLIN, 0};
        while (w->watches) {
            int marked = 0;
            /* Looks are counted, not seconds: a process that was stopped, and a machine that slept, stood still, too. */
            poll(&wake, 1, w->tick);
            for (size_t at = WD_HEADER; at < w->bytes && !marked; at += WD_SLOT) marked = w->marks[at];
            still = marked && w->beats == last ? still + 1 : 0;
            last = w->beats;
            if (still >= WD_TICKS && w->watches) wd_anew(w);
        }
        return NULL;
    }

    static int wd_start(Watched *w) {
        sigset_t all;
        pthread_attr_t attributes;
        sigfillset(&all);
        if (w->told) sigdelset(&all, w->told);
        w->wake = eventfd(0, EFD_CLOEXEC);
        if (w->wake < 0) return errno;
        w->watches = 1;
        wd_hear();
        pthread_attr_init(&attributes);
        pthread_attr_setstacksize(&attributes, WD_STACK);
        pthread_sigmask(SIG_SETMASK, &all, &w->mask);
        int failed = pthread_create(&w->thread, &attributes, wd_watch, w);
        pthread_sigmask(SIG_SETMASK, &w->mask, NULL);
        pthread_attr_destroy(&attributes);
        if (failed) {
            w->watches = 0;
            close(w->wake);
            wd_deafen();
        }
        return failed;
    }

    static void wd_stop(Watched *w) {
        uint64_t one = 1;
        w->watches = 0;
        if (write(w->wake, &one, sizeof one) < 0) { /* it sees it at its next look */ }
        pthread_join(w->thread, NULL);
        close(w->wake);
        wd_deafen();
    }
    """
    ctypedef struct Watched:
        unsigned char *marks
        size_t bytes
        char *program
        char **arguments
        char **environment
        int *keep
        int kept
        int folder
        int told
        int tick  # milliseconds
        unsigned long beats
        int watches

    int wd_start(Watched *w) nogil
    void wd_stop(Watched *w) nogil
    int WD_TICKS

HEADER, SLOT = 32, 256
ANEW, STILL = 16, 20


cdef char **_words(list words) except NULL:
    """An array for execve(2), over the memory of `words`, which must outlive it."""
    cdef char **made = <char **> calloc(len(words) + 1, sizeof(char *))
    if made == NULL:
        raise MemoryError
    for number, word in enumerate(words):
        made[number] = <char *> (<bytes> word)
    return made


cdef class Watchdog:
    """Watches from `start` to `stop`."""

    EXECUTES = True

    cdef Watched _own
    cdef unsigned char[::1] _marks
    cdef object _held

    def __cinit__(self, marks, bytes program, arguments, environment, keep, int folder, double seconds, int told):
        self._marks = marks
        if self._marks.shape[0] < 32 or seconds <= 0:
            raise ValueError("no marks, or no time")
        self._held = (program, [bytes(one) for one in arguments], [bytes(one) for one in environment])
        self._own.marks = &self._marks[0]
        self._own.bytes = self._marks.shape[0]
        self._own.program = <char *> program
        self._own.arguments = _words(self._held[1])
        self._own.environment = _words(self._held[2])
        self._own.keep = <int *> calloc(len(keep) + 1, sizeof(int))
        if self._own.keep == NULL:
            raise MemoryError
        for number, descriptor in enumerate(keep):
            self._own.keep[number] = descriptor
        self._own.kept = len(keep)
        self._own.folder = folder
        self._own.told = told
        self._own.tick = max(1, <int> (seconds * 1000 / WD_TICKS))

    def start(self):
        """Watch from now on. OSError when there is no thread for it."""
        cdef int failed = 0
        if not self._own.watches:
            failed = wd_start(&self._own)
        if failed:
            raise OSError(failed, "no thread for the watchdog")

    def beat(self):
        """The loop turns."""
        self._own.beats += 1

    def marked(self):
        """Something has begun to run: it sees that by itself."""

    def stop(self):
        """Watch no longer."""
        if self._own.watches:
            with nogil:
                wd_stop(&self._own)

    def __dealloc__(self):
        if self._own.watches:
            wd_stop(&self._own)
        free(self._own.arguments)
        free(self._own.environment)
        free(self._own.keep)
