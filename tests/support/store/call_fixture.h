/* call_fixture.h -- Calls without a wire: made by a test, decided by a batch or read by a reader.
 *
 * Thread    call_fixture_wait() may be called by any thread, while the store thread finishes calls.
 * Memory    A test_call is its test's; it outlives finish(), which only marks it. What an op points
 *           to in the batch's rows is gone after finish(): `look` runs inside of it.
 */
#ifndef TESTS_SUPPORT_STORE_CALL_FIXTURE_H
#define TESTS_SUPPORT_STORE_CALL_FIXTURE_H

#include "mesh/base/call.h"
#include "mesh/base/clock.h"
#include "tests/support/check.h"

#include <pthread.h>

struct test_call {
    struct call call; /* first */
    int finished;     /* how often it was; under call_fixture_lock */
    void (*look)(struct test_call *test);
    const uint8_t *answer; /* of a look() that packs the encoded op */
    size_t answer_bytes;
};

extern pthread_mutex_t call_fixture_lock;

/* A time-ordered id that no other request has. */
struct uuid new_id(void);

/* The method of that name; the test fails where there is none. */
const struct method *method_named(const struct method *methods, const char *name);

/* A call with a zeroed op of the method, and 20 seconds to live. */
struct test_call *call_fixture_new(const struct method *method);

void call_fixture_free(struct test_call *test);

/* False after wait_us without its answer. */
bool call_fixture_wait(struct test_call *test, int64_t wait_us);

#endif
