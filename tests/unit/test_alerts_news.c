/* test_alerts_news.c -- What of a Kafka message is news, and the reason why another is not. */
#include "alerts/news.h"
#include "mesh/base/clock.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW_US INT64_C(1763718000123000)
#define ORDER "019aa5f0-1c7b-7abc-8def-0123456789ab"
#define PAYMENT "019aa5f0-2c7b-8abc-8def-0123456789ab"
#define EVENT "019aa5f0-3c7b-7abc-8def-0123456789ab"
#define TRACE "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
#define TIME "2025-11-21T09:39:58.000123Z"

#define ORDER_BODY(members)                                                                        \
    "{\"orderId\":\"" ORDER "\",\"customerId\":\"c\",\"version\":3,\"currency\":\"JPY\","          \
    "\"reason\":\"\",\"detail\":\"\",\"cancelRequested\":false,\"placedAtUs\":1," members "}"
#define PAID                                                                                       \
    ORDER_BODY("\"status\":\"PAID\",\"totalMinor\":100,\"paymentReference\":\"" PAYMENT "\"")
#define PAYMENT_BODY(members)                                                                      \
    "{\"paymentId\":\"" PAYMENT "\",\"orderId\":\"" ORDER "\",\"currency\":\"JPY\","               \
    "\"reason\":\"\",\"amountMinor\":100," members "}"
#define PROVIDER ",\"provider\":\"p\",\"claim\":\"TAKEN\",\"refundDue\":false,"

/* A message: an order's and good, but for what the row says. */
struct row {
    const char *what;
    const char *type, *body; /* NULL: "sagamesh.order.paid.v1", PAID */
    enum news_answer answer;
    const char *says; /* "field: a piece of the rule", of a dead letter */
    const char *without, *header, *header_value; /* a header left out, or changed */
    const char *key;                             /* NULL: ORDER; "-": none */
    bool is_payments_topic, is_old;
};

static const char *const good_headers[][2] = {
    { "ce_specversion", "1.0" },
    { "ce_id", EVENT },
    { "ce_source", "/sagamesh/order-svc" },
    { "ce_type", "sagamesh.order.paid.v1" },
    { "ce_time", TIME },
    { "ce_subject", ORDER },
    { "ce_version", "3" },
    { "ce_traceparent", TRACE },
    { "content-type", "application/json" },
};

static const char *
header_value_of(const struct row *row, const char *name, const char *value)
{
    if (row->header != NULL && strcmp(row->header, name) == 0)
        return row->header_value;
    if (strcmp(name, "ce_type") == 0 && row->type != NULL)
        return row->type;
    return value;
}

static enum news_answer
read_row(const struct row *row, struct news *news, struct problem *problem)
{
    const char *key = row->key == NULL ? ORDER : row->key;
    const char *body = row->body == NULL ? PAID : row->body;
    struct news_header headers[ROWS(good_headers)];
    struct news_message message = { .topic = row->is_payments_topic ? NEWS_PAYMENT : NEWS_ORDER,
                                    .place = 42,
                                    .key = key[0] == '-' ? NULL : key,
                                    .key_bytes = key[0] == '-' ? 0 : strlen(key),
                                    .value = body[0] == '-' ? NULL : body,
                                    .value_bytes = strlen(body),
                                    .headers = headers };

    for (size_t i = 0; i < ROWS(good_headers); i++) {
        const char *name = good_headers[i][0];
        const char *value = header_value_of(row, name, good_headers[i][1]);

        if (row->without == NULL || strcmp(row->without, name) != 0)
            headers[message.header_count++] =
                (struct news_header){ .name = name, .value = value, .bytes = strlen(value) };
    }
    memset(problem, 0, sizeof *problem);
    return news_read(&message, NOW_US, news, problem);
}

#define SUCCEEDED "sagamesh.payment.succeeded.v1"
#define OBSERVED "sagamesh.payment.observed.v1"
#define BEAT "sagamesh.relay.heartbeat.v1"

