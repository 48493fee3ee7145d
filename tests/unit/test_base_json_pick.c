/* test_base_json_pick.c -- What is read of JSON that a stranger wrote, and what it is not to be. */
#include "mesh/base/json_pick.h"
#include "mesh/base/json_scan.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct json_want deep[] = { { "b", NULL }, { 0 } };
static const struct json_want sub[] = { { "a", NULL }, { "deep", deep }, { 0 } };
static const struct json_want item[] = { { "x", NULL }, { 0 } };
static const struct json_want wanted[] = {
    { "id", NULL }, { "n", NULL }, { "sub", sub }, { "list", item }, { 0 }
};

/* clang-format off */
static const struct {
    const char *what, *text;
    const char *picked; /* NULL: refused, */
    const char *why;    /* with this in the reason */
} picks[] = {
    { "what is wanted",                    "{\"id\":\"i\",\"n\":7}", "{\"id\":\"i\",\"n\":7}", NULL },
    { "nothing of it",                     "{\"z\":1}", "{}", NULL },
    { "an empty object",                   " { } \n", "{}", NULL },
    { "space everywhere",                  "{ \"id\" : \"i\" , \"z\" : [ 1 , 2 ] , \"n\" : 1 }", "{\"id\":\"i\",\"n\":1}", NULL },
    { "a byte order mark",                 "\xef\xbb\xbf{\"n\":1}", "{\"n\":1}", NULL },
    { "what is in it",                     "{\"sub\":{\"a\":true,\"c\":1,\"deep\":{\"b\":null,\"q\":[]}}}", "{\"sub\":{\"a\":true,\"deep\":{\"b\":null}}}", NULL },
    { "each of a list",                    "{\"list\":[{\"x\":1,\"y\":2},{},{\"x\":\"t\"}]}", "{\"list\":[{\"x\":1},{},{\"x\":\"t\"}]}", NULL },
    { "a list of other things",            "{\"list\":[1,[2],\"t\",{\"x\":1}]}", "{\"list\":[null,null,null,{\"x\":1}]}", NULL },
    { "an empty list",                     "{\"list\":[ ]}", "{\"list\":[]}", NULL },
    { "a list where one is wanted",        "{\"sub\":[{\"a\":1}]}", "{\"sub\":[{\"a\":1}]}", NULL },
    { "an object where a text is wanted",  "{\"id\":{\"a\":1},\"n\":[1]}", "{\"id\":null,\"n\":null}", NULL },
    { "a text where an object is wanted",  "{\"sub\":\"t\",\"list\":3}", "{\"list\":null,\"sub\":null}", NULL },
    { "all kinds of numbers",              "{\"z\":[-0,0.5,1e5,1E-5,-12.5e+3,0],\"n\":-1}", "{\"n\":-1}", NULL },
    { "all literals",                      "{\"z\":[true,false,null],\"n\":false}", "{\"n\":false}", NULL },
    { "all escapes",                       "{\"z\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u12aF\",\"id\":\"\\u0041\\n\"}", "{\"id\":\"A\\n\"}", NULL },

    /* what RFC 8259 allows, in members that are not wanted */
    { "an integer of 2^64",                "{\"traceNo\":18446744073709551615,\"n\":1}", "{\"n\":1}", NULL },
    { "a number of a hundred digits",      "{\"z\":1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890,\"n\":1}", "{\"n\":1}", NULL },
    { "a real beyond doubles",             "{\"z\":1e999999,\"n\":1}", "{\"n\":1}", NULL },
    { "half of an emoji",                  "{\"memo\":\"\\ud83d\",\"n\":1}", "{\"n\":1}", NULL },
    { "the other half",                    "{\"memo\":\"\\ude00 x\",\"n\":1}", "{\"n\":1}", NULL },
    { "a text with NUL",                   "{\"memo\":\"a\\u0000b\",\"n\":1}", "{\"n\":1}", NULL },
    { "a key with NUL",                    "{\"a\\u0000b\":1,\"n\":1}", "{\"n\":1}", NULL },
    { "a key twice",                       "{\"z\":1,\"z\":2,\"n\":1}", "{\"n\":1}", NULL },
    { "a key twice in what is not read",   "{\"z\":{\"id\":1,\"id\":2},\"n\":1}", "{\"n\":1}", NULL },
    { "bytes that are no UTF-8",           "{\"z\":\"\xff\xfe\",\"n\":1}", "{\"n\":1}", NULL },

    /* the same in what is read: not said */
    { "an id of 2^64",                     "{\"id\":18446744073709551616,\"n\":1}", "{\"id\":null,\"n\":1}", NULL },
    { "an id that is half an emoji",       "{\"id\":\"\\ud83d\",\"n\":1}", "{\"id\":null,\"n\":1}", NULL },
    { "an id with NUL",                    "{\"id\":\"a\\u0000b\"}", "{\"id\":null}", NULL },
    { "an id that is no UTF-8",            "{\"id\":\"\xff\"}", "{\"id\":null}", NULL },
    { "an amount beyond doubles",          "{\"n\":1e999999}", "{\"n\":null}", NULL },

    /* which of the two is meant? */
    { "a wanted key twice",                "{\"id\":\"a\",\"id\":\"a\"}", NULL, "'id' comes twice" },
    { "twice, once in another spelling",   "{\"id\":\"a\",\"\\u0069d\":\"b\"}", NULL, "'id' comes twice" },
    { "twice, the first one null",         "{\"n\":null,\"n\":1}", NULL, "'n' comes twice" },
    { "twice, deep inside",                "{\"sub\":{\"deep\":{\"b\":1,\"b\":2}}}", NULL, "'b' comes twice" },
    { "an object twice",                   "{\"sub\":{},\"sub\":{\"a\":1}}", NULL, "'sub' comes twice" },
    { "twice in one of a list",            "{\"list\":[{\"x\":1},{\"x\":1,\"x\":2}]}", NULL, "'x' comes twice" },
    { "once in each of a list",            "{\"list\":[{\"x\":1},{\"x\":2}],\"n\":1}", "{\"list\":[{\"x\":1},{\"x\":2}],\"n\":1}", NULL },
    { "a key that begins like one",        "{\"idx\":1,\"i\":2,\"id\":\"a\"}", "{\"id\":\"a\"}", NULL },
    { "a key in other letters",            "{\"ID\":1,\"id\":\"a\"}", "{\"id\":\"a\"}", NULL },
    { "a wanted key in escapes",           "{\"\\u0069\\u0064\":\"a\"}", "{\"id\":\"a\"}", NULL },
    { "a key of no ASCII",                 "{\"\\u30a2d\":\"a\",\"\xe3\x82\xa2\":1}", "{}", NULL },

    /* what is no JSON */
    { "nothing",                           "", NULL, "it is empty" },
    { "only space",                        " \n", NULL, "it is empty" },
    { "a page",                            "<html>", NULL, "must be an object" },
    { "a list",                            "[{\"n\":1}]", NULL, "must be an object" },
    { "a number",                          "5", NULL, "must be an object" },
    { "a half",                            "{\"n\":1", NULL, "ends too early" },
    { "a half of a text",                  "{\"n\":\"1", NULL, "ends too early" },
    { "a half behind a key",               "{\"n\":", NULL, "ends too early" },
    { "a half of what is not read",        "{\"z\":[1,{\"a\":2", NULL, "ends too early" },
    { "a half of an escape",               "{\"z\":\"\\", NULL, "there is no such escape" },
    { "a text behind it",                  "{\"n\":1} x", NULL, "something follows" },
    { "two of them",                       "{\"n\":1}{\"n\":1}", NULL, "something follows" },
    { "a comma too much",                  "{\"n\":1,}", NULL, "must be a key" },
    { "a comma too much in a list",        "{\"z\":[1,],\"n\":1}", NULL, "must be a value" },
    { "a comma at once",                   "{,\"n\":1}", NULL, "must be a key" },
    { "no comma",                          "{\"n\":1 \"id\":2}", NULL, "must be a ','" },
    { "no comma in a list",                "{\"z\":[1 2]}", NULL, "must be a ','" },
    { "no colon",                          "{\"n\" 1}", NULL, "must be a ':'" },
    { "a key without quotes",              "{n:1}", NULL, "must be a key" },
    { "quotes of another kind",            "{'n':1}", NULL, "must be a key" },
    { "another bracket",                   "{\"z\":[1}}", NULL, "must be a ','" },
    { "a word that is none",               "{\"z\":undefined}", NULL, "must be a value" },
    { "NaN",                               "{\"z\":NaN}", NULL, "must be a value" },
    { "a number with a sign",              "{\"z\":+1}", NULL, "must be a value" },
    { "a number with a zero",              "{\"z\":01}", NULL, "must be a ','" },
    { "a number that ends in a point",     "{\"z\":1.}", NULL, "a number is not written" },
    { "a number without digits",           "{\"z\":-}", NULL, "a number is not written" },
    { "an exponent without digits",        "{\"z\":1e}", NULL, "a number is not written" },
    { "an escape that is none",            "{\"z\":\"\\x41\"}", NULL, "no such escape" },
    { "three hexadecimal digits",          "{\"z\":\"\\u123\"}", NULL, "four hexadecimal" },
    { "a line in a text",                  "{\"z\":\"a\nb\"}", NULL, "control character" },
};
/* clang-format on */

