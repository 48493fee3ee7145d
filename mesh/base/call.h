/* call.h -- A request on its way through a program: decoded by the wire, decided by the store.
 *
 * The wire makes a call, decodes the message into an op in the call's arena, and submits it. Whoever
 * holds the call owns it: a queue, a batch, the wire again. finish() gives it back, and it is gone.
 *
 * Thread    One at a time, by handing over. finish() may be called from any thread.
 * Memory    The op, its strings and the reply live in the arena.
 */
#ifndef MESH_BASE_CALL_H
#define MESH_BASE_CALL_H

#include "mesh/base/arena.h"
#include "mesh/base/error.h"
#include "mesh/base/queue.h"
#include "mesh/base/uuid.h"

#include <stdint.h>

typedef struct ProtobufCMessage ProtobufCMessage;
struct batch_touch;
struct batch_rows;

enum { TRACEPARENT_BYTES = 55 }; /* W3C Trace Context, version 00 */

/* What every op begins with. */
struct op {
    struct uuid id;          /* the caller's request_id: the key of the op's record */
    uint64_t fingerprint;    /* hash of the decoded content, set by decode; 0 for reads */
    int64_t now_us;          /* the time of the batch, set before decide: the database's, while that
                                agrees with the program's (mesh/store/store_clock.h) */
    const char *traceparent; /* of the call; "" when it has none */
    struct problem problem;  /* the decision: problem.error is ERR_OK until something refuses */
    void *
        owner; /* of the service's instance: set by the wire before decode (rpc_service.op_owner), and by
                    the batch before touch (batch_service.owner) */
};

/* A row of a service's table: the life of one request, left to right. Writes have touch, decide and
 * answer; reads have none of them and are found by name in the service's table of reads (store/reader.h). */
struct method {
    const char *name; /* "Reserve", as in the .proto */
    size_t op_bytes;  /* of the op's struct, which begins with a struct op; the op arrives zeroed */
    /* wire message -> valid op; rpc thread. Strings of the message live as long as the op. Refuses by
     * problem_set(&op->problem, ...) and returns its error. */
    enum error (*decode)(const ProtobufCMessage *message, struct arena *arena, void *op);
    /* names the rows the op will need; store thread */
    void (*touch)(const void *op, struct batch_touch *touch);
    /* op + rows -> changed rows, or a refusal; store thread, once per id. No I/O. */
    void (*decide)(void *op, struct batch_rows *rows);
    /* rows -> what the accepted op reports, the first time and every other time; NULL: nothing */
    void (*answer)(void *op, struct batch_rows *rows);
    /* the accepted op -> wire message, in the arena; after COMMIT */
    ProtobufCMessage *(*encode)(const void *op, struct arena *arena);
};

struct call {
    struct queue_item item; /* first */
    const struct method *method;
    struct arena *arena;
    struct op *op;
    int64_t deadline_us;    /* by clock_steady_us() */
    int64_t aside_until_us; /* the store thread's (batch_aside.h); 0: it was never set aside */
    /* of the program itself, which asks again anyway: it waits for a locked row shortly */
    bool is_own;
    char traceparent[TRACEPARENT_BYTES + 1];
    const ProtobufCMessage *message; /* as it came; NULL: it was not decoded from one */
    ProtobufCMessage
        *reply; /* an answer that is made already, in the arena; NULL: encode() makes it */
    /* The program handed the call on, and another one may have done it: trouble is UNCERTAIN then, and not what op->problem says. */
    bool was_unknown;
    void *taken; /* of who it was submitted to; NULL at first */
    /* Answers with the encoded op, or with op->problem, and frees the call. */
    void (*finish)(struct call *call);
};

#endif
