/* The budget of a place that logs: a burst, then a line now and then, and nothing is left uncounted. */
#include "mesh/base/log.h"

#include "mesh/base/clock.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BURST = 3, EACH_US = 1000 };

/* clang-format off */
static const struct {
    const char *what;
    int64_t at_us;
    bool is_said;
    uint64_t left_out_after;
} takes[] = {
    { "the first of the burst",                 0,    true,  0 },
    { "the second",                             1,    true,  0 },
    { "the third",                              2,    true,  0 },
    { "one more is left out",                   3,    false, 1 },
    { "and another",                            900,  false, 2 },
    { "a line for a period that has passed",    1000, true,  2 },
    { "but no two",                             1001, false, 3 },
    { "the clock stands still: nothing",        1001, false, 4 },
    { "a quiet time gives the burst back",      9000, true,  4 },
    { "its second",                             9000, true,  4 },
    { "its third",                              9000, true,  4 },
    { "and no more than that",                  9000, false, 5 },
};
/* clang-format on */

START_TEST(budget_is_kept)
{
    struct log_rate rate = { 0 };

    for (size_t i = 0; i < sizeof takes / sizeof *takes; i++) {
        bool is_said = log_rate_take(&rate, takes[i].at_us, BURST, EACH_US);

        ck_assert_msg(is_said == takes[i].is_said, "%s", takes[i].what);
        ck_assert_msg(rate.left_out == takes[i].left_out_after, "%s", takes[i].what);
    }
}
END_TEST

/* ---- lines as they are written ---- */

static FILE *written;
static int standard_error;

static void
catch_lines(void)
{
    written = tmpfile();
    ck_assert_ptr_nonnull(written);
    standard_error = dup(STDERR_FILENO);
    dup2(fileno(written), STDERR_FILENO);
}

static void
give_lines_back(void)
{
    dup2(standard_error, STDERR_FILENO);
    close(standard_error);
    fclose(written);
}

/* Counts the lines with text in them, and sums what they say was left out. */
static void
count_lines(const char *text, int *ret_lines, unsigned long long *ret_left_out)
{
    char line[4096];

    *ret_lines = 0;
    *ret_left_out = 0;
    rewind(written);
    while (fgets(line, sizeof line, written) != NULL) {
        const char *left_out = strstr(line, " left_out=");

        if (strstr(line, text) == NULL)
            continue;
        ++*ret_lines;
        if (left_out != NULL)
            *ret_left_out += strtoull(left_out + strlen(" left_out="), NULL, 10);
    }
}

START_TEST(a_storm_of_warnings_is_few_lines)
{
    enum { STORM = 10000 };
    unsigned long long left_out;
    int lines;

    for (int i = 0; i < STORM; i++)
        log_warn("storm=%d", i);
    count_lines("storm=", &lines, &left_out);
    ck_assert_int_ge(lines, LOG_WARN_BURST);
    ck_assert_int_lt(lines, 3 * LOG_WARN_BURST); /* a machine that stands still has time for more */
    log_say_left_out(); /* nothing yet: the place may speak again in some seconds */
    count_lines("LINES_LEFT_OUT", &lines, &left_out);
    ck_assert_int_le(lines, 1);
}
END_TEST

START_TEST(places_do_not_share_a_budget)
{
    unsigned long long left_out;
    int lines;

    for (int i = 0; i < 10 * LOG_WARN_BURST; i++)
        log_warn("noise=%d", i);
    log_warn("another=place");
    log_error("another=level");
    count_lines("another=", &lines, &left_out);
    ck_assert_int_eq(lines, 2);
    ck_assert_uint_eq(left_out, 0);
}
END_TEST

START_TEST(business_events_have_a_large_budget)
{
    unsigned long long left_out;
    int lines;

    for (int i = 0; i < 1000; i++)
        log_at(LOG_INFO, "order=%d", i);
    count_lines("order=", &lines, &left_out);
    ck_assert_int_eq(lines, 1000);
}
END_TEST

/* A stranger who repeats a thing does not fill the disk: what is said and what is counted is all there was. */
START_TEST(a_storm_of_business_events_is_limited)
{
    enum { STORM = 4 * LOG_INFO_BURST };
    int64_t began_us = clock_steady_us(), passed_ms;
    unsigned long long left_out;
    int lines;

    for (int i = 0; i < STORM; i++)
        log_info("asked=%d", i);
    passed_ms = (clock_steady_us() - began_us) / 1000;
    count_lines("asked=", &lines, &left_out);
    ck_assert_int_ge(lines, LOG_INFO_BURST);
    ck_assert_int_le(lines, LOG_INFO_BURST + passed_ms + 1);
    ck_assert_uint_le((unsigned long long)lines + left_out, STORM);
}
END_TEST

int
main(void)
{
    TCase *budget = check_case("budget"), *lines = check_case("lines");

    tcase_add_test(budget, budget_is_kept);
    tcase_add_checked_fixture(lines, catch_lines, give_lines_back);
    tcase_add_test(lines, a_storm_of_warnings_is_few_lines);
    tcase_add_test(lines, places_do_not_share_a_budget);
    tcase_add_test(lines, business_events_have_a_large_budget);
    tcase_add_test(lines, a_storm_of_business_events_is_limited);
    return check_run("base_log", budget, lines);
}
