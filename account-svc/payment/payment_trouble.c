/* payment_trouble.c -- When an operator is called for a payment, and why.
 *
 * Money may be with an order that is dead, and the program cannot see to it by itself: the books differ,
 * a refund is refused, or the provider says nothing. The payment carries the gravest of its troubles,
 * sagactl payments lists it, and the program goes on asking all the same: the provider's answer at
 * last ends the trouble. Two troubles begin with an event (payment.c, payment_learn.c), and end with it; the
 * others are a function of what is known and of the time, looked at whenever a payment is planned; a payment
 * of which nothing more is asked has none of them.
 */
#include "account-svc/payment/payment.h"

#include <assert.h>

static const struct {
    const char *word, *because;
} troubles[TROUBLE_COUNT] = {
    /* clang-format off */
    [TROUBLE_NONE]              = { "",                  "" },
    [TROUBLE_QUARANTINED]       = { "QUARANTINED",       "the provider's books have another amount or currency than ours" },
    [TROUBLE_REFUND_REFUSED]    = { "REFUND_REFUSED",    "the provider refuses to pay it back" },
    [TROUBLE_REFUND_UNANSWERED] = { "REFUND_UNANSWERED", "a refund was sent an hour ago, and the provider does not say that it was made" },
    [TROUBLE_UNREADABLE]        = { "UNREADABLE",        "what the provider answers cannot be read; the log says why" },
    [TROUBLE_UNANSWERED]        = { "UNANSWERED",        "its checkout ended an hour ago, and the provider does not say how" },
    [TROUBLE_STILL_OPEN]        = { "STILL_OPEN",        "its order is dead, its checkout ended a day ago, and the provider keeps it open" },
    /* clang-format on */
};

const char *
trouble_word(enum trouble trouble)
{
    assert(trouble < TROUBLE_COUNT);
    return troubles[trouble].word;
}

const char *
trouble_because(enum trouble trouble)
{
    assert(trouble < TROUBLE_COUNT);
    return troubles[trouble].because;
}

/* ---- those that come and go with time ---- */

typedef bool situation(const struct payment *payment, const struct task *task, struct arena *arena,
                       int64_t now_us);

static bool
is_refund_unanswered(const struct payment *payment, const struct task *task, struct arena *arena,
                     int64_t now_us)
{
    return task->refund_sent_us != 0 && now_us - task->refund_sent_us >= TROUBLE_REFUND_US &&
           payment_refund_is_open(payment, arena);
}

static bool
is_unreadable(const struct payment *payment, const struct task *task, struct arena *arena,
              int64_t now_us)
{
    (void)now_us;
    return task->unread >= TROUBLE_UNREAD_MIN &&
           (payment->observed != OBSERVED_SUCCEEDED || payment_refund_is_open(payment, arena));
}

/* Money can still come, or came, and the provider has been silent for long since the checkout's end. */
static bool
is_unanswered(const struct payment *payment, const struct task *task, struct arena *arena,
              int64_t now_us)
{
    int64_t end_us = payment_checkout_end_us(payment);
    int64_t since_us = end_us > task->silent_since_us ? end_us : task->silent_since_us;

    (void)arena;
    return task->silent_since_us != 0 && now_us - since_us >= TROUBLE_SILENT_US &&
           payment->observed != OBSERVED_SUCCEEDED && task_may_be_there(task) &&
           (!task->last_query_done || !observed_is_final(payment->observed));
}

/* By its books; between a cancel and the query after it as before. */
static bool
is_still_open(const struct payment *payment, const struct task *task, struct arena *arena,
              int64_t now_us)
{
    bool is_open = !observed_is_final(payment->observed) || task->abandon_step == ABANDON_CANCEL;

    (void)arena;
    if (payment->claim != CLAIM_ABANDONED || payment->observed == OBSERVED_SUCCEEDED ||
        !task_may_be_there(task) || now_us - payment_checkout_end_us(payment) < TROUBLE_OPEN_US)
        return false;
    return task->last_query_done ? is_open : payment->trouble == TROUBLE_STILL_OPEN;
}

static const struct {
    situation *fits;
    enum trouble trouble;
} by_time[] = {
    { is_refund_unanswered, TROUBLE_REFUND_UNANSWERED },
    { is_unreadable, TROUBLE_UNREADABLE },
    { is_unanswered, TROUBLE_UNANSWERED },
    { is_still_open, TROUBLE_STILL_OPEN },
};

static unsigned
trouble_review(struct payment *payment, const struct task *task, struct arena *arena,
               int64_t now_us)
{
    enum trouble trouble = TROUBLE_NONE;

    if (payment->trouble == TROUBLE_QUARANTINED || payment->trouble == TROUBLE_REFUND_REFUSED)
        return 0;
    for (size_t i = 0;
         trouble == TROUBLE_NONE && task->kind != TASK_NONE && i < sizeof by_time / sizeof *by_time;
         i++) {
        if (by_time[i].fits(payment, task, arena, now_us))
            trouble = by_time[i].trouble;
    }
    if (payment->trouble == (int32_t)trouble)
        return 0;
    payment_need_nobody(payment);
    if (trouble != TROUBLE_NONE)
        payment_call_person(payment, trouble);
    payment_touched(payment, now_us);
    return CHANGE_OTHER;
}

unsigned
payment_replan(struct payment *payment, struct task *task, struct arena *arena, int64_t now_us)
{
    unsigned changes = payment_plan(payment, task, arena, now_us);

    return changes | trouble_review(payment, task, arena, now_us);
}
