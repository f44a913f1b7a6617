/* A disk on which each sync takes long, preloaded: LD_PRELOAD, SLOW_DISK=FILE, SLOW_REPORT=FILE.
   While the file SLOW_DISK is there, each sync takes as long as it says, and is noted in the report
   with the thread that waits for it. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void wait_for_disk(const char *what)
{
    const char *slow = getenv("SLOW_DISK"), *report = getenv("SLOW_REPORT");
    char text[64] = "";
    int length, file;
    if (!slow || !report || (file = syscall(SYS_openat, AT_FDCWD, slow, O_RDONLY | O_CLOEXEC)) < 0)
        return;
    length = read(file, text, sizeof text - 1);
    close(file);
    int milliseconds = length > 0 ? atoi(text) : 0;
    int is_main = syscall(SYS_gettid) == getpid();
    length = snprintf(text, sizeof text, "{\"what\": \"%s\", \"main\": %s}\n", what,
                      is_main ? "true" : "false");
    file = syscall(SYS_openat, AT_FDCWD, report, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (file >= 0) {
        if (write(file, text, length) < 0) { /* the test misses it */ }
        close(file);
    }
    usleep(milliseconds * 1000);
}

int fsync(int fd)
{
    wait_for_disk("fsync");
    return syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    wait_for_disk("fdatasync");
    return syscall(SYS_fdatasync, fd);
}

int sync_file_range(int fd, off_t offset, off_t size, unsigned int flags)
{
    wait_for_disk("sync_file_range");
    return syscall(SYS_sync_file_range, fd, offset, size, flags);
}

int syncfs(int fd)
{
    wait_for_disk("syncfs");
    return syscall(SYS_syncfs, fd);
}

void sync(void)
{
    wait_for_disk("sync");
    syscall(SYS_sync);
}
