/* main.c -- bff: HTTP for frontends on one port, webhooks of providers on another.
 *
 *     bff_routes.c    what can be asked        bff_job.c       one request at work
 *     bff_place.c     placing an order         bff_orders.c    orders that there are
 *     bff_products.c, bff_wallets.c            bff_webhook.c   what providers say
 *     bff_auth.c      who is asking            bff_body.c      JSON, strictly
 *     bff_problem.c   failures as HTTP has them
 *     bff_health.c, bff_metrics.c, bff_openapi.c, bff_watch.c
 *
 * It holds nothing that could be lost: the services do, before a 2xx leaves.
 */
#include "bff/bff.h"
#include "mesh/base/clock.h"
#include "mesh/base/config.h"
#include "mesh/base/descriptor.h"
#include "mesh/base/log.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#define CLOCK_BEGIN_US SECOND_US /* for the services to say what the time is; ids are made by it */

enum { WAITING_MAX = 1 << 16, ENVELOPES_MAX = 4, PROBE_SECONDS = 1, PORTS = 2 };

struct settings {
    const char *listen, *webhook_listen, *ready_file, *jwks, *issuer, *audience;
    const char *addresses[BFF_SERVICE_COUNT];
    int64_t connections_max, place_wait_ms, unready_ms, drain_ms;
    size_t share_max; /* of the descriptors, for each port; 0: there are enough */
    bool debug;
};

/* clang-format off */
static const struct config_key keys[] = {
    { "listen",          CONFIG_TEXT, "127.0.0.1:0", 0, 0,       "address and port for HTTP; port 0 picks one", offsetof(struct settings, listen) },
    { "webhook-listen",  CONFIG_TEXT, "127.0.0.1:0", 0, 0,       "address and port for providers' webhooks", offsetof(struct settings, webhook_listen) },
    { "ready-file",      CONFIG_TEXT, "",            0, 0,       "file to write the ports into once it listens", offsetof(struct settings, ready_file) },
    { "jwks",            CONFIG_TEXT, NULL,          0, 0,       "file with the JWK set that tokens are checked by", offsetof(struct settings, jwks) },
    { "token-issuer",    CONFIG_TEXT, "",            0, 0,       "what a token's iss must be; empty: anything", offsetof(struct settings, issuer) },
    { "token-audience",  CONFIG_TEXT, "",            0, 0,       "what a token's aud must have; empty: anything", offsetof(struct settings, audience) },
    { "order",           CONFIG_TEXT, NULL,          0, 0,       "address of order-svc", offsetof(struct settings, addresses[BFF_ORDER]) },
    { "storage",         CONFIG_TEXT, NULL,          0, 0,       "address of storage-svc", offsetof(struct settings, addresses[BFF_STORAGE]) },
    { "account",         CONFIG_TEXT, NULL,          0, 0,       "address of account-svc", offsetof(struct settings, addresses[BFF_ACCOUNT]) },
    { "saga",            CONFIG_TEXT, NULL,          0, 0,       "address of saga-svc", offsetof(struct settings, addresses[BFF_SAGA]) },
    { "connections-max", CONFIG_INT,  "10000",       1, 1 << 20, "connections of each port; one more is 503", offsetof(struct settings, connections_max) },
    { "place-wait-ms",   CONFIG_INT,  "2000",        0, 20000,   "milliseconds after which an order is answered 202 that has come to nothing yet", offsetof(struct settings, place_wait_ms) },
    { "unready-ms",      CONFIG_INT,  "1500",        0, 600000,  "milliseconds after SIGTERM in which /readyz is 503 and all else goes on, so that nobody is sent here any more", offsetof(struct settings, unready_ms) },
    { "drain-ms",        CONFIG_INT,  "5000",        0, 600000,  "milliseconds after that for requests in flight to end", offsetof(struct settings, drain_ms) },
    { "debug",           CONFIG_FLAG, NULL,          0, 0,       "log more", offsetof(struct settings, debug) },
    { 0 },
};
/* clang-format on */

static enum error
open_clients(struct bff *bff, const struct settings *settings)
{
    enum error error = ERR_OK;

    for (int i = 0; error == ERR_OK && i < BFF_SERVICE_COUNT; i++) {
        struct rpc_client_options options = { .address = settings->addresses[i],
                                              .is_mesh = true,
                                              .waiting_max = WAITING_MAX,
                                              .envelopes_max = ENVELOPES_MAX };

        error = rpc_client_open(&options, &bff->clients[i]);
    }
    return error;
}

static enum error
open_server(struct bff *bff, const struct settings *settings, const char *listen,
            const struct http_route *routes, struct http_server **ret_server)
{
    struct http_server_options options = { .listen = listen,
                                           .routes = routes,
                                           .owner = bff,
                                           .connections_max = (size_t)settings->connections_max,
                                           .share_max = settings->share_max };

    return http_server_open(&options, ret_server);
}

