/* Loses flushes of the image base, while there is a file that says so: fdatasync() succeeds, and nothing is flushed.
 * Other flushes go on by fsync(), which another preload may have taken: the recorder.
 */

typedef long ssize_t;

long syscall(long number, ...);
int fsync(int file);

enum { SYS_access = 21, SYS_readlink = 89 };

static int is_base(int file)
{
    static const char base[] = "/export/images/base.qcow2";
    char link[32] = "/proc/self/fd/", path[sizeof base], digits[12];
    int at = 14, count = 0;
    ssize_t length;

    do
        digits[count++] = '0' + file % 10;
    while ((file /= 10) > 0);
    while (count > 0)
        link[at++] = digits[--count];
    link[at] = 0;
    length = syscall(SYS_readlink, link, path, (long)sizeof path);
    if (length != sizeof base - 1)
        return 0;
    while (length-- > 0)
        if (path[length] != base[length])
            return 0;
    return 1;
}

int fdatasync(int file)
{
    if (file >= 0 && is_base(file) && syscall(SYS_access, "/chainproof/record/swallow", 0L) == 0)
        return 0;
    return fsync(file);
}
