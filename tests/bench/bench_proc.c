/* What the kernel knows of processes, and of the disk. */
#include "mesh/base/clock.h"
#include "tests/bench/bench.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SYNC_COUNT = 101, SYNC_BYTES = 8192, PATH_BYTES = 512 };

/* ---- one process ---- */

struct usage {
    int64_t parent, own_ticks, children_ticks;
};

/* Fields 4, 14, 15, 16 and 17 of stat; the name before them may hold anything, up to its last ')'. */
static bool
read_usage(int64_t pid, struct usage *ret_usage)
{
    char path[64], text[1024], *at;
    long long parent, user, system, children_user, children_system;
    FILE *file;
    size_t bytes;

    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    file = fopen(path, "r");
    if (file == NULL)
        return false;
    bytes = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[bytes] = '\0';
    at = strrchr(text, ')');
    if (at == NULL ||
        sscanf(at + 2, "%*c %lld %*d %*d %*d %*d %*u %*u %*u %*u %*u %lld %lld %lld %lld", &parent,
               &user, &system, &children_user, &children_system) != 5)
        return false;
    *ret_usage = (struct usage){ .parent = parent,
                                 .own_ticks = user + system,
                                 .children_ticks = children_user + children_system };
    return true;
}

/* A line of a file under /proc/PID that begins with `name`, in kB. */
static int64_t
read_kb(int64_t pid, const char *file_name, const char *name)
{
    char path[64], line[256];
    long long kb = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%lld/%s", (long long)pid, file_name);
    file = fopen(path, "r");
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0 && sscanf(line + strlen(name), "%lld", &kb) == 1)
            break;
    }
    fclose(file);
    return kb;
}

/* ---- programs ---- */

static int64_t
ticks_us(int64_t ticks)
{
    return ticks * SECOND_US / sysconf(_SC_CLK_TCK);
}

/* Memory that processes share counts once: Pss, which is the owner's to read. */
static int64_t
memory_bytes(int64_t pid, bool is_shared)
{
    int64_t kb = is_shared ? read_kb(pid, "smaps_rollup", "Pss:") : 0;

    return (kb > 0 ? kb : read_kb(pid, "status", "VmRSS:")) * 1024;
}

/* Children that have ended count with their parent. */
static void
read_tree(struct bench_program *program)
{
    DIR *directory = opendir("/proc");
    const struct dirent *entry;

    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        int64_t pid = atoll(entry->d_name);
        struct usage usage;

        if (pid <= 0 || pid == program->pid || !read_usage(pid, &usage) ||
            usage.parent != program->pid)
            continue;
        program->cpu_us += ticks_us(usage.own_ticks);
        program->rss_bytes += memory_bytes(pid, true);
    }
    if (directory != NULL)
        closedir(directory);
}

void
bench_programs_read(struct bench_programs *programs)
{
    for (size_t i = 0; i < programs->count; i++) {
        struct bench_program *program = &programs->all[i];
        struct usage usage;

        if (!read_usage(program->pid, &usage))
            bench_fail("the process %lld (%s) has gone; its log says why", (long long)program->pid,
                       program->name);
        program->cpu_us = ticks_us(usage.own_ticks);
        program->rss_bytes = memory_bytes(program->pid, program->is_tree);
        if (!program->is_tree)
            continue;
        program->cpu_us += ticks_us(usage.children_ticks);
        read_tree(program);
    }
}

static void
add_program(struct bench_programs *programs, const char *name, int64_t pid, bool is_tree)
{
    struct bench_program *program = &programs->all[programs->count];

    if (programs->count == BENCH_PROGRAMS_MAX)
        bench_fail("more than %d programs", BENCH_PROGRAMS_MAX);
    memset(program, 0, sizeof *program);
    snprintf(program->name, sizeof program->name, "%s", name);
    program->pid = pid;
    program->is_tree = is_tree;
    programs->count++;
}

void
bench_programs_find(const struct bench *bench, struct bench_programs *ret_programs)
{
    char *list = arena_copy(bench->arena, bench->programs, strlen(bench->programs)), *rest;

    ret_programs->count = 0;
    for (char *word = strtok_r(list, ",", &rest); word != NULL; word = strtok_r(NULL, ",", &rest)) {
        char name[16];
        long long pid;

        if (sscanf(word, "%15[^:]:%lld", name, &pid) != 2)
            bench_fail("--programs is NAME:PID,NAME:PID, not '%s'", word);
        add_program(ret_programs, name, pid, false);
    }
    if (bench->postgres_pid > 0)
        add_program(ret_programs, "postgres", bench->postgres_pid, true);
    add_program(ret_programs, "bench", getpid(), false);
    bench_programs_read(ret_programs);
}

/* ---- the disk ---- */

static int
compare_int64(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;

    return (left > right) - (left < right);
}

static void
write_and_sync(int file, int64_t *ret_us)
{
    static const char block[SYNC_BYTES];

    for (int i = 0; i < SYNC_COUNT; i++) {
        int64_t began_us = clock_steady_us();

        if (write(file, block, sizeof block) != sizeof block || fdatasync(file) != 0)
            bench_fail("the disk cannot be written");
        ret_us[i] = clock_steady_us() - began_us;
    }
}

double
bench_disk_sync_us(const char *directory)
{
    char path[PATH_BYTES];
    int64_t us[SYNC_COUNT];
    int file;

    /* PostgreSQL's directory is its user's; the one above is at least on the same disk. */
    snprintf(path, sizeof path, "%s/../bench-sync-XXXXXX", directory);
    file = mkstemp(path);
    if (file < 0)
        bench_fail("cannot write beside %s, to measure the disk", directory);
    write_and_sync(file, us);
    close(file);
    unlink(path);
    qsort(us, SYNC_COUNT, sizeof *us, compare_int64);
    return (double)us[SYNC_COUNT / 2];
}
