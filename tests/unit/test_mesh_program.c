/* The life of a process: its callbacks in their order, its ready file, its ops port, what signals do, its exit
 * status. */
#include "mesh/base/build.h"
#include "mesh/http/health.h"
#include "mesh/http/info.h"
#include "mesh/observe/metrics.h"
#include "mesh/program.h"
#include "tests/support/check.h"
#include "tests/support/http/http_ask.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CALLS_BYTES = 256, WORDS_MAX = 8 };

/* What the program under test does, and what it was told. */
struct subject {
    enum error open_answer;
    const char *path; /* of its ready file */
    int not_ready;    /* so often it says so */
    int signals[4];   /* one is sent at each look or tick after it was ready; ends with 0 */
    size_t sent;
    int64_t number; /* a flag of its own */
    bool was_file_early;
    atomic_bool is_well; /* of the test's thread */
    int drain_ms;
    char calls[CALLS_BYTES];
};

const struct build mesh_build = { "1.2.3", "c0ffee", "2026-11-30T16:00:00Z" };

static char path[64], ready_flag[96];
static struct subject subject;

static void
note(const char *call)
{
    size_t bytes = strlen(subject.calls);

    ck_assert_uint_lt(bytes + strlen(call) + 2, sizeof subject.calls);
    snprintf(subject.calls + bytes, sizeof subject.calls - bytes, "%s%s", bytes == 0 ? "" : " ",
             call);
}

static bool
is_well(void *owner)
{
    return ((struct subject *)owner)->is_well;
}

static void
show(struct subject *self, const struct ops *ops)
{
    static const struct metric_row row = {
        "subject_seen_total", METRIC_COUNTER, METRIC_NUMBER, "Seen.", { NULL }
    };

    metric_add(metrics_series(ops->metrics, &row, NULL), 3);
    health_add(
        ops->health,
        &(struct health_condition){
            .name = "heart", .good = "beats", .bad = "stands", .holds = is_well, .owner = self });
    info_add(ops->info, "talks_to", "nobody", "at all");
}

static enum error
open_subject(void *owner, const struct ops *ops)
{
    struct subject *self = owner;
    sigset_t blocked;

    note("open");
    show(self, ops);
    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    ck_assert(sigismember(&blocked, SIGTERM) && sigismember(&blocked, SIGUSR1));
    if (self->open_answer != ERR_STOPPING)
        return self->open_answer;
    kill(getpid(), SIGTERM);
    return program_pause() ? ERR_INTERNAL : ERR_STOPPING;
}

static void
send_next(struct subject *self)
{
    if (self->signals[self->sent] != 0)
        kill(getpid(), self->signals[self->sent++]);
}

static bool
is_ready(void *owner, int ret_ports[PROGRAM_PORTS_MAX])
{
    struct subject *self = owner;

    self->was_file_early = self->was_file_early || access(path, F_OK) == 0;
    if (self->not_ready-- > 0)
        return false;
    note("ready");
    ret_ports[0] = 7401;
    ret_ports[1] = 7500;
    send_next(self);
    return true;
}

static void
tick(void *owner)
{
    struct subject *self = owner;

    if (self->sent > 0) /* it was ready */
        send_next(self);
}

static void
close_subject(void *owner, int drain_ms)
{
    note("close");
    ((struct subject *)owner)->drain_ms = drain_ms;
}

static const struct config_key keys[] = {
    { "number", CONFIG_INT, "3", 0, 9, "a flag of its own", offsetof(struct subject, number) },
    { 0 },
};

static struct program
program_of(void)
{
    static const struct config_table tables[] = { { keys, &subject }, { 0 } };

    return (struct program){
        .name = "subject",
        .usage = "subject: is tested",
        .tables = tables,
        .descriptors_max = "64",
        .drain_ms = "70",
        .owner = &subject,
        .open = open_subject,
        .is_ready = is_ready,
        .tick = tick,
        .close = close_subject,
    };
}

static int
run(const struct program *program, const char *flag)
{
    char words[WORDS_MAX][96] = { "subject" };
    char *argv[WORDS_MAX] = { words[0], words[1], words[2] };

    snprintf(words[1], sizeof words[1], "%s", ready_flag);
    snprintf(words[2], sizeof words[2], "%s", flag);
    return program_main(flag[0] == '\0' ? 2 : 3, argv, program);
}

static void
begin(void)
{
    snprintf(path, sizeof path, "/tmp/test_mesh_program.%d", (int)getpid());
    snprintf(ready_flag, sizeof ready_flag, "--ready-file=%s", path);
    unlink(path);
    subject = (struct subject){ 0 };
}

static void
end(void)
{
    unlink(path);
}

