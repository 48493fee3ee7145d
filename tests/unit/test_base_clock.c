/* test_base_clock.c -- The course of a program's time, and whose clock is right. */
#include "mesh/base/check.h"
#include "mesh/base/clock.h"
#include "mesh/base/clock_judge.h"
#include "tests/support/check.h"

#include <stdlib.h>

#define S SECOND_US

/* ---- courses ---- */

/* A course at steady time 0, when it is 1,000 s, that is to go by an offset, and what it says later. */
/* clang-format off */
static const struct {
    const char *what;
    int64_t offset_us, after_us, now_us;
} courses[] = {
    { "it is right",                             1000 * S,  600 * S, 1600 * S },
    { "before it began",                         1000 * S,  -5 * S,  1000 * S },
    { "100 ms behind: a tenth faster",           1000100000, S / 2,  1000 * S + S / 2 + S / 20 },
    { "... until it is right",                   1000100000, S,      1001 * S + S / 10 },
    { "... and no further",                      1000100000, 60 * S, 1060 * S + S / 10 },
    { "10 s ahead: a tenth slower",              990 * S,   10 * S,  1009 * S },
    { "... until it is right",                   990 * S,   100 * S, 1090 * S },
    { "... and no further",                      990 * S,   200 * S, 1190 * S },
};
/* clang-format on */

START_TEST(a_course_goes_on)
{
    const struct clock_course course = { 0, 1000 * S, courses[_i].offset_us };

    ck_assert_msg(clock_course_at(&course, courses[_i].after_us) == courses[_i].now_us, "%s: %lld",
                  courses[_i].what, (long long)clock_course_at(&course, courses[_i].after_us));
}
END_TEST

/* A clock that goes by 1,000 s ahead of steady time, corrected at 100 s to go by another offset. */
/* clang-format off */
static const struct {
    const char *what;
    int64_t offset_us;
    int must_step;
    int64_t at_once_us, later_us; /* of 10 s */
} corrections[] = {
    { "nothing to correct",                  1000 * S, 0, 1100 * S, 1110 * S },
    { "a second behind: faster",             1001 * S, 0, 1100 * S, 1111 * S },
    { "more than a second behind: at once",  1002 * S, 0, 1102 * S, 1112 * S },
    { "21 days behind: it was suspended",    1000 * S + 21 * DAY_US, 0, 1100 * S + 21 * DAY_US, 1110 * S + 21 * DAY_US },
    { "two minutes ahead: slower",           880 * S,  0, 1100 * S, 1109 * S },
    { "five minutes ahead: at once",         700 * S,  0, 800 * S,  810 * S },
    { "two minutes ahead, as it begins",     880 * S,  1, 980 * S,  990 * S },
};
/* clang-format on */

START_TEST(a_course_is_corrected)
{
    const struct clock_course course = { 0, 1000 * S, 1000 * S };
    struct clock_course next =
        clock_course_next(&course, 100 * S, corrections[_i].offset_us, corrections[_i].must_step);

    ck_assert_msg(clock_course_at(&next, 100 * S) == corrections[_i].at_once_us, "%s",
                  corrections[_i].what);
    ck_assert_msg(clock_course_at(&next, 110 * S) == corrections[_i].later_us, "%s",
                  corrections[_i].what);
}
END_TEST

/* Corrected to anything, a second apart, by less than a step back: it never runs backwards, and never
 * stands still. */
START_TEST(time_never_stands_still)
{
    struct clock_course course = { 0, 1000 * S, 1000 * S };
    int64_t last_us = 1000 * S;

    srand(7);
    for (int64_t second = 1; second < 5000; second++) {
        int64_t now_us = clock_course_at(&course, second * S);

        ck_assert_int_ge(now_us - last_us, S * 9 / 10);
        last_us = now_us;
        if (rand() % 10 == 0) {
            int64_t ahead_us = now_us - second * S;

            course = clock_course_next(&course, second * S, ahead_us + (rand() % 300 - 240) * S, 0);
            ck_assert_int_ge(clock_course_at(&course, second * S), now_us);
            last_us = clock_course_at(&course, second * S);
        }
    }
}
END_TEST

/* ---- the program's own ---- */

