#include "mesh/audit.h"
#include "mesh/base/check.h"
#include "mesh/base/clock.h"
#include "mesh/base/die.h"
#include "mesh/base/log.h"

#include "sagamesh/audit/v1/audit_service.pb-c.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_US (3600 * SECOND_US)

/* A check that is broken off ends on the server too: it looks for its client now and then. */
#define SESSION_SQL "SET client_connection_check_interval = '1s'"

struct audit {
    const struct pg_statement *check;
    struct pg *pg; /* the thread's, as what it reads until it has it all */
    pthread_t thread;
    atomic_bool is_over;
    pthread_mutex_t lock;
    pthread_cond_t asked;
    struct uuid run_id; /* under lock, as all below; nil: none was asked for yet */
    bool is_running;
    int64_t began_at_us, ended_at_us;
    enum error error;
    struct arena *arena; /* of the rows */
    const struct audit_row *rows;
    size_t count;
};

const struct pg_column audit_columns[] = {
    PG_COLUMN(struct audit_row, what, PG_TEXT),
    PG_COLUMN(struct audit_row, key, PG_TEXT),
    PG_COLUMN(struct audit_row, stored, PG_TEXT),
    PG_COLUMN(struct audit_row, computed, PG_TEXT),
    { 0 },
};

/* ---- the thread ---- */

/* The connection is closed after each check: a program's connections are counted, and checks are few. */
static enum error
run(struct audit *audit, struct arena *arena, struct pg_answer *ret_answer)
{
    enum error error = pg_run(audit->pg, SESSION_SQL);

    *ret_answer = (struct pg_answer){ 0 };
    if (error == ERR_OK)
        error = pg_ask(audit->pg, audit->check, NULL, arena, ret_answer);
    pg_disconnect(audit->pg);
    return error;
}

static void *
audit_main(void *context)
{
    struct audit *audit = context;

    pthread_mutex_lock(&audit->lock);
    while (!atomic_load(&audit->is_over)) {
        struct arena *arena;
        struct pg_answer answer;
        enum error error;

        if (!audit->is_running) {
            pthread_cond_wait(&audit->asked, &audit->lock);
            continue;
        }
        pthread_mutex_unlock(&audit->lock);
        arena = arena_new();
        error = run(audit, arena, &answer);
        pthread_mutex_lock(&audit->lock);
        arena_free(audit->arena);
        audit->arena = arena;
        audit->error = error;
        audit->rows = answer.rows;
        audit->count = answer.count;
        audit->ended_at_us = clock_now_us();
        audit->is_running = false;
        log_info("audit=%s answer=%s disagreements=%zu ms=%lld", audit->check->name,
                 error_name(error), audit->count,
                 (long long)(audit->ended_at_us - audit->began_at_us) / 1000);
    }
    pthread_mutex_unlock(&audit->lock);
    return NULL;
}

struct audit *
audit_open(const char *conninfo, const char *application, const struct pg_statement *check)
{
    const struct pg_statement *statements[] = { check, NULL };
    struct audit *audit = memory_take(sizeof *audit);

    audit->check = check;
    audit->pg = pg_new(conninfo, application, statements);
    pg_be_patient(audit->pg, PATIENCE_US, &audit->is_over);
    pthread_mutex_init(&audit->lock, NULL);
    pthread_cond_init(&audit->asked, NULL);
    thread_start(&audit->thread, audit_main, audit);
    return audit;
}

struct audit *
audit_close(struct audit *audit)
{
    if (audit == NULL)
        return NULL;
    atomic_store(&audit->is_over, true);
    pthread_mutex_lock(&audit->lock);
    pthread_cond_signal(&audit->asked);
    pthread_mutex_unlock(&audit->lock);
    pthread_join(audit->thread, NULL);
    pg_free(audit->pg);
    arena_free(audit->arena);
    pthread_cond_destroy(&audit->asked);
    pthread_mutex_destroy(&audit->lock);
    free(audit);
    return NULL;
}

/* ---- the wire ---- */

struct check_op {
    struct op op;
    struct uuid run_id; /* nil: begin one */
    Sagamesh__Audit__V1__CheckResponse *response;
};

static enum error
check_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const char *run_id = ((const Sagamesh__Audit__V1__CheckRequest *)message)->run_id;
    struct check_op *check = op;

    (void)arena;
    return run_id[0] == '\0' ? ERR_OK
                             : check_id(&check->op.problem, "run_id", run_id, &check->run_id);
}

static char *
text_copy(const char *text, struct arena *arena)
{
    return text == NULL ? "" : arena_copy(arena, text, strlen(text));
}

/* Under lock: the rows are the thread's. */
static void
fill(const struct audit *audit, struct arena *arena, Sagamesh__Audit__V1__CheckResponse *response)
{
    response->run_id = uuid_print(audit->run_id, arena_take(arena, UUID_TEXT_BYTES + 1));
    response->is_running = audit->is_running;
    response->began_at_us = audit->began_at_us;
    if (audit->is_running)
        return;
    response->ended_at_us = audit->ended_at_us;
    if (audit->error != ERR_OK)
        response->problem = (char *)(uintptr_t)error_text(audit->error);
    response->has_more = audit->count > AUDIT_ROWS_MAX;
    response->n_disagreements = response->has_more ? AUDIT_ROWS_MAX : audit->count;
    response->disagreements =
        arena_take(arena, response->n_disagreements * sizeof *response->disagreements);
    for (size_t i = 0; i < response->n_disagreements; i++) {
        Sagamesh__Audit__V1__Disagreement *message = arena_take(arena, sizeof *message);

        sagamesh__audit__v1__disagreement__init(message);
        message->what = text_copy(audit->rows[i].what, arena);
        message->key = text_copy(audit->rows[i].key, arena);
        message->stored = text_copy(audit->rows[i].stored, arena);
        message->computed = text_copy(audit->rows[i].computed, arena);
        response->disagreements[i] = message;
    }
}

static void
begin(struct audit *audit)
{
    if (audit->is_running)
        return;
    audit->began_at_us = clock_now_us();
    audit->run_id = uuid_v7(audit->began_at_us);
    audit->is_running = true;
    pthread_cond_signal(&audit->asked);
}

void
audit_submit(void *owner, struct call *call)
{
    struct audit *audit = owner;
    struct check_op *check = (struct check_op *)call->op;
    Sagamesh__Audit__V1__CheckResponse *response = arena_take(call->arena, sizeof *response);

    sagamesh__audit__v1__check_response__init(response);
    check->response = response;
    pthread_mutex_lock(&audit->lock);
    if (uuid_is_nil(check->run_id))
        begin(audit);
    if (uuid_is_nil(check->run_id) || uuid_equal(check->run_id, audit->run_id))
        fill(audit, call->arena, response);
    else
        problem_set(&check->op.problem, ERR_NOT_FOUND, "run_id",
                    "this check is not known any more: begin another");
    pthread_mutex_unlock(&audit->lock);
    call->finish(call);
}

static ProtobufCMessage *
check_encode(const void *op, struct arena *arena)
{
    (void)arena;
    return &((const struct check_op *)op)->response->base;
}

const struct method audit_methods[] = {
    { .name = "Check",
      .op_bytes = sizeof(struct check_op),
      .decode = check_decode,
      .encode = check_encode },
    { 0 },
};
