/* server_harness.h -- A server with a stub service, and a bare C core client, for its tests.
 *
 * The service is a stub on storage's protos: Restock decodes and encodes for real, and what is
 * submitted is answered by another thread, at once or (gate) when the test lets it.
 */
#ifndef TESTS_SUPPORT_RPC_SERVER_HARNESS_H
#define TESTS_SUPPORT_RPC_SERVER_HARNESS_H

#include "mesh/base/clock.h"
#include "mesh/base/log.h"
#include "mesh/rpc/server.h"
#include "mesh/rpc/status.h"
#include "tests/support/check.h"
#include "tests/support/metrics_text.h"

#include <assert.h>
#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/health/v1/health.pb-c.h>
#include <grpc/reflection/v1/reflection.pb-c.h>
#include <grpc/support/alloc.h>
#include <pthread.h>
#include <sagamesh/batch/v1/batch_service.pb-c.h>
#include <sagamesh/storage/v1/storage_service.pb-c.h>
#include <stdatomic.h>

#define STORAGE "sagamesh.storage.v1.StorageService/"
#define STORAGE_SAGA "sagamesh.storage.v1.StorageSagaService/"

/* ---- the stub ---- */

enum error stub_decode(const ProtobufCMessage *message, struct arena *memory, void *op);

/* free is the time that was left, on_hand the traceparent's length: so that the test sees them. */
ProtobufCMessage *stub_encode(const void *op, struct arena *memory);

extern const struct method stub_methods[];
enum { CALLS_MAX = 40 };

extern struct queue *queue; /* between the rpc thread and the one that decides */

extern pthread_t decider;
extern pthread_mutex_t gate;
extern atomic_int submitted;

void stub_submit(void *owner, struct call *call);

/* ---- the client ---- */

extern struct rpc_server *server;
extern struct metrics *server_metrics; /* of the server */
extern struct current
    *server_policies; /* what set_up() gives the server; NULL, unless the test sets it before */
extern struct arena *arena;

struct answer {
    grpc_status_code code;
    char message[256];
    struct rpc_error_info info;
    int32_t detail_code; /* of the google.rpc.Status */
    uint8_t *reply;      /* in the arena; NULL: none */
    size_t reply_bytes;
};

/* A call of the client; streams send and receive one message at a time. */
struct client_call {
    grpc_call *grpc;
    grpc_metadata_array initial, trailing;
    grpc_status_code code;
    grpc_slice message;
    const char *error_text;
    grpc_byte_buffer *received;
};

/* Starts a unary call; traceparent may be NULL. Its tag is the call. */
struct client_call *unary_start(const char *method, const uint8_t *bytes, size_t count,
                                int64_t timeout_ms, const char *traceparent);

void unary_await(struct client_call *call, struct answer *ret_answer);
void unary(const char *method, const uint8_t *bytes, size_t count, struct answer *ret_answer);
size_t restock_pack(const char *sku, int64_t quantity, uint8_t **ret_bytes);
struct client_call *restock_start(const char *sku, int64_t quantity, int64_t timeout_ms,
                                  const char *traceparent);

/* The stub's product; freed with sagamesh__storage__v1__restock_response__free_unpacked. */
Sagamesh__Storage__V1__RestockResponse *response_of(const uint8_t *bytes, size_t count);

/* ---- streams of the client ---- */

/* Opens, with a first message; its status arrives under &call->code. */
struct client_call *stream_open(const char *method, const uint8_t *bytes, size_t count);

void stream_send(struct client_call *call, const uint8_t *bytes, size_t count);
void stream_half_close(struct client_call *call);

/* The next message; NULL: there is none, the stream has ended. */
uint8_t *stream_receive(struct client_call *call, size_t *ret_count);

/* How it ended. */
void stream_await(struct client_call *call, struct answer *ret_answer);

void stream_cancel(struct client_call *call);
void wait_submitted(int count);

/* ---- what the server counts ---- */

/* Calls of a method that were answered so: "sagamesh.storage.v1.StorageService/Restock", "OK". */
double calls_counted(const char *method, const char *code);

/* ---- set up, take down ---- */

void client_open(void);
void set_up(void);
void set_up_inner(void); /* with the port for the mesh alone */
void client_close(void);
void take_down(void);

#endif
