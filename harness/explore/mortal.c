/* Ends libvirtd by SIGKILL just before or just after it changes what it keeps on disk of a domain; loaded by LD_PRELOAD.
 *
 * An order, in the file ORDER, is a line: NUMBER POINT PID, and is for the process PID. Of the renames and removals of
 * files "…/qemu/….xml" since the order with this NUMBER was first seen, each has two points, before it and after it: the
 * process ends at the POINT-th, counted from 1; never if that is 0. Each point that is passed adds a line to POINTS.
 *
 * No header and no library but symbols that every glibc has (GLIBC_2.2.5): so one object loads in every release.
 */

typedef unsigned long size_t;

long syscall(long number, ...);
int sscanf(const char *text, const char *format, ...);
int snprintf(char *to, size_t size, const char *format, ...);
char *strstr(const char *text, const char *part);
size_t strlen(const char *text);
int strcmp(const char *one, const char *other);

#define ORDER "/chainproof/record/mortal"
#define POINTS "/chainproof/record/points"

enum { SYS_read, SYS_write, SYS_open, SYS_close, SYS_getpid = 39, SYS_kill = 62, SYS_rename = 82, SYS_unlink = 87 };
enum { APPEND_CREATE_WRITE = 02101, CLOSE_ON_EXEC = 02000000, SIGKILL = 9 };

static long number, point, passed;

static int is_kept(const char *path)
{
    size_t length = strlen(path);

    return strstr(path, "/qemu/") != 0 && length > 4 && strcmp(path + length - 4, ".xml") == 0;
}

static void read_order(void)
{
    char text[64];
    long file = syscall(SYS_open, ORDER, (long)CLOSE_ON_EXEC, 0L), length, new_number, new_point, pid;

    if (file < 0)
        return;
    length = syscall(SYS_read, file, text, sizeof text - 1);
    syscall(SYS_close, file);
    if (length <= 0)
        return;
    text[length] = 0;
    if (sscanf(text, "%ld %ld %ld", &new_number, &new_point, &pid) == 3 && new_number != number
        && pid == syscall(SYS_getpid)) {
        number = new_number;
        point = new_point;
        passed = 0;
    }
}

static void pass(const char *what, const char *path)
{
    char line[512];
    long file;

    read_order();
    if (number == 0)
        return;
    passed++;
    file = syscall(SYS_open, POINTS, (long)APPEND_CREATE_WRITE | CLOSE_ON_EXEC, 0666L);
    snprintf(line, sizeof line, "%ld %ld %s %s\n", number, passed, what, path);
    syscall(SYS_write, file, line, strlen(line));
    syscall(SYS_close, file);
    if (passed == point)
        syscall(SYS_kill, syscall(SYS_getpid), (long)SIGKILL);
}

int rename(const char *from, const char *to)
{
    int result;

    if (is_kept(to))
        pass("before the rename to", to);
    result = (int)syscall(SYS_rename, from, to);
    if (is_kept(to))
        pass("after the rename to", to);
    return result;
}

int unlink(const char *path)
{
    int result;

    if (is_kept(path))
        pass("before the removal of", path);
    result = (int)syscall(SYS_unlink, path);
    if (is_kept(path))
        pass("after the removal of", path);
    return result;
}
