/* Idempotency-Keys on a real PostgreSQL: two servers with one key at the same moment make one order, a
 * server that dies before it answers is gone on for, the first answer stays, and yesterday's keys go. */
#include "order-svc/order.h"
#include "tests/support/check.h"
#include "tests/support/order/order_fixture.h"
#include "tests/support/store/hot_fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static void
open_pg(void)
{
    service_begin();
    pg_fixture_run(fixture.conninfo, "TRUNCATE idempotency, orders, event");
}

/* What a Place was told. */
struct told {
    enum error error;
    enum claim claim;
    struct uuid order_id;
    int32_t http_status;
    char body[64];
};

static struct told last; /* of look_at_place() */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct test_call *
place_call(struct uuid id, const char *key, const char *fingerprint, int32_t lock_ms)
{
    ORDER(PlaceRequest) request = ORDER_INIT(PLACE_REQUEST);
    ORDER(Idempotency) idempotency = ORDER_INIT(IDEMPOTENCY);
    ORDER(OrderLine) line = ORDER_INIT(ORDER_LINE);
    ORDER(OrderLine) *list = &line;
    char text[UUID_TEXT_BYTES + 1];

    request.order_id = uuid_print(id, text);
    request.customer_id = (char *)"alice";
    request.currency = (char *)"JPY";
    line.sku = (char *)"pen";
    line.quantity = 1;
    request.lines = &list;
    request.n_lines = 1;
    request.idempotency = &idempotency;
    idempotency.scope = (char *)"alice";
    idempotency.key = (char *)key;
    idempotency.fingerprint.data = (uint8_t *)fingerprint;
    idempotency.fingerprint.len = strlen(fingerprint);
    idempotency.lock_ms = lock_ms;
    return service_call("Place", &request.base);
}

/* Inside finish(), while the batch's rows are there. */
static void
look_at_place(struct test_call *test)
{
    const struct place *place = (const struct place *)test->call.op;

    pthread_mutex_lock(&lock);
    last = (struct told){ .error = place->op.problem.error,
                          .claim = place->claim,
                          .order_id = place->order.record.id,
                          .http_status = place->http_status };
    if (place->body.count > 0)
        memcpy(last.body, place->body.data, place->body.count);
    pthread_mutex_unlock(&lock);
}

static struct told
place(struct uuid id, const char *key, const char *fingerprint, int32_t lock_ms)
{
    struct test_call *test = place_call(id, key, fingerprint, lock_ms);

    test->look = look_at_place;
    order_do(&order_service, pg, test, NULL, NULL);
    ck_assert_int_eq(last.error, ERR_OK);
    return last;
}

static enum error
store_answer(const char *key, struct uuid order, int32_t http_status, const char *body,
             bool *ret_is_stored)
{
    ORDER(StoreAnswerRequest) request = ORDER_INIT(STORE_ANSWER_REQUEST);
    char text[UUID_TEXT_BYTES + 1], order_text[UUID_TEXT_BYTES + 1];
    struct test_call *test;
    enum error error;

    request.request_id = uuid_print(new_id(), text);
    request.scope = (char *)"alice";
    request.key = (char *)key;
    request.order_id = uuid_print(order, order_text);
    request.http_status = http_status;
    request.body.data = (uint8_t *)body;
    request.body.len = strlen(body);
    test = service_call("StoreAnswer", &request.base);
    service_run(&order_service, pg, &test, 1);
    error = test->call.op->problem.error;
    *ret_is_stored = ((struct store_answer *)test->call.op)->is_stored;
    call_fixture_free(test);
    return error;
}

static bool
release(const char *key, struct uuid claimed_by)
{
    ORDER(ReleaseKeyRequest) request = ORDER_INIT(RELEASE_KEY_REQUEST);
    char text[UUID_TEXT_BYTES + 1], claimed_text[UUID_TEXT_BYTES + 1];
    struct test_call *test;
    bool is_free;

    request.request_id = uuid_print(new_id(), text);
    request.scope = (char *)"alice";
    request.key = (char *)key;
    request.claimed_by = uuid_print(claimed_by, claimed_text);
    test = service_call("ReleaseKey", &request.base);
    service_run(&order_service, pg, &test, 1);
    ck_assert_int_eq(test->call.op->problem.error, ERR_OK);
    is_free = ((struct release_key *)test->call.op)->is_free;
    call_fixture_free(test);
    return is_free;
}

