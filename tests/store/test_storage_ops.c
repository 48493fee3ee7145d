/* Storage on a real PostgreSQL: what a product and a hold are after each op, and after its repeat. */
#include "tests/support/check.h"
#include "tests/support/storage/storage_fixture.h"
#include "tests/support/store/hot_fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* A product of its own for each test. */
static void
make_product(const char *sku, int64_t price_minor, int64_t pieces)
{
    ck_assert_int_eq(service_do(pg, storage_put(new_id(), sku, price_minor, "JPY"), NULL), ERR_OK);
    if (pieces > 0)
        ck_assert_int_eq(service_do(pg, storage_restock(new_id(), sku, pieces), NULL), ERR_OK);
}

static void
expect_product(const char *sku, const char *on_hand_free_held_sold)
{
    char text[PG_FIXTURE_TEXT_BYTES];

    pg_fixture_text(fixture.conninfo, text,
                    "SELECT concat_ws(' ', on_hand, free, held, sold) FROM product WHERE sku='%s'",
                    sku);
    ck_assert_str_eq(text, on_hand_free_held_sold);
}

START_TEST(reserve_confirm_release)
{
    struct uuid hold = new_id(), confirm = new_id(), release = new_id();
    struct problem problem;

    make_product("tea", 300, 10);
    expect_product("tea", "10 10 0 0");
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(service_do(pg, storage_reserve(hold, "tea", 4, NULL, 0, 60), NULL),
                         ERR_OK);
        expect_product("tea", "10 6 4 0");
    }
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(service_do(pg, storage_confirm(confirm, hold), NULL), ERR_OK);
        expect_product("tea", "10 6 0 4");
    }
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(service_do(pg, storage_release(release, hold), NULL), ERR_OK);
        expect_product("tea", "10 10 0 0");
    }
    ck_assert_int_eq(service_do(pg, storage_confirm(new_id(), hold), &problem), ERR_REFUSED);
    ck_assert_str_eq(problem.reason, "HOLD_ENDED");
    ck_assert(problem.is_stored);
    expect_product("tea", "10 10 0 0");
}
END_TEST

/* Both on one connection, one after the other or in one batch, and on two at once. */
static void
run_together(struct test_call *a, struct test_call *b)
{
    struct test_call *tests[] = { a, b };

    service_run(&storage_service, pg, tests, 2);
}

START_TEST(repeat_gets_the_same_answer)
{
    struct uuid id = new_id();
    struct test_call *first = storage_reserve(id, "milk", 2, NULL, 0, 60);
    struct test_call *second = storage_reserve(id, "milk", 2, NULL, 0, 60);
    struct test_call *third = storage_reserve(id, "milk", 2, NULL, 0, 60);

    make_product("milk", 150, 3);
    run_together(first, second);
    ck_assert_int_eq(service_do(pg, storage_put(new_id(), "milk", 999, "JPY"), NULL), ERR_OK);
    service_run(&storage_service, pg, &third, 1); /* the price went up; the hold keeps its own */
    ck_assert_uint_gt(first->answer_bytes, 0);
    ck_assert_mem_eq(first->answer, second->answer, first->answer_bytes);
    ck_assert_uint_eq(first->answer_bytes, third->answer_bytes);
    ck_assert_mem_eq(first->answer, third->answer, first->answer_bytes);
    ck_assert_int_eq(((struct reserve *)first->call.op)->hold.total_minor, 300);
    expect_product("milk", "3 1 2 0");
    ck_assert_int_eq(service_do(pg, storage_reserve(id, "milk", 1, NULL, 0, 60), NULL),
                     ERR_ID_REUSED);
    ck_assert_int_eq(service_do(pg, storage_confirm(id, id), NULL), ERR_ID_REUSED);
    call_fixture_free(first);
    call_fixture_free(second);
    call_fixture_free(third);
}
END_TEST

