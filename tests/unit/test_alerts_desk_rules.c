/* What is decided of acknowledging, repairing, sending again and telling people, without a database. */
#include "alerts/alert.h"
#include "alerts/dead_letter.h"
#include "alerts/notice.h"
#include "alerts/rule.h"
#include "mesh/base/clock.h"
#include "mesh/store/batch_rows.h"
#include "tests/support/check.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static struct arena *arena;
static struct batch_rows *rows;
static int64_t now_us;

static void
set_up(void)
{
    now_us = clock_now_us();
    arena = arena_new();
    rows = batch_rows_new(&alert_service, arena);
}

static void
tear_down(void)
{
    arena = arena_free(arena);
}

static struct op
op_new(void)
{
    struct op op = { .id = uuid_v7(now_us), .now_us = now_us, .traceparent = "" };

    batch_rows_touch_records(rows, op.id);
    return op;
}

/* ---- repairs ---- */

enum { NONE, REFUSED, BEGUN, ENDED };

/* clang-format off */
static const struct {
    const char *what;
    int repair;
    const char *reason;
    bool is_ended_now;
} ends[] = {
    { "none is there",          NONE,    "NOT_FOUND",    false },
    { "its begin was refused",  REFUSED, "NOT_FOUND",    false },
    { "it is under way",        BEGUN,   "",             true  },
    { "it has ended",           ENDED,   "REPAIR_ENDED", false },
};
/* clang-format on */

START_TEST(a_repair_has_one_end)
{
    struct end_repair end = { .repair_id = uuid_v7(now_us - 1000),
                              .is_done = true,
                              .outcome = "asked" };
    struct repair_row *repair = NULL;

    end.op = op_new();
    batch_rows_touch_records(rows, end.repair_id);
    if (ends[_i].repair != NONE) {
        repair = batch_add_uuid(rows, ALERT_REPAIR, end.repair_id);
        repair->record.fingerprint = 1;
        repair->record.reason = ends[_i].repair == REFUSED ? "NOT_FOUND" : "";
        repair->record.detail = repair->by = repair->why = "";
        repair->outcome = "before";
        repair->ended_us = ends[_i].repair == ENDED ? 1 : 0;
    }
    end_repair_decide(&end, rows);
    ck_assert_msg(strcmp(problem_reason(&end.op.problem), ends[_i].reason) == 0, "%s",
                  ends[_i].what);
    if (repair != NULL) {
        ck_assert_msg((repair->ended_us == now_us) == ends[_i].is_ended_now, "%s", ends[_i].what);
        ck_assert_msg(strcmp(repair->outcome, ends[_i].is_ended_now ? "asked" : "before") == 0,
                      "%s", ends[_i].what);
    }
    ck_assert_ptr_nonnull(batch_find_uuid(rows, ALERT_OP, end.op.id)); /* it has a record */
}
END_TEST

/* ---- dead letters ---- */

/* clang-format off */
static const struct {
    const char *what;
    int32_t due, asked;           /* of the row, which was asked for since as often as that */
    int32_t sent_due, sent_asked; /* of the op */
    int32_t after_due, after_resends;
} sents[] = {
    { "to the dead letters",        1, 0, 1, 0, 0, 0 },
    { "another replica was first",  0, 0, 1, 0, 0, 0 },
    { "to its topic",               2, 1, 2, 1, 0, 1 },
    { "both",                       3, 1, 3, 1, 0, 1 },
    { "asked for meanwhile",        3, 1, 1, 0, 2, 0 },
    { "asked for once more",        2, 2, 2, 1, 2, 1 },
};
/* clang-format on */

START_TEST(what_was_sent_is_due_no_more)
{
    const struct try_letter sent = { .op.now_us = now_us,
                                     .sent = sents[_i].sent_due,
                                     .resends_asked = sents[_i].sent_asked };
    struct letter_row letter = { .due = sents[_i].due, .resends_asked = sents[_i].asked };
    bool is_due = (sents[_i].due & sents[_i].sent_due) != 0;

    ck_assert_msg(letter_mark_tried(&letter, &sent) == is_due, "%s", sents[_i].what);
    ck_assert_msg(letter.due == sents[_i].after_due, "%s", sents[_i].what);
    ck_assert_msg(letter.resends == sents[_i].after_resends, "%s", sents[_i].what);
    ck_assert_msg((letter.resent_us == now_us) == (letter.resends == 1), "%s", sents[_i].what);
    ck_assert_msg((letter.sent_us == now_us) == ((sents[_i].due & sents[_i].sent_due & 1) != 0),
                  "%s", sents[_i].what);
}
END_TEST

