/* Opening goes from what others stand on to what clients see, closing the other way round. */
#include "mesh/service.h"

#include "mesh/audit.h"
#include "mesh/base/clock.h"
#include "mesh/base/log.h"
#include "mesh/http/health.h"
#include "mesh/http/info.h"
#include "mesh/rpc/clock_metrics.h"
#include "mesh/rpc/clock_watch.h"
#include "mesh/rpc/policy_load.h"
#include "mesh/rpc/server.h"
#include "mesh/rpc/tls.h"
#include "mesh/service_health.h"
#include "mesh/store/conninfo.h"
#include "mesh/store/store_clock.h"
#include "mesh/store/write_health.h"

#include "sagamesh/audit/v1/audit_service.pb-c.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CLOCK_BEGIN_US (SECOND_US / 2) /* for peers to answer, who may begin just now themselves */

struct service {
    const struct service_spec *spec;
    struct service_settings settings;
    struct ops ops;
    struct rpc_service rpcs[2 + SERVICE_ALSO_MAX]; /* the server keeps pointing to them */
    size_t rpc_count;
    struct rpc_policy_source policy; /* of zeros: all may call all */
    /* Those of all gRPC services together. */
    const struct read *reads;
    const struct pg_statement **statements;
    const struct pg_statement **all_statements;  /* with those of keeper, health and audit */
    struct rpc_server *servers[SERVICE_SERVERS]; /* NULL: no descriptor; no inner port */
    struct batch *batch;
    struct reader *reader;
    struct relay *relay;         /* NULL: no events, or no Kafka */
    struct write_health *writes; /* NULL: no database */
    struct audit *audit;         /* NULL: there is nothing to recompute */
    struct clock_watch *clock;
    const struct asked_row *asked[KEEPER_ASKED_MAX];
    struct keeper *keeper; /* NULL: no database */
    struct service_health *health;
    bool is_started, is_open;
};

struct batch *
service_batch(struct service *service)
{
    return service->batch;
}

struct reader *
service_reader(struct service *service)
{
    return service->reader;
}

const char *
service_database(const struct service *service)
{
    return service->settings.database;
}

const struct ops *
service_ops(const struct service *service)
{
    return &service->ops;
}

const char *
service_kafka(const struct service *service)
{
    return service->settings.kafka;
}

void
service_tell_written(void *service, bool is_written)
{
    write_health_tell(((struct service *)service)->writes, is_written);
}

bool
service_was_up(const struct service *service)
{
    return service_health_was_up(service->health);
}

int
service_port(const struct service *service)
{
    return service->servers[0] == NULL ? 0 : rpc_server_port(service->servers[0]);
}

int
service_inner_port(const struct service *service)
{
    return service->servers[1] == NULL ? 0 : rpc_server_port(service->servers[1]);
}

const char *
service_inner_listen(const struct service *service)
{
    return service->settings.inner_listen == NULL ? "" : service->settings.inner_listen;
}

bool
service_has_kafka(const struct service_spec *spec)
{
    return spec->routes != NULL;
}

bool
service_has_inner(const struct service_spec *spec)
{
    const struct service_also *also = spec->also;

    while (also != NULL && also->descriptor != NULL && also->inner == NULL)
        also++;
    return spec->inner != NULL || (also != NULL && also->descriptor != NULL);
}

static bool
is_up(void *owner)
{
    return service_health_is_up(((struct service *)owner)->health);
}

/* ---- what the gRPC services have, joined ---- */

static void
submit(void *context, struct call *call)
{
    struct service *service = context;

    if (call->method->decide != NULL)
        batch_submit(service->batch, call);
    else
        reader_submit(service->reader, call);
}

static void
news(void *owner)
{
    relay_wake(((struct service *)owner)->relay);
}

/* A defect of the tables that main.c hands over: said with its name before the end. */
_Noreturn static void
table_is_wrong(const char *method, const char *rule)
{
    log_error("event=METHOD_TABLE_WRONG method=%s because=\"%s\"", method, rule);
    abort();
}

