/* span.h -- What a program did for a trace, and for how long: spans, which go to a collector by OTLP.
 *
 * A request carries its traceparent (trace.h). Where a part of its way begins, span_begin() puts the id of
 * a new span in place of the caller's, so that everything the request sets off names that span as its
 * parent; where the part ends, span_end() records it. Only spans of traces that are sampled are recorded,
 * and only where the environment names a collector (span_settings.h): else begin and end do nothing, the
 * caller's traceparent is passed on as it came, and nothing is allocated or started.
 *
 * Recording copies the span into a queue with a fixed number of places, without a lock and without
 * waiting; a thread of its own sends what is there (span_export.h). A span that finds no place is dropped
 * and counted.
 *
 *     struct span span;
 *     span_begin(&span, call->traceparent);
 *     ...
 *     span_end(&span, call->traceparent, &(struct span_note){ .kind = SPAN_SERVER, .name = ... });
 *
 * Thread    span_open(), span_close(): the main thread, before and after all others. The rest: any.
 * Memory    A note's texts are copied; the keys of its attributes are literals.
 * Errors    None: a trace is never a reason for a request to fail.
 * Units     *_us microseconds since 1970 UTC by clock_now_us(), *_ms milliseconds.
 */
#ifndef MESH_OBSERVE_SPAN_H
#define MESH_OBSERVE_SPAN_H

#include "mesh/observe/trace.h"

/* As OTLP numbers them. */
enum span_kind { SPAN_INTERNAL = 1, SPAN_SERVER, SPAN_CLIENT, SPAN_PRODUCER, SPAN_CONSUMER };

enum { SPAN_ATTRIBUTES_MAX = 12 };

struct span_attribute {
    const char *key;  /* a literal; NULL ends the list */
    const char *text; /* NULL: it is the number */
    int64_t number;
};

struct span_note {
    enum span_kind kind;
    const char *name;
    const char *link;  /* traceparent of another span that belongs to it; NULL or "": none */
    const char *error; /* error.type, such as "UNAVAILABLE"; NULL: it went well */
    struct span_attribute attributes[SPAN_ATTRIBUTES_MAX];
};

/* Between begin and end; in the request. */
struct span {
    int64_t start_us; /* 0: it is not recorded */
    char parent_id[TRACE_SPAN_BYTES + 1];
};

/* Reads the environment; starts the exporter where it asks for one. */
void span_open(const char *program, const char *version);

/* Sends what is in the queue, for as long as drain_ms, and frees. */
void span_close(int drain_ms);

/* Does the environment ask for spans? */
bool spans_are_on(void);

/* The way of a request begins here. traceparent is "", and a trace is started, also where no spans are recorded:
 * its id is in log lines; or it is a stranger's, whose trace id is kept and whose flag is not believed. The
 * sampler decides. */
void span_begin_first(struct span *span, char traceparent[TRACE_PARENT_BYTES + 1]);

/* A part of the way of the request begins; traceparent is the parent's, then the span's own. "" stays "". */
void span_begin(struct span *span, char traceparent[TRACE_PARENT_BYTES + 1]);

/* The same with an id that is derived: what is done again after a crash is the same span. */
void span_begin_as(struct span *span, char traceparent[TRACE_PARENT_BYTES + 1], uint64_t id);

/* Work that is shared by several traces, one of which is recorded, such as a batch: a trace of its own, new in
 * traceparent, which the others' spans have as their link. */
void span_begin_shared(struct span *span, char traceparent[TRACE_PARENT_BYTES + 1]);

/* Is it recorded? Then making a note of it is worth while. */
bool span_is_on(const struct span *span);

/* traceparent is the span's own. Does nothing for a span that is not recorded. */
void span_end(const struct span *span, const char *traceparent, const struct span_note *note);
void span_end_at(const struct span *span, const char *traceparent, int64_t end_us,
                 const struct span_note *note);

struct span_counts {
    uint64_t recorded;   /* that found a place in the queue */
    uint64_t exported;   /* that the collector took */
    uint64_t queue_full; /* dropped: no place in the queue */
    uint64_t failed;     /* dropped: the collector did not take them in time, or not at all */
    uint64_t rejected;   /* dropped by the collector, which said so */
};
void span_count(struct span_counts *ret_counts);

#endif
