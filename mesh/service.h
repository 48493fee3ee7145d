/* service.h -- A gRPC program from its parts: server, store thread, read thread, relay, keeper, audit, health.
 *
 * main.c of a service is a struct service_spec and one call of service_main(). Its life is that of every
 * program (mesh/program.h); ready it is when its database was reached and it can decide calls. On SIGTERM it
 * is NOT_SERVING, waiting reads are answered, calls in flight are finished, and the port is closed. What
 * makes it SERVING is in mesh/service_health.h, what it does by itself in mesh/keeper.h.
 *
 * A program with an inner service has two ports: one for all who come, and the inner one, for programs of the mesh and
 * its operators, where all its services answer.
 *
 * A spec without a database has neither batch nor reads, tasks nor partitions, and no flags of theirs: its
 * calls go to submit. One without a descriptor has no port.
 *
 * Several services can live in one process. Theirs in common are, by right: the log (base/log.h), the
 * judged time (base/clock.h: who compares clocks corrects it for all), the newest timeline met
 * (store/pg_timeline.h) and the switch of gRPC's library (rpc/library.h).
 *
 * Thread    service_open, service_close, and all callbacks but submit, is_ready and tasks: one, the main
 *           thread. submit: the rpc thread. is_ready: the thread of health. Tasks: the keeper's.
 * Memory    spec, its tables, and the texts of settings must outlive the service.
 */
#ifndef MESH_SERVICE_H
#define MESH_SERVICE_H

#include "mesh/base/config.h"
#include "mesh/kafka/relay.h"
#include "mesh/keeper.h"
#include "mesh/ops.h"
#include "mesh/store/batch_own.h"
#include "mesh/store/reader.h"
#include "mesh/store/schema.h"

typedef struct ProtobufCServiceDescriptor ProtobufCServiceDescriptor;

struct service;

/* One more gRPC service over the same batch, with its own reads and the statements of both. */
struct service_also {
    const ProtobufCServiceDescriptor *descriptor;
    const ProtobufCServiceDescriptor *inner; /* as in the spec */
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
    void *owner;       /* of all callbacks of this spec, and of its tasks */
    bool has_database; /* also where it has no batch; with one it is so anyway */
    const struct schema_step
        *schema; /* of its database (store/schema.h); NULL: what is there is taken as it is */
    const ProtobufCServiceDescriptor *descriptor; /* NULL: no gRPC */
    /* What of the table the mesh alone may call: served on the inner port, beside all else; NULL: nothing. */
    const ProtobufCServiceDescriptor *inner;
    const struct method *methods;      /* ends with a row of zeros */
    const struct batch_service *batch; /* with reads; both NULL when submit takes the calls */
    const struct read *reads;
    void (*submit)(void *owner, struct call *call);
    const struct pg_statement *const *statements; /* of reads and tasks; ends with NULL; or NULL */
    /* Further gRPC services; ends with a row of zeros, or NULL. No two have a read of one name. */
    const struct service_also *also;
    const struct keeper_task *tasks; /* ends with a row of zeros; or NULL */
    const struct asked_row *asked; /* numbers for its metrics; ends with a row of zeros; or NULL */
    const struct partitions *partitions; /* ends with a row of zeros; or NULL */
    const struct relay_route *routes;    /* of its events to Kafka; or NULL */
    /* A flag of its own that names programs it calls (clock_watch.h): their clocks are compared with this
     * one. NULL: it calls none. */
    const char *const *peers;
    const struct pg_statement *check; /* of AuditService (mesh/audit.h); or NULL */
    /* Whether it can decide calls; asked until it first says yes, and SERVING not before. NULL: at once. */
    bool (*is_ready)(void *owner);
    /* Whether what it reads from Kafka comes; for its health's part "kafka". Any thread, from start on. NULL: it reads
     * nothing there. */
    bool (*hears_kafka)(void *owner);
    /* start: after the flags are read and before the first call; ERR_STOPPING when program_pause() said so.
     * drain: calls that wait for something to happen must be answered now; for programs with a submit. stop:
     * after the last call was answered, and after a start that failed, with what that has opened. NULL: none. */
    enum error (*start)(void *owner, struct service *service);
    void (*drain)(void *owner);
    void (*stop)(void *owner);
};

/* The flags. Without a database all but the first four are 0. */
struct service_settings {
    const char *listen, *peers;
    const char
        *policy; /* a file (mesh/rpc/policy.h); NULL or "": all that are let in may call all */
    const char *inner_listen; /* of a program that has an inner service; NULL: no inner port */
    const char *database, *timeline_file, *kafka;
    const char *migrate; /* for --help: who asks for it is not served (service_migrate.h) */
    int64_t connection_age_s, calls_max, queue_max, batch_max, parked_max;
};

/* Runs until SIGTERM or SIGINT. Returns the exit status. */
int service_main(int argc, char **argv, const struct service_spec *spec);

/* Starts everything; SERVING it is some moments later. On an error, which is logged, nothing is left. ops: what it
 * shows of itself; NULL: nothing. */
enum error service_open(const struct service_spec *spec, const struct service_settings *settings,
                        const struct ops *ops, struct service **ret_service);

bool service_has_database(const struct service_spec *spec);

/* It has been up once: the database reached, the program ready to decide. */
bool service_was_up(const struct service *service);

int service_port(const struct service *service);       /* 0: it has none */
int service_inner_port(const struct service *service); /* likewise */
const char *
service_inner_listen(const struct service *service); /* as its flag says; "": it has none */
bool service_has_inner(const struct service_spec *spec);

/* Whether it has news for Kafka, and flags that say how it is let in there. */
bool service_has_kafka(const struct service_spec *spec);

/* Drains and stops: drain_ms for calls in flight. NULL is fine. Returns NULL. */
struct service *service_close(struct service *service, int drain_ms);

/* ---- for start; they live as long as the service ---- */

struct batch *service_batch(struct service *service);
struct reader *service_reader(struct service *service);
const char *service_database(const struct service *service);
const char *service_kafka(const struct service *service);     /* "": there is none */
const struct ops *service_ops(const struct service *service); /* never NULL; its parts may be */

/* For programs with a submit: whether a transaction of theirs was written (store/write_health.h). Any
 * thread. */
void service_tell_written(void *service, bool is_written);

#endif
