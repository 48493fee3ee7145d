/* watch.h -- An order as the news tells it, and what of it disagrees.
 *
 * A watch keeps, of an order and of each of its payments, the newest version and the first news of what matters: paid,
 * failed, succeeded, gone back. Versions and the news' own times give the order; news that comes late, twice or
 * in another order leads to the same watch. So the alerts of an order are a function of its news, not of
 * when it was heard:
 *
 *   A contradiction is a time from one change to another, by the times of the news. Longer than the rule's grace, it
 *   is raised, once the horizon has passed the grace's end: all sources have said that what could have ended it in
 *   time would be here. What ended it afterwards resolves it, maybe at once. One that comes again is another alert.
 *
 *     watch = watch_new(news.order_id);
 *     watch_apply(watch, &news);                                 for each piece of its news
 *     while (watch_decide(watch, &graces, horizon_us, &found))   when it changed, and when
 *         ... found.alerts, found.took_us ...                    horizon_us > watch_due_us(watch, &graces) != 0
 *
 * On disk a watch is a line (watch_print). A journal that has the news (news_print) since the last such line
 * has the watch too, provided that each find of watch_decide() writes a line of the watch: that it was found, and is not
 * to be found again, stands there alone.
 *
 * Thread    Plain data.
 * Memory    watch_new, watch_parse: freed by watch_free(). About 300 bytes, and 150 for each payment.
 * Errors    watch_parse: NULL, the text is not what watch_print() wrote.
 * Units     *_us microseconds since 1970 UTC.
 */
#ifndef WATCH_H
#define WATCH_H

#include "alerts/news.h"
#include "alerts/rule.h"

#include "mesh/base/arena.h"
#include "mesh/base/clock.h"

enum {
    WATCH_PAYMENTS_MAX = 16, /* of an order: a saga has one or two */
    WATCH_ALERTS_MAX = 8,    /* that one watch_decide() finds */
    WATCH_LINE_BYTES_MAX = 8192,
};

#define WATCH_PAID_WITHIN_US                                                                       \
    (60 * SECOND_US) /* the service level: a success makes its order PAID */

/* A piece of news that was heard. */
struct watch_event {
    struct uuid id;
    int64_t time_us, place;
    int32_t version; /* 0: none was heard */
    uint8_t word;
};

struct watch_payment {
    struct uuid id;
    struct watch_event last;    /* the newest version */
    struct watch_event success; /* the first that says that it was paid */
    struct watch_event back;    /* the first that says that all of it went back */
    int64_t occurred_at_us;     /* of the success, at its provider */
    /* Of RULE_A and RULE_C, by rule: raised, and over. */
    bool is_raised[RULE_COUNT], is_resolved[RULE_COUNT];
};

struct watch {
    struct uuid order_id;
    struct watch_event last;         /* the newest version */
    struct watch_event paid, failed; /* the first that says so */
    int64_t expires_at_us;           /* until when it can be paid; 0: not said */
    int32_t expires_version;         /* of the news that said so */
    bool is_free;
    struct uuid paid_by;
    /* The newest alert of RULE_B. */
    struct watch_event unpaid; /* what began it */
    bool is_unpaid_of_payment; /* that is a payment's news */
    bool is_unpaid_open;
    bool is_timed;                      /* from a success to PAID: told */
    bool is_late_told;                  /* not PAID in time: told */
    int32_t alert_version;              /* of its newest alert event */
    char trace[TRACE_PARENT_BYTES + 1]; /* of the newest news that had one */
    struct watch_payment *payments;
    uint16_t payment_count, payment_room;
};

struct watch *watch_new(struct uuid order_id);
struct watch *watch_free(struct watch *watch);

enum watch_applied {
    WATCH_OLD,  /* it says nothing new: a double, or older than what matters */
    WATCH_NEW,  /* the watch has changed */
    WATCH_FULL, /* of one payment more than WATCH_PAYMENTS_MAX: not kept */
};
enum watch_applied watch_apply(struct watch *watch, const struct news *news);

/* What watch_decide() finds: an alert raised or resolved, with what its event says. */
struct watch_alert {
    struct uuid id;
    enum rule_id rule;
    bool is_resolved;
    int32_t version; /* 1, 2, 3, ... of the order's alert events */
    struct uuid order_id;
    int64_t occurred_us; /* when the contradiction began, or ended */
    struct uuid order_event_id, payment_id, payment_event_id; /* nil: none */
    uint8_t order_word, payment_word;                         /* at that time */
    enum news_kind topic; /* of the news that began or ended it */
    int64_t place;
    const char *trace; /* the watch's */
};

struct watch_found {
    struct watch_alert alerts[WATCH_ALERTS_MAX];
    size_t alert_count;
    int64_t took_us; /* from the first success to PAID; -1: not now. Told once */
    bool
        is_late; /* WATCH_PAID_WITHIN_US have passed since a success, and the order waits. Told once */
};

/* False: nothing is found, and nothing has changed. Until then there may be more. */
bool watch_decide(struct watch *watch, const struct rule_graces *graces, int64_t horizon_us,
                  struct watch_found *ret_found);

/* Once the horizon is past it, watch_decide() finds more; 0: only news can change something. */
int64_t watch_due_us(const struct watch *watch, const struct rule_graces *graces);

bool watch_has_alert(const struct watch *watch); /* one that is open */

/* The order has ended, no alert is open and none is to come without news. */
bool watch_is_over(const struct watch *watch, const struct rule_graces *graces);

/* When one that is not over is forgotten all the same: news of an order that old is foreign. 0: never. */
int64_t watch_forget_us(const struct watch *watch);

/* One line without its end, of printable ASCII; returns its bytes. */
size_t watch_print(const struct watch *watch, char text[WATCH_LINE_BYTES_MAX]);
struct watch *watch_parse(const char *text, size_t bytes);

#endif
