/* test_engine_wait.c -- Waits and signals: one row, one order in which things happen.
 *
 * The machine: A -> W (waits for "pay") -> B -> V (waits for "pay" again) -> End. W's deadline is 60 s
 * or [pay].until; it leads to L. A cancelled W goes to the trigger T, then F, then Fail. A script is
 * done word by word:
 *
 *   A, B...   that call is answered OK      2=yes     a signal: version 2, {"state":"yes"}
 *   ?         the call may have happened    2=no@5    the same with {"until": 5 s after the start}
 *   time      the clock goes to the next time that something is due
 *   cancel, crash, retry
 */
#include "mesh/base/clock.h"
#include "tests/support/check.h"
#include "tests/support/engine/driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT(keys)                                                                                 \
    "'Type':'WaitForEvent','Event':'pay','Until':'[pay]?.state == "                                \
    "\"yes\"','TimeoutSeconds':60," keys

static const char usual[] = MACHINE("'A':{" TASK(
    "A") ",'CompensateState':'undoA','Input':[{'state':'$.[pay]?."
         "state'}],'Next':'W'},"
         "'W':{" WAIT(
             "'Deadline':'$.[pay]?.until','TimeoutNext':'L','Next':'B'"
             ","
             "'Catch':[{'Exceptions':['sagamesh.Canceled'],'Next':'T'}"
             "]") "},"
                  "'L':{" TASK("L") ",'Next':'V'},"
                                    "'B':{" TASK("B") ",'Input':[{'state':'$.[pay]?."
                                                      "state'}],'Next':'V'},"
                                                      "'V':{'Type':'WaitForEvent','"
                                                      "Event':'pay','Until':'[pay] != "
                                                      "null','TimeoutSeconds':5},"
                                                      "'undoA':{" TASK(
                                                          "undoA") "},'T':{'Type':'"
                                                                   "CompensationTrigger'"
                                                                   ",'Next':'F'},"
                                                                   "'F':{" TASK("F") ",'Next':'X'"
                                                                                     "},'X':{'"
                                                                                     "Type':'"
                                                                                     "Fail','"
                                                                                     "ErrorCode':"
                                                                                     "'FAILED'}");

/* A, which can be undone; W, which goes to a choice that matches nothing when its time is over, and else to
 * P, the pivot, and L, a wait that no Catch takes. */
#define LATE                                                                                       \
    MACHINE("'A':{" TASK("A") ",'CompensateState':'U','Next':'W'},'U':{" TASK("U") "},'W':{" WAIT( \
        "'TimeoutNext':'C','Next':'P'") "},'C':{'Type':'Choice','Choices':[{'Expression':'[pay] "  \
                                        "!= null','Next':'E'}]},"                                  \
                                        "'P':{" TASK("P") ",'Pivot':true,'Next':'L'},"             \
                                                          "'L':{'Type':'WaitForEvent','Event':'"   \
                                                          "other','Until':"                        \
                                                          "'[other] != "                           \
                                                          "null','TimeoutSeconds':5,'Next':'E'},"  \
                                                          "'E':{'Type':'Succeed'}")
#define LATE_END                                                                                   \
    MACHINE("'A':{" TASK("A") ",'CompensateState':'U','Next':'W'},'U':{" TASK("U") "},'W':{" WAIT( \
        "'TimeoutNext':'F','Next':'E'") "},'F':{'Type':'Fail','ErrorCode':'X'},'E':{'Type':"       \
                                        "'Succeed'}")
#define PIVOT(keys)                                                                                \
    MACHINE(                                                                                       \
        "'A':{" TASK("A") ",'Pivot':true,'Next':'W'},'W':{" WAIT(keys) "},"                        \
                                                                       "'E':{'Type':'Succeed'}")

