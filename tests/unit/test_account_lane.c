/* test_account_lane.c -- How much may be asked of a provider, and what first: rate, customers and others,
 * accidents, outages, Retry-After. */
#include "account-svc/provider/provider_lane.h"
#include "tests/support/check.h"

#include <string.h>

#define NOW_US (INT64_C(1000) * SECOND_US)

static const struct provider provider = { .name = "p", .requests_per_second = 10 };
static struct lane lane;

static void
set_up(void)
{
    lane_open(&lane, &provider, NOW_US);
}

/* Begins as many as may be of an errand of which any number waits. */
static size_t
begin(enum errand errand, int64_t now_us)
{
    size_t waiting[ERRAND_COUNT] = { 0 }, count = 0;

    waiting[errand] = 1;
    for (; lane_next(&lane, waiting, now_us) == errand; count++)
        lane_take(&lane, errand);
    return count;
}

static void
end(enum errand errand, size_t count)
{
    while (count-- > 0)
        lane_leave(&lane, errand);
}

/* How many may be begun. */
static size_t
allowance(enum errand errand, int64_t now_us)
{
    struct lane before = lane;
    size_t count = begin(errand, now_us);

    lane = before;
    return count;
}

/* Begins as many as it may, and ends them all with this status. */
static size_t
ask_for(enum errand errand, int status, int64_t now_us)
{
    size_t count = begin(errand, now_us);

    for (size_t i = 0; i < count; i++)
        lane_answered(&lane, errand, status, 0, now_us);
    end(errand, count);
    return count;
}

static size_t
ask(int status, int64_t now_us)
{
    return ask_for(ERRAND_CREATE, status, now_us);
}

START_TEST(rate_is_kept)
{
    size_t count = 0;

    /* A second's worth at once, and then no more than the rate, however often somebody looks. */
    for (int64_t ms = 0; ms < 5000; ms += 7)
        count += ask(200, NOW_US + ms * 1000);
    ck_assert_uint_ge(count, 58);
    ck_assert_uint_le(count, 60);
    /* Nothing is saved up beyond a second. */
    ck_assert_uint_eq(ask(200, NOW_US + 3600 * SECOND_US), 10);
}
END_TEST

START_TEST(in_flight_is_limited)
{
    static const struct provider fast = { .name = "fast", .requests_per_second = 1000 };

    lane_open(&lane, &fast, NOW_US);
    ck_assert_uint_eq(begin(ERRAND_CREATE, NOW_US), LANE_IN_FLIGHT_MAX);
    ck_assert(lane_is_full(&lane, NOW_US));
    end(ERRAND_CREATE, 1);
    ck_assert_uint_eq(begin(ERRAND_LOOK, NOW_US), 1);
}
END_TEST

/* Requests that hang, and no customer waits for, leave room for those of customers. */
START_TEST(room_is_kept_for_customers)
{
    static const struct provider fast = { .name = "fast", .requests_per_second = 1000 };

    lane_open(&lane, &fast, NOW_US);
    ck_assert_uint_eq(begin(ERRAND_CANCEL, NOW_US), LANE_BACK_MAX);
    ck_assert_uint_eq(begin(ERRAND_REFUND, NOW_US), 0);
    ck_assert_uint_eq(begin(ERRAND_CREATE, NOW_US), LANE_IN_FLIGHT_MAX - LANE_BACK_MAX);
}
END_TEST

/* What a customer waits for goes first, in turns; of the others one after some of those, in turns too. */
START_TEST(customers_go_first)
{
    static const struct provider fast = { .name = "fast", .requests_per_second = 1000 };
    static const size_t waiting[ERRAND_COUNT] = { 99, 99, 99, 99, 99 };
    size_t done[ERRAND_COUNT] = { 0 };

    lane_open(&lane, &fast, NOW_US);
    for (int i = 0; i < 3 * (LANE_FRONT_IN_ROW + 1); i++) {
        enum errand errand = lane_next(&lane, waiting, NOW_US);

        ck_assert_int_lt(errand, ERRAND_COUNT);
        ck_assert_int_eq(errand >= ERRAND_REFUND, i % (LANE_FRONT_IN_ROW + 1) == LANE_FRONT_IN_ROW);
        lane_take(&lane, errand);
        lane_leave(&lane, errand);
        done[errand]++;
    }
    ck_assert_uint_ge(done[ERRAND_CREATE], 10);
    ck_assert_uint_ge(done[ERRAND_LOOK], 10);
    for (enum errand errand = ERRAND_REFUND; errand < ERRAND_COUNT; errand++)
        ck_assert_uint_eq(done[errand], 1);
}
END_TEST

/* One kind of request that fails stops no other. */
START_TEST(breakers_are_apart)
{
    for (enum errand broken = 0; broken < ERRAND_COUNT; broken++) {
        lane_open(&lane, &provider, NOW_US);
        for (int i = 0; i < 20; i++)
            lane_answered(&lane, broken, 500, 0, NOW_US);
        for (enum errand errand = 0; errand < ERRAND_COUNT; errand++)
            ck_assert_msg(allowance(errand, NOW_US + SECOND_US) == (errand == broken ? 0 : 10),
                          "%s with broken %s", errand_word(errand), errand_word(broken));
    }
}
END_TEST

