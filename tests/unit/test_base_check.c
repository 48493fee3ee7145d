/* What strangers send and what is written for them: JSON, checked fields, errors, and the arena that
 * all of it lives in. */
#include "mesh/base/arena.h"
#include "mesh/base/check.h"
#include "mesh/base/json.h"
#include "mesh/base/terminal.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEN "[[[[[[[[[["
#define NET "]]]]]]]]]]"

/* clang-format off */
static const struct {
    const char *what, *text;
    enum error answer;
} jsons[] = {
    { "an object",              "{\"a\":1}",                  ERR_OK },
    { "a number alone",         "7",                          ERR_OK },
    { "a text alone",           "\"a\"",                      ERR_OK },
    { "32 deep",                TEN TEN TEN "[[]]" NET NET NET, ERR_OK },
    { "33 deep",                TEN TEN TEN "[[[]]]" NET NET NET, ERR_BAD_REQUEST },
    { "brackets in a text",     "\"" TEN TEN TEN TEN "\"",    ERR_OK },
    { "an escaped quote first", "\"\\\"" TEN TEN TEN TEN "\"", ERR_OK },
    { "the same key twice",     "{\"a\":1,\"a\":2}",          ERR_BAD_REQUEST },
    { "nothing",                "",                           ERR_BAD_REQUEST },
    { "text behind it",         "{} x",                       ERR_BAD_REQUEST },
    { "cut short",              "{\"a\":",                    ERR_BAD_REQUEST },
    { "not closed",             "[1, 2",                      ERR_BAD_REQUEST },
    { "single quotes",          "{'a':1}",                    ERR_BAD_REQUEST },
    { "a comma at the end",     "[1,]",                       ERR_BAD_REQUEST },
    { "not UTF-8",              "\"\xff\"",                   ERR_BAD_REQUEST },
    { "an integer too large",   "9223372036854775808",        ERR_BAD_REQUEST },
    { "a NUL by escape",        "\"\\u0000\"",                ERR_BAD_REQUEST },
};

