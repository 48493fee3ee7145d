/* Storage on a real PostgreSQL: what a product and a hold are after each op, and after its repeat. */
#include "tests/store/pg_fixture.h"
#include "tests/store/storage_fixture.h"

static struct pg_fixture fixture;
static struct pg *pg;

static void
open_pg(void)
{
    pg = batch_pg_new(&storage_service, fixture.conninfo);
}

static void
close_pg(void)
{
    pg = pg_free(pg);
}

/* A product of its own for each test. */
static void
make_product(const char *sku, int64_t price_minor, int64_t pieces)
{
    ck_assert_int_eq(storage_do(pg, storage_put(storage_id(), sku, price_minor, "JPY"), NULL),
                     ERR_OK);
    if (pieces > 0)
        ck_assert_int_eq(storage_do(pg, storage_restock(storage_id(), sku, pieces), NULL), ERR_OK);
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
    struct uuid hold = storage_id(), confirm = storage_id(), release = storage_id();
    struct problem problem;

    make_product("tea", 300, 10);
    expect_product("tea", "10 10 0 0");
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(storage_do(pg, storage_reserve(hold, "tea", 4, NULL, 0, 60), NULL),
                         ERR_OK);
        expect_product("tea", "10 6 4 0");
    }
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(storage_do(pg, storage_confirm(confirm, hold), NULL), ERR_OK);
        expect_product("tea", "10 6 0 4");
    }
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(storage_do(pg, storage_release(release, hold), NULL), ERR_OK);
        expect_product("tea", "10 10 0 0");
    }
    ck_assert_int_eq(storage_do(pg, storage_confirm(storage_id(), hold), &problem), ERR_REFUSED);
    ck_assert_str_eq(problem.reason, "HOLD_ENDED");
    ck_assert(problem.is_stored);
    expect_product("tea", "10 10 0 0");
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("storage_ops");
    TCase *cases = tcase_create("ops");
    SRunner *runner = srunner_create(suite);
    int failed;

    pg_fixture_open(&fixture, "storage_ops", "storage-svc/schema.sql");
    tcase_add_checked_fixture(cases, open_pg, close_pg);
    tcase_add_test(cases, reserve_confirm_release);
    suite_add_tcase(suite, cases);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    pg_fixture_close(&fixture);
    return failed == 0 ? 0 : 1;
}