START_TEST(release_first_then_a_late_reserve)
{
    struct uuid hold = new_id(), together = new_id();
    struct test_call *release = storage_release(new_id(), together);
    struct test_call *reserve = storage_reserve(together, "jam", 1, NULL, 0, 60);
    struct problem problem;

    make_product("jam", 1, 5);
    ck_assert_int_eq(service_do(pg, storage_release(new_id(), hold), NULL), ERR_OK);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(service_do(pg, storage_reserve(hold, "jam", 1, NULL, 0, 60), &problem),
                         ERR_REFUSED);
        ck_assert_str_eq(problem.reason, "HOLD_ENDED");
        ck_assert(problem.is_stored);
    }
    ck_assert_int_eq(service_do(pg, storage_confirm(new_id(), hold), NULL), ERR_REFUSED);
    ck_assert_int_eq(service_do(pg, storage_release(new_id(), hold), NULL), ERR_OK);
    run_together(release, reserve);
    ck_assert_int_eq(release->call.op->problem.error, ERR_OK);
    ck_assert_int_eq(reserve->call.op->problem.error, ERR_REFUSED);
    expect_product("jam", "5 5 0 0");
    call_fixture_free(release);
    call_fixture_free(reserve);
}
END_TEST

START_TEST(refused_reserve_stays_refused)
{
    struct uuid hold = new_id();
    struct problem problem;

    make_product("bun", 1, 1);
    ck_assert_int_eq(service_do(pg, storage_reserve(hold, "bun", 2, NULL, 0, 60), &problem),
                     ERR_REFUSED);
    ck_assert_str_eq(problem.reason, "NO_STOCK");
    ck_assert_int_eq(service_do(pg, storage_restock(new_id(), "bun", 10), NULL), ERR_OK);
    ck_assert_int_eq(service_do(pg, storage_reserve(hold, "bun", 2, NULL, 0, 60), &problem),
                     ERR_REFUSED);
    ck_assert_str_eq(problem.reason, "NO_STOCK");
    ck_assert_int_eq(service_do(pg, storage_release(new_id(), hold), NULL), ERR_OK);
    ck_assert_int_eq(service_do(pg, storage_confirm(new_id(), hold), &problem), ERR_REFUSED);
    expect_product("bun", "11 11 0 0");
}
END_TEST

START_TEST(very_old_hold_is_released_without_a_trace)
{
    struct uuid old = uuid_v7(clock_now_us() - 60 * DAY_US);

    ck_assert_int_eq(service_do(pg, storage_release(new_id(), old), NULL), ERR_OK);
    ck_assert_int_eq(service_do(pg, storage_reserve(old, "tea", 1, NULL, 0, 60), NULL),
                     ERR_ID_TOO_OLD);
    ck_assert_int_eq(
        service_do(pg, storage_release(uuid_v7(clock_now_us() - 60 * DAY_US), old), NULL),
        ERR_ID_TOO_OLD);
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo,
                                    "SELECT count(*) FROM hold WHERE id < mesh_uuid_floor(now() -"
                                    " interval '46 days')"),
                     0);
}
END_TEST

/* ---- two connections at once ---- */

struct rival {
    struct pg *pg;
    struct test_call *test;
    pthread_t thread;
};

static void *
rival_main(void *context)
{
    struct rival *rival = context;
    struct call *call = &rival->test->call;

    batch_run(&storage_service, rival->pg, &call, 1);
    return NULL;
}

static void
race(struct rival rivals[2], struct test_call *a, struct test_call *b)
{
    rivals[0].test = a;
    rivals[1].test = b;
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&rivals[i].thread, NULL, rival_main, &rivals[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(rivals[i].thread, NULL);
}

START_TEST(same_reserve_on_two_connections)
{
    enum { ROUNDS = 100 };
    struct rival rivals[2] = { { .pg = pg },
                               { .pg = batch_pg_new(&storage_service, fixture.conninfo) } };

    make_product("ale", 7, 1000);
    make_product("rum", 9, 1000);
    for (int round = 0; round < ROUNDS; round++) {
        struct uuid id = new_id();
        struct test_call *a = storage_reserve(id, "ale", 1, "rum", 2, 60);
        struct test_call *b = storage_reserve(id, "ale", 1, "rum", 2, 60);

        race(rivals, a, b);
        ck_assert_int_eq(a->call.op->problem.error, ERR_OK);
        ck_assert_int_eq(b->call.op->problem.error, ERR_OK);
        ck_assert_uint_eq(a->answer_bytes, b->answer_bytes);
        ck_assert_mem_eq(a->answer, b->answer, a->answer_bytes);
        call_fixture_free(a);
        call_fixture_free(b);
    }
    expect_product("ale", "1000 900 100 0");
    expect_product("rum", "1000 800 200 0");
    pg_free(rivals[1].pg);
}
END_TEST

START_TEST(reserve_and_its_release_on_two_connections)
{
    enum { ROUNDS = 100 };
    struct rival rivals[2] = { { .pg = pg },
                               { .pg = batch_pg_new(&storage_service, fixture.conninfo) } };

    make_product("gin", 7, 10);
    for (int round = 0; round < ROUNDS; round++) {
        struct uuid hold = new_id();
        struct test_call *reserve = storage_reserve(hold, "gin", 3, NULL, 0, 60);
        struct test_call *release = storage_release(new_id(), hold);
        enum error error;

        race(rivals, reserve, release);
        error = reserve->call.op->problem.error;
        ck_assert_msg(error == ERR_OK || error == ERR_REFUSED, "%s", error_name(error));
        ck_assert_int_eq(release->call.op->problem.error, ERR_OK);
        expect_product("gin", "10 10 0 0"); /* whoever was first */
        call_fixture_free(reserve);
        call_fixture_free(release);
    }
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo,
                                    "SELECT count(*) FROM hold WHERE lines LIKE '%%gin%%' AND"
                                    " state <> 3"),
                     0);
    pg_free(rivals[1].pg);
}
END_TEST

