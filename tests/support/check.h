/* check.h -- What every test program begins and ends with: its cases, and how patient it is.
 *
 *     int
 *     main(void)
 *     {
 *         TCase *cases = check_case("rules");
 *
 *         tcase_add_loop_test(cases, a_rule, 0, ROWS(rules));
 *         return check_run("order_rules", cases);
 *     }
 *
 * Thread    main. patient_us, AWAIT: any.
 * Memory    check_run() frees the cases.
 * Units     us: microseconds.
 */
#ifndef TESTS_SUPPORT_CHECK_H
#define TESTS_SUPPORT_CHECK_H

#include <check.h>
#include <stdbool.h>
#include <stdint.h>

/* How many rows a table has, for tcase_add_loop_test(). */
#define ROWS(table) ((int)(sizeof(table) / sizeof *(table)))

/* Check's own limit of 4 seconds for a test is short where a disk or a machine stands still for some
 * of them: here it is CHECK_SECONDS, unless the test says another with tcase_set_timeout(). */
enum { CHECK_SECONDS = 120 };
TCase *check_case(const char *name);

/* Whether each test is a process of its own: only then can a test show that an assertion ends one.
 * CK_FORK=no in the environment says that it is not. */
bool check_forks(void);

/* Runs the cases, of which there is one or more; the exit status of main. */
#define check_run(name, ...) check_run_all(name, (TCase *const[]){ __VA_ARGS__, NULL })
int check_run_all(const char *name, TCase *const *cases);

/* The path of a file of the checkout, such as "storage-svc/storage.h". */
enum { CHECK_PATH_BYTES = 1024 };
void check_path(const char *file, char path[CHECK_PATH_BYTES]);

/* A limit, times MESH_PATIENCE: a machine that is shared stands still for seconds. */
int64_t patient_us(int64_t us);

/* Looks each millisecond until the condition holds. After so many patient seconds the test fails, and says
 * which condition did not come. */
#define AWAIT(condition, seconds)                                                                  \
    for (int64_t until_us_ = check_until(seconds); !(condition);)                                  \
    check_wait(until_us_, #condition)
int64_t check_until(int seconds);
void check_wait(int64_t until_us, const char *condition);

#endif
