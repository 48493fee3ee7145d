/* Requests as strangers send them: each is refused by the field and the rule it breaks, or becomes a
 * valid op. */
#include "mesh/base/clock.h"
#include "order-svc/order.h"
#include "tests/support/check.h"

#include <sagamesh/order/v1/order_service.pb-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ORDER(name) Sagamesh__Order__V1__##name
#define ORDER_INIT(name) SAGAMESH__ORDER__V1__##name##__INIT

static struct arena *arena;
static char good_id[UUID_TEXT_BYTES + 1], other_id[UUID_TEXT_BYTES + 1],
    future_id[UUID_TEXT_BYTES + 1], sixty_four[65], sixty_five[66], url_500[501], url_501[502];

static void
set_up(void)
{
    arena = arena_new();
    uuid_print(uuid_v7(clock_now_us()), good_id);
    uuid_print(uuid_v7(clock_now_us()), other_id);
    uuid_print(uuid_v7(clock_now_us() + 600 * SECOND_US), future_id);
    memset(sixty_four, 'x', 64);
    memset(sixty_five, 'x', 65);
    memset(url_500, 'x', 500);
    memset(url_501, 'x', 501);
    memcpy(url_500, "https://", 8);
    memcpy(url_501, "https://", 8);
}

static void
tear_down(void)
{
    arena = arena_free(arena);
}

static const struct method *
method_of(const char *name)
{
    const struct method *method = order_methods;

    while (method->name != NULL && strcmp(method->name, name) != 0)
        method++;
    ck_assert_ptr_nonnull(method->name);
    return method;
}

static struct op *
decode(const char *name, const ProtobufCMessage *message)
{
    const struct method *method = method_of(name);
    struct op *op = arena_take(arena, method->op_bytes);
    enum error error = method->decode(message, arena, op);

    ck_assert_int_eq(error, op->problem.error);
    return op;
}

START_TEST(each_method_of_the_proto_has_a_row)
{
    const ProtobufCServiceDescriptor *all = &sagamesh__order__v1__order_service__descriptor,
                                     *inner = &sagamesh__order__v1__order_saga_service__descriptor;
    size_t count = 0;

    while (order_methods[count].name != NULL)
        count++;
    ck_assert_uint_eq(count, all->n_methods + inner->n_methods);
    for (unsigned i = 0; i < all->n_methods; i++)
        method_of(all->methods[i].name);
    for (unsigned i = 0; i < inner->n_methods; i++)
        method_of(inner->methods[i].name);
}
END_TEST

/* ---- Place ---- */

