#include "mesh/store/write_health.h"

#include "mesh/base/clock.h"
#include "mesh/base/log.h"
#include "mesh/store/event.h"

#include <pthread.h>
#include <stdlib.h>

enum { STATEMENTS_MAX = 2 * BATCH_TABLES_MAX + 3 };
_Static_assert((int)STATEMENTS_MAX <= (int)PG_STEPS_MAX, "all are tried in one round");

struct write_health {
    const char *application;
    const struct pg_statement *statements[STATEMENTS_MAX]; /* the last is write_try; then NULL */
    size_t count;
    pthread_mutex_t lock;
    int64_t refused_since_us, refused_at_us; /* under lock, as the next; 0: the last was written */
    int64_t refused_count;
    int64_t try_due_us;
    bool can_write; /* what the last try said */
    bool was_well;  /* what was said in the log */
};

struct try_row {
    const char *name;
    int64_t at_us;
};

static const struct pg_column try_columns[] = {
    PG_COLUMN(struct try_row, name, PG_TEXT),
    PG_COLUMN(struct try_row, at_us, PG_INT8),
    { 0 },
};

static const struct pg_statement write_try = {
    .name = "write_try",
    .sql = "INSERT INTO write_try VALUES ($1, $2)"
           " ON CONFLICT (name) DO UPDATE SET at_us = excluded.at_us",
    .in = try_columns,
    .is_single = true,
};

static void
statement_add(struct write_health *health, const struct pg_statement *statement)
{
    if (statement != NULL)
        health->statements[health->count++] = statement;
}

struct write_health *
write_health_new(const struct batch_service *service, const char *application)
{
    struct write_health *health = memory_take(sizeof *health);

    health->application = application;
    health->can_write = health->was_well = true;
    pthread_mutex_init(&health->lock, NULL);
    for (size_t i = 0; service != NULL && i < service->table_count; i++) {
        statement_add(health, service->tables[i].insert);
        statement_add(health, service->tables[i].update);
    }
    if (service != NULL && service->has_events)
        statement_add(health, &event_append);
    statement_add(health, &write_try);
    return health;
}

struct write_health *
write_health_free(struct write_health *health)
{
    if (health == NULL)
        return NULL;
    pthread_mutex_destroy(&health->lock);
    free(health);
    return NULL;
}

const struct pg_statement *const *
write_health_statements(const struct write_health *health)
{
    return health->statements;
}

void
write_health_tell(struct write_health *health, bool is_written)
{
    int64_t now_us = clock_steady_us();

    pthread_mutex_lock(&health->lock);
    if (is_written) {
        health->refused_since_us = 0;
        health->refused_count = 0;
    } else {
        if (health->refused_since_us == 0)
            health->refused_since_us = now_us;
        health->refused_at_us = now_us;
        health->refused_count++;
    }
    pthread_mutex_unlock(&health->lock);
}

/* All statements with no rows, then the row, then COMMIT. A row that another replica has in its hands is
 * no trouble. */
static enum error
try_once(const struct write_health *health, struct pg *pg)
{
    const struct try_row row = { health->application, clock_now_us() };
    const void *row_pointer = &row;
    struct pg_step steps[STATEMENTS_MAX];
    enum error error = pg_connect(pg);

    for (size_t i = 0; i < health->count; i++)
        steps[i] = (struct pg_step){ .statement = health->statements[i] };
    steps[health->count - 1].rows = &row_pointer;
    steps[health->count - 1].count = 1;
    if (error == ERR_OK)
        error = pg_round(pg, true, steps, health->count, NULL);
    if (error == ERR_OK)
        error = pg_commit(pg);
    pg_rollback(pg);
    return error == ERR_CONFLICT ? ERR_OK : error;
}

static bool
is_refused(struct write_health *health, int64_t now_us, int64_t *ret_count)
{
    bool is;

    pthread_mutex_lock(&health->lock);
    is = health->refused_since_us != 0 && health->refused_count >= WRITE_REFUSED_MIN &&
         now_us - health->refused_since_us >= WRITE_REFUSED_US &&
         now_us - health->refused_at_us < WRITE_QUIET_US;
    *ret_count = health->refused_count;
    pthread_mutex_unlock(&health->lock);
    return is;
}

bool
write_health_look(struct write_health *health, struct pg *pg)
{
    int64_t now_us = clock_steady_us(), refused_count;
    bool is_stopped = is_refused(health, now_us, &refused_count), is_well;

    if (now_us >= health->try_due_us || refused_count > 0 || !health->can_write) {
        health->can_write = try_once(health, pg) == ERR_OK;
        health->try_due_us = now_us + WRITE_TRY_US;
    }
    is_well = health->can_write && !is_stopped;
    if (is_well && !health->was_well)
        log_info("event=WRITES_WORK");
    if (!is_well && health->was_well)
        log_error("event=WRITES_REFUSED transactions=%lld tried=%s"
                  " because=\"the database can be read and not be written; it says why above\"",
                  (long long)refused_count, health->can_write ? "written" : "refused");
    health->was_well = is_well;
    return is_well;
}
