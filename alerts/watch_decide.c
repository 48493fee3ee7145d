/* watch_decide.c -- The contradictions of an order and its payments, and what is told of them.
 *
 * Both change at a few points of time only (struct point), so a rule is looked at point by point, from the first to the
 * last: it disagrees from one point to another (struct dispute). Nothing of that is kept but what was told: which alerts were
 * raised, and which are over.
 */
#include "alerts/watch_inner.h"

#include <assert.h>

enum {
    POINTS_MAX = 2 + 3 * WATCH_PAYMENTS_MAX,
    DISPUTES_MAX = 4, /* of one rule and payment: an order has one end, and money goes back once */
};

#define FOREVER_US INT64_MAX

/* ---- points ---- */

/* Where something changes. */
struct point {
    const struct watch_event *event;
    const struct watch_payment *payment; /* whose event it is; NULL: the order's */
};

struct points {
    struct point all[POINTS_MAX]; /* by time */
    size_t count;
};

static void
point_add(struct points *points, const struct watch_event *event,
          const struct watch_payment *payment)
{
    size_t at = points->count;

    if (!watch_is_heard(event))
        return;
    assert(points->count < POINTS_MAX);
    while (at > 0 && points->all[at - 1].event->time_us > event->time_us) {
        points->all[at] = points->all[at - 1];
        at--;
    }
    points->all[at] = (struct point){ event, payment };
    points->count++;
}

static void
point_add_payment(struct points *points, const struct watch_payment *payment)
{
    point_add(points, &payment->success, payment);
    point_add(points, &payment->back, payment);
    if (watch_is_taken_back(payment))
        point_add(points, &payment->last, payment);
}

/* payment NULL: of all of them. */
static void
points_collect(struct points *points, const struct watch *watch,
               const struct watch_payment *payment)
{
    points->count = 0;
    point_add(points, &watch->paid, NULL);
    point_add(points, &watch->failed, NULL);
    if (payment != NULL)
        point_add_payment(points, payment);
    for (size_t i = 0; payment == NULL && i < watch->payment_count; i++)
        point_add_payment(points, &watch->payments[i]);
}

/* ---- disputes ---- */

/* A contradiction. due_us: when it is raised; end NULL: it goes on. */
struct dispute {
    struct point begin, end;
    int64_t due_us;
};

struct disputes {
    struct dispute all[DISPUTES_MAX]; /* those that last until they are due, as far as is known */
    size_t count;
};

/* What a rule sees of an order, for one payment or for all. */
struct view {
    const struct watch *watch;
    const struct watch_payment *payment; /* NULL: all */
    enum rule_id rule;
    int64_t grace_us;
};

static struct dispute
dispute_begin(const struct view *view, struct point point)
{
    int64_t due_us = point.event->time_us;

    due_us += view->grace_us + (point.payment == NULL ? rules[view->rule].apart_us : 0);
    return (struct dispute){ .begin = point, .due_us = due_us };
}

/* One that ended in time is none. One that was due stays while the rule keeps it. */
static void
disputes_find(const struct view *view, struct disputes *disputes)
{
    const struct rule *rule = &rules[view->rule];
    struct dispute *open = NULL;
    struct points points;

    disputes->count = 0;
    points_collect(&points, view->watch, view->payment);
    for (size_t i = 0; i < points.count; i++) {
        int64_t at_us = points.all[i].event->time_us;

        if (i + 1 < points.count && points.all[i + 1].event->time_us == at_us)
            continue; /* what is of one moment counts together */
        if (open != NULL) {
            bool is_due = at_us > open->due_us;

            if (watch_is_in(is_due ? rule->keeps : rule->raises, view->watch, view->payment, at_us))
                continue;
            if (is_due)
                open->end = points.all[i];
            else
                disputes->count--;
            open = NULL;
        }
        if (disputes->count < DISPUTES_MAX &&
            watch_is_in(rule->raises, view->watch, view->payment, at_us)) {
            open = &disputes->all[disputes->count++];
            *open = dispute_begin(view, points.all[i]);
        }
    }
}

