/* test_account_payment_unsure.c -- What follows a request of which nothing certain was heard, one kind by one,
 * and what a hint does in between. test_account_payment_orders.c plays the same in all orders. */
#include "account-svc/payment/payment.h"
#include "tests/support/account/payment_fixture.h"
#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

#define NOW_US (INT64_C(1800000000) * SECOND_US)
#define AFTER(seconds) (NOW_US + (seconds)*SECOND_US)

static struct arena *arena;
static struct payment payment;
static struct task task;

static void
set_up(void)
{
    arena = arena_new();
    payment = payment_created(uuid_v7(NOW_US), AFTER(600));
    task = (struct task){ .payment_id = payment.record.id, .provider = "sandbox" };
}

static void
tear_down(void)
{
    arena = arena_free(arena);
}

/* ---- what follows ---- */

/* A payment and its task just before a task of this kind is due. */
/* clang-format off */
static const struct situation {
    const char *what;
    enum task_kind kind;
    int32_t observed, claim;
    bool is_abandon_asked;
    struct task task;
} situations[] = {
    { "the create",                       TASK_CREATE,       OBSERVED_CREATED,   CLAIM_OPEN,      false, { .create_state = CREATE_UNSENT } },
    { "the create, sent again",           TASK_CREATE,       OBSERVED_CREATED,   CLAIM_OPEN,      false, { .create_state = CREATE_AGAIN } },
    { "the create, to hear of its page",  TASK_CREATE,       OBSERVED_CREATED,   CLAIM_OPEN,      false, { .create_state = CREATE_PAGELESS } },
    { "the query after a create",         TASK_QUERY,        OBSERVED_CREATED,   CLAIM_OPEN,      false, { .create_state = CREATE_MAYBE } },
    { "a poll",                           TASK_QUERY,        OBSERVED_PENDING,   CLAIM_OPEN,      false, { .create_state = CREATE_THERE } },
    { "the first query of an Abandon",    TASK_QUERY,        OBSERVED_PENDING,   CLAIM_OPEN,      true,  { .create_state = CREATE_THERE } },
    { "the query after a cancel",         TASK_QUERY,        OBSERVED_PENDING,   CLAIM_OPEN,      true,  { .create_state = CREATE_THERE, .abandon_step = ABANDON_QUERY_AGAIN } },
    { "the same, given up meanwhile",     TASK_QUERY,        OBSERVED_PENDING,   CLAIM_ABANDONED, true,  { .create_state = CREATE_THERE, .abandon_step = ABANDON_QUERY_AGAIN } },
    { "the last query of a canceled one", TASK_QUERY,        OBSERVED_CANCELED,  CLAIM_ABANDONED, true,  { .create_state = CREATE_THERE, .abandon_step = ABANDON_QUERY_AGAIN } },
    { "the books before a refund",        TASK_QUERY,        OBSERVED_SUCCEEDED, CLAIM_RETURNED,  false, { .create_state = CREATE_THERE, .refund_state = REFUND_DENIED, .refund_sent_us = NOW_US } },
    { "a cancel",                         TASK_CANCEL,       OBSERVED_PENDING,   CLAIM_OPEN,      true,  { .create_state = CREATE_THERE, .abandon_step = ABANDON_CANCEL } },
    { "a cancel, given up meanwhile",     TASK_CANCEL,       OBSERVED_PENDING,   CLAIM_ABANDONED, true,  { .create_state = CREATE_THERE, .abandon_step = ABANDON_CANCEL } },
    { "a cancel after all is over",       TASK_CANCEL,       OBSERVED_PENDING,   CLAIM_ABANDONED, true,  { .create_state = CREATE_THERE, .abandon_step = ABANDON_CANCEL, .last_query_done = true } },
    { "a refund",                         TASK_REFUND,       OBSERVED_SUCCEEDED, CLAIM_RETURNED,  false, { .create_state = CREATE_THERE } },
    { "a refund of a late success",       TASK_REFUND,       OBSERVED_SUCCEEDED, CLAIM_ABANDONED, true,  { .create_state = CREATE_THERE } },
    { "how the refund stands",            TASK_QUERY_REFUND, OBSERVED_SUCCEEDED, CLAIM_RETURNED,  false, { .create_state = CREATE_THERE, .refund_state = REFUND_IN_DOUBT, .refund_sent_us = NOW_US } },
};

