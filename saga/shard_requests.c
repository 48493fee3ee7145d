#include "mesh/base/check.h"
#include "mesh/base/clock.h"
#include "saga/shard_inner.h"

#include <stdlib.h>
#include <string.h>

/* ---- helpers ---- */

static const struct journal_row *
final_find(const struct tick *tick, struct uuid id)
{
    return journal_row_find(tick->found_finals, tick->found_final_count, id);
}

static const struct journal_row *
parked_find(const struct tick *tick, struct uuid id)
{
    return journal_row_find(tick->found_parked, tick->found_parked_count, id);
}

const char *
history_final(const struct journal_row *row, struct arena *arena)
{
    char id[UUID_TEXT_BYTES + 1];
    const char *value;
    size_t bytes;

    uuid_print(row->id, id);
    if (row->body != NULL && json_peek_text(row->body, "sagaId", &value, &bytes) &&
        bytes == UUID_TEXT_BYTES && memcmp(value, id, bytes) == 0)
        return arena_copy(arena, row->body, strlen(row->body));
    return unread_history(row->id, "", "UNREADABLE", "its history is not what was written", arena);
}

/* In memory, or brought there from its row. NULL: not open, or set aside. */
static struct live *
open_find(struct shard *shard, struct tick *tick, struct uuid id)
{
    struct live *live = live_find(shard, id);
    const struct journal_row *row;

    if (live == NULL || live->instance != NULL)
        return live;
    row = parked_find(tick, id);
    return live->unread == NULL && row != NULL && shard_unpark(shard, live, row) ? live : NULL;
}

/* One that is set aside is read once more. True: it goes on. */
static bool
read_again(struct shard *shard, struct tick *tick, struct uuid id)
{
    struct live *live = live_find(shard, id);

    return live != NULL && live->unread != NULL &&
           shard_read_again(shard, tick, live, parked_find(tick, id));
}

/* Is it here, and cannot be read? Then that is the problem. */
static bool
is_unreadable(struct shard *shard, struct uuid id, struct problem *problem)
{
    const struct live *live = live_find(shard, id);

    if (live == NULL || live->instance != NULL)
        return false;
    problem_set(problem, ERR_INTERNAL, "saga_id", "this saga cannot go on: %s",
                unread_because(live));
    return true;
}

/* What there is to show of one that is not open; NULL, with the problem set: there is none. */
static const char *
closed_history(struct shard *shard, const struct tick *tick, struct uuid id, struct arena *arena,
               struct problem *problem)
{
    const struct live *live = live_find(shard, id);
    const struct journal_row *parked = parked_find(tick, id);
    const struct journal_row *row = final_find(tick, id);

    if (live != NULL)
        return unread_history(id, parked == NULL || parked->body == NULL ? "" : parked->body,
                              unread_code(live), unread_because(live), arena);
    if (row != NULL)
        return history_final(row, arena);
    problem_set(problem, ERR_NOT_FOUND, "saga_id", "there is no such saga");
    return NULL;
}

/* ---- Start ---- */

static void
start_known(struct saga_start *start, uint64_t known, uint64_t asked)
{
    if (known != asked)
        problem_set(&start->op.problem, ERR_ID_REUSED, "saga_id",
                    "this id was used before, with another definition or input: make a new one");
}

static void
start_new(struct shard *shard, struct tick *tick, struct saga_start *start, json_t *input,
          uint64_t fingerprint)
{
    const struct definition *definition =
        catalog_newest(shard->shards->options.catalog, start->definition);
    struct engine_event event = { .kind = ENGINE_START,
                                  .definition = definition,
                                  .input = input,
                                  .traceparent = start->op.traceparent };
    struct live *live;

    if (definition == NULL) {
        problem_set(&start->op.problem, ERR_NOT_FOUND, "definition", "no definition '%s' is loaded",
                    start->definition);
        snprintf(start->op.problem.reason, sizeof start->op.problem.reason, "UNKNOWN_DEFINITION");
        return;
    }
    if (check_age(&start->op.problem, "saga_id", start->op.id, clock_now_us()) != ERR_OK)
        return;
    live = live_add(shard, start->op.id);
    live_wake(shard, live, instance_new(start->op.id));
    live->fingerprint = fingerprint;
    live->first_page = shard->next_page;
    live->is_new = true;
    if (shard_decide(shard, tick, live, &event, &start->op.problem) == ERR_OK)
        live->place = place_next(shard, shard->next_page);
    else
        live_remove(shard, live);
}

