/* span_export.h -- The thread that sends spans to a collector: OTLP over HTTP, as JSON.
 *
 * It sends when a batch is full, or each delay_ms. An answer of 429, 502, 503 or 504, and a collector that
 * cannot be reached, make it send the same batch again: after Retry-After, else after 1, 2, 4, 5, 5 ...
 * seconds, and until export_ms are over; then the batch is dropped. Meanwhile the queue fills up and drops
 * what comes: memory is the queue and one batch, whatever the collector does.
 *
 * Thread    open, close: the main thread. wake: any, and it never waits.
 * Memory    settings and queue outlive the exporter.
 * Errors    Logged, limited: event=SPANS_LOST.
 * Units     *_ms milliseconds.
 */
#ifndef MESH_OBSERVE_SPAN_EXPORT_H
#define MESH_OBSERVE_SPAN_EXPORT_H

#include "mesh/observe/span_queue.h"
#include "mesh/observe/span_settings.h"

struct span_exporter;

struct span_exporter *span_exporter_open(const struct span_settings *settings,
                                         struct span_queue *queue);

/* A span was put into the queue. */
void span_exporter_wake(struct span_exporter *exporter);

/* Sends what is there for drain_ms at most; adds what is left to `failed`. NULL is fine. Returns NULL. */
struct span_exporter *span_exporter_close(struct span_exporter *exporter, int drain_ms);

/* Of struct span_counts it sets exported, failed and rejected. */
void span_exporter_count(const struct span_exporter *exporter, struct span_counts *counts);

#endif