/* clang-format off */
static const struct row rows[] = {
    { "an order",                   NULL, NULL, NEWS_READ, NULL, .key = NULL },
    { "no trace",                   NULL, NULL, NEWS_READ, NULL, .without = "ce_traceparent" },
    { "a bad trace is none",        NULL, NULL, NEWS_READ, NULL, .header = "ce_traceparent", .header_value = "00-x" },
    { "a member that is new",       NULL, ORDER_BODY("\"status\":\"FAILED\",\"totalMinor\":1,\"paymentReference\":\"\",\"new\":{\"a\":[1e999]}"), NEWS_READ, NULL, .key = NULL },
    { "a word with escapes",        NULL, ORDER_BODY("\"stat\\u0075s\":\"\\u0050AID\",\"totalMinor\":1,\"paymentReference\":\"\""), NEWS_READ, NULL, .key = NULL },
    { "another zone",               NULL, NULL, NEWS_READ, NULL, .header = "ce_time", .header_value = "2025-11-21T18:39:58+09:00" },
    { "a type that is new",         "sagamesh.order.shipped.v1", "-", NEWS_OTHER, NULL, .key = NULL },
    { "a stranger's type",          "com.example.order.paid.v1", NULL, NEWS_OTHER, NULL, .key = NULL },
    { "a type that begins alike",   "sagamesh.order.paidback.v1", NULL, NEWS_OTHER, NULL, .key = NULL },
    { "of a later version",         "sagamesh.order.paid.v2", NULL, NEWS_DEAD, "ce_type: version 1", .key = NULL },
    { "of no version",              "sagamesh.order.paid", NULL, NEWS_DEAD, "ce_type: version 1", .key = NULL },
    { "of another topic",           SUCCEEDED, NULL, NEWS_DEAD, "ce_type: a topic of its own", .key = NULL },
    { "no type",                    NULL, NULL, NEWS_DEAD, "ce_type: is missing", .without = "ce_type" },
    { "no id",                      NULL, NULL, NEWS_DEAD, "ce_id: UUID", .without = "ce_id" },
    { "an id of another kind",      NULL, NULL, NEWS_DEAD, "ce_id: UUID", .header = "ce_id", .header_value = "42" },
    { "no time",                    NULL, NULL, NEWS_DEAD, "ce_time: RFC 3339", .without = "ce_time" },
    { "a date that is none",        NULL, NULL, NEWS_DEAD, "ce_time: RFC 3339", .header = "ce_time", .header_value = "2025-02-30T09:39:58.000123Z" },
    { "an hour that is none",       NULL, NULL, NEWS_DEAD, "ce_time: RFC 3339", .header = "ce_time", .header_value = "2025-11-21T24:39:58.000123Z" },
    { "two days ahead",             NULL, NULL, NEWS_DEAD, "ce_time: future", .header = "ce_time", .header_value = "2025-11-23T09:39:58.000123Z" },
    { "no version",                 NULL, NULL, NEWS_DEAD, "ce_version: above 0", .without = "ce_version" },
    { "version 0",                  NULL, NULL, NEWS_DEAD, "ce_version: above 0", .header = "ce_version", .header_value = "0" },
    { "a version past 2^31",        NULL, NULL, NEWS_DEAD, "ce_version: above 0", .header = "ce_version", .header_value = "2147483648" },
    { "two versions",               NULL, NULL, NEWS_DEAD, "version: ce_version", .header = "ce_version", .header_value = "4" },
    { "no key",                     NULL, NULL, NEWS_DEAD, "key: orderId", .key = "-" },
    { "another key",                NULL, NULL, NEWS_DEAD, "key: orderId", .key = PAYMENT },
    { "no body",                    NULL, "-", NEWS_DEAD, "body: is missing", .key = NULL },
    { "an empty body",              NULL, "", NEWS_DEAD, "body: it is empty", .key = NULL },
    { "no object",                  NULL, "[]", NEWS_DEAD, "body: it must be an object", .key = NULL },
    { "half a body",                NULL, "{\"orderId\":\"" ORDER, NEWS_DEAD, "body: it ends too early", .key = NULL },
    { "two bodies",                 NULL, PAID "{}", NEWS_DEAD, "body: something follows", .key = NULL },
    { "a wanted member is missing", NULL, ORDER_BODY("\"totalMinor\":1,\"paymentReference\":\"\""), NEWS_DEAD, "status: is missing", .key = NULL },
    { "a wanted member comes twice", NULL, ORDER_BODY("\"status\":\"PAID\",\"status\":\"FAILED\",\"totalMinor\":1,\"paymentReference\":\"\""), NEWS_DEAD, "status: comes twice", .key = NULL },
    { "a number as a status",       NULL, ORDER_BODY("\"status\":1,\"totalMinor\":1,\"paymentReference\":\"\""), NEWS_DEAD, "status: must be a text", .key = NULL },
    { "a status that is new",       NULL, ORDER_BODY("\"status\":\"SHIPPED\",\"totalMinor\":1,\"paymentReference\":\"\""), NEWS_DEAD, "status: none of an order", .key = NULL },
    { "a payment's status",         NULL, ORDER_BODY("\"status\":\"SUCCEEDED\",\"totalMinor\":1,\"paymentReference\":\"\""), NEWS_DEAD, "status: none of an order", .key = NULL },
    { "a total below 0",            NULL, ORDER_BODY("\"status\":\"PAID\",\"totalMinor\":-1,\"paymentReference\":\"\""), NEWS_DEAD, "totalMinor: 0 or more", .key = NULL },
    { "a total of 2^63",            NULL, ORDER_BODY("\"status\":\"PAID\",\"totalMinor\":9223372036854775808,\"paymentReference\":\"\""), NEWS_DEAD, "totalMinor: 0 or more", .key = NULL },
    { "half a total",               NULL, ORDER_BODY("\"status\":\"PAID\",\"totalMinor\":1.5,\"paymentReference\":\"\""), NEWS_DEAD, "totalMinor: whole", .key = NULL },
    { "an end that is none",        NULL, ORDER_BODY("\"status\":\"PAID\",\"totalMinor\":1,\"paymentReference\":\"\",\"paymentExpiresAtUs\":null"), NEWS_DEAD, "paymentExpiresAtUs: whole number", .key = NULL },
    { "an order's number of others", NULL, "{\"orderId\":\"4711\",\"status\":\"PAID\",\"version\":3,\"totalMinor\":1,\"paymentReference\":\"\"}", NEWS_FOREIGN, NULL, .key = "4711" },
    { "of a v4",                    NULL, "{\"orderId\":\"f47ac10b-58cc-4372-a567-0e02b2c3d479\",\"status\":\"PAID\",\"version\":3,\"totalMinor\":1,\"paymentReference\":\"\"}", NEWS_FOREIGN, NULL, .key = NULL },
    { "of a year ago",              NULL, "{\"orderId\":\"0193a5f0-1c7b-7abc-8def-0123456789ab\",\"status\":\"PAID\",\"version\":3,\"totalMinor\":1,\"paymentReference\":\"\"}", NEWS_READ, NULL, .key = "0193a5f0-1c7b-7abc-8def-0123456789ab", .is_old = true },
    { "of next year",               NULL, "{\"orderId\":\"01a1a5f0-1c7b-7abc-8def-0123456789ab\",\"status\":\"PAID\",\"version\":3,\"totalMinor\":1,\"paymentReference\":\"\"}", NEWS_FOREIGN, NULL, .key = NULL },
    { "a wallet's payment",         SUCCEEDED, PAYMENT_BODY("\"status\":\"SUCCEEDED\",\"customerId\":\"c\""), NEWS_READ, NULL, .is_payments_topic = true },
    { "a provider's payment",       OBSERVED, PAYMENT_BODY("\"status\":\"EXPIRED\"" PROVIDER "\"occurredAtUs\":0,\"refunds\":[]"), NEWS_READ, NULL, .is_payments_topic = true },
    { "a charge without an order",  SUCCEEDED, "{\"paymentId\":\"" PAYMENT "\",\"orderId\":\"\",\"status\":\"SUCCEEDED\",\"amountMinor\":1}", NEWS_FOREIGN, NULL, .key = PAYMENT, .is_payments_topic = true },
    { "a payment without an id",    SUCCEEDED, "{\"orderId\":\"" ORDER "\",\"status\":\"SUCCEEDED\",\"amountMinor\":1}", NEWS_DEAD, "paymentId: is missing", .is_payments_topic = true },
    { "a payment of another id",    SUCCEEDED, "{\"paymentId\":\"7\",\"orderId\":\"" ORDER "\",\"status\":\"SUCCEEDED\",\"amountMinor\":1}", NEWS_DEAD, "paymentId: UUID", .is_payments_topic = true },
    { "an order's status",          SUCCEEDED, PAYMENT_BODY("\"status\":\"PAID\""), NEWS_DEAD, "status: none of a payment", .is_payments_topic = true },
    { "refunds that are none",      OBSERVED, PAYMENT_BODY("\"status\":\"REFUNDED\",\"refunds\":{}"), NEWS_DEAD, "refunds: array", .is_payments_topic = true },
    { "a refund that is none",      OBSERVED, PAYMENT_BODY("\"status\":\"REFUNDED\",\"refunds\":[7]"), NEWS_DEAD, "refunds: objects", .is_payments_topic = true },
    { "a refund of no amount",      OBSERVED, PAYMENT_BODY("\"status\":\"REFUNDED\",\"refunds\":[{\"refundId\":\"r\"}]"), NEWS_DEAD, "refunds: amountMinor", .is_payments_topic = true },
    { "a refund of half a yen",     OBSERVED, PAYMENT_BODY("\"status\":\"REFUNDED\",\"refunds\":[{\"amountMinor\":0.5}]"), NEWS_DEAD, "refunds: whole", .is_payments_topic = true },
    { "a heartbeat",                BEAT, "{\"upTo\":1,\"timeUs\":7}", NEWS_READ, NULL, .key = "-" },
    { "a heartbeat of payments",    BEAT, "{\"upTo\":1,\"timeUs\":7}", NEWS_READ, NULL, .key = "-", .is_payments_topic = true },
    { "a heartbeat of nobody",      BEAT, "{\"upTo\":1,\"timeUs\":7}", NEWS_DEAD, "ce_source: is missing", .without = "ce_source" },
    { "a heartbeat without a time", BEAT, "{\"upTo\":1}", NEWS_DEAD, "timeUs: is missing", .key = NULL },
    { "a heartbeat at 0",           BEAT, "{\"timeUs\":0}", NEWS_DEAD, "timeUs: above 0", .key = NULL },
};

