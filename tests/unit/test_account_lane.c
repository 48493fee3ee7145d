/* test_account_lane.c -- How much may be asked of a provider: rate, accidents, outages, Retry-After. */
#include "account-svc/provider_lane.h"

#include <check.h>
#include <string.h>

#define NOW_US (INT64_C(1000) * SECOND_US)

static const struct provider provider = { .name = "p", .requests_per_second = 10 };
static struct lane lane;

static void
set_up(void)
{
    lane_open(&lane, &provider, NOW_US);
}

/* Begins as many as it may, and ends them all with this status. */
static size_t
ask(int status, int64_t now_us)
{
    size_t count = lane_allowance(&lane, now_us);

    for (size_t i = 0; i < count; i++)
        lane_take(&lane);
    for (size_t i = 0; i < count; i++) {
        lane_answered(&lane, status, 0, now_us);
        lane_leave(&lane);
    }
    return count;
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
    for (size_t i = 0; i < LANE_IN_FLIGHT_MAX; i++) {
        ck_assert_uint_gt(lane_allowance(&lane, NOW_US), 0);
        lane_take(&lane);
    }
    ck_assert_uint_eq(lane_allowance(&lane, NOW_US), 0);
    lane_leave(&lane);
    ck_assert_uint_eq(lane_allowance(&lane, NOW_US), 1);
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
};
/* clang-format on */

START_TEST(slow_after_several_in_a_row)
{
    for (const int *status = histories[_i].statuses; *status >= 0; status++)
        lane_answered(&lane, *status, 0, NOW_US);
    ck_assert_msg(lane_is_slow(&lane) == histories[_i].is_slow, "%s", histories[_i].what);
    ck_assert_msg((lane_allowance(&lane, NOW_US) == 0) == histories[_i].is_slow, "%s: allowance",
                  histories[_i].what);
}
END_TEST

/* One asks for all, ever more rarely, for an hour; and all may ask once it is answered. */
START_TEST(outage_and_recovery)
{
    int64_t now_us = NOW_US, last_us = 0, gap_us = 0;
    int asked = 0;

    for (int i = 0; i < LANE_FAILURES_MIN; i++)
        lane_answered(&lane, 0, 0, now_us);
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

    lane_answered(&lane, retry_afters[_i].status, retry_afters[_i].retry_after_s * SECOND_US,
                  NOW_US);
    lane_answered(&lane, 200, 0, NOW_US + 1); /* of one that was under way */
    if (retry_afters[_i].back_s > 0)
        ck_assert_msg(lane_allowance(&lane, back_us - 1) == 0, "%s: too early",
                      retry_afters[_i].what);
    ck_assert_msg(lane_allowance(&lane, back_us) == 10, "%s", retry_afters[_i].what);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof *(table)))

int
main(void)
{
    Suite *suite = suite_create("lane");
    TCase *tests = tcase_create("lane");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tests, set_up, NULL);
    tcase_add_test(tests, rate_is_kept);
    tcase_add_test(tests, in_flight_is_limited);
    tcase_add_loop_test(tests, slow_after_several_in_a_row, 0, ROWS(histories));
    tcase_add_test(tests, outage_and_recovery);
    tcase_add_loop_test(tests, retry_after_is_kept, 0, ROWS(retry_afters));
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
