/* Times as RFC 3339 writes them, and those that only look so. */
#include "mesh/base/clock.h"
#include "mesh/base/time.h"
#include "tests/support/check.h"

#include <stdlib.h>

#define NOON INT64_C(1795262400000000)
#define LAST INT64_C(253402300799999999)

/* clang-format off */
static const struct {
    const char *text;
    int64_t time_us; /* -1: it is none */
} reads[] = {
    { "1970-01-01T00:00:00Z",             0 },
    { "2026-11-21T12:00:00Z",             NOON },
    { "2026-11-21T12:00:00.5Z",           NOON + 500000 },
    { "2026-11-21T12:00:00.25Z",          NOON + 250000 },
    { "2026-11-21T12:00:00.000001Z",      NOON + 1 },
    { "2026-11-21T12:00:00.1234567Z",     NOON + 123456 },
    { "2026-11-21T12:00:00.999999999Z",   NOON + 999999 },
    { "2026-11-21T12:00:00.00000000000000+00:00", NOON },
    { "2026-11-21T12:00:00.000000000000000+00:00", -1 }, /* 41 characters */
    { "2026-11-21T21:00:00+09:00",        NOON },
    { "2026-11-21T06:30:00-05:30",        NOON },
    { "2026-11-21T12:00:00-00:00",        NOON },
    { "2000-02-29T00:00:00Z",             INT64_C(951782400000000) },
    { "2028-02-29T00:00:00Z",             INT64_C(1835395200000000) },
    { "2026-12-31T23:59:60Z",             INT64_C(1798761600000000) },
    { "9999-12-31T23:59:59.999999Z",      LAST },
    { "9999-12-31T23:59:59.999999-00:01", -1 },
    { "9999-12-31T23:59:60Z",             -1 },
    { "1969-12-31T23:59:59Z",             -1 },
    { "1970-01-01T00:00:00+00:01",        -1 },
    { "10000-01-01T00:00:00Z",            -1 },
    { "2026-02-29T00:00:00Z",             -1 },
    { "2026-02-30T00:00:00Z",             -1 },
    { "2100-02-29T00:00:00Z",             -1 },
    { "2026-11-31T00:00:00Z",             -1 },
    { "2026-11-00T00:00:00Z",             -1 },
    { "2026-00-01T00:00:00Z",             -1 },
    { "2026-13-21T12:00:00Z",             -1 },
    { "2026-11-30T24:00:00Z",             -1 },
    { "2026-11-30T23:60:00Z",             -1 },
    { "2026-11-30T23:00:60Z",             -1 },
    { "2026-11-30T23:59:61Z",             -1 },
    { "2026-11-30T25:61:61Z",             -1 },
    { "2026-11-30T12:00:00+99:99",        -1 },
    { "2026-11-30T12:00:00+24:00",        -1 },
    { "2026-11-30T12:00:00+09:60",        -1 },
    { "2026-11-30T12:00:00+9:00",         -1 },
    { "2026-11-30T12:00:00+0900",         -1 },
    { "2026-11-30T12:00:00+09:00x",       -1 },
    { "2026-11-30T12:00:00+",             -1 },
    { "2026-11-30T12:00:00.Z",            -1 },
    { "2026-11-30T12:00:00,5Z",           -1 },
    { "2026-11-30T12:00:00z",             -1 },
    { "2026-11-30t12:00:00Z",             -1 },
    { "2026-11-30 12:00:00Z",             -1 },
    { "2026-11-30T12:00Z",                -1 },
    { "2026-11-30T12:00:00",              -1 },
    { "2026-11-30T12:00:00ZZ",            -1 },
    { "2026-11-30",                       -1 },
    { " 026-11-30T12:00:00Z",             -1 },
    { "+026-11-30T12:00:00Z",             -1 },
    { "2026-+1-30T12:00:00Z",             -1 },
    { "2026-1-30T12:00:00Z",              -1 },
    { "2026-11-30T-1:00:00Z",             -1 },
    { "yesterday",                        -1 },
    { "",                                 -1 },
    { NULL,                               -1 },
};

static const struct {
    int64_t time_us;
    const char *micros, *seconds, *http;
} prints[] = {
    { 0,         "1970-01-01T00:00:00.000000Z", "1970-01-01T00:00:00Z", "Thu, 01 Jan 1970 00:00:00 GMT" },
    { NOON,      "2026-11-21T12:00:00.000000Z", "2026-11-21T12:00:00Z", "Sat, 21 Nov 2026 12:00:00 GMT" },
    { NOON + 1,  "2026-11-21T12:00:00.000001Z", "2026-11-21T12:00:00Z", "Sat, 21 Nov 2026 12:00:00 GMT" },
    { NOON - 1,  "2026-11-21T11:59:59.999999Z", "2026-11-21T11:59:59Z", "Sat, 21 Nov 2026 11:59:59 GMT" },
    { INT64_C(951782400000000),
                 "2000-02-29T00:00:00.000000Z", "2000-02-29T00:00:00Z", "Tue, 29 Feb 2000 00:00:00 GMT" },
    { INT64_C(4107542400000000),
                 "2100-03-01T00:00:00.000000Z", "2100-03-01T00:00:00Z", "Mon, 01 Mar 2100 00:00:00 GMT" },
    { LAST,      "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59Z", "Fri, 31 Dec 9999 23:59:59 GMT" },
    { INT64_MAX, "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59Z", "Fri, 31 Dec 9999 23:59:59 GMT" },
    { -1,        "1970-01-01T00:00:00.000000Z", "1970-01-01T00:00:00Z", "Thu, 01 Jan 1970 00:00:00 GMT" },
    { INT64_MIN, "1970-01-01T00:00:00.000000Z", "1970-01-01T00:00:00Z", "Thu, 01 Jan 1970 00:00:00 GMT" },
};
/* clang-format on */

START_TEST(a_time_is_read)
{
    int64_t time_us = -1;

    ck_assert_msg(time_read(reads[_i].text, &time_us) == (reads[_i].time_us >= 0), "%s",
                  reads[_i].text);
    ck_assert_int_eq(time_us, reads[_i].time_us);
}
END_TEST

START_TEST(a_time_is_printed)
{
    char text[TIME_TEXT_BYTES + 1], http[TIME_HTTP_BYTES + 1];

    ck_assert_str_eq(time_print(prints[_i].time_us, text), prints[_i].micros);
    ck_assert_str_eq(time_print_seconds(prints[_i].time_us, text), prints[_i].seconds);
    ck_assert_str_eq(time_print_http(prints[_i].time_us, http), prints[_i].http);
}
END_TEST

/* Each day of five hundred years, at a second of its own. */
START_TEST(what_is_printed_is_read)
{
    int64_t time_us = 0, read_us = 0;

    for (int64_t day = 0; time_us == read_us && day < 500 * 365; day++) {
        char text[TIME_TEXT_BYTES + 1];

        time_us = day * DAY_US + day % 86400 * SECOND_US + day % 1000003;
        time_read(time_print(time_us, text), &read_us);
    }
    ck_assert_int_eq(read_us, time_us);
}
END_TEST

int
main(void)
{
    TCase *test = check_case("time");

    tcase_add_loop_test(test, a_time_is_read, 0, ROWS(reads));
    tcase_add_loop_test(test, a_time_is_printed, 0, ROWS(prints));
    tcase_add_test(test, what_is_printed_is_read);
    return check_run("base_time", test);
}