static const struct {
    const char *body;
    uint8_t word;
    bool is_success, is_failure, is_back;
} statuses[] = {
    { PAYMENT_BODY("\"status\":\"CREATED\""),    WORD_PAYMENT_CREATED,    false, false, false },
    { PAYMENT_BODY("\"status\":\"PENDING\""),    WORD_PAYMENT_PENDING,    false, false, false },
    { PAYMENT_BODY("\"status\":\"AUTHORIZED\""), WORD_PAYMENT_AUTHORIZED, false, false, false },
    { PAYMENT_BODY("\"status\":\"FAILED\""),     WORD_PAYMENT_FAILED,     false, true,  false },
    { PAYMENT_BODY("\"status\":\"EXPIRED\""),    WORD_PAYMENT_EXPIRED,    false, true,  false },
    { PAYMENT_BODY("\"status\":\"CANCELED\""),   WORD_PAYMENT_CANCELED,   false, true,  false },
    { PAYMENT_BODY("\"status\":\"CANCELLED\""),  WORD_PAYMENT_CANCELLED,  false, true,  false },
    { PAYMENT_BODY("\"status\":\"SUCCEEDED\""),  WORD_PAYMENT_SUCCEEDED,  true,  false, false },
    { PAYMENT_BODY("\"status\":\"SUCCESS\""),    WORD_PAYMENT_SUCCESS,    true,  false, false },
    { PAYMENT_BODY("\"status\":\"COMPLETED\""),  WORD_PAYMENT_COMPLETED,  true,  false, false },
    { PAYMENT_BODY("\"status\":\"CAPTURED\""),   WORD_PAYMENT_CAPTURED,   true,  false, false },
    { PAYMENT_BODY("\"status\":\"REFUNDED\""),   WORD_PAYMENT_REFUNDED,   true,  false, true  },
    { PAYMENT_BODY("\"status\":\"SUCCEEDED\",\"refunds\":[]"), WORD_PAYMENT_SUCCEEDED, true, false, false },
    { PAYMENT_BODY("\"status\":\"REFUNDED\",\"refunds\":[{\"amountMinor\":99}]"), WORD_PAYMENT_REFUNDED, true, false, false },
    { PAYMENT_BODY("\"status\":\"REFUNDED\",\"refunds\":[{\"amountMinor\":99},{\"amountMinor\":1}]"), WORD_PAYMENT_REFUNDED, true, false, true },
    { PAYMENT_BODY("\"status\":\"SUCCEEDED\",\"refunds\":[{\"amountMinor\":100}]"), WORD_PAYMENT_SUCCEEDED, true, false, true },
    { PAYMENT_BODY("\"status\":\"REFUNDED\",\"refunds\":[{\"amountMinor\":9223372036854775807},{\"amountMinor\":9223372036854775807}]"), WORD_PAYMENT_REFUNDED, true, false, true },
};
/* clang-format on */

