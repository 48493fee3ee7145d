/* saga.h -- The requests that the orchestrator answers, as its shards see them. */
#ifndef SAGA_H
#define SAGA_H

#include "mesh/base/call.h"

enum {
    SAGA_INPUT_BYTES_MAX = 64 * 1024,
    SAGA_COMMENT_BYTES_MAX = 200,
    SAGA_NAME_BYTES_MAX = 64,
    SAGA_WATCH_MS_MAX = 20 * 1000,
};

/* What a call asks for: the method's number, by which a shard knows the op's struct. */
enum saga_method {
    SAGA_START,
    SAGA_CANCEL,
    SAGA_GET,
    SAGA_LIST,
    SAGA_RETRY,
    SAGA_COMPENSATE,
    SAGA_LIST_DEFINITIONS,
    SAGA_SIGNAL,
    SAGA_WATCH,
    SAGA_SETTLE,
    SAGA_FORWARD,
    SAGA_LIST_SHARD,
};

/* Start. op.id is the saga's. */
struct saga_start {
    struct op op;
    const char *definition;
    const char *input_json;
};

/* Cancel, Retry, Compensate. op.id is the request's. */
struct saga_change {
    struct op op;
    struct uuid saga_id;
    const char *comment;
    const char *phase; /* result: phase_text() */
};

/* Settle. Like the others, and what is said. */
struct saga_settle {
    struct saga_change change;
    int settlement; /* enum settlement */
    const char *output_json;
};

/* Get. op.id is the saga's. */
struct saga_get {
    struct op op;
    const char *history; /* result: instance_history(), in the call's arena */
};

/* Watch. op.id is the saga's. */
struct saga_watch {
    struct op op;
    int64_t known_version;
    int32_t wait_ms;
    int64_t until_us; /* when it is answered at the latest */
    const char
        *history; /* result, known_version's too once it has ended; NULL: nothing has changed */
};

enum signal_outcome { SIGNAL_TAKEN = 1, SIGNAL_KNOWN, SIGNAL_DROPPED };

/* Signal. op.id is the event's. */
struct saga_signal {
    struct op op;
    struct uuid saga_id;
    const char *name, *payload_json;
    int64_t version;
    enum signal_outcome outcome; /* result, as all below */
    int64_t stored_version;      /* the highest of this event; 0: none */
    bool has_ended;
    const char *status; /* of one that has ended: "SU"; else "" */
};

/* List; and ListShard, which is one shard's part of it. */
struct saga_list {
    struct op op;
    const char *phase; /* "" all that have not ended */
    int32_t page_size;
    size_t from_shard;      /* goes on behind this shard's ... */
    int64_t from_place;     /* ... saga in this place; INT64_MAX: all of it */
    bool is_part;           /* ends with that shard */
    const char **histories; /* result, the last one first, in the call's arena */
    int64_t *places;        /* of them */
    size_t count, bytes;
    bool has_more;
    size_t shard;      /* how far the call has gone round the shards; from_shard at first */
    size_t last_shard; /* of the last history: where the next page goes on */
    int64_t last_place;
};

struct saga_definition_line {
    const char *name, *hash;
    bool is_newest;
};

struct saga_list_definitions {
    struct op op;
    struct saga_definition_line *lines; /* result */
    size_t count;
};

/* Forward. */
struct saga_forward {
    struct op op;
    const struct method *method; /* that came to another orchestrator */
    struct op *inner;
};

extern const struct method saga_methods[]; /* saga_rpc.c; in the order of enum saga_method */

enum saga_method saga_method_of(const struct call *call);

/* Of Forward the call that it brings, in the arena of the other, which is finished with it. */
struct call *saga_unwrap(struct call *call);
bool saga_is_forwarded(const struct call *call);

typedef struct ProtobufCMethodDescriptor ProtobufCMethodDescriptor;
const ProtobufCMethodDescriptor *saga_descriptor_of(const struct method *method);

/* SagaPhase of a word of phase_text(). */
int saga_phase_number(const char *word);

/* Of this shard's sagas those come that stand before this place: the page began in an earlier shard, or behind the last
 * saga of the page before. */
int64_t saga_list_before(const struct saga_list *list);

/* The saga that a call is about; nil for List and ListDefinitions. */
struct uuid saga_id_of(const struct call *call);

#endif