/* clang-format off */
static const struct {
    const char *what, *machine, *script, *trace, *end;
} rows[] = {
    { "the news comes while it is waited for", usual, "A 1=yes B", "A:SU+u W:SU B:SU V:SU", "ENDED SU/" },
    { "the news comes first",                  usual, "1=yes A B", "A:SU+u W:SU B:SU V:SU", "ENDED SU/" },
    { "it waits on",                           usual, "A 1=no",    "A:SU+u W:RU", "WAITING RU/" },
    { "doubled",                               usual, "A 1=no 1=no 2=yes 2=yes B", "A:SU+u W:SU B:SU V:SU", "ENDED SU/" },
    { "reordered: the older changes nothing",  usual, "A 2=no 1=yes", "A:SU+u W:RU", "WAITING RU/" },
    { "reordered before the wait",             usual, "2=yes 1=no A B", "A:SU+u W:SU B:SU V:SU", "ENDED SU/" },
    { "merged: versions in between are not missed", usual, "A 7=yes B", "A:SU+u W:SU B:SU V:SU", "ENDED SU/" },
    { "nothing comes in time",                 usual, "A time", "A:SU+u W:SU L:RU", "RUNNING RU/" },
    { "it comes too late, and the next wait has it", usual, "A time 1=yes L", "A:SU+u W:SU L:SU V:SU", "ENDED SU/" },
    { "the next wait times out: nobody catches it", usual, "A time L time", "A:SU+u W:SU L:SU V:FA", "STUCK UN/ sagamesh.Timeout" },
    { "and is entered again by an operator",   usual, "A time L time 1=no retry", "A:SU+u W:SU L:SU V:FA+ign V:SU", "ENDED SU/" },
    { "stuck behind its end in time, and retried: not as if the news had come", LATE, "A time retry retry", "A:SU+u W:SU", "STUCK UN/ sagamesh.DefinitionError" },
    { "nor when the news comes while it is stuck", LATE, "A time 1=yes retry",  "A:SU+u W:SU", "STUCK UN/ sagamesh.DefinitionError" },
    { "nor in a wait that leads to the end",       LATE_END, "A time retry",    "A:SU+u W:SU", "STUCK UN/ X" },
    { "stuck behind the news, and retried: from there on", LATE, "A 1=no 2=yes P time retry", "A:SU+u W:SU P:SU L:FA+ign L:RU", "WAITING RU/" },
    { "the news brings the deadline before the wait", usual, "1=no@5 A", "A:SU+u W:RU", "WAITING RU/" },
    { "and it has passed already",             usual, "1=no@-5 A", "A:SU+u W:SU L:RU", "RUNNING RU/" },
    { "a deadline that is none",               usual, "1=no@x A", "A:SU+u W:FA", "STUCK UN/ sagamesh.DefinitionError" },
    { "cancelled while it waits",              usual, "A cancel undoA F", "A:SU/SU+u W:FA undoA:SU+c F:SU", "ENDED UN/SU FAILED" },
    { "cancelled before: raised in the wait",  usual, "cancel A undoA F", "A:SU/SU+u W:FA undoA:SU+c F:SU", "ENDED UN/SU FAILED" },
    { "cancelled and the news is here: the cancel counts", usual, "1=yes cancel A undoA F", "A:SU/SU+u W:FA undoA:SU+c F:SU", "ENDED UN/SU FAILED" },
    { "news of a saga that ends",              usual, "A cancel undoA F 1=yes", "A:SU/SU+u W:FA undoA:SU+c F:SU", "ENDED UN/SU FAILED" },
    { "crashed while it waits",                usual, "A crash 1=no crash 2=yes B", "A:SU+u W:SU B:SU V:SU", "ENDED SU/" },
    { "a request is the same whatever comes in between", usual, "? 1=yes time A B", "A:SU+u W:SU B:SU V:SU", "ENDED SU/" },
    { "an Until that cannot be evaluated is raised",
      MACHINE("'A':{'Type':'WaitForEvent','Event':'pay','Until':'[pay].state','TimeoutSeconds':1,"
              "'Catch':[{'Exceptions':['sagamesh.DefinitionError'],'Next':'F'}]},"
              "'F':{'Type':'Fail','ErrorCode':'CAUGHT'}"),
      "", "A:FA", "ENDED FA/ CAUGHT" },
    { "a deadline that is caught",
      MACHINE("'A':{" WAIT("'Catch':[{'Exceptions':['sagamesh.Timeout'],'Next':'F'}]") "},"
              "'F':{'Type':'Fail','ErrorCode':'LATE'}"),
      "time", "A:FA", "ENDED FA/ LATE" },
    { "cancelled and nobody catches it: undone",
      MACHINE("'A':{" TASK("A") ",'CompensateState':'undoA','Next':'W'},'W':{" WAIT("'Next':'E'") "},"
              "'E':{'Type':'Succeed'},'undoA':{" TASK("undoA") "}"),
      "A cancel undoA", "A:SU/SU+u W:FA undoA:SU+c", "ENDED UN/SU" },
    { "a wait that circles waits at most as often as it is stepped", 
      MACHINE("'A':{" WAIT("'TimeoutNext':'A','Next':'E'") "},'E':{'Type':'Succeed'}"),
      "time time 1=yes", "A:SU A:SU A:SU", "ENDED SU/" },
    { "behind the pivot it waits too",         PIVOT("'Next':'E'"), "A 1=yes", "A:SU W:SU", "ENDED SU/" },
    { "behind the pivot nobody cancels it",    PIVOT("'Next':'E'"), "A !cancel", "A:SU W:RU", "WAITING RU/" },
    { "behind the pivot its end is a person's", PIVOT("'Next':'E'"), "A time", "A:SU W:FA", "STUCK UN/ sagamesh.Timeout" },
};

