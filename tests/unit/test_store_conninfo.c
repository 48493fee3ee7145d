/* No secret of a conninfo is shown. */
#include "mesh/store/conninfo.h"
#include "tests/support/check.h"

#include <stdlib.h>

/* clang-format off */
static const struct {
    const char *conninfo, *shown;
} rows[] = {
    { "host=db port=5433 dbname=orders user=mesh password=hunter2", "user=mesh dbname=orders host=db port=5433" },
    { "postgresql://mesh:hunter2@db:5433/orders?sslmode=require",   "user=mesh dbname=orders host=db port=5433 sslmode=require" },
    { "host=a,b sslpassword=hunter2 dbname='two words'",            "dbname=two words host=a,b" },
    { "password='hunter2 host=db'",                                 "" },
    { "password",                                                   "" },
    { "host=db unheard=of",                                         "" },
    { "",                                                           "" },
};
/* clang-format on */

START_TEST(passwords_are_left_out)
{
    char *shown = conninfo_show(rows[_i].conninfo);

    ck_assert_str_eq(shown, rows[_i].shown);
    free(shown);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("conninfo");

    tcase_add_loop_test(cases, passwords_are_left_out, 0, ROWS(rows));
    return check_run("store_conninfo", cases);
}
