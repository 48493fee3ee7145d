/* test_store_room.c -- Who is refused because he would not be decided in time. */
#include "mesh/store/room.h"
#include "tests/support/check.h"

#define MS INT64_C(1000)

/* clang-format off */
static const struct {
    const char *what;
    int64_t round_us, left_us;
    size_t room;
} rows[] = {
    { "nothing is known of it yet",            0,       2000 * MS, SIZE_MAX },
    { "two seconds, of 10 ms each",            10 * MS, 2000 * MS, 199 * 256 },
    { "a slow disk",                           500 * MS, 2000 * MS, 3 * 256 },
    { "... and the next transaction is tried", 900 * MS, 1000 * MS, 256 },
    { "it would take longer than there is",    5000 * MS, 1000 * MS, 256 },
    { "the deadline is over",                  10 * MS, -5 * MS,   256 },
};
/* clang-format on */

START_TEST(there_is_room)
{
    ck_assert_msg(store_room(256, rows[_i].round_us, rows[_i].left_us) == rows[_i].room, "%s",
                  rows[_i].what);
}
END_TEST

START_TEST(the_mean_follows)
{
    int64_t mean_us = store_round_mean(0, 80 * MS);

    ck_assert_int_eq(mean_us, 80 * MS);
    ck_assert_int_eq(store_round_mean(mean_us, 160 * MS), 90 * MS);
    for (int i = 0; i < 100; i++)
        mean_us = store_round_mean(mean_us, 10 * MS);
    ck_assert_int_lt(mean_us, 11 * MS);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("room");

    tcase_add_loop_test(cases, there_is_room, 0, ROWS(rows));
    tcase_add_test(cases, the_mean_follows);
    return check_run("store room", cases);
}
