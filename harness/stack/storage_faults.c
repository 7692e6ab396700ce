/* Storage that misbehaves: has QEMU's reads, writes, flushes and discards of images fail, or not come back, as the file
 * FAULTS says; loaded by LD_PRELOAD.
 *
 * Each of its lines is a fault: NUMBER OPERATION NAME FROM TO ERROR TIMES. An OPERATION (read, write, flush, discard) on
 * the file whose path ends with NAME that begins in the bytes FROM to TO fails with ERROR, the first so many TIMES, or
 * always if that is 0. With ERROR 0 it waits until the fault is gone, and is done then. A write of zeros by fallocate
 * is a write. What fails is not done. Each time, a line is added to the file HITS: NUMBER OPERATION OFFSET LENGTH.
 *
 * No header and no library but symbols that every glibc has (GLIBC_2.2.5): so one object loads in every release.
 */

typedef unsigned long size_t;
typedef long ssize_t;
typedef long off_t;

struct iovec {
    char *base;
    size_t length;
};

long syscall(long number, ...);
void *dlsym(void *handle, const char *name);
int *__errno_location(void);
int sscanf(const char *text, const char *format, ...);
int snprintf(char *to, size_t size, const char *format, ...);
int strcmp(const char *one, const char *other);
char *strchr(const char *text, int character);
size_t strlen(const char *text);
int pthread_mutex_lock(void *mutex);
int pthread_mutex_unlock(void *mutex);

#define FAULTS "/chainproof/record/faults"
#define HITS "/chainproof/record/faults.hits"
#define NEXT ((void *)-1L)

enum { SYS_read, SYS_write, SYS_open, SYS_close, SYS_nanosleep = 35, SYS_readlink = 89 };
enum { O_APPEND_CREAT_WRONLY = 02101, O_CLOEXEC = 02000000, PUNCH_HOLE = 2, ENOSYS = 38, MOST = 16 };

struct fault {
    long number, from, to, error, times;
    char operation[16], name[200];
};

static struct { long number, count; } counted[MOST];
static long mutex[16];

static void hit(const struct fault *fault, off_t offset, long length)
{
    char line[100];
    long file = syscall(SYS_open, HITS, (long)O_APPEND_CREAT_WRONLY | O_CLOEXEC, 0666L);

    snprintf(line, sizeof line, "%ld %s %ld %ld\n", fault->number, fault->operation, offset, length);
    syscall(SYS_write, file, line, strlen(line));
    syscall(SYS_close, file);
}

/* Counts one more of a fault; whether it is one too many. */
static int is_over(const struct fault *fault)
{
    int i;

    for (i = 0; i < MOST && counted[i].number && counted[i].number != fault->number; i++)
        ;
    i %= MOST;
    if (counted[i].number != fault->number)
        counted[i].count = 0;
    counted[i].number = fault->number;
    return fault->times && ++counted[i].count > fault->times;
}

/* The fault that an operation has, whose name is `operation`, or none. */
static int found(struct fault *fault, int file, const char *operation, off_t offset)
{
    char text[4096], path[4096];
    char link[40], *line;
    long length, faults = syscall(SYS_open, FAULTS, (long)O_CLOEXEC);

    if (faults < 0)
        return 0;
    length = syscall(SYS_read, faults, text, sizeof text - 1);
    syscall(SYS_close, faults);
    if (length <= 0)
        return 0;
    text[length] = 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    length = syscall(SYS_readlink, link, path, sizeof path - 1);
    if (length <= 0)
        return 0;
    path[length] = 0;
    for (line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : line) {
        if (sscanf(line, "%ld %15s %199s %ld %ld %ld %ld", &fault->number, fault->operation, fault->name, &fault->from,
                   &fault->to, &fault->error, &fault->times) != 7)
            continue;
        if (strcmp(fault->operation, operation) != 0 || length < (long)strlen(fault->name) ||
            strcmp(path + length - strlen(fault->name), fault->name) != 0)
            continue;
        if (offset >= fault->from && offset <= fault->to)
            return 1;
    }
    return 0;
}

