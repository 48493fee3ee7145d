#include "mesh/base/check.h"
#include "mesh/base/clock.h"
#include "mesh/base/crash.h"
#include "mesh/base/die.h"
#include "mesh/base/hash.h"
#include "mesh/base/hold.h"
#include "mesh/base/log.h"
#include "saga/shard_inner.h"
#include "saga/shard_trace.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- what a tick gathers ---- */

void
tick_touch(struct shard *shard, struct tick *tick, struct live *live)
{
    live->touched_us = shard->now_us;
    if (live->is_touched)
        return;
    live->is_touched = true;
    if (tick->touched_count == tick->touched_size) {
        tick->touched_size = tick->touched_size == 0 ? 64 : tick->touched_size * 2;
        tick->touched = memory_grow(tick->touched, tick->touched_size * sizeof *tick->touched);
    }
    tick->touched[tick->touched_count++] = live;
}

void
tick_answer(struct tick *tick, struct call *call)
{
    if (tick->answer_count == tick->answer_size) {
        tick->answer_size = tick->answer_size == 0 ? 64 : tick->answer_size * 2;
        tick->answers = memory_grow(tick->answers, tick->answer_size * sizeof *tick->answers);
    }
    tick->answers[tick->answer_count++] = call;
}

static void
page_append(struct shard *shard, const char *text, size_t bytes)
{
    if (shard->page_bytes + bytes + 2 > shard->page_size) {
        shard->page_size = (shard->page_bytes + bytes + 2) * 2;
        shard->page = memory_grow(shard->page, shard->page_size);
    }
    memcpy(shard->page + shard->page_bytes, text, bytes);
    shard->page_bytes += bytes;
    shard->page[shard->page_bytes++] = '\n';
    shard->page[shard->page_bytes] = '\0';
}

/* Records have -1 where no state is meant. */
static const char *
state_name(const struct instance *instance, int state)
{
    return state < 0 ? "" : instance->definition->states[state].name;
}

/* Nothing goes on by itself from here, so somebody has to read this. */
static void
log_stuck(const struct instance *instance, const struct record *record)
{
    char id[UUID_TEXT_BYTES + 1];

    log_error("saga=%s definition=%s state=%s event=STUCK reason=%s because=\"%s\" "
              "next=\"sagactl show, then retry, compensate or settle\"",
              uuid_print(instance->id, id), instance->definition->name,
              state_name(instance, instance->state), record->reason == NULL ? "" : record->reason,
              record->message == NULL ? "" : record->message);
}

/* What the engine decided, in the words of the journal. The page that makes it true is written later: a
 * crash before that decides it again. */
static void
log_record(const struct instance *instance, const struct record *record)
{
    char id[UUID_TEXT_BYTES + 1];

    if (record->kind == RECORD_STUCK)
        log_stuck(instance, record);
    log_debug("saga=%s record=%s state=%s reason=%s", uuid_print(instance->id, id),
              record_word(record->kind), state_name(instance, record->state),
              record->reason == NULL ? "" : record->reason);
}

enum error
shard_decide(struct shard *shard, struct tick *tick, struct live *live,
             const struct engine_event *event, struct problem *problem)
{
    const struct shard_clock clock = { shard->now_us, shard->steady_us };
    struct engine_event timed = *event;
    struct log_trace before;
    enum error error;
    int current = live->instance->current;

    timed.ahead_us = shard_clock_ahead_us(&clock, clock_now_us());
    records_reset(&shard->records);
    error = engine_decide(live->instance, &timed, shard->now_us, &shard->records, problem);
    before = log_trace_begin(live->instance->traceparent);
    for (size_t i = 0; i < shard->records.count; i++) {
        json_writer_reset(&shard->line);
        record_write(&shard->records.items[i], &shard->line);
        page_append(shard, shard->line.text, shard->line.bytes);
        log_record(live->instance, &shard->records.items[i]);
    }
    log_trace_end(&before);
    steps_trace(live->instance, current, &shard->records);
    if (shard->records.count > 0 || event->kind == ENGINE_ANSWER)
        tick_touch(shard, tick, live);
    return error;
}

/* ---- events ---- */

/* An item of the queue is a call, or an answer behind a call without a method. */
struct answer_item {
    struct call call; /* first; method is NULL */
    struct participant_call *answer;
};

static void
participant_answered(struct participant_call *answer)
{
    struct shard *shard = answer->owner;
    struct answer_item *item = memory_take(sizeof *item);

    item->answer = answer;
    if (!queue_push_always(shard->queue, &item->call.item)) {
        participant_call_free(answer); /* stopping: the journal remembers that it was asked */
        free(item);
    }
}

