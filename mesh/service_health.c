/* Each look is due by the steady clock, and the thread sleeps in queue_take() until the next one, on a queue
 * that stays empty: closing it ends the sleep. */
#include "mesh/service_health.h"

#include "mesh/base/clock.h"
#include "mesh/base/die.h"
#include "mesh/base/log.h"
#include "mesh/base/queue.h"
#include "mesh/http/health.h"
#include "mesh/observe/metrics.h"
#include "mesh/store/pg_hosts.h"
#include "mesh/store/store_clock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum {
    LOOK_US = SECOND_US,
    LOOK_FIRST_US = SECOND_US / 20, /* until it is up for the first time */
    PORT_PROBE_US = 5 * SECOND_US,
    PORT_PROBE_MS = 2000,
    HOSTS_LOOK_US = 10 * SECOND_US,
    END_SECONDS = 1,     /* a question to the database that takes longer is broken off at the end */
    PORT_PROBES_MAX = 6, /* in a row without an answer: half a minute, and counted so that a machine
                            that stood still is one of them */
};

struct service_health {
    struct service_health_options options;
    struct pg *pg; /* NULL: no database */
    struct queue *queue;
    pthread_t thread;
    /* At the last look. */
    atomic_bool is_reached, can_write, is_program_ready, is_clock_fit, is_kafka_reached;
    atomic_bool is_up, was_up;
    atomic_bool is_over; /* the thread waits for the database no longer */
    struct metric_series *writes_work;
    bool is_healthy; /* the thread's, as the next: what the server and the log were told */
    int held_by;     /* the backend that holds the schema's number; 0: none does */
    int missed[SERVICE_SERVERS]; /* probes of the port, in a row */
    int64_t look_due_us, port_due_us, hosts_due_us;
};

enum error
service_health_hear(struct pg *pg, struct clock_watch *clock)
{
    struct arena *arena = arena_new();
    int64_t asked_us, database_us;
    enum error error = pg_connect(pg);

    if (error == ERR_OK)
        error = store_clock_ask(pg, arena, &asked_us, &database_us);
    if (error == ERR_OK)
        clock_watch_database(clock, asked_us, database_us);
    arena_free(arena);
    return error;
}

/* For /readyz. Returns what it was told. */
static bool
note(atomic_bool *what, bool is_so)
{
    atomic_store(what, is_so);
    return is_so;
}

/* The number is held before the look: who takes something away from the database cannot come in between. */
static bool
schema_is_held(struct service_health *health)
{
    const struct service_health_options *options = &health->options;
    int backend = pg_backend_pid(health->pg);
    enum error error = ERR_OK;

    if (options->schema == NULL || health->held_by == backend)
        return true;
    error = schema_hold(health->pg, options->schema);
    if (error == ERR_OK)
        error = schema_look(health->pg, options->schema);
    if (error == ERR_REFUSED)
        die("next=ENDING because=\"this program must not work on that database\"");
    health->held_by = error == ERR_OK ? backend : 0;
    return error == ERR_OK;
}

static bool
database_is_well(struct service_health *health)
{
    const struct service_health_options *options = &health->options;
    bool is_reached =
        health->pg == NULL ||
        (service_health_hear(health->pg, options->clock) == ERR_OK && schema_is_held(health));
    bool can_write;

    note(&health->is_reached, is_reached);
    can_write =
        is_reached && (health->pg == NULL || write_health_look(options->writes, health->pg));
    metric_set(health->writes_work, can_write ? 1 : 0);
    return note(&health->can_write, can_write);
}

/* Asked until it first says yes. */
static bool
program_is_ready(struct service_health *health)
{
    const struct service_health_options *options = &health->options;

    return note(&health->is_program_ready, atomic_load(&health->is_program_ready) ||
                                               options->is_ready == NULL ||
                                               options->is_ready(options->owner));
}

static void
log_health(const struct service_health *health, bool is_up)
{
    const struct rpc_server *server = health->options.servers[0];
    const struct rpc_server *inner = health->options.servers[1];
    char inner_port[sizeof " inner_port=65535"] = "";
    const char *serving = health->is_healthy ? "yes" : "no";
    const char *because =
        is_up && !health->is_healthy ? " because=\"this machine's clock is wrong\"" : "";

    if (inner != NULL)
        snprintf(inner_port, sizeof inner_port, " inner_port=%d", rpc_server_port(inner));
    if (server == NULL)
        log_info("serving=%s%s", serving, because);
    else
        log_info("serving=%s port=%d%s%s", serving, rpc_server_port(server), inner_port, because);
}

/* Both ways: what it sends is taken there, and what it reads comes from there. */
static bool
kafka_is_reached(struct service_health *health)
{
    const struct service_health_options *options = &health->options;

    return note(&health->is_kafka_reached,
                relay_reaches_kafka(options->relay) &&
                    (options->hears_kafka == NULL || options->hears_kafka(options->owner)));
}

/* For those who ask after it by gRPC. Kafka is a part and no condition: a program without it takes calls, and where
 * all replicas said NOT_SERVING for it nobody could look at alerts. */
