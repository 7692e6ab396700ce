/* Logs what is done to image files and to libvirt's persistent definitions, loaded by LD_PRELOAD into libvirtd, QEMU
 * and the tools.
 *
 * A record is one writev to a descriptor in append mode: ordered between threads and processes. A write, flush,
 * discard or truncation has two, one before it (with the bytes) and one after it (with the result); what changes a
 * directory has one, after it. The layout is that of struct record; harness/crash/log.py reads it.
 *
 * No header and no library but four symbols that every glibc has (GLIBC_2.2.5): so one object loads in every release.
 * No state: any thread, any process that was forked and not executed may be in here. The log is opened for each record,
 * since libvirt closes what descriptors it does not know between fork and exec.
 */

typedef unsigned long size_t;
typedef long ssize_t;
typedef long off_t;

long syscall(long number, ...);
int *__errno_location(void);
void *memcpy(void *to, const void *from, size_t length);

struct iovec {
    const void *base;
    size_t length;
};

struct record {
    unsigned int magic;
    unsigned short kind;
    unsigned short phase; /* 0: it begins; 1: it has ended; 2: both, in one record */
    long began, ended;    /* CLOCK_MONOTONIC, in ns; `began` and `thread` are in both records of a call */
    int process, thread;
    long offset, length, result; /* result: as of the system call, -errno if it failed */
    unsigned int flags, path_length, other_length, data_length;
};

enum { WRITE = 1, FLUSH, DISCARD, ZERO, ALLOCATE, TRUNCATE, CREATE, UNLINK, RENAME, ODD };
enum { BEGINS, ENDED, BOTH };

#define MAGIC 0x31524350u /* "PCR1" */
#define LOG "/chainproof/record/log"
#define PATH_BYTES 1024
#define VECTORS 1020 /* of a writev, with room for the header and the paths */

enum {
    SYS_write = 1, SYS_open = 2, SYS_close = 3, SYS_fstat = 5, SYS_lseek = 8, SYS_mmap = 9, SYS_munmap = 11, SYS_pwrite64 = 18,
    SYS_writev = 20, SYS_access = 21, SYS_getpid = 39, SYS_fsync = 74, SYS_fdatasync = 75, SYS_truncate = 76,
    SYS_ftruncate = 77, SYS_rename = 82, SYS_unlink = 87, SYS_readlink = 89, SYS_gettid = 186, SYS_clock_gettime = 228,
    SYS_openat = 257, SYS_unlinkat = 263, SYS_renameat = 264, SYS_fallocate = 285, SYS_pread64 = 17, SYS_pwritev = 296,
    SYS_renameat2 = 316, SYS_copy_file_range = 326, SYS_pwritev2 = 328
};

enum { O_WRONLY = 1, O_CREAT = 0100, O_TRUNC = 01000, O_APPEND = 02000, O_CLOEXEC = 02000000 };
enum { FILE_KIND = 0170000, REGULAR_FILE = 0100000 };
enum { PUNCH_HOLE = 2, ZERO_RANGE = 16 };

static long now(void)
{
    long time[2];

    syscall(SYS_clock_gettime, 1, time);
    return time[0] * 1000000000 + time[1];
}

static size_t length_of(const char *text)
{
    size_t length = 0;

    while (text[length])
        length++;
    return length;
}

static int begins_with(const char *text, const char *with)
{
    while (*with)
        if (*text++ != *with++)
            return 0;
    return 1;
}

static int is_watched(const char *path)
{
    return begins_with(path, "/export/images/") || begins_with(path, "/etc/libvirt/qemu/");
}

/* The path of an open file, if it is one of those that are logged. */
static int watched(int file, char *path)
{
    char link[32] = "/proc/self/fd/", digits[12];
    unsigned int state[64]; /* a struct stat, whose seventh word is the mode */
    int at = 14, count = 0;
    ssize_t length;

    /* almost all that is written goes to sockets and eventfds: a tenth of the price of a readlink */
    if (file < 0 || syscall(SYS_fstat, (long)file, state) != 0 || (state[6] & FILE_KIND) != REGULAR_FILE)
        return 0;
    do
        digits[count++] = '0' + file % 10;
    while ((file /= 10) > 0);
    while (count > 0)
        link[at++] = digits[--count];
    link[at] = 0;
    length = syscall(SYS_readlink, link, path, (long)PATH_BYTES - 1);
    if (length <= 0)
        return 0;
    path[length] = 0;
    return is_watched(path);
}

