/* test_account_payment.c -- The rules of payments one by one: words, claims, refunds, the plan. */
#include "account-svc/payment/payment_op.h"

#include "sagamesh/payment/v1/payment_service.pb-c.h"
#include "tests/support/account/payment_fixture.h"
#include "tests/support/check.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NOW_US (INT64_C(1800000000) * SECOND_US)

static struct arena *arena;

static void
set_up(void)
{
    arena = arena_new();
}

static void
tear_down(void)
{
    arena = arena_free(arena);
}

static struct payment
payment_of(int32_t observed, int32_t claim)
{
    struct payment payment = payment_created(uuid_v7(NOW_US), NOW_US + 600 * SECOND_US);

    payment.observed = observed;
    payment.claim = claim;
    return payment;
}

/* ---- words and numbers ---- */

/* clang-format off */
static const struct {
    const char *word;
    enum observed observed;
} words[] = {
    { "COMPLETED",  OBSERVED_SUCCEEDED }, { "SUCCESS",    OBSERVED_SUCCEEDED },
    { "CAPTURED",   OBSERVED_SUCCEEDED }, { "SUCCEEDED",  OBSERVED_SUCCEEDED },
    { "CANCELLED",  OBSERVED_CANCELED  }, { "CANCELED",   OBSERVED_CANCELED  },
    { "EXPIRED",    OBSERVED_EXPIRED   }, { "FAILED",     OBSERVED_FAILED    },
    { "AUTHORIZED", OBSERVED_AUTHORIZED}, { "REFUNDED",   OBSERVED_SUCCEEDED },
    { "DECLINED",   OBSERVED_FAILED    }, { "ATTEMPT_DECLINED", OBSERVED_PENDING },
    { "REQUIRES_PAYMENT_METHOD", OBSERVED_PENDING },
    { "completed",  OBSERVED_NONE      }, { "",           OBSERVED_NONE      },
};
/* clang-format on */

START_TEST(one_vocabulary)
{
    const struct status_word *row = status_find(status_words, words[_i].word);

    ck_assert_int_eq(row == NULL ? OBSERVED_NONE : row->observed, words[_i].observed);
}
END_TEST

START_TEST(numbers_are_those_of_the_proto)
{
    for (int i = 1; i < OBSERVED_COUNT; i++) {
        const ProtobufCEnumValue *value =
            protobuf_c_enum_descriptor_get_value(&sagamesh__payment__v1__observed__descriptor, i);

        ck_assert_ptr_nonnull(value);
        ck_assert_str_eq(value->name + strlen("OBSERVED_"), observed_word((enum observed)i));
    }
    for (int i = 1; i < CLAIM_COUNT; i++) {
        const ProtobufCEnumValue *value =
            protobuf_c_enum_descriptor_get_value(&sagamesh__payment__v1__claim__descriptor, i);

        ck_assert_ptr_nonnull(value);
        ck_assert_str_eq(value->name + strlen("CLAIM_"), claim_word((enum claim)i));
    }
    for (int i = 1; i < OBSERVE_COUNT; i++) {
        const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(
            &sagamesh__payment__v1__observe_outcome__descriptor, i);

        ck_assert_ptr_nonnull(value);
        ck_assert_str_eq(value->name + strlen("OBSERVE_OUTCOME_"),
                         observe_outcome_word((enum observe_outcome)i));
    }
    ck_assert_int_eq(HINT_WATCHED, SAGAMESH__PAYMENT__V1__HINT__HINT_WATCHED);
}
END_TEST

/* ---- claims ---- */

START_TEST(every_claim_answers_every_event)
{
    for (enum claim claim = CLAIM_OPEN; claim < CLAIM_COUNT; claim++) {
        for (enum claim_event event = 0; event < CLAIM_EVENT_COUNT; event++) {
            enum claim after = claim_after(claim, event);

            ck_assert(after >= CLAIM_OPEN && after < CLAIM_COUNT);
            if (claim != CLAIM_OPEN) /* there is no way back to open */
                ck_assert_int_ne(after, CLAIM_OPEN);
            if (claim == CLAIM_ABANDONED || claim == CLAIM_RETURNED) /* nor out of these */
                ck_assert_int_eq(after, claim);
        }
    }
    ck_assert_int_eq(claim_after(CLAIM_TAKEN, CLAIM_GIVE_UP), CLAIM_TAKEN);
    /* What the saga has undone can no longer be taken: a later success is refunded. */
    for (enum claim claim = CLAIM_OPEN; claim < CLAIM_COUNT; claim++)
        ck_assert_int_ne(claim_after(claim_after(claim, CLAIM_RETURN), CLAIM_SUCCESS), CLAIM_TAKEN);
}
END_TEST

/* clang-format off */
static const struct {
    const char *what;
    int32_t observed, claim;
    const char *refunds;
    bool is_due, is_open;
} refund_rules[] = {
    { "paid and taken",                OBSERVED_SUCCEEDED, CLAIM_TAKEN,     "",                 false, false },
    { "paid and abandoned",            OBSERVED_SUCCEEDED, CLAIM_ABANDONED, "",                 true,  true  },
    { "paid and given back",           OBSERVED_SUCCEEDED, CLAIM_RETURNED,  "",                 true,  true  },
    { "canceled and abandoned",        OBSERVED_CANCELED,  CLAIM_ABANDONED, "",                 false, false },
    { "refunded by us",                OBSERVED_SUCCEEDED, CLAIM_ABANDONED, "500 a",            true,  false },
    { "refunded in part by somebody",  OBSERVED_SUCCEEDED, CLAIM_RETURNED,  "200 a",            true,  true  },
    { "refunded in two parts",         OBSERVED_SUCCEEDED, CLAIM_RETURNED,  "200 a\n300 b",     true,  false },
};
/* clang-format on */

