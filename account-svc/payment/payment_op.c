/* payment_op.c -- Ops on payments: rows in, the rules of payment.c and payment_plan.c, rows out. */
#include "account-svc/payment/payment_op.h"
#include "mesh/base/log.h"
#include "mesh/store/event.h"

#include <assert.h>
#include <string.h>

/* A payment with its task, as an op finds them, and what they were before it. */
struct subject {
    struct batch_rows *rows;
    struct payment *payment;
    struct task *task; /* NULL: a tombstone */
    struct arena *arena;
    struct task task_before;
    int32_t version_before, trouble_before;
};

static const struct pace *
pace_of(const struct op *op, const char *provider)
{
    const struct payment_owner *owner = op->owner;

    return owner == NULL || owner->pace_of == NULL ? NULL : owner->pace_of(owner, provider);
}

static bool
subject_find(const struct op *op, struct batch_rows *rows, struct uuid payment_id,
             struct subject *ret_subject)
{
    struct subject subject = { .rows = rows, .arena = batch_arena(rows) };

    subject.payment = batch_find_uuid(rows, PAYMENT_PAYMENT, payment_id);
    if (subject.payment == NULL || subject.payment->claim == CLAIM_NONE)
        return false;
    subject.task = batch_find_uuid(rows, PAYMENT_TASK, payment_id);
    subject.version_before = subject.payment->version;
    subject.trouble_before = subject.payment->trouble;
    if (subject.task != NULL) {
        subject.task->pace = pace_of(op, subject.task->provider);
        subject.task_before = *subject.task;
    }
    *ret_subject = subject;
    return true;
}

static void
payment_news(struct batch_rows *rows, const struct payment *payment, const char *status,
             int32_t version)
{
    struct json_writer json = { 0 };
    struct event event;

    payment_event(payment, status, batch_arena(rows), &json, &event);
    event.version = version;
    batch_event(rows, &event);
    json_writer_free(&json);
}

/* What went back is the newest version; what it had been before, the one below (payment_observe). */
static void
changes_news(struct batch_rows *rows, const struct payment *payment, unsigned changes)
{
    bool is_refunded = (changes & CHANGE_REFUNDS) != 0;

    if ((changes & CHANGE_OBSERVED) != 0)
        payment_news(rows, payment, observed_word((enum observed)payment->observed),
                     payment->version - (is_refunded ? 1 : 0));
    if (is_refunded)
        payment_news(rows, payment, "REFUNDED", payment->version);
}

/* An operator must act, or need not any more. */
static void
trouble_log(const struct payment *payment)
{
    char id[UUID_TEXT_BYTES + 1];

    if (payment->trouble == TROUBLE_NONE)
        log_info("payment=%s provider=%s event=PAYMENT_TROUBLE_OVER",
                 uuid_print(payment->record.id, id), payment->provider);
    else
        log_error("payment=%s provider=%s event=PAYMENT_TROUBLE trouble=%s claim=%s because=\"%s\""
                  " next=\"sagactl payments lists it; look at the provider's side of it\"",
                  uuid_print(payment->record.id, id), payment->provider,
                  trouble_word((enum trouble)payment->trouble),
                  claim_word((enum claim)payment->claim),
                  trouble_because((enum trouble)payment->trouble));
}

/* What became of the payment, under the trace of the order that it pays for: the one that told of it, a
 * webhook's or a sweep's, has its own lines. */
static void
subject_log(const struct subject *subject, unsigned changes)
{
    const struct payment *payment = subject->payment;
    struct log_trace before = log_trace_begin(payment->traceparent);
    char id[UUID_TEXT_BYTES + 1];

    if ((changes & CHANGE_REFUND_REFUSED) != 0)
        log_error("payment=%s provider=%s refund=refused left_minor=%lld"
                  " because=\"it is tried again, ever more rarely; sagactl payments lists it\"",
                  uuid_print(payment->record.id, id), payment->provider,
                  (long long)payment_refund_left(payment, subject->arena));
    if (payment->trouble != subject->trouble_before)
        trouble_log(payment);
    if (payment->version != subject->version_before)
        log_info("payment=%s observed=%s claim=%s version=%d quarantined=%s",
                 uuid_print(payment->record.id, id),
                 observed_word((enum observed)payment->observed),
                 claim_word((enum claim)payment->claim), payment->version,
                 payment->is_quarantined ? "yes" : "no");
    log_trace_end(&before);
}

