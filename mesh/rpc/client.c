/* One thread owns the channels, their completion queue, the retries and what waits; others put requests
 * into its inbox. A request's way:
 *
 *     send -> inbox -> an endpoint's waiting -> parcel -> answer -> done
 *                      ^                                  |
 *                      +--- retries (a heap) <------------+
 *                      +--- another endpoint, at once <---+
 *
 * The thread sleeps in the completion queue. A sender wakes it with an empty batch on a call that is
 * never started, which gRPC documents to complete at once; and only if the thread sleeps and could
 * send: a thread that is busy, or has every message under way, will look into the inbox anyway. */
#include "mesh/base/clock.h"
#include "mesh/base/die.h"
#include "mesh/base/hold.h"
#include "mesh/base/log.h"
#include "mesh/rpc/client_inner.h"
#include "mesh/rpc/library.h"
#include "mesh/rpc/server.h"
#include "mesh/rpc/spans.h"

#include <grpc/grpc.h>
#include <grpc/support/time.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- sending, any thread ---- */

static struct client_tag wake_tag = { CLIENT_WAKE, NULL };

/* Under lock. An empty batch touches nothing of the call; the lock makes it one at a time. */
static void
wake(struct rpc_client *client)
{
    grpc_call_error error;

    client->wake = WAKE_NOBODY;
    error = grpc_call_start_batch(client->wake_call, NULL, 0, &wake_tag, NULL);
    assert(error == GRPC_CALL_OK);
    (void)error;
}

static void
wake_sleeper(void *owner)
{
    struct rpc_client *client = owner;

    pthread_mutex_lock(&client->lock);
    if (client->wake != WAKE_NOBODY)
        wake(client);
    pthread_mutex_unlock(&client->lock);
}

void
rpc_client_send(struct rpc_client *client, struct rpc_request *request)
{
    bool is_refused, must_wake;

    assert(request->timeout_us > 0 && request->attempts_max > 0);
    request->attempt = 0;
    request->tried = 0;
    request->was_unknown = false;
    request->later = (struct heap_item){ 0 };
    request->sent_us = clock_steady_us();
    request->until_us = request->sent_us + request->timeout_us;
    request->envelope[0] = '\0';
    span_begin(&request->span, request->traceparent);
    pthread_mutex_lock(&client->lock);
    is_refused = client->is_closing || atomic_load(&client->held_count) >= client->waiting_max;
    if (is_refused) {
        list_push(&client->refused, request);
    } else {
        list_push(&client->inbox, request);
        atomic_fetch_add(&client->held_count, 1);
    }
    must_wake = client->wake == WAKE_FOR_ALL ||
                (client->wake == WAKE_FOR_ALONE && (is_refused || request->must_go_alone));
    if (must_wake && !hold_wake(wake_sleeper, client))
        wake(client);
    pthread_mutex_unlock(&client->lock);
}

/* ---- addresses ---- */

/* The resolver's thread. */
static void
found(void *owner, const struct rpc_target *addresses)
{
    struct rpc_target *copy = memory_take(sizeof *copy);
    struct rpc_client *client = owner;

    *copy = *addresses;
    pthread_mutex_lock(&client->lock);
    free(client->found);
    client->found = copy;
    if (client->wake != WAKE_NOBODY)
        wake(client);
    pthread_mutex_unlock(&client->lock);
}

static void
look_up_again(struct rpc_client *client)
{
    if (client->endpoints.must_look_up && client->resolver != NULL)
        rpc_resolver_hurry(client->resolver);
    client->endpoints.must_look_up = false;
}

/* ---- sending, the thread ---- */

static struct endpoint *
endpoint_of(const struct parcel *parcel)
{
    return (struct endpoint *)parcel->way; /* its first member */
}