/* Whether an operation fails: then errno is set. One that is to wait has waited. */
static int fails(int file, const char *operation, off_t offset, long length)
{
    static const long moment[2] = { 0, 5000000 };
    struct fault fault;
    long waited = 0;

    while (found(&fault, file, operation, offset)) {
        int over;

        if (fault.error == 0) {
            if (fault.number != waited)
                hit(&fault, offset, length);
            waited = fault.number;
            syscall(SYS_nanosleep, moment, 0L);
            continue;
        }
        pthread_mutex_lock(mutex);
        over = is_over(&fault);
        if (!over)
            hit(&fault, offset, length);
        pthread_mutex_unlock(mutex);
        if (over)
            return 0;
        *__errno_location() = (int)fault.error;
        return 1;
    }
    return 0;
}

static long whole(const struct iovec *data, int count)
{
    long length = 0;

    while (count-- > 0)
        length += data++->length;
    return length;
}

#define VECTOR(function, operation)                                                        \
    ssize_t function(int file, const struct iovec *data, int count, off_t offset)          \
    {                                                                                      \
        ssize_t (*next)(int, const struct iovec *, int, off_t) = dlsym(NEXT, #function);   \
                                                                                           \
        if (fails(file, operation, offset, whole(data, count)))                            \
            return -1;                                                                     \
        return next(file, data, count, offset);                                            \
    }

#define VECTOR_2(function, operation)                                                           \
    ssize_t function(int file, const struct iovec *data, int count, off_t offset, int flags)    \
    {                                                                                           \
        ssize_t (*next)(int, const struct iovec *, int, off_t, int) = dlsym(NEXT, #function);   \
                                                                                                \
        if (fails(file, operation, offset, whole(data, count)))                                 \
            return -1;                                                                          \
        if (next)                                                                               \
            return next(file, data, count, offset, flags);                                      \
        *__errno_location() = ENOSYS;                                                           \
        return -1;                                                                              \
    }

#define PLAIN(function, operation)                                                 \
    ssize_t function(int file, char *data, size_t length, off_t offset)            \
    {                                                                              \
        ssize_t (*next)(int, char *, size_t, off_t) = dlsym(NEXT, #function);      \
                                                                                   \
        if (fails(file, operation, offset, length))                                \
            return -1;                                                             \
        return next(file, data, length, offset);                                   \
    }

/* What glibc's headers make of pread where they know the size of the buffer (_FORTIFY_SOURCE). */
#define CHECKED(function, operation)                                                           \
    ssize_t function(int file, char *data, size_t length, off_t offset, size_t room)           \
    {                                                                                          \
        ssize_t (*next)(int, char *, size_t, off_t, size_t) = dlsym(NEXT, #function);          \
                                                                                               \
        if (fails(file, operation, offset, length))                                            \
            return -1;                                                                         \
        return next(file, data, length, offset, room);                                         \
    }

#define FLUSH(function)                                   \
    int function(int file)                                \
    {                                                     \
        int (*next)(int) = dlsym(NEXT, #function);        \
                                                          \
        return fails(file, "flush", 0, 0) ? -1 : next(file); \
    }

#define ALLOCATE(function)                                                         \
    int function(int file, int mode, off_t offset, off_t length)                   \
    {                                                                              \
        int (*next)(int, int, off_t, off_t) = dlsym(NEXT, #function);              \
                                                                                   \
        if (fails(file, mode & PUNCH_HOLE ? "discard" : "write", offset, length))  \
            return -1;                                                             \
        return next(file, mode, offset, length);                                   \
    }

VECTOR(preadv, "read")
VECTOR(preadv64, "read")
VECTOR(pwritev, "write")
VECTOR(pwritev64, "write")
VECTOR_2(preadv2, "read")
VECTOR_2(preadv64v2, "read")
VECTOR_2(pwritev2, "write")
VECTOR_2(pwritev64v2, "write")
PLAIN(pread, "read")
PLAIN(pread64, "read")
PLAIN(pwrite, "write")
PLAIN(pwrite64, "write")
CHECKED(__pread_chk, "read")
CHECKED(__pread64_chk, "read")
FLUSH(fsync)
FLUSH(fdatasync)
ALLOCATE(fallocate)
ALLOCATE(fallocate64)