void
shard_drop_answer(struct call *item)
{
    participant_call_free(((struct answer_item *)item)->answer);
    free(item);
}

static void
take_answer(struct shard *shard, struct tick *tick, struct participant_call *answer)
{
    struct live *live = live_find(shard, answer->saga_id);
    struct engine_event event = { .kind = ENGINE_ANSWER,
                                  .answer = { .activation = answer->activation,
                                              .outcome = answer->outcome,
                                              .result = answer->result,
                                              .reason = answer->reason,
                                              .message = answer->message,
                                              .is_stored = answer->is_stored } };
    struct problem problem;

    if (live == NULL || live->instance == NULL || answer->term != shard->term)
        return; /* it ended meanwhile, or was asked before another had the shard */
    live->is_under_way = false;
    shard_decide(shard, tick, live, &event, &problem);
}

static void
take_item(struct shard *shard, struct tick *tick, struct call *call)
{
    struct answer_item *item = (struct answer_item *)call;

    if (call->method != NULL && call->deadline_us <= clock_steady_us()) {
        problem_set(&call->op->problem, ERR_EXPIRED, NULL, "%s", error_text(ERR_EXPIRED));
        call->finish(call);
        return;
    }
    if (call->method != NULL) {
        shard_request(shard, tick, call);
        return;
    }
    take_answer(shard, tick, item->answer);
    shard_drop_answer(call);
}

/* ---- finding what is not in memory ---- */

struct ids {
    struct uuid *items, *ops;
    size_t count, op_count;
};

static void
want_id(struct shard *shard, struct ids *ids, const struct call *call)
{
    struct uuid id = saga_id_of(call);
    const struct live *live = live_find(shard, id);
    enum saga_method method = saga_method_of(call);

    if (method == SAGA_CANCEL || method == SAGA_RETRY || method == SAGA_COMPENSATE ||
        method == SAGA_SETTLE)
        ids->ops[ids->op_count++] = call->op->id;
    if (!uuid_is_nil(id) && (live == NULL || live->instance == NULL))
        ids->items[ids->count++] = id;
}

static enum error
find_rows(struct shard *shard, struct tick *tick, const struct queue_item *items, size_t count)
{
    struct ids ids = { arena_take(tick->arena, (count + tick->due_count) * sizeof(struct uuid)),
                       arena_take(tick->arena, count * sizeof(struct uuid)), 0, 0 };
    enum error error = ERR_OK;

    for (const struct queue_item *item = items; item != NULL; item = item->next) {
        if (((const struct call *)item)->method != NULL)
            want_id(shard, &ids, (const struct call *)item);
    }
    for (size_t i = 0; i < tick->due_count; i++) {
        if (tick->due[i]->instance == NULL)
            ids.items[ids.count++] = tick->due[i]->id;
    }
    if (ids.count > 0)
        error =
            journal_find(shard->journal, ids.items, ids.count, tick->arena, &tick->found_parked,
                         &tick->found_parked_count, &tick->found_finals, &tick->found_final_count);
    if (error == ERR_OK && ids.op_count > 0)
        error = journal_find_ops(shard->journal, ids.ops, ids.op_count, tick->arena,
                                 &tick->found_ops, &tick->found_op_count);
    if (error == ERR_OK && count + tick->due_count > 0)
        error = journal_connect(shard->journal);
    return error;
}

/* ---- the end of a tick ---- */

/* What stays of one that ends with this tick; NULL: it goes on. */
static const char *
final_body(struct shard *shard, const struct live *live, struct arena *arena)
{
    if (live->instance == NULL)
        return unread_final(live);
    return live->instance->is_ended ? history_text(shard, live->instance, arena) : NULL;
}

static void
end_sagas(struct shard *shard, struct tick *tick)
{
    tick->finals = arena_take(tick->arena, tick->touched_count * sizeof *tick->finals);
    tick->unparked = arena_take(tick->arena, tick->touched_count * sizeof *tick->unparked);
    for (size_t i = 0; i < tick->touched_count; i++) {
        const struct live *live = tick->touched[i];
        const char *body = final_body(shard, live, tick->arena);
        struct journal_row *row;

        if (body == NULL)
            continue;
        row = arena_take(tick->arena, sizeof *row);
        *row = (struct journal_row){
            .id = live->id,
            .shard = shard->number,
            .place = shard->next_page * PLACES_A_PAGE + (int64_t)tick->final_count,
            .fingerprint = live->fingerprint,
            .phase = phase_text(PHASE_ENDED),
            .body = body,
        };
        tick->finals[tick->final_count++] = row;
        if (live->parked_page != 0)
            tick->unparked[tick->unparked_count++] = &live->id;
    }
}

