/* One thread owns the channel, its completion queue, the retries and what waits; others put requests
 * into its inbox. A request's way:
 *
 *     send -> inbox -> waiting -> parcel -> answer -> done
 *                 ^                           |
 *                 +---- retries (a heap) <----+
 *
 * The thread sleeps in the completion queue. A sender wakes it with an empty batch on a call that is
 * never started, which gRPC documents to complete at once; and only if the thread sleeps and could
 * send: a thread that is busy, or has every message under way, will look into the inbox anyway. */
#include "mesh/rpc/client.h"
#include "mesh/base/clock.h"
#include "mesh/base/die.h"
#include "mesh/base/hold.h"
#include "mesh/base/log.h"
#include "mesh/rpc/client_meter.h"
#include "mesh/rpc/client_parcel.h"
#include "mesh/rpc/client_wait.h"
#include "mesh/rpc/library.h"
#include "mesh/rpc/server.h"
#include "mesh/rpc/spans.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/time.h>

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    REPLY_BYTES_MAX = 16 << 20, /* a full envelope of pages; a server's own limit comes first */
};

/* For whom a sender must wake the thread. */
enum wake { WAKE_NOBODY, WAKE_FOR_ALONE, WAKE_FOR_ALL };

struct rpc_client {
    char *address;
    bool is_mesh, is_quiet;
    size_t waiting_max;
    int envelopes_max;
    pthread_t thread;
    grpc_completion_queue *queue;
    grpc_call *wake_call;
    struct parcel_way way;

    pthread_mutex_t lock;
    struct list inbox, refused; /* under lock, as the next two */
    enum wake wake;
    bool is_closing;
    atomic_size_t held_count; /* requests that take no message's place: against waiting_max */
    struct client_meter meter;

    /* the thread's own */
    struct list waiting, alone, rejected;
    struct parcel *under_way;
    int slots_used;
    int64_t
        expires_us; /* no parcel under way expires before this; most never do (gRPC's deadline) */
    struct heap later;
    bool is_ending;
};

/* ---- sending, any thread ---- */

