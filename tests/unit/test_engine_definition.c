/* test_engine_definition.c -- What loads, what is refused, and where the refusal points. */
#include "mesh/base/clock.h"
#include "tests/support/check.h"
#include "tests/support/engine/shipped.h"

#include <string.h>

#define TASK "'Type':'ServiceTask','ServiceType':'GRPC','ServiceName':'s','ServiceMethod':'m'"
#define MACHINE(states) "{'Name':'n','StartState':'A','States':{" states "}}"
#define WAIT(keys) MACHINE("'A':{'Type':'WaitForEvent'," keys "},'E':{'Type':'Succeed'}")
#define WITH_A(keys) MACHINE("'A':{" TASK "," keys "},'E':{'Type':'Succeed'}")

/* clang-format off */
static const struct {
    const char *what, *text, *field, *rule; /* rule: part of the text; NULL: it loads */
} rows[] = {
    { "no JSON",                  "{",                                     "",                     "must be whole JSON" },
    { "no object",                "[]",                                    "",                     "must be a JSON object" },
    { "no name",                  "{'States':{}}",                         "Name",                 "must have 1 to" },
    { "no states",                "{'Name':'n','States':{}}",              "States",               "must be an object" },
    { "no start",                 "{'Name':'n','States':{'E':{'Type':'Succeed'}}}", "StartState",  "is missing" },
    { "a start that is not there", "{'Name':'n','StartState':'X','States':{'E':{'Type':'Succeed'}}}", "StartState", "does not exist" },
    { "the same state twice",     MACHINE("'A':{'Type':'Succeed'},'A':{'Type':'Fail'}"), "",       "must not have a member twice" },
    { "a designer's file",        "{'nodes':[],'edges':[]}",               "nodes",                "designer" },
    { "no type",                  MACHINE("'A':{}"),                       "States.A.Type",        "is missing" },
    { "a type nobody knows",      MACHINE("'A':{'Type':'Nap'}"),           "States.A.Type",        "\"Nap\" is no state type" },
    { "ScriptTask",               MACHINE("'A':{'Type':'ScriptTask'}"),    "States.A.Type",        "\"ScriptTask\" is not supported yet" },
    { "SubStateMachine",          MACHINE("'A':{'Type':'SubStateMachine'}"), "States.A.Type",      "\"SubStateMachine\" is not supported yet" },
    { "CompensateSubMachine",     MACHINE("'A':{'Type':'CompensateSubMachine'}"), "States.A.Type", "\"CompensateSubMachine\" is not supported yet" },
    { "Fork",                     MACHINE("'A':{'Type':'Fork'}"),          "States.A.Type",        "\"Fork\" is not supported yet" },
    { "Loop",                     WITH_A("'Loop':{'Parallel':2}"),         "States.A.Loop",        "not supported yet" },
    { "IsAsync",                  WITH_A("'IsAsync':true"),                "States.A.IsAsync",     "not supported yet" },

    { "no service",               MACHINE("'A':{'Type':'ServiceTask','ServiceMethod':'m'}"), "States.A.ServiceName", "is missing" },
    { "no method",                MACHINE("'A':{'Type':'ServiceTask','ServiceName':'s'}"), "States.A.ServiceMethod", "is missing" },
    { "another kind of service",  MACHINE("'A':{'Type':'ServiceTask','ServiceName':'s','ServiceMethod':'m'}"), "States.A.ServiceType", "GRPC" },
    { "a Next that is not there", WITH_A("'Next':'X'"),                    "States.A.Next",        "\"X\" does not exist" },
    { "a Next that is no name",   WITH_A("'Next':1"),                      "States.A.Next",        "must be a text" },
    { "an undo that is not there", WITH_A("'CompensateState':'X'"),        "States.A.CompensateState", "does not exist" },
    { "an undo that is no task",  WITH_A("'CompensateState':'E'"),         "States.A.CompensateState", "must name a ServiceTask" },
    { "an undo of itself",        WITH_A("'CompensateState':'A'"),         "States.A.CompensateState", "not itself undone" },
    { "requestId in Input",       WITH_A("'Input':[{'requestId':'x'}]"),   "States.A.Input",       "the engine fills it in" },
    { "request_id in Input",      WITH_A("'Input':[{'request_id':'x'}]"),  "States.A.Input",       "the engine fills it in" },
    { "two requests",             WITH_A("'Input':[{},{}]"),               "States.A.Input",       "one object" },
    { "Input that is no array",   WITH_A("'Input':{}"),                    "States.A.Input",       "must be an array" },
    { "a bad expression deep in Input", WITH_A("'Input':[{'a':{'b':['$.[x']}}]"), "States.A.Input", "must end with ]" },
    { "an expression of another type", WITH_A("'Input':[{'a':'$Sequence.X|SIMPLE'}]"), "States.A.Input", "$Sequence" },
    { "a bad Output",             WITH_A("'Output':{'a':'$.T(java.lang.Runtime)'}"), "States.A.Output", "not supported" },
    { "a bad Status",             WITH_A("'Status':{'#root ==':'SU'}"),    "States.A.Status",      "missing" },
    { "a status that is none",    WITH_A("'Status':{'#root == null':'OK'}"), "States.A.Status",    "SU, FA, UN or SK" },
    { "Catch without Next",       WITH_A("'Catch':[{'Exceptions':['x']}]"), "States.A.Catch",      "needs Exceptions and Next" },
    { "Catch that leads nowhere", WITH_A("'Catch':[{'Exceptions':['x'],'Next':'X'}]"), "States.A.Next", "does not exist" },
    { "Retry without MaxAttempts", WITH_A("'Retry':[{}]"),                 "States.A.Retry",       "needs MaxAttempts" },
    { "Retry with a negative interval", WITH_A("'Retry':[{'MaxAttempts':1,'IntervalSeconds':-1}]"), "States.A.IntervalSeconds", "from 0" },
    { "too many Retry entries",   WITH_A("'Retry':[{'MaxAttempts':1},{'MaxAttempts':1},{'MaxAttempts':1},{'MaxAttempts':1},{'MaxAttempts':1}]"), "States.A.Retry", "more than" },
    { "a timeout of nothing",     WITH_A("'AttemptTimeoutMs':0"),          "States.A.AttemptTimeoutMs", "from 1" },
    { "a budget past what ids live", WITH_A("'BudgetSeconds':99999999"),   "States.A.BudgetSeconds", "from 1" },
    { "two pivots",               MACHINE("'A':{" TASK ",'Pivot':true,'Next':'B'},'B':{" TASK ",'Pivot':true}"), "States.B.Pivot", "one pivot" },
    { "a choice without choices", MACHINE("'A':{'Type':'Choice'}"),        "States.A.Choices",     "is missing" },
    { "a choice that leads nowhere", MACHINE("'A':{'Type':'Choice','Choices':[{'Expression':'[a] == 1','Next':'X'}]}"), "States.A.Next", "does not exist" },
    { "a choice without expression", MACHINE("'A':{'Type':'Choice','Choices':[{'Next':'A'}]}"), "States.A.Choices", "Expression" },
    { "a circle",                 MACHINE("'A':{" TASK ",'Next':'B'},'B':{" TASK ",'Next':'A'}"), "States.A.Next", "circle" },
    { "a circle of one",          MACHINE("'A':{" TASK ",'Next':'A'}"),    "States.A.Next",        "circle" },

    { "a wait for nothing",       WAIT("'Until':'true','TimeoutSeconds':1"), "States.A.Event",     "must be 1 to 64" },
    { "a wait for a name that is none", WAIT("'Event':'a b','Until':'true','TimeoutSeconds':1"), "States.A.Event", "letters" },
    { "a wait without Until",     WAIT("'Event':'e','TimeoutSeconds':1"),  "States.A.Until",       "is missing" },
    { "a wait without end",       WAIT("'Event':'e','Until':'true'"),      "States.A.TimeoutSeconds", "must end" },
    { "a wait with a bad Deadline", WAIT("'Event':'e','Until':'true','TimeoutSeconds':1,'Deadline':'[x'"), "States.A.Deadline", "must end with ]" },
    { "a wait that times out to nowhere", WAIT("'Event':'e','Until':'true','TimeoutSeconds':1,'TimeoutNext':'X'"), "States.A.TimeoutNext", "does not exist" },
    { "a wait as an undo",        MACHINE("'A':{" TASK ",'CompensateState':'W'},'W':{'Type':'WaitForEvent','Event':'e','Until':'true','TimeoutSeconds':1}"), "States.A.CompensateState", "must name a ServiceTask" },
    { "a wait whose only way out is its end in time", WAIT("'Event':'e','Until':'true','TimeoutSeconds':1,'Next':'A','TimeoutNext':'E'"), NULL, NULL },

    { "an Output that forges news", WITH_A("'Output':{'pay':'$.[x]'},'Next':'W'},'W':{'Type':'WaitForEvent','Event':'pay','Until':'true','TimeoutSeconds':1"), "States.A.Output", "\"pay\": it is an event" },
    { "an Output that forges an error", WITH_A("'Output':{'a':'$.[x]','_error_':'$.[x]'}"), "States.A.Output", "\"_error_\"" },
    { "an Output that forges an id", WITH_A("'Output':{'A_business_key_':'$.[x]'}"), "States.A.Output", "_business_key_\": the engine sets" },
    { "an Output that forges another's id", WITH_A("'Output':{'Nobody_business_key_':'x'}"), "States.A.Output", "_business_key_\": the engine sets" },
    { "an event that is called like the error", WAIT("'Event':'_error_','Until':'true','TimeoutSeconds':1"), "States.A.Event", "the engine itself sets" },
    { "an event that is called like an id", WAIT("'Event':'A_business_key_','Until':'true','TimeoutSeconds':1"), "States.A.Event", "the engine itself sets" },
    { "an Output with a name like it", WITH_A("'Output':{'_error':'$.[x]','business_key_':'$.[x]','payment':'$.[x]'}"), NULL, NULL },

    { "the least there is",       MACHINE("'A':{'Type':'Succeed'}"),       NULL,                   NULL },
    { "keys nobody knows",        MACHINE("'A':{'Type':'Succeed','listener':1}"), NULL,            NULL },
    { "a circle with a way out",  MACHINE("'A':{" TASK ",'Next':'C'},'C':{'Type':'Choice','Choices':[{'Expression':'[a] == 1','Next':'A'}],'Default':'E'},'E':{'Type':'Succeed'}"), NULL, NULL },
};

