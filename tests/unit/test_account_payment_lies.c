/* test_account_payment_lies.c -- Payments with random lives at a provider that says what is not so.
 *
 * Until it is honest again, at the latest 22 hours after the checkout's end, it loses requests and answers,
 * does not find what is there, says that a payment is over or cancelled that is not, and refuses what it could
 * do. It says any time for the checkout's end, and its back office pays back any part of what was paid. The
 * customer pays at any time, and no webhook tells. Ten days later, in every life:
 *   the claim is decided, and TAKEN only of what was paid and not paid back by us,
 *   no money is left with a dead order, and no customer can pay for one any more, unless the provider refuses to
 *   pay back and an operator is called for that; and none is called for nothing,
 *   our refund was made once, and no more than what was paid has gone back,
 *   the provider was not asked without end.
 */
#include "account-svc/payment/payment.h"
#include "mesh/base/hash.h"
#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

#define START_US (INT64_C(1800000000) * SECOND_US)
#define AT(seconds) (START_US + (int64_t)(seconds)*SECOND_US)
#define END_US AT(10 * 86400)

enum {
    BLOCKS = 4, /* that cores share */
    LIVES = 10000,
    WAIT_S = 900, /* of the order */
    AMOUNT_MINOR = 500,
    OFFICE_MINOR = 20,
    REQUESTS_MAX = 600,
};

enum lie {
    LIE_LOST,
    LIE_UNSAID,
    LIE_LEASE,
    LIE_GONE,
    LIE_OVER,
    LIE_CANCELED,
    LIE_REFUSED,
    LIE_COUNT
};

/* The provider, as it is in truth. */
struct world {
    bool is_there;
    enum observed truth;
    int office;         /* refunds of its back office, OFFICE_MINOR each */
    int64_t ours_minor; /* and ours */
    int64_t pays_at_us; /* the customer */
    int64_t honest_from_us, expires_said_us;
    int lies_percent, lie; /* LIE_COUNT: any */
    bool tells_page_once, forgets_canceled, refuses_refunds;
};

static struct arena *arena;
static uint64_t dice;
static struct payment payment;
static struct task task;
static struct world world;
static int64_t now_us;
static int requests, refunds;

static int
draw(int sides)
{
    dice += UINT64_C(0x9e3779b97f4a7c15);
    return (int)(hash_end(dice) % (uint64_t)sides);
}

#define DRAW_OF(list) (list)[draw((int)(sizeof(list) / sizeof *(list)))]

/* ---- the provider ---- */

static int64_t
gone_back_minor(void)
{
    return world.ours_minor + world.office * OFFICE_MINOR;
}

static const char *
own_id(void)
{
    return uuid_print(payment.record.id, arena_take(arena, UUID_TEXT_BYTES + 1));
}

static struct observation
own_refund(void)
{
    return (struct observation){ .source = SOURCE_REFUND,
                                 .refunds = { { own_id(), world.ours_minor } },
                                 .refund_count = 1 };
}

static struct observation
books(enum source source)
{
    struct observation said = { .source = source,
                                .observed = world.truth,
                                .amount_minor = AMOUNT_MINOR,
                                .currency = "JPY",
                                .expires_at_us = world.expires_said_us };

    for (int i = 0; i < world.office; i++)
        said.refunds[said.refund_count++] =
            (struct refunded){ arena_print(arena, "office-%02d", i), OFFICE_MINOR };
    if (world.ours_minor > 0)
        said.refunds[said.refund_count++] = (struct refunded){ own_id(), world.ours_minor };
    said.is_paid_back = world.truth == OBSERVED_SUCCEEDED && gone_back_minor() == AMOUNT_MINOR;
    return said;
}

static enum outcome
do_create(struct observation *said)
{
    ck_assert_int_eq(payment.abandon_asked_us, 0);
    if (world.is_there && world.tells_page_once) {
        said->is_repeat = true;
        return OUTCOME_UNKNOWN;
    }
    world.is_there = true;
    *said = books(SOURCE_CREATE);
    said->url = "https://pay.example/1";
    return OUTCOME_KNOWN;
}

static enum outcome
do_cancel(struct observation *said)
{
    if (!world.is_there)
        return OUTCOME_NOT_FOUND;
    if (observed_is_final((int32_t)world.truth))
        return OUTCOME_REFUSED;
    world.truth = OBSERVED_CANCELED;
    *said = books(SOURCE_CANCEL);
    return OUTCOME_KNOWN;
}