/* Each row changes a good request in one field; field NULL: it is still good. */
/* clang-format off */
static const struct {
    const char *what;
    const char *id, *customer, *currency, *sku, *sku_too, *method, *flow, *provider, *url; /* NULL: a good one */
    int64_t quantity; /* 0: a good one */
    const char *field, *says;
    enum error error; /* ERR_OK, with a field: ERR_BAD_REQUEST */
} places[] = {
    { "all is well",                     .field = NULL },
    { "no id",                           .id = "",               .field = "order_id" },
    { "no uuid",                         .id = "order-1",        .field = "order_id" },
    { "an id in capitals",               .id = "0193C8A2-0000-7000-8000-000000000001", .field = "order_id" },
    { "a random id",                     .id = "6ba7b810-9dad-41d1-80b4-00c04fd430c8", .field = "order_id" },
    { "an id from the future",           .id = future_id,        .field = "order_id", .error = ERR_TOO_EARLY },
    { "no customer",                     .customer = "",         .field = "customer_id", .says = "1 to 64" },
    { "a slash in the customer",         .customer = "a/b",      .field = "customer_id", .says = "'/'" },
    { "a line feed in the customer",     .customer = "a\nb",     .field = "customer_id", .says = "control" },
    { "a customer of 64 bytes",          .customer = sixty_four, .field = NULL },
    { "a customer of 65 bytes",          .customer = sixty_five, .field = "customer_id", .says = "1 to 64" },
    { "no currency",                     .currency = "",         .field = "currency", .says = "three" },
    { "a currency in small letters",     .currency = "jpy",      .field = "currency" },
    { "four letters of currency",        .currency = "JPYX",     .field = "currency" },
    { "no sku",                          .sku = "",              .field = "lines[0].sku" },
    { "a space in the sku",              .sku = "red pen",       .field = "lines[0].sku", .says = "spaces" },
    { "a sku that is not ASCII",         .sku = "p\xc3\xa9n",    .field = "lines[0].sku" },
    { "a sku of 64 characters",          .sku = sixty_four,      .field = NULL },
    { "a sku of 65 characters",          .sku = sixty_five,      .field = "lines[0].sku" },
    { "a sku twice",                     .sku = "ink",           .field = "lines[1].sku", .says = "lines[0]" },
    { "a bad sku in the second line",    .sku_too = "\x7f",      .field = "lines[1].sku" },
    { "a negative quantity",             .quantity = -1,         .field = "lines[0].quantity", .says = "1 to 1000000" },
    { "the most pieces there can be",    .quantity = 1000000,    .field = NULL },
    { "one more than there can be",      .quantity = 1000001,    .field = "lines[0].quantity" },
    { "the hugest quantity",             .quantity = INT64_MAX,  .field = "lines[0].quantity" },
    { "paid from the wallet",            .method = "wallet",     .field = NULL },
    { "paid otherwise",                  .method = "card",       .field = "payment_method", .says = "\"external\"" },
    { "paid at a provider",              .method = "external", .provider = "sandbox", .url = "http://a/b?c=d", .field = NULL },
    { "paid at the usual provider",      .method = "external",   .field = NULL },
    { "a provider of 32 characters",     .method = "external", .provider = "12345678901234567890123456789012", .field = NULL },
    { "a provider of 33 characters",     .method = "external", .provider = "123456789012345678901234567890123", .field = "provider" },
    { "a provider of two words",         .method = "external", .provider = "pay pal", .field = "provider" },
    { "a provider for the wallet",       .provider = "sandbox",  .field = "provider", .says = "only" },
    { "a return URL for the wallet",     .url = "https://a",     .field = "return_url", .says = "only" },
    { "a return URL of 500 bytes",       .method = "external", .url = url_500, .field = NULL },
    { "a return URL of 501 bytes",       .method = "external", .url = url_501, .field = "return_url" },
    { "a return URL that is a script",   .method = "external", .url = "javascript:alert(1)", .field = "return_url", .says = "http" },
    { "a return URL without a scheme",   .method = "external", .url = "//a/b", .field = "return_url" },
    { "a return URL without a host",     .method = "external", .url = "https:///b", .field = "return_url" },
    { "a return URL of a scheme only",   .method = "external", .url = "http://", .field = "return_url" },
    { "a line feed in the return URL",   .method = "external", .url = "https://a\n", .field = "return_url" },
    { "another flow",                    .flow = "seat_sale",    .field = NULL },
    { "a flow of two words",             .flow = "seat sale",    .field = "flow" },
    { "a flow of 65 characters",         .flow = sixty_five,     .field = "flow" },
};
/* clang-format on */

static const char *
or_good(const char *text, const char *good)
{
    return text == NULL ? good : text;
}

