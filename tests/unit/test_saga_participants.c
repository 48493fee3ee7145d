/* test_saga_participants.c -- What --participants may say: services, and where each of them is. */
#include "mesh/base/log.h"
#include "saga/participants.h"
#include "tests/support/check.h"

/* clang-format off */
static const struct {
    const char *text;
    enum error error;
} rows[] = {
    { "",                                                    ERR_OK },
    { "a.B=127.0.0.1:1",                                     ERR_OK },
    { "a.B=127.0.0.1:1,a.C=127.0.0.1:1",                     ERR_OK }, /* one client */
    { "a.B=127.0.0.1:1,127.0.0.1:2",                         ERR_OK }, /* two replicas */
    { "a.B=127.0.0.1:1,127.0.0.1:2,a.C=127.0.0.1:3,[::1]:4", ERR_OK },
    { "a.B=127.0.0.1:1,a.B=127.0.0.1:2",                     ERR_BAD_REQUEST },
    { "127.0.0.1:1",                                         ERR_BAD_REQUEST },
    { "a.B=",                                                ERR_BAD_REQUEST },
    { "=127.0.0.1:1",                                        ERR_BAD_REQUEST },
    { "a.B=127.0.0.1",                                       ERR_BAD_REQUEST },
    { "a.B=127.0.0.1:1,",                                    ERR_BAD_REQUEST },
    { "a.B=127.0.0.1:1,127.0.0.1:1",                         ERR_BAD_REQUEST },
    { "a.B=127.0.0.1:1,a.C=nowhere",                         ERR_BAD_REQUEST },
};
/* clang-format on */

START_TEST(it_is_read)
{
    struct participants *participants = NULL;

    log_open("test", rows[_i].error == ERR_OK ? LOG_WARN : LOG_ERROR);
    ck_assert_int_eq(participants_open(rows[_i].text, NULL, NULL, &participants), rows[_i].error);
    participants_close(participants);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("participants");

    tcase_add_loop_test(cases, it_is_read, 0, ROWS(rows));
    return check_run("saga participants", cases);
}
