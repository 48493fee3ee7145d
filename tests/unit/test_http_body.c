/* Bodies by tables: what is read, and every way to be refused, with the place and the rule. */
#include "mesh/base/utf8.h"
#include "mesh/http/body.h"
#include "mesh/http/read.h"
#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

struct row {
    const char *name;
    int64_t count;
};

struct inner {
    const char *text;
};

struct outer {
    const char *text;
    int64_t number;
    struct body_list rows;
    struct inner *inner;
};

/* clang-format off */
static const struct body_field row_fields[] = {
    { "name",   BODY_TEXT,   true,  offsetof(struct row, name),    .fields = NULL },
    { "count",  BODY_INT,    true,  offsetof(struct row, count),   .fields = NULL },
    { 0 },
};
static const struct body_field inner_fields[] = {
    { "text",   BODY_TEXT,   false, offsetof(struct inner, text),  .fields = NULL },
    { 0 },
};
static const struct body_field outer_fields[] = {
    { "text",   BODY_TEXT,   true,  offsetof(struct outer, text),   .fields = NULL },
    { "number", BODY_INT,    false, offsetof(struct outer, number), .fields = NULL },
    { "rows",   BODY_LIST,   false, offsetof(struct outer, rows),   .fields = row_fields, .struct_bytes = sizeof(struct row), .rows_min = 1, .rows_max = 2 },
    { "inner",  BODY_OBJECT, false, offsetof(struct outer, inner),  .fields = inner_fields, .struct_bytes = sizeof(struct inner) },
    { 0 },
};

static const struct {
    const char *what, *body, *pointer, *detail;
} refused[] = {
    { "nothing",                     "",                                                "",              "must not be empty" },
    { "half an object",              "{\"text\":",                                      "",              "must be whole JSON, and ends too early: line 1, column 8" },
    { "something after it",          "{\"text\":\"a\"} x",                              "",              "must be one JSON value, and has more behind its end" },
    { "a comment",                   "{\"text\":\"a\" /* b */}",                        "",              "must be JSON: line 1, column 13" },
    { "a list",                      "[]",                                              "",              "must be an object, not a list" },
    { "a number",                    "1",                                               "",              "must be an object, not an integer" },
    { "bytes that are no UTF-8",     "{\"text\":\"\xc3\x28\"}",                         "/text",         "must be UTF-8" },
    { "garbage that is no UTF-8",    "\n\n\")\\\xcb\x8a\xff\x14GG\\\xff\\",         "",              "must be JSON: line 3, column 4" },
    { "half a surrogate",            "{\"text\":\"\\ud800\"}",                          "",              "must be JSON: line 1, column 16" },
    { "a NUL in a text",             "{\"text\":\"a\\u0000b\"}",                        "/text",         "must not hold the character \\u0000" },
    { "an integer too large",        "{\"text\":\"a\",\"number\":9223372036854775808}", "/number",       "must be a number of 64 bits at most" },
    { "one in the second row",       "{\"rows\":[{\"count\":1},{\"count\":99999999999999999999}]}", "/rows/1/count", "must be a number of 64 bits at most" },
    { "a NUL in a name",             "{\"te\\u0000xt\":\"a\"}",                      "",              "must not hold the character \\u0000" },
    { "a name twice",                "{\"text\":\"a\",\"text\":\"a\"}",                 "/text",         "is there twice" },
    { "a name twice in a row",       "{\"rows\":[{\"name\":\"]\"},{\"name\":\"b\",\"name\":\"c\"}]}", "/rows/1/name", "is there twice" },
    { "a name twice behind quotes",  "{\"inner\":{\"text\":\"\\\"{\",\"text\":1}}",     "/inner/text",   "is there twice" },
    { "an unknown name",             "{\"text\":\"a\",\"colour\":1}",                   "/colour",       "is not known here; known are text, number, rows, inner" },
    { "a name that must be escaped", "{\"text\":\"a\",\"a/b~c\":1}",                    "/a~1b~0c",      "is not known here" },
    { "an unknown name in a row",    "{\"text\":\"a\",\"rows\":[{\"x\":1}]}",           "/rows/0/x",     "is not known here; known are name, count" },
    { "what is required",            "{\"number\":1}",                                  "/text",         "is required" },
    { "what is required in a row",   "{\"text\":\"a\",\"rows\":[{\"name\":\"b\"}]}",    "/rows/0/count", "is required" },
    { "a number for a text",         "{\"text\":1}",                                    "/text",         "must be a text, not an integer" },
    { "null for a text",             "{\"text\":null}",                                 "/text",         "must be a text, not null" },
    { "a text for a number",         "{\"text\":\"a\",\"number\":\"1\"}",               "/number",       "must be an integer, not a text" },
    { "a fraction",                  "{\"text\":\"a\",\"number\":1.5}",                 "/number",       "must be an integer, not a number with a fraction" },
    { "an exponent",                 "{\"text\":\"a\",\"number\":1e2}",                 "/number",       "must be an integer, not a number with a fraction or an exponent" },
    { "true for a number",           "{\"text\":\"a\",\"number\":true}",                "/number",       "must be an integer, not a boolean" },
    { "an object for a list",        "{\"text\":\"a\",\"rows\":{}}",                    "/rows",         "must be a list, not an object" },
    { "an empty list",               "{\"text\":\"a\",\"rows\":[]}",                    "/rows",         "must have 1 to 2 entries, not 0" },
    { "a list too long",             "{\"text\":\"a\",\"rows\":[1,2,3]}",               "/rows",         "must have 1 to 2 entries, not 3" },
    { "a list of something else",    "{\"text\":\"a\",\"rows\":[1]}",                   "/rows/0",       "must be an object, not an integer" },
    { "a list for an object",        "{\"text\":\"a\",\"inner\":[]}",                   "/inner",        "must be an object, not a list" },
};
/* clang-format on */

