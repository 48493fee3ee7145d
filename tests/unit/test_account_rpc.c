/* test_account_rpc.c -- What the ledger takes from the wire, what it refuses, and what it answers. */
#include "account-svc/ledger/ledger.h"
#include "mesh/base/check.h"
#include "mesh/base/clock.h"

#include "sagamesh/ledger/v1/ledger_service.pb-c.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <string.h>

#define ID "018bcfe5-6800-7000-8000-000000000001"
#define ID_TOO "018bcfe5-6800-7000-8000-000000000002"
#define NOW_US (INT64_C(1700000000) * SECOND_US) /* ID's own time */

static struct arena *arena;

static void
set_up(void)
{
    clock_set_test_us(NOW_US);
    arena = arena_new();
}

static void
tear_down(void)
{
    arena = arena_free(arena);
}

static const struct method *
method_find(const char *name)
{
    for (const struct method *method = ledger_methods; method->name != NULL; method++) {
        if (strcmp(method->name, name) == 0)
            return method;
    }
    return NULL;
}

/* ---- the table of methods ---- */

static const ProtobufCServiceDescriptor *const services[] = {
    &sagamesh__ledger__v1__ledger_service__descriptor,
    &sagamesh__ledger__v1__ledger_saga_service__descriptor
};

static void
check_rows(const ProtobufCServiceDescriptor *service)
{
    for (unsigned i = 0; i < service->n_methods; i++) {
        const char *name = service->methods[i].name;
        const struct method *method = method_find(name);
        const struct read *read = ledger_reads;

        ck_assert_msg(method != NULL, "%s has no row", name);
        while (read->name != NULL && strcmp(read->name, name) != 0)
            read++;
        ck_assert_msg((method->decide == NULL) == (read->name != NULL),
                      "%s is decided, or read, but not both", name);
        ck_assert_msg((method->decide == NULL) == (method->touch == NULL), "%s: touch", name);
    }
}

START_TEST(every_method_of_the_proto_has_a_row)
{
    size_t rows = 0;

    while (ledger_methods[rows].name != NULL)
        rows++;
    ck_assert_uint_eq(rows, services[0]->n_methods + services[1]->n_methods);
    check_rows(services[0]);
    check_rows(services[1]);
}
END_TEST

/* ---- requests ---- */

/* The fields of all requests; NULL and 0 stand for a good value. */
struct wish {
    const char *id, *account, *credit, *currency, *customer, *reference, *charge, *token;
    int64_t amount;
    int32_t page_size;
    bool is_free; /* amount 0 */
};

#define GOOD(text, otherwise) ((char *)((text) != NULL ? (text) : (otherwise)))

/* Sets a field by its name, if the request has it. */
static void
put_text(ProtobufCMessage *message, const char *name, const char *value)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);

    if (field == NULL)
        return;
    ck_assert_int_eq(field->type, PROTOBUF_C_TYPE_STRING);
    memcpy((char *)message + field->offset, &value, sizeof value);
}

static void
put_number(ProtobufCMessage *message, const char *name, int64_t value)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);
    int32_t narrow = (int32_t)value;

    if (field == NULL)
        return;
    if (field->type == PROTOBUF_C_TYPE_INT32)
        memcpy((char *)message + field->offset, &narrow, sizeof narrow);
    else
        memcpy((char *)message + field->offset, &value, sizeof value);
}

static ProtobufCMessage *
request_new(const char *method, const struct wish *wish)
{
    const ProtobufCMethodDescriptor *described =
        protobuf_c_service_descriptor_get_method_by_name(services[0], method);
    ProtobufCMessage *message;

    if (described == NULL)
        described = protobuf_c_service_descriptor_get_method_by_name(services[1], method);
    ck_assert_msg(described != NULL, "%s is no method", method);
    message = arena_take(arena, described->input->sizeof_message);
    described->input->message_init(message);
    put_text(message, "request_id", GOOD(wish->id, ID));
    put_text(message, "transfer_id", GOOD(wish->id, ID));
    put_text(message, "charge_id", GOOD(wish->charge, ID_TOO));
    put_text(message, "account", GOOD(wish->account, "wallet/alice"));
    put_text(message, "debit_account", GOOD(wish->account, "wallet/alice"));
    put_text(message, "credit_account", GOOD(wish->credit, "wallet/bob"));
    put_text(message, "customer_id", GOOD(wish->customer, "alice"));
    put_text(message, "currency", GOOD(wish->currency, "JPY"));
    put_text(message, "reference", GOOD(wish->reference, ""));
    put_text(message, "order_id", GOOD(wish->reference, ""));
    put_text(message, "page_token", GOOD(wish->token, ""));
    put_number(message, "amount_minor", wish->is_free ? 0 : wish->amount == 0 ? 5 : wish->amount);
    put_number(message, "page_size", wish->page_size);
    return message;
}