static void put(struct record *record, const char *path, const char *other, const struct iovec *data, int count)
{
    struct iovec all[VECTORS + 3];
    int log, i, first = 3, to = 3;
    long length = 0;

    record->magic = MAGIC;
    record->process = syscall(SYS_getpid);
    record->thread = syscall(SYS_gettid);
    record->path_length = length_of(path);
    record->other_length = other ? length_of(other) : 0;
    all[0].base = record;
    all[0].length = sizeof *record;
    all[1].base = path;
    all[1].length = record->path_length;
    all[2].base = other;
    all[2].length = record->other_length;
    for (i = 0; i < count; i++)
        length += data[i].length;
    record->data_length = length;
    if (count > VECTORS) { /* QEMU makes as many as 1,024 of one request */
        char *joined = (char *)syscall(SYS_mmap, 0L, length, 3L, 0x22L, -1L, 0L);
        size_t at = 0;

        for (i = 0; i < count; i++) {
            memcpy(joined + at, data[i].base, data[i].length);
            at += data[i].length;
        }
        all[to].base = joined;
        all[to++].length = length;
    } else {
        for (i = 0; i < count; i++)
            all[to++] = data[i];
    }
    log = syscall(SYS_open, LOG, (long)(O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC), 0600L);
    if (log >= 0) {
        syscall(SYS_writev, (long)log, all, (long)to);
        syscall(SYS_close, (long)log);
    }
    if (count > VECTORS)
        syscall(SYS_munmap, all[first].base, length);
}

static void begin(struct record *record, int kind, off_t offset, long length, unsigned flags, const char *path,
                  const struct iovec *data, int count)
{
    record->kind = kind;
    record->phase = BEGINS;
    record->began = now();
    record->ended = 0;
    record->offset = offset;
    record->length = length;
    record->result = 0;
    record->flags = flags;
    put(record, path, 0, data, count);
}

/* `result` as syscall() has it; it is passed on, errno too. */
static long end(struct record *record, long result, const char *path, const struct iovec *data, int count)
{
    int error = *__errno_location();

    record->phase = ENDED;
    record->ended = now();
    record->result = result < 0 ? -error : result;
    put(record, path, 0, data, count);
    *__errno_location() = error;
    return result;
}

/* What changes a directory. */
static void changed(int kind, long began, const char *path, const char *other)
{
    struct record record;
    int error = *__errno_location();

    record.kind = kind;
    record.phase = BOTH;
    record.began = began;
    record.ended = now();
    record.offset = record.length = record.result = 0;
    record.flags = 0;
    put(&record, path, other, 0, 0);
    *__errno_location() = error;
}

/* writing */

static ssize_t vector(int file, const struct iovec *data, int count, off_t offset, int flags)
{
    struct record record;
    char path[PATH_BYTES];
    long length = 0, result;
    int i;

    if (!watched(file, path))
        return flags ? syscall(SYS_pwritev2, (long)file, data, (long)count, offset, 0L, (long)flags)
                     : syscall(SYS_pwritev, (long)file, data, (long)count, offset, 0L);
    for (i = 0; i < count; i++)
        length += data[i].length;
    begin(&record, WRITE, offset, length, flags, path, data, count);
    result = flags ? syscall(SYS_pwritev2, (long)file, data, (long)count, offset, 0L, (long)flags)
                   : syscall(SYS_pwritev, (long)file, data, (long)count, offset, 0L);
    return end(&record, result, path, 0, 0);
}

ssize_t pwritev64(int file, const struct iovec *data, int count, off_t offset)
{
    return vector(file, data, count, offset, 0);
}

ssize_t pwritev(int file, const struct iovec *data, int count, off_t offset)
{
    return vector(file, data, count, offset, 0);
}

ssize_t pwritev64v2(int file, const struct iovec *data, int count, off_t offset, int flags)
{
    return vector(file, data, count, offset, flags);
}

