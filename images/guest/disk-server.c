/*
 * Reads and writes the guest's disks for the host, over the virtio-serial port that it is given, for as long as the guest
 * lives: a marker costs a millisecond or two, where the guest agent takes some fifty. Always O_DIRECT; nothing is flushed
 * but by a flush. A request is a line; each is answered by a line "ok [BYTES]", and BYTES of data, or by "error WHY".
 * DISK is a name in /dev; offsets and lengths are bytes, whole sectors.
 *
 *   write DISK [OFFSET LENGTH]...    then the data of all of them, in order
 *   zero DISK [OFFSET LENGTH]...     write zeros by the device's own command (BLKZEROOUT)
 *   discard DISK [OFFSET LENGTH]...  (BLKDISCARD)
 *   read DISK OFFSET LENGTH
 *   flush DISK
 *   size DISK                        its size in bytes, as data
 *   boot                             the kernel's name of this boot, as data
 *   adjust SECONDS ENTROPY           set the clock, have the random numbers begin anew; answers as boot
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* from linux/fs.h and linux/random.h: the kernel's headers are not there when this is compiled */
#define BLKDISCARD _IO(0x12, 119)
#define BLKGETSIZE64 _IOR(0x12, 114, size_t)
#define BLKZEROOUT _IO(0x12, 127)
#define RNDADDENTROPY _IOW('R', 0x03, int[2])
#define RNDRESEEDCRNG _IO('R', 0x07)

#define SEPARATOR " "
enum { BUFFER = 1 << 20, LINE = 1 << 20, ALIGNMENT = 4096 };

static int port;
static char *buffer;
static char line[LINE];

static int send_all(const char *data, size_t length)
{
    while (length > 0) {
        ssize_t sent = write(port, data, length);
        if (sent <= 0)
            return -1;
        data += sent;
        length -= sent;
    }
    return 0;
}

/* At most `most` bytes from the host, 0 if none is connected. */
static size_t receive(char *into, size_t most)
{
    static char ahead[1 << 16];
    static size_t from, until;
    ssize_t got;

    if (from == until && most < sizeof ahead) {
        got = read(port, ahead, sizeof ahead);
        from = 0;
        until = got > 0 ? got : 0;
    }
    if (from == until)
        return most < sizeof ahead || (got = read(port, into, most)) < 0 ? 0 : got;
    if (most > until - from)
        most = until - from;
    memcpy(into, ahead + from, most);
    from += most;
    return most;
}

/* A request without its newline; waits for a host, of whose coming the kernel tells by SIGIO. */
static void receive_line(void)
{
    static const struct timespec second = {1, 0};
    size_t length = 0;
    sigset_t come;

    sigemptyset(&come);
    sigaddset(&come, SIGIO);
    do {
        if (length == LINE - 1)
            length = 0; /* no request is so long: skip it */
        if (receive(line + length, 1) == 1) {
            length++;
        } else {
            length = 0; /* what a host that has gone began to say is void */
            sigtimedwait(&come, NULL, &second);
        }
    } while (length == 0 || line[length - 1] != '\n');
    line[length - 1] = 0;
}

static void answer(const char *data, uint64_t length)
{
    char head[32];

    send_all(head, snprintf(head, sizeof head, "ok %llu\n", (unsigned long long)length));
    send_all(data, length);
}

static int transfer_in(int disk, uint64_t offset, uint64_t length)
{
    int failed = 0;

    while (length > 0) { /* all data is taken even if the disk fails: what comes after it is a request */
        size_t piece = length < BUFFER ? length : BUFFER, have = 0, got;
        while (have < piece) {
            if ((got = receive(buffer + have, piece - have)) == 0)
                return EPIPE; /* the host has gone: nothing of a piece is written that is not whole */
            have += got;
        }
        if (!failed && pwrite(disk, buffer, piece, offset) != (ssize_t)piece)
            failed = errno ? errno : EIO;
        offset += piece;
        length -= piece;
    }
    return failed;
}

static int transfer_out(int disk, uint64_t offset, uint64_t length)
{
    char head[32];
    int began = 0;

    while (length > 0) {
        size_t piece = length < BUFFER ? length : BUFFER;
        if (pread(disk, buffer, piece, offset) != (ssize_t)piece) {
            if (!began)
                return errno ? errno : EIO;
            memset(buffer, 0xE5, piece); /* too late to say so; nobody takes this for what was written */
        }
        if (!began)
            send_all(head, snprintf(head, sizeof head, "ok %llu\n", (unsigned long long)length));
        began = 1;
        send_all(buffer, piece);
        offset += piece;
        length -= piece;
    }
    return 0;
}