/* Under lock. An empty batch touches nothing of the call; the lock makes it one at a time. */
static void
wake(struct rpc_client *client)
{
    grpc_call_error error;

    client->wake = WAKE_NOBODY;
    error = grpc_call_start_batch(client->wake_call, NULL, 0, client, NULL);
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

static void
wait_to_go(struct rpc_client *client, struct rpc_request *request)
{
    list_push(request->must_go_alone ? &client->alone : &client->waiting, request);
}

/* ---- retries ---- */

static void
retries_wake(struct rpc_client *client, int64_t now_us)
{
    struct heap_item *due;

    while ((due = heap_pop_due(&client->later, now_us)) != NULL) {
        struct rpc_request *request = HEAP_OWNER(due, struct rpc_request, later);

        request->until_us = now_us + request->timeout_us;
        wait_to_go(client, request);
    }
}

/* ---- answers ---- */

/* The last word: the request is the caller's again. */
static void
finish(struct rpc_client *client, struct rpc_request *request, struct rpc_result *result)
{
    struct log_trace before;

    result->was_unknown = request->was_unknown;
    if (request->was_unknown)
        result->nothing_done = false;
    if (result->meaning == RPC_NOT_DONE && !result->nothing_done)
        result->meaning = RPC_UNKNOWN;
    client_meter_answered(&client->meter, request->method, result->code,
                          clock_steady_us() - request->sent_us, request->traceparent);
    rpc_span_sent(&request->span, request->traceparent, request->method, result->code,
                  client->address, request->envelope, request->attempt);
    before = log_trace_begin(request->traceparent);
    request->done(request, result); /* which is gone then */
    log_trace_end(&before);
}

/* Asked again without the caller: not what is an answer, nor what a second try is not likely to change. */
static bool
is_retried(const struct rpc_result *result)
{
    if (result->meaning == RPC_NOT_DONE)
        return true;
    return result->meaning == RPC_UNKNOWN && result->code != WIRE_INTERNAL &&
           result->code != WIRE_DATA_LOSS && result->code != WIRE_CANCELLED;
}

/* It looks like a refusal, and is none of the service that was asked: a proxy's, another program's. */
static bool
is_strange(const struct rpc_result *result)
{
    switch (result->code) {
    case WIRE_INVALID_ARGUMENT:
    case WIRE_NOT_FOUND:
    case WIRE_ALREADY_EXISTS:
    case WIRE_PERMISSION_DENIED:
    case WIRE_FAILED_PRECONDITION:
    case WIRE_OUT_OF_RANGE:
    case WIRE_UNIMPLEMENTED:
    case WIRE_UNAUTHENTICATED:
        return result->meaning != RPC_REFUSED;
    default:
        return false;
    }
}

static void
log_strange(const struct rpc_client *client, const struct rpc_request *request,
            const struct rpc_result *result)
{
    struct log_trace before = log_trace_begin(request->traceparent);

    log_warn("service=%s method=%s event=STRANGE_ANSWER code=%d reason=%s because=\"%s\" "
             "next=\"ask again; does the right service listen there?\"",
             client->address, request->method, (int)result->code, result->reason, result->message);
    log_trace_end(&before);
}

/* A parcel's answer to one of its requests. */
static void
answered(void *owner, struct rpc_request *request, struct rpc_result *result)
{
    struct rpc_client *client = owner;
    const struct rpc_answer answer = { .code = result->code,
                                       .reason = result->reason,
                                       .domain = result->domain,
                                       .service = result->service,
                                       .nothing_done = result->nothing_done };

    result->meaning = rpc_meaning_of(&answer, request->method, client->is_mesh);
    result->nothing_done = result->meaning == RPC_NOT_DONE;
    if (is_strange(result) && !client->is_quiet)
        log_strange(client, request, result);
    if (!is_retried(result) || request->attempt >= request->attempts_max || client->is_ending) {
        finish(client, request, result);
        return;
    }
    if (result->meaning == RPC_UNKNOWN)
        request->was_unknown = true;
    heap_set(&client->later, &request->later, clock_steady_us() + retry_wait_us(request->attempt));
    atomic_fetch_add(&client->held_count, 1);
    atomic_fetch_add(&client->meter.retries, 1);
}

/* The client's own answer to a request that was not handed to gRPC this time. */
static void
answer_unsent(struct rpc_client *client, struct rpc_request *request, enum wire_code code,
              const char *reason, const char *message)
{
    struct rpc_result result = { .code = code };

    snprintf(result.message, sizeof result.message, "%s", message);
    snprintf(result.reason, sizeof result.reason, "%s", reason);
    snprintf(result.domain, sizeof result.domain, "sagamesh");
    result.meaning = code == WIRE_INVALID_ARGUMENT ? RPC_REFUSED : RPC_NOT_DONE;
    result.nothing_done = result.meaning == RPC_NOT_DONE; /* a refusal says it by itself */
    finish(client, request, &result);
}

/* ---- sending, the thread ---- */

/* Takes a request out of what is held, if it can go. */
static bool
is_ready(struct rpc_client *client, struct rpc_request *request, int64_t now_us)
{
    atomic_fetch_sub(&client->held_count, 1);
    if (request->until_us <= now_us) {
        answer_unsent(client, request, WIRE_DEADLINE_EXCEEDED, "EXPIRED",
                      "it waited to be sent until its deadline; nothing was done");
        return false;
    }
    if (request->message_bytes > RPC_MESSAGE_BYTES_MAX) {
        answer_unsent(client, request, WIRE_INVALID_ARGUMENT, "BAD_REQUEST",
                      "the message is larger than 1 MiB");
        return false;
    }
    request->attempt++;
    return true;
}

static void
parcel_start(struct rpc_client *client, struct parcel *parcel, int64_t now_us)
{
    parcel->next = client->under_way;
    parcel->link = &client->under_way;
    if (parcel->next != NULL)
        parcel->next->link = &parcel->next;
    client->under_way = parcel;
    parcel_send(parcel, &client->way, now_us);
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
send_alone(struct rpc_client *client, struct rpc_request *request, int64_t now_us)
{
    struct parcel *parcel;

    if (!is_ready(client, request, now_us))
        return;
    atomic_fetch_add(&client->held_count, 1);
    parcel = parcel_new(1);
    parcel->requests[parcel->count++] = request;
    parcel_start(client, parcel, now_us);
}

/* Takes from what waits until the parcel is full. */
static void
fill(struct rpc_client *client, struct parcel *parcel, size_t count_max, int64_t now_us)
{
    size_t bytes = 0;

    while (parcel->count < count_max && client->waiting.first != NULL) {
        struct rpc_request *request = list_first(&client->waiting);
        size_t more = parcel_item_bytes(request, now_us);

        if (parcel->count > 0 && bytes + more > RPC_MESSAGE_BYTES_MAX)
            return;
        list_pop(&client->waiting);
        if (!is_ready(client, request, now_us))
            continue;
        parcel->requests[parcel->count++] = request;
        bytes += more;
    }
}

static void
send_waiting(struct rpc_client *client, int64_t now_us)
{
    while (client->slots_used < client->envelopes_max && client->waiting.first != NULL) {
        size_t count_max = client->is_mesh ? RPC_ITEMS_MAX : 1;
        struct parcel *parcel;

        if (count_max > client->waiting.count)
            count_max = client->waiting.count;
        parcel = parcel_new(count_max);
        fill(client, parcel, count_max, now_us);
        if (parcel->count == 0) {
            parcel_free(parcel);
            continue;
        }
        parcel->has_slot = true;
        client->slots_used++;
        parcel_start(client, parcel, now_us);
    }
}

/* ---- the thread ---- */

/* Takes over what others have put there. */
static void
inbox_read(struct rpc_client *client)
{
    struct list inbox;

    list_init(&inbox);
    pthread_mutex_lock(&client->lock);
    list_move(&client->inbox, &inbox);
    list_move(&client->refused, &client->rejected);
    client->is_ending = client->is_closing;
    pthread_mutex_unlock(&client->lock);
    while (inbox.count > 0)
        wait_to_go(client, list_pop(&inbox));
}

static void
answer_rejected(struct rpc_client *client)
{
    while (client->rejected.count > 0)
        answer_unsent(client, list_pop(&client->rejected), WIRE_RESOURCE_EXHAUSTED, "BUSY",
                      "too many requests wait for this service; nothing was done");
}

/* False when there is something to do after all. */
static bool
may_sleep(struct rpc_client *client)
{
    bool is_empty;

    pthread_mutex_lock(&client->lock);
    is_empty = client->inbox.count == 0 && client->refused.count == 0 && !client->is_closing;
    if (is_empty)
        client->wake = client->slots_used < client->envelopes_max ? WAKE_FOR_ALL : WAKE_FOR_ALONE;
    pthread_mutex_unlock(&client->lock);
    return is_empty;
}

static gpr_timespec
sleep_until(const struct rpc_client *client)
{
    const struct heap_item *later = heap_first(&client->later);
    int64_t until_us = client->expires_us;

    if (later != NULL && later->key < until_us)
        until_us = later->key;
    if (until_us == INT64_MAX)
        return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                        gpr_time_from_micros(until_us - clock_steady_us(), GPR_TIMESPAN));
}

/* Said once when the service goes away, once when it is back. A status with trailing metadata is the
 * service's own word, so it is there. */
static void
note_whether_away(struct rpc_client *client, const struct parcel *parcel)
{
    bool is_away = parcel->code == GRPC_STATUS_UNAVAILABLE && parcel->trailing.count == 0;

    if (is_away == atomic_load(&client->meter.is_away) || client->is_ending ||
        parcel->code == GRPC_STATUS_DEADLINE_EXCEEDED)
        return;
    atomic_store(&client->meter.is_away, is_away); /* said once */
    if (client->is_quiet)
        return;
    if (is_away)
        log_warn("service=%s event=AWAY next=\"ask again\"", client->address);
    else
        log_info("service=%s event=BACK", client->address);
}

static void
parcel_end(struct rpc_client *client, struct parcel *parcel)
{
    *parcel->link = parcel->next;
    if (parcel->next != NULL)
        parcel->next->link = parcel->link;
    if (parcel->has_slot)
        client->slots_used--;
    else
        atomic_fetch_sub(&client->held_count, 1);
    note_whether_away(client, parcel);
    rpc_span_sent(&parcel->span, parcel->traceparent, PARCEL_BATCH_METHOD, parcel_code(parcel),
                  client->address, NULL, 0);
    hold_begin();
    parcel_answer_all(parcel, answered, client);
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
        if (parcel->expires_us <= now_us)
            parcel_expire(parcel, now_us, answered, client);
        if (parcel->expires_us < client->expires_us)
            client->expires_us = parcel->expires_us;
    }
}