START_TEST(places_decode)
{
    ORDER(PlaceRequest) request = ORDER_INIT(PLACE_REQUEST);
    ORDER(OrderLine) lines[2] = { ORDER_INIT(ORDER_LINE), ORDER_INIT(ORDER_LINE) };
    ORDER(OrderLine) * list[2] = { &lines[0], &lines[1] };
    const struct problem *problem;

    request.order_id = (char *)or_good(places[_i].id, good_id);
    request.customer_id = (char *)or_good(places[_i].customer, "alice");
    request.currency = (char *)or_good(places[_i].currency, "JPY");
    lines[0].sku = (char *)or_good(places[_i].sku, "pen");
    lines[0].quantity = places[_i].quantity == 0 ? 2 : places[_i].quantity;
    lines[1].sku = (char *)or_good(places[_i].sku_too, "ink");
    lines[1].quantity = 1;
    request.lines = list;
    request.n_lines = 2;
    request.payment_method = (char *)or_good(places[_i].method, "");
    request.flow = (char *)or_good(places[_i].flow, "");
    request.provider = (char *)or_good(places[_i].provider, "");
    request.return_url = (char *)or_good(places[_i].url, "");
    problem = &decode("Place", &request.base)->problem;
    ck_assert_msg(problem->error == (places[_i].field == NULL     ? ERR_OK
                                     : places[_i].error != ERR_OK ? places[_i].error
                                                                  : ERR_BAD_REQUEST),
                  "%s: %s %s", places[_i].what, problem->field, problem->text);
    ck_assert_msg(strcmp(problem->field, or_good(places[_i].field, "")) == 0, "%s: %s",
                  places[_i].what, problem->field);
    ck_assert_msg(strstr(problem->text, or_good(places[_i].says, "")) != NULL, "%s: %s",
                  places[_i].what, problem->text);
}
END_TEST

static struct place *
place_of_lines(size_t count, int64_t quantity)
{
    ORDER(PlaceRequest) request = ORDER_INIT(PLACE_REQUEST);
    ORDER(OrderLine) **list = arena_take(arena, (count + 1) * sizeof *list);

    for (size_t i = 0; i < count; i++) {
        list[i] = arena_take(arena, sizeof *list[i]);
        sagamesh__order__v1__order_line__init(list[i]);
        list[i]->sku = arena_print(arena, "sku-%zu", i);
        list[i]->quantity = quantity;
    }
    request.order_id = good_id;
    request.customer_id = (char *)"alice";
    request.currency = (char *)"JPY";
    request.lines = list;
    request.n_lines = count;
    return (struct place *)decode("Place", &request.base);
}

START_TEST(an_order_has_1_to_100_lines)
{
    static const size_t counts[] = { 0, 1, 100, 101 };
    static const enum error expected[] = { ERR_BAD_REQUEST, ERR_OK, ERR_OK, ERR_BAD_REQUEST };
    const struct place *place = place_of_lines(counts[_i], 1);

    ck_assert_msg(place->op.problem.error == expected[_i], "%zu lines", counts[_i]);
    ck_assert_str_eq(place->op.problem.field, expected[_i] == ERR_OK ? "" : "lines");
}
END_TEST

START_TEST(a_quantity_of_nothing_is_refused)
{
    ck_assert_str_eq(place_of_lines(1, 0)->op.problem.field, "lines[0].quantity");
}
END_TEST

START_TEST(a_placed_order_has_its_defaults)
{
    const struct place *place = place_of_lines(2, 7);
    struct place *again = place_of_lines(2, 7), *other = place_of_lines(2, 8);

    ck_assert_str_eq(place->flow, "order_create_saga");
    ck_assert_str_eq(place->payment_method, "wallet");
    ck_assert_str_eq(place->lines, "7 sku-0\n7 sku-1\n");
    ck_assert(place->op.fingerprint == again->op.fingerprint);
    ck_assert(place->op.fingerprint != other->op.fingerprint);
}
END_TEST

/* ---- marks, reads ---- */

/* clang-format off */
static const struct {
    const char *what, *request_id, *order_id, *currency, *reference; /* NULL: a good one */
    int64_t total;
    const char *field;
} marks[] = {
    { "all is well",                .total = 5,                            .field = NULL },
    { "no request id",              .request_id = "",                      .field = "request_id" },
    { "no order id",                .order_id = "x",                       .field = "order_id" },
    { "a negative total",           .total = -1,                           .field = "total_minor" },
    { "a bad currency",             .currency = "yen",                     .field = "currency" },
    { "a long reference",           .reference = sixty_five,               .field = "payment_reference" },
    { "control in the reference",   .reference = "a\tb",                   .field = "payment_reference" },
};
/* clang-format on */