START_TEST(a_message_is_news_or_not)
{
    const struct row *row = &rows[_i];
    struct problem problem;
    struct news news;
    enum news_answer answer = read_row(row, &news, &problem);

    ck_assert_msg(answer == row->answer, "%s: %d %s: %s", row->what, (int)answer, problem.field,
                  problem.text);
    if (row->answer == NEWS_READ)
        ck_assert_msg(news.is_old == row->is_old, "%s", row->what);
    if (row->answer == NEWS_DEAD) {
        const char *rule = strchr(row->says, ':');

        ck_assert_msg(strlen(problem.field) == (size_t)(rule - row->says) &&
                          memcmp(problem.field, row->says, strlen(problem.field)) == 0,
                      "%s: %s", row->what, problem.field);
        ck_assert_msg(strstr(problem.text, rule + 2) != NULL, "%s: %s", row->what, problem.text);
    }
}
END_TEST

START_TEST(an_order_says_what_it_says)
{
    const struct row row = { .body = ORDER_BODY("\"status\":\"PAID\",\"totalMinor\":100,"
                                                "\"paymentReference\":\"" PAYMENT "\","
                                                "\"paymentExpiresAtUs\":77") };
    char text[UUID_TEXT_BYTES + 1];
    struct problem problem;
    struct news news;

    ck_assert_int_eq(read_row(&row, &news, &problem), NEWS_READ);
    ck_assert_int_eq(news.kind, NEWS_ORDER);
    ck_assert_str_eq(uuid_print(news.order_id, text), ORDER);
    ck_assert_str_eq(uuid_print(news.event_id, text), EVENT);
    ck_assert_str_eq(uuid_print(news.paid_by, text), PAYMENT);
    ck_assert_int_eq(news.time_us, INT64_C(1763717998000123));
    ck_assert_int_eq(news.version, 3);
    ck_assert_int_eq(news.word, WORD_PAID);
    ck_assert_int_eq(news.place, 42);
    ck_assert_int_eq(news.expires_at_us, 77);
    ck_assert_str_eq(news.trace, TRACE);
    ck_assert(!news.is_free);
}
END_TEST