/* ---- what is told ---- */

/* A word that the order had before it ended, where that is not kept. */
static uint8_t
order_word_at(const struct watch *watch, int64_t at_us)
{
    const struct watch_event *end = watch_end_at(watch, at_us);

    if (end != NULL)
        return end->word;
    if (!watch_is_heard(&watch->last) ||
        (watch->last.word != WORD_PAID && watch->last.word != WORD_FAILED))
        return watch->last.word;
    return watch->expires_at_us != 0 ? WORD_WAITING_PAYMENT : WORD_PENDING;
}

/* NULL: of what had happened by then nothing is kept, if anything was heard. */
static const struct watch_event *
payment_event_at(const struct watch_payment *payment, int64_t at_us)
{
    bool is_last = watch_has_happened(&payment->last, at_us);

    if (watch_has_happened(&payment->back, at_us))
        return &payment->back;
    if (watch_has_happened(&payment->success, at_us) && !(is_last && watch_is_taken_back(payment)))
        return &payment->success;
    return is_last ? &payment->last : NULL;
}

/* The payment that was heard of last; NULL: there is none. */
static const struct watch_payment *
payment_newest(const struct watch *watch, int64_t at_us)
{
    const struct watch_payment *newest = NULL;
    int64_t newest_us = 0;

    for (size_t i = 0; i < watch->payment_count; i++) {
        const struct watch_event *event = payment_event_at(&watch->payments[i], at_us);

        if (event != NULL && (newest == NULL || event->time_us > newest_us)) {
            newest = &watch->payments[i];
            newest_us = event->time_us;
        }
    }
    return newest;
}

static void
tell(struct watch *watch, struct watch_found *found, const struct view *view, struct uuid named_by,
     struct point point, int64_t at_us, bool is_resolved)
{
    const struct watch_payment *payment = view->payment != NULL   ? view->payment
                                          : point.payment != NULL ? point.payment
                                                                  : payment_newest(watch, at_us);
    struct watch_alert *alert = &found->alerts[found->alert_count++];
    const struct watch_event *end = watch_end_at(watch, at_us);

    *alert = (struct watch_alert){ .id = rule_alert_id(view->rule, watch->order_id, named_by),
                                   .rule = view->rule,
                                   .is_resolved = is_resolved,
                                   .version = ++watch->alert_version,
                                   .order_id = watch->order_id,
                                   .occurred_us = point.event->time_us,
                                   .order_event_id = end != NULL ? end->id : watch->last.id,
                                   .order_word = order_word_at(watch, at_us),
                                   .topic = point.payment == NULL ? NEWS_ORDER : NEWS_PAYMENT,
                                   .place = point.event->place,
                                   .trace = watch->trace };
    if (payment != NULL && payment_event_at(payment, at_us) != NULL) {
        const struct watch_event *event = payment_event_at(payment, at_us);

        alert->payment_id = payment->id;
        alert->payment_event_id = event->id;
        alert->payment_word = event->word;
    }
}

static bool
has_room(const struct watch_found *found)
{
    return found->alert_count < WATCH_ALERTS_MAX;
}

/* The news that ended what the rule kept: the last that did. One whose begin was corrected by news that came too late
 * has none; the newest of all stands for it. */
static struct point
end_find(const struct view *view)
{
    struct points points;
    struct point end = { 0 };
    bool was_kept = true;

    points_collect(&points, view->watch, view->payment);
    assert(points.count > 0);
    end = points.all[points.count - 1];
    for (size_t i = 0; i < points.count; i++) {
        bool is_kept = watch_is_in(rules[view->rule].keeps, view->watch, view->payment,
                                   points.all[i].event->time_us);

        if (was_kept && !is_kept)
            end = points.all[i];
        was_kept = is_kept;
    }
    return end;
}

/* ---- rules A and C: one alert of each payment at most ---- */

