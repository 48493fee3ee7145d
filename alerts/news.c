/* news.c -- From the bytes of a Kafka message to what they say.
 *
 * The headers say whose and which news it is; the body is scanned once, member by member, into a struct body: those
 * that a table of wants names, each checked by itself. What several of them must say together is checked
 * behind that, and the news is filled.
 */
#include "alerts/news.h"

#include "mesh/base/clock.h"
#include "mesh/base/json.h"
#include "mesh/base/json_scan.h"
#include "mesh/base/text.h"
#include "mesh/base/time.h"

#include <assert.h>
#include <string.h>

/* A clock that is off by more stops its program (mesh/rpc/clock_watch.h). */
#define FUTURE_US DAY_US

#define TYPE_PREFIX "sagamesh."
#define SOURCE_PREFIX "/sagamesh/"

enum { TEXT_BYTES_MAX = 128 }; /* of a text that is written with escapes */

/* A piece of the message. */
struct span {
    const char *at; /* NULL: it is not there */
    size_t bytes;
};

static bool
span_is(struct span span, const char *text)
{
    return span.bytes == strlen(text) && memcmp(span.at, text, span.bytes) == 0;
}

/* ---- headers ---- */

/* Those that are read, in the order of the names. */
enum header { TYPE, ID, TIME, VERSION, SOURCE, TRACEPARENT, HEADER_COUNT };

static const char *const header_names[HEADER_COUNT] = {
    "ce_type", "ce_id", "ce_time", "ce_version", "ce_source", "ce_traceparent"
};

/* A message that is being read. */
struct reading {
    const struct news_message *message;
    struct problem *problem;
    int64_t now_us;
    struct span headers[HEADER_COUNT]; /* of one that comes twice the first */
};

static enum news_answer
dead(struct reading *reading, const char *field, const char *why)
{
    problem_set(reading->problem, ERR_BAD_REQUEST, field, "%s", why);
    return NEWS_DEAD;
}

static void
find_headers(struct reading *reading)
{
    const struct news_message *message = reading->message;

    for (size_t i = 0; i < message->header_count; i++) {
        const struct news_header *header = &message->headers[i];

        for (size_t n = 0; n < HEADER_COUNT; n++) {
            if (strcmp(header->name, header_names[n]) == 0 && reading->headers[n].at == NULL)
                reading->headers[n] = (struct span){ header->value, header->bytes };
        }
    }
}

/* Digits of a time as our relay writes it; -1: there is something else. */
static int
digits(const char *at, int count)
{
    int value = 0;

    for (; count > 0; count--, at++) {
        if (*at < '0' || *at > '9')
            return -1;
        value = value * 10 + (*at - '0');
    }
    return value;
}

/* The time of day and the microseconds of a text of TIME_TEXT_BYTES, where it is as time_print() writes it; else
 * -1. Its date is of the day before it, which the caller knows. */
static int64_t
day_part_us(const char *text)
{
    int hour = digits(text + 11, 2), minute = digits(text + 14, 2), second = digits(text + 17, 2),
        fraction_us = digits(text + 20, 6);

    if (text[10] != 'T' || text[13] != ':' || text[16] != ':' || text[19] != '.' ||
        text[26] != 'Z' || hour < 0 || minute < 0 || second < 0 || fraction_us < 0 || hour > 23 ||
        minute > 59 || second > 59)
        return -1;
    return ((hour * 60 + minute) * 60 + second) * SECOND_US + fraction_us;
}

/* Nearly all news of a stretch is of one day, whose calendar need not be asked each time. */
static bool
time_take(struct span span, int64_t *ret_us)
{
    static _Thread_local char day[10];
    static _Thread_local int64_t day_us;
    int64_t part_us = span.bytes == TIME_TEXT_BYTES ? day_part_us(span.at) : -1;
    char text[64];

    if (part_us >= 0 && memcmp(day, span.at, sizeof day) == 0) {
        *ret_us = day_us + part_us;
        return true;
    }
    if (span.bytes >= sizeof text || memchr(span.at, '\0', span.bytes) != NULL)
        return false;
    memcpy(text, span.at, span.bytes);
    text[span.bytes] = '\0';
    if (!time_read(text, ret_us))
        return false;
    if (part_us >= 0) {
        memcpy(day, text, sizeof day);
        day_us = *ret_us - part_us;
    }
    return true;
}