/* Takes a request out of what is held, if it can go. */
static bool
is_ready(struct rpc_client *client, struct rpc_request *request, int64_t now_us)
{
    atomic_fetch_sub(&client->held_count, 1);
    if (request->until_us <= now_us) {
        client_answer_unsent(client, request, WIRE_DEADLINE_EXCEEDED, "EXPIRED",
                             "it waited to be sent until its deadline; nothing was done");
        return false;
    }
    if (request->message_bytes > RPC_MESSAGE_BYTES_MAX) {
        client_answer_unsent(client, request, WIRE_INVALID_ARGUMENT, "BAD_REQUEST",
                             "the message is larger than 1 MiB");
        return false;
    }
    if (request->attempt == 0 && request->tried == 0)
        retry_budget_call(&client->budget, now_us);
    request->attempt++;
    return true;
}

static void
parcel_start(struct rpc_client *client, struct endpoint *endpoint, struct parcel *parcel,
             int64_t now_us)
{
    parcel->next = client->under_way;
    parcel->link = &client->under_way;
    if (parcel->next != NULL)
        parcel->next->link = &parcel->next;
    client->under_way = parcel;
    endpoint->parcels++;
    parcel_send(parcel, &endpoint->way, now_us);
    if (parcel->expires_us < client->expires_us)
        client->expires_us = parcel->expires_us;
    if (parcel->is_envelope) {
        atomic_fetch_add(&client->meter.envelopes, 1);
        atomic_fetch_add(&client->meter.items, parcel->count);
    } else {
        atomic_fetch_add(&client->meter.calls, 1);
    }
}

/* It is in held_count until its answer is there: calls that wait on purpose need a limit too. */
static void
send_alone(struct rpc_client *client, struct endpoint *endpoint, int64_t now_us)
{
    struct rpc_request *request = list_pop(&endpoint->alone);
    struct parcel *parcel;

    if (!is_ready(client, request, now_us)) {
        endpoint_count(&client->endpoints, endpoint, -1);
        return;
    }
    atomic_fetch_add(&client->held_count, 1);
    parcel = parcel_new(1);
    parcel->requests[parcel->count++] = request;
    parcel_start(client, endpoint, parcel, now_us);
}

/* Takes from what waits until the parcel is full. */
static void
fill(struct rpc_client *client, struct endpoint *endpoint, struct parcel *parcel, size_t count_max,
     int64_t now_us)
{
    size_t bytes = 0;

    while (parcel->count < count_max && endpoint->waiting.first != NULL) {
        struct rpc_request *request = list_first(&endpoint->waiting);
        size_t more = parcel_item_bytes(request, now_us);

        if (parcel->count > 0 && bytes + more > RPC_MESSAGE_BYTES_MAX)
            return;
        list_pop(&endpoint->waiting);
        if (!is_ready(client, request, now_us)) {
            endpoint_count(&client->endpoints, endpoint, -1);
            continue;
        }
        parcel->requests[parcel->count++] = request;
        bytes += more;
    }
}

static void
send_waiting(struct rpc_client *client, struct endpoint *endpoint, int64_t now_us)
{
    while (endpoint->slots_used < client->envelopes_max && endpoint->waiting.first != NULL) {
        size_t count_max = client->is_mesh ? RPC_ITEMS_MAX : 1;
        struct parcel *parcel;

        if (count_max > endpoint->waiting.count)
            count_max = endpoint->waiting.count;
        parcel = parcel_new(count_max);
        fill(client, endpoint, parcel, count_max, now_us);
        if (parcel->count == 0) {
            parcel_free(parcel);
            continue;
        }
        parcel->has_slot = true;
        endpoint->slots_used++;
        parcel_start(client, endpoint, parcel, now_us);
    }
}

static void
send_all(struct rpc_client *client, int64_t now_us)
{
    while (client->endpoints.stray.count > 0) /* what waited for one that is left out now */
        endpoints_place(&client->endpoints, list_pop(&client->endpoints.stray));
    while (client->endpoints.is_looked_up && client->endpoints.unplaced.count > 0) {
        struct rpc_request *request = list_pop(&client->endpoints.unplaced);

        if (is_ready(client, request, now_us))
            client_answer_nowhere(client, request);
    }
    for (size_t i = 0; i < client->endpoints.count; i++) {
        struct endpoint *endpoint = client->endpoints.of[i];

        while (endpoint->alone.count > 0)
            send_alone(client, endpoint, now_us);
        send_waiting(client, endpoint, now_us);
    }
}