/* While the store is away: callers hear quickly that nothing was done; answers wait, or are forgotten
 * when the program stops (the journal remembers that it was asked). */
static void
refuse_calls(struct shard *shard, struct queue_item *item)
{
    struct queue_item **end = &shard->left_over, *next;

    while (*end != NULL)
        end = &(*end)->next;
    for (; item != NULL; item = next) {
        struct call *call = (struct call *)item;

        next = item->next;
        if (call->method != NULL) {
            problem_set(&call->op->problem, ERR_STORE_DOWN, NULL, "%s", error_text(ERR_STORE_DOWN));
            call->finish(call);
        } else if (atomic_load(&shard->shards->is_stopping)) {
            shard_drop_answer(call);
        } else {
            item->next = NULL;
            *end = item;
            end = &item->next;
        }
    }
}

void
shard_refuse_waiting(struct shard *shard)
{
    size_t count;

    refuse_calls(shard, queue_take(shard->queue, SIZE_MAX, 0, &count));
}

/* Whoever took the shard over is not met by one that has nothing to write. */
static void
shard_check(struct shard *shard)
{
    if (journal_check(shard->journal) == ERR_CONFLICT)
        shard->is_lost = true;
}

static void
shard_send_due(struct shard *shard, struct tick *tick, struct live *live)
{
    struct due due;

    if (live->is_under_way || atomic_load(&shard->shards->is_stopping))
        return;
    engine_due(live->instance, shard->now_us, &due);
    for (size_t i = 0; i < due.call_count; i++) {
        struct participant_call *call = participant_call_new(live->id, shard, participant_answered);
        char traceparent[TRACE_PARENT_BYTES + 1];

        call->term = shard->term;
        step_traceparent(live->instance, due.calls[i].activation, traceparent);
        live->is_under_way = true;
        crash_point("saga.before-send");
        participants_call(shard->shards->options.participants, &due.calls[i], traceparent,
                          tick->arena, call);
    }
    if (due.call_count == 0 && due.look_again_us != 0 && due.look_again_us != timer_us(live))
        timer_set(shard, live, due.look_again_us);
    due_free(&due);
}

/* The last page was written, or not: only who has the shard now can tell, when it is asked again. */
static void
disown(struct tick *tick)
{
    for (size_t i = 0; i < tick->answer_count; i++) {
        struct problem *problem = &tick->answers[i]->op->problem;

        problem_set(problem, ERR_UNCERTAIN, NULL, "%s", error_text(ERR_UNCERTAIN));
        problem->is_stored = false;
    }
    tick->touched_count = 0;
}

static void
finish_tick(struct shard *shard, struct tick *tick)
{
    if (shard->is_lost)
        disown(tick);
    hold_begin();
    for (size_t i = 0; i < tick->touched_count; i++) {
        struct live *live = tick->touched[i];

        live->is_touched = false;
        watch_changed(shard, live);
        meter_count(shard, live, NULL);
        if (live->instance == NULL || live->instance->is_ended) {
            meter_ended(shard, live);
            live_remove(shard, live);
        } else {
            shard_send_due(shard, tick, live);
        }
    }
    hold_end();
    for (size_t i = 0; i < tick->answer_count; i++)
        tick->answers[i]->finish(tick->answers[i]);
    free(tick->touched);
    free(tick->answers);
}

void
shard_end_tick(struct shard *shard, struct tick *tick)
{
    end_sagas(shard, tick);
    meter_page(shard);
    if (shard->page_bytes > 0 || tick->parked_count > 0 || tick->op_count > 0 || tick->floor_is_due)
        shard_write(shard, tick);
    else if (tick->is_housekeeping)
        shard_check(shard);
    finish_tick(shard, tick);
}

/* Takes items until the page is full; what does not fit is for the next tick. */
static void
take_items(struct shard *shard, struct tick *tick, struct queue_item *item)
{
    struct queue_item *next;

    for (; item != NULL; item = next) {
        if (shard->page_bytes > TICK_BYTES_MAX) {
            shard->left_over = item;
            return;
        }
        next = item->next;
        take_item(shard, tick, (struct call *)item);
    }
}

static int64_t
time_now(const struct shard *shard, int64_t steady_us)
{
    const struct shard_clock clock = { shard->now_us, shard->steady_us };

    return shard_clock_at(&clock, steady_us, clock_now_us());
}

