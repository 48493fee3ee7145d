/* alert_page.c -- What a tick writes: the lines of its page, and the rows that become true with it.
 *
 *     O cluster offset offset source=time,time ...    from where to go on, and what was heard; in every page
 *     N news                                          applied to the watch of its order
 *     W watch                                         the whole of it: something was decided, or it begins anew
 *     E order                                         it is a final row, or forgotten
 *
 * The watch of an order is its row, if it has one, and the lines of the pages behind that row; a W line takes the
 * place of all before it. */
#include "alerts/alert_event.h"
#include "alerts/alert_shard_inner.h"
#include "alerts/dead_letter.h"
#include "mesh/base/clock.h"
#include "mesh/base/crash.h"
#include "mesh/base/log.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- lines ---- */

static char *
room(struct alert_shard *shard, size_t bytes)
{
    if (shard->body_room - shard->body_bytes < bytes) {
        shard->body_room = 2 * shard->body_room + bytes;
        shard->body = memory_grow(shard->body, shard->body_room);
    }
    return shard->body + shard->body_bytes;
}

static void
line_end(struct alert_shard *shard, size_t bytes)
{
    shard->body[shard->body_bytes + bytes] = '\n';
    shard->body[shard->body_bytes + bytes + 1] = '\0';
    shard->body_bytes += bytes + 1;
}

void
alert_page_news(struct alert_shard *shard, const struct news *news)
{
    char *line = room(shard, 2 + NEWS_LINE_BYTES_MAX + 2);

    memcpy(line, "N ", 2);
    line_end(shard, 2 + news_print(news, line + 2));
}

void
alert_page_watch(struct alert_shard *shard, const struct watch *watch)
{
    char *line = room(shard, 2 + WATCH_LINE_BYTES_MAX + 2);

    memcpy(line, "W ", 2);
    line_end(shard, 2 + watch_print(watch, line + 2));
}

void
alert_page_end(struct alert_shard *shard, struct uuid id)
{
    char *line = room(shard, 2 + UUID_TEXT_BYTES + 2);

    memcpy(line, "E ", 2);
    uuid_print(id, line + 2);
    line_end(shard, 2 + UUID_TEXT_BYTES);
}

enum { OFFSETS_BYTES = 256, SOURCE_BYTES = NEWS_SOURCE_BYTES_MAX + 64 };

void
alert_page_offsets(struct alert_shard *shard)
{
    const struct alert_shards *all = shard->all;
    char *line = room(shard, OFFSETS_BYTES + ALERT_SOURCES_MAX * SOURCE_BYTES);
    int bytes = snprintf(line, OFFSETS_BYTES, "O %s %" PRId64 " %" PRId64,
                         all->cluster[0] == '\0' ? "-" : all->cluster, shard->places[0].offset,
                         shard->places[1].offset);

    for (size_t i = 0; i < all->source_count; i++)
        bytes += snprintf(line + bytes, SOURCE_BYTES, " %s=%" PRId64 ",%" PRId64,
                          shard->heard[i].name, shard->heard[i].at_us[0], shard->heard[i].at_us[1]);
    line_end(shard, (size_t)bytes);
}

static void
read_heard(struct alert_shard *shard, const char *part)
{
    const char *equals = strchr(part, '=');
    int64_t at_us[ALERT_TOPICS];

    if (equals == NULL || sscanf(equals, "=%" SCNd64 ",%" SCNd64, &at_us[0], &at_us[1]) != 2)
        return;
    for (size_t i = 0; i < shard->all->source_count; i++) {
        struct alert_heard *heard = &shard->heard[i];

        if (strlen(heard->name) == (size_t)(equals - part) &&
            memcmp(heard->name, part, (size_t)(equals - part)) == 0)
            memcpy(heard->at_us, at_us, sizeof at_us);
    }
}

bool
alert_page_read_offsets(struct alert_shard *shard, const char *text, size_t bytes)
{
    char line[OFFSETS_BYTES + ALERT_SOURCES_MAX * SOURCE_BYTES + 1];
    char cluster[ALERT_CLUSTER_BYTES_MAX + 1];
    int64_t offsets[ALERT_TOPICS];
    int at = 0;

    if (bytes >= sizeof line)
        return false;
    memcpy(line, text, bytes);
    line[bytes] = '\0';
    if (sscanf(line, "%64s %" SCNd64 " %" SCNd64 "%n", cluster, &offsets[0], &offsets[1], &at) != 3)
        return false;
    for (size_t i = 0; i < ALERT_TOPICS; i++)
        shard->places[i].offset = offsets[i];
    memcpy(shard->read_cluster, cluster, sizeof cluster);
    for (char *rest = NULL, *part = strtok_r(line + at, " ", &rest); part != NULL;
         part = strtok_r(NULL, " ", &rest))
        read_heard(shard, part);
    return true;
}

