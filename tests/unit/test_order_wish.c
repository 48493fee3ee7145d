/* test_order_wish.c -- The id under which an order's wish to be cancelled is sent. */
#include "mesh/base/clock.h"
#include "order-svc/order_saga.h"
#include "tests/support/check.h"

#define HOUR_US (3600 * SECOND_US)
#define NOW_US (INT64_C(20000) * DAY_US) /* the beginning of a day */

/* An order this old is cancelled now and again some hours later: is it the same wish? */
/* clang-format off */
static const struct {
    const char *what;
    int age_days, hours_later;
    bool is_same;
} rows[] = {
    { "a new order, at once again",                          0,  0, true  },
    { "a new order, a day later",                            0, 24, true  },
    { "an order of a month, a day later",                   30, 24, true  },
    { "one whose id is nearly too old, on the same day",    45,  5, true  },
    { "the same, on the next day",                          45, 24, false },
    { "one that is open for a year, on the same day",      365,  5, true  },
};
/* clang-format on */

START_TEST(a_wish_has_one_id)
{
    struct uuid order = uuid_v7(NOW_US - rows[_i].age_days * DAY_US);
    int64_t later_us = NOW_US + rows[_i].hours_later * HOUR_US;
    struct uuid first = order_saga_cancel_id(order, NOW_US);
    struct uuid second = order_saga_cancel_id(order, later_us);

    ck_assert_msg(uuid_equal(first, second) == rows[_i].is_same, "%s", rows[_i].what);
    ck_assert_msg(!id_is_too_old(first, NOW_US), "%s: too old", rows[_i].what);
    ck_assert_msg(!id_is_too_old(second, later_us), "%s: too old later", rows[_i].what);
    ck_assert(!uuid_equal(first, order_saga_cancel_id(uuid_v7(NOW_US), NOW_US)));
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("wish");

    tcase_add_loop_test(cases, a_wish_has_one_id, 0, ROWS(rows));
    return check_run("wish", cases);
}