/* A whole number from min on; false: it is none, or too great. */
static bool
int_take(struct span span, int64_t min, int64_t max, int64_t *ret_value)
{
    char text[24];

    if (span.bytes >= sizeof text || memchr(span.at, '\0', span.bytes) != NULL)
        return false;
    memcpy(text, span.at, span.bytes);
    text[span.bytes] = '\0';
    return text_read_int(text, min, max, ret_value);
}

/* ---- types ---- */

/* clang-format off */
static const struct {
    const char *name; /* between "sagamesh." and ".v1" */
    enum news_kind kind;
} types[] = {
    { "order.placed",           NEWS_ORDER },
    { "order.waiting",          NEWS_ORDER },
    { "order.paid",             NEWS_ORDER },
    { "order.failed",           NEWS_ORDER },
    { "order.cancel-requested", NEWS_ORDER },
    { "payment.observed",       NEWS_PAYMENT },
    { "payment.succeeded",      NEWS_PAYMENT },
    { "payment.failed",         NEWS_PAYMENT },
    { "payment.refunded",       NEWS_PAYMENT },
    { "relay.heartbeat",        NEWS_HEARTBEAT },
};
/* clang-format on */

const char *
news_topic(enum news_kind kind)
{
    assert(kind == NEWS_ORDER || kind == NEWS_PAYMENT);
    return kind == NEWS_ORDER ? NEWS_ORDERS_TOPIC : NEWS_PAYMENTS_TOPIC;
}

static bool
type_is(struct span type, const char *name)
{
    size_t before = strlen(TYPE_PREFIX), bytes = strlen(name);

    return type.bytes >= before + bytes && memcmp(type.at, TYPE_PREFIX, before) == 0 &&
           memcmp(type.at + before, name, bytes) == 0 &&
           (type.bytes == before + bytes || type.at[before + bytes] == '.');
}

/* A known name of another version has changed its shape, and says something of orders or payments all the same: a person
 * must see to it. */
static enum news_answer
read_type(struct reading *reading, struct news *news)
{
    struct span type = reading->headers[TYPE];
    size_t at = 0;

    if (type.at == NULL)
        return dead(reading, "ce_type", "is missing");
    while (at < sizeof types / sizeof *types && !type_is(type, types[at].name))
        at++;
    if (at == sizeof types / sizeof *types)
        return NEWS_OTHER;
    news->kind = types[at].kind;
    type.at += strlen(TYPE_PREFIX) + strlen(types[at].name);
    type.bytes -= strlen(TYPE_PREFIX) + strlen(types[at].name);
    if (!span_is(type, ".v1"))
        return dead(reading, "ce_type", "must be of version 1, which ends with \".v1\"");
    if (news->kind != NEWS_HEARTBEAT && news->kind != reading->message->topic)
        return dead(reading, "ce_type", "is of news that has a topic of its own");
    return NEWS_READ;
}

/* ---- the body ---- */

/* The members of all kinds that are read. */
struct body {
    struct span order_id, payment_id, status, paid_by;
    int64_t version, total_minor, amount_minor, expires_at_us, occurred_at_us, time_us;
    int64_t refunded_minor; /* all refunds */
    bool has_refunds;
    char room[TEXT_BYTES_MAX]; /* of a text that was written with escapes */
    size_t used;
};

/* How a member is taken, from a value that was scanned; NULL, or the rule that it breaks. */
typedef const char *taker(struct span value, int64_t min, struct body *body, void *field);

struct want {
    const char *name;
    taker *take;
    size_t field;
    int64_t min;
    bool is_needed;
};