static long long
orders(void)
{
    return pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM orders");
}

START_TEST(one_key_is_one_order_and_one_answer)
{
    struct uuid id = new_id();
    bool is_stored;
    struct told told = place(id, "k", "f", 30000);

    ck_assert_int_eq(told.claim, CLAIM_MINE);
    ck_assert(uuid_equal(told.order_id, id));
    ck_assert_int_eq(place(id, "k", "f", 30000).claim, CLAIM_MINE); /* its reply was lost */
    told = place(new_id(), "k", "f", 30000);
    ck_assert_int_eq(told.claim, CLAIM_IN_FLIGHT);
    ck_assert(uuid_equal(told.order_id, id));
    ck_assert_int_eq(place(new_id(), "k", "g", 30000).claim, CLAIM_MISMATCH);

    ck_assert_int_eq(store_answer("k", id, 201, "{\"a\":1}", &is_stored), ERR_OK);
    ck_assert(is_stored);
    ck_assert_int_eq(store_answer("k", id, 202, "", &is_stored), ERR_OK);
    ck_assert(!is_stored);
    ck_assert_int_eq(store_answer("other", id, 202, "", &is_stored), ERR_NOT_FOUND);
    told = place(new_id(), "k", "f", 30000);
    ck_assert_int_eq(told.claim, CLAIM_ANSWERED);
    ck_assert(uuid_equal(told.order_id, id));
    ck_assert_int_eq(told.http_status, 201);
    ck_assert_str_eq(told.body, "{\"a\":1}");
    ck_assert_int_eq(place(id, "k", "f", 30000).claim, CLAIM_ANSWERED);
    ck_assert_int_eq(place(new_id(), "k", "g", 30000).claim, CLAIM_MISMATCH);
    ck_assert_int_eq(orders(), 1);
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM event"), 1);
    ck_assert_int_eq(place(new_id(), "another", "f", 30000).claim, CLAIM_MINE);
    ck_assert_int_eq(orders(), 2);
}
END_TEST

/* The server that placed it is killed before StoreAnswer; the frontend asks again, at another one. */
START_TEST(a_crash_before_the_answer_is_gone_on_from)
{
    struct uuid first = new_id(), second = new_id();
    bool is_stored;
    struct told told;

    place(first, "k", "f", 30000);
    service_end();
    pg = batch_pg_new(&order_service, fixture.conninfo);
    ck_assert_int_eq(place(second, "k", "f", 30000).claim, CLAIM_IN_FLIGHT);
    pg_fixture_run(fixture.conninfo, "UPDATE idempotency SET locked_until_us = 1");
    told = place(second, "k", "f", 30000);
    ck_assert_int_eq(told.claim, CLAIM_MINE);
    ck_assert(uuid_equal(told.order_id, first));
    ck_assert_int_eq(place(second, "k", "f", 30000).claim, CLAIM_MINE); /* its reply was lost */
    ck_assert_int_eq(place(new_id(), "k", "f", 30000).claim, CLAIM_IN_FLIGHT);
    ck_assert_int_eq(store_answer("k", first, 201, "{}", &is_stored), ERR_OK);
    ck_assert(is_stored);
    ck_assert_int_eq(place(new_id(), "k", "f", 30000).claim, CLAIM_ANSWERED);
    ck_assert_int_eq(orders(), 1);
}
END_TEST

