/* payment_learn.c -- Leases of tasks, and what they bring.
 *
 * A task is leased before it is done, and from that moment on the worst is assumed of it (the table
 * unsure[]): the create may have arrived, the cancel or the refund may have been done. What is learned
 * takes that back, or does not: an unknown answer, one that cannot be read and a lease that ran out are
 * the same. What may have happened is never repeated before the provider was asked how it stands.
 */
#include "account-svc/payment/payment.h"

#include <assert.h>
#include <string.h>

/* ---- the worst, assumed of a task from its lease on ---- */

static void
create_unsure(struct task *task)
{
    task->create_state = task->create_state == CREATE_UNSENT     ? CREATE_MAYBE
                         : task->create_state == CREATE_PAGELESS ? CREATE_PAGE_ASKED
                                                                 : CREATE_MAYBE_AGAIN;
}

/* The books that were to tell of our refund are asked once; then the refund itself again. */
static void
query_unsure(struct task *task)
{
    if (task->refund_state == REFUND_UNSAID)
        task->refund_state = REFUND_IN_DOUBT;
}

static void
cancel_unsure(struct task *task)
{
    task->abandon_step = ABANDON_QUERY_AGAIN;
    task->last_query_done = false;
}

static void
refund_unsure(struct task *task)
{
    task->refund_state = REFUND_IN_DOUBT;
}

static void
query_refund_unsure(struct task *task)
{
    task->refund_state = REFUND_UNSAID;
}

static const struct unsure_rule unsure[TASK_KIND_COUNT] = {
    /* clang-format off */
    [TASK_CREATE]       = { create_unsure,       TASK_QUERY,        TROUBLE_NONE,              "it may have arrived: the query after it says so, for as long as its checkout would live" },
    [TASK_QUERY]        = { query_unsure,        TASK_QUERY,        TROUBLE_UNANSWERED,        "nothing was done: it is asked again, ever more rarely, until it is answered after the checkout's end" },
    [TASK_CANCEL]       = { cancel_unsure,       TASK_QUERY,        TROUBLE_STILL_OPEN,        "it may have been cancelled, or paid: the query says which, and it is cancelled again if it is open" },
    [TASK_REFUND]       = { refund_unsure,       TASK_QUERY_REFUND, TROUBLE_REFUND_UNANSWERED, "it may have been made: how it stands is asked before it is sent again" },
    [TASK_QUERY_REFUND] = { query_refund_unsure, TASK_QUERY,        TROUBLE_REFUND_UNANSWERED, "the books list what went back; then the refund is asked for again" },
    /* clang-format on */
};

const struct unsure_rule *
task_unsure(enum task_kind kind)
{
    assert(kind > TASK_NONE && kind < TASK_KIND_COUNT);
    return &unsure[kind];
}

/* ---- leases ---- */

static void
lease_begin(struct task *task, int64_t now_us)
{
    task_unsure((enum task_kind)task->kind)->assume(task);
    if (task->kind == TASK_QUERY) {
        /* A hint that comes while this query is under way may know more than its answer. */
        task->is_hint_asked = task->query_wanted;
        task->query_wanted = false;
    }
    if (task->kind == TASK_REFUND && task->refund_sent_us == 0)
        task->refund_sent_us = now_us;
    if (task->is_by_hint)
        task->hint_attempts++;
    else if (task->kind != TASK_CANCEL)
        task->attempts++;
    task->is_leased = true;
    task->lease++;
    task->due_us = now_us + TASK_LEASE_US;
}

/* From here on the task may be planned anew: what was due was done. A cancel is no attempt of its own: the
 * query after it is due at once. */
static void
lease_end(struct task *task, int64_t now_us)
{
    task->is_leased = false;
    task->due_us = TASK_NEVER_US;
    if (task->kind == TASK_QUERY)
        task->queried_at_us = now_us;
    if (!task->is_by_hint && task->kind != TASK_CANCEL)
        task->tried_us = now_us;
}

/* Nothing was said of how it stands; a cancel is not expected to. The hint that the query was for waits
 * again. */