/* ---- expiry ---- */

static void
expire(struct uuid hold_id)
{
    struct test_call *test = call_fixture_new(&storage_expire_method);

    test->call.op->id = new_id();
    ((struct expire *)test->call.op)->hold_id = hold_id;
    ck_assert_int_eq(service_do(pg, test, NULL), ERR_OK);
}

/* The time of a hold is over: what the clock would do. */
static void
make_old(struct uuid hold_id)
{
    char text[UUID_TEXT_BYTES + 1];

    pg_fixture_run(fixture.conninfo, "UPDATE hold SET until_us = 1 WHERE id = '%s'",
                   uuid_print(hold_id, text));
}

START_TEST(expired_hold_is_had_again_or_not)
{
    struct uuid first = new_id(), second = new_id(), third = new_id();
    struct problem problem;

    make_product("cake", 5, 4);
    ck_assert_int_eq(service_do(pg, storage_reserve(first, "cake", 3, NULL, 0, 60), NULL), ERR_OK);
    expire(first); /* not yet */
    expect_product("cake", "4 1 3 0");
    make_old(first);
    expect_product("cake", "4 1 3 0"); /* held until the sweep says so */
    expire(first);
    expire(first);
    expect_product("cake", "4 4 0 0");
    ck_assert_int_eq(service_do(pg, storage_reserve(second, "cake", 2, NULL, 0, 60), NULL), ERR_OK);
    ck_assert_int_eq(service_do(pg, storage_confirm(new_id(), first), &problem), ERR_REFUSED);
    ck_assert_str_eq(problem.reason, "NO_STOCK");
    ck_assert_int_eq(service_do(pg, storage_release(new_id(), second), NULL), ERR_OK);
    ck_assert_int_eq(service_do(pg, storage_confirm(new_id(), first), NULL), ERR_OK);
    expect_product("cake", "4 1 0 3");
    expire(first); /* sold is sold */
    expect_product("cake", "4 1 0 3");
    expire(third); /* never was */
}
END_TEST

/* ---- a model: any sequence leaves the sums right, and each answer is the model's ---- */

enum { MODEL_HOLDS = 12, MODEL_PIECES = 20 };

struct model {
    int64_t free, held, sold;
    struct {
        struct uuid id;
        int64_t quantity;
        int state; /* enum hold_state; -1: was never asked for */
    } holds[MODEL_HOLDS];
};

static enum error
model_reserve(struct model *model, int i, int64_t quantity)
{
    model->holds[i].quantity = quantity;
    model->holds[i].state = quantity <= model->free ? HOLD_HELD : HOLD_REFUSED;
    if (model->holds[i].state == HOLD_REFUSED)
        return ERR_REFUSED;
    model->free -= quantity;
    model->held += quantity;
    return ERR_OK;
}

static enum error
model_confirm(struct model *model, int i)
{
    switch (model->holds[i].state) {
    case HOLD_HELD:
        model->held -= model->holds[i].quantity;
        break;
    case HOLD_EXPIRED:
        if (model->holds[i].quantity > model->free)
            return ERR_REFUSED;
        model->free -= model->holds[i].quantity;
        break;
    case HOLD_CONFIRMED:
        return ERR_OK;
    default:
        return ERR_REFUSED;
    }
    model->sold += model->holds[i].quantity;
    model->holds[i].state = HOLD_CONFIRMED;
    return ERR_OK;
}

