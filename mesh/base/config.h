/* config.h -- Flags of a program as a table: one row per key, --help printed from the rows.
 *
 * A value comes from --name=value (or --name value), else from the environment (MESH_NAME with
 * dashes as underscores), else from the row.
 *
 * Thread    Read once in main(), before threads start.
 * Memory    Values point into argv, the environment or the table.
 */
#ifndef MESH_BASE_CONFIG_H
#define MESH_BASE_CONFIG_H

#include <stddef.h>
#include <stdint.h>

enum config_type { CONFIG_TEXT = 1, CONFIG_INT, CONFIG_FLAG };

struct config_key {
    const char *name; /* "listen" */
    enum config_type type;
    const char *fallback; /* its default, as text; NULL: must be given (CONFIG_TEXT and INT) */
    int64_t min, max;     /* CONFIG_INT */
    const char *help;     /* a line; says the unit */
    size_t offset;        /* into the program's struct: const char *, int64_t or bool */
};

/* Fills *values. A bad flag is named on standard error and ends the program with 2; --help prints
 * usage and the rows and ends it with 0. keys end with a row of zeros; keys_too may be NULL (a
 * program's own beside the common ones, with values of its own). Arguments that are no flags are
 * moved to argv[0..], their number returned. */
struct config_table {
    const struct config_key *keys;
    void *values;
};
int config_read(int argc, char **argv, const char *usage, const struct config_table *tables,
                size_t table_count);

#endif
