/* Orders, each from Place until Get answers that it has ended. A slot is an order under way; it goes
 * round on the client's own thread: Place -> Get (which waits at the server) -> the next order. */
#include "mesh/base/clock.h"
#include "mesh/base/hash.h"
#include "mesh/pb/message.h"
#include "tests/bench/bench.h"

#include <pthread.h>
#include <sagamesh/order/v1/order_service.pb-c.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SLOTS = 8192, /* of the open loop: above a second's worth of orders */
    ATTEMPTS = 10,
    PLACE_SECONDS = 10,
    WAIT_MS = 20 * 1000,
    MESSAGE_BYTES_MAX = 320,
    COMPLAINTS_MAX = 5,
    LOST_MAX = 1000, /* a mesh that loses more is not worth measuring */
};

#define STATUS(name) SAGAMESH__ORDER__V1__ORDER_STATUS__ORDER_STATUS_##name

enum pace { PACE_CLOSED, PACE_OPEN };

struct slot {
    struct rpc_request request; /* first */
    struct bench_load *load;
    struct slot *next_free;
    char order_id[UUID_TEXT_BYTES + 1];
    int64_t began_us; /* or when it fell due */
    bool is_placed;
    int32_t version;
    uint8_t message[MESSAGE_BYTES_MAX];
};

/* Times of orders, in microseconds. */
struct times {
    int32_t *us;
    size_t count, size;
};

struct bench_load {
    const struct bench *bench;
    struct rpc_client *client;
    struct slot *slots;
    struct arena *arena; /* of one answer; the client's thread */
    enum pace pace;
    atomic_bool is_stopping, is_counting;
    atomic_int_fast64_t paid, failed, lost, retries, complaints;
    uint64_t random; /* under lock, as all below */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct slot *free;
    int64_t under_way;
    struct times times;
};

/* ---- times ---- */

static void
times_add(struct times *times, int64_t us)
{
    if (times->count == times->size) {
        times->size = times->size * 2 + 1024;
        times->us = memory_grow(times->us, times->size * sizeof *times->us);
    }
    times->us[times->count++] = (int32_t)(us < INT32_MAX ? us : INT32_MAX);
}

static int
compare_times(const void *a, const void *b)
{
    int32_t left = *(const int32_t *)a, right = *(const int32_t *)b;

    return (left > right) - (left < right);
}

static double
times_ms(const struct times *times, size_t per_mille)
{
    size_t index = times->count * per_mille / 1000;

    if (times->count == 0)
        return 0;
    return times->us[index < times->count ? index : times->count - 1] / 1000.0;
}

/* Takes the times, and forgets them. */
static struct bench_span
take_span(struct bench_load *load, int64_t span_us)
{
    struct bench_span span;

    pthread_mutex_lock(&load->lock);
    qsort(load->times.us, load->times.count, sizeof *load->times.us, compare_times);
    span = (struct bench_span){ .count = (int64_t)load->times.count,
                                .orders_per_s = (double)load->times.count * 1e6 / (double)span_us,
                                .p50_ms = times_ms(&load->times, 500),
                                .p99_ms = times_ms(&load->times, 990),
                                .max_ms = times_ms(&load->times, 1000) };
    load->times.count = 0;
    pthread_mutex_unlock(&load->lock);
    if (span.count == 0)
        bench_fail("no order was PAID");
    return span;
}

/* ---- an order ---- */

/* Any thread; under lock because of the random numbers (xorshift: spread, not secrecy). */
static void
pack_place(struct slot *slot)
{
    struct bench_load *load = slot->load;
    Sagamesh__Order__V1__PlaceRequest request = SAGAMESH__ORDER__V1__PLACE_REQUEST__INIT;
    Sagamesh__Order__V1__OrderLine line = SAGAMESH__ORDER__V1__ORDER_LINE__INIT, *lines = &line;
    char sku[BENCH_NAME_BYTES], customer[BENCH_NAME_BYTES];

    load->random ^= load->random << 13;
    load->random ^= load->random >> 7;
    load->random ^= load->random << 17;
    bench_product_name((int64_t)((load->random >> 8) % (uint64_t)load->bench->products), sku);
    bench_customer_name((int64_t)((load->random >> 32) % (uint64_t)load->bench->wallets), customer);
    uuid_print(uuid_v7(clock_now_us()), slot->order_id);
    line.sku = sku;
    line.quantity = 1;
    request.order_id = slot->order_id;
    request.customer_id = customer;
    request.currency = BENCH_CURRENCY;
    request.lines = &lines;
    request.n_lines = 1;
    slot->request.message_bytes = sagamesh__order__v1__place_request__pack(&request, slot->message);
}

static void slot_done(struct rpc_request *request, const struct rpc_result *result);

