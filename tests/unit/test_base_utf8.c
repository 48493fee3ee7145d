/* Which bytes are characters, and what becomes of those that are none. */
#include "mesh/base/arena.h"
#include "mesh/base/utf8.h"
#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

/* clang-format off */
static const struct {
    const char *what, *text, *repaired; /* repaired: NULL: the text is valid */
} texts[] = {
    { "nothing",                    "",                     NULL },
    { "ASCII",                      "a b\x7f\n",            NULL },
    { "two, three and four bytes",  "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", NULL },
    { "the least of each length",   "\xc2\x80\xe0\xa0\x80\xf0\x90\x80\x80", NULL },
    { "the last character",         "\xf4\x8f\xbf\xbf",     NULL },
    { "beside the surrogates",      "\xed\x9f\xbf\xee\x80\x80", NULL },
    { "Latin-1",                    "caf\xe9!",             "caf?!" },
    { "a lone middle",              "a\x80z",               "a?z" },
    { "cut at its end",             "a\xe2\x82",            "a??" },
    { "cut by a letter",            "\xe2\x82z",            "??z" },
    { "overlong, two bytes",        "\xc0\xaf",             "??" },
    { "overlong, three bytes",      "\xe0\x9f\xbf",         "???" },
    { "overlong, four bytes",       "\xf0\x8f\xbf\xbf",     "????" },
    { "a surrogate",                "\xed\xa0\x80",         "???" },
    { "beyond the last",            "\xf4\x90\x80\x80",     "????" },
    { "what never begins one",      "\xf5\xff",             "??" },
};

static const struct {
    const char *what, *text;
    size_t max, kept;
} cuts[] = {
    { "shorter",                              "abc",              5, 3 },
    { "just fits",                            "abcde",            5, 5 },
    { "one too many",                         "abcdef",           5, 5 },
    { "nothing",                              "",                 5, 0 },
    { "two bytes across the edge",            "abcd\xc3\xa9",     5, 4 },
    { "two bytes before the edge",            "abc\xc3\xa9z",     5, 5 },
    { "three bytes across the edge",          "abc\xe2\x82\xac",  5, 3 },
    { "four bytes, and no room for them",     "\xf0\x9f\x98\x80", 3, 0 },
};
/* clang-format on */

START_TEST(text_is_valid_or_repaired)
{
    struct arena *arena = arena_new();
    const char *text = texts[_i].text, *repaired = texts[_i].repaired;

    ck_assert_msg(utf8_is_valid(text, strlen(text)) == (repaired == NULL), "%s", texts[_i].what);
    ck_assert_str_eq(utf8_repair(text, arena), repaired == NULL ? text : repaired);
    arena_free(arena);
}
END_TEST

/* A buffer that holds the beginning of a character is not read beyond its end. */
START_TEST(a_cut_character_is_none)
{
    static const char euro[] = "\xe2\x82\xac";

    for (size_t bytes = 1; bytes < 3; bytes++) {
        char *cut = malloc(bytes); /* of this size alone: AddressSanitizer sees a byte too many */

        memcpy(cut, euro, bytes);
        ck_assert_uint_eq(utf8_bytes(cut, bytes), 0);
        free(cut);
    }
    ck_assert_uint_eq(utf8_bytes(euro, 3), 3);
    ck_assert_uint_eq(utf8_bytes("", 1), 1); /* a NUL */
}
END_TEST

START_TEST(texts_are_cut_between_characters)
{
    ck_assert_msg(utf8_cut(cuts[_i].text, cuts[_i].max) == cuts[_i].kept, "%s", cuts[_i].what);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("utf8");

    tcase_add_loop_test(cases, text_is_valid_or_repaired, 0, ROWS(texts));
    tcase_add_test(cases, a_cut_character_is_none);
    tcase_add_loop_test(cases, texts_are_cut_between_characters, 0, ROWS(cuts));
    return check_run("utf8", cases);
}
