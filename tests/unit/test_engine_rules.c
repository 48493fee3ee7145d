/* test_engine_rules.c -- What follows from what: one row, one story of a saga.
 *
 * The machine: A -> B -> P (the pivot) -> D -> end. A and B have undoA and undoB; A, B and P catch
 * everything and go to the trigger, then F, then Fail. Scripts are those of engine/story.h.
 */
#include "mesh/base/clock.h"
#include "tests/support/check.h"
#include "tests/support/engine/story.h"

#include <stdio.h>
#include <string.h>

static const char machine_text[] =
    "{'Name':'m','StartState':'A','States':{"
    "'A':{'Type':'ServiceTask','ServiceName':'s','ServiceMethod':'A','CompensateState':'undoA',"
    "'Output':{'a':'$.[value]'},'Catch':[{'Exceptions':['java.lang.Throwable'],'Next':'T'}],"
    "'Next':'B'},"
    "'B':{'Type':'ServiceTask','ServiceName':'s','ServiceMethod':'B','CompensateState':'undoB',"
    "'Catch':[{'Exceptions':['java.lang.Throwable'],'Next':'T'}],'Next':'P'},"
    "'P':{'Type':'ServiceTask','ServiceName':'s','ServiceMethod':'P','Pivot':true,"
    "'Catch':[{'Exceptions':['java.lang.Throwable'],'Next':'T'}],'Next':'D'},"
    "'D':{'Type':'ServiceTask','ServiceName':'s','ServiceMethod':'D','Next':'End'},"
    "'End':{'Type':'Succeed'},"
    "'undoA':{'Type':'ServiceTask','ServiceName':'s','ServiceMethod':'undoA'},"
    "'undoB':{'Type':'ServiceTask','ServiceName':'s','ServiceMethod':'undoB'},"
    "'T':{'Type':'CompensationTrigger','Next':'F'},"
    "'F':{'Type':'ServiceTask','ServiceName':'s','ServiceMethod':'F','Next':'X'},"
    "'X':{'Type':'Fail','ErrorCode':'FAILED','Message':'undone'}}}";

