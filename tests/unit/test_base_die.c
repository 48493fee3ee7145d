/* The end of a program, said from a thread: status 1, its line in the log, no handler of exit(). */
#include "mesh/base/die.h"
#include "mesh/base/log.h"
#include "tests/support/check.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void
exit_handler(void)
{
    static const char said[] = "a handler ran\n";

    (void)!write(STDERR_FILENO, said, sizeof said - 1);
}

static void *
end_it(void *context)
{
    die("shard=%d because=\"%s\"", *(int *)context, "another process has it");
}

/* The child has its standard error in the pipe. */
static void
child_ends_in_a_thread(int pipe_end)
{
    pthread_t thread;
    int number = 3;

    dup2(pipe_end, STDERR_FILENO);
    log_open("test", LOG_INFO);
    atexit(exit_handler);
    thread_start(&thread, end_it, &number);
    pthread_join(thread, NULL); /* it does not come back */
    _exit(99);
}

START_TEST(thread_ends_the_program)
{
    char said[512] = "";
    size_t count = 0;
    ssize_t bytes;
    int ends[2], status;
    pid_t child;

    ck_assert_int_eq(pipe(ends), 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        child_ends_in_a_thread(ends[1]);
    close(ends[1]);
    while (count < sizeof said - 1 &&
           (bytes = read(ends[0], said + count, sizeof said - 1 - count)) > 0)
        count += (size_t)bytes;
    close(ends[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 1);
    ck_assert_ptr_nonnull(strstr(said, "level=error"));
    ck_assert_ptr_nonnull(strstr(said, "shard=3 because=\"another process has it\""));
    ck_assert_ptr_null(strstr(said, "a handler ran"));
}
END_TEST

static void *
look_at_mask(void *context)
{
    sigset_t *mask = context;

    pthread_sigmask(SIG_SETMASK, NULL, mask);
    return NULL;
}

/* But for its own faults: blocked, they would end the program without a word of a sanitizer's handler. */
START_TEST(thread_takes_no_signal)
{
    static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
    sigset_t mask;
    pthread_t thread;

    sigemptyset(&mask);
    thread_start(&thread, look_at_mask, &mask);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(sigismember(&mask, SIGTERM), 1);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        ck_assert_int_eq(sigismember(&mask, faults[i]), 0);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    ck_assert_int_eq(sigismember(&mask, SIGTERM), 0);
}
END_TEST

int
main(void)
{
    TCase *tests = check_case("die");

    tcase_add_test(tests, thread_ends_the_program);
    tcase_add_test(tests, thread_takes_no_signal);
    return check_run("die", tests);
}