static struct op *
decode(const char *method_name, const struct wish *wish)
{
    const struct method *method = method_find(method_name);
    struct op *op = arena_take(arena, method->op_bytes);
    enum error error = method->decode(request_new(method_name, wish), arena, op);

    ck_assert_int_eq(error, op->problem.error);
    return op;
}

#define B10 "1234567890"
#define B64 B10 B10 B10 B10 B10 B10 "1234"
#define TOO_FAR "018bcfe9-fbe1-7000-8000-000000000001" /* 5 minutes and more ahead */

/* Each row: one request, and the field and the rule that its refusal names ("" taken). */
/* clang-format off */
static const struct {
    const char *what, *method;
    struct wish wish;
    const char *field, *rule;
} requests[] = {
    { "a good one",                  "OpenAccount", { 0 },                                   "", "" },
    { "a good one",                  "OpenWallet",  { 0 },                                   "", "" },
    { "a good one",                  "Transfer",    { 0 },                                   "", "" },
    { "a good one",                  "TopUp",       { 0 },                                   "", "" },
    { "a good one",                  "Charge",      { 0 },                                   "", "" },
    { "a good one",                  "Refund",      { 0 },                                   "", "" },
    { "a good one",                  "GetAccount",  { 0 },                                   "", "" },
    { "a good one",                  "GetTransfer", { 0 },                                   "", "" },
    { "a good one",                  "Balance",     { 0 },                                   "", "" },
    { "a good one",                  "Statement",   { 0 },                                   "", "" },

    { "no id",                       "OpenAccount", { .id = "" },                            "request_id", "" },
    { "no id",                       "OpenWallet",  { .id = "" },                            "request_id", "" },
    { "no id",                       "Transfer",    { .id = "" },                            "request_id", "" },
    { "no id",                       "TopUp",       { .id = "" },                            "request_id", "" },
    { "no id",                       "Charge",      { .id = "" },                            "request_id", "" },
    { "no id",                       "Refund",      { .id = "" },                            "request_id", "" },
    { "no id",                       "GetTransfer", { .id = "" },                            "transfer_id", "" },
    { "an id from the future",       "Charge",      { .id = TOO_FAR },                       "request_id", "from the future" },
    { "a random id",                 "Charge",      { .id = "a3bb189e-8bf9-4888-9912-ace4e6543002" }, "request_id", "" },
    { "an id in upper case",         "Charge",      { .id = "018BCFE5-6800-7000-8000-000000000001" }, "request_id", "" },
    { "no charge",                   "Refund",      { .charge = "" },                        "charge_id", "" },
    { "a charge from the future",    "Refund",      { .charge = TOO_FAR },                   "charge_id", "from the future" },
    { "the charge's own id",         "Refund",      { .charge = ID },                        "request_id", "must not be the charge_id" },

    { "no account",                  "OpenAccount", { .account = "" },                       "account", "1 to 96 bytes" },
    { "no owner",                    "OpenAccount", { .account = "wallet" },                 "account", "'kind/owner'" },
    { "an empty owner",              "OpenAccount", { .account = "wallet/" },                "account", "'kind/owner'" },
    { "two owners",                  "OpenAccount", { .account = "wallet/a/b" },             "account", "one '/'" },
    { "no kind",                     "OpenAccount", { .account = "/alice" },                 "account", "no kind of account" },
    { "an unknown kind",             "OpenAccount", { .account = "purse/alice" },            "account", "'purse' is no kind" },
    { "a kind in upper case",        "OpenAccount", { .account = "WALLET/alice" },           "account", "no kind of account" },
    { "the longest owner",           "OpenAccount", { .account = "wallet/" B64 },            "", "" },
    { "an owner of 65 bytes",        "OpenAccount", { .account = "wallet/" B64 "5" },        "account", "1 to 64 bytes" },
    { "a name of 97 bytes",          "OpenAccount", { .account = "wallet/" B64 B10 B10 "123456" }, "account", "1 to 96 bytes, not 97" },
    { "a control character",         "OpenAccount", { .account = "wallet/a\nb" },            "account", "control characters" },
    { "an unknown debit kind",       "Transfer",    { .account = "purse/alice" },            "debit_account", "no kind" },
    { "an unknown credit kind",      "Transfer",    { .credit = "purse/alice" },             "credit_account", "no kind" },
    { "one account on both sides",   "Transfer",    { .credit = "wallet/alice" },            "credit_account", "another account" },
    { "an unknown kind",             "GetAccount",  { .account = "purse/alice" },            "account", "no kind" },

    { "no customer",                 "OpenWallet",  { .customer = "" },                      "customer_id", "1 to 64 bytes" },
    { "a customer of 65 bytes",      "TopUp",       { .customer = B64 "5" },                 "customer_id", "1 to 64 bytes, not 65" },
    { "a customer with a slash",     "Charge",      { .customer = "a/b" },                   "customer_id", "'/'" },
    { "a customer with a tab",       "Balance",     { .customer = "a\tb" },                  "customer_id", "control characters" },
    { "a customer in Japanese",      "Charge",      { .customer = "\xe5\xb1\xb1 \xe7\x94\xb0" }, "", "" },
    { "no customer",                 "Statement",   { .customer = "" },                      "customer_id", "1 to 64 bytes" },

    { "no currency",                 "OpenAccount", { .currency = "" },                      "currency", "three upper-case letters" },
    { "a currency in lower case",    "OpenWallet",  { .currency = "jpy" },                   "currency", "three upper-case letters" },
    { "four letters",                "Transfer",    { .currency = "JPYX" },                  "currency", "three upper-case letters" },
    { "two letters",                 "TopUp",       { .currency = "JP" },                    "currency", "three upper-case letters" },
    { "a digit",                     "Charge",      { .currency = "JP1" },                   "currency", "three upper-case letters" },
    { "no currency",                 "GetAccount",  { .currency = "" },                      "currency", "three upper-case letters" },
    { "no currency",                 "Balance",     { .currency = "" },                      "currency", "three upper-case letters" },
    { "no currency",                 "Statement",   { .currency = "" },                      "currency", "three upper-case letters" },

    { "nothing",                     "Transfer",    { .is_free = true },                     "amount_minor", "1 to 1000000000000000, not 0" },
    { "nothing",                     "TopUp",       { .is_free = true },                     "amount_minor", "1 to 1000000000000000, not 0" },
    { "a free order",                "Charge",      { .is_free = true },                     "", "" },
    { "less than nothing",           "Transfer",    { .amount = -1 },                        "amount_minor", "not -1" },
    { "less than nothing",           "TopUp",       { .amount = -1 },                        "amount_minor", "not -1" },
    { "less than nothing",           "Charge",      { .amount = -1 },                        "amount_minor", "0 to 1000000000000000, not -1" },
    { "the least there is",          "Charge",      { .amount = INT64_MIN },                 "amount_minor", "" },
    { "the most",                    "Charge",      { .amount = AMOUNT_MINOR_MAX },          "", "" },
    { "one more than the most",      "Charge",      { .amount = AMOUNT_MINOR_MAX + 1 },      "amount_minor", "not 1000000000000001" },
    { "one more than the most",      "TopUp",       { .amount = AMOUNT_MINOR_MAX + 1 },      "amount_minor", "not 1000000000000001" },
    { "one more than the most",      "Transfer",    { .amount = INT64_MAX },                 "amount_minor", "" },

    { "the longest reference",       "Transfer",    { .reference = B64 },                    "", "" },
    { "a longer reference",          "Transfer",    { .reference = B64 "5" },                "reference", "0 to 64 bytes, not 65" },
    { "a longer reference",          "TopUp",       { .reference = B64 "5" },                "reference", "0 to 64 bytes, not 65" },
    { "a longer order",              "Charge",      { .reference = B64 "5" },                "order_id", "0 to 64 bytes, not 65" },
    { "a reference with an escape",  "Charge",      { .reference = "\x1b[2J" },              "order_id", "control characters" },

    { "a page of the default size",  "Statement",   { .page_size = 0 },                      "", "" },
    { "the largest page",            "Statement",   { .page_size = 1000 },                   "", "" },
    { "a larger page",               "Statement",   { .page_size = 1001 },                   "page_size", "0 to 1000, not 1001" },
    { "a page of less than nothing", "Statement",   { .page_size = -1 },                     "page_size", "not -1" },
    { "a token",                     "Statement",   { .token = ID },                         "", "" },
    { "a made-up token",             "Statement",   { .token = "2" },                        "page_token", "next_page_token" },
};
/* clang-format on */