/* Saves what has changed, and makes news of what is news. */
static void
subject_end(struct subject *subject, unsigned changes)
{
    struct payment *payment = subject->payment;

    if (subject->task != NULL &&
        memcmp(&subject->task_before, subject->task, sizeof *subject->task) != 0)
        batch_changed(subject->rows, subject->task);
    subject_log(subject, changes);
    if (payment->version == subject->version_before)
        return;
    payment->signal_due_us = payment_signal_due_us(payment, payment->changed_at_us);
    batch_changed(subject->rows, payment);
    changes_news(subject->rows, payment, changes);
}

static void
touch_payment(struct uuid payment_id, struct batch_touch *touch)
{
    batch_touch_uuid(touch, PAYMENT_PAYMENT, payment_id);
    batch_touch_uuid(touch, PAYMENT_TASK, payment_id);
}

/* ---- Create ---- */

void
create_payment_touch(const void *op, struct batch_touch *touch)
{
    touch_payment(((const struct create_payment *)op)->op.id, touch);
}

static struct payment *
payment_make(const struct create_payment *create, struct batch_rows *rows)
{
    struct payment *payment = batch_add_uuid(rows, PAYMENT_PAYMENT, create->op.id);

    batch_record_fill(rows, &payment->record, &create->op);
    payment->order_id = create->order_id;
    payment->provider = batch_keep(rows, create->provider);
    payment->amount_minor = create->amount_minor;
    payment->currency = batch_keep(rows, create->currency);
    payment->description = batch_keep(rows, create->description);
    payment->return_url = batch_keep(rows, create->return_url);
    payment->observed = OBSERVED_CREATED;
    payment->claim = CLAIM_OPEN;
    payment->version = 1;
    payment->url = payment->reference = payment->refunds = "";
    payment->booked_currency = payment->settle_comment = "";
    payment->failure_reason = payment->failure_detail = "";
    payment->ends_at_us = create->op.now_us + create->expires_seconds * SECOND_US;
    payment->expires_at_us = payment->ends_at_us; /* until the provider says another time */
    payment->created_at_us = payment->changed_at_us = create->op.now_us;
    payment->signal_due_us = payment_signal_due_us(payment, create->op.now_us);
    payment->traceparent = batch_keep(rows, create->op.traceparent);
    return payment;
}

void
create_payment_decide(void *op, struct batch_rows *rows)
{
    struct create_payment *create = op;
    struct payment *payment;
    struct task *task;

    if (batch_find_uuid(rows, PAYMENT_PAYMENT, create->op.id) != NULL)
        problem_refuse(&create->op.problem, "PAYMENT_ABANDONED", NULL,
                       "this was abandoned before it arrived");
    op_record(rows, &create->op, "CreatePayment");
    if (create->op.problem.error != ERR_OK)
        return;
    payment = payment_make(create, rows);
    task = batch_add_uuid(rows, PAYMENT_TASK, create->op.id);
    task->provider = payment->provider;
    task->pace = pace_of(&create->op, task->provider);
    payment_replan(payment, task, batch_arena(rows), create->op.now_us);
    payment_news(rows, payment, observed_word(OBSERVED_CREATED), payment->version);
}

/* ---- Observe ---- */

const char *
observe_outcome_word(enum observe_outcome outcome)
{
    static const char *const outcomes[] = { "REFUSED", "STORED", "DUPLICATE",
                                            "IGNORED", "QUERY",  "UNKNOWN_PAYMENT" };

    assert(outcome < OBSERVE_COUNT);
    return outcomes[outcome];
}

void
observe_payment_touch(const void *op, struct batch_touch *touch)
{
    const struct observe_payment *observe = op;

    if (observe->inbox_key != NULL)
        batch_touch_text(touch, PAYMENT_INBOX, observe->inbox_key);
    if (!uuid_is_nil(observe->payment_id))
        touch_payment(observe->payment_id, touch);
}

/* True: it was here before. */
static bool
inbox_take(const struct observe_payment *observe, struct batch_rows *rows)
{
    struct inbox *inbox = batch_find_text(rows, PAYMENT_INBOX, observe->inbox_key);

    if (inbox != NULL)
        return true;
    inbox = batch_add_text(rows, PAYMENT_INBOX, observe->inbox_key);
    inbox->request_id = observe->op.id;
    inbox->payment_id = observe->payment_id;
    inbox->received_at_us = observe->op.now_us;
    return false;
}