static void
slot_place(struct slot *slot, int64_t began_us)
{
    slot->began_us = began_us;
    slot->is_placed = false;
    slot->request.method = "sagamesh.order.v1.OrderService/Place";
    slot->request.message = slot->message;
    slot->request.timeout_us = PLACE_SECONDS * SECOND_US;
    slot->request.attempts_max = ATTEMPTS;
    slot->request.must_go_alone = true; /* as a caller's own: unary */
    slot->request.done = slot_done;
    rpc_client_send(slot->load->client, &slot->request);
}

static void
slot_get(struct slot *slot, int32_t known_version)
{
    Sagamesh__Order__V1__GetRequest request = SAGAMESH__ORDER__V1__GET_REQUEST__INIT;

    slot->is_placed = true;
    request.order_id = slot->order_id;
    request.wait_ms = WAIT_MS;
    request.known_version = known_version;
    slot->request.method = "sagamesh.order.v1.OrderService/Get";
    slot->request.message_bytes = sagamesh__order__v1__get_request__pack(&request, slot->message);
    slot->request.timeout_us = (WAIT_MS / 1000 + PLACE_SECONDS) * SECOND_US;
    rpc_client_send(slot->load->client, &slot->request);
}

static void
complain(struct bench_load *load, const struct slot *slot, const char *what, const char *why)
{
    if (atomic_fetch_add(&load->complaints, 1) < COMPLAINTS_MAX)
        bench_say("  order %s %s: %s", slot->order_id, what, why);
}

/* The slot's order has ended, one way or another: the next one, or back to the others. */
static void
slot_end(struct slot *slot, bool is_paid)
{
    struct bench_load *load = slot->load;
    int64_t now_us = clock_steady_us();
    bool goes_on = load->pace == PACE_CLOSED && !atomic_load(&load->is_stopping);

    pthread_mutex_lock(&load->lock);
    if (is_paid && atomic_load(&load->is_counting))
        times_add(&load->times, now_us - slot->began_us);
    if (goes_on) {
        pack_place(slot);
    } else {
        slot->next_free = load->free;
        load->free = slot;
        load->under_way--;
        pthread_cond_signal(&load->changed);
    }
    pthread_mutex_unlock(&load->lock);
    if (goes_on)
        slot_place(slot, now_us);
}

static void
slot_lost(struct slot *slot, const struct rpc_result *result)
{
    struct bench_load *load = slot->load;

    complain(load, slot, slot->is_placed ? "is lost in Get" : "is lost in Place", result->message);
    if (atomic_fetch_add(&load->lost, 1) > LOST_MAX)
        bench_fail("too many orders are lost");
    slot_end(slot, false);
}

static void
slot_answered(struct slot *slot, const Sagamesh__Order__V1__Order *order)
{
    struct bench_load *load = slot->load;

    switch (order->status) {
    case STATUS(PAID):
        atomic_fetch_add(&load->paid, 1);
        slot_end(slot, true);
        return;
    case STATUS(FAILED):
        atomic_fetch_add(&load->failed, 1);
        complain(load, slot, "FAILED", order->detail);
        slot_end(slot, false);
        return;
    default:
        slot_get(slot, order->version);
    }
}

/* The client's thread. */
static void
slot_done(struct rpc_request *request, const struct rpc_result *result)
{
    struct slot *slot = (struct slot *)request;
    struct bench_load *load = slot->load;
    struct problem problem = { 0 };
    ProtobufCMessage *message;

    atomic_fetch_add(&load->retries, request->attempt > 1 ? request->attempt - 1 : 0);
    if (result->code != WIRE_OK) {
        slot_lost(slot, result);
        return;
    }
    if (pb_message_unpack(slot->is_placed ? &sagamesh__order__v1__get_response__descriptor
                                          : &sagamesh__order__v1__place_response__descriptor,
                          result->reply, result->reply_bytes, load->arena, &problem,
                          &message) != ERR_OK)
        bench_fail("an answer that is none: %s", problem.text);
    if (!slot->is_placed)
        slot_get(slot, ((Sagamesh__Order__V1__PlaceResponse *)message)->version);
    else if (((Sagamesh__Order__V1__GetResponse *)message)->order == NULL)
        bench_fail("Get answered OK without an order");
    else
        slot_answered(slot, ((Sagamesh__Order__V1__GetResponse *)message)->order);
    arena_reset(load->arena);
}

/* ---- loads ---- */