/* ---- rows ---- */

static const char *
payload_of(struct alert_shard *shard, const struct watch_alert *alert)
{
    struct alert_tick *tick = &shard->tick;

    alert_event_write(alert, shard->number, tick->now_us, &shard->payload);
    return arena_copy(tick->arena, shard->payload.text, shard->payload.bytes);
}

static void
add_event(struct alert_tick *tick, const struct watch_alert *alert, const char *payload)
{
    struct event *event = arena_take(tick->arena, sizeof *event);

    *event = (struct event){ .id = uuid_v7(tick->now_us),
                             .aggregatetype = ALERT_AGGREGATE,
                             .aggregateid = alert->order_id,
                             .version = alert->version,
                             .type = alert->is_resolved ? ALERT_RESOLVED : ALERT_RAISED,
                             .payload = payload,
                             .time_us = tick->now_us,
                             .traceparent =
                                 arena_copy(tick->arena, alert->trace, strlen(alert->trace)) };
    alert_rows_add(&tick->events, tick->arena, event);
}

static void
add_notices(struct alert_shard *shard, const struct watch_alert *alert, const char *severity)
{
    struct alert_tick *tick = &shard->tick;
    struct notice_row *notices;
    size_t count;

    if (shard->all->options.notify == NULL)
        return;
    count = notify_rows(shard->all->options.notify, alert->id, severity, !alert->is_resolved,
                        tick->now_us, tick->arena, &notices);
    for (size_t i = 0; i < count; i++)
        alert_rows_add(&tick->notices, tick->arena, &notices[i]);
}

static void
say(const struct alert_shard *shard, const struct watch_alert *alert, const struct rule *rule)
{
    struct log_trace before = log_trace_begin(alert->trace);
    char id[UUID_TEXT_BYTES + 1], order[UUID_TEXT_BYTES + 1];

    uuid_print(alert->id, id);
    uuid_print(alert->order_id, order);
    if (alert->is_resolved)
        log_info("alert=%s event=RESOLVED rule=%s order=%s shard=%d", id, rule->name, order,
                 shard->number);
    else
        log_error("alert=%s event=RAISED rule=%s order=%s shard=%d because=\"%s\"", id, rule->name,
                  order, shard->number, rule->because);
    log_trace_end(&before);
}

void
alert_page_alert(struct alert_shard *shard, const struct watch_alert *alert)
{
    struct alert_tick *tick = &shard->tick;
    const struct rule *rule = &rules[alert->rule];
    const char *payload = payload_of(shard, alert);

    if (alert->is_resolved) {
        struct alert_resolve *row = arena_take(tick->arena, sizeof *row);

        *row = (struct alert_resolve){ alert->id, payload, tick->now_us };
        alert_rows_add(&tick->resolved, tick->arena, row);
        tick->resolved_by[alert->rule]++;
    } else {
        struct alert_raise *row = arena_take(tick->arena, sizeof *row);
        char *order = arena_take(tick->arena, UUID_TEXT_BYTES + 1);

        uuid_print(alert->order_id, order);
        *row = (struct alert_raise){ .id = alert->id,
                                     .rule = rule->name,
                                     .severity = rule->severity,
                                     .subject = order,
                                     .payload = payload,
                                     .occurred_us = alert->occurred_us,
                                     .detected_us = tick->now_us };
        alert_rows_add(&tick->raised, tick->arena, row);
        tick->raised_by[alert->rule]++;
    }
    add_event(tick, alert, payload);
    add_notices(shard, alert, rule->severity);
    say(shard, alert, rule);
}

static struct pg_bytes
bytes_copy(struct arena *arena, const char *data, size_t count)
{
    if (data == NULL)
        return (struct pg_bytes){ NULL, 0 };
    return (struct pg_bytes){ (const uint8_t *)arena_copy(arena, data, count), count };
}

