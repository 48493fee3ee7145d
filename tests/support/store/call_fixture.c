#include "tests/support/store/call_fixture.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

pthread_mutex_t call_fixture_lock = PTHREAD_MUTEX_INITIALIZER;

static pthread_cond_t call_fixture_done = PTHREAD_COND_INITIALIZER;

static void
call_fixture_finish(struct call *call)
{
    struct test_call *test = (struct test_call *)call;

    if (test->look != NULL)
        test->look(test);
    pthread_mutex_lock(&call_fixture_lock);
    test->finished++;
    pthread_cond_broadcast(&call_fixture_done);
    pthread_mutex_unlock(&call_fixture_lock);
}

struct uuid
new_id(void)
{
    return uuid_v7(clock_now_us());
}

const struct method *
method_named(const struct method *methods, const char *name)
{
    while (methods->name != NULL && strcmp(methods->name, name) != 0)
        methods++;
    ck_assert_msg(methods->name != NULL, "%s is no method", name);
    return methods;
}

struct test_call *
call_fixture_new(const struct method *method)
{
    struct test_call *test = memory_take(sizeof *test);

    test->call.arena = arena_new();
    test->call.method = method;
    test->call.deadline_us = clock_steady_us() + patient_us(20 * SECOND_US);
    test->call.finish = call_fixture_finish;
    test->call.op = arena_take(test->call.arena, method->op_bytes);
    test->call.op->traceparent = "";
    return test;
}

void
call_fixture_free(struct test_call *test)
{
    if (test == NULL)
        return;
    arena_free(test->call.arena);
    free(test);
}

bool
call_fixture_wait(struct test_call *test, int64_t wait_us)
{
    int64_t until_us = wait_us;
    struct timespec at;
    bool is_finished;

    clock_gettime(CLOCK_REALTIME, &at);
    until_us += (int64_t)at.tv_sec * SECOND_US + at.tv_nsec / 1000;
    at.tv_sec = (time_t)(until_us / SECOND_US);
    at.tv_nsec = (long)(until_us % SECOND_US * 1000);
    pthread_mutex_lock(&call_fixture_lock);
    while (test->finished == 0 &&
           pthread_cond_timedwait(&call_fixture_done, &call_fixture_lock, &at) == 0)
        ;
    is_finished = test->finished == 1; /* never twice */
    pthread_mutex_unlock(&call_fixture_lock);
    return is_finished;
}
