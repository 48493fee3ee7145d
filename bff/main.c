/* main.c -- bff: HTTP for frontends on one port, webhooks of providers on another (bff.h).
 *
 * It holds nothing that could be lost: the services do, before a 2xx leaves.
 */
#include "bff/bff_observe.h"
#include "bff/bff_routes.h"
#include "bff/bff_watch.h"
#include "mesh/base/clock.h"
#include "mesh/base/current.h"
#include "mesh/base/descriptor.h"
#include "mesh/base/log.h"
#include "mesh/http/health.h"
#include "mesh/http/https.h"
#include "mesh/http/info.h"
#include "mesh/observe/file_watch.h"
#include "mesh/observe/key_age.h"
#include "mesh/program.h"
#include "mesh/rpc/client.h"
#include "mesh/rpc/tls.h"

#define CLOCK_BEGIN_US SECOND_US /* for the services to say what the time is; ids are made by it */

enum { WAITING_MAX = 1 << 16, ENVELOPES_MAX = 4, PORTS = 2 };

struct settings {
    const char *listen, *webhook_listen, *jwks, *issuer, *audience;
    const char *addresses[BFF_SERVICE_COUNT];
    int64_t connections_max, place_wait_ms;
    size_t share_max; /* of the descriptors, for each port; 0: there are enough */
};

struct life {
    struct settings settings;
    struct rpc_tls_settings tls;
    struct https_settings https_settings;
    struct https *https;      /* of both ports; NULL: plain */
    struct file_watch *files; /* of the process */
    struct bff bff;
};

/* The flags that say where the services are. */
static const char *const flags[BFF_SERVICE_COUNT] = {
    [BFF_ORDER] = "order", [BFF_STORAGE] = "storage", [BFF_ACCOUNT] = "account", [BFF_SAGA] = "saga"
};

/* clang-format off */
static const struct config_key keys[] = {
    { "listen",          CONFIG_TEXT, "127.0.0.1:0", 0, 0,       "address and port for HTTP; port 0 picks one", offsetof(struct settings, listen) },
    { "webhook-listen",  CONFIG_TEXT, "127.0.0.1:0", 0, 0,       "address and port for providers' webhooks", offsetof(struct settings, webhook_listen) },
    { "jwks",            CONFIG_TEXT, NULL,          0, 0,       "file with the JWK set that tokens are checked by", offsetof(struct settings, jwks) },
    { "token-issuer",    CONFIG_TEXT, "",            0, 0,       "what a token's iss must be; empty: anything", offsetof(struct settings, issuer) },
    { "token-audience",  CONFIG_TEXT, "",            0, 0,       "what a token's aud must have; empty: anything", offsetof(struct settings, audience) },
    { "order",           CONFIG_TEXT, NULL,          0, 0,       "where order-svc is: host:port, several with commas, or dns:///name:port", offsetof(struct settings, addresses[BFF_ORDER]) },
    { "storage",         CONFIG_TEXT, NULL,          0, 0,       "the same of storage-svc", offsetof(struct settings, addresses[BFF_STORAGE]) },
    { "account",         CONFIG_TEXT, NULL,          0, 0,       "the same of account-svc", offsetof(struct settings, addresses[BFF_ACCOUNT]) },
    { "saga",            CONFIG_TEXT, NULL,          0, 0,       "the same of saga-svc", offsetof(struct settings, addresses[BFF_SAGA]) },
    { "connections-max", CONFIG_INT,  "10000",       1, 1 << 20, "connections of each port; one more is 503", offsetof(struct settings, connections_max) },
    { "place-wait-ms",   CONFIG_INT,  "2000",        0, 20000,   "milliseconds after which an order is answered 202 that has come to nothing yet", offsetof(struct settings, place_wait_ms) },
    { 0 },
};
/* clang-format on */

static enum error
open_clients(struct bff *bff, const struct settings *settings)
{
    enum error error = ERR_OK;

    for (int i = 0; error == ERR_OK && i < BFF_SERVICE_COUNT; i++) {
        struct rpc_client_options options = { .target = settings->addresses[i],
                                              .flag = flags[i],
                                              .is_mesh = true,
                                              .metrics = bff->metrics,
                                              .waiting_max = WAITING_MAX,
                                              .envelopes_max = ENVELOPES_MAX };

        error = rpc_client_open(&options, &bff->clients[i]);
    }
    return error;
}

static enum error
open_server(const struct bff *bff, const struct settings *settings, const char *name,
            const char *listen, const struct bff_tables *tables, struct https *https,
            struct http_server **ret_server)
{
    struct http_server_options options = { .listen = listen,
                                           .tables = tables->of,
                                           .metrics = bff->metrics,
                                           .name = name,
                                           .https = https,
                                           .has_gzip = true,
                                           .connections_max = (size_t)settings->connections_max,
                                           .share_max = settings->share_max };

    return http_server_open(&options, ret_server);
}

static enum error
open_servers(struct bff *bff, const struct settings *settings, struct https *https)
{
    struct bff_tables api = bff_api_tables(bff), webhooks = bff_webhook_tables(bff);
    enum error error = open_server(bff, settings, "webhooks", settings->webhook_listen, &webhooks,
                                   https, &bff->webhooks);

    if (error == ERR_OK)
        error = open_server(bff, settings, "api", settings->listen, &api, https, &bff->server);
    return error;
}