START_TEST(request_is_checked)
{
    const char *what = requests[_i].what, *method = requests[_i].method;
    const struct op *op = decode(method, &requests[_i].wish);
    bool is_early = strstr(requests[_i].rule, "from the future") != NULL;
    enum error want = requests[_i].field[0] == '\0' ? ERR_OK
                      : is_early                    ? ERR_TOO_EARLY
                                                    : ERR_BAD_REQUEST;

    ck_assert_msg(op->problem.error == want, "%s, %s: %s %s", method, what, op->problem.field,
                  op->problem.text);
    ck_assert_msg(strcmp(op->problem.field, requests[_i].field) == 0, "%s, %s: field '%s'", method,
                  what, op->problem.field);
    ck_assert_msg(strstr(op->problem.text, requests[_i].rule) != NULL, "%s, %s: '%s'", method, what,
                  op->problem.text);
    if (want != ERR_OK)
        ck_assert_msg(op->problem.text[0] != '\0', "%s, %s: no rule is named", method, what);
}
END_TEST

/* ---- fingerprints: other content, other fingerprint ---- */

/* clang-format off */
static const struct {
    const char *method;
    struct wish wish;
} others[] = {
    { "OpenAccount", { 0 } },
    { "OpenAccount", { .account = "wallet/bob" } },
    { "OpenAccount", { .currency = "USD" } },
    { "OpenWallet",  { 0 } },
    { "OpenWallet",  { .customer = "bob" } },
    { "Transfer",    { 0 } },
    { "Transfer",    { .account = "wallet/carol" } },
    { "Transfer",    { .credit = "wallet/carol" } },
    { "Transfer",    { .account = "wallet/bob", .credit = "wallet/alice" } },
    { "Transfer",    { .amount = 6 } },
    { "Transfer",    { .currency = "USD" } },
    { "Transfer",    { .reference = "r" } },
    { "TopUp",       { 0 } },
    { "TopUp",       { .amount = 6 } },
    { "TopUp",       { .customer = "bob" } },
    { "Charge",      { 0 } },
    { "Charge",      { .amount = 6 } },
    { "Charge",      { .reference = "r" } },
    { "Refund",      { 0 } },
    { "Refund",      { .charge = "018bcfe5-6800-7000-8000-000000000003" } },
};
/* clang-format on */
#define OTHERS (sizeof others / sizeof *others)

