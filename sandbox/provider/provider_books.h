/* provider_books.h -- The payments of a provider that is not there: the rules, without I/O.
 *
 * A payment is made by the merchant's id, paid or declined by its payer, or it expires or is cancelled;
 * every change writes history and, unless a fault says otherwise, notices (webhooks to be sent). What
 * happens by time alone happens in payment_turn(), which is called before anything is asked of it.
 *
 * Thread    The books belong to one thread.
 * Memory    The books own their payments until books_free(); nothing is ever taken out.
 * Errors    A refusal is in *problem: ERR_BAD_REQUEST, NOT_FOUND, ID_REUSED, BUSY, or ERR_REFUSED with
 *           the provider's reason.
 * Units     *_minor minor units, *_us microseconds UTC.
 */
#ifndef SANDBOX_PROVIDER_BOOKS_H
#define SANDBOX_PROVIDER_BOOKS_H

#include "mesh/base/error.h"
#include "mesh/base/heap.h"
#include "mesh/base/map.h"
#include "sandbox/provider/provider_fault.h"

enum {
    PAYMENT_ID_BYTES_MAX = 64,
    PAYMENT_TEXT_BYTES_MAX = 256,
    PAYMENT_URL_BYTES_MAX = 1024,
    PAYMENT_REFUNDS_MAX = 100,
    PAYMENTS_MAX = 1000000,
    NOTICE_ATTEMPTS_MAX = 12,
};
#define AMOUNT_MINOR_MAX INT64_C(1000000000000000)
#define EXPIRY_DEFAULT_US (INT64_C(15) * 60 * 1000000)
#define NEVER_US INT64_MAX

enum payment_status {
    PAYMENT_CREATED,
    PAYMENT_DECLINED, /* a card was, and the payer may try another */
    PAYMENT_PENDING,
    PAYMENT_AUTHORIZED,
    PAYMENT_SUCCEEDED,
    PAYMENT_FAILED,
    PAYMENT_EXPIRED,
    PAYMENT_CANCELED,
    PAYMENT_STATUS_COUNT
};

/* What can happen to a payment, also the last word of POST /checkout/{id}/... for the first five. */
enum payment_event {
    PAYMENT_PAY,
    PAYMENT_FAIL,
    PAYMENT_PEND,
    PAYMENT_AUTHORIZE,
    PAYMENT_DECLINE,
    PAYMENT_EXPIRE,
    PAYMENT_CANCEL,
    PAYMENT_PAY_LATE,
    PAYMENT_EVENT_COUNT /* none */
};

struct refund {
    char id[PAYMENT_ID_BYTES_MAX + 1];
    int64_t amount_minor, at_us;
};

struct change {
    enum payment_status status;
    int64_t at_us;
};

enum notice_state { NOTICE_WAITING, NOTICE_DELIVERED, NOTICE_GIVEN_UP, NOTICE_STATE_COUNT };

/* A webhook. Its body follows from it and the payment, so a retry has the same bytes. */
struct notice {
    int64_t number; /* in its id; two notices of one number are one message sent twice */
    enum payment_status status;
    int64_t amount_minor, occurred_us, due_us;
    int64_t refund_count; /* the first of the payment's refunds */
    int64_t attempts;
    int64_t http_status; /* of the last answer; 0: none */
    enum notice_state state;
    bool is_forged;  /* to be signed wrongly; sent once */
    bool is_sending; /* not recorded: after a crash it is sent again */
};

struct payment {
    char id[PAYMENT_ID_BYTES_MAX + 1];
    bool is_made; /* false: only faults wait for it here */
    enum payment_status status;
    int64_t amount_minor, booked_minor; /* asked for; taken from the payer */
    char currency[4];
    char *description, *return_url, *webhook_url; /* never NULL */
    int64_t created_us, expires_us;
    int64_t late_us; /* when it succeeds after all; NEVER_US */
    enum payment_event autopay;
    int64_t autopay_us;
    struct faults faults;
    struct refund *refunds;
    struct change *changes;
    struct notice *notices;
    size_t refund_count, change_count, notice_count;

    UT_hash_handle by_id;
    struct payment *next_changed;
    bool is_changed;
    struct heap_item timer; /* the desk's */
};

struct payment_request {
    const char *id, *currency, *description, *return_url, *webhook_url;
    int64_t amount_minor, expires_us; /* 0: EXPIRY_DEFAULT_US from now */
    struct faults faults;             /* added to those it has */
    enum payment_event autopay;
    int64_t autopay_after_us;
};

struct books {
    int64_t seed, fault_percent;
    const char *webhook_url;   /* when the payment names none; "": no webhooks */
    struct faults next_faults; /* of "*" */
    int64_t next_faults_left;  /* how many new payments get them; -1 all */
    struct payment *payments;  /* a map by id, in the order they came */
    struct payment *changed;   /* since books_changed() */
};

struct books *books_new(int64_t seed, int64_t fault_percent, const char *webhook_url);
struct books *books_free(struct books *books);

/* NULL: there is none. */
struct payment *books_find(const struct books *books, const char *id);

/* Finds, or makes room for it with its faults. NULL: the books are full. */
struct payment *books_meet(struct books *books, const char *id);

/* Letters, digits, - and _; at most PAYMENT_ID_BYTES_MAX. */
bool payment_id_is_valid(const char *id);

/* The first rule that is broken. */
enum error payment_request_check(const struct payment_request *request, struct problem *problem);

/* Idempotent by id. The payment must have been met. */
enum error payment_create(struct books *books, struct payment *payment,
                          const struct payment_request *request, int64_t now_us,
                          struct problem *problem);

/* One of the payer's events, or PAYMENT_CANCEL. A repeated one is done already. */
enum error payment_do(struct books *books, struct payment *payment, enum payment_event event,
                      int64_t now_us, struct problem *problem);

/* Idempotent by refund_id; *ret_index in payment->refunds. */
enum error payment_refund(struct books *books, struct payment *payment, const char *refund_id,
                          int64_t amount_minor, int64_t now_us, struct problem *problem,
                          size_t *ret_index);

/* What time alone has done by now. */
void payment_turn(struct books *books, struct payment *payment, int64_t now_us);

/* When time does the next thing to it, sending included; NEVER_US. */
int64_t payment_due_us(const struct payment *payment);

/* How it stands is said once more, by a webhook of its own. */
void payment_tell(struct books *books, struct payment *payment, int64_t now_us);

/* A sent notice was answered with this status (0: not at all). */
void notice_answered(struct books *books, struct payment *payment, size_t index, int http_status,
                     int64_t now_us);

/* It must be written down again. */
void payment_changed(struct books *books, struct payment *payment);

/* Those that changed, linked by next_changed, each once; from here on none has. */
struct payment *books_changed(struct books *books);

bool payment_is_open(const struct payment *payment);
const char *payment_status_name(enum payment_status status);
/* PAYMENT_STATUS_COUNT, PAYMENT_EVENT_COUNT: no such. */
enum payment_status payment_status_of(const char *name);
enum payment_event payment_event_of(const char *name);
const char *payment_event_name(enum payment_event event);

#endif