START_TEST(picked)
{
    struct problem problem = { 0 };
    json_t *json = NULL;
    enum error error =
        json_pick(picks[_i].text, strlen(picks[_i].text), wanted, "answer", &problem, &json);

    if (picks[_i].picked == NULL) {
        ck_assert_msg(error == ERR_BAD_REQUEST, "%s: taken", picks[_i].what);
        ck_assert_msg(strstr(problem.text, picks[_i].why) != NULL, "%s: %s", picks[_i].what,
                      problem.text);
        ck_assert_str_eq(problem.field, "answer");
        return;
    }
    ck_assert_msg(error == ERR_OK, "%s: %s", picks[_i].what, problem.text);
    {
        char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);

        ck_assert_msg(strcmp(text, picks[_i].picked) == 0, "%s: %s", picks[_i].what, text);
        free(text);
    }
    json_decref(json);
}
END_TEST

/* Wherever a text is cut off, nothing behind its end is read: the sanitizers look on. */
START_TEST(no_byte_too_far)
{
    for (size_t i = 0; i < sizeof picks / sizeof *picks; i++) {
        size_t bytes = strlen(picks[i].text);

        for (size_t cut = 0; cut < bytes; cut++) {
            char *text = malloc(cut + (cut == 0));
            struct problem problem;
            json_t *json = NULL;

            memcpy(text, picks[i].text, cut);
            if (json_pick(text, cut, wanted, "answer", &problem, &json) == ERR_OK)
                json_decref(json);
            free(text);
        }
    }
}
END_TEST

