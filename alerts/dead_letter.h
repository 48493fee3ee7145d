/* dead_letter.h -- Records of Kafka that could not be read: their headers as bytes, and what is done with them.
 *
 * A shard stores such a record in its page's transaction. A task sends it to the topic's dead letters, and where
 * a person asks for it to its own topic once more (letter_send.c); each arrives at least once.
 *
 * Headers are a stranger's: names and values of any bytes, in any order, also twice. They are packed, each as
 *     4 bytes  of the name's length, big-endian; the name
 *     4 bytes  of the value's length, or 0xffffffff where there is none; the value
 *
 * Thread    touch, decide, answer: the store thread (mesh/store/batch.h). The others: any.
 * Memory    What dead_headers_next() gives points into the packed bytes.
 * Units     *_us microseconds since 1970 UTC.
 */
#ifndef ALERTS_DEAD_LETTER_H
#define ALERTS_DEAD_LETTER_H

#include "alerts/alert_store.h"
#include "mesh/base/clock.h"
#include "mesh/store/op.h"

enum { DEAD_LETTER_REASON_BYTES_MAX = 200, DEAD_LETTER_SHOWN_BYTES = 64 << 10 };

/* What is to be sent; more than one is their sum. */
enum letter_due { LETTER_DUE_DLQ = 1, LETTER_DUE_RESEND = 2 };

struct dead_header {
    struct pg_bytes name, value; /* value.data NULL: it has none */
};

/* In the arena. */
struct pg_bytes dead_headers_pack(const struct dead_header *headers, size_t count,
                                  struct arena *arena);

/* Reads the next header at *at and moves on; false at the end, and where the bytes are damaged. Begin with *at 0. */
bool dead_headers_next(struct pg_bytes packed, size_t *at, struct dead_header *ret_header);

/* ---- rows and ops ---- */

/* What is shown and changed of one. Its own bytes stay where they are. */
struct letter_row {
    struct uuid id;
    const char *topic;
    int32_t part;
    int64_t place;
    const char *reason;
    int64_t found_us;
    int32_t due;
    int64_t claimed_until_us, sent_us;
    int32_t resends_asked, resends;
    int64_t resent_us;
    const char *resend_by, *resend_reason;
    int32_t failures;   /* in a row */
    int32_t refusals;   /* of these, by a fault of the record itself */
    int64_t refused_us; /* 0: it was not given up */
    const char *refusal;
};

struct resend_letter {
    struct op op;
    struct uuid letter_id;
    const char *by, *why;
    struct letter_row letter; /* result */
};

#define LETTER_CLAIM_US INT64_C(60000000) /* longer than a sender needs for a run of them */

/* Of the program itself: this replica sends it. */
struct claim_letter {
    struct op op;
    struct uuid letter_id;
    bool *ret_is_claimed; /* once it is committed */
};
extern const struct method claim_letter_method;

/* A letter that did not arrive is tried again after 5 s, 10 s, 20 s, ... ten minutes at most, for as long as Kafka is
 * away. One that Kafka refuses for what it is (too large, invalid) so many times is given up. */
enum { LETTER_REFUSALS_MAX = 5 };
#define LETTER_WAIT_LEAST_US (5 * SECOND_US)
#define LETTER_WAIT_MOST_US (600 * SECOND_US)

/* Of the program itself: what came of a try. Sums of enum letter_due. */
struct try_letter {
    struct op op;
    struct uuid letter_id;
    int32_t sent, failed;  /* acknowledged, or not */
    int32_t refused;       /* of what failed, by a fault of the record itself */
    const char *refusal;   /* ""; what Kafka said of it */
    int32_t resends_asked; /* as they were when it was read: who asked since is to be heard */
    bool *ret_is_refused;  /* once it is committed: it was given up */
};

void resend_letter_touch(const void *op, struct batch_touch *touch);
void resend_letter_decide(void *op, struct batch_rows *rows);
void resend_letter_answer(void *op, struct batch_rows *rows);
extern const struct method try_letter_method;

/* False: nothing of that was due. */
bool letter_mark_tried(struct letter_row *letter, const struct try_letter *tried);

/* ---- reads ---- */

struct list_letters {
    struct op op;
    struct uuid before_id; /* all bits set: from the newest */
    int32_t page_size;
    struct letter_row *letters; /* result */
    size_t count;
    bool has_more;
};

/* With its bytes. */
struct letter_whole {
    struct letter_row letter; /* first */
    int64_t timestamp_ms;
    struct pg_bytes key, value, headers;
    int64_t value_bytes; /* of all of it */
};

struct get_letter {
    struct op op; /* op.id is the letter's */
    struct letter_whole whole;
};

#endif