static void
model_release(struct model *model, int i, int next)
{
    if (model->holds[i].state == HOLD_HELD)
        model->held -= model->holds[i].quantity;
    else if (model->holds[i].state == HOLD_CONFIRMED)
        model->sold -= model->holds[i].quantity;
    if (model->holds[i].state == HOLD_HELD || model->holds[i].state == HOLD_CONFIRMED)
        model->free += model->holds[i].quantity;
    if (model->holds[i].state != HOLD_REFUSED)
        model->holds[i].state = next;
}

static void
model_step(struct model *model, const char *sku)
{
    int i = rand() % MODEL_HOLDS;
    struct uuid hold = model->holds[i].id;
    enum error expected = ERR_OK, error = ERR_OK;

    switch (rand() % 4) {
    case 0:
        if (model->holds[i].state != -1) /* ended or refused: a new hold in its place */
            break;
        model->holds[i].quantity = 1 + rand() % 8;
        expected = model_reserve(model, i, model->holds[i].quantity);
        error =
            service_do(pg, storage_reserve(hold, sku, model->holds[i].quantity, NULL, 0, 60), NULL);
        break;
    case 1:
        expected = model_confirm(model, i);
        error = service_do(pg, storage_confirm(new_id(), hold), NULL);
        break;
    case 2:
        if (rand() % 2 == 0)
            break;
        model_release(model, i, HOLD_RELEASED);
        error = service_do(pg, storage_release(new_id(), hold), NULL);
        model->holds[i].id = new_id();
        model->holds[i].state = -1;
        break;
    default:
        if (model->holds[i].state != HOLD_HELD)
            break;
        make_old(hold);
        expire(hold);
        model_release(model, i, HOLD_EXPIRED);
    }
    ck_assert_msg(error == expected, "hold %d: %s and not %s", i, error_name(error),
                  error_name(expected));
}

START_TEST(any_sequence_keeps_the_sums)
{
    struct model model = { .free = MODEL_PIECES };
    char sku[16], expected[64];

    srand((unsigned)_i + 1); /* a failing seed replays */
    snprintf(sku, sizeof sku, "model-%d", _i);
    make_product(sku, 10, MODEL_PIECES);
    for (int i = 0; i < MODEL_HOLDS; i++) {
        model.holds[i].id = new_id();
        model.holds[i].state = -1;
    }
    for (int step = 0; step < 150; step++) {
        model_step(&model, sku);
        if (step % 10 != 9)
            continue;
        snprintf(expected, sizeof expected, "%d %lld %lld %lld", MODEL_PIECES,
                 (long long)model.free, (long long)model.held, (long long)model.sold);
        expect_product(sku, expected);
    }
}
END_TEST

/* A change of a product or a hold writes no index: it stays on its page. */
START_TEST(updates_stay_hot)
{
    enum { HOLDS = 10 };
    struct hot_count holds, products;

    hot_begin(&fixture, pg, "hold", &holds);
    hot_begin(&fixture, pg, "product", &products);
    make_product("hot", 1, HOLDS); /* a new product, and then its stock */
    for (int i = 0; i < HOLDS; i++) {
        struct uuid id = new_id();

        ck_assert_int_eq(service_do(pg, storage_reserve(id, "hot", 1, NULL, 0, 600), NULL), ERR_OK);
        ck_assert_int_eq(service_do(pg, storage_confirm(new_id(), id), NULL), ERR_OK);
    }
    expect_product("hot", "10 0 0 10");
    ck_assert_int_eq(hot_end(&fixture, pg, &holds, HOLDS), 0);
    ck_assert_int_eq(hot_end(&fixture, pg, &products, 1 + 2 * HOLDS), 0);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("ops");

    tcase_add_checked_fixture(cases, service_begin, service_end);
    tcase_add_test(cases, updates_stay_hot);
    tcase_add_test(cases, reserve_confirm_release);
    tcase_add_test(cases, repeat_gets_the_same_answer);
    tcase_add_test(cases, release_first_then_a_late_reserve);
    tcase_add_test(cases, refused_reserve_stays_refused);
    tcase_add_test(cases, very_old_hold_is_released_without_a_trace);
    tcase_add_test(cases, same_reserve_on_two_connections);
    tcase_add_test(cases, reserve_and_its_release_on_two_connections);
    tcase_add_test(cases, expired_hold_is_had_again_or_not);
    tcase_add_loop_test(cases, any_sequence_keeps_the_sums, 0, 8);
    return service_fixture_check(&storage_parts, "storage_ops", cases);
}