START_TEST(a_program_follows_and_is_corrected)
{
    int64_t ahead_us;

    ck_assert_int_le(llabs(clock_now_us() - clock_wall_us()), S);
    clock_follow();
    ck_assert_int_le(llabs(clock_now_us() - clock_wall_us()), S);
    ahead_us = clock_offset_us() + 1000 * S;
    clock_correct(ahead_us, 0);
    ck_assert_int_ge(clock_now_us(), clock_wall_us() + 999 * S);
    ck_assert_int_le(clock_latest_us() - clock_now_us(), S);
    clock_correct(ahead_us - 1000 * S,
                  0); /* back: ids that were made before are not from the future */
    ck_assert_int_le(llabs(clock_now_us() - clock_wall_us()), S);
    ck_assert_int_ge(clock_latest_us(), clock_wall_us() + 990 * S);
    clock_correct(ahead_us - 1000 * S - 30 * DAY_US, 0);
    ck_assert_int_le(clock_latest_us(), clock_now_us() + DAY_US + S);
    ck_assert_int_le(llabs(clock_earliest_us() - clock_now_us()), S); /* its own clock is ahead */
    clock_set_test_us(5 * S);
    ck_assert_int_eq(clock_now_us(), 5 * S);
    ck_assert_int_eq(clock_earliest_us(), 5 * S);
    clock_set_test_us(0);
}
END_TEST

/* A program that begins beside a database which is wrong goes by that, until it hears of others. What it takes
 * for too old may be new: no refusal, on which an order would fail. */
START_TEST(an_age_that_clocks_differ_about_is_no_refusal)
{
    static const struct {
        int64_t ahead_days, age_days;
        enum error error;
    } rows[] = {
        { 0, 44, ERR_OK },
        { 0, 46, ERR_ID_TOO_OLD },
        { 60, 0, ERR_CLOCK_OFF },
        { 60, 44, ERR_CLOCK_OFF },
        { 60, 46, ERR_ID_TOO_OLD },
        { -60, 46, ERR_OK },
        { -60, 106, ERR_ID_TOO_OLD },
    };
    int64_t offset_us;

    clock_follow();
    offset_us = clock_offset_us();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct uuid id = uuid_v7(clock_wall_us() - rows[i].age_days * DAY_US);
        struct problem problem = { 0 };

        clock_correct(offset_us + rows[i].ahead_days * DAY_US, 1);
        ck_assert_int_eq(check_age(&problem, "saga_id", id, clock_now_us()), rows[i].error);
        ck_assert_str_eq(problem.field, rows[i].error == ERR_OK ? "" : "saga_id");
    }
    ck_assert_int_eq(error_kind(ERR_CLOCK_OFF), ERROR_KIND_NOT_DONE);
}
END_TEST

/* ---- whose clock is right ---- */

enum { NONE = 1000000 };

#define CURRENT 0 /* what the program goes by, unless it begins */

/* Clocks in seconds from what the program goes by; peers are known to 10 ms. */
/* clang-format off */
static const struct {
    const char *what;
    bool is_first;
    int64_t own, database, peers[5]; /* NONE: it was not heard */
    bool is_sure, is_own_wrong, is_fit;
    int64_t offset;     /* to go by */
    int64_t off[7];     /* of the sources that were heard, in order */
} views[] = {
    { "alone",                                     false, 0,    NONE, { NONE },                 false, false, true,  0,    { 0 } },
    { "alone, and it jumped",                      false, 500,  NONE, { NONE },                 false, false, true,  0,    { 0 } },
    { "alone, and it begins",                      true,  0,    NONE, { NONE },                 false, false, true,  0,    { 0 } },
    { "all agree",                                 false, 0,    0,    { 0, 0, NONE },           true,  false, true,  0,    { 0, 0, 0, 0 } },
    { "all have stepped",                          false, -120, -120, { -120, -120, NONE },     true,  false, true,  -120, { 0, 0, 0, 0 } },
    { "it was suspended for a day",                false, 86400, 86400, { 86400, NONE },        true,  false, true,  86400, { 0, 0, 0 } },
    { "own clock is 30 s slow",                    false, -30,  0,    { 0, NONE },              true,  true,  true,  0,    { 30, 0, 0 } },
    { "own clock is 400 s slow",                   false, -400, 0,    { 0, NONE },              true,  true,  false, 0,    { 400, 0, 0 } },
    { "own clock is 400 s fast",                   false, 400,  0,    { 0, 0, NONE },           true,  true,  false, 0,    { 400, 0, 0, 0 } },
    { "own clock is fast, there is no database",   false, 400,  NONE, { 0, 0, NONE },           true,  true,  false, 0,    { 400, 0, 0 } },
    { "own clock was fast from the beginning",     true,  0,    -400, { -400, -400, NONE },     true,  true,  false, -400, { 400, 0, 0, 0 } },
    { "the database is 100 s fast",                false, 0,    100,  { 0, NONE },              true,  false, true,  0,    { 0, 100, 0 } },
    { "the database is 60 days fast",              false, 0,    5184000, { 0, 0, NONE },        true,  false, true,  0,    { 0, 5184000, 0, 0 } },
    { "a peer is slow",                            false, 0,    0,    { -400, 0, NONE },        true,  false, true,  0,    { 0, 0, 400, 0 } },
    { "own and a peer, both differently",          false, 400,  0,    { -400, 0, NONE },        true,  true,  false, 0,    { 400, 0, 400, 0 } },
    { "own and database against the peers",        false, 400,  400,  { 0, 0, 0, NONE },        true,  true,  true,  0,    { 400, 400, 0, 0, 0 } },
    { "own differs from its only other, DB",       false, -400, 0,    { NONE },                 false, false, true,  0,    { 0, 0 } },
    { "the database has stepped, nobody else",     false, 0,    -400, { NONE },                 false, false, true,  0,    { 0, 0 } },
    { "it begins, apart from its database",        true,  0,    -400, { NONE },                 false, false, true,  -400, { 0, 0 } },
    { "it begins, apart from a peer",              true,  0,    NONE, { -400, NONE },           false, false, true,  -400, { 0, 0 } },
    { "two against two",                           false, 400,  400,  { 0, 0, NONE },           false, false, true,  0,    { 0, 0, 0, 0 } },
    { "two against two, all but the program",      false, 400,  400,  { 800, 800, NONE },       false, false, true,  0,    { 0, 0, 0, 0 } },
    { "everybody for himself",                     false, 0,    100,  { 200, 300, NONE },       false, false, true,  0,    { 0, 0, 0, 0 } },
};
/* clang-format on */