/* Ways not to know. */
static const struct {
    const char *what;
    bool is_lease_lost;
    enum outcome outcome;
} unknowns[] = {
    { "no answer, or one that says nothing", false, OUTCOME_UNKNOWN },
    { "its lease ran out",                   true,  OUTCOME_UNKNOWN },
};
/* clang-format on */

static void
set_situation(const struct situation *situation)
{
    payment.observed = situation->observed;
    payment.claim = situation->claim;
    payment.abandon_asked_us = situation->is_abandon_asked ? NOW_US : 0;
    task = situation->task;
    task.payment_id = payment.record.id;
    task.provider = "sandbox";
    payment_plan(&payment, &task, arena, NOW_US);
}

/* Leases what is due, at the time when it is. */
static enum task_kind
lease_next(void)
{
    int64_t now_us = task.due_us > NOW_US ? task.due_us : NOW_US;

    ck_assert_int_ne(task.due_us, TASK_NEVER_US);
    return payment_lease(&payment, &task, arena, now_us);
}

/* Until what follows is leased: what it is. */
static enum task_kind
leave_unknown(size_t way)
{
    int64_t now_us = task.due_us - TASK_LEASE_US + SECOND_US;
    enum task_kind next;

    if (!unknowns[way].is_lease_lost) {
        payment_learn(&payment, &task, task.lease, unknowns[way].outcome, NULL, arena, now_us);
        return lease_next();
    }
    next = lease_next();
    return next == TASK_NONE ? lease_next() : next; /* found first, then planned */
}

START_TEST(unknown_is_asked_about)
{
    const struct situation *situation = &situations[_i];

    for (size_t way = 0; way < sizeof unknowns / sizeof *unknowns; way++) {
        enum task_kind next;

        set_situation(situation);
        ck_assert_msg(lease_next() == situation->kind, "%s: %s", situation->what,
                      task_word((enum task_kind)task.kind));
        next = leave_unknown(way);
        ck_assert_msg(next == task_unsure(situation->kind)->next, "%s, %s: %s", situation->what,
                      unknowns[way].what, task_word(next));
    }
}
END_TEST

/* A request that changes something is never the answer to its own doubt. */
START_TEST(every_kind_has_a_row)
{
    for (int kind = TASK_NONE + 1; kind < TASK_KIND_COUNT; kind++) {
        const struct unsure_rule *rule = task_unsure((enum task_kind)kind);
        size_t shown = 0;

        ck_assert_ptr_nonnull(rule->assume);
        ck_assert(rule->next == TASK_QUERY || rule->next == TASK_QUERY_REFUND);
        ck_assert_ptr_nonnull(rule->because);
        for (size_t i = 0; i < sizeof situations / sizeof *situations; i++)
            shown += situations[i].kind == (enum task_kind)kind;
        ck_assert_msg(shown > 0, "no situation shows %s", task_word((enum task_kind)kind));
    }
}
END_TEST

/* ---- what follows unknown for long ---- */

/* The provider's side of a payment that is open there and was never paid. */
static enum outcome
answer_open(enum task_kind kind, enum task_kind silent, struct observation *ret_observation)
{
    if (kind == silent)
        return OUTCOME_UNKNOWN;
    *ret_observation = (struct observation){ .source = SOURCE_QUERY,
                                             .observed = (enum observed)payment.observed,
                                             .amount_minor = 500,
                                             .currency = "JPY" };
    return kind == TASK_QUERY ? OUTCOME_KNOWN : OUTCOME_NOT_FOUND;
}

START_TEST(unknown_for_long_calls_an_operator)
{
    const struct situation *situation = &situations[_i];
    enum trouble wanted = situation->task.refund_state == REFUND_DENIED
                              ? TROUBLE_REFUND_UNANSWERED
                              : task_unsure(situation->kind)->for_long;
    int64_t end_us = AFTER(600) + 3 * DAY_US;

    set_situation(situation);
    while (task.due_us <= end_us && payment.trouble != (int32_t)wanted) {
        struct observation observation = { 0 };
        enum task_kind kind = lease_next();
        enum outcome outcome = answer_open(kind, situation->kind, &observation);

        if (situation->kind == TASK_QUERY_REFUND && kind == TASK_REFUND)
            outcome = OUTCOME_UNKNOWN; /* else it is done */
        payment_give_up(&payment, &task, arena, task.due_us - TASK_LEASE_US);
        if (kind != TASK_NONE)
            payment_learn(&payment, &task, task.lease, outcome, &observation, arena,
                          task.due_us - TASK_LEASE_US + SECOND_US);
    }
    ck_assert_msg(payment.trouble == (int32_t)wanted, "%s: %s", situation->what,
                  trouble_word((enum trouble)payment.trouble));
    ck_assert_int_eq(payment.needs_person, wanted != TROUBLE_NONE);
}
END_TEST

