#include "mesh/service.h"
#include "mesh/audit.h"
#include "mesh/base/clock.h"
#include "mesh/base/descriptor.h"
#include "mesh/base/log.h"
#include "mesh/rpc/clock_watch.h"
#include "mesh/rpc/server.h"
#include "mesh/store/pg_hosts.h"
#include "mesh/store/store_clock.h"
#include "mesh/store/write_health.h"

#include "sagamesh/audit/v1/audit_service.pb-c.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    PROBE_US = SECOND_US,
    OP_SECONDS_MAX = 30,
    PORT_PROBE_US = 5 * SECOND_US,
    PORT_PROBE_MS = 2000,
    HOSTS_LOOK_US = 10 * SECOND_US,
    PORT_PROBES_MAX = 6, /* in a row without an answer: half a minute, and counted so that a machine
                            that stood still is one of them */
};

#define CLOCK_BEGIN_US (SECOND_US / 2) /* for peers to answer, who may begin just now themselves */
#define PARTITIONS_US (3600 * SECOND_US)
#define PARTITIONS_AGAIN_US (10 * SECOND_US)

/* The flags every service has. */
struct settings {
    const char *listen, *database, *timeline_file, *ready_file, *kafka, *peers;
    int64_t queue_max, batch_max, calls_max, parked_max, drain_ms, descriptors_max;
    bool debug;
};

/* clang-format off */
static const struct config_key keys[] = {
    { "listen",     CONFIG_TEXT, "127.0.0.1:0", 0, 0,         "address and port for gRPC; port 0 picks one", offsetof(struct settings, listen) },
    { "database",   CONFIG_TEXT, NULL,          0, 0,         "libpq conninfo of its own database", offsetof(struct settings, database) },
    { "timeline-file", CONFIG_TEXT, "",         0, 0,         "file that keeps the newest timeline of the database met, so that an old primary is left alone after a restart too", offsetof(struct settings, timeline_file) },
    { "ready-file", CONFIG_TEXT, "",            0, 0,         "file to write the port into once it serves", offsetof(struct settings, ready_file) },
    { "kafka",      CONFIG_TEXT, "",            0, 0,         "host:port,... of Kafka for its events; empty: they wait", offsetof(struct settings, kafka) },
    { "peers",      CONFIG_TEXT, "",            0, 0,         "host:port,... of programs to compare clocks with, beside those that it calls", offsetof(struct settings, peers) },
    { "queue-max",  CONFIG_INT,  "8192",        1, 1 << 20,   "calls that may wait for the store; one more is BUSY", offsetof(struct settings, queue_max) },
    { "batch-max",  CONFIG_INT,  "256",         1, 4096,      "calls of one transaction", offsetof(struct settings, batch_max) },
    { "calls-max",  CONFIG_INT,  "16384",       1, 1 << 20,   "calls in flight; one more is BUSY", offsetof(struct settings, calls_max) },
    { "parked-max", CONFIG_INT,  "10000",       0, 1 << 20,   "reads that may wait for a change", offsetof(struct settings, parked_max) },
    { "descriptors-max", CONFIG_INT, "16384",   64, 1 << 20,  "open files and connections, as far as the hard limit allows; a quarter, 1024 at most, is kept from clients", offsetof(struct settings, descriptors_max) },
    { "drain-ms",   CONFIG_INT,  "5000",        0, 600000,    "milliseconds for calls in flight to end after SIGTERM", offsetof(struct settings, drain_ms) },
    { "debug",      CONFIG_FLAG, NULL,          0, 0,         "log more", offsetof(struct settings, debug) },
    { 0 },
};
/* clang-format on */

struct service {
    const struct service_spec *spec;
    struct settings settings;
    struct rpc_service rpcs[2 + SERVICE_ALSO_MAX]; /* the server keeps pointing to them */
    size_t rpc_count;
    /* Those of all gRPC services together. */
    const struct read *reads;
    const struct pg_statement **statements;
    struct rpc_server *server;
    struct batch *batch;
    struct reader *reader;
    struct relay *relay; /* NULL: no events, or no Kafka */
    struct write_health *writes;
    struct audit *audit; /* NULL: there is nothing to recompute */
    struct clock_watch *clock;
    pthread_t keeper;
    struct queue *keeper_queue; /* never filled: closing it ends the keeper's wait */
    /* The keeper's: the database is there; and so says health, which asks for a right clock too. */
    bool is_serving, is_healthy, was_ready;
};