static const struct {
    const char *what;
    enum { WORD, TEXT, CURRENCY, CUSTOMER, URL } kind;
    const char *text;
    enum error answer;
} fields[] = {
    { "a word",                   WORD,     "sku-1",      ERR_OK },
    { "a word of all it may",     WORD,     "12345678",   ERR_OK },
    { "one too long",             WORD,     "123456789",  ERR_BAD_REQUEST },
    { "empty",                    WORD,     "",           ERR_BAD_REQUEST },
    { "a space",                  WORD,     "a b",        ERR_BAD_REQUEST },
    { "a tilde, the last",        WORD,     "~",          ERR_OK },
    { "DEL",                      WORD,     "\x7f",       ERR_BAD_REQUEST },
    { "not ASCII",                WORD,     "\xc3\xa9",   ERR_BAD_REQUEST },
    { "a text of 2",              TEXT,     "ab",         ERR_OK },
    { "a text of 1",              TEXT,     "a",          ERR_BAD_REQUEST },
    { "a text of 4 bytes",        TEXT,     "\xc3\xa9 b", ERR_OK },
    { "a text of 5 bytes",        TEXT,     "\xc3\xa9\xc3\xa9z", ERR_BAD_REQUEST },
    { "a newline",                TEXT,     "a\n",        ERR_BAD_REQUEST },
    { "DEL in a text",            TEXT,     "a\x7f",      ERR_BAD_REQUEST },
    { "yen",                      CURRENCY, "JPY",        ERR_OK },
    { "lower case",               CURRENCY, "jpy",        ERR_BAD_REQUEST },
    { "two letters",              CURRENCY, "JP",         ERR_BAD_REQUEST },
    { "four letters",             CURRENCY, "JPYN",       ERR_BAD_REQUEST },
    { "a digit",                  CURRENCY, "JP1",        ERR_BAD_REQUEST },
    { "no currency",              CURRENCY, "",           ERR_BAD_REQUEST },
    { "a customer",               CUSTOMER, "c-1",        ERR_OK },
    { "a slash",                  CUSTOMER, "a/b",        ERR_BAD_REQUEST },
    { "no customer",              CUSTOMER, "",           ERR_BAD_REQUEST },
    { "a URL",                    URL,      "https://shop.example/back?order=1&x=%20;y#top", ERR_OK },
    { "a URL of a host",          URL,      "http://a",   ERR_OK },
    { "all that a path may have", URL,      "http://a/-._~!$&'()*+,;=:@%aF//b", ERR_OK },
    { "a query of nothing",       URL,      "http://a?",  ERR_OK },
    { "a query in a query",       URL,      "http://a?x=http://b/?y", ERR_OK },
    { "a fragment of a host",     URL,      "http://a#/?", ERR_OK },
    { "a port",                   URL,      "http://localhost:8080/", ERR_OK },
    { "an address",               URL,      "http://[2001:db8::1]:80/", ERR_OK },
    { "no URL",                   URL,      "",           ERR_BAD_REQUEST },
    { "a path only",              URL,      "/back",      ERR_BAD_REQUEST },
    { "another scheme",           URL,      "ftp://a/",   ERR_BAD_REQUEST },
    { "a scheme only",            URL,      "https://",   ERR_BAD_REQUEST },
    { "no host",                  URL,      "https:///b", ERR_BAD_REQUEST },
    { "no host before a query",   URL,      "https://?b", ERR_BAD_REQUEST },
    { "a port only",              URL,      "https://:80/", ERR_BAD_REQUEST },
    { "a port of nothing",        URL,      "https://a:/", ERR_BAD_REQUEST },
    { "a port of a word",         URL,      "https://a:b/", ERR_BAD_REQUEST },
    { "a port too long",          URL,      "https://a:123456/", ERR_BAD_REQUEST },
    { "two ports",                URL,      "https://a:1:2/", ERR_BAD_REQUEST },
    { "a user's name",            URL,      "https://shop.example@b/", ERR_BAD_REQUEST },
    { "a name and a password",    URL,      "https://a:1@b/", ERR_BAD_REQUEST },
    { "an address without end",   URL,      "http://[::1/", ERR_BAD_REQUEST },
    { "an address of nothing",    URL,      "http://[]/", ERR_BAD_REQUEST },
    { "an address and more",      URL,      "http://[::1]x/", ERR_BAD_REQUEST },
    { "a quotation mark",         URL,      "https://shop.example/\">x", ERR_BAD_REQUEST },
    { "a quotation mark, hosted", URL,      "https://shop\".example/", ERR_BAD_REQUEST },
    { "an angle in a query",      URL,      "https://a/?<",  ERR_BAD_REQUEST },
    { "a backslash",              URL,      "https://a\\b/", ERR_BAD_REQUEST },
    { "a brace",                  URL,      "https://a/{b}", ERR_BAD_REQUEST },
    { "a bar",                    URL,      "https://a/|", ERR_BAD_REQUEST },
    { "a circumflex",             URL,      "https://a/^", ERR_BAD_REQUEST },
    { "a grave accent",           URL,      "https://a/`", ERR_BAD_REQUEST },
    { "brackets in a path",       URL,      "https://a/[b]", ERR_BAD_REQUEST },
    { "two fragments",            URL,      "https://a/#b#c", ERR_BAD_REQUEST },
    { "per cent of nothing",      URL,      "https://a/%", ERR_BAD_REQUEST },
    { "half a per cent",          URL,      "https://a/%2", ERR_BAD_REQUEST },
    { "per cent of letters",      URL,      "https://a/%2g", ERR_BAD_REQUEST },
    { "a space",                  URL,      "https://a/ b", ERR_BAD_REQUEST },
    { "not ASCII",                URL,      "https://a/\xc3\xa9", ERR_BAD_REQUEST },
    { "the longest URL",          URL,      "http://shop.example/" "12345678901234567890123456789012345678901234", ERR_OK },
    { "a longer one",             URL,      "http://shop.example/" "123456789012345678901234567890123456789012345", ERR_BAD_REQUEST },
};

