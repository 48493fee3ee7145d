/* provider_desk.c -- The desk's loop, its timers, and how calls are answered. */
#include "sandbox/provider/provider_desk.h"
#include "mesh/base/arena.h"
#include "mesh/base/clock.h"
#include "mesh/base/die.h"
#include "mesh/observe/metrics.h"
#include "sandbox/provider/provider_record.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CALLS_MAX = 20000, TURN_MAX = 256 };

/* ---- timers ---------------------------------------------------------------------------------- */

static void
timer_set(struct desk *desk, struct payment *payment)
{
    int64_t due_us = payment_due_us(payment);

    if (due_us == NEVER_US)
        heap_remove(&desk->timers, &payment->timer);
    else
        heap_set(&desk->timers, &payment->timer, due_us);
}

/* ---- webhooks -------------------------------------------------------------------------------- */

static void
delivery_make(struct desk *desk, struct payment *payment, size_t index)
{
    struct delivery *delivery = memory_take(sizeof *delivery);
    struct notice *notice = &payment->notices[index];
    struct json_writer body = { 0 };

    notice_body_write(&body, payment, notice);
    snprintf(delivery->payment_id, sizeof delivery->payment_id, "%s", payment->id);
    snprintf(delivery->webhook_id, sizeof delivery->webhook_id, "msg_%s_%d", payment->id,
             (int)notice->number);
    delivery->notice_index = index;
    delivery->url =
        strdup(payment->webhook_url[0] != '\0' ? payment->webhook_url : desk->books->webhook_url);
    delivery->body = body.text;
    delivery->body_bytes = body.bytes;
    delivery->is_forged = notice->is_forged;
    notice->is_sending = true;
    delivery->item.next = (struct queue_item *)desk->outbox;
    desk->outbox = delivery;
}

/* Backwards, because the outbox is: a payment's notices leave in their order. */
static void
notices_collect(struct desk *desk, struct payment *payment, int64_t now_us)
{
    for (size_t i = payment->notice_count; i-- > 0;) {
        const struct notice *notice = &payment->notices[i];

        if (notice->state == NOTICE_WAITING && !notice->is_sending && notice->due_us <= now_us)
            delivery_make(desk, payment, i);
    }
}

static void
timers_run(struct desk *desk, int64_t now_us)
{
    struct heap_item *due;

    while ((due = heap_pop_due(&desk->timers, now_us)) != NULL) {
        struct payment *payment = HEAP_OWNER(due, struct payment, timer);

        payment_turn(desk->books, payment, now_us);
        notices_collect(desk, payment, now_us);
        timer_set(desk, payment);
    }
}

/* The sender's thread. */
static void
delivery_done(void *owner, struct delivery *delivery)
{
    struct desk *desk = owner;

    if (!queue_push_always(desk->delivered, &delivery->item)) {
        delivery_free(delivery); /* we are ending; after a restart it is sent again */
        return;
    }
    queue_wake(desk->calls);
}

static void
delivered_take(struct desk *desk, int64_t now_us)
{
    size_t count;
    struct queue_item *item;

    while ((item = queue_take(desk->delivered, 1, 0, &count)) != NULL) {
        struct delivery *delivery = (struct delivery *)item;

        notice_answered(desk->books, books_find(desk->books, delivery->payment_id),
                        delivery->notice_index, delivery->http_status, now_us);
        metric_add(delivery->http_status >= 200 && delivery->http_status <= 299 ? desk->taken
                                                                                : desk->refused,
                   1);
        delivery_free(delivery);
    }
}

