/* test_saga_clock.c -- The time of a shard: it never runs backwards, and never stands still. */
#include "saga/shard_clock.h"
#include "tests/support/check.h"

#define S INT64_C(1000000)

/* A shard's clock said 1,000 s at steady time 100 s. */
/* clang-format off */
static const struct {
    const char *what;
    int64_t steady_s, program_s, now_s;
} rows[] = {
    { "ten seconds later",                                   110, 1010, 1010 },
    { "the program's time has stepped forward",              110, 5000, 5000 },
    { "... back, a little: it goes on a tenth slower",       110, 1005, 1009 },
    { "... back by an hour: the same",                       110, -2590, 1009 },
    { "... and they have met",                               300, 1190, 1190 },
    { "no time has passed, and the program's stepped back",  100, 500,  1000 },
    { "steady time of another processor, a little behind",   99,  999,  1000 },
};
/* clang-format on */

START_TEST(it_goes_on)
{
    const struct shard_clock clock = { 1000 * S, 100 * S };

    ck_assert_msg(shard_clock_at(&clock, rows[_i].steady_s * S, rows[_i].program_s * S) ==
                      rows[_i].now_s * S,
                  "%s", rows[_i].what);
}
END_TEST

START_TEST(it_knows_how_far_ahead_it_is)
{
    const struct shard_clock clock = { 1000 * S, 100 * S };

    ck_assert_int_eq(shard_clock_ahead_us(&clock, 1001 * S), 0);
    ck_assert_int_eq(shard_clock_ahead_us(&clock, 999 * S), 0);
    ck_assert_int_eq(shard_clock_ahead_us(&clock, 400 * S), 600 * S);
}
END_TEST

/* Turn by turn, while the program's time steps: a timer of 30 s is over after 34 s at the latest. */
START_TEST(no_timer_stands_still)
{
    static const int64_t steps_s[] = { 0, -120, 3600, -7200, 1, -1, 60 };
    struct shard_clock clock = { 1000 * S, 0 };
    int64_t program_us = 1000 * S, due_us = clock.now_us + 30 * S, set_s = 0;

    for (int64_t second = 1; second < 1000; second++) {
        program_us += S + (second % 17 == 0 ? steps_s[second / 17 % 7] * S : 0);
        clock.now_us = shard_clock_at(&clock, second * S, program_us);
        clock.steady_us = second * S;
        if (clock.now_us < due_us)
            continue;
        ck_assert_int_le(second - set_s, 34);
        due_us = clock.now_us + 30 * S;
        set_s = second;
    }
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("clock");

    tcase_add_loop_test(cases, it_goes_on, 0, ROWS(rows));
    tcase_add_test(cases, it_knows_how_far_ahead_it_is);
    tcase_add_test(cases, no_timer_stands_still);
    return check_run("saga clock", cases);
}