START_TEST(refund_is_due)
{
    struct payment payment = payment_of(refund_rules[_i].observed, refund_rules[_i].claim);

    payment.refunds = refund_rules[_i].refunds;
    ck_assert_msg(payment_refund_is_due(&payment) == refund_rules[_i].is_due, "%s: due",
                  refund_rules[_i].what);
    ck_assert_msg(payment_refund_is_open(&payment, arena) == refund_rules[_i].is_open, "%s: open",
                  refund_rules[_i].what);
}
END_TEST

START_TEST(refunds_are_a_set)
{
    static const char *const orders[] = { "abc", "acb", "bac", "bca", "cab", "cba" };

    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        struct payment payment = payment_of(OBSERVED_SUCCEEDED, CLAIM_TAKEN);

        for (int twice = 0; twice < 2; twice++) {
            for (const char *at = orders[i]; *at != '\0'; at++) {
                struct observation observation = { .source = SOURCE_WEBHOOK, .refund_count = 1 };

                observation.refunds[0].id = arena_print(arena, "%c", *at);
                observation.refunds[0].amount_minor = *at - 'a' + 1;
                payment_observe(&payment, &observation, arena, NOW_US);
            }
        }
        ck_assert_str_eq(payment.refunds, "1 a\n2 b\n3 c");
        ck_assert_int_eq(payment.version, 4);
    }
}
END_TEST

/* What the provider has paid back is nobody's, whatever way it says so; the order must not get it. */
/* clang-format off */
static const struct {
    const char *what;
    int32_t claim;
    bool says_so;
    const char *refunds_known;
    int64_t refund_minor; /* in the same observation */
    int32_t claim_after;
    bool is_refund_open;
} paid_back[] = {
    { "paid",                                CLAIM_OPEN,      false, "",       0,   CLAIM_TAKEN,     false },
    { "paid, and some of it back",           CLAIM_OPEN,      false, "",       200, CLAIM_TAKEN,     false },
    { "paid, and all of it back",            CLAIM_OPEN,      false, "",       500, CLAIM_ABANDONED, false },
    { "the rest of it back",                 CLAIM_OPEN,      false, "200 a",  300, CLAIM_ABANDONED, false },
    { "REFUNDED, it does not say how much",  CLAIM_OPEN,      true,  "",       0,   CLAIM_ABANDONED, true  },
    { "taken before it went back",           CLAIM_TAKEN,     false, "",       500, CLAIM_TAKEN,     false },
    { "abandoned, and all of it back",       CLAIM_ABANDONED, false, "",       500, CLAIM_ABANDONED, false },
    { "abandoned, and some of it back",      CLAIM_ABANDONED, false, "",       200, CLAIM_ABANDONED, true  },
};
/* clang-format on */

START_TEST(paid_back_is_not_taken)
{
    bool is_taken = paid_back[_i].claim == CLAIM_TAKEN;
    struct payment payment =
        payment_of(is_taken ? OBSERVED_SUCCEEDED : OBSERVED_PENDING, paid_back[_i].claim);
    struct observation observation = { .source = SOURCE_QUERY,
                                       .observed = OBSERVED_SUCCEEDED,
                                       .is_paid_back = paid_back[_i].says_so,
                                       .amount_minor = 500,
                                       .currency = "JPY",
                                       .refunds = { { "b", paid_back[_i].refund_minor } },
                                       .refund_count = paid_back[_i].refund_minor > 0 };
    bool is_new = !is_taken && observation.refund_count > 0;

    payment.url = "https://pay.example/1";
    payment.refunds = paid_back[_i].refunds_known;
    payment_observe(&payment, &observation, arena, NOW_US);
    ck_assert_msg(payment.claim == paid_back[_i].claim_after, "%s: claim %s", paid_back[_i].what,
                  claim_word((enum claim)payment.claim));
    ck_assert_msg(payment_refund_is_open(&payment, arena) == paid_back[_i].is_refund_open,
                  "%s: refund", paid_back[_i].what);
    /* Two pieces of news need two versions. */
    ck_assert_msg(payment.version == (is_new ? 3 : 2), "%s: version", paid_back[_i].what);
    if (paid_back[_i].claim == CLAIM_OPEN && payment.claim == CLAIM_ABANDONED)
        ck_assert_str_eq(payment.url, "");
}
END_TEST

/* ---- amounts ---- */

/* clang-format off */
static const struct {
    const char *what;
    enum source source;
    int64_t amount;
    const char *currency;
    bool is_believed, is_quarantined;
} amounts[] = {
    { "the right amount",                SOURCE_WEBHOOK, 500, "JPY", true,  false },
    { "one less",                        SOURCE_WEBHOOK, 499, "JPY", false, false },
    { "another currency",                SOURCE_WEBHOOK, 500, "USD", false, false },
    { "a success without an amount",     SOURCE_WEBHOOK, 0,   NULL,  false, false },
    { "one less, in the provider's own", SOURCE_QUERY,   499, "JPY", false, true  },
    { "one less, in create's answer",    SOURCE_CREATE,  499, "JPY", false, false },
    { "the right one, asked for",        SOURCE_QUERY,   500, "JPY", true,  false },
};
/* clang-format on */

