/* payment_plan.c -- What is to be asked of a payment's provider next, and when: a table of rules.
 *
 * The task is a function of the registers and of what is known of the create; it is planned anew
 * after whatever changed either. Waiting is a stored time, never a sleeping thread.
 *
 * A hint's query stands beside the plan: it goes before the plan's own task, unless another query was
 * made a moment ago. It neither counts as an attempt of the plan nor moves the time from which the plan's
 * backoff is counted, so hints, which any stranger can send, put off neither a cancel nor a refund.
 */
#include "account-svc/payment/payment.h"
#include "mesh/base/hash.h"

#include <assert.h>
#include <string.h>

#define BACKOFF_MIN_US SECOND_US
#define BACKOFF_ABANDON_US (5 * SECOND_US) /* somebody waits for the answer */
#define BACKOFF_WATCHED_US (15 * SECOND_US)
#define BACKOFF_HINT_US (30 * SECOND_US) /* while its checkout may be paid */
#define BACKOFF_MAX_US (300 * SECOND_US)
#define BACKOFF_REFUND_US (3600 * SECOND_US)
#define BACKOFF_SILENT_US (3600 * SECOND_US) /* long after the checkout's end */
#define SILENT_US (3600 * SECOND_US)

static const struct poll_step overdue[] = {
    { .count = 1, .gap_us = 60 * SECOND_US },
    { .count = 5, .gap_us = 300 * SECOND_US },
    { .count = 24, .gap_us = 3600 * SECOND_US },
    { .count = 0, .gap_us = 86400 * SECOND_US },
};

const struct pace payment_pace = { .watched_gap_us = 3 * SECOND_US, .overdue = overdue };

const char *
task_word(enum task_kind kind)
{
    static const char *const kinds[] = { "none",   "create", "query",
                                         "cancel", "refund", "query-refund" };

    assert(kind < TASK_KIND_COUNT);
    return kinds[kind];
}

const char *
errand_word(enum errand errand)
{
    static const char *const errands[] = { "create", "look", "refund", "ask", "cancel" };

    assert(errand < ERRAND_COUNT);
    return errands[errand];
}

const char *
outcome_word(enum outcome outcome)
{
    static const char *const outcomes[] = { "unknown", "known", "not-found", "refused" };

    assert(outcome < OUTCOME_COUNT);
    return outcomes[outcome];
}

/* ---- distances in time ---- */

/* A tenth more or less, the same for the same payment and count: after an outage they come apart. */
static int64_t
jittered(const struct task *task, int32_t count, int64_t gap_us)
{
    uint64_t hash = hash_end(
        hash_int(hash_bytes(HASH_SEED, &task->payment_id, sizeof task->payment_id), count));

    return gap_us - gap_us / 10 + (int64_t)(hash % (uint64_t)(gap_us / 5 + 1));
}

static int64_t
backoff_us(const struct task *task, int32_t attempts, int64_t max_us)
{
    int64_t gap_us = BACKOFF_MIN_US;

    for (int32_t i = 1; i < attempts && gap_us < max_us; i++)
        gap_us *= 2;
    return jittered(task, attempts, gap_us < max_us ? gap_us : max_us);
}

static int64_t
not_before(int64_t due_us, int64_t now_us)
{
    return due_us > now_us ? due_us : now_us;
}

/* After a failed attempt later than after none. */
static int64_t
due_after_attempts(const struct task *task, int64_t max_us, int64_t now_us)
{
    int64_t tried_us = task->tried_us == 0 ? now_us : task->tried_us;

    return task->attempts == 0
               ? now_us
               : not_before(tried_us + backoff_us(task, task->attempts, max_us), now_us);
}

/* The distance that queries keep from the last one. */
static int64_t
due_after_query(const struct task *task, int64_t gap_us, int64_t now_us)
{
    return not_before(task->queried_at_us + gap_us, now_us);
}

static const struct pace *
pace_of(const struct task *task)
{
    return task->pace == NULL ? &payment_pace : task->pace;
}

static int64_t
poll_gap_us(const struct task *task)
{
    const struct poll_step *step = pace_of(task)->overdue;
    int32_t left = task->polls;

    while (step->count != 0 && left >= step->count)
        left -= step++->count;
    return step->gap_us;
}