static void
outbox_send(struct desk *desk)
{
    while (desk->outbox != NULL) {
        struct delivery *delivery = desk->outbox;

        desk->outbox = (struct delivery *)delivery->item.next;
        webhook_send(desk->sender, delivery);
    }
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void
call_answer(struct call *call)
{
    struct json_writer body = call->body; /* the call goes with its exchange */
    const char *headers[] = { "Cache-Control: no-store", NULL, NULL };

    if (call->location != NULL)
        headers[1] = arena_print(call->exchange->arena, "Location: %s", call->location);
    if (call->is_lost)
        http_drop(call->exchange);
    else
        http_answer(call->exchange, call->status, call->content_type, body.text, body.bytes,
                    headers);
    json_writer_free(&body);
}

/* Those whose time has come; the others wait on. */
static void
answers_send(struct desk *desk, int64_t now_us)
{
    struct call *call = desk->delayed, *next;

    desk->delayed = NULL;
    for (; call != NULL; call = next) {
        next = call->next;
        if (call->answer_us <= now_us) {
            call_answer(call);
            continue;
        }
        call->next = desk->delayed;
        desk->delayed = call;
    }
    for (call = desk->answers, desk->answers = NULL; call != NULL; call = next) {
        next = call->next;
        if (call->answer_us <= now_us) {
            call_answer(call);
            continue;
        }
        call->next = desk->delayed;
        desk->delayed = call;
    }
}

static int64_t
wait_us(const struct desk *desk)
{
    const struct heap_item *first = heap_first(&desk->timers);
    int64_t due_us = first == NULL ? NEVER_US : first->key, now_us;

    for (const struct call *call = desk->delayed; call != NULL; call = call->next)
        due_us = call->answer_us < due_us ? call->answer_us : due_us;
    if (due_us == NEVER_US)
        return -1;
    now_us = clock_now_us();
    return due_us > now_us ? due_us - now_us : 0;
}

static void
calls_run(struct desk *desk, struct queue_item *item, int64_t now_us)
{
    while (item != NULL) {
        struct call *call = (struct call *)item;

        item = item->next;
        call->now_us = now_us;
        call->act(desk, call);
        call->next = desk->answers;
        desk->answers = call;
    }
}

static void *
desk_run(void *owner)
{
    struct desk *desk = owner;
    bool is_over = false;

    while (!is_over) {
        size_t count;
        struct queue_item *item = queue_take(desk->calls, TURN_MAX, wait_us(desk), &count);
        int64_t now_us = clock_now_us();

        is_over = item == NULL && queue_is_closed(desk->calls);
        delivered_take(desk, now_us);
        timers_run(desk, now_us);
        calls_run(desk, item, now_us);
        for (struct payment *payment = desk->books->changed; payment != NULL;
             payment = payment->next_changed)
            timer_set(desk, payment);
        journal_write(desk->journal, desk->books, desk->has_new_faults);
        metric_set(desk->payments, (int64_t)HASH_CNT(by_id, desk->books->payments));
        desk->has_new_faults = false;
        outbox_send(desk);
        answers_send(desk, is_over ? NEVER_US : now_us);
    }
    return NULL;
}

/* clang-format off */
static const struct metric_row payments_row = { "sagamesh_sandbox_payments",       METRIC_GAUGE,   METRIC_NUMBER, "Payments in the books.",                                { NULL } };
static const struct metric_row webhooks_row = { "sagamesh_sandbox_webhooks_total", METRIC_COUNTER, METRIC_NUMBER, "Webhooks that were taken, or refused and come again.",  { "outcome" } };
/* clang-format on */

void
desk_open(struct desk *desk)
{
    static const char *const outcomes[] = { "taken", "refused" };

    desk->payments = metrics_series(desk->metrics, &payments_row, NULL);
    desk->taken = metrics_series(desk->metrics, &webhooks_row, &outcomes[0]);
    desk->refused = metrics_series(desk->metrics, &webhooks_row, &outcomes[1]);
    desk->calls = queue_new(CALLS_MAX);
    desk->delivered = queue_new(CALLS_MAX);
    for (struct payment *payment = desk->books->payments; payment != NULL;
         payment = payment->by_id.next)
        timer_set(desk, payment);
}

void
desk_start(struct desk *desk, const struct webhook_secrets *secrets)
{
    desk->sender = webhook_sender_start(secrets, desk->webhook_ca_file, delivery_done, desk);
    thread_start(&desk->thread, desk_run, desk);
}

void
desk_take(struct desk *desk, struct http_exchange *exchange, bool is_api,
          void (*act)(struct desk *desk, struct call *call))
{
    struct call *call = arena_take(exchange->arena, sizeof *call);

    call->exchange = exchange;
    call->is_api = is_api;
    call->act = act;
    if (!queue_push(desk->calls, &call->item))
        http_answer_problem(exchange, &(struct http_problem){ .status = 503,
                                                              .code = "BUSY",
                                                              .detail = "too many requests wait",
                                                              .headers = NULL });
}

void
desk_close(struct desk *desk)
{
    struct queue_item *item;
    size_t count;

    queue_close(desk->calls);
    pthread_join(desk->thread, NULL);
    queue_close(desk->delivered);
    desk->sender = webhook_sender_stop(desk->sender);
    while ((item = queue_take(desk->delivered, 1, 0, &count)) != NULL)
        delivery_free((struct delivery *)item);
    queue_free(desk->calls);
    queue_free(desk->delivered);
    heap_free(&desk->timers);
}

/* ---- for acts -------------------------------------------------------------------------------- */

void
call_payment(struct desk *desk, struct call *call, int status, const struct payment *payment)
{
    call->status = status;
    call->content_type = "application/json";
    payment_answer_write(&call->body, NULL, payment, desk->base_url);
}

void
call_refuse(struct desk *desk, struct call *call, const struct problem *problem,
            const struct payment *payment)
{
    call->status = error_http_status(problem->error);
    call->content_type = HTTP_PROBLEM_TYPE;
    json_writer_reset(&call->body);
    http_problem_open(&call->body,
                      &(struct http_problem){ .status = call->status,
                                              .code = problem->reason,
                                              .detail = problem->text },
                      call->exchange->traceparent);
    if (problem->field[0] != '\0')
        json_put_text(&call->body, "field", problem->field);
    if (payment != NULL && payment->is_made)
        payment_answer_write(&call->body, "payment", payment, desk->base_url);
    json_close_object(&call->body);
}

bool
call_may_act(struct desk *desk, struct call *call, struct payment *payment)
{
    struct faults *faults = &payment->faults;
    struct problem problem = { 0 };

    if (!call->is_api)
        return true;
    if (fault_use(faults, FAULT_ERROR_500)) {
        payment_changed(desk->books, payment);
        problem_set(&problem, ERR_INTERNAL, NULL, "this is what was asked for: error-500");
        call_refuse(desk, call, &problem, NULL);
        return false;
    }
    if (fault_use(faults, FAULT_SLOW)) {
        payment_changed(desk->books, payment);
        call->answer_us = call->now_us + faults->of[FAULT_SLOW].value_ms * 1000;
    }
    return true;
}