START_TEST(another_amount_moves_nothing)
{
    struct payment payment = payment_of(OBSERVED_PENDING, CLAIM_OPEN);
    struct observation observation = { .source = amounts[_i].source,
                                       .observed = OBSERVED_SUCCEEDED,
                                       .amount_minor = amounts[_i].amount,
                                       .currency = amounts[_i].currency,
                                       .url = "https://else.example" };
    unsigned changes = payment_observe(&payment, &observation, arena, NOW_US);

    ck_assert_msg((payment.claim == CLAIM_TAKEN) == amounts[_i].is_believed, "%s: claim",
                  amounts[_i].what);
    ck_assert_msg((payment.observed == OBSERVED_SUCCEEDED) == amounts[_i].is_believed,
                  "%s: observed", amounts[_i].what);
    ck_assert_msg((payment.url[0] != '\0') == amounts[_i].is_believed, "%s: url", amounts[_i].what);
    ck_assert_msg(payment.is_quarantined == amounts[_i].is_quarantined, "%s: quarantine",
                  amounts[_i].what);
    ck_assert_msg(((changes & CHANGE_WANTS_QUERY) != 0) ==
                      (!amounts[_i].is_believed && !amounts[_i].is_quarantined),
                  "%s: query", amounts[_i].what);
}
END_TEST

/* ---- until when ---- */

/* clang-format off */
static const struct {
    const char *what;
    int64_t ends_s, said_s; /* from now; 0: not said */
    int64_t shown_s, asked_until_s;
} ends[] = {
    { "the provider does not say",      600, 0,          600, 600    },
    { "it says the same",               600, 600,        600, 600    },
    { "its checkout ends earlier",      600, 300,        300, 600    },
    { "its checkout ends tomorrow",     600, 86400,      600, 86400  },
    { "in thirty days",                 600, 2592000,    600, 605400 },
    { "never, which is in 290,000 years", 600, INT64_C(7423000000000), 600, 605400 },
    { "a time before it was made",      600, -60,        600, 600    },
};
/* clang-format on */

START_TEST(no_longer_than_its_order)
{
    struct payment payment = payment_of(OBSERVED_CREATED, CLAIM_OPEN);
    struct observation observation = {
        .source = SOURCE_QUERY, .observed = OBSERVED_CREATED, .amount_minor = 500, .currency = "JPY"
    };

    payment.created_at_us = NOW_US;
    payment.ends_at_us = payment.expires_at_us = NOW_US + ends[_i].ends_s * SECOND_US;
    if (ends[_i].said_s != 0)
        observation.expires_at_us = NOW_US + ends[_i].said_s * SECOND_US;
    payment_observe(&payment, &observation, arena, NOW_US);
    ck_assert_msg(payment_expires_us(&payment) == NOW_US + ends[_i].shown_s * SECOND_US, "%s: %lld",
                  ends[_i].what, (long long)(payment_expires_us(&payment) - NOW_US) / SECOND_US);
    ck_assert_msg(payment_checkout_end_us(&payment) == NOW_US + ends[_i].asked_until_s * SECOND_US,
                  "%s", ends[_i].what);
}
END_TEST

/* ---- the plan ---- */

#define AFTER(seconds) (NOW_US + (seconds)*SECOND_US)

