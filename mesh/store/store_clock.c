#include "mesh/store/store_clock.h"
#include "mesh/base/clock.h"

#include <stdlib.h>
#include <string.h>

static const struct pg_column columns[] = { { "now_us", PG_INT8, 0 }, { 0 } };

const struct pg_column store_clock_program[] = { { "program_us", PG_INT8, 0 }, { 0 } };

const struct pg_statement store_clock = {
    .name = "store_clock",
    .sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
    .is_single = true,
    .out = columns,
    .out_bytes = sizeof(int64_t),
};

enum error
store_clock_ask(struct pg *pg, struct arena *arena, int64_t *ret_asked_us, int64_t *ret_database_us)
{
    struct pg_answer now;
    int64_t asked_us = clock_steady_us();
    enum error error = pg_ask(pg, &store_clock, NULL, arena, &now);

    if (error != ERR_OK)
        return error;
    *ret_asked_us = asked_us;
    memcpy(ret_database_us, now.rows, sizeof *ret_database_us);
    return ERR_OK;
}

int64_t
store_least_us(int64_t database_us, int64_t program_us)
{
    int64_t apart_us = llabs(database_us - program_us);
    int64_t least_us = database_us < program_us ? database_us : program_us;

    if (apart_us > 2 * STORE_CLOCK_APART_US) /* no replica goes by the database's */
        least_us = program_us;
    return apart_us <= STORE_CLOCK_APART_US / 2 ? least_us : least_us - 2 * STORE_CLOCK_APART_US;
}

int64_t
store_now_us(int64_t database_us)
{
    int64_t program_us = clock_now_us();

    return llabs(database_us - program_us) <= STORE_CLOCK_APART_US ? database_us : program_us;
}
