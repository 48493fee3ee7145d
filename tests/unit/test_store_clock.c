/* test_store_clock.c -- When the database's clock is gone by, and what no later time is earlier than. */
#include "mesh/base/clock.h"
#include "mesh/store/store_clock.h"
#include "tests/support/check.h"

#define S SECOND_US
#define NOW (1000000 * S) /* the program's time */

/* clang-format off */
static const struct {
    const char *what;
    int64_t database_us, now_us, least_us;
} rows[] = {
    { "they agree",                          NOW,               NOW,               NOW },
    { "the database is a little ahead",      NOW + S / 10,      NOW + S / 10,      NOW },
    { "... a little behind",                 NOW - S / 10,      NOW - S / 10,      NOW - S / 10 },
    { "... a second ahead",                  NOW + S,           NOW + S,           NOW - 2 * S },
    { "... a second behind",                 NOW - S,           NOW - S,           NOW - 3 * S },
    { "... more than a second ahead",        NOW + S + 1,       NOW,               NOW - 2 * S },
    { "... more than a second behind",       NOW - S - 1,       NOW,               NOW - 3 * S - 1 },
    { "... 400 s ahead",                     NOW + 400 * S,     NOW,               NOW - 2 * S },
    { "... 60 days behind",                  NOW - 60 * DAY_US, NOW,               NOW - 2 * S },
};
/* clang-format on */

START_TEST(the_database_is_gone_by_while_it_agrees)
{
    clock_set_test_us(NOW);
    ck_assert_msg(store_now_us(rows[_i].database_us) == rows[_i].now_us, "%s", rows[_i].what);
    ck_assert_msg(store_least_us(rows[_i].database_us, NOW) == rows[_i].least_us, "%s",
                  rows[_i].what);
    ck_assert_int_le(rows[_i].least_us, rows[_i].now_us);
    clock_set_test_us(0);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("clock");

    tcase_add_loop_test(cases, the_database_is_gone_by_while_it_agrees, 0, ROWS(rows));
    return check_run("store clock", cases);
}
