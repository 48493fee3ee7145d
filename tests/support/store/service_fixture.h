/* service_fixture.h -- A test program about a service's ops, reads and tasks: its tables in a database of the
 * program's own, and calls without a wire. A service's fixture says its parts, and builds its messages:
 *
 *     const struct service_parts storage_parts = { .schema = "storage-svc/schema", ... };
 *     return service_call("PutProduct", &request.base);
 *
 * and its test programs do:
 *
 *     ck_assert_int_eq(service_do(pg, storage_put(new_id(), "tea", 5, "JPY"), NULL), ERR_OK);
 *     service_task("expire-holds", ERR_OK);
 *     tcase_add_checked_fixture(cases, service_begin, service_end);
 *     return service_fixture_check(&storage_parts, "storage_ops", cases);
 *
 * Thread    The test's. service_call(), service_run() and service_do() any, over a pg of that thread's. Ops of
 *           tasks are decided by a store thread, as in the program.
 * Memory    As in call_fixture.h. Parts are static. What a task remembers from run to run is forgotten by
 *           service_end().
 */
#ifndef TESTS_SUPPORT_STORE_SERVICE_FIXTURE_H
#define TESTS_SUPPORT_STORE_SERVICE_FIXTURE_H

#include "mesh/keeper.h"
#include "mesh/store/reader.h"
#include "tests/support/store/call_fixture.h"
#include "tests/support/store/pg_fixture.h"

/* As main.c of the service gives them to service_main(). */
struct service_parts {
    const char *schema; /* a path in the checkout */
    const char *tables; /* SQL that makes more of them; or NULL */
    const struct batch_service *service;
    const struct method *methods;
    const struct read *reads;                     /* NULL: no service_read() */
    const struct pg_statement *const *statements; /* of reads and tasks; NULL: neither */
    const struct keeper_task *tasks;              /* NULL: no task by name */
};

extern struct pg_fixture fixture;
extern struct pg *pg; /* for ops; of the test that runs */

void service_begin(void);
void service_end(void);

/* A call of the method with an op of zeros, for the test to fill; and with the op that the method decodes from
 * a message, which is copied, so that it may live on the caller's stack. Its answer is the encoded response,
 * packed, where there is one. */
struct test_call *service_op(const char *method);
struct test_call *service_call(const char *method, const ProtobufCMessage *message);

/* Decides count calls in one batch. */
void service_run(const struct batch_service *service, struct pg *over, struct test_call **tests,
                 size_t count);

/* Decides one call and frees it. *ret_problem, unless NULL, is its decision. */
enum error service_do(struct pg *over, struct test_call *test, struct problem *ret_problem);

/* Fills the ops by the read of that name. */
enum error service_read(const char *name, struct op *const *ops, size_t count, struct arena *arena);

/* Runs a task once, as the keeper does, and asserts its answer; one of the parts by its name, or any. */
void service_task(const char *name, enum error answer);
void service_task_run(const struct keeper_task *task, enum error answer);

/* Opens `fixture`, for programs that do more before they close it than service_fixture_check(). */
void service_fixture_open(const struct service_parts *tested, const char *name);

/* As pg_fixture_check(). */
#define service_fixture_check(parts, name, ...)                                                    \
    service_fixture_check_all(parts, name, (TCase *const[]){ __VA_ARGS__, NULL })

int service_fixture_check_all(const struct service_parts *parts, const char *name,
                              TCase *const *cases);

#endif
