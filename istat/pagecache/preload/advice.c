/* Gives an unmodified program's files the advice "read at random", or withholds the advice that it gives itself.

A shared library for LD_PRELOAD: its functions stand before the C library's. What it does says the variable ISTAT_ADVICE:

  random   every descriptor that is opened gets posix_fadvise RANDOM, every file that is mapped madvise RANDOM: the kernel
           reads no page ahead. Advice of the program that would end this (NORMAL, SEQUENTIAL) is withheld.
  none     all advice of the program is withheld: the kernel reads ahead as it likes.

Anything else: nothing. Withheld advice is answered as done; a program cannot tell, as advice has no other effect. What
changes memory (MADV_DONTNEED, MADV_FREE, ...) is no advice and always goes through.

Not reached: system calls that do not go through the C library's public functions (static programs, Go, io_uring, the
dynamic loader), programs with rights of their own (set-user-ID). `unreached` in running.py tells of them before the start.
*/

/* The functions below are what these would rename or define inline. */
#undef _FORTIFY_SOURCE
#undef _FILE_OFFSET_BITS
#undef _TIME_BITS
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>

#ifndef MADV_COLD
#define MADV_COLD 20 /* Linux 5.4 */
#endif
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

enum what { UNKNOWN, OFF, GIVE_RANDOM, WITHHOLD };

static enum what kept = UNKNOWN;

/* What is to be done. Asked once: a program may change its environment. */
static enum what mode(void)
{
    enum what now = __atomic_load_n(&kept, __ATOMIC_RELAXED);
    if (now == UNKNOWN) {
        const char *word = getenv("ISTAT_ADVICE");
        now = OFF;
        if (word != NULL && strcmp(word, "random") == 0)
            now = GIVE_RANDOM;
        if (word != NULL && strcmp(word, "none") == 0)
            now = WITHHOLD;
        __atomic_store_n(&kept, now, __ATOMIC_RELAXED);
    }
    return now;
}

__attribute__((constructor)) static void begin(void)
{
    mode();
}