/* Those who watch say so every second or so; not each time is a change. */
static void
task_watch(struct task *task, int64_t now_us)
{
    if (task->watched_until_us < now_us + WATCHED_US - WATCHED_AGAIN_US)
        task->watched_until_us = now_us + WATCHED_US;
}

/* The payment that it speaks of: here, not a tombstone, and of the provider that speaks. */
static bool
observe_finds(const struct observe_payment *observe, struct batch_rows *rows,
              struct subject *ret_subject)
{
    return !uuid_is_nil(observe->payment_id) &&
           subject_find(&observe->op, rows, observe->payment_id, ret_subject) &&
           ret_subject->task != NULL &&
           (observe->provider == NULL ||
            strcmp(observe->provider, ret_subject->payment->provider) == 0);
}

/* A verified webhook is the provider's word; anything else makes a query due, and so does a word that is not
 * known here. The inbox row is the
 * record of a webhook, and a hint leaves none: both do nothing when repeated. */
void
observe_payment_decide(void *op, struct batch_rows *rows)
{
    struct observe_payment *observe = op;
    struct subject subject;
    unsigned changes = 0;
    int64_t now_us = observe->op.now_us;

    if (observe->inbox_key != NULL && inbox_take(observe, rows))
        return;
    if (!observe_finds(observe, rows, &subject))
        return;
    if (observe->is_verified)
        changes = payment_observe(subject.payment, &observe->observation, subject.arena, now_us);
    if (observe->hint == HINT_WATCHED)
        task_watch(subject.task, now_us);
    else if (!observe->is_verified || (changes & CHANGE_WANTS_QUERY) != 0 ||
             observe->observation.observed == OBSERVED_NONE)
        subject.task->query_wanted = true;
    if ((changes & CHANGE_OBSERVED) != 0)
        subject.task->attempts = 0; /* an answer, if not to our question */
    changes |= payment_replan(subject.payment, subject.task, subject.arena, now_us);
    subject_end(&subject, changes);
}

void
observe_payment_answer(void *op, struct batch_rows *rows)
{
    struct observe_payment *observe = op;
    const struct inbox *inbox = observe->inbox_key == NULL
                                    ? NULL
                                    : batch_find_text(rows, PAYMENT_INBOX, observe->inbox_key);
    struct subject subject;

    if (inbox != NULL && !uuid_equal(inbox->request_id, observe->op.id))
        observe->outcome = OBSERVE_DUPLICATE;
    else if (uuid_is_nil(observe->payment_id) && !observe->is_of_payment)
        observe->outcome = OBSERVE_IGNORED;
    else if (!observe_finds(observe, rows, &subject))
        observe->outcome = OBSERVE_UNKNOWN_PAYMENT;
    else
        observe->outcome = observe->is_verified ? OBSERVE_STORED : OBSERVE_QUERY;
}

/* ---- Abandon and Refund ---- */

void
undo_payment_touch(const void *op, struct batch_touch *touch)
{
    touch_payment(((const struct undo_payment *)op)->payment_id, touch);
}

/* The undo of what never arrived: a late Create with this id is refused. */
static void
payment_bury(const struct undo_payment *undo, struct batch_rows *rows)
{
    struct payment *payment = batch_add_uuid(rows, PAYMENT_PAYMENT, undo->payment_id);

    payment->record.reason = "PAYMENT_ABANDONED";
    payment->record.detail = "abandoned before it arrived";
    payment->provider = payment->currency = payment->description = payment->return_url = "";
    payment->url = payment->reference = payment->refunds = payment->traceparent = "";
    payment->booked_currency = payment->settle_comment = "";
    payment->failure_reason = payment->failure_detail = "";
    payment->claim = CLAIM_ABANDONED;
    payment->created_at_us = payment->changed_at_us = undo->op.now_us;
}

/* An undo that finds the payment decided comes from a saga that has not heard so: it is told again, however
 * that was lost. */
static void
undo_decide(struct undo_payment *undo, struct batch_rows *rows,
            unsigned (*wish)(struct payment *payment, int64_t now_us))
{
    struct subject subject;
    unsigned changes;
    bool is_decided;

    if (!subject_find(&undo->op, rows, undo->payment_id, &subject)) {
        if (!id_is_too_old(undo->payment_id, undo->op.now_us))
            payment_bury(undo, rows);
        return;
    }
    if (subject.task == NULL)
        return;
    is_decided = subject.payment->claim != CLAIM_OPEN;
    changes = wish(subject.payment, undo->op.now_us);
    changes |= payment_replan(subject.payment, subject.task, subject.arena, undo->op.now_us);
    if (is_decided && subject.payment->version == subject.version_before) {
        payment_tell_again(subject.payment, undo->op.now_us);
        batch_changed(rows, subject.payment);
    }
    subject_end(&subject, changes);
}

