/* A service as a program: its flags, and the callbacks of mesh/program.h. */
#include "mesh/base/log.h"
#include "mesh/kafka/access.h"
#include "mesh/program.h"
#include "mesh/rpc/tls.h"
#include "mesh/service.h"
#include "mesh/service_migrate.h"
#include "mesh/store/conninfo.h"
#include "mesh/store/pg_timeline.h"

/* clang-format off */
static const struct config_key keys[] = {
    { "listen",     CONFIG_TEXT, "127.0.0.1:0", 0, 0,         "address and port for gRPC; port 0 picks one", offsetof(struct service_settings, listen) },
    { "peers",      CONFIG_TEXT, "",            0, 0,         "host:port,... of programs to compare clocks with, beside those that it calls", offsetof(struct service_settings, peers) },
    { "max-connection-age", CONFIG_INT, "0",    0, 86400,     "seconds that a gRPC connection lives, 10 % more or less, before its client is told to make a new one, so that new replicas get their share; 0: for ever", offsetof(struct service_settings, connection_age_s) },
    { "policy",     CONFIG_TEXT, "",            0, 0,         "JSON file: which identity may call which method, all others being denied; needs --tls-cert; empty: all that are let in may call all", offsetof(struct service_settings, policy) },
    { "calls-max",  CONFIG_INT,  "16384",       1, 1 << 20,   "calls in flight; one more is BUSY", offsetof(struct service_settings, calls_max) },
    { 0 },
};
static const struct config_key inner_keys[] = {
    { "inner-listen", CONFIG_TEXT, "127.0.0.1:0", 0, 0,       "address and port for what the mesh alone may call, and all else, without a question who calls: never where strangers reach it", offsetof(struct service_settings, inner_listen) },
    { 0 },
};
static const struct config_key database_keys[] = {
    { "database",   CONFIG_TEXT, NULL,          0, 0,         "libpq conninfo of its own database", offsetof(struct service_settings, database) },
    { "migrate",    CONFIG_TEXT, "",            0, 0,         "expand, contract, status or steps: does that with the database's schema, and ends; with --database alone", offsetof(struct service_settings, migrate) },
    { "timeline-file", CONFIG_TEXT, "",         0, 0,         "file that keeps the newest timeline of the database met, so that an old primary is left alone after a restart too", offsetof(struct service_settings, timeline_file) },
    { "kafka",      CONFIG_TEXT, "",            0, 0,         "host:port,... of Kafka for its events; empty: they wait", offsetof(struct service_settings, kafka) },
    { "queue-max",  CONFIG_INT,  "8192",        1, 1 << 20,   "calls that may wait for the store; one more is BUSY", offsetof(struct service_settings, queue_max) },
    { "batch-max",  CONFIG_INT,  "256",         1, 4096,      "calls of one transaction", offsetof(struct service_settings, batch_max) },
    { "parked-max", CONFIG_INT,  "10000",       0, 1 << 20,   "reads that may wait for a change", offsetof(struct service_settings, parked_max) },
    { 0 },
};
/* clang-format on */

struct life {
    const struct service_spec *spec;
    struct service_settings settings;
    struct rpc_tls_settings tls;
    struct kafka_access_settings kafka_access;
    struct service *service;
};

/* Warnings, since the network may be the operator's own; sslmode says that it is. */
static void
database_warn(const char *conninfo)
{
    if (conninfo_is_unverified(conninfo))
        log_warn(
            "event=DATABASE_UNVERIFIED because=\"who answers there is not asked for a certificate\""
            " next=\"put sslmode=verify-full and sslrootcert=FILE into --database, or the sslmode "
            "that you want\"");
    if (conninfo_has_password(conninfo))
        log_warn("event=DATABASE_PASSWORD_SHOWN because=\"a password in --database is seen by who "
                 "lists processes\""
                 " next=\"put it into a file, passfile=FILE\"");
}

/* What let us in elsewhere, after all that was let in has gone. */
static void
close_access(void)
{
    kafka_access_close();
    rpc_tls_close();
}

/* Certificates first: servers, clients and the policy's identities stand on them. */
static enum error
open_all(void *owner, const struct ops *ops)
{
    struct life *life = owner;
    /* Before the first server and the first client. */
    enum error error = rpc_tls_open(&life->tls, ops->metrics, ops->files);

    if (error != ERR_OK)
        return error;
    if (service_has_database(life->spec)) {
        database_warn(life->settings.database);
        pg_timeline_open(life->settings.timeline_file);
    }
    if (service_has_kafka(life->spec))
        error = kafka_access_open(&life->kafka_access, ops->files);
    if (error == ERR_OK)
        error = service_open(life->spec, &life->settings, ops, &life->service);
    if (error != ERR_OK)
        close_access();
    return error;
}

static bool
is_ready(void *owner, int ret_ports[PROGRAM_PORTS_MAX])
{
    const struct life *life = owner;

    ret_ports[0] = service_port(life->service);
    ret_ports[1] = service_inner_port(life->service);
    return service_was_up(life->service);
}

static void
close_all(void *owner, int drain_ms)
{
    struct life *life = owner;

    life->service = service_close(life->service, drain_ms);
    close_access();
}

int
service_main(int argc, char **argv, const struct service_spec *spec)
{
    struct life life = { .spec = spec };
    struct config_table tables[PROGRAM_TABLES_MAX] = { { keys, &life.settings },
                                                       { rpc_tls_keys, &life.tls } };
    const struct program program = {
        .name = spec->name,
        .usage = spec->usage,
        .tables = tables,
        .descriptors_max = "16384",
        .drain_ms = "5000",
        .owner = &life,
        .open = open_all,
        .is_ready = is_ready,
        .close = close_all,
    };
    size_t count = 2;

    if (spec->schema != NULL && service_migrate_is_asked(argc, argv))
        return service_migrate(argc, argv, spec);
    if (service_has_inner(spec))
        tables[count++] = (struct config_table){ inner_keys, &life.settings };
    if (service_has_database(spec))
        tables[count++] = (struct config_table){ database_keys, &life.settings };
    if (service_has_kafka(spec))
        tables[count++] = (struct config_table){ kafka_access_keys, &life.kafka_access };
    if (spec->keys != NULL)
        tables[count++] = (struct config_table){ spec->keys, spec->values };
    return program_main(argc, argv, &program);
}