START_TEST(marks_decode)
{
    ORDER(MarkPaidRequest) paid = ORDER_INIT(MARK_PAID_REQUEST);
    ORDER(MarkWaitingRequest) waiting = ORDER_INIT(MARK_WAITING_REQUEST);
    const char *field = or_good(marks[_i].field, "");
    const struct op *op_paid, *op_waiting;

    paid.request_id = waiting.request_id = (char *)or_good(marks[_i].request_id, good_id);
    paid.order_id = waiting.order_id = (char *)or_good(marks[_i].order_id, other_id);
    paid.currency = waiting.currency = (char *)or_good(marks[_i].currency, "JPY");
    paid.total_minor = waiting.total_minor = marks[_i].total;
    paid.payment_reference = waiting.payment_reference =
        (char *)or_good(marks[_i].reference, "transfer");
    op_paid = decode("MarkPaid", &paid.base);
    op_waiting = decode("MarkWaiting", &waiting.base);
    ck_assert_msg(strcmp(op_paid->problem.field, field) == 0, "%s: %s", marks[_i].what,
                  op_paid->problem.field);
    ck_assert_msg(strcmp(op_waiting->problem.field, field) == 0, "%s: %s", marks[_i].what,
                  op_waiting->problem.field);
    if (marks[_i].field == NULL) /* the same words of two methods are not the same request */
        ck_assert(op_paid->fingerprint != op_waiting->fingerprint);
}
END_TEST

/* clang-format off */
static const struct {
    const char *what, *id, *url;
    int64_t expires_at_us;
    const char *field;
} askeds[] = {
    { "all is well",            "pay-1",    "https://pay.example/1", 5,         ""                      },
    { "nothing said",           "",         "",                      0,         ""                      },
    { "an id of two words",     "pay 1",    "",                      0,         "payment_id"            },
    { "a long id",              sixty_five, "",                      0,         "payment_id"            },
    { "a URL of another kind",  "pay-1",    "ftp://pay.example",     0,         "payment_url"           },
    { "expired before 1970",    "pay-1",    "",                      -1,        "payment_expires_at_us" },
};
/* clang-format on */

START_TEST(what_is_asked_for_decodes)
{
    ORDER(MarkWaitingRequest) request = ORDER_INIT(MARK_WAITING_REQUEST);
    uint64_t bare, full;

    request.request_id = good_id;
    request.order_id = other_id;
    request.currency = (char *)"JPY";
    bare = decode("MarkWaiting", &request.base)->fingerprint;
    request.payment_id = (char *)askeds[_i].id;
    request.payment_url = (char *)askeds[_i].url;
    request.payment_expires_at_us = askeds[_i].expires_at_us;
    ck_assert_msg(strcmp(decode("MarkWaiting", &request.base)->problem.field, askeds[_i].field) ==
                      0,
                  "%s", askeds[_i].what);
    full = decode("MarkWaiting", &request.base)->fingerprint;
    if (askeds[_i].field[0] == '\0')
        ck_assert((bare == full) == (askeds[_i].id[0] == '\0'));
}
END_TEST

START_TEST(a_long_failure_is_cut)
{
    ORDER(MarkFailedRequest) request = ORDER_INIT(MARK_FAILED_REQUEST);
    char detail[400];
    const struct mark *mark;

    for (size_t i = 0; i + 3 < sizeof detail; i += 3)
        memcpy(detail + i, "\xe2\x82\xac", 4); /* three bytes each: 190 is inside of one */
    request.request_id = good_id;
    request.order_id = other_id;
    request.reason = (char *)"A_REASON_OF_MORE_THAN_31_CHARACTERS";
    request.detail = detail;
    mark = (const struct mark *)decode("MarkFailed", &request.base);
    ck_assert_int_eq(mark->op.problem.error, ERR_OK);
    ck_assert_str_eq(mark->failure_reason, "A_REASON_OF_MORE_THAN_31_CHARAC");
    ck_assert_uint_eq(strlen(mark->failure_detail), 189);
    request.reason = (char *)"";
    mark = (const struct mark *)decode("MarkFailed", &request.base);
    ck_assert_str_eq(mark->failure_reason, "UNKNOWN");
    request.currency = (char *)"??";
    mark = (const struct mark *)decode("MarkFailed", &request.base);
    ck_assert_str_eq(mark->op.problem.field, "currency");
}
END_TEST

