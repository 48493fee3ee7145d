/* The provider thread against a provider of whose requests one kind does not work: nothing else stops for it,
 * and no money is left with it. */
#include "tests/support/account/provider_fixture.h"
#include "tests/support/check.h"

/* clang-format off */
static const struct broken cancels[] = {
    { "trouble of its own",        500, "{}" },
    { "a key that is not right",   401, "{}" },
    { "too many",                  429, "{}" },
    { "accepted, and not said",    202, "{\"resultInfo\":{\"code\":\"REQUEST_ACCEPTED\"}}" },
    { "nobody can read it",        200, "<html>" },
    { "the connection is closed",  0,   "" },
};
/* clang-format on */

/* Its customer is quicker than the cancel, and comes back: the order still waits, and takes it. */
START_TEST(paid_while_it_was_cancelled)
{
    struct uuid id;

    world.cancel = &cancels[_i];
    id = create();
    wait_for(id, "create_state = 3 AND NOT is_leased");
    abandon(id);
    wait_for_cancels(1);
    world_set("SUCCEEDED");
    come_back(id);
    wait_for(id, "observed = 7 AND claim = 2 AND kind = 0");
    EXPECT(refunds, 0);
}
END_TEST

/* The same, and no webhook tells: the query after the cancel does. */
START_TEST(paid_in_silence)
{
    struct uuid id;

    world.cancel = &cancels[_i];
    id = create();
    wait_for(id, "create_state = 3 AND NOT is_leased");
    abandon(id);
    wait_for_cancels(1);
    world_set("SUCCEEDED");
    wait_for(id, "observed = 7 AND claim = 2 AND kind = 0");
}
END_TEST

/* The order is dead already: the money goes back. */
START_TEST(paid_after_the_order_was_undone)
{
    struct uuid id;

    world.cancel = &cancels[_i];
    id = create();
    wait_for(id, "create_state = 3 AND NOT is_leased");
    undo(id, "Refund");
    wait_for(id, "claim = 3");
    wait_for_cancels(2); /* and it goes on */
    world_set("SUCCEEDED");
    come_back(id);
    wait_for(id, "observed = 7 AND refunds = '500 ' || id AND kind = 0 AND NOT needs_person");
    EXPECT(refunds, 1);
}
END_TEST

/* Cancels are not answered: the payments of new customers have their pages at once all the same. */
START_TEST(cancels_hold_up_nobody)
{
    struct uuid ids[20];

    world.cancel = &cancels[0];
    for (int i = 0; i < 20; i++)
        ids[i] = create();
    wait_for_all(20, "create_state = 3 AND NOT is_leased");
    for (int i = 0; i < 20; i++)
        abandon(ids[i]);
    wait_for_cancels(10);
    for (int i = 0; i < 5; i++) {
        int64_t begun_us = clock_steady_us();

        wait_for(create(), "url <> ''");
        ck_assert_int_lt(clock_steady_us() - begun_us, patient_us(5 * SECOND_US));
    }
}
END_TEST

int
main(void)
{
    TCase *tests = check_case("broken");

    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, paid_while_it_was_cancelled, 0, ROWS(cancels));
    tcase_add_loop_test(tests, paid_in_silence, 0, 1);
    tcase_add_loop_test(tests, paid_after_the_order_was_undone, 0, ROWS(cancels));
    tcase_add_test(tests, cancels_hold_up_nobody);
    return pg_fixture_check(&fixture, "broken", "account-svc/schema", tests);
}
