/* payment_plan.c -- What is to be asked of a payment's provider next, and when: a table of rules.
 *
 * The task is a function of the registers and of what is known of the create; it is planned anew
 * after whatever changed either. Waiting is a stored time, never a sleeping thread.
 */
#include "account-svc/payment.h"

#include <assert.h>
#include <string.h>

#define BACKOFF_MIN_US SECOND_US
#define BACKOFF_ABANDON_US (5 * SECOND_US) /* somebody waits for the answer */
#define BACKOFF_MAX_US (300 * SECOND_US)
#define BACKOFF_REFUND_US (3600 * SECOND_US)

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
outcome_word(enum outcome outcome)
{
    static const char *const outcomes[] = { "unknown", "known", "not-found", "refused" };

    assert(outcome < OUTCOME_COUNT);
    return outcomes[outcome];
}

/* ---- distances in time ---- */

/* A tenth more or less, the same for the same payment and lease: after an outage they come apart. */
static int64_t
jittered(const struct task *task, int64_t gap_us)
{
    uint64_t hash = hash_end(
        hash_int(hash_bytes(HASH_SEED, &task->payment_id, sizeof task->payment_id), task->lease));

    return gap_us - gap_us / 10 + (int64_t)(hash % (uint64_t)(gap_us / 5 + 1));
}

static int64_t
backoff_us(const struct task *task, int64_t max_us)
{
    int64_t gap_us = BACKOFF_MIN_US;

    for (int32_t i = 1; i < task->attempts && gap_us < max_us; i++)
        gap_us *= 2;
    return jittered(task, gap_us < max_us ? gap_us : max_us);
}

/* After a failed attempt later than after none. */
static int64_t
due_after_attempts(const struct task *task, int64_t max_us, int64_t now_us)
{
    return task->attempts == 0 ? now_us : now_us + backoff_us(task, max_us);
}

