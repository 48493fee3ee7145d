/* test_account_payment_orders.c -- What holds of a payment in whatever order things are heard of it.
 *
 * Every sequence of up to six events is played, then the provider thread's part is played to the end
 * against a provider that tells the truth. Whatever the order:
 *   observed is the greatest that was said with the right amount,
 *   claim is TAKEN or RETURNED only of a payment that succeeded,
 *   an Abandon ends, within 60 seconds, and no create is sent after it,
 *   when a refund is due everything goes back, by one refund of ours of what others left, and else
 *   nothing; also when answers to it are lost, or the provider's back office was first.
 */
#include "account-svc/payment.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { EVENTS_MAX = 6, SETTLE_STEPS_MAX = 400 };

#define START_US (INT64_C(1800000000) * SECOND_US)
#define EXPIRES_US (START_US + 600 * SECOND_US)

enum act {
    ACT_PENDING, /* webhooks */
    ACT_FAILED,
    ACT_EXPIRED,
    ACT_SUCCEEDED,
    ACT_WRONG_AMOUNT,
    ACT_PAID_BACK,      /* it succeeded, and all of it had gone back; */
    ACT_PAID_BACK_PART, /* some of it */
    ACT_ABANDON,
    ACT_RETURN,
    ACT_CREATED, /* the answer to the create that is under way */
    ACT_COUNT
};

enum refund_trouble {
    REFUND_WELL,
    REFUND_ANSWER_LOST,  /* it is done, and we do not hear of it */
    REFUND_REQUEST_LOST, /* nothing is done */
    REFUND_OFFICE_FIRST, /* some of it went back before, and only the books say so */
    REFUND_SLOW,         /* accepted at first, and done later */
    REFUND_TROUBLE_COUNT
};

/* The provider's side, as it is in truth. */
struct world {
    bool is_there;
    enum observed truth;
    int refunds;                        /* of ours, made */
    int64_t ours_minor, others_minor;   /* that went back */
    enum refund_trouble refund_trouble; /* what happens to our first request */
    bool is_trouble_over;
    bool books_differ;
};

struct state {
    struct payment payment;
    struct task task;
    struct world world;
    int64_t now_us;
    enum observed greatest; /* said so far, with the right amount */
    int64_t decided_us;     /* when an asked-for Abandon was decided */
};

/* check's own assertions write to a pipe each time: a million of them would be half the test. */
#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg("not so: %s", #condition);                                                \
    } while (0)

static struct arena *arena;   /* of the events played, */
static struct arena *scratch; /* and of one settling */
static size_t played;

static struct state
state_new(void)
{
    struct state state = { .now_us = START_US, .greatest = OBSERVED_CREATED };
    struct payment *payment = &state.payment;

    payment->record.id = uuid_v7(START_US);
    payment->record.fingerprint = 1;
    payment->provider = "sandbox";
    payment->amount_minor = 500;
    payment->currency = "JPY";
    payment->description = payment->return_url = payment->url = payment->reference = "";
    payment->refunds = payment->traceparent = payment->booked_currency = "";
    payment->observed = OBSERVED_CREATED;
    payment->claim = CLAIM_OPEN;
    payment->version = 1;
    payment->expires_at_us = EXPIRES_US;
    state.task.payment_id = payment->record.id;
    state.task.provider = "sandbox";
    payment_plan(payment, &state.task, arena, state.now_us);
    MUST(payment_lease(payment, &state.task, arena, state.now_us) == TASK_CREATE);
    return state;
}

static struct observation
said(enum source source, enum observed observed, int64_t amount_minor)
{
    return (struct observation){
        .source = source, .observed = observed, .amount_minor = amount_minor, .currency = "JPY"
    };
}

static void
say_refund(struct observation *observation, const char *id, int64_t amount_minor)
{
    if (amount_minor > 0)
        observation->refunds[observation->refund_count++] = (struct refunded){ id, amount_minor };
}

