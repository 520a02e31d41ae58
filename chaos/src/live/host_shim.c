/*
 * Makes the processes it is preloaded into, and no others, believe in a host of their own: its time of day, and the disks below two
 * folders. What it is to pretend stands in a small file that every process maps, so a change is in force at once. All else stays true: the
 * other clocks, reads, and writes that go anywhere else.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct control {
    int64_t clock_seconds;
    struct { uint32_t full; uint32_t sync_ms; } disk[2];
};

static const struct control *control;
static const char *const folder[2] = {DATABASE_FOLDER, WITCH_FOLDER};

__attribute__((constructor)) static void begin(void) {
    int file = open(CONTROL_FILE, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    void *map = mmap(NULL, sizeof *control, PROT_READ, MAP_SHARED, file, 0);
    if (map != MAP_FAILED) control = map;
    close(file);
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

/*
 * The disk that a file lies on; -1 if it is none of ours. A folder that stands beside ours and has its name before it counts, too: a clone.
 * The daemon's log is a file beside, and is no part of the disk, so that it can tell of it.
 */
static int disk_of(int file) {
    char link[40], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return -1;
    path[length] = 0;
    for (int disk = 0; disk < 2; disk++)
        if (strncmp(path, folder[disk], strlen(folder[disk])) == 0 && strchr(path + strlen(folder[disk]), '/')) return disk;
    return -1;
}

static int is_full(int file) {
    if (!control || !(control->disk[0].full || control->disk[1].full)) return 0;
    int error = errno;
    int disk = disk_of(file);
    errno = error;
    return disk >= 0 && control->disk[disk].full;
}

static void dawdle(int file) {
    if (!control || !(control->disk[0].sync_ms || control->disk[1].sync_ms)) return;
    int error = errno;
    int disk = disk_of(file);
    if (disk >= 0 && control->disk[disk].sync_ms) {
        uint32_t ms = control->disk[disk].sync_ms;
        struct timespec left = {ms / 1000, (long)(ms % 1000) * 1000000};
        while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR) {}
    }
    errno = error;
}

#define NO_SPACE(file) do { if (is_full(file)) { errno = ENOSPC; return -1; } } while (0)

ssize_t write(int file, const void *bytes, size_t count) { REAL(write); NO_SPACE(file); return real(file, bytes, count); }
ssize_t pwrite(int file, const void *bytes, size_t count, off_t at) { REAL(pwrite); NO_SPACE(file); return real(file, bytes, count, at); }
ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at) { REAL(pwrite64); NO_SPACE(file); return real(file, bytes, count, at); }
ssize_t writev(int file, const struct iovec *parts, int count) { REAL(writev); NO_SPACE(file); return real(file, parts, count); }
ssize_t pwritev(int file, const struct iovec *parts, int count, off_t at) { REAL(pwritev); NO_SPACE(file); return real(file, parts, count, at); }
ssize_t pwritev64(int file, const struct iovec *parts, int count, off64_t at) { REAL(pwritev64); NO_SPACE(file); return real(file, parts, count, at); }
int fallocate(int file, int mode, off_t at, off_t length) { REAL(fallocate); NO_SPACE(file); return real(file, mode, at, length); }
int fallocate64(int file, int mode, off64_t at, off64_t length) { REAL(fallocate64); NO_SPACE(file); return real(file, mode, at, length); }
int posix_fallocate(int file, off_t at, off_t length) { REAL(posix_fallocate); return is_full(file) ? ENOSPC : real(file, at, length); }
int posix_fallocate64(int file, off64_t at, off64_t length) { REAL(posix_fallocate64); return is_full(file) ? ENOSPC : real(file, at, length); }
int fsync(int file) { REAL(fsync); dawdle(file); return real(file); }
int fdatasync(int file) { REAL(fdatasync); dawdle(file); return real(file); }
int syncfs(int file) { REAL(syncfs); dawdle(file); return real(file); }

int clock_gettime(clockid_t clock, struct timespec *time) {
    REAL(clock_gettime);
    int result = real(clock, time);
    if (result == 0 && clock == CLOCK_REALTIME && control) time->tv_sec += control->clock_seconds;
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    struct timespec now;
    (void)zone;
    int result = clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return result;
}

time_t time(time_t *result) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (result) *result = now.tv_sec;
    return now.tv_sec;
}
