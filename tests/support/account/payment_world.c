#include "tests/support/account/payment_world.h"

#include "tests/support/account/payment_fixture.h"

#include <stdlib.h>
#include <string.h>

#define PAGE "https://pay.example/1"

struct arena *arena;

struct state
state_new(void)
{
    struct state state = { .payment = payment_created(uuid_v7(START_US), EXPIRES_US),
                           .now_us = START_US,
                           .greatest = OBSERVED_CREATED };
    struct payment *payment = &state.payment;

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

void
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
        created.url = PAGE;
        state->world.is_there = true;
        payment_learn(&state->payment, &state->task, 1, OUTCOME_KNOWN, &created, arena,
                      state->now_us);
        break;
    case ACT_HINT:
        state->task.query_wanted = true;
        payment_plan(&state->payment, &state->task, arena, state->now_us);
        break;
    }
}

void
check_state(const struct state *state)
{
    const struct payment *payment = &state->payment;
    bool is_due = payment->observed == OBSERVED_SUCCEEDED &&
                  (payment->claim == CLAIM_ABANDONED || payment->claim == CLAIM_RETURNED);

    MUST(payment->observed == (int)state->greatest ||
         (payment->observed == OBSERVED_CANCELED && state->world.truth == OBSERVED_CANCELED));
    MUST(payment->needs_person == (payment->trouble != TROUBLE_NONE));
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
        *observation = said(SOURCE_CREATE, OBSERVED_CREATED, amount_minor);
        if (world->is_there && world->hides_page) {
            observation->is_repeat = true;
            return OUTCOME_UNKNOWN;
        }
        world->is_there = true;
        observation->url = PAGE;
        return OUTCOME_KNOWN;
    case TASK_QUERY:
        if (!world->is_there || (world->forgets && world->truth == OBSERVED_CANCELED))
            return OUTCOME_NOT_FOUND;
        *observation = said(SOURCE_QUERY, world->truth, amount_minor);
        observation->url = world->hides_page ? NULL : PAGE;
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
        if (world->hides_page) /* and says no more than that it is cancelled */
            *observation =
                (struct observation){ .source = SOURCE_CANCEL, .observed = OBSERVED_CANCELED };
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

/* The customer pays where it can be paid. */
static void
world_pays(struct state *state)
{
    struct world *world = &state->world;

    if (world->pays_at_us == 0 || world->pays_at_us > state->now_us || !world->is_there)
        return;
    world->pays_at_us = 0;
    if (!observed_is_final((int32_t)world->truth))
        world->truth = OBSERVED_SUCCEEDED;
}

/* Does the task that is leased at the provider; false: no answer comes back. */
static bool
ask(struct state *state, enum task_kind kind)
{
    struct silence *silence = &state->world.silences[kind];
    struct observation observation = { 0 };
    enum outcome outcome = OUTCOME_UNKNOWN;
    enum observed greatest = state->greatest;
    bool is_silent = silence->left > 0;

    state->now_us += SECOND_US / 5;
    if (!is_silent || silence->how != SILENCE_NOT_DONE)
        outcome = answer(state, kind, &observation);
    if (is_silent) {
        silence->left -= silence->left == SILENCE_FOR_EVER ? 0 : 1;
        state->greatest = greatest; /* account-svc did not hear it */
        outcome = OUTCOME_UNKNOWN;
        observation = (struct observation){ 0 };
    }
    if (outcome != OUTCOME_UNKNOWN || (observation.is_repeat && !is_silent))
        state->unsure = TASK_NONE;
    else if (!state->task.is_by_hint)
        state->unsure = kind;
    else if (state->unsure == TASK_QUERY_REFUND)
        state->unsure = TASK_NONE; /* the hint's query asked the books */
    if (is_silent && silence->how == SILENCE_LEASE)
        return false;
    payment_learn(&state->payment, &state->task, state->task.lease, outcome, &observation, arena,
                  state->now_us);
    return true;
}

/* What was left unsaid is asked about first, and a hint goes before everything. */
static void
check_lease(const struct state *state, enum task_kind kind, bool is_hinted)
{
    const struct task *task = &state->task;

    if (is_hinted)
        MUST(kind == TASK_QUERY);
    if (state->unsure == TASK_NONE || kind == TASK_NONE || task->is_by_hint)
        return;
    /* The books were asked in place of the refund, which is asked for again. */
    if (state->unsure == TASK_QUERY && kind == TASK_QUERY_REFUND)
        return;
    if (kind != task_unsure(state->unsure)->next)
        ck_abort_msg("after an unknown %s came %s", task_word(state->unsure), task_word(kind));
}

bool
step(struct state *state, int64_t until_us)
{
    struct task *task = &state->task;
    int64_t next_us = task->due_us;
    enum task_kind kind;
    bool is_hinted;

    if (task->give_up_us != 0 && task->give_up_us < next_us)
        next_us = task->give_up_us;
    if (next_us > until_us)
        return false;
    if (next_us > state->now_us)
        state->now_us = next_us;
    world_pays(state);
    if (task->give_up_us != 0 && task->give_up_us <= state->now_us) {
        payment_give_up(&state->payment, task, arena, state->now_us);
        return true;
    }
    is_hinted = task->query_wanted && task->create_state != CREATE_UNSENT && !task->is_leased &&
                task->hint_attempts == 0 && state->now_us >= task->queried_at_us + QUERY_GAP_MIN_US;
    kind = payment_lease(&state->payment, task, arena, state->now_us);
    check_lease(state, kind, is_hinted);
    if (kind != TASK_NONE)
        ask(state, kind);
    return true;
}
