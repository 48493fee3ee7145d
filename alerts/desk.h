/* desk.h -- What the program's own tasks know: who is told, where Kafka is, whose heartbeats are waited for.
 *
 * The owner of all tasks and ops of alerts-svc begins with it.
 *
 * Thread    Filled before the tasks begin; then constant. What a task keeps from run to run is its thread's.
 * Units     *_us microseconds.
 */
#ifndef ALERTS_DESK_H
#define ALERTS_DESK_H

#include "alerts/notify.h"
#include "mesh/store/batch_own.h"

enum { DESK_SOURCES_MAX = 16, DESK_SOURCE_BYTES_MAX = 64 };

/* A program whose heartbeats are waited for, and what the task that looks after it has seen. */
struct desk_source {
    char name[DESK_SOURCE_BYTES_MAX + 1];
    int64_t silent_since_us, looked_us; /* steady; 0: it was heard at the last look */
};

struct kafka_producer;
struct metrics;

struct alert_desk {
    struct notify *notify;
    struct batch *batch;
    struct metrics *metrics; /* NULL: nothing is counted */
    const char *brokers;     /* "" none: dead letters wait */
    int64_t silent_us;
    int64_t began_us; /* steady */
    struct desk_source sources[DESK_SOURCES_MAX];
    size_t source_count;
    struct kafka_producer *producer; /* of dead letters; NULL: it has sent none */
};

#endif