/* clang-format off */
static const struct {
    const char *what, *script;
    const char *operators; /* decide(): one whenever it is stuck */
    const char *trace, *end; /* phase status/compensation error code */
} stories[] = {
    { "all goes well", "", "",
      "A:SU+u B:SU+u P:SU D:SU", "ENDED SU/" },
    { "refused at once: nothing to undo, and what follows the trigger runs", "A=NO", "",
      "A:FA+u F:SU", "ENDED FA/ FAILED" },
    { "refused after one was done", "B=NO", "",
      "A:SU/SU+u B:FA+u undoA:SU+c F:SU", "ENDED UN/SU FAILED" },
    { "the pivot is refused: back, newest first", "P=NO", "",
      "A:SU/SU+u B:SU/SU+u P:FA undoB:SU+c undoA:SU+c F:SU", "ENDED UN/SU FAILED" },

    { "unknown, then done", "B=?,ok", "",
      "A:SU+u B:SU+u P:SU D:SU", "ENDED SU/" },
    { "unknown, then the stored refusal", "B=?,NO", "",
      "A:SU/SU+u B:FA+u undoA:SU+c F:SU", "ENDED UN/SU FAILED" },
    { "unknown, then refused by somebody else: stays unknown and is undone", "B=?,(DENIED)", "",
      "A:SU/SU+u B:UN/SU+u undoB:SU+c undoA:SU+c F:SU", "ENDED UN/SU FAILED" },
    { "refused by somebody else the first time is refused", "B=(DENIED)", "",
      "A:SU/SU+u B:FA+u undoA:SU+c F:SU", "ENDED UN/SU FAILED" },
    { "never answered before the pivot: undone", "B=?", "",
      "A:SU/SU+u B:UN/SU+u undoB:SU+c undoA:SU+c F:SU", "ENDED UN/SU FAILED" },
    { "never done before the pivot: not undone", "B=!", "",
      "A:SU/SU+u B:FA+u undoA:SU+c F:SU", "ENDED UN/SU FAILED" },
    { "once unknown and then never done: unknown", "B=?,!", "",
      "A:SU/SU+u B:UN/SU+u undoB:SU+c undoA:SU+c F:SU", "ENDED UN/SU FAILED" },
    { "a restart while a call is under way makes it unknown", "B=crash,(DENIED)", "",
      "A:SU/SU+u B:UN/SU+u undoB:SU+c undoA:SU+c F:SU", "ENDED UN/SU FAILED" },

    { "the pivot is never answered: stuck, whatever its Catch says", "P=?", "",
      "A:SU+u B:SU+u P:UN", "STUCK UN/ sagamesh.Unknown" },
    { "the pivot is never done: stuck all the same", "P=!", "",
      "A:SU+u B:SU+u P:FA", "STUCK UN/ sagamesh.NotDone" },
    { "behind the pivot, refused: stuck", "D=NO", "",
      "A:SU+u B:SU+u P:SU D:FA", "STUCK UN/ sagamesh.Refused.NO" },
    { "behind the pivot, never answered: stuck", "D=?", "",
      "A:SU+u B:SU+u P:SU D:UN", "STUCK UN/ sagamesh.Unknown" },
    { "an undo is refused: stuck, and the rest stays", "P=NO undoB=NO", "",
      "A:SU+u B:SU/FA+u P:FA undoB:FA+c", "STUCK UN/UN sagamesh.Refused.NO" },
    { "after the trigger, refused: stuck", "A=NO F=NO", "",
      "A:FA+u F:FA", "STUCK UN/ sagamesh.Refused.NO" },
    { "after the trigger, never answered: stuck", "B=NO F=?", "",
      "A:SU/SU+u B:FA+u undoA:SU+c F:UN", "STUCK UN/SU sagamesh.Unknown" },

    { "cancelled during A: raised in B, never called", "A=cancel", "",
      "A:SU/SU+u B:FA+u undoA:SU+c F:SU", "ENDED UN/SU FAILED" },
    { "cancelled during B: raised in the pivot instead of entering it", "B=cancel", "",
      "A:SU/SU+u B:SU/SU+u P:FA undoB:SU+c undoA:SU+c F:SU", "ENDED UN/SU FAILED" },
    { "cancelled while unknown: its answer comes first", "A=?,cancel", "",
      "A:SU/SU+u B:FA+u undoA:SU+c F:SU", "ENDED UN/SU FAILED" },
    { "cancelled while it does nothing: at once", "A=cancel,!", "",
      "A:SU/SU+u B:FA+u undoA:SU+c F:SU", "ENDED UN/SU FAILED" },
    { "cancelled in the pivot: too late", "P=cancel", "",
      "A:SU+u B:SU+u P:SU D:SU", "ENDED SU/" },

    { "retry behind the pivot of what was refused: a new activation", "D=NO,ok", "r",
      "A:SU+u B:SU+u P:SU D:FA+ign D:SU", "ENDED SU/" },
    { "retry of what is unknown and has no undo: the same id", "D=days,ok", "r",
      "A:SU+u B:SU+u P:SU D:SU", "ENDED SU/" },
    { "retry of an undo that was refused", "P=NO undoB=NO,ok", "r",
      "A:SU/SU+u B:SU/SU+u P:FA undoB:FA+c+ign undoB:SU+c undoA:SU+c F:SU", "ENDED UN/SU FAILED" },
    { "retry of an undo of unknown outcome: the same id", "P=NO undoB=days,ok", "r",
      "A:SU/SU+u B:SU/SU+u P:FA undoB:SU+c undoA:SU+c F:SU", "ENDED UN/SU FAILED" },
    { "compensate goes on with an undo that was refused", "P=NO undoB=NO,ok", "c",
      "A:SU/SU+u B:SU/SU+u P:FA undoB:FA+c+ign undoB:SU+c undoA:SU+c F:SU", "ENDED UN/SU FAILED" },
    { "compensate at a pivot of unknown outcome: a person may", "P=days,ok", "c",
      "A:SU/SU+u B:SU/SU+u P:UN undoB:SU+c undoA:SU+c F:SU", "ENDED UN/SU FAILED" },
    { "compensate behind the pivot, when it was refused", "D=NO,ok", "c",
      "A:SU/SU+u B:SU/SU+u P:SU D:FA undoB:SU+c undoA:SU+c F:SU", "ENDED UN/SU FAILED" },
    { "compensate behind the pivot, when it may have happened: too late", "D=days,ok", "Cr",
      "A:SU+u B:SU+u P:SU D:SU", "ENDED SU/" },
    { "retry after the trigger", "A=NO F=NO,ok", "r",
      "A:FA+u F:FA+ign F:SU", "ENDED FA/ FAILED" },
    { "settled: behind the pivot it was done", "D=days", "d",
      "A:SU+u B:SU+u P:SU D:SU", "ENDED SU/" },
    { "settled: behind the pivot it was not done", "D=days", "f",
      "A:SU+u B:SU+u P:SU D:FA", "STUCK UN/ sagamesh.Refused.OPERATOR" },
    { "and then it may be undone", "D=days", "Cfc",
      "A:SU/SU+u B:SU/SU+u P:SU D:FA undoB:SU+c undoA:SU+c F:SU", "ENDED UN/SU FAILED" },
    { "and then it may be tried again, as a new activation", "D=days,ok", "fr",
      "A:SU+u B:SU+u P:SU D:FA+ign D:SU", "ENDED SU/" },
    { "settled: the pivot was done", "P=days", "d",
      "A:SU+u B:SU+u P:SU D:SU", "ENDED SU/" },
    { "settled: the pivot was not done, and leads back", "P=days", "f",
      "A:SU/SU+u B:SU/SU+u P:FA undoB:SU+c undoA:SU+c F:SU", "ENDED UN/SU FAILED" },
    { "settled: an undo was done by hand", "P=NO undoB=NO", "d",
      "A:SU/SU+u B:SU/SU+u P:FA undoB:SU+c undoA:SU+c F:SU", "ENDED UN/SU FAILED" },
    { "settled: the last undo was done by hand", "P=NO undoA=days", "d",
      "A:SU/SU+u B:SU/SU+u P:FA undoB:SU+c undoA:SU+c F:SU", "ENDED UN/SU FAILED" },
    { "settled: an undo was not done, and the next retry takes a new id", "P=NO undoB=days,ok", "fr",
      "A:SU/SU+u B:SU/SU+u P:FA undoB:FA+c+ign undoB:SU+c undoA:SU+c F:SU", "ENDED UN/SU FAILED" },
    { "settled: what follows the trigger was done", "A=NO F=NO", "d",
      "A:FA+u F:SU", "ENDED FA/ FAILED" },
    { "settled: it ends as it stands", "D=days", "e",
      "A:SU+u B:SU+u P:SU D:UN", "ENDED UN/ sagamesh.Operator" },
    { "settled: it ends half undone", "P=NO undoB=NO", "e",
      "A:SU+u B:SU/FA+u P:FA undoB:FA+c", "ENDED UN/UN sagamesh.Operator" },
    { "nothing to decide on what has ended", "", "RCDFE",
      "A:SU+u B:SU+u P:SU D:SU", "ENDED SU/" },
};
/* clang-format on */

