/* test_account_signal.c -- Which answers to a signal are the saga's own word that it knows. */
#include "account-svc/payment/payment_signal.h"

#include "sagamesh/saga/v1/saga_service.pb-c.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <string.h>

enum { VERSION = 3 };
#define NOW_US (INT64_C(1700000000) * SECOND_US)

/* clang-format off */
static const struct {
    const char *what;
    enum wire_code code;
    const char *reason;
    bool nothing_done;
    int64_t version;
    const char *status; /* of one that has ended, or NULL */
    enum signal_word word;
} answers[] = {
    { "it has this version",                       WIRE_OK,                  "",              false, 3, NULL, SIGNAL_STORED },
    { "it has a later one",                        WIRE_OK,                  "",              false, 4, NULL, SIGNAL_STORED },
    { "it has an earlier one",                     WIRE_OK,                  "",              false, 2, NULL, SIGNAL_UNHEARD },
    { "OK, of a service that is another",          WIRE_OK,                  "",              false, 0, NULL, SIGNAL_UNHEARD },
    { "it has ended well",                         WIRE_OK,                  "",              false, 0, "SU", SIGNAL_ENDED },
    { "it has ended, undone",                      WIRE_OK,                  "",              false, 2, "FA", SIGNAL_ENDED },
    { "it knew, and has ended",                    WIRE_OK,                  "",              false, 3, "SU", SIGNAL_STORED },
    { "it is not there, or not yet",               WIRE_NOT_FOUND,           "NOT_FOUND",     false, 0, NULL, SIGNAL_UNHEARD },
    { "its clock takes the id for too new",        WIRE_INVALID_ARGUMENT,    "BAD_REQUEST",   false, 0, NULL, SIGNAL_UNHEARD },
    { "the same, as trouble",                      WIRE_UNAVAILABLE,         "TOO_EARLY",     true,  0, NULL, SIGNAL_UNHEARD },
    { "its definition does not know the event",    WIRE_FAILED_PRECONDITION, "UNKNOWN_EVENT", false, 0, NULL, SIGNAL_UNHEARD },
    { "another service listens there",             WIRE_UNIMPLEMENTED,       "UNIMPLEMENTED", false, 0, NULL, SIGNAL_UNHEARD },
    { "a proxy says no",                           WIRE_PERMISSION_DENIED,   "",              false, 0, NULL, SIGNAL_UNHEARD },
    { "it is away",                                WIRE_UNAVAILABLE,         "",              false, 0, NULL, SIGNAL_UNHEARD },
    { "nobody knows",                              WIRE_DEADLINE_EXCEEDED,   "",              false, 0, NULL, SIGNAL_UNHEARD },
    { "it is full",                                WIRE_RESOURCE_EXHAUSTED,  "BUSY",          true,  0, NULL, SIGNAL_UNHEARD },
};
/* clang-format on */

START_TEST(only_the_sagas_own_word_counts)
{
    Sagamesh__Saga__V1__SignalResponse response = SAGAMESH__SAGA__V1__SIGNAL_RESPONSE__INIT;
    struct rpc_result result = { .code = answers[_i].code,
                                 .nothing_done = answers[_i].nothing_done };
    struct signal_said said;
    uint8_t bytes[64];

    snprintf(result.reason, sizeof result.reason, "%s", answers[_i].reason);
    response.version = answers[_i].version;
    response.has_ended = answers[_i].status != NULL;
    response.status = (char *)(uintptr_t)(answers[_i].status == NULL ? "" : answers[_i].status);
    if (result.code == WIRE_OK) {
        result.reply = bytes;
        result.reply_bytes = sagamesh__saga__v1__signal_response__pack(&response, bytes);
    }
    said = signal_read(&result, VERSION, uuid_v7(NOW_US), NOW_US);
    ck_assert_msg(said.word == answers[_i].word, "%s", answers[_i].what);
    ck_assert_str_eq(said.status, answers[_i].status == NULL ? "" : answers[_i].status);
    ck_assert_int_eq(said.known_version, answers[_i].code != WIRE_OK || answers[_i].status != NULL
                                             ? 0
                                             : answers[_i].version);
}
END_TEST

START_TEST(an_answer_that_cannot_be_read_is_none)
{
    const uint8_t garbled[] = { 0xff, 0xff, 0xff };
    const struct rpc_result result = { .reply = garbled, .reply_bytes = sizeof garbled };

    ck_assert_int_eq(signal_read(&result, VERSION, uuid_v7(NOW_US), NOW_US).word, SIGNAL_UNHEARD);
}
END_TEST

/* clang-format off */
static const struct {
    const char *what;
    int days; /* since the saga's id was made */
    enum wire_code code;
    enum rpc_meaning meaning;
    enum signal_word word;
} old_sagas[] = {
    { "it ended, and is forgotten",       46, WIRE_NOT_FOUND,           RPC_REFUSED, SIGNAL_FORGOTTEN },
    { "it may still be begun",            44, WIRE_NOT_FOUND,           RPC_REFUSED, SIGNAL_UNHEARD },
    { "a proxy does not find it",         46, WIRE_NOT_FOUND,           RPC_UNKNOWN, SIGNAL_UNHEARD },
    { "it is there, and does not listen", 46, WIRE_FAILED_PRECONDITION, RPC_REFUSED, SIGNAL_UNHEARD },
};
/* clang-format on */

START_TEST(a_saga_that_is_forgotten_need_not_be_told)
{
    const struct rpc_result result = { .code = old_sagas[_i].code,
                                       .meaning = old_sagas[_i].meaning };
    struct uuid saga_id = uuid_v7(NOW_US - old_sagas[_i].days * DAY_US);

    ck_assert_msg(signal_read(&result, VERSION, saga_id, NOW_US).word == old_sagas[_i].word, "%s",
                  old_sagas[_i].what);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("answers");

    tcase_add_loop_test(cases, only_the_sagas_own_word_counts, 0, ROWS(answers));
    tcase_add_test(cases, an_answer_that_cannot_be_read_is_none);
    tcase_add_loop_test(cases, a_saga_that_is_forgotten_need_not_be_told, 0, ROWS(old_sagas));
    return check_run("account signal", cases);
}
