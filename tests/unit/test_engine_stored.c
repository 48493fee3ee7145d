/* test_engine_stored.c -- Versions that were stored by an older program: they load by the checks of their
 * time, and a saga that comes to what cannot be done any more is stuck and says why.
 *
 * A saga begins on a machine that is fine, and comes so far as the first script says; then its row is read
 * again on the same machine as it was stored, with one thing in it that today cannot be read. Words of a
 * script: ok, ?, NO, gone (how a call is answered), retry, undo (operators), news (a signal), time.
 */
#include "mesh/base/clock.h"
#include "saga/engine/engine.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TASK(name) "'Type':'ServiceTask','ServiceName':'s','ServiceMethod':'" name "'"
#define CATCH(next) "'Catch':[{'Exceptions':['java.lang.Throwable'],'Next':'" next "'}]"

/* A (undone by U) -> W -> B -> C -> E; B is caught by T -> F. */
static const char machine_text[] =
    "{'Name':'m','StartState':'A','States':{"
    "'A':{" TASK("A") ",'CompensateState':'U','Input':[{'x':'$.[x]'}],'Next':'W'},"
                      "'U':{" TASK("U") "},"
                                        "'W':{'Type':'WaitForEvent','Event':'pay','Until':'[pay] "
                                        "!= null','TimeoutSeconds':60,'Next':'B'},"
                                        "'B':{" TASK("B") "," CATCH(
                                            "T") ",'Next':'C'},"
                                                 "'C':{'Type':'Choice','Choices':[{'Expression':'["
                                                 "x] == 1','Next':'E'}],'Default':'E'},"
                                                 "'T':{'Type':'CompensationTrigger','Next':'F'},"
                                                 "'F':{'Type':'Fail','ErrorCode':'FAILED'},"
                                                 "'E':{'Type':'Succeed'}}}";

/* clang-format off */
static const struct {
    const char *what;
    const char *from, *to; /* what of the text is another in the stored version */
    const char *before, *after; /* scripts */
    const char *end; /* phase, status of the last step, and what its message has */
} rows[] = {
    { "as it was",                         NULL, NULL, "", "ok news ok", "ENDED SU " },
    { "a type that is no more, under way", "'A':{'Type':'ServiceTask'", "'A':{'Type':'Teleport'", "?", "", "STUCK UN Type" },
    { "and a retry finds it so",           "'A':{'Type':'ServiceTask'", "'A':{'Type':'Teleport'", "?", "retry", "STUCK UN Type" },
    { "and it cannot be undone",           "'A':{'Type':'ServiceTask'", "'A':{'Type':'Teleport'", "?", "undo", "STUCK UN A happened" },
    { "an Input that cannot be read, under way", "'$.[x]'", "'$.[x'", "?", "", "STUCK UN Input" },
    { "and it is undone",                  "'$.[x]'", "'$.[x'", "?", "undo ok", "ENDED SU " },
    { "a wait under way",                  "'[pay] != null'", "'[pay'", "ok", "", "STUCK UN Until" },
    { "a wait under way hears news first", "'[pay] != null'", "'[pay'", "ok", "news", "STUCK UN Until" },
    { "a wait that is retried",            "'[pay] != null'", "'[pay'", "ok", "retry", "STUCK UN Until" },
    { "a wait that is undone",             "'[pay] != null'", "'[pay'", "ok", "undo ok", "ENDED SU " },
    { "a task ahead",                      "'B':{'Type':'ServiceTask'", "'B':{'Type':'Nap'", "", "ok news", "STUCK SU B: Type" },
    { "a task ahead without a name",       "'ServiceName':'s','ServiceMethod':'B'", "'ServiceMethod':'B'", "", "ok news", "STUCK SU B: ServiceName" },
    { "a task ahead that leads nowhere",   "'Next':'C'}", "'Next':'X'}", "", "ok news", "STUCK SU B: Next" },
    { "a choice ahead",                    "'[x] == 1'", "'[x] =='", "", "ok news ok", "STUCK SU C: Choices" },
    { "an undo ahead",                     "'U':{'Type':'ServiceTask'", "'U':{'Type':'Nap'", "", "ok news NO", "STUCK FA U: Type" },
    { "an undo ahead, retried",            "'U':{'Type':'ServiceTask'", "'U':{'Type':'Nap'", "", "ok news NO retry", "STUCK FA U: Type" },
    { "an undo that is no task",           "'U':{'Type':'ServiceTask'", "'U':{'Type':'Succeed'", "", "ok news NO", "STUCK FA no task" },
    { "an undo that is not there",         "'CompensateState':'U'", "'CompensateState':'X'", "ok", "", "WAITING RU " },
    { "a trigger ahead",                   "'T':{'Type':'CompensationTrigger'", "'T':{'Type':'Trigger'", "", "ok news NO", "STUCK FA T: Type" },
    { "an end ahead",                      "'F':{'Type':'Fail'", "'F':{'Type':'Sulk'", "", "ok news NO ok", "STUCK SU F: Type" },
    { "a budget out of today's range",     "'Next':'W'", "'BudgetSeconds':99999999,'Next':'W'", "", "ok news ok", "ENDED SU " },
    { "a budget of nothing",               "'Next':'W'", "'BudgetSeconds':0,'Next':'W'", "", "ok news ok", "ENDED SU " },
    { "keys that are refused today",       "'Next':'W'", "'IsAsync':true,'Loop':{'Parallel':1},'Next':'W'", "", "ok news ok", "ENDED SU " },
    { "a request's id in an Input",        "{'x':'$.[x]'}", "{'requestId':'mine'}", "", "ok news ok", "ENDED SU " },
    { "two pivots",                        "'Next':'W'", "'Pivot':true,'Next':'W'", "", "ok news ok", "ENDED SU " },
    { "a circle without a way out",        "'E':{'Type':'Succeed'}", "'E':{'Type':'Choice','Choices':[],'Default':'C'}", "", "ok news ok", "STUCK SU circle" },
    { "an event's name with a blank",      "'pay','Until'", "'p y','Until'", "", "ok time", "STUCK FA no p y" },
    { "no start",                          "'StartState':'A',", "", "", "ok news ok", "ENDED SU " },
    { "a method that is gone",             NULL, NULL, "", "gone", "STUCK UN it is gone" },
    { "a method that is gone, and is back: undone, and asked anew", NULL, NULL, "", "gone retry ok ok news ok", "ENDED SU " },
    { "an undo's method that is gone",     NULL, NULL, "", "ok news NO gone", "STUCK FA it is gone" },
};
/* clang-format on */

