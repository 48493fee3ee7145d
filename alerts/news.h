/* news.h -- A Kafka message as one piece of news of an order or a payment, or as the heartbeat of a source.
 *
 * The message is a stranger's: bounded, and scanned by JSON's grammar without building a tree. What the program does not
 * read may be missing, new or wrong; what it reads must be as docs/events/ says, or the message is a dead
 * letter whose reason names the field and the rule.
 *
 *   NEWS_READ      ret_news is filled
 *   NEWS_OTHER     a type that this program does not know: the service that added it meant it for other readers
 *   NEWS_FOREIGN   of an order number that order-svc did not make: no UUIDv7 or v8, or from the future
 *   NEWS_DEAD      problem has the reason
 *
 * Thread    Plain data.
 * Memory    ret_news points into the message.
 * Units     *_us microseconds since 1970 UTC.
 */
#ifndef NEWS_H
#define NEWS_H

#include "mesh/base/uuid.h"
#include "mesh/observe/trace.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NEWS_ORDERS_TOPIC "order-status-changed"
#define NEWS_PAYMENTS_TOPIC "payment-status-observed"

enum {
    NEWS_BODY_BYTES_MAX = 64 << 10, /* an order of 100 lines has 12 KiB */
    NEWS_SOURCE_BYTES_MAX = 64,
    NEWS_LINE_BYTES_MAX = 320, /* of news_print() */
};

enum news_kind { NEWS_ORDER, NEWS_PAYMENT, NEWS_HEARTBEAT };

const char *news_topic(enum news_kind kind); /* of the first two */

struct news_header {
    const char *name;
    const char *value; /* NULL: none */
    size_t bytes;
};

struct news_message {
    enum news_kind topic;    /* NEWS_ORDER or NEWS_PAYMENT: whose news it has */
    int64_t place;           /* its offset */
    const char *key, *value; /* NULL: none */
    size_t key_bytes, value_bytes;
    const struct news_header *headers;
    size_t header_count;
};

/* The words of statuses, of orders and payments; 0 is none. */
enum news_word {
    WORD_NONE,
    WORD_ORDERS_BEGIN,
    WORD_PENDING = WORD_ORDERS_BEGIN,
    WORD_WAITING_PAYMENT,
    WORD_PAID,
    WORD_FAILED,
    WORD_PAYMENTS_BEGIN,
    WORD_PAYMENT_CREATED = WORD_PAYMENTS_BEGIN,
    WORD_PAYMENT_PENDING,
    WORD_PAYMENT_AUTHORIZED,
    WORD_PAYMENT_FAILED,
    WORD_PAYMENT_EXPIRED,
    WORD_PAYMENT_CANCELED,
    WORD_PAYMENT_CANCELLED,
    WORD_PAYMENT_SUCCEEDED,
    WORD_PAYMENT_SUCCESS,
    WORD_PAYMENT_COMPLETED,
    WORD_PAYMENT_CAPTURED,
    WORD_PAYMENT_REFUNDED,
    WORD_COUNT
};

uint8_t news_word_find(enum news_kind kind, const char *text,
                       size_t bytes);     /* WORD_NONE: it is none */
const char *news_word_text(uint8_t word); /* of WORD_NONE: "NONE" */
bool word_is_success(uint8_t word);       /* the payment succeeded, also if it went back later */
bool word_is_failure(uint8_t word);

struct news {
    enum news_kind kind;
    struct uuid order_id, event_id;
    int64_t
        time_us;   /* of the change that it tells; of a heartbeat: all news from before it is out */
    int64_t place; /* its offset */
    int32_t version; /* of the order or of the payment */
    uint8_t word;    /* enum news_word */
    bool is_old;  /* its order is so old that no watch begins with it; one that is there goes on */
    bool is_free; /* of an order: it costs nothing */
    bool is_back; /* of a payment: all of it went back */
    int64_t expires_at_us;              /* of an order: until when it can be paid; 0: not said */
    struct uuid paid_by;                /* of an order: the payment; nil: not said */
    struct uuid payment_id;             /* of a payment */
    int64_t occurred_at_us;             /* of a payment: at its provider; 0: not said */
    char trace[TRACE_PARENT_BYTES + 1]; /* "" where there is none */
    const char *source;                 /* of a heartbeat: "order-svc", without a NUL */
    size_t source_bytes;
};

enum news_answer { NEWS_READ, NEWS_OTHER, NEWS_FOREIGN, NEWS_DEAD };

enum news_answer news_read(const struct news_message *message, int64_t now_us,
                           struct news *ret_news, struct problem *problem);

/* As a line of the journal: printable ASCII without a line's end; returns its bytes. Not of heartbeats. */
size_t news_print(const struct news *news, char text[NEWS_LINE_BYTES_MAX]);

/* False: not what news_print() wrote. */
bool news_parse(const char *text, size_t bytes, struct news *ret_news);

#endif