static size_t
view(size_t row, struct clock_source *sources)
{
    size_t count = 0;

    sources[count++] = (struct clock_source){ CLOCK_OWN, views[row].own * S, 0, 0, 0 };
    if (views[row].database != NONE)
        sources[count++] =
            (struct clock_source){ CLOCK_DATABASE, views[row].database * S, 5000, 0, 0 };
    for (size_t i = 0; i < 5 && views[row].peers[i] != NONE; i++)
        sources[count++] =
            (struct clock_source){ CLOCK_PEER, views[row].peers[i] * S, 10000, 0, 0 };
    return count;
}

START_TEST(the_most_are_right)
{
    struct clock_source sources[7];
    size_t count = view((size_t)_i, sources);
    struct clock_verdict verdict;

    clock_judge(sources, count, CURRENT, views[_i].is_first, &verdict);
    ck_assert_msg(verdict.is_sure == views[_i].is_sure, "%s", views[_i].what);
    ck_assert_msg(verdict.is_own_wrong == views[_i].is_own_wrong, "%s", views[_i].what);
    ck_assert_msg(verdict.is_fit == views[_i].is_fit, "%s", views[_i].what);
    ck_assert_msg(verdict.offset_us == views[_i].offset * S, "%s: %lld", views[_i].what,
                  (long long)verdict.offset_us);
    for (size_t i = 0; i < count; i++) {
        int64_t off_us = views[_i].off[i] * S;

        ck_assert_msg(sources[i].off_us <= off_us && sources[i].off_us >= off_us - 20000,
                      "%s: source %zu is off by %lld", views[_i].what, i,
                      (long long)sources[i].off_us);
    }
}
END_TEST

/* A peer that was slow to answer may be anywhere within that time: it accuses no clock. */
START_TEST(who_is_unsure_accuses_nobody)
{
    struct clock_source sources[] = { { CLOCK_OWN, 0, 0, 0, 0 },
                                      { CLOCK_DATABASE, 0, 1000, 0, 0 },
                                      { CLOCK_PEER, -30 * S, 30 * S, 0, 0 } };
    struct clock_verdict verdict;

    clock_judge(sources, 3, 0, false, &verdict);
    ck_assert(verdict.is_sure && verdict.is_fit && !verdict.is_own_wrong);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(sources[i].off_us, 0);
}
END_TEST

START_TEST(doubt_says_how_far)
{
    struct clock_source sources[] = { { CLOCK_OWN, 0, 0, 0, 0 },
                                      { CLOCK_DATABASE, 90 * S, 0, 0, 0 } };
    struct clock_verdict verdict;

    clock_judge(sources, 2, 0, false, &verdict);
    ck_assert(!verdict.is_sure);
    ck_assert_int_eq(verdict.apart_us, 90 * S);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("clock");

    tcase_add_loop_test(cases, a_course_goes_on, 0, ROWS(courses));
    tcase_add_loop_test(cases, a_course_is_corrected, 0, ROWS(corrections));
    tcase_add_test(cases, time_never_stands_still);
    tcase_add_loop_test(cases, the_most_are_right, 0, ROWS(views));
    tcase_add_test(cases, who_is_unsure_accuses_nobody);
    tcase_add_test(cases, doubt_says_how_far);
    /* the last: the program follows from now on */
    tcase_add_test(cases, a_program_follows_and_is_corrected);
    tcase_add_test(cases, an_age_that_clocks_differ_about_is_no_refusal);
    return check_run("base_clock", cases);
}
