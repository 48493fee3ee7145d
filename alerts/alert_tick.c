/* alert_tick.c -- A tick of a shard. What Kafka gave is copied into it at once, so that it can be gone on with whenever the
 * database lets it: until the tick is written its partitions rest. Everything up to the page is made once, in memory;
 * the page is then written until it is, or the shard is another member's. */
#include "alerts/alert_shard_inner.h"
#include "mesh/base/clock.h"
#include "mesh/base/log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- take ---- */

static struct news *
news_room(struct alert_tick *tick)
{
    if (tick->news_count == tick->news_room) {
        tick->news_room = tick->news_room == 0 ? 256 : 2 * tick->news_room;
        tick->news = memory_grow(tick->news, tick->news_room * sizeof *tick->news);
    }
    return &tick->news[tick->news_count];
}

/* Its watch is not in memory: it is looked for. */
static void
want(struct alert_tick *tick, struct alert_live *live)
{
    if (live->watch != NULL || live->is_wanted || live->is_unread)
        return;
    live->is_wanted = true;
    alert_rows_add(&tick->wanted, tick->arena, live);
}

static void
take_news(struct alert_shard *shard, const struct news *news)
{
    struct alert_live *live = alert_live_find(shard, news->order_id);

    if (live == NULL && news->is_old) {
        metric_add(shard->all->meters.foreign, 1);
        return;
    }
    if (live == NULL)
        live = alert_live_add(shard, news->order_id);
    want(&shard->tick, live);
    shard->tick.news_count++;
}

static enum news_answer
read_record(const struct kafka_message *message, struct news *news, struct problem *problem)
{
    struct news_header headers[64];
    size_t count = message->header_count < 64 ? message->header_count : 64;
    const struct news_message from = {
        .topic = (enum news_kind)message->topic,
        .place = message->offset,
        .key = message->key,
        .key_bytes = message->key_bytes,
        .value = message->value,
        .value_bytes = message->value_bytes,
        .headers = headers,
        .header_count = count,
    };

    for (size_t i = 0; i < count; i++)
        headers[i] = (struct news_header){ message->headers[i].name, message->headers[i].value,
                                           message->headers[i].bytes };
    return news_read(&from, clock_now_us(), news, problem);
}

void
alert_tick_take(struct alert_shard *shard, const struct kafka_message *message)
{
    struct news *news = news_room(&shard->tick);
    struct alert_meters *meters = &shard->all->meters;
    struct problem problem;

    assert(!shard->tick.is_decided);
    shard->places[message->topic].offset = message->offset + 1;
    shard->has_moved = true;
    metric_add(meters->records[message->topic], 1);
    switch (read_record(message, news, &problem)) {
    case NEWS_READ:
        if (news->kind == NEWS_HEARTBEAT)
            alert_heard_take(shard, news, (enum news_kind)message->topic, clock_now_us());
        else
            take_news(shard, news);
        break;
    case NEWS_DEAD:
        alert_page_letter(shard, message,
                          arena_print(shard->tick.arena, "%s %s",
                                      problem.field[0] == '\0' ? "record:" : problem.field,
                                      problem.text));
        break;
    case NEWS_FOREIGN:
        metric_add(meters->foreign, 1);
        break;
    case NEWS_OTHER:
        break;
    }
}

/* ---- find ---- */

/* Those whose time the horizon has passed. One that is parked is wanted. */
static void
take_due(struct alert_shard *shard)
{
    struct alert_tick *tick = &shard->tick;
    struct heap_item *item;

    while (tick->due.count < TICK_TIMERS_MAX &&
           (item = heap_pop_due(&shard->timers, tick->horizon_us - 1)) != NULL) {
        struct alert_live *live = HEAP_OWNER(item, struct alert_live, timer);

        want(tick, live);
        alert_rows_add(&tick->due, tick->arena, live);
    }
    tick->has_due = true;
}

/* A row that another version wrote, or a damaged one. Its order's news is not applied: what would be made of a part of
 * it could be a false alert. */