/* Of a payment that may still cost money; what is read in between ends the count. */
START_TEST(unreadable_calls_an_operator)
{
    const struct observation unread = { .source = SOURCE_QUERY, .unreadable = "it is empty" };
    const struct observation pending = {
        .source = SOURCE_QUERY, .observed = OBSERVED_PENDING, .amount_minor = 500, .currency = "JPY"
    };

    payment.observed = OBSERVED_PENDING;
    task.create_state = CREATE_THERE;
    payment_plan(&payment, &task, arena, NOW_US);
    for (int round = 0; round < 2; round++) {
        for (int i = 1; i <= TROUBLE_UNREAD_MIN; i++) {
            ck_assert_int_eq(payment.trouble, TROUBLE_NONE);
            ck_assert_int_eq(lease_next(), TASK_QUERY);
            payment_learn(&payment, &task, task.lease, OUTCOME_UNKNOWN, &unread, arena,
                          task.due_us - TASK_LEASE_US);
        }
        ck_assert_int_eq(payment.trouble, TROUBLE_UNREADABLE);
        ck_assert_int_eq(lease_next(), TASK_QUERY); /* it goes on */
        payment_learn(&payment, &task, task.lease, OUTCOME_UNKNOWN, NULL, arena,
                      task.due_us - TASK_LEASE_US);
        ck_assert_int_eq(payment.trouble, TROUBLE_UNREADABLE);
        ck_assert_int_eq(lease_next(), TASK_QUERY);
        payment_learn(&payment, &task, task.lease, OUTCOME_KNOWN, &pending, arena,
                      task.due_us - TASK_LEASE_US);
    }
}
END_TEST

START_TEST(troubles_have_words)
{
    ck_assert_str_eq(trouble_word(TROUBLE_NONE), "");
    for (enum trouble trouble = TROUBLE_NONE + 1; trouble < TROUBLE_COUNT; trouble++) {
        ck_assert_uint_gt(strlen(trouble_word(trouble)), 0);
        ck_assert_uint_gt(strlen(trouble_because(trouble)), 0);
    }
}
END_TEST

/* The graver one is told, and what is over is over. */
START_TEST(graver_trouble_is_told)
{
    ck_assert_uint_eq(payment_call_person(&payment, TROUBLE_UNANSWERED), CHANGE_OTHER);
    ck_assert_uint_eq(payment_call_person(&payment, TROUBLE_REFUND_REFUSED), CHANGE_OTHER);
    ck_assert_uint_eq(payment_call_person(&payment, TROUBLE_UNANSWERED), 0);
    ck_assert_int_eq(payment.trouble, TROUBLE_REFUND_REFUSED);
    ck_assert_uint_eq(payment_replan(&payment, &task, arena, NOW_US), 0);
    payment_need_nobody(&payment);
    ck_assert(!payment.needs_person);
}
END_TEST

/* ---- whose errand it is ---- */