static void
start(struct shard *shard, struct tick *tick, struct saga_start *start)
{
    const struct live *live = live_find(shard, start->op.id);
    const struct journal_row *row = final_find(tick, start->op.id);
    uint64_t fingerprint;
    json_t *input = NULL;

    if (json_read(start->input_json, strlen(start->input_json), "input_json", &start->op.problem,
                  &input) != ERR_OK)
        return;
    fingerprint = json_is_object(input) ? start_fingerprint(start->definition, input) : 0;
    if (!json_is_object(input))
        problem_set(&start->op.problem, ERR_BAD_REQUEST, "input_json", "must be a JSON object");
    else if (live != NULL) /* of one that cannot be read it may not be known */
        start_known(start, live->unread != NULL ? fingerprint : live->fingerprint, fingerprint);
    else if (row != NULL)
        start_known(start, row->fingerprint == 0 ? fingerprint : row->fingerprint, fingerprint);
    else
        start_new(shard, tick, start, input, fingerprint);
    json_decref(input);
}

/* ---- Cancel, Retry, Compensate, Settle ---- */

static const struct op_row *
op_find(const struct tick *tick, struct uuid id)
{
    for (size_t i = 0; i < tick->op_count; i++) {
        if (uuid_equal(tick->ops[i]->record.id, id))
            return tick->ops[i];
    }
    for (size_t i = 0; i < tick->found_op_count; i++) {
        if (uuid_equal(tick->found_ops[i].record.id, id))
            return &tick->found_ops[i];
    }
    return NULL;
}

static void
op_add(struct tick *tick, const struct op *op, struct uuid saga_id, const char *method)
{
    struct op_row *row = arena_take(tick->arena, sizeof *row);
    char *detail = arena_take(tick->arena, PROBLEM_DETAIL_BYTES_MAX);

    if (tick->ops == NULL) {
        tick->ops = arena_take(tick->arena, 2 * TICK_EVENTS_MAX * sizeof(struct op_row *));
        tick->op_sagas = arena_take(tick->arena, 2 * TICK_EVENTS_MAX * sizeof *tick->op_sagas);
    }
    row->record.id = op->id;
    row->record.fingerprint = op->fingerprint;
    row->record.reason =
        arena_copy(tick->arena, problem_reason(&op->problem), strlen(problem_reason(&op->problem)));
    row->record.detail = problem_detail(&op->problem, detail);
    row->method = method;
    tick->op_sagas[tick->op_count] = saga_id;
    tick->ops[tick->op_count++] = row;
}

/* One that cannot be read can only be ended. */
static bool
settle_unread(struct shard *shard, struct tick *tick, const struct saga_change *change,
              const struct engine_event *event)
{
    struct live *live = live_find(shard, change->saga_id);

    if (event->kind != ENGINE_SETTLE || event->settlement != SETTLED_ENDED || live == NULL ||
        live->unread == NULL || unread_is_unwritten(live))
        return false;
    unread_settle(shard, tick, live, parked_find(tick, live->id), event->comment);
    return true;
}

static void
change_open(struct shard *shard, struct tick *tick, struct saga_change *change,
            const struct engine_event *event)
{
    bool goes_on = event->kind == ENGINE_RETRY && read_again(shard, tick, change->saga_id);
    struct live *live = open_find(shard, tick, change->saga_id);

    if ((goes_on && !live->instance->is_stuck) || settle_unread(shard, tick, change, event))
        return;
    if (live != NULL)
        shard_decide(shard, tick, live, event, &change->op.problem);
    else if (is_unreadable(shard, change->saga_id, &change->op.problem))
        return;
    else if (final_find(tick, change->saga_id) == NULL)
        problem_set(&change->op.problem, ERR_NOT_FOUND, "saga_id", "there is no such saga");
    else if (event->kind == ENGINE_CANCEL)
        problem_set(&change->op.problem, ERR_TOO_LATE, "saga_id", "this saga has ended");
    else
        problem_refuse(&change->op.problem, "NOT_STUCK", "saga_id", "this saga has ended");
}

