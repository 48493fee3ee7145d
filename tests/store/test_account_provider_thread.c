/* The provider thread against a small provider of the test's own, over real sockets and a real database:
 * what it asks, what it makes of lost answers, and how an Abandon and a late success end. */
#include "account-svc/provider/provider_lane.h"
#include "tests/support/account/provider_fixture.h"
#include "tests/support/check.h"

#include <stdio.h>

START_TEST(created_paid_and_asked)
{
    struct uuid id = create();

    wait_for(id, "url <> '' AND create_state = 3 AND NOT is_leased");
    EXPECT(creates, 1);
    world_set("SUCCEEDED");
    come_back(id);
    wait_for(id, "observed = 7 AND claim = 2 AND kind = 0");
    EXPECT(queries, 1);
    EXPECT(refunds, 0);
}
END_TEST

/* Members that are not read, and that JSON allows. */
START_TEST(paid_with_junk_beside)
{
    struct uuid id = create();

    wait_for(id, "url <> '' AND create_state = 3 AND NOT is_leased");
    pthread_mutex_lock(&world.lock);
    world.junk = "\"traceNo\":18446744073709551615,\"memo\":\"\\ud83d\",\"x\":1,\"x\":2,";
    world.status = "SUCCEEDED";
    pthread_mutex_unlock(&world.lock);
    come_back(id);
    wait_for(id, "observed = 7 AND claim = 2 AND kind = 0");
}
END_TEST

START_TEST(lost_answer_to_the_create)
{
    struct uuid id;

    world.lost = 1;
    id = create();
    wait_for(id, "url <> '' AND create_state = 3");
    EXPECT(creates, 1); /* the query found it */
    EXPECT(queries, 1);
}
END_TEST

/* The provider is away, the create is refused in doubt; then it is sent again under the same id. */
START_TEST(provider_away_for_a_while)
{
    struct uuid id;

    world.is_away = true;
    id = create();
    wait_for(id, "attempts >= 2");
    pthread_mutex_lock(&world.lock);
    world.is_away = false;
    pthread_mutex_unlock(&world.lock);
    wait_for(id, "url <> '' AND create_state = 3");
    EXPECT(creates, 1);
}
END_TEST

START_TEST(abandoned_and_cancelled)
{
    struct uuid id = create();

    wait_for(id, "create_state = 3 AND NOT is_leased");
    abandon(id);
    wait_for(id, "claim = 3 AND observed = 6");
    EXPECT(cancels, 1);
    EXPECT(queries, 1);     /* before the cancel, whose answer said how it ended */
    world_set("SUCCEEDED"); /* paid after all */
    come_back(id);
    wait_for(id, "observed = 7 AND refunds <> '' AND kind = 0");
    EXPECT(refunds, 1);
}
END_TEST

START_TEST(lost_answer_to_the_refund)
{
    struct uuid id = create();

    wait_for(id, "create_state = 3 AND NOT is_leased");
    abandon(id);
    wait_for(id, "claim = 3");
    pthread_mutex_lock(&world.lock);
    world.status = "SUCCEEDED";
    world.loses_refund = true;
    pthread_mutex_unlock(&world.lock);
    come_back(id);
    wait_for(id, "observed = 7 AND refunds LIKE '500 %' AND kind = 0");
    EXPECT(refunds, 1); /* the books told that it was made */
    wait_for(id, "refunds = '500 ' || id");
}
END_TEST

/* Some of it went back by hand: the refund of all is refused, a person is told, and what is left goes
 * back. */
START_TEST(refund_of_what_is_left)
{
    struct uuid id = create();

    wait_for(id, "create_state = 3 AND NOT is_leased");
    abandon(id);
    wait_for(id, "claim = 3");
    pthread_mutex_lock(&world.lock);
    world.status = "SUCCEEDED";
    world.is_away = true;
    pthread_mutex_unlock(&world.lock);
    come_back(id);
    wait_for(id, "hint_attempts >= 1");
    pthread_mutex_lock(&world.lock);
    world.office_minor = 200;
    world.is_away = false;
    pthread_mutex_unlock(&world.lock);
    wait_for(id, "observed = 7 AND kind = 0");
    wait_for(id, "refunds = '300 ' || id || E'\\n' || '200 office'");
    EXPECT(refunds, 1);
}
END_TEST

