#include "mesh/store/pg_timeline.h"

#include "mesh/base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct pg_timeline known[PG_CLUSTERS_MAX]; /* number 0: a free row */
static const char *file_path = "";

/* The cluster's row; else a free one; NULL: there are more clusters than rows. Under the lock. */
static struct pg_timeline *
row_of(uint64_t cluster)
{
    struct pg_timeline *is_free = NULL;

    for (size_t i = 0; i < PG_CLUSTERS_MAX; i++) {
        if (known[i].number != 0 && known[i].cluster == cluster)
            return &known[i];
        if (known[i].number == 0 && is_free == NULL)
            is_free = &known[i];
    }
    return is_free;
}

/* Under the lock. What cannot be kept is known in memory all the same. */
static void
file_write(void)
{
    char temporary[4096];
    FILE *file;
    bool is_written;

    if (file_path[0] == '\0')
        return;
    snprintf(temporary, sizeof temporary, "%s.new", file_path);
    file = fopen(temporary, "w");
    is_written = file != NULL;
    for (size_t i = 0; is_written && i < PG_CLUSTERS_MAX; i++) {
        if (known[i].number != 0)
            is_written =
                fprintf(file, "%" PRIu64 " %" PRIu32 "\n", known[i].cluster, known[i].number) > 0;
    }
    if (file != NULL && fclose(file) != 0)
        is_written = false;
    if (!is_written || rename(temporary, file_path) != 0)
        log_error("timeline_file=%s because=\"it cannot be written: %s\"", file_path,
                  strerror(errno));
}

void
pg_timeline_open(const char *path)
{
    FILE *file = path[0] == '\0' ? NULL : fopen(path, "r");
    struct pg_timeline timeline;

    if (file == NULL && path[0] != '\0' && errno != ENOENT)
        log_error("timeline_file=%s because=\"it cannot be read: %s\""
                  " next=\"an old primary that comes back now is not known as one\"",
                  path, strerror(errno));
    pthread_mutex_lock(&lock);
    file_path = path;
    memset(known, 0, sizeof known);
    while (file != NULL &&
           fscanf(file, "%" SCNu64 " %" SCNu32, &timeline.cluster, &timeline.number) == 2) {
        struct pg_timeline *row = row_of(timeline.cluster);

        if (row != NULL && timeline.number > row->number)
            *row = timeline;
    }
    pthread_mutex_unlock(&lock);
    if (file != NULL)
        fclose(file);
}

bool
pg_timeline_admit(struct pg_timeline timeline, uint32_t *ret_known)
{
    struct pg_timeline *row;
    bool is_admitted;

    pthread_mutex_lock(&lock);
    row = row_of(timeline.cluster);
    is_admitted = row == NULL || timeline.number >= row->number;
    *ret_known = row == NULL ? 0 : row->number;
    if (row != NULL && timeline.number > row->number) {
        *row = timeline;
        file_write();
    }
    pthread_mutex_unlock(&lock);
    return is_admitted;
}

bool
pg_timeline_is_newest(struct pg_timeline timeline)
{
    const struct pg_timeline *row;
    bool is_newest;

    pthread_mutex_lock(&lock);
    row = row_of(timeline.cluster);
    is_newest = row == NULL || timeline.number >= row->number;
    pthread_mutex_unlock(&lock);
    return is_newest;
}

bool
pg_timeline_is_known(void)
{
    bool is_known;

    pthread_mutex_lock(&lock);
    is_known = known[0].number != 0; /* rows are filled from the first on */
    pthread_mutex_unlock(&lock);
    return is_known;
}