/* clang-format off */
static const struct {
    const char *what;
    int32_t observed, claim;
    bool is_abandon_asked;
    struct task task;
    enum task_kind kind;
    int64_t from_s, to_s; /* when it is due, from now; -1: never */
} plans[] = {
    /*                                        observed            claim            asked  task                                                                                    kind        due */
    { "a new payment",                        OBSERVED_CREATED,   CLAIM_OPEN,      false, { .create_state = CREATE_UNSENT },                                                       TASK_CREATE,   0,    0 },
    { "a create that timed out",              OBSERVED_CREATED,   CLAIM_OPEN,      false, { .create_state = CREATE_MAYBE, .attempts = 1 },                                         TASK_QUERY,    0,    2 },
    { "a create the provider did not know",   OBSERVED_CREATED,   CLAIM_OPEN,      false, { .create_state = CREATE_AGAIN, .attempts = 2 },                                         TASK_CREATE,   1,    3 },
    { "sent again, and no answer",            OBSERVED_CREATED,   CLAIM_OPEN,      false, { .create_state = CREATE_MAYBE_AGAIN, .attempts = 1 },                                   TASK_QUERY,    0,    2 },
    { "refused when it was sent again",       OBSERVED_CREATED,   CLAIM_OPEN,      false, { .create_state = CREATE_DOUBTED, .queried_at_us = AFTER(0) },                           TASK_QUERY,   54,   66 },
    { "doubted, and nobody wants it",         OBSERVED_CREATED,   CLAIM_OPEN,      true,  { .create_state = CREATE_DOUBTED },                                                      TASK_QUERY,    0,    0 },
    { "created just now",                     OBSERVED_CREATED,   CLAIM_OPEN,      false, { .create_state = CREATE_THERE, .queried_at_us = AFTER(0) },                             TASK_QUERY,   54,   66 },
    { "asked once",                           OBSERVED_PENDING,   CLAIM_OPEN,      false, { .create_state = CREATE_THERE, .queried_at_us = AFTER(0), .polls = 1 },                 TASK_QUERY,  270,  330 },
    { "asked five times more",                OBSERVED_PENDING,   CLAIM_OPEN,      false, { .create_state = CREATE_THERE, .queried_at_us = AFTER(0), .polls = 6 },                 TASK_QUERY,  660,  660 },
    { "after the checkout's end, hourly",     OBSERVED_PENDING,   CLAIM_OPEN,      false, { .create_state = CREATE_THERE, .queried_at_us = AFTER(0), .polls = 6, .last_query_done = true }, TASK_QUERY, 3240, 3960 },
    { "then daily",                           OBSERVED_PENDING,   CLAIM_OPEN,      false, { .create_state = CREATE_THERE, .queried_at_us = AFTER(0), .polls = 30, .last_query_done = true }, TASK_QUERY, 77760, 95040 },
    { "watched",                              OBSERVED_PENDING,   CLAIM_OPEN,      false, { .create_state = CREATE_THERE, .queried_at_us = AFTER(0), .watched_until_us = AFTER(30) },       TASK_QUERY,    2,    4 },
    { "a hint, asked a moment ago",           OBSERVED_PENDING,   CLAIM_OPEN,      false, { .create_state = CREATE_THERE, .queried_at_us = AFTER(-1), .query_wanted = true },      TASK_QUERY,    1,    1 },
    { "a hint",                               OBSERVED_PENDING,   CLAIM_OPEN,      false, { .create_state = CREATE_THERE, .queried_at_us = AFTER(-9), .query_wanted = true },      TASK_QUERY,    0,    0 },
    { "a cancel that was not answered, and a hint", OBSERVED_CREATED, CLAIM_OPEN,  true,  { .create_state = CREATE_THERE, .abandon_step = ABANDON_CANCEL, .attempts = 3, .query_wanted = true }, TASK_QUERY, 0, 6 },
    { "given up, and told that it was paid",  OBSERVED_CREATED,   CLAIM_ABANDONED, true,  { .create_state = CREATE_THERE, .abandon_step = ABANDON_CANCEL, .attempts = 18, .query_wanted = true, .queried_at_us = AFTER(-900) }, TASK_QUERY, 0, 6 },
    { "hinted once and asked in vain",        OBSERVED_PENDING,   CLAIM_OPEN,      false, { .create_state = CREATE_THERE, .queried_at_us = AFTER(0), .query_wanted = true, .hint_attempts = 9 }, TASK_QUERY, 27, 33 },
    { "a hint to a refund that waits",        OBSERVED_SUCCEEDED, CLAIM_RETURNED,  false, { .create_state = CREATE_THERE, .attempts = 30, .query_wanted = true },                TASK_QUERY,    0,    0 },
    { "a hint to one that was refused",       OBSERVED_FAILED,    CLAIM_OPEN,      false, { .create_state = CREATE_REFUSED, .query_wanted = true },                               TASK_QUERY,    0,    0 },
    { "a hint before anything was sent",      OBSERVED_CREATED,   CLAIM_OPEN,      false, { .create_state = CREATE_UNSENT, .query_wanted = true },                                TASK_CREATE,   0,    0 },
    { "failed: the last query",               OBSERVED_FAILED,    CLAIM_OPEN,      false, { .create_state = CREATE_THERE, .queried_at_us = AFTER(0) },                             TASK_QUERY,  660,  660 },
    { "failed, and asked for the last time",  OBSERVED_FAILED,    CLAIM_OPEN,      false, { .create_state = CREATE_THERE, .last_query_done = true },                               TASK_NONE,    -1,   -1 },
    { "the provider will not have it",        OBSERVED_FAILED,    CLAIM_OPEN,      false, { .create_state = CREATE_REFUSED },                                                      TASK_NONE,    -1,   -1 },
    { "taken",                                OBSERVED_SUCCEEDED, CLAIM_TAKEN,     false, { .create_state = CREATE_THERE },                                                        TASK_NONE,    -1,   -1 },
    { "abandoned, asked first",               OBSERVED_PENDING,   CLAIM_OPEN,      true,  { .create_state = CREATE_THERE },                                                        TASK_QUERY,    0,    0 },
    { "abandoned, the create in doubt",       OBSERVED_CREATED,   CLAIM_OPEN,      true,  { .create_state = CREATE_MAYBE, .attempts = 9 },                                         TASK_QUERY,    4,    6 },
    { "abandoned, cancelled next",            OBSERVED_PENDING,   CLAIM_OPEN,      true,  { .create_state = CREATE_THERE, .abandon_step = ABANDON_CANCEL },                        TASK_CANCEL,   0,    0 },
    { "abandoned, and asked once more",       OBSERVED_PENDING,   CLAIM_OPEN,      true,  { .create_state = CREATE_THERE, .abandon_step = ABANDON_QUERY_AGAIN, .attempts = 1 },    TASK_QUERY,    0,    0 },
    { "given up, it may still be created",    OBSERVED_CREATED,   CLAIM_ABANDONED, true,  { .create_state = CREATE_MAYBE, .attempts = 12 },                                        TASK_QUERY,  270,  330 },
    { "given up and canceled: a last query",  OBSERVED_CANCELED,  CLAIM_ABANDONED, true,  { .create_state = CREATE_THERE, .abandon_step = ABANDON_QUERY_AGAIN },                   TASK_QUERY,  660,  660 },
    { "given up, and all is said",            OBSERVED_CANCELED,  CLAIM_ABANDONED, true,  { .create_state = CREATE_THERE, .last_query_done = true },                               TASK_NONE,    -1,   -1 },
    { "given up, and still open there",       OBSERVED_PENDING,   CLAIM_ABANDONED, true,  { .create_state = CREATE_THERE, .abandon_step = ABANDON_CANCEL, .last_query_done = true, .attempts = 9 }, TASK_CANCEL, 230, 282 },
    { "given up, and it never arrived",       OBSERVED_CREATED,   CLAIM_ABANDONED, true,  { .create_state = CREATE_NEVER, .last_query_done = true },                               TASK_NONE,    -1,   -1 },
    { "paid after all",                       OBSERVED_SUCCEEDED, CLAIM_ABANDONED, true,  { .create_state = CREATE_THERE },                                                        TASK_REFUND,   0,    0 },
    { "a refund that nobody answers",         OBSERVED_SUCCEEDED, CLAIM_RETURNED,  false, { .create_state = CREATE_THERE, .attempts = 30 },                                        TASK_REFUND, 3240, 3960 },
    { "a refund in doubt is asked for first", OBSERVED_SUCCEEDED, CLAIM_RETURNED,  false, { .create_state = CREATE_THERE, .refund_state = REFUND_IN_DOUBT, .attempts = 1 },       TASK_QUERY_REFUND, 0, 2 },
    { "a refund of which nothing was said",   OBSERVED_SUCCEEDED, CLAIM_RETURNED,  false, { .create_state = CREATE_THERE, .refund_state = REFUND_UNSAID, .attempts = 1 },         TASK_QUERY,    0,    2 },
    { "what is left of one that was denied",  OBSERVED_SUCCEEDED, CLAIM_RETURNED,  false, { .create_state = CREATE_THERE, .refund_state = REFUND_DENIED, .attempts = 1 },         TASK_QUERY,    0,    2 },
};
/* clang-format on */