void
shard_look(struct shard *shard)
{
    int64_t steady_us = clock_steady_us();

    shard->now_us = time_now(shard, steady_us);
    shard->steady_us = steady_us;
}

static int64_t
wait_us(const struct shard *shard)
{
    const struct heap_item *first = heap_first(&shard->timers);
    int64_t now_us = time_now(shard, clock_steady_us()), wait = shard->house_due_us - now_us;

    if (shard->park_due_us - now_us < wait)
        wait = shard->park_due_us - now_us;
    if (first != NULL && first->key - now_us < wait)
        wait = first->key - now_us;
    if (shard->watch_due_us != 0 && shard->watch_due_us - now_us < wait)
        wait = shard->watch_due_us - now_us;
    return wait < 0 ? 0 : wait;
}

/* Idle sagas are parked, some in each tick until a round is over. Once a second: pages that no saga in
 * memory needs any more are dropped. */
static void
keep_house(struct shard *shard, struct tick *tick)
{
    int64_t floor;

    if (shard->now_us >= shard->park_due_us)
        shard->park_due_us =
            shard_park_idle(shard, tick) ? shard->now_us + HOUSE_EVERY_US : shard->now_us;
    if (shard->now_us < shard->house_due_us)
        return;
    shard->house_due_us = shard->now_us + HOUSE_EVERY_US;
    meter_look(shard);
    floor = shard_floor(shard);
    tick->floor_is_due = floor > shard->floor_page && shard->last_body_page >= shard->floor_page;
    tick->is_housekeeping = true;
}

void
shard_tick(struct shard *shard, struct arena *arena)
{
    struct tick tick = { .arena = arena };
    struct queue_item *items = shard->left_over;
    size_t count = 0, due_count;
    bool is_store_up;

    if (items == NULL)
        items = queue_take(shard->queue, TICK_EVENTS_MAX, wait_us(shard), &count);
    for (const struct queue_item *item = shard->left_over; item != NULL; item = item->next)
        count++;
    shard->left_over = NULL;
    shard_look(shard);
    shard->page_bytes = 0;
    timers_find(shard, &tick);
    due_count = tick.due_count;
    is_store_up = find_rows(shard, &tick, items, count) == ERR_OK;
    if (is_store_up) {
        take_items(shard, &tick, items);
        timers_take(shard, &tick);
    } else {
        timers_put_off(shard, &tick, 0, shard->now_us);
        refuse_calls(shard, items);
        shard_refuse_waiting(shard);
        shard_wait(STORE_RETRY_US);
    }
    if (is_store_up)
        keep_house(shard, &tick);
    shard_end_tick(shard, &tick);
    meter_tick(shard, count + due_count);
    watch_expire(shard);
}

void
shard_forget(struct shard *shard)
{
    for (struct live *live = shard->lives; live != NULL; live = live->by_id.next)
        watch_end(shard, live);
    live_free_all(shard);
    shard->watch_due_us = 0;
    shard->place_page = 0;
}

/* ---- calls to shards ---- */

static struct shard *
shard_of(struct shards *shards, struct uuid id)
{
    return &shards->items[shard_number_of(shards->count, id)];
}

/* A List goes round, from the first shard or from the one that its token names. NULL: there is no such shard. */
static struct shard *
shard_of_list(struct shards *shards, const struct saga_list *list)
{
    return list->shard < shards->count ? &shards->items[list->shard] : NULL;
}

static bool
is_list(const struct call *call)
{
    return saga_method_of(call) == SAGA_LIST || saga_method_of(call) == SAGA_LIST_SHARD;
}

void
shards_submit(void *context, struct call *call)
{
    struct shards *shards = context;
    struct shard *shard;
    enum error error;

    if (saga_method_of(call) == SAGA_LIST_DEFINITIONS) {
        list_definitions(shards, (struct saga_list_definitions *)call->op, call->arena);
        call->finish(call);
        return;
    }
    if (saga_method_of(call) == SAGA_FORWARD)
        call = saga_unwrap(call);
    shard = is_list(call) ? shard_of_list(shards, (const struct saga_list *)call->op)
                          : shard_of(shards, saga_id_of(call));
    if (shard == NULL) {
        check_refuse_token(&call->op->problem);
        call->finish(call);
        return;
    }
    if (queue_push(shard->queue, &call->item))
        return;
    error = queue_is_closed(shard->queue) ? ERR_STOPPING : ERR_BUSY;
    if (error == ERR_BUSY)
        meter_refused(shards);
    problem_set(&call->op->problem, error, NULL, "%s", error_text(error));
    call->finish(call);
}