static void
learn_nothing(struct task *task, int64_t now_us)
{
    if (task->silent_since_us == 0 && (task->kind == TASK_QUERY || task->kind == TASK_CREATE))
        task->silent_since_us = now_us;
    if (task->kind == TASK_QUERY && task->is_hint_asked)
        task->query_wanted = true;
}

enum task_kind
payment_lease(struct payment *payment, struct task *task, struct arena *arena, int64_t now_us)
{
    if (task->due_us > now_us)
        return TASK_NONE;
    if (task->is_leased) { /* the thread or program that had it is gone: it may have happened */
        lease_end(task, now_us);
        learn_nothing(task, now_us);
        payment_replan(payment, task, arena, now_us);
        if (task->due_us > now_us)
            return TASK_NONE;
    }
    if (task->kind == TASK_NONE)
        return TASK_NONE;
    assert(task->kind != TASK_CREATE || payment->abandon_asked_us == 0);
    lease_begin(task, now_us);
    return (enum task_kind)task->kind;
}

/* ---- what they bring ---- */

/* What came of a task. */
struct lesson {
    enum outcome outcome;
    const struct observation *observation; /* never NULL */
    int32_t create_before;                 /* what was known of the create before this */
    struct arena *arena;
    int64_t now_us;
};

/* Its books are asked once more, in a while: they may know better by then. */
static void
last_query_again(struct task *task, const struct lesson *lesson)
{
    task->last_query_us = lesson->now_us + EXPIRY_MARGIN_US;
    task->last_query_done = false;
}

/* No answer said so, but it follows. */
static unsigned
observe_canceled(struct payment *payment, struct task *task, const struct lesson *lesson)
{
    const struct observation canceled = { .source = SOURCE_CANCEL, .observed = OBSERVED_CANCELED };
    unsigned changes = payment_observe(payment, &canceled, lesson->arena, lesson->now_us);

    if ((changes & CHANGE_OBSERVED) != 0)
        last_query_again(task, lesson);
    return changes;
}

static bool
is_there(int32_t create_state)
{
    return create_state == CREATE_THERE || create_state == CREATE_PAGELESS ||
           create_state == CREATE_PAGE_ASKED;
}

/* Of one that its order gave up. It was there, a cancel was sent, and it is there no more: it is canceled. What
 * was never seen there may still be under way, until its checkout would have ended. */
static unsigned
learn_gone_unwanted(struct payment *payment, struct task *task, const struct lesson *lesson)
{
    if (is_there(task->create_state) && task->abandon_step >= ABANDON_QUERY_AGAIN) {
        task->attempts = 0;
        return observe_canceled(payment, task, lesson);
    }
    if (is_there(task->create_state))
        task->abandon_step = ABANDON_CANCEL;
    else if (task->last_query_done && task->create_state != CREATE_DOUBTED &&
             task->create_state != CREATE_REFUSED)
        task->create_state = CREATE_NEVER;
    return 0;
}

/* Proves nothing while a create may be under way: it is sent again under the same key, or, for one that
 * its order gave up, asked for again. An answer all the same, so what comes next need not wait, except
 * after a create that was sent again and is not there either: it brought nothing. */
static void
learn_not_found(struct task *task)
{
    if (task->create_state == CREATE_AGAIN || task->create_state == CREATE_REFUSED)
        return; /* only a hint asks meanwhile */
    if (task->create_state != CREATE_MAYBE_AGAIN && task->create_state != CREATE_PAGE_ASKED)
        task->attempts = 0;
    if (task->create_state == CREATE_THERE || task->create_state == CREATE_DOUBTED)
        task->polls++;
    else
        task->create_state = CREATE_AGAIN;
}

/* The books say so, now; what was said before may have been wrong. */
static bool
is_over(const struct payment *payment, const struct lesson *lesson)
{
    return payment->observed == OBSERVED_SUCCEEDED ||
           observed_is_final((int32_t)lesson->observation->observed);
}