START_TEST(other_content_is_another_fingerprint)
{
    for (size_t i = 0; i < OTHERS; i++) {
        uint64_t a = decode(others[i].method, &others[i].wish)->fingerprint;

        ck_assert_uint_ne(a, 0);
        ck_assert_uint_eq(a, decode(others[i].method, &others[i].wish)->fingerprint);
        for (size_t j = 0; j < i; j++) {
            uint64_t b = decode(others[j].method, &others[j].wish)->fingerprint;

            ck_assert_msg(a != b, "rows %zu (%s) and %zu", j, others[j].method, i);
        }
    }
}
END_TEST

/* ---- answers ---- */

START_TEST(accounts_are_answered_on_their_normal_side)
{
    const struct open_account open = { .account = { .key = "world/to pups JPY",
                                                    .normal = ACCOUNT_DEBIT,
                                                    .debits_minor = 9,
                                                    .credits_minor = 2 } };
    const struct get_account get = { .account = { .key = "wallet/alice JPY",
                                                  .normal = ACCOUNT_CREDIT,
                                                  .debits_minor = 2,
                                                  .credits_minor = 9 } };
    const Sagamesh__Ledger__V1__Account *world =
        ((Sagamesh__Ledger__V1__OpenAccountResponse *)method_find("OpenAccount")
             ->encode(&open, arena))
            ->account;
    const Sagamesh__Ledger__V1__BalanceResponse *balance =
        (Sagamesh__Ledger__V1__BalanceResponse *)method_find("Balance")->encode(&get, arena);

    ck_assert_str_eq(world->account, "world/to pups");
    ck_assert_str_eq(world->currency, "JPY");
    ck_assert_int_eq(world->debits_minor, 9);
    ck_assert_int_eq(world->credits_minor, 2);
    ck_assert_int_eq(world->balance_minor, 7);
    ck_assert_int_eq(balance->balance_minor, 7);
    ck_assert_str_eq(balance->currency, "JPY");
}
END_TEST