START_TEST(body_is_refused)
{
    struct arena *arena = arena_new();
    struct outer outer = { 0 };
    struct body_problem problem = { 0 };

    ck_assert_msg(!body_read((const uint8_t *)refused[_i].body, strlen(refused[_i].body),
                             outer_fields, &outer, arena, &problem),
                  "%s: was read", refused[_i].what);
    ck_assert_msg(strcmp(problem.pointer, refused[_i].pointer) == 0, "%s: at \"%s\"",
                  refused[_i].what, problem.pointer);
    ck_assert_msg(strstr(problem.detail, refused[_i].detail) != NULL, "%s: \"%s\"",
                  refused[_i].what, problem.detail);
    ck_assert_msg(utf8_is_valid(problem.detail, strlen(problem.detail)), "%s: no UTF-8",
                  refused[_i].what);
    arena_free(arena);
}
END_TEST

START_TEST(body_is_read)
{
    static const char text[] = " {\"rows\":[{\"count\":-3,\"name\":\"\\u00e9\"},{\"name\":\"\","
                               "\"count\":0}],\"text\":\"a\",\"inner\":{}} ";
    struct arena *arena = arena_new();
    struct outer outer = { 0 };
    struct body_problem problem = { 0 };
    const struct row *rows;

    ck_assert(
        body_read((const uint8_t *)text, strlen(text), outer_fields, &outer, arena, &problem));
    rows = outer.rows.rows;
    ck_assert_str_eq(outer.text, "a");
    ck_assert_int_eq(outer.number, 0);
    ck_assert_uint_eq(outer.rows.count, 2);
    ck_assert_str_eq(rows[0].name, "\xc3\xa9");
    ck_assert_int_eq(rows[0].count, -3);
    ck_assert_str_eq(rows[1].name, "");
    ck_assert_ptr_nonnull(outer.inner);
    ck_assert_ptr_null(outer.inner->text);
    arena_free(arena);
}
END_TEST