static void
set_unread(struct alert_shard *shard, struct alert_live *live)
{
    char id[UUID_TEXT_BYTES + 1];

    live->is_unread = true;
    metric_add(shard->all->meters.unread, 1);
    log_error("order=%s shard=%d event=UNREAD because=\"its row cannot be read: its news is not "
              "looked at\"",
              uuid_print(live->id, id), shard->number);
}

static void
wake(struct alert_shard *shard, const struct journal_row *row, bool is_final)
{
    struct alert_live *live = alert_live_find(shard, row->id);
    struct watch *watch;

    if (live == NULL || !live->is_wanted || live->watch != NULL)
        return;
    watch = row->body == NULL ? NULL : watch_parse(row->body, strlen(row->body));
    if (watch == NULL) {
        set_unread(shard, live);
        return;
    }
    alert_live_wake(shard, live, watch);
    live->is_final = is_final;
}

static enum error
find(struct alert_shard *shard)
{
    struct alert_tick *tick = &shard->tick;
    struct alert_rows *wanted = &tick->wanted;
    struct arena *arena;
    struct uuid *ids;
    struct journal_row *parked, *finals;
    size_t parked_count, final_count;
    enum error error;

    if (wanted->count == 0)
        return ERR_OK;
    arena = arena_new(); /* of this try: while the database is away there are many */
    ids = arena_take(arena, wanted->count * sizeof *ids);
    for (size_t i = 0; i < wanted->count; i++)
        ids[i] = ((const struct alert_live *)wanted->items[i])->id;
    error = journal_find(shard->journal, ids, wanted->count, arena, &parked, &parked_count, &finals,
                         &final_count);
    if (error != ERR_OK) {
        arena_free(arena);
        return error == ERR_CONFLICT ? ERR_STORE_DOWN
                                     : error; /* a lock of the table, not a lost epoch: again */
    }
    for (size_t i = 0; i < parked_count; i++)
        wake(shard, &parked[i], false);
    for (size_t i = 0; i < final_count; i++)
        wake(shard, &finals[i], true);
    for (size_t i = 0; i < wanted->count; i++) {
        struct alert_live *live = (struct alert_live *)(uintptr_t)wanted->items[i];

        if (live->watch == NULL && !live->is_unread)
            alert_live_wake(shard, live, watch_new(live->id));
        live->is_wanted = false;
    }
    arena_free(arena);
    return ERR_OK;
}

/* ---- apply and decide ---- */

static void
touch(struct alert_shard *shard, struct alert_live *live)
{
    if (live->is_touched || live->watch == NULL)
        return;
    live->is_touched = true;
    alert_live_touch(shard, live, clock_steady_us());
    alert_rows_add(&shard->tick.touched, shard->tick.arena, live);
}

/* A final row is no base for lines of the journal: where its order goes on, the whole of it is one. */
static void
add_line(struct alert_shard *shard, struct alert_live *live, const struct news *news)
{
    if (live->is_final || news == NULL)
        alert_page_watch(shard, live->watch);
    else
        alert_page_news(shard, news);
    live->is_final = false;
    alert_live_need(shard, live, shard->next_page);
    shard->tick.must_write = true;
}

/* The last that a log says of a change which went well: its trace was given to bff. */
static void
log_heard(const struct alert_shard *shard, const struct news *news)
{
    char id[UUID_TEXT_BYTES + 1];

    log_debug("order=%s event=NEWS_HEARD topic=%s word=%s version=%d shard=%d",
              uuid_print(news->order_id, id), news_topic(news->kind), news_word_text(news->word),
              (int)news->version, shard->number);
}