/* Where Seata's behaviour is a known defect, and rows that need another machine. */
/* clang-format off */
static const struct {
    const char *what, *machine, *script, *trace, *end;
} others[] = {
    { "B3: what was caught, and did nothing, does not spoil the end",
      MACHINE("'A':{" TASK("A") ",'Catch':[{'Exceptions':['java.lang.Exception'],'Next':'B'}]},"
              "'B':{" TASK("B") ",'Next':'E'},'E':{'Type':'Succeed'}"),
      "A=NO", "A:FA B:SU", "ENDED SU/" },
    { "what was caught, and left nothing to undo if it happened, does not spoil the end",
      MACHINE("'A':{" TASK("A") ",'Catch':[{'Exceptions':['sagamesh.Unknown'],'Next':'B'}]},"
              "'B':{" TASK("B") ",'Next':'E'},'E':{'Type':'Succeed'}"),
      "A=?", "A:UN B:SU", "ENDED SU/" },
    { "what was caught, and may have changed something, does",
      MACHINE("'A':{" TASK("A") ",'IsForUpdate':true,'Catch':[{'Exceptions':['sagamesh.Unknown'],'Next':'B'}]},"
              "'B':{" TASK("B") ",'Next':'E'},'E':{'Type':'Succeed'}"),
      "A=?", "A:UN+u B:SU", "STUCK UN/" },
    { "B6: Status that makes an error none goes on, not to Catch",
      MACHINE("'A':{" TASK("A") ",'Status':{'$Exception{sagamesh.Refused.NO}':'SU'},"
              "'Catch':[{'Exceptions':['java.lang.Exception'],'Next':'F'}],'Next':'E'},"
              "'E':{'Type':'Succeed'},'F':{'Type':'Fail','ErrorCode':'CAUGHT'}"),
      "A=NO", "A:SU", "ENDED SU/" },
    { "Catch takes only its classes",
      MACHINE("'A':{" TASK("A") ",'Catch':[{'Exceptions':['sagamesh.Refused.OTHER'],'Next':'F'}]},"
              "'F':{'Type':'Fail','ErrorCode':'CAUGHT'}"),
      "A=NO", "A:FA", "ENDED FA/ sagamesh.Refused.NO" },
    { "no Status entry matches: stuck when it was an update",
      MACHINE("'A':{" TASK("A") ",'IsForUpdate':true,'Status':{'#root == null':'SU'}}"),
      "", "A:UN+u", "STUCK UN/ sagamesh.DefinitionError" },
    { "no choice matches",
      MACHINE("'A':{'Type':'Choice','Choices':[{'Expression':'[x] == 2','Next':'E'}]},"
              "'E':{'Type':'Succeed'}"),
      "", "", "ENDED FA/ sagamesh.DefinitionError" },
    { "choices that run in a circle",
      MACHINE("'A':{'Type':'Choice','Choices':[{'Expression':'[x] == 1','Next':'B'}],'Default':'E'},"
              "'B':{'Type':'Choice','Choices':[],'Default':'A'},'E':{'Type':'Succeed'}"),
      "", "", "STUCK UN/ sagamesh.DefinitionError" },
    { "an Input that cannot be evaluated is like a refusal: nothing was sent",
      MACHINE("'A':{" TASK("A") ",'Input':[{'a':'$.[missing].b'}],"
              "'Catch':[{'Exceptions':['sagamesh.DefinitionError'],'Next':'F'}]},"
              "'F':{'Type':'Fail','ErrorCode':'CAUGHT'}"),
      "", "A:FA", "ENDED FA/ CAUGHT" },
    { "an Output that cannot be evaluated: it happened, and is undone",
      MACHINE("'A':{" TASK("A") ",'CompensateState':'undoA','Output':{'a':'$.[value].b'},"
              "'Catch':[{'Exceptions':['java.lang.Throwable'],'Next':'T'}]},'undoA':{" TASK("undoA")
              "},'T':{'Type':'CompensationTrigger'}"),
      "", "A:UN/SU+u undoA:SU+c", "ENDED UN/SU" },
    { "Retry after a refusal asks under a new id",
      MACHINE("'A':{" TASK("A") ",'Retry':[{'Exceptions':['sagamesh.Refused.NO'],'MaxAttempts':2}]}"),
      "A=NO,NO,ok", "A:FA+ign A:FA+ign A:SU", "ENDED SU/" },
    { "Retry is spent",
      MACHINE("'A':{" TASK("A") ",'Retry':[{'Exceptions':['sagamesh.Refused.NO'],'MaxAttempts':2}]}"),
      "A=NO", "A:FA+ign A:FA+ign A:FA", "ENDED FA/ sagamesh.Refused.NO" },
    { "Retry without classes is for the network, and replaces the budget",
      MACHINE("'A':{" TASK("A") ",'Retry':[{'MaxAttempts':3,'IntervalSeconds':0.2,'BackoffRate':2}]}"),
      "A=!", "A:FA", "ENDED FA/ sagamesh.NotDone" },
    { "cancelled and nobody catches it: undone, and at the end",
      MACHINE("'A':{" TASK("A") ",'CompensateState':'undoA','Next':'B'},'B':{" TASK("B") "},"
              "'undoA':{" TASK("undoA") "}"),
      "A=cancel", "A:SU/SU+u B:FA undoA:SU+c", "ENDED UN/SU" },
    { "an update that nothing undoes: nothing is undone, a person decides",
      MACHINE("'A':{" TASK("A") ",'IsForUpdate':true,'Next':'B'},'B':{" TASK("B")
              ",'Catch':[{'Exceptions':['java.lang.Throwable'],'Next':'T'}]},"
              "'T':{'Type':'CompensationTrigger'}"),
      "B=NO", "A:SU+u B:FA", "STUCK UN/ sagamesh.DefinitionError" },
    { "a machine that ends UN without a compensation is stuck (B8)",
      MACHINE("'A':{" TASK("A") ",'CompensateState':'undoA','Next':'B'},'B':{" TASK("B") "},"
              "'undoA':{" TASK("undoA") "}"),
      "B=NO", "A:SU+u B:FA", "STUCK UN/ sagamesh.Refused.NO" },
};
/* clang-format on */