/* clang-format off */
static const struct {
    const char *what;
    int32_t observed, claim;
    bool is_abandon_asked;
    struct task task;
    enum errand errand;
} errands[] = {
    { "a new payment",              OBSERVED_CREATED,   CLAIM_OPEN,      false, { .create_state = CREATE_UNSENT },                               ERRAND_CREATE },
    { "a create in doubt",          OBSERVED_CREATED,   CLAIM_OPEN,      false, { .create_state = CREATE_MAYBE },                                ERRAND_LOOK   },
    { "watched",                    OBSERVED_CREATED,   CLAIM_OPEN,      false, { .create_state = CREATE_THERE, .watched_until_us = AFTER(30) }, ERRAND_LOOK   },
    { "hinted",                     OBSERVED_CREATED,   CLAIM_OPEN,      false, { .create_state = CREATE_AGAIN, .query_wanted = true },          ERRAND_LOOK   },
    { "hinted, and it is over",     OBSERVED_SUCCEEDED, CLAIM_ABANDONED, true,  { .create_state = CREATE_THERE, .query_wanted = true },          ERRAND_ASK    },
    { "nobody looks",               OBSERVED_CREATED,   CLAIM_OPEN,      false, { .create_state = CREATE_THERE },                                ERRAND_ASK    },
    { "nobody wants it",            OBSERVED_CREATED,   CLAIM_OPEN,      true,  { .create_state = CREATE_THERE },                                ERRAND_ASK    },
    { "cancelled",                  OBSERVED_CREATED,   CLAIM_OPEN,      true,  { .create_state = CREATE_THERE, .abandon_step = ABANDON_CANCEL }, ERRAND_CANCEL },
    { "paid back",                  OBSERVED_SUCCEEDED, CLAIM_RETURNED,  false, { .create_state = CREATE_THERE },                                ERRAND_REFUND },
    { "paid back, perhaps",         OBSERVED_SUCCEEDED, CLAIM_RETURNED,  false, { .create_state = CREATE_THERE, .refund_state = REFUND_IN_DOUBT }, ERRAND_ASK  },
};
/* clang-format on */

START_TEST(errand_of)
{
    payment.observed = errands[_i].observed;
    payment.claim = errands[_i].claim;
    payment.abandon_asked_us = errands[_i].is_abandon_asked ? NOW_US : 0;
    task = errands[_i].task;
    payment_plan(&payment, &task, arena, NOW_US);
    ck_assert_msg(task.errand == (int32_t)errands[_i].errand, "%s: %s", errands[_i].what,
                  errand_word((enum errand)task.errand));
}
END_TEST

/* ---- no way to pay ---- */

#define PAGE "https://pay.example/1"

/* Leases what is due, which must be this, and answers it. */
static void
answered(enum task_kind kind, enum outcome outcome, const struct observation *observation)
{
    ck_assert_int_eq(lease_next(), kind);
    payment_learn(&payment, &task, task.lease, outcome, observation, arena,
                  task.due_us - TASK_LEASE_US + SECOND_US / 10);
}

static struct observation
books(enum observed observed, const char *url)
{
    return (struct observation){ .source = SOURCE_QUERY,
                                 .observed = observed,
                                 .amount_minor = 500,
                                 .currency = "JPY",
                                 .url = url };
}

/* The answer to the create is lost, and the books do not tell the page. */
static void
lose_page(void)
{
    struct observation created = books(OBSERVED_CREATED, NULL);

    payment_plan(&payment, &task, arena, NOW_US);
    answered(TASK_CREATE, OUTCOME_UNKNOWN, NULL);
    answered(TASK_QUERY, OUTCOME_KNOWN, &created);
}

/* What the provider says to a create that is sent once more under the same key. */
/* clang-format off */
static const struct {
    const char *what;
    enum outcome outcome;
    const char *url;
    bool is_repeat;
    bool is_lost;
} pages[] = {
    { "it tells the page again",     OUTCOME_KNOWN,   PAGE, false, false },
    { "it did that before",          OUTCOME_UNKNOWN, NULL, true,  true  },
    { "it has it, and says no page", OUTCOME_KNOWN,   NULL, false, true  },
    { "it refuses",                  OUTCOME_REFUSED, NULL, false, true  },
};
/* clang-format on */

START_TEST(page_is_asked_for_again)
{
    struct observation created = books(OBSERVED_CREATED, pages[_i].url);

    created.is_repeat = pages[_i].is_repeat;
    lose_page();
    answered(TASK_CREATE, pages[_i].outcome, &created);
    if (!pages[_i].is_lost) {
        ck_assert_str_eq(payment.url, PAGE);
        ck_assert_int_eq(payment.claim, CLAIM_OPEN);
        ck_assert_int_eq(task.create_state, CREATE_THERE);
        ck_assert_str_eq(payment_failure_reason(&payment), "");
        return;
    }
    ck_assert_msg(payment.claim == CLAIM_ABANDONED, "%s", pages[_i].what);
    ck_assert_str_eq(payment_failure_reason(&payment), "PAYMENT_PAGE_LOST");
    ck_assert_ptr_nonnull(strstr(payment_failure_detail(&payment), "order once more"));
    ck_assert_int_eq(task.kind, TASK_CANCEL);
}
END_TEST