/* ---- the thread ---- */

/* Takes over what others have put there. */
static void
inbox_read(struct rpc_client *client)
{
    struct rpc_target *addresses;
    struct list inbox;

    list_init(&inbox);
    pthread_mutex_lock(&client->lock);
    addresses = client->found;
    client->found = NULL;
    list_move(&client->inbox, &inbox);
    list_move(&client->refused, &client->rejected);
    client->is_ending = client->is_closing;
    pthread_mutex_unlock(&client->lock);
    if (addresses != NULL && !client->is_ending)
        endpoints_change(&client->endpoints, addresses, clock_steady_us());
    free(addresses);
    while (inbox.count > 0)
        endpoints_place(&client->endpoints, list_pop(&inbox));
}

static void
answer_rejected(struct rpc_client *client)
{
    while (client->rejected.count > 0)
        client_answer_unsent(client, list_pop(&client->rejected), WIRE_RESOURCE_EXHAUSTED, "BUSY",
                             "too many requests wait for this service; nothing was done");
}

/* May a request that comes now go at once? */
static bool
has_slot(const struct rpc_client *client)
{
    for (size_t i = 0; i < client->endpoints.count; i++) {
        if (client->endpoints.of[i]->slots_used < client->envelopes_max)
            return true;
    }
    return client->endpoints.count == 0; /* it is answered at once */
}

/* False when there is something to do after all. */
static bool
may_sleep(struct rpc_client *client)
{
    bool is_empty;

    pthread_mutex_lock(&client->lock);
    is_empty = client->inbox.count == 0 && client->refused.count == 0 && client->found == NULL &&
               !client->is_closing;
    if (is_empty)
        client->wake = has_slot(client) ? WAKE_FOR_ALL : WAKE_FOR_ALONE;
    pthread_mutex_unlock(&client->lock);
    return is_empty;
}

static gpr_timespec
sleep_until(const struct rpc_client *client)
{
    const struct heap_item *later = heap_first(&client->later);
    int64_t until_us = endpoints_due_us(&client->endpoints);

    if (client->expires_us < until_us)
        until_us = client->expires_us;
    if (later != NULL && later->key < until_us)
        until_us = later->key;
    if (until_us == INT64_MAX)
        return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                        gpr_time_from_micros(until_us - clock_steady_us(), GPR_TIMESPAN));
}

/* A status with trailing metadata is the service's own word, so it is there. */
static enum endpoint_sign
sign_of(const struct parcel *parcel)
{
    if (parcel->trailing.count > 0)
        return SIGN_ANSWERED;
    switch (parcel->code) {
    case GRPC_STATUS_UNAVAILABLE:
        return SIGN_LOST;
    case GRPC_STATUS_DEADLINE_EXCEEDED:
        return SIGN_SILENT;
    default:
        return SIGN_ANSWERED;
    }
}

/* Said once when the service goes away, once when it is back. */
static void
note_whether_away(struct rpc_client *client)
{
    bool is_away = endpoints_are_away(&client->endpoints);

    if (is_away == atomic_load(&client->meter.is_away))
        return;
    atomic_store(&client->meter.is_away, is_away); /* said once */
    if (client->is_quiet)
        return;
    if (is_away)
        log_warn("service=%s event=AWAY next=\"ask again\"", client->target);
    else
        log_info("service=%s event=BACK", client->target);
}

static void
parcel_end(struct rpc_client *client, struct parcel *parcel, int64_t now_us)
{
    struct endpoint *endpoint = endpoint_of(parcel);

    *parcel->link = parcel->next;
    if (parcel->next != NULL)
        parcel->next->link = parcel->link;
    endpoint->parcels--;
    if (parcel->has_slot)
        endpoint->slots_used--;
    else
        atomic_fetch_sub(&client->held_count, 1);
    endpoint_count(&client->endpoints, endpoint, -(int)parcel->count);
    if (!client->is_ending) {
        endpoint_note(&client->endpoints, endpoint, sign_of(parcel), now_us);
        note_whether_away(client);
    }
    rpc_span_sent(&parcel->span, parcel->traceparent, PARCEL_BATCH_METHOD, parcel_code(parcel),
                  endpoint->address, NULL, 0);
    client->answering = endpoint;
    hold_begin();
    parcel_answer_all(parcel, client_answered, client);
    hold_end();
    parcel_free(parcel);
}