/* ---- situations ---- */

typedef bool situation(const struct payment *payment, const struct task *task, struct arena *arena);

static bool
is_unwanted(const struct payment *payment)
{
    return payment->abandon_asked_us != 0 && !observed_is_final(payment->observed);
}

bool
task_may_be_there(const struct task *task)
{
    return task->create_state != CREATE_UNSENT && task->create_state != CREATE_REFUSED &&
           task->create_state != CREATE_NEVER;
}

int64_t
payment_last_query_us(const struct payment *payment, const struct task *task)
{
    int64_t end_us = payment_checkout_end_us(payment) + EXPIRY_MARGIN_US;

    return end_us > task->last_query_us ? end_us : task->last_query_us;
}

static bool
is_to_be_settled(const struct payment *payment, const struct task *task, struct arena *arena)
{
    (void)arena;
    return payment->is_quarantined && payment->settle_asked_us != 0 &&
           task->refund_state == REFUND_DENIED;
}

static bool
is_quarantined(const struct payment *payment, const struct task *task, struct arena *arena)
{
    (void)task, (void)arena;
    return payment->is_quarantined;
}

static bool
is_refund_open(const struct payment *payment, const struct task *task, struct arena *arena)
{
    (void)task;
    return payment_refund_is_open(payment, arena);
}

/* What was sent may have been done; what was denied may have been done by others. */
static bool
is_refund_in_doubt(const struct payment *payment, const struct task *task, struct arena *arena)
{
    return task->refund_state == REFUND_IN_DOUBT && payment_refund_is_open(payment, arena);
}

static bool
is_refund_unsaid(const struct payment *payment, const struct task *task, struct arena *arena)
{
    return task->refund_state == REFUND_UNSAID && payment_refund_is_open(payment, arena);
}

static bool
is_refund_denied(const struct payment *payment, const struct task *task, struct arena *arena)
{
    return task->refund_state == REFUND_DENIED && payment_refund_is_open(payment, arena);
}

static bool
is_create_open(const struct payment *payment, const struct task *task, struct arena *arena)
{
    (void)arena;
    return payment->claim == CLAIM_OPEN && payment->abandon_asked_us == 0 &&
           !observed_is_final(payment->observed) &&
           (task->create_state == CREATE_UNSENT || task->create_state == CREATE_AGAIN);
}

/* The customer cannot pay it without its page, and only this can end it. */
static bool
is_page_unknown(const struct payment *payment, const struct task *task, struct arena *arena)
{
    (void)arena;
    return payment->claim == CLAIM_OPEN && payment->abandon_asked_us == 0 &&
           !observed_is_final(payment->observed) && payment->url[0] == '\0' &&
           task->create_state == CREATE_PAGELESS;
}

static bool
is_create_in_doubt(const struct payment *payment, const struct task *task, struct arena *arena)
{
    (void)arena;
    return payment->abandon_asked_us == 0 &&
           (task->create_state == CREATE_MAYBE || task->create_state == CREATE_MAYBE_AGAIN ||
            task->create_state == CREATE_PAGE_ASKED);
}

/* The books said that it is open; also after a webhook said that it is over. */
static bool
is_to_be_cancelled(const struct payment *payment, const struct task *task, struct arena *arena)
{
    (void)arena;
    return payment->abandon_asked_us != 0 && payment->observed != OBSERVED_SUCCEEDED &&
           task_may_be_there(task) && task->abandon_step == ABANDON_CANCEL;
}

/* Also when the claim was given up long ago: as long as the provider keeps it open, money can come. */
static bool
is_abandoned_now(const struct payment *payment, const struct task *task, struct arena *arena)
{
    (void)arena;
    return payment->abandon_asked_us != 0 && task_may_be_there(task) &&
           (payment->claim == CLAIM_OPEN || is_unwanted(payment));
}

/* The customer may be paying, or has not yet seen that it is over. */
static bool
is_watched(const struct payment *payment, const struct task *task, struct arena *arena)
{
    (void)arena;
    return payment->claim == CLAIM_OPEN && !observed_is_final(payment->observed) &&
           task_may_be_there(task) && task->watched_until_us > task->queried_at_us;
}

