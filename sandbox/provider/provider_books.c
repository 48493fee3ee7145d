/* provider_books.c -- A payment's life, its refunds and what is said about it. No I/O in this file. */
#include "sandbox/provider/provider_books.h"
#include "mesh/base/arena.h"
#include "mesh/base/clock.h"
#include "mesh/base/text.h"
#include "mesh/base/uuid.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BIT(status) (1U << PAYMENT_##status)
#define OPEN (BIT(CREATED) | BIT(DECLINED) | BIT(PENDING) | BIT(AUTHORIZED))
#define GONE (BIT(EXPIRED) | BIT(CANCELED))

struct transition {
    enum payment_event event;
    unsigned from;
    enum payment_status to;
    const char *because;
};

/* clang-format off */
static const struct transition transitions[] = {
    { PAYMENT_PAY,       OPEN,                         PAYMENT_SUCCEEDED,  "the payer paid" },
    { PAYMENT_FAIL,      OPEN,                         PAYMENT_FAILED,     "the payer or the bank said no" },
    { PAYMENT_PEND,      BIT(CREATED) | BIT(DECLINED), PAYMENT_PENDING,    "the bank takes its time" },
    { PAYMENT_AUTHORIZE, OPEN & ~BIT(AUTHORIZED),      PAYMENT_AUTHORIZED, "the money is held, not taken" },
    { PAYMENT_DECLINE,   OPEN & ~BIT(AUTHORIZED),      PAYMENT_DECLINED,   "the card was declined; another may be tried" },
    { PAYMENT_EXPIRE,    OPEN,                         PAYMENT_EXPIRED,    "nobody paid in time" },
    { PAYMENT_CANCEL,    OPEN,                         PAYMENT_CANCELED,   "the merchant gave it up" },
    { PAYMENT_PAY_LATE,  GONE,                         PAYMENT_SUCCEEDED,  "the money came after all" },
};

static const char *const status_names[PAYMENT_STATUS_COUNT] = {
    "CREATED", "ATTEMPT_DECLINED", "PENDING", "AUTHORIZED", "SUCCEEDED", "FAILED", "EXPIRED", "CANCELED",
};
static const char *const event_names[PAYMENT_EVENT_COUNT] = {
    "pay", "fail", "pend", "authorize", "decline", "expire", "cancel", "pay-late",
};

/* Between the attempts of a webhook; the last goes on. */
static const int64_t backoff_ms[] = { 200, 1000, 5000, 30000, 120000, 600000 };
/* clang-format on */

static void notices_write(struct books *books, struct payment *payment, enum payment_status status,
                          int64_t now_us, int64_t extra_us);

/* ---- the books ------------------------------------------------------------------------------- */

struct books *
books_new(int64_t seed, int64_t fault_percent, const char *webhook_url)
{
    struct books *books = memory_take(sizeof *books);

    books->seed = seed;
    books->fault_percent = fault_percent;
    books->webhook_url = webhook_url;
    return books;
}

static void
payment_free(struct payment *payment)
{
    free(payment->description);
    free(payment->return_url);
    free(payment->webhook_url);
    free(payment->refunds);
    free(payment->changes);
    free(payment->notices);
    free(payment);
}

struct books *
books_free(struct books *books)
{
    struct payment *payment, *next;

    if (books == NULL)
        return NULL;
    HASH_ITER (by_id, books->payments, payment, next) {
        HASH_DELETE(by_id, books->payments, payment);
        payment_free(payment);
    }
    free(books);
    return NULL;
}

struct payment *
books_find(const struct books *books, const char *id)
{
    struct payment *payment;

    HASH_FIND(by_id, books->payments, id, strlen(id), payment);
    return payment;
}

/* Those of "*" lie over the seed's. */
static void
faults_first(struct books *books, struct payment *payment)
{
    faults_choose(&payment->faults, books->seed, books->fault_percent, payment->id);
    if (books->next_faults_left == 0)
        return;
    for (size_t i = 0; i < FAULT_COUNT; i++) {
        if (fault_is_on(&books->next_faults, (enum fault)i))
            payment->faults.of[i] = books->next_faults.of[i];
    }
    if (books->next_faults_left > 0)
        books->next_faults_left--;
}