START_TEST(a_story)
{
    struct story story = { .script = stories[_i].script };
    struct driver driver = { .script = &story, .answer = story_answer };
    json_t *input = json_pack("{s:i}", "x", 1);
    char trace[2048], end[256];

    driver_open(&driver);
    driver_start(&driver, machine, input);
    while (driver_step(&driver))
        ;
    decide(&driver, stories[_i].what, stories[_i].operators);
    driver_trace(driver.instance, trace, sizeof trace);
    print_end(driver.instance, end, sizeof end);
    ck_assert_msg(strcmp(trace, stories[_i].trace) == 0, "%s: went\n  %s, not\n  %s",
                  stories[_i].what, trace, stories[_i].trace);
    ck_assert_msg(strcmp(end, stories[_i].end) == 0, "%s: ended %s, not %s", stories[_i].what, end,
                  stories[_i].end);
    driver_close(&driver);
    json_decref(input);
}
END_TEST

START_TEST(another_machine)
{
    struct story story = { .script = others[_i].script };
    struct driver driver = { .script = &story, .answer = story_answer };
    struct definition *definition = load(others[_i].machine), *usual = machine;
    json_t *input = json_pack("{s:i}", "x", 1);
    char trace[2048], end[256];

    machine = definition;
    driver_open(&driver);
    driver_start(&driver, definition, input);
    while (driver_step(&driver))
        ;
    driver_trace(driver.instance, trace, sizeof trace);
    print_end(driver.instance, end, sizeof end);
    ck_assert_msg(strcmp(trace, others[_i].trace) == 0, "%s: went\n  %s, not\n  %s",
                  others[_i].what, trace, others[_i].trace);
    ck_assert_msg(strcmp(end, others[_i].end) == 0, "%s: ended %s, not %s", others[_i].what, end,
                  others[_i].end);
    driver_close(&driver);
    json_decref(input);
    definition_free(definition);
    machine = usual;
}
END_TEST

