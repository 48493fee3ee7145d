/* test_engine_stands.c -- What is left, where a saga stands, and who may try again: ends that must not say that
 * all was undone, a compensation that stopped, reads, Retry beside a budget, and a retry from where the saga
 * stands. Scripts and operators are those of engine/story.h.
 */
#include "mesh/base/clock.h"
#include "tests/support/check.h"
#include "tests/support/engine/story.h"

#include <string.h>

#define CATCH(next) "'Catch':[{'Exceptions':['java.lang.Throwable'],'Next':'" next "'}]"
#define UNDO(name) "'undo" name "':{" TASK("undo" name) "}"

/* A -> X, both caught by T; behind it B, which has an undo. */
#define BEHIND                                                                                     \
    MACHINE("'A':{" TASK("A") ",'CompensateState':'undoA'," CATCH(                                 \
        "T") ",'Next':'X'},"                                                                       \
             "'X':{" TASK("X") "," CATCH(                                                          \
                 "T") "},'T':{'Type':'CompensationTrigger','Next':'B'},"                           \
                      "'B':{" TASK("B") ",'CompensateState':'undoB'}," UNDO("A") "," UNDO("B"))
/* The same, and D behind B. */
#define LATER                                                                                      \
    MACHINE("'A':{" TASK("A") ",'CompensateState':'undoA'," CATCH(                                 \
        "T") "},'T':{'Type':'CompensationTrigger','Next':'B'},"                                    \
             "'B':{" TASK("B") ",'CompensateState':'undoB','Next':'D'},'D':{" TASK("D") "}," UNDO( \
                 "A") "," UNDO("B"))
/* A -> B -> X, which leads to the undoing of both. */
#define UNDOES(keys)                                                                                                 \
    MACHINE("'A':{" TASK("A") ",'CompensateState':'undoA','Next':'B'},'B':{" TASK(                                   \
        "B") ",'CompensateState':'undoB','Next':'X'},'X':{" TASK("X") "," CATCH("T") "},"                            \
                                                                                     "'T':{'Type'"                   \
                                                                                     ":'"                            \
                                                                                     "Compensatio"                   \
                                                                                     "nTrigger','"                   \
                                                                                     "Next':'E'},"                   \
                                                                                     "'E':{'Type'"                   \
                                                                                     ":'Succeed'}"                   \
                                                                                     "," UNDO("A") ",'undoB':{" keys \
                                                                                         TASK(                       \
                                                                                             "und"                   \
                                                                                             "oB") "}")
#define RETRIED(class, keys)                                                                       \
    MACHINE("'A':{" keys TASK(                                                                     \
        "A") ",'Retry':[{'Exceptions':['" class "'],'MaxAttempts':2,'IntervalSeconds':600}]}")
#define READ(keys)                                                                                 \
    MACHINE("'A':{" keys TASK("A") ",'IsForUpdate':false," CATCH("B") "},'B':{" TASK(              \
        "B") ",'Next':'F'},'F':{'Type':'Fail','ErrorCode':'X'}")
#define READ_LATE(keys)                                                                            \
    "{'Name':'m','StartState':'P','States':{'P':{" TASK(                                           \
        "P") ",'Pivot':true,'Next':'A'},'A':{" TASK("A") ",'IsForUpdate':false" keys               \
                                                         "},'E':{'Type':'Succeed'}}}"