/* Texts of ours have no escapes. */
static const char *
take_escaped(struct span value, struct body *body, struct span *span)
{
    json_t *json = json_loadb(value.at, value.bytes, JSON_DECODE_ANY, NULL);
    const char *why = NULL;

    if (json == NULL || json_string_length(json) > sizeof body->room - body->used) {
        why = "must be a shorter text, without escapes";
    } else {
        span->bytes = json_string_length(json);
        span->at = memcpy(body->room + body->used, json_string_value(json), span->bytes);
        body->used += span->bytes;
    }
    json_decref(json);
    return why;
}

static const char *
take_text(struct span value, int64_t min, struct body *body, void *field)
{
    struct span *span = field;

    (void)min;
    if (value.at[0] != '"')
        return "must be a text";
    if (memchr(value.at, '\\', value.bytes) != NULL)
        return take_escaped(value, body, span);
    *span = (struct span){ value.at + 1, value.bytes - 2 };
    return NULL;
}

static const char *
take_int(struct span value, int64_t min, struct body *body, void *field)
{
    (void)body;
    if (int_take(value, min, INT64_MAX, field))
        return NULL;
    return min > 0 ? "must be a whole number above 0" : "must be a whole number, 0 or more";
}

static const char *
add_refund(struct json_scan *scan, struct body *body)
{
    int64_t amount_minor = -1;
    struct json_key key;
    size_t count = 0;

    if (json_scan_peek(scan) != '{')
        return "must have objects";
    while (json_scan_member(scan, &count, &key)) {
        struct span value = { NULL, 0 };

        json_scan_peek(scan);
        value.at = scan->at;
        if (!json_scan_value(scan))
            break;
        value.bytes = (size_t)(scan->at - value.at);
        if (json_key_is(&key, "amountMinor") && !int_take(value, 0, INT64_MAX, &amount_minor))
            return "must have whole numbers as amountMinor";
    }
    if (amount_minor < 0)
        return "must have an amountMinor in each";
    if (__builtin_add_overflow(body->refunded_minor, amount_minor, &body->refunded_minor))
        body->refunded_minor = INT64_MAX;
    return NULL;
}

static const char *
take_refunds(struct span value, int64_t min, struct body *body, void *field)
{
    struct json_scan scan = { .begin = value.at, .at = value.at, .end = value.at + value.bytes };
    const char *why = NULL;
    size_t count = 0;

    (void)min;
    if (value.at[0] != '[')
        return "must be an array";
    *(bool *)field = true;
    while (why == NULL && json_scan_element(&scan, &count))
        why = add_refund(&scan, body);
    return why;
}

#define FIELD(field) offsetof(struct body, field)

/* clang-format off */
static const struct want order_wants[] = {
    { "orderId",            take_text, FIELD(order_id),      0, true },
    { "status",             take_text, FIELD(status),        0, true },
    { "version",            take_int,  FIELD(version),       1, true },
    { "totalMinor",         take_int,  FIELD(total_minor),   0, true },
    { "paymentReference",   take_text, FIELD(paid_by),       0, true },
    { "paymentExpiresAtUs", take_int,  FIELD(expires_at_us), 1, false },
    { 0 },
};

static const struct want payment_wants[] = {
    { "orderId",      take_text,    FIELD(order_id),       0, true },
    { "paymentId",    take_text,    FIELD(payment_id),     0, true },
    { "status",       take_text,    FIELD(status),         0, true },
    { "amountMinor",  take_int,     FIELD(amount_minor),   0, true },
    { "occurredAtUs", take_int,     FIELD(occurred_at_us), 0, false },
    { "refunds",      take_refunds, FIELD(has_refunds),    0, false },
    { 0 },
};

static const struct want heartbeat_wants[] = {
    { "timeUs", take_int, FIELD(time_us), 1, true },
    { 0 },
};
/* clang-format on */

static enum news_answer
read_member(struct reading *reading, const struct want *want, struct json_scan *scan,
            struct body *body)
{
    struct span value = { NULL, 0 };
    const char *why;

