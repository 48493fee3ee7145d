/* watch_row.c -- A watch as one line: its numbers in one order, which is the only place that knows it. */
#include "alerts/row_text.h"
#include "alerts/watch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Rises when the line changes its shape. */
#define VERSION "w1"

enum {
    EVENT_BYTES = ROW_ID_BYTES + 4 * ROW_INT_BYTES,
    PAYMENT_BYTES = ROW_ID_BYTES + 3 * EVENT_BYTES + 2 * ROW_INT_BYTES,
    WATCH_BYTES =
        2 + 2 * ROW_ID_BYTES + 4 * EVENT_BYTES + 6 * ROW_INT_BYTES + TRACE_PARENT_BYTES + 1,
};

_Static_assert(WATCH_BYTES + WATCH_PAYMENTS_MAX * PAYMENT_BYTES < WATCH_LINE_BYTES_MAX,
               "the longest line has room");

/* ---- flags, as bits of one number ---- */

static int64_t
payment_flags(const struct watch_payment *payment)
{
    int64_t flags = 0;

    for (size_t i = 0; i < RULE_COUNT; i++)
        flags |= (int64_t)(payment->is_raised[i] | payment->is_resolved[i] << 1) << 2 * i;
    return flags;
}

static void
payment_set_flags(struct watch_payment *payment, int64_t flags)
{
    for (size_t i = 0; i < RULE_COUNT; i++) {
        payment->is_raised[i] = (flags >> 2 * i & 1) != 0;
        payment->is_resolved[i] = (flags >> (2 * i + 1) & 1) != 0;
    }
}

static int64_t
watch_flags(const struct watch *watch)
{
    return watch->is_free | watch->is_unpaid_of_payment << 1 | watch->is_unpaid_open << 2 |
           watch->is_timed << 3 | watch->is_late_told << 4;
}

static void
watch_set_flags(struct watch *watch, int64_t flags)
{
    watch->is_free = (flags & 1) != 0;
    watch->is_unpaid_of_payment = (flags & 2) != 0;
    watch->is_unpaid_open = (flags & 4) != 0;
    watch->is_timed = (flags & 8) != 0;
    watch->is_late_told = (flags & 16) != 0;
}

/* ---- events: of one that was not heard the version alone ---- */

static char *
put_event(char *at, const struct watch_event *event)
{
    at = row_put_int(at, event->version);
    if (event->version == 0)
        return at;
    at = row_put_id(at, event->id);
    at = row_put_int(at, event->time_us);
    at = row_put_int(at, event->place);
    return row_put_int(at, event->word);
}

static struct watch_event
take_event(struct row_reader *reader)
{
    struct watch_event event = { .version = (int32_t)row_take_int(reader, 0, INT32_MAX) };

    if (event.version == 0)
        return event;
    event.id = row_take_id(reader);
    event.time_us = row_take_int(reader, 1, INT64_MAX);
    event.place = row_take_int(reader, 0, INT64_MAX);
    event.word = (uint8_t)row_take_int(reader, WORD_ORDERS_BEGIN, WORD_COUNT - 1);
    return event;
}

/* ---- payments ---- */

static char *
put_payment(char *at, const struct watch_payment *payment)
{
    at = row_put_id(at, payment->id);
    at = put_event(at, &payment->last);
    at = put_event(at, &payment->success);
    at = put_event(at, &payment->back);
    at = row_put_int(at, payment->occurred_at_us);
    return row_put_int(at, payment_flags(payment));
}

static void
take_payment(struct row_reader *reader, struct watch_payment *payment)
{
    payment->id = row_take_id(reader);
    payment->last = take_event(reader);
    payment->success = take_event(reader);
    payment->back = take_event(reader);
    payment->occurred_at_us = row_take_int(reader, 0, INT64_MAX);
    payment_set_flags(payment, row_take_int(reader, 0, (1 << 2 * RULE_COUNT) - 1));
}

/* ---- the whole ---- */

size_t
watch_print(const struct watch *watch, char text[WATCH_LINE_BYTES_MAX])
{
    char *at = text + strlen(VERSION);

    memcpy(text, VERSION, strlen(VERSION));
    at = row_put_id(at, watch->order_id);
    at = put_event(at, &watch->last);
    at = put_event(at, &watch->paid);
    at = put_event(at, &watch->failed);
    at = put_event(at, &watch->unpaid);
    at = row_put_int(at, watch->expires_at_us);
    at = row_put_int(at, watch->expires_version);
    at = row_put_id(at, watch->paid_by);
    at = row_put_int(at, watch_flags(watch));
    at = row_put_int(at, watch->alert_version);
    at = row_put_text(at, watch->trace);
    at = row_put_int(at, watch->payment_count);
    for (size_t i = 0; i < watch->payment_count; i++)
        at = put_payment(at, &watch->payments[i]);
    assert(at - text < WATCH_LINE_BYTES_MAX);
    return (size_t)(at - text);
}

static void
take_watch(struct row_reader *reader, struct watch *watch)
{
    watch->order_id = row_take_id(reader);
    watch->last = take_event(reader);
    watch->paid = take_event(reader);
    watch->failed = take_event(reader);
    watch->unpaid = take_event(reader);
    watch->expires_at_us = row_take_int(reader, 0, INT64_MAX);
    watch->expires_version = (int32_t)row_take_int(reader, 0, INT32_MAX);
    watch->paid_by = row_take_id(reader);
    watch_set_flags(watch, row_take_int(reader, 0, 31));
    watch->alert_version = (int32_t)row_take_int(reader, 0, INT32_MAX);
    row_take_text(reader, watch->trace, sizeof watch->trace);
    watch->payment_count = watch->payment_room =
        (uint16_t)row_take_int(reader, 0, WATCH_PAYMENTS_MAX);
    watch->payments = memory_take(watch->payment_count * sizeof *watch->payments);
    for (size_t i = 0; i < watch->payment_count; i++)
        take_payment(reader, &watch->payments[i]);
}

struct watch *
watch_parse(const char *text, size_t bytes)
{
    size_t before = strlen(VERSION);
    struct row_reader reader = { .at = text + before, .end = text + bytes, .is_good = true };
    struct watch *watch;

    if (bytes <= before || memcmp(text, VERSION, before) != 0)
        return NULL;
    watch = watch_new((struct uuid){ { 0 } });
    take_watch(&reader, watch);
    return row_is_over(&reader) ? watch : watch_free(watch);
}