static void
apply(struct alert_shard *shard, const struct news *news)
{
    struct alert_live *live = alert_live_find(shard, news->order_id);
    struct log_trace before;

    if (live->watch == NULL)
        return; /* it cannot be read */
    touch(shard, live);
    before = log_trace_begin(news->trace);
    switch (watch_apply(live->watch, news)) {
    case WATCH_NEW:
        log_heard(shard, news);
        add_line(shard, live, news);
        break;
    case WATCH_FULL:
        log_warn("shard=%d event=FULL because=\"an order has more payments than are watched\"",
                 shard->number);
        break;
    case WATCH_OLD:
        break;
    }
    log_trace_end(&before);
}

static void
add_sample(struct alert_samples *samples, int64_t us, enum rule_id rule)
{
    if (samples->count == samples->room) {
        samples->room = samples->room == 0 ? 64 : 2 * samples->room;
        samples->items = memory_grow(samples->items, samples->room * sizeof *samples->items);
    }
    samples->items[samples->count++] = (struct alert_sample){ us, rule };
}

/* An order that is not PAID in time is one sample, when the time is over: also if it never is. */
static void
sample(struct alert_tick *tick, const struct watch *watch, const struct watch_found *found)
{
    int64_t us = found->took_us;

    if (us >= 0 && watch->is_late_told && !found->is_late)
        return;
    if (us < 0 && found->is_late)
        us = WATCH_PAID_WITHIN_US + 1;
    if (us >= 0)
        add_sample(&tick->paid, us, RULE_COUNT);
}

static void
decide(struct alert_shard *shard, struct alert_live *live)
{
    struct alert_tick *tick = &shard->tick;
    const struct rule_graces *graces = &shard->all->options.graces;
    int64_t due_us = watch_due_us(live->watch, graces);
    struct watch_found found;
    bool has_found = false;

    while (watch_decide(live->watch, graces, tick->horizon_us, &found)) {
        has_found = true;
        sample(tick, live->watch, &found);
        for (size_t i = 0; i < found.alert_count; i++) {
            alert_page_alert(shard, &found.alerts[i]);
            if (!found.alerts[i].is_resolved)
                add_sample(&tick->delays,
                           due_us == 0 || due_us > tick->now_us ? 0 : tick->now_us - due_us,
                           found.alerts[i].rule);
        }
    }
    if (has_found)
        add_line(shard, live, NULL);
    alert_live_time(shard, live, tick->horizon_us);
}

static void
decide_all(struct alert_shard *shard)
{
    struct alert_tick *tick = &shard->tick;

    for (size_t i = 0; i < tick->due.count; i++)
        touch(shard, (struct alert_live *)(uintptr_t)tick->due.items[i]);
    for (size_t i = 0; i < tick->touched.count; i++) {
        struct alert_live *live = (struct alert_live *)(uintptr_t)tick->touched.items[i];

        live->is_touched = false;
        decide(shard, live);
    }
}

/* ---- park ---- */

static void
unpark(struct alert_tick *tick, const struct alert_live *live)
{
    struct uuid *id;

    if (live->parked_page == 0)
        return;
    id = arena_take(tick->arena, sizeof *id);
    *id = live->id;
    alert_rows_add(&tick->unparked, tick->arena, id);
}

static void
end(struct alert_shard *shard, struct alert_live *live)
{
    alert_page_end(shard, live->id);
    unpark(&shard->tick, live);
    alert_live_remove(shard, live);
}

static void
park(struct alert_shard *shard, struct alert_live *live)
{
    struct alert_tick *tick = &shard->tick;
    int64_t forget_us = watch_forget_us(live->watch);

    if (live->is_final || (live->first_page == 0 && live->parked_page == 0)) {
        alert_live_remove(shard, live); /* nothing new was heard of it */
        return;
    }
    tick->must_write = true;
    if (watch_is_over(live->watch, &shard->all->options.graces)) {
        alert_rows_add(&tick->finals, tick->arena, alert_page_row(shard, live->watch, "OVER", 0));
        end(shard, live);
    } else if (forget_us != 0 && forget_us < tick->now_us) {
        end(shard, live);
    } else {
        int64_t next_us = heap_has(&live->timer) ? live->timer.key : 0;

        alert_rows_add(&tick->parked, tick->arena,
                       alert_page_row(shard, live->watch,
                                      watch_has_alert(live->watch) ? "ALERT" : "OPEN", next_us));
        alert_live_park(shard, live, shard->next_page);
    }
}