static const struct {
    const char *what, *text, *warning; /* NULL: none */
} warnings[] = {
    { "fine",                WITH_A("'Next':'E'"),                                     NULL },
    { "unreachable",         MACHINE("'A':{'Type':'Succeed'},'B':{'Type':'Fail'}"),    "States.B: nothing leads to it" },
    { "an update for ever",  WITH_A("'IsForUpdate':true,'Next':'E'"),                  "nothing undoes it" },
    { "no Default",          MACHINE("'A':{'Type':'Choice','Choices':[{'Expression':'[a] == 1','Next':'E'}]},'E':{'Type':'Succeed'}"), "has no Default" },
    { "a hold too short",    WITH_A("'Input':[{'holdSeconds':599}],'Next':'E'"),       "its hold of 599 s may expire: the budgets up to the pivot are 600 s" },
    { "a hold long enough",  WITH_A("'Input':[{'hold_seconds':600}],'Next':'E'"),      NULL },
    { "a hold for ever",     WITH_A("'Input':[{'holdSeconds':9223372036854775807}],'Next':'E'"), NULL },
    { "a hold shorter than a wait", WITH_A("'Input':[{'holdSeconds':700}],'Next':'W'},'W':{'Type':'WaitForEvent','Event':'e','Until':'true','TimeoutSeconds':101,'Next':'E'"), "the budgets up to the pivot are 701 s" },
    { "a wait that ends elsewhere in time", WITH_A("'Next':'W'},'W':{'Type':'WaitForEvent','Event':'e','Until':'true','TimeoutSeconds':101,'TimeoutNext':'E'"), NULL },
    { "an update behind a trigger", MACHINE("'A':{" TASK ",'CompensateState':'U','Next':'T'},'U':{" TASK "},'T':{'Type':'CompensationTrigger','Next':'B'},'B':{" TASK ",'CompensateState':'U'}"), "States.B: may be done behind a CompensationTrigger" },
    { "a task behind a trigger", MACHINE("'A':{" TASK ",'CompensateState':'U','Next':'T'},'U':{" TASK "},'T':{'Type':'CompensationTrigger','Next':'B'},'B':{" TASK "}"), NULL },
    { "the pivot does not count", MACHINE("'A':{" TASK ",'Input':[{'holdSeconds':600}],'Next':'P'},'P':{" TASK ",'Pivot':true}"), NULL },
};
/* clang-format on */