struct bench_load *
bench_load_open(const struct bench *bench)
{
    struct bench_load *load = memory_take(sizeof *load);
    struct rpc_client_options options = {
        .target = bench->order, .is_mesh = true, .waiting_max = 2 * SLOTS, .envelopes_max = 1
    };

    load->bench = bench;
    load->arena = arena_new();
    load->random = hash_int(HASH_SEED, clock_now_us()) | 1;
    pthread_mutex_init(&load->lock, NULL);
    pthread_cond_init(&load->changed, NULL);
    load->slots = memory_take(SLOTS * sizeof *load->slots);
    for (size_t i = 0; i < SLOTS; i++) {
        load->slots[i].load = load;
        load->slots[i].next_free = load->free;
        load->free = &load->slots[i];
    }
    if (rpc_client_open(&options, &load->client) != ERR_OK)
        bench_fail("'%s' is no address", bench->order);
    return load;
}

struct bench_load *
bench_load_close(struct bench_load *load)
{
    rpc_client_close(load->client);
    pthread_mutex_destroy(&load->lock);
    pthread_cond_destroy(&load->changed);
    arena_free(load->arena);
    free(load->times.us);
    free(load->slots);
    free(load);
    return NULL;
}

void
bench_load_count(const struct bench_load *load, struct bench_outcome *ret_outcome)
{
    ret_outcome->paid = atomic_load(&load->paid);
    ret_outcome->failed = atomic_load(&load->failed);
    ret_outcome->lost = atomic_load(&load->lost);
    ret_outcome->retries = atomic_load(&load->retries);
}

/* Takes a free slot, waiting for one, and places an order that fell due at began_us. */
static void
start_one(struct bench_load *load, int64_t began_us)
{
    struct slot *slot;

    pthread_mutex_lock(&load->lock);
    while (load->free == NULL)
        pthread_cond_wait(&load->changed, &load->lock);
    slot = load->free;
    load->free = slot->next_free;
    load->under_way++;
    pack_place(slot);
    pthread_mutex_unlock(&load->lock);
    slot_place(slot, began_us);
}

static void
wait_for_all(struct bench_load *load)
{
    pthread_mutex_lock(&load->lock);
    while (load->under_way > 0)
        pthread_cond_wait(&load->changed, &load->lock);
    pthread_mutex_unlock(&load->lock);
}

/* Until until_us, with a line a second. */
static void
watch(struct bench_load *load, const char *what, int64_t until_us)
{
    int64_t second = 0, before = atomic_load(&load->paid), now;

    while (clock_steady_us() < until_us) {
        int64_t next_us = clock_steady_us() + SECOND_US;

        bench_pause_until_us(next_us < until_us ? next_us : until_us);
        now = atomic_load(&load->paid);
        if (next_us <= until_us)
            bench_say("  %s, second %lld: %lld orders", what, (long long)++second,
                      (long long)(now - before));
        before = now;
    }
}

struct bench_span
bench_load_saturate(struct bench_load *load, int64_t warm_us, int64_t span_us,
                    void (*measured)(void *owner), void *owner)
{
    int64_t began_us;

    load->pace = PACE_CLOSED;
    atomic_store(&load->is_stopping, false);
    for (int64_t i = 0; i < load->bench->in_flight; i++)
        start_one(load, clock_steady_us());
    watch(load, "warming up", clock_steady_us() + warm_us);
    measured(owner);
    began_us = clock_steady_us();
    atomic_store(&load->is_counting, true);
    watch(load, "saturation", began_us + span_us);
    atomic_store(&load->is_counting, false);
    span_us = clock_steady_us() - began_us;
    measured(owner);
    atomic_store(&load->is_stopping, true);
    wait_for_all(load);
    return take_span(load, span_us);
}

struct bench_span
bench_load_pace(struct bench_load *load, double orders_per_s, int64_t span_us)
{
    int64_t began_us = clock_steady_us(), count = (int64_t)(orders_per_s * (double)span_us / 1e6);

    load->pace = PACE_OPEN;
    atomic_store(&load->is_counting, true);
    for (int64_t i = 0; i < count; i++) {
        int64_t due_us = began_us + (int64_t)((double)i * 1e6 / orders_per_s);

        if (due_us > clock_steady_us())
            bench_pause_until_us(due_us);
        start_one(load, due_us);
    }
    wait_for_all(load);
    atomic_store(&load->is_counting, false);
    return take_span(load, clock_steady_us() - began_us);
}

struct bench_span
bench_load_lone(struct bench_load *load, int64_t count_max, int64_t span_us)
{
    int64_t began_us = clock_steady_us();

    load->pace = PACE_OPEN;
    atomic_store(&load->is_counting, true);
    for (int64_t i = 0; i < count_max && (i == 0 || clock_steady_us() - began_us < span_us); i++) {
        start_one(load, clock_steady_us());
        wait_for_all(load);
    }
    atomic_store(&load->is_counting, false);
    return take_span(load, clock_steady_us() - began_us);
}
