/* alerts_feed.c -- Bodies by printf: what differs between records is few. */
#include "tests/support/alerts/alerts_feed.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void
put_header(struct feed_record *record, const char *name, const char *value)
{
    assert(record->message.header_count < FEED_HEADERS_MAX);
    record->headers[record->message.header_count++] =
        (struct news_header){ .name = name, .value = value, .bytes = strlen(value) };
}

/* What all records have. The body is written. */
static void
begin(struct feed_record *record, enum news_kind topic, const char *type, const char *source,
      struct uuid event_id, int64_t time_us)
{
    record->message = (struct news_message){ .topic = topic,
                                             .value = record->body,
                                             .value_bytes = strlen(record->body),
                                             .headers = record->headers };
    snprintf(record->type, sizeof record->type, "sagamesh.%s.v1", type);
    snprintf(record->source, sizeof record->source, "/sagamesh/%s", source);
    put_header(record, "ce_specversion", "1.0");
    put_header(record, "ce_id", uuid_print(event_id, record->id));
    put_header(record, "ce_source", record->source);
    put_header(record, "ce_type", record->type);
    put_header(record, "ce_time", time_print(time_us, record->time));
}

static void
end(struct feed_record *record, struct uuid order_id, struct uuid subject, int32_t version)
{
    record->message.key = uuid_print(order_id, record->key);
    record->message.key_bytes = UUID_TEXT_BYTES;
    snprintf(record->version, sizeof record->version, "%" PRId32, version);
    put_header(record, "ce_subject", uuid_print(subject, record->subject));
    put_header(record, "ce_partitionkey", record->key);
    put_header(record, "ce_version", record->version);
    put_header(record, "content-type", "application/json");
}

static const char *
order_type(const char *status)
{
    return strcmp(status, "PAID") == 0              ? "order.paid"
           : strcmp(status, "FAILED") == 0          ? "order.failed"
           : strcmp(status, "WAITING_PAYMENT") == 0 ? "order.waiting"
                                                    : "order.placed";
}

void
feed_order(struct feed_record *record, const struct feed_order *order)
{
    char id[UUID_TEXT_BYTES + 1], paid_by[UUID_TEXT_BYTES + 1] = "", expires[64] = "";

    if (!uuid_is_nil(order->paid_by))
        uuid_print(order->paid_by, paid_by);
    if (order->expires_at_us != 0)
        snprintf(expires, sizeof expires, "\"paymentExpiresAtUs\":%" PRId64 ",",
                 order->expires_at_us);
    snprintf(record->body, sizeof record->body,
             "{\"orderId\":\"%s\",\"customerId\":\"reader\",\"status\":\"%s\",\"version\":%" PRId32
             ",\"totalMinor\":%" PRId64 ",\"currency\":\"JPY\",\"reason\":\"\",\"detail\":\"\","
             "\"paymentReference\":\"%s\",%s\"cancelRequested\":false,\"placedAtUs\":1}",
             uuid_print(order->order_id, id), order->status, order->version, order->total_minor,
             paid_by, expires);
    begin(record, NEWS_ORDER, order_type(order->status), "order-svc", order->event_id,
          order->time_us);
    end(record, order->order_id, order->order_id, order->version);
}

static const char *
wallet_type(const char *status)
{
    return strcmp(status, "REFUNDED") == 0 ? "payment.refunded"
           : strcmp(status, "FAILED") == 0 ? "payment.failed"
                                           : "payment.succeeded";
}

static void
put_provider(const struct feed_payment *payment, char *text, size_t size)
{
    char refund[96] = "";

    if (payment->refunded_minor != 0)
        snprintf(refund, sizeof refund, "{\"refundId\":\"r1\",\"amountMinor\":%" PRId64 "}",
                 payment->refunded_minor);
    snprintf(text, size,
             "\"provider\":\"sandbox\",\"claim\":\"OPEN\",\"occurredAtUs\":%" PRId64
             ",\"refundDue\":false,\"refunds\":[%s]",
             payment->occurred_at_us, refund);
}

void
feed_payment(struct feed_record *record, const struct feed_payment *payment)
{
    char id[UUID_TEXT_BYTES + 1], order_id[UUID_TEXT_BYTES + 1];
    char particulars[256] = "\"customerId\":\"reader\"";

    if (!payment->is_wallet)
        put_provider(payment, particulars, sizeof particulars);
    snprintf(record->body, sizeof record->body,
             "{\"paymentId\":\"%s\",\"orderId\":\"%s\",\"status\":\"%s\",\"amountMinor\":%" PRId64
             ",\"currency\":\"JPY\",\"reason\":\"\",%s}",
             uuid_print(payment->payment_id, id), uuid_print(payment->order_id, order_id),
             payment->status, payment->amount_minor, particulars);
    begin(record, NEWS_PAYMENT,
          payment->is_wallet ? wallet_type(payment->status) : "payment.observed", "account-svc",
          payment->event_id, payment->time_us);
    end(record, payment->order_id, payment->payment_id, payment->version);
}

void
feed_heartbeat(struct feed_record *record, const char *source, int64_t up_to_us)
{
    snprintf(record->body, sizeof record->body, "{\"upTo\":7,\"timeUs\":%" PRId64 "}", up_to_us);
    begin(record, NEWS_ORDER, "relay.heartbeat", source, uuid_v7(up_to_us), up_to_us);
    put_header(record, "content-type", "application/json");
}