/* When the hint, or the person who looks, may be followed. */
static int64_t
due_by_hint(const struct task *task, int64_t gap_us, int64_t now_us)
{
    int64_t due_us = task->queried_at_us + gap_us;

    return due_us > now_us ? due_us : now_us;
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

static bool
may_be_there(const struct task *task)
{
    return task->create_state != CREATE_UNSENT && task->create_state != CREATE_REFUSED;
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

static bool
is_create_in_doubt(const struct payment *payment, const struct task *task, struct arena *arena)
{
    (void)arena;
    return payment->abandon_asked_us == 0 &&
           (task->create_state == CREATE_MAYBE || task->create_state == CREATE_MAYBE_AGAIN);
}

static bool
is_to_be_asked(const struct payment *payment, const struct task *task, struct arena *arena)
{
    (void)payment, (void)arena;
    return task->query_wanted && may_be_there(task);
}

static bool
is_to_be_cancelled(const struct payment *payment, const struct task *task, struct arena *arena)
{
    (void)arena;
    return is_unwanted(payment) && may_be_there(task) && task->abandon_step == ABANDON_CANCEL &&
           !(payment->claim != CLAIM_OPEN && task->last_query_done);
}

static bool
is_abandoned_now(const struct payment *payment, const struct task *task, struct arena *arena)
{
    (void)arena;
    if (payment->abandon_asked_us == 0 || !may_be_there(task))
        return false;
    return payment->claim == CLAIM_OPEN || (is_unwanted(payment) && !task->last_query_done);
}

/* The customer may be paying, or has not yet seen that it is over. */
static bool
is_watched(const struct payment *payment, const struct task *task, struct arena *arena)
{
    (void)arena;
    return payment->claim == CLAIM_OPEN && !observed_is_final(payment->observed) &&
           may_be_there(task) && task->watched_until_us > task->queried_at_us;
}

/* Money can still come: until the last query after the checkout's end. */
static bool
is_last_query_open(const struct payment *payment, const struct task *task, struct arena *arena)
{
    (void)arena;
    return payment->observed != OBSERVED_SUCCEEDED && may_be_there(task) && !task->last_query_done;
}

static bool
is_undecided(const struct payment *payment, const struct task *task, struct arena *arena)
{
    (void)arena;
    return payment->claim == CLAIM_OPEN && !observed_is_final(payment->observed) &&
           may_be_there(task);
}

static bool
is_anything(const struct payment *payment, const struct task *task, struct arena *arena)
{
    (void)payment, (void)task, (void)arena;
    return true;
}

/* ---- when ---- */

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

static int64_t
abandon_when(const struct payment *payment, const struct task *task, int64_t now_us)
{
    if (task->attempts <= 1)
        return now_us;
    return now_us +
           backoff_us(task, payment->claim == CLAIM_OPEN ? BACKOFF_ABANDON_US : BACKOFF_MAX_US);
}

static int64_t
hint_when(const struct payment *payment, const struct task *task, int64_t now_us)
{
    (void)payment;
    return task->attempts > 0 ? due_after_attempts(task, BACKOFF_MAX_US, now_us)
                              : due_by_hint(task, QUERY_GAP_MIN_US, now_us);
}

static int64_t
watched_when(const struct payment *payment, const struct task *task, int64_t now_us)
{
    (void)payment;
    return task->attempts > 0
               ? due_after_attempts(task, BACKOFF_MAX_US, now_us)
               : due_by_hint(task, jittered(task, pace_of(task)->watched_gap_us), now_us);
}

static int64_t
poll_when(const struct payment *payment, const struct task *task, int64_t now_us)
{
    int64_t end_us = payment->expires_at_us + EXPIRY_MARGIN_US, due_us;

    if (task->attempts > 0)
        return due_after_attempts(task, BACKOFF_MAX_US, now_us);
    due_us = due_by_hint(task, jittered(task, poll_gap_us(task)), now_us);
    if (task->last_query_done)
        return due_us;
    if (observed_is_final(payment->observed) || payment->claim != CLAIM_OPEN || due_us > end_us)
        due_us = end_us;
    return due_us > now_us ? due_us : now_us;
}

/* ---- the plan: of the rules that fit, the first ---- */

static const struct plan_rule {
    situation *fits;
    enum task_kind kind;
    when *due;
    const char *because;
} plan[] = {
    /* clang-format off */
    { is_to_be_settled,   TASK_QUERY,  at_once,      "a person wants it paid back: the books say what was taken" },
    { is_refund_in_doubt, TASK_QUERY_REFUND, at_once, "the refund may have been made" },
    { is_refund_denied,   TASK_QUERY,  at_once,      "the refund was refused: the books say what is left" },
    { is_refund_open,     TASK_REFUND, refund_when,  "paid, and the order does not take it" },
    { is_quarantined,     TASK_NONE,   never,        "the provider's books differ from ours: a person decides" },
    { is_create_open,     TASK_CREATE, at_once,      "the provider has not heard of it" },
    { is_create_in_doubt, TASK_QUERY,  at_once,      "the create may have arrived" },
    { is_to_be_cancelled, TASK_CANCEL, abandon_when, "nobody waits for it any more" },
    { is_abandoned_now,   TASK_QUERY,  abandon_when, "Abandon waits for the last word" },
    { is_to_be_asked,     TASK_QUERY,  hint_when,    "somebody said what is not to be believed by itself" },
    { is_watched,         TASK_QUERY,  watched_when, "somebody looks at the order" },
    { is_last_query_open, TASK_QUERY,  poll_when,    "until its checkout has ended, and once after" },
    { is_undecided,       TASK_QUERY,  poll_when,    "the provider has not decided" },
    { is_anything,        TASK_NONE,   never,        "nothing is open" },
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

const char *
payment_plan_because(const struct payment *payment, const struct task *task, struct arena *arena)
{
    return plan_find(payment, task, arena)->because;
}

/* ---- Abandon's end ---- */

/* Nothing at the provider can still become money by itself, or is known to be over there. */
static bool
abandon_is_decided(const struct payment *payment, const struct task *task)
{
    if (task->is_leased)
        return false; /* what is under way is waited out */
    if (!may_be_there(task) || payment->is_quarantined)
        return true;
    return observed_is_final(payment->observed) && task->abandon_step != ABANDON_QUERY;
}

static unsigned
abandon_decide(struct payment *payment, int64_t now_us)
{
    enum claim claim = claim_after((enum claim)payment->claim, CLAIM_GIVE_UP);

    if (payment->claim == (int32_t)claim)
        return 0;
    payment->claim = (int32_t)claim;
    payment->version++;
    payment->changed_at_us = now_us;
    return CHANGE_CLAIM;
}

static bool
abandon_waits(const struct payment *payment)
{
    return payment->claim == CLAIM_OPEN && payment->abandon_asked_us != 0;
}

unsigned
payment_plan(struct payment *payment, struct task *task, struct arena *arena, int64_t now_us)
{
    const struct plan_rule *rule;
    unsigned changes = 0;
    int64_t due_us;

    if (abandon_waits(payment) && abandon_is_decided(payment, task))
        changes = abandon_decide(payment, now_us);
    task->give_up_us = abandon_waits(payment) ? payment->abandon_asked_us + ABANDON_GIVE_UP_US : 0;
    if (task->is_leased)
        return changes;
    rule = plan_find(payment, task, arena);
    due_us = rule->due(payment, task, now_us);
    /* What waits already is not put off because somebody spoke meanwhile. */
    if (task->kind != (int32_t)rule->kind || rule->kind == TASK_NONE || due_us < task->due_us)
        task->due_us = due_us;
    task->kind = (int32_t)rule->kind;
    return changes;
}

/* From here on the task may be planned anew: what was due was done. */
static void
lease_end(struct task *task)
{
    task->is_leased = false;
    task->due_us = TASK_NEVER_US;
}

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

    if (abandon_waits(payment) && now_us >= task->give_up_us)
        changes = abandon_decide(payment, now_us);
    return changes | payment_plan(payment, task, arena, now_us);
}

/* ---- leases, and what they bring ---- */

enum task_kind
payment_lease(struct payment *payment, struct task *task, struct arena *arena, int64_t now_us)
{
    if (task->due_us > now_us)
        return TASK_NONE;
    if (task->is_leased) { /* whoever had it is gone: it may have happened */
        lease_end(task);
        payment_plan(payment, task, arena, now_us);
        if (task->due_us > now_us)
            return TASK_NONE;
    }
    if (task->kind == TASK_NONE)
        return TASK_NONE;
    if (task->kind == TASK_CREATE) {
        assert(payment->abandon_asked_us == 0);
        task->create_state =
            task->create_state == CREATE_UNSENT ? CREATE_MAYBE : CREATE_MAYBE_AGAIN;
    }
    if (task->kind == TASK_REFUND)
        task->refund_state = REFUND_IN_DOUBT;
    task->is_leased = true;
    task->lease++;
    task->attempts++;
    task->due_us = now_us + TASK_LEASE_US;
    return (enum task_kind)task->kind;
}

/* Proves nothing while a create may be under way: it is sent again under the same key, or, for one that
 * nobody wants, asked for again. An answer all the same, so what comes next need not wait, except
 * after a create that was sent again and is not there either: it brought nothing. */
static void
learn_not_found(const struct payment *payment, struct task *task)
{
    if (payment->abandon_asked_us != 0)
        return;
    if (task->create_state != CREATE_MAYBE_AGAIN)
        task->attempts = 0;
    if (task->create_state == CREATE_MAYBE || task->create_state == CREATE_MAYBE_AGAIN)
        task->create_state = CREATE_AGAIN;
    else
        task->polls++;
}

static void
learn_query(const struct payment *payment, struct task *task, enum outcome outcome, int64_t now_us)
{
    bool was_denied = task->refund_state == REFUND_DENIED;

    task->queried_at_us = now_us;
    task->query_wanted = false;
    if (was_denied)
        task->refund_state = REFUND_READY; /* of what is left, if anything is */
    if (now_us >= payment->expires_at_us + EXPIRY_MARGIN_US)
        task->last_query_done = true;
    if (outcome == OUTCOME_NOT_FOUND) {
        learn_not_found(payment, task);
        return;
    }
    task->create_state = CREATE_THERE;
    task->polls++;
    /* A cancel or a refund that changed nothing is an attempt that brought nothing. */
    if (!was_denied &&
        (task->abandon_step != ABANDON_QUERY_AGAIN || observed_is_final(payment->observed)))
        task->attempts = 0;
    if (payment->abandon_asked_us != 0 && !observed_is_final(payment->observed))
        task->abandon_step = ABANDON_CANCEL;
    else if (payment->abandon_asked_us != 0)
        task->abandon_step = ABANDON_QUERY_AGAIN;
}

/* Our refund was refused, and the books say that all of it went back: so it did, under names that they do
 * not tell. */
static unsigned
learn_gone(struct payment *payment, const struct observation *observation, struct arena *arena,
           int64_t now_us)
{
    struct observation gone = { .source = SOURCE_REFUND, .refund_count = 1 };

    if (!observation->is_paid_back || !payment_refund_is_open(payment, arena))
        return 0;
    gone.refunds[0] =
        (struct refunded){ .id = "unnamed", .amount_minor = payment_refund_left(payment, arena) };
    return payment_observe(payment, &gone, arena, now_us);
}

static void
learn_create(struct task *task, enum outcome outcome, int64_t now_us)
{
    if (outcome == OUTCOME_KNOWN) {
        task->create_state = CREATE_THERE;
        task->queried_at_us = now_us; /* the poll plan begins here */
        task->attempts = 0;
    } else if (outcome == OUTCOME_REFUSED) {
        /* It settles this attempt, not the one before, of which nothing is known. */
        task->create_state = task->create_state == CREATE_MAYBE ? CREATE_REFUSED : CREATE_DOUBTED;
        task->queried_at_us = now_us;
        task->attempts = 0;
    }
}

/* Whatever the provider said to the cancel, the next query tells. */
static void
learn_cancel(struct task *task, enum outcome outcome)
{
    if (outcome != OUTCOME_UNKNOWN)
        task->abandon_step = ABANDON_QUERY_AGAIN;
}

/* A payment that the provider does not find is not refunded there either. */
static unsigned
learn_refund(struct payment *payment, struct task *task, enum outcome outcome, int64_t now_us)
{
    if (outcome == OUTCOME_KNOWN) {
        task->attempts = 0;
        task->refund_state = REFUND_READY;
    }
    if (outcome != OUTCOME_REFUSED && outcome != OUTCOME_NOT_FOUND)
        return 0;
    task->refund_state = REFUND_DENIED;
    return CHANGE_REFUND_REFUSED | payment_call_person(payment, now_us);
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
learn_task_end(struct payment *payment, struct task *task, enum outcome outcome, int64_t now_us)
{
    switch ((enum task_kind)task->kind) {
    case TASK_CREATE:
        learn_create(task, outcome, now_us);
        break;
    case TASK_QUERY:
        if (outcome == OUTCOME_KNOWN || outcome == OUTCOME_NOT_FOUND)
            learn_query(payment, task, outcome, now_us);
        break;
    case TASK_CANCEL:
        learn_cancel(task, outcome);
        break;
    case TASK_REFUND:
        return learn_refund(payment, task, outcome, now_us);
    case TASK_QUERY_REFUND:
        return learn_query_refund(payment, task, outcome, now_us);
    case TASK_NONE:
    case TASK_KIND_COUNT:
        break;
    }
    return 0;
}

/* It failed when the only create was refused; or, where an earlier one may have arrived, when the provider
 * does not know of it after its checkout would have ended. */
static unsigned
learn_refused_create(struct payment *payment, struct task *task, enum outcome outcome,
                     struct arena *arena, int64_t now_us)
{
    const struct observation failed = { .source = SOURCE_CREATE, .observed = OBSERVED_FAILED };

    if (task->create_state == CREATE_DOUBTED && task->kind == TASK_QUERY &&
        outcome == OUTCOME_NOT_FOUND && task->last_query_done)
        task->create_state = CREATE_REFUSED;
    if (task->create_state != CREATE_REFUSED)
        return 0;
    return payment_observe(payment, &failed, arena, now_us);
}

unsigned
payment_learn(struct payment *payment, struct task *task, int32_t lease, enum outcome outcome,
              const struct observation *observation, struct arena *arena, int64_t now_us)
{
    unsigned changes = 0;

    if (outcome == OUTCOME_KNOWN)
        changes = payment_observe(payment, observation, arena, now_us);
    if ((changes & CHANGE_WANTS_QUERY) != 0)
        task->query_wanted = true;
    if (outcome == OUTCOME_KNOWN && task->create_state != CREATE_THERE)
        task->create_state = CREATE_THERE; /* also when this lease is not the newest any more */
    if (task->is_leased && task->lease == lease) {
        if (task->kind == TASK_QUERY && task->refund_state == REFUND_DENIED &&
            outcome == OUTCOME_KNOWN)
            changes |= learn_gone(payment, observation, arena, now_us);
        lease_end(task);
        changes |= learn_task_end(payment, task, outcome, now_us);
        changes |= learn_refused_create(payment, task, outcome, arena, now_us);
    }
    return changes | payment_plan(payment, task, arena, now_us);
}