/* Of attempts to end a payment, to pay it back or to hear of its page an answer to a query is no progress. */
static bool
is_progress(const struct payment *payment, const struct task *task, const struct lesson *lesson)
{
    if (task->refund_sent_us != 0 && payment_refund_is_open(payment, lesson->arena))
        return false;
    if (lesson->create_before == CREATE_PAGE_ASKED)
        return false;
    return payment->abandon_asked_us == 0 || task->abandon_step == ABANDON_QUERY ||
           is_over(payment, lesson);
}

/* It is there, the answer to its create was lost, and the books do not tell where it can be paid. */
static bool
is_pageless(const struct payment *payment, const struct lesson *lesson)
{
    return lesson->create_before != CREATE_THERE && payment->observed == OBSERVED_CREATED &&
           payment->claim == CLAIM_OPEN && payment->abandon_asked_us == 0 &&
           payment->url[0] == '\0';
}

static unsigned
learn_known_query(struct payment *payment, struct task *task, bool was_denied,
                  const struct lesson *lesson)
{
    bool is_gone = payment->abandon_asked_us != 0 && !observed_is_final(payment->observed) &&
                   task->abandon_step == ABANDON_QUERY_GONE;

    task->create_state = is_pageless(payment, lesson) ? CREATE_PAGELESS : CREATE_THERE;
    task->polls++;
    if (!was_denied && is_progress(payment, task, lesson))
        task->attempts = 0;
    if (is_gone)
        return observe_canceled(payment, task, lesson);
    if (payment->abandon_asked_us != 0)
        task->abandon_step = is_over(payment, lesson) ? ABANDON_QUERY_AGAIN : ABANDON_CANCEL;
    return 0;
}

/* A key of another account makes everything look gone, until an operator sees it: what may be there is asked for
 * once more, a day later. */
static void
learn_last_query(const struct payment *payment, struct task *task, const struct lesson *lesson)
{
    int64_t gone_us = payment_checkout_end_us(payment) + GONE_US;

    task->last_query_done = lesson->outcome == OUTCOME_KNOWN || lesson->now_us >= gone_us ||
                            task->create_state == CREATE_DOUBTED;
    if (!task->last_query_done)
        task->last_query_us = gone_us;
}

static unsigned
learn_query(struct payment *payment, struct task *task, const struct lesson *lesson)
{
    bool was_denied = task->refund_state == REFUND_DENIED;

    if (lesson->outcome != OUTCOME_KNOWN && lesson->outcome != OUTCOME_NOT_FOUND)
        return 0;
    task->hint_attempts = 0;
    if (was_denied)
        task->refund_state = REFUND_READY; /* of what is left, if anything is */
    if (lesson->now_us >= payment_last_query_us(payment, task))
        learn_last_query(payment, task, lesson);
    if (lesson->outcome == OUTCOME_KNOWN)
        return learn_known_query(payment, task, was_denied, lesson);
    if (payment->observed == OBSERVED_SUCCEEDED || payment->is_quarantined)
        return 0; /* it was there: this says nothing of its money */
    if (payment->abandon_asked_us != 0)
        return learn_gone_unwanted(payment, task, lesson);
    learn_not_found(task);
    return 0;
}

/* Our refund was refused, and the books say that all of it went back: so it did, under names that they do
 * not tell. Of one that is in doubt they say the same: it was made. */
static unsigned
learn_gone(struct payment *payment, const struct task *task, const struct observation *observation,
           struct arena *arena, int64_t now_us)
{
    struct observation gone = { .source = SOURCE_REFUND, .refund_count = 1 };
    char id[UUID_TEXT_BYTES + 1];

    if (task->refund_state == REFUND_READY || !observation->is_paid_back ||
        !payment_refund_is_open(payment, arena))
        return 0;
    gone.refunds[0] = (struct refunded){ .id = task->refund_state == REFUND_DENIED
                                                   ? "unnamed"
                                                   : uuid_print(payment->record.id, id),
                                         .amount_minor = payment_refund_left(payment, arena) };
    return payment_observe(payment, &gone, arena, now_us);
}