START_TEST(refund_that_is_refused)
{
    struct uuid id = create();

    wait_for(id, "create_state = 3 AND NOT is_leased");
    abandon(id);
    wait_for(id, "claim = 3");
    pthread_mutex_lock(&world.lock);
    world.status = "SUCCEEDED";
    world.office_on_refund_minor = 200;
    pthread_mutex_unlock(&world.lock);
    come_back(id);
    wait_for(id, "needs_person");
    wait_for(id, "kind = 0 AND NOT needs_person");
    wait_for(id, "refunds = '300 ' || id || E'\\n' || '200 office'");
    EXPECT(refunds, 2); /* of all, and of what was left */
}
END_TEST

/* ---- lanes: times are counted from below, so a slow machine changes nothing ---- */

/* 5 a second with a second saved up: 20 need 3 seconds. */
START_TEST(rate_is_kept)
{
    int64_t began_us = clock_steady_us();

    for (int i = 0; i < 20; i++)
        create();
    wait_for_all(20, "url <> '' AND NOT is_leased");
    EXPECT(creates, 20);
    EXPECT(hits, 20);
    ck_assert_int_ge(world.hits_us[19] - began_us, 3 * SECOND_US);
}
END_TEST

/* After several failures one asks for all, creates and queries apart, with a pause after each; and all may
 * when it is answered. */
START_TEST(outage_and_recovery)
{
    int from, hits, creates;

    world.is_away = true;
    for (int i = 0; i < LANE_FAILURES_MIN; i++)
        create();
    wait_for_hits_of('c', LANE_FAILURES_MIN);
    from = wait_for_hits_of('g', LANE_FAILURES_MIN);
    for (int i = 0; i < 20; i++)
        create();
    hits = wait_for_hits(from + 6);
    pthread_mutex_lock(&world.lock);
    world.is_away = false;
    pthread_mutex_unlock(&world.lock);
    for (int i = from; i < hits; i++)
        ck_assert_int_ge(gap_in_kind(i), LANE_PAUSE_MIN_US * 9 / 10);
    wait_for_all(20 + LANE_FAILURES_MIN, "url <> '' AND create_state = 3");
    pthread_mutex_lock(&world.lock);
    creates = world.creates;
    pthread_mutex_unlock(&world.lock);
    ck_assert_int_le(creates, 20 + LANE_FAILURES_MIN); /* none twice */
}
END_TEST

/* Whoever can answer for a provider must not send its key on to others: a redirect is no answer. */
START_TEST(redirect_is_not_followed)
{
    struct uuid id;
    char head[128];

    snprintf(head, sizeof head, "Location: http://127.0.0.1:%d/v1/payments/elsewhere\r\n",
             world.port);
    world.redirects = true;
    world.head = head;
    id = create();
    wait_for(id, "create_state = 1 AND NOT is_leased");
    pthread_mutex_lock(&world.lock);
    world.redirects = false;
    pthread_mutex_unlock(&world.lock);
    wait_for(id, "url <> '' AND create_state = 3");
    EXPECT(creates, 1);
    EXPECT(followed, 0);
}
END_TEST

/* One 503 that says when to come back: nobody asks before. */
START_TEST(retry_after_is_kept)
{
    world.is_away = true;
    world.head = "Retry-After: 2\r\n";
    create();
    wait_for_hits(1);
    for (int i = 0; i < 5; i++)
        create();
    pthread_mutex_lock(&world.lock);
    world.is_away = false;
    pthread_mutex_unlock(&world.lock);
    wait_for_all(6, "url <> '' AND create_state = 3");
    ck_assert_int_ge(gap_before(1), 2 * SECOND_US);
}
END_TEST

int
main(void)
{
    TCase *tests = check_case("thread"), *slow = check_case("slow");

    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, created_paid_and_asked);
    tcase_add_test(tests, paid_with_junk_beside);
    tcase_add_test(tests, lost_answer_to_the_create);
    tcase_add_test(tests, provider_away_for_a_while);
    tcase_add_test(tests, abandoned_and_cancelled);
    tcase_add_test(tests, lost_answer_to_the_refund);
    tcase_add_test(tests, refund_of_what_is_left);
    tcase_add_test(tests, refund_that_is_refused);
    tcase_add_test(tests, outage_and_recovery);
    tcase_add_test(tests, retry_after_is_kept);
    tcase_add_test(tests, redirect_is_not_followed);
    tcase_add_checked_fixture(slow, set_up_slow, tear_down);
    tcase_add_test(slow, rate_is_kept);
    return pg_fixture_check(&fixture, "provider", "account-svc/schema", slow, tests);
}
