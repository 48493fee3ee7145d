/* file_watch.c -- A file is known by its inode, its size and its times: what is written or renamed has others.
 *
 * The mark of a reading is the hash of those of all its files. It is taken of each file before that is read, so a change
 * in between is one more change. A file that is away has a mark, too: when it comes, that is a change. */
#include "mesh/observe/file_watch.h"

#include "mesh/base/arena.h"
#include "mesh/base/clock.h"
#include "mesh/base/file.h"
#include "mesh/base/hash.h"
#include "mesh/base/log.h"
#include "mesh/observe/metrics.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* clang-format off */
static const struct metric_row loaded_row = { "sagamesh_file_loaded_timestamp_seconds", METRIC_GAUGE, METRIC_SECONDS, "When the files that are in use were read.", { "file" } };
static const struct metric_row failures_row = { "sagamesh_file_reload_failures_total", METRIC_COUNTER, METRIC_NUMBER, "Times that changed files could not be used, and the ones before stayed in use.", { "file" } };
/* clang-format on */

struct file_reads {
    struct arena *arena; /* of the paths */
    const char **paths;
    size_t count;
    uint64_t mark; /* of all, as they were when they were read */
};

struct watched {
    struct watched *next;
    struct file_owner owner;
    struct file_reads reads; /* of the last read(), also of one that failed */
    uint64_t seen;           /* the mark at the look before */
};

struct file_watch {
    struct metrics *metrics;
    struct watched *first;
};

/* ---- what a reading has read ---- */

static uint64_t
mark_add(uint64_t mark, const char *path)
{
    struct stat is;

    if (stat(path, &is) != 0)
        return hash_text(mark, "away");
    mark = hash_int(mark, (int64_t)is.st_dev);
    mark = hash_int(mark, (int64_t)is.st_ino);
    mark = hash_int(mark, is.st_size);
    mark = hash_int(mark, is.st_mtim.tv_sec * SECOND_US * 1000 + is.st_mtim.tv_nsec);
    return hash_int(mark, is.st_ctim.tv_sec * SECOND_US * 1000 + is.st_ctim.tv_nsec);
}

static uint64_t
mark_now(const struct file_reads *reads)
{
    uint64_t mark = HASH_SEED;

    for (size_t i = 0; i < reads->count; i++)
        mark = mark_add(mark, reads->paths[i]);
    return mark;
}

static void
reads_open(struct file_reads *reads)
{
    *reads = (struct file_reads){ .arena = arena_new(), .mark = HASH_SEED };
}

static void
reads_close(struct file_reads *reads)
{
    arena_free(reads->arena);
    free(reads->paths);
}

char *
file_reads_text(struct file_reads *reads, const char *path, size_t bytes_max, struct arena *arena)
{
    if (reads != NULL) {
        reads->paths = memory_grow(reads->paths, (reads->count + 1) * sizeof *reads->paths);
        reads->paths[reads->count++] = arena_copy(reads->arena, path, strlen(path));
        reads->mark = mark_add(reads->mark, path);
    }
    return file_read(path, bytes_max, arena);
}

char *
file_reads_beside(struct file_reads *reads, const char *beside, const char *name, size_t bytes_max,
                  struct arena *arena)
{
    return file_reads_text(reads, file_beside(beside, name, arena), bytes_max, arena);
}

/* ---- owners ---- */

struct file_watch *
file_watch_new(struct metrics *metrics)
{
    struct file_watch *watch = memory_take(sizeof *watch);

    watch->metrics = metrics;
    metrics_declare(metrics, &loaded_row);
    metrics_declare(metrics, &failures_row);
    return watch;
}

static void
watched_free(struct watched *watched)
{
    reads_close(&watched->reads);
    free(watched);
}

struct file_watch *
file_watch_free(struct file_watch *watch)
{
    if (watch == NULL)
        return NULL;
    while (watch->first != NULL) {
        struct watched *watched = watch->first;

        watch->first = watched->next;
        watched_free(watched);
    }
    free(watch);
    return NULL;
}

/* Reads all of it. The watch looks at the files of this reading from now on, also of one that failed: an operator mends a file where
 * it is. */
static enum error
read_all(struct watched *watched, struct metrics *metrics)
{
    const struct file_owner *owner = &watched->owner;
    struct problem problem = { 0 };
    struct file_reads reads;
    enum error error;

    reads_open(&reads);
    error = owner->read(owner->owner, &reads, &problem);
    reads_close(&watched->reads);
    watched->reads = reads;
    watched->seen = reads.mark;
    if (error == ERR_OK)
        metric_set(metrics_series(metrics, &loaded_row, &owner->name), clock_now_us());
    else
        log_error("event=FILE_REFUSED what=%s file=%s field=%s because=\"%s\"", owner->name,
                  owner->path, problem.field, problem.text);
    return error;
}

enum error
file_watch_add(struct file_watch *watch, const struct file_owner *owner)
{
    struct watched *watched = memory_take(sizeof *watched);
    enum error error;

    watched->owner = *owner;
    reads_open(&watched->reads);
    error = read_all(watched, watch == NULL ? NULL : watch->metrics);
    if (error != ERR_OK || watch == NULL) {
        watched_free(watched);
        return error;
    }
    watched->next = watch->first;
    watch->first = watched;
    metrics_series(watch->metrics, &failures_row, &owner->name);
    return ERR_OK;
}

void
file_watch_remove(struct file_watch *watch, const void *owner)
{
    if (watch == NULL)
        return;
    for (struct watched **link = &watch->first; *link != NULL; link = &(*link)->next) {
        struct watched *watched = *link;

        if (watched->owner.owner == owner) {
            *link = watched->next;
            watched_free(watched);
            return;
        }
    }
}

/* True: the files are others than those that were read last, and the same as a look ago. */
static bool
has_settled(struct watched *watched)
{
    uint64_t before = watched->seen;

    watched->seen = mark_now(&watched->reads);
    return watched->seen != watched->reads.mark && watched->seen == before;
}

void
file_watch_look(struct file_watch *watch, bool at_once)
{
    for (struct watched *watched = watch->first; watched != NULL; watched = watched->next) {
        const struct file_owner *owner = &watched->owner;

        if (!has_settled(watched) && !at_once)
            continue;
        if (read_all(watched, watch->metrics) == ERR_OK)
            log_info("event=FILE_READ_AGAIN what=%s file=%s", owner->name, owner->path);
        else
            metric_add(metrics_series(watch->metrics, &failures_row, &owner->name), 1);
    }
}
