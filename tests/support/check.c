#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

TCase *
check_case(const char *name)
{
    TCase *tcase = tcase_create(name);

    tcase_set_timeout(tcase, CHECK_SECONDS);
    return tcase;
}

bool
check_forks(void)
{
    const char *text = getenv("CK_FORK");

    return text == NULL || strcmp(text, "no") != 0;
}

int
check_run_all(const char *name, TCase *const *cases)
{
    Suite *suite = suite_create(name);
    SRunner *runner;
    int failed;

    for (; *cases != NULL; cases++)
        suite_add_tcase(suite, *cases);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

void
check_path(const char *file, char path[CHECK_PATH_BYTES])
{
    static const char self[] = "tests/support/check.c"; /* this file knows where it lies itself */
    static const char here[] = __FILE__;

    snprintf(path, CHECK_PATH_BYTES, "%.*s%s", (int)(sizeof here - sizeof self), here, file);
}

int64_t
patient_us(int64_t us)
{
    const char *text = getenv("MESH_PATIENCE");
    int64_t patience = text == NULL ? 1 : atoi(text);

    return us * (patience < 1 ? 1 : patience);
}

static int64_t
steady_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t
check_until(int seconds)
{
    return steady_us() + patient_us((int64_t)seconds * 1000000);
}

void
check_wait(int64_t until_us, const char *condition)
{
    ck_assert_msg(steady_us() < until_us, "it never came to: %s", condition);
    usleep(1000);
}
