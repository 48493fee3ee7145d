/* key_age.c -- The time of the last change is the file's own, looked at when the program reads it. */
#include "mesh/observe/key_age.h"
#include "mesh/base/clock.h"
#include "mesh/observe/metrics.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH_BYTES_MAX = 4096 };

/* clang-format off */
static const struct metric_row changed_row = { "sagamesh_key_timestamp_seconds", METRIC_GAUGE, METRIC_SECONDS, "When a file of keys or secrets that is in use was last changed.", { "file" } };
/* clang-format on */

void
key_age_show(struct metrics *metrics, const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;
    struct stat is;

    if (stat(path, &is) == 0)
        metric_set(metrics_series(metrics, &changed_row, &name), is.st_mtime * SECOND_US);
}

void
key_age_show_beside(struct metrics *metrics, const char *beside, const char *name)
{
    const char *slash = strrchr(beside, '/');
    char path[PATH_BYTES_MAX];

    if (name[0] == '/' || slash == NULL)
        snprintf(path, sizeof path, "%s", name);
    else
        snprintf(path, sizeof path, "%.*s/%s", (int)(slash - beside), beside, name);
    key_age_show(metrics, path);
}