static void
signals_of_interest(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGUSR1);
}

void
service_pause(void)
{
    const struct timespec moment = { .tv_nsec = 100 * 1000 * 1000 };
    sigset_t signals;
    int signal_number;

    signals_of_interest(&signals);
    signal_number = sigtimedwait(&signals, NULL, &moment);
    if (signal_number == SIGTERM || signal_number == SIGINT)
        exit(0);
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

void
service_tell_written(void *service, bool is_written)
{
    write_health_tell(((struct service *)service)->writes, is_written);
}

/* ---- ops of the program itself ---- */

struct waiting {
    pthread_mutex_t lock;
    pthread_cond_t done;
    size_t left;
};

struct own_call {
    struct call call; /* first */
    struct waiting *waiting;
    void (*answered)(const void *op);
};

static void
own_call_finish(struct call *call)
{
    struct own_call *own = (struct own_call *)call;
    struct waiting *waiting = own->waiting;

    if (own->answered != NULL)
        own->answered(call->op);
    arena_free(call->arena);
    if (waiting == NULL)
        return;
    pthread_mutex_lock(&waiting->lock);
    if (--waiting->left == 0)
        pthread_cond_signal(&waiting->done);
    pthread_mutex_unlock(&waiting->lock);
}

static struct call *
own_call_new(const struct method *method, const void *op, struct waiting *waiting,
             void (*answered)(const void *op))
{
    struct arena *arena = arena_new();
    struct own_call *own = arena_take(arena, sizeof *own);

    own->waiting = waiting;
    own->answered = answered;
    own->call.arena = arena;
    own->call.method = method;
    own->call.deadline_us = clock_steady_us() + OP_SECONDS_MAX * SECOND_US;
    own->call.finish = own_call_finish;
    own->call.is_own = true;
    own->call.op = arena_take(arena, method->op_bytes);
    memcpy(own->call.op, op, method->op_bytes);
    if (own->call.op->traceparent == NULL)
        own->call.op->traceparent = "";
    return &own->call;
}

void
service_submit_op(struct service *service, const struct method *method, const void *op,
                  void (*answered)(const void *op))
{
    batch_submit_always(service->batch, own_call_new(method, op, NULL, answered));
}

void
service_run_ops(struct service *service, const struct method *method, const void *ops, size_t count,
                void (*answered)(const void *op))
{
    struct waiting waiting = { .left = count };

    pthread_mutex_init(&waiting.lock, NULL);
    pthread_cond_init(&waiting.done, NULL);
    for (size_t i = 0; i < count; i++)
        batch_submit_always(
            service->batch,
            own_call_new(method, (const char *)ops + i * method->op_bytes, &waiting, answered));
    pthread_mutex_lock(&waiting.lock);
    while (waiting.left > 0)
        pthread_cond_wait(&waiting.done, &waiting.lock);
    pthread_mutex_unlock(&waiting.lock);
    pthread_cond_destroy(&waiting.done);
    pthread_mutex_destroy(&waiting.lock);
}

/* ---- the keeper ---- */

static void
write_ready_file(const struct service *service)
{
    const char *path = service->settings.ready_file;
    char temporary[4096];
    FILE *file;

    if (path[0] == '\0')
        return;
    snprintf(temporary, sizeof temporary, "%s.new", path);
    file = fopen(temporary, "w");
    if (file == NULL || fprintf(file, "%d\n", rpc_server_port(service->server)) < 0 ||
        fclose(file) != 0 || rename(temporary, path) != 0)
        log_error("ready_file=%s because=\"cannot be written\"", path);
}

/* Is the database there? What its clock says is heard on the way. */
static bool
database_answers(struct service *service, struct pg *pg)
{
    struct arena *arena = arena_new();
    int64_t asked_us, database_us;
    enum error error = pg_connect(pg);

    if (error == ERR_OK)
        error = store_clock_ask(pg, arena, &asked_us, &database_us);
    if (error == ERR_OK)
        clock_watch_database(service->clock, asked_us, database_us);
    arena_free(arena);
    return error == ERR_OK;
}

static void
probe(struct service *service, struct pg *pg)
{
    bool (*is_ready)(void) = service->spec->is_ready;
    bool is_up = database_answers(service, pg) && write_health_look(service->writes, pg) &&
                 (service->was_ready || is_ready == NULL || is_ready());
    bool is_healthy = is_up && clock_watch_is_fit(service->clock);

    service->is_serving = is_up;
    if (is_healthy != service->is_healthy) {
        service->is_healthy = is_healthy;
        rpc_server_set_serving(service->server, is_healthy);
        log_info("serving=%s port=%d%s", is_healthy ? "yes" : "no",
                 rpc_server_port(service->server),
                 is_up && !is_healthy ? " because=\"this machine's clock is wrong\"" : "");
    }
    if (is_up && !service->was_ready)
        write_ready_file(service);
    service->was_ready = service->was_ready || is_up;
}

/* A port at which this program does not answer any more is a defect, here or in the core. What is under way is stored,
 * so ending is safe, and a supervisor starts a program that listens. */
static void
probe_port(struct service *service, int *missed)
{
    enum error error = rpc_server_probe(service->server, PORT_PROBE_MS);

    if (error == ERR_OK)
        *missed = 0;
    if (error != ERR_UNREACHABLE)
        return;
    ++*missed;
    log_warn("port=%d event=PORT_SILENT probes=%d", rpc_server_port(service->server), *missed);
    if (*missed < PORT_PROBES_MAX)
        return;
    log_error("port=%d event=PORT_DEAF next=ENDING because=\"this program does not answer at its "
              "own port\"",
              rpc_server_port(service->server));
    _exit(1);
}

/* When partitions are due next: by steady time, and at once when the wall clock has jumped, since the
 * steady one stands still while a machine is suspended. */
struct upkeep {
    int64_t due_us, wall_us;
};

static void
keep_partitions(struct upkeep *upkeep, const struct partitions *partitions, struct pg *pg)
{
    int64_t now_us = clock_steady_us(), wall_us = clock_now_us();
    enum error error;

    if (now_us < upkeep->due_us && wall_us < upkeep->wall_us + PARTITIONS_US &&
        wall_us > upkeep->wall_us - PARTITIONS_US)
        return;
    error = partitions_make(partitions, pg);
    if (error == ERR_OK)
        error = partitions_forget(partitions, pg);
    /* Another replica may be at it in this very moment: then once more in a while. */
    upkeep->due_us = now_us + (error == ERR_OK ? PARTITIONS_US : PARTITIONS_AGAIN_US);
    upkeep->wall_us = wall_us;
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

/* The program's statements and the keeper's own; and the check, so that a schema without it is found now
 * and not by the operator who begins one. */
static const struct pg_statement **
keeper_statements(const struct service *service)
{
    const struct pg_statement *const own[] = { &partitions_keep, &partitions_drop, &store_clock,
                                               service->spec->check, NULL };
    const struct pg_statement *const *lists[] = { service->statements,
                                                  write_health_statements(service->writes), own };
    const struct pg_statement **list;
    size_t count = 0, most = 1;

    for (size_t i = 0; i < 3; i++) {
        for (size_t j = 0; lists[i][j] != NULL; j++)
            most++;
    }
    list = memory_take(most * sizeof *list);
    for (size_t i = 0; i < 3; i++)
        statements_add(list, &count, lists[i]);
    return list;
}

static void
run_task(struct service *service, const struct service_task *task, struct pg *pg)
{
    struct arena *arena = arena_new();
    enum error error = pg_connect(pg);

    if (error == ERR_OK)
        error = task->run(service, pg, arena);
    if (error != ERR_OK && error != ERR_STORE_DOWN)
        log_error("task=%s answer=%s", task->name, error_name(error));
    arena_free(arena);
}

static void *
keeper_main(void *context)
{
    struct service *service = context;
    const struct service_spec *spec = service->spec;
    const struct pg_statement **statements = keeper_statements(service);
    struct pg *pg = pg_new(service->settings.database, spec->name, statements);
    int64_t due_us[16] = { 0 }, probe_due_us = 0, port_due_us = 0, hosts_due_us = 0;
    struct upkeep upkeep = { 0 };
    int missed = 0;

    while (!queue_is_closed(service->keeper_queue)) {
        int64_t now_us = clock_steady_us(), next_us;
        size_t count;

        if (now_us >= probe_due_us) {
            probe(service, pg);
            probe_due_us = now_us + (service->was_ready ? PROBE_US : PROBE_US / 20);
            log_say_left_out();
        }
        if (now_us >= port_due_us) {
            probe_port(service, &missed);
            port_due_us = now_us + PORT_PROBE_US;
        }
        if (now_us >= hosts_due_us) {
            pg_hosts_look(service->settings.database, spec->name);
            hosts_due_us = now_us + HOSTS_LOOK_US;
        }
        next_us = probe_due_us;
        if (service->is_serving)
            keep_partitions(&upkeep, spec->partitions, pg);
        for (size_t i = 0; spec->tasks != NULL && spec->tasks[i].name != NULL; i++) {
            assert(i < sizeof due_us / sizeof *due_us);
            if (service->is_serving && now_us >= due_us[i]) {
                run_task(service, &spec->tasks[i], pg);
                due_us[i] = clock_steady_us() + spec->tasks[i].period_us;
            }
            if (due_us[i] != 0 && due_us[i] < next_us)
                next_us = due_us[i];
        }
        if (next_us > now_us)
            queue_take(service->keeper_queue, 1, next_us - now_us, &count);
    }
    pg_free(pg);
    free(statements);
    return NULL;
}

/* ---- start and stop ---- */

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

static void
check_reads(const struct method *methods, const struct read *reads)
{
    for (const struct method *method = methods; method->name != NULL; method++) {
        const struct read *read = reads;

        while (read->name != NULL && strcmp(read->name, method->name) != 0)
            read++;
        /* Every method is either decided or read. */
        assert((method->decide != NULL) != (read->name != NULL));
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
        const struct method *methods)
{
    const struct service_spec *spec = service->spec;

    assert(service->rpc_count < sizeof service->rpcs / sizeof *service->rpcs);
    service->rpcs[service->rpc_count++] =
        (struct rpc_service){ .descriptor = descriptor,
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

    add_rpc(service, spec->descriptor, spec->methods);
    service->reads =
        spec->reads == NULL ? NULL : tables_join(spec->reads, NULL, sizeof(struct read));
    service->statements = tables_join(spec->statements, NULL, sizeof(const struct pg_statement *));
    for (; also != NULL && also->descriptor != NULL; also++) {
        const void *reads = service->reads, *statements = service->statements;

        add_rpc(service, also->descriptor, also->methods);
        service->reads = tables_join(reads, also->reads, sizeof(struct read));
        service->statements =
            tables_join(statements, also->statements, sizeof(const struct pg_statement *));
        free((void *)reads);
        free((void *)statements);
    }
    for (size_t i = 0; spec->submit == NULL && i < service->rpc_count; i++)
        check_reads(service->rpcs[i].methods, service->reads);
}

/* Before anything goes by the time: the clocks of others, as far as they can be asked now. */
static enum error
open_clock(struct service *service)
{
    static const struct pg_statement *const statements[] = { &store_clock, NULL };
    const struct service_spec *spec = service->spec;
    const char *const peers[] = { service->settings.peers,
                                  spec->peers == NULL ? "" : *spec->peers };
    struct pg *pg = pg_new(service->settings.database, spec->name, statements);
    enum error error = clock_watch_open(peers, 2, &service->clock);

    if (error == ERR_OK) {
        database_answers(service, pg);
        clock_watch_begin(service->clock, CLOCK_BEGIN_US);
    }
    pg_free(pg);
    return error;
}

static enum error
open_parts(struct service *service)
{
    const struct service_spec *spec = service->spec;
    const struct settings *settings = &service->settings;
    struct rpc_server_options server = { .listen = settings->listen,
                                         .calls_max = (size_t)settings->calls_max,
                                         .services = service->rpcs,
                                         .service_count = service->rpc_count };
    struct batch_options batch = { .service = spec->batch,
                                   .conninfo = settings->database,
                                   .partitions = spec->partitions,
                                   .wrote = service_tell_written,
                                   .wrote_owner = service,
                                   .news = news,
                                   .news_owner = service,
                                   .queue_max = (size_t)settings->queue_max,
                                   .batch_max = (size_t)settings->batch_max };
    struct relay_options relay = { .conninfo = settings->database,
                                   .brokers = settings->kafka,
                                   .source = spec->name,
                                   .routes = spec->routes };
    struct reader_options reader = { .conninfo = settings->database,
                                     .application = spec->name,
                                     .statements = service->statements,
                                     .reads = service->reads,
                                     .queue_max = (size_t)settings->queue_max,
                                     .batch_max = (size_t)settings->batch_max,
                                     .parked_max = (size_t)settings->parked_max };
    enum error error = open_clock(service);

    if (error != ERR_OK)
        return error;
    service->writes = write_health_new(spec->batch, spec->name);
    if (spec->check != NULL) {
        service->audit = audit_open(settings->database, spec->name, spec->check);
        service->rpcs[service->rpc_count++] =
            (struct rpc_service){ .descriptor = &sagamesh__audit__v1__audit_service__descriptor,
                                  .methods = audit_methods,
                                  .submit = audit_submit,
                                  .owner = service->audit };
        server.service_count = service->rpc_count;
    }
    if (spec->submit == NULL) {
        service->reader = reader_open(&reader);
        if (spec->routes != NULL && settings->kafka[0] != '\0')
            service->relay = relay_open(&relay); /* before the batch, which wakes it */
        service->batch = batch_open(&batch);
    }
    error = spec->start == NULL ? ERR_OK : spec->start(service);
    if (error == ERR_OK)
        error = rpc_server_open(&server, &service->server);
    if (error != ERR_OK)
        return error;
    service->keeper_queue = queue_new(1);
    if (pthread_create(&service->keeper, NULL, keeper_main, service) != 0)
        abort();
    return ERR_OK;
}

static void
log_clock(void *owner, const char *name, int64_t off_us, bool is_known)
{
    (void)owner;
    log_info("counters clock=%s off_ms=%lld known=%s", name, (long long)(off_us / 1000),
             is_known ? "yes" : "no");
}

static void
log_counters(struct service *service)
{
    struct batch_counters store = { 0 };
    struct rpc_server_counters wire;

    if (service->batch != NULL)
        batch_count(service->batch, &store);
    rpc_server_count(service->server, &wire);
    log_info("counters calls=%llu items=%llu failed=%llu busy=%llu ops=%llu commits=%llu again=%llu"
             " single=%llu uncertain=%llu connections=%llu connections_refused=%llu"
             " connections_silent=%llu aside=%llu",
             (unsigned long long)wire.calls, (unsigned long long)wire.items,
             (unsigned long long)wire.failed, (unsigned long long)wire.busy,
             (unsigned long long)store.ops, (unsigned long long)store.commits,
             (unsigned long long)store.again, (unsigned long long)store.single,
             (unsigned long long)store.uncertain, (unsigned long long)wire.connections,
             (unsigned long long)wire.connections_refused,
             (unsigned long long)wire.connections_silent, (unsigned long long)store.aside);
    clock_watch_report(service->clock, log_clock, NULL);
    if (service->spec->log_counters != NULL)
        service->spec->log_counters();
}

static void
close_parts(struct service *service)
{
    log_info("stopping=yes drain_ms=%lld", (long long)service->settings.drain_ms);
    queue_close(service->keeper_queue);
    pthread_join(service->keeper, NULL);
    rpc_server_set_serving(service->server, false);
    if (service->reader != NULL)
        reader_stop(service->reader); /* reads that wait are answered with what there is */
    if (service->spec->drain != NULL)
        service->spec->drain(service);
    rpc_server_stop(service->server, (int)service->settings.drain_ms);
    if (service->batch != NULL)
        batch_stop(service->batch);
    service->relay = relay_close(service->relay);
    log_counters(service);
    if (service->spec->stop != NULL)
        service->spec->stop(service);
    service->server = rpc_server_close(service->server);
    service->clock = clock_watch_close(service->clock);
    service->batch = batch_close(service->batch);
    service->reader = reader_close(service->reader);
    service->audit = audit_close(service->audit);
    service->keeper_queue = queue_free(service->keeper_queue);
    service->writes = write_health_free(service->writes);
    free((void *)service->reads);
    free(service->statements);
}

int
service_main(int argc, char **argv, const struct service_spec *spec)
{
    static struct service service;
    const struct config_table tables[] = { { keys, &service.settings },
                                           { spec->keys, spec->values } };
    sigset_t signals;
    int signal_number;

    service.spec = spec;
    if (config_read(argc, argv, spec->usage, tables, spec->keys == NULL ? 1 : 2) != 0) {
        fprintf(stderr, "%s: '%s' is no flag (--help lists the flags)\n", spec->name, argv[0]);
        return 2;
    }
    log_open(spec->name, service.settings.debug ? LOG_DEBUG : LOG_INFO);
    pg_timeline_open(service.settings.timeline_file);
    log_info("descriptors_max=%zu", descriptors_raise((size_t)service.settings.descriptors_max));
    join_services(&service);
    signals_of_interest(&signals); /* blocked before any thread starts: only this one gets them */
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (open_parts(&service) != ERR_OK)
        return 1;
    while (sigwait(&signals, &signal_number) == 0 && signal_number == SIGUSR1)
        log_counters(&service);
    close_parts(&service);
    return 0;
}
