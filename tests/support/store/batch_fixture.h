/* batch_fixture.h -- A test program about mesh/store/batch: the counter service on a database of its
 * own, calls over one connection, and a rival on a thread.
 *
 *     tcase_add_checked_fixture(cases, open_pg, service_end);
 *     return service_fixture_check(&counter_parts, "store_batch", cases);
 */
#ifndef TESTS_SUPPORT_STORE_BATCH_FIXTURE_H
#define TESTS_SUPPORT_STORE_BATCH_FIXTURE_H

#include "mesh/store/batch.h"
#include "tests/support/check.h"
#include "tests/support/store/counter_service.h"
#include "tests/support/store/service_fixture.h"

extern const struct service_parts counter_parts;

void open_pg(void);
void expect_value(const char *name, long long value);
void expect_answer(const struct test_call *test, enum error error);

/* Decides one call, expects its answer and frees it. */
void run_one(struct test_call *test, enum error error);

/* ---- other writers ---- */

struct rival {
    struct pg *pg;
    struct test_call *test;
    pthread_t thread;
};

void rival_start(struct rival *rival, struct test_call *test);

/* The pid of a backend of this database that is as the condition on pg_stat_activity says; 0: none. */
int find_backend(PGconn *admin, const char *condition);

/* Waits for one. */
int await_backend(PGconn *admin, const char *condition);

#endif