/* A decision is recorded with its effect, so that asking again gets the same; that there is no such
 * saga, or that it cannot be read, may change, and is not. */
static void
change(struct shard *shard, struct tick *tick, struct saga_change *change,
       const struct engine_event *event, const char *method)
{
    const struct op_row *known = op_find(tick, change->op.id);
    struct live *live;

    if (known != NULL && known->record.fingerprint != change->op.fingerprint) {
        problem_set(&change->op.problem, ERR_ID_REUSED, "request_id",
                    "this id was used before, with other content: make a new one");
        return;
    }
    if (known == NULL && /* its record would have no partition, and its page would be refused */
        check_age(&change->op.problem, "request_id", change->op.id, clock_now_us()) != ERR_OK)
        return;
    if (known != NULL)
        problem_recall(&change->op.problem, known->record.reason, known->record.detail);
    else
        change_open(shard, tick, change, event);
    if (known == NULL && change->op.problem.error != ERR_NOT_FOUND &&
        change->op.problem.error != ERR_INTERNAL) {
        op_add(tick, &change->op, change->saga_id, method);
        change->op.problem.is_stored = change->op.problem.error != ERR_OK;
    }
    live = live_find(shard, change->saga_id);
    change->phase = live == NULL || unread_final(live) != NULL ? phase_text(PHASE_ENDED)
                    : live->instance == NULL                   ? phase_text(live->phase)
                                             : phase_text(instance_phase(live->instance));
}

static void
change_simply(struct shard *shard, struct tick *tick, struct saga_change *op,
              enum engine_event_kind kind, const char *method)
{
    const struct engine_event event = { .kind = kind, .comment = op->comment };

    change(shard, tick, op, &event, method);
}

static void
settle(struct shard *shard, struct tick *tick, struct saga_settle *settle)
{
    struct engine_event event = { .kind = ENGINE_SETTLE,
                                  .comment = settle->change.comment,
                                  .settlement = (enum settlement)settle->settlement };
    const char *output = settle->output_json;

    if (output[0] != '\0' && json_read(output, strlen(output), "output_json",
                                       &settle->change.op.problem, &event.output) != ERR_OK)
        return;
    change(shard, tick, &settle->change, &event, "Settle");
    json_decref(event.output);
}

/* ---- Signal ---- */

static void
signal_open(struct shard *shard, struct tick *tick, struct saga_signal *news, struct live *live,
            json_t *payload)
{
    const struct engine_event event = { .kind = ENGINE_SIGNAL,
                                        .signal = { .id = news->op.id,
                                                    .event = news->name,
                                                    .version = news->version,
                                                    .payload = payload } };
    const struct instance *instance = live->instance;
    const struct signal_seen *seen;
    int64_t version = instance->version;

    if (shard_decide(shard, tick, live, &event, &news->op.problem) != ERR_OK)
        return;
    seen = instance_signal(instance, news->name);
    news->stored_version = seen == NULL ? 0 : seen->version;
    news->has_ended = instance->is_ended;
    news->status = status_text(instance->status);
    news->outcome = instance->is_ended && version == instance->version ? SIGNAL_DROPPED
                    : version == instance->version                     ? SIGNAL_KNOWN
                                                                       : SIGNAL_TAKEN;
}

/* What it had heard is in its history no more than how it ended. */
static void
signal_ended(struct saga_signal *news, const struct journal_row *row, struct arena *arena)
{
    const char *status;
    size_t bytes;

    news->outcome = SIGNAL_DROPPED;
    news->has_ended = true;
    news->status = row->body != NULL && json_peek_text(row->body, "status", &status, &bytes)
                       ? arena_copy(arena, status, bytes)
                       : "";
}

static void
take_signal(struct shard *shard, struct tick *tick, struct saga_signal *news, struct arena *arena)
{
    struct live *live = open_find(shard, tick, news->saga_id);
    struct problem *problem = &news->op.problem;
    json_t *payload = NULL;

    if (json_read(news->payload_json, strlen(news->payload_json), "payload_json", problem,
                  &payload) != ERR_OK)
        return;
    if (live != NULL)
        signal_open(shard, tick, news, live, payload);
    else if (is_unreadable(shard, news->saga_id, problem))
        news->outcome = 0; /* it must not be taken for news of a saga that is not there */
    else if (final_find(tick, news->saga_id) != NULL)
        signal_ended(news, final_find(tick, news->saga_id), arena);
    else
        problem_set(problem, ERR_NOT_FOUND, "saga_id", "there is no such saga");
    json_decref(payload);
}

