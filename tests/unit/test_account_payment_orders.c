/* test_account_payment_orders.c -- What holds of a payment in any order in which things are heard of it, and
 * however much its provider leaves unsaid.
 *
 * Every sequence of up to six events is played, then the provider thread's part is played to the end
 * against a provider that tells the truth. Whatever the order:
 *   observed is the greatest that was said with the right amount,
 *   claim is TAKEN or RETURNED only of a payment that succeeded,
 *   an Abandon ends, within 60 seconds, and no create is sent after it,
 *   when a refund is due everything goes back, by one refund of ours of what others left, and else
 *   nothing; also when answers to it are lost, or the provider's back office was first.
 *
 * Then shorter ones with a provider that leaves requests of each kind without an answer, a few times or for
 * ever, whether it did what was asked or not, and with a customer who pays at any time and of whom no
 * webhook tells. In every case:
 *   the same holds of claim and Abandon,
 *   what may have been done is asked about before it is sent again,
 *   a hint makes a query due before anything else,
 *   no money is left with a dead order unless an operator is called for it; and not at all when the
 *   provider answers at last,
 *   who was never paid and can not be any more is not asked about for ever.
 */
#include "tests/support/account/payment_world.h"
#include "tests/support/check.h"

enum { EVENTS_MAX = 6, SETTLE_STEPS_MAX = 400 };

static struct arena *scratch; /* of one settling */
static size_t played;

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

/* ---- a provider that leaves things unsaid ---- */

/* clang-format off */
static const enum act unsaid_acts[] = { ACT_SUCCEEDED, ACT_FAILED, ACT_PAID_BACK_PART, ACT_ABANDON, ACT_RETURN, ACT_CREATED, ACT_HINT };
static const int64_t pays_after_s[] = { 0, 1, 5, 58, 300, 640 }; /* 0: never */
static const int silent_times[] = { 1, 4, SILENCE_FOR_EVER };

#define OF(kind) (1u << TASK_##kind)
#define OF_ALL (OF(CREATE) | OF(QUERY) | OF(CANCEL) | OF(REFUND) | OF(QUERY_REFUND))

/* Of which requests nothing is said; and when that is for ever, whether it ends well without an operator. */
static const struct {
    unsigned kinds;
    bool ends_well[SILENCE_HOW_COUNT]; /* not done, done, the lease ran out */
} silences[] = {
    { OF(CREATE),                      { true,  true,  true  } },
    { OF(QUERY),                       { false, false, false } },
    { OF(CANCEL),                      { false, true,  true  } },
    { OF(REFUND),                      { false, true,  true  } },
    { OF(QUERY_REFUND),                { true,  true,  true  } },
    { OF(REFUND) | OF(QUERY_REFUND),   { false, true,  true  } }, /* the books tell */
    { OF(CREATE) | OF(CANCEL),         { false, true,  true  } },
    { OF_ALL,                          { false, false, false } },
};
/* clang-format on */

enum {
    UNSAID_ACTS = sizeof unsaid_acts / sizeof *unsaid_acts,
    UNSAID_EVENTS_MAX = 3,
    UNSAID_STEPS_MAX = 2000,
    UNSAID_SILENCES = sizeof silences / sizeof *silences,
};

#define UNSAID_END_US (EXPIRES_US + 3 * DAY_US)

/* It can still be paid. */
static bool
world_is_open(const struct world *world)
{
    return world->is_there && !observed_is_final((int32_t)world->truth);
}

static bool
is_dead(const struct payment *payment)
{
    return payment->claim == CLAIM_ABANDONED || payment->claim == CLAIM_RETURNED;
}