/* SIGUSR1 ends nothing. */
START_TEST(it_is_ready_ticks_and_ends)
{
    struct program program = program_of();
    char line[32] = "", ops[32] = "";
    FILE *file;

    subject.not_ready = 3;
    subject.signals[0] = SIGUSR1;
    subject.signals[1] = SIGTERM;
    ck_assert_int_eq(run(&program, ""), 0);
    ck_assert_str_eq(subject.calls, "open ready close");
    ck_assert_int_eq(subject.drain_ms, 70);
    ck_assert_int_eq(subject.number, 3);
    ck_assert(!subject.was_file_early);
    file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_ptr_nonnull(fgets(line, sizeof line, file));
    ck_assert_ptr_nonnull(fgets(ops, sizeof ops, file));
    fclose(file);
    ck_assert_str_eq(line, "7401 7500\n");
    ck_assert_int_eq(memcmp(ops, "ops ", 4), 0);
    ck_assert_int_gt(atoi(ops + 4), 0);
}
END_TEST

/* ---- the ops port ---- */

/* 0: the ready file is not there yet. */
static int
ops_port_read(void)
{
    FILE *file = fopen(path, "r");
    int port = 0;

    if (file == NULL)
        return 0;
    ck_assert_int_eq(fscanf(file, "%*[^\n] ops %d", &port), 1);
    fclose(file);
    return port;
}

static bool
says(int port, const char *where, const char *what)
{
    return strstr(http_ask(port, where, ""), what) != NULL;
}

/* Asks all there is, and ends the program: the pause is ten minutes, so a second signal has ended it. */
static void *
watch(void *context)
{
    struct subject *self = context;
    int port;

    AWAIT((port = ops_port_read()) != 0, 10);
    ck_assert(says(port, "/livez", "HTTP/1.1 200 "));
    ck_assert(says(port, "/readyz", "{\"status\":\"not ready\",\"heart\":\"stands\"}"));
    self->is_well = true;
    ck_assert(says(port, "/readyz", "{\"status\":\"ready\",\"heart\":\"beats\"}"));
    ck_assert(says(port, "/metrics", "\nsubject_seen_total 3\n"));
    ck_assert(says(port, "/info",
                   "{\"name\":\"subject\",\"version\":\"1.2.3\",\"commit\":\"c0ffee\","
                   "\"built\":\"2026-11-30T16:00:00Z\",\"started\":\"2"));
    ck_assert(says(port, "/info", "Z\",\"talks_to\":{\"nobody\":\"at all\"}}"));
    kill(getpid(), SIGINT);
    AWAIT(says(port, "/readyz", "HTTP/1.1 503 "), 10);
    ck_assert(says(port, "/readyz", "{\"status\":\"stopping\"}"));
    ck_assert(says(port, "/livez", "HTTP/1.1 200 "));
    kill(getpid(), SIGTERM);
    return NULL;
}

START_TEST(it_is_watched_until_a_second_signal)
{
    struct program program = program_of();
    sigset_t all, before;
    pthread_t thread;

    program.unready_ms = "600000";
    sigfillset(&all); /* for the main thread alone */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    ck_assert_int_eq(pthread_create(&thread, NULL, watch, &subject), 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    ck_assert_int_eq(run(&program, "--drain-ms=5"), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_str_eq(subject.calls, "open ready close");
    ck_assert_int_eq(subject.drain_ms, 5);
}
END_TEST

START_TEST(an_ops_port_that_cannot_be_is_no_start)
{
    struct program program = program_of();

    ck_assert_int_eq(run(&program, "--ops-listen=nowhere"), 1);
    ck_assert_str_eq(subject.calls, "");
}
END_TEST

static const struct {
    enum error open_answer;
    int status;
} failures[] = { { ERR_UNREACHABLE, 1 }, { ERR_STOPPING, 0 } };

START_TEST(what_cannot_open_is_not_closed)
{
    struct program program = program_of();

    subject.open_answer = failures[_i].open_answer;
    ck_assert_int_eq(run(&program, ""), failures[_i].status);
    ck_assert_str_eq(subject.calls, "open");
    ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

/* clang-format off */
static const char *const wrong[] = { "--number=10", "--unready-ms=5", "a-word", "--drain-ms=-1", "--log-format=xml", "--descriptors-max=1" };
/* clang-format on */

/* Before anything is opened: --unready-ms is no flag of a program without a default for it. */
START_TEST(a_wrong_flag_ends_it_with_2)
{
    struct program program = program_of();

    run(&program, wrong[_i]);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("program");

    tcase_add_checked_fixture(cases, begin, end);
    tcase_add_test(cases, it_is_ready_ticks_and_ends);
    tcase_add_test(cases, it_is_watched_until_a_second_signal);
    tcase_add_test(cases, an_ops_port_that_cannot_be_is_no_start);
    tcase_add_loop_test(cases, what_cannot_open_is_not_closed, 0, ROWS(failures));
    if (check_forks())
        tcase_add_loop_exit_test(cases, a_wrong_flag_ends_it_with_2, 2, 0, ROWS(wrong));
    return check_run("mesh_program", cases);
}
