/* service.h -- A program from its parts: flags, server, store thread, read thread, keeper, drain.
 *
 * main.c of a service is a struct service_spec and one call. The life of the process:
 *   flags -> threads -> database reached, program ready -> SERVING (and the ready file) -> SIGTERM
 *   -> NOT_SERVING, waiting reads answered, calls in flight finished, port closed -> 0
 * Health follows the database: a service that cannot reach it is NOT_SERVING, and its calls are
 * answered STORE_DOWN. It follows the clock too: one whose clock is wrong is NOT_SERVING, so that no client
 * is sent here, and what comes all the same is served by the time that others agree on.
 *
 * Thread    The main thread waits for signals. The keeper thread runs the tasks, one after the other.
 *           SIGUSR1 logs the counters.
 */
#ifndef MESH_SERVICE_H
#define MESH_SERVICE_H

#include "mesh/base/config.h"
#include "mesh/kafka/relay.h"
#include "mesh/store/batch.h"
#include "mesh/store/partition.h"
#include "mesh/store/reader.h"

typedef struct ProtobufCServiceDescriptor ProtobufCServiceDescriptor;

struct service;

/* Something the program does by itself every so often: sweeps, partitions. Runs on the keeper's own
 * connection, reads there, and changes rows only by ops (service_run_ops). */
struct service_task {
    const char *name;
    int64_t period_us;
    enum error (*run)(struct service *service, struct pg *pg, struct arena *arena);
};

/* One more gRPC service over the same batch, with its own reads and the statements of both. */
struct service_also {
    const ProtobufCServiceDescriptor *descriptor;
    const struct method *methods;
    const struct read *reads;
    const struct pg_statement *const *statements;
};

enum { SERVICE_ALSO_MAX = 3 };

struct service_spec {
    const char *name; /* "storage-svc" */
    const char *usage;
    const struct config_key *keys; /* its own flags, or NULL */
    void *values;
    const ProtobufCServiceDescriptor *descriptor;
    const struct method *methods;      /* ends with a row of zeros */
    const struct batch_service *batch; /* with reads; both NULL when submit takes the calls */
    const struct read *reads;
    void (*submit)(void *owner, struct call *call);
    void *owner;
    const struct pg_statement *const *statements; /* of reads and tasks; ends with NULL */
    /* Further gRPC services; ends with a row of zeros, or NULL. No two have a read of one name. */
    const struct service_also *also;
    const struct service_task *tasks;    /* ends with a row of zeros; or NULL */
    const struct partitions *partitions; /* ends with a row of zeros */
    const struct relay_route *routes;    /* of its events to Kafka; or NULL */
    /* A flag of its own that names programs it calls (clock_watch.h): their clocks are compared with this
     * one. NULL: it calls none. */
    const char *const *peers;
    const struct pg_statement *check; /* of AuditService (mesh/audit.h); or NULL */
    /* Whether it can decide calls; asked until it first says yes, and SERVING not before. NULL: at once. */
    bool (*is_ready)(void);
    /* start: after the flags are read and before the first call. drain: calls that wait for something
     * to happen must be answered now; for programs with a submit. stop: after the last call was
     * answered. NULL: none. */
    enum error (*start)(struct service *service);
    void (*drain)(struct service *service);
    void (*stop)(struct service *service);
    void (*log_counters)(void); /* its own, after the common ones; or NULL */
};

/* Runs until SIGTERM or SIGINT. Returns the exit status. */
int service_main(int argc, char **argv, const struct service_spec *spec);

/* For start: waits a moment for something outside; ends the program on SIGTERM. */
void service_pause(void);

struct reader *service_reader(struct service *service);

/* For programs with a submit: whether a transaction of theirs was written (store/write_health.h). Any
 * thread. */
void service_tell_written(void *service, bool is_written);
const char *service_database(const struct service *service);

/* Submits count ops of a method of the program's own (no wire) and waits until all are answered.
 * Called by tasks. ops are copied; *answered gets each op back, if it is not NULL. */
void service_run_ops(struct service *service, const struct method *method, const void *ops,
                     size_t count, void (*answered)(const void *op));

/* Submits one and returns; answered() is called on the store thread. */
void service_submit_op(struct service *service, const struct method *method, const void *op,
                       void (*answered)(const void *op));

#endif
