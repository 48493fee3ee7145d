/* test_engine_expression.c -- Expressions, and what Seata's own evaluator made of the same ones.
 *
 * With MESH_CONFORMANCE naming the folder of the outside suite, every expression in it that parses
 * here must give the value recorded there. Only a property of a map is an error there and a value
 * here, on purpose.
 */
#include "mesh/base/json.h"
#include "saga/engine/exception.h"
#include "saga/engine/expression.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char context_text[] =
    "{'a':1,'s':'abc','t':true,'n':null,'list':[1,2],'obj':{'name':'x','in':{'k':[10,20]}},"
    "'big':9223372036854775807,'x "
    "y':7,'empty':[],'名前':'太郎','é':2,'r':1.5,'exact':9007199254740993}";

/* clang-format off */
static const struct {
    const char *text, *value; /* NULL: refused when parsed; "!": an error when evaluated */
} rows[] = {
    { "$.[a]",                        "1" },
    { "[a]",                          "1" },
    { "$.a",                          "1" },
    { "$.1",                          "1" },
    { "$.[obj][name]",                "'x'" },
    { "$.[obj].in.k[1]",              "20" },
    { "$.[obj]['in']",                "{'k':[10,20]}" },
    { "['x y']",                      "7" },
    { "$.[missing]",                  "null" },
    { "$.[missing].x",                "!" },
    { "$.[missing]?.x",               "null" },
    { "$.[a].x",                      "!" },
    { "$.[list][2]",                  "!" },
    { "[a] - 2",                      "-1" },
    { "1 + 2 * 3 - 4 / 2 % 2",        "7" },
    { "-(2 + 3)",                     "-5" },
    { "10 - 2 - 3",                   "5" },
    { "[big] + 1",                    "!" },
    { "[big] * 2",                    "!" },
    { "1 / 0",                        "!" },
    { "1 % 0",                        "!" },
    { "(-[big] - 1) / -1",            "!" },
    { "(-[big] - 1) % -1",            "0" },
    { "9223372036854775808",          NULL },
    { "'it''s'",                      "'it\\'s'" },
    { "[s] + 1 + [t]",                "'abc1true'" },
    { "[s] - 1",                      "!" },
    { "[a] == 1 and not ([s] ne 'abc')", "true" },
    { "[t] && [missing] == null",     "true" },
    { "[t] || [missing].x == 1",      "true" },
    { "[a] && [t]",                   "!" },
    { "[missing] > 1",                "false" },
    { "[s] < 1",                      "!" },
    { "[t] ? 'y' : [missing].x",      "'y'" },
    { "[n] ?: 'none'",                "'none'" },
    { "[名前]",                       "'太郎'" },
    { "$.名前.length()",              "2" },
    { "['名前'] == '太郎'",           "true" },
    { "[é] + 1",                      "3" },
    { "'日本'.length()",              "2" },
    { "'😀'.length()",                "2" }, /* as in Java: a pair */
    { "''.length()",                  "0" },
    { "'日本語'.contains('本')",      "true" },
    { "7.5 % 2",                      "1.5" },
    { "-7.5 % 2",                     "-1.5" },
    { "7 % 2.5",                      "2.0" },
    { "7.5 % 0",                      "!" },
    { "7.5 / 0",                      "!" },
    { "'x' + 1.5",                    "'x1.5'" },
    { "1.5 + 'x'",                    "'1.5x'" },
    { "'' + 2.0",                     "'2.0'" },
    { "'' + 0.1",                     "'0.1'" },
    { "'' + 0.001",                   "'0.001'" },
    { "'' + 0.0001",                  "'1.0E-4'" },
    { "'' + 0.00025",                 "'2.5E-4'" },
    { "'' + 1234567.0",               "'1234567.0'" },
    { "'' + 9999999.5",               "'9999999.5'" },
    { "'' + 12345678.5",              "'1.23456785E7'" },
    { "'' + 10000000.0",              "'1.0E7'" },
    { "'' + 100.25",                  "'100.25'" },
    { "'' + (0.1 + 0.2)",             "'0.30000000000000004'" },
    { "'' + (0.0 * -1)",              "'-0.0'" },
    { "'' + (-1.5)",                  "'-1.5'" },
    { "'x' + [list]",                 "!" },
    { "[exact] == 9007199254740992.0", "false" }, /* as doubles they are the same */
    { "[exact] > 9007199254740992.0", "true" },
    { "9007199254740992.0 < [exact]", "true" },
    { "[exact] != 9007199254740994.0", "true" },
    { "[big] < 9223372036854775808.0", "true" },
    { "[big] == 9223372036854775808.0", "false" },
    { "(-[big] - 1) == -9223372036854775808.0", "true" },
    { "(-[big] - 1) > -9300000000000000000.0", "true" },
    { "2 > 1.5",                      "true" },
    { "-2 < -1.5",                    "true" },
    { "-1 > -1.5",                    "true" },
    { "1 == 1.0",                     "true" },
    { "[list].contains(2.0)",         "true" },
    { "[big] - 1",                    "9223372036854775806" },
    { "[exact] + 0",                  "9007199254740993" },
    { "#root.size() > 0",             "true" },
    { "[empty].isEmpty()",            "true" },
    { "[missing].size()",             "!" },
    { "[list].contains(2)",           "true" },
    { "",                             NULL },
    { "[",                            NULL },
    { "[a",                           NULL },
    { "[a] ==",                       NULL },
    { "[a] [b] [",                    NULL },
    { "'open",                        NULL },
    { "[a] == 1)",                    NULL },
    { "T(java.lang.Runtime)",         NULL },
    { "new Object()",                 NULL },
    { "[s].class",                    NULL },
    { "[s].getBytes()",               NULL },
    { "[list].?[#this == 1]",         NULL },
    { "![t]",                         NULL },
    { "#other == 1",                  NULL },
    { "[s] matches 'a.*'",            NULL },
    { "$Sequence.KEY|SIMPLE",         NULL },
    { "$Exception{",                  NULL },
};