/* ---- Get, Watch, ListDefinitions ---- */

const char *
history_text(struct shard *shard, const struct instance *instance, struct arena *arena)
{
    json_writer_reset(&shard->line);
    instance_history(instance, &shard->line);
    return arena_copy(arena, shard->line.text, shard->line.bytes);
}

static void
get(struct shard *shard, struct tick *tick, struct saga_get *get, struct arena *arena)
{
    struct live *live = open_find(shard, tick, get->op.id);

    get->history = live != NULL ? history_text(shard, live->instance, arena)
                                : closed_history(shard, tick, get->op.id, arena, &get->op.problem);
}

/* When a Watch is answered at the latest: its caller does not listen longer than its deadline. */
static int64_t
watch_until_us(const struct shard *shard, const struct call *call)
{
    int64_t wait_us = ((const struct saga_watch *)call->op)->wait_ms * INT64_C(1000);
    int64_t left_us = call->deadline_us - clock_steady_us();

    return shard->now_us + (wait_us < left_us ? wait_us : left_us);
}

/* False: it waits, and is answered later. One that has ended changes no more. */
static bool
watch(struct shard *shard, struct tick *tick, struct call *call)
{
    struct saga_watch *watch = (struct saga_watch *)call->op;
    struct live *live = open_find(shard, tick, watch->op.id);

    if (live != NULL &&
        (live->instance->is_ended || watch->known_version != live->instance->version)) {
        watch->history = history_text(shard, live->instance, call->arena);
    } else if (live != NULL && watch->wait_ms > 0 &&
               !atomic_load(&shard->shards->is_watching_over)) {
        watch->until_us = watch_until_us(shard, call);
        watch_add(shard, live, call);
        return false;
    } else if (live == NULL) {
        watch->history = closed_history(shard, tick, watch->op.id, call->arena, &watch->op.problem);
    }
    return true;
}

void
list_definitions(struct shards *shards, struct saga_list_definitions *list, struct arena *arena)
{
    struct catalog *catalog = shards->options.catalog;
    const struct definition *definition;
    size_t cursor = 0, count = 0;
    bool is_newest;

    while (catalog_next(catalog, &cursor, &is_newest) != NULL)
        count++;
    list->lines = arena_take(arena, count * sizeof *list->lines);
    cursor = 0;
    while (list->count < count && (definition = catalog_next(catalog, &cursor, &is_newest)) != NULL)
        list->lines[list->count++] =
            (struct saga_definition_line){ definition->name, definition->hash, is_newest };
}

void
shard_request(struct shard *shard, struct tick *tick, struct call *call)
{
    void *op = call->op;

    switch (saga_method_of(call)) {
    case SAGA_START:
        start(shard, tick, op);
        break;
    case SAGA_CANCEL:
        change_simply(shard, tick, op, ENGINE_CANCEL, "Cancel");
        break;
    case SAGA_RETRY:
        change_simply(shard, tick, op, ENGINE_RETRY, "Retry");
        break;
    case SAGA_COMPENSATE:
        change_simply(shard, tick, op, ENGINE_COMPENSATE, "Compensate");
        break;
    case SAGA_SETTLE:
        settle(shard, tick, op);
        break;
    case SAGA_GET:
        get(shard, tick, op, call->arena);
        break;
    case SAGA_SIGNAL:
        take_signal(shard, tick, op, call->arena);
        break;
    case SAGA_WATCH:
        if (!watch(shard, tick, call))
            return; /* it waits */
        break;
    case SAGA_LIST:
    case SAGA_LIST_SHARD:
        if (!list_take(shard, tick, call))
            return; /* the next shard has it now */
        break;
    case SAGA_LIST_DEFINITIONS: /* answered by shards_submit() */
    case SAGA_FORWARD:          /* unwrapped there */
        break;
    }
    tick_answer(tick, call);
}