/* Attempts of one activation keep its id and its request, and their times are the same whoever works
 * them out. */
START_TEST(attempts_share_an_id_and_back_off)
{
    struct story story = { .script = "A=!" };
    struct driver driver = { .script = &story, .answer = story_answer };
    json_t *input = json_object();
    int64_t last_us = 0, longest_us = 0;
    struct uuid id;

    driver_open(&driver);
    driver_start(&driver, machine, input);
    id = driver.instance->steps[0].activation;
    ck_assert_int_eq(id.bytes[6] >> 4, 8);
    while (driver.instance->step_count == 1 && driver_step(&driver)) {
        struct due due;

        if (driver.instance->current != 0 || !engine_is_call_due(driver.instance, driver.now_us))
            continue;
        engine_due(driver.instance, driver.now_us, &due);
        ck_assert(uuid_equal(due.calls[0].activation, id));
        ck_assert_int_eq(due.calls[0].timeout_us, 2 * SECOND_US);
        ck_assert_int_eq(due.calls[0].attempt, driver.instance->steps[0].attempts + 1);
        if (last_us != 0 && driver.now_us - last_us > longest_us)
            longest_us = driver.now_us - last_us;
        last_us = driver.now_us;
        due_free(&due);
    }
    ck_assert_int_gt(longest_us, 5 * SECOND_US);
    ck_assert_int_le(longest_us, 31 * SECOND_US);
    ck_assert_int_eq(driver.instance->steps[0].ended_us - driver.instance->steps[0].started_us,
                     600 * SECOND_US + 1000); /* one last time when the budget ends */
    driver_close(&driver);
    json_decref(input);
}
END_TEST