START_TEST(an_order_that_costs_nothing_is_free)
{
    const struct row row = { .body = ORDER_BODY("\"status\":\"PAID\",\"totalMinor\":0,"
                                                "\"paymentReference\":\"free\"") };
    struct problem problem;
    struct news news;

    ck_assert_int_eq(read_row(&row, &news, &problem), NEWS_READ);
    ck_assert(news.is_free && uuid_is_nil(news.paid_by));
}
END_TEST

START_TEST(a_payment_says_how_it_stands)
{
    const struct row row = { .type = OBSERVED,
                             .body = statuses[_i].body,
                             .is_payments_topic = true };
    char text[UUID_TEXT_BYTES + 1];
    struct problem problem;
    struct news news;

    ck_assert_msg(read_row(&row, &news, &problem) == NEWS_READ, "%s: %s", row.body, problem.text);
    ck_assert_str_eq(uuid_print(news.payment_id, text), PAYMENT);
    ck_assert_int_eq(news.word, statuses[_i].word);
    ck_assert_int_eq(word_is_success(news.word), statuses[_i].is_success);
    ck_assert_int_eq(word_is_failure(news.word), statuses[_i].is_failure);
    ck_assert_msg(news.is_back == statuses[_i].is_back, "%s", row.body);
}
END_TEST

