/* test_rpc_meaning.c -- Which answers are decisions of the service that was asked, and which are not. */
#include "mesh/rpc/meaning.h"
#include "tests/support/check.h"

#define STORAGE "sagamesh.storage.v1.StorageService"
#define LEDGER "sagamesh.ledger.v1.LedgerService"
#define MESH "sagamesh"

enum { FOREIGN, OURS };

/* clang-format off */
static const struct {
    const char *what;
    int asked;
    enum wire_code code;
    const char *reason, *domain, *service;
    bool nothing_done;
    enum rpc_meaning meaning;
} rows[] = {
    { "done",                                  OURS,    WIRE_OK,                  "", "", "",                              false, RPC_DONE },
    { "a rule of its domain",                  OURS,    WIRE_FAILED_PRECONDITION, "NO_STOCK", MESH, STORAGE,               false, RPC_REFUSED },
    { "it is malformed",                       OURS,    WIRE_INVALID_ARGUMENT,    "BAD_REQUEST", MESH, STORAGE,            false, RPC_REFUSED },
    { "there is none",                         OURS,    WIRE_NOT_FOUND,           "NOT_FOUND", MESH, STORAGE,              false, RPC_REFUSED },
    { "the id was used",                       OURS,    WIRE_ALREADY_EXISTS,      "ID_REUSED", MESH, STORAGE,              false, RPC_REFUSED },
    { "a bad signature",                       OURS,    WIRE_UNAUTHENTICATED,     "BAD_SIGNATURE", MESH, STORAGE,          false, RPC_REFUSED },
    { "busy",                                  OURS,    WIRE_RESOURCE_EXHAUSTED,  "BUSY", MESH, "",                        true,  RPC_NOT_DONE },
    { "from the future, by its clock",         OURS,    WIRE_UNAVAILABLE,         "TOO_EARLY", MESH, "",                   true,  RPC_NOT_DONE },
    { "another program of ours listens there", OURS,    WIRE_UNIMPLEMENTED,       "UNIMPLEMENTED", MESH, "",               true,  RPC_NOT_DONE },
    { "it may have happened",                  OURS,    WIRE_UNKNOWN,             "UNCERTAIN", MESH, "",                   false, RPC_UNKNOWN },
    { "another service of ours decides",       OURS,    WIRE_FAILED_PRECONDITION, "NO_FUNDS", MESH, LEDGER,                false, RPC_UNKNOWN },
    { "a service whose name begins alike",     OURS,    WIRE_NOT_FOUND,           "X", MESH, "sagamesh.storage.v1.Storage", false, RPC_UNKNOWN },
    { "nobody says who decided",               OURS,    WIRE_NOT_FOUND,           "NOT_FOUND", MESH, "",                   false, RPC_UNKNOWN },
    { "another domain's ErrorInfo",            OURS,    WIRE_FAILED_PRECONDITION, "QUOTA", "googleapis.com", STORAGE,      false, RPC_UNKNOWN },
    { "another domain's nothing done",         OURS,    WIRE_UNAVAILABLE,         "X", "example.com", "",                 true,  RPC_UNKNOWN },
    { "a stranger's server",                   OURS,    WIRE_UNIMPLEMENTED,       "", "", "",                              false, RPC_UNKNOWN },
    { "a proxy that asks for credentials",     OURS,    WIRE_UNAUTHENTICATED,     "", "", "",                              false, RPC_UNKNOWN },
    { "a proxy that forbids",                  OURS,    WIRE_PERMISSION_DENIED,   "", "", "",                              false, RPC_UNKNOWN },
    { "a proxy's not found",                   OURS,    WIRE_NOT_FOUND,           "", "", "",                              false, RPC_UNKNOWN },
    { "malformed, says a proxy",               OURS,    WIRE_INVALID_ARGUMENT,    "", "", "",                              false, RPC_UNKNOWN },
    { "a bare refusal",                        OURS,    WIRE_FAILED_PRECONDITION, "", "", "",                              false, RPC_UNKNOWN },
    { "away",                                  OURS,    WIRE_UNAVAILABLE,         "", "", "",                              false, RPC_UNKNOWN },
    { "no answer in time",                     OURS,    WIRE_DEADLINE_EXCEEDED,   "", "", "",                              false, RPC_UNKNOWN },

    { "a stranger is done",                    FOREIGN, WIRE_OK,                  "", "", "",                              false, RPC_DONE },
    { "its own domain's rule",                 FOREIGN, WIRE_FAILED_PRECONDITION, "SOLD_OUT", "shop.example", "",          false, RPC_REFUSED },
    { "its own domain's bad argument",         FOREIGN, WIRE_INVALID_ARGUMENT,    "BAD_SKU", "shop.example", "",           false, RPC_REFUSED },
    { "its own domain: nothing done",          FOREIGN, WIRE_UNAVAILABLE,         "BUSY", "shop.example", "",              true,  RPC_NOT_DONE },
    { "without ErrorInfo: a state says no",    FOREIGN, WIRE_FAILED_PRECONDITION, "", "", "",                              false, RPC_REFUSED },
    { "without ErrorInfo: there is none",      FOREIGN, WIRE_NOT_FOUND,           "", "", "",                              false, RPC_REFUSED },
    { "without ErrorInfo: there is one",       FOREIGN, WIRE_ALREADY_EXISTS,      "", "", "",                              false, RPC_REFUSED },
    { "without ErrorInfo: out of range",       FOREIGN, WIRE_OUT_OF_RANGE,        "", "", "",                              false, RPC_REFUSED },
    { "without ErrorInfo: a bad argument",     FOREIGN, WIRE_INVALID_ARGUMENT,    "", "", "",                              false, RPC_UNKNOWN },
    { "another writer was first",              FOREIGN, WIRE_ABORTED,             "", "", "",                              false, RPC_UNKNOWN },
    { "its gateway forbids",                   FOREIGN, WIRE_PERMISSION_DENIED,   "DENIED", "gateway.example", "",         false, RPC_UNKNOWN },
    { "its gateway knows no such method",      FOREIGN, WIRE_UNIMPLEMENTED,       "", "", "",                              false, RPC_UNKNOWN },
    { "a program of ours listens there",       FOREIGN, WIRE_UNIMPLEMENTED,       "UNIMPLEMENTED", MESH, "",               true,  RPC_NOT_DONE },
    { "a decision of ours, there",             FOREIGN, WIRE_NOT_FOUND,           "NOT_FOUND", MESH, STORAGE,              false, RPC_UNKNOWN },
    { "its disk is full",                      FOREIGN, WIRE_RESOURCE_EXHAUSTED,  "", "", "",                              false, RPC_UNKNOWN },
    { "its data are lost",                     FOREIGN, WIRE_DATA_LOSS,           "", "", "",                              false, RPC_UNKNOWN },
};
/* clang-format on */

START_TEST(an_answer_means)
{
    const struct rpc_answer answer = { .code = rows[_i].code,
                                       .reason = rows[_i].reason,
                                       .domain = rows[_i].domain,
                                       .service = rows[_i].service,
                                       .nothing_done = rows[_i].nothing_done };
    enum rpc_meaning meaning = rpc_meaning_of(&answer, STORAGE "/Reserve", rows[_i].asked == OURS);

    ck_assert_msg(meaning == rows[_i].meaning, "%s: %d", rows[_i].what, (int)meaning);
}
END_TEST

/* No code is a decision by itself, when one of ours was asked. */
START_TEST(no_bare_code_refuses)
{
    for (int code = WIRE_OK + 1; code <= WIRE_UNAUTHENTICATED; code++) {
        const struct rpc_answer answer = {
            .code = (enum wire_code)code, .reason = "", .domain = "", .service = ""
        };

        ck_assert_int_eq(rpc_meaning_of(&answer, STORAGE "/Reserve", true), RPC_UNKNOWN);
    }
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("answers");

    tcase_add_loop_test(cases, an_answer_means, 0, ROWS(rows));
    tcase_add_test(cases, no_bare_code_refuses);
    return check_run("wire meaning", cases);
}
