/* Loaded before a program (LD_PRELOAD), this notes what the program does to files below one folder, and spoils it on
 * request. Only for tests; powercut.py builds it, reads its notes and documents both.
 *
 *   POWERCUT_ROOT     the folder; nothing else is touched
 *   POWERCUT_LOG      notes are appended here: struct record, then both texts or data
 *   POWERCUT_CONTROL  a file, read again when its mtime is another, of lines
 *                       die N                        SIGKILL instead of the N-th operation of the process
 *                       fault CALL PART ERRNO COUNT  the next COUNT (-1: all) CALLs on paths with PART fail
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct record {
    char op, pad[7];
    uint64_t time, inode;       /* CLOCK_MONOTONIC [ns] */
    int64_t a, b;               /* offset or size; result */
    uint32_t first, second;     /* bytes that follow */
};

#define MOST_FAULTS 16
struct fault {
    char call[16], part[128];
    int error, count;
};

static const char *root, *control;
static size_t root_length;
static int notes = -1;
/* Operations hold it shared from before they happen until they are noted; who kills the process holds it alone. */
static pthread_rwlock_t gate = PTHREAD_RWLOCK_INITIALIZER;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long operations, die_at = -1;
static struct timespec control_time;
static struct fault faults[MOST_FAULTS];
static int fault_count;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("POWERCUT_LOG");
    root = getenv("POWERCUT_ROOT");
    control = getenv("POWERCUT_CONTROL");
    if (!root)
        return;
    root_length = strlen(root);
    if (path)
        notes = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* The absolute path of a name, or of a descriptor where there is none; whether it is below the folder. */
static int ours(int at, const char *name, char *path)
{
    char link[64];
    ssize_t length = 0;
    if (!root)
        return 0;
    path[0] = 0;
    if (!name || name[0] != '/') {
        if (at == AT_FDCWD) {
            if (syscall(SYS_getcwd, path, PATH_MAX) < 0)
                return 0;
            length = strlen(path);
        } else {
            snprintf(link, sizeof link, "/proc/self/fd/%d", at);
            length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
            if (length < 0)
                return 0;
            path[length] = 0;
        }
    }
    if (name)
        snprintf(path + length, PATH_MAX - length, "%s%s", length ? "/" : "", name);
    return !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

static void read_control(void)
{
    struct stat now;
    char text[4096], *line, *rest = NULL;
    if (!control || stat(control, &now) || (now.st_mtim.tv_sec == control_time.tv_sec &&
                                            now.st_mtim.tv_nsec == control_time.tv_nsec))
        return;
    control_time = now.st_mtim;
    int file = syscall(SYS_openat, AT_FDCWD, control, O_RDONLY | O_CLOEXEC);
    ssize_t got = syscall(SYS_read, file, text, sizeof text - 1);
    syscall(SYS_close, file);
    text[got < 0 ? 0 : got] = 0;
    fault_count = 0;
    die_at = -1;
    for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        struct fault *f = &faults[fault_count];
        if (sscanf(line, "die %ld", &die_at) == 1)
            continue;
        if (fault_count < MOST_FAULTS && sscanf(line, "fault %15s %127s %d %d", f->call, f->part, &f->error, &f->count) == 4)
            fault_count++;
    }
}

/* Before an operation: die if it is time; the error that it must fail with, or 0. `changing`: it counts and is noted. */
static int enter(const char *call, const char *path, int changing)
{
    int error = 0, die = 0;
    pthread_mutex_lock(&lock);
    read_control();
    if (changing)
        die = die_at >= 0 && operations++ >= die_at;
    for (int i = 0; i < fault_count && !error; i++)
        if (faults[i].count && !strcmp(faults[i].call, call) && strstr(path, faults[i].part)) {
            error = faults[i].error;
            if (faults[i].count > 0)
                faults[i].count--;
        }
    pthread_mutex_unlock(&lock);
    if (die) {
        pthread_rwlock_wrlock(&gate);
        syscall(SYS_kill, getpid(), SIGKILL);
        for (;;)
            pause();
    }
    if (!error)
        pthread_rwlock_rdlock(&gate);
    return error;
}

static void leave(void) { pthread_rwlock_unlock(&gate); }

static uint64_t inode_of(int file)
{
    struct stat found;
    return fstat(file, &found) ? 0 : found.st_ino;
}

static uint64_t inode_at(const char *path)
{
    struct stat found;
    return lstat(path, &found) ? 0 : found.st_ino;
}

