/* Ids: what is taken for one, and what it says of its time. */
#include "mesh/base/clock.h"
#include "mesh/base/uuid.h"
#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

#define NOW_US INT64_C(1763718000123000) /* in November 2025 */

/* clang-format off */
static const struct {
    const char *what, *text;
    bool is_id;
} texts[] = {
    { "a v7",               "019aa5f0-1c7b-7abc-8def-0123456789ab", true },
    { "a v4, still a uuid", "f47ac10b-58cc-4372-a567-0e02b2c3d479", true },
    { "nil",                "00000000-0000-0000-0000-000000000000", true },
    { "empty",              "", false },
    { "upper case",         "019AA5F0-1C7B-7ABC-8DEF-0123456789AB", false },
    { "one short",          "019aa5f0-1c7b-7abc-8def-0123456789a", false },
    { "one long",           "019aa5f0-1c7b-7abc-8def-0123456789abc", false },
    { "braces",             "{019aa5f0-1c7b-7abc-8def-0123456789}", false },
    { "no dashes",          "019aa5f01c7b7abc8def0123456789ab", false },
    { "36 without dashes",  "019aa5f01c7b7abc8def0123456789ab0000", false },
    { "a dash moved",       "019aa5f01-c7b-7abc-8def-0123456789ab", false },
    { "a letter past f",    "019aa5f0-1c7b-7abc-8def-0123456789ag", false },
    { "a space in front",   " 19aa5f0-1c7b-7abc-8def-0123456789ab", false },
    { "a sign",             "+19aa5f0-1c7b-7abc-8def-0123456789ab", false },
};

static const struct {
    const char *what, *text; /* NULL: a v7 of now and offset_us */
    int64_t offset_us;
    enum error answer;
    const char *says; /* a piece of the rule */
} ids[] = {
    { "now",                      NULL, 0,                      ERR_OK, "" },
    { "long ago",                 NULL, -400 * DAY_US,          ERR_OK, "" },
    { "ahead by just 5 minutes",  NULL, 300 * SECOND_US,        ERR_OK, "" },
    { "a ms more than 5 minutes", NULL, 300 * SECOND_US + 1000, ERR_TOO_EARLY, "future" },
    { "missing",                  "",   0,                      ERR_BAD_REQUEST, "is missing" },
    { "no uuid",                  "order-1", 0,                 ERR_BAD_REQUEST, "36-character" },
    { "upper case",               "019AA5F0-1C7B-7ABC-8DEF-0123456789AB", 0, ERR_BAD_REQUEST, "lower-case" },
    { "a v4",                     "f47ac10b-58cc-4372-a567-0e02b2c3d479", 0, ERR_BAD_REQUEST, "UUIDv7" },
    { "nil",                      "00000000-0000-0000-0000-000000000000", 0, ERR_BAD_REQUEST, "UUIDv7" },
    { "a v7 of another variant",  "0190a5f0-1c7b-7abc-cdef-0123456789ab", 0, ERR_BAD_REQUEST, "UUIDv7" },
    { "a v8",                     "0190a5f0-1c7b-8abc-8def-0123456789ab", 0, ERR_OK, "" },
};

static const struct {
    const char *what;
    int64_t age_us;
    bool is_too_old;
} ages[] = {
    { "new",                    0,                            false },
    { "45 days to the ms",      ID_DAYS_KEPT * DAY_US,        false },
    { "a ms more than 45 days", ID_DAYS_KEPT * DAY_US + 1000, true },
    { "from the future",        -DAY_US,                      false },
};