struct payment *
books_meet(struct books *books, const char *id)
{
    struct payment *payment = books_find(books, id);

    assert(payment_id_is_valid(id));
    if (payment != NULL || HASH_CNT(by_id, books->payments) == PAYMENTS_MAX)
        return payment;
    payment = memory_take(sizeof *payment);
    memcpy(payment->id, id, strlen(id) + 1);
    payment->description = strdup("");
    payment->return_url = strdup("");
    payment->webhook_url = strdup("");
    payment->late_us = payment->autopay_us = NEVER_US;
    payment->autopay = PAYMENT_EVENT_COUNT;
    faults_first(books, payment);
    HASH_ADD_KEYPTR(by_id, books->payments, payment->id, strlen(id), payment);
    payment_changed(books, payment);
    return payment;
}

bool
payment_id_is_valid(const char *id)
{
    return text_is_of(id, TEXT_LETTERS_AND_DIGITS "-_") && strlen(id) <= PAYMENT_ID_BYTES_MAX;
}

void
payment_changed(struct books *books, struct payment *payment)
{
    if (payment->is_changed)
        return;
    payment->is_changed = true;
    payment->next_changed = books->changed;
    books->changed = payment;
}

struct payment *
books_changed(struct books *books)
{
    struct payment *first = books->changed;

    for (struct payment *payment = first; payment != NULL; payment = payment->next_changed)
        payment->is_changed = false;
    books->changed = NULL;
    return first;
}

/* ---- a payment's life ------------------------------------------------------------------------ */

static void
change_add(struct books *books, struct payment *payment, enum payment_status status, int64_t now_us)
{
    size_t bytes = (payment->change_count + 1) * sizeof *payment->changes;

    payment->changes = memory_grow(payment->changes, bytes);
    payment->changes[payment->change_count++] = (struct change){ status, now_us };
    payment->status = status;
    payment_changed(books, payment);
}

/* NULL: no row lets it. */
static const struct transition *
transition_find(const struct payment *payment, enum payment_event event)
{
    for (size_t i = 0; i < sizeof transitions / sizeof *transitions; i++) {
        if (transitions[i].event == event && (transitions[i].from & (1U << payment->status)) != 0)
            return &transitions[i];
    }
    return NULL;
}

static bool
payment_move(struct books *books, struct payment *payment, enum payment_event event, int64_t now_us)
{
    const struct transition *transition = transition_find(payment, event);
    enum payment_status before = payment->status;

    if (transition == NULL)
        return false;
    if (transition->to == PAYMENT_SUCCEEDED && before == PAYMENT_CREATED)
        change_add(books, payment, PAYMENT_PENDING, now_us);
    if (transition->to == PAYMENT_SUCCEEDED &&
        fault_use(&payment->faults, FAULT_WRONG_AMOUNT_BOOKS))
        payment->booked_minor = payment->amount_minor + 1;
    change_add(books, payment, transition->to, now_us);
    if (((1U << transition->to) & GONE) != 0 && fault_use(&payment->faults, FAULT_PAYS_LATE))
        payment->late_us = now_us + payment->faults.of[FAULT_PAYS_LATE].value_ms * 1000;
    notices_write(books, payment, transition->to, now_us, 0);
    if (transition->to == PAYMENT_SUCCEEDED && fault_use(&payment->faults, FAULT_REORDERED))
        notices_write(books, payment, PAYMENT_PENDING, now_us,
                      payment->faults.of[FAULT_REORDERED].value_ms * 1000);
    return true;
}

/* A declining bank says no to who pays; one that pays late lets them wait. */
static enum payment_event
event_by_faults(struct payment *payment, enum payment_event event)
{
    if (event == PAYMENT_PAY && fault_use(&payment->faults, FAULT_DECLINES))
        return PAYMENT_FAIL;
    if (event == PAYMENT_PAY && fault_is_on(&payment->faults, FAULT_PAYS_LATE))
        return PAYMENT_PEND;
    return event;
}

static void
autopay_turn(struct books *books, struct payment *payment)
{
    int64_t at_us = payment->autopay_us;

    payment->autopay_us = NEVER_US;
    payment_changed(books, payment);
    payment_move(books, payment, event_by_faults(payment, payment->autopay), at_us);
}

