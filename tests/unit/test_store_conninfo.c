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

/* clang-format off */
static const struct {
    const char *conninfo;
    bool is_unverified, has_password;
} trust_rows[] = {
    { "dbname=orders",                                                     false, false },
    { "host=/run/postgresql dbname=orders",                                false, false },
    { "host=@mesh dbname=orders",                                          false, false },
    { "host=localhost password=hunter2",                                   false, true },
    { "host=127.0.0.1",                                                    false, false },
    { "host=::1",                                                          false, false },
    { "host=db",                                                           true,  false },
    { "host=localhost.example",                                            true,  false },
    { "host=localhost,db",                                                 true,  false },
    { "host=/run/postgresql,localhost",                                    false, false },
    { "hostaddr=10.0.0.7",                                                 true,  false },
    { "host=db hostaddr=127.0.0.1",                                        false, false },
    { "host=db sslmode=verify-full sslrootcert=ca.crt",                    false, false },
    { "host=db sslmode=disable",                                           false, false },
    { "postgresql://mesh:hunter2@db:5433/orders",                          true,  true },
    { "postgresql://mesh@db/orders?sslmode=verify-full&passfile=/pass",    false, false },
};
/* clang-format on */

START_TEST(what_leaves_open_whom_it_trusts_is_known)
{
    const char *conninfo = trust_rows[_i].conninfo;

    unsetenv("PGSSLMODE");
    ck_assert_msg(conninfo_is_unverified(conninfo) == trust_rows[_i].is_unverified, "%s", conninfo);
    ck_assert_msg(conninfo_has_password(conninfo) == trust_rows[_i].has_password, "%s", conninfo);
    setenv("PGSSLMODE", "require", 1);
    ck_assert_msg(!conninfo_is_unverified(conninfo), "%s", conninfo);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("conninfo");

    tcase_add_loop_test(cases, passwords_are_left_out, 0, ROWS(rows));
    tcase_add_loop_test(cases, what_leaves_open_whom_it_trusts_is_known, 0, ROWS(trust_rows));
    return check_run("store_conninfo", cases);
}
