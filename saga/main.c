/* saga-svc -- The orchestrator: drives sagas by their definitions, and undoes what must be undone.
 *
 *   engine/           the language and its meaning; pure (no I/O)
 *   shards.c          all shards: who has them, and the life of one
 *   members.c         the orchestrators that live, and which has which shard; division.c: who is to have which
 *   forward.c         calls handed on to the orchestrator that has their shard
 *   shard_away.c      a shard that another has
 *   shard.c           the tick: take, decide, write one page, send, answer
 *   shard_requests.c  Start, Cancel, Get, Retry, Compensate, Settle, Signal
 *   shard_timer.c     when to look at which saga again
 *   shard_watch.c     Watch calls that wait
 *   shard_live.c      the sagas that have not ended
 *   shard_park.c      those that wait for long, out of memory
 *   shard_meter.c     what is counted of them
 *   shard_recover.c   after a crash
 *   shard_unread.c    sagas that cannot be read
 *   participants.c    calls to services: JSON in, gRPC out
 *   catalog.c         definitions and their versions
 *   saga_rpc.c        requests as callers see them
 *   definitions/      the flows that are shipped
 */
#include "mesh/base/clock.h"
#include "mesh/base/log.h"
#include "mesh/http/info.h"
#include "mesh/program.h"
#include "mesh/service.h"
#include "saga/saga.h"
#include "saga/shard.h"

#include "sagamesh/saga/v1/saga_service.pb-c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* From the descriptor set that the build embeds (proto/CMakeLists.txt). */
extern const uint8_t descriptor_set_start[], descriptor_set_end[];

enum { QUEUE_MAX = 1 << 14, DESCRIPTORS_BYTES_MAX = 16 << 20 };

struct orchestrator {
    const char *definitions, *participant_addresses, *descriptors;
    struct pbjson *pbjson;
    struct catalog *catalog;
    struct participants *participants;
    const char *advertise;
    struct service *service;
    bool is_member;
    struct shards *shards;
};

/* clang-format off */
static const struct config_key keys[] = {
    { "definitions",  CONFIG_TEXT, "saga/definitions", 0, 0, "folder of the definitions (*.json)", offsetof(struct orchestrator, definitions) },
    { "participants", CONFIG_TEXT, NULL,               0, 0, "pkg.Service=host:port,... that sagas call; more addresses of one service with commas, or dns:///name:port", offsetof(struct orchestrator, participant_addresses) },
    { "descriptors",  CONFIG_TEXT, "",                 0, 0, "FileDescriptorSet of those services; empty: sagamesh's own", offsetof(struct orchestrator, descriptors) },
    { "advertise",    CONFIG_TEXT, "",                 0, 0, "host:port of the inner port, by which other orchestrators call this one; empty: as it listens, by the machine's name where that is all addresses", offsetof(struct orchestrator, advertise) },
    { 0 },
};
/* clang-format on */

static enum error
load_descriptors(struct orchestrator *self)
{
    struct problem problem = { 0 };
    uint8_t *file_bytes = NULL;
    const uint8_t *bytes = descriptor_set_start;
    size_t count = (size_t)(descriptor_set_end - descriptor_set_start);
    enum error error;

    if (self->descriptors[0] != '\0') {
        FILE *file = fopen(self->descriptors, "rb");

        file_bytes = memory_take(DESCRIPTORS_BYTES_MAX);
        count = file == NULL ? 0 : fread(file_bytes, 1, DESCRIPTORS_BYTES_MAX, file);
        if (file != NULL)
            fclose(file);
        bytes = file_bytes;
    }
    error = pbjson_load(bytes, count, &problem, &self->pbjson);
    if (error != ERR_OK)
        log_error("descriptors=%s because=\"%s\"", self->descriptors, problem.text);
    free(file_bytes);
    return error;
}

static const struct partitions partitions[] = {
    { .table = "op", .fill = 100, .open = "false" },
    /* A saga that is stuck for longer than rows are kept still ends in the week of its id. */
    { .table = "journal_final", .fill = 100, .open = "false", .pinned_by = "journal_parked" },
    { 0 },
};

