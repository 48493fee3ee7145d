#include "mesh/store/partition.h"

#include "mesh/base/clock.h"

struct request {
    struct partitions partitions;
    int64_t program_us;
};

/* clang-format off */
static const struct pg_column keep_columns[] = {
    PG_COLUMN(struct request, partitions.table, PG_TEXT),
    PG_COLUMN(struct request, partitions.fill, PG_INT4),
    PG_COLUMN(struct request, program_us, PG_INT8),
    { 0 },
};
static const struct pg_column drop_columns[] = {
    PG_COLUMN(struct request, partitions.table, PG_TEXT),
    PG_COLUMN(struct request, partitions.open, PG_TEXT),
    PG_COLUMN(struct request, partitions.pinned_by, PG_TEXT),
    PG_COLUMN(struct request, program_us, PG_INT8),
    { 0 },
};
/* clang-format on */

const struct pg_statement partitions_keep = {
    .name = "partitions_keep",
    .sql = "SELECT mesh_partitions_keep($1, $2, $3)",
    .in = keep_columns,
    .is_single = true,
};
const struct pg_statement partitions_drop = {
    .name = "partitions_drop",
    .sql = "SELECT mesh_partitions_drop($1, $2, $3, $4)",
    .in = drop_columns,
    .is_single = true,
};

static enum error
ask(const struct pg_statement *statement, const struct partitions *partitions, struct pg *pg)
{
    struct request request = { .partitions = *partitions, .program_us = clock_now_us() };

    return pg_ask(pg, statement, &request, NULL, NULL);
}

enum error
partitions_make(const struct partitions *partitions, struct pg *pg)
{
    enum error error = ERR_OK;

    for (; error == ERR_OK && partitions->table != NULL; partitions++)
        error = ask(&partitions_keep, partitions, pg);
    return error;
}

enum error
partitions_forget(const struct partitions *partitions, struct pg *pg)
{
    enum error error = ERR_OK;

    for (; error == ERR_OK && partitions->table != NULL; partitions++) {
        if (partitions->open != NULL)
            error = ask(&partitions_drop, partitions, pg);
    }
    return error;
}