    json_scan_peek(scan);
    value.at = scan->at;
    if (!json_scan_value(scan) || want->name == NULL)
        return NEWS_READ; /* scan->why tells the caller */
    value.bytes = (size_t)(scan->at - value.at);
    why = want->take(value, want->min, body, (char *)body + want->field);
    return why == NULL ? NEWS_READ : dead(reading, want->name, why);
}

/* All wanted members, each once. */
static enum news_answer
read_members(struct reading *reading, const struct want *wants, struct json_scan *scan,
             struct body *body)
{
    enum news_answer answer = NEWS_READ;
    struct json_key key;
    unsigned seen = 0;
    size_t count = 0;

    while (answer == NEWS_READ && json_scan_member(scan, &count, &key)) {
        const struct want *want = wants;

        while (want->name != NULL && !json_key_is(&key, want->name))
            want++;
        if (want->name != NULL && (seen & 1u << (want - wants)) != 0)
            return dead(reading, want->name, "comes twice");
        seen |= 1u << (want - wants);
        answer = read_member(reading, want, scan, body);
    }
    for (const struct want *want = wants; answer == NEWS_READ && want->name != NULL; want++) {
        if (scan->why == NULL && want->is_needed && (seen & 1u << (want - wants)) == 0)
            answer = dead(reading, want->name, "is missing");
    }
    return answer;
}

static enum news_answer
read_body(struct reading *reading, const struct want *wants, struct body *body)
{
    const struct news_message *message = reading->message;
    enum news_answer answer = NEWS_READ;
    struct json_scan scan;

    if (message->value == NULL)
        return dead(reading, "body", "is missing");
    if (message->value_bytes > NEWS_BODY_BYTES_MAX)
        return dead(reading, "body", "must have 65536 bytes at most");
    if (json_scan_begin(&scan, message->value, message->value_bytes))
        answer = read_members(reading, wants, &scan, body);
    if (answer == NEWS_READ)
        json_scan_end(&scan);
    if (answer == NEWS_READ && scan.why != NULL) {
        problem_set(reading->problem, ERR_BAD_REQUEST, "body",
                    "cannot be read as JSON: %s, at byte %zu", scan.why,
                    (size_t)(scan.at - scan.begin));
        return NEWS_DEAD;
    }
    return answer;
}

/* ---- what it says ---- */

static enum news_answer
read_heartbeat(struct reading *reading, struct news *news)
{
    struct span source = reading->headers[SOURCE];
    size_t prefix = strlen(SOURCE_PREFIX);
    struct body body = { .time_us = 0 };
    enum news_answer answer = read_body(reading, heartbeat_wants, &body);

    if (answer != NEWS_READ)
        return answer;
    if (source.at == NULL || source.bytes == 0)
        return dead(reading, "ce_source", "is missing");
    if (source.bytes > prefix && memcmp(source.at, SOURCE_PREFIX, prefix) == 0)
        source = (struct span){ source.at + prefix, source.bytes - prefix };
    if (source.bytes > NEWS_SOURCE_BYTES_MAX)
        return dead(reading, "ce_source", "must be shorter");
    news->source = source.at;
    news->source_bytes = source.bytes;
    news->time_us = body.time_us;
    return NEWS_READ;
}

static enum news_answer
read_headers(struct reading *reading, struct news *news)
{
    const struct span *headers = reading->headers;
    int64_t version;

    if (headers[ID].at == NULL || !uuid_parse(headers[ID].at, headers[ID].bytes, &news->event_id))
        return dead(reading, "ce_id", "must be the 36-character lower-case text of a UUID");
    if (headers[TIME].at == NULL || !time_take(headers[TIME], &news->time_us) || news->time_us <= 0)
        return dead(reading, "ce_time", "must be a time as RFC 3339 writes it");
    if (news->time_us > reading->now_us + FUTURE_US)
        return dead(reading, "ce_time", "is from the future by more than a day");
    if (headers[VERSION].at == NULL || !int_take(headers[VERSION], 1, INT32_MAX, &version))
        return dead(reading, "ce_version", "must be a whole number above 0");
    news->version = (int32_t)version;
    if (headers[TRACEPARENT].at != NULL)
        trace_parse(headers[TRACEPARENT].at, headers[TRACEPARENT].bytes, news->trace);
    return NEWS_READ;
}