/* No answer to that either: asked and sent again, ever more rarely; a success is seen all the same. */
START_TEST(page_that_is_never_told)
{
    struct observation created = books(OBSERVED_CREATED, NULL),
                       paid = books(OBSERVED_SUCCEEDED, NULL);
    int64_t begun_us = NOW_US;

    lose_page();
    for (int i = 0; i < 5; i++) {
        answered(TASK_CREATE, OUTCOME_UNKNOWN, NULL);
        answered(TASK_QUERY, OUTCOME_KNOWN, &created);
    }
    ck_assert_int_eq(payment.claim, CLAIM_OPEN);
    ck_assert_int_eq(task.kind, TASK_CREATE);
    ck_assert_int_gt(task.due_us - begun_us, 60 * SECOND_US);
    answered(TASK_CREATE, OUTCOME_UNKNOWN, NULL);
    answered(TASK_QUERY, OUTCOME_KNOWN, &paid);
    ck_assert_int_eq(payment.claim, CLAIM_TAKEN);
}
END_TEST

/* The customer has another way to the page after all, and pays there: the money goes back. */
START_TEST(lost_page_is_paid)
{
    struct observation repeat = { .source = SOURCE_CREATE, .is_repeat = true };
    struct observation paid = books(OBSERVED_SUCCEEDED, NULL);

    lose_page();
    answered(TASK_CREATE, OUTCOME_UNKNOWN, &repeat);
    answered(TASK_CANCEL, OUTCOME_REFUSED, NULL);
    answered(TASK_QUERY, OUTCOME_KNOWN, &paid);
    ck_assert_int_eq(task.kind, TASK_REFUND);
    ck_assert_str_eq(payment_failure_reason(&payment), "");
}
END_TEST

/* clang-format off */
static const struct {
    const char *code, *words, *detail;
} refused[] = {
    { "BAD_URL", "no such URL", "the provider refused to make it: BAD_URL: no such URL" },
    { "BAD_URL", NULL,          "the provider refused to make it: BAD_URL" },
    { NULL,      "no",          "the provider refused to make it: no" },
    { "",        "",            "the provider refused to make it" },
    { NULL,      NULL,          "the provider refused to make it" },
};
/* clang-format on */

START_TEST(refusal_keeps_its_words)
{
    struct observation no = { .source = SOURCE_CREATE,
                              .code = refused[_i].code,
                              .words = refused[_i].words };
    struct json_writer json = { 0 };

    payment_plan(&payment, &task, arena, NOW_US);
    answered(TASK_CREATE, OUTCOME_REFUSED, &no);
    ck_assert_int_eq(payment.observed, OBSERVED_FAILED);
    ck_assert_str_eq(payment_failure_reason(&payment), "PAYMENT_REFUSED");
    ck_assert_str_eq(payment_failure_detail(&payment), refused[_i].detail);
    payment_registers(&payment, arena, &json);
    ck_assert_ptr_nonnull(strstr(json.text, "\"reason\":\"PAYMENT_REFUSED\""));
    ck_assert_ptr_nonnull(strstr(json.text, refused[_i].detail));
    json_writer_free(&json);
}
END_TEST

START_TEST(long_words_are_cut)
{
    struct observation no = { .source = SOURCE_CREATE, .code = "X", .words = "" };

    for (int i = 0; i < 100; i++)
        no.words = arena_print(arena, "%s\xe5\x8f\x96", no.words);
    payment_plan(&payment, &task, arena, NOW_US);
    answered(TASK_CREATE, OUTCOME_REFUSED, &no);
    ck_assert_uint_le(strlen(payment.failure_detail), PAYMENT_FAILURE_BYTES_MAX);
    ck_assert_uint_gt(strlen(payment.failure_detail), PAYMENT_FAILURE_BYTES_MAX - 3);
    ck_assert_int_eq(payment.failure_detail[strlen(payment.failure_detail) - 3], '\xe5');
}
END_TEST

/* A refusal settles nothing while an earlier create may have arrived: the saga is told nothing before. */
START_TEST(refusal_in_doubt_is_not_told)
{
    struct observation no = { .source = SOURCE_CREATE, .code = "X" };
    struct observation pending = books(OBSERVED_PENDING, PAGE);

    payment_plan(&payment, &task, arena, NOW_US);
    answered(TASK_CREATE, OUTCOME_UNKNOWN, NULL);
    answered(TASK_QUERY, OUTCOME_NOT_FOUND, NULL);
    answered(TASK_CREATE, OUTCOME_REFUSED, &no);
    ck_assert_str_eq(payment_failure_reason(&payment), "");
    answered(TASK_QUERY, OUTCOME_KNOWN, &pending);
    ck_assert_str_eq(payment.url, PAGE);
    ck_assert_str_eq(payment_failure_reason(&payment), "");
}
END_TEST