static void
decide_payment(struct watch *watch, struct watch_payment *payment, const struct view *view,
               int64_t horizon_us, struct watch_found *found)
{
    struct disputes disputes;

    if (!payment->is_raised[view->rule] && watch_is_heard(&payment->success)) {
        disputes_find(view, &disputes);
        if (disputes.count > 0 && horizon_us > disputes.all[0].due_us && has_room(found)) {
            const struct dispute *dispute = &disputes.all[0];

            payment->is_raised[view->rule] = true;
            tell(watch, found, view, payment->success.id, dispute->begin, dispute->due_us, false);
        }
    }
    if (payment->is_raised[view->rule] && !payment->is_resolved[view->rule] && has_room(found) &&
        !watch_is_in(rules[view->rule].keeps, watch, payment, FOREVER_US)) {
        struct point end = end_find(view);

        payment->is_resolved[view->rule] = true;
        tell(watch, found, view, payment->success.id, end, end.event->time_us, true);
    }
}

/* ---- rule B: one alert after the other ---- */

static bool
is_of_unpaid(const struct watch *watch, const struct dispute *dispute)
{
    return uuid_equal(dispute->begin.event->id, watch->unpaid.id);
}

/* A dispute that is not the newest one told, and does not lie before it. */
static bool
is_untold(const struct watch *watch, const struct dispute *dispute)
{
    return !watch_is_heard(&watch->unpaid) ||
           (!is_of_unpaid(watch, dispute) &&
            dispute->begin.event->time_us >= watch->unpaid.time_us);
}

static void
unpaid_resolve(struct watch *watch, const struct view *view, struct point end,
               struct watch_found *found)
{
    watch->is_unpaid_open = false;
    tell(watch, found, view, watch->unpaid.id, end, end.event->time_us, true);
}

/* The end of the one that is open; false: it goes on. */
static bool
unpaid_end(const struct watch *watch, const struct view *view, const struct disputes *disputes,
           struct point *ret_end)
{
    for (size_t i = 0; i < disputes->count; i++) {
        if (is_of_unpaid(watch, &disputes->all[i])) {
            *ret_end = disputes->all[i].end;
            return ret_end->event != NULL;
        }
    }
    if (watch_is_in(rules[view->rule].keeps, watch, NULL, FOREVER_US))
        return false;
    *ret_end = end_find(view);
    return true;
}

static void
decide_unpaid(struct watch *watch, const struct view *view, int64_t horizon_us,
              struct watch_found *found)
{
    struct disputes disputes;
    struct point end;

    disputes_find(view, &disputes);
    if (watch->is_unpaid_open && has_room(found) && unpaid_end(watch, view, &disputes, &end))
        unpaid_resolve(watch, view, end, found);
    for (size_t i = 0; i < disputes.count && has_room(found) && !watch->is_unpaid_open; i++) {
        const struct dispute *dispute = &disputes.all[i];

        if (!is_untold(watch, dispute) || horizon_us <= dispute->due_us)
            continue;
        watch->unpaid = *dispute->begin.event;
        watch->is_unpaid_of_payment = dispute->begin.payment != NULL;
        watch->is_unpaid_open = true;
        tell(watch, found, view, watch->unpaid.id, dispute->begin, dispute->due_us, false);
        if (dispute->end.event != NULL && has_room(found))
            unpaid_resolve(watch, view, dispute->end, found);
    }
}

/* ---- the service level ---- */

/* The first success; NULL: there is none. */
static const struct watch_payment *
payment_first(const struct watch *watch)
{
    const struct watch_payment *first = NULL;

    for (size_t i = 0; i < watch->payment_count; i++) {
        const struct watch_payment *payment = &watch->payments[i];

        if (watch_is_heard(&payment->success) &&
            (first == NULL || payment->success.time_us < first->success.time_us))
            first = payment;
    }
    return first;
}