static enum outcome
do_refund(struct observation *said)
{
    int64_t left_minor = payment_refund_left(&payment, arena);

    ck_assert_int_eq(world.truth, OBSERVED_SUCCEEDED);
    if (world.refuses_refunds ||
        (world.ours_minor == 0 && left_minor > AMOUNT_MINOR - gone_back_minor()))
        return OUTCOME_REFUSED;
    if (world.ours_minor == 0) {
        world.ours_minor = left_minor;
        refunds++;
    }
    ck_assert_int_le(gone_back_minor(), AMOUNT_MINOR);
    *said = own_refund();
    return world.ours_minor == left_minor ? OUTCOME_KNOWN : OUTCOME_UNKNOWN;
}

static enum outcome
do_honestly(enum task_kind kind, struct observation *said)
{
    bool is_found = world.is_there && !(world.forgets_canceled && world.truth == OBSERVED_CANCELED);

    *said = (struct observation){ 0 };
    switch (kind) {
    case TASK_CREATE:
        return do_create(said);
    case TASK_QUERY:
        *said = is_found ? books(SOURCE_QUERY) : *said;
        return is_found ? OUTCOME_KNOWN : OUTCOME_NOT_FOUND;
    case TASK_CANCEL:
        return do_cancel(said);
    case TASK_REFUND:
        return do_refund(said);
    case TASK_QUERY_REFUND:
        *said = own_refund();
        return world.ours_minor > 0 ? OUTCOME_KNOWN : OUTCOME_NOT_FOUND;
    case TASK_NONE:
    case TASK_KIND_COUNT:
        break;
    }
    abort();
}

/* A word of its books that is not so; true: it was told. */
static bool
say_falsely(enum task_kind kind, enum lie lie, struct observation *said)
{
    if (!world.is_there || world.truth == OBSERVED_SUCCEEDED)
        return false;
    if (lie == LIE_OVER && kind == TASK_QUERY && now_us < AT(WAIT_S - 60)) {
        *said = books(SOURCE_QUERY);
        said->observed = draw(2) == 0 ? OBSERVED_FAILED : OBSERVED_EXPIRED;
        return true;
    }
    if (lie == LIE_CANCELED && kind == TASK_CANCEL) {
        *said = (struct observation){ .source = SOURCE_CANCEL, .observed = OBSERVED_CANCELED };
        return true;
    }
    return false;
}

/* Of the task that is leased; false: no answer comes back. */
static bool
answer(enum task_kind kind, enum outcome *ret_outcome, struct observation *said)
{
    bool is_lie = now_us < world.honest_from_us && draw(100) < world.lies_percent;
    int lie = world.lie == LIE_COUNT ? draw(LIE_COUNT) : world.lie;

    *said = (struct observation){ 0 };
    *ret_outcome = OUTCOME_UNKNOWN;
    if (is_lie && lie == LIE_LOST)
        return true;
    if (is_lie && lie == LIE_GONE) {
        *ret_outcome = OUTCOME_NOT_FOUND;
    } else if (is_lie && lie == LIE_REFUSED && kind != TASK_CREATE && kind != TASK_QUERY) {
        *ret_outcome = OUTCOME_REFUSED;
    } else if (is_lie && say_falsely(kind, (enum lie)lie, said)) {
        *ret_outcome = OUTCOME_KNOWN;
    } else {
        *ret_outcome = do_honestly(kind, said);
        if (is_lie && (lie == LIE_UNSAID || lie == LIE_LEASE)) {
            *said = (struct observation){ .unreadable = draw(2) == 0 ? "it is cut off" : NULL };
            *ret_outcome = OUTCOME_UNKNOWN;
        }
    }
    return !is_lie || lie != LIE_LEASE;
}

/* ---- a life ---- */

enum happening { EVENT_PAYS, EVENT_ABANDON, EVENT_RETURN, EVENT_OFFICE, EVENT_HINT, EVENT_COUNT };

static void
happens(enum happening event)
{
    switch (event) {
    case EVENT_PAYS:
        if (world.is_there && !observed_is_final((int32_t)world.truth))
            world.truth = OBSERVED_SUCCEEDED;
        break;
    case EVENT_ABANDON:
        payment_abandon(&payment, now_us);
        break;
    case EVENT_RETURN:
        payment_return(&payment, now_us);
        break;
    case EVENT_OFFICE:
        for (int i = draw(20); world.truth == OBSERVED_SUCCEEDED && i >= 0 &&
                               gone_back_minor() + OFFICE_MINOR <= AMOUNT_MINOR;
             i--)
            world.office++;
        break;
    case EVENT_HINT:
        task.query_wanted = true;
        break;
    case EVENT_COUNT:
        break;
    }
    payment_replan(&payment, &task, arena, now_us);
}