START_TEST(body_too_deep)
{
    struct arena *arena = arena_new();
    struct outer outer = { 0 };
    struct body_problem problem = { 0 };
    char deep[4000];

    memset(deep, '[', sizeof deep / 2);
    memset(deep + sizeof deep / 2, ']', sizeof deep / 2);
    ck_assert(
        !body_read((const uint8_t *)deep, sizeof deep, outer_fields, &outer, arena, &problem));
    ck_assert_str_eq(problem.pointer, "");
    ck_assert_ptr_nonnull(strstr(problem.detail, "deeper"));
    arena_free(arena);
}
END_TEST

/* A stranger's name is cut between characters: what is answered must be UTF-8 too. */
START_TEST(body_long_name)
{
    struct arena *arena = arena_new();
    struct outer outer = { 0 };
    struct body_problem problem = { 0 };
    char text[1024] = "{\"text\":\"a\",\"";

    for (int i = 0; i < 150; i++)
        strcat(text, "\xe2\x82\xac");
    strcat(text, "\":1}");
    ck_assert(
        !body_read((const uint8_t *)text, strlen(text), outer_fields, &outer, arena, &problem));
    ck_assert_uint_eq(strlen(problem.pointer), 1 + 198);
    arena_free(arena);
}
END_TEST

/* clang-format off */
static const struct {
    const char *what, *header, *key; /* NULL: refused */
} keys[] = {
    { "bare",                        "8e03978e-40d5",    "8e03978e-40d5" },
    { "quoted",                      "\"8e03978e-40d5\"", "8e03978e-40d5" },
    { "with spaces",                 "\"a b\"",          "a b" },
    { "an escaped quote",            "\"a\\\"b\"",       "a\"b" },
    { "an escaped backslash",        "\"a\\\\\"",        "a\\" },
    { "a bare key with a quote",     "a\"b",             "a\"b" },
    { "empty",                       "",                 NULL },
    { "empty in quotes",             "\"\"",             NULL },
    { "one quote",                   "\"",               NULL },
    { "no end",                      "\"a",              NULL },
    { "an end that is escaped",      "\"a\\\"",          NULL },
    { "something else escaped",      "\"a\\n\"",         NULL },
    { "two strings",                 "\"a\" \"b\"",      NULL },
    { "parameters",                  "\"a\";b=\"c\"",    NULL },
    { "a control character",         "a\tb",             NULL },
    { "not ASCII",                   "\xc3\xa9",         NULL },
};
/* clang-format on */

START_TEST(key_is_read)
{
    struct arena *arena = arena_new();
    const char *because = NULL, *key = idempotency_key_read(keys[_i].header, arena, &because);

    if (keys[_i].key == NULL)
        ck_assert_msg(key == NULL && because != NULL, "%s: read as %s", keys[_i].what, key);
    else
        ck_assert_msg(key != NULL && strcmp(key, keys[_i].key) == 0, "%s: %s", keys[_i].what,
                      key == NULL ? because : key);
    arena_free(arena);
}
END_TEST

START_TEST(key_has_a_limit)
{
    struct arena *arena = arena_new();
    const char *because;
    char text[IDEMPOTENCY_KEY_BYTES_MAX + 2] = { 0 };

    memset(text, 'k', IDEMPOTENCY_KEY_BYTES_MAX);
    ck_assert_ptr_nonnull(idempotency_key_read(text, arena, &because));
    text[IDEMPOTENCY_KEY_BYTES_MAX] = 'k';
    ck_assert_ptr_null(idempotency_key_read(text, arena, &because));
    arena_free(arena);
}
END_TEST

int
main(void)
{
    TCase *tests = check_case("all");

    tcase_add_loop_test(tests, body_is_refused, 0, ROWS(refused));
    tcase_add_test(tests, body_is_read);
    tcase_add_test(tests, body_too_deep);
    tcase_add_test(tests, body_long_name);
    tcase_add_loop_test(tests, key_is_read, 0, ROWS(keys));
    tcase_add_test(tests, key_has_a_limit);
    return check_run("http bodies", tests);
}