void
abandon_payment_decide(void *op, struct batch_rows *rows)
{
    undo_decide(op, rows, payment_abandon);
    op_record(rows, op, "AbandonPayment");
}

void
refund_payment_decide(void *op, struct batch_rows *rows)
{
    undo_decide(op, rows, payment_return);
    op_record(rows, op, "RefundPayment");
}

/* False: with the reason. */
static bool
settle_may(struct undo_payment *settle, struct batch_rows *rows, struct subject *ret_subject)
{
    struct problem *problem = &settle->op.problem;

    if (!subject_find(&settle->op, rows, settle->payment_id, ret_subject) ||
        ret_subject->task == NULL)
        problem_set(problem, ERR_NOT_FOUND, "payment_id", "there is no such payment");
    else if (ret_subject->payment->claim == CLAIM_TAKEN)
        problem_refuse(problem, "PAYMENT_TAKEN", NULL,
                       "an order has taken this payment, and gives it back itself");
    else if (!ret_subject->payment->needs_person)
        problem_refuse(problem, "NOT_TROUBLED", NULL,
                       "this payment needs nobody: what is due of it is seen to");
    return problem->error == ERR_OK;
}

void
settle_payment_decide(void *op, struct batch_rows *rows)
{
    struct undo_payment *settle = op;
    struct subject subject;
    unsigned changes;
    char id[UUID_TEXT_BYTES + 1];

    if (settle_may(settle, rows, &subject)) {
        log_warn("payment=%s provider=%s settle=asked comment=\"%s\"",
                 uuid_print(settle->payment_id, id), subject.payment->provider, settle->comment);
        changes = payment_settle(subject.payment, subject.task, batch_keep(rows, settle->comment),
                                 settle->op.now_us);
        changes |= payment_replan(subject.payment, subject.task, subject.arena, settle->op.now_us);
        subject_end(&subject, changes);
    }
    op_record(rows, op, "SettlePayment");
}

/* What is older than records are kept can no longer arrive: it is abandoned. */
void
undo_payment_answer(void *op, struct batch_rows *rows)
{
    struct undo_payment *undo = op;
    const struct payment *payment = batch_find_uuid(rows, PAYMENT_PAYMENT, undo->payment_id);

    undo->claim = payment == NULL ? CLAIM_ABANDONED : (enum claim)payment->claim;
}

/* ---- Tell ---- */

void
tell_payment_touch(const void *op, struct batch_touch *touch)
{
    batch_touch_uuid(touch, PAYMENT_PAYMENT, ((const struct tell_payment *)op)->payment_id);
}

void
tell_payment_decide(void *op, struct batch_rows *rows)
{
    struct tell_payment *tell = op;
    struct payment *payment = batch_find_uuid(rows, PAYMENT_PAYMENT, tell->payment_id);
    char id[UUID_TEXT_BYTES + 1];

    if (payment == NULL || payment_is_tombstone(payment)) {
        problem_set(&tell->op.problem, ERR_NOT_FOUND, "payment_id", "there is no such payment");
    } else {
        log_warn("payment=%s version=%d signal=asked comment=\"%s\"",
                 uuid_print(tell->payment_id, id), payment->version, tell->comment);
        payment_tell_again(payment, tell->op.now_us);
        batch_changed(rows, payment);
    }
    op_record(rows, &tell->op, "TellPayment");
}

void
tell_payment_answer(void *op, struct batch_rows *rows)
{
    struct tell_payment *tell = op;
    const struct payment *payment = batch_find_uuid(rows, PAYMENT_PAYMENT, tell->payment_id);

    tell->order_id = payment->order_id;
    tell->version = payment->version;
}

/* ---- ops of the program itself ---- */

static void
lease_touch(const void *op, struct batch_touch *touch)
{
    touch_payment(((const struct lease_task *)op)->payment_id, touch);
}

static void
lease_decide(void *op, struct batch_rows *rows)
{
    struct lease_task *lease = op;
    struct subject subject;

    lease->kind = TASK_NONE;
    if (!subject_find(&lease->op, rows, lease->payment_id, &subject) || subject.task == NULL)
        return;
    lease->kind = payment_lease(subject.payment, subject.task, subject.arena, lease->op.now_us);
    lease->task = *subject.task;
    lease->payment = *subject.payment;
    subject_end(&subject, 0);
}