ssize_t pwritev2(int file, const struct iovec *data, int count, off_t offset, int flags)
{
    return vector(file, data, count, offset, flags);
}

ssize_t pwrite64(int file, const void *data, size_t length, off_t offset)
{
    struct record record;
    struct iovec all;
    char path[PATH_BYTES];

    if (!watched(file, path))
        return syscall(SYS_pwrite64, (long)file, data, length, offset);
    all.base = data;
    all.length = length;
    begin(&record, WRITE, offset, length, 0, path, &all, 1);
    return end(&record, syscall(SYS_pwrite64, (long)file, data, length, offset), path, 0, 0);
}

ssize_t pwrite(int file, const void *data, size_t length, off_t offset)
{
    return pwrite64(file, data, length, offset);
}

ssize_t write(int file, const void *data, size_t length)
{
    struct record record;
    struct iovec all;
    char path[PATH_BYTES];

    if (!watched(file, path))
        return syscall(SYS_write, (long)file, data, length);
    all.base = data;
    all.length = length;
    begin(&record, WRITE, syscall(SYS_lseek, (long)file, 0L, 1L), length, 0, path, &all, 1);
    return end(&record, syscall(SYS_write, (long)file, data, length), path, 0, 0);
}

ssize_t writev(int file, const struct iovec *data, int count)
{
    struct record record;
    char path[PATH_BYTES];
    long length = 0;
    int i;

    if (!watched(file, path))
        return syscall(SYS_writev, (long)file, data, (long)count);
    for (i = 0; i < count; i++)
        length += data[i].length;
    begin(&record, WRITE, syscall(SYS_lseek, (long)file, 0L, 1L), length, 0, path, data, count);
    return end(&record, syscall(SYS_writev, (long)file, data, (long)count), path, 0, 0);
}

/* The kernel copies: what it wrote is read back. */
ssize_t copy_file_range(int from, off_t *from_offset, int to, off_t *to_offset, size_t length, unsigned flags)
{
    struct record record;
    struct iovec all;
    char path[PATH_BYTES];
    long offset, result;
    char *copied;

    if (!watched(to, path))
        return syscall(SYS_copy_file_range, (long)from, from_offset, (long)to, to_offset, length, (long)flags);
    offset = to_offset ? *to_offset : syscall(SYS_lseek, (long)to, 0L, 1L);
    begin(&record, WRITE, offset, length, 0, path, 0, 0);
    result = syscall(SYS_copy_file_range, (long)from, from_offset, (long)to, to_offset, length, (long)flags);
    if (result <= 0)
        return end(&record, result, path, 0, 0);
    copied = (char *)syscall(SYS_mmap, 0L, result, 3L, 0x22L, -1L, 0L);
    all.base = copied;
    all.length = syscall(SYS_pread64, (long)to, copied, result, offset);
    end(&record, result, path, &all, 1);
    syscall(SYS_munmap, copied, result);
    return result;
}

/* flushing */

static int flush(int file, long number)
{
    struct record record;
    char path[PATH_BYTES];

    if (!watched(file, path))
        return syscall(number, (long)file);
    begin(&record, FLUSH, 0, 0, 0, path, 0, 0);
    return end(&record, syscall(number, (long)file), path, 0, 0);
}

int fdatasync(int file)
{
    return flush(file, SYS_fdatasync);
}

int fsync(int file)
{
    return flush(file, SYS_fsync);
}

/* allocating, discarding, truncating */

int fallocate64(int file, int mode, off_t offset, off_t length)
{
    struct record record;
    char path[PATH_BYTES];
    int kind = mode & PUNCH_HOLE ? DISCARD : mode & ZERO_RANGE ? ZERO : mode & ~1 ? ODD : ALLOCATE;

    if (!watched(file, path))
        return syscall(SYS_fallocate, (long)file, (long)mode, offset, length);
    begin(&record, kind, offset, length, mode, path, 0, 0);
    return end(&record, syscall(SYS_fallocate, (long)file, (long)mode, offset, length), path, 0, 0);
}