static void
expire(struct rpc_client *client, int64_t now_us)
{
    struct parcel *parcel = client->under_way;

    if (client->expires_us > now_us)
        return; /* thousands may be under way: a look at each of them at every turn adds up */
    client->expires_us = INT64_MAX;
    for (; parcel != NULL; parcel = parcel->next) {
        client->answering = endpoint_of(parcel);
        if (parcel->expires_us <= now_us)
            parcel_expire(parcel, now_us, client_answered, client);
        if (parcel->expires_us < client->expires_us)
            client->expires_us = parcel->expires_us;
    }
}

/* Sleeps until something happens, and does that. */
static void
turn(struct rpc_client *client)
{
    grpc_event event = grpc_completion_queue_next(client->queue, sleep_until(client), NULL);
    struct client_tag *tag = event.tag;
    int64_t now_us = clock_steady_us();

    if (event.type == GRPC_OP_COMPLETE && tag->kind == CLIENT_PARCEL)
        parcel_end(client, tag->owner, now_us);
    else if (event.type == GRPC_OP_COMPLETE && tag->kind == CLIENT_WATCH)
        endpoints_step(&client->endpoints, tag, now_us);
    expire(client, now_us);
    client_retries_wake(client, now_us);
    endpoints_turn(&client->endpoints, now_us);
}

static void
answer_cancelled(struct rpc_client *client, struct rpc_request *request)
{
    client_answer_unsent(client, request, WIRE_CANCELLED, "STOPPING",
                         "the client is closing; nothing was done");
}

static void
cancel_held(struct rpc_client *client)
{
    struct list *held = &client->endpoints.stray;
    struct heap_item *later;

    while ((later = heap_pop(&client->later)) != NULL)
        list_push(held, HEAP_OWNER(later, struct rpc_request, later));
    for (size_t i = 0; i < client->endpoints.count; i++) {
        list_move(&client->endpoints.of[i]->waiting, held);
        list_move(&client->endpoints.of[i]->alone, held);
    }
    list_move(&client->endpoints.unplaced, held);
    while (held->count > 0) {
        atomic_fetch_sub(&client->held_count, 1);
        answer_cancelled(client, list_pop(held));
    }
}

/* Cancelled calls still come back, each with its completion. A done() may have sent once more
 * meanwhile: that is among the rejected. */
static void
end(struct rpc_client *client)
{
    for (struct parcel *parcel = client->under_way; parcel != NULL; parcel = parcel->next)
        grpc_call_cancel(parcel->call, NULL);
    while (!endpoints_end(&client->endpoints) || client->under_way != NULL)
        turn(client);
    cancel_held(client);
    inbox_read(client);
    while (client->rejected.count > 0) {
        answer_cancelled(client, list_pop(&client->rejected));
        inbox_read(client);
    }
    assert(atomic_load(&client->held_count) == 0);
}

static void *
run(void *argument)
{
    struct rpc_client *client = argument;

    for (inbox_read(client); !client->is_ending; inbox_read(client)) {
        int64_t now_us = clock_steady_us();

        answer_rejected(client);
        send_all(client, now_us);
        look_up_again(client);
        if (may_sleep(client))
            turn(client);
    }
    end(client);
    return NULL;
}

/* ---- opening and closing ---- */

static void
lists_init(struct rpc_client *client)
{
    list_init(&client->inbox);
    list_init(&client->refused);
    list_init(&client->rejected);
}

