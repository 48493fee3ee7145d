/* saga.h -- The requests that the orchestrator answers, as its shards see them. */
#ifndef SAGA_H
#define SAGA_H

#include "mesh/base/call.h"

enum { SAGA_INPUT_BYTES_MAX = 64 * 1024, SAGA_COMMENT_BYTES_MAX = 200, SAGA_NAME_BYTES_MAX = 64 };

/* What a call asks for: the method's number, by which a shard knows the op's struct. */
enum saga_method {
    SAGA_START,
    SAGA_CANCEL,
    SAGA_GET,
    SAGA_LIST,
    SAGA_RETRY,
    SAGA_COMPENSATE,
    SAGA_LIST_DEFINITIONS,
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

/* Get. op.id is the saga's. */
struct saga_get {
    struct op op;
    const char *history; /* result: instance_history(), in the call's arena */
};

/* List. */
struct saga_list {
    struct op op;
    const char *phase; /* "" all that have not ended */
    int32_t page_size;
    struct uuid before;     /* nil: from the newest */
    const char **histories; /* result, newest first, in the call's arena */
    size_t count;
    bool has_more;
    size_t shard; /* how far the call has gone round the shards */
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

extern const struct method saga_methods[]; /* saga_rpc.c; in the order of enum saga_method */

enum saga_method saga_method_of(const struct call *call);

/* The saga that a call is about; nil for List and ListDefinitions. */
struct uuid saga_id_of(const struct call *call);

#endif