static void
tell_parts(struct service_health *health)
{
    const struct service_health_options *options = &health->options;

    if (options->relay != NULL)
        kafka_is_reached(health);
    for (size_t i = 0; i < SERVICE_SERVERS && options->servers[i] != NULL; i++) {
        struct rpc_server *server = options->servers[i];

        if (health->pg != NULL)
            rpc_server_set_part(server, "database", atomic_load(&health->can_write));
        if (options->relay != NULL)
            rpc_server_set_part(server, "kafka", atomic_load(&health->is_kafka_reached));
    }
}

static void
look(struct service_health *health)
{
    const struct service_health_options *options = &health->options;
    bool is_up = database_is_well(health) && program_is_ready(health);
    bool is_clock_fit = note(&health->is_clock_fit, clock_watch_is_fit(options->clock));
    bool is_healthy = is_up && is_clock_fit;

    tell_parts(health);
    if (is_healthy != health->is_healthy) {
        health->is_healthy = is_healthy;
        for (size_t i = 0; i < SERVICE_SERVERS && options->servers[i] != NULL; i++)
            rpc_server_set_serving(options->servers[i], is_healthy);
        log_health(health, is_up);
    }
    atomic_store(&health->is_up, is_up);
    if (is_up)
        atomic_store(&health->was_up, true);
}

/* A port at which this program does not answer any more is a defect, here or in the core. What is under way
 * is stored, so ending is safe, and a supervisor starts a program that listens. */
static void
probe_port(const struct rpc_server *server, int *missed)
{
    enum error error = rpc_server_probe(server, PORT_PROBE_MS);

    if (error == ERR_OK)
        *missed = 0;
    if (error != ERR_UNREACHABLE)
        return;
    ++*missed;
    log_warn("port=%d event=PORT_SILENT probes=%d", rpc_server_port(server), *missed);
    if (*missed >= PORT_PROBES_MAX)
        die("port=%d event=PORT_DEAF next=ENDING because=\"this program does not answer at its own "
            "port\"",
            rpc_server_port(server));
}

/* clang-format off */
static const struct metric_row writes_row = { "sagamesh_database_writes_work", METRIC_GAUGE, METRIC_NUMBER, "0: the database answers, and refuses every change; or it is away.", { NULL } };
/* clang-format on */

static void *
health_main(void *context)
{
    struct service_health *health = context;
    const struct service_health_options *options = &health->options;
    size_t count;

    while (!queue_is_closed(health->queue)) {
        int64_t now_us = clock_steady_us();

        if (now_us >= health->look_due_us) {
            look(health);
            health->look_due_us = now_us + (atomic_load(&health->was_up) ? LOOK_US : LOOK_FIRST_US);
        }
        if (now_us >= health->port_due_us) {
            for (size_t i = 0; i < SERVICE_SERVERS && options->servers[i] != NULL; i++)
                probe_port(options->servers[i], &health->missed[i]);
            health->port_due_us = now_us + PORT_PROBE_US;
        }
        if (health->pg != NULL && now_us >= health->hosts_due_us) {
            pg_hosts_look(options->conninfo, options->application);
            health->hosts_due_us = now_us + HOSTS_LOOK_US;
        }
        now_us = clock_steady_us();
        if (health->look_due_us > now_us)
            queue_take(health->queue, 1, health->look_due_us - now_us, &count);
    }
    return NULL;
}

static bool
is_noted(void *owner)
{
    return atomic_load((atomic_bool *)owner);
}

/* What /readyz shows of each thing that look() notes. */
static void
add_conditions(struct service_health *health)
{
    const struct {
        struct health_condition condition;
        bool is_there;
    } all[] = {
        { { NULL, "database", "reached", "away", is_noted, &health->is_reached, false },
          health->pg != NULL },
        { { NULL, "writes", "work", "do not work", is_noted, &health->can_write, false },
          health->pg != NULL },
        { { NULL, "program", "ready", "not ready", is_noted, &health->is_program_ready, false },
          health->options.is_ready != NULL },
        { { NULL, "clock", "right", "wrong", is_noted, &health->is_clock_fit, false }, true },
        { { NULL, "kafka", "reached", "away", is_noted, &health->is_kafka_reached, true },
          health->options.relay != NULL },
    };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (all[i].is_there)
            health_add(health->options.health, &all[i].condition);
    }
}

struct service_health *
service_health_open(const struct service_health_options *options)
{
    struct service_health *health = memory_take(sizeof *health);

    health->options = *options;
    if (options->conninfo != NULL)
        health->pg = pg_new(options->conninfo, options->application, options->statements);
    if (health->pg != NULL) {
        health->writes_work = metrics_series(options->metrics, &writes_row, NULL);
        pg_meter(health->pg, options->metrics, "health");
        pg_be_patient(health->pg, PG_ROUND_US_MAX, &health->is_over);
    }
    health->queue = queue_new(1);
    add_conditions(health);
    thread_start(&health->thread, health_main, health);
    return health;
}

bool
service_health_is_up(const struct service_health *health)
{
    return atomic_load(&health->is_up);
}

bool
service_health_was_up(const struct service_health *health)
{
    return atomic_load(&health->was_up);
}

struct service_health *
service_health_close(struct service_health *health)
{
    struct timespec until;

    if (health == NULL)
        return NULL;
    queue_close(health->queue);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += END_SECONDS;
    thread_end(health->thread, &until, &health->is_over);
    health->pg = pg_free(health->pg);
    health->queue = queue_free(health->queue);
    free(health);
    return NULL;
}
