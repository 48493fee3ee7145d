/* fuzz_news.c -- Bytes as a Kafka message, and as lines of the journal.
 *
 * The first byte says of which topic the message is and which type it has, the second which of the headers are the
 * input's own: it is cut at its newlines, and what is left over is the body. Whatever is read must be the same after a line, and
 * must be applied to a watch that can be put on disk and read again.
 */
#include "alerts/watch.h"
#include "mesh/base/clock.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NOW_US INT64_C(1763718000123000)

enum { HEADERS = 6 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const types[] = {
    "sagamesh.order.placed.v1",      "sagamesh.order.paid.v1",     "sagamesh.payment.observed.v1",
    "sagamesh.payment.succeeded.v1", "sagamesh.payment.failed.v1", "sagamesh.relay.heartbeat.v1",
};

static const char *const good[HEADERS][2] = {
    { "ce_type", NULL },
    { "ce_id", "019aa5f0-3c7b-7abc-8def-0123456789ab" },
    { "ce_time", "2025-11-21T09:39:58.000123Z" },
    { "ce_version", "3" },
    { "ce_source", "/sagamesh/order-svc" },
    { "ce_traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" },
};

/* The input up to its next newline. */
static struct news_header
cut(const char *name, const uint8_t **data, size_t *size)
{
    const uint8_t *end = memchr(*data, '\n', *size);
    size_t bytes = end == NULL ? *size : (size_t)(end - *data);
    struct news_header header = { .name = name, .value = (const char *)*data, .bytes = bytes };

    *data += end == NULL ? bytes : bytes + 1;
    *size -= end == NULL ? bytes : bytes + 1;
    return header;
}

/* An order and its payment have news of two versions each. */
static void
apply(const struct news *news)
{
    const struct rule_graces graces = rule_graces_default();
    struct watch *watch = watch_new(news->order_id), *copy;
    char line[WATCH_LINE_BYTES_MAX], again[WATCH_LINE_BYTES_MAX];
    struct news later = *news;
    struct watch_found found;
    size_t bytes;

    later.version = news->version < INT32_MAX ? news->version + 1 : 1;
    watch_apply(watch, &later);
    watch_apply(watch, news);
    assert(watch_apply(watch, news) == WATCH_OLD);
    for (int i = 0; i < 8 && watch_decide(watch, &graces, INT64_MAX, &found); i++)
        continue;
    assert(!watch_decide(watch, &graces, INT64_MAX, &found));
    bytes = watch_print(watch, line);
    copy = watch_parse(line, bytes);
    assert(copy != NULL && watch_print(copy, again) == bytes && memcmp(line, again, bytes) == 0);
    watch_free(copy);
    watch_free(watch);
}

static void
check(const struct news *news)
{
    char line[NEWS_LINE_BYTES_MAX], again[NEWS_LINE_BYTES_MAX];
    size_t bytes = news_print(news, line);
    struct news copy;

    assert(news_parse(line, bytes, &copy) && news_print(&copy, again) == bytes &&
           memcmp(line, again, bytes) == 0);
    apply(news);
}

static void
read_line(const uint8_t *data, size_t size)
{
    struct watch *watch = watch_parse((const char *)data, size);
    char line[WATCH_LINE_BYTES_MAX];
    struct news news;

    if (watch != NULL)
        watch_print(watch, line);
    watch_free(watch);
    if (news_parse((const char *)data, size, &news))
        check(&news);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct news_header headers[HEADERS];
    struct news_message message = { .headers = headers, .header_count = HEADERS };
    struct problem problem;
    struct news news;
    const char *type;
    uint8_t own;

    read_line(data, size);
    if (size < 2)
        return 0;
    message.topic = (data[0] & 0x80) != 0 ? NEWS_PAYMENT : NEWS_ORDER;
    type = types[(data[0] & 0x7f) % (sizeof types / sizeof *types)];
    own = data[1];
    data += 2;
    size -= 2;
    for (size_t i = 0; i < HEADERS; i++) {
        const char *value = i == 0 ? type : good[i][1];

        headers[i] = (own & 1u << i) != 0
                         ? cut(good[i][0], &data, &size)
                         : (struct news_header){ good[i][0], value, strlen(value) };
    }
    message.key = (const char *)data;
    message.key_bytes = size < UUID_TEXT_BYTES ? size : UUID_TEXT_BYTES;
    message.value = (const char *)data + message.key_bytes;
    message.value_bytes = size - message.key_bytes;
    if (news_read(&message, NOW_US, &news, &problem) == NEWS_READ && news.kind != NEWS_HEARTBEAT)
        check(&news);
    return 0;
}