static unsigned
learn_page_lost(struct payment *payment, struct task *task, const struct lesson *lesson)
{
    task->create_state = CREATE_THERE;
    if (payment->claim != CLAIM_OPEN || payment->abandon_asked_us != 0)
        return 0;
    task->abandon_step = ABANDON_CANCEL;
    return payment_page_lost(payment, lesson->now_us);
}

/* It settles this attempt, not the one before, of which nothing is known. */
static unsigned
learn_create_refused(struct payment *payment, struct task *task, const struct lesson *lesson)
{
    task->create_state = lesson->create_before == CREATE_MAYBE ? CREATE_REFUSED : CREATE_DOUBTED;
    payment_refused(payment, lesson->observation->code, lesson->observation->words, lesson->arena);
    payment_touched(payment, lesson->now_us);
    return CHANGE_OTHER;
}

static unsigned
learn_create(struct payment *payment, struct task *task, const struct lesson *lesson)
{
    bool is_asked_for_page = lesson->create_before == CREATE_PAGE_ASKED && payment->url[0] == '\0';

    if (lesson->outcome != OUTCOME_KNOWN && lesson->outcome != OUTCOME_REFUSED &&
        !lesson->observation->is_repeat)
        return 0;
    if (is_asked_for_page)
        return learn_page_lost(payment, task, lesson);
    if (lesson->outcome == OUTCOME_UNKNOWN)
        return 0; /* it was done before: the query tells how it stands */
    task->create_state = CREATE_THERE;
    task->queried_at_us = lesson->now_us; /* the poll plan begins here */
    task->attempts = 0;
    return lesson->outcome == OUTCOME_REFUSED ? learn_create_refused(payment, task, lesson) : 0;
}

/* What it brought the query after it tells, see cancel_unsure(); a word without books is looked after. */
static void
learn_cancel(struct task *task, const struct lesson *lesson)
{
    if (lesson->outcome == OUTCOME_NOT_FOUND && is_there(lesson->create_before))
        task->abandon_step = ABANDON_QUERY_GONE;
    if (lesson->outcome != OUTCOME_KNOWN)
        return;
    if (lesson->observation->currency == NULL && task->last_query_us == 0)
        task->query_wanted = true;
    last_query_again(task, lesson);
}

/* A payment that the provider does not find is not refunded there either. One that was made and leaves
 * something to pay back all the same is no progress. */
static unsigned
learn_refund(struct payment *payment, struct task *task, enum outcome outcome, int64_t now_us)
{
    if (outcome == OUTCOME_KNOWN)
        task->refund_state = REFUND_READY;
    if (outcome != OUTCOME_REFUSED && outcome != OUTCOME_NOT_FOUND)
        return 0;
    task->refund_state = REFUND_DENIED;
    if (payment_call_person(payment, TROUBLE_REFUND_REFUSED) == 0)
        return CHANGE_REFUND_REFUSED;
    payment_touched(payment, now_us);
    return CHANGE_REFUND_REFUSED | CHANGE_OTHER;
}

/* It is not there: it is sent again, by the backoff of its attempts. */
static unsigned
learn_query_refund(struct payment *payment, struct task *task, enum outcome outcome, int64_t now_us)
{
    if (outcome == OUTCOME_KNOWN || outcome == OUTCOME_NOT_FOUND)
        task->refund_state = REFUND_READY;
    return outcome == OUTCOME_REFUSED ? learn_refund(payment, task, outcome, now_us) : 0;
}

static unsigned
learn_task_end(struct payment *payment, struct task *task, const struct lesson *lesson)
{
    switch ((enum task_kind)task->kind) {
    case TASK_CREATE:
        return learn_create(payment, task, lesson);
    case TASK_QUERY:
        return learn_query(payment, task, lesson);
    case TASK_CANCEL:
        learn_cancel(task, lesson);
        break;
    case TASK_REFUND:
        return learn_refund(payment, task, lesson->outcome, lesson->now_us);
    case TASK_QUERY_REFUND:
        return learn_query_refund(payment, task, lesson->outcome, lesson->now_us);
    case TASK_NONE:
    case TASK_KIND_COUNT:
        break;
    }
    return 0;
}