/* clang-format off */
static const struct {
    const char *what;
    int32_t wait_ms, known_version;
    const char *field;
} gets[] = {
    { "at once",              0,      0,  ""              },
    { "wait a minute",        60000,  3,  ""              },
    { "wait longer",          60001,  0,  "wait_ms"       },
    { "wait into the past",   -1,     0,  "wait_ms"       },
    { "a version below none", 0,      -1, "known_version" },
};
/* clang-format on */

START_TEST(gets_decode)
{
    ORDER(GetRequest) request = ORDER_INIT(GET_REQUEST);

    request.order_id = good_id;
    request.wait_ms = gets[_i].wait_ms;
    request.known_version = gets[_i].known_version;
    ck_assert_str_eq(decode("Get", &request.base)->problem.field, gets[_i].field);
}
END_TEST

/* clang-format off */
static const struct {
    const char *what, *customer, *token;
    int32_t page_size;
    const char *field;
} lists[] = {
    { "everybody's",          "",      "",           0,    ""            },
    { "one customer's",       "alice", "",           1000, ""            },
    { "too many at once",     "",      "",           1001, "page_size"   },
    { "fewer than none",      "",      "",           -1,   "page_size"   },
    { "an invented token",    "",      "page-2",     0,    "page_token"  },
    { "a bad customer",       "a/b",   "",           0,    "customer_id" },
};
/* clang-format on */

START_TEST(lists_decode)
{
    ORDER(ListRequest) request = ORDER_INIT(LIST_REQUEST);
    const struct op *op;

    request.customer_id = (char *)lists[_i].customer;
    request.page_token = (char *)lists[_i].token;
    request.page_size = lists[_i].page_size;
    op = decode("List", &request.base);
    ck_assert_msg(strcmp(op->problem.field, lists[_i].field) == 0, "%s: %s", lists[_i].what,
                  op->problem.field);
}
END_TEST

START_TEST(cancel_and_list_events_name_the_field)
{
    ORDER(CancelRequest) cancel = ORDER_INIT(CANCEL_REQUEST);
    ORDER(ListEventsRequest) events = ORDER_INIT(LIST_EVENTS_REQUEST);

    cancel.order_id = good_id;
    ck_assert_str_eq(decode("Cancel", &cancel.base)->problem.field, "request_id");
    cancel.request_id = other_id;
    cancel.order_id = (char *)"nothing";
    ck_assert_str_eq(decode("Cancel", &cancel.base)->problem.field, "order_id");
    ck_assert_str_eq(decode("ListEvents", &events.base)->problem.field, "order_id");
    events.order_id = good_id;
    events.after_version = -1;
    ck_assert_str_eq(decode("ListEvents", &events.base)->problem.field, "after_version");
}
END_TEST

int
main(void)
{
    TCase *requests = check_case("requests");

    tcase_add_checked_fixture(requests, set_up, tear_down);
    tcase_add_test(requests, each_method_of_the_proto_has_a_row);
    tcase_add_loop_test(requests, places_decode, 0, ROWS(places));
    tcase_add_loop_test(requests, an_order_has_1_to_100_lines, 0, 4);
    tcase_add_test(requests, a_quantity_of_nothing_is_refused);
    tcase_add_test(requests, a_placed_order_has_its_defaults);
    tcase_add_loop_test(requests, marks_decode, 0, ROWS(marks));
    tcase_add_loop_test(requests, what_is_asked_for_decodes, 0, ROWS(askeds));
    tcase_add_test(requests, a_long_failure_is_cut);
    tcase_add_loop_test(requests, gets_decode, 0, ROWS(gets));
    tcase_add_loop_test(requests, lists_decode, 0, ROWS(lists));
    tcase_add_test(requests, cancel_and_list_events_name_the_field);
    return check_run("order decode", requests);
}