static void
check_reads(const struct method *methods, const struct read *reads)
{
    for (const struct method *method = methods; method->name != NULL; method++) {
        const struct read *read = reads;

        while (read->name != NULL && strcmp(read->name, method->name) != 0)
            read++;
        if ((method->decide != NULL) == (read->name != NULL))
            table_is_wrong(method->name, method->decide != NULL
                                             ? "it is decided, and has a row of reads too"
                                             : "it is neither decided nor has a row of reads");
    }
}

/* The rows of two tables that each end with a row of zeros, as one such table. */
static void *
tables_join(const void *one, const void *two, size_t row_bytes)
{
    const char *tables[] = { one, two };
    static const char zeros[sizeof(struct read)];
    char *joined = NULL;
    size_t bytes = 0;

    assert(row_bytes <= sizeof zeros);
    for (size_t i = 0; i < 2; i++) {
        for (const char *row = tables[i]; row != NULL && memcmp(row, zeros, row_bytes) != 0;
             row += row_bytes) {
            joined = memory_grow(joined, bytes + 2 * row_bytes);
            memcpy(joined + bytes, row, row_bytes);
            bytes += row_bytes;
        }
    }
    joined = memory_grow(joined, bytes + row_bytes);
    memset(joined + bytes, 0, row_bytes);
    return joined;
}

static void
add_rpc(struct service *service, const ProtobufCServiceDescriptor *descriptor,
        const ProtobufCServiceDescriptor *inner, const struct method *methods)
{
    const struct service_spec *spec = service->spec;

    assert(service->rpc_count < sizeof service->rpcs / sizeof *service->rpcs);
    service->rpcs[service->rpc_count++] =
        (struct rpc_service){ .descriptor = descriptor,
                              .inner = inner,
                              .methods = methods,
                              .submit = spec->submit != NULL ? spec->submit : submit,
                              .owner = spec->submit != NULL ? spec->owner : service,
                              .op_owner = spec->owner };
}

/* All gRPC services of the program, their reads and statements. */
static void
join_services(struct service *service)
{
    const struct service_spec *spec = service->spec;
    const struct service_also *also = spec->also;

    if (spec->descriptor != NULL)
        add_rpc(service, spec->descriptor, spec->inner, spec->methods);
    service->reads =
        spec->reads == NULL ? NULL : tables_join(spec->reads, NULL, sizeof(struct read));
    service->statements = tables_join(spec->statements, NULL, sizeof(const struct pg_statement *));
    for (; also != NULL && also->descriptor != NULL; also++) {
        const void *reads = service->reads, *statements = service->statements;

        add_rpc(service, also->descriptor, also->inner, also->methods);
        service->reads = tables_join(reads, also->reads, sizeof(struct read));
        service->statements =
            tables_join(statements, also->statements, sizeof(const struct pg_statement *));
        free((void *)reads);
        free((void *)statements);
    }
    for (size_t i = 0; spec->submit == NULL && i < service->rpc_count; i++)
        check_reads(service->rpcs[i].methods, service->reads);
}

/* Adds those that are not there yet: a program's sweep may use a statement of its batch. */
static void
statements_add(const struct pg_statement **list, size_t *count,
               const struct pg_statement *const *more)
{
    for (; *more != NULL; more++) {
        size_t i = 0;

        while (i < *count && list[i] != *more)
            i++;
        if (i == *count)
            list[(*count)++] = *more;
    }
}

/* Numbers that only the database knows: what the program has of partitions and news, and its own. */
static void
choose_asked(struct service *service)
{
    const struct service_spec *spec = service->spec;

    service->asked[0] = spec->partitions == NULL ? NULL : asked_partitions;
    service->asked[1] = spec->routes == NULL ? NULL : asked_outbox;
    service->asked[2] = spec->asked;
}

/* What each connection of keeper and health prepares. The check is among it, so that a schema without it is
 * found now and not by the operator who begins one. */