/* clang-format off */
static const struct {
    const char *what;
    int32_t due, failures, refusals; /* of the row */
    int32_t sent, failed, refused;   /* of the op */
    int32_t after_due, after_failures, after_refusals, wait_s;
    bool is_given_up;
} tries[] = {
    { "Kafka is away",            1, 0, 0, 0, 1, 0, 1, 1, 0, 5,   false },
    { "for the third time",       1, 2, 0, 0, 1, 0, 1, 3, 0, 20,  false },
    { "for hours",                1, 99, 4, 0, 1, 0, 1, 100, 4, 600, false },
    { "it is too large",          1, 0, 0, 0, 1, 1, 1, 1, 1, 5,   false },
    { "the last but one time",    1, 3, 3, 0, 1, 1, 1, 4, 4, 40,  false },
    { "the last time",            1, 4, 4, 0, 1, 1, 0, 0, 0, 0,   true  },
    { "one of both",              3, 4, 4, 0, 3, 1, 2, 0, 0, 0,   true  },
    { "one arrives",              3, 4, 4, 1, 2, 2, 2, 1, 1, 5,   false },
    { "it arrives at last",       1, 9, 4, 1, 0, 0, 0, 0, 0, 0,   false },
    { "another replica was first", 0, 0, 0, 0, 1, 1, 0, 0, 0, 0,  false },
};
/* clang-format on */

START_TEST(what_failed_is_tried_again_and_given_up)
{
    const struct try_letter tried = { .op.now_us = now_us,
                                      .sent = tries[_i].sent,
                                      .failed = tries[_i].failed,
                                      .refused = tries[_i].refused,
                                      .refusal = "it is too large" };
    struct letter_row letter = { .due = tries[_i].due,
                                 .failures = tries[_i].failures,
                                 .refusals = tries[_i].refusals,
                                 .refusal = "" };
    int64_t again_us = tries[_i].wait_s == 0 ? 0 : now_us + tries[_i].wait_s * SECOND_US;

    letter_mark_tried(&letter, &tried);
    ck_assert_msg(letter.due == tries[_i].after_due, "%s", tries[_i].what);
    ck_assert_msg(letter.failures == tries[_i].after_failures, "%s", tries[_i].what);
    ck_assert_msg(letter.refusals == tries[_i].after_refusals, "%s", tries[_i].what);
    ck_assert_msg(letter.claimed_until_us == again_us, "%s", tries[_i].what);
    ck_assert_msg(letter.refused_us == (tries[_i].is_given_up ? now_us : 0), "%s", tries[_i].what);
    if (tries[_i].is_given_up)
        ck_assert_str_eq(letter.refusal, "it is too large");
}
END_TEST

/* ---- notices ---- */

/* clang-format off */
static const struct {
    int32_t attempts;
    int64_t retry_after_s, wait_s;
} waits[] = {
    { 1, 0, 5 },      { 2, 0, 20 },        { 3, 0, 80 },   { 4, 0, 320 }, { 5, 0, 1280 },
    { 6, 0, 3600 },   { 7, 0, 3600 },      { 1000, 0, 3600 },
    { 1, 3, 5 },      { 1, 60, 60 },       { 7, 86400, 86400 },
};
/* clang-format on */

START_TEST(notices_wait_ever_longer)
{
    ck_assert_int_eq(notice_wait_us(waits[_i].attempts, waits[_i].retry_after_s * SECOND_US),
                     waits[_i].wait_s * SECOND_US);
}
END_TEST