/* How it stands was said, or that nothing of it is there or ever will be. */
static bool
is_word(const struct task *task, enum outcome outcome)
{
    return outcome == OUTCOME_KNOWN || (task->kind == TASK_QUERY && outcome == OUTCOME_NOT_FOUND) ||
           (task->kind == TASK_CREATE && outcome == OUTCOME_REFUSED);
}

/* It failed when the only create was refused; or, where an earlier one may have arrived, when the provider
 * does not know of it after its checkout would have ended. */
static unsigned
learn_refused_create(struct payment *payment, struct task *task, const struct lesson *lesson)
{
    const struct observation failed = { .source = SOURCE_CREATE, .observed = OBSERVED_FAILED };

    if (task->create_state == CREATE_DOUBTED && task->kind == TASK_QUERY &&
        lesson->outcome == OUTCOME_NOT_FOUND && task->last_query_done)
        task->create_state = CREATE_REFUSED;
    if (task->create_state != CREATE_REFUSED)
        return 0;
    return payment_observe(payment, &failed, lesson->arena, lesson->now_us);
}

static void
count_words(struct task *task, const struct lesson *lesson)
{
    if (lesson->observation->unreadable != NULL)
        task->unread++;
    else if (lesson->outcome != OUTCOME_UNKNOWN)
        task->unread = 0;
    if (is_word(task, lesson->outcome))
        task->silent_since_us = 0;
    else
        learn_nothing(task, lesson->now_us);
}

unsigned
payment_learn(struct payment *payment, struct task *task, int32_t lease, enum outcome outcome,
              const struct observation *observation, struct arena *arena, int64_t now_us)
{
    static const struct observation nothing;
    const struct lesson lesson = { .outcome = outcome,
                                   .observation = observation == NULL ? &nothing : observation,
                                   .create_before = task->create_state,
                                   .arena = arena,
                                   .now_us = now_us };
    unsigned changes = 0;

    if (outcome == OUTCOME_KNOWN)
        changes = payment_observe(payment, observation, arena, now_us);
    if ((changes & CHANGE_WANTS_QUERY) != 0)
        task->query_wanted = true;
    if (outcome == OUTCOME_KNOWN && !is_there(task->create_state))
        task->create_state = CREATE_THERE; /* also when this lease is not the newest any more */
    if (!task->is_leased || task->lease != lease)
        return changes | payment_replan(payment, task, arena, now_us);
    if (task->kind == TASK_QUERY && outcome == OUTCOME_KNOWN)
        changes |= learn_gone(payment, task, observation, arena, now_us);
    lease_end(task, now_us);
    count_words(task, &lesson);
    changes |= learn_task_end(payment, task, &lesson);
    changes |= learn_refused_create(payment, task, &lesson);
    return changes | payment_replan(payment, task, arena, now_us);
}

/* ---- what persons and time decide ---- */

unsigned
payment_settle(struct payment *payment, struct task *task, const char *comment, int64_t now_us)
{
    unsigned changes = payment_return(payment, now_us);

    assert(payment->claim == CLAIM_ABANDONED || payment->claim == CLAIM_RETURNED);
    payment->settle_asked_us = payment->changed_at_us = now_us;
    payment->settle_comment = comment;
    payment->version++;
    task->attempts = 0;
    if (task->refund_state == REFUND_READY)
        task->refund_state = REFUND_DENIED;
    if (!task->is_leased)
        task->due_us = TASK_NEVER_US; /* now, however long it had waited */
    return changes | CHANGE_OTHER;
}

unsigned
payment_give_up(struct payment *payment, struct task *task, struct arena *arena, int64_t now_us)
{
    unsigned changes = 0;

    if (task->give_up_us != 0 && now_us >= task->give_up_us)
        changes = payment_decide_abandon(payment, now_us);
    return changes | payment_replan(payment, task, arena, now_us);
}