void
payment_turn(struct books *books, struct payment *payment, int64_t now_us)
{
    if (!payment->is_made)
        return;
    if (payment->autopay_us <= now_us && payment->autopay_us <= payment->expires_us)
        autopay_turn(books, payment);
    if (payment->expires_us <= now_us && payment_is_open(payment))
        payment_move(books, payment, PAYMENT_EXPIRE, now_us);
    if (payment->late_us <= now_us) {
        payment->late_us = NEVER_US;
        payment_move(books, payment, PAYMENT_PAY_LATE, now_us);
        payment_changed(books, payment);
    }
    if (!payment_is_open(payment))
        payment->autopay_us = NEVER_US;
}

int64_t
payment_due_us(const struct payment *payment)
{
    int64_t due_us = payment->late_us;

    if (!payment->is_made)
        return NEVER_US;
    if (payment_is_open(payment) && payment->expires_us < due_us)
        due_us = payment->expires_us;
    if (payment_is_open(payment) && payment->autopay_us < due_us)
        due_us = payment->autopay_us;
    for (size_t i = 0; i < payment->notice_count; i++) {
        const struct notice *notice = &payment->notices[i];

        if (notice->state == NOTICE_WAITING && !notice->is_sending && notice->due_us < due_us)
            due_us = notice->due_us;
    }
    return due_us;
}

/* ---- what the merchant asks ------------------------------------------------------------------ */

static bool
url_is_valid(const char *url)
{
    size_t bytes = strlen(url);

    if (bytes == 0)
        return true;
    for (size_t i = 0; i < bytes; i++) {
        if (url[i] <= ' ' || url[i] > '~' || strchr("\"<>\\^`{|}", url[i]) != NULL)
            return false;
    }
    return bytes <= PAYMENT_URL_BYTES_MAX &&
           (strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0);
}

