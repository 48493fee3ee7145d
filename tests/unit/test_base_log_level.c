/* The level of the log: its words, a change for good and one for a while, and that each is told. */
#include "mesh/base/log_level.h"

#include "tests/support/check.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static FILE *written;
static int standard_error;

static void
catch_lines(void)
{
    written = tmpfile();
    ck_assert_ptr_nonnull(written);
    standard_error = dup(STDERR_FILENO);
    dup2(fileno(written), STDERR_FILENO);
    log_open("test", LOG_INFO);
}

static void
give_lines_back(void)
{
    dup2(standard_error, STDERR_FILENO);
    close(standard_error);
    fclose(written);
}

static int
lines_with(const char *text)
{
    char line[4096];
    int count = 0;

    rewind(written);
    while (fgets(line, sizeof line, written) != NULL)
        count += strstr(line, text) != NULL;
    fseek(written, 0, SEEK_END);
    return count;
}

START_TEST(words_are_read_and_printed)
{
    static const char *const wrong[] = { "", "DEBUG", "inf", "infos", "trace", "4" };
    enum log_level level;

    for (int i = LOG_DEBUG; i <= LOG_ERROR; i++) {
        ck_assert(log_level_read(log_level_word((enum log_level)i), &level));
        ck_assert_int_eq(level, i);
    }
    for (int i = 0; i < ROWS(wrong); i++)
        ck_assert_msg(!log_level_read(wrong[i], &level), "%s", wrong[i]);
}
END_TEST

START_TEST(each_change_is_told)
{
    /* clang-format off */
    static const struct { enum log_level level; const char *line; } changes[] = {
        { LOG_ERROR, "level=error before=info seconds=0"  },
        { LOG_WARN,  "level=warn before=error seconds=0"  },
        { LOG_DEBUG, "level=debug before=warn seconds=0"  },
        { LOG_ERROR, "level=error before=debug seconds=0" },
        { LOG_INFO,  "level=info before=error seconds=0"  },
    };
    /* clang-format on */

    for (int i = 0; i < ROWS(changes); i++) {
        log_level_set(changes[i].level, 0);
        ck_assert_int_eq(log_level_state().level, changes[i].level);
        ck_assert_int_eq(log_level_state().left_us, 0);
        ck_assert_msg(lines_with(changes[i].line) == 1, "%s", changes[i].line);
    }
    log_debug("below=%d", 1);
    ck_assert_int_eq(lines_with("below="), 0);
}
END_TEST

static const char *
not_made(bool *is_made)
{
    *is_made = true;
    return "";
}

START_TEST(what_is_not_said_is_not_made)
{
    bool is_made = false;

    log_debug("text=%s", not_made(&is_made));
    ck_assert(!is_made);
    log_level_set(LOG_DEBUG, 0);
    log_debug("text=%s", not_made(&is_made));
    ck_assert(is_made);
    ck_assert_int_eq(lines_with("text="), 1);
}
END_TEST

START_TEST(a_while_ends_at_the_usual_level)
{
    log_level_set(LOG_DEBUG, 3600 * INT64_C(1000000));
    log_level_set(LOG_ERROR, 2000);
    ck_assert_int_eq(log_level_state().usual, LOG_INFO);
    ck_assert_int_gt(log_level_state().left_us, 0);
    ck_assert_int_le(log_level_state().left_us, 2000);
    AWAIT((log_level_look(), log_level_state().level == LOG_INFO), 10);
    ck_assert_int_eq(log_level_state().left_us, 0);
    ck_assert_int_eq(lines_with("level=info before=error"), 1);
    log_level_look(); /* once */
    ck_assert_int_eq(lines_with("event=LOG_LEVEL"), 3);
}
END_TEST

START_TEST(one_for_good_ends_a_while)
{
    log_level_set(LOG_DEBUG, 1000);
    log_level_set(LOG_WARN, 0);
    ck_assert_int_eq(log_level_state().usual, LOG_WARN);
    ck_assert_int_eq(log_level_state().left_us, 0);
    log_level_look();
    ck_assert_int_eq(log_level_state().level, LOG_WARN);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("level");

    tcase_add_checked_fixture(cases, catch_lines, give_lines_back);
    tcase_add_test(cases, words_are_read_and_printed);
    tcase_add_test(cases, each_change_is_told);
    tcase_add_test(cases, what_is_not_said_is_not_made);
    tcase_add_test(cases, a_while_ends_at_the_usual_level);
    tcase_add_test(cases, one_for_good_ends_a_while);
    return check_run("base_log_level", cases);
}
