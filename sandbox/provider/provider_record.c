/* provider_record.c -- Payments into JSON and back. */
#include "sandbox/provider/provider_record.h"
#include "mesh/base/arena.h"
#include "mesh/base/time.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
put_time(struct json_writer *writer, const char *key, int64_t time_us)
{
    char text[TIME_TEXT_BYTES + 1];

    if (time_us != NEVER_US)
        json_put_text(writer, key, time_print(time_us, text));
}

/* NEVER_US when it is not there or no time. */
static int64_t
get_time(const json_t *record, const char *key)
{
    int64_t time_us = NEVER_US;

    time_read(json_string_value(json_object_get(record, key)), &time_us);
    return time_us;
}

static const char *
get_text(const json_t *record, const char *key)
{
    const char *text = json_string_value(json_object_get(record, key));

    return text == NULL ? "" : text;
}

static int64_t
get_int(const json_t *record, const char *key)
{
    return json_integer_value(json_object_get(record, key));
}

/* ---- faults ---------------------------------------------------------------------------------- */

static void
put_faults(struct json_writer *writer, const struct faults *faults)
{
    char text[FAULT_TEXT_BYTES];

    json_open_array(writer, "faults");
    for (size_t i = 0; i < FAULT_COUNT; i++) {
        if (fault_is_on(faults, (enum fault)i) || faults->of[i].value_ms != 0)
            json_put_text(writer, NULL, fault_print((enum fault)i, &faults->of[i], text));
    }
    json_close_array(writer);
}

bool
faults_read(const json_t *array, int64_t times, struct faults *faults, struct problem *problem)
{
    const json_t *element;
    size_t index;

    if (array != NULL && !json_is_array(array)) {
        problem_set(problem, ERR_BAD_REQUEST, "faults", "must be an array of texts");
        return false;
    }
    json_array_foreach(array, index, element)
    {
        const char *text = json_string_value(element);

        if (text == NULL || !faults_add(faults, text, times)) {
            problem_set(problem, ERR_BAD_REQUEST, "faults", "there is no fault '%.40s'",
                        text == NULL ? "" : text);
            return false;
        }
    }
    return true;
}

/* ---- records --------------------------------------------------------------------------------- */

static void
put_refunds(struct json_writer *writer, const struct payment *payment, size_t count)
{
    json_open_array(writer, "refunds");
    for (size_t i = 0; i < count; i++) {
        json_open_object(writer, NULL);
        json_put_text(writer, "id", payment->refunds[i].id);
        json_put_int(writer, "amount", payment->refunds[i].amount_minor);
        put_time(writer, "at", payment->refunds[i].at_us);
        json_close_object(writer);
    }
    json_close_array(writer);
}

static void
put_history(struct json_writer *writer, const struct payment *payment)
{
    json_open_array(writer, "history");
    for (size_t i = 0; i < payment->change_count; i++) {
        json_open_object(writer, NULL);
        json_put_text(writer, "status", payment_status_name(payment->changes[i].status));
        put_time(writer, "at", payment->changes[i].at_us);
        json_close_object(writer);
    }
    json_close_array(writer);
}

static const char *const notice_states[NOTICE_STATE_COUNT] = { "WAITING", "DELIVERED", "GIVEN_UP" };

static void
put_notices(struct json_writer *writer, const struct payment *payment)
{
    json_open_array(writer, "webhooks");
    for (size_t i = 0; i < payment->notice_count; i++) {
        const struct notice *notice = &payment->notices[i];

        json_open_object(writer, NULL);
        json_put_int(writer, "number", notice->number);
        json_put_text(writer, "status", payment_status_name(notice->status));
        json_put_int(writer, "amount", notice->amount_minor);
        json_put_int(writer, "refunds", notice->refund_count);
        put_time(writer, "occurredAt", notice->occurred_us);
        put_time(writer, "dueAt", notice->due_us);
        json_put_int(writer, "attempts", notice->attempts);
        json_put_int(writer, "httpStatus", notice->http_status);
        json_put_text(writer, "state", notice_states[notice->state]);
        json_put_bool(writer, "isForged", notice->is_forged);
        json_close_object(writer);
    }
    json_close_array(writer);
}