static const struct {
    const char *name, *ancestor;
    bool is;
} classes[] = {
    { "sagamesh.Refused.NO_STOCK", "sagamesh.Refused.NO_STOCK", true },
    { "sagamesh.Refused.NO_STOCK", "sagamesh.Refused", true },
    { "sagamesh.Refused.NO_STOCK", "sagamesh.Refused.NO_FUNDS", false },
    { "sagamesh.Refused", "sagamesh.Refused.NO_STOCK", false },
    { "sagamesh.Refused.NO_STOCK", "java.lang.RuntimeException", true },
    { "sagamesh.NotDone", "java.net.ConnectException", true },
    { "sagamesh.NotDone", "java.lang.RuntimeException", true },
    { "sagamesh.NotDone", "java.net.SocketTimeoutException", false },
    { "sagamesh.Unknown", "java.net.SocketTimeoutException", true },
    { "sagamesh.Unknown", "java.lang.Throwable", true },
    { "sagamesh.Canceled", "java.lang.Exception", true },
    { "sagamesh.Canceled", "java.lang.Error", false },
    { "com.x.DemoException", "java.lang.RuntimeException", true },
    { "com.x.DemoException", "DemoException", true },
    { "com.x.DemoException", "Throwable", true },
    { "java.lang.StackOverflowError", "java.lang.Exception", false },
    { "java.lang.StackOverflowError", "java.lang.Error", true },
    { "java.lang.Throwable", "java.lang.Exception", false },
};
/* clang-format on */

static json_t *
json_of(const char *quoted)
{
    char *text = strdup(quoted);
    json_t *json = NULL;

    for (char *at = text; *at != '\0'; at++) {
        if (at[0] == '\\')
            memmove(at, at + 1, strlen(at));
        else
            *at = *at == '\'' ? '"' : *at;
    }
    json = json_loads(text, JSON_DECODE_ANY, NULL);
    free(text);
    return json;
}

/* ERR_OK and a value, or not. *ret_parses says how far it came. */
static enum error
value_of(const char *text, const json_t *root, bool *ret_parses, json_t **ret_value)
{
    struct expression_scope scope = { .root = root };
    struct arena *arena = arena_new();
    struct expression *expression;
    struct problem problem;
    enum error error = expression_parse(text, arena, &problem, &expression);

    *ret_parses = error == ERR_OK;
    if (error == ERR_OK)
        error = expression_evaluate(expression, &scope, &problem, ret_value);
    arena_free(arena);
    return error;
}

START_TEST(an_expression_has_a_value)
{
    json_t *context = json_of(context_text), *value = NULL, *wanted;
    bool parses;
    enum error error = value_of(rows[_i].text, context, &parses, &value);

    ck_assert_msg(parses == (rows[_i].value != NULL), "%s: parses: %d", rows[_i].text, parses);
    if (!parses || strcmp(rows[_i].value, "!") == 0) {
        ck_assert_msg(error != ERR_OK, "%s: has a value", rows[_i].text);
    } else {
        ck_assert_msg(error == ERR_OK, "%s: has none", rows[_i].text);
        wanted = json_of(rows[_i].value);
        if (json_is_null(wanted))
            ck_assert_msg(value == NULL, "%s: is not null", rows[_i].text);
        else
            ck_assert_msg(json_equal(value, wanted), "%s: another value", rows[_i].text);
        json_decref(wanted);
    }
    json_decref(value);
    json_decref(context);
}
END_TEST