static char *
json_text(const char *quoted)
{
    char *text = strdup(quoted);

    for (char *at = text; *at != '\0'; at++)
        *at = *at == '\'' ? '"' : *at;
    return text;
}

static struct definition *
load(const char *text, bool is_stored)
{
    const struct definition_options options = { .is_stored = is_stored };
    struct definition *definition = NULL;
    struct problem problem = { 0 };

    ck_assert_msg(definition_read(text, strlen(text), &options, &problem, &definition) == ERR_OK,
                  "%s: %s %s", text, problem.field, problem.text);
    return definition;
}

static char *
changed(const char *text, const char *from, const char *to)
{
    const char *at = from == NULL ? NULL : strstr(text, from);
    char *other = calloc(1, strlen(text) + 256);

    ck_assert_msg(from == NULL || at != NULL, "%s is not in the machine", from);
    if (at == NULL)
        snprintf(other, strlen(text) + 256, "%s", text);
    else
        snprintf(other, strlen(text) + 256, "%.*s%s%s", (int)(at - text), text, to,
                 at + strlen(from));
    return other;
}

static const struct definition *
find_any(void *context, const char *name, const char *hash)
{
    (void)name;
    (void)hash;
    return context;
}

static void
tell(struct instance *instance, const struct engine_event *event, int64_t now_us,
     struct problem *problem)
{
    struct records records = { 0 };

    engine_decide(instance, event, now_us, &records, problem);
    records_free(&records);
}

static void
answer(struct instance *instance, const char *word, int64_t *now_us)
{
    struct engine_event event = { .kind = ENGINE_ANSWER };
    struct problem problem;
    struct due due;

    engine_due(instance, *now_us, &due);
    if (due.call_count == 0 && due.look_again_us > *now_us) {
        *now_us = due.look_again_us;
        engine_due(instance, *now_us, &due);
    }
    ck_assert_msg(due.call_count == 1, "%s: nothing is due", word);
    event.answer.activation = due.calls[0].activation;
    event.answer.outcome = word[0] == '?'              ? OUTCOME_UNKNOWN
                           : strcmp(word, "NO") == 0   ? OUTCOME_REFUSED
                           : strcmp(word, "gone") == 0 ? OUTCOME_IMPOSSIBLE
                                                       : OUTCOME_OK;
    event.answer.reason = "NO";
    event.answer.message = "it is gone";
    event.answer.is_stored = true;
    due_free(&due);
    tell(instance, &event, *now_us, &problem);
}

