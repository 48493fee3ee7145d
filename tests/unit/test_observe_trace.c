/* W3C Trace Context: what is a valid traceparent, and what its children keep. */
#include "mesh/observe/trace.h"
#include "tests/support/check.h"

#include <string.h>

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define CALLER "00f067aa0ba902b7"
#define ZERO_TRACE "00000000000000000000000000000000"
#define ZERO_CALLER "0000000000000000"

/* clang-format off */
static const struct {
    const char *what, *text, *parent; /* parent: what is carried on; "" is not valid */
} headers[] = {
    { "as it should be",        "00-" TRACE "-" CALLER "-01",       "00-" TRACE "-" CALLER "-01" },
    { "not sampled",            "00-" TRACE "-" CALLER "-00",       "00-" TRACE "-" CALLER "-00" },
    { "random trace id",        "00-" TRACE "-" CALLER "-03",       "00-" TRACE "-" CALLER "-03" },
    { "a later version",        "cc-" TRACE "-" CALLER "-01",       "00-" TRACE "-" CALLER "-01" },
    { "a later, longer one",    "cc-" TRACE "-" CALLER "-01-more",  "00-" TRACE "-" CALLER "-01" },
    { "later, but run together", "cc-" TRACE "-" CALLER "-01more",  "" },
    { "00 with more",           "00-" TRACE "-" CALLER "-01-more",  "" },
    { "version ff",             "ff-" TRACE "-" CALLER "-01",       "" },
    { "no trace",               "00-" ZERO_TRACE "-" CALLER "-01",  "" },
    { "no caller",              "00-" TRACE "-" ZERO_CALLER "-01",  "" },
    { "upper case",             "00-4BF92F3577B34DA6A3CE929D0E0E4736-" CALLER "-01", "" },
    { "not hex",                "00-" TRACE "-" "00f067aa0ba902bx" "-01", "" },
    { "flags cut short",        "00-" TRACE "-" CALLER "-0",        "" },
    { "other separators",       "00_" TRACE "-" CALLER "-01",       "" },
    { "empty",                  "",                                 "" },
};
/* clang-format on */

START_TEST(header_is_read_or_dropped)
{
    char parent[TRACE_PARENT_BYTES + 1] = "old";
    bool is_valid = trace_parse(headers[_i].text, strlen(headers[_i].text), parent);

    ck_assert_msg(strcmp(parent, headers[_i].parent) == 0, "%s: %s", headers[_i].what, parent);
    ck_assert_int_eq(is_valid, headers[_i].parent[0] != '\0');
}
END_TEST

START_TEST(a_span_keeps_the_trace)
{
    char parent[TRACE_PARENT_BYTES + 1], child[TRACE_PARENT_BYTES + 1];
    char parent_id[TRACE_ID_BYTES + 1], child_id[TRACE_ID_BYTES + 1];
    char parent_span[TRACE_SPAN_BYTES + 1], child_span[TRACE_SPAN_BYTES + 1];

    trace_start(parent);
    ck_assert(trace_parse(parent, strlen(parent), child)); /* what we start is valid */
    ck_assert_str_eq(parent, child);
    trace_set_span_random(child);
    ck_assert(trace_parse(child, strlen(child), child));
    ck_assert(trace_id(parent, parent_id) && trace_id(child, child_id));
    ck_assert_str_eq(parent_id, child_id);
    trace_span_id(parent, parent_span);
    trace_span_id(child, child_span);
    ck_assert_str_ne(parent_span, child_span);
    trace_set_span(child, 0xabc);
    ck_assert_str_eq(child + TRACE_PARENT_BYTES - 19, "0000000000000abc-02");

    trace_start(child); /* another trace */
    ck_assert(trace_id(child, child_id));
    ck_assert_str_ne(parent_id, child_id);
    ck_assert(!trace_id("", child_id));
    ck_assert_str_eq(child_id, "");
    trace_span_id("", child_span);
    ck_assert_str_eq(child_span, "");
}
END_TEST

/* clang-format off */
static const struct {
    const char *flags;
    bool is_sampled;
    const char *on, *off; /* the flags afterwards */
} flags[] = {
    { "00", false, "01", "00" }, { "01", true, "01", "00" },
    { "02", false, "03", "02" }, { "03", true, "03", "02" }, /* the other flags are passed on */
    { "fe", false, "ff", "fe" }, { "ff", true, "ff", "fe" },
};
/* clang-format on */

START_TEST(sampled_is_a_flag)
{
    char parent[] = "00-" TRACE "-" CALLER "-..";

    memcpy(parent + TRACE_PARENT_BYTES - 2, flags[_i].flags, 2);
    ck_assert_int_eq(trace_is_sampled(parent), flags[_i].is_sampled);
    trace_set_sampled(parent, true);
    ck_assert_str_eq(parent + TRACE_PARENT_BYTES - 2, flags[_i].on);
    trace_set_sampled(parent, false);
    ck_assert_str_eq(parent + TRACE_PARENT_BYTES - 2, flags[_i].off);
    ck_assert(!trace_is_sampled(""));
    ck_assert_uint_eq(trace_draw(parent), 0xa3ce929d0e0e4736);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("traceparent");

    tcase_add_loop_test(cases, header_is_read_or_dropped, 0, ROWS(headers));
    tcase_add_test(cases, a_span_keeps_the_trace);
    tcase_add_loop_test(cases, sampled_is_a_flag, 0, ROWS(flags));
    return check_run("wire_trace", cases);
}
