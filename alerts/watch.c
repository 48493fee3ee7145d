/* watch.c -- The registers of an order and its payments: a newest version and first ones, so the order in which news comes
 * does not matter.
 */
#include "alerts/watch_inner.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct watch *
watch_new(struct uuid order_id)
{
    struct watch *watch = memory_take(sizeof *watch);

    watch->order_id = order_id;
    return watch;
}

struct watch *
watch_free(struct watch *watch)
{
    if (watch != NULL)
        free(watch->payments);
    free(watch);
    return NULL;
}

/* ---- registers ---- */

static struct watch_event
event_of(const struct news *news)
{
    return (struct watch_event){ .id = news->event_id,
                                 .time_us = news->time_us,
                                 .place = news->place,
                                 .version = news->version,
                                 .word = news->word };
}

static bool
keep_newest(struct watch_event *kept, const struct news *news)
{
    if (news->version <= kept->version)
        return false;
    *kept = event_of(news);
    return true;
}

static bool
keep_first(struct watch_event *kept, const struct news *news)
{
    if (watch_is_heard(kept) && news->version >= kept->version)
        return false;
    *kept = event_of(news);
    return true;
}

static bool
apply_order(struct watch *watch, const struct news *news)
{
    bool is_new = keep_newest(&watch->last, news);

    if (news->word == WORD_FAILED && keep_first(&watch->failed, news))
        is_new = true;
    if (news->word == WORD_PAID && keep_first(&watch->paid, news)) {
        watch->is_free = news->is_free;
        watch->paid_by = news->paid_by;
        is_new = true;
    }
    if (news->expires_at_us != 0 && news->version > watch->expires_version) {
        watch->expires_at_us = news->expires_at_us;
        watch->expires_version = news->version;
        is_new = true;
    }
    return is_new;
}

static struct watch_payment *
payment_find(const struct watch *watch, struct uuid id)
{
    for (size_t i = 0; i < watch->payment_count; i++) {
        if (uuid_equal(watch->payments[i].id, id))
            return &watch->payments[i];
    }
    return NULL;
}

/* One that never succeeded says least, and its next news makes it anew. */
static struct watch_payment *
payment_displace(struct watch *watch)
{
    struct watch_payment *least = NULL;

    for (size_t i = 0; i < watch->payment_count; i++) {
        struct watch_payment *payment = &watch->payments[i];

        if (!watch_is_heard(&payment->success) &&
            (least == NULL || payment->last.time_us < least->last.time_us))
            least = payment;
    }
    return least;
}

/* NULL: there is no room. */
static struct watch_payment *
payment_add(struct watch *watch, struct uuid id)
{
    struct watch_payment *payment;

    if (watch->payment_count == WATCH_PAYMENTS_MAX) {
        payment = payment_displace(watch);
        if (payment == NULL)
            return NULL;
    } else {
        if (watch->payment_count == watch->payment_room) {
            watch->payment_room =
                (uint16_t)(watch->payment_room == 0 ? 1 : watch->payment_room * 2);
            watch->payments =
                memory_grow(watch->payments, watch->payment_room * sizeof *watch->payments);
        }
        payment = &watch->payments[watch->payment_count++];
    }
    *payment = (struct watch_payment){ .id = id };
    return payment;
}

/* The name of an alert that was raised is that of the success, which stays from then on. */
static bool
is_alerted(const struct watch_payment *payment)
{
    for (size_t i = 0; i < RULE_COUNT; i++) {
        if (payment->is_raised[i])
            return true;
    }
    return false;
}

static bool
apply_payment(struct watch_payment *payment, const struct news *news)
{
    bool is_new = keep_newest(&payment->last, news);

    if ((word_is_success(news->word) || news->is_back) && !is_alerted(payment) &&
        keep_first(&payment->success, news)) {
        payment->occurred_at_us = news->occurred_at_us;
        is_new = true;
    }
    if (news->is_back && keep_first(&payment->back, news))
        is_new = true;
    return is_new;
}

enum watch_applied
watch_apply(struct watch *watch, const struct news *news)
{
    struct watch_payment *payment;
    bool is_new;

    assert(news->kind != NEWS_HEARTBEAT && uuid_equal(watch->order_id, news->order_id));
    if (news->kind == NEWS_ORDER) {
        is_new = apply_order(watch, news);
    } else {
        payment = payment_find(watch, news->payment_id);
        if (payment == NULL)
            payment = payment_add(watch, news->payment_id);
        if (payment == NULL)
            return WATCH_FULL;
        is_new = apply_payment(payment, news);
    }
    if (is_new && news->trace[0] != '\0')
        memcpy(watch->trace, news->trace, sizeof watch->trace);
    return is_new ? WATCH_NEW : WATCH_OLD;
}

bool
watch_has_alert(const struct watch *watch)
{
    for (size_t i = 0; i < watch->payment_count; i++) {
        for (size_t rule = 0; rule < RULE_COUNT; rule++) {
            if (watch->payments[i].is_raised[rule] && !watch->payments[i].is_resolved[rule])
                return true;
        }
    }
    return watch->is_unpaid_open;
}

int64_t
watch_forget_us(const struct watch *watch)
{
    return watch_has_alert(watch) ? 0 : uuid_time_us(watch->order_id) + ID_DAYS_KEPT * DAY_US;
}