/* Money can still come: until the last query after the checkout's end. */
static bool
is_last_query_open(const struct payment *payment, const struct task *task, struct arena *arena)
{
    (void)arena;
    return payment->observed != OBSERVED_SUCCEEDED && task_may_be_there(task) &&
           !task->last_query_done;
}

static bool
is_undecided(const struct payment *payment, const struct task *task, struct arena *arena)
{
    (void)arena;
    return payment->claim == CLAIM_OPEN && !observed_is_final(payment->observed) &&
           task_may_be_there(task);
}

static bool
is_anything(const struct payment *payment, const struct task *task, struct arena *arena)
{
    (void)payment, (void)task, (void)arena;
    return true;
}

/* ---- when ---- */

/* An answer is worth less the longer the checkout is over, and least when it will be the same again. */
static int64_t
backoff_max_us(const struct payment *payment, const struct task *task, int64_t now_us)
{
    if (now_us < payment_expires_us(payment) + SILENT_US)
        return BACKOFF_MAX_US;
    return task->silent_since_us == 0 ? DAY_US : BACKOFF_SILENT_US;
}

typedef int64_t when(const struct payment *payment, const struct task *task, int64_t now_us);

static int64_t
never(const struct payment *payment, const struct task *task, int64_t now_us)
{
    (void)payment, (void)task, (void)now_us;
    return TASK_NEVER_US;
}

static int64_t
at_once(const struct payment *payment, const struct task *task, int64_t now_us)
{
    (void)payment;
    return due_after_attempts(task, BACKOFF_MAX_US, now_us);
}

static int64_t
refund_when(const struct payment *payment, const struct task *task, int64_t now_us)
{
    (void)payment;
    return due_after_attempts(task, BACKOFF_REFUND_US, now_us);
}

/* A saga waits for the claim, until it is decided. */
static int64_t
abandon_when(const struct payment *payment, const struct task *task, int64_t now_us)
{
    if (task->attempts <= 1)
        return now_us;
    return due_after_attempts(task,
                              payment->claim == CLAIM_OPEN ? BACKOFF_ABANDON_US
                                                           : backoff_max_us(payment, task, now_us),
                              now_us);
}

static int64_t
watched_when(const struct payment *payment, const struct task *task, int64_t now_us)
{
    (void)payment;
    return task->attempts > 0
               ? due_after_attempts(task, BACKOFF_WATCHED_US, now_us)
               : due_after_query(task, jittered(task, task->lease, pace_of(task)->watched_gap_us),
                                 now_us);
}

static int64_t
poll_when(const struct payment *payment, const struct task *task, int64_t now_us)
{
    int64_t end_us = payment_last_query_us(payment, task), due_us;

    if (task->attempts > 0)
        return due_after_attempts(task, backoff_max_us(payment, task, now_us), now_us);
    due_us = due_after_query(task, jittered(task, task->polls, poll_gap_us(task)), now_us);
    if (task->last_query_done)
        return due_us;
    if (observed_is_final(payment->observed) || payment->claim != CLAIM_OPEN || due_us > end_us)
        due_us = end_us;
    return not_before(due_us, now_us);
}

/* ---- what hints want ---- */

static bool
hint_waits(const struct task *task)
{
    return task->query_wanted && task->create_state != CREATE_UNSENT;
}

static int64_t
hint_when(const struct payment *payment, const struct task *task, int64_t now_us)
{
    int64_t max_us = now_us < payment_checkout_end_us(payment)
                         ? BACKOFF_HINT_US
                         : backoff_max_us(payment, task, now_us);
    int64_t gap_us = task->hint_attempts == 0 ? 0 : backoff_us(task, task->hint_attempts, max_us);

    return due_after_query(task, gap_us > QUERY_GAP_MIN_US ? gap_us : QUERY_GAP_MIN_US, now_us);
}

/* ---- the plan: of the rules that fit, the first ---- */