START_TEST(plan_of)
{
    struct payment payment = payment_of(plans[_i].observed, plans[_i].claim);
    struct task task = plans[_i].task;

    task.payment_id = payment.record.id;
    payment.abandon_asked_us = plans[_i].is_abandon_asked ? NOW_US : 0;
    payment_plan(&payment, &task, arena, NOW_US);
    ck_assert_msg(task.kind == (int32_t)plans[_i].kind, "%s: %s", plans[_i].what,
                  task_word((enum task_kind)task.kind));
    if (plans[_i].to_s < 0)
        ck_assert_msg(task.due_us == TASK_NEVER_US, "%s: never", plans[_i].what);
    else
        ck_assert_msg(task.due_us >= AFTER(plans[_i].from_s) &&
                          task.due_us <= AFTER(plans[_i].to_s),
                      "%s: due in %" PRId64 " us", plans[_i].what, task.due_us - NOW_US);
}
END_TEST

/* After an outage a thousand payments do not ask at the same moment. */
START_TEST(no_herd)
{
    int64_t first_us = INT64_MAX, last_us = 0;

    for (int i = 0; i < 1000; i++) {
        struct payment payment = payment_of(OBSERVED_PENDING, CLAIM_OPEN);
        struct task task = { .payment_id = payment.record.id,
                             .create_state = CREATE_THERE,
                             .attempts = 20 };

        payment_plan(&payment, &task, arena, NOW_US);
        first_us = task.due_us < first_us ? task.due_us : first_us;
        last_us = task.due_us > last_us ? task.due_us : last_us;
    }
    ck_assert_int_gt(last_us - first_us, 50 * SECOND_US);
}
END_TEST

START_TEST(one_lease_at_a_time)
{
    struct payment payment = payment_of(OBSERVED_CREATED, CLAIM_OPEN);
    struct task task = { .payment_id = payment.record.id };
    struct observation created = { .source = SOURCE_CREATE, .observed = OBSERVED_CREATED };

    payment_plan(&payment, &task, arena, NOW_US);
    ck_assert_int_eq(payment_lease(&payment, &task, arena, NOW_US), TASK_CREATE);
    ck_assert_int_eq(payment_lease(&payment, &task, arena, NOW_US), TASK_NONE);
    ck_assert_int_eq(task.create_state, CREATE_MAYBE); /* before anything is sent */
    payment_abandon(&payment, AFTER(1));
    payment_plan(&payment, &task, arena, AFTER(1));
    ck_assert_int_eq(payment.claim, CLAIM_OPEN); /* what is under way is waited out */
    ck_assert_int_eq(payment_lease(&payment, &task, arena, AFTER(2)), TASK_NONE);
    ck_assert_int_eq(payment_lease(&payment, &task, arena, AFTER(16)), TASK_QUERY);
    /* The lease that ran out comes back after all: it exists. */
    payment_learn(&payment, &task, 1, OUTCOME_KNOWN, &created, arena, AFTER(17));
    ck_assert(task.is_leased && task.lease == 2);
    ck_assert_int_eq(task.create_state, CREATE_THERE);
}
END_TEST

/* Whoever watches, and whatever webhook comes: a retry that waits is not put off by it. */
START_TEST(nothing_puts_a_retry_off)
{
    struct payment payment = payment_of(OBSERVED_PENDING, CLAIM_OPEN);
    struct task task = { .payment_id = payment.record.id,
                         .create_state = CREATE_THERE,
                         .attempts = 20 };
    int64_t due_us;

    payment_plan(&payment, &task, arena, NOW_US);
    due_us = task.due_us;
    for (int i = 1; i < 100; i++) {
        payment_plan(&payment, &task, arena, AFTER(i));
        ck_assert_int_eq(task.due_us, due_us);
    }
    ck_assert_int_eq(payment_lease(&payment, &task, arena, due_us), TASK_QUERY);
    payment_learn(&payment, &task, task.lease, OUTCOME_UNKNOWN, NULL, arena, due_us + SECOND_US);
    ck_assert_int_gt(task.due_us, due_us + 200 * SECOND_US);
}
END_TEST

