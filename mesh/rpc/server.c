#include "mesh/rpc/server.h"
#include "mesh/base/die.h"
#include "mesh/pb/message.h"
#include "mesh/rpc/library.h"
#include "mesh/rpc/server_inner.h"
#include "mesh/rpc/tls.h"

#include "mesh/base/clock.h"
#include "mesh/base/log.h"

#include <google/rpc/error_details.pb-c.h>
#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <grpc/health/v1/health.pb-c.h>
#include <grpc/reflection/v1/reflection.pb-c.h>
#include <grpc/reflection/v1alpha/reflection.pb-c.h>
#include <sagamesh/batch/v1/batch_service.pb-c.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { IDLE_CLOSE_US = 200 * 1000, GIVE_BACK_US = 60 * SECOND_US };

/* clang-format off */
static const grpc_arg arguments[] = {
#define INTEGER(name, number) \
    { GRPC_ARG_INTEGER, (char *)(uintptr_t)(name), { .integer = (number) } }
    INTEGER(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, RPC_MESSAGE_BYTES_MAX),
    INTEGER(GRPC_ARG_MAX_METADATA_SIZE,          RPC_METADATA_BYTES_MAX),
    INTEGER(GRPC_ARG_ENABLE_CHANNELZ,            0),
    INTEGER(GRPC_ARG_ENABLE_CENSUS,              0),
    INTEGER(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0), /* mesh/rpc/payload.h unpacks, within a limit */
    /* A client that is gone without a word is noticed; one that pings more often than each 10 s is
     * sent away. */
    INTEGER(GRPC_ARG_KEEPALIVE_TIME_MS,          60 * 1000),
    INTEGER(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,       20 * 1000),
    INTEGER(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
    INTEGER(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10 * 1000),
    INTEGER(GRPC_ARG_HTTP2_MAX_PING_STRIKES,     2),
    /* With a connection's age only, which stands last. */
    INTEGER(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, 30 * 1000),
    INTEGER(GRPC_ARG_MAX_CONNECTION_AGE_MS,      0),
#undef INTEGER
};
/* clang-format on */

/* A defect of the program, found when it starts. */
static void __attribute__((noreturn))
table_is_wrong(const char *service, const char *method, const char *rule)
{
    log_error("event=METHOD_TABLE_WRONG method=%s/%s because=\"%s\"", service, method, rule);
    abort();
}

static const struct method *
row_find(const struct method *methods, const char *name)
{
    for (const struct method *row = methods; row->name != NULL; row++) {
        if (strcmp(row->name, name) == 0)
            return row;
    }
    return NULL;
}

static const ProtobufCMethodDescriptor *
descriptor_find(const ProtobufCServiceDescriptor *service, const char *name)
{
    for (unsigned i = 0; i < service->n_methods; i++) {
        if (strcmp(service->methods[i].name, name) == 0)
            return &service->methods[i];
    }
    return NULL;
}

/* Which of the two a row belongs to; NULL: neither. */
static const ProtobufCServiceDescriptor *
descriptor_of(const struct rpc_service *service, const char *name)
{
    if (descriptor_find(service->descriptor, name) != NULL)
        return service->descriptor;
    return service->inner != NULL && descriptor_find(service->inner, name) != NULL ? service->inner
                                                                                   : NULL;
}

static void
descriptor_check(const struct rpc_service *service, const ProtobufCServiceDescriptor *descriptor)
{
    for (unsigned i = 0; i < descriptor->n_methods; i++) {
        const ProtobufCMethodDescriptor *method = &descriptor->methods[i];

        if (row_find(service->methods, method->name) == NULL)
            table_is_wrong(descriptor->name, method->name, "has no row");
        if (descriptor_of(service, method->name) != descriptor)
            table_is_wrong(descriptor->name, method->name,
                           "is in the service that all may call too");
        if (!pb_message_is_flat(method->input))
            table_is_wrong(descriptor->name, method->name, "takes a recursive message");
    }
}

static void
table_check(const struct rpc_service *service)
{
    const ProtobufCServiceDescriptor *descriptor = service->descriptor;

    descriptor_check(service, descriptor);
    if (service->inner != NULL)
        descriptor_check(service, service->inner);
    for (const struct method *row = service->methods; row->name != NULL; row++) {
        if (descriptor_of(service, row->name) == NULL)
            table_is_wrong(descriptor->name, row->name, "is in no .proto");
        if (row_find(service->methods, row->name) != row)
            table_is_wrong(descriptor->name, row->name, "has two rows");
        if (row->op_bytes < sizeof(struct op) || row->decode == NULL || row->encode == NULL)
            table_is_wrong(descriptor->name, row->name, "the row is not complete");
    }
}

static void
route_add(struct rpc_server *server, const struct rpc_service *service, const char *method,
          struct rpc_route route)
{
    const ProtobufCServiceDescriptor *descriptor = descriptor_of(service, method);
    size_t bytes = strlen(descriptor->name) + strlen(method) + 3;
    char *path = memory_take(bytes);

    snprintf(path, bytes, "/%s/%s", descriptor->name, method);
    route.name = path + 1;
    route.input = descriptor_find(descriptor, method)->input;
    route.service = service;
    route.service_name = descriptor->name;
    route.registered = grpc_server_register_method(server->grpc, path, NULL,
                                                   GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
    if (route.registered == NULL)
        table_is_wrong(descriptor->name, method, "is there twice");
    server->routes[server->route_count++] = route;
}

static int
route_compare(const void *a, const void *b)
{
    return strcmp(((const struct rpc_route *)a)->name, ((const struct rpc_route *)b)->name);
}

const struct rpc_route *
rpc_route_find(const struct rpc_server *server, const char *name)
{
    struct rpc_route key = { .name = name };

    return bsearch(&key, server->routes, server->route_count, sizeof key, route_compare);
}

const char *
rpc_route_service(const struct rpc_route *route)
{
    return route == NULL ? NULL : route->service_name;
}

static void
name_add(struct rpc_server *server, const char *name)
{
    server->service_names[server->service_name_count++] = name;
}

static void
own_routes_add(struct rpc_server *server, const struct rpc_service *service)
{
    bool serves_inner = server->options.serves_inner && service->inner != NULL;

    table_check(service);
    name_add(server, service->descriptor->name);
    if (serves_inner)
        name_add(server, service->inner->name);
    for (const struct method *row = service->methods; row->name != NULL; row++) {
        if (serves_inner || descriptor_of(service, row->name) == service->descriptor)
            route_add(server, service, row->name,
                      (struct rpc_route){ .method = row, .take = rpc_unary_take, .is_own = true });
    }
}

static void
routes_make(struct rpc_server *server)
{
    static const struct rpc_service batch = { .descriptor =
                                                  &sagamesh__batch__v1__batch_service__descriptor };
    const struct rpc_server_options *options = &server->options;
    size_t count = RPC_HEALTH_METHODS + 2; /* and Now, and the envelope */

    for (size_t i = 0; i < options->service_count; i++) {
        count += options->services[i].descriptor->n_methods;
        if (options->serves_inner && options->services[i].inner != NULL)
            count += options->services[i].inner->n_methods;
    }
    server->routes = memory_take(count * sizeof *server->routes);
    server->service_names = memory_take((2 * options->service_count + 5) * sizeof(char *));
    for (size_t i = 0; i < options->service_count; i++)
        own_routes_add(server, &options->services[i]);
    server->health_service =
        (struct rpc_service){ .descriptor = &grpc__health__v1__health__descriptor,
                              .submit = rpc_health_submit,
                              .owner = server };
    for (const struct method *method = rpc_health_methods; method->name != NULL; method++)
        route_add(server, &server->health_service, method->name,
                  (struct rpc_route){ .method = method, .take = rpc_unary_take });
    route_add(server, &rpc_clock_service, "Now",
              (struct rpc_route){ .method = rpc_clock_service.methods, .take = rpc_unary_take });
    route_add(server, &batch, "Call", (struct rpc_route){ .take = rpc_envelope_take });
    name_add(server, grpc__health__v1__health__descriptor.name);
    name_add(server, grpc__reflection__v1__server_reflection__descriptor.name);
    name_add(server, grpc__reflection__v1alpha__server_reflection__descriptor.name);
    name_add(server, batch.descriptor->name);
    name_add(server, rpc_clock_service.descriptor->name);
    assert(server->route_count == count);
    qsort(server->routes, server->route_count, sizeof *server->routes, route_compare);
}

/* Once the routes are sorted: their places are the gate's. */
static void
gate_open(struct rpc_server *server)
{
    const struct rpc_server_options *options = &server->options;

    server->gated_methods = memory_take(server->route_count * sizeof(char *));
    for (size_t i = 0; i < server->route_count; i++)
        server->gated_methods[i] = server->routes[i].name;
    server->gate = rpc_gate_open(&(struct rpc_gate_options){ .policies = options->policies,
                                                             .metrics = options->metrics,
                                                             .listener = options->listener,
                                                             .methods = server->gated_methods,
                                                             .method_count = server->route_count });
}

bool
rpc_server_enter(struct rpc_server *server, struct problem *problem)
{
    bool is_stopping, is_full;

    pthread_mutex_lock(&server->lock);
    is_stopping = server->is_stopping;
    is_full = server->in_flight >= server->options.calls_max;
    if (!is_stopping && !is_full)
        server->in_flight++;
    pthread_mutex_unlock(&server->lock);
    if (is_stopping) {
        problem_set(problem, ERR_STOPPING, NULL, "%s", error_text(ERR_STOPPING));
    } else if (is_full) {
        atomic_fetch_add_explicit(&server->busy, 1, memory_order_relaxed);
        problem_set(problem, ERR_BUSY, NULL, "%zu calls are in flight, no more are taken",
                    server->options.calls_max);
    }
    return !is_stopping && !is_full;
}

/* Whoever sees the count reach 0 may free the server: it is not touched after the unlock. */
void
rpc_server_leave(struct rpc_server *server)
{
    pthread_mutex_lock(&server->lock);
    assert(server->in_flight > 0);
    if (--server->in_flight == 0 && server->is_stopping)
        pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

static void *
serve(void *data)
{
    struct rpc_server *server = data;

    for (;;) {
        grpc_event event =
            grpc_completion_queue_next(server->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        struct rpc_tag *tag = event.tag;

        if (event.type == GRPC_QUEUE_SHUTDOWN)
            return NULL;
        assert(event.type == GRPC_OP_COMPLETE);
        tag->run(tag->owner, event.success != 0);
        /* The library aborts when a batch starts on a queue that was shut down, so the queue goes
         * last. */
        if (server->is_shut && server->outstanding == 0)
            grpc_completion_queue_shutdown(server->queue);
    }
}

static void
lock_make(struct rpc_server *server)
{
    pthread_condattr_t attributes;

    pthread_mutex_init(&server->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&server->changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

/* The acceptor's thread: a connection that has just come, and need not have said anything yet. */
static void
connection_take(void *owner, int fd)
{
    struct rpc_server *server = owner;

    if (server->handler != NULL)
        rpc_tls_take(server->handler, fd);
    else
        grpc_server_add_channel_from_fd(server->grpc, fd, server->credentials);
}

static enum error
server_bind(struct rpc_server *server)
{
    const struct rpc_acceptor_options options = { .listen = server->options.listen,
                                                  .leaves_room = server->options.leaves_room,
                                                  .take = connection_take,
                                                  .owner = server };
    enum error error = rpc_acceptor_open(&options, &server->acceptor);

    if (error == ERR_OK)
        server->port = rpc_acceptor_port(server->acceptor);
    return error;
}

static void
server_shut(void *owner, bool is_ok)
{
    struct rpc_server *server = owner;

    (void)is_ok;
    pthread_mutex_lock(&server->lock);
    server->is_shut = true;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

static void
server_start(struct rpc_server *server)
{
    grpc_server_start(server->grpc);
    for (size_t i = 0; i < server->route_count; i++) {
        for (int slot = 0; slot < RPC_SLOTS; slot++)
            rpc_unary_request(server, &server->routes[i]);
    }
    rpc_stream_request(server);
    thread_start(&server->thread, serve, server);
    rpc_acceptor_start(server->acceptor);
}

/* The core's side: nothing can come before the acceptor starts. */
static void
core_open(struct rpc_server *server)
{
    enum { COUNT = sizeof arguments / sizeof arguments[0] };
    int64_t age_ms = server->options.connection_age_ms;
    grpc_arg all[COUNT + 1];
    grpc_channel_args list = { COUNT - 1,
                               all }; /* the last one is the age, for those who have one */

    memcpy(all, arguments, sizeof arguments);
    if (age_ms > 0) {
        all[COUNT - 1].value.integer = age_ms > INT32_MAX ? INT32_MAX : (int)age_ms;
        list.num_args = COUNT;
    }
    if (rpc_tls_is_on())
        rpc_tls_argument(&server->handler, &all[list.num_args++]);
    server->queue = grpc_completion_queue_create_for_next(NULL);
    server->grpc = grpc_server_create(&list, NULL);
    grpc_server_register_completion_queue(server->grpc, server->queue, NULL);
    server->credentials = rpc_tls_server_credentials();
    if (rpc_tls_is_on()) {
        grpc_server_add_http2_port(server->grpc, RPC_TLS_PORT, server->credentials);
        assert(server->handler != NULL);
    }
}

enum error
rpc_server_open(const struct rpc_server_options *options, struct rpc_server **ret_server)
{
    struct rpc_server *server = memory_take(sizeof *server);
    enum error error;

    assert(options->calls_max > 0);
    rpc_library_open();
    server->options = *options;
    lock_make(server);
    core_open(server);
    server->shutdown_tag = (struct rpc_tag){ server_shut, server };
    server->reflection = rpc_reflection_open();
    routes_make(server);
    gate_open(server);
    error = server_bind(server);
    if (error != ERR_OK) {
        server->is_stopping = true;
        rpc_server_close(server);
        return error;
    }
    rpc_server_metrics_open(server);
    server_start(server);
    *ret_server = server;
    return ERR_OK;
}

int
rpc_server_port(const struct rpc_server *server)
{
    return server->port;
}

enum error
rpc_server_probe(const struct rpc_server *server, int wait_ms)
{
    return rpc_acceptor_probe(server->acceptor, wait_ms);
}

/* Who watches health is told. Under the lock. */
static void
tell_watchers(struct rpc_server *server)
{
    for (struct rpc_stream *stream = server->streams; stream != NULL; stream = stream->next)
        rpc_stream_pump(stream);
}

void
rpc_server_set_serving(struct rpc_server *server, bool is_serving)
{
    pthread_mutex_lock(&server->lock);
    server->is_serving = is_serving;
    tell_watchers(server);
    pthread_mutex_unlock(&server->lock);
}

void
rpc_server_set_part(struct rpc_server *server, const char *part, bool is_well)
{
    size_t i = 0;

    pthread_mutex_lock(&server->lock);
    while (i < server->part_count && strcmp(server->parts[i].name, part) != 0)
        i++;
    assert(i < RPC_PARTS_MAX);
    if (i == server->part_count || server->parts[i].is_well != is_well) {
        server->part_count += i == server->part_count;
        server->parts[i].name = part;
        server->parts[i].is_well = is_well;
        tell_watchers(server);
    }
    pthread_mutex_unlock(&server->lock);
}

/* Waits under the lock until nothing is in flight (and, if asked, the ports are shut). False: the
 * time was over first. */
static bool
wait_until_idle(struct rpc_server *server, bool must_be_shut, int64_t until_us)
{
    struct timespec at = { .tv_sec = (time_t)(until_us / SECOND_US),
                           .tv_nsec = (long)(until_us % SECOND_US * 1000) };
    bool is_idle, has_time = true;

    pthread_mutex_lock(&server->lock);
    for (;;) {
        is_idle = server->in_flight == 0 && (!must_be_shut || server->is_shut);
        if (is_idle || !has_time)
            break;
        has_time = pthread_cond_timedwait(&server->changed, &server->lock, &at) == 0;
    }
    pthread_mutex_unlock(&server->lock);
    return is_idle;
}

/* An idle client that does not look at its connection hears of nothing, and would have us wait for
 * it; it is not worth the time that its servers are away. */
static int64_t
close_until_us(int64_t until_us)
{
    int64_t close_us = clock_steady_us() + IDLE_CLOSE_US;

    return close_us < until_us ? close_us : until_us;
}

void
rpc_server_stop(struct rpc_server *server, int grace_ms)
{
    int64_t until_us = clock_steady_us() + (int64_t)grace_ms * 1000;
    bool is_idle;
    size_t left;

    pthread_mutex_lock(&server->lock);
    assert(!server->is_stopping);
    server->is_stopping = true;
    pthread_mutex_unlock(&server->lock);
    rpc_server_metrics_close(server);
    rpc_server_set_serving(server, false);
    is_idle = wait_until_idle(server, false, until_us);
    rpc_streams_stop(server);
    server->acceptor = rpc_acceptor_close(server->acceptor);
    grpc_server_shutdown_and_notify(server->grpc, server->queue, &server->shutdown_tag);
    if (wait_until_idle(server, true, is_idle ? close_until_us(until_us) : until_us))
        return;
    pthread_mutex_lock(&server->lock);
    left = server->in_flight;
    pthread_mutex_unlock(&server->lock);
    if (left > 0)
        log_warn("event=CALLS_CANCELLED in_flight=%zu grace_ms=%d because=\"not answered in time\"",
                 left, grace_ms);
    grpc_server_cancel_all_calls(server->grpc);
}

/* A server that never had its port has no thread either: what shutting down gives back is read
 * here. */
static void
server_abandon(struct rpc_server *server)
{
    grpc_server_shutdown_and_notify(server->grpc, server->queue, &server->shutdown_tag);
    serve(server);
}

/* Each call was finished by its owner, and the server's thread gives the last of them back to the core now. */
struct rpc_server *
rpc_server_close(struct rpc_server *server)
{
    bool is_idle;

    if (server == NULL)
        return NULL;
    assert(server->is_stopping); /* rpc_server_stop() comes first */
    is_idle = wait_until_idle(server, false, clock_steady_us() + GIVE_BACK_US);
    assert(is_idle);
    (void)is_idle;
    if (server->port != 0)
        pthread_join(server->thread, NULL);
    else
        server_abandon(server);
    assert(server->streams == NULL);
    grpc_server_destroy(server->grpc);
    grpc_server_credentials_release(server->credentials);
    grpc_completion_queue_destroy(server->queue);
    rpc_unary_pool_free(server);
    rpc_item_pool_free(server);
    rpc_reflection_close(server->reflection);
    rpc_gate_close(server->gate);
    free(server->gated_methods);
    for (size_t i = 0; i < server->route_count; i++) {
        free((char *)(uintptr_t)(server->routes[i].name - 1));
        free(server->routes[i].durations);
    }
    free(server->routes);
    free(server->service_names);
    pthread_cond_destroy(&server->changed);
    pthread_mutex_destroy(&server->lock);
    free(server);
    rpc_library_close();
    return NULL;
}
