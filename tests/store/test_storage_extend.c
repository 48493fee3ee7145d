/* Extend on a real PostgreSQL: a hold that was extended outlives the time it was made with, for the
 * sweep too, and the same request twice is one. */
#include "tests/support/check.h"
#include "tests/support/storage/storage_fixture.h"
#include "tests/support/store/hot_fixture.h"

#include <string.h>

static void
open_pg(void)
{
    service_begin();
    pg_fixture_run(fixture.conninfo, "TRUNCATE hold, product; UPDATE sweep SET floor_us = 0");
    ck_assert_int_eq(service_do(pg, storage_put(new_id(), "tea", 5, "JPY"), NULL), ERR_OK);
    ck_assert_int_eq(service_do(pg, storage_restock(new_id(), "tea", 100), NULL), ERR_OK);
}

static enum error
extend(struct uuid id, struct uuid hold_id, int64_t until_us, struct problem *ret_problem)
{
    STORAGE(ExtendRequest) request = STORAGE_INIT(EXTEND_REQUEST);
    char text[UUID_TEXT_BYTES + 1], hold_text[UUID_TEXT_BYTES + 1];

    request.request_id = uuid_print(id, text);
    request.hold_id = uuid_print(hold_id, hold_text);
    request.until_us = until_us;
    return service_do(pg, service_call("Extend", &request.base), ret_problem);
}

static struct uuid
reserve(int64_t quantity)
{
    struct uuid id = new_id();

    ck_assert_int_eq(service_do(pg, storage_reserve(id, "tea", quantity, NULL, 0, 60), NULL),
                     ERR_OK);
    return id;
}

/* Its time is over: as if a while had gone by. */
static void
age(struct uuid hold_id)
{
    char text[UUID_TEXT_BYTES + 1];

    pg_fixture_run(fixture.conninfo, "UPDATE hold SET until_us = %lld WHERE id = '%s'",
                   (long long)(clock_now_us() - 2 * SECOND_US), uuid_print(hold_id, text));
}

static long long
of_hold(struct uuid hold_id, const char *column)
{
    char text[UUID_TEXT_BYTES + 1];

    return pg_fixture_int(fixture.conninfo, "SELECT %s FROM hold WHERE id = '%s'", column,
                          uuid_print(hold_id, text));
}

START_TEST(an_extended_hold_outlives_its_first_end)
{
    struct uuid extended = reserve(3), other = reserve(4);
    int64_t until_us = clock_now_us() + 600 * SECOND_US;

    age(extended);
    age(other);
    ck_assert_int_eq(extend(new_id(), extended, until_us, NULL), ERR_OK);
    service_task("expire-holds", ERR_OK);
    ck_assert_int_eq(of_hold(extended, "state"), HOLD_HELD);
    ck_assert_int_eq(of_hold(extended, "until_us"), until_us);
    ck_assert_int_eq(of_hold(other, "state"), HOLD_EXPIRED);
    ck_assert_int_eq(extend(new_id(), other, until_us, NULL), ERR_REFUSED);
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT held FROM product"), 3);
    age(extended); /* and its second end comes too: the sweep looks a little back for it */
    for (int i = 0; i < 61; i++)
        service_task("expire-holds", ERR_OK);
    ck_assert_int_eq(of_hold(extended, "state"), HOLD_EXPIRED);
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT held FROM product"), 0);
}
END_TEST

START_TEST(the_same_request_twice_is_one)
{
    struct uuid hold = reserve(1), id = new_id(), late = new_id();
    int64_t until_us = clock_now_us() + 600 * SECOND_US;
    struct problem problem;

    ck_assert_int_eq(extend(id, hold, until_us, NULL), ERR_OK);
    ck_assert_int_eq(extend(new_id(), hold, until_us + SECOND_US, NULL), ERR_OK);
    ck_assert_int_eq(extend(id, hold, until_us, NULL), ERR_OK);
    ck_assert_int_eq(of_hold(hold, "until_us"), until_us + SECOND_US);
    ck_assert_int_eq(extend(id, hold, until_us + 1, &problem), ERR_ID_REUSED);

    ck_assert_int_eq(service_do(pg, storage_release(new_id(), hold), NULL), ERR_OK);
    ck_assert_int_eq(extend(id, hold, until_us, NULL), ERR_OK); /* as it was decided */
    ck_assert_int_eq(extend(late, hold, until_us, &problem), ERR_REFUSED);
    ck_assert_str_eq(problem_reason(&problem), "HOLD_ENDED");
    ck_assert(problem.is_stored);
    ck_assert_int_eq(extend(late, hold, until_us, &problem), ERR_REFUSED);
    ck_assert_str_eq(problem_reason(&problem), "HOLD_ENDED");
}
END_TEST

/* Extend is rare and may touch the index on until; Confirm and Release are not. */
START_TEST(a_change_of_state_stays_hot)
{
    enum { HOLDS = 10 };
    struct uuid holds[HOLDS];
    struct hot_count before;

    hot_begin(&fixture, pg, "hold", &before);
    for (int i = 0; i < HOLDS; i++)
        holds[i] = reserve(1);
    for (int i = 0; i < HOLDS; i++)
        ck_assert_int_eq(service_do(pg, storage_confirm(new_id(), holds[i]), NULL), ERR_OK);
    ck_assert_int_eq(hot_end(&fixture, pg, &before, HOLDS), 0);
    ck_assert_int_eq(of_hold(holds[HOLDS - 1], "state"), HOLD_CONFIRMED);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("extend");

    tcase_add_checked_fixture(cases, open_pg, service_end);
    tcase_add_test(cases, an_extended_hold_outlives_its_first_end);
    tcase_add_test(cases, the_same_request_twice_is_one);
    tcase_add_test(cases, a_change_of_state_stays_hot);
    return service_fixture_check(&storage_parts, "storage_extend", cases);
}
