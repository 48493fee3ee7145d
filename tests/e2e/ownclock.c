/* ownclock.c -- A program's own wall clock, for tests: loaded with LD_PRELOAD, moved by a file.
 *
 * The file MESH_CLOCK holds one int64_t: by how many microseconds the program's wall clock is ahead of
 * the machine's. It is mapped, so a clock is moved while the program runs, at once and without a call.
 * Only the main program's own calls are answered so (CLOCK_REALTIME, gettimeofday, time): libraries keep
 * the machine's clock, as gRPC's timers must, and CLOCK_MONOTONIC is the same for all.
 *
 * Built and driven by clock.py.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND_US INT64_C(1000000)

/* The C library declares the arguments of these as never NULL; a library for any program looks. */
#pragma GCC diagnostic ignored "-Wnonnull-compare"

static uintptr_t code_begin, code_end; /* of the main program */
static const _Atomic int64_t *ahead_us;
static int (*real_clock)(clockid_t clock, struct timespec *now);

static int
find_code(struct dl_phdr_info *object, size_t bytes, void *unused)
{
    (void)bytes;
    (void)unused;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];

        if (part->p_type == PT_LOAD && (part->p_flags & PF_X) != 0) {
            code_begin = object->dlpi_addr + part->p_vaddr;
            code_end = code_begin + part->p_memsz;
        }
    }
    return 1; /* the first object is the program */
}

static void
set_up(void)
{
    const char *path = getenv("MESH_CLOCK");
    int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    void *mapped = MAP_FAILED;

    *(void **)&real_clock = dlsym(RTLD_NEXT, "clock_gettime");
    dl_iterate_phdr(find_code, NULL);
    if (file >= 0) {
        mapped = mmap(NULL, sizeof *ahead_us, PROT_READ, MAP_SHARED, file, 0);
        close(file);
    }
    if (path != NULL && mapped == MAP_FAILED) {
        fprintf(stderr, "ownclock: the clock %s cannot be read\n", path);
        abort(); /* a test that moves nothing would pass */
    }
    if (mapped != MAP_FAILED)
        ahead_us = mapped;
}

static bool
is_own(const void *caller)
{
    return ahead_us != NULL && (uintptr_t)caller >= code_begin && (uintptr_t)caller < code_end;
}

static int
read_clock(clockid_t clock, struct timespec *now, const void *caller)
{
    int64_t us;
    int status;

    if (real_clock == NULL)
        set_up();
    status = real_clock(clock, now);
    if (status != 0 || clock != CLOCK_REALTIME || !is_own(caller))
        return status;
    us = (int64_t)now->tv_sec * SECOND_US + now->tv_nsec / 1000 +
         atomic_load_explicit(ahead_us, memory_order_relaxed);
    now->tv_sec = us / SECOND_US;
    now->tv_nsec = us % SECOND_US * 1000 + now->tv_nsec % 1000;
    return 0;
}

int
clock_gettime(clockid_t clock, struct timespec *now)
{
    return read_clock(clock, now, __builtin_return_address(0));
}

int
gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec time;
    int status = read_clock(CLOCK_REALTIME, &time, __builtin_return_address(0));

    (void)zone;
    if (status == 0 && now != NULL)
        *now = (struct timeval){ .tv_sec = time.tv_sec, .tv_usec = time.tv_nsec / 1000 };
    return status;
}

time_t
time(time_t *ret_now)
{
    struct timespec now;

    if (read_clock(CLOCK_REALTIME, &now, __builtin_return_address(0)) != 0)
        return (time_t)-1;
    if (ret_now != NULL)
        *ret_now = now.tv_sec;
    return now.tv_sec;
}