/* Who came to no answer gives the key back: the next one goes on at once, with the same order. */
START_TEST(a_key_given_back_is_gone_on_from_at_once)
{
    struct uuid first = new_id(), second = new_id();
    struct told told;

    ck_assert(!release("k", first)); /* its Place did not arrive */
    ck_assert_int_eq(place(first, "k", "f", 30000).claim, CLAIM_MINE);
    ck_assert(!release("k", second)); /* not that one's to give */
    ck_assert_int_eq(place(second, "k", "f", 30000).claim, CLAIM_IN_FLIGHT);
    ck_assert(release("k", first));
    ck_assert(release("k", first));
    ck_assert_int_eq(place(new_id(), "k", "g", 30000).claim, CLAIM_MISMATCH);
    told = place(second, "k", "f", 30000);
    ck_assert_int_eq(told.claim, CLAIM_MINE);
    ck_assert(uuid_equal(told.order_id, first));
    ck_assert(!release("k", first)); /* a late one: the key is the second's by now */
    ck_assert_int_eq(place(new_id(), "k", "f", 30000).claim, CLAIM_IN_FLIGHT);
    ck_assert_int_eq(orders(), 1);
}
END_TEST

START_TEST(a_batch_with_one_key_many_times_makes_one_order)
{
    struct test_call *tests[10];
    struct call *calls[10];
    int claimed = 0;

    for (int i = 0; i < 10; i++) {
        tests[i] = place_call(new_id(), "k", i == 5 ? "g" : "f", 30000);
        calls[i] = &tests[i]->call;
    }
    batch_run(&order_service, pg, calls, 10);
    for (int i = 0; i < 10; i++) {
        const struct place *op = (const struct place *)tests[i]->call.op;

        ck_assert_int_eq(op->op.problem.error, ERR_OK);
        claimed += op->claim == CLAIM_MINE;
        ck_assert_int_eq(op->claim, i == 0   ? CLAIM_MINE
                                    : i == 5 ? CLAIM_MISMATCH
                                             : CLAIM_IN_FLIGHT);
        call_fixture_free(tests[i]);
    }
    ck_assert_int_eq(claimed, 1);
    ck_assert_int_eq(orders(), 1);
}
END_TEST

/* ---- two servers at once ---- */

enum { KEYS = 60 };
struct racer {
    pthread_barrier_t *barrier;
    enum claim claims[KEYS];
};

static void *
race(void *context)
{
    struct racer *racer = context;
    struct pg *own = batch_pg_new(&order_service, fixture.conninfo);

    for (int i = 0; i < KEYS; i++) {
        struct test_call *test;
        char key[24];

        snprintf(key, sizeof key, "race-%d", i);
        test = place_call(new_id(), key, "f", 30000);
        pthread_barrier_wait(racer->barrier);
        service_run(&order_service, own, &test, 1);
        ck_assert_int_eq(test->call.op->problem.error, ERR_OK);
        racer->claims[i] = ((struct place *)test->call.op)->claim;
        call_fixture_free(test);
    }
    pg_free(own);
    return NULL;
}

static long long
sessions(void)
{
    return pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM pg_stat_activity"
                                            " WHERE datname = current_database()");
}

START_TEST(two_servers_with_one_key_make_one_order)
{
    long long sessions_before = sessions();
    pthread_barrier_t barrier;
    struct racer racers[2] = { { .barrier = &barrier }, { .barrier = &barrier } };
    pthread_t threads[2];

    pthread_barrier_init(&barrier, NULL, 2);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&barrier);
    for (int i = 0; i < KEYS; i++) {
        enum claim a = racers[0].claims[i], b = racers[1].claims[i];

        ck_assert_msg((a == CLAIM_MINE && b == CLAIM_IN_FLIGHT) ||
                          (a == CLAIM_IN_FLIGHT && b == CLAIM_MINE),
                      "key %d: %d and %d", i, a, b);
    }
    ck_assert_int_eq(orders(), KEYS);
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo,
                                    "SELECT count(*) FROM idempotency i JOIN orders o"
                                    " ON o.id = i.order_id WHERE i.claimed_by = o.id"),
                     KEYS);
    AWAIT(sessions() <= sessions_before, 60); /* one that ends counts what it did */
}
END_TEST

/* ---- what it costs, and how it ends ---- */