static enum error
pick_nested(size_t depth, const char *open, const char *close)
{
    size_t size = depth * (strlen(open) + strlen(close)) + 100;
    char *text = malloc(size), *at = text;
    struct problem problem;
    json_t *json = NULL;
    enum error error;

    at += sprintf(at, "{\"z\":");
    for (size_t i = 0; i < depth; i++)
        at += sprintf(at, "%s", open);
    at += sprintf(at, "1");
    for (size_t i = 0; i < depth; i++)
        at += sprintf(at, "%s", close);
    at += sprintf(at, ",\"n\":1}");
    error = json_pick(text, (size_t)(at - text), wanted, "answer", &problem, &json);
    if (error == ERR_OK)
        ck_assert_int_eq(json_integer_value(json_object_get(json, "n")), 1);
    else
        ck_assert_ptr_nonnull(strstr(problem.text, "nested too deeply"));
    json_decref(json);
    free(text);
    return error;
}

START_TEST(nested)
{
    ck_assert_int_eq(pick_nested(JSON_DEPTH_MAX + 1, "[", "]"), ERR_OK);
    ck_assert_int_eq(pick_nested(JSON_SCAN_DEPTH_MAX, "[", "]"), ERR_OK);
    ck_assert_int_eq(pick_nested(JSON_SCAN_DEPTH_MAX, "{\"a\":", "}"), ERR_OK);
    ck_assert_int_eq(pick_nested(JSON_SCAN_DEPTH_MAX / 2, "[{\"a\":", "}]"), ERR_OK);
    ck_assert_int_eq(pick_nested(JSON_SCAN_DEPTH_MAX + 1, "[", "]"), ERR_BAD_REQUEST);
    ck_assert_int_eq(pick_nested(100000, "{\"a\":", "}"), ERR_BAD_REQUEST);
}
END_TEST

int
main(void)
{
    TCase *tests = check_case("pick");

    tcase_add_loop_test(tests, picked, 0, ROWS(picks));
    tcase_add_test(tests, no_byte_too_far);
    tcase_add_test(tests, nested);
    return check_run("json pick", tests);
}