enum error
payment_request_check(const struct payment_request *request, struct problem *problem)
{
    if (request->amount_minor < 1 || request->amount_minor > AMOUNT_MINOR_MAX)
        return problem_set(problem, ERR_BAD_REQUEST, "amount", "must be from 1 to %" PRId64,
                           AMOUNT_MINOR_MAX);
    if (strlen(request->currency) != 3 ||
        strspn(request->currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 3)
        return problem_set(problem, ERR_BAD_REQUEST, "currency", "must be three capital letters");
    if (strlen(request->description) > PAYMENT_TEXT_BYTES_MAX)
        return problem_set(problem, ERR_BAD_REQUEST, "description", "must have at most %d bytes",
                           PAYMENT_TEXT_BYTES_MAX);
    if (!url_is_valid(request->return_url))
        return problem_set(problem, ERR_BAD_REQUEST, "returnUrl", "must be an http(s) URL");
    if (!url_is_valid(request->webhook_url))
        return problem_set(problem, ERR_BAD_REQUEST, "webhookUrl", "must be an http(s) URL");
    return ERR_OK;
}

/* Faults and autopay are the test's, not the payment's: they do not count. */
static bool
is_same_request(const struct payment *payment, const struct payment_request *request)
{
    return payment->amount_minor == request->amount_minor &&
           strcmp(payment->currency, request->currency) == 0 &&
           strcmp(payment->description, request->description) == 0 &&
           strcmp(payment->return_url, request->return_url) == 0 &&
           strcmp(payment->webhook_url, request->webhook_url) == 0 &&
           (request->expires_us == 0 || payment->expires_us == request->expires_us);
}

static void
text_set(char **text, const char *value)
{
    free(*text);
    *text = strdup(value);
    assert(*text != NULL);
}

enum error
payment_create(struct books *books, struct payment *payment, const struct payment_request *request,
               int64_t now_us, struct problem *problem)
{
    enum error error = payment_request_check(request, problem);

    assert(strcmp(payment->id, request->id) == 0);
    if (error != ERR_OK)
        return error;
    if (payment->is_made && !is_same_request(payment, request))
        return problem_set(problem, ERR_ID_REUSED, "id", "was used for another payment");
    if (payment->is_made)
        return ERR_OK;
    payment->is_made = true;
    payment->amount_minor = payment->booked_minor = request->amount_minor;
    memcpy(payment->currency, request->currency, sizeof payment->currency);
    text_set(&payment->description, request->description);
    text_set(&payment->return_url, request->return_url);
    text_set(&payment->webhook_url, request->webhook_url);
    payment->created_us = now_us;
    payment->expires_us =
        request->expires_us == 0 ? now_us + EXPIRY_DEFAULT_US : request->expires_us;
    payment->autopay = request->autopay;
    if (request->autopay != PAYMENT_EVENT_COUNT)
        payment->autopay_us = now_us + request->autopay_after_us;
    change_add(books, payment, PAYMENT_CREATED, now_us);
    payment_turn(books, payment, now_us);
    return ERR_OK;
}

enum error
payment_do(struct books *books, struct payment *payment, enum payment_event event, int64_t now_us,
           struct problem *problem)
{
    payment_turn(books, payment, now_us);
    assert(payment->is_made && event < PAYMENT_EVENT_COUNT && event != PAYMENT_EXPIRE);
    if (event == PAYMENT_CANCEL && payment->status == PAYMENT_SUCCEEDED)
        return problem_refuse(problem, "ALREADY_PAID", "", "the payment has SUCCEEDED");
    if (event == PAYMENT_CANCEL && !payment_is_open(payment))
        return ERR_OK; /* nobody can pay it any more, which is what was wanted */
    event = event_by_faults(payment, event);
    if (payment_move(books, payment, event, now_us))
        return ERR_OK;
    for (size_t i = 0; i < sizeof transitions / sizeof *transitions; i++) {
        if (transitions[i].event == event && transitions[i].to == payment->status)
            return ERR_OK;
    }
    return problem_refuse(problem, "NOT_POSSIBLE", "", "the payment is %s",
                          payment_status_name(payment->status));
}

static int64_t
refunded_minor(const struct payment *payment)
{
    int64_t sum_minor = 0;

    for (size_t i = 0; i < payment->refund_count; i++)
        sum_minor += payment->refunds[i].amount_minor;
    assert(sum_minor <= payment->booked_minor);
    return sum_minor;
}

static enum error
refund_check(const struct payment *payment, int64_t amount_minor, struct problem *problem)
{
    if (amount_minor < 1)
        return problem_set(problem, ERR_BAD_REQUEST, "amount", "must be above 0");
    if (payment->status != PAYMENT_SUCCEEDED)
        return problem_refuse(problem, "NOT_PAID", "", "the payment is %s",
                              payment_status_name(payment->status));
    if (amount_minor > payment->booked_minor - refunded_minor(payment))
        return problem_refuse(problem, "OVER_THE_AMOUNT", "amount", "only %" PRId64 " are left",
                              payment->booked_minor - refunded_minor(payment));
    if (payment->refund_count == PAYMENT_REFUNDS_MAX)
        return problem_refuse(problem, "TOO_MANY_REFUNDS", "", "there are %d already",
                              PAYMENT_REFUNDS_MAX);
    return ERR_OK;
}

enum error
payment_refund(struct books *books, struct payment *payment, const char *refund_id,
               int64_t amount_minor, int64_t now_us, struct problem *problem, size_t *ret_index)
{
    struct refund *refund;
    enum error error;

    assert(payment_id_is_valid(refund_id));
    payment_turn(books, payment, now_us);
    for (size_t i = 0; i < payment->refund_count; i++) {
        if (strcmp(payment->refunds[i].id, refund_id) != 0)
            continue;
        if (payment->refunds[i].amount_minor != amount_minor)
            return problem_set(problem, ERR_ID_REUSED, "id", "was used for another refund");
        *ret_index = i;
        return ERR_OK;
    }
    error = refund_check(payment, amount_minor, problem);
    if (error != ERR_OK)
        return error;
    payment->refunds =
        memory_grow(payment->refunds, (payment->refund_count + 1) * sizeof *payment->refunds);
    refund = &payment->refunds[payment->refund_count];
    *refund = (struct refund){ .amount_minor = amount_minor, .at_us = now_us };
    memcpy(refund->id, refund_id, strlen(refund_id) + 1);
    *ret_index = payment->refund_count++;
    payment_changed(books, payment);
    notices_write(books, payment, payment->status, now_us, 0);
    return ERR_OK;
}

/* ---- what is said about it ------------------------------------------------------------------- */

static struct notice *
notice_add(struct payment *payment, const struct notice *like)
{
    struct notice *notice;

    payment->notices =
        memory_grow(payment->notices, (payment->notice_count + 1) * sizeof *payment->notices);
    notice = &payment->notices[payment->notice_count++];
    *notice = *like;
    return notice;
}

static int64_t
number_next(const struct payment *payment)
{
    return payment->notice_count == 0 ? 1 : payment->notices[payment->notice_count - 1].number + 1;
}

/* The forged one leaves first: who believes it, or remembers its id, is found out. */
static void
notices_write(struct books *books, struct payment *payment, enum payment_status status,
              int64_t now_us, int64_t extra_us)
{
    struct faults *faults = &payment->faults;
    struct notice notice = {
        .number = number_next(payment),
        .status = status,
        .amount_minor = payment->booked_minor,
        .occurred_us = now_us,
        .due_us = now_us + extra_us,
        .refund_count = (int64_t)payment->refund_count,
    };

    if (payment->webhook_url[0] == '\0' && books->webhook_url[0] == '\0')
        return;
    if (fault_use(faults, FAULT_WRONG_AMOUNT))
        notice.amount_minor++;
    if (fault_use(faults, FAULT_LATE))
        notice.due_us += faults->of[FAULT_LATE].value_ms * 1000;
    if (fault_use(faults, FAULT_WRONG_SIGNATURE)) {
        notice_add(payment, &notice)->is_forged = true;
        notice.due_us += faults->of[FAULT_WRONG_SIGNATURE].value_ms * 1000;
    }
    if (fault_use(faults, FAULT_LOST))
        return;
    notice_add(payment, &notice);
    if (fault_use(faults, FAULT_DOUBLED))
        notice_add(payment, &notice);
}

void
payment_tell(struct books *books, struct payment *payment, int64_t now_us)
{
    const struct change *last = &payment->changes[payment->change_count - 1];

    assert(payment->is_made);
    notices_write(books, payment, last->status, last->at_us, now_us - last->at_us);
    payment_changed(books, payment);
}

void
notice_answered(struct books *books, struct payment *payment, size_t index, int http_status,
                int64_t now_us)
{
    struct notice *notice = &payment->notices[index];
    size_t last = sizeof backoff_ms / sizeof *backoff_ms - 1, step;

    assert(index < payment->notice_count && notice->is_sending);
    notice->is_sending = false;
    notice->http_status = http_status;
    step = (size_t)notice->attempts++;
    if (http_status >= 200 && http_status <= 299)
        notice->state = NOTICE_DELIVERED;
    else if (notice->is_forged || http_status == 410 || notice->attempts == NOTICE_ATTEMPTS_MAX)
        notice->state = NOTICE_GIVEN_UP; /* 410: the merchant wants no more of it */
    else
        notice->due_us = now_us + backoff_ms[step < last ? step : last] * 1000;
    payment_changed(books, payment);
}

/* ---- names ----------------------------------------------------------------------------------- */

bool
payment_is_open(const struct payment *payment)
{
    return ((1U << payment->status) & OPEN) != 0;
}

const char *
payment_status_name(enum payment_status status)
{
    assert(status < PAYMENT_STATUS_COUNT);
    return status_names[status];
}

enum payment_status
payment_status_of(const char *name)
{
    size_t i = 0;

    while (i < PAYMENT_STATUS_COUNT && strcmp(status_names[i], name) != 0)
        i++;
    return (enum payment_status)i;
}

const char *
payment_event_name(enum payment_event event)
{
    return event == PAYMENT_EVENT_COUNT ? "none" : event_names[event];
}

enum payment_event
payment_event_of(const char *name)
{
    size_t i = 0;

    while (i < PAYMENT_EVENT_COUNT && strcmp(event_names[i], name) != 0)
        i++;
    return (enum payment_event)i;
}
