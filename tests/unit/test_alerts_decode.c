/* What people ask of alerts-svc, from strangers: each field refused by its name, and what makes two the same. */
#include "alerts/alert.h"
#include "alerts/dead_letter.h"
#include "mesh/base/clock.h"
#include "tests/support/check.h"

#include <sagamesh/alert/v1/alert_service.pb-c.h>
#include <stdlib.h>
#include <string.h>

#define M(name) Sagamesh__Alert__V1__##name
#define INIT(name) SAGAMESH__ALERT__V1__##name##__INIT
#define ID "0190a5f0-1c7b-7abc-8def-0123456789ab"
#define ALERT "886313e1-3b8a-5372-9b90-0c9aee199e5d" /* a v5 */
#define TEXT_64 "0123456789012345678901234567890123456789012345678901234567890123"
#define TEXT_200 TEXT_64 TEXT_64 TEXT_64 "01234567"

static const struct method *
method_of(const char *name)
{
    const struct method *method = alert_methods;

    while (method->name != NULL && strcmp(method->name, name) != 0)
        method++;
    ck_assert_ptr_nonnull(method->name);
    return method;
}

/* The field that is refused; "" where the message is taken. *ret_fingerprint may be NULL. */
static const char *
decode(const char *name, const ProtobufCMessage *message, uint64_t *ret_fingerprint)
{
    static char field[64];
    const struct method *method = method_of(name);
    struct arena *arena = arena_new();
    struct op *op = arena_take(arena, method->op_bytes);
    enum error error = method->decode(message, arena, op);

    ck_assert_int_eq(error, op->problem.error);
    strcpy(field, op->problem.field);
    ck_assert_int_eq(error == ERR_OK, field[0] == '\0');
    if (ret_fingerprint != NULL)
        *ret_fingerprint = op->fingerprint;
    arena_free(arena);
    return field;
}

/* clang-format off */
static const struct {
    const char *what, *id, *of, *person, *why, *field; /* OF: the id of what it is about */
} changes[] = {
    { "all there",            ID,    ID,        "ai",         "it was me",   ""           },
    { "the longest",          ID,    ID,        TEXT_64,      TEXT_200,      ""           },
    { "no request id",        "",    ID,        "ai",         "x",           "request_id" },
    { "a request id of v5",   ALERT, ID,        "ai",         "x",           "request_id" },
    { "no id of it",          ID,    "",        "ai",         "x",           "OF"         },
    { "an upper-case one",    ID,    "0190A5F0-1C7B-7ABC-8DEF-0123456789AB", "ai", "x", "OF" },
    { "nobody",               ID,    ID,        "",           "x",           "operator"   },
    { "a name of 65",         ID,    ID,        TEXT_64 "4",  "x",           "operator"   },
    { "a new line in it",     ID,    ID,        "a\ni",       "x",           "operator"   },
    { "no reason",            ID,    ID,        "ai",         "",            "reason"     },
    { "a reason of 201",      ID,    ID,        "ai",         TEXT_200 "8",  "reason"     },
};
/* clang-format on */

START_TEST(acknowledge_is_checked)
{
    M(AcknowledgeAlertRequest) request = INIT(ACKNOWLEDGE_ALERT_REQUEST);
    const char *wanted = strcmp(changes[_i].field, "OF") == 0 ? "alert_id" : changes[_i].field;

    request.request_id = (char *)changes[_i].id;
    request.alert_id = (char *)changes[_i].of;
    request.operator_ = (char *)changes[_i].person;
    request.reason = (char *)changes[_i].why;
    ck_assert_msg(strcmp(decode("AcknowledgeAlert", &request.base, NULL), wanted) == 0, "%s",
                  changes[_i].what);
}
END_TEST

START_TEST(begin_is_checked)
{
    M(BeginRepairRequest) request = INIT(BEGIN_REPAIR_REQUEST);
    const char *wanted = strcmp(changes[_i].field, "OF") == 0 ? "alert_id" : changes[_i].field;

    request.request_id = (char *)changes[_i].id;
    request.alert_id = (char *)changes[_i].of;
    request.operator_ = (char *)changes[_i].person;
    request.reason = (char *)changes[_i].why;
    ck_assert_msg(strcmp(decode("BeginRepair", &request.base, NULL), wanted) == 0, "%s",
                  changes[_i].what);
}
END_TEST

