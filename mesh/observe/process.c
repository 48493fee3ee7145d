/* process.c -- /proc/self, read when a text is made. What cannot be read (no /proc, no descriptor left) stays as it was.
 * https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics
 */
#include "mesh/observe/process.h"
#include "mesh/base/build.h"
#include "mesh/base/clock.h"
#include "mesh/observe/metrics.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* clang-format off */
static const struct metric_row cpu      = { .name = "process_cpu_seconds_total",     .type = METRIC_COUNTER, .unit = METRIC_SECONDS, .help = "User and system time of all threads." };
static const struct metric_row resident = { .name = "process_resident_memory_bytes", .type = METRIC_GAUGE, .help = "Memory of the process that is in RAM." };
static const struct metric_row virtual  = { .name = "process_virtual_memory_bytes",  .type = METRIC_GAUGE, .help = "Memory of the process, wherever it is." };
static const struct metric_row open_fds = { .name = "process_open_fds",              .type = METRIC_GAUGE, .help = "Descriptors that are open." };
static const struct metric_row max_fds  = { .name = "process_max_fds",               .type = METRIC_GAUGE, .help = "Descriptors that may be open." };
static const struct metric_row threads  = { .name = "process_threads",               .type = METRIC_GAUGE, .help = "Threads." };
static const struct metric_row start    = { .name = "process_start_time_seconds",    .type = METRIC_GAUGE, .unit = METRIC_SECONDS, .help = "When the process was started, since 1970." };
static const struct metric_row built    = { .name = "build_info", .type = METRIC_INFO, .help = "From what the program was built.", .labels = { "version", "commit" } };
/* clang-format on */

/* Of /proc/self/stat, by their numbers in proc(5). */
enum { STAT_THREADS = 20, STAT_START = 22, STAT_VIRTUAL = 23, STAT_RESIDENT = 24, STAT_END = 25 };

static void
set(struct metrics *metrics, const struct metric_row *row, int64_t value)
{
    metric_set(metrics_series(metrics, row, NULL), value);
}

/* False: it could not be read. */
static bool
stat_read(int64_t ret_fields[STAT_END])
{
    char text[1024] = "";
    FILE *file = fopen("/proc/self/stat", "re");
    const char *at = NULL;

    if (file != NULL) {
        text[fread(text, 1, sizeof text - 1, file)] = '\0';
        fclose(file);
        at = strrchr(text, ')'); /* the name before may have anything in it */
    }
    for (int i = 3; at != NULL && i < STAT_END; i++) {
        at = strchr(at + 1, ' ');
        if (at != NULL && sscanf(at, "%" SCNd64, &ret_fields[i]) != 1)
            ret_fields[i] = 0; /* the state is a letter */
    }
    return at != NULL;
}

/* -1: it cannot be counted. The descriptor that counts is none of them. */
static int64_t
descriptors_count(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int64_t count = -1;

    if (folder == NULL)
        return -1;
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

static void
process_read(void *owner, struct metrics *metrics)
{
    int64_t fields[STAT_END], descriptors = descriptors_count();
    struct timespec used;
    struct rlimit limit;

    (void)owner;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) == 0)
        set(metrics, &cpu, used.tv_sec * SECOND_US + used.tv_nsec / 1000);
    if (stat_read(fields)) {
        set(metrics, &resident, fields[STAT_RESIDENT] * sysconf(_SC_PAGESIZE));
        set(metrics, &virtual, fields[STAT_VIRTUAL]);
        set(metrics, &threads, fields[STAT_THREADS]);
    }
    if (descriptors >= 0)
        set(metrics, &open_fds, descriptors);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        set(metrics, &max_fds, limit.rlim_cur > INT64_MAX ? INT64_MAX : (int64_t)limit.rlim_cur);
}

/* By the clock as it is now: one that is set later moves no start. */
static void
start_find(struct metrics *metrics)
{
    int64_t fields[STAT_END], hertz = sysconf(_SC_CLK_TCK);
    struct timespec up;

    if (clock_gettime(CLOCK_BOOTTIME, &up) == 0 && stat_read(fields))
        set(metrics, &start,
            clock_now_us() - up.tv_sec * SECOND_US - up.tv_nsec / 1000 +
                fields[STAT_START] * (SECOND_US / hertz));
}

void
process_metrics_open(struct metrics *metrics, const struct build *build)
{
    metric_set(
        metrics_series(metrics, &built, (const char *const[]){ build->version, build->commit }), 1);
    start_find(metrics);
    metrics_read(metrics, process_read, NULL);
}