static long long
statements_on_keys(void)
{
    pg_run(pg, "SELECT pg_stat_force_next_flush()");
    return pg_fixture_int(fixture.conninfo,
                          "SELECT seq_scan + idx_scan + n_tup_ins + n_tup_upd"
                          " FROM pg_stat_user_tables WHERE relname = 'idempotency'");
}

START_TEST(an_order_without_a_key_asks_nothing_of_the_keys)
{
    long long before = statements_on_keys();

    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(order_do(&order_service, pg, order_place(new_id(), "bob", 1), NULL, NULL),
                         ERR_OK);
    ck_assert_int_eq(statements_on_keys(), before);
    place(new_id(), "k", "f", 30000);
    ck_assert_int_gt(statements_on_keys(), before); /* so the numbers do say something */
}
END_TEST

START_TEST(an_answer_stays_hot)
{
    enum { ANSWERS = 10 };
    struct uuid ids[ANSWERS];
    struct hot_count before;
    bool is_stored;
    char key[24];

    hot_begin(&fixture, pg, "idempotency", &before);
    for (int i = 0; i < ANSWERS; i++) {
        ids[i] = new_id();
        snprintf(key, sizeof key, "hot-%d", i);
        place(ids[i], key, "0123456789abcdef0123456789abcdef", 30000);
    }
    for (int i = 0; i < ANSWERS; i++) {
        snprintf(key, sizeof key, "hot-%d", i);
        store_answer(key, ids[i], 201, "{\"orderNo\":\"of some length\"}", &is_stored);
        ck_assert(is_stored);
    }
    ck_assert_int_eq(hot_end(&fixture, pg, &before, ANSWERS), 0);
}
END_TEST

START_TEST(the_keys_of_yesterday_are_forgotten)
{
    static const struct keeper_task forget = { .name = "forget-keys",
                                               .sweep = { .statement = &idempotency_forget } };
    struct uuid id = new_id();
    struct told told;

    place(id, "old", "f", 0);
    place(new_id(), "young", "f", 0);
    pg_fixture_run(fixture.conninfo,
                   "UPDATE idempotency SET created_at_us ="
                   " (extract(epoch FROM now() - interval '86399 seconds') * 1000000)::bigint;"
                   " UPDATE idempotency SET created_at_us = created_at_us - 2000000"
                   " WHERE key LIKE '%%old';"
                   " INSERT INTO idempotency SELECT 'x' || i, '', gen_random_uuid(),"
                   " gen_random_uuid(), 0, 0, '', i FROM generate_series(1, 1234) AS i");
    service_task_run(&forget, ERR_OK);
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM idempotency"), 1);
    ck_assert_int_eq(orders(), 2);
    ck_assert_int_eq(place(new_id(), "young", "g", 0).claim, CLAIM_MISMATCH);
    told = place(id, "old", "f", 0); /* the same call is the same order, key or no key */
    ck_assert_int_eq(told.claim, CLAIM_MINE);
    ck_assert(uuid_equal(told.order_id, id));
    told = place(new_id(), "old", "g", 0); /* the same key is a new one */
    ck_assert_int_eq(told.claim, CLAIM_MINE);
    ck_assert_int_eq(orders(), 3);
}
END_TEST

int
main(void)
{
    TCase *keys = check_case("keys");

    tcase_add_checked_fixture(keys, open_pg, service_end);
    tcase_add_test(keys, one_key_is_one_order_and_one_answer);
    tcase_add_test(keys, a_crash_before_the_answer_is_gone_on_from);
    tcase_add_test(keys, a_key_given_back_is_gone_on_from_at_once);
    tcase_add_test(keys, a_batch_with_one_key_many_times_makes_one_order);
    tcase_add_test(keys, two_servers_with_one_key_make_one_order);
    tcase_add_test(keys, an_order_without_a_key_asks_nothing_of_the_keys);
    tcase_add_test(keys, an_answer_stays_hot);
    tcase_add_test(keys, the_keys_of_yesterday_are_forgotten);
    return service_fixture_check(&order_parts, "order_idempotency", keys);
}