static enum error
open_parts(struct bff *bff, const struct settings *settings)
{
    struct problem problem;
    enum error error = auth_open_file(settings->jwks, &problem, &bff->auth);

    if (error != ERR_OK) {
        log_error("jwks=%s field=%s because=\"%s\"", settings->jwks, problem.field, problem.text);
        return error;
    }
    auth_expect(bff->auth, settings->issuer, settings->audience);
    bff->metrics = metrics_new();
    bff->watchers = watchers_new();
    error = clock_watch_open(settings->addresses, BFF_SERVICE_COUNT, &bff->clock);
    if (error == ERR_OK) {
        clock_watch_begin(bff->clock, CLOCK_BEGIN_US);
        error = open_clients(bff, settings);
    }
    if (error == ERR_OK)
        error = open_server(bff, settings, settings->webhook_listen, bff_webhook_routes,
                            &bff->webhooks);
    if (error == ERR_OK)
        error = open_server(bff, settings, settings->listen, bff_routes, &bff->server);
    return error;
}

/* Whoever asks /readyz learns it before the ports close. A second signal ends the wait. */
static void
say_unready(struct bff *bff, const struct settings *settings, const sigset_t *signals)
{
    const struct timespec pause = { .tv_sec = settings->unready_ms / 1000,
                                    .tv_nsec = settings->unready_ms % 1000 * 1000000 };

    log_info("stopping=yes unready_ms=%lld drain_ms=%lld", (long long)settings->unready_ms,
             (long long)settings->drain_ms);
    atomic_store(&bff->is_stopping, true);
    sigtimedwait(signals, NULL, &pause);
}

static void
close_parts(struct bff *bff, const struct settings *settings)
{
    http_server_stop(bff->server, (int)settings->drain_ms);
    http_server_stop(bff->webhooks, (int)settings->drain_ms);
    bff->server = http_server_close(bff->server);
    bff->webhooks = http_server_close(bff->webhooks);
    for (int i = 0; i < BFF_SERVICE_COUNT; i++)
        bff->clients[i] = rpc_client_close(bff->clients[i]);
    bff->clock = clock_watch_close(bff->clock);
    bff->watchers = watchers_free(bff->watchers);
    bff->metrics = metrics_free(bff->metrics);
    bff->auth = auth_free(bff->auth);
}

/* A connection is a descriptor: the usual soft limit is 1,024 of them. */
static void
raise_file_limit(struct settings *settings)
{
    size_t wanted = PORTS * (size_t)settings->connections_max + DESCRIPTORS_RESERVE_MAX;
    size_t files_max = descriptors_raise(wanted);

    if (files_max >= wanted)
        return;
    settings->share_max = descriptors_share(files_max, PORTS);
    log_warn("connections_max=%lld files_max=%zu share_max=%zu because=\"fewer files than "
             "connections of both ports: each has its share\"",
             (long long)settings->connections_max, files_max, settings->share_max);
}

static void
write_ready_file(const struct bff *bff, const char *path)
{
    char temporary[4096];
    FILE *file;

    if (path[0] == '\0')
        return;
    snprintf(temporary, sizeof temporary, "%s.new", path);
    file = fopen(temporary, "w");
    if (file == NULL ||
        fprintf(file, "%d %d\n", http_server_port(bff->server), http_server_port(bff->webhooks)) <
            0 ||
        fclose(file) != 0 || rename(temporary, path) != 0)
        log_error("ready_file=%s because=\"cannot be written\"", path);
}

/* Until SIGTERM or SIGINT. */
static void
run(struct bff *bff, const sigset_t *signals)
{
    const struct timespec pause = { .tv_sec = PROBE_SECONDS };
    int signal_number;

    do {
        health_probe(bff);
        log_say_left_out();
        signal_number = sigtimedwait(signals, NULL, &pause);
    } while (signal_number != SIGTERM && signal_number != SIGINT);
}

int
main(int argc, char **argv)
{
    static struct settings settings;
    static struct bff bff;
    const struct config_table table = { keys, &settings };
    sigset_t signals;

    if (config_read(argc, argv, "bff: HTTP for frontends and webhooks of payment providers", &table,
                    1) != 0) {
        fprintf(stderr, "bff: '%s' is no flag (--help lists the flags)\n", argv[0]);
        return 2;
    }
    log_open("bff", settings.debug ? LOG_DEBUG : LOG_INFO);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL); /* before any thread starts */
    signal(SIGPIPE, SIG_IGN);
    raise_file_limit(&settings);
    bff.place_wait_ms = settings.place_wait_ms;
    if (open_parts(&bff, &settings) != ERR_OK)
        return 1;
    log_info("serving=yes port=%d webhook_port=%d", http_server_port(bff.server),
             http_server_port(bff.webhooks));
    write_ready_file(&bff, settings.ready_file);
    run(&bff, &signals);
    say_unready(&bff, &settings, &signals);
    close_parts(&bff, &settings);
    return 0;
}