static const struct pg_statement **
all_statements(const struct service *service)
{
    const struct pg_statement *const own[] = { &store_clock, service->spec->check, NULL };
    const struct pg_statement *const *lists[] = { service->statements, keeper_statements,
                                                  write_health_statements(service->writes), own };
    const struct pg_statement **list;
    size_t count = 0, most = 1;

    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        for (size_t j = 0; lists[i][j] != NULL; j++)
            most++;
    }
    for (size_t i = 0; i < KEEPER_ASKED_MAX; i++) {
        for (const struct asked_row *row = service->asked[i]; asked_is_row(row); row++)
            most++;
    }
    list = memory_take(most * sizeof *list);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        statements_add(list, &count, lists[i]);
    for (size_t i = 0; i < KEEPER_ASKED_MAX; i++) {
        for (const struct asked_row *row = service->asked[i]; asked_is_row(row); row++)
            statements_add(list, &count,
                           (const struct pg_statement *const[]){ row->statement, NULL });
    }
    return list;
}

/* ---- open ---- */

/* A database that does not fit is found before anything works on it. One that is away is looked at by the thread of
 * health, as soon as it is there. */
static enum error
open_schema(struct service *service)
{
    const struct service_spec *spec = service->spec;
    struct pg *pg;
    enum error error;

    if (spec->schema == NULL)
        return ERR_OK;
    pg = pg_new(service->settings.database, spec->name, NULL);
    error = schema_look(pg, spec->schema);
    pg_free(pg);
    return error == ERR_REFUSED ? error : ERR_OK;
}

/* Before anything goes by the time: the clocks of others, as far as they can be asked now. */
static enum error
open_clock(struct service *service)
{
    static const struct pg_statement *const statements[] = { &store_clock, NULL };
    const struct service_spec *spec = service->spec;
    const char *const peers[] = { service->settings.peers,
                                  spec->peers == NULL ? "" : *spec->peers };
    enum error error = clock_watch_open(peers, 2, &service->clock);

    if (error != ERR_OK)
        return error;
    if (service_has_database(spec)) {
        struct pg *pg = pg_new(service->settings.database, spec->name, statements);

        service_health_hear(pg, service->clock);
        pg_free(pg);
    }
    clock_watch_begin(service->clock, CLOCK_BEGIN_US);
    clock_metrics_open(service->ops.metrics, service->clock);
    return ERR_OK;
}

static void
open_audit(struct service *service)
{
    const struct service_spec *spec = service->spec;

    if (spec->check == NULL)
        return;
    service->audit = audit_open(service->settings.database, spec->name, spec->check);
    service->rpcs[service->rpc_count++] =
        (struct rpc_service){ .descriptor = &sagamesh__audit__v1__audit_service__descriptor,
                              .methods = audit_methods,
                              .submit = audit_submit,
                              .owner = service->audit };
}

/* Reader, relay and batch, in this order: the batch wakes the relay, and a committed() of the program's the
 * reader. */
static void
open_store(struct service *service)
{
    const struct service_spec *spec = service->spec;
    const struct service_settings *settings = &service->settings;
    const struct reader_options reader = { .conninfo = settings->database,
                                           .application = spec->name,
                                           .statements = service->statements,
                                           .reads = service->reads,
                                           .metrics = service->ops.metrics,
                                           .queue_max = (size_t)settings->queue_max,
                                           .batch_max = (size_t)settings->batch_max,
                                           .parked_max = (size_t)settings->parked_max };
    const struct relay_options relay = { .conninfo = settings->database,
                                         .brokers = settings->kafka,
                                         .source = spec->name,
                                         .routes = spec->routes,
                                         .metrics = service->ops.metrics };
    const struct batch_options batch = { .service = spec->batch,
                                         .conninfo = settings->database,
                                         .partitions = spec->partitions,
                                         .wrote = service_tell_written,
                                         .wrote_owner = service,
                                         .news = news,
                                         .news_owner = service,
                                         .metrics = service->ops.metrics,
                                         .queue_max = (size_t)settings->queue_max,
                                         .batch_max = (size_t)settings->batch_max };

    service->reader = reader_open(&reader);
    if (spec->routes != NULL && settings->kafka[0] != '\0')
        service->relay = relay_open(&relay);
    service->batch = batch_open(&batch);
}