static void
play(struct instance *instance, const char *script, int64_t *now_us)
{
    char copy[128], *rest = NULL;
    struct problem problem;

    snprintf(copy, sizeof copy, "%s", script);
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        struct engine_event event = { .kind = ENGINE_RETRY };

        *now_us += 1000;
        if (strcmp(word, "retry") == 0 || strcmp(word, "undo") == 0) {
            event.kind = word[0] == 'r' ? ENGINE_RETRY : ENGINE_COMPENSATE;
            tell(instance, &event, *now_us, &problem);
        } else if (strcmp(word, "news") == 0) {
            event.kind = ENGINE_SIGNAL;
            event.signal = (struct signal_news){ instance->id, "pay", 1, json_object() };
            tell(instance, &event, *now_us, &problem);
            json_decref(event.signal.payload);
        } else if (strcmp(word, "time") == 0) {
            *now_us += 3600 * SECOND_US;
            event.kind = ENGINE_DUE;
            tell(instance, &event, *now_us, &problem);
        } else {
            answer(instance, word, now_us);
        }
    }
}

START_TEST(a_saga_of_a_stored_version)
{
    char *text = json_text(machine_text);
    char *from = rows[_i].from == NULL ? NULL : json_text(rows[_i].from);
    char *to = rows[_i].to == NULL ? NULL : json_text(rows[_i].to);
    char *stored_text = changed(text, from, to);
    struct definition *definition = load(text, false), *stored = load(stored_text, true);
    int64_t now_us = INT64_C(1790000000000000);
    struct instance *first = instance_new(uuid_v8(now_us, "stored", 6)), *instance = NULL;
    struct json_writer writer = { 0 };
    json_t *input = json_pack("{s:i}", "x", 1);
    struct engine_event start = { .kind = ENGINE_START, .definition = definition, .input = input };
    struct problem problem;
    char end[64];

    tell(first, &start, now_us, &problem);
    play(first, rows[_i].before, &now_us);
    instance_write(first, &writer);
    ck_assert_int_eq(
        instance_read(writer.text, writer.bytes, find_any, stored, &problem, &instance), ERR_OK);
    tell(instance, &(struct engine_event){ .kind = ENGINE_RECOVERED }, now_us, &problem);
    play(instance, rows[_i].after, &now_us);
    json_writer_reset(&writer);
    instance_history(instance, &writer); /* it can be shown */
    snprintf(end, sizeof end, "%s %s ", phase_text(instance_phase(instance)),
             status_text(instance->steps[instance->step_count - 1].status));
    ck_assert_msg(strncmp(end, rows[_i].end, strlen(end)) == 0, "%s: %s, %s", rows[_i].what, end,
                  instance->error_message);
    ck_assert_msg(rows[_i].end[strlen(end)] == '\0' ||
                      strstr(instance->error_message, rows[_i].end + strlen(end)) != NULL,
                  "%s: says %s", rows[_i].what, instance->error_message);
    json_writer_free(&writer);
    instance_free(first);
    instance_free(instance);
    json_decref(input);
    definition_free(definition);
    definition_free(stored);
    free(text);
    free(from);
    free(to);
    free(stored_text);
}
END_TEST

/* What nothing can be made of. Its sagas cannot be folded; who reads them sees to that. */
START_TEST(some_are_no_definitions)
{
    static const char *const texts[] = { "",
                                         "{",
                                         "[]",
                                         "{}",
                                         "{\"Name\":\"n\"}",
                                         "{\"Name\":\"n\",\"States\":{}}",
                                         "{\"Name\":\"n\",\"States\":[]}",
                                         "{\"States\":{\"A\":{}}}" };
    const struct definition_options options = { .is_stored = true };
    struct definition *definition = NULL;
    struct problem problem = { 0 };

    ck_assert_int_eq(definition_read(texts[_i], strlen(texts[_i]), &options, &problem, &definition),
                     ERR_BAD_REQUEST);
    ck_assert_str_ne(problem.text, "");
}
END_TEST

int
main(void)
{
    TCase *tcase = check_case("stored");

    tcase_add_loop_test(tcase, a_saga_of_a_stored_version, 0, ROWS(rows));
    tcase_add_loop_test(tcase, some_are_no_definitions, 0, 8);
    return check_run("engine_stored", tcase);
}