/* Orders have ids of their own time, from order-svc. */
static bool
is_ours(struct uuid id, int64_t now_us)
{
    unsigned version = id.bytes[6] >> 4;

    return (version == 7 || version == 8) && id.bytes[8] >> 6 == 2 &&
           uuid_time_us(id) <= now_us + FUTURE_US;
}

/* What orders and payments have both. */
static enum news_answer
read_common(struct reading *reading, const struct body *body, struct news *news)
{
    const struct news_message *message = reading->message;

    if (!uuid_parse(body->order_id.at, body->order_id.bytes, &news->order_id) ||
        !is_ours(news->order_id, reading->now_us))
        return NEWS_FOREIGN;
    news->is_old = id_is_too_old(news->order_id, reading->now_us);
    if (message->key == NULL || message->key_bytes != body->order_id.bytes ||
        memcmp(message->key, body->order_id.at, message->key_bytes) != 0)
        return dead(reading, "key", "must be the orderId of the body");
    news->word = news_word_find(news->kind, body->status.at, body->status.bytes);
    if (news->word == WORD_NONE)
        return dead(reading, "status",
                    news->kind == NEWS_ORDER ? "is none of an order" : "is none of a payment");
    return NEWS_READ;
}

static enum news_answer
read_order(struct reading *reading, struct news *news)
{
    struct body body = { .used = 0 };
    enum news_answer answer = read_body(reading, order_wants, &body);

    if (answer == NEWS_READ)
        answer = read_common(reading, &body, news);
    if (answer != NEWS_READ)
        return answer;
    if (body.version != news->version)
        return dead(reading, "version", "must be the number in ce_version");
    news->is_free = news->word == WORD_PAID && body.total_minor == 0;
    news->expires_at_us = body.expires_at_us;
    uuid_parse(body.paid_by.at, body.paid_by.bytes, &news->paid_by); /* else it has another name */
    return NEWS_READ;
}

/* A wallet pays back all or nothing; of a provider's the refunds must add up. */
static bool
is_paid_back(const struct body *body, uint8_t word)
{
    if (!body->has_refunds)
        return word == WORD_PAYMENT_REFUNDED;
    return body->refunded_minor > 0 && body->refunded_minor >= body->amount_minor;
}

static enum news_answer
read_payment(struct reading *reading, struct news *news)
{
    struct body body = { .used = 0 };
    enum news_answer answer = read_body(reading, payment_wants, &body);

    if (answer == NEWS_READ)
        answer = read_common(reading, &body, news);
    if (answer != NEWS_READ)
        return answer;
    if (!uuid_parse(body.payment_id.at, body.payment_id.bytes, &news->payment_id) ||
        uuid_is_nil(news->payment_id))
        return dead(reading, "paymentId", "must be the 36-character lower-case text of a UUID");
    news->is_back = is_paid_back(&body, news->word);
    news->occurred_at_us = body.occurred_at_us;
    return NEWS_READ;
}

enum news_answer
news_read(const struct news_message *message, int64_t now_us, struct news *ret_news,
          struct problem *problem)
{
    struct reading reading = { .message = message, .problem = problem, .now_us = now_us };
    enum news_answer answer;

    memset(ret_news, 0, sizeof *ret_news);
    ret_news->place = message->place;
    find_headers(&reading);
    answer = read_type(&reading, ret_news);
    if (answer == NEWS_READ && ret_news->kind == NEWS_HEARTBEAT)
        return read_heartbeat(&reading, ret_news);
    if (answer == NEWS_READ)
        answer = read_headers(&reading, ret_news);
    if (answer != NEWS_READ)
        return answer;
    return ret_news->kind == NEWS_ORDER ? read_order(&reading, ret_news)
                                        : read_payment(&reading, ret_news);
}
