/* A call has three batches: the question goes out; words come in, one after another; the end. The call is over when all of
 * them are back, and only then its memory may be used for the next.
 *
 * A stream that has spoken and ends is opened again at once and is no news by itself: a server ends a connection
 * for its age, too. The stream that follows decides: where nobody listens any more it ends without a word. */
#include "mesh/rpc/client_watch.h"
#include "mesh/base/clock.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/health/v1/health.pb-c.h>
#include <grpc/slice.h>
#include <grpc/support/time.h>

#include <assert.h>
#include <string.h>

#define WAIT_FIRST_US (50 * INT64_C(1000))
#define WAIT_MAX_US SECOND_US
#define WORD_US SECOND_US /* how long the first word of a call is waited for */

static void
batch_start(struct client_watch *watch, const grpc_op *ops, size_t count, struct client_tag *tag)
{
    grpc_call_error error = grpc_call_start_batch(watch->call, ops, count, tag, NULL);

    assert(error == GRPC_CALL_OK);
    (void)error;
    watch->pending++;
}

static void
listen_for_a_word(struct client_watch *watch)
{
    const grpc_op op = { .op = GRPC_OP_RECV_MESSAGE,
                         .data.recv_message.recv_message = &watch->message };

    watch->message = NULL;
    batch_start(watch, &op, 1, &watch->heard);
}

/* The question is the empty message: how is the whole program? */
static void
call_open(struct client_watch *watch, int64_t now_us)
{
    grpc_slice nothing = grpc_empty_slice();
    grpc_byte_buffer *question = grpc_raw_byte_buffer_create(&nothing, 1);
    const grpc_op ask[] = {
        { .op = GRPC_OP_SEND_INITIAL_METADATA },
        { .op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = question },
        { .op = GRPC_OP_SEND_CLOSE_FROM_CLIENT },
        { .op = GRPC_OP_RECV_INITIAL_METADATA,
          .data.recv_initial_metadata.recv_initial_metadata = &watch->initial }
    };
    const grpc_op end = { .op = GRPC_OP_RECV_STATUS_ON_CLIENT,
                          .data.recv_status_on_client = { .trailing_metadata = &watch->trailing,
                                                          .status = &watch->code,
                                                          .status_details = &watch->text } };

    grpc_metadata_array_init(&watch->initial);
    grpc_metadata_array_init(&watch->trailing);
    watch->text = grpc_empty_slice();
    watch->has_spoken = watch->is_doubted = false;
    watch->due_us = now_us + WORD_US;
    watch->call = grpc_channel_create_call(
        watch->way->channel, NULL, GRPC_PROPAGATE_DEFAULTS, watch->way->queue,
        grpc_slice_from_static_string("/grpc.health.v1.Health/Watch"), NULL,
        gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    batch_start(watch, ask, 4, &watch->begun);
    batch_start(watch, &end, 1, &watch->ended);
    listen_for_a_word(watch);
    grpc_byte_buffer_destroy(question);
}

static void
wait_longer(struct client_watch *watch, int64_t now_us)
{
    watch->due_us = now_us + watch->wait_us;
    watch->wait_us = watch->wait_us * 2 > WAIT_MAX_US ? WAIT_MAX_US : watch->wait_us * 2;
}

/* All batches of the call are back. */
static enum watch_word
call_over(struct client_watch *watch, int64_t now_us)
{
    enum watch_word word = WATCH_NOTHING;

    grpc_call_unref(watch->call);
    watch->call = NULL;
    grpc_metadata_array_destroy(&watch->initial);
    grpc_metadata_array_destroy(&watch->trailing);
    grpc_slice_unref(watch->text);
    watch->due_us = INT64_MAX;
    if (!watch->is_on)
        return WATCH_NOTHING;
    if (watch->is_doubted) {
        wait_longer(watch, now_us);
    } else if (watch->code == GRPC_STATUS_RESOURCE_EXHAUSTED) {
        word =
            WATCH_SERVES; /* as many watch as may: it is there, and others must not talk us out of it */
        wait_longer(watch, now_us);
    } else if (watch->has_spoken) {
        watch->due_us = now_us;
    } else if (watch->code == GRPC_STATUS_UNIMPLEMENTED) {
        word = WATCH_SERVES; /* it is there, and will be asked when a call fails */
    } else {
        word = WATCH_LOST;
        wait_longer(watch, now_us);
    }
    return word;
}

static enum watch_word
word_read(struct client_watch *watch)
{
    Grpc__Health__V1__HealthCheckResponse *response = NULL;
    grpc_byte_buffer_reader reader;
    bool is_serving;
    grpc_slice bytes;

    if (grpc_byte_buffer_reader_init(&reader, watch->message)) {
        bytes = grpc_byte_buffer_reader_readall(&reader);
        response = grpc__health__v1__health_check_response__unpack(NULL, GRPC_SLICE_LENGTH(bytes),
                                                                   GRPC_SLICE_START_PTR(bytes));
        grpc_slice_unref(bytes);
        grpc_byte_buffer_reader_destroy(&reader);
    }
    grpc_byte_buffer_destroy(watch->message);
    watch->message = NULL;
    if (response == NULL)
        return WATCH_REFUSES;
    is_serving =
        response->status == GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
    grpc__health__v1__health_check_response__free_unpacked(response, NULL);
    return is_serving ? WATCH_SERVES : WATCH_REFUSES;
}

void
client_watch_on(struct client_watch *watch, struct parcel_way *way, void *owner, int64_t now_us)
{
    const struct client_tag tag = { CLIENT_WATCH, owner };

    if (watch->is_on)
        return;
    watch->begun = watch->heard = watch->ended = tag;
    watch->way = way;
    watch->is_on = true;
    watch->wait_us = WAIT_FIRST_US;
    if (watch->call == NULL)
        call_open(watch, now_us);
}

enum watch_word
client_watch_step(struct client_watch *watch, const struct client_tag *tag, int64_t now_us)
{
    enum watch_word word = WATCH_NOTHING;

    watch->pending--;
    if (tag == &watch->heard && watch->message != NULL) {
        word = word_read(watch);
        listen_for_a_word(watch);
        watch->has_spoken = true;
        if (watch->is_doubted || !watch->is_on)
            word = WATCH_NOTHING;
        else
            watch->due_us = INT64_MAX;
    }
    return watch->pending > 0 ? word : call_over(watch, now_us);
}

void
client_watch_turn(struct client_watch *watch, int64_t now_us)
{
    if (watch->due_us > now_us || !watch->is_on)
        return;
    watch->due_us = INT64_MAX;
    if (watch->call == NULL)
        call_open(watch, now_us);
    else
        grpc_call_cancel(watch->call, NULL);
}

void
client_watch_doubt(struct client_watch *watch, int64_t now_us)
{
    if (!watch->is_on || watch->is_doubted)
        return;
    if (watch->call != NULL) {
        watch->is_doubted = true;
        grpc_call_cancel(watch->call, NULL);
    } else if (watch->due_us == INT64_MAX) {
        wait_longer(watch, now_us);
    }
}

void
client_watch_trust(struct client_watch *watch)
{
    watch->wait_us = WAIT_FIRST_US;
}

void
client_watch_off(struct client_watch *watch)
{
    watch->is_on = false;
    if (watch->call != NULL)
        grpc_call_cancel(watch->call, NULL);
}

bool
client_watch_is_over(const struct client_watch *watch)
{
    return !watch->is_on && watch->call == NULL;
}
