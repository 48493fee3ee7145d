/* fake_server.h -- A gRPC server that answers by script, for tests of the client.
 *
 * Knows nothing of rpc_server, so that it can misbehave. What a method does is in its name; the rows
 * are in fake_do(). BatchService/Call does the same for each item, unless told otherwise.
 *
 * Thread    Its own, one. fake_release and fake_await_held: the test's.
 */
#ifndef TESTS_SUPPORT_RPC_FAKE_SERVER_H
#define TESTS_SUPPORT_RPC_FAKE_SERVER_H

#include "mesh/base/arena.h"
#include "mesh/base/error.h"
#include "mesh/rpc/status.h"
#include "tests/support/check.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/time.h>
#include <pthread.h>
#include <sagamesh/batch/v1/batch_service.pb-c.h>

/* What BatchService/Call does with an envelope. */
enum fake_batch { BATCH_WELL, BATCH_BUSY, BATCH_LOST, BATCH_SHORT, BATCH_GARBLED };

struct fake_server {
    grpc_server *server;
    grpc_completion_queue *queue;
    pthread_t thread;
    int port;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct fake_call *held; /* under lock, as all below */
    int held_count, held_ever;
    enum fake_batch batch;
    int asked[8]; /* by the digit that ends a method's name */
};

struct fake_call {
    struct fake_call *next;
    struct fake_server *fake;
    enum { FAKE_ASKED, FAKE_READING, FAKE_ANSWERED } step;
    grpc_call *call;
    grpc_call_details details;
    grpc_metadata_array metadata;
    grpc_byte_buffer *payload;
    int cancelled;
    struct arena *arena;
};

/* port 0: a free one. */
struct fake_server *fake_open(int port);

/* Waits until so many calls have been held since the start. */
void fake_await_held(struct fake_server *fake, int count);

void fake_set_batch(struct fake_server *fake, enum fake_batch batch);

/* Answers everything that is held: OK, empty; of a held envelope every item. */
void fake_release(struct fake_server *fake);

void fake_close(struct fake_server *fake);

#endif