static void note(char op, uint64_t inode, int64_t a, int64_t b, const void *first, size_t first_size,
                 const void *second, size_t second_size)
{
    struct timespec now;
    struct record r = {op, "", 0, inode, a, b, first_size, second_size};
    struct iovec parts[3] = {{&r, sizeof r}, {(void *)first, first_size}, {(void *)second, second_size}};
    int kept = errno;
    if (notes < 0)
        return;
    pthread_mutex_lock(&lock);
    clock_gettime(CLOCK_MONOTONIC, &now);
    r.time = now.tv_sec * 1000000000ull + now.tv_nsec;
    if (syscall(SYS_writev, notes, parts, 3) != (ssize_t)(sizeof r + first_size + second_size))
        abort();
    pthread_mutex_unlock(&lock);
    errno = kept;
}

#define ENTER(call, changing)                                                                                          \
    do {                                                                                                               \
        int error = enter(call, path, changing);                                                                       \
        if (error) {                                                                                                   \
            errno = error;                                                                                             \
            return -1;                                                                                                 \
        }                                                                                                              \
    } while (0)

static int open_it(int at, const char *name, int flags, mode_t mode)
{
    char path[PATH_MAX];
    if (!ours(at, name, path))
        return syscall(SYS_openat, at, name, flags, mode);
    int changing = (flags & (O_CREAT | O_TRUNC)) != 0;
    ENTER("open", changing);
    int there = inode_at(path) != 0;
    int file = syscall(SYS_openat, at, name, flags, mode);
    if (file >= 0 && changing && !there)
        note('C', inode_of(file), 0, 0, path, strlen(path), NULL, 0);
    else if (file >= 0 && (flags & O_TRUNC))
        note('T', inode_of(file), 0, 0, NULL, 0, NULL, 0);
    leave();
    return file;
}

#define OPEN_MODE                                                                                                      \
    mode_t mode = 0;                                                                                                   \
    if (flags & (O_CREAT | O_TMPFILE)) {                                                                               \
        va_list more;                                                                                                  \
        va_start(more, flags);                                                                                         \
        mode = va_arg(more, mode_t);                                                                                   \
        va_end(more);                                                                                                  \
    }
int open(const char *name, int flags, ...) { OPEN_MODE return open_it(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { OPEN_MODE return open_it(AT_FDCWD, name, flags | O_LARGEFILE, mode); }
int openat(int at, const char *name, int flags, ...) { OPEN_MODE return open_it(at, name, flags, mode); }
int openat64(int at, const char *name, int flags, ...) { OPEN_MODE return open_it(at, name, flags | O_LARGEFILE, mode); }

/* What was written, gathered from its parts. */
static void note_write(int file, const struct iovec *parts, int count, ssize_t done, off_t offset)
{
    if (done <= 0 || notes < 0)
        return;
    char *data = malloc(done), *to = data;
    ssize_t left = done;
    for (int i = 0; i < count && left > 0; i++) {
        size_t size = parts[i].iov_len < (size_t)left ? parts[i].iov_len : (size_t)left;
        memcpy(to, parts[i].iov_base, size);
        to += size;
        left -= size;
    }
    if (offset < 0)
        offset = lseek(file, 0, SEEK_CUR) - done;
    note('W', inode_of(file), offset, 0, data, done, NULL, 0);
    free(data);
}

static ssize_t write_it(int file, const struct iovec *parts, int count, off_t offset)
{
    char path[PATH_MAX];
    int noted = ours(file, NULL, path);
    if (noted)
        ENTER("write", 1);
    ssize_t done = offset < 0 ? syscall(SYS_writev, file, parts, count)
                              : syscall(SYS_pwritev, file, parts, count, (long)offset, 0L);
    if (noted) {
        note_write(file, parts, count, done, offset);
        leave();
    }
    return done;
}

ssize_t write(int file, const void *data, size_t size)
{
    struct iovec part = {(void *)data, size};
    char path[PATH_MAX];
    return ours(file, NULL, path) ? write_it(file, &part, 1, -1) : syscall(SYS_write, file, data, size);
}
ssize_t writev(int file, const struct iovec *parts, int count) { return write_it(file, parts, count, -1); }
ssize_t pwrite(int file, const void *data, size_t size, off_t offset)
{
    struct iovec part = {(void *)data, size};
    return write_it(file, &part, 1, offset);
}
ssize_t pwrite64(int file, const void *data, size_t size, off_t offset) { return pwrite(file, data, size, offset); }
ssize_t pwritev(int file, const struct iovec *parts, int count, off_t offset)
{
    return write_it(file, parts, count, offset);
}
ssize_t pwritev64(int file, const struct iovec *parts, int count, off_t offset)
{
    return write_it(file, parts, count, offset);
}

static int sync_it(int file, long number)
{
    char path[PATH_MAX];
    if (!ours(file, NULL, path))
        return syscall(number, file);
    ENTER("sync", 1);
    uint64_t inode = inode_of(file);
    note('S', inode, 0, 0, path, strlen(path), NULL, 0);
    int result = syscall(number, file);
    note('E', inode, 0, result, path, strlen(path), NULL, 0);
    leave();
    return result;
}
int fsync(int file) { return sync_it(file, SYS_fsync); }
int fdatasync(int file) { return sync_it(file, SYS_fdatasync); }

static int move_it(char op, const char *call, int from_at, const char *from, int to_at, const char *to, long number,
                   int flags)
{
    char path[PATH_MAX], target[PATH_MAX];
    int noted = ours(from_at, from, path) | ours(to_at, to, target);
    if (noted)
        ENTER(call, 1);
    uint64_t inode = noted ? inode_at(path) : 0;
    int result = syscall(number, from_at, from, to_at, to, flags);
    if (noted) {
        if (!result)
            note(op, inode, 0, 0, path, strlen(path), target, strlen(target));
        leave();
    }
    return result;
}
int rename(const char *from, const char *to)
{
    return move_it('R', "rename", AT_FDCWD, from, AT_FDCWD, to, SYS_renameat2, 0);
}
int renameat(int from_at, const char *from, int to_at, const char *to)
{
    return move_it('R', "rename", from_at, from, to_at, to, SYS_renameat2, 0);
}
int link(const char *from, const char *to)
{
    return move_it('L', "link", AT_FDCWD, from, AT_FDCWD, to, SYS_linkat, 0);
}
int linkat(int from_at, const char *from, int to_at, const char *to, int flags)
{
    return move_it('L', "link", from_at, from, to_at, to, SYS_linkat, flags);
}

int unlinkat(int at, const char *name, int flags)
{
    char path[PATH_MAX];
    if (!ours(at, name, path))
        return syscall(SYS_unlinkat, at, name, flags);
    ENTER("unlink", 1);
    uint64_t inode = inode_at(path);
    int result = syscall(SYS_unlinkat, at, name, flags);
    if (!result)
        note('U', inode, 0, 0, path, strlen(path), NULL, 0);
    leave();
    return result;
}
int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }

int mkdirat(int at, const char *name, mode_t mode)
{
    char path[PATH_MAX];
    if (!ours(at, name, path))
        return syscall(SYS_mkdirat, at, name, mode);
    ENTER("mkdir", 1);
    int result = syscall(SYS_mkdirat, at, name, mode);
    if (!result)
        note('D', inode_at(path), 0, 0, path, strlen(path), NULL, 0);
    leave();
    return result;
}
int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }

