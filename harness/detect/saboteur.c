/* Breaks one of QEMU's writes, flushes, reads or discards, as the file ORDER says; loaded by LD_PRELOAD.
 *
 * An order is a line: NUMBER HOW NAME NTH FROM TO BY. Of the writes that begin in the bytes FROM to TO of the file whose
 * path ends with NAME, the NTH since the order with this NUMBER was first seen is
 *   drop      not done
 *   tear      done in its first half only
 *   misplace  done BY bytes further on
 *   stale     done with the bytes of the one before it, as far as they go
 *   zero      done with zeros
 *   late      done BY milliseconds later, with whatever call comes then
 *   reorder   done after the next write to the same place
 *   double    done, and once more after the next write to the same place
 *   old       done, and whoever reads there is given what was there before
 * or, without a number,
 *   unflush   no flush of the file is done
 *   unhead    no write at its begin is done
 *   undiscard no hole is punched in it
 * Each time it does so, it adds a line to the file HITS. What it does do, it does by the next definition of the same
 * function: another shared object may log it.
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
int posix_memalign(void **to, size_t alignment, size_t size);
void free(void *what);
void *memcpy(void *to, const void *from, size_t length);
void *memset(void *to, int value, size_t length);
int sscanf(const char *text, const char *format, ...);
int snprintf(char *to, size_t size, const char *format, ...);
int strcmp(const char *one, const char *other);
size_t strlen(const char *text);
int pthread_mutex_lock(void *mutex);
int pthread_mutex_unlock(void *mutex);

#define ORDER "/chainproof/record/order"
#define HITS "/chainproof/record/hits"
#define NEXT ((void *)-1L)

enum { SYS_read, SYS_write, SYS_open, SYS_close, SYS_readlink = 89, SYS_clock_gettime = 228 };
enum { O_APPEND_CREAT_WRONLY = 02101, O_CLOEXEC = 02000000, PUNCH_HOLE = 2 };

static struct {
    long number, nth, from, to, by;
    char how[16], name[64];
} order;

struct piece {
    int file;
    char *data;
    long length, offset, since;
};

static struct piece held, before, former;
static long seen;
static long mutex[16];

static ssize_t next_write(int file, char *data, size_t length, off_t offset)
{
    ssize_t (*next)(int, char *, size_t, off_t) = dlsym(NEXT, "pwrite64");

    return next(file, data, length, offset);
}

static long now(void)
{
    long time[2];

    syscall(SYS_clock_gettime, 1, time);
    return time[0] * 1000 + time[1] / 1000000;
}

static void hit(const char *what, off_t offset, long length)
{
    char line[200];
    long file = syscall(SYS_open, HITS, (long)O_APPEND_CREAT_WRONLY | O_CLOEXEC, 0666L);

    snprintf(line, sizeof line, "%ld %s %s %ld %ld\n", order.number, what, order.name, offset, length);
    syscall(SYS_write, file, line, strlen(line));
    syscall(SYS_close, file);
}

static void forget(struct piece *piece)
{
    free(piece->data);
    piece->data = 0;
}

static void keep(struct piece *piece, int file, const char *data, long length, off_t offset)
{
    forget(piece);
    if (posix_memalign((void **)&piece->data, 4096, length) != 0)
        return;
    memcpy(piece->data, data, length);
    piece->file = file;
    piece->length = length;
    piece->offset = offset;
    piece->since = now();
}

static int is(const char *how)
{
    return strcmp(order.how, how) == 0;
}

/* Reads the order; whether there is one, of this file. To be called, and acted upon, with the mutex held. */
static int ordered(int file)
{
    char text[256], path[256], link[40];
    long length, number;
    long order_file = syscall(SYS_open, ORDER, (long)O_CLOEXEC);

    if (order_file < 0)
        return 0;
    length = syscall(SYS_read, order_file, text, sizeof text - 1);
    syscall(SYS_close, order_file);
    if (length <= 0)
        return 0;
    text[length] = 0;
    if (sscanf(text, "%ld", &number) != 1)
        return 0;
    if (number != order.number) {
        if (sscanf(text, "%ld %15s %63s %ld %ld %ld %ld", &order.number, order.how, order.name, &order.nth,
                   &order.from, &order.to, &order.by) != 7)
            return 0;
        forget(&held);
        forget(&before);
        forget(&former);
        seen = 0;
    }
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    length = syscall(SYS_readlink, link, path, sizeof path - 1);
    if (length < (long)strlen(order.name))
        return 0;
    path[length] = 0;
    return strcmp(path + length - strlen(order.name), order.name) == 0;
}

static void deliver(void)
{
    next_write(held.file, held.data, held.length, held.offset);
    hit("now", held.offset, held.length);
    forget(&held);
}

/* The write that the order is about; returns as the system call. */
static ssize_t sabotaged(int file, char *data, long length, off_t offset)
{
    if (is("stale") && !before.data)
        return next_write(file, data, length, offset);
    hit(order.how, offset, length);
    if (is("tear"))
        next_write(file, data, length / 2, offset);
    if (is("misplace"))
        next_write(file, data, length, offset + order.by);
    if (is("stale"))
        memcpy(data, before.data, before.length < length ? before.length : length);
    if (is("zero"))
        memset(data, 0, length);
    if (is("stale") || is("zero"))
        next_write(file, data, length, offset);
    if (is("late") || is("reorder") || is("double"))
        keep(&held, file, data, length, offset);
    if (is("old")) {
        ssize_t (*read)(int, char *, size_t, off_t) = dlsym(NEXT, "pread64");

        keep(&former, file, data, length, offset);
        if (read(file, former.data, length, offset) != length)
            forget(&former);
    }
    if (is("double") || is("old"))
        next_write(file, data, length, offset);
    return length;
}