/* One signal, after "1=no" was taken. */
static const struct {
    const char *what, *event, *payload;
    int64_t version;
    bool is_same_id;
    enum error error;
    const char *reason;
} refusals[] = {
    { "of an event nobody waits for", "alien", "{}", 1, false, ERR_REFUSED, "UNKNOWN_EVENT" },
    { "without a version",            "pay",   "{}", 0, false, ERR_BAD_REQUEST, NULL },
    { "that is no object",            "pay",   "[1]", 2, false, ERR_BAD_REQUEST, NULL },
    { "with the id of another",       "pay",   "{}", 2, true,  ERR_ID_REUSED, NULL },
    { "with the id of the same",      "pay",   "{}", 1, true,  ERR_OK, NULL },
    { "that is older",                "pay",   "{}", 1, false, ERR_OK, NULL },
    { "that is newer",                "pay",   "{}", 2, false, ERR_OK, NULL },
    { "that is too big",              "pay",   NULL, 2, false, ERR_BAD_REQUEST, NULL },
};
/* clang-format on */

static const int64_t start_us = INT64_C(1790000000000000);

static void
tell_signal(struct driver *driver, const char *event, int64_t version, struct uuid id,
            json_t *payload)
{
    struct engine_event signal = {
        .kind = ENGINE_SIGNAL,
        .signal = { .id = id, .event = event, .version = version, .payload = payload }
    };

    driver_tell(driver, &signal, driver->instance->definition);
    json_decref(payload);
}

/* "2=no@5" */
static void
do_signal(struct driver *driver, const char *word)
{
    const char *state = strchr(word, '=') + 1, *until = strchr(word, '@');
    int bytes = until == NULL ? (int)strlen(state) : (int)(until - state);
    json_t *payload = json_pack("{s:s%}", "state", state, (size_t)bytes);

    if (until != NULL && until[1] == 'x')
        json_object_set_new(payload, "until", json_string("x"));
    else if (until != NULL)
        json_object_set_new(
            payload, "until",
            json_sprintf("%lld", (long long)(start_us + atoi(until + 1) * SECOND_US)));
    tell_signal(driver, "pay", atoi(word), uuid_v8(start_us, word, strlen(word)), payload);
    ck_assert_int_eq(driver->error, ERR_OK);
}

static void
do_call(struct driver *driver, const char *word, char *ret_request)
{
    struct engine_event event = { .kind = ENGINE_ANSWER };
    struct due due;
    char *request;

    engine_due(driver->instance, driver->now_us, &due);
    ck_assert_uint_eq(due.call_count, 1);
    request = json_dumps(due.calls[0].request, JSON_COMPACT);
    if (strcmp(word, "?") != 0)
        ck_assert_str_eq(due.calls[0].method, word);
    if (due.calls[0].attempt > 1)
        ck_assert_str_eq(request, ret_request);
    snprintf(ret_request, 256, "%s", request);
    free(request);
    event.answer.activation = due.calls[0].activation;
    event.answer.outcome = strcmp(word, "?") == 0 ? OUTCOME_UNKNOWN : OUTCOME_OK;
    due_free(&due);
    driver->now_us += 1000;
    driver_tell(driver, &event, driver->instance->definition);
}

static void
do_time(struct driver *driver)
{
    struct due due;

    engine_due(driver->instance, driver->now_us, &due);
    ck_assert_int_gt(due.look_again_us, driver->now_us);
    driver->now_us = due.look_again_us - 1;
    driver_tell(driver, &(struct engine_event){ .kind = ENGINE_DUE }, driver->instance->definition);
    ck_assert_uint_eq(driver->records.count, 0); /* not before its time */
    driver->now_us++;
    driver_tell(driver, &(struct engine_event){ .kind = ENGINE_DUE }, driver->instance->definition);
    due_free(&due);
}