static void
grpc_open(struct rpc_client *client, const struct rpc_target *target)
{
    int64_t now_us = clock_steady_us();

    client->queue = grpc_completion_queue_create_for_next(NULL);
    client->wake_channel = grpc_lame_client_channel_create("wake", GRPC_STATUS_UNAVAILABLE, "");
    client->wake_call = grpc_channel_create_call(
        client->wake_channel, NULL, GRPC_PROPAGATE_DEFAULTS, client->queue,
        grpc_slice_from_static_string("/wake"), NULL, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    endpoints_init(&client->endpoints, client->is_quiet ? NULL : client->target, client->queue);
    if (target->count > 0)
        endpoints_change(&client->endpoints, target, now_us);
    retry_budget_init(&client->budget, now_us);
}

/* The name of "dns:///", without the dot at its end, which certificates do not have. */
static char *
authority_of(const struct rpc_target *target)
{
    char text[RPC_ADDRESS_BYTES_MAX + 1];
    size_t bytes = strlen(target->name);

    if (target->name[bytes - 1] == '.')
        bytes--;
    snprintf(text, sizeof text, "%.*s:%d", (int)bytes, target->name, target->port);
    return strdup(text);
}

static void
resolver_open(struct rpc_client *client, const struct rpc_target *target, const char *servers)
{
    const struct rpc_resolver_options options = { .name = target->name,
                                                  .port = target->port,
                                                  .servers = servers,
                                                  .found = found,
                                                  .owner = client };

    client->endpoints.authority = client->authority = authority_of(target);
    client->resolver = rpc_resolver_open(&options);
}

static enum error
target_read(const struct rpc_client_options *options, struct rpc_target *ret_target)
{
    const char *flag = options->flag == NULL ? "target" : options->flag;
    struct problem problem;

    if (rpc_target_parse(flag, options->target, ret_target, &problem) == ERR_OK)
        return ERR_OK;
    log_error("%s=%s because=\"%s\"", flag, options->target, problem.text);
    return ERR_BAD_REQUEST;
}

enum error
rpc_client_open(const struct rpc_client_options *options, struct rpc_client **ret_client)
{
    struct rpc_target *target = memory_take(sizeof *target);
    struct rpc_client *client;

    assert(options->waiting_max > 0 && options->envelopes_max > 0);
    if (target_read(options, target) != ERR_OK) {
        free(target);
        return ERR_BAD_REQUEST;
    }
    client = memory_take(sizeof *client);
    rpc_library_open();
    client->target = strdup(options->target);
    client->is_mesh = options->is_mesh;
    client->is_quiet = options->is_quiet;
    client->waiting_max = options->waiting_max;
    client->envelopes_max = options->envelopes_max;
    lists_init(client);
    client->expires_us = INT64_MAX;
    pthread_mutex_init(&client->lock, NULL);
    grpc_open(client, target);
    client_meter_open(&client->meter, options->metrics, client->target, &client->held_count,
                      &client->endpoints);
    if (target->name[0] != '\0')
        resolver_open(client, target, options->name_servers);
    thread_start(&client->thread, run, client);
    free(target);
    *ret_client = client;
    return ERR_OK;
}

static void
grpc_close(struct rpc_client *client)
{
    gpr_timespec forever = gpr_inf_future(GPR_CLOCK_REALTIME);
    grpc_event event;

    grpc_call_unref(client->wake_call);
    grpc_channel_destroy(client->wake_channel);
    endpoints_free(&client->endpoints);
    grpc_completion_queue_shutdown(client->queue);
    do
        event = grpc_completion_queue_next(client->queue, forever, NULL);
    while (event.type != GRPC_QUEUE_SHUTDOWN); /* a wake-up that came too late comes first */
    grpc_completion_queue_destroy(client->queue);
    rpc_library_close();
}

struct rpc_client *
rpc_client_close(struct rpc_client *client)
{
    if (client == NULL)
        return NULL;
    pthread_mutex_lock(&client->lock);
    client->is_closing = true;
    if (client->wake != WAKE_NOBODY)
        wake(client);
    pthread_mutex_unlock(&client->lock);
    pthread_join(client->thread, NULL);
    rpc_resolver_close(client->resolver);
    free(client->found);
    client_meter_close(&client->meter);
    grpc_close(client);
    pthread_mutex_destroy(&client->lock);
    heap_free(&client->later);
    free(client->target);
    free(client->authority);
    free(client);
    return NULL;
}