/* Does the task that is due, with this answer. */
static void
answered(struct payment *payment, struct task *task, enum task_kind kind, enum outcome outcome,
         int64_t *now_us)
{
    const struct observation nothing = { .source = SOURCE_QUERY };

    if (task->due_us > *now_us)
        *now_us = task->due_us;
    ck_assert_int_eq(payment_lease(payment, task, arena, *now_us), kind);
    payment_learn(payment, task, task->lease, outcome, &nothing, arena, *now_us);
}

/* Unknown is sticky: the first create may have arrived, whatever is said to the second. */
START_TEST(create_refused_after_one_in_doubt)
{
    struct payment payment = payment_of(OBSERVED_CREATED, CLAIM_OPEN);
    struct task task = { .payment_id = payment.record.id };
    struct observation paid = { .source = SOURCE_QUERY,
                                .observed = OBSERVED_SUCCEEDED,
                                .amount_minor = 500,
                                .currency = "JPY" };
    int64_t now_us = NOW_US;

    payment_plan(&payment, &task, arena, now_us);
    answered(&payment, &task, TASK_CREATE, OUTCOME_UNKNOWN, &now_us);
    answered(&payment, &task, TASK_QUERY, OUTCOME_NOT_FOUND, &now_us);
    answered(&payment, &task, TASK_CREATE, OUTCOME_REFUSED, &now_us);
    ck_assert_int_eq(payment.observed, OBSERVED_CREATED);
    ck_assert_int_eq(task.create_state, CREATE_DOUBTED);
    answered(&payment, &task, TASK_QUERY, OUTCOME_NOT_FOUND, &now_us);
    ck_assert_int_eq(payment.observed, OBSERVED_CREATED);
    ck_assert_int_ge(task.due_us, now_us + 200 * SECOND_US); /* polled, not hammered */
    now_us = task.due_us;
    ck_assert_int_eq(payment_lease(&payment, &task, arena, now_us), TASK_QUERY);
    payment_learn(&payment, &task, task.lease, OUTCOME_KNOWN, &paid, arena, now_us);
    ck_assert_int_eq(payment.claim, CLAIM_TAKEN);
}
END_TEST

START_TEST(create_refused_and_never_seen)
{
    struct payment payment = payment_of(OBSERVED_CREATED, CLAIM_OPEN);
    struct task task = { .payment_id = payment.record.id };
    int64_t now_us = NOW_US;
    int queries = 0;

    payment_plan(&payment, &task, arena, now_us);
    answered(&payment, &task, TASK_CREATE, OUTCOME_UNKNOWN, &now_us);
    answered(&payment, &task, TASK_QUERY, OUTCOME_NOT_FOUND, &now_us);
    answered(&payment, &task, TASK_CREATE, OUTCOME_REFUSED, &now_us);
    for (; task.kind != TASK_NONE && queries < 20; queries++)
        answered(&payment, &task, TASK_QUERY, OUTCOME_NOT_FOUND, &now_us);
    ck_assert_int_lt(queries, 10);
    ck_assert_int_ge(now_us, payment.expires_at_us);
    ck_assert_int_eq(payment.observed, OBSERVED_FAILED);
}
END_TEST

START_TEST(first_create_refused)
{
    struct payment payment = payment_of(OBSERVED_CREATED, CLAIM_OPEN);
    struct task task = { .payment_id = payment.record.id };
    int64_t now_us = NOW_US;

    payment_plan(&payment, &task, arena, now_us);
    answered(&payment, &task, TASK_CREATE, OUTCOME_REFUSED, &now_us);
    ck_assert_int_eq(payment.observed, OBSERVED_FAILED);
    ck_assert_int_eq(task.kind, TASK_NONE);
}
END_TEST

/* After an outage the first answer ends the waiting, also when it is that nothing is there. */
START_TEST(answered_404_ends_the_backoff)
{
    struct payment payment = payment_of(OBSERVED_CREATED, CLAIM_OPEN);
    struct task task = { .payment_id = payment.record.id };
    int64_t now_us = NOW_US;

    payment_plan(&payment, &task, arena, now_us);
    answered(&payment, &task, TASK_CREATE, OUTCOME_UNKNOWN, &now_us);
    for (int i = 0; i < 6; i++)
        answered(&payment, &task, TASK_QUERY, OUTCOME_UNKNOWN, &now_us);
    answered(&payment, &task, TASK_QUERY, OUTCOME_NOT_FOUND, &now_us);
    ck_assert_int_eq(task.kind, TASK_CREATE);
    ck_assert_int_eq(task.due_us, now_us);
    /* But a create that fails time and again is not sent every second for that. */
    for (int i = 0; i < 4; i++) {
        answered(&payment, &task, TASK_CREATE, OUTCOME_UNKNOWN, &now_us);
        answered(&payment, &task, TASK_QUERY, OUTCOME_NOT_FOUND, &now_us);
    }
    ck_assert_int_eq(task.kind, TASK_CREATE);
    ck_assert_int_gt(task.due_us, now_us + 60 * SECOND_US);
}
END_TEST