static void
do_word(struct driver *driver, const char *word, char *request)
{
    /* clang-format off */
    static const struct { const char *word; enum engine_event_kind kind; enum error error; } events[] = {
        { "cancel",  ENGINE_CANCEL,    ERR_OK       },
        { "!cancel", ENGINE_CANCEL,    ERR_TOO_LATE },
        { "crash",   ENGINE_RECOVERED, ERR_OK       },
        { "retry",   ENGINE_RETRY,     ERR_OK       },
    };
    /* clang-format on */

    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        if (strcmp(events[i].word, word) != 0)
            continue;
        driver_tell(driver, &(struct engine_event){ .kind = events[i].kind },
                    driver->instance->definition);
        ck_assert_int_eq(driver->error, events[i].error);
        return;
    }
    if (strcmp(word, "time") == 0)
        do_time(driver);
    else if (strchr(word, '=') != NULL)
        do_signal(driver, word);
    else
        do_call(driver, word, request);
}

static void
play(struct driver *driver, const char *script)
{
    char copy[256], request[256] = "", *rest = NULL;

    snprintf(copy, sizeof copy, "%s", script);
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest))
        do_word(driver, word, request);
}

START_TEST(a_wait)
{
    struct definition *definition = load(rows[_i].machine);
    json_t *input = json_object();
    struct driver driver = { 0 };
    char trace[1024], end[128];
    const struct instance *it;

    driver_open(&driver);
    driver_start(&driver, definition, input);
    play(&driver, rows[_i].script);
    it = driver.instance;
    driver_trace(it, trace, sizeof trace);
    snprintf(end, sizeof end, "%s %s/%s%s%s", phase_text(instance_phase(it)),
             status_text(it->status), status_text(it->compensation),
             it->error_code == NULL ? "" : " ", it->error_code == NULL ? "" : it->error_code);
    ck_assert_msg(strcmp(trace, rows[_i].trace) == 0, "%s: went\n  %s, not\n  %s", rows[_i].what,
                  trace, rows[_i].trace);
    ck_assert_msg(strcmp(end, rows[_i].end) == 0, "%s: ended %s, not %s", rows[_i].what, end,
                  rows[_i].end);
    driver_close(&driver);
    json_decref(input);
    definition_free(definition);
}
END_TEST

/* A Deadline is a time of the world, and the saga's may be ahead of that: after a clock stepped back. */
START_TEST(a_deadline_while_the_clock_is_ahead)
{
    struct definition *definition = load(usual);
    json_t *input = json_object();
    struct driver driver = { 0 };
    struct engine_event event = { .kind = ENGINE_ANSWER, .ahead_us = 20 * SECOND_US };
    struct due due;

    driver_open(&driver);
    driver_start(&driver, definition, input);
    play(&driver, "1=no@5");
    engine_due(driver.instance, driver.now_us, &due);
    event.answer.activation = due.calls[0].activation;
    due_free(&due);
    driver_tell(&driver, &event, definition);
    engine_due(driver.instance, driver.now_us, &due);
    ck_assert_int_eq(due.look_again_us, start_us + 25 * SECOND_US);
    due_free(&due);
    driver_close(&driver);
    json_decref(input);
    definition_free(definition);
}
END_TEST

START_TEST(a_signal)
{
    struct definition *definition = load(usual);
    json_t *input = json_object(), *payload;
    struct driver driver = { 0 };
    const char *what = refusals[_i].what;
    const char *id = refusals[_i].is_same_id ? "1=no" : "another";

    driver_open(&driver);
    driver_start(&driver, definition, input);
    play(&driver, "A 1=no");
    payload =
        refusals[_i].payload == NULL ? json_object() : json_loads(refusals[_i].payload, 0, NULL);
    if (refusals[_i].payload == NULL)
        json_object_set_new(payload, "fill", json_sprintf("%020000d", 1));
    tell_signal(&driver, refusals[_i].event, refusals[_i].version,
                uuid_v8(start_us, id, strlen(id)), payload);
    ck_assert_msg(driver.error == refusals[_i].error, "%s: %s", what, error_name(driver.error));
    if (refusals[_i].reason != NULL)
        ck_assert_str_eq(driver.problem.reason, refusals[_i].reason);
    ck_assert_uint_eq(driver.records.count,
                      refusals[_i].error == ERR_OK && refusals[_i].version == 2);
    driver_close(&driver);
    json_decref(input);
    definition_free(definition);
}
END_TEST

int
main(void)
{
    TCase *tcase = check_case("waits");

    tcase_add_loop_test(tcase, a_wait, 0, ROWS(rows));
    tcase_add_test(tcase, a_deadline_while_the_clock_is_ahead);
    tcase_add_loop_test(tcase, a_signal, 0, ROWS(refusals));
    return check_run("engine_wait", tcase);
}
