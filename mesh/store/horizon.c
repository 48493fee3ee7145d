#include "mesh/store/horizon.h"

#include <string.h>

static const struct pg_column ticket_columns[] = { { "ticket", PG_INT8, 0 }, { 0 } };

/* A snapshot's xmax would not do: it is one past the last *completed* transaction, and those that are
 * open may be above it. */
const struct pg_statement horizon_ticket = {
    .name = "horizon_ticket",
    .sql = "SELECT pg_current_xact_id()::text::bigint",
    .is_single = true,
    .out = ticket_columns,
    .out_bytes = sizeof(int64_t),
};

void
horizon_see(struct horizon *horizon, int64_t oldest)
{
    if (horizon->ticket == 0 || oldest < horizon->ticket)
        return;
    horizon->settled = horizon->aimed;
    horizon->ticket = 0;
}

enum error
horizon_aim(struct horizon *horizon, struct pg *pg, struct arena *arena, int64_t last)
{
    struct pg_answer ticket;
    enum error error;

    if (horizon->ticket != 0)
        return ERR_OK;
    error = pg_ask(pg, &horizon_ticket, NULL, arena, &ticket);
    if (error != ERR_OK)
        return error;
    memcpy(&horizon->ticket, ticket.rows, sizeof horizon->ticket);
    horizon->aimed = last;
    return ERR_OK;
}