/* For /info: what new sagas start on, and what older ones may be pinned to, by hash. */
static void
show_definitions(struct catalog *catalog, struct info *info)
{
    const struct definition *definition;
    size_t cursor = 0;
    bool is_newest;

    while ((definition = catalog_next(catalog, &cursor, &is_newest)) != NULL) {
        if (is_newest)
            info_add(info, "definitions", definition->name, definition->hash);
    }
    cursor = 0;
    while ((definition = catalog_next(catalog, &cursor, &is_newest)) != NULL) {
        char name[128];

        snprintf(name, sizeof name, "%s %.8s", definition->name, definition->hash);
        if (!is_newest)
            info_add(info, "older_definitions", name, definition->hash);
    }
}

static enum error
start(void *owner, struct service *service)
{
    struct orchestrator *self = owner;
    struct shards_options options = { .conninfo = service_database(service),
                                      .partitions = partitions,
                                      .queue_max = QUEUE_MAX,
                                      .wrote = service_tell_written,
                                      .wrote_owner = service,
                                      .metrics = service_ops(service)->metrics };
    enum error error = load_descriptors(self);

    if (error == ERR_OK)
        error = catalog_read(self->definitions, self->pbjson, &self->catalog);
    while (error == ERR_OK && (error = catalog_store(self->catalog, options.conninfo)) != ERR_OK &&
           error != ERR_BAD_REQUEST) {
        /* What the database cannot do now it may do later; it is logged. */
        error = program_pause() ? ERR_OK : ERR_STOPPING;
    }
    if (error == ERR_OK)
        error = participants_open(self->participant_addresses, self->pbjson, options.metrics,
                                  &self->participants);
    if (error == ERR_OK)
        show_definitions(self->catalog, service_ops(service)->info);
    self->service = service;
    options.catalog = self->catalog;
    options.participants = self->participants;
    return error == ERR_OK ? shards_open(&options, &self->shards) : error;
}

static void
drain(void *owner)
{
    shards_end_watches(((struct orchestrator *)owner)->shards);
}

static void
stop(void *owner)
{
    struct orchestrator *self = owner;

    if (self->shards != NULL)
        shards_stop(self->shards);
    self->participants = participants_close(self->participants);
    self->shards = shards_close(self->shards);
    self->catalog = catalog_free(self->catalog);
    self->pbjson = pbjson_free(self->pbjson);
}

/* A machine's name where it listens on all its addresses. */
static void
own_address(const struct orchestrator *self, char *address, size_t bytes)
{
    const char *listen = service_inner_listen(self->service);
    const char *colon = strrchr(listen, ':');
    char host[256] = "";

    if (strncmp(listen, "0.0.0.0:", 8) == 0 || strncmp(listen, "[::]:", 5) == 0)
        gethostname(host, sizeof host - 1);
    else
        snprintf(host, sizeof host, "%.*s", (int)(colon - listen), listen);
    if (self->advertise[0] != '\0')
        snprintf(address, bytes, "%s", self->advertise);
    else
        snprintf(address, bytes, "%s:%d", host, service_inner_port(self->service));
}

/* It is asked when the ports are open: from then on others may call us. */
static bool
is_ready(void *owner)
{
    struct orchestrator *self = owner;
    char address[512];

    if (!self->is_member) {
        own_address(self, address, sizeof address);
        shards_begin(self->shards, address);
        self->is_member = true;
    }
    return shards_are_ready(self->shards);
}

static void
submit(void *owner, struct call *call)
{
    shards_submit(((struct orchestrator *)owner)->shards, call);
}

int
main(int argc, char **argv)
{
    struct orchestrator orchestrator = { 0 };
    const struct service_spec spec = {
        .name = "saga-svc",
        .usage = "saga-svc: drives sagas over gRPC (sagamesh.saga.v1.SagaService)",
        .schema = schema_steps,
        .keys = keys,
        .values = &orchestrator,
        .descriptor = &sagamesh__saga__v1__saga_service__descriptor,
        .inner = &sagamesh__saga__v1__saga_control_service__descriptor,
        .methods = saga_methods,
        .submit = submit,
        .owner = &orchestrator,
        .has_database = true,
        .partitions = partitions,
        .peers = &orchestrator.participant_addresses,
        .start = start,
        .is_ready = is_ready,
        .drain = drain,
        .stop = stop,
    };

    return service_main(argc, argv, &spec);
}
