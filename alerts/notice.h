/* notice.h -- A notice on its way to people: when it is tried, how often, and when that ends. No I/O here.
 *
 * A notice is leased before it is sent, so that of several replicas one sends it. What came of it is an op again.
 * One that its destination did not take is tried again after 5 s, 20 s, 80 s, ... an hour at most, for a day; a destination that
 * says "gone" (410) is asked no more.
 *
 * Thread    touch, decide: the store thread (mesh/store/batch.h).
 * Units     *_us microseconds since 1970 UTC.
 */
#ifndef ALERTS_NOTICE_H
#define ALERTS_NOTICE_H

#include "alerts/alert_store.h"
#include "mesh/base/clock.h"
#include "mesh/store/batch.h"

#define NOTICE_LEASE_US (60 * SECOND_US) /* longer than a request may take */
#define NOTICE_WAIT_LEAST_US (5 * SECOND_US)
#define NOTICE_WAIT_MOST_US (3600 * SECOND_US)
#define NOTICE_GIVE_UP_US (INT64_C(86400) * SECOND_US)

struct notice_life {
    struct notice_row row; /* first */
    int64_t next_us;
    int32_t lease, attempts;
    int64_t ended_us;
    bool is_sent;
    const char *trouble;
};

/* From a failed attempt to the next one, where the receiver wants to be left alone for retry_after_us; 0: it says
 * nothing. */
int64_t notice_wait_us(int32_t attempts, int64_t retry_after_us);

struct lease_notice {
    struct op op;
    const char *key;
    int32_t *ret_lease; /* of this sender, once it is committed; 0: it is another's, or over */
};
extern const struct method lease_notice_method;

enum notice_outcome {
    NOTICE_NOTHING,
    NOTICE_SENT,
    NOTICE_RETRIED,
    NOTICE_GIVEN_UP,
    NOTICE_OUTCOMES
};

/* What came of an attempt. */
struct end_notice {
    struct op op;
    const char *key;
    int32_t lease;
    bool is_sent, is_final;
    int64_t retry_after_us;
    const char *trouble; /* "" */
    enum notice_outcome
        *ret_outcome; /* once it is committed; NOTICE_NOTHING: it was over, or another's */
};
extern const struct method end_notice_method;

/* False: it is over, or another sender's by now. */
bool notice_mark_end(struct notice_life *notice, const struct end_notice *end);

#endif