/* A webhook, as observe_payment_decide() takes it. */
static void
hear(struct state *state, enum observed observed, int64_t amount_minor, int64_t others_minor)
{
    struct observation observation = said(SOURCE_WEBHOOK, observed, amount_minor);
    int32_t claim = state->payment.claim;
    unsigned changes;

    say_refund(&observation, "office", others_minor);
    changes = payment_observe(&state->payment, &observation, arena, state->now_us);
    if (others_minor > state->world.others_minor)
        state->world.others_minor = others_minor;
    if (others_minor == 500 && claim == CLAIM_OPEN)
        MUST(state->payment.claim == CLAIM_ABANDONED); /* nothing is there to take */
    if (amount_minor != state->payment.amount_minor) {
        MUST(changes == CHANGE_WANTS_QUERY);
        state->task.query_wanted = true;
    } else {
        if (observed > state->greatest)
            state->greatest = observed;
        if (observed > state->world.truth)
            state->world.truth = observed;
        state->world.is_there = true;
    }
    payment_plan(&state->payment, &state->task, arena, state->now_us);
}

static void
act(struct state *state, enum act what)
{
    struct observation created = said(SOURCE_CREATE, OBSERVED_CREATED, 500);

    state->now_us += SECOND_US / 10;
    switch (what) {
    case ACT_PENDING:
        hear(state, OBSERVED_PENDING, 500, 0);
        break;
    case ACT_FAILED:
        hear(state, OBSERVED_FAILED, 500, 0);
        break;
    case ACT_EXPIRED:
        hear(state, OBSERVED_EXPIRED, 500, 0);
        break;
    case ACT_SUCCEEDED:
        hear(state, OBSERVED_SUCCEEDED, 500, 0);
        break;
    case ACT_WRONG_AMOUNT:
        hear(state, OBSERVED_SUCCEEDED, 499, 0);
        break;
    case ACT_PAID_BACK:
        hear(state, OBSERVED_SUCCEEDED, 500, 500);
        break;
    case ACT_PAID_BACK_PART:
        hear(state, OBSERVED_SUCCEEDED, 500, 200);
        break;
    case ACT_ABANDON:
        payment_abandon(&state->payment, state->now_us);
        payment_plan(&state->payment, &state->task, arena, state->now_us);
        break;
    case ACT_RETURN:
        payment_return(&state->payment, state->now_us);
        payment_plan(&state->payment, &state->task, arena, state->now_us);
        break;
    case ACT_CREATED:
        created.url = "https://pay.example/1";
        state->world.is_there = true;
        payment_learn(&state->payment, &state->task, 1, OUTCOME_KNOWN, &created, arena,
                      state->now_us);
        break;
    case ACT_COUNT:
        abort();
    }
}

static void
check_state(const struct state *state)
{
    const struct payment *payment = &state->payment;
    bool is_due = payment->observed == OBSERVED_SUCCEEDED &&
                  (payment->claim == CLAIM_ABANDONED || payment->claim == CLAIM_RETURNED);

    MUST(payment->observed == (int)state->greatest);
    MUST(payment_refund_is_due(payment) == is_due);
    if (payment->claim == CLAIM_TAKEN || payment->claim == CLAIM_RETURNED)
        MUST(payment->observed == OBSERVED_SUCCEEDED);
    if (payment->claim == CLAIM_OPEN && !payment->is_quarantined)
        MUST(payment->observed != OBSERVED_SUCCEEDED);
    if (payment->abandon_asked_us != 0)
        MUST(strcmp(payment->url, "") == 0);
}