/* Each step of a refund that the provider refuses, and what an operator sees of it. */
START_TEST(refund_that_is_refused)
{
    struct payment payment = payment_of(OBSERVED_SUCCEEDED, CLAIM_RETURNED);
    struct task task = { .payment_id = payment.record.id, .create_state = CREATE_THERE };
    struct observation books = { .source = SOURCE_QUERY,
                                 .observed = OBSERVED_SUCCEEDED,
                                 .amount_minor = 500,
                                 .currency = "JPY",
                                 .refunds = { { "office", 200 } },
                                 .refund_count = 1 };
    int64_t now_us = NOW_US;
    unsigned changes;

    payment_plan(&payment, &task, arena, now_us);
    ck_assert_int_eq(payment_lease(&payment, &task, arena, now_us), TASK_REFUND);
    changes = payment_learn(&payment, &task, task.lease, OUTCOME_REFUSED, &books, arena, now_us);
    ck_assert((changes & CHANGE_REFUND_REFUSED) != 0);
    ck_assert(payment.needs_person);
    now_us = task.due_us;
    ck_assert_int_eq(payment_lease(&payment, &task, arena, now_us), TASK_QUERY);
    payment_learn(&payment, &task, task.lease, OUTCOME_KNOWN, &books, arena, now_us);
    ck_assert_int_eq(payment_refund_left(&payment, arena), 300);
    ck_assert(payment.needs_person);                   /* it is not done yet */
    ck_assert_int_gt(task.due_us, now_us + SECOND_US); /* and not tried at once for ever */
    now_us = task.due_us;
    ck_assert_int_eq(payment_lease(&payment, &task, arena, now_us), TASK_REFUND);
    books = (struct observation){ .source = SOURCE_REFUND,
                                  .refunds = { { "ours", 300 } },
                                  .refund_count = 1 };
    payment_learn(&payment, &task, task.lease, OUTCOME_KNOWN, &books, arena, now_us);
    ck_assert(!payment.needs_person);
    ck_assert_int_eq(task.kind, TASK_NONE);
}
END_TEST

/* Refunded by others, and the provider does not list it: its refusal and its word together say so. */
START_TEST(refund_that_others_made)
{
    struct payment payment = payment_of(OBSERVED_SUCCEEDED, CLAIM_RETURNED);
    struct task task = { .payment_id = payment.record.id, .create_state = CREATE_THERE };
    struct observation books = { .source = SOURCE_QUERY,
                                 .observed = OBSERVED_SUCCEEDED,
                                 .is_paid_back = true,
                                 .amount_minor = 500,
                                 .currency = "JPY" };

    payment_plan(&payment, &task, arena, NOW_US);
    ck_assert_int_eq(payment_lease(&payment, &task, arena, NOW_US), TASK_REFUND);
    payment_learn(&payment, &task, task.lease, OUTCOME_REFUSED, &books, arena, NOW_US);
    ck_assert_int_eq(payment_lease(&payment, &task, arena, task.due_us), TASK_QUERY);
    payment_learn(&payment, &task, task.lease, OUTCOME_KNOWN, &books, arena, task.due_us);
    ck_assert_str_eq(payment.refunds, "500 unnamed");
    ck_assert(!payment.needs_person);
    ck_assert_int_eq(task.kind, TASK_NONE);
}
END_TEST

START_TEST(refund_whose_lease_ran_out)
{
    struct payment payment = payment_of(OBSERVED_SUCCEEDED, CLAIM_RETURNED);
    struct task task = { .payment_id = payment.record.id, .create_state = CREATE_THERE };
    int64_t now_us;

    payment_plan(&payment, &task, arena, NOW_US);
    ck_assert_int_eq(payment_lease(&payment, &task, arena, NOW_US), TASK_REFUND);
    now_us = task.due_us;
    ck_assert_int_eq(payment_lease(&payment, &task, arena, now_us), TASK_NONE); /* soon */
    ck_assert_int_eq(payment_lease(&payment, &task, arena, task.due_us), TASK_QUERY_REFUND);
    payment_learn(&payment, &task, task.lease, OUTCOME_NOT_FOUND, NULL, arena, now_us);
    ck_assert_int_eq(task.kind, TASK_REFUND);
}
END_TEST

/* A person settles a quarantined payment: the books say what was taken, and that goes back, once. */
/* clang-format off */
static const struct {
    const char *what;
    int32_t claim;
    enum observed books;  /* as they are when the person asks */
    int64_t booked_minor;
    const char *currency;
    int64_t office_minor; /* went back by hand */
    int64_t refund_minor; /* ours */
    int32_t claim_after;
    bool needs_person_after;
} settlings[] = {
    { "one more than asked for",       CLAIM_OPEN,      OBSERVED_SUCCEEDED, 501, "JPY", 0,   501, CLAIM_ABANDONED, false },
    { "another currency",              CLAIM_OPEN,      OBSERVED_SUCCEEDED, 500, "USD", 0,   500, CLAIM_ABANDONED, false },
    { "some of it went back by hand",  CLAIM_ABANDONED, OBSERVED_SUCCEEDED, 400, "JPY", 150, 250, CLAIM_ABANDONED, false },
    { "all of it went back by hand",   CLAIM_ABANDONED, OBSERVED_SUCCEEDED, 400, "JPY", 400, 0,   CLAIM_ABANDONED, false },
    { "given back by its order",       CLAIM_RETURNED,  OBSERVED_SUCCEEDED, 501, "JPY", 0,   501, CLAIM_RETURNED,  false },
    { "the books have come right",     CLAIM_OPEN,      OBSERVED_SUCCEEDED, 500, "JPY", 0,   500, CLAIM_ABANDONED, false },
    { "it was never paid",             CLAIM_OPEN,      OBSERVED_CANCELED,  501, "JPY", 0,   0,   CLAIM_ABANDONED, false },
    { "it can still be paid",          CLAIM_OPEN,      OBSERVED_PENDING,   501, "JPY", 0,   0,   CLAIM_ABANDONED, true  },
    { "a currency that is none",       CLAIM_OPEN,      OBSERVED_SUCCEEDED, 501, "EURO", 0,  0,   CLAIM_ABANDONED, true  },
    { "an amount that nobody can read", CLAIM_OPEN,     OBSERVED_SUCCEEDED, -1,  "JPY", 0,   0,   CLAIM_ABANDONED, true  },
};
/* clang-format on */