/* What must hold three days after the checkout's end. */
static void
check_money(const struct state *state, bool ends_well)
{
    const struct payment *payment = &state->payment;
    const struct world *world = &state->world;
    bool is_paid = world->truth == OBSERVED_SUCCEEDED;
    int64_t left_minor = is_paid ? 500 - world->ours_minor - world->others_minor : 0;

    MUST(world->refunds <= 1);
    if (payment->claim == CLAIM_TAKEN)
        MUST(is_paid && world->ours_minor == 0);
    if (payment->abandon_asked_us != 0)
        MUST(payment->claim != CLAIM_OPEN);
    if (is_dead(payment) && (left_minor > 0 || world_is_open(world)))
        MUST(!ends_well && payment->needs_person);
    if (!ends_well)
        return;
    MUST(!payment->needs_person);
    if (is_paid && payment->claim != CLAIM_TAKEN)
        MUST(is_dead(payment) && payment->observed == OBSERVED_SUCCEEDED);
    if (!is_paid && is_dead(payment))
        MUST(state->task.kind == TASK_NONE); /* all is said: the last query was made */
}

static void
settle_unsaid(struct state state, bool ends_well)
{
    int steps = 0;

    while (step(&state, UNSAID_END_US)) {
        MUST(++steps < UNSAID_STEPS_MAX);
        check_state(&state);
        if (state.payment.claim != CLAIM_OPEN && state.decided_us == 0)
            state.decided_us = state.now_us;
    }
    if (state.payment.abandon_asked_us != 0)
        MUST(state.decided_us - state.payment.abandon_asked_us <= 60 * SECOND_US);
    check_money(&state, ends_well);
    played++;
}

static void
settle_silent(const struct state *state, size_t row, enum silence_how how)
{
    for (size_t i = 0; i < 3 * sizeof pays_after_s / sizeof *pays_after_s; i++) {
        int64_t after_s = pays_after_s[i / 3];
        int times = silent_times[i % 3];
        struct state silent = *state;

        for (int of = TASK_CREATE; of < TASK_KIND_COUNT; of++) {
            if ((silences[row].kinds & 1u << of) != 0)
                silent.world.silences[of] = (struct silence){ how, times };
        }
        silent.world.pays_at_us = after_s == 0 ? 0 : state->now_us + after_s * SECOND_US;
        silent.world.forgets = i % 2 == 1;
        silent.world.hides_page = i % 4 >= 2;
        settle_unsaid(silent, times != SILENCE_FOR_EVER || silences[row].ends_well[how]);
        arena_reset(scratch);
    }
}

/* In memory of its own, as in settle(). */
static void
settle_all_unsaid(const struct state *state)
{
    struct arena *events = arena;

    arena = scratch;
    for (size_t row = 0; row < UNSAID_SILENCES; row++) {
        for (enum silence_how how = 0; how < SILENCE_HOW_COUNT; how++)
            settle_silent(state, row, how);
    }
    arena = events;
}

static void
play_unsaid(const struct state *state, int depth)
{
    settle_all_unsaid(state);
    for (int i = 0; depth > 0 && i < UNSAID_ACTS; i++) {
        struct state next = *state;

        act(&next, unsaid_acts[i]);
        check_state(&next);
        if (next.payment.claim != CLAIM_OPEN && next.decided_us == 0)
            next.decided_us = next.now_us;
        play_unsaid(&next, depth - 1);
    }
}

START_TEST(nothing_is_lost_in_silence)
{
    struct state state;

    arena = arena_new();
    scratch = arena_new();
    state = state_new();
    act(&state, unsaid_acts[_i]);
    check_state(&state);
    play_unsaid(&state, UNSAID_EVENTS_MAX - 1);
    ck_assert_uint_gt(played, 24000); /* 1 + 7 + 49 sequences, each in 432 ways */
    arena = arena_free(arena);
    scratch = arena_free(scratch);
}
END_TEST

int
main(void)
{
    TCase *tests = check_case("orders");

    tcase_add_loop_test(tests, every_order_of_six, 0, ACT_COUNT);
    tcase_add_test(tests, books_that_differ);
    tcase_add_loop_test(tests, nothing_is_lost_in_silence, 0, UNSAID_ACTS);
    return check_run("payment orders", tests);
}
