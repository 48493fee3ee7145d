/* Which servers may be written: by cluster and timeline, in this life of the program and the next. */
#include "mesh/base/log.h"
#include "mesh/store/pg_timeline.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* clang-format off */
static const struct {
    const char *what;
    struct pg_timeline met;
    bool is_admitted;
    uint32_t known_before;
} meetings[] = {
    { "the first server",                       { 7, 1 }, true,  0 },
    { "it once more",                           { 7, 1 }, true,  1 },
    { "its standby, promoted",                  { 7, 2 }, true,  1 },
    { "the old primary, back again",            { 7, 1 }, false, 2 },
    { "the new one",                            { 7, 2 }, true,  2 },
    { "another cluster has its own timelines",  { 8, 1 }, true,  0 },
    { "two failovers later",                    { 7, 4 }, true,  2 },
    { "one that was skipped is old as well",    { 7, 3 }, false, 4 },
    { "the other cluster is not touched",       { 8, 1 }, true,  1 },
};
/* clang-format on */

static void
meet_all(void)
{
    for (size_t i = 0; i < sizeof meetings / sizeof *meetings; i++) {
        uint32_t known = 99;
        bool is_admitted = pg_timeline_admit(meetings[i].met, &known);

        ck_assert_msg(is_admitted == meetings[i].is_admitted, "%s", meetings[i].what);
        ck_assert_msg(known == meetings[i].known_before, "%s: %u", meetings[i].what, known);
        ck_assert_msg(pg_timeline_is_newest(meetings[i].met) == is_admitted, "%s",
                      meetings[i].what);
    }
}

static void
set_up(void)
{
    log_open("test", LOG_ERROR + 1);
    pg_timeline_open("");
}

START_TEST(the_newest_timeline_of_each_cluster_counts)
{
    ck_assert(!pg_timeline_is_known());
    meet_all();
    ck_assert(pg_timeline_is_known());
}
END_TEST

START_TEST(a_file_outlives_the_program)
{
    char path[] = "/tmp/mesh-timeline-XXXXXX";
    int file = mkstemp(path);
    uint32_t known;

    ck_assert_int_ge(file, 0);
    close(file);
    pg_timeline_open(path);
    meet_all();
    pg_timeline_open(path);
    ck_assert(!pg_timeline_is_newest((struct pg_timeline){ 7, 3 }));
    ck_assert(!pg_timeline_admit((struct pg_timeline){ 7, 3 }, &known));
    ck_assert_uint_eq(known, 4);
    ck_assert(pg_timeline_admit((struct pg_timeline){ 8, 1 }, &known));
    unlink(path);
}
END_TEST

/* A file that is not there, or is no such file, is as good as none. */
START_TEST(a_bad_file_knows_nothing)
{
    char path[] = "/tmp/mesh-timeline-XXXXXX";
    int file = mkstemp(path);
    uint32_t known;

    ck_assert_int_eq(write(file, "seven 4\n", 8), 8);
    close(file);
    pg_timeline_open(path);
    ck_assert(!pg_timeline_is_known());
    unlink(path);
    pg_timeline_open(path);
    ck_assert(!pg_timeline_is_known());
    ck_assert(pg_timeline_admit((struct pg_timeline){ 7, 1 }, &known));
    unlink(path);
    pg_timeline_open("/nowhere/at/all");
    ck_assert(pg_timeline_admit((struct pg_timeline){ 7, 2 }, &known)); /* it cannot be kept */
    ck_assert(!pg_timeline_is_newest((struct pg_timeline){ 7, 1 }));
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("timelines");

    tcase_add_checked_fixture(cases, set_up, NULL);
    tcase_add_test(cases, the_newest_timeline_of_each_cluster_counts);
    tcase_add_test(cases, a_file_outlives_the_program);
    tcase_add_test(cases, a_bad_file_knows_nothing);
    return check_run("store_pg_timeline", cases);
}