static const struct {
    const char *what;
    int32_t asked, size;
    enum error answer;
} pages[] = {
    { "the default", 0,                 PAGE_SIZE_DEFAULT, ERR_OK },
    { "one",         1,                 1,                 ERR_OK },
    { "the most",    PAGE_SIZE_MAX,     PAGE_SIZE_MAX,     ERR_OK },
    { "one more",    PAGE_SIZE_MAX + 1, -7,                ERR_BAD_REQUEST },
    { "negative",    -1,                -7,                ERR_BAD_REQUEST },
};

static const struct {
    const char *what, *reason;
    enum error error;
} recalls[] = {
    { "accepted",           "",          ERR_OK },
    { "a domain's reason",  "NO_STOCK",  ERR_REFUSED },
    { "an error's name",    "TOO_LATE",  ERR_TOO_LATE },
    { "another error's",    "NOT_FOUND", ERR_NOT_FOUND },
};
/* clang-format on */

START_TEST(json_is_read_or_refused)
{
    struct problem problem = { 0 };
    json_t *json = NULL;
    size_t bytes = strlen(jsons[_i].text);
    char *copy = memory_take(bytes); /* of its exact size, for the sanitizer */

    memcpy(copy, jsons[_i].text, bytes);
    ck_assert_msg(json_read(copy, bytes, "params", &problem, &json) == jsons[_i].answer, "%s: %s",
                  jsons[_i].what, problem.text);
    ck_assert((json != NULL) == (jsons[_i].answer == ERR_OK));
    ck_assert_str_eq(problem.field, json == NULL ? "params" : "");
    json_decref(json);
    free(copy);
}
END_TEST

START_TEST(json_is_written)
{
    struct json_writer writer = { 0 };
    json_t *tree = json_pack("{s:[i,b,n,f,[],{}],s:s}", "t", 1, 0, 0.5, "e", "\"\n");

    for (int i = 0; i < 2; i++) { /* the second time into the same memory */
        json_writer_reset(&writer);
        json_open_object(&writer, NULL);
        json_put_text(&writer, "a\"b", "x\\y\n\x01\xc3\xa9");
        json_put_int(&writer, "n", INT64_MIN);
        json_open_array(&writer, "l");
        json_put_bool(&writer, NULL, true);
        json_open_object(&writer, NULL);
        json_close_object(&writer);
        json_put_bool(&writer, NULL, false);
        json_close_array(&writer);
        json_put_raw(&writer, "r", "{}", 2);
        json_put_tree(&writer, "t", tree);
        json_close_object(&writer);
        ck_assert_str_eq(writer.text,
                         "{\"a\\\"b\":\"x\\\\y\\u000a\\u0001\xc3\xa9\",\"n\":-9223372036854775808,"
                         "\"l\":[true,{},false],\"r\":{},\"t\":{\"t\":[1,false,null,0.5,[],{}],"
                         "\"e\":\"\\\"\\u000a\"}}");
        ck_assert_uint_eq(writer.bytes, strlen(writer.text));
    }
    json_decref(tree);
    json_writer_free(&writer);
}
END_TEST