START_TEST(resend_is_checked)
{
    M(ResendDeadLetterRequest) request = INIT(RESEND_DEAD_LETTER_REQUEST);
    const char *wanted =
        strcmp(changes[_i].field, "OF") == 0 ? "dead_letter_id" : changes[_i].field;

    request.request_id = (char *)changes[_i].id;
    request.dead_letter_id = (char *)changes[_i].of;
    request.operator_ = (char *)changes[_i].person;
    request.reason = (char *)changes[_i].why;
    ck_assert_msg(strcmp(decode("ResendDeadLetter", &request.base, NULL), wanted) == 0, "%s",
                  changes[_i].what);
}
END_TEST

/* clang-format off */
static const struct {
    const char *what, *id, *repair, *outcome, *field;
} ends[] = {
    { "all there",          ID, ID,    "asked the provider\nopen: nothing", ""           },
    { "no repair",          ID, "",    "x",                                 "repair_id"  },
    { "an alert's id",      ID, ALERT, "x",                                 "repair_id"  },
    { "nothing said",       ID, ID,    "",                                  "outcome"    },
    { "a cursor's move",    ID, ID,    "x\033[2J",                          "outcome"    },
    { "a carriage return",  ID, ID,    "x\ry",                              "outcome"    },
    { "no request id",      "", ID,    "x",                                 "request_id" },
};
/* clang-format on */

START_TEST(end_is_checked)
{
    M(EndRepairRequest) request = INIT(END_REPAIR_REQUEST);

    request.request_id = (char *)ends[_i].id;
    request.repair_id = (char *)ends[_i].repair;
    request.outcome = (char *)ends[_i].outcome;
    ck_assert_msg(strcmp(decode("EndRepair", &request.base, NULL), ends[_i].field) == 0, "%s",
                  ends[_i].what);
}
END_TEST

START_TEST(outcome_has_a_limit)
{
    M(EndRepairRequest) request = INIT(END_REPAIR_REQUEST);
    char *outcome = memory_take(REPAIR_OUTCOME_BYTES_MAX + 2);

    memset(outcome, 'x', REPAIR_OUTCOME_BYTES_MAX);
    request.request_id = request.repair_id = (char *)ID;
    request.outcome = outcome;
    ck_assert_str_eq(decode("EndRepair", &request.base, NULL), "");
    outcome[REPAIR_OUTCOME_BYTES_MAX] = 'x';
    ck_assert_str_eq(decode("EndRepair", &request.base, NULL), "outcome");
    free(outcome);
}
END_TEST

/* clang-format off */
static const struct {
    const char *what, *rule, *token;
    int64_t age;
    int32_t size;
    const char *field;
} lists[] = {
    { "all",                   "",        "",    0,                   0,    ""                  },
    { "all that there is",     "RULE_A",  ALERT, AGE_SECONDS_MAX,     1000, ""                  },
    { "a space in the rule",   "RULE A",  "",    0,                   0,    "rule"              },
    { "younger than now",      "",        "",    -1,                  0,    "least_age_seconds" },
    { "older than can be",     "",        "",    AGE_SECONDS_MAX + 1, 0,    "least_age_seconds" },
    { "a time without end",    "",        "",    INT64_MAX,           0,    "least_age_seconds" },
    { "a page too large",      "",        "",    0,                   1001, "page_size"         },
    { "a token that is none",  "",        "7",   0,                   0,    "page_token"        },
};
/* clang-format on */

START_TEST(list_is_checked)
{
    M(ListAlertsRequest) request = INIT(LIST_ALERTS_REQUEST);

    request.rule = (char *)lists[_i].rule;
    request.page_token = (char *)lists[_i].token;
    request.least_age_seconds = lists[_i].age;
    request.page_size = lists[_i].size;
    ck_assert_msg(strcmp(decode("ListAlerts", &request.base, NULL), lists[_i].field) == 0, "%s",
                  lists[_i].what);
}
END_TEST

