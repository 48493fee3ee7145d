/* receiver.h -- Somebody who is told of alerts: a small HTTP server that keeps what it was sent, and answers as it is
 * told to.
 *
 * Thread    receiver_open, _close: the test's. It answers on a thread of its own, one request after the other.
 * Memory    What it keeps lives until receiver_close().
 */
#ifndef TESTS_SUPPORT_ALERTS_RECEIVER_H
#define TESTS_SUPPORT_ALERTS_RECEIVER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

enum { RECEIVED_MAX = 32, RECEIVED_BYTES_MAX = 8192 };

struct received {
    char head[RECEIVED_BYTES_MAX]; /* request line and headers */
    char body[RECEIVED_BYTES_MAX];
};

struct receiver {
    pthread_mutex_t lock; /* of what follows */
    struct received requests[RECEIVED_MAX];
    size_t count;
    /* What it answers next, in this order; when they are used up 204. NULL: it hangs up. */
    const char *answers[RECEIVED_MAX];
    size_t answer_count;

    int listener, port;
    pthread_t thread;
};

void receiver_open(struct receiver *receiver);
void receiver_close(struct receiver *receiver);

/* "HTTP/1.1 ..." for the next request that has no answer yet. */
void receiver_answer(struct receiver *receiver, const char *answer);

size_t receiver_count(struct receiver *receiver);

/* The value of a header of request i, or NULL. */
const char *received_header(const struct received *request, const char *name, char value[512]);

#endif
