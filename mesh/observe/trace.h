/* trace.h -- W3C Trace Context: one id for everything that one request sets off.
 *
 *     traceparent: 00-<32 hex: the trace>-<16 hex: who called>-<2 hex: flags>
 *
 * What is not valid is treated as absent: a stranger's bad header must not break or join anything.
 *
 * Thread    Any.
 * Memory    Texts are TRACEPARENT_BYTES long and end with a NUL.
 */
#ifndef MESH_OBSERVE_TRACE_H
#define MESH_OBSERVE_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TRACE_PARENT_BYTES =
        55, /* of version 00, the one we send; equals TRACEPARENT_BYTES of call.h */
    TRACE_ID_BYTES = 32,
    TRACE_SPAN_BYTES = 16,
};

/* Reads a header. A higher version is read as far as 00 defines it and carried on as 00; false, and
 * "", when it is not valid. text may be ret_parent. */
bool trace_parse(const char *text, size_t bytes, char ret_parent[TRACE_PARENT_BYTES + 1]);

/* A new trace with random ids, which is not recorded (span.h decides that). */
void trace_start(char ret_parent[TRACE_PARENT_BYTES + 1]);

/* The 32 hex digits of the trace; false when parent is "". */
bool trace_id(const char *parent, char ret_id[TRACE_ID_BYTES + 1]);

/* Who called: the 16 hex digits; "" when parent is "". */
void trace_span_id(const char *parent, char ret_id[TRACE_SPAN_BYTES + 1]);

/* Puts another span in the place of the caller: a random one, or one that is derived from id, the same each
 * time. */
void trace_set_span_random(char *parent);
void trace_set_span(char *parent, uint64_t id);

/* Is what the caller did recorded? False for "". */
bool trace_is_sampled(const char *parent);
void trace_set_sampled(char *parent, bool is_sampled);

/* The right half of the trace's id: random, where the trace was started by one who says so. */
uint64_t trace_draw(const char *parent);

#endif