int ftruncate(int file, off_t size)
{
    char path[PATH_MAX];
    if (!ours(file, NULL, path))
        return syscall(SYS_ftruncate, file, size);
    ENTER("truncate", 1);
    int result = syscall(SYS_ftruncate, file, size);
    if (!result)
        note('T', inode_of(file), size, 0, NULL, 0, NULL, 0);
    leave();
    return result;
}
int ftruncate64(int file, off_t size) { return ftruncate(file, size); }

/* Space without contents: what it adds to the size is zeros. A full disk is met here as in a write. */
int fallocate(int file, int mode, off_t offset, off_t size)
{
    char path[PATH_MAX];
    if (!ours(file, NULL, path))
        return syscall(SYS_fallocate, file, mode, offset, size);
    ENTER("write", 1);
    int result = syscall(SYS_fallocate, file, mode, offset, size);
    if (!result && !(mode & FALLOC_FL_KEEP_SIZE))
        note('T', inode_of(file), offset + size, 0, NULL, 0, NULL, 0);
    leave();
    return result;
}
int fallocate64(int file, int mode, off_t offset, off_t size) { return fallocate(file, mode, offset, size); }
int posix_fallocate(int file, off_t offset, off_t size) { return fallocate(file, 0, offset, size) ? errno : 0; }
int posix_fallocate64(int file, off_t offset, off_t size) { return posix_fallocate(file, offset, size); }

/* Reading is never noted; it can fail. */
#define READ(call)                                                                                                     \
    char path[PATH_MAX];                                                                                               \
    int noted = control && ours(file, NULL, path);                                                                 \
    if (noted)                                                                                                         \
        ENTER("read", 0);                                                                                              \
    ssize_t done = call;                                                                                               \
    if (noted)                                                                                                         \
        leave();                                                                                                       \
    return done
ssize_t read(int file, void *data, size_t size) { READ(syscall(SYS_read, file, data, size)); }
ssize_t pread(int file, void *data, size_t size, off_t offset) { READ(syscall(SYS_pread64, file, data, size, offset)); }
ssize_t pread64(int file, void *data, size_t size, off_t offset) { READ(syscall(SYS_pread64, file, data, size, offset)); }
ssize_t preadv64v2(int file, const struct iovec *parts, int count, off_t offset, int flags)
{
    READ(syscall(SYS_preadv2, file, parts, count, (long)offset, 0L, flags));
}
ssize_t preadv64(int file, const struct iovec *parts, int count, off_t offset)
{
    READ(syscall(SYS_preadv, file, parts, count, (long)offset, 0L));
}
