/* What a process shows of itself: of this test. */
#include "mesh/base/build.h"
#include "mesh/base/clock.h"
#include "mesh/observe/process.h"
#include "tests/support/check.h"
#include "tests/support/metrics_text.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

static struct metrics *metrics;

static void
set_up(void)
{
    static const struct build build = { "1.2.3", "c0ffee", "unknown" };

    metrics = metrics_new();
    process_metrics_open(metrics, &build);
}

static void
tear_down(void)
{
    metrics = metrics_free(metrics);
}

START_TEST(numbers_are_of_this_process)
{
    double now = (double)clock_now_us() / 1e6;

    ck_assert_double_eq(metric_shown(metrics, "build_info{version=\"1.2.3\",commit=\"c0ffee\"}"),
                        1);
    ck_assert_double_le(metric_shown(metrics, "process_start_time_seconds"), now + 1);
    ck_assert_double_ge(metric_shown(metrics, "process_start_time_seconds"), now - 3600);
    ck_assert_double_ge(metric_shown(metrics, "process_resident_memory_bytes"), 1 << 16);
    ck_assert_double_ge(metric_shown(metrics, "process_virtual_memory_bytes"),
                        metric_shown(metrics, "process_resident_memory_bytes"));
}
END_TEST

START_TEST(descriptors_are_counted)
{
    double before = metric_shown(metrics, "process_open_fds");
    struct rlimit limit;
    int fd = open("/dev/null", O_RDONLY);

    ck_assert_double_eq(metric_shown(metrics, "process_open_fds"), before + 1);
    close(fd);
    ck_assert_double_eq(metric_shown(metrics, "process_open_fds"), before);
    getrlimit(RLIMIT_NOFILE, &limit);
    ck_assert_double_eq(metric_shown(metrics, "process_max_fds"), (double)limit.rlim_cur);
}
END_TEST

START_TEST(cpu_grows_with_work)
{
    double before = metric_shown(metrics, "process_cpu_seconds_total");

    ck_assert_double_ge(before, 0);
    AWAIT(metric_shown(metrics, "process_cpu_seconds_total") > before, 10);
}
END_TEST

static void *
wait_at(void *gate)
{
    pthread_mutex_lock(gate);
    pthread_mutex_unlock(gate);
    return NULL;
}

START_TEST(threads_are_counted)
{
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    double before = metric_shown(metrics, "process_threads");
    pthread_t thread;

    pthread_mutex_lock(&gate);
    ck_assert_int_eq(pthread_create(&thread, NULL, wait_at, &gate), 0);
    ck_assert_double_eq(metric_shown(metrics, "process_threads"), before + 1);
    pthread_mutex_unlock(&gate);
    pthread_join(thread, NULL);
    AWAIT(metric_shown(metrics, "process_threads") == before, 10); /* the kernel's end of it */
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("process");

    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, numbers_are_of_this_process);
    tcase_add_test(cases, descriptors_are_counted);
    tcase_add_test(cases, cpu_grows_with_work);
    tcase_add_test(cases, threads_are_counted);
    return check_run("observe_process", cases);
}
