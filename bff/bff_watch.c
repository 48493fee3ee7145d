/* bff_watch.c -- Hints that somebody is looking at an order that waits for its payment.
 *
 * account-svc then asks the provider every few seconds for a while. A hint may be lost, and one in a
 * few seconds is enough for each payment, however many look.
 */
#include "bff/bff_watch.h"
#include "mesh/base/clock.h"
#include "mesh/base/hash.h"
#include "mesh/rpc/post.h"

#include <pthread.h>
#include <sagamesh/payment/v1/payment_service.pb-c.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 4096, HINT_US = 3 * SECOND_US, HINT_TIMEOUT_US = 2 * SECOND_US };

/* A payment has one slot, by its hash; two that share one hint a little more often. Which two do so is
 * another matter in each process: nobody can have payments that take each other's place. */
struct slot {
    uint64_t payment;
    int64_t hinted_us;
};

struct watchers {
    pthread_mutex_t lock;
    struct slot slots[SLOTS];
};

struct watchers *
watchers_new(void)
{
    struct watchers *watchers = memory_take(sizeof *watchers);

    pthread_mutex_init(&watchers->lock, NULL);
    return watchers;
}

struct watchers *
watchers_free(struct watchers *watchers)
{
    if (watchers != NULL)
        pthread_mutex_destroy(&watchers->lock);
    free(watchers);
    return NULL;
}

static bool
is_due(struct watchers *watchers, const char *payment_id)
{
    uint64_t payment = hash_in_memory(payment_id, strlen(payment_id));
    struct slot *slot = &watchers->slots[payment % SLOTS];
    int64_t now_us = clock_steady_us();
    bool due;

    pthread_mutex_lock(&watchers->lock);
    due = slot->payment != payment || now_us - slot->hinted_us >= HINT_US;
    if (due)
        *slot = (struct slot){ payment, now_us };
    pthread_mutex_unlock(&watchers->lock);
    return due;
}

void
watchers_look(struct watchers *watchers, struct rpc_client *account, const char *payment_id,
              const char *traceparent)
{
    Sagamesh__Payment__V1__ObserveRequest observe = SAGAMESH__PAYMENT__V1__OBSERVE_REQUEST__INIT;
    Sagamesh__Payment__V1__PaymentHint hint = SAGAMESH__PAYMENT__V1__PAYMENT_HINT__INIT;
    char id[UUID_TEXT_BYTES + 1];

    if (!is_due(watchers, payment_id))
        return;
    hint.payment_id = (char *)payment_id;
    hint.hint = SAGAMESH__PAYMENT__V1__HINT__HINT_WATCHED;
    observe.request_id = uuid_print(uuid_v7(clock_now_us()), id);
    observe.what_case = SAGAMESH__PAYMENT__V1__OBSERVE_REQUEST__WHAT_HINT;
    observe.hint = &hint;
    /* Its answer does not matter: the next look hints again. */
    rpc_post(account, &(struct rpc_post){ .method = "sagamesh.payment.v1.PaymentService/Observe",
                                          .message = &observe.base,
                                          .timeout_us = HINT_TIMEOUT_US,
                                          .attempts_max = 1,
                                          .key = rpc_key(payment_id, strlen(payment_id)),
                                          .traceparent = traceparent });
}