/* real_NAME(): the function that ours stands before. Looked up before the program begins, as it may be called where a
look-up cannot be, such as between fork and exec; or when it is first called, as an allocator may map before that. */
#define STANDS_BEFORE(name) \
    static __typeof__(name) *real_##name(void) \
    { \
        static void *known; \
        void *found = __atomic_load_n(&known, __ATOMIC_ACQUIRE); \
        if (found == NULL) { \
            found = dlsym(RTLD_NEXT, #name); \
            __atomic_store_n(&known, found, __ATOMIC_RELEASE); \
        } \
        return (__typeof__(name) *)found; \
    } \
    __attribute__((constructor)) static void look_up_##name(void) \
    { \
        real_##name(); \
    }

STANDS_BEFORE(open)
STANDS_BEFORE(openat)
STANDS_BEFORE(creat)
STANDS_BEFORE(fopen)
STANDS_BEFORE(freopen)
STANDS_BEFORE(mmap)
STANDS_BEFORE(madvise)
STANDS_BEFORE(posix_madvise)
STANDS_BEFORE(posix_fadvise)
STANDS_BEFORE(readahead)
#ifdef __GLIBC__
/* The same by the names that programs with 64-bit offsets, and those compiled with _FORTIFY_SOURCE, call. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int folder, const char *path, int flags);
int __openat64_2(int folder, const char *path, int flags);
STANDS_BEFORE(open64)
STANDS_BEFORE(openat64)
STANDS_BEFORE(creat64)
STANDS_BEFORE(fopen64)
STANDS_BEFORE(freopen64)
STANDS_BEFORE(mmap64)
STANDS_BEFORE(posix_fadvise64)
STANDS_BEFORE(__open_2)
STANDS_BEFORE(__open64_2)
STANDS_BEFORE(__openat_2)
STANDS_BEFORE(__openat64_2)
#endif

/* -- advice that is given */

static int fadvise_random(int descriptor)
{
    return real_posix_fadvise()(descriptor, 0, 0, POSIX_FADV_RANDOM); /* of a pipe: refused, and nobody minds; errno stays */
}

static int opened(int descriptor)
{
    if (descriptor >= 0 && mode() == GIVE_RANDOM)
        fadvise_random(descriptor);
    return descriptor;
}

static FILE *opened_stream(FILE *stream)
{
    if (stream != NULL)
        opened(fileno(stream));
    return stream;
}

static void *mapped(void *address, size_t length, int flags, int descriptor)
{
    if (address != MAP_FAILED && descriptor >= 0 && !(flags & MAP_ANONYMOUS) && mode() == GIVE_RANDOM) {
        int before = errno;
        real_madvise()(address, length, MADV_RANDOM);
        errno = before;
    }
    return address;
}

/* -- opening */

#define MODE_OF(flags, mode) \
    mode_t mode = 0; \
    if (((flags) & O_CREAT) || ((flags) & O_TMPFILE) == O_TMPFILE) { \
        va_list more; \
        va_start(more, flags); \
        mode = va_arg(more, mode_t); \
        va_end(more); \
    }

#define OPEN(name) \
    int name(const char *path, int flags, ...) \
    { \
        MODE_OF(flags, rights) \
        return opened(real_##name()(path, flags, rights)); \
    }

#define OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) \
    { \
        MODE_OF(flags, rights) \
        return opened(real_##name()(folder, path, flags, rights)); \
    }

#define CREAT(name) \
    int name(const char *path, mode_t rights) \
    { \
        return opened(real_##name()(path, rights)); \
    }

#define FOPEN(name) \
    FILE *name(const char *path, const char *how) \
    { \
        return opened_stream(real_##name()(path, how)); \
    }

#define FREOPEN(name) \
    FILE *name(const char *path, const char *how, FILE *stream) \
    { \
        return opened_stream(real_##name()(path, how, stream)); \
    }

OPEN(open)
OPENAT(openat)
CREAT(creat)
FOPEN(fopen)
FREOPEN(freopen)

/* -- mapping, and advice of the program's own */

#define MMAP(name, offset_type) \
    void *name(void *wanted, size_t length, int rights, int flags, int descriptor, offset_type offset) \
    { \
        return mapped(real_##name()(wanted, length, rights, flags, descriptor, offset), length, flags, descriptor); \
    }

/* posix_fadvise gives the error's number back. */
#define FADVISE(name, offset_type) \
    int name(int descriptor, offset_type offset, offset_type length, int advice) \
    { \
        if (mode() == WITHHOLD) \
            return fcntl(descriptor, F_GETFD) < 0 ? EBADF : 0; \
        if (mode() == GIVE_RANDOM && (advice == POSIX_FADV_NORMAL || advice == POSIX_FADV_SEQUENTIAL)) \
            return fadvise_random(descriptor); \
        return real_##name()(descriptor, offset, length, advice); \
    }

MMAP(mmap, off_t)
FADVISE(posix_fadvise, off_t)

int madvise(void *address, size_t length, int advice)
{
    int reading = advice == MADV_NORMAL || advice == MADV_SEQUENTIAL;
    int hint = reading || advice == MADV_RANDOM || advice == MADV_WILLNEED || advice == MADV_COLD || advice == MADV_PAGEOUT;
    if ((mode() == WITHHOLD && hint) || (mode() == GIVE_RANDOM && reading))
        return 0;
    return real_madvise()(address, length, advice);
}

/* The C library's calls its own madvise, not ours. Its DONTNEED does nothing. */
int posix_madvise(void *address, size_t length, int advice)
{
    int reading = advice == POSIX_MADV_NORMAL || advice == POSIX_MADV_SEQUENTIAL;
    if (mode() == WITHHOLD || (mode() == GIVE_RANDOM && reading))
        return 0;
    return real_posix_madvise()(address, length, advice);
}

/* WILLNEED by another name. */
ssize_t readahead(int descriptor, off64_t offset, size_t count)
{
    if (mode() == WITHHOLD)
        return 0;
    return real_readahead()(descriptor, offset, count);
}

#ifdef __GLIBC__
#define OPEN_2(name) \
    int name(const char *path, int flags) \
    { \
        return opened(real_##name()(path, flags)); \
    }

#define OPENAT_2(name) \
    int name(int folder, const char *path, int flags) \
    { \
        return opened(real_##name()(folder, path, flags)); \
    }

OPEN(open64)
OPENAT(openat64)
CREAT(creat64)
FOPEN(fopen64)
FREOPEN(freopen64)
OPEN_2(__open_2)
OPEN_2(__open64_2)
OPENAT_2(__openat_2)
OPENAT_2(__openat64_2)
MMAP(mmap64, off64_t)
FADVISE(posix_fadvise64, off64_t)
#endif
