/* alerts_feed.h -- Records as the relays of order-svc and account-svc send them, key, headers and body.
 *
 *     struct feed_record record;
 *
 *     feed_order(&record, &(struct feed_order){ .order_id = id, .version = 2, .status = "PAID", ... });
 *     driver_feed(driver, &record.message);
 *
 * Memory    A record points into itself: it is not copied.
 * Units     *_us microseconds since 1970 UTC.
 */
#ifndef TESTS_SUPPORT_ALERTS_ALERTS_FEED_H
#define TESTS_SUPPORT_ALERTS_ALERTS_FEED_H

#include "alerts/news.h"

#include "mesh/base/time.h"

enum { FEED_BODY_BYTES_MAX = 1024, FEED_HEADERS_MAX = 10, FEED_NAME_BYTES_MAX = 64 };

struct feed_record {
    struct news_message message;
    struct news_header headers[FEED_HEADERS_MAX];
    char key[UUID_TEXT_BYTES + 1], id[UUID_TEXT_BYTES + 1], subject[UUID_TEXT_BYTES + 1];
    char time[TIME_TEXT_BYTES + 1], version[16], type[FEED_NAME_BYTES_MAX],
        source[FEED_NAME_BYTES_MAX], sequence[24];
    char body[FEED_BODY_BYTES_MAX];
};

struct feed_order {
    struct uuid order_id, event_id, paid_by; /* nil: "" */
    int32_t version;
    const char *status;
    int64_t total_minor, expires_at_us, time_us;
};
void feed_order(struct feed_record *record, const struct feed_order *order);

struct feed_payment {
    struct uuid order_id, payment_id, event_id;
    int32_t version;
    const char *status;
    bool is_wallet; /* the members below are a provider's */
    int64_t occurred_at_us, refunded_minor;
    int64_t amount_minor, time_us;
};
void feed_payment(struct feed_record *record, const struct feed_payment *payment);

/* source: "order-svc", "account-svc". */
void feed_heartbeat(struct feed_record *record, const char *source, int64_t up_to_us);

#endif