static void
park_idle(struct alert_shard *shard)
{
    int64_t idle_us = shard->all->options.idle_us;
    int64_t until_us = clock_steady_us() - (idle_us > 0 ? idle_us : PARK_IDLE_US);

    for (size_t i = 0; i < TICK_PARK_MAX && shard->touched_first != NULL &&
                       shard->touched_first->touched_us <= until_us;
         i++)
        park(shard, shard->touched_first);
}

/* ---- write ---- */

/* The order of the lines is that of what happened, but for the first: offsets may stand anywhere. */
static void
make_page(struct alert_shard *shard)
{
    struct alert_tick *tick = &shard->tick;

    for (size_t i = 0; i < tick->news_count; i++)
        apply(shard, &tick->news[i]);
    decide_all(shard);
    park_idle(shard);
    alert_heard_rows(shard, tick);
    if (tick->letters.count > 0 || tick->sources.count > 0)
        tick->must_write = true;
    if (shard->has_moved && clock_steady_us() >= shard->offsets_due_us)
        tick->must_write = true;
    if (tick->must_write)
        alert_page_offsets(shard);
    tick->is_decided = true;
}

static void
count_up(struct alert_shard *shard)
{
    struct alert_meters *meters = &shard->all->meters;
    struct alert_tick *tick = &shard->tick;

    for (size_t i = 0; i < RULE_COUNT; i++) {
        metric_add(meters->raised[i], (int64_t)tick->raised_by[i]);
        metric_add(meters->resolved[i], (int64_t)tick->resolved_by[i]);
    }
    for (size_t i = 0; i < ALERT_TOPICS; i++)
        metric_add(meters->letters[i], (int64_t)tick->letters_by[i]);
    for (size_t i = 0; i < tick->paid.count; i++)
        metric_observe(meters->paid, tick->paid.items[i].us);
    for (size_t i = 0; i < tick->delays.count; i++) {
        const struct alert_sample *delay = &tick->delays.items[i];

        metric_observe(meters->delay[delay->rule], delay->us + clock_now_us() - tick->now_us);
    }
}

/* What is kept of a tick is its memory. */
static void
forget(struct alert_tick *tick)
{
    struct alert_tick empty = { .arena = tick->arena,
                                .news = tick->news,
                                .news_room = tick->news_room,
                                .paid = { .items = tick->paid.items, .room = tick->paid.room },
                                .delays = { .items = tick->delays.items,
                                            .room = tick->delays.room } };

    arena_reset(tick->arena);
    *tick = empty;
}

enum error
alert_tick_run(struct alert_shard *shard)
{
    struct alert_tick *tick = &shard->tick;
    enum error error = ERR_OK;

    if (!tick->is_decided) {
        tick->now_us = clock_now_us();
        tick->horizon_us = alert_heard_horizon(shard, tick->now_us);
        if (!tick->has_due)
            take_due(shard);
        error = find(shard);
        if (error != ERR_OK)
            return error;
        make_page(shard);
    }
    if (tick->must_write) {
        error = alert_page_write(shard);
        if (shard->all->options.wrote != NULL)
            shard->all->options.wrote(shard->all->options.wrote_owner, error == ERR_OK);
        if (error != ERR_OK)
            return error;
        shard->has_moved = false;
        shard->offsets_due_us = clock_steady_us() + OFFSETS_EVERY_US;
    }
    count_up(shard);
    shard->body_bytes = 0;
    forget(tick);
    return ERR_OK;
}

void
alert_tick_free(struct alert_tick *tick)
{
    arena_free(tick->arena);
    free(tick->news);
    free(tick->paid.items);
    free(tick->delays.items);
    *tick = (struct alert_tick){ 0 };
}