/* What no customer waits for is told to come back later: what one does goes on. */
START_TEST(retry_after_of_the_back)
{
    for (enum errand told = 0; told < ERRAND_COUNT; told++) {
        lane_open(&lane, &provider, NOW_US);
        lane_answered(&lane, told, 503, 100 * SECOND_US, NOW_US);
        for (enum errand errand = 0; errand < ERRAND_COUNT; errand++) {
            bool is_free = told >= ERRAND_REFUND && errand < ERRAND_REFUND;

            ck_assert_msg(allowance(errand, NOW_US + SECOND_US) == (is_free ? 10 : 0),
                          "%s when %s was told", errand_word(errand), errand_word(told));
        }
    }
}
END_TEST

/* clang-format off */
static const struct {
    const char *what;
    int statuses[6]; /* ends with -1 */
    bool is_slow;
} histories[] = {
    { "one accident",                    { 500, -1 },                       false },
    { "two in a row",                    { 0, 503, -1 },                    false },
    { "three in a row",                  { 500, 0, 429, -1 },               true  },
    { "three with an answer in between", { 500, 500, 200, 500, -1 },        false },
    { "a refusal is an answer",          { 500, 500, 400, 500, 500, -1 },   false },
    { "and so is a 404",                 { 500, 500, 404, 500, -1 },        false },
    { "three, and then an answer",       { 500, 500, 500, 200, -1 },        false },
    { "a key that is not right",         { 401, 403, 401, -1 },             true  },
    { "an address that is not right",    { 302, 301, 308, -1 },             true  },
};
/* clang-format on */

START_TEST(slow_after_several_in_a_row)
{
    for (const int *status = histories[_i].statuses; *status >= 0; status++)
        lane_answered(&lane, ERRAND_CREATE, *status, 0, NOW_US);
    ck_assert_msg(lane_is_slow(&lane, ERRAND_CREATE) == histories[_i].is_slow, "%s",
                  histories[_i].what);
    ck_assert_msg((allowance(ERRAND_CREATE, NOW_US) == 0) == histories[_i].is_slow, "%s: allowance",
                  histories[_i].what);
}
END_TEST

/* One asks for all, ever more rarely, for an hour; and all may ask once it is answered. */
START_TEST(outage_and_recovery)
{
    int64_t now_us = NOW_US, last_us = 0, gap_us = 0;
    int asked = 0;

    for (int i = 0; i < LANE_FAILURES_MIN; i++)
        lane_answered(&lane, ERRAND_CREATE, 0, 0, now_us);
    for (; now_us < NOW_US + 3600 * SECOND_US; now_us += SECOND_US / 20) {
        size_t count = ask(0, now_us);

        ck_assert_uint_le(count, 1);
        if (count == 1 && last_us > 0)
            gap_us = now_us - last_us;
        last_us = count == 1 ? now_us : last_us;
        asked += (int)count;
    }
    ck_assert_int_ge(gap_us, LANE_PAUSE_MAX_US * 9 / 10);
    ck_assert_int_le(gap_us, LANE_PAUSE_MAX_US * 11 / 10 + SECOND_US);
    ck_assert_int_ge(asked, 100);
    ck_assert_int_le(asked, 150);
    now_us += LANE_PAUSE_MAX_US * 2;
    ck_assert_uint_eq(ask(200, now_us), 1);
    ck_assert_uint_eq(ask(200, now_us), 9);
}
END_TEST

/* clang-format off */
static const struct {
    const char *what;
    int status;
    int64_t retry_after_s;
    int64_t back_s; /* 0: at once */
} retry_afters[] = {
    { "a 429",                     429, 7,       7 },
    { "a 503",                     503, 7,       7 },
    { "a 503 that does not say",   503, 0,       0 },
    { "a 500 does not count",      500, 7,       0 },
    { "nor does a 200",            200, 7,       0 },
    { "a day is too long",         503, 86400, 120 },
};
/* clang-format on */

START_TEST(retry_after_is_kept)
{
    int64_t back_us = NOW_US + retry_afters[_i].back_s * SECOND_US;

    lane_answered(&lane, ERRAND_LOOK, retry_afters[_i].status,
                  retry_afters[_i].retry_after_s * SECOND_US, NOW_US);
    lane_answered(&lane, ERRAND_LOOK, 200, 0, NOW_US + 1); /* of one that was under way */
    if (retry_afters[_i].back_s > 0)
        ck_assert_msg(allowance(ERRAND_LOOK, back_us - 1) == 0, "%s: too early",
                      retry_afters[_i].what);
    ck_assert_msg(allowance(ERRAND_LOOK, back_us) == 10, "%s", retry_afters[_i].what);
}
END_TEST

int
main(void)
{
    TCase *tests = check_case("lane");

    tcase_add_checked_fixture(tests, set_up, NULL);
    tcase_add_test(tests, rate_is_kept);
    tcase_add_test(tests, in_flight_is_limited);
    tcase_add_test(tests, room_is_kept_for_customers);
    tcase_add_test(tests, customers_go_first);
    tcase_add_test(tests, breakers_are_apart);
    tcase_add_test(tests, retry_after_of_the_back);
    tcase_add_loop_test(tests, slow_after_several_in_a_row, 0, ROWS(histories));
    tcase_add_test(tests, outage_and_recovery);
    tcase_add_loop_test(tests, retry_after_is_kept, 0, ROWS(retry_afters));
    return check_run("lane", tests);
}