/* Whatever is sent, the parser comes back. */
START_TEST(depth_and_length_have_limits)
{
    char text[EXPRESSION_BYTES_MAX + 16];
    json_t *value = NULL;
    bool parses;

    memset(text, '(', sizeof text);
    text[sizeof text - 1] = '\0';
    ck_assert_int_ne(value_of(text, NULL, &parses, &value), ERR_OK);
    text[500] = '\0';
    ck_assert_int_ne(value_of(text, NULL, &parses, &value), ERR_OK);
    memset(text, '-', 500);
    ck_assert_int_ne(value_of(text, NULL, &parses, &value), ERR_OK);
    memset(text, '[', 500);
    ck_assert_int_ne(value_of(text, NULL, &parses, &value), ERR_OK);
    ck_assert(!parses);
}
END_TEST

START_TEST(classes_form_a_tree)
{
    ck_assert_msg(exception_is(classes[_i].name, classes[_i].ancestor) == classes[_i].is,
                  "%s under %s", classes[_i].name, classes[_i].ancestor);
}
END_TEST

START_TEST(an_exception_is_asked_for)
{
    struct expression_scope scope = { .exception = "sagamesh.Refused.NO_FUNDS" };
    struct arena *arena = arena_new();
    struct expression *expression;
    struct problem problem;
    bool is_true = false;

    ck_assert_int_eq(expression_parse("$Exception{sagamesh.Refused}", arena, &problem, &expression),
                     ERR_OK);
    ck_assert(expression_is_exception(expression));
    ck_assert_int_eq(expression_test(expression, &scope, &problem, &is_true), ERR_OK);
    ck_assert(is_true);
    scope.exception = NULL;
    ck_assert_int_eq(expression_test(expression, &scope, &problem, &is_true), ERR_OK);
    ck_assert(!is_true);
    arena_free(arena);
}
END_TEST

static json_t *
suite_json(const char *folder, const char *name, size_t line)
{
    char path[4096], text[4096];
    json_t *json = NULL;
    FILE *file;

    snprintf(path, sizeof path, "%s/statelang/%s", folder, name);
    file = fopen(path, "r");
    if (file == NULL)
        return NULL;
    for (size_t i = 0; i <= line; i++) {
        if (fgets(text, sizeof text, file) == NULL) {
            fclose(file);
            return NULL;
        }
    }
    json = json_loads(text, 0, NULL);
    fclose(file);
    return json;
}

START_TEST(seata_says_the_same)
{
    const char *folder = getenv("MESH_CONFORMANCE");
    bool is_here = folder != NULL && folder[0] != '\0';
    json_t *context = is_here ? suite_json(folder, "expressions-context.json", 0) : NULL;
    int same = 0, refused = 0, superset = 0;
    json_t *row;

    if (!is_here) {
        printf("skipped: MESH_CONFORMANCE names no folder with the recordings of Seata's engine\n");
        return;
    }
    ck_assert_ptr_nonnull(context);
    for (size_t line = 0; (row = suite_json(folder, "expressions.jsonl", line)) != NULL; line++) {
        const char *text = json_string_value(json_object_get(row, "expr"));
        const char *wrong = json_string_value(json_object_get(row, "error"));
        const json_t *wanted = json_object_get(row, "value");
        json_t *value = NULL;
        bool parses;
        enum error error = value_of(text, context, &parses, &value);

        if (!parses) {
            refused++;
        } else if (wrong != NULL && error == ERR_OK) {
            ck_assert_msg(strstr(wrong, "Property or field") != NULL, "%s: %s", text, wrong);
            superset++;
        } else {
            ck_assert_msg((error != ERR_OK) == (wrong != NULL), "%s: an error here only", text);
            if (error == ERR_OK)
                ck_assert_msg(json_is_null(wanted) ? value == NULL : json_equal(value, wanted),
                              "%s: another value", text);
            same++;
        }
        json_decref(value);
        json_decref(row);
    }
    printf("Seata's expressions: %d the same, %d a value here only (.name on a map), %d refused\n",
           same, superset, refused);
    ck_assert_int_gt(same, 50);
    json_decref(context);
}
END_TEST

int
main(void)
{
    TCase *tcase = check_case("expression");

    tcase_add_loop_test(tcase, an_expression_has_a_value, 0, ROWS(rows));
    tcase_add_loop_test(tcase, classes_form_a_tree, 0, ROWS(classes));
    tcase_add_test(tcase, depth_and_length_have_limits);
    tcase_add_test(tcase, an_exception_is_asked_for);
    tcase_add_test(tcase, seata_says_the_same);
    return check_run("engine_expression", tcase);
}