/* What ids a saga that is begun later_us after the time of its id calls under. */
static struct uuid
first_activation(int64_t later_us)
{
    struct story story = { .script = "" };
    struct driver driver = { .script = &story, .answer = story_answer };
    json_t *input = json_object();
    struct uuid id;

    driver_open(&driver);
    driver.now_us += later_us;
    driver_start(&driver, machine, input);
    id = driver.instance->steps[0].activation;
    driver_close(&driver);
    json_decref(input);
    return id;
}

/* A saga whose journal was lost is begun again, and finds under its old ids what it had done. */
START_TEST(a_saga_begun_again_calls_under_the_same_ids)
{
    struct uuid first = first_activation(0);
    int64_t first_us = uuid_time_us(first);

    ck_assert(uuid_equal(first_activation(SECOND_US), first));
    ck_assert(uuid_equal(first_activation(6 * DAY_US), first));
    /* Older ids are not stretched to the end of what is remembered; nor are there any from the future. */
    ck_assert_int_eq(uuid_time_us(first_activation(8 * DAY_US)), first_us + 8 * DAY_US);
    ck_assert_int_eq(uuid_time_us(first_activation(-SECOND_US)), first_us - SECOND_US);
}
END_TEST

/* Numbers that differ in their last digit differ, and the biggest there is can be told, too. */
START_TEST(a_start_is_known_by_every_digit)
{
    static const char *const inputs[] = {
        "{\"x\":0.1}", "{\"x\":0.1000000001}", "{\"x\":1e300}", "{\"x\":2e300}", "{\"x\":-1e300}",
        "{\"x\":1}",   "{\"x\":1.0}",          "{\"x\":true}",  "{\"x\":null}",  "{\"x\":\"1\"}",
        "{\"y\":1}",   "{\"x\":[1]}"
    };
    enum { COUNT = sizeof inputs / sizeof *inputs };
    uint64_t prints[COUNT];

    for (size_t i = 0; i < COUNT; i++) {
        json_t *input = json_loads(inputs[i], 0, NULL);

        prints[i] = start_fingerprint("m", input);
        json_decref(input);
        for (size_t j = 0; j < i; j++)
            ck_assert_msg(prints[i] != prints[j], "%s and %s", inputs[i], inputs[j]);
    }
}
END_TEST

/* After a restart the clock may be behind: what is due soon may have been sent already, and what is due
 * much later was not. */
/* clang-format off */
static const struct {
    const char *what, *retry;
    bool is_unknown;
} restarts[] = {
    { "the next attempt is due within a second",    "",                                                       true  },
    { "the next attempt is due in minutes",         ",'Retry':[{'IntervalSeconds':600,'MaxAttempts':3}]",     false },
};
/* clang-format on */