/* The name spaces of RFC 9562, 6.6; the first row is its vector of A.4, the others are those of Python's uuid5(). */
static const struct {
    const char *space, *name, *id;
} names[] = {
    { "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "www.example.com",     "2ed6657d-e927-568b-95e1-2665a8aea6a2" },
    { "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "python.org",          "886313e1-3b8a-5372-9b90-0c9aee199e5d" },
    { "6ba7b811-9dad-11d1-80b4-00c04fd430c8", "http://python.org/",  "4c565f0d-3f5a-5890-b41b-20cf47701c5e" },
    { "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "",                    "4ebd0208-8328-5d69-8c44-ec50939c0967" },
};
/* clang-format on */

START_TEST(text_is_parsed_and_printed)
{
    struct uuid id, before;
    char text[UUID_TEXT_BYTES + 1];

    memset(&id, 0x5a, sizeof id);
    before = id;
    ck_assert_msg(uuid_parse(texts[_i].text, strlen(texts[_i].text), &id) == texts[_i].is_id, "%s",
                  texts[_i].what);
    if (texts[_i].is_id)
        ck_assert_str_eq(uuid_print(id, text), texts[_i].text);
    else
        ck_assert(uuid_equal(id, before));
}
END_TEST

START_TEST(id_is_checked)
{
    struct problem problem = { 0 };
    struct uuid id = { { 0 } };
    char text[UUID_TEXT_BYTES + 1];
    const char *asked = ids[_i].text == NULL ? text : ids[_i].text;

    uuid_print(uuid_v7(NOW_US + ids[_i].offset_us), text);
    ck_assert_msg(id_check(asked, "order_id", NOW_US, &problem, &id) == ids[_i].answer, "%s: %s",
                  ids[_i].what, problem.text);
    ck_assert_msg(strstr(problem.text, ids[_i].says) != NULL, "%s: %s", ids[_i].what, problem.text);
    ck_assert_str_eq(problem.field, ids[_i].answer == ERR_OK ? "" : "order_id");
    ck_assert(uuid_is_nil(id) == (ids[_i].answer != ERR_OK));
}
END_TEST

START_TEST(id_grows_too_old)
{
    ck_assert_msg(id_is_too_old(uuid_v7(NOW_US - ages[_i].age_us), NOW_US) == ages[_i].is_too_old,
                  "%s", ages[_i].what);
}
END_TEST

START_TEST(v7_carries_its_time_in_order)
{
    struct uuid before = uuid_v7(NOW_US - 1000), id;

    for (int64_t ms = 0; ms < 2000; ms++) {
        id = uuid_v7(NOW_US + ms * 1000);
        ck_assert_int_eq(uuid_time_us(id), NOW_US + ms * 1000);
        ck_assert_int_eq(id.bytes[6] >> 4, 7);
        ck_assert_int_eq(id.bytes[8] >> 6, 2);
        ck_assert_int_lt(uuid_compare(&before, &id), 0);
        ck_assert(!uuid_equal(id, uuid_v7(NOW_US + ms * 1000)));
        before = id;
    }
}
END_TEST

START_TEST(v7_is_in_order_within_a_millisecond)
{
    struct uuid before = uuid_v7(NOW_US), id;

    for (int64_t us = 1; us < 1000; us++) {
        id = uuid_v7(NOW_US + us);
        ck_assert_int_eq(uuid_time_us(id), NOW_US);
        ck_assert_int_eq(id.bytes[6] >> 4, 7);
        ck_assert_int_lt(uuid_compare(&before, &id), 0);
        before = id;
    }
}
END_TEST

START_TEST(v8_is_the_same_for_the_same)
{
    struct uuid id = uuid_v8(NOW_US, "seed", 4);

    ck_assert(uuid_equal(id, uuid_v8(NOW_US, "seed", 4)));
    ck_assert(uuid_equal(id, uuid_v8(NOW_US + 999, "seed", 4))); /* ids count milliseconds */
    ck_assert(!uuid_equal(id, uuid_v8(NOW_US + 1000, "seed", 4)));
    ck_assert(!uuid_equal(id, uuid_v8(NOW_US, "seee", 4)));
    ck_assert(!uuid_equal(id, uuid_v8(NOW_US, "see", 3)));
    ck_assert_int_eq(uuid_time_us(id), NOW_US);
    ck_assert_int_eq(id.bytes[6] >> 4, 8);
    ck_assert_int_eq(id.bytes[8] >> 6, 2);
}
END_TEST

START_TEST(v5_is_of_the_name)
{
    char text[UUID_TEXT_BYTES + 1];
    struct uuid space;

    ck_assert(uuid_parse(names[_i].space, UUID_TEXT_BYTES, &space));
    ck_assert_str_eq(uuid_print(uuid_v5(space, names[_i].name, strlen(names[_i].name)), text),
                     names[_i].id);
}
END_TEST

int
main(void)
{
    TCase *test = check_case("uuid");

    tcase_add_loop_test(test, text_is_parsed_and_printed, 0, ROWS(texts));
    tcase_add_loop_test(test, id_is_checked, 0, ROWS(ids));
    tcase_add_loop_test(test, id_grows_too_old, 0, ROWS(ages));
    tcase_add_test(test, v7_carries_its_time_in_order);
    tcase_add_test(test, v7_is_in_order_within_a_millisecond);
    tcase_add_test(test, v8_is_the_same_for_the_same);
    tcase_add_loop_test(test, v5_is_of_the_name, 0, ROWS(names));
    return check_run("base_uuid", test);
}