/* clang-format off */
static const struct {
    const char *what, *machine, *script, *trace, *end;
    const char *operators; /* NULL: none */
} rows[] = {
    { "what was done behind the trigger is held: that is no UN/SU", BEHIND, "A=NO,ok",
      "A:FA+u B:SU+u", "ENDED SU/", NULL },
    { "what was done behind the trigger, after something was undone", BEHIND, "X=NO",
      "A:SU/SU+u X:FA undoA:SU+c B:SU+u", "STUCK UN/UN sagamesh.DefinitionError", NULL },
    { "and a retry finds it so", BEHIND, "X=NO",
      "A:SU/SU+u X:FA undoA:SU+c B:SU+u", "STUCK UN/UN sagamesh.DefinitionError", "r" },
    { "and compensate undoes it, too", BEHIND, "X=NO",
      "A:SU/SU+u X:FA undoA:SU+c B:SU/SU+u undoB:SU+c", "ENDED UN/SU", "c" },
    { "refused behind the trigger, with something held: undone, and then it goes on there", LATER,
      "A=NO,ok D=NO,ok", "A:FA+u B:SU/SU+u D:FA undoB:SU+c D:SU", "ENDED UN/SU", "c" },

    { "FA: nothing was undone, and more is left", UNDOES("'Catch':[{'Exceptions':['java.lang.Throwable'],'Next':'E'}],"),
      "X=NO undoB=NO", "A:SU+u B:SU/FA+u X:FA undoB:FA+c", "STUCK UN/FA sagamesh.Refused.NO", NULL },
    { "UN: the same without a Catch", UNDOES(""),
      "X=NO undoB=NO", "A:SU+u B:SU/FA+u X:FA undoB:FA+c", "STUCK UN/UN sagamesh.Refused.NO", NULL },
    { "UN: one was undone before", UNDOES(""),
      "X=NO undoA=NO", "A:SU/FA+u B:SU/SU+u X:FA undoB:SU+c undoA:FA+c", "STUCK UN/UN sagamesh.Refused.NO", NULL },
    { "FA, retried", UNDOES("'Catch':[{'Exceptions':['java.lang.Throwable'],'Next':'E'}],"),
      "X=NO undoB=NO,ok", "A:SU/SU+u B:SU/SU+u X:FA undoB:FA+c+ign undoB:SU+c undoA:SU+c", "ENDED UN/SU", "r" },

    { "a class that no Retry entry names keeps its budget", RETRIED("sagamesh.Refused.NO", ""),
      "A=?,?,?,?,?,?,?,?,ok", "A:SU", "ENDED SU/", NULL },
    { "and the other one too", RETRIED("sagamesh.Refused.NO", ""),
      "A=!,!,!,!,!,!,!,!,ok", "A:SU", "ENDED SU/", NULL },
    { "until it is spent", RETRIED("sagamesh.Refused.NO", ""), "A=!", "A:FA", "ENDED FA/ sagamesh.NotDone", NULL },
    { "a class that one names has what the entry says", RETRIED("sagamesh.NotDone", ""),
      "A=!,!,!,ok", "A:FA", "ENDED FA/ sagamesh.NotDone", NULL },
    { "and is not cut short by a budget that nobody wrote", RETRIED("sagamesh.NotDone", "") ,
      "A=!,!,ok", "A:SU", "ENDED SU/", NULL },
    { "but by one that the state has", RETRIED("sagamesh.NotDone", "'BudgetSeconds':1,"),
      "A=!,!,ok", "A:FA", "ENDED FA/ sagamesh.NotDone", NULL },
    { "both in turn", RETRIED("sagamesh.Refused.NO", ""), "A=!,NO,!,NO,ok", "A:FA+ign A:FA+ign A:SU", "ENDED SU/", NULL },

    { "a read that is never answered changed nothing", READ("'BudgetSeconds':1,"), "A=?", "A:FA B:SU", "ENDED FA/ X", NULL },
    { "a read that is refused by somebody else after it was not answered", READ(""), "A=?,(DENIED)", "A:FA B:SU", "ENDED FA/ X", NULL },
    { "a read that a restart cut off, and then is refused", READ(""), "A=crash,(DENIED)", "A:FA B:SU", "ENDED FA/ X", NULL },
    { "a read behind the pivot that is never answered goes to its Catch", READ_LATE("," CATCH("E")), "A=?",
      "P:SU A:FA", "ENDED SU/", NULL },
    { "and where nobody catches it it is stuck", READ_LATE(""), "A=?", "P:SU A:FA", "STUCK UN/ sagamesh.Unknown", NULL },
    { "and is asked anew by a retry", READ_LATE(""), "A=days,ok", "P:SU A:FA+ign A:SU", "ENDED SU/", "r" },
    { "what does not say that it reads may have changed something",
      MACHINE("'A':{" TASK("A") ",'BudgetSeconds':1," CATCH("F") "},'F':{'Type':'Fail','ErrorCode':'X'}"), "A=?",
      "A:UN", "STUCK UN/ X", NULL },

    { "stuck at a choice: a retry comes to the choice again, not to what was done before",
      MACHINE("'A':{" TASK("A") ",'IsForUpdate':true,'Next':'C'},'C':{'Type':'Choice','Choices':"
              "[{'Expression':'[x] == 2','Next':'E'}]},'E':{'Type':'Succeed'}"),
      "", "A:SU+u", "STUCK UN/ sagamesh.DefinitionError", "rr" },
    { "nothing to be said of a choice but that it ends",
      MACHINE("'A':{" TASK("A") ",'IsForUpdate':true,'Next':'C'},'C':{'Type':'Choice','Choices':"
              "[{'Expression':'[x] == 2','Next':'E'}]},'E':{'Type':'Succeed'}"),
      "", "A:SU+u", "ENDED UN/ sagamesh.Operator", "DFe" },
    { "settled: a retry's undo was done by hand, and the step is entered anew",
      MACHINE("'A':{" TASK("A") ",'CompensateState':'undoA','BudgetSeconds':1},'undoA':{" TASK("undoA") "}"),
      "A=days,ok undoA=NO", "A:UN/SU+u+ign undoA:SU+c A:SU+u", "ENDED SU/", "rd" },
    { "settled: what nobody catches, before the pivot, ends it",
      MACHINE("'A':{" TASK("A") ",'IsForUpdate':true,'BudgetSeconds':1}"), "A=days", "A:FA+u",
      "ENDED FA/ sagamesh.Refused.OPERATOR", "f" },
    { "stuck at the start", MACHINE("'A':{'Type':'Choice','Choices':[],'Default':'B'},'B':{'Type':'Choice',"
              "'Choices':[{'Expression':'[x] == 2','Next':'E'}],'Default':'A'},'E':{'Type':'Succeed'}"),
      "", "", "STUCK UN/ sagamesh.DefinitionError", "r" },
    { "stuck at the end: what failed last is tried again",
      MACHINE("'A':{" TASK("A") ",'IsForUpdate':true,'Next':'B'},'B':{" TASK("B") "," CATCH("F") ",'Next':'E'},"
              "'F':{'Type':'Fail','ErrorCode':'X'},'E':{'Type':'Succeed'}"),
      "B=NO,ok", "A:SU+u B:FA+ign B:SU", "ENDED SU/", "r" },
    { "stuck behind an undo that went well: it goes on behind it",
      MACHINE("'A':{" TASK("A") ",'CompensateState':'undoA','Next':'X'},'undoA':{" TASK("undoA") "},'X':{" TASK("X") ","
              CATCH("T") "},'T':{'Type':'CompensationTrigger','Next':'C'},'C':{'Type':'Choice','Choices':"
              "[{'Expression':'[x] == 2','Next':'E'}]},'E':{'Type':'Succeed'}"),
      "X=NO", "A:SU/SU+u X:FA undoA:SU+c", "ENDED UN/SU sagamesh.DefinitionError", NULL },
};
/* clang-format on */

START_TEST(a_story)
{
    struct story story = { .script = rows[_i].script };
    struct driver driver = { .script = &story, .answer = story_answer };
    json_t *input = json_pack("{s:i}", "x", 1);
    char trace[2048], end[256];

    machine = load(rows[_i].machine);
    driver_open(&driver);
    driver_start(&driver, machine, input);
    while (driver_step(&driver))
        ;
    decide(&driver, rows[_i].what, rows[_i].operators);
    driver_trace(driver.instance, trace, sizeof trace);
    print_end(driver.instance, end, sizeof end);
    ck_assert_msg(strcmp(trace, rows[_i].trace) == 0, "%s: went\n  %s, not\n  %s", rows[_i].what,
                  trace, rows[_i].trace);
    ck_assert_msg(strcmp(end, rows[_i].end) == 0, "%s: ended %s, not %s", rows[_i].what, end,
                  rows[_i].end);
    driver_close(&driver);
    json_decref(input);
    definition_free(machine);
}
END_TEST

int
main(void)
{
    TCase *tcase = check_case("stands");

    tcase_add_loop_test(tcase, a_story, 0, ROWS(rows));
    return check_run("engine_stands", tcase);
}