/* clang-format off */
static const struct {
    const char *what, *text, *clean;
} shown[] = {
    { "nothing to clean",            "a \xc3\xa9 \xe6\x97\xa5 \xf0\x9d\x84\x9e ~", "a \xc3\xa9 \xe6\x97\xa5 \xf0\x9d\x84\x9e ~" },
    { "nothing",                     "",                        "" },
    { "an escape",                   "a\x1b[31mb",             "a [31mb" },
    { "lines and tabs",              "a\r\n\tb",               "a   b" },
    { "DEL",                         "a\x7f",                  "a " },
    { "U+0080, the first of C1",     "a\xc2\x80z",            "a  z" },
    { "U+009B, the escape of C1",    "a\xc2\x9b" "31mb",      "a  31mb" },
    { "U+009F, the last of C1",      "a\xc2\x9f",              "a  " },
    { "U+00A0, a space",             "a\xc2\xa0",              "a\xc2\xa0" },
    { "U+061C, a mark of direction",  "a\xd8\x9c" "b",           "a  b" },
    { "U+061B, a semicolon",         "\xd8\x9b",               "\xd8\x9b" },
    { "U+200A, a space",             "\xe2\x80\x8a",           "\xe2\x80\x8a" },
    { "U+200B has no width",         "a\xe2\x80\x8b" "b",       "a   b" },
    { "U+200F, a mark of direction",  "\xe2\x80\x8f",           "   " },
    { "U+2010, a hyphen",            "\xe2\x80\x90",           "\xe2\x80\x90" },
    { "U+FEFF has no width",         "\xef\xbb\xbf" "a",        "   a" },
    { "U+2027, a point",             "\xe2\x80\xa7",           "\xe2\x80\xa7" },
    { "U+2028 ends a line",          "\xe2\x80\xa8",           "   " },
    { "U+202E turns text around",    "a\xe2\x80\xae" "gnp.exe", "a   gnp.exe" },
    { "U+202F, a space",             "\xe2\x80\xaf",           "\xe2\x80\xaf" },
    { "U+2066 begins a direction",   "\xe2\x81\xa6",           "   " },
    { "U+2069 ends it",              "\xe2\x81\xa9",           "   " },
    { "cut in such a character",     "a\xe2\x80",              "a\xe2\x80" },
    { "cut before its second byte",  "a\xc2",                  "a\xc2" },
};
/* clang-format on */

START_TEST(what_a_terminal_obeys_is_not_shown)
{
    char text[64];

    snprintf(text, sizeof text, "%s", shown[_i].text);
    terminal_clean(text);
    ck_assert_msg(strcmp(text, shown[_i].clean) == 0, "%s: '%s'", shown[_i].what, text);
}
END_TEST

/* clang-format off */
static const struct {
    const char *what, *text;
    const char *found; /* NULL: not found */
} peeks[] = {
    { "the first member",                   "{\"k\":\"v\",\"l\":1}",                 "v"  },
    { "the last member",                    "{\"l\":[1,{}],\"k\":\"v\"}",            "v"  },
    { "an empty text",                      "{\"k\":\"\"}",                          ""   },
    { "a member of that name deeper down",  "{\"l\":{\"k\":\"x\"},\"k\":\"v\"}",   "v"  },
    { "only deeper down",                   "{\"l\":{\"k\":\"x\"}}",                 NULL },
    { "a text that is like the name",       "{\"l\":\"k\",\"m\":\"k\"}",             NULL },
    { "a text that holds the member",       "{\"l\":\"{\\\"k\\\":\\\"x\\\"\"}",    NULL },
    { "brackets in a text before it",       "{\"l\":\"}]{\",\"k\":\"v\"}",           "v"  },
    { "a longer name",                      "{\"kk\":\"v\"}",                        NULL },
    { "a shorter name",                     "{\"\":\"v\"}",                          NULL },
    { "a number",                           "{\"k\":1}",                             NULL },
    { "a text with an escape",              "{\"k\":\"a\\\"b\"}",                   NULL },
    { "a text that does not end",           "{\"k\":\"v",                           NULL },
    { "a text that ends in a backslash",    "{\"k\":\"v\\",                         NULL },
    { "an array",                           "[\"k\",\"v\"]",                         NULL },
    { "nothing",                            "",                                      NULL },
};
/* clang-format on */

START_TEST(member_is_peeked)
{
    const char *value;
    size_t bytes;
    bool is_found = json_peek_text(peeks[_i].text, "k", &value, &bytes);

    ck_assert_msg(is_found == (peeks[_i].found != NULL), "%s", peeks[_i].what);
    if (is_found) {
        ck_assert_uint_eq(bytes, strlen(peeks[_i].found));
        ck_assert_msg(memcmp(value, peeks[_i].found, bytes) == 0, "%s", peeks[_i].what);
    }
}
END_TEST