START_TEST(statement_ends_with_a_token_when_there_is_more)
{
    struct transfer transfers[2] = {
        { .kind = TRANSFER_REFUND, .debit_key = "clearing/orders JPY" },
        { .kind = TRANSFER_CHARGE, .debit_key = "wallet/alice JPY" },
    };
    struct statement statement = { .transfers = transfers, .count = 2 };
    const Sagamesh__Ledger__V1__StatementResponse *response;

    uuid_parse(ID_TOO, UUID_TEXT_BYTES, &transfers[0].record.id);
    uuid_parse(ID, UUID_TEXT_BYTES, &transfers[1].record.id);
    transfers[0].reverses_id = transfers[1].record.id;
    transfers[0].credit_key = transfers[1].debit_key;
    transfers[1].credit_key = transfers[0].debit_key;
    transfers[0].reference = transfers[1].reference = "order-1";
    transfers[1].amount_minor = 40;
    response = (void *)method_find("Statement")->encode(&statement, arena);
    ck_assert_str_eq(response->next_page_token, "");
    statement.has_more = true;
    response = (void *)method_find("Statement")->encode(&statement, arena);
    ck_assert_uint_eq(response->n_transfers, 2);
    ck_assert_str_eq(response->next_page_token, ID);
    ck_assert_str_eq(response->transfers[0]->transfer_id, ID_TOO);
    ck_assert_str_eq(response->transfers[0]->reverses_id, ID);
    ck_assert_str_eq(response->transfers[0]->kind, "refund");
    ck_assert_str_eq(response->transfers[0]->debit_account, "clearing/orders");
    ck_assert_str_eq(response->transfers[0]->credit_account, "wallet/alice");
    ck_assert_str_eq(response->transfers[1]->reverses_id, "");
    ck_assert_str_eq(response->transfers[1]->currency, "JPY");
    ck_assert_str_eq(response->transfers[1]->reference, "order-1");
    ck_assert_int_eq(response->transfers[1]->amount_minor, 40);
}
END_TEST

START_TEST(refund_of_nothing_is_answered_with_no_id)
{
    struct refund refund = { .op = { .now_us = NOW_US } };
    const Sagamesh__Ledger__V1__RefundResponse *response;

    response = (void *)method_find("Refund")->encode(&refund, arena);
    ck_assert_str_eq(response->transfer_id, "");
    uuid_parse(ID, UUID_TEXT_BYTES, &refund.reversal_id);
    response = (void *)method_find("Refund")->encode(&refund, arena);
    ck_assert_str_eq(response->transfer_id, ID);
}
END_TEST

int
main(void)
{
    TCase *wire = check_case("wire");

    tcase_add_checked_fixture(wire, set_up, tear_down);
    tcase_add_test(wire, every_method_of_the_proto_has_a_row);
    tcase_add_loop_test(wire, request_is_checked, 0, ROWS(requests));
    tcase_add_test(wire, other_content_is_another_fingerprint);
    tcase_add_test(wire, accounts_are_answered_on_their_normal_side);
    tcase_add_test(wire, statement_ends_with_a_token_when_there_is_more);
    tcase_add_test(wire, refund_of_nothing_is_answered_with_no_id);
    return check_run("account rpc", wire);
}