/* Before the servers, which ask it for each call. A policy that cannot be read keeps the program from starting: without it all
 * that have a certificate could call all. */
/* Before anything else: a program whose policy cannot be used shall not reach its database, nor be called. Both servers
 * look at the one policy. */
static enum error
open_policy(struct service *service)
{
    const char *path = service->settings.policy;

    if (path == NULL || path[0] == '\0')
        return ERR_OK;
    service->policy = (struct rpc_policy_source){ .path = path,
                                                  .domain = rpc_tls_domain(),
                                                  .files = service->ops.files };
    return rpc_policy_open(&service->policy);
}

static enum error
open_servers(struct service *service)
{
    const struct service_settings *settings = &service->settings;
    struct rpc_server_options options = { .listen = settings->listen,
                                          .connection_age_ms = settings->connection_age_s * 1000,
                                          .calls_max = (size_t)settings->calls_max,
                                          .services = service->rpcs,
                                          .service_count = service->rpc_count,
                                          .leaves_room = settings->inner_listen != NULL,
                                          .listener = "public",
                                          .metrics = service->ops.metrics,
                                          .policies = service->policy.policies };
    enum error error =
        service->rpc_count == 0 ? ERR_OK : rpc_server_open(&options, &service->servers[0]);

    if (error != ERR_OK || settings->inner_listen == NULL)
        return error;
    options.listen = settings->inner_listen;
    options.leaves_room = false;
    options.listener = "inner";
    options.serves_inner = true;
    return rpc_server_open(&options, &service->servers[1]);
}

static void
open_health(struct service *service)
{
    const struct service_spec *spec = service->spec;
    const struct service_health_options options = { .servers = { service->servers[0],
                                                                 service->servers[1] },
                                                    .clock = service->clock,
                                                    .statements = service->all_statements,
                                                    .conninfo = service->settings.database,
                                                    .application = spec->name,
                                                    .schema = spec->schema,
                                                    .writes = service->writes,
                                                    .relay = service->relay,
                                                    .health = service->ops.health,
                                                    .metrics = service->ops.metrics,
                                                    .is_ready = spec->is_ready,
                                                    .hears_kafka = spec->hears_kafka,
                                                    .owner = spec->owner };

    service->health = service_health_open(&options);
}

static void
open_keeper(struct service *service)
{
    const struct service_spec *spec = service->spec;
    const struct keeper_options options = { .conninfo = service->settings.database,
                                            .application = spec->name,
                                            .statements = service->all_statements,
                                            .partitions = spec->partitions,
                                            .tasks = spec->tasks,
                                            .owner = spec->owner,
                                            .batch = service->batch,
                                            .may_run = is_up,
                                            .may_run_owner = service,
                                            .metrics = service->ops.metrics,
                                            .asked = { service->asked[0], service->asked[1],
                                                       service->asked[2] } };

    service->keeper = keeper_open(&options);
}

static enum error
open_parts(struct service *service)
{
    const struct service_spec *spec = service->spec;
    enum error error = open_policy(service);

    if (error == ERR_OK)
        error = open_schema(service);
    if (error == ERR_OK)
        error = open_clock(service);
    if (error != ERR_OK)
        return error;
    if (service_has_database(spec)) {
        service->writes = write_health_new(spec->batch, spec->name);
        choose_asked(service);
        service->all_statements = all_statements(service);
        open_audit(service);
    }
    if (spec->batch != NULL)
        open_store(service);
    service->is_started = true;
    error = spec->start == NULL ? ERR_OK : spec->start(spec->owner, service);
    if (error == ERR_OK)
        error = open_servers(service);
    if (error != ERR_OK)
        return error;
    open_health(service);
    if (service_has_database(spec))
        open_keeper(service);
    service->is_open = true;
    return ERR_OK;
}