START_TEST(field_is_checked)
{
    struct problem problem = { 0 };
    const char *text = fields[_i].text;
    enum error answer = ERR_OK;

    switch (fields[_i].kind) {
    case WORD:
        answer = check_word(&problem, "sku", text, 8);
        break;
    case TEXT:
        answer = check_text(&problem, "sku", text, 2, 4);
        break;
    case CURRENCY:
        answer = check_currency(&problem, "sku", text);
        break;
    case URL:
        answer = check_url(&problem, "sku", text, 64);
        break;
    case CUSTOMER:
        answer = check_customer(&problem, "sku", text);
        break;
    }
    ck_assert_msg(answer == fields[_i].answer, "%s: %s", fields[_i].what, problem.text);
    ck_assert_int_eq(problem.error, answer);
    ck_assert_str_eq(problem.field, answer == ERR_OK ? "" : "sku");
}
END_TEST

START_TEST(page_size_is_checked)
{
    struct problem problem = { 0 };
    int32_t size = -7;

    ck_assert_msg(check_page_size(&problem, pages[_i].asked, &size) == pages[_i].answer, "%s",
                  pages[_i].what);
    ck_assert_msg(size == pages[_i].size, "%s: %d", pages[_i].what, size);
}
END_TEST

START_TEST(page_token_is_an_id)
{
    struct problem problem = { 0 };
    struct uuid id = { .bytes = { 1 } }, before;
    int32_t size = 0;

    ck_assert_int_eq(check_page_id(&problem, "", &id), ERR_OK);
    ck_assert(uuid_is_nil(id));
    ck_assert_int_eq(check_page_id(&problem, "0190a5f0-1c7b-7abc-8def-0123456789ab", &id), ERR_OK);
    ck_assert(!uuid_is_nil(id));
    ck_assert_int_eq(check_page_before(&problem, "", 7, &before, &size), ERR_OK);
    ck_assert_int_gt(uuid_compare(&before, &id), 0); /* above every id */
    ck_assert_int_eq(size, 7);
    ck_assert_int_eq(
        check_page_before(&problem, "0190a5f0-1c7b-7abc-8def-0123456789ab", 0, &before, &size),
        ERR_OK);
    ck_assert(uuid_equal(before, id));
    ck_assert_int_eq(check_page_id(&problem, "next", &id), ERR_BAD_REQUEST);
    ck_assert_str_eq(problem.field, "page_token");
    memset(&problem, 0, sizeof problem);
    ck_assert_int_eq(check_page_before(&problem, "next", 0, &id, &size), ERR_BAD_REQUEST);
    ck_assert_str_eq(problem.field, "page_token");
}
END_TEST

START_TEST(decision_is_recalled)
{
    struct problem problem;

    memset(&problem, 0x5a, sizeof problem);
    ck_assert_msg(problem_recall(&problem, recalls[_i].reason, "why") == recalls[_i].error, "%s",
                  recalls[_i].what);
    ck_assert_int_eq(problem.error, recalls[_i].error);
    ck_assert_int_eq(problem.is_stored, recalls[_i].error != ERR_OK);
    ck_assert_str_eq(problem_reason(&problem), recalls[_i].reason);
    ck_assert_str_eq(problem.text, recalls[_i].error == ERR_OK ? "" : "why");
}
END_TEST

/* What a repeat hears is what the first call heard, to the letter. */
/* clang-format off */
static const struct {
    const char *what, *field, *text;
} refusals[] = {
    { "a field and a rule",           "lines[2].quantity", "must be at least 1" },
    { "no field",                     "",                  "the account has 3" },
    { "neither",                      "",                  "" },
    { "a field alone",                "amount_minor",      "" },
    { "a stranger's separator",       "",                  "no such product: a\x1f" "b" },
    { "a stranger's, and a field",    "sku",               "\x1f\x1f" },
    { "the longest of both",
      "123456789.123456789.123456789.123456789.123456789.123456789.123",
      "123456789.123456789.123456789.123456789.123456789.123456789.123456789.123456789.123456789."
      "123456789.123456789.123456789.123456789.123456789.123456789.123456789.123456789.123456789.1" },
};
/* clang-format on */