void
alert_page_letter(struct alert_shard *shard, const struct kafka_message *message,
                  const char *reason)
{
    struct alert_tick *tick = &shard->tick;
    struct dead_header *headers = arena_take(tick->arena, message->header_count * sizeof *headers);
    struct dead_letter_row *row = arena_take(tick->arena, sizeof *row);

    for (size_t i = 0; i < message->header_count; i++) {
        const struct kafka_field *from = &message->headers[i];

        headers[i].name = (struct pg_bytes){ (const uint8_t *)from->name, strlen(from->name) };
        headers[i].value = (struct pg_bytes){ (const uint8_t *)from->value, from->bytes };
    }
    *row = (struct dead_letter_row){
        .id = uuid_v7(clock_now_us()),
        .topic = news_topic((enum news_kind)message->topic),
        .part = message->partition,
        .place = message->offset,
        .timestamp_ms = message->timestamp_ms,
        .key = bytes_copy(tick->arena, message->key, message->key_bytes),
        .value = bytes_copy(tick->arena, message->value, message->value_bytes),
        .headers = dead_headers_pack(headers, message->header_count, tick->arena),
        .reason = arena_copy(tick->arena, reason, strlen(reason)),
        .found_us = clock_now_us(),
    };
    alert_rows_add(&tick->letters, tick->arena, row);
    tick->letters_by[message->topic]++;
    log_error("topic=%s partition=%d offset=%" PRId64 " event=DEAD_LETTER because=\"%s\"",
              row->topic, row->part, row->place, row->reason);
}

struct journal_row *
alert_page_row(struct alert_shard *shard, const struct watch *watch, const char *phase,
               int64_t next_us)
{
    struct journal_row *row = arena_take(shard->tick.arena, sizeof *row);
    char text[WATCH_LINE_BYTES_MAX];
    size_t bytes = watch_print(watch, text);

    *row = (struct journal_row){ .id = watch->order_id,
                                 .shard = shard->number,
                                 .page = shard->next_page,
                                 .place = shard->next_page,
                                 .next_us = next_us,
                                 .phase = phase,
                                 .body = arena_copy(shard->tick.arena, text, bytes) };
    return row;
}

/* ---- the page ---- */

static void
step_add(struct pg_step *steps, size_t *count, const struct pg_statement *statement,
         const struct alert_rows *rows)
{
    if (rows->count > 0)
        steps[(*count)++] =
            (struct pg_step){ .statement = statement, .rows = rows->items, .count = rows->count };
}

/* Up to where pages are needed no more; 0: it does not move now. This page stays, with its offsets. */
static int64_t
floor_page(const struct alert_shard *shard)
{
    int64_t floor = shard->next_page;

    if (clock_steady_us() < shard->floor_due_us)
        return 0;
    if (shard->paged_first != NULL && shard->paged_first->first_page < floor)
        floor = shard->paged_first->first_page;
    return floor > shard->floor_page ? floor : 0;
}

enum error
alert_page_write(struct alert_shard *shard)
{
    struct alert_tick *tick = &shard->tick;
    struct pg_step steps[JOURNAL_FURTHER_MAX];
    size_t count = 0;
    struct journal_tick page = {
        .body = shard->body,
        .parked = (const struct journal_row *const *)tick->parked.items,
        .parked_count = tick->parked.count,
        .finals = (const struct journal_row *const *)tick->finals.items,
        .final_count = tick->finals.count,
        .unparked = (const struct uuid *const *)tick->unparked.items,
        .unparked_count = tick->unparked.count,
        .further = steps,
        .floor_page = floor_page(shard),
        .now_us = tick->now_us,
    };
    enum error error;

    step_add(steps, &count, &alert_raise_insert, &tick->raised);
    step_add(steps, &count, &alert_resolve_update, &tick->resolved);
    step_add(steps, &count, &event_append_late, &tick->events);
    step_add(steps, &count, &notice_insert, &tick->notices);
    step_add(steps, &count, &dead_letter_insert, &tick->letters);
    step_add(steps, &count, &alert_source_save, &tick->sources);
    page.further_count = count;
    crash_point("alerts.before-page");
    error = journal_write(shard->journal, shard->next_page, &page);
    if (error != ERR_OK)
        return error;
    crash_point("alerts.after-page");
    shard->next_page++;
    if (page.floor_page > 0) {
        shard->floor_page = page.floor_page;
        shard->floor_due_us = clock_steady_us() + FLOOR_EVERY_US;
    }
    return ERR_OK;
}
