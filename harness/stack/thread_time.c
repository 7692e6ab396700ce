/* Has getrusage(RUSAGE_THREAD) tell of a second more each time that it is called; loaded by LD_PRELOAD.
 *
 * QEMU finds out how often it can work on the key of a new LUKS image in two seconds, by the user's part of the time
 * that a thread takes for some (crypto/pbkdf.c). A kernel that shares the time out by what it sees at each tick tells it
 * 0 now and then, and QEMU then fails: "Unable to get accurate CPU usage". And two seconds for each key that is made,
 * and for each that is read, are long. With this the machine is a slow one, whose keys are worked on 60,000 times: that
 * has nothing to do with what is proved here.
 *
 * No header and no library but symbols that every glibc has (GLIBC_2.2.5): so one object loads in every release.
 */

struct rusage {
    long user_seconds;
    long rest[17];
};

long syscall(long number, ...);

enum { SYS_getrusage = 98, RUSAGE_THREAD = 1 };

int getrusage(int who, struct rusage *usage) {
    static long told;
    int failed = (int)syscall(SYS_getrusage, who, usage);
    if (!failed && who == RUSAGE_THREAD)
        usage->user_seconds += ++told;
    return failed;
}