static int number(uint64_t *value)
{
    char *word = strtok(NULL, SEPARATOR);

    if (word == NULL)
        return 0;
    *value = strtoull(word, NULL, 10);
    return 1;
}

static int on_ranges(int disk, const char *verb)
{
    uint64_t range[2];
    int failed = 0;

    while (number(&range[0]) && number(&range[1])) {
        int result;
        if (strcmp(verb, "write") == 0)
            result = transfer_in(disk, range[0], range[1]);
        else
            result = ioctl(disk, strcmp(verb, "zero") == 0 ? BLKZEROOUT : BLKDISCARD, range) ? errno : 0;
        failed = failed ? failed : result;
    }
    return failed;
}

static int size_of(int disk)
{
    char text[32];
    uint64_t size;

    if (ioctl(disk, BLKGETSIZE64, &size) != 0)
        return errno;
    answer(text, snprintf(text, sizeof text, "%llu", (unsigned long long)size));
    return 0;
}

/* 0 and an answer that was sent, or an errno. */
static int on_disk(const char *verb)
{
    uint64_t offset, length;
    char path[32];
    const char *name = strtok(NULL, SEPARATOR);
    int failed, disk;

    if (name == NULL || strchr(name, '/') != NULL || snprintf(path, sizeof path, "/dev/%s", name) >= (int)sizeof path)
        return EINVAL;
    disk = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
    if (disk < 0)
        return errno;
    if (strcmp(verb, "read") == 0) {
        failed = !number(&offset) || !number(&length) ? EINVAL : transfer_out(disk, offset, length);
    } else if (strcmp(verb, "size") == 0) {
        failed = size_of(disk);
    } else {
        failed = strcmp(verb, "flush") != 0 ? on_ranges(disk, verb) : fsync(disk) ? errno : 0;
        if (!failed)
            answer(NULL, 0);
    }
    close(disk);
    return failed;
}

static int boot(void)
{
    char id[64];
    int file = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t length = read(file, id, sizeof id);

    close(file);
    if (length <= 0)
        return EIO;
    answer(id, length - 1);
    return 0;
}

static int adjust(void)
{
    struct {
        int bits, bytes;
        char data[128];
    } entropy;
    struct timespec now = {0, 0};
    uint64_t seconds;
    const char *word;
    int random;

    if (!number(&seconds) || (word = strtok(NULL, SEPARATOR)) == NULL || strlen(word) > sizeof entropy.data)
        return EINVAL;
    now.tv_sec = seconds;
    if (clock_settime(CLOCK_REALTIME, &now) != 0)
        return errno;
    entropy.bytes = strlen(word);
    entropy.bits = entropy.bytes * 4; /* hexadecimal digits */
    memcpy(entropy.data, word, entropy.bytes);
    random = open("/dev/urandom", O_RDWR | O_CLOEXEC);
    if (random < 0 || ioctl(random, RNDADDENTROPY, &entropy) != 0 || ioctl(random, RNDRESEEDCRNG) != 0)
        return errno;
    close(random);
    return boot();
}

static int serve(void)
{
    const char *verb = strtok(line, SEPARATOR);

    if (verb == NULL)
        return EINVAL;
    if (strcmp(verb, "boot") == 0)
        return boot();
    if (strcmp(verb, "adjust") == 0)
        return adjust();
    if (strcmp(verb, "write") == 0 || strcmp(verb, "zero") == 0 || strcmp(verb, "discard") == 0 ||
        strcmp(verb, "read") == 0 || strcmp(verb, "flush") == 0 || strcmp(verb, "size") == 0)
        return on_disk(verb);
    return ENOSYS;
}

int main(int count, char **words)
{
    sigset_t come;

    sigemptyset(&come);
    sigaddset(&come, SIGIO);
    if (count != 2 || (port = open(words[1], O_RDWR | O_CLOEXEC)) < 0 ||
        posix_memalign((void **)&buffer, ALIGNMENT, BUFFER) != 0 || sigprocmask(SIG_BLOCK, &come, NULL) != 0 ||
        fcntl(port, F_SETOWN, getpid()) != 0 || fcntl(port, F_SETFL, O_ASYNC) != 0) {
        perror("chainproof: disk-server");
        return 1;
    }
    for (;;) {
        int failed;

        receive_line();
        failed = serve();
        if (failed)
            send_all(buffer, snprintf(buffer, BUFFER, "error %s\n", strerror(failed)));
    }
}