START_TEST(a_heartbeat_says_whose_and_up_to_when)
{
    const struct row row = { .type = BEAT, .body = "{\"upTo\":1,\"timeUs\":1234567}", .key = "-" };
    struct problem problem;
    struct news news;

    ck_assert_int_eq(read_row(&row, &news, &problem), NEWS_READ);
    ck_assert_int_eq(news.kind, NEWS_HEARTBEAT);
    ck_assert_int_eq(news.time_us, 1234567);
    ck_assert_uint_eq(news.source_bytes, strlen("order-svc"));
    ck_assert_mem_eq(news.source, "order-svc", news.source_bytes);
}
END_TEST

START_TEST(a_body_of_any_size_is_bounded)
{
    char *body = malloc(NEWS_BODY_BYTES_MAX + 2);
    struct row row = { .body = body };
    struct problem problem;
    struct news news;

    memset(body, ' ', NEWS_BODY_BYTES_MAX + 1);
    memcpy(body, PAID, strlen(PAID));
    body[NEWS_BODY_BYTES_MAX] = '\0';
    ck_assert_int_eq(read_row(&row, &news, &problem), NEWS_READ);
    body[NEWS_BODY_BYTES_MAX] = ' ';
    body[NEWS_BODY_BYTES_MAX + 1] = '\0';
    ck_assert_int_eq(read_row(&row, &news, &problem), NEWS_DEAD);
    ck_assert_str_eq(problem.field, "body");
    free(body);
}
END_TEST

/* Also of a day whose calendar was asked for the news before. */
START_TEST(news_of_days_has_its_own_day)
{
    static const char *const times[] = { "2025-11-21T00:00:00.000000Z",
                                         "2025-11-21T23:59:59.999999Z",
                                         "2025-11-20T23:59:59.999999Z",
                                         "2025-11-21T00:00:00.000001Z" };
    static const int64_t expected_us[] = { INT64_C(1763683200000000), INT64_C(1763769599999999),
                                           INT64_C(1763683199999999), INT64_C(1763683200000001) };
    struct problem problem;
    struct news news;

    for (size_t i = 0; i < ROWS(times); i++) {
        const struct row row = { .header = "ce_time", .header_value = times[i] };

        ck_assert_int_eq(read_row(&row, &news, &problem), NEWS_READ);
        ck_assert_int_eq(news.time_us, expected_us[i]);
    }
}
END_TEST

/* Whatever was read is the same after a line. */
START_TEST(a_line_is_the_news)
{
    char line[NEWS_LINE_BYTES_MAX], again[NEWS_LINE_BYTES_MAX];
    struct problem problem;
    struct news news, copy;
    size_t bytes;

    if (read_row(&rows[_i], &news, &problem) != NEWS_READ || news.kind == NEWS_HEARTBEAT)
        return;
    bytes = news_print(&news, line);
    ck_assert_msg(news_parse(line, bytes, &copy), "%.*s", (int)bytes, line);
    ck_assert_uint_eq(news_print(&copy, again), bytes);
    ck_assert_mem_eq(line, again, bytes);
    ck_assert_mem_eq(&news.order_id, &copy.order_id, sizeof news.order_id);
    ck_assert_int_eq(news.time_us, copy.time_us);
    ck_assert_str_eq(news.trace, copy.trace);
    for (size_t less = 0; less < bytes; less++) {
        if (news_parse(line, less, &copy)) /* a shorter number may be one */
            ck_assert_uint_gt(less, bytes - TRACE_PARENT_BYTES);
    }
    line[0] = 'x';
    ck_assert(!news_parse(line, bytes, &copy));
}
END_TEST

int
main(void)
{
    TCase *test = check_case("news");

    tcase_add_loop_test(test, a_message_is_news_or_not, 0, ROWS(rows));
    tcase_add_test(test, an_order_says_what_it_says);
    tcase_add_test(test, an_order_that_costs_nothing_is_free);
    tcase_add_loop_test(test, a_payment_says_how_it_stands, 0, ROWS(statuses));
    tcase_add_test(test, a_heartbeat_says_whose_and_up_to_when);
    tcase_add_test(test, a_body_of_any_size_is_bounded);
    tcase_add_test(test, news_of_days_has_its_own_day);
    tcase_add_loop_test(test, a_line_is_the_news, 0, ROWS(rows));
    return check_run("alerts_news", test);
}