/* The answer of the provider's books. */
static struct observation
settling_books(int row)
{
    struct observation books = { .source = SOURCE_QUERY,
                                 .observed = settlings[row].books,
                                 .amount_minor = settlings[row].booked_minor,
                                 .currency = settlings[row].currency };

    if (settlings[row].office_minor > 0)
        books.refunds[books.refund_count++] =
            (struct refunded){ "office", settlings[row].office_minor };
    return books;
}

START_TEST(person_settles)
{
    int32_t observed =
        settlings[_i].claim == CLAIM_RETURNED ? OBSERVED_SUCCEEDED : OBSERVED_PENDING;
    struct payment payment = payment_of(observed, settlings[_i].claim);
    struct task task = { .payment_id = payment.record.id, .create_state = CREATE_THERE };
    struct observation books = settling_books(_i), refund = { .source = SOURCE_REFUND };

    payment.is_quarantined = payment.needs_person = true;
    payment_plan(&payment, &task, arena, NOW_US);
    ck_assert_int_eq(task.kind, TASK_NONE); /* nothing by itself */
    for (int twice = 0; twice < 2; twice++) {
        payment_settle(&payment, &task, "ada", NOW_US);
        payment_plan(&payment, &task, arena, NOW_US);
    }
    ck_assert_int_eq(payment.claim, settlings[_i].claim_after);
    ck_assert_int_eq(payment_lease(&payment, &task, arena, NOW_US), TASK_QUERY);
    payment_learn(&payment, &task, task.lease, OUTCOME_KNOWN, &books, arena, NOW_US);
    if (settlings[_i].refund_minor > 0) {
        ck_assert_int_eq(payment_lease(&payment, &task, arena, task.due_us), TASK_REFUND);
        ck_assert_msg(payment_refund_left(&payment, arena) == settlings[_i].refund_minor,
                      "%s: %" PRId64, settlings[_i].what, payment_refund_left(&payment, arena));
        ck_assert_str_eq(payment_refund_currency(&payment), settlings[_i].currency);
        refund.refunds[0] = (struct refunded){ "ours", settlings[_i].refund_minor };
        refund.refund_count = 1;
        payment_learn(&payment, &task, task.lease, OUTCOME_KNOWN, &refund, arena, NOW_US);
    }
    ck_assert_msg(task.kind == TASK_NONE, "%s: %s is next", settlings[_i].what,
                  task_word((enum task_kind)task.kind));
    ck_assert_msg(payment.needs_person == settlings[_i].needs_person_after, "%s: person",
                  settlings[_i].what);
    ck_assert_int_ne(payment.claim, CLAIM_TAKEN);
}
END_TEST

START_TEST(abandon_before_anything_was_sent)
{
    struct payment payment = payment_of(OBSERVED_CREATED, CLAIM_OPEN);
    struct task task = { .payment_id = payment.record.id };

    payment_plan(&payment, &task, arena, NOW_US);
    payment_abandon(&payment, NOW_US);
    ck_assert_uint_eq(payment_plan(&payment, &task, arena, NOW_US), CHANGE_CLAIM);
    ck_assert_int_eq(payment.claim, CLAIM_ABANDONED);
    ck_assert_int_eq(task.kind, TASK_NONE);
}
END_TEST

int
main(void)
{
    TCase *tests = check_case("rules");

    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, one_vocabulary, 0, ROWS(words));
    tcase_add_test(tests, numbers_are_those_of_the_proto);
    tcase_add_test(tests, every_claim_answers_every_event);
    tcase_add_loop_test(tests, refund_is_due, 0, ROWS(refund_rules));
    tcase_add_test(tests, refunds_are_a_set);
    tcase_add_loop_test(tests, paid_back_is_not_taken, 0, ROWS(paid_back));
    tcase_add_loop_test(tests, another_amount_moves_nothing, 0, ROWS(amounts));
    tcase_add_loop_test(tests, no_longer_than_its_order, 0, ROWS(ends));
    tcase_add_loop_test(tests, plan_of, 0, ROWS(plans));
    tcase_add_test(tests, no_herd);
    tcase_add_test(tests, one_lease_at_a_time);
    tcase_add_test(tests, nothing_puts_a_retry_off);
    tcase_add_test(tests, create_refused_after_one_in_doubt);
    tcase_add_test(tests, create_refused_and_never_seen);
    tcase_add_test(tests, first_create_refused);
    tcase_add_test(tests, answered_404_ends_the_backoff);
    tcase_add_test(tests, refund_that_is_refused);
    tcase_add_test(tests, refund_that_others_made);
    tcase_add_test(tests, refund_whose_lease_ran_out);
    tcase_add_loop_test(tests, person_settles, 0, ROWS(settlings));
    tcase_add_test(tests, abandon_before_anything_was_sent);
    return check_run("payment", tests);
}