static const struct plan_rule {
    situation *fits;
    enum task_kind kind;
    enum errand errand;
    when *due;
} plan[] = {
    /* clang-format off */
    { is_to_be_settled,   TASK_QUERY,        ERRAND_ASK,    at_once },      /* a person wants it paid back: the books say what was taken */
    { is_refund_in_doubt, TASK_QUERY_REFUND, ERRAND_ASK,    refund_when },  /* the refund may have been made */
    { is_refund_unsaid,   TASK_QUERY,        ERRAND_ASK,    refund_when },  /* how the refund stands was not said: the books list what went back */
    { is_refund_denied,   TASK_QUERY,        ERRAND_ASK,    refund_when },  /* the refund was refused: the books say what is left */
    { is_refund_open,     TASK_REFUND,       ERRAND_REFUND, refund_when },  /* paid, and the order does not take it */
    { is_quarantined,     TASK_NONE,         ERRAND_ASK,    never },        /* the provider's books differ from ours: a person decides */
    { is_create_open,     TASK_CREATE,       ERRAND_CREATE, at_once },      /* the provider has not heard of it */
    { is_page_unknown,    TASK_CREATE,       ERRAND_CREATE, at_once },      /* the provider has it, and did not say where it can be paid */
    { is_create_in_doubt, TASK_QUERY,        ERRAND_LOOK,   at_once },      /* the create may have arrived */
    { is_to_be_cancelled, TASK_CANCEL,       ERRAND_CANCEL, abandon_when }, /* its order has given it up */
    { is_abandoned_now,   TASK_QUERY,        ERRAND_ASK,    abandon_when }, /* Abandon waits for the last word */
    { is_watched,         TASK_QUERY,        ERRAND_LOOK,   watched_when }, /* the customer looks at the order */
    { is_last_query_open, TASK_QUERY,        ERRAND_ASK,    poll_when },    /* until its checkout has ended, and once after */
    { is_undecided,       TASK_QUERY,        ERRAND_ASK,    poll_when },    /* the provider has not decided */
    { is_anything,        TASK_NONE,         ERRAND_ASK,    never },        /* nothing is open */
    /* clang-format on */
};

static const struct plan_rule *
plan_find(const struct payment *payment, const struct task *task, struct arena *arena)
{
    const struct plan_rule *rule = plan;

    while (!rule->fits(payment, task, arena))
        rule++;
    return rule;
}

/* ---- Abandon's end ---- */

/* Nothing at the provider can still become money by itself, or is known to be over there. */
static bool
abandon_is_decided(const struct payment *payment, const struct task *task)
{
    if (task->is_leased)
        return false; /* what is under way is waited out */
    if (!task_may_be_there(task) || payment->is_quarantined)
        return true;
    return observed_is_final(payment->observed) && task->abandon_step != ABANDON_QUERY;
}

static bool
abandon_waits(const struct payment *payment)
{
    return payment->claim == CLAIM_OPEN && payment->abandon_asked_us != 0;
}

/* The plan's rule, or before it the query that a hint wants. */
static void
task_set(const struct payment *payment, struct task *task, struct arena *arena, int64_t now_us)
{
    const struct plan_rule *rule = plan_find(payment, task, arena);
    int64_t due_us = rule->due(payment, task, now_us);
    enum task_kind kind = rule->kind;
    enum errand errand = rule->errand;
    bool is_by_hint = false;

    if (hint_waits(task)) {
        int64_t hint_us = hint_when(payment, task, now_us);

        is_by_hint = hint_us < due_us || (hint_us == due_us && kind != TASK_QUERY);
        if (is_by_hint) {
            kind = TASK_QUERY;
            errand = payment->claim == CLAIM_OPEN ? ERRAND_LOOK : ERRAND_ASK;
            due_us = hint_us;
        }
    }
    /* A task that waits already is not put off because news came meanwhile. */
    if (task->kind != (int32_t)kind || task->is_by_hint != is_by_hint || kind == TASK_NONE ||
        due_us < task->due_us)
        task->due_us = due_us;
    task->kind = (int32_t)kind;
    task->errand = (int32_t)errand;
    task->is_by_hint = is_by_hint;
}

unsigned
payment_plan(struct payment *payment, struct task *task, struct arena *arena, int64_t now_us)
{
    unsigned changes = 0;

    if (abandon_waits(payment) && abandon_is_decided(payment, task))
        changes = payment_decide_abandon(payment, now_us);
    task->give_up_us = abandon_waits(payment) ? payment->abandon_asked_us + ABANDON_GIVE_UP_US : 0;
    if (!task->is_leased)
        task_set(payment, task, arena, now_us);
    return changes;
}