static enum error
read_quoted(const char *quoted, struct problem *problem, struct definition **ret_definition)
{
    static const struct definition_options options = { .must_be_grpc = true };
    char *text = strdup(quoted);
    enum error error;

    for (char *at = text; *at != '\0'; at++)
        *at = *at == '\'' ? '"' : *at;
    error = definition_read(text, strlen(text), &options, problem, ret_definition);
    free(text);
    return error;
}

START_TEST(a_definition_is_checked)
{
    struct definition *definition = NULL;
    struct problem problem = { 0 };
    enum error error = read_quoted(rows[_i].text, &problem, &definition);

    if (rows[_i].rule == NULL) {
        ck_assert_msg(error == ERR_OK, "%s: %s %s", rows[_i].what, problem.field, problem.text);
        definition_free(definition);
        return;
    }
    ck_assert_msg(error == ERR_BAD_REQUEST, "%s: loads", rows[_i].what);
    ck_assert_msg(strcmp(problem.field, rows[_i].field) == 0, "%s: points at %s", rows[_i].what,
                  problem.field);
    ck_assert_msg(strstr(problem.text, rows[_i].rule) != NULL, "%s: says %s", rows[_i].what,
                  problem.text);
}
END_TEST

START_TEST(a_definition_is_warned_of)
{
    struct definition *definition;
    struct problem problem;

    ck_assert_msg(read_quoted(warnings[_i].text, &problem, &definition) == ERR_OK, "%s: %s %s",
                  warnings[_i].what, problem.field, problem.text);
    if (warnings[_i].warning == NULL) {
        ck_assert_msg(definition->warning_count == 0, "%s: warns", warnings[_i].what);
    } else {
        ck_assert_msg(definition->warning_count == 1, "%s", warnings[_i].what);
        ck_assert_msg(strstr(definition->warnings[0], warnings[_i].warning) != NULL, "%s: %s",
                      warnings[_i].what, definition->warnings[0]);
    }
    definition_free(definition);
}
END_TEST