/* Sleeps until something happens, and does that. */
static void
turn(struct rpc_client *client)
{
    grpc_event event = grpc_completion_queue_next(client->queue, sleep_until(client), NULL);
    int64_t now_us = clock_steady_us();

    if (event.type == GRPC_OP_COMPLETE && event.tag != client) /* the client itself: a wake-up */
        parcel_end(client, event.tag);
    expire(client, now_us);
    retries_wake(client, now_us);
}

static void
answer_cancelled(struct rpc_client *client, struct rpc_request *request)
{
    answer_unsent(client, request, WIRE_CANCELLED, "STOPPING",
                  "the client is closing; nothing was done");
}

static void
cancel_held(struct rpc_client *client)
{
    struct heap_item *later;

    while ((later = heap_pop(&client->later)) != NULL)
        list_push(&client->waiting, HEAP_OWNER(later, struct rpc_request, later));
    list_move(&client->alone, &client->waiting);
    while (client->waiting.count > 0) {
        atomic_fetch_sub(&client->held_count, 1);
        answer_cancelled(client, list_pop(&client->waiting));
    }
}

/* Cancelled calls still come back, each with its completion. A done() may have sent once more
 * meanwhile: that is among the rejected. */
static void
end(struct rpc_client *client)
{
    for (struct parcel *parcel = client->under_way; parcel != NULL; parcel = parcel->next)
        grpc_call_cancel(parcel->call, NULL);
    while (client->under_way != NULL)
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
        while (client->alone.count > 0)
            send_alone(client, list_pop(&client->alone), now_us);
        send_waiting(client, now_us);
        if (may_sleep(client))
            turn(client);
    }
    end(client);
    return NULL;
}