static void
life_begin(int number)
{
    static const int ends_s[] = { 0, 0, 1, 10, 300, WAIT_S, 86400, 30 * 86400, 2000000000 };
    static const int honest_s[] = { 0, 60, 600, WAIT_S - 30, 7200, 80000 };
    static const int percents[] = { 0, 20, 50, 90, 100 };
    int end_s;

    dice = (uint64_t)number;
    now_us = START_US;
    requests = refunds = 0;
    end_s = DRAW_OF(ends_s);
    world = (struct world){ .truth = OBSERVED_CREATED,
                            .expires_said_us = end_s == 0 ? 0 : AT(end_s),
                            .honest_from_us = AT(DRAW_OF(honest_s)),
                            .lies_percent = DRAW_OF(percents),
                            .lie = draw(LIE_COUNT + 1),
                            .tells_page_once = draw(2) == 0,
                            .forgets_canceled = draw(2) == 0,
                            .refuses_refunds = draw(10) == 0 };
    payment = (struct payment){ .record = { .id = uuid_v7(START_US), .fingerprint = 1 },
                                .amount_minor = AMOUNT_MINOR,
                                .observed = OBSERVED_CREATED,
                                .claim = CLAIM_OPEN,
                                .version = 1,
                                .ends_at_us = AT(WAIT_S),
                                .expires_at_us = AT(WAIT_S),
                                .created_at_us = START_US,
                                .changed_at_us = START_US };
    payment.provider = "sandbox";
    payment.currency = "JPY";
    payment.description = payment.return_url = payment.url = payment.reference = "";
    payment.refunds = payment.traceparent = payment.booked_currency = payment.settle_comment = "";
    payment.failure_reason = payment.failure_detail = "";
    task = (struct task){ .payment_id = payment.record.id, .provider = "sandbox" };
    payment_replan(&payment, &task, arena, now_us);
}

/* What the provider thread and the sweep do. */
static void
task_runs(void)
{
    struct observation said;
    enum outcome outcome;
    enum task_kind kind;

    if (task.give_up_us != 0 && task.give_up_us <= now_us) {
        payment_give_up(&payment, &task, arena, now_us);
        return;
    }
    kind = payment_lease(&payment, &task, arena, now_us);
    if (kind == TASK_NONE)
        return;
    requests++;
    now_us += SECOND_US / 5;
    if (answer(kind, &outcome, &said))
        payment_learn(&payment, &task, task.lease, outcome, &said, arena, now_us);
}

static void
life_goes_on(int64_t at_us[EVENT_COUNT])
{
    while (requests <= REQUESTS_MAX) {
        int64_t next_us = task.due_us;
        enum happening next = EVENT_COUNT;

        if (task.give_up_us != 0 && task.give_up_us < next_us)
            next_us = task.give_up_us;
        for (enum happening event = 0; event < EVENT_COUNT; event++) {
            if (at_us[event] <= next_us) {
                next = event;
                next_us = at_us[event];
            }
        }
        if (next_us > END_US)
            return;
        if (next_us > now_us)
            now_us = next_us;
        if (next == EVENT_COUNT) {
            task_runs();
        } else {
            at_us[next] = INT64_MAX;
            happens(next);
        }
    }
}

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg("life %d: not so: %s", number, #condition);                               \
    } while (0)

static void
life_is_well(int number)
{
    bool is_dead = payment.claim == CLAIM_ABANDONED || payment.claim == CLAIM_RETURNED;
    bool is_paid = world.truth == OBSERVED_SUCCEEDED;
    bool is_left = is_paid && is_dead && gone_back_minor() < AMOUNT_MINOR;

    MUST(requests <= REQUESTS_MAX);
    MUST(refunds <= 1);
    MUST(is_dead || payment.claim == CLAIM_TAKEN);
    MUST(is_dead || (is_paid && refunds == 0));
    MUST(!is_dead || !world.is_there || observed_is_final((int32_t)world.truth));
    MUST(!is_left || world.refuses_refunds);
    MUST(payment.needs_person == is_left);
}

START_TEST(lives)
{
    arena = arena_new();
    for (int number = _i * LIVES; number < (_i + 1) * LIVES; number++) {
        int64_t at_us[EVENT_COUNT];

        life_begin(number);
        at_us[EVENT_PAYS] = draw(3) == 0 ? INT64_MAX : AT(1 + draw(draw(2) == 0 ? 100 : 1000));
        at_us[EVENT_ABANDON] = AT(draw(3) == 0 ? WAIT_S + 60 : draw(WAIT_S + 60));
        at_us[EVENT_RETURN] = draw(3) == 0 ? AT(draw(1200)) : INT64_MAX;
        at_us[EVENT_OFFICE] = draw(4) == 0 ? AT(draw(5000)) : INT64_MAX;
        at_us[EVENT_HINT] = draw(2) == 0 ? AT(draw(2000)) : INT64_MAX;
        life_goes_on(at_us);
        life_is_well(number);
        arena_reset(arena);
    }
    arena = arena_free(arena);
}
END_TEST

int
main(void)
{
    TCase *tests = check_case("lies");

    tcase_add_loop_test(tests, lives, 0, BLOCKS);
    return check_run("payment lies", tests);
}
