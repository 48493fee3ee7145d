/* Numbers, hexadecimal digits and base64, and what only looks like them. */
#include "mesh/base/text.h"
#include "tests/support/check.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
static const struct {
    const char *text;
    int64_t min, max;
    bool is_read;
    int64_t value;
} ints[] = {
    { "0",                    0,         10,        true,  0 },
    { "10",                   0,         10,        true,  10 },
    { "007",                  0,         10,        true,  7 },
    { "11",                   0,         10,        false, 0 },
    { "1",                    2,         10,        false, 0 },
    { "-1",                   -1,        10,        true,  -1 },
    { "-1",                   0,         10,        false, 0 },
    { "-0",                   0,         10,        false, 0 },
    { "-",                    -1,        10,        false, 0 },
    { "--1",                  -1,        10,        false, 0 },
    { "+1",                   0,         10,        false, 0 },
    { " 1",                   0,         10,        false, 0 },
    { "1 ",                   0,         10,        false, 0 },
    { "1.0",                  0,         10,        false, 0 },
    { "0x1",                  0,         10,        false, 0 },
    { "",                     0,         10,        false, 0 },
    { "9223372036854775807",  INT64_MIN, INT64_MAX, true,  INT64_MAX },
    { "-9223372036854775808", INT64_MIN, INT64_MAX, true,  INT64_MIN },
    { "9223372036854775808",  INT64_MIN, INT64_MAX, false, 0 },
    { "-9223372036854775809", INT64_MIN, INT64_MAX, false, 0 },
};

static const struct {
    const char *text, *data; /* NULL: it is none */
} base64[] = {
    /* RFC 4648, 10 */
    { "", "" }, { "Zg==", "f" }, { "Zm8=", "fo" }, { "Zm9v", "foo" }, { "Zm9vYg==", "foob" },
    { "Zm9vYmE=", "fooba" }, { "Zm9vYmFy", "foobar" }, { "+/v/", "\xfb\xfb\xff" },
    { "Zg=", NULL }, { "Z", NULL }, { "Zm9vY", NULL }, { "Z===", NULL }, { "=", NULL }, { "====", NULL },
    { "Zm9v=", NULL }, { "Zm9vYg=a", NULL }, { "Zm 9", NULL }, { "Zm9v\n", NULL }, { "Z.8=", NULL },
}, base64_only_read[] = {
    { "Zg", "f" }, { "Zm8", "fo" }, { "-_v_", "\xfb\xfb\xff" },
};
/* clang-format on */

START_TEST(a_whole_number_is_read)
{
    int64_t value = 0;

    ck_assert_msg(text_read_int(ints[_i].text, ints[_i].min, ints[_i].max, &value) ==
                      ints[_i].is_read,
                  "'%s'", ints[_i].text);
    ck_assert_int_eq(value, ints[_i].value);
}
END_TEST

START_TEST(a_set_is_asked)
{
    ck_assert(text_is_of("a-9", TEXT_LETTERS_AND_DIGITS "-"));
    ck_assert(!text_is_of("a-9", TEXT_LETTERS_AND_DIGITS));
    ck_assert(!text_is_of("", TEXT_DIGITS));
    ck_assert(!text_is_of(NULL, TEXT_DIGITS));
}
END_TEST

START_TEST(hexadecimal_digits_are_lower_case)
{
    static const unsigned char bytes[] = { 0x00, 0x9a, 0xff };
    char text[7] = "......";
    int known = 0;

    ck_assert_ptr_eq(text_print_hex(bytes, 3, text), text + 6);
    ck_assert_str_eq(text, "009aff");
    for (int c = CHAR_MIN; c <= CHAR_MAX; c++)
        known += text_hex_digit((char)c) >= 0;
    ck_assert_int_eq(known, 16);
    ck_assert_int_eq(text_hex_digit('0'), 0);
    ck_assert_int_eq(text_hex_digit('a'), 10);
    ck_assert_int_eq(text_hex_digit('f'), 15);
}
END_TEST

static void
base64_check(const char *text, const char *data)
{
    uint8_t read[32];
    size_t count = 99;

    ck_assert_msg(text_read_base64(text, strlen(text), read, &count) == (data != NULL), "%s", text);
    if (data == NULL)
        return;
    ck_assert_uint_eq(count, strlen(data));
    ck_assert_mem_eq(read, data, count);
}

START_TEST(base64_is_read_and_printed)
{
    const char *data = base64[_i].data;
    char text[32];

    base64_check(base64[_i].text, data);
    if (data != NULL)
        ck_assert_str_eq(text_print_base64(data, strlen(data), text), base64[_i].text);
}
END_TEST

START_TEST(base64_of_urls_is_read)
{
    base64_check(base64_only_read[_i].text, base64_only_read[_i].data);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("text");

    tcase_add_loop_test(cases, a_whole_number_is_read, 0, ROWS(ints));
    tcase_add_test(cases, a_set_is_asked);
    tcase_add_test(cases, hexadecimal_digits_are_lower_case);
    tcase_add_loop_test(cases, base64_is_read_and_printed, 0, ROWS(base64));
    tcase_add_loop_test(cases, base64_of_urls_is_read, 0, ROWS(base64_only_read));
    return check_run("base_text", cases);
}