/* Of any write to the file that the order is about. */
static ssize_t write_of_it(int file, const struct iovec *data, int count, off_t offset)
{
    struct iovec whole = { 0, 0 };
    ssize_t result;
    int i, is_meant;

    for (i = 0; i < count; i++)
        whole.length += data[i].length;
    if (posix_memalign((void **)&whole.base, 4096, whole.length) != 0)
        return -1;
    for (i = 0, result = 0; i < count; result += data[i++].length)
        memcpy(whole.base + result, data[i].base, data[i].length);
    is_meant = order.nth && offset >= order.from && offset <= order.to;
    seen += is_meant;
    if (is("unhead") && offset == 0) {
        result = whole.length;
        hit("unhead", offset, result);
    } else if (is_meant && seen == order.nth) {
        result = sabotaged(file, whole.base, whole.length, offset);
    } else {
        result = next_write(file, whole.base, whole.length, offset);
        if (held.data && held.offset == offset && (is("reorder") || is("double")))
            deliver();
    }
    if (is_meant)
        keep(&before, file, whole.base, whole.length, offset);
    free(whole.base);
    return result;
}

static void deliver_late(void)
{
    if (held.data && is("late") && now() - held.since >= order.by)
        deliver();
}

ssize_t pwritev64(int file, const struct iovec *data, int count, off_t offset)
{
    ssize_t (*next)(int, const struct iovec *, int, off_t) = dlsym(NEXT, "pwritev64");
    ssize_t result;

    pthread_mutex_lock(mutex);
    if (!ordered(file)) {
        pthread_mutex_unlock(mutex);
        return next(file, data, count, offset);
    }
    deliver_late();
    result = write_of_it(file, data, count, offset);
    pthread_mutex_unlock(mutex);
    return result;
}

ssize_t pwritev(int file, const struct iovec *data, int count, off_t offset)
{
    return pwritev64(file, data, count, offset);
}

ssize_t pwrite64(int file, const void *data, size_t length, off_t offset)
{
    struct iovec whole;
    ssize_t result;

    whole.base = (char *)data;
    whole.length = length;
    pthread_mutex_lock(mutex);
    if (ordered(file)) {
        deliver_late();
        result = write_of_it(file, &whole, 1, offset);
    } else {
        result = next_write(file, whole.base, length, offset);
    }
    pthread_mutex_unlock(mutex);
    return result;
}

ssize_t pwrite(int file, const void *data, size_t length, off_t offset)
{
    return pwrite64(file, data, length, offset);
}

/* Puts what was there before over what was read from `offset` on. */
static void age(int file, const struct iovec *data, int count, off_t offset, ssize_t got)
{
    int i;
    long j;

    pthread_mutex_lock(mutex);
    if (got > 0 && ordered(file) && former.data && offset < former.offset + former.length &&
        offset + got > former.offset) {
        hit("read", offset, got);
        for (i = 0; i < count; offset += data[i++].length)
            for (j = 0; j < (long)data[i].length; j++)
                if (offset + j >= former.offset && offset + j < former.offset + former.length)
                    data[i].base[j] = former.data[offset + j - former.offset];
    }
    pthread_mutex_unlock(mutex);
}

ssize_t preadv64(int file, const struct iovec *data, int count, off_t offset)
{
    ssize_t (*next)(int, const struct iovec *, int, off_t) = dlsym(NEXT, "preadv64");
    ssize_t got = next(file, data, count, offset);

    age(file, data, count, offset, got);
    return got;
}

ssize_t preadv(int file, const struct iovec *data, int count, off_t offset)
{
    return preadv64(file, data, count, offset);
}

ssize_t pread64(int file, void *data, size_t length, off_t offset)
{
    ssize_t (*next)(int, void *, size_t, off_t) = dlsym(NEXT, "pread64");
    ssize_t got = next(file, data, length, offset);
    struct iovec whole;

    whole.base = data;
    whole.length = length;
    age(file, &whole, 1, offset, got);
    return got;
}

ssize_t pread(int file, void *data, size_t length, off_t offset)
{
    return pread64(file, data, length, offset);
}

static int flushed(int file, const char *name)
{
    int (*next)(int) = dlsym(NEXT, name);
    int is_lost;

    pthread_mutex_lock(mutex);
    is_lost = ordered(file) && is("unflush");
    if (is_lost)
        hit("unflush", 0, 0);
    pthread_mutex_unlock(mutex);
    return is_lost ? 0 : next(file);
}

int fdatasync(int file)
{
    return flushed(file, "fdatasync");
}

int fsync(int file)
{
    return flushed(file, "fsync");
}

int fallocate64(int file, int mode, off_t offset, off_t length)
{
    int (*next)(int, int, off_t, off_t) = dlsym(NEXT, "fallocate64");
    int is_lost;

    pthread_mutex_lock(mutex);
    is_lost = ordered(file) && is("undiscard") && mode & PUNCH_HOLE;
    if (is_lost)
        hit("undiscard", offset, length);
    pthread_mutex_unlock(mutex);
    return is_lost ? 0 : next(file, mode, offset, length);
}

int fallocate(int file, int mode, off_t offset, off_t length)
{
    return fallocate64(file, mode, offset, length);
}