void
payment_record_write(struct json_writer *writer, const char *key, const struct payment *payment)
{
    json_open_object(writer, key);
    json_put_text(writer, "id", payment->id);
    json_put_bool(writer, "isMade", payment->is_made);
    put_faults(writer, &payment->faults);
    if (payment->is_made) {
        json_put_text(writer, "status", payment_status_name(payment->status));
        json_put_int(writer, "amount", payment->booked_minor);
        json_put_int(writer, "askedAmount", payment->amount_minor);
        json_put_text(writer, "currency", payment->currency);
        json_put_text(writer, "description", payment->description);
        json_put_text(writer, "returnUrl", payment->return_url);
        json_put_text(writer, "webhookUrl", payment->webhook_url);
        put_time(writer, "createdAt", payment->created_us);
        put_time(writer, "expiresAt", payment->expires_us);
        put_time(writer, "lateSuccessAt", payment->late_us);
        json_put_text(writer, "autopay", payment_event_name(payment->autopay));
        put_time(writer, "autopayAt", payment->autopay_us);
        put_refunds(writer, payment, payment->refund_count);
        put_history(writer, payment);
        put_notices(writer, payment);
    }
    json_close_object(writer);
}

static void
get_refunds(struct payment *payment, const json_t *array)
{
    payment->refund_count = json_array_size(array);
    payment->refunds =
        memory_grow(payment->refunds, (payment->refund_count + 1) * sizeof *payment->refunds);
    for (size_t i = 0; i < payment->refund_count; i++) {
        const json_t *from = json_array_get(array, i);
        struct refund *refund = &payment->refunds[i];

        snprintf(refund->id, sizeof refund->id, "%s", get_text(from, "id"));
        refund->amount_minor = get_int(from, "amount");
        refund->at_us = get_time(from, "at");
    }
}

static bool
get_history(struct payment *payment, const json_t *array)
{
    payment->change_count = json_array_size(array);
    payment->changes =
        memory_grow(payment->changes, (payment->change_count + 1) * sizeof *payment->changes);
    for (size_t i = 0; i < payment->change_count; i++) {
        const json_t *from = json_array_get(array, i);

        payment->changes[i].status = payment_status_of(get_text(from, "status"));
        payment->changes[i].at_us = get_time(from, "at");
        if (payment->changes[i].status == PAYMENT_STATUS_COUNT)
            return false;
    }
    return payment->change_count > 0;
}

static enum notice_state
notice_state_of(const char *name)
{
    size_t i = 0;

    while (i < NOTICE_STATE_COUNT && strcmp(notice_states[i], name) != 0)
        i++;
    return (enum notice_state)i;
}

static bool
get_notices(struct payment *payment, const json_t *array)
{
    payment->notice_count = json_array_size(array);
    payment->notices =
        memory_grow(payment->notices, (payment->notice_count + 1) * sizeof *payment->notices);
    for (size_t i = 0; i < payment->notice_count; i++) {
        const json_t *from = json_array_get(array, i);
        struct notice *notice = &payment->notices[i];

        *notice = (struct notice){
            .number = get_int(from, "number"),
            .status = payment_status_of(get_text(from, "status")),
            .amount_minor = get_int(from, "amount"),
            .occurred_us = get_time(from, "occurredAt"),
            .due_us = get_time(from, "dueAt"),
            .refund_count = get_int(from, "refunds"),
            .attempts = get_int(from, "attempts"),
            .http_status = get_int(from, "httpStatus"),
            .state = notice_state_of(get_text(from, "state")),
            .is_forged = json_is_true(json_object_get(from, "isForged")),
        };
        if (notice->status == PAYMENT_STATUS_COUNT || notice->state == NOTICE_STATE_COUNT ||
            notice->refund_count < 0 || notice->refund_count > (int64_t)payment->refund_count)
            return false;
    }
    return true;
}

static void
get_copy(char **text, const json_t *record, const char *key)
{
    free(*text);
    *text = strdup(get_text(record, key));
}