START_TEST(refusal_is_recalled_whole)
{
    struct problem first, again;
    char detail[PROBLEM_DETAIL_BYTES_MAX];

    problem_refuse(&first, "NO_FUNDS", refusals[_i].field, "%s", refusals[_i].text);
    first.is_stored = true;
    problem_recall(&again, problem_reason(&first), problem_detail(&first, detail));
    ck_assert_str_eq(again.field, refusals[_i].field);
    ck_assert_str_eq(again.text, refusals[_i].text);
    ck_assert_msg(memcmp(&first, &again, sizeof first) == 0, "%s", refusals[_i].what);
}
END_TEST

START_TEST(ok_leaves_no_detail)
{
    const struct problem fine = { .error = ERR_OK, .text = "left over" };
    char detail[PROBLEM_DETAIL_BYTES_MAX];

    ck_assert_str_eq(problem_detail(&fine, detail), "");
}
END_TEST

START_TEST(every_error_is_whole)
{
    struct problem problem;

    for (int i = 0; i < ERR_COUNT; i++) {
        enum error error = (enum error)i;

        ck_assert_int_gt((int)strlen(error_text(error)), 0);
        ck_assert_int_lt((int)strlen(error_name(error)), (int)sizeof problem.reason);
        ck_assert((error_wire_code(error) == WIRE_OK) == (error == ERR_OK));
        ck_assert((error_http_status(error) == 200) == (error == ERR_OK));
        ck_assert((error_kind(error) == ERROR_KIND_UNKNOWN) == (error == ERR_UNCERTAIN));
        if (error_kind(error) == ERROR_KIND_NOT_DONE && error != ERR_CONFLICT)
            ck_assert_ptr_nonnull(strstr(error_text(error), "nothing was done"));
    }
}
END_TEST

START_TEST(problem_cuts_what_is_too_long)
{
    struct problem problem;
    char text[400];

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    ck_assert_int_eq(problem_refuse(&problem, text, text, "%s", text), ERR_REFUSED);
    ck_assert_uint_eq(strlen(problem.reason), sizeof problem.reason - 1);
    ck_assert_uint_eq(strlen(problem.field), sizeof problem.field - 1);
    ck_assert_uint_eq(strlen(problem.text), sizeof problem.text - 1);
}
END_TEST

START_TEST(arena_gives_zeroed_memory_again)
{
    struct arena *arena = arena_new();

    for (int round = 0; round < 6; round++) {
        if (round == 3)
            arena_keep(arena, 100000);
        for (size_t bytes = 0; bytes < 20000; bytes += 777) {
            unsigned char *memory = arena_take(arena, bytes);

            ck_assert_uint_eq((uintptr_t)memory % 16, 0);
            ck_assert(bytes == 0 || (memory[0] == 0 && memcmp(memory, memory + 1, bytes - 1) == 0));
            memset(memory, 0xff, bytes);
        }
        arena_reset(arena);
    }
    ck_assert_str_eq(arena_copy(arena, "abc", 2), "ab");
    ck_assert_str_eq(arena_print(arena, "%s-%05d", "x", 42), "x-00042");
    ck_assert_ptr_null(arena_free(arena));
    ck_assert_ptr_null(arena_free(NULL));
}
END_TEST

int
main(void)
{
    TCase *test = check_case("text");

    tcase_add_loop_test(test, json_is_read_or_refused, 0, ROWS(jsons));
    tcase_add_test(test, json_is_written);
    tcase_add_loop_test(test, what_a_terminal_obeys_is_not_shown, 0, ROWS(shown));
    tcase_add_loop_test(test, member_is_peeked, 0, ROWS(peeks));
    tcase_add_loop_test(test, field_is_checked, 0, ROWS(fields));
    tcase_add_loop_test(test, page_size_is_checked, 0, ROWS(pages));
    tcase_add_test(test, page_token_is_an_id);
    tcase_add_loop_test(test, decision_is_recalled, 0, ROWS(recalls));
    tcase_add_loop_test(test, refusal_is_recalled_whole, 0, ROWS(refusals));
    tcase_add_test(test, ok_leaves_no_detail);
    tcase_add_test(test, every_error_is_whole);
    tcase_add_test(test, problem_cuts_what_is_too_long);
    tcase_add_test(test, arena_gives_zeroed_memory_again);
    return check_run("base_check", test);
}