int fallocate(int file, int mode, off_t offset, off_t length)
{
    return fallocate64(file, mode, offset, length);
}

int posix_fallocate64(int file, off_t offset, off_t length)
{
    int before = *__errno_location(), error = 0;

    if (fallocate64(file, 0, offset, length) != 0)
        error = *__errno_location();
    *__errno_location() = before;
    return error;
}

int posix_fallocate(int file, off_t offset, off_t length)
{
    return posix_fallocate64(file, offset, length);
}

int ftruncate64(int file, off_t length)
{
    struct record record;
    char path[PATH_BYTES];

    if (!watched(file, path))
        return syscall(SYS_ftruncate, (long)file, length);
    begin(&record, TRUNCATE, 0, length, 0, path, 0, 0);
    return end(&record, syscall(SYS_ftruncate, (long)file, length), path, 0, 0);
}

int ftruncate(int file, off_t length)
{
    return ftruncate64(file, length);
}

int truncate64(const char *path, off_t length)
{
    struct record record;

    if (!is_watched(path))
        return syscall(SYS_truncate, path, length);
    begin(&record, TRUNCATE, 0, length, 0, path, 0, 0);
    return end(&record, syscall(SYS_truncate, path, length), path, 0, 0);
}

int truncate(const char *path, off_t length)
{
    return truncate64(path, length);
}

/* directories */

static int opened(int directory, const char *name, int flags, int mode)
{
    char path[PATH_BYTES];
    long began;
    int was_there, file;

    if (!(flags & (O_CREAT | O_TRUNC)))
        return syscall(SYS_openat, (long)directory, name, (long)flags, (long)mode);
    began = now();
    was_there = syscall(SYS_access, name, 0L) == 0;
    file = syscall(SYS_openat, (long)directory, name, (long)flags, (long)mode);
    if (file < 0 || !watched(file, path))
        return file;
    if (!was_there) {
        changed(CREATE, began, path, 0);
    } else if (flags & O_TRUNC) {
        struct record record;

        begin(&record, TRUNCATE, 0, 0, 0, path, 0, 0);
        end(&record, 0, path, 0, 0);
    }
    return file;
}

int open64(const char *name, int flags, int mode)
{
    return opened(-100, name, flags, mode);
}

int open(const char *name, int flags, int mode)
{
    return opened(-100, name, flags, mode);
}

int openat64(int directory, const char *name, int flags, int mode)
{
    return opened(directory, name, flags, mode);
}

int openat(int directory, const char *name, int flags, int mode)
{
    return opened(directory, name, flags, mode);
}

int creat64(const char *name, int mode)
{
    return opened(-100, name, O_WRONLY | O_CREAT | O_TRUNC, mode);
}

int creat(const char *name, int mode)
{
    return creat64(name, mode);
}

static int unlinked(int directory, const char *name, int flags)
{
    long began = now();
    int result = syscall(SYS_unlinkat, (long)directory, name, (long)flags);

    if (result == 0 && is_watched(name))
        changed(UNLINK, began, name, 0);
    return result;
}

int unlink(const char *name)
{
    return unlinked(-100, name, 0);
}

int unlinkat(int directory, const char *name, int flags)
{
    return unlinked(directory, name, flags);
}

int remove(const char *name)
{
    int result = unlinked(-100, name, 0);

    return result != 0 && *__errno_location() == 21 /* EISDIR */ ? unlinked(-100, name, 0x200) : result;
}

static int renamed(int from, const char *name, int to, const char *other, unsigned flags)
{
    long began = now();
    int result = flags ? syscall(SYS_renameat2, (long)from, name, (long)to, other, (long)flags)
                       : syscall(SYS_renameat, (long)from, name, (long)to, other);

    if (result == 0 && (is_watched(name) || is_watched(other)))
        changed(flags ? ODD : RENAME, began, name, other);
    return result;
}

int rename(const char *name, const char *other)
{
    return renamed(-100, name, -100, other, 0);
}

int renameat(int from, const char *name, int to, const char *other)
{
    return renamed(from, name, to, other, 0);
}

int renameat2(int from, const char *name, int to, const char *other, unsigned flags)
{
    return renamed(from, name, to, other, flags);
}