/* For /info. */
static void
show_peers(const struct service *service)
{
    const struct service_spec *spec = service->spec;
    const struct service_settings *settings = &service->settings;
    struct info *info = service->ops.info;
    char *database = settings->database == NULL ? NULL : conninfo_show(settings->database);
    const struct {
        const char *name, *text;
    } peers[] = { { "database", database },
                  { "kafka", settings->kafka },
                  { "calls", spec->peers == NULL ? NULL : *spec->peers },
                  { "compares clocks with", settings->peers } };

    for (size_t i = 0; i < sizeof peers / sizeof *peers; i++) {
        if (peers[i].text != NULL && peers[i].text[0] != '\0')
            info_add(info, "talks_to", peers[i].name, peers[i].text);
    }
    free(database);
}

/* Every part that speaks to the database asks this first. */
bool
service_has_database(const struct service_spec *spec)
{
    return spec->has_database || spec->batch != NULL;
}

enum error
service_open(const struct service_spec *spec, const struct service_settings *settings,
             const struct ops *ops, struct service **ret_service)
{
    struct service *service = memory_take(sizeof *service);
    enum error error;

    assert(service_has_database(spec) || (spec->tasks == NULL && spec->partitions == NULL &&
                                          spec->check == NULL && settings->database == NULL));
    assert(settings->inner_listen == NULL || service_has_inner(spec));
    assert((spec->batch == NULL) != (spec->submit == NULL) || spec->descriptor == NULL);
    service->spec = spec;
    service->settings = *settings;
    if (ops != NULL)
        service->ops = *ops;
    join_services(service);
    show_peers(service);
    error = open_parts(service);
    if (error != ERR_OK)
        service = service_close(service, 0);
    *ret_service = service;
    return error;
}

/* ---- close ---- */

/* Both are NOT_SERVING already. They have the time together, and the inner one goes last: a saga that waits for a
 * step is served for as long as may be. */
static void
stop_servers(struct service *service, int drain_ms)
{
    int64_t until_us = clock_steady_us() + (int64_t)drain_ms * 1000;

    for (size_t i = 0; i < SERVICE_SERVERS; i++) {
        int64_t left_us = until_us - clock_steady_us();

        if (service->servers[i] != NULL)
            rpc_server_stop(service->servers[i], left_us > 0 ? (int)(left_us / 1000) : 0);
    }
}

/* Nothing new begins, and what waits or is in flight is answered. */
static void
drain(struct service *service, int drain_ms)
{
    const struct service_spec *spec = service->spec;

    service->keeper = keeper_close(service->keeper);
    service->health = service_health_close(service->health);
    for (size_t i = 0; i < SERVICE_SERVERS; i++) {
        if (service->servers[i] != NULL)
            rpc_server_set_serving(service->servers[i], false);
    }
    if (service->reader != NULL)
        reader_stop(service->reader); /* reads that wait are answered with what there is */
    if (service->is_open && spec->drain != NULL)
        spec->drain(spec->owner);
    stop_servers(service, drain_ms);
    if (service->batch != NULL)
        batch_stop(service->batch);
    service->relay = relay_close(service->relay);
}

struct service *
service_close(struct service *service, int drain_ms)
{
    const struct service_spec *spec;

    if (service == NULL)
        return NULL;
    spec = service->spec;
    health_stop(service->ops.health); /* before what its conditions look at goes */
    drain(service, drain_ms);
    if (service->is_started && spec->stop != NULL)
        spec->stop(spec->owner);
    for (size_t i = 0; i < SERVICE_SERVERS; i++)
        service->servers[i] = rpc_server_close(service->servers[i]);
    rpc_policy_close(&service->policy);
    clock_metrics_close(service->ops.metrics, service->clock);
    service->clock = clock_watch_close(service->clock);
    service->batch = batch_close(service->batch);
    service->reader = reader_close(service->reader);
    service->audit = audit_close(service->audit);
    service->writes = write_health_free(service->writes);
    free((void *)service->reads);
    free(service->statements);
    free(service->all_statements);
    free(service);
    return NULL;
}