/* ---- cancelled ---- */

/* What is said to a cancel, and to the query after it, of a payment that is not paid. */
/* clang-format off */
static const struct {
    const char *what;
    enum outcome cancel;
    enum observed canceled; /* in the answer to the cancel */
    enum outcome query;
    bool is_decided_at_once; /* by the cancel alone */
    bool is_decided;
} cancels[] = {
    { "done, says the cancel",               OUTCOME_KNOWN,     OBSERVED_CANCELED, OUTCOME_KNOWN,     true,  true  },
    { "it found nothing, and it is open",    OUTCOME_NOT_FOUND, OBSERVED_NONE,     OUTCOME_KNOWN,     false, true  },
    { "it found nothing, nor does a query",  OUTCOME_NOT_FOUND, OBSERVED_NONE,     OUTCOME_NOT_FOUND, false, true  },
    { "no answer, and it is there no more",  OUTCOME_UNKNOWN,   OBSERVED_NONE,     OUTCOME_NOT_FOUND, false, true  },
    { "no answer, and it is open",           OUTCOME_UNKNOWN,   OBSERVED_NONE,     OUTCOME_KNOWN,     false, false },
    { "refused, and it is open",             OUTCOME_REFUSED,   OBSERVED_NONE,     OUTCOME_KNOWN,     false, false },
    { "accepted, and it is open",            OUTCOME_KNOWN,     OBSERVED_NONE,     OUTCOME_KNOWN,     false, false },
};
/* clang-format on */

START_TEST(cancelled_is_decided_soon)
{
    struct observation canceled = { .source = SOURCE_CANCEL, .observed = cancels[_i].canceled };
    struct observation created = books(OBSERVED_CREATED, PAGE);

    task.create_state = CREATE_THERE;
    payment_abandon(&payment, NOW_US);
    payment_plan(&payment, &task, arena, NOW_US);
    answered(TASK_QUERY, OUTCOME_KNOWN, &created);
    answered(TASK_CANCEL, cancels[_i].cancel, &canceled);
    ck_assert_msg((payment.claim == CLAIM_ABANDONED) == cancels[_i].is_decided_at_once, "%s",
                  cancels[_i].what);
    answered(TASK_QUERY, cancels[_i].query, &created); /* the books have the last word */
    ck_assert_msg((payment.claim == CLAIM_ABANDONED) == cancels[_i].is_decided, "%s: after",
                  cancels[_i].what);
    if (!cancels[_i].is_decided)
        ck_assert_int_eq(task.kind, TASK_CANCEL);
}
END_TEST

/* ---- hints ---- */

static void
hint(int64_t now_us)
{
    task.query_wanted = true;
    payment_plan(&payment, &task, arena, now_us);
}

/* With any task that waits, in any backoff. */
START_TEST(hint_goes_before_anything)
{
    const struct situation *situation = &situations[_i];

    set_situation(situation);
    if (task.create_state == CREATE_UNSENT)
        return; /* there is nothing to be asked of */
    task.attempts = 18;
    task.tried_us = AFTER(-1);
    task.due_us = TASK_NEVER_US;
    payment_plan(&payment, &task, arena, NOW_US);
    hint(NOW_US);
    ck_assert_msg(payment_lease(&payment, &task, arena, NOW_US) == TASK_QUERY, "%s: %s",
                  situation->what, task_word((enum task_kind)task.kind));
}
END_TEST