START_TEST(a_restart_with_a_clock_behind)
{
    struct story story = { .script = "A=!" };
    struct driver driver = { .script = &story, .answer = story_answer };
    const struct definition_options options = { .must_be_grpc = false };
    struct definition *definition;
    struct problem problem;
    char text[1024];
    json_t *input = json_object();
    const struct step *step;
    int64_t next_us;

    snprintf(text, sizeof text,
             "{'Name':'r','StartState':'A','States':{'A':{'Type':'ServiceTask','ServiceName':'s',"
             "'ServiceMethod':'A'%s,'Next':'E'},'E':{'Type':'Succeed'}}}",
             restarts[_i].retry);
    for (char *at = text; *at != '\0'; at++)
        *at = *at == '\'' ? '"' : *at;
    ck_assert_msg(definition_read(text, strlen(text), &options, &problem, &definition) == ERR_OK,
                  "%s %s", problem.field, problem.text);
    driver_open(&driver);
    driver_start(&driver, definition, input);
    ck_assert(driver_step(&driver));
    step = &driver.instance->steps[driver.instance->current];
    next_us = step->next_us;
    ck_assert_int_gt(next_us, driver.now_us);
    driver_tell(&driver, &(struct engine_event){ .kind = ENGINE_RECOVERED }, definition);
    ck_assert_msg(step->is_unknown == restarts[_i].is_unknown, "%s", restarts[_i].what);
    ck_assert_int_eq(step->next_us, next_us); /* asked again no sooner */
    driver_close(&driver);
    json_decref(input);
    definition_free(definition);
}
END_TEST

START_TEST(a_start_is_the_same_or_refused)
{
    struct story story = { .script = "" };
    struct driver driver = { .script = &story, .answer = story_answer };
    json_t *input = json_pack("{s:i,s:i}", "x", 1, "y", 2),
           *same = json_pack("{s:i,s:i}", "y", 2, "x", 1);
    json_t *other = json_pack("{s:i}", "x", 2), *array = json_array();

    driver_open(&driver);
    driver_start(&driver, machine, array);
    ck_assert_int_eq(driver.error, ERR_BAD_REQUEST);
    driver_start(&driver, machine, input);
    ck_assert_int_eq(driver.error, ERR_OK);
    driver_start(&driver, machine, same);
    ck_assert_int_eq(driver.error, ERR_OK);
    ck_assert_uint_eq(driver.records.count, 0);
    driver_start(&driver, machine, other);
    ck_assert_int_eq(driver.error, ERR_ID_REUSED);
    ck_assert(start_fingerprint("m", input) == start_fingerprint("m", same));
    ck_assert(start_fingerprint("m", input) != start_fingerprint("m", other));
    ck_assert(start_fingerprint("m", input) != start_fingerprint("n", input));
    driver_close(&driver);
    json_decref(input);
    json_decref(same);
    json_decref(other);
    json_decref(array);
}
END_TEST

/* What the engine alone puts into the context. */
/* clang-format off */
static const struct {
    const char *input, *rule; /* NULL: it starts */
} forged[] = {
    { "{'pay':{'claim':'TAKEN'}}",         "\"pay\": it is an event" },
    { "{'x':1,'pay':null}",                "\"pay\": it is an event" },
    { "{'_error_':{'reason':'NO_STOCK'}}", "\"_error_\": the engine sets it" },
    { "{'A_business_key_':'of another'}",  "_business_key_\": the engine sets" },
    { "{'nobody_business_key_':1}",        "_business_key_\": the engine sets" },
    { "{'_business_key_':1}",              "_business_key_\": the engine sets" },
    { "{'payment':{'claim':'TAKEN'},'x':{'pay':1,'_error_':2}}", NULL },
};
/* clang-format on */

START_TEST(a_start_forges_nothing)
{
    struct definition *definition =
        load(MACHINE("'A':{'Type':'WaitForEvent','Event':'pay','Until':'[pay]?.claim == null','"
                     "TimeoutSeconds':5,'Next':'E'},'E':{'Type':'Succeed'}"));
    struct story story = { .script = "" };
    struct driver driver = { .script = &story, .answer = story_answer };
    char *text = strdup(forged[_i].input);
    json_t *input;

    for (char *at = text; *at != '\0'; at++)
        *at = *at == '\'' ? '"' : *at;
    input = json_loads(text, 0, NULL);
    driver_open(&driver);
    driver_start(&driver, definition, input);
    ck_assert_msg((driver.error == ERR_OK) == (forged[_i].rule == NULL), "%s", text);
    if (forged[_i].rule != NULL) {
        ck_assert_int_eq(driver.error, ERR_BAD_REQUEST);
        ck_assert_str_eq(driver.problem.field, "input_json");
        ck_assert_msg(strstr(driver.problem.text, forged[_i].rule) != NULL, "%s",
                      driver.problem.text);
        ck_assert_ptr_null(driver.instance->definition);
    }
    driver_close(&driver);
    json_decref(input);
    definition_free(definition);
    free(text);
}
END_TEST