static enum error
get_made(struct payment *payment, const json_t *record, struct problem *problem)
{
    payment->is_made = true;
    payment->status = payment_status_of(get_text(record, "status"));
    payment->booked_minor = get_int(record, "amount");
    payment->amount_minor = get_int(record, "askedAmount");
    snprintf(payment->currency, sizeof payment->currency, "%s", get_text(record, "currency"));
    get_copy(&payment->description, record, "description");
    get_copy(&payment->return_url, record, "returnUrl");
    get_copy(&payment->webhook_url, record, "webhookUrl");
    payment->created_us = get_time(record, "createdAt");
    payment->expires_us = get_time(record, "expiresAt");
    payment->late_us = get_time(record, "lateSuccessAt");
    payment->autopay = payment_event_of(get_text(record, "autopay"));
    payment->autopay_us = get_time(record, "autopayAt");
    get_refunds(payment, json_object_get(record, "refunds"));
    if (payment->status == PAYMENT_STATUS_COUNT ||
        !get_history(payment, json_object_get(record, "history")) ||
        !get_notices(payment, json_object_get(record, "webhooks")))
        return problem_set(problem, ERR_BAD_REQUEST, payment->id, "is no record of a payment");
    return ERR_OK;
}

enum error
payment_record_read(struct books *books, const json_t *record, struct problem *problem)
{
    int64_t next_faults_left = books->next_faults_left;
    const char *id = get_text(record, "id");
    struct payment *payment;

    if (!payment_id_is_valid(id) || (payment = books_meet(books, id)) == NULL)
        return problem_set(problem, ERR_BAD_REQUEST, "id", "is none of a payment");
    books->next_faults_left = next_faults_left; /* it has a line of its own */
    memset(&payment->faults, 0, sizeof payment->faults);
    if (!faults_read(json_object_get(record, "faults"), -1, &payment->faults, problem))
        return problem->error;
    return json_is_true(json_object_get(record, "isMade")) ? get_made(payment, record, problem)
                                                           : ERR_OK;
}

void
books_record_write(struct json_writer *writer, const struct books *books)
{
    json_open_object(writer, NULL);
    json_put_text(writer, "payment", "*");
    json_put_int(writer, "times", books->next_faults_left);
    put_faults(writer, &books->next_faults);
    json_close_object(writer);
}

enum error
books_record_read(struct books *books, const json_t *record, struct problem *problem)
{
    memset(&books->next_faults, 0, sizeof books->next_faults);
    books->next_faults_left = get_int(record, "times");
    return faults_read(json_object_get(record, "faults"), -1, &books->next_faults, problem)
               ? ERR_OK
               : problem->error;
}

/* ---- what others see ------------------------------------------------------------------------- */

void
payment_answer_write(struct json_writer *writer, const char *key, const struct payment *payment,
                     const char *base_url)
{
    char url[PAYMENT_URL_BYTES_MAX];

    snprintf(url, sizeof url, "%s/checkout/%s", base_url, payment->id);
    json_open_object(writer, key);
    json_put_text(writer, "id", payment->id);
    json_put_text(writer, "status", payment_status_name(payment->status));
    json_put_int(writer, "amount", payment->booked_minor);
    json_put_text(writer, "currency", payment->currency);
    json_put_text(writer, "description", payment->description);
    json_put_text(writer, "checkoutUrl", url);
    put_time(writer, "createdAt", payment->created_us);
    put_time(writer, "expiresAt", payment->expires_us);
    put_time(writer, "occurredAt", payment->changes[payment->change_count - 1].at_us);
    put_refunds(writer, payment, payment->refund_count);
    json_close_object(writer);
}

void
notice_body_write(struct json_writer *writer, const struct payment *payment,
                  const struct notice *notice)
{
    json_open_object(writer, NULL);
    json_put_text(writer, "type", "payment.updated");
    put_time(writer, "timestamp", notice->occurred_us);
    json_open_object(writer, "data");
    json_put_text(writer, "id", payment->id);
    json_put_text(writer, "status", payment_status_name(notice->status));
    json_put_int(writer, "amount", notice->amount_minor);
    json_put_text(writer, "currency", payment->currency);
    put_time(writer, "occurredAt", notice->occurred_us);
    put_refunds(writer, payment, (size_t)notice->refund_count);
    json_close_object(writer);
    json_close_object(writer);
}