/* A stranger can hint, every moment: what is due is done between two queries all the same, at its time. */
START_TEST(hints_put_nothing_off)
{
    const struct situation *situation = &situations[_i];
    int64_t due_us, now_us;
    int queries = 0;

    set_situation(situation);
    if (situation->kind == TASK_QUERY || task.create_state == CREATE_UNSENT)
        return;
    task.attempts = 6;
    task.tried_us = NOW_US;
    task.due_us = TASK_NEVER_US;
    payment_plan(&payment, &task, arena, NOW_US);
    due_us = task.due_us;
    ck_assert_int_gt(due_us, AFTER(3));
    for (now_us = NOW_US; now_us <= due_us + 3 * SECOND_US; now_us += SECOND_US / 10) {
        enum task_kind kind;

        hint(now_us);
        kind = payment_lease(&payment, &task, arena, now_us);
        if (kind == situation->kind)
            break;
        ck_assert(kind == TASK_NONE || kind == TASK_QUERY);
        queries += kind == TASK_QUERY;
        if (kind == TASK_QUERY)
            payment_learn(&payment, &task, task.lease, OUTCOME_UNKNOWN, NULL, arena, now_us);
    }
    ck_assert_msg(now_us <= due_us + 3 * SECOND_US, "%s: never", situation->what);
    ck_assert_int_ge(now_us, due_us - due_us % (SECOND_US / 10) - 4 * SECOND_US);
    ck_assert_int_ge(queries, 1);
    ck_assert_int_le(queries, (int)((due_us - NOW_US) / QUERY_GAP_MIN_US) + 2);
}
END_TEST

/* The customer pays while a query is under way, and its answer is older than the hint. */
START_TEST(hint_during_a_query_is_kept)
{
    struct observation pending = {
        .source = SOURCE_QUERY, .observed = OBSERVED_PENDING, .amount_minor = 500, .currency = "JPY"
    };
    struct observation paid = pending;

    paid.observed = OBSERVED_SUCCEEDED;
    payment.observed = OBSERVED_PENDING;
    task.create_state = CREATE_THERE;
    hint(NOW_US);
    ck_assert_int_eq(payment_lease(&payment, &task, arena, NOW_US), TASK_QUERY);
    hint(AFTER(1));
    payment_learn(&payment, &task, task.lease, OUTCOME_KNOWN, &pending, arena, AFTER(2));
    ck_assert(task.query_wanted);
    ck_assert_int_eq(payment_lease(&payment, &task, arena, AFTER(4)), TASK_QUERY);
    payment_learn(&payment, &task, task.lease, OUTCOME_KNOWN, &paid, arena, AFTER(5));
    ck_assert_int_eq(payment.claim, CLAIM_TAKEN);
    ck_assert(!task.query_wanted);
}
END_TEST

/* A query that brings nothing leaves the hint, also where the program that asked is gone. */
START_TEST(hint_outlives_silence)
{
    payment.observed = OBSERVED_PENDING;
    task.create_state = CREATE_THERE;
    for (size_t way = 0; way < 2; way++) {
        hint(task.queried_at_us + 3 * SECOND_US + NOW_US);
        ck_assert_int_eq(lease_next(), TASK_QUERY);
        ck_assert_int_eq(leave_unknown(way), TASK_QUERY);
        ck_assert(task.is_hint_asked);
        payment_learn(&payment, &task, task.lease, OUTCOME_NOT_FOUND, NULL, arena, task.due_us);
        ck_assert(!task.query_wanted);
        task.queried_at_us = 0;
    }
}
END_TEST

int
main(void)
{
    TCase *tests = check_case("unsure");

    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, unknown_is_asked_about, 0, ROWS(situations));
    tcase_add_test(tests, every_kind_has_a_row);
    tcase_add_loop_test(tests, unknown_for_long_calls_an_operator, 0, ROWS(situations));
    tcase_add_test(tests, unreadable_calls_an_operator);
    tcase_add_test(tests, troubles_have_words);
    tcase_add_test(tests, graver_trouble_is_told);
    tcase_add_loop_test(tests, errand_of, 0, ROWS(errands));
    tcase_add_loop_test(tests, page_is_asked_for_again, 0, ROWS(pages));
    tcase_add_test(tests, page_that_is_never_told);
    tcase_add_test(tests, lost_page_is_paid);
    tcase_add_loop_test(tests, refusal_keeps_its_words, 0, ROWS(refused));
    tcase_add_test(tests, long_words_are_cut);
    tcase_add_test(tests, refusal_in_doubt_is_not_told);
    tcase_add_loop_test(tests, cancelled_is_decided_soon, 0, ROWS(cancels));
    tcase_add_loop_test(tests, hint_goes_before_anything, 0, ROWS(situations));
    tcase_add_loop_test(tests, hints_put_nothing_off, 0, ROWS(situations));
    tcase_add_test(tests, hint_during_a_query_is_kept);
    tcase_add_test(tests, hint_outlives_silence);
    return check_run("payment unsure", tests);
}