/* When a success has waited too long for its order, as far as is known; 0: it has not, or that was told. */
static int64_t
late_due_us(const struct watch *watch)
{
    const struct watch_payment *first = payment_first(watch);
    int64_t due_us;

    if (first == NULL || watch->is_late_told)
        return 0;
    due_us = first->success.time_us + WATCH_PAID_WITHIN_US;
    return watch_is_in(rules[RULE_A].raises, watch, first, due_us) ? due_us : 0;
}

/* When it is certain how long a success took to make its order PAID: no earlier one can come; 0: there is nothing to
 * tell. */
static int64_t
timed_due_us(const struct watch *watch)
{
    const struct watch_payment *first = payment_first(watch);

    if (first == NULL || !watch_is_heard(&watch->paid) || watch->is_free || watch->is_timed)
        return 0;
    return watch->paid.time_us > first->success.time_us ? watch->paid.time_us
                                                        : first->success.time_us;
}

static void
decide_time(struct watch *watch, int64_t horizon_us, struct watch_found *found)
{
    int64_t late_us = late_due_us(watch), timed_us = timed_due_us(watch);

    if (late_us != 0 && horizon_us > late_us)
        found->is_late = watch->is_late_told = true;
    if (timed_us != 0 && horizon_us > timed_us) {
        found->took_us = watch->paid.time_us - payment_first(watch)->success.time_us;
        if (found->took_us < 0)
            found->took_us = 0; /* two clocks */
        watch->is_timed = true;
    }
}

/* ---- all of it ---- */

bool
watch_decide(struct watch *watch, const struct rule_graces *graces, int64_t horizon_us,
             struct watch_found *ret_found)
{
    ret_found->alert_count = 0;
    ret_found->took_us = -1;
    ret_found->is_late = false;
    for (enum rule_id rule = 0; rule < RULE_COUNT; rule++) {
        struct view view = { .watch = watch, .rule = rule, .grace_us = graces->us[rule] };

        for (size_t i = 0; rules[rule].is_of_payment && i < watch->payment_count; i++) {
            view.payment = &watch->payments[i];
            decide_payment(watch, &watch->payments[i], &view, horizon_us, ret_found);
        }
        if (rule == RULE_B)
            decide_unpaid(watch, &view, horizon_us, ret_found);
    }
    decide_time(watch, horizon_us, ret_found);
    return ret_found->alert_count > 0 || ret_found->took_us >= 0 || ret_found->is_late;
}

static void
earlier(int64_t *due_us, int64_t other_us)
{
    if (other_us != 0 && (*due_us == 0 || other_us < *due_us))
        *due_us = other_us;
}

int64_t
watch_due_us(const struct watch *watch, const struct rule_graces *graces)
{
    int64_t due_us = late_due_us(watch);
    struct disputes disputes;

    earlier(&due_us, timed_due_us(watch));
    for (enum rule_id rule = 0; rule < RULE_COUNT; rule++) {
        struct view view = { .watch = watch, .rule = rule, .grace_us = graces->us[rule] };

        for (size_t i = 0; rules[rule].is_of_payment && i < watch->payment_count; i++) {
            view.payment = &watch->payments[i];
            if (view.payment->is_raised[rule] || !watch_is_heard(&view.payment->success))
                continue;
            disputes_find(&view, &disputes);
            if (disputes.count > 0)
                earlier(&due_us, disputes.all[0].due_us);
        }
        if (rule != RULE_B)
            continue;
        disputes_find(&view, &disputes);
        /* While its alert is open no other is told, and news alone ends it. */
        for (size_t i = 0; !watch->is_unpaid_open && i < disputes.count; i++) {
            if (is_untold(watch, &disputes.all[i]))
                earlier(&due_us, disputes.all[i].due_us);
        }
    }
    return due_us;
}

bool
watch_is_over(const struct watch *watch, const struct rule_graces *graces)
{
    return watch_end_at(watch, FOREVER_US) != NULL && !watch_has_alert(watch) &&
           watch_due_us(watch, graces) == 0;
}