START_TEST(an_alert_is_asked_for_by_any_uuid)
{
    M(GetAlertRequest) request = INIT(GET_ALERT_REQUEST);

    request.alert_id = (char *)ALERT;
    ck_assert_str_eq(decode("GetAlert", &request.base, NULL), "");
    request.alert_id = (char *)"RULE_A";
    ck_assert_str_eq(decode("GetAlert", &request.base, NULL), "alert_id");
}
END_TEST

/* Else a repeat with another reason, or to another end, would pass for the first one. */
START_TEST(what_differs_has_another_fingerprint)
{
    M(AcknowledgeAlertRequest) acknowledge = INIT(ACKNOWLEDGE_ALERT_REQUEST);
    M(BeginRepairRequest) begin = INIT(BEGIN_REPAIR_REQUEST);
    M(EndRepairRequest) end = INIT(END_REPAIR_REQUEST);
    uint64_t prints[6];

    acknowledge.request_id = begin.request_id = end.request_id = end.repair_id = (char *)ID;
    acknowledge.alert_id = begin.alert_id = (char *)ALERT;
    acknowledge.operator_ = begin.operator_ = (char *)"ai";
    acknowledge.reason = begin.reason = end.outcome = (char *)"x";
    decode("AcknowledgeAlert", &acknowledge.base, &prints[0]);
    decode("BeginRepair", &begin.base, &prints[1]);
    decode("EndRepair", &end.base, &prints[2]);
    end.is_done = true;
    decode("EndRepair", &end.base, &prints[3]);
    acknowledge.reason = (char *)"y";
    decode("AcknowledgeAlert", &acknowledge.base, &prints[4]);
    acknowledge.operator_ = (char *)"bo";
    decode("AcknowledgeAlert", &acknowledge.base, &prints[5]);
    for (int i = 0; i < ROWS(prints); i++) {
        for (int j = 0; j < i; j++)
            ck_assert_uint_ne(prints[i], prints[j]);
    }
}
END_TEST

/* ---- headers ---- */

START_TEST(headers_are_packed_and_read)
{
    static const struct dead_header headers[] = {
        { { (const uint8_t *)"ce_id", 5 }, { (const uint8_t *)"a\0b", 3 } },
        { { (const uint8_t *)"", 0 }, { (const uint8_t *)"", 0 } },
        { { (const uint8_t *)"ce_id", 5 }, { NULL, 0 } },
    };
    struct arena *arena = arena_new();
    struct pg_bytes packed = dead_headers_pack(headers, 3, arena);
    struct dead_header header;
    size_t at = 0;

    for (int i = 0; i < ROWS(headers); i++) {
        ck_assert(dead_headers_next(packed, &at, &header));
        ck_assert_mem_eq(header.name.data, headers[i].name.data, header.name.count);
        ck_assert_uint_eq(header.value.count, headers[i].value.count);
        ck_assert_int_eq(header.value.data == NULL, headers[i].value.data == NULL);
    }
    ck_assert(!dead_headers_next(packed, &at, &header));
    /* What is cut off, as a row that is shown may be, is not read beyond its end. */
    for (size_t bytes = 0; bytes < packed.count; bytes++) {
        const struct pg_bytes cut = { packed.data, bytes };

        for (at = 0; dead_headers_next(cut, &at, &header);)
            ck_assert_uint_le(at, bytes);
    }
    packed = dead_headers_pack(NULL, 0, arena);
    ck_assert_uint_eq(packed.count, 0);
    at = 0;
    ck_assert(!dead_headers_next(packed, &at, &header));
    arena_free(arena);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("decode");

    tcase_add_loop_test(cases, acknowledge_is_checked, 0, ROWS(changes));
    tcase_add_loop_test(cases, begin_is_checked, 0, ROWS(changes));
    tcase_add_loop_test(cases, resend_is_checked, 0, ROWS(changes));
    tcase_add_loop_test(cases, end_is_checked, 0, ROWS(ends));
    tcase_add_test(cases, outcome_has_a_limit);
    tcase_add_loop_test(cases, list_is_checked, 0, ROWS(lists));
    tcase_add_test(cases, an_alert_is_asked_for_by_any_uuid);
    tcase_add_test(cases, what_differs_has_another_fingerprint);
    tcase_add_test(cases, headers_are_packed_and_read);
    return check_run("alert decode", cases);
}