static bool
is_time_sure(void *owner)
{
    return clock_watch_is_compared(owner);
}

/* A file_owner's read(): another set of keys is looked at from the next request on. */
static enum error
read_auth(void *owner, struct file_reads *reads, struct problem *problem)
{
    struct life *life = owner;
    const struct settings *settings = &life->settings;
    struct auth *auth;

    if (auth_open_file(settings->jwks, reads, problem, &auth) != ERR_OK)
        return problem->error;
    key_age_show(life->bff.metrics, settings->jwks);
    auth_expect(auth, settings->issuer, settings->audience);
    current_set(life->bff.auths, auth);
    return ERR_OK;
}

static enum error
open_auth(struct life *life)
{
    life->bff.auths = current_new(auth_free_value);
    return file_watch_add(life->files, &(struct file_owner){ .name = "jwks",
                                                             .path = life->settings.jwks,
                                                             .read = read_auth,
                                                             .owner = life });
}

static enum error
open_parts(struct life *life)
{
    struct bff *bff = &life->bff;
    const struct settings *settings = &life->settings;
    enum error error = open_auth(life);

    if (error == ERR_OK)
        error = clock_watch_open(settings->addresses, BFF_SERVICE_COUNT, &bff->clock);
    if (error != ERR_OK)
        return error;
    bff->gate = (struct auth_gate){ bff->auths, is_time_sure, bff->clock };
    bff->watchers = watchers_new();
    clock_watch_begin(bff->clock, CLOCK_BEGIN_US);
    error = open_clients(bff, settings);
    if (error != ERR_OK)
        return error;
    observe_open(bff);
    return open_servers(bff, settings, life->https);
}

static void
close_parts(struct life *life, int drain_ms)
{
    struct bff *bff = &life->bff;

    file_watch_remove(life->files, life);
    if (bff->server != NULL)
        http_server_stop(bff->server, drain_ms);
    if (bff->webhooks != NULL)
        http_server_stop(bff->webhooks, drain_ms);
    bff->server = http_server_close(bff->server);
    bff->webhooks = http_server_close(bff->webhooks);
    if (bff->clock != NULL)
        observe_close(bff);
    for (int i = 0; i < BFF_SERVICE_COUNT; i++)
        bff->clients[i] = rpc_client_close(bff->clients[i]);
    bff->clock = clock_watch_close(bff->clock);
    bff->watchers = watchers_free(bff->watchers);
    bff->auths = current_free(bff->auths);
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

/* For /info. */
static void
show_peers(struct info *info, const struct settings *settings)
{
    for (int i = 0; i < BFF_SERVICE_COUNT; i++)
        info_add(info, "talks_to", observe_names[i], settings->addresses[i]);
}

/* ---- the program ---- */

static void
close_tls(struct life *life)
{
    life->https = https_close(life->https);
    rpc_tls_close();
}

static enum error
open_all(void *owner, const struct ops *ops)
{
    struct life *life = owner;
    enum error error;

    raise_file_limit(&life->settings);
    life->bff.metrics = ops->metrics;
    life->files = ops->files;
    life->bff.health = ops->health;
    life->bff.actuator = ops->actuator;
    show_peers(ops->info, &life->settings);
    life->bff.place_wait_ms = life->settings.place_wait_ms;
    /* Before the first client, which connects with it. */
    error = rpc_tls_open(&life->tls, ops->metrics, ops->files);
    if (error != ERR_OK)
        return error;
    error = https_open(&life->https_settings, ops->metrics, ops->files, &life->https);
    if (error == ERR_OK)
        error = open_parts(life);
    if (error != ERR_OK) {
        health_stop(ops->health); /* /readyz looks at no part any more */
        close_parts(life, 0);
        close_tls(life);
    }
    if (error == ERR_OK)
        log_info("serving=yes port=%d webhook_port=%d", http_server_port(life->bff.server),
                 http_server_port(life->bff.webhooks));
    return error;
}

static bool
is_ready(void *owner, int ret_ports[PROGRAM_PORTS_MAX])
{
    const struct bff *bff = &((struct life *)owner)->bff;

    ret_ports[0] = http_server_port(bff->server);
    ret_ports[1] = http_server_port(bff->webhooks);
    return true;
}

static void
tick(void *owner)
{
    observe_ask(&((struct life *)owner)->bff);
}

static void
close_all(void *owner, int drain_ms)
{
    struct life *life = owner;

    close_parts(life, drain_ms);
    close_tls(life);
}

int
main(int argc, char **argv)
{
    struct life life = { 0 };
    const struct config_table tables[] = { { keys, &life.settings },
                                           { rpc_tls_keys, &life.tls },
                                           { https_keys, &life.https_settings },
                                           { 0 } };
    const struct program program = {
        .name = "bff",
        .usage = "bff: HTTP for frontends and webhooks of payment providers",
        .tables = tables,
        .unready_ms = "1500",
        .drain_ms = "5000",
        .has_actuator = true,
        .owner = &life,
        .open = open_all,
        .is_ready = is_ready,
        .tick = tick,
        .close = close_all,
    };

    return program_main(argc, argv, &program);
}