const struct method payment_lease_method = { .name = "LeaseTask",
                                             .op_bytes = sizeof(struct lease_task),
                                             .touch = lease_touch,
                                             .decide = lease_decide };

static void
learn_touch(const void *op, struct batch_touch *touch)
{
    touch_payment(((const struct learn_task *)op)->payment_id, touch);
}

static void
learn_decide(void *op, struct batch_rows *rows)
{
    struct learn_task *learn = op;
    struct subject subject;
    unsigned changes;

    if (!subject_find(&learn->op, rows, learn->payment_id, &subject) || subject.task == NULL)
        return;
    changes = payment_learn(subject.payment, subject.task, learn->lease, learn->outcome,
                            &learn->observation, subject.arena, learn->op.now_us);
    subject_end(&subject, changes);
}

const struct method payment_learn_method = { .name = "LearnTask",
                                             .op_bytes = sizeof(struct learn_task),
                                             .touch = learn_touch,
                                             .decide = learn_decide };

static void
give_up_touch(const void *op, struct batch_touch *touch)
{
    touch_payment(((const struct give_up *)op)->payment_id, touch);
}

static void
give_up_decide(void *op, struct batch_rows *rows)
{
    struct give_up *give_up = op;
    struct subject subject;

    if (!subject_find(&give_up->op, rows, give_up->payment_id, &subject) || subject.task == NULL)
        return;
    subject_end(&subject,
                payment_give_up(subject.payment, subject.task, subject.arena, give_up->op.now_us));
}

const struct method payment_give_up_method = { .name = "GiveUp",
                                               .op_bytes = sizeof(struct give_up),
                                               .touch = give_up_touch,
                                               .decide = give_up_decide };

static void
signaled_touch(const void *op, struct batch_touch *touch)
{
    batch_touch_uuid(touch, PAYMENT_PAYMENT, ((const struct signaled *)op)->payment_id);
}

/* The saga has heard of a version that is not here: this database was set back by a restore. What it has is not
 * what is true any more, and to the saga nothing is news that is not above it. */
static void
go_past(struct payment *payment, int32_t known_version, int64_t now_us)
{
    char id[UUID_TEXT_BYTES + 1];

    log_warn("payment=%s version=%d event=VERSION_SET_BACK known=%d because=\"its saga has heard "
             "of a later "
             "version than there is here\" next=\"it is told all registers again, above that\"",
             uuid_print(payment->record.id, id), payment->version, known_version);
    payment->version = known_version + 1;
    payment_tell_again(payment, now_us);
}

static void
signaled_decide(void *op, struct batch_rows *rows)
{
    const struct signaled *signaled = op;
    struct payment *payment = batch_find_uuid(rows, PAYMENT_PAYMENT, signaled->payment_id);

    if (payment == NULL)
        return;
    if (signaled->known_version > payment->version)
        go_past(payment, signaled->known_version, signaled->op.now_us);
    else if (payment->signaled_version < signaled->version)
        payment->signaled_version = signaled->version;
    else
        return;
    batch_changed(rows, payment);
}

const struct method payment_signaled_method = { .name = "Signaled",
                                                .op_bytes = sizeof(struct signaled),
                                                .touch = signaled_touch,
                                                .decide = signaled_decide };

static void
signal_again_touch(const void *op, struct batch_touch *touch)
{
    batch_touch_uuid(touch, PAYMENT_PAYMENT, ((const struct signal_again *)op)->due.payment_id);
}

/* Of two replicas that found it due, one sends it. */
static void
signal_again_decide(void *op, struct batch_rows *rows)
{
    const struct signal_again *again = op;
    struct payment *payment = batch_find_uuid(rows, PAYMENT_PAYMENT, again->due.payment_id);

    if (payment == NULL || payment->version != again->due.version ||
        payment->signaled_version >= payment->version || payment->signal_due_us > again->op.now_us)
        return;
    payment->signal_due_us = payment_signal_due_us(payment, again->op.now_us);
    batch_changed(rows, payment);
}

const struct method payment_signal_again_method = { .name = "SignalAgain",
                                                    .op_bytes = sizeof(struct signal_again),
                                                    .touch = signal_again_touch,
                                                    .decide = signal_again_decide };