/* Under one id it is one refund. */
static enum outcome
refund(struct state *state, struct observation *observation)
{
    struct world *world = &state->world;
    int64_t left_minor = payment_refund_left(&state->payment, arena);
    bool is_first = !world->is_trouble_over;

    MUST(payment_refund_is_due(&state->payment));
    world->is_trouble_over = true;
    if (is_first && world->refund_trouble == REFUND_REQUEST_LOST)
        return OUTCOME_UNKNOWN;
    if (is_first && world->refund_trouble == REFUND_OFFICE_FIRST)
        world->others_minor = world->others_minor > 200 ? world->others_minor : 200;
    if (world->ours_minor == 0 && left_minor > 500 - world->others_minor)
        return OUTCOME_REFUSED;
    if (world->ours_minor == 0) {
        world->refunds++;
        world->ours_minor = left_minor;
    }
    MUST(world->ours_minor + world->others_minor <= 500);
    if (is_first &&
        (world->refund_trouble == REFUND_ANSWER_LOST || world->refund_trouble == REFUND_SLOW))
        return OUTCOME_UNKNOWN;
    *observation = (struct observation){ .source = SOURCE_REFUND };
    say_refund(observation, "ours", world->ours_minor);
    return OUTCOME_KNOWN;
}

/* The provider's answer to a task. */
static enum outcome
answer(struct state *state, enum task_kind kind, struct observation *observation)
{
    struct world *world = &state->world;
    int64_t amount_minor = world->books_differ ? 499 : 500;

    switch (kind) {
    case TASK_CREATE:
        MUST(state->payment.abandon_asked_us == 0);
        world->is_there = true;
        *observation = said(SOURCE_CREATE, OBSERVED_CREATED, amount_minor);
        return OUTCOME_KNOWN;
    case TASK_QUERY:
        if (!world->is_there)
            return OUTCOME_NOT_FOUND;
        *observation = said(SOURCE_QUERY, world->truth, amount_minor);
        say_refund(observation, "office", world->others_minor);
        say_refund(observation, "ours", world->ours_minor);
        if (!world->books_differ && world->truth > state->greatest)
            state->greatest = world->truth;
        return OUTCOME_KNOWN;
    case TASK_CANCEL:
        if (!world->is_there)
            return OUTCOME_NOT_FOUND;
        if (observed_is_final((int32_t)world->truth))
            return OUTCOME_REFUSED;
        world->truth = OBSERVED_CANCELED;
        *observation = said(SOURCE_CANCEL, OBSERVED_NONE, 500);
        return OUTCOME_KNOWN;
    case TASK_REFUND:
        return refund(state, observation);
    case TASK_QUERY_REFUND:
        if (world->refund_trouble == REFUND_SLOW && world->is_trouble_over) {
            world->refund_trouble = REFUND_WELL; /* next time it is done */
            return OUTCOME_UNKNOWN;
        }
        if (world->ours_minor == 0)
            return OUTCOME_NOT_FOUND;
        *observation = (struct observation){ .source = SOURCE_REFUND };
        say_refund(observation, "ours", world->ours_minor);
        return OUTCOME_KNOWN;
    case TASK_NONE:
    case TASK_KIND_COUNT:
        break;
    }
    abort();
}

/* One step of what the provider thread and the sweep do; false when nothing is left before until_us. */
static bool
step(struct state *state, int64_t until_us)
{
    struct task *task = &state->task;
    struct observation observation = { 0 };
    int64_t next_us = task->due_us;
    enum task_kind kind;

    if (task->give_up_us != 0 && task->give_up_us < next_us)
        next_us = task->give_up_us;
    if (next_us > until_us)
        return false;
    if (next_us > state->now_us)
        state->now_us = next_us;
    if (task->give_up_us != 0 && task->give_up_us <= state->now_us) {
        payment_give_up(&state->payment, task, arena, state->now_us);
        return true;
    }
    kind = payment_lease(&state->payment, task, arena, state->now_us);
    if (kind == TASK_NONE)
        return true;
    state->now_us += SECOND_US / 5;
    payment_learn(&state->payment, task, task->lease, answer(state, kind, &observation),
                  &observation, arena, state->now_us);
    return true;
}

