/* The life of a process: its callbacks in their order, its ready file, what signals do, its exit status. */
#include "mesh/program.h"
#include "tests/support/check.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
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
    int drain_ms;
    char calls[CALLS_BYTES];
};

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

static enum error
open_subject(void *owner)
{
    struct subject *self = owner;
    sigset_t blocked;

    note("open");
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
log_counters(void *owner)
{
    note("count");
    send_next(owner);
}

static void
unready(void *owner)
{
    note("unready");
    send_next(owner);
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
        .log_counters = log_counters,
        .unready = unready,
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

START_TEST(it_is_ready_counts_and_ends)
{
    struct program program = program_of();
    char line[32] = "";
    FILE *file;

    subject.not_ready = 3;
    subject.signals[0] = SIGUSR1;
    subject.signals[1] = SIGTERM;
    ck_assert_int_eq(run(&program, ""), 0);
    ck_assert_str_eq(subject.calls, "open ready count close");
    ck_assert_int_eq(subject.drain_ms, 70);
    ck_assert_int_eq(subject.number, 3);
    ck_assert(!subject.was_file_early);
    file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_ptr_nonnull(fgets(line, sizeof line, file));
    fclose(file);
    ck_assert_str_eq(line, "7401 7500\n");
}
END_TEST

/* The pause is ten minutes, so a second signal has ended it. */
START_TEST(a_second_signal_ends_the_pause)
{
    struct program program = program_of();

    program.unready_ms = "600000";
    subject.signals[0] = SIGINT;
    subject.signals[1] = SIGTERM;
    ck_assert_int_eq(run(&program, "--drain-ms=5"), 0);
    ck_assert_str_eq(subject.calls, "open ready unready close");
    ck_assert_int_eq(subject.drain_ms, 5);
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
    tcase_add_test(cases, it_is_ready_counts_and_ends);
    tcase_add_test(cases, a_second_signal_ends_the_pause);
    tcase_add_loop_test(cases, what_cannot_open_is_not_closed, 0, ROWS(failures));
    if (check_forks())
        tcase_add_loop_exit_test(cases, a_wrong_flag_ends_it_with_2, 2, 0, ROWS(wrong));
    return check_run("mesh_program", cases);
}