/* The flows that are shipped load without a word, and their pivots come before their marks. */
START_TEST(shipped_flows_are_fine)
{
    static const char *const names[] = { "order_create_saga", "seat_sale" };
    struct definition *definition = shipped_definition(names[_i]);
    const struct state *pivot = NULL;

    ck_assert_str_eq(definition->name, names[_i]);
    ck_assert_msg(definition->warning_count == 0, "%s",
                  definition->warning_count == 0 ? "" : definition->warnings[0]);
    ck_assert_uint_eq(strlen(definition->hash), 64);
    for (size_t i = 0; i < definition->state_count; i++) {
        if (definition->states[i].is_pivot)
            pivot = &definition->states[i];
    }
    ck_assert_ptr_nonnull(pivot);
    ck_assert_str_eq(pivot->method, "Confirm");
    ck_assert_str_eq(definition->states[pivot->next].method, "MarkPaid");
    definition_free(definition);
}
END_TEST

START_TEST(a_hash_is_of_the_bytes)
{
    struct definition *definition;
    struct problem problem;

    ck_assert_int_eq(read_quoted("{'Name':'n','StartState':'A','States':{'A':{'Type':'Succeed'}}}",
                                 &problem, &definition),
                     ERR_OK);
    ck_assert_str_eq(definition->hash,
                     "f4cfcaebaaa6358f8bcd2a8721c9fe7f0f19a62c60811ed13e554639d29c38ab");
    definition_free(definition);
}
END_TEST

int
main(void)
{
    TCase *tcase = check_case("definition");

    tcase_add_loop_test(tcase, a_definition_is_checked, 0, ROWS(rows));
    tcase_add_loop_test(tcase, a_definition_is_warned_of, 0, ROWS(warnings));
    tcase_add_loop_test(tcase, shipped_flows_are_fine, 0, 2);
    tcase_add_test(tcase, a_hash_is_of_the_bytes);
    return check_run("engine_definition", tcase);
}