/* True: a refund was due, and made. */
static bool
settle_from(struct state state)
{
    bool is_due, is_ours;

    int64_t end_us = EXPIRES_US + 7200 * SECOND_US;
    int steps = 0;

    while (step(&state, end_us)) {
        MUST(++steps < SETTLE_STEPS_MAX);
        check_state(&state);
        if (state.payment.claim != CLAIM_OPEN && state.decided_us == 0)
            state.decided_us = state.now_us;
    }
    if (state.payment.abandon_asked_us != 0) {
        MUST(state.payment.claim != CLAIM_OPEN);
        MUST(state.decided_us - state.payment.abandon_asked_us <= 60 * SECOND_US);
    }
    if (state.payment.is_quarantined) {
        MUST(state.world.refunds == 0); /* a person's to make */
        return false;
    }
    is_due = payment_refund_is_due(&state.payment);
    is_ours = is_due && state.world.others_minor < 500;
    MUST(state.world.refunds == (is_ours ? 1 : 0));
    MUST(state.world.ours_minor == (is_due ? 500 - state.world.others_minor : 0));
    MUST(!payment_refund_is_open(&state.payment, arena));
    MUST(!state.payment.needs_person);
    return is_ours;
}

/* In memory of its own: there are many, and nothing of one is needed in the next. */
static void
settle(const struct state *state)
{
    struct arena *events = arena;

    arena = scratch;
    if (settle_from(*state)) {
        for (enum refund_trouble trouble = 1; trouble < REFUND_TROUBLE_COUNT; trouble++) {
            struct state troubled = *state;

            troubled.world.refund_trouble = trouble;
            MUST(settle_from(troubled));
        }
    }
    arena = events;
    arena_reset(scratch);
    played++;
}

/* What an event made lives as long as what may follow it. */
static void
play_all(const struct state *state, int depth)
{
    struct arena *before = arena, *events = arena_new();

    settle(state);
    arena = events;
    for (enum act what = 0; depth > 0 && what < ACT_COUNT; what++) {
        struct state next = *state;

        act(&next, what);
        check_state(&next);
        if (next.payment.claim != CLAIM_OPEN && next.decided_us == 0)
            next.decided_us = next.now_us;
        play_all(&next, depth - 1);
        arena_reset(events);
    }
    arena = before;
    arena_free(events);
}

/* The loop index is the first event, so that the cores share them. */
START_TEST(every_order_of_six)
{
    struct state state;

    arena = arena_new();
    scratch = arena_new();
    state = state_new();
    act(&state, (enum act)_i);
    check_state(&state);
    play_all(&state, EVENTS_MAX - 1);
    ck_assert_uint_gt(played, 111000); /* 1 + 10 + ... + 10^5 sequences */
    arena = arena_free(arena);
    scratch = arena_free(scratch);
}
END_TEST

/* The same with a provider whose books differ: quarantined by its own query, and nothing is refunded
 * by itself. */
START_TEST(books_that_differ)
{
    struct state state;

    arena = arena_new();
    scratch = arena_new();
    state = state_new();
    act(&state, ACT_CREATED);
    state.world.books_differ = true;
    act(&state, ACT_WRONG_AMOUNT);
    ck_assert(!state.payment.is_quarantined);
    ck_assert_int_eq(state.task.kind, TASK_QUERY);
    settle(&state);
    while (!state.payment.is_quarantined)
        ck_assert(step(&state, EXPIRES_US));
    ck_assert_int_eq(state.payment.claim, CLAIM_OPEN);
    ck_assert_int_eq(state.payment.observed, OBSERVED_CREATED);
    ck_assert_int_eq(state.task.kind, TASK_NONE);
    act(&state, ACT_SUCCEEDED); /* heard, and taken by nobody */
    ck_assert_int_eq(state.payment.observed, OBSERVED_SUCCEEDED);
    ck_assert_int_eq(state.payment.claim, CLAIM_OPEN);
    act(&state, ACT_ABANDON);
    ck_assert_int_eq(state.payment.claim, CLAIM_ABANDONED);
    ck_assert_int_eq(state.task.kind, TASK_NONE);
    arena = arena_free(arena);
    scratch = arena_free(scratch);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("payment orders");
    TCase *tests = tcase_create("orders");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, every_order_of_six, 0, ACT_COUNT);
    tcase_add_test(tests, books_that_differ);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