/* ---- opening and closing ---- */

static grpc_channel *
channel_open(const char *address)
{
    /* clang-format off */
    static const struct { const char *key; int value; } settings[] = {
        { GRPC_ARG_ENABLE_RETRIES,                      0 },    /* ours know what to repeat; 15 % */
        { GRPC_ARG_ENABLE_HTTP_PROXY,                   0 },    /* http_proxy is for the web */
        { GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION,   1 },    /* no TXT look-ups */
        { GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL,           1 },    /* a connection of its own */
        { GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS,        50 },
        { GRPC_ARG_MAX_RECONNECT_BACKOFF_MS,            1000 },
        { GRPC_ARG_MIN_RECONNECT_BACKOFF_MS,            2000 }, /* how long a connect may take */
        { GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, 1000 },
        { GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH,          REPLY_BYTES_MAX },
        { GRPC_ARG_MAX_METADATA_SIZE,                   16 << 10 },
        { GRPC_ARG_KEEPALIVE_TIME_MS,                   20 * 1000 }, /* with calls under way only */
        { GRPC_ARG_KEEPALIVE_TIMEOUT_MS,                5 * 1000 },  /* and TCP_USER_TIMEOUT */
    };
    /* clang-format on */
    enum { COUNT = sizeof settings / sizeof settings[0] };
    grpc_arg arguments[COUNT] = { 0 };
    grpc_channel_args all = { .num_args = COUNT, .args = arguments };
    grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
    grpc_channel *channel;

    for (size_t i = 0; i < COUNT; i++) {
        arguments[i].type = GRPC_ARG_INTEGER;
        arguments[i].key = (char *)(uintptr_t)settings[i].key;
        arguments[i].value.integer = settings[i].value;
    }
    channel = grpc_channel_create(address, credentials, &all);
    grpc_channel_credentials_release(credentials);
    return channel;
}

static void
lists_init(struct rpc_client *client)
{
    list_init(&client->inbox);
    list_init(&client->refused);
    list_init(&client->waiting);
    list_init(&client->alone);
    list_init(&client->rejected);
}

enum error
rpc_client_open(const struct rpc_client_options *options, struct rpc_client **ret_client)
{
    struct rpc_client *client = memory_take(sizeof *client);
    grpc_slice nowhere = grpc_slice_from_static_string("/wake");

    assert(options->waiting_max > 0 && options->envelopes_max > 0);
    rpc_library_open();
    client->address = memory_take(strlen(options->address) + 1);
    strcpy(client->address, options->address);
    client->is_mesh = options->is_mesh;
    client->is_quiet = options->is_quiet;
    client->waiting_max = options->waiting_max;
    client->envelopes_max = options->envelopes_max;
    client_meter_open(&client->meter, options->metrics, client->address, &client->held_count);
    lists_init(client);
    client->expires_us = INT64_MAX;
    pthread_mutex_init(&client->lock, NULL);
    client->queue = grpc_completion_queue_create_for_next(NULL);
    client->way.channel = channel_open(options->address);
    client->way.queue = client->queue;
    client->wake_call =
        grpc_channel_create_call(client->way.channel, NULL, GRPC_PROPAGATE_DEFAULTS, client->queue,
                                 nowhere, NULL, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    thread_start(&client->thread, run, client);
    *ret_client = client;
    return ERR_OK;
}

static void
grpc_close(struct rpc_client *client)
{
    gpr_timespec forever = gpr_inf_future(GPR_CLOCK_REALTIME);
    grpc_event event;

    grpc_call_unref(client->wake_call);
    grpc_channel_destroy(client->way.channel);
    grpc_completion_queue_shutdown(client->queue);
    do
        event = grpc_completion_queue_next(client->queue, forever, NULL);
    while (event.type != GRPC_QUEUE_SHUTDOWN); /* a wake-up that came too late comes first */
    grpc_completion_queue_destroy(client->queue);
    parcel_way_close(&client->way);
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
    client_meter_close(&client->meter);
    grpc_close(client);
    pthread_mutex_destroy(&client->lock);
    heap_free(&client->later);
    free(client->address);
    free(client);
    return NULL;
}