/* What a MarkFailed is told. */
START_TEST(the_error_is_in_the_context)
{
    struct story story = { .script = "B=NO_FUNDS" };
    struct driver driver = { .script = &story, .answer = story_answer };
    json_t *input = json_object(), *error;
    char id[UUID_TEXT_BYTES + 1];

    driver_open(&driver);
    driver_start(&driver, machine, input);
    while (driver_step(&driver))
        ;
    error = json_object_get(driver.instance->context, "_error_");
    ck_assert_str_eq(json_string_value(json_object_get(error, "class")),
                     "sagamesh.Refused.NO_FUNDS");
    ck_assert_str_eq(json_string_value(json_object_get(error, "reason")), "NO_FUNDS");
    ck_assert_str_eq(json_string_value(json_object_get(error, "state")), "B");
    ck_assert_str_eq(
        json_string_value(json_object_get(driver.instance->context, "A_business_key_")),
        uuid_print(driver.instance->steps[0].activation, id));
    driver_close(&driver);
    json_decref(input);
}
END_TEST

/* Four tasks, about ten records; a page holds those of hundreds of sagas. */
START_TEST(records_are_few_and_small)
{
    struct story story = { .script = "" };
    struct driver driver = { .script = &story, .answer = story_answer };
    json_t *input = json_object();
    struct json_writer writer = { 0 };
    size_t count = 0;

    driver_open(&driver);
    driver_start(&driver, machine, input);
    do {
        for (size_t i = 0; i < driver.records.count; i++, count++)
            record_write(&driver.records.items[i], &writer);
        records_reset(&driver.records);
    } while (driver_step(&driver));
    ck_assert_uint_eq(count, 10);
    ck_assert_uint_lt(writer.bytes, 2000);
    json_writer_free(&writer);
    driver_close(&driver);
    json_decref(input);
}
END_TEST

START_TEST(a_late_answer_is_ignored)
{
    struct story story = { .script = "" };
    struct driver driver = { .script = &story, .answer = story_answer };
    struct engine_event late = { .kind = ENGINE_ANSWER, .answer = { .outcome = OUTCOME_REFUSED } };
    json_t *input = json_object();

    driver_open(&driver);
    driver_start(&driver, machine, input);
    late.answer.activation = driver.instance->steps[0].activation;
    driver_step(&driver);
    driver_tell(&driver, &late, machine);
    ck_assert_uint_eq(driver.records.count, 0);
    while (driver_step(&driver))
        ;
    driver_tell(&driver, &late, machine);
    ck_assert_uint_eq(driver.records.count, 0);
    driver_close(&driver);
    json_decref(input);
}
END_TEST

int
main(void)
{
    TCase *tcase = check_case("rules");
    int failed;

    machine = load(machine_text);
    tcase_add_loop_test(tcase, a_story, 0, ROWS(stories));
    tcase_add_loop_test(tcase, another_machine, 0, ROWS(others));
    tcase_add_test(tcase, attempts_share_an_id_and_back_off);
    tcase_add_test(tcase, a_saga_begun_again_calls_under_the_same_ids);
    tcase_add_test(tcase, a_start_is_the_same_or_refused);
    tcase_add_test(tcase, a_start_is_known_by_every_digit);
    tcase_add_loop_test(tcase, a_start_forges_nothing, 0, ROWS(forged));
    tcase_add_loop_test(tcase, a_restart_with_a_clock_behind, 0, ROWS(restarts));
    tcase_add_test(tcase, the_error_is_in_the_context);
    tcase_add_test(tcase, records_are_few_and_small);
    tcase_add_test(tcase, a_late_answer_is_ignored);
    failed = check_run("engine_rules", tcase);
    definition_free(machine);
    return failed;
}