#define DAY_S 86400
/* clang-format off */
static const struct {
    const char *what;
    int64_t made_ago_s;
    int32_t attempts, lease, end_lease;
    bool is_sent, is_final;
    int64_t retry_after_s;
    bool is_taken;
    int64_t next_s; /* from now; 0: it is over */
} attempts[] = {
    /*                              made       attempts leases sent   final  retry      taken next */
    { "sent",                       1,         1, 3, 3, true,  false, 0,         true,  0    },
    { "not taken",                  1,         1, 3, 3, false, false, 0,         true,  5    },
    { "to be left alone",           1,         1, 3, 3, false, false, 90,        true,  90   },
    { "gone",                       1,         1, 3, 3, false, true,  0,         true,  0    },
    { "the last try of a day",      DAY_S - 1, 9, 3, 3, false, false, 0,         true,  0    },
    { "within the day still",       DAY_S / 2, 9, 3, 3, false, false, 0,         true,  3600 },
    { "left alone for too long",    1,         1, 3, 3, false, false, DAY_S,     true,  0    },
    { "an older lease",             1,         2, 4, 3, false, false, 0,         false, 60   },
    { "an older lease, but sent",   1,         2, 4, 3, true,  false, 0,         true,  0    },
};
/* clang-format on */

START_TEST(a_notice_ends_or_is_tried_again)
{
    struct notice_life notice = { .row.made_us = now_us - attempts[_i].made_ago_s * SECOND_US,
                                  .next_us = now_us + NOTICE_LEASE_US,
                                  .lease = attempts[_i].lease,
                                  .attempts = attempts[_i].attempts };
    const struct end_notice end = { .op.now_us = now_us,
                                    .lease = attempts[_i].end_lease,
                                    .is_sent = attempts[_i].is_sent,
                                    .is_final = attempts[_i].is_final,
                                    .retry_after_us = attempts[_i].retry_after_s * SECOND_US,
                                    .trouble = "" };
    int64_t next_us = attempts[_i].next_s == 0 ? 0 : now_us + attempts[_i].next_s * SECOND_US;

    ck_assert_msg(notice_mark_end(&notice, &end) == attempts[_i].is_taken, "%s", attempts[_i].what);
    ck_assert_msg(notice.next_us == next_us, "%s", attempts[_i].what);
    ck_assert_msg((notice.ended_us != 0) == (next_us == 0), "%s", attempts[_i].what);
    ck_assert_msg(notice.is_sent == (attempts[_i].is_sent && attempts[_i].is_taken), "%s",
                  attempts[_i].what);
}
END_TEST

/* ---- runbooks ---- */

/* As a reader's browser makes an anchor of a heading: "### RULE_A" is "#rule_a". */
static bool
has_heading(const char *path, const char *anchor)
{
    FILE *file = fopen(path, "r");
    char line[1024];
    bool has = false;

    ck_assert_msg(file != NULL, "%s cannot be read", path);
    while (!has && fgets(line, sizeof line, file) != NULL) {
        char *heading = line + strspn(line, "#");
        char *at;

        if (heading == line || *heading != ' ')
            continue;
        heading++;
        heading[strcspn(heading, "\n")] = '\0';
        for (at = heading; *at != '\0'; at++)
            *at = *at == ' ' ? '-' : (char)tolower((unsigned char)*at);
        has = strcmp(heading, anchor) == 0;
    }
    fclose(file);
    return has;
}

START_TEST(every_rule_has_a_runbook)
{
    const char *runbook = rules[_i].runbook, *anchor = strchr(runbook, '#');
    char path[256];

    ck_assert_ptr_nonnull(anchor);
    snprintf(path, sizeof path, "../%.*s", (int)(anchor - runbook), runbook);
    ck_assert_msg(has_heading(path, anchor + 1), "%s: no such heading", runbook);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("desk rules");

    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_loop_test(cases, a_repair_has_one_end, 0, ROWS(ends));
    tcase_add_loop_test(cases, what_was_sent_is_due_no_more, 0, ROWS(sents));
    tcase_add_loop_test(cases, what_failed_is_tried_again_and_given_up, 0, ROWS(tries));
    tcase_add_loop_test(cases, notices_wait_ever_longer, 0, ROWS(waits));
    tcase_add_loop_test(cases, a_notice_ends_or_is_tried_again, 0, ROWS(attempts));
    tcase_add_loop_test(cases, every_rule_has_a_runbook, 0, RULE_COUNT);
    return check_run("desk rules", cases);
}
